/*
 * A channel's ring: two halves in one GPADL, guest to host first, host to guest from the page that
 * OPENCHANNEL names. A half is a page of control words and then the data, written round and round.
 *
 * A half is empty when its indices are equal, so it is never filled to the last byte. Everything in
 * it is a multiple of 8 bytes: descriptor, what the descriptor's type adds, payload, trailer.
 */
#ifndef VMBUS_RING_H
#define VMBUS_RING_H

#include "vmbus/protocol.h"

/* Who writes which word: W the half's writer of packets, R its reader. */
struct hv_ring_buffer {
	uint32_t write_index;     /* W: offset in the data */
	uint32_t read_index;      /* R */
	uint32_t interrupt_mask;  /* R: 1 = do not signal me, I am looking */
	uint32_t pending_send_sz; /* W: signal me when more than that many bytes are free */
	uint32_t reserved1[12];
	uint32_t feature_bits; /* W */
	uint8_t reserved2[VMBUS_PAGE_SIZE - 68];
};
VMBUS_ASSERT_SIZE(struct hv_ring_buffer, VMBUS_PAGE_SIZE);
VMBUS_ASSERT_OFFSET(struct hv_ring_buffer, feature_bits, 64);

/* The half's writer uses pending_send_sz, and heeds it as the reader of the other half. */
#define HV_RING_FEATURE_PENDING_SEND_SIZE 1u

enum vmbus_packet_type {
	VM_PKT_INVALID = 0x0,
	VM_PKT_DATA_INBAND = 0x6,
	VM_PKT_DATA_USING_XFER_PAGES = 0x7,
	VM_PKT_DATA_USING_GPA_DIRECT = 0x9,
	VM_PKT_CANCEL_REQUEST = 0xa,
	VM_PKT_COMP = 0xb,
};

#define VMBUS_DATA_PACKET_FLAG_COMPLETION_REQUESTED 1

struct vmpacket_descriptor {
	uint16_t type;
	uint16_t offset8; /* where the payload begins, in 8 bytes from the descriptor */
	uint16_t len8;    /* the whole packet without its trailer, in 8 bytes */
	uint16_t flags;
	uint64_t trans_id;
};
VMBUS_ASSERT_SIZE(struct vmpacket_descriptor, 16);

/* After the payload: where in the data the packet began. */
struct vmpacket_trailer {
	uint32_t reserved;
	uint32_t offset;
};
VMBUS_ASSERT_SIZE(struct vmpacket_trailer, 8);

struct vmtransfer_page_range {
	uint32_t byte_count;
	uint32_t byte_offset;
};
VMBUS_ASSERT_SIZE(struct vmtransfer_page_range, 8);

/* VM_PKT_DATA_USING_XFER_PAGES: the descriptor goes on with this. */
struct vmtransfer_page_header {
	uint16_t xfer_pageset_id;
	uint16_t reserved; /* any value */
	uint32_t range_cnt;
	struct vmtransfer_page_range ranges[];
};
VMBUS_ASSERT_SIZE(struct vmtransfer_page_header, 8);

/*
 * VM_PKT_DATA_USING_GPA_DIRECT: the descriptor goes on with this, and range_cnt struct gpa_range.
 */
struct vmgpa_direct_header {
	uint32_t reserved; /* any value */
	uint32_t range_cnt;
};
VMBUS_ASSERT_SIZE(struct vmgpa_direct_header, 8);

#endif
