/*
 * A checkpoint, in two jobs: the state is written and new files become the tops of the disks; then
 * who asked has written down which files are the machine's, and it may go on. In between it stands,
 * so nothing of the guest's is in a file that nobody knows.
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

const char *checkpoint_obstacle(struct machine *machine, const struct checkpoint_request *request,
				char *text, size_t size)
{
	unsigned int i, place, times;

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

static int take_work(struct job *job)
{
	struct checkpoint *checkpoint = job->subject;
	int ret = 0;

	if (checkpoint->state >= 0) {
		ret = save_write(checkpoint->machine, checkpoint->state, job, &job->error);
	} else if (!job_commit(job)) {
		ret = -ECANCELED;
	}
	if (ret == 0) {
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
		machine->checkpoint = checkpoint;
		return;
	}
	stand(checkpoint, false);
	release(checkpoint);
}

int checkpoint_prepare(struct machine *machine, struct job *job,
		       const struct checkpoint_request *request)
{
	struct checkpoint *checkpoint = calloc(1, sizeof(*checkpoint));
	unsigned int i;

	if (checkpoint == NULL) {
		return -ENOMEM;
	}
	*checkpoint = (struct checkpoint){.machine = machine, .state = -1};
	for (i = 0; i < request->disk_count; i++) {
		const struct checkpoint_disk *disk = &request->disks[i];
		struct disk_place *place = &machine->disks.places[disk->place];

		checkpoint->disks[i].name = strdup(disk->name);
		checkpoint->disks[i].place = place;
		checkpoint->disks[i].file = place->file;
		checkpoint->disks[i].fd = -1;
		checkpoint->disk_count = i + 1;
		if (checkpoint->disks[i].name == NULL) {
			release(checkpoint);
			return -ENOMEM;
		}
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

static int end_work(struct job *job)
{
	struct checkpoint *checkpoint = job->subject;

	if (!job_commit(job)) {
		return -ECANCELED;
	}
	return checkpoint->keep ? 0 : take_back(checkpoint, &job->error);
}

static void end_finish(struct job *job)
{
	struct checkpoint *checkpoint = job->subject;

	if (job->state != JOB_DONE) {
		return; /* it is open as before */
	}
	checkpoint->machine->checkpoint = NULL;
	if (!checkpoint->keep) {
		swap_names(checkpoint);
	}
	stand(checkpoint, false);
	release(checkpoint);
}

void checkpoint_prepare_end(struct machine *machine, struct job *job, bool keep)
{
	machine->checkpoint->keep = keep;
	job->work = end_work;
	job->finish = end_finish;
	job->subject = machine->checkpoint;
}

void checkpoint_forget(struct machine *machine)
{
	if (machine->checkpoint != NULL) {
		release(machine->checkpoint);
		machine->checkpoint = NULL;
	}
}
