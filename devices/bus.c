/* Routes an access to the device whose range holds it, in pieces that the device understands. See
 * bus.h. */
#include "devices/bus.h"

#include <string.h>

/* Index of the first range whose end is above the address. */
static unsigned int lower_bound(const struct bus *bus, uint64_t address)
{
	unsigned int low = 0, high = bus->count;

	while (low < high) {
		unsigned int middle = (low + high) / 2;
		const struct bus_range *range = &bus->ranges[middle];

		if (address - range->base < range->length || address < range->base) {
			high = middle;
		} else {
			low = middle + 1;
		}
	}
	return low;
}

bool bus_add(struct bus *bus, uint64_t base, uint64_t length, const struct device_class *class,
	     void *device)
{
	unsigned int at = lower_bound(bus, base);

	if (bus->count == BUS_MAX_RANGES || length == 0 || length > UINT64_MAX - base) {
		return false;
	}
	if (at < bus->count && bus->ranges[at].base < base + length) {
		return false;
	}
	memmove(&bus->ranges[at + 1], &bus->ranges[at], (bus->count - at) * sizeof(bus->ranges[0]));
	bus->ranges[at] = (struct bus_range){base, length, class, device};
	bus->count++;
	return true;
}

const struct bus_range *bus_find(const struct bus *bus, uint64_t address)
{
	unsigned int at = lower_bound(bus, address);

	if (at == bus->count || address < bus->ranges[at].base) {
		return NULL;
	}
	return &bus->ranges[at];
}

bool bus_claimed(const struct bus *bus, uint64_t address, unsigned int size)
{
	unsigned int at = lower_bound(bus, address);

	return at < bus->count && bus->ranges[at].base < address + size;
}

/* The largest access that starts here: a power of two, within the class's width, the range and what
 * is asked for. */
static unsigned int piece(const struct bus_range *range, uint64_t offset, unsigned int size)
{
	unsigned int width = range->class->width;

	while (width > size || width > range->length - offset) {
		width /= 2;
	}
	return width;
}

static uint64_t ones(unsigned int size)
{
	return size == 8 ? UINT64_MAX : (1ull << (8 * size)) - 1;
}

uint64_t bus_read(const struct bus *bus, uint64_t address, unsigned int size)
{
	uint64_t value = 0;
	unsigned int done, step;

	for (done = 0; done < size; done += step) {
		const struct bus_range *range = bus_find(bus, address + done);
		uint64_t part = 0xff;

		step = 1;
		if (range != NULL) {
			uint64_t offset = address + done - range->base;

			step = piece(range, offset, size - done);
			part = range->class->read(range->device, offset, step) & ones(step);
		}
		value |= part << (8 * done);
	}
	return value;
}

void bus_write(const struct bus *bus, uint64_t address, unsigned int size, uint64_t value)
{
	unsigned int done, step;

	for (done = 0; done < size; done += step) {
		const struct bus_range *range = bus_find(bus, address + done);

		step = 1;
		if (range != NULL) {
			uint64_t offset = address + done - range->base;

			step = piece(range, offset, size - done);
			range->class->write(range->device, offset, step,
					    (uint32_t)((value >> (8 * done)) & ones(step)));
		}
	}
}
