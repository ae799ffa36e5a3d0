/* Domains of devices in the hypervisor, by number: what iommu.c makes of Linux's domains. */
#ifndef ROOT_DEVICE_DOMAIN_H
#define ROOT_DEVICE_DOMAIN_H

#include "root.h"

/* Bits of a device's address and sizes of pages; -ENODEV: the machine has no IOMMU that the
 * hypervisor uses. */
int device_domain_probe(uint8_t *width, uint64_t *page_sizes);

int device_domain_create(uint32_t *id);
/* No device is in it any more. What is mapped goes with it. */
void device_domain_delete(uint32_t id);
/* Domains of a kernel that was there before this one, and did not delete them. */
void device_domains_sweep(void);

/* A device, by its requester id in segment 0; back among the root's other devices. */
int device_domain_attach(uint16_t device, uint32_t id);
void device_domain_detach(uint16_t device);

/* `count` pages of 4 KiB or 2 MiB, next to each other. *mapped: bytes, also on failure. May sleep
 * where `gfp` does. */
int device_domain_map(uint32_t id, uint64_t address, uint64_t physical, bool large, uint32_t count,
		      bool writable, gfp_t gfp, size_t *mapped);
/* `count` pages of 4 KiB; the bytes that no device reaches any more. Any context. */
size_t device_domain_unmap(uint32_t id, uint64_t address, uint32_t count);

/*
 * Interrupts of a device that is in a domain other than the default one: an edge of this vector at
 * this VP, with a number by which the device raises it. Any context.
 */
bool device_interrupts_probe(void);
int device_interrupt_map(uint16_t device, uint32_t vp_index, uint32_t vector, uint32_t *number);
int device_interrupt_retarget(uint16_t device, uint32_t number, uint32_t vp_index, uint32_t vector);
void device_interrupt_unmap(uint16_t device, uint32_t number);

#endif
