/*
 * Arithmetic of clocks. 64 × 64 → 128 bits and back, so that no product overflows and no factor is
 * rounded first.
 */
#ifndef TLFS_CLOCK_H
#define TLFS_CLOCK_H

#include <stdint.h>

/* a × b ÷ c, rounded down; UINT64_MAX when that does not fit. c is not 0. */
static inline uint64_t clock_muldiv(uint64_t a, uint64_t b, uint64_t c)
{
	unsigned __int128 product = (unsigned __int128)a * b;
	uint64_t high = (uint64_t)(product >> 64), low = (uint64_t)product;

	if (high >= c) {
		return UINT64_MAX;
	}
	/*
	 * A compiler would call a library for this division; the check above is what makes one
	 * instruction enough.
	 */
	__asm__("divq %[c]" : "+a"(low), "+d"(high) : [c] "r"(c) : "cc");
	return low;
}

/* The same, rounded up: a deadline must not come early. */
static inline uint64_t clock_muldiv_up(uint64_t a, uint64_t b, uint64_t c)
{
	unsigned __int128 product = (unsigned __int128)a * b + (c - 1);
	uint64_t high = (uint64_t)(product >> 64), low = (uint64_t)product;

	if (high >= c) {
		return UINT64_MAX;
	}
	__asm__("divq %[c]" : "+a"(low), "+d"(high) : [c] "r"(c) : "cc");
	return low;
}

/* The high half of a × b: what the TSC page's formula does. */
static inline uint64_t clock_scale(uint64_t a, uint64_t scale)
{
	return (uint64_t)(((unsigned __int128)a * scale) >> 64);
}

/* The least a with clock_scale(a, scale) ≥ value; UINT64_MAX when there is none. */
static inline uint64_t clock_unscale(uint64_t value, uint64_t scale)
{
	uint64_t low = 0, remainder = value;

	if (value >= scale) {
		return UINT64_MAX;
	}
	__asm__("divq %[c]" : "+a"(low), "+d"(remainder) : [c] "r"(scale) : "cc");
	return low + (remainder != 0);
}

/* a + b, or UINT64_MAX. */
static inline uint64_t clock_add(uint64_t a, uint64_t b)
{
	return a + b < a ? UINT64_MAX : a + b;
}

#endif
