/*
 * The reader of DMAR and IVRS on any bytes: the header is made right, so that inputs get to the
 * list behind it. What it finds is what iommu.c may rely on.
 */
#include "hypervisor/iommu_table.h"
#include "tests/fuzz/fuzz.h"

#define HEADER 48u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct iommu_facts facts;
	uint32_t length = HEADER + (uint32_t)(size ? size - 1 : 0);
	uint8_t *table = calloc(1, length), sum = 0;

	if (size) {
		memcpy(table + HEADER, data + 1, size - 1);
		memcpy(table, data[0] & 1 ? "RAMD" : "SRVI", data[0] & 2 ? 3 : 4);
	}
	memcpy(table + 4, &length, sizeof(length));
	for (uint32_t i = 0; i < length; i++) {
		sum = (uint8_t)(sum + table[i]);
	}
	table[9] = (uint8_t)-sum;
	iommu_table_read(table, length, &facts);
	EXPECT(facts.wrong != NULL || facts.unit_count);
	EXPECT(facts.unit_count <= IOMMU_MAX_UNITS && facts.region_count <= IOMMU_MAX_REGIONS);
	for (uint32_t i = 0; i < facts.unit_count; i++) {
		EXPECT(facts.units[i].base && !(facts.units[i].base & 4095) &&
		       !(facts.units[i].base >> 52));
		EXPECT(facts.units[i].pages && facts.units[i].pages <= 1 << 15);
	}
	for (uint32_t i = 0; i < facts.region_count; i++) {
		EXPECT(facts.regions[i].first <= facts.regions[i].last);
	}
	EXPECT(facts.pass_count <= IOMMU_MAX_PASSES);
	for (uint32_t i = 0; i < facts.pass_count; i++) {
		EXPECT(facts.passes[i].first <= facts.passes[i].last && facts.passes[i].setting);
	}
	free(table);
	return 0;
}
