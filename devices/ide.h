/*
 * The PIIX4's IDE controller (Intel 82371AB data sheet, chapter 5): two channels with two drives
 * each, disks (ATA/ATAPI-6) and CD drives (its PACKET feature set), by PIO and by bus master
 * (Programming Interface for Bus Master IDE Controller, 1.0).
 *
 * A drive's medium is its home's, who carries out SCSI commands on it: READ, WRITE and the like,
 * into which a disk's commands are translated here, and a CD drive's packets as they are (host.h).
 * The home has one command of a channel at a time, and no VP and no lock waits for it: the channel
 * is busy meanwhile, which is what the guest sees.
 *
 * A channel's life; what is left out comes back to IDLE:
 *
 *   IDLE --PACKET--> PACKET --12 bytes--> DRIVE
 *   IDLE --a command that reads, or has no data--> DRIVE --done--> DATA_IN or DMA_IN --all of it--> DRIVE or IDLE
 *   IDLE --a command that writes--> DATA_OUT or DMA_OUT --the buffer is full--> DRIVE --done--> DATA_OUT, ...
 *   DRIVE --the unit is held--> AGAIN --some time--> DRIVE
 *   any --SRST--> RESET --it is released, and the home has no command--> IDLE
 *
 * Data passes through a buffer of the channel, as it does in a drive: a saved state has it whole,
 * and a guest that takes its memory away under a transfer harms no one.
 *
 * Lock: the board's, everywhere.
 */
#ifndef DEVICES_IDE_H
#define DEVICES_IDE_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/bus.h"
#include "devices/host.h"
#include "devices/irq.h"
#include "devices/pci.h"

#define IDE_CHANNELS     2
#define IDE_DRIVES       4 /* 2 * channel + device */
#define IDE_SECTOR       512u
#define IDE_CD_BLOCK     2048u
#define IDE_BUFFER_BYTES (128u << 10)
#define IDE_PACKET_BYTES 12u
#define IDE_SERIAL_CHARS 20u

enum ide_kind { IDE_NONE, IDE_DISK, IDE_CD };

/* Who a drive is. */
struct ide_identity {
	enum ide_kind kind;
	uint64_t sectors;        /* of a disk: of 512 bytes, below 2^48 */
	uint32_t physical_bytes; /* of a disk: 512 or 4096 */
	char serial[IDE_SERIAL_CHARS + 1];
};

enum ide_phase {
	IDE_IDLE,
	IDE_PACKET,
	IDE_DATA_IN,
	IDE_DATA_OUT,
	IDE_DMA_IN, /* the buffer waits for the bus master */
	IDE_DMA_OUT,
	IDE_DRIVE, /* the home has the command */
	IDE_AGAIN,
	IDE_RESET,
	IDE_PHASE_COUNT,
};

struct ide_drive {
	struct ide_identity identity;
	uint16_t count, lba[3], feature; /* what was written before is in the upper byte */
	uint8_t device, status, error;
	uint8_t heads, track_sectors; /* for addresses by cylinder */
	uint8_t multiple;             /* sectors of a block of READ MULTIPLE; 0: off */
	uint8_t mode;                 /* of DMA: bits 0-2 multiword, 4-6 Ultra, one of them set */
	bool write_cache;
	bool has_sense; /* of a CD drive: its last command failed, and nobody has asked why */
	uint8_t sense[HOST_SENSE_BYTES];
};

/* One channel's half of the bus master. */
struct ide_master {
	uint8_t command, status;
	uint32_t table;
	uint32_t next, address, left; /* the next entry; what is left of the last one */
	bool last;                    /* that was the last one */
};

struct ide;

struct ide_channel {
	struct ide *ide;
	struct ide_drive drives[2];
	struct ide_master master;
	struct irq_source irq;
	struct bus_range *command_range, *control_range;
	uint8_t selected, control;
	bool interrupt; /* INTRQ, before nIEN */
	enum ide_phase phase;
	bool under_way; /* the home has a command, which may be one of before a reset */
	uint64_t again_at;

	/* The command: what is left of it, in blocks, with those in the buffer. */
	bool packet, write, dma, extended, fua;
	uint64_t lba;
	uint32_t left, block;
	uint32_t part;   /* blocks that the buffer has, or will have */
	uint32_t length; /* bytes of it */
	uint32_t at;     /* the next one */
	uint32_t stop;   /* PIO: the end of the block that the guest was told of */
	uint32_t step;   /* PIO: bytes of such a block at most */
	struct host_drive_command command;
	uint8_t *buffer; /* of IDE_BUFFER_BYTES */
};

struct ide {
	struct host *host;
	struct pci_function function;
	struct ide_channel channels[IDE_CHANNELS];
	uint8_t buffers[IDE_CHANNELS][IDE_BUFFER_BYTES];
};

extern const struct device_class ide_command_class, ide_control_class, ide_master_class, ide_class;

/* At function 1 of this slot; `ranges` are the channels' ports, command and control, in turn. */
void ide_create(struct ide *ide, struct host *host, struct pci *pci, unsigned int slot,
		struct bus_range *const ranges[2 * IDE_CHANNELS]);
void ide_reset(struct ide *ide); /* the home has no command */
/* After pci_reset() or a load: what follows from the configuration. */
void ide_update(struct ide *ide);
/* After a load: what the home had to do, it has to do again. */
void ide_restore(struct ide *ide);
void ide_drive_done(struct ide *ide, unsigned int drive, const struct host_drive_result *result);
uint64_t ide_deadline(const struct ide *ide);
void ide_advance(struct ide *ide, uint64_t now);

/* ---- between the files of the controller ---- */

#define IDE_BSY  0x80 /* of the status */
#define IDE_DRDY 0x40
#define IDE_DF   0x20
#define IDE_DSC  0x10
#define IDE_DRQ  0x08
#define IDE_ERR  0x01

#define IDE_ABRT 0x04 /* of the error */
#define IDE_IDNF 0x10
#define IDE_UNC  0x40

/* ide.c: the course of a command. */
struct ide_drive *ide_drive_of(struct ide_channel *channel);
/* It has ended well; `interrupt` unless the guest knows that by itself. */
void ide_finish(struct ide_channel *channel, bool interrupt);
void ide_fail(struct ide_channel *channel, uint8_t error, uint8_t status);
void ide_interrupt(struct ide_channel *channel);
/* The level of its line. */
bool ide_line(const struct ide_channel *channel);
/* The signature by which a drive is known after a reset. */
void ide_sign(struct ide_drive *drive);
/* The home is to carry out channel->command. */
void ide_start(struct ide_channel *channel);
/* The next part of a READ or WRITE of channel->left blocks. */
void ide_go_on(struct ide_channel *channel, bool interrupt);
/* The buffer has channel->length bytes for the guest. */
void ide_give(struct ide_channel *channel);
/* The home is to read or write the part that the buffer is for. */
void ide_start_part(struct ide_channel *channel);
/* What was in the buffer has gone, to the guest or to the drive. */
void ide_part_done(struct ide_channel *channel);

/* ide_ata.c, ide_atapi.c: a drive's commands. */
void ide_ata_command(struct ide_channel *channel, uint8_t opcode);
void ide_ata_done(struct ide_channel *channel, const struct host_drive_result *result);
/* Where its command has got to, in the registers. */
void ide_ata_set_address(struct ide_channel *channel, uint64_t lba);
void ide_atapi_command(struct ide_channel *channel, uint8_t opcode);
void ide_atapi_packet(struct ide_channel *channel);
void ide_atapi_done(struct ide_channel *channel, const struct host_drive_result *result);
/* The registers say what comes next. */
void ide_atapi_announce(struct ide_channel *channel, uint32_t bytes);

/* ide_identify.c: the answer to IDENTIFY (PACKET) DEVICE is given. */
void ide_identify(struct ide_channel *channel);
/* SET FEATURES' transfer mode. False: there is none such. */
bool ide_set_mode(struct ide_drive *drive, uint8_t mode);

/* ide_dma.c */
void ide_dma_reset(struct ide_master *master);
/* Moves the buffer, if the guest has started the bus master. */
void ide_dma_run(struct ide_channel *channel);
/* The command has ended: the bus master too, if the table has. */
void ide_dma_finish(struct ide_channel *channel);

#endif
