/*
 * Partitions: creation, life, properties, processor features; and what a root asks about the
 * machine (TLFS: Partition Management; HV_PARTITION_PROPERTY_CODE;
 * HV_PARTITION_PROCESSOR_FEATURES).
 */
#ifndef HV_PARTITION_H
#define HV_PARTITION_H

#include "stats.h"
#include "types.h"
#include "vp.h"

/* TLFS: HV_PARTITION_CREATION_FLAGS */
#define HV_PARTITION_CREATION_FLAG_SMT_ENABLED_GUEST               0x00000001ull
#define HV_PARTITION_CREATION_FLAG_NESTED_VIRTUALIZATION_CAPABLE   0x00000002ull
#define HV_PARTITION_CREATION_FLAG_GPA_SUPER_PAGES_ENABLED         0x00000010ull
#define HV_PARTITION_CREATION_FLAG_EXO_PARTITION                   0x00000100ull
#define HV_PARTITION_CREATION_FLAG_VTL1_OVERRIDE                   0x00000200ull
#define HV_PARTITION_CREATION_FLAG_VTL2_OVERRIDE                   0x00000400ull
#define HV_PARTITION_CREATION_FLAG_LAPIC_ENABLED                   0x00002000ull
#define HV_PARTITION_CREATION_FLAG_ENABLE_PERFMON_PMU              0x00008000ull
#define HV_PARTITION_CREATION_FLAG_ENABLE_PERFMON_LBR              0x00010000ull
#define HV_PARTITION_CREATION_FLAG_INTERCEPT_MESSAGE_PAGE_ENABLED  0x00080000ull
#define HV_PARTITION_CREATION_FLAG_HYPERCALL_DOORBELL_PAGE_ENABLED 0x00100000ull
#define HV_PARTITION_CREATION_FLAG_X2APIC_CAPABLE                  0x00400000ull

#define HV_MAKE_COMPATIBILITY_VERSION(major_, minor_) ((uint32_t)((major_) << 8 | (minor_)))
#define HV_COMPATIBILITY_21_H2                        HV_MAKE_COMPATIBILITY_VERSION(0x6, 0x9)

/* TLFS: HV_PARTITION_PROCESSOR_FEATURES. In a creation call a set bit takes the feature away. */
#define HV_PARTITION_PROCESSOR_FEATURES_BANKS 2

union hv_partition_processor_features {
	uint64_t as_uint64[HV_PARTITION_PROCESSOR_FEATURES_BANKS];
	struct {
		uint64_t sse3_support : 1;
		uint64_t lahf_sahf_support : 1;
		uint64_t ssse3_support : 1;
		uint64_t sse4_1_support : 1;
		uint64_t sse4_2_support : 1;
		uint64_t sse4a_support : 1;
		uint64_t xop_support : 1;
		uint64_t pop_cnt_support : 1;
		uint64_t cmpxchg16b_support : 1;
		uint64_t altmovcr8_support : 1;
		uint64_t lzcnt_support : 1;
		uint64_t mis_align_sse_support : 1;
		uint64_t mmx_ext_support : 1;
		uint64_t amd3dnow_support : 1;
		uint64_t extended_amd3dnow_support : 1;
		uint64_t page_1gb_support : 1;
		uint64_t aes_support : 1;
		uint64_t pclmulqdq_support : 1;
		uint64_t pcid_support : 1;
		uint64_t fma4_support : 1;
		uint64_t f16c_support : 1;
		uint64_t rd_rand_support : 1;
		uint64_t rd_wr_fs_gs_support : 1;
		uint64_t smep_support : 1;
		uint64_t enhanced_fast_string_support : 1;
		uint64_t bmi1_support : 1;
		uint64_t bmi2_support : 1;
		uint64_t hle_support_deprecated : 1;
		uint64_t rtm_support_deprecated : 1;
		uint64_t movbe_support : 1;
		uint64_t npiep1_support : 1;
		uint64_t dep_x87_fpu_save_support : 1;
		uint64_t rd_seed_support : 1;
		uint64_t adx_support : 1;
		uint64_t intel_prefetch_support : 1;
		uint64_t smap_support : 1;
		uint64_t hle_support : 1;
		uint64_t rtm_support : 1;
		uint64_t rdtscp_support : 1;
		uint64_t clflushopt_support : 1;
		uint64_t clwb_support : 1;
		uint64_t sha_support : 1;
		uint64_t x87_pointers_saved_support : 1;
		uint64_t invpcid_support : 1;
		uint64_t ibrs_support : 1;
		uint64_t stibp_support : 1;
		uint64_t ibpb_support : 1;
		uint64_t unrestricted_guest_support : 1;
		uint64_t mdd_support : 1;
		uint64_t fast_short_rep_mov_support : 1;
		uint64_t l1dcache_flush_support : 1;
		uint64_t rdcl_no_support : 1;
		uint64_t ibrs_all_support : 1;
		uint64_t skip_l1df_support : 1;
		uint64_t ssb_no_support : 1;
		uint64_t rsb_a_no_support : 1;
		uint64_t virt_spec_ctrl_support : 1;
		uint64_t rd_pid_support : 1;
		uint64_t umip_support : 1;
		uint64_t mbs_no_support : 1;
		uint64_t mb_clear_support : 1;
		uint64_t taa_no_support : 1;
		uint64_t tsx_ctrl_support : 1;
		uint64_t reserved_bank0 : 1;

		uint64_t acount_mcount_support : 1;
		uint64_t tsc_invariant_support : 1;
		uint64_t cl_zero_support : 1;
		uint64_t rdpru_support : 1;
		uint64_t la57_support : 1;
		uint64_t mbec_support : 1;
		uint64_t nested_virt_support : 1;
		uint64_t psfd_support : 1;
		uint64_t cet_ss_support : 1;
		uint64_t cet_ibt_support : 1;
		uint64_t vmx_exception_inject_support : 1;
		uint64_t enqcmd_support : 1;
		uint64_t umwait_tpause_support : 1;
		uint64_t movdiri_support : 1;
		uint64_t movdir64b_support : 1;
		uint64_t cldemote_support : 1;
		uint64_t serialize_support : 1;
		uint64_t tsc_deadline_tmr_support : 1;
		uint64_t tsc_adjust_support : 1;
		uint64_t fzlrep_movsb : 1;
		uint64_t fsrep_stosb : 1;
		uint64_t fsrep_cmpsb : 1;
		uint64_t tsx_ld_trk_support : 1;
		uint64_t vmx_ins_outs_exit_info_support : 1;
		uint64_t hlat_support : 1;
		uint64_t sbdr_ssdp_no_support : 1;
		uint64_t fbsdp_no_support : 1;
		uint64_t psdp_no_support : 1;
		uint64_t fb_clear_support : 1;
		uint64_t btc_no_support : 1;
		uint64_t ibpb_rsb_flush_support : 1;
		uint64_t stibp_always_on_support : 1;
		uint64_t perf_global_ctrl_support : 1;
		uint64_t npt_execute_only_support : 1;
		uint64_t npt_ad_flags_support : 1;
		uint64_t npt_1gb_page_support : 1;
		uint64_t amd_processor_topology_node_id_support : 1;
		uint64_t local_machine_check_support : 1;
		uint64_t extended_topology_leaf_fp256_amd_support : 1;
		uint64_t gds_no_support : 1;
		uint64_t cmpccxadd_support : 1;
		uint64_t tsc_aux_virtualization_support : 1;
		uint64_t rmp_query_support : 1;
		uint64_t bhi_no_support : 1;
		uint64_t bhi_dis_support : 1;
		uint64_t prefetch_i_support : 1;
		uint64_t sha512_support : 1;
		uint64_t mitigation_ctrl_support : 1;
		uint64_t rfds_no_support : 1;
		uint64_t rfds_clear_support : 1;
		uint64_t sm3_support : 1;
		uint64_t sm4_support : 1;
		uint64_t secure_avic_support : 1;
		uint64_t guest_intercept_ctrl_support : 1;
		uint64_t sbpb_support : 1;
		uint64_t ibpb_br_type_support : 1;
		uint64_t srso_no_support : 1;
		uint64_t srso_user_kernel_no_support : 1;
		uint64_t vrew_clear_support : 1;
		uint64_t tsa_l1_no_support : 1;
		uint64_t tsa_sq_no_support : 1;
		uint64_t reserved_bank1 : 3;
	};
};
HV_ASSERT_SIZE(union hv_partition_processor_features, 16);

union hv_partition_processor_xsave_features {
	uint64_t as_uint64;
	struct {
		uint64_t xsave_support : 1;
		uint64_t xsaveopt_support : 1;
		uint64_t avx_support : 1;
		uint64_t avx2_support : 1;
		uint64_t fma_support : 1;
		uint64_t mpx_support : 1;
		uint64_t avx512_support : 1;
		uint64_t avx512_dq_support : 1;
		uint64_t avx512_cd_support : 1;
		uint64_t avx512_bw_support : 1;
		uint64_t avx512_vl_support : 1;
		uint64_t xsave_comp_support : 1;
		uint64_t xsave_supervisor_support : 1;
		uint64_t xcr1_support : 1;
		uint64_t avx512_bitalg_support : 1;
		uint64_t avx512_i_fma_support : 1;
		uint64_t avx512_v_bmi_support : 1;
		uint64_t avx512_v_bmi2_support : 1;
		uint64_t avx512_vnni_support : 1;
		uint64_t gfni_support : 1;
		uint64_t vaes_support : 1;
		uint64_t avx512_v_popcntdq_support : 1;
		uint64_t vpclmulqdq_support : 1;
		uint64_t avx512_bf16_support : 1;
		uint64_t avx512_vp2_intersect_support : 1;
		uint64_t avx512_fp16_support : 1;
		uint64_t xfd_support : 1;
		uint64_t amx_tile_support : 1;
		uint64_t amx_bf16_support : 1;
		uint64_t amx_int8_support : 1;
		uint64_t avx_vnni_support : 1;
		uint64_t avx_ifma_support : 1;
		uint64_t avx_ne_convert_support : 1;
		uint64_t avx_vnni_int8_support : 1;
		uint64_t avx_vnni_int16_support : 1;
		uint64_t avx10_1_256_support : 1;
		uint64_t avx10_1_512_support : 1;
		uint64_t amx_fp16_support : 1;
		uint64_t reserved1 : 26;
	};
};
HV_ASSERT_SIZE(union hv_partition_processor_xsave_features, 8);

struct hv_partition_creation_properties {
	union hv_partition_processor_features disabled_processor_features;
	union hv_partition_processor_xsave_features disabled_processor_xsave_features;
};
HV_ASSERT_SIZE(struct hv_partition_creation_properties, 24);

/* Property SYNTHETIC_PROC_FEATURES: what of the TLFS the partition gets */
#define HV_PARTITION_SYNTHETIC_PROCESSOR_FEATURES_BANKS 1

union hv_partition_synthetic_processor_features {
	uint64_t as_uint64[HV_PARTITION_SYNTHETIC_PROCESSOR_FEATURES_BANKS];
	struct {
		uint64_t hypervisor_present : 1;
		uint64_t hv1 : 1;
		uint64_t access_vp_run_time_reg : 1;
		uint64_t access_partition_reference_counter : 1;
		uint64_t access_synic_regs : 1;
		uint64_t access_synthetic_timer_regs : 1;
		uint64_t access_intr_ctrl_regs : 1;
		uint64_t access_hypercall_regs : 1;
		uint64_t access_vp_index : 1;
		uint64_t access_partition_reference_tsc : 1;
		uint64_t access_guest_idle_reg : 1;
		uint64_t access_frequency_regs : 1;
		uint64_t reserved_z12 : 1;
		uint64_t reserved_z13 : 1;
		uint64_t reserved_z14 : 1;
		uint64_t enable_extended_gva_ranges_for_flush_virtual_address_list : 1;
		uint64_t access_vsm : 1;
		uint64_t reserved_z17 : 1;
		uint64_t fast_hypercall_output : 1;
		uint64_t reserved_z19 : 1;
		uint64_t start_virtual_processor : 1;
		uint64_t reserved_z21 : 1;
		uint64_t direct_synthetic_timers : 1;
		uint64_t reserved_z23 : 1;
		uint64_t extended_processor_masks : 1;
		uint64_t tb_flush_hypercalls : 1;
		uint64_t synthetic_cluster_ipi : 1;
		uint64_t notify_long_spin_wait : 1;
		uint64_t query_numa_distance : 1;
		uint64_t signal_events : 1;
		uint64_t retarget_device_interrupt : 1;
		uint64_t restore_time : 1;
		uint64_t enlightened_vmcs : 1;
		uint64_t nested_debug_ctl : 1;
		uint64_t synthetic_time_unhalted_timer : 1;
		uint64_t idle_spec_ctrl : 1;
		uint64_t reserved_z36 : 1;
		uint64_t wake_vps : 1;
		uint64_t access_vp_regs : 1;
		uint64_t reserved_z39 : 1;
		uint64_t management_vtl_synic_support : 1;
		uint64_t proxy_interrupt_doorbell_support : 1;
		uint64_t reserved_z42 : 1;
		uint64_t mmio_hypercalls : 1;
		uint64_t reserved_z44 : 1;
		uint64_t map_partition_event_log_buffer : 1;
		uint64_t lower_vtl_guest_request_support : 1;
		uint64_t proxy_interrupt_redirect_support : 1;
		uint64_t install_intercept : 1;
		uint64_t reserved_z49 : 1;
		uint64_t pin_gpa_page_range_support : 1;
		uint64_t heat_hint_beneficial_support : 1;
		uint64_t ring_buffer_message_port_support : 1;
		uint64_t flush_guest_physical_address_space : 1;
		uint64_t reserved : 10;
	};
};
HV_ASSERT_SIZE(union hv_partition_synthetic_processor_features, 8);

union hv_partition_isolation_properties {
	uint64_t as_uint64;
	struct {
		uint64_t isolation_type : 5;
		uint64_t isolation_host_type : 2;
		uint64_t rsvd_z : 5;
		uint64_t shared_gpa_boundary_page_number : 52;
	};
};
HV_ASSERT_SIZE(union hv_partition_isolation_properties, 8);

#define HV_PARTITION_ISOLATION_TYPE_NONE 0
#define HV_PARTITION_ISOLATION_TYPE_SNP  2
#define HV_PARTITION_ISOLATION_TYPE_TDX  3

/* HvCallCreatePartition */
struct hv_input_create_partition {
	uint64_t flags;
	struct hv_proximity_domain_info proximity_domain_info;
	uint32_t compatibility_version;
	uint32_t padding;
	struct hv_partition_creation_properties partition_creation_properties;
	union hv_partition_isolation_properties isolation_properties;
};
HV_ASSERT_SIZE(struct hv_input_create_partition, 56);
HV_ASSERT_OFFSET(struct hv_input_create_partition, partition_creation_properties, 24);

struct hv_output_create_partition {
	uint64_t partition_id;
};
HV_ASSERT_SIZE(struct hv_output_create_partition, 8);

/* HvCallInitializePartition, HvCallFinalizePartition, HvCallDeletePartition (fast) */
struct hv_input_initialize_partition {
	uint64_t partition_id;
};

struct hv_input_finalize_partition {
	uint64_t partition_id;
};

struct hv_input_delete_partition {
	uint64_t partition_id;
};

/* HvCallGetPartitionId */
struct hv_output_get_partition_id {
	uint64_t partition_id;
};
HV_ASSERT_SIZE(struct hv_output_get_partition_id, 8);

/* HvCallGetNextChildPartition: HV_PARTITION_ID_INVALID begins and ends the enumeration */
struct hv_input_get_next_child_partition {
	uint64_t parent_partition_id;
	uint64_t previous_child_partition_id;
};
HV_ASSERT_SIZE(struct hv_input_get_next_child_partition, 16);

struct hv_output_get_next_child_partition {
	uint64_t next_child_partition_id;
};
HV_ASSERT_SIZE(struct hv_output_get_next_child_partition, 8);

/* TLFS: HV_PARTITION_PROPERTY_CODE */
enum hv_partition_property_code {
	HV_PARTITION_PROPERTY_PRIVILEGE_FLAGS = 0x00010000,
	HV_PARTITION_PROPERTY_SYNTHETIC_PROC_FEATURES = 0x00010001,

	HV_PARTITION_PROPERTY_SUSPEND = 0x00020000,
	HV_PARTITION_PROPERTY_CPU_RESERVE = 0x00020001,
	HV_PARTITION_PROPERTY_CPU_CAP = 0x00020002,
	HV_PARTITION_PROPERTY_CPU_WEIGHT = 0x00020003,
	HV_PARTITION_PROPERTY_CPU_GROUP_ID = 0x00020004,
	HV_PARTITION_PROPERTY_INTEGRATED_SCHEDULER_ENABLED = 0x00020005,

	HV_PARTITION_PROPERTY_TIME_FREEZE = 0x00030003,
	HV_PARTITION_PROPERTY_APIC_FREQUENCY = 0x00030004,
	HV_PARTITION_PROPERTY_REFERENCE_TIME = 0x00030005,

	HV_PARTITION_PROPERTY_DEBUG_CHANNEL_ID = 0x00040000,

	HV_PARTITION_PROPERTY_VIRTUAL_TLB_PAGE_COUNT = 0x00050000,
	HV_PARTITION_PROPERTY_VSM_CONFIG = 0x00050001,
	HV_PARTITION_PROPERTY_ZERO_MEMORY_ON_RESET = 0x00050002,
	HV_PARTITION_PROPERTY_PROCESSORS_PER_SOCKET = 0x00050003,
	HV_PARTITION_PROPERTY_NESTED_TLB_SIZE = 0x00050004,
	HV_PARTITION_PROPERTY_GPA_PAGE_ACCESS_TRACKING = 0x00050005,
	HV_PARTITION_PROPERTY_VSM_PERMISSIONS_DIRTY_SINCE_LAST_QUERY = 0x00050006,
	HV_PARTITION_PROPERTY_SGX_LAUNCH_CONTROL_CONFIG = 0x00050007,
	HV_PARTITION_PROPERTY_ISOLATION_STATE = 0x0005000c,
	HV_PARTITION_PROPERTY_ISOLATION_CONTROL = 0x0005000d,
	HV_PARTITION_PROPERTY_ALLOCATION_ID = 0x0005000e,
	HV_PARTITION_PROPERTY_MONITORING_ID = 0x0005000f,
	HV_PARTITION_PROPERTY_IMPLEMENTED_PHYSICAL_ADDRESS_BITS = 0x00050010,
	HV_PARTITION_PROPERTY_NON_ARCHITECTURAL_CORE_SHARING = 0x00050011,
	HV_PARTITION_PROPERTY_HYPERCALL_DOORBELL_PAGE = 0x00050012,
	HV_PARTITION_PROPERTY_ISOLATION_POLICY = 0x00050014,
	HV_PARTITION_PROPERTY_PROCESSORS_PER_L3 = 0x00050016,
	HV_PARTITION_PROPERTY_UNIMPLEMENTED_MSR_ACTION = 0x00050017,
	HV_PARTITION_PROPERTY_AMD_NODES_PER_SOCKET = 0x00050018,
	HV_PARTITION_PROPERTY_REFERENCE_TSC_PAGE_ACTIVE = 0x00050019,
	HV_PARTITION_PROPERTY_L3_CACHE_WAYS = 0x0005001b,
	HV_PARTITION_PROPERTY_SEV_VMGEXIT_OFFLOADS = 0x00050022,
	HV_PARTITION_PROPERTY_PARTITION_DIAG_BUFFER_CONFIG = 0x00050026,

	HV_PARTITION_PROPERTY_PROCESSOR_VENDOR = 0x00060000,
	HV_PARTITION_PROPERTY_PROCESSOR_FEATURES_DEPRECATED = 0x00060001,
	HV_PARTITION_PROPERTY_PROCESSOR_XSAVE_FEATURES = 0x00060002,
	HV_PARTITION_PROPERTY_PROCESSOR_CL_FLUSH_SIZE = 0x00060003,
	HV_PARTITION_PROPERTY_ENLIGHTENMENT_MODIFICATIONS = 0x00060004,
	HV_PARTITION_PROPERTY_COMPATIBILITY_VERSION = 0x00060005,
	HV_PARTITION_PROPERTY_PHYSICAL_ADDRESS_WIDTH = 0x00060006,
	HV_PARTITION_PROPERTY_XSAVE_STATES = 0x00060007,
	HV_PARTITION_PROPERTY_MAX_XSAVE_DATA_SIZE = 0x00060008,
	HV_PARTITION_PROPERTY_PROCESSOR_CLOCK_FREQUENCY = 0x00060009,
	HV_PARTITION_PROPERTY_PROCESSOR_FEATURES0 = 0x0006000a,
	HV_PARTITION_PROPERTY_PROCESSOR_FEATURES1 = 0x0006000b,

	HV_PARTITION_PROPERTY_GUEST_OS_ID = 0x00070000,
	HV_PARTITION_PROPERTY_PROCESSOR_VIRTUALIZATION_FEATURES = 0x00080000,

	HV_PARTITION_PROPERTY_VMM_CAPABILITIES = 0x00090007,
	HV_PARTITION_PROPERTY_ASSIGNABLE_SYNTHETIC_PROC_FEATURES = 0x00090009,
};

/* Property PROCESSOR_VENDOR */
enum hv_processor_vendor {
	HV_PROCESSOR_VENDOR_AMD = 0,
	HV_PROCESSOR_VENDOR_INTEL = 1,
	HV_PROCESSOR_VENDOR_HYGON = 2,
};

/* HvCallGetPartitionProperty, HvCallSetPartitionProperty */
struct hv_input_get_partition_property {
	uint64_t partition_id;
	uint32_t property_code;
	uint32_t padding;
};
HV_ASSERT_SIZE(struct hv_input_get_partition_property, 16);

struct hv_output_get_partition_property {
	uint64_t property_value;
};
HV_ASSERT_SIZE(struct hv_output_get_partition_property, 8);

struct hv_input_set_partition_property {
	uint64_t partition_id;
	uint32_t property_code;
	uint32_t padding;
	uint64_t property_value;
};
HV_ASSERT_SIZE(struct hv_input_set_partition_property, 24);

/* HvCallGetPartitionPropertyEx, for properties longer than 8 bytes (codes 0x0009xxxx) */
union hv_partition_property_arg {
	uint64_t as_uint64;
	struct {
		union {
			uint32_t arg;
			uint32_t vp_index;
		};
		uint16_t reserved0;
		uint8_t reserved1;
		uint8_t object_type;
	};
};
HV_ASSERT_SIZE(union hv_partition_property_arg, 8);

struct hv_input_get_partition_property_ex {
	uint64_t partition_id;
	uint32_t property_code;
	uint32_t padding;
	union {
		union hv_partition_property_arg arg_data;
		uint64_t arg;
	};
};
HV_ASSERT_SIZE(struct hv_input_get_partition_property_ex, 24);

/* HvCallSetPartitionPropertyEx: the value is the variable header */
struct hv_input_set_partition_property_ex {
	uint64_t partition_id;
	uint32_t property_code;
	uint32_t padding;
	uint64_t arg;
};
HV_ASSERT_SIZE(struct hv_input_set_partition_property_ex, 24);

/* Property VMM_CAPABILITIES */
#define HV_PARTITION_VMM_CAPABILITIES_BANK_COUNT 1

struct hv_partition_property_vmm_capabilities {
	uint16_t bank_count;
	uint16_t reserved[3];
	union {
		uint64_t as_uint64[HV_PARTITION_VMM_CAPABILITIES_BANK_COUNT];
		struct {
			uint64_t map_gpa_preserve_adjustable : 1;
			uint64_t vmm_can_provide_overlay_gpfn : 1;
			uint64_t vp_affinity_property : 1;
			uint64_t reservedbit3 : 1;
			uint64_t assignable_synthetic_proc_features : 1;
			uint64_t reservedbit5 : 1;
			uint64_t vmm_enable_integrated_scheduler : 1;
			uint64_t reserved0 : 57;
		};
	};
};
HV_ASSERT_SIZE(struct hv_partition_property_vmm_capabilities, 16);

#define HV_PARTITION_PROPERTY_EX_MAX_VAR_SIZE                                                      \
	(HV_HYP_PAGE_SIZE - sizeof(struct hv_input_get_partition_property_ex))

union hv_partition_property_ex {
	uint8_t buffer[HV_PARTITION_PROPERTY_EX_MAX_VAR_SIZE];
	struct hv_partition_property_vmm_capabilities vmm_capabilities;
	/* ASSIGNABLE_SYNTHETIC_PROC_FEATURES */
	union hv_partition_synthetic_processor_features synthetic_processor_features;
};

struct hv_output_get_partition_property_ex {
	union hv_partition_property_ex property_value;
};
HV_ASSERT_SIZE(struct hv_output_get_partition_property_ex, 4072);

/* The system as a whole (HvCallGetSystemProperty, HvCallSetSystemProperty) */

enum hv_system_property {
	HV_SYSTEM_PROPERTY_SLEEP_STATE = 3,
	HV_SYSTEM_PROPERTY_SCHEDULER_TYPE = 15,
	HV_DYNAMIC_PROCESSOR_FEATURE_PROPERTY = 21,
	HV_SYSTEM_PROPERTY_CRASHDUMPAREA = 47,
};

enum hv_scheduler_type {
	HV_SCHEDULER_TYPE_LP = 1,
	HV_SCHEDULER_TYPE_LP_SMT = 2,
	HV_SCHEDULER_TYPE_CORE_SMT = 3,
	HV_SCHEDULER_TYPE_ROOT = 4,
	HV_SCHEDULER_TYPE_MAX,
};

struct hv_input_get_system_property {
	uint32_t property_id; /* enum hv_system_property */
	uint32_t reserved;
	union {
		uint64_t as_uint64;
		uint32_t hv_processor_feature;
	};
};
HV_ASSERT_SIZE(struct hv_input_get_system_property, 16);

struct hv_output_get_system_property {
	union {
		uint32_t scheduler_type; /* enum hv_scheduler_type */
		uint64_t hv_processor_feature_value;
		uint64_t hv_cda_info;
	};
};
HV_ASSERT_SIZE(struct hv_output_get_system_property, 8);

enum hv_sleep_state {
	HV_SLEEP_STATE_S1 = 1,
	HV_SLEEP_STATE_S2 = 2,
	HV_SLEEP_STATE_S3 = 3,
	HV_SLEEP_STATE_S4 = 4,
	HV_SLEEP_STATE_S5 = 5,
	HV_SLEEP_STATE_LOCK = 6, /* no registration after this one */
};

struct hv_sleep_state_info {
	uint32_t sleep_state; /* enum hv_sleep_state */
	uint8_t pm1a_slp_typ;
	uint8_t pm1b_slp_typ;
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_sleep_state_info, 6);

struct hv_input_set_system_property {
	uint32_t property_id;
	uint32_t reserved;
	union {
		struct hv_sleep_state_info set_sleep_state_info;
		uint64_t reserved0[8];
	};
};
HV_ASSERT_SIZE(struct hv_input_set_system_property, 72);

/* HvCallEnterSleepState */
struct hv_input_enter_sleep_state {
	uint32_t sleep_state;
};
HV_ASSERT_SIZE(struct hv_input_enter_sleep_state, 4);

/* HvCallNotifyPartitionEvent */
enum hv_partition_event {
	HV_PARTITION_EVENT_ROOT_CRASHDUMP = 2,
	HV_PARTITION_ALL_LOGICAL_PROCESSORS_STARTED = 4,
};

struct hv_input_notify_partition_event {
	uint32_t event; /* enum hv_partition_event */
	uint32_t input;
};
HV_ASSERT_SIZE(struct hv_input_notify_partition_event, 8);

/* Logical processors (HvCallGetLogicalProcessorRunTime, HvCallAddLogicalProcessor) */

struct hv_input_get_logical_processor_run_time {
	uint32_t lp_index;
};
HV_ASSERT_SIZE(struct hv_input_get_logical_processor_run_time, 4);

struct hv_output_get_logical_processor_run_time {
	uint64_t global_time;
	uint64_t local_run_time;
	uint64_t rsvdz0;
	uint64_t hypervisor_time;
};
HV_ASSERT_SIZE(struct hv_output_get_logical_processor_run_time, 32);

struct hv_input_add_logical_processor {
	uint32_t lp_index;
	uint32_t apic_id;
	struct hv_proximity_domain_info proximity_domain_info;
};
HV_ASSERT_SIZE(struct hv_input_add_logical_processor, 16);

struct hv_lp_startup_status {
	uint64_t hv_status;
	uint64_t substatus1;
	uint64_t substatus2;
	uint64_t substatus3;
	uint64_t substatus4;
	uint64_t substatus5;
	uint64_t substatus6;
};
HV_ASSERT_SIZE(struct hv_lp_startup_status, 56);

struct hv_output_add_logical_processor {
	struct hv_lp_startup_status startup_status;
};
HV_ASSERT_SIZE(struct hv_output_add_logical_processor, 56);

#endif
