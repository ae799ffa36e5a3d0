/*
 * A hostile driver of the USB controller and what is on it: rings and contexts anywhere, registers,
 * transfers, time, in any order. Memory is never left (ASan), and each turn ends.
 */
#include "tests/fuzz/board_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return board_fuzz(data, size, BOARD_GENERATION_1, PAIR_XHCI, NULL);
}
