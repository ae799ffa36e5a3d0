/*
 * Who owns each page of RAM, and the pools of deposited pages. docs/design/memory.md has the
 * invariants.
 *
 * The core reaches this by plat_page_* (tlfs/plat.h); the functions here are for gpa*.c, which
 * keeps the page tables, and for the boot.
 */
#ifndef HYPERVISOR_MEMORY_H
#define HYPERVISOR_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "include/boot/handoff.h"
#include "include/hv/types.h"
#include "lib/addr.h"
#include "lib/check.h"

struct partition;

enum page_kind {
	PAGE_HYPERVISOR, /* image, this table, LP data: for ever */
	PAGE_RAM,   /* the root's memory. count = mappings in children that an LP may still use */
	PAGE_FREE,  /* in owner's pool; next = the following one */
	PAGE_USED,  /* the core's or the home's. count = places where an overlay shows it */
	PAGE_TABLE, /* owner's page table. count = entries that are not 0 */
	PAGE_LIMBO, /* owner's; goes to its pool after the flush that ends its last use */
};

#define PAGE_END 0xffffffffu /* no further page in a list */

/* One a page of RAM. All fields: memory lock. */
struct page {
	union {
		uint32_t count;
		uint32_t next; /* index into the table */
	};
	uint16_t owner; /* slot of its partition: id % HV_MAX_PARTITIONS */
	uint8_t kind;   /* enum page_kind */
	bool boot; /* came from the hypervisor's reserved region: is never given to a partition */
};
_Static_assert(sizeof(struct page) == 8, "the table takes 2 MiB for each GiB of RAM");

/* ---- boot, in this order; boot LP alone ---- */

void memory_boot(const struct handoff *handoff);
/* Pages of the reserved region, next to each other, not zeroed. Until memory_init(). */
spa_t memory_boot_alloc(uint64_t pages);
uint64_t memory_boot_left(void);
/*
 * Fills the table and gives what is left of the reserved region to the root's pool; plat_spa_ptr()
 * must work, root->id is set.
 */
void memory_init(struct partition *root);

/*
 * ---- the lock (memory_lock.c); everything below needs it unless it says otherwise. Shared,
 * nothing of what it guards may be changed but accessed and dirty bits. Not recursive. ----
 */

void memory_lock(void);
void memory_unlock(void);
void memory_lock_shared(void);
void memory_unlock_shared(void);

/* The entry of a page, NULL if it is not RAM. */
struct page *memory_page(uint64_t spn);

/* No lock. What a block of the machine's address space was at boot. */
enum memory_extent {
	EXTENT_RAM,   /* all RAM, and given to the root */
	EXTENT_OTHER, /* no RAM at all */
	EXTENT_MIXED, /* none of these, or the hypervisor's */
};
enum memory_extent memory_extent(uint64_t spn, uint64_t pages);

/* No lock. Some of these pages are the hypervisor's since the boot: its memory, or registers that
 * are withheld from all partitions. */
bool memory_hidden(uint64_t spn, uint64_t pages);
/* Boot, before memory_init(): registers of a device that is the hypervisor's. False: there are too
 * many. */
bool memory_withhold(uint64_t spn, uint64_t pages) MUST_CHECK;

/* No lock. The i-th range of RAM at boot; false: there are not as many. */
bool memory_range(uint32_t i, uint64_t *spn, uint64_t *pages);

/* The page is RAM of p, which neither the hypervisor nor a deposit has. */
bool memory_owned(const struct partition *p, uint64_t spn);
/*
 * Counts one more mapping of all these pages, which must be RAM of `owner`; else ACCESS_DENIED and
 * no change.
 */
hv_status_t memory_claim(const struct partition *owner, uint64_t spn, uint64_t pages) MUST_CHECK;
/*
 * A mapping that was taken out of a page table and flushed: one mapping less (RAM) or one overlay
 * less (USED), or the page goes to its owner's pool (LIMBO).
 */
void memory_settle(uint64_t spn, uint64_t pages);
/* From RAM of `from`, mapped nowhere else, to LIMBO of `to`. */
hv_status_t memory_deposit(const struct partition *from, uint64_t spn,
			   struct partition *to) MUST_CHECK;
/* A free page that `p` may give back, cleared and made RAM of `to`; HV_STATUS_NO_RESOURCES. */
hv_status_t memory_withdraw(struct partition *p, const struct partition *to,
			    uint64_t *spn) MUST_CHECK;

/* plat_page_alloc() and plat_page_free(). */
void *memory_alloc(struct partition *p);
void memory_free(const struct partition *p, void *object);
/*
 * A zeroed page for a page table, NULL if the pool is empty; and the way back, by LIMBO, when it
 * has no entry left.
 */
uint64_t *memory_table_alloc(struct partition *p);
void memory_table_free(uint64_t *table);
/* The table, in which `entry` lies, has got or lost entries that are not 0. */
void memory_table_entries(const uint64_t *entry, int change);
/* The entry of the page in which this page-table entry or object lies. */
struct page *memory_page_of(const void *object);
/* One more place where a USED page is shown. */
void memory_show(struct page *page);

#endif
