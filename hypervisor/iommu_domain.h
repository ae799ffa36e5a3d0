/*
 * The root's domain: the page table by which the IOMMU's units translate the addresses of all
 * devices. Identity, with the largest leaves that hold nothing of the hypervisor's.
 * docs/design/iommu.md has the invariants.
 *
 * Four levels of 512 entries in both formats. Level 0 has leaves of 4 KiB, level 1 of 2 MiB, level
 * 2 of 1 GiB. All functions need the memory lock, alone.
 */
#ifndef HYPERVISOR_IOMMU_DOMAIN_H
#define HYPERVISOR_IOMMU_DOMAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "hypervisor/iommu_table.h"
#include "lib/addr.h"
#include "lib/check.h"

#define IOMMU_LEVELS 4
/* Numbers of domains: the root's; 0 means none to some units. */
#define IOMMU_ROOT_DOMAIN 1

struct interrupt_table;
struct partition;

struct iommu_domain {
	enum iommu_kind kind; /* [I] whose format; IOMMU_NONE: there is no domain */
	uint8_t max_level;    /* [I] of a leaf: 1 or 2 */
	bool caches_absence;  /* [I] units remember entries that lead nowhere (emulated ones do) */
	bool remaps;          /* [I] interrupts of a device can be those of a table */
	bool stale;           /* a unit may use a translation that is gone */
	uint8_t width;        /* [I] bits of an address that all units take */
	uint16_t numbers;     /* [I] of domains that all units tell apart, from 0 on */
	uint64_t end;         /* [I] SPN behind the last */
	uint64_t *top;        /* [I] */
	struct partition *owner; /* [I] whose pool the tables are of */
};
extern struct iommu_domain iommu_domain;

/* Fills the domain, of which everything but `top` is set. False: the pool is empty. */
bool iommu_domain_build(struct iommu_domain *domain) MUST_CHECK;
/* The entries on the way to a page, from the top's on; the level of the last of them, which leads
 * to no table. */
unsigned int iommu_walk(uint64_t *top, uint64_t page, uint64_t *entries[IOMMU_LEVELS]);

/*
 * iommu.c, or a test. A domain has a number, by which units tell what they remember; `top` is a
 * first table of 4 levels.
 *
 * iommu_units_flush(): no unit uses a translation of this domain that is gone when it returns.
 * iommu_units_attach(): a device is in the domain `to`, in `from` no more, and no unit remembers it
 * there, nor interrupts but those of its table (NULL: it raises what the root's devices may);
 * false: the pool is empty, and nothing has changed. iommu_units_forget_interrupts(): the device
 * raises what is in its table now. iommu_apic_id(): of the machine's APIC on which this VP of the
 * root is; false: there is none, or units cannot name it.
 */
void iommu_units_flush(uint16_t number);
bool iommu_units_attach(uint16_t device, uint16_t from, uint16_t to, uint64_t *top,
			const struct interrupt_table *interrupts) MUST_CHECK;
void iommu_units_forget_interrupts(uint16_t device);
bool iommu_apic_id(uint32_t vp_index, uint8_t *apic_id) MUST_CHECK;

#endif
