/*
 * The document of a configuration, member by member. A descriptor that it names is looked at here:
 * that it is open, of the kind that it should be, and given once.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/backend.h"
#include "devices/smbios.h"
#include "disk/bytes.h"
#include "hosted/pci.h"
#include "worker/config.h"
#include "worker/memory.h"

#define MIB             (1ull << 20)
#define NAME_MAX_LENGTH 64
#define APPEND_MAX      65536
#define UEFI_MEMORY_MIN (64 * MIB) /* OVMF hangs without a word in 32 */

#define AT(member) .at = offsetof(struct config, member)

/* ---- Files ---- */

struct file_members {
	uint64_t fd;
	const char *name;
};

static bool take_descriptor(struct form *form, const json_t *value, struct config_file *file)
{
	static const struct form_member members[] = {
		{"fd", FORM_NUMBER, .required = true, .at = offsetof(struct file_members, fd),
		 .most = sizeof(((struct config *)0)->inherited) - 1},
		{"name", FORM_TEXT, .at = offsetof(struct file_members, name), .least = 1,
		 .most = CONTROL_NAME_MAX},
	};
	struct config *config = form->user;
	struct file_members read = {0};
	json_t *name;

	if (!form_read(form, value, members, ARRAY_COUNT(members), &read)) {
		return false;
	}
	if (fcntl((int)read.fd, F_GETFD) < 0) {
		return form_refuse(form, value, "hand it over, open, to vmwp", "is not open");
	}
	if (config->inherited[read.fd]) {
		return form_refuse(form, value, "give each of them once",
				   "is something else's already");
	}
	config->inherited[read.fd] = true;
	if (read.name == NULL) {
		name = json_sprintf("fd %d", (int)read.fd);
		json_array_append_new(config->names, name);
		read.name = json_string_value(name);
	}
	*file = (struct config_file){.path = read.name, .fd = (int)read.fd};
	return file->path != NULL;
}

/* A path, or {"fd": N}. */
static bool read_file(struct form *form, const json_t *value, void *into)
{
	static const struct form_member path = {"", FORM_TEXT, .least = 1,
						.most = CONTROL_NAME_MAX};
	struct config_file *file = into;

	if (json_is_object(value)) {
		return take_descriptor(form, value, file);
	}
	if (!json_is_string(value)) {
		return form_refuse(form, value, "give a path, or {\"fd\": N}", "is no file");
	}
	file->fd = -1;
	return form_read_value(form, value, &path, &file->path);
}

static bool is_open_for(int fd, bool writing)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && !(flags & O_PATH) &&
	       (writing ? (flags & O_ACCMODE) == O_RDWR : (flags & O_ACCMODE) != O_WRONLY);
}

static bool is_of_type(int fd, mode_t type, mode_t other)
{
	struct stat stat;

	return fstat(fd, &stat) == 0 &&
	       ((stat.st_mode & S_IFMT) == type || (stat.st_mode & S_IFMT) == other);
}

/* A file that is read from the start to the end. */
static bool read_image(struct form *form, const json_t *value, void *into)
{
	struct config_file *file = into;

	if (!read_file(form, value, into)) {
		return false;
	}
	return file->fd < 0 ||
	       (is_of_type(file->fd, S_IFREG, S_IFREG) && is_open_for(file->fd, false)) ||
	       form_refuse(form, value, "give a regular file that is open for reading",
			   "is not such a file");
}

static bool read_device(struct form *form, const json_t *value, void *into)
{
	struct config_file file;

	if (!json_is_object(value)) {
		return form_refuse(form, value, "give {\"fd\": N}, or leave it out",
				   "is no descriptor");
	}
	if (!take_descriptor(form, value, &file)) {
		return false;
	}
	*(int *)into = file.fd;
	return (is_of_type(file.fd, S_IFCHR, S_IFCHR) && is_open_for(file.fd, true)) ||
	       form_refuse(form, value,
			   "give the hypervisor's device, open for reading and writing",
			   "is not a device");
}

/* A path to listen at, or a socket that listens already. */
static bool is_listener(int fd, int wanted)
{
	int type = 0, listens = 0, domain = 0;
	socklen_t size = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == wanted &&
	       getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX &&
	       getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens;
}

/* ---- Sizes, names, users ---- */

/* 512M, or bytes. */
static bool parse_size(const char *text, uint64_t *size)
{
	static const char units[] = "KMGT";
	unsigned long long number;
	const char *unit;
	unsigned int shift;
	char *end;

	errno = 0;
	number = strtoull(text, &end, 10);
	unit = *end != '\0' ? strchr(units, *end >= 'a' ? *end - 'a' + 'A' : *end) : NULL;
	if (*text < '0' || *text > '9' || errno != 0 || unit == NULL || end[1] != '\0') {
		return false;
	}
	shift = 10 * (unsigned int)(unit - units + 1);
	*size = (uint64_t)number << shift;
	return number <= UINT64_MAX >> shift;
}

static bool read_memory(struct form *form, const json_t *value, void *into)
{
	uint64_t size = (uint64_t)json_integer_value(value);
	char remedy[80];

	if (!json_is_integer(value) &&
	    (!json_is_string(value) || !parse_size(json_string_value(value), &size))) {
		return form_refuse(form, value, "not a size; write it as 512M or 2G",
				   "is not a size");
	}
	snprintf(remedy, sizeof(remedy), "give from %lluM to %lluT, a multiple of %lluM",
		 MEMORY_MIN / MIB, MEMORY_MAX >> 40, MEMORY_UNIT / MIB);
	if (json_integer_value(value) < 0 || size < MEMORY_MIN || size > MEMORY_MAX ||
	    size % MEMORY_UNIT != 0) {
		return form_refuse(form, value, remedy,
				   "is more or less than a machine can have, "
				   "or no multiple");
	}
	*(uint64_t *)into = size;
	return true;
}

static bool read_vps(struct form *form, const json_t *value, void *into)
{
	static const struct form_member vps = {"", FORM_NUMBER, .least = 1,
					       .most = BACKEND_MAX_VPS};
	uint64_t number;

	if (!form_read_value(form, value, &vps, &number)) {
		return false;
	}
	*(unsigned int *)into = (unsigned int)number;
	return true;
}

static bool read_user(struct form *form, const json_t *value, void *into)
{
	char remedy[80];

	if (!json_is_integer(value) || json_integer_value(value) < 1 ||
	    json_integer_value(value) >= UINT32_MAX) {
		snprintf(remedy, sizeof(remedy), "give a user's number, from 1 to %u",
			 UINT32_MAX - 1);
		return form_refuse(form, value, remedy, "is no user's number");
	}
	*(unsigned int *)into = (unsigned int)json_integer_value(value);
	return true;
}

/* ---- Serial line, control socket ---- */

static bool read_serial(struct form *form, const json_t *value, void *into)
{
	static const char *const words[] = {"stdio", "file", "unix", "control", NULL};
	static const struct form_member members[] = {
		{"to", FORM_WORD, .required = true, AT(serial), .words = words},
		{"file", FORM_OTHER, AT(serial_file), .read = read_file},
	};
	struct config *config = form->user;
	const json_t *file = json_object_get(value, "file");
	int fd;

	(void)into;
	if (!form_read(form, value, members, ARRAY_COUNT(members), config)) {
		return false;
	}
	if ((file != NULL) != (config->serial == SERIAL_FILE || config->serial == SERIAL_UNIX)) {
		return form_refuse_member(form, "file", file, "give one with file and unix alone",
					  file != NULL ? "has no use here" : "is missing");
	}
	fd = file != NULL ? config->serial_file.fd : -1;
	if (fd >= 0 && config->serial == SERIAL_UNIX && !is_listener(fd, SOCK_STREAM)) {
		return form_refuse_member(form, "file", file,
					  "give a UNIX socket of type SOCK_STREAM that listens",
					  "is not such a socket");
	}
	if (fd >= 0 && config->serial == SERIAL_FILE &&
	    (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY) {
		return form_refuse_member(form, "file", file, "open it for writing",
					  "is not open for writing");
	}
	return true;
}

static bool read_one_user(struct form *form, const json_t *value, void *into)
{
	struct config *config = into;
	unsigned int user;

	if (!read_user(form, value, &user)) {
		return false;
	}
	config->control_users[config->control_user_count++] = user;
	return true;
}

static bool read_users(struct form *form, const json_t *value, void *into)
{
	(void)into;
	return form_read_list(form, value, CONFIG_USERS_MAX, read_one_user, form->user);
}

static bool read_control(struct form *form, const json_t *value, void *into)
{
	static const struct form_member members[] = {
		{"socket", FORM_OTHER, .required = true, AT(control), .read = read_file},
		{"users", FORM_OTHER, .read = read_users},
	};
	struct config *config = form->user;

	(void)into;
	if (!form_read(form, value, members, ARRAY_COUNT(members), config)) {
		return false;
	}
	return config->control.fd < 0 || is_listener(config->control.fd, SOCK_SEQPACKET) ||
	       form_refuse_member(form, "socket", json_object_get(value, "socket"),
				  "give a UNIX socket of type SOCK_SEQPACKET that listens",
				  "is not such a socket");
}

/* Where the machine comes from. The socket may be connected, too, to anything; then nobody knows
 * what is beside it. */
static bool read_receive(struct form *form, const json_t *value, void *into)
{
	static const struct form_member members[] = {
		{"socket", FORM_OTHER, .required = true, AT(receive), .read = read_file},
		{"owner", FORM_OTHER, AT(receive_owner), .read = read_file},
		{"disks", FORM_FLAG, AT(receive_disks)},
	};
	struct config *config = form->user;
	int type = 0;
	socklen_t size = sizeof(type);

	(void)into;
	if (!form_read(form, value, members, ARRAY_COUNT(members), config)) {
		return false;
	}
	if (config->receive.fd >= 0 &&
	    (getsockopt(config->receive.fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 ||
	     type != SOCK_STREAM)) {
		return form_refuse_member(form, "socket", json_object_get(value, "socket"),
					  "give a stream socket that listens or is connected",
					  "is not such a socket");
	}
	if (config->receive.fd >= 0 && config->receive_owner.path == NULL) {
		return form_refuse_member(form, "owner", NULL,
					  "give the file that the source has too", "is missing");
	}
	return config->receive_owner.fd < 0 ||
	       (is_of_type(config->receive_owner.fd, S_IFREG, S_IFREG) &&
		is_open_for(config->receive_owner.fd, true)) ||
	       form_refuse_member(form, "owner", json_object_get(value, "owner"),
				  "give a regular file that is open for reading and writing",
				  "is not such a file");
}

static bool read_vsock(struct form *form, const json_t *value, void *into)
{
	static const struct form_member members[] = {
		{"socket", FORM_OTHER, AT(vsock.socket), .read = read_file},
		{"programs", FORM_TEXT, AT(vsock.programs), .least = 1, .most = CONTROL_NAME_MAX},
	};
	struct config *config = form->user;
	struct config_vsock *vsock = &config->vsock;

	(void)into;
	if (!form_read(form, value, members, ARRAY_COUNT(members), config)) {
		return false;
	}
	if (vsock->programs == NULL && vsock->socket.fd < 0) {
		vsock->programs = vsock->socket.path;
	}
	return vsock->socket.fd < 0 || is_listener(vsock->socket.fd, SOCK_STREAM) ||
	       form_refuse_member(form, "socket", json_object_get(value, "socket"),
				  "give a UNIX socket of type SOCK_STREAM that listens",
				  "is not such a socket");
}

/* A socket at which viewers connect. */
static bool read_show(struct form *form, const json_t *value, void *into)
{
	static const struct form_member members[] = {
		{"socket", FORM_OTHER, .required = true, .read = read_file},
	};
	const struct config_file *file = into;

	return form_read(form, value, members, ARRAY_COUNT(members), into) &&
	       (file->fd < 0 || is_listener(file->fd, SOCK_STREAM) ||
		form_refuse_member(form, "socket", json_object_get(value, "socket"),
				   "give a UNIX socket of type SOCK_STREAM that listens",
				   "is not such a socket"));
}

/* ---- Disks ---- */

struct disk_members {
	struct config_disk disk;
	unsigned int kind, controller;
	uint64_t number;
};

static bool read_parent(struct form *form, const json_t *value, void *into)
{
	struct config_disk *disk = into;

	return read_file(form, value, &disk->parents[disk->parent_count++]);
}

static bool read_parents(struct form *form, const json_t *value, void *into)
{
	struct config_disk *disk = into;

	disk->parents = calloc(CONTROL_FILES_MAX, sizeof(disk->parents[0]));
	if (disk->parents == NULL) {
		return form_refuse(form, NULL, "", "there is no memory for them");
	}
	return form_read_list(form, value, CONTROL_FILES_MAX - 1, read_parent, disk);
}

static bool is_disk_file(const struct config_file *file, bool writing)
{
	return file->fd < 0 ||
	       (is_of_type(file->fd, S_IFREG, S_IFBLK) && is_open_for(file->fd, writing));
}

static unsigned int count_usb(const struct config *config)
{
	unsigned int i, count = 0;

	for (i = 0; i < config->disk_count; i++) {
		count += config->disks[i].usb;
	}
	return count;
}

/* What its members say together. */
static bool check_disk(struct form *form, const json_t *value, const struct config_disk *disk)
{
	const struct config *config = form->user;
	json_int_t generation;
	unsigned int i;

	if (disk->file.path == NULL && !disk->dvd) {
		return form_refuse_member(form, "file", NULL, "it has to be given", "is missing");
	}
	generation = json_integer_value(json_object_get(config->document, "generation"));
	if (disk->dvd && disk->ide && generation != 1) {
		return form_refuse_member(form, "controller", json_object_get(value, "controller"),
					  "give generation 1, or scsi",
					  "has DVD drives with a BIOS alone");
	}
	if (disk->usb && (disk->ide || count_usb(config) == CONFIG_USB_MAX)) {
		return form_refuse_member(
			form, "usb", json_object_get(value, "usb"),
			disk->ide ? "give scsi" : "give it for three disks at most",
			disk->ide ? "is for SCSI disks" : "is more than there are ports for");
	}
	if (disk->first && generation == 0) {
		return form_refuse_member(form, "first", json_object_get(value, "first"),
					  "give it with generation 1 or 2",
					  "is what firmware asks for");
	}
	if (disk->ide && generation == 2) {
		return form_refuse_member(form, "controller", json_object_get(value, "controller"),
					  "give scsi", "is not there with generation 2");
	}
	if (!is_disk_file(&disk->file, !disk->read_only)) {
		return form_refuse_member(form, "file", json_object_get(value, "file"),
					  disk->read_only
						  ? "give a regular file or a block device, open "
						    "for reading"
						  : "give a regular file or a block device, open "
						    "for reading and writing, or read-only",
					  "is not such a file");
	}
	for (i = 0; i < disk->parent_count; i++) {
		if (!is_disk_file(&disk->parents[i], false)) {
			return form_refuse_member(form, "parents",
						  json_object_get(value, "parents"),
						  "give files that are open for reading",
						  "has one that is not such a file");
		}
	}
	return true;
}

static bool number_is_taken(const struct config *config, bool ide, unsigned int number)
{
	unsigned int i;

	for (i = 0; i < config->disk_count; i++) {
		if (config->disks[i].ide == ide && config->disks[i].number == number) {
			return true;
		}
	}
	return false;
}

/* The one that it asks for, or the first that is free. */
static bool place_disk(struct form *form, const json_t *value, struct disk_members *read)
{
	const struct config *config = form->user;
	const json_t *asked = json_object_get(value, "number");
	bool ide = read->disk.ide;
	unsigned int most = ide ? CONFIG_IDE_MAX : CONFIG_SCSI_MAX;
	unsigned int *number = &read->disk.number;

	if (asked != NULL) {
		if (read->number >= most) {
			return form_refuse_member(form, "number", asked,
						  ide ? "give a number from 0 to 3"
						      : "give a number from 0 to 63",
						  "is no disk of its controller");
		}
		*number = (unsigned int)read->number;
		return !number_is_taken(config, ide, *number) ||
		       form_refuse_member(form, "number", asked, "give each disk another one",
					  "is another disk's, given before it");
	}
	/* A DVD drive is the second channel's first drive, if it may be. */
	if (ide && read->disk.dvd && !number_is_taken(config, ide, CONFIG_IDE_DVD)) {
		*number = CONFIG_IDE_DVD;
		return true;
	}
	while (*number < most && number_is_taken(config, ide, *number)) {
		++*number;
	}
	return *number < most || form_refuse(form, value,
					     ide ? "there is room for 4; leave some out"
						 : "there is room for 64; leave some out",
					     "has no place at its controller");
}

static bool read_disk(struct form *form, const json_t *value, void *into)
{
	static const char *const kinds[] = {"disk", "dvd", NULL};
	static const char *const controllers[] = {"scsi", "ide", NULL};
#define OF_DISK(member) .at = offsetof(struct disk_members, member)
	static const struct form_member members[] = {
		{"file", FORM_OTHER, OF_DISK(disk.file), .read = read_file},
		{"parents", FORM_OTHER, OF_DISK(disk), .read = read_parents},
		{"kind", FORM_WORD, OF_DISK(kind), .words = kinds},
		{"controller", FORM_WORD, OF_DISK(controller), .words = controllers},
		{"number", FORM_NUMBER, OF_DISK(number), .most = CONTROL_NUMBER_MAX},
		{"read-only", FORM_FLAG, OF_DISK(disk.read_only)},
		{"first", FORM_FLAG, OF_DISK(disk.first)},
		{"raw", FORM_FLAG, OF_DISK(disk.raw)},
		{"direct", FORM_FLAG, OF_DISK(disk.direct)},
		{"usb", FORM_FLAG, OF_DISK(disk.usb)},
	};
	struct config *config = into;
	struct disk_members read = {.disk.file.fd = -1};
	struct config_disk *disk = &config->disks[config->disk_count];
	bool done = form_read(form, value, members, ARRAY_COUNT(members), &read);

	read.disk.dvd = read.kind == 1;
	read.disk.ide = read.controller == 1;
	read.disk.read_only |= read.disk.dvd;
	done = done && check_disk(form, value, &read.disk) && place_disk(form, value, &read);
	if (!done) {
		free(read.disk.parents);
		return false;
	}
	*disk = read.disk;
	config->disk_count++;
	return true;
}

static bool read_disks(struct form *form, const json_t *value, void *into)
{
	(void)into;
	return form_read_list(form, value, CONFIG_DISKS_MAX, read_disk, form->user);
}

/* ---- What it starts ---- */

static bool read_generation(struct form *form, const json_t *value, void *into)
{
	json_int_t generation = json_integer_value(value);

	if (!json_is_integer(value) || generation < 1 || generation > 2) {
		return form_refuse(form, value, "give 1 or 2, or leave it out", "does not exist");
	}
	*(unsigned int *)into = (unsigned int)generation;
	return true;
}

static bool read_log(struct form *form, const json_t *value, void *into)
{
	struct config_file *file = into;

	if (!read_file(form, value, into)) {
		return false;
	}
	return file->fd < 0 || (fcntl(file->fd, F_GETFL) & O_ACCMODE) != O_RDONLY ||
	       form_refuse(form, value, "open it for writing", "is not open for writing");
}

struct sound_members {
	unsigned int model;
	struct config_file wav;
};

static bool read_sound(struct form *form, const json_t *value, void *into)
{
	static const char *const models[] = {"sb16", "hda", NULL};
	static const struct form_member members[] = {
		{"model", FORM_WORD, .required = true, .at = offsetof(struct sound_members, model),
		 .words = models},
		{"wav", FORM_OTHER, .at = offsetof(struct sound_members, wav), .read = read_log},
	};
	struct config *config = form->user;
	struct sound_members sound = {.wav.fd = -1};

	(void)into;
	if (!form_read(form, value, members, ARRAY_COUNT(members), &sound)) {
		return false;
	}
	config->sound = (enum config_sound)(CONFIG_SB16 + sound.model);
	config->sound_wav = sound.wav;
	return true;
}

/* Variables are written too. */
static bool read_variables(struct form *form, const json_t *value, void *into)
{
	struct config_file *file = into;

	if (!read_file(form, value, into)) {
		return false;
	}
	return file->fd < 0 ||
	       (is_of_type(file->fd, S_IFREG, S_IFREG) && is_open_for(file->fd, true)) ||
	       form_refuse(form, value, "give a regular file that is open for reading and writing",
			   "is not such a file");
}

static bool read_secure_boot(struct form *form, const json_t *value, void *into)
{
	static const char *const words[] = {"off", "microsoft", "template", NULL};
	static const struct form_member word = {"", FORM_WORD, .words = words};
	unsigned int which = 0;

	if (!form_read_value(form, value, &word, &which)) {
		return false;
	}
	*(enum secure_boot *)into = SECURE_BOOT_OFF + which;
	return true;
}

/* What begins a machine, and which keys go with it: a bit for each generation, 1 for none. */
static bool check_keys(struct form *form, const struct config *config)
{
	static const struct {
		const char *key;
		unsigned int generations;
		const char *remedy;
	} keys[] = {
		{"kernel", 1, "leave it out: firmware starts what it finds"},
		{"initrd", 1, "leave it out: firmware starts what it finds"},
		{"append", 1, "leave it out: firmware starts what it finds"},
		{"firmware", 2 | 4, "give it with generation 1 or 2"},
		{"firmware-log", 2 | 4, "give it with generation 1 or 2"},
		{"floppy", 2, "give it with generation 1"},
		{"tablet", 1 | 2, "give it with generation 1, or with a kernel"},
		{"sound", 1 | 2, "give it with generation 1, or with a kernel"},
		{"network-firmware", 2, "give it with generation 1"},
		{"vga-firmware", 2, "give it with generation 1"},
		{"firmware-variables", 4, "give it with generation 2"},
		{"firmware-template", 4, "give it with generation 2"},
		{"secure-boot", 4, "give it with generation 2"},
		{"tpm", 4, "give it with generation 2"},
	};
	unsigned int i;

	for (i = 0; i < ARRAY_COUNT(keys); i++) {
		const json_t *value = json_object_get(config->document, keys[i].key);

		if (value != NULL && !(keys[i].generations >> config->generation & 1)) {
			return form_refuse_member(form, keys[i].key, value, keys[i].remedy,
						  "has no use here");
		}
	}
	return true;
}

/* The variables that a machine begins with, and the keys in them. */
static bool check_template(struct form *form, struct config *config)
{
	const json_t *template = json_object_get(config->document, "firmware-template");
	const json_t *secure = json_object_get(config->document, "secure-boot");

	if (config->secure_boot == SECURE_BOOT_TEMPLATE && template == NULL) {
		return form_refuse_member(form, "firmware-template", NULL,
					  "give variables that have the keys", "is missing");
	}
	if (config->secure_boot == SECURE_BOOT_MICROSOFT && template != NULL) {
		return form_refuse_member(form, "secure-boot", secure,
					  "say template for the keys of firmware-template, or "
					  "leave that out",
					  "has keys of its own");
	}
	if (template == NULL) {
		config->firmware_template.path = config->secure_boot == SECURE_BOOT_MICROSOFT
							 ? CONFIG_KEYS
							 : CONFIG_VARIABLES;
	}
	return true;
}

/* A kernel, or firmware, and what goes with it. */
static bool check_start(struct form *form, struct config *config)
{
	if (!check_keys(form, config)) {
		return false;
	}
	if (config->generation == 0 && config->kernel.path == NULL) {
		return form_refuse_member(form, "kernel", NULL,
					  "it has to be given, or generation 1 or 2", "is missing");
	}
	if (config->generation != 0 && config->firmware.path == NULL) {
		config->firmware.path = config->generation == 1 ? CONFIG_BIOS : CONFIG_UEFI;
	}
	if (config->generation == 2 && config->memory < UEFI_MEMORY_MIN) {
		return form_refuse_member(form, "memory",
					  json_object_get(config->document, "memory"),
					  "give at least 64M with generation 2",
					  "is less than UEFI firmware starts with");
	}
	if (!check_template(form, config)) {
		return false;
	}
	config->vga |= config->vnc.path != NULL || config->rdp.path != NULL;
	if (config->vga && config->vga_rom.path == NULL) {
		config->vga_rom.path = CONFIG_VGA_BIOS;
	}
	return true;
}

/* ---- Adapters ---- */

#define SWITCH_NAME_MAX 63 /* include/switch/port.h */

static bool is_address(const char *text, uint8_t mac[6])
{
	unsigned int i;
	int length = 0;

	if (strlen(text) != 17 ||
	    sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &mac[0], &mac[1], &mac[2],
		   &mac[3], &mac[4], &mac[5], &length) != 6 ||
	    length != 17 || mac[0] & 1) {
		return false;
	}
	for (i = 0; i < 6 && mac[i] == 0; i++) {
	}
	return i < 6;
}

static bool read_address(struct form *form, const json_t *value, void *into)
{
	const char *text = json_string_value(value);

	return (text != NULL && is_address(text, into)) ||
	       form_refuse(form, value, "give one as 00:15:5d:01:02:03, not a group's",
			   "is no address of an adapter");
}

static bool read_port_socket(struct form *form, const json_t *value, void *into)
{
	struct config_file *file = into;

	return read_file(form, value, into) &&
	       (file->fd < 0 || is_of_type(file->fd, S_IFSOCK, S_IFSOCK) ||
		form_refuse(form, value, "give one that is connected to a switch's port socket",
			    "is no socket"));
}

const char *const config_models[] = {"synthetic", "21140", NULL};

/* What one model alone has. */
static bool check_model(struct form *form, const json_t *value,
			const struct config_network *network)
{
	if (network->first && !network->emulated) {
		return form_refuse_member(form, "first", json_object_get(value, "first"),
					  "give it model 21140 too",
					  "is for an adapter that firmware has a driver for");
	}
	if (network->emulated && (network->queue_count > 1 || network->by_page || network->sriov)) {
		return form_refuse_member(form, "model", json_object_get(value, "model"),
					  "leave out queues, signals and sriov",
					  "has one queue, and interrupts alone");
	}
	return true;
}

bool config_read_network(struct form *form, const json_t *value, struct config_network *network)
{
#define OF_NETWORK(member) .at = offsetof(struct network_members, member)
	static const char *const signals[] = {"call", "page", NULL};
	struct network_members {
		struct config_network network;
		uint64_t vlan, queues;
		unsigned int signals, model;
	} read = {.network.socket = {.path = CONFIG_PORT_SOCKET, .fd = -1}};
	static const struct form_member members[] = {
		{"switch", FORM_TEXT, .required = true, OF_NETWORK(network.network), .least = 1,
		 .most = SWITCH_NAME_MAX},
		{"port", FORM_TEXT, OF_NETWORK(network.port), .least = 1, .most = SWITCH_NAME_MAX},
		{"socket", FORM_OTHER, OF_NETWORK(network.socket), .read = read_port_socket},
		{"mac", FORM_OTHER, OF_NETWORK(network.mac), .read = read_address},
		{"vlan", FORM_NUMBER, OF_NETWORK(vlan), .least = 1, .most = 4094},
		{"queues", FORM_NUMBER, OF_NETWORK(queues), .least = 1, .most = CONFIG_QUEUES_MAX},
		{"signals", FORM_WORD, OF_NETWORK(signals), .words = signals},
		{"model", FORM_WORD, OF_NETWORK(model), .words = config_models},
		{"first", FORM_FLAG, OF_NETWORK(network.first)},
		{"sriov", FORM_FLAG, OF_NETWORK(network.sriov)},
	};

	if (!form_read(form, value, members, ARRAY_COUNT(members), &read)) {
		return false;
	}
	*network = read.network;
	network->vlan = (unsigned int)read.vlan;
	network->queue_count = (unsigned int)read.queues;
	network->by_page = read.signals == 1;
	network->emulated = read.model == 1;
	return check_model(form, value, network);
}

static bool read_network(struct form *form, const json_t *value, void *into)
{
	struct config *config = into;

	if (!config_read_network(form, value, &config->networks[config->network_count])) {
		return false;
	}
	config->network_count++;
	return true;
}

static bool read_networks(struct form *form, const json_t *value, void *into)
{
	(void)into;
	return form_read_list(form, value, CONFIG_NETWORKS_MAX, read_network, form->user);
}

unsigned int config_queues(const struct config *config)
{
	return config->vps < CONFIG_QUEUES_MAX ? config->vps : CONFIG_QUEUES_MAX;
}

/* ---- Devices of the hardware ---- */

static bool read_address_of_device(struct form *form, const json_t *value, void *into)
{
	const char *text = json_string_value(value);

	if (text == NULL || !pci_is_address(text)) {
		return form_refuse(form, value, "give one as lspci -D shows it: 0000:00:05.0",
				   "is no address of a PCI device");
	}
	*(const char **)into = text;
	return true;
}

static bool read_pci_device(struct form *form, const json_t *value, void *into)
{
	static const struct form_member members[] = {
		{"pci", FORM_OTHER, .required = true, .read = read_address_of_device},
	};
	struct config *config = into;
	const char *address = NULL;
	unsigned int i;

	if (!form_read(form, value, members, ARRAY_COUNT(members), &address)) {
		return false;
	}
	for (i = 0; i < config->device_count; i++) {
		if (strcmp(config->devices[i], address) == 0) {
			return form_refuse(form, value, "give each device once", "is given twice");
		}
	}
	config->devices[config->device_count++] = address;
	return true;
}

static bool read_devices(struct form *form, const json_t *value, void *into)
{
	(void)into;
	return form_read_list(form, value, CONFIG_DEVICES_MAX, read_pci_device, form->user);
}

static bool has_sriov(const struct config *config)
{
	unsigned int i;

	for (i = 0; i < config->network_count; i++) {
		if (config->networks[i].sriov) {
			return true;
		}
	}
	return false;
}

/* The first of the keys, which are of virtual functions as well: those come and go. */
#define MEMORY_KEYS 2u

/* What devices write to is the guest's for good, and what they know is in no state. */
static bool check_devices(struct form *form, const struct config *config)
{
	static const struct {
		const char *key, *what;
	} keys[] = {
		{"memory-minimum", "cannot be: with a device all memory is the guest's for good"},
		{"memory-maximum", "cannot be: with a device all memory is the guest's for good"},
		{"restore", "cannot be: a device has a state of its own"},
		{"receive", "cannot be: a device has a state of its own"},
	};
	unsigned int i, count = config->device_count > 0 ? ARRAY_COUNT(keys)
				: has_sriov(config)      ? MEMORY_KEYS
							 : 0;

	for (i = 0; i < count; i++) {
		const json_t *value = json_object_get(config->document, keys[i].key);

		if (value != NULL) {
			return form_refuse_member(form, keys[i].key, value,
						  config->device_count > 0
							  ? "leave it out, or the devices"
							  : "leave it out, or the adapter's sriov",
						  keys[i].what);
		}
	}
	return true;
}

/* ---- Identity ---- */

static bool read_uuid(struct form *form, const json_t *value, void *into)
{
	const char *text = json_string_value(value);
	struct guid guid;

	if (text == NULL || strlen(text) != GUID_TEXT - 1 || guid_parse(text, &guid) != 0 ||
	    guid_is_zero(&guid)) {
		return form_refuse(form, value, "give one as 01234567-89ab-cdef-0123-456789abcdef",
				   "is no UUID");
	}
	memcpy(into, guid.bytes, sizeof(guid.bytes));
	return true;
}

/* ---- Services ---- */

static const char *const service_names[] = {CONTROL_SERVICES, NULL};

#define ALL_SERVICES ((1u << (ARRAY_COUNT(service_names) - 1)) - 1)

static bool read_service(struct form *form, const json_t *value, void *into)
{
	static const struct form_member word = {"", FORM_WORD, .words = service_names};
	unsigned int service = 0, *off = into;

	if (!form_read_value(form, value, &word, &service)) {
		return false;
	}
	*off &= ~(1u << service);
	return true;
}

/* Those that are offered. */
static bool read_services(struct form *form, const json_t *value, void *into)
{
	*(unsigned int *)into = ALL_SERVICES;
	return form_read_list(form, value, ARRAY_COUNT(service_names) - 1, read_service, into);
}

/* A system has to see PCI, which UEFI does not show it; or the ports of ISA, which are a BIOS's. */
static bool check_sound(struct form *form, const struct config *config)
{
	return config->sound != CONFIG_SB16 || config->generation == 1 ||
	       form_refuse_member(form, "sound", NULL, "give generation 1, or model hda",
				  "is a card that generation 1 alone has");
}

/* Adapters of the board are generation 1's, whose firmware tells the guest where their interrupts
 * go. */
static bool check_networks(struct form *form, const struct config *config)
{
	unsigned int i, emulated = 0;

	for (i = 0; i < config->network_count; i++) {
		emulated += config->networks[i].emulated;
	}
	if (emulated != 0 && config->generation != 1) {
		return form_refuse_member(
			form, "networks", NULL, "give generation 1, or leave out the model",
			"has an adapter of model 21140, which generation 1 alone has");
	}
	return emulated <= CONFIG_EMULATED_MAX ||
	       form_refuse_member(form, "networks", NULL, "give at most 4 of them",
				  "has more than 4 adapters of model 21140");
}

/* ---- All of it ---- */

bool config_read(struct config *config, struct form_error *error)
{
	static const char *const on_reset[] = {"reboot", "exit", NULL};
	static const struct form_member members[] = {
		{"name", FORM_TEXT, .required = true, AT(name), .least = 1,
		 .most = NAME_MAX_LENGTH},
		{"kernel", FORM_OTHER, AT(kernel), .read = read_image},
		{"initrd", FORM_OTHER, AT(initrd), .read = read_image},
		{"append", FORM_TEXT, AT(append), .most = APPEND_MAX},
		{"generation", FORM_OTHER, AT(generation), .read = read_generation},
		{"firmware", FORM_OTHER, AT(firmware), .read = read_image},
		{"firmware-log", FORM_OTHER, AT(firmware_log), .read = read_log},
		{"firmware-variables", FORM_OTHER, AT(firmware_variables), .read = read_variables},
		{"firmware-template", FORM_OTHER, AT(firmware_template), .read = read_image},
		{"secure-boot", FORM_OTHER, AT(secure_boot), .read = read_secure_boot},
		{"tpm", FORM_OTHER, AT(tpm), .read = read_variables},
		{"floppy", FORM_OTHER, AT(floppy), .read = read_image},
		{"restore", FORM_OTHER, AT(restore), .read = read_image},
		{"receive", FORM_OTHER, .read = read_receive},
		{"vga", FORM_FLAG, AT(vga)},
		{"vnc", FORM_OTHER, AT(vnc), .read = read_show},
		{"rdp", FORM_OTHER, AT(rdp), .read = read_show},
		{"tablet", FORM_FLAG, AT(tablet)},
		{"sound", FORM_OTHER, .read = read_sound},
		{"network-firmware", FORM_OTHER, AT(network_firmware), .read = read_image},
		{"vga-firmware", FORM_OTHER, AT(vga_rom), .read = read_image},
		{"crash-log", FORM_OTHER, AT(crash_log), .read = read_log},
		{"memory", FORM_OTHER, .required = true, AT(memory), .read = read_memory},
		{"memory-minimum", FORM_OTHER, AT(memory_minimum), .read = read_memory},
		{"memory-maximum", FORM_OTHER, AT(memory_maximum), .read = read_memory},
		{"memory-weight", FORM_NUMBER, AT(memory_weight), .most = 100},
		{"memory-buffer", FORM_NUMBER, AT(memory_buffer), .least = 5, .most = 2000},
		{"vps", FORM_OTHER, .required = true, AT(vps), .read = read_vps},
		{"serial", FORM_OTHER, .read = read_serial},
		{"disks", FORM_OTHER, .read = read_disks},
		{"networks", FORM_OTHER, .read = read_networks},
		{"devices", FORM_OTHER, .read = read_devices},
		{"vsock", FORM_OTHER, .read = read_vsock},
		{"control", FORM_OTHER, .read = read_control},
		{"services", FORM_OTHER, AT(services_off), .read = read_services},
		{"on-reset", FORM_WORD, AT(on_reset), .words = on_reset},
		{"user", FORM_OTHER, AT(user), .read = read_user},
		{"device", FORM_OTHER, AT(device), .read = read_device},
		{"debug-exit", FORM_FLAG, AT(debug_exit)},
		{"id", FORM_OTHER, AT(id), .read = read_uuid},
		{"serial-number", FORM_TEXT, AT(serial_number), .least = 1,
		 .most = SMBIOS_TEXT_MAX},
		{"generation-id", FORM_OTHER, AT(generation_id), .read = read_uuid},
	};
	struct form form = {.user = config};
	bool done;

	config->append = "";
	config->memory_weight = 50;
	config->memory_buffer = 20;
	config->names = json_array();
	config->kernel.fd = config->initrd.fd = config->device = -1;
	config->firmware.fd = config->firmware_log.fd = config->floppy.fd = config->vga_rom.fd =
		config->restore.fd = config->firmware_variables.fd = config->firmware_template.fd =
			config->tpm.fd = config->network_firmware.fd = -1;
	config->serial_file.fd = config->control.fd = config->vsock.socket.fd = config->vnc.fd =
		config->rdp.fd = config->sound_wav.fd = -1;
	config->crash_log.fd = config->receive.fd = config->receive_owner.fd = -1;
	done = form_read(&form, config->document, members, ARRAY_COUNT(members), config);
	done = done && check_start(&form, config) && check_devices(&form, config) &&
	       check_networks(&form, config) && check_sound(&form, config);
	if (done && config->memory_minimum > config->memory) {
		done = form_refuse_member(&form, "memory-minimum",
					  json_object_get(config->document, "memory-minimum"),
					  "give no more than memory", "is more than there is");
	}
	if (done && config->memory_maximum != 0 && config->memory_maximum < config->memory) {
		done = form_refuse_member(&form, "memory-maximum",
					  json_object_get(config->document, "memory-maximum"),
					  "give no less than memory", "is less than there is");
	}
	if (done && config->memory_maximum != 0 && config->memory_minimum == 0) {
		config->memory_minimum = config->memory;
	}
	if (config->memory_maximum == 0) {
		config->memory_maximum = config->memory;
	}
	if (done && config->receive.path != NULL && config->restore.path != NULL) {
		done = form_refuse_member(
			&form, "receive", json_object_get(config->document, "receive"),
			"leave one of the two out", "is given, and restore as well");
	}
	if (done && config->serial == SERIAL_CONTROL && config->control.path == NULL) {
		done = form_refuse_member(&form, "control", NULL,
					  "give the socket on which COM1 is asked for",
					  "is missing");
	}
	*error = form.error;
	return done;
}
