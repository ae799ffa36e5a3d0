/*
 * What the units of a bus remember, as parts of a saved state (lib/state.h).
 *
 *   unit 1   path, target, LUN, kind, identity, blocks and their size, by which a unit is known again; stopped, write cache,
 *            unit attentions by nexus; reservation, its holder, generation, keys by nexus; tray open, locked, its event
 *
 * Data, and what follows from it, is the disk's. A command that is under way is its transport's to
 * save.
 */
#include "vsp/storage/scsi_unit.h"

#include <string.h>

#define UNIT_STATE_VERSION 1

/* ---- saving ---- */

static void save_unit(struct storage_address at, struct scsi_unit *unit, void *user)
{
	struct state_writer *writer = user;
	size_t part = state_begin(writer, "unit", UNIT_STATE_VERSION);
	unsigned i;

	pthread_mutex_lock(&unit->lock);
	state_put_u8(writer, at.path);
	state_put_u8(writer, at.target);
	state_put_u8(writer, at.lun);
	state_put_u8(writer, (uint8_t)unit->kind);
	state_put_bytes(writer, unit->id, sizeof(unit->id));
	state_put_u64(writer, unit->blocks);
	state_put_u32(writer, unit->block_size);
	state_put_bool(writer, atomic_load(&unit->stopped));
	state_put_bool(writer, atomic_load(&unit->write_cache));
	for (i = 0; i < SCSI_NEXUS_COUNT; i++) {
		state_put_u32(writer, atomic_load(&unit->attention[i]));
	}
	state_put_u8(writer, (uint8_t)atomic_load(&unit->reserved));
	state_put_u32(writer, unit->holder);
	state_put_u32(writer, unit->generation);
	for (i = 0; i < SCSI_NEXUS_COUNT; i++) {
		state_put_u64(writer, unit->keys[i]);
	}
	state_put_bool(writer, unit->tray_open);
	state_put_bool(writer, unit->tray_locked);
	state_put_u8(writer, (uint8_t)unit->media_event);
	pthread_mutex_unlock(&unit->lock);
	state_end(writer, part);
}

void scsi_bus_save(struct scsi_bus *bus, struct state_writer *writer)
{
	scsi_bus_each(bus, save_unit, writer);
}

/* ---- loading ---- */

static bool reservation_is_valid(const struct scsi_saved_unit *saved)
{
	switch (saved->reserved) {
	case RESERVE_NONE:
	case RESERVE_WRITE_ALL:
	case RESERVE_EXCLUSIVE_ALL:
		return saved->holder < SCSI_NEXUS_COUNT;
	case RESERVE_WRITE_EXCLUSIVE:
	case RESERVE_EXCLUSIVE:
	case RESERVE_WRITE_REGISTRANTS:
	case RESERVE_EXCLUSIVE_REGISTRANTS:
		return saved->holder < SCSI_NEXUS_COUNT && saved->keys[saved->holder] != 0;
	default:
		return false;
	}
}

static void check_values(const struct scsi_saved_unit *saved, const struct state_reader *part)
{
	unsigned i;

	for (i = 0; i < SCSI_NEXUS_COUNT; i++) {
		if (saved->attention[i] >= 1u << ATTENTION_COUNT) {
			state_refuse(part, "has unit attentions that there are not");
		}
	}
	if (!reservation_is_valid(saved)) {
		state_refuse(part, "has a reservation that nobody can hold");
	}
	if (saved->media_event > MEDIA_REMOVED ||
	    (saved->kind != STORAGE_DVD &&
	     (saved->tray_open || saved->tray_locked || saved->media_event != MEDIA_NO_CHANGE))) {
		state_refuse(part, "has a tray that cannot be");
	}
}

static void read_unit(struct scsi_saved_unit *saved, struct state_reader *part)
{
	unsigned i;

	saved->address.path = state_u8(part);
	saved->address.target = state_u8(part);
	saved->address.lun = state_u8(part);
	saved->kind = (enum storage_kind)state_u8(part);
	state_bytes(part, saved->id, sizeof(saved->id));
	saved->blocks = state_u64(part);
	saved->block_size = state_u32(part);
	saved->stopped = state_bool(part);
	saved->write_cache = state_bool(part);
	for (i = 0; i < SCSI_NEXUS_COUNT; i++) {
		saved->attention[i] = state_u32(part);
	}
	saved->reserved = state_u8(part);
	saved->holder = state_u32(part);
	saved->generation = state_u32(part);
	for (i = 0; i < SCSI_NEXUS_COUNT; i++) {
		saved->keys[i] = state_u64(part);
	}
	saved->tray_open = state_bool(part);
	saved->tray_locked = state_bool(part);
	saved->media_event = state_u8(part);
	state_finish(part);
	check_values(saved, part);
}

/* Each unit of the bus in its place in the list, as scsi_bus_save() had them. */
struct comparison {
	const struct scsi_saved *saved;
	unsigned count;
	const char *fault;
};

static void compare_unit(struct storage_address at, struct scsi_unit *unit, void *user)
{
	struct comparison *comparison = user;
	const struct scsi_saved_unit *saved = &comparison->saved->units[comparison->count];

	if (comparison->fault != NULL) {
		return;
	}
	if (comparison->count == comparison->saved->count || saved->address.path != at.path ||
	    saved->address.target != at.target || saved->address.lun != at.lun ||
	    saved->kind != unit->kind || memcmp(saved->id, unit->id, sizeof(unit->id)) != 0) {
		comparison->fault = "is of a machine with other disks";
	} else if (saved->blocks != unit->blocks || saved->block_size != unit->block_size) {
		comparison->fault = "is of a disk of another size";
	}
	comparison->count++;
}

void scsi_bus_read(struct scsi_bus *bus, struct state_reader *list, struct scsi_saved *saved)
{
	struct comparison comparison = {.saved = saved};
	struct state_reader part = *list;

	saved->count = 0;
	while (state_next_named(list, "unit", UNIT_STATE_VERSION, &part)) {
		if (saved->count == STORAGE_UNITS_MAX) {
			state_refuse(&part, "is one too many");
			return;
		}
		read_unit(&saved->units[saved->count++], &part);
	}
	if (!state_ok(list)) {
		return;
	}
	scsi_bus_each(bus, compare_unit, &comparison);
	if (comparison.fault == NULL && comparison.count != saved->count) {
		comparison.fault = "is of a machine with other disks";
	}
	if (comparison.fault != NULL) {
		state_refuse(list, comparison.fault);
	}
}

static void set_unit(struct storage_address at, struct scsi_unit *unit, void *user)
{
	const struct scsi_saved_unit **next = user, *saved = (*next)++;
	unsigned i;

	(void)at;
	atomic_store(&unit->stopped, saved->stopped);
	atomic_store(&unit->write_cache, saved->write_cache && !unit->write_through);
	for (i = 0; i < SCSI_NEXUS_COUNT; i++) {
		atomic_store(&unit->attention[i], saved->attention[i]);
	}
	pthread_mutex_lock(&unit->lock);
	atomic_store(&unit->reserved, (enum scsi_reservation)saved->reserved);
	unit->holder = saved->holder;
	unit->generation = saved->generation;
	memcpy(unit->keys, saved->keys, sizeof(unit->keys));
	unit->tray_open = saved->tray_open;
	unit->tray_locked = saved->tray_locked;
	unit->media_event = (enum scsi_media_event)saved->media_event;
	pthread_mutex_unlock(&unit->lock);
}

void scsi_bus_set(struct scsi_bus *bus, const struct scsi_saved *saved)
{
	const struct scsi_saved_unit *next = saved->units;

	scsi_bus_each(bus, set_unit, &next);
}
