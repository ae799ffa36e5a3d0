/*
 * Ranges of ports and of memory, and what is behind them.
 *
 * Ranges may overlap; at each address the one with the highest priority counts, of equals the one
 * that was added first. They may come, go and move while VPs run. What an address means is looked
 * up in a view, a sorted list of pieces, which bus_update() makes anew of the ranges; so moving
 * costs, and looking up does not.
 *
 * A device sees accesses of 1, 2, 4 or 8 bytes, never wider than its class says and never over the
 * end of what is visible of its range: the bus splits those that are. Where nobody is, reads give
 * all ones and writes are lost, as on the ISA bus.
 *
 * A range may have pages of the home's memory, which guests then reach without leaving:
 * bus_update() tells the home which (host.h). What comes to the bus all the same is served from the
 * pages.
 *
 * Lock: the board's, in everything but bus_claimed(). A VP that asks that one beside a bus_update()
 * finds the range where it was or where it is: the answer "nobody" is never taken back by a change
 * that went before, and every other answer is looked up under the lock.
 */
#ifndef DEVICES_BUS_H
#define DEVICES_BUS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct host;
struct state_reader;
struct state_writer;

struct device_class {
	const char *name;
	unsigned int width; /* widest access in bytes: 1, 2, 4 or 8 */
	/* `offset` is from the start of the device's registers. `size` is at most `width`. */
	uint64_t (*read)(void *device, uint32_t offset, unsigned int size);
	void (*write)(void *device, uint32_t offset, unsigned int size, uint64_t value);
	/*
	 * The state of the whole device (parts.h); NULL where another class of it has that. `name`
	 * has at most STATE_NAME_BYTES letters then. load() reads all and checks it before it
	 * changes anything, and without `set` it changes nothing.
	 */
	uint16_t version; /* of what save() writes and the newest that load() reads */
	void (*save)(const void *device, struct state_writer *writer);
	void (*load)(void *device, struct state_reader *part, bool set);
};

/* What guests reach of a range's pages without an exit. */
enum bus_direct {
	BUS_DIRECT_NONE,  /* nothing: every access is the device's */
	BUS_DIRECT_READ,  /* reads and fetches; writes are the device's, or lost if there is none */
	BUS_DIRECT_WRITE, /* all */
};

/* From low to high. */
enum bus_priority {
	BUS_PRIORITY_PCI, /* BARs: decoded where nobody else is */
	BUS_PRIORITY_VIDEO, /* a frame that VMBus' display has where its guest wants it, over BARs of the firmware's too */
	BUS_PRIORITY_BOARD, /* what has a fixed place */
	BUS_PRIORITY_RAM,   /* none of it is behind a bus, unless the chip set switches it off */
};

/*
 * The owner's, who fills it in before bus_add() and may change base, enabled and direct afterwards,
 * to be seen from the next bus_update() on. An alias is another range with the same device or pages
 * and an offset.
 */
struct bus_range {
	uint64_t base;
	uint64_t length;                  /* base + length is at most 2^64 */
	const struct device_class *class; /* NULL: no device */
	void *device;
	uint8_t *pages;  /* of the home's memory, page aligned; NULL: none */
	uint64_t offset; /* of the range's first byte, in the device's registers or in the pages */
	enum bus_priority priority;
	enum bus_direct direct;
	bool enabled;
};

/* One piece of the view: where the range `range` counts. */
struct bus_slice {
	uint64_t base, last;
	uint64_t offset; /* of its first byte */
	const struct bus_range *range;
	enum bus_direct direct;
	unsigned int width; /* of an access in one piece */
};

#define BUS_MAX_RANGES 128
#define BUS_MAX_SLICES (2 * BUS_MAX_RANGES)
#define BUS_MARKS      65536

struct bus {
	struct host *host;                        /* NULL: no range has pages */
	struct bus_range *ranges[BUS_MAX_RANGES]; /* the highest priority first */
	unsigned int range_count;
	unsigned int
		mark_shift; /* an address's mark is that of (address >> mark_shift) % BUS_MARKS */
	struct bus_slice slices[BUS_MAX_SLICES]; /* sorted by base, not overlapping */
	unsigned int slice_count;
	/* A bit for each group of addresses in which somebody is or was. Only ever set, so that it
	 * can be read without the lock. */
	_Atomic(uint64_t) marks[BUS_MARKS / 64];
};

#define BUS_PORT_SHIFT   0
#define BUS_MEMORY_SHIFT 16

void bus_init(struct bus *bus, struct host *host, unsigned int mark_shift);
/* False: no room, or lengths that cannot be. Before any VP runs; seen from the next bus_update()
 * on. */
bool bus_add(struct bus *bus, struct bus_range *range);
/* Takes over what the owners have changed in their ranges, and tells the home. */
void bus_update(struct bus *bus);
/* Tells the home all that it has to map, as after a partition was made. */
void bus_map(const struct bus *bus);

/* The piece that holds this address, or NULL. */
const struct bus_slice *bus_find(const struct bus *bus, uint64_t address);
/* May anybody be behind one of these bytes? Without the lock. `size` is 1 to 8. Most ports that a
 * system tries have nobody, so it is short. */
static inline bool bus_claimed(struct bus *bus, uint64_t address, unsigned int size)
{
	uint64_t group = address >> bus->mark_shift;
	uint64_t last = (address + size - 1) >> bus->mark_shift;

	for (;; group++) {
		_Atomic(uint64_t) *word = &bus->marks[group % BUS_MARKS / 64];

		if (atomic_load_explicit(word, memory_order_relaxed) >> group % 64 & 1) {
			return true;
		}
		if (group == last) {
			return false;
		}
	}
}
/* `size` is 1 to 8. The bytes above it are 0 in what a read gives. */
uint64_t bus_read(const struct bus *bus, uint64_t address, unsigned int size);
void bus_write(const struct bus *bus, uint64_t address, unsigned int size, uint64_t value);

#endif
