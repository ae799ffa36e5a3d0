#include "tests/fake/ram.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "hypervisor/gpa_table.h"
#include "tests/fake/ram_check.h"

#define SPACE (8ull << 30) /* simulated physical addresses; only what is touched takes memory */
#define MIB   (1ull << 20)

struct plat_info plat_info;
struct partition ram_root;
struct partition ram_children[RAM_CHILDREN];
uint32_t ram_flushes;
struct translation ram_tlb[RAM_TLB_SIZE];
uint32_t ram_tlb_count;

static struct partition_home homes[1 + RAM_CHILDREN];
static uint64_t flushed_generation[1 + RAM_CHILDREN];
static uint8_t *space;

const struct ram_machine ram_small = {
	.ranges = {{.base = 0, .size = 8 * MIB, .type = 1},
		   {.base = 4096 * MIB, .size = 4 * MIB, .type = 1}},
	.reserved_base = 6 * MIB,
	.reserved_size = 2 * MIB,
	.free_base = 6 * MIB + 16 * PAGE_SIZE,
	.address_bits = 36,
	.max_level = 1,
};

_Noreturn void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: CHECK(%s)\n", file, line, what);
	abort();
}

void *plat_spa_ptr(spa_t spa)
{
	CHECK(spa.v < SPACE);
	return space + spa.v;
}

spa_t plat_ptr_spa(const void *page)
{
	CHECK((const uint8_t *)page - space >= 0 && (const uint8_t *)page < space + SPACE);
	return (spa_t){(const uint8_t *)page - space};
}

/* One LP. */
static bool locked, shared;
uint32_t ram_locks_alone;

void memory_lock(void)
{
	CHECK(!locked);
	locked = true;
	ram_locks_alone++;
}

void memory_unlock(void)
{
	CHECK(locked && !shared);
	locked = false;
}

void memory_lock_shared(void)
{
	CHECK(!locked);
	locked = shared = true;
}

void memory_unlock_shared(void)
{
	CHECK(shared);
	locked = shared = false;
}

struct gpa_recent *gpa_recent(void)
{
	static struct gpa_recent recent[GPA_RECENT_PAGES];

	return recent;
}

static struct partition_home *home_of(const struct partition *p)
{
	return p == &ram_root ? &homes[0] : &homes[1 + (p - ram_children)];
}

void gpa_flush_wait(struct partition *p)
{
	struct partition_home *home = home_of(p);
	uint64_t *seen = &flushed_generation[home - homes];
	uint32_t kept = 0;

	CHECK(!shared);
	CHECK(home->gpa.generation > *seen); /* LPs would not see that they have to flush */
	*seen = home->gpa.generation;
	ram_flushes++;
	for (uint32_t i = 0; i < ram_tlb_count; i++) {
		if (ram_tlb[i].p != p) {
			ram_tlb[kept++] = ram_tlb[i];
		}
	}
	ram_tlb_count = kept;
}

bool ram_touch(struct partition *p, uint64_t gpn, uint32_t access)
{
	enum gpa_fault fault = gpa_fault(p, (gpa_t){gpn << PAGE_SHIFT}, access);
	struct gpa_walk walk;
	uint64_t entry;

	if (fault != GPA_FAULT_RESOLVED) {
		return false;
	}
	gpa_walk(gpa_of(p), gpn, 0, &walk);
	entry = *walk.entry[walk.level];
	*walk.entry[walk.level] |=
		pte_state_bits(PTE_ACCESSED | (access & HV_MAP_GPA_WRITABLE ? PTE_DIRTY : 0));
	if (ram_tlb_count < RAM_TLB_SIZE) {
		ram_tlb[ram_tlb_count++] = (struct translation){
			p, gpn, pte_spn(entry) + (gpn & (pte_pages(walk.level) - 1))};
	}
	return true;
}

static void make_handoff(struct handoff *handoff, const struct ram_machine *machine)
{
	handoff->lp_count = 1;
	handoff->reserved_base = machine->reserved_base;
	handoff->reserved_size = machine->reserved_size;
	handoff->free_base = machine->free_base;
	handoff->table_base = machine->table_base;
	handoff->table_size = machine->table_size;
	for (size_t i = 0; i < ARRAY_COUNT(machine->ranges) && machine->ranges[i].size; i++) {
		handoff->ranges[handoff->range_count++] = machine->ranges[i];
	}
}

void ram_boot(const struct ram_machine *machine)
{
	static struct handoff handoff;

	if (space == NULL) {
		space = mmap(NULL, SPACE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	}
	CHECK(space != MAP_FAILED);
	memset(&handoff, 0, sizeof(handoff));
	make_handoff(&handoff, machine);
	plat_info.physical_address_bits = machine->address_bits;
	ram_tlb_count = ram_flushes = 0;
	memset(flushed_generation, 0, sizeof(flushed_generation));
	memset(homes, 0, sizeof(homes));
	ram_root = (struct partition){.id = HV_ROOT_PARTITION, .home = &homes[0]};
	for (int i = 0; i < RAM_CHILDREN; i++) {
		ram_children[i] =
			(struct partition){.id = HV_ROOT_PARTITION + 1 + i, .parent = &ram_root};
	}
	gpa_removals++; /* the maps of the machine before are gone */
	memory_boot(&handoff);
	memory_init(&ram_root);
	CHECK(gpa_create_root(&homes[0].gpa, &ram_root, machine->max_level) == HV_STATUS_SUCCESS);
	ram_iommu_boot(machine->iommu, machine->max_level);
}

void ram_shutdown(void)
{
	munmap(space, SPACE);
	space = NULL;
}

void ram_deposit(struct partition *child, uint64_t gpn, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		CHECK(plat_page_deposit(&ram_root, gpn + i, child) == HV_STATUS_SUCCESS);
	}
	plat_gpa_flush(&ram_root);
}

void ram_create(struct partition *child)
{
	struct partition_home *home = home_of(child);

	child->home = home;
	if (gpa_create(&home->gpa, child) != HV_STATUS_SUCCESS) {
		child->home = NULL;
	} else {
		flushed_generation[home - homes] = 0;
	}
}

void ram_destroy(struct partition *child)
{
	while (!gpa_destroy(gpa_of(child)))
		;
	child->home = NULL;
}
