/*
 * The machine's local APIC, which is the hypervisor's alone: IPIs between LPs, one one-shot timer,
 * and the end of the interrupts that are passed to the root. All functions are for this LP.
 */
#ifndef ARCH_APIC_H
#define ARCH_APIC_H

#include <stdbool.h>
#include <stdint.h>

#include "include/boot/handoff.h"
#include "tlfs/hv.h"

/* The hypervisor's own vectors: of the highest class, so that a level-triggered interrupt of the
 * root in service never holds them. */
#define VECTOR_KICK     0xf8
#define VECTOR_TIMER    0xf9
#define VECTOR_SPURIOUS 0xff

struct lp;

/* Boot LP, before the others. Takes x2APIC mode where the ids of the LPs need it. */
void apic_init(const struct handoff *handoff);
void apic_lp_init(void);
bool apic_is_wide(void); /* in x2APIC mode, where ids have 32 bits */
void apic_eoi(void);
bool apic_in_service(uint8_t vector);
bool apic_is_level(uint8_t vector);
int apic_top_in_service(void);                      /* or -1 */
void apic_send(uint32_t apic_id, uint32_t icr_low); /* waits until it is sent */
void apic_kick(uint32_t apic_id);
void apic_kick_self(void); /* also amid apic_send(), from where it was interrupted */
/* One-shot: raises VECTOR_TIMER after that many TSC cycles, or earlier when they are more than the
 * counter holds. */
void apic_timer_start(uint64_t tsc_cycles);
void apic_timer_stop(void);
void apic_set_lint(unsigned int pin, uint32_t lvt);

#endif
