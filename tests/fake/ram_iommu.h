/*
 * The IOMMU of the simulated machine: one unit, which forgets nothing until it is told to, neither translations nor tables.
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
/* Verifies the invariants of docs/design/iommu.md. */
void ram_iommu_check(void);

#endif
