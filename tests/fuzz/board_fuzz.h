/*
 * A hostile driver of one part of a board: what it can do to that, in any order, and writes
 * anywhere in the guest's memory, where a part's rings and lists are. Memory is never left (ASan),
 * and each turn ends.
 */
#ifndef TESTS_FUZZ_BOARD_FUZZ_H
#define TESTS_FUZZ_BOARD_FUZZ_H

#include "tests/fake/board_pair.h"
#include "tests/fuzz/fuzz.h"

#define BOARD_FUZZ_EVENTS 300u

/* `expect` looks at the board after each event. NULL: there is nothing more to be seen. */
static inline int board_fuzz(const uint8_t *data, size_t size, enum board_kind kind,
			     enum pair_part part, void (*expect)(const struct pair_board *one))
{
	static struct pair_board one;
	unsigned int events = BOARD_FUZZ_EVENTS;

	fuzz_begin(data, size);
	pair_create(&one, kind, 0);
	while (fuzz_more() && events-- != 0) {
		struct pair_event event = pair_choose(part, fuzz_number);

		if (fuzz_byte() % 4 == 0) {
			one.home.ram[fuzz_number() % sizeof(one.home.ram)] = fuzz_byte();
		}
		pair_do(&one, &event);
		if (expect != NULL) {
			expect(&one);
		}
	}
	pair_destroy(&one);
	return 0;
}

#endif
