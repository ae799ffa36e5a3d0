/*
 * Bits of words, without the compiler's library and without instructions that not every processor
 * has.
 */
#ifndef LIB_BITS_H
#define LIB_BITS_H

#include <stdint.h>

static inline unsigned int bits_count(uint64_t bits)
{
	unsigned int count = 0;

	for (; bits; bits &= bits - 1) {
		count++;
	}
	return count;
}

#endif
