/* GPA spaces of children: life, mappings, accessed and dirty; and the flush of all. */
#include "hypervisor/gpa.h"

#include "hypervisor/gpa_table.h"
#include "hypervisor/home.h"
#include "hypervisor/memory.h"

#define MAP_FLAGS                                                                                  \
	(HV_MAP_GPA_PERMISSIONS_MASK | HV_MAP_GPA_ADJUSTABLE | HV_MAP_GPA_NO_ACCESS |              \
	 HV_MAP_GPA_NOT_CACHED | HV_MAP_GPA_LARGE_PAGE)
#define DESTROY_STEPS 1024
#define LARGE_STEPS   64 /* a leaf of 512 pages */

/* ---- life ---- */

/* A table that no LP can have in use. */
static void free_unused(uint64_t *table)
{
	memory_table_free(table);
	memory_settle(plat_ptr_spa(table).v >> PAGE_SHIFT, 1);
}

hv_status_t gpa_create(struct gpa_map *map, struct partition *p)
{
	*map = (struct gpa_map){.partition = p, .max_level = 1, .generation = 1};
	memory_lock();
	map->top = memory_table_alloc(p);
	map->pending = memory_alloc(p);
	if (map->top != NULL && map->pending == NULL) {
		free_unused(map->top);
		map->top = NULL;
	}
	memory_unlock();
	return map->top != NULL ? HV_STATUS_SUCCESS : HV_STATUS_INSUFFICIENT_MEMORY;
}

spa_t gpa_top(const struct gpa_map *map)
{
	return plat_ptr_spa(map->top);
}

/* True when the table is empty; false when the steps are used up. */
static bool table_clear(struct gpa_map *map, uint64_t *table, unsigned int level, int *steps)
{
	for (unsigned int i = 0; i < PAGETABLE_ENTRIES; i++) {
		uint64_t entry = table[i];

		if (!entry) {
			continue;
		}
		if (*steps <= 0) {
			return false;
		}
		*steps -= level == 1 && !pte_is_table(entry, level) ? LARGE_STEPS : 1;
		if (!pte_is_table(entry, level)) {
			gpa_entry_set(&table[i], 0);
			gpa_release(map, entry, level);
			continue;
		}
		if (!table_clear(map, plat_spa_ptr((spa_t){entry & PTE_ADDRESS}), level - 1,
				 steps)) {
			return false;
		}
		gpa_entry_set(&table[i], 0);
		gpa_table_drop(map, plat_spa_ptr((spa_t){entry & PTE_ADDRESS}));
	}
	return true;
}

bool gpa_destroy(struct gpa_map *map)
{
	int steps = DESTROY_STEPS;
	bool done;

	memory_lock();
	gpa_overlay_destroy(map);
	done = table_clear(map, map->top, PAGETABLE_LEVELS - 1, &steps);
	map->stale = true;
	gpa_flush(map);
	if (done) {
		free_unused(map->top);
		memory_free(map->partition, map->pending);
	}
	memory_unlock();
	return done;
}

void plat_gpa_flush(struct partition *p)
{
	struct gpa_map *map = gpa_of(p);

	if (map == NULL) {
		return;
	}
	memory_lock();
	gpa_flush(map);
	memory_unlock();
}

/* ---- map and unmap ---- */

/* Puts `value` in place of a 4 KiB entry, beneath the overlays if there are any. */
static void small_replace(struct gpa_map *map, uint64_t gpn, uint64_t *entry, uint64_t value)
{
	uint64_t *below, old;

	if (*entry & PTE_SOFT_OVERLAY) {
		below = gpa_overlay_below(map, gpn);
		old = *below;
		*below = value;
	} else {
		old = gpa_entry_set(entry, value);
	}
	gpa_release(map, old, 0);
}

static uint64_t part_of(uint64_t leaf, unsigned int i)
{
	return pte_present(leaf) ? pte_leaf(pte_spn(leaf) + i, 0, pte_flags_of(leaf)) : leaf;
}

static bool has_overlay(const uint64_t *table)
{
	for (unsigned int i = 0; i < PAGETABLE_ENTRIES; i++) {
		if (table[i] & PTE_SOFT_OVERLAY) {
			return true;
		}
	}
	return false;
}

/*
 * Puts `value` in place of a 2 MiB entry. Where overlays are, the table beneath must stay, and gets
 * the parts of `value`.
 */
static void large_replace(struct gpa_map *map, uint64_t gpn, uint64_t *entry, uint64_t value)
{
	uint64_t *table;

	if (!pte_is_table(*entry, 1)) {
		gpa_release(map, gpa_entry_set(entry, value), 1);
		return;
	}
	table = plat_spa_ptr((spa_t){*entry & PTE_ADDRESS});
	if (has_overlay(table)) {
		for (unsigned int i = 0; i < PAGETABLE_ENTRIES; i++) {
			small_replace(map, gpn + i, &table[i], part_of(value, i));
		}
		return;
	}
	gpa_entry_set(entry, value);
	for (unsigned int i = 0; i < PAGETABLE_ENTRIES; i++) {
		gpa_release(map, table[i], 0);
	}
	gpa_table_drop(map, table);
}

static hv_status_t replace(struct gpa_map *map, uint64_t gpn, unsigned int level, uint64_t value)
{
	struct gpa_walk walk;
	hv_status_t status;

	/* Nothing there that would need to be made or split before it is unmapped. */
	gpa_walk(map, gpn, level, &walk);
	if (!value && !*walk.entry[walk.level]) {
		return HV_STATUS_SUCCESS;
	}
	status = gpa_walk_create(map, gpn, level, &walk);
	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	(level ? large_replace : small_replace)(map, gpn, walk.entry[level], value);
	gpa_prune(map, &walk);
	return HV_STATUS_SUCCESS;
}

static bool valid_block(uint64_t gpn, unsigned int level)
{
	return gpn < gpa_limit() && !(gpn & (pte_pages(level) - 1));
}

static uint32_t pte_flags_for(uint32_t map_flags)
{
	return (map_flags & HV_MAP_GPA_WRITABLE ? PTE_READ | PTE_WRITE : PTE_READ) |
	       (map_flags & HV_MAP_GPA_EXECUTABLE ? PTE_EXECUTE : 0) |
	       (map_flags & HV_MAP_GPA_NOT_CACHED ? PTE_UNCACHED : 0);
}

/*
 * Device memory of the machine: nobody counts it, and only the root, which has all of it, can give
 * it.
 */
static bool is_device(const struct partition *parent, uint64_t spn, unsigned int level)
{
	return gpa_of(parent)->identity && memory_extent(spn, pte_pages(level)) == EXTENT_OTHER &&
	       !gpa_has_apic(spn, pte_pages(level));
}

static hv_status_t map_locked(struct gpa_map *map, uint64_t gpn, const struct partition *parent,
			      uint64_t spn, uint32_t flags, unsigned int level)
{
	hv_status_t status;

	if (is_device(parent, spn, level)) {
		return replace(map, gpn, level,
			       pte_leaf(spn, level, pte_flags_for(flags) | PTE_IO));
	}
	status = memory_claim(parent, spn, pte_pages(level));
	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	status = replace(map, gpn, level, pte_leaf(spn, level, pte_flags_for(flags)));
	if (status != HV_STATUS_SUCCESS) {
		memory_settle(spn, pte_pages(level));
	}
	return status;
}

hv_status_t plat_gpa_map(struct partition *p, uint64_t gpn, struct partition *parent,
			 uint64_t source_gpn, uint32_t flags, bool large)
{
	struct gpa_map *map = gpa_of(p);
	hv_status_t status;

	if (map == NULL || map->identity || gpa_of(parent) == NULL) {
		return HV_STATUS_OPERATION_DENIED;
	}
	if (flags & ~MAP_FLAGS || !valid_block(gpn, large)) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	if (flags & HV_MAP_GPA_NO_ACCESS || !(flags & HV_MAP_GPA_PERMISSIONS_MASK)) {
		memory_lock();
		status = replace(map, gpn, large, PTE_NO_ACCESS);
		memory_unlock();
		return status;
	}
	if (!(flags & HV_MAP_GPA_READABLE) || !valid_block(source_gpn, large)) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	memory_lock();
	status = map_locked(map, gpn, parent, source_gpn, flags, large);
	memory_unlock();
	return status;
}

hv_status_t plat_gpa_unmap(struct partition *p, uint64_t gpn, bool large)
{
	struct gpa_map *map = gpa_of(p);
	hv_status_t status;

	if (map == NULL || map->identity) {
		return HV_STATUS_OPERATION_DENIED;
	}
	if (!valid_block(gpn, large)) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	memory_lock();
	status = replace(map, gpn, large, 0);
	memory_unlock();
	return status;
}

/* ---- accessed and dirty ---- */

/* The entry behind the overlays, if there are any. */
static uint64_t *hidden_entry(struct gpa_map *map, uint64_t gpn, const struct gpa_walk *walk)
{
	uint64_t *entry = walk->entry[walk->level];

	return *entry & PTE_SOFT_OVERLAY ? gpa_overlay_below(map, gpn) : entry;
}

/* The processor may set A and D in the leaf of a page meanwhile. The flags before. */
static uint32_t state_change(uint64_t *entry, uint32_t clear, uint32_t set)
{
	uint64_t old = __atomic_load_n(entry, __ATOMIC_RELAXED), value;

	do {
		value = pte_leaf(pte_spn(old), 0, (pte_flags_of(old) & ~clear) | set);
	} while (!__atomic_compare_exchange_n(entry, &old, value, false, __ATOMIC_SEQ_CST,
					      __ATOMIC_RELAXED));
	return pte_flags_of(old);
}

/*
 * Whether the page was written is known of a page alone if it has a leaf of its own. So a bit that
 * is cleared splits a large page even when it is clear: what is written from now on is to be seen
 * page by page.
 *
 * Until the flush an LP may write without setting a bit that was cleared here. Whoever asked has
 * the answer "dirty" for that page, and gets it after the flush, so what was written until then is
 * there to be read. tests/model/dirty.pml is this as a model.
 */
static hv_status_t access_state(struct gpa_map *map, uint64_t gpn,
				union hv_gpa_page_access_state_flags flags, uint8_t *state)
{
	uint32_t clear =
		(flags.clear_accessed ? PTE_ACCESSED : 0) | (flags.clear_dirty ? PTE_DIRTY : 0);
	uint32_t set = (flags.set_accessed ? PTE_ACCESSED : 0) | (flags.set_dirty ? PTE_DIRTY : 0);
	union hv_gpa_page_access_state result = {0};
	struct gpa_walk walk;
	uint64_t *entry;
	uint32_t now;

	gpa_walk(map, gpn, 0, &walk);
	entry = hidden_entry(map, gpn, &walk);
	*state = 0;
	if (!pte_present(*entry)) {
		return HV_STATUS_SUCCESS;
	}
	now = pte_flags_of(*entry);
	if (walk.level && (clear || set & ~now)) {
		/* Each page has a state of its own from now on. */
		if (gpa_walk_create(map, gpn, 0, &walk) != HV_STATUS_SUCCESS) {
			return HV_STATUS_INSUFFICIENT_MEMORY;
		}
		entry = walk.entry[0];
		map->stale = true;
	}
	if (now & clear || set & ~now) {
		now = state_change(entry, clear, set);
		map->stale = true;
		gpa_removals++;
	}
	result.accessed = !!(now & PTE_ACCESSED);
	result.dirty = !!(now & PTE_DIRTY);
	*state = result.as_uint8;
	return HV_STATUS_SUCCESS;
}

hv_status_t plat_gpa_access_state(struct partition *p, uint64_t gpn, uint64_t flags, uint8_t *state)
{
	union hv_gpa_page_access_state_flags wanted = {.as_uint64 = flags};
	struct gpa_map *map = gpa_of(p);
	hv_status_t status;

	if (map == NULL || map->identity) {
		return HV_STATUS_OPERATION_DENIED;
	}
	if (wanted.reserved || gpn >= gpa_limit()) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	memory_lock();
	status = access_state(map, gpn, wanted, state);
	memory_unlock();
	return status;
}
