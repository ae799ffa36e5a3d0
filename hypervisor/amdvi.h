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
/*
 * A device's entry of the table: nothing, or the domain of this number. Between the two of one that is in use all units forget the
 * entry, so that none sees a part of either.
 */
void amdvi_block_device(uint64_t *devices, uint16_t device);
void amdvi_set_device(uint64_t *devices, uint16_t device, uint16_t number, spa_t top);
/* Both end with iommu_unit_wait(): what is remembered of a domain; a device's entry. */
void amdvi_flush_begin(struct iommu_unit *unit, uint16_t number);
void amdvi_forget_begin(struct iommu_unit *unit, uint16_t device);
/* Something was logged: unit->fault_count events. */
bool amdvi_has_faults(struct iommu_unit *unit);
/* The next of them. */
void amdvi_take_fault(struct iommu_unit *unit, struct iommu_fault *fault);

#endif
