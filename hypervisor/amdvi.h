/*
 * One unit of AMD's IOMMU (AMD I/O Virtualization Technology specification 3.08): registers, device table, ring of commands, event log.
 */
#ifndef HYPERVISOR_AMDVI_H
#define HYPERVISOR_AMDVI_H

#include <stdbool.h>
#include <stdint.h>

#include "hypervisor/iommu_unit.h"

#define AMDVI_DEVICE_TABLE_PAGES 512u /* 32 bytes for each of 65,536 devices */

/* What stands against this unit; NULL: nothing, and its fields are set. */
const char *amdvi_judge(struct iommu_unit *unit);
/* The table for all units: each device, also one that is not there yet, is in the domain. */
void amdvi_fill_devices(uint64_t *devices, spa_t top);
/* The table is in force from now on. False: the unit does not answer. */
bool amdvi_start(struct iommu_unit *unit, const uint64_t *devices) MUST_CHECK;
/* Ends with iommu_unit_wait(). */
void amdvi_flush_begin(struct iommu_unit *unit);
/* Something was logged: unit->fault_count events. */
bool amdvi_has_faults(struct iommu_unit *unit);
/* The next of them. */
void amdvi_take_fault(struct iommu_unit *unit, struct iommu_fault *fault);

#endif
