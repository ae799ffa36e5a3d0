/*
 * See iommu_table.h. Both tables are a header and a list of structures, of which those are read that name a unit or a region.
 */
#include "hypervisor/iommu_table.h"

#include <stddef.h>

#include "lib/addr.h"
#include "lib/string.h"
#include "lib/sum.h"

#define TABLE_HEADER 36u
#define TABLE_LIST   48u /* in both */

struct dmar_unit {
	uint16_t type, length;
	uint8_t flags, size;
	uint16_t segment;
	uint64_t base;
} __attribute__((packed));

struct dmar_region {
	uint16_t type, length, reserved, segment;
	uint64_t first, last;
} __attribute__((packed));

struct ivrs_unit {
	uint8_t type, flags;
	uint16_t length, device, capability;
	uint64_t base;
} __attribute__((packed));

struct ivrs_region {
	uint8_t type, flags;
	uint16_t length, device, auxiliary;
	uint64_t reserved, start, size;
} __attribute__((packed));

enum {
	DMAR_UNIT = 0,
	DMAR_REGION = 1,
	IVRS_UNIT = 0x10,
	IVRS_UNIT_11 = 0x11,
	IVRS_UNIT_40 = 0x40,
	IVRS_REGION = 0x20,
	IVRS_REGION_LAST = 0x22
};

#define AMDVI_PAGES 4u /* 16 KiB of registers; with performance counters more */

_Static_assert(offsetof(struct dmar_unit, base) == 8, "VT-d 8.3");
_Static_assert(offsetof(struct dmar_region, first) == 8, "VT-d 8.4");
_Static_assert(offsetof(struct ivrs_unit, base) == 8, "AMD IOMMU 5.2.2.1");
_Static_assert(offsetof(struct ivrs_region, start) == 16, "AMD IOMMU 5.2.2.2");

static void add_unit(struct iommu_facts *facts, uint64_t base, uint32_t pages, uint32_t flags)
{
	/* IVRS describes a unit once for each version of the structure. */
	for (uint32_t i = 0; i < facts->unit_count; i++) {
		if (facts->units[i].base == base) {
			return;
		}
	}
	if (!base || base & PAGE_MASK || base >> 52) {
		facts->wrong = "a unit of the table has no address";
	} else if (facts->unit_count == IOMMU_MAX_UNITS) {
		facts->wrong = "the machine has too many units";
	} else {
		facts->units[facts->unit_count++] = (struct iommu_place){base, pages, flags};
	}
}

static void add_region(struct iommu_facts *facts, uint64_t first, uint64_t last)
{
	if (last < first) {
		return;
	}
	if (facts->region_count == IOMMU_MAX_REGIONS) {
		facts->wrong = "the machine has too many reserved regions";
	} else {
		facts->regions[facts->region_count++] = (struct iommu_region){first, last};
	}
}

/* A structure of the DMAR; the length was checked to be in the table. */
static void read_dmar(const uint8_t *bytes, uint32_t length, struct iommu_facts *facts)
{
	struct dmar_unit unit;
	struct dmar_region region;

	if (bytes[0] == DMAR_UNIT && !bytes[1] && length >= sizeof(unit)) {
		memcpy(&unit, bytes, sizeof(unit));
		add_unit(facts, unit.base, 1u << (unit.size & 15), 0);
	} else if (bytes[0] == DMAR_REGION && !bytes[1] && length >= sizeof(region)) {
		memcpy(&region, bytes, sizeof(region));
		add_region(facts, region.first, region.last);
	}
}

static void read_ivrs(const uint8_t *bytes, uint32_t length, struct iommu_facts *facts)
{
	struct ivrs_unit unit;
	struct ivrs_region region;
	uint8_t type = bytes[0];

	if ((type == IVRS_UNIT || type == IVRS_UNIT_11 || type == IVRS_UNIT_40) &&
	    length >= sizeof(unit)) {
		memcpy(&unit, bytes, sizeof(unit));
		add_unit(facts, unit.base, AMDVI_PAGES, unit.flags);
	} else if (type >= IVRS_REGION && type <= IVRS_REGION_LAST && length >= sizeof(region)) {
		memcpy(&region, bytes, sizeof(region));
		if (region.size && region.size - 1 <= UINT64_MAX - region.start) {
			add_region(facts, region.start, region.start + (region.size - 1));
		}
	}
}

/* A structure's length is the word behind its type, in both tables. */
static void read_list(const uint8_t *table, uint32_t size, struct iommu_facts *facts)
{
	uint32_t at = TABLE_LIST, length;

	while (at < size) {
		length = size - at >= 4 ? table[at + 2] | (uint32_t)table[at + 3] << 8 : 0;
		if (length < 4 || length > size - at) {
			facts->wrong = "the table ends amid a structure";
			return;
		}
		(facts->kind == IOMMU_VTD ? read_dmar : read_ivrs)(table + at, length, facts);
		at += length;
	}
}

void iommu_table_read(const uint8_t *table, uint32_t size, struct iommu_facts *facts)
{
	uint32_t length = 0;

	memset(facts, 0, sizeof(*facts));
	if (size >= TABLE_HEADER) {
		memcpy(&length, table + 4, sizeof(length));
		facts->kind = !memcmp(table, "RAMD", 4)   ? IOMMU_VTD
			      : !memcmp(table, "SRVI", 4) ? IOMMU_AMDVI
							  : IOMMU_NONE;
	}
	if (length < TABLE_LIST || length > size || sum_of_bytes(table, length)) {
		facts->wrong = "its table is damaged";
		return;
	}
	read_list(table, length, facts);
	if (!facts->unit_count && facts->wrong == NULL) {
		facts->wrong = "its table names no unit";
	}
}
