/*
 * Raw: the file is the disk. A size that is no multiple of 512 is rounded up; the rest reads as
 * zeros.
 */
#include "disk/format.h"

#include "disk/bytes.h"
#include "disk/disk.h"
#include "disk/error.h"
#include "disk/file.h"
#include "disk/layer.h"
#include "disk/units.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

static int raw_open(struct layer *layer, struct disk_error *error)
{
	if (!layer->file.size) {
		return error_set(error, -EINVAL,
				 "%s: the file is empty; a disk has at least one sector",
				 layer->file.path);
	}
	/* Nothing in the file says what its sectors were: 512 is what all other programs take a raw
	 * file for. */
	layer->type = DISK_FIXED;
	layer->sector_size = 512;
	layer->physical_size = 512;
	layer->size = round_up(layer->file.size, 512);
	return 0;
}

static void raw_release(struct layer *layer)
{
	(void)layer;
}

static int raw_create(struct file *file, const struct create_plan *plan, struct disk_error *error)
{
	/* A device may hold anything; zeros that keep it allocated are what a new disk reads as. */
	int ret = file->is_device                ? file_zero(file, 0, plan->how.size, true)
		  : plan->how.type == DISK_FIXED ? file_allocate(file, 0, plan->how.size)
						 : file_truncate(file, plan->how.size);

	return ret ? error_set(error, ret, "%s: cannot make it %llu bytes long: %s", file->path,
			       (unsigned long long)plan->how.size, strerror(-ret))
		   : 0;
}

static int raw_map(struct layer *layer, uint64_t offset, uint64_t length, bool wait,
		   struct extent *extent)
{
	(void)wait;
	*extent = (struct extent){.kind = EXTENT_DATA, .file_offset = offset, .length = length};
	layer_io_begin(layer, extent);
	return 0;
}

static int raw_write_begin(struct layer *layer, uint64_t offset, uint64_t length, bool wait,
			   struct extent *extent)
{
	/* There are no tables, so after a failed sync this alone keeps writes away (invariant
	 * 10). */
	int ret = atomic_load_explicit(&layer->failed, memory_order_relaxed);

	return ret ? ret : raw_map(layer, offset, length, wait, extent);
}

static int raw_write_end(struct layer *layer, uint64_t offset, uint64_t length,
			 const struct extent *extent)
{
	(void)layer;
	(void)offset;
	(void)length;
	(void)extent;
	return 0;
}

static int raw_trim(struct layer *layer, uint64_t offset, uint64_t length, uint64_t *done)
{
	/* A hole: the host may give the space to others, and the disk reads as zeros there. */
	*done = length;
	return file_zero(&layer->file, offset, length, false);
}

static int raw_flush(struct layer *layer)
{
	return layer_sync(layer);
}

static int raw_resize(struct layer *layer, uint64_t size, struct disk_error *error)
{
	int ret;

	if (layer->file.is_device) {
		return error_set(error, -EINVAL, "%s: a block device keeps its size",
				 layer->file.path);
	}
	ret = file_truncate(&layer->file, size);
	if (!ret) {
		layer->size = size;
		ret = file_sync(&layer->file);
	}
	return ret ? error_set(error, ret, "%s: cannot resize: %s", layer->file.path,
			       strerror(-ret))
		   : 0;
}

/* Holes are where they are: there are no blocks that could be moved. */
static int raw_compact(struct layer *layer, uint64_t *moved)
{
	(void)layer;
	*moved = 0;
	return 0;
}

/* It has no parent that could be seen instead. */
static int raw_empty(struct layer *layer)
{
	(void)layer;
	return -EOPNOTSUPP;
}

static int raw_set_parent(struct layer *layer, const struct create_plan *plan,
			  struct disk_error *error)
{
	(void)plan;
	return error_set(error, -EOPNOTSUPP, "%s: a raw file has no parent", layer->file.path);
}

static int raw_check(struct layer *layer, struct disk_error *error)
{
	return layer->file.size % 512
		       ? layer_fault(layer, error, DISK_NOTE, "the size is no multiple of 512")
		       : 0;
}

static void raw_info(struct layer *layer, struct disk_info *info)
{
	(void)layer;
	(void)info;
}

static void raw_identity(struct layer *layer, char text[GUID_TEXT])
{
	(void)layer;
	text[0] = 0;
}

const struct format raw_format = {
	.id = DISK_FORMAT_RAW,
	.name = "raw",
	.endings = ".raw .img .iso .bin",
	.open = raw_open,
	.release = raw_release,
	.create = raw_create,
	.map = raw_map,
	.write_begin = raw_write_begin,
	.write_end = raw_write_end,
	.trim = raw_trim,
	.flush = raw_flush,
	.finish = raw_flush,
	.resize = raw_resize,
	.compact = raw_compact,
	.empty = raw_empty,
	.set_parent = raw_set_parent,
	.check = raw_check,
	.info = raw_info,
	.identity = raw_identity,
};
