/*
 * The file of nvram.h. What the file holds is looked at before a machine starts with it: a volume
 * of firmware (UEFI PI 1.7, volume 3, 3.2.1) with a store of authenticated variables in it (EDK II,
 * MdeModulePkg/Include/Guid/VariableFormat.h). It is anybody's who can write it, and firmware would
 * begin anew, without a word, where it finds something else.
 */
#include "worker/nvram.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hosted/whole.h"

#define PACKED __attribute__((packed))

struct volume {
	uint8_t zeros[16];
	uint8_t guid[16];
	uint64_t length;
	char signature[4];
	uint32_t attributes;
	uint16_t header_length, checksum;
	uint16_t extension;
	uint8_t reserved, revision;
} PACKED;

struct store {
	uint8_t guid[16];
	uint32_t size;
	uint8_t format, state;
	uint8_t reserved[6];
} PACKED;

struct variable {
	uint16_t start;
	uint8_t state, reserved;
	uint32_t attributes;
	uint64_t count;
	uint8_t time[16];
	uint32_t key, name_size, data_size;
	uint8_t vendor[16];
} PACKED;

#define STORE_FORMATTED  0x5a
#define STORE_HEALTHY    0xfe
#define VARIABLE_START   0x55aa
#define VARIABLE_NOTHING 0xffff
#define STATE_NOTHING    0xff /* its header is being written */

static const uint8_t volume_guid[16] = {0x8d, 0x2b, 0xf1, 0xff, 0x96, 0x76, 0x8b, 0x4c,
					0xa9, 0x85, 0x27, 0x47, 0x07, 0x5b, 0x4f, 0x50};
static const uint8_t store_guid[16] = {0x78, 0x2c, 0xf3, 0xaa, 0x7b, 0x94, 0x9a, 0x43,
				       0xa1, 0x80, 0x2e, 0x14, 0x4e, 0xc3, 0x77, 0x92};

static uint16_t sum_of_words(const uint8_t *bytes, uint32_t length)
{
	uint16_t sum = 0;
	uint32_t i;

	for (i = 0; i < length; i += 2) {
		sum = (uint16_t)(sum + (bytes[i] | bytes[i + 1] << 8));
	}
	return sum;
}

/* One that is there, and one whose successor is being written. */
#define STATE_THERE    0x3f
#define STATE_REPLACED 0x3e

static uint64_t size_of(const struct variable *variable)
{
	uint64_t size = sizeof(*variable);

	if (variable->state != STATE_NOTHING) {
		size += (uint64_t)variable->name_size + variable->data_size;
	}
	return (size + 3) & ~3ull;
}

static const char *check_variables(const uint8_t *at, uint32_t left)
{
	struct variable variable;

	while (left >= sizeof(variable)) {
		uint64_t size;

		memcpy(&variable, at, sizeof(variable));
		if (variable.start == VARIABLE_NOTHING) {
			return NULL;
		}
		if (variable.start != VARIABLE_START) {
			return "has something where a variable should begin";
		}
		size = size_of(&variable);
		if (size > left) {
			return "has a variable that does not fit into it";
		}
		at += size;
		left -= (uint32_t)size;
	}
	return NULL;
}

const char *nvram_check(const uint8_t *bytes, uint32_t length)
{
	struct volume volume;
	struct store store;
	uint32_t at;

	if (length < sizeof(volume)) {
		return "is too short";
	}
	memcpy(&volume, bytes, sizeof(volume));
	if (memcmp(volume.signature, "_FVH", 4) != 0 ||
	    memcmp(volume.guid, volume_guid, sizeof(volume_guid)) != 0) {
		return "does not begin as variables of UEFI firmware do";
	}
	if (volume.length != length) {
		return "is not as long as it says";
	}
	at = volume.header_length;
	if (at < sizeof(volume) || at % 2 != 0 || at > length || length - at < sizeof(store) ||
	    sum_of_words(bytes, at) != 0) {
		return "has a header with a wrong checksum";
	}
	memcpy(&store, bytes + at, sizeof(store));
	if (memcmp(store.guid, store_guid, sizeof(store_guid)) != 0 ||
	    store.format != STORE_FORMATTED || store.state != STORE_HEALTHY ||
	    store.size < sizeof(store) || store.size > length - at) {
		return "has no store of variables that are authenticated";
	}
	return check_variables(bytes + at + sizeof(store), store.size - (uint32_t)sizeof(store));
}

/* ---- Secure Boot ---- */

struct variable_id {
	uint8_t vendor[16];
	const char *name;
};

static bool is_there(const struct variable *variable, const uint8_t *name,
		     const struct variable_id *id)
{
	uint32_t size = 2 * ((uint32_t)strlen(id->name) + 1), i;

	if ((variable->state != STATE_THERE && variable->state != STATE_REPLACED) ||
	    variable->name_size != size ||
	    memcmp(variable->vendor, id->vendor, sizeof(id->vendor)) != 0) {
		return false;
	}
	for (i = 0; i < size && name[i] == (i % 2 == 0 ? (uint8_t)id->name[i / 2] : 0); i++) {
	}
	return i == size;
}

/* Its data, or NULL. */
static const uint8_t *find(const uint8_t *bytes, const struct variable_id *id, uint32_t *size)
{
	const uint8_t *at = bytes + ((const struct volume *)bytes)->header_length, *found = NULL;
	uint32_t left = ((const struct store *)at)->size - (uint32_t)sizeof(struct store);
	struct variable variable;

	for (at += sizeof(struct store); left >= sizeof(variable);
	     left -= (uint32_t)size_of(&variable), at += size_of(&variable)) {
		memcpy(&variable, at, sizeof(variable));
		if (variable.start != VARIABLE_START) {
			break;
		}
		if (is_there(&variable, at + sizeof(variable), id)) {
			found = at + sizeof(variable) + variable.name_size;
			*size = variable.data_size;
			if (variable.state == STATE_THERE) {
				break;
			}
		}
	}
	return found;
}

/* EFI_GLOBAL_VARIABLE (UEFI 2.10, 3.3), and EDK II's gEfiSecureBootEnableDisableGuid. */
static const struct variable_id platform_key = {{0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11,
						 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c},
						"PK"},
				enabled = {{0xc7, 0x0b, 0xa3, 0xf0, 0x08, 0xaf, 0x56, 0x45, 0x99,
					    0xc4, 0x00, 0x10, 0x09, 0xc9, 0x3a, 0x44},
					   "SecureBootEnable"};

struct nvram_keys nvram_find_keys(const uint8_t *bytes, uint32_t length)
{
	struct nvram_keys keys = {.off = false};
	const uint8_t *wanted;
	uint32_t size = 0;

	CHECK(nvram_check(bytes, length) == NULL);
	keys.platform_key = find(bytes, &platform_key, &keys.platform_key_size);
	if (keys.platform_key_size == 0) {
		keys.platform_key = NULL;
	}
	wanted = find(bytes, &enabled, &size);
	keys.off = wanted != NULL && size > 0 && *wanted == 0;
	return keys;
}

/* ---- The file ---- */

/* All of it, or none: it is written beside its place, and moved there. The descriptor, or -1. */
static int make_file(const char *path, const uint8_t *bytes, uint32_t length)
{
	char beside[4096];
	int fd, error;

	if (snprintf(beside, sizeof(beside), "%s.new", path) >= (int)sizeof(beside)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = open(beside, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd >= 0 && whole_write(fd, bytes, length) == 0 && fsync(fd) == 0 &&
	    rename(beside, path) == 0) {
		return fd;
	}
	error = errno;
	if (fd >= 0) {
		close(fd);
		unlink(beside);
	}
	errno = error;
	return -1;
}

/* Of what is to be read: its size is the flash's. */
static bool open_sized(struct loader *loader, struct loader_file *file, const char *option,
		       const char *path, int fd)
{
	return loader_open(loader, file, option, path, fd) &&
	       ((file->size <= BOARD_ROM_MAX && file->size % FLASH_BLOCK == 0) ||
		loader_refuse(loader,
			      "%s %s: no variables of UEFI firmware: it has %llu bytes, and "
			      "should have a multiple of 4 KiB, up to 16 MiB",
			      option, path, (unsigned long long)file->size));
}

static bool allocate(struct nvram *nvram, struct loader *loader)
{
	nvram->memory = mmap(NULL, nvram->length, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	nvram->copy = malloc(nvram->length);
	return (nvram->memory != MAP_FAILED && nvram->copy != NULL) ||
	       loader_refuse(loader, "the firmware's variables: %s", strerror(ENOMEM));
}

/* One machine's, as a disk's file is. */
static bool lock_file(struct loader *loader, int fd, const char *path)
{
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	return fcntl(fd, F_OFD_SETLK, &whole) == 0 ||
	       loader_refuse(loader, "--firmware-variables %s: %s", path,
			     errno == EAGAIN || errno == EACCES ? "another machine has them"
								: strerror(errno));
}

static bool check(struct loader *loader, const uint8_t *bytes, uint32_t length, const char *option,
		  const char *path)
{
	const char *wrong = nvram_check(bytes, length);

	return wrong == NULL ||
	       loader_refuse(loader,
			     "%s %s: it %s; what was in it may be lost: put a copy there, or "
			     "remove it to begin anew",
			     option, path, wrong);
}

static bool open_existing(struct nvram *nvram, struct loader *loader, const char *path)
{
	struct loader_file file = {.fd = -1};

	if (!open_sized(loader, &file, "--firmware-variables", path, nvram->fd)) {
		return false;
	}
	nvram->length = (uint32_t)file.size;
	return allocate(nvram, loader) && lock_file(loader, nvram->fd, path) &&
	       loader_read(loader, &file, 0, nvram->memory, nvram->length) &&
	       check(loader, nvram->memory, nvram->length, "--firmware-variables", path);
}

/* Into memory of its own, *from, of malloc(). */
static bool read_template(struct loader *loader, const struct config *config, uint8_t **from,
			  uint32_t *length)
{
	const struct config_file *template = &config->firmware_template;
	struct loader_file file = {.fd = -1};
	bool done = open_sized(loader, &file, "--firmware-template", template->path, template->fd);

	if (done) {
		*length = (uint32_t)file.size;
		*from = malloc(*length);
		done = (*from != NULL ||
			loader_refuse(loader, "the firmware's variables: %s", strerror(ENOMEM))) &&
		       loader_read(loader, &file, 0, *from, *length) &&
		       check(loader, *from, *length, "--firmware-template", template->path);
	}
	if (template->fd < 0 && file.fd >= 0) {
		close(file.fd);
	}
	return done;
}

static bool begin_with(struct nvram *nvram, struct loader *loader, const uint8_t *from)
{
	if (!allocate(nvram, loader)) {
		return false;
	}
	memcpy(nvram->memory, from, nvram->length);
	if (nvram->path == NULL) {
		return true;
	}
	nvram->fd = make_file(nvram->path, nvram->memory, nvram->length);
	if (nvram->fd < 0) {
		return loader_refuse(loader, "--firmware-variables %s: %s", nvram->path,
				     strerror(errno));
	}
	return lock_file(loader, nvram->fd, nvram->path);
}

/*
 * Whether the variables say what they should. Without SMM the guest's kernel can have written
 * anything there, past the firmware; what it cannot do unseen is to go on without Secure Boot, or
 * with keys that it has made.
 */
static bool check_keys(const struct nvram *nvram, struct loader *loader,
		       const struct config *config, const uint8_t *template, uint32_t length)
{
	struct nvram_keys keys = nvram_find_keys(nvram->memory, nvram->length), wanted;
	bool on = keys.platform_key != NULL && !keys.off;
	const char *path = nvram->path != NULL ? nvram->path : "";

	if (config->secure_boot == SECURE_BOOT_OFF) {
		return !on || loader_refuse(loader,
					    "--secure-boot off: the variables %s have keys, and "
					    "say that it is on; remove the file to begin anew",
					    path);
	}
	if (config->secure_boot == SECURE_BOOT_ANY) {
		return true;
	}
	wanted = nvram_find_keys(template, length);
	if (wanted.platform_key == NULL || wanted.off) {
		return loader_refuse(loader,
				     "--secure-boot: the template %s has no keys, or says that it "
				     "is off; give one with keys",
				     config->firmware_template.path);
	}
	if (!on) {
		return loader_refuse(loader,
				     "--secure-boot: the variables %s %s; say off if that is "
				     "meant, or remove the file to begin anew with keys",
				     path,
				     keys.off ? "say that it is off" : "have no platform key");
	}
	return (keys.platform_key_size == wanted.platform_key_size &&
		memcmp(keys.platform_key, wanted.platform_key, keys.platform_key_size) == 0) ||
	       loader_refuse(loader,
			     "--secure-boot: the platform key in the variables %s is not that of "
			     "%s; somebody has changed it: remove the file to begin anew",
			     path, config->firmware_template.path);
}

bool nvram_open(struct nvram *nvram, struct loader *loader, const struct config *config)
{
	const struct config_file *file = &config->firmware_variables;
	uint8_t *template = NULL;
	uint32_t length = 0;
	bool done = true;

	*nvram = (struct nvram){.fd = file->fd, .path = file->path};
	aside_init(&nvram->aside);
	pthread_cond_init(&nvram->done, NULL);
	if (file->path != NULL && nvram->fd < 0) {
		nvram->fd = open(file->path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
		if (nvram->fd < 0 && errno != ENOENT) {
			return loader_refuse(loader, "--firmware-variables %s: %s", file->path,
					     strerror(errno));
		}
	}
	if (nvram->fd < 0 || config->secure_boot > SECURE_BOOT_OFF) {
		done = read_template(loader, config, &template, &length);
	}
	if (done && nvram->fd >= 0) {
		done = open_existing(nvram, loader, file->path);
	} else if (done) {
		nvram->length = length;
		done = begin_with(nvram, loader, template);
	}
	done = done && check_keys(nvram, loader, config, template, length);
	free(template);
	if (done) {
		memcpy(nvram->copy, nvram->memory, nvram->length);
	}
	return done;
}
