/*
 * Guest memory: deposits, GPA maps, access states, translations, TLB flushes (TLFS: Partition
 * Manager, Guest Physical Address Spaces, Virtual MMU).
 */
#ifndef HV_MEMORY_H
#define HV_MEMORY_H

#include "types.h"

/* Deposits */

/*
 * HvCallDepositMemory (rep): pages of the caller become the partition's, for the hypervisor's use
 */
struct hv_deposit_memory {
	uint64_t partition_id;
	uint64_t gpa_page_list[];
};
HV_ASSERT_SIZE(struct hv_deposit_memory, 8);

/* HvCallWithdrawMemory (rep): one page number per rep comes back; HV_STATUS_NO_RESOURCES when there
 * are no more */
struct hv_input_withdraw_memory {
	uint64_t partition_id;
	struct hv_proximity_domain_info proximity_domain_info;
};
HV_ASSERT_SIZE(struct hv_input_withdraw_memory, 16);

/* HvCallGetMemoryBalance */
struct hv_input_get_memory_balance {
	uint64_t partition_id;
	struct hv_proximity_domain_info proximity_domain_info;
};
HV_ASSERT_SIZE(struct hv_input_get_memory_balance, 16);

struct hv_output_get_memory_balance {
	uint64_t pages_available;
	uint64_t pages_in_use;
};
HV_ASSERT_SIZE(struct hv_output_get_memory_balance, 16);

/* The most that a caller has to find in one piece after HV_STATUS_INSUFFICIENT_CONTIGUOUS_MEMORY */
#define HV_MAX_CONTIGUOUS_ALLOCATION_PAGES 8

/* GPA maps (TLFS: HV_MAP_GPA_FLAGS) */

#define HV_MAP_GPA_PERMISSIONS_NONE        0x00000000u
#define HV_MAP_GPA_READABLE                0x00000001u
#define HV_MAP_GPA_WRITABLE                0x00000002u
#define HV_MAP_GPA_KERNEL_EXECUTABLE       0x00000004u
#define HV_MAP_GPA_USER_EXECUTABLE         0x00000008u
#define HV_MAP_GPA_EXECUTABLE              0x0000000cu
#define HV_MAP_GPA_PERMISSIONS_MASK        0x0000000fu
#define HV_MAP_GPA_ADJUSTABLE              0x00008000u
#define HV_MAP_GPA_NO_ACCESS               0x00010000u
#define HV_MAP_GPA_ZEROED                  0x00020000u
#define HV_MAP_GPA_ONES                    0x00030000u
#define HV_MAP_GPA_SPECIAL_MASK            0x00030000u /* NO_ACCESS, ZEROED or ONES: no page behind it */
#define HV_MAP_GPA_NO_OVERLAY              0x00100000u
#define HV_MAP_GPA_NOT_CACHED              0x00200000u
#define HV_MAP_GPA_CLEAR_ACCESSED          0x01000000u
#define HV_MAP_GPA_SET_ACCESSED            0x02000000u
#define HV_MAP_GPA_CLEAR_DIRTY             0x04000000u
#define HV_MAP_GPA_SET_DIRTY               0x08000000u
#define HV_MAP_GPA_DONT_SET_RANGE_ACCESSED 0x10000000u
#define HV_MAP_GPA_LARGE_PAGE              0x80000000u

/*
 * HvCallMapGpaPages (rep). With LARGE_PAGE a rep is 2 MiB, and its list entry the first page of it.
 */
struct hv_input_map_gpa_pages {
	uint64_t target_partition_id;
	uint64_t target_gpa_base; /* page number */
	uint32_t map_flags;
	uint32_t padding;
	uint64_t source_gpa_page_list[];
};
HV_ASSERT_SIZE(struct hv_input_map_gpa_pages, 24);

/* HvCallMapSparseGpaPages (rep). TLFS: HV_GPA_MAPPING */
struct hv_gpa_mapping {
	uint64_t target_gpa_page_number;
	uint64_t source_gpa_page_number;
};
HV_ASSERT_SIZE(struct hv_gpa_mapping, 16);

struct hv_input_map_sparse_gpa_pages {
	uint64_t target_partition_id;
	uint32_t map_flags;
	uint32_t padding;
	struct hv_gpa_mapping page_list[];
};
HV_ASSERT_SIZE(struct hv_input_map_sparse_gpa_pages, 16);

/* HvCallModifySparseGpaPages (rep) */
struct hv_input_modify_sparse_gpa_pages {
	uint64_t target_partition_id;
	uint32_t map_flags;
	uint32_t rsvdz;
	uint64_t gpa_page_list[];
};
HV_ASSERT_SIZE(struct hv_input_modify_sparse_gpa_pages, 16);

/* HvCallUnmapGpaPages (rep, without a list). TLFS: HV_UNMAP_GPA_FLAGS */
#define HV_UNMAP_GPA_KEEP_PRECOMMITTED 0x1u
#define HV_UNMAP_GPA_LARGE_PAGE        0x2u

struct hv_input_unmap_gpa_pages {
	uint64_t target_partition_id;
	uint64_t target_gpa_base;
	uint32_t unmap_flags;
	uint32_t padding;
};
HV_ASSERT_SIZE(struct hv_input_unmap_gpa_pages, 24);

/* HvCallGetGpaPagesAccessStates (rep): one byte per page comes back */
union hv_gpa_page_access_state_flags {
	uint64_t as_uint64;
	struct {
		uint64_t clear_accessed : 1;
		uint64_t set_accessed : 1;
		uint64_t clear_dirty : 1;
		uint64_t set_dirty : 1;
		uint64_t reserved : 60;
	};
};
HV_ASSERT_SIZE(union hv_gpa_page_access_state_flags, 8);

struct hv_input_get_gpa_pages_access_state {
	uint64_t partition_id;
	union hv_gpa_page_access_state_flags flags;
	uint64_t hv_gpa_page_number;
};
HV_ASSERT_SIZE(struct hv_input_get_gpa_pages_access_state, 24);

union hv_gpa_page_access_state {
	uint8_t as_uint8;
	struct {
		uint8_t accessed : 1;
		uint8_t dirty : 1;
		uint8_t reserved : 6;
	};
};
HV_ASSERT_SIZE(union hv_gpa_page_access_state, 1);

/* Reading and writing a partition's memory (HvCallReadGpa, HvCallWriteGpa) */

#define HV_READ_WRITE_GPA_MAX_SIZE 16

enum hv_access_gpa_result_code {
	HV_ACCESS_GPA_SUCCESS = 0,
	HV_ACCESS_GPA_UNMAPPED = 1,
	HV_ACCESS_GPA_READ_INTERCEPT = 2,
	HV_ACCESS_GPA_WRITE_INTERCEPT = 3,
	HV_ACCESS_GPA_ILLEGAL_OVERLAY_ACCESS = 4,
};

union hv_access_gpa_result {
	uint64_t as_uint64;
	struct {
		uint32_t result_code; /* enum hv_access_gpa_result_code */
		uint32_t reserved;
	};
};

union hv_access_gpa_control_flags {
	uint64_t as_uint64;
	struct {
		uint64_t cache_type : 8; /* enum hv_cache_type */
		uint64_t reserved : 56;
	};
};

struct hv_input_read_gpa {
	uint64_t partition_id;
	uint32_t vp_index;
	uint32_t byte_count;
	uint64_t base_gpa;
	union hv_access_gpa_control_flags control_flags;
};
HV_ASSERT_SIZE(struct hv_input_read_gpa, 32);

struct hv_output_read_gpa {
	union hv_access_gpa_result access_result;
	uint8_t data[HV_READ_WRITE_GPA_MAX_SIZE];
};
HV_ASSERT_SIZE(struct hv_output_read_gpa, 24);

struct hv_input_write_gpa {
	uint64_t partition_id;
	uint32_t vp_index;
	uint32_t byte_count;
	uint64_t base_gpa;
	union hv_access_gpa_control_flags control_flags;
	uint8_t data[HV_READ_WRITE_GPA_MAX_SIZE];
};
HV_ASSERT_SIZE(struct hv_input_write_gpa, 48);

struct hv_output_write_gpa {
	union hv_access_gpa_result access_result;
};
HV_ASSERT_SIZE(struct hv_output_write_gpa, 8);

/* Translation (TLFS: HV_TRANSLATE_GVA_CONTROL_FLAGS, HV_TRANSLATE_GVA_RESULT) */

#define HV_TRANSLATE_GVA_VALIDATE_READ       0x0001ull
#define HV_TRANSLATE_GVA_VALIDATE_WRITE      0x0002ull
#define HV_TRANSLATE_GVA_VALIDATE_EXECUTE    0x0004ull
#define HV_TRANSLATE_GVA_PRIVILEGE_EXEMPT    0x0008ull
#define HV_TRANSLATE_GVA_SET_PAGE_TABLE_BITS 0x0010ull
#define HV_TRANSLATE_GVA_TLB_FLUSH_INHIBIT   0x0020ull
#define HV_TRANSLATE_GVA_SUPERVISOR_ACCESS   0x0040ull
#define HV_TRANSLATE_GVA_USER_ACCESS         0x0080ull
#define HV_TRANSLATE_GVA_ENFORCE_SMAP        0x0100ull
#define HV_TRANSLATE_GVA_OVERRIDE_SMAP       0x0200ull
#define HV_TRANSLATE_GVA_SHADOW_STACK        0x0400ull
#define HV_TRANSLATE_GVA_INPUT_VTL_MASK      0xff00000000000000ull

enum hv_translate_gva_result_code {
	HV_TRANSLATE_GVA_SUCCESS = 0,
	HV_TRANSLATE_GVA_PAGE_NOT_PRESENT = 1,
	HV_TRANSLATE_GVA_PRIVILEGE_VIOLATION = 2,
	HV_TRANSLATE_GVA_INVALID_PAGE_TABLE_FLAGS = 3,
	HV_TRANSLATE_GVA_GPA_UNMAPPED = 4,
	HV_TRANSLATE_GVA_GPA_NO_READ_ACCESS = 5,
	HV_TRANSLATE_GVA_GPA_NO_WRITE_ACCESS = 6,
	HV_TRANSLATE_GVA_GPA_ILLEGAL_OVERLAY_ACCESS = 7,
	HV_TRANSLATE_GVA_INTERCEPT = 8,
	HV_TRANSLATE_GVA_GPA_UNACCEPTED = 9,
};

union hv_translate_gva_result {
	uint64_t as_uint64;
	struct {
		uint32_t result_code; /* enum hv_translate_gva_result_code */
		uint32_t cache_type : 8;
		uint32_t overlay_page : 1;
		uint32_t reserved : 23;
	};
};
HV_ASSERT_SIZE(union hv_translate_gva_result, 8);

/* HvCallTranslateVirtualAddress */
struct hv_input_translate_virtual_address {
	uint64_t partition_id;
	uint32_t vp_index;
	uint32_t padding;
	uint64_t control_flags;
	uint64_t gva_page;
};
HV_ASSERT_SIZE(struct hv_input_translate_virtual_address, 32);

struct hv_output_translate_virtual_address {
	union hv_translate_gva_result translation_result;
	uint64_t gpa_page;
};
HV_ASSERT_SIZE(struct hv_output_translate_virtual_address, 16);

/*
 * HvCallTranslateVirtualAddressEx: the same input; the event is what an access would raise. In
 * registers.h: union hv_x64_pending_exception_event, struct hv_x64_pending_memory_intercept_event.
 */
struct hv_output_translate_virtual_address_ex {
	union hv_translate_gva_result translation_result;
	uint64_t reserved;
	uint64_t event_info[4];
	uint64_t gpa_page;
	uint64_t reserved2;
};
HV_ASSERT_SIZE(struct hv_output_translate_virtual_address_ex, 64);

/* TLB flushes */

#define HV_FLUSH_ALL_PROCESSORS             0x1ull
#define HV_FLUSH_ALL_VIRTUAL_ADDRESS_SPACES 0x2ull
#define HV_FLUSH_NON_GLOBAL_MAPPINGS_ONLY   0x4ull
#define HV_FLUSH_USE_EXTENDED_RANGE_FORMAT  0x8ull

/* HvCallFlushVirtualAddressSpace; HvCallFlushVirtualAddressList (rep): bits 11:0 of an entry =
 * pages after the first */
struct hv_tlb_flush {
	uint64_t address_space; /* CR3 */
	uint64_t flags;         /* HV_FLUSH_* */
	uint64_t processor_mask;
	uint64_t gva_list[];
};
HV_ASSERT_SIZE(struct hv_tlb_flush, 24);

/* ...Ex: the set's banks are the variable header, the list follows them */
struct hv_tlb_flush_ex {
	uint64_t address_space;
	uint64_t flags;
	struct hv_vpset hv_vp_set;
};
HV_ASSERT_SIZE(struct hv_tlb_flush_ex, 32);

/* TLFS: HV_GPA_PAGE_RANGE */
union hv_gpa_page_range {
	uint64_t address_space;
	struct {
		uint64_t additional_pages : 11;
		uint64_t largepage : 1;
		uint64_t basepfn : 52;
	} page;
	struct {
		uint64_t reserved : 12;
		uint64_t page_size : 1;
		uint64_t reserved1 : 8;
		uint64_t base_large_pfn : 43;
	};
};
HV_ASSERT_SIZE(union hv_gpa_page_range, 8);

/* HvCallFlushGuestPhysicalAddressSpace, HvCallFlushGuestPhysicalAddressList (rep) */
struct hv_guest_mapping_flush {
	uint64_t address_space;
	uint64_t flags;
};
HV_ASSERT_SIZE(struct hv_guest_mapping_flush, 16);

struct hv_guest_mapping_flush_list {
	uint64_t address_space;
	uint64_t flags;
	union hv_gpa_page_range gpa_list[];
};
HV_ASSERT_SIZE(struct hv_guest_mapping_flush_list, 16);

/* HvExtCallMemoryHeatHint (rep) */
#define HV_EXT_MEMORY_HEAT_HINT_TYPE_COLD_DISCARD 2

struct hv_memory_hint {
	uint64_t heat_type : 2;
	uint64_t reserved : 62;
	union hv_gpa_page_range ranges[];
};
HV_ASSERT_SIZE(struct hv_memory_hint, 8);

/* MMIO by hypercall (HvCallMemoryMappedIoRead, HvCallMemoryMappedIoWrite) */

#define HV_HYPERCALL_MMIO_MAX_DATA_LENGTH 64

struct hv_mmio_read_input {
	uint64_t gpa;
	uint32_t size;
	uint32_t reserved;
};
HV_ASSERT_SIZE(struct hv_mmio_read_input, 16);

struct hv_mmio_read_output {
	uint8_t data[HV_HYPERCALL_MMIO_MAX_DATA_LENGTH];
};
HV_ASSERT_SIZE(struct hv_mmio_read_output, 64);

struct hv_mmio_write_input {
	uint64_t gpa;
	uint32_t size;
	uint32_t reserved;
	uint8_t data[HV_HYPERCALL_MMIO_MAX_DATA_LENGTH];
};
HV_ASSERT_SIZE(struct hv_mmio_write_input, 80);

#endif
