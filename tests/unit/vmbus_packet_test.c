/* vmbus/packet.c, signal.c and what devices do with GPADLs: an open channel and a fake guest. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/fake/vmbus_device.h"
#include "tests/fake/vmbus_guest.h"

#define RING_PAGES 16u
#define VP         2u

static struct fake_device device, other;
static struct guest_channel channel;
static struct vmbus_packet packet;

static int setup(void **state)
{
	uint32_t relids[2];

	(void)state;
	memset(&device, 0, sizeof(device));
	memset(&other, 0, sizeof(other));
	guest_create();
	assert_int_equal(device_offer(guest.bus, &device, 1, 0), 0);
	assert_true(guest_contact(VERSION_WIN10_V5_3));
	assert_int_equal(guest_offers(relids, 2), 1);
	assert_int_equal(guest_open(&channel, relids[1], 0xe1e10, RING_PAGES, 10, VP), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	guest_destroy();
	return 0;
}

static bool event_is_set(void)
{
	struct pollfd event = {.fd = channel_event(device.channel), .events = POLLIN};

	return poll(&event, 1, 0) == 1;
}

static bool send_inband(uint64_t transaction, uint16_t flags, const void *payload, uint32_t bytes)
{
	return guest_send(&channel, VM_PKT_DATA_INBAND, transaction, flags, NULL, 0, payload,
			  bytes);
}

/* The server's view after the guest did something wrong: this channel is closed, and only that. */
static void assert_broken(void)
{
	uint32_t relid = channel.relid;

	assert_int_equal(channel_receive(device.channel, &packet), -ESHUTDOWN);
	assert_int_equal(channel_send(device.channel, 1, false, NULL, 0), -ESHUTDOWN);
	assert_int_equal(guest.lines, 1);
	vmbus_serve(guest.bus);
	assert_int_equal(device.closing, 1);
	assert_int_equal(guest.connections, 0);
	/* The guest closes it, as it must some time, and may try again. */
	assert_true(guest_close(&channel));
	assert_int_equal(guest_open(&channel, relid, 0xe1e11, RING_PAGES, 10, VP), 0);
	assert_true(send_inband(5, 0, "again", 5));
	assert_int_equal(channel_receive(device.channel, &packet), 1);
}

static void first_look_needs_no_signal(void **state)
{
	(void)state;
	assert_true(event_is_set());
	channel_clear_event(device.channel);
	assert_false(event_is_set());
	assert_int_equal(channel_receive(device.channel, &packet), 0);
	assert_true(send_inband(1, 0, "x", 1));
	assert_true(event_is_set());
}

/* Version 0.13 shares both signals; 1.1 has its own one to the host, which is why its offers name a
 * connection. */
static void old_versions_signal_by_a_page(uint32_t version)
{
	uint8_t *page = guest_page(GUEST_INTERRUPT_PAGE);
	struct guest_packet answer;
	uint32_t relids[3];
	struct pollfd event;

	assert_int_equal(device_offer(guest.bus, &other, 2, 0), 0);
	assert_non_null(guest_take(CHANNELMSG_OFFERCHANNEL));
	memset(page, 0, VMBUS_PAGE_SIZE);
	assert_true(guest_contact(version));
	assert_int_equal(guest_offers(relids, 3), 2);
	assert_int_equal(guest_open(&channel, relids[1], 0xe1e10, RING_PAGES, 10, VP), 0);
	assert_int_equal(guest_open(&channel, relids[2], 0xe1e11, RING_PAGES, 60, VP), 0);
	channel_clear_event(device.channel);
	channel_clear_event(other.channel);
	assert_int_equal(channel_receive(other.channel, &packet), 0);

	assert_true(send_inband(1, 0, "x", 1));
	vmbus_serve(guest.bus);
	assert_false(event_is_set());
	event = (struct pollfd){.fd = channel_event(other.channel), .events = POLLIN};
	assert_int_equal(poll(&event, 1, 0), 1);
	assert_int_equal(page[VMBUS_PAGE_SIZE / 2], 0);
	assert_int_equal(channel_receive(other.channel, &packet), 1);

	assert_int_equal(page[0], 0);
	assert_int_equal(channel_send(other.channel, 9, false, NULL, 0), 0);
	channel_flush(other.channel);
	assert_int_equal(page[0], 1 << relids[2]);
	assert_int_equal(guest_signals(0, 0), 1);
	assert_int_equal(guest_signals(VP, relids[2]), 0);
	assert_true(guest_receive(&channel, &answer));
}

static void version_0_13_signals_by_a_page(void **state)
{
	(void)state;
	old_versions_signal_by_a_page(VERSION_WS2008);
}

static void version_1_1_signals_by_a_page(void **state)
{
	(void)state;
	old_versions_signal_by_a_page(VERSION_WIN7);
}

/* Bits of channels that are not open, or that are not there, are cleared and nothing else. */
static void bits_of_nobody(void **state)
{
	uint8_t *page = guest_page(GUEST_INTERRUPT_PAGE);
	uint64_t one = 1;
	unsigned int i;

	(void)state;
	assert_true(guest_contact(VERSION_WS2008));
	assert_int_equal(guest_offers(NULL, 0), 1);
	memset(page, 0xff, VMBUS_PAGE_SIZE);
	assert_int_equal(write(guest.events[0], &one, sizeof(one)), sizeof(one));
	vmbus_serve(guest.bus);
	for (i = 0; i < VMBUS_PAGE_SIZE; i++) {
		bool scanned = i >= VMBUS_PAGE_SIZE / 2 &&
			       i < VMBUS_PAGE_SIZE / 2 + VMBUS_MAX_CHANNELS / 8;

		assert_int_equal(page[i], scanned ? 0 : 0xff);
	}
}

static void inband(void **state)
{
	(void)state;
	assert_true(send_inband(0x1122334455667788, 1, "12345678abc", 11));
	assert_int_equal(channel_receive(device.channel, &packet), 1);
	assert_int_equal(packet.type, VM_PKT_DATA_INBAND);
	assert_true(packet.completion_requested);
	assert_true(packet.transaction == 0x1122334455667788);
	assert_int_equal(packet.payload_bytes, 16);
	assert_memory_equal(packet.payload, "12345678abc\0\0\0\0", 16);
	assert_int_equal(packet.range_count, 0);
	assert_true(send_inband(2, 0, NULL, 0));
	assert_int_equal(channel_receive(device.channel, &packet), 1);
	assert_false(packet.completion_requested);
	assert_int_equal(packet.payload_bytes, 0);
	assert_int_equal(channel_receive(device.channel, &packet), 0);
}

/* The guest signals when it makes the ring not empty and nobody looks; not else. */
static void signals_are_masked_while_there_is_something(void **state)
{
	(void)state;
	channel_clear_event(device.channel);
	assert_int_equal(channel_receive(device.channel, &packet), 0);
	assert_int_equal(channel.out.control->interrupt_mask, 0);
	assert_true(send_inband(1, 0, "x", 1));
	channel_clear_event(device.channel);
	assert_int_equal(channel_receive(device.channel, &packet), 1);
	assert_int_equal(channel.out.control->interrupt_mask, 1);
	assert_true(send_inband(2, 0, "x", 1));
	assert_false(event_is_set());
	assert_int_equal(channel_receive(device.channel, &packet), 1);
	assert_int_equal(channel_receive(device.channel, &packet), 0);
	assert_int_equal(channel.out.control->interrupt_mask, 0);
	assert_true(send_inband(3, 0, "x", 1));
	assert_true(event_is_set());
}

static void many_in_both_directions(void **state)
{
	struct iovec parts[2];
	struct guest_packet back;
	uint8_t data[900];
	uint32_t i;

	(void)state;
	for (i = 0; i < 2000; i++) {
		memset(data, (int)i, sizeof(data));
		assert_true(send_inband(i, 1, data, i % 900));
		assert_int_equal(channel_receive(device.channel, &packet), 1);
		assert_int_equal(packet.transaction, i);
		assert_int_equal(packet.payload_bytes, (i % 900 + 7) & ~7u);
		assert_memory_equal(packet.payload, data, i % 900);
		parts[0] = (struct iovec){data, i % 7};
		parts[1] = (struct iovec){data, i % 500};
		assert_int_equal(channel_complete(device.channel, packet.transaction, parts, 2), 0);
		assert_int_equal(channel_receive(device.channel, &packet), 0);
		assert_true(guest_receive(&channel, &back));
		assert_int_equal(back.descriptor.type, VM_PKT_COMP);
		assert_int_equal(back.descriptor.trans_id, i);
		assert_int_equal(back.descriptor.flags, 0);
		assert_int_equal(back.descriptor.offset8, 2);
		assert_int_equal(back.descriptor.len8, 2 + (i % 7 + i % 500 + 7) / 8);
		assert_memory_equal(back.bytes + 16, data, i % 7 + i % 500);
	}
	assert_int_equal(guest_signals(VP, channel.relid), 2000);
	assert_int_equal(guest.lines, 0);
}

static void sends_are_seen_when_flushed(void **state)
{
	struct iovec payload = {(void *)"hello", 5};
	struct guest_packet back;

	(void)state;
	assert_int_equal(channel_send(device.channel, 7, true, &payload, 1), 0);
	assert_int_equal(channel_send(device.channel, 8, false, &payload, 1), 0);
	assert_false(guest_receive(&channel, &back));
	assert_int_equal(guest_signals(VP, channel.relid), 0);
	channel_flush(device.channel);
	assert_int_equal(guest_signals(VP, channel.relid), 1);
	assert_true(guest_receive(&channel, &back));
	assert_int_equal(back.descriptor.type, VM_PKT_DATA_INBAND);
	assert_int_equal(back.descriptor.flags, 1);
	assert_memory_equal(back.bytes + 16, "hello\0\0\0", 8);
	assert_true(guest_receive(&channel, &back));
	assert_int_equal(back.descriptor.flags, 0);
	channel_flush(device.channel);
	assert_int_equal(guest_signals(VP, channel.relid), 1);
}

static void transfer_pages_to_the_guest(void **state)
{
	const struct vmtransfer_page_range ranges[3] = {{100, 0}, {200, 4096}, {300, 8192}};
	struct iovec payload = {(void *)"rndis", 5};
	struct vmtransfer_page_header header;
	struct guest_packet back;

	(void)state;
	assert_int_equal(
		channel_send_pages(device.channel, 9, true, 0xcafe, ranges, 3, &payload, 1), 0);
	channel_flush(device.channel);
	assert_true(guest_receive(&channel, &back));
	assert_int_equal(back.descriptor.type, VM_PKT_DATA_USING_XFER_PAGES);
	assert_int_equal(back.descriptor.flags, 1);
	assert_int_equal(back.descriptor.offset8, (16 + 8 + 24) / 8);
	assert_int_equal(back.descriptor.len8, (16 + 8 + 24 + 8) / 8);
	memcpy(&header, back.bytes + 16, sizeof(header));
	assert_int_equal(header.xfer_pageset_id, 0xcafe);
	assert_int_equal(header.range_cnt, 3);
	assert_memory_equal(back.bytes + 24, ranges, sizeof(ranges));
	assert_memory_equal(back.bytes + 48, "rndis\0\0\0", 8);
}

static void what_never_fits(void **state)
{
	static uint8_t large[RING_PAGES / 2 * VMBUS_PAGE_SIZE];
	struct iovec payload = {large, (RING_PAGES / 2 - 1) * VMBUS_PAGE_SIZE - 24};
	struct iovec huge = {large, SIZE_MAX / 2};

	(void)state;
	assert_int_equal(channel_send(device.channel, 1, false, &payload, 1), -EMSGSIZE);
	assert_int_equal(channel_send(device.channel, 1, false, &huge, 1), -EMSGSIZE);
	assert_int_equal(channel_send_pages(device.channel, 1, false, 1, NULL, 100000, NULL, 0),
			 -EMSGSIZE);
	payload.iov_len -= 8;
	assert_int_equal(channel_send(device.channel, 1, false, &payload, 1), 0);
	assert_int_equal(channel_send(device.channel, 1, false, NULL, 0), -EAGAIN);
}

/* A full ring: the device hears of room when there is enough, and once. */
static void room_is_waited_for(void **state)
{
	uint8_t data[1000] = {0};
	struct iovec payload = {data, sizeof(data)};
	struct guest_packet back;
	uint32_t sent = 0, taken = 0;
	int ret;

	(void)state;
	channel_clear_event(device.channel);
	assert_int_equal(channel_receive(device.channel, &packet), 0);
	while ((ret = channel_send(device.channel, sent, false, &payload, 1)) == 0) {
		sent++;
	}
	assert_int_equal(ret, -EAGAIN);
	assert_int_equal(sent, 27); /* of 1024 bytes each in 28 KiB */
	assert_false(event_is_set());
	payload.iov_len = 16;
	assert_true(guest_receive(&channel, &back)); /* it was flushed */
	taken++;
	assert_true(event_is_set());
	channel_clear_event(device.channel);
	assert_true(guest_receive(&channel, &back));
	assert_false(event_is_set());
	assert_int_equal(channel_send(device.channel, sent++, false, &payload, 1), 0);
	assert_int_equal(channel.in.control->pending_send_sz, 0);
	channel_flush(device.channel);
	for (taken++; guest_receive(&channel, &back); taken++) {
		assert_int_equal(back.descriptor.trans_id, taken);
	}
	assert_int_equal(taken, sent);
}

static void the_guest_hears_of_room(void **state)
{
	uint8_t data[1000] = {0};
	unsigned int signals;

	(void)state;
	while (send_inband(1, 0, data, sizeof(data))) {
	}
	assert_int_not_equal(channel.out.control->pending_send_sz, 0);
	signals = guest_signals(VP, channel.relid);
	while (channel_receive(device.channel, &packet) == 1) {
	}
	assert_int_equal(guest_signals(VP, channel.relid), signals + 1);
	assert_true(send_inband(1, 0, data, sizeof(data)));
}

static void the_target_vp_moves(void **state)
{
	struct vmbus_channel_modifychannel modify = {.header.msgtype = CHANNELMSG_MODIFYCHANNEL,
						     .child_relid = channel.relid,
						     .target_vp = 3};

	(void)state;
	guest_post(&modify, sizeof(modify));
	assert_int_equal(channel_send(device.channel, 1, false, NULL, 0), 0);
	channel_flush(device.channel);
	assert_int_equal(guest_signals(VP, channel.relid), 0);
	assert_int_equal(guest_signals(3, channel.relid), 1);
}

/* ---- ranges ---- */

/* Two ranges: 6000 bytes from 100 in the pages 400, 401; 10 bytes in page 300. */
static const uint64_t two_ranges[] = {
	0xabad1deaull | 2ull << 32, 6000ull | 100ull << 32, 400, 401, 10ull | 4000ull << 32, 300};

/* Where a range is; it is completed at once. */
static int find_range(uint32_t index, struct iovec *iov, unsigned int max, uint32_t *bytes)
{
	uint64_t pages[8];
	struct vmbus_range range = {.page_max = 8, .pages = pages};
	int ret = packet_range(&packet, index, &range);

	if (ret == 0) {
		*bytes = range.bytes;
		ret = channel_acquire_range(device.channel, &range, iov, max);
	}
	if (ret >= 0) {
		channel_complete_range(device.channel, &range, 0);
	}
	return ret;
}

static void gpa_direct(void **state)
{
	struct iovec iov[4];
	uint32_t bytes;

	(void)state;
	assert_true(guest_send(&channel, VM_PKT_DATA_USING_GPA_DIRECT, 3, 1, two_ranges,
			       sizeof(two_ranges), "srb", 3));
	assert_int_equal(channel_receive(device.channel, &packet), 1);
	assert_int_equal(packet.range_count, 2);
	assert_int_equal(packet.payload_bytes, 8);
	assert_memory_equal(packet.payload, "srb\0\0\0\0\0", 8);
	/* Neighbours are one piece. */
	assert_int_equal(find_range(0, iov, 1, &bytes), 1);
	assert_int_equal(bytes, 6000);
	assert_ptr_equal(iov[0].iov_base, guest_page(400) + 100);
	assert_int_equal(iov[0].iov_len, 6000);
	assert_int_equal(find_range(1, iov, 4, &bytes), 1);
	assert_ptr_equal(iov[0].iov_base, guest_page(300) + 4000);
	assert_int_equal(iov[0].iov_len, 10);
	assert_int_equal(find_range(2, iov, 4, &bytes), -EINVAL);
	assert_true(send_inband(1, 0, "x", 1));
	assert_int_equal(channel_receive(device.channel, &packet), 1);
	assert_int_equal(find_range(0, iov, 4, &bytes), -EINVAL);
}

static void scattered_and_wrong_memory(void **state)
{
	uint64_t list[] = {1ull << 32, 10000ull | 4090ull << 32, 400, 300, 301, 500};
	struct iovec iov[4];
	uint32_t bytes;

	(void)state;
	assert_true(guest_send(&channel, VM_PKT_DATA_USING_GPA_DIRECT, 3, 1, list, sizeof(list),
			       NULL, 0));
	assert_int_equal(channel_receive(device.channel, &packet), 1);
	assert_int_equal(find_range(0, iov, 4, &bytes), 3);
	assert_int_equal(bytes, 10000);
	assert_ptr_equal(iov[0].iov_base, guest_page(400) + 4090);
	assert_int_equal(iov[0].iov_len, 6);
	assert_ptr_equal(iov[1].iov_base, guest_page(300));
	assert_int_equal(iov[1].iov_len, 8192);
	assert_ptr_equal(iov[2].iov_base, guest_page(500));
	assert_int_equal(iov[2].iov_len, 10000 - 6 - 8192);
	assert_int_equal(find_range(0, iov, 2, &bytes), -E2BIG);
	list[4] = GUEST_PAGES;
	assert_true(guest_send(&channel, VM_PKT_DATA_USING_GPA_DIRECT, 3, 1, list, sizeof(list),
			       NULL, 0));
	list[4] = UINT64_MAX;
	assert_true(guest_send(&channel, VM_PKT_DATA_USING_GPA_DIRECT, 3, 1, list, sizeof(list),
			       NULL, 0));
	list[4] = (1ull << 52) + 301; /* it would be right if the top were lost */
	assert_true(guest_send(&channel, VM_PKT_DATA_USING_GPA_DIRECT, 3, 1, list, sizeof(list),
			       NULL, 0));
	while (channel_receive(device.channel, &packet) == 1) {
		assert_int_equal(find_range(0, iov, 4, &bytes), -EFAULT);
	}
	assert_int_equal(guest.lines, 0); /* the device answers, the channel goes on */
}

static void the_copy_is_the_servers(void **state)
{
	struct iovec iov[4];
	uint32_t bytes, i;

	(void)state;
	assert_true(guest_send(&channel, VM_PKT_DATA_USING_GPA_DIRECT, 3, 1, two_ranges,
			       sizeof(two_ranges), "srb", 3));
	assert_int_equal(channel_receive(device.channel, &packet), 1);
	for (i = 1; i < RING_PAGES / 2; i++) {
		memset(guest_page(channel.pages[i]), 0xff, VMBUS_PAGE_SIZE);
	}
	assert_int_equal(find_range(1, iov, 4, &bytes), 1);
	assert_ptr_equal(iov[0].iov_base, guest_page(300) + 4000);
	assert_memory_equal(packet.payload, "srb", 3);
}

static void transfer_pages_from_the_guest(void **state)
{
	const struct {
		struct vmtransfer_page_header header;
		struct vmtransfer_page_range ranges[2];
	} list = {{.xfer_pageset_id = 5, .reserved = 0xffff, .range_cnt = 2}, {{1, 2}, {3, 4}}};

	(void)state;
	assert_true(guest_send(&channel, VM_PKT_DATA_USING_XFER_PAGES, 3, 0, &list, sizeof(list),
			       "y", 1));
	assert_int_equal(channel_receive(device.channel, &packet), 1);
	assert_int_equal(packet.page_set, 5);
	assert_int_equal(packet.range_count, 2);
	assert_memory_equal(packet.page_ranges, list.ranges, sizeof(list.ranges));
	assert_memory_equal(packet.payload, "y", 1);
}

/* Lists that say more than there is. Each breaks the channel, and that one alone. */
static void ranges_that_do_not_fit(void **state)
{
	static const struct {
		uint16_t type;
		uint32_t bytes;
		uint64_t list[4];
	} cases[] = {
		{VM_PKT_DATA_USING_GPA_DIRECT, 0, {0}},
		{VM_PKT_DATA_USING_GPA_DIRECT, 8, {1ull << 32}},
		{VM_PKT_DATA_USING_GPA_DIRECT, 16, {1ull << 32, 1}},
		{VM_PKT_DATA_USING_GPA_DIRECT, 24, {1ull << 32, 4097, 1}},
		{VM_PKT_DATA_USING_GPA_DIRECT, 24, {1ull << 32, 0xffffffff, 1}},
		{VM_PKT_DATA_USING_GPA_DIRECT, 24, {1ull << 32, 0x1000ull << 32, 1}},
		{VM_PKT_DATA_USING_GPA_DIRECT, 32, {1ull << 32, 0xffffffffffffffff, 1, 2}},
		{VM_PKT_DATA_USING_GPA_DIRECT, 32, {2ull << 32, 100, 1, 100}},
		{VM_PKT_DATA_USING_GPA_DIRECT, 32, {0xffffffffull << 32, 0, 0, 0}},
		{VM_PKT_DATA_USING_XFER_PAGES, 0, {0}},
		{VM_PKT_DATA_USING_XFER_PAGES, 8, {1ull << 32}},
		{VM_PKT_DATA_USING_XFER_PAGES, 16, {2ull << 32, 0}},
		{VM_PKT_DATA_USING_XFER_PAGES, 16, {0x20000001ull << 32, 0}},
		{VM_PKT_INVALID, 0, {0}},
		{1, 0, {0}},
		{0xffff, 0, {0}},
	};
	uint32_t i;

	(void)state;
	for (i = 0; i < ARRAY_COUNT(cases); i++) {
		setup(NULL);
		assert_true(guest_send(&channel, cases[i].type, 1, 0, cases[i].list, cases[i].bytes,
				       NULL, 0));
		assert_broken();
		teardown(NULL);
	}
}

static void larger_than_the_device_allows(void **state)
{
	uint8_t data[1016] = {0};

	(void)state;
	assert_true(send_inband(1, 0, data, 1008));
	assert_int_equal(channel_receive(device.channel, &packet), 1);
	assert_true(send_inband(1, 0, data, 1009));
	assert_broken();
}

/* Of a device that wants to answer them itself. */
static void malformed_packets_are_handed_over(void **state)
{
	struct vmbus_class class = device_class;
	struct vmbus_offer offer = {.instance = {.data1 = 2}, .class = &class, .device = &other};
	uint64_t list[] = {1ull << 32, 4097, 1};
	static uint8_t data[1016];
	uint32_t relids[3];

	(void)state;
	class.takes_malformed = true;
	assert_int_equal(vmbus_offer(guest.bus, &offer, &other.channel), 0);
	assert_non_null(guest_take(CHANNELMSG_OFFERCHANNEL));
	assert_true(guest_contact(VERSION_WIN10_V5_3));
	assert_int_equal(guest_offers(relids, 3), 2);
	assert_int_equal(guest_open(&channel, relids[2], 0xe1e20, RING_PAGES, 10, VP), 0);
	assert_true(guest_send(&channel, VM_PKT_DATA_USING_GPA_DIRECT, 1, 1, list, 24, "abc", 3));
	assert_true(guest_send(&channel, VM_PKT_DATA_INBAND, 2, 0, NULL, 0, data, sizeof(data)));
	assert_true(guest_send(&channel, 77, 3, 1, NULL, 0, NULL, 0));
	assert_true(guest_send(&channel, VM_PKT_DATA_INBAND, 4, 1, NULL, 0, "12345678", 8));
	for (uint32_t i = 1; i <= 4; i++) {
		assert_int_equal(channel_receive(other.channel, &packet), 1);
		assert_int_equal(packet.transaction, i);
		assert_int_equal(packet.completion_requested, i != 2);
		assert_int_equal(packet.malformed, i != 4);
		assert_int_equal(packet.range_count, 0);
		assert_int_equal(packet.payload_bytes, i == 4 ? 8 : 0);
	}
	assert_int_equal(guest.lines, 0);
	guest_destroy(); /* before its class */
	guest_create();
}

static void wrong_indices(void **state)
{
	(void)state;
	channel.out.control->write_index = 4;
	assert_broken();
}

static void wrong_read_index(void **state)
{
	uint8_t data[1000] = {0};
	struct iovec payload = {data, sizeof(data)};
	int ret;

	(void)state;
	channel.in.control->read_index = RING_PAGES * VMBUS_PAGE_SIZE;
	while ((ret = channel_send(device.channel, 1, false, &payload, 1)) == 0) {
	}
	assert_int_equal(ret, -ESHUTDOWN);
	assert_broken();
}

static void devices_may_break_it_too(void **state)
{
	(void)state;
	channel_break(device.channel, "nonsense");
	channel_break(device.channel, "more of it");
	assert_non_null(strstr(guest.line, "nonsense"));
	assert_broken();
}

static void a_broken_one_harms_no_other(void **state)
{
	const struct vmbus_channel_offer_channel *offer;
	struct guest_channel second;

	(void)state;
	assert_int_equal(device_offer(guest.bus, &other, 2, 0), 0);
	offer = guest_take(CHANNELMSG_OFFERCHANNEL);
	assert_int_equal(guest_open(&second, offer->child_relid, 77, 8, 100, 0), 0);
	channel.out.control->write_index = UINT32_MAX;
	assert_int_equal(channel_receive(device.channel, &packet), -ESHUTDOWN);
	vmbus_serve(guest.bus);
	assert_int_equal(device.closing, 1);
	assert_int_equal(other.closing, 0);
	assert_true(guest_send(&second, VM_PKT_DATA_INBAND, 4, 0, NULL, 0, "ok", 2));
	assert_int_equal(channel_receive(other.channel, &packet), 1);
}

/* The guest changes whatever it wants of its closed ring: nobody looks. */
static void nothing_after_the_close(void **state)
{
	(void)state;
	device.holds = true;
	assert_true(send_inband(1, 0, "x", 1));
	assert_false(guest_close(&channel));
	assert_int_equal(channel_receive(device.channel, &packet), -ESHUTDOWN);
	assert_int_equal(channel_complete(device.channel, 1, NULL, 0), -ESHUTDOWN);
	assert_null(channel_gpadl_get(device.channel, channel.gpadl));
	assert_true(event_is_set());
	device_let_go(&device);
	assert_non_null(guest_take(CHANNELMSG_GPADL_TORNDOWN));
	assert_int_equal(guest_signals(VP, channel.relid), 0);
}

/* ---- a device that has a thread and no closing() ---- */

static void *echo(void *context)
{
	struct fake_device *echoing = context;
	struct pollfd event = {.fd = channel_event(echoing->channel), .events = POLLIN};
	struct vmbus_packet request;
	int ret;

	for (;;) {
		poll(&event, 1, -1);
		channel_clear_event(echoing->channel);
		while ((ret = channel_receive(echoing->channel, &request)) == 1) {
			struct iovec payload = {(void *)request.payload, request.payload_bytes};

			while (channel_complete(echoing->channel, request.transaction, &payload,
						1) == -EAGAIN) {
				poll(&event, 1, -1);
				channel_clear_event(echoing->channel);
			}
		}
		if (ret == -ESHUTDOWN) {
			echoing->is_open = false;
			channel_closed(echoing->channel);
			return NULL;
		}
	}
}

/* Both sides write until their ring is full; nobody sleeps through. */
static void a_thread_of_its_own(void **state)
{
	const struct vmbus_channel_offer_channel *offer;
	struct vmbus_offer what = {
		.type = VMBUS_GUID_NETWORK, .class = &threadless_class, .device = &other};
	struct guest_channel second;
	struct guest_packet back;
	uint64_t sent = 0, taken = 0;
	uint8_t data[512] = {0};
	pthread_t thread;

	(void)state;
	assert_int_equal(vmbus_offer(guest.bus, &what, &other.channel), 0);
	offer = guest_take(CHANNELMSG_OFFERCHANNEL);
	assert_int_equal(guest_open(&second, offer->child_relid, 77, 8, 100, 0), 0);
	assert_int_equal(pthread_create(&thread, NULL, echo, &other), 0);
	while (taken < 20000) {
		while (sent < 20000 && guest_send(&second, VM_PKT_DATA_INBAND, sent, 1, NULL, 0,
						  data, (uint32_t)(sent % sizeof(data)))) {
			sent++;
		}
		while (guest_receive(&second, &back)) {
			assert_int_equal(back.descriptor.trans_id, taken);
			assert_int_equal(back.descriptor.len8, 2 + (taken % sizeof(data) + 7) / 8);
			taken++;
		}
	}
	vmbus_reset(guest.bus);
	pthread_join(thread, NULL);
	assert_int_equal(other.opened, 1);
	assert_int_equal(guest.connections, 0);
}

static void a_class_with_no_functions(void **state)
{
	static const struct vmbus_class silent = {.name = "silent"};
	struct vmbus_offer what = {.type = VMBUS_GUID_VIDEO, .class = &silent};
	const struct vmbus_channel_offer_channel *offer;
	struct vmbus_channel *opened;
	struct guest_channel second;

	(void)state;
	assert_int_equal(vmbus_offer(guest.bus, &what, &opened), 0);
	offer = guest_take(CHANNELMSG_OFFERCHANNEL);
	assert_int_equal(guest_open(&second, offer->child_relid, 77, 8, 100, 0), 0);
	assert_int_equal(channel_receive(opened, &packet), 0);
	assert_false(guest_close(&second));
	assert_int_equal(channel_receive(opened, &packet), -ESHUTDOWN);
	channel_closed(opened);
	assert_non_null(guest_take(CHANNELMSG_GPADL_TORNDOWN));
}

/* ---- GPADLs ---- */

static void a_buffer_of_the_guests(void **state)
{
	struct vmbus_channel_gpadl_teardown teardown_message = {
		.header.msgtype = CHANNELMSG_GPADL_TEARDOWN,
		.child_relid = channel.relid,
		.gpadl = 42,
	};
	struct vmbus_gpadl *gpadl;
	uint32_t pages[200];
	struct iovec iov[200];

	(void)state;
	guest_scatter(pages, 200, 100);
	pages[0] = pages[1] + 1; /* two that follow each other, but backwards */
	assert_null(channel_gpadl_get(device.channel, 42));
	assert_int_equal(guest_gpadl(channel.relid, 42, pages, 200), 0);
	gpadl = channel_gpadl_get(device.channel, 42);
	assert_non_null(gpadl);
	assert_int_equal(gpadl_bytes(gpadl), 200 * VMBUS_PAGE_SIZE);
	assert_int_equal(gpadl_range(gpadl, 4090, 10, iov, 200), 2);
	assert_ptr_equal(iov[0].iov_base, guest_page(pages[0]) + 4090);
	assert_int_equal(iov[0].iov_len, 6);
	assert_ptr_equal(iov[1].iov_base, guest_page(pages[1]));
	assert_int_equal(iov[1].iov_len, 4);
	assert_int_equal(gpadl_range(gpadl, 0, 200 * VMBUS_PAGE_SIZE, iov, 200), 200);
	assert_int_equal(gpadl_range(gpadl, 0, 200 * VMBUS_PAGE_SIZE, iov, 199), -E2BIG);
	assert_int_equal(gpadl_range(gpadl, 200 * VMBUS_PAGE_SIZE, 0, iov, 200), 0);
	assert_int_equal(gpadl_range(gpadl, 1, 200 * VMBUS_PAGE_SIZE, iov, 200), -EINVAL);
	assert_int_equal(gpadl_range(gpadl, UINT32_MAX, UINT32_MAX, iov, 200), -EINVAL);
	/* It is the guest's again when the device has put it. */
	guest_post(&teardown_message, sizeof(teardown_message));
	assert_true(guest_silent());
	assert_null(channel_gpadl_get(device.channel, 42));
	guest_post(&teardown_message, sizeof(teardown_message));
	assert_true(guest_silent());
	channel_gpadl_put(device.channel, gpadl);
	assert_non_null(guest_take(CHANNELMSG_GPADL_TORNDOWN));
	assert_true(guest_silent());
}

static void pieces_of_pages(void **state)
{
	struct {
		struct vmbus_channel_gpadl_header header;
		uint32_t byte_count, byte_offset;
		uint64_t numbers[2];
	} __attribute__((packed)) message = {
		.header = {.header.msgtype = CHANNELMSG_GPADL_HEADER,
			   .child_relid = channel.relid,
			   .gpadl = 43,
			   .range_buflen = 24,
			   .rangecount = 1},
		.byte_count = 4096,
		.byte_offset = 8,
		.numbers = {200, 201},
	};
	const struct vmbus_channel_gpadl_created *created;
	struct vmbus_channel_open_channel open = {.header.msgtype = CHANNELMSG_OPENCHANNEL,
						  .ringbuffer_gpadlhandle = 43,
						  .downstream_ringbuffer_pageoffset = 2};
	const struct vmbus_channel_open_result *result;
	struct vmbus_gpadl *gpadl;
	struct iovec iov[2];

	(void)state;
	guest_post(&message, sizeof(message));
	created = guest_take(CHANNELMSG_GPADL_CREATED);
	assert_int_equal(created->creation_status, 0);
	gpadl = channel_gpadl_get(device.channel, 43);
	assert_int_equal(gpadl_bytes(gpadl), 4096);
	assert_int_equal(gpadl_range(gpadl, 0, 4096, iov, 2), 1);
	assert_ptr_equal(iov[0].iov_base, guest_page(200) + 8);
	assert_int_equal(gpadl_range(gpadl, 1, 4096, iov, 2), -EINVAL);
	channel_gpadl_put(device.channel, gpadl);
	/* No ring is made of that. */
	open.child_relid = channel.relid;
	assert_true(guest_close(&channel));
	guest_post(&open, sizeof(open));
	result = guest_take(CHANNELMSG_OPENCHANNEL_RESULT);
	assert_int_not_equal(result->status, 0);
	assert_non_null(strstr(guest.line, "whole pages"));
}

static void clean(void)
{
	uint32_t i;

	for (i = 0; i < GUEST_PAGES; i++) {
		atomic_store(&guest.dirty[i], false);
	}
}

/* Which of the ring's pages have been told as written, a bit for each. */
static uint32_t dirty_ring(void)
{
	uint32_t i, bits = 0;

	for (i = 0; i < RING_PAGES; i++) {
		bits |= (uint32_t)atomic_load(&guest.dirty[channel.pages[i]]) << i;
	}
	return bits;
}

/* The control page of each half, and of the half to the guest the pages with data. */
static void writes_to_a_ring_are_told(void **state)
{
	static const uint8_t bytes[4096];
	struct iovec payload = {(void *)bytes, 4000};
	uint32_t out = 1, in = 1 << RING_PAGES / 2;
	struct guest_packet got;
	unsigned int i;

	(void)state;
	assert_int_equal(dirty_ring(), out | in); /* feature bits, mask */
	clean();
	assert_true(send_inband(1, 0, "x", 1));
	assert_int_equal(channel_receive(device.channel, &packet), 1);
	assert_int_equal(channel_receive(device.channel, &packet), 0);
	assert_int_equal(dirty_ring(), out);
	clean();
	for (i = 0; i < 6; i++) { /* 4,024 bytes each */
		assert_int_equal(channel_complete(device.channel, i, &payload, 1), 0);
	}
	assert_int_equal(dirty_ring(), 0); /* the guest has not seen them */
	channel_flush(device.channel);
	assert_int_equal(dirty_ring(), in | 0x3f * 2 * in);
	for (i = 0; i < 6; i++) {
		assert_true(guest_receive(&channel, &got));
	}
	clean();
	for (i = 0; i < 2; i++) { /* round the end: 24,144 of 28,672 are used */
		assert_int_equal(channel_complete(device.channel, i, &payload, 1), 0);
	}
	channel_flush(device.channel);
	assert_int_equal(dirty_ring(), in | (0x20 | 0x40 | 0x01) * 2 * in);
	clean();
	while (channel_complete(device.channel, 1, &payload, 1) == 0) {
	}
	assert_true(dirty_ring() & in); /* pending_send_sz */
}

static void writes_to_a_gpadl_are_told(void **state)
{
	const uint32_t pages[] = {300, 400, 302};
	struct vmbus_gpadl *gpadl;

	(void)state;
	assert_int_equal(guest_gpadl(channel.relid, 42, pages, 3), 0);
	gpadl = channel_gpadl_get(device.channel, 42);
	clean();
	gpadl_wrote(gpadl, 4095, 0);
	assert_false(guest.dirty[300] || guest.dirty[400] || guest.dirty[302]);
	gpadl_wrote(gpadl, 4095, 2);
	assert_true(guest.dirty[300] && guest.dirty[400] && !guest.dirty[302]);
	clean();
	gpadl_wrote(gpadl, 8192, 4096);
	assert_true(!guest.dirty[300] && !guest.dirty[400] && guest.dirty[302]);
	channel_gpadl_put(device.channel, gpadl);
}

/* Each is refused, and nothing of it stays. */
static void gpadls_that_are_none(void **state)
{
	struct {
		struct vmbus_channel_gpadl_header header;
		uint32_t byte_count, byte_offset;
		uint64_t numbers[26];
	} __attribute__((packed)) message;
	static const struct {
		uint32_t relid, size;
		uint16_t range_buflen, rangecount;
		uint32_t byte_count, byte_offset;
		uint64_t number;
	} cases[] = {
		{77, 36, 16, 1, 4096, 0, 5}, /* no such channel */
		{1, 20, 16, 1, 4096, 0, 5},  /* too short for a range */
		{1, 27, 16, 1, 4096, 0, 5},
		{1, 36, 16, 0, 4096, 0, 5}, /* not one range */
		{1, 36, 16, 2, 4096, 0, 5},
		{1, 36, 16, 1, 4097, 0, 5}, /* lengths that differ */
		{1, 36, 16, 1, 4096, 1, 5},
		{1, 36, 16, 1, 0, 0, 5},
		{1, 36, 8, 1, 0, 0, 5},
		{1, 36, 0, 1, 4096, 0, 5},
		{1, 36, 17, 1, 4096, 0, 5},
		{1, 36, 0xffff, 1, 0xffffffff, 0, 5},
		{1, 36, 16, 1, 1, 4096, 5}, /* not in the first page */
		{1, 36, 16, 1, 0xfffff001, 0xffffffff, 5},
		{1, 44, 16, 1, 4096, 0, 5},           /* more pages than it says */
		{1, 33, 16, 1, 4096, 0, 5},           /* half a page number */
		{1, 36, 16, 1, 4096, 0, GUEST_PAGES}, /* not RAM */
		{1, 36, 16, 1, 4096, 0, UINT64_MAX},
		{1, 36, 16, 1, 4096, 0, 1ull << 52},
	};
	const struct vmbus_channel_gpadl_created *created;
	uint32_t i, pages[1] = {5};

	(void)state;
	for (i = 0; i < ARRAY_COUNT(cases); i++) {
		memset(&message, 0, sizeof(message));
		message.header.header.msgtype = CHANNELMSG_GPADL_HEADER;
		message.header.child_relid = cases[i].relid;
		message.header.gpadl = 42;
		message.header.range_buflen = cases[i].range_buflen;
		message.header.rangecount = cases[i].rangecount;
		message.byte_count = cases[i].byte_count;
		message.byte_offset = cases[i].byte_offset;
		message.numbers[0] = cases[i].number;
		guest_post(&message, cases[i].size);
		created = guest_take(CHANNELMSG_GPADL_CREATED);
		assert_non_null(created);
		assert_int_not_equal(created->creation_status, 0);
		assert_null(channel_gpadl_get(device.channel, 42));
	}
	assert_int_equal(guest_gpadl(channel.relid, 42, pages, 1), 0);
	assert_true(guest_gpadl(channel.relid, 42, pages, 1) > 0); /* in use */
	assert_true(guest_gpadl(channel.relid, channel.gpadl, pages, 1) > 0);
}

static void bodies_that_belong_nowhere(void **state)
{
	struct {
		struct vmbus_channel_gpadl_header header;
		uint32_t byte_count, byte_offset;
	} __attribute__((packed)) head = {
		.header = {.header.msgtype = CHANNELMSG_GPADL_HEADER,
			   .child_relid = channel.relid,
			   .gpadl = 42,
			   .range_buflen = 24,
			   .rangecount = 1},
		.byte_count = 8192,
	};
	struct {
		struct vmbus_channel_gpadl_body header;
		uint64_t numbers[28];
	} __attribute__((packed))
	body = {.header = {.header.msgtype = CHANNELMSG_GPADL_BODY, .gpadl = 42},
		.numbers = {7, 8, 9}};
	const struct vmbus_channel_gpadl_created *created;

	(void)state;
	guest_post(&body, 24); /* of none */
	body.header.gpadl = channel.gpadl;
	guest_post(&body, 24); /* of a complete one */
	body.header.gpadl = 42;
	assert_true(guest_silent());
	guest_post(&head, sizeof(head)); /* no pages in the header */
	guest_post(&body, 16);           /* and none in this body */
	guest_post(&body, 24);
	assert_true(guest_silent());
	assert_null(channel_gpadl_get(device.channel, 42));
	guest_post(&body, 32); /* one too many */
	created = guest_take(CHANNELMSG_GPADL_CREATED);
	assert_int_not_equal(created->creation_status, 0);
	guest_post(&head, sizeof(head));
	guest_post(&body, 32);
	created = guest_take(CHANNELMSG_GPADL_CREATED);
	assert_int_equal(created->creation_status, 0);
}

/* As many as there may be, by number and by pages; all of them go with the connection. */
static void a_guest_that_wants_too_much(void **state)
{
	uint32_t page = 5, i;
	static uint32_t pages[8189];

	(void)state;
	for (i = 1; i < 4096; i++) {
		assert_int_equal(guest_gpadl(channel.relid, i, &page, 1), 0);
	}
	assert_true(guest_gpadl(channel.relid, i, &page, 1) > 0);
	assert_true(guest_contact(VERSION_WIN10_V5_3));
	guest_offers(NULL, 0);
	for (i = 0; i < 128; i++) {
		assert_int_equal(guest_gpadl(channel.relid, i, pages, 8189), 0);
	}
	assert_true(guest_gpadl(channel.relid, i, pages, 400) > 0);
	assert_int_equal(guest_gpadl(channel.relid, i, pages, 100), 0);
	vmbus_reset(guest.bus);
	assert_true(guest_contact(VERSION_WIN10_V5_3));
	guest_offers(NULL, 0);
	assert_int_equal(guest_gpadl(channel.relid, 1, pages, 8189), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(first_look_needs_no_signal),
		TEST(version_0_13_signals_by_a_page),
		TEST(version_1_1_signals_by_a_page),
		TEST(bits_of_nobody),
		TEST(inband),
		TEST(signals_are_masked_while_there_is_something),
		TEST(many_in_both_directions),
		TEST(sends_are_seen_when_flushed),
		TEST(transfer_pages_to_the_guest),
		TEST(what_never_fits),
		TEST(room_is_waited_for),
		TEST(the_guest_hears_of_room),
		TEST(the_target_vp_moves),
		TEST(gpa_direct),
		TEST(scattered_and_wrong_memory),
		TEST(the_copy_is_the_servers),
		TEST(transfer_pages_from_the_guest),
		cmocka_unit_test(ranges_that_do_not_fit),
		TEST(larger_than_the_device_allows),
		TEST(malformed_packets_are_handed_over),
		TEST(wrong_indices),
		TEST(wrong_read_index),
		TEST(devices_may_break_it_too),
		TEST(a_broken_one_harms_no_other),
		TEST(nothing_after_the_close),
		TEST(a_thread_of_its_own),
		TEST(a_class_with_no_functions),
		TEST(a_buffer_of_the_guests),
		TEST(pieces_of_pages),
		TEST(writes_to_a_ring_are_told),
		TEST(writes_to_a_gpadl_are_told),
		TEST(gpadls_that_are_none),
		TEST(bodies_that_belong_nowhere),
		TEST(a_guest_that_wants_too_much),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
