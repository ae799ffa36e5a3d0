/*
 * The network protocol over VMBus, as the guest's netvsc speaks it: NVSP, which sets up buffers and
 * channels and frames the rest, and RNDIS inside of it, which carries settings and frames.
 * Little-endian; offsets and lengths in bytes.
 *
 * The guest opens with INIT (one for each version until one is taken), its NDIS version and
 * configuration, the receive buffer and the send buffer; then RNDIS INITIALIZE, queries and sets,
 * all in SEND_RNDIS_PACKET.
 *
 * The host's RNDIS messages lie in the receive buffer: a packet with transfer pages names the
 * pieces. The guest's lie in a section of the send buffer, or in ranges of a GPA-direct packet, or
 * begin there and go on here.
 */
#ifndef VSP_NETVSP_H
#define VSP_NETVSP_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

/* ---- NVSP ---- */

enum nvsp_type {
	NVSP_INIT = 1,
	NVSP_INIT_COMPLETE = 2,
	NVSP_SEND_NDIS_VERSION = 100,
	NVSP_SEND_RECEIVE_BUFFER = 101,
	NVSP_SEND_RECEIVE_BUFFER_COMPLETE = 102,
	NVSP_REVOKE_RECEIVE_BUFFER = 103,
	NVSP_SEND_SEND_BUFFER = 104,
	NVSP_SEND_SEND_BUFFER_COMPLETE = 105,
	NVSP_REVOKE_SEND_BUFFER = 106,
	NVSP_SEND_RNDIS_PACKET = 107,
	NVSP_SEND_RNDIS_PACKET_COMPLETE = 108,
	NVSP_SEND_NDIS_CONFIG = 125,
	NVSP_SEND_VF_ASSOCIATION = 128,
	NVSP_SWITCH_DATA_PATH = 129,
	NVSP_OID_QUERY_EX = 131,
	NVSP_OID_QUERY_EX_COMPLETE = 132,
	NVSP_SUBCHANNEL = 133, /* and its completion */
	NVSP_SEND_INDIRECTION_TABLE = 134,
};

#define NVSP_VERSION_1  0x00002u
#define NVSP_VERSION_2  0x30002u
#define NVSP_VERSION_4  0x40000u
#define NVSP_VERSION_5  0x50000u
#define NVSP_VERSION_6  0x60000u
#define NVSP_VERSION_61 0x60001u

enum nvsp_status {
	NVSP_STATUS_NONE = 0,
	NVSP_STATUS_SUCCESS = 1,
	NVSP_STATUS_FAIL = 2,
	NVSP_STATUS_TOO_NEW = 3,
	NVSP_STATUS_TOO_OLD = 4,
	NVSP_STATUS_INVALID_RNDIS_PACKET = 5,
	NVSP_STATUS_BUSY = 6,
	NVSP_STATUS_UNSUPPORTED = 7,
};

#define NVSP_CHANNEL_DATA    0u
#define NVSP_CHANNEL_CONTROL 1u
#define NVSP_NO_SECTION      0xffffffffu
#define NVSP_INDIRECTION     16u

struct nvsp_section {
	uint32_t offset;
	uint32_t piece_bytes; /* a sub-allocation */
	uint32_t piece_count;
	uint32_t end_offset;
};

/* Types 2, 102, 105, 108, 132 and the completion of 133 are the host's. */
struct nvsp_message {
	uint32_t type;
	union {
		struct {
			uint32_t min, max; /* the same */
		} init;
		struct {
			uint32_t version, max_mdl_chain, status;
		} init_complete;
		struct {
			uint32_t gpadl;
			uint16_t id;
		} buffer; /* 101, 104 */
		struct {
			uint16_t id;
		} revoke;
		struct {
			uint32_t status, section_count;
			struct nvsp_section section;
		} receive_complete;
		struct {
			uint32_t status, section_bytes;
		} send_complete;
		struct {
			uint32_t channel, section, bytes;
		} rndis;
		struct {
			uint32_t status;
		} rndis_complete;
		struct {
			uint32_t mtu; /* with the 14 bytes of the Ethernet header */
			uint32_t reserved;
			uint64_t capabilities;
		} __attribute__((packed)) config;
		struct {
			uint32_t allocated; /* 1: there is one; 0: it goes */
			uint32_t serial;    /* of its function, as virtual PCI says it */
		} vf_association;
		struct {
			uint32_t path; /* enum nvsp_data_path */
		} data_path;
		struct {
			uint32_t operation, count; /* the answer: status, count */
		} sub_channel;
		struct {
			uint32_t count, offset;
		} indirection;
		struct {
			uint32_t status, bytes;
		} oid_complete;
		uint8_t all[36];
	};
} __attribute__((packed));
static_assert(sizeof(struct nvsp_message) == 40, "message of version 6.1");

/* config.capabilities */
#define NVSP_CAPABILITY_SRIOV (1ull << 2)

enum nvsp_data_path { NVSP_PATH_SYNTHETIC = 0, NVSP_PATH_VF = 1 };

/* What travels of a message: up to version 6.0, and of 6.1. */
#define NVSP_BYTES_60 28u
#define NVSP_BYTES_61 40u

#define NVSP_SUBCHANNEL_ALLOCATE 1u

/* ---- RNDIS ---- */

enum rndis_type {
	RNDIS_PACKET = 1,
	RNDIS_INITIALIZE = 2,
	RNDIS_HALT = 3,
	RNDIS_QUERY = 4,
	RNDIS_SET = 5,
	RNDIS_RESET = 6,
	RNDIS_INDICATE = 7,
	RNDIS_KEEPALIVE = 8,
};
#define RNDIS_REPLY 0x80000000u

#define RNDIS_STATUS_SUCCESS        0x00000000u
#define RNDIS_STATUS_CONNECT        0x4001000bu
#define RNDIS_STATUS_DISCONNECT     0x4001000cu
#define RNDIS_STATUS_LINK_SPEED     0x40010013u
#define RNDIS_STATUS_NETWORK_CHANGE 0x40010018u
#define RNDIS_STATUS_TASK_OFFLOAD   0x40020006u
#define RNDIS_STATUS_FAILURE        0xc0000001u
#define RNDIS_STATUS_NOT_SUPPORTED  0xc00000bbu
#define RNDIS_STATUS_INVALID_LENGTH 0xc0010014u
#define RNDIS_STATUS_INVALID_DATA   0xc0010015u

/* Offsets in a body count from the body's begin, behind these 8 bytes. */
struct rndis_header {
	uint32_t type;
	uint32_t bytes; /* of the whole message */
};
#define RNDIS_HEADER_BYTES 8u

struct rndis_request {
	uint32_t id; /* of all control messages but INDICATE */
	union {
		struct {
			uint32_t major, minor, max_transfer;
		} initialize;
		struct {
			uint32_t oid, bytes, offset, reserved;
		} query; /* and SET */
	};
};
static_assert(sizeof(struct rndis_request) == 20, "query");

struct rndis_initialize_complete {
	uint32_t id, status, major, minor, device_flags, medium, max_packets, max_transfer,
		alignment;
	uint32_t reserved[2];
};
static_assert(sizeof(struct rndis_initialize_complete) == 44, "initialize complete");

struct rndis_query_complete {
	uint32_t id, status, bytes, offset;
};

/* Of SET, KEEPALIVE; of RESET {status, addressing reset}. */
struct rndis_complete {
	uint32_t id, status;
};

struct rndis_indicate {
	uint32_t status, bytes, offset;
};

struct rndis_packet {
	uint32_t data_offset, data_bytes;
	uint32_t oob_offset, oob_bytes, oob_count;
	uint32_t ppi_offset, ppi_bytes;
	uint32_t reserved[2];
};
static_assert(sizeof(struct rndis_packet) == 36, "packet");

enum rndis_ppi_type {
	PPI_CHECKSUM = 0,
	PPI_LSO = 2,
	PPI_VLAN = 6,
	PPI_HASH = 8,
	PPI_INTERNAL = 0x80000000, /* or'ed */
	PPI_RSC = 1,               /* internal */
};

struct rndis_ppi {
	uint32_t bytes; /* with the value */
	uint32_t type;
	uint32_t offset; /* of the value, from here */
};
static_assert(sizeof(struct rndis_ppi) == 12, "PPI");
/* All values are of this size. */
#define PPI_VALUE_BYTES 4u

/* PPI_CHECKSUM, from the guest */
#define PPI_TX_IPV4      0x01u
#define PPI_TX_IPV6      0x02u
#define PPI_TX_TCP       0x04u
#define PPI_TX_UDP       0x08u
#define PPI_TX_IP_HEADER 0x10u
#define PPI_TX_OFFSET(v) (((v) >> 16) & 0x3ffu) /* of the transport header, in the frame */
/* PPI_CHECKSUM, to the guest */
#define PPI_RX_TCP_GOOD 0x08u
#define PPI_RX_UDP_GOOD 0x10u
#define PPI_RX_IP_GOOD  0x20u
/* PPI_LSO, version 2 */
#define PPI_LSO_MSS(v)    ((v)&0xfffffu)
#define PPI_LSO_OFFSET(v) (((v) >> 20) & 0x3ffu)
#define PPI_LSO_V2        0x40000000u
#define PPI_LSO_IPV6      0x80000000u
/* PPI_VLAN: priority 2:0, DEI 3, VLAN 15:4 */
/* PPI_RSC */
#define PPI_RSC_VERSION 1u
#define PPI_RSC_MULTI   1u
#define PPI_RSC_FIRST   2u
#define PPI_RSC_LAST    4u

/* ---- OIDs ---- */

#define OID_GEN_SUPPORTED_LIST                0x00010101u
#define OID_GEN_HARDWARE_STATUS               0x00010102u
#define OID_GEN_MEDIA_SUPPORTED               0x00010103u
#define OID_GEN_MEDIA_IN_USE                  0x00010104u
#define OID_GEN_MAXIMUM_LOOKAHEAD             0x00010105u
#define OID_GEN_MAXIMUM_FRAME_SIZE            0x00010106u
#define OID_GEN_LINK_SPEED                    0x00010107u /* in 100 bit/s */
#define OID_GEN_TRANSMIT_BUFFER_SPACE         0x00010108u
#define OID_GEN_RECEIVE_BUFFER_SPACE          0x00010109u
#define OID_GEN_TRANSMIT_BLOCK_SIZE           0x0001010au
#define OID_GEN_RECEIVE_BLOCK_SIZE            0x0001010bu
#define OID_GEN_VENDOR_ID                     0x0001010cu
#define OID_GEN_VENDOR_DESCRIPTION            0x0001010du
#define OID_GEN_CURRENT_PACKET_FILTER         0x0001010eu
#define OID_GEN_CURRENT_LOOKAHEAD             0x0001010fu
#define OID_GEN_DRIVER_VERSION                0x00010110u
#define OID_GEN_MAXIMUM_TOTAL_SIZE            0x00010111u
#define OID_GEN_MAC_OPTIONS                   0x00010113u
#define OID_GEN_MEDIA_CONNECT_STATUS          0x00010114u /* 0: connected */
#define OID_GEN_MAXIMUM_SEND_PACKETS          0x00010115u
#define OID_GEN_VENDOR_DRIVER_VERSION         0x00010116u
#define OID_GEN_RECEIVE_SCALE_CAPABILITIES    0x00010203u
#define OID_GEN_RECEIVE_SCALE_PARAMETERS      0x00010204u
#define OID_GEN_MAX_LINK_SPEED                0x00010206u /* in bit/s, both ways */
#define OID_GEN_LINK_STATE                    0x00010207u
#define OID_GEN_FRIENDLY_NAME                 0x00020216u
#define OID_GEN_RNDIS_CONFIG_PARAMETER        0x0001021bu
#define OID_GEN_XMIT_OK                       0x00020101u
#define OID_GEN_RCV_OK                        0x00020102u
#define OID_GEN_XMIT_ERROR                    0x00020103u
#define OID_GEN_RCV_ERROR                     0x00020104u
#define OID_GEN_RCV_NO_BUFFER                 0x00020105u
#define OID_802_3_PERMANENT_ADDRESS           0x01010101u
#define OID_802_3_CURRENT_ADDRESS             0x01010102u
#define OID_802_3_MULTICAST_LIST              0x01010103u
#define OID_802_3_MAXIMUM_LIST_SIZE           0x01010104u
#define OID_OFFLOAD_ENCAPSULATION             0x0101010au
#define OID_TCP_OFFLOAD_CURRENT_CONFIG        0xfc01020bu
#define OID_TCP_OFFLOAD_PARAMETERS            0xfc01020cu
#define OID_TCP_OFFLOAD_HARDWARE_CAPABILITIES 0xfc01020du

#define NDIS_FILTER_DIRECTED      0x01u
#define NDIS_FILTER_MULTICAST     0x02u
#define NDIS_FILTER_ALL_MULTICAST 0x04u
#define NDIS_FILTER_BROADCAST     0x08u
#define NDIS_FILTER_PROMISCUOUS   0x20u

/* Begins structures of NDIS 6. */
struct ndis_header {
	uint8_t type;
	uint8_t revision;
	uint16_t bytes;
};
#define NDIS_TYPE_OFFLOAD_PARAMETERS 0x80u
#define NDIS_TYPE_RSS_CAPABILITIES   0x88u
#define NDIS_TYPE_RSS_PARAMETERS     0x89u
#define NDIS_TYPE_OFFLOAD            0xa7u

#define NDIS_ENCAPSULATION_8023 2u

struct ndis_checksum {
	uint32_t tx_encapsulation, tx_flags, rx_encapsulation, rx_flags;
};
#define NDIS_CSUM_IP_OPTIONS  0x001u /* IPv6: extension headers */
#define NDIS_CSUM_TCP_OPTIONS 0x004u
#define NDIS_CSUM_TCP         0x010u
#define NDIS_CSUM_UDP         0x040u
#define NDIS_CSUM_IP          0x100u /* IPv4 */

struct ndis_offload {
	struct ndis_header header;
	struct ndis_checksum csum4, csum6;
	uint32_t lso1[4];
	uint32_t ipsec[7];
	uint32_t lso4_encapsulation, lso4_max, lso4_min_segments;
	uint32_t lso6_encapsulation, lso6_max, lso6_min_segments, lso6_flags;
	uint32_t flags;
	uint32_t ipsec2[8];
	uint8_t rsc4, rsc6;
	uint8_t reserved[2];
	uint32_t encapsulation[2];
};
static_assert(offsetof(struct ndis_offload, lso4_encapsulation) == 80, "LSO version 2");
static_assert(offsetof(struct ndis_offload, flags) == 108, "flags");
static_assert(offsetof(struct ndis_offload, rsc4) == 144, "RSC");
static_assert(sizeof(struct ndis_offload) == 156, "offload");
#define NDIS_OFFLOAD_BYTES_1 112u /* as revision 1 has it */
#define NDIS_OFFLOAD_BYTES_2 144u
#define NDIS_OFFLOAD_BYTES_3 156u

/* 0: as it is */
struct ndis_offload_parameters {
	struct ndis_header header;
	uint8_t ip4_csum, tcp4_csum, udp4_csum, tcp6_csum,
		udp6_csum;               /* 1 off, 2 tx, 3 rx, 4 both */
	uint8_t lso1, ipsec, lso4, lso6; /* 1 off, 2 on */
	uint8_t connection4, connection6;
	uint8_t reserved;
	uint32_t flags;
	uint8_t ipsec2, ipsec2_4;
	uint8_t rsc4, rsc6; /* 1 off, 2 on; not before revision 3 */
	uint8_t encapsulation[4];
};
static_assert(offsetof(struct ndis_offload_parameters, flags) == 16, "flags");
static_assert(offsetof(struct ndis_offload_parameters, rsc4) == 22, "RSC");
static_assert(sizeof(struct ndis_offload_parameters) == 28, "offload parameters");
#define NDIS_PARAMETERS_BYTES_1 20u

struct ndis_rss_capabilities {
	struct ndis_header header;
	uint32_t flags, message_count, queue_count;
	uint16_t table_entries;
} __attribute__((packed));
static_assert(sizeof(struct ndis_rss_capabilities) == 18, "RSS capabilities");

struct ndis_rss_parameters {
	struct ndis_header header;
	uint16_t flags;
	uint16_t base_cpu;
	uint32_t hash_information;
	uint16_t table_bytes;
	uint16_t reserved;
	uint32_t table_offset;
	uint16_t key_bytes;
	uint16_t reserved2;
	uint32_t key_offset;
};
static_assert(offsetof(struct ndis_rss_parameters, table_offset) == 16, "table");
static_assert(offsetof(struct ndis_rss_parameters, key_offset) == 24, "key");
/* hash_information: the function, and what of a frame it is of */
#define NDIS_HASH_TOEPLITZ 0x0001u
#define NDIS_HASH_IPV4     0x0100u
#define NDIS_HASH_TCP_IPV4 0x0200u
#define NDIS_HASH_IPV6     0x0400u
#define NDIS_HASH_TCP_IPV6 0x1000u

#define NDIS_RSS_KEEPS_HASH  0x02u
#define NDIS_RSS_KEEPS_TABLE 0x04u
#define NDIS_RSS_KEEPS_KEY   0x08u
#define NDIS_RSS_DISABLE     0x10u

struct rndis_config_parameter {
	uint32_t name_offset, name_bytes;
	uint32_t type; /* 0 number, 2 string */
	uint32_t value_offset, value_bytes;
};

#endif
