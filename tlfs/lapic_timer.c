/*
 * The local APIC's timer in its three modes (SDM, "APIC Timer"). Nothing ticks: the initial count
 * and the TSC at which it began tell the current count, and timer_deadline_tsc when the next expiry
 * is due. The counter runs at HV_APIC_BUS_HZ divided by the divide configuration, whatever clocks
 * the machine has.
 */
#include "tlfs/clock.h"
#include "tlfs/lapic.h"

/* A periodic timer never keeps an LP busy: expiries closer than this to the last are skipped. */
#define SHORTEST_PERIOD_100NS 100ull

static enum lapic_timer_mode lapic_timer_mode(const struct lapic *apic)
{
	return (enum lapic_timer_mode)((apic->lvt_timer >> 17) & 3);
}

/* Divide configuration bits 3, 1:0 → the exponent: 0 means by 2, 6 by 128, 7 by 1. */
static unsigned int divide_shift(const struct lapic *apic)
{
	unsigned int code = (apic->timer_divide & 3) | (apic->timer_divide & 8) >> 1;

	return (code + 1) & 7;
}

static uint64_t count_to_tsc(const struct lapic *apic, uint64_t count)
{
	return clock_muldiv_up(count << divide_shift(apic), plat_info.tsc_hz, HV_APIC_BUS_HZ);
}

static uint64_t tsc_to_count(const struct lapic *apic, uint64_t tsc)
{
	return clock_muldiv(tsc, HV_APIC_BUS_HZ, plat_info.tsc_hz) >> divide_shift(apic);
}

uint32_t lapic_timer_current(const struct vp *vp)
{
	const struct lapic *apic = &vp->lapic;
	uint64_t passed;

	if (apic->timer_deadline_tsc == HV_NEVER || lapic_timer_mode(apic) > LAPIC_TIMER_PERIODIC) {
		return 0;
	}
	passed = tsc_to_count(apic, plat_tsc() - apic->timer_start_tsc);
	if (lapic_timer_mode(apic) == LAPIC_TIMER_PERIODIC) {
		passed %= apic->timer_initial;
	}
	return passed >= apic->timer_initial ? 0 : apic->timer_initial - (uint32_t)passed;
}

/* Counts from `count` of timer_initial at this moment. */
static void start(struct vp *vp, uint32_t count)
{
	struct lapic *apic = &vp->lapic;
	uint64_t now = plat_tsc();

	apic->timer_start_tsc = now;
	if (count != apic->timer_initial) {
		apic->timer_start_tsc -= count_to_tsc(apic, apic->timer_initial - count);
	}
	apic->timer_deadline_tsc = count ? clock_add(now, count_to_tsc(apic, count)) : HV_NEVER;
	vp_rearm_timer(vp);
}

void lapic_timer_set_initial(struct vp *vp, uint32_t count)
{
	if (lapic_timer_mode(&vp->lapic) >
	    LAPIC_TIMER_PERIODIC) { /* SDM: ignored in TSC-deadline mode */
		return;
	}
	vp->lapic.timer_initial = count;
	start(vp, count);
}

/*
 * One-shot or periodic, at `current` of `initial`; a count above the initial one is taken as just
 * begun.
 */
void lapic_timer_restore(struct vp *vp, uint32_t initial, uint32_t current)
{
	if (lapic_timer_mode(&vp->lapic) > LAPIC_TIMER_PERIODIC) {
		return;
	}
	vp->lapic.timer_initial = initial;
	start(vp, current < initial ? current : initial);
}

/* The SDM leaves a change on the run open; the count goes on from where it is, at the new rate. */
void lapic_timer_set_divide(struct vp *vp, uint32_t divide)
{
	uint32_t current = lapic_timer_current(vp);

	vp->lapic.timer_divide = divide;
	if (current) {
		start(vp, current);
	}
}

/*
 * Into or out of TSC-deadline mode the timer is disarmed; between one-shot and periodic it goes on.
 */
void lapic_timer_set_lvt(struct vp *vp, uint32_t lvt)
{
	struct lapic *apic = &vp->lapic;
	enum lapic_timer_mode before = lapic_timer_mode(apic), after;

	apic->lvt_timer = lvt;
	after = lapic_timer_mode(apic);
	if (before == after || (before <= LAPIC_TIMER_PERIODIC && after <= LAPIC_TIMER_PERIODIC)) {
		return;
	}
	apic->timer_initial = 0;
	apic->timer_deadline_tsc = HV_NEVER;
	vp->tsc_deadline_msr = 0;
	vp_rearm_timer(vp);
}

/* A deadline in the past fires at once; 0 disarms; in another mode the write has no effect. */
void lapic_timer_set_tsc_deadline(struct vp *vp, uint64_t deadline)
{
	struct lapic *apic = &vp->lapic;

	if (lapic_timer_mode(apic) != LAPIC_TIMER_TSC_DEADLINE) {
		return;
	}
	vp->tsc_deadline_msr = deadline;
	lapic_tsc_changed(vp);
}

void lapic_tsc_changed(struct vp *vp)
{
	struct lapic *apic = &vp->lapic;
	uint64_t now = plat_tsc(), guest_now = now + vp->tsc_offset,
		 deadline = vp->tsc_deadline_msr;

	if (lapic_timer_mode(apic) != LAPIC_TIMER_TSC_DEADLINE) {
		return;
	}
	if (!deadline) {
		apic->timer_deadline_tsc = HV_NEVER;
	} else {
		apic->timer_deadline_tsc =
			deadline <= guest_now ? now : clock_add(now, deadline - guest_now);
	}
	vp_rearm_timer(vp);
}

/* The next expiry after now, in step with the first; whole periods that were missed are skipped. */
static void next_period(struct lapic *apic, uint64_t now_tsc)
{
	uint64_t period = count_to_tsc(apic, apic->timer_initial);
	uint64_t least = clock_add(
		now_tsc, clock_muldiv(SHORTEST_PERIOD_100NS, plat_info.tsc_hz, HV_REF_HZ));

	apic->timer_start_tsc = apic->timer_deadline_tsc;
	if (least > apic->timer_start_tsc + period) {
		apic->timer_start_tsc += (least - apic->timer_start_tsc) / period * period;
	}
	apic->timer_deadline_tsc = clock_add(apic->timer_start_tsc, period);
}

void lapic_timer_expired(struct vp *vp, uint64_t now_tsc)
{
	struct lapic *apic = &vp->lapic;

	if (now_tsc < apic->timer_deadline_tsc) {
		return;
	}
	if (lapic_timer_mode(apic) == LAPIC_TIMER_PERIODIC) {
		next_period(apic, now_tsc);
	} else {
		apic->timer_deadline_tsc = HV_NEVER;
		vp->tsc_deadline_msr = 0;
	}
	if (!(apic->lvt_timer & LAPIC_LVT_MASKED)) {
		lapic_raise(vp, (uint8_t)apic->lvt_timer, false);
	}
}
