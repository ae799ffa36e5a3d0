/*
 * An extension that writes what passes into a pcapng file (draft-ietf-opsawg-pcapng), for tcpdump
 * and Wireshark: vswitchd --extension capture.so,FILE[,port=NAME][,bytes=N]. Each frame is there as
 * it was sent, with the sender's name as a comment. What is lost because the disk is full is lost.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "include/switch/extension.h"

#define BUFFER_BYTES  262144u
#define RECORD_BYTES  66000u /* the longest frame, and what stands around it */
#define SECTION       0x0a0d0d0au
#define INTERFACE     1u
#define PACKET        6u
#define BYTE_ORDER_IS 0x1a2b3c4du
#define ETHERNET      1u
#define COMMENT       1u
#define TAG_BYTES     4u
#define MACS          12u
#define NAME_BYTES    64u

struct capture {
	int fd;
	uint32_t used, most; /* `most` bytes of a frame */
	char port[NAME_BYTES];
	uint8_t buffer[BUFFER_BYTES];
};

static void put(struct capture *capture, const void *bytes, uint32_t length)
{
	memcpy(capture->buffer + capture->used, bytes, length);
	capture->used += length;
}

static void put_u32(struct capture *capture, uint32_t value)
{
	put(capture, &value, sizeof(value));
}

static void put_u16(struct capture *capture, uint16_t value)
{
	put(capture, &value, sizeof(value));
}

static void pad(struct capture *capture)
{
	while (capture->used % 4 != 0) {
		capture->buffer[capture->used++] = 0;
	}
}

static void write_out(struct capture *capture)
{
	uint32_t done = 0;

	while (done < capture->used) {
		ssize_t bytes = write(capture->fd, capture->buffer + done, capture->used - done);

		if (bytes < 0 && errno != EINTR) {
			break;
		}
		done += bytes > 0 ? (uint32_t)bytes : 0;
	}
	capture->used = 0;
}

/* A block's length stands at its both ends. */
static uint32_t begin(struct capture *capture, uint32_t type)
{
	put_u32(capture, type);
	put_u32(capture, 0);
	return capture->used - 8;
}

static void end(struct capture *capture, uint32_t at)
{
	uint32_t length = capture->used + 4 - at;

	put_u32(capture, length);
	memcpy(capture->buffer + at + 4, &length, sizeof(length));
}

static void put_heading(struct capture *capture)
{
	uint32_t at = begin(capture, SECTION);

	put_u32(capture, BYTE_ORDER_IS);
	put_u16(capture, 1);
	put_u16(capture, 0);
	put_u32(capture, UINT32_MAX); /* the section's length is not known */
	put_u32(capture, UINT32_MAX);
	end(capture, at);
	at = begin(capture, INTERFACE);
	put_u16(capture, ETHERNET);
	put_u16(capture, 0);
	put_u32(capture, capture->most);
	end(capture, at);
}

/* `from` bytes of the frame on are left out, and `length` copied. */
static void put_bytes(struct capture *capture, const struct extension_frame *frame, uint32_t from,
		      uint32_t length)
{
	uint32_t part = frame->head_bytes - from < length ? frame->head_bytes - from : length;

	put(capture, frame->head + from, part);
	length -= part;
	for (uint32_t i = 0; length != 0 && i < frame->part_count; i++) {
		part = frame->parts[i].length < length ? (uint32_t)frame->parts[i].length : length;
		put(capture, frame->parts[i].bytes, part);
		length -= part;
	}
}

static bool sent(void *state, const struct extension_frame *frame)
{
	struct capture *capture = state;
	uint32_t tag = frame->vlan != 0 ? TAG_BYTES : 0, whole = frame->bytes + tag, length, at;
	size_t name = strlen(frame->sender);
	struct timespec now;
	uint64_t time;

	if (capture->port[0] != '\0' && strcmp(capture->port, frame->sender) != 0) {
		return true;
	}
	if (capture->used > BUFFER_BYTES - RECORD_BYTES) {
		write_out(capture);
	}
	clock_gettime(CLOCK_REALTIME, &now);
	time = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
	length = whole < capture->most ? whole : capture->most;
	at = begin(capture, PACKET);
	put_u32(capture, 0);
	put_u32(capture, (uint32_t)(time >> 32));
	put_u32(capture, (uint32_t)time);
	put_u32(capture, length);
	put_u32(capture, whole);
	put(capture, frame->head, MACS);
	if (tag != 0) {
		const uint8_t bytes[TAG_BYTES] = {0x81, 0, (uint8_t)(frame->vlan >> 8),
						  (uint8_t)frame->vlan};

		put(capture, bytes, TAG_BYTES);
	}
	put_bytes(capture, frame, MACS, length - MACS - tag);
	pad(capture);
	put_u16(capture, COMMENT);
	put_u16(capture, (uint16_t)name);
	put(capture, frame->sender, (uint32_t)name);
	pad(capture);
	put_u32(capture, 0); /* no more options */
	end(capture, at);
	return true;
}

static void idle(void *state)
{
	write_out(state);
}

/* "FILE[,port=NAME][,bytes=N]" */
static int parse(struct capture *capture, char *options, char *why, size_t why_bytes)
{
	char *next = options, *word = strsep(&next, ",");
	const char *file = word;

	while ((word = strsep(&next, ",")) != NULL) {
		if (strncmp(word, "port=", 5) == 0 && strlen(word + 5) < NAME_BYTES) {
			strcpy(capture->port, word + 5);
		} else if (sscanf(word, "bytes=%u", &capture->most) != 1 || capture->most < 64 ||
			   capture->most > 65600) {
			snprintf(why, why_bytes, "%s: give FILE[,port=NAME][,bytes=64 to 65600]",
				 word);
			return -EINVAL;
		}
	}
	capture->fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (capture->fd < 0) {
		snprintf(why, why_bytes, "%s: %s", file, strerror(errno));
		return -errno;
	}
	return 0;
}

static int load(const char *options, void **state, char *why, size_t why_bytes)
{
	struct capture *capture = calloc(1, sizeof(*capture));
	char *copy = strdup(options);
	int ret = -ENOMEM;

	if (capture != NULL && copy != NULL) {
		capture->most = 65600;
		ret = parse(capture, copy, why, why_bytes);
	}
	free(copy);
	if (ret != 0) {
		free(capture);
		return ret;
	}
	put_heading(capture);
	*state = capture;
	return 0;
}

static void unload(void *state)
{
	struct capture *capture = state;

	write_out(capture);
	close(capture->fd);
	free(capture);
}

const struct switch_extension *switch_extension(void)
{
	static const struct switch_extension of = {
		.version = EXTENSION_VERSION,
		.kind = EXTENSION_CAPTURE,
		.name = "capture",
		.load = load,
		.unload = unload,
		.sent = sent,
		.idle = idle,
	};

	return &of;
}
