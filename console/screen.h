/* A machine's screen (include/mgmt/screen.h) as a picture. */
#ifndef CONSOLE_SCREEN_H
#define CONSOLE_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "include/mgmt/screen.h"

#define PICTURE_MAX_WIDTH  3840u
#define PICTURE_MAX_HEIGHT 2160u

struct picture {
	unsigned int width, height;
	uint8_t *pixels; /* red, green, blue; line by line. The caller's to free. */
};

/*
 * Draws `bytes` bytes, at most SCREEN_BYTES, which may say anything: pixels that are not there are
 * black. NULL: done; else why there is no picture.
 */
const char *screen_draw(const uint8_t *screen, size_t bytes, struct picture *picture);

/* Does it say a picture of a synthetic display that can be one? */
bool screen_is_video(const struct screen *screen);
/* Of such a picture: `count` pixels of line `y`, which lie in it, from `x` on; the frame is the
 * synthetic display's. */
void screen_draw_video(const struct screen *screen, const uint8_t *frame, unsigned int x,
		       unsigned int y, unsigned int count, uint8_t *pixels);

#endif
