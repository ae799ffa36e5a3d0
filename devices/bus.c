/* Routes an access to what counts at its address, in pieces that a device understands. See
 * bus.h. */
#include "devices/bus.h"

#include <stddef.h>
#include <string.h>

#include "devices/host.h"
#include "lib/addr.h"

void bus_init(struct bus *bus, struct host *host, unsigned int mark_shift)
{
	memset(bus, 0, sizeof(*bus));
	bus->host = host;
	bus->mark_shift = mark_shift;
}

bool bus_add(struct bus *bus, struct bus_range *range)
{
	unsigned int at = 0;

	if (bus->range_count == BUS_MAX_RANGES || range->length == 0 ||
	    range->length - 1 > UINT64_MAX - range->base) {
		return false;
	}
	while (at < bus->range_count && bus->ranges[at]->priority >= range->priority) {
		at++;
	}
	memmove(&bus->ranges[at + 1], &bus->ranges[at],
		(bus->range_count - at) * sizeof(bus->ranges[0]));
	bus->ranges[at] = range;
	bus->range_count++;
	return true;
}

/* ---- The view ---- */

static uint64_t last_of(const struct bus_range *range)
{
	return range->base + (range->length - 1);
}

static void sort(uint64_t *values, unsigned int count)
{
	unsigned int i, j;

	for (i = 1; i < count; i++) {
		uint64_t value = values[i];

		for (j = i; j > 0 && values[j - 1] > value; j--) {
			values[j] = values[j - 1];
		}
		values[j] = value;
	}
}

/* Where the view may change: the addresses at which a range begins, and those behind an end. */
static unsigned int boundaries(const struct bus *bus, uint64_t at[BUS_MAX_SLICES])
{
	unsigned int i, count = 0;

	for (i = 0; i < bus->range_count; i++) {
		const struct bus_range *range = bus->ranges[i];

		if (range->enabled) {
			at[count++] = range->base;
			if (last_of(range) != UINT64_MAX) {
				at[count++] = last_of(range) + 1;
			}
		}
	}
	sort(at, count);
	return count;
}

/* What counts at this address. */
static const struct bus_range *winner(const struct bus *bus, uint64_t address)
{
	unsigned int i;

	for (i = 0; i < bus->range_count; i++) {
		const struct bus_range *range = bus->ranges[i];

		if (range->enabled && address - range->base < range->length) {
			return range;
		}
	}
	return NULL;
}

static void append(struct bus *bus, const struct bus_range *range, uint64_t base, uint64_t last)
{
	struct bus_slice *slice = &bus->slices[bus->slice_count];

	if (bus->slice_count != 0 && slice[-1].range == range && slice[-1].last + 1 == base) {
		slice[-1].last = last;
		return;
	}
	*slice = (struct bus_slice){
		.base = base,
		.last = last,
		.offset = range->offset + (base - range->base),
		.range = range,
		.direct = range->pages != NULL ? range->direct : BUS_DIRECT_NONE,
		.width = range->class != NULL ? range->class->width : 8,
	};
	if (slice->direct == BUS_DIRECT_WRITE) {
		slice->width = 8;
	}
	bus->slice_count++;
}

static void make_view(struct bus *bus)
{
	uint64_t at[BUS_MAX_SLICES];
	unsigned int i, count = boundaries(bus, at);

	bus->slice_count = 0;
	for (i = 0; i < count; i++) {
		uint64_t last = i + 1 < count ? at[i + 1] - 1 : UINT64_MAX;
		const struct bus_range *range = winner(bus, at[i]);

		if (range != NULL && (i + 1 == count || at[i + 1] != at[i])) {
			append(bus, range, at[i], last);
		}
	}
}

/* ---- Marks ---- */

static void mark(struct bus *bus, uint64_t group)
{
	_Atomic(uint64_t) *word = &bus->marks[group % BUS_MARKS / 64];
	uint64_t bit = 1ull << group % 64;

	if (!(atomic_load_explicit(word, memory_order_relaxed) & bit)) {
		atomic_fetch_or(word, bit);
	}
}

static void mark_view(struct bus *bus)
{
	unsigned int i;

	for (i = 0; i < bus->slice_count; i++) {
		uint64_t first = bus->slices[i].base >> bus->mark_shift;
		uint64_t count = (bus->slices[i].last >> bus->mark_shift) - first, j;

		for (j = 0; j <= count && j < BUS_MARKS; j++) {
			mark(bus, first + j);
		}
	}
}

/* ---- What the home maps ---- */

struct mapping {
	uint64_t gpa, length;
	uint8_t *pages;
	bool writable;
};

/* The whole pages of a piece that guests reach directly. False: there are none. */
static bool mapping_of(const struct bus_slice *slice, struct mapping *mapping)
{
	uint64_t first = (slice->base + PAGE_MASK) & ~PAGE_MASK;
	uint64_t end = (slice->last + 1) & ~PAGE_MASK;
	uint64_t offset = slice->offset + (first - slice->base);

	if (slice->direct == BUS_DIRECT_NONE || end <= first || (offset & PAGE_MASK)) {
		return false;
	}
	*mapping = (struct mapping){
		.gpa = first,
		.length = end - first,
		.pages = slice->range->pages + offset,
		.writable = slice->direct == BUS_DIRECT_WRITE,
	};
	return true;
}

static bool has_mapping(const struct bus_slice *slices, unsigned int count,
			const struct mapping *wanted)
{
	struct mapping other;
	unsigned int i;

	for (i = 0; i < count; i++) {
		if (mapping_of(&slices[i], &other) && other.gpa == wanted->gpa &&
		    other.length == wanted->length && other.pages == wanted->pages &&
		    other.writable == wanted->writable) {
			return true;
		}
	}
	return false;
}

void bus_update(struct bus *bus)
{
	struct bus_slice old[BUS_MAX_SLICES];
	unsigned int i, old_count = bus->slice_count;
	struct mapping mapping;

	memcpy(old, bus->slices, old_count * sizeof(old[0]));
	make_view(bus);
	mark_view(bus);
	for (i = 0; i < old_count; i++) {
		if (mapping_of(&old[i], &mapping) &&
		    !has_mapping(bus->slices, bus->slice_count, &mapping)) {
			host_unmap(bus->host, mapping.gpa, mapping.pages, mapping.length);
		}
	}
	for (i = 0; i < bus->slice_count; i++) {
		if (mapping_of(&bus->slices[i], &mapping) &&
		    !has_mapping(old, old_count, &mapping)) {
			host_map(bus->host, mapping.gpa, mapping.pages, mapping.length,
				 mapping.writable);
		}
	}
}

void bus_map(const struct bus *bus)
{
	struct mapping mapping;
	unsigned int i;

	for (i = 0; i < bus->slice_count; i++) {
		if (mapping_of(&bus->slices[i], &mapping)) {
			host_map(bus->host, mapping.gpa, mapping.pages, mapping.length,
				 mapping.writable);
		}
	}
}

/* ---- Accesses ---- */

const struct bus_slice *bus_find(const struct bus *bus, uint64_t address)
{
	const struct bus_slice *slice = bus->slices;
	unsigned int count = bus->slice_count;

	/* The last one that does not begin above the address, if there is any. */
	while (count > 1) {
		unsigned int half = count / 2;

		slice = slice[half].base <= address ? slice + half : slice;
		count -= half;
	}
	return count != 0 && address >= slice->base && address <= slice->last ? slice : NULL;
}

/* The largest access that starts here: a power of two, within what is understood, the piece and
 * what is asked for. */
static unsigned int step_of(const struct bus_slice *slice, uint64_t address, unsigned int size)
{
	unsigned int width = slice->width;

	while (width > size || width - 1 > slice->last - address) {
		width /= 2;
	}
	return width;
}

static uint64_t ones(unsigned int size)
{
	return UINT64_MAX >> (64 - 8 * size);
}

/* In one piece where it is aligned, as a processor does: a VP may be looking. */
static uint64_t pages_read(const uint8_t *at, unsigned int size)
{
	uint64_t value = 0;

	if ((uintptr_t)at % size != 0) {
		memcpy(&value, at, size);
		return value;
	}
	switch (size) {
	case 1:
		return *(const volatile uint8_t *)at;
	case 2:
		return *(const volatile uint16_t *)at;
	case 4:
		return *(const volatile uint32_t *)at;
	default:
		return *(const volatile uint64_t *)at;
	}
}

static void pages_write(uint8_t *at, unsigned int size, uint64_t value)
{
	if ((uintptr_t)at % size != 0) {
		memcpy(at, &value, size);
		return;
	}
	switch (size) {
	case 1:
		*(volatile uint8_t *)at = (uint8_t)value;
		break;
	case 2:
		*(volatile uint16_t *)at = (uint16_t)value;
		break;
	case 4:
		*(volatile uint32_t *)at = (uint32_t)value;
		break;
	default:
		*(volatile uint64_t *)at = value;
		break;
	}
}

/* An access that is no wider than step_of() allows. */
static uint64_t slice_read(const struct bus_slice *slice, uint64_t address, unsigned int size)
{
	const struct bus_range *range = slice->range;
	uint64_t offset = slice->offset + (address - slice->base);

	if (slice->direct != BUS_DIRECT_NONE) {
		return pages_read(range->pages + offset, size);
	}
	if (range->class == NULL) {
		return UINT64_MAX;
	}
	return range->class->read(range->device, (uint32_t)offset, size);
}

static void slice_write(const struct bus_slice *slice, uint64_t address, unsigned int size,
			uint64_t value)
{
	const struct bus_range *range = slice->range;
	uint64_t offset = slice->offset + (address - slice->base);

	if (slice->direct == BUS_DIRECT_WRITE) {
		pages_write(range->pages + offset, size, value);
	} else if (range->class != NULL) {
		range->class->write(range->device, (uint32_t)offset, size, value);
	}
}

uint64_t bus_read(const struct bus *bus, uint64_t address, unsigned int size)
{
	uint64_t value = 0;
	unsigned int done, step;

	for (done = 0; done < size; done += step) {
		const struct bus_slice *slice = bus_find(bus, address + done);
		uint64_t part = UINT64_MAX;

		step = 1;
		if (slice != NULL) {
			step = step_of(slice, address + done, size - done);
			part = slice_read(slice, address + done, step);
		}
		value |= (part & ones(step)) << (8 * done);
	}
	return value;
}

void bus_write(const struct bus *bus, uint64_t address, unsigned int size, uint64_t value)
{
	unsigned int done, step;

	for (done = 0; done < size; done += step) {
		const struct bus_slice *slice = bus_find(bus, address + done);

		step = 1;
		if (slice != NULL) {
			step = step_of(slice, address + done, size - done);
			slice_write(slice, address + done, step, value >> (8 * done) & ones(step));
		}
	}
}
