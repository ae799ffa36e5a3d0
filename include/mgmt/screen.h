/*
 * A machine's screen as a worker gives it (CONTROL_SCREEN): into the file of whoever asks it writes
 * this, at its beginning, then the frame memory, the text window, and the synthetic display's frame
 * memory; what is not shown may be zeros. Numbers are the machine's own, little-endian; registers
 * are a VGA's by their indices, and those of Bochs's display interface.
 *
 * In the frame the byte of plane p at address a is at 4 * a + p; linear modes have their pixels as
 * they are. With text_window planes 0 and 1 are not there but in the window, in turn, from its
 * address 0 on.
 *
 * Of a synthetic display only what follows the registers counts: a picture of lines in its own
 * frame memory, its pixels blue, green, red and nothing, or 5, 6 and 5 bits.
 */
#ifndef MGMT_SCREEN_H
#define MGMT_SCREEN_H

#include <stdint.h>

#define SCREEN_MAGIC       0x32726373u /* "scr2" */
#define SCREEN_FRAME_BYTES (16u << 20)
#define SCREEN_TEXT_BYTES  0x8000u
#define SCREEN_FRAME_AT    4096u
#define SCREEN_TEXT_AT     (SCREEN_FRAME_AT + SCREEN_FRAME_BYTES)
#define SCREEN_VIDEO_AT    (SCREEN_TEXT_AT + SCREEN_TEXT_BYTES)
#define SCREEN_VIDEO_BYTES (32u << 20)
#define SCREEN_BYTES       (SCREEN_VIDEO_AT + SCREEN_VIDEO_BYTES)

#define SCREEN_DISPI_COUNT 11
enum {
	SCREEN_DISPI_WIDTH = 1,
	SCREEN_DISPI_HEIGHT,
	SCREEN_DISPI_BITS,
	SCREEN_DISPI_ENABLE,
	SCREEN_DISPI_VIRTUAL_WIDTH = 6,
	SCREEN_DISPI_X = 8,
	SCREEN_DISPI_Y,
};
#define SCREEN_DISPI_ENABLED 0x01
#define SCREEN_DISPI_8_BIT   0x20 /* parts of a colour */

enum screen_source { SCREEN_VGA, SCREEN_VIDEO };

#define SCREEN_CHANGES 8
#define SCREEN_ALL     0xff

struct screen_change {
	uint16_t left, top, right, bottom; /* without the last two */
};

struct screen {
	uint32_t magic;
	uint8_t text_window, misc, mask;
	uint8_t source; /* enum screen_source */
	uint8_t sequencer[8], crtc[32], graphics[16], attribute[32];
	uint8_t palette[768];
	uint16_t dispi[SCREEN_DISPI_COUNT];
	uint8_t asked; /* its guest is told of sizes that are wanted (display.h), and may follow */
	uint8_t reserved_2;
	uint32_t offset, pitch; /* bytes: of the first pixel, from line to line */
	uint16_t width, height;
	uint8_t bits; /* 32, 16 */
	uint8_t change_count; /* SCREEN_ALL: anything may have changed; else what these say, since the last time */
	uint16_t reserved_3;
	struct screen_change changes[SCREEN_CHANGES];
};

#endif
