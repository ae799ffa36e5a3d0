/*
 * A ring whose guest writes anything anywhere in it, while the device receives, asks for ranges,
 * answers and sends. The input is a list of steps: good packets, bytes at any place of the control
 * pages and of the data, and the device's calls.
 *
 * The pages around the ring's, and of the GPADL's, are guarded by values that must stand
 * afterwards: nothing but the ring was written.
 */
#include <string.h>

#include "tests/fake/vmbus_device.h"
#include "tests/fake/vmbus_guest.h"
#include "tests/fuzz/fuzz.h"

#define RING_PAGES 8u
#define FIRST_PAGE 20u
#define GUARD      0xa5

#define MIN_STEPS 30u

static struct fake_device device;
static struct guest_channel channel;

static uint32_t word(void)
{
	uint32_t low = fuzz_byte();

	return low | (uint32_t)fuzz_byte() << 8;
}

static void guard(void)
{
	uint32_t i;

	for (i = 0; i < RING_PAGES; i++) {
		memset(guest_page(FIRST_PAGE + 2 * i + 1), GUARD, VMBUS_PAGE_SIZE);
	}
}

static void check_guard(void)
{
	static uint8_t expected[VMBUS_PAGE_SIZE];
	uint32_t i;

	memset(expected, GUARD, sizeof(expected));
	for (i = 0; i < RING_PAGES; i++) {
		EXPECT(memcmp(guest_page(FIRST_PAGE + 2 * i + 1), expected, sizeof(expected)) == 0);
	}
}

/* A packet with a list of ranges that may or may not be right. */
static void guest_writes_packet(void)
{
	static const uint16_t types[] = {VM_PKT_DATA_INBAND, VM_PKT_DATA_USING_GPA_DIRECT,
					 VM_PKT_DATA_USING_XFER_PAGES, VM_PKT_COMP, 0};
	uint64_t list[128] = {0}; /* the payload too */
	uint16_t type = types[fuzz_byte() % 5];
	uint32_t words = fuzz_byte() % 32, ranges = fuzz_byte(), i;

	if (type == VM_PKT_DATA_USING_GPA_DIRECT || type == VM_PKT_DATA_USING_XFER_PAGES) {
		list[0] = (uint64_t)(ranges < 8 ? ranges : ranges << 24) << 32;
	}
	for (i = 1; i < words; i++) {
		list[i] = word();
		if (fuzz_byte() == 0xff) {
			list[i] = list[i] << 48 | list[i];
		}
	}
	if (channel.out.control->write_index < channel.out.size &&
	    channel.out.control->read_index < channel.out.size) {
		guest_send(&channel, type, fuzz_byte(), fuzz_byte(), list, words * 8, list,
			   word() % 900);
	}
}

/* Anything in a control word, or in the data. */
static void guest_writes_anything(void)
{
	static const uint8_t words[] = {0, 4, 8, 12, 64};
	uint32_t page = fuzz_byte() % RING_PAGES, at = word() % VMBUS_PAGE_SIZE,
		 count = fuzz_byte() % 16;

	if (fuzz_byte() & 1) {
		uint32_t value =
			word() * (fuzz_byte() == 1 ? 8 : 1) + (fuzz_byte() == 0xff ? 1u << 31 : 0);

		memcpy(guest_page(channel.pages[page < 4 ? 0 : RING_PAGES / 2]) +
			       words[fuzz_byte() % sizeof(words)],
		       &value, sizeof(value));
		return;
	}
	for (; count > 0 && at < VMBUS_PAGE_SIZE; count--) {
		guest_page(channel.pages[page])[at++] = fuzz_byte();
	}
}

/* Reads all that the packet says is there, and finds its ranges in RAM. */
static void look_at(const struct vmbus_packet *packet)
{
	static uint8_t copy[1024];
	struct iovec iov[16];
	uint64_t pages[16];
	struct vmbus_range range = {.page_max = 16, .pages = pages};
	uint32_t i;
	int j, count;

	EXPECT(packet->payload_bytes <= sizeof(copy));
	memcpy(copy, packet->payload, packet->payload_bytes);
	if (packet->type == VM_PKT_DATA_USING_XFER_PAGES) {
		memcpy(copy, packet->page_ranges, packet->range_count * 8);
	}
	for (i = 0; i < packet->range_count; i++) {
		uint64_t total = 0;

		count = packet_range(packet, i, &range);
		if (count == 0) {
			count = channel_acquire_range(device.channel, &range, iov, 16);
		}
		for (j = 0; j < count; j++) {
			uint8_t *at = iov[j].iov_base;

			EXPECT(at >= guest.ram && iov[j].iov_len > 0 &&
			       at + iov[j].iov_len <= guest.ram + GUEST_PAGES * VMBUS_PAGE_SIZE);
			total += iov[j].iov_len;
		}
		EXPECT(count < 0 || total == range.bytes);
		if (count >= 0) {
			channel_complete_range(device.channel, &range, range.bytes);
		}
	}
}

static void device_receives(void)
{
	struct vmbus_packet packet;
	uint32_t i, limit = fuzz_byte() % 32;

	for (i = 0; i < limit && channel_receive(device.channel, &packet) == 1; i++) {
		look_at(&packet);
		if (packet.completion_requested &&
		    channel_complete(device.channel, packet.transaction, NULL, 0) != 0) {
			return;
		}
	}
}

static void device_sends(void)
{
	static uint8_t data[3 * VMBUS_PAGE_SIZE];
	const struct vmtransfer_page_range ranges[4] = {{1, 2}, {3, 4}, {5, 6}, {7, 8}};
	struct iovec parts[3] = {
		{data, fuzz_byte()}, {data, fuzz_byte()}, {data, word() % sizeof(data)}};
	uint32_t how = fuzz_byte();
	int ret;

	if (how & 1) {
		ret = channel_send(device.channel, 1, how & 2, parts, 3);
	} else {
		ret = channel_send_pages(device.channel, 1, how & 2, 5, ranges, how % 5, parts, 3);
	}
	if (ret == 0 && (how & 4)) {
		channel_flush(device.channel);
	}
}

/* A guest that broke its channel closes it, and opens it anew. */
static void reopen(void)
{
	uint32_t relids[2] = {0};
	uint64_t handle = guest.first;

	guest.count = 0;
	if (device.is_open) {
		guest_close(&channel);
	}
	guest.count = 0;
	EXPECT(guest_contact(VERSION_WIN10_V5_3));
	EXPECT(guest_offers(relids, 2) == 1);
	EXPECT(guest_open(&channel, relids[1], (uint32_t)handle, RING_PAGES, FIRST_PAGE, 0) == 0);
}

static void step(void)
{
	switch (fuzz_byte() % 8) {
	case 0:
	case 1:
		guest_writes_packet();
		break;
	case 2:
	case 3:
		guest_writes_anything();
		break;
	case 4:
		if (device.is_open) {
			device_receives();
		}
		break;
	case 5:
		if (device.is_open) {
			device_sends();
		}
		break;
	case 6:
		vmbus_serve(guest.bus);
		break;
	case 7:
		if (!device.is_open) {
			reopen();
		}
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t i;

	fuzz_begin(data, size);
	memset(&device, 0, sizeof(device));
	guest_create();
	EXPECT(device_offer(guest.bus, &device, 1, 0) == 0);
	reopen();
	guard();
	for (i = 0; i < MIN_STEPS || fuzz_more(); i++) {
		step();
	}
	check_guard();
	reopen();
	check_guard();
	guest_destroy();
	return 0;
}
