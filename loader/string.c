/*
 * The four functions that the compiler expects of its surroundings.
 */
#include <stddef.h>
#include <stdint.h>

#include "loader/string.h"

void *memcpy(void *to, const void *from, size_t size)
{
	void *d = to;
	size_t words = size / 4, rest = size % 4;

	__asm__ volatile("rep movsl" : "+D"(d), "+S"(from), "+c"(words) : : "memory");
	__asm__ volatile("rep movsb" : "+D"(d), "+S"(from), "+c"(rest) : : "memory");
	return to;
}

/* Downwards: the odd bytes at the end first, then words. */
static void copy_down(uint8_t *to, const uint8_t *from, size_t size)
{
	size_t words = size / 4, rest = size % 4;
	uint8_t *d = to + size - 1;
	const uint8_t *s = from + size - 1;

	__asm__ volatile("std; rep movsb; sub $3, %0; sub $3, %1; mov %3, %2; rep movsl; cld"
			 : "+D"(d), "+S"(s), "+c"(rest)
			 : "r"(words)
			 : "memory", "cc");
}

void *memmove(void *to, const void *from, size_t size)
{
	if ((uintptr_t)to - (uintptr_t)from >= size)
		return memcpy(to, from, size);
	copy_down(to, from, size);
	return to;
}

void *memset(void *to, int value, size_t size)
{
	uint8_t *d = to;
	size_t words = size / 4, rest = size % 4;
	uint32_t pattern = 0x01010101u * (uint8_t)value;

	__asm__ volatile("rep stosl" : "+D"(d), "+c"(words) : "a"(pattern) : "memory");
	__asm__ volatile("rep stosb" : "+D"(d), "+c"(rest) : "a"(pattern) : "memory");
	return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
	const uint8_t *x = a, *y = b;

	for (size_t i = 0; i < size; i++) {
		if (x[i] != y[i])
			return x[i] < y[i] ? -1 : 1;
	}
	return 0;
}
