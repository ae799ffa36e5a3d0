/*
 * Merging, and copying into a mirror, while the machine runs: a job of one disk. The library does
 * it beside the guest's requests; the worker, which can open no name, is given the files. It may be
 * cancelled until the chain is about to change, or the mirror is in step, and then the machine's
 * end waits for it.
 */
#include "worker/merge.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk/disk.h"
#include "worker/control.h"
#include "worker/job.h"
#include "worker/machine.h"

/* The subject of the job. */
struct merge {
	struct machine *machine;
	struct disk_place *place; /* [M] */
	struct disk *disk;
	struct disk_merge_files files;
	char *name, *absolute, *relative;
	bool top;
	int fds[CONTROL_FILES_MAX]; /* of a mirror */
	unsigned int fd_count;
	_Atomic uint64_t done; /* bytes */
	uint64_t told;         /* [J] */
};

static void release(struct merge *merge)
{
	const int fds[] = {merge->files.file, merge->files.parent, merge->files.child};

	for (unsigned int i = 0; i < ARRAY_COUNT(fds); i++) {
		if (fds[i] >= 0) {
			close(fds[i]);
		}
	}
	for (unsigned int i = 0; i < merge->fd_count; i++) {
		if (merge->fds[i] >= 0) {
			close(merge->fds[i]);
		}
	}
	free(merge->name);
	free(merge->absolute);
	free(merge->relative);
	free(merge);
}

/* After the last step the chain changes. */
static int step(void *user, uint64_t done, uint64_t total)
{
	struct job *job = user;
	struct merge *merge = job->subject;

	atomic_store(&merge->done, done);
	if (done == total || done - merge->told >= total / 100) {
		merge->told = done;
		control_notify(merge->machine);
	}
	if (job_cancelled(job) || (done == total && !job_commit(job))) {
		return -ECANCELED;
	}
	return 0;
}

static int work(struct job *job)
{
	struct merge *merge = job->subject;
	const struct disk_progress progress = {step, job};

	job_step(job, "copying to the parent");
	return disk_merge_files(merge->disk, &merge->files, &progress, &job->error);
}

static int mirror_work(struct job *job)
{
	struct merge *merge = job->subject;
	const struct disk_progress progress = {step, job};
	const struct disk_mirror_files files = {
		.path = merge->name,
		.fds = merge->fds,
		.fd_count = merge->fd_count,
		.absolute = merge->absolute[0] != '\0' ? merge->absolute : NULL,
		.relative = merge->relative[0] != '\0' ? merge->relative : NULL};

	job_step(job, "copying to the mirror");
	return disk_mirror(merge->disk, &files, &progress, &job->error);
}

static void mirror_finish(struct job *job)
{
	struct merge *merge = job->subject;

	if (job->state == JOB_DONE) {
		merge->place->mirror = merge->name;
		merge->name = NULL;
	}
	release(merge);
}

static void take_name(struct disk_place *place, char **name)
{
	char *before = place->name;

	place->name = *name;
	*name = before;
}

static void finish(struct job *job)
{
	struct merge *merge = job->subject;

	if (job->state == JOB_DONE && merge->top) {
		take_name(merge->place, &merge->name);
	}
	release(merge);
}

/* A copy of each text. */
static bool copy_names(struct merge *merge, const char *name, const char *absolute,
		       const char *relative)
{
	merge->name = strdup(name);
	merge->absolute = strdup(absolute != NULL ? absolute : "");
	merge->relative = strdup(relative != NULL ? relative : "");
	merge->files.absolute = merge->absolute;
	merge->files.relative = merge->relative;
	return merge->name != NULL && merge->absolute != NULL && merge->relative != NULL;
}

int merge_look(struct machine *machine, const struct merge_request *request)
{
	struct disk_place *place = &machine->disks.places[request->place];
	const struct disk_merge_files files = {
		.file = request->file, .parent = request->parent, .child = request->child};
	int ret = place->file == NULL || place->dvd || place->read_only
			  ? -ENOENT
			  : disk_look_at_merge(place->file, &files);
	char *name;

	if (ret == -EALREADY && request->child < 0) {
		name = strdup(request->name);
		if (name == NULL) {
			return -ENOMEM;
		}
		take_name(place, &name);
		free(name);
	}
	return ret;
}

int merge_prepare(struct machine *machine, struct job *job, const struct merge_request *request)
{
	struct disk_place *place = &machine->disks.places[request->place];
	struct merge *merge = calloc(1, sizeof(*merge));

	if (merge == NULL) {
		return -ENOMEM;
	}
	*merge = (struct merge){.machine = machine,
				.place = place,
				.disk = place->file,
				.top = request->child < 0,
				.files = {.file = -1, .parent = -1, .child = -1}};
	if (!copy_names(merge, request->name, request->absolute, request->relative)) {
		release(merge);
		return -ENOMEM;
	}
	merge->files.file = request->file;
	merge->files.parent = request->parent;
	merge->files.child = request->child;
	job->work = work;
	job->finish = finish;
	job->subject = merge;
	job->total = place->size;
	job->waited = true;
	return 0;
}

int mirror_prepare(struct machine *machine, struct job *job, const struct mirror_request *request)
{
	struct disk_place *place = &machine->disks.places[request->place];
	struct merge *merge;

	if (place->file == NULL || place->dvd || place->read_only) {
		return -ENOENT;
	}
	if (place->mirror != NULL) {
		return -EBUSY;
	}
	merge = calloc(1, sizeof(*merge));
	if (merge == NULL) {
		return -ENOMEM;
	}
	*merge = (struct merge){.machine = machine,
				.place = place,
				.disk = place->file,
				.files = {.file = -1, .parent = -1, .child = -1}};
	if (!copy_names(merge, request->name, request->absolute, request->relative)) {
		release(merge);
		return -ENOMEM;
	}
	memcpy(merge->fds, request->fds, request->fd_count * sizeof(merge->fds[0]));
	merge->fd_count = request->fd_count;
	job->work = mirror_work;
	job->finish = mirror_finish;
	job->subject = merge;
	job->total = place->size;
	job->waited = true;
	return 0;
}

void merge_serve(struct machine *machine)
{
	for (unsigned int i = 0; i < CONTROL_JOBS_MAX; i++) {
		struct job *job = &machine->control->jobs.all[i];
		const struct merge *merge = job->subject;

		if (job->state == JOB_RUNNING && (job->work == work || job->work == mirror_work) &&
		    job_progress(job, atomic_load(&merge->done))) {
			control_progress(machine, job);
		}
	}
}
