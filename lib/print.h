/*
 * Formatting without a C library: %s %c %d %u %x %p with the lengths l, ll, z and a width with or
 * without leading 0.
 */
#ifndef LIB_PRINT_H
#define LIB_PRINT_H

#include <stdarg.h>
#include <stddef.h>

/* Writes at most size - 1 characters and a NUL; returns the length written. */
size_t print_format(char *buffer, size_t size, const char *format, va_list arguments);

#endif
