/* switch/ring.c: both ends, each played honestly and not; and two threads that sleep. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "switch/ring.h"

#define SLOTS 64u

static void *memory;
static struct ring worker, net;

void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: CHECK(%s) failed\n", file, line, what);
	abort();
}

static int setup(void **state)
{
	size_t bytes = ring_memory_bytes(1, SLOTS, SLOTS);

	(void)state;
	memory = aligned_alloc(PORT_ALIGN, bytes);
	memset(memory, 0, bytes);
	ring_at(&worker, memory, SLOTS, SLOTS, 0);
	ring_at(&net, memory, SLOTS, SLOTS, 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(memory);
	return 0;
}

static void add(uint32_t count, uint32_t value)
{
	struct port_slot slots[SLOTS + 1] = {0};

	for (uint32_t i = 0; i < count; i++) {
		slots[i].bytes = value;
		slots[i].flags = i + 1 < count ? PORT_MORE : 0;
	}
	ring_add(&worker, slots, count);
}

static void sizes(void **state)
{
	size_t one = ring_memory_bytes(1, 64, 64);

	(void)state;
	assert_true(one % PORT_ALIGN == 0 && one >= PORT_ALIGN + 2 * (128 + 64 * 32));
	assert_int_equal(ring_memory_bytes(0, 64, 64), 0);
	assert_int_equal(ring_memory_bytes(PORT_QUEUES_MAX + 1, 64, 64), 0);
	assert_int_equal(ring_memory_bytes(1, 65, 64), 0);
	assert_int_equal(ring_memory_bytes(1, 64, PORT_SLOTS_MAX * 2), 0);
	assert_int_equal(ring_memory_bytes(2, 64, 64), 2 * one - PORT_ALIGN);
}

/* The rings of a memory do not lie on each other, and end inside of it. */
static void places(void **state)
{
	size_t bytes = ring_memory_bytes(3, 128, 64);
	uint8_t *at = aligned_alloc(PORT_ALIGN, bytes), *last = at + PORT_ALIGN;
	struct ring ring;

	(void)state;
	for (uint32_t i = 0; i < 6; i++) {
		ring_at(&ring, at, 128, 64, i);
		assert_int_equal(ring.size, i % 2 ? 64 : 128);
		assert_true((uint8_t *)ring.control >= last);
		last = (uint8_t *)(ring.slots + ring.size);
	}
	assert_true(last <= at + bytes);
	free(at);
}

static void a_frame_there_and_back(void **state)
{
	struct port_slot slots[PORT_PIECES_MAX], answer = {.bytes = 77}, got;

	(void)state;
	for (uint32_t i = 0; i < 1000; i++) {
		uint32_t count = 1 + i % 7;

		add(count, i);
		assert_int_equal(ring_take(&net, slots, PORT_PIECES_MAX), 0); /* not shown yet */
		assert_false(ring_publish(&worker));
		assert_int_equal(ring_take(&net, slots, PORT_PIECES_MAX), count);
		assert_int_equal(slots[0].bytes, i);
		assert_int_equal(ring_taken(&net), count);
		assert_int_equal(ring_collect(&worker, &got), 0);
		ring_answer(&net, &answer, count);
		assert_int_equal(ring_collect(&worker, &got), 0);
		assert_false(ring_show(&net));
		for (uint32_t n = 0; n < count; n++) {
			assert_int_equal(ring_collect(&worker, &got), 1);
			assert_int_equal(got.bytes, n ? i : 77);
		}
		assert_int_equal(ring_collect(&worker, &got), 0);
		assert_int_equal(ring_room(&worker), SLOTS);
	}
}

static void full_is_full(void **state)
{
	struct port_slot slots[PORT_PIECES_MAX], got;

	(void)state;
	for (uint32_t i = 0; i < SLOTS; i++) {
		add(1, i);
	}
	assert_int_equal(ring_room(&worker), 0);
	assert_false(ring_publish(&worker));
	assert_int_equal(ring_take(&net, slots, PORT_PIECES_MAX), 1);
	ring_answer(&net, NULL, 1);
	assert_int_equal(ring_room(&worker), 0);
	assert_false(ring_show(&net));
	assert_int_equal(ring_collect(&worker, &got), 1);
	assert_int_equal(ring_room(&worker), 1);
}

static void what_was_taken_back_comes_again(void **state)
{
	struct port_slot slots[PORT_PIECES_MAX];

	(void)state;
	add(3, 1);
	add(2, 2);
	assert_false(ring_publish(&worker));
	assert_int_equal(ring_take(&net, slots, PORT_PIECES_MAX), 3);
	assert_int_equal(ring_take(&net, slots, PORT_PIECES_MAX), 2);
	ring_untake(&net, 2);
	assert_int_equal(ring_take(&net, slots, PORT_PIECES_MAX), 2);
	assert_int_equal(slots[0].bytes, 2);
	assert_int_equal(ring_taken(&net), 5);
}

static void a_worker_that_lies(void **state)
{
	struct port_slot slots[PORT_PIECES_MAX];

	(void)state;
	worker.control->added = SLOTS + 1; /* more than there are */
	assert_int_equal(ring_take(&net, slots, PORT_PIECES_MAX), -EPROTO);
	worker.control->added = UINT32_MAX; /* back */
	assert_int_equal(ring_take(&net, slots, PORT_PIECES_MAX), -EPROTO);
	worker.control->added = 1;
	worker.slots[0].flags = PORT_MORE; /* no end */
	assert_int_equal(ring_take(&net, slots, PORT_PIECES_MAX), -EPROTO);
	for (uint32_t i = 0; i < SLOTS; i++) {
		worker.slots[i].flags = PORT_MORE; /* more pieces than a frame has */
	}
	worker.control->added = SLOTS;
	assert_int_equal(ring_take(&net, slots, PORT_PIECES_MAX), -EPROTO);
	worker.slots[0].flags = 0;
	assert_int_equal(ring_take(&net, slots, PORT_PIECES_MAX), 1);
	/* What is answered but not shown is not the worker's. */
	ring_answer(&net, NULL, 1);
	net.other = net.next;
	worker.control->added = SLOTS + 1;
	assert_int_equal(ring_take(&net, slots, PORT_PIECES_MAX), -EPROTO);
	/* Nor does the index go back behind what was taken. */
	worker.control->added = 0;
	assert_int_equal(ring_take(&net, slots, PORT_PIECES_MAX), -EPROTO);
}

static void a_switch_that_lies(void **state)
{
	struct port_slot got;

	(void)state;
	add(2, 1);
	worker.control->done = 1; /* of nothing */
	assert_int_equal(ring_collect(&worker, &got), -EPROTO);
	worker.control->done = 0;
	assert_false(ring_publish(&worker));
	worker.control->done = 3;
	assert_int_equal(ring_collect(&worker, &got), -EPROTO);
	worker.control->done = 2;
	assert_int_equal(ring_collect(&worker, &got), 1);
	assert_int_equal(ring_collect(&worker, &got), 1);
	worker.control->done = 1;
	assert_int_equal(ring_collect(&worker, &got), -EPROTO);
}

static void who_sleeps_is_signalled_once(void **state)
{
	struct port_slot slots[PORT_PIECES_MAX];

	(void)state;
	assert_true(ring_switch_waits(&net));
	add(1, 1);
	assert_true(ring_publish(&worker));
	add(1, 2);
	assert_false(ring_publish(&worker));
	ring_switch_wakes(&net);
	assert_false(ring_switch_waits(&net)); /* there is something */
	assert_int_equal(ring_take(&net, slots, PORT_PIECES_MAX), 1);
	assert_int_equal(ring_take(&net, slots, PORT_PIECES_MAX), 1);
	assert_true(ring_worker_waits(&worker));
	ring_answer(&net, NULL, 1);
	assert_true(ring_show(&net));
	ring_answer(&net, NULL, 1);
	assert_false(ring_show(&net));
	assert_false(ring_show(&net)); /* nothing new */
	ring_worker_wakes(&worker);
	assert_false(ring_worker_waits(&worker));
}

/* ---- two threads, small rings, and sleep whenever there is nothing to do ---- */

#define FRAMES 60000u

static int to_switch, to_worker;

static void sleep_on(int event)
{
	struct pollfd poll_fd = {.fd = event, .events = POLLIN};
	uint64_t count;

	assert_int_equal(poll(&poll_fd, 1, 60000), 1); /* a wake-up that is lost ends here */
	assert_int_equal(read(event, &count, sizeof(count)), sizeof(count));
}

static void signal_event(int event)
{
	uint64_t one = 1;

	assert_int_equal(write(event, &one, sizeof(one)), sizeof(one));
}

static void *switch_thread(void *unused)
{
	struct port_slot slots[PORT_PIECES_MAX];
	uint32_t seen = 0;

	while (seen < FRAMES) {
		int count = ring_take(&net, slots, PORT_PIECES_MAX);

		if (count == 0) {
			if (ring_switch_waits(&net)) {
				sleep_on(to_switch);
				ring_switch_wakes(&net);
			}
			continue;
		}
		assert_int_equal(count, 1 + seen % 3);
		assert_int_equal(slots[0].bytes, seen++);
		ring_answer(&net, &slots[0], (uint32_t)count);
		if (ring_show(&net)) {
			signal_event(to_worker);
		}
	}
	return unused;
}

static void no_wake_up_is_lost(void **state)
{
	uint32_t sent = 0, collected = 0, slot_count = 0;
	struct port_slot got;
	pthread_t thread;

	(void)state;
	to_switch = eventfd(0, EFD_CLOEXEC);
	to_worker = eventfd(0, EFD_CLOEXEC);
	pthread_create(&thread, NULL, switch_thread, NULL);
	for (uint32_t i = 0; i < FRAMES; i++) {
		slot_count += 1 + i % 3;
	}
	while (collected < slot_count) {
		int ret;

		if (sent < FRAMES && ring_room(&worker) >= 3) {
			add(1 + sent % 3, sent);
			sent++;
			if (ring_publish(&worker)) {
				signal_event(to_switch);
			}
		}
		ret = ring_collect(&worker, &got);
		assert_true(ret >= 0);
		collected += (uint32_t)ret;
		if (ret == 0 && (sent == FRAMES || ring_room(&worker) < 3 || sent % 64 == 0) &&
		    ring_worker_waits(&worker)) {
			if (ring_room(&worker) < SLOTS) {
				sleep_on(to_worker);
			}
			ring_worker_wakes(&worker);
		}
	}
	pthread_join(thread, NULL);
	close(to_switch);
	close(to_worker);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),
		cmocka_unit_test(places),
		cmocka_unit_test_setup_teardown(a_frame_there_and_back, setup, teardown),
		cmocka_unit_test_setup_teardown(full_is_full, setup, teardown),
		cmocka_unit_test_setup_teardown(what_was_taken_back_comes_again, setup, teardown),
		cmocka_unit_test_setup_teardown(a_worker_that_lies, setup, teardown),
		cmocka_unit_test_setup_teardown(a_switch_that_lies, setup, teardown),
		cmocka_unit_test_setup_teardown(who_sleeps_is_signalled_once, setup, teardown),
		cmocka_unit_test_setup_teardown(no_wake_up_is_lost, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
