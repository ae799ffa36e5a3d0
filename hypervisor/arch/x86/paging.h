/*
 * The hypervisor's own address space. All LPs share it; it never changes after boot except by the
 * functions below.
 *
 *   HV_DIRECT_MAP + spa	all RAM (type 1 of the machine's map): writable, not executable; the
 *				image's text and constants are read-only there as well
 *   HV_STACK_MAP		blocks of pages with a hole before each
 *   HV_DEVICE_MAP		device pages, uncached, in the order of the calls
 *   HV_IMAGE_VA		the image: text RX, constants R, data RW
 *   0				boot only: the identity map of one page, for starting the others
 *
 * No page is writable and executable, under one address or two, but for that last one. Nothing of
 * the root's or a child's is executable.
 */
#ifndef ARCH_PAGING_H
#define ARCH_PAGING_H

#include <stdbool.h>
#include <stdint.h>

#include "include/boot/handoff.h"
#include "lib/addr.h"

#define HV_DIRECT_MAP 0xffff800000000000ull
#define HV_DEVICE_MAP 0xffffc00000000000ull
#define HV_STACK_MAP  0xffffd00000000000ull

/*
 * Builds the tables with pages of memory_boot_alloc(), on the loader's identity map, and loads CR3.
 * Boot LP. From here on plat_spa_ptr() is valid, the loader's identity map is gone, and `handoff`
 * must be reached by plat_spa_ptr().
 */
void paging_init(const struct handoff *handoff);
/*
 * paging_load.c, or a test: makes these tables the ones in use; the address at which physical
 * memory is seen from then on.
 */
uint64_t paging_load(uint64_t cr3);
/* The same place: around a change of memory types. Returns CR0 as it was, which the second
 * restores. */
uint64_t paging_caches_off(void);
void paging_caches_on(uint64_t cr0);
/* CR3 of this address space, for the other LPs. */
uint64_t paging_cr3(void);
/* Level of the largest leaf that the processor has: 1 for 2 MiB, 2 for 1 GiB. */
unsigned int paging_max_level(void);

/*
 * The functions below are the boot LP's, before memory_init(), except the last.
 *
 * An uncached view of a device's page (local APIC, IOMMU); at most 512.
 */
volatile void *paging_map_device(spa_t spa);
/*
 * A block of that many pages, a power of two, aligned to its size: the first is a hole, the others
 * are zero. Its pages are seen in the direct map as well.
 */
void *paging_map_stack(unsigned int pages);
/* A page of the image's data becomes a hole, so that a stack that grows into it faults. */
void paging_make_guard(const void *page);

/*
 * The page at `spa` is visible at that very address, executable and read-only; and gone again, for
 * an LP when it loads CR3 the next time.
 */
void paging_identity_map(spa_t spa);
void paging_identity_unmap(void);

#endif
