/*
 * The APIC as the parent saves and restores it (HvCallGetVpState, HvCallSetVpState:
 * HV_X64_LOCAL_INTERRUPT_CONTROLLER_STATE, 176 bytes). APIC_BASE, TPR and the TSC deadline are
 * registers of their own. By the VP's owner.
 */
#include "tlfs/lapic.h"

void lapic_get_state(struct vp *vp, struct hv_local_interrupt_controller_state *state)
{
	const struct lapic *apic = &vp->lapic;

	lapic_fold(vp);
	lapic_settle(vp);
	*state = (struct hv_local_interrupt_controller_state){
		.apic_id = lapic_read(vp, LAPIC_ID),
		.apic_version = LAPIC_VERSION_VALUE,
		.apic_ldr = apic->ldr,
		.apic_dfr = apic->dfr,
		.apic_spurious = apic->svr,
		.apic_esr = apic->esr,
		.apic_icr_high = (uint32_t)(apic->icr >> 32),
		.apic_icr_low = (uint32_t)apic->icr,
		.apic_lvt_timer = apic->lvt_timer,
		.apic_lvt_thermal = apic->lvt_thermal,
		.apic_lvt_perfmon = apic->lvt_pmc,
		.apic_lvt_lint0 = apic->lvt_lint[0],
		.apic_lvt_lint1 = apic->lvt_lint[1],
		.apic_lvt_error = apic->lvt_error,
		.apic_lvt_cmci = apic->lvt_cmci,
		.apic_error_status = apic->esr_pending,
		.apic_initial_count = apic->timer_initial,
		.apic_counter_value = lapic_timer_current(vp),
		.apic_divide_configuration = apic->timer_divide,
	};
	memcpy(state->apic_isr, apic->isr, sizeof(apic->isr));
	memcpy(state->apic_tmr, apic->tmr, sizeof(apic->tmr));
	memcpy(state->apic_irr, apic->irr, sizeof(apic->irr));
}

static uint32_t words_of(const uint32_t vectors[8])
{
	uint32_t words = 0;

	for (unsigned int i = 0; i < 8; i++) {
		words |= (uint32_t)(vectors[i] != 0) << i;
	}
	return words;
}

/*
 * Vectors below 16 cannot be requested or in service; all else is cut to what a register can hold.
 */
hv_status_t lapic_set_state(struct vp *vp, const struct hv_local_interrupt_controller_state *state)
{
	struct lapic *apic = &vp->lapic;

	if ((state->apic_isr[0] | state->apic_irr[0]) & 0xFFFF) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	lapic_fold(vp);
	lapic_settle(vp);
	memcpy(apic->isr, state->apic_isr, sizeof(apic->isr));
	memcpy(apic->tmr, state->apic_tmr, sizeof(apic->tmr));
	memcpy(apic->irr, state->apic_irr, sizeof(apic->irr));
	memset(apic->lost, 0, sizeof(apic->lost));
	apic->isr_words = words_of(apic->isr);
	apic->irr_words = words_of(apic->irr);
	if (!lapic_x2apic(apic)) {
		lapic_write(vp, LAPIC_LDR, state->apic_ldr);
		lapic_write(vp, LAPIC_DFR, state->apic_dfr);
	}
	apic->esr = state->apic_esr & LAPIC_ESR_BITS;
	apic->esr_pending = state->apic_error_status & LAPIC_ESR_BITS;
	apic->icr =
		(uint64_t)state->apic_icr_high << 32 | (state->apic_icr_low & ~LAPIC_LVT_STATUS);
	lapic_write(vp, LAPIC_SVR, state->apic_spurious);
	lapic_write(vp, LAPIC_LVT_TIMER, state->apic_lvt_timer);
	lapic_write(vp, LAPIC_LVT_THERMAL, state->apic_lvt_thermal);
	lapic_write(vp, LAPIC_LVT_PMC, state->apic_lvt_perfmon);
	lapic_write(vp, LAPIC_LVT_LINT0, state->apic_lvt_lint0);
	lapic_write(vp, LAPIC_LVT_LINT1, state->apic_lvt_lint1);
	lapic_write(vp, LAPIC_LVT_ERROR, state->apic_lvt_error);
	apic->timer_divide = state->apic_divide_configuration & 0xB;
	lapic_timer_restore(vp, state->apic_initial_count, state->apic_counter_value);
	return HV_STATUS_SUCCESS;
}
