/* A file of a disk in use goes into its parent, or the disk is copied into another one, while the
 * guest writes (docs/design/checkpoint.md). */
#ifndef WORKER_MERGE_H
#define WORKER_MERGE_H

#include "lib/check.h"

struct machine;
struct job;

struct merge_request {
	unsigned int place; /* in disks->places */
	const char *name;   /* the parent's, as the disk is to be called if the top goes */
	const char *absolute, *relative; /* the parent's, for the file over it */
	int file, parent, child;         /* open for both; child -1: there is none */
};

/*
 * Main thread, as all of it. 0: it can be done. -ENOENT: there is no such disk that the guest
 * writes; -EINVAL: its files are others; -EALREADY: the file has gone, and the disk has the
 * parent's name, if that is its top.
 */
int merge_look(struct machine *machine, const struct merge_request *request) MUST_CHECK;
/* After that: makes the job do it; then the descriptors are the job's. -ENOMEM. */
int merge_prepare(struct machine *machine, struct job *job,
		  const struct merge_request *request) MUST_CHECK;

struct mirror_request {
	unsigned int place;
	const char *name;                /* the copy's */
	const char *absolute, *relative; /* the parent's, for it; NULL: it has none */
	const int *fds;                  /* the empty file, and copies of the parents */
	unsigned int fd_count;
};

/*
 * Makes the job do it; then the descriptors are the job's, and when it is done the place has the
 * name of its mirror. -ENOENT: there is no such disk that the guest writes; -EBUSY: it has one;
 * -ENOMEM.
 */
int mirror_prepare(struct machine *machine, struct job *job,
		   const struct mirror_request *request) MUST_CHECK;
/* control_notify() was called: how far all of them are. */
void merge_serve(struct machine *machine);

#endif
