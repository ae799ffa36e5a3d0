/*
 * The guest's RAM: one memfd, mapped once, and where its parts appear to the guest.
 *
 *   0 … 640 KiB               RAM
 *   640 KiB … 768 KiB         nothing (a PC has its VGA there)
 *   768 KiB … low_end         RAM, at most to MEMORY_HOLE_BASE; the ACPI tables lie in it, reserved
 *                             (devices/acpi_tables.h)
 *   MEMORY_HOLE_BASE … 4 GiB  nothing: devices' memory
 *   4 GiB … high_end          the rest of the RAM
 *
 * Memory that is added while the guest runs (memory_add()) follows at the end of each part, from an
 * address that is aligned as the guest wants it: what is left out before that is a gap, and no RAM.
 *
 * Nobody has the memory for good. Who wants to read or write it acquires a range of GPAs, uses the
 * address that it gets, and completes the range, saying how much from its beginning was written. So
 * a page that is in use is not removed, and what was written is in the log of dirty pages, if one
 * is kept. A page counts each acquisition of it; no locks are taken. All calls of the second half
 * may be made on any thread, several at once.
 */
#ifndef WORKER_MEMORY_H
#define WORKER_MEMORY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "backend/backend.h"

#define MEMORY_VGA_BASE  0xa0000ull
#define MEMORY_VGA_END   0xc0000ull
#define MEMORY_HOLE_BASE 0xf8000000ull
#define MEMORY_HOLE_END                                                                            \
	0xfec00000ull /* of what guests are told of it: devices that they place themselves */
#define MEMORY_4G   0x100000000ull
#define MEMORY_MIN  (8ull << 20)
#define MEMORY_MAX  (1ull << 42)
#define MEMORY_UNIT (2ull << 20) /* sizes are multiples of it */

#define MEMORY_PAGE 4096ull

/* Does the guest's ACPI say (devices/dsdt.asl) that devices which it places may have this
 * memory? */
static inline bool memory_is_for_devices(uint64_t gpa, uint64_t length)
{
	return gpa >= MEMORY_HOLE_BASE && gpa < MEMORY_HOLE_END && length <= MEMORY_HOLE_END - gpa;
}

/* A part of the address space, below the hole or above it. RAM is in it to the end of the start's,
 * and from the first addition on. */
struct memory_part {
	uint64_t start;         /* end of what there is at a start */
	_Atomic uint64_t added; /* where the first addition began; 0: nothing was added */
};

struct memory {
	int fd;
	uint8_t *base; /* 2 MiB aligned; the guest's RAM without the holes, low part first */
	uint64_t size; /* of `base`: all that the guest may ever have */
	_Atomic uint64_t low_end;  /* end of RAM below the hole */
	_Atomic uint64_t high_end; /* MEMORY_4G if there is none above */
	struct memory_part low, high;
	/* By page of `base`: how often it is acquired, and MEMORY_REMOVED. */
	_Atomic uint32_t *users;
	_Atomic uint64_t *log; /* a bit for each page of `base`; NULL until one is wanted */
	_Atomic bool log_is_kept;
	/* Of a memory in blocks of MEMORY_UNIT, each a region of its own: */
	bool in_blocks;
	pthread_mutex_t blocks_lock;
	struct backend_partition *partition; /* under blocks_lock; NULL: it is mapped in none */
	_Atomic uint64_t away;               /* bytes that the root has */
	uint64_t withdrawn;                  /* bytes; under blocks_lock */
};

#define MEMORY_REMOVED (1u << 31)

/*
 * -errno. Both sizes are multiples of MEMORY_UNIT: what there is at a start, and with what is
 * added. In blocks: they can be given back one by one.
 */
int memory_create(struct memory *memory, uint64_t start, uint64_t size, bool in_blocks) MUST_CHECK;
void memory_destroy(struct memory *memory);
/* As after power-on: all zeros, and nothing added. No partition has it mapped. */
int memory_clear(struct memory *memory) MUST_CHECK;
int memory_map(struct memory *memory, struct backend_partition *partition) MUST_CHECK;
/* The partition is gone. */
void memory_unmap(struct memory *memory);

/* All RAM of a memory that is not in blocks: where the guest has it, and where it is. How many
 * ranges they are. */
#define MEMORY_RANGES 6u

struct memory_range {
	uint64_t gpa, length;
	void *memory;
};

unsigned int memory_ranges(const struct memory *memory, struct memory_range ranges[MEMORY_RANGES]);

/*
 * Where `length` bytes of guest RAM from `gpa` on are, or NULL if not all of them are RAM that is
 * there. Until memory_complete() of the same range they stay there.
 */
void *memory_acquire(const struct memory *memory, uint64_t gpa, uint64_t length) MUST_CHECK;
/* The first `written` bytes of it may have been written. */
void memory_complete(const struct memory *memory, uint64_t gpa, uint64_t length, uint64_t written);
/* The same for part of a range that is acquired, and stays so. */
void memory_wrote(const struct memory *memory, uint64_t gpa, uint64_t length);

/*
 * A range as guests name it: the pages in order, wherever they are, an offset into the first of
 * them, and a length of at least 1. Returns the number of entries of `iov` in use, neighbours
 * joined; -EFAULT: a page is not RAM; -E2BIG: `max` entries are too few.
 */
int memory_acquire_pages(const struct memory *memory, const uint64_t *pages, uint32_t offset,
			 uint32_t length, struct iovec *iov, unsigned int max) MUST_CHECK;
void memory_complete_pages(const struct memory *memory, const uint64_t *pages, uint32_t offset,
			   uint32_t length, uint32_t written);
void memory_wrote_pages(const struct memory *memory, const uint64_t *pages, uint32_t offset,
			uint32_t length);

/* Is all of it RAM, there or given back? */
bool memory_is_ram(const struct memory *memory, uint64_t gpa, uint64_t length) MUST_CHECK;

/* A copy from or to guest RAM. False: not all of it is RAM that is there; then nothing was
 * copied. */
bool memory_get(const struct memory *memory, uint64_t gpa, void *to, uint64_t length) MUST_CHECK;
bool memory_put(const struct memory *memory, uint64_t gpa, const void *from,
		uint64_t length) MUST_CHECK;

/*
 * The log of pages that were written, by the guest's VPs and by this process; all clean at first.
 * What was written before is not in it; what is acquired meanwhile will be, at its completion.
 * -errno. One thread at a time, all three.
 */
int memory_log_start(struct memory *memory, struct backend_partition *partition) MUST_CHECK;
void memory_log_stop(struct memory *memory, struct backend_partition *partition);
/*
 * Pages from `gpa` on, which is aligned as `length` to 4 KiB, that were written since they were
 * last asked for: a bit for each, as backend_partition_dirty() has them. What is not RAM is clean.
 * -errno: then they are all told as written.
 */
int memory_dirty(struct memory *memory, struct backend_partition *partition, uint64_t gpa,
		 uint64_t length, uint8_t *bitmap) MUST_CHECK;

/*
 * Takes pages from the guest, whose partition has them mapped no longer, and gives them to the
 * host; the range is page aligned. -EBUSY: somebody has acquired one of them; -EFAULT: it is not
 * RAM that is there. Then nothing has changed. memory_restore() brings them back, all zeros.
 */
int memory_remove(struct memory *memory, uint64_t gpa, uint64_t length) MUST_CHECK;
void memory_restore(struct memory *memory, uint64_t gpa, uint64_t length);

/*
 * A block of MEMORY_UNIT, aligned, of a memory that is in blocks and mapped: taken from the guest
 * and given to the host. VPs may run, and whoever touches it meanwhile has it back:
 * memory_bring_back(). 0 also if it is away. As memory_remove(), and -EINVAL: it is no block.
 */
int memory_give_back(struct memory *memory, uint64_t gpa) MUST_CHECK;
/* It is the guest's again, all zeros. 0 also if it is there. -EINVAL; -ENOMEM: the host has
 * none. */
int memory_bring_back(struct memory *memory, uint64_t gpa) MUST_CHECK;

/*
 * Memory that is in blocks and mapped becomes more, and less again. A stretch of `length` bytes,
 * aligned to that, which is a multiple of MEMORY_UNIT: the lowest that could be added; false: there
 * is none.
 */
bool memory_find_room(const struct memory *memory, uint64_t length, uint64_t *gpa) MUST_CHECK;
/* It is RAM, all zeros, where memory_find_room() has found it. -EBUSY: a log is kept; -ENOMEM: the
 * host has none. */
int memory_add(struct memory *memory, uint64_t gpa, uint64_t length) MUST_CHECK;
/* What was added last is none again. -EBUSY: somebody has acquired some of it, and it stays. */
int memory_withdraw(struct memory *memory, uint64_t gpa, uint64_t length) MUST_CHECK;

/* How much RAM there is now, and above which address there is never any. */
uint64_t memory_ram(const struct memory *memory) MUST_CHECK;
uint64_t memory_limit(const struct memory *memory) MUST_CHECK;

/* What was added, for a state: ranges of each part, MEMORY_ADDED numbers in all. False: they cannot
 * be this memory's. */
#define MEMORY_ADDED 4u
void memory_get_added(const struct memory *memory, uint64_t added[MEMORY_ADDED]);
/* Of a memory that is new, or was cleared, and mapped nowhere. */
bool memory_set_added(struct memory *memory, const uint64_t added[MEMORY_ADDED]) MUST_CHECK;

/* The host has the page's block. */
bool memory_is_away(const struct memory *memory, uint64_t gpa) MUST_CHECK;
/* Is it one that has been given back, or is about to be or to come? */
bool memory_is_in_block(const struct memory *memory, uint64_t gpa) MUST_CHECK;

#endif
