/*
 * Calls on memory (TLFS: Memory Pool Management, Address Space Management): deposits, GPA maps,
 * access states, translation.
 *
 * Each rep is one page (or one large one) and atomic. What no longer may be used by anyone is
 * flushed once, at the end of the slice, before the caller learns that it is done. Page numbers are
 * checked here for range and alignment; who owns a page and may give it is the home's to say.
 */
#include "tlfs/hypercall.h"
#include "tlfs/partition.h"

#define PERMITTED_MAP_FLAGS                                                                        \
	(HV_MAP_GPA_PERMISSIONS_MASK | HV_MAP_GPA_ADJUSTABLE | HV_MAP_GPA_NO_ACCESS |              \
	 HV_MAP_GPA_NOT_CACHED | HV_MAP_GPA_LARGE_PAGE)

#define VECTOR_PAGE_FAULT 14

/* Is [gpn, gpn + pages) within the address space, and aligned to its size? */
static bool gpn_valid(uint64_t gpn, uint64_t pages)
{
	uint64_t limit = 1ull << (plat_info.physical_address_bits - PAGE_SHIFT);

	return gpn < limit && limit - gpn >= pages && !(gpn & (pages - 1));
}

hv_status_t hc_deposit_memory(struct hypercall *call)
{
	const struct hv_deposit_memory *input = call->input;
	struct partition *from = call->vp->partition,
			 *p = partition_get(call->vp, input->partition_id);
	hv_status_t status = HV_STATUS_SUCCESS;

	if (p == NULL) {
		return HV_STATUS_INVALID_PARTITION_ID;
	}
	spin_lock(&p->lock);
	if (p->state != PARTITION_CREATED && p->state != PARTITION_INITIALIZED) {
		status = HV_STATUS_INVALID_PARTITION_STATE;
	}
	while (status == HV_STATUS_SUCCESS && call->done < call->end) {
		uint64_t gpn = *hypercall_element(call, uint64_t);

		status = gpn_valid(gpn, 1) ? plat_page_deposit(from, gpn, p)
					   : HV_STATUS_INVALID_PARAMETER;
		if (status == HV_STATUS_SUCCESS) {
			call->done++;
		}
	}
	if (p->stats_page != NULL) {
		p->stats_page[HV_STATS_PT_DEPOSITED_PAGES] = plat_deposit_count(p);
	}
	spin_unlock(&p->lock);
	if (call->done > call->start) {
		plat_gpa_flush(from);
	}
	partition_put(p);
	return status;
}

/* The root keeps no page that it gave itself for its VPs: what is free comes back. */
hv_status_t hc_withdraw_memory(struct hypercall *call)
{
	const struct hv_input_withdraw_memory *input = call->input;
	struct partition *to = call->vp->partition,
			 *p = partition_get(call->vp, input->partition_id);
	hv_status_t status = HV_STATUS_SUCCESS;

	if (p == NULL) {
		return HV_STATUS_INVALID_PARTITION_ID;
	}
	spin_lock(&p->lock);
	while (status == HV_STATUS_SUCCESS && call->done < call->end) {
		status = plat_page_withdraw(p, to, hypercall_output_element(call, uint64_t));
		if (status == HV_STATUS_SUCCESS) {
			call->done++;
		}
	}
	if (p->stats_page != NULL) {
		p->stats_page[HV_STATS_PT_DEPOSITED_PAGES] = plat_deposit_count(p);
	}
	spin_unlock(&p->lock);
	partition_put(p);
	return status;
}

hv_status_t hc_get_memory_balance(struct hypercall *call)
{
	const struct hv_input_get_memory_balance *input = call->input;
	struct hv_output_get_memory_balance *output = call->output;
	struct partition *p = partition_get(call->vp, input->partition_id);
	uint64_t deposited;

	if (p == NULL) {
		return HV_STATUS_INVALID_PARTITION_ID;
	}
	deposited = plat_deposit_count(p);
	output->pages_available = plat_pool_count(p);
	output->pages_in_use =
		deposited > output->pages_available ? deposited - output->pages_available : 0;
	partition_put(p);
	return HV_STATUS_SUCCESS;
}

/* The child that the call names, with its lock, in a state in which its space may be changed. */
static hv_status_t lock_child(struct hypercall *call, uint64_t id, struct partition **out)
{
	struct partition *p = partition_get_child(call->vp, id);

	if (p == NULL) {
		return HV_STATUS_INVALID_PARTITION_ID;
	}
	spin_lock(&p->lock);
	if (p->state == PARTITION_INITIALIZED) {
		*out = p;
		return HV_STATUS_SUCCESS;
	}
	spin_unlock(&p->lock);
	partition_put(p);
	return HV_STATUS_INVALID_PARTITION_STATE;
}

static void unlock_child(struct partition *p)
{
	spin_unlock(&p->lock);
	partition_put(p);
}

static bool map_flags_valid(uint32_t flags)
{
	uint32_t permissions = flags & HV_MAP_GPA_PERMISSIONS_MASK;

	if (flags & ~PERMITTED_MAP_FLAGS) {
		return false;
	}
	if (flags & HV_MAP_GPA_NO_ACCESS) {
		return true;
	}
	/* The processor has no mapping that can be written or executed and not read. */
	return permissions & HV_MAP_GPA_READABLE;
}

hv_status_t hc_map_gpa_pages(struct hypercall *call)
{
	const struct hv_input_map_gpa_pages *input = call->input;
	const bool large = input->map_flags & HV_MAP_GPA_LARGE_PAGE,
		   backed = !(input->map_flags & HV_MAP_GPA_NO_ACCESS);
	const uint64_t pages = large ? LARGE_PAGE_PAGES : 1;
	struct partition *p;
	hv_status_t status;

	if (!map_flags_valid(input->map_flags) || input->padding) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	status = lock_child(call, input->target_partition_id, &p);
	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	while (call->done < call->end) {
		uint64_t source = *hypercall_element(call, uint64_t);
		uint64_t gpn = input->target_gpa_base + call->done * pages;

		status = HV_STATUS_INVALID_PARAMETER;
		if (gpn_valid(gpn, pages) && (!backed || gpn_valid(source, pages))) {
			status = plat_gpa_map(p, gpn, call->vp->partition, source, input->map_flags,
					      large);
		}
		if (status != HV_STATUS_SUCCESS) {
			break;
		}
		call->done++;
	}
	if (call->done > call->start) {
		plat_gpa_flush(p);
	}
	unlock_child(p);
	return status;
}

hv_status_t hc_unmap_gpa_pages(struct hypercall *call)
{
	const struct hv_input_unmap_gpa_pages *input = call->input;
	const bool large = input->unmap_flags & HV_UNMAP_GPA_LARGE_PAGE;
	const uint64_t pages = large ? LARGE_PAGE_PAGES : 1;
	struct partition *p;
	hv_status_t status;

	if (input->unmap_flags & ~(HV_UNMAP_GPA_LARGE_PAGE | HV_UNMAP_GPA_KEEP_PRECOMMITTED) ||
	    input->padding) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	status = lock_child(call, input->target_partition_id, &p);
	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	while (call->done < call->end) {
		uint64_t gpn = input->target_gpa_base + call->done * pages;

		status = gpn_valid(gpn, pages) ? plat_gpa_unmap(p, gpn, large)
					       : HV_STATUS_INVALID_PARAMETER;
		if (status != HV_STATUS_SUCCESS) {
			break;
		}
		call->done++;
	}
	if (call->done > call->start) {
		plat_gpa_flush(p);
	}
	unlock_child(p);
	return status;
}

hv_status_t hc_get_gpa_access_states(struct hypercall *call)
{
	const struct hv_input_get_gpa_pages_access_state *input = call->input;
	struct partition *p;
	hv_status_t status;

	if (input->flags.reserved || (input->flags.clear_accessed && input->flags.set_accessed) ||
	    (input->flags.clear_dirty && input->flags.set_dirty)) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	status = lock_child(call, input->partition_id, &p);
	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	while (call->done < call->end) {
		uint64_t gpn = input->hv_gpa_page_number + call->done;
		uint8_t *state = hypercall_output_element(call, uint8_t);

		status = gpn_valid(gpn, 1)
				 ? plat_gpa_access_state(p, gpn, input->flags.as_uint64, state)
				 : HV_STATUS_INVALID_PARAMETER;
		if (status != HV_STATUS_SUCCESS) {
			break;
		}
		call->done++;
	}
	if (call->done > call->start && input->flags.as_uint64) {
		plat_gpa_flush(p);
	}
	unlock_child(p);
	return status;
}

/* What both forms of the call do. */
struct translation {
	union hv_translate_gva_result result;
	uint32_t error; /* of a page fault */
	gpa_t gpa;
};

static hv_status_t translate(struct vp *caller,
			     const struct hv_input_translate_virtual_address *input,
			     struct translation *out)
{
	struct hc_vp target;
	hv_status_t status;
	uint32_t code = HV_TRANSLATE_GVA_SUCCESS;

	if (input->padding || input->gva_page >> (64 - PAGE_SHIFT) ||
	    input->control_flags & ~(HV_TRANSLATE_GVA_INPUT_VTL_MASK | 0x7ff)) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	status = hc_vp_acquire(caller, input->partition_id, input->vp_index, &target);
	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	*out = (struct translation){.result.cache_type = HV_CACHE_TYPE_WRITE_BACK};
	status = plat_translate_gva(target.vp, (gva_t){input->gva_page << PAGE_SHIFT},
				    input->control_flags, &code, &out->gpa, &out->error);
	out->result.result_code = code;
	hc_vp_release(&target);
	return status;
}

hv_status_t hc_translate_virtual_address(struct hypercall *call)
{
	struct hv_output_translate_virtual_address *output = call->output;
	struct translation found;
	hv_status_t status = translate(call->vp, call->input, &found);

	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	output->translation_result = found.result;
	output->gpa_page = found.gpa.v >> PAGE_SHIFT;
	return HV_STATUS_SUCCESS;
}

/* The page fault that the access would raise, or the intercept of a page table's page. */
static void set_event(const struct hv_input_translate_virtual_address *input,
		      const struct translation *found, uint64_t event[4])
{
	const uint64_t gva = input->gva_page << PAGE_SHIFT;
	union hv_x64_pending_exception_event fault = {0};
	struct hv_x64_pending_memory_intercept_event intercept = {0};

	switch (found->result.result_code) {
	case HV_TRANSLATE_GVA_SUCCESS:
		break;
	case HV_TRANSLATE_GVA_PAGE_NOT_PRESENT:
	case HV_TRANSLATE_GVA_PRIVILEGE_VIOLATION:
	case HV_TRANSLATE_GVA_INVALID_PAGE_TABLE_FLAGS:
		fault.event_pending = 1;
		fault.event_type = HV_X64_PENDING_EVENT_EXCEPTION;
		fault.deliver_error_code = 1;
		fault.vector = VECTOR_PAGE_FAULT;
		fault.error_code = found->error;
		fault.exception_parameter = gva;
		memcpy(event, &fault, sizeof(fault));
		break;
	default:
		intercept.event_pending = 1;
		intercept.event_type = HV_X64_PENDING_EVENT_MEMORY_INTERCEPT;
		intercept.access_type = HV_INTERCEPT_ACCESS_READ;
		if (found->result.result_code == HV_TRANSLATE_GVA_GPA_NO_WRITE_ACCESS) {
			intercept.access_type = HV_INTERCEPT_ACCESS_WRITE;
		}
		intercept.gva_valid = 1;
		intercept.gva = gva;
		intercept.gpa = found->gpa.v;
		memcpy(event, &intercept, sizeof(intercept));
		break;
	}
}

hv_status_t hc_translate_virtual_address_ex(struct hypercall *call)
{
	struct hv_output_translate_virtual_address_ex *output = call->output;
	struct translation found;
	hv_status_t status = translate(call->vp, call->input, &found);

	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	output->translation_result = found.result;
	output->gpa_page = found.gpa.v >> PAGE_SHIFT;
	set_event(call->input, &found, output->event_info);
	return HV_STATUS_SUCCESS;
}
