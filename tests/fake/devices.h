/*
 * plat_device_*() of tests/fake/plat.c's machine: domains that remember what was mapped, and which
 * devices are in them.
 */
#ifndef FAKE_DEVICES_H
#define FAKE_DEVICES_H

#include "tlfs/plat.h"

#define FAKE_DOMAINS    4
#define FAKE_INTERRUPTS 2 /* of all devices */
#define FAKE_DEVICE_PAGES                                                                          \
	2048u /* of a domain, from its address 0 on; behind it nothing can be mapped */

/* Width: 0, and the machine has no IOMMU; it has one of 48 bits after each call. */
void fake_devices_reset(void);
extern uint8_t fake_device_width;
/* What is mapped at a page of a domain, and how: HV_MAP_GPA_*; 0: nothing. */
uint32_t fake_device_page(uint32_t id, uint64_t page, uint64_t *gpn);
/* 0: the root's. */
uint32_t fake_domain_of(uint16_t device);
/* Interrupts: false, and devices cannot be held to theirs; true after each reset. The vector of a
 * number of this device, 0: none. */
extern bool fake_device_interrupts;
uint32_t fake_device_interrupt(uint16_t device, uint32_t number, uint32_t *vp_index);

#endif
