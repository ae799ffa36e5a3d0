/*
 * A checkpoint, in two jobs: the state is written and new files become the tops of the disks; then
 * who asked has written down which files are the machine's, and it may go on. In between it stands,
 * so nothing of the guest's is in a file that nobody knows. Disks go over to their mirrors in the
 * same two steps; the old files are the disks' until the second.
 */
#include "worker/checkpoint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk/disk.h"
#include "vmbus/vmbus.h"
#include "vsp/socket/socket.h"
#include "worker/assigned.h"
#include "worker/job.h"
#include "worker/machine.h"
#include "worker/save.h"

/* The subject of both jobs, and between them the machine's. */
struct checkpoint {
	struct machine *machine;
	int state;
	struct {
		struct disk_place *place; /* [M] */
		struct disk *file;
		char *name; /* of the file that is not the place's now */
		int fd;     /* -1: it is the disk's */
	} disks[CONFIG_DISKS_MAX];
	unsigned int disk_count;
	unsigned int pushed,
		named; /* the first of them: in the chain; their places have the new name */
	bool keep;
	bool mirrored;
	unsigned int gone; /* the first of them have no mirror any more */
	bool stands;       /* it was taken, and does not only end mirrors */
};

static void release(struct checkpoint *checkpoint)
{
	for (unsigned int i = 0; i < checkpoint->disk_count; i++) {
		if (checkpoint->disks[i].fd >= 0) {
			close(checkpoint->disks[i].fd);
		}
		free(checkpoint->disks[i].name);
	}
	if (checkpoint->state >= 0) {
		close(checkpoint->state);
	}
	free(checkpoint);
}

static bool is_written(const struct disk_place *place)
{
	return place->file != NULL && !place->dvd && !place->read_only;
}

bool checkpoint_has_mirrors(const struct machine *machine)
{
	for (unsigned int i = 0; i < CONFIG_DISKS_MAX; i++) {
		if (machine->disks.places[i].mirror != NULL) {
			return true;
		}
	}
	return false;
}

const char *checkpoint_obstacle(struct machine *machine, const struct checkpoint_request *request,
				char *text, size_t size)
{
	unsigned int i, place, times;

	if (request->mirrored) {
		return request->state >= 0 || request->disk_count != 0
			       ? "mirrors are the new files; give no others, and no state"
		       : !checkpoint_has_mirrors(machine) ? "no disk has a mirror"
							  : NULL;
	}
	if (request->state >= 0 && tpm_is_gone(&machine->tpm)) {
		return TPM_IS_GONE;
	}
	if (assigned_obstacle(machine) != NULL) {
		return assigned_obstacle(machine);
	}
	for (place = 0; place < CONFIG_DISKS_MAX; place++) {
		for (i = 0, times = 0; i < request->disk_count; i++) {
			times += request->disks[i].place == place;
		}
		if (times != is_written(&machine->disks.places[place])) {
			bool ide = place >= CONFIG_SCSI_MAX;

			snprintf(text, size, "%s disk %u %s", ide ? "IDE" : "SCSI",
				 ide ? place - CONFIG_SCSI_MAX : place,
				 times == 0 ? "is written by the guest, and has no new file"
				 : times > 1
					 ? "is in the list twice"
					 : "is none that the guest writes, and needs no new file");
			return text;
		}
	}
	return NULL;
}

/* ---- Taken ---- */

/* The old tops again. What cannot be taken back stays `pushed`. */
static int take_back(struct checkpoint *checkpoint, struct disk_error *error)
{
	int ret = 0;

	while (checkpoint->pushed > 0 && ret == 0) {
		ret = disk_pop(checkpoint->disks[checkpoint->pushed - 1].file, error);
		checkpoint->pushed -= ret == 0;
	}
	return ret;
}

static int push_all(struct checkpoint *checkpoint, struct disk_error *error)
{
	struct disk_error ignored;
	int ret = 0;

	while (checkpoint->pushed < checkpoint->disk_count && ret == 0) {
		unsigned int i = checkpoint->pushed;

		ret = disk_push(checkpoint->disks[i].file, checkpoint->disks[i].name,
				checkpoint->disks[i].fd, error);
		if (ret == 0) {
			checkpoint->disks[i].fd = -1;
			checkpoint->pushed++;
		}
	}
	if (ret != 0) {
		/* Somebody who reads an old file keeps it from being written: the machine can be
		 * taken off then, or this tried again. */
		(void)take_back(checkpoint, &ignored);
	}
	return ret;
}

static int flush_mirrors(struct checkpoint *checkpoint, struct disk_error *error)
{
	int ret = 0;

	for (unsigned int i = 0; i < checkpoint->disk_count && ret == 0; i++) {
		ret = disk_mirror_flush(checkpoint->disks[i].file);
		if (ret != 0) {
			*error = *disk_last_error(checkpoint->disks[i].file);
		}
	}
	return ret;
}

static int take_work(struct job *job)
{
	struct checkpoint *checkpoint = job->subject;
	int ret = 0;

	if (checkpoint->state >= 0) {
		ret = save_write(checkpoint->machine, checkpoint->state, job, &job->error);
	} else if (!job_commit(job)) {
		ret = -ECANCELED;
	}
	if (ret == 0 && checkpoint->mirrored) {
		job_step(job, "making the mirrors durable");
		ret = flush_mirrors(checkpoint, &job->error);
	} else if (ret == 0) {
		job_step(job, "giving the disks new files");
		ret = push_all(checkpoint, &job->error);
	}
	machine_release(checkpoint->machine);
	return ret;
}

/* The other file's name is kept, for the way back. */
static void swap_names(struct checkpoint *checkpoint)
{
	for (unsigned int i = 0; i < checkpoint->named; i++) {
		char **name = &checkpoint->disks[i].place->name, *before = *name;

		*name = checkpoint->disks[i].name;
		checkpoint->disks[i].name = before;
	}
}

static void stand(struct checkpoint *checkpoint, bool stands)
{
	if (checkpoint->state >= 0) {
		sockets_stand(checkpoint->machine->sockets, stands);
	}
}

static void take_finish(struct job *job)
{
	struct checkpoint *checkpoint = job->subject;
	struct machine *machine = checkpoint->machine;

	machine_release(machine); /* also of a job that never ran */
	if (job->state == JOB_DONE || checkpoint->pushed > 0) {
		checkpoint->named = checkpoint->pushed;
		swap_names(checkpoint);
		checkpoint->stands = true;
		machine->checkpoint = checkpoint;
		return;
	}
	stand(checkpoint, false);
	release(checkpoint);
}

/* The next of them. */
static bool add_disk(struct checkpoint *checkpoint, struct disk_place *place, const char *name)
{
	unsigned int i = checkpoint->disk_count++;

	checkpoint->disks[i].name = strdup(name);
	checkpoint->disks[i].place = place;
	checkpoint->disks[i].file = place->file;
	checkpoint->disks[i].fd = -1;
	return checkpoint->disks[i].name != NULL;
}

static bool add_mirrors(struct checkpoint *checkpoint)
{
	struct disk_place *place = checkpoint->machine->disks.places;
	bool added = true;

	checkpoint->mirrored = true;
	for (unsigned int i = 0; i < CONFIG_DISKS_MAX && added; i++, place++) {
		added = place->mirror == NULL || add_disk(checkpoint, place, place->mirror);
	}
	return added;
}

int checkpoint_prepare(struct machine *machine, struct job *job,
		       const struct checkpoint_request *request)
{
	struct checkpoint *checkpoint = calloc(1, sizeof(*checkpoint));
	bool added = true;
	unsigned int i;

	if (checkpoint == NULL) {
		return -ENOMEM;
	}
	*checkpoint = (struct checkpoint){.machine = machine, .state = -1};
	for (i = 0; i < request->disk_count && added; i++) {
		added = add_disk(checkpoint, &machine->disks.places[request->disks[i].place],
				 request->disks[i].name);
	}
	if (!added || (request->mirrored && !add_mirrors(checkpoint))) {
		release(checkpoint);
		return -ENOMEM;
	}
	for (i = 0; i < request->disk_count; i++) {
		checkpoint->disks[i].fd = request->disks[i].fd;
	}
	checkpoint->state = request->state;
	/* Connections are not saved: they end, here and in the guest. */
	stand(checkpoint, true);
	vmbus_settle(machine->bus);
	job->work = take_work;
	job->finish = take_finish;
	job->subject = checkpoint;
	return 0;
}

/* ---- The end of it ---- */

bool checkpoint_is_open(const struct machine *machine)
{
	return machine->checkpoint != NULL;
}

/* Nobody has written since they were made durable, so none can have failed. */
static int end_mirrors(struct checkpoint *checkpoint, struct disk_error *error)
{
	int ret = 0;

	while (checkpoint->gone < checkpoint->disk_count && ret == 0) {
		ret = disk_mirror_end(checkpoint->disks[checkpoint->gone].file, checkpoint->keep);
		if (ret != 0) {
			snprintf(error->text, sizeof(error->text), "%s: %s",
				 checkpoint->disks[checkpoint->gone].name, strerror(-ret));
		}
		checkpoint->gone += ret == 0;
	}
	return ret;
}

static int end_work(struct job *job)
{
	struct checkpoint *checkpoint = job->subject;

	if (!job_commit(job)) {
		return -ECANCELED;
	}
	return checkpoint->mirrored ? end_mirrors(checkpoint, &job->error)
	       : checkpoint->keep   ? 0
				    : take_back(checkpoint, &job->error);
}

/* A mirror that is gone over to is the disk, by its name. */
static void name_mirrored(struct checkpoint *checkpoint)
{
	for (unsigned int i = 0; i < checkpoint->gone; i++) {
		free(checkpoint->disks[i].place->mirror);
		checkpoint->disks[i].place->mirror = NULL;
	}
	checkpoint->named = checkpoint->keep ? checkpoint->gone : 0;
	swap_names(checkpoint);
}

static void end_finish(struct job *job)
{
	struct checkpoint *checkpoint = job->subject;

	if (job->state != JOB_DONE && checkpoint->stands) {
		return; /* it is open as before */
	}
	checkpoint->machine->checkpoint = NULL;
	if (checkpoint->mirrored) {
		name_mirrored(checkpoint);
	} else if (!checkpoint->keep) {
		swap_names(checkpoint);
	}
	stand(checkpoint, false);
	release(checkpoint);
}

int checkpoint_prepare_end(struct machine *machine, struct job *job, bool keep)
{
	struct checkpoint *checkpoint = machine->checkpoint;

	if (checkpoint == NULL) {
		checkpoint = calloc(1, sizeof(*checkpoint));
		if (checkpoint == NULL) {
			return -ENOMEM;
		}
		*checkpoint = (struct checkpoint){.machine = machine, .state = -1};
		if (!add_mirrors(checkpoint)) {
			release(checkpoint);
			return -ENOMEM;
		}
		machine->checkpoint = checkpoint;
	}
	checkpoint->keep = keep;
	job->work = end_work;
	job->finish = end_finish;
	job->subject = checkpoint;
	return 0;
}

void checkpoint_forget(struct machine *machine)
{
	if (machine->checkpoint != NULL) {
		release(machine->checkpoint);
		machine->checkpoint = NULL;
	}
}
