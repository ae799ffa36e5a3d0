/*
 * What virtual PCI needs of its home, the worker or a test: a function of the machine's hardware.
 * All are called under the lock of the device's (pci.h), on any thread, and may take as long as the
 * hardware does.
 */
#ifndef VSP_PCI_FUNCTION_H
#define VSP_PCI_FUNCTION_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/check.h"

struct vpci_function;

/* Configuration space: 1, 2 or 4 bytes, aligned, below VPCI_CONFIG_BYTES. */
#define VPCI_CONFIG_BYTES 4096u
uint32_t vpci_function_read(struct vpci_function *function, uint32_t offset, unsigned int size);
void vpci_function_write(struct vpci_function *function, uint32_t offset, unsigned int size,
			 uint32_t value);

/* Of a BAR with memory, a power of two; one of 64 bits is the first of its two. 0: none, or
 * ports. */
uint64_t vpci_function_bar_size(struct vpci_function *function, unsigned int bar);
/* 1 to 8 bytes, within the BAR. */
uint64_t vpci_function_bar_read(struct vpci_function *function, unsigned int bar, uint64_t offset,
				unsigned int size);
void vpci_function_bar_write(struct vpci_function *function, unsigned int bar, uint64_t offset,
			     unsigned int size, uint64_t value);

/* May a function's memory be at this place of the guest's? */
bool vpci_function_has_place(struct vpci_function *function, uint64_t gpa, uint64_t length);
/*
 * The guest reaches these pages of a BAR without leaving. A home that cannot do it leaves it:
 * accesses then go on coming to vpci_access(). And no longer, by the same numbers.
 */
void vpci_function_map(struct vpci_function *function, unsigned int bar, uint64_t offset,
		       uint64_t length, uint64_t gpa);
void vpci_function_unmap(struct vpci_function *function, unsigned int bar, uint64_t offset,
			 uint64_t length, uint64_t gpa);

enum vpci_interrupts { VPCI_NO_INTERRUPTS, VPCI_MSI, VPCI_MSIX };

/* Whom an interrupt goes to. */
struct vpci_target {
	uint32_t vp;
	uint8_t vector;
	uint8_t mode; /* as in an MSI: 0 fixed, 1 lowest priority */
};

/*
 * The hardware's interrupts, in place of those before: numbers 0 to count - 1, none of which goes
 * anywhere yet. -errno: there are none now. No number of before is routed.
 */
int vpci_function_set_interrupts(struct vpci_function *function, enum vpci_interrupts kind,
				 unsigned int count) MUST_CHECK;
/* Where one goes; NULL: nowhere, and then it is kept until it goes somewhere. */
void vpci_function_route(struct vpci_function *function, unsigned int number,
			 const struct vpci_target *target);
/* Is one kept? */
bool vpci_function_is_pending(struct vpci_function *function, unsigned int number);

/* As after power-on: no DMA, no interrupts. */
void vpci_function_reset(struct vpci_function *function);

/* vpci_eject() was called, and the guest has let go of it, or does not have it. */
void vpci_function_ejected(struct vpci_function *function);

/* vpci_destroy() has ended: the last call. On VMBus' control thread, without the lock. */
void vpci_function_released(struct vpci_function *function);

#endif
