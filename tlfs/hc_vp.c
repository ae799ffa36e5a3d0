/*
 * Calls on virtual processors (TLFS: HvCallCreateVp, HvCallGetVpRegisters …; root scheduler:
 * HvCallDispatchVp).
 *
 * The lock of a child VP is held by whoever works on it. A call that finds it taken draws its
 * ticket first and then asks the holder to let go (VP_EVENT_RELOAD); DispatchVp drops that request
 * and looks for waiters in the opposite order. So either it sees the waiter, or the waiter's
 * request is still there when the VP is about to be entered.
 */
#include "tlfs/clock.h"
#include "tlfs/hypercall.h"
#include "tlfs/partition.h"
#include "tlfs/registers.h"

#define DISPATCH_FLAGS 0x7fu /* HV_DISPATCH_VP_FLAG_* */
#define MSR_SPEC_CTRL  0x48u
#define TIME_SLICE_MAX (1ull << 40) /* 100 ns: longer than that is no limit */

static void lock_vp(struct vp *vp)
{
	uint16_t ticket;

	if (spin_ticket(&vp->lock, &ticket)) {
		return;
	}
	vp_post_event(vp, VP_EVENT_RELOAD);
	spin_wait(&vp->lock, ticket);
}

static hv_status_t acquire_own(struct vp *caller, uint32_t index, struct hc_vp *out)
{
	if (index != HV_VP_INDEX_SELF && index != caller->index) {
		return partition_vp(caller->partition, index) != NULL ? HV_STATUS_INVALID_VP_STATE
								      : HV_STATUS_INVALID_VP_INDEX;
	}
	__atomic_fetch_add(&caller->partition->references, 1, __ATOMIC_ACQUIRE);
	*out = (struct hc_vp){caller->partition, caller, false};
	return HV_STATUS_SUCCESS;
}

hv_status_t hc_vp_acquire(struct vp *caller, uint64_t partition, uint32_t index, struct hc_vp *out)
{
	hv_status_t status = HV_STATUS_INVALID_VP_INDEX;
	struct partition *p;
	struct vp *vp;

	if (partition == HV_PARTITION_ID_SELF || partition == caller->partition->id) {
		return acquire_own(caller, index, out);
	}
	p = partition_get_child(caller, partition);
	if (p == NULL) {
		return HV_STATUS_INVALID_PARTITION_ID;
	}
	if (p->state != PARTITION_INITIALIZED) {
		status = HV_STATUS_INVALID_PARTITION_STATE;
	} else if ((vp = partition_vp(p, index)) != NULL) {
		lock_vp(vp);
		*out = (struct hc_vp){p, vp, true};
		return HV_STATUS_SUCCESS;
	}
	partition_put(p);
	return status;
}

void hc_vp_release(struct hc_vp *held)
{
	if (held->locked) {
		spin_unlock(&held->vp->lock);
	}
	partition_put(held->partition);
}

hv_status_t hc_child_vp(struct vp *caller, uint64_t partition, uint32_t index, struct partition **p,
			struct vp **vp)
{
	hv_status_t status = HV_STATUS_INVALID_PARTITION_STATE;

	*p = partition_get_child(caller, partition);
	if (*p == NULL) {
		return HV_STATUS_INVALID_PARTITION_ID;
	}
	if ((*p)->state == PARTITION_INITIALIZED) {
		*vp = partition_vp(*p, index);
		if (*vp != NULL) {
			return HV_STATUS_SUCCESS;
		}
		status = HV_STATUS_INVALID_VP_INDEX;
	}
	partition_put(*p);
	return status;
}

hv_status_t hc_create_vp(struct hypercall *call)
{
	const struct hv_create_vp *input = call->input;
	struct partition *p;
	hv_status_t status;

	if (input->padding[0] | input->padding[1] | input->padding[2] || input->flags ||
	    input->subnode_type >= HV_SUBNODE_COUNT) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	p = partition_get_child(call->vp, input->partition_id);
	if (p == NULL) {
		return HV_STATUS_INVALID_PARTITION_ID;
	}
	spin_lock(&p->lock);
	if (p->state != PARTITION_INITIALIZED) {
		status = HV_STATUS_INVALID_PARTITION_STATE;
	} else if (input->vp_index >= HV_MAX_VPS) {
		status = HV_STATUS_INVALID_VP_INDEX;
	} else if (p->vps[input->vp_index] != NULL) {
		status = HV_STATUS_INVALID_VP_INDEX;
	} else {
		status = vp_create(p, input->vp_index, input->vp_index);
	}
	spin_unlock(&p->lock);
	partition_put(p);
	return status;
}

/* Others may be about to use the VP: it goes when nobody else has a reference to the partition. */
hv_status_t hc_delete_vp(struct hypercall *call)
{
	const union hv_input_delete_vp *input = call->input;
	struct partition *p = partition_get_child(call->vp, input->partition_id);
	hv_status_t status;

	if (p == NULL) {
		return HV_STATUS_INVALID_PARTITION_ID;
	}
	status = partition_delete_vp(p, input->vp_index, &call->again);
	partition_put(p);
	return status;
}

bool hc_vtl_valid(union hv_input_vtl vtl)
{
	return !vtl.reserved_z && (!vtl.use_target_vtl || vtl.target_vtl == HV_NORMAL_VTL);
}

hv_status_t hc_get_vp_registers(struct hypercall *call)
{
	const struct hv_input_get_vp_registers *input = call->input;
	hv_status_t status = HV_STATUS_SUCCESS;
	struct hc_vp target;

	if (!hc_vtl_valid(input->input_vtl) || input->rsvd_z8 || input->rsvd_z16) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	status = hc_vp_acquire(call->vp, input->partition_id, input->vp_index, &target);
	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	for (; call->done < call->end; call->done++) {
		union hv_register_value *value =
			hypercall_output_element(call, union hv_register_value);

		const uint32_t name = *hypercall_element(call, uint32_t);

		memset(value, 0, sizeof(*value));
		if (target.locked && name == HV_REGISTER_INTERNAL_ACTIVITY_STATE) {
			vp_take_startup(target.vp);
		}
		status = register_get(target.vp, name, value);
		if (status != HV_STATUS_SUCCESS) {
			break;
		}
	}
	hc_vp_release(&target);
	return status;
}

hv_status_t hc_set_vp_registers(struct hypercall *call)
{
	const struct hv_input_set_vp_registers *input = call->input;
	hv_status_t status = HV_STATUS_SUCCESS;
	struct hc_vp target;

	if (!hc_vtl_valid(input->input_vtl) || input->rsvd_z8 || input->rsvd_z16) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	status = hc_vp_acquire(call->vp, input->partition_id, input->vp_index, &target);
	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	for (; call->done < call->end; call->done++) {
		const struct hv_register_assoc *assoc =
			hypercall_element(call, struct hv_register_assoc);

		status = assoc->reserved1 || assoc->reserved2
				 ? HV_STATUS_INVALID_PARAMETER
				 : register_set(target.vp, assoc->name, &assoc->value,
						target.locked);
		if (status != HV_STATUS_SUCCESS) {
			break;
		}
	}
	/* What was written may be all that it waited for; what came while it was suspended has been
	 * told to nobody. */
	if (target.locked) {
		if (vp_runnable(target.vp)) {
			notify_runnable(target.vp);
		}
		vp_signal_scheduler(target.vp);
	}
	hc_vp_release(&target);
	return status;
}

/* Vectors that the root left in the register page, without a call of its own for each. */
static void scan_injection(struct vp *vp)
{
	struct hv_vp_register_page *page = vp->register_page;
	union hv_vp_register_page_interrupt_vectors vectors;

	vectors.as_uint64 =
		__atomic_exchange_n(&page->interrupt_vectors.as_uint64, 0, __ATOMIC_ACQ_REL);
	for (uint32_t i = 0; i < vectors.vector_count && i < HV_VP_REGISTER_PAGE_MAX_VECTOR_COUNT;
	     i++) {
		lapic_post(vp, vectors.vector[i], false);
	}
}

/*
 * The root need not be told of this VP as long as it is dispatched, nor afterwards if the answer is
 * that it can be dispatched again. When the answer is that it blocks, an event that came meanwhile
 * has not been told, so it is looked for.
 */
static void dispatch(struct vp *caller, struct vp *vp, uint64_t slice_100ns, uint32_t flags,
		     struct hv_output_dispatch_vp *output)
{
	const bool limited = slice_100ns && slice_100ns < TIME_SLICE_MAX;
	const uint64_t before = vp->runtime_tsc;

	__atomic_store_n(&vp->root_signalled, true, __ATOMIC_RELAXED);
	__atomic_fetch_and(&vp->events, ~(uint32_t)VP_EVENT_RELOAD, __ATOMIC_SEQ_CST);
	if (spin_contended(&vp->lock)) {
		output->dispatch_state = HV_VP_DISPATCH_STATE_READY;
		return;
	}
	if (limited) {
		plat_slice_set(plat_tsc() + clock_muldiv(slice_100ns, plat_info.tsc_hz, HV_REF_HZ));
	}
	vp_run_switch(caller, vp);
	plat_vp_dispatch(vp, flags, output);
	vp_run_switch(vp, caller);
	__atomic_store_n(&caller->children_tsc, caller->children_tsc + vp->runtime_tsc - before,
			 __ATOMIC_RELAXED);
	if (limited) {
		plat_slice_set(0);
	}
	vp->stats_page[HV_STATS_VP_DISPATCHES]++;
	if (output->dispatch_state != HV_VP_DISPATCH_STATE_BLOCKED) {
		return;
	}
	__atomic_store_n(&vp->root_signalled, false, __ATOMIC_SEQ_CST);
	vp_signal_scheduler(vp);
}

static hv_status_t find_and_dispatch(struct vp *caller, const struct hv_input_vd_dispatch_vp *input,
				     uint64_t slice_100ns, uint64_t spec_ctrl,
				     struct hv_output_dispatch_vp *output)
{
	const uint32_t flags = input->flags;
	struct hc_vp target;
	hv_status_t status;

	if (flags & ~DISPATCH_FLAGS) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	status = hc_vp_acquire(caller, input->partition_id, input->vp_index, &target);
	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	if (!target.locked) {
		status = HV_STATUS_INVALID_PARTITION_ID; /* oneself */
	} else if (flags & HV_DISPATCH_VP_FLAG_SET_CALLER_SPEC_CTRL &&
		   plat_msr_write(caller, MSR_SPEC_CTRL, spec_ctrl) != ACCESS_OK) {
		status = HV_STATUS_INVALID_PARAMETER;
	}
	if (status != HV_STATUS_SUCCESS) {
		hc_vp_release(&target);
		return status;
	}
	__atomic_store_n(&target.vp->last_root_vp, caller->index, __ATOMIC_RELAXED);
	if (flags & HV_DISPATCH_VP_FLAG_CLEAR_INTERCEPT_SUSPEND) {
		__atomic_fetch_and(&target.vp->suspend, ~(uint32_t)VP_SUSPEND_INTERCEPT,
				   __ATOMIC_SEQ_CST);
	}
	if (flags & HV_DISPATCH_VP_FLAG_SCAN_INTERRUPT_INJECTION) {
		scan_injection(target.vp);
	}
	dispatch(caller, target.vp, slice_100ns, flags, output);
	hc_vp_release(&target);
	return HV_STATUS_SUCCESS;
}

hv_status_t hc_dispatch_vp(struct hypercall *call)
{
	const struct hv_input_dispatch_vp *input = call->input;
	const struct hv_input_vd_dispatch_vp short_form = {.partition_id = input->partition_id,
							   .vp_index = input->vp_index,
							   .flags = input->flags};

	return find_and_dispatch(call->vp, &short_form, input->time_slice, input->spec_ctrl,
				 call->output);
}

hv_status_t hc_vd_dispatch_vp(struct hypercall *call)
{
	const struct hv_input_vd_dispatch_vp *input = call->input;
	struct hv_output_dispatch_vp output = {0};
	hv_status_t status;

	if (input->flags & HV_DISPATCH_VP_FLAG_SET_CALLER_SPEC_CTRL) {
		return HV_STATUS_INVALID_PARAMETER; /* it has no room for the value */
	}
	status = find_and_dispatch(call->vp, input, 0, 0, &output);
	call->done = output.dispatch_state | output.dispatch_event << HV_VD_DISPATCH_EVENT_SHIFT;
	return status;
}

/*
 * The others of the partition run on other LPs, or when the root has time: all that there is to do
 * is to let it choose.
 */
hv_status_t hc_notify_long_spin_wait(struct hypercall *call)
{
	vp_end_turn(call->vp);
	return HV_STATUS_SUCCESS;
}
