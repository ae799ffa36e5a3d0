/*
 * Which calls there are, who may make them, and how large their parameters are: one row a call. The
 * rest follows from it.
 */
#include "tlfs/hypercall.h"

#include "include/hv/device.h"

#define SIZE(type) ((sizeof(type) + 7) & ~7u)
#define IN(name)   SIZE(struct hv_input_##name)
#define OUT(name)  SIZE(struct hv_output_##name)

/* code (without HVCALL_), handler (without hc_), privileges, input, output */
#define SIMPLE(code, function, privileges, in, out)                                                \
	[HVCALL_##code] = {.name = #code,                                                          \
			   .handler = hc_##function,                                               \
			   .privilege = privileges,                                                \
			   .input = in,                                                            \
			   .output = out}
/* a rep call: fixed input, bytes of an element in and out, elements a slice */
#define REP(code, function, privileges, in, element_in, element_out, reps)                         \
	[HVCALL_##code] = {.name = #code,                                                          \
			   .handler = hc_##function,                                               \
			   .privilege = privileges,                                                \
			   .input = in,                                                            \
			   .list = element_in,                                                     \
			   .output_list = element_out,                                             \
			   .slice = reps}
#define SIMPLE_VARIABLE(code, function, privileges, in, out)                                       \
	[HVCALL_##code] = {.name = #code,                                                          \
			   .handler = hc_##function,                                               \
			   .privilege = privileges,                                                \
			   .input = in,                                                            \
			   .output = out,                                                          \
			   .variable = true}
#define REP_VARIABLE(code, function, privileges, in, element_in, reps)                             \
	[HVCALL_##code] = {.name = #code,                                                          \
			   .handler = hc_##function,                                               \
			   .privilege = privileges,                                                \
			   .input = in,                                                            \
			   .list = element_in,                                                     \
			   .slice = reps,                                                          \
			   .variable = true}

/* Calls on children need this one, whatever else they do. */
#define PARENT HV_CREATE_PARTITIONS
#define ANYONE 0

static const struct hypercall_row rows[] = {
	SIMPLE(FLUSH_VIRTUAL_ADDRESS_SPACE, flush_address_space, ANYONE, SIZE(struct hv_tlb_flush),
	       0),
	REP(FLUSH_VIRTUAL_ADDRESS_LIST, flush_address_list, ANYONE, SIZE(struct hv_tlb_flush), 8, 0,
	    512),
	SIMPLE(GET_LOGICAL_PROCESSOR_RUN_TIME, get_lp_run_time, PARENT,
	       IN(get_logical_processor_run_time), OUT(get_logical_processor_run_time)),
	SIMPLE(NOTIFY_LONG_SPIN_WAIT, notify_long_spin_wait, ANYONE, IN(notify_long_spin_wait), 0),
	SIMPLE(SEND_IPI, send_ipi, ANYONE, SIZE(struct hv_send_ipi), 0),
	SIMPLE_VARIABLE(FLUSH_VIRTUAL_ADDRESS_SPACE_EX, flush_address_space_ex, ANYONE,
			SIZE(struct hv_tlb_flush_ex), 0),
	REP_VARIABLE(FLUSH_VIRTUAL_ADDRESS_LIST_EX, flush_address_list_ex, ANYONE,
		     SIZE(struct hv_tlb_flush_ex), 8, 512),
	SIMPLE_VARIABLE(SEND_IPI_EX, send_ipi_ex, ANYONE, SIZE(struct hv_send_ipi_ex), 0),

	SIMPLE(CREATE_PARTITION, create_partition, PARENT, IN(create_partition),
	       OUT(create_partition)),
	SIMPLE(INITIALIZE_PARTITION, initialize_partition, PARENT, IN(initialize_partition), 0),
	SIMPLE(FINALIZE_PARTITION, finalize_partition, PARENT, IN(finalize_partition), 0),
	SIMPLE(DELETE_PARTITION, delete_partition, PARENT, IN(delete_partition), 0),
	SIMPLE(GET_PARTITION_PROPERTY, get_partition_property, PARENT, IN(get_partition_property),
	       OUT(get_partition_property)),
	SIMPLE(SET_PARTITION_PROPERTY, set_partition_property, PARENT, IN(set_partition_property),
	       0),
	SIMPLE(GET_PARTITION_ID, get_partition_id, HV_ACCESS_PARTITION_ID, 0,
	       OUT(get_partition_id)),
	SIMPLE(GET_NEXT_CHILD_PARTITION, get_next_child_partition, PARENT,
	       IN(get_next_child_partition), OUT(get_next_child_partition)),
	SIMPLE(GET_PARTITION_PROPERTY_EX, get_partition_property_ex, PARENT,
	       IN(get_partition_property_ex), SIZE(struct hv_partition_property_vmm_capabilities)),
	SIMPLE_VARIABLE(SET_PARTITION_PROPERTY_EX, set_partition_property_ex, PARENT,
			IN(set_partition_property_ex), 0),
	SIMPLE(GET_SYSTEM_PROPERTY, get_system_property, PARENT, IN(get_system_property),
	       OUT(get_system_property)),

	REP(DEPOSIT_MEMORY, deposit_memory, HV_ACCESS_MEMORY_POOL, SIZE(struct hv_deposit_memory),
	    8, 0, 64),
	REP(WITHDRAW_MEMORY, withdraw_memory, HV_ACCESS_MEMORY_POOL, IN(withdraw_memory), 0, 8, 32),
	SIMPLE(GET_MEMORY_BALANCE, get_memory_balance, HV_ACCESS_MEMORY_POOL,
	       IN(get_memory_balance), OUT(get_memory_balance)),
	REP(MAP_GPA_PAGES, map_gpa_pages, PARENT, IN(map_gpa_pages), 8, 0, 64),
	REP(UNMAP_GPA_PAGES, unmap_gpa_pages, PARENT, IN(unmap_gpa_pages), 0, 0, 64),
	REP(GET_GPA_PAGES_ACCESS_STATES, get_gpa_access_states, PARENT,
	    IN(get_gpa_pages_access_state), 0, 1, 256),
	SIMPLE(TRANSLATE_VIRTUAL_ADDRESS, translate_virtual_address, PARENT,
	       IN(translate_virtual_address), OUT(translate_virtual_address)),
	SIMPLE(TRANSLATE_VIRTUAL_ADDRESS_EX, translate_virtual_address_ex, PARENT,
	       IN(translate_virtual_address), OUT(translate_virtual_address_ex)),

	SIMPLE(GET_IOMMU_CAPABILITIES, get_iommu_capabilities, PARENT, IN(get_iommu_capabilities),
	       OUT(get_iommu_capabilities)),
	SIMPLE(CREATE_DEVICE_DOMAIN, create_device_domain, PARENT, IN(create_device_domain), 0),
	SIMPLE(DELETE_DEVICE_DOMAIN, delete_device_domain, PARENT, IN(delete_device_domain), 0),
	SIMPLE(ATTACH_DEVICE_DOMAIN, attach_device_domain, PARENT, IN(attach_device_domain), 0),
	SIMPLE(DETACH_DEVICE_DOMAIN, detach_device_domain, PARENT, IN(detach_device_domain), 0),
	REP(MAP_DEVICE_GPA_PAGES, map_device_gpa_pages, PARENT, IN(map_device_gpa_pages), 8, 0, 64),
	REP(UNMAP_DEVICE_GPA_PAGES, unmap_device_gpa_pages, PARENT, IN(unmap_device_gpa_pages), 0,
	    0, PLAT_DEVICE_UNMAP_PAGES),
	SIMPLE_VARIABLE(MAP_DEVICE_INTERRUPT, map_device_interrupt, PARENT,
			IN(map_device_interrupt), OUT(map_device_interrupt)),
	SIMPLE(UNMAP_DEVICE_INTERRUPT, unmap_device_interrupt, PARENT, IN(unmap_device_interrupt),
	       0),

	SIMPLE(CREATE_VP, create_vp, PARENT, SIZE(struct hv_create_vp), 0),
	SIMPLE(DELETE_VP, delete_vp, PARENT, SIZE(union hv_input_delete_vp), 0),
	REP(GET_VP_REGISTERS, get_vp_registers, HV_ACCESS_VP_REGISTERS, IN(get_vp_registers), 4, 16,
	    64),
	REP(SET_VP_REGISTERS, set_vp_registers, HV_ACCESS_VP_REGISTERS, IN(set_vp_registers), 32, 0,
	    64),
	SIMPLE(START_VP, start_vp, HV_START_VIRTUAL_PROCESSOR, SIZE(struct hv_enable_vp_vtl), 0),
	REP(GET_VP_INDEX_FROM_APIC_ID, get_vp_index_from_apic_id, HV_START_VIRTUAL_PROCESSOR,
	    SIZE(struct hv_get_vp_from_apic_id_in), 4, 4, 8),
	SIMPLE(DISPATCH_VP, dispatch_vp, PARENT, IN(dispatch_vp), OUT(dispatch_vp)),
	SIMPLE_VARIABLE(GET_VP_STATE, get_vp_state, PARENT, IN(get_vp_state),
			SIZE(union hv_output_get_vp_state)),
	SIMPLE_VARIABLE(SET_VP_STATE, set_vp_state, PARENT, IN(set_vp_state), 0),
	SIMPLE(MAP_VP_STATE_PAGE, map_vp_state_page, PARENT, IN(map_vp_state_page),
	       OUT(map_vp_state_page)),
	SIMPLE(UNMAP_VP_STATE_PAGE, unmap_vp_state_page, PARENT, IN(unmap_vp_state_page), 0),
	SIMPLE(MAP_STATS_PAGE, map_stats_page, HV_ACCESS_STATS, IN(map_stats_page),
	       OUT(map_stats_page)),
	SIMPLE(MAP_STATS_PAGE2, map_stats_page2, HV_ACCESS_STATS, IN(map_stats_page2), 0),
	SIMPLE(UNMAP_STATS_PAGE, unmap_stats_page, HV_ACCESS_STATS, IN(unmap_stats_page), 0),

	SIMPLE(INSTALL_INTERCEPT, install_intercept, PARENT, IN(install_intercept), 0),
	SIMPLE(REGISTER_INTERCEPT_RESULT, register_intercept_result, PARENT,
	       IN(register_intercept_result), 0),
	SIMPLE(UNREGISTER_INTERCEPT_RESULT, unregister_intercept_result, PARENT,
	       IN(unregister_intercept_result), 0),
	REP(GET_VP_CPUID_VALUES, get_vp_cpuid_values, PARENT, IN(get_vp_cpuid_values), 24, 16, 32),

	SIMPLE(CREATE_PORT, create_port, HV_CREATE_PORT, IN(create_port), 0),
	SIMPLE(DELETE_PORT, delete_port, HV_CREATE_PORT, SIZE(union hv_input_delete_port), 0),
	SIMPLE(CONNECT_PORT, connect_port, HV_CONNECT_PORT, IN(connect_port), 0),
	SIMPLE(DISCONNECT_PORT, disconnect_port, HV_CONNECT_PORT,
	       SIZE(union hv_input_disconnect_port), 0),
	SIMPLE(POST_MESSAGE, post_message, HV_POST_MESSAGES, IN(post_message), 0),
	SIMPLE(SIGNAL_EVENT, signal_event, HV_SIGNAL_EVENTS, IN(signal_event), 0),
	SIMPLE(POST_MESSAGE_DIRECT, post_message_direct, PARENT, IN(post_message_direct), 0),
	SIMPLE(SIGNAL_EVENT_DIRECT, signal_event_direct, PARENT, IN(signal_event_direct),
	       OUT(signal_event_direct)),
	SIMPLE(NOTIFY_PORT_RING_EMPTY, notify_port_ring_empty, HV_CREATE_PORT,
	       SIZE(union hv_input_notify_port_ring_empty), 0),
	SIMPLE(ASSERT_VIRTUAL_INTERRUPT, assert_virtual_interrupt, PARENT,
	       IN(assert_virtual_interrupt), 0),
	SIMPLE(CLEAR_VIRTUAL_INTERRUPT, clear_virtual_interrupt, PARENT,
	       IN(clear_virtual_interrupt), 0),
	SIMPLE_VARIABLE(RETARGET_INTERRUPT, retarget_device_interrupt, ANYONE,
			SIZE(struct hv_retarget_device_interrupt), 0),
};

static const struct hypercall_row query_capabilities = {
	.name = "QUERY_CAPABILITIES",
	.handler = hc_query_capabilities,
	.privilege = HV_ENABLE_EXTENDED_HYPERCALLS,
	.output = OUT(query_capabilities),
};

static const struct hypercall_row vd_dispatch_vp = {
	.name = "VD_DISPATCH_VP",
	.handler = hc_vd_dispatch_vp,
	.privilege = PARENT,
	.input = IN(vd_dispatch_vp),
};

const struct hypercall_row *hypercall_find(uint16_t code)
{
	if (code < ARRAY_COUNT(rows) && rows[code].handler != NULL) {
		return &rows[code];
	}
	if (code == HVCALL_VD_DISPATCH_VP) {
		return &vd_dispatch_vp;
	}
	return code == HV_EXT_CALL_QUERY_CAPABILITIES ? &query_capabilities : NULL;
}
