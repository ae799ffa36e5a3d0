/*
 * Shared by gpa*.c: the walk through a second-level table, and what becomes of translations that
 * leave it. All with the memory lock held.
 */
#ifndef HYPERVISOR_GPA_TABLE_H
#define HYPERVISOR_GPA_TABLE_H

#include "hypervisor/arch/x86/pagetable.h"
#include "hypervisor/gpa.h"

/*
 * The way to a GPN: entry[3] in the top table … entry[level], which is a leaf, leads nowhere, or is
 * of the level asked for.
 */
struct gpa_walk {
	uint64_t *entry[PAGETABLE_LEVELS];
	unsigned int level;
};

/* An overlay page at a GPN; see gpa_overlay.c. */
struct overlay {
	struct overlay *next;
	uint64_t gpn;
	uint64_t spn;
	uint64_t below; /* in the last one of a GPN: the entry that they hide */
};

void gpa_walk(const struct gpa_map *map, uint64_t gpn, unsigned int level, struct gpa_walk *walk);
/*
 * The same, but makes the tables that are missing and splits leaves above `level`.
 * INSUFFICIENT_MEMORY: nothing has changed.
 */
hv_status_t gpa_walk_create(struct gpa_map *map, uint64_t gpn, unsigned int level,
			    struct gpa_walk *walk) MUST_CHECK;
/* Entries that were replaced or taken away, and accessed and dirty bits that were cleared. */
extern uint64_t gpa_removals;
/* Replaces an entry and keeps its table's count; the old one. */
uint64_t gpa_entry_set(uint64_t *entry, uint64_t value);
/*
 * Frees the tables on the way that have become empty. The root keeps its own: a withdrawal must not
 * need memory.
 */
void gpa_prune(struct gpa_map *map, struct gpa_walk *walk);
/* The root's: tables on the way whose leaves could be one large leaf again are replaced by it. */
void gpa_merge(struct gpa_map *map, uint64_t gpn, struct gpa_walk *walk);
/*
 * Tables whose leaves are the parts of one large piece of code are replaced by large leaves. Each
 * call looks at a bounded part of the map, from where the last one ended.
 */
enum gpa_join {
	GPA_JOINED,       /* some were; it has flushed */
	GPA_JOIN_GOES_ON, /* none in this part */
	GPA_JOINED_NONE,  /* none in the whole map, since the last that was */
};
enum gpa_join gpa_join(struct gpa_map *map);
/* Frees a table that hangs in no other any more, whatever is in it. */
void gpa_table_drop(struct gpa_map *map, uint64_t *table);

/* These pages left the table: memory_settle() after the next flush. */
void gpa_pend(struct gpa_map *map, uint64_t spn, unsigned int level);
/* A leaf of a child left the table. */
void gpa_release(struct gpa_map *map, uint64_t leaf, unsigned int level);
void gpa_flush(struct gpa_map *map);

/* The first GPN that no partition can have. */
uint64_t gpa_limit(void);
/* The page of the local APIC is among these. */
bool gpa_has_apic(uint64_t gpn, uint64_t pages);

/* gpa_root.c: a fault of the root where the table leads nowhere. */
enum gpa_fault gpa_root_fault(struct gpa_map *map, uint64_t gpn);
/* gpa_overlay.c: the entry that the overlays on this GPN hide. */
uint64_t *gpa_overlay_below(struct gpa_map *map, uint64_t gpn);
void gpa_overlay_destroy(struct gpa_map *map);

#endif
