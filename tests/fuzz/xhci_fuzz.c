/*
 * A hostile driver of the USB controller and what is on it: rings and contexts anywhere, registers,
 * transfers, time, in any order. Memory is never left (ASan), and each turn ends.
 */
#include "tests/fake/board_pair.h"
#include "tests/fuzz/fuzz.h"

static struct pair_board one;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned int events = 300;

	fuzz_begin(data, size);
	pair_create(&one, BOARD_GENERATION_1, 0);
	while (fuzz_more() && events-- != 0) {
		struct pair_event event = pair_choose(PAIR_XHCI, fuzz_number);

		if (fuzz_byte() % 4 == 0) { /* the rings are the guest's to write */
			one.home.ram[fuzz_number() % sizeof(one.home.ram)] = fuzz_byte();
		}
		pair_do(&one, &event);
	}
	pair_destroy(&one);
	return 0;
}
