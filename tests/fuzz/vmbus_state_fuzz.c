/*
 * A saved state of VMBus that somebody has worked on: a good one with the input's changes, cut
 * where it says. It is refused with nothing changed, or loaded; then it is saved again, the guest
 * goes on and the server ends, and nothing is left acquired.
 */
#include "tests/fake/vmbus_device.h"
#include "tests/fake/vmbus_guest.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

#define DEVICES 3u
#define STATE   8192u

static struct fake_device devices[DEVICES];
static struct guest_channel channel;
static uint8_t good[STATE], state[STATE];
static size_t good_size;

/* The second device has left when the state is saved. */
static void machine(unsigned int step)
{
	unsigned int i;

	memset(devices, 0, sizeof(devices));
	devices[0].by_page = true;
	for (i = 0; i < DEVICES; i += step) {
		EXPECT(device_offer(guest.bus, &devices[i], i + 1, (uint16_t)(i / 2)) == 0);
	}
	vmbus_pause(guest.bus);
}

static size_t save(uint8_t *to)
{
	struct state_writer writer = state_writer(to, STATE);

	vmbus_save(guest.bus, &writer);
	EXPECT(state_fits(&writer));
	return writer.used;
}

/* One channel open, one revoked, a sub-channel; GPADLs that are there, half there and wanted back;
 * messages both ways. */
static void make_good_state(void)
{
	uint32_t relids[DEVICES + 1] = {0}, pages[] = {400, 410, 420};
	struct vmbus_gpadl *held;
	struct {
		struct vmbus_channel_gpadl_header header;
		uint32_t byte_count, byte_offset;
		uint64_t numbers[1];
	} __attribute__((packed)) arriving = {
		.header = {.header.msgtype = CHANNELMSG_GPADL_HEADER,
			   .gpadl = 44,
			   .range_buflen = 8 + 8 * 2,
			   .rangecount = 1},
		.byte_count = 2 * VMBUS_PAGE_SIZE,
		.numbers = {450},
	};
	struct vmbus_channel_gpadl_teardown teardown = {.header.msgtype = CHANNELMSG_GPADL_TEARDOWN,
							.gpadl = 43};

	guest_create();
	machine(1);
	vmbus_resume(guest.bus);
	EXPECT(guest_contact(VERSION_WIN10_V5_3));
	EXPECT(guest_offers(relids, DEVICES + 1) > 0);
	EXPECT(guest_open(&channel, relids[1], 42, 8, 10, 1) == 0);
	EXPECT(guest_gpadl(relids[1], 43, pages, 3) == 0);
	held = channel_gpadl_get(devices[0].channel, 43);
	arriving.header.child_relid = teardown.child_relid = relids[1];
	guest_post(&arriving, sizeof(arriving));
	guest_post(&teardown, sizeof(teardown));
	vmbus_rescind(devices[1].channel);
	guest.slot_busy = true;
	vmbus_serve(guest.bus);
	vmbus_pause(guest.bus);
	EXPECT(vmbus_message(guest.bus, VMBUS_MESSAGE_CONNECTION_ID_4, VMBUS_MESSAGE_TYPE,
			     &teardown, sizeof(teardown)) == 0);
	good_size = save(good);
	channel_gpadl_put(devices[0].channel, held);
	guest_destroy();
}

/* Each change is three bytes: where, and what to. The last one may cut. */
static size_t change(const uint8_t *data, size_t size)
{
	size_t used = good_size;

	memcpy(state, good, good_size);
	for (; size >= 4; data += 4, size -= 4) {
		size_t at = (data[0] | (size_t)data[1] << 8) % good_size;

		if (data[2] % 64 == 63) {
			used = at;
		} else if (data[2] & 1) {
			state[at] = data[3];
		} else {
			state[at] ^= (uint8_t)(1 << data[3] % 8);
		}
	}
	return used;
}

static void expect_nothing(void)
{
	uint32_t i;

	for (i = 0; i < GUEST_PAGES; i++) {
		EXPECT(guest.acquired[i] == 0);
	}
	EXPECT(guest.connections == 0);
	for (i = 0; i < DEVICES; i++) {
		EXPECT(!devices[i].is_open);
	}
}

/* What a guest may do next; the channel's thread is the fuzzer. */
static void go_on(void)
{
	struct vmbus_channel_message_header unload = {.msgtype = CHANNELMSG_UNLOAD};
	struct vmbus_packet packet;
	unsigned int i;

	vmbus_resume(guest.bus);
	for (i = 0; i < DEVICES; i++) {
		while (devices[i].is_open && channel_receive(devices[i].channel, &packet) == 1) {
		}
		if (devices[i].is_open) {
			(void)!channel_complete(devices[i].channel, 1, NULL, 0);
			channel_flush(devices[i].channel);
		}
	}
	vmbus_serve(guest.bus);
	guest_post(&unload, sizeof(unload));
	vmbus_serve(guest.bus);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t again[STATE];
	struct state_fault fault;
	struct state_reader all;
	size_t used;

	if (good_size == 0) {
		make_good_state();
	}
	guest_create();
	machine(2);
	used = change(data, size);
	all = state_reader(state, used, &fault);
	if (vmbus_load(guest.bus, &all) != 0) {
		EXPECT(fault.what != NULL);
		expect_nothing();
	} else {
		used = (size_t)(all.at - state);
		/* More: a device that is not in the state. */
		size = save(again);
		EXPECT(size > used || (size == used && memcmp(again, state, used) == 0));
		go_on();
	}
	guest_destroy();
	return 0;
}
