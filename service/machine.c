/*
 * Machines: who they are, in which state, and their workers.
 *
 *                     start
 *   off, saved ---> starting ---> running <---> paused        by pausing and resuming
 *        ^                           | `--> stopping --> off
 *        `-------------- saving <----'------'
 *
 * While something is being done with a machine (action.c) its state is that action's; else it is
 * what the worker says, or what is on disk when there is none. A worker is there as long as its
 * process is: a pidfd says when it has ended.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hosted/clock.h"
#include "hosted/say.h"
#include "include/mgmt/control.h"
#include "service/service.h"

#define MEET_MS 50

const char *machine_state_name(enum machine_state state)
{
	static const char *const names[MACHINE_STATES] = {
		[MACHINE_OFF] = "off",           [MACHINE_STARTING] = "starting",
		[MACHINE_RUNNING] = "running",   [MACHINE_PAUSING] = "pausing",
		[MACHINE_PAUSED] = "paused",     [MACHINE_RESUMING] = "resuming",
		[MACHINE_SAVING] = "saving",     [MACHINE_SAVED] = "saved",
		[MACHINE_STOPPING] = "stopping",
	};

	return names[state];
}

/* By name, as lists are. */
static void insert(struct machine *machine)
{
	struct machine **link = &machine->service->machines;

	while (*link != NULL && strcmp((*link)->name, machine->name) < 0) {
		link = &(*link)->next;
	}
	machine->next = *link;
	*link = machine;
}

static void take_out(struct machine *machine)
{
	struct machine **link = &machine->service->machines;

	while (*link != machine) {
		link = &(*link)->next;
	}
	*link = machine->next;
}

void machine_sort(struct machine *machine)
{
	take_out(machine);
	insert(machine);
}

struct machine *machine_new(struct service *service, const char *name)
{
	struct machine *machine = calloc(1, sizeof(*machine));

	if (machine != NULL) {
		machine->name = strdup(name);
	}
	if (machine == NULL || machine->name == NULL) {
		free(machine);
		return NULL;
	}
	machine->service = service;
	machine->process.fd = -1;
	machine->since_ms = clock_ms();
	insert(machine);
	return machine;
}

void machine_free(struct machine *machine)
{
	take_out(machine);
	loop_stop_timer(machine->service, &machine->start_timer);
	loop_stop_timer(machine->service, &machine->gone_timer);
	loop_stop_timer(machine->service, &machine->kill_timer);
	loop_stop_timer(machine->service, &machine->next_timer);
	loop_stop_timer(machine->service, &machine->meet_timer);
	link_close(machine);
	console_close(machine);
	display_close(machine);
	move_close(machine);
	loop_close(machine->service, &machine->process);
	json_decref(machine->running);
	json_decref(machine->status);
	json_decref(machine->waits);
	json_decref(machine->points);
	settings_free(&machine->settings);
	free(machine->damage);
	free(machine->name);
	free(machine);
}

struct machine *machine_find(struct service *service, const char *name_or_id)
{
	struct machine *machine;

	for (machine = service->machines; machine != NULL; machine = machine->next) {
		if (strcmp(machine->name, name_or_id) == 0 ||
		    (machine->id[0] != '\0' && strcasecmp(machine->id, name_or_id) == 0)) {
			return machine;
		}
	}
	return NULL;
}

bool machine_path(const struct machine *machine, const char *file, char *path)
{
	int length = snprintf(path, PATH_MAX, "%s/%s%s%s", machine->service->store, machine->name,
			      *file != '\0' ? "/" : "", file);

	return length > 0 && length < PATH_MAX;
}

bool machine_run_path(const struct machine *machine, const char *end, char *path)
{
	int length = snprintf(path, PATH_MAX, "%s/%s.%s", machine->service->run, machine->id, end);

	return length > 0 && length < PATH_MAX;
}

void machine_set_state(struct machine *machine, enum machine_state state)
{
	if (machine->state == state) {
		return;
	}
	machine->state = state;
	machine->since_ms = clock_ms();
	events_emit(machine->service, "machine", machine_summary(machine));
}

static bool rename_state(const struct machine *machine, const char *from, const char *to)
{
	char old[PATH_MAX], new[PATH_MAX];

	return machine_path(machine, from, old) && machine_path(machine, to, new) &&
	       rename(old, new) == 0;
}

static bool has_state(const struct machine *machine)
{
	char path[PATH_MAX];

	return machine_path(machine, FILE_STATE, path) && access(path, F_OK) == 0;
}

/* One that was only to run: its disks stay. */
static void delete_now(struct timer *timer)
{
	struct machine *machine =
		(struct machine *)((char *)timer - offsetof(struct machine, gone_timer));
	struct service *service = machine->service;
	struct refusal why;
	bool kept;

	if (machine->writing) {
		loop_start_timer(service, timer, MEET_MS, delete_now);
		return;
	}
	if (!machine->settings.transient || machine->state != MACHINE_OFF || machine->worker != 0 ||
	    machine->queue != NULL) {
		return;
	}
	if (!store_delete(machine, STORE_KEEP, &kept, &why)) {
		say("%s", why.detail);
		return;
	}
	events_emit(service, "deleted",
		    json_pack("{s:s, s:s}", "name", machine->name, "id", machine->id));
	machine_free(machine);
}

void machine_settle(struct machine *machine)
{
	if (machine->worker == 0) {
		machine_set_state(machine, has_state(machine) ? MACHINE_SAVED : MACHINE_OFF);
		/* Not from within the end of what was done with it. */
		if (machine->settings.transient && !machine->meet_timer.armed) {
			loop_start_timer(machine->service, &machine->gone_timer, 0, delete_now);
		}
	} else if (machine->greeted) {
		machine_set_state(machine, machine->worker_state);
	} else {
		machine_set_state(machine, MACHINE_STARTING);
	}
}

static bool is_busy(const struct machine *machine)
{
	return job_running(machine, NULL) != NULL;
}

/* ---- The worker ---- */

/* Whether a host that goes down ended it, which starts it again. */
static bool is_host_stop(const struct machine *machine)
{
	const struct job *job = job_running(machine, NULL);

	return job != NULL && json_is_true(json_object_get(job->params, "host"));
}

static void ended(struct machine *machine)
{
	bool ran = machine->greeted;
	char path[PATH_MAX];
	struct job *job;

	link_close(machine);
	console_close(machine);
	display_close(machine);
	loop_close(machine->service, &machine->process);
	loop_stop_timer(machine->service, &machine->kill_timer);
	(void)waitpid(machine->worker, NULL, WNOHANG);
	machine->worker = 0;
	machine->greeted = false;
	machine->rests = false;
	if (machine_run_path(machine, "control", path)) {
		(void)unlink(path);
	}
	if (machine_run_path(machine, "display", path)) {
		(void)unlink(path);
	}
	functions_end(machine);
	change_ended(machine);
	if (machine->reason[0] == '\0') {
		snprintf(machine->reason, sizeof(machine->reason), "%s",
			 ran ? "worker-died" : "not-started");
	}
	if (strcmp(machine->reason, "saved") == 0) {
		(void)rename_state(machine, FILE_STATE_NEW, FILE_STATE);
	} else {
		(void)store_mark(machine, FILE_STATE_NEW, false);
	}
	if (!ran) {
		(void)rename_state(machine, FILE_STATE_USED, FILE_STATE);
	}
	if (!is_host_stop(machine)) {
		(void)store_mark(machine, FILE_RUNNING, false);
	}
	for (job = job_running(machine, NULL); job != NULL; job = job_running(machine, job)) {
		action_worker_gone(job);
	}
	machine_settle(machine);
	checkpoint_mend(machine); /* what could not be merged while it ran */
}

static void process_ready(struct source *source, uint32_t events)
{
	struct machine *machine =
		(struct machine *)((char *)source - offsetof(struct machine, process));

	(void)events;
	/* What it said last comes first. */
	link_drain(machine);
	ended(machine);
}

void machine_kill(struct machine *machine)
{
	if (machine->process.fd >= 0) {
		(void)pidfd_send_signal(machine->process.fd, SIGKILL, NULL, 0);
	}
}

bool machine_take_worker(struct machine *machine, pid_t worker, struct refusal *why)
{
	char path[PATH_MAX];
	int ret;

	machine->worker = worker;
	machine->greeted = false;
	machine->crashed = false;
	machine->reason[0] = '\0';
	machine->process = (struct source){pidfd_open(worker, 0), process_ready};
	ret = machine->process.fd < 0                       ? -errno
	      : !machine_run_path(machine, "control", path) ? -ENAMETOOLONG
	      : !loop_watch(machine->service, &machine->process, EPOLLIN)
		      ? -EIO
		      : link_open(machine, path);
	if (ret == 0) {
		return true;
	}
	/* One that cannot be led is not left alone with the machine's disks. */
	if (machine->process.fd < 0) {
		machine->worker = 0;
	}
	machine_kill(machine);
	return refuse(why, SERVICE_BAD_WORKER, "", "'%s': its worker cannot be reached: %s",
		      machine->name, strerror(-ret));
}

static void meet_again(struct timer *timer)
{
	machine_meet((struct machine *)((char *)timer - offsetof(struct machine, meet_timer)));
}

void machine_meet(struct machine *machine)
{
	struct refusal why;
	pid_t worker = 0;
	int ret;

	if (machine->id[0] == '\0' && !change_find_id(machine)) {
		return;
	}
	ret = start_take_lock(machine, &worker);
	if (ret == 1 && worker == 0) {
		loop_start_timer(machine->service, &machine->meet_timer, MEET_MS, meet_again);
	} else if (ret == 1) {
		change_met(machine);
		if (!machine_take_worker(machine, worker, &why)) {
			say("%s", why.detail);
		}
	} else if (ret == 0 && rename_state(machine, FILE_STATE_NEW, FILE_STATE)) {
		/* It was being saved when it was seen last. If that was not finished, no worker
		 * takes the file. */
		say("'%s' was being saved; its state may be damaged", machine->name);
	} else if (ret < 0) {
		say("'%s': its lock cannot be read: %s", machine->name, strerror(-ret));
	}
	machine_settle(machine);
	if (!machine->meet_timer.armed) {
		move_met(machine);
	}
}

static enum machine_state state_of(const char *word)
{
	static const struct {
		const char *word;
		enum machine_state state;
	} states[] = {
		{CONTROL_STATE_RUNNING, MACHINE_RUNNING},
		{CONTROL_STATE_PAUSING, MACHINE_PAUSING},
		{CONTROL_STATE_PAUSED, MACHINE_PAUSED},
		{CONTROL_STATE_STOPPING, MACHINE_STOPPING},
		{CONTROL_STATE_ENDED, MACHINE_STOPPING},
	};

	for (size_t i = 0; i < ARRAY_COUNT(states); i++) {
		if (word != NULL && strcmp(states[i].word, word) == 0) {
			return states[i].state;
		}
	}
	return MACHINE_RUNNING;
}

static void follow(struct machine *machine, const char *word)
{
	machine->worker_state = state_of(word);
	if (!is_busy(machine)) {
		machine_settle(machine);
	}
}

static void heard_status(struct machine *machine, void *user, const json_t *result,
			 const json_t *error)
{
	(void)user;
	if (error != NULL) {
		return;
	}
	machine->greeted = true;
	/* Before the job's end, which makes it the machine's: what is there is of its last
	 * worker. */
	machine->worker_state = state_of(json_string_value(json_object_get(result, "state")));
	machine->crashed = json_is_true(json_object_get(result, "crashed"));
	(void)store_mark(machine, FILE_STATE_USED, false);
	(void)store_mark(machine, FILE_RUNNING, true);
	console_open(machine);
	if (job_running(machine, NULL) != NULL) {
		action_worker_runs(job_running(machine, NULL));
	}
	follow(machine, json_string_value(json_object_get(result, "state")));
	functions_begin(machine, result);
	job_go_on(machine);
}

void machine_greeted(struct machine *machine)
{
	link_ask(machine, CONTROL_EVENTS, json_object(), -1, link_ignore, NULL);
	link_ask(machine, CONTROL_STATUS, json_object(), -1, heard_status, NULL);
}

static void end_of_worker_job(struct machine *machine, const json_t *worker_job)
{
	json_int_t id = json_integer_value(json_object_get(worker_job, "id"));
	struct job *job;

	for (job = machine->service->jobs; job != NULL; job = job->next) {
		if (job->machine == machine && job->state == JOB_RUNNING && job->worker_job == id &&
		    id != 0) {
			action_worker_job(job, worker_job);
			return;
		}
	}
}

static void heard_jobs(struct machine *machine, void *user, const json_t *result,
		       const json_t *error)
{
	const json_t *job;
	size_t i;

	(void)user;
	(void)error;
	json_array_foreach(json_object_get(result, "jobs"), i, job)
	{
		end_of_worker_job(machine, job);
	}
}

void machine_ask_jobs(struct machine *machine)
{
	link_ask(machine, CONTROL_JOBS, json_object(), -1, heard_jobs, NULL);
}

static void heard_devices(struct machine *machine, void *user, const json_t *status,
			  const json_t *error)
{
	(void)user;
	if (error == NULL) {
		functions_heard(machine, status);
	}
}

void machine_event(struct machine *machine, const json_t *params)
{
	const char *name = json_string_value(json_object_get(params, "event"));
	const char *reason;

	if (json_object_get(params, "lost") != NULL) {
		machine_ask_jobs(machine);
	}
	if (name == NULL) {
		return;
	}
	if (strcmp(name, CONTROL_ON_STATE) == 0) {
		reason = json_string_value(json_object_get(params, "reason"));
		if (reason != NULL) {
			snprintf(machine->reason, sizeof(machine->reason), "%s", reason);
		}
		follow(machine, json_string_value(json_object_get(params, "state")));
	} else if (strcmp(name, CONTROL_ON_CRASHED) == 0) {
		machine->crashed = true;
		events_emit(machine->service, "machine", machine_summary(machine));
	} else if (strcmp(name, CONTROL_ON_DEVICES) == 0) {
		link_ask(machine, CONTROL_STATUS, json_object(), -1, heard_devices, NULL);
	} else if (strcmp(name, CONTROL_ON_JOB) == 0 || strcmp(name, CONTROL_ON_PROGRESS) == 0) {
		end_of_worker_job(machine, json_object_get(params, "job"));
		checkpoint_heard(machine, json_object_get(params, "job"));
	}
}

/* ---- What others see ---- */

/* Of the worker's process, user and system, guests included; 0: there is none. */
double machine_cpu_seconds(const struct machine *machine)
{
	pid_t worker = machine->worker;
	unsigned long long user = 0, kernel = 0;
	char path[40], text[512];
	const char *end;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)worker);
	file = worker != 0 ? fopen(path, "re") : NULL;
	if (file == NULL) {
		return 0;
	}
	end = fgets(text, sizeof(text), file) != NULL ? strrchr(text, ')') : NULL;
	fclose(file);
	if (end != NULL) {
		(void)sscanf(end, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user,
			     &kernel);
	}
	return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

json_t *machine_summary(const struct machine *machine)
{
	const struct settings *settings = &machine->settings;
	json_t *object =
		json_pack("{s:s, s:s, s:s, s:I, s:s}", "name", machine->name, "id", machine->id,
			  "state", machine_state_name(machine->state), "state-seconds",
			  (json_int_t)((clock_ms() - machine->since_ms) / 1000), "revision",
			  machine->revision);

	if (machine->damage != NULL) {
		json_object_set_new(object, "damage", json_string(machine->damage));
	}
	if (machine->reason[0] != '\0') {
		json_object_set_new(object, "ended-by", json_string(machine->reason));
	}
	if (machine->crashed) {
		json_object_set_new(object, "crashed", json_true());
	}
	if (json_array_size(machine->waits) != 0) {
		json_object_set(object, "at-next-start", machine->waits);
	}
	if (is_busy(machine)) {
		json_object_set_new(object, "job",
				    json_integer((json_int_t)job_running(machine, NULL)->id));
	}
	if (machine->worker != 0) {
		json_object_set_new(object, "cpu-seconds", json_real(machine_cpu_seconds(machine)));
	}
	if (settings->document != NULL) {
		static const char *const shown[] = {"generation", "memory", "vps",
						    "notes",      "tags",   "transient"};

		for (size_t i = 0; i < ARRAY_COUNT(shown); i++) {
			json_t *value = json_object_get(settings->document, shown[i]);

			if (value != NULL) {
				json_object_set(object, shown[i], value);
			}
		}
	}
	return object;
}

/* ---- After a boot ---- */

static void start_now(struct timer *timer)
{
	struct machine *machine =
		(struct machine *)((char *)timer - offsetof(struct machine, start_timer));
	struct refusal why;

	if (job_new(machine, action_find("start"), json_object(), "(start of the host)", &why) ==
	    NULL) {
		say("%s", why.detail);
	}
}

void machine_start_all(struct service *service)
{
	struct machine *machine;
	char path[PATH_MAX];

	for (machine = service->machines; machine != NULL; machine = machine->next) {
		const struct settings *settings = &machine->settings;
		bool ran = machine_path(machine, FILE_RUNNING, path) && access(path, F_OK) == 0;

		if (settings->document != NULL && machine->worker == 0 &&
		    (settings->start == START_ALWAYS ||
		     (settings->start == START_IF_RUNNING && ran))) {
			loop_start_timer(service, &machine->start_timer,
					 settings->start_delay * 1000, start_now);
		}
	}
}
