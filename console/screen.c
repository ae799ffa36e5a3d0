/*
 * What a VGA shows, by its registers (IBM VGA manual; FreeVGA): text, planes, CGA's pixels, 256
 * colours, and the linear modes of Bochs's display interface; and what a synthetic display does. A
 * picture as it is at once: nothing blinks, and the cursor is there.
 */
#include "console/screen.h"

#include <stdlib.h>
#include <string.h>

#include "include/mgmt/screen.h"

#define SEQ_CLOCKING   1
#define CLOCKING_8     0x01 /* characters of 8 dots, else 9 */
#define CLOCKING_OFF   0x20
#define SEQ_FONT       3
#define GC_MODE        5
#define GC_MISC        6
#define MODE_SHIFT_CGA 0x20
#define MODE_SHIFT_256 0x40
#define GC_GRAPHICS    0x01
#define ATTR_MODE      0x10
#define ATTR_PLANES    0x12
#define ATTR_PAN       0x13
#define ATTR_SELECT    0x14
#define MODE_LINES     0x04 /* the ninth dot of characters that draw lines is the eighth */
#define MODE_BLINK     0x08
#define MODE_SELECT_54 0x80

struct view {
	const struct screen *s;
	const uint8_t *frame, *text;
	struct picture *picture;
};

static unsigned int overflow(const struct screen *s, unsigned int bit)
{
	return s->crtc[7] >> bit & 1;
}

static void put(const struct view *v, unsigned int x, unsigned int y, unsigned int index)
{
	const uint8_t *colour = &v->s->palette[3 * (index & v->s->mask & 0xff)];
	uint8_t *to = &v->picture->pixels[3 * ((size_t)y * v->picture->width + x)];
	unsigned int i;
	bool wide = v->s->dispi[SCREEN_DISPI_ENABLE] & SCREEN_DISPI_8_BIT;

	for (i = 0; i < 3; i++) {
		to[i] = wide ? colour[i]
			     : (uint8_t)((colour[i] & 0x3f) << 2 | (colour[i] & 0x3f) >> 4);
	}
}

/* Four bits by the attribute controller's palette. */
static unsigned int attribute(const struct screen *s, unsigned int value)
{
	unsigned int colour = s->attribute[value & s->attribute[ATTR_PLANES] & 15] & 0x3f;

	if (s->attribute[ATTR_MODE] & MODE_SELECT_54) {
		colour = (colour & 0x0f) | (s->attribute[ATTR_SELECT] & 3u) << 4;
	}
	return colour | (s->attribute[ATTR_SELECT] & 0x0cu) << 4;
}

/* The byte of a plane. Of the text window even bytes are plane 0's, odd ones plane 1's. */
static uint8_t plane(const struct view *v, unsigned int which, uint32_t at)
{
	at &= 0xffff;
	if (v->s->text_window && which < 2) {
		return 2 * at < SCREEN_TEXT_BYTES ? v->text[2 * at + which] : 0;
	}
	return v->frame[4 * at + which];
}

static uint32_t start_of(const struct screen *s)
{
	return (uint32_t)s->crtc[0x0c] << 8 | s->crtc[0x0d];
}

static unsigned int display_height(const struct screen *s)
{
	unsigned int end = s->crtc[0x12] | overflow(s, 1) << 8 | overflow(s, 6) << 9;

	return end + 1;
}

static unsigned int split_of(const struct screen *s)
{
	return s->crtc[0x18] | overflow(s, 4) << 8 | (s->crtc[9] >> 6 & 1u) << 9;
}

/* ---- Text ---- */

static void draw_character(const struct view *v, unsigned int column, unsigned int top,
			   unsigned int height, uint32_t at, bool cursor)
{
	const struct screen *s = v->s;
	uint8_t character = plane(v, 0, at), colours = plane(v, 1, at);
	unsigned int width = s->sequencer[SEQ_CLOCKING] & CLOCKING_8 ? 8 : 9;
	unsigned int font = s->sequencer[SEQ_FONT], place, row, dot;
	unsigned int fore = attribute(s, colours & 15), back;

	back = attribute(s, s->attribute[ATTR_MODE] & MODE_BLINK ? colours >> 4 & 7 : colours >> 4);
	/* Bit 3 of a colour chooses the font, if there are two. */
	place = colours & 8 ? (font >> 2 & 3) | (font >> 5 & 1) << 2
			    : (font & 3) | (font >> 4 & 1) << 2;
	place = (place & 3) * 0x4000 + (place >> 2) * 0x2000 + character * 32u;
	for (row = 0; row < height && top + row < v->picture->height; row++) {
		unsigned int bits = plane(v, 2, place + row % 32) << 1;

		if ((s->attribute[ATTR_MODE] & MODE_LINES) && character >= 0xc0 &&
		    character < 0xe0) {
			bits |= bits >> 1 & 1;
		}
		if (cursor && row >= (s->crtc[0x0a] & 31u) && row <= (s->crtc[0x0b] & 31u)) {
			bits = 0x1ff;
		}
		for (dot = 0; dot < width; dot++) {
			put(v, column * width + dot, top + row,
			    bits >> (8 - dot) & 1 ? fore : back);
		}
	}
}

static void draw_text(const struct view *v, unsigned int columns, unsigned int height)
{
	const struct screen *s = v->s;
	unsigned int split = split_of(s), y = 0, column, line_start = 0;
	uint32_t cursor = (uint32_t)s->crtc[0x0e] << 8 | s->crtc[0x0f];
	uint32_t base = start_of(s);

	for (y = 0; y < v->picture->height; y += height, line_start++) {
		if (y > split && base != 0) { /* below the split memory begins anew */
			base = 0;
			line_start = 0;
		}
		for (column = 0; column < columns; column++) {
			uint32_t at = base + line_start * s->crtc[0x13] * 2u + column;

			draw_character(v, column, y, height, at,
				       at == cursor && !(s->crtc[0x0a] & 0x20));
		}
	}
}

/* ---- Graphics ---- */

/* CGA and Hercules have odd lines elsewhere. */
static uint32_t memory_at(const struct screen *s, uint32_t at, unsigned int line)
{
	unsigned int bit = s->crtc[0x17] & 0x40 ? 13 : 12;

	if (!(s->crtc[0x17] & 0x01)) {
		at = (at & ~(1u << bit)) | (line & 1) << bit;
	}
	if (!(s->crtc[0x17] & 0x02)) {
		at = (at & ~(2u << bit)) | (line >> 1 & 1) << (bit + 1);
	}
	return at;
}

static unsigned int pixel_16(const struct view *v, uint32_t at, unsigned int bit)
{
	unsigned int value = 0, i;

	for (i = 0; i < 4; i++) {
		value |= (plane(v, i, at) >> (7 - bit) & 1u) << i;
	}
	return attribute(v->s, value);
}

/* Two bits of a pixel, from planes 0 and 1 in turn: a byte at an even address, the next one at the
 * odd one. */
static unsigned int pixel_cga(const struct view *v, uint32_t at, unsigned int x)
{
	uint8_t byte = plane(v, x >> 2 & 1, at);

	return attribute(v->s, byte >> (6 - 2 * (x & 3)) & 3u);
}

static void draw_line(const struct view *v, unsigned int y, uint32_t row, unsigned int line)
{
	const struct screen *s = v->s;
	bool wide = s->graphics[GC_MODE] & MODE_SHIFT_256,
	     cga = s->graphics[GC_MODE] & MODE_SHIFT_CGA;
	bool half = s->sequencer[SEQ_CLOCKING] & 0x08;
	unsigned int x, pan = s->attribute[ATTR_PAN] & 7;

	for (x = 0; x < v->picture->width; x++) {
		unsigned int dot = half ? x / 2 : x;

		if (wide) { /* a byte each, two dots wide; four of them at an address */
			uint32_t at = memory_at(s, row, line);

			put(v, x, y, v->frame[(4 * at + x / 2) & 0x3ffff]);
		} else if (cga) {
			put(v, x, y, pixel_cga(v, memory_at(s, row + dot / 8, line), dot));
		} else {
			dot += pan;
			put(v, x, y, pixel_16(v, memory_at(s, row + dot / 8, line), dot & 7));
		}
	}
}

static void draw_graphics(const struct view *v)
{
	const struct screen *s = v->s;
	unsigned int repeat = (s->crtc[9] & 31u) + 1, split = split_of(s), y, since = 0;
	uint32_t row = start_of(s);

	if (s->crtc[9] & 0x80) {
		repeat *= 2;
	}
	for (y = 0; y < v->picture->height; y++) {
		/* CGA's modes show two lines of one row of characters. */
		draw_line(v, y, row, s->crtc[9] & 0x80 ? since / 2 : since);
		if (++since == repeat) {
			since = 0;
			row += s->crtc[0x13] * 2u;
		}
		if (y == split) {
			row = 0;
			since = 0;
		}
	}
}

/* ---- Linear modes ---- */

static void put_565(unsigned int value, uint8_t *to)
{
	to[0] = (uint8_t)((value >> 11) * 255 / 31);
	to[1] = (uint8_t)((value >> 5 & 63) * 255 / 63);
	to[2] = (uint8_t)((value & 31) * 255 / 31);
}

static void put_rgb(const struct view *v, unsigned int x, unsigned int y, const uint8_t *from,
		    unsigned int bits)
{
	uint8_t *to = &v->picture->pixels[3 * ((size_t)y * v->picture->width + x)];
	unsigned int value;

	switch (bits) {
	case 8:
		put(v, x, y, from[0]);
		return;
	case 15:
	case 16:
		value = from[0] | (unsigned int)from[1] << 8;
		if (bits == 15) {
			value = (value & 0x7fe0) << 1 | (value >> 4 & 0x20) | (value & 0x1f);
		}
		put_565(value, to);
		return;
	default:
		to[0] = from[2];
		to[1] = from[1];
		to[2] = from[0];
	}
}

static void draw_linear(const struct view *v)
{
	const uint16_t *dispi = v->s->dispi;
	unsigned int bits = dispi[SCREEN_DISPI_BITS], bytes = (bits + 7) / 8, x, y;
	size_t line = (size_t)dispi[SCREEN_DISPI_VIRTUAL_WIDTH] * bytes;

	for (y = 0; y < v->picture->height; y++) {
		size_t at =
			(y + dispi[SCREEN_DISPI_Y]) * line + (size_t)dispi[SCREEN_DISPI_X] * bytes;

		for (x = 0; x < v->picture->width; x++, at += bytes) {
			if (at <= SCREEN_FRAME_BYTES - 4) {
				put_rgb(v, x, y, v->frame + at, bits);
			}
		}
	}
}

/* ---- All of them ---- */

static bool make_picture(struct picture *picture, unsigned int width, unsigned int height)
{
	if (width == 0 || height == 0 || width > PICTURE_MAX_WIDTH || height > PICTURE_MAX_HEIGHT) {
		return false;
	}
	picture->width = width;
	picture->height = height;
	picture->pixels = calloc((size_t)width * height, 3);
	return picture->pixels != NULL;
}

static const char *draw_vga(const struct view *v)
{
	const struct screen *s = v->s;
	unsigned int columns = s->crtc[1] + 1u, height = display_height(s), cell;
	unsigned int dots = s->sequencer[SEQ_CLOCKING] & CLOCKING_8 ? 8 : 9;
	bool half = s->sequencer[SEQ_CLOCKING] & 0x08;

	if (s->graphics[GC_MISC] & GC_GRAPHICS) {
		if (!make_picture(v->picture, columns * (half ? 16 : 8), height)) {
			return "the guest has set up no picture";
		}
		draw_graphics(v);
		return NULL;
	}
	cell = (s->crtc[9] & 31u) + 1;
	if (!make_picture(v->picture, columns * dots, height)) {
		return "the guest has set up no picture";
	}
	draw_text(v, columns, cell);
	return NULL;
}

/* ---- A synthetic display ---- */

bool screen_is_video(const struct screen *s)
{
	return s->magic == SCREEN_MAGIC && s->source == SCREEN_VIDEO &&
	       (s->bits == 32 || s->bits == 16) && s->width != 0 && s->height != 0 &&
	       s->width <= PICTURE_MAX_WIDTH && s->height <= PICTURE_MAX_HEIGHT &&
	       s->pitch >= s->width * (s->bits / 8u) &&
	       s->offset + (uint64_t)s->pitch * s->height <= SCREEN_VIDEO_BYTES;
}

void screen_draw_video(const struct screen *s, const uint8_t *frame, unsigned int x, unsigned int y,
		       unsigned int count, uint8_t *to)
{
	const uint8_t *from = frame + s->offset + (size_t)y * s->pitch + x * (s->bits / 8u);
	unsigned int i;

	for (i = 0; i < count; i++, to += 3, from += s->bits / 8u) {
		if (s->bits == 16) {
			put_565(from[0] | (unsigned int)from[1] << 8, to);
			continue;
		}
		to[0] = from[2];
		to[1] = from[1];
		to[2] = from[0];
	}
}

static const char *draw_video(const struct screen *s, const uint8_t *frame, struct picture *picture)
{
	unsigned int y;

	if (!screen_is_video(s) || !make_picture(picture, s->width, s->height)) {
		return "the guest has set up no picture";
	}
	for (y = 0; y < s->height; y++) {
		screen_draw_video(s, frame, 0, y, s->width,
				  picture->pixels + (size_t)y * s->width * 3);
	}
	return NULL;
}

const char *screen_draw(const uint8_t *screen, size_t bytes, struct picture *picture)
{
	struct screen s;
	struct view v = {.s = &s,
			 .frame = screen + SCREEN_FRAME_AT,
			 .text = screen + SCREEN_TEXT_AT,
			 .picture = picture};

	if (bytes < SCREEN_BYTES) {
		return "there is less of it than a screen has";
	}
	memcpy(&s, screen, sizeof(s));
	if (s.magic != SCREEN_MAGIC) {
		return "it is of another kind than this program knows";
	}
	if (s.source == SCREEN_VIDEO) {
		return draw_video(&s, screen + SCREEN_VIDEO_AT, picture);
	}
	if ((s.dispi[SCREEN_DISPI_ENABLE] & SCREEN_DISPI_ENABLED) &&
	    s.dispi[SCREEN_DISPI_BITS] >= 8 && s.dispi[SCREEN_DISPI_BITS] <= 32) {
		if (!make_picture(picture, s.dispi[SCREEN_DISPI_WIDTH],
				  s.dispi[SCREEN_DISPI_HEIGHT])) {
			return "the guest has set up no picture";
		}
		draw_linear(&v);
		return NULL;
	}
	return draw_vga(&v);
}
