/* A checkpoint of a machine that is paused: its disks go on in new files, its state is in another
 * (docs/design/checkpoint.md). */
#ifndef WORKER_CHECKPOINT_H
#define WORKER_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/check.h"
#include "worker/config.h"

struct machine;
struct job;

struct checkpoint_disk {
	unsigned int place; /* in disks->places */
	const char *name;   /* of the new file */
	int fd;
};

struct checkpoint_request {
	int state;     /* an empty file, open for writing; -1: no memory is wanted */
	bool mirrored; /* the disks go over to their mirrors; there is nothing else */
	struct checkpoint_disk disks[CONFIG_DISKS_MAX];
	unsigned int disk_count;
};

/* Why there can be none of this machine, or none with these disks, as a sentence; NULL: there can.
 * Main thread, as all of it. */
const char *checkpoint_obstacle(struct machine *machine, const struct checkpoint_request *request,
				char *text, size_t size);
/* The machine is held (machine_hold()). Makes the job do it; then the descriptors are the job's,
 * and so is the hold. -errno. */
int checkpoint_prepare(struct machine *machine, struct job *job,
		       const struct checkpoint_request *request) MUST_CHECK;
/* One was taken, and it is not known yet which files are the machine's: it may not be resumed, nor
 * reset. */
bool checkpoint_is_open(const struct machine *machine);
/* A disk has a mirror, for which the machine need not stand. */
bool checkpoint_has_mirrors(const struct machine *machine);
/* Makes the job end that, by the new files or by the old ones; or mirrors, if none was taken.
 * -ENOMEM. */
int checkpoint_prepare_end(struct machine *machine, struct job *job, bool keep) MUST_CHECK;
/* The machine has come to its end. */
void checkpoint_forget(struct machine *machine);

#endif
