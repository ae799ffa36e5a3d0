/*
 * INQUIRY: the standard data, and the vital product data pages (SPC-4 6.6 and 7.8, SBC-4 6.6).
 *
 * The vendor is "Msft": Linux allows WRITE SAME and trusts the VPD pages of a synthetic disk by
 * that name.
 */
#include "vsp/storage/scsi_unit.h"

#include <string.h>

#include "lib/be.h"

#define STANDARD_BYTES 96u
#define TYPE_DISK      0x00
#define TYPE_DVD       0x05
#define TYPE_ABSENT    0x7f /* the target is there, the unit is not and cannot be */

#define PAGE_HEAD   4u
#define LIMIT_BYTES 64u

static void fill_standard(uint8_t data[STANDARD_BYTES], uint8_t type)
{
	memset(data, 0, STANDARD_BYTES);
	data[0] = type;
	data[1] = type == TYPE_DVD ? 0x80 : 0; /* removable */
	data[2] = 5;                           /* SPC-3 */
	data[3] = 2;
	data[4] = STANDARD_BYTES - 5;
	data[7] = 0x02; /* commands are queued */
	memcpy(data + 8, "Msft    ", 8);
	memcpy(data + 16, type == TYPE_DVD ? "Virtual DVD-ROM " : "Virtual Disk    ", 16);
	memcpy(data + 32, "1.0 ", 4);
	if (type != TYPE_ABSENT) {
		put_be16(data + 58, 0x0300);                             /* SPC-3 */
		put_be16(data + 60, type == TYPE_DVD ? 0x03a0 : 0x04c0); /* MMC-5 or SBC-3 */
	}
}

static uint8_t unit_type(const struct scsi_unit *unit)
{
	return unit->kind == STORAGE_DVD ? TYPE_DVD : TYPE_DISK;
}

static unsigned page_serial(const struct scsi_unit *unit, uint8_t *to)
{
	static const char digits[] = "0123456789abcdef";
	unsigned i;

	for (i = 0; i < sizeof(unit->id); i++) {
		to[2 * i] = digits[unit->id[i] >> 4];
		to[2 * i + 1] = digits[unit->id[i] & 15];
	}
	return 2 * sizeof(unit->id);
}

/* Two names: by vendor and identity, and a locally assigned NAA number made of the identity. */
static unsigned page_identification(const struct scsi_unit *unit, uint8_t *to)
{
	to[0] = 0x01; /* binary */
	to[1] = 0x01; /* T10 vendor ID based */
	to[3] = 8 + sizeof(unit->id);
	memcpy(to + 4, "Msft    ", 8);
	memcpy(to + 12, unit->id, sizeof(unit->id));
	to += 4 + to[3];
	to[0] = 0x01;
	to[1] = 0x03; /* NAA */
	to[3] = 8;
	memcpy(to + 4, unit->id + 8, 8);
	to[4] = 0x30 | (to[4] & 0x0f);
	return 4 + 8 + sizeof(unit->id) + 4 + 8;
}

static unsigned page_limits(const struct scsi_unit *unit, uint8_t *to)
{
	uint32_t block = unit->block_size;
	uint32_t grain = unit->disk != NULL ? disk_block_size(unit->disk) : 0;

	to[0] = 0x01; /* WRITE SAME of zero blocks is refused */
	put_be16(to + 2, (uint16_t)(unit->physical_size / block));
	put_be32(to + 4, SCSI_TRANSFER_MAX / block);
	if (!unit->read_only) {
		put_be32(to + 16, (uint32_t)(SCSI_UNMAP_BYTES_MAX / block));
		put_be32(to + 20, SCSI_UNMAP_RANGES_MAX);
		put_be32(to + 24,
			 (grain > unit->physical_size ? grain : unit->physical_size) / block);
		put_be32(to + 28, 0x80000000);
		put_be64(to + 32, SCSI_WRITE_SAME_BYTES_MAX / block);
	}
	return LIMIT_BYTES - PAGE_HEAD;
}

static unsigned page_characteristics(const struct scsi_unit *unit, uint8_t *to)
{
	(void)unit;
	put_be16(to, 1); /* does not turn */
	return LIMIT_BYTES - PAGE_HEAD;
}

static unsigned page_provisioning(const struct scsi_unit *unit, uint8_t *to)
{
	if (!unit->read_only) {
		to[1] = 0x80 | 0x40 | 0x20 | 0x04; /* UNMAP, WRITE SAME 16 and 10; freed is zeros */
		to[2] = 2;                         /* thin */
	}
	return 4;
}

static unsigned page_list(const struct scsi_unit *unit, uint8_t *to);

static const struct {
	uint8_t page;
	bool disk_only;
	unsigned (*fill)(const struct scsi_unit *unit, uint8_t *to);
} pages[] = {
	{0x00, false, page_list},           {0x80, false, page_serial},
	{0x83, false, page_identification}, {0xb0, true, page_limits},
	{0xb1, true, page_characteristics}, {0xb2, true, page_provisioning},
};

#define PAGE_COUNT (sizeof(pages) / sizeof(pages[0]))

static bool has_page(const struct scsi_unit *unit, unsigned i)
{
	return !pages[i].disk_only || unit->kind == STORAGE_DISK;
}

static unsigned page_list(const struct scsi_unit *unit, uint8_t *to)
{
	unsigned i, count = 0;

	for (i = 0; i < PAGE_COUNT; i++) {
		if (has_page(unit, i)) {
			to[count++] = pages[i].page;
		}
	}
	return count;
}

static void reply_page(struct scsi_request *r, uint8_t page, uint32_t allocation)
{
	struct scsi_unit *unit = r->p.unit;
	uint8_t data[LIMIT_BYTES + 16] = {0};
	unsigned i, length;

	for (i = 0; i < PAGE_COUNT; i++) {
		if (pages[i].page == page && has_page(unit, i)) {
			length = pages[i].fill(unit, data + PAGE_HEAD);
			data[0] = unit_type(unit);
			data[1] = page;
			put_be16(data + 2, (uint16_t)length);
			scsi_reply(r, data, PAGE_HEAD + length, allocation);
			return;
		}
	}
	scsi_fail(r, SENSE_INVALID_FIELD_CDB);
}

void scsi_inquiry(struct scsi_request *r)
{
	uint8_t data[STANDARD_BYTES];
	uint32_t allocation = get_be16(r->cdb + 3);

	if (r->cdb[1] & 1) {
		reply_page(r, r->cdb[2], allocation);
	} else if (r->cdb[2] || r->cdb[1]) {
		scsi_fail(r, SENSE_INVALID_FIELD_CDB);
	} else {
		fill_standard(data, unit_type(r->p.unit));
		scsi_reply(r, data, sizeof(data), allocation);
	}
}

/* So that a scan finds the target, and asks LUN 0 for the list, where LUN 0 has no unit. */
void scsi_inquiry_absent(struct scsi_request *r, struct storage_address address)
{
	uint8_t data[STANDARD_BYTES];

	if (r->cdb[1] || r->cdb[2]) {
		scsi_fail(r, SENSE_INVALID_FIELD_CDB);
		return;
	}
	fill_standard(data, TYPE_ABSENT);
	if (address.lun) {
		memset(data + 8, 0, 28);
	}
	scsi_reply(r, data, sizeof(data), get_be16(r->cdb + 3));
}
