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

/* Inputs 0, 1, 2, 8 and 13 are edge-triggered for ever. */
#define MASTER_ELCR 0xf8
#define SLAVE_ELCR  0xde

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
		/* A request that is gone before it is acknowledged is lost, for edges too. */
		chip->irr &= (uint8_t)~bit;
		return;
	}
	if ((chip->elcr & bit) || !(chip->lines & bit)) {
		chip->irr |= bit;
	}
	chip->lines |= bit;
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

static void elcr_write(void *device, uint32_t offset, unsigned int size, uint64_t value)
{
	struct pic *pic = device;

	(void)size;
	pic->chips[offset].elcr = (uint8_t)(value & (offset == 0 ? MASTER_ELCR : SLAVE_ELCR));
	update(pic);
}

static void save_chip(const struct pic_chip *chip, struct state_writer *writer)
{
	state_put_u8(writer, chip->irr);
	state_put_u8(writer, chip->imr);
	state_put_u8(writer, chip->isr);
	state_put_u8(writer, chip->elcr);
	state_put_u8(writer, chip->base);
	state_put_u8(writer, chip->lowest);
	state_put_u8(writer, chip->init_step);
	state_put_bool(writer, chip->need_icw4);
	state_put_bool(writer, chip->auto_eoi);
	state_put_bool(writer, chip->rotate_auto_eoi);
	state_put_bool(writer, chip->special_mask);
	state_put_bool(writer, chip->special_nested);
	state_put_bool(writer, chip->read_isr);
	state_put_bool(writer, chip->poll);
}

static void load_chip(struct pic_chip *chip, struct state_reader *part, uint8_t elcr)
{
	chip->irr = state_u8(part);
	chip->imr = state_u8(part);
	chip->isr = state_u8(part);
	chip->elcr = get_bits(part, elcr);
	chip->base = get_bits(part, 0xf8);
	chip->lowest = get_bits(part, 0x07);
	chip->init_step = state_u8(part);
	chip->need_icw4 = state_bool(part);
	chip->auto_eoi = state_bool(part);
	chip->rotate_auto_eoi = state_bool(part);
	chip->special_mask = state_bool(part);
	chip->special_nested = state_bool(part);
	chip->read_isr = state_bool(part);
	chip->poll = state_bool(part);
	if (chip->init_step > 4 || chip->init_step == 1) {
		state_refuse(part, "waits for an ICW that does not exist");
	}
}

static void pic_save(const void *device, struct state_writer *writer)
{
	const struct pic *pic = device;

	save_chip(&pic->chips[0], writer);
	save_chip(&pic->chips[1], writer);
}

static void pic_load(void *device, struct state_reader *part, bool set)
{
	struct pic *pic = device, loaded = *pic;

	load_chip(&loaded.chips[0], part, MASTER_ELCR);
	load_chip(&loaded.chips[1], part, SLAVE_ELCR);
	if (set && state_ok(part)) {
		*pic = loaded;
	}
}

/* A request without a line is none; the slave's output is a line like others. */
void pic_restore(struct pic *pic, uint16_t lines)
{
	struct pic_chip *master = &pic->chips[0], *slave = &pic->chips[1];

	slave->lines = (uint8_t)(lines >> 8);
	slave->irr &= slave->lines;
	master->lines = (uint8_t)(lines & ~(1u << CASCADE));
	if (chip_request(slave, false) >= 0) {
		master->lines |= 1u << CASCADE;
	}
	master->irr &= master->lines;
	pic->output = chip_request(master, true) >= 0;
}

const struct device_class pic_master_class = {.name = "pic",
					      .width = 1,
					      .read = master_read,
					      .write = master_write,
					      .version = 1,
					      .save = pic_save,
					      .load = pic_load};
const struct device_class pic_slave_class = {
	.name = "pic-slave", .width = 1, .read = slave_read, .write = slave_write};
const struct device_class pic_elcr_class = {
	.name = "elcr", .width = 1, .read = elcr_read, .write = elcr_write};
