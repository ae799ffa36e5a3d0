/*
 * mem*: the loader's own where there is no C library, the library's in hosted tests.
 */
#ifndef LOADER_STRING_H
#define LOADER_STRING_H

#include <stddef.h>

void *memcpy(void *to, const void *from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);
int memcmp(const void *a, const void *b, size_t size);

#endif
