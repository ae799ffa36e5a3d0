/*
 * Changes of a whole file's layout: compact and resize. The handle is used by nobody else
 * meanwhile.
 */
#include "disk/internal.h"

#include <stdlib.h>

static int report_progress(const struct disk_progress *progress, uint64_t done, uint64_t total)
{
	return progress && progress->step ? progress->step(progress->user, done, total) : 0;
}

/* Is this block there, and all zeros, over parents that read as zeros as well? */
static int block_is_zero(struct disk *disk, uint64_t offset, uint64_t length, uint8_t *buffer,
			 bool *zero)
{
	struct layer *top = disk_top(disk), *from;
	struct extent extent;
	uint64_t at;
	bool here = false;
	int r = 0;

	*zero = true;
	for (at = 0; at < length && *zero && !r; at += extent.length) {
		struct iovec iov;

		r = chain_map(disk, 0, offset + at, min_u64(length - at, DISK_MIB), true, &extent,
			      &from);
		if (r || extent.kind == EXTENT_ZERO) {
			continue;
		}
		layer_io_end(from, &extent);
		here |= from == top;
		iov = (struct iovec){buffer, extent.length};
		r = file_readv(&from->file, &iov, 1, extent.file_offset);
		*zero = !r && is_all_zero(buffer, extent.length);
	}
	*zero = *zero && here && !r;
	return r;
}

static int free_zero_blocks(struct disk *disk, const struct disk_progress *progress,
			    struct disk_error *error)
{
	struct layer *top = disk_top(disk);
	uint8_t *buffer = malloc(DISK_MIB);
	uint64_t at, unfinished = 0;
	int r = buffer ? 0 : -ENOMEM;

	for (at = 0; at < top->size && !r; at += top->block_size) {
		uint64_t length = min_u64(top->block_size, top->size - at);
		bool zero;

		r = block_is_zero(disk, at, length, buffer, &zero);
		if (!r && zero) {
			r = layer_trim(disk, top, 0, length, at);
		}
		if (++unfinished == 4096 && !r) {
			unfinished = 0;
			r = top->format->flush(top);
		}
		r = r ? r : report_progress(progress, at + length, top->size);
	}
	free(buffer);
	r = r ? r : top->format->flush(top);
	return r ? error_set(error, r, "%s: looking for blocks of zeros: %s", top->file.path,
			     strerror(-r))
		 : 0;
}

int disk_compact(struct disk *disk, const struct disk_progress *progress, struct disk_error *error)
{
	struct layer *top = disk_top(disk);
	uint64_t moved;
	int r;

	if (disk->read_only) {
		return error_set(error, -EROFS, "%s: opened read-only", top->file.path);
	}
	if (top->type == DISK_FIXED) {
		return error_set(error, -EINVAL,
				 "%s: a fixed disk keeps its size; convert it to a dynamic one",
				 top->file.path);
	}
	r = top->format->id == DISK_FORMAT_VHD && top->type == DISK_DIFFERENCING
		    ? 0
		    : /* the format cannot say "zeros" over a parent */
		    free_zero_blocks(disk, progress, error);
	while (!r) {
		r = top->format->compact(top, &moved);
		if (r) {
			return error_set(error, r, "%s: moving blocks: %s", top->file.path,
					 strerror(-r));
		}
		if (!moved) {
			break;
		}
		r = report_progress(progress, top->size, top->size);
	}
	return r;
}

/* Anything but zeros from `from` to the end? */
static int holds_data(struct disk *disk, uint64_t from, bool *data)
{
	uint8_t *buffer = malloc(DISK_MIB);
	int r = buffer ? 0 : -ENOMEM;

	*data = false;
	while (!r && !*data && from < disk_size(disk)) {
		enum disk_status status;
		uint64_t run;

		r = disk_status(disk, from, DISK_MIB, &status, &run);
		if (!r && status == DISK_STATUS_DATA) {
			r = disk_read(disk, buffer, run, from);
			*data = !r && !is_all_zero(buffer, run);
		}
		from += run;
	}
	free(buffer);
	return r;
}

static int shrink(struct disk *disk, uint64_t size, bool discard, struct disk_error *error)
{
	struct layer *top = disk_top(disk);
	bool data = false;
	int r = discard ? 0 : holds_data(disk, size, &data);

	if (!r && data) {
		return error_set(error, -ENOTEMPTY,
				 "%s: there is data beyond the new end; --force discards it",
				 top->file.path);
	}
	r = r ? r : layer_trim(disk, top, 0, top->size - size, size);
	r = r ? r : top->format->flush(top);
	return r ? error_set(error, r, "%s: freeing the end: %s", top->file.path, strerror(-r)) : 0;
}

int disk_resize(struct disk *disk, uint64_t size, bool discard, struct disk_error *error)
{
	struct layer *top = disk_top(disk);
	int r;

	if (disk->read_only) {
		return error_set(error, -EROFS, "%s: opened read-only", top->file.path);
	}
	if (!size || size % top->sector_size) {
		return error_set(error, -EINVAL, "%s: a size in whole sectors of %u bytes, please",
				 top->file.path, top->sector_size);
	}
	if (size == top->size) {
		return 0;
	}
	r = size < top->size && top->format->has_blocks ? shrink(disk, size, discard, error) : 0;
	if (!r && size < top->size && !top->format->has_blocks && !discard) {
		bool data;

		r = holds_data(disk, size, &data);
		r = r || !data
			    ? r
			    : error_set(error, -ENOTEMPTY,
					"%s: there is data beyond the new end; --force discards it",
					top->file.path);
	}
	return r ? r : top->format->resize(top, size, error);
}
