/*
 * Virtual processors: creation, dispatch by the root's scheduler, state, the pages that they share
 * (TLFS: Virtual Processors; HV_VP_STATE_PAGE_TYPE; HV_VP_ASSIST_PAGE).
 */
#ifndef HV_VP_H
#define HV_VP_H

#include "registers.h"
#include "synic.h"
#include "types.h"

/* HvCallCreateVp */
enum hv_subnode_type {
	HV_SUBNODE_ANY = 0,
	HV_SUBNODE_SOCKET = 1,
	HV_SUBNODE_CLUSTER = 2,
	HV_SUBNODE_L3 = 3,
	HV_SUBNODE_COUNT,
};

struct hv_create_vp {
	uint64_t partition_id;
	uint32_t vp_index;
	uint8_t padding[3];
	uint8_t subnode_type;
	uint64_t subnode_id;
	struct hv_proximity_domain_info proximity_domain_info;
	uint64_t flags;
};
HV_ASSERT_SIZE(struct hv_create_vp, 40);
HV_ASSERT_OFFSET(struct hv_create_vp, subnode_id, 16);

/* HvCallDeleteVp (fast) */
union hv_input_delete_vp {
	uint64_t as_uint64[2];
	struct {
		uint64_t partition_id;
		uint32_t vp_index;
		uint8_t reserved[4];
	};
};
HV_ASSERT_SIZE(union hv_input_delete_vp, 16);

/* TLFS: HV_INITIAL_VP_CONTEXT */
struct hv_init_vp_context {
	uint64_t rip;
	uint64_t rsp;
	uint64_t rflags;
	struct hv_x64_segment_register cs;
	struct hv_x64_segment_register ds;
	struct hv_x64_segment_register es;
	struct hv_x64_segment_register fs;
	struct hv_x64_segment_register gs;
	struct hv_x64_segment_register ss;
	struct hv_x64_segment_register tr;
	struct hv_x64_segment_register ldtr;
	struct hv_x64_table_register idtr;
	struct hv_x64_table_register gdtr;
	uint64_t efer;
	uint64_t cr0;
	uint64_t cr3;
	uint64_t cr4;
	uint64_t msr_cr_pat;
};
HV_ASSERT_SIZE(struct hv_init_vp_context, 224);

/* HvCallStartVirtualProcessor, HvCallEnableVpVtl */
struct hv_enable_vp_vtl {
	uint64_t partition_id;
	uint32_t vp_index;
	union hv_input_vtl target_vtl;
	uint8_t mbz0;
	uint16_t mbz1;
	struct hv_init_vp_context vp_context;
};
HV_ASSERT_SIZE(struct hv_enable_vp_vtl, 240);

/*
 * HvCallDispatchVp: run a VP on the calling LP. BLOCKED: it has nothing to do until a scheduler
 * message names it. READY: it can be dispatched again. SUSPEND: one of the suspend registers is
 * set. INTERCEPT: the message is in the VP's intercept page.
 */
#define HV_DISPATCH_VP_FLAG_CLEAR_INTERCEPT_SUSPEND     0x01u
#define HV_DISPATCH_VP_FLAG_ENABLE_CALLER_INTERRUPTS    0x02u
#define HV_DISPATCH_VP_FLAG_SET_CALLER_SPEC_CTRL        0x04u
#define HV_DISPATCH_VP_FLAG_SKIP_VP_SPEC_FLUSH          0x08u
#define HV_DISPATCH_VP_FLAG_SKIP_CALLER_SPEC_FLUSH      0x10u
#define HV_DISPATCH_VP_FLAG_SKIP_CALLER_USER_SPEC_FLUSH 0x20u
#define HV_DISPATCH_VP_FLAG_SCAN_INTERRUPT_INJECTION    0x40u

struct hv_input_dispatch_vp {
	uint64_t partition_id;
	uint32_t vp_index;
	uint32_t flags;
	uint64_t time_slice; /* 100 ns; 0: no limit */
	uint64_t spec_ctrl;
};
HV_ASSERT_SIZE(struct hv_input_dispatch_vp, 32);

enum hv_vp_dispatch_state {
	HV_VP_DISPATCH_STATE_INVALID = 0,
	HV_VP_DISPATCH_STATE_BLOCKED = 1,
	HV_VP_DISPATCH_STATE_READY = 2,
};

enum hv_vp_dispatch_event {
	HV_VP_DISPATCH_EVENT_INVALID = 0,
	HV_VP_DISPATCH_EVENT_SUSPEND = 1,
	HV_VP_DISPATCH_EVENT_INTERCEPT = 2,
	/* Not of the TLFS, with READY: it spins, let another run. Who does not know it dispatches
	 * again. */
	HV_VP_DISPATCH_EVENT_VD_SPIN = 3,
};

struct hv_output_dispatch_vp {
	uint32_t dispatch_state; /* enum hv_vp_dispatch_state */
	uint32_t dispatch_event; /* enum hv_vp_dispatch_event */
};
HV_ASSERT_SIZE(struct hv_output_dispatch_vp, 8);

/*
 * HVCALL_VD_DISPATCH_VP: HVCALL_DISPATCH_VP for registers. What that has as output is in the result
 * word's field of reps done: state in bits 3:0, event in bits 7:4.
 */
struct hv_input_vd_dispatch_vp {
	uint64_t partition_id;
	uint32_t vp_index;
	uint32_t flags;
};
HV_ASSERT_SIZE(struct hv_input_vd_dispatch_vp, 16);
#define HV_VD_DISPATCH_EVENT_SHIFT 4
#define HV_VD_DISPATCH_STATE_MASK  0xfu

/* Payload of HVMSG_SCHEDULER_VP_SIGNAL_BITSET: VPs of one partition that are to be dispatched */
#define HV_ROOT_SCHEDULER_MAX_VPS_PER_CHILD_PARTITION 1024

struct hv_vp_signal_bitset_scheduler_message {
	uint64_t partition_id;
	uint32_t overflow_count;
	uint16_t vp_count;
	uint16_t reserved;
	union {
		struct hv_vpset bitset;
		uint64_t bitset_buffer[HV_GENERIC_SET_QWORD_COUNT(
			HV_ROOT_SCHEDULER_MAX_VPS_PER_CHILD_PARTITION)];
	} vp_bitset;
};
HV_ASSERT_SIZE(struct hv_vp_signal_bitset_scheduler_message, 160);

/* Payload of HVMSG_SCHEDULER_VP_SIGNAL_PAIR: VPs of several */
#define HV_MESSAGE_MAX_PARTITION_VP_PAIR_COUNT 19

struct hv_vp_signal_pair_scheduler_message {
	uint32_t overflow_count;
	uint8_t vp_count;
	uint8_t reserved1[3];
	uint64_t partition_ids[HV_MESSAGE_MAX_PARTITION_VP_PAIR_COUNT];
	uint32_t vp_indexes[HV_MESSAGE_MAX_PARTITION_VP_PAIR_COUNT];
	uint8_t reserved2[4];
};
HV_ASSERT_SIZE(struct hv_vp_signal_pair_scheduler_message, HV_MESSAGE_PAYLOAD_BYTE_COUNT);
HV_ASSERT_OFFSET(struct hv_vp_signal_pair_scheduler_message, vp_indexes, 160);

/* State that is read and written in one piece (HvCallGetVpState, HvCallSetVpState) */

#define HV_GET_SET_VP_STATE_TYPE_PFN 0x80000000u /* the data is in pages, given by number */

enum hv_get_set_vp_state_type {
	HV_GET_SET_VP_STATE_LAPIC_STATE = 0 | HV_GET_SET_VP_STATE_TYPE_PFN,
	HV_GET_SET_VP_STATE_XSAVE = 1 | HV_GET_SET_VP_STATE_TYPE_PFN,
	HV_GET_SET_VP_STATE_SIM_PAGE = 2 | HV_GET_SET_VP_STATE_TYPE_PFN,
	HV_GET_SET_VP_STATE_SIEF_PAGE = 3 | HV_GET_SET_VP_STATE_TYPE_PFN,
	HV_GET_SET_VP_STATE_SYNTHETIC_TIMERS = 4,
};

struct hv_vp_state_data_xsave {
	uint64_t flags;
	union hv_x64_xsave_xfem_register states;
};
HV_ASSERT_SIZE(struct hv_vp_state_data_xsave, 16);

struct hv_vp_state_data {
	uint32_t type; /* enum hv_get_set_vp_state_type */
	uint32_t rsvd;
	struct hv_vp_state_data_xsave xsave;
};
HV_ASSERT_SIZE(struct hv_vp_state_data, 24);

/* The variable header is the list of pages. */
struct hv_input_get_vp_state {
	uint64_t partition_id;
	uint32_t vp_index;
	uint8_t input_vtl;
	uint8_t rsvd0;
	uint16_t rsvd1;
	struct hv_vp_state_data state_data;
	uint64_t output_data_pfns[];
};
HV_ASSERT_SIZE(struct hv_input_get_vp_state, 40);

/* The variable header is the list of pages, or the data itself. */
struct hv_input_set_vp_state {
	uint64_t partition_id;
	uint32_t vp_index;
	uint8_t input_vtl;
	uint8_t rsvd0;
	uint16_t rsvd1;
	struct hv_vp_state_data state_data;
	uint64_t data[];
};
HV_ASSERT_SIZE(struct hv_input_set_vp_state, 40);

/* SYNTHETIC_TIMERS */
struct hv_stimer_state {
	struct {
		uint32_t undelivered_msg_pending : 1;
		uint32_t reserved : 31;
	} flags;
	uint32_t resvd;
	uint64_t config;
	uint64_t count;
	uint64_t adjustment;
	uint64_t undelivered_exp_time;
};
HV_ASSERT_SIZE(struct hv_stimer_state, 40);

struct hv_synthetic_timers_state {
	struct hv_stimer_state timers[HV_SYNIC_STIMER_COUNT];
	uint64_t reserved[5];
};
HV_ASSERT_SIZE(struct hv_synthetic_timers_state, 200);

union hv_output_get_vp_state {
	struct hv_synthetic_timers_state synthetic_timers_state;
};
HV_ASSERT_SIZE(union hv_output_get_vp_state, 200);

/* LAPIC_STATE (TLFS: HV_X64_INTERRUPT_CONTROLLER_STATE) */
struct hv_local_interrupt_controller_state {
	uint32_t apic_id;
	uint32_t apic_version;
	uint32_t apic_ldr;
	uint32_t apic_dfr;
	uint32_t apic_spurious;
	uint32_t apic_isr[8];
	uint32_t apic_tmr[8];
	uint32_t apic_irr[8];
	uint32_t apic_esr;
	uint32_t apic_icr_high;
	uint32_t apic_icr_low;
	uint32_t apic_lvt_timer;
	uint32_t apic_lvt_thermal;
	uint32_t apic_lvt_perfmon;
	uint32_t apic_lvt_lint0;
	uint32_t apic_lvt_lint1;
	uint32_t apic_lvt_error;
	uint32_t apic_lvt_cmci;
	uint32_t apic_error_status;
	uint32_t apic_initial_count;
	uint32_t apic_counter_value;
	uint32_t apic_divide_configuration;
	uint32_t apic_remote_read;
};
HV_ASSERT_SIZE(struct hv_local_interrupt_controller_state, 176);
HV_ASSERT_OFFSET(struct hv_local_interrupt_controller_state, apic_lvt_timer, 128);

/* Pages shared with the parent (HvCallMapVpStatePage, HvCallUnmapVpStatePage) */

enum hv_vp_state_page_type {
	HV_VP_STATE_PAGE_REGISTERS = 0,
	HV_VP_STATE_PAGE_INTERCEPT_MESSAGE = 1,
	HV_VP_STATE_PAGE_GHCB = 2,
	HV_VP_STATE_PAGE_COUNT,
};

struct hv_input_map_vp_state_page {
	uint64_t partition_id;
	uint32_t vp_index;
	uint16_t type; /* enum hv_vp_state_page_type */
	union hv_input_vtl input_vtl;
	union {
		uint8_t as_uint8;
		struct {
			uint8_t map_location_provided : 1;
			uint8_t reserved : 7;
		};
	} flags;
	uint64_t requested_map_location; /* GPA page number */
};
HV_ASSERT_SIZE(struct hv_input_map_vp_state_page, 24);

struct hv_output_map_vp_state_page {
	uint64_t map_location; /* GPA page number */
};
HV_ASSERT_SIZE(struct hv_output_map_vp_state_page, 8);

struct hv_input_unmap_vp_state_page {
	uint64_t partition_id;
	uint32_t vp_index;
	uint16_t type;
	union hv_input_vtl input_vtl;
	uint8_t reserved0;
};
HV_ASSERT_SIZE(struct hv_input_unmap_vp_state_page, 16);

/*
 * The register page: valid while the VP is stopped at an intercept and isvalid is 1. Who changes a
 * register there sets the bit of its class in dirty; the hypervisor takes them over at the next
 * dispatch.
 */
#define HV_VP_REGISTER_PAGE_VERSION_1        1u
#define HV_VP_REGISTER_PAGE_MAX_VECTOR_COUNT 7

/* Bits of dirty */
#define HV_X64_REGISTER_CLASS_GENERAL 0
#define HV_X64_REGISTER_CLASS_IP      1
#define HV_X64_REGISTER_CLASS_XMM     2
#define HV_X64_REGISTER_CLASS_SEGMENT 3
#define HV_X64_REGISTER_CLASS_FLAGS   4

union hv_vp_register_page_interrupt_vectors {
	uint64_t as_uint64;
	struct {
		uint8_t vector_count;
		uint8_t vector[HV_VP_REGISTER_PAGE_MAX_VECTOR_COUNT];
	};
};
HV_ASSERT_SIZE(union hv_vp_register_page_interrupt_vectors, 8);

struct hv_vp_register_page {
	uint16_t version;
	uint8_t isvalid;
	uint8_t rsvdz;
	uint32_t dirty;
	union {
		struct {
			uint64_t rax;
			uint64_t rcx;
			uint64_t rdx;
			uint64_t rbx;
			uint64_t rsp;
			uint64_t rbp;
			uint64_t rsi;
			uint64_t rdi;
			uint64_t r8;
			uint64_t r9;
			uint64_t r10;
			uint64_t r11;
			uint64_t r12;
			uint64_t r13;
			uint64_t r14;
			uint64_t r15;
		};
		uint64_t gp_registers[16];
	};
	uint64_t rip;
	uint64_t rflags;
	uint8_t reserved[8];
	struct hv_u128 xmm_registers[6];
	union {
		struct {
			struct hv_x64_segment_register es;
			struct hv_x64_segment_register cs;
			struct hv_x64_segment_register ss;
			struct hv_x64_segment_register ds;
			struct hv_x64_segment_register fs;
			struct hv_x64_segment_register gs;
		};
		struct hv_x64_segment_register segment_registers[6];
	};
	/* read-only from here on */
	uint64_t cr0;
	uint64_t cr3;
	uint64_t cr4;
	uint64_t cr8;
	uint64_t efer;
	uint64_t dr7;
	union hv_x64_pending_interruption_register pending_interruption;
	union hv_x64_interrupt_state_register interrupt_state;
	uint64_t instruction_emulation_hints;
	uint64_t xfem;
	uint8_t reserved1[0x100];
	/* written by the root, taken by HvCallDispatchVp with SCAN_INTERRUPT_INJECTION */
	union hv_vp_register_page_interrupt_vectors interrupt_vectors;
};
HV_ASSERT_SIZE(struct hv_vp_register_page, 696);
HV_ASSERT_OFFSET(struct hv_vp_register_page, rip, 136);
HV_ASSERT_OFFSET(struct hv_vp_register_page, xmm_registers, 160);
HV_ASSERT_OFFSET(struct hv_vp_register_page, es, 256);
HV_ASSERT_OFFSET(struct hv_vp_register_page, cr0, 352);
HV_ASSERT_OFFSET(struct hv_vp_register_page, pending_interruption, 400);
HV_ASSERT_OFFSET(struct hv_vp_register_page, xfem, 424);
HV_ASSERT_OFFSET(struct hv_vp_register_page, interrupt_vectors, 688);

/* The VP assist page. apic_assist bit 0: no EOI is needed for the interrupt in service. */
#define HV_VIRTUAL_APIC_NO_EOI_REQUIRED 0x1u

struct hv_nested_enlightenments_control {
	struct {
		uint32_t directhypercall : 1;
		uint32_t reserved : 31;
	} features;
	struct {
		uint32_t inter_partition_comm : 1;
		uint32_t reserved : 31;
	} hypercall_controls;
};
HV_ASSERT_SIZE(struct hv_nested_enlightenments_control, 8);

struct hv_vp_assist_page {
	uint32_t apic_assist;
	uint32_t reserved1;
	uint32_t vtl_entry_reason;
	uint32_t vtl_reserved;
	uint64_t vtl_ret_x64rax;
	uint64_t vtl_ret_x64rcx;
	struct hv_nested_enlightenments_control nested_control;
	uint8_t enlighten_vmentry;
	uint8_t reserved2[7];
	uint64_t current_nested_vmcs;
	uint8_t synthetic_time_unhalted_timer_expired;
	uint8_t reserved3[7];
	uint8_t virtualization_fault_information[40];
	uint8_t reserved4[8];
	uint8_t intercept_message[HV_MESSAGE_SIZE];
	uint8_t vtl_ret_actions[256];
};
HV_ASSERT_SIZE(struct hv_vp_assist_page, 624);
HV_ASSERT_OFFSET(struct hv_vp_assist_page, virtualization_fault_information, 64);
HV_ASSERT_OFFSET(struct hv_vp_assist_page, intercept_message, 112);

#endif
