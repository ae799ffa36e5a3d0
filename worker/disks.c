/*
 * The machine's disks: files of the command line, opened before the sandbox closes, on one SCSI
 * controller and up to four channels of the IDE flavour.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "disk/disk.h"
#include "vsp/storage/storage.h"
#include "worker/machine.h"
#include "worker/say.h"

/* The SCSI controller's instance, the same for every machine: a guest knows its disks by it. */
static const uint8_t scsi_instance[16] = {0x56, 0x44, 0x53, 0x43, 0x53, 0x49, 0x00, 0x40,
					  0x80, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01};

bool disks_open(struct machine *machine)
{
	const struct config *config = machine->config;
	unsigned int i;

	for (i = 0; i < config->disk_count; i++) {
		const struct config_disk *wanted = &config->disks[i];
		struct disk_open how = {.format = wanted->dvd ? DISK_FORMAT_RAW : DISK_FORMAT_AUTO,
					.flags = wanted->read_only ? DISK_READ_ONLY : 0};
		struct disk_error error;

		if (disk_open(wanted->path, &how, &machine->disks.files[i], &error) != 0) {
			say("%s %s: %s", wanted->dvd ? "--dvd" : "--disk", wanted->path,
			    error.text);
			return false;
		}
	}
	return true;
}

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

static int create_controller(struct machine *machine, const struct config_disk *wanted,
			     struct storage_address address, struct storage **storage)
{
	struct storage_config config = {
		.flavour = wanted->ide ? STORAGE_IDE : STORAGE_SCSI,
		.ide = address,
		.channel_count = machine->config->vps,
	};

	memcpy(config.instance, scsi_instance, sizeof(scsi_instance));
	return *storage != NULL ? 0 : storage_create(machine->bus, &config, storage);
}

static int attach(struct machine *machine, unsigned int index, unsigned int number)
{
	const struct config_disk *wanted = &machine->config->disks[index];
	struct disks *disks = &machine->disks;
	struct storage **storage = wanted->ide ? &disks->ide[number] : &disks->scsi;
	struct storage_address address = {.lun = (uint8_t)number};
	struct storage_unit unit = {.kind = wanted->dvd ? STORAGE_DVD : STORAGE_DISK,
				    .disk = disks->files[index]};
	struct disk_info info;
	int rc;

	if (wanted->ide) {
		address = (struct storage_address){.path = (uint8_t)(number / 2),
						   .target = (uint8_t)(number % 2)};
	}
	rc = disk_get_info(unit.disk, 0, &info);
	if (rc != 0) {
		return rc;
	}
	identify(info.id[0] != '\0' ? info.id : wanted->path, unit.id);
	rc = create_controller(machine, wanted, address, storage);
	return rc != 0 ? rc : storage_attach(*storage, address, &unit);
}

bool disks_attach(struct machine *machine)
{
	const struct config *config = machine->config;
	unsigned int i, scsi = 0, ide = 0;

	for (i = 0; i < config->disk_count; i++) {
		int rc = attach(machine, i, config->disks[i].ide ? ide++ : scsi++);

		if (rc != 0) {
			say("%s cannot be a disk of this machine: %s", config->disks[i].path,
			    strerror(-rc));
			return false;
		}
	}
	return true;
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
		if (disks->files[i] != NULL && disk_close(&disks->files[i], &error) != 0) {
			say("%s: %s", machine->config->disks[i].path, error.text);
			done = false;
		}
	}
	return done;
}
