/*
 * See carry.h. The disk library notes what changes of a disk in use (disk/changes.c), so the guest
 * waits for nobody, and a connection that fails is no failure of its disk. What reads as zeros at
 * first is so in a new disk already; later, zeros are said.
 *
 * The target writes into disks that nobody else has, and which are nobody's until the machine is
 * its own; each frame is checked before that.
 */
#include "worker/carry.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk/bytes.h"
#include "disk/disk.h"
#include "disk/units.h"
#include "worker/control.h"
#include "worker/machine.h"
#include "worker/offer.h"

#define SEND_SECONDS 30u

/* NULL: none that comes along. */
static struct disk *disk_at(const struct machine *machine, unsigned int place)
{
	const struct disk_place *at = &machine->disks.places[place];

	return at->file != NULL && !at->dvd && !disk_is_read_only(at->file) ? at->file : NULL;
}

void carry_offer(const struct machine *machine, struct offer *offer)
{
	for (unsigned int i = 0; i < CONFIG_DISKS_MAX; i++) {
		const struct disk *disk = disk_at(machine, i);

		/* The target's has no place in the machine yet. */
		if (disk != NULL && offer->disks[i] == OFFER_DISK) {
			offer->sizes[i] = (struct offer_size){.bytes = disk_size(disk),
							      .sector = disk_sector_size(disk),
							      .physical = disk_physical_size(disk)};
			memcpy(offer->sizes[i].id, machine->disks.places[i].id, OFFER_ID_BYTES);
		}
	}
}

uint64_t carry_size(const struct machine *machine)
{
	uint64_t size = 0;

	for (unsigned int i = 0; i < CONFIG_DISKS_MAX; i++) {
		const struct disk *disk = disk_at(machine, i);

		size += disk != NULL ? disk_size(disk) : 0;
	}
	return size;
}

/* ---- The source ---- */

int carrier_begin(struct carrier *carrier)
{
	int ret = 0;

	carrier->bytes = malloc(WIRE_PIECE);
	if (carrier->bytes == NULL) {
		return -ENOMEM;
	}
	for (unsigned int i = 0; i < CONFIG_DISKS_MAX && ret == 0; i++) {
		struct disk *disk = disk_at(carrier->machine, i);

		if (disk != NULL) {
			ret = disk_changes_begin(disk);
		}
	}
	return ret;
}

void carrier_end(struct carrier *carrier)
{
	for (unsigned int i = 0; i < CONFIG_DISKS_MAX; i++) {
		struct disk *disk = disk_at(carrier->machine, i);

		if (disk != NULL) {
			disk_changes_end(disk);
		}
	}
	free(carrier->bytes);
	carrier->bytes = NULL;
}

uint64_t carrier_left(const struct carrier *carrier)
{
	uint64_t left = 0;

	for (unsigned int i = 0; i < CONFIG_DISKS_MAX; i++) {
		const struct disk *disk = disk_at(carrier->machine, i);

		left += disk != NULL ? disk_changes_left(disk) : 0;
	}
	return left;
}

static int fail_reading(struct carrier *carrier, struct disk *disk, int ret)
{
	carrier->reading = true;
	snprintf(carrier->why, sizeof(carrier->why), "%.390s", disk_last_error(disk)->text);
	return ret;
}

/* Of at most WIRE_PIECE. */
static int send_piece(struct carrier *carrier, unsigned int place, uint64_t offset, uint64_t length,
		      bool first)
{
	struct disk *disk = disk_at(carrier->machine, place);
	struct wire_disk head = {.place = place, .offset = offset, .length = length};
	const struct iovec parts[2] = {{&head, sizeof(head)}, {carrier->bytes, length}};
	int ret = carrier->between(carrier->user);

	if (ret != 0) {
		return ret;
	}
	ret = disk_read(disk, carrier->bytes, length, offset);
	if (ret != 0) {
		return fail_reading(carrier, disk, ret);
	}
	head.zeros = is_all_zero(carrier->bytes, length);
	if (head.zeros != 0 && first) {
		return 0;
	}
	carrier->sent += head.zeros != 0 ? 0 : length;
	return wire_send(carrier->wire, WIRE_DISK, parts, head.zeros != 0 ? 1 : 2, SEND_SECONDS);
}

static int send_disk(struct carrier *carrier, unsigned int place)
{
	struct disk *disk = disk_at(carrier->machine, place);
	uint64_t offset = 0, run, before = atomic_load(&carrier->done);
	enum disk_status status;
	int ret = 0;

	while (offset < disk_size(disk) && ret == 0) {
		ret = disk_status(disk, offset, disk_size(disk) - offset, &status, &run);
		if (ret != 0) {
			return fail_reading(carrier, disk, ret);
		}
		if (status != DISK_STATUS_ZERO) {
			run = min_u64(run, WIRE_PIECE);
			ret = send_piece(carrier, place, offset, run, true);
		}
		offset += run;
		atomic_store(&carrier->done, before + offset);
		control_notify(carrier->machine);
	}
	return ret;
}

int carrier_send_all(struct carrier *carrier)
{
	int ret = 0;

	for (unsigned int i = 0; i < CONFIG_DISKS_MAX && ret == 0; i++) {
		if (disk_at(carrier->machine, i) != NULL) {
			ret = send_disk(carrier, i);
		}
	}
	return ret;
}

int carrier_send_changes(struct carrier *carrier)
{
	int ret = 0;

	for (unsigned int i = 0; i < CONFIG_DISKS_MAX && ret == 0; i++) {
		struct disk *disk = disk_at(carrier->machine, i);
		uint64_t offset = 0, length = WIRE_PIECE;

		while (disk != NULL && ret == 0 && disk_changes_take(disk, &offset, &length)) {
			ret = send_piece(carrier, i, offset, length, false);
			offset += length;
			length = WIRE_PIECE;
		}
	}
	return ret;
}

/* ---- The target ---- */

static bool refuse(char *why, uint32_t size, const char *what)
{
	snprintf(why, size, "%s", what);
	return false;
}

void carry_know(struct machine *machine, const struct offer *offer)
{
	for (unsigned int i = 0; i < CONFIG_DISKS_MAX; i++) {
		struct disk_place *place = &machine->disks.places[i];

		if (offer->sizes[i].sector != 0) {
			memcpy(place->id, offer->sizes[i].id, sizeof(place->id));
			place->has_id = true;
		}
	}
}

bool carry_take(struct machine *machine, const struct wire_frame *frame, char *why, uint32_t size)
{
	struct wire_disk head;
	struct disk *disk;
	int ret;

	if (frame->length < sizeof(head)) {
		return refuse(why, size, "a frame of a disk is too short");
	}
	memcpy(&head, frame->payload, sizeof(head));
	disk = head.place < CONFIG_DISKS_MAX ? disk_at(machine, head.place) : NULL;
	if (disk == NULL || head.zeros > 1) {
		return refuse(why, size, "a piece comes of a disk that is none");
	}
	if (head.length == 0 || head.length > WIRE_PIECE || head.offset > disk_size(disk) ||
	    head.length > disk_size(disk) - head.offset ||
	    frame->length - sizeof(head) != (head.zeros != 0 ? 0 : head.length)) {
		return refuse(why, size, "a piece of a disk has not its length, or no place");
	}
	ret = head.zeros != 0
		      ? disk_trim(disk, head.length, head.offset)
		      : disk_write(disk, frame->payload + sizeof(head), head.length, head.offset);
	return ret == 0 || refuse(why, size, disk_last_error(disk)->text);
}

bool carry_flush(struct machine *machine, char *why, uint32_t size)
{
	for (unsigned int i = 0; i < CONFIG_DISKS_MAX; i++) {
		struct disk *disk = disk_at(machine, i);

		if (disk != NULL && disk_flush(disk) != 0) {
			return refuse(why, size, disk_last_error(disk)->text);
		}
	}
	return true;
}
