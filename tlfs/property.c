/*
 * Partition properties (TLFS: HV_PARTITION_PROPERTY_CODE), and the privileges that follow from the
 * synthetic features.
 *
 * One row a property says how it is read and whether, and until when, it may be written. A feature
 * that the hypervisor does not have is taken away silently: who sets a mask reads back what it got.
 */
#include "tlfs/cpuid.h"
#include "tlfs/partition.h"

/*
 * A bit of the synthetic features, and the privileges that it stands for. AccessPartitionId is in
 * none: Linux 6.1 and 6.12 ask for their id when they have it, and only a true root has set up the
 * page for the answer by then.
 */
static const struct {
	uint8_t bit;
	uint64_t privileges;
} feature_privileges[] = {
	{2, HV_MSR_VP_RUNTIME_AVAILABLE},
	{3, HV_MSR_TIME_REF_COUNT_AVAILABLE},
	{4, HV_MSR_SYNIC_AVAILABLE | (uint64_t)(HV_POST_MESSAGES | HV_SIGNAL_EVENTS) << 32},
	{5, HV_MSR_SYNTIMER_AVAILABLE},
	{6, HV_MSR_APIC_ACCESS_AVAILABLE},
	{7, HV_MSR_HYPERCALL_AVAILABLE | (uint64_t)HV_ENABLE_EXTENDED_HYPERCALLS << 32},
	{8, HV_MSR_VP_INDEX_AVAILABLE},
	{9, HV_MSR_REFERENCE_TSC_AVAILABLE},
	{10, HV_MSR_GUEST_IDLE_AVAILABLE},
	{11, HV_ACCESS_FREQUENCY_MSRS},
	{18, (uint64_t)HV_FAST_HYPERCALL_OUTPUT << 32},
	{20, (uint64_t)HV_START_VIRTUAL_PROCESSOR << 32},
	{38, (uint64_t)HV_ACCESS_VP_REGISTERS << 32},
};

uint64_t property_privileges(uint64_t synthetic_features)
{
	uint64_t privileges = 0;

	for (uint32_t i = 0; i < ARRAY_COUNT(feature_privileges); i++) {
		if (synthetic_features >> feature_privileges[i].bit & 1) {
			privileges |= feature_privileges[i].privileges;
		}
	}
	if (plat_info.tsc_invariant && privileges & HV_ACCESS_FREQUENCY_MSRS) {
		privileges |= HV_ACCESS_TSC_INVARIANT;
	}
	return privileges;
}

uint64_t property_synthetic_features(void)
{
	static const union hv_partition_synthetic_processor_features all = {
		.hypervisor_present = 1,
		.hv1 = 1,
		.access_vp_run_time_reg = 1,
		.access_partition_reference_counter = 1,
		.access_synic_regs = 1,
		.access_synthetic_timer_regs = 1,
		.access_intr_ctrl_regs = 1,
		.access_hypercall_regs = 1,
		.access_vp_index = 1,
		.access_partition_reference_tsc = 1,
		.access_guest_idle_reg = 1,
		.access_frequency_regs = 1,
		.enable_extended_gva_ranges_for_flush_virtual_address_list = 1,
		.fast_hypercall_output = 1,
		.start_virtual_processor = 1,
		.direct_synthetic_timers = 1,
		.extended_processor_masks = 1,
		.tb_flush_hypercalls = 1,
		.synthetic_cluster_ipi = 1,
		.notify_long_spin_wait = 1,
		.signal_events = 1,
		.retarget_device_interrupt = 1,
		.restore_time = 1,
		.access_vp_regs = 1,
	};

	return all.as_uint64[0];
}

static enum hv_processor_vendor processor_vendor(void)
{
	uint32_t regs[4]; /* EAX EBX ECX EDX */

	plat_cpuid(0, 0, regs);
	switch (regs[1]) {
	case 0x756e6547: /* "GenuineIntel" */
		return HV_PROCESSOR_VENDOR_INTEL;
	case 0x6f677948: /* "HygonGenuine" */
		return HV_PROCESSOR_VENDOR_HYGON;
	default:
		return HV_PROCESSOR_VENDOR_AMD;
	}
}

/* Those of the machine, the same for every partition. */
static hv_status_t get_fact(uint32_t code, uint64_t *value)
{
	switch (code) {
	case HV_PARTITION_PROPERTY_INTEGRATED_SCHEDULER_ENABLED:
	case HV_PARTITION_PROPERTY_GPA_PAGE_ACCESS_TRACKING: /* always on */
		*value = 1;
		break;
	case HV_PARTITION_PROPERTY_ISOLATION_STATE:
	case HV_PARTITION_PROPERTY_NON_ARCHITECTURAL_CORE_SHARING:
	case HV_PARTITION_PROPERTY_PROCESSOR_VIRTUALIZATION_FEATURES:
		*value = 0;
		break;
	case HV_PARTITION_PROPERTY_APIC_FREQUENCY:
		*value = HV_APIC_BUS_HZ;
		break;
	case HV_PARTITION_PROPERTY_PROCESSOR_VENDOR:
		*value = processor_vendor();
		break;
	case HV_PARTITION_PROPERTY_COMPATIBILITY_VERSION:
		*value = HV_COMPATIBILITY_21_H2;
		break;
	case HV_PARTITION_PROPERTY_IMPLEMENTED_PHYSICAL_ADDRESS_BITS:
	case HV_PARTITION_PROPERTY_PHYSICAL_ADDRESS_WIDTH:
		*value = plat_info.physical_address_bits;
		break;
	case HV_PARTITION_PROPERTY_MAX_XSAVE_DATA_SIZE:
		*value = plat_info.xsave_size_max;
		break;
	case HV_PARTITION_PROPERTY_PROCESSOR_CLOCK_FREQUENCY:
		*value = plat_info.tsc_hz;
		break;
	default:
		return HV_STATUS_UNKNOWN_PROPERTY;
	}
	return HV_STATUS_SUCCESS;
}

hv_status_t property_get(struct partition *p, uint32_t code, uint64_t *value)
{
	switch (code) {
	case HV_PARTITION_PROPERTY_PRIVILEGE_FLAGS:
		*value = p->privileges;
		break;
	case HV_PARTITION_PROPERTY_SYNTHETIC_PROC_FEATURES:
		*value = p->synthetic_features;
		break;
	case HV_PARTITION_PROPERTY_TIME_FREEZE:
		*value = p->frozen_100ns != HV_NEVER;
		break;
	case HV_PARTITION_PROPERTY_REFERENCE_TIME:
		if (p->state != PARTITION_INITIALIZED) {
			return HV_STATUS_INVALID_PARTITION_STATE;
		}
		*value = refclock_now(p);
		break;
	case HV_PARTITION_PROPERTY_PROCESSORS_PER_SOCKET:
		*value = p->processors_per_socket;
		break;
	case HV_PARTITION_PROPERTY_UNIMPLEMENTED_MSR_ACTION:
		*value = p->unimplemented_msr_action;
		break;
	case HV_PARTITION_PROPERTY_REFERENCE_TSC_PAGE_ACTIVE:
		*value = p->reference_tsc & 1;
		break;
	case HV_PARTITION_PROPERTY_PROCESSOR_XSAVE_FEATURES:
		*value = p->xsave_features;
		break;
	case HV_PARTITION_PROPERTY_XSAVE_STATES:
		*value = cpuid_xsave_offered(p);
		break;
	case HV_PARTITION_PROPERTY_PROCESSOR_FEATURES0:
	case HV_PARTITION_PROPERTY_PROCESSOR_FEATURES1:
		*value = p->processor_features[code - HV_PARTITION_PROPERTY_PROCESSOR_FEATURES0];
		break;
	case HV_PARTITION_PROPERTY_GUEST_OS_ID:
		*value = p->guest_os_id;
		break;
	default:
		return get_fact(code, value);
	}
	return HV_STATUS_SUCCESS;
}

/* Early properties: until the partition is initialized. */
static hv_status_t set_early(struct partition *p, uint32_t code, uint64_t value)
{
	uint64_t features = value & property_synthetic_features();

	if (p->state != PARTITION_CREATED) {
		return HV_STATUS_INVALID_PARTITION_STATE;
	}
	if (code == HV_PARTITION_PROPERTY_SYNTHETIC_PROC_FEATURES) {
		p->synthetic_features = features;
		p->privileges = property_privileges(features);
		return HV_STATUS_SUCCESS;
	}
	if (value & ~property_privileges(property_synthetic_features())) {
		return HV_STATUS_PROPERTY_VALUE_OUT_OF_RANGE;
	}
	p->privileges = value;
	return HV_STATUS_SUCCESS;
}

static hv_status_t set_time(struct partition *p, uint32_t code, uint64_t value)
{
	if (p->state != PARTITION_INITIALIZED) {
		return HV_STATUS_INVALID_PARTITION_STATE;
	}
	if (code == HV_PARTITION_PROPERTY_REFERENCE_TIME) {
		if (value > INT64_MAX) {
			return HV_STATUS_PROPERTY_VALUE_OUT_OF_RANGE;
		}
		refclock_set(p, value);
	} else {
		if (value > 1) {
			return HV_STATUS_PROPERTY_VALUE_OUT_OF_RANGE;
		}
		refclock_freeze(p, value);
	}
	return HV_STATUS_SUCCESS;
}

hv_status_t property_set(struct partition *p, uint32_t code, uint64_t value)
{
	uint64_t now;

	switch (code) {
	case HV_PARTITION_PROPERTY_PRIVILEGE_FLAGS:
	case HV_PARTITION_PROPERTY_SYNTHETIC_PROC_FEATURES:
		return set_early(p, code, value);
	case HV_PARTITION_PROPERTY_TIME_FREEZE:
	case HV_PARTITION_PROPERTY_REFERENCE_TIME:
		return set_time(p, code, value);
	case HV_PARTITION_PROPERTY_PROCESSORS_PER_SOCKET:
		if (!value || value > HV_MAX_VPS) {
			return HV_STATUS_PROPERTY_VALUE_OUT_OF_RANGE;
		}
		p->processors_per_socket = value;
		return HV_STATUS_SUCCESS;
	case HV_PARTITION_PROPERTY_UNIMPLEMENTED_MSR_ACTION:
		if (value > HV_UNIMPLEMENTED_MSR_ACTION_IGNORE_WRITE_READ_ZERO) {
			return HV_STATUS_PROPERTY_VALUE_OUT_OF_RANGE;
		}
		p->unimplemented_msr_action = value;
		return HV_STATUS_SUCCESS;
	case HV_PARTITION_PROPERTY_GPA_PAGE_ACCESS_TRACKING:
		return value > 1 ? HV_STATUS_PROPERTY_VALUE_OUT_OF_RANGE : HV_STATUS_SUCCESS;
	default: /* those that can be read are facts */
		return property_get(p, code, &now) == HV_STATUS_UNKNOWN_PROPERTY
			       ? HV_STATUS_UNKNOWN_PROPERTY
			       : HV_STATUS_OPERATION_DENIED;
	}
}
