/* The MSI routing table of a partition: what a GSI asserts. */
#ifndef ROOT_ROUTING_H
#define ROOT_ROUTING_H

#include "root.h"

struct irq_route {
	bool valid;
	uint32_t vector;
	uint32_t destination; /* APIC ID or logical destination */
	union hv_interrupt_control control;
};

/* Under RCU. A copy: an invalid one when the GSI has no route. */
struct irq_route routing_find(struct partition *partition, uint32_t gsi);

#endif
