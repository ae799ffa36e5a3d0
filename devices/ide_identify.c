/*
 * What a drive says of itself: IDENTIFY DEVICE and IDENTIFY PACKET DEVICE (ATA/ATAPI-6, 8.15 and
 * 8.16), and the transfer modes that SET FEATURES chooses.
 */
#include "devices/parts.h"

#include <string.h>

#define SECTORS_28    0x0fffffffull
#define CYLINDERS_MAX 16383u
#define MULTIPLE_MAX  16u

#define WORD_GENERAL     0
#define WORD_CYLINDERS   1
#define WORD_HEADS       3
#define WORD_TRACK       6
#define WORD_SERIAL      10
#define WORD_REVISION    23
#define WORD_MODEL       27
#define WORD_MULTIPLE    47
#define WORD_CAN         49
#define WORD_CAN_2       50
#define WORD_VALID       53
#define WORD_NOW         54 /* the geometry in force, and what it reaches */
#define WORD_MULTIPLE_ON 59
#define WORD_SECTORS_28  60
#define WORD_MULTIWORD   63
#define WORD_PIO         64
#define WORD_CYCLES      65 /* four of them */
#define WORD_MAJOR       80
#define WORD_SETS        82
#define WORD_SETS_ON     85
#define WORD_ULTRA       88
#define WORD_RESET       93
#define WORD_SECTORS_48  100
#define WORD_SECTOR_SIZE 106
#define WORD_ALIGNMENT   209
#define WORD_ROTATION    217
#define WORD_SUM         255

#define CAN_DMA_LBA_IORDY 0x0f00
#define CYCLE_NS          120
#define ATA_4_TO_6        0x0070
#define IS_VALID          0x4000
#define NO_ROTATION       1
#define SUM_SIGNATURE     0xa5

#define SET_1_WRITE_CACHE 0x0020
#define SET_1_DISK        0x0068 /* power management, write cache, look-ahead */
#define SET_1_CD          0x0218 /* DEVICE RESET, PACKET, power management */
#define SET_2_DISK        0x7400 /* FLUSH CACHE (EXT), 48-bit addresses */
#define SET_3_DISK        0x4040 /* FUA */

#define GENERAL_DISK 0x0040
#define GENERAL_CD   0x85c0 /* removable, packets of 12 bytes, soon after the command */

static void put(uint8_t *data, unsigned int word, uint16_t value)
{
	data[2 * word] = (uint8_t)value;
	data[2 * word + 1] = (uint8_t)(value >> 8);
}

static void put_32(uint8_t *data, unsigned int word, uint32_t value)
{
	put(data, word, (uint16_t)value);
	put(data, word + 1, (uint16_t)(value >> 16));
}

/* Padded with spaces; of two characters the first is in the upper byte. */
static void put_text(uint8_t *data, unsigned int word, unsigned int words, const char *text)
{
	size_t length = strlen(text);
	unsigned int i;

	for (i = 0; i < 2 * words; i++) {
		data[2 * word + (i ^ 1)] = i < length ? (uint8_t)text[i] : ' ';
	}
}

/* A drive 0 without a neighbour answers for it; nobody then waits for one. */
static uint16_t reset_result(const struct ide_channel *channel)
{
	if (channel->selected == 1) {
		return 0x6900;
	}
	return channel->drives[1].identity.kind == IDE_NONE ? 0x6041 : 0x6001;
}

static void identify_common(const struct ide_channel *channel, const struct ide_drive *drive,
			    uint8_t *data)
{
	unsigned int i;

	put_text(data, WORD_SERIAL, 10, drive->identity.serial);
	put_text(data, WORD_REVISION, 4, "1.0");
	put(data, WORD_CAN, CAN_DMA_LBA_IORDY);
	put(data, WORD_VALID, 7);
	put(data, WORD_MULTIWORD, (uint16_t)(7 | (drive->mode & 7u) << 8));
	put(data, WORD_PIO, 3);
	for (i = 0; i < 4; i++) {
		put(data, WORD_CYCLES + i, CYCLE_NS);
	}
	put(data, WORD_MAJOR, ATA_4_TO_6);
	put(data, WORD_ULTRA, (uint16_t)(7 | (drive->mode >> 4 & 7u) << 8));
	put(data, WORD_RESET, reset_result(channel));
}

static void identify_cd(uint8_t *data)
{
	put(data, WORD_GENERAL, GENERAL_CD);
	put_text(data, WORD_MODEL, 20, "Virtual CD");
	put(data, WORD_SETS, SET_1_CD);
	put(data, WORD_SETS + 1, IS_VALID);
	put(data, WORD_SETS + 2, IS_VALID);
	put(data, WORD_SETS_ON, SET_1_CD);
	put(data, WORD_SETS_ON + 2, IS_VALID);
}

static void put_geometry(const struct ide_drive *drive, uint8_t *data)
{
	uint64_t sectors = drive->identity.sectors;
	uint64_t cylinders = sectors / (16 * 63);
	uint32_t now = drive->heads * (uint32_t)drive->track_sectors;
	uint64_t cylinders_now = sectors / now;

	put(data, WORD_CYLINDERS,
	    (uint16_t)(cylinders < CYLINDERS_MAX ? cylinders : CYLINDERS_MAX));
	put(data, WORD_HEADS, 16);
	put(data, WORD_TRACK, 63);
	cylinders_now = cylinders_now < 65535 ? cylinders_now : 65535;
	put(data, WORD_NOW, (uint16_t)cylinders_now);
	put(data, WORD_NOW + 1, drive->heads);
	put(data, WORD_NOW + 2, drive->track_sectors);
	put_32(data, WORD_NOW + 3, (uint32_t)(cylinders_now * now));
}

static void identify_disk(const struct ide_drive *drive, uint8_t *data)
{
	uint64_t sectors = drive->identity.sectors;
	uint16_t cache = drive->write_cache ? 0 : SET_1_WRITE_CACHE;

	put(data, WORD_GENERAL, GENERAL_DISK);
	put_geometry(drive, data);
	put_text(data, WORD_MODEL, 20, "Virtual HD");
	put(data, WORD_MULTIPLE, 0x8000 | MULTIPLE_MAX);
	put(data, WORD_CAN_2, IS_VALID);
	put(data, WORD_MULTIPLE_ON, drive->multiple != 0 ? 0x0100 | drive->multiple : 0);
	put_32(data, WORD_SECTORS_28, (uint32_t)(sectors < SECTORS_28 ? sectors : SECTORS_28));
	put(data, WORD_SETS, SET_1_DISK);
	put(data, WORD_SETS + 1, SET_2_DISK);
	put(data, WORD_SETS + 2, SET_3_DISK);
	put(data, WORD_SETS_ON, (uint16_t)(SET_1_DISK & ~cache));
	put(data, WORD_SETS_ON + 1, SET_2_DISK & ~IS_VALID);
	put(data, WORD_SETS_ON + 2, SET_3_DISK);
	put_32(data, WORD_SECTORS_48, (uint32_t)sectors);
	put_32(data, WORD_SECTORS_48 + 2, (uint32_t)(sectors >> 32));
	put(data, WORD_SECTOR_SIZE,
	    drive->identity.physical_bytes == 4096 ? IS_VALID | 0x2003 : IS_VALID);
	put(data, WORD_ALIGNMENT, IS_VALID);
	put(data, WORD_ROTATION, NO_ROTATION);
}

void ide_identify(struct ide_channel *channel)
{
	const struct ide_drive *drive = &channel->drives[channel->selected];
	uint8_t *data = channel->buffer, sum = SUM_SIGNATURE;
	unsigned int i;

	memset(data, 0, IDE_SECTOR);
	identify_common(channel, drive, data);
	if (drive->identity.kind == IDE_CD) {
		identify_cd(data);
	} else {
		identify_disk(drive, data);
	}
	for (i = 0; i < 2 * WORD_SUM; i++) {
		sum = (uint8_t)(sum + data[i]);
	}
	put(data, WORD_SUM, (uint16_t)(SUM_SIGNATURE | (uint8_t)-sum << 8));
	channel->length = channel->step = IDE_SECTOR;
	ide_give(channel);
}

bool ide_set_mode(struct ide_drive *drive, uint8_t mode)
{
	uint8_t number = mode & 7;

	switch (mode >> 3) {
	case 0: /* PIO, with IORDY or without */
		return number <= 1;
	case 1:
		return number <= 4;
	case 4: /* multiword DMA, then Ultra DMA */
	case 8:
		if (number > 2) {
			return false;
		}
		drive->mode = (uint8_t)(1u << number << (mode >> 3 == 8 ? 4 : 0));
		return true;
	default:
		return false;
	}
}
