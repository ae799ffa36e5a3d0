/*
 * What hypercall.c (entry) and the handlers share. Within the core only.
 */
#ifndef TLFS_HYPERCALL_H
#define TLFS_HYPERCALL_H

#include "tlfs/hv.h"

/*
 * One call on its way. `input` is the fixed header followed by the variable one, already copied;
 * `list` and `output_list` start at element `start`. The caller's privilege, all sizes and the
 * accessibility of its pages were checked.
 *
 * A rep handler does elements done..end-1 in order and counts `done` up after each. If it returns
 * SUCCESS with done < end it is continued, and must have done at least one. Of a call that is none,
 * `done` is 0 unless the call says what it means.
 */
struct hypercall {
	struct vp *vp; /* caller, owned */
	const void *input;
	const void *list;
	void *output; /* zeroed; for a rep call with elements out: output_list follows it */
	void *output_list;
	uint32_t variable_size; /* bytes of variable header */
	uint32_t start, done, end;
	bool again;     /* call the handler once more with the same input: HYPERCALL_AGAIN */
	bool intercept; /* the parent shall do it: HYPERCALL_INTERCEPT */
};

/* The element of a rep call that is to be done next. */
#define hypercall_element(call, type) (&((const type *)(call)->list)[(call)->done - (call)->start])
#define hypercall_output_element(call, type)                                                       \
	(&((type *)(call)->output_list)[(call)->done - (call)->start])

typedef hv_status_t hypercall_handler(struct hypercall *call);

/*
 * A row of the table of calls (hypercall_table.c). A call may be fast whenever its parameters fit
 * in the registers.
 */
struct hypercall_row {
	const char *name;
	hypercall_handler *handler; /* NULL: no such call */
	uint32_t privilege;     /* all of these bits of 0x40000003 EBX: HV_CREATE_PARTITIONS … */
	uint16_t input, output; /* bytes of the fixed headers, multiples of 8 */
	uint8_t list, output_list; /* bytes of an element; both 0 for a rep call that only counts */
	uint16_t slice;            /* rep call: elements done at a time; 0: a simple call */
	bool variable;             /* takes a variable header */
};

/* NULL when there is no such call. */
const struct hypercall_row *hypercall_find(uint16_t code);

/*
 * For calls that name a VP of another partition: takes a reference and vp->lock, after telling the
 * LP that runs the VP to let go. A caller may name its own VP (whose lock it holds). hc_vp_release
 * undoes both.
 */
struct hc_vp {
	struct partition *partition;
	struct vp *vp;
	bool locked;
};
hv_status_t hc_vp_acquire(struct vp *caller, uint64_t partition, uint32_t index,
			  struct hc_vp *out) MUST_CHECK;
void hc_vp_release(struct hc_vp *held);

/* There is no VTL but the normal one. */
bool hc_vtl_valid(union hv_input_vtl vtl);

/*
 * A VP of a child, without its lock, for what may be done in any context. On success with a
 * reference to *p.
 */
hv_status_t hc_child_vp(struct vp *caller, uint64_t partition, uint32_t index, struct partition **p,
			struct vp **vp) MUST_CHECK;

/* hc_flush.c */
hypercall_handler hc_flush_address_space, hc_flush_address_list, hc_flush_address_space_ex,
	hc_flush_address_list_ex;
hypercall_handler hc_send_ipi, hc_send_ipi_ex;

/* hc_partition.c */
hypercall_handler hc_create_partition, hc_initialize_partition, hc_finalize_partition,
	hc_delete_partition;
hypercall_handler hc_get_partition_property, hc_set_partition_property,
	hc_get_partition_property_ex, hc_set_partition_property_ex;
hypercall_handler hc_get_partition_id, hc_get_next_child_partition, hc_get_system_property,
	hc_get_lp_run_time;
hypercall_handler hc_query_capabilities;

/* hc_memory.c */
hypercall_handler hc_deposit_memory, hc_withdraw_memory, hc_get_memory_balance;
hypercall_handler hc_map_gpa_pages, hc_unmap_gpa_pages, hc_get_gpa_access_states,
	hc_translate_virtual_address, hc_translate_virtual_address_ex;

/* hc_device.c */
hypercall_handler hc_get_iommu_capabilities, hc_create_device_domain, hc_delete_device_domain,
	hc_attach_device_domain, hc_detach_device_domain, hc_map_device_gpa_pages,
	hc_unmap_device_gpa_pages;
/* A function of segment 0 that makes its requests itself. */
bool hc_device_valid(uint64_t id);

/* hc_device_interrupt.c */
hypercall_handler hc_map_device_interrupt, hc_unmap_device_interrupt, hc_retarget_device_interrupt;

/* hc_vp.c, hc_start.c */
hypercall_handler hc_create_vp, hc_delete_vp, hc_get_vp_registers, hc_set_vp_registers,
	hc_dispatch_vp, hc_vd_dispatch_vp;
hypercall_handler hc_notify_long_spin_wait, hc_start_vp, hc_get_vp_index_from_apic_id;

/* hc_state.c, hc_stats.c */
hypercall_handler hc_get_vp_state, hc_set_vp_state, hc_map_vp_state_page, hc_unmap_vp_state_page;
hypercall_handler hc_map_stats_page, hc_map_stats_page2, hc_unmap_stats_page;

/* hc_intercept.c */
hypercall_handler hc_install_intercept, hc_register_intercept_result,
	hc_unregister_intercept_result, hc_get_vp_cpuid_values;

/* hc_synic.c */
hypercall_handler hc_create_port, hc_connect_port, hc_delete_port, hc_disconnect_port;
hypercall_handler hc_post_message, hc_signal_event, hc_post_message_direct, hc_signal_event_direct;
hypercall_handler hc_notify_port_ring_empty, hc_assert_virtual_interrupt,
	hc_clear_virtual_interrupt;

#endif
