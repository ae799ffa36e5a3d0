/*
 * The thread of a channel: a device that answers every packet, some of them later, on the thread's
 * own sleep and on one of the device's; a fake guest before it. The test's thread is the control
 * thread of VMBus.
 */
#include "tests/fake/vmbus_guest.h"
#include "vsp/channel.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#define ANSWERS 8u
#define FIRST   100u /* page of the ring */
#define LATER   1u /* flag in a packet: answered only when the device's event has been signalled */
#define RING    8u

struct answer {
	struct vsp_answer vsp;
	uint64_t payload[64];
	bool waits, used;
};

struct device {
	struct vsp_channel vsp;
	struct vmbus_channel *channel;
	bool own_sleep;
	int event; /* the device's own */
	int wake;
	int watched;
	_Atomic int policy; /* of its thread */
	_Atomic bool asleep, hold;
	struct answer answers[ANSWERS];
	_Atomic unsigned packets, works, paused, resumed, ends, closings, released, answered;
	_Atomic bool release; /* the later answers are due */
	unsigned waiting;
	bool open, joined, ended;
};

static struct device device;
static struct guest_channel channel;
static uint32_t relid;

/* ---- the device ---- */

static struct answer *free_answer(struct device *d)
{
	unsigned i;

	for (i = 0; i < ANSWERS && d->answers[i].used; i++) {
	}
	return i < ANSWERS ? &d->answers[i] : NULL;
}

static void send_later_ones(struct device *d)
{
	unsigned i;

	for (i = 0; i < ANSWERS; i++) {
		if (d->answers[i].waits) {
			d->answers[i].waits = false;
			d->waiting--;
			vsp_answer(&d->vsp, &d->answers[i].vsp);
		}
	}
}

static bool work(void *context)
{
	struct device *d = context;
	bool any = d->waiting > 0 && (d->ended || atomic_load(&d->release));

	atomic_fetch_add(&d->works, 1);
	atomic_store(&d->policy, sched_getscheduler(0));
	while (atomic_load(&d->hold)) {
		usleep(10);
	}
	if (any) {
		send_later_ones(d);
	}
	return any;
}

static bool ready(void *context)
{
	return free_answer(context) != NULL;
}

static void packet(void *context, const struct vmbus_packet *packet)
{
	struct device *d = context;
	struct answer *answer = free_answer(d);
	uint64_t flags;

	CHECK(answer != NULL && !d->ended && packet->payload_bytes <= sizeof(answer->payload));
	atomic_fetch_add(&d->packets, 1);
	memcpy(answer->payload, packet->payload, packet->payload_bytes);
	memcpy(&flags, packet->payload, sizeof(flags));
	answer->vsp.transaction = packet->transaction;
	answer->vsp.payload = answer->payload;
	answer->vsp.bytes = packet->payload_bytes;
	answer->used = true;
	if (flags & LATER) {
		answer->waits = true;
		d->waiting++;
	} else {
		vsp_answer(&d->vsp, &answer->vsp);
	}
}

static void sent(void *context, struct vsp_answer *answer)
{
	struct device *d = context;

	((struct answer *)answer)->used = false;
	atomic_fetch_add(&d->answered, 1);
}

static void do_pause(void *context)
{
	struct device *d = context;

	CHECK(!d->ended);
	atomic_fetch_add(&d->paused, 1);
}

static void resume(void *context)
{
	struct device *d = context;

	atomic_fetch_add(&d->resumed, 1);
}

static void end(void *context)
{
	struct device *d = context;

	atomic_fetch_add(&d->ends, 1);
	d->ended = true;
}

static bool busy(void *context)
{
	const struct device *d = context;

	return d->waiting > 0;
}

static void do_closed(void *context)
{
	struct device *d = context;

	CHECK(d->ended && !d->waiting && d->watched < 0);
}

static void sleep_here(void *context)
{
	struct device *d = context;
	struct pollfd fds[2] = {{d->wake, POLLIN, 0}, {d->watched, POLLIN, 0}};
	uint64_t count;
	unsigned i;

	atomic_store(&d->asleep, true);
	poll(fds, 2, -1);
	atomic_store(&d->asleep, false);
	for (i = 0; i < 2; i++) {
		if ((fds[i].revents & POLLIN) && read(fds[i].fd, &count, sizeof(count)) < 0) {
			abort();
		}
	}
}

static void wake_here(void *context)
{
	const struct device *d = context;

	eventfd_write(d->wake, 1);
}

static void watch_here(void *context, int event)
{
	((struct device *)context)->watched = event;
}

#define FUNCTIONS                                                                                  \
	.work = work, .ready = ready, .packet = packet, .sent = sent, .pause = do_pause,           \
	.resume = resume, .end = end, .busy = busy, .closed = do_closed

static const struct vsp_class polls = {FUNCTIONS};
static const struct vsp_class sleeps = {FUNCTIONS, .sleep = sleep_here, .wake = wake_here,
					.watch = watch_here};

static void join(struct device *d)
{
	if (d->open && !d->joined) {
		vsp_join(&d->vsp);
		d->joined = true;
	}
}

static int opened(void *context, struct vmbus_channel *at)
{
	struct device *d = context;

	join(d);
	memset(d->answers, 0, sizeof(d->answers));
	d->waiting = 0;
	d->ended = d->joined = false;
	d->open = true;
	return d->own_sleep ? vsp_start(&d->vsp, &sleeps, d, at, NULL, 0)
			    : vsp_start(&d->vsp, &polls, d, at, &d->event, 1);
}

static void closing(void *context, struct vmbus_channel *at)
{
	struct device *d = context;

	(void)at;
	atomic_fetch_add(&d->closings, 1);
	vsp_close(&d->vsp);
}

static void pausing(void *context, struct vmbus_channel *at)
{
	(void)at;
	vsp_pause(&((struct device *)context)->vsp);
}

static void resumed(void *context, struct vmbus_channel *at)
{
	(void)at;
	vsp_resume(&((struct device *)context)->vsp);
}

static void released(void *context, struct vmbus_channel *at)
{
	struct device *d = context;

	(void)at;
	join(d);
	atomic_fetch_add(&d->released, 1);
}

static const struct vmbus_class class = {
	.name = "echo",
	.max_packet_bytes = 1024,
	.opened = opened,
	.closing = closing,
	.released = released,
	.pausing = pausing,
	.resumed = resumed,
};

/* ---- the test ---- */

static void serve(void)
{
	struct pollfd fd = {vmbus_fd(guest.bus), POLLIN, 0};

	poll(&fd, 1, 1);
	vmbus_serve(guest.bus);
}

static int start(bool own_sleep)
{
	struct vmbus_offer offer = {
		.type = VMBUS_GUID_SCSI, .instance.data1 = 1, .class = &class, .device = &device};
	uint32_t relids[2];

	memset(&device, 0, sizeof(device));
	device.own_sleep = own_sleep;
	device.event = eventfd(0, EFD_NONBLOCK);
	device.wake = eventfd(0, EFD_NONBLOCK);
	device.watched = -1;
	guest_create();
	assert_int_equal(vmbus_offer(guest.bus, &offer, &device.channel), 0);
	assert_true(guest_contact(VERSION_WIN10_V5_3));
	assert_int_equal(guest_offers(relids, 2), 1);
	relid = relids[1];
	assert_int_equal(guest_open(&channel, relid, 0xe1e10, RING, FIRST, 1), 0);
	return 0;
}

static int start_polls(void **state)
{
	(void)state;
	return start(false);
}

static int start_sleeps(void **state)
{
	(void)state;
	return start(true);
}

static int stop(void **state)
{
	(void)state;
	guest_destroy();
	close(device.event);
	close(device.wake);
	assert_int_equal(device.released, 1);
	assert_int_equal(device.ends, device.closings);
	return 0;
}

static bool try_send(uint64_t id, uint64_t flags, uint32_t bytes)
{
	uint64_t payload[64] = {flags, id};

	return guest_send(&channel, VM_PKT_DATA_INBAND, id, 1, NULL, 0, payload, bytes);
}

static void expect_answer(uint64_t id)
{
	struct guest_packet answer;
	uint64_t payload[2];

	while (!guest_receive(&channel, &answer)) {
		serve();
	}
	assert_int_equal(answer.descriptor.type, VM_PKT_COMP);
	assert_int_equal(answer.descriptor.trans_id, id);
	memcpy(payload, answer.bytes + 16, sizeof(payload));
	assert_int_equal(payload[1], id);
}

static void make_due(void)
{
	atomic_store(&device.release, true);
	if (device.own_sleep) {
		vsp_wake(&device.vsp);
	} else {
		eventfd_write(device.event, 1);
	}
}

static void wait_for_packets(unsigned count)
{
	while (atomic_load(&device.packets) < count) {
		serve();
	}
}

static void close_and_wait(void)
{
	if (!guest_close(&channel)) {
		while (guest_take(CHANNELMSG_GPADL_TORNDOWN) == NULL) {
			serve();
		}
	}
}

static void test_answers(void **state)
{
	uint64_t id;

	(void)state;
	for (id = 1; id < 100; id++) {
		assert_true(try_send(id, 0, 64));
		expect_answer(id);
	}
	assert_int_equal(atomic_load(&device.answered), 99);
}

/* A turn of so many packets; the policy that its thread had in it. */
static int take_turn(unsigned packets)
{
	unsigned i;

	while (!atomic_load(&device.asleep)) {
		usleep(10);
	}
	atomic_store(&device.hold, true);
	for (i = 1; i <= packets; i++) {
		assert_true(try_send(i, 0, 64));
	}
	atomic_store(&device.hold, false);
	for (i = 1; i <= packets; i++) {
		expect_answer(i);
	}
	return atomic_load(&device.policy);
}

/* Whether the thread waits for its turn is tried now and then, and kept up while that brings
 * company. */
static void test_place(void **state)
{
	unsigned turns = 0, i;

	(void)state;
	if (!device.own_sleep) {
		return; /* of that sleep it cannot be seen from here when it begins */
	}
	while (take_turn(1) == SCHED_OTHER) {
		assert_in_range(++turns, 1, 1000);
	}
	assert_in_range(turns, 100, 1000);
	for (i = 0; i < 200; i++) {
		assert_int_equal(take_turn(5), SCHED_BATCH);
	}
	turns = 0;
	while (take_turn(1) == SCHED_BATCH) {
		assert_in_range(++turns, 1, 200);
	}
}

/* The device's own event, or a wake, makes its work done; meanwhile packets are served. */
static void test_later_answers(void **state)
{
	(void)state;
	assert_true(try_send(1, LATER, 64));
	assert_true(try_send(2, 0, 64));
	expect_answer(2);
	make_due();
	expect_answer(1);
}

/* With all of its answers in use it takes no packet; nothing is lost. */
static void test_not_ready(void **state)
{
	uint64_t id;

	(void)state;
	for (id = 1; id <= ANSWERS + 3; id++) {
		assert_true(try_send(id, LATER, 64));
	}
	wait_for_packets(ANSWERS);
	for (id = 0; id < 5; id++) {
		serve();
	}
	assert_int_equal(atomic_load(&device.packets), ANSWERS);
	make_due();
	for (id = 1; id <= ANSWERS + 3; id++) {
		expect_answer(id);
	}
}

/* Answers that have no room wait in order; the guest makes room and signals. */
static void test_no_room(void **state)
{
	unsigned sent_count = 0, got = 0;

	(void)state;
	while (got < 2000) {
		if (sent_count < 2000 && try_send(sent_count + 1, 0, 512)) {
			sent_count++;
			continue;
		}
		expect_answer(++got);
	}
	assert_int_equal(sent_count, 2000);
}

/* A copy of what the device may not touch while it is paused. */
static void copy_ring(uint8_t *to)
{
	unsigned i;

	for (i = 0; i < RING; i++) {
		memcpy(to + i * VMBUS_PAGE_SIZE, guest_page(channel.pages[i]), VMBUS_PAGE_SIZE);
	}
}

static void expect_stands(void)
{
	static uint8_t before[RING * VMBUS_PAGE_SIZE], after[RING * VMBUS_PAGE_SIZE];
	unsigned packets = atomic_load(&device.packets), i;

	copy_ring(before);
	for (i = 0; i < 5; i++) {
		serve();
	}
	copy_ring(after);
	assert_memory_equal(before, after, sizeof(before));
	assert_int_equal(atomic_load(&device.packets), packets);
}

static void test_pause(void **state)
{
	struct guest_packet answer;

	(void)state;
	vmbus_pause(guest.bus);
	assert_int_equal(atomic_load(&device.paused), 1);
	assert_true(try_send(1, 0, 64));
	assert_true(try_send(2, 0, 64));
	expect_stands();
	assert_false(guest_receive(&channel, &answer));
	vmbus_resume(guest.bus);
	expect_answer(1);
	expect_answer(2);
	assert_int_equal(atomic_load(&device.resumed), 1);
}

/* What is under way ends before the pause is there: its answer is in the ring. */
static void test_pause_waits(void **state)
{
	struct guest_packet answer;

	(void)state;
	assert_true(try_send(1, LATER, 64));
	wait_for_packets(1);
	make_due();
	vmbus_pause(guest.bus);
	assert_true(guest_receive(&channel, &answer));
	assert_int_equal(answer.descriptor.trans_id, 1);
	expect_stands();
	vmbus_resume(guest.bus);
}

/* What is under way does not end, and the pause is given up: the channel goes on beside it, and the
 * next pause waits anew. */
static void test_pause_is_given_up(void **state)
{
	unsigned i;

	(void)state;
	assert_true(try_send(1, LATER, 64));
	wait_for_packets(1);
	for (i = 2; i < 50; i++) {
		vmbus_begin_pause(guest.bus);
		if (i % 3 == 0) {
			serve();
		}
		assert_false(vmbus_stands(guest.bus));
		vmbus_resume(guest.bus);
		assert_true(try_send(i, 0, 64));
		expect_answer(i);
	}
	vmbus_begin_pause(guest.bus);
	serve();
	assert_false(vmbus_stands(guest.bus));
	make_due();
	while (!vmbus_stands(guest.bus)) {
		serve();
	}
	expect_stands();
	vmbus_resume(guest.bus);
	expect_answer(1);
}

/* A pause that has just been reached when it is given up does not count for the next one. */
static void test_an_old_pause_is_no_new_one(void **state)
{
	unsigned i, packets;

	(void)state;
	for (i = 0; i < 2000; i++) {
		vmbus_begin_pause(guest.bus);
		if (i % 4 == 0) {
			usleep(i % 30);
		}
		vmbus_resume(guest.bus);
		try_send(i + 1, 0, 64);
		vmbus_pause(guest.bus);
		packets = atomic_load(&device.packets);
		if (i % 8 == 0) {
			usleep(20);
		}
		assert_int_equal(atomic_load(&device.packets), packets);
		vmbus_resume(guest.bus);
		while (atomic_load(&device.answered) <= i) {
			serve();
		}
		expect_answer(i + 1);
	}
}

/* The machine is reset while something does not end: the control thread sees when it has. */
static void test_reset_is_waited_for(void **state)
{
	(void)state;
	assert_true(try_send(1, LATER, 64));
	wait_for_packets(1);
	vmbus_begin_pause(guest.bus);
	vmbus_begin_reset(guest.bus);
	assert_int_equal(atomic_load(&device.closings), 1);
	while (!vmbus_is_reset(guest.bus)) {
		serve();
	}
	vmbus_resume(guest.bus);
	assert_int_equal(atomic_load(&device.ends), 1);
}

/* The guest makes no room while it stands: answers stay, and come after the resume. */
static void test_pause_without_room(void **state)
{
	unsigned count = 0, got = 0;

	(void)state;
	while (try_send(count + 1, 0, 512)) {
		count++;
		serve();
	}
	vmbus_pause(guest.bus);
	expect_stands();
	vmbus_resume(guest.bus);
	while (got < count) {
		expect_answer(++got);
	}
}

/* Nothing of the guest's is acted on while it is paused, and nothing goes to it. */
static void test_messages_wait(void **state)
{
	(void)state;
	vmbus_pause(guest.bus);
	assert_false(guest_close(&channel));
	assert_int_equal(atomic_load(&device.closings), 0);
	vmbus_resume(guest.bus);
	while (guest_take(CHANNELMSG_GPADL_TORNDOWN) == NULL) {
		serve();
	}
	assert_int_equal(guest_open(&channel, relid, 0xe1e10, RING, FIRST, 1), 0);
	assert_true(try_send(1, 0, 64));
	expect_answer(1);
}

static void test_reset_while_paused(void **state)
{
	(void)state;
	vmbus_pause(guest.bus);
	vmbus_reset(guest.bus);
	assert_int_equal(atomic_load(&device.closings), 1);
	vmbus_resume(guest.bus);
	assert_int_equal(atomic_load(&device.resumed), 0);
}

static void test_rescind_while_paused(void **state)
{
	(void)state;
	vmbus_pause(guest.bus);
	vmbus_rescind(device.channel);
	while (atomic_load(&device.released) == 0) {
		serve();
	}
	vmbus_resume(guest.bus);
	assert_non_null(guest_take(CHANNELMSG_RESCIND_CHANNELOFFER));
}

static void test_destroy_while_paused(void **state)
{
	(void)state;
	assert_true(try_send(1, 0, 64));
	vmbus_pause(guest.bus);
}

/* A broken channel pauses as well as any. */
static void test_break_and_pause(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < 50; i++) {
		channel.out.control->write_index = 12345;
		eventfd_write(guest.events[relid], 1);
		if (i % 2) {
			usleep(i * 20);
		}
		vmbus_pause(guest.bus);
		vmbus_resume(guest.bus);
		while (atomic_load(&device.closings) == i) {
			serve();
		}
		close_and_wait();
		assert_int_equal(guest_open(&channel, relid, 0xe1e10, RING, FIRST, 1), 0);
	}
}

/* ---- traffic on one thread, everything else on the other ---- */

static _Atomic bool enough;
static unsigned traffic_sent, traffic_got;

/* Sizes and delays change; each answer comes once and in order. */
static void *traffic(void *unused)
{
	struct guest_packet answer;

	(void)unused;
	while (!atomic_load(&enough) || traffic_got < traffic_sent) {
		if (!atomic_load(&enough) && traffic_sent - traffic_got < 200 &&
		    try_send(traffic_sent + 1, 0, 16 + (traffic_sent * 7 % 60) * 8)) {
			traffic_sent++;
		} else if (guest_receive(&channel, &answer)) {
			CHECK(answer.descriptor.trans_id == ++traffic_got);
		}
	}
	return NULL;
}

static void test_pause_at_any_time(void **state)
{
	pthread_t thread;
	unsigned i;

	(void)state;
	enough = false;
	traffic_sent = traffic_got = 0;
	assert_int_equal(pthread_create(&thread, NULL, traffic, NULL), 0);
	for (i = 0; i < 2000; i++) {
		unsigned packets;

		vmbus_pause(guest.bus);
		packets = atomic_load(&device.packets);
		if (i % 8 == 0) {
			usleep(i % 50);
		}
		assert_int_equal(atomic_load(&device.packets), packets);
		vmbus_resume(guest.bus);
		if (i % 3 == 0) {
			usleep(i % 100);
		}
		if (i % 5 == 0) {
			vsp_wake(&device.vsp);
		}
	}
	atomic_store(&enough, true);
	pthread_join(thread, NULL);
	assert_int_equal(traffic_got, traffic_sent);
	assert_int_equal(atomic_load(&device.packets), traffic_sent);
}

/* Opened, used and closed at once, at every delay: no end is missed. */
static void test_close_at_any_time(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < 300; i++) {
		try_send(1, 0, 64);
		try_send(2, i % 3 != 2 && i % 4 == 0 ? LATER : 0, 64);
		if (i % 3 == 1) {
			usleep(i % 40);
		}
		if (i % 3 == 2) {
			vmbus_pause(guest.bus);
			vmbus_resume(guest.bus);
		}
		close_and_wait();
		assert_int_equal(guest_open(&channel, relid, 0xe1e10, RING, FIRST, 1), 0);
	}
	assert_int_equal(atomic_load(&device.ends), 300);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name)                                                                                 \
	cmocka_unit_test_setup_teardown(name, start_polls, stop),                                  \
		cmocka_unit_test_setup_teardown(name, start_sleeps, stop)
		TEST(test_answers),
		TEST(test_place),
		TEST(test_later_answers),
		TEST(test_not_ready),
		TEST(test_no_room),
		TEST(test_pause),
		TEST(test_pause_waits),
		TEST(test_pause_is_given_up),
		TEST(test_an_old_pause_is_no_new_one),
		TEST(test_reset_is_waited_for),
		TEST(test_pause_without_room),
		TEST(test_messages_wait),
		TEST(test_reset_while_paused),
		TEST(test_rescind_while_paused),
		TEST(test_destroy_while_paused),
		TEST(test_break_and_pause),
		TEST(test_pause_at_any_time),
		TEST(test_close_at_any_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
