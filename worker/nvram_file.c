/*
 * The file of nvram.h. What the file holds is looked at before a machine starts with it: a volume of firmware (UEFI PI 1.7, volume 3, 3.2.1) with a store
 * of authenticated variables in it (EDK II, MdeModulePkg/Include/Guid/VariableFormat.h). It is anybody's who can write it, and firmware
 * would begin anew, without a word, where it finds something else.
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

static const char *check_variables(const uint8_t *at, uint32_t left)
{
	struct variable variable;

	while (left >= sizeof(variable)) {
		uint64_t size = sizeof(variable);

		memcpy(&variable, at, sizeof(variable));
		if (variable.start == VARIABLE_NOTHING) {
			return NULL;
		}
		if (variable.start != VARIABLE_START) {
			return "has something where a variable should begin";
		}
		if (variable.state != STATE_NOTHING) {
			size += (uint64_t)variable.name_size + variable.data_size;
		}
		size = (size + 3) & ~3ull;
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

/* ---- The file ---- */

static bool write_all(int fd, const uint8_t *bytes, size_t length)
{
	while (length != 0) {
		ssize_t done = write(fd, bytes, length);

		if (done < 0 && errno == EINTR) {
			continue;
		}
		if (done <= 0) {
			return false;
		}
		bytes += done;
		length -= (size_t)done;
	}
	return true;
}

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
	if (fd >= 0 && write_all(fd, bytes, length) && fsync(fd) == 0 &&
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

static bool read_template(struct nvram *nvram, struct loader *loader, const struct config *config)
{
	struct loader_file file = {.fd = -1};
	bool done = loader_open(loader, &file, "--firmware-template",
				config->firmware_template.path, config->firmware_template.fd) &&
		    loader_read(loader, &file, 0, nvram->memory, nvram->length);

	if (file.fd >= 0) {
		close(file.fd);
	}
	return done;
}

/* Of what is to be read: its size is the flash's. */
static bool take_size(struct nvram *nvram, struct loader *loader, const char *option,
		      const char *path, int fd)
{
	struct loader_file file = {.fd = -1};
	bool done = loader_open(loader, &file, option, path, fd);

	if (done && (file.size > BOARD_ROM_MAX || file.size % FLASH_BLOCK != 0)) {
		done = loader_refuse(loader,
				     "%s %s: no variables of UEFI firmware: it has %llu bytes, and "
				     "should have a multiple of 4 KiB, up to 16 MiB",
				     option, path, (unsigned long long)file.size);
	}
	nvram->length = (uint32_t)file.size;
	if (fd < 0 && file.fd >= 0) {
		close(file.fd);
	}
	return done;
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

static bool check(struct nvram *nvram, struct loader *loader, const char *option, const char *path)
{
	const char *wrong = nvram_check(nvram->memory, nvram->length);

	return wrong == NULL ||
	       loader_refuse(loader,
			     "%s %s: it %s; what was in it may be lost: put a copy there, or "
			     "remove it to begin anew",
			     option, path, wrong);
}

static bool open_existing(struct nvram *nvram, struct loader *loader, const char *path)
{
	struct loader_file file = {.name = path, .fd = nvram->fd};

	if (!take_size(nvram, loader, "--firmware-variables", path, nvram->fd) ||
	    !allocate(nvram, loader) || !lock_file(loader, nvram->fd, path)) {
		return false;
	}
	file.size = nvram->length;
	return loader_read(loader, &file, 0, nvram->memory, nvram->length) &&
	       check(nvram, loader, "--firmware-variables", path);
}

static bool begin_with_template(struct nvram *nvram, struct loader *loader,
				const struct config *config)
{
	const char *path = config->firmware_variables.path;

	if (!take_size(nvram, loader, "--firmware-template", config->firmware_template.path,
		       config->firmware_template.fd) ||
	    !allocate(nvram, loader) || !read_template(nvram, loader, config) ||
	    !check(nvram, loader, "--firmware-template", config->firmware_template.path)) {
		return false;
	}
	if (path == NULL) {
		return true;
	}
	nvram->fd = make_file(path, nvram->memory, nvram->length);
	if (nvram->fd < 0) {
		return loader_refuse(loader, "--firmware-variables %s: %s", path, strerror(errno));
	}
	return lock_file(loader, nvram->fd, path);
}

bool nvram_open(struct nvram *nvram, struct loader *loader, const struct config *config)
{
	const struct config_file *file = &config->firmware_variables;

	*nvram = (struct nvram){.fd = file->fd, .path = file->path};
	pthread_mutex_init(&nvram->lock, NULL);
	pthread_cond_init(&nvram->work, NULL);
	pthread_cond_init(&nvram->done, NULL);
	if (file->path != NULL && nvram->fd < 0) {
		nvram->fd = open(file->path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
		if (nvram->fd < 0 && errno != ENOENT) {
			return loader_refuse(loader, "--firmware-variables %s: %s", file->path,
					     strerror(errno));
		}
	}
	if (nvram->fd >= 0 ? !open_existing(nvram, loader, file->path)
			   : !begin_with_template(nvram, loader, config)) {
		return false;
	}
	memcpy(nvram->copy, nvram->memory, nvram->length);
	return true;
}
