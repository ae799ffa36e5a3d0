/*
 * See iommu_domain.h. Tables that were split for deposits become leaves again when the last page is back, as in the root's own map.
 */
#include "hypervisor/iommu_domain.h"

#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/iommu.h"
#include "hypervisor/memory.h"
#include "tlfs/hv.h"

#define ENTRIES 512u
#define PRESENT (1ull << 0)
#define ADDRESS 0x000ffffffffff000ull
/* Second-level entries of VT-d: 9.8 of its specification. */
#define VTD_RIGHTS (3ull << 0)
#define VTD_LARGE  (1ull << 7)
/* AMD's: 2.2.3 of its specification. An entry says the level of the table that it leads to, 0: none. */
#define AMDVI_RIGHTS (PRESENT | 3ull << 61)
#define AMDVI_NEXT   9
/* Writes to these pages are interrupts, for the IOMMU too. */
#define INTERRUPTS       0xfee00ull
#define INTERRUPTS_PAGES 0x100ull

struct iommu_domain iommu_domain;

/* ---- the two formats ---- */

static uint64_t pages_of(unsigned int level)
{
	return 1ull << 9 * level;
}

static uint64_t leaf_of(uint64_t spn, unsigned int level)
{
	if (iommu_domain.kind == IOMMU_AMDVI) {
		return spn << PAGE_SHIFT | AMDVI_RIGHTS;
	}
	return spn << PAGE_SHIFT | VTD_RIGHTS | (level ? VTD_LARGE : 0);
}

/* The entry of `level` that leads to a table of the level below. */
static uint64_t table_entry(const uint64_t *table, unsigned int level)
{
	uint64_t spa = plat_ptr_spa(table).v;

	return iommu_domain.kind == IOMMU_AMDVI ? spa | AMDVI_RIGHTS | (uint64_t)level << AMDVI_NEXT
						: spa | VTD_RIGHTS;
}

static bool is_table(uint64_t entry, unsigned int level)
{
	if (!(entry & PRESENT) || !level) {
		return false;
	}
	return iommu_domain.kind == IOMMU_AMDVI ? entry >> AMDVI_NEXT & 7 : !(entry & VTD_LARGE);
}

/* ---- tables ---- */

/* Not every unit sees the processor's caches. */
static void entry_set(uint64_t *entry, uint64_t value)
{
	__atomic_store_n(entry, value, __ATOMIC_SEQ_CST);
	clflush(entry);
}

static uint64_t *table_of(uint64_t entry)
{
	return plat_spa_ptr((spa_t){entry & ADDRESS});
}

/* The parts of what the entry above leads to: `first` on, or nowhere. */
static uint64_t *table_alloc(const struct iommu_domain *domain, uint64_t first, bool present,
			     unsigned int level)
{
	uint64_t *table = memory_alloc(domain->owner);

	for (unsigned int i = 0; table != NULL && i < ENTRIES; i++) {
		table[i] = present ? leaf_of(first + i * pages_of(level), level) : 0;
		if (i % 8 == 7) {
			clflush(&table[i]);
		}
	}
	return table;
}

/* The entry of this level; tables on the way are made, leaves split. NULL: the pool is empty, nothing is lost. */
static uint64_t *entry_make(struct iommu_domain *domain, uint64_t spn, unsigned int level)
{
	uint64_t *table = domain->top;

	for (unsigned int l = IOMMU_LEVELS - 1;; l--) {
		uint64_t *entry = &table[spn >> 9 * l & (ENTRIES - 1)];

		if (l == level) {
			return entry;
		}
		if (!is_table(*entry, l)) {
			table = table_alloc(domain, spn & ~(pages_of(l) - 1), *entry & PRESENT,
					    l - 1);
			if (table == NULL) {
				return NULL;
			}
			entry_set(entry, table_entry(table, l));
		}
		table = table_of(*entry);
	}
}

/* The tables on the way to a page, from the top on; how many entries lead to the last of them. */
static unsigned int walk(const struct iommu_domain *domain, uint64_t spn,
			 uint64_t *entries[IOMMU_LEVELS])
{
	uint64_t *table = domain->top;

	for (unsigned int l = IOMMU_LEVELS - 1;; l--) {
		entries[l] = &table[spn >> 9 * l & (ENTRIES - 1)];
		if (!is_table(*entries[l], l)) {
			return l;
		}
		table = table_of(*entries[l]);
	}
}

/* ---- the domain ---- */

static bool may_reach(const struct iommu_domain *domain, uint64_t spn, uint64_t pages)
{
	return spn + pages <= domain->end && !memory_hidden(spn, pages) &&
	       (spn >= INTERRUPTS + INTERRUPTS_PAGES || INTERRUPTS >= spn + pages);
}

bool iommu_domain_build(struct iommu_domain *domain)
{
	uint64_t spn = 0;

	domain->top = memory_alloc(domain->owner);
	while (domain->top != NULL && spn < domain->end) {
		unsigned int level = domain->max_level;
		uint64_t *entry;

		while (level &&
		       (spn & (pages_of(level) - 1) || !may_reach(domain, spn, pages_of(level)))) {
			level--;
		}
		if (may_reach(domain, spn, pages_of(level))) {
			entry = entry_make(domain, spn, level);
			if (entry == NULL) {
				return false;
			}
			entry_set(entry, leaf_of(spn, level));
		}
		spn += pages_of(level);
	}
	return domain->top != NULL;
}

spa_t iommu_domain_top(const struct iommu_domain *domain, unsigned int levels)
{
	return levels == IOMMU_LEVELS ? plat_ptr_spa(domain->top)
				      : (spa_t){domain->top[0] & ADDRESS};
}

static bool is_whole(const uint64_t *table, uint64_t first, unsigned int level)
{
	for (unsigned int i = 0; i < ENTRIES; i++) {
		if (table[i] != leaf_of(first + i * pages_of(level), level)) {
			return false;
		}
	}
	return true;
}

/* Tables on the way to this page whose leaves are the parts of one become that one. */
static void join(struct iommu_domain *domain, uint64_t spn)
{
	uint64_t *entries[IOMMU_LEVELS];
	unsigned int level = walk(domain, spn, entries);

	for (; level < domain->max_level; level++) {
		uint64_t first = spn & ~(pages_of(level + 1) - 1);
		uint64_t *table = table_of(*entries[level + 1]);

		if (!is_whole(table, first, level)) {
			return;
		}
		entry_set(entries[level + 1], leaf_of(first, level + 1));
		/* Units remember tables, too. */
		iommu_units_flush();
		memory_free(domain->owner, table);
	}
}

/* What is beyond the domain's end is in it nowhere. */
static bool concerns(const struct iommu_domain *domain, uint64_t spn)
{
	return domain->kind != IOMMU_NONE && spn < domain->end;
}

bool iommu_split(uint64_t spn)
{
	return !concerns(&iommu_domain, spn) || entry_make(&iommu_domain, spn, 0) != NULL;
}

void iommu_join(uint64_t spn)
{
	if (concerns(&iommu_domain, spn)) {
		join(&iommu_domain, spn);
	}
}

void iommu_hide(uint64_t spn)
{
	uint64_t *entries[IOMMU_LEVELS];

	if (concerns(&iommu_domain, spn)) {
		CHECK(!walk(&iommu_domain, spn, entries));
		entry_set(entries[0], 0);
		iommu_domain.stale = true;
	}
}

void iommu_show(uint64_t spn)
{
	uint64_t *entries[IOMMU_LEVELS];

	if (!concerns(&iommu_domain, spn)) {
		return;
	}
	CHECK(!walk(&iommu_domain, spn, entries));
	entry_set(entries[0], leaf_of(spn, 0));
	iommu_domain.stale |= iommu_domain.caches_absence;
	join(&iommu_domain, spn);
	iommu_flush();
}

void iommu_flush(void)
{
	if (iommu_domain.stale) {
		iommu_units_flush();
		iommu_domain.stale = false;
	}
}
