/* What all GPA spaces have in common: access by the hypervisor, and nested page faults. */
#include "hypervisor/gpa.h"

#include "hypervisor/gpa_table.h"
#include "hypervisor/home.h"
#include "hypervisor/memory.h"
#include "lib/string.h"

static bool permits(uint64_t leaf, uint32_t access)
{
	uint32_t flags = pte_flags_of(leaf);

	return (!(access & HV_MAP_GPA_WRITABLE) || flags & PTE_WRITE) &&
	       (!(access & HV_MAP_GPA_EXECUTABLE) || flags & PTE_EXECUTE);
}

/*
 * The page of RAM at this GPN, NULL if there is none that permits the access. Sets accessed and
 * dirty.
 */
static void *page_find(const struct gpa_map *map, uint64_t gpn, uint32_t access)
{
	uint64_t state = pte_state_bits(access & HV_MAP_GPA_WRITABLE ? PTE_ACCESSED | PTE_DIRTY
								     : PTE_ACCESSED);
	struct gpa_walk walk;
	uint64_t *entry, spn;

	if (gpn >= gpa_limit()) {
		return NULL;
	}
	gpa_walk(map, gpn, 0, &walk);
	entry = walk.entry[walk.level];
	if (!pte_present(*entry) || *entry & PTE_SOFT_IO || !permits(*entry, access)) {
		return NULL;
	}
	if (~*entry & state) {
		__atomic_fetch_or(entry, state, __ATOMIC_SEQ_CST);
	}
	spn = pte_spn(*entry) + (gpn & (pte_pages(walk.level) - 1));
	return plat_spa_ptr((spa_t){spn << PAGE_SHIFT});
}

static void *page_at(const struct gpa_map *map, uint64_t gpn, uint32_t access)
{
	struct gpa_recent *recent = &gpa_recent()[gpn % GPA_RECENT_PAGES];

	if (recent->map == map && recent->gpn == gpn && recent->removals == gpa_removals &&
	    (recent->access & access) == access) {
		return recent->page;
	}
	recent->map = NULL;
	recent->page = page_find(map, gpn, access);
	if (recent->page == NULL) {
		return NULL;
	}
	/* No leaf is writable and not readable. */
	*recent = (struct gpa_recent){map, gpn, gpa_removals, access | HV_MAP_GPA_READABLE,
				      recent->page};
	return recent->page;
}

const void *gpa_read(struct partition *p, gpa_t gpa, void *to, uint32_t size)
{
	const uint8_t *page;

	CHECK(size <= PAGE_SIZE - (gpa.v & PAGE_MASK));
	memory_lock_shared();
	page = page_at(gpa_of(p), gpa.v >> PAGE_SHIFT, HV_MAP_GPA_READABLE);
	if (page != NULL &&
	    size == sizeof(uint64_t)) { /* an entry of a page table: in one move, not by a call */
		__builtin_memcpy(to, page + (gpa.v & PAGE_MASK), sizeof(uint64_t));
	} else if (page != NULL) {
		memcpy(to, page + (gpa.v & PAGE_MASK), size);
	}
	memory_unlock_shared();
	return page != NULL ? page + (gpa.v & PAGE_MASK) : NULL;
}

bool plat_gpa_read(struct partition *p, gpa_t gpa, void *to, uint32_t size)
{
	return gpa_read(p, gpa, to, size) != NULL;
}

bool plat_gpa_write(struct partition *p, gpa_t gpa, const void *from, uint32_t size)
{
	uint8_t *page;

	CHECK(size <= PAGE_SIZE - (gpa.v & PAGE_MASK));
	memory_lock_shared();
	page = page_at(gpa_of(p), gpa.v >> PAGE_SHIFT, HV_MAP_GPA_WRITABLE);
	if (page != NULL) {
		memcpy(page + (gpa.v & PAGE_MASK), from, size);
	}
	memory_unlock_shared();
	return page != NULL;
}

static bool exchange(void *at, uint64_t expected, uint64_t value, uint32_t size)
{
	uint32_t expected_32 = (uint32_t)expected;

	if (size == sizeof(uint32_t)) {
		return __atomic_compare_exchange_n((uint32_t *)at, &expected_32, (uint32_t)value,
						   false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	}
	return __atomic_compare_exchange_n((uint64_t *)at, &expected, value, false,
					   __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

enum gpa_exchange gpa_exchange(struct partition *p, gpa_t gpa, uint64_t expected, uint64_t value,
			       uint32_t size)
{
	enum gpa_exchange result = GPA_EXCHANGE_ACCESS;
	uint8_t *page;

	CHECK(size == sizeof(uint32_t) || size == sizeof(uint64_t));
	CHECK(!(gpa.v & (size - 1)));
	memory_lock_shared();
	page = page_at(gpa_of(p), gpa.v >> PAGE_SHIFT, HV_MAP_GPA_WRITABLE);
	if (page != NULL) {
		result = exchange(page + (gpa.v & PAGE_MASK), expected, value, size)
				 ? GPA_EXCHANGE_DONE
				 : GPA_EXCHANGE_OTHER;
	}
	memory_unlock_shared();
	return result;
}

bool plat_gpa_writable(struct partition *p, uint64_t gpn)
{
	bool writable;

	memory_lock_shared();
	writable = page_at(gpa_of(p), gpn, HV_MAP_GPA_WRITABLE) != NULL;
	memory_unlock_shared();
	return writable;
}

const void *gpa_peek(struct partition *p, uint64_t gpn)
{
	const void *page;

	memory_lock_shared();
	page = page_at(gpa_of(p), gpn, HV_MAP_GPA_READABLE);
	memory_unlock_shared();
	return page;
}

uint64_t gpa_generation(const struct partition *p)
{
	return __atomic_load_n(&gpa_of(p)->generation, __ATOMIC_SEQ_CST);
}

/*
 * Code in a large page that must not be executable as one: the page is split. When the pool has no
 * table for that, those that were split before are joined again, so a guest that executes
 * everywhere takes no more than its pool. As long as that goes on nothing has changed, and the
 * guest fetches again.
 */
static enum gpa_fault split_for_code(struct gpa_map *map, uint64_t gpn)
{
	struct gpa_walk walk;

	if (gpa_walk_create(map, gpn, 0, &walk) == HV_STATUS_SUCCESS) {
		return GPA_FAULT_RESOLVED;
	}
	if (gpa_join(map) == GPA_JOIN_GOES_ON) {
		return GPA_FAULT_RESOLVED;
	}
	return gpa_walk_create(map, gpn, 0, &walk) == HV_STATUS_SUCCESS ? GPA_FAULT_RESOLVED
									: GPA_FAULT_NO_MEMORY;
}

/*
 * The first write of a leaf that is watched. Others with the lock shared may set A and D at the
 * same time, no more.
 */
static void end_watch(uint64_t *entry, unsigned int level)
{
	uint64_t old = __atomic_load_n(entry, __ATOMIC_RELAXED), leaf;

	do {
		leaf = pte_leaf(pte_spn(old), level, pte_flags_of(old) | PTE_ACCESSED | PTE_DIRTY);
	} while (!__atomic_compare_exchange_n(entry, &old, leaf, false, __ATOMIC_SEQ_CST,
					      __ATOMIC_RELAXED));
}

/*
 * Changes at most the state of a leaf. *change: the table has to be changed first, with the lock
 * held alone.
 */
static enum gpa_fault look(const struct gpa_map *map, uint64_t gpn, uint32_t access, bool *change)
{
	struct gpa_walk walk;
	uint64_t entry;

	gpa_walk(map, gpn, 0, &walk);
	entry = *walk.entry[walk.level];
	*change = entry ? entry & PTE_SOFT_SPLIT && access & HV_MAP_GPA_EXECUTABLE : map->identity;
	if (!entry) {
		return GPA_FAULT_UNMAPPED;
	}
	if (!pte_present(entry) || !permits(entry, access)) {
		return GPA_FAULT_ACCESS;
	}
	if (entry & PTE_SOFT_WATCH && access & HV_MAP_GPA_WRITABLE) {
		end_watch(walk.entry[walk.level], walk.level);
	}
	return GPA_FAULT_RESOLVED;
}

enum gpa_fault gpa_fault(struct partition *p, gpa_t gpa, uint32_t access)
{
	struct gpa_map *map = gpa_of(p);
	uint64_t gpn = gpa.v >> PAGE_SHIFT;
	enum gpa_fault result;
	bool change;

	if (gpn >= gpa_limit()) {
		return map->identity ? GPA_FAULT_PROTECTED : GPA_FAULT_UNMAPPED;
	}
	memory_lock_shared();
	result = look(map, gpn, access, &change);
	memory_unlock_shared();
	if (!change) {
		return result;
	}
	memory_lock();
	result = look(map, gpn, access, &change);
	if (change) {
		result = result == GPA_FAULT_UNMAPPED ? gpa_root_fault(map, gpn)
						      : split_for_code(map, gpn);
	}
	memory_unlock();
	return result;
}
