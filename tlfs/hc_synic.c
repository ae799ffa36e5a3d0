/*
 * Calls that send messages, events and interrupts, and that make the ways for them (TLFS:
 * HvCallPostMessage, HvCallSignalEvent, HvCallCreatePort …, HvCallAssertVirtualInterrupt).
 */
#include "tlfs/hypercall.h"
#include "tlfs/partition.h"
#include "tlfs/port.h"

/*
 * The partition of one end: the caller or a child, initialized. Zero is no partition where
 * `optional`.
 */
static hv_status_t get_end(struct vp *caller, uint64_t id, bool optional, struct partition **out)
{
	*out = NULL;
	if (optional && id == HV_PARTITION_ID_INVALID) {
		return HV_STATUS_SUCCESS;
	}
	*out = partition_get(caller, id);
	return *out != NULL ? HV_STATUS_SUCCESS : HV_STATUS_INVALID_PARTITION_ID;
}

static void put_end(struct partition *p)
{
	if (p != NULL) {
		partition_put(p);
	}
}

hv_status_t hc_create_port(struct hypercall *call)
{
	const struct hv_input_create_port *input = call->input;
	struct partition *owner, *peer;
	hv_status_t status;

	if (input->port_vtl || input->min_connection_vtl || input->padding ||
	    input->port_info.padding) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	status = get_end(call->vp, input->port_partition_id, false, &owner);
	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	status = get_end(call->vp, input->connection_partition_id, true, &peer);
	if (status == HV_STATUS_SUCCESS) {
		status = port_create(owner, peer, input);
	}
	put_end(peer);
	put_end(owner);
	return status;
}

hv_status_t hc_connect_port(struct hypercall *call)
{
	const struct hv_input_connect_port *input = call->input;
	struct partition *p, *owner;
	hv_status_t status;

	if (input->connection_vtl || input->rsvdz0 || input->rsvdz1 || input->reserved2 ||
	    input->connection_info.padding) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	status = get_end(call->vp, input->connection_partition_id, false, &p);
	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	status = get_end(call->vp, input->port_partition_id, false, &owner);
	if (status == HV_STATUS_SUCCESS) {
		status = port_connect(p, owner, input);
	}
	put_end(owner);
	put_end(p);
	return status;
}

hv_status_t hc_delete_port(struct hypercall *call)
{
	const union hv_input_delete_port *input = call->input;
	struct partition *owner;
	hv_status_t status;

	if (input->reserved) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	status = get_end(call->vp, input->port_partition_id, false, &owner);
	if (status == HV_STATUS_SUCCESS) {
		status = port_delete(owner, input->port_id.asu32);
	}
	put_end(owner);
	return status;
}

hv_status_t hc_disconnect_port(struct hypercall *call)
{
	const union hv_input_disconnect_port *input = call->input;
	struct partition *p;
	hv_status_t status;

	if (input->reserved) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	status = get_end(call->vp, input->connection_partition_id, false, &p);
	if (status == HV_STATUS_SUCCESS) {
		status = port_disconnect(p, input->connection_id.asu32, input->is_doorbell);
	}
	put_end(p);
	return status;
}

/* A child's parent may have made the connection for itself: it does the whole call. */
static hv_status_t unless_unknown(struct hypercall *call, hv_status_t status)
{
	call->intercept = status == HV_STATUS_INVALID_CONNECTION_ID &&
			  call->vp->partition->intercept_unknown_connection;
	return status;
}

hv_status_t hc_post_message(struct hypercall *call)
{
	return unless_unknown(call, port_post_message(call->vp, call->input));
}

hv_status_t hc_signal_event(struct hypercall *call)
{
	const struct hv_input_signal_event *input = call->input;

	if (input->rsvdz) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	return unless_unknown(
		call, port_signal_event(call->vp, input->connectionid.asu32, input->flag_number));
}

hv_status_t hc_post_message_direct(struct hypercall *call)
{
	const struct hv_input_post_message_direct *input = call->input;
	struct hv_message message;
	struct partition *p;
	struct vp *vp;
	hv_status_t status;

	memcpy(&message, input->message, sizeof(message));
	if (input->vtl || input->sint_index >= HV_SINT_COUNT ||
	    message.header.message_type == HVMSG_NONE ||
	    message.header.payload_size > HV_MESSAGE_PAYLOAD_BYTE_COUNT) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	message.header.message_flags.asu8 = 0;
	status = hc_child_vp(call->vp, input->partition_id, input->vp_index, &p, &vp);
	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	/* A full slot is the caller's to wait for (DELIVERABILITY_NOTIFICATIONS). */
	status = synic_post_message(vp, input->sint_index, &message, false);
	partition_put(p);
	return status;
}

hv_status_t hc_signal_event_direct(struct hypercall *call)
{
	const struct hv_input_signal_event_direct *input = call->input;
	struct hv_output_signal_event_direct *output = call->output;
	struct partition *p;
	struct vp *vp;
	bool newly = false;
	hv_status_t status;

	if (input->target_vtl || input->target_sint >= HV_SINT_COUNT ||
	    input->flag_number >= HV_EVENT_FLAGS_COUNT) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	status = hc_child_vp(call->vp, input->target_partition, input->target_vp, &p, &vp);
	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	status = synic_signal_event(vp, input->target_sint, input->flag_number, &newly);
	output->newly_signaled = newly;
	partition_put(p);
	return status;
}

hv_status_t hc_notify_port_ring_empty(struct hypercall *call)
{
	const union hv_input_notify_port_ring_empty *input = call->input;

	if (input->sint_index >= HV_SINT_COUNT) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	port_ring_emptied(call->vp, input->sint_index);
	return HV_STATUS_SUCCESS;
}

static hv_status_t check_interrupt(const struct hv_input_assert_virtual_interrupt *input)
{
	if (input->target_vtl || input->rsvd_z0 || input->rsvd_z1 || input->control.rsvd ||
	    input->dest_addr >> 32) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	switch (input->control.interrupt_type) {
	case HV_X64_INTERRUPT_TYPE_FIXED:
	case HV_X64_INTERRUPT_TYPE_LOWESTPRIORITY:
		return input->vector < 16 || input->vector > 255 ? HV_STATUS_INVALID_PARAMETER
								 : HV_STATUS_SUCCESS;
	case HV_X64_INTERRUPT_TYPE_EXTINT:
	case HV_X64_INTERRUPT_TYPE_SIPI:
		return input->vector > 255 ? HV_STATUS_INVALID_PARAMETER : HV_STATUS_SUCCESS;
	case HV_X64_INTERRUPT_TYPE_NMI:
	case HV_X64_INTERRUPT_TYPE_INIT:
	case HV_X64_INTERRUPT_TYPE_LOCALINT0:
	case HV_X64_INTERRUPT_TYPE_LOCALINT1:
		return HV_STATUS_SUCCESS;
	default:
		return HV_STATUS_INVALID_PARAMETER;
	}
}

hv_status_t hc_assert_virtual_interrupt(struct hypercall *call)
{
	const struct hv_input_assert_virtual_interrupt *input = call->input;
	hv_status_t status = check_interrupt(input);
	struct partition *p;

	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	p = partition_get_child(call->vp, input->partition_id);
	if (p == NULL) {
		return HV_STATUS_INVALID_PARTITION_ID;
	}
	status = HV_STATUS_INVALID_PARTITION_STATE;
	if (p->state == PARTITION_INITIALIZED) {
		status = lapic_send(p, input->control.interrupt_type, (uint32_t)input->dest_addr,
				    input->control.logical_dest_mode, (uint8_t)input->vector,
				    input->control.level_triggered);
	}
	partition_put(p);
	return status;
}

/* Takes back an ExtINT that no VP has acknowledged. */
hv_status_t hc_clear_virtual_interrupt(struct hypercall *call)
{
	const struct hv_input_clear_virtual_interrupt *input = call->input;
	struct partition *p = partition_get_child(call->vp, input->partition_id);

	if (p == NULL) {
		return HV_STATUS_INVALID_PARTITION_ID;
	}
	if (p->state != PARTITION_INITIALIZED) {
		partition_put(p);
		return HV_STATUS_INVALID_PARTITION_STATE;
	}
	partition_put(p);
	for (uint32_t i = 0; i < HV_MAX_VPS; i++) {
		struct hc_vp target;

		if (hc_vp_acquire(call->vp, input->partition_id, i, &target) != HV_STATUS_SUCCESS) {
			continue;
		}
		__atomic_fetch_and(&target.vp->events, ~(uint32_t)VP_EVENT_EXTINT,
				   __ATOMIC_SEQ_CST);
		vp_drop_extints(target.vp);
		hc_vp_release(&target);
	}
	return HV_STATUS_SUCCESS;
}
