/*
 * A disk's commands (ATA/ATAPI-6, 8). What reads, writes, verifies or flushes becomes a SCSI
 * command for the medium, a part of the buffer's size at a time; the rest is answered at once.
 */
#include "devices/parts.h"

#include <string.h>

#include "lib/check.h"

#define DEVICE_LBA      0x40
#define DEVICE_LBA_HIGH 0x0f

#define SCSI_GOOD      0x00
#define SCSI_CHECK     0x02
#define VERIFY_16      0x8f
#define SYNCHRONIZE_16 0x91

#define SENSE_KEY(sense)      ((sense)[2] & 0x0f)
#define SENSE_CODE(sense)     ((sense)[12])
#define SENSE_HAS_LBA         0x80
#define KEY_MEDIUM            3
#define KEY_HARDWARE          4
#define KEY_ILLEGAL           5
#define KEY_ATTENTION         6
#define CODE_LBA_OUT_OF_RANGE 0x21

#define MULTIPLE_MAX 16u
#define POWER_ACTIVE 0xff

enum {
	T_WRITE = 1,
	T_DMA = 2,
	T_EXTENDED = 4, /* 48 bits of address, 16 of count */
	T_MULTIPLE = 8,
	T_FUA = 16,
	T_VERIFY = 32,
};

/* clang-format off */
static const struct {
	uint8_t opcode, flags;
} transfers[] = {
	{0x20, 0}, /* READ SECTORS */
	{0x21, 0},
	{0x24, T_EXTENDED},
	{0x25, T_EXTENDED | T_DMA},
	{0x29, T_EXTENDED | T_MULTIPLE},
	{0x30, T_WRITE}, /* WRITE SECTORS */
	{0x31, T_WRITE},
	{0x34, T_WRITE | T_EXTENDED},
	{0x35, T_WRITE | T_EXTENDED | T_DMA},
	{0x39, T_WRITE | T_EXTENDED | T_MULTIPLE},
	{0x3d, T_WRITE | T_EXTENDED | T_DMA | T_FUA},
	{0x40, T_VERIFY}, /* READ VERIFY SECTORS */
	{0x41, T_VERIFY},
	{0x42, T_VERIFY | T_EXTENDED},
	{0xc4, T_MULTIPLE}, /* READ MULTIPLE */
	{0xc5, T_WRITE | T_MULTIPLE},
	{0xc8, T_DMA}, /* READ DMA */
	{0xc9, T_DMA},
	{0xca, T_WRITE | T_DMA},
	{0xcb, T_WRITE | T_DMA},
	{0xce, T_WRITE | T_EXTENDED | T_MULTIPLE | T_FUA},
};
/* clang-format on */

/* ---- Addresses ---- */

/* Of the registers. False: there is no such sector. */
static bool address_of(const struct ide_channel *channel, const struct ide_drive *drive,
		       uint64_t *lba)
{
	const uint16_t *part = drive->lba;
	uint32_t low = (part[0] & 0xff) | (part[1] & 0xffu) << 8 | (part[2] & 0xffu) << 16;
	uint32_t high = part[0] >> 8 | (part[1] >> 8) << 8 | (uint32_t)(part[2] >> 8) << 16;
	uint32_t sector = part[0] & 0xff, cylinder = low >> 8;
	uint32_t head = drive->device & DEVICE_LBA_HIGH;

	if (channel->extended) {
		*lba = low | (uint64_t)high << 24;
	} else if (drive->device & DEVICE_LBA) {
		*lba = low | (uint64_t)head << 24;
	} else if (sector == 0 || sector > drive->track_sectors || head >= drive->heads) {
		return false;
	} else {
		*lba = ((uint64_t)cylinder * drive->heads + head) * drive->track_sectors + sector -
		       1;
	}
	return true;
}

static void set_lba(struct ide_drive *drive, uint64_t lba, bool extended)
{
	unsigned int i;

	for (i = 0; i < 3; i++) {
		uint64_t high = extended ? lba >> (24 + 8 * i) & 0xff : 0;

		drive->lba[i] = (uint16_t)((lba >> 8 * i & 0xff) | high << 8);
	}
	if (!extended) {
		drive->device &= (uint8_t)~DEVICE_LBA_HIGH;
		drive->device |= lba >> 24 & DEVICE_LBA_HIGH;
	}
}

void ide_ata_set_address(struct ide_channel *channel, uint64_t lba)
{
	struct ide_drive *drive = ide_drive_of(channel);
	uint64_t track = lba / drive->track_sectors;

	drive->count = 0;
	if (channel->extended || (drive->device & DEVICE_LBA)) {
		set_lba(drive, lba, channel->extended);
	} else {
		set_lba(drive,
			(track / drive->heads % 0x10000) << 8 | (lba % drive->track_sectors + 1) |
				(track % drive->heads) << 24,
			false);
	}
}

/* ---- The commands of the medium ---- */

static void begin_transfer(struct ide_channel *channel, uint8_t flags)
{
	struct ide_drive *drive = ide_drive_of(channel);
	uint32_t most = flags & T_EXTENDED ? 65536 : 256;
	uint32_t count = flags & T_EXTENDED ? drive->count : drive->count & 0xff;
	uint64_t lba;

	channel->extended = flags & T_EXTENDED;
	channel->write = flags & T_WRITE;
	channel->dma = flags & T_DMA;
	channel->fua = (flags & T_FUA) || !drive->write_cache;
	count = count != 0 ? count : most;
	if ((flags & T_MULTIPLE) && drive->multiple == 0) {
		ide_fail(channel, IDE_ABRT, 0);
		return;
	}
	if (!address_of(channel, drive, &lba) || lba >= drive->identity.sectors ||
	    count > drive->identity.sectors - lba) {
		ide_fail(channel, IDE_IDNF, 0);
		return;
	}
	channel->lba = lba;
	channel->left = count;
	channel->block = IDE_SECTOR;
	channel->step = IDE_SECTOR * (flags & T_MULTIPLE ? drive->multiple : 1);
	channel->fua = channel->fua && channel->write;
	if (flags & T_VERIFY) {
		channel->part = count;
		channel->length = 0;
		channel->command =
			(struct host_drive_command){.cdb = {VERIFY_16}, .cdb_length = 16};
		lba = __builtin_bswap64(lba);
		count = __builtin_bswap32(count);
		memcpy(&channel->command.cdb[2], &lba, sizeof(lba));
		memcpy(&channel->command.cdb[10], &count, sizeof(count));
		ide_start(channel);
	} else {
		ide_go_on(channel, false);
	}
}

static void flush(struct ide_channel *channel)
{
	channel->length = 0;
	channel->command = (struct host_drive_command){.cdb = {SYNCHRONIZE_16}, .cdb_length = 16};
	ide_start(channel);
}

/* What a failed command of the medium is to a guest of ATA. */
static void fail(struct ide_channel *channel, const struct host_drive_result *result)
{
	const uint8_t *sense = result->sense;
	uint64_t lba = channel->lba;
	uint32_t information;

	memcpy(&information, &sense[3], sizeof(information));
	information = __builtin_bswap32(information);
	if ((sense[0] & SENSE_HAS_LBA) && information >= lba && information < lba + channel->part) {
		lba = information;
	}
	if (channel->block != 0) {
		ide_ata_set_address(channel, lba);
	}
	if (result->status != SCSI_CHECK) {
		ide_fail(channel, IDE_ABRT, 0);
	} else if (SENSE_KEY(sense) == KEY_MEDIUM && !channel->write) {
		ide_fail(channel, IDE_UNC, 0);
	} else if (SENSE_KEY(sense) == KEY_ILLEGAL && SENSE_CODE(sense) == CODE_LBA_OUT_OF_RANGE) {
		ide_fail(channel, IDE_IDNF, 0);
	} else if (SENSE_KEY(sense) == KEY_MEDIUM || SENSE_KEY(sense) == KEY_HARDWARE) {
		ide_fail(channel, IDE_ABRT, IDE_DF);
	} else {
		ide_fail(channel, IDE_ABRT, 0);
	}
}

void ide_ata_done(struct ide_channel *channel, const struct host_drive_result *result)
{
	/* A fixed disk has no way to say that it was reset, or has another size. */
	if (result->status == SCSI_CHECK && SENSE_KEY(result->sense) == KEY_ATTENTION) {
		ide_start(channel);
	} else if (result->status != SCSI_GOOD) {
		fail(channel, result);
	} else if (channel->length != 0 && !channel->write) {
		ide_give(channel);
	} else {
		ide_part_done(channel);
	}
}

/* ---- The others ---- */

static void set_multiple(struct ide_channel *channel)
{
	struct ide_drive *drive = ide_drive_of(channel);
	uint8_t count = (uint8_t)drive->count;

	if (count > MULTIPLE_MAX || (count & (count - 1))) {
		ide_fail(channel, IDE_ABRT, 0);
		return;
	}
	drive->multiple = count;
	ide_finish(channel, true);
}

/* How a guest of the last century wants to count cylinders. */
static void set_geometry(struct ide_channel *channel)
{
	struct ide_drive *drive = ide_drive_of(channel);

	if ((drive->count & 0xff) == 0) {
		ide_fail(channel, IDE_ABRT, 0);
		return;
	}
	drive->heads = (uint8_t)((drive->device & DEVICE_LBA_HIGH) + 1);
	drive->track_sectors = (uint8_t)drive->count;
	ide_finish(channel, true);
}

static void set_features(struct ide_channel *channel)
{
	struct ide_drive *drive = ide_drive_of(channel);

	switch (drive->feature & 0xff) {
	case 0x02:
		drive->write_cache = true;
		break;
	case 0x82: /* what is in it goes to the medium first */
		drive->write_cache = false;
		flush(channel);
		return;
	case 0x03:
		if (!ide_set_mode(drive, (uint8_t)drive->count)) {
			ide_fail(channel, IDE_ABRT, 0);
			return;
		}
		break;
	case 0x55: /* look ahead, and what a reset does to settings: no difference */
	case 0xaa:
	case 0x66:
	case 0xcc:
		break;
	default:
		ide_fail(channel, IDE_ABRT, 0);
		return;
	}
	ide_finish(channel, true);
}

static void native_max(struct ide_channel *channel, bool extended)
{
	struct ide_drive *drive = ide_drive_of(channel);
	uint64_t last = drive->identity.sectors - 1;

	if (!extended && last > 0xfffffff) {
		last = 0xfffffff;
	}
	set_lba(drive, last, extended);
	ide_finish(channel, true);
}

static void other_command(struct ide_channel *channel, uint8_t opcode)
{
	struct ide_drive *drive = ide_drive_of(channel);

	switch (opcode) {
	case 0x27:
	case 0xf8:
		native_max(channel, opcode == 0x27);
		return;
	case 0x91:
		set_geometry(channel);
		return;
	case 0xc6:
		set_multiple(channel);
		return;
	case 0xe5: /* CHECK POWER MODE */
	case 0x98:
		drive->count = POWER_ACTIVE;
		ide_finish(channel, true);
		return;
	case 0xe0: /* IDLE, STANDBY and SLEEP: it is always awake */
	case 0xe1:
	case 0xe2:
	case 0xe3:
	case 0xe6:
	case 0x94:
	case 0x95:
	case 0x96:
	case 0x97:
	case 0x99:
		ide_finish(channel, true);
		return;
	case 0xe7: /* FLUSH CACHE */
	case 0xea:
		flush(channel);
		return;
	case 0xec:
		ide_identify(channel);
		return;
	case 0xef:
		set_features(channel);
		return;
	default:
		if (opcode >> 4 == 1 || opcode >> 4 == 7) { /* RECALIBRATE and SEEK */
			ide_finish(channel, true);
		} else {
			ide_fail(channel, IDE_ABRT, 0);
		}
	}
}

void ide_ata_command(struct ide_channel *channel, uint8_t opcode)
{
	unsigned int i;

	for (i = 0; i < ARRAY_COUNT(transfers); i++) {
		if (transfers[i].opcode == opcode) {
			begin_transfer(channel, transfers[i].flags);
			return;
		}
	}
	other_command(channel, opcode);
}
