/* CRC-32 of a structure that has it inside. */
#include <zlib.h>

#include "hvs/format.h"

uint32_t hvs_checksum(const void *structure, uint32_t bytes, uint32_t field)
{
	static const uint8_t zero[4];
	const uint8_t *from = structure;
	uLong sum = crc32(0, from, field);

	sum = crc32(sum, zero, sizeof(zero));
	return (uint32_t)crc32(sum, from + field + 4, bytes - field - 4);
}
