/*
 * VHDX: reading a pending log (MS-VHDX 2.3) into the overlay: the newest valid sequence of entries,
 * as far as a file that may be hostile is to be believed.
 */
#include "disk/vhdx.h"

#include "disk/bytes.h"
#include "disk/disk.h"
#include "disk/error.h"
#include "disk/file.h"
#include "disk/layer.h"
#include "disk/units.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct log_scan {
	struct layer *layer;
	uint64_t budget; /* bytes that may still be read: a hostile log must not take for ever */
	uint8_t *entry;  /* the last one read, without the ring's wrap */
	uint32_t capacity;
	bool seen; /* something that bears the right GUID */
};

static int read_ring(struct log_scan *scan, void *buffer, uint32_t length, uint32_t at)
{
	const struct vhdx_header *h = &scan->layer->vhdx->header;
	uint32_t first = (uint32_t)min_u64(length, h->log_length - at);
	int ret = file_read(&scan->layer->file, buffer, first, h->log_offset + at);

	return ret || first == length ? ret
				      : file_read(&scan->layer->file, (uint8_t *)buffer + first,
						  length - first, h->log_offset);
}

static bool header_is_plausible(const struct log_scan *scan, const struct vhdx_log_header *e)
{
	const struct vhdx_header *h = &scan->layer->vhdx->header;

	return e->signature == VHDX_LOG_SIGNATURE && !memcmp(&e->log, &h->log, sizeof(e->log)) &&
	       e->length && e->length % DISK_PAGE == 0 && e->length <= h->log_length &&
	       e->tail % DISK_PAGE == 0 && e->tail < h->log_length && e->sequence &&
	       e->descriptor_count <= (e->length - sizeof(*e)) / sizeof(struct vhdx_descriptor);
}

static bool may_log(const struct vhdx_header *h, uint64_t offset, uint64_t length)
{
	return offset % DISK_PAGE == 0 && length % DISK_PAGE == 0 && offset >= VHDX_REGIONS_1 &&
	       length <= VHDX_FILE_MAX && offset <= VHDX_FILE_MAX &&
	       !(offset < h->log_offset + h->log_length && h->log_offset < offset + length);
}

/*
 * scan->entry holds a whole entry whose header is plausible: its checksum, descriptors and sectors.
 */
static bool entry_is_valid(struct log_scan *scan)
{
	struct vhdx_log_header *e = (struct vhdx_log_header *)scan->entry;
	const struct vhdx_descriptor *d = (const struct vhdx_descriptor *)(e + 1);
	uint64_t data_at = round_up(sizeof(*e) + e->descriptor_count * sizeof(*d), DISK_PAGE);
	uint32_t stored = e->checksum, actual, i;

	e->checksum = 0;
	actual = crc32c(0, e, e->length);
	e->checksum = stored;
	if (actual != stored) {
		return false;
	}
	for (i = 0; i < e->descriptor_count; i++, d++) {
		bool data = d->signature == VHDX_DESC_SIGNATURE;
		const struct vhdx_log_sector *s =
			(const struct vhdx_log_sector *)(scan->entry + data_at);

		if ((!data && d->signature != VHDX_ZERO_SIGNATURE) || d->sequence != e->sequence ||
		    !may_log(&scan->layer->vhdx->header, d->file_offset,
			     data ? DISK_PAGE : d->zero_length)) {
			return false;
		}
		if (!data) {
			continue;
		}
		if (data_at + DISK_PAGE > e->length || s->signature != VHDX_DATA_SIGNATURE ||
		    s->sequence_high != (uint32_t)(e->sequence >> 32) ||
		    s->sequence_low != (uint32_t)e->sequence) {
			return false;
		}
		data_at += DISK_PAGE;
	}
	return true;
}

/* 1: scan->entry is the valid entry at this place. 0: there is none. */
static int read_entry(struct log_scan *scan, uint32_t at)
{
	struct vhdx_log_header head;
	int ret = read_ring(scan, &head, sizeof(head), at);

	if (ret || !header_is_plausible(scan, &head)) {
		return ret;
	}
	scan->seen = true;
	if (head.length > scan->budget) {
		return -EFBIG;
	}
	scan->budget -= head.length;
	if (head.length > scan->capacity) {
		uint8_t *entry = realloc(scan->entry, head.length);

		if (entry == NULL) {
			return -ENOMEM;
		}
		scan->entry = entry;
		scan->capacity = head.length;
	}
	ret = read_ring(scan, scan->entry, head.length, at);
	return ret ? ret : entry_is_valid(scan);
}

struct sequence {
	uint32_t start, tail, length;
	uint64_t newest;
	bool valid;
};

/* The run of entries, each one number up, that begins at this place (MS-VHDX 2.3.2). */
static int read_sequence(struct log_scan *scan, uint32_t start, struct sequence *s)
{
	uint32_t log_length = scan->layer->vhdx->header.log_length, from_start;
	int ret;

	*s = (struct sequence){.start = start};
	while (s->length < log_length &&
	       (ret = read_entry(scan, (start + s->length) % log_length)) != 0) {
		const struct vhdx_log_header *e = (const struct vhdx_log_header *)scan->entry;

		if (ret < 0) {
			return ret;
		}
		if ((s->length && e->sequence != s->newest + 1) ||
		    e->length > log_length - s->length) {
			break;
		}
		s->newest = e->sequence;
		s->tail = e->tail;
		s->length += e->length;
	}
	from_start = (s->tail + log_length - start) % log_length;
	s->valid = s->length && from_start < s->length;
	return 0;
}

static int find_newest(struct log_scan *scan, struct sequence *best)
{
	uint32_t log_length = scan->layer->vhdx->header.log_length, at = 0;

	*best = (struct sequence){0};
	while (at < log_length) {
		struct sequence s;
		int ret = read_sequence(scan, at, &s);

		if (ret) {
			return ret;
		}
		if (s.valid && (!best->valid || s.newest > best->newest)) {
			*best = s;
		}
		at += s.length ? s.length : DISK_PAGE;
	}
	return 0;
}

static int overlay_entry(struct log_scan *scan)
{
	struct vhdx *v = scan->layer->vhdx;
	const struct vhdx_log_header *e = (const struct vhdx_log_header *)scan->entry;
	const struct vhdx_descriptor *d = (const struct vhdx_descriptor *)(e + 1);
	uint64_t data_at = round_up(sizeof(*e) + e->descriptor_count * sizeof(*d), DISK_PAGE);
	uint32_t i;
	int ret = 0;

	for (i = 0; i < e->descriptor_count && !ret; i++, d++) {
		uint8_t *page;

		if (d->signature == VHDX_ZERO_SIGNATURE) {
			ret = vhdx_overlay_add(v, d->file_offset, d->zero_length, NULL);
			continue;
		}
		page = malloc(DISK_PAGE);
		if (page == NULL) {
			return -ENOMEM;
		}
		memcpy(page, &d->leading, 8);
		memcpy(page + 8, ((struct vhdx_log_sector *)(scan->entry + data_at))->data,
		       DISK_PAGE - 12);
		memcpy(page + DISK_PAGE - 4, &d->trailing, 4);
		data_at += DISK_PAGE;
		ret = vhdx_overlay_add(v, d->file_offset, DISK_PAGE, page);
		if (ret) {
			free(page);
		}
	}
	return ret;
}

/* Nothing is put beyond the size that the log itself says the file has. */
static int check_reach(struct layer *layer, struct disk_error *error)
{
	const struct vhdx *v = layer->vhdx;
	size_t i;

	for (i = 0; i < v->overlay_count; i++) {
		if (v->overlay[i].offset + v->overlay[i].length > v->overlay_size) {
			return error_set(error, -EUCLEAN,
					 "%s: damaged: the log reaches beyond the file",
					 layer->file.path);
		}
	}
	return 0;
}

static int overlay_sequence(struct log_scan *scan, const struct sequence *s,
			    struct disk_error *error)
{
	struct layer *layer = scan->layer;
	struct vhdx *v = layer->vhdx;
	uint32_t log_length = v->header.log_length;
	uint32_t done = (s->tail + log_length - s->start) % log_length;
	int ret = 0;

	while (done < s->length && !ret) {
		const struct vhdx_log_header *e;

		ret = read_entry(scan, (s->start + done) % log_length);
		if (ret <= 0) {
			return ret ? ret : -EIO; /* it was valid a moment ago */
		}
		e = (const struct vhdx_log_header *)scan->entry;
		if (e->flushed_file_size > layer->file.size) {
			return error_set(error, -EUCLEAN,
					 "%s: damaged: the file was cut short after it was written",
					 layer->file.path);
		}
		if (e->last_file_size > VHDX_FILE_MAX) {
			return error_set(error, -EUCLEAN,
					 "%s: damaged: the log wants a file of %llu bytes",
					 layer->file.path, (unsigned long long)e->last_file_size);
		}
		v->overlay_size = max_u64(v->overlay_size, e->last_file_size);
		done += e->length;
		ret = overlay_entry(scan);
	}
	v->log_sequence = s->newest;
	return ret ? ret : check_reach(layer, error);
}

int vhdx_log_read(struct layer *layer, struct disk_error *error)
{
	struct vhdx *v = layer->vhdx;
	struct log_scan scan = {.layer = layer, .budget = 16ull * v->header.log_length};
	struct sequence best;
	int ret;

	v->overlay_size = layer->file.size;
	if (v->header.log_offset + v->header.log_length > layer->file.size) {
		return error_set(error, -EUCLEAN,
				 "%s: damaged: the file is cut short within its log",
				 layer->file.path);
	}
	if (guid_is_zero(&v->header.log)) {
		return 0;
	}
	error_set(error, 0, "%s", "");
	ret = find_newest(&scan, &best);
	if (!ret && best.valid) {
		scan.budget = 2ull * v->header.log_length;
		ret = overlay_sequence(&scan, &best, error);
	} else if (
		!ret &&
		scan.seen) { /* the first entry of some programs may be half written: then nothing is lost */
		ret = layer_fault(layer, error, DISK_DAMAGE,
				  "its log cannot be read, the tables may be out of date");
	}
	free(scan.entry);
	return !ret || (error != NULL && error->code)
		       ? ret
		       : error_set(error, ret == -EFBIG ? -EUCLEAN : ret, "%s: reading the log: %s",
				   layer->file.path, strerror(-ret));
}
