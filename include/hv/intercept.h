/*
 * Intercepts: which can be installed, and the messages that they become (TLFS: HV_INTERCEPT_TYPE,
 * HvCallInstallIntercept; Virtual Processor Execution, intercept messages).
 *
 * Each message struct is the payload of the struct hv_message (synic.h) whose type its comment
 * names.
 */
#ifndef HV_INTERCEPT_H
#define HV_INTERCEPT_H

#include "registers.h"
#include "types.h"

enum hv_intercept_type {
	HV_INTERCEPT_TYPE_X64_IO_PORT = 0x00000000,
	HV_INTERCEPT_TYPE_X64_MSR = 0x00000001,
	HV_INTERCEPT_TYPE_X64_CPUID = 0x00000002,
	HV_INTERCEPT_TYPE_EXCEPTION = 0x00000003,
	HV_INTERCEPT_TYPE_RESERVED0 = 0x00000004,
	HV_INTERCEPT_TYPE_MMIO = 0x00000005,
	HV_INTERCEPT_TYPE_X64_GLOBAL_CPUID = 0x00000006,
	HV_INTERCEPT_TYPE_X64_APIC_SMI = 0x00000007,
	HV_INTERCEPT_TYPE_HYPERCALL = 0x00000008,
	HV_INTERCEPT_TYPE_X64_APIC_INIT_SIPI = 0x00000009,
	HV_INTERCEPT_MC_UPDATE_PATCH_LEVEL_MSR_READ = 0x0000000A,
	HV_INTERCEPT_TYPE_X64_APIC_WRITE = 0x0000000B,
	HV_INTERCEPT_TYPE_X64_MSR_INDEX = 0x0000000C,
	HV_INTERCEPT_TYPE_UNKNOWN_SYNIC_CONNECTION = 0x0000000D,
	HV_INTERCEPT_TYPE_X64_APIC_EOI = 0x0000000E,
	HV_INTERCEPT_TYPE_RETARGET_INTERRUPT_WITH_UNKNOWN_DEVICE_ID = 0x0000000F,
	HV_INTERCEPT_TYPE_X64_EXCEPTION_TRAP = 0x00000010,
	HV_INTERCEPT_TYPE_X64_IO_PORT_RANGE = 0x00000011,
	HV_INTERCEPT_TYPE_REGISTER = 0x00000012,
	HV_INTERCEPT_TYPE_MAX,
	HV_INTERCEPT_TYPE_INVALID = 0xFFFFFFFF,
};

/* TLFS: HV_INTERCEPT_ACCESS_TYPE_MASK. A mask of 0 takes the intercept away. */
#define HV_INTERCEPT_ACCESS_MASK_NONE    0x0u
#define HV_INTERCEPT_ACCESS_MASK_READ    0x1u
#define HV_INTERCEPT_ACCESS_MASK_WRITE   0x2u
#define HV_INTERCEPT_ACCESS_MASK_EXECUTE 0x4u

/* TLFS: HV_INTERCEPT_ACCESS_TYPE, in the message */
enum hv_intercept_access_type {
	HV_INTERCEPT_ACCESS_READ = 0,
	HV_INTERCEPT_ACCESS_WRITE = 1,
	HV_INTERCEPT_ACCESS_EXECUTE = 2,
};

/* TLFS: HV_INTERCEPT_PARAMETERS; the member depends on the type, most have none */
union hv_intercept_parameters {
	uint64_t as_uint64;
	uint16_t io_port;          /* X64_IO_PORT */
	uint32_t cpuid_index;      /* X64_CPUID */
	uint32_t apic_write_mask;  /* X64_APIC_WRITE */
	uint16_t exception_vector; /* EXCEPTION */
	uint32_t msr_index;        /* X64_MSR_INDEX */
	struct {
		uint16_t base;
		uint16_t end;
	} io_port_range; /* X64_IO_PORT_RANGE, both ends included */
};
HV_ASSERT_SIZE(union hv_intercept_parameters, 8);

/* HvCallInstallIntercept */
struct hv_input_install_intercept {
	uint64_t partition_id;
	uint32_t access_type; /* HV_INTERCEPT_ACCESS_MASK_* */
	uint32_t intercept_type;
	union hv_intercept_parameters intercept_parameter;
};
HV_ASSERT_SIZE(struct hv_input_install_intercept, 24);

/* Standing answers to an intercept (TLFS: HV_REGISTER_INTERCEPT_RESULT_PARAMETERS) */

enum hv_unimplemented_msr_action {
	HV_UNIMPLEMENTED_MSR_ACTION_FAULT = 0,
	HV_UNIMPLEMENTED_MSR_ACTION_IGNORE_WRITE_READ_ZERO = 1,
};

/* Of each register of the answer, the bits of the mask are replaced. */
struct hv_register_x64_cpuid_result_parameters {
	struct {
		uint32_t eax;
		uint32_t ecx;
		uint8_t subleaf_specific;
		uint8_t always_override;
		uint16_t padding;
	} input;
	struct {
		uint32_t eax;
		uint32_t eax_mask;
		uint32_t ebx;
		uint32_t ebx_mask;
		uint32_t ecx;
		uint32_t ecx_mask;
		uint32_t edx;
		uint32_t edx_mask;
	} result;
};
HV_ASSERT_SIZE(struct hv_register_x64_cpuid_result_parameters, 44);

struct hv_register_x64_msr_result_parameters {
	uint32_t msr_index;
	uint32_t access_type; /* HV_INTERCEPT_ACCESS_MASK_* */
	uint32_t action;      /* enum hv_unimplemented_msr_action */
};
HV_ASSERT_SIZE(struct hv_register_x64_msr_result_parameters, 12);

union hv_register_intercept_result_parameters {
	struct hv_register_x64_cpuid_result_parameters cpuid;
	struct hv_register_x64_msr_result_parameters msr;
};
HV_ASSERT_SIZE(union hv_register_intercept_result_parameters, 44);

/* HvCallRegisterInterceptResult; vp_index may be HV_ANY_VP */
struct hv_input_register_intercept_result {
	uint64_t partition_id;
	uint32_t vp_index;
	uint32_t intercept_type;
	union hv_register_intercept_result_parameters parameters;
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_input_register_intercept_result, 60);

/* HvCallUnregisterInterceptResult: what the answer was registered for */
struct hv_unregister_x64_cpuid_result_parameters {
	uint32_t eax;
	uint32_t ecx;
	uint8_t subleaf_specific;
	uint8_t reserved[3];
};
HV_ASSERT_SIZE(struct hv_unregister_x64_cpuid_result_parameters, 12);

struct hv_unregister_x64_msr_result_parameters {
	uint32_t msr_index;
	uint32_t access_type; /* HV_INTERCEPT_ACCESS_MASK_* */
};
HV_ASSERT_SIZE(struct hv_unregister_x64_msr_result_parameters, 8);

union hv_unregister_intercept_result_parameters {
	struct hv_unregister_x64_cpuid_result_parameters cpuid;
	struct hv_unregister_x64_msr_result_parameters msr;
};
HV_ASSERT_SIZE(union hv_unregister_intercept_result_parameters, 12);

struct hv_input_unregister_intercept_result {
	uint64_t partition_id;
	uint32_t vp_index;
	uint32_t intercept_type;
	union hv_unregister_intercept_result_parameters parameters;
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_input_unregister_intercept_result, 28);

/* HvCallGetVpCpuidValues (rep) */
union hv_get_vp_cpuid_values_flags {
	uint32_t as_uint32;
	struct {
		uint32_t use_vp_xfem_xss : 1;
		uint32_t apply_registered_values : 1;
		uint32_t reserved : 30;
	};
};

struct hv_cpuid_leaf_info {
	uint32_t eax;
	uint32_t ecx;
	uint64_t xfem;
	uint64_t xss;
};
HV_ASSERT_SIZE(struct hv_cpuid_leaf_info, 24);

struct hv_input_get_vp_cpuid_values {
	uint64_t partition_id;
	uint32_t vp_index;
	union hv_get_vp_cpuid_values_flags flags;
	uint32_t reserved;
	uint32_t padding;
	struct hv_cpuid_leaf_info cpuid_leaf_info[];
};
HV_ASSERT_SIZE(struct hv_input_get_vp_cpuid_values, 24);

union hv_output_get_vp_cpuid_values {
	uint32_t as_uint32[4];
	struct {
		uint32_t eax;
		uint32_t ebx;
		uint32_t ecx;
		uint32_t edx;
	};
};
HV_ASSERT_SIZE(union hv_output_get_vp_cpuid_values, 16);

/* Messages */

union hv_x64_vp_execution_state {
	uint16_t as_uint16;
	struct {
		uint16_t cpl : 2;
		uint16_t cr0_pe : 1;
		uint16_t cr0_am : 1;
		uint16_t efer_lma : 1;
		uint16_t debug_active : 1;
		uint16_t interruption_pending : 1;
		uint16_t vtl : 4;
		uint16_t enclave_mode : 1;
		uint16_t interrupt_shadow : 1;
		uint16_t virtualization_fault_active : 1;
		uint16_t reserved : 2;
	};
};
HV_ASSERT_SIZE(union hv_x64_vp_execution_state, 2);

struct hv_x64_intercept_message_header {
	uint32_t vp_index;
	union {
		uint8_t length_and_cr8;
		struct {
			uint8_t instruction_length : 4;
			uint8_t cr8 : 4;
		};
	};
	uint8_t intercept_access_type; /* enum hv_intercept_access_type */
	union hv_x64_vp_execution_state execution_state;
	struct hv_x64_segment_register cs_segment;
	uint64_t rip;
	uint64_t rflags;
};
HV_ASSERT_SIZE(struct hv_x64_intercept_message_header, 40);
HV_ASSERT_OFFSET(struct hv_x64_intercept_message_header, cs_segment, 8);
HV_ASSERT_OFFSET(struct hv_x64_intercept_message_header, rip, 24);

/* access_size is in bytes: 1, 2 or 4 */
union hv_x64_io_port_access_info {
	uint8_t as_uint8;
	struct {
		uint8_t access_size : 3;
		uint8_t string_op : 1;
		uint8_t rep_prefix : 1;
		uint8_t reserved : 3;
	};
};

/* HVMSG_X64_IO_PORT_INTERCEPT */
struct hv_x64_io_port_intercept_message {
	struct hv_x64_intercept_message_header header;
	uint16_t port_number;
	union hv_x64_io_port_access_info access_info;
	uint8_t instruction_byte_count;
	uint32_t reserved;
	uint64_t rax;
	uint8_t instruction_bytes[16];
	struct hv_x64_segment_register ds_segment;
	struct hv_x64_segment_register es_segment;
	uint64_t rcx;
	uint64_t rsi;
	uint64_t rdi;
};
HV_ASSERT_SIZE(struct hv_x64_io_port_intercept_message, 128);
HV_ASSERT_OFFSET(struct hv_x64_io_port_intercept_message, rax, 48);
HV_ASSERT_OFFSET(struct hv_x64_io_port_intercept_message, ds_segment, 72);
HV_ASSERT_OFFSET(struct hv_x64_io_port_intercept_message, rcx, 104);

/* HVMSG_X64_MSR_INTERCEPT */
struct hv_x64_msr_intercept_message {
	struct hv_x64_intercept_message_header header;
	uint32_t msr_number;
	uint32_t reserved;
	uint64_t rdx;
	uint64_t rax;
};
HV_ASSERT_SIZE(struct hv_x64_msr_intercept_message, 64);

/* HVMSG_X64_CPUID_INTERCEPT */
struct hv_x64_cpuid_intercept_message {
	struct hv_x64_intercept_message_header header;
	uint64_t rax;
	uint64_t rcx;
	uint64_t rdx;
	uint64_t rbx;
	uint64_t default_result_rax;
	uint64_t default_result_rcx;
	uint64_t default_result_rdx;
	uint64_t default_result_rbx;
};
HV_ASSERT_SIZE(struct hv_x64_cpuid_intercept_message, 104);
HV_ASSERT_OFFSET(struct hv_x64_cpuid_intercept_message, default_result_rax, 72);

union hv_x64_memory_access_info {
	uint8_t as_uint8;
	struct {
		uint8_t gva_valid : 1;
		uint8_t gva_gpa_valid : 1;
		uint8_t hypercall_output_pending : 1;
		uint8_t tlb_locked_no_overlay : 1;
		uint8_t reserved : 4;
	};
};

/* TLFS: HV_CACHE_TYPE */
enum hv_cache_type {
	HV_CACHE_TYPE_UNCACHED = 0,
	HV_CACHE_TYPE_WRITE_COMBINING = 1,
	HV_CACHE_TYPE_WRITE_THROUGH = 4,
	HV_CACHE_TYPE_WRITE_PROTECTED = 5,
	HV_CACHE_TYPE_WRITE_BACK = 6,
};

/* HVMSG_UNMAPPED_GPA, HVMSG_GPA_INTERCEPT */
struct hv_x64_memory_intercept_message {
	struct hv_x64_intercept_message_header header;
	uint32_t cache_type; /* enum hv_cache_type */
	uint8_t instruction_byte_count;
	union hv_x64_memory_access_info memory_access_info;
	uint8_t tpr_priority;
	uint8_t reserved1;
	uint64_t guest_virtual_address;
	uint64_t guest_physical_address;
	uint8_t instruction_bytes[16];
};
HV_ASSERT_SIZE(struct hv_x64_memory_intercept_message, 80);
HV_ASSERT_OFFSET(struct hv_x64_memory_intercept_message, guest_virtual_address, 48);
HV_ASSERT_OFFSET(struct hv_x64_memory_intercept_message, instruction_bytes, 64);

union hv_x64_exception_info {
	uint8_t as_uint8;
	struct {
		uint8_t error_code_valid : 1;
		uint8_t software_exception : 1;
		uint8_t reserved : 6;
	};
};

/* HVMSG_X64_EXCEPTION_INTERCEPT. exception_parameter is CR2 for #PF, DR6 for #DB. */
struct hv_x64_exception_intercept_message {
	struct hv_x64_intercept_message_header header;
	uint16_t exception_vector;
	union hv_x64_exception_info exception_info;
	uint8_t instruction_byte_count;
	uint32_t error_code;
	uint64_t exception_parameter;
	uint64_t reserved;
	uint8_t instruction_bytes[16];
	struct hv_x64_segment_register ds_segment;
	struct hv_x64_segment_register ss_segment;
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
HV_ASSERT_SIZE(struct hv_x64_exception_intercept_message, 240);
HV_ASSERT_OFFSET(struct hv_x64_exception_intercept_message, ds_segment, 80);
HV_ASSERT_OFFSET(struct hv_x64_exception_intercept_message, rax, 112);

/*
 * HVMSG_HYPERCALL_INTERCEPT; also what an unknown connection or device id becomes (types 0xD, 0xF).
 * RIP is still at the VMCALL or VMMCALL: who answers the call moves it past, who leaves it has it
 * made again.
 */
struct hv_x64_hypercall_intercept_message {
	struct hv_x64_intercept_message_header header;
	uint64_t rax;
	uint64_t rbx;
	uint64_t rcx;
	uint64_t rdx;
	uint64_t r8;
	uint64_t rsi;
	uint64_t rdi;
	struct hv_u128 xmmregisters[6];
	struct {
		uint32_t isolated : 1;
		uint32_t reserved : 31;
	} flags;
};
#define HV_X64_HYPERCALL_INTERCEPT_MESSAGE_BYTES 196 /* on the wire; the struct ends in padding */
HV_ASSERT_SIZE(struct hv_x64_hypercall_intercept_message, 200);
HV_ASSERT_OFFSET(struct hv_x64_hypercall_intercept_message, xmmregisters, 96);
HV_ASSERT_OFFSET(struct hv_x64_hypercall_intercept_message, flags, 192);

/* HVMSG_INVALID_VP_REGISTER_VALUE */
struct hv_x64_invalid_vp_register_message {
	uint32_t vp_index;
	uint32_t reserved;
};
HV_ASSERT_SIZE(struct hv_x64_invalid_vp_register_message, 8);

/* HVMSG_UNRECOVERABLE_EXCEPTION: a triple fault */
struct hv_x64_unrecoverable_exception_message {
	struct hv_x64_intercept_message_header header;
};
HV_ASSERT_SIZE(struct hv_x64_unrecoverable_exception_message, 40);

#define HV_UNSUPPORTED_FEATURE_INTERCEPT       1
#define HV_UNSUPPORTED_FEATURE_TASK_SWITCH_TSS 2

/* HVMSG_UNSUPPORTED_FEATURE */
struct hv_x64_unsupported_feature_message {
	uint32_t vp_index;
	uint32_t feature_code;
	uint64_t feature_parameter;
};
HV_ASSERT_SIZE(struct hv_x64_unsupported_feature_message, 16);

/* HVMSG_X64_HALT */
struct hv_x64_halt_message {
	struct hv_x64_intercept_message_header header;
};
HV_ASSERT_SIZE(struct hv_x64_halt_message, 40);

/* HVMSG_X64_INTERRUPTION_DELIVERABLE */
struct hv_x64_interruption_deliverable_message {
	struct hv_x64_intercept_message_header header;
	uint32_t deliverable_type; /* enum hv_x64_pending_interruption_type */
	uint32_t rsvd;
};
HV_ASSERT_SIZE(struct hv_x64_interruption_deliverable_message, 48);

/* HVMSG_SYNIC_SINT_DELIVERABLE */
struct hv_x64_sint_deliverable_message {
	struct hv_x64_intercept_message_header header;
	uint16_t deliverable_sints; /* one bit each */
	uint16_t rsvd1;
	uint32_t rsvd2;
};
HV_ASSERT_SIZE(struct hv_x64_sint_deliverable_message, 48);

/* HVMSG_X64_SIPI_INTERCEPT */
struct hv_x64_sipi_intercept_message {
	struct hv_x64_intercept_message_header header;
	uint32_t target_vp_index;
	uint32_t interrupt_vector;
};
HV_ASSERT_SIZE(struct hv_x64_sipi_intercept_message, 48);

#endif
