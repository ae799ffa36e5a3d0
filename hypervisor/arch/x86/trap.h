/*
 * Faults of the hypervisor itself, the windows in which it takes interrupts, and the stop of the
 * machine.
 */
#ifndef ARCH_TRAP_H
#define ARCH_TRAP_H

#include <stdbool.h>
#include <stdint.h>

void trap_init(void); /* once, before the first LP loads the table */
void trap_lp_init(void);

/* For VMX, which demands a task register. */
void trap_lp_load_tss(void);
uint64_t trap_tss_base(void);
uint64_t trap_gdt_base(void);
/*
 * Of a vector that asks for no flag, in both tables: of NMIs the vendor sees to it that none is
 * slept over, or lost before an entry.
 */
void trap_set_gate(unsigned int vector, void (*gate)(void));

/* For LIDT: the table that is in force while the hypervisor works, and the one inside a window
 * (vendor_take_interrupts). */
struct table_register {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));
extern const struct table_register fault_table, interrupt_table;

/* Another LP stops the machine: does not return then. */
void trap_stop_if_told(void);

/* Called by the entries; supplied by interrupt.c. */
void interrupt_taken(uint32_t vector);

bool xsetbv_safe(uint32_t index, uint64_t value);

/* The machine starts anew, by the reset register of its firmware tables (port 0: none) or by the
 * old ways. */
void machine_set_reset(uint16_t port, uint8_t value);
_Noreturn void machine_reset(void);
/* Prints a reason and the stack, stops all LPs. */
_Noreturn void machine_stop(const char *reason);

#endif
