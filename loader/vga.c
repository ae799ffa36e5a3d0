/*
 * The screen in VGA text mode. See vga.h.
 */
#include "loader/vga.h"

#include "loader/io.h"

#define SCREEN      ((volatile uint16_t *)0xb8000)
#define COLUMNS     80u
#define ROWS        25u
#define ATTRIBUTE   0x0700
#define CRTC_INDEX  0x3d4
#define CURSOR_HIGH 0x0e
#define CURSOR_LOW  0x0f

static unsigned int cursor;

static uint8_t crtc_read(uint8_t index)
{
	outb(CRTC_INDEX, index);
	return inb(CRTC_INDEX + 1);
}

static void crtc_write(uint8_t index, uint8_t value)
{
	outb(CRTC_INDEX, index);
	outb(CRTC_INDEX + 1, value);
}

static void new_line(void)
{
	cursor += COLUMNS - cursor % COLUMNS;
	if (cursor < COLUMNS * ROWS) {
		return;
	}
	for (unsigned int i = 0; i < COLUMNS * (ROWS - 1); i++) {
		SCREEN[i] = SCREEN[i + COLUMNS];
	}
	for (unsigned int i = COLUMNS * (ROWS - 1); i < COLUMNS * ROWS; i++) {
		SCREEN[i] = ATTRIBUTE | ' ';
	}
	cursor = COLUMNS * (ROWS - 1);
}

void vga_put(char c)
{
	if (c == '\n') {
		new_line();
	} else {
		SCREEN[cursor] = (uint16_t)(ATTRIBUTE | (uint8_t)c);
		if (++cursor == COLUMNS * ROWS) {
			new_line();
		}
	}
	crtc_write(CURSOR_HIGH, (uint8_t)(cursor >> 8));
	crtc_write(CURSOR_LOW, (uint8_t)cursor);
}

void vga_start(void)
{
	cursor = (unsigned int)crtc_read(CURSOR_HIGH) << 8 | crtc_read(CURSOR_LOW);
	if (cursor >= COLUMNS * ROWS) {
		cursor = 0;
	}
	if (cursor % COLUMNS) {
		new_line();
	}
}

uint8_t vga_row(void)
{
	return (uint8_t)(cursor / COLUMNS);
}
