/*
 * The files of disks in the store: which lie there, how much of it they take, and which machine's
 * document names them. A file that none names may be the parent of one that does: who looks into
 * files says so (vm disks), not the service.
 *
 * Only the store is looked at, where documents are read and written as well; a disk elsewhere may
 * be at a server that does not answer.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "hosted/disk_name.h"
#include "service/service.h"

#define FILES_MAX 4096 /* that are told of */

/* Whether a document's name of a file is that of `wanted`, whose name in the machine's own folder
 * is `here` (NULL: it lies elsewhere). */
static bool is_file(const json_t *file, const char *wanted, const char *here)
{
	const char *name = json_string_value(file);

	return name != NULL && (name[0] == '/' ? strcmp(name, wanted) == 0
					       : here != NULL && strcmp(name, here) == 0);
}

static bool document_names(const json_t *document, const char *wanted, const char *here)
{
	const json_t *disk, *parent;
	size_t i, j;

	json_array_foreach(json_object_get(document, "disks"), i, disk)
	{
		if (is_file(json_object_get(disk, "file"), wanted, here)) {
			return true;
		}
		json_array_foreach(json_object_get(disk, "parents"), j, parent)
		{
			if (is_file(parent, wanted, here)) {
				return true;
			}
		}
	}
	return false;
}

/* It, or one of its checkpoints. */
static bool names(const struct machine *machine, const char *wanted)
{
	char folder[PATH_MAX];
	const char *here = NULL, *id;
	json_t *point;
	bool named;

	if (machine_path(machine, "", folder) && strncmp(wanted, folder, strlen(folder)) == 0 &&
	    wanted[strlen(folder)] == '/') {
		here = wanted + strlen(folder) + 1;
	}
	named = document_names(machine->settings.document, wanted, here);
	json_object_foreach(machine->points, id, point)
	{
		named |= document_names(json_object_get(point, "document"), wanted, here);
	}
	return named;
}

json_t *storage_users(const struct service *service, const char *path)
{
	const struct machine *machine;
	json_t *list = json_array();

	for (machine = service->machines; machine != NULL; machine = machine->next) {
		if (names(machine, path)) {
			json_array_append_new(list, json_string(machine->name));
		}
	}
	return list;
}

bool storage_is_shared(const struct machine *machine, const char *file)
{
	json_t *users, *user;
	char path[PATH_MAX];
	bool shared = false;
	size_t i;

	if (file[0] != '/' && !machine_path(machine, file, path)) {
		return false;
	}
	users = storage_users(machine->service, file[0] == '/' ? file : path);
	json_array_foreach(users, i, user)
	{
		shared |= strcmp(json_string_value(user), machine->name) != 0;
	}
	json_decref(users);
	return shared;
}

static void add_file(const struct service *service, json_t *files, const char *folder,
		     const char *name, const struct stat *file)
{
	char path[PATH_MAX];
	json_t *text;

	if (snprintf(path, sizeof(path), "%s/%s/%s", service->store, folder, name) >=
	    (int)sizeof(path)) {
		return;
	}
	text = json_string(path);
	if (text == NULL) {
		return; /* no document can name it */
	}
	json_array_append_new(files, json_pack("{s:o, s:I, s:I, s:o}", "file", text, "size",
					       (json_int_t)file->st_size, "used",
					       (json_int_t)file->st_blocks * 512, "machines",
					       storage_users(service, path)));
}

static void look_into(const struct service *service, json_t *files, int store, const char *name)
{
	int fd = openat(store, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry;
	struct stat file;

	if (folder == NULL) {
		if (fd >= 0) {
			close(fd);
		}
		return;
	}
	while ((entry = readdir(folder)) != NULL && json_array_size(files) < FILES_MAX) {
		if (disk_name_is_one(entry->d_name) &&
		    fstatat(fd, entry->d_name, &file, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(file.st_mode)) {
			add_file(service, files, name, entry->d_name, &file);
		}
	}
	closedir(folder);
}

static void add_elsewhere(const struct service *service, json_t *files, const json_t *document,
			  const char *name)
{
	const json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(document, "disks"), i, disk)
	{
		const char *file = json_string_value(json_object_get(disk, "file"));

		if (file != NULL && file[0] == '/' &&
		    strncmp(file, service->store, strlen(service->store)) != 0 &&
		    json_array_size(files) < FILES_MAX) {
			json_array_append_new(
				files, json_pack("{s:s, s:s}", "file", file, "machine", name));
		}
	}
}

/* What documents name outside of the store, those of checkpoints too: an absolute path that does
 * not begin with its. */
static json_t *elsewhere(const struct service *service)
{
	json_t *files = json_array();
	const struct machine *machine;
	const char *id;
	json_t *point;

	for (machine = service->machines; machine != NULL; machine = machine->next) {
		add_elsewhere(service, files, machine->settings.document, machine->name);
		json_object_foreach(machine->points, id, point)
		{
			add_elsewhere(service, files, json_object_get(point, "document"),
				      machine->name);
		}
	}
	return files;
}

json_t *storage_paths_elsewhere(const struct service *service)
{
	json_t *files = elsewhere(service), *paths = json_array(), *file;
	size_t i;

	json_array_foreach(files, i, file)
	{
		json_array_append(paths, json_object_get(file, "file"));
	}
	json_decref(files);
	return paths;
}

json_t *storage_object(const struct service *service)
{
	json_t *files = json_array();
	DIR *store = opendir(service->store);
	const struct dirent *entry;
	struct statvfs space = {0};

	while (store != NULL && (entry = readdir(store)) != NULL) {
		if (entry->d_name[0] != '.') {
			look_into(service, files, dirfd(store), entry->d_name);
		}
	}
	if (store != NULL) {
		(void)fstatvfs(dirfd(store), &space);
		closedir(store);
	}
	return json_pack("{s:s, s:I, s:I, s:o, s:o}", "store", service->store, "total",
			 (json_int_t)(space.f_blocks * space.f_frsize), "free",
			 (json_int_t)(space.f_bavail * space.f_frsize), "files", files, "elsewhere",
			 elsewhere(service));
}
