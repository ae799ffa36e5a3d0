/* Sums of bytes, as tables of firmware have them. */
#ifndef LIB_SUM_H
#define LIB_SUM_H

#include <stddef.h>
#include <stdint.h>

/* Modulo 256: of a table, its checksum included, it is 0. */
static inline uint8_t sum_of_bytes(const void *bytes, size_t count)
{
	const uint8_t *byte = bytes;
	uint8_t sum = 0;

	while (count-- != 0) {
		sum = (uint8_t)(sum + *byte++);
	}
	return sum;
}

#endif
