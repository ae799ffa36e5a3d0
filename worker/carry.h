/*
 * Disks that come along with a machine that moves, over the same connection
 * (docs/design/migrate.md): all that is in them at first, then what the guest has written
 * meanwhile, as often as need be. They are those that the guest writes, by their places.
 */
#ifndef WORKER_CARRY_H
#define WORKER_CARRY_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/check.h"
#include "worker/wire.h"

struct machine;

struct offer;
/* At both ends: that they do. */
void carry_offer(const struct machine *machine, struct offer *offer);
/* Of all that come along, in bytes. */
uint64_t carry_size(const struct machine *machine);

/* ---- The source: the thread that moves the machine ---- */

struct carrier {
	struct machine *machine;
	struct wire *wire;
	/* Asked before each piece: other than 0 ends it with that. */
	int (*between)(void *user);
	void *user;
	uint8_t *bytes;        /* WIRE_PIECE; NULL: not begun */
	_Atomic uint64_t done; /* bytes of the disks that were looked at, of carry_size() */
	uint64_t sent;         /* bytes of them, zeros not counted */
	bool reading;          /* a failure was a disk's, which says why; else the connection's */
	char why[400];
};

/* What changes of the disks is noted from here on. -ENOMEM */
int carrier_begin(struct carrier *carrier) MUST_CHECK;
/* All that there is but zeros. -errno */
int carrier_send_all(struct carrier *carrier) MUST_CHECK;
/* What has changed since, or since this was last asked for. */
int carrier_send_changes(struct carrier *carrier) MUST_CHECK;
/* Bytes that are noted. */
uint64_t carrier_left(const struct carrier *carrier);
/* Whatever came of it. */
void carrier_end(struct carrier *carrier);

/* ---- The target ---- */

/* What fits has come: it is known to the guest as it was. */
void carry_know(struct machine *machine, const struct offer *offer);

/* A frame WIRE_DISK, and what it says is in the disk. False: why. */
bool carry_take(struct machine *machine, const struct wire_frame *frame, char *why, uint32_t size);
/* All that came is durable. */
bool carry_flush(struct machine *machine, char *why, uint32_t size);

#endif
