/*
 * See iommu_table.h. Both tables are a header and a list of structures, of which those are read
 * that name a unit or a region.
 */
#include "hypervisor/iommu_table.h"

#include <stddef.h>

#include "lib/addr.h"
#include "lib/string.h"
#include "lib/sum.h"

#define TABLE_HEADER 36u
#define TABLE_MAKER  10u
#define TABLE_LIST   48u /* in both */
#define DMAR_REMAPS  (1u << 0)

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

/* Devices of a unit (5.2.2.2): an entry begins with type, device, setting. */
#define IVRS_UNIT_ENTRIES     24u /* of IVRS_UNIT: where they begin */
#define IVRS_UNIT_ENTRIES_NEW 40u
enum {
	ENTRY_ALL = 1,
	ENTRY_ONE = 2,
	ENTRY_FIRST = 3,
	ENTRY_LAST = 4,
	ENTRY_ALIAS = 0x42,
	ENTRY_ALIAS_FIRST = 0x43,
	ENTRY_EXTENDED = 0x46,
	ENTRY_EXTENDED_FIRST = 0x47,
	ENTRY_SPECIAL = 0x48, /* an IO-APIC, or a timer: what is not on a bus */
	ENTRY_NAMED = 0xf0,   /* by ACPI */
};
#define ENTRY_NAME_LENGTH  21u
#define SPECIAL_DEVICE     5u
#define SPECIAL_KIND       7u
#define SPECIAL_IO_APIC    1u
#define SETTING_INTERRUPTS 0xc7u

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

static void add_pass(struct iommu_facts *facts, uint16_t first, uint16_t last, uint8_t setting)
{
	struct iommu_pass pass = {first, last, setting & SETTING_INTERRUPTS};

	if (!pass.setting || last < first) {
		return;
	}
	for (uint32_t i = 0; i < facts->pass_count; i++) {
		if (!memcmp(&facts->passes[i], &pass, sizeof(pass))) {
			return;
		}
	}
	if (facts->pass_count == IOMMU_MAX_PASSES) {
		facts->wrong =
			"the machine has too many devices with interrupts of a kind of their own";
	} else {
		facts->passes[facts->pass_count++] = pass;
	}
}

static uint16_t device_at(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] | bytes[1] << 8);
}

/* How long an entry is of which `left` bytes are there; 0: it does not end. */
static uint32_t entry_length(const uint8_t *entry, uint32_t left)
{
	uint32_t length = 4u << (entry[0] >> 6);

	if (entry[0] == ENTRY_NAMED && left > ENTRY_NAME_LENGTH) {
		length = ENTRY_NAME_LENGTH + 1u + entry[ENTRY_NAME_LENGTH];
	}
	return length <= left ? length : 0;
}

static void read_ivrs_devices(const uint8_t *entry, uint32_t left, struct iommu_facts *facts)
{
	struct iommu_pass range = {0};

	for (uint32_t length; left && (length = entry_length(entry, left));
	     entry += length, left -= length) {
		uint16_t device = entry[0] == ENTRY_NAMED || length < 4 ? 0 : device_at(entry + 1);

		switch (entry[0]) {
		case ENTRY_ALL:
			add_pass(facts, 0, UINT16_MAX, entry[3]);
			break;
		case ENTRY_ONE:
		case ENTRY_ALIAS:
		case ENTRY_EXTENDED:
			add_pass(facts, device, device, entry[3]);
			break;
		case ENTRY_FIRST:
		case ENTRY_ALIAS_FIRST:
		case ENTRY_EXTENDED_FIRST:
			range = (struct iommu_pass){.first = device, .setting = entry[3]};
			break;
		case ENTRY_LAST:
			add_pass(facts, range.first, device, range.setting);
			break;
		case ENTRY_SPECIAL:
			device = device_at(entry + SPECIAL_DEVICE);
			add_pass(facts, device, device, entry[3]);
			facts->remaps |= entry[SPECIAL_KIND] == SPECIAL_IO_APIC;
			break;
		}
	}
}

static void read_ivrs(const uint8_t *bytes, uint32_t length, struct iommu_facts *facts)
{
	struct ivrs_unit unit;
	struct ivrs_region region;
	uint8_t type = bytes[0];
	uint32_t at;

	if ((type == IVRS_UNIT || type == IVRS_UNIT_11 || type == IVRS_UNIT_40) &&
	    length >= sizeof(unit)) {
		memcpy(&unit, bytes, sizeof(unit));
		add_unit(facts, unit.base, AMDVI_PAGES, unit.flags);
		at = type == IVRS_UNIT ? IVRS_UNIT_ENTRIES : IVRS_UNIT_ENTRIES_NEW;
		if (length > at) {
			read_ivrs_devices(bytes + at, length - at, facts);
		}
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
	facts->emulated = !memcmp(table + TABLE_MAKER, "BOCHS ", 6);
	facts->remaps = facts->kind == IOMMU_VTD && table[IOMMU_TABLE_FLAGS] & DMAR_REMAPS;
	read_list(table, length, facts);
	if (!facts->unit_count && facts->wrong == NULL) {
		facts->wrong = "its table names no unit";
	}
}
