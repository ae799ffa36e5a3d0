/*
 * error.c: why something failed, for people.
 */
#ifndef DISK_ERROR_H
#define DISK_ERROR_H

#include "disk/disk.h"

#define DISK_PRINTF(f, a) __attribute__((format(printf, f, a)))

/* Fills *error (if any) and returns code. */
int error_set(struct disk_error *error, int code, const char *format, ...) DISK_PRINTF(3, 4);

#endif
