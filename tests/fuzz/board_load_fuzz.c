/*
 * A hostile state of the board: a good one of a board with a random life, in which the input
 * changes bytes, or bytes of the input's alone. It is refused and nothing has changed, or it is
 * loaded, and the board lives on with it and can be saved and loaded again.
 */
#include "tests/fake/board_pair.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static struct pair_board board_of_state, target;
static uint8_t state[PAIR_STATE_MAX], before[PAIR_STATE_MAX], after[PAIR_STATE_MAX];

static void live(struct pair_board *one, unsigned int events)
{
	while (events-- != 0) {
		struct pair_event event = pair_choose(PAIR_ALL, fuzz_number);

		pair_do(one, &event);
	}
}

static size_t damage(size_t size)
{
	unsigned int changes = fuzz_byte() % 8;

	while (changes-- != 0) {
		size_t at = (fuzz_byte() | (size_t)fuzz_byte() << 8) % size;

		state[at] ^= fuzz_byte();
	}
	return fuzz_byte() % 16 == 0 ? fuzz_number() % size : size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct state_fault fault;
	enum board_kind kind;
	size_t length, was;

	fuzz_begin(data, size);
	kind = (enum board_kind)(fuzz_byte() % (BOARD_GENERATION_2 + 1));
	pair_create(&board_of_state, kind, fuzz_number());
	pair_create(&target, kind, fuzz_number());
	if (fuzz_byte() % 4 == 0) {
		length = size < sizeof(state) ? size : sizeof(state);
		memcpy(state, data, length);
	} else {
		live(&board_of_state, fuzz_byte() % 64);
		length = damage(pair_save(&board_of_state, state));
	}
	was = pair_save(&target, before);
	if (!pair_load(&target, &board_of_state, state, length, &fault)) {
		EXPECT(fault.what != NULL);
		EXPECT(pair_save(&target, after) == was && memcmp(before, after, was) == 0);
	}
	live(&target, fuzz_byte() % 64);
	board_serial_drained(&target.board);
	board_serial_ready(&target.board);
	length = pair_save(&target, before);
	EXPECT(pair_load(&board_of_state, &target, before, length, &fault));
	EXPECT(pair_save(&board_of_state, after) == length && memcmp(before, after, length) == 0);
	pair_destroy(&board_of_state);
	pair_destroy(&target);
	return 0;
}
