/*
 * One unit of Intel's IOMMU (VT-d specification 4.1): registers, root and context tables, queued
 * invalidation, fault records.
 */
#ifndef HYPERVISOR_VTD_H
#define HYPERVISOR_VTD_H

#include <stdbool.h>
#include <stdint.h>

#include "hypervisor/iommu_unit.h"

/* Entries of a unit's table of interrupts, of 16 bytes; the root's may have more, of which the
 * others are refused. */
#define VTD_INTERRUPTS       16384u
#define VTD_INTERRUPTS_PAGES (VTD_INTERRUPTS * 16 / PAGE_SIZE)

/* What stands against this unit; NULL: nothing, and the fields that are found in its registers are
 * set. `last`: the highest address. */
const char *vtd_judge(struct iommu_unit *unit, uint64_t last);
/* All devices are in the root's domain, `top` its first table of 4 levels, from now on. False: the
 * unit does not answer. */
bool vtd_start(struct iommu_unit *unit, uint64_t *top) MUST_CHECK;
/*
 * A bus has the context table of all, or one of its own while a device of it is in another domain
 * than the root's. vtd_own_contexts() makes that; false: the pool is empty. vtd_share_contexts()
 * gives up one in which all devices are in the root's domain: NULL, or the table to be freed when
 * the unit has forgotten it.
 */
bool vtd_own_contexts(struct iommu_unit *unit, uint8_t bus) MUST_CHECK;
uint64_t *vtd_share_contexts(struct iommu_unit *unit, uint8_t bus);
/* A device's entry in its bus' own table: nothing, or the domain of this number. A unit forgets the
 * entry between the two. */
void vtd_block_device(struct iommu_unit *unit, uint16_t device);
void vtd_set_device(struct iommu_unit *unit, uint16_t device, uint16_t number, uint64_t *top);
/*
 * Messages of devices are remapped by unit->interrupts from now on, and those of the old form
 * refused; or all pass as they are. Memory lock. False: the unit does not answer.
 */
bool vtd_remap(const struct iommu_unit *unit, bool on) MUST_CHECK;
/* All end with iommu_unit_wait(): what is remembered of a domain; the entries of all devices; those
 * of interrupts. */
void vtd_flush_begin(struct iommu_unit *unit, uint16_t number);
void vtd_forget_begin(struct iommu_unit *unit);
void vtd_forget_interrupts_begin(struct iommu_unit *unit);
/* Something was recorded; the i-th record of unit->fault_count, which is free again then. */
bool vtd_has_faults(const struct iommu_unit *unit);
bool vtd_take_fault(struct iommu_unit *unit, uint32_t i, struct iommu_fault *fault);

#endif
