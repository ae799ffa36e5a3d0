/*
 * Text on a linear framebuffer. See framebuffer.h. Ink is all ones and paper all zeros, which is
 * white on black in every mode.
 */
#include "loader/framebuffer.h"

#include "lib/string.h"
#include "loader/font.h"
#include "loader/ranges.h"

#define CELL_WIDTH  (FONT_WIDTH + 1)
#define CELL_HEIGHT (FONT_HEIGHT + 2)
#define SCALE_WIDTH                                                                                \
	400u /* pixels of width for each pixel of a dot's: 70 to 80 columns on any screen */

static uint8_t *pixels;
static uint32_t line_bytes, pixel_bytes, scale;
static uint32_t columns, rows, column, row;

bool framebuffer_start(const struct framebuffer *f)
{
	uint64_t size = (uint64_t)f->line_bytes * f->height;

	if (f->depth % 8 != 0 || f->base >= 4 * GIB || size > 4 * GIB - f->base ||
	    (uint64_t)f->width * (f->depth / 8) > f->line_bytes) {
		return false;
	}
	pixels = (uint8_t *)(uintptr_t)f->base;
	line_bytes = f->line_bytes;
	pixel_bytes = f->depth / 8;
	scale = f->width < SCALE_WIDTH ? 1 : f->width / SCALE_WIDTH;
	columns = f->width / (CELL_WIDTH * scale);
	rows = f->height / (CELL_HEIGHT * scale);
	column = 0;
	row = 0;
	return columns > 0 && rows > 0;
}

static void draw_dot(uint32_t x, uint32_t y, uint8_t colour)
{
	for (uint32_t line = 0; line < scale; line++) {
		memset(pixels + (y * scale + line) * line_bytes + x * scale * pixel_bytes, colour,
		       scale * pixel_bytes);
	}
}

static bool is_ink(char c, uint32_t x, uint32_t y)
{
	if (c < FONT_FIRST || c > FONT_LAST) {
		c = '?';
	}
	return x < FONT_WIDTH && y < FONT_HEIGHT &&
	       (font[c - FONT_FIRST][y] >> (FONT_WIDTH - 1 - x) & 1);
}

static void draw(char c)
{
	for (uint32_t y = 0; y < CELL_HEIGHT; y++) {
		for (uint32_t x = 0; x < CELL_WIDTH; x++) {
			draw_dot(column * CELL_WIDTH + x, row * CELL_HEIGHT + y,
				 is_ink(c, x, y) ? 0xff : 0);
		}
	}
}

/* From the last line it goes on at the top, and each new line starts empty. */
static void new_line(void)
{
	column = 0;
	row = row + 1 < rows ? row + 1 : 0;
	memset(pixels + row * CELL_HEIGHT * scale * line_bytes, 0,
	       CELL_HEIGHT * scale * line_bytes);
}

void framebuffer_put(char c)
{
	if (column == columns || c == '\n') {
		new_line();
	}
	if (c != '\n') {
		draw(c);
		column++;
	}
}
