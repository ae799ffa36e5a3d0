/* The MSI routing table of a partition: what a GSI asserts. */
#ifndef ROOT_ROUTING_H
#define ROOT_ROUTING_H

#include "root.h"

struct irq_route {
	bool valid;
	u32 vector;
	u32 destination; /* APIC ID or logical destination */
	union hv_interrupt_control control;
};

/* Under RCU. A copy: an invalid one when the GSI has no route. */
struct irq_route routing_find(struct partition *partition, u32 gsi);

#endif
