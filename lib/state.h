/*
 * A saved state: a list of parts that say of themselves what they are.
 *
 *   part   name      8 bytes, padded with zeros: "vmbus", "channel"
 *          version   u16, from 1 on: which values follow
 *          zero      u16
 *          length    u32, bytes of the value
 *          value     numbers, bytes, and parts, in the order that its version says
 *
 * All numbers are little-endian and nothing is padded, so equal states are equal bytes.
 *
 * A writer fills memory of the caller's and counts on where that ends: write to none first to learn
 * the size, then again. What is written must be the same both times.
 *
 * A reader believes nothing. The first fault is kept, with the name of the part it is in; after it
 * numbers read as 0, lists are at their end, and state_ok() is false. Read all of a state, check
 * it, and only then change anything. A part that is newer than its reader, or longer than its
 * version says, is a fault: a state is loaded as a whole or not at all.
 *
 * No allocation, no locks.
 */
#ifndef LIB_STATE_H
#define LIB_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/check.h"

#define STATE_NAME_BYTES   8u
#define STATE_HEADER_BYTES 16u

/* ---- writing ---- */

struct state_writer {
	uint8_t *to;
	size_t size;
	size_t used; /* bytes of the state so far; above `size` nothing was written */
};

/* `to` may be NULL with `size` 0. */
struct state_writer state_writer(void *to, size_t size);
/* True: all of the state is there. */
bool state_fits(const struct state_writer *writer) MUST_CHECK;

/* A part; what is written until its state_end() is its value. Returns where it begins. `name` has 1
 * to STATE_NAME_BYTES letters. */
size_t state_begin(struct state_writer *writer, const char *name, uint16_t version) MUST_CHECK;
void state_end(struct state_writer *writer, size_t begin);

void state_put_u8(struct state_writer *writer, uint8_t value);
void state_put_u16(struct state_writer *writer, uint16_t value);
void state_put_u32(struct state_writer *writer, uint32_t value);
void state_put_u64(struct state_writer *writer, uint64_t value);
void state_put_bool(struct state_writer *writer, bool value);
void state_put_bytes(struct state_writer *writer, const void *from, size_t size);

/* ---- reading ---- */

/* Why a state is refused. `what` is NULL without a fault, else the end of a sentence about the
 * part. */
struct state_fault {
	char part[STATE_NAME_BYTES + 1]; /* "" is the state as a whole */
	const char *what;
};

/* The value of a part, or a list of parts; a copy of it reads the same again. */
struct state_reader {
	const uint8_t *at, *end;
	struct state_fault *fault;
	uint16_t version;
	char name[STATE_NAME_BYTES + 1];
};

/* The whole. The memory stays as it is while it is read; *fault is cleared. */
struct state_reader state_reader(const void *from, size_t size, struct state_fault *fault);

/* The part that comes next, whatever it is. False: the list is at its end, or there is a fault. */
bool state_next(struct state_reader *list, struct state_reader *part) MUST_CHECK;
/* As state_next(), but only if it has this name; else the list stays where it is. A version above
 * `newest` is a fault. */
bool state_next_named(struct state_reader *list, const char *name, uint16_t newest,
		      struct state_reader *part) MUST_CHECK;
/* The part that must come next: it is a fault if it does not. An empty reader then. */
struct state_reader state_part(struct state_reader *list, const char *name, uint16_t newest);

uint8_t state_u8(struct state_reader *part);
uint16_t state_u16(struct state_reader *part);
uint32_t state_u32(struct state_reader *part);
uint64_t state_u64(struct state_reader *part);
bool state_bool(struct state_reader *part); /* anything but 0 and 1 is a fault */
/* Zeros after a fault. */
void state_bytes(struct state_reader *part, void *to, size_t size);
/* Where the next `size` bytes are, NULL if there are fewer. */
const uint8_t *state_span(struct state_reader *part, size_t size);
size_t state_left(const struct state_reader *part); /* bytes; 0 after a fault */

/* The part has been read: it is a fault if something is left of it. */
void state_finish(struct state_reader *part);
/* What it says cannot be. `what` is a constant, the end of a sentence: "has a VP that the machine
 * has not". */
void state_refuse(const struct state_reader *part, const char *what);
bool state_ok(const struct state_reader *reader) MUST_CHECK;

#endif
