/*
 * A hostile driver of the sound card and the DMA controllers: streams of every kind from anywhere,
 * registers, resets, time, in any order. What is played is of a rate that can be (the home's
 * CHECK), memory is never left (ASan), and each turn ends.
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
		struct pair_event event = pair_choose(PAIR_SOUND, fuzz_number);

		pair_do(&one, &event);
		EXPECT(one.board.sb16.out_count <= SB16_OUT &&
		       one.board.sb16.given <= SB16_PARAMETERS);
	}
	pair_destroy(&one);
	return 0;
}
