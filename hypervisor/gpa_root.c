/*
 * The root's GPA space is the machine's: RAM is mapped at boot, in the largest leaves that hold
 * nothing of the hypervisor's; anything else (devices, firmware) at its first touch. Also here:
 * deposits, which take pages out of it, and withdrawals.
 *
 * The tables that hold a deposited page's entry stay until the page is back, so that a withdrawal
 * never needs memory.
 */
#include "hypervisor/gpa_table.h"
#include "hypervisor/home.h"
#include "hypervisor/iommu.h"
#include "hypervisor/memory.h"

#define RAM_FLAGS (PTE_RIGHTS | PTE_ACCESSED | PTE_DIRTY)

/* The highest level up to `level` at which the block around gpn is all of one kind. */
static unsigned int block_level(uint64_t gpn, enum memory_extent extent, unsigned int level)
{
	for (; level; level--) {
		uint64_t count = pte_pages(level), first = gpn & ~(count - 1);

		if (memory_extent(first, count) == extent && !gpa_has_apic(first, count)) {
			break;
		}
	}
	return level;
}

static hv_status_t map_block(struct gpa_map *map, uint64_t gpn, unsigned int level, uint32_t flags)
{
	struct gpa_walk walk;
	hv_status_t status = gpa_walk_create(map, gpn, level, &walk);

	if (status == HV_STATUS_SUCCESS) {
		gpa_entry_set(walk.entry[level],
			      pte_leaf(gpn & ~(pte_pages(level) - 1), level, flags));
	}
	return status;
}

static hv_status_t map_ram(struct gpa_map *map, uint64_t gpn, uint64_t end)
{
	hv_status_t status = HV_STATUS_SUCCESS;

	while (gpn < end && status == HV_STATUS_SUCCESS) {
		unsigned int level = block_level(gpn, EXTENT_RAM, map->max_level);

		if (level || memory_extent(gpn, 1) == EXTENT_RAM) {
			status = map_block(map, gpn, level, RAM_FLAGS);
		}
		gpn += pte_pages(level);
	}
	return status;
}

hv_status_t gpa_create_root(struct gpa_map *map, struct partition *root, uint8_t max_level)
{
	hv_status_t status = gpa_create(map, root);
	uint64_t first, pages;

	map->identity = true;
	map->max_level = max_level;
	memory_lock();
	for (uint32_t i = 0; status == HV_STATUS_SUCCESS && memory_range(i, &first, &pages); i++) {
		status = map_ram(map, first, first + pages);
	}
	memory_unlock();
	return status;
}

/*
 * Unmaps all devices and frees the tables that only they needed; they come back with their next
 * touch.
 */
static void forget_devices(struct gpa_map *map, uint64_t *table, uint64_t gpn, unsigned int level)
{
	for (unsigned int i = 0; i < PAGETABLE_ENTRIES; i++) {
		uint64_t entry = table[i], first = gpn + i * pte_pages(level);

		if (pte_is_table(entry, level)) {
			uint64_t *lower = plat_spa_ptr((spa_t){entry & PTE_ADDRESS});

			forget_devices(map, lower, first, level - 1);
			if (memory_page_of(lower)->count ||
			    memory_extent(first, pte_pages(level)) != EXTENT_OTHER) {
				continue;
			}
			gpa_entry_set(&table[i], 0);
			gpa_table_drop(map, lower);
		} else if (pte_present(entry) && entry & PTE_SOFT_IO) {
			gpa_entry_set(&table[i], 0);
		}
	}
	map->stale = true;
}

/*
 * With 1 GiB leaves a few tables hold every device; without, touching all addresses takes more than
 * the pool may have.
 */
static hv_status_t map_device(struct gpa_map *map, uint64_t gpn)
{
	struct gpa_walk walk;
	unsigned int level;

	gpa_walk(map, gpn, 0, &walk);
	level = block_level(gpn, EXTENT_OTHER,
			    walk.level < map->max_level ? walk.level : map->max_level);
	return map_block(map, gpn, level, RAM_FLAGS | PTE_IO);
}

enum gpa_fault gpa_root_fault(struct gpa_map *map, uint64_t gpn)
{
	if (gpa_has_apic(gpn, 1)) {
		return GPA_FAULT_APIC;
	}
	if (memory_extent(gpn, 1) != EXTENT_OTHER) {
		return GPA_FAULT_PROTECTED;
	}
	if (map_device(map, gpn) == HV_STATUS_SUCCESS) {
		return GPA_FAULT_RESOLVED;
	}
	forget_devices(map, map->top, 0, PAGETABLE_LEVELS - 1);
	gpa_flush(map);
	return map_device(map, gpn) == HV_STATUS_SUCCESS ? GPA_FAULT_RESOLVED : GPA_FAULT_NO_MEMORY;
}

/* The entry of the root's own page, also when an overlay hides it. */
static uint64_t *own_entry(struct gpa_map *map, uint64_t gpn, uint64_t *entry)
{
	return *entry & PTE_SOFT_OVERLAY ? gpa_overlay_below(map, gpn) : entry;
}

static void own_entry_set(uint64_t *entry, uint64_t *own, uint64_t value)
{
	if (own == entry) {
		gpa_entry_set(entry, value);
	} else {
		*own = value;
	}
}

static hv_status_t deposit(struct gpa_map *map, uint64_t gpn, struct partition *p)
{
	struct gpa_walk walk;
	uint64_t *entry;
	hv_status_t status;

	if (!memory_owned(map->partition, gpn)) {
		return HV_STATUS_ACCESS_DENIED;
	}
	if (gpa_walk_create(map, gpn, 0, &walk) != HV_STATUS_SUCCESS) {
		return HV_STATUS_INSUFFICIENT_ROOT_MEMORY;
	}
	status = iommu_split(gpn) ? memory_deposit(map->partition, gpn, p)
				  : HV_STATUS_INSUFFICIENT_ROOT_MEMORY;
	if (status != HV_STATUS_SUCCESS) {
		iommu_join(gpn);
		gpa_merge(map, gpn, &walk);
		return status;
	}
	iommu_hide(gpn);
	entry = walk.entry[0];
	own_entry_set(entry, own_entry(map, gpn, entry), 0);
	gpa_pend(map, gpn, 0);
	return HV_STATUS_SUCCESS;
}

hv_status_t plat_page_deposit(struct partition *from, uint64_t gpn, struct partition *p)
{
	struct gpa_map *map = gpa_of(from);
	hv_status_t status;

	if (gpn >= gpa_limit()) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	if (map == NULL || !map->identity) {
		return HV_STATUS_ACCESS_DENIED;
	}
	memory_lock();
	status = deposit(map, gpn, p);
	memory_unlock();
	return status;
}

hv_status_t plat_page_withdraw(struct partition *p, struct partition *to, uint64_t *gpn)
{
	struct gpa_map *map = gpa_of(to);
	struct gpa_walk walk;
	hv_status_t status;
	uint64_t *entry;

	if (map == NULL || !map->identity) {
		return HV_STATUS_ACCESS_DENIED;
	}
	memory_lock();
	status = memory_withdraw(p, to, gpn);
	if (status == HV_STATUS_SUCCESS) {
		gpa_walk(map, *gpn, 0, &walk);
		CHECK(!walk.level);
		entry = walk.entry[0];
		own_entry_set(entry, own_entry(map, *gpn, entry), pte_leaf(*gpn, 0, RAM_FLAGS));
		iommu_show(*gpn);
		gpa_merge(map, *gpn, &walk);
		if (walk.level) {
			gpa_flush(map);
		}
	}
	memory_unlock();
	return status;
}
