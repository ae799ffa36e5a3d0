/*
 * VP registers by name (TLFS: HV_REGISTER_NAME). Three kinds: those that are fields of the VP,
 * those that are MSRs under another number (so what an MSR write checks and does is in one place),
 * and the processor's, which the home has.
 */
#include "tlfs/registers.h"

#include "tlfs/msr.h"
#include "tlfs/partition.h"

/* MSRs of the processor that have a register name and belong to the core. */
#define MSR_APIC_BASE    0x1b
#define MSR_TSC_ADJUST   0x3b
#define MSR_MTRR_CAP     0xfe
#define MSR_MISC_ENABLE  0x1a0
#define MSR_MTRR_BASE0   0x200
#define MSR_MTRR_FIX64K  0x250
#define MSR_MTRR_FIX16K  0x258
#define MSR_MTRR_FIX4K   0x268
#define MSR_MTRR_DEFAULT 0x2ff
#define MSR_TSC_DEADLINE 0x6e0

/* A run of names, and the MSRs that they are; `stride` from one to the next. */
static const struct {
	uint32_t name;
	uint16_t count, stride;
	uint32_t msr;
} msr_names[] = {
	{HV_REGISTER_GUEST_CRASH_P0, 6, 1, HV_X64_MSR_CRASH_P0},
	{HV_REGISTER_PROCESSOR_CLOCK_FREQUENCY, 2, 1, HV_X64_MSR_TSC_FREQUENCY},
	{HV_X64_REGISTER_APIC_BASE, 1, 1, MSR_APIC_BASE},
	{HV_X64_REGISTER_MSR_MTRR_CAP, 1, 1, MSR_MTRR_CAP},
	{HV_X64_REGISTER_MSR_MTRR_DEF_TYPE, 1, 1, MSR_MTRR_DEFAULT},
	{HV_X64_REGISTER_MSR_MTRR_PHYS_BASE0, 16, 2, MSR_MTRR_BASE0},
	{HV_X64_REGISTER_MSR_MTRR_PHYS_MASK0, 16, 2, MSR_MTRR_BASE0 + 1},
	{HV_X64_REGISTER_MSR_MTRR_FIX64K00000, 1, 1, MSR_MTRR_FIX64K},
	{HV_X64_REGISTER_MSR_MTRR_FIX16K80000, 2, 1, MSR_MTRR_FIX16K},
	{HV_X64_REGISTER_MSR_MTRR_FIX4KC0000, 8, 1, MSR_MTRR_FIX4K},
	{HV_X64_REGISTER_TSC_DEADLINE, 1, 1, MSR_TSC_DEADLINE},
	{HV_X64_REGISTER_TSC_ADJUST, 1, 1, MSR_TSC_ADJUST},
	{HV_X64_REGISTER_MSR_IA32_MISC_ENABLE, 1, 1, MSR_MISC_ENABLE},
	{HV_X64_REGISTER_APIC_VERSION, 0xfd, 1, 0x803},
	{HV_REGISTER_VP_RUNTIME, 1, 1, HV_X64_MSR_VP_RUNTIME},
	{HV_X64_REGISTER_HYPERCALL, 1, 1, HV_X64_MSR_HYPERCALL},
	{HV_REGISTER_GUEST_OS_ID, 1, 1, HV_X64_MSR_GUEST_OS_ID},
	{HV_REGISTER_TIME_REF_COUNT, 1, 1, HV_X64_MSR_TIME_REF_COUNT},
	{HV_X64_REGISTER_SYNTHETIC_EOI, 4, 1, HV_X64_MSR_EOI}, /* EOI, ICR, TPR, VP assist page */
	{HV_REGISTER_REFERENCE_TSC, 1, 1, HV_X64_MSR_REFERENCE_TSC},
	{HV_REGISTER_SINT0, 16, 1, HV_X64_MSR_SINT0},
	{HV_REGISTER_SCONTROL, 6, 1, HV_X64_MSR_SCONTROL}, /* to SIRBP */
	{HV_REGISTER_STIMER0_CONFIG, 8, 1, HV_X64_MSR_STIMER0_CONFIG},
};

/* CR8 is the class of the local APIC's TPR (Intel SDM vol. 3, 11.8.6). */
static hv_status_t set_cr8(struct vp *vp, uint64_t value)
{
	if (value > 15) {
		return HV_STATUS_INVALID_REGISTER_VALUE;
	}
	lapic_set_tpr(vp, (uint32_t)value << 4);
	return HV_STATUS_SUCCESS;
}

/* General, vector, control, debug, segment and table registers: all the home's but CR8. */
static bool is_processor(uint32_t name)
{
	return name >= HV_X64_REGISTER_RAX && name < HV_X64_REGISTER_TSC;
}

static bool find_msr(uint32_t name, uint32_t *msr)
{
	for (uint32_t i = 0; i < ARRAY_COUNT(msr_names); i++) {
		if (name - msr_names[i].name < msr_names[i].count) {
			*msr = msr_names[i].msr + (name - msr_names[i].name) * msr_names[i].stride;
			return true;
		}
	}
	return false;
}

/* The SynIC and timers are looked at whether the guest may use them or not. */
static enum access_result read_msr(struct vp *vp, uint32_t msr, uint64_t *value)
{
	if (msr >= HV_X64_MSR_SCONTROL && msr <= HV_X64_MSR_SINT15) {
		return synic_msr_read(vp, msr, value);
	}
	if (msr >= HV_X64_MSR_STIMER0_CONFIG && msr <= HV_X64_MSR_STIMER3_COUNT) {
		return stimer_msr_read(vp, msr, value);
	}
	return msr_read(vp, msr, value);
}

static enum access_result write_msr(struct vp *vp, uint32_t msr, uint64_t value)
{
	if (msr >= HV_X64_MSR_SCONTROL && msr <= HV_X64_MSR_SINT15) {
		return synic_msr_write(vp, msr, value);
	}
	if (msr >= HV_X64_MSR_STIMER0_CONFIG && msr <= HV_X64_MSR_STIMER3_COUNT) {
		return stimer_msr_write(vp, msr, value);
	}
	return msr_write(vp, msr, value);
}

/* Names 0x200… are CPUID leaves 0x40000003…, and 0x100 is 0x40000002. */
static void get_cpuid(struct vp *vp, uint32_t name, union hv_register_value *value)
{
	uint32_t leaf =
		name == HV_REGISTER_HYPERVISOR_VERSION
			? HYPERV_CPUID_VERSION
			: HYPERV_CPUID_FEATURES + (name - HV_REGISTER_PRIVILEGES_AND_FEATURES_INFO);
	uint32_t out[4];

	cpuid_read(vp, leaf, 0, out);
	memcpy(&value->reg128, out, sizeof(out));
}

static uint32_t suspend_bit(uint32_t name)
{
	switch (name) {
	case HV_REGISTER_EXPLICIT_SUSPEND:
		return VP_SUSPEND_EXPLICIT;
	case HV_REGISTER_INTERCEPT_SUSPEND:
		return VP_SUSPEND_INTERCEPT;
	default:
		return VP_SUSPEND_DISPATCH;
	}
}

static uint64_t get_activity(const struct vp *vp)
{
	union hv_internal_activity_register activity = {
		.startup_suspend = vp->activity == VP_WAIT_SIPI,
		.halt_suspend = vp->activity == VP_HALTED && !vp->idle,
		.idle_suspend = vp->activity == VP_HALTED && vp->idle,
	};

	return activity.as_uint64;
}

static hv_status_t get_other(struct vp *vp, uint32_t name, union hv_register_value *value)
{
	uint32_t msr;

	if (name >= HV_REGISTER_PRIVILEGES_AND_FEATURES_INFO &&
	    name <= HV_REGISTER_IPT_FEATURES_INFO) {
		get_cpuid(vp, name, value);
		return HV_STATUS_SUCCESS;
	}
	if (!find_msr(name, &msr)) {
		return plat_register_get(vp, name, value);
	}
	return read_msr(vp, msr, &value->reg64) == ACCESS_OK ? HV_STATUS_SUCCESS
							     : HV_STATUS_INVALID_PARAMETER;
}

hv_status_t register_get(struct vp *vp, uint32_t name, union hv_register_value *value)
{
	if (is_processor(name) && name != HV_X64_REGISTER_CR8) {
		return plat_register_get(vp, name, value);
	}
	switch (name) {
	case HV_X64_REGISTER_CR8:
		value->reg64 = vp->lapic.tpr >> 4;
		break;
	case HV_REGISTER_EXPLICIT_SUSPEND:
	case HV_REGISTER_INTERCEPT_SUSPEND:
	case HV_REGISTER_DISPATCH_SUSPEND:
		value->reg64 =
			!!(__atomic_load_n(&vp->suspend, __ATOMIC_ACQUIRE) & suspend_bit(name));
		break;
	case HV_REGISTER_INTERNAL_ACTIVITY_STATE:
		value->reg64 = get_activity(vp);
		break;
	case HV_REGISTER_HYPERVISOR_VERSION:
		get_cpuid(vp, name, value);
		break;
	case HV_REGISTER_PENDING_INTERRUPTION:
		if (!vp->pending_interruption) {
			return plat_register_get(vp, name, value);
		}
		value->reg64 = vp->pending_interruption;
		break;
	case HV_REGISTER_PENDING_EVENT0:
		*value = vp->pending_event0;
		break;
	case HV_REGISTER_PENDING_EVENT1:
		*value = vp->pending_event1;
		break;
	case HV_REGISTER_DELIVERABILITY_NOTIFICATIONS:
		value->reg64 = vp->deliverability_notifications;
		break;
	case HV_REGISTER_VP_INDEX:
		value->reg64 = vp->index;
		break;
	case HV_REGISTER_VP_ROOT_SIGNAL_COUNT:
		value->reg64 = __atomic_load_n(&vp->root_signal_count, __ATOMIC_RELAXED);
		break;
	case HV_X64_REGISTER_REG_PAGE:
		value->reg64 = vp->register_page_gpn == HV_NEVER
				       ? 0
				       : vp->register_page_gpn << PAGE_SHIFT | 1;
		break;
	case HV_X64_REGISTER_TSC:
		value->reg64 = refclock_tsc(vp->partition) + vp->tsc_offset;
		break;
	case HV_X64_REGISTER_INITIAL_APIC_ID:
	case HV_X64_REGISTER_APIC_ID:
		value->reg64 = vp->apic_id;
		break;
	default:
		return get_other(vp, name, value);
	}
	return HV_STATUS_SUCCESS;
}

static hv_status_t set_suspend(struct vp *vp, uint32_t name, uint64_t value)
{
	uint32_t bit = suspend_bit(name);

	if (value > 1) {
		return HV_STATUS_INVALID_REGISTER_VALUE;
	}
	if (!value) {
		__atomic_fetch_and(&vp->suspend, ~bit, __ATOMIC_SEQ_CST);
		return HV_STATUS_SUCCESS;
	}
	__atomic_fetch_or(&vp->suspend, bit, __ATOMIC_SEQ_CST);
	if (bit == VP_SUSPEND_DISPATCH) {
		notify_forget(vp); /* no signal comes after this */
	}
	return HV_STATUS_SUCCESS;
}

static hv_status_t set_activity(struct vp *vp, uint64_t value)
{
	union hv_internal_activity_register activity = {.as_uint64 = value};

	if (activity.rsvd_z) {
		return HV_STATUS_INVALID_REGISTER_VALUE;
	}
	if (activity.startup_suspend) {
		vp->activity = VP_WAIT_SIPI;
	} else if (activity.idle_suspend) {
		vp_idle(vp);
	} else if (activity.halt_suspend) {
		vp_halt(vp, true);
	} else {
		vp->activity = VP_ACTIVE;
	}
	return HV_STATUS_SUCCESS;
}

/*
 * Two VPs with one ID could not be told apart; the partition's lock keeps others from choosing at
 * the same time.
 */
static hv_status_t set_apic_id(struct vp *vp, uint64_t value)
{
	struct partition *p = vp->partition;
	hv_status_t status = HV_STATUS_SUCCESS;

	if (value >= 0xff) {
		return HV_STATUS_INVALID_REGISTER_VALUE;
	}
	spin_lock(&p->lock);
	for (uint32_t i = 0; i < HV_MAX_VPS; i++) {
		if (p->vps[i] != NULL && p->vps[i] != vp && p->vps[i]->apic_id == value) {
			status = HV_STATUS_INVALID_REGISTER_VALUE;
		}
	}
	if (status == HV_STATUS_SUCCESS && vp->apic_id != value) {
		vp->apic_id = (uint32_t)value;
		lapic_create(vp, false);
	}
	spin_unlock(&p->lock);
	return status;
}

static hv_status_t set_pending_event(struct vp *vp, union hv_register_value *event,
				     const union hv_register_value *value)
{
	(void)vp;
	if (value->pending_exception_event.event_pending &&
	    value->pending_exception_event.event_type != HV_X64_PENDING_EVENT_EXCEPTION &&
	    value->pending_exception_event.event_type != HV_X64_PENDING_EVENT_EXT_INT) {
		return HV_STATUS_INVALID_REGISTER_VALUE;
	}
	*event = *value;
	return HV_STATUS_SUCCESS;
}

/* What only the parent sets. */
static hv_status_t set_control(struct vp *vp, uint32_t name, const union hv_register_value *value)
{
	switch (name) {
	case HV_REGISTER_EXPLICIT_SUSPEND:
	case HV_REGISTER_INTERCEPT_SUSPEND:
	case HV_REGISTER_DISPATCH_SUSPEND:
		return set_suspend(vp, name, value->reg64);
	case HV_REGISTER_INTERNAL_ACTIVITY_STATE:
		return set_activity(vp, value->reg64);
	case HV_REGISTER_PENDING_INTERRUPTION:
		vp->pending_interruption = 0;
		return plat_register_set(vp, name, value);
	case HV_REGISTER_PENDING_EVENT0:
		return set_pending_event(vp, &vp->pending_event0, value);
	case HV_REGISTER_PENDING_EVENT1:
		return set_pending_event(vp, &vp->pending_event1, value);
	case HV_REGISTER_DELIVERABILITY_NOTIFICATIONS:
		if (value->deliverability_notifications.reserved) {
			return HV_STATUS_INVALID_REGISTER_VALUE;
		}
		vp->deliverability_notifications = value->reg64;
		vp_post_event(vp, VP_EVENT_SYNIC);
		return HV_STATUS_SUCCESS;
	case HV_X64_REGISTER_TSC:
		tsc_set_offset(vp, value->reg64 - refclock_tsc(vp->partition));
		return HV_STATUS_SUCCESS;
	default: /* INITIAL_APIC_ID, APIC_ID */
		return set_apic_id(vp, value->reg64);
	}
}

static bool is_control(uint32_t name)
{
	switch (name) {
	case HV_REGISTER_EXPLICIT_SUSPEND:
	case HV_REGISTER_INTERCEPT_SUSPEND:
	case HV_REGISTER_DISPATCH_SUSPEND:
	case HV_REGISTER_INTERNAL_ACTIVITY_STATE:
	case HV_REGISTER_PENDING_INTERRUPTION:
	case HV_REGISTER_PENDING_EVENT0:
	case HV_REGISTER_PENDING_EVENT1:
	case HV_REGISTER_DELIVERABILITY_NOTIFICATIONS:
	case HV_X64_REGISTER_TSC:
	case HV_X64_REGISTER_INITIAL_APIC_ID:
	case HV_X64_REGISTER_APIC_ID:
		return true;
	default:
		return false;
	}
}

static bool is_read_only(uint32_t name)
{
	return name == HV_REGISTER_HYPERVISOR_VERSION || name == HV_REGISTER_VP_INDEX ||
	       name == HV_REGISTER_VP_ROOT_SIGNAL_COUNT || name == HV_X64_REGISTER_REG_PAGE ||
	       (name >= HV_REGISTER_PRIVILEGES_AND_FEATURES_INFO &&
		name <= HV_REGISTER_IPT_FEATURES_INFO);
}

hv_status_t register_set(struct vp *vp, uint32_t name, const union hv_register_value *value,
			 bool by_parent)
{
	uint32_t msr;

	if (name == HV_X64_REGISTER_CR8) {
		return set_cr8(vp, value->reg64);
	}
	if (is_processor(name)) {
		return plat_register_set(vp, name, value);
	}
	if (is_read_only(name) || (is_control(name) && !by_parent)) {
		return HV_STATUS_ACCESS_DENIED;
	}
	if (is_control(name)) {
		return set_control(vp, name, value);
	}
	if (!find_msr(name, &msr)) {
		return plat_register_set(vp, name, value);
	}
	switch (write_msr(vp, msr, value->reg64)) {
	case ACCESS_OK:
		return HV_STATUS_SUCCESS;
	case ACCESS_FAULT:
		return HV_STATUS_INVALID_REGISTER_VALUE;
	default:
		return HV_STATUS_INVALID_PARAMETER;
	}
}
