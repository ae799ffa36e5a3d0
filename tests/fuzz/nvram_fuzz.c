/* A hostile file of variables: a good one, in which the input changes bytes, or the input alone.
 * Nothing outside of it is read (ASan). */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"
#include "worker/nvram.h"

void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}

static uint8_t good[1 << 20];
static size_t good_size;

static void read_good(void)
{
	int fd = open("/usr/share/OVMF/OVMF_VARS_4M.ms.fd", O_RDONLY);
	ssize_t got = read(fd, good, sizeof(good));

	EXPECT(got > 0);
	good_size = (size_t)got;
	close(fd);
	EXPECT(nvram_check(good, (uint32_t)good_size) == NULL);
}

static void look_for_keys(const uint8_t *bytes, uint32_t length)
{
	struct nvram_keys keys = nvram_find_keys(bytes, length);

	if (keys.platform_key != NULL) {
		EXPECT(keys.platform_key_size > 0 &&
		       keys.platform_key + keys.platform_key_size <= bytes + length);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *bytes;
	size_t length;

	if (good_size == 0) {
		read_good();
	}
	fuzz_begin(data, size);
	length = fuzz_byte() % 2 ? good_size : size;
	bytes = malloc(length + 1); /* of this size, so that its end is seen */
	EXPECT(bytes != NULL);
	memcpy(bytes, length == size ? data : good, length);
	while (fuzz_more() && length == good_size) {
		size_t at = (fuzz_byte() | (size_t)fuzz_byte() << 8) % 0x6000;

		bytes[at] = fuzz_byte();
	}
	if (nvram_check(bytes, (uint32_t)length) == NULL) {
		look_for_keys(bytes, (uint32_t)length);
	}
	free(bytes);
	return 0;
}
