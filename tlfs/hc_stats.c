/*
 * Statistics pages (TLFS: HvCallMapStatsPage2, HvCallMapStatsPage, HvCallUnmapStatsPage). Each
 * object has one page, which is laid over the caller's GPA space: its own objects' in the area
 * "self", those of a child in either (both show the same counters).
 */
#include "tlfs/hypercall.h"
#include "tlfs/partition.h"

#define AREAS 2

/* A page of counters and where the caller sees it, by area. */
struct stats_object {
	uint64_t *page;
	uint64_t *gpn;
	struct partition *partition; /* referenced; NULL: an object of the machine */
	uint8_t area;
};

/* An object of the machine, whose page comes from the root's pool when it is first wanted. */
static hv_status_t find_machine(struct hypercall *call, uint64_t **page, uint64_t *gpn,
				struct stats_object *object)
{
	if (call->vp->partition != partition_root) {
		return HV_STATUS_ACCESS_DENIED;
	}
	if (*page == NULL) {
		*page = plat_page_alloc(partition_root);
		gpn[0] = gpn[1] = HV_NEVER;
	}
	if (*page == NULL) {
		return HV_STATUS_INSUFFICIENT_MEMORY;
	}
	object->page = *page;
	object->gpn = &gpn[object->area];
	return HV_STATUS_SUCCESS;
}

static hv_status_t find_hypervisor(struct hypercall *call, struct stats_object *object)
{
	struct partition *root = partition_root;
	hv_status_t status =
		find_machine(call, &root->machine_stats_page, root->machine_stats_gpn, object);

	if (status == HV_STATUS_SUCCESS) {
		object->page[HV_STATS_HV_LOGICAL_PROCESSORS] = plat_info.lp_count;
	}
	return status;
}

static hv_status_t find_lp(struct hypercall *call, uint32_t index, struct stats_object *object)
{
	struct vp *vp = partition_vp(partition_root, index);
	hv_status_t status;

	if (vp == NULL) {
		return HV_STATUS_INVALID_LP_INDEX;
	}
	status = find_machine(call, &vp->lp_stats_page, vp->lp_stats_gpn, object);
	if (status == HV_STATUS_SUCCESS) {
		object->page[HV_STATS_LP_ROOT_VP_INDEX] = index;
	}
	return status;
}

static hv_status_t find_vp(const union hv_stats_object_identity *identity,
			   struct stats_object *object)
{
	struct vp *vp = partition_vp(object->partition, identity->vp.vp_index);

	if (vp == NULL) {
		return HV_STATUS_INVALID_VP_INDEX;
	}
	object->page = vp->stats_page;
	object->gpn = &vp->stats_gpn[object->area];
	return HV_STATUS_SUCCESS;
}

/* On success with a reference to object->partition, if there is one. */
static hv_status_t find_of_partition(struct hypercall *call, uint32_t type,
				     const union hv_stats_object_identity *identity,
				     struct stats_object *object)
{
	hv_status_t status = HV_STATUS_SUCCESS;
	struct partition *p = partition_get(call->vp, identity->partition.partition_id);

	if (p == NULL) {
		return HV_STATUS_INVALID_PARTITION_ID;
	}
	object->partition = p;
	if (p->state != PARTITION_INITIALIZED) {
		status = HV_STATUS_INVALID_PARTITION_STATE;
	} else if (type == HV_STATS_OBJECT_VP) {
		status = find_vp(identity, object);
	} else {
		object->page = p->stats_page;
		object->gpn = &p->stats_gpn[object->area];
	}
	if (status != HV_STATUS_SUCCESS) {
		partition_put(p);
	}
	return status;
}

/* The caller's lock is held: it is that of all places where its overlays are noted. */
static hv_status_t find(struct hypercall *call, uint32_t type,
			const union hv_stats_object_identity *identity, struct stats_object *object)
{
	*object = (struct stats_object){
		.area = identity->hv.stats_area_type}; /* the same place for all types */
	if (object->area >= AREAS) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	switch (type) {
	case HV_STATS_OBJECT_HYPERVISOR:
		return find_hypervisor(call, object);
	case HV_STATS_OBJECT_LOGICAL_PROCESSOR:
		return find_lp(call, identity->lp.lp_index, object);
	case HV_STATS_OBJECT_PARTITION:
	case HV_STATS_OBJECT_VP:
		return find_of_partition(call, type, identity, object);
	default:
		return HV_STATUS_INVALID_PARAMETER;
	}
}

static hv_status_t map(struct hypercall *call, uint32_t type,
		       const union hv_stats_object_identity *identity, uint64_t *gpn)
{
	struct partition *caller = call->vp->partition;
	struct stats_object object;
	hv_status_t status;

	spin_lock(&caller->lock);
	status = find(call, type, identity, &object);
	if (status == HV_STATUS_SUCCESS) {
		/*
		 * Where the caller leaves the choice: at the page's own place, which the root gave
		 * away with it.
		 */
		if (*gpn == HV_NEVER) {
			*gpn = plat_ptr_spa(object.page).v >> PAGE_SHIFT;
		}
		if (*object.gpn != HV_NEVER) {
			status = HV_STATUS_OBJECT_IN_USE;
		} else {
			status = plat_overlay_map(caller, *gpn, object.page);
		}
		if (status == HV_STATUS_SUCCESS) {
			*object.gpn = *gpn;
		}
		if (object.partition != NULL) {
			partition_put(object.partition);
		}
	}
	spin_unlock(&caller->lock);
	return status;
}

hv_status_t hc_map_stats_page(struct hypercall *call)
{
	const struct hv_input_map_stats_page *input = call->input;
	struct hv_output_map_stats_page *output = call->output;

	if (call->vp->partition->parent != NULL) {
		return HV_STATUS_ACCESS_DENIED;
	}
	output->map_location = HV_NEVER;
	return map(call, input->type, &input->identity, &output->map_location);
}

hv_status_t hc_map_stats_page2(struct hypercall *call)
{
	const struct hv_input_map_stats_page2 *input = call->input;
	uint64_t gpn = input->map_location;

	if (gpn >> (plat_info.physical_address_bits - PAGE_SHIFT)) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	return map(call, input->type, &input->identity, &gpn);
}

hv_status_t hc_unmap_stats_page(struct hypercall *call)
{
	const struct hv_input_unmap_stats_page *input = call->input;
	struct partition *caller = call->vp->partition;
	struct stats_object object;
	hv_status_t status;

	spin_lock(&caller->lock);
	status = find(call, input->type, &input->identity, &object);
	if (status == HV_STATUS_SUCCESS) {
		if (*object.gpn == HV_NEVER) {
			status = HV_STATUS_INVALID_PARAMETER;
		} else {
			plat_overlay_unmap(caller, *object.gpn, object.page);
		}
		*object.gpn = HV_NEVER;
		if (object.partition != NULL) {
			partition_put(object.partition);
		}
	}
	spin_unlock(&caller->lock);
	return status;
}

/* The parent saw them; nobody can ask for them any more. */
static void forget(struct partition *parent, uint64_t gpn[AREAS], void *page)
{
	for (int i = 0; i < AREAS; i++) {
		if (gpn[i] != HV_NEVER) {
			plat_overlay_unmap(parent, gpn[i], page);
		}
		gpn[i] = HV_NEVER;
	}
}

void stats_forget_partition(struct partition *p)
{
	forget(p->parent, p->stats_gpn, p->stats_page);
}

void stats_forget_vp(struct vp *vp)
{
	forget(vp->partition->parent, vp->stats_gpn, vp->stats_page);
}
