/* vm's verbs for files of disks in a machine's folder: made, brought and fetched by the service, so
 * on another host too. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/vm.h"
#include "hosted/member.h"
#include "hosted/say.h"

/* The path of a file, in which both names are escaped. */
static void file_path(const struct vm *vm, const char *name, char path[2048])
{
	char *machine = http_escape(vm->http, vm->words[0]), *file = http_escape(vm->http, name);

	snprintf(path, 2048, "/v1/machines/%s/files/%s", machine, file);
	free(machine);
	free(file);
}

static int done(struct vm *vm, json_t *answer)
{
	if (answer == NULL) {
		return vm_refused(vm);
	}
	json_decref(answer);
	return VM_DONE;
}

static void print_sizes(json_t *file)
{
	static const char *const sizes[][2] = {{"disk-size", "capacity"}, {"used", "taken"}};
	char text[32];

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		const json_t *bytes = json_object_get(file, sizes[i][0]);

		if (bytes != NULL) {
			vm_print_size(bytes, text, sizeof(text));
			json_object_set_new(file, sizes[i][1], json_string(text));
		}
	}
}

int vm_files(struct vm *vm)
{
	json_t *answer = vm_ask(vm, "GET", NULL, "/v1/machines/%s/files%s", vm->words[0], ""),
	       *file;
	size_t i;

	if (answer == NULL) {
		return vm_refused(vm);
	}
	json_array_foreach(json_object_get(answer, "files"), i, file)
	{
		if (!vm->json) {
			print_sizes(file);
		}
	}
	vm_print_rows(vm, json_object_get(answer, "files"),
		      "name,type,capacity,taken,parent,damage");
	json_decref(answer);
	return VM_DONE;
}

json_t *vm_make_disk(struct vm *vm, const char *machine, const char *name, const char *size)
{
	return vm_ask(vm, "POST",
		      json_pack("{s:s, s:s*, s:s*, s:s*}", "name", name, "size", size, "type",
				vm->parent != NULL ? "differencing" : vm->kind, "parent",
				vm->parent),
		      "/v1/machines/%s/files%s", machine, "");
}

int vm_new_disk(struct vm *vm)
{
	if (vm->count < 3 && vm->parent == NULL) {
		say("vm %s %s: the size is missing", vm->verb->name, vm->verb->words_help);
		return VM_USAGE;
	}
	return done(vm, vm_make_disk(vm, vm->words[0], vm->words[1], vm->words[2]));
}

int vm_resize_disk(struct vm *vm)
{
	char path[2048];

	file_path(vm, vm->words[1], path);
	return done(vm,
		    http_ask(vm->http, "PATCH", path, json_pack("{s:s}", "size", vm->words[2])));
}

int vm_delete_file(struct vm *vm)
{
	char path[2048];

	file_path(vm, vm->words[1], path);
	return done(vm, http_ask(vm->http, "DELETE", path, NULL));
}

/* ---- Brought and fetched ---- */

struct progress {
	const char *what;
	time_t shown;
};

static void show(void *user, double so_far, double total)
{
	struct progress *progress = user;
	time_t now = time(NULL);

	if (total > 0 && now != progress->shown) {
		progress->shown = now;
		fprintf(stderr, "\r\x1b[K%s: %.0f of %.0f MiB, %.0f %%", progress->what,
			so_far / (1 << 20), total / (1 << 20), 100 * so_far / total);
	}
}

static int carried(struct vm *vm, bool whole)
{
	if (isatty(STDERR_FILENO)) {
		fputs("\r\x1b[K", stderr);
	}
	return whole ? VM_DONE : vm_refused(vm);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

int vm_upload(struct vm *vm)
{
	const char *from = vm->words[1],
		   *name = vm->count > 2 ? vm->words[2] : base_name(vm->words[1]);
	struct progress progress = {.what = name};
	int fd = open(from, O_RDONLY | O_CLOEXEC), status;
	struct stat file;
	char path[2048];

	if (fd < 0 || fstat(fd, &file) != 0 || !S_ISREG(file.st_mode)) {
		say("%s: %s", from, fd < 0 ? strerror(errno) : "not a file");
		if (fd >= 0) {
			close(fd);
		}
		return VM_FAILED;
	}
	file_path(vm, name, path);
	status = carried(vm, http_put(vm->http, path, fd, (uint64_t)file.st_size,
				      isatty(STDERR_FILENO) ? show : NULL, &progress));
	close(fd);
	return status;
}

/* It has its name when it is whole, and nothing that is there is written over. */
int vm_download(struct vm *vm)
{
	const char *name = vm->words[1], *to = vm->count > 2 ? vm->words[2] : base_name(name);
	struct progress progress = {.what = name};
	char path[2048], partial[4096];
	int fd = -1, status;

	if (access(to, F_OK) == 0 ||
	    snprintf(partial, sizeof(partial), "%s.partial", to) >= (int)sizeof(partial)) {
		say("%s: it is there already; give another name", to);
		return VM_FAILED;
	}
	fd = open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	if (fd < 0) {
		say("%s: %s", partial, strerror(errno));
		return VM_FAILED;
	}
	file_path(vm, name, path);
	status = carried(
		vm, http_fetch(vm->http, path, fd, isatty(STDERR_FILENO) ? show : NULL, &progress));
	if (close(fd) != 0 || (status == VM_DONE && link(partial, to) != 0)) {
		say("%s: %s", to, strerror(errno));
		status = VM_FAILED;
	}
	(void)unlink(partial);
	return status;
}
