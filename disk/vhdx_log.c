/*
 * VHDX: writing the log (MS-VHDX 2.3), and the overlay of a pending one, which vhdx_log_read.c
 * fills. Invariants of docs/design/disk.md kept here: 5, 6, 7, 9, 11, 12.
 *
 *   idle --vhdx_log_begin--> open --vhdx_log_commit--> open --vhdx_log_end--> idle
 *
 *   open: the header names a GUID, and the newest entry is valid; idle: the header names none
 *
 * An overlay exists from open until vhdx_log_begin has put it into the file.
 */
#include "disk/vhdx.h"

#include "disk/bytes.h"
#include "disk/file.h"
#include "disk/layer.h"
#include "disk/units.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DESCRIPTORS_IN_FIRST                                                                       \
	((DISK_PAGE - sizeof(struct vhdx_log_header)) / sizeof(struct vhdx_descriptor))
#define OVERLAY_MAX (1u << 20) /* pieces; a log that a file may have is far shorter */

/* -- The overlay -- */

/* Takes `data`, NULL for zeros. Pieces are kept in the order of the log, so that a later one wins
 * in overlay_patch(). */
int vhdx_overlay_add(struct vhdx *v, uint64_t offset, uint64_t length, uint8_t *data)
{
	if (v->overlay_count == v->overlay_capacity) {
		size_t capacity = v->overlay_capacity ? v->overlay_capacity * 2 : 64;
		struct overlay_piece *pieces = realloc(v->overlay, capacity * sizeof(*pieces));

		if (pieces == NULL) {
			return -ENOMEM;
		}
		v->overlay = pieces;
		v->overlay_capacity = capacity;
	}
	if (v->overlay_count == OVERLAY_MAX) {
		return -EFBIG;
	}
	v->overlay[v->overlay_count++] = (struct overlay_piece){offset, length, data};
	return 0;
}

static void overlay_clear(struct vhdx *v)
{
	size_t i;

	for (i = 0; i < v->overlay_count; i++) {
		free(v->overlay[i].data);
	}
	free(v->overlay);
	v->overlay = NULL;
	v->overlay_count = v->overlay_capacity = 0;
}

/* Puts what the log has for this part of the file over what was read of it. */
static void overlay_patch(const struct vhdx *v, uint8_t *buffer, size_t length, uint64_t offset)
{
	size_t i;

	for (i = 0; i < v->overlay_count; i++) {
		const struct overlay_piece *p = &v->overlay[i];
		uint64_t start = max_u64(p->offset, offset),
			 end = min_u64(p->offset + p->length, offset + length);

		if (start >= end) {
			continue;
		}
		if (p->data != NULL) {
			memcpy(buffer + (start - offset), p->data + (start - p->offset),
			       end - start);
		} else {
			memset(buffer + (start - offset), 0, end - start);
		}
	}
}

/* How tables are read while a log is pending: the file itself may be read-only, and replay must not
 * be needed to open it. */
int vhdx_read_table(struct layer *layer, void *buffer, size_t length, uint64_t offset)
{
	struct vhdx *v = layer->vhdx;
	uint64_t inside =
		offset < layer->file.size ? min_u64(length, layer->file.size - offset) : 0;
	int ret;

	if (offset + length > v->overlay_size) {
		return -ENODATA;
	}
	ret = file_read(&layer->file, buffer, inside, offset);
	if (!ret) {
		memset((uint8_t *)buffer + inside, 0,
		       length - inside); /* the file grows in replay */
		overlay_patch(v, buffer, length, offset);
	}
	return ret;
}

/* -- Writing -- */

/* Replay (2.3.3), into the file itself or into a copy. It may be cut off and begin again: each
 * piece is written whole. */
int vhdx_copy_log(struct layer *layer, struct file *to)
{
	struct vhdx *v = layer->vhdx;
	size_t i;
	int ret = 0;

	if (v->overlay_size > to->size) {
		ret = file_truncate(to, v->overlay_size);
	}
	for (i = 0; i < v->overlay_count && !ret; i++) {
		const struct overlay_piece *p = &v->overlay[i];

		ret = p->data != NULL ? file_write(to, p->data, p->length, p->offset)
				      : file_zero(to, p->offset, p->length, true);
	}
	return ret;
}

/*
 * An entry of these pages (2.3.1): header and descriptors in the first sector, then a data sector
 * for each page. The first 8 and the last 4 bytes of a page are in its descriptor, where the data
 * sector has its signature and sequence number. The tail is the entry itself (invariant 6): all
 * before it is in place already.
 */
static uint32_t build_entry(struct layer *layer, const struct staged_page *pages, unsigned count,
			    uint64_t durable_size)
{
	struct vhdx *v = layer->vhdx;
	struct vhdx_log_header *e = (struct vhdx_log_header *)v->entry;
	struct vhdx_descriptor *d = (struct vhdx_descriptor *)(e + 1);
	uint8_t *at = v->entry + DISK_PAGE;
	unsigned i;

	memset(v->entry, 0, DISK_PAGE);
	*e = (struct vhdx_log_header){
		.signature = VHDX_LOG_SIGNATURE,
		.length = DISK_PAGE * (1 + count),
		.tail = v->log_next,
		.sequence = ++v->log_sequence,
		.descriptor_count = count,
		.log = v->header.log,
		.flushed_file_size = durable_size,
		.last_file_size = durable_size,
	};
	for (i = 0; i < count; i++, d++, at += DISK_PAGE) {
		struct vhdx_log_sector *s = (struct vhdx_log_sector *)at;
		const uint8_t *page = pages[i].data;

		d->signature = VHDX_DESC_SIGNATURE;
		d->file_offset = pages[i].file_offset;
		d->sequence = e->sequence;
		memcpy(&d->leading, page, 8);
		memcpy(&d->trailing, page + DISK_PAGE - 4, 4);
		s->signature = VHDX_DATA_SIGNATURE;
		s->sequence_high = (uint32_t)(e->sequence >> 32);
		s->sequence_low = (uint32_t)e->sequence;
		memcpy(s->data, page + 8, DISK_PAGE - 12);
	}
	e->checksum = crc32c(0, v->entry, e->length); /* with 0 in its own place */
	return e->length;
}

/* The log is a ring: an entry may go on at its beginning. It is durable when this returns. */
static int write_entry(struct layer *layer, const struct staged_page *pages, unsigned count,
		       uint64_t durable_size)
{
	struct vhdx *v = layer->vhdx;
	uint32_t length = build_entry(layer, pages, count, durable_size),
		 log_length = v->header.log_length;
	uint32_t first = (uint32_t)min_u64(length, log_length - v->log_next);
	int ret = file_write(&layer->file, v->entry, first, v->header.log_offset + v->log_next);

	if (!ret && first < length) {
		ret = file_write(&layer->file, v->entry + first, length - first,
				 v->header.log_offset);
	}
	if (!ret) {
		ret = file_sync(&layer->file);
		v->log_next = (v->log_next + length) % log_length;
	}
	return ret;
}

static int allocate_stage(struct vhdx *v)
{
	/* One sector of descriptors, and half of the log at most (invariant 7). */
	v->entry_max =
		(unsigned)min_u64(DESCRIPTORS_IN_FIRST, v->header.log_length / DISK_PAGE / 2 - 1);
	v->stage_room = v->entry_max;
	v->stage = malloc(v->stage_room * sizeof(*v->stage));
	v->entry = malloc((v->entry_max + 1) * DISK_PAGE);
	return v->stage != NULL && v->entry != NULL ? 0 : -ENOMEM;
}

static int resize_stage(struct vhdx *v, size_t room)
{
	struct staged_page *stage = realloc(v->stage, room * sizeof(*stage));

	if (stage == NULL) {
		return -ENOMEM;
	}
	v->stage = stage;
	v->stage_room = (unsigned)room;
	return 0;
}

/* A flush stages all that is dirty at one moment, which may be more than an entry takes; it is
 * committed in several then. */
int vhdx_stage_reserve(struct layer *layer, size_t count)
{
	struct vhdx *v = layer->vhdx;

	return count <= v->stage_room - v->stage_count ? 0
						       : resize_stage(v, v->stage_count + count);
}

/*
 * An entry is only valid under the GUID that the header names (2.3.2), so the first one, which is
 * empty, is written before the header names the new GUID: whatever the log area held until then
 * means nothing any more.
 */
int vhdx_log_begin(struct layer *layer)
{
	struct vhdx *v = layer->vhdx;
	struct guid log;
	int ret = v->stage != NULL ? 0 : allocate_stage(v);

	if (!ret &&
	    !guid_is_zero(
		    &v->header.log)) { /* what is pending goes into place, and the old log ends */
		ret = vhdx_copy_log(layer, &layer->file);
		ret = ret ? ret : file_sync(&layer->file);
		memset(&v->header.log, 0, sizeof(v->header.log));
		guid_random(&v->header.file_write);
		ret = ret ? ret : vhdx_write_headers(layer);
	}
	if (ret) {
		return ret;
	}
	overlay_clear(v);
	v->overlay_size = UINT64_MAX;
	guid_random(&log);
	guid_random(&v->header.file_write);
	v->header.log = log;
	v->header.log_version = 0;
	v->log_next = 0;
	v->stage_count = 0;
	ret = write_entry(layer, NULL, 0, layer->file.size);
	return ret ? ret : vhdx_write_headers(layer);
}

/* What the log describes is in its place once the file is synced; then nobody has to replay it. */
int vhdx_log_end(struct layer *layer)
{
	struct vhdx *v = layer->vhdx;
	int ret = file_sync(&layer->file);

	memset(&v->header.log, 0, sizeof(v->header.log));
	return ret ? ret : vhdx_write_headers(layer);
}

struct staged_page *vhdx_stage(struct layer *layer, uint64_t file_offset)
{
	struct vhdx *v = layer->vhdx;
	struct staged_page *page = &v->stage[v->stage_count++];

	page->file_offset = file_offset;
	return page;
}

/* Changes of less than a page, for metadata: the page is staged with what it holds, once. -ENOSPC:
 * more pages than one entry takes. */
int vhdx_stage_bytes(struct layer *layer, uint64_t offset, const void *data, size_t length)
{
	struct vhdx *v = layer->vhdx;
	const uint8_t *from = data;

	while (length) {
		uint64_t place = round_down(offset, DISK_PAGE);
		size_t n = (size_t)min_u64(length, place + DISK_PAGE - offset);
		unsigned i;
		int ret;

		for (i = 0; i < v->stage_count && v->stage[i].file_offset != place; i++) {
		}
		if (i == v->entry_max) {
			return -ENOSPC;
		}
		if (i == v->stage_count) {
			struct staged_page *page = vhdx_stage(layer, place);

			ret = vhdx_read_table(layer, page->data, DISK_PAGE, place);
			if (ret) {
				return ret;
			}
		}
		memcpy(v->stage[i].data + (offset - place), from, n);
		offset += n;
		from += n;
		length -= n;
	}
	return 0;
}

/* The sync first: invariants 1, 3 and 6 rest on it. */
static int commit_entry(struct layer *layer, const struct staged_page *pages, unsigned count)
{
	/* Taken before the sync: the file may grow meanwhile, and what grew is not durable. */
	uint64_t size = __atomic_load_n(&layer->file.size, __ATOMIC_RELAXED);
	unsigned i;
	int ret = file_sync(&layer->file);

	ret = ret ? ret : write_entry(layer, pages, count, size);
	for (i = 0; i < count && !ret; i++) {
		ret = file_write(&layer->file, pages[i].data, DISK_PAGE, pages[i].file_offset);
	}
	return ret;
}

/* Under flush_lock. After a failure it is not known what the file has, so the layer serves nothing
 * more (layer_fail()). */
int vhdx_log_commit(struct layer *layer)
{
	struct vhdx *v = layer->vhdx;
	unsigned at, count;
	int ret = 0;

	for (at = 0; at < v->stage_count && !ret; at += count) {
		count = (unsigned)min_u64(v->entry_max, v->stage_count - at);
		ret = commit_entry(layer, v->stage + at, count);
	}
	v->stage_count = 0;
	if (v->stage_room > v->entry_max) {
		(void)resize_stage(v, v->entry_max); /* to make it smaller, or else not */
	}
	return ret ? layer_fail(layer, ret) : 0;
}

void vhdx_log_release(struct layer *layer)
{
	overlay_clear(layer->vhdx);
	free(layer->vhdx->stage);
	free(layer->vhdx->entry);
}
