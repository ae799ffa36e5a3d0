/*
 * VP state in one piece (TLFS: HvCallGetVpState, HvCallSetVpState), and pages of a child's VP that
 * its parent sees (HvCallMapVpStatePage, HvCallUnmapVpStatePage).
 */
#include "tlfs/hypercall.h"
#include "tlfs/partition.h"

#define TIMERS_QWORDS (sizeof(struct hv_synthetic_timers_state) / 8)

/* The pages that a caller lists: a buffer in its own memory, in pieces. */
struct page_list {
	struct partition *partition;
	const uint64_t *gpns;
	uint32_t count;
};

static bool list_write(const struct page_list *list, const void *from, uint32_t size)
{
	for (uint32_t done = 0, i = 0; done < size; done += PAGE_SIZE, i++) {
		uint32_t part = size - done < PAGE_SIZE ? size - done : PAGE_SIZE;

		if (!plat_gpa_write(list->partition, (gpa_t){list->gpns[i] << PAGE_SHIFT},
				    (const uint8_t *)from + done, part)) {
			return false;
		}
	}
	return true;
}

static bool list_read(const struct page_list *list, void *to, uint32_t size)
{
	for (uint32_t done = 0, i = 0; done < size; done += PAGE_SIZE, i++) {
		uint32_t part = size - done < PAGE_SIZE ? size - done : PAGE_SIZE;

		if (!plat_gpa_read(list->partition, (gpa_t){list->gpns[i] << PAGE_SHIFT},
				   (uint8_t *)to + done, part)) {
			return false;
		}
	}
	return true;
}

/* As many pages as `size` needs, all of them page numbers. */
static hv_status_t list_check(const struct page_list *list, uint32_t size)
{
	if (list->count < (size + PAGE_SIZE - 1) / PAGE_SIZE) {
		return HV_STATUS_INSUFFICIENT_BUFFER;
	}
	for (uint32_t i = 0; i < list->count; i++) {
		if (list->gpns[i] >> (plat_info.physical_address_bits - PAGE_SHIFT)) {
			return HV_STATUS_INVALID_PARAMETER;
		}
	}
	return HV_STATUS_SUCCESS;
}

static hv_status_t check_kind(const struct hv_vp_state_data *data)
{
	if (data->rsvd) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	if (data->type == HV_GET_SET_VP_STATE_XSAVE &&
	    data->xsave.states.as_uint64 & ~plat_info.xsave_features) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	return HV_STATUS_SUCCESS;
}

/* Bytes of the kinds that go through a list of pages. */
static uint32_t state_size(uint32_t type)
{
	switch (type) {
	case HV_GET_SET_VP_STATE_LAPIC_STATE:
		return sizeof(struct hv_local_interrupt_controller_state);
	case HV_GET_SET_VP_STATE_XSAVE:
		return plat_info.xsave_size_max;
	case HV_GET_SET_VP_STATE_SIM_PAGE:
	case HV_GET_SET_VP_STATE_SIEF_PAGE:
		return PAGE_SIZE;
	default:
		return 0;
	}
}

static void *synic_page(struct vp *vp, uint32_t type)
{
	return type == HV_GET_SET_VP_STATE_SIM_PAGE ? vp->synic.message_page : vp->synic.event_page;
}

static hv_status_t get_xsave(struct vp *vp, const struct page_list *list, void *buffer)
{
	hv_status_t status;

	memset(buffer, 0, plat_info.xsave_size_max);
	status = plat_xsave_get(vp, buffer, plat_info.xsave_size_max);
	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	return list_write(list, buffer, plat_info.xsave_size_max) ? HV_STATUS_SUCCESS
								  : HV_STATUS_INVALID_PARAMETER;
}

/* `buffer` is a page. */
static hv_status_t get_listed(struct vp *vp, uint32_t type, const struct page_list *list,
			      void *buffer)
{
	struct hv_local_interrupt_controller_state lapic;
	bool written;

	switch (type) {
	case HV_GET_SET_VP_STATE_LAPIC_STATE:
		lapic_get_state(vp, &lapic);
		written = list_write(list, &lapic, sizeof(lapic));
		break;
	case HV_GET_SET_VP_STATE_XSAVE:
		return get_xsave(vp, list, buffer);
	default:
		written = list_write(list, synic_page(vp, type), PAGE_SIZE);
		break;
	}
	return written ? HV_STATUS_SUCCESS : HV_STATUS_INVALID_PARAMETER;
}

static void get_timers(struct vp *vp, struct hv_synthetic_timers_state *state)
{
	for (uint32_t i = 0; i < HV_STIMER_COUNT; i++) {
		const struct stimer *timer = &vp->stimers[i];
		const union hv_stimer_config config = {.as_uint64 = timer->config};

		/* The count of a periodic timer does not say when it expires. */
		state->timers[i].adjustment =
			config.periodic && timer->next_100ns != HV_NEVER ? timer->next_100ns : 0;
		state->timers[i].flags.undelivered_msg_pending = timer->message_pending;
		state->timers[i].config = timer->config;
		state->timers[i].count = timer->count;
		state->timers[i].undelivered_exp_time =
			timer->message_pending ? timer->expired_100ns : 0;
	}
}

hv_status_t hc_get_vp_state(struct hypercall *call)
{
	const struct hv_input_get_vp_state *input = call->input;
	union hv_output_get_vp_state *output = call->output;
	const struct page_list list = {call->vp->partition, input->output_data_pfns,
				       call->variable_size / 8};
	const uint32_t type = input->state_data.type, size = state_size(type);
	hv_status_t status = check_kind(&input->state_data);
	struct hc_vp target;

	if (status == HV_STATUS_SUCCESS && size) {
		status = list_check(&list, size);
	} else if (status == HV_STATUS_SUCCESS && type != HV_GET_SET_VP_STATE_SYNTHETIC_TIMERS) {
		status = HV_STATUS_INVALID_PARAMETER;
	}
	if (status != HV_STATUS_SUCCESS || input->input_vtl || input->rsvd0 || input->rsvd1) {
		return status != HV_STATUS_SUCCESS ? status : HV_STATUS_INVALID_PARAMETER;
	}
	status = hc_vp_acquire(call->vp, input->partition_id, input->vp_index, &target);
	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	if (size) {
		status = get_listed(target.vp, type, &list, call->vp->hypercall_output);
	} else {
		get_timers(target.vp, &output->synthetic_timers_state);
	}
	if (size) {
		memset(output, 0, sizeof(*output)); /* it was the buffer */
	}
	hc_vp_release(&target);
	return status;
}

static hv_status_t set_lapic(struct vp *vp, const struct page_list *list)
{
	struct hv_local_interrupt_controller_state lapic;

	if (!list_read(list, &lapic, sizeof(lapic))) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	return lapic_set_state(vp, &lapic);
}

/*
 * The pages belong to the guest as well, which may be writing there: its VPs are to be stopped, but
 * need not.
 */
static hv_status_t set_listed(struct vp *vp, uint32_t type, const struct page_list *list,
			      void *buffer)
{
	uint32_t size = state_size(type);

	if (type == HV_GET_SET_VP_STATE_LAPIC_STATE) {
		return set_lapic(vp, list);
	}
	if (!list_read(list, buffer, size)) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	if (type == HV_GET_SET_VP_STATE_XSAVE) {
		return plat_xsave_set(vp, buffer, size);
	}
	spin_lock(&vp->synic.lock);
	memcpy(synic_page(vp, type), buffer, PAGE_SIZE);
	spin_unlock(&vp->synic.lock);
	vp_post_event(vp, VP_EVENT_SYNIC); /* slots may be empty now for which messages wait */
	return HV_STATUS_SUCCESS;
}

static hv_status_t set_timers(struct vp *vp, const struct hv_synthetic_timers_state *state)
{
	for (uint32_t i = 0; i < HV_STIMER_COUNT; i++) {
		if (state->timers[i].flags.reserved || state->timers[i].resvd) {
			return HV_STATUS_INVALID_PARAMETER;
		}
	}
	for (uint32_t i = 0; i < HV_STIMER_COUNT; i++) {
		stimer_restore(vp, i, &state->timers[i]);
	}
	vp_post_event(vp, VP_EVENT_TIMER | VP_EVENT_SYNIC);
	return HV_STATUS_SUCCESS;
}

hv_status_t hc_set_vp_state(struct hypercall *call)
{
	const struct hv_input_set_vp_state *input = call->input;
	const struct page_list list = {call->vp->partition, input->data, call->variable_size / 8};
	const uint32_t type = input->state_data.type, size = state_size(type);
	hv_status_t status = check_kind(&input->state_data);
	struct hc_vp target;

	if (status == HV_STATUS_SUCCESS && size) {
		status = list_check(&list, size);
	} else if (status == HV_STATUS_SUCCESS &&
		   (type != HV_GET_SET_VP_STATE_SYNTHETIC_TIMERS || list.count < TIMERS_QWORDS)) {
		status = HV_STATUS_INVALID_PARAMETER;
	}
	if (status != HV_STATUS_SUCCESS || input->input_vtl || input->rsvd0 || input->rsvd1) {
		return status != HV_STATUS_SUCCESS ? status : HV_STATUS_INVALID_PARAMETER;
	}
	status = hc_vp_acquire(call->vp, input->partition_id, input->vp_index, &target);
	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	if (size) {
		status = set_listed(target.vp, type, &list, call->vp->hypercall_output);
	} else {
		status = set_timers(target.vp, (const void *)input->data);
	}
	hc_vp_release(&target);
	return status;
}

/* ---- State pages; the parent's lock guards where it sees them ---- */

static hv_status_t state_page(struct vp *vp, uint32_t type, void **page, uint64_t **gpn)
{
	switch (type) {
	case HV_VP_STATE_PAGE_REGISTERS:
		*page = vp->register_page;
		*gpn = &vp->register_page_gpn;
		return HV_STATUS_SUCCESS;
	case HV_VP_STATE_PAGE_INTERCEPT_MESSAGE:
		*page = vp->intercept_page;
		*gpn = &vp->intercept_page_gpn;
		return HV_STATUS_SUCCESS;
	default: /* GHCB is for isolated partitions */
		return HV_STATUS_INVALID_PARAMETER;
	}
}

hv_status_t hc_map_vp_state_page(struct hypercall *call)
{
	const struct hv_input_map_vp_state_page *input = call->input;
	struct hv_output_map_vp_state_page *output = call->output;
	struct partition *caller = call->vp->partition, *p;
	uint64_t location = input->requested_map_location, *gpn;
	struct vp *vp;
	void *page;
	hv_status_t status;

	if (input->flags.reserved || input->input_vtl.reserved_z ||
	    (input->input_vtl.use_target_vtl && input->input_vtl.target_vtl) ||
	    location >> (plat_info.physical_address_bits - PAGE_SHIFT)) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	status = hc_child_vp(call->vp, input->partition_id, input->vp_index, &p, &vp);
	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	spin_lock(&caller->lock);
	status = state_page(vp, input->type, &page, &gpn);
	if (status == HV_STATUS_SUCCESS) {
		if (!input->flags.map_location_provided) {
			location = plat_ptr_spa(page).v >>
				   PAGE_SHIFT; /* its own place, which the parent gave away */
		}
		status = *gpn == HV_NEVER ? plat_overlay_map(caller, location, page)
					  : HV_STATUS_OBJECT_IN_USE;
		if (status == HV_STATUS_SUCCESS) {
			*gpn = output->map_location = location;
		}
	}
	spin_unlock(&caller->lock);
	partition_put(p);
	return status;
}

hv_status_t hc_unmap_vp_state_page(struct hypercall *call)
{
	const struct hv_input_unmap_vp_state_page *input = call->input;
	struct partition *caller = call->vp->partition, *p;
	uint64_t *gpn;
	struct vp *vp;
	void *page;
	hv_status_t status;

	if (input->reserved0) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	status = hc_child_vp(call->vp, input->partition_id, input->vp_index, &p, &vp);
	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	spin_lock(&caller->lock);
	status = state_page(vp, input->type, &page, &gpn);
	if (status == HV_STATUS_SUCCESS && *gpn == HV_NEVER) {
		status = HV_STATUS_INVALID_PARAMETER;
	}
	if (status == HV_STATUS_SUCCESS) {
		plat_overlay_unmap(caller, *gpn, page);
		*gpn = HV_NEVER;
	}
	spin_unlock(&caller->lock);
	partition_put(p);
	return status;
}

void state_pages_forget(struct vp *vp)
{
	struct partition *parent = vp->partition->parent;

	if (vp->register_page_gpn != HV_NEVER) {
		plat_overlay_unmap(parent, vp->register_page_gpn, vp->register_page);
	}
	if (vp->intercept_page_gpn != HV_NEVER) {
		plat_overlay_unmap(parent, vp->intercept_page_gpn, vp->intercept_page);
	}
}
