/*
 * One unit of Intel's IOMMU (VT-d specification 4.1): registers, root and context tables, queued invalidation, fault records.
 */
#ifndef HYPERVISOR_VTD_H
#define HYPERVISOR_VTD_H

#include <stdbool.h>
#include <stdint.h>

#include "hypervisor/iommu_unit.h"

/* What stands against this unit; NULL: nothing, and the fields that are found in its registers are set. `last`: the highest address. */
const char *vtd_judge(struct iommu_unit *unit, uint64_t last);
/* All devices are in the domain from now on. False: the unit does not answer. */
bool vtd_start(struct iommu_unit *unit, spa_t top) MUST_CHECK;
/* Ends with iommu_unit_wait(). */
void vtd_flush_begin(struct iommu_unit *unit);
/* Something was recorded; the i-th record of unit->fault_count, which is free again then. */
bool vtd_has_faults(const struct iommu_unit *unit);
bool vtd_take_fault(struct iommu_unit *unit, uint32_t i, struct iommu_fault *fault);

#endif
