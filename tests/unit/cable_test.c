/* vsp/network/cable.c on a port whose other end is the test, with the switch's rings. Nothing here
 * waits for a time, but for a state. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "switch/ring.h"
#include "vsp/network/cable.h"
#include "vsp/network/netport.h"
#include "vsp/network/network.h"

#define SLOTS 1024u
#define HEADS (256u << 10)

static struct netport port;
static struct ring out, in; /* as the switch has them */
static struct cable *cable;
static _Alignas(4096) uint8_t heads[HEADS];

/* The adapter: what it answers, and what it has heard. */
static _Atomic(enum cable_taken) answer;
static atomic_uint offered, taken, rooms;
static uint8_t last_frame[CABLE_FRAME_MAX];
static atomic_uint last_length;

void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}

void netport_kick(const struct netport *of)
{
	assert_int_equal(eventfd_write(of->switch_event, 1), 0);
}

static atomic_bool broken;

void netport_break(const struct netport *of)
{
	(void)of;
	atomic_store(&broken, true);
}

static enum cable_taken receive(void *adapter, const uint8_t *frame, uint32_t length, bool last)
{
	enum cable_taken now = atomic_load(&answer);

	(void)adapter;
	if (now == CABLE_TAKEN || last) {
		memcpy(last_frame, frame, length);
		atomic_store(&last_length, length);
		atomic_fetch_add(&taken, now == CABLE_TAKEN);
	}
	atomic_fetch_add(&offered, 1);
	return now;
}

static void room(void *adapter)
{
	(void)adapter;
	atomic_fetch_add(&rooms, 1);
}

static void moment(void)
{
	static const struct timespec pause = {.tv_nsec = 100000};

	nanosleep(&pause, NULL);
}

static void await(atomic_uint *count, unsigned int least)
{
	while (atomic_load(count) < least) {
		moment();
	}
}

static void show(struct ring *ring)
{
	if (ring_show(ring)) {
		assert_int_equal(eventfd_write(port.events[0], 1), 0);
	}
}

static int setup(void **state)
{
	static const struct cable_class class = {.receive = receive, .room = room};

	(void)state;
	port = (struct netport){.connection = -1,
				.switch_event = eventfd(0, EFD_NONBLOCK),
				.queue_count = 1,
				.out_slots = SLOTS,
				.in_slots = SLOTS,
				.regions = {[NETPORT_HEADS] = {heads, sizeof(heads)}}};
	port.events[0] = eventfd(0, EFD_NONBLOCK);
	port.memory_bytes = ring_memory_bytes(1, SLOTS, SLOTS);
	port.memory = aligned_alloc(4096, port.memory_bytes);
	assert_non_null(port.memory);
	memset(port.memory, 0, port.memory_bytes);
	ring_at(&out, port.memory, SLOTS, SLOTS, 0);
	ring_at(&in, port.memory, SLOTS, SLOTS, 1);
	atomic_store(&answer, CABLE_TAKEN);
	atomic_store(&offered, 0);
	atomic_store(&taken, 0);
	atomic_store(&rooms, 0);
	atomic_store(&broken, false);
	assert_int_equal(cable_create(&class, NULL, &cable), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	cable_stop(cable);
	cable_destroy(&cable);
	free(port.memory);
	close(port.switch_event);
	close(port.events[0]);
	return 0;
}

static void begin(void)
{
	cable_set_port(cable, &port);
	assert_int_equal(cable_start(cable), 0);
}

static uint32_t takes(void)
{
	return __atomic_load_n(&port.memory->takes, __ATOMIC_ACQUIRE);
}

/* An empty buffer of the adapter's. */
static struct port_slot take_buffer(void)
{
	struct port_slot slot;

	while (ring_take(&in, &slot, 1) == 0) {
		moment();
	}
	assert_int_equal(slot.region, NETPORT_HEADS);
	assert_true(slot.offset + slot.bytes <= HEADS);
	return slot;
}

static void give(uint32_t bytes, uint8_t flags)
{
	struct port_slot slot = take_buffer();
	uint32_t i;

	for (i = 0; i < bytes; i++) {
		heads[slot.offset + i] = (uint8_t)(i + 1);
	}
	slot.bytes = bytes;
	slot.flags = flags;
	slot.tag = 0x2007;
	ring_answer(&in, &slot, 1);
	show(&in);
}

static void test_hears(void **state)
{
	(void)state;
	begin();
	assert_int_equal(takes(), 0);
	cable_listen(cable, CABLE_HEARS_OWN);
	give(60, 0);
	await(&taken, 1);
	assert_int_equal(takes(), PORT_HEARS);
	assert_int_equal(atomic_load(&last_length), 60);
	assert_int_equal(last_frame[59], 60);
	/* A tag comes beside its frame, and is in it for the adapter. */
	give(60, PORT_TAGGED);
	await(&taken, 2);
	assert_int_equal(atomic_load(&last_length), 64);
	assert_memory_equal(last_frame + 12, ((const uint8_t[]){0x81, 0x00, 0x20, 0x07, 13}), 5);
	cable_listen(cable, CABLE_HEARS_ALL);
	while (takes() != (PORT_HEARS | PORT_TAKES_ALL)) {
		moment();
	}
	/* What is too long, or goes on in another buffer, is none; what is unused comes back
	 * empty. */
	give(1523, 0);
	give(1519, PORT_TAGGED);
	give(60, PORT_CONTINUES);
	give(13, 0);
	give(0, PORT_UNUSED);
	give(1522, 0);
	await(&taken, 3);
	assert_int_equal(atomic_load(&offered), 3);
	cable_listen(cable, CABLE_HEARS_NOTHING);
	while (takes() != 0) {
		moment();
	}
}

/* More frames than there are buffers, so that all are posted again. */
static void test_many(void **state)
{
	unsigned int i;

	(void)state;
	begin();
	cable_listen(cable, CABLE_HEARS_OWN);
	for (i = 0; i < 1000; i++) {
		give(100, 0);
	}
	await(&taken, 1000);
	assert_false(atomic_load(&broken));
}

static void test_later(void **state)
{
	(void)state;
	atomic_store(&answer, CABLE_LATER);
	begin();
	cable_listen(cable, CABLE_HEARS_OWN);
	give(60, 0);
	await(&offered, 3);
	atomic_store(&answer, CABLE_TAKEN);
	await(&taken, 1);
	/* Not for ever: the last time it is lost. */
	atomic_store(&answer, CABLE_LATER);
	atomic_store(&last_length, 0);
	give(77, 0);
	while (atomic_load(&last_length) != 77) {
		moment();
	}
	assert_int_equal(atomic_load(&taken), 1);
	/* While it stands it is not offered again, until somebody says so. */
	atomic_store(&answer, CABLE_STANDS);
	atomic_store(&offered, 0);
	give(88, 0);
	await(&offered, 1);
	atomic_store(&answer, CABLE_TAKEN);
	cable_wake(cable);
	await(&taken, 2);
	assert_int_equal(atomic_load(&last_length), 88);
}

static void test_sends(void **state)
{
	uint8_t frame[CABLE_FRAME_MAX];
	struct port_slot slot;
	unsigned int count = 0;

	(void)state;
	memset(frame, 7, sizeof(frame));
	begin();
	while (cable_room(cable)) {
		cable_send(cable, frame, 14 + count);
		count++;
		assert_true(count < 1000);
	}
	assert_int_equal(ring_take(&out, &slot, 1), 1);
	assert_int_equal(slot.bytes, 14);
	assert_int_equal(heads[slot.offset + 13], 7);
	ring_answer(&out, NULL, 1);
	assert_int_equal(atomic_load(&rooms), 0);
	show(&out);
	await(&rooms, 1);
	assert_true(cable_room(cable));
	/* A switch that answers what was not sent is given up, and then all is lost. */
	__atomic_store_n(&out.control->done, 5000, __ATOMIC_RELEASE);
	assert_true(cable_room(cable));
	assert_true(atomic_load(&broken));
	cable_send(cable, frame, 60);
	assert_true(cable_room(cable));
}

static void test_without(void **state)
{
	struct network_stats stats;
	uint8_t frame[60] = {0};

	(void)state;
	assert_int_equal(cable_start(cable), 0);
	assert_true(cable_room(cable));
	cable_send(cable, frame, sizeof(frame));
	begin();
	cable_send(cable, frame, sizeof(frame));
	cable_lost(cable);
	cable_send(cable, frame, sizeof(frame));
	cable_get_stats(cable, &stats);
	assert_int_equal(stats.frames_out, 1);
	assert_int_equal(stats.refused[NETWORK_LOST], 2);
	/* Another port: it is told what the adapter hears. */
	cable_listen(cable, CABLE_HEARS_OWN);
	memset(port.memory, 0, port.memory_bytes);
	ring_at(&out, port.memory, SLOTS, SLOTS, 0);
	ring_at(&in, port.memory, SLOTS, SLOTS, 1);
	cable_set_port(cable, &port);
	give(60, 0);
	await(&taken, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_hears, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_later, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_without, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
