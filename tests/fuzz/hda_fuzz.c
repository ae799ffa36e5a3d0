/*
 * A hostile driver of the High Definition Audio controller: lists and rings anywhere, registers,
 * verbs, time, in any order. What is played is of a rate that can be (the home's CHECK), memory is
 * never left (ASan), and each turn ends.
 */
#include "tests/fuzz/board_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return board_fuzz(data, size, BOARD_GENERATION_1, PAIR_HDA, NULL);
}
