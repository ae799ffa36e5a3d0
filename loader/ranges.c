/*
 * Lists of physical ranges. See ranges.h.
 */
#include "loader/ranges.h"

#include <stddef.h>

static uint64_t end_of(const struct handoff_range *r)
{
	return r->base + r->size;
}

static uint64_t min64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t max64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

bool ranges_add(struct ranges *list, uint64_t base, uint64_t size, uint32_t type)
{
	if (size > UINT64_MAX - base) {
		size = UINT64_MAX - base;
	}
	if (size == 0) {
		return true;
	}
	if (list->count == RANGES_MAX) {
		return false;
	}
	list->r[list->count++] = (struct handoff_range){.base = base, .size = size, .type = type};
	return true;
}

static void insert_sorted(uint64_t *points, uint32_t *count, uint64_t point)
{
	uint32_t at = *count;

	while (at > 0 && points[at - 1] > point) {
		points[at] = points[at - 1];
		at--;
	}
	points[at] = point;
	(*count)++;
}

/* The highest type of the ranges that hold an address; 0: none does. */
static uint32_t type_at(const struct ranges *list, uint64_t address)
{
	uint32_t type = 0;

	for (uint32_t i = 0; i < list->count; i++) {
		const struct handoff_range *r = &list->r[i];

		if (address >= r->base && address < end_of(r) && r->type > type) {
			type = r->type;
		}
	}
	return type;
}

static bool append_merged(struct ranges *map, uint64_t base, uint64_t end, uint32_t type)
{
	struct handoff_range *last = map->count ? &map->r[map->count - 1] : NULL;

	if (last != NULL && last->type == type && end_of(last) == base) {
		last->size = end - last->base;
		return true;
	}
	return ranges_add(map, base, end - base, type);
}

/* Between two neighbouring borders of the raw ranges the type is the same everywhere. */
bool ranges_normalize(struct ranges *list)
{
	static uint64_t points[2 * RANGES_MAX];
	static struct ranges map;
	uint32_t count = 0;

	for (uint32_t i = 0; i < list->count; i++) {
		insert_sorted(points, &count, list->r[i].base);
		insert_sorted(points, &count, end_of(&list->r[i]));
	}
	map.count = 0;
	for (uint32_t i = 0; i + 1 < count; i++) {
		uint32_t type = type_at(list, points[i]);

		if (type && points[i + 1] > points[i] &&
		    !append_merged(&map, points[i], points[i + 1], type)) {
			return false;
		}
	}
	*list = map;
	return true;
}

bool ranges_retype(struct ranges *map, uint64_t base, uint64_t size, uint32_t type)
{
	return ranges_add(map, base, size, type) && ranges_normalize(map);
}

uint64_t ranges_total(const struct ranges *map, uint32_t type)
{
	uint64_t total = 0;

	for (uint32_t i = 0; i < map->count; i++) {
		if (map->r[i].type == type) {
			total += map->r[i].size;
		}
	}
	return total;
}

static const struct handoff_range *first_overlap(const struct ranges *list, uint64_t base,
						 uint64_t size)
{
	for (uint32_t i = 0; i < list->count; i++) {
		const struct handoff_range *r = &list->r[i];

		if (base < end_of(r) && r->base < base + size) {
			return r;
		}
	}
	return NULL;
}

bool ranges_overlap(const struct ranges *list, uint64_t base, uint64_t size)
{
	return first_overlap(list, base, size) != NULL;
}

/* In a normalized map, what is all RAM lies in one range. */
bool ranges_are_ram(const struct ranges *map, uint64_t base, uint64_t size)
{
	for (uint32_t i = 0; i < map->count; i++) {
		const struct handoff_range *r = &map->r[i];

		if (r->type == RANGE_RAM && base >= r->base && base - r->base <= r->size) {
			return size <= r->size - (base - r->base);
		}
	}
	return false;
}

/* Upwards from low: each conflict moves the candidate to just above it. */
static uint64_t lowest_in(const struct ranges *taken, uint64_t size, uint64_t align, uint64_t low,
			  uint64_t high)
{
	for (;;) {
		uint64_t base = (low + align - 1) & ~(align - 1);
		const struct handoff_range *conflict;

		if (base < low || base > high || size > high - base) {
			return RANGE_NONE;
		}
		conflict = first_overlap(taken, base, size);
		if (conflict == NULL) {
			return base;
		}
		low = end_of(conflict);
	}
}

/* Downwards from high: each conflict moves the candidate to just below it. */
static uint64_t highest_in(const struct ranges *taken, uint64_t size, uint64_t align, uint64_t low,
			   uint64_t high)
{
	for (;;) {
		uint64_t base = (high - size) & ~(align - 1);
		const struct handoff_range *conflict;

		if (size > high || base < low) {
			return RANGE_NONE;
		}
		conflict = first_overlap(taken, base, size);
		if (conflict == NULL) {
			return base;
		}
		high = conflict->base;
	}
}

uint64_t ranges_find_low(const struct ranges *map, const struct ranges *taken,
			 const struct request *want)
{
	for (uint32_t i = 0; i < map->count; i++) {
		const struct handoff_range *r = &map->r[i];
		uint64_t found;

		if (r->type != RANGE_RAM) {
			continue;
		}
		found = lowest_in(taken, want->size, want->align, max64(r->base, want->min),
				  min64(end_of(r), want->max));
		if (found != RANGE_NONE) {
			return found;
		}
	}
	return RANGE_NONE;
}

uint64_t ranges_find_high(const struct ranges *map, const struct ranges *taken,
			  const struct request *want)
{
	for (uint32_t i = map->count; i-- > 0;) {
		const struct handoff_range *r = &map->r[i];
		uint64_t found;

		if (r->type != RANGE_RAM) {
			continue;
		}
		found = highest_in(taken, want->size, want->align, max64(r->base, want->min),
				   min64(end_of(r), want->max));
		if (found != RANGE_NONE) {
			return found;
		}
	}
	return RANGE_NONE;
}
