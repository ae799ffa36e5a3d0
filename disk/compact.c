/*
 * Changes of a whole file's layout: compact and resize. The handle is used by nobody else
 * meanwhile.
 */
#include "disk/bytes.h"
#include "disk/chain.h"
#include "disk/disk.h"
#include "disk/error.h"
#include "disk/file.h"
#include "disk/format.h"
#include "disk/layer.h"
#include "disk/units.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int report_progress(const struct disk_progress *progress, uint64_t done, uint64_t total)
{
	return progress != NULL && progress->step != NULL
		       ? progress->step(progress->user, done, total)
		       : 0;
}

/* Is this block there, and all zeros, over parents that read as zeros as well? */
static int block_is_zero(struct disk *disk, uint64_t offset, uint64_t length, uint8_t *buffer,
			 bool *zero)
{
	struct layer *top = disk_top(disk), *from;
	struct extent extent;
	uint64_t at;
	bool here = false;
	int ret = 0;

	*zero = true;
	for (at = 0; at < length && *zero && !ret; at += extent.length) {
		struct iovec iov;

		ret = chain_map(disk, 0, offset + at, min_u64(length - at, DISK_MIB), true, &extent,
				&from);
		if (ret || extent.kind == EXTENT_ZERO) {
			continue;
		}
		layer_io_end(from, &extent);
		here |= from == top;
		iov = (struct iovec){buffer, extent.length};
		ret = file_readv(&from->file, &iov, 1, extent.file_offset);
		*zero = !ret && is_all_zero(buffer, extent.length);
	}
	*zero = *zero && here && !ret;
	return ret;
}

static int free_zero_blocks(struct disk *disk, const struct disk_progress *progress,
			    struct disk_error *error)
{
	struct layer *top = disk_top(disk);
	uint8_t *buffer = malloc(DISK_MIB);
	uint64_t at, unfinished = 0;
	int ret = buffer != NULL ? 0 : -ENOMEM;

	for (at = 0; at < top->size && !ret; at += top->block_size) {
		uint64_t length = min_u64(top->block_size, top->size - at);
		bool zero;

		ret = block_is_zero(disk, at, length, buffer, &zero);
		if (!ret && zero) {
			ret = layer_trim(disk, top, 0, length, at);
		}
		if (++unfinished == 4096 && !ret) {
			unfinished = 0;
			ret = top->format->flush(top);
		}
		ret = ret ? ret : report_progress(progress, at + length, top->size);
	}
	free(buffer);
	ret = ret ? ret : top->format->flush(top);
	return ret ? error_set(error, ret, "%s: looking for blocks of zeros: %s", top->file.path,
			       strerror(-ret))
		   : 0;
}

#define HOLE (64 * DISK_KIB) /* shorter stretches of zeros stay: each hole makes the file slower */

static int dig_piece(struct disk *disk, uint64_t start, uint64_t length, uint8_t *buffer)
{
	uint64_t at, n;
	int ret = disk_read(disk, buffer, length, start);

	for (at = 0; at < length && !ret; at += n) {
		n = min_u64(HOLE - (start + at) % HOLE, length - at);
		if (is_all_zero(buffer + at, n)) {
			ret = file_zero(&disk_top(disk)->file, start + at, n, false);
		}
	}
	return ret;
}

/* A raw file gets holes where it is zeros. */
static int dig_holes(struct disk *disk, const struct disk_progress *progress,
		     struct disk_error *error)
{
	uint8_t *buffer = malloc(DISK_MIB);
	uint64_t at = 0, size = disk_size(disk), run;
	int ret = buffer != NULL ? 0 : -ENOMEM;

	while (at < size && !ret) {
		enum disk_status status;

		ret = disk_status(disk, at, min_u64(DISK_MIB - at % DISK_MIB, size - at), &status,
				  &run);
		if (!ret && status == DISK_STATUS_DATA) {
			ret = dig_piece(disk, at, run, buffer);
		}
		at += run;
		ret = ret ? ret : report_progress(progress, at, size);
	}
	free(buffer);
	ret = ret ? ret : disk_flush(disk);
	return ret ? error_set(error, ret, "%s: making holes: %s", disk_top(disk)->file.path,
			       strerror(-ret))
		   : 0;
}

int disk_compact(struct disk *disk, const struct disk_progress *progress, struct disk_error *error)
{
	struct layer *top = disk_top(disk);
	uint64_t moved;
	int ret;

	if (disk->read_only) {
		return error_set(error, -EROFS, "%s: opened read-only", top->file.path);
	}
	if (top->format->id == DISK_FORMAT_RAW) {
		return dig_holes(disk, progress, error);
	}
	if (top->type == DISK_FIXED) {
		return error_set(error, -EINVAL,
				 "%s: a fixed disk keeps its size; convert it to a dynamic one",
				 top->file.path);
	}
	ret = top->format->id == DISK_FORMAT_VHD && top->type == DISK_DIFFERENCING
		      ? 0
		      : /* the format cannot say "zeros" over a parent */
		      free_zero_blocks(disk, progress, error);
	while (!ret) {
		ret = top->format->compact(top, &moved);
		if (ret) {
			return error_set(error, ret, "%s: moving blocks: %s", top->file.path,
					 strerror(-ret));
		}
		if (!moved) {
			break;
		}
		ret = report_progress(progress, top->size, top->size);
	}
	return ret;
}

/* Anything but zeros from `from` to the end? */
static int holds_data(struct disk *disk, uint64_t from, bool *data)
{
	uint8_t *buffer = malloc(DISK_MIB);
	int ret = buffer != NULL ? 0 : -ENOMEM;

	*data = false;
	while (!ret && !*data && from < disk_size(disk)) {
		enum disk_status status;
		uint64_t run;

		ret = disk_status(disk, from, DISK_MIB, &status, &run);
		if (!ret && status == DISK_STATUS_DATA) {
			ret = disk_read(disk, buffer, run, from);
			*data = !ret && !is_all_zero(buffer, run);
		}
		from += run;
	}
	free(buffer);
	return ret;
}

/* The end of the last piece that is not zeros, looking down from `end`; 0: all are. */
static int find_last_data(struct disk *disk, uint64_t start, uint64_t end, uint8_t *buffer,
			  uint64_t *last)
{
	uint32_t sector = disk_sector_size(disk);
	uint64_t length = end - start;
	int ret = disk_read(disk, buffer, length, start);

	*last = 0;
	for (; !ret && length && !*last; length -= min_u64(length, sector)) {
		uint64_t from = round_down(length - 1, sector);

		if (!is_all_zero(buffer + from, length - from)) {
			*last = start + length;
		}
	}
	return ret;
}

/*
 * Known zeros are passed over from the front, so the last data that is not known to be zeros is
 * found first; what is stored and zeros, from the back.
 */
int disk_minimum_size(struct disk *disk, uint64_t *size, struct disk_error *error)
{
	uint8_t *buffer = malloc(DISK_MIB);
	uint64_t at = 0, last = 0, end = 0, run;
	int ret = buffer != NULL ? 0 : -ENOMEM;

	while (!ret && at < disk_size(disk)) {
		enum disk_status status;

		ret = disk_status(disk, at, disk_size(disk) - at, &status, &run);
		at += run;
		end = status == DISK_STATUS_DATA ? at : end;
	}
	while (!ret && end && !last) {
		uint64_t start = round_down(end - 1, DISK_MIB);

		ret = find_last_data(disk, start, end, buffer, &last);
		end = start;
	}
	free(buffer);
	/* Whole megabytes, as partitions have it; and a disk has at least one. */
	*size = min_u64(max_u64(round_up(last, DISK_MIB), DISK_MIB), disk_size(disk));
	return ret ? error_set(error, ret, "%s: looking for the last data: %s",
			       disk_top(disk)->file.path, strerror(-ret))
		   : 0;
}

static int shrink(struct disk *disk, uint64_t size, bool discard, struct disk_error *error)
{
	struct layer *top = disk_top(disk);
	bool data = false;
	int ret = discard ? 0 : holds_data(disk, size, &data);

	if (!ret && data) {
		return error_set(error, -ENOTEMPTY,
				 "%s: there is data beyond the new end; --force discards it",
				 top->file.path);
	}
	ret = ret ? ret : layer_trim(disk, top, 0, top->size - size, size);
	ret = ret ? ret : top->format->flush(top);
	return ret ? error_set(error, ret, "%s: freeing the end: %s", top->file.path,
			       strerror(-ret))
		   : 0;
}

int disk_resize(struct disk *disk, uint64_t size, bool discard, struct disk_error *error)
{
	struct layer *top = disk_top(disk);
	int ret;

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
	ret = size < top->size && top->format->has_blocks ? shrink(disk, size, discard, error) : 0;
	if (!ret && size < top->size && !top->format->has_blocks && !discard) {
		bool data;

		ret = holds_data(disk, size, &data);
		if (!ret && data) {
			ret = error_set(error, -ENOTEMPTY,
					"%s: there is data beyond the new end; --force discards it",
					top->file.path);
		}
	}
	return ret ? ret : top->format->resize(top, size, error);
}
