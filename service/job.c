/*
 * What is to be done with machines, one after the other for each: a list of all that is known, and
 * a queue a machine.
 *
 *   queued ---> running ---> done | failed
 *      `-----------'-------> cancelled
 *
 * Each has a file in the run folder until it is forgotten, so that of those that vmms did not live
 * to end the next one says so.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "hosted/say.h"
#include "service/service.h"

static const char *const states[] = {"queued", "running", "done", "failed", "cancelled"};

static bool has_ended(const struct job *job)
{
	return job->state > JOB_RUNNING;
}

json_t *job_object(const struct job *job)
{
	json_t *object = json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:I}", "id", (json_int_t)job->id,
				   "machine", job->name, "machine-id", job->machine_id, "what",
				   job->what, "state", states[job->state], "user", job->user,
				   "began", (json_int_t)job->began);

	if (job->step[0] != '\0' && !has_ended(job)) {
		json_object_set_new(object, "step", json_string(job->step));
	}
	if (job->total != 0) {
		json_object_set_new(object, "done", json_integer((json_int_t)job->done));
		json_object_set_new(object, "total", json_integer((json_int_t)job->total));
	}
	if (job->error != NULL) {
		json_object_set(object, "error", job->error);
	}
	if (job->result != NULL) {
		json_object_set(object, "result", job->result);
	}
	if (has_ended(job)) {
		json_object_set_new(object, "ended", json_integer((json_int_t)job->ended));
	}
	return object;
}

/* ---- Their files ---- */

static bool job_path(const struct service *service, uint64_t id, char *path)
{
	int length = snprintf(path, PATH_MAX, "%s/jobs/%llu", service->run, (unsigned long long)id);

	return length > 0 && length < PATH_MAX;
}

/* In the memory of this boot, so nothing is synced. What cannot be written is only not known
 * later. */
static void keep(const struct service *service, const struct job *job)
{
	json_t *object = job_object(job);
	char path[PATH_MAX], beside[PATH_MAX + 4];

	if (job_path(service, job->id, path)) {
		snprintf(beside, sizeof(beside), "%s.new", path);
		if (json_dump_file(object, beside, JSON_COMPACT) == 0) {
			(void)rename(beside, path);
		}
	}
	json_decref(object);
}

static void tell(struct service *service, const struct job *job)
{
	events_emit(service, "job", job_object(job));
}

static void release(struct job *job)
{
	change_release(job);
	json_decref(job->params);
	json_decref(job->error);
	json_decref(job->result);
	free(job->name);
	free(job->what);
	free(job->user);
	free(job);
}

static void forget(struct service *service, struct job *job)
{
	struct job **link = &service->jobs;
	char path[PATH_MAX];

	while (*link != job) {
		link = &(*link)->next;
	}
	*link = job->next;
	service->job_count--;
	if (job_path(service, job->id, path)) {
		(void)unlink(path);
	}
	release(job);
}

/* Of those that have ended and that nobody waits for, the oldest. */
static bool make_room(struct service *service)
{
	struct job *job, *oldest = NULL;

	for (job = service->jobs; job != NULL; job = job->next) {
		if (has_ended(job) && job->waiters == NULL) {
			oldest = job;
		}
	}
	if (service->job_count >= SERVICE_JOBS_MAX && oldest != NULL) {
		forget(service, oldest);
	}
	return service->job_count < SERVICE_JOBS_MAX;
}

void job_forget_all(struct service *service)
{
	struct job *job;

	while (service->jobs != NULL) {
		job = service->jobs;
		service->jobs = job->next;
		release(job);
	}
}

/* ---- Waiting for one ---- */

static void stop_waiting(struct waiter *waiter)
{
	struct waiter **link = &waiter->job->waiters;

	while (*link != waiter) {
		link = &(*link)->next;
	}
	*link = waiter->next;
}

static void waited_long(struct timer *timer)
{
	struct waiter *waiter = (struct waiter *)((char *)timer - offsetof(struct waiter, timer));

	stop_waiting(waiter);
	waiter->over(waiter);
}

void job_wait(struct service *service, struct job *job, struct waiter *waiter, uint64_t ms,
	      void (*over)(struct waiter *waiter))
{
	*waiter = (struct waiter){.next = job->waiters, .job = job, .over = over};
	if (has_ended(job) || ms == 0) {
		over(waiter);
		return;
	}
	job->waiters = waiter;
	loop_start_timer(service, &waiter->timer, ms, waited_long);
}

/* ---- Their course ---- */

struct job *job_find(struct service *service, uint64_t id)
{
	struct job *job = service->jobs;

	while (job != NULL && job->id != id) {
		job = job->next;
	}
	return job;
}

struct job *job_running(const struct machine *machine, const struct job *after)
{
	struct job *job = after != NULL ? after->next : machine->service->jobs;

	while (job != NULL && (job->machine != machine || job->state != JOB_RUNNING)) {
		job = job->next;
	}
	return job;
}

/* Of a worker, and not by a move. */
static bool is_start(const struct action *action)
{
	return action->during == MACHINE_STARTING && !move_is_action(action);
}

static bool may_begin(const struct job *job, struct refusal *why)
{
	const struct machine *machine = job->machine;

	if (machine->damage != NULL && job->action->during == MACHINE_STARTING) {
		return refuse(why, SERVICE_BAD_STATE, "mend its document", "'%s': %s",
			      machine->name, machine->damage);
	}
	/* Neither a worker nor a merge may touch disks that are another host's by now. */
	if ((is_start(job->action) || checkpoint_is_action(job->action)) &&
	    move_is_under_way(machine, why)) {
		return false;
	}
	if (is_start(job->action) && checkpoint_undo_lacks(machine)) {
		return refuse(why, SERVICE_BAD_STATE,
			      "vm jobs says why; vm set --undo is for disks of VHDX and VHD files",
			      "'%s' has not got its undo disks", machine->name);
	}
	return job->action->from & 1u << machine->state ||
	       refuse(why, SERVICE_BAD_STATE, "", "'%s' is %s and cannot be %s", machine->name,
		      machine_state_name(machine->state), job->action->past);
}

static void begin(struct job *job)
{
	struct machine *machine = job->machine;
	struct refusal why;

	job->state = JOB_RUNNING;
	if (!may_begin(job, &why)) {
		job_fail(job, &why);
		return;
	}
	tell(machine->service, job);
	if (job->action->during != MACHINE_STATES) {
		machine_set_state(machine, job->action->during);
	}
	job->action->begin(job);
}

/* Not from within the end of the one before: who ended that one may not be done with the
 * machine. */
static void begin_next(struct timer *timer)
{
	struct machine *machine =
		(struct machine *)((char *)timer - offsetof(struct machine, next_timer));

	if (machine->queue != NULL && machine->queue->state == JOB_QUEUED && !machine->writing) {
		begin(machine->queue);
	} else {
		checkpoint_merge(machine);
	}
}

void job_go_on(struct machine *machine)
{
	if ((machine->queue != NULL && machine->queue->state == JOB_QUEUED) ||
	    checkpoint_may_merge(machine)) {
		loop_start_timer(machine->service, &machine->next_timer, 0, begin_next);
	}
}

static void end(struct job *job, enum job_state state)
{
	struct machine *machine = job->machine;
	struct service *service = machine->service;
	struct job **link = &machine->queue;

	CHECK(!has_ended(job));
	while (*link != NULL && *link != job) {
		link = &(*link)->behind;
	}
	if (*link != NULL) {
		*link = job->behind;
	}
	change_release(job);
	job->machine = NULL;
	job->behind = NULL;
	job->state = state;
	job->ended = time(NULL);
	keep(service, job);
	say("%s: %s '%s' (job %llu): %s%s%s", job->user, job->what, job->name,
	    (unsigned long long)job->id, states[state], job->error != NULL ? ": " : "",
	    job->error != NULL ? json_string_value(json_object_get(job->error, "detail")) : "");
	if (job_running(machine, NULL) == NULL) {
		machine_settle(machine);
	}
	tell(service, job);
	while (job->waiters != NULL) {
		struct waiter *waiter = job->waiters;

		stop_waiting(waiter);
		loop_stop_timer(service, &waiter->timer);
		waiter->over(waiter);
	}
	job_go_on(machine);
}

void job_done(struct job *job)
{
	end(job, JOB_DONE);
}

void job_fail(struct job *job, const struct refusal *why)
{
	job->error = refusal_object(why);
	end(job, JOB_FAILED);
}

void job_fail_all(struct machine *machine, const struct refusal *why)
{
	while (machine->queue != NULL) {
		job_fail(machine->queue, why);
	}
}

void job_cancelled(struct job *job)
{
	end(job, JOB_CANCELLED);
}

void job_step(struct job *job, const char *step)
{
	snprintf(job->step, sizeof(job->step), "%s", step);
	tell(job->machine->service, job);
}

bool job_cancel(struct job *job, struct refusal *why)
{
	if (has_ended(job)) {
		return refuse(why, SERVICE_BAD_STATE, "", "job %llu is %s already",
			      (unsigned long long)job->id, states[job->state]);
	}
	if (job->state == JOB_QUEUED) {
		job_cancelled(job);
		return true;
	}
	return action_cancel(job) || refuse(why, SERVICE_BAD_STATE, "wait for its end",
					    "job %llu is past the point where it can be cancelled",
					    (unsigned long long)job->id);
}

struct job *job_new(struct machine *machine, const struct action *action, json_t *params,
		    const char *user, struct refusal *why)
{
	struct service *service = machine->service;
	unsigned int waiting = 0;
	struct job *job, **link;

	if (is_start(action) && !checkpoint_undo(machine, user, why)) {
		json_decref(params);
		return NULL;
	}
	for (link = &machine->queue; *link != NULL; link = &(*link)->behind) {
		waiting++;
	}
	if (waiting >= SERVICE_QUEUE_MAX || !make_room(service)) {
		json_decref(params);
		refuse(why, SERVICE_BAD_LIMIT, "wait for some of it",
		       "as much as may be is to be done already");
		return NULL;
	}
	job = calloc(1, sizeof(*job));
	if (job == NULL) {
		json_decref(params);
		refuse(why, SERVICE_BAD_IO, "", "out of memory");
		return NULL;
	}
	*job = (struct job){.id = ++service->last_job,
			    .next = service->jobs,
			    .machine = machine,
			    .name = strdup(machine->name),
			    .action = action,
			    .what = strdup(action->name),
			    .user = strdup(user),
			    .params = params,
			    .began = time(NULL)};
	CHECK(job->name != NULL && job->what != NULL && job->user != NULL);
	snprintf(job->machine_id, sizeof(job->machine_id), "%s", machine->id);
	service->jobs = job;
	service->job_count++;
	keep(service, job);
	if (action->at_once) {
		begin(job);
		return job;
	}
	*link = job;
	if (machine->queue == job && !machine->writing) {
		begin(job);
	} else {
		tell(service, job);
		checkpoint_give_way(machine);
	}
	return job;
}

/* ---- Those of an earlier vmms ---- */

static char *copy(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return strdup(text != NULL ? text : "");
}

static struct job *read_job(const char *path, uint64_t id)
{
	json_t *object = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
	const char *state = json_string_value(json_object_get(object, "state"));
	struct job *job = object != NULL ? calloc(1, sizeof(*job)) : NULL;
	const struct refusal interrupted = {
		.code = SERVICE_BAD_INTERRUPTED,
		.detail = "the service ended while this was being done",
		.remedy = "look at the machine's state, and ask again if need be"};
	json_t *machine_id = json_object_get(object, "machine-id");

	if (job == NULL) {
		json_decref(object);
		return NULL;
	}
	*job = (struct job){
		.id = id,
		.name = copy(object, "machine"),
		.what = copy(object, "what"),
		.user = copy(object, "user"),
		.state = JOB_FAILED,
		.error = json_incref(json_object_get(object, "error")),
		.began = (time_t)json_integer_value(json_object_get(object, "began")),
		.ended = (time_t)json_integer_value(json_object_get(object, "ended")),
	};
	CHECK(job->name != NULL && job->what != NULL && job->user != NULL);
	if (json_is_string(machine_id)) {
		snprintf(job->machine_id, sizeof(job->machine_id), "%s",
			 json_string_value(machine_id));
	}
	if (state != NULL && strcmp(state, states[JOB_DONE]) == 0) {
		job->state = JOB_DONE;
	} else if (state != NULL && strcmp(state, states[JOB_CANCELLED]) == 0) {
		job->state = JOB_CANCELLED;
	} else if (job->error == NULL) {
		job->error = refusal_object(&interrupted);
		job->ended = time(NULL);
	}
	json_decref(object);
	return job;
}

static void add(struct service *service, const char *name)
{
	char path[PATH_MAX], *rest;
	uint64_t id = strtoull(name, &rest, 10);
	struct job *job, **link = &service->jobs;

	if (*rest != '\0' || id == 0 || !job_path(service, id, path)) {
		return;
	}
	job = read_job(path, id);
	if (job == NULL) {
		(void)unlink(path);
		return;
	}
	while (*link != NULL && (*link)->id > id) {
		link = &(*link)->next;
	}
	job->next = *link;
	*link = job;
	service->job_count++;
	service->last_job = id > service->last_job ? id : service->last_job;
	keep(service, job);
}

bool job_scan(struct service *service)
{
	char path[PATH_MAX];
	const struct dirent *entry;
	DIR *folder;

	snprintf(path, sizeof(path), "%s/jobs", service->run);
	folder = mkdir(path, 0700) == 0 || errno == EEXIST ? opendir(path) : NULL;
	if (folder == NULL) {
		say("%s: %s", path, strerror(errno));
		return false;
	}
	while ((entry = readdir(folder)) != NULL) {
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9') {
			add(service, entry->d_name);
		}
	}
	closedir(folder);
	return true;
}
