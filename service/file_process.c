/*
 * Files of disks in a machine's folder, as one process each sees to them: `vmms --file VERB NAME
 * ...` in that folder. All that may wait for a disk, or reads what somebody has brought, is here
 * and not in the service's loop, whose end it outlives: what it was asked for is done, and what is
 * on its way is cut. Bytes come and go by a socket, descriptor 3:
 *   take: says a byte when it can begin, has the file's bytes until it has all, and names the file when it is whole and what its name says;
 *   give: says the file's size (uint64_t) when it has it for itself, then its bytes.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk/disk.h"
#include "hosted/disk_name.h"
#include "hosted/file.h"
#include "hosted/member.h"
#include "hosted/say.h"
#include "hosted/whole.h"
#include "include/mgmt/service.h"
#include "service/service.h"

#define CHUNK     (256 << 10)
#define CHAIN_MAX 256

static char chunk[CHUNK];
/* What kind of failure it was, for who asked (service.h). */
static const char *code = SERVICE_BAD_IO;

static void set_code(int error)
{
	code = error == EEXIST   ? SERVICE_BAD_EXISTS
	       : error == ENOENT ? SERVICE_BAD_NOT_FOUND
	       : error == EBUSY  ? SERVICE_BAD_STATE
	       : error == EINVAL || error == ENOTEMPTY || error == ERANGE || error == EMEDIUMTYPE
		       ? SERVICE_BAD_INVALID
		       : SERVICE_BAD_IO;
}

static bool fail(const char *name, int error)
{
	set_code(error);
	say("%s: %s%s", name, strerror(error),
	    error == ENOSPC   ? "; make room on the host's disk"
	    : error == EEXIST ? "; give another name"
			      : "");
	return false;
}

static bool complain(const struct disk_error *error)
{
	set_code(-error->code);
	say("%s", error->text);
	return false;
}

static bool sync_folder(void)
{
	int fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool done = fd >= 0 && fsync(fd) == 0;

	if (fd >= 0) {
		close(fd);
	}
	return done || fail("its folder", errno);
}

/* By its name, and nothing else: a disc is a raw disk, a checkpoint's file of the format of what it
 * lies over. */
static enum disk_format format_of(const char *name)
{
	static const struct {
		const char *end;
		enum disk_format format;
	} ends[] = {
		{".vhdx", DISK_FORMAT_VHDX},
		{".avhdx", DISK_FORMAT_VHDX},
		{".vhd", DISK_FORMAT_VHD},
		{".avhd", DISK_FORMAT_VHD},
	};
	const char *dot = strrchr(name, '.');

	for (size_t i = 0; dot != NULL && i < ARRAY_COUNT(ends); i++) {
		if (strcasecmp(dot, ends[i].end) == 0) {
			return ends[i].format;
		}
	}
	return DISK_FORMAT_RAW;
}

/* ---- Made ---- */

static bool create(const char *name, const json_t *wanted)
{
	const char *parent = json_string_value(json_object_get(wanted, "parent"));
	const struct disk_create how = {
		.format = format_of(name),
		.type = parent != NULL                                   ? DISK_DIFFERENCING
			: json_is_true(json_object_get(wanted, "fixed")) ? DISK_FIXED
									 : DISK_DYNAMIC,
		.size = (uint64_t)json_integer_value(json_object_get(wanted, "size")),
		.parent = parent};
	struct disk_error error;

	if (access(name, F_OK) == 0) {
		return fail(name, EEXIST);
	}
	return (disk_create(name, &how, &error) == 0 || complain(&error)) && sync_folder();
}

/* ---- Whose parent it is ---- */

/* What lies below it; false: it cannot be looked into. */
static bool each_parent(const char *path, bool (*see)(void *user, const char *parent), void *user)
{
	const struct disk_open how = {.flags = DISK_READ_ONLY | DISK_NO_LOCK | DISK_STALE_PARENT};
	struct disk_info info;
	struct disk *disk;
	unsigned int i;

	if (disk_open(path, &how, &disk, NULL) != 0) {
		return false;
	}
	for (i = 1; i < CHAIN_MAX && disk_get_info(disk, i, &info) == 0; i++) {
		if (!see(user, info.path)) {
			break;
		}
	}
	(void)disk_close(&disk, NULL);
	return true;
}

struct wanted_file {
	struct stat file;
	bool found;
};

static bool is_that(void *user, const char *path)
{
	struct wanted_file *wanted = user;
	struct stat file;

	wanted->found |= stat(path, &file) == 0 && file_is_same(&file, &wanted->file);
	return !wanted->found;
}

static bool is_disc(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot != NULL && strcasecmp(dot, ".iso") == 0;
}

/* Whether a file of this folder lies over it. */
static bool is_parent_in(const char *folder, struct wanted_file *wanted, char *by)
{
	DIR *files = opendir(folder);
	const struct dirent *entry;

	while (files != NULL && !wanted->found && (entry = readdir(files)) != NULL) {
		char path[PATH_MAX];

		if (disk_name_is_one(entry->d_name) && !is_disc(entry->d_name) &&
		    snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name) < PATH_MAX &&
		    each_parent(path, is_that, wanted) && wanted->found) {
			snprintf(by, PATH_MAX, "%s", path);
		}
	}
	if (files != NULL) {
		closedir(files);
	}
	return wanted->found;
}

/* In all folders of the store, which is the one above, or in all but this one. */
static bool is_parent(const char *name, const json_t *elsewhere, bool but_here)
{
	const char *slash = strrchr(name, '/');
	struct stat here, other_folder;
	struct wanted_file wanted = {.found = false};
	DIR *store = opendir("..");
	const struct dirent *entry;
	char by[PATH_MAX] = "", found[PATH_MAX] = "";
	const json_t *other;
	size_t i;

	if (lstat(name, &wanted.file) != 0) {
		(void)fail(name, errno);
		wanted.found = true;
	}
	if (slash != NULL && slash != name) {
		snprintf(by, sizeof(by), "%.*s", (int)(slash - name), name);
		(void)is_parent_in(by, &wanted, found);
	}
	snprintf(by, sizeof(by), "%s", found);
	while (store != NULL && !wanted.found && (entry = readdir(store)) != NULL) {
		char folder[PATH_MAX];

		if (entry->d_name[0] != '.' &&
		    snprintf(folder, sizeof(folder), "../%s", entry->d_name) < PATH_MAX &&
		    !(but_here && stat(".", &here) == 0 && stat(folder, &other_folder) == 0 &&
		      file_is_same(&here, &other_folder))) {
			(void)is_parent_in(folder, &wanted, by);
		}
	}
	json_array_foreach((json_t *)elsewhere, i, other)
	{
		const char *path = json_string_value(other);

		if (!wanted.found && path != NULL && each_parent(path, is_that, &wanted) &&
		    wanted.found) {
			snprintf(by, sizeof(by), "%s", path);
		}
	}
	if (by[0] != '\0') {
		code = SERVICE_BAD_STATE;
		say("%s: is the parent of %s; delete that one first, or merge it", name,
		    strncmp(by, "../", 3) == 0 ? by + 3 : by);
	}
	if (store != NULL) {
		closedir(store);
	}
	return wanted.found;
}

bool file_is_parent(const char *name, const json_t *elsewhere)
{
	return is_parent(name, elsewhere, false);
}

/* ---- Made larger, taken away ---- */

/* What lies over it counts on its size. */
static bool resize(const char *name, const json_t *wanted)
{
	const struct disk_open how = {.format = format_of(name)};
	struct disk_error error;
	struct disk *disk;
	bool done;

	if (is_parent(name, json_object_get(wanted, "elsewhere"), false)) {
		return false;
	}
	if (disk_open(name, &how, &disk, &error) != 0) {
		return complain(&error);
	}
	done = disk_resize(disk, (uint64_t)json_integer_value(json_object_get(wanted, "size")),
			   false, &error) == 0;
	if (done) {
		done = disk_close(&disk, &error) == 0;
	} else {
		(void)disk_close(&disk, NULL);
	}
	return done || complain(&error);
}

/* Nobody may have it: the lock of a raw disk is that of any other. */
static bool delete_file(const char *name, const json_t *wanted)
{
	const struct disk_open how = {.format = DISK_FORMAT_RAW};
	struct disk_error error;
	struct disk *disk;
	bool done;

	if (is_parent(name, json_object_get(wanted, "elsewhere"), false)) {
		return false;
	}
	if (disk_open(name, &how, &disk, &error) != 0) {
		return complain(&error);
	}
	done = (unlink(name) == 0 || fail(name, errno)) && sync_folder();
	(void)disk_close(&disk, NULL);
	return done;
}

/* All of the folder is to go: what lies in other folders may lie over none of these. */
static bool are_unneeded(const json_t *wanted)
{
	const json_t *file;
	size_t i;

	json_array_foreach(json_object_get(wanted, "files"), i, file)
	{
		const char *name = json_string_value(file);

		if (name != NULL && strchr(name, '/') == NULL && access(name, F_OK) == 0 &&
		    is_parent(name, json_object_get(wanted, "elsewhere"), true)) {
			return false;
		}
	}
	return true;
}

/* ---- A list ---- */

/* As this host writes paths. */
static json_t *parent_text(const char *parent)
{
	char text[PATH_MAX];

	snprintf(text, sizeof(text), "%s", strncmp(parent, ".\\", 2) == 0 ? parent + 2 : parent);
	for (char *at = text; *at != '\0'; at++) {
		*at = *at == '\\' ? '/' : *at;
	}
	return json_string(text);
}

static json_t *describe(const char *name, const struct stat *file)
{
	const struct disk_open how = {.format = format_of(name),
				      .flags = DISK_READ_ONLY | DISK_NO_PARENT | DISK_NO_LOCK};
	static const char *const types[] = {"fixed", "dynamic", "differencing"};
	json_t *object =
		json_pack("{s:s, s:I, s:I}", "name", name, "size", (json_int_t)file->st_size,
			  "used", (json_int_t)file->st_blocks * 512);
	struct disk_info info;
	struct disk_error error;
	struct disk *disk;

	if (object == NULL || is_disc(name)) {
		return object;
	}
	if (disk_open(name, &how, &disk, &error) != 0) {
		json_object_set_new(object, "damage", json_string(error.text));
		return object;
	}
	if (disk_get_info(disk, 0, &info) == 0) {
		json_object_set_new(object, "format", json_string(disk_format_name(info.format)));
		json_object_set_new(object, "type", json_string(types[info.type]));
		json_object_set_new(object, "disk-size", json_integer((json_int_t)info.size));
		if (info.parent[0] != '\0') {
			json_object_set_new(object, "parent", parent_text(info.parent));
		}
	}
	(void)disk_close(&disk, NULL);
	return object;
}

static bool list(void)
{
	json_t *files = json_array();
	DIR *folder = opendir(".");
	const struct dirent *entry;
	struct stat file;

	while (folder != NULL && (entry = readdir(folder)) != NULL) {
		if (disk_name_is_one(entry->d_name) && entry->d_name[0] != '.' &&
		    lstat(entry->d_name, &file) == 0 && S_ISREG(file.st_mode)) {
			json_array_append_new(files, describe(entry->d_name, &file));
		}
	}
	if (folder != NULL) {
		closedir(folder);
	}
	return json_dumpf(files, stdout, JSON_COMPACT) == 0 && fflush(stdout) == 0;
}

/* ---- Brought ---- */

static bool is_zero(const char *bytes, size_t length)
{
	return bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0;
}

/* Blocks of zeros are holes. */
static bool write_chunk(int fd, const char *bytes, size_t length, uint64_t at)
{
	ssize_t written;

	while (length != 0 && !is_zero(bytes, length)) {
		written = pwrite(fd, bytes, length, (off_t)at);
		if (written <= 0) {
			errno = written == 0 ? ENOSPC : errno;
			return false;
		}
		bytes += written;
		length -= (size_t)written;
		at += (uint64_t)written;
	}
	return true;
}

static bool receive(const char *name, int fd, uint64_t size)
{
	uint64_t at = 0;
	size_t most;
	ssize_t got;

	while (at < size) {
		most = size - at < CHUNK ? (size_t)(size - at) : CHUNK;
		got = recv(FILE_SOCKET, chunk, most, MSG_WAITALL);
		if (got <= 0) {
			say("%s: only %llu of %llu bytes have come; send it again", name,
			    (unsigned long long)at, (unsigned long long)size);
			return false;
		}
		if (!write_chunk(fd, chunk, (size_t)got, at)) {
			return fail(name, errno);
		}
		at += (uint64_t)got;
	}
	return (ftruncate(fd, (off_t)size) == 0 && fsync(fd) == 0) || fail(name, errno);
}

/* What it is called it is. Its parents may come later. */
static bool is_whole(const char *name, const char *partial)
{
	const struct disk_open how = {.format = format_of(name),
				      .flags = DISK_READ_ONLY | DISK_NO_PARENT};
	struct disk_error error;
	struct disk *disk;

	if (how.format == DISK_FORMAT_RAW) {
		return true;
	}
	if (disk_open(partial, &how, &disk, &error) != 0) {
		code = SERVICE_BAD_INVALID;
		say("%s: what came is no %s file, or is damaged", name,
		    disk_format_name(how.format));
		return false;
	}
	(void)disk_close(&disk, NULL);
	return true;
}

static bool can_begin(const char *name, int fd)
{
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		code = SERVICE_BAD_STATE;
		say("%s: it is being uploaded already; wait for it, or give another name", name);
		return false;
	}
	return ftruncate(fd, 0) == 0 || fail(name, errno);
}

static bool take(const char *name, const json_t *wanted)
{
	uint64_t size = (uint64_t)json_integer_value(json_object_get(wanted, "size"));
	char partial[NAME_MAX + 1];
	bool done;
	int fd;

	if (access(name, F_OK) == 0) {
		return fail(name, EEXIST);
	}
	snprintf(partial, sizeof(partial), "%s" FILE_PARTIAL, name);
	fd = open(partial, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0) {
		return fail(name, errno);
	}
	if (!can_begin(name, fd)) {
		return false;
	}
	/* How much of the file will be holes nobody knows before. */
	done = (file_has_room(partial, size) || fail(name, ENOSPC)) &&
	       send(FILE_SOCKET, "", 1, MSG_NOSIGNAL) == 1 && receive(name, fd, size) &&
	       is_whole(name, partial);
	if (done && renameat2(AT_FDCWD, partial, AT_FDCWD, name, RENAME_NOREPLACE) != 0) {
		done = fail(name, errno);
	}
	if (!done) {
		(void)unlink(partial);
	}
	return done && sync_folder();
}

/* ---- Fetched ---- */

static bool give_bytes(const char *name)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat file;
	uint64_t size, at = 0;
	ssize_t got = 0;

	if (fd < 0 || fstat(fd, &file) != 0) {
		return fail(name, errno);
	}
	size = (uint64_t)file.st_size;
	if (whole_send(FILE_SOCKET, &size, sizeof(size)) != 0) {
		return true;
	}
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	while (at < size && (got = read(fd, chunk, CHUNK)) > 0) {
		/* Who does not want it any more has gone. */
		if (whole_send(FILE_SOCKET, chunk, (size_t)got) != 0) {
			return true;
		}
		at += (uint64_t)got;
	}
	return at == size || fail(name, got < 0 ? errno : EIO);
}

/* As long as it is read nobody writes to it. */
static bool give(const char *name)
{
	const struct disk_open how = {.format = format_of(name),
				      .flags = DISK_READ_ONLY | DISK_NO_PARENT};
	struct disk_error error;
	struct disk *disk;
	bool done;

	if (disk_open(name, &how, &disk, &error) != 0) {
		return complain(&error);
	}
	done = give_bytes(name);
	(void)disk_close(&disk, NULL);
	return done;
}

int file_main(int argc, char **argv)
{
	const char *verb = argc > 2 ? argv[2] : "", *name = argc > 3 ? argv[3] : "";
	json_t *wanted = argc > 4 ? json_loads(argv[4], 0, NULL) : NULL;
	bool done = false;

	say_set_name("vmms");
	/* Nobody may be there to be told. */
	(void)signal(SIGPIPE, SIG_IGN);
	if (strcmp(verb, "list") == 0) {
		return list() ? 0 : 1;
	}
	if (strcmp(verb, "unneeded") == 0 && wanted != NULL) {
		done = are_unneeded(wanted);
		fputs(done ? "" : code, stdout);
		json_decref(wanted);
		return done ? 0 : 1;
	}
	if (!disk_name_is_one(name) || strchr(name, '/') != NULL || wanted == NULL) {
		return 2;
	}
	if (strcmp(verb, "create") == 0) {
		done = create(name, wanted);
	} else if (strcmp(verb, "resize") == 0) {
		done = resize(name, wanted);
	} else if (strcmp(verb, "delete") == 0) {
		done = delete_file(name, wanted);
	} else if (strcmp(verb, "take") == 0) {
		done = take(name, wanted);
	} else if (strcmp(verb, "give") == 0) {
		done = give(name);
	}
	json_decref(wanted);
	if (!done) {
		fputs(code, stdout);
	}
	return done ? 0 : 1;
}
