/*
 * Entries of the page tables by which units translate, in the format of the machine's kind of unit:
 * a leaf, or the way to a table. Four levels of 512 entries; level 0 has leaves of 4 KiB, level 1
 * of 2 MiB, level 2 of 1 GiB. An entry that is 0 leads nowhere.
 */
#ifndef HYPERVISOR_IOMMU_ENTRY_H
#define HYPERVISOR_IOMMU_ENTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/iommu_domain.h"
#include "tlfs/plat.h"

#define IOMMU_ENTRIES 512u
#define IOMMU_PRESENT (1ull << 0)
#define IOMMU_ADDRESS 0x000ffffffffff000ull
/* Writes to these pages are interrupts, for the IOMMU too. */
#define IOMMU_INTERRUPTS       0xfee00ull
#define IOMMU_INTERRUPTS_PAGES 0x100ull
/* Second-level entries of VT-d: 9.8 of its specification. */
#define VTD_READ  (1ull << 0)
#define VTD_WRITE (1ull << 1)
#define VTD_LARGE (1ull << 7)
/* AMD's: 2.2.3 of its specification. An entry says the level of the table that it leads to, 0:
 * none. */
#define AMDVI_READ  (IOMMU_PRESENT | 1ull << 61)
#define AMDVI_WRITE (1ull << 62)
#define AMDVI_NEXT  9
/* Entries of AMD's tables of interrupts: 2.2.5.2. 0 is one that is refused. */
#define AMDVI_INTERRUPT_VALID  1u
#define AMDVI_INTERRUPT_TO     8
#define AMDVI_INTERRUPT_VECTOR 16

static inline uint64_t iommu_pages(unsigned int level)
{
	return 1ull << 9 * level;
}

static inline uint64_t iommu_leaf(uint64_t spn, unsigned int level, bool writable)
{
	uint64_t entry = spn << PAGE_SHIFT;

	if (iommu_domain.kind == IOMMU_AMDVI) {
		return entry | AMDVI_READ | (writable ? AMDVI_WRITE : 0);
	}
	return entry | VTD_READ | (writable ? VTD_WRITE : 0) | (level ? VTD_LARGE : 0);
}

/* The entry of `level` that leads to a table of the level below. */
static inline uint64_t iommu_table_entry(const uint64_t *table, unsigned int level)
{
	uint64_t spa = plat_ptr_spa(table).v;

	return iommu_domain.kind == IOMMU_AMDVI
		       ? spa | AMDVI_READ | AMDVI_WRITE | (uint64_t)level << AMDVI_NEXT
		       : spa | VTD_READ | VTD_WRITE;
}

/* A fixed interrupt at the processor of this APIC ID. */
static inline uint32_t iommu_interrupt(uint8_t apic_id, uint8_t vector)
{
	return AMDVI_INTERRUPT_VALID | (uint32_t)apic_id << AMDVI_INTERRUPT_TO |
	       (uint32_t)vector << AMDVI_INTERRUPT_VECTOR;
}

static inline bool iommu_is_table(uint64_t entry, unsigned int level)
{
	if (!(entry & IOMMU_PRESENT) || !level) {
		return false;
	}
	return iommu_domain.kind == IOMMU_AMDVI ? entry >> AMDVI_NEXT & 7 : !(entry & VTD_LARGE);
}

static inline uint64_t *iommu_table_of(uint64_t entry)
{
	return plat_spa_ptr((spa_t){entry & IOMMU_ADDRESS});
}

static inline uint64_t iommu_spn(uint64_t entry)
{
	return (entry & IOMMU_ADDRESS) >> PAGE_SHIFT;
}

static inline uint64_t *iommu_entry(uint64_t *table, uint64_t page, unsigned int level)
{
	return &table[page >> 9 * level & (IOMMU_ENTRIES - 1)];
}

/* Not every unit sees the processor's caches. */
static inline void iommu_entry_set(uint64_t *entry, uint64_t value)
{
	__atomic_store_n(entry, value, __ATOMIC_SEQ_CST);
	clflush(entry);
}

static inline void iommu_table_clean(const uint64_t *table)
{
	for (unsigned int i = 0; i < IOMMU_ENTRIES; i += 8) {
		clflush(&table[i]);
	}
}

#endif
