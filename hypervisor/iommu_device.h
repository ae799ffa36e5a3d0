/*
 * Device domains: address spaces of devices of the root beside its own, in which a device reaches
 * what was mapped for it, and no more. plat_device_*() of tlfs/plat.h is their interface,
 * docs/design/iommu.md has the invariants; here is what a test looks into. Memory lock.
 */
#ifndef HYPERVISOR_IOMMU_DEVICE_H
#define HYPERVISOR_IOMMU_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

/* Without the root's. */
#define IOMMU_DEVICE_DOMAINS 254

struct device_domain {
	uint64_t *top; /* NULL: there is no such domain */
	uint32_t id;   /* the root's name of it */
	uint32_t devices;
};
extern struct device_domain iommu_device_domains[IOMMU_DEVICE_DOMAINS];

/* The number by which units know a domain; and the number of a device's domain. */
uint16_t iommu_device_number(const struct device_domain *domain);
uint16_t iommu_device_number_of(uint16_t device);

/* Boot, or a test's next machine: no domain, no device in one. */
void iommu_device_reset(void);

#endif
