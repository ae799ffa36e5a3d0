/*
 * A font for a screen in graphics mode: the printable characters of ASCII, 5 dots wide and 7 high.
 */
#ifndef LOADER_FONT_H
#define LOADER_FONT_H

#include <stdint.h>

#define FONT_FIRST  ' '
#define FONT_LAST   '~'
#define FONT_WIDTH  5u
#define FONT_HEIGHT 7u

/* Rows from the top; the leftmost dot is bit FONT_WIDTH - 1. */
extern const uint8_t font[FONT_LAST - FONT_FIRST + 1][FONT_HEIGHT];

#endif
