/*
 * Intercepts that a parent installs on its child, and standing answers to them (TLFS:
 * HvCallInstallIntercept, HvCallRegisterInterceptResult, HvCallUnregisterInterceptResult,
 * HvCallGetVpCpuidValues).
 *
 * All intercepts are for the partition as a whole. One with an access mask of 0 is taken out again.
 */
#include "tlfs/hypercall.h"
#include "tlfs/partition.h"

#define ACCESS_READ_WRITE (HV_INTERCEPT_ACCESS_MASK_READ | HV_INTERCEPT_ACCESS_MASK_WRITE)

/* The flag of a type that has no parameter, and the accesses that it may be for. */
static bool *flag_of(struct partition *p, uint32_t type, uint32_t *allowed)
{
	*allowed = HV_INTERCEPT_ACCESS_MASK_EXECUTE;
	switch (type) {
	case HV_INTERCEPT_TYPE_X64_IO_PORT: /* one port or some: all go to the parent then, none has
					       another home */
	case HV_INTERCEPT_TYPE_X64_IO_PORT_RANGE:
		*allowed = ACCESS_READ_WRITE;
		return &p->intercept_io;
	case HV_INTERCEPT_TYPE_X64_MSR:
		*allowed = ACCESS_READ_WRITE;
		return &p->intercept_msr;
	case HV_INTERCEPT_TYPE_X64_CPUID:
		return &p->intercept_cpuid;
	case HV_INTERCEPT_TYPE_HYPERCALL:
		return &p->intercept_hypercall;
	case HV_INTERCEPT_TYPE_UNKNOWN_SYNIC_CONNECTION:
		return &p->intercept_unknown_connection;
	case HV_INTERCEPT_TYPE_RETARGET_INTERRUPT_WITH_UNKNOWN_DEVICE_ID:
		return &p->intercept_retarget;
	case HV_INTERCEPT_TYPE_X64_APIC_EOI:
		*allowed = HV_INTERCEPT_ACCESS_MASK_WRITE | HV_INTERCEPT_ACCESS_MASK_EXECUTE;
		return &p->intercept_apic_eoi;
	case HV_INTERCEPT_TYPE_X64_MSR_INDEX: /* install() has looked which */
		*allowed = HV_INTERCEPT_ACCESS_MASK_WRITE;
		return &p->intercept_crash;
	default:
		return NULL;
	}
}

static hv_status_t install_exception(struct partition *p, uint32_t access, uint32_t vector)
{
	/* NMI has no exception, and a machine check is the machine's. */
	if (access & ~HV_INTERCEPT_ACCESS_MASK_EXECUTE || vector > 31 || vector == 2 ||
	    vector == 18) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	if (access) {
		__atomic_fetch_or(&p->intercept_exceptions, 1u << vector, __ATOMIC_RELAXED);
	} else {
		__atomic_fetch_and(&p->intercept_exceptions, ~(1u << vector), __ATOMIC_RELAXED);
	}
	return HV_STATUS_SUCCESS;
}

static hv_status_t install(struct partition *p, const struct hv_input_install_intercept *input)
{
	uint32_t allowed;
	bool *flag;

	if (input->intercept_type == HV_INTERCEPT_TYPE_EXCEPTION) {
		return install_exception(p, input->access_type,
					 input->intercept_parameter.exception_vector);
	}
	/*
	 * Of the registers that the core answers itself, one tells something: that the guest has
	 * crashed.
	 */
	if (input->intercept_type == HV_INTERCEPT_TYPE_X64_MSR_INDEX &&
	    input->intercept_parameter.msr_index != HV_X64_MSR_CRASH_CTL) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	flag = flag_of(p, input->intercept_type, &allowed);
	if (flag == NULL || input->access_type & ~allowed) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	__atomic_store_n(flag, input->access_type != 0, __ATOMIC_SEQ_CST);
	return HV_STATUS_SUCCESS;
}

hv_status_t hc_install_intercept(struct hypercall *call)
{
	const struct hv_input_install_intercept *input = call->input;
	struct partition *p = partition_get_child(call->vp, input->partition_id);
	hv_status_t status = HV_STATUS_INVALID_PARTITION_STATE;

	if (p == NULL) {
		return HV_STATUS_INVALID_PARTITION_ID;
	}
	spin_lock(&p->lock);
	if (p->state == PARTITION_CREATED || p->state == PARTITION_INITIALIZED) {
		status = install(p, input);
	}
	spin_unlock(&p->lock);
	partition_put(p);
	return status;
}

/*
 * The child whose answers are to be changed, with its lock. Of intercepts, these two can have a
 * standing answer.
 */
static hv_status_t lock_for_result(struct hypercall *call, uint64_t id, uint32_t index,
				   uint32_t type, struct partition **out)
{
	hv_status_t status = HV_STATUS_SUCCESS;
	struct partition *p;

	if (type != HV_INTERCEPT_TYPE_X64_CPUID && type != HV_INTERCEPT_TYPE_X64_MSR) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	p = partition_get_child(call->vp, id);
	if (p == NULL) {
		return HV_STATUS_INVALID_PARTITION_ID;
	}
	spin_lock(&p->lock);
	if (p->state != PARTITION_INITIALIZED) {
		status = HV_STATUS_INVALID_PARTITION_STATE;
	} else if (index != HV_ANY_VP && partition_vp(p, index) == NULL) {
		status = HV_STATUS_INVALID_VP_INDEX;
	}
	*out = p;
	if (status == HV_STATUS_SUCCESS) {
		return status;
	}
	spin_unlock(&p->lock);
	partition_put(p);
	return status;
}

hv_status_t hc_register_intercept_result(struct hypercall *call)
{
	const struct hv_input_register_intercept_result *input = call->input;
	const struct hv_register_x64_cpuid_result_parameters cpuid = input->parameters.cpuid;
	const struct hv_register_x64_msr_result_parameters msr = input->parameters.msr;
	struct partition *p;
	hv_status_t status = lock_for_result(call, input->partition_id, input->vp_index,
					     input->intercept_type, &p);

	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	status = input->intercept_type == HV_INTERCEPT_TYPE_X64_MSR
			 ? msr_result_add(p, input->vp_index, &msr)
			 : cpuid_override_add(p, input->vp_index, &cpuid);
	spin_unlock(&p->lock);
	partition_put(p);
	return status;
}

hv_status_t hc_unregister_intercept_result(struct hypercall *call)
{
	const struct hv_input_unregister_intercept_result *input = call->input;
	const struct hv_unregister_x64_cpuid_result_parameters cpuid = input->parameters.cpuid;
	const struct hv_unregister_x64_msr_result_parameters msr = input->parameters.msr;
	struct partition *p;
	hv_status_t status = lock_for_result(call, input->partition_id, input->vp_index,
					     input->intercept_type, &p);

	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	status = input->intercept_type == HV_INTERCEPT_TYPE_X64_MSR
			 ? msr_result_remove(p, input->vp_index, &msr)
			 : cpuid_override_remove(p, input->vp_index, &cpuid);
	spin_unlock(&p->lock);
	partition_put(p);
	return status;
}

hv_status_t hc_get_vp_cpuid_values(struct hypercall *call)
{
	const struct hv_input_get_vp_cpuid_values *input = call->input;
	struct hc_vp target;
	hv_status_t status;

	if (input->flags.reserved || input->reserved) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	status = hc_vp_acquire(call->vp, input->partition_id, input->vp_index, &target);
	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	for (; call->done < call->end; call->done++) {
		const struct hv_cpuid_leaf_info *leaf =
			hypercall_element(call, struct hv_cpuid_leaf_info);
		union hv_output_get_vp_cpuid_values *result =
			hypercall_output_element(call, union hv_output_get_vp_cpuid_values);

		cpuid_read(target.vp, leaf->eax, leaf->ecx, result->as_uint32);
	}
	hc_vp_release(&target);
	return HV_STATUS_SUCCESS;
}
