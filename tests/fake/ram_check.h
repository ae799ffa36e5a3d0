/*
 * What ram.c shares with ram_check.c.
 */
#ifndef FAKE_RAM_CHECK_H
#define FAKE_RAM_CHECK_H

#include <stdint.h>

#define RAM_TLB_SIZE 64

struct partition;

/* A translation that some LP may still use. */
struct translation {
	struct partition *p;
	uint64_t gpn, spn;
};
extern struct translation ram_tlb[RAM_TLB_SIZE];
extern uint32_t ram_tlb_count;

#endif
