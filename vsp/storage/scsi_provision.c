/*
 * UNMAP, WRITE SAME and GET LBA STATUS (SBC-4 5.34, 5.48, 5.6).
 */
#include "vsp/storage/scsi_unit.h"

#include <string.h>

#include "lib/be.h"

#define ANCHOR         0x10
#define WS_UNMAP       0x08
#define WS_NO_DATA     0x01
#define WS_PROTECT     0xe6 /* WRPROTECT, PBDATA, LBDATA */
#define UNMAP_HEAD     8u
#define UNMAP_RANGE    16u
#define STATUS_RANGES  32u
#define STATUS_LOOKUPS 256u
#define TRIM_PIECE     (64ull << 20)

static struct scsi_extent unmap_range(const struct scsi_request *r, unsigned i)
{
	const uint8_t *range = r->p.scratch->data + UNMAP_HEAD + i * UNMAP_RANGE;

	return (struct scsi_extent){get_be64(range), get_be32(range + 8)};
}

/*
 * Frees the next piece of what is left, and ends it where a block of the disk's file ends: only
 * whole ones are freed.
 */
static void trim_piece(struct scsi_request *r, void (*then)(struct scsi_request *request))
{
	uint64_t block = disk_block_size(r->p.unit->disk);
	uint64_t piece = block ? (TRIM_PIECE + block - 1) / block * block : TRIM_PIECE;
	uint64_t n = piece - r->p.offset % piece;

	n = n < r->p.length ? n : r->p.length;
	r->p.offset += n;
	r->p.length -= n;
	scsi_io(r, (struct disk_req){.op = DISK_OP_TRIM, .offset = r->p.offset - n, .length = n},
		then);
}

static void unmap_step(struct scsi_request *r)
{
	uint32_t block = r->p.unit->block_size;

	while (r->p.step < r->p.step_count && !r->p.length) {
		struct scsi_extent range = unmap_range(r, r->p.step++);

		r->p.offset = range.lba * block;
		r->p.length = range.count * block;
	}
	if (r->p.length) {
		trim_piece(r, unmap_step);
	} else {
		scsi_written(r);
	}
}

/* All ranges are checked before the first is freed. */
static enum scsi_sense check_ranges(const struct scsi_request *r, uint64_t *bad_lba)
{
	uint64_t total = 0;
	unsigned i;

	for (i = 0; i < r->p.step_count; i++) {
		struct scsi_extent range = unmap_range(r, i);

		total += range.count;
		*bad_lba = range.lba;
		if (!scsi_extent_is_inside(r->p.unit, range)) {
			return SENSE_LBA_OUT_OF_RANGE;
		}
	}
	return total > SCSI_UNMAP_BYTES_MAX / r->p.unit->block_size ? SENSE_INVALID_FIELD_LIST
								    : SENSE_NONE;
}

void scsi_unmap(struct scsi_request *r)
{
	uint32_t length = get_be16(r->cdb + 7), ranges;
	enum scsi_sense sense;
	uint64_t lba = 0;

	if (r->cdb[1] & 0x01) {
		scsi_fail(r, SENSE_INVALID_FIELD_CDB);
		return;
	}
	if (!length) {
		scsi_good(r);
		return;
	}
	if (scsi_take_scratch(r) == NULL) {
		return;
	}
	if (length < UNMAP_HEAD || !scsi_fetch(r, r->p.scratch->data, length)) {
		scsi_fail(r, SENSE_LIST_LENGTH);
		return;
	}
	ranges = get_be16(r->p.scratch->data + 2);
	ranges = (ranges < length - UNMAP_HEAD ? ranges : length - UNMAP_HEAD) / UNMAP_RANGE;
	if (ranges > SCSI_UNMAP_RANGES_MAX) {
		scsi_fail(r, SENSE_INVALID_FIELD_LIST);
		return;
	}
	r->p.length = 0;
	r->p.step = 0;
	r->p.step_count = ranges;
	sense = check_ranges(r, &lba);
	if (sense == SENSE_LBA_OUT_OF_RANGE) {
		scsi_fail_lba(r, sense, lba);
	} else if (sense) {
		scsi_fail(r, sense);
	} else {
		unmap_step(r);
	}
}

static void write_same_step(struct scsi_request *r)
{
	struct scsi_scratch *scratch = r->p.scratch;
	uint64_t n = 0;
	unsigned i;

	for (i = 0; i < SCRATCH_IOVS && r->p.length; i++) {
		uint64_t piece = r->p.length < SCRATCH_DATA ? r->p.length : SCRATCH_DATA;

		scratch->iov[i] = (struct iovec){scratch->data, piece};
		n += piece;
		r->p.length -= piece;
	}
	if (!n) {
		scsi_written(r);
		return;
	}
	r->p.offset += n;
	scsi_io(r,
		(struct disk_req){.op = DISK_OP_WRITE,
				  .offset = r->p.offset - n,
				  .length = n,
				  .iov = scratch->iov,
				  .iov_count = i},
		write_same_step);
}

/*
 * The block, once in the first place of the scratch memory, to all of it. False: it is zeros
 * throughout.
 */
static bool spread_pattern(uint8_t *data, uint32_t block)
{
	uint32_t at;
	bool zero = !data[0] && !memcmp(data, data + 1, block - 1);

	for (at = block; at < SCRATCH_DATA; at += block) {
		memcpy(data + at, data, block);
	}
	return !zero;
}

static void trim_step(struct scsi_request *r)
{
	if (r->p.length) {
		trim_piece(r, trim_step);
	} else {
		scsi_written(r);
	}
}

static void begin_write_same(struct scsi_request *r, bool unmap)
{
	uint32_t block = r->p.unit->block_size;
	bool no_data = r->cdb[0] == 0x93 && (r->cdb[1] & WS_NO_DATA);

	if (no_data) {
		memset(r->p.scratch->data, 0, block);
	} else if (!scsi_fetch(r, r->p.scratch->data, block)) {
		scsi_fail(r, SENSE_INVALID_FIELD_CDB);
		return;
	}
	if (spread_pattern(r->p.scratch->data, block) || !unmap) {
		write_same_step(r);
	} else {
		trim_step(r);
	}
}

void scsi_write_same(struct scsi_request *r)
{
	struct scsi_unit *unit = r->p.unit;
	struct scsi_extent extent = scsi_cdb_extent(r->cdb);
	uint8_t refused = WS_PROTECT | ANCHOR | (r->cdb[0] == 0x41 ? WS_NO_DATA : 0);

	if ((r->cdb[1] & refused) || !extent.count ||
	    extent.count > SCSI_WRITE_SAME_BYTES_MAX / unit->block_size) {
		scsi_fail(r, SENSE_INVALID_FIELD_CDB);
	} else if (!scsi_extent_is_inside(unit, extent)) {
		scsi_fail_lba(r, SENSE_LBA_OUT_OF_RANGE, extent.lba);
	} else if (scsi_take_scratch(r) != NULL) {
		r->p.offset = extent.lba * unit->block_size;
		r->p.length = extent.count * unit->block_size;
		begin_write_same(r, r->cdb[1] & WS_UNMAP);
	}
}

/* One run of blocks that have the same status; a block counts as mapped when any of it has data. */
static bool next_run(struct scsi_unit *unit, uint64_t lba, uint64_t *count, bool *mapped)
{
	uint64_t block = unit->block_size, run = 0, left = (unit->blocks - lba) * block;
	enum disk_status status;

	if (disk_status(unit->disk, lba * block, left, &status, &run)) {
		return false;
	}
	*mapped = status == DISK_STATUS_DATA || run < block;
	*count = *mapped ? (run + block - 1) / block : run / block;
	return *count != 0;
}

/* The look-ups are bounded: the last run that is reported may go on behind its end. */
void scsi_lba_status(struct scsi_request *r)
{
	struct scsi_unit *unit = r->p.unit;
	uint8_t data[8 + STATUS_RANGES * 16] = {0};
	uint64_t lba = get_be64(r->cdb + 2), count = 0;
	unsigned ranges = 0, lookups;
	bool mapped = false, last = false;

	if (lba >= unit->blocks) {
		scsi_fail_lba(r, SENSE_LBA_OUT_OF_RANGE, lba);
		return;
	}
	for (lookups = 0; lookups < STATUS_LOOKUPS && lba < unit->blocks; lookups++, lba += count) {
		uint8_t *range = data + 8 + (ranges ? ranges - 1 : 0) * 16;
		uint64_t so_far = ranges ? get_be32(range + 8) : 0;

		if (!next_run(unit, lba, &count, &mapped)) {
			scsi_fail_lba(r, SENSE_READ_ERROR, lba);
			return;
		}
		count = count > UINT32_MAX ? UINT32_MAX : count;
		if (!ranges || mapped != last || so_far + count > UINT32_MAX) {
			if (ranges == STATUS_RANGES) {
				break;
			}
			range = data + 8 + ranges++ * 16;
			put_be64(range, lba);
			range[12] = mapped ? 0 : 1;
			so_far = 0;
		}
		put_be32(range + 8, (uint32_t)(so_far + count));
		last = mapped;
	}
	put_be32(data, 4 + ranges * 16);
	scsi_reply(r, data, 8 + ranges * 16, get_be32(r->cdb + 10));
}
