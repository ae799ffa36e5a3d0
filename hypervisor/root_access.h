/*
 * Registers in a page that is withheld from the root, whose accesses the hypervisor carries out:
 * moves of a register or a number, as a kernel reaches a device with.
 */
#ifndef HYPERVISOR_ROOT_ACCESS_H
#define HYPERVISOR_ROOT_ACCESS_H

#include <stdint.h>

struct vcpu;

/* Sizes are 1, 2, 4 and 8, and nothing reaches beyond the page. */
struct root_registers {
	uint64_t (*read)(uint64_t gpa, unsigned int size);
	void (*write)(uint64_t gpa, unsigned int size, uint64_t value);
};

/* The instruction at RIP, which reaches this address, has been done when it returns, or has a
 * fault. */
void root_access(struct vcpu *vcpu, uint64_t gpa, const struct root_registers *registers);

#endif
