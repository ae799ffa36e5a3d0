/* Of the root's SynIC, what synic.c and synic_take.c share. */
#ifndef ROOT_SYNIC_H
#define ROOT_SYNIC_H

#include "root.h"

#define TAIL_UNKNOWN U32_MAX

struct synic_page {
	uint32_t msr;
	void *own;         /* our memory */
	void *used;        /* ours, or what was enabled before */
	uint64_t previous; /* the MSR's value before us */
};

enum { PAGE_MESSAGES, PAGE_FLAGS, PAGE_RINGS, PAGE_COUNT };

struct synic_cpu {
	struct synic_page pages[PAGE_COUNT];
	void *hvcall_page;
	uint64_t previous_control;
	uint32_t ring_tail;
};

/* All that has arrived at this CPU. With interrupts off. */
void synic_take(struct synic_cpu *cpu);

#endif
