/* What swtpm answers, if it is not swtpm any more: answers that are cut, or say another length than
 * they have, or more than there may be. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"
#include "worker/tpm.h"

void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}

/* All that it will ever say, on both sockets; it hears nothing. */
static struct tpm_link make_link(const uint8_t *control, size_t control_size,
				 const uint8_t *commands, size_t size)
{
	struct tpm_link link;
	int pairs[2][2];

	EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[0]) == 0 &&
	       socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[1]) == 0);
	EXPECT(write(pairs[0][1], control, control_size) == (ssize_t)control_size);
	EXPECT(write(pairs[1][1], commands, size) == (ssize_t)size);
	shutdown(pairs[0][1], SHUT_WR);
	shutdown(pairs[1][1], SHUT_WR);
	link = (struct tpm_link){.control = pairs[0][0], .commands = pairs[1][0]};
	/* Open until the link ends: what is asked has somewhere to go. */
	EXPECT(dup2(pairs[0][1], 100) == 100 && dup2(pairs[1][1], 101) == 101);
	close(pairs[0][1]);
	close(pairs[1][1]);
	return link;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t first = size > 0 ? data[0] * (size - 1) / 255 : 0;
	uint8_t *answer = malloc(TPM_BUFFER_BYTES); /* of this size, so that its end is seen */
	uint8_t command[10] = {0x80, 1, 0, 0, 0, 10};
	struct tpm_blob blobs[TPM_BLOBS];
	struct tpm_link link;
	uint32_t length = 0;
	int ret;

	if (size == 0 || size > 100000) {
		free(answer);
		return 0;
	}
	link = make_link(data + 1, first, data + 1 + first, size - 1 - first);
	ret = tpm_link_command(&link, command, sizeof(command), answer, &length);
	EXPECT(ret == 0 ? length >= 10 && length <= TPM_BUFFER_BYTES
			: ret == -EPIPE || ret == -EPROTO);
	EXPECT(ret != 0 || memcmp(answer, data + 1 + first, length) == 0);
	ret = tpm_link_get(&link, TPM_PERMANENT, &blobs[0]);
	EXPECT(ret == 0 ? blobs[0].bytes != NULL && blobs[0].length <= TPM_BLOB_MAX
			: blobs[0].bytes == NULL && blobs[0].length == 0);
	blobs[1] = blobs[0];
	(void)tpm_link_put(&link, blobs);
	free(blobs[0].bytes);
	free(answer);
	tpm_link_end(&link);
	close(100);
	close(101);
	return 0;
}
