/*
 * A document that is changed while its machine runs: the worker follows in steps (difference.c),
 * each of which is carried out by vmctl, a process of its own, since it opens files and may wait
 * for them. Then the document is written. What fails is taken back, and the document is as it was.
 *
 *   ask the worker how it is --> next step --> vmctl --.        none left: the document is written, done
 *             ^----------------------------------------'        one failed: the same towards what was there before, failed
 *
 * What the worker has been told is in the run folder (ID.running), for the next vmms.
 */
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hosted/say.h"
#include "include/mgmt/control.h"
#include "service/service.h"

#define STEPS_MAX 200 /* of one change; more are none that end */

struct change {
	struct service *service;
	uint64_t job;      /* 0: nobody waits any more */
	struct tool *tool; /* what takes the step; NULL: none */
	json_t *from, *to; /* what the worker is to become of what */
	unsigned int steps;
	bool back, cancelled;
	struct refusal why; /* back: that it goes back */
};

static void release(struct change *change)
{
	json_decref(change->from);
	json_decref(change->to);
	free(change);
}

/* ---- What the worker has ---- */

static void keep(struct machine *machine)
{
	char path[PATH_MAX], beside[PATH_MAX];

	if (!machine_run_path(machine, "running", path) ||
	    !machine_run_path(machine, "running.new", beside)) {
		return;
	}
	if (json_dump_file(machine->running, beside, JSON_COMPACT) == 0) {
		(void)rename(beside, path);
	}
}

static void compare(struct machine *machine)
{
	json_t *to;

	json_decref(machine->waits);
	machine->waits = NULL;
	if (machine->running != NULL && machine->settings.document != NULL) {
		to = settings_for_worker(machine, machine->settings.document);
		machine->waits = difference_waits(json_object_get(machine->running, "config"), to);
		json_decref(to);
	}
}

void change_started(struct machine *machine, const json_t *config)
{
	json_t *numbered = json_deep_copy(config);

	difference_number(numbered, NULL);
	json_decref(machine->running);
	machine->running =
		json_pack("{s:o, s:o}", "config", numbered, "bounds", difference_bounds(config));
	keep(machine);
	compare(machine);
}

void change_remember(struct machine *machine, const char *key, json_t *value)
{
	json_object_set_new(machine->running, key, value);
	keep(machine);
}

void change_met(struct machine *machine)
{
	char path[PATH_MAX];

	json_decref(machine->running);
	machine->running = machine_run_path(machine, "running", path)
				   ? json_load_file(path, JSON_REJECT_DUPLICATES, NULL)
				   : NULL;
	compare(machine);
}

bool change_find_id(struct machine *machine)
{
	static const char end[] = ".running";
	const struct dirent *entry;
	DIR *folder = opendir(machine->service->run);
	char path[PATH_MAX];
	json_t *running;

	while (folder != NULL && machine->id[0] == '\0' && (entry = readdir(folder)) != NULL) {
		size_t length = strlen(entry->d_name);
		const char *name;

		if (length != UUID_TEXT - 1 + sizeof(end) - 1 ||
		    strcmp(entry->d_name + UUID_TEXT - 1, end) != 0) {
			continue;
		}
		snprintf(path, sizeof(path), "%s/%s", machine->service->run, entry->d_name);
		running = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
		name = json_string_value(
			json_object_get(json_object_get(running, "config"), "name"));
		if (name != NULL && strcmp(name, machine->name) == 0) {
			snprintf(path, sizeof(path), "%.*s", UUID_TEXT - 1, entry->d_name);
			if (machine_find(machine->service, path) == NULL) {
				snprintf(machine->id, sizeof(machine->id), "%.36s", path);
			}
		}
		json_decref(running);
	}
	if (folder != NULL) {
		closedir(folder);
	}
	return machine->id[0] != '\0';
}

void change_ended(struct machine *machine)
{
	char path[PATH_MAX];

	json_decref(machine->running);
	machine->running = NULL;
	compare(machine);
	if (machine_run_path(machine, "running", path)) {
		(void)unlink(path);
	}
}

/* ---- The document ---- */

static bool is_unchanged(const struct machine *machine, const char *revision, struct refusal *why)
{
	return (!machine->writing && strcmp(machine->revision, revision) == 0) ||
	       refuse(why, SERVICE_BAD_CHANGED, "read it again, and decide anew",
		      "'%s' has been changed by somebody else meanwhile", machine->name);
}

/* What waits for the end of a write. */
struct writing {
	store_done *done;
	void *user;
	bool renamed;
};

static void written(struct machine *machine, void *user, const struct refusal *why)
{
	struct writing *writing = user;

	if (why == NULL) {
		snprintf(machine->id, sizeof(machine->id), "%s",
			 json_string_value(json_object_get(machine->settings.document, "id")));
	}
	if (writing->renamed && machine->running != NULL) {
		json_object_set_new(json_object_get(machine->running, "config"), "name",
				    json_string(machine->name));
		keep(machine);
	}
	compare(machine);
	events_emit(machine->service, "machine", machine_summary(machine));
	writing->done(machine, writing->user, why);
	free(writing);
}

bool change_write(struct machine *machine, json_t *document, const char *name, const char *revision,
		  store_done *done, void *user, struct refusal *why)
{
	struct writing *writing;

	if (!is_unchanged(machine, revision, why) ||
	    (name != NULL && !store_rename(machine, name, why))) {
		return false;
	}
	writing = calloc(1, sizeof(*writing));
	CHECK(writing != NULL);
	*writing = (struct writing){.done = done, .user = user, .renamed = name != NULL};
	if (store_write(machine, json_incref(document), written, writing, why)) {
		return true;
	}
	free(writing);
	return false;
}

bool change_is_needed(const struct machine *machine, const json_t *document)
{
	const json_t *running = json_object_get(machine->running, "config");
	json_t *to, *then;
	bool needed;

	if (machine->worker == 0 || running == NULL) {
		return false;
	}
	to = settings_for_worker(machine, document);
	difference_number(to, running);
	then = difference_apply(running, to, json_object_get(machine->running, "bounds"));
	needed = !json_equal(then, running);
	json_decref(then);
	json_decref(to);
	return needed;
}

json_t *change_disks(const struct machine *machine)
{
	json_t *copy = json_copy(machine->settings.document), *disks;

	difference_number(copy, json_object_get(machine->running, "config"));
	disks = json_incref(json_object_get(copy, "disks"));
	json_decref(copy);
	return disks != NULL ? disks : json_array();
}

void change_place(const struct machine *machine, json_t *document)
{
	const json_t *running = json_object_get(machine->running, "config");

	if (running != NULL) {
		difference_place(document, running);
	}
}

/* ---- Steps ---- */

/* NULL: it has ended. */
static struct job *find_job(struct service *service, uint64_t id)
{
	struct job *job = job_find(service, id);

	return job != NULL && job->state == JOB_RUNNING ? job : NULL;
}

/* Its worker is about to end: then the end of the process says more. */
static bool is_ending(struct machine *machine)
{
	link_drain(machine);
	return machine->link == NULL;
}

static void go_back(struct job *job, const struct refusal *why);

/* The document could not be written. */
static void not_written(struct job *job, const struct refusal *why)
{
	if (job->change != NULL && job->machine->link != NULL) {
		go_back(job, why);
	} else {
		job_fail(job, why);
	}
}

void change_followed(struct machine *machine)
{
	json_t *running = json_object_get(machine->running, "config"), *then, *to;

	if (running == NULL) {
		return;
	}
	to = settings_for_worker(machine, machine->settings.document);
	difference_number(to, running);
	then = difference_apply(running, to, json_object_get(machine->running, "bounds"));
	json_object_set_new(machine->running, "config", then);
	json_decref(to);
	keep(machine);
	compare(machine);
}

static void finished(struct machine *machine, void *user, const struct refusal *why)
{
	struct job *job = find_job(machine->service, (uint64_t)(uintptr_t)user);

	if (why == NULL) {
		change_followed(machine);
	}
	if (job != NULL && why != NULL) {
		not_written(job, why);
	} else if (job != NULL) {
		job_done(job);
	}
}

static void finish(struct job *job)
{
	struct refusal why;

	if (!change_write(job->machine, json_object_get(job->params, "document"),
			  json_string_value(json_object_get(job->params, "name")),
			  json_string_value(json_object_get(job->params, "revision")), finished,
			  (void *)(uintptr_t)job->id, &why)) {
		not_written(job, &why);
	}
}

static void ask_worker(struct job *job);

static void go_back(struct job *job, const struct refusal *why)
{
	struct change *change = job->change;
	json_t *to = change->to;

	if (change->back) {
		say("%s: what was changed could not be taken back: %s", job->name, why->detail);
		job_fail(job, &change->why);
		return;
	}
	change->why = *why;
	change->back = true;
	change->to = change->from;
	change->from = to;
	change->steps = 0;
	job_step(job, "taking it back");
	ask_worker(job);
}

static void step_ended(void *user, bool done, const char *out, char *said)
{
	struct change *change = user;
	struct job *job = find_job(change->service, change->job);
	struct refusal why;

	(void)out;
	change->tool = NULL;
	if (job == NULL) {
		release(change);
	} else if (is_ending(job->machine)) {
		return;
	} else if (done && !change->cancelled) {
		ask_worker(job);
	} else {
		tool_complaint(said, "vmctl", job->name, &why);
		go_back(job, &why);
	}
}

/* False: why. */
static bool take_step(struct job *job, const struct step *step, struct refusal *why)
{
	struct change *change = job->change;
	const char *words[STEP_WORDS_MAX + 2] = {NULL};
	char socket[PATH_MAX], folder[PATH_MAX];

	if (!machine_run_path(job->machine, "control", socket) ||
	    !machine_path(job->machine, "", folder)) {
		return refuse(why, SERVICE_BAD_IO, "", "'%s': the path is too long", job->name);
	}
	words[0] = socket;
	memcpy(words + 1, step->words, step->count * sizeof(words[0]));
	change->tool = tool_run(change->service, change->service->control, folder, words,
				step_ended, change, why);
	return change->tool != NULL;
}

static void heard_status(struct machine *machine, void *user, const json_t *status,
			 const json_t *error)
{
	struct job *job = find_job(machine->service, (uint64_t)(uintptr_t)user);
	struct change *change;
	struct refusal why;
	struct step step;

	if (job == NULL || machine->link == NULL || (error != NULL && is_ending(machine))) {
		return;
	}
	change = job->change;
	if (error == NULL && !difference_next(change->from, change->to, status, &step)) {
		if (!change->back) {
			finish(job);
		} else if (change->cancelled) {
			job_cancelled(job);
		} else {
			job_fail(job, &change->why);
		}
		return;
	}
	if (error == NULL && ++change->steps <= STEPS_MAX) {
		job_step(job, change->back ? "taking it back" : step.text);
		if (take_step(job, &step, &why)) {
			return;
		}
	} else {
		refuse(&why, SERVICE_BAD_WORKER, "", "'%s': its worker does not follow",
		       machine->name);
	}
	go_back(job, &why);
}

static void ask_worker(struct job *job)
{
	link_ask(job->machine, CONTROL_STATUS, json_object(), -1, heard_status,
		 (void *)(uintptr_t)job->id);
}

/* ---- The job ---- */

static void begin(struct job *job)
{
	struct machine *machine = job->machine;
	const json_t *running = json_object_get(machine->running, "config");
	struct refusal why;
	json_t *to;

	if (!is_unchanged(machine, json_string_value(json_object_get(job->params, "revision")),
			  &why)) {
		job_fail(job, &why);
		return;
	}
	if (machine->worker == 0 || running == NULL) {
		finish(job);
		return;
	}
	job->change = calloc(1, sizeof(*job->change));
	if (job->change == NULL || machine->link == NULL) {
		refuse(&why, SERVICE_BAD_STATE, "wait until it runs",
		       "'%s': its worker does not answer", machine->name);
		job_fail(job, &why);
		return;
	}
	to = settings_for_worker(machine, json_object_get(job->params, "document"));
	difference_number(to, running);
	*job->change = (struct change){.service = machine->service,
				       .job = job->id,
				       .from = json_deep_copy(running),
				       .to = to};
	ask_worker(job);
}

/* The document is that of a machine that is off now. */
static void worker_gone(struct job *job)
{
	if (!job->machine->writing) {
		finish(job);
	}
}

static bool cancel(struct job *job)
{
	struct change *change = job->change;

	if (change == NULL || change->tool == NULL || change->back) {
		return false;
	}
	change->cancelled = true;
	tool_end(change->tool);
	return true;
}

void change_release(struct job *job)
{
	struct change *change = job->change;

	job->change = NULL;
	if (change != NULL && change->tool != NULL) {
		change->job = 0; /* released when that has ended */
	} else if (change != NULL) {
		release(change);
	}
}

static const struct action_own own = {.worker_gone = worker_gone, .cancel = cancel};

/* In whichever state: what is off by then is only written down. */
const struct action change_action = {
	.name = "change",
	.past = "changed",
	.from = (1u << MACHINE_STATES) - 1,
	.during = MACHINE_STATES,
	.begin = begin,
	.own = &own,
};

bool change_is_under_way(const struct machine *machine, struct refusal *why)
{
	const struct job *job;

	for (job = machine->queue; job != NULL; job = job->behind) {
		if (job->action == &change_action) {
			refuse(why, SERVICE_BAD_STATE, "wait for that job, or cancel it",
			       "'%s' is being changed by job %llu", machine->name,
			       (unsigned long long)job->id);
			return true;
		}
	}
	return false;
}
