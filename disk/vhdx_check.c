/* VHDX: what opening with a report does not see by itself, and the repairs. */
#include "disk/vhdx.h"

#include "disk/bytes.h"
#include "disk/disk.h"
#include "disk/error.h"
#include "disk/file.h"
#include "disk/layer.h"
#include "disk/space.h"
#include "disk/units.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static int note(struct layer *layer, bool repaired, enum disk_severity severity, const char *text)
{
	report_add(layer->report, severity, repaired && layer->writable, text);
	return 0;
}

static void check_space(struct layer *layer)
{
	struct vhdx *v = layer->vhdx;
	char text[160];

	if (v->space.free) {
		snprintf(text, sizeof(text), "%llu MiB of the file are used by nothing",
			 (unsigned long long)v->space.free);
		note(layer, false, DISK_LEAK, text);
	}
}

/*
 * Region tables that differ from each other, where the second would be used when the first breaks.
 */
static int check_region_copies(struct layer *layer)
{
	uint8_t *copies = malloc(2 * VHDX_REGIONS_SIZE);
	int ret = copies != NULL ? 0 : -ENOMEM;

	ret = ret ? ret : vhdx_read_table(layer, copies, VHDX_REGIONS_SIZE, VHDX_REGIONS_1);
	ret = ret ? ret
		  : vhdx_read_table(layer, copies + VHDX_REGIONS_SIZE, VHDX_REGIONS_SIZE,
				    VHDX_REGIONS_2);
	if (!ret && memcmp(copies, copies + VHDX_REGIONS_SIZE, VHDX_REGIONS_SIZE)) {
		note(layer, true, DISK_NOTE, "the two region tables differ");
		if (layer->writable) { /* the first valid one is in use */
			struct vhdx_regions *first = (struct vhdx_regions *)copies;
			uint32_t crc = first->checksum;
			bool use_second;

			vhdx_seal_regions(first);
			use_second = first->checksum != crc ||
				     first->signature != VHDX_REGIONS_SIGNATURE;
			first->checksum = crc;
			ret = vhdx_begin(layer);
			ret = ret ? ret
				  : file_write(&layer->file,
					       copies + (use_second ? VHDX_REGIONS_SIZE : 0),
					       VHDX_REGIONS_SIZE,
					       use_second ? VHDX_REGIONS_1 : VHDX_REGIONS_2);
		}
	}
	free(copies);
	return ret;
}

/*
 * Bitmap blocks that no partially present block needs are harmless, but the pages must be readable.
 */
static int check_bitmap_pages(struct layer *layer, struct disk_error *error)
{
	struct vhdx *v = layer->vhdx;
	uint64_t per_chunk = VHDX_BITMAP_BLOCK / DISK_PAGE, chunk, i;

	for (chunk = 0; v->has_parent && chunk < v->chunk_count; chunk++) {
		if (entry_state(v->bat[vhdx_bitmap_index(v, chunk)]) != VHDX_BITMAP_PRESENT) {
			continue;
		}
		for (i = 0; i < per_chunk; i++) {
			struct bitmap_page *page;
			int ret;

			pthread_mutex_lock(&layer->lock);
			ret = vhdx_get_page(layer, chunk * per_chunk + i, true, &page);
			pthread_mutex_unlock(&layer->lock);
			if (ret) {
				return error_set(error, ret, "%s: reading a bitmap: %s",
						 layer->file.path, strerror(-ret));
			}
		}
	}
	return 0;
}

/*
 * With repair: the session itself replays the log and rewrites headers; changed entries go out with
 * its flush.
 */
int vhdx_check(struct layer *layer, struct disk_error *error)
{
	struct vhdx *v = layer->vhdx;
	bool pending = !guid_is_zero(&v->header.log);
	int ret;

	if (pending) {
		note(layer, true, DISK_NOTE,
		     "the file was not closed; its log will be put into place when it is next "
		     "written");
	}
	check_space(layer);
	ret = check_bitmap_pages(layer, error);
	if (ret) {
		return ret;
	}
	ret = check_region_copies(layer);
	if (!ret && layer->writable && (pending || layer->report->damages)) {
		ret = vhdx_begin(layer);
		ret = ret ? ret : vhdx_flush(layer);
	}
	return ret ? error_set(error, ret, "%s: repairing: %s", layer->file.path, strerror(-ret))
		   : 0;
}

int vhdx_loose(struct layer *layer, struct span_list *places)
{
	struct vhdx *v = layer->vhdx;
	uint64_t at;
	int ret = span_add(places, v->bat_offset, v->bat_length);

	for (at = 0; at < v->space.end && !ret; at++) {
		ret = space_is_free(&v->space, at, 1) ? span_add(places, at * DISK_MIB, DISK_MIB)
						      : 0;
	}
	return ret;
}
