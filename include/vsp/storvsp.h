/*
 * The storage protocol over VMBus, as the guest's storvsc speaks it: what travels in the packets of
 * a channel whose offer has the SCSI or the IDE interface type. Little-endian, as all of VMBus.
 *
 * The guest opens with BEGIN_INITIALIZATION, QUERY_PROTOCOL_VERSION (one packet for each version
 * until one is taken), QUERY_PROPERTIES, END_INITIALIZATION, then CREATE_SUB_CHANNELS if it wants
 * any; EXECUTE_SRB carries each command. Each packet is answered by a completion of the same
 * transaction with the operation COMPLETE_IO.
 */
#ifndef VSP_STORVSP_H
#define VSP_STORVSP_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

enum storvsp_operation {
	STORVSP_COMPLETE_IO = 1,
	STORVSP_REMOVE_DEVICE = 2,
	STORVSP_EXECUTE_SRB = 3,
	STORVSP_RESET_LUN = 4,
	STORVSP_RESET_ADAPTER = 5,
	STORVSP_RESET_BUS = 6,
	STORVSP_BEGIN_INITIALIZATION = 7,
	STORVSP_END_INITIALIZATION = 8,
	STORVSP_QUERY_PROTOCOL_VERSION = 9,
	STORVSP_QUERY_PROPERTIES = 10,
	STORVSP_ENUMERATE_BUS = 11,
	STORVSP_FCHBA_DATA = 12,
	STORVSP_CREATE_SUB_CHANNELS = 13,
};

/* Protocol versions: major << 8 | minor. */
#define STORVSP_VERSION_WIN6   0x0200
#define STORVSP_VERSION_WIN7   0x0402
#define STORVSP_VERSION_WIN8   0x0501
#define STORVSP_VERSION_WIN8_1 0x0600
#define STORVSP_VERSION_WIN10  0x0602

/* storvsp_packet.flags */
#define STORVSP_FLAG_COMPLETION 0x1

/* storvsp_packet.status: NT status values. */
#define STORVSP_STATUS_SUCCESS           0x00000000u
#define STORVSP_STATUS_BUFFER_OVERFLOW   0x80000005u
#define STORVSP_STATUS_DEVICE_BUSY       0x80000011u
#define STORVSP_STATUS_UNSUCCESSFUL      0xc0000001u
#define STORVSP_STATUS_INVALID_PARAMETER 0xc000000du
#define STORVSP_STATUS_INVALID_REQUEST   0xc0000010u
#define STORVSP_STATUS_REVISION_MISMATCH 0xc0000059u
#define STORVSP_STATUS_NO_SUCH_DEVICE    0xc00000c0u
#define STORVSP_STATUS_INVALID_STATE     0xc0000184u
#define STORVSP_STATUS_IO_DEVICE_ERROR   0xc0000185u

/* storvsp_srb.srb_status */
#define STORVSP_SRB_SUCCESS         0x01
#define STORVSP_SRB_ABORTED         0x02
#define STORVSP_SRB_ERROR           0x04
#define STORVSP_SRB_BUSY            0x05
#define STORVSP_SRB_INVALID_REQUEST 0x06
#define STORVSP_SRB_DATA_OVERRUN    0x12
#define STORVSP_SRB_INVALID_LUN     0x20
#define STORVSP_SRB_SENSE_VALID     0x80 /* or'ed to the others */

/* storvsp_srb.data_in */
#define STORVSP_DATA_OUT  0
#define STORVSP_DATA_IN   1
#define STORVSP_DATA_NONE 2

/* storvsp_srb.srb_flags */
#define STORVSP_SRB_DATA_IN  0x40
#define STORVSP_SRB_DATA_OUT 0x80

#define STORVSP_CDB_BYTES   16
#define STORVSP_SENSE_BYTES 20

struct storvsp_srb {
	uint16_t length;
	uint8_t srb_status;
	uint8_t scsi_status;
	uint8_t port;
	uint8_t path;
	uint8_t target;
	uint8_t lun;
	uint8_t cdb_length;
	uint8_t sense_length;
	uint8_t data_in;
	uint8_t reserved;
	uint32_t data_transfer_length;
	union {
		uint8_t cdb[STORVSP_CDB_BYTES];
		uint8_t sense[STORVSP_SENSE_BYTES];
	};
	/* From version 5.1 on. */
	uint16_t reserved2;
	uint8_t queue_tag;
	uint8_t queue_action;
	uint32_t srb_flags;
	uint32_t timeout_seconds;
	uint32_t queue_sort_key;
};
static_assert(sizeof(struct storvsp_srb) == 0x34, "the request as version 5.1 has it");

/*
 * How much of the request travels: before Windows 7's sense buffer grew, before version 5.1, and
 * since.
 */
#define STORVSP_SRB_BYTES_WIN6 0x22
#define STORVSP_SRB_BYTES_WIN7 0x24
#define STORVSP_SRB_BYTES_WIN8 0x34
static_assert(offsetof(struct storvsp_srb, reserved2) == STORVSP_SRB_BYTES_WIN7,
	      "the request as version 4.2 has it");

/* storvsp_properties.flags */
#define STORVSP_MULTI_CHANNEL 0x1

struct storvsp_properties {
	uint32_t reserved;
	uint16_t sub_channel_count_max;
	uint16_t reserved1;
	uint32_t flags;
	uint32_t max_transfer_bytes;
	uint32_t reserved2[2];
};
static_assert(sizeof(struct storvsp_properties) == 24, "channel properties");

struct storvsp_version {
	uint16_t version;
	uint16_t revision;
};
static_assert(sizeof(struct storvsp_version) == 4, "version query");

struct storvsp_packet {
	uint32_t operation; /* enum storvsp_operation */
	uint32_t flags;
	uint32_t status;
	union {
		struct storvsp_srb srb;
		struct storvsp_properties properties;
		struct storvsp_version version;
		uint16_t sub_channel_count;
	};
};
static_assert(sizeof(struct storvsp_packet) == 0x40, "packet of version 5.1 and later");

#define STORVSP_PACKET_HEAD_BYTES 12
static_assert(offsetof(struct storvsp_packet, srb) == STORVSP_PACKET_HEAD_BYTES,
	      "head of the packet");

/* The user-defined area of an IDE flavour's offer, by which older guests know whose disk it is. */
#define STORVSP_OFFER_EMULATED_IDE 0x2

struct storvsp_offer_data {
	uint16_t reserved;
	uint8_t path;   /* the IDE channel */
	uint8_t target; /* the device on it */
	uint32_t reserved2;
	uint32_t flags;
	uint32_t reserved3[3];
};
static_assert(sizeof(struct storvsp_offer_data) == 24, "offer data");

#endif
