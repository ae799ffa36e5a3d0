/*
 * A hostile driver of the network adapter: lists of descriptors anywhere in the guest's memory,
 * endless ones among them, registers, wires, resets, frames that come, in any order. What is sent
 * has a length that frames have (the home's CHECK), memory is never left (ASan), and each turn
 * ends.
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
		struct pair_event event = pair_choose(PAIR_NIC, fuzz_number);

		if (fuzz_byte() % 4 == 0) { /* the lists are the guest's to write */
			one.home.ram[fuzz_number() % sizeof(one.home.ram)] = fuzz_byte();
		}
		pair_do(&one, &event);
		EXPECT(one.board.nics[0].frame_length <= TULIP_FRAME_MAX);
	}
	pair_destroy(&one);
	return 0;
}
