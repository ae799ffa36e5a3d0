/*
 * Where the loader speaks: COM1, and the screen.
 */
#ifndef LOADER_CONSOLE_H
#define LOADER_CONSOLE_H

#include <stdbool.h>
#include <stdint.h>

#include "loader/framebuffer.h"

/* Sets COM1 to 115200 8N1 and returns its port; 0: there is no UART. */
uint16_t console_start(void);

/* What is printed from here on also goes to the screen. */
void console_use_text(void);
void console_use_framebuffer(const struct framebuffer *f);

/* With the conversions of lib/print.h. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Says in one line why the machine cannot start, and halts. */
_Noreturn void stop(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
