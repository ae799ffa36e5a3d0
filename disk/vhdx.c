/* VHDX: reading, writing, trimming, a session's begin and end. The order of writes is in docs/design/disk.md. */
#include "disk/vhdx.h"

#include <stdlib.h>

static int vhdx_probe(struct file *file)
{
	uint8_t signature[8];
	int r = file_read(file, signature, sizeof(signature), 0);

	return r == -ENODATA ? 0 : r ? r : !memcmp(signature, "vhdxfile", 8);
}

static void vhdx_release(struct layer *layer)
{
	if (layer->vhdx) {
		vhdx_forget_bat(layer->vhdx);
		vhdx_log_release(layer);
		free(layer->vhdx);
		layer->vhdx = NULL;
	}
}

static int vhdx_open(struct layer *layer, struct disk_error *error)
{
	int probed = vhdx_probe(&layer->file), r;

	if (probed != 1) {
		return error_set(error, probed ? probed : -EMEDIUMTYPE, "%s: not a VHDX file", layer->file.path);
	}
	layer->vhdx = calloc(1, sizeof(*layer->vhdx));
	if (!layer->vhdx) {
		return error_set(error, -ENOMEM, "%s: out of memory", layer->file.path);
	}
	r = vhdx_read_headers(layer, error);
	r = r ? r : vhdx_log_read(layer, error);
	r = r ? r : vhdx_read_regions(layer, error);
	r = r ? r : vhdx_read_metadata(layer, error);
	return r ? r : vhdx_load_bat(layer, error);
}

/* -- Session -- */

static void take_data_guid(struct vhdx *v)
{
	if (guid_is_zero(&v->next_data_write)) {
		guid_random(&v->header.data_write);
	} else {
		v->header.data_write = v->next_data_write;
	}
}

/* Nobody writes before the flags are set, and they are set when the headers are durable. */
static int begin_session(struct layer *layer, bool data)
{
	struct vhdx *v = layer->vhdx;
	bool first_data = data && !v->data_changed;
	uint64_t megabytes;
	int r;

	if (v->begun && !first_data) {
		return 0;
	}
	if (first_data) {
		take_data_guid(v);
	}
	r = v->begun ? vhdx_write_headers(layer) : vhdx_log_begin(layer);
	if (r) {
		return r;
	}
	pthread_mutex_lock(&layer->lock);
	megabytes = round_up(layer->file.size, DISK_MIB) / DISK_MIB; /* replay may have made the file longer */
	if (megabytes > v->space.end) {
		r = space_grow(&v->space, megabytes);
	}
	v->begun = !r;
	v->data_changed |= first_data;
	pthread_mutex_unlock(&layer->lock);
	return r;
}

static int begin(struct layer *layer, bool data)
{
	int r = atomic_load(&layer->failed);

	if (r) {
		return r;
	}
	pthread_mutex_lock(&layer->flush_lock);
	r = begin_session(layer, data);
	if (r) {
		layer_fail(layer, r);
	}
	pthread_mutex_unlock(&layer->flush_lock);
	return r;
}

int vhdx_begin(struct layer *layer)
{
	return begin(layer, false);
}

int vhdx_flush(struct layer *layer)
{
	int r = atomic_load(&layer->failed);

	if (r) {
		return r;
	}
	pthread_mutex_lock(&layer->flush_lock);
	if (layer->vhdx->begun) {
		r = vhdx_flush_tables(layer);
	}
	pthread_mutex_unlock(&layer->flush_lock);
	return r;
}

static bool vhdx_is_dirty(struct layer *layer)
{
	struct vhdx *v = layer->vhdx;
	bool dirty;

	pthread_mutex_lock(&layer->lock);
	dirty = v->dirty_page_count || v->bat_dirty_count || layer->freed.count;
	pthread_mutex_unlock(&layer->lock);
	return dirty;
}

/* The file is cut only after the header has let go of the log: an entry says how long the file was. */
static int vhdx_finish(struct layer *layer)
{
	struct vhdx *v = layer->vhdx;
	int r = atomic_load(&layer->failed);

	if (!v->begun || r) {
		return r;
	}
	r = vhdx_flush(layer);
	pthread_mutex_lock(&layer->flush_lock);
	r = r ? r : vhdx_log_end(layer);
	v->begun = false;
	vhdx_release_freed(layer);
	if (!r) {
		uint64_t end = space_used_end(&v->space) * DISK_MIB;

		r = end < layer->file.size ? file_truncate(&layer->file, end) : 0;
		r = r ? r : file_sync(&layer->file);
	}
	pthread_mutex_unlock(&layer->flush_lock);
	return r;
}

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

static int map_partial(struct layer *layer, uint64_t offset, uint64_t length, uint64_t entry, bool wait,
		       struct extent *extent)
{
	uint64_t sector = offset / layer->sector_size, in_sector = offset % layer->sector_size;
	unsigned from = sector % VHDX_BITMAP_SECTORS;
	uint64_t want = (in_sector + length + layer->sector_size - 1) / layer->sector_size;
	struct bitmap_page *page;
	bool present;
	unsigned run;
	int r = vhdx_get_page(layer, sector / VHDX_BITMAP_SECTORS, wait, &page);

	if (r) {
		return r;
	}
	run = run_of_bits(page->bits, from, (unsigned)min_u64(from + want, VHDX_BITMAP_SECTORS), &present);
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
		    (extent->kind == EXTENT_DATA && entry_offset(entry) != extent->file_offset + extent->length)) {
			return;
		}
		extent->length += min_u64(length - extent->length, layer->block_size);
	}
}

static int map_locked(struct layer *layer, uint64_t offset, uint64_t length, bool wait, struct extent *extent)
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

static int vhdx_map(struct layer *layer, uint64_t offset, uint64_t length, bool wait, struct extent *extent)
{
	int r = map_locked(layer, offset, length, wait, extent);

	if (!r && extent->kind == EXTENT_DATA) {
		layer_io_begin(layer, extent);
	}
	return r;
}

/* -- Writing -- */

static int need_bitmap_block(struct layer *layer, uint64_t chunk, bool wait)
{
	struct vhdx *v = layer->vhdx;
	uint64_t index = vhdx_bitmap_index(v, chunk), offset;
	int r;

	if (entry_state(v->bat[index]) == VHDX_BITMAP_PRESENT) {
		return 0;
	}
	r = vhdx_allocate(layer, VHDX_BITMAP_BLOCK, wait, &offset);
	if (!r) {
		vhdx_set_entry(v, index, offset | VHDX_BITMAP_PRESENT);
	}
	return r;
}

/* Over a parent a new block starts with all bits clear: it reads as before (invariants 3 and 4). */
static int allocate_block(struct layer *layer, uint64_t block, bool wait)
{
	struct vhdx *v = layer->vhdx;
	uint64_t index = vhdx_payload_index(v, block), offset, sectors = layer->block_size / layer->sector_size;
	bool over_parent = v->has_parent && entry_state(v->bat[index]) == VHDX_NOT_PRESENT;
	int r = 0;

	if (over_parent) {
		r = need_bitmap_block(layer, block / v->chunk_ratio, wait);
		r = r ? r : vhdx_set_bits(layer, block * sectors, sectors, false, wait);
	}
	r = r ? r : vhdx_allocate(layer, layer->block_size, wait, &offset);
	if (!r) {
		vhdx_set_entry(v, index, offset | (over_parent ? VHDX_PARTIALLY_PRESENT : VHDX_FULLY_PRESENT));
	}
	return r;
}

static int begin_locked(struct layer *layer, uint64_t offset, uint64_t length, bool wait, struct extent *extent)
{
	struct vhdx *v = layer->vhdx;
	uint64_t block = offset / layer->block_size, entry;
	int r;

	if (!v->begun || !v->data_changed) {
		return -EAGAIN;
	}
	if (entry_state(v->bat[vhdx_payload_index(v, block)]) < VHDX_FULLY_PRESENT) {
		r = allocate_block(layer, block, wait);
		if (r) {
			return r;
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

static int vhdx_write_begin(struct layer *layer, uint64_t offset, uint64_t length, bool wait, struct extent *extent)
{
	int r = atomic_load_explicit(&layer->failed, memory_order_relaxed);

	if (r) {
		return r;
	}
	do {
		r = layer_lock(layer, wait);
		if (r) {
			return r;
		}
		r = begin_locked(layer, offset, length, wait, extent);
		layer_unlock(layer);
	} while (r == -EAGAIN && wait && !(r = begin(layer, true)));
	return r;
}

/* The block may have been trimmed meanwhile, and even be elsewhere now: then there is nothing to mark. */
static int end_locked(struct layer *layer, uint64_t offset, uint64_t length, const struct extent *extent)
{
	struct vhdx *v = layer->vhdx;
	uint64_t done, n;
	int r = 0;

	for (done = 0; done < length && !r; done += n) {
		uint64_t at = offset + done, in_block = at % layer->block_size;
		uint64_t index = vhdx_payload_index(v, at / layer->block_size), entry = v->bat[index];

		n = min_u64(length - done, layer->block_size - in_block);
		if (entry_state(entry) != VHDX_PARTIALLY_PRESENT ||
		    entry_offset(entry) + in_block != extent->file_offset + done) {
			continue;
		}
		if (n == layer->block_size) {
			vhdx_set_entry(v, index, entry_offset(entry) | VHDX_FULLY_PRESENT);
		} else {
			r = vhdx_set_bits(layer, at / layer->sector_size, n / layer->sector_size, true, true);
		}
	}
	return r;
}

static int vhdx_write_end(struct layer *layer, uint64_t offset, uint64_t length, const struct extent *extent)
{
	int r;

	if (!layer->vhdx->has_parent) {
		return 0;
	}
	layer_lock(layer, true);
	r = end_locked(layer, offset, length, extent);
	layer_unlock(layer);
	return r;
}

/* -- Trimming -- */

static int trim_whole_block(struct layer *layer, uint64_t block)
{
	struct vhdx *v = layer->vhdx;
	uint64_t index = vhdx_payload_index(v, block), entry = v->bat[index];
	int r = 0;

	if (entry_state(entry) >= VHDX_FULLY_PRESENT) {
		r = span_add(&layer->freed, entry_offset(entry), layer->block_size);
	} else if (kind_of_state(v, entry_state(entry)) == EXTENT_ZERO) {
		return 0;
	}
	if (!r) {
		vhdx_set_entry(v, index, VHDX_ZERO);
	}
	return r;
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

static int vhdx_trim(struct layer *layer, uint64_t offset, uint64_t length, uint64_t *done)
{
	struct extent use = {.kind = EXTENT_DATA};
	struct span zero = {0};
	int r = begin(layer, true);

	*done = min_u64(length, layer->block_size - offset % layer->block_size);
	if (r) {
		return r;
	}
	layer_lock(layer, true);
	r = trim_locked(layer, offset, *done, &zero);
	layer_io_begin(layer, &use); /* the block is not given to anybody else while it is cleared */
	layer_unlock(layer);
	if (!r && zero.length) {
		r = file_zero(&layer->file, zero.offset, zero.length, layer->vhdx->leave_allocated);
	}
	layer_io_end(layer, &use);
	return r;
}

/* -- Parents and information -- */

static int commit_locator(struct layer *layer, const struct create_plan *plan, const struct guid *linkage,
			  const struct guid *linkage_2, struct disk_error *error)
{
	int r = vhdx_flush(layer);

	r = r ? r : vhdx_begin(layer);
	if (r) {
		return error_set(error, r, "%s: cannot be written: %s", layer->file.path, strerror(-r));
	}
	pthread_mutex_lock(&layer->flush_lock);
	r = vhdx_stage_locator(layer, plan, linkage, linkage_2, error);
	if (!r) {
		r = vhdx_log_commit(layer);
		if (r) {
			error_set(error, r, "%s: writing the parent locator: %s", layer->file.path, strerror(-r));
		}
	}
	layer->vhdx->stage_count = 0;
	pthread_mutex_unlock(&layer->flush_lock);
	return r;
}

static int vhdx_set_parent(struct layer *layer, const struct create_plan *plan, struct disk_error *error)
{
	struct guid linkage;
	char text[GUID_TEXT];

	plan->parent->format->identity(plan->parent, text);
	if (guid_parse(text, &linkage)) {
		return error_set(error, -EINVAL, "%s: not a VHDX file, so it cannot be a parent of one",
				 plan->parent->file.path);
	}
	memcpy(layer->parent_id, text, sizeof(text));
	layer->parent_id_2[0] = 0;
	return commit_locator(layer, plan, &linkage, NULL, error);
}

int vhdx_expect_parent(struct layer *child, const struct guid *now, const struct guid *next, struct disk_error *error)
{
	guid_print(now, child->parent_id);
	guid_print(next, child->parent_id_2);
	return commit_locator(child, NULL, now, next, error);
}

/* Block by block: the parent holds the same, so any part of it may be durable first. */
static int vhdx_empty(struct layer *layer)
{
	struct vhdx *v = layer->vhdx;
	uint64_t block;
	int r = vhdx_begin(layer);

	layer_lock(layer, true);
	for (block = 0; block < v->payload_count && !r; block++) {
		uint64_t index = vhdx_payload_index(v, block), entry = v->bat[index];

		if (entry_state(entry) >= VHDX_FULLY_PRESENT) {
			r = span_add(&layer->freed, entry_offset(entry), layer->block_size);
		}
		if (!r && entry_state(entry) != VHDX_NOT_PRESENT) {
			vhdx_set_entry(v, index, VHDX_NOT_PRESENT);
		}
	}
	layer_unlock(layer);
	return r ? r : vhdx_flush(layer);
}

static void vhdx_info(struct layer *layer, struct disk_info *info)
{
	struct vhdx *v = layer->vhdx;
	struct vhdx_identifier id;
	uint64_t block;

	guid_print(&v->disk_id, info->id);
	guid_print(&v->header.data_write, info->write_id);
	info->log_pending = !guid_is_zero(&v->header.log) && !v->begun;
	if (file_read(&layer->file, &id, sizeof(id), 0) ||
	    utf16_to_utf8(id.creator, sizeof(id.creator) / 2, false, info->creator, sizeof(info->creator))) {
		info->creator[0] = 0;
	}
	info->blocks = v->payload_count;
	pthread_mutex_lock(&layer->lock);
	for (block = 0; block < v->payload_count; block++) {
		info->blocks_present += entry_state(v->bat[vhdx_payload_index(v, block)]) >= VHDX_FULLY_PRESENT;
	}
	pthread_mutex_unlock(&layer->lock);
}

static void vhdx_identity(struct layer *layer, char text[GUID_TEXT])
{
	guid_print(&layer->vhdx->header.data_write, text);
}

const struct format vhdx_format = {
	.id = DISK_FORMAT_VHDX,
	.name = "vhdx",
	.endings = ".vhdx .avhdx",
	.has_blocks = true,
	.probe = vhdx_probe,
	.open = vhdx_open,
	.release = vhdx_release,
	.create = vhdx_create,
	.map = vhdx_map,
	.write_begin = vhdx_write_begin,
	.write_end = vhdx_write_end,
	.trim = vhdx_trim,
	.is_dirty = vhdx_is_dirty,
	.flush = vhdx_flush,
	.finish = vhdx_finish,
	.resize = vhdx_resize,
	.compact = vhdx_compact,
	.empty = vhdx_empty,
	.set_parent = vhdx_set_parent,
	.check = vhdx_check,
	.info = vhdx_info,
	.identity = vhdx_identity,
};
