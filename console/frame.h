/* What a viewer has been shown, and what has changed since: a screen's picture, 32 bits a pixel
 * (red, green, blue, nothing). */
#ifndef CONSOLE_FRAME_H
#define CONSOLE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "include/mgmt/screen.h"

#define FRAME_BAND 16 /* lines that are one change */

struct frame {
	const uint8_t *memory; /* the machine's, which changes at any time */
	uint8_t *
		seen; /* what of it is shown, SCREEN_BYTES, with the registers at its beginning; the rest is zeros */
	size_t seen_bytes; /* of the frame memory */
	unsigned int width, height;
	uint8_t *pixels;
};

struct frame_change {
	unsigned int left, top, right, bottom; /* without the last two */
};

/* Zeros are an empty frame. False: there is no memory. */
bool frame_init(struct frame *frame, const uint8_t *memory) __attribute__((warn_unused_result));
void frame_destroy(struct frame *frame);

enum frame_news {
	FRAME_SAME,
	FRAME_CHANGED,
	FRAME_RESIZED, /* pixels are elsewhere, and all of them others */
	FRAME_FAILED,  /* there is no memory */
};

/* How the screen is now. With FRAME_CHANGED each change was told by changed(). */
enum frame_news frame_look(struct frame *frame, const struct screen *registers,
			   void (*changed)(void *of, const struct frame_change *change), void *of);

#endif
