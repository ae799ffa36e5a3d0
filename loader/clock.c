/*
 * How fast the clocks run. See clock.h.
 *
 * The reference is the ACPI PM timer where there is one: it counts on for seconds, so that a vCPU
 * that its host leaves waiting does no harm, which a PIT that wraps in 55 ms cannot say. Three
 * windows are measured and the one is kept whose two moments were the quickest to take: on an
 * emulator under load, a moment that was interrupted by the host shows as a wide one. A window ends
 * after WINDOW_MS or LOOKS_MAX looks at the reference, whichever is first: a look costs a
 * microsecond on hardware, but a few nanoseconds where time is a count of instructions, and there a
 * shorter window is as exact.
 */
#include "loader/clock.h"

#include "loader/apic.h"
#include "loader/console.h"
#include "loader/io.h"

#define PM_TIMER_HZ    3579545u
#define PIT_HZ         1193182u
#define PIT_CHANNEL_0  0x40
#define PIT_COMMAND    0x43
#define PIT_0_ONE_SHOT 0x30 /* both bytes, mode 0 */
#define PIT_0_LATCH    0x00
#define PIT_0_STATUS   0xe2 /* read back the status of channel 0 alone */
#define PIT_STATUS_OUT 0x80
#define WINDOWS        3
#define WINDOW_TRIES   20
#define WINDOW_MS      30u
#define LOOKS_MAX      400000u
#define MOMENT_TRIES   8
#define EDGE_LOOKS     1000

/* The reference clock. */
static uint16_t pm_port;
static uint32_t mask;
static uint32_t hz;

static void reference_choose(uint16_t pm_timer_port, bool is_32_bit)
{
	pm_port = pm_timer_port;
	hz = pm_port ? PM_TIMER_HZ : PIT_HZ;
	mask = !pm_port ? 0xffff : is_32_bit ? UINT32_MAX : 0xffffff;
}

/* The PIT counts down from its greatest count. Channel 0 needs no gate opened, and its interrupt is
 * masked. */
static void reference_start(void)
{
	if (pm_port) {
		return;
	}
	outb(PIT_COMMAND, PIT_0_ONE_SHOT);
	outb(PIT_CHANNEL_0, 0xff);
	outb(PIT_CHANNEL_0, 0xff);
}

static uint32_t reference_read(void)
{
	uint32_t count;

	if (pm_port) {
		return inl(pm_port) & mask;
	}
	outb(PIT_COMMAND, PIT_0_LATCH);
	count = inb(PIT_CHANNEL_0);
	count |= (uint32_t)inb(PIT_CHANNEL_0) << 8;
	return mask - count;
}

/* Only the PIT wraps so soon that it may have happened; its output then has gone high. */
static bool reference_wrapped(void)
{
	if (pm_port) {
		return false;
	}
	outb(PIT_COMMAND, PIT_0_STATUS);
	return inb(PIT_CHANNEL_0) & PIT_STATUS_OUT;
}

/* The moment at which the reference turns to a new count, as narrowly as several tries show it. */
static struct clock_moment take_moment(void)
{
	struct clock_moment best = {.width = UINT64_MAX};

	for (int i = 0; i < MOMENT_TRIES; i++) {
		struct clock_moment now;
		uint32_t before = reference_read();
		uint64_t start;

		for (int looks = 0; looks < EDGE_LOOKS; looks++) {
			start = rdtsc();
			now.reference = reference_read();
			if (now.reference != before) {
				break;
			}
		}
		now.apic = apic_timer_count();
		now.tsc = rdtsc();
		now.width = now.tsc - start;
		if (now.width < best.width) {
			best = now;
		}
	}
	return best;
}

static void wait_window(uint32_t from)
{
	uint32_t ticks = hz / 1000 * WINDOW_MS;

	for (uint32_t looks = 0; looks < LOOKS_MAX && ((reference_read() - from) & mask) < ticks;) {
		looks++;
	}
}

bool clock_rates_between(const struct clock_moment *from, const struct clock_moment *to,
			 uint32_t reference_hz, uint32_t reference_mask, struct clock_rates *rates)
{
	uint32_t ticks = (to->reference - from->reference) & reference_mask;

	if (ticks == 0) {
		return false;
	}
	rates->tsc_hz = (to->tsc - from->tsc) * reference_hz / ticks;
	rates->apic_timer_hz = (uint64_t)(from->apic - to->apic) * reference_hz / ticks;
	return true;
}

uint64_t clock_choose_tsc(uint64_t measured_hz, uint64_t cpuid_hz)
{
	uint64_t apart = cpuid_hz > measured_hz ? cpuid_hz - measured_hz : measured_hz - cpuid_hz;

	return apart < measured_hz / 500 ? cpuid_hz : measured_hz;
}

/* One window; false: it says nothing. */
static bool measure_window(struct clock_rates *rates, uint64_t *width)
{
	struct clock_moment from, to;

	reference_start();
	from = take_moment();
	wait_window(from.reference);
	to = take_moment();
	*width = from.width + to.width;
	return !reference_wrapped() && clock_rates_between(&from, &to, hz, mask, rates);
}

void clock_measure(uint16_t pm_timer_port, bool pm_timer_is_32_bit, struct clock_rates *rates)
{
	uint64_t width, best_width = UINT64_MAX;
	struct clock_rates found;
	int good = 0;

	reference_choose(pm_timer_port, pm_timer_is_32_bit);
	apic_timer_start();
	for (int tries = 0; tries < WINDOW_TRIES && good < WINDOWS; tries++) {
		if (!measure_window(&found, &width)) {
			continue;
		}
		good++;
		if (width < best_width) {
			best_width = width;
			*rates = found;
		}
	}
	apic_timer_stop();
	if (!good) {
		stop("neither the ACPI PM timer nor the PIT runs; the machine's clocks cannot be "
		     "measured");
	}
}
