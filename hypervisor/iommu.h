/*
 * The machine's IOMMU is the hypervisor's: what a device of the root reaches by DMA is what the
 * root itself reaches. docs/design/iommu.md has the invariants (D…).
 *
 * Boot, on the boot LP alone and in this order: iommu_find(), iommu_boot(), iommu_start(). A
 * machine without a usable IOMMU says so on the console and runs on; all functions do nothing
 * there.
 */
#ifndef HYPERVISOR_IOMMU_H
#define HYPERVISOR_IOMMU_H

#include <stdbool.h>
#include <stdint.h>

#include "include/boot/handoff.h"
#include "lib/check.h"

struct partition;
struct root_registers;

/* Reads the firmware's table. On the loader's identity map: before paging_init(). */
void iommu_find(const struct handoff *handoff);
/* Looks at the units, whose registers are in no partition's map from now on. After memory_boot()
 * and paging_init(), before memory_init(). */
void iommu_boot(const struct handoff *handoff);
/* Makes the root's domain, from its pool, and gives all devices to it. After memory_init(), before
 * the root runs. */
void iommu_start(struct partition *root);

/*
 * ---- a page that leaves the root's domain (a deposit) and comes back (a withdrawal). Memory lock
 * held alone. ----
 *
 * iommu_split() makes what iommu_hide() needs, false: the root's pool is empty; iommu_join() takes
 * that back when nothing was hidden. A page that was hidden may be used otherwise after
 * iommu_flush(), not before. iommu_show() needs no memory.
 */
bool iommu_split(uint64_t spn) MUST_CHECK;
void iommu_join(uint64_t spn);
void iommu_hide(uint64_t spn);
void iommu_show(uint64_t spn);
void iommu_flush(void);

/*
 * Is there a register of a unit at this address? What the root does with one is done by
 * root_access(): VT-d's are those for interrupts, at the others nobody answers, so they are ones
 * and do nothing. Any LP, no locks.
 */
bool iommu_is_at(uint64_t gpa);
extern const struct root_registers iommu_registers;

/* Now and then, on any LP, without locks: writes to the console which devices were refused what. */
void iommu_poll(void);

#endif
