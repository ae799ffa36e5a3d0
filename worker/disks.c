/*
 * The machine's disks: files of the command line, opened before the sandbox closes, on one SCSI
 * controller and up to four channels of the IDE flavour; and those that come and go while it runs.
 *
 * A disk's place is its index in disks->files: its number on the SCSI controller, and behind those
 * the IDE disks.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "disk/disk.h"
#include "vsp/storage/storage.h"
#include "worker/machine.h"
#include "worker/say.h"

/* The SCSI controller's instance, the same for every machine: a guest knows its disks by it. */
static const uint8_t scsi_instance[16] = {0x56, 0x44, 0x53, 0x43, 0x53, 0x49, 0x00, 0x40,
					  0x80, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01};

/* FNV-1a, twice, over what names the disk. */
static void identify(const char *text, uint8_t id[16])
{
	uint64_t hash[2] = {0xcbf29ce484222325ull, 0x84222325cbf29ce4ull};

	for (; *text != '\0'; text++) {
		hash[0] = (hash[0] ^ (uint8_t)*text) * 0x100000001b3ull;
		hash[1] = (hash[1] ^ (uint8_t)*text) * 0x100000001b3ull;
	}
	memcpy(id, hash, 16);
}

static bool is_ide(unsigned int place)
{
	return place >= CONFIG_SCSI_MAX;
}

static struct storage_address address_of(unsigned int place)
{
	unsigned int ide = place - CONFIG_SCSI_MAX;

	return is_ide(place) ? (struct storage_address){.path = (uint8_t)(ide / 2),
							.target = (uint8_t)(ide % 2)}
			     : (struct storage_address){.lun = (uint8_t)place};
}

/* Places are given in the order of the command line. */
static unsigned int place_of(const struct config *config, unsigned int index)
{
	unsigned int i, place = config->disks[index].ide ? CONFIG_SCSI_MAX : 0;

	for (i = 0; i < index; i++) {
		place += config->disks[i].ide == config->disks[index].ide;
	}
	return place;
}

bool disks_open(struct machine *machine)
{
	const struct config *config = machine->config;
	unsigned int i;

	for (i = 0; i < config->disk_count; i++) {
		const struct config_disk *wanted = &config->disks[i];
		struct disk_open how = {.format = wanted->dvd || wanted->raw ? DISK_FORMAT_RAW
									     : DISK_FORMAT_AUTO,
					.flags = (wanted->read_only ? DISK_READ_ONLY : 0) |
						 (wanted->direct ? DISK_DIRECT : 0)};
		struct disk_error error;

		if (disk_open(wanted->path, &how, &machine->disks.files[place_of(config, i)],
			      &error) != 0) {
			say("%s: %s", wanted->dvd ? "--dvd" : "--disk", error.text);
			return false;
		}
	}
	return true;
}

static int create_controller(struct machine *machine, unsigned int place, struct storage **storage)
{
	struct storage_config config = {
		.flavour = is_ide(place) ? STORAGE_IDE : STORAGE_SCSI,
		.ide = address_of(place),
		.channel_count = machine->config->vps,
	};

	memcpy(config.instance, scsi_instance, sizeof(scsi_instance));
	return *storage != NULL ? 0 : storage_create(machine->bus, &config, storage);
}

/* `name` is what the disk is known by where its file does not say. */
static int attach(struct machine *machine, unsigned int place, enum storage_kind kind,
		  const char *name)
{
	struct disks *disks = &machine->disks;
	struct storage **storage =
		is_ide(place) ? &disks->ide[place - CONFIG_SCSI_MAX] : &disks->scsi;
	struct storage_unit unit = {.kind = kind, .disk = disks->files[place]};
	struct disk_info info = {.id = ""};
	int ret = unit.disk != NULL ? disk_get_info(unit.disk, 0, &info) : 0;

	if (ret != 0) {
		return ret;
	}
	identify(info.id[0] != '\0' ? info.id : name, unit.id);
	ret = create_controller(machine, place, storage);
	return ret != 0 ? ret : storage_attach(*storage, address_of(place), &unit);
}

bool disks_attach(struct machine *machine)
{
	const struct config *config = machine->config;
	unsigned int i;

	for (i = 0; i < config->disk_count; i++) {
		const struct config_disk *wanted = &config->disks[i];
		int ret = attach(machine, place_of(config, i),
				 wanted->dvd ? STORAGE_DVD : STORAGE_DISK, wanted->path);

		if (ret != 0) {
			say("%s cannot be a disk of this machine: %s", wanted->path,
			    strerror(-ret));
			return false;
		}
	}
	/* A controller without disks, for those to come. */
	if (config->control != NULL && create_controller(machine, 0, &machine->disks.scsi) != 0) {
		say("the SCSI controller cannot be made");
		return false;
	}
	return true;
}

static int close_file(struct disk **file, struct disk_error *error)
{
	return *file != NULL ? disk_close(file, error) : 0;
}

/* An ISO file may be absent: an empty drive. */
static int open_given(struct disks_change *change, struct disk **disk, struct disk_error *error)
{
	struct disk_open how = {.format = change->dvd || change->raw ? DISK_FORMAT_RAW
								     : DISK_FORMAT_AUTO,
				.flags = change->dvd || change->read_only ? DISK_READ_ONLY : 0,
				.fds = change->fds,
				.fd_count = change->fd_count};
	int ret;

	*disk = NULL;
	if (change->fd_count == 0) {
		return 0;
	}
	ret = disk_open(change->name, &how, disk, error);
	change->taken = ret == 0;
	return ret;
}

static int explain(int ret, struct disk_error *error)
{
	if (ret != 0) {
		snprintf(error->text, sizeof(error->text), "%s",
			 ret == -EBUSY    ? "taken, or locked by the guest"
			 : ret == -ENOENT ? "there is no disk of this number"
					  : strerror(-ret));
	}
	return ret;
}

int disks_add(struct machine *machine, unsigned int number, struct disks_change *change,
	      struct disk_error *error)
{
	struct disk **file = &machine->disks.files[number];
	struct disk *disk;
	int ret;

	/* An empty drive has no file; the controller knows it, and refuses below. */
	if (*file != NULL) {
		return explain(-EBUSY, error);
	}
	ret = open_given(change, &disk, error);
	if (ret != 0) {
		return ret;
	}
	*file = disk;
	ret = attach(machine, number, change->dvd ? STORAGE_DVD : STORAGE_DISK, change->name);
	if (ret != 0) {
		(void)close_file(file, NULL);
	}
	return explain(ret, error);
}

int disks_remove(struct machine *machine, unsigned int number, struct disk_error *error)
{
	int ret = storage_detach(machine->disks.scsi, address_of(number));

	return ret != 0 ? explain(ret, error) : close_file(&machine->disks.files[number], error);
}

int disks_change_medium(struct machine *machine, unsigned int number, struct disks_change *change,
			struct disk_error *error)
{
	struct disk **file = &machine->disks.files[number], *disk;
	int ret = open_given(change, &disk, error);

	if (ret != 0) {
		return ret;
	}
	ret = storage_change_medium(machine->disks.scsi, address_of(number), disk, change->force);
	if (ret != 0) {
		(void)close_file(&disk, NULL);
		return explain(ret, error);
	}
	ret = close_file(file, error);
	*file = disk;
	return ret;
}

bool disks_close(struct machine *machine)
{
	struct disks *disks = &machine->disks;
	struct disk_error error;
	bool done = true;
	unsigned int i;

	if (disks->scsi != NULL) {
		storage_destroy(&disks->scsi);
	}
	for (i = 0; i < CONFIG_IDE_MAX; i++) {
		if (disks->ide[i] != NULL) {
			storage_destroy(&disks->ide[i]);
		}
	}
	for (i = 0; i < CONFIG_DISKS_MAX; i++) {
		if (close_file(&disks->files[i], &error) != 0) {
			say("%s", error.text);
			done = false;
		}
	}
	return done;
}
