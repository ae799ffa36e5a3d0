/*
 * Where the loader speaks: COM1, and the screen when it is in VGA text mode.
 */
#ifndef LOADER_CONSOLE_H
#define LOADER_CONSOLE_H

#include <stdbool.h>
#include <stdint.h>

/* Sets COM1 to 115200 8N1 and returns its port; 0: there is no UART. */
uint16_t console_start(void);

/* The screen is in VGA text mode: print there too, from the cursor on. */
void console_use_screen(void);

/* Where the next line goes on the screen. */
uint8_t console_row(void);

/* With the conversions of lib/print.h. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Says in one line why the machine cannot start, and halts. */
_Noreturn void stop(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
