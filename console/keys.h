/* Keys by their names in X11, which viewers say, on a keyboard with the usual layout of the US. */
#ifndef CONSOLE_KEYS_H
#define CONSOLE_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#define KEY_SHIFT 0x2a

#define KEYSYM_SHIFT_L 0xffe1
#define KEYSYM_SHIFT_R 0xffe2

/* Its scan code of set 1, with bit 7 if it has the prefix 0xE0; 0: there is no such key. *shifted:
 * it is that with Shift. */
uint8_t key_of(uint32_t keysym, bool *shifted);

#endif
