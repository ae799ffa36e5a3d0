/* VHD: changing the disk's size, moving blocks together, another parent. */
#include "disk/vhd.h"

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
#include <stdlib.h>
#include <string.h>

static int resize_fixed(struct layer *layer, uint64_t size)
{
	struct vhd *v = layer->vhd;
	uint64_t old_end = v->end;
	int ret = size > old_end ? file_allocate(&layer->file, 0, size) : 0;

	v->footer.current_size = htobe64(size);
	vhd_set_geometry(&v->footer, size);
	v->end = size;
	ret = ret ? ret : vhd_write_footers(layer);
	if (!ret && size > old_end) { /* the old footer's place is disk now */
		ret = file_zero(&layer->file, old_end, min_u64(sizeof(v->footer), size - old_end),
				true);
	}
	if (!ret && layer->file.size > size + sizeof(v->footer)) {
		ret = file_truncate(&layer->file, size + sizeof(v->footer));
	}
	return ret ? ret : file_sync(&layer->file);
}

/*
 * The table at the file's end, with room for more entries; durable before the header points to it.
 */
static int move_table(struct layer *layer, uint64_t entries)
{
	struct vhd *v = layer->vhd;
	uint64_t at = v->end, bytes = round_up(entries * 4, VHD_SECTOR), block;
	uint32_t *table = malloc(bytes);
	int ret = table != NULL ? vhd_extend(layer, bytes) : -ENOMEM;

	if (!ret) {
		memset(table, 0xff, bytes);
		for (block = 0; block < v->block_count; block++) {
			table[block] = htobe32(v->bat[block]);
		}
		ret = file_write(&layer->file, table, bytes, at);
		ret = ret ? ret : file_sync(&layer->file);
	}
	free(table);
	if (!ret) { /* all that changes lies in the header's first sector */
		v->header.table_offset = htobe64(at);
		v->header.table_entries = htobe32((uint32_t)entries);
		vhd_seal_header(&v->header);
		ret = file_write(&layer->file, &v->header, sizeof(v->header),
				 be64toh(v->footer.data_offset));
		ret = ret ? ret : file_sync(&layer->file);
	}
	return ret;
}

/* What is known of the file's places is built from its tables again, as at an opening. */
static int reload(struct layer *layer, struct disk_error *error)
{
	int ret;

	vhd_forget_tables(layer->vhd);
	layer->freed.count = layer->waiting.count = 0;
	layer->freed.fence = 0;
	layer->reclaimable = 0;
	ret = vhd_load_bat(layer, error);
	return ret ? layer_fail(layer, ret) : 0;
}

static int resize_dynamic(struct layer *layer, uint64_t size, struct disk_error *error)
{
	struct vhd *v = layer->vhd;
	uint64_t entries = (size + layer->block_size - 1) / layer->block_size;
	int ret = 0;

	if (entries > be32toh(v->header.table_entries)) {
		ret = move_table(layer, entries);
	}
	if (!ret) {
		v->footer.current_size = htobe64(size);
		vhd_set_geometry(&v->footer, size);
		ret = vhd_write_footers(layer);
	}
	if (ret) {
		return ret;
	}
	layer->size = size;
	v->changed = true;
	return reload(layer, error);
}

int vhd_resize(struct layer *layer, uint64_t size, struct disk_error *error)
{
	int ret;

	if (size % VHD_SECTOR || size > VHD_SIZE_MAX) {
		return error_set(error, -EINVAL,
				 "%s: a VHD has up to 2040 GiB; convert it to VHDX for more",
				 layer->file.path);
	}
	ret = layer->format->flush(layer);
	ret = ret                         ? ret
	      : layer->type == DISK_FIXED ? resize_fixed(layer, size)
					  : resize_dynamic(layer, size, error);
	if (ret) {
		return error != NULL && error->code == ret
			       ? ret
			       : error_set(error, ret, "%s: resizing: %s", layer->file.path,
					   strerror(-ret));
	}
	layer->size = size;
	return 0;
}

/* -- Compact -- */

/* Where a block lies: its bitmap, and behind it its data. */
struct place {
	uint64_t offset, block;
};

static int by_offset(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* All blocks that have a place, sorted by it; NULL: out of memory. */
static struct place *list_blocks(struct layer *layer, size_t *count)
{
	struct vhd *v = layer->vhd;
	struct place *places = malloc((v->block_count + 1) * sizeof(*places));
	uint64_t block;

	*count = 0;
	for (block = 0; places != NULL && block < v->block_count; block++) {
		if (v->bat[block] != VHD_UNUSED) {
			places[(*count)++] =
				(struct place){(uint64_t)v->bat[block] * VHD_SECTOR, block};
		}
	}
	if (places != NULL) {
		qsort(places, *count, sizeof(*places), by_offset);
	}
	return places;
}

/*
 * A block with its bitmap. The old place stays as it is: the durable table points to it until the
 * next flush.
 */
static int copy_place(struct layer *layer, uint64_t from, uint64_t to)
{
	uint64_t length = layer->vhd->stride, done, n;
	uint8_t *buffer = malloc(DISK_MIB);
	int ret = buffer != NULL ? 0 : -ENOMEM;

	for (done = 0; done < length && !ret; done += n) {
		n = min_u64(DISK_MIB, length - done);
		ret = file_read(&layer->file, buffer, n, from + done);
		ret = ret ? ret : file_write(&layer->file, buffer, n, to + done);
	}
	free(buffer);
	return ret;
}

/* So many, and then a flush: a place that was left can be taken only when that is durable. */
#define MOVES 64

/* The last blocks go into gaps before them. A gap is free: nothing durable points into it. */
static int move_down(struct layer *layer, struct place *places, size_t count, uint64_t *moved)
{
	struct vhd *v = layer->vhd;
	uint64_t end = be64toh(v->header.table_offset) +
		       round_up(4ull * be32toh(v->header.table_entries), VHD_SECTOR);
	size_t i = 0, last = count;
	int ret = 0;

	end = max_u64(end, be64toh(v->footer.data_offset) + VHD_HEADER_SPACE);
	while (i < last && *moved < MOVES && !ret) {
		uint64_t to = round_up(end + v->bitmap_bytes, 4096) - v->bitmap_bytes;

		if (places[i].offset >= to + v->stride &&
		    places[last - 1].offset >= to + v->stride) {
			const struct place *p = &places[--last];

			ret = copy_place(layer, p->offset, to);
			if (!ret) {
				vhd_set_entry(layer, p->block, (uint32_t)(to / VHD_SECTOR));
				++*moved;
			}
			end = to + v->stride;
			continue;
		}
		end = max_u64(end, places[i].offset + v->stride);
		i++;
	}
	return ret;
}

int vhd_compact(struct layer *layer, uint64_t *moved)
{
	struct place *places;
	size_t count;
	int ret = layer->format->flush(layer);

	*moved = 0;
	if (ret || layer->type == DISK_FIXED) {
		return ret;
	}
	pthread_mutex_lock(&layer->lock);
	places = list_blocks(layer, &count);
	ret = places != NULL ? move_down(layer, places, count, moved) : -ENOMEM;
	pthread_mutex_unlock(&layer->lock);
	free(places);
	ret = ret ? ret : layer->format->flush(layer);
	return ret ? ret : reload(layer, NULL); /* the gaps are others now */
}

/* The old header is left where it is; what it took is space that nothing uses. */
static int write_new_header(struct layer *layer, const struct create_plan *plan,
			    struct disk_error *error)
{
	struct vhd *v = layer->vhd;
	struct vhd_header header = v->header;
	uint64_t at = v->end;
	int ret = vhd_extend(layer, VHD_HEADER_SPACE);

	if (ret) {
		return error_set(error, ret, "%s: %s", layer->file.path, strerror(-ret));
	}
	ret = vhd_write_parent(&layer->file, &header, at, plan, error);
	if (ret) {
		return ret;
	}
	ret = file_sync(&layer->file);
	if (!ret) {
		v->header = header;
		v->footer.data_offset = htobe64(at);
		v->changed = true;
		ret = vhd_write_footers(layer);
	}
	return ret ? error_set(error, layer_fail(layer, ret), "%s: writing the parent's name: %s",
			       layer->file.path, strerror(-ret))
		   : 0;
}

/* A new header with its names at the file's end; the footers point to it once it is durable. */
int vhd_set_parent(struct layer *layer, const struct create_plan *plan, struct disk_error *error)
{
	int ret;

	if (plan->parent->format != layer->format) {
		return error_set(error, -EINVAL,
				 "%s: not a VHD file, so it cannot be a parent of one",
				 plan->parent->file.path);
	}
	ret = layer->format->flush(layer);
	if (ret) {
		return error_set(error, ret, "%s: %s", layer->file.path, strerror(-ret));
	}
	pthread_mutex_lock(&layer->flush_lock);
	atomic_store(&layer->stalled, true);
	pthread_mutex_lock(&layer->lock);
	ret = write_new_header(layer, plan, error);
	pthread_mutex_unlock(&layer->lock);
	atomic_store(&layer->stalled, false);
	pthread_mutex_unlock(&layer->flush_lock);
	if (!ret) {
		guid_print_be(layer->vhd->header.parent_id, layer->parent_id);
	}
	return ret;
}
