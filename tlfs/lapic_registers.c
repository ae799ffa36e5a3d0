/*
 * The registers of the local APIC, by number; the page in which the xAPIC mode shows them. The MSRs
 * of the x2APIC mode, which are stricter, are in lapic_msr.c.
 */
#include "tlfs/lapic.h"

/*
 * One bit per register number. The xAPIC page also has the ID, the DFR and the upper half of the
 * ICR as registers to write.
 */
#define BIT(reg)       (1ull << (reg))
#define SPAN(from, to) (BIT(to) | (BIT(to) - BIT(from)))

#define BOTH_READABLE                                                                              \
	(BIT(LAPIC_ID) | BIT(LAPIC_VERSION) | BIT(LAPIC_TPR) | BIT(LAPIC_PPR) | BIT(LAPIC_LDR) |   \
	 BIT(LAPIC_SVR) | SPAN(LAPIC_ISR, LAPIC_ESR) | BIT(LAPIC_ICR) |                            \
	 SPAN(LAPIC_LVT_TIMER, LAPIC_TIMER_CURRENT) | BIT(LAPIC_TIMER_DIVIDE))
#define BOTH_WRITABLE                                                                              \
	(BIT(LAPIC_TPR) | BIT(LAPIC_EOI) | BIT(LAPIC_SVR) | BIT(LAPIC_ESR) | BIT(LAPIC_ICR) |      \
	 SPAN(LAPIC_LVT_TIMER, LAPIC_TIMER_INITIAL) | BIT(LAPIC_TIMER_DIVIDE))
#define XAPIC_READABLE                                                                             \
	(BOTH_READABLE | BIT(LAPIC_APR) | BIT(LAPIC_RRD) | BIT(LAPIC_DFR) | BIT(LAPIC_ICR_HIGH))
#define XAPIC_WRITABLE                                                                             \
	(BOTH_WRITABLE | BIT(LAPIC_ID) | BIT(LAPIC_LDR) | BIT(LAPIC_DFR) | BIT(LAPIC_ICR_HIGH))
#define X2APIC_READABLE BOTH_READABLE
#define X2APIC_WRITABLE (BOTH_WRITABLE | BIT(LAPIC_SELF_IPI))

static uint32_t *lvt_register(struct lapic *apic, unsigned int reg)
{
	switch (reg) {
	case LAPIC_LVT_THERMAL:
		return &apic->lvt_thermal;
	case LAPIC_LVT_PMC:
		return &apic->lvt_pmc;
	case LAPIC_LVT_LINT0:
		return &apic->lvt_lint[0];
	case LAPIC_LVT_LINT1:
		return &apic->lvt_lint[1];
	case LAPIC_LVT_ERROR:
		return &apic->lvt_error;
	default:
		return &apic->lvt_timer;
	}
}

uint32_t lapic_lvt_bits(unsigned int reg)
{
	switch (reg) {
	case LAPIC_LVT_TIMER:
		return 0x700FF; /* vector, mask, mode 18:17 */
	case LAPIC_LVT_LINT0:
	case LAPIC_LVT_LINT1:
		return 0x1A7FF; /* vector, delivery mode, polarity, trigger mode, mask */
	case LAPIC_LVT_ERROR:
		return 0x100FF;
	default:
		return 0x107FF;
	}
}

bool lapic_readable(const struct lapic *apic, unsigned int reg)
{
	return reg < LAPIC_REGISTER_COUNT &&
	       ((lapic_x2apic(apic) ? X2APIC_READABLE : XAPIC_READABLE) >> reg) & 1;
}

bool lapic_writable(const struct lapic *apic, unsigned int reg)
{
	return reg < LAPIC_REGISTER_COUNT &&
	       ((lapic_x2apic(apic) ? X2APIC_WRITABLE : XAPIC_WRITABLE) >> reg) & 1;
}

uint32_t lapic_read(struct vp *vp, unsigned int reg)
{
	struct lapic *apic = &vp->lapic;

	switch (reg) {
	case LAPIC_ID:
		return lapic_x2apic(apic) ? vp->apic_id : apic->id;
	case LAPIC_VERSION:
		return LAPIC_VERSION_VALUE;
	case LAPIC_TPR:
		return apic->tpr;
	case LAPIC_PPR:
		lapic_settle(vp);
		return lapic_ppr(apic);
	case LAPIC_LDR:
		return apic->ldr;
	case LAPIC_DFR:
		return apic->dfr;
	case LAPIC_SVR:
		return apic->svr;
	case LAPIC_ISR ... LAPIC_ISR + 7:
		lapic_settle(vp);
		return apic->isr[reg - LAPIC_ISR];
	case LAPIC_TMR ... LAPIC_TMR + 7:
		return apic->tmr[reg - LAPIC_TMR];
	case LAPIC_IRR ... LAPIC_IRR + 7:
		lapic_fold(vp);
		return apic->irr[reg - LAPIC_IRR];
	case LAPIC_ESR:
		return apic->esr;
	case LAPIC_ICR:
		return (uint32_t)apic->icr;
	case LAPIC_ICR_HIGH:
		return (uint32_t)(apic->icr >> 32);
	case LAPIC_LVT_TIMER ... LAPIC_LVT_ERROR:
		return *lvt_register(apic, reg);
	case LAPIC_TIMER_INITIAL:
		return apic->timer_initial;
	case LAPIC_TIMER_CURRENT:
		return lapic_timer_current(vp);
	case LAPIC_TIMER_DIVIDE:
		return apic->timer_divide;
	default: /* APR, EOI and remote read of the xAPIC page */
		return 0;
	}
}

static void write_lvt(struct vp *vp, unsigned int reg, uint32_t value)
{
	struct lapic *apic = &vp->lapic;
	uint32_t lvt = value & lapic_lvt_bits(reg);

	/* SDM, "Local APIC State After It Has Been Software Disabled" */
	if (!(apic->svr & LAPIC_SVR_ENABLE)) {
		lvt |= LAPIC_LVT_MASKED;
	}
	if (reg == LAPIC_LVT_TIMER) {
		lapic_timer_set_lvt(vp, lvt);
		return;
	}
	__atomic_store_n(lvt_register(apic, reg), lvt, __ATOMIC_RELAXED);
	if ((reg == LAPIC_LVT_LINT0 || reg == LAPIC_LVT_LINT1) &&
	    vp->partition->id == HV_ROOT_PARTITION) {
		plat_apic_lint(vp, reg - LAPIC_LVT_LINT0, lvt);
	}
}

static void write_svr(struct vp *vp, uint32_t value)
{
	struct lapic *apic = &vp->lapic;

	lapic_fold(vp); /* what came before the change, by the state before the change */
	apic->svr = value & LAPIC_SVR_WRITABLE;
	if (apic->svr & LAPIC_SVR_ENABLE) {
		lapic_end_lost(vp);
		return;
	}
	for (unsigned int reg = LAPIC_LVT_TIMER; reg <= LAPIC_LVT_ERROR; reg++) {
		write_lvt(vp, reg, *lvt_register(apic, reg)); /* masks them */
	}
}

void lapic_write(struct vp *vp, unsigned int reg, uint32_t value)
{
	struct lapic *apic = &vp->lapic;

	switch (reg) {
	case LAPIC_TPR:
		lapic_set_tpr(vp, value);
		break;
	case LAPIC_EOI:
		lapic_eoi(vp);
		break;
	case LAPIC_LDR:
		apic->ldr = value & 0xFF000000;
		break;
	case LAPIC_DFR:
		apic->dfr = value | 0x0FFFFFFF;
		break;
	case LAPIC_SVR:
		write_svr(vp, value);
		break;
	case LAPIC_ESR: /* the write is what makes the errors readable */
		apic->esr = apic->esr_pending;
		apic->esr_pending = 0;
		break;
	case LAPIC_ICR:
		apic->icr = (apic->icr & 0xFFFFFFFF00000000) | (value & ~LAPIC_LVT_STATUS);
		lapic_send_ipi(vp, (apic->icr >> 56 << 32) | (uint32_t)apic->icr);
		break;
	case LAPIC_ICR_HIGH:
		apic->icr = (uint64_t)(value & 0xFF000000) << 32 | (uint32_t)apic->icr;
		break;
	case LAPIC_LVT_TIMER ... LAPIC_LVT_ERROR:
		write_lvt(vp, reg, value);
		break;
	case LAPIC_TIMER_INITIAL:
		lapic_timer_set_initial(vp, value);
		break;
	case LAPIC_TIMER_DIVIDE:
		lapic_timer_set_divide(vp, value & 0xB);
		break;
	default: /* the ID: fixed when the VP was made (TLFS, "Local APIC") */
		break;
	}
}

/*
 * A reserved register is an error of the xAPIC page; a read-only or write-only one is not (SDM,
 * "Error Status Register").
 */
uint32_t lapic_mmio_read(struct vp *vp, uint32_t offset)
{
	if ((offset & 0xF) == 0 && lapic_readable(&vp->lapic, offset >> 4)) {
		return lapic_read(vp, offset >> 4);
	}
	if (!lapic_writable(&vp->lapic, offset >> 4)) {
		lapic_error(vp, LAPIC_ESR_ILLEGAL_REGISTER);
	}
	return 0;
}

void lapic_mmio_write(struct vp *vp, uint32_t offset, uint32_t value)
{
	if ((offset & 0xF) == 0 && lapic_writable(&vp->lapic, offset >> 4)) {
		lapic_write(vp, offset >> 4, value);
	} else if (!lapic_readable(&vp->lapic, offset >> 4)) {
		lapic_error(vp, LAPIC_ESR_ILLEGAL_REGISTER);
	}
}
