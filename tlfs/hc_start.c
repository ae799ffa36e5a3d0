/*
 * HvCallStartVirtualProcessor, which gives a VP that waits for a SIPI all its registers at once,
 * and HvCallGetVpIndexFromApicId, with which a guest finds that VP.
 */
#include "tlfs/hypercall.h"
#include "tlfs/partition.h"

static hv_status_t set_word(struct vp *vp, uint32_t name, uint64_t word)
{
	union hv_register_value value = {.reg64 = word};

	return plat_register_set(vp, name, &value);
}

static hv_status_t set_segments(struct vp *vp, const struct hv_init_vp_context *context)
{
	const struct hv_x64_segment_register *const segments[] = {
		[HV_X64_REGISTER_ES - HV_X64_REGISTER_ES] = &context->es,
		[HV_X64_REGISTER_CS - HV_X64_REGISTER_ES] = &context->cs,
		[HV_X64_REGISTER_SS - HV_X64_REGISTER_ES] = &context->ss,
		[HV_X64_REGISTER_DS - HV_X64_REGISTER_ES] = &context->ds,
		[HV_X64_REGISTER_FS - HV_X64_REGISTER_ES] = &context->fs,
		[HV_X64_REGISTER_GS - HV_X64_REGISTER_ES] = &context->gs,
		[HV_X64_REGISTER_LDTR - HV_X64_REGISTER_ES] = &context->ldtr,
		[HV_X64_REGISTER_TR - HV_X64_REGISTER_ES] = &context->tr,
	};
	union hv_register_value value = {0};
	hv_status_t status = HV_STATUS_SUCCESS;

	for (uint32_t i = 0; i < ARRAY_COUNT(segments) && status == HV_STATUS_SUCCESS; i++) {
		value.segment = *segments[i];
		status = plat_register_set(vp, HV_X64_REGISTER_ES + i, &value);
	}
	value.table = context->idtr;
	if (status == HV_STATUS_SUCCESS) {
		status = plat_register_set(vp, HV_X64_REGISTER_IDTR, &value);
	}
	value.table = context->gdtr;
	if (status == HV_STATUS_SUCCESS) {
		status = plat_register_set(vp, HV_X64_REGISTER_GDTR, &value);
	}
	return status;
}

/* EFER before CR0 and CR4, which are checked against it. */
static hv_status_t set_context(struct vp *vp, const struct hv_init_vp_context *context)
{
	const struct {
		uint32_t name;
		uint64_t value;
	} words[] = {
		{HV_X64_REGISTER_RIP, context->rip},
		{HV_X64_REGISTER_RSP, context->rsp},
		{HV_X64_REGISTER_RFLAGS, context->rflags},
		{HV_X64_REGISTER_EFER, context->efer},
		{HV_X64_REGISTER_CR4, context->cr4},
		{HV_X64_REGISTER_CR3, context->cr3},
		{HV_X64_REGISTER_CR0, context->cr0},
		{HV_X64_REGISTER_PAT, context->msr_cr_pat},
	};
	hv_status_t status = set_segments(vp, context);

	for (uint32_t i = 0; i < ARRAY_COUNT(words) && status == HV_STATUS_SUCCESS; i++) {
		status = set_word(vp, words[i].name, words[i].value);
	}
	return status;
}

static hv_status_t start(struct vp *vp, const struct hv_init_vp_context *context)
{
	hv_status_t status;

	if (vp->activity != VP_WAIT_SIPI) {
		return HV_STATUS_INVALID_VP_STATE;
	}
	status = set_context(vp, context);
	if (status != HV_STATUS_SUCCESS) {
		plat_vp_reset(vp);
		return status;
	}
	vp->activity = VP_ACTIVE;
	if (vp_runnable(vp)) {
		notify_runnable(vp);
	}
	return HV_STATUS_SUCCESS;
}

/*
 * Another VP of one's own partition. The caller owns itself already, and two VPs that start each
 * other would wait for ever: so the other's lock is only tried, and the instruction executed again
 * when it is not to be had.
 */
static hv_status_t start_sibling(struct hypercall *call, const struct hv_enable_vp_vtl *input)
{
	struct vp *vp = partition_vp(call->vp->partition, input->vp_index);
	hv_status_t status;

	if (vp == NULL) {
		return HV_STATUS_INVALID_VP_INDEX;
	}
	if (vp == call->vp || vp->partition->parent == NULL) {
		return HV_STATUS_INVALID_VP_STATE;
	}
	if (!spin_try(&vp->lock)) {
		vp_post_event(vp, VP_EVENT_RELOAD);
		call->again = true;
		return HV_STATUS_SUCCESS;
	}
	status = start(vp, &input->vp_context);
	spin_unlock(&vp->lock);
	return status;
}

hv_status_t hc_start_vp(struct hypercall *call)
{
	const struct hv_enable_vp_vtl *input = call->input;
	struct hc_vp target;
	hv_status_t status;

	if (!hc_vtl_valid(input->target_vtl) || input->mbz0 || input->mbz1) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	if (input->partition_id == HV_PARTITION_ID_SELF ||
	    input->partition_id == call->vp->partition->id) {
		return start_sibling(call, input);
	}
	status = hc_vp_acquire(call->vp, input->partition_id, input->vp_index, &target);
	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	status = start(target.vp, &input->vp_context);
	hc_vp_release(&target);
	return status;
}

/* The index of the VP with each of these APIC IDs. */
hv_status_t hc_get_vp_index_from_apic_id(struct hypercall *call)
{
	const struct hv_get_vp_from_apic_id_in *input = call->input;
	struct partition *p;
	hv_status_t status = HV_STATUS_SUCCESS;

	if (!hc_vtl_valid(input->target_vtl)) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	p = partition_get(call->vp, input->partition_id);
	if (p == NULL) {
		return HV_STATUS_INVALID_PARTITION_ID;
	}
	spin_lock(&p->lock);
	for (; call->done < call->end && status == HV_STATUS_SUCCESS; call->done++) {
		uint32_t id = *hypercall_element(call, uint32_t), index = 0;

		while (index < HV_MAX_VPS &&
		       (p->vps[index] == NULL || p->vps[index]->apic_id != id)) {
			index++;
		}
		if (index == HV_MAX_VPS) {
			break;
		}
		*hypercall_output_element(call, uint32_t) = index;
	}
	if (call->done < call->end) {
		status = HV_STATUS_INVALID_PARAMETER;
	}
	spin_unlock(&p->lock);
	partition_put(p);
	return status;
}
