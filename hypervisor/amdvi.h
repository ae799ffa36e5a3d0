/*
 * One unit of AMD's IOMMU (AMD I/O Virtualization Technology specification 3.08): registers, device
 * table, ring of commands, event log.
 */
#ifndef HYPERVISOR_AMDVI_H
#define HYPERVISOR_AMDVI_H

#include <stdbool.h>
#include <stdint.h>

#include "hypervisor/iommu_unit.h"

#define AMDVI_DEVICE_TABLE_PAGES 512u /* 32 bytes for each of 65,536 devices */

/* What stands against this unit; NULL: nothing, and its fields are set. */
const char *amdvi_judge(struct iommu_unit *unit);
/* The table is in force from now on. False: the unit does not answer. */
bool amdvi_start(struct iommu_unit *unit, const uint64_t *devices) MUST_CHECK;
/*
 * A device's entry of the table: nothing, or the domain of this number. Between the two of one that
 * is in use all units forget the entry, so that none sees a part of either.
 */
void amdvi_block_device(uint64_t *devices, uint16_t device);
void amdvi_set_device(uint64_t *devices, uint16_t device, uint16_t number, spa_t top,
		      uint64_t interrupts);
/*
 * What becomes of a device's interrupts: fixed ones pass, and others that `setting` (5.2.2.2, as
 * the table has it) lets pass; or only fixed ones are raised, as the table at this place says, by
 * the number that the device sends.
 */
uint64_t amdvi_interrupts_pass(uint8_t setting);
uint64_t amdvi_interrupts_by(spa_t table);
/* All end with iommu_unit_wait(): what is remembered of a domain; a device's entry; what is
 * remembered of its interrupts. */
void amdvi_flush_begin(struct iommu_unit *unit, uint16_t number);
void amdvi_forget_begin(struct iommu_unit *unit, uint16_t device);
void amdvi_forget_interrupts_begin(struct iommu_unit *unit, uint16_t device);
/* Something was logged: unit->fault_count events. */
bool amdvi_has_faults(struct iommu_unit *unit);
/* The next of them. */
void amdvi_take_fault(struct iommu_unit *unit, struct iommu_fault *fault);

#endif
