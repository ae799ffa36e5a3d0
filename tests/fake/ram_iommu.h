/*
 * The IOMMU of the simulated machine: one unit, which forgets nothing until it is told to, neither
 * translations nor tables.
 */
#ifndef FAKE_RAM_IOMMU_H
#define FAKE_RAM_IOMMU_H

#include <stdbool.h>
#include <stdint.h>

#include "hypervisor/iommu_domain.h"

/* The root's domain, in this format; IOMMU_NONE: there is none. For ram_boot(). */
void ram_iommu_boot(enum iommu_kind kind, uint8_t max_level);
/* A device reads or writes a page: false if it is refused. */
bool ram_dma(uint64_t spn);
/* Level of the leaf in the domain; 4 if there is none. */
unsigned int ram_dma_level(uint64_t spn);

/* Devices 0 to RAM_DEVICES - 1, each in the domain that it was attached to. *spn: the page of an
 * access that is not refused. */
#define RAM_DEVICES        3
#define RAM_DEVICE_WIDTH   48
#define RAM_DEVICE_NUMBERS 6 /* of domains that the unit tells apart, from 0 on */
bool ram_device_dma(uint16_t device, uint64_t page, bool write, uint64_t *spn);
/* What a device raises by this number, once the unit knows it: vector, and the APIC's ID. False:
 * refused. */
#define RAM_LPS 3
bool ram_device_interrupt(uint16_t device, uint32_t number, uint8_t *vector, uint8_t *apic_id);
/* All pages of RAM that leaves of device domains lead to. */
typedef void ram_leaf_visitor(uint64_t spn);
void ram_iommu_leaves(ram_leaf_visitor *visit);

/* Verifies the invariants of docs/design/iommu.md. */
void ram_iommu_check(void);

#endif
