/*
 * The units of VT-d as the root sees them, for the remapping of interrupts alone: registers that
 * are not there, a queue and a table in the root's memory. What is in that table is looked at when
 * the root says that it has changed, and what may be comes into a table that a unit uses.
 * docs/design/iommu.md says why; VT-d specification 4.1: 5.1, 6.5.2, 9.10, 11.4.
 *
 * A view has a lock of its own, outside the memory lock. What is written into entries is in force
 * when the root's write of the queue's tail is done.
 */
#ifndef HYPERVISOR_VTD_ROOT_H
#define HYPERVISOR_VTD_ROOT_H

#include <stdbool.h>
#include <stdint.h>

#include "hypervisor/iommu_unit.h"
#include "lib/check.h"
#include "lib/spinlock.h"

#define VTD_ROOT_REGISTERS 0xc0u /* bytes */

struct partition;

/* All fields under the lock, but for those that are [I]. */
struct vtd_root {
	struct spinlock lock;
	struct iommu_unit *unit; /* [I] */
	struct partition *root;  /* [I] */
	uint32_t words[VTD_ROOT_REGISTERS / 4];
	uint64_t table; /* the root's, as it was when the root had it taken */
	uint64_t queue;
};

/* The unit, whose table is empty, begins to be seen. */
void vtd_root_start(struct vtd_root *view, struct iommu_unit *unit, struct partition *root);
/* Registers, by 4 or 8 bytes; what is not there is 0, and does nothing. False: the unit does not
 * answer. */
uint64_t vtd_root_read(struct vtd_root *view, uint32_t at, unsigned int size);
bool vtd_root_write(struct vtd_root *view, uint32_t at, unsigned int size,
		    uint64_t value) MUST_CHECK;

#endif
