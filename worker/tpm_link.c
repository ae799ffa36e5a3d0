/*
 * Requests to swtpm as its manual page swtpm_ioctls(3) has them: numbers are big-endian; a request
 * is a word and what belongs to it, an answer a result, 0 if it is good, and what belongs to that.
 * Commands and answers of the TPM itself go by a socket of their own, whole (TPM 2.0 Library, part
 * 1, 18): a tag, the length of all, a code.
 */
#include "worker/tpm.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "hosted/packet.h"
#include "hosted/whole.h"

#define CMD_INIT          0x02
#define CMD_GET_STATEBLOB 0x0c
#define CMD_SET_STATEBLOB 0x0d
#define CMD_STOP          0x0e
#define CMD_SET_DATAFD    0x10

#define HEADER    10u
#define LENGTH_AT 2u

/* The socket has a limit of time. */
static int receive_all(int fd, void *bytes, size_t length)
{
	int ret = whole_read(fd, bytes, length);

	return ret == -EAGAIN ? -ETIMEDOUT : ret;
}

/* A result of another process. What its numbers mean is a TPM 1.2's table, so they all become
 * one. */
static int take_result(int fd)
{
	uint32_t result;
	int ret = receive_all(fd, &result, sizeof(result));

	return ret != 0 ? ret : result != 0 ? -EIO : 0;
}

static int ask(const struct tpm_link *link, const void *request, size_t size)
{
	int ret = whole_send(link->control, request, size);

	return ret != 0 ? ret : take_result(link->control);
}

int tpm_link_begin(struct tpm_link *link, unsigned int seconds)
{
	const struct timeval limit = {.tv_sec = seconds};
	const uint32_t command = htobe32(CMD_SET_DATAFD);
	int pair[2], ret;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
		return -errno;
	}
	setsockopt(link->control, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	ret = packet_send(link->control, 0, &command, sizeof(command), &pair[1], 1);
	close(pair[1]);
	if (ret == 0) {
		ret = take_result(link->control);
	}
	if (ret != 0) {
		close(pair[0]);
		return ret;
	}
	link->commands = pair[0];
	return 0;
}

static int power(struct tpm_link *link, bool on)
{
	const uint32_t off = htobe32(CMD_STOP), init[2] = {htobe32(CMD_INIT)};

	return on ? ask(link, init, sizeof(init)) : ask(link, &off, sizeof(off));
}

int tpm_link_power(struct tpm_link *link)
{
	int ret = power(link, false);

	return ret != 0 ? ret : power(link, true);
}

int tpm_link_command(struct tpm_link *link, const uint8_t *command, uint32_t command_length,
		     uint8_t answer[TPM_BUFFER_BYTES], uint32_t *length)
{
	uint32_t size;
	int ret = whole_send(link->commands, command, command_length);

	if (ret == 0) {
		ret = receive_all(link->commands, answer, HEADER);
	}
	if (ret != 0) {
		return ret;
	}
	memcpy(&size, answer + LENGTH_AT, sizeof(size));
	size = be32toh(size);
	if (size < HEADER || size > TPM_BUFFER_BYTES) {
		return -EPROTO;
	}
	*length = size;
	return receive_all(link->commands, answer + HEADER, size - HEADER);
}

static uint32_t blob_number(enum tpm_blob_kind kind)
{
	return kind == TPM_PERMANENT ? 1 : 2;
}

int tpm_link_get(struct tpm_link *link, enum tpm_blob_kind kind, struct tpm_blob *blob)
{
	uint32_t request[4] = {htobe32(CMD_GET_STATEBLOB), 0, htobe32(blob_number(kind)), 0};
	uint32_t head[3], total = 0, length; /* flags, all that there is, and what comes now */
	int ret;

	*blob = (struct tpm_blob){.length = 0};
	do {
		request[3] = htobe32(blob->length);
		ret = ask(link, request, sizeof(request));
		if (ret == 0) {
			ret = receive_all(link->control, head, sizeof(head));
		}
		if (ret != 0) {
			break;
		}
		length = be32toh(head[2]);
		if (blob->bytes == NULL) {
			total = be32toh(head[1]);
			blob->bytes = total <= TPM_BLOB_MAX ? malloc(total + 1) : NULL;
			ret = blob->bytes != NULL ? 0 : total <= TPM_BLOB_MAX ? -ENOMEM : -EPROTO;
		}
		if (ret == 0 && (total != be32toh(head[1]) || length > total - blob->length ||
				 (length == 0 && blob->length < total))) {
			ret = -EPROTO;
		}
		if (ret == 0) {
			ret = receive_all(link->control, blob->bytes + blob->length, length);
			blob->length += length;
		}
	} while (ret == 0 && blob->length < total);
	if (ret != 0) {
		free(blob->bytes);
		*blob = (struct tpm_blob){.length = 0};
	}
	return ret;
}

static int put(struct tpm_link *link, enum tpm_blob_kind kind, const struct tpm_blob *blob)
{
	const uint32_t request[4] = {htobe32(CMD_SET_STATEBLOB), 0, htobe32(blob_number(kind)),
				     htobe32(blob->length)};
	int ret = whole_send(link->control, request, sizeof(request));

	if (ret == 0) {
		ret = whole_send(link->control, blob->bytes, blob->length);
	}
	return ret != 0 ? ret : take_result(link->control);
}

int tpm_link_put(struct tpm_link *link, const struct tpm_blob blobs[TPM_BLOBS])
{
	int ret = power(link, false), kind;

	for (kind = 0; kind < TPM_BLOBS && ret == 0; kind++) {
		if (blobs[kind].length != 0) {
			ret = put(link, kind, &blobs[kind]);
		}
	}
	return ret != 0 ? ret : power(link, true);
}

void tpm_link_end(struct tpm_link *link)
{
	if (link->control >= 0) {
		close(link->control);
		close(link->commands);
		link->control = link->commands = -1;
	}
}
