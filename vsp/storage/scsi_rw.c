/*
 * READ, WRITE, VERIFY, SYNCHRONIZE CACHE and READ CAPACITY (SBC-4 5, MMC-6 6).
 */
#include "vsp/storage/scsi_unit.h"

#include <string.h>

#include "lib/be.h"

#define FUA 0x08

/*
 * Fields by the CDB's group; a READ or WRITE of 6 bytes has 21 bits of address, and 0 stands for
 * 256 blocks.
 */
struct scsi_extent scsi_cdb_extent(const uint8_t *cdb)
{
	switch (scsi_cdb_length(cdb[0])) {
	case 6:
		return (struct scsi_extent){get_be24(cdb + 1) & 0x1fffff, cdb[4] ? cdb[4] : 256};
	case 10:
		return (struct scsi_extent){get_be32(cdb + 2), get_be16(cdb + 7)};
	case 12:
		return (struct scsi_extent){get_be32(cdb + 2), get_be32(cdb + 6)};
	default:
		return (struct scsi_extent){get_be64(cdb + 2), get_be32(cdb + 10)};
	}
}

bool scsi_extent_is_inside(const struct scsi_unit *unit, struct scsi_extent extent)
{
	return extent.lba <= unit->blocks && extent.count <= unit->blocks - extent.lba;
}

/* Flags of the second byte; a CDB of 6 bytes has address bits there. */
static uint8_t cdb_flags(const uint8_t *cdb)
{
	return scsi_cdb_length(cdb[0]) == 6 ? 0 : cdb[1];
}

/* Checks the extent against the unit and the data. False: the request has been ended. */
static bool begin_transfer(struct scsi_request *r)
{
	struct scsi_unit *unit = r->p.unit;
	struct scsi_extent extent = scsi_cdb_extent(r->cdb);
	uint64_t length = extent.count * unit->block_size;

	if (cdb_flags(r->cdb) & 0xe0) { /* protection information */
		scsi_fail(r, SENSE_INVALID_FIELD_CDB);
	} else if (!scsi_extent_is_inside(unit, extent)) {
		scsi_fail_lba(r, SENSE_LBA_OUT_OF_RANGE, extent.lba);
	} else if (length > SCSI_TRANSFER_MAX || length > r->data_length) {
		scsi_fail(r, SENSE_INVALID_FIELD_CDB);
	} else if (!length) {
		scsi_good(r);
	} else {
		r->p.offset = extent.lba * unit->block_size;
		r->p.length = length;
		return true;
	}
	return false;
}

static void read_done(struct scsi_request *r)
{
	r->transferred = (uint32_t)r->p.length;
	scsi_good(r);
}

static void write_done(struct scsi_request *r)
{
	r->transferred = (uint32_t)r->p.length;
	if (r->p.io.flags & DISK_FUA) {
		scsi_good(r);
	} else {
		scsi_written(r);
	}
}

/* The file of a DVD may end within its last block; the rest of that reads as zeros. */
static void read_data(struct scsi_request *r)
{
	uint64_t length = r->p.length, left = disk_size(r->p.unit->disk) - r->p.offset;

	if (length > left) {
		scsi_zero_data(r, left, length - left);
		length = left;
	}
	scsi_cut_data(r, length);
	scsi_io(r,
		(struct disk_req){.op = DISK_OP_READ,
				  .offset = r->p.offset,
				  .length = length,
				  .iov = r->iov,
				  .iov_count = r->iov_count},
		read_done);
}

/* FUA wants the data of the medium, so what is cached goes there first. */
void scsi_read(struct scsi_request *r)
{
	if (!begin_transfer(r)) {
		return;
	}
	if ((cdb_flags(r->cdb) & FUA) && !r->p.unit->read_only) {
		scsi_io(r, (struct disk_req){.op = DISK_OP_FLUSH}, read_data);
	} else {
		read_data(r);
	}
}

void scsi_write(struct scsi_request *r)
{
	bool durable = (cdb_flags(r->cdb) & FUA) || !atomic_load(&r->p.unit->write_cache);

	if (!begin_transfer(r)) {
		return;
	}
	scsi_cut_data(r, r->p.length);
	scsi_io(r,
		(struct disk_req){.op = DISK_OP_WRITE,
				  .flags = durable ? DISK_FUA : 0,
				  .offset = r->p.offset,
				  .length = r->p.length,
				  .iov = r->iov,
				  .iov_count = r->iov_count},
		write_done);
}

/*
 * The whole cache, whatever the range; IMMED is answered when it is done, which no one can tell
 * from a fast disk.
 */
void scsi_synchronize(struct scsi_request *r)
{
	if (!scsi_extent_is_inside(r->p.unit, scsi_cdb_extent(r->cdb))) {
		scsi_fail_lba(r, SENSE_LBA_OUT_OF_RANGE, scsi_cdb_extent(r->cdb).lba);
	} else if (r->p.unit->read_only) {
		scsi_good(r);
	} else {
		scsi_io(r, (struct disk_req){.op = DISK_OP_FLUSH}, scsi_good);
	}
}

static void verify_step(struct scsi_request *r);

/* p.step is how much of the data was compared; the medium's part lies in the scratch memory. */
static void verify_check(struct scsi_request *r)
{
	uint64_t n = r->p.io.length;
	uint8_t guest[512];
	uint64_t at;

	for (at = 0; (r->cdb[1] & 0x02) && at < n; at += sizeof(guest)) {
		scsi_copy_data(r, r->p.step + at, guest, sizeof(guest));
		if (memcmp(guest, r->p.scratch->data + at, sizeof(guest))) {
			scsi_fail(r, SENSE_MISCOMPARE);
			return;
		}
	}
	r->p.step += (unsigned)n;
	r->p.offset += n;
	r->p.length -= n;
	verify_step(r);
}

static void verify_step(struct scsi_request *r)
{
	struct scsi_scratch *scratch = r->p.scratch;
	uint64_t n = r->p.length < SCRATCH_DATA ? r->p.length : SCRATCH_DATA;

	if (!n) {
		r->transferred = (r->cdb[1] & 0x02) ? r->p.step : 0;
		scsi_good(r);
		return;
	}
	scratch->iov[0] = (struct iovec){scratch->data, n};
	scsi_io(r,
		(struct disk_req){.op = DISK_OP_READ,
				  .offset = r->p.offset,
				  .length = n,
				  .iov = scratch->iov,
				  .iov_count = 1},
		verify_check);
}

/* BYTCHK 0 reads the medium, 1 compares it with the guest's data; the other two are not offered. */
void scsi_verify(struct scsi_request *r)
{
	struct scsi_unit *unit = r->p.unit;
	struct scsi_extent extent = scsi_cdb_extent(r->cdb);
	uint64_t length = extent.count * unit->block_size, size = disk_size(unit->disk);
	bool compare = r->cdb[1] & 0x02;

	if ((r->cdb[1] & 0xe4) ||
	    (compare && (unit->kind == STORAGE_DVD || length > r->data_length))) {
		scsi_fail(r, SENSE_INVALID_FIELD_CDB);
	} else if (!scsi_extent_is_inside(unit, extent)) {
		scsi_fail_lba(r, SENSE_LBA_OUT_OF_RANGE, extent.lba);
	} else if (!extent.count) {
		scsi_good(r);
	} else if (scsi_take_scratch(r) != NULL) {
		r->p.offset = extent.lba * unit->block_size;
		r->p.length = length < size - r->p.offset ? length : size - r->p.offset;
		r->p.step = 0;
		verify_step(r);
	}
}

void scsi_read_capacity_10(struct scsi_request *r)
{
	uint64_t last = r->p.unit->blocks - 1;
	uint8_t data[8];

	put_be32(data, last > UINT32_MAX ? UINT32_MAX : (uint32_t)last);
	put_be32(data + 4, r->p.unit->block_size);
	scsi_reply(r, data, sizeof(data), sizeof(data));
}

void scsi_read_capacity_16(struct scsi_request *r)
{
	struct scsi_unit *unit = r->p.unit;
	uint8_t data[32] = {0};

	put_be64(data, unit->blocks - 1);
	put_be32(data + 8, unit->block_size);
	data[13] = (uint8_t)__builtin_ctz(unit->physical_size / unit->block_size);
	data[14] = unit->read_only ? 0 : 0xc0; /* thin, and freed blocks are zeros */
	scsi_reply(r, data, sizeof(data), get_be32(r->cdb + 10));
}
