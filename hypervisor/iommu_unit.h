/*
 * What iommu.c and the drivers (vtd.c, amdvi.c) share of a unit.
 */
#ifndef HYPERVISOR_IOMMU_UNIT_H
#define HYPERVISOR_IOMMU_UNIT_H

#include <stdbool.h>
#include <stdint.h>

#include "hypervisor/iommu_domain.h"
#include "lib/addr.h"
#include "lib/check.h"
#include "tlfs/plat.h"

/* Of the root's domain; number 0 means none to some units. */
#define IOMMU_ROOT_DOMAIN 1

struct iommu_unit {
	uint64_t base;               /* [I] */
	volatile uint8_t *registers; /* [I] */
	volatile uint8_t *faults;    /* [I] the records, VT-d */
	uint32_t faults_at;          /* [I] where they are among the registers */
	uint32_t fault_count;        /* [I] how many there are, of those in their first page */
	uint8_t levels;              /* [I] of its page tables */
	uint8_t max_level;           /* [I] of a leaf */
	bool caches_absence;         /* [I] */
	bool drains;                 /* [I] VT-d: a flush can wait for DMA that is under way */
	uint64_t *tables[2];         /* [I] pages: root and context table */
	uint64_t *queue;             /* [I] a page of commands */
	uint64_t *
		answer; /* [I] where the unit writes the number of the last flush that it has done */
	uint32_t tail;  /* memory lock: the next command's place */
	uint32_t asked; /* memory lock: the last flush's number */
};

struct iommu_fault {
	uint64_t address;
	uint16_t device; /* bus << 8 | device << 3 | function */
	uint8_t reason;  /* the vendor's number */
	bool write;
};

/* A second, which no unit takes that works. */
static inline uint64_t iommu_patience(void)
{
	return plat_info.tsc_hz;
}

#endif
