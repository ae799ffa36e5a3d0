/*
 * The VGA: modes as BIOSes set them, the three kinds of window, planes by latches and write modes,
 * dispi; and what is drawn of each.
 */
#include <stdlib.h>
#include <string.h>

#include "console/screen.h"
#include "include/mgmt/screen.h"
#include "tests/fake/board.h"

#define BAR 0xe0000000ull

static _Alignas(4096) uint8_t memory[VGA_MEMORY_BYTES];
static uint8_t screen[SCREEN_BYTES];
static struct picture picture;

static void set_config(unsigned int at, uint32_t value)
{
	out(0xcf8, 4, 0x80000000u | 8 << 11 | at);
	out(0xcfc, 4, value);
}

static int setup(void **state)
{
	board_setup_generation_1(state);
	board_add_vga(&board, memory);
	set_config(0x10, (uint32_t)BAR);
	set_config(0x04, 3);
	return 0;
}

static int teardown(void **state)
{
	free(picture.pixels);
	picture.pixels = NULL;
	return board_teardown(state);
}

/* ---- Modes, with the registers of IBM's tables ---- */

struct mode {
	uint8_t misc, sequencer[4], crtc[25], graphics[9], attribute[20];
};

static const struct mode text_3 = {
	0x67,
	{0x00, 0x03, 0x00, 0x02},
	{0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0x00,
	 0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff},
	{0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0e, 0x0f, 0xff},
	{0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39,
	 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x0c, 0x00, 0x0f, 0x08},
};
static const struct mode cga_4 = {
	0x63,
	{0x09, 0x03, 0x00, 0x02},
	{0x2d, 0x27, 0x28, 0x90, 0x2b, 0x80, 0xbf, 0x1f, 0x00, 0xc1, 0x00, 0x00, 0x00,
	 0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x14, 0x00, 0x96, 0xb9, 0xa2, 0xff},
	{0x00, 0x00, 0x00, 0x00, 0x00, 0x30, 0x0f, 0x0f, 0xff},
	{0x00, 0x13, 0x15, 0x17, 0x02, 0x04, 0x06, 0x07, 0x10, 0x11,
	 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x01, 0x00, 0x03, 0x00},
};
static const struct mode planar_12 = {
	0xe3,
	{0x01, 0x0f, 0x00, 0x06},
	{0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0x0b, 0x3e, 0x00, 0x40, 0x00, 0x00, 0x00,
	 0x00, 0x00, 0x00, 0xea, 0x8c, 0xdf, 0x28, 0x00, 0xe7, 0x04, 0xe3, 0xff},
	{0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x05, 0x0f, 0xff},
	{0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39,
	 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x01, 0x00, 0x0f, 0x00},
};
static const struct mode linear_13 = {
	0x63,
	{0x01, 0x0f, 0x00, 0x0e},
	{0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0x00, 0x41, 0x00, 0x00, 0x00,
	 0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x28, 0x40, 0x96, 0xb9, 0xa3, 0xff},
	{0x00, 0x00, 0x00, 0x00, 0x00, 0x40, 0x05, 0x0f, 0xff},
	{0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09,
	 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x41, 0x00, 0x0f, 0x00},
};

static void index_put(uint16_t port, uint8_t index, uint8_t value)
{
	outb(port, index);
	outb((uint16_t)(port + 1), value);
}

static void set_mode(const struct mode *mode)
{
	unsigned int i;

	outb(0x3c2, mode->misc);
	for (i = 0; i < 4; i++) {
		index_put(0x3c4, (uint8_t)(i + 1), mode->sequencer[i]);
	}
	index_put(0x3d4, 0x11, 0); /* the others are protected by it */
	for (i = 0; i < 25; i++) {
		index_put(0x3d4, (uint8_t)i, mode->crtc[i]);
	}
	for (i = 0; i < 9; i++) {
		index_put(0x3ce, (uint8_t)i, mode->graphics[i]);
	}
	(void)inb(0x3da);
	for (i = 0; i < 20; i++) {
		outb(0x3c0, (uint8_t)i);
		outb(0x3c0, mode->attribute[i]);
	}
	outb(0x3c0, 0x20);
	outb(0x3c8, 0);
	for (i = 0; i < 256; i++) { /* red, green and blue of a colour tell its number */
		outb(0x3c9, (uint8_t)(i & 63));
		outb(0x3c9, (uint8_t)(i >> 6 & 3));
		outb(0x3c9, 63);
	}
}

/* ---- What a guest sees at an address, and what is drawn ---- */

/* The home's mapping there, or NULL: it comes to the board. */
static uint8_t *mapped(uint64_t gpa)
{
	unsigned int i;

	for (i = 0; i < FAKE_MAPPINGS; i++) {
		if (home.mappings[i].length != 0 &&
		    gpa - home.mappings[i].gpa < home.mappings[i].length) {
			return home.mappings[i].pages + (gpa - home.mappings[i].gpa);
		}
	}
	return NULL;
}

static void put(uint64_t gpa, uint8_t value)
{
	uint8_t *to = mapped(gpa);

	if (to != NULL) {
		*to = value;
	} else {
		board_memory_write(&board, gpa, 1, value);
	}
}

static uint8_t get(uint64_t gpa)
{
	return mapped(gpa) != NULL ? *mapped(gpa) : (uint8_t)board_memory_read(&board, gpa, 1);
}

static void draw(void)
{
	struct screen *to = (struct screen *)screen;
	struct vga_registers r;
	enum vga_window window;

	assert_true(board_look(&board, &r, &window));
	*to = (struct screen){
		.magic = SCREEN_MAGIC, .text_window = window == VGA_TEXT, .mask = r.mask};
	memcpy(to->sequencer, r.sequencer, 8);
	memcpy(to->crtc, r.crtc, 32);
	memcpy(to->graphics, r.graphics, 16);
	memcpy(to->attribute, r.attribute, 32);
	memcpy(to->palette, r.palette, 768);
	memcpy(to->dispi, r.dispi, sizeof(to->dispi));
	memcpy(screen + SCREEN_FRAME_AT, memory, VGA_MEMORY_BYTES);
	free(picture.pixels);
	picture.pixels = NULL;
	assert_null(screen_draw(screen, sizeof(screen), &picture));
}

/* The palette's number of a pixel, by the colours that set_mode() has set. */
static unsigned int pixel(unsigned int x, unsigned int y)
{
	const uint8_t *at = &picture.pixels[3 * (y * picture.width + x)];

	assert_true(x < picture.width && y < picture.height);
	return at[0] >> 2 | (at[1] >> 2 & 3) << 6;
}

/* ---- Tests ---- */

static void text_is_without_exits(void **state)
{
	unsigned int row;

	(void)state;
	set_mode(&text_3);
	assert_ptr_equal(mapped(0xb8000), memory + VGA_FRAME_BYTES);
	assert_null(mapped(0xa0000));
	put(0xb8000 + 2 * 81, 'A');
	put(0xb8000 + 2 * 81 + 1, 0x1e);
	/* A font, as a BIOS loads one: plane 2, in sequence, at 0xA0000. */
	index_put(0x3c4, 2, 4);
	index_put(0x3c4, 4, 7);
	index_put(0x3ce, 5, 0);
	index_put(0x3ce, 6, 4);
	assert_null(mapped(0xb8000));
	for (row = 0; row < 16; row++) {
		put(0xa0000 + 'A' * 32 + row, row == 3 ? 0x81 : 0);
	}
	index_put(0x3c4, 2, 3);
	index_put(0x3c4, 4, 2);
	index_put(0x3ce, 5, 0x10);
	index_put(0x3ce, 6, 0x0e);
	assert_int_equal(get(0xb8000 + 2 * 81), 'A');
	draw();
	assert_int_equal(picture.width, 720);
	assert_int_equal(picture.height, 400);
	assert_int_equal(pixel(9, 16 + 3), 0x3e);
	assert_int_equal(pixel(10, 16 + 3), 1);
	assert_int_equal(pixel(16, 16 + 3), 0x3e);
	assert_int_equal(pixel(17, 16 + 3), 1);
	assert_int_equal(pixel(18, 16 + 3), 0);
	assert_int_equal(pixel(9, 16 + 4), 1);
	index_put(0x3d4, 0x0f, 2); /* the cursor, in the third cell */
	put(0xb8005, 7);
	draw();
	assert_int_equal(pixel(18, 14), 7);
	assert_int_equal(pixel(18, 12), 0);
}

static void text_goes_to_planes_and_back(void **state)
{
	(void)state;
	set_mode(&text_3);
	put(0xb8000 + 10, 'x');
	put(0xb8000 + 11, 0x17);
	index_put(0x3c4, 4, 6); /* planes in sequence */
	index_put(0x3ce, 5, 0);
	index_put(0x3ce, 6, 5);
	assert_int_equal(get(0xa0005), 'x');
	index_put(0x3ce, 4, 1);
	assert_int_equal(get(0xa0005), 0x17);
	index_put(0x3c4, 2, 2);
	put(0xa0005, 0x71);
	set_mode(&text_3);
	assert_int_equal(get(0xb8000 + 11), 0x71);
}

static void cga_has_odd_lines_elsewhere(void **state)
{
	(void)state;
	set_mode(&cga_4);
	assert_non_null(mapped(0xb8000));
	put(0xb8000 + 80 + 1, 0x1b); /* line 2, pixels 4 to 7: 0 1 2 3 */
	put(0xb8000 + 0x2000, 0xc0); /* line 1, pixel 0 */
	draw();
	assert_int_equal(picture.width, 640);
	assert_int_equal(picture.height, 400);
	assert_int_equal(pixel(2 * 4, 2 * 2), 0);
	assert_int_equal(pixel(2 * 5, 2 * 2), 0x13);
	assert_int_equal(pixel(2 * 6, 2 * 2 + 1), 0x15);
	assert_int_equal(pixel(2 * 7, 2 * 2), 0x17);
	assert_int_equal(pixel(0, 2 * 1), 0x17);
	assert_int_equal(pixel(0, 0), 0);
	assert_int_equal(pixel(2, 2 * 1), 0);
}

static void planes_by_latches(void **state)
{
	(void)state;
	set_mode(&planar_12);
	assert_null(mapped(0xa0000));
	put(0xa0000, 0xf0); /* all four planes */
	draw();
	assert_int_equal(picture.width, 640);
	assert_int_equal(picture.height, 480);
	assert_int_equal(pixel(3, 0), 0x3f);
	assert_int_equal(pixel(4, 0), 0);
	index_put(0x3ce, 8, 0x0f); /* the lower pixels alone */
	index_put(0x3ce, 0, 5);    /* set to colour 5 */
	index_put(0x3ce, 1, 0x0f);
	(void)get(0xa0000);
	put(0xa0000, 0);
	draw();
	assert_int_equal(pixel(0, 0), 0x3f);
	assert_int_equal(pixel(5, 0), 5);
	index_put(0x3ce, 5, 0x08); /* read mode 1: which pixels are of colour 5? */
	index_put(0x3ce, 2, 5);
	index_put(0x3ce, 7, 0x0f);
	assert_int_equal(get(0xa0000), 0x0f);
	index_put(0x3ce, 5, 0x01); /* write mode 1: the latches */
	(void)get(0xa0000);
	put(0xa0050, 0x12);
	draw();
	assert_int_equal(pixel(7, 1), 5);
	assert_int_equal(pixel(0, 1), 0x3f);
	index_put(0x3ce, 5, 0x02); /* write mode 2: a colour, by the bit mask */
	index_put(0x3ce, 8, 0x80);
	(void)get(0xa0000);
	put(0xa0000, 2);
	index_put(0x3ce, 5, 0x03); /* write mode 3: where bits are set */
	index_put(0x3ce, 8, 0xff);
	index_put(0x3ce, 0, 4);
	(void)get(0xa0000);
	put(0xa0000, 0x40);
	draw();
	assert_int_equal(pixel(0, 0), 2);
	assert_int_equal(pixel(1, 0), 4);
	assert_int_equal(pixel(2, 0), 0x3f);
	index_put(0x3ce, 5, 0);
	index_put(0x3ce, 1, 0);
	index_put(0x3ce, 3, 0x18 | 1); /* exclusive or, turned by one */
	(void)get(0xa0000);
	put(0xa0000, 0x04);
	draw();
	assert_int_equal(pixel(6, 0), 0x38 | 2); /* 5 ^ 15 is 10 */
	index_put(0x3d4, 0x0d, 80);              /* one line further down */
	draw();
	assert_int_equal(pixel(7, 0), 5);
}

static void chain_4_and_mode_x(void **state)
{
	(void)state;
	set_mode(&linear_13);
	assert_ptr_equal(mapped(0xa0000), memory);
	put(0xa0000 + 320 * 100 + 7, 200);
	draw();
	assert_int_equal(picture.width, 640);
	assert_int_equal(picture.height, 400);
	assert_int_equal(pixel(14, 200), 200);
	assert_int_equal(pixel(15, 201), 200);
	assert_int_equal(pixel(16, 200), 0);
	index_put(0x3c4, 4, 6); /* no chain: four pixels at an address */
	assert_null(mapped(0xa0000));
	index_put(0x3c4, 2, 1 << 2);
	put(0xa0000 + 80 * 100 + 1, 77);
	draw();
	assert_int_equal(pixel(2 * 6, 200), 77);
	assert_int_equal(pixel(14, 200), 200);
}

static void dispi_put(uint16_t index, uint16_t value)
{
	out(0x1ce, 2, index);
	out(0x1cf, 2, value);
}

static void linear_modes(void **state)
{
	uint32_t colour = 0x00336699;

	(void)state;
	set_mode(&text_3); /* from which a BIOS comes */
	out(0x1ce, 2, 0);
	assert_int_equal(in(0x1cf, 2), 0xb0c5);
	dispi_put(1, 800);
	dispi_put(2, 600);
	dispi_put(3, 32);
	dispi_put(4, 0x41);
	out(0x1ce, 2, 7);
	assert_int_equal(in(0x1d0, 2), VGA_FRAME_BYTES / 3200);
	assert_ptr_equal(mapped(BAR), memory);
	memcpy(mapped(BAR + 4 * (800 * 20 + 30)), &colour, 4);
	draw();
	assert_int_equal(picture.width, 800);
	assert_int_equal(picture.height, 600);
	assert_memory_equal(&picture.pixels[3 * (800 * 20 + 30)], "\x33\x66\x99", 3);
	dispi_put(9, 20); /* from line 20 on */
	draw();
	assert_memory_equal(&picture.pixels[3 * 30], "\x33\x66\x99", 3);
	dispi_put(5, 2); /* the third bank, at 0xA0000 */
	assert_ptr_equal(mapped(0xa0000), memory + 2 * 65536);
	dispi_put(5, 0xffff);
	assert_in_range(mapped(0xa0000) - memory, 0, VGA_FRAME_BYTES - 65536);
	dispi_put(1, 4000); /* a mode is not changed while it is on, nor is there such a one */
	out(0x1ce, 2, 1);
	assert_int_equal(in(0x1cf, 2), 800);
	dispi_put(4, 0);
	dispi_put(1, 4000);
	out(0x1ce, 2, 1);
	assert_int_equal(in(0x1cf, 2), 800);
	dispi_put(4, 2);
	assert_int_equal((out(0x1ce, 2, 1), in(0x1cf, 2)), 2560);
}

static void registers_read_back(void **state)
{
	unsigned int i, seen = 0;

	(void)state;
	set_mode(&text_3);
	assert_int_equal(inb(0x3cc), 0x67);
	outb(0x3d4, 9);
	assert_int_equal(inb(0x3d5), 0x4f);
	assert_int_equal(inb(0x3b5), 0xff); /* it is no monochrome one */
	index_put(0x3d4, 0, 0);             /* protected */
	assert_int_equal(inb(0x3d5), 0x5f);
	outb(0x3c7, 255);
	assert_int_equal(inb(0x3c9), 63);
	assert_int_equal(inb(0x3c9), 3);
	for (i = 0; i < 1000; i++) { /* the retrace comes and goes */
		seen |= 1u << (inb(0x3da) & 9);
		pass(33000);
	}
	assert_int_equal(seen, 1u << 0 | 1u << 1 | 1u << 9);
}

static void what_cannot_be_drawn(void **state)
{
	struct screen *s = (struct screen *)screen;

	(void)state;
	memset(screen, 0xff, sizeof(screen));
	assert_non_null(screen_draw(screen, sizeof(screen), &picture));
	assert_non_null(screen_draw(screen, 100, &picture));
	s->magic = SCREEN_MAGIC;
	assert_non_null(screen_draw(screen, sizeof(screen), &picture)); /* 65535 wide */
	s->dispi[SCREEN_DISPI_ENABLE] = 0;
	if (screen_draw(screen, sizeof(screen), &picture) == NULL) {
		assert_non_null(picture.pixels);
	}
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(text_is_without_exits),       T(text_goes_to_planes_and_back),
		T(cga_has_odd_lines_elsewhere), T(planes_by_latches),
		T(chain_4_and_mode_x),          T(linear_modes),
		T(registers_read_back),         T(what_cannot_be_drawn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
