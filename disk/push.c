/*
 * A checkpoint of a disk in use: a new, empty differencing disk becomes the top of the chain, and
 * the old top its parent.
 *
 * The order: the new file is made to expect the identity that the old top has once it is closed,
 * durably; only then a write may go to it. So at each cut before that the old top is whole, and at
 * each after it the new one is; while nothing is written both read the same.
 */
#include "disk/chain.h"

#include "disk/disk.h"
#include "disk/error.h"
#include "disk/file.h"
#include "disk/format.h"
#include "disk/layer.h"
#include "disk/vhdx.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static int refuse(struct disk_error *error, int code, const char *path, const char *what)
{
	return error_set(error, code, "%s: %s", path, what);
}

static int check_child(const struct disk *disk, struct layer *child, struct disk_error *error)
{
	const struct layer *top = disk_top(disk);

	if (child->type != DISK_DIFFERENCING || child->format != top->format ||
	    child->size != top->size || child->sector_size != top->sector_size) {
		return refuse(error, -EINVAL, child->file.path,
			      "is no differencing disk of the one that is in use; make one");
	}
	return 0;
}

/* A VHD's identity stays as it is, and what was made over it knows it. */
static int link_child(struct layer *child, struct layer *parent, struct disk_error *error)
{
	int ret = parent->format->finish(parent);

	if (ret) {
		return refuse(error, ret, parent->file.path, strerror(-ret));
	}
	ret = child->format->empty(child);
	if (ret) {
		return refuse(error, ret, child->file.path, strerror(-ret));
	}
	return child->format->id == DISK_FORMAT_VHDX
		       ? vhdx_expect_parent(child, &parent->vhdx->header.data_write, NULL, error)
		       : 0;
}

static void put_on_top(struct disk *disk, struct layer *child)
{
	struct layer *parent = disk_top(disk);

	memmove(&disk->layers[1], &disk->layers[0], disk->layer_count * sizeof(disk->layers[0]));
	disk->layers[0] = child;
	disk->layer_count++;
	parent->writable = false;
	if (parent->locked) {
		file_lock_share(&parent->file);
	}
}

static void go_on(struct disk *disk)
{
	atomic_store(&disk->merging, 0);
	pthread_rwlock_unlock(&disk->chain_lock);
}

int disk_push(struct disk *disk, const char *path, int fd, struct disk_error *error)
{
	struct layer *child;
	int ret;

	if (disk->read_only || !disk_top(disk)->format->has_blocks) {
		return refuse(error, -EINVAL, disk_top(disk)->file.path,
			      disk->read_only ? "opened read-only"
					      : "a raw file cannot be a parent; convert it first");
	}
	if (disk_top(disk)->file.direct_fd >= 0) {
		return refuse(error, -EINVAL, disk_top(disk)->file.path,
			      "is past the page cache, where no file can join it");
	}
	if (disk->mirror != NULL) {
		return refuse(error, -EBUSY, disk_top(disk)->file.path,
			      "is being copied to another place");
	}
	if (disk->layer_count == DISK_LAYERS_MAX) {
		return refuse(error, -ELOOP, path, "the chain would have too many files");
	}
	ret = layer_open(path, fd, disk_top(disk)->format->id,
			 LAYER_NEW_PARENT | (disk_top(disk)->locked ? 0 : DISK_NO_LOCK), NULL,
			 &child, error);
	if (ret) {
		return ret;
	}
	ret = check_child(disk, child, error);
	if (!ret) {
		chain_stop(disk);
		ret = link_child(child, disk_top(disk), error);
		if (!ret) {
			put_on_top(disk, child);
		}
		go_on(disk);
	}
	if (ret) {
		child->file.fd = -1; /* still the caller's, and worth nothing */
		child->writable = false;
		layer_close(&child, NULL);
	}
	return ret;
}

int disk_pop(struct disk *disk, struct disk_error *error)
{
	struct layer *child = disk_top(disk), *parent = disk->layers[1];
	int ret;

	if (disk->layer_count < 2) {
		return refuse(error, -EINVAL, child->file.path, "has no parent");
	}
	chain_stop(disk);
	ret = parent->locked ? file_lock(&parent->file, true, error) : 0;
	if (!ret) {
		parent->writable = true;
		disk->layer_count--;
		memmove(&disk->layers[0], &disk->layers[1],
			disk->layer_count * sizeof(disk->layers[0]));
	} else if (file_lock(&parent->file, false, NULL)) { /* the attempt gave up all of it */
		parent->locked = false;
	}
	go_on(disk);
	if (!ret) {
		layer_close(&child, NULL);
	}
	return ret;
}
