/*
 * A mirror: a disk in use is copied into another file over copies of its parents, and each write
 * goes there as well; then it goes on there, or the copy is given up.
 *
 *   none -- disk_mirror() --> copying ------> in step -- disk_mirror_end() --> none
 *    `<-- failed, stopped -------'               `--> failed, by a write of the copy's --'
 *
 * In step, and while no write is under way, both read the same. The copy is nobody's until the disk
 * has gone over to it: what is flushed is durable in the disk's own files, and a write that the
 * copy alone fails is no failure of the guest's. A write and a step of the copying exclude each
 * other (merge_lock): what lies below `merged` is in both, what lies above is still to be copied,
 * and there the copy has what it was made with, which are zeros or its parent.
 */
#include "disk/chain.h"

#include "disk/bytes.h"
#include "disk/disk.h"
#include "disk/error.h"
#include "disk/file.h"
#include "disk/format.h"
#include "disk/layer.h"
#include "disk/units.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

/* -- The files -- */

static int refuse(const struct disk *disk, struct disk_error *error, int code, const char *what)
{
	return error_set(error, code, "%s: %s", disk_top(disk)->file.path, what);
}

static int may_begin(const struct disk *disk, const struct disk_mirror_files *files,
		     struct disk_error *error)
{
	if (disk->read_only) {
		return refuse(disk, error, -EINVAL, "opened read-only");
	}
	if (disk->mirror != NULL) {
		return refuse(disk, error, -EBUSY, "is being copied already");
	}
	if (disk_top(disk)->file.direct_fd >= 0) {
		return refuse(disk, error, -EINVAL,
			      "is past the page cache, and is not copied while it is in use");
	}
	return files->fd_count == disk->layer_count
		       ? 0
		       : refuse(disk, error, -EINVAL,
				"give one file for each of its chain, the top's first");
}

/* The parent's copy has its identity, so the parent stands for it. */
static int make_file(struct disk *disk, const struct disk_mirror_files *files,
		     struct disk_error *error)
{
	struct layer *top = disk_top(disk);
	struct disk_info info = {.id = ""};
	struct create_plan plan = {
		.how = {.format = top->format->id,
			/* a raw file is as sparse as its data */
			.type = top->format->has_blocks ? top->type : DISK_DYNAMIC,
			.size = top->size,
			.block_size = top->block_size,
			.sector_size = top->sector_size,
			.physical_size = top->physical_size},
		.parent = disk->layer_count > 1 ? disk->layers[1] : NULL,
		.parent_absolute = files->absolute,
		.parent_relative = files->relative};
	struct file file;
	int ret;

	if (disk_get_info(disk, 0, &info) == 0 && info.id[0] != '\0') {
		plan.how.id = info.id; /* it is this disk once more */
	}
	ret = file_adopt(&file, files->fds[0], files->path, true, error);

	if (ret) {
		return ret;
	}
	if (file.size || file.is_device) {
		ret = error_set(error, -EEXIST, "%s: is no new file", files->path);
	}
	ret = ret ? ret : top->format->create(&file, &plan, error);
	file.fd = -1; /* the caller's */
	file_close(&file);
	return ret;
}

static int open_copy(struct disk *disk, const struct disk_mirror_files *files, struct disk **copy,
		     struct disk_error *error)
{
	const struct disk_open how = {.format = disk_top(disk)->format->id,
				      .flags = disk_top(disk)->locked ? 0 : DISK_NO_LOCK,
				      .fds = files->fds,
				      .fd_count = files->fd_count};
	int ret = make_file(disk, files, error);
	unsigned i;

	ret = ret ? ret : disk_open(files->path, &how, copy, error);
	for (i = 0; i < files->fd_count && !ret; i++) {
		files->fds[i] = -1;
	}
	return ret;
}

/* -- Copying -- */

/* Of the layer's data so much is a hole of the host's, as a new disk has it anyway. */
static uint64_t hole_before(struct layer *layer, const struct extent *extent)
{
	uint64_t start, end;

	layer_next_data(layer, extent->file_offset, &start, &end);
	return start > extent->file_offset ? min_u64(start - extent->file_offset, extent->length)
					   : 0;
}

static int copy_data(struct disk *disk, const struct extent *extent, uint64_t offset,
		     uint8_t *buffer, uint64_t *done)
{
	struct layer *top = disk_top(disk);
	bool starts_as_zeros = top->type != DISK_DIFFERENCING;
	uint64_t hole = starts_as_zeros ? hole_before(top, extent) : 0;
	struct iovec iov = {buffer, extent->length};
	int ret;

	if (hole) {
		*done = hole;
		return 0;
	}
	ret = file_readv(&top->file, &iov, 1, extent->file_offset);
	if (ret || (starts_as_zeros && is_all_zero(buffer, extent->length))) {
		return ret;
	}
	return chain_write(disk->mirror, &iov, 1, extent->length, offset);
}

/* What the top itself says about this range. */
static int copy_range(struct disk *disk, unsigned index, uint64_t offset, uint64_t length,
		      uint8_t *buffer, uint64_t *done)
{
	struct layer *top = disk->layers[index];
	struct extent extent;
	int ret;

	layer_lock(top, true);
	ret = top->format->map(top, offset, length, true, &extent);
	layer_unlock(top);
	if (ret) {
		return ret;
	}
	*done = extent.length;
	if (extent.kind == EXTENT_DATA) {
		ret = copy_data(disk, &extent, offset, buffer, done);
		layer_io_end(top, &extent);
	} else if (extent.kind == EXTENT_ZERO && top->type == DISK_DIFFERENCING) {
		ret = chain_trim(disk->mirror, extent.length, offset);
	}
	return ret;
}

/* -- Its beginning and its end -- */

/* Under chain_lock, for writing. */
static void stop(struct disk *disk, struct disk **copy)
{
	*copy = disk->mirror;
	disk->mirror = NULL;
	disk->merged = 0;
	disk->merge_failed = 0;
	atomic_store(&disk->merging, 0);
}

int disk_mirror(struct disk *disk, const struct disk_mirror_files *files,
		const struct disk_progress *progress, struct disk_error *error)
{
	struct disk *copy = NULL;
	int ret = may_begin(disk, files, error);

	ret = ret ? ret : open_copy(disk, files, &copy, error);
	if (ret) {
		return ret;
	}
	chain_stop(disk);
	disk->mirror = copy;
	pthread_rwlock_unlock(&disk->chain_lock);
	ret = merge_steps(disk, 0, copy_range, progress);
	if (ret) {
		error_set(error, ret, "%s: copying to %s: %s%s", disk_top(disk)->file.path,
			  files->path, strerror(-ret), ret == -ENOSPC ? "; make room there" : "");
		disk_mirror_end(disk, false);
	}
	return ret;
}

int disk_mirror_flush(struct disk *disk)
{
	struct layer *top;
	int ret;

	pthread_rwlock_rdlock(&disk->chain_lock);
	pthread_mutex_lock(&disk->merge_lock);
	top = disk->mirror != NULL ? disk_top(disk->mirror) : NULL;
	ret = top == NULL ? -EINVAL : disk->merge_failed;
	ret = ret ? ret : top->format->flush(top);
	if (ret && top != NULL) {
		error_set(&disk->error, ret, "%s: the copy is not whole: %s", top->file.path,
			  strerror(-ret));
	}
	pthread_mutex_unlock(&disk->merge_lock);
	pthread_rwlock_unlock(&disk->chain_lock);
	return ret;
}

static bool is_quiet(const struct disk *disk)
{
	unsigned i;

	for (i = 0; i < disk->layer_count; i++) {
		if (layer_is_in_use(disk->layers[i])) {
			return false;
		}
	}
	return true;
}

/* Reads that began on the fast path; none begins under chain_lock. */
static void exchange(struct disk *disk, struct disk *copy)
{
	struct layer *layer;
	unsigned i, count = copy->layer_count;

	while (!is_quiet(disk)) {
		usleep(200);
	}
	for (i = 0; i < disk->layer_count || i < count; i++) {
		layer = disk->layers[i];
		disk->layers[i] = copy->layers[i];
		copy->layers[i] = layer;
	}
	copy->layer_count = disk->layer_count;
	disk->layer_count = count;
}

int disk_mirror_end(struct disk *disk, bool over)
{
	struct disk *copy;
	int ret;

	chain_stop(disk);
	ret = disk->mirror == NULL ? -EINVAL : over ? disk->merge_failed : 0;
	if (over && !ret) {
		exchange(disk, disk->mirror);
	}
	stop(disk, &copy);
	pthread_rwlock_unlock(&disk->chain_lock);
	(void)disk_close(&copy, NULL); /* what is in them counts no more */
	return ret;
}
