/*
 * Lists of physical ranges: the machine's memory map, and what is taken of it. Pure: no address is
 * followed.
 *
 * A map is normalized: sorted by base, without overlaps or neighbours of the same type. A list of
 * taken ranges need not be.
 */
#ifndef LOADER_RANGES_H
#define LOADER_RANGES_H

#include <stdbool.h>
#include <stdint.h>

#include "boot/handoff.h"

#define RANGES_MAX 256
#define RANGE_NONE UINT64_MAX
#define PAGE       4096u
#define MIB        0x100000ull
#define GIB        0x40000000ull

enum range_type {
	RANGE_RAM = 1,
	RANGE_RESERVED = 2,
	RANGE_ACPI = 3,
	RANGE_NVS = 4,
	RANGE_BAD = 5,
};

struct ranges {
	uint32_t count;
	struct handoff_range r[RANGES_MAX];
};

/* What to look for: [base, base + size) within [min, max), base a multiple of align (a power of
 * two). */
struct request {
	uint64_t size;
	uint64_t align;
	uint64_t min;
	uint64_t max;
};

/*
 * Appends; an end beyond the address space is cut, an empty range ignored. False: the list is full.
 */
bool ranges_add(struct ranges *list, uint64_t base, uint64_t size, uint32_t type);

/* Makes a map of a raw list. Where ranges overlap, the higher type wins, so RAM never does. False:
 * too many pieces. */
bool ranges_normalize(struct ranges *list);

/* Gives a part of a map another, higher type. */
bool ranges_retype(struct ranges *map, uint64_t base, uint64_t size, uint32_t type);

uint64_t ranges_total(const struct ranges *map, uint32_t type);
bool ranges_overlap(const struct ranges *list, uint64_t base, uint64_t size);

/* Is all of it RAM in the map? */
bool ranges_are_ram(const struct ranges *map, uint64_t base, uint64_t size);

/* The lowest or highest place in the map's RAM that touches nothing taken; RANGE_NONE if there is
 * none. */
uint64_t ranges_find_low(const struct ranges *map, const struct ranges *taken,
			 const struct request *want);
uint64_t ranges_find_high(const struct ranges *map, const struct ranges *taken,
			  const struct request *want);

#endif
