/*
 * The root's domain: the page table by which the IOMMU's units translate the addresses of all devices. Identity, with the largest
 * leaves that hold nothing of the hypervisor's. docs/design/iommu.md has the invariants.
 *
 * Four levels of 512 entries in both formats. Level 0 has leaves of 4 KiB, level 1 of 2 MiB, level 2 of 1 GiB. All functions need the
 * memory lock, alone.
 */
#ifndef HYPERVISOR_IOMMU_DOMAIN_H
#define HYPERVISOR_IOMMU_DOMAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "hypervisor/iommu_table.h"
#include "lib/addr.h"
#include "lib/check.h"

#define IOMMU_LEVELS 4

struct partition;

struct iommu_domain {
	enum iommu_kind kind; /* [I] whose format; IOMMU_NONE: there is no domain */
	uint8_t max_level;    /* [I] of a leaf: 1 or 2 */
	bool caches_absence;  /* [I] units remember entries that lead nowhere (emulated ones do) */
	bool stale;           /* a unit may use a translation that is gone */
	uint64_t end;         /* [I] SPN behind the last */
	uint64_t *top;        /* [I] */
	struct partition *owner; /* [I] whose pool the tables are of */
};
extern struct iommu_domain iommu_domain;

/* Fills the domain, of which everything but `top` is set. False: the pool is empty. */
bool iommu_domain_build(struct iommu_domain *domain) MUST_CHECK;
/* The first table of 4 levels, or of 3. */
spa_t iommu_domain_top(const struct iommu_domain *domain, unsigned int levels);

/* iommu.c, or a test: no unit uses a translation that is gone when it returns. */
void iommu_units_flush(void);

#endif
