#include "lib/string.h"

#include <stdint.h>

/* The string instructions, by words: short, and as fast as anything on processors of the last ten
 * years. */
#ifdef __x86_64__
#define WORDS "q"
#else
#define WORDS "l"
#endif

void *memcpy(void *to, const void *from, size_t count)
{
	void *start = to;
	size_t words = count / sizeof(long), bytes = count % sizeof(long);

	__asm__ volatile("rep movs" WORDS : "+D"(to), "+S"(from), "+c"(words) : : "memory");
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
	return start;
}

void *memset(void *to, int byte, size_t count)
{
	void *start = to;
	size_t words = count / sizeof(long), bytes = count % sizeof(long);
	unsigned long pattern = (uint8_t)byte * (~0ul / 0xff);

	__asm__ volatile("rep stos" WORDS : "+D"(to), "+c"(words) : "a"(pattern) : "memory");
	__asm__ volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(pattern) : "memory");
	return start;
}

void *memmove(void *to, const void *from, size_t count)
{
	char *t = (char *)to + count;
	const char *f = (const char *)from + count;

	if ((uintptr_t)to - (uintptr_t)from >= count) {
		return memcpy(to, from, count);
	}
	while (count--) {
		*--t = *--f;
	}
	return to;
}

int memcmp(const void *a, const void *b, size_t count)
{
	const unsigned char *x = a, *y = b;

	for (; count; count--, x++, y++) {
		if (*x != *y) {
			return *x - *y;
		}
	}
	return 0;
}
