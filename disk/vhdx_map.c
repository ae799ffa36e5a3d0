/*
 * VHDX: where data lies, where it may be written, and what a trim frees. The order of writes is in
 * docs/design/disk.md.
 */
#include "disk/vhdx.h"

#include "disk/file.h"
#include "disk/layer.h"
#include "disk/space.h"
#include "disk/units.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

/* -- Mapping -- */

/* How many of the bits from `from` on (before `end`) are like the first. */
static unsigned run_of_bits(const uint8_t *bits, unsigned from, unsigned end, bool *value)
{
	uint64_t word, same;
	unsigned at = from;

	*value = bits[from / 8] >> (from % 8) & 1;
	same = *value ? UINT64_MAX : 0;
	while (at < end) {
		if (at % 64 == 0 && end - at >= 64) {
			memcpy(&word, bits + at / 8, 8);
			if (word == same) {
				at += 64;
				continue;
			}
			return at + (unsigned)__builtin_ctzll(word ^ same) - from;
		}
		if ((bits[at / 8] >> (at % 8) & 1) != *value) {
			break;
		}
		at++;
	}
	return at - from;
}

static int map_partial(struct layer *layer, uint64_t offset, uint64_t length, uint64_t entry,
		       bool wait, struct extent *extent)
{
	uint64_t sector = offset / layer->sector_size, in_sector = offset % layer->sector_size;
	unsigned from = sector % VHDX_BITMAP_SECTORS;
	uint64_t want = (in_sector + length + layer->sector_size - 1) / layer->sector_size;
	struct bitmap_page *page;
	bool present;
	unsigned run;
	int ret = vhdx_get_page(layer, sector / VHDX_BITMAP_SECTORS, wait, &page);

	if (ret) {
		return ret;
	}
	run = run_of_bits(page->bits, from, (unsigned)min_u64(from + want, VHDX_BITMAP_SECTORS),
			  &present);
	extent->kind = present ? EXTENT_DATA : EXTENT_PARENT;
	extent->file_offset = entry_offset(entry) + offset % layer->block_size;
	extent->length = min_u64(length, (uint64_t)run * layer->sector_size - in_sector);
	return 0;
}

static enum extent_kind kind_of_state(const struct vhdx *v, unsigned state)
{
	if (state == VHDX_FULLY_PRESENT) {
		return EXTENT_DATA;
	}
	return state == VHDX_NOT_PRESENT && v->has_parent ? EXTENT_PARENT : EXTENT_ZERO;
}

/* Blocks that follow and continue the extent. */
static void extend_run(struct layer *layer, uint64_t offset, uint64_t length, struct extent *extent)
{
	const struct vhdx *v = layer->vhdx;

	while (extent->length < length) {
		uint64_t at = offset + extent->length;
		uint64_t entry = v->bat[vhdx_payload_index(v, at / layer->block_size)];
		unsigned state = entry_state(entry);

		if (state == VHDX_PARTIALLY_PRESENT || kind_of_state(v, state) != extent->kind ||
		    (extent->kind == EXTENT_DATA &&
		     entry_offset(entry) != extent->file_offset + extent->length)) {
			return;
		}
		extent->length += min_u64(length - extent->length, layer->block_size);
	}
}

static int map_locked(struct layer *layer, uint64_t offset, uint64_t length, bool wait,
		      struct extent *extent)
{
	const struct vhdx *v = layer->vhdx;
	uint64_t in_block = offset % layer->block_size;
	uint64_t entry = v->bat[vhdx_payload_index(v, offset / layer->block_size)];
	unsigned state = entry_state(entry);

	extent->length = min_u64(length, layer->block_size - in_block);
	if (state == VHDX_PARTIALLY_PRESENT) {
		return map_partial(layer, offset, extent->length, entry, wait, extent);
	}
	extent->kind = kind_of_state(v, state);
	extent->file_offset = entry_offset(entry) + in_block;
	extend_run(layer, offset, length, extent);
	return 0;
}

int vhdx_map(struct layer *layer, uint64_t offset, uint64_t length, bool wait,
	     struct extent *extent)
{
	int ret = map_locked(layer, offset, length, wait, extent);

	if (!ret && extent->kind == EXTENT_DATA) {
		layer_io_begin(layer, extent);
	}
	return ret;
}

/* -- Writing -- */

static int need_bitmap_block(struct layer *layer, uint64_t chunk, bool wait)
{
	struct vhdx *v = layer->vhdx;
	uint64_t index = vhdx_bitmap_index(v, chunk), offset;
	int ret;

	if (entry_state(v->bat[index]) == VHDX_BITMAP_PRESENT) {
		return 0;
	}
	ret = vhdx_allocate(layer, VHDX_BITMAP_BLOCK, wait, &offset);
	if (!ret) {
		vhdx_set_entry(layer, index, offset | VHDX_BITMAP_PRESENT);
	}
	return ret;
}

/* Over a parent a new block starts with all bits clear: it reads as before (invariants 3 and 4). */
static int allocate_block(struct layer *layer, uint64_t block, bool wait)
{
	struct vhdx *v = layer->vhdx;
	uint64_t index = vhdx_payload_index(v, block), offset,
		 sectors = layer->block_size / layer->sector_size;
	bool over_parent = v->has_parent && entry_state(v->bat[index]) == VHDX_NOT_PRESENT;
	int ret = 0;

	if (over_parent) {
		ret = need_bitmap_block(layer, block / v->chunk_ratio, wait);
		ret = ret ? ret : vhdx_set_bits(layer, block * sectors, sectors, false, wait);
	}
	ret = ret ? ret : vhdx_allocate(layer, layer->block_size, wait, &offset);
	if (!ret) {
		vhdx_set_entry(layer, index,
			       offset |
				       (over_parent ? VHDX_PARTIALLY_PRESENT : VHDX_FULLY_PRESENT));
	}
	return ret;
}

/*
 * Before a write that changes the tables: too much of them is dirty, or there is no place for a
 * block and a flush would give some back.
 */
static bool flush_comes_first(struct layer *layer, unsigned state)
{
	struct vhdx *v = layer->vhdx;
	uint64_t start;
	bool clean;

	if (state == VHDX_FULLY_PRESENT) {
		return false;
	}
	return vhdx_tables_are_full(v) ||
	       (state != VHDX_PARTIALLY_PRESENT && layer_should_reclaim(layer) &&
		!space_find(&v->space, layer->block_size / DISK_MIB, &start, &clean));
}

/* -EAGAIN: the session must be begun. -ENOBUFS: flush first, which is asked for but once. */
static int begin_locked(struct layer *layer, uint64_t offset, uint64_t length, bool wait,
			bool flushed, struct extent *extent)
{
	struct vhdx *v = layer->vhdx;
	uint64_t block = offset / layer->block_size, entry;
	unsigned state;
	int ret;

	if (!v->begun || !v->data_changed) {
		return -EAGAIN;
	}
	state = entry_state(v->bat[vhdx_payload_index(v, block)]);
	if (!flushed && flush_comes_first(layer, state)) {
		return -ENOBUFS;
	}
	if (state < VHDX_FULLY_PRESENT) {
		ret = allocate_block(layer, block, wait);
		if (ret) {
			return ret;
		}
	}
	entry = v->bat[vhdx_payload_index(v, block)];
	extent->kind = EXTENT_DATA;
	extent->file_offset = entry_offset(entry) + offset % layer->block_size;
	extent->length = min_u64(length, layer->block_size - offset % layer->block_size);
	if (entry_state(entry) == VHDX_FULLY_PRESENT) {
		extend_run(layer, offset, length, extent);
	}
	layer_io_begin(layer, extent);
	return 0;
}

int vhdx_write_begin(struct layer *layer, uint64_t offset, uint64_t length, bool wait,
		     struct extent *extent)
{
	int ret = atomic_load_explicit(&layer->failed, memory_order_relaxed);
	bool flushed = false;

	while (!ret) {
		ret = layer_lock(layer, wait);
		if (ret) {
			return ret;
		}
		ret = begin_locked(layer, offset, length, wait, flushed, extent);
		layer_unlock(layer);
		if (!ret) {
			return 0;
		}
		if (!wait) {
			return ret == -ENOBUFS ? -EAGAIN : ret;
		}
		if (ret == -EAGAIN) {
			ret = vhdx_begin_data(layer);
		} else if (ret == -ENOBUFS) {
			flushed = true;
			ret = vhdx_flush(layer);
		}
	}
	return ret;
}

/*
 * The block may have been trimmed meanwhile, and even be elsewhere now: then there is nothing to
 * mark.
 */
static int end_locked(struct layer *layer, uint64_t offset, uint64_t length,
		      const struct extent *extent)
{
	struct vhdx *v = layer->vhdx;
	uint64_t done, n;
	int ret = 0;

	for (done = 0; done < length && !ret; done += n) {
		uint64_t at = offset + done, in_block = at % layer->block_size;
		uint64_t index = vhdx_payload_index(v, at / layer->block_size),
			 entry = v->bat[index];

		n = min_u64(length - done, layer->block_size - in_block);
		if (entry_state(entry) != VHDX_PARTIALLY_PRESENT ||
		    entry_offset(entry) + in_block != extent->file_offset + done) {
			continue;
		}
		if (n == layer->block_size) {
			vhdx_set_entry(layer, index, entry_offset(entry) | VHDX_FULLY_PRESENT);
		} else {
			ret = vhdx_set_bits(layer, at / layer->sector_size, n / layer->sector_size,
					    true, true);
		}
	}
	return ret;
}

int vhdx_write_end(struct layer *layer, uint64_t offset, uint64_t length,
		   const struct extent *extent)
{
	int ret;

	if (!layer->vhdx->has_parent) {
		return 0;
	}
	layer_lock(layer, true);
	ret = end_locked(layer, offset, length, extent);
	layer_unlock(layer);
	return ret;
}

/* -- Trimming -- */

static int trim_whole_block(struct layer *layer, uint64_t block)
{
	struct vhdx *v = layer->vhdx;
	uint64_t index = vhdx_payload_index(v, block), entry = v->bat[index];
	int ret = 0;

	if (entry_state(entry) >= VHDX_FULLY_PRESENT) {
		ret = layer_free_space(layer, entry_offset(entry), layer->block_size);
	} else if (kind_of_state(v, entry_state(entry)) == EXTENT_ZERO) {
		return 0;
	}
	if (!ret) {
		vhdx_set_entry(layer, index, VHDX_ZERO);
	}
	return ret;
}

static int trim_locked(struct layer *layer, uint64_t offset, uint64_t length, struct span *zero)
{
	struct vhdx *v = layer->vhdx;
	uint64_t block = offset / layer->block_size, entry = v->bat[vhdx_payload_index(v, block)];
	bool whole = offset % layer->block_size == 0 &&
		     (length == layer->block_size || offset + length == layer->size);

	if (whole && !v->leave_allocated) {
		return trim_whole_block(layer, block);
	}
	switch (entry_state(entry)) {
	case VHDX_FULLY_PRESENT:
		*zero = (struct span){entry_offset(entry) + offset % layer->block_size, length};
		return 0;
	case VHDX_PARTIALLY_PRESENT:
		return -EOPNOTSUPP;
	default:
		return kind_of_state(v, entry_state(entry)) == EXTENT_ZERO ? 0 : -EOPNOTSUPP;
	}
}

int vhdx_trim(struct layer *layer, uint64_t offset, uint64_t length, uint64_t *done)
{
	struct extent use = {.kind = EXTENT_DATA};
	struct span zero = {0};
	int ret = vhdx_begin_data(layer);

	*done = min_u64(length, layer->block_size - offset % layer->block_size);
	ret = ret ? ret : vhdx_flush_if_full(layer);
	if (ret) {
		return ret;
	}
	layer_lock(layer, true);
	ret = trim_locked(layer, offset, *done, &zero);
	layer_io_begin(layer,
		       &use); /* the block is not given to anybody else while it is cleared */
	layer_unlock(layer);
	if (!ret && zero.length) {
		ret = file_zero(&layer->file, zero.offset, zero.length,
				layer->vhdx->leave_allocated);
	}
	layer_io_end(layer, &use);
	return ret;
}
