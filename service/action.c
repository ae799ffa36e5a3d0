/*
 * What can be done with a machine: the table at the end, and how each of it goes. The worker does
 * the work; a step that takes its time is one of the worker's jobs, whose end comes as an event.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "include/mgmt/control.h"
#include "service/service.h"

#define OFF_MS 10000 /* a worker that was turned off has this long to end by itself */

static void *token(const struct job *job)
{
	return (void *)(uintptr_t)job->id;
}

/* The job that an answer is for; NULL: it has ended. */
static struct job *job_of(struct machine *machine, const void *user)
{
	struct job *job = job_find(machine->service, (uint64_t)(uintptr_t)user);

	return job != NULL && job->state == JOB_RUNNING ? job : NULL;
}

/* By what the worker says: "error" of an answer or of one of its jobs. */
static void fail(struct job *job, const json_t *error)
{
	const char *message = json_string_value(json_object_get(error, "message")),
		   *remedy = json_string_value(
			   json_object_get(json_object_get(error, "data"), "remedy"));
	struct refusal why;

	refuse(&why, SERVICE_BAD_WORKER, remedy != NULL ? remedy : "", "'%s': %s", job->name,
	       message != NULL ? message : "the worker refuses");
	job_fail(job, &why);
}

static void begun(struct machine *machine, void *user, const json_t *result, const json_t *error)
{
	struct job *job = job_of(machine, user);

	if (job == NULL || machine->link == NULL) {
		return; /* the end of the process says more */
	}
	if (error != NULL) {
		fail(job, error);
		return;
	}
	job->worker_job = json_integer_value(json_object_get(json_object_get(result, "job"), "id"));
	if (job->worker_job == 0) {
		job_done(job);
	}
}

/* Asks for one of the worker's jobs, or for what is done when it is answered. */
static void ask(struct job *job, const char *method, json_t *params, int fd)
{
	job->worker_job = 0;
	link_ask(job->machine, method, params, fd, begun, token(job));
}

/* ---- Start ---- */

static void start(struct job *job)
{
	struct refusal why;

	if (!start_worker(job->machine, NULL, &why)) {
		job_fail(job, &why);
	}
}

static const struct action_own *own_of(const struct job *job)
{
	static const struct action_own none;

	return job->action->own != NULL ? job->action->own : &none;
}

void action_worker_runs(struct job *job)
{
	if (own_of(job)->worker_runs != NULL) {
		own_of(job)->worker_runs(job);
	} else if (job->action->begin == start) {
		job_done(job);
	}
}

/* ---- Ends ---- */

static void ask_guest(struct job *job, bool again)
{
	bool force = json_is_true(json_object_get(job->params, "force"));

	job_step(job, "the guest shuts down");
	ask(job, CONTROL_SHUTDOWN, json_pack("{s:b, s:b}", "force", force, "restart", again), -1);
}

static void shut_down(struct job *job)
{
	ask_guest(job, false);
}

static void restart(struct job *job)
{
	ask_guest(job, true);
}

static void off_late(struct timer *timer)
{
	machine_kill((struct machine *)((char *)timer - offsetof(struct machine, kill_timer)));
}

static void turn_off(struct job *job)
{
	struct machine *machine = job->machine;

	link_ask(machine, CONTROL_OFF, json_object(), -1, link_ignore, NULL);
	loop_start_timer(machine->service, &machine->kill_timer, OFF_MS, off_late);
}

static void not_ended(struct job *job)
{
	struct refusal why;

	refuse(&why, SERVICE_BAD_WORKER, "", "'%s' ended meanwhile (%s)", job->name,
	       job->machine->reason);
	job_fail(job, &why);
}

static void not_started(struct job *job)
{
	struct refusal why;
	char words[400];

	start_last_words(job->machine, words, sizeof(words));
	refuse(&why, SERVICE_BAD_WORKER, "", "'%s' did not start%s%s", job->name,
	       words[0] != '\0' ? ": " : "; its worker said nothing", words);
	job_fail(job, &why);
}

/* ---- Save ---- */

static void write_state(struct job *job)
{
	char path[PATH_MAX];
	struct refusal why;
	int fd;

	if (!machine_path(job->machine, FILE_STATE_NEW, path)) {
		path[0] = '\0';
	}
	(void)unlink(path);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0) {
		refuse(&why, SERVICE_BAD_IO, "", "'%s': %s cannot be written: %s", job->name,
		       FILE_STATE, strerror(errno));
		link_ask(job->machine, CONTROL_RESUME, json_object(), -1, link_ignore, NULL);
		job_fail(job, &why);
		return;
	}
	job_step(job, "writing its state");
	ask(job, CONTROL_SAVE, json_object(), fd);
}

static void pause_to_save(struct job *job)
{
	job_step(job, "pausing");
	ask(job, CONTROL_PAUSE, json_object(), -1);
}

static void save(struct job *job)
{
	if (job->machine->worker_state == MACHINE_PAUSED) {
		write_state(job);
	} else if (!functions_take(job, pause_to_save)) {
		pause_to_save(job);
	}
}

static bool is_writing(const struct job *job)
{
	return strcmp(job->step, "writing its state") == 0;
}

/* ---- The rest ---- */

static void ask_plainly(struct job *job)
{
	ask(job, job->action->method, json_object(), -1);
}

static void discard(struct job *job)
{
	struct machine *machine = job->machine;
	struct refusal why;

	if (store_mark(machine, FILE_STATE, false)) {
		job_done(job);
		checkpoint_mend(machine); /* it is off now, and so are its undo disks */
		return;
	}
	refuse(&why, SERVICE_BAD_IO, "", "'%s': %s: %s", job->name, FILE_STATE, strerror(errno));
	job_fail(job, &why);
}

/* ---- What the worker says ---- */

static void progress(struct job *job, const json_t *worker_job)
{
	job->done = (uint64_t)json_integer_value(json_object_get(worker_job, "done"));
	job->total = (uint64_t)json_integer_value(json_object_get(worker_job, "total"));
	events_emit(job->machine->service, "job", job_object(job));
}

static void worker_job_done(struct job *job)
{
	if (job->action->begin == save && !is_writing(job)) {
		write_state(job);
	} else if (job->action->begin != save && job->action->begin != shut_down) {
		job_done(job);
	} /* else the worker ends now, and with it the job */
}

void action_worker_job(struct job *job, const json_t *worker_job)
{
	const char *state = json_string_value(json_object_get(worker_job, "state"));

	if (state == NULL || strcmp(state, CONTROL_STATE_RUNNING) == 0 ||
	    strcmp(state, CONTROL_STATE_QUEUED) == 0) {
		progress(job, worker_job);
		return;
	}
	job->worker_job = 0;
	if (own_of(job)->worker_job != NULL) {
		own_of(job)->worker_job(job, worker_job);
		return;
	}
	if (strcmp(state, CONTROL_STATE_DONE) == 0) {
		worker_job_done(job);
		return;
	}
	/* What could not be saved goes on. */
	if (job->action->begin == save) {
		link_ask(job->machine, CONTROL_RESUME, json_object(), -1, link_ignore, NULL);
	}
	if (strcmp(state, CONTROL_STATE_CANCELLED) == 0) {
		job_cancelled(job);
	} else {
		fail(job, json_object_get(worker_job, "error"));
	}
}

void action_worker_gone(struct job *job)
{
	const char *reason = job->machine->reason;

	if (own_of(job)->worker_gone != NULL) {
		own_of(job)->worker_gone(job);
	} else if (job->action->begin == start) {
		not_started(job);
	} else if (job->action->begin == turn_off ||
		   (job->action->begin == shut_down && strcmp(reason, "power-off") == 0) ||
		   (job->action->begin == save && strcmp(reason, "saved") == 0)) {
		job_done(job);
	} else {
		not_ended(job);
	}
}

bool action_cancel(struct job *job)
{
	if (own_of(job)->cancel != NULL) {
		return own_of(job)->cancel(job);
	}
	if (job->worker_job == 0) {
		return false;
	}
	/* Its end comes as an event, or it does not end by this. */
	link_ask(job->machine, CONTROL_CANCEL, json_pack("{s:I}", "job", job->worker_job), -1,
		 link_ignore, NULL);
	return true;
}

#define ON(state) (1u << MACHINE_##state)
#define ALIVE                                                                                      \
	(ON(STARTING) | ON(RUNNING) | ON(PAUSING) | ON(PAUSED) | ON(RESUMING) | ON(SAVING) |       \
	 ON(STOPPING))
#define AS_IT_IS MACHINE_STATES /* the state stays */

/* clang-format off */
static const struct action actions[] = {
	/* name             "cannot be ..."           from                      meanwhile          at once, begin, and if that is plain what it asks; nothing of its own */
	{"start",           "started",                ON(OFF) | ON(SAVED),      MACHINE_STARTING,  false, start, NULL, NULL},
	{"shutdown",        "shut down",              ON(RUNNING),              MACHINE_STOPPING,  false, shut_down, NULL, NULL},
	{"restart",         "restarted",              ON(RUNNING),              AS_IT_IS,          false, restart, NULL, NULL},
	{"turn-off",        "turned off",             ALIVE,                    MACHINE_STOPPING,  true,  turn_off, NULL, NULL},
	{"reset",           "reset",                  ON(RUNNING) | ON(PAUSED), AS_IT_IS,          false, ask_plainly, CONTROL_RESET, NULL},
	{"pause",           "paused",                 ON(RUNNING),              MACHINE_PAUSING,   false, ask_plainly, CONTROL_PAUSE, NULL},
	{"resume",          "resumed",                ON(PAUSED),               MACHINE_RESUMING,  false, ask_plainly, CONTROL_RESUME, NULL},
	{"save",            "saved",                  ON(RUNNING) | ON(PAUSED), MACHINE_SAVING,    false, save, NULL, NULL},
	{"discard-state",   "freed of a saved state", ON(SAVED),                AS_IT_IS,          false, discard, NULL, NULL},
	{"power-button",    "told of its button",     ON(RUNNING),              AS_IT_IS,          false, ask_plainly, CONTROL_BUTTON, NULL},
};
/* clang-format on */

const struct action *action_at(unsigned int index)
{
	return index < ARRAY_COUNT(actions) ? &actions[index] : NULL;
}

const struct action *action_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_COUNT(actions); i++) {
		if (strcmp(actions[i].name, name) == 0) {
			return &actions[i];
		}
	}
	return NULL;
}
