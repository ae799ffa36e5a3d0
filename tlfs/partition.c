/*
 * The table of partitions and their life (TLFS: Virtualization Host, "Partition Lifecycle").
 *
 *        CreatePartition           InitializePartition
 *   FREE ---------------> CREATED --------------------> INITIALIZED
 *    ^                       |                               |  FinalizePartition: no new work
 *    |   DeletePartition     |                               v
 *    +-----------------------+                          FINALIZING   ports and connections go;
 *    |                                                       |       with no other reference
 *    |   DeletePartition                                     v       left: VPs, pages, maps
 *    +--------------------------------------------------- FINALIZED
 *
 * Invariants:
 *  1. A slot's partition changes under the slot's lock only, and goes away only when no reference
 *     but the deleter's is left.
 *  2. In FINALIZING nobody gains a reference to do anything but finalize; so once the others are
 *     gone, VPs are out of reach.
 *  3. struct partition lies in a page of the parent's pool; all else that a partition needs, in
 *     pages of its own.
 *  4. A partition is deleted with an empty pool: each page deposited was withdrawn.
 */
#include "tlfs/partition.h"

#define SLOT_BITS  10
#define VPS_A_STEP 4 /* destroyed by one call of FinalizePartition */
#define CREATION_FLAGS                                                                             \
	(HV_PARTITION_CREATION_FLAG_SMT_ENABLED_GUEST |                                            \
	 HV_PARTITION_CREATION_FLAG_GPA_SUPER_PAGES_ENABLED |                                      \
	 HV_PARTITION_CREATION_FLAG_EXO_PARTITION | HV_PARTITION_CREATION_FLAG_LAPIC_ENABLED |     \
	 HV_PARTITION_CREATION_FLAG_INTERCEPT_MESSAGE_PAGE_ENABLED |                               \
	 HV_PARTITION_CREATION_FLAG_X2APIC_CAPABLE)

_Static_assert(sizeof(struct partition) <= PAGE_SIZE, "struct partition has outgrown its page");
_Static_assert(HV_MAX_PARTITIONS == 1 << SLOT_BITS, "ids are made of a slot and a generation");

/*
 * The id of a slot's n-th partition is n << SLOT_BITS | slot, so that an id is never used twice;
 * slot 1, n = 0 is the root.
 */
static struct slot {
	struct spinlock lock;
	struct partition *partition;
	uint64_t next_id;
} slots[HV_MAX_PARTITIONS];

struct partition *partition_root;

static struct slot *slot_of(uint64_t id)
{
	return &slots[id & (HV_MAX_PARTITIONS - 1)];
}

struct partition *partition_get_child(struct vp *caller, uint64_t id)
{
	struct slot *slot = slot_of(id);
	struct partition *p;

	spin_lock(&slot->lock);
	p = slot->partition;
	if (p != NULL && p->id == id && p->parent == caller->partition) {
		__atomic_fetch_add(&p->references, 1, __ATOMIC_ACQUIRE);
	} else {
		p = NULL;
	}
	spin_unlock(&slot->lock);
	return p;
}

struct partition *partition_get(struct vp *caller, uint64_t id)
{
	struct partition *own = caller->partition;

	if (id != HV_PARTITION_ID_SELF && id != own->id) {
		return partition_get_child(caller, id);
	}
	__atomic_fetch_add(&own->references, 1, __ATOMIC_ACQUIRE);
	return own;
}

void partition_put(struct partition *p)
{
	CHECK(__atomic_fetch_sub(&p->references, 1, __ATOMIC_RELEASE) > 1);
}

struct vp *partition_vp(struct partition *p, uint32_t index)
{
	if (index >= HV_MAX_VPS) {
		return NULL;
	}
	return __atomic_load_n(&p->vps[index], __ATOMIC_ACQUIRE);
}

uint64_t partition_next_child(const struct partition *parent, uint64_t previous)
{
	uint64_t next = 0;

	for (struct slot *slot = slots; slot < slots + HV_MAX_PARTITIONS; slot++) {
		const struct partition *p;

		spin_lock(&slot->lock);
		p = slot->partition;
		if (p != NULL && p->parent == parent && p->id > previous &&
		    (!next || p->id < next)) {
			next = p->id;
		}
		spin_unlock(&slot->lock);
	}
	return next;
}

/* A partition that no other LP can see yet. */
static void partition_init(struct partition *p, struct partition *parent)
{
	p->parent = parent;
	p->references = 1;
	p->frozen_100ns = HV_NEVER;
	/* What a parent gets without asking: it alone has devices. */
	p->intercept_io = p->intercept_apic_eoi = parent != NULL;
	p->stats_gpn[HV_STATS_AREA_SELF] = p->stats_gpn[HV_STATS_AREA_PARENT] = HV_NEVER;
	cpuid_machine_features(p->processor_features);
	p->xsave_features = cpuid_machine_xsave_features();
}

/* What a partition has from its initialization on, from its own pool. */
static hv_status_t create_pages(struct partition *p)
{
	p->hypercall_page = plat_page_alloc(p);
	p->tsc_page = plat_page_alloc(p);
	p->stats_page = plat_page_alloc(p);
	if (p->hypercall_page == NULL || p->tsc_page == NULL || p->stats_page == NULL) {
		return HV_STATUS_INSUFFICIENT_MEMORY;
	}
	plat_hypercall_page(p->hypercall_page);
	p->stats_page[HV_STATS_PT_PARTITION_ID] = p->id;
	cpuid_create(p);
	return refclock_create(p);
}

static void free_page(struct partition *p, void *page)
{
	if (page != NULL) {
		plat_page_free(p, page);
	}
}

static void destroy_pages(struct partition *p)
{
	free_page(p, p->hypercall_page);
	free_page(p, p->tsc_page);
	free_page(p, p->stats_page);
	p->hypercall_page = p->tsc_page = NULL;
	p->stats_page = NULL;
}

hv_status_t partition_create_root(struct partition *root, const uint32_t *apic_ids, uint32_t count)
{
	struct slot *slot = slot_of(HV_ROOT_PARTITION);
	hv_status_t status;

	if (!count || count > HV_MAX_VPS) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	partition_init(root, NULL);
	root->id = HV_ROOT_PARTITION;
	root->create_flags = HV_PARTITION_CREATION_FLAG_LAPIC_ENABLED |
			     HV_PARTITION_CREATION_FLAG_X2APIC_CAPABLE;
	root->synthetic_features = property_synthetic_features();
	root->privileges = property_privileges(root->synthetic_features) |
			   (uint64_t)(HV_CREATE_PARTITIONS | HV_ACCESS_MEMORY_POOL |
				      HV_CREATE_PORT | HV_CONNECT_PORT | HV_ACCESS_STATS)
				   << 32;
	partition_root = root;
	status = plat_partition_create(root);
	if (status == HV_STATUS_SUCCESS) {
		status = create_pages(root);
	}
	for (uint32_t i = 0; i < count && status == HV_STATUS_SUCCESS; i++) {
		status = vp_create(root, i, apic_ids[i]);
	}
	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	root->state = PARTITION_INITIALIZED;
	slot->next_id = HV_ROOT_PARTITION + HV_MAX_PARTITIONS;
	slot->partition = root;
	return HV_STATUS_SUCCESS;
}

/* Puts it in a free slot and names it. Slot 0 stays empty: id 0 is no partition. */
static bool slot_take(struct partition *p)
{
	for (uint64_t i = 1; i < HV_MAX_PARTITIONS; i++) {
		struct slot *slot = &slots[i];
		bool taken;

		spin_lock(&slot->lock);
		taken = slot->partition != NULL;
		if (!taken) {
			p->id = slot->next_id ? slot->next_id : i;
			slot->next_id = p->id + HV_MAX_PARTITIONS;
			p->state = PARTITION_CREATED;
			slot->partition = p;
		}
		spin_unlock(&slot->lock);
		if (!taken) {
			return true;
		}
	}
	return false;
}

static hv_status_t check_creation(const struct partition *parent,
				  const struct hv_input_create_partition *input)
{
	if (parent->parent != NULL) {
		return HV_STATUS_PARTITION_TOO_DEEP;
	}
	if (input->flags & ~CREATION_FLAGS) {
		if (input->flags & HV_PARTITION_CREATION_FLAG_NESTED_VIRTUALIZATION_CAPABLE) {
			return HV_STATUS_FEATURE_UNAVAILABLE;
		}
		return HV_STATUS_INVALID_PARAMETER;
	}
	if (!(input->flags & HV_PARTITION_CREATION_FLAG_LAPIC_ENABLED)) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	if (input->padding || input->isolation_properties.as_uint64) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	return HV_STATUS_SUCCESS;
}

hv_status_t partition_create(struct partition *parent,
			     const struct hv_input_create_partition *input, uint64_t *id)
{
	const struct hv_partition_creation_properties *properties =
		&input->partition_creation_properties;
	hv_status_t status = check_creation(parent, input);
	struct partition *p;

	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	p = plat_page_alloc(parent);
	if (p == NULL) {
		return HV_STATUS_INSUFFICIENT_MEMORY;
	}
	partition_init(p, parent);
	p->create_flags = input->flags;
	p->processor_features[0] &= ~properties->disabled_processor_features.as_uint64[0];
	p->processor_features[1] &= ~properties->disabled_processor_features.as_uint64[1];
	p->xsave_features &= ~properties->disabled_processor_xsave_features.as_uint64;
	p->processors_per_socket = HV_MAX_VPS;
	if (!slot_take(p)) {
		plat_page_free(parent, p);
		return HV_STATUS_NO_RESOURCES;
	}
	*id = p->id;
	return HV_STATUS_SUCCESS;
}

hv_status_t partition_initialize(struct partition *p)
{
	hv_status_t status;

	spin_lock(&p->lock);
	status = p->state == PARTITION_CREATED ? HV_STATUS_SUCCESS
					       : HV_STATUS_INVALID_PARTITION_STATE;
	if (status != HV_STATUS_SUCCESS) {
		goto out_unlock;
	}
	status = plat_partition_create(p);
	if (status != HV_STATUS_SUCCESS) {
		goto out_unlock;
	}
	status = create_pages(p);
	if (status == HV_STATUS_SUCCESS) {
		p->state = PARTITION_INITIALIZED;
		goto out_unlock;
	}
	destroy_pages(p);
	while (!plat_partition_destroy(p))
		; /* nothing is mapped: one step */
out_unlock:
	spin_unlock(&p->lock);
	return status;
}

/* FINALIZING, and nobody else has a reference: true, and nobody gets at a VP any more. */
static bool partition_quiet(struct partition *p)
{
	struct slot *slot = slot_of(p->id);
	bool quiet;

	spin_lock(&slot->lock);
	quiet = __atomic_load_n(&p->references, __ATOMIC_ACQUIRE) == 2; /* the table's and ours */
	spin_unlock(&slot->lock);
	return quiet;
}

static void kick_vps(struct partition *p)
{
	for (uint32_t i = 0; i < HV_MAX_VPS; i++) {
		if (p->vps[i] != NULL) {
			vp_post_event(p->vps[i], VP_EVENT_RELOAD | VP_EVENT_SUSPEND);
		}
	}
}

/* The VP is out of reach already. */
static void vp_remove(struct vp *vp)
{
	struct partition *p = vp->partition;

	vp_destroy(vp);
	p->stats_page[HV_STATS_PT_VIRTUAL_PROCESSORS] = --p->vp_count;
}

static bool destroy_some_vps(struct partition *p)
{
	uint32_t budget = VPS_A_STEP;

	for (uint32_t i = 0; i < HV_MAX_VPS; i++) {
		struct vp *vp = p->vps[i];

		if (vp == NULL) {
			continue;
		}
		if (!budget--) {
			return false;
		}
		__atomic_store_n(&p->vps[i], NULL, __ATOMIC_RELEASE);
		vp_remove(vp);
	}
	return true;
}

/* The guest's pages of the whole partition leave its GPA space; a move to nowhere cannot fail. */
static void remove_overlays(struct partition *p)
{
	CHECK(overlay_move(p, p->hypercall_msr, 0, p->hypercall_page) == HV_STATUS_SUCCESS);
	CHECK(overlay_move(p, p->reference_tsc, 0, p->tsc_page) == HV_STATUS_SUCCESS);
	p->hypercall_msr = p->reference_tsc = 0;
}

/* One step; p->busy is ours. True: all is gone. */
static bool take_down(struct partition *p)
{
	if (!port_destroy_some(p)) {
		return false;
	}
	if (!partition_quiet(p)) {
		kick_vps(p);
		return false;
	}
	if (!destroy_some_vps(p)) {
		return false;
	}
	stats_forget_partition(p);
	cpuid_override_destroy(p);
	msr_result_destroy(p);
	remove_overlays(p);
	if (!plat_partition_destroy(p)) {
		return false;
	}
	destroy_pages(p);
	return true;
}

hv_status_t partition_finalize(struct partition *p, bool *again)
{
	hv_status_t status = HV_STATUS_SUCCESS;

	spin_lock(&p->lock);
	if (p->state == PARTITION_INITIALIZED) {
		p->state = PARTITION_FINALIZING;
	} else if (p->state != PARTITION_FINALIZING) {
		status = HV_STATUS_INVALID_PARTITION_STATE;
	}
	spin_unlock(&p->lock);
	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	*again = true;
	if (__atomic_exchange_n(&p->busy, true, __ATOMIC_ACQUIRE)) {
		return HV_STATUS_SUCCESS;
	}
	if (p->state == PARTITION_FINALIZING && take_down(p)) {
		p->state = PARTITION_FINALIZED;
		*again = false;
	}
	__atomic_store_n(&p->busy, false, __ATOMIC_RELEASE);
	return HV_STATUS_SUCCESS;
}

hv_status_t partition_delete(struct partition *p, bool *again)
{
	struct slot *slot = slot_of(p->id);
	struct partition *parent = p->parent;
	hv_status_t status = HV_STATUS_SUCCESS;

	spin_lock(&slot->lock);
	*again = __atomic_load_n(&p->references, __ATOMIC_ACQUIRE) != 2;
	if (!*again) {
		if (p->state != PARTITION_CREATED && p->state != PARTITION_FINALIZED) {
			status = HV_STATUS_INVALID_PARTITION_STATE;
		} else if (plat_deposit_count(p)) {
			status = HV_STATUS_OBJECT_IN_USE;
		} else {
			slot->partition = NULL;
		}
	}
	spin_unlock(&slot->lock);
	if (*again || status != HV_STATUS_SUCCESS) {
		partition_put(p);
	} else {
		plat_page_free(parent, p);
	}
	return status;
}

hv_status_t partition_delete_vp(struct partition *p, uint32_t index, bool *again)
{
	struct slot *slot = slot_of(p->id);
	hv_status_t status = HV_STATUS_SUCCESS;
	struct vp *vp;

	spin_lock(&p->lock);
	vp = partition_vp(p, index);
	if (p->state != PARTITION_INITIALIZED) {
		status = HV_STATUS_INVALID_PARTITION_STATE;
	} else if (vp == NULL) {
		status = HV_STATUS_INVALID_VP_INDEX;
	} else {
		spin_lock(&slot->lock);
		*again = __atomic_load_n(&p->references, __ATOMIC_ACQUIRE) != 2;
		if (!*again) {
			__atomic_store_n(&p->vps[index], NULL, __ATOMIC_RELEASE);
		}
		spin_unlock(&slot->lock);
		if (*again) {
			vp_post_event(vp, VP_EVENT_RELOAD | VP_EVENT_SUSPEND);
		} else {
			vp_remove(vp);
		}
	}
	spin_unlock(&p->lock);
	return status;
}
