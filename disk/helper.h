/*
 * helper.c: requests that would block, on a thread of their own.
 */
#ifndef DISK_HELPER_H
#define DISK_HELPER_H

#include "disk/disk.h"

/* queue.c: what a helper's thread does with one. */
void queue_run_slow(struct disk *disk, struct disk_req *req);
int helper_post(struct disk *disk, struct disk_req *req);
void helper_stop(struct disk *disk);

#endif
