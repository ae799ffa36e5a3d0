/* What vm shows of all machines at once: how busy they are (vm top), the files of their disks (vm
 * disks); and what it shows whenever something happens (--watch). */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/vm.h"
#include "disk/disk.h"
#include "hosted/member.h"
#include "hosted/say.h"

#define TOP_SECONDS 1

/* ---- How busy ---- */

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static const json_t *by_id(const json_t *machines, const char *id)
{
	const json_t *machine;
	size_t i;

	json_array_foreach((json_t *)machines, i, machine)
	{
		if (strcmp(member_text(machine, "id"), id) == 0) {
			return machine;
		}
	}
	return NULL;
}

static double cpu(const json_t *machine)
{
	return json_number_value(json_object_get(machine, "cpu-seconds"));
}

static int busier(const void *one, const void *other)
{
	double load[] = {json_number_value(json_object_get(*(const json_t *const *)one, "cpu%")),
			 json_number_value(json_object_get(*(const json_t *const *)other, "cpu%"))};

	return (load[0] < load[1]) - (load[0] > load[1]);
}

/* Those that run, the busiest first: what they used of processors since `before`, `seconds` ago, in
 * per cent of one. */
static json_t *load_of(const json_t *before, const json_t *after, double seconds)
{
	size_t count = json_array_size(after), i, used = 0;
	json_t **rows = calloc(count + 1, sizeof(json_t *)), *list = json_array(), *machine;

	json_array_foreach((json_t *)after, i, machine)
	{
		const json_t *old = by_id(before, member_text(machine, "id"));

		if (rows == NULL || json_object_get(machine, "cpu-seconds") == NULL) {
			continue;
		}
		json_object_set_new(machine, "cpu%",
				    json_real(old != NULL && cpu(machine) >= cpu(old)
						      ? 100 * (cpu(machine) - cpu(old)) / seconds
						      : 0));
		rows[used++] = machine;
	}
	if (used != 0) {
		qsort(rows, used, sizeof(*rows), busier);
	}
	for (i = 0; i < used; i++) {
		json_array_append(list, rows[i]);
	}
	free(rows);
	return list;
}

static json_t *read_machines(struct vm *vm, double *when)
{
	json_t *machines = http_list(vm->http, "/v1/machines", "machines");

	*when = now();
	return machines;
}

/* On a terminal until it is interrupted; else what happens in a second. */
int vm_top(struct vm *vm)
{
	bool is_terminal = isatty(STDOUT_FILENO) && !vm->json && !vm->asks;
	double began, ended;
	json_t *before = read_machines(vm, &began), *after, *list;

	while (before != NULL) {
		sleep(TOP_SECONDS);
		after = read_machines(vm, &ended);
		if (after == NULL) {
			break;
		}
		list = load_of(before, after, ended - began);
		if (is_terminal) {
			fputs("\x1b[H\x1b[J", stdout);
		}
		vm_print_rows(vm, list, "name,cpu%,vps,memory,state,state-seconds");
		json_decref(list);
		json_decref(before);
		before = after;
		began = ended;
		if (!is_terminal) {
			json_decref(before);
			return VM_DONE;
		}
	}
	json_decref(before);
	return vm_refused(vm);
}

/* ---- Again and again ---- */

static void look(void *user)
{
	/* The connection of events is in use. */
	struct vm *vm = user, other = *vm;
	int status = VM_FAILED;

	other.http = http_open(vm->socket, true);
	if (isatty(STDOUT_FILENO)) {
		fputs("\x1b[H\x1b[J", stdout);
	}
	if (other.http != NULL) {
		status = vm->verb->run(&other);
		http_close(other.http);
	}
	fflush(stdout);
	if (status != VM_DONE) {
		exit(status);
	}
}

static bool look_again(void *user, const char *name, const json_t *data)
{
	(void)name;
	(void)data;
	look(user);
	return true;
}

int vm_watch(struct vm *vm)
{
	return http_follow(vm->http, look_again, look, vm) ? VM_DONE : vm_refused(vm);
}

/* ---- Storage ---- */

/* In a list of files, the one of this path; NULL: it is not there. */
static json_t *find_file(const json_t *files, const char *path)
{
	char wanted[PATH_MAX], found[PATH_MAX];
	json_t *file;
	size_t i;

	if (realpath(path, wanted) == NULL) {
		return NULL;
	}
	json_array_foreach((json_t *)files, i, file)
	{
		if (realpath(member_text(file, "file"), found) != NULL &&
		    strcmp(found, wanted) == 0) {
			return file;
		}
	}
	return NULL;
}

/* By this file, which is of this machine, or of these. */
static void need(json_t *parent, const json_t *file)
{
	json_t *list = json_object_get(parent, "needed-by"), *name, *known;
	const json_t *one = json_object_get(file, "machine");
	json_t *names = one != NULL ? json_pack("[O]", one)
				    : json_incref(json_object_get(file, "machines"));
	size_t i, j;

	if (list == NULL) {
		list = json_array();
		json_object_set_new(parent, "needed-by", list);
	}
	json_array_foreach(names, i, name)
	{
		bool is_known = false;

		json_array_foreach(list, j, known)
		{
			is_known |= json_equal(known, name);
		}
		if (!is_known) {
			json_array_append(list, name);
		}
	}
	json_decref(names);
}

/* A disk's parents are used by it. False: it cannot be looked into, said why. */
static bool mark_parents(const json_t *files, const json_t *file)
{
	const char *path = member_text(file, "file");
	struct disk_open how = {.flags = DISK_READ_ONLY | DISK_NO_LOCK};
	struct disk_error error;
	struct disk_info info;
	struct disk *disk;
	unsigned int i;

	if (disk_open(path, &how, &disk, &error) != 0) {
		say("%s", error.text);
		return false;
	}
	for (i = 1; disk_get_info(disk, i, &info) == 0; i++) {
		json_t *parent = find_file(files, info.path);

		if (parent != NULL) {
			need(parent, file);
		}
	}
	disk_close(&disk, NULL);
	return true;
}

static bool is_disc(const char *path)
{
	size_t length = strlen(path);

	return length > 4 && strcasecmp(path + length - 4, ".iso") == 0;
}

/* A file that no document names and no other has as its parent is an orphan, if all others could be
 * looked into. */
static void tell_orphans(const json_t *storage)
{
	const json_t *files = json_object_get(storage, "files"),
		     *others[] = {files, json_object_get(storage, "elsewhere")};
	bool all = true;
	json_t *file;
	size_t i, j;

	for (j = 0; j < 2; j++) {
		json_array_foreach((json_t *)others[j], i, file)
		{
			if (!is_disc(member_text(file, "file"))) {
				all &= mark_parents(files, file);
			}
		}
	}
	json_array_foreach((json_t *)files, i, file)
	{
		bool used = json_array_size(json_object_get(file, "machines")) != 0;

		json_object_set_new(file, "use",
				    json_string(used ? "disk"
						: json_object_get(file, "needed-by") != NULL
							? "parent"
						: all ? "orphan"
						      : "unknown"));
	}
}

int vm_storage(struct vm *vm)
{
	json_t *storage = http_ask(vm->http, "GET", "/v1/storage", NULL);
	char free_space[32], total[32];

	if (storage == NULL) {
		return vm_refused(vm);
	}
	tell_orphans(storage);
	if (!vm->json) {
		vm_print_size(json_object_get(storage, "free"), free_space, sizeof(free_space));
		vm_print_size(json_object_get(storage, "total"), total, sizeof(total));
		printf("%s: %s of %s are free\n", member_text(storage, "store"), free_space, total);
		vm_print_rows(vm, json_object_get(storage, "files"),
			      "use,machines,needed-by,size,used,file");
	} else {
		vm_print_rows(vm, storage, "");
	}
	json_decref(storage);
	return VM_DONE;
}
