/* What vm's verbs do, and what they print. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/vm.h"
#include "hosted/member.h"
#include "hosted/say.h"
#include "hosted/size.h"
#include "include/mgmt/service.h"
#include "lib/check.h"

#define COLUMNS_MAX 16
#define NEW_DISK    "disk.vhdx"

/* The status for what the service refused. */
int vm_refused_by(const struct http *http)
{
	static const struct {
		const char *code;
		int status;
	} codes[] = {
		{SERVICE_BAD_NOT_FOUND, VM_NOT_FOUND},
		{SERVICE_BAD_STATE, VM_STATE},
		{SERVICE_BAD_PERMISSION, VM_PERMISSION},
		{SERVICE_BAD_LOGIN, VM_PERMISSION},
	};

	for (size_t i = 0; i < ARRAY_COUNT(codes); i++) {
		if (strcmp(codes[i].code, http_code(http)) == 0) {
			return codes[i].status;
		}
	}
	return VM_FAILED;
}

int vm_refused(const struct vm *vm)
{
	return vm_refused_by(vm->http);
}

json_t *vm_ask(struct vm *vm, const char *method, json_t *body, const char *form, const char *name,
	       const char *more)
{
	char *segment = http_escape(vm->http, name), path[1024];
	json_t *answer;

	snprintf(path, sizeof(path), form, segment, more);
	free(segment);
	answer = http_ask(vm->http, method, path, body);
	return answer;
}

static void print_json(const json_t *value)
{
	json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
	putchar('\n');
}

/* ---- Tables ---- */

void vm_print_value(const json_t *value, char *text, size_t size)
{
	size_t used = 0, i;
	const json_t *item;

	text[0] = '\0';
	if (json_is_string(value)) {
		snprintf(text, size, "%s", json_string_value(value));
	} else if (json_is_integer(value)) {
		snprintf(text, size, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	} else if (json_is_real(value)) {
		snprintf(text, size, "%.1f", json_real_value(value));
	} else if (json_is_boolean(value)) {
		snprintf(text, size, "%s", json_is_true(value) ? "yes" : "no");
	} else if (json_is_array(value)) {
		json_array_foreach((json_t *)value, i, item)
		{
			if (json_is_string(item) && used < size) {
				used += (size_t)snprintf(text + used, size - used, "%s%s",
							 i > 0 ? "," : "", json_string_value(item));
			}
		}
	}
	/* A guest's or another user's text does not lead the terminal. */
	for (i = 0; text[i] != '\0'; i++) {
		text[i] = (unsigned char)text[i] < ' ' || text[i] == 0x7f ? '?' : text[i];
	}
}

/* Columns on a terminal count characters. */
static int width_of(const char *text)
{
	int width = 0;

	for (; *text != '\0'; text++) {
		width += ((unsigned char)*text & 0xc0) != 0x80;
	}
	return width;
}

static void print_cell(const char *text, int width, bool last)
{
	printf("%s%*s", text, last ? 0 : width - width_of(text) + 2, "");
}

/* `columns`: members, with commas; what an object does not have is left empty. */
static void print_table(const json_t *list, const char *columns)
{
	char names[512], *name[COLUMNS_MAX], *rest, text[256], head[64];
	int width[COLUMNS_MAX], count = 0, i;
	const json_t *item;
	size_t row, j;

	snprintf(names, sizeof(names), "%s", columns);
	for (name[0] = strtok_r(names, ",", &rest); count < COLUMNS_MAX && name[count] != NULL;) {
		width[count] = width_of(name[count]);
		if (++count < COLUMNS_MAX) {
			name[count] = strtok_r(NULL, ",", &rest);
		}
	}
	json_array_foreach((json_t *)list, row, item)
	{
		for (i = 0; i < count; i++) {
			vm_print_value(json_object_get(item, name[i]), text, sizeof(text));
			width[i] = width_of(text) > width[i] ? width_of(text) : width[i];
		}
	}
	for (i = 0; i < count; i++) {
		snprintf(head, sizeof(head), "%s", name[i]);
		for (j = 0; head[j] != '\0'; j++) {
			head[j] = head[j] >= 'a' && head[j] <= 'z' ? head[j] - 'a' + 'A' : head[j];
		}
		print_cell(head, width[i], i == count - 1);
	}
	putchar('\n');
	json_array_foreach((json_t *)list, row, item)
	{
		for (i = 0; i < count; i++) {
			vm_print_value(json_object_get(item, name[i]), text, sizeof(text));
			print_cell(text, width[i], i == count - 1);
		}
		putchar('\n');
	}
	fflush(stdout);
}

void vm_print_rows(const struct vm *vm, const json_t *list, const char *columns)
{
	if (vm->json) {
		print_json(list);
	} else {
		print_table(list, vm->columns != NULL ? vm->columns : columns);
	}
}

void vm_print_size(const json_t *bytes, char *text, size_t size)
{
	static const char units[] = " KMGTP";
	double value = json_number_value(bytes);
	size_t unit = 0;

	while (value >= 1024 && unit + 2 < sizeof(units)) {
		value /= 1024;
		unit++;
	}
	snprintf(text, size, unit == 0 ? "%.0f" : "%.1f%c", value, units[unit]);
}

static int print_list(struct vm *vm, const char *path, const char *member, const char *columns)
{
	json_t *list = http_list(vm->http, path, member);

	if (list == NULL) {
		return vm_refused(vm);
	}
	vm_print_rows(vm, list, columns);
	json_decref(list);
	return VM_DONE;
}

/* ---- Jobs ---- */

static void show_progress(const json_t *job)
{
	double total = (double)json_integer_value(json_object_get(job, "total")),
	       done = (double)json_integer_value(json_object_get(job, "done"));
	const char *step = json_string_value(json_object_get(job, "step"));

	if (!isatty(STDERR_FILENO)) {
		return;
	}
	fprintf(stderr, "\r\x1b[K%s '%s'%s%s", json_string_value(json_object_get(job, "what")),
		json_string_value(json_object_get(job, "machine")), step != NULL ? ": " : "",
		step != NULL ? step : "");
	if (total > 0) {
		fprintf(stderr, " %.0f %%", 100 * done / total);
	}
}

static void end_progress(void)
{
	if (isatty(STDERR_FILENO)) {
		fputs("\r\x1b[K", stderr);
	}
}

static bool has_ended(const json_t *job)
{
	const char *state = json_string_value(json_object_get(job, "state"));

	return state == NULL || (strcmp(state, "queued") != 0 && strcmp(state, "running") != 0);
}

/* What a machine's move has taken. */
static void show_result(const struct vm *vm, const json_t *result)
{
	const json_t *downtime = json_object_get(result, "downtime-us");

	if (downtime != NULL && !vm->json) {
		printf("moved in %" JSON_INTEGER_FORMAT " rounds: %" JSON_INTEGER_FORMAT
		       " pages, %" JSON_INTEGER_FORMAT " bytes; the guest stood for %.1f ms\n",
		       json_integer_value(json_object_get(result, "rounds")),
		       json_integer_value(json_object_get(result, "pages")),
		       json_integer_value(json_object_get(result, "bytes")),
		       (double)json_integer_value(downtime) / 1000);
	}
}

/* Takes the job. */
static int finish(struct vm *vm, json_t *job)
{
	const json_t *error = json_object_get(job, "error");
	const char *detail = json_string_value(json_object_get(error, "detail")),
		   *remedy = json_string_value(json_object_get(error, "remedy")),
		   *code = json_string_value(json_object_get(error, "code")),
		   *state = json_string_value(json_object_get(job, "state"));
	int status = VM_FAILED;

	if (vm->json) {
		print_json(job);
	}
	if (state != NULL && strcmp(state, "done") == 0) {
		status = VM_DONE;
		show_result(vm, json_object_get(job, "result"));
	} else if (detail != NULL) {
		say("%s%s%s", detail, remedy != NULL ? "; " : "", remedy != NULL ? remedy : "");
		status =
			code != NULL && strcmp(code, SERVICE_BAD_STATE) == 0 ? VM_STATE : VM_FAILED;
	} else {
		say("job %" JSON_INTEGER_FORMAT " is %s",
		    json_integer_value(json_object_get(job, "id")), state != NULL ? state : "lost");
	}
	json_decref(job);
	return status;
}

/* Takes the job. */
int vm_wait(struct vm *vm, json_t *job)
{
	char path[64];

	if (vm->no_wait) {
		if (vm->json) {
			print_json(job);
		} else {
			printf("job %" JSON_INTEGER_FORMAT "\n",
			       json_integer_value(json_object_get(job, "id")));
		}
		json_decref(job);
		return VM_DONE;
	}
	while (!has_ended(job)) {
		show_progress(job);
		snprintf(path, sizeof(path), "/v1/jobs/%" JSON_INTEGER_FORMAT "?wait=%d",
			 json_integer_value(json_object_get(job, "id")),
			 isatty(STDERR_FILENO) ? 1 : SERVICE_WAIT_MAX);
		json_decref(job);
		job = http_ask(vm->http, "GET", path, NULL);
		if (job == NULL) {
			return vm_refused(vm);
		}
	}
	end_progress();
	return finish(vm, job);
}

int vm_act_on(struct vm *vm, const char *name, const char *action)
{
	json_t *job = vm_ask(vm, "POST", vm->force ? json_pack("{s:b}", "force", true) : NULL,
			     "/v1/machines/%s/actions/%s", name, action);

	return job != NULL ? vm_wait(vm, job) : vm_refused(vm);
}

/* The first status that is no success. */
static int act(struct vm *vm, const char *action)
{
	int status = VM_DONE, one;
	unsigned int i;

	for (i = 0; i < vm->count; i++) {
		one = vm_act_on(vm, vm->words[i], action);
		status = status == VM_DONE ? one : status;
	}
	return status;
}

static int by_name(struct vm *vm)
{
	return act(vm, vm->verb->name);
}

static int stop(struct vm *vm)
{
	return act(vm, vm->turn_off ? "turn-off" : vm->save ? "save" : "shutdown");
}

/* ---- Machines ---- */

static int list_once(struct vm *vm)
{
	return print_list(vm, "/v1/machines", "machines",
			  "name,state,vps,memory,cpu-seconds,notes");
}

static int show(struct vm *vm)
{
	json_t *machine = vm_ask(vm, "GET", NULL, "/v1/machines/%s", vm->words[0], "");

	if (machine == NULL) {
		return vm_refused(vm);
	}
	print_json(machine);
	json_decref(machine);
	return VM_DONE;
}

static int list(struct vm *vm)
{
	return vm->count == 1 ? show(vm) : list_once(vm);
}

/* The first of its disks is made when there is a folder for it. */
static void name_disk(struct vm *vm)
{
	json_t *disks = json_object_get(vm->document, "disks");

	if (disks == NULL) {
		disks = json_array();
		json_object_set_new(vm->document, "disks", disks);
	}
	json_array_insert_new(disks, 0, json_pack("{s:s}", "file", NEW_DISK));
}

/* A machine without its disk is none. */
static bool make_disk(struct vm *vm)
{
	json_t *made = vm_make_disk(vm, vm->words[0], NEW_DISK, vm->new_disk);

	if (made == NULL) {
		json_decref(vm_ask(vm, "DELETE", NULL, "/v1/machines/%s%s", vm->words[0], ""));
	}
	json_decref(made);
	return made != NULL;
}

/* What a BIOS starts from is at its IDE controller: the first disk and the discs, as of Hyper-V's
 * first generation. */
static void place_disks(struct vm *vm)
{
	bool first = true;
	json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(vm->document, "disks"), i, disk)
	{
		bool dvd = json_object_get(disk, "kind") != NULL;

		if ((dvd || first) && json_object_get(disk, "controller") == NULL) {
			json_object_set_new(disk, "controller", json_string("ide"));
		}
		first &= dvd;
	}
}

/* An answer, or what is proposed; false: the end of the input. */
static bool question(const char *text, const char *proposed, char *answer, size_t size)
{
	printf("%s [%s]: ", text, proposed);
	fflush(stdout);
	if (fgets(answer, (int)size, stdin) == NULL) {
		putchar('\n');
		return false;
	}
	answer[strcspn(answer, "\n")] = '\0';
	if (answer[0] == '\0') {
		snprintf(answer, size, "%s", proposed);
	}
	return true;
}

/* The first of the host's switches, or "nat" if that is one; "-": there is none, or they are not
 * for who asks. */
static void propose_switch(const struct vm *vm, char *name, size_t size)
{
	struct http *quiet = http_open(vm->socket, false);
	json_t *answer = quiet != NULL ? http_ask(quiet, "GET", "/v1/switches", NULL) : NULL, *of;
	size_t i;

	snprintf(name, size, "-");
	json_array_foreach(json_object_get(answer, "switches"), i, of)
	{
		const char *called = member_text(of, "name");

		if (i == 0 || strcmp(called, "nat") == 0) {
			snprintf(name, size, "%s", called);
		}
	}
	json_decref(answer);
	if (quiet != NULL) {
		http_close(quiet);
	}
}

/* Of who gave a name and nothing else, on a terminal. Each answer is what the option would be, and
 * judged as that. */
static bool ask_questions(struct vm *vm)
{
	static const struct {
		const char *text, *proposed, *option, *none;
	} questions[] = {
		{"Generation, 1 with a BIOS, 2 with UEFI firmware", "1", "--generation", NULL},
		{"Memory", "1G", "--memory", NULL},
		{"Virtual processors", "1", "--vps", NULL},
		{"Size of a new disk, 0 for none", "20G", "--new-disk", "0"},
		{"File of a disc to install from, - for none", "-", "--iso", "-"},
		{"Virtual switch, - for none", NULL, "--net", "-"},
	};
	static char answers[ARRAY_COUNT(questions)][PATH_MAX];
	char network[64];
	bool used;
	size_t i;

	propose_switch(vm, network, sizeof(network));

	for (i = 0; i < ARRAY_COUNT(questions); i++) {
		do {
			if (!question(questions[i].text,
				      questions[i].proposed != NULL ? questions[i].proposed
								    : network,
				      answers[i], sizeof(answers[i]))) {
				return false;
			}
			used = questions[i].none == NULL ||
			       strcmp(answers[i], questions[i].none) != 0;
		} while (used && !vm_take_option(vm, questions[i].option, answers[i]));
	}
	return true;
}

static int create(struct vm *vm)
{
	json_t *answer;

	if (json_object_size(vm->document) == 0 && vm->new_disk == NULL && !vm->json &&
	    (vm->asks || (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))) && !ask_questions(vm)) {
		return VM_FAILED;
	}
	if (vm->new_disk != NULL) {
		uint64_t size;

		if (!size_parse(vm->new_disk, &size)) {
			say("%s: not a size; write it as 20G", vm->new_disk);
			return VM_USAGE;
		}
		name_disk(vm);
	}
	if (json_object_set_new(vm->document, "name", json_string(vm->words[0])) != 0) {
		say("%s: it is not UTF-8", vm->words[0]);
		return VM_USAGE;
	}
	if (json_object_get(vm->document, "vps") == NULL) {
		json_object_set_new(vm->document, "vps", json_integer(1));
	}
	if (json_object_get(vm->document, "memory") == NULL) {
		json_object_set_new(vm->document, "memory", json_string("1G"));
	}
	if (json_object_get(vm->document, "kernel") == NULL &&
	    json_object_get(vm->document, "generation") == NULL) {
		json_object_set_new(vm->document, "generation", json_integer(1));
	}
	if (json_integer_value(json_object_get(vm->document, "generation")) == 1) {
		place_disks(vm);
	}
	answer = http_ask(vm->http, "POST", "/v1/machines", json_incref(vm->document));
	if (answer == NULL) {
		return vm_refused(vm);
	}
	if (vm->new_disk != NULL && !make_disk(vm)) {
		json_decref(answer);
		return VM_FAILED;
	}
	if (vm->json) {
		print_json(answer);
	}
	json_decref(answer);
	return VM_DONE;
}

int vm_change(struct vm *vm, const char *name, json_t *patch)
{
	json_t *answer = vm_ask(vm, "PATCH", patch, "/v1/machines/%s", name, "");
	char waits[256];

	if (answer == NULL) {
		return vm_refused(vm);
	}
	/* It takes long. */
	if (json_object_get(answer, "what") != NULL) {
		return vm_wait(vm, answer);
	}
	vm_print_value(json_object_get(answer, "at-next-start"), waits, sizeof(waits));
	if (vm->json) {
		print_json(answer);
	} else if (waits[0] != '\0') {
		say("'%s' runs; holds at its next start: %s", name, waits);
	}
	json_decref(answer);
	return VM_DONE;
}

static int set(struct vm *vm)
{
	return vm_change(vm, vm->words[0], json_incref(vm->document));
}

static int rename_machine(struct vm *vm)
{
	json_t *name = json_string(vm->words[1]);

	if (name == NULL) {
		say("%s: it is not UTF-8", vm->words[1]);
		return VM_USAGE;
	}
	return vm_change(vm, vm->words[0], json_pack("{s:o}", "name", name));
}

static int delete_machines(struct vm *vm)
{
	json_t *answer;
	unsigned int i;

	for (i = 0; i < vm->count; i++) {
		answer = vm_ask(vm, "DELETE", NULL, "/v1/machines/%s%s", vm->words[i],
				vm->disks ? "?disks=true" : "");
		if (answer == NULL) {
			return vm_refused(vm);
		}
		if (json_is_true(json_object_get(answer, "files-left"))) {
			say("'%s' is deleted; files of its folder are left, as its disks may be",
			    vm->words[i]);
		}
		json_decref(answer);
	}
	return VM_DONE;
}

/* ---- Jobs, events, the host ---- */

static int jobs(struct vm *vm)
{
	return print_list(vm, "/v1/jobs", "jobs", "id,what,machine,state,step,user");
}

static int cancel(struct vm *vm)
{
	json_t *job = vm_ask(vm, "DELETE", NULL, "/v1/jobs/%s", vm->words[0], "");

	if (job == NULL) {
		return vm_refused(vm);
	}
	json_decref(job);
	return VM_DONE;
}

static bool show_event(void *user, const char *name, const json_t *data)
{
	const struct vm *vm = user;
	const json_t *state = json_object_get(data, "state"), *what = json_object_get(data, "what");
	char text[3][128];

	if (vm->json) {
		printf("{\"event\":\"%s\",\"data\":", name);
		json_dumpf(data, stdout, JSON_COMPACT);
		puts("}");
	} else {
		vm_print_value(json_object_get(data, what != NULL ? "machine" : "name"), text[0],
			       sizeof(text[0]));
		vm_print_value(what, text[1], sizeof(text[1]));
		vm_print_value(state, text[2], sizeof(text[2]));
		printf("%s '%s'%s%s %s\n", name, text[0], what != NULL ? " " : "", text[1],
		       text[2]);
	}
	fflush(stdout);
	return true;
}

static int events(struct vm *vm)
{
	return http_follow(vm->http, show_event, NULL, vm) ? VM_DONE : vm_refused(vm);
}

static int host(struct vm *vm)
{
	json_t *answer = http_ask(vm->http, "GET", "/v1/host", NULL), *value;
	const char *key;
	char text[256];

	if (answer == NULL) {
		return vm_refused(vm);
	}
	if (vm->json) {
		print_json(answer);
	} else {
		json_object_foreach(answer, key, value)
		{
			if (strncmp(key, "memory", 6) == 0) {
				vm_print_size(value, text, sizeof(text));
			} else {
				vm_print_value(value, text, sizeof(text));
			}
			printf("%-16s %s\n", key, text);
		}
	}
	json_decref(answer);
	return VM_DONE;
}

static int completion(struct vm *vm)
{
	const char *shell = vm->count > 0 ? vm->words[0] : "bash";

	if (!vm_print_completion(shell)) {
		say("%s: give bash, zsh or fish", shell);
		return VM_USAGE;
	}
	return VM_DONE;
}

/* For the end of the host: each machine's stop action, all at once, and until all have ended. */
static int stop_all(struct vm *vm)
{
	json_t *answer =
		http_ask(vm->http, "POST", "/v1/host/actions/stop-machines", json_object());
	json_t *job;
	int status = VM_DONE, one;
	size_t i;

	if (answer == NULL) {
		return vm_refused(vm);
	}
	json_array_foreach(json_object_get(answer, "jobs"), i, job)
	{
		one = vm_wait(vm, json_incref(job));
		status = status == VM_DONE ? one : status;
	}
	json_decref(answer);
	return status;
}

#define MANY VM_WORDS_MAX

/* clang-format off */
const struct vm_verb vm_verbs[] = {
	{"list",          "Get-VM",               0, 1,    list,            false, "[NAME]",        "all machines, or all of one"},
	{"show",          NULL,                   1, 1,    show,            false, "NAME",          "all of one, as JSON"},
	{"create",        "New-VM",               1, 1,    create,          true,  "NAME",          "with the options below; 1 VP and 1G, unless they say otherwise"},
	{"set",           "Set-VM",               1, 1,    set,             true,  "NAME",          "other settings"},
	{"rename",        "Rename-VM",            2, 2,    rename_machine,  false, "NAME NEW",      "its folder, too"},
	{"delete",        "Remove-VM",            1, MANY, delete_machines, false, "NAME...",       "its disks are left, unless --disks says otherwise"},
	{"start",         "Start-VM",             1, MANY, by_name,         false, "NAME...",       "also one that was saved"},
	{"stop",          "Stop-VM",              1, MANY, stop,            false, "NAME...",       "its guest shuts down; --turn-off, --save"},
	{"shutdown",      NULL,                   1, MANY, by_name,         false, "NAME...",       "its guest shuts down"},
	{"restart",       "Restart-VM",           1, MANY, by_name,         false, "NAME...",       "its guest restarts"},
	{"turn-off",      NULL,                   1, MANY, by_name,         false, "NAME...",       "at once, without the guest"},
	{"reset",         NULL,                   1, MANY, by_name,         false, "NAME...",       "likewise, and on again"},
	{"pause",         "Suspend-VM",           1, MANY, by_name,         false, "NAME...",       "it stands still"},
	{"resume",        "Resume-VM",            1, MANY, by_name,         false, "NAME...",       "it goes on"},
	{"save",          "Save-VM",              1, MANY, by_name,         false, "NAME...",       "all of it into a file, from which start goes on"},
	{"discard-state", "Remove-VMSavedState",  1, MANY, by_name,         false, "NAME...",       "what was saved is thrown away"},
	{"power-button",  NULL,                   1, MANY, by_name,         false, "NAME...",       "what the guest does then is its own affair"},
	{"checkpoint",    "Checkpoint-VM",        1, 2,    vm_checkpoint,   true,  "NAME [CHECKPOINT]", "one more; --kind disks: without memory; --notes"},
	{"checkpoints",   "Get-VMCheckpoint",     1, 1,    vm_checkpoints,  false, "NAME",          "its tree of them"},
	{"apply",         "Restore-VMCheckpoint", 1, 2,    vm_apply_checkpoint, false, "NAME CHECKPOINT", "of one that is off: it goes back there; start goes on"},
	{"rename-checkpoint", "Rename-VMCheckpoint", 1, 3, vm_rename_checkpoint, false, "NAME CHECKPOINT NEW", ""},
	{"remove-checkpoint", "Remove-VMCheckpoint", 1, 2, vm_remove_checkpoint, false, "NAME CHECKPOINT", "its files are merged, while it runs by a job; --children: all that came of it too"},
	{"export-checkpoint", "Export-VMCheckpoint", 2, 3, vm_export_checkpoint, false, "NAME CHECKPOINT FOLDER", "as a machine of its own in a new folder of that host"},
	{"migrate",       "Move-VM",              1, 2,    vm_migrate,      false, "NAME WHERE",    "to another host while it runs, or is off: --host ssh://[USER@]HOST, https://HOST[:PORT]; --storage: with its disks"},
	{"compare",       "Compare-VM",           1, 2,    vm_compare,      false, "NAME WHERE",    "what of the other host would be in its way"},
	{"move-storage",  "Move-VMStorage",       1, 2,    vm_move_storage, false, "NAME FOLDER",   "its files of disks to another folder, with those of its checkpoints; also while it runs"},
	{"proxy",         NULL,                   0, 0,    vm_proxy,        false, "",              "standard input and output are a connection to the service"},
	{"console",       NULL,                   1, 1,    vm_console,      false, "NAME",          "COM1, with what came last; Ctrl-] leaves; --shutdown-key"},
	{"display",       NULL,                   1, 2,    vm_display,      false, "NAME [SOCKET]", "its screen, in vncviewer or what VM_VIEWER names, or at a socket for one"},
	{"top",           NULL,                   0, 0,    vm_top,          false, "",              "how busy those are that run"},
	{"memory",        "Get-VMMemory",         1, MANY, vm_memory,       false, "NAME...",       "what memory they have, need and may have"},
	{"set-memory",    "Set-VMMemory",         1, 1,    set,             true,  "NAME",          "--memory, --memory-minimum, ..."},
	{"processors",    "Get-VMProcessor",      1, MANY, vm_processors,   false, "NAME...",       "how many they have"},
	{"set-processor", "Set-VMProcessor",      1, 1,    set,             true,  "NAME",          "--vps"},
	{"disks",         "Get-VMHardDiskDrive",  0, 1,    vm_disks,        false, "[NAME]",        "its disks; without a name: space, and whose each file is"},
	{"add-disk",      "Add-VMHardDiskDrive",  1, 2,    vm_add_disk,     false, "NAME FILE",     "--number, --controller, --read-only"},
	{"set-disk",      "Set-VMHardDiskDrive",  1, 3,    vm_set_disk,     false, "NAME NUMBER FILE", "another file"},
	{"remove-disk",   "Remove-VMHardDiskDrive", 1, 2,  vm_remove_disk,  false, "NAME NUMBER",   "also by its FILE, which is left"},
	{"files",         "Get-VHD",              1, 1,    vm_files,        false, "NAME",          "files of disks in its folder"},
	{"new-disk",      "New-VHD",              2, 3,    vm_new_disk,     false, "NAME FILE SIZE", "such a file, which add-disk gives it; --kind, --parent"},
	{"resize-disk",   "Resize-VHD",           3, 3,    vm_resize_disk,  false, "NAME FILE SIZE", "of one that is off"},
	{"upload",        NULL,                   2, 3,    vm_upload,       false, "NAME FILE [AS]", "a disk or a disc, into its folder"},
	{"download",      NULL,                   2, 3,    vm_download,     false, "NAME FILE [TO]", "a file of its folder, which nobody writes to"},
	{"delete-file",   NULL,                   2, 2,    vm_delete_file,  false, "NAME FILE",     "one that is nobody's disk"},
	{"dvds",          "Get-VMDvdDrive",       1, 1,    vm_dvds,         false, "NAME",          "its DVD drives"},
	{"add-dvd",       "Add-VMDvdDrive",       1, 2,    vm_add_dvd,      false, "NAME [FILE]",   "a drive, with a disc or empty"},
	{"set-dvd",       "Set-VMDvdDrive",       1, 2,    vm_set_dvd,      false, "NAME [FILE]",   "another disc, or none; --number: of which drive"},
	{"remove-dvd",    "Remove-VMDvdDrive",    1, 2,    vm_remove_dvd,   false, "NAME NUMBER",   "also by its FILE"},
	{"nets",          "Get-VMNetworkAdapter", 1, 1,    vm_networks,     false, "NAME",          "its network adapters"},
	{"add-net",       "Add-VMNetworkAdapter", 1, 2,    vm_add_network,  false, "NAME SWITCH",   "--mac, --port, --vlan, --sriov"},
	{"set-net",       "Set-VMNetworkAdapter", 1, 2,    vm_set_network,  false, "NAME [INDEX]",  "likewise, --net, --untagged"},
	{"set-vlan",      "Set-VMNetworkAdapterVlan", 1, 2, vm_set_network, false, "NAME [INDEX]",  "--vlan, --untagged"},
	{"connect-net",   "Connect-VMNetworkAdapter", 1, 3, vm_connect_network, false, "NAME SWITCH [INDEX]", "another switch"},
	{"remove-net",    "Remove-VMNetworkAdapter", 1, 2, vm_remove_network, false, "NAME [INDEX]", "the only one needs no index"},
	{"devices",       "Get-VMAssignableDevice", 1, 1,  vm_devices,      false, "NAME",          "PCI devices of the host that it has"},
	{"add-device",    "Add-VMAssignableDevice", 1, 2,  vm_add_device,   false, "NAME ADDRESS",  "one more, as lspci -D has it, that was dismounted"},
	{"remove-device", "Remove-VMAssignableDevice", 1, 2, vm_remove_device, false, "NAME ADDRESS", "its guest is asked for it, and has 30 s"},
	{"host-devices",  "Get-VMHostAssignableDevice", 0, 0, vm_host_devices, false, "",            "the host's PCI devices, their drivers and IOMMU groups"},
	{"dismount-device", "Dismount-VMHostAssignableDevice", 1, 1, vm_dismount_device, false, "ADDRESS", "the host gives it up, so that a machine can have it"},
	{"mount-device",  "Mount-VMHostAssignableDevice", 1, 1, vm_mount_device, false, "ADDRESS",   "it is the host's again, with its own driver"},
	{"com-port",      "Get-VMComPort",        1, 1,    vm_com_port,     false, "NAME",          "where COM1 goes"},
	{"set-com-port",  "Set-VMComPort",        1, 2,    vm_set_com_port, false, "NAME PATH",     "a UNIX socket; control: vm console"},
	{"services",      "Get-VMIntegrationService", 1, 1, vm_services,    false, "NAME",          "its integration services"},
	{"enable-service", "Enable-VMIntegrationService", 1, 2, vm_enable_service, false, "NAME SERVICE", "it is offered to the guest"},
	{"disable-service", "Disable-VMIntegrationService", 1, 2, vm_disable_service, false, "NAME SERVICE", "it is withdrawn"},
	{"users",         "Get-VMConnectAccess",  1, 1,    vm_users,        false, "NAME",          "who may see and operate it, beside administrators"},
	{"grant",         "Grant-VMConnectAccess", 1, 2,   vm_grant,        false, "NAME USER",     "--role viewer or operator"},
	{"revoke",        "Revoke-VMConnectAccess", 1, 2,  vm_revoke,       false, "NAME USER",     "neither sees nor operates it any more"},
	{"switches",      "Get-VMSwitch",         0, 1,    vm_switches,     false, "[SWITCH]",      "all switches, or what is at the ports of one"},
	{"add-switch",    "New-VMSwitch",         1, 1,    vm_add_switch,   false, "SWITCH",        "--kind, --interface, --speed"},
	{"remove-switch", "Remove-VMSwitch",      1, 1,    vm_remove_switch, false, "SWITCH",       "with its ports"},
	{"menu",          NULL,                   0, 0,    vm_menu,         false, "",              "all of this by numbers, also over a serial line"},
	{"jobs",          "Get-Job",              0, 0,    jobs,            false, "",              "what is being done, and was"},
	{"cancel",        "Stop-Job",             1, 1,    cancel,          false, "JOB",           "if it has not gone too far"},
	{"events",        NULL,                   0, 0,    events,          false, "",              "what happens, from now on"},
	{"host",          "Get-VMHost",           0, 0,    host,            false, "",              "its memory, processors, machines"},
	{"completion",    NULL,                   0, 1,    completion,      false, "[SHELL]",       "for bash, zsh or fish: source <(vm completion zsh)"},
	{"stop-all",      NULL,                   0, 0,    stop_all,        false, "",              "each by its stop action, before the host goes down"},
};
/* clang-format on */
const unsigned int vm_verb_count = ARRAY_COUNT(vm_verbs);
