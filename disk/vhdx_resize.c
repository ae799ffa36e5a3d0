/* VHDX: changing the disk's size, and moving blocks together. */
#include "disk/vhdx.h"

#include "disk/bytes.h"
#include "disk/error.h"
#include "disk/file.h"
#include "disk/format.h"
#include "disk/layer.h"
#include "disk/space.h"
#include "disk/units.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* -- Resize -- */

static int stage_size(struct layer *layer, uint64_t size)
{
	return vhdx_stage_bytes(layer, layer->vhdx->metadata_offset + layer->vhdx->size_item, &size,
				sizeof(size));
}

/* Only the region table's first page changes: entries and checksum are there. */
static int stage_regions(struct layer *layer, uint64_t bat_offset, uint32_t bat_length)
{
	static const uint64_t copies[2] = {VHDX_REGIONS_1, VHDX_REGIONS_2};
	struct vhdx_regions *table = malloc(sizeof(*table));
	const struct vhdx *v = layer->vhdx;
	unsigned i;
	int ret = table != NULL ? 0 : -ENOMEM;

	for (i = 0; i < 2 && !ret; i++) { /* the first valid one is the one that open used */
		ret = file_read(&layer->file, table, sizeof(*table), copies[i]);
		if (!ret && table->signature == VHDX_REGIONS_SIGNATURE) {
			break;
		}
	}
	for (i = 0; !ret && i < table->count && i < VHDX_REGIONS_COUNT; i++) {
		if (!memcmp(&table->regions[i].guid, &vhdx_bat_region, sizeof(struct guid)) &&
		    table->regions[i].offset == v->bat_offset) {
			table->regions[i].offset = bat_offset;
			table->regions[i].length = bat_length;
		}
	}
	if (!ret) {
		vhdx_seal_regions(table);
	}
	for (i = 0; i < 2 && !ret; i++) {
		ret = vhdx_stage_bytes(layer, copies[i], table, DISK_PAGE);
	}
	free(table);
	return ret;
}

/*
 * The table somewhere else, with room for more; what it says is durable before anything points to
 * it.
 */
static int move_bat(struct layer *layer, uint64_t entries, uint64_t *offset, uint32_t *length)
{
	struct vhdx *v = layer->vhdx;
	uint64_t bytes = round_up(entries * 8, DISK_MIB);
	int ret;

	pthread_mutex_lock(&layer->lock);
	ret = vhdx_allocate(layer, bytes, true, offset);
	ret = ret ? ret : file_write(&layer->file, v->bat, v->bat_bytes, *offset);
	pthread_mutex_unlock(&layer->lock);
	*length = (uint32_t)bytes;
	return ret;
}

/* After a resize the tables in memory are made anew from the file. */
static int reload(struct layer *layer, struct disk_error *error)
{
	struct vhdx *v = layer->vhdx;
	int ret;

	vhdx_forget_bat(v);
	layer->freed.count = layer->waiting.count = 0;
	layer->reclaimable = 0;
	v->overlay_size = layer->file.size;
	ret = vhdx_read_regions(layer, error);
	ret = ret ? ret : vhdx_load_bat(layer, error);
	v->overlay_size = UINT64_MAX;
	return ret ? layer_fail(layer, ret) : 0;
}

static int resize_locked(struct layer *layer, uint64_t size, struct disk_error *error)
{
	struct vhdx *v = layer->vhdx;
	uint64_t entries, bat_offset = 0;
	uint32_t bat_length = 0;
	int ret;

	if (vhdx_bat_size(size, layer->block_size, layer->sector_size, v->has_parent, &entries)) {
		return error_set(error, -EFBIG,
				 "%s: too big for its block size; convert it with a larger --block",
				 layer->file.path);
	}
	ret = stage_size(layer, size);
	if (!ret && entries * 8 > v->bat_length) {
		ret = move_bat(layer, entries, &bat_offset, &bat_length);
		ret = ret ? ret : stage_regions(layer, bat_offset, bat_length);
	}
	ret = ret ? ret : vhdx_log_commit(layer);
	v->stage_count = 0;
	if (ret) {
		return error_set(error, ret, "%s: resizing: %s", layer->file.path, strerror(-ret));
	}
	layer->size = size;
	return reload(layer, error);
}

/* A fixed disk gets the new blocks allocated; they are reached through the ordinary write path. */
static int fill_fixed(struct layer *layer, uint64_t from)
{
	uint64_t at;

	for (at = round_up(from, layer->block_size); at < layer->size; at += layer->block_size) {
		struct extent extent;
		int ret = layer->format->write_begin(
			layer, at, min_u64(layer->block_size, layer->size - at), true, &extent);

		if (ret) {
			return ret;
		}
		layer_io_end(layer, &extent);
		ret = file_allocate(&layer->file, extent.file_offset, layer->block_size);
		if (ret) {
			return ret;
		}
	}
	return vhdx_flush(layer);
}

/* What lies beyond a smaller size was trimmed before: see disk_resize. */
int vhdx_resize(struct layer *layer, uint64_t size, struct disk_error *error)
{
	uint64_t old = layer->size;
	int ret;

	if (size % layer->sector_size || size > VHDX_SIZE_MAX) {
		return error_set(error, -EINVAL,
				 "%s: a VHDX disk has up to 64 TiB, in whole sectors",
				 layer->file.path);
	}
	ret = vhdx_begin(layer);
	ret = ret ? ret : vhdx_flush(layer);
	if (ret) {
		return error_set(error, ret, "%s: cannot be written: %s", layer->file.path,
				 strerror(-ret));
	}
	pthread_mutex_lock(&layer->flush_lock);
	vhdx_release_freed(layer);
	ret = resize_locked(layer, size, error);
	pthread_mutex_unlock(&layer->flush_lock);
	if (!ret && layer->vhdx->leave_allocated && size > old) {
		ret = fill_fixed(layer, old);
		if (ret) {
			error_set(error, ret, "%s: allocating the new blocks: %s", layer->file.path,
				  strerror(-ret));
		}
	}
	return ret;
}

/* -- Compact -- */

struct place {
	uint64_t offset, index; /* in the file; in the BAT */
};

static int by_offset_down(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	return x->offset < y->offset ? 1 : x->offset > y->offset ? -1 : 0;
}

/* Every block of the file, the last one first. */
static struct place *list_blocks(struct layer *layer, size_t *count)
{
	struct vhdx *v = layer->vhdx;
	struct place *places;
	uint64_t i;
	size_t n = 0;

	for (i = 0; i < v->bat_count; i++) {
		n += entry_state(v->bat[i]) >= VHDX_FULLY_PRESENT;
	}
	places = malloc((n + 1) * sizeof(*places));
	for (i = 0, *count = 0; places != NULL && i < v->bat_count; i++) {
		if (entry_state(v->bat[i]) >= VHDX_FULLY_PRESENT) {
			places[(*count)++] = (struct place){entry_offset(v->bat[i]), i};
		}
	}
	if (places != NULL) {
		qsort(places, *count, sizeof(*places), by_offset_down);
	}
	return places;
}

static int copy_block(struct layer *layer, uint64_t from, uint64_t to, uint64_t length)
{
	uint8_t *buffer = malloc(DISK_MIB);
	uint64_t done;
	int ret = buffer != NULL ? 0 : -ENOMEM;

	for (done = 0; done < length && !ret; done += DISK_MIB) {
		ret = file_read(&layer->file, buffer, DISK_MIB, from + done);
		if (!ret && !is_all_zero(buffer, DISK_MIB)) {
			ret = file_write(&layer->file, buffer, DISK_MIB, to + done);
		}
	}
	free(buffer);
	return ret;
}

/* 1: moved. 0: there is no free place before it. */
static int move_block(struct layer *layer, const struct place *place)
{
	struct vhdx *v = layer->vhdx;
	bool bitmap = place->index % (v->chunk_ratio + 1ull) == v->chunk_ratio, clean;
	uint64_t length = bitmap ? VHDX_BITMAP_BLOCK : layer->block_size, start, to;
	int ret;

	if (!space_find(&v->space, length / DISK_MIB, &start, &clean) ||
	    start * DISK_MIB > place->offset) {
		return 0;
	}
	ret = vhdx_allocate(layer, length, true, &to);
	ret = ret ? ret : copy_block(layer, place->offset, to, length);
	ret = ret ? ret : layer_free_space(layer, place->offset, length);
	if (!ret) {
		vhdx_set_entry(layer, place->index, to | entry_state(v->bat[place->index]));
	}
	return ret ? ret : 1;
}

#define MOVES 256

/*
 * Copies some blocks down and makes that durable; the old places are free when it returns. The
 * handle is used by nobody else.
 */
int vhdx_compact(struct layer *layer, uint64_t *moved)
{
	struct place *places;
	size_t count, i;
	int ret = vhdx_begin(layer);

	*moved = 0;
	ret = ret ? ret
		  : vhdx_flush(
			    layer); /* dirty bitmap pages would be logged to the old place otherwise */
	if (ret) {
		return ret;
	}
	pthread_mutex_lock(&layer->lock);
	places = list_blocks(layer, &count);
	ret = places != NULL ? 1 : -ENOMEM;
	for (i = 0; i < count && *moved < MOVES && ret >= 0; i++) {
		ret = move_block(layer, &places[i]);
		*moved += ret == 1;
	}
	pthread_mutex_unlock(&layer->lock);
	free(places);
	return ret < 0 ? ret : vhdx_flush(layer);
}
