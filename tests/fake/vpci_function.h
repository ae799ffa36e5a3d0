/*
 * A function of hardware that there is not (vsp/pci/function.h): it knows what it was told, and
 * fails where that cannot be. BAR 0 is of 64 bits and 16 KiB, with the MSI-X table in its third
 * page and what is pending in the fourth; BAR 2 is of 256 bytes; BAR 3 has ports.
 */
#ifndef FAKE_VPCI_FUNCTION_H
#define FAKE_VPCI_FUNCTION_H

#include "vsp/pci/function.h"

#define FUNCTION_MSI     0x50u
#define FUNCTION_MSIX    0x70u
#define FUNCTION_ENTRIES 40u /* of MSI-X */
#define FUNCTION_MSIS    4u
#define FUNCTION_TABLE   0x2000u
#define FUNCTION_PENDING 0x3000u
#define FUNCTION_PLACE   0xf8000000u
#define FUNCTION_END     0xfec00000u

struct vpci_function {
	uint8_t config[VPCI_CONFIG_BYTES];
	uint8_t bars[6][0x4000];
	unsigned int writes; /* to configuration space */
	uint64_t mapped;     /* where the first two pages of BAR 0 are; 0: nowhere */
	enum vpci_interrupts kind;
	unsigned int count;
	struct {
		bool routed, pending;
		struct vpci_target target;
	} interrupts[FUNCTION_ENTRIES];
	unsigned int resets, ejected, released;
	int result; /* of interrupts that are wanted */
};

extern struct vpci_function function;

void function_create(void);
/* As hardware raises one; false: it is kept. */
bool function_raise(unsigned int number, struct vpci_target *target);

#endif
