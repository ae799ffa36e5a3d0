/*
 * Sizes and the arithmetic of them.
 */
#ifndef DISK_UNITS_H
#define DISK_UNITS_H

#include <stdbool.h>
#include <stdint.h>

#define DISK_KIB (1ull << 10)
#define DISK_MIB (1ull << 20)
#define DISK_GIB (1ull << 30)
#define DISK_TIB (1ull << 40)

#define DISK_PAGE 4096u /* unit of the tables that are cached and logged */

#define DISK_COUNT(a) (sizeof(a) / sizeof((a)[0]))

static inline uint64_t round_down(uint64_t v, uint64_t unit)
{
	return v - v % unit;
}

static inline uint64_t round_up(uint64_t v, uint64_t unit)
{
	return round_down(v + unit - 1, unit);
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static inline bool is_power_of_two(uint64_t v)
{
	return v && !(v & (v - 1));
}

#endif
