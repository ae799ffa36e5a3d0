/* A machine's screen (include/mgmt/screen.h) as a picture. */
#ifndef CONSOLE_SCREEN_H
#define CONSOLE_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PICTURE_MAX_WIDTH  2560u
#define PICTURE_MAX_HEIGHT 1600u

struct picture {
	unsigned int width, height;
	uint8_t *pixels; /* red, green, blue; line by line. The caller's to free. */
};

/*
 * Draws `bytes` bytes, at most SCREEN_BYTES, which may say anything: pixels that are not there are black. NULL: done; else why there is no
 * picture.
 */
const char *screen_draw(const uint8_t *screen, size_t bytes, struct picture *picture);

#endif
