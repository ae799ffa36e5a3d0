/*
 * MSRs: what the core answers itself, and the policy for the rest.
 *
 *	x2APIC, APIC_BASE, TSC_DEADLINE	lapic_msr.c
 *	0x4000xxxx			msr_hv.c, by privilege
 *	TSC, TSC_ADJUST			here: an offset to the machine's
 *	MTRRs, MISC_ENABLE, MCE		a child's: msr_child.c, without effect; the root's: the home
 *	SVM, VMX			#GP for everybody: this is a processor without them
 *	everything else			plat_msr_*; what the home does not know, as the parent
 *					wishes: msr_result.c
 */
#include "tlfs/msr.h"

#include "tlfs/cpuid.h"

#define MSR_TSC        0x00000010u
#define MSR_TSC_ADJUST 0x0000003Bu
#define MSR_XSS        0x00000DA0u

/* ---- the time-stamp counter ---- */

void tsc_set_offset(struct vp *vp, uint64_t offset)
{
	if (offset == vp->tsc_offset) {
		return;
	}
	__atomic_store_n(&vp->tsc_offset, offset, __ATOMIC_RELAXED);
	plat_tsc_offset_changed(vp);
	lapic_tsc_changed(vp);
	refclock_tsc_changed(vp->partition);
}

/* ---- policy ---- */

static bool is_virtualization_msr(uint32_t msr)
{
	return (msr >= 0x480 && msr <= 0x4FF) ||           /* VMX capabilities */
	       (msr >= 0xC0010114 && msr <= 0xC001011A) || /* VM_CR … SVM lock key */
	       msr == 0x3A;                                /* IA32_FEATURE_CONTROL */
}

static bool is_lapic_msr(uint32_t msr)
{
	return (msr >= LAPIC_MSR_X2APIC && msr <= LAPIC_MSR_X2APIC_LAST) || msr == LAPIC_MSR_BASE ||
	       msr == LAPIC_MSR_TSC_DEADLINE;
}

static bool is_synthetic_msr(uint32_t msr)
{
	return msr >> 28 == 4;
}

/* For a register that nobody knows: the parent's choice, one for this register first. */
static enum access_result unknown(const struct vp *vp, uint32_t msr, uint32_t access)
{
	struct partition *p = vp->partition;
	enum access_result result;
	bool answered;

	if (__atomic_load_n(&p->msr_results, __ATOMIC_RELAXED) != NULL) {
		spin_lock(&p->lock);
		answered = msr_result_find(vp, msr, access, &result);
		spin_unlock(&p->lock);
		if (answered) {
			return result;
		}
	}
	if (p->intercept_msr) {
		return ACCESS_PARENT;
	}
	return p->unimplemented_msr_action == HV_UNIMPLEMENTED_MSR_ACTION_IGNORE_WRITE_READ_ZERO
		       ? ACCESS_OK
		       : ACCESS_FAULT;
}

static bool is_child(const struct vp *vp)
{
	return vp->partition->id != HV_ROOT_PARTITION;
}

/* A child lacks the registers of features that its CPUID hides; to the root the machine answers. */
static bool may_have(const struct vp *vp, uint32_t msr)
{
	return !is_child(vp) || cpuid_offers_msr(vp->partition, msr);
}

enum access_result msr_read(struct vp *vp, uint32_t msr, uint64_t *value)
{
	enum access_result result;

	*value = 0;
	switch (msr) {
	case LAPIC_MSR_BASE:
		*value = vp->lapic.base;
		return ACCESS_OK;
	case LAPIC_MSR_TSC_DEADLINE:
		*value = vp->tsc_deadline_msr;
		return ACCESS_OK;
	case MSR_TSC_ADJUST:
		*value = vp->tsc_adjust;
		return ACCESS_OK;
	default:
		break;
	}
	if (is_lapic_msr(msr)) {
		return lapic_msr_read(vp, msr, value);
	}
	if (is_synthetic_msr(msr)) {
		return msr_hv_read(vp, msr, value);
	}
	if (is_virtualization_msr(msr)) {
		return ACCESS_FAULT;
	}
	if (msr == MSR_TSC) {
		*value = plat_tsc() + vp->tsc_offset;
		return ACCESS_OK;
	}
	if (msr ==
	    MSR_XSS) { /* there, as XSAVES may be, and always 0: no supervisor state is offered */
		return ACCESS_OK;
	}
	if (is_child(vp) && msr_child_read(vp, msr, value)) {
		return ACCESS_OK;
	}
	result = may_have(vp, msr) ? plat_msr_read(vp, msr, value) : ACCESS_PARENT;
	return result == ACCESS_PARENT ? unknown(vp, msr, HV_INTERCEPT_ACCESS_MASK_READ) : result;
}

enum access_result msr_write(struct vp *vp, uint32_t msr, uint64_t value)
{
	enum access_result result;

	if (is_lapic_msr(msr)) {
		return lapic_msr_write(vp, msr, value);
	}
	if (is_synthetic_msr(msr)) {
		return msr_hv_write(vp, msr, value);
	}
	if (is_virtualization_msr(msr)) {
		return ACCESS_FAULT;
	}
	if (msr == MSR_TSC || msr == MSR_TSC_ADJUST) {
		uint64_t change =
			value - (msr == MSR_TSC ? plat_tsc() + vp->tsc_offset : vp->tsc_adjust);

		vp->tsc_adjust += change;
		tsc_set_offset(vp, vp->tsc_offset + change);
		return ACCESS_OK;
	}
	if (msr == MSR_XSS) {
		return value ? ACCESS_FAULT : ACCESS_OK;
	}
	if (is_child(vp) && msr_child_write(vp, msr, value, &result)) {
		return result;
	}
	result = may_have(vp, msr) ? plat_msr_write(vp, msr, value) : ACCESS_PARENT;
	return result == ACCESS_PARENT ? unknown(vp, msr, HV_INTERCEPT_ACCESS_MASK_WRITE) : result;
}
