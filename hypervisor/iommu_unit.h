/*
 * What iommu.c and the drivers (vtd.c, amdvi.c) share of a unit. Both vendors' units take commands
 * of 16 bytes from a ring in memory, and one of the commands is to write a number.
 */
#ifndef HYPERVISOR_IOMMU_UNIT_H
#define HYPERVISOR_IOMMU_UNIT_H

#include <stdbool.h>
#include <stdint.h>

#include "hypervisor/iommu_domain.h"
#include "lib/addr.h"
#include "lib/check.h"
#include "tlfs/plat.h"

/* Commands in the ring, and entries of AMD's log. */
#define IOMMU_RING_ENTRIES (PAGE_SIZE / 16)

struct iommu_unit {
	volatile uint8_t *registers; /* [I] their first page */
	volatile uint8_t *
		second; /* [I] what the driver needs beside: VT-d's fault records, AMD's heads and tails */
	uint32_t second_at; /* [I] where that is among the registers */
	uint32_t
		fault_count; /* how many records may be taken. VT-d [I]: all of those that begin in their page */
	uint32_t flags;      /* [I] AMD: those of the table */
	uint8_t levels;      /* [I] of its page tables */
	uint8_t max_level;   /* [I] of a leaf */
	uint8_t width;       /* [I] bits of an address */
	uint16_t numbers;    /* [I] of domains, from 0 on */
	bool caches_absence; /* [I] */
	bool drains;         /* [I] VT-d: a flush can wait for DMA that is under way */
	bool remaps;         /* [I] VT-d: interrupts, too */
	bool wide;           /* [I] VT-d: entries for interrupts name a processor by 32 bits */
	uint64_t *tables
		[2]; /* [I] pages. VT-d: root table, context table of most buses; AMD: the log */
	uint64_t *interrupts; /* [I] VT-d: VTD_INTERRUPTS entries; NULL: they are not remapped */
	uint64_t *queue;      /* [I] the ring, a page */
	uint64_t *
		answer; /* [I] where the unit writes the number of the last flush that it has done */
	uint32_t tail;  /* memory lock: the next command's place */
	uint32_t asked; /* memory lock: the last flush's number */
};

struct iommu_fault {
	uint64_t address;
	uint16_t device; /* bus << 8 | device << 3 | function */
	uint8_t reason;  /* the vendor's number */
	bool write, interrupt;
};

/* A command into the ring. The unit sees it when it is told of the new tail. */
void iommu_unit_push(struct iommu_unit *unit, uint64_t low, uint64_t high);
/* Waits for the answer to the last flush; false: the unit gives none. */
bool iommu_unit_wait(const struct iommu_unit *unit) MUST_CHECK;
/* A second has gone since then, which no unit takes that works. */
bool iommu_unit_is_late(uint64_t since);

#endif
