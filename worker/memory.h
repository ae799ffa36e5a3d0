/*
 * The guest's RAM: one memfd, mapped once, and where its parts appear to the guest.
 *
 *   0 … 640 KiB               RAM
 *   640 KiB … 768 KiB         nothing (a PC has its VGA there)
 *   768 KiB … low_end         RAM, at most to MEMORY_HOLE_BASE; the ACPI tables lie in it, reserved
 *                             (devices/acpi_tables.h)
 *   MEMORY_HOLE_BASE … 4 GiB  nothing: devices' memory
 *   4 GiB … high_end          the rest of the RAM
 */
#ifndef WORKER_MEMORY_H
#define WORKER_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/backend.h"

#define MEMORY_VGA_BASE  0xa0000ull
#define MEMORY_VGA_END   0xc0000ull
#define MEMORY_HOLE_BASE 0xf8000000ull
#define MEMORY_4G        0x100000000ull
#define MEMORY_MIN       (8ull << 20)
#define MEMORY_UNIT      (2ull << 20) /* sizes are multiples of it */

struct memory {
	int fd;
	uint8_t *base; /* 2 MiB aligned; the guest's RAM without the holes, low part first */
	uint64_t size;
	uint64_t low_end;  /* end of RAM below the hole */
	uint64_t high_end; /* MEMORY_4G if there is none above */
};

/* -errno. `size` is a multiple of MEMORY_UNIT. */
int memory_create(struct memory *memory, uint64_t size) MUST_CHECK;
void memory_destroy(struct memory *memory);
/* All zeros again, as after power-on. No partition has it mapped. */
int memory_clear(struct memory *memory) MUST_CHECK;
int memory_map(const struct memory *memory, struct backend_partition *partition) MUST_CHECK;

/* Where `length` bytes of guest RAM from `gpa` on are, or NULL if not all of them are RAM. */
void *memory_at(const struct memory *memory, uint64_t gpa, uint64_t length);

#endif
