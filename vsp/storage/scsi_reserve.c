/*
 * Persistent reservations (SPC-4 5.13, 6.15, 6.16).
 *
 * A nexus registers a key; a registered nexus may reserve the unit, release it, or take it over by
 * naming the holder's key. They last as long as the unit is attached: they outlive resets, and not
 * the worker (APTPL is refused).
 */
#include "vsp/storage/scsi_unit.h"

#include <string.h>

#include "lib/be.h"

#define PARAMETER_BYTES 24u
#define APTPL           0x01
#define SPEC_I_PT       0x08
/* Bit n: type n is offered (1, 3, 5, 6, 7); type 8 is in the byte behind it. */
#define TYPE_MASK 0xea

enum out_action { REGISTER, RESERVE, RELEASE, CLEAR, PREEMPT, PREEMPT_ABORT, REGISTER_IGNORE };

static bool is_all(enum scsi_reservation type)
{
	return type == RESERVE_WRITE_ALL || type == RESERVE_EXCLUSIVE_ALL;
}

static bool is_exclusive(enum scsi_reservation type)
{
	return type == RESERVE_EXCLUSIVE || type == RESERVE_EXCLUSIVE_REGISTRANTS ||
	       type == RESERVE_EXCLUSIVE_ALL;
}

static bool is_for_registrants(enum scsi_reservation type)
{
	return type >= RESERVE_WRITE_REGISTRANTS;
}

static bool is_type(unsigned type)
{
	return type == 1 || type == 3 || (type >= 5 && type <= 8);
}

static bool holds(const struct scsi_unit *unit, unsigned nexus)
{
	enum scsi_reservation type = atomic_load(&unit->reserved);

	return type && unit->keys[nexus] && (is_all(type) || unit->holder == nexus);
}

bool scsi_reserve_conflicts(struct scsi_unit *unit, unsigned nexus, uint8_t flags)
{
	enum scsi_reservation type = atomic_load(&unit->reserved);
	bool allowed;

	if (!type || !(flags & (CMD_READS | CMD_CHANGES | CMD_WRITES))) {
		return false;
	}
	pthread_mutex_lock(&unit->lock);
	type = atomic_load(&unit->reserved);
	allowed = !type || holds(unit, nexus) || (is_for_registrants(type) && unit->keys[nexus]) ||
		  (!is_exclusive(type) && !(flags & (CMD_CHANGES | CMD_WRITES)));
	pthread_mutex_unlock(&unit->lock);
	return !allowed;
}

static uint32_t read_keys(const struct scsi_unit *unit, uint8_t *data)
{
	uint32_t length = 0;
	unsigned i;

	for (i = 0; i < SCSI_NEXUS_COUNT; i++) {
		if (unit->keys[i]) {
			put_be64(data + 8 + length, unit->keys[i]);
			length += 8;
		}
	}
	return length;
}

static uint32_t read_reservation(const struct scsi_unit *unit, uint8_t *data)
{
	enum scsi_reservation type = atomic_load(&unit->reserved);

	if (!type) {
		return 0;
	}
	put_be64(data + 8, is_all(type) ? 0 : unit->keys[unit->holder]);
	data[8 + 13] = (uint8_t)type;
	return 16;
}

/*
 * A nexus is named by a transport identifier; ours has no standard, so it is a SAS one that holds
 * the number.
 */
static uint32_t read_full_status(const struct scsi_unit *unit, uint8_t *data)
{
	enum scsi_reservation type = atomic_load(&unit->reserved);
	uint32_t length = 0;
	unsigned i;

	for (i = 0; i < SCSI_NEXUS_COUNT; i++) {
		uint8_t *entry = data + 8 + length;

		if (!unit->keys[i]) {
			continue;
		}
		put_be64(entry, unit->keys[i]);
		entry[12] = holds(unit, i) ? 1 : 0;
		entry[13] = holds(unit, i) ? (uint8_t)type : 0;
		put_be16(entry + 18, 1);
		put_be32(entry + 20, 24);
		entry[24] = 0x06;
		entry[24 + 11] = (uint8_t)(i + 1);
		length += 48;
	}
	return length;
}

void scsi_reserve_in(struct scsi_request *r)
{
	struct scsi_unit *unit = r->p.unit;
	uint8_t data[8 + 48 * SCSI_NEXUS_COUNT] = {0};
	unsigned action = r->cdb[1] & 0x1f;
	uint32_t length = 0;

	if (action > 3) {
		scsi_fail(r, SENSE_INVALID_FIELD_CDB);
		return;
	}
	pthread_mutex_lock(&unit->lock);
	put_be32(data, unit->generation);
	if (action == 0) {
		length = read_keys(unit, data);
	} else if (action == 1) {
		length = read_reservation(unit, data);
	} else if (action == 3) {
		length = read_full_status(unit, data);
	}
	pthread_mutex_unlock(&unit->lock);
	put_be32(data + 4, length);
	if (action == 2) { /* REPORT CAPABILITIES has a head of its own */
		memset(data, 0, 8);
		put_be16(data, 8);
		data[3] = 0x80; /* the type mask is valid */
		data[4] = TYPE_MASK;
		data[5] = 0x01;
	}
	scsi_reply(r, data, 8 + length, get_be16(r->cdb + 7));
}

/* Ends the reservation; registrants that could rely on it are told. */
static void drop_reservation(struct scsi_unit *unit, unsigned nexus)
{
	enum scsi_reservation type = atomic_load(&unit->reserved);
	unsigned i;

	atomic_store(&unit->reserved, RESERVE_NONE);
	for (i = 0; i < SCSI_NEXUS_COUNT && is_for_registrants(type); i++) {
		if (i != nexus && unit->keys[i]) {
			atomic_fetch_or(&unit->attention[i], 1u << ATTENTION_RESERVATION_RELEASED);
		}
	}
}

static bool any_registered(const struct scsi_unit *unit)
{
	unsigned i;

	for (i = 0; i < SCSI_NEXUS_COUNT; i++) {
		if (unit->keys[i]) {
			return true;
		}
	}
	return false;
}

static void set_key(struct scsi_unit *unit, unsigned nexus, uint64_t key)
{
	bool held = holds(unit, nexus);

	unit->keys[nexus] = key;
	unit->generation++;
	if (!key && held && (!is_all(atomic_load(&unit->reserved)) || !any_registered(unit))) {
		drop_reservation(unit, nexus);
	}
}

static enum scsi_status reserve(struct scsi_unit *unit, unsigned nexus, unsigned type)
{
	enum scsi_reservation now = atomic_load(&unit->reserved);

	if (now) {
		return holds(unit, nexus) && now == type ? SCSI_GOOD : SCSI_RESERVATION_CONFLICT;
	}
	unit->holder = nexus;
	atomic_store(&unit->reserved, (enum scsi_reservation)type);
	return SCSI_GOOD;
}

static void clear_all(struct scsi_unit *unit, unsigned nexus)
{
	unsigned i;

	atomic_store(&unit->reserved, RESERVE_NONE);
	for (i = 0; i < SCSI_NEXUS_COUNT; i++) {
		if (unit->keys[i] && i != nexus) {
			atomic_fetch_or(&unit->attention[i], 1u << ATTENTION_RESERVATION_PREEMPTED);
		}
		unit->keys[i] = 0;
	}
	unit->generation++;
}

/* Removes the registrations that have the key, or with key 0 all others. Returns how many. */
static unsigned remove_keys(struct scsi_unit *unit, unsigned nexus, uint64_t key)
{
	unsigned i, count = 0;

	for (i = 0; i < SCSI_NEXUS_COUNT; i++) {
		if (i != nexus && unit->keys[i] && (!key || unit->keys[i] == key)) {
			unit->keys[i] = 0;
			atomic_fetch_or(&unit->attention[i],
					1u << ATTENTION_REGISTRATION_PREEMPTED);
			count++;
		}
	}
	return count;
}

/*
 * SPC-4 5.13.11.4: who names the holder's key becomes the holder; who names another only removes
 * that.
 */
static enum scsi_status preempt(struct scsi_unit *unit, unsigned nexus, uint64_t key, unsigned type)
{
	enum scsi_reservation now = atomic_load(&unit->reserved);
	bool takes = now && (is_all(now) ? !key : key && unit->keys[unit->holder] == key);
	unsigned removed = remove_keys(unit, nexus, key);

	if (takes) {
		unit->holder = nexus;
		atomic_store(&unit->reserved, (enum scsi_reservation)type);
	} else if (!removed) {
		return SCSI_RESERVATION_CONFLICT;
	}
	unit->generation++;
	return SCSI_GOOD;
}

/* Under the lock. *sense is set where the status is CHECK CONDITION. */
static enum scsi_status carry_out(struct scsi_request *r, const uint8_t *list,
				  enum scsi_sense *sense)
{
	struct scsi_unit *unit = r->p.unit;
	unsigned action = r->cdb[1] & 0x1f, type = r->cdb[2] & 0x0f, n = r->nexus;
	uint64_t key = get_be64(list), other = get_be64(list + 8);
	enum scsi_reservation now = atomic_load(&unit->reserved);

	if (action != REGISTER_IGNORE && unit->keys[n] != key) {
		return SCSI_RESERVATION_CONFLICT;
	}
	if (action != REGISTER && action != REGISTER_IGNORE && !unit->keys[n]) {
		return SCSI_RESERVATION_CONFLICT;
	}
	switch (action) {
	case REGISTER:
	case REGISTER_IGNORE:
		if (unit->keys[n] || other) {
			set_key(unit, n, other);
		}
		return SCSI_GOOD;
	case RESERVE:
		return reserve(unit, n, type);
	case RELEASE:
		if (holds(unit, n) && now != type) {
			*sense = SENSE_INVALID_RELEASE;
			return SCSI_CHECK_CONDITION;
		}
		if (holds(unit, n)) {
			drop_reservation(unit, n);
		}
		return SCSI_GOOD;
	case CLEAR:
		clear_all(unit, n);
		return SCSI_GOOD;
	default:
		if (!other && !is_all(now)) {
			*sense = SENSE_INVALID_FIELD_LIST;
			return SCSI_CHECK_CONDITION;
		}
		return preempt(unit, n, other, type);
	}
}

static bool cdb_is_valid(const struct scsi_request *r)
{
	unsigned action = r->cdb[1] & 0x1f;
	bool typed = action == RESERVE || action == RELEASE || action == PREEMPT ||
		     action == PREEMPT_ABORT;

	return action <= REGISTER_IGNORE &&
	       (!typed || (is_type(r->cdb[2] & 0x0f) && !(r->cdb[2] & 0xf0)));
}

void scsi_reserve_out(struct scsi_request *r)
{
	struct scsi_unit *unit = r->p.unit;
	uint8_t list[PARAMETER_BYTES];
	enum scsi_sense sense = SENSE_NONE;
	enum scsi_status status;

	if (!cdb_is_valid(r)) {
		scsi_fail(r, SENSE_INVALID_FIELD_CDB);
		return;
	}
	if (get_be32(r->cdb + 5) != PARAMETER_BYTES || !scsi_fetch(r, list, PARAMETER_BYTES)) {
		scsi_fail(r, SENSE_LIST_LENGTH);
		return;
	}
	if (list[20] & (APTPL | SPEC_I_PT)) {
		scsi_fail(r, SENSE_INVALID_FIELD_LIST);
		return;
	}
	pthread_mutex_lock(&unit->lock);
	status = carry_out(r, list, &sense);
	pthread_mutex_unlock(&unit->lock);
	if (sense) {
		scsi_fail(r, sense);
	} else {
		scsi_finish(r, status);
	}
}
