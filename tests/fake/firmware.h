/*
 * What hypervisor/iommu.c has besides its units and the memory (ram.h): a table of the firmware's,
 * LPs, a console, a clock, an end.
 */
#ifndef FAKE_FIRMWARE_H
#define FAKE_FIRMWARE_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

extern uint8_t table[4096];
extern char said[8192]; /* what was written to the console */
extern uint64_t tsc;    /* goes on by 1,000 when it is read, of 1,000,000 a second */
extern jmp_buf stopped; /* where machine_stop() goes */

/* LPs, with APIC IDs 5, 9 and 300; to a logical destination each has the bit of its number. */
#define FIRMWARE_LPS 3
extern bool apic_wide; /* they are in x2APIC mode */

/* An empty table; nothing was said. */
void table_begin(const char *signature);
void table_put(uint32_t at, uint64_t value, unsigned int size);
/* With its length and its sum. */
void table_seal(uint32_t length);
/* How many lines of refused devices were said. */
unsigned int refusals(void);

#endif
