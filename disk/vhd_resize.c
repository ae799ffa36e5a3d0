/* VHD: changing the disk's size, moving blocks together, another parent. */
#include "disk/vhd.h"

#include <stdlib.h>

static int resize_fixed(struct layer *layer, uint64_t size)
{
	struct vhd *v = layer->vhd;
	uint64_t old_end = v->end;
	int r = size > old_end ? file_allocate(&layer->file, 0, size) : 0;

	v->footer.current_size = htobe64(size);
	vhd_set_geometry(&v->footer, size);
	v->end = size;
	r = r ? r : vhd_write_footers(layer);
	if (!r && size > old_end) { /* the old footer's place is disk now */
		r = file_zero(&layer->file, old_end, min_u64(sizeof(v->footer), size - old_end),
			      true);
	}
	if (!r && layer->file.size > size + sizeof(v->footer)) {
		r = file_truncate(&layer->file, size + sizeof(v->footer));
	}
	return r ? r : file_sync(&layer->file);
}

/*
 * The table at the file's end, with room for more entries; durable before the header points to it.
 */
static int move_table(struct layer *layer, uint64_t entries)
{
	struct vhd *v = layer->vhd;
	uint64_t at = v->end, bytes = round_up(entries * 4, VHD_SECTOR), block;
	uint32_t *table = malloc(bytes);
	int r = table ? vhd_extend(layer, bytes) : -ENOMEM;

	if (!r) {
		memset(table, 0xff, bytes);
		for (block = 0; block < v->block_count; block++) {
			table[block] = htobe32(v->bat[block]);
		}
		r = file_write(&layer->file, table, bytes, at);
		r = r ? r : file_sync(&layer->file);
	}
	free(table);
	if (!r) { /* all that changes lies in the header's first sector */
		v->header.table_offset = htobe64(at);
		v->header.table_entries = htobe32((uint32_t)entries);
		vhd_seal_header(&v->header);
		r = file_write(&layer->file, &v->header, sizeof(v->header),
			       be64toh(v->footer.data_offset));
		r = r ? r : file_sync(&layer->file);
	}
	return r;
}

static int reload(struct layer *layer, struct disk_error *error)
{
	int r;

	vhd_forget_tables(layer->vhd);
	layer->freed.count = layer->waiting.count = 0;
	layer->freed.fence = 0;
	r = vhd_load_bat(layer, error);
	return r ? layer_fail(layer, r) : 0;
}

static int resize_dynamic(struct layer *layer, uint64_t size, struct disk_error *error)
{
	struct vhd *v = layer->vhd;
	uint64_t entries = (size + layer->block_size - 1) / layer->block_size;
	int r = 0;

	if (entries > be32toh(v->header.table_entries)) {
		r = move_table(layer, entries);
	}
	if (!r) {
		v->footer.current_size = htobe64(size);
		vhd_set_geometry(&v->footer, size);
		r = vhd_write_footers(layer);
	}
	if (r) {
		return r;
	}
	layer->size = size;
	v->changed = true;
	return reload(layer, error);
}

int vhd_resize(struct layer *layer, uint64_t size, struct disk_error *error)
{
	int r;

	if (size % VHD_SECTOR || size > VHD_SIZE_MAX) {
		return error_set(error, -EINVAL,
				 "%s: a VHD has up to 2040 GiB; convert it to VHDX for more",
				 layer->file.path);
	}
	r = layer->format->flush(layer);
	r = r				? r
	    : layer->type == DISK_FIXED ? resize_fixed(layer, size)
					: resize_dynamic(layer, size, error);
	if (r) {
		return error && error->code == r ? r
						 : error_set(error, r, "%s: resizing: %s",
							     layer->file.path, strerror(-r));
	}
	layer->size = size;
	return 0;
}

/* -- Compact -- */

struct place {
	uint64_t offset, block;
};

static int by_offset(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static struct place *list_blocks(struct layer *layer, size_t *count)
{
	struct vhd *v = layer->vhd;
	struct place *places = malloc((v->block_count + 1) * sizeof(*places));
	uint64_t block;

	*count = 0;
	for (block = 0; places && block < v->block_count; block++) {
		if (v->bat[block] != VHD_UNUSED) {
			places[(*count)++] =
				(struct place){(uint64_t)v->bat[block] * VHD_SECTOR, block};
		}
	}
	if (places) {
		qsort(places, *count, sizeof(*places), by_offset);
	}
	return places;
}

static int copy_place(struct layer *layer, uint64_t from, uint64_t to)
{
	uint64_t length = layer->vhd->stride, done, n;
	uint8_t *buffer = malloc(DISK_MIB);
	int r = buffer ? 0 : -ENOMEM;

	for (done = 0; done < length && !r; done += n) {
		n = min_u64(DISK_MIB, length - done);
		r = file_read(&layer->file, buffer, n, from + done);
		r = r ? r : file_write(&layer->file, buffer, n, to + done);
	}
	free(buffer);
	return r;
}

#define MOVES 64

/* The last blocks go into gaps before them. A gap is free: nothing durable points into it. */
static int move_down(struct layer *layer, struct place *places, size_t count, uint64_t *moved)
{
	struct vhd *v = layer->vhd;
	uint64_t end = be64toh(v->header.table_offset) +
		       round_up(4ull * be32toh(v->header.table_entries), VHD_SECTOR);
	size_t i = 0, last = count;
	int r = 0;

	end = max_u64(end, be64toh(v->footer.data_offset) + VHD_HEADER_SPACE);
	while (i < last && *moved < MOVES && !r) {
		uint64_t to = round_up(end + v->bitmap_bytes, 4096) - v->bitmap_bytes;

		if (places[i].offset >= to + v->stride &&
		    places[last - 1].offset >= to + v->stride) {
			const struct place *p = &places[--last];

			r = copy_place(layer, p->offset, to);
			if (!r) {
				vhd_set_entry(v, p->block, (uint32_t)(to / VHD_SECTOR));
				++*moved;
			}
			end = to + v->stride;
			continue;
		}
		end = max_u64(end, places[i].offset + v->stride);
		i++;
	}
	return r;
}

int vhd_compact(struct layer *layer, uint64_t *moved)
{
	struct place *places;
	size_t count;
	int r = layer->format->flush(layer);

	*moved = 0;
	if (r || layer->type == DISK_FIXED) {
		return r;
	}
	pthread_mutex_lock(&layer->lock);
	places = list_blocks(layer, &count);
	r = places ? move_down(layer, places, count, moved) : -ENOMEM;
	pthread_mutex_unlock(&layer->lock);
	free(places);
	r = r ? r : layer->format->flush(layer);
	return r ? r : reload(layer, NULL); /* the gaps are others now */
}

static int write_new_header(struct layer *layer, const struct create_plan *plan,
			    struct disk_error *error)
{
	struct vhd *v = layer->vhd;
	struct vhd_header header = v->header;
	uint64_t at = v->end;
	int r = vhd_extend(layer, VHD_HEADER_SPACE);

	if (r) {
		return error_set(error, r, "%s: %s", layer->file.path, strerror(-r));
	}
	r = vhd_write_parent(&layer->file, &header, at, plan, error);
	if (r) {
		return r;
	}
	r = file_sync(&layer->file);
	if (!r) {
		v->header = header;
		v->footer.data_offset = htobe64(at);
		v->changed = true;
		r = vhd_write_footers(layer);
	}
	return r ? error_set(error, layer_fail(layer, r), "%s: writing the parent's name: %s",
			     layer->file.path, strerror(-r))
		 : 0;
}

/* A new header with its names at the file's end; the footers point to it once it is durable. */
int vhd_set_parent(struct layer *layer, const struct create_plan *plan, struct disk_error *error)
{
	int r;

	if (plan->parent->format != layer->format) {
		return error_set(error, -EINVAL,
				 "%s: not a VHD file, so it cannot be a parent of one",
				 plan->parent->file.path);
	}
	r = layer->format->flush(layer);
	if (r) {
		return error_set(error, r, "%s: %s", layer->file.path, strerror(-r));
	}
	pthread_mutex_lock(&layer->flush_lock);
	atomic_store(&layer->stalled, true);
	pthread_mutex_lock(&layer->lock);
	r = write_new_header(layer, plan, error);
	pthread_mutex_unlock(&layer->lock);
	atomic_store(&layer->stalled, false);
	pthread_mutex_unlock(&layer->flush_lock);
	if (!r) {
		guid_print_be(layer->vhd->header.parent_id, layer->parent_id);
	}
	return r;
}
