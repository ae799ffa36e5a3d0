/*
 * A hostile state of a TPM: a good one in which the input changes bytes or the end, or the input's
 * bytes alone. It is refused by name, and swtpm has been told nothing; or swtpm is told no more
 * than what is in it, and its answer decides.
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/board.h"
#include "tests/fuzz/fuzz.h"
#include "worker/tpm.h"

#define REQUESTS 4 /* off, both blobs, on */

void board_tpm_done(struct board *board, const uint8_t *answer, uint32_t length)
{
	(void)board;
	(void)answer;
	(void)length;
	abort();
}

static uint8_t list[1 << 16];
static struct board board;

static size_t write_good(void)
{
	uint8_t bytes[2][300];
	struct tpm tpm = {.link.control = 0, .board = &board};
	struct state_writer writer = state_writer(list, sizeof(list));
	unsigned int i;

	for (i = 0; i < TPM_BLOBS; i++) {
		memset(bytes[i], (int)i + 1, sizeof(bytes[i]));
		tpm.blobs[i] = (struct tpm_blob){bytes[i], fuzz_byte() + i};
	}
	tpm_save(&tpm, &writer);
	EXPECT(state_fits(&writer));
	return writer.used;
}

static size_t write_list(const uint8_t *data, size_t size)
{
	size_t length, i;

	if (fuzz_byte() % 4 == 0) {
		length = size < sizeof(list) ? size : sizeof(list);
		memcpy(list, data, length);
		return length;
	}
	length = write_good();
	for (i = fuzz_byte() % 4; i > 0; i--) {
		list[(fuzz_byte() | (size_t)fuzz_byte() << 8) % length] ^= fuzz_byte();
	}
	return fuzz_byte() % 8 == 0 ? length * fuzz_byte() / 256 : length;
}

/* What swtpm was told. */
static size_t heard(int fd)
{
	static uint8_t bytes[1 << 17];
	ssize_t got = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	EXPECT(got != sizeof(bytes));
	return got < 0 ? 0 : (size_t)got;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t results[REQUESTS] = {0};
	struct state_fault fault = {.what = NULL};
	struct tpm tpm = {.board = &board};
	struct state_reader reader;
	size_t length, told;
	int pair[2], ret;
	bool taken;

	fuzz_begin(data, size);
	EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	tpm.link.control = pair[0];
	taken = fuzz_byte() % 4 != 0;
	results[fuzz_byte() % REQUESTS] = taken ? 0 : 9;
	EXPECT(write(pair[1], results, sizeof(results)) == sizeof(results));
	length = write_list(data, size);
	reader = state_reader(list, length, &fault);
	ret = tpm_load(&tpm, &reader);
	told = heard(pair[1]);
	EXPECT(ret == 0 || (ret == -EINVAL && fault.what != NULL));
	EXPECT(ret != 0 || told >= 3 * sizeof(uint32_t));
	EXPECT(told <= length + 64 && (told == 0 || ret == 0 || !taken));
	close(pair[0]);
	close(pair[1]);
	return 0;
}
