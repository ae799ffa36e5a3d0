/*
 * See edid.h. A table but for the preferred mode, whose timing is that of VESA's CVT 1.2 with
 * reduced blanking, at 60 Hz, and for the last byte, which makes the sum of all of them 0.
 */
#include "vsp/video/edid.h"

#include <string.h>

#define PREFERRED_AT 54 /* the first detailed timing */

#define H_FRONT     48u
#define H_SYNC      32u
#define H_BLANK     160u
#define V_FRONT     3u
#define V_BACK_MIN  6u
#define V_BLANK_US  460u /* at least */
#define FRAME_US    16667u
#define FRAMES      60u /* a second */
#define CLOCK_STEP  25u /* 0.25 MHz, in units of 10 kHz, which an EDID has */
#define CLOCK_10KHZ 10000u

static const uint8_t block[EDID_BYTES] = {
	/* clang-format off */
	0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, /* what every EDID begins with */
	0x58, 0x87, 0x01, 0x00, 0, 0, 0, 0,             /* maker VDG, product 1, no serial number */
	0, 36, 1, 4,                                    /* of 2026; version 1.4 */
	0xa0, 0, 0, 120, 0x06,                          /* digital, 8 bits a colour, of no size, gamma 2.2; sRGB, a preferred mode */
	0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54, /* sRGB's colours */
	0x21, 0x08, 0x00,                               /* 640x480, 800x600, 1024x768, all at 60 Hz */
	0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* put_preferred() */
	0, 0, 0, 0xfc, 0, 'V', 'e', 'r', 'd', 'i', 'g', 'r', 'i', 's', '\n', ' ', ' ', ' ',
	0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, /* extensions */
	/* clang-format on */
};

/* The pulse's length says what shape a picture has. */
static unsigned int vertical_sync(unsigned int width, unsigned int height)
{
	if (width * 3 == height * 4) {
		return 4;
	}
	if (width * 9 == height * 16) {
		return 5;
	}
	if (width * 10 == height * 16) {
		return 6;
	}
	return width * 4 == height * 5 || width * 9 == height * 15 ? 7 : 10;
}

/* Digital, syncs apart, the horizontal one positive; no size. */
static void put_preferred(uint8_t *to, unsigned int width, unsigned int height)
{
	unsigned int sync = vertical_sync(width, height);
	unsigned int least = V_FRONT + sync + V_BACK_MIN;
	unsigned int blank = V_BLANK_US * height / (FRAME_US - V_BLANK_US) + 1;
	unsigned int clock;

	blank = blank < least ? least : blank;
	clock = (width + H_BLANK) * (height + blank) * FRAMES / CLOCK_10KHZ;
	clock -= clock % CLOCK_STEP;
	to[0] = (uint8_t)clock;
	to[1] = (uint8_t)(clock >> 8);
	to[2] = (uint8_t)width;
	to[3] = (uint8_t)H_BLANK;
	to[4] = (uint8_t)((width >> 8) << 4 | H_BLANK >> 8);
	to[5] = (uint8_t)height;
	to[6] = (uint8_t)blank;
	to[7] = (uint8_t)((height >> 8) << 4 | blank >> 8);
	to[8] = H_FRONT;
	to[9] = H_SYNC;
	to[10] = (uint8_t)(V_FRONT << 4 | sync);
	to[17] = 0x1a;
}

void video_edid(uint8_t edid[EDID_BYTES], unsigned int width, unsigned int height)
{
	unsigned int i, sum = 0;

	memcpy(edid, block, EDID_BYTES);
	put_preferred(edid + PREFERRED_AT, width, height);
	for (i = 0; i < EDID_BYTES - 1; i++) {
		sum += edid[i];
	}
	edid[EDID_BYTES - 1] = (uint8_t)-sum;
}
