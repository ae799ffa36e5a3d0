/*
 * vmbus/state.c: a server is saved, destroyed and loaded into a new one, and the guest notices
 * nothing; what is damaged is refused by the name of its part, and changes nothing.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fake/part.h"
#include "tests/fake/vmbus_device.h"
#include "tests/fake/vmbus_guest.h"

#define RING_PAGES 8u
#define DEVICES    3u
#define FIRST      10u /* page of the first ring */

static struct fake_device devices[DEVICES], subs[2];
static struct guest_channel channels[DEVICES];
static uint32_t relids[DEVICES + 1];
static bool by_page; /* the first device's guest signals so */
static uint8_t *saved, *again;
static size_t size;
static struct state_fault fault;

/* ---- the test's machine ---- */

static void offer_devices(void)
{
	unsigned i;

	memset(devices, 0, sizeof(devices));
	memset(subs, 0, sizeof(subs));
	devices[0].by_page = by_page;
	for (i = 0; i < DEVICES; i++) {
		assert_int_equal(device_offer(guest.bus, &devices[i], i + 1, 0), 0);
	}
}

static int setup(void **state)
{
	(void)state;
	guest_create();
	by_page = false;
	offer_devices();
	saved = again = NULL;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	guest_destroy();
	free(saved);
	free(again);
	return 0;
}

static void connect(uint32_t version)
{
	assert_true(guest_contact(version));
	assert_int_equal(guest_offers(relids, DEVICES + 1), DEVICES);
}

static void open_all(void)
{
	unsigned i;

	for (i = 0; i < DEVICES; i++) {
		assert_int_equal(guest_open(&channels[i], relids[i + 1], 0xe1e10 + i, RING_PAGES,
					    FIRST + 32 * i, i),
				 0);
	}
}

static uint8_t *save(void)
{
	return guest_save(NULL, &size);
}

/* The old machine goes, without a word to its guest; the new one has the same devices, and is
 * paused. */
static void new_machine(void)
{
	guest_restart();
	offer_devices();
	vmbus_pause(guest.bus);
}

static int load(const uint8_t *from, size_t bytes)
{
	struct state_reader all = state_reader(from, bytes, &fault);
	int ret = vmbus_load(guest.bus, &all);

	if (ret == 0) {
		state_finish(&all);
		assert_true(state_ok(&all));
	}
	return ret;
}

/* Saved, loaded, saved again: the same bytes. */
static void migrate(void)
{
	size_t before;

	free(saved);
	free(again);
	vmbus_pause(guest.bus);
	saved = save();
	before = size;
	new_machine();
	assert_int_equal(load(saved, size), 0);
	again = save();
	assert_int_equal(size, before);
	assert_memory_equal(saved, again, size);
	vmbus_resume(guest.bus);
}

/* A request of the guest's and its answer. */
static void exchange(unsigned i)
{
	struct vmbus_packet packet;
	struct guest_packet answer;
	struct iovec payload = {(void *)"answer", 6};

	assert_true(
		guest_send(&channels[i], VM_PKT_DATA_INBAND, 77 + i, 1, NULL, 0, "question", 8));
	assert_int_equal(channel_receive(devices[i].channel, &packet), 1);
	assert_int_equal(packet.transaction, 77 + i);
	assert_memory_equal(packet.payload, "question", 8);
	assert_int_equal(channel_complete(devices[i].channel, 77 + i, &payload, 1), 0);
	assert_int_equal(channel_receive(devices[i].channel, &packet), 0);
	assert_true(guest_receive(&channels[i], &answer));
	assert_int_equal(answer.descriptor.trans_id, 77 + i);
	assert_memory_equal(answer.bytes + 16, "answer\0\0", 8);
}

/* ---- what goes over ---- */

static void a_server_without_a_guest(void **state)
{
	(void)state;
	migrate();
	connect(VERSION_WIN10_V5_3);
	open_all();
	exchange(0);
}

static void each_version(void **state)
{
	static const uint32_t versions[] = {VERSION_WS2008,    VERSION_WIN7,  VERSION_WIN8,
					    VERSION_WIN8_1,    VERSION_WIN10, VERSION_WIN10_V5_3,
					    VERSION_WIN10_V6_0};
	unsigned i;

	(void)state;
	for (i = 0; i < ARRAY_COUNT(versions); i++) {
		connect(versions[i]);
		migrate();
		open_all();
		exchange(1);
		vmbus_reset(guest.bus);
		guest.first = guest.count = 0;
	}
}

static void open_channels_of_a_version(uint32_t version)
{
	unsigned i, turn;

	connect(version);
	open_all();
	for (turn = 0; turn < 300; turn++) { /* several times round the rings */
		exchange(turn % DEVICES);
		if (turn % 7 == 0) {
			migrate();
		}
	}
	for (i = 0; i < DEVICES; i++) {
		assert_int_equal(devices[i].opened, 1);
		assert_true(guest_close(&channels[i]));
	}
	assert_true(guest_silent());
}

static void open_channels_go_on(void **state)
{
	(void)state;
	open_channels_of_a_version(VERSION_WIN10_V5_3);
}

/* A signal that was in its page when the machine stood still is not lost. */
static void open_channels_with_an_interrupt_page_go_on(void **state)
{
	(void)state;
	open_channels_of_a_version(VERSION_WS2008);
	assert_int_equal(guest_open(&channels[0], relids[1], 0xe1e20, RING_PAGES, FIRST, 0), 0);
	memset(guest_page(GUEST_INTERRUPT_PAGE) + VMBUS_PAGE_SIZE / 2, 0xff, 8);
	migrate();
	channel_clear_event(devices[0].channel);
	assert_false(device_is_signalled(&devices[0]));
	vmbus_serve(guest.bus);
	assert_true(device_is_signalled(&devices[0]));
}

/* Packets that nobody has read, answers that the guest has not read, and a device that waits for
 * room. */
static void set_by_page(bool value)
{
	by_page = value;
	guest_restart();
	offer_devices();
}

/* A bit that was set when the machine stood still is not lost. */
static void open_channels_that_signal_by_page_go_on(void **state)
{
	(void)state;
	memset(guest_page(GUEST_MONITOR_PAGE), 0, VMBUS_PAGE_SIZE);
	set_by_page(true);
	open_channels_of_a_version(VERSION_WIN10_V5_3);
	assert_int_equal(guest_open(&channels[0], relids[1], 0xe1e20, RING_PAGES, FIRST, 0), 0);
	vmbus_pause(guest.bus);
	guest_set_monitor(relids[1]);
	vmbus_resume(guest.bus);
	migrate();
	assert_int_equal(guest.acquired[GUEST_MONITOR_PAGE], 1);
	channel_clear_event(devices[0].channel);
	guest_set_monitor(relids[1]);
	assert_true(device_is_signalled(&devices[0]));
}

/* The guest has been told the one way, and will not notice the other. */
static void a_device_that_signals_another_way_is_refused(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < 2; i++) {
		set_by_page(i == 0);
		connect(VERSION_WIN10_V5_3);
		open_all();
		vmbus_pause(guest.bus);
		free(saved);
		saved = save();
		by_page = i != 0;
		new_machine();
		assert_int_equal(load(saved, size), -EINVAL);
		assert_string_equal(fault.part, "channel");
		assert_non_null(strstr(fault.what, "signals="));
		vmbus_resume(guest.bus);
	}
}

static void full_rings_go_on(void **state)
{
	static uint8_t bytes[512];
	struct iovec payload = {bytes, sizeof(bytes)};
	unsigned sent = 0, answered = 0, i;
	struct vmbus_packet packet;
	struct guest_packet answer;

	(void)state;
	connect(VERSION_WIN10_V5_3);
	open_all();
	while (guest_send(&channels[0], VM_PKT_DATA_INBAND, sent, 1, NULL, 0, bytes, 100)) {
		sent++;
	}
	while (channel_complete(devices[0].channel, answered, &payload, 1) == 0) {
		answered++;
	}
	migrate();
	assert_int_equal(channel_complete(devices[0].channel, answered, &payload, 1), -EAGAIN);
	channel_clear_event(devices[0].channel);
	for (i = 0; i < answered; i++) {
		assert_true(guest_receive(&channels[0], &answer));
		assert_int_equal(answer.descriptor.trans_id, i);
	}
	assert_true(device_is_signalled(&devices[0])); /* there is room */
	for (i = 0; i < sent; i++) {
		assert_int_equal(channel_receive(devices[0].channel, &packet), 1);
		assert_int_equal(packet.transaction, i);
	}
	assert_int_equal(channel_receive(devices[0].channel, &packet), 0);
	exchange(0);
}

/* Who waits for a signal gets it after the resume. */
static void the_event_is_signalled(void **state)
{
	(void)state;
	connect(VERSION_WIN10_V5_3);
	open_all();
	migrate();
	assert_true(device_is_signalled(&devices[2]));
}

static void the_target_vp_goes_over(void **state)
{
	struct vmbus_channel_modifychannel move = {.header.msgtype = CHANNELMSG_MODIFYCHANNEL,
						   .target_vp = 3};

	(void)state;
	connect(VERSION_WIN10_V5_3);
	open_all();
	move.child_relid = channels[0].relid;
	guest_post(&move, sizeof(move));
	assert_non_null(guest_take(CHANNELMSG_MODIFYCHANNEL_RESPONSE));
	migrate();
	assert_int_equal(channel_target_vp(devices[0].channel), 3);
	exchange(0);
	assert_true(guest_signals(3, channels[0].relid) > 0);
}

/* Messages that nobody has acted on, and those that the guest had no room for. */
static void messages_go_over(void **state)
{
	struct vmbus_channel_relid close = {.header.msgtype = CHANNELMSG_CLOSECHANNEL};

	(void)state;
	connect(VERSION_WIN10_V5_3);
	open_all();
	guest.slot_busy = true;
	assert_int_equal(guest_gpadl(relids[1], 42, (uint32_t[]){400, 401}, 2), -1);
	close.child_relid = relids[2];
	assert_int_equal(vmbus_message(guest.bus, VMBUS_MESSAGE_CONNECTION_ID_4, VMBUS_MESSAGE_TYPE,
				       &close, sizeof(close)),
			 0);
	migrate();
	guest.slot_busy = false;
	assert_non_null(guest_take(CHANNELMSG_GPADL_CREATED));
	assert_int_equal(devices[1].closing, 1);
}

/* Half of a GPADL, and one that is wanted back while it is in use. */
static void gpadls_go_over(void **state)
{
	struct {
		struct vmbus_channel_gpadl_header header;
		uint32_t byte_count, byte_offset;
		uint64_t numbers[1];
	} __attribute__((packed)) head = {
		.header = {.header.msgtype = CHANNELMSG_GPADL_HEADER,
			   .gpadl = 43,
			   .range_buflen = 8 + 8 * 3,
			   .rangecount = 1},
		.byte_count = 3 * VMBUS_PAGE_SIZE,
		.numbers = {450},
	};
	struct {
		struct vmbus_channel_gpadl_body header;
		uint64_t numbers[2];
	} __attribute__((packed)) body = {
		.header = {.header.msgtype = CHANNELMSG_GPADL_BODY, .gpadl = 43},
		.numbers = {452, 451},
	};
	struct vmbus_channel_gpadl_teardown teardown = {.header.msgtype = CHANNELMSG_GPADL_TEARDOWN,
							.gpadl = 42};
	struct vmbus_gpadl *gpadl;
	struct iovec iov[3];

	(void)state;
	connect(VERSION_WIN10_V5_3);
	open_all();
	head.header.child_relid = teardown.child_relid = relids[1];
	assert_int_equal(guest_gpadl(relids[1], 42, (uint32_t[]){400, 401}, 2), 0);
	gpadl = channel_gpadl_get(devices[0].channel, 42);
	assert_non_null(gpadl);
	guest_post(&head, sizeof(head));
	guest_post(&teardown, sizeof(teardown));
	assert_true(guest_silent());
	devices[0].kept = gpadl;
	vmbus_pause(guest.bus);
	saved = save();
	channel_gpadl_put(devices[0].channel, gpadl);
	new_machine();
	devices[0].takes = 42; /* in opened(), as it had it */
	assert_int_equal(load(saved, size), 0);
	vmbus_resume(guest.bus);
	assert_non_null(devices[0].kept);
	assert_true(guest_silent());
	channel_gpadl_put(devices[0].channel, devices[0].kept);
	assert_non_null(guest_take(CHANNELMSG_GPADL_TORNDOWN));
	guest_post(&body, sizeof(body));
	assert_non_null(guest_take(CHANNELMSG_GPADL_CREATED));
	gpadl = channel_gpadl_get(devices[0].channel, 43);
	assert_int_equal(gpadl_range(gpadl, 0, 3 * VMBUS_PAGE_SIZE, iov, 3), 3);
	assert_ptr_equal(iov[1].iov_base, guest_page(452));
	channel_gpadl_put(devices[0].channel, gpadl);
}

/* A device that does not take up what it held has let go of it. */
static void a_gpadl_that_nobody_takes_up(void **state)
{
	struct vmbus_channel_gpadl_teardown teardown = {.header.msgtype = CHANNELMSG_GPADL_TEARDOWN,
							.gpadl = 42};
	struct vmbus_gpadl *gpadl;

	(void)state;
	connect(VERSION_WIN10_V5_3);
	open_all();
	teardown.child_relid = relids[1];
	assert_int_equal(guest_gpadl(relids[1], 42, (uint32_t[]){400, 401}, 2), 0);
	gpadl = channel_gpadl_get(devices[0].channel, 42);
	guest_post(&teardown, sizeof(teardown));
	assert_true(guest_silent());
	vmbus_pause(guest.bus);
	saved = save();
	channel_gpadl_put(devices[0].channel, gpadl);
	new_machine();
	assert_int_equal(load(saved, size), 0);
	vmbus_resume(guest.bus);
	assert_non_null(guest_take(CHANNELMSG_GPADL_TORNDOWN));
}

/* Channels in all states: broken, declined, rescinded and not yet released, sub-channels. */
static void all_states_go_over(void **state)
{
	struct vmbus_channel_relid message = {.header.msgtype = CHANNELMSG_RELID_RELEASED};
	uint32_t sub;

	(void)state;
	connect(VERSION_WIN10_V5_3);
	assert_int_equal(guest_open(&channels[0], relids[1], 0xe1e10, RING_PAGES, FIRST, 0), 0);
	channel_break(devices[0].channel, "a test");
	vmbus_serve(guest.bus);
	assert_int_equal(devices[0].closing, 1);
	message.child_relid = relids[2];
	guest_post(&message, sizeof(message)); /* declined */
	vmbus_rescind(devices[2].channel);
	assert_non_null(guest_take(CHANNELMSG_RESCIND_CHANNELOFFER));
	assert_int_equal(devices[2].released, 1);
	assert_int_equal(device_offer(guest.bus, &devices[2], 3, 0), 0); /* its successor waits */
	assert_true(guest_silent());
	assert_int_equal(device_offer(guest.bus, &subs[0], 1, 1), 0);
	sub = ((const struct vmbus_channel_offer_channel *)guest_take(CHANNELMSG_OFFERCHANNEL))
		      ->child_relid;
	vmbus_pause(guest.bus);
	saved = save();
	new_machine();
	assert_int_equal(device_offer(guest.bus, &subs[0], 1, 1), 0); /* as its device does */
	assert_int_equal(load(saved, size), 0);
	again = save();
	assert_memory_equal(saved, again, size);
	vmbus_resume(guest.bus);
	assert_true(guest_silent());
	assert_int_equal(guest_open(&channels[1], sub, 0xe1e11, RING_PAGES, FIRST + 64, 0), 0);
	assert_int_equal(subs[0].opened, 1);
	guest_close(&channels[0]); /* the broken one */
	assert_int_equal(guest_open(&channels[0], relids[1], 0xe1e12, RING_PAGES, FIRST, 0), 0);
	exchange(0);
	message.child_relid = relids[3];
	guest_post(&message, sizeof(message)); /* the old number: the successor is offered */
	assert_non_null(guest_take(CHANNELMSG_OFFERCHANNEL));
	vmbus_reset(guest.bus);
	assert_int_equal(subs[0].released, 1);
}

/* The new machine has one device more: the guest is offered it. */
static void a_new_device_is_offered(void **state)
{
	const struct vmbus_channel_offer_channel *offer;
	static struct fake_device more;

	(void)state;
	connect(VERSION_WIN10_V5_3);
	open_all();
	vmbus_pause(guest.bus);
	saved = save();
	guest_restart();
	assert_int_equal(device_offer(guest.bus, &more, 9, 0), 0); /* with the lowest number */
	offer_devices();
	vmbus_pause(guest.bus);
	assert_int_equal(load(saved, size), 0);
	vmbus_resume(guest.bus);
	offer = guest_take(CHANNELMSG_OFFERCHANNEL);
	assert_non_null(offer);
	assert_int_equal(offer->offer.if_instance.data1, 9);
	assert_int_equal(offer->child_relid, DEVICES + 1);
	exchange(0);
	vmbus_rescind(more.channel);
	vmbus_serve(guest.bus);
	assert_non_null(guest_take(CHANNELMSG_RESCIND_CHANNELOFFER));
}

/* ---- what is refused ---- */

static void make_state(void)
{
	set_by_page(true);
	connect(VERSION_WIN10_V5_3);
	open_all();
	guest.slot_busy = true;
	guest_gpadl(relids[1], 42, (uint32_t[]){400, 401}, 2);
	assert_int_equal(vmbus_message(guest.bus, VMBUS_MESSAGE_CONNECTION_ID_4, VMBUS_MESSAGE_TYPE,
				       "message", 7),
			 0);
	vmbus_pause(guest.bus);
	saved = save();
	guest.slot_busy = false;
}

/* Nothing is left of it: the server serves a guest from the beginning. */
static void expect_new(void)
{
	unsigned i;

	for (i = 0; i < GUEST_PAGES; i++) {
		assert_int_equal(atomic_load(&guest.acquired[i]), 0);
	}
	for (i = 0; i < DEVICES; i++) {
		assert_int_equal(devices[i].opened, devices[i].closing);
	}
	assert_int_equal(guest.connections, 0);
}

static void every_shorter_state_is_refused(void **state)
{
	size_t length;

	(void)state;
	make_state();
	new_machine();
	for (length = 0; length < size; length += test_part()) {
		uint8_t *copy = malloc(length + 1);

		memcpy(copy, saved, length);
		assert_int_equal(load(copy, length), -EINVAL);
		assert_non_null(fault.what);
		free(copy);
	}
	expect_new();
	vmbus_resume(guest.bus);
	guest.first = guest.count = 0;
	connect(VERSION_WIN10_V5_3);
	open_all();
	exchange(0);
}

/* Each bit: refused with a part's name, or loaded, and then it runs and ends. */
static void every_other_bit(void **state)
{
	static const char *const names[] = {"vmbus", "in",      "out", "monitor",
					    "gpadl", "channel", "ring"};
	unsigned refused = 0, i, name;

	(void)state;
	make_state();
	new_machine();
	for (i = 0; i < size * 8; i += (unsigned)test_part()) {
		int ret;

		saved[i / 8] ^= (uint8_t)(1 << i % 8);
		ret = load(saved, size);
		saved[i / 8] ^= (uint8_t)(1 << i % 8);
		if (ret == -EINVAL) {
			refused++;
			for (name = 0;
			     name < ARRAY_COUNT(names) && strcmp(fault.part, names[name]) != 0;
			     name++) {
			}
			assert_non_null(fault.what);
			assert_true(name < ARRAY_COUNT(names) || fault.part[0] == 0 ||
				    strlen(fault.part) <= STATE_NAME_BYTES);
		} else {
			assert_int_equal(ret, 0);
			vmbus_resume(guest.bus);
			vmbus_serve(guest.bus);
			new_machine();
		}
		expect_new();
	}
	assert_true(refused > size / test_part()); /* the rest are user data, counts and the like */
}

/* Finds a value of the state's and changes it: the fault says which part and why. */
static void expect_refused(const void *value, size_t bytes, unsigned skip, size_t offset,
			   uint8_t to, const char *part, const char *what)
{
	uint8_t *at = saved, before;

	do {
		at = memmem(at, size - (size_t)(at - saved), value, bytes) + (skip > 0);
		assert_non_null(at);
	} while (skip-- > 0);
	before = at[offset];
	at[offset] = to;
	assert_int_equal(load(saved, size), -EINVAL);
	assert_string_equal(fault.part, part);
	assert_non_null(strstr(fault.what, what));
	at[offset] = before;
	expect_new();
}

static void faults_are_named(void **state)
{
	(void)state;
	make_state();
	new_machine();
	expect_refused("vmbus", 5, 0, 16, 9, "vmbus", "a version that is not spoken");
	expect_refused("vmbus", 5, 0, 24, 2, "vmbus", "neither yes nor no");
	expect_refused("in\0", 3, 0, 16, 9, "in", "another connection");
	expect_refused("monitor", 7, 0, 24, 9, "channel", "another way");
	expect_refused("monitor", 7, 0, 24, 0, "monitor", "a number that is none");
	expect_refused("monitor", 7, 0, 16, 8, "vmbus", "a monitor page that cannot be");
	expect_refused("gpadl", 5, 0, 20, 9, "gpadl", "channel that is not there");
	expect_refused("gpadl", 5, 0, 24, 3, "gpadl", "cannot be");
	expect_refused("gpadl", 5, 0, 32, 9, "gpadl", "cannot be");
	expect_refused("gpadl", 5, 0, 45, 9, "gpadl", "not RAM");
	expect_refused("channel", 7, 0, 0, 'd', "vmbus", "too long");
	expect_refused("channel", 7, 0, 34, 9, "channel", "a device that this machine has not");
	expect_refused("channel", 7, 0, 50, 0, "channel", "a number that is none");
	expect_refused("channel", 7, 0, 54, 3 /* closing */, "channel", "a state that cannot be");
	expect_refused("ring", 4, 0, 8, 2, "ring", "newer version");
	expect_refused("ring", 4, 0, 20, 9, "channel", "a ring that cannot be");
	expect_refused("ring", 4, 0, 28, 7, "channel", "a ring that cannot be");
}

/* A device that does not open again: the server is there, and nothing of the state is. */
static void a_device_that_fails(void **state)
{
	(void)state;
	make_state();
	new_machine();
	devices[1].refuse = -ENOMEM;
	assert_int_equal(load(saved, size), -ENOMEM);
	devices[1].refuse = 0;
	devices[1].opened = devices[1].closing = 0;
	expect_new();
	guest.no_connections = true;
	assert_int_not_equal(load(saved, size), 0);
	guest.no_connections = false;
	expect_new();
	assert_int_equal(load(saved, size), 0);
	vmbus_resume(guest.bus);
	exchange(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(a_server_without_a_guest),
		TEST(each_version),
		TEST(open_channels_go_on),
		TEST(open_channels_with_an_interrupt_page_go_on),
		TEST(open_channels_that_signal_by_page_go_on),
		TEST(a_device_that_signals_another_way_is_refused),
		TEST(full_rings_go_on),
		TEST(the_event_is_signalled),
		TEST(the_target_vp_goes_over),
		TEST(messages_go_over),
		TEST(gpadls_go_over),
		TEST(a_gpadl_that_nobody_takes_up),
		TEST(all_states_go_over),
		TEST(a_new_device_is_offered),
		TEST(every_shorter_state_is_refused),
		TEST(every_other_bit),
		TEST(faults_are_named),
		TEST(a_device_that_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
