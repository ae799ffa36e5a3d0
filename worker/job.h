/*
 * What may take long: done by a thread of its own, while the main thread serves everybody else.
 * docs/design/control.md.
 *
 *   queued ---> running ---> done | failed     by what work() returns
 *      |           `-------> cancelled         where it was cancelled before it began, or before job_commit()
 *      `-------------------> cancelled
 *
 * All calls are the main thread's but job_commit(), job_step() and job_cancelled(), which are for
 * work(). A job is the list's, and is known by its id; a pointer to one is good until the next
 * job_new().
 */
#ifndef WORKER_JOB_H
#define WORKER_JOB_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "disk/disk.h"
#include "include/mgmt/control.h"

enum job_state { JOB_NONE, JOB_QUEUED, JOB_RUNNING, JOB_DONE, JOB_FAILED, JOB_CANCELLED };

enum job_turn { JOB_MAY_CANCEL, JOB_IS_CANCELLED, JOB_IS_COMMITTED };

enum job_of { JOB_OF_NOTHING, JOB_OF_DISK, JOB_OF_ADAPTER, JOB_OF_DEVICE };

/* A letter as in machine.h; [J] the job's thread while it runs. */
struct job {
	uint32_t id;          /* [M] */
	const char *what;     /* [M] */
	enum job_of of;       /* [M] what it works on */
	int number;           /* [M] ... and which; -1: nothing */
	enum job_state state; /* [M] */
	/* [J] 0 or -errno, and then `error` says why. NULL: no thread, see job_begin(). */
	int (*work)(struct job *job);
	/*
	 * What the main thread has to wait for when work() has returned 0; NULL: nothing. False:
	 * not yet, it is asked again by each jobs_serve() (job_wake(), or a cancel). True: `result`
	 * is set.
	 */
	bool (*settle)(struct job *job);
	/* The main thread's last word: takes in what was done, and frees the subject. Also for a
	 * job that never ran. */
	void (*finish)(struct job *job);
	void *subject;
	/* [M] What was asked for, for who is told of the end; dropped after that. NULL: nothing. */
	void *answer;
	void (*drop)(void *answer);
	_Atomic(const char *) step;  /* [a] a text that stays */
	_Atomic(enum job_turn) turn; /* [a] */
	/* Of how much so much is done, in bytes; job_progress(). `total` 0: nobody knows. */
	uint64_t total, done; /* [M] */
	unsigned int told;    /* [M] hundredths */
	atomic_bool over;     /* [a] work() has returned */
	struct jobs *jobs;
	pthread_t thread; /* [M] */
	bool joined;      /* [M] the thread has ended */
	bool waited; /* [M] the end waits for it although it is cancelled: it uses what is closed then */
	int result;              /* [J], then [M] */
	struct disk_error error; /* [J], then [M] */
};

struct jobs {
	int event; /* an eventfd: something for jobs_serve() */
	uint32_t last_id;
	bool ending;
	uint64_t leave_at_ms; /* CLOCK_MONOTONIC; while ending */
	void (*ended)(void *user,
		      const struct job *job); /* called from jobs_serve() and job_cancel() */
	void *user;
	struct job all[CONTROL_JOBS_MAX];
};

/* 0 or -errno. */
int jobs_create(struct jobs *jobs, void (*ended)(void *user, const struct job *job), void *user);
/*
 * The end: what is queued is dropped, what may be cancelled is. True of jobs_have_ended(), which is
 * asked after each jobs_serve(), and every now and then: what is committed, or `waited`, has ended,
 * and the others have had JOBS_LEAVE_MS to come to their next step. None begins any more.
 */
#define JOBS_LEAVE_MS 2000
void jobs_begin_end(struct jobs *jobs);
bool jobs_have_ended(struct jobs *jobs);
/* False: a job's thread goes on, and touches nothing but the job's own. */
bool jobs_all_ended(struct jobs *jobs);

/* NULL: as many as there may be have not ended. To be filled in, and given to job_start(). */
struct job *job_new(struct jobs *jobs, const char *what, enum job_of of, int number);
/* Runs it, now or when others have ended. */
void job_start(struct job *job);
/*
 * Instead, for one that the main thread itself brings to its end, by job_end(): it runs at once,
 * and no other waits for it. When it is cancelled, finish() is called at once.
 */
void job_begin(struct job *job);
void job_end(struct job *job, int result);
/* There may be an end to what settle() waits for. */
void job_wake(struct job *job);
/* The eventfd was signalled: jobs that are over end, others begin. */
void jobs_serve(struct jobs *jobs);

/* Main thread. True: a hundredth more is done, which is to be told. */
bool job_progress(struct job *job, uint64_t done);

struct job *job_find(struct jobs *jobs, uint32_t id);
/* The one that works on this disk or adapter; NULL: none. */
struct job *job_on(struct jobs *jobs, enum job_of of, int number);
bool job_has_ended(const struct job *job);
const char *job_state_name(const struct job *job);
/* False: it has ended, or gone so far that it goes on to its end. */
bool job_cancel(struct job *job);

/* From here on it is not cancelled. False: it has been; work() undoes what it has done and
 * returns. */
bool job_commit(struct job *job);
void job_step(struct job *job, const char *step);
bool job_cancelled(const struct job *job);

#endif
