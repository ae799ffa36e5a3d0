/*
 * A CD drive's commands: the PACKET feature set (ATA/ATAPI-6, 8.23 and 9.7; SFF-8020i). Packets go
 * to the medium as they are; reads, which may be long, a buffer's size at a time. The sense of a
 * command that failed stays here until it is asked for.
 *
 * The count register is the interrupt reason: CoD, a command is awaited or done; IO, towards the
 * guest.
 */
#include "devices/parts.h"

#include <string.h>

#define FEATURE_DMA 0x01

#define REASON_COMMAND 0x01
#define REASON_IN      0x02

#define SCSI_GOOD          0x00
#define SCSI_CHECK         0x02
#define CHECK_BY_GUEST     0x04 /* ABRT, beside the sense key */
#define OP_REQUEST_SENSE   0x03
#define OP_INQUIRY         0x12
#define OP_READ_10         0x28
#define OP_VERIFY_10       0x2f
#define OP_READ_12         0xa8
#define OP_READ_CD         0xbe
#define READ_CD_USER_DATA  0x10
#define READ_CD_SECTOR_ANY 0x1c /* of the second byte: which type is expected */
#define READ_CD_MODE_1     0x08

#define LIMIT_MAX 0xfffeu

static uint32_t be32(const uint8_t *from)
{
	return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

/* How many bytes the guest takes at once: an even number, unless they are the last ones. */
static uint32_t limit_of(const struct ide_drive *drive)
{
	uint32_t limit = (drive->lba[1] & 0xffu) | (drive->lba[2] & 0xffu) << 8;

	limit &= ~1u;
	return limit != 0 ? limit : LIMIT_MAX;
}

void ide_atapi_announce(struct ide_channel *channel, uint32_t bytes)
{
	struct ide_drive *drive = ide_drive_of(channel);

	if (bytes == 0) {
		drive->count = REASON_COMMAND | REASON_IN;
		return;
	}
	drive->count = channel->phase == IDE_PACKET ? REASON_COMMAND : REASON_IN;
	if (channel->phase != IDE_PACKET) {
		drive->lba[1] = bytes & 0xff;
		drive->lba[2] = (uint16_t)(bytes >> 8 & 0xff);
	}
}

static void fail(struct ide_channel *channel, const uint8_t sense[HOST_SENSE_BYTES])
{
	struct ide_drive *drive = ide_drive_of(channel);

	memcpy(drive->sense, sense, sizeof(drive->sense));
	drive->has_sense = true;
	ide_atapi_announce(channel, 0);
	ide_fail(channel, (uint8_t)((sense[2] & 0x0f) << 4 | CHECK_BY_GUEST), 0);
}

/* ---- Packets ---- */

/* A read of blocks of 2048 bytes. False: none, or none of those. */
static bool is_read(const uint8_t *cdb, uint32_t *lba, uint32_t *count)
{
	*lba = be32(&cdb[2]);
	switch (cdb[0]) {
	case OP_READ_10:
		*count = (uint32_t)cdb[7] << 8 | cdb[8];
		return cdb[1] == 0;
	case OP_READ_12:
		*count = be32(&cdb[6]);
		return cdb[1] == 0;
	case OP_READ_CD:
		*count = be32(&cdb[5]) & 0xffffff;
		return ((cdb[1] & READ_CD_SECTOR_ANY) == 0 ||
			(cdb[1] & READ_CD_SECTOR_ANY) == READ_CD_MODE_1) &&
		       cdb[9] == READ_CD_USER_DATA && cdb[10] == 0;
	default:
		return false;
	}
}

static void answer(struct ide_channel *channel, uint32_t length)
{
	channel->length = length;
	if (length == 0) {
		ide_part_done(channel);
	} else {
		ide_give(channel);
	}
}

static void give_sense(struct ide_channel *channel, uint8_t most)
{
	struct ide_drive *drive = ide_drive_of(channel);

	memcpy(channel->buffer, drive->sense, sizeof(drive->sense));
	drive->has_sense = false;
	answer(channel, most < sizeof(drive->sense) ? most : sizeof(drive->sense));
}

void ide_atapi_packet(struct ide_channel *channel)
{
	struct ide_drive *drive = ide_drive_of(channel);
	uint32_t lba, count;
	uint8_t cdb[IDE_PACKET_BYTES];

	memcpy(cdb, channel->buffer, sizeof(cdb));
	channel->step = limit_of(drive);
	if (cdb[0] == OP_REQUEST_SENSE && drive->has_sense) {
		give_sense(channel, cdb[4]);
		return;
	}
	if (cdb[0] != OP_INQUIRY) {
		drive->has_sense = false;
	}
	if (is_read(cdb, &lba, &count) && count != 0) {
		channel->block = IDE_CD_BLOCK;
		channel->lba = lba;
		channel->left = count;
		ide_go_on(channel, true);
		return;
	}
	channel->command = (struct host_drive_command){
		.cdb_length = IDE_PACKET_BYTES,
		.length = cdb[0] == OP_VERIFY_10 ? 0 : IDE_BUFFER_BYTES};
	memcpy(channel->command.cdb, cdb, sizeof(cdb));
	ide_start(channel);
}

void ide_atapi_done(struct ide_channel *channel, const struct host_drive_result *result)
{
	static const uint8_t none[HOST_SENSE_BYTES] = {
		0x70, [2] = 0x0b, [7] = HOST_SENSE_BYTES - 8};

	if (result->status == SCSI_GOOD) {
		answer(channel, channel->block != 0 ? channel->length : result->transferred);
	} else {
		fail(channel, result->status == SCSI_CHECK ? result->sense : none);
	}
}

/* ---- The command block's own ---- */

static void take_packet(struct ide_channel *channel)
{
	struct ide_drive *drive = ide_drive_of(channel);

	channel->packet = true;
	channel->dma = drive->feature & FEATURE_DMA;
	channel->phase = IDE_PACKET;
	channel->at = 0;
	channel->stop = IDE_PACKET_BYTES;
	drive->status = IDE_DRDY | IDE_DSC | IDE_DRQ;
	ide_atapi_announce(channel, IDE_PACKET_BYTES);
}

static void set_features(struct ide_channel *channel)
{
	struct ide_drive *drive = ide_drive_of(channel);

	if ((drive->feature & 0xff) == 0x03 && ide_set_mode(drive, (uint8_t)drive->count)) {
		ide_finish(channel, true);
	} else {
		ide_fail(channel, IDE_ABRT, 0);
	}
}

void ide_atapi_command(struct ide_channel *channel, uint8_t opcode)
{
	struct ide_drive *drive = ide_drive_of(channel);

	switch (opcode) {
	case 0xa0:
		take_packet(channel);
		return;
	case 0xa1:
		ide_identify(channel);
		return;
	case 0xef:
		set_features(channel);
		return;
	case 0xe5: /* CHECK POWER MODE */
		drive->count = 0xff;
		ide_finish(channel, true);
		return;
	case 0xe0: /* IDLE, STANDBY, SLEEP, FLUSH CACHE: nothing to do */
	case 0xe1:
	case 0xe2:
	case 0xe3:
	case 0xe6:
	case 0xe7:
		ide_finish(channel, true);
		return;
	case 0xec: /* IDENTIFY DEVICE, READ SECTORS: by this a guest sees what it is */
	case 0x20:
		ide_sign(drive);
		ide_fail(channel, IDE_ABRT, 0);
		return;
	default:
		ide_fail(channel, IDE_ABRT, 0);
	}
}
