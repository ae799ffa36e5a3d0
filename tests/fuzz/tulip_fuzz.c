/*
 * A hostile driver of the network adapter: lists of descriptors anywhere in the guest's memory,
 * endless ones among them, registers, wires, resets, frames that come, in any order. What is sent
 * has a length that frames have (the home's CHECK), memory is never left (ASan), and each turn
 * ends.
 */
#include "tests/fuzz/board_fuzz.h"

static void expect(const struct pair_board *one)
{
	EXPECT(one->board.nics[0].frame_length <= TULIP_FRAME_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return board_fuzz(data, size, BOARD_GENERATION_1, PAIR_NIC, expect);
}
