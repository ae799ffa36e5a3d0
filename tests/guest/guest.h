/*
 * What the tiny guests share: port and MSR access, print on COM1, exceptions as values, interrupts,
 * further VPs. Everything is identity-mapped; interrupts are off until a guest turns them on.
 */
#ifndef GUEST_H
#define GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* From start.S: the vector of the exception that ended step, or -1. Steps do not nest. */
long guest_try(void (*step)(void *), void *argument);
void guest_unwind(uint32_t vector) __attribute__((noreturn));
void guest_fault(uint32_t vector) __attribute__((noreturn));
extern uint64_t tried;
extern uint8_t no_idt[];

/* Each guest's own. info is multiboot's information block. */
void guest_main(uint32_t magic, const uint32_t *info);

/* What vectors of 32 and above call, with interrupts off; the handler ends the interrupt (EOI).
 * NULL: it is a fault. */
extern void (*guest_on_interrupt)(uint32_t vector);
void guest_interrupt(uint32_t vector);

/* Turn on the local APIC, in x2APIC mode, with spurious vector 0xff; each VP for itself. */
void guest_apic(void);
#define APIC_EOI 0x80b
#define APIC_ICR 0x830

/*
 * Start the VP of that APIC id at entry, on a stack that ends at stack; returns when it runs. By
 * INIT and SIPI, so the caller has its APIC on. Returning from entry halts it. Page 8 is written.
 */
void guest_start_vp(uint32_t apic_id, void (*entry)(void), void *stack);
extern uint64_t started_stack, started_entry;
extern volatile uint8_t started;
extern const uint8_t trampoline[], trampoline_end[];

void print(const char *text);
void print_number(uint64_t value);
void print_hex(uint64_t value);

/* The command line without the file's name, "" if there is none. */
const char *guest_words(const uint32_t *info);
bool guest_has_word(const uint32_t *info, const char *word);

/* Turn on the hypercall page if this is a Hyper-V interface; the page, or NULL. */
void *guest_hypercall_page(void);
/* A hypercall with everything in registers: by the page, or by a bare VMMCALL where page is
 * NULL. */
uint64_t guest_hypercall(const void *page, uint64_t control, uint64_t input, uint64_t output);

/* The end: a triple fault, which every machine monitor tells apart. */
void guest_end(void) __attribute__((noreturn));

static inline void out8(uint16_t port, uint8_t value)
{
	asm volatile("outb %0, %1" ::"a"(value), "d"(port));
}

static inline uint8_t in8(uint16_t port)
{
	uint8_t value;

	asm volatile("inb %1, %0" : "=a"(value) : "d"(port));
	return value;
}

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t low, high;

	asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (uint64_t)high << 32 | low;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
	asm volatile("wrmsr" ::"c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
		     : "memory");
}

static inline uint64_t rdtsc(void)
{
	uint32_t low, high;

	asm volatile("rdtsc" : "=a"(low), "=d"(high)::"memory");
	return (uint64_t)high << 32 | low;
}

static inline void cpuid(uint32_t leaf, uint32_t out[4])
{
	asm volatile("cpuid"
		     : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
		     : "a"(leaf), "c"(0)
		     : "memory");
}

#endif
