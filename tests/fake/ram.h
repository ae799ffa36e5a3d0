/*
 * A simulated machine for hypervisor/memory.c and gpa*.c: RAM, partitions, and TLBs that forget
 * nothing until they are told to.
 */
#ifndef FAKE_RAM_H
#define FAKE_RAM_H

#include "hypervisor/home.h"
#include "hypervisor/memory.h"
#include "tests/fake/ram_iommu.h"

#define RAM_CHILDREN 2

struct ram_machine {
	struct handoff_range ranges[4]; /* unused ones have size 0 */
	uint64_t reserved_base, reserved_size;
	uint64_t free_base;
	uint64_t table_base, table_size;
	uint8_t address_bits;
	uint8_t max_level;
	enum iommu_kind iommu;
};

/*
 * One RAM range of 8 MiB from 0, where the hypervisor has the last 2 MiB, and one of 4 MiB at 4
 * GiB.
 */
extern const struct ram_machine ram_small;

extern struct partition ram_root;
extern struct partition ram_children[RAM_CHILDREN];
extern uint32_t ram_flushes;     /* gpa_flush_wait() calls since the boot */
extern uint32_t ram_locks_alone; /* how often the memory lock was held alone */

/*
 * Boots the machine: ownership table, root and its map. Children are there, without deposits and
 * maps.
 */
void ram_boot(const struct ram_machine *machine);
void ram_shutdown(void);
/*
 * Moves `count` pages of the root from gpn on to the child's pool, with the flush; and the child's
 * map.
 */
void ram_deposit(struct partition *child, uint64_t gpn, uint32_t count);
void ram_create(struct partition *child);
/* Takes the child's map apart. */
void ram_destroy(struct partition *child);

/*
 * The partition (or its processor) accesses a page: false if it faults. The TLB keeps the
 * translation, 4 KiB of it.
 */
bool ram_touch(struct partition *p, uint64_t gpn, uint32_t access);

/*
 * Verifies the invariants of docs/design/memory.md; prints the one that does not hold and aborts.
 */
void ram_check(void);
/* How a unit test ends: ram_check(), ram_shutdown(). */
int ram_end_test(void **state);

#endif
