/*
 * VHDX: the block allocation table, the file's space, and the flush of both and of the bitmaps
 * (MS-VHDX 2.5).
 * Invariants 1, 3, 4, 8 of docs/design/disk.md. Everything under layer.lock unless it says
 * otherwise.
 */
#include "disk/vhdx.h"

#include "disk/disk.h"
#include "disk/error.h"
#include "disk/file.h"
#include "disk/layer.h"
#include "disk/space.h"
#include "disk/units.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define GROW    (64 * DISK_MIB) /* the file grows by this, and is cut at close */
#define BAT_MAX (1ull << 27)    /* entries; 64 TiB in blocks of 1 MiB and the bitmaps' */

/*
 * Entries of a table (2.5): behind those of each chunk's blocks comes one for the chunk's bitmap,
 * also where no bitmap can be; without a parent the table may end with the last block's.
 */
int vhdx_bat_size(uint64_t size, uint32_t block, uint32_t sector, bool parent, uint64_t *entries)
{
	uint64_t ratio = (uint64_t)VHDX_CHUNK_SECTORS * sector / block;
	uint64_t payload = (size + block - 1) / block;

	*entries = parent ? (payload + ratio - 1) / ratio * (ratio + 1)
			  : payload + (payload - 1) / ratio;
	return *entries > BAT_MAX ? -EFBIG : 0;
}

/* Where the entry of a block, and of a chunk's bitmap, is in the table. */
uint64_t vhdx_payload_index(const struct vhdx *v, uint64_t block)
{
	return block + block / v->chunk_ratio;
}

uint64_t vhdx_bitmap_index(const struct vhdx *v, uint64_t chunk)
{
	return (chunk + 1) * v->chunk_ratio + chunk;
}

/* In memory; a flush writes the pages of the table that are marked. */
void vhdx_set_entry(struct layer *layer, uint64_t index, uint64_t entry)
{
	struct vhdx *v = layer->vhdx;
	uint64_t page = index / VHDX_ENTRIES_PER_PAGE;

	v->bat[index] = entry;
	v->bat_dirty_count += !v->bat_dirty[page];
	v->bat_dirty[page] = 1;
	layer_change(layer);
}

/* -- Loading -- */

/* What is wrong with an entry, or NULL. Claims the space that it names. */
static const char *claim_entry(struct layer *layer, uint64_t index, uint64_t entry)
{
	struct vhdx *v = layer->vhdx;
	bool bitmap = index % (v->chunk_ratio + 1ull) == v->chunk_ratio;
	unsigned state = entry_state(entry);
	uint64_t offset = entry_offset(entry),
		 length = bitmap ? VHDX_BITMAP_BLOCK : layer->block_size;

	/* 2.5.1.1 and 2.5.1.2: state 4 is the only reserved one of a block */
	if (bitmap ? state != VHDX_NOT_PRESENT && state != VHDX_BITMAP_PRESENT : state == 4) {
		return "has a reserved state";
	}
	if (bitmap ? state && !v->has_parent : state == VHDX_PARTIALLY_PRESENT && !v->has_parent) {
		return "has a state that only differencing disks have";
	}
	if (state < VHDX_FULLY_PRESENT) {
		return NULL;
	}
	if (offset < VHDX_HEADER_AREA || offset > VHDX_FILE_MAX ||
	    offset + length > v->overlay_size) {
		return "points outside the file";
	}
	if (!space_is_free(&v->space, offset / DISK_MIB, length / DISK_MIB)) {
		return "points to space that something else uses";
	}
	space_use(&v->space, offset / DISK_MIB, length / DISK_MIB);
	return NULL;
}

/* Reports an entry that cannot be used, and removes it if the layer may be written: its part of the
 * disk reads as if it had never been written. */
static int drop_entry(struct layer *layer, uint64_t index, uint64_t entry, const char *wrong,
		      struct disk_error *error)
{
	struct vhdx *v = layer->vhdx;
	uint64_t block = index - index / (v->chunk_ratio + 1ull), at = block * layer->block_size;
	bool bitmap = index % (v->chunk_ratio + 1ull) == v->chunk_ratio;
	struct span file = {entry_offset(entry), bitmap ? VHDX_BITMAP_BLOCK : layer->block_size};
	struct span disk = {
		at, bitmap || at >= layer->size ? 0 : min_u64(layer->block_size, layer->size - at)};
	char text[120];
	int ret;

	snprintf(text, sizeof(text), "entry %llu of the block table %s", (unsigned long long)index,
		 wrong);
	ret = layer_drop(layer, error, text, &file, &disk);
	if (!ret && layer->writable) {
		vhdx_set_entry(layer, index, VHDX_NOT_PRESENT);
	}
	return ret;
}

/*
 * A state that cannot be, of a block whose place nothing else uses: on a disk without a parent such
 * a block can only be whole.
 */
static bool entry_is_mendable(const struct vhdx *v, uint64_t index, uint64_t entry)
{
	unsigned state = entry_state(entry);

	return !v->has_parent && index % (v->chunk_ratio + 1ull) != v->chunk_ratio &&
	       (state == 4 || state == VHDX_PARTIALLY_PRESENT);
}

static int mend_entry(struct layer *layer, uint64_t index, uint64_t entry, struct disk_error *error)
{
	uint64_t whole = entry - entry_state(entry) + VHDX_FULLY_PRESENT;
	const char *wrong = claim_entry(layer, index, whole);

	if (wrong != NULL) {
		return drop_entry(layer, index, entry, wrong, error);
	}
	layer->vhdx->bat[index] = whole;
	if (layer->writable) {
		vhdx_set_entry(layer, index, whole);
	}
	return layer_fault(layer, error, DISK_DAMAGE,
			   "entry %llu of the block table has a state that cannot be; its block "
			   "is there",
			   (unsigned long long)index);
}

/* What can be mended waits until all good entries have their places. */
static int take_entries(struct layer *layer, const uint64_t *entries, uint64_t first,
			uint64_t count, struct span_list *mendable, struct disk_error *error)
{
	uint64_t i;

	for (i = 0; i < count; i++) {
		const char *wrong;
		int ret = 0;

		if (!entries[i]) {
			continue;
		}
		wrong = claim_entry(layer, first + i, entries[i]);
		if (wrong == NULL) {
			layer->vhdx->bat[first + i] = entries[i];
		} else if (entry_is_mendable(layer->vhdx, first + i, entries[i]) &&
			   layer->report != NULL) {
			ret = span_add(mendable, first + i, entries[i]);
			mendable->fence = mendable->count;
		} else {
			ret = drop_entry(layer, first + i, entries[i], wrong, error);
		}
		if (ret) {
			return ret;
		}
	}
	return 0;
}

static int mend_entries(struct layer *layer, const struct span_list *mendable,
			struct disk_error *error)
{
	size_t i;
	int ret = 0;

	for (i = 0; i < mendable->count && !ret; i++) {
		ret = mend_entry(layer, mendable->spans[i].offset, mendable->spans[i].length,
				 error);
	}
	return ret;
}

/* A partially present block without its bitmap has no meaning. */
static int check_bitmaps(struct layer *layer, struct disk_error *error)
{
	struct vhdx *v = layer->vhdx;
	uint64_t block;

	for (block = 0; v->has_parent && block < v->payload_count; block++) {
		uint64_t index = vhdx_payload_index(v, block), entry = v->bat[index];

		if (entry_state(entry) == VHDX_PARTIALLY_PRESENT &&
		    entry_state(v->bat[vhdx_bitmap_index(v, block / v->chunk_ratio)]) !=
			    VHDX_BITMAP_PRESENT) {
			int ret = drop_entry(layer, index, entry,
					     "is for a block in part, without a bitmap", error);

			if (ret) {
				return ret;
			}
			v->bat[index] = VHDX_NOT_PRESENT;
		}
	}
	return 0;
}

/* Headers, log, table and metadata have the space that the headers and the region table name; no
 * block may lie in it. */
static int claim_fixed_places(struct layer *layer, struct disk_error *error)
{
	struct vhdx *v = layer->vhdx;
	const struct span places[] = {{0, VHDX_HEADER_AREA},
				      {v->header.log_offset, v->header.log_length},
				      {v->bat_offset, v->bat_length},
				      {v->metadata_offset, v->metadata_length}};
	unsigned i;

	for (i = 0; i < DISK_COUNT(places); i++) {
		if (!space_is_free(&v->space, places[i].offset / DISK_MIB,
				   places[i].length / DISK_MIB)) {
			return error_set(error, -EUCLEAN, "%s: damaged: the file is cut short",
					 layer->file.path);
		}
		space_use(&v->space, places[i].offset / DISK_MIB, places[i].length / DISK_MIB);
	}
	return 0;
}

/* Memory for the table, and for a pointer to each page of the bitmaps, which are read when they are
 * needed. */
static int size_tables(struct layer *layer, struct disk_error *error)
{
	struct vhdx *v = layer->vhdx;
	const char *path = layer->file.path;

	TAILQ_INIT(&v->clean_pages);
	TAILQ_INIT(&v->dirty_pages);
	v->chunk_ratio =
		(uint32_t)((uint64_t)VHDX_CHUNK_SECTORS * layer->sector_size / layer->block_size);
	v->payload_count = (layer->size + layer->block_size - 1) / layer->block_size;
	v->chunk_count = (v->payload_count + v->chunk_ratio - 1) / v->chunk_ratio;
	if (vhdx_bat_size(layer->size, layer->block_size, layer->sector_size, v->has_parent,
			  &v->bat_count)) {
		return error_set(error, -EFBIG,
				 "%s: a disk of this size with blocks of %u bytes is too big", path,
				 layer->block_size);
	}
	if (v->bat_count * 8 > v->bat_length) {
		return error_set(error, -EUCLEAN,
				 "%s: damaged: the block table is too short for the disk", path);
	}
	v->bat_bytes = round_up(v->bat_count * 8, DISK_PAGE);
	v->bat = mmap(NULL, v->bat_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		      0);
	if (v->bat == MAP_FAILED) {
		v->bat = NULL;
		return error_set(error, -ENOMEM, "%s: out of memory for its block table", path);
	}
	v->bat_dirty = calloc(v->bat_bytes / DISK_PAGE, 1);
	if (v->has_parent) {
		v->page_count = v->chunk_count * (VHDX_BITMAP_BLOCK / DISK_PAGE);
		v->pages = calloc(v->page_count, sizeof(*v->pages));
	}
	if (v->bat_dirty == NULL || (v->has_parent && v->pages == NULL) ||
	    space_init(&v->space, round_up(v->overlay_size, DISK_MIB) / DISK_MIB)) {
		return error_set(error, -ENOMEM, "%s: out of memory for its tables", path);
	}
	return 0;
}

#define PIECE (256 * DISK_KIB)

/*
 * The whole table: to know which space is free, and that no two blocks share any. Pages of zeros
 * stay untouched memory.
 */
int vhdx_load_bat(struct layer *layer, struct disk_error *error)
{
	struct vhdx *v = layer->vhdx;
	uint64_t *piece = malloc(PIECE), at = 0, total = v->bat_length;
	struct span_list mendable = {0};
	int ret = piece != NULL ? size_tables(layer, error)
				: error_set(error, -ENOMEM, "%s: out of memory", layer->file.path);

	if (!ret) {
		ret = v->overlay_size > VHDX_FILE_MAX
			      ? error_set(error, -EFBIG, "%s: the file is too big",
					  layer->file.path)
			      : claim_fixed_places(layer, error);
	}
	for (total = v->bat_count * 8; !ret && at < total;) {
		uint64_t n = min_u64(PIECE, total - at), start, end;

		if (!v->overlay_count && at % DISK_PAGE == 0) {
			file_next_data(&layer->file, v->bat_offset + at, &start, &end);
			if (start > v->bat_offset + at + n) { /* a hole */
				at += n;
				continue;
			}
		}
		ret = vhdx_read_table(layer, piece, n, v->bat_offset + at);
		if (ret) {
			error_set(error, ret, "%s: reading the block table: %s", layer->file.path,
				  strerror(-ret));
		} else {
			ret = take_entries(layer, piece, at / 8, n / 8, &mendable, error);
		}
		at += n;
	}
	ret = ret ? ret : mend_entries(layer, &mendable, error);
	free(mendable.spans);
	free(piece);
	return ret ? ret : check_bitmaps(layer, error);
}

void vhdx_forget_bat(struct vhdx *v)
{
	uint64_t i;

	if (v->bat != NULL) {
		munmap(v->bat, v->bat_bytes);
	}
	for (i = 0; v->pages != NULL && i < v->page_count; i++) {
		free(v->pages[i]);
	}
	free(v->pages);
	free(v->bat_dirty);
	space_release(&v->space);
	v->bat = NULL;
	v->pages = NULL;
	v->bat_dirty = NULL;
	v->bat_dirty_count = v->dirty_page_count = v->pages_loaded = 0;
}

/* -- Space -- */

/* By more than is needed, so that it does not come often; but not while freed space waits for the
 * flush after which it is used again. */
static int grow_file(struct layer *layer, uint64_t length)
{
	struct vhdx *v = layer->vhdx;
	uint64_t end = space_used_end(&v->space) * DISK_MIB + length;
	uint64_t ahead = layer_should_reclaim(layer) ? 0 : min_u64(GROW, 8 * length);
	uint64_t size = round_up(max_u64(end, layer->file.size + ahead), DISK_MIB);
	int ret = size > VHDX_FILE_MAX ? -EFBIG : file_truncate(&layer->file, size);

	return ret ? ret : space_grow(&v->space, size / DISK_MIB);
}

/*
 * The place may hold anything: a session that was cut off may have left part of a megabyte behind
 * the end that the tables know.
 */
static int clear_place(struct layer *layer, uint64_t offset, uint64_t length)
{
	int ret = offset + length > layer->file.size ? file_truncate(&layer->file, offset + length)
						     : 0;

	return ret ? ret : file_zero(&layer->file, offset, length, false);
}

/* Space that reads as zeros (invariant 1), taken. */
int vhdx_allocate(struct layer *layer, uint64_t length, bool wait, uint64_t *offset)
{
	struct vhdx *v = layer->vhdx;
	uint64_t count = length / DISK_MIB, start;
	bool clean;
	int ret;

	if (!space_find(&v->space, count, &start, &clean)) {
		ret = grow_file(layer, length);
		if (ret) {
			return ret;
		}
		if (!space_find(&v->space, count, &start, &clean)) {
			return -ENOSPC;
		}
	}
	if (!clean) {
		ret = wait ? clear_place(layer, start * DISK_MIB, length) : -EAGAIN;
		if (ret) {
			return ret;
		}
	}
	space_use(&v->space, start, count);
	*offset = start * DISK_MIB;
	return 0;
}

/*
 * Under flush_lock, not layer.lock. The waiting batch, if nothing from its epoch is in flight
 * (invariant 8).
 */
void vhdx_release_freed(struct layer *layer)
{
	struct vhdx *v = layer->vhdx;
	size_t i;

	if (!layer->waiting.count ||
	    atomic_load_explicit(&layer->in_flight[layer->waiting_epoch], memory_order_acquire)) {
		return;
	}
	for (i = 0; i < layer->waiting.count; i++) {
		const struct span *s = &layer->waiting.spans[i];
		bool clean = !file_zero(&layer->file, s->offset, s->length, false);

		pthread_mutex_lock(&layer->lock);
		space_free(&v->space, s->offset / DISK_MIB, s->length / DISK_MIB, clean);
		layer->reclaimable -= s->length;
		pthread_mutex_unlock(&layer->lock);
	}
	layer->waiting.count = 0;
}

/* -- Flush -- */

#define DIRTY_MAX 1024u /* pages: 4 MiB, nine log entries */

bool vhdx_tables_are_full(const struct vhdx *v)
{
	return v->dirty_page_count + v->bat_dirty_count >= DIRTY_MAX;
}

/*
 * Copies of all dirty pages, as they are at this one moment: bitmap pages first, then the BAT from
 * its end, where a chunk's entry for its bitmap comes before those of its blocks (invariant 4).
 */
static int stage_tables(struct layer *layer)
{
	struct vhdx *v = layer->vhdx;
	struct bitmap_page *p;
	uint64_t page = v->bat_bytes / DISK_PAGE;
	int ret = vhdx_stage_reserve(layer, v->dirty_page_count + v->bat_dirty_count);

	if (ret) {
		return ret;
	}
	while ((p = TAILQ_FIRST(&v->dirty_pages)) != NULL) {
		memcpy(vhdx_stage(layer, vhdx_page_offset(v, p->index))->data, p->bits, DISK_PAGE);
		vhdx_clean_page(v, p);
	}
	while (v->bat_dirty_count && page--) {
		if (v->bat_dirty[page]) {
			memcpy(vhdx_stage(layer, v->bat_offset + page * DISK_PAGE)->data,
			       v->bat + page * VHDX_ENTRIES_PER_PAGE, DISK_PAGE);
			v->bat_dirty[page] = 0;
			v->bat_dirty_count--;
		}
	}
	return 0;
}

/* What this flush made durable may wait for its epoch now; the rest of the list is younger. */
static void retire_freed(struct layer *layer, size_t count)
{
	struct span_list *from = &layer->freed, *to = &layer->waiting;
	size_t i;

	if (!count || to->count) {
		return;
	}
	pthread_mutex_lock(&layer->lock);
	for (i = 0; i < count; i++) {
		if (span_add(to, from->spans[i].offset, from->spans[i].length)) {
			break; /* the rest waits for a better time */
		}
	}
	memmove(from->spans, from->spans + i, (from->count - i) * sizeof(*from->spans));
	from->count -= i;
	from->fence = 0;
	layer->waiting_epoch = layer->epoch;
	layer->epoch = !layer->epoch;
	pthread_mutex_unlock(&layer->lock);
}

/* The lock is held while the tables are copied, and over no I/O. */
int vhdx_flush_tables(struct layer *layer)
{
	uint64_t generation;
	size_t freed;
	int ret;

	vhdx_release_freed(layer);
	pthread_mutex_lock(&layer->lock);
	ret = stage_tables(layer);
	if (ret) { /* everything is still dirty */
		pthread_mutex_unlock(&layer->lock);
		return ret;
	}
	generation = layer_end_generation(layer);
	freed = layer->freed.fence = layer->freed.count;
	pthread_mutex_unlock(&layer->lock);
	ret = layer->vhdx->stage_count ? vhdx_log_commit(layer) : file_sync(&layer->file);
	if (ret) {
		return layer_fail(layer, ret);
	}
	layer_set_durable(layer, generation);
	retire_freed(layer, freed);
	vhdx_release_freed(layer);
	return 0;
}
