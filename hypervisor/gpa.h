/*
 * GPA spaces: the second-level page table of each partition, and the plat_gpa_* and plat_overlay_*
 * of tlfs/plat.h. docs/design/memory.md has the invariants.
 *
 * Flush protocol. A translation that was taken out of a table may live on in the TLBs of LPs.
 * gpa_flush() moves the map's generation on and calls gpa_flush_wait(); only then are the pages
 * behind such translations free for other uses. An LP, on its way into the guest: sets lp->guest,
 * fence, compares map.generation with the one of its last entry with that partition (of that VP),
 * flushes its TLB for the partition if they differ, enters. On its way out it clears lp->guest
 * before it takes any lock. So gpa_flush_wait() may be, and is, called with the memory lock
 * held.
 */
#ifndef HYPERVISOR_GPA_H
#define HYPERVISOR_GPA_H

#include <stdbool.h>
#include <stdint.h>

#include "include/hv/types.h"
#include "lib/addr.h"
#include "lib/check.h"

struct partition;
struct overlay;

/* By GPN. The root has several for each VP of each child; the page of its struct gpa_map has room
 * for these. */
#define GPA_OVERLAY_LISTS 256

/* All fields: memory lock, if they say nothing else. */
struct gpa_map {
	struct partition *partition; /* [I] */
	uint64_t *top;               /* [I] the table of level 3 */
	uint64_t generation;         /* [a] */
	uint8_t max_level;           /* [I] of a leaf */
	bool identity;               /* [I] the root's */
	bool stale; /* an LP may use a translation that is gone or has lost rights */
	uint64_t join_at,
		join_looked; /* gpa_join(): the GPN to look at next; pages since one was found */
	uint32_t pending_count;
	uint64_t *pending; /* [I] a page: what memory_settle() is told after the next flush */
	struct overlay *overlays[GPA_OVERLAY_LISTS], *spare_overlays;
	void *overlay_pages;
};

/*
 * The root's map: all RAM but the hypervisor's at its own address; everything else follows with
 * gpa_fault(). After memory_init(). `max_level`: 2 if the processor has 1 GiB pages, else 1.
 */
hv_status_t gpa_create_root(struct gpa_map *map, struct partition *root,
			    uint8_t max_level) MUST_CHECK;
/* An empty map, from p's pool. `map` is in p->home already, which the functions below need. */
hv_status_t gpa_create(struct gpa_map *map, struct partition *p) MUST_CHECK;
/*
 * Takes a child's map apart, a bounded part in each call; true when all is back in the pool. No VP
 * of p runs.
 */
bool gpa_destroy(struct gpa_map *map) MUST_CHECK;
/* The first page of the table, for nCR3 or EPTP. */
spa_t gpa_top(const struct gpa_map *map);

/*
 * What an LP's last walks found: a call's input and output pages are mostly those of the last call.
 * Good until any translation of any map is taken away: so not even a new map in the place of an old
 * one can be mistaken for it.
 */
#define GPA_RECENT_PAGES 8
struct gpa_recent {
	const struct gpa_map *map;
	uint64_t gpn, removals;
	uint32_t access;
	void *page;
};
/* Those of this LP. */
struct gpa_recent *gpa_recent(void);

enum gpa_fault {
	GPA_FAULT_RESOLVED,  /* mapped now, or was: enter again */
	GPA_FAULT_UNMAPPED,  /* a child's address with nothing behind it */
	GPA_FAULT_ACCESS,    /* mapped, but not for this access */
	GPA_FAULT_APIC,      /* the root touched the page of the machine's local APIC */
	GPA_FAULT_PROTECTED, /* the root touched the hypervisor's memory, or beyond the addresses */
	GPA_FAULT_NO_MEMORY, /* the pool is empty, and nothing that it gave for such ends can make room */
};
/* A nested page fault at `gpa`; access = HV_MAP_GPA_READABLE, _WRITABLE or _EXECUTABLE. */
enum gpa_fault gpa_fault(struct partition *p, gpa_t gpa, uint32_t access);

/*
 * The hypervisor's view of a page, NULL as plat_gpa_read(); for reading only. It may be kept while
 * gpa_generation() stays the same. The page can still change hands between that comparison and the
 * reading, so nothing that is read may reach anybody; it may be compared with what is expected.
 * Everything else goes by plat_gpa_read() and plat_gpa_write().
 */
const void *gpa_peek(struct partition *p, uint64_t gpn);
/* plat_gpa_read(), and where the bytes stood, NULL as there. For gpa_trail.c alone. */
const void *gpa_read(struct partition *p, gpa_t gpa, void *to, uint32_t size);
uint64_t gpa_generation(const struct partition *p);
/*
 * Puts `value` in the place of `expected`, an aligned word of 4 or 8 bytes that others may write at
 * the same time; GPA_EXCHANGE_ACCESS as plat_gpa_write() says false.
 */
enum gpa_exchange { GPA_EXCHANGE_DONE, GPA_EXCHANGE_OTHER, GPA_EXCHANGE_ACCESS };
enum gpa_exchange gpa_exchange(struct partition *p, gpa_t gpa, uint64_t expected, uint64_t value,
			       uint32_t size);

/*
 * What the LPs supply (flush.c): returns when no LP executes guest code of p by translations older
 * than the generation of p's map. Memory lock held.
 */
void gpa_flush_wait(struct partition *p);

#endif
