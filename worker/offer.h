/*
 * What two sides of a migration compare beforehand: the machine as it is at the source, and as the
 * target's configuration and host could have it. It travels as parts of lib/state.h, and the other
 * side is not trusted.
 */
#ifndef WORKER_OFFER_H
#define WORKER_OFFER_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/backend.h"
#include "lib/state.h"
#include "worker/config.h"
#include "worker/memory.h"

struct machine;
struct firmware;

#define OFFER_ID_BYTES 16u

enum offer_disk { OFFER_NONE, OFFER_DISK, OFFER_DISK_READ_ONLY, OFFER_DVD, OFFER_DVD_EMPTY };

struct offer {
	uint32_t vps;
	uint64_t memory, memory_maximum, added[MEMORY_ADDED];
	uint8_t generation;
	bool scsi, vga, no_flush_calls, dynamic;
	uint16_t networks;               /* adapters: a bit each */
	bool tpm;                        /* this and the next two of generation 2 */
	uint32_t firmware, variables;    /* bytes of both, by which they have their places */
	uint8_t disks[CONFIG_DISKS_MAX]; /* enum offer_disk, by place */
	/* Disks that come along, by place; without sectors: none does. */
	struct offer_size {
		uint64_t bytes;
		uint32_t sector, physical;
		uint8_t id[OFFER_ID_BYTES]; /* by which the guest knows it; not compared */
	} sizes[CONFIG_DISKS_MAX];
	struct backend_processor processor;
};

/* The source's, of the machine that runs; and the target's, of its configuration, and of the
 * firmware that is open. */
void offer_of_machine(struct offer *offer, const struct machine *machine);
void offer_of_config(struct offer *offer, const struct config *config);
void offer_add_firmware(struct offer *offer, const struct firmware *firmware);

void offer_write(const struct offer *offer, struct state_writer *writer);
/* `disks`: the version has them. False: state_fault of the reader says why. */
bool offer_read(struct offer *offer, struct state_reader *list, bool disks) MUST_CHECK;

/* True: `wanted` can go on at `had`. Else all that does not fit is in `text`, as much as there is
 * room for, in one line. */
bool offer_fits(const struct offer *wanted, const struct offer *had, char *text, uint32_t size);

#endif
