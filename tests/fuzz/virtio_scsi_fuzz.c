/*
 * A hostile driver of the firmware's controller: rings and requests in the guest's memory,
 * registers, resets, and the guest that comes to VMBus, in any order. The home has one command at a
 * time (its CHECK), of units that are there, and memory is never left (ASan).
 */
#include "tests/fake/board_pair.h"
#include "tests/fuzz/fuzz.h"

static struct pair_board one;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned int events = 300;

	fuzz_begin(data, size);
	pair_create(&one, BOARD_GENERATION_2, 0);
	while (fuzz_more() && events-- != 0) {
		struct pair_event event = pair_choose(PAIR_SCSI, fuzz_number);

		if (fuzz_byte() % 4 == 0) { /* the ring is the guest's to write */
			one.home.ram[fuzz_number() % sizeof(one.home.ram)] = fuzz_byte();
		}
		pair_do(&one, &event);
		EXPECT(!one.home.scsi.pending || one.home.scsi.lun <= one.board.scsi.last_lun);
	}
	pair_destroy(&one);
	return 0;
}
