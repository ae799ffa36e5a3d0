/*
 * SynIC: registers, messages, event flags, timers, ports and connections (TLFS: Inter-Partition
 * Communication; Virtual Interrupt Control; Timers).
 */
#ifndef HV_SYNIC_H
#define HV_SYNIC_H

#include "types.h"

#define HV_SYNIC_SINT_COUNT         16
#define HV_SYNIC_STIMER_COUNT       4
#define HV_SYNIC_VERSION_1          1
#define HV_SYNIC_FIRST_VALID_VECTOR 16

/* SINTs with a fixed use */
#define HV_SYNIC_INTERCEPTION_SINT_INDEX 0
#define HV_SYNIC_IOMMU_FAULT_SINT_INDEX  1
#define HV_SYNIC_VMBUS_SINT_INDEX        2
#define HV_SYNIC_FIRST_UNUSED_SINT_INDEX 5
#define HV_SYNIC_DOORBELL_SINT_INDEX     HV_SYNIC_FIRST_UNUSED_SINT_INDEX

/* Registers */

union hv_synic_scontrol {
	uint64_t as_uint64;
	struct {
		uint64_t enable : 1;
		uint64_t reserved : 63;
	};
};
HV_ASSERT_SIZE(union hv_synic_scontrol, 8);

union hv_synic_siefp {
	uint64_t as_uint64;
	struct {
		uint64_t siefp_enabled : 1;
		uint64_t preserved : 11;
		uint64_t base_siefp_gpa : 52; /* page number */
	};
};
HV_ASSERT_SIZE(union hv_synic_siefp, 8);

union hv_synic_simp {
	uint64_t as_uint64;
	struct {
		uint64_t simp_enabled : 1;
		uint64_t preserved : 11;
		uint64_t base_simp_gpa : 52; /* page number */
	};
};
HV_ASSERT_SIZE(union hv_synic_simp, 8);

union hv_synic_sirbp {
	uint64_t as_uint64;
	struct {
		uint64_t sirbp_enabled : 1;
		uint64_t preserved : 11;
		uint64_t base_sirbp_gpa : 52; /* page number */
	};
};
HV_ASSERT_SIZE(union hv_synic_sirbp, 8);

/* Reset value: masked, all else 0. */
union hv_synic_sint {
	uint64_t as_uint64;
	struct {
		uint64_t vector : 8;
		uint64_t reserved1 : 8;
		uint64_t masked : 1;
		uint64_t auto_eoi : 1;
		uint64_t polling : 1;
		uint64_t as_intercept : 1;
		uint64_t proxy : 1;
		uint64_t reserved2 : 43;
	};
};
HV_ASSERT_SIZE(union hv_synic_sint, 8);

#define HV_SYNIC_CONTROL_ENABLE   0x1ull
#define HV_SYNIC_SIMP_ENABLE      0x1ull
#define HV_SYNIC_SIEFP_ENABLE     0x1ull
#define HV_SYNIC_SIRBP_ENABLE     0x1ull
#define HV_SYNIC_SINT_MASKED      0x10000ull
#define HV_SYNIC_SINT_AUTO_EOI    0x20000ull
#define HV_SYNIC_SINT_VECTOR_MASK 0xffull

/* TLFS: Synthetic Timers (HV_X64_MSR_STIMER_CONFIG_CONTENTS) */
union hv_stimer_config {
	uint64_t as_uint64;
	struct {
		uint64_t enable : 1;
		uint64_t periodic : 1;
		uint64_t lazy : 1;
		uint64_t auto_enable : 1;
		uint64_t apic_vector : 8;
		uint64_t direct_mode : 1;
		uint64_t reserved_z0 : 3;
		uint64_t sintx : 4;
		uint64_t reserved_z1 : 44;
	};
};
HV_ASSERT_SIZE(union hv_stimer_config, 8);

/* Messages (TLFS: SynIC Message Page; HV_MESSAGE). A slot is free when its message_type is
 * HVMSG_NONE. */

#define HV_MESSAGE_SIZE                 256
#define HV_MESSAGE_PAYLOAD_BYTE_COUNT   240
#define HV_MESSAGE_PAYLOAD_QWORD_COUNT  30
#define HV_MESSAGE_TYPE_HYPERVISOR_MASK 0x80000000u

/* TLFS: HV_MESSAGE_TYPE. Types with bit 31 come from the hypervisor alone. */
enum hv_message_type {
	HVMSG_NONE = 0x00000000,

	HVMSG_UNMAPPED_GPA = 0x80000000,
	HVMSG_GPA_INTERCEPT = 0x80000001,
	HVMSG_UNACCEPTED_GPA = 0x80000003,
	HVMSG_GPA_ATTRIBUTE_INTERCEPT = 0x80000004,

	HVMSG_TIMER_EXPIRED = 0x80000010,

	HVMSG_INVALID_VP_REGISTER_VALUE = 0x80000020,
	HVMSG_UNRECOVERABLE_EXCEPTION = 0x80000021,
	HVMSG_UNSUPPORTED_FEATURE = 0x80000022,

	HVMSG_OPAQUE_INTERCEPT =
		0x8000003F, /* the intercept itself is in the VP's intercept page */
	HVMSG_EVENTLOG_BUFFERCOMPLETE = 0x80000040,
	HVMSG_HYPERCALL_INTERCEPT = 0x80000050,

	HVMSG_SYNIC_EVENT_INTERCEPT = 0x80000060,
	HVMSG_SYNIC_SINT_INTERCEPT = 0x80000061,
	HVMSG_SYNIC_SINT_DELIVERABLE = 0x80000062,

	HVMSG_ASYNC_CALL_COMPLETION = 0x80000070,
	HVMSG_INSUFFICIENT_MEMORY = 0x80000071,

	HVMSG_SCHEDULER_VP_SIGNAL_BITSET = 0x80000100,
	HVMSG_SCHEDULER_VP_SIGNAL_PAIR = 0x80000101,

	HVMSG_X64_IO_PORT_INTERCEPT = 0x80010000,
	HVMSG_X64_MSR_INTERCEPT = 0x80010001,
	HVMSG_X64_CPUID_INTERCEPT = 0x80010002,
	HVMSG_X64_EXCEPTION_INTERCEPT = 0x80010003,
	HVMSG_X64_APIC_EOI = 0x80010004,
	HVMSG_X64_LEGACY_FP_ERROR = 0x80010005,
	HVMSG_X64_REGISTER_INTERCEPT = 0x80010006,
	HVMSG_X64_HALT = 0x80010007,
	HVMSG_X64_INTERRUPTION_DELIVERABLE = 0x80010008,
	HVMSG_X64_SIPI_INTERCEPT = 0x80010009,
	HVMSG_X64_RDTSC_INTERCEPT = 0x8001000A,
	HVMSG_X64_APIC_SMI_INTERCEPT = 0x8001000B,
	HVMSG_X64_APIC_INIT_SIPI_INTERCEPT = 0x8001000D,
	HVMSG_X64_APIC_WRITE_INTERCEPT = 0x8001000E,
};

/* TLFS: HV_PORT_ID, HV_CONNECTION_ID */
union hv_port_id {
	uint32_t asu32;
	struct {
		uint32_t id : 24;
		uint32_t reserved : 8;
	} u;
};
HV_ASSERT_SIZE(union hv_port_id, 4);

union hv_connection_id {
	uint32_t asu32;
	struct {
		uint32_t id : 24;
		uint32_t reserved : 8;
	} u;
};
HV_ASSERT_SIZE(union hv_connection_id, 4);

union hv_message_flags {
	uint8_t asu8;
	struct {
		uint8_t msg_pending : 1;
		uint8_t reserved : 7;
	};
};

struct hv_message_header {
	uint32_t message_type;
	uint8_t payload_size;
	union hv_message_flags message_flags;
	uint8_t reserved[2];
	union {
		uint64_t sender; /* a partition, for messages of the hypervisor */
		union hv_port_id port;
	};
};
HV_ASSERT_SIZE(struct hv_message_header, 16);

struct hv_message {
	struct hv_message_header header;
	union {
		uint64_t payload[HV_MESSAGE_PAYLOAD_QWORD_COUNT];
	} u;
};
HV_ASSERT_SIZE(struct hv_message, HV_MESSAGE_SIZE);

struct hv_message_page {
	struct hv_message sint_message[HV_SYNIC_SINT_COUNT];
};
HV_ASSERT_SIZE(struct hv_message_page, HV_HYP_PAGE_SIZE);

/* Payload of HVMSG_TIMER_EXPIRED (TLFS: HV_TIMER_MESSAGE_PAYLOAD) */
struct hv_timer_message_payload {
	uint32_t timer_index;
	uint32_t reserved;
	uint64_t expiration_time;
	uint64_t delivery_time;
};
HV_ASSERT_SIZE(struct hv_timer_message_payload, 24);

/* Payload of HVMSG_SYNIC_SINT_INTERCEPT, for a SINT that has as_intercept set */
struct hv_notification_message_payload {
	uint32_t sint_index;
};
HV_ASSERT_SIZE(struct hv_notification_message_payload, 4);

/* Payload of HVMSG_ASYNC_CALL_COMPLETION: how a call that returned HV_STATUS_CALL_PENDING ended */
struct hv_async_completion_message_payload {
	uint64_t partition_id;
	uint32_t status;
	uint32_t completion_count;
	uint64_t sub_status;
};
HV_ASSERT_SIZE(struct hv_async_completion_message_payload, 24);

/* Payload of HVMSG_X64_APIC_EOI: a level-triggered interrupt has been acknowledged */
struct hv_x64_apic_eoi_message {
	uint32_t vp_index;
	uint32_t interrupt_vector;
};
HV_ASSERT_SIZE(struct hv_x64_apic_eoi_message, 8);

/* Payload of HVMSG_OPAQUE_INTERCEPT */
struct hv_opaque_intercept_message {
	uint32_t vp_index;
};
HV_ASSERT_SIZE(struct hv_opaque_intercept_message, 4);

/* Event flags (TLFS: SynIC Event Flags Page; HV_SYNIC_EVENT_FLAGS) */

#define HV_EVENT_FLAGS_COUNT      2048
#define HV_EVENT_FLAGS_BYTE_COUNT 256
#define HV_EVENT_FLAGS32_COUNT    64
#define HV_EVENT_FLAGS64_COUNT    32

union hv_synic_event_flags {
	uint8_t flags8[HV_EVENT_FLAGS_BYTE_COUNT];
	uint32_t flags32[HV_EVENT_FLAGS32_COUNT];
	uint64_t flags64[HV_EVENT_FLAGS64_COUNT];
};
HV_ASSERT_SIZE(union hv_synic_event_flags, HV_EVENT_FLAGS_BYTE_COUNT);

struct hv_synic_event_flags_page {
	union hv_synic_event_flags event_flags[HV_SYNIC_SINT_COUNT];
};
HV_ASSERT_SIZE(struct hv_synic_event_flags_page, HV_HYP_PAGE_SIZE);

/*
 * Event rings, in the SIRBP page: port ids of doorbells that were rung. An entry of 0 is empty; the
 * reader zeroes what it has read, from its own tail on. signal_masked: the reader is at work, no
 * interrupt needed. ring_full: an entry was lost to a full ring; the reader calls
 * HvCallNotifyPortRingEmpty when it has emptied it.
 */
#define HV_SYNIC_EVENT_RING_MESSAGE_COUNT 63

struct hv_synic_event_ring {
	uint8_t signal_masked;
	uint8_t ring_full;
	uint16_t reserved_z;
	uint32_t data[HV_SYNIC_EVENT_RING_MESSAGE_COUNT];
};
HV_ASSERT_SIZE(struct hv_synic_event_ring, 256);

struct hv_synic_event_ring_page {
	struct hv_synic_event_ring sint_event_ring[HV_SYNIC_SINT_COUNT];
};
HV_ASSERT_SIZE(struct hv_synic_event_ring_page, HV_HYP_PAGE_SIZE);

/* HvCallNotifyPortRingEmpty (fast) */
union hv_input_notify_port_ring_empty {
	uint64_t as_uint64;
	struct {
		uint32_t sint_index;
		uint32_t reserved;
	};
};
HV_ASSERT_SIZE(union hv_input_notify_port_ring_empty, 8);

/* Posting and signalling */

/* HvCallPostMessage */
struct hv_input_post_message {
	union hv_connection_id connectionid;
	uint32_t reserved;
	uint32_t message_type;
	uint32_t payload_size;
	uint64_t payload[HV_MESSAGE_PAYLOAD_QWORD_COUNT];
};
HV_ASSERT_SIZE(struct hv_input_post_message, 256);

/* HvCallSignalEvent (fast or in memory) */
struct hv_input_signal_event {
	union hv_connection_id connectionid;
	uint16_t flag_number;
	uint16_t rsvdz;
};
HV_ASSERT_SIZE(struct hv_input_signal_event, 8);

/* HvCallSignalEventDirect */
struct hv_input_signal_event_direct {
	uint64_t target_partition;
	uint32_t target_vp;
	uint8_t target_vtl;
	uint8_t target_sint;
	uint16_t flag_number;
};
HV_ASSERT_SIZE(struct hv_input_signal_event_direct, 16);

struct hv_output_signal_event_direct {
	uint8_t newly_signaled;
	uint8_t reserved[7];
};
HV_ASSERT_SIZE(struct hv_output_signal_event_direct, 8);

/* HvCallPostMessageDirect. message is a whole struct hv_message, 4-byte aligned only. */
struct hv_input_post_message_direct {
	uint64_t partition_id;
	uint32_t vp_index;
	uint8_t vtl;
	uint8_t padding[3];
	uint32_t sint_index;
	uint8_t message[HV_MESSAGE_SIZE];
	uint32_t padding2;
};
HV_ASSERT_SIZE(struct hv_input_post_message_direct, 280);
HV_ASSERT_OFFSET(struct hv_input_post_message_direct, message, 20);

/* Ports and connections (TLFS: HV_PORT_TYPE, HV_PORT_INFO, HV_CONNECTION_INFO) */

enum hv_port_type {
	HV_PORT_TYPE_MESSAGE = 1,
	HV_PORT_TYPE_EVENT = 2,
	HV_PORT_TYPE_MONITOR = 3,
	HV_PORT_TYPE_DOORBELL = 4, /* owned by the root alone */
};

struct hv_port_info {
	uint32_t port_type; /* enum hv_port_type */
	uint32_t padding;
	union {
		struct {
			uint32_t target_sint;
			uint32_t target_vp; /* or HV_ANY_VP */
			uint64_t rsvdz;
		} message_port_info;
		struct {
			uint32_t target_sint;
			uint32_t target_vp;
			uint16_t base_flag_number;
			uint16_t flag_count;
			uint32_t rsvdz;
		} event_port_info;
		struct {
			uint64_t monitor_address;
			uint64_t rsvdz;
		} monitor_port_info;
		struct {
			uint32_t target_sint;
			uint32_t target_vp;
			uint64_t rsvdz;
		} doorbell_port_info;
	};
};
HV_ASSERT_SIZE(struct hv_port_info, 24);

struct hv_connection_info {
	uint32_t port_type; /* enum hv_port_type */
	uint32_t padding;
	union {
		struct {
			uint64_t rsvdz;
		} message_connection_info;
		struct {
			uint64_t rsvdz;
		} event_connection_info;
		struct {
			uint64_t monitor_address;
		} monitor_connection_info;
		struct {
			uint64_t gpa;
			uint64_t trigger_value;
			uint64_t flags; /* HV_DOORBELL_FLAG_* */
		} doorbell_connection_info;
	};
};
HV_ASSERT_SIZE(struct hv_connection_info, 32);

#define HV_DOORBELL_FLAG_TRIGGER_SIZE_MASK  0x00000007u
#define HV_DOORBELL_FLAG_TRIGGER_SIZE_ANY   0x00000000u
#define HV_DOORBELL_FLAG_TRIGGER_SIZE_BYTE  0x00000001u
#define HV_DOORBELL_FLAG_TRIGGER_SIZE_WORD  0x00000002u
#define HV_DOORBELL_FLAG_TRIGGER_SIZE_DWORD 0x00000003u
#define HV_DOORBELL_FLAG_TRIGGER_SIZE_QWORD 0x00000004u
#define HV_DOORBELL_FLAG_TRIGGER_ANY_VALUE  0x80000000u

/* HvCallCreatePort: the port is port_partition_id's; connection_partition_id alone may connect to
 * it. */
struct hv_input_create_port {
	uint64_t port_partition_id;
	union hv_port_id port_id;
	uint8_t port_vtl;
	uint8_t min_connection_vtl;
	uint16_t padding;
	uint64_t connection_partition_id;
	struct hv_port_info port_info;
	struct hv_proximity_domain_info proximity_domain_info;
};
HV_ASSERT_SIZE(struct hv_input_create_port, 56);
HV_ASSERT_OFFSET(struct hv_input_create_port, port_info, 24);

/* HvCallDeletePort (fast) */
union hv_input_delete_port {
	uint64_t as_uint64[2];
	struct {
		uint64_t port_partition_id;
		union hv_port_id port_id;
		uint32_t reserved;
	};
};
HV_ASSERT_SIZE(union hv_input_delete_port, 16);

/* HvCallConnectPort */
struct hv_input_connect_port {
	uint64_t connection_partition_id;
	union hv_connection_id connection_id;
	uint8_t connection_vtl;
	uint8_t rsvdz0;
	uint16_t rsvdz1;
	uint64_t port_partition_id;
	union hv_port_id port_id;
	uint32_t reserved2;
	struct hv_connection_info connection_info;
	struct hv_proximity_domain_info proximity_domain_info;
};
HV_ASSERT_SIZE(struct hv_input_connect_port, 72);
HV_ASSERT_OFFSET(struct hv_input_connect_port, connection_info, 32);

/* HvCallDisconnectPort (fast) */
union hv_input_disconnect_port {
	uint64_t as_uint64[2];
	struct {
		uint64_t connection_partition_id;
		union hv_connection_id connection_id;
		uint32_t is_doorbell : 1;
		uint32_t reserved : 31;
	};
};
HV_ASSERT_SIZE(union hv_input_disconnect_port, 16);

#endif
