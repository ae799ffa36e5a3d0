/*
 * A channel: its registers (ATA/ATAPI-6, 7), its interrupt, resets, and the course of a command,
 * whichever drive's it is (9). See ide.h for the phases.
 *
 * Both drives see what is written, the one that is selected answers. Where none is, registers read
 * as zeros, which is what device 0 says for a device 1 that is not there. A channel that is busy
 * takes nothing but a reset.
 */
#include "devices/parts.h"

#include <string.h>

#include "lib/check.h"

#define REG_DATA    0
#define REG_FEATURE 1 /* read: error */
#define REG_COUNT   2
#define REG_LBA     3 /* three of them */
#define REG_DEVICE  6
#define REG_COMMAND 7 /* read: status */

#define CONTROL_NIEN 0x02
#define CONTROL_SRST 0x04
#define CONTROL_HOB  0x80

#define DEVICE_1      0x10
#define DEVICE_ALWAYS 0xa0

#define COMMAND_DEVICE_RESET 0x08
#define COMMAND_DIAGNOSTIC   0x90

#define READ_16  0x88
#define WRITE_16 0x8a
#define CDB_FUA  0x08

#define SCSI_BUSY 0x08
#define AGAIN_NS  10000000ull

#define CONFIG_TIMING   0x40 /* of a channel, 2 bytes each */
#define TIMING_DECODE   0x80 /* in the upper one */
#define CONFIG_SLAVE    0x44
#define CONFIG_ULTRA    0x48
#define CONFIG_ULTRA_AT 0x4a
#define MASTER_BAR      4
#define MASTER_PORTS    16

struct ide_drive *ide_drive_of(struct ide_channel *channel)
{
	return &channel->drives[channel->selected];
}

static bool is_there(const struct ide_drive *drive)
{
	return drive->identity.kind != IDE_NONE;
}

static bool is_cd(const struct ide_drive *drive)
{
	return drive->identity.kind == IDE_CD;
}

/* ---- The interrupt ---- */

bool ide_line(const struct ide_channel *channel)
{
	return channel->interrupt && !(channel->control & CONTROL_NIEN);
}

static void update_line(struct ide_channel *channel)
{
	irq_set(&channel->irq, ide_line(channel));
}

static void lower(struct ide_channel *channel)
{
	channel->interrupt = false;
	update_line(channel);
}

void ide_interrupt(struct ide_channel *channel)
{
	channel->interrupt = true;
	channel->master.status |= 0x04;
	update_line(channel);
}

/* ---- The course of a command ---- */

void ide_finish(struct ide_channel *channel, bool interrupt)
{
	struct ide_drive *drive = ide_drive_of(channel);

	channel->phase = IDE_IDLE;
	drive->status = IDE_DRDY | IDE_DSC;
	drive->error = 0;
	if (channel->dma) {
		ide_dma_finish(channel);
	}
	if (interrupt) {
		ide_interrupt(channel);
	}
}

void ide_fail(struct ide_channel *channel, uint8_t error, uint8_t status)
{
	struct ide_drive *drive = ide_drive_of(channel);

	channel->phase = IDE_IDLE;
	drive->status = IDE_DRDY | IDE_DSC | IDE_ERR | status;
	drive->error = error;
	ide_interrupt(channel);
}

static void tell_home(struct ide_channel *channel)
{
	unsigned int index = (unsigned int)(channel - channel->ide->channels);

	channel->command.data = channel->buffer;
	host_drive_start(channel->ide->host, 2 * index + channel->selected, &channel->command);
}

void ide_start(struct ide_channel *channel)
{
	channel->phase = IDE_DRIVE;
	channel->under_way = true;
	ide_drive_of(channel)->status = IDE_BSY;
	tell_home(channel);
}

void ide_start_part(struct ide_channel *channel)
{
	struct host_drive_command *command = &channel->command;
	uint64_t lba = __builtin_bswap64(channel->lba);
	uint32_t count = __builtin_bswap32(channel->part);

	*command = (struct host_drive_command){
		.cdb_length = 16, .out = channel->write, .length = channel->length};
	command->cdb[0] = channel->write ? WRITE_16 : READ_16;
	command->cdb[1] = channel->fua ? CDB_FUA : 0;
	memcpy(&command->cdb[2], &lba, sizeof(lba));
	memcpy(&command->cdb[10], &count, sizeof(count));
	ide_start(channel);
}

/* The guest is to move the next bytes of the buffer. */
static void announce(struct ide_channel *channel, bool interrupt)
{
	struct ide_drive *drive = ide_drive_of(channel);
	uint32_t bytes = channel->length - channel->at;

	bytes = bytes < channel->step ? bytes : channel->step;
	channel->stop = channel->at + bytes;
	drive->status = IDE_DRDY | IDE_DSC | IDE_DRQ;
	if (channel->packet) {
		ide_atapi_announce(channel, bytes);
	}
	if (interrupt) {
		ide_interrupt(channel);
	}
}

static void start_dma(struct ide_channel *channel, enum ide_phase phase)
{
	channel->phase = phase;
	ide_drive_of(channel)->status = IDE_DRDY | IDE_DSC | IDE_DRQ;
	ide_dma_run(channel);
}

void ide_give(struct ide_channel *channel)
{
	channel->at = 0;
	if (channel->dma) {
		start_dma(channel, IDE_DMA_IN);
	} else {
		channel->phase = IDE_DATA_IN;
		announce(channel, true);
	}
}

void ide_go_on(struct ide_channel *channel, bool interrupt)
{
	uint32_t most = IDE_BUFFER_BYTES / channel->block;

	channel->part = channel->left < most ? channel->left : most;
	channel->length = channel->part * channel->block;
	channel->at = 0;
	if (!channel->write) {
		ide_start_part(channel);
	} else if (channel->dma) {
		start_dma(channel, IDE_DMA_OUT);
	} else {
		channel->phase = IDE_DATA_OUT;
		announce(channel, interrupt);
	}
}

void ide_part_done(struct ide_channel *channel)
{
	bool silent = !channel->write && !channel->dma && !channel->packet && channel->length != 0;

	channel->lba += channel->part;
	channel->left -= channel->part;
	channel->part = 0;
	if (channel->left != 0) {
		ide_go_on(channel, true);
		return;
	}
	if (channel->packet) {
		ide_atapi_announce(channel, 0);
	} else if (channel->block != 0) {
		ide_ata_set_address(channel, channel->lba - 1);
	}
	ide_finish(channel, !silent);
}

/* PIO has come to the end of what was announced. */
static void block_done(struct ide_channel *channel)
{
	if (channel->phase == IDE_PACKET) {
		ide_atapi_packet(channel);
	} else if (channel->at < channel->length) {
		announce(channel, true);
	} else if (channel->phase == IDE_DATA_OUT) {
		ide_start_part(channel);
	} else {
		ide_part_done(channel);
	}
}

static void reset_done(struct ide_channel *channel);

void ide_drive_done(struct ide *ide, unsigned int index, const struct host_drive_result *result)
{
	struct ide_channel *channel = &ide->channels[index / 2];

	CHECK(channel->under_way);
	channel->under_way = false;
	if (channel->phase == IDE_RESET) {
		reset_done(channel);
	} else if (result->status == SCSI_BUSY) {
		channel->phase = IDE_AGAIN;
		channel->again_at = host_time(ide->host) + AGAIN_NS;
	} else if (is_cd(ide_drive_of(channel))) {
		ide_atapi_done(channel, result);
	} else {
		ide_ata_done(channel, result);
	}
}

uint64_t ide_deadline(const struct ide *ide)
{
	uint64_t deadline = HOST_NEVER;
	unsigned int i;

	for (i = 0; i < IDE_CHANNELS; i++) {
		const struct ide_channel *channel = &ide->channels[i];

		if (channel->phase == IDE_AGAIN && channel->again_at < deadline) {
			deadline = channel->again_at;
		}
	}
	return deadline;
}

void ide_advance(struct ide *ide, uint64_t now)
{
	unsigned int i;

	for (i = 0; i < IDE_CHANNELS; i++) {
		struct ide_channel *channel = &ide->channels[i];

		if (channel->phase == IDE_AGAIN && channel->again_at <= now) {
			ide_start(channel);
		}
	}
}

/* ---- Resets ---- */

void ide_sign(struct ide_drive *drive)
{
	bool cd = is_cd(drive);

	drive->count = drive->lba[0] = 1;
	drive->lba[1] = cd ? 0x14 : 0;
	drive->lba[2] = cd ? 0xeb : 0;
}

/* As after power-on, or after a reset by the guest, which leaves what it has set up. */
static void reset_drive(struct ide_drive *drive)
{
	ide_sign(drive);
	drive->device = 0;
	drive->error = 1; /* all is well */
	drive->status = is_cd(drive) ? 0 : IDE_DRDY | IDE_DSC;
	drive->feature = 0;
}

static void reset_done(struct ide_channel *channel)
{
	if (channel->under_way || (channel->control & CONTROL_SRST)) {
		return;
	}
	channel->phase = IDE_IDLE;
	channel->selected = 0;
	reset_drive(&channel->drives[0]);
	reset_drive(&channel->drives[1]);
}

static void begin_reset(struct ide_channel *channel)
{
	channel->phase = IDE_RESET;
	lower(channel);
}

static void power_on(struct ide_drive *drive)
{
	reset_drive(drive);
	drive->heads = 16;
	drive->track_sectors = 63;
	drive->multiple = 0;
	drive->mode = 0;
	drive->write_cache = true;
	drive->has_sense = false;
}

void ide_reset(struct ide *ide)
{
	unsigned int i;

	for (i = 0; i < IDE_CHANNELS; i++) {
		struct ide_channel *channel = &ide->channels[i];

		channel->control = 0;
		channel->under_way = false;
		reset_done(channel);
		power_on(&channel->drives[0]);
		power_on(&channel->drives[1]);
		ide_dma_reset(&channel->master);
		lower(channel);
	}
}

void ide_restore(struct ide *ide)
{
	unsigned int i;

	for (i = 0; i < IDE_CHANNELS; i++) {
		if (ide->channels[i].under_way) {
			tell_home(&ide->channels[i]);
		} else if (ide->channels[i].phase == IDE_RESET) {
			reset_done(&ide->channels[i]);
		}
	}
}

/* ---- The command block ---- */

/* Of the drive that is selected and there. */
static uint8_t status_of(struct ide_channel *channel)
{
	return channel->phase == IDE_RESET ? IDE_BSY : ide_drive_of(channel)->status;
}

static uint8_t read_register(struct ide_channel *channel, uint32_t offset)
{
	const struct ide_drive *drive = ide_drive_of(channel);
	unsigned int shift = channel->control & CONTROL_HOB ? 8 : 0;

	if (!is_there(drive)) {
		return 0;
	}
	if (offset == REG_COMMAND) {
		lower(channel);
		return status_of(channel);
	}
	switch (offset) {
	case REG_FEATURE:
		return drive->error;
	case REG_COUNT:
		return (uint8_t)(drive->count >> shift);
	case REG_DEVICE:
		return drive->device | DEVICE_ALWAYS;
	default:
		return (uint8_t)(drive->lba[offset - REG_LBA] >> shift);
	}
}

static bool moves_data(const struct ide_channel *channel, bool in)
{
	return in ? channel->phase == IDE_DATA_IN
		  : channel->phase == IDE_DATA_OUT || channel->phase == IDE_PACKET;
}

static uint64_t command_read(void *device, uint32_t offset, unsigned int size)
{
	struct ide_channel *channel = device;
	uint64_t value = 0;
	unsigned int i;

	if (offset == REG_DATA && !moves_data(channel, true)) {
		return 0;
	}
	for (i = 0; i < size; i++) {
		uint8_t byte = 0;

		if (offset != REG_DATA) {
			byte = read_register(channel, offset + i);
		} else if (channel->at < channel->stop) {
			byte = channel->buffer[channel->at++];
		}
		value |= (uint64_t)byte << 8 * i;
	}
	if (offset == REG_DATA && channel->at == channel->stop) {
		block_done(channel);
	}
	return value;
}

static void write_data(struct ide_channel *channel, unsigned int size, uint64_t value)
{
	unsigned int i;

	if (!moves_data(channel, false)) {
		return;
	}
	for (i = 0; i < size && channel->at < channel->stop; i++) {
		channel->buffer[channel->at++] = (uint8_t)(value >> 8 * i);
	}
	if (channel->at == channel->stop) {
		block_done(channel);
	}
}

/* DEVICE RESET, which a CD drive takes at any time. What it has the home do, it first waits for,
 * and resets its neighbour too. */
static void reset_one(struct ide_channel *channel)
{
	struct ide_drive *drive = ide_drive_of(channel);
	uint8_t device = drive->device;

	begin_reset(channel);
	if (!channel->under_way) {
		reset_drive(drive);
		drive->device = device;
		channel->phase = IDE_IDLE;
	}
}

/* Of both drives, whichever is selected. */
static void run_diagnostic(struct ide_channel *channel)
{
	reset_done(channel);
	ide_interrupt(channel);
}

static void write_command(struct ide_channel *channel, uint8_t opcode)
{
	struct ide_drive *drive = ide_drive_of(channel);

	if (opcode == COMMAND_DEVICE_RESET && is_cd(drive) && channel->phase != IDE_RESET) {
		reset_one(channel);
		return;
	}
	if (channel->phase != IDE_IDLE) {
		return;
	}
	if (opcode == COMMAND_DIAGNOSTIC) {
		run_diagnostic(channel);
		return;
	}
	if (!is_there(drive)) {
		return;
	}
	lower(channel);
	drive->error = 0;
	channel->packet = channel->dma = channel->write = channel->extended = channel->fua = false;
	channel->lba = 0;
	channel->left = channel->part = channel->block = channel->length = 0;
	if (is_cd(drive)) {
		ide_atapi_command(channel, opcode);
	} else {
		ide_ata_command(channel, opcode);
	}
}

static void write_register(struct ide_channel *channel, uint32_t offset, uint8_t value)
{
	unsigned int i;

	channel->control &= (uint8_t)~CONTROL_HOB;
	if (offset == REG_COMMAND) {
		write_command(channel, value);
		return;
	}
	if (channel->phase != IDE_IDLE) {
		return;
	}
	for (i = 0; i < 2; i++) {
		struct ide_drive *drive = &channel->drives[i];
		uint16_t *pair = offset == REG_FEATURE ? &drive->feature
				 : offset == REG_COUNT ? &drive->count
						       : &drive->lba[(offset - REG_LBA) % 3];

		if (offset == REG_DEVICE) {
			drive->device = value;
		} else {
			*pair = (uint16_t)(*pair << 8 | value);
		}
	}
	if (offset == REG_DEVICE) {
		channel->selected = value & DEVICE_1 ? 1 : 0;
	}
}

static void command_write(void *device, uint32_t offset, unsigned int size, uint64_t value)
{
	unsigned int i;

	if (offset == REG_DATA) {
		write_data(device, size, value);
		return;
	}
	for (i = 0; i < size; i++) {
		write_register(device, offset + i, (uint8_t)(value >> 8 * i));
	}
}

/* ---- The control block: device control, and the status once more ---- */

static uint64_t control_read(void *device, uint32_t offset, unsigned int size)
{
	struct ide_channel *channel = device;

	(void)offset, (void)size;
	return is_there(ide_drive_of(channel)) ? status_of(channel) : 0;
}

static void control_write(void *device, uint32_t offset, unsigned int size, uint64_t value)
{
	struct ide_channel *channel = device;
	uint8_t before = channel->control;

	(void)offset, (void)size;
	channel->control = (uint8_t)value;
	if (channel->control & ~before & CONTROL_SRST) {
		begin_reset(channel);
	} else if (before & ~channel->control & CONTROL_SRST) {
		reset_done(channel);
	}
	update_line(channel);
}

/* ---- The function ---- */

void ide_update(struct ide *ide)
{
	const uint8_t *config = ide->function.config;
	bool changed = false;
	unsigned int i;

	for (i = 0; i < IDE_CHANNELS; i++) {
		struct ide_channel *channel = &ide->channels[i];
		bool enabled = (config[PCI_COMMAND] & PCI_COMMAND_IO) &&
			       (config[CONFIG_TIMING + 2 * i + 1] & TIMING_DECODE);

		changed |= channel->command_range->enabled != enabled;
		channel->command_range->enabled = channel->control_range->enabled = enabled;
	}
	if (changed) {
		bus_update(ide->function.pci->ports);
	}
}

static void written(void *device, unsigned int at, unsigned int size)
{
	(void)at, (void)size;
	ide_update(device);
}

void ide_create(struct ide *ide, struct host *host, struct pci *pci, unsigned int slot,
		struct bus_range *const ranges[2 * IDE_CHANNELS])
{
	static const struct pci_identity identity = {
		.vendor = 0x8086, .device = 0x7111, .revision = 1, .class_code = 0x010180};
	struct pci_function *function = &ide->function;
	struct bus_range *range;
	unsigned int i;

	ide->host = host;
	pci_function_init(function, &identity);
	for (i = 0; i < IDE_CHANNELS; i++) {
		ide->channels[i].ide = ide;
		ide->channels[i].buffer = ide->buffers[i];
		ide->channels[i].command_range = ranges[2 * i];
		ide->channels[i].control_range = ranges[2 * i + 1];
		/* Timings are kept; nothing here is faster or slower by them. */
		function->writable[CONFIG_TIMING + 2 * i] = 0xff;
		function->writable[CONFIG_TIMING + 2 * i + 1] = 0xf3;
	}
	function->writable[CONFIG_SLAVE] = 0xff;
	function->writable[CONFIG_ULTRA] = 0x0f;
	function->writable[CONFIG_ULTRA_AT] = function->writable[CONFIG_ULTRA_AT + 1] = 0x33;
	range = pci_add_bar(function, MASTER_BAR, PCI_BAR_IO, MASTER_PORTS);
	range->class = &ide_master_class;
	range->device = ide;
	function->written = written;
	function->device = ide;
	CHECK(pci_add(pci, slot, 1, function));
}

const struct device_class ide_command_class = {
	.name = "ide-command", .width = 4, .read = command_read, .write = command_write};
const struct device_class ide_control_class = {
	.name = "ide-control", .width = 1, .read = control_read, .write = control_write};
