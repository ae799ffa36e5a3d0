#include "tests/fake/ram_iommu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hypervisor/iommu.h"
#include "tests/fake/ram.h"

#define GIB     (1ull << 30)
#define MEMORY  64
#define ADDRESS 0x000ffffffffff000ull

#define HOLDS(number, spn, condition)                                                              \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "D%d does not hold at %llx: %s\n", number,                 \
				(unsigned long long)(spn), #condition);                            \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* What the unit remembers: pages that devices may reach, and tables. */
static struct {
	uint64_t spn;
	bool table;
} memory[MEMORY];
static uint32_t memory_count;

/* A test of the real units has iommu.c's. */
__attribute__((weak)) void iommu_units_flush(void)
{
	memory_count = 0;
}

static void remember(uint64_t spn, bool table)
{
	if (memory_count < MEMORY) {
		memory[memory_count].spn = spn;
		memory[memory_count++].table = table;
	}
}

/* The formats, by the specifications' numbers: VT-d 9.8, AMD IOMMU 2.2.3. */
static bool present(uint64_t entry)
{
	return iommu_domain.kind == IOMMU_AMDVI ? (entry & 1) && (entry >> 61 & 3) == 3
						: (entry & 3) == 3;
}

static bool leads_to_table(uint64_t entry, unsigned int level)
{
	if (iommu_domain.kind == IOMMU_AMDVI) {
		HOLDS(4, entry, (entry >> 9 & 7) == 0 || (entry >> 9 & 7) == level);
		return entry >> 9 & 7;
	}
	return level && !(entry & 1 << 7);
}

static uint64_t *table_of(uint64_t entry)
{
	return plat_spa_ptr((spa_t){entry & ADDRESS});
}

unsigned int ram_dma_level(uint64_t spn)
{
	uint64_t *table = iommu_domain.top, entry;

	for (unsigned int level = 3;; level--) {
		remember(plat_ptr_spa(table).v >> PAGE_SHIFT, true);
		entry = table[spn >> 9 * level & 511];
		if (!present(entry)) {
			return 4;
		}
		if (!leads_to_table(entry, level)) {
			return level;
		}
		table = table_of(entry);
	}
}

bool ram_dma(uint64_t spn)
{
	if (iommu_domain.kind == IOMMU_NONE) {
		return true;
	}
	if (ram_dma_level(spn) == 4) {
		return false;
	}
	remember(spn, false);
	return true;
}

void ram_iommu_boot(enum iommu_kind kind, uint8_t max_level)
{
	memory_count = 0;
	iommu_domain = (struct iommu_domain){
		.kind = kind,
		.max_level = max_level,
		.end = (4 * GIB + 16 * (1 << 20)) >> PAGE_SHIFT,
		.owner = &ram_root,
	};
	if (kind != IOMMU_NONE) {
		CHECK(iommu_domain_build(&iommu_domain));
	}
}

/* D1, D2: what devices reach is what the root reaches: nothing hidden, no page of RAM that is not the root's, and all that are. */
static void leaf(uint64_t spn, uint64_t entry, unsigned int level, uint64_t *ram)
{
	uint64_t pages = 1ull << 9 * level;

	HOLDS(1, spn, (entry & ADDRESS) >> PAGE_SHIFT == spn);
	HOLDS(1, spn, !memory_hidden(spn, pages));
	for (uint64_t i = 0; i < pages; i++) {
		const struct page *page = memory_page(spn + i);

		if (page == NULL && !((spn + i) & 511)) {
			i += memory_extent(spn + i, 512) == EXTENT_OTHER ? 511 : 0;
			continue;
		}
		HOLDS(1, spn + i, page == NULL || page->kind == PAGE_RAM);
		*ram += page != NULL;
	}
}

static void table(const uint64_t *entries, uint64_t spn, unsigned int level, uint64_t *ram)
{
	HOLDS(3, spn, memory_page_of(entries)->kind == PAGE_USED);
	for (unsigned int i = 0; i < 512; i++, spn += 1ull << 9 * level) {
		if (!present(entries[i])) {
			HOLDS(4, spn, !entries[i]);
		} else if (leads_to_table(entries[i], level)) {
			table(table_of(entries[i]), spn, level - 1, ram);
		} else {
			HOLDS(4, spn, level <= iommu_domain.max_level);
			leaf(spn, entries[i], level, ram);
		}
	}
}

void ram_iommu_check(void)
{
	uint64_t spn, pages, wanted = 0, found = 0;

	if (iommu_domain.kind == IOMMU_NONE) {
		return;
	}
	table(iommu_domain.top, 0, 3, &found);
	for (uint32_t i = 0; memory_range(i, &spn, &pages); i++) {
		for (uint64_t j = 0; j < pages; j++) {
			wanted += memory_page(spn + j)->kind == PAGE_RAM;
		}
	}
	HOLDS(2, found, found == wanted);
	for (uint32_t i = 0; i < memory_count; i++) {
		const struct page *page = memory_page(memory[i].spn);

		HOLDS(3, memory[i].spn,
		      page == NULL || (memory[i].table ? page->kind == PAGE_USED
						       : page->kind == PAGE_RAM ||
								 page->kind == PAGE_LIMBO));
	}
}
