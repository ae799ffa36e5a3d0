/* A machine that is moved to another worker: the source's side (docs/design/migrate.md). */
#ifndef WORKER_MIGRATE_H
#define WORKER_MIGRATE_H

#include <stdint.h>

#include "lib/check.h"
#include "worker/config.h"

struct machine;
struct job;

struct migrate_request {
	int fd; /* a stream socket that is connected to the target */
	int owner; /* a regular file, open for reading and writing, that the target has open too (owner.h) */
	/* Connected to the switches of the adapters, in their order, for the case that the machine
	 * stays; none: it is without them then. */
	int switches[CONFIG_NETWORKS_MAX];
	unsigned int switch_count;
	uint64_t downtime_ms; /* that the guest may stand, if that can be had */
	uint64_t rounds;      /* at most */
	bool disks;           /* they come along, and `owner` is this side's alone */
};

/* What cannot be moved, as a sentence; NULL: this machine can. Main thread, as all of it. */
const char *migrate_obstacle(struct machine *machine);
/* The machine is held (machine_hold_running()). Makes the job do it; then the descriptors are the
 * job's, and so is the hold. -errno. */
int migrate_prepare(struct machine *machine, struct job *job,
		    const struct migrate_request *request) MUST_CHECK;
/* control_notify() was called: how far it is. */
void migrate_serve(struct machine *machine);
/* The machine is about to stop, and waits for who holds it. */
void migrate_hurry(struct machine *machine);

#endif
