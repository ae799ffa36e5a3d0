/*
 * Files for the guest: a job's thread reads the file, which may take as long as it likes, block by
 * block; the main thread gives the guest pieces of the block that is there (vsp/integration/).
 *
 *   main thread: wants a block --> the job's thread reads it --> control_notify() --> main thread: copies_serve()
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hosted/clock.h"
#include "worker/control.h"

#define BLOCK_BYTES   65536u
#define LOOK_EVERY_NS 100000000 /* whether it was cancelled */

struct copy {
	struct machine *machine;
	struct job *job;
	int fd;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t changed;
	bool wanted; /* a block from `at` on is: `bytes` and `count` are the job's thread's */
	uint64_t at;
	size_t count;
	bool there;  /* it was read */
	bool broken; /* it cannot be read */
	bool over;   /* the guest has it, or will not: */
	int result;
	const char *why;
	uint8_t bytes[BLOCK_BYTES];
};

/* ---- The job's thread ---- */

/* As much as there is. */
static bool read_block(struct copy *copy, uint64_t at)
{
	ssize_t part = 1;

	copy->count = 0;
	while (copy->count < BLOCK_BYTES && part > 0) {
		part = pread(copy->fd, copy->bytes + copy->count, BLOCK_BYTES - copy->count,
			     (off_t)(at + copy->count));
		copy->count += part > 0 ? (size_t)part : 0;
	}
	return part >= 0;
}

static int copy_work(struct job *job)
{
	struct copy *copy = job->subject;
	uint64_t at;
	bool good;
	int ret;

	pthread_mutex_lock(&copy->lock);
	while (!copy->over && !job_cancelled(job)) {
		if (!copy->wanted) {
			clock_wait(&copy->changed, &copy->lock, LOOK_EVERY_NS);
			continue;
		}
		at = copy->at;
		pthread_mutex_unlock(&copy->lock);
		good = read_block(copy, at);
		pthread_mutex_lock(&copy->lock);
		copy->broken = !good;
		copy->there = true;
		copy->wanted = false;
		control_notify(copy->machine);
	}
	ret = copy->over ? copy->result : -ECANCELED;
	if (ret != 0 && copy->over) {
		snprintf(job->error.text, sizeof(job->error.text), "%s", copy->why);
	}
	pthread_mutex_unlock(&copy->lock);
	return ret;
}

/* ---- The main thread ---- */

static int copy_read(void *user, uint64_t offset, void *to, uint32_t bytes)
{
	struct copy *copy = user;
	int ret = -EAGAIN;

	pthread_mutex_lock(&copy->lock);
	if (!copy->wanted && offset >= copy->at && offset + bytes <= copy->at + copy->count) {
		memcpy(to, copy->bytes + (offset - copy->at), bytes);
		ret = 0;
	} else if (!copy->wanted && (copy->broken || (copy->there && copy->at == offset))) {
		ret = -EIO; /* or it has become shorter */
	} else if (!copy->wanted) {
		copy->wanted = true;
		copy->at = offset;
		pthread_cond_signal(&copy->changed);
	}
	pthread_mutex_unlock(&copy->lock);
	return ret;
}

static void copy_progress(void *user, uint64_t bytes)
{
	struct copy *copy = user;

	if (job_progress(copy->job, bytes)) {
		control_progress(copy->machine, copy->job);
	}
}

static void copy_done(void *user, int ret, const char *why)
{
	struct copy *copy = user;

	pthread_mutex_lock(&copy->lock);
	copy->over = true;
	copy->result = ret == 0 || ret == -EIO ? ret : -EREMOTEIO;
	copy->why = why;
	pthread_cond_signal(&copy->changed);
	pthread_mutex_unlock(&copy->lock);
}

static void copy_free(struct copy *copy)
{
	pthread_cond_destroy(&copy->changed);
	pthread_mutex_destroy(&copy->lock);
	free(copy);
}

static void copy_finish(struct job *job)
{
	struct copy *copy = job->subject;

	if (!copy->over) {
		integration_copy_forget(copy->machine->integration);
	}
	close(copy->fd);
	copy_free(copy);
}

int copies_prepare(struct machine *machine, struct job *job, int fd, const char *path,
		   unsigned int flags)
{
	struct integration_copy what = {.path = path,
					.flags = flags,
					.read = copy_read,
					.progress = copy_progress,
					.done = copy_done};
	struct copy *copy;
	struct stat file;
	int ret;

	if (fstat(fd, &file) != 0 || !S_ISREG(file.st_mode)) {
		return -ENOTSUP;
	}
	copy = calloc(1, sizeof(*copy));
	if (copy == NULL) {
		return -ENOMEM;
	}
	copy->machine = machine;
	copy->job = job;
	copy->fd = fd;
	pthread_mutex_init(&copy->lock, NULL);
	pthread_cond_init(&copy->changed, NULL);
	what.size = (uint64_t)file.st_size;
	what.user = copy;
	ret = integration_copy(machine->integration, &what);
	if (ret != 0) {
		copy_free(copy);
		return ret;
	}
	job->work = copy_work;
	job->finish = copy_finish;
	job->subject = copy;
	job->total = what.size;
	job_step(job, "the guest writes the file");
	return 0;
}

void copies_serve(struct machine *machine)
{
	integration_copy_ready(machine->integration);
}
