/* VHD: reading, writing, trimming. The order of writes is in docs/design/disk.md. */
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

static int vhd_probe(struct file *file)
{
	uint64_t lengths[] = {VHD_SECTOR, 511};
	uint8_t cookie[8];
	unsigned i;
	int ret;

	if (file->size < VHD_SECTOR) {
		return 0;
	}
	ret = file_read(file, cookie, sizeof(cookie), 0);
	if (ret || !memcmp(cookie, "conectix", 8)) {
		return ret ? ret : 1;
	}
	for (i = 0; i < 2; i++) {
		ret = file_read(file, cookie, sizeof(cookie), file->size - lengths[i]);
		if (ret || !memcmp(cookie, "conectix", 8)) {
			return ret ? ret : 1;
		}
	}
	return 0;
}

static void vhd_release(struct layer *layer)
{
	if (layer->vhd != NULL) {
		vhd_forget_tables(layer->vhd);
		free(layer->vhd);
		layer->vhd = NULL;
	}
}

static int vhd_open(struct layer *layer, struct disk_error *error)
{
	struct vhd *v = layer->vhd = calloc(1, sizeof(*v));
	uint32_t type;
	int ret;

	if (v == NULL) {
		return error_set(error, -ENOMEM, "%s: out of memory", layer->file.path);
	}
	ret = vhd_read_footer(layer, error);
	if (ret) {
		return ret;
	}
	type = be32toh(v->footer.type);
	layer->type = type == VHD_FIXED     ? DISK_FIXED
		      : type == VHD_DYNAMIC ? DISK_DYNAMIC
					    : DISK_DIFFERENCING;
	layer->size = be64toh(v->footer.current_size);
	layer->sector_size = layer->physical_size = VHD_SECTOR;
	if (type == VHD_FIXED) {
		return 0;
	}
	ret = vhd_read_header(layer, error);
	if (!ret && type == VHD_DIFFERENCING) {
		ret = vhd_read_locators(layer, error);
	}
	return ret ? ret : vhd_load_bat(layer, error);
}

static int vhd_flush(struct layer *layer)
{
	return layer->type == DISK_FIXED ? layer_sync(layer) : layer_flush(layer, vhd_flush_tables);
}

/* The footer goes behind the last block, is durable there, and the file is cut behind it. */
static int vhd_finish(struct layer *layer)
{
	struct vhd *v = layer->vhd;
	uint64_t end;
	int ret = vhd_flush(layer);

	if (ret || !v->changed || layer->type == DISK_FIXED) {
		return ret;
	}
	pthread_mutex_lock(&layer->flush_lock);
	end = vhd_used_end(layer);
	/* A repair keeps what nothing uses, but for the sector of a broken footer. */
	if (layer->report == NULL || v->end <= end + sizeof(v->footer)) {
		v->end = end;
	}
	ret = vhd_write_footers(layer);
	if (!ret && layer->file.size > v->end + sizeof(v->footer)) {
		ret = file_truncate(&layer->file, v->end + sizeof(v->footer));
		ret = ret ? ret : file_sync(&layer->file);
	}
	if (!ret) { /* a disk that is let go may be taken back, a parent be written again */
		pthread_mutex_lock(&layer->lock);
		vhd_cut_places(layer, v->end);
		pthread_mutex_unlock(&layer->lock);
	}
	pthread_mutex_unlock(&layer->flush_lock);
	return ret;
}

/* -- Mapping -- */

static unsigned run_of_bits(const uint8_t *bits, unsigned from, unsigned end, bool *value)
{
	unsigned at = from;

	*value = bits[from / 8] >> (7 - from % 8) & 1;
	while (at < end) {
		if (at % 8 == 0 && end - at >= 8 && bits[at / 8] == (*value ? 0xff : 0)) {
			at += 8;
			continue;
		}
		if ((bits[at / 8] >> (7 - at % 8) & 1) != *value) {
			break;
		}
		at++;
	}
	return at - from;
}

static uint64_t block_data(const struct vhd *v, uint64_t block)
{
	return (uint64_t)v->bat[block] * VHD_SECTOR + v->bitmap_bytes;
}

static int map_bits(struct layer *layer, uint64_t block, uint64_t in_block, bool wait,
		    struct extent *extent)
{
	unsigned first = (unsigned)(in_block / VHD_SECTOR);
	unsigned end = (unsigned)((in_block + extent->length + VHD_SECTOR - 1) / VHD_SECTOR);
	struct vhd_bitmap *bitmap;
	bool present;
	unsigned run;
	int ret = vhd_get_bitmap(layer, block, wait, &bitmap);

	if (ret) {
		return ret;
	}
	run = run_of_bits(bitmap->bits, first, end, &present);
	extent->kind = present ? EXTENT_DATA : EXTENT_PARENT;
	extent->length = min_u64(extent->length, (uint64_t)(first + run) * VHD_SECTOR - in_block);
	return 0;
}

/*
 * A dynamic disk's bitmap is not asked: blocks start as zeros, so an unset bit's sector is zeros
 * anyway.
 */
static int vhd_map(struct layer *layer, uint64_t offset, uint64_t length, bool wait,
		   struct extent *extent)
{
	struct vhd *v = layer->vhd;
	uint64_t block, in_block;
	int ret = 0;

	extent->kind = EXTENT_DATA;
	extent->file_offset = offset;
	extent->length = length;
	if (layer->type != DISK_FIXED) {
		block = offset / layer->block_size;
		in_block = offset % layer->block_size;
		extent->length = min_u64(length, layer->block_size - in_block);
		extent->file_offset = block_data(v, block) + in_block;
		if (v->bat[block] == VHD_UNUSED) {
			extent->kind =
				layer->type == DISK_DIFFERENCING ? EXTENT_PARENT : EXTENT_ZERO;
		} else if (layer->type == DISK_DIFFERENCING) {
			ret = map_bits(layer, block, in_block, wait, extent);
		}
	}
	if (!ret && extent->kind == EXTENT_DATA) {
		layer_io_begin(layer, extent);
	}
	return ret;
}

/* -- Writing -- */

/*
 * A block of another program's may have unset bits: readers that ask must find what is now written.
 */
static int complete_bitmap(struct layer *layer, uint64_t block, bool wait)
{
	struct vhd *v = layer->vhd;
	uint32_t length = layer->block_size / VHD_SECTOR / 8;
	uint8_t *bits;
	int ret;

	if (v->bitmap_full[block]) {
		return 0;
	}
	if (!wait) {
		return -EAGAIN;
	}
	bits = malloc(v->bitmap_bytes);
	if (bits == NULL) {
		return -ENOMEM;
	}
	memset(bits, 0, v->bitmap_bytes);
	memset(bits, 0xff, max_u64(length, 1));
	ret = file_write(&layer->file, bits, v->bitmap_bytes, (uint64_t)v->bat[block] * VHD_SECTOR);
	free(bits);
	v->bitmap_full[block] = !ret;
	layer_change(layer); /* it is in the file, but not durable */
	return ret;
}

/*
 * Before a write that changes the tables: too much of them is dirty, or there is no place for a
 * block and a flush would give some back.
 */
static bool flush_comes_first(const struct layer *layer, uint64_t block)
{
	const struct vhd *v = layer->vhd;
	bool has_place = v->bat[block] != VHD_UNUSED;

	if (has_place && layer->type == DISK_DYNAMIC) {
		return false;
	}
	return vhd_tables_are_full(v) ||
	       (!has_place && layer_should_reclaim(layer) && !v->clean.count && !v->free.count);
}

/* -ENOBUFS: flush first, which is asked for but once. */
static int begin_locked(struct layer *layer, uint64_t offset, uint64_t length, bool wait,
			bool flushed, struct extent *extent)
{
	struct vhd *v = layer->vhd;
	uint64_t block = offset / layer->block_size, in_block = offset % layer->block_size, place;
	struct vhd_bitmap *bitmap;
	int ret;

	if (!flushed && flush_comes_first(layer, block)) {
		return -ENOBUFS;
	}
	if (v->bat[block] == VHD_UNUSED) {
		ret = vhd_allocate(layer, wait, &place);
		if (ret) {
			return ret;
		}
		vhd_set_entry(layer, block, (uint32_t)(place / VHD_SECTOR));
		v->bitmap_full[block] = 1;
	}
	ret = layer->type == DISK_DIFFERENCING ? vhd_get_bitmap(layer, block, wait, &bitmap)
					       : complete_bitmap(layer, block, wait);
	if (ret) {
		return ret;
	}
	extent->kind = EXTENT_DATA;
	extent->file_offset = block_data(v, block) + in_block;
	extent->length = min_u64(length, layer->block_size - in_block);
	layer_io_begin(layer, extent);
	return 0;
}

static int begin(struct layer *layer, uint64_t offset, uint64_t length, bool wait, bool flushed,
		 struct extent *extent)
{
	int ret = layer_lock(layer, wait);

	if (ret) {
		return ret;
	}
	ret = layer->type == DISK_FIXED
		      ? vhd_map(layer, offset, length, wait, extent)
		      : begin_locked(layer, offset, length, wait, flushed, extent);
	layer_unlock(layer);
	return ret;
}

static int vhd_write_begin(struct layer *layer, uint64_t offset, uint64_t length, bool wait,
			   struct extent *extent)
{
	int ret = atomic_load_explicit(&layer->failed, memory_order_relaxed);

	ret = ret ? ret : begin(layer, offset, length, wait, false, extent);
	if (ret != -ENOBUFS) {
		return ret;
	}
	ret = wait ? vhd_flush(layer) : -EAGAIN;
	return ret ? ret : begin(layer, offset, length, wait, true, extent);
}

static int vhd_write_end(struct layer *layer, uint64_t offset, uint64_t length,
			 const struct extent *extent)
{
	uint64_t block, in_block;
	struct vhd_bitmap *bitmap;
	unsigned i;
	int ret;

	if (layer->type != DISK_DIFFERENCING) {
		return 0;
	}
	block = offset / layer->block_size;
	in_block = offset % layer->block_size;
	layer_lock(layer, true);
	if (block_data(layer->vhd, block) + in_block !=
	    extent->file_offset) { /* the block was dropped meanwhile */
		layer_unlock(layer);
		return 0;
	}
	ret = vhd_get_bitmap(layer, block, true, &bitmap);
	if (!ret) {
		for (i = in_block / VHD_SECTOR; i < (in_block + length) / VHD_SECTOR; i++) {
			bitmap->bits[i / 8] |= (uint8_t)(0x80 >> i % 8);
		}
		vhd_mark_bitmap(layer, bitmap);
	}
	layer_unlock(layer);
	return ret;
}

/* -- Trimming -- */

static int trim_dynamic(struct layer *layer, uint64_t block, uint64_t in_block, uint64_t length,
			struct span *zero)
{
	struct vhd *v = layer->vhd;
	uint64_t at = block * layer->block_size + in_block;
	int ret;

	if (v->bat[block] == VHD_UNUSED) {
		return 0;
	}
	if (in_block || (length != layer->block_size && at + length != layer->size)) {
		*zero = (struct span){block_data(v, block) + in_block, length};
		return 0;
	}
	ret = layer_free_space(layer, (uint64_t)v->bat[block] * VHD_SECTOR, v->stride);
	layer->freed.fence = layer->freed.count; /* places are of one size and stay apart */
	if (!ret) {
		vhd_set_entry(layer, block, VHD_UNUSED);
		v->bitmap_full[block] = 0;
	}
	return ret;
}

/* The format has no way to say "zeros" over a parent: there the zeros are written. */
static int vhd_trim(struct layer *layer, uint64_t offset, uint64_t length, uint64_t *done)
{
	struct extent use = {.kind = EXTENT_DATA};
	struct span zero = {offset, length};
	int ret = atomic_load(&layer->failed);

	*done = length;
	if (ret || layer->type == DISK_DIFFERENCING) {
		return ret ? ret : -EOPNOTSUPP;
	}
	layer_lock(layer, true);
	if (layer->type == DISK_DYNAMIC) {
		uint64_t in_block = offset % layer->block_size;

		*done = min_u64(length, layer->block_size - in_block);
		zero.length = 0;
		ret = trim_dynamic(layer, offset / layer->block_size, in_block, *done, &zero);
	}
	layer_io_begin(layer, &use);
	layer_unlock(layer);
	if (!ret && zero.length) {
		ret = file_zero(&layer->file, zero.offset, zero.length, layer->type == DISK_FIXED);
	}
	layer_io_end(layer, &use);
	return ret;
}

static void drop_bitmap(struct vhd *v, uint64_t block)
{
	struct vhd_bitmap **where = &v->dirty_bitmaps;

	while (*where != NULL && *where != v->bitmaps[block]) {
		where = &(*where)->next_dirty;
	}
	if (*where != NULL) {
		*where = (*where)->next_dirty;
		v->dirty_bitmap_count--;
	}
	free(v->bitmaps[block]);
	v->bitmaps[block] = NULL;
}

/* Block by block: the parent holds the same, so any part of it may be durable first. */
static int vhd_empty(struct layer *layer)
{
	struct vhd *v = layer->vhd;
	uint64_t block;
	int ret = 0;

	layer_lock(layer, true);
	for (block = 0; block < v->block_count && !ret && layer->type == DISK_DIFFERENCING;
	     block++) {
		if (v->bat[block] == VHD_UNUSED) {
			continue;
		}
		ret = layer_free_space(layer, (uint64_t)v->bat[block] * VHD_SECTOR, v->stride);
		layer->freed.fence = layer->freed.count;
		if (!ret) {
			drop_bitmap(v, block);
			vhd_set_entry(layer, block, VHD_UNUSED);
		}
	}
	layer_unlock(layer);
	return ret ? ret : vhd_flush(layer);
}

/* -- Check and information -- */

static int vhd_check(struct layer *layer, struct disk_error *error)
{
	struct vhd *v = layer->vhd;
	uint64_t end;

	if (v->footer.saved_state) {
		report_add(layer->report, DISK_NOTE, false,
			   "a virtual machine is saved on this disk");
	}
	if (layer->type == DISK_FIXED) {
		return v->end > layer->size
			       ? layer_fault(layer, error, DISK_LEAK,
					     "%llu bytes behind the disk are used by nothing",
					     (unsigned long long)(v->end - layer->size))
			       : 0;
	}
	end = vhd_used_end(layer);
	if (end < v->end) {
		return layer_fault(layer, error, DISK_LEAK,
				   "%llu bytes at the end are used by nothing",
				   (unsigned long long)(v->end - end));
	}
	return 0;
}

static void vhd_info(struct layer *layer, struct disk_info *info)
{
	struct vhd *v = layer->vhd;
	uint64_t block;

	guid_print_be(v->footer.id, info->id);
	snprintf(info->creator, sizeof(info->creator), "%.4s", (const char *)v->footer.creator);
	info->cylinders = be16toh(v->footer.cylinders);
	info->heads = v->footer.heads;
	info->sectors_per_track = v->footer.sectors;
	info->blocks = v->block_count;
	pthread_mutex_lock(&layer->lock);
	for (block = 0; block < v->block_count; block++) {
		info->blocks_present += v->bat[block] != VHD_UNUSED;
	}
	pthread_mutex_unlock(&layer->lock);
}

static void vhd_identity(struct layer *layer, char text[GUID_TEXT])
{
	guid_print_be(layer->vhd->footer.id, text);
}

const struct format vhd_format = {
	.id = DISK_FORMAT_VHD,
	.name = "vhd",
	.endings = ".vhd .avhd .vpc",
	.has_blocks = true,
	.probe = vhd_probe,
	.open = vhd_open,
	.release = vhd_release,
	.create = vhd_create,
	.map = vhd_map,
	.write_begin = vhd_write_begin,
	.write_end = vhd_write_end,
	.trim = vhd_trim,
	.flush = vhd_flush,
	.finish = vhd_finish,
	.resize = vhd_resize,
	.compact = vhd_compact,
	.empty = vhd_empty,
	.set_parent = vhd_set_parent,
	.check = vhd_check,
	.loose = vhd_loose,
	.info = vhd_info,
	.identity = vhd_identity,
};
