/*
 * The bus master of the IDE channels: Programming Interface for Bus Master IDE Controller, revision
 * 1.0. Eight ports for each channel: command, status, and where the table of regions lies.
 *
 * How a transfer ends is in the status: the interrupt alone, both were of one length; interrupt and
 * ACTIVE, there is table left; neither, the table was too short, and the drive waits for more.
 */
#include "devices/parts.h"

#include <string.h>

#define REG_COMMAND 0
#define REG_STATUS  2
#define REG_TABLE   4
#define REGISTERS   8

#define COMMAND_START    0x01
#define COMMAND_WRITABLE 0x09 /* and the direction, which the drive's command says too */

#define STATUS_ACTIVE    0x01
#define STATUS_ERROR     0x02
#define STATUS_INTERRUPT 0x04
#define STATUS_CAPABLE   0x60 /* the drives' DMA: kept for whoever wrote it */

#define REGION_LAST 0x80000000u
#define REGION_MAX  0x10000u

enum outcome { DMA_ALL, DMA_SHORT, DMA_FAULT };

void ide_dma_reset(struct ide_master *master)
{
	memset(master, 0, sizeof(*master));
}

/* The next region of the table. False: it is not in memory. */
static bool take_region(struct host *host, struct ide_master *master)
{
	uint32_t entry[2];

	if (!host_memory_read(host, master->next, entry, sizeof(entry))) {
		return false;
	}
	master->next += sizeof(entry);
	master->address = entry[0] & ~1u;
	master->left = entry[1] & 0xfffe;
	if (master->left == 0) {
		master->left = REGION_MAX;
	}
	master->last = entry[1] & REGION_LAST;
	return true;
}

static enum outcome move(struct ide_channel *channel)
{
	struct ide_master *master = &channel->master;
	struct host *host = channel->ide->host;

	if (!pci_is_master(&channel->ide->function)) {
		return DMA_FAULT;
	}
	while (channel->at < channel->length) {
		uint32_t bytes = channel->length - channel->at;
		uint8_t *data = channel->buffer + channel->at;

		if (master->left == 0 && master->last) {
			return DMA_SHORT;
		}
		if (master->left == 0 && !take_region(host, master)) {
			return DMA_FAULT;
		}
		bytes = bytes < master->left ? bytes : master->left;
		if (channel->write ? !host_memory_read(host, master->address, data, bytes)
				   : !host_memory_write(host, master->address, data, bytes)) {
			return DMA_FAULT;
		}
		channel->at += bytes;
		master->address += bytes;
		master->left -= bytes;
	}
	return DMA_ALL;
}

void ide_dma_run(struct ide_channel *channel)
{
	struct ide_master *master = &channel->master;

	if (!(master->status & STATUS_ACTIVE)) {
		return;
	}
	switch (move(channel)) {
	case DMA_ALL:
		if (channel->write) {
			ide_start_part(channel);
		} else {
			ide_part_done(channel);
		}
		return;
	case DMA_SHORT:
		master->status &= (uint8_t)~STATUS_ACTIVE;
		return;
	case DMA_FAULT:
		master->status = (uint8_t)((master->status & ~STATUS_ACTIVE) | STATUS_ERROR);
		ide_fail(channel, IDE_ABRT, 0);
		return;
	}
}

void ide_dma_finish(struct ide_channel *channel)
{
	struct ide_master *master = &channel->master;

	if (master->left == 0 && master->last) {
		master->status &= (uint8_t)~STATUS_ACTIVE;
	}
}

/* ---- Ports ---- */

static void write_command(struct ide_channel *channel, uint8_t value)
{
	struct ide_master *master = &channel->master;
	uint8_t before = master->command;

	master->command = value & COMMAND_WRITABLE;
	if (!(master->command & COMMAND_START)) {
		master->status &= (uint8_t)~STATUS_ACTIVE;
	} else if (!(before & COMMAND_START)) {
		master->next = master->table;
		master->left = 0;
		master->last = false;
		master->status |= STATUS_ACTIVE;
		if (channel->phase == IDE_DMA_IN || channel->phase == IDE_DMA_OUT) {
			ide_dma_run(channel);
		}
	}
}

static uint8_t read_byte(const struct ide_master *master, unsigned int at)
{
	switch (at) {
	case REG_COMMAND:
		return master->command;
	case REG_STATUS:
		return master->status;
	default:
		return at < REG_TABLE ? 0 : (uint8_t)(master->table >> 8 * (at - REG_TABLE));
	}
}

static void write_byte(struct ide_channel *channel, unsigned int at, uint8_t value)
{
	struct ide_master *master = &channel->master;
	unsigned int shift = 8 * (at - REG_TABLE);

	if (at == REG_COMMAND) {
		write_command(channel, value);
	} else if (at == REG_STATUS) {
		master->status &= (uint8_t) ~(value & (STATUS_ERROR | STATUS_INTERRUPT));
		master->status =
			(uint8_t)((master->status & ~STATUS_CAPABLE) | (value & STATUS_CAPABLE));
	} else if (at >= REG_TABLE) {
		master->table &= ~(0xffu << shift);
		master->table |= (uint32_t)value << shift;
		master->table &= ~3u;
	}
}

static uint64_t master_read(void *device, uint32_t offset, unsigned int size)
{
	struct ide *ide = device;
	uint64_t value = 0;
	unsigned int i;

	for (i = 0; i < size; i++) {
		uint32_t at = offset + i;

		value |= (uint64_t)read_byte(&ide->channels[at / REGISTERS].master, at % REGISTERS)
			 << 8 * i;
	}
	return value;
}

static void master_write(void *device, uint32_t offset, unsigned int size, uint64_t value)
{
	struct ide *ide = device;
	unsigned int i;

	for (i = 0; i < size; i++) {
		uint32_t at = offset + i;

		write_byte(&ide->channels[at / REGISTERS], at % REGISTERS,
			   (uint8_t)(value >> 8 * i));
	}
}

const struct device_class ide_master_class = {
	.name = "ide-master", .width = 4, .read = master_read, .write = master_write};
