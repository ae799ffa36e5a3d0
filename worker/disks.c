/*
 * The machine's disks: files of the command line, opened before the sandbox closes, on one SCSI
 * controller and up to four channels of the IDE flavour; and those that come and go while it runs.
 *
 * A disk's place is its index in disks->places: its number on the SCSI controller, and behind those
 * the IDE disks. What is at a place is known to the main thread alone, and to the one job that
 * works on it (worker/job.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "disk/disk.h"
#include "vsp/storage/storage.h"
#include "worker/job.h"
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

static unsigned int place_of(const struct config_disk *disk)
{
	return disk->number + (disk->ide ? CONFIG_SCSI_MAX : 0);
}

/* One that was inherited, or the path's. */
static int descriptor_of(const struct config_file *file, int flags, struct disk_error *error)
{
	int fd = file->fd >= 0 ? file->fd : open(file->path, flags | O_CLOEXEC);

	if (fd < 0) {
		snprintf(error->text, sizeof(error->text), "%s: %s", file->path, strerror(errno));
	}
	return fd;
}

/* A disk of files that were handed over, or whose parents are not those that the files name. */
static int open_files(const struct config_disk *wanted, struct disk_open *how, struct disk **disk,
		      struct disk_error *error)
{
	int fds[CONTROL_FILES_MAX];
	unsigned int i;

	if (wanted->file.fd < 0 && wanted->parent_count == 0) {
		return disk_open(wanted->file.path, how, disk, error);
	}
	fds[0] = descriptor_of(&wanted->file, wanted->read_only ? O_RDONLY : O_RDWR, error);
	for (i = 0; fds[i] >= 0 && i < wanted->parent_count; i++) {
		fds[i + 1] = descriptor_of(&wanted->parents[i], O_RDONLY, error);
	}
	if (fds[i] < 0) {
		return -EBADF;
	}
	how->fds = fds;
	how->fd_count = i + 1;
	return disk_open(wanted->file.path, how, disk, error);
}

static struct disk_open how_to_open(const struct config_disk *wanted)
{
	return (struct disk_open){.format = wanted->dvd || wanted->raw ? DISK_FORMAT_RAW
								       : DISK_FORMAT_AUTO,
				  .flags = (wanted->read_only ? DISK_READ_ONLY : 0) |
					   (wanted->direct ? DISK_DIRECT : 0)};
}

static const char *option_of(const struct config_disk *wanted)
{
	return wanted->dvd ? "--dvd" : "--disk";
}

static bool disks_open(struct machine *machine)
{
	const struct config *config = machine->config;
	unsigned int i;

	for (i = 0; i < config->disk_count; i++) {
		const struct config_disk *wanted = &config->disks[i];
		struct disk_open how = how_to_open(wanted);
		struct disk_error error;

		if (wanted->file.path != NULL &&
		    open_files(wanted, &how, &machine->disks.places[place_of(wanted)].file,
			       &error) != 0) {
			say("%s: %s", option_of(wanted), error.text);
			return false;
		}
	}
	return true;
}

/* ---- A machine that comes from another worker ---- */

/* By their index in the configuration. */
struct disks_found {
	struct {
		int fds[CONTROL_FILES_MAX];
		unsigned int count;
	} disks[CONFIG_DISKS_MAX];
};

#define FIND_TRIES    20
#define FIND_EVERY_NS 50000000

/* The names of the chain. Who has the disk writes meanwhile, so that it may look damaged for a
 * moment. */
static int look_at_chain(const struct config_disk *wanted, struct disk **disk,
			 struct disk_error *error)
{
	static const struct timespec moment = {.tv_nsec = FIND_EVERY_NS};
	struct disk_open how = how_to_open(wanted);
	unsigned int tries = FIND_TRIES;
	int ret;

	how.flags = DISK_READ_ONLY | DISK_NO_LOCK;
	ret = disk_open(wanted->file.path, &how, disk, error);
	while (ret == -EUCLEAN && --tries > 0) {
		nanosleep(&moment, NULL);
		ret = disk_open(wanted->file.path, &how, disk, error);
	}
	return ret;
}

static int open_layer(const struct config_disk *wanted, const char *path, unsigned int layer,
		      struct disk_error *error)
{
	const struct config_file file = {.path = path, .fd = -1};

	return descriptor_of(&file, layer == 0 && !wanted->read_only ? O_RDWR : O_RDONLY, error);
}

static int find_chain(const struct config_disk *wanted, int *fds, unsigned int *count,
		      struct disk_error *error)
{
	struct disk_info info;
	struct disk *disk;
	int ret = look_at_chain(wanted, &disk, error);

	if (ret != 0) {
		return ret;
	}
	while (ret == 0 && *count < CONTROL_FILES_MAX && disk_get_info(disk, *count, &info) == 0) {
		fds[*count] = open_layer(wanted, info.path, *count, error);
		ret = fds[*count] >= 0 ? 0 : -EBADF;
		*count += ret == 0;
	}
	(void)disk_close(&disk, NULL);
	return ret;
}

static int find_given(const struct config_disk *wanted, int *fds, unsigned int *count,
		      struct disk_error *error)
{
	unsigned int i;

	for (i = 0; i <= wanted->parent_count; i++) {
		const struct config_file *file = i == 0 ? &wanted->file : &wanted->parents[i - 1];

		fds[i] = descriptor_of(file, i == 0 && !wanted->read_only ? O_RDWR : O_RDONLY,
				       error);
		if (fds[i] < 0) {
			return -EBADF;
		}
		*count = i + 1;
	}
	return 0;
}

static bool disks_find(struct machine *machine)
{
	const struct config *config = machine->config;
	struct disks_found *found = calloc(1, sizeof(*found));
	struct disk_error error;
	unsigned int i;
	int ret = 0;

	machine->disks.found = found;
	if (found == NULL) {
		say("no memory");
		return false;
	}
	for (i = 0; i < config->disk_count && ret == 0; i++) {
		const struct config_disk *wanted = &config->disks[i];
		bool named = wanted->file.fd < 0 && wanted->parent_count == 0;

		if (wanted->file.path == NULL) {
			continue;
		}
		if (wanted->direct) { /* its sandbox has no way to open a file once more */
			say("%s %s: a worker that receives a machine cannot have it past the page "
			    "cache; leave direct out",
			    option_of(wanted), wanted->file.path);
			return false;
		}
		ret = (named ? find_chain : find_given)(wanted, found->disks[i].fds,
							&found->disks[i].count, &error);
		if (ret != 0) {
			say("%s: %s", option_of(wanted), error.text);
		}
	}
	return ret == 0;
}

bool disks_begin(struct machine *machine)
{
	const struct config *config = machine->config;
	bool elsewhere = config->receive.path != NULL && !config->receive_disks;

	return (elsewhere ? disks_find : disks_open)(machine);
}

bool disks_open_late(struct machine *machine, struct disk_error *why)
{
	const struct config *config = machine->config;
	struct disks_found *found = machine->disks.found;
	unsigned int i;
	int ret = 0;

	for (i = 0; i < config->disk_count && ret == 0; i++) {
		const struct config_disk *wanted = &config->disks[i];
		struct disk_open how = how_to_open(wanted);

		if (found->disks[i].count == 0) {
			continue;
		}
		how.fds = found->disks[i].fds;
		how.fd_count = found->disks[i].count;
		ret = disk_open(wanted->file.path, &how,
				&machine->disks.places[place_of(wanted)].file, why);
	}
	if (ret != 0) {
		say("%s", why->text);
		return false;
	}
	free(found);
	machine->disks.found = NULL;
	return true;
}

/* Those that others must not have at the same time. */
static bool is_exclusive(const struct disk_place *place)
{
	return place->file != NULL && !place->dvd && !place->read_only;
}

int disks_take_back(struct machine *machine, struct disk_error *error)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < CONFIG_DISKS_MAX && ret == 0; i++) {
		struct disk *file = machine->disks.places[i].file;

		if (is_exclusive(&machine->disks.places[i])) {
			ret = disk_take_back(file);
			if (ret != 0) {
				*error = *disk_last_error(file);
			}
		}
	}
	return ret;
}

int disks_let_go(struct machine *machine, struct disk_error *error)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < CONFIG_DISKS_MAX && ret == 0; i++) {
		struct disk *file = machine->disks.places[i].file;

		if (is_exclusive(&machine->disks.places[i])) {
			ret = disk_let_go(file);
			if (ret != 0) {
				*error = *disk_last_error(file);
			}
		}
	}
	return ret;
}

/* `hidden`: it is behind the emulated controller alone. */
static int create_controller(struct machine *machine, unsigned int place, bool hidden,
			     struct storage **storage)
{
	struct storage_config config = {
		.flavour = is_ide(place) ? STORAGE_IDE : STORAGE_SCSI,
		.ide = address_of(place),
		.channel_count = machine->config->vps,
		.hidden = hidden,
	};

	memcpy(config.instance, scsi_instance, sizeof(scsi_instance));
	return *storage != NULL ? 0 : storage_create(machine->bus, &config, storage);
}

/* `name` is what the disk is known by where its file does not say, or (not NULL) `id`. */
static int make_unit(struct storage_unit *unit, enum storage_kind kind, struct disk *disk,
		     const char *name, const uint8_t *id)
{
	struct disk_info info = {.id = ""};
	/* The same disk with each checkpoint: a differencing VHD has another identity than its
	 * parent. */
	int ret = disk != NULL ? disk_get_info(disk, disk_layer_count(disk) - 1, &info) : 0;

	*unit = (struct storage_unit){.kind = kind, .disk = disk};
	if (info.id[0] == '\0' && id != NULL) {
		memcpy(unit->id, id, sizeof(unit->id));
	} else {
		identify(info.id[0] != '\0' ? info.id : name, unit->id);
	}
	return ret;
}

/* The same unit at the emulated controller, by the serial number that VMBus shows more of. */
static int add_drive(struct machine *machine, unsigned int place, struct storage *storage,
		     const struct storage_unit *unit, const char *name)
{
	const struct disk *disk = unit->disk;
	struct ide_identity identity = {.kind = unit->kind == STORAGE_DVD ? IDE_CD : IDE_DISK};
	unsigned int i;

	if (unit->kind == STORAGE_DISK && disk_sector_size(disk) != IDE_SECTOR) {
		say("%s: its sectors are of %u bytes, and IDE knows 512: convert it, or attach it "
		    "with ,scsi",
		    name, disk_sector_size(disk));
		return -EINVAL;
	}
	if (unit->kind == STORAGE_DISK) {
		identity.sectors = disk_size(disk) / IDE_SECTOR;
		identity.physical_bytes = disk_physical_size(disk);
	}
	for (i = 0; i < IDE_SERIAL_CHARS / 2; i++) {
		snprintf(identity.serial + 2 * i, 3, "%02x", unit->id[i]);
	}
	return drives_add(machine, storage, address_of(place), &identity);
}

/* The same unit on USB, by its name in capitals. */
static int add_usb(struct machine *machine, unsigned int place, const struct storage_unit *unit)
{
	char serial[USB_STORAGE_SERIAL + 1];
	unsigned int i;

	for (i = 0; i < USB_STORAGE_SERIAL / 2; i++) {
		snprintf(serial + 2 * i, 3, "%02X", unit->id[i]);
	}
	return drives_add_usb(machine, machine->disks.scsi, address_of(place), serial);
}

bool disks_want_usb(const struct config *config)
{
	unsigned int i;

	for (i = 0; i < config->disk_count; i++) {
		if (config->disks[i].usb) {
			return true;
		}
	}
	return false;
}

/* Takes the name. */
static void set_place(struct disk_place *place, struct disk *file, bool there, bool dvd, char *name)
{
	free(place->name);
	free(place->mirror);
	*place = (struct disk_place){.file = file, .name = name, .there = there, .dvd = dvd};
	if (file != NULL) {
		place->size = disk_size(file);
		place->read_only = disk_is_read_only(file);
	}
	if (!there) {
		free(place->name);
		place->name = NULL;
	}
}

static struct storage **controller_of(struct disks *disks, unsigned int place)
{
	return is_ide(place) ? &disks->ide[place - CONFIG_SCSI_MAX] : &disks->scsi;
}

static int attach(struct machine *machine, unsigned int index)
{
	const struct config_disk *wanted = &machine->config->disks[index];
	unsigned int place = place_of(wanted);
	struct disks *disks = &machine->disks;
	struct storage **storage = controller_of(disks, place);
	struct disk *file = disks->places[place].file;
	char *name = strdup(wanted->file.path != NULL ? wanted->file.path : "");
	enum storage_kind kind = wanted->dvd ? STORAGE_DVD : STORAGE_DISK;
	struct storage_unit unit;
	int ret = name != NULL
			  ? create_controller(machine, place, is_ide(place) && wanted->dvd, storage)
			  : -ENOMEM;

	if (ret == 0) {
		ret = make_unit(&unit, kind, file, name,
				disks->places[place].has_id ? disks->places[place].id : NULL);
	}
	if (ret == 0) {
		ret = storage_attach(*storage, address_of(place), &unit);
	}
	if (ret == 0 && is_ide(place) && machine->config->generation == 1) {
		ret = add_drive(machine, place, *storage, &unit, name);
	}
	if (ret == 0 && wanted->usb) {
		ret = add_usb(machine, place, &unit);
	}
	if (ret != 0) {
		free(name);
		return ret;
	}
	set_place(&disks->places[place], file, true, wanted->dvd, name);
	memcpy(disks->places[place].id, unit.id, sizeof(unit.id));
	return 0;
}

/* Firmware asks each of the units that may be there: as few as there are. */
static bool show_firmware(struct machine *machine)
{
	unsigned int i, last = 0;
	int ret = 0;

	for (i = 0; i < CONFIG_SCSI_MAX; i++) {
		last = machine->disks.places[i].there ? i : last;
	}
	if (machine->config->generation == 2 && machine->disks.scsi != NULL) {
		ret = drives_add_scsi(machine, machine->disks.scsi, last);
	}
	if (ret != 0) {
		say("the firmware's way to the disks: %s", strerror(-ret));
	}
	return ret == 0;
}

bool disks_make_controllers(struct machine *machine)
{
	const struct config *config = machine->config;
	unsigned int i;
	int ret = config->generation != 0 || disks_want_usb(config) ? drives_create(machine) : 0;

	for (i = 0; i < config->disk_count && ret == 0; i++) {
		const struct config_disk *wanted = &config->disks[i];
		unsigned int place = place_of(wanted);

		ret = create_controller(machine, place, is_ide(place) && wanted->dvd,
					controller_of(&machine->disks, place));
	}
	if (ret == 0 && config->control.path != NULL) {
		ret = create_controller(machine, 0, false, &machine->disks.scsi);
	}
	if (ret != 0) {
		say("a controller of disks cannot be made: %s", strerror(-ret));
	}
	return ret == 0;
}

bool disks_attach(struct machine *machine)
{
	const struct config *config = machine->config;
	unsigned int i;

	for (i = 0; i < config->disk_count; i++) {
		int ret = attach(machine, i);

		if (ret != 0) {
			say("%s %u cannot be made: %s", config->disks[i].dvd ? "DVD drive" : "disk",
			    config->disks[i].number, strerror(-ret));
			return false;
		}
	}
	/* A controller without disks, for those to come. */
	if (config->control.path != NULL &&
	    create_controller(machine, 0, false, &machine->disks.scsi) != 0) {
		say("the SCSI controller cannot be made");
		return false;
	}
	return show_firmware(machine);
}

static int close_file(struct disk **file, struct disk_error *error)
{
	return *file != NULL ? disk_close(file, error) : 0;
}

/* What a job has of a disk that comes, goes, or changes. The job's thread has it alone until
 * finish(). */
struct task {
	struct storage *scsi;
	struct disk_place *place; /* [M] */
	unsigned int number;
	enum disks_task kind;
	struct disks_change change; /* its texts and descriptors are the task's own */
	char *name;
	int fds[CONTROL_FILES_MAX];
	struct disk *disk; /* what was there before; after work() what is there now */
	uint8_t id[16];    /* by which the guest knows that */
	bool changed;
};

static void close_fds(struct task *task)
{
	while (task->change.fd_count != 0) {
		close(task->fds[--task->change.fd_count]);
	}
}

/* An ISO file may be absent: an empty drive. The descriptors are the disk's, or closed. */
static int open_given(struct job *job, struct task *task, struct disk **disk)
{
	const struct disks_change *change = &task->change;
	bool dvd = task->kind != DISKS_ATTACH;
	struct disk_open how = {.format = dvd || change->raw ? DISK_FORMAT_RAW : DISK_FORMAT_AUTO,
				.flags = dvd || change->read_only ? DISK_READ_ONLY : 0,
				.fds = task->fds,
				.fd_count = change->fd_count};
	int ret = 0;

	*disk = NULL;
	if (change->fd_count != 0 && !job_cancelled(job)) {
		job_step(job, "opening the files");
		ret = disk_open(task->name, &how, disk, &job->error);
	}
	if (ret == 0 && *disk != NULL) {
		task->change.fd_count = 0;
	}
	close_fds(task);
	if (ret == 0 && !job_commit(job)) {
		(void)close_file(disk, NULL);
		ret = -ECANCELED;
	}
	return ret;
}

static int explain(struct job *job, int ret)
{
	if (ret != 0) {
		snprintf(job->error.text, sizeof(job->error.text), "disk %d: %s", job->number,
			 ret == -EBUSY    ? "the guest has locked the drive, and was asked to let "
					    "go of it; ask again, or force it"
			 : ret == -ENOENT ? "there is none"
			 : ret == -ENOTTY ? "it is not a DVD drive"
			 : ret == -EINVAL ? "the controller cannot serve such a disk"
					  : strerror(-ret));
	}
	return ret;
}

static int attach_work(struct job *job)
{
	struct task *task = job->subject;
	struct storage_unit unit;
	struct disk *disk;
	int ret = open_given(job, task, &disk);

	if (ret != 0) {
		return ret;
	}
	job_step(job, "showing it to the guest");
	ret = make_unit(&unit, task->kind == DISKS_ATTACH_DVD ? STORAGE_DVD : STORAGE_DISK, disk,
			task->name, NULL);
	if (ret == 0) {
		ret = storage_attach(task->scsi, address_of(task->number), &unit);
		memcpy(task->id, unit.id, sizeof(task->id));
	}
	if (ret != 0) {
		(void)close_file(&disk, NULL);
		return explain(job, ret);
	}
	task->disk = disk;
	task->changed = true;
	return 0;
}

static int detach_work(struct job *job)
{
	struct task *task = job->subject;
	int ret;

	if (!job_commit(job)) {
		return -ECANCELED;
	}
	job_step(job, "waiting for the guest's requests");
	ret = storage_detach(task->scsi, address_of(task->number));
	if (ret != 0) {
		return explain(job, ret);
	}
	task->changed = true;
	job_step(job, "closing the file");
	return close_file(&task->disk, &job->error);
}

static int medium_work(struct job *job)
{
	struct task *task = job->subject;
	struct disk *disk, *old = task->disk;
	int ret = open_given(job, task, &disk);

	if (ret != 0) {
		return ret;
	}
	job_step(job, "waiting for the guest's requests");
	ret = storage_change_medium(task->scsi, address_of(task->number), disk, task->change.force);
	if (ret != 0) {
		(void)close_file(&disk, NULL);
		return explain(job, ret);
	}
	task->disk = disk;
	task->changed = true;
	job_step(job, "closing the file");
	return close_file(&old, &job->error);
}

static void finish(struct job *job)
{
	struct task *task = job->subject;

	close_fds(task);
	if (task->changed) {
		set_place(task->place, task->disk, task->kind != DISKS_DETACH,
			  task->kind == DISKS_ATTACH_DVD || task->kind == DISKS_CHANGE_DVD,
			  task->name);
		memcpy(task->place->id, task->id, sizeof(task->id));
		task->name = NULL;
	}
	free(task->name);
	free(task);
}

/* What can be said at once. */
static int may_begin(const struct disk_place *place, enum disks_task kind)
{
	switch (kind) {
	case DISKS_ATTACH:
	case DISKS_ATTACH_DVD:
		return place->there ? -EBUSY : 0;
	case DISKS_CHANGE_DVD:
		return !place->there ? -ENOENT : !place->dvd ? -ENOTTY : 0;
	default:
		return place->there ? 0 : -ENOENT;
	}
}

int disks_prepare(struct machine *machine, struct job *job, enum disks_task kind,
		  const struct disks_change *change)
{
	static int (*const works[])(struct job *) = {
		[DISKS_ATTACH] = attach_work,
		[DISKS_ATTACH_DVD] = attach_work,
		[DISKS_CHANGE_DVD] = medium_work,
		[DISKS_DETACH] = detach_work,
	};
	struct disk_place *place = &machine->disks.places[job->number];
	struct task *task;
	int ret = may_begin(place, kind);

	if (ret != 0) {
		return ret;
	}
	task = calloc(1, sizeof(*task));
	if (task == NULL) {
		return -ENOMEM;
	}
	task->name = strdup(change->name);
	if (task->name == NULL) {
		free(task);
		return -ENOMEM;
	}
	task->scsi = machine->disks.scsi;
	task->place = place;
	task->number = (unsigned int)job->number;
	task->kind = kind;
	task->change = *change;
	if (change->fd_count != 0) {
		memcpy(task->fds, change->fds, change->fd_count * sizeof(task->fds[0]));
	}
	task->disk = place->file;
	job->work = works[kind];
	job->finish = finish;
	job->subject = task;
	return 0;
}

/* What its thread has: the files alone, for who asks for the status meanwhile has the places. */
struct disks_closing {
	struct disk *files[CONFIG_DISKS_MAX];
	pthread_t thread;
	bool has_thread;
	bool lost; /* something of a guest's */
	int event;
	atomic_bool over;
};

static void *close_files(void *argument)
{
	struct disks_closing *closing = argument;
	struct disk_error error;

	for (unsigned int i = 0; i < CONFIG_DISKS_MAX; i++) {
		if (close_file(&closing->files[i], &error) != 0) {
			say("%s", error.text);
			closing->lost = true;
		}
	}
	atomic_store(&closing->over, true);
	eventfd_write(closing->event, 1);
	return NULL;
}

void disks_begin_close(struct machine *machine)
{
	static struct disks_closing closing; /* there is no way to go on without memory for it */
	struct disks *disks = &machine->disks;
	unsigned int i;

	drives_destroy(machine);
	if (disks->scsi != NULL) {
		storage_destroy(&disks->scsi);
	}
	for (i = 0; i < CONFIG_IDE_MAX; i++) {
		if (disks->ide[i] != NULL) {
			storage_destroy(&disks->ide[i]);
		}
	}
	closing = (struct disks_closing){.event = machine->stop_event};
	for (i = 0; i < CONFIG_DISKS_MAX; i++) {
		closing.files[i] = disks->places[i].file;
		set_place(&disks->places[i], NULL, false, false, NULL);
	}
	disks->closing = &closing;
	closing.has_thread = pthread_create(&closing.thread, NULL, close_files, &closing) == 0;
	if (!closing.has_thread) {
		close_files(&closing);
	}
}

bool disks_are_closed(struct machine *machine)
{
	return atomic_load(&machine->disks.closing->over);
}

bool disks_close(struct machine *machine)
{
	struct disks_closing *closing;

	if (machine->disks.closing == NULL) {
		disks_begin_close(machine);
	}
	closing = machine->disks.closing;
	if (closing->has_thread) {
		pthread_join(closing->thread, NULL);
	}
	machine->disks.closing = NULL;
	return !closing->lost;
}
