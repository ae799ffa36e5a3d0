/*
 * The words in which every other ABI header is written.
 *
 * Wire structs use fixed-width integers and bit fields (little endian, as GCC and clang lay them
 * out on x86-64). A struct is HV_PACKED only where its size is not a multiple of its alignment on
 * the wire; everything else is laid out naturally, and asserted to be so.
 */
#ifndef HV_TYPES_H
#define HV_TYPES_H

#ifdef __KERNEL__
#include <linux/stddef.h>
#include <linux/types.h>
#else
#include <stddef.h>
#include <stdint.h>
#endif

#define HV_PACKED __attribute__((packed))

#define HV_ASSERT_SIZE(type, size)                                                                 \
	_Static_assert(sizeof(type) == (size), #type " is not " #size " bytes")
#define HV_ASSERT_OFFSET(type, member, offset)                                                     \
	_Static_assert(offsetof(type, member) == (offset), #type "." #member " is not "            \
								 "at " #offset)

/* TLFS: HV_STATUS; values in status.h. */
typedef uint16_t hv_status_t;

/* The hypervisor's page, whatever the partition's own page size is. */
#define HV_HYP_PAGE_SHIFT       12
#define HV_HYP_PAGE_SIZE        4096
#define HV_HYP_LARGE_PAGE_SHIFT 21

/* TLFS: HV_PARTITION_ID */
#define HV_PARTITION_ID_INVALID 0x0000000000000000ull
#define HV_PARTITION_ID_SELF    0xffffffffffffffffull

/* TLFS: HV_VP_INDEX */
#define HV_ANY_VP        0xffffffffu
#define HV_VP_INDEX_SELF 0xfffffffeu
#define HV_MAX_VP_INDEX  2047u

struct hv_u128 {
	uint64_t low_part;
	uint64_t high_part;
};
HV_ASSERT_SIZE(struct hv_u128, 16);

/* TLFS: HV_INPUT_VTL. With use_target_vtl clear the caller's own VTL is meant. */
union hv_input_vtl {
	uint8_t as_uint8;
	struct {
		uint8_t target_vtl : 4;
		uint8_t use_target_vtl : 1;
		uint8_t reserved_z : 3;
	};
};
HV_ASSERT_SIZE(union hv_input_vtl, 1);

#define HV_NORMAL_VTL 0

/*
 * TLFS: HV_VP_SET. In the sparse form bank n covers VPs 64n..64n+63; bank_contents holds one word
 * for each bit set in valid_bank_mask, in ascending order. Where a hypercall ends in a set, the
 * variable header begins at bank_contents.
 */
enum hv_generic_set_format {
	HV_GENERIC_SET_SPARSE_4K = 0,
	HV_GENERIC_SET_ALL = 1,
};

#define HV_MAX_SPARSE_VCPU_BANKS 64
#define HV_VCPUS_PER_SPARSE_BANK 64

struct hv_vpset {
	uint64_t format;
	uint64_t valid_bank_mask;
	uint64_t bank_contents[];
};
HV_ASSERT_SIZE(struct hv_vpset, 16);

/* Words that a set of up to max VPs takes, format and mask included. */
#define HV_GENERIC_SET_QWORD_COUNT(max) (((((max)-1) >> 6) + 1) + 2)

/* TLFS: HV_PROXIMITY_DOMAIN_INFO */
struct hv_proximity_domain_flags {
	uint32_t proximity_preferred : 1;
	uint32_t reserved : 30;
	uint32_t proximity_info_valid : 1;
};

struct hv_proximity_domain_info {
	uint32_t domain_id;
	struct hv_proximity_domain_flags flags;
};
HV_ASSERT_SIZE(struct hv_proximity_domain_info, 8);

#endif
