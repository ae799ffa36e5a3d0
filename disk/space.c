/* Two bitmaps over the megabytes of a file. First fit: a file stays short. */
#include "disk/space.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool get_bit(const uint64_t *map, uint64_t i)
{
	return map[i / 64] >> (i % 64) & 1;
}

static void set_bits(uint64_t *map, uint64_t start, uint64_t count, bool value)
{
	uint64_t i;

	for (i = start; i < start + count; i++) {
		uint64_t bit = 1ull << (i % 64);

		map[i / 64] = value ? map[i / 64] | bit : map[i / 64] & ~bit;
	}
}

/*
 * Capacity doubles, so that growing costs little however often; what is new is neither used nor
 * clean.
 */
static int reserve(struct space *space, uint64_t end)
{
	uint64_t capacity = space->capacity ? space->capacity : 4096;
	uint64_t *used, *clean;

	if (end <= space->capacity) {
		return 0;
	}
	while (capacity < end) {
		capacity *= 2;
	}
	/* Each is kept when the other cannot grow: the old capacity is still right for both. */
	used = realloc(space->used, capacity / 8);
	if (used != NULL) {
		space->used = used;
	}
	clean = realloc(space->clean, capacity / 8);
	if (clean != NULL) {
		space->clean = clean;
	}
	if (used == NULL || clean == NULL) {
		return -ENOMEM;
	}
	memset(used + space->capacity / 64, 0, (capacity - space->capacity) / 8);
	memset(clean + space->capacity / 64, 0, (capacity - space->capacity) / 8);
	space->capacity = capacity;
	return 0;
}

int space_init(struct space *space, uint64_t end)
{
	*space = (struct space){0};
	if (reserve(space, end)) {
		space_release(space);
		return -ENOMEM;
	}
	space->end = end;
	/* It may be filled with anything, so no megabyte is clean yet. */
	space->free = end;
	return 0;
}

void space_release(struct space *space)
{
	free(space->used);
	free(space->clean);
	*space = (struct space){0};
}

bool space_is_free(const struct space *space, uint64_t start, uint64_t count)
{
	uint64_t i;

	/* No sum that could wrap: places come from files. */
	if (count > space->end || start > space->end - count) {
		return false;
	}
	for (i = start; i < start + count; i++) {
		if (get_bit(space->used, i)) {
			return false;
		}
	}
	return true;
}

void space_use(struct space *space, uint64_t start, uint64_t count)
{
	set_bits(space->used, start, count, true);
	set_bits(space->clean, start, count, false);
	space->free -= count;
}

void space_free(struct space *space, uint64_t start, uint64_t count, bool clean)
{
	set_bits(space->used, start, count, false);
	set_bits(space->clean, start, count, clean);
	space->free += count;
	/* Lower than what the next search would begin with. */
	if (start < space->hint) {
		space->hint = start;
	}
}

bool space_find(struct space *space, uint64_t count, uint64_t *start, bool *clean)
{
	uint64_t run = 0, clean_run = 0, i = space->hint;
	bool seen_free = false;

	if (space->free < count) {
		return false;
	}
	while (i < space->end) {
		if (!(i % 64) && !~space->used[i / 64]) { /* 64 used ones at once */
			run = clean_run = 0;
			i += 64;
			continue;
		}
		if (get_bit(space->used, i)) {
			run = clean_run = 0;
			i++;
			continue;
		}
		/* Whatever run is found, the first free one is where the next search begins. */
		if (!seen_free) {
			seen_free = true;
			space->hint = i;
		}
		run++;
		clean_run = get_bit(space->clean, i) ? clean_run + 1 : 0;
		i++;
		if (run == count) {
			*start = i - count;
			*clean = clean_run >= count;
			return true;
		}
	}
	return false;
}

int space_grow(struct space *space, uint64_t end)
{
	if (reserve(space, end)) {
		return -ENOMEM;
	}
	set_bits(space->clean, space->end, end - space->end, true);
	space->free += end - space->end;
	space->end = end;
	return 0;
}

void space_cut(struct space *space, uint64_t end)
{
	space->free -= space->end - end;
	space->end = end;
	if (space->hint > end) {
		space->hint = end;
	}
}

uint64_t space_used_end(const struct space *space)
{
	uint64_t i = space->end;

	while (i && !get_bit(space->used, i - 1)) {
		i--;
	}
	return i;
}
