/*
 * A hostile driver of the firmware's controller: rings and requests in the guest's memory,
 * registers, resets, and the guest that comes to VMBus, in any order. The home has one command at a
 * time (its CHECK), of units that are there, and memory is never left (ASan).
 */
#include "tests/fuzz/board_fuzz.h"

static void expect(const struct pair_board *one)
{
	EXPECT(!one->home.scsi.pending || one->home.scsi.lun <= one->board.scsi.last_lun);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return board_fuzz(data, size, BOARD_GENERATION_2, PAIR_SCSI, expect);
}
