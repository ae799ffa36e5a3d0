/*
 * Synthetic MSRs (TLFS, "Synthetic MSRs"). Each belongs to a privilege of the partition; without
 * it, as with a number that does not exist, the access is #GP. SynIC, timer and page-placing MSRs
 * are passed on to their own files.
 */
#include "tlfs/msr.h"

#define ALWAYS 0ull

/* Does the partition have this MSR? One that stands in no row of the TLFS does not exist. */
static bool has_msr(const struct partition *p, uint32_t msr)
{
	uint64_t privilege;

	switch (msr) {
	case HV_X64_MSR_GUEST_OS_ID:
	case HV_X64_MSR_HYPERCALL:
		privilege = HV_MSR_HYPERCALL_AVAILABLE;
		break;
	case HV_X64_MSR_VP_INDEX:
		privilege = HV_MSR_VP_INDEX_AVAILABLE;
		break;
	case HV_X64_MSR_VP_RUNTIME:
		privilege = HV_MSR_VP_RUNTIME_AVAILABLE;
		break;
	case HV_X64_MSR_TIME_REF_COUNT:
		privilege = HV_MSR_TIME_REF_COUNT_AVAILABLE;
		break;
	case HV_X64_MSR_REFERENCE_TSC:
		privilege = HV_MSR_REFERENCE_TSC_AVAILABLE;
		break;
	case HV_X64_MSR_TSC_FREQUENCY:
	case HV_X64_MSR_APIC_FREQUENCY:
		privilege = HV_ACCESS_FREQUENCY_MSRS;
		break;
	case HV_X64_MSR_EOI ... HV_X64_MSR_VP_ASSIST_PAGE:
		privilege = HV_MSR_APIC_ACCESS_AVAILABLE;
		break;
	case HV_X64_MSR_SCONTROL ... HV_X64_MSR_SIRBP:
	case HV_X64_MSR_SINT0 ... HV_X64_MSR_SINT15:
		privilege = HV_MSR_SYNIC_AVAILABLE;
		break;
	case HV_X64_MSR_STIMER0_CONFIG ... HV_X64_MSR_STIMER3_COUNT:
		privilege = HV_MSR_SYNTIMER_AVAILABLE;
		break;
	case HV_X64_MSR_GUEST_IDLE:
		privilege = HV_MSR_GUEST_IDLE_AVAILABLE;
		break;
	case HV_X64_MSR_RESET:
		privilege = HV_MSR_RESET_AVAILABLE;
		break;
	case HV_X64_MSR_CRASH_P0 ... HV_X64_MSR_CRASH_CTL:
		privilege = ALWAYS;
		break;
	case HV_X64_MSR_REENLIGHTENMENT_CONTROL ... HV_X64_MSR_TSC_EMULATION_STATUS:
		privilege = HV_ACCESS_REENLIGHTENMENT;
		break;
	case HV_X64_MSR_TSC_INVARIANT_CONTROL:
		privilege = HV_ACCESS_TSC_INVARIANT;
		break;
	default:
		return false;
	}
	return (p->privileges & privilege) == privilege;
}

/* ---- hypercall page ---- */

static bool os_id_known(const struct partition *p)
{
	return __atomic_load_n(&p->guest_os_id, __ATOMIC_RELAXED) != 0;
}

/* [P] held. */
static enum access_result place_hypercall_page(struct partition *p, uint64_t value)
{
	if (overlay_move(p, p->hypercall_msr, value, p->hypercall_page) != HV_STATUS_SUCCESS) {
		return ACCESS_FAULT;
	}
	__atomic_store_n(&p->hypercall_msr, value, __ATOMIC_RELAXED);
	return ACCESS_OK;
}

/*
 * TLFS: no page without an OS identity (the enable bit stays 0), none beyond the GPA space (#GP),
 * none moved once locked.
 */
static enum access_result write_hypercall(struct partition *p, uint64_t value)
{
	if (p->hypercall_msr & 2) {
		return ACCESS_FAULT;
	}
	if (!os_id_known(p)) {
		value &= ~(uint64_t)HV_X64_MSR_HYPERCALL_ENABLE;
	}
	if ((value & HV_X64_MSR_HYPERCALL_ENABLE) && !overlay_reachable(value)) {
		return ACCESS_FAULT;
	}
	return place_hypercall_page(p, value);
}

/* Zeroing the identity disables the page, unless it is locked. */
static enum access_result write_guest_os_id(struct partition *p, uint64_t value)
{
	__atomic_store_n(&p->guest_os_id, value, __ATOMIC_RELAXED);
	if (value || (p->hypercall_msr & 2)) {
		return ACCESS_OK;
	}
	return place_hypercall_page(p, p->hypercall_msr & ~(uint64_t)HV_X64_MSR_HYPERCALL_ENABLE);
}

/* ---- crash ---- */

/*
 * The parameters are read by the parent, as registers, and the text that they may name from the
 * guest's memory; so the guest waits at its WRMSR meanwhile.
 */
static enum access_result write_crash_control(struct partition *p, uint64_t value)
{
	p->crash_control = value;
	if (!(value & HV_CRASH_CTL_CRASH_NOTIFY)) {
		return ACCESS_OK;
	}
	if (p->intercept_crash) {
		return ACCESS_PARENT;
	}
	plat_log("partition %llu crashed: %llx %llx %llx %llx %llx", (unsigned long long)p->id,
		 (unsigned long long)p->crash[0], (unsigned long long)p->crash[1],
		 (unsigned long long)p->crash[2], (unsigned long long)p->crash[3],
		 (unsigned long long)p->crash[4]);
	return ACCESS_OK;
}

/* ---- partition-wide registers: [P] held ---- */

static enum access_result write_partition(struct partition *p, uint32_t msr, uint64_t value)
{
	switch (msr) {
	case HV_X64_MSR_GUEST_OS_ID:
		return write_guest_os_id(p, value);
	case HV_X64_MSR_HYPERCALL:
		return write_hypercall(p, value);
	case HV_X64_MSR_REFERENCE_TSC:
		return refclock_set_tsc_page(p, value);
	case HV_X64_MSR_CRASH_P0 ... HV_X64_MSR_CRASH_P4:
		p->crash[msr - HV_X64_MSR_CRASH_P0] = value;
		return ACCESS_OK;
	case HV_X64_MSR_CRASH_CTL:
		return write_crash_control(p, value);
	case HV_X64_MSR_REENLIGHTENMENT_CONTROL:
		p->reenlightenment = value;
		return ACCESS_OK;
	case HV_X64_MSR_TSC_EMULATION_CONTROL:
		p->tsc_emulation_control = value;
		return ACCESS_OK;
	case HV_X64_MSR_TSC_EMULATION_STATUS: /* nothing is being emulated */
		return ACCESS_OK;
	case HV_X64_MSR_TSC_INVARIANT_CONTROL:
		if (value & ~(uint64_t)HV_EXPOSE_INVARIANT_TSC) {
			return ACCESS_FAULT;
		}
		__atomic_store_n(&p->tsc_invariant_control, value, __ATOMIC_RELAXED);
		return ACCESS_OK;
	default: /* read-only: VP index, run time, reference count, frequencies */
		return ACCESS_FAULT;
	}
}

static enum access_result read_partition(const struct partition *p, uint32_t msr, uint64_t *value)
{
	switch (msr) {
	case HV_X64_MSR_GUEST_OS_ID:
		*value = p->guest_os_id;
		return ACCESS_OK;
	case HV_X64_MSR_HYPERCALL:
		*value = p->hypercall_msr;
		return ACCESS_OK;
	case HV_X64_MSR_REFERENCE_TSC:
		*value = p->reference_tsc;
		return ACCESS_OK;
	case HV_X64_MSR_CRASH_P0 ... HV_X64_MSR_CRASH_P4:
		*value = p->crash[msr - HV_X64_MSR_CRASH_P0];
		return ACCESS_OK;
	case HV_X64_MSR_CRASH_CTL: /* what can be asked for */
		*value = HV_CRASH_CTL_CRASH_NOTIFY | HV_CRASH_CTL_CRASH_NOTIFY_MSG;
		return ACCESS_OK;
	case HV_X64_MSR_REENLIGHTENMENT_CONTROL:
		*value = p->reenlightenment;
		return ACCESS_OK;
	case HV_X64_MSR_TSC_EMULATION_CONTROL:
		*value = p->tsc_emulation_control;
		return ACCESS_OK;
	case HV_X64_MSR_TSC_EMULATION_STATUS:
		*value = 0;
		return ACCESS_OK;
	case HV_X64_MSR_TSC_INVARIANT_CONTROL:
		*value = p->tsc_invariant_control;
		return ACCESS_OK;
	default:
		return ACCESS_FAULT;
	}
}

/* ---- registers of the VP ---- */

static enum access_result write_vp_assist(struct vp *vp, uint64_t value)
{
	if (overlay_move(vp->partition, vp->vp_assist, value, vp->vp_assist_page) !=
	    HV_STATUS_SUCCESS) {
		return ACCESS_FAULT;
	}
	vp->vp_assist = value;
	return ACCESS_OK;
}

/*
 * The APIC's registers by MSR: ICR has the destination where the mode has it, in bits 63:56 or, in
 * x2APIC mode, 63:32.
 */
static enum access_result write_apic(struct vp *vp, uint32_t msr, uint64_t value)
{
	switch (msr) {
	case HV_X64_MSR_EOI:
		if (value >> 32) {
			return ACCESS_FAULT;
		}
		lapic_eoi(vp);
		return ACCESS_OK;
	case HV_X64_MSR_ICR:
		if (lapic_x2apic(&vp->lapic)) {
			return lapic_msr_write(vp, LAPIC_MSR_X2APIC + LAPIC_ICR, value);
		}
		lapic_write(vp, LAPIC_ICR_HIGH, (uint32_t)(value >> 32));
		lapic_write(vp, LAPIC_ICR, (uint32_t)value);
		return ACCESS_OK;
	case HV_X64_MSR_TPR:
		if (value >> 8) {
			return ACCESS_FAULT;
		}
		lapic_set_tpr(vp, (uint32_t)value);
		return ACCESS_OK;
	default:
		return write_vp_assist(vp, value);
	}
}

static void read_apic(const struct vp *vp, uint32_t msr, uint64_t *value)
{
	switch (msr) {
	case HV_X64_MSR_EOI:
		*value = 0;
		break;
	case HV_X64_MSR_ICR:
		*value = vp->lapic.icr;
		break;
	case HV_X64_MSR_TPR:
		*value = vp->lapic.tpr;
		break;
	default:
		*value = vp->vp_assist;
		break;
	}
}

/* A reset is the parent's to do, and only if it listens. */
static enum access_result write_reset(struct vp *vp, uint64_t value)
{
	if (!(value & HV_X64_MSR_RESET_RESET)) {
		return ACCESS_OK;
	}
	return vp->partition->id != HV_ROOT_PARTITION && vp->partition->intercept_msr
		       ? ACCESS_PARENT
		       : ACCESS_FAULT;
}

enum access_result msr_hv_read(struct vp *vp, uint32_t msr, uint64_t *value)
{
	if (!has_msr(vp->partition, msr)) {
		return ACCESS_FAULT;
	}
	switch (msr) {
	case HV_X64_MSR_VP_INDEX:
		*value = vp->index;
		return ACCESS_OK;
	case HV_X64_MSR_RESET:
		*value = 0;
		return ACCESS_OK;
	case HV_X64_MSR_VP_RUNTIME:
		*value = vp_run_time(vp);
		return ACCESS_OK;
	case HV_X64_MSR_TIME_REF_COUNT:
		*value = refclock_now(vp->partition);
		return ACCESS_OK;
	case HV_X64_MSR_TSC_FREQUENCY:
		*value = plat_info.tsc_hz;
		return ACCESS_OK;
	case HV_X64_MSR_APIC_FREQUENCY:
		*value = HV_APIC_BUS_HZ;
		return ACCESS_OK;
	case HV_X64_MSR_EOI ... HV_X64_MSR_VP_ASSIST_PAGE:
		read_apic(vp, msr, value);
		return ACCESS_OK;
	case HV_X64_MSR_SCONTROL ... HV_X64_MSR_SINT15:
		return synic_msr_read(vp, msr, value);
	case HV_X64_MSR_STIMER0_CONFIG ... HV_X64_MSR_STIMER3_COUNT:
		return stimer_msr_read(vp, msr, value);
	case HV_X64_MSR_GUEST_IDLE:
		*value = 0;
		vp_idle(vp);
		return ACCESS_OK;
	default:
		return read_partition(vp->partition, msr, value);
	}
}

enum access_result msr_hv_write(struct vp *vp, uint32_t msr, uint64_t value)
{
	enum access_result result;

	if (!has_msr(vp->partition, msr)) {
		return ACCESS_FAULT;
	}
	switch (msr) {
	case HV_X64_MSR_STIMER0_CONFIG ... HV_X64_MSR_STIMER3_COUNT:
		return stimer_msr_write(vp, msr, value);
	case HV_X64_MSR_EOI ... HV_X64_MSR_VP_ASSIST_PAGE:
		return write_apic(vp, msr, value);
	case HV_X64_MSR_SCONTROL ... HV_X64_MSR_SINT15:
		return synic_msr_write(vp, msr, value);
	case HV_X64_MSR_RESET:
		return write_reset(vp, value);
	default:
		spin_lock(&vp->partition->lock);
		result = write_partition(vp->partition, msr, value);
		spin_unlock(&vp->partition->lock);
		return result;
	}
}
