/*
 * The machine's sleep states. In S1 to S3 the hypervisor would be lost: its processors would begin again in the root's code.
 */
#ifndef HYPERVISOR_SLEEP_H
#define HYPERVISOR_SLEEP_H

#include <stdbool.h>
#include <stdint.h>

struct handoff;

void sleep_init(const struct handoff *handoff);
/* Sets the bits of the ports by which a sleep state is entered, in a map with a bit a port. */
void sleep_watch(uint8_t *ports);
/* May this be written to a port? No: it would enter a state other than S4 and S5. */
bool sleep_permits(uint16_t port, unsigned int size, uint32_t value);

#endif
