/*
 * Text on a linear framebuffer: the only screen there is on UEFI.
 */
#ifndef LOADER_FRAMEBUFFER_H
#define LOADER_FRAMEBUFFER_H

#include <stdbool.h>
#include <stdint.h>

struct framebuffer {
	bool present; /* linear, RGB; else the screen is in text mode or there is none */
	uint64_t base;
	uint32_t line_bytes, width, height;
	uint8_t depth;
	uint8_t red_position, red_size, green_position, green_size, blue_position, blue_size;
};

/* False: its memory cannot be reached or its pixels are no whole bytes. */
bool framebuffer_start(const struct framebuffer *f);

void framebuffer_put(char c);

#endif
