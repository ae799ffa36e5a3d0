/* See job.h. */
#include "worker/job.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "hosted/clock.h"
#include "lib/check.h"

int jobs_create(struct jobs *jobs, void (*ended)(void *user, const struct job *job), void *user)
{
	*jobs = (struct jobs){.ended = ended, .user = user};
	jobs->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return jobs->event >= 0 ? 0 : -errno;
}

bool job_has_ended(const struct job *job)
{
	return job->state >= JOB_DONE;
}

const char *job_state_name(const struct job *job)
{
	static const char *const names[] = {
		[JOB_QUEUED] = CONTROL_STATE_QUEUED,       [JOB_RUNNING] = CONTROL_STATE_RUNNING,
		[JOB_DONE] = CONTROL_STATE_DONE,           [JOB_FAILED] = CONTROL_STATE_FAILED,
		[JOB_CANCELLED] = CONTROL_STATE_CANCELLED,
	};

	return names[job->state];
}

static bool has_thread(const struct job *job)
{
	return job->work != NULL;
}

static unsigned int count_of(const struct jobs *jobs, enum job_state first, enum job_state last)
{
	unsigned int i, count = 0;

	for (i = 0; i < CONTROL_JOBS_MAX; i++) {
		count += jobs->all[i].state >= first && jobs->all[i].state <= last;
	}
	return count;
}

/* Ids only grow, so the oldest has the least. */
static struct job *oldest(struct jobs *jobs, enum job_state first, enum job_state last)
{
	struct job *found = NULL;
	unsigned int i;

	for (i = 0; i < CONTROL_JOBS_MAX; i++) {
		struct job *job = &jobs->all[i];

		if (job->state >= first && job->state <= last &&
		    (found == NULL || job->id < found->id)) {
			found = job;
		}
	}
	return found;
}

/* Some of those that have ended are kept for who asks later; the oldest of them make room. */
struct job *job_new(struct jobs *jobs, const char *what, enum job_of of, int number)
{
	struct job *job;

	while (count_of(jobs, JOB_DONE, JOB_CANCELLED) > CONTROL_JOBS_KEPT) {
		oldest(jobs, JOB_DONE, JOB_CANCELLED)->state = JOB_NONE;
	}
	job = oldest(jobs, JOB_NONE, JOB_NONE);
	if (job == NULL) {
		return NULL;
	}
	memset(job, 0, sizeof(*job));
	job->id = ++jobs->last_id;
	job->what = what;
	job->of = of;
	job->number = number;
	job->jobs = jobs;
	job->step = "";
	return job;
}

/* An answer goes with the event that tells of the end, and nowhere else. */
static void end(struct job *job, enum job_state state)
{
	job->state = state;
	if (job->finish != NULL) {
		job->finish(job);
	}
	job->subject = NULL;
	job->jobs->ended(job->jobs->user, job);
	if (job->answer != NULL) {
		job->drop(job->answer);
		job->answer = NULL;
	}
}

/* On the job's own thread. The main loop is woken to see what has become of it. */
static void *run(void *argument)
{
	struct job *job = argument;

	job->result = job->work(job);
	atomic_store(&job->over, true);
	eventfd_write(job->jobs->event, 1);
	return NULL;
}

static unsigned int count_threads(const struct jobs *jobs)
{
	unsigned int i, count = 0;

	for (i = 0; i < CONTROL_JOBS_MAX; i++) {
		count += jobs->all[i].state == JOB_RUNNING && has_thread(&jobs->all[i]) &&
			 !jobs->all[i].joined;
	}
	return count;
}

/* As many as may run at once; the others follow in the order in which they came. */
static void start_queued(struct jobs *jobs)
{
	struct job *job;
	int ret;

	while (!jobs->ending && count_threads(jobs) < CONTROL_JOBS_RUNNING) {
		job = oldest(jobs, JOB_QUEUED, JOB_QUEUED);
		if (job == NULL) {
			return;
		}
		job->state = JOB_RUNNING;
		ret = pthread_create(&job->thread, NULL, run, job);
		if (ret != 0) {
			job->result = -ret;
			snprintf(job->error.text, sizeof(job->error.text), "no thread for it: %s",
				 strerror(ret));
			end(job, JOB_FAILED);
		}
	}
}

void job_start(struct job *job)
{
	job->state = JOB_QUEUED;
	start_queued(job->jobs);
}

static void end_by_result(struct job *job)
{
	/* One that was cancelled may have failed by itself as well, which nobody wants to know. */
	bool cancelled = job->result == -ECANCELED || (job->result != 0 && job_cancelled(job));

	end(job, cancelled ? JOB_CANCELLED : job->result != 0 ? JOB_FAILED : JOB_DONE);
}

void job_begin(struct job *job)
{
	job->state = JOB_RUNNING;
}

void job_end(struct job *job, int result)
{
	job->result = result;
	end_by_result(job);
}

/*
 * The thread has ended. What the job has left to do on the main thread may take several turns: each
 * time that it is woken it is asked again.
 */
static void take_in(struct job *job)
{
	if (!job->joined) {
		pthread_join(job->thread, NULL);
		job->joined = true;
	}
	if (job->result != 0 || job->settle == NULL || job->settle(job)) {
		end_by_result(job);
	}
}

static void take_in_all(struct jobs *jobs)
{
	unsigned int i;

	for (i = 0; i < CONTROL_JOBS_MAX; i++) {
		if (jobs->all[i].state == JOB_RUNNING && atomic_load(&jobs->all[i].over)) {
			take_in(&jobs->all[i]);
		}
	}
}

void job_wake(struct job *job)
{
	eventfd_write(job->jobs->event, 1);
}

void jobs_serve(struct jobs *jobs)
{
	uint64_t count;

	eventfd_read(jobs->event, &count);
	take_in_all(jobs);
	start_queued(jobs);
}

struct job *job_find(struct jobs *jobs, uint32_t id)
{
	unsigned int i;

	for (i = 0; i < CONTROL_JOBS_MAX; i++) {
		if (jobs->all[i].state != JOB_NONE && jobs->all[i].id == id) {
			return &jobs->all[i];
		}
	}
	return NULL;
}

struct job *job_on(struct jobs *jobs, enum job_of of, int number)
{
	unsigned int i;

	for (i = 0; i < CONTROL_JOBS_MAX; i++) {
		struct job *job = &jobs->all[i];

		if (job->of == of && job->number == number &&
		    (job->state == JOB_QUEUED || job->state == JOB_RUNNING)) {
			return job;
		}
	}
	return NULL;
}

/*
 * The turn is taken once: by who cancels, or by the job when it comes to what cannot be taken back.
 */
bool job_cancel(struct job *job)
{
	enum job_turn turn = JOB_MAY_CANCEL;

	if (job_has_ended(job)) {
		return false;
	}
	if (!atomic_compare_exchange_strong(&job->turn, &turn, JOB_IS_CANCELLED)) {
		return turn == JOB_IS_CANCELLED;
	}
	if (job->state == JOB_QUEUED || !has_thread(job)) {
		end(job, JOB_CANCELLED);
	} else if (job->joined) {
		job_wake(job);
	}
	return true;
}

bool job_commit(struct job *job)
{
	enum job_turn turn = JOB_MAY_CANCEL;

	return atomic_compare_exchange_strong(&job->turn, &turn, JOB_IS_COMMITTED);
}

void job_step(struct job *job, const char *step)
{
	atomic_store(&job->step, step);
}

bool job_progress(struct job *job, uint64_t done)
{
	unsigned int before = job->told;

	job->done = done;
	/* Of a file as long as can be, times 100 is too much. */
	job->told = (unsigned int)(job->total < 100 ? 0 : done / (job->total / 100));
	return job->told != before;
}

bool job_cancelled(const struct job *job)
{
	return atomic_load(&job->turn) == JOB_IS_CANCELLED;
}

/* Whether one runs that the end has to wait for, or may wait for a while. */
static bool any_runs(const struct jobs *jobs, bool committed)
{
	unsigned int i;

	for (i = 0; i < CONTROL_JOBS_MAX; i++) {
		if (jobs->all[i].state == JOB_RUNNING &&
		    (!committed || jobs->all[i].waited ||
		     atomic_load(&jobs->all[i].turn) == JOB_IS_COMMITTED)) {
			return true;
		}
	}
	return false;
}

/* No job begins any more, and all that can still be cancelled are. */
void jobs_begin_end(struct jobs *jobs)
{
	unsigned int i;

	jobs->ending = true;
	jobs->leave_at_ms = clock_ms() + JOBS_LEAVE_MS;
	for (i = 0; i < CONTROL_JOBS_MAX; i++) {
		struct job *job = &jobs->all[i];

		if (job->state != JOB_NONE && !job_cancel(job) && job->state == JOB_RUNNING &&
		    !has_thread(job)) {
			job_end(job, -ECANCELED);
		}
	}
	take_in_all(jobs);
}

/* One that cannot be taken back is waited for, however long it is; any other for a while. */
bool jobs_have_ended(struct jobs *jobs)
{
	return !any_runs(jobs, true) && (!any_runs(jobs, false) || clock_ms() >= jobs->leave_at_ms);
}

bool jobs_all_ended(struct jobs *jobs)
{
	return !any_runs(jobs, false);
}
