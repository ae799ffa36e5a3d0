/*
 * The machine's sleep states. In S1 to S3 the hypervisor would be lost: its processors would begin
 * again in the root's code.
 */
#ifndef HYPERVISOR_SLEEP_H
#define HYPERVISOR_SLEEP_H

#include <stdbool.h>
#include <stdint.h>

struct handoff;
struct vcpu;

void sleep_init(const struct handoff *handoff);
/* Boot, behind paging_init() and before memory_init(): pages of registers in memory are withheld
 * from the root. */
void sleep_withhold(void);
/* Sets the bits of the ports by which a sleep state is entered, in a map with a bit a port. */
void sleep_watch(uint8_t *ports);
/* May this be written to a port? No: it would enter a state other than S4 and S5. */
bool sleep_permits(uint16_t port, unsigned int size, uint32_t value);
/*
 * The root's access at this address: false where it is not in such a page. Else the instruction has
 * been done in its place, but for a write that would enter a state other than S4 and S5, or has a
 * fault.
 */
bool sleep_access(struct vcpu *vcpu, uint64_t gpa);

#endif
