/*
 * Leaves 0x40000000 … 0x4000000C and 0x40000080 … 82 (TLFS, "Feature and Interface Discovery").
 * What a partition is told follows from its privileges and synthetic features alone, so no leaf
 * promises a call or an MSR that would then be refused.
 */
#include "tlfs/cpuid.h"

/* The interface is that of this release, with which the root's modules compare. */
#define VERSION_MAJOR 10
#define VERSION_BUILD 27744

static void features(const struct partition *p, uint32_t out[4])
{
	union hv_partition_synthetic_processor_features has = {
		.as_uint64 = {p->synthetic_features}};

	out[EAX] = (uint32_t)p->privileges;
	out[EBX] = (uint32_t)(p->privileges >> 32);
	if (p->privileges >> 32 & HV_CREATE_PARTITIONS) { /* DispatchVp takes interrupts along */
		out[ECX] = HV_VP_DISPATCH_INTERRUPT_INJECTION_AVAILABLE;
	}
	out[EDX] = HV_X64_HYPERCALL_XMM_INPUT_AVAILABLE | HV_FEATURE_GUEST_CRASH_MSR_AVAILABLE |
		   HV_FEATURE_SINT_POLLING_MODE_AVAILABLE | HV_FEATURE_HYPERCALL_MSR_LOCK_AVAILABLE;
	if (has.access_guest_idle_reg) {
		out[EDX] |= HV_X64_GUEST_IDLE_STATE_AVAILABLE;
	}
	if (has.access_frequency_regs) {
		out[EDX] |= HV_FEATURE_FREQUENCY_MSRS_AVAILABLE;
	}
	if (has.enable_extended_gva_ranges_for_flush_virtual_address_list) {
		out[EDX] |= HV_FEATURE_EXT_GVA_RANGES_FLUSH;
	}
	if (has.fast_hypercall_output) {
		out[EDX] |= HV_X64_HYPERCALL_XMM_OUTPUT_AVAILABLE;
	}
	if (has.direct_synthetic_timers) {
		out[EDX] |= HV_STIMER_DIRECT_MODE_AVAILABLE;
	}
}

static void recommendations(const struct partition *p, uint32_t out[4])
{
	union hv_partition_synthetic_processor_features has = {
		.as_uint64 = {p->synthetic_features}};

	out[EAX] = HV_X64_RELAXED_TIMING_RECOMMENDED | HV_DEPRECATING_AEOI_RECOMMENDED;
	if (has.tb_flush_hypercalls) {
		out[EAX] |= HV_X64_REMOTE_TLB_FLUSH_RECOMMENDED;
	}
	if (has.access_intr_ctrl_regs) {
		out[EAX] |= HV_X64_APIC_ACCESS_RECOMMENDED;
	}
	if (has.synthetic_cluster_ipi) {
		out[EAX] |= HV_X64_CLUSTER_IPI_RECOMMENDED;
	}
	if (has.extended_processor_masks) {
		out[EAX] |= HV_X64_EX_PROCESSOR_MASKS_RECOMMENDED;
	}
	out[EBX] = has.notify_long_spin_wait ? HV_LONG_SPIN_WAIT : HV_LONG_SPIN_WAIT_NEVER;
	out[ECX] = plat_info.physical_address_bits;
}

void cpuid_hypervisor_leaf(const struct vp *vp, uint32_t leaf, uint32_t out[4])
{
	out[EAX] = out[EBX] = out[ECX] = out[EDX] = 0;
	switch (leaf) {
	case HYPERV_CPUID_VENDOR_AND_MAX_FUNCTIONS:
		out[EAX] = HYPERV_CPUID_ISOLATION_CONFIG;
		out[EBX] = HYPERV_VENDOR_EBX;
		out[ECX] = HYPERV_VENDOR_ECX;
		out[EDX] = HYPERV_VENDOR_EDX;
		break;
	case HYPERV_CPUID_INTERFACE:
		out[EAX] = HYPERV_INTERFACE_EAX_SIGNATURE;
		break;
	case HYPERV_CPUID_VERSION:
		out[EAX] = VERSION_BUILD;
		out[EBX] = VERSION_MAJOR << 16;
		break;
	case HYPERV_CPUID_FEATURES:
		features(vp->partition, out);
		break;
	case HYPERV_CPUID_ENLIGHTMENT_INFO:
		recommendations(vp->partition, out);
		break;
	case HYPERV_CPUID_IMPLEMENT_LIMITS:
		out[EAX] = HV_MAX_VPS;
		out[EBX] = plat_info.lp_count;
		break;
	case HYPERV_CPUID_HARDWARE_FEATURES:
		out[EAX] = HV_X64_MSR_BITMAPS_IN_USE | HV_X64_SLAT_IN_USE;
		break;
	default: /* the rest has nothing to tell; 0x40000080 … 82 are the parent's to fill
		    (cpuid_override.c) */
		break;
	}
}
