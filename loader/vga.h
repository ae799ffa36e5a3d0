/*
 * The screen in VGA text mode, 80 by 25, as a BIOS leaves it.
 */
#ifndef LOADER_VGA_H
#define LOADER_VGA_H

#include <stdint.h>

/* Goes on below the cursor. */
void vga_start(void);

void vga_put(char c);

uint8_t vga_row(void);

#endif
