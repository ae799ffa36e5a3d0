/*
 * What this home adds to a partition (partition->home).
 */
#ifndef HYPERVISOR_HOME_H
#define HYPERVISOR_HOME_H

#include "hypervisor/gpa.h"
#include "tlfs/hv.h"

struct partition_home {
	struct gpa_map gpa;
};

_Static_assert(sizeof(struct partition_home) <= PAGE_SIZE, "it is a page of the pool");

/* NULL: the partition has no GPA space yet, or no more. */
static inline struct gpa_map *gpa_of(const struct partition *p)
{
	struct partition_home *home = p->home;

	return home != NULL ? &home->gpa : NULL;
}

#endif
