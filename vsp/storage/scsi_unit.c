/*
 * A logical unit: its life, what every command is checked for before its handler runs, and the
 * commands about the unit itself.
 */
#include "vsp/storage/scsi_unit.h"

#include <stdlib.h>
#include <string.h>

#include "lib/be.h"

static const enum scsi_sense attention_sense[ATTENTION_COUNT] = {
	[ATTENTION_POWER_ON] = SENSE_POWER_ON,
	[ATTENTION_MEDIUM_CHANGED] = SENSE_MEDIUM_CHANGED,
	[ATTENTION_CAPACITY_CHANGED] = SENSE_CAPACITY_CHANGED,
	[ATTENTION_CONDITIONS_CHANGED] = SENSE_CONDITIONS_CHANGED,
	[ATTENTION_MODE_CHANGED] = SENSE_MODE_CHANGED,
	[ATTENTION_REGISTRATION_PREEMPTED] = SENSE_REGISTRATION_PREEMPTED,
	[ATTENTION_RESERVATION_PREEMPTED] = SENSE_RESERVATION_PREEMPTED,
	[ATTENTION_RESERVATION_RELEASED] = SENSE_RESERVATION_RELEASED,
};

bool scsi_unit_set_disk(struct scsi_unit *unit, struct disk *disk)
{
	uint32_t sector = disk != NULL ? disk_sector_size(disk) : 0;
	uint64_t size = disk != NULL ? disk_size(disk) : 0;

	if (unit->kind == STORAGE_DISK) {
		if ((sector != 512 && sector != 4096) || size < sector) {
			return false;
		}
		unit->block_size = sector;
		unit->physical_size =
			disk_physical_size(disk) < sector ? sector : disk_physical_size(disk);
		unit->blocks = size / sector;
		unit->read_only = disk_is_read_only(disk);
	} else {
		if (disk != NULL && (!size || SCSI_DVD_BLOCK % sector)) {
			return false;
		}
		unit->block_size = unit->physical_size = SCSI_DVD_BLOCK;
		unit->blocks = (size + SCSI_DVD_BLOCK - 1) / SCSI_DVD_BLOCK;
		unit->read_only = true;
	}
	unit->disk = disk;
	return true;
}

struct scsi_unit *scsi_unit_create(const struct storage_unit *config)
{
	struct scsi_unit *unit = calloc(1, sizeof(*unit));

	if (unit == NULL) {
		return NULL;
	}
	unit->kind = config->kind;
	unit->write_through = config->write_through;
	memcpy(unit->id, config->id, sizeof(unit->id));
	pthread_mutex_init(&unit->lock, NULL);
	scsi_unit_reset(unit);
	return unit;
}

void scsi_unit_destroy(struct scsi_unit *unit)
{
	pthread_mutex_destroy(&unit->lock);
	free(unit);
}

void scsi_unit_attend_others(struct scsi_unit *unit, unsigned nexus, enum scsi_attention attention)
{
	unsigned i;

	for (i = 0; i < SCSI_NEXUS_COUNT; i++) {
		if (i != nexus) {
			atomic_fetch_or(&unit->attention[i], 1u << attention);
		}
	}
}

void scsi_unit_attend(struct scsi_unit *unit, enum scsi_attention attention)
{
	scsi_unit_attend_others(unit, SCSI_NEXUS_COUNT, attention);
}

void scsi_unit_reset(struct scsi_unit *unit)
{
	pthread_mutex_lock(&unit->lock);
	unit->tray_locked = false;
	pthread_mutex_unlock(&unit->lock);
	atomic_store(&unit->stopped, false);
	atomic_store(&unit->write_cache, !unit->write_through);
	scsi_unit_attend(unit, ATTENTION_POWER_ON);
}

static enum scsi_sense scsi_unit_next_attention(struct scsi_unit *unit, unsigned nexus)
{
	unsigned pending = atomic_load(&unit->attention[nexus]);
	unsigned first;

	while (pending) {
		first = (unsigned)__builtin_ctz(pending);
		if (atomic_compare_exchange_weak(&unit->attention[nexus], &pending,
						 pending & ~(1u << first))) {
			return attention_sense[first];
		}
	}
	return SENSE_NONE;
}

/* Whether the medium can be reached. */
enum scsi_sense scsi_unit_readiness(struct scsi_unit *unit)
{
	bool open = false;

	if (unit->kind == STORAGE_DVD) {
		pthread_mutex_lock(&unit->lock);
		open = unit->tray_open;
		pthread_mutex_unlock(&unit->lock);
	}
	if (open) {
		return SENSE_NO_MEDIUM_TRAY_OPEN;
	}
	if (unit->disk == NULL) {
		return SENSE_NO_MEDIUM_TRAY_CLOSED;
	}
	return atomic_load(&unit->stopped) ? SENSE_INITIALIZING_NEEDED : SENSE_NONE;
}

/* A row with a service action stands for that action alone. */
static const struct scsi_command *find_command(const struct scsi_unit *unit, const uint8_t *cdb)
{
	bool is_disk = unit->kind == STORAGE_DISK;
	const struct scsi_command *table = is_disk ? scsi_disk_commands : scsi_dvd_commands;
	unsigned count = is_disk ? scsi_disk_command_count : scsi_dvd_command_count;
	unsigned i;

	for (i = 0; i < count; i++) {
		if (table[i].opcode == cdb[0] &&
		    (!table[i].has_action || table[i].action == (cdb[1] & 0x1f))) {
			return &table[i];
		}
	}
	return NULL;
}

static bool knows_opcode(const struct scsi_unit *unit, uint8_t opcode)
{
	uint8_t action;

	for (action = 0; action < 32; action++) {
		uint8_t cdb[2] = {opcode, action};

		if (find_command(unit, cdb) != NULL) {
			return true;
		}
	}
	return false;
}

static bool direction_fits(const struct scsi_request *r, uint8_t flags)
{
	return !r->data_length || r->direction == SCSI_NO_DATA || !(flags & (CMD_IN | CMD_OUT)) ||
	       r->direction == ((flags & CMD_IN) ? SCSI_DATA_IN : SCSI_DATA_OUT);
}

/*
 * The order is SAM-5's: the command's form, a pending attention, another's reservation, the medium.
 */
void scsi_unit_execute(struct scsi_request *r)
{
	struct scsi_unit *unit = r->p.unit;
	const struct scsi_command *command = find_command(unit, r->cdb);
	enum scsi_sense sense = SENSE_NONE;

	if (atomic_load(&unit->held)) {
		scsi_finish(r, SCSI_BUSY);
		return;
	}
	if (command == NULL) {
		scsi_fail(r, knows_opcode(unit, r->cdb[0]) ? SENSE_INVALID_FIELD_CDB
							   : SENSE_INVALID_OPCODE);
		return;
	}
	if (r->cdb_length < scsi_cdb_length(r->cdb[0]) || !direction_fits(r, command->flags)) {
		scsi_fail(r, SENSE_INVALID_FIELD_CDB);
		return;
	}
	if (!(command->flags & CMD_ATTENDS)) {
		sense = scsi_unit_next_attention(unit, r->nexus);
	}
	if (!sense && scsi_reserve_conflicts(unit, r->nexus, command->flags)) {
		scsi_finish(r, SCSI_RESERVATION_CONFLICT);
		return;
	}
	if (!sense && (command->flags & CMD_MEDIUM)) {
		sense = scsi_unit_readiness(unit);
	}
	if (!sense && (command->flags & CMD_WRITES) && unit->read_only) {
		sense = SENSE_WRITE_PROTECTED;
	}
	if (sense) {
		scsi_fail(r, sense);
	} else {
		command->run(r);
	}
}

void scsi_test_unit_ready(struct scsi_request *r)
{
	enum scsi_sense sense = scsi_unit_readiness(r->p.unit);

	if (sense) {
		scsi_fail(r, sense);
	} else {
		scsi_good(r);
	}
}

/* Descriptor format (DESC) is not offered. */
void scsi_request_sense(struct scsi_request *r)
{
	uint8_t sense[SCSI_SENSE_BYTES];
	enum scsi_sense code;

	if (r->cdb[1] & 1) {
		scsi_fail(r, SENSE_INVALID_FIELD_CDB);
		return;
	}
	code = scsi_unit_next_attention(r->p.unit, r->nexus);
	scsi_format_sense(sense, code ? code : scsi_unit_readiness(r->p.unit));
	scsi_reply(r, sense, sizeof(sense), r->cdb[4]);
}

static void stop_after_flush(struct scsi_request *r)
{
	atomic_store(&r->p.unit->stopped, true);
	scsi_good(r);
}

/* LOEJ with START clear opens the tray, with START set closes it. The medium stays on the tray. */
static enum scsi_sense move_tray(struct scsi_unit *unit, bool close)
{
	enum scsi_sense sense = SENSE_NONE;

	pthread_mutex_lock(&unit->lock);
	if (unit->tray_locked && !close) {
		sense = SENSE_REMOVAL_PREVENTED;
	} else if (unit->tray_open == close) {
		unit->tray_open = !close;
		if (unit->disk != NULL) {
			unit->media_event = close ? MEDIA_NEW : MEDIA_REMOVED;
		}
		if (unit->disk != NULL && close) {
			scsi_unit_attend(unit, ATTENTION_MEDIUM_CHANGED);
		}
	}
	pthread_mutex_unlock(&unit->lock);
	return sense;
}

/* SBC-4 5.31, MMC-6 6.42. A disk that is stopped has everything on the medium. */
void scsi_start_stop(struct scsi_request *r)
{
	struct scsi_unit *unit = r->p.unit;
	bool start = r->cdb[4] & 1, eject = r->cdb[4] & 2;
	enum scsi_sense sense;

	if (r->cdb[4] >> 4) { /* a power condition: there is none to go to */
		scsi_good(r);
	} else if (eject && unit->kind == STORAGE_DVD) {
		sense = move_tray(unit, start);
		if (sense) {
			scsi_fail(r, sense);
		} else {
			scsi_good(r);
		}
	} else if (eject) {
		scsi_fail(r, SENSE_INVALID_FIELD_CDB);
	} else if (start || unit->kind == STORAGE_DVD) {
		atomic_store(&unit->stopped, false);
		scsi_good(r);
	} else {
		scsi_io(r, (struct disk_req){.op = DISK_OP_FLUSH}, stop_after_flush);
	}
}

void scsi_prevent_removal(struct scsi_request *r)
{
	struct scsi_unit *unit = r->p.unit;

	pthread_mutex_lock(&unit->lock);
	unit->tray_locked = r->cdb[4] & 1;
	pthread_mutex_unlock(&unit->lock);
	scsi_good(r);
}
