/*
 * How fast the TSC and the local APIC's timer run, measured against a clock of known frequency.
 */
#ifndef LOADER_CLOCK_H
#define LOADER_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

struct clock_rates {
	uint64_t tsc_hz;
	uint64_t apic_timer_hz;
};

/* One moment, seen on all clocks. `width` is how many TSC ticks it took to look: how unsure the
 * moment is. */
struct clock_moment {
	uint64_t tsc;
	uint64_t width;
	uint32_t reference; /* ticks of the reference, counting up */
	uint32_t apic;      /* counting down */
};

/* The two rates between two moments; `mask` is the reference's width. False: the reference did not
 * move. */
bool clock_rates_between(const struct clock_moment *from, const struct clock_moment *to,
			 uint32_t reference_hz, uint32_t mask, struct clock_rates *rates);

/* CPUID's figure is exact where it is true: it is taken when the measurement is within one part in
 * 500 of it. */
uint64_t clock_choose_tsc(uint64_t measured_hz, uint64_t cpuid_hz);

/* Measures with the ACPI PM timer, or the PIT where there is none (port 0). The local APIC is
 * prepared. */
void clock_measure(uint16_t pm_timer_port, bool pm_timer_is_32_bit, struct clock_rates *rates);

#endif
