/*
 * Frames on the connection of a migration (docs/design/migrate.md): a stream socket, and what is at
 * its other end is not trusted. A frame is {type, length} and its payload, numbers little-endian.
 * One thread at a time.
 */
#ifndef WORKER_WIRE_H
#define WORKER_WIRE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "hvs/hvs.h"
#include "lib/check.h"

#define WIRE_VERSION 2
#define WIRE_DISKS   2 /* the first that has disks */

enum wire_type {
	WIRE_HELLO = 1, /* struct wire_hello, then a list of parts: an offer (offer.h) */
	WIRE_YES,       /* version u32 */
	WIRE_PAGES, /* struct wire_pages, then the block, packed, with zeros for the pages that are not in it */
	WIRE_LIST,   /* the next piece of the list of parts of a saved state */
	WIRE_END,    /* struct wire_end */
	WIRE_RUNS,   /* nothing */
	WIRE_FAILED, /* a text: why */
	/* With disks that come along, and no file that both sides have: */
	WIRE_DISK,    /* struct wire_disk, then what is there, unless it is zeros */
	WIRE_FLUSH,   /* nothing: make durable what has come of the disks */
	WIRE_FLUSHED, /* nothing */
	WIRE_ASK,     /* nothing: the target has all that it needs */
	WIRE_OWNER,   /* enum owner u32: whose the machine is */
};

struct wire_hello {
	uint32_t lowest, highest; /* versions */
	uint8_t token[16];
};

struct wire_pages {
	uint64_t block;                     /* counted as those of a saved state */
	uint8_t there[HVS_BLOCK_PAGES / 8]; /* a bit a page, the lowest first */
};

struct wire_disk {
	uint32_t place; /* of the disk */
	uint32_t zeros; /* 1: nothing follows */
	uint64_t offset, length;
};

struct wire_end {
	uint32_t size, crc; /* of the list */
};

#define WIRE_PAYLOAD_MAX (sizeof(struct wire_pages) + HVS_PACKED_BYTES)
#define WIRE_PIECE       (1u << 20) /* of a list, or of a disk */
#define WIRE_TEXT_MAX    1000u

struct wire {
	int fd;
	/* Asked ten times a second while it waits: true ends that with -ECANCELED. */
	bool (*given_up)(void *user);
	void *user;
	uint64_t sent; /* bytes */
};

struct wire_frame {
	uint32_t type, length;
	uint8_t payload[WIRE_PAYLOAD_MAX];
};

/* -EPIPE: the connection is cut; -ETIMEDOUT: nobody took a byte for so long; -ECANCELED. */
int wire_send(struct wire *wire, enum wire_type type, const struct iovec *parts, unsigned int count,
	      unsigned int seconds) MUST_CHECK;
/* A text, shortened if need be; whether it arrives nobody waits for long. */
void wire_send_text(struct wire *wire, enum wire_type type, const char *text);
/* The same, and -EBADMSG: a length that no frame has. `seconds` without a byte. */
int wire_receive(struct wire *wire, struct wire_frame *frame, unsigned int seconds) MUST_CHECK;
/* There is something to receive, or the connection has ended. */
bool wire_is_readable(const struct wire *wire);
/* A frame's text, as one line that is safe to show. */
void wire_text(const struct wire_frame *frame, char *text, uint32_t size);

#endif
