/*
 * The tables in which firmware describes IOMMUs: DMAR (VT-d specification, chapter 8) and IVRS (AMD
 * I/O Virtualization Technology specification, chapter 5). The loader has changed their signatures
 * to RAMD and SRVI, to hide them from the root.
 */
#ifndef HYPERVISOR_IOMMU_TABLE_H
#define HYPERVISOR_IOMMU_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#define IOMMU_MAX_UNITS   64
#define IOMMU_MAX_REGIONS 64
#define IOMMU_MAX_PASSES  64

enum iommu_kind { IOMMU_NONE, IOMMU_VTD, IOMMU_AMDVI };

/* Of the DMAR: where its flags are, and one by which the firmware wants the system to translate. */
#define IOMMU_TABLE_SUM     9u
#define IOMMU_TABLE_FLAGS   37u
#define IOMMU_TABLE_INSISTS (1u << 2)

struct iommu_facts {
	enum iommu_kind kind;
	const char *wrong; /* why the table cannot be used; NULL: nothing is wrong */
	uint32_t unit_count, region_count;
	struct iommu_place {
		uint64_t base;  /* of the registers, page aligned */
		uint32_t pages; /* at least */
		uint32_t flags; /* of IVRS */
	} units[IOMMU_MAX_UNITS];
	/* What devices use that the firmware set up: reserved memory regions (RMRR), unity mappings
	 * (IVMD). The last byte is in it. */
	struct iommu_region {
		uint64_t first, last;
	} regions[IOMMU_MAX_REGIONS];
	bool remaps; /* the units can refuse and change interrupts of devices, by the table */
	bool emulated; /* by QEMU, whose AMD units lose an interrupt that they shall look at and let pass as it is */
	/* IVRS: devices whose interrupts other than fixed ones the firmware wants to pass, by the
	 * bits of a setting (5.2.2.2). */
	uint32_t pass_count;
	struct iommu_pass {
		uint16_t first, last;
		uint8_t setting;
	} passes[IOMMU_MAX_PASSES];
};

/* `size` bytes can be read at `table`, which need not be aligned. */
void iommu_table_read(const uint8_t *table, uint32_t size, struct iommu_facts *facts);

#endif
