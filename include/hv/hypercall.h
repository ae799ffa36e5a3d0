/*
 * How a hypercall is made, and which there are (TLFS: Hypercall Interface, Hypercall Reference).
 *
 * RCX is the control word, RDX the GPA of the input, R8 that of the output; a fast call has its
 * input in RDX and R8 (and in XMM0-5, if it is longer), and its output after it. RAX is the result
 * word. Input and output are 8-byte aligned and do not cross a page. A rep call that is not
 * finished when it returns is called again with the rep start advanced.
 *
 * The input and output structs stand in the header of their topic; a call without one has none.
 */
#ifndef HV_HYPERCALL_H
#define HV_HYPERCALL_H

#include "types.h"

/* Control word */
#define HV_HYPERCALL_CODE_MASK        0x000000000000ffffull
#define HV_HYPERCALL_FAST_BIT         0x0000000000010000ull
#define HV_HYPERCALL_VARHEAD_OFFSET   17
#define HV_HYPERCALL_VARHEAD_MASK     0x0000000007fe0000ull
#define HV_HYPERCALL_RSVD0_MASK       0x0000000078000000ull
#define HV_HYPERCALL_NESTED           0x0000000080000000ull
#define HV_HYPERCALL_REP_COMP_OFFSET  32
#define HV_HYPERCALL_REP_COMP_MASK    0x00000fff00000000ull
#define HV_HYPERCALL_RSVD1_MASK       0x0000f00000000000ull
#define HV_HYPERCALL_REP_START_OFFSET 48
#define HV_HYPERCALL_REP_START_MASK   0x0fff000000000000ull
#define HV_HYPERCALL_RSVD2_MASK       0xf000000000000000ull
#define HV_HYPERCALL_RSVD_MASK                                                                     \
	(HV_HYPERCALL_RSVD0_MASK | HV_HYPERCALL_RSVD1_MASK | HV_HYPERCALL_RSVD2_MASK)

#define HV_HYPERCALL_REP_MAX 0xfffu

/* Result word; the reps completed stand where the control word has the rep count. */
#define HV_HYPERCALL_RESULT_MASK 0x000000000000ffffull

/* TLFS: HV_X64_HYPERCALL_INPUT. variable_header_size is in units of 8 bytes. */
union hv_hypercall_input {
	uint64_t as_uint64;
	struct {
		uint64_t call_code : 16;
		uint64_t is_fast : 1;
		uint64_t variable_header_size : 10;
		uint64_t reserved0 : 4;
		uint64_t is_nested : 1;
		uint64_t rep_count : 12;
		uint64_t reserved1 : 4;
		uint64_t rep_start_index : 12;
		uint64_t reserved2 : 4;
	};
};
HV_ASSERT_SIZE(union hv_hypercall_input, 8);

/* TLFS: HV_X64_HYPERCALL_OUTPUT. elements_processed counts from rep 0, not from the rep start. */
union hv_hypercall_output {
	uint64_t as_uint64;
	struct {
		uint64_t call_status : 16;
		uint64_t reserved0 : 16;
		uint64_t elements_processed : 12;
		uint64_t reserved1 : 20;
	};
};
HV_ASSERT_SIZE(union hv_hypercall_output, 8);

/* XMM registers that a fast call may use, and the bytes of input that they and RDX, R8 hold
 * together. */
#define HV_HYPERCALL_MAX_XMM_REGISTERS 6
#define HV_HYPERCALL_FAST_MAX_BYTES    112

/* Call codes (TLFS: HV_CALL_CODE) */
#define HVCALL_SWITCH_VIRTUAL_ADDRESS_SPACE           0x0001
#define HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE            0x0002
#define HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST             0x0003
#define HVCALL_GET_LOGICAL_PROCESSOR_RUN_TIME         0x0004
#define HVCALL_NOTIFY_LONG_SPIN_WAIT                  0x0008
#define HVCALL_SEND_IPI                               0x000b
#define HVCALL_MODIFY_VTL_PROTECTION_MASK             0x000c
#define HVCALL_ENABLE_PARTITION_VTL                   0x000d
#define HVCALL_ENABLE_VP_VTL                          0x000f
#define HVCALL_VTL_CALL                               0x0011
#define HVCALL_VTL_RETURN                             0x0012
#define HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE_EX         0x0013
#define HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST_EX          0x0014
#define HVCALL_SEND_IPI_EX                            0x0015
#define HVCALL_CREATE_PARTITION                       0x0040
#define HVCALL_INITIALIZE_PARTITION                   0x0041
#define HVCALL_FINALIZE_PARTITION                     0x0042
#define HVCALL_DELETE_PARTITION                       0x0043
#define HVCALL_GET_PARTITION_PROPERTY                 0x0044
#define HVCALL_SET_PARTITION_PROPERTY                 0x0045
#define HVCALL_GET_PARTITION_ID                       0x0046
#define HVCALL_GET_NEXT_CHILD_PARTITION               0x0047
#define HVCALL_DEPOSIT_MEMORY                         0x0048
#define HVCALL_WITHDRAW_MEMORY                        0x0049
#define HVCALL_GET_MEMORY_BALANCE                     0x004a
#define HVCALL_MAP_GPA_PAGES                          0x004b
#define HVCALL_UNMAP_GPA_PAGES                        0x004c
#define HVCALL_INSTALL_INTERCEPT                      0x004d
#define HVCALL_CREATE_VP                              0x004e
#define HVCALL_DELETE_VP                              0x004f
#define HVCALL_GET_VP_REGISTERS                       0x0050
#define HVCALL_SET_VP_REGISTERS                       0x0051
#define HVCALL_TRANSLATE_VIRTUAL_ADDRESS              0x0052
#define HVCALL_READ_GPA                               0x0053
#define HVCALL_WRITE_GPA                              0x0054
#define HVCALL_CLEAR_VIRTUAL_INTERRUPT                0x0056
#define HVCALL_DELETE_PORT                            0x0058
#define HVCALL_DISCONNECT_PORT                        0x005b
#define HVCALL_POST_MESSAGE                           0x005c
#define HVCALL_SIGNAL_EVENT                           0x005d
#define HVCALL_POST_DEBUG_DATA                        0x0069
#define HVCALL_RETRIEVE_DEBUG_DATA                    0x006a
#define HVCALL_RESET_DEBUG_SESSION                    0x006b
#define HVCALL_MAP_STATS_PAGE                         0x006c
#define HVCALL_UNMAP_STATS_PAGE                       0x006d
#define HVCALL_MAP_SPARSE_GPA_PAGES                   0x006e
#define HVCALL_SET_SYSTEM_PROPERTY                    0x006f
#define HVCALL_ADD_LOGICAL_PROCESSOR                  0x0076
#define HVCALL_GET_SYSTEM_PROPERTY                    0x007b
#define HVCALL_MAP_DEVICE_INTERRUPT                   0x007c
#define HVCALL_UNMAP_DEVICE_INTERRUPT                 0x007d
#define HVCALL_RETARGET_INTERRUPT                     0x007e
#define HVCALL_ENTER_SLEEP_STATE                      0x0084
#define HVCALL_NOTIFY_PARTITION_EVENT                 0x0087
#define HVCALL_NOTIFY_PORT_RING_EMPTY                 0x008b
#define HVCALL_MODIFY_SPARSE_GPA_PAGES                0x0090
#define HVCALL_REGISTER_INTERCEPT_RESULT              0x0091
#define HVCALL_UNREGISTER_INTERCEPT_RESULT            0x0092
#define HVCALL_ASSERT_VIRTUAL_INTERRUPT               0x0094
#define HVCALL_CREATE_PORT                            0x0095
#define HVCALL_CONNECT_PORT                           0x0096
#define HVCALL_START_VP                               0x0099
#define HVCALL_GET_VP_INDEX_FROM_APIC_ID              0x009a
#define HVCALL_TRANSLATE_VIRTUAL_ADDRESS_EX           0x00ac
#define HVCALL_CHECK_FOR_IO_INTERCEPT                 0x00ad
#define HVCALL_FLUSH_GUEST_PHYSICAL_ADDRESS_SPACE     0x00af
#define HVCALL_FLUSH_GUEST_PHYSICAL_ADDRESS_LIST      0x00b0
#define HVCALL_CREATE_DEVICE_DOMAIN                   0x00b1
#define HVCALL_ATTACH_DEVICE_DOMAIN                   0x00b2
#define HVCALL_MAP_DEVICE_GPA_PAGES                   0x00b3
#define HVCALL_UNMAP_DEVICE_GPA_PAGES                 0x00b4
#define HVCALL_SIGNAL_EVENT_DIRECT                    0x00c0
#define HVCALL_POST_MESSAGE_DIRECT                    0x00c1
#define HVCALL_DISPATCH_VP                            0x00c2
#define HVCALL_DETACH_DEVICE_DOMAIN                   0x00c4
#define HVCALL_DELETE_DEVICE_DOMAIN                   0x00c5
#define HVCALL_GET_GPA_PAGES_ACCESS_STATES            0x00c9
#define HVCALL_ACQUIRE_SPARSE_SPA_PAGE_HOST_ACCESS    0x00d7
#define HVCALL_RELEASE_SPARSE_SPA_PAGE_HOST_ACCESS    0x00d8
#define HVCALL_MODIFY_SPARSE_GPA_PAGE_HOST_VISIBILITY 0x00db
#define HVCALL_MAP_VP_STATE_PAGE                      0x00e1
#define HVCALL_UNMAP_VP_STATE_PAGE                    0x00e2
#define HVCALL_GET_VP_STATE                           0x00e3
#define HVCALL_SET_VP_STATE                           0x00e4
#define HVCALL_GET_VP_SET_FROM_MDA                    0x00e5
#define HVCALL_GET_VP_CPUID_VALUES                    0x00f4
#define HVCALL_GET_PARTITION_PROPERTY_EX              0x0101
#define HVCALL_MMIO_READ                              0x0106
#define HVCALL_MMIO_WRITE                             0x0107
#define HVCALL_SET_PARTITION_PROPERTY_EX              0x010a
#define HVCALL_DISABLE_HYP_EX                         0x010f
#define HVCALL_GET_IOMMU_CAPABILITIES                 0x0125
#define HVCALL_MAP_STATS_PAGE2                        0x0131

/* Ours, beside the TLFS's. Who knows none answers HV_STATUS_INVALID_HYPERCALL_CODE. */
#define HVCALL_VD_DISPATCH_VP 0x7001 /* vp.h: hv_input_vd_dispatch_vp */

/* Extended calls (TLFS: Extended Hypercall Interface); answered by the parent where the hypervisor
 * does not know them. */
#define HV_EXT_CALL_QUERY_CAPABILITIES     0x8001
#define HV_EXT_CALL_GET_BOOT_ZEROED_MEMORY 0x8002
#define HV_EXT_CALL_MEMORY_HEAT_HINT       0x8003

/* HvCallNotifyLongSpinWait: how often the caller has spun. Advisory; always succeeds. */
struct hv_input_notify_long_spin_wait {
	uint32_t spin_count;
	uint32_t rsvdz;
};
HV_ASSERT_SIZE(struct hv_input_notify_long_spin_wait, 8);

/* HvExtCallQueryCapabilities: what of the extended calls there is. */
#define HV_EXT_CAPABILITY_MEMORY_COLD_DISCARD_HINT (1u << 8)
struct hv_output_query_capabilities {
	uint64_t capabilities;
};
HV_ASSERT_SIZE(struct hv_output_query_capabilities, 8);

#endif
