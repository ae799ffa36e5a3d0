/* A hostile guest of the TPM's registers: one command is under way at a time, as long as a TPM
 * takes, and what is not granted, ready and whole starts none. */
#include "tests/fake/board_pair.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static struct pair_board one;

/* The home itself says when a second one comes, or one of another length (tests/fake/host.c). */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned int events = 300, started = 0;

	fuzz_begin(data, size);
	pair_create(&one, BOARD_GENERATION_2, 0);
	while (fuzz_more() && events-- != 0) {
		struct pair_event event = pair_choose(PAIR_TPM, fuzz_number);
		struct tpm_crb before = one.board.tpm;

		pair_do(&one, &event);
		EXPECT(one.board.tpm.busy == one.home.tpm.pending);
		if (one.home.tpm.started != started) {
			started = one.home.tpm.started;
			EXPECT(before.granted && !before.idle && !before.failed && !before.busy);
			EXPECT(memcmp(one.home.tpm.command, before.buffer, one.home.tpm.length) ==
			       0);
		}
		if (before.busy && one.board.tpm.busy) {
			EXPECT(memcmp(before.buffer, one.board.tpm.buffer, sizeof(before.buffer)) ==
			       0);
		}
	}
	pair_destroy(&one);
	return 0;
}
