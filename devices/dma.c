/* Intel 8237A data sheet; its place in a PC/AT: 82371AB (PIIX4) data sheet, 4.2.1. See dma.h. */
#include "devices/dma.h"

#include <string.h>

#include "devices/parts.h"

/* Registers by their number; the second chip's are at every other port. */
#define DMA_STATUS     8 /* read */
#define DMA_COMMAND    8 /* write */
#define DMA_REQUEST    9
#define DMA_MASK_ONE   10
#define DMA_MODE       11
#define DMA_FLIP_FLOP  12
#define DMA_CLEAR      13
#define DMA_UNMASK_ALL 14
#define DMA_MASK_ALL   15
#define COMMAND_OFF    0x04
#define MASK_SET       0x04
#define MODE_TYPE      0x0c
#define MODE_TO_MEMORY 0x04
#define MODE_OF_MEMORY 0x08
#define MODE_AUTO      0x10
#define MODE_DOWN      0x20
#define MODE_KIND      0xc0
#define MODE_CASCADE   0xc0
#define CHANNEL_BITS   0x03
#define ALL_CHANNELS   0x0f

static void look(struct dma *dma)
{
	if (dma->look != NULL) {
		dma->look(dma->device);
	}
}

static uint64_t chip_read(struct dma *dma, unsigned int which, unsigned int at)
{
	struct dma_chip *chip = &dma->chips[which];
	const struct dma_channel *channel = &chip->channels[at / 2 % 4];
	uint16_t word;
	uint8_t value;

	look(dma);
	if (at < DMA_STATUS) {
		word = at % 2 ? channel->count : channel->address;
		value = (uint8_t)(chip->high ? word >> 8 : word);
		chip->high = !chip->high;
		return value;
	}
	switch (at) {
	case DMA_STATUS:
		value = chip->ended;
		chip->ended = 0;
		return value;
	case DMA_CLEAR: /* what memory to memory moved last */
		return 0;
	case DMA_MASK_ALL:
		return chip->mask | 0xf0;
	default:
		return 0xff;
	}
}

static void put_byte(uint16_t *word, bool high, uint8_t value)
{
	*word = (uint16_t)(high ? (*word & 0xff) | value << 8 : (*word & 0xff00) | value);
}

static void clear(struct dma_chip *chip)
{
	chip->command = chip->ended = 0;
	chip->high = false;
	chip->mask = ALL_CHANNELS;
}

static void set_register(struct dma_chip *chip, unsigned int at, uint8_t value)
{
	uint8_t bit = (uint8_t)(1u << (value & CHANNEL_BITS));

	switch (at) {
	case DMA_COMMAND:
		chip->command = value;
		break;
	case DMA_MASK_ONE:
		chip->mask = (uint8_t)(value & MASK_SET ? chip->mask | bit : chip->mask & ~bit);
		break;
	case DMA_MODE:
		chip->channels[value & CHANNEL_BITS].mode = value & (uint8_t)~CHANNEL_BITS;
		break;
	case DMA_FLIP_FLOP:
		chip->high = false;
		break;
	case DMA_CLEAR:
		clear(chip);
		break;
	case DMA_UNMASK_ALL:
		chip->mask = 0;
		break;
	case DMA_MASK_ALL:
		chip->mask = value & ALL_CHANNELS;
		break;
	default: /* DMA_REQUEST */
		break;
	}
}

static void chip_write(struct dma *dma, unsigned int which, unsigned int at, uint8_t value)
{
	struct dma_chip *chip = &dma->chips[which];
	struct dma_channel *channel = &chip->channels[at / 2 % 4];

	look(dma);
	if (at < DMA_STATUS) {
		put_byte(at % 2 ? &channel->base_count : &channel->base_address, chip->high, value);
		put_byte(at % 2 ? &channel->count : &channel->address, chip->high, value);
		chip->high = !chip->high;
	} else {
		set_register(chip, at, value);
	}
	look(dma);
}

static uint64_t first_read(void *device, uint32_t offset, unsigned int size)
{
	(void)size;
	return chip_read(device, 0, offset);
}

static void first_write(void *device, uint32_t offset, unsigned int size, uint64_t value)
{
	(void)size;
	chip_write(device, 0, offset, (uint8_t)value);
}

static uint64_t second_read(void *device, uint32_t offset, unsigned int size)
{
	(void)size;
	return chip_read(device, 1, offset / 2);
}

static void second_write(void *device, uint32_t offset, unsigned int size, uint64_t value)
{
	(void)size;
	chip_write(device, 1, offset / 2, (uint8_t)value);
}

static uint64_t page_read(void *device, uint32_t offset, unsigned int size)
{
	const struct dma *dma = device;

	(void)size;
	return dma->pages[offset];
}

static void page_write(void *device, uint32_t offset, unsigned int size, uint64_t value)
{
	struct dma *dma = device;

	(void)size;
	look(dma);
	dma->pages[offset] = (uint8_t)value;
}

/* ---- moving ---- */

static uint64_t address_of(const struct dma *dma, unsigned int channel)
{
	static const uint8_t pages[] = {0x87, 0x83, 0x81, 0x82, 0x8f, 0x8b, 0x89, 0x8a};
	uint64_t page = dma->pages[pages[channel] - 0x81];
	uint64_t at = dma->chips[channel / 4].channels[channel % 4].address;

	/* Of words the page's lowest bit is the address's highest. */
	return channel < 4 ? page << 16 | at : (page & 0xfe) << 16 | at << 1;
}

/* As many units as lie behind each other. */
static void move_run(struct dma *dma, unsigned int channel, uint8_t *bytes, uint32_t length,
		     bool to_memory)
{
	uint8_t type = dma->chips[channel / 4].channels[channel % 4].mode & MODE_TYPE;
	uint64_t gpa = address_of(dma, channel);

	if (to_memory && type == MODE_TO_MEMORY) {
		(void)host_memory_write(dma->host, gpa, bytes, length);
	} else if (!to_memory &&
		   (type != MODE_OF_MEMORY || !host_memory_read(dma->host, gpa, bytes, length))) {
		memset(bytes, 0xff, length);
	}
}

/* The count's end. */
static void end(struct dma_chip *chip, unsigned int which)
{
	struct dma_channel *channel = &chip->channels[which];

	chip->ended |= (uint8_t)(1u << which);
	if (channel->mode & MODE_AUTO) {
		channel->address = channel->base_address;
		channel->count = channel->base_count;
	} else {
		chip->mask |= (uint8_t)(1u << which);
	}
}

uint32_t dma_move(struct dma *dma, unsigned int channel, void *bytes, uint32_t length,
		  bool to_memory)
{
	struct dma_chip *chip = &dma->chips[channel / 4];
	struct dma_channel *at = &chip->channels[channel % 4];
	unsigned int unit = channel < 4 ? 1 : 2;
	uint32_t done = 0, count;

	while (done < length && !(chip->mask >> channel % 4 & 1) &&
	       !(chip->command & COMMAND_OFF) && (at->mode & MODE_KIND) != MODE_CASCADE) {
		count = (length - done) / unit;
		count = count < at->count + 1u ? count : at->count + 1u;
		count = count < 0x10000u - at->address ? count : 0x10000u - at->address;
		count = at->mode & MODE_DOWN ? 1 : count;
		move_run(dma, channel, (uint8_t *)bytes + done, count * unit, to_memory);
		done += count * unit;
		at->address = (uint16_t)(at->address + (at->mode & MODE_DOWN ? 0xffffu : count));
		at->count = (uint16_t)(at->count - count);
		if (at->count == 0xffff) {
			end(chip, channel % 4);
			if (!(at->mode & MODE_AUTO)) {
				break;
			}
		}
	}
	return done;
}

void dma_reset(struct dma *dma)
{
	memset(dma->chips, 0, sizeof(dma->chips));
	memset(dma->pages, 0, sizeof(dma->pages));
	clear(&dma->chips[0]);
	clear(&dma->chips[1]);
}

/* ---- state ---- */

static void dma_save(const void *device, struct state_writer *writer)
{
	const struct dma *dma = device;
	unsigned int i, j;

	for (i = 0; i < 2; i++) {
		const struct dma_chip *chip = &dma->chips[i];

		for (j = 0; j < 4; j++) {
			state_put_u16(writer, chip->channels[j].base_address);
			state_put_u16(writer, chip->channels[j].base_count);
			state_put_u16(writer, chip->channels[j].address);
			state_put_u16(writer, chip->channels[j].count);
			state_put_u8(writer, chip->channels[j].mode);
		}
		state_put_u8(writer, chip->command);
		state_put_u8(writer, chip->mask);
		state_put_u8(writer, chip->ended);
		state_put_u8(writer, chip->high);
	}
	state_put_bytes(writer, dma->pages, sizeof(dma->pages));
}

static void load_chip(struct dma_chip *chip, struct state_reader *part)
{
	unsigned int j;

	for (j = 0; j < 4; j++) {
		chip->channels[j].base_address = state_u16(part);
		chip->channels[j].base_count = state_u16(part);
		chip->channels[j].address = state_u16(part);
		chip->channels[j].count = state_u16(part);
		chip->channels[j].mode = get_bits(part, (uint8_t)~CHANNEL_BITS);
	}
	chip->command = state_u8(part);
	chip->mask = get_bits(part, ALL_CHANNELS);
	chip->ended = get_bits(part, ALL_CHANNELS);
	chip->high = get_bits(part, 1);
}

static void dma_load(void *device, struct state_reader *part, bool set)
{
	struct dma *dma = device, read = *dma;

	load_chip(&read.chips[0], part);
	load_chip(&read.chips[1], part);
	state_bytes(part, read.pages, sizeof(read.pages));
	if (set && state_ok(part)) {
		*dma = read;
	}
}

const struct device_class dma_first_class = {.name = "dma",
					     .width = 1,
					     .read = first_read,
					     .write = first_write,
					     .version = 1,
					     .save = dma_save,
					     .load = dma_load};
const struct device_class dma_second_class = {
	.name = "dma", .width = 1, .read = second_read, .write = second_write};
const struct device_class dma_page_class = {
	.name = "dma-page", .width = 1, .read = page_read, .write = page_write};
