/* A request on a chain becomes extents of its layers; the blocking way to carry them out. */
#include "disk/chain.h"

#include "disk/disk.h"
#include "disk/file.h"
#include "disk/format.h"
#include "disk/layer.h"
#include "disk/units.h"
#include "lib/check.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

/* What has been carried out is taken off the front; the caller's array is used up. */
static void iov_advance(struct iovec **iov, unsigned *count, uint64_t length)
{
	while (*count && length >= (*iov)->iov_len) {
		length -= (*iov)->iov_len;
		++*iov;
		--*count;
	}
	if (length) {
		(*iov)->iov_base = (uint8_t *)(*iov)->iov_base + length;
		(*iov)->iov_len -= length;
	}
}

uint64_t iov_slice(const struct iovec *iov, unsigned count, uint64_t skip, uint64_t length,
		   struct iovec *out, unsigned capacity, unsigned *out_count)
{
	uint64_t taken = 0;
	unsigned i;

	*out_count = 0;
	for (i = 0; i < count && taken < length && *out_count < capacity; i++) {
		uint64_t n = iov[i].iov_len - min_u64(skip, iov[i].iov_len);

		n = min_u64(n, length - taken);
		if (n) {
			out[(*out_count)++] = (struct iovec){
				.iov_base = (uint8_t *)iov[i].iov_base + skip, .iov_len = n};
		}
		skip -= min_u64(skip, iov[i].iov_len);
		taken += n;
	}
	return taken;
}

void chain_stop(struct disk *disk)
{
	atomic_store(&disk->merging, 1);
	while (atomic_load(&disk->async_users)) { /* writes that began on the fast path */
		usleep(200);
	}
	pthread_rwlock_wrlock(&disk->chain_lock); /* and those on the slow one */
}

static void iov_zero(const struct iovec *iov, unsigned count)
{
	unsigned i;

	for (i = 0; i < count; i++) {
		memset(iov[i].iov_base, 0, iov[i].iov_len);
	}
}

int chain_map(struct disk *disk, unsigned first, uint64_t offset, uint64_t length, bool wait,
	      struct extent *extent, struct layer **layer)
{
	unsigned i;

	for (i = first; i < disk->layer_count; i++) {
		int ret;

		*layer = disk->layers[i];
		if (offset >= (*layer)->size) { /* a parent may be shorter than its child */
			break;
		}
		length = min_u64(length, (*layer)->size - offset);
		ret = layer_lock(*layer, wait);
		if (ret) {
			return ret;
		}
		ret = (*layer)->format->map(*layer, offset, length, wait, extent);
		layer_unlock(*layer);
		/* An extent of data counts in its layer's epoch from here on: who gets it ends
		 * it. */
		if (ret || extent->kind != EXTENT_PARENT) {
			return ret;
		}
		/* What a child leaves to its parent ends no later than the child's own extent
		 * does. */
		length = extent->length;
	}
	*layer = NULL;
	*extent = (struct extent){.kind = EXTENT_ZERO, .length = length};
	return 0;
}

#define SLICE_IOVS 64

int chain_read(struct disk *disk, unsigned first, struct iovec *iov, unsigned count,
	       uint64_t length, uint64_t offset)
{
	while (length) {
		struct iovec slice[SLICE_IOVS];
		struct extent extent;
		struct layer *layer;
		unsigned n;
		uint64_t taken;
		int ret = chain_map(disk, first, offset, length, true, &extent, &layer);

		if (ret) {
			return ret;
		}
		taken = iov_slice(iov, count, 0, extent.length, slice, SLICE_IOVS, &n);
		if (extent.kind == EXTENT_DATA) {
			ret = file_readv(&layer->file, slice, n, extent.file_offset);
			layer_io_end(layer, &extent);
			if (ret) {
				return ret;
			}
		} else {
			iov_zero(slice, n);
		}
		iov_advance(&iov, &count, taken);
		length -= taken;
		offset += taken;
	}
	return 0;
}

bool write_needs_care(const struct layer *layer, uint64_t offset, uint64_t length)
{
	return layer->type == DISK_DIFFERENCING && (offset | length) % layer->sector_size;
}

/* Whole sectors where the layer differs from its parents; any bytes elsewhere. */
static int write_some(struct layer *layer, struct iovec *iov, unsigned count, uint64_t length,
		      uint64_t offset, uint64_t *written)
{
	struct iovec slice[SLICE_IOVS];
	struct extent extent;
	uint64_t taken;
	unsigned n;
	int ret = layer->format->write_begin(layer, offset, length, true, &extent);

	if (ret) {
		return ret;
	}
	/*
	 * The slice may be full before the extent is: then no sector may be written in part, for
	 * its bit says that all of it is this layer's.
	 */
	taken = iov_slice(iov, count, 0, extent.length, slice, SLICE_IOVS, &n);
	if (layer->type == DISK_DIFFERENCING && taken < extent.length) {
		taken = iov_slice(iov, count, 0, round_down(taken, layer->sector_size), slice,
				  SLICE_IOVS, &n);
	}
	ret = taken ? file_writev(&layer->file, slice, n, extent.file_offset) : -EINVAL;
	/* Only now: a bit or an entry that was set before would show what lay there. */
	if (!ret) {
		ret = layer->format->write_end(layer, offset, taken, &extent);
	}
	layer_io_end(layer, &extent);
	*written = taken;
	return ret;
}

/*
 * Less than a sector: merged with what the chain holds, if the layer does not have the sector yet.
 */
static int write_edge(struct disk *disk, struct layer *layer, unsigned index, struct iovec *iov,
		      unsigned count, uint64_t length, uint64_t offset)
{
	uint64_t start = round_down(offset, layer->sector_size), written;
	uint8_t sector[4096];
	struct iovec whole = {.iov_base = sector, .iov_len = layer->sector_size};
	unsigned i;
	int ret;

	/* Two edges of one sector would each write back what the other had not changed yet. */
	pthread_mutex_lock(&disk->edge_lock);
	ret = chain_read(disk, index, &whole, 1, layer->sector_size, start);
	if (!ret) {
		uint8_t *p = sector + (offset - start);

		for (i = 0; i < count && length; i++) {
			size_t n = (size_t)min_u64(length, iov[i].iov_len);

			memcpy(p, iov[i].iov_base, n);
			p += n;
			length -= n;
		}
		whole = (struct iovec){.iov_base = sector, .iov_len = layer->sector_size};
		ret = write_some(layer, &whole, 1, layer->sector_size, start, &written);
	}
	pthread_mutex_unlock(&disk->edge_lock);
	return ret;
}

int layer_write(struct disk *disk, struct layer *layer, unsigned index, struct iovec *iov,
		unsigned count, uint64_t length, uint64_t offset)
{
	struct iovec gathered;
	/* Whole sectors go as they are; what lies before the first and behind the last goes by way
	 * of a copy. */
	uint8_t sector[4096];

	while (length) {
		uint64_t in_sector = offset % layer->sector_size, n = length;
		int ret;

		if (write_needs_care(layer, offset, length) &&
		    (in_sector || length < layer->sector_size)) {
			n = min_u64(length, layer->sector_size - in_sector);
			ret = write_edge(disk, layer, index, iov, count, n, offset);
		} else {
			if (layer->type == DISK_DIFFERENCING) {
				n = round_down(length, layer->sector_size);
			}
			ret = write_some(layer, iov, count, n, offset, &n);
			if (ret == -EINVAL && !n) { /* a sector in more pieces than a slice holds */
				unsigned pieces;
				uint8_t *p = sector;
				struct iovec piece;

				for (n = 0; n < layer->sector_size; n += piece.iov_len) {
					iov_slice(iov, count, n, layer->sector_size - n, &piece, 1,
						  &pieces);
					memcpy(p + n, piece.iov_base, piece.iov_len);
				}
				gathered = (struct iovec){.iov_base = sector, .iov_len = n};
				ret = write_some(layer, &gathered, 1, n, offset, &n);
			}
		}
		if (ret) {
			return ret;
		}
		iov_advance(&iov, &count, n);
		length -= n;
		offset += n;
	}
	return 0;
}

static int write_zeros(struct disk *disk, struct layer *layer, unsigned index, uint64_t length,
		       uint64_t offset)
{
	static const uint8_t zeros[65536] IN_BSS;
	int ret = 0;

	while (length && !ret) {
		uint64_t n = min_u64(length, sizeof(zeros));
		struct iovec iov = {.iov_base = (void *)zeros, .iov_len = n};

		ret = layer_write(disk, layer, index, &iov, 1, n, offset);
		offset += n;
		length -= n;
	}
	return ret;
}

static uint64_t to_block_end(const struct layer *layer, uint64_t offset)
{
	return layer->block_size ? layer->block_size - offset % layer->block_size : UINT64_MAX;
}

int layer_trim(struct disk *disk, struct layer *layer, unsigned index, uint64_t length,
	       uint64_t offset)
{
	while (length) {
		struct extent extent;
		struct layer *from;
		uint64_t done;
		int ret = chain_map(disk, index, offset, length, true, &extent, &from);

		if (ret) {
			return ret;
		}
		layer_io_end(from, &extent);
		done = extent.length;
		if (extent.kind != EXTENT_ZERO ||
		    done < min_u64(length, to_block_end(layer, offset))) {
			/*
			 * What reads as zeros already, to the end of its block, stays as it is: to
			 * trim it would make tables dirty for nothing. A shorter run is offered to
			 * the format, which may let go of the whole block.
			 */
			ret = layer->format->trim(layer, offset, length, &done);
			if (ret == -EOPNOTSUPP) {
				/* The format cannot say "zero" of so little, or would uncover its
				 * parent's data. */
				done = extent.length;
				ret = extent.kind == EXTENT_ZERO
					      ? 0
					      : write_zeros(disk, layer, index, done, offset);
			}
		}
		if (ret) {
			return ret;
		}
		length -= done;
		offset += done;
	}
	return 0;
}

int chain_write(struct disk *disk, struct iovec *iov, unsigned count, uint64_t length,
		uint64_t offset)
{
	if (atomic_load(&disk->merging)) {
		return merge_write(disk, iov, count, length, offset);
	}
	return layer_write(disk, disk_top(disk), 0, iov, count, length, offset);
}

int chain_trim(struct disk *disk, uint64_t length, uint64_t offset)
{
	if (atomic_load(&disk->merging)) {
		return merge_trim(disk, length, offset);
	}
	return layer_trim(disk, disk_top(disk), 0, length, offset);
}
