/*
 * Partitions, for the handlers of calls: creation and removal (partition.c), properties
 * (property.c). Within the core only.
 */
#ifndef TLFS_PARTITION_H
#define TLFS_PARTITION_H

#include "tlfs/hv.h"

extern struct partition *partition_root;

/* As partition_get(), but for calls that only make sense on a child: NULL for the caller itself. */
struct partition *partition_get_child(struct vp *caller, uint64_t id);

hv_status_t partition_create(struct partition *parent,
			     const struct hv_input_create_partition *input,
			     uint64_t *id) MUST_CHECK;
hv_status_t partition_initialize(struct partition *p) MUST_CHECK;
/* Done in steps: *again when another call is needed. */
hv_status_t partition_finalize(struct partition *p, bool *again) MUST_CHECK;
/* Gives up the caller's reference in any case. */
hv_status_t partition_delete(struct partition *p, bool *again) MUST_CHECK;
hv_status_t partition_delete_vp(struct partition *p, uint32_t index, bool *again) MUST_CHECK;
/* The parent's next child with an id above `previous`; 0: none. */
uint64_t partition_next_child(const struct partition *parent, uint64_t previous);

/* property.c; [P] held */
hv_status_t property_get(struct partition *p, uint32_t code, uint64_t *value) MUST_CHECK;
hv_status_t property_set(struct partition *p, uint32_t code, uint64_t value) MUST_CHECK;
/*
 * All that the hypervisor has of the TLFS to give: the synthetic features, and the privileges that
 * follow from a choice of them.
 */
uint64_t property_synthetic_features(void);
uint64_t property_privileges(uint64_t synthetic_features);

/*
 * notify.c: the VP is being destroyed, or its dispatching disabled: the root will not hear of it
 * any more.
 */
void notify_forget(struct vp *vp);
/* Makes the root dispatch the VP, whose owner found it runnable. */
void notify_runnable(struct vp *vp);
/*
 * As an interrupt from a SINT that has as_intercept: a message of type SYNIC_SINT_INTERCEPT on
 * SINT0.
 */
void notify_sint(struct vp *root_vp, uint32_t sint);

/*
 * hc_stats.c, hc_state.c: takes away what the parent sees of a partition or VP that is being
 * destroyed.
 */
void stats_forget_partition(struct partition *p);
void stats_forget_vp(struct vp *vp);
void state_pages_forget(struct vp *vp);

/*
 * port.c: a bounded part of the ports and connections of a partition that is finalized; true: none
 * are left.
 */
bool port_destroy_some(struct partition *p);

#endif
