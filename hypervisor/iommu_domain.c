/*
 * See iommu_domain.h. Tables that were split for deposits become leaves again when the last page is
 * back, as in the root's own map.
 */
#include "hypervisor/iommu_domain.h"

#include "hypervisor/iommu.h"
#include "hypervisor/iommu_entry.h"
#include "hypervisor/memory.h"
#include "tlfs/hv.h"

struct iommu_domain iommu_domain;

/* ---- tables ---- */

/* The parts of what the entry above leads to: `first` on, or nowhere. */
static uint64_t *table_alloc(const struct iommu_domain *domain, uint64_t first, bool present,
			     unsigned int level)
{
	uint64_t *table = memory_alloc(domain->owner);

	for (unsigned int i = 0; table != NULL && i < IOMMU_ENTRIES; i++) {
		table[i] = present ? iommu_leaf(first + i * iommu_pages(level), level, true) : 0;
		if (i % 8 == 7) {
			clflush(&table[i]);
		}
	}
	return table;
}

/* The entry of this level; tables on the way are made, leaves split. NULL: the pool is empty,
 * nothing is lost. */
static uint64_t *entry_make(struct iommu_domain *domain, uint64_t spn, unsigned int level)
{
	uint64_t *table = domain->top;

	for (unsigned int l = IOMMU_LEVELS - 1;; l--) {
		uint64_t *entry = iommu_entry(table, spn, l);

		if (l == level) {
			return entry;
		}
		if (!iommu_is_table(*entry, l)) {
			table = table_alloc(domain, spn & ~(iommu_pages(l) - 1),
					    *entry & IOMMU_PRESENT, l - 1);
			if (table == NULL) {
				return NULL;
			}
			iommu_entry_set(entry, iommu_table_entry(table, l));
		}
		table = iommu_table_of(*entry);
	}
}

unsigned int iommu_walk(uint64_t *top, uint64_t page, uint64_t *entries[IOMMU_LEVELS])
{
	uint64_t *table = top;

	for (unsigned int l = IOMMU_LEVELS - 1;; l--) {
		entries[l] = iommu_entry(table, page, l);
		if (!iommu_is_table(*entries[l], l)) {
			return l;
		}
		table = iommu_table_of(*entries[l]);
	}
}

/* ---- the domain ---- */

static bool may_reach(const struct iommu_domain *domain, uint64_t spn, uint64_t pages)
{
	return spn + pages <= domain->end && !memory_hidden(spn, pages) &&
	       (spn >= IOMMU_INTERRUPTS + IOMMU_INTERRUPTS_PAGES ||
		IOMMU_INTERRUPTS >= spn + pages);
}

bool iommu_domain_build(struct iommu_domain *domain)
{
	uint64_t spn = 0;

	domain->top = memory_alloc(domain->owner);
	while (domain->top != NULL && spn < domain->end) {
		unsigned int level = domain->max_level;
		uint64_t *entry;

		while (level && (spn & (iommu_pages(level) - 1) ||
				 !may_reach(domain, spn, iommu_pages(level)))) {
			level--;
		}
		if (may_reach(domain, spn, iommu_pages(level))) {
			entry = entry_make(domain, spn, level);
			if (entry == NULL) {
				return false;
			}
			iommu_entry_set(entry, iommu_leaf(spn, level, true));
		}
		spn += iommu_pages(level);
	}
	return domain->top != NULL;
}

static bool is_whole(const uint64_t *table, uint64_t first, unsigned int level)
{
	for (unsigned int i = 0; i < IOMMU_ENTRIES; i++) {
		if (table[i] != iommu_leaf(first + i * iommu_pages(level), level, true)) {
			return false;
		}
	}
	return true;
}

/* Tables on the way to this page whose leaves are the parts of one become that one. */
static void join(struct iommu_domain *domain, uint64_t spn)
{
	uint64_t *entries[IOMMU_LEVELS];
	unsigned int level = iommu_walk(domain->top, spn, entries);

	for (; level < domain->max_level; level++) {
		uint64_t first = spn & ~(iommu_pages(level + 1) - 1);
		uint64_t *table = iommu_table_of(*entries[level + 1]);

		if (!is_whole(table, first, level)) {
			return;
		}
		iommu_entry_set(entries[level + 1], iommu_leaf(first, level + 1, true));
		/* Units remember tables, too. */
		iommu_units_flush(IOMMU_ROOT_DOMAIN);
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
		CHECK(!iommu_walk(iommu_domain.top, spn, entries));
		iommu_entry_set(entries[0], 0);
		iommu_domain.stale = true;
	}
}

void iommu_show(uint64_t spn)
{
	uint64_t *entries[IOMMU_LEVELS];

	if (!concerns(&iommu_domain, spn)) {
		return;
	}
	CHECK(!iommu_walk(iommu_domain.top, spn, entries));
	iommu_entry_set(entries[0], iommu_leaf(spn, 0, true));
	iommu_domain.stale |= iommu_domain.caches_absence;
	join(&iommu_domain, spn);
	iommu_flush();
}

void iommu_flush(void)
{
	if (iommu_domain.stale) {
		iommu_units_flush(IOMMU_ROOT_DOMAIN);
		iommu_domain.stale = false;
	}
}
