/*
 * Interrupts of devices that are in domains of their own: each of them has a table, and raises what
 * is in it, by numbers that it was told (a message's data). plat_device_interrupt_*() of
 * tlfs/plat.h are their interface, docs/design/iommu.md has the invariants. Memory lock. Where
 * units do not remap (iommu_domain.remaps) there are no tables.
 */
#ifndef HYPERVISOR_IOMMU_INTERRUPT_H
#define HYPERVISOR_IOMMU_INTERRUPT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/check.h"

#define INTERRUPT_TABLE_LOG2    9u
#define INTERRUPT_TABLE_ENTRIES (1u << INTERRUPT_TABLE_LOG2)

/* A page of the root's pool. */
struct interrupt_table {
	uint32_t entries[INTERRUPT_TABLE_ENTRIES]; /* in the unit's format; 0: refused */
	struct interrupt_table *next;
	uint16_t device;
};

/* NULL: it has none. */
struct interrupt_table *iommu_interrupt_table(uint16_t device);
/* An empty one for a device without; NULL: the pool is empty. Freed when no unit knows of it any
 * more. */
struct interrupt_table *iommu_interrupt_table_make(uint16_t device) MUST_CHECK;
void iommu_interrupt_table_free(uint16_t device);

/* Boot, or a test's next machine: no device has one. */
void iommu_interrupt_reset(void);

#endif
