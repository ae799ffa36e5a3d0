/*
 * Deadlines, the earliest on top: a leftist heap of nodes that are part of what waits. To insert or
 * remove one of n takes O(log n) steps, each time, and no memory. The caller has the lock.
 */
#ifndef HYPERVISOR_TIMER_QUEUE_H
#define HYPERVISOR_TIMER_QUEUE_H

#include <stdint.h>

struct timer_node {
	struct timer_node *left, *right, *up;
	uint32_t rank; /* nodes on the way down by `right` */
	uint64_t deadline;
};

/* The node is in no queue. */
void timer_queue_insert(struct timer_node **top, struct timer_node *node, uint64_t deadline);
/* The node is in this queue. */
void timer_queue_remove(struct timer_node **top, struct timer_node *node);

#endif
