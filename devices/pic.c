/*
 * Two 8259A in cascade (Intel 8259A data sheet), as in the PC/AT: master at 0x20, slave at 0xA0 on
 * the master's input 2, and the edge/level control registers at 0x4D0 of the later chip sets.
 *
 * An input's request is kept in irr until it is acknowledged (edge) or until the line falls
 * (level). Priorities are counted from the input after `lowest`.
 */
#include "devices/parts.h"

#include <string.h>

#define CASCADE 2

/* Position of the highest priority bit set, 0 to 7, or 8 if there is none. */
static unsigned int highest(const struct pic_chip *chip, uint8_t bits)
{
	unsigned int at;

	for (at = 0; at < 8; at++) {
		if (bits & (1u << ((chip->lowest + 1 + at) & 7))) {
			return at;
		}
	}
	return 8;
}

/* The input that asks for service now, or -1. */
static int chip_request(const struct pic_chip *chip, bool master)
{
	uint8_t in_service = chip->isr;
	unsigned int at = highest(chip, chip->irr & (uint8_t)~chip->imr);

	if (chip->special_mask) {
		in_service &= (uint8_t)~chip->imr;
	}
	/* Special fully nested mode: further requests of the slave come through while one of its
	 * inputs is in service. */
	if (master && chip->special_nested) {
		in_service &= (uint8_t) ~(1u << CASCADE);
	}
	if (at >= highest(chip, in_service)) {
		return -1;
	}
	return (int)((chip->lowest + 1 + at) & 7);
}

static void chip_set_line(struct pic_chip *chip, unsigned int line, bool level)
{
	uint8_t bit = (uint8_t)(1u << line);

	if (!level) {
		chip->lines &= (uint8_t)~bit;
		chip->last_lines &= (uint8_t)~bit;
		/* A request that is gone before it is acknowledged is lost, for edges too. */
		chip->irr &= (uint8_t)~bit;
		return;
	}
	chip->lines |= bit;
	if ((chip->elcr & bit) || !(chip->last_lines & bit)) {
		chip->irr |= bit;
	}
	chip->last_lines |= bit;
}

static void update(struct pic *pic)
{
	bool output;

	chip_set_line(&pic->chips[0], CASCADE, chip_request(&pic->chips[1], false) >= 0);
	output = chip_request(&pic->chips[0], true) >= 0;
	if (output != pic->output) {
		pic->output = output;
		host_extint(pic->host, output);
	}
}

void pic_set_line(struct pic *pic, unsigned int line, bool level)
{
	if (line == CASCADE) {
		return;
	}
	chip_set_line(&pic->chips[line / 8], line % 8, level);
	update(pic);
}

static void chip_end(struct pic_chip *chip, int line, bool rotate)
{
	unsigned int at = highest(chip, chip->isr);

	if (line < 0) {
		if (at == 8) {
			return;
		}
		line = (int)((chip->lowest + 1 + at) & 7);
	}
	chip->isr &= (uint8_t) ~(1u << line);
	if (rotate) {
		chip->lowest = (uint8_t)line;
	}
}

/*
 * Takes the request into service; the vector, with input 7 when the request has gone ("spurious").
 */
static uint8_t chip_acknowledge(struct pic_chip *chip, bool master)
{
	int line = chip_request(chip, master);

	if (line < 0) {
		return chip->base + 7;
	}
	if (!(chip->elcr & (1u << line))) {
		chip->irr &= (uint8_t) ~(1u << line);
	}
	if (!chip->auto_eoi) {
		chip->isr |= (uint8_t)(1u << line);
	} else if (chip->rotate_auto_eoi) {
		chip->lowest = (uint8_t)line;
	}
	return (uint8_t)(chip->base + line);
}

uint8_t pic_acknowledge(struct pic *pic)
{
	struct pic_chip *master = &pic->chips[0];
	bool slave = chip_request(master, true) == CASCADE;
	uint8_t vector = chip_acknowledge(master, true);

	if (slave) {
		vector = chip_acknowledge(&pic->chips[1], false);
		/* The slave's output falls for a moment: its next request is an edge again. */
		chip_set_line(master, CASCADE, false);
	}
	update(pic);
	return vector;
}

static void chip_reset(struct pic_chip *chip)
{
	uint8_t lines = chip->lines, elcr = chip->elcr;

	memset(chip, 0, sizeof(*chip));
	chip->lines = lines;
	chip->last_lines = lines;
	chip->elcr = elcr;
	chip->irr = lines & elcr;
	chip->lowest = 7;
}

void pic_reset(struct pic *pic)
{
	unsigned int i;

	for (i = 0; i < 2; i++) {
		pic->chips[i].elcr = 0;
		pic->chips[i].lines = 0;
		chip_reset(&pic->chips[i]);
		pic->chips[i].imr = 0xff;
	}
	pic->output = false;
}

static void write_icw1(struct pic_chip *chip, uint8_t value)
{
	chip_reset(chip);
	chip->need_icw4 = value & 1;
	chip->init_step = 2;
}

static void write_ocw2(struct pic_chip *chip, uint8_t value)
{
	int line = value & 7;

	switch (value >> 5) {
	case 0: /* rotate in automatic EOI: clear */
	case 4: /* set */
		chip->rotate_auto_eoi = value >> 7;
		break;
	case 1: /* non-specific EOI */
	case 5: /* with rotation */
		chip_end(chip, -1, value >> 7);
		break;
	case 3: /* specific EOI */
	case 7: /* with rotation */
		chip_end(chip, line, value >> 7);
		break;
	case 6: /* set priority */
		chip->lowest = (uint8_t)line;
		break;
	default: /* 2: no operation */
		break;
	}
}

static void write_ocw3(struct pic_chip *chip, uint8_t value)
{
	chip->poll = value & 4;
	if (value & 2) {
		chip->read_isr = value & 1;
	}
	if (value & 0x40) {
		chip->special_mask = value & 0x20;
	}
}

static void write_data(struct pic_chip *chip, uint8_t value)
{
	switch (chip->init_step) {
	case 2:
		chip->base = value & 0xf8;
		chip->init_step = 3;
		break;
	case 3: /* how the chips are wired together is known */
		chip->init_step = chip->need_icw4 ? 4 : 0;
		break;
	case 4:
		chip->auto_eoi = value & 2;
		chip->special_nested = value & 0x10;
		chip->init_step = 0;
		break;
	default:
		chip->imr = value;
		break;
	}
}

static void chip_write(struct pic *pic, unsigned int which, uint32_t offset, uint32_t value)
{
	struct pic_chip *chip = &pic->chips[which];

	if (offset == 1) {
		write_data(chip, (uint8_t)value);
	} else if (value & 0x10) {
		write_icw1(chip, (uint8_t)value);
	} else if (value & 0x08) {
		write_ocw3(chip, (uint8_t)value);
	} else {
		write_ocw2(chip, (uint8_t)value);
	}
	update(pic);
}

static uint32_t chip_read(struct pic *pic, unsigned int which, uint32_t offset)
{
	struct pic_chip *chip = &pic->chips[which];

	if (chip->poll) {
		bool request = chip_request(chip, which == 0) >= 0;
		uint8_t vector = chip_acknowledge(chip, which == 0);

		chip->poll = false;
		update(pic);
		return request ? 0x80u | (vector & 7u) : 0;
	}
	if (offset == 1) {
		return chip->imr;
	}
	return chip->read_isr ? chip->isr : chip->irr;
}

static uint64_t master_read(void *device, uint32_t offset, unsigned int size)
{
	(void)size;
	return chip_read(device, 0, offset);
}

static void master_write(void *device, uint32_t offset, unsigned int size, uint64_t value)
{
	(void)size;
	chip_write(device, 0, offset, value);
}

static uint64_t slave_read(void *device, uint32_t offset, unsigned int size)
{
	(void)size;
	return chip_read(device, 1, offset);
}

static void slave_write(void *device, uint32_t offset, unsigned int size, uint64_t value)
{
	(void)size;
	chip_write(device, 1, offset, value);
}

static uint64_t elcr_read(void *device, uint32_t offset, unsigned int size)
{
	const struct pic *pic = device;

	(void)size;
	return pic->chips[offset].elcr;
}

/* Inputs 0, 1, 2, 8 and 13 are edge-triggered for ever. */
static void elcr_write(void *device, uint32_t offset, unsigned int size, uint64_t value)
{
	struct pic *pic = device;

	(void)size;
	pic->chips[offset].elcr = (uint8_t)(value & (offset == 0 ? 0xf8 : 0xde));
	update(pic);
}

const struct device_class pic_master_class = {"pic", 1, master_read, master_write};
const struct device_class pic_slave_class = {"pic-slave", 1, slave_read, slave_write};
const struct device_class pic_elcr_class = {"elcr", 1, elcr_read, elcr_write};
