/*
 * A controller in a saved state. A command that the home has is saved as one that it is to have:
 * who loads the state has it begun anew, which reads or writes the same once more.
 */
#include "devices/parts.h"

#include <string.h>

#define BLOCKS_MAX 65536u /* of a disk's command */
#define LBA_END    (1ull << 48)

static void save_drive(const struct ide_drive *drive, struct state_writer *writer)
{
	unsigned int i;

	state_put_u8(writer, (uint8_t)drive->identity.kind);
	state_put_u64(writer, drive->identity.sectors);
	state_put_u16(writer, drive->count);
	for (i = 0; i < 3; i++) {
		state_put_u16(writer, drive->lba[i]);
	}
	state_put_u16(writer, drive->feature);
	state_put_u8(writer, drive->device);
	state_put_u8(writer, drive->status);
	state_put_u8(writer, drive->error);
	state_put_u8(writer, drive->heads);
	state_put_u8(writer, drive->track_sectors);
	state_put_u8(writer, drive->multiple);
	state_put_u8(writer, drive->mode);
	state_put_bool(writer, drive->write_cache);
	state_put_bool(writer, drive->has_sense);
	state_put_bytes(writer, drive->sense, sizeof(drive->sense));
}

static void load_drive(struct ide_drive *drive, struct state_reader *part)
{
	unsigned int i;

	if (state_u8(part) != drive->identity.kind || state_u64(part) != drive->identity.sectors) {
		state_refuse(part, "has other drives than the machine");
	}
	drive->count = state_u16(part);
	for (i = 0; i < 3; i++) {
		drive->lba[i] = state_u16(part);
	}
	drive->feature = state_u16(part);
	drive->device = state_u8(part);
	drive->status = state_u8(part);
	drive->error = state_u8(part);
	drive->heads = state_u8(part);
	drive->track_sectors = state_u8(part);
	drive->multiple = state_u8(part);
	drive->mode = get_bits(part, 0x77);
	drive->write_cache = state_bool(part);
	drive->has_sense = state_bool(part);
	state_bytes(part, drive->sense, sizeof(drive->sense));
	if (state_ok(part) &&
	    (drive->heads == 0 || drive->heads > 16 || drive->track_sectors == 0 ||
	     drive->multiple > 16 || (drive->multiple & (drive->multiple - 1)))) {
		state_refuse(part, "has a drive without a geometry");
	}
}

static void save_master(const struct ide_master *master, struct state_writer *writer)
{
	state_put_u8(writer, master->command);
	state_put_u8(writer, master->status);
	state_put_u32(writer, master->table);
	state_put_u32(writer, master->next);
	state_put_u32(writer, master->address);
	state_put_u32(writer, master->left);
	state_put_bool(writer, master->last);
}

static void load_master(struct ide_master *master, struct state_reader *part)
{
	master->command = get_bits(part, 0x09);
	master->status = get_bits(part, 0x67);
	master->table = state_u32(part);
	master->next = state_u32(part);
	master->address = state_u32(part);
	master->left = state_u32(part);
	master->last = state_bool(part);
	if (master->left > 0x10000) {
		state_refuse(part, "has a region that is too long");
	}
}

/* What the buffer has that is still to go somewhere. */
static uint32_t bytes_in_buffer(const struct ide_channel *channel)
{
	if (channel->under_way || channel->phase == IDE_AGAIN) {
		return channel->write ? channel->length : 0;
	}
	switch (channel->phase) {
	case IDE_PACKET:
	case IDE_DATA_OUT:
	case IDE_DMA_OUT:
		return channel->at;
	case IDE_DATA_IN:
	case IDE_DMA_IN:
		return channel->length;
	default:
		return 0;
	}
}

static void save_channel(const struct ide_channel *channel, struct state_writer *writer)
{
	uint64_t now = host_time(channel->ide->host);

	save_drive(&channel->drives[0], writer);
	save_drive(&channel->drives[1], writer);
	save_master(&channel->master, writer);
	state_put_u8(writer, channel->selected);
	state_put_u8(writer, channel->control);
	state_put_bool(writer, channel->interrupt);
	state_put_u8(writer, (uint8_t)channel->phase);
	state_put_bool(writer, channel->under_way);
	put_coming(writer, channel->phase == IDE_AGAIN ? channel->again_at : HOST_NEVER, now);
	state_put_bool(writer, channel->packet);
	state_put_bool(writer, channel->write);
	state_put_bool(writer, channel->dma);
	state_put_bool(writer, channel->extended);
	state_put_bool(writer, channel->fua);
	state_put_u64(writer, channel->lba);
	state_put_u32(writer, channel->left);
	state_put_u32(writer, channel->block);
	state_put_u32(writer, channel->part);
	state_put_u32(writer, channel->length);
	state_put_u32(writer, channel->at);
	state_put_u32(writer, channel->stop);
	state_put_u32(writer, channel->step);
	state_put_bytes(writer, channel->command.cdb, sizeof(channel->command.cdb));
	state_put_u8(writer, channel->command.cdb_length);
	state_put_bool(writer, channel->command.out);
	state_put_u32(writer, channel->command.length);
	state_put_bytes(writer, channel->buffer, bytes_in_buffer(channel));
}

/* ---- Loading ---- */

static bool is_pio(enum ide_phase phase)
{
	return phase == IDE_DATA_IN || phase == IDE_DATA_OUT;
}

static bool is_dma(enum ide_phase phase)
{
	return phase == IDE_DMA_IN || phase == IDE_DMA_OUT;
}

/* What the phases rely on. */
static bool is_whole(const struct ide_channel *c)
{
	bool cd = c->drives[c->selected].identity.kind == IDE_CD;
	bool outward = c->phase == IDE_DATA_OUT || c->phase == IDE_DMA_OUT;

	if (c->under_way != (c->phase == IDE_DRIVE) && c->phase != IDE_RESET) {
		return false;
	}
	if (!c->under_way && (c->phase == IDE_IDLE || c->phase == IDE_RESET)) {
		return true; /* what is left of the last command is looked at no more */
	}
	if (c->drives[c->selected].identity.kind == IDE_NONE) {
		return false;
	}
	if (c->block != 0 && c->block != (cd ? IDE_CD_BLOCK : IDE_SECTOR)) {
		return false;
	}
	if (c->part > c->left || c->lba >= LBA_END || (!cd && c->left > BLOCKS_MAX) ||
	    c->length > IDE_BUFFER_BYTES ||
	    (c->length != 0 && c->block != 0 && c->length != (uint64_t)c->part * c->block)) {
		return false;
	}
	if ((c->packet && !cd) || (c->write && (cd || c->block == 0)) ||
	    (c->block == 0 && c->left != 0)) {
		return false;
	}
	if (c->phase == IDE_PACKET) {
		return c->packet && c->stop == IDE_PACKET_BYTES && c->at < c->stop;
	}
	if (is_pio(c->phase)) {
		return !c->dma && outward == c->write && c->step != 0 && c->at < c->stop &&
		       c->stop <= c->length;
	}
	if (is_dma(c->phase)) {
		return c->dma && outward == c->write && c->at < c->length;
	}
	/* A command for the home moves what the buffer is for. */
	return c->command.cdb_length <= sizeof(c->command.cdb) &&
	       c->command.length <= IDE_BUFFER_BYTES && c->command.out == c->write &&
	       (c->block == 0 || c->command.length == c->length);
}

/* Into a copy of the channel. Where the bytes of its buffer are. */
static const uint8_t *load_channel(struct ide_channel *channel, struct state_reader *part)
{
	uint64_t now = host_time(channel->ide->host);

	load_drive(&channel->drives[0], part);
	load_drive(&channel->drives[1], part);
	load_master(&channel->master, part);
	channel->selected = get_bits(part, 1);
	channel->control = state_u8(part);
	channel->interrupt = state_bool(part);
	channel->phase = (enum ide_phase)state_u8(part);
	channel->under_way = state_bool(part);
	channel->again_at = get_coming(part, now);
	channel->packet = state_bool(part);
	channel->write = state_bool(part);
	channel->dma = state_bool(part);
	channel->extended = state_bool(part);
	channel->fua = state_bool(part);
	channel->lba = state_u64(part);
	channel->left = state_u32(part);
	channel->block = state_u32(part);
	channel->part = state_u32(part);
	channel->length = state_u32(part);
	channel->at = state_u32(part);
	channel->stop = state_u32(part);
	channel->step = state_u32(part);
	state_bytes(part, channel->command.cdb, sizeof(channel->command.cdb));
	channel->command.cdb_length = state_u8(part);
	channel->command.out = state_bool(part);
	channel->command.length = state_u32(part);
	if (state_ok(part) && (channel->phase >= IDE_PHASE_COUNT || !is_whole(channel))) {
		state_refuse(part, "has a command of a drive that cannot be");
	}
	return state_ok(part) ? state_span(part, bytes_in_buffer(channel)) : NULL;
}

static void ide_save(const void *device, struct state_writer *writer)
{
	const struct ide *ide = device;
	unsigned int i;

	for (i = 0; i < IDE_CHANNELS; i++) {
		save_channel(&ide->channels[i], writer);
	}
}

static void ide_load(void *device, struct state_reader *part, bool set)
{
	struct ide *ide = device;
	struct ide_channel loaded[IDE_CHANNELS];
	const uint8_t *bytes[IDE_CHANNELS];
	unsigned int i;

	for (i = 0; i < IDE_CHANNELS; i++) {
		loaded[i] = ide->channels[i];
		bytes[i] = load_channel(&loaded[i], part);
	}
	for (i = 0; i < IDE_CHANNELS && set && state_ok(part); i++) {
		struct ide_channel *channel = &ide->channels[i];

		*channel = loaded[i];
		memcpy(channel->buffer, bytes[i], bytes_in_buffer(channel));
		channel->irq.level = ide_line(channel);
	}
}

const struct device_class ide_class = {
	.name = "ide", .version = 1, .save = ide_save, .load = ide_load};
