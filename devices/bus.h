/*
 * Ranges of ports and of memory, and the devices behind them.
 *
 * A device sees accesses of 1, 2 or 4 bytes, never wider than its class says and never over the end
 * of its range: the bus splits those that are. Where nobody is, reads give all ones and writes are
 * lost, as on the ISA bus.
 */
#ifndef DEVICES_BUS_H
#define DEVICES_BUS_H

#include <stdbool.h>
#include <stdint.h>

struct device_class {
	const char *name;
	unsigned int width; /* widest access in bytes: 1, 2 or 4 */
	/* `offset` is from the start of the range. `size` is at most `width`. */
	uint32_t (*read)(void *device, uint32_t offset, unsigned int size);
	void (*write)(void *device, uint32_t offset, unsigned int size, uint32_t value);
};

struct bus_range {
	uint64_t base;
	uint64_t length;
	const struct device_class *class;
	void *device;
};

#define BUS_MAX_RANGES 32

/* Sorted by base, not overlapping. Filled while the board is made, constant afterwards. */
struct bus {
	struct bus_range ranges[BUS_MAX_RANGES];
	unsigned int count;
};

/* False: no room, or it overlaps another. */
bool bus_add(struct bus *bus, uint64_t base, uint64_t length, const struct device_class *class,
	     void *device);
/* The range that holds this address, or NULL. */
const struct bus_range *bus_find(const struct bus *bus, uint64_t address);
/* Is anybody behind one of these bytes? */
bool bus_claimed(const struct bus *bus, uint64_t address, unsigned int size);
/* `size` is 1 to 8. The bytes above it are 0 in what a read gives. */
uint64_t bus_read(const struct bus *bus, uint64_t address, unsigned int size);
void bus_write(const struct bus *bus, uint64_t address, unsigned int size, uint64_t value);

#endif
