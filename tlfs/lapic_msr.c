/*
 * The local APIC by MSR: x2APIC registers, IA32_APIC_BASE, IA32_TSC_DEADLINE (SDM, "Extended xAPIC
 * (x2APIC)"). What the page ignores, these refuse: a register that is not there, a direction it
 * does not have, and a reserved bit are #GP.
 */
#include "tlfs/lapic.h"

#define ICR_RESERVED                                                                               \
	((1u << 13) | (3u << 16) | 0xFFF00000u) /* bit 12, once the delivery status, is ignored */

static uint32_t reserved_bits(unsigned int reg)
{
	switch (reg) {
	case LAPIC_TPR:
	case LAPIC_SELF_IPI:
		return ~0xFFu;
	case LAPIC_ESR:
		return ~0u; /* only 0 may be written */
	case LAPIC_SVR:
		return ~LAPIC_SVR_WRITABLE;
	case LAPIC_LVT_TIMER ... LAPIC_LVT_ERROR:
		return ~(lapic_lvt_bits(reg) | LAPIC_LVT_STATUS |
			 (reg == LAPIC_LVT_LINT0 || reg == LAPIC_LVT_LINT1 ? LAPIC_LVT_REMOTE_IRR
									   : 0));
	case LAPIC_TIMER_DIVIDE:
		return ~0xBu;
	default: /* the initial count */
		return 0;
	}
}

/*
 * Enable and x2APIC bits: off → xAPIC → x2APIC → off, xAPIC → off. All other steps are #GP, and so
 * is x2APIC where the guest was not shown it (SDM, "x2APIC State Transitions").
 */
static enum access_result write_base(struct vp *vp, uint64_t value)
{
	const uint64_t mode_bits = LAPIC_BASE_ENABLE | LAPIC_BASE_X2APIC;
	struct lapic *apic = &vp->lapic;
	uint64_t before = apic->base & mode_bits, after = value & mode_bits;
	uint64_t address_bits = ((1ull << plat_info.physical_address_bits) - 1) & ~PAGE_MASK;

	if (value & ~(address_bits | mode_bits | LAPIC_BASE_BSP)) {
		return ACCESS_FAULT;
	}
	if (after == LAPIC_BASE_X2APIC ||
	    (after == mode_bits && (before == 0 || !lapic_x2apic_offered(vp))) ||
	    (before == mode_bits && after == LAPIC_BASE_ENABLE)) {
		return ACCESS_FAULT;
	}
	__atomic_store_n(&apic->base, value, __ATOMIC_RELAXED);
	if (before == after) {
		return ACCESS_OK;
	}
	if (after == mode_bits) {
		__atomic_store_n(&apic->ldr, lapic_x2apic_ldr(vp->apic_id), __ATOMIC_RELAXED);
		apic->icr = (uint32_t)apic->icr;
	} else if (after == 0) {
		lapic_reset(vp);
		vp_rearm_timer(vp);
	}
	return ACCESS_OK;
}

enum access_result lapic_msr_read(struct vp *vp, uint32_t msr, uint64_t *value)
{
	struct lapic *apic = &vp->lapic;
	unsigned int reg = msr - LAPIC_MSR_X2APIC;

	if (!lapic_x2apic(apic) || !lapic_readable(apic, reg)) {
		return ACCESS_FAULT;
	}
	*value = reg == LAPIC_ICR ? apic->icr : lapic_read(vp, reg);
	return ACCESS_OK;
}

static enum access_result write_icr(struct vp *vp, uint64_t value)
{
	if ((uint32_t)value & ICR_RESERVED) {
		return ACCESS_FAULT;
	}
	vp->lapic.icr = value & ~(uint64_t)LAPIC_LVT_STATUS;
	lapic_send_ipi(vp, vp->lapic.icr);
	return ACCESS_OK;
}

static enum access_result write_x2apic(struct vp *vp, unsigned int reg, uint64_t value)
{
	/* What guests write all the time comes first. */
	if (reg == LAPIC_EOI) {
		if (value) {
			return ACCESS_FAULT;
		}
		lapic_eoi(vp);
		return ACCESS_OK;
	}
	if (reg == LAPIC_ICR) {
		return write_icr(vp, value);
	}
	if (!lapic_writable(&vp->lapic, reg) || value >> 32 ||
	    ((uint32_t)value & reserved_bits(reg))) {
		return ACCESS_FAULT;
	}
	if (reg == LAPIC_SELF_IPI) {
		lapic_self_ipi(vp, (uint8_t)value);
	} else {
		lapic_write(vp, reg, (uint32_t)value);
	}
	return ACCESS_OK;
}

enum access_result lapic_msr_write(struct vp *vp, uint32_t msr, uint64_t value)
{
	unsigned int reg = msr - LAPIC_MSR_X2APIC;

	if (reg <= LAPIC_MSR_X2APIC_LAST - LAPIC_MSR_X2APIC) {
		return lapic_x2apic(&vp->lapic) ? write_x2apic(vp, reg, value) : ACCESS_FAULT;
	}
	if (msr == LAPIC_MSR_BASE) {
		return write_base(vp, value);
	}
	lapic_timer_set_tsc_deadline(vp, value);
	return ACCESS_OK;
}
