/*
 * create.c, differencing.c: a new file, and the parents of one.
 *
 * A new file is written beside its place and takes it at the end, so that what has the name is
 * whole. A block device is written in place.
 */
#ifndef DISK_CREATE_H
#define DISK_CREATE_H

#include "disk/disk.h"
#include "disk/file.h"
#include "disk/format.h"
#include "disk/layer.h"

#include <stdbool.h>

struct creation {
	char *path, *written; /* equal for a device */
	bool replace, lock;
	struct file file; /* the written one; its lock is held from its first byte to its name */
};

int create_choose_format(struct disk_create *how, const char *path, struct disk_error *error);
int create_begin(struct creation *creation, const char *path, const struct disk_create *how,
		 struct disk_error *error);
/* result: how it went until here, durably; other than 0 takes the new file away. */
int create_end(struct creation *creation, int result, struct disk_error *error);

/* -- differencing.c -- */

/* Refuses when the chain below a child of `parent` is too long to be opened, or has the child in
 * it. */
int chain_check_depth(const char *child_path, struct layer *parent, struct disk_error *error);
int chain_open_parents(struct disk *disk, const struct disk_open *how, struct disk_error *error);
/* The parent, and its names for the child: until plan_release(), also after a failure. */
int plan_parent(struct create_plan *plan, const char *child_path, struct layer *parent,
		struct disk_error *error);
void plan_release(struct create_plan *plan);

#endif
