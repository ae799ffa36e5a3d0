/*
 * Calls on partitions and on the system as a whole (TLFS: HvCallCreatePartition …
 * HvCallGetPartitionId, HvCallGetSystemProperty, HvExtCallQueryCapabilities).
 */
#include "tlfs/clock.h"
#include "tlfs/hypercall.h"
#include "tlfs/partition.h"

hv_status_t hc_create_partition(struct hypercall *call)
{
	struct hv_output_create_partition *output = call->output;

	return partition_create(call->vp->partition, call->input, &output->partition_id);
}

hv_status_t hc_initialize_partition(struct hypercall *call)
{
	const struct hv_input_initialize_partition *input = call->input;
	struct partition *p = partition_get_child(call->vp, input->partition_id);
	hv_status_t status;

	if (p == NULL) {
		return HV_STATUS_INVALID_PARTITION_ID;
	}
	status = partition_initialize(p);
	partition_put(p);
	return status;
}

hv_status_t hc_finalize_partition(struct hypercall *call)
{
	const struct hv_input_finalize_partition *input = call->input;
	struct partition *p = partition_get_child(call->vp, input->partition_id);
	hv_status_t status;

	if (p == NULL) {
		return HV_STATUS_INVALID_PARTITION_ID;
	}
	status = partition_finalize(p, &call->again);
	partition_put(p);
	return status;
}

hv_status_t hc_delete_partition(struct hypercall *call)
{
	const struct hv_input_delete_partition *input = call->input;
	struct partition *p = partition_get_child(call->vp, input->partition_id);

	return p != NULL ? partition_delete(p, &call->again) : HV_STATUS_INVALID_PARTITION_ID;
}

hv_status_t hc_get_partition_property(struct hypercall *call)
{
	const struct hv_input_get_partition_property *input = call->input;
	struct hv_output_get_partition_property *output = call->output;
	struct partition *p = partition_get(call->vp, input->partition_id);
	hv_status_t status;

	if (p == NULL) {
		return HV_STATUS_INVALID_PARTITION_ID;
	}
	spin_lock(&p->lock);
	status = property_get(p, input->property_code, &output->property_value);
	spin_unlock(&p->lock);
	partition_put(p);
	return status;
}

hv_status_t hc_set_partition_property(struct hypercall *call)
{
	const struct hv_input_set_partition_property *input = call->input;
	struct partition *p = partition_get_child(call->vp, input->partition_id);
	hv_status_t status;

	if (p == NULL) {
		return HV_STATUS_INVALID_PARTITION_ID;
	}
	spin_lock(&p->lock);
	status = property_set(p, input->property_code, input->property_value);
	spin_unlock(&p->lock);
	partition_put(p);
	return status;
}

/* Properties in banks: a count, then the words. The ordinary ones are read by this call, too. */
hv_status_t hc_get_partition_property_ex(struct hypercall *call)
{
	static const struct hv_partition_property_vmm_capabilities capabilities = {
		.bank_count = HV_PARTITION_VMM_CAPABILITIES_BANK_COUNT,
		.vmm_can_provide_overlay_gpfn = 1,
		.assignable_synthetic_proc_features = 1,
		.vmm_enable_integrated_scheduler = 1,
	};
	const struct hv_input_get_partition_property_ex *input = call->input;
	struct hv_partition_property_vmm_capabilities *banks = call->output;
	struct partition *p = partition_get(call->vp, input->partition_id);
	hv_status_t status = HV_STATUS_SUCCESS;

	if (p == NULL) {
		return HV_STATUS_INVALID_PARTITION_ID;
	}
	if (input->arg) {
		status = HV_STATUS_INVALID_PARAMETER;
	} else if (input->property_code == HV_PARTITION_PROPERTY_VMM_CAPABILITIES) {
		*banks = capabilities;
	} else if (input->property_code ==
		   HV_PARTITION_PROPERTY_ASSIGNABLE_SYNTHETIC_PROC_FEATURES) {
		banks->bank_count = HV_PARTITION_SYNTHETIC_PROCESSOR_FEATURES_BANKS;
		banks->as_uint64[0] = property_synthetic_features();
	} else {
		spin_lock(&p->lock);
		status = property_get(p, input->property_code, call->output);
		spin_unlock(&p->lock);
	}
	partition_put(p);
	return status;
}

/* No property that can be set is larger than a word. */
hv_status_t hc_set_partition_property_ex(struct hypercall *call)
{
	const struct hv_input_set_partition_property_ex *input = call->input;
	uint64_t value;
	struct partition *p;
	hv_status_t status;

	if (input->padding || input->arg || call->variable_size != sizeof(value)) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	memcpy(&value, input + 1, sizeof(value));
	p = partition_get_child(call->vp, input->partition_id);
	if (p == NULL) {
		return HV_STATUS_INVALID_PARTITION_ID;
	}
	spin_lock(&p->lock);
	status = property_set(p, input->property_code, value);
	spin_unlock(&p->lock);
	partition_put(p);
	return status;
}

hv_status_t hc_get_partition_id(struct hypercall *call)
{
	struct hv_output_get_partition_id *output = call->output;

	output->partition_id = call->vp->partition->id;
	return HV_STATUS_SUCCESS;
}

hv_status_t hc_get_next_child_partition(struct hypercall *call)
{
	const struct hv_input_get_next_child_partition *input = call->input;
	struct hv_output_get_next_child_partition *output = call->output;
	struct partition *parent = partition_get(call->vp, input->parent_partition_id);

	if (parent == NULL) {
		return HV_STATUS_INVALID_PARTITION_ID;
	}
	output->next_child_partition_id =
		partition_next_child(parent, input->previous_child_partition_id);
	partition_put(parent);
	return HV_STATUS_SUCCESS;
}

hv_status_t hc_get_system_property(struct hypercall *call)
{
	const struct hv_input_get_system_property *input = call->input;
	struct hv_output_get_system_property *output = call->output;

	if (input->property_id != HV_SYSTEM_PROPERTY_SCHEDULER_TYPE) {
		return HV_STATUS_UNKNOWN_PROPERTY;
	}
	output->scheduler_type = HV_SCHEDULER_TYPE_ROOT;
	return HV_STATUS_SUCCESS;
}

/* Times in 100 ns, of the LP with the root VP of that index. */
hv_status_t hc_get_lp_run_time(struct hypercall *call)
{
	const struct hv_input_get_logical_processor_run_time *input = call->input;
	struct hv_output_get_logical_processor_run_time *output = call->output;
	struct vp *root = partition_vp(partition_root, input->lp_index);
	uint64_t busy;

	if (root == NULL) {
		return HV_STATUS_INVALID_LP_INDEX;
	}
	output->global_time = refclock_now(partition_root);
	busy = __atomic_load_n(&root->runtime_tsc, __ATOMIC_RELAXED) +
	       __atomic_load_n(&root->children_tsc, __ATOMIC_RELAXED);
	output->local_run_time = clock_muldiv(busy, HV_REF_HZ, plat_info.tsc_hz);
	output->hypervisor_time = output->global_time > output->local_run_time
					  ? output->global_time - output->local_run_time
					  : 0;
	return HV_STATUS_SUCCESS;
}

/* No extended call is the hypervisor's: the parent may have some. */
hv_status_t hc_query_capabilities(struct hypercall *call)
{
	call->intercept = call->vp->partition->intercept_hypercall;
	return HV_STATUS_SUCCESS;
}
