/*
 * The four functions that the compiler calls by itself, and so the only ones of <string.h> that
 * every home has.
 */
#ifndef LIB_STRING_H
#define LIB_STRING_H

#include <stddef.h>

void *memcpy(void *__restrict to, const void *__restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);

#ifdef __x86_64__
/* memcpy() of whole words of 8 bytes, without a call. */
static inline void copy_words(void *__restrict to, const void *__restrict from, size_t size)
{
	size_t words = size / 8;

	__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
}
#endif

#endif
