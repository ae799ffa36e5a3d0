/*
 * The boot LP's local APIC, in the mode (xAPIC or x2APIC) that the firmware chose.
 */
#ifndef LOADER_APIC_H
#define LOADER_APIC_H

#include <stdint.h>

/* Masks the 8259s, enables the APIC, masks every LVT entry and stops the timer. */
void apic_prepare(void);

uint32_t apic_id(void);

/* Lets the masked timer run down from its greatest count, at divisor 1; apic_timer_stop ends it. */
void apic_timer_start(void);
uint32_t apic_timer_count(void);
void apic_timer_stop(void);

#endif
