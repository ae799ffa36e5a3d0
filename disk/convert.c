/*
 * Convert: what a handle reads as goes into a new file. Several requests are under way at once;
 * what is known or found to be zeros is not written where the new file starts as zeros (all formats
 * do).
 */
#include "disk/bytes.h"
#include "disk/chain.h"
#include "disk/create.h"
#include "disk/disk.h"
#include "disk/error.h"
#include "disk/layer.h"
#include "disk/units.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS      8
#define SLOT_BYTES (1 * DISK_MIB)
#define GRAIN      4096u /* zeros shorter than this are copied */

struct convert;

struct slot {
	struct disk_req req;
	struct iovec iov;
	struct convert *convert;
	uint8_t *buffer;
	uint64_t offset, length; /* of the disk, in buffer */
	uint64_t written;        /* of it, seen to */
};

struct convert {
	struct disk *from, *to;
	struct disk_queue *queue;
	struct slot slots[SLOTS];
	uint64_t next, data_end; /* where to read next; up to where it is data */
	uint64_t end;            /* of what is copied */
	uint64_t done;
	unsigned busy;
	int result;
};

static void slot_read(struct slot *slot);

/* The next stretch of buffer that is not zeros; false if there is none. */
static bool next_data(const struct slot *slot, uint64_t *start, uint64_t *end)
{
	uint64_t at = slot->written;

	while (at < slot->length &&
	       is_all_zero(slot->buffer + at, min_u64(GRAIN, slot->length - at))) {
		at += GRAIN;
	}
	*start = min_u64(at, slot->length);
	while (at < slot->length &&
	       !is_all_zero(slot->buffer + at, min_u64(GRAIN, slot->length - at))) {
		at += GRAIN;
	}
	*end = min_u64(at, slot->length);
	return *start < *end;
}

static void slot_written(struct disk_req *req);

static void slot_write(struct slot *slot)
{
	struct convert *c = slot->convert;
	uint64_t start, end;

	if (c->result || !next_data(slot, &start, &end)) {
		c->done += slot->length;
		slot_read(slot);
		return;
	}
	slot->written = end;
	slot->iov = (struct iovec){slot->buffer + start, end - start};
	slot->req = (struct disk_req){.op = DISK_OP_WRITE,
				      .offset = slot->offset + start,
				      .length = end - start,
				      .iov = &slot->iov,
				      .iov_count = 1,
				      .done = slot_written,
				      .user = slot};
	disk_submit(c->queue, c->to, &slot->req);
}

static void slot_written(struct disk_req *req)
{
	struct slot *slot = req->user;

	slot->convert->result = slot->convert->result ? slot->convert->result : req->result;
	slot_write(slot);
}

static void slot_is_read(struct disk_req *req)
{
	struct slot *slot = req->user;

	slot->convert->result = slot->convert->result ? slot->convert->result : req->result;
	slot->written = 0;
	slot_write(slot);
}

/* Skips what is known to be zeros. False at the end. */
static bool find_data(struct convert *c)
{
	while (!c->result && c->next == c->data_end && c->next < c->end) {
		enum disk_status status;
		uint64_t run;

		c->result = disk_status(c->from, c->next, c->end - c->next, &status, &run);
		if (!c->result && status == DISK_STATUS_DATA) {
			c->data_end += run;
		} else if (!c->result) {
			c->next += run;
			c->data_end = c->next;
			c->done += run;
		}
	}
	return !c->result && c->next < c->data_end;
}

static void slot_read(struct slot *slot)
{
	struct convert *c = slot->convert;

	if (!find_data(c)) {
		c->busy--;
		return;
	}
	slot->offset = c->next;
	slot->length = min_u64(SLOT_BYTES - c->next % SLOT_BYTES, c->data_end - c->next);
	c->next += slot->length;
	slot->iov = (struct iovec){slot->buffer, slot->length};
	slot->req = (struct disk_req){.op = DISK_OP_READ,
				      .offset = slot->offset,
				      .length = slot->length,
				      .iov = &slot->iov,
				      .iov_count = 1,
				      .done = slot_is_read,
				      .user = slot};
	disk_submit(c->queue, c->from, &slot->req);
}

static int copy(struct convert *c, const struct disk_progress *progress, struct disk_error *error)
{
	unsigned i;
	int ret = disk_queue_create(SLOTS * 2, &c->queue, error);

	if (ret) {
		return ret;
	}
	for (i = 0; i < SLOTS; i++) {
		c->slots[i].convert = c;
		c->slots[i].buffer = aligned_alloc(4096, SLOT_BYTES);
		if (c->slots[i].buffer == NULL) {
			c->result = -ENOMEM;
		}
	}
	for (i = 0; i < SLOTS; i++) {
		c->busy++;
		slot_read(&c->slots[i]);
	}
	while (c->busy) {
		disk_queue_wait(c->queue);
		if (progress != NULL && progress->step != NULL && !c->result) {
			c->result = progress->step(progress->user, c->done, disk_size(c->from));
		}
	}
	disk_queue_destroy(&c->queue);
	for (i = 0; i < SLOTS; i++) {
		free(c->slots[i].buffer);
	}
	return c->result ? error_set(error, c->result, "%s: copying: %s",
				     disk_top(c->to)->file.path, strerror(-c->result))
			 : 0;
}

/*
 * A device that is written in place gets its beginning last: a copy that was cut off has no
 * partitions and no file system.
 */
static int copy_all(struct convert *c, bool beginning_last, const struct disk_progress *progress,
		    struct disk_error *error)
{
	uint64_t first = beginning_last ? min_u64(SLOT_BYTES, disk_size(c->from)) : 0;
	int ret;

	c->next = c->data_end = first;
	c->end = disk_size(c->from);
	ret = copy(c, progress, error);
	if (!ret && first) {
		ret = disk_flush(c->to);
		c->next = c->data_end = 0;
		c->end = first;
		ret = ret ? ret : copy(c, progress, error);
	}
	return ret;
}

static int fill(struct convert *c, const struct creation *creation, const struct disk_create *how,
		const struct disk_progress *progress, struct disk_error *error)
{
	struct disk_open open = {.format = how->format,
				 .flags = LAYER_LOCKED | (how->no_lock ? DISK_NO_LOCK : 0)};
	bool device = !strcmp(creation->path, creation->written);
	int ret = disk_open(creation->written, &open, &c->to, error), code;

	if (ret) {
		return ret;
	}
	ret = copy_all(c, device, progress, error);
	if (!ret) {
		ret = disk_flush(c->to);
		if (ret) {
			error_set(error, ret, "%s", disk_last_error(c->to)->text);
		}
	}
	code = disk_close(&c->to, ret ? NULL : error);
	ret = ret ? ret : code;
	return ret && device ? error_set(error, ret,
					 "%s: %s: what is on the device is partial; "
					 "convert again",
					 creation->path, strerror(-ret))
			     : ret;
}

int disk_convert(struct disk *source, const char *path, const struct disk_create *how,
		 const struct disk_progress *progress, struct disk_error *error)
{
	struct disk_create create = *how;
	struct convert *c = calloc(1, sizeof(*c));
	struct creation creation;
	int ret = create_choose_format(&create, path, error);

	create.size = create.size ? create.size : disk_size(source);
	if (!create.sector_size && create.format != DISK_FORMAT_RAW) {
		create.sector_size = disk_sector_size(source);
		create.physical_size = create.physical_size         ? create.physical_size
				       : create.sector_size == 4096 ? 4096
								    : 0;
	}
	if (!ret && c == NULL) {
		ret = error_set(error, -ENOMEM, "%s: out of memory", path);
	}
	if (!ret && create.size < disk_size(source)) {
		ret = error_set(error, -EINVAL, "%s: smaller than what goes into it", path);
	}
	ret = ret ? ret : create_begin(&creation, path, &create, error);
	if (!ret) {
		c->from = source;
		ret = create_end(&creation, fill(c, &creation, &create, progress, error), error);
	}
	free(c);
	return ret;
}
