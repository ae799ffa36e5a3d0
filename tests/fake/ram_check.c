/*
 * The checker: walks every page table, list and pool from scratch, counts what it finds, and
 * compares that with the table of pages. The numbers are those of docs/design/memory.md.
 */
#include "tests/fake/ram_check.h"

#include <stdio.h>
#include <stdlib.h>

#include "hypervisor/gpa_table.h"
#include "tests/fake/ram.h"

#define PENDING_LARGE (1ull << 63)

/* What was found of a page. */
struct found {
	uint32_t child_leaves;  /* leaves and hidden entries of children */
	uint32_t device_leaves; /* of device domains */
	uint32_t overlays;      /* records */
	uint32_t pending;
	uint32_t in_pool;
	uint32_t tables; /* page tables that it is */
	uint32_t root_leaves;
};
static struct found *found;

#define HOLDS(number, spn, condition)                                                              \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "M%d does not hold at %llx: %s\n", number,                 \
				(unsigned long long)(spn), #condition);                            \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

static struct page *first; /* entry of the table, found[0] */

static struct found *found_of(uint64_t spn)
{
	struct page *page = memory_page(spn);

	return page != NULL ? &found[page - first] : NULL;
}

static bool owned_by(const struct page *page, const struct partition *p)
{
	return page->owner == p->id % HV_MAX_PARTITIONS;
}

static bool is_apic(uint64_t spn, uint64_t pages)
{
	return spn <= 0xfee00 && 0xfee00 < spn + pages;
}

/* A leaf, or an entry that overlays hide. */
static void leaf(struct gpa_map *map, uint64_t gpn, unsigned int level, uint64_t entry)
{
	uint64_t spn = pte_spn(entry), pages = pte_pages(level);
	const struct page *page;

	if (!pte_present(entry)) {
		HOLDS(8, gpn, entry == PTE_NO_ACCESS && !map->identity);
		return;
	}
	HOLDS(3, spn, !is_apic(spn, pages));
	HOLDS(5, gpn, !map->identity || spn == gpn);
	if (entry & PTE_SOFT_IO) {
		HOLDS(5, spn, memory_extent(spn, pages) == EXTENT_OTHER);
		return;
	}
	page = memory_page(spn);
	HOLDS(1, spn, page && (!level || memory_page(spn + pages - 1) == page + pages - 1));
	for (struct found *f = &found[page - first], *end = f + pages; f < end; f++, page++) {
		HOLDS(1, spn, page->kind == PAGE_RAM && owned_by(page, &ram_root));
		if (map->identity) {
			f->root_leaves++;
		} else {
			f->child_leaves++;
		}
	}
}

static void overlay_leaf(struct gpa_map *map, uint64_t gpn, uint64_t entry)
{
	const struct overlay *overlay = map->overlays[gpn % GPA_OVERLAY_LISTS];

	while (overlay != NULL && overlay->gpn != gpn) {
		overlay = overlay->next;
	}
	HOLDS(4, gpn, overlay && overlay->spn == pte_spn(entry));
}

static void table(struct gpa_map *map, uint64_t *entries, uint64_t gpn, unsigned int level)
{
	uint64_t spn = plat_ptr_spa(entries).v >> PAGE_SHIFT;
	struct page *page = memory_page(spn);
	uint32_t count = 0;

	HOLDS(7, spn, page && page->kind == PAGE_TABLE && owned_by(page, map->partition));
	found_of(spn)->tables++;
	for (unsigned int i = 0; i < PAGETABLE_ENTRIES; i++) {
		uint64_t entry = entries[i], at = gpn + i * pte_pages(level);

		count += !!entry;
		if (pte_is_table(entry, level)) {
			table(map, plat_spa_ptr((spa_t){entry & PTE_ADDRESS}), at, level - 1);
		} else if (entry & PTE_SOFT_OVERLAY && pte_present(entry)) {
			overlay_leaf(map, at, entry);
		} else if (entry) {
			leaf(map, at, level, entry);
		}
	}
	HOLDS(7, spn, page->count == count);
}

static void overlays(struct gpa_map *map, const struct overlay *list)
{
	for (const struct overlay *overlay = list; overlay != NULL; overlay = overlay->next) {
		const struct overlay *lower = overlay->next;
		const struct page *page = memory_page(overlay->spn);
		struct gpa_walk walk;

		gpa_walk(map, overlay->gpn, 0, &walk);
		HOLDS(4, overlay->spn, !walk.level && *walk.entry[0] & PTE_SOFT_OVERLAY);
		HOLDS(4, overlay->spn, page && page->kind == PAGE_USED);
		found_of(overlay->spn)->overlays++;
		while (lower != NULL && lower->gpn != overlay->gpn) {
			lower = lower->next;
		}
		if (lower == NULL && overlay->below) {
			leaf(map, overlay->gpn, 0, overlay->below);
		}
		HOLDS(4, overlay->spn, !lower || !overlay->below);
	}
}

static void pending(struct gpa_map *map)
{
	for (uint32_t i = 0; i < map->pending_count; i++) {
		uint64_t spn = map->pending[i] & ~PENDING_LARGE,
			 pages = map->pending[i] & PENDING_LARGE ? 512 : 1;

		for (uint64_t j = 0; j < pages; j++) {
			found_of(spn + j)->pending++;
		}
	}
}

/* The list begins at its head entry and goes on by index. */
static void pool(struct partition *p)
{
	struct page *page = p->pool.free;
	uint32_t count = 0;

	while (page != NULL) {
		HOLDS(6, page - first, page->kind == PAGE_FREE && owned_by(page, p) && !page->boot);
		found[page - first].in_pool++;
		count++;
		page = page->next == PAGE_END ? NULL : first + page->next;
	}
	HOLDS(6, p->id, p == &ram_root ? count <= p->pool.free_count : count == p->pool.free_count);
}

/* All that was found of one page against its entry. */
static void compare(uint64_t index, const struct page *page, const struct found *f)
{
	HOLDS(7, index, f->tables == (page->kind == PAGE_TABLE));
	HOLDS(6, index, page->boot || f->in_pool == (page->kind == PAGE_FREE));
	HOLDS(9, index, page->kind != PAGE_RAM || (!page->boot && owned_by(page, &ram_root)));
	if (page->kind == PAGE_RAM) {
		HOLDS(2, index, page->count == f->child_leaves + f->device_leaves + f->pending);
	} else if (page->kind == PAGE_USED) {
		HOLDS(4, index, page->count == f->overlays + f->pending);
	} else {
		HOLDS(10, index, f->pending == (page->kind == PAGE_LIMBO));
	}
	HOLDS(5, index, f->root_leaves == (page->kind == PAGE_RAM));
}

/* Pages by owner and kind, against what the owner's pool says. */
static void balance(struct partition *p, uint64_t total)
{
	uint64_t free = 0, all = 0;

	for (const struct page *page = first, *end = page + total; page < end; page++) {
		if (!owned_by(page, p) || page->kind == PAGE_RAM || page->kind == PAGE_HYPERVISOR) {
			continue;
		}
		free += page->kind == PAGE_FREE;
		all++;
	}
	HOLDS(6, p->id, free == plat_pool_count(p) && all == plat_deposit_count(p));
}

/*
 * No LP has a way to a page that is, or can become, something else than that LP's partition has a
 * right to.
 */
static void tlbs(void)
{
	for (uint32_t i = 0; i < ram_tlb_count; i++) {
		const struct page *page = memory_page(ram_tlb[i].spn);
		bool child = ram_tlb[i].p != &ram_root;

		if (page == NULL) {
			continue;
		}
		if (page->kind == PAGE_RAM) {
			HOLDS(10, ram_tlb[i].spn, !child || page->count);
		} else if (page->kind == PAGE_USED) {
			HOLDS(10, ram_tlb[i].spn, page->count);
		} else {
			HOLDS(10, ram_tlb[i].spn, page->kind == PAGE_LIMBO);
		}
	}
}

static void device_leaf(uint64_t spn)
{
	found_of(spn)->device_leaves++;
}

void ram_check(void)
{
	struct partition *partitions[] = {&ram_root, &ram_children[0], &ram_children[1]};
	uint64_t spn, pages, total = 0;

	memory_range(0, &spn, &pages);
	first = memory_page(spn);
	for (uint32_t i = 0; memory_range(i, &spn, &pages); i++) {
		total += pages;
	}
	found = calloc(total, sizeof(*found));
	for (size_t i = 0; i < ARRAY_COUNT(partitions); i++) {
		struct gpa_map *map = gpa_of(partitions[i]);

		pool(partitions[i]);
		balance(partitions[i], total);
		if (map == NULL) {
			continue;
		}
		table(map, map->top, 0, PAGETABLE_LEVELS - 1);
		for (unsigned int list = 0; list < GPA_OVERLAY_LISTS; list++) {
			overlays(map, map->overlays[list]);
		}
		pending(map);
	}
	ram_iommu_leaves(device_leaf);
	for (uint64_t i = 0; i < total; i++) {
		compare(i, first + i, &found[i]);
	}
	tlbs();
	free(found);
	ram_iommu_check();
}

int ram_end_test(void **state)
{
	(void)state;
	ram_check();
	ram_shutdown();
	return 0;
}
