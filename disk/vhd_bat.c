/*
 * VHD: the block allocation table, the blocks' bitmaps, the file's space. Under layer.lock unless
 * it says otherwise. New blocks are placed so that their data begins at a multiple of 4 KiB in the
 * file.
 */
#include "disk/vhd.h"

#include "disk/bytes.h"
#include "disk/disk.h"
#include "disk/error.h"
#include "disk/file.h"
#include "disk/layer.h"
#include "disk/units.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define EXTEND_BLOCKS 16u
#define EXTEND_BYTES  (64 * DISK_MIB)
#define DATA_ALIGN    4096u

void vhd_set_entry(struct layer *layer, uint64_t block, uint32_t entry)
{
	struct vhd *v = layer->vhd;
	uint64_t sector = block / VHD_BAT_PER_SECTOR;

	v->bat[block] = entry;
	v->bat_dirty_count += !v->bat_dirty[sector];
	v->bat_dirty[sector] = 1;
	v->changed = true;
	layer_change(layer);
}

/* -- Loading -- */

struct used_place {
	uint64_t offset, block;
};

static int by_offset(const void *a, const void *b)
{
	const struct used_place *x = a, *y = b;

	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Behind the header, the table and the names of a parent, whichever lies last. */
static uint64_t tables_end(const struct layer *layer)
{
	const struct vhd *v = layer->vhd;
	const struct vhd_header *h = &v->header;
	uint64_t end = max_u64(be64toh(v->footer.data_offset) + sizeof(*h),
			       be64toh(h->table_offset) +
				       round_up(4ull * be32toh(h->table_entries), VHD_SECTOR));
	unsigned i;

	for (i = 0; i < 8; i++) {
		uint64_t at = be64toh(h->locators[i].offset),
			 length = be32toh(h->locators[i].length);

		if (!is_all_zero(h->locators[i].code, 4) && at <= v->end && length <= v->end - at) {
			end = max_u64(end, round_up(at + length, VHD_SECTOR));
		}
	}
	return end;
}

/*
 * The block is dropped where that is wished, and then reads as zeros or as the parent; otherwise
 * opening fails.
 */
static int bad_entry(struct layer *layer, struct disk_error *error, uint64_t block,
		     const char *what)
{
	struct vhd *v = layer->vhd;
	struct span file = {(uint64_t)v->bat[block] * VHD_SECTOR, v->stride};
	struct span disk = {block * layer->block_size,
			    min_u64(layer->block_size, layer->size - block * layer->block_size)};
	char text[120];
	int ret;

	snprintf(text, sizeof(text), "the table's entry for block %llu %s",
		 (unsigned long long)block, what);
	ret = layer_drop(layer, error, text, &file, &disk);
	if (!ret) {
		vhd_set_entry(layer, block, VHD_UNUSED);
	}
	return ret;
}

static bool meets(uint64_t a, uint64_t a_length, uint64_t b, uint64_t b_length)
{
	return a < b + b_length && b < a + a_length;
}

/* After a resize or a rebase the tables may lie between blocks. */
static bool meets_tables(const struct layer *layer, uint64_t offset, uint64_t length)
{
	const struct vhd *v = layer->vhd;
	const struct vhd_header *h = &v->header;
	bool met = meets(offset, length, 0, sizeof(v->footer)) ||
		   meets(offset, length, be64toh(v->footer.data_offset), sizeof(*h)) ||
		   meets(offset, length, be64toh(h->table_offset),
			 round_up(4ull * be32toh(h->table_entries), VHD_SECTOR));
	unsigned i;

	for (i = 0; i < 8 && layer->type == DISK_DIFFERENCING; i++) {
		met |= !is_all_zero(h->locators[i].code, 4) &&
		       be64toh(h->locators[i].offset) <= v->end &&
		       meets(offset, length, be64toh(h->locators[i].offset),
			     be32toh(h->locators[i].length));
	}
	return met;
}

/* Blocks inside the file and behind the tables, none over another; the gaps are free places. */
static int check_places(struct layer *layer, struct used_place *places, size_t count,
			struct disk_error *error)
{
	struct vhd *v = layer->vhd;
	uint64_t end = 0;
	size_t i;
	int ret;

	for (i = 0; i < count; i++) {
		uint64_t at = places[i].offset;
		const char *what =
			at > v->end || v->end - at < v->stride ? "points outside the file"
			: meets_tables(layer, at, v->stride)   ? "points to the tables themselves"
			: at < end ? "points to space that another block uses"
				   : NULL;

		if (what != NULL) {
			ret = bad_entry(layer, error, places[i].block, what);
			if (ret) {
				return ret;
			}
			continue;
		}
		if (end && at - end >= v->stride && !meets_tables(layer, end, v->stride)) {
			ret = span_add(&v->free, end, v->stride);
			v->free.fence = v->free.count;
			if (ret) {
				return ret;
			}
		}
		end = at + v->stride;
	}
	return 0;
}

/* Sorted by place, with room for one more than *count; NULL: out of memory. */
static struct used_place *list_places(const struct vhd *v, size_t *count)
{
	struct used_place *places = malloc((v->block_count + 1) * sizeof(*places));
	uint64_t block;

	for (block = 0, *count = 0; places != NULL && block < v->block_count; block++) {
		if (v->bat[block] != VHD_UNUSED) {
			places[(*count)++] =
				(struct used_place){(uint64_t)v->bat[block] * VHD_SECTOR, block};
		}
	}
	if (places != NULL) {
		qsort(places, *count, sizeof(*places), by_offset);
	}
	return places;
}

int vhd_loose(struct layer *layer, struct span_list *places)
{
	const struct vhd *v = layer->vhd;
	struct used_place *used;
	uint64_t at = 0;
	size_t count, i;
	int ret = 0;

	if (layer->type == DISK_FIXED) {
		return 0;
	}
	used = list_places(v, &count);
	if (used == NULL) {
		return -ENOMEM;
	}
	used[count] = (struct used_place){layer->file.size, 0};
	for (i = 0; i <= count && !ret; i++) { /* the tables are among what lies between */
		ret = used[i].offset > at ? span_add(places, at, used[i].offset - at) : 0;
		at = used[i].offset + v->stride;
	}
	free(used);
	return ret;
}

static int take_table(struct layer *layer, struct disk_error *error)
{
	struct vhd *v = layer->vhd;
	struct used_place *places;
	uint64_t block;
	size_t count;
	int ret;

	for (block = 0; block < v->block_count; block++) {
		v->bat[block] = be32toh(v->bat[block]);
	}
	places = list_places(v, &count);
	if (places == NULL) {
		return error_set(error, -ENOMEM, "%s: out of memory", layer->file.path);
	}
	ret = check_places(layer, places, count, error);
	free(places);
	return ret;
}

int vhd_load_bat(struct layer *layer, struct disk_error *error)
{
	struct vhd *v = layer->vhd;
	uint64_t bytes;
	int ret;

	v->block_count = (layer->size + layer->block_size - 1) / layer->block_size;
	v->bitmap_bytes = (uint32_t)round_up(layer->block_size / VHD_SECTOR / 8, VHD_SECTOR);
	v->stride = v->bitmap_bytes + layer->block_size;
	bytes = round_up(v->block_count * 4, VHD_SECTOR);
	v->bat = malloc(bytes);
	v->bat_dirty = calloc(bytes / VHD_SECTOR, 1);
	v->bitmap_full = calloc(v->block_count, 1);
	v->bitmaps = layer->type == DISK_DIFFERENCING ? calloc(v->block_count, sizeof(*v->bitmaps))
						      : NULL;
	if (v->bat == NULL || v->bat_dirty == NULL || v->bitmap_full == NULL ||
	    (layer->type == DISK_DIFFERENCING && v->bitmaps == NULL)) {
		return error_set(error, -ENOMEM, "%s: out of memory for its tables",
				 layer->file.path);
	}
	ret = file_read(&layer->file, v->bat, bytes, be64toh(v->header.table_offset));
	if (ret) {
		return error_set(error, ret, "%s: reading the block table: %s", layer->file.path,
				 strerror(-ret));
	}
	return take_table(layer, error);
}

void vhd_forget_tables(struct vhd *v)
{
	uint64_t block;

	for (block = 0; v->bitmaps != NULL && block < v->block_count; block++) {
		free(v->bitmaps[block]);
	}
	free(v->bitmaps);
	free(v->bitmap_full);
	free(v->bat_dirty);
	free(v->bat);
	free(v->free.spans);
	free(v->clean.spans);
	v->bitmaps = NULL;
	v->bitmap_full = v->bat_dirty = NULL;
	v->bat = NULL;
	v->free = v->clean = (struct span_list){0};
	v->dirty_bitmaps = NULL;
	v->bat_dirty_count = v->dirty_bitmap_count = 0;
}

uint64_t vhd_used_end(const struct layer *layer)
{
	const struct vhd *v = layer->vhd;
	uint64_t end = tables_end(layer), block;

	for (block = 0; block < v->block_count; block++) {
		if (v->bat[block] != VHD_UNUSED) {
			end = max_u64(end, (uint64_t)v->bat[block] * VHD_SECTOR + v->stride);
		}
	}
	return end;
}

/* -- Space -- */

/*
 * The footer moves up first and is durable there; then its old place becomes ordinary, cleared
 * space.
 */
int vhd_extend(struct layer *layer, uint64_t length)
{
	struct vhd *v = layer->vhd;
	uint64_t old = v->end, end = round_up(old + length, VHD_SECTOR);
	int ret;

	if (end > (uint64_t)(VHD_UNUSED - 1) * VHD_SECTOR) {
		return -EFBIG;
	}
	ret = file_truncate(&layer->file, end + sizeof(v->footer));
	ret = ret ? ret : file_write(&layer->file, &v->footer, sizeof(v->footer), end);
	ret = ret ? ret : file_sync(&layer->file);
	ret = ret ? ret : file_zero(&layer->file, old, sizeof(v->footer), false);
	if (ret) {
		return layer_fail(layer, ret);
	}
	v->end = end;
	v->old_footer = false;
	v->changed = true;
	return 0;
}

/*
 * Several places at once: each move of the footer costs a sync. Not where freed space will do soon.
 */
static int extend_blocks(struct layer *layer)
{
	struct vhd *v = layer->vhd;
	uint64_t pitch = round_up(v->stride, DATA_ALIGN);
	uint64_t first = round_up(v->end + v->bitmap_bytes, DATA_ALIGN) - v->bitmap_bytes;
	uint64_t ahead = layer_should_reclaim(layer) ? 1 : min_u64(EXTEND_BLOCKS, v->block_count);
	uint64_t count = max_u64(1, min_u64(ahead, EXTEND_BYTES / pitch)), i;
	int ret = vhd_extend(layer, first + count * pitch - v->end);

	for (i = count; i && !ret; i--) { /* the lowest is taken first */
		ret = span_add(&v->clean, first + (i - 1) * pitch, v->stride);
		v->clean.fence = v->clean.count;
	}
	return ret;
}

static uint64_t cut_spans(struct span_list *list, uint64_t end)
{
	uint64_t cut = 0;
	size_t i, kept = 0;

	for (i = 0; i < list->count; i++) {
		if (list->spans[i].offset >= end) {
			cut += list->spans[i].length;
		} else {
			list->spans[kept++] = list->spans[i];
		}
	}
	list->count = list->fence = kept;
	return cut;
}

/* The file was cut: there are no places behind its end any more, for who goes on with it. */
void vhd_cut_places(struct layer *layer, uint64_t end)
{
	struct vhd *v = layer->vhd;

	cut_spans(&v->free, end);
	cut_spans(&v->clean, end);
	layer->reclaimable -= cut_spans(&layer->freed, end);
	layer->reclaimable -= cut_spans(&layer->waiting, end);
}

/* A place that reads as zeros (invariant 1). */
static int take_place(struct layer *layer, bool wait, uint64_t *offset)
{
	struct vhd *v = layer->vhd;
	int ret;

	if (!v->clean.count && !wait) {
		return -EAGAIN;
	}
	if (!v->clean.count && v->free.count) {
		*offset = v->free.spans[v->free.count - 1].offset;
		ret = file_zero(&layer->file, *offset, v->stride, false);
		if (!ret) {
			v->free.count--;
		}
		v->free.fence = v->free.count;
		return ret;
	}
	if (!v->clean.count) {
		ret = extend_blocks(layer);
		if (ret) {
			return ret;
		}
	}
	*offset = v->clean.spans[--v->clean.count].offset;
	v->clean.fence = v->clean.count;
	return 0;
}

/* Of a dynamic disk all sectors of a block count as present: no bitmap has to be written later. */
static int write_full_bitmap(struct layer *layer, uint64_t offset)
{
	static const uint8_t ones[4096] = {[0 ... 4095] = 0xff};
	uint64_t length = layer->block_size / VHD_SECTOR / 8, done;
	int ret = 0;

	for (done = 0; done < max_u64(length, 1) && !ret; done += sizeof(ones)) {
		ret = file_write(&layer->file, ones,
				 max_u64(1, min_u64(sizeof(ones), length - done)), offset + done);
	}
	return ret;
}

int vhd_allocate(struct layer *layer, bool wait, uint64_t *offset)
{
	int ret = take_place(layer, wait, offset);

	if (!ret && layer->type == DISK_DYNAMIC) {
		ret = write_full_bitmap(layer, *offset);
	}
	return ret;
}

/* -- Bitmaps of a differencing disk -- */

int vhd_get_bitmap(struct layer *layer, uint64_t block, bool wait, struct vhd_bitmap **out)
{
	struct vhd *v = layer->vhd;
	struct vhd_bitmap *bitmap = v->bitmaps[block];
	int ret;

	if (bitmap == NULL) {
		if (!wait) {
			return -EAGAIN;
		}
		bitmap = calloc(1, sizeof(*bitmap) + v->bitmap_bytes);
		if (bitmap == NULL) {
			return -ENOMEM;
		}
		ret = file_read(&layer->file, bitmap->bits, v->bitmap_bytes,
				(uint64_t)v->bat[block] * VHD_SECTOR);
		if (ret) {
			free(bitmap);
			return ret;
		}
		bitmap->block = block;
		v->bitmaps[block] = bitmap;
	}
	*out = bitmap;
	return 0;
}

void vhd_mark_bitmap(struct layer *layer, struct vhd_bitmap *bitmap)
{
	struct vhd *v = layer->vhd;

	if (!bitmap->dirty) {
		bitmap->dirty = true;
		bitmap->next_dirty = v->dirty_bitmaps;
		v->dirty_bitmaps = bitmap;
		v->dirty_bitmap_count++;
	}
	v->changed = true;
	layer_change(layer);
}

#define DIRTY_MAX DISK_MIB

bool vhd_tables_are_full(const struct vhd *v)
{
	return v->dirty_bitmap_count * v->bitmap_bytes + v->bat_dirty_count * VHD_SECTOR >=
	       DIRTY_MAX;
}

/* -- Flush -- */

struct staged_write {
	uint64_t offset;
	uint32_t length;
	uint8_t data[];
};

/* Copies of all dirty tables, one behind the other. */
static uint8_t *collect(struct layer *layer, size_t *length)
{
	struct vhd *v = layer->vhd;
	size_t bitmap_size = round_up(sizeof(struct staged_write) + v->bitmap_bytes, 8);
	size_t sector_size = sizeof(struct staged_write) + VHD_SECTOR;
	uint8_t *stage =
		malloc(v->dirty_bitmap_count * bitmap_size + v->bat_dirty_count * sector_size + 1);
	struct staged_write *w;
	uint64_t sector, i;

	*length = 0;
	for (; stage != NULL && v->dirty_bitmaps != NULL;
	     v->dirty_bitmaps = v->dirty_bitmaps->next_dirty) {
		struct vhd_bitmap *b = v->dirty_bitmaps;

		b->dirty = false;
		w = (struct staged_write *)(stage + *length);
		w->offset = (uint64_t)v->bat[b->block] * VHD_SECTOR;
		w->length = v->bitmap_bytes;
		memcpy(w->data, b->bits, v->bitmap_bytes);
		*length += bitmap_size;
	}
	for (sector = 0; stage != NULL && v->bat_dirty_count; sector++) {
		if (!v->bat_dirty[sector]) {
			continue;
		}
		v->bat_dirty[sector] = 0;
		v->bat_dirty_count--;
		w = (struct staged_write *)(stage + *length);
		w->offset = be64toh(v->header.table_offset) + sector * VHD_SECTOR;
		w->length = VHD_SECTOR;
		for (i = 0; i < VHD_BAT_PER_SECTOR; i++) {
			uint64_t block = sector * VHD_BAT_PER_SECTOR + i;
			uint32_t entry =
				block < v->block_count ? htobe32(v->bat[block]) : VHD_UNUSED;

			memcpy(w->data + 4 * i, &entry, 4);
		}
		*length += sector_size;
	}
	if (stage != NULL) {
		v->dirty_bitmap_count = 0;
	}
	return stage;
}

static void release_freed(struct layer *layer)
{
	struct vhd *v = layer->vhd;
	size_t i;

	if (!layer->waiting.count ||
	    atomic_load_explicit(&layer->in_flight[layer->waiting_epoch], memory_order_acquire)) {
		return;
	}
	pthread_mutex_lock(&layer->lock);
	for (i = 0; i < layer->waiting.count; i++) {
		const struct span *s = &layer->waiting.spans[i];
		struct span_list *list =
			file_zero(&layer->file, s->offset, s->length, false) ? &v->free : &v->clean;

		if (!span_add(list, s->offset, s->length)) {
			list->fence = list->count;
		}
		layer->reclaimable -= s->length;
	}
	layer->waiting.count = 0;
	pthread_mutex_unlock(&layer->lock);
}

/* The first `count` freed places are durably free; they wait for the requests that began before. */
static void retire_freed(struct layer *layer, size_t count)
{
	struct span_list *from = &layer->freed;
	size_t i;

	if (!count || layer->waiting.count) {
		return;
	}
	pthread_mutex_lock(&layer->lock);
	for (i = 0; i < count; i++) {
		if (span_add(&layer->waiting, from->spans[i].offset, from->spans[i].length)) {
			break;
		}
		layer->waiting.fence = layer->waiting.count;
	}
	memmove(from->spans, from->spans + i, (from->count - i) * sizeof(*from->spans));
	from->count -= i;
	from->fence = from->count;
	layer->waiting_epoch = layer->epoch;
	layer->epoch = !layer->epoch;
	pthread_mutex_unlock(&layer->lock);
}

int vhd_flush_tables(struct layer *layer)
{
	uint64_t generation;
	size_t length, at, freed;
	uint8_t *stage;
	int ret;

	release_freed(layer);
	pthread_mutex_lock(&layer->lock);
	freed = layer->freed.count;
	stage = collect(layer, &length);
	generation = stage != NULL ? layer_end_generation(layer) : 0;
	pthread_mutex_unlock(&layer->lock);
	if (stage == NULL) {
		return -ENOMEM; /* everything is still marked dirty */
	}
	ret = file_sync(&layer->file);
	for (at = 0; at < length && !ret;) {
		const struct staged_write *w = (const struct staged_write *)(stage + at);

		ret = file_write(&layer->file, w->data, w->length, w->offset);
		at += round_up(sizeof(*w) + w->length, 8);
	}
	if (!ret && length) {
		ret = file_sync(&layer->file);
	}
	free(stage);
	if (ret) {
		return layer_fail(layer, ret);
	}
	layer_set_durable(layer, generation);
	retire_freed(layer, freed);
	release_freed(layer);
	return 0;
}
