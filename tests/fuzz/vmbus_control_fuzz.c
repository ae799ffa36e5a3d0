/*
 * The control protocol as a hostile guest speaks it, with devices that let go late, refuse, rescind
 * and offer anew in between. The input is a list of steps; message bytes come from it, with the
 * fields that matter usually made sensible, so that the steps get somewhere.
 *
 * After each input the machine is reset and a good guest connects and opens every channel: whatever
 * the hostile one did, the server is clean.
 */
#include <string.h>

#include "tests/fake/vmbus_device.h"
#include "tests/fake/vmbus_guest.h"
#include "tests/fuzz/fuzz.h"

#define DEVICES   4u
#define MIN_STEPS 30u

/* The last one is a sub-channel. */
static struct fake_device devices[DEVICES];

static uint32_t relid(void)
{
	uint8_t choice = fuzz_byte();

	return choice < 250 ? choice % (DEVICES + 2) : choice * 0x01010101u;
}

static uint32_t handle(void)
{
	return fuzz_byte() % 6;
}

static uint32_t size_of_type(uint32_t type)
{
	static const uint8_t sizes[] = {[3] = 8,   [5] = 148, [7] = 12,  [11] = 16, [13] = 12,
					[14] = 40, [16] = 8,  [21] = 40, [22] = 16};

	return type < sizeof(sizes) && sizes[type] != 0 ? sizes[type] : 8 + fuzz_byte() % 233;
}

static void any_message(void)
{
	uint8_t message[VMBUS_MESSAGE_MAX];
	struct vmbus_channel_relid head = {.header.msgtype = fuzz_byte() % (CHANNELMSG_COUNT + 2)};
	uint32_t i, bytes = size_of_type(head.header.msgtype);

	head.child_relid = relid();
	for (i = 0; i < sizeof(message); i++) {
		message[i] = i < 32 ? fuzz_byte() : 0;
	}
	memcpy(message, &head, sizeof(head));
	guest_post(message, fuzz_byte() == 0xff ? fuzz_byte() % 240 : bytes);
}

static void contact(void)
{
	static const uint32_t versions[] = {VERSION_WIN8,       VERSION_WIN10_V4_1,
					    VERSION_WIN10_V5_3, VERSION_WIN10_V6_0,
					    VERSION_WIN7,       VERSION_WS2008};
	struct vmbus_channel_initiate_contact message = {
		.header.msgtype = CHANNELMSG_INITIATE_CONTACT,
		.vmbus_version_requested = versions[fuzz_byte() % ARRAY_COUNT(versions)],
		.target_vcpu = fuzz_byte() % 8,
		.msg_sint = 2,
		.monitor_page2 = (GUEST_MONITOR_PAGE + fuzz_byte() % 4) * (uint64_t)VMBUS_PAGE_SIZE,
	};

	if (message.vmbus_version_requested < VERSION_WIN8) {
		message.interrupt_page = fuzz_byte() * (uint64_t)VMBUS_PAGE_SIZE * 3;
	}

	guest_post(&message, sizeof(message));
}

static void gpadl_header(void)
{
	struct {
		struct vmbus_channel_gpadl_header header;
		uint32_t byte_count, byte_offset;
		uint64_t numbers[26];
	} __attribute__((packed))
	message = {.header.header.msgtype = CHANNELMSG_GPADL_HEADER, .header.rangecount = 1};
	uint32_t pages = fuzz_byte() % 40, there = fuzz_byte() % 27, i;

	message.header.child_relid = relid();
	message.header.gpadl = handle();
	message.header.range_buflen = (uint16_t)(8 + 8 * pages);
	message.byte_count = pages * VMBUS_PAGE_SIZE;
	for (i = 0; i < there; i++) {
		message.numbers[i] = fuzz_byte() + (fuzz_byte() == 0xff ? GUEST_PAGES - 100 : 0);
	}
	switch (fuzz_byte()) {
	case 1:
		message.header.range_buflen = fuzz_byte();
		break;
	case 2:
		message.byte_offset = fuzz_byte() * 64u;
		break;
	case 3:
		message.byte_count = fuzz_byte() * 0x01010101u;
		break;
	case 4:
		message.header.rangecount = fuzz_byte();
		break;
	}
	guest_post(&message,
		   sizeof(message) - sizeof(message.numbers) + 8 * (there < pages ? there : pages));
}

static void gpadl_body(void)
{
	struct {
		struct vmbus_channel_gpadl_body header;
		uint64_t numbers[28];
	} __attribute__((packed)) message = {.header.header.msgtype = CHANNELMSG_GPADL_BODY};
	uint32_t there = fuzz_byte() % 29, i;

	message.header.gpadl = handle();
	for (i = 0; i < there; i++) {
		message.numbers[i] = fuzz_byte();
	}
	guest_post(&message, sizeof(message.header) + 8 * there);
}

static void open_channel(void)
{
	struct vmbus_channel_open_channel message = {.header.msgtype = CHANNELMSG_OPENCHANNEL,
						     .target_vp = fuzz_byte() % 6};

	message.child_relid = relid();
	message.ringbuffer_gpadlhandle = handle();
	message.downstream_ringbuffer_pageoffset = fuzz_byte() % 20;
	guest_post(&message, sizeof(message));
}

static void post_relid(uint32_t type)
{
	struct vmbus_channel_gpadl_teardown message = {
		.header.msgtype = type, .child_relid = relid(), .gpadl = handle()};

	guest_post(&message, type == CHANNELMSG_GPADL_TEARDOWN ? 16 : 12);
}

/* A good guest's way to one open channel. */
static void good_open(uint32_t index)
{
	struct guest_channel channel;

	guest.count = 0;
	if (devices[index].channel != NULL) {
		guest_open(&channel, relid(), 10 + fuzz_byte() % 4, 8, 40, 0);
	}
}

static void use_ring(struct fake_device *device)
{
	struct vmbus_packet packet;
	unsigned int i;

	if (!device->is_open) {
		return;
	}
	for (i = 0; i < 20 && channel_receive(device->channel, &packet) == 1; i++) {
		if (channel_complete(device->channel, packet.transaction, NULL, 0) != 0) {
			break;
		}
	}
	channel_flush(device->channel);
}

static void device_step(void)
{
	uint32_t index = fuzz_byte() % DEVICES;
	struct fake_device *device = &devices[index];

	switch (fuzz_byte() % 6) {
	case 0:
		device->holds = !device->holds;
		break;
	case 1:
		device->refuse = device->refuse == 0 ? -5 : 0;
		break;
	case 2:
		if (device->channel != NULL) {
			vmbus_rescind(device->channel);
		}
		break;
	case 3:
		if (device->channel == NULL) {
			EXPECT(device_offer(guest.bus, device, index, index == DEVICES - 1) == 0);
		}
		break;
	case 4:
		if (device->is_open && device->closing == device->opened) {
			device_let_go(device);
		}
		break;
	case 5:
		use_ring(device);
		break;
	}
	vmbus_serve(guest.bus);
}

static void step(void)
{
	switch (fuzz_byte() % 14) {
	case 0:
		any_message();
		break;
	case 1:
		contact();
		break;
	case 2:
		gpadl_header();
		break;
	case 3:
		gpadl_body();
		break;
	case 4:
		open_channel();
		break;
	case 5:
		post_relid(CHANNELMSG_CLOSECHANNEL);
		break;
	case 6:
		post_relid(CHANNELMSG_GPADL_TEARDOWN);
		break;
	case 7:
		post_relid(CHANNELMSG_RELID_RELEASED);
		break;
	case 8:
		guest.slot_busy = !guest.slot_busy;
		vmbus_room(guest.bus);
		break;
	case 9:
		good_open(fuzz_byte() % DEVICES);
		break;
	case 10:
		guest_set_monitor(fuzz_byte() % 128);
		break;
	default:
		device_step();
		break;
	}
	if (guest.count > GUEST_MESSAGES / 2) {
		guest.count = 0;
	}
}

/* Whoever holds lets go, as it must before a reset. */
static void let_all_go(void)
{
	uint32_t i;

	for (i = 0; i < DEVICES; i++) {
		devices[i].holds = false;
		devices[i].refuse = 0;
		if (devices[i].is_open && devices[i].closing == devices[i].opened) {
			device_let_go(&devices[i]);
		}
	}
}

static void a_good_guest(void)
{
	uint32_t relids[DEVICES] = {0}, i, count = 0;
	struct guest_channel channel;

	guest.slot_busy = false;
	guest.count = 0;
	for (i = 0; i < DEVICES - 1; i++) {
		if (devices[i].channel == NULL) {
			EXPECT(device_offer(guest.bus, &devices[i], i, 0) == 0);
		}
	}
	EXPECT(guest_contact(VERSION_WIN10_V5_3));
	count = guest_offers(relids, DEVICES);
	EXPECT(count == DEVICES - 1);
	for (i = 0; i < DEVICES - 1; i++) {
		EXPECT(guest_open(&channel, relids[i], 100 + i, 8, 40, 0) == 0);
		EXPECT(devices[i].is_open);
	}
	EXPECT(guest.connections == DEVICES - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t i;

	fuzz_begin(data, size);
	memset(devices, 0, sizeof(devices));
	devices[0].by_page = devices[DEVICES - 1].by_page = true;
	guest_create();
	for (i = 0; i < DEVICES - 1; i++) {
		EXPECT(device_offer(guest.bus, &devices[i], i, 0) == 0);
	}
	if (fuzz_byte() & 1) {
		EXPECT(guest_contact(VERSION_WIN10_V5_3));
		guest_offers(NULL, 0);
	}
	for (i = 0; i < MIN_STEPS || fuzz_more(); i++) {
		step();
	}
	let_all_go();
	vmbus_reset(guest.bus);
	EXPECT(guest.connections == 0);
	a_good_guest();
	guest_destroy();
	return 0;
}
