/*
 * VMBus control messages: what travels in SynIC messages of type 1 between a guest and the server
 * in its root. Names as in Linux's hyperv.h. Everything is little endian and packed.
 *
 * Guest to host: HvPostMessage on one of the VMBUS_MESSAGE_CONNECTION_ID*. Host to guest: the slot
 * of VMBUS_MESSAGE_SINT on the VP that the guest named in its INITIATE_CONTACT.
 */
#ifndef VMBUS_PROTOCOL_H
#define VMBUS_PROTOCOL_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stddef.h>
#include <stdint.h>
#endif

#define VMBUS_PACKED __attribute__((packed))
#define VMBUS_ASSERT_SIZE(type, size)                                                              \
	_Static_assert(sizeof(type) == (size), #type " is not " #size " bytes")
#define VMBUS_ASSERT_OFFSET(type, member, offset)                                                  \
	_Static_assert(__builtin_offsetof(type, member) == (offset),                               \
		       #type "." #member " is not at " #offset)

#define VMBUS_MESSAGE_SINT 2
#define VMBUS_MESSAGE_TYPE 1 /* of the SynIC message that carries ours */
#define VMBUS_MESSAGE_MAX  240

/* To which a guest posts its messages: 4 from version 5.0 on (its contact names SINT and VTL), 1
 * before. */
#define VMBUS_MESSAGE_CONNECTION_ID   1u
#define VMBUS_MESSAGE_CONNECTION_ID_4 4u

/*
 * Before version 2.4 signals share what later each channel has of its own: this connection to the
 * host, event flag 0 of VP 0 to the guest. Which channel is meant says the interrupt page of the
 * contact: a bit for each relid, in its first half to the guest, in its second to the host.
 */
#define VMBUS_EVENT_CONNECTION_ID 2u

#define VMBUS_MAX_CHANNELS 2048u /* relids are 1 .. 2047: one event flag each */
#define VMBUS_PAGE_SIZE    4096u

/* Versions: major << 16 | minor */
#define VMBUS_VERSION(major, minor) ((uint32_t)(major) << 16 | (minor))
#define VERSION_WS2008              VMBUS_VERSION(0, 13)
#define VERSION_WIN7                VMBUS_VERSION(1, 1)
#define VERSION_WIN8                VMBUS_VERSION(2, 4)
#define VERSION_WIN8_1              VMBUS_VERSION(3, 0)
#define VERSION_WIN10               VMBUS_VERSION(4, 0)
#define VERSION_WIN10_V4_1          VMBUS_VERSION(4, 1)
#define VERSION_WIN10_V5            VMBUS_VERSION(5, 0)
#define VERSION_WIN10_V5_1          VMBUS_VERSION(5, 1)
#define VERSION_WIN10_V5_2          VMBUS_VERSION(5, 2)
#define VERSION_WIN10_V5_3          VMBUS_VERSION(5, 3)
#define VERSION_WIN10_V6_0          VMBUS_VERSION(6, 0)

struct vmbus_guid {
	uint32_t data1;
	uint16_t data2;
	uint16_t data3;
	uint8_t data4[8];
} VMBUS_PACKED;
VMBUS_ASSERT_SIZE(struct vmbus_guid, 16);

/* Interfaces of devices, as initialisers of a struct vmbus_guid. */
#define VMBUS_GUID_NETWORK                                                                         \
	{                                                                                          \
		0xf8615163, 0xdf3e, 0x46c5,                                                        \
		{                                                                                  \
			0x91, 0x3f, 0xf2, 0xd2, 0xf9, 0x65, 0xed, 0x0e                             \
		}                                                                                  \
	}
#define VMBUS_GUID_IDE                                                                             \
	{                                                                                          \
		0x32412632, 0x86cb, 0x44a2,                                                        \
		{                                                                                  \
			0x9b, 0x5c, 0x50, 0xd1, 0x41, 0x73, 0x54, 0xf5                             \
		}                                                                                  \
	}
#define VMBUS_GUID_SCSI                                                                            \
	{                                                                                          \
		0xba6163d9, 0x04a1, 0x4d29,                                                        \
		{                                                                                  \
			0xb6, 0x05, 0x72, 0xe2, 0xff, 0xb1, 0xdc, 0x7f                             \
		}                                                                                  \
	}
#define VMBUS_GUID_FIBRE_CHANNEL                                                                   \
	{                                                                                          \
		0x2f9bcc4a, 0x0069, 0x4af3,                                                        \
		{                                                                                  \
			0xb7, 0x6b, 0x6f, 0xd0, 0xbe, 0x52, 0x8c, 0xda                             \
		}                                                                                  \
	}
#define VMBUS_GUID_VIDEO                                                                           \
	{                                                                                          \
		0xda0a7802, 0xe377, 0x4aac,                                                        \
		{                                                                                  \
			0x8e, 0x77, 0x05, 0x58, 0xeb, 0x10, 0x73, 0xf8                             \
		}                                                                                  \
	}
#define VMBUS_GUID_KEYBOARD                                                                        \
	{                                                                                          \
		0xf912ad6d, 0x2b17, 0x48ea,                                                        \
		{                                                                                  \
			0xbd, 0x65, 0xf9, 0x27, 0xa6, 0x1c, 0x76, 0x84                             \
		}                                                                                  \
	}
#define VMBUS_GUID_MOUSE                                                                           \
	{                                                                                          \
		0xcfa8b69e, 0x5b4a, 0x4cc0,                                                        \
		{                                                                                  \
			0xb9, 0x8b, 0x8b, 0xa1, 0xa1, 0xf3, 0xf9, 0x5a                             \
		}                                                                                  \
	}
#define VMBUS_GUID_SHUTDOWN                                                                        \
	{                                                                                          \
		0x0e0b6031, 0x5213, 0x4934,                                                        \
		{                                                                                  \
			0x81, 0x8b, 0x38, 0xd9, 0x0c, 0xed, 0x39, 0xdb                             \
		}                                                                                  \
	}
#define VMBUS_GUID_TIMESYNC                                                                        \
	{                                                                                          \
		0x9527e630, 0xd0ae, 0x497b,                                                        \
		{                                                                                  \
			0xad, 0xce, 0xe8, 0x0a, 0xb0, 0x17, 0x5c, 0xaf                             \
		}                                                                                  \
	}
#define VMBUS_GUID_HEARTBEAT                                                                       \
	{                                                                                          \
		0x57164f39, 0x9115, 0x4e78,                                                        \
		{                                                                                  \
			0xab, 0x55, 0x38, 0x2f, 0x3b, 0xd5, 0x42, 0x2d                             \
		}                                                                                  \
	}
#define VMBUS_GUID_KVP                                                                             \
	{                                                                                          \
		0xa9a0f4e7, 0x5a45, 0x4d96,                                                        \
		{                                                                                  \
			0xb8, 0x27, 0x8a, 0x84, 0x1e, 0x8c, 0x03, 0xe6                             \
		}                                                                                  \
	}
#define VMBUS_GUID_VSS                                                                             \
	{                                                                                          \
		0x35fa2e29, 0xea23, 0x4236,                                                        \
		{                                                                                  \
			0x96, 0xae, 0x3a, 0x6e, 0xba, 0xcb, 0xa4, 0x40                             \
		}                                                                                  \
	}
#define VMBUS_GUID_FILE_COPY                                                                       \
	{                                                                                          \
		0x34d14be3, 0xdee4, 0x41c8,                                                        \
		{                                                                                  \
			0x9a, 0xe7, 0x6b, 0x17, 0x49, 0x77, 0xc1, 0x92                             \
		}                                                                                  \
	}
#define VMBUS_GUID_DYNAMIC_MEMORY                                                                  \
	{                                                                                          \
		0x525074dc, 0x8985, 0x46e2,                                                        \
		{                                                                                  \
			0x80, 0x57, 0xa3, 0x07, 0xdc, 0x18, 0xa5, 0x02                             \
		}                                                                                  \
	}
#define VMBUS_GUID_PCI                                                                             \
	{                                                                                          \
		0x44c4f61d, 0x4444, 0x4400,                                                        \
		{                                                                                  \
			0x9d, 0x52, 0x80, 0x2e, 0x27, 0xed, 0xe1, 0x9f                             \
		}                                                                                  \
	}

enum vmbus_channel_message_type {
	CHANNELMSG_INVALID = 0,
	CHANNELMSG_OFFERCHANNEL = 1,
	CHANNELMSG_RESCIND_CHANNELOFFER = 2,
	CHANNELMSG_REQUESTOFFERS = 3,
	CHANNELMSG_ALLOFFERS_DELIVERED = 4,
	CHANNELMSG_OPENCHANNEL = 5,
	CHANNELMSG_OPENCHANNEL_RESULT = 6,
	CHANNELMSG_CLOSECHANNEL = 7,
	CHANNELMSG_GPADL_HEADER = 8,
	CHANNELMSG_GPADL_BODY = 9,
	CHANNELMSG_GPADL_CREATED = 10,
	CHANNELMSG_GPADL_TEARDOWN = 11,
	CHANNELMSG_GPADL_TORNDOWN = 12,
	CHANNELMSG_RELID_RELEASED = 13,
	CHANNELMSG_INITIATE_CONTACT = 14,
	CHANNELMSG_VERSION_RESPONSE = 15,
	CHANNELMSG_UNLOAD = 16,
	CHANNELMSG_UNLOAD_RESPONSE = 17,
	CHANNELMSG_TL_CONNECT_REQUEST = 21,
	CHANNELMSG_MODIFYCHANNEL = 22,
	CHANNELMSG_TL_CONNECT_RESULT = 23,
	CHANNELMSG_MODIFYCHANNEL_RESPONSE = 24,
	CHANNELMSG_COUNT
};

/*
 * Statuses in results. The guest only tells 0 from the rest; sockets tell refused connections too.
 */
#define VMBUS_STATUS_SUCCESS            0u
#define VMBUS_STATUS_UNSUCCESSFUL       0xc0000001u
#define VMBUS_STATUS_CONNECTION_REFUSED 0xc0000236u

/* Also all there is of REQUESTOFFERS, ALLOFFERS_DELIVERED, UNLOAD and UNLOAD_RESPONSE. */
struct vmbus_channel_message_header {
	uint32_t msgtype;
	uint32_t padding;
} VMBUS_PACKED;
VMBUS_ASSERT_SIZE(struct vmbus_channel_message_header, 8);

/* Flags of an offer */
#define VMBUS_CHANNEL_ENUMERATE_DEVICE_INTERFACE 0x0001
#define VMBUS_CHANNEL_NAMED_PIPE_MODE            0x0010
#define VMBUS_CHANNEL_LOOPBACK_OFFER             0x0100
#define VMBUS_CHANNEL_PARENT_OFFER               0x0200
#define VMBUS_CHANNEL_TLNPI_PROVIDER_OFFER       0x2000

#define MAX_USER_DEFINED_BYTES      120
#define MAX_PIPE_USER_DEFINED_BYTES 116

/* First word of user_def of an offer in named pipe mode */
#define VMBUS_PIPE_TYPE_BYTE    0u
#define VMBUS_PIPE_TYPE_MESSAGE 4u

struct vmbus_channel_offer {
	struct vmbus_guid if_type;
	struct vmbus_guid if_instance;
	uint64_t reserved1;
	uint64_t reserved2;
	uint16_t chn_flags;
	uint16_t mmio_megabytes;
	uint8_t user_def[MAX_USER_DEFINED_BYTES];
	uint16_t sub_channel_index; /* 0: the device's own, primary channel */
	uint16_t reserved3;
} VMBUS_PACKED;
VMBUS_ASSERT_SIZE(struct vmbus_channel_offer, 176);
VMBUS_ASSERT_OFFSET(struct vmbus_channel_offer, user_def, 52);

struct vmbus_channel_offer_channel {
	struct vmbus_channel_message_header header;
	struct vmbus_channel_offer offer;
	uint32_t child_relid;
	uint8_t monitorid;
	uint8_t monitor_allocated;       /* bit 0 */
	uint16_t is_dedicated_interrupt; /* bit 0 */
	uint32_t connection_id;          /* what the guest signals */
} VMBUS_PACKED;
VMBUS_ASSERT_SIZE(struct vmbus_channel_offer_channel, 196);
VMBUS_ASSERT_OFFSET(struct vmbus_channel_offer_channel, child_relid, 184);
VMBUS_ASSERT_OFFSET(struct vmbus_channel_offer_channel, connection_id, 192);

/* RESCIND_CHANNELOFFER, CLOSECHANNEL, RELID_RELEASED */
struct vmbus_channel_relid {
	struct vmbus_channel_message_header header;
	uint32_t child_relid;
} VMBUS_PACKED;
VMBUS_ASSERT_SIZE(struct vmbus_channel_relid, 12);

/* A target_vp that asks for no interrupts at all */
#define VMBUS_TARGET_VP_NONE 0xffffffffu

struct vmbus_channel_open_channel {
	struct vmbus_channel_message_header header;
	uint32_t child_relid;
	uint32_t openid;
	uint32_t ringbuffer_gpadlhandle;
	uint32_t target_vp;
	uint32_t downstream_ringbuffer_pageoffset;
	uint8_t userdata[MAX_USER_DEFINED_BYTES];
} VMBUS_PACKED;
VMBUS_ASSERT_SIZE(struct vmbus_channel_open_channel, 148);

struct vmbus_channel_open_result {
	struct vmbus_channel_message_header header;
	uint32_t child_relid;
	uint32_t openid;
	uint32_t status;
} VMBUS_PACKED;
VMBUS_ASSERT_SIZE(struct vmbus_channel_open_result, 20);

/*
 * Guest memory that looks contiguous to its user: the pages of the list, from byte_offset in the
 * first one on. Also in GPA-direct packets.
 */
struct gpa_range {
	uint32_t byte_count;
	uint32_t byte_offset;
	uint64_t pfn_array[];
};
VMBUS_ASSERT_SIZE(struct gpa_range, 8);

/* range_buflen bytes of gpa_range follow; those that do not fit come in GPADL_BODYs. */
struct vmbus_channel_gpadl_header {
	struct vmbus_channel_message_header header;
	uint32_t child_relid;
	uint32_t gpadl;
	uint16_t range_buflen;
	uint16_t rangecount;
} VMBUS_PACKED;
VMBUS_ASSERT_SIZE(struct vmbus_channel_gpadl_header, 20);

/* Page numbers follow. */
struct vmbus_channel_gpadl_body {
	struct vmbus_channel_message_header header;
	uint32_t msgnumber; /* not filled in by every guest */
	uint32_t gpadl;
} VMBUS_PACKED;
VMBUS_ASSERT_SIZE(struct vmbus_channel_gpadl_body, 16);

struct vmbus_channel_gpadl_created {
	struct vmbus_channel_message_header header;
	uint32_t child_relid;
	uint32_t gpadl;
	uint32_t creation_status;
} VMBUS_PACKED;
VMBUS_ASSERT_SIZE(struct vmbus_channel_gpadl_created, 20);

struct vmbus_channel_gpadl_teardown {
	struct vmbus_channel_message_header header;
	uint32_t child_relid;
	uint32_t gpadl;
} VMBUS_PACKED;
VMBUS_ASSERT_SIZE(struct vmbus_channel_gpadl_teardown, 16);

struct vmbus_channel_gpadl_torndown {
	struct vmbus_channel_message_header header;
	uint32_t gpadl;
} VMBUS_PACKED;
VMBUS_ASSERT_SIZE(struct vmbus_channel_gpadl_torndown, 12);

struct vmbus_channel_initiate_contact {
	struct vmbus_channel_message_header header;
	uint32_t vmbus_version_requested;
	uint32_t target_vcpu;
	union {
		uint64_t interrupt_page; /* before 5.0; looked at before 2.4 */
		struct {
			uint8_t msg_sint;
			uint8_t msg_vtl;
			uint8_t reserved[2];
			uint32_t feature_flags; /* from 6.0 on */
		};
	};
	uint64_t monitor_page1;
	uint64_t monitor_page2;
} VMBUS_PACKED;
VMBUS_ASSERT_SIZE(struct vmbus_channel_initiate_contact, 40);
VMBUS_ASSERT_OFFSET(struct vmbus_channel_initiate_contact, feature_flags, 20);

struct vmbus_channel_version_response {
	struct vmbus_channel_message_header header;
	uint8_t version_supported;
	uint8_t connection_state; /* 0: connected */
	uint16_t padding;
	uint32_t msg_conn_id; /* from 5.0 on: post to it from now on; before: the version */
} VMBUS_PACKED;
VMBUS_ASSERT_SIZE(struct vmbus_channel_version_response, 16);

/* From 6.0 on, and only where the version is supported */
struct vmbus_channel_version_response_features {
	struct vmbus_channel_version_response response;
	uint32_t supported_features;
} VMBUS_PACKED;
VMBUS_ASSERT_SIZE(struct vmbus_channel_version_response_features, 20);

struct vmbus_channel_modifychannel {
	struct vmbus_channel_message_header header;
	uint32_t child_relid;
	uint32_t target_vp;
} VMBUS_PACKED;
VMBUS_ASSERT_SIZE(struct vmbus_channel_modifychannel, 16);

struct vmbus_channel_modifychannel_response {
	struct vmbus_channel_message_header header;
	uint32_t child_relid;
	uint32_t status;
} VMBUS_PACKED;
VMBUS_ASSERT_SIZE(struct vmbus_channel_modifychannel_response, 16);

struct vmbus_channel_tl_connect_request {
	struct vmbus_channel_message_header header;
	struct vmbus_guid guest_endpoint_id;
	struct vmbus_guid host_service_id;
} VMBUS_PACKED;
VMBUS_ASSERT_SIZE(struct vmbus_channel_tl_connect_request, 40);

struct vmbus_channel_tl_connect_result {
	struct vmbus_channel_message_header header;
	struct vmbus_guid guest_endpoint_id;
	struct vmbus_guid host_service_id;
	uint32_t status;
} VMBUS_PACKED;
VMBUS_ASSERT_SIZE(struct vmbus_channel_tl_connect_result, 44);

#endif
