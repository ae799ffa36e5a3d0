/*
 * How a request ends, and how its data is moved that does not go to the disk.
 */
#include "vsp/storage/scsi_unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/be.h"

void scsi_finish(struct scsi_request *r, enum scsi_status status)
{
	free(r->p.scratch);
	r->p.scratch = NULL;
	r->status = status;
	if (status != SCSI_GOOD) {
		r->transferred = 0;
	}
	if (r->p.unit != NULL) {
		scsi_bus_put(r->p.bus, r->p.unit);
	}
	r->done(r);
}

void scsi_good(struct scsi_request *r)
{
	scsi_finish(r, SCSI_GOOD);
}

/*
 * The flush comes after the look: who turns the cache off meanwhile flushes after that, and sees
 * this write as complete.
 */
void scsi_written(struct scsi_request *r)
{
	if (atomic_load(&r->p.unit->write_cache)) {
		scsi_good(r);
	} else {
		scsi_io(r, (struct disk_req){.op = DISK_OP_FLUSH}, scsi_good);
	}
}

/* Fixed format, current (SPC-4 4.5.3). */
void scsi_format_sense(uint8_t sense[SCSI_SENSE_BYTES], enum scsi_sense code)
{
	memset(sense, 0, SCSI_SENSE_BYTES);
	sense[0] = 0x70;
	sense[2] = code >> 16;
	sense[7] = SCSI_SENSE_BYTES - 8;
	sense[12] = (code >> 8) & 0xff;
	sense[13] = code & 0xff;
}

void scsi_fail(struct scsi_request *r, enum scsi_sense code)
{
	scsi_format_sense(r->sense, code);
	r->sense_length = SCSI_SENSE_BYTES;
	scsi_finish(r, SCSI_CHECK_CONDITION);
}

/* The information field says which block; it is valid when the number fits. */
void scsi_fail_lba(struct scsi_request *r, enum scsi_sense code, uint64_t lba)
{
	scsi_format_sense(r->sense, code);
	if (lba <= UINT32_MAX) {
		r->sense[0] |= 0x80;
		put_be32(r->sense + 3, (uint32_t)lba);
	}
	r->sense_length = SCSI_SENSE_BYTES;
	scsi_finish(r, SCSI_CHECK_CONDITION);
}

static uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

void scsi_reply(struct scsi_request *r, const void *data, size_t length, uint32_t allocation)
{
	uint32_t left = min_u32(min_u32((uint32_t)length, allocation), r->data_length);
	const uint8_t *from = data;
	unsigned i;

	r->transferred = left;
	for (i = 0; i < r->iov_count && left; i++) {
		uint32_t n = r->iov[i].iov_len < left ? (uint32_t)r->iov[i].iov_len : left;

		memcpy(r->iov[i].iov_base, from, n);
		from += n;
		left -= n;
	}
	scsi_good(r);
}

/* Calls step on each piece of the data's range [from, from + length). */
static void each_piece(struct scsi_request *r, uint64_t from, uint64_t length,
		       void (*step)(void *user, uint8_t *piece, size_t n), void *user)
{
	unsigned i;

	for (i = 0; i < r->iov_count && length; i++) {
		uint64_t n = r->iov[i].iov_len;

		if (from >= n) {
			from -= n;
			continue;
		}
		n = n - from < length ? n - from : length;
		step(user, (uint8_t *)r->iov[i].iov_base + from, n);
		length -= n;
		from = 0;
	}
}

static void copy_piece(void *user, uint8_t *piece, size_t n)
{
	uint8_t **to = user;

	memcpy(*to, piece, n);
	*to += n;
}

static void zero_piece(void *user, uint8_t *piece, size_t n)
{
	(void)user;
	memset(piece, 0, n);
}

void scsi_copy_data(struct scsi_request *r, uint64_t from, void *to, uint64_t length)
{
	uint8_t *at = to;

	each_piece(r, from, length, copy_piece, &at);
}

void scsi_zero_data(struct scsi_request *r, uint64_t from, uint64_t length)
{
	each_piece(r, from, length, zero_piece, NULL);
}

bool scsi_fetch(struct scsi_request *r, void *to, uint32_t length)
{
	if (r->data_length < length) {
		return false;
	}
	scsi_copy_data(r, 0, to, length);
	r->transferred = length;
	return true;
}

/* Leave exactly the first `length` bytes of the data. */
void scsi_cut_data(struct scsi_request *r, uint64_t length)
{
	unsigned i;

	for (i = 0; i < r->iov_count && length; i++) {
		if (r->iov[i].iov_len > length) {
			r->iov[i].iov_len = length;
		}
		length -= r->iov[i].iov_len;
	}
	r->iov_count = i;
}

struct scsi_scratch *scsi_take_scratch(struct scsi_request *r)
{
	r->p.scratch = malloc(sizeof(*r->p.scratch));
	if (r->p.scratch == NULL) {
		scsi_fail(r, SENSE_NO_RESOURCES);
	}
	return r->p.scratch;
}

static enum scsi_sense io_sense(enum disk_op op, int error)
{
	switch (error) {
	case -ENOSPC:
	case -EDQUOT:
		return SENSE_SPACE_EXHAUSTED;
	case -EROFS:
		return SENSE_WRITE_PROTECTED;
	case -ERANGE:
		return SENSE_LBA_OUT_OF_RANGE;
	case -ENOMEM:
		return SENSE_NO_RESOURCES;
	case -EIO:
		return op == DISK_OP_READ ? SENSE_READ_ERROR : SENSE_WRITE_ERROR;
	default:
		return SENSE_TARGET_FAILURE;
	}
}

static void io_done(struct disk_req *io)
{
	struct scsi_request *r = io->user;

	if (io->result) {
		scsi_fail_lba(r, io_sense(io->op, io->result),
			      io->op == DISK_OP_FLUSH ? UINT64_MAX
						      : io->offset / r->p.unit->block_size);
	} else {
		r->p.then(r);
	}
}

/* False: the unit is wanted without users, or the request is not wanted any more. It has ended. */
static bool may_go_on(struct scsi_request *r)
{
	if (atomic_load(&r->p.unit->leaving)) {
		r->no_unit = true;
		scsi_finish(r, SCSI_CHECK_CONDITION);
	} else if (atomic_load(&r->p.unit->held)) {
		scsi_finish(r, SCSI_BUSY);
	} else if (r->cancelled != NULL && r->cancelled(r)) {
		scsi_finish(r, SCSI_TASK_ABORTED);
	} else {
		return true;
	}
	return false;
}

void scsi_io(struct scsi_request *r, struct disk_req io, void (*then)(struct scsi_request *request))
{
	if (!may_go_on(r)) {
		return;
	}
	r->p.io = io;
	r->p.io.done = io_done;
	r->p.io.user = r;
	r->p.then = then;
	disk_submit(r->queue, r->p.unit->disk, &r->p.io);
}
