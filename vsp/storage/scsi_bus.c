/*
 * The bus: which unit is at which address, and how a unit leaves it while others use it.
 *
 * A request counts as a user of its unit from the look-up, which is made under `table`, to its end.
 * Who takes the unit away, or exchanges its disk, first makes new users impossible (out of the
 * table, or held), then waits for the count to become zero. The last user looks for `waiters` after
 * its decrement, a waiter looks at the count after its increment; so one of them sees the other.
 * The user touches nothing of the unit after its decrement.
 */
#include "vsp/storage/scsi_unit.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/be.h"

struct scsi_bus {
	pthread_rwlock_t table;
	/* Under table: */
	struct scsi_unit *units[STORAGE_PATHS_MAX][STORAGE_TARGETS_MAX][STORAGE_LUNS_MAX];
	unsigned count;

	pthread_mutex_t change; /* one change at a time; taken before the others */
	pthread_mutex_t drain;
	pthread_cond_t drained;
	_Atomic unsigned waiters;
};

int scsi_bus_create(struct scsi_bus **out)
{
	struct scsi_bus *bus = calloc(1, sizeof(*bus));

	if (bus == NULL) {
		return -ENOMEM;
	}
	pthread_rwlock_init(&bus->table, NULL);
	pthread_mutex_init(&bus->change, NULL);
	pthread_mutex_init(&bus->drain, NULL);
	pthread_cond_init(&bus->drained, NULL);
	*out = bus;
	return 0;
}

static struct scsi_unit **slot_of(struct scsi_bus *bus, struct storage_address a)
{
	if (a.path >= STORAGE_PATHS_MAX || a.target >= STORAGE_TARGETS_MAX ||
	    a.lun >= STORAGE_LUNS_MAX) {
		return NULL;
	}
	return &bus->units[a.path][a.target][a.lun];
}

static void each_unit(struct scsi_bus *bus, void (*step)(struct scsi_unit *unit))
{
	struct scsi_unit **unit = &bus->units[0][0][0];
	unsigned i;

	for (i = 0; i < STORAGE_PATHS_MAX * STORAGE_TARGETS_MAX * STORAGE_LUNS_MAX; i++) {
		if (unit[i] != NULL) {
			step(unit[i]);
		}
	}
}

void scsi_bus_destroy(struct scsi_bus **where)
{
	struct scsi_bus *bus = *where;

	*where = NULL;
	if (bus == NULL) {
		return;
	}
	each_unit(bus, scsi_unit_destroy);
	pthread_rwlock_destroy(&bus->table);
	pthread_mutex_destroy(&bus->change);
	pthread_mutex_destroy(&bus->drain);
	pthread_cond_destroy(&bus->drained);
	free(bus);
}

void scsi_bus_reset(struct scsi_bus *bus)
{
	pthread_rwlock_rdlock(&bus->table);
	each_unit(bus, scsi_unit_reset);
	pthread_rwlock_unlock(&bus->table);
}

void scsi_unit_at_reset(struct scsi_bus *bus, struct storage_address address)
{
	struct scsi_unit **slot = slot_of(bus, address);

	pthread_rwlock_rdlock(&bus->table);
	if (slot != NULL && *slot != NULL) {
		scsi_unit_reset(*slot);
	}
	pthread_rwlock_unlock(&bus->table);
}

void scsi_bus_put(struct scsi_bus *bus, struct scsi_unit *unit)
{
	if (atomic_fetch_sub(&unit->users, 1) == 1 && atomic_load(&bus->waiters)) {
		pthread_mutex_lock(&bus->drain);
		pthread_cond_broadcast(&bus->drained);
		pthread_mutex_unlock(&bus->drain);
	}
}

static void wait_for_users(struct scsi_bus *bus, struct scsi_unit *unit)
{
	pthread_mutex_lock(&bus->drain);
	atomic_fetch_add(&bus->waiters, 1);
	while (atomic_load(&unit->users)) {
		pthread_cond_wait(&bus->drained, &bus->drain);
	}
	atomic_fetch_sub(&bus->waiters, 1);
	pthread_mutex_unlock(&bus->drain);
}

int scsi_bus_attach(struct scsi_bus *bus, struct storage_address address,
		    const struct storage_unit *config)
{
	struct scsi_unit **slot = slot_of(bus, address);
	struct scsi_unit *unit;
	int ret = 0;

	if (slot == NULL || (config->kind != STORAGE_DISK && config->kind != STORAGE_DVD)) {
		return -EINVAL;
	}
	unit = scsi_unit_create(config);
	if (unit == NULL) {
		return -ENOMEM;
	}
	if (!scsi_unit_set_disk(unit, config->disk)) {
		scsi_unit_destroy(unit);
		return -EINVAL;
	}
	pthread_rwlock_wrlock(&bus->table);
	if (*slot != NULL) {
		ret = -EBUSY;
	} else if (bus->count == STORAGE_UNITS_MAX) {
		ret = -ENOSPC;
	} else {
		*slot = unit;
		bus->count++;
	}
	pthread_rwlock_unlock(&bus->table);
	if (ret) {
		scsi_unit_destroy(unit);
	}
	return ret;
}

int scsi_bus_detach(struct scsi_bus *bus, struct storage_address address)
{
	struct scsi_unit **slot = slot_of(bus, address);
	struct scsi_unit *unit;

	if (slot == NULL) {
		return -EINVAL;
	}
	pthread_mutex_lock(&bus->change);
	pthread_rwlock_wrlock(&bus->table);
	unit = *slot;
	if (unit != NULL) {
		*slot = NULL;
		bus->count--;
	}
	pthread_rwlock_unlock(&bus->table);
	if (unit != NULL) {
		atomic_store(&unit->leaving, true);
		wait_for_users(bus, unit);
		scsi_unit_destroy(unit);
	}
	pthread_mutex_unlock(&bus->change);
	return unit != NULL ? 0 : -ENOENT;
}

static struct storage_address address_of(unsigned slot)
{
	return (struct storage_address){
		.path = (uint8_t)(slot / STORAGE_LUNS_MAX / STORAGE_TARGETS_MAX),
		.target = (uint8_t)(slot / STORAGE_LUNS_MAX % STORAGE_TARGETS_MAX),
		.lun = (uint8_t)(slot % STORAGE_LUNS_MAX),
	};
}

void scsi_bus_detach_all(struct scsi_bus *bus)
{
	unsigned i;

	for (i = 0; i < STORAGE_PATHS_MAX * STORAGE_TARGETS_MAX * STORAGE_LUNS_MAX; i++) {
		scsi_bus_detach(bus, address_of(i));
	}
}

void scsi_bus_each(struct scsi_bus *bus,
		   void (*step)(struct storage_address at, struct scsi_unit *unit, void *user),
		   void *user)
{
	struct scsi_unit **unit = &bus->units[0][0][0];
	unsigned i;

	pthread_mutex_lock(&bus->change);
	pthread_rwlock_rdlock(&bus->table);
	for (i = 0; i < STORAGE_PATHS_MAX * STORAGE_TARGETS_MAX * STORAGE_LUNS_MAX; i++) {
		if (unit[i] != NULL) {
			step(address_of(i), unit[i], user);
		}
	}
	pthread_rwlock_unlock(&bus->table);
	pthread_mutex_unlock(&bus->change);
}

/*
 * The unit there, with the change lock taken, under which it stays; NULL (and no lock) if there is
 * none.
 */
static struct scsi_unit *begin_change(struct scsi_bus *bus, struct storage_address address)
{
	struct scsi_unit **slot = slot_of(bus, address);
	struct scsi_unit *unit;

	if (slot == NULL) {
		return NULL;
	}
	pthread_mutex_lock(&bus->change);
	pthread_rwlock_rdlock(&bus->table);
	unit = *slot;
	pthread_rwlock_unlock(&bus->table);
	if (unit == NULL) {
		pthread_mutex_unlock(&bus->change);
	}
	return unit;
}

static void end_change(struct scsi_bus *bus)
{
	pthread_mutex_unlock(&bus->change);
}

int scsi_bus_hold(struct scsi_bus *bus, struct storage_address address)
{
	struct scsi_unit *unit = begin_change(bus, address);

	if (unit == NULL) {
		return -ENOENT;
	}
	atomic_store(&unit->held, true);
	wait_for_users(bus, unit);
	end_change(bus);
	return 0;
}

int scsi_bus_release(struct scsi_bus *bus, struct storage_address address, struct disk *disk)
{
	struct scsi_unit *unit = begin_change(bus, address);
	uint64_t blocks;
	uint32_t block_size;
	int ret = 0;

	if (unit == NULL) {
		return -ENOENT;
	}
	blocks = unit->blocks;
	block_size = unit->block_size;
	if (!atomic_load(&unit->held) || !scsi_unit_set_disk(unit, disk)) {
		ret = -EINVAL;
	} else {
		if (unit->blocks != blocks || unit->block_size != block_size) {
			scsi_unit_attend(unit, ATTENTION_CAPACITY_CHANGED);
		}
		if (unit->kind == STORAGE_DISK) { /* the block that a trim frees may be another */
			scsi_unit_attend(unit, ATTENTION_CONDITIONS_CHANGED);
		}
		atomic_store(&unit->held, false);
	}
	end_change(bus);
	return ret;
}

/* A locked tray: the guest is asked, by the event that a drive's button makes. */
static bool may_change(struct scsi_unit *unit, bool force)
{
	bool may;

	pthread_mutex_lock(&unit->lock);
	may = force || !unit->tray_locked || unit->tray_open || unit->disk == NULL;
	if (!may) {
		unit->media_event = MEDIA_EJECT_REQUEST;
	}
	pthread_mutex_unlock(&unit->lock);
	return may;
}

static int exchange_medium(struct scsi_bus *bus, struct scsi_unit *unit, struct disk *disk)
{
	bool was_held = atomic_exchange(&unit->held, true);
	int ret = 0;

	wait_for_users(bus, unit);
	if (scsi_unit_set_disk(unit, disk)) {
		pthread_mutex_lock(&unit->lock);
		unit->tray_open = false;
		unit->tray_locked = false;
		unit->media_event = disk != NULL ? MEDIA_NEW : MEDIA_REMOVED;
		pthread_mutex_unlock(&unit->lock);
		if (disk != NULL) {
			scsi_unit_attend(unit, ATTENTION_MEDIUM_CHANGED);
		}
	} else {
		ret = -EINVAL;
	}
	atomic_store(&unit->held, was_held);
	return ret;
}

int scsi_bus_change_medium(struct scsi_bus *bus, struct storage_address address, struct disk *disk,
			   bool force)
{
	struct scsi_unit *unit = begin_change(bus, address);
	int ret;

	if (unit == NULL) {
		return -ENOENT;
	}
	if (unit->kind != STORAGE_DVD) {
		ret = -ENOTTY;
	} else {
		ret = may_change(unit, force) ? exchange_medium(bus, unit, disk) : -EBUSY;
	}
	end_change(bus);
	return ret;
}

/* Of the target that was asked, whichever LUN it was (SPC-4 6.33). There are no well-known LUNs. */
static void report_luns(struct scsi_bus *bus, struct storage_address a, struct scsi_request *r)
{
	uint8_t list[8 + 8 * STORAGE_LUNS_MAX] = {0};
	uint32_t length = 0;
	unsigned lun;

	if (r->cdb[2] > 2) {
		scsi_fail(r, SENSE_INVALID_FIELD_CDB);
		return;
	}
	pthread_rwlock_rdlock(&bus->table);
	for (lun = 0; r->cdb[2] != 1 && a.path < STORAGE_PATHS_MAX &&
		      a.target < STORAGE_TARGETS_MAX && lun < STORAGE_LUNS_MAX;
	     lun++) {
		if (bus->units[a.path][a.target][lun] != NULL) {
			list[8 + length + 1] = (uint8_t)lun;
			length += 8;
		}
	}
	pthread_rwlock_unlock(&bus->table);
	put_be32(list, length);
	scsi_reply(r, list, 8 + length, get_be32(r->cdb + 6));
}

static void execute_absent(struct storage_address address, struct scsi_request *r)
{
	if (r->cdb[0] == 0x12) {
		scsi_inquiry_absent(r, address);
	} else {
		r->no_unit = true;
		scsi_finish(r, SCSI_CHECK_CONDITION);
	}
}

void scsi_execute(struct scsi_bus *bus, struct storage_address address, struct scsi_request *r)
{
	struct scsi_unit **slot = slot_of(bus, address);
	struct scsi_unit *unit = NULL;

	r->no_unit = false;
	r->sense_length = 0;
	r->transferred = 0;
	r->p.bus = bus;
	r->p.scratch = NULL;
	r->p.unit = NULL;
	if (r->cdb[0] == 0xa0) {
		report_luns(bus, address, r);
		return;
	}
	if (slot != NULL) {
		pthread_rwlock_rdlock(&bus->table);
		unit = *slot;
		if (unit != NULL) {
			atomic_fetch_add(&unit->users, 1);
		}
		pthread_rwlock_unlock(&bus->table);
	}
	r->p.unit = unit;
	if (unit != NULL) {
		scsi_unit_execute(r);
	} else {
		execute_absent(address, r);
	}
}
