/*
 * A hostile guest of the IDE controller: accesses to its ports, commands and tables of regions,
 * while the home is done with what it has to do now and then, well or not. Nothing is read or
 * written outside of the medium and of guest memory (ASan), and a reset always brings the channel
 * back.
 */
#include "tests/fake/board_pair.h"
#include "tests/fuzz/fuzz.h"

static struct pair_board one;

static void reset_comes_back(void)
{
	unsigned int i;

	board_port_write(&one.board, 0xcf8, 4, 0x80000000u | 7 << 11 | 1 << 8 | 0x40);
	board_port_write(&one.board, 0xcfc, 4, 0x80008000);
	board_port_write(&one.board, 0xcf8, 4, 0x80000000u | 7 << 11 | 1 << 8 | 0x04);
	board_port_write(&one.board, 0xcfc, 4, 5);
	board_port_write(&one.board, 0x3f6, 1, 4);
	board_port_write(&one.board, 0x3f6, 1, 0);
	for (i = 0; i < IDE_DRIVES; i++) {
		(void)fake_host_drive(&one.home, &one.board, i);
	}
	EXPECT(board_port_read(&one.board, 0x1f7, 1) == 0x50);
	EXPECT(board_port_read(&one.board, 0x1f4, 2) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned int events = 1000;

	fuzz_begin(data, size);
	pair_create(&one, BOARD_GENERATION_1, 0);
	while (fuzz_more() && events-- != 0) {
		struct pair_event event = pair_choose(PAIR_IDE, fuzz_number);

		pair_do(&one, &event);
	}
	reset_comes_back();
	pair_destroy(&one);
	return 0;
}
