/*
 * A machine's console as its worker offers it: one frame source and one input sink, on
 * SOCK_SEQPACKET sockets that are handed to whoever shows it. Each socket is a seat. The first is
 * given to the program that the worker starts, and its JOIN makes another: the packet brings the
 * worker's end of the new seat along.
 *
 * On a new seat the worker says, once, a struct display_hello, and hands over the screen's memory:
 * of SCREEN_BYTES - SCREEN_FRAME_AT bytes, the frame, the text window and the synthetic display's
 * frame as screen.h has them, to be mapped for reading alone. It is the guest's, and changes at any
 * time. After that it says nothing but a struct screen (screen.h) for each LOOK, with what has
 * changed since this seat's last one. So a seat at which nobody looks costs nothing.
 *
 * Requests are struct display_request. Whoever breaks a rule, or does not take its answers, is hung
 * up on; then all keys and buttons that it holds are released.
 */
#ifndef MGMT_DISPLAY_H
#define MGMT_DISPLAY_H

#include <stdint.h>

#define DISPLAY_MAGIC     0x31707364u /* "dsp1" */
#define DISPLAY_SEATS     16
#define DISPLAY_PLACE_MAX 0x7fffu

struct display_hello {
	uint32_t magic;
	uint32_t bytes; /* of the memory */
};

enum display_type {
	DISPLAY_LOOK,
	DISPLAY_KEY,
	DISPLAY_POINTER,
	DISPLAY_JOIN,
	DISPLAY_SIZE, /* the picture would best be as large; what comes of it is the guest's */
};

struct display_request {
	uint32_t type;
	uint8_t key;     /* its scan code of set 1, with bit 7 if that has the prefix 0xE0 */
	uint8_t down;    /* 0, 1 */
	uint8_t buttons; /* as they are: left, right, middle, and two at the sides, from bit 0 on */
	int8_t wheel;    /* towards who sits there */
	int16_t x, y;    /* how far it has moved, to the right and down */
	/* Where it is, at most DISPLAY_PLACE_MAX: right, bottom. Of DISPLAY_SIZE: width and height,
	 * not 0. */
	uint16_t at_x, at_y;
};

#endif
