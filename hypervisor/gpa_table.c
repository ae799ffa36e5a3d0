#include "hypervisor/gpa_table.h"

#include "hypervisor/home.h"
#include "hypervisor/iommu.h"
#include "hypervisor/memory.h"

#define APIC_GPN      0xfee00ull
#define PENDING_MAX   (PAGE_SIZE / sizeof(uint64_t))
#define PENDING_LARGE (1ull << 63)

uint64_t gpa_limit(void)
{
	unsigned int bits = plat_info.physical_address_bits - PAGE_SHIFT;

	return 1ull << (bits < PAGETABLE_GPN_BITS ? bits : PAGETABLE_GPN_BITS);
}

bool gpa_has_apic(uint64_t gpn, uint64_t pages)
{
	return APIC_GPN - gpn < pages;
}

/* ---- leaving translations ---- */

void gpa_flush(struct gpa_map *map)
{
	uint32_t count = map->pending_count;

	if (!map->stale && !count) {
		return;
	}
	__atomic_add_fetch(&map->generation, 1, __ATOMIC_SEQ_CST);
	gpa_flush_wait(map->partition);
	if (map->identity) {
		iommu_flush();
	}
	for (uint32_t i = 0; i < count; i++) {
		uint64_t pending = map->pending[i];

		memory_settle(pending & ~PENDING_LARGE,
			      pending & PENDING_LARGE ? LARGE_PAGE_PAGES : 1);
	}
	map->pending_count = 0;
	map->stale = false;
}

void gpa_pend(struct gpa_map *map, uint64_t spn, unsigned int level)
{
	if (map->pending_count == PENDING_MAX) {
		gpa_flush(map);
	}
	map->pending[map->pending_count++] = spn | (level ? PENDING_LARGE : 0);
}

void gpa_release(struct gpa_map *map, uint64_t leaf, unsigned int level)
{
	if (!pte_present(leaf)) {
		return;
	}
	map->stale = true;
	if (!(leaf & PTE_SOFT_IO)) {
		gpa_pend(map, pte_spn(leaf), level);
	}
}

/* ---- tables ---- */

static uint64_t *table_of(uint64_t entry)
{
	return plat_spa_ptr((spa_t){entry & PTE_ADDRESS});
}

static uint64_t *table_begin(uint64_t *entry)
{
	return (uint64_t *)((uintptr_t)entry & ~(uintptr_t)PAGE_MASK);
}

uint64_t gpa_removals;

uint64_t gpa_entry_set(uint64_t *entry, uint64_t value)
{
	uint64_t old = __atomic_exchange_n(entry, value, __ATOMIC_SEQ_CST);

	if (old) {
		gpa_removals++;
	}
	memory_table_entries(entry, !!value - !!old);
	return old;
}

void gpa_walk(const struct gpa_map *map, uint64_t gpn, unsigned int level, struct gpa_walk *walk)
{
	uint64_t *table = map->top;

	for (walk->level = PAGETABLE_LEVELS - 1;; walk->level--) {
		uint64_t *entry = &table[pte_index(gpn, walk->level)];

		walk->entry[walk->level] = entry;
		if (walk->level == level || !pte_is_table(*entry, walk->level)) {
			return;
		}
		table = table_of(*entry);
	}
}

static uint64_t *table_alloc(struct gpa_map *map)
{
	uint64_t *table = memory_table_alloc(map->partition);

	if (table == NULL && map->pending_count) {
		gpa_flush(map);
		table = memory_table_alloc(map->partition);
	}
	return table;
}

static uint64_t table_entry(const uint64_t *table)
{
	return pte_table(plat_ptr_spa(table).v >> PAGE_SHIFT);
}

/* The i-th part of a leaf, or of a region without access. */
static uint64_t leaf_part(uint64_t leaf, unsigned int level, unsigned int i)
{
	if (!pte_present(leaf)) {
		return leaf;
	}
	return pte_leaf(pte_spn(leaf) + i * pte_pages(level - 1), level - 1, pte_flags_of(leaf));
}

/* The processor may set A and D in the leaf meanwhile. */
static bool split(struct gpa_map *map, uint64_t *entry, unsigned int level)
{
	uint64_t *table = table_alloc(map);
	uint64_t leaf = __atomic_load_n(entry, __ATOMIC_RELAXED);

	if (table == NULL) {
		return false;
	}
	do {
		for (unsigned int i = 0; i < PAGETABLE_ENTRIES; i++) {
			table[i] = leaf_part(leaf, level, i);
		}
	} while (!__atomic_compare_exchange_n(entry, &leaf, table_entry(table), false,
					      __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
	memory_table_entries(table, PAGETABLE_ENTRIES);
	return true;
}

static bool grow(struct gpa_map *map, uint64_t *entry)
{
	uint64_t *table = table_alloc(map);

	if (table == NULL) {
		return false;
	}
	gpa_entry_set(entry, table_entry(table));
	return true;
}

hv_status_t gpa_walk_create(struct gpa_map *map, uint64_t gpn, unsigned int level,
			    struct gpa_walk *walk)
{
	for (;;) {
		uint64_t *entry;

		gpa_walk(map, gpn, level, walk);
		if (walk->level == level) {
			return HV_STATUS_SUCCESS;
		}
		entry = walk->entry[walk->level];
		if (!(*entry ? split(map, entry, walk->level) : grow(map, entry))) {
			gpa_prune(map, walk);
			gpa_merge(map, gpn, walk);
			return HV_STATUS_INSUFFICIENT_MEMORY;
		}
	}
}

void gpa_table_drop(struct gpa_map *map, uint64_t *table)
{
	const struct page *page = memory_page_of(table);

	memory_table_entries(table, -(int)page->count);
	memory_table_free(table);
	gpa_pend(map, plat_ptr_spa(table).v >> PAGE_SHIFT, 0);
}

void gpa_prune(struct gpa_map *map, struct gpa_walk *walk)
{
	for (; !map->identity && walk->level < PAGETABLE_LEVELS - 1; walk->level++) {
		uint64_t *table = table_begin(walk->entry[walk->level]);

		if (memory_page_of(table)->count) {
			return;
		}
		gpa_entry_set(walk->entry[walk->level + 1], 0);
		gpa_table_drop(map, table);
	}
}

/* All entries of the table are the parts of this leaf of the level above. */
static bool is_split(const uint64_t *table, uint64_t leaf, unsigned int level)
{
	for (unsigned int i = 0; i < PAGETABLE_ENTRIES; i++) {
		if (table[i] != leaf_part(leaf, level, i)) {
			return false;
		}
	}
	return true;
}

/* In the identity map the only leaf that may come back is that of the addresses themselves. */
void gpa_merge(struct gpa_map *map, uint64_t gpn, struct gpa_walk *walk)
{
	for (; map->identity && walk->level < map->max_level; walk->level++) {
		unsigned int level = walk->level + 1;
		uint64_t *table = table_begin(walk->entry[walk->level]);
		uint64_t leaf =
			pte_leaf(gpn & ~(pte_pages(level) - 1), level, pte_flags_of(table[0]));

		if (memory_page_of(table)->count != PAGETABLE_ENTRIES ||
		    !is_split(table, leaf, level)) {
			return;
		}
		gpa_entry_set(walk->entry[level], leaf);
		gpa_table_drop(map, table);
	}
}

/*
 * The 2 MiB leaf whose parts the table has; 0 if it is none. It counts as accessed and dirty: the
 * processor may set that in the table until the flush.
 */
static uint64_t whole_of(const uint64_t *table)
{
	const uint32_t state = PTE_ACCESSED | PTE_DIRTY;
	uint32_t flags;
	uint64_t leaf;

	if (!pte_present(table[0]) || pte_spn(table[0]) & (pte_pages(1) - 1)) {
		return 0;
	}
	flags = pte_flags_of(table[0]) | state;
	if (!(flags & PTE_EXECUTE) || flags & PTE_OVERLAY) {
		return 0;
	}
	leaf = pte_leaf(pte_spn(table[0]), 1, flags);
	for (unsigned int i = 0; i < PAGETABLE_ENTRIES; i++) {
		if (!pte_present(table[i]) || pte_spn(table[i]) != pte_spn(leaf) + i ||
		    (pte_flags_of(table[i]) | state) != flags) {
			return 0;
		}
	}
	return leaf;
}

/* One fault's share: of what is looked at, and of what is found. */
#define JOIN_ENTRIES 1024
#define JOIN_TABLES  16

enum gpa_join gpa_join(struct gpa_map *map)
{
	unsigned int entries, joined = 0;

	for (entries = 0; entries < JOIN_ENTRIES && joined < JOIN_TABLES; entries++) {
		struct gpa_walk walk;
		uint64_t leaf, pages;

		if (map->join_at >= gpa_limit()) {
			map->join_at = 0;
		}
		if (map->join_looked >= gpa_limit()) {
			break;
		}
		gpa_walk(map, map->join_at, 1, &walk);
		if (walk.level == 1 && pte_is_table(*walk.entry[1], 1)) {
			uint64_t *table = table_of(*walk.entry[1]);

			leaf = whole_of(table);
			if (leaf) {
				gpa_entry_set(walk.entry[1], leaf);
				gpa_table_drop(map, table);
				joined++;
			}
		}
		/* An entry of a higher level is looked at as a whole. */
		pages = pte_pages(walk.level) - (map->join_at & (pte_pages(walk.level) - 1));
		map->join_at += pages;
		map->join_looked += pages;
	}
	if (joined) {
		map->join_looked = 0;
		gpa_flush(map);
		return GPA_JOINED;
	}
	if (entries < JOIN_ENTRIES) {
		map->join_looked = 0;
		return GPA_JOINED_NONE;
	}
	return GPA_JOIN_GOES_ON;
}
