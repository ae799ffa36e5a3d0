/*
 * Tests of loader/framebuffer.c, on a screen in memory: what is drawn, where lines go, and that
 * nothing is drawn beside it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "loader/framebuffer.h"

#define WIDTH      128u /* 21 columns, 2 pixels over */
#define HEIGHT     40u  /* 4 lines of 9, 4 pixels over */
#define PIXEL      4u
#define LINE_BYTES (WIDTH * PIXEL + 16)
#define MARGIN     4096u

static uint8_t *memory;
static struct framebuffer screen;

static int setup(void **state)
{
	(void)state;
	memory = mmap(NULL, MARGIN + LINE_BYTES * HEIGHT + MARGIN, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	assert_ptr_not_equal(memory, MAP_FAILED);
	memset(memory, 0x55, MARGIN + LINE_BYTES * HEIGHT + MARGIN);
	screen = (struct framebuffer){
		.present = true,
		.base = (uintptr_t)memory + MARGIN,
		.line_bytes = LINE_BYTES,
		.width = WIDTH,
		.height = HEIGHT,
		.depth = PIXEL * 8,
	};
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return munmap(memory, MARGIN + LINE_BYTES * HEIGHT + MARGIN);
}

static void write_text(const char *text)
{
	while (*text) {
		framebuffer_put(*text++);
	}
}

static uint32_t pixel(uint32_t x, uint32_t y)
{
	uint32_t value;

	memcpy(&value, memory + MARGIN + y * LINE_BYTES + x * PIXEL, sizeof(value));
	return value;
}

static void assert_drawn(uint32_t column, uint32_t row, const char *const dots[9])
{
	for (uint32_t y = 0; y < 9; y++) {
		for (uint32_t x = 0; x < 6; x++) {
			assert_int_equal(pixel(column * 6 + x, row * 9 + y),
					 dots[y][x] == '#' ? UINT32_MAX : 0);
		}
	}
}

static const char *const letter_l[9] = {
	"#     ", "#     ", "#     ", "#     ", "#     ", "#     ", "##### ", "      ", "      ",
};

static void test_draws(void **state)
{
	(void)state;
	assert_true(framebuffer_start(&screen));
	write_text("xL\nL");
	assert_drawn(1, 0, letter_l);
	assert_drawn(0, 1, letter_l);
}

static void test_wraps_and_starts_again(void **state)
{
	(void)state;
	assert_true(framebuffer_start(&screen));
	write_text("123456789012345678901L\n\n\nLL");
	assert_drawn(0, 0, letter_l);
	assert_drawn(1, 0, letter_l);
	assert_drawn(0, 1, letter_l);
	assert_int_equal(pixel(12, 0), 0); /* the line was emptied */
}

static void test_unknown_characters(void **state)
{
	(void)state;
	assert_true(framebuffer_start(&screen));
	write_text("\x01\xff?");
	for (uint32_t x = 0; x < 6; x++) {
		assert_int_equal(pixel(x, 0), pixel(12 + x, 0));
		assert_int_equal(pixel(6 + x, 0), pixel(12 + x, 0));
	}
}

static void test_stays_inside(void **state)
{
	(void)state;
	assert_true(framebuffer_start(&screen));
	for (int i = 0; i < 1000; i++) {
		framebuffer_put((char)('!' + i % 90));
	}
	for (uint32_t i = 0; i < MARGIN; i++) {
		assert_int_equal(memory[i], 0x55);
		assert_int_equal(memory[MARGIN + LINE_BYTES * HEIGHT + i], 0x55);
	}
}

static void test_scales(void **state)
{
	(void)state;
	/* The same memory as a screen of one line of letters, twice as wide and high. */
	screen.width = 800;
	screen.line_bytes = 800;
	screen.height = LINE_BYTES * HEIGHT / 800;
	screen.depth = 8;
	assert_true(framebuffer_start(&screen));
	framebuffer_put('L');
	for (uint32_t y = 0; y < 18; y++) {
		const uint8_t *line = memory + MARGIN + y * 800;
		uint8_t bottom = y / 2 == 6 ? 0xff : 0;

		assert_int_equal(line[1], y < 14 ? 0xff : 0);
		assert_int_equal(line[2], bottom);
		assert_int_equal(line[9], bottom);
		assert_int_equal(line[10], 0);
	}
}

static void test_refuses(void **state)
{
	struct framebuffer f = screen;

	(void)state;
	f.depth = 15;
	assert_false(framebuffer_start(&f));
	f = screen;
	f.base = 1ull << 32;
	assert_false(framebuffer_start(&f));
	f.base = (1ull << 32) - 100;
	assert_false(framebuffer_start(&f));
	f = screen;
	f.line_bytes = WIDTH * PIXEL - 1;
	assert_false(framebuffer_start(&f));
	f = screen;
	f.width = 5;
	assert_false(framebuffer_start(&f));
	f = screen;
	f.height = 8;
	assert_false(framebuffer_start(&f));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_draws, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wraps_and_starts_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unknown_characters, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stays_inside, setup, teardown),
		cmocka_unit_test_setup_teardown(test_scales, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refuses, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
