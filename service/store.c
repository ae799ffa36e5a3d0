/*
 * Machines on disk: a folder each, whose name is the machine's, with its document, and by default
 * its disks. What is there is the truth.
 *
 * A document is written beside the old one and renamed over it, file and folder each synced: after
 * a power cut it is the old or the new one.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "hosted/say.h"
#include "service/service.h"

#define FOLDER (O_RDONLY | O_DIRECTORY | O_CLOEXEC)

static bool refuse_file(struct refusal *why, const struct machine *machine, const char *file,
			int error)
{
	return refuse(why, SERVICE_BAD_IO,
		      error == ENOSPC || error == EDQUOT ? "make room, and ask again" : "",
		      "'%s': %s cannot be written: %s", machine->name, file, strerror(error));
}

static int open_folder(const struct machine *machine)
{
	char path[PATH_MAX];

	if (!machine_path(machine, "", path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return open(path, FOLDER);
}

static void set_revision(struct machine *machine, int folder)
{
	struct stat file;

	if (fstatat(folder, FILE_DOCUMENT, &file, 0) == 0) {
		snprintf(machine->revision, sizeof(machine->revision), "%llx-%llx",
			 (unsigned long long)file.st_ino,
			 (unsigned long long)file.st_mtim.tv_sec * 1000000000ull +
				 (unsigned long long)file.st_mtim.tv_nsec);
	}
}

/* A text, and the end of its line. */
static int write_text(int fd, const char *text)
{
	size_t length = strlen(text);
	struct iovec parts[] = {{(void *)text, length}, {"\n", 1}};
	ssize_t done = writev(fd, parts, 2);

	if (done != (ssize_t)length + 1) {
		return done < 0 ? -errno : -ENOSPC;
	}
	return fsync(fd) == 0 ? 0 : -errno;
}

/* A document on its way to the disk. The thread has what is above the line. */
struct write {
	int folder, ret;
	char *text;
	int synced; /* of the folder: -errno, when the new one is there */
	/* ---- */
	struct machine *machine;
	struct settings settings;
	bool made; /* its folder, for it */
	store_done *done;
	void *user;
};

int store_replace(int folder, const char *name, const char *text)
{
	char beside[NAME_MAX + 1];
	int fd, ret;

	snprintf(beside, sizeof(beside), "%s.new", name);
	fd = openat(folder, beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);

	if (fd < 0) {
		return -errno;
	}
	ret = write_text(fd, text);
	close(fd);
	if (ret == 0 && renameat(folder, beside, folder, name) != 0) {
		ret = -errno;
	}
	if (ret != 0) {
		(void)unlinkat(folder, beside, 0);
	}
	return ret;
}

/* In a thread: a disk may take its time. */
static void write_now(void *user)
{
	struct write *write = user;

	write->ret = store_replace(write->folder, FILE_DOCUMENT, write->text);
	if (write->ret == 0 && fsync(write->folder) != 0) {
		write->synced = -errno;
	}
}

static void written(void *user)
{
	struct write *write = user;
	struct machine *machine = write->machine;
	struct refusal why;
	char path[PATH_MAX];

	machine->writing = false;
	if (write->ret != 0) {
		settings_free(&write->settings);
		if (write->made && machine_path(machine, "", path)) {
			(void)rmdir(path);
		}
		refuse_file(&why, machine, FILE_DOCUMENT, -write->ret);
	} else {
		/* The new one is there: that a cut may bring the old one back is all that can fail
		 * now. */
		if (write->synced != 0) {
			say("%s: %s", machine->name, strerror(-write->synced));
		}
		set_revision(machine, write->folder);
		settings_free(&machine->settings);
		machine->settings = write->settings;
		free(machine->damage);
		machine->damage = NULL;
	}
	job_go_on(machine);
	close(write->folder);
	write->done(machine, write->user, write->ret != 0 ? &why : NULL);
	free(write->text);
	free(write);
}

static bool begin(struct machine *machine, json_t *document, bool made, store_done *done,
		  void *user, struct refusal *why)
{
	struct write *write = calloc(1, sizeof(*write));
	int error;

	CHECK(write != NULL && !machine->writing);
	if (!settings_read(&write->settings, document, why)) {
		free(write);
		return false;
	}
	write->folder = open_folder(machine);
	error = write->folder < 0 ? errno : 0;
	write->text = json_dumps(write->settings.document, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	if (error == 0 && write->text == NULL) {
		error = ENOMEM;
	}
	if (error != 0) {
		if (write->folder >= 0) {
			close(write->folder);
		}
		settings_free(&write->settings);
		free(write->text);
		free(write);
		return refuse_file(why, machine, FILE_DOCUMENT, error);
	}
	write->machine = machine;
	write->made = made;
	write->done = done;
	write->user = user;
	machine->writing = true;
	helper_run(machine->service->writes, write_now, written, write);
	return true;
}

bool store_write(struct machine *machine, json_t *document, store_done *done, void *user,
		 struct refusal *why)
{
	return begin(machine, document, false, done, user, why);
}

bool store_create(struct machine *machine, json_t *document, store_done *done, void *user,
		  struct refusal *why)
{
	char path[PATH_MAX];
	bool made;

	if (!machine_path(machine, "", path)) {
		json_decref(document);
		return refuse_file(why, machine, "its folder", ENAMETOOLONG);
	}
	/* A folder without a document is nobody's: disks that a deleted machine left, or that were
	 * put there for this one. */
	made = mkdir(path, 0750) == 0;
	if (!made && errno != EEXIST) {
		json_decref(document);
		return refuse_file(why, machine, "its folder", errno);
	}
	if (begin(machine, document, made, done, user, why)) {
		return true;
	}
	if (made) {
		(void)rmdir(path);
	}
	return false;
}

bool store_rename(struct machine *machine, const char *name, struct refusal *why)
{
	char from[PATH_MAX], to[PATH_MAX];
	char *copy = strdup(name), *before = machine->name;
	int error = copy == NULL ? ENOMEM : 0;

	if (error == 0 && machine_path(machine, "", from)) {
		machine->name = copy;
		if (!machine_path(machine, "", to)) {
			error = ENAMETOOLONG;
		} else if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) != 0) {
			error = errno;
		}
	}
	if (error != 0) {
		machine->name = before;
		free(copy);
		return error == EEXIST ? refuse(why, SERVICE_BAD_EXISTS, "give another name",
						"there is something of the name '%s' already", name)
				       : refuse_file(why, machine, "its folder's name", error);
	}
	free(before);
	machine_sort(machine);
	return true;
}

/* Those that lie in the folder itself. */
static void delete_disks(int folder, const json_t *document)
{
	const json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(document, "disks"), i, disk)
	{
		const char *file = json_string_value(json_object_get(disk, "file"));

		if (file != NULL && strchr(file, '/') == NULL) {
			(void)unlinkat(folder, file, 0);
		}
	}
}

bool store_delete(struct machine *machine, enum store_files with, bool *kept, struct refusal *why)
{
	static const char *const files[] = {
		FILE_DOCUMENT ".new", FILE_LOG,       FILE_LOG ".old", FILE_RUNNING,
		FILE_STATE,           FILE_STATE_NEW, FILE_STATE_USED, FILE_MOVING ".new"};
	int folder, error;
	char path[PATH_MAX];
	size_t i;

	if (json_object_size(machine->points) != 0) {
		return refuse(why, SERVICE_BAD_STATE, "delete them first", "'%s' has checkpoints",
			      machine->name);
	}
	folder = open_folder(machine);
	if (folder >= 0) {
		(void)unlinkat(folder, "checkpoints", AT_REMOVEDIR);
	}
	if (folder < 0 || unlinkat(folder, FILE_DOCUMENT, 0) != 0) {
		error = errno;
		if (folder >= 0) {
			close(folder);
		}
		if (error != ENOENT) {
			return refuse_file(why, machine, FILE_DOCUMENT, error);
		}
	}
	/* It is no machine any more. */
	if (folder >= 0) {
		(void)fsync(folder);
		for (i = 0; i < ARRAY_COUNT(files); i++) {
			(void)unlinkat(folder, files[i], 0);
		}
		if (with != STORE_KEEP) {
			firmware_files_delete(folder, machine->settings.document);
		}
		if (with == STORE_DISKS) {
			delete_disks(folder, machine->settings.document);
		}
		close(folder);
	}
	*kept = machine_path(machine, "", path) && rmdir(path) != 0 && errno != ENOENT;
	return true;
}

bool store_mark(const struct machine *machine, const char *file, bool there)
{
	char path[PATH_MAX];
	int fd;

	if (!machine_path(machine, file, path)) {
		return false;
	}
	if (!there) {
		return unlink(path) == 0 || errno == ENOENT;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
	if (fd >= 0) {
		close(fd);
	}
	return fd >= 0;
}

/* ---- What is there at the start ---- */

static bool load(struct machine *machine, int folder, struct refusal *why)
{
	static char text[SERVICE_BODY_MAX + 1];
	struct form form = {0};
	int fd = openat(folder, FILE_DOCUMENT, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t length = fd >= 0 ? read(fd, text, sizeof(text)) : -1;
	int error = errno;
	json_t *document;

	if (fd >= 0) {
		close(fd);
	}
	if (length < 0) {
		return refuse(why, SERVICE_BAD_IO, "", "%s", strerror(error));
	}
	if ((size_t)length > SERVICE_BODY_MAX) {
		return refuse(why, SERVICE_BAD_INVALID, "keep it below 128 KiB", "it is too long");
	}
	document = form_parse(&form, text, (size_t)length);
	if (document == NULL) {
		return refuse_form(why, &form.error);
	}
	return settings_read(&machine->settings, document, why);
}

bool store_reload(struct machine *machine, struct refusal *why)
{
	int folder = open_folder(machine);
	char path[PATH_MAX];
	bool loaded = folder >= 0 && load(machine, folder, why);

	if (folder < 0) {
		refuse_file(why, machine, FILE_DOCUMENT, errno);
	} else {
		set_revision(machine, folder);
		close(folder);
	}
	json_decref(machine->points);
	machine->points = machine_path(machine, "", path) ? tree_read(path) : NULL;
	return loaded;
}

/* A folder that was copied has the same id as the first one. */
static bool take_id(struct machine *machine, struct refusal *why)
{
	const char *id = json_string_value(json_object_get(machine->settings.document, "id"));
	const struct machine *other = machine_find(machine->service, id);

	if (other != NULL && other != machine) {
		return refuse(why, SERVICE_BAD_EXISTS, "give it another one",
			      "its id is that of '%s' too", other->name);
	}
	snprintf(machine->id, sizeof(machine->id), "%s", id);
	return true;
}

static void add(struct service *service, int store, const char *name)
{
	struct refusal why;
	struct machine *machine;
	char path[PATH_MAX];
	int folder = openat(store, name, FOLDER | O_NOFOLLOW);

	if (folder < 0) {
		return; /* no folder */
	}
	if (faccessat(folder, FILE_DOCUMENT, F_OK, 0) != 0 || !settings_name_is_good(name, &why)) {
		close(folder);
		return;
	}
	machine = machine_new(service, name);
	if (machine == NULL) {
		say("%s: out of memory", name);
		close(folder);
		return;
	}
	if (load(machine, folder, &why) && take_id(machine, &why)) {
		machine->state =
			faccessat(folder, FILE_STATE, F_OK, 0) == 0 ? MACHINE_SAVED : MACHINE_OFF;
	} else {
		if (asprintf(&machine->damage, "%s: %s%s%s", FILE_DOCUMENT, why.detail,
			     why.remedy[0] != '\0' ? "; " : "", why.remedy) < 0) {
			machine->damage = NULL;
		}
		say("%s: %s", name, machine->damage != NULL ? machine->damage : "damaged");
	}
	set_revision(machine, folder);
	close(folder);
	machine->points = machine_path(machine, "", path) ? tree_read(path) : NULL;
}

bool store_scan(struct service *service)
{
	int store = open(service->store, FOLDER);
	DIR *folder = store >= 0 ? fdopendir(store) : NULL;
	const struct dirent *entry;

	if (folder == NULL) {
		say("%s: %s", service->store, strerror(errno));
		return false;
	}
	while ((entry = readdir(folder)) != NULL) {
		if (entry->d_name[0] != '.') {
			add(service, store, entry->d_name);
		}
	}
	closedir(folder);
	return true;
}
