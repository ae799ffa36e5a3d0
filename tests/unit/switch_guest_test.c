/* switch/guest.c with both workers played here: frames through rings, memory that comes back, and
 * workers that lie. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "switch/guest.h"
#include "switch/hash.h"
#include "switch/ring.h"
#include "tests/fake/packet.h"

#define SLOTS      256u
#define RAM_BYTES  (4u << 20)
#define RAM_OFFSET 4096u
#define BUFFERS    0x200000u /* where buffers lie in guest memory */
#define QUEUES     2u

/* A worker and its guest's memory. */
struct worker {
	struct guest *guest;
	struct port *port;
	struct port_hello hello;
	int ram_fd;
	uint8_t *ram;
	struct port_state *state;
	struct ring out[QUEUES], in[QUEUES];
	int fds[GUEST_FDS_MAX];
	uint32_t buffer_bytes, collected_count;
};

static struct vswitch *net;
static struct worker a, b;
static struct packet packet;
static uint8_t got[66000];

void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: CHECK(%s) failed\n", file, line, what);
	abort();
}

static int memory_file(int seals)
{
	int fd = memfd_create("ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0 && ftruncate(fd, RAM_OFFSET + RAM_BYTES) == 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void say_hello(struct worker *worker)
{
	worker->hello = (struct port_hello){
		.version = PORT_VERSION,
		.region_count = 1,
		.queue_count = QUEUES,
		.out_slots = SLOTS,
		.in_slots = SLOTS,
		.regions = {{.offset = RAM_OFFSET, .bytes = RAM_BYTES}},
	};
}

static void start(struct worker *worker, const char *name)
{
	char why[256];
	void *memory;

	memset(worker, 0, sizeof(*worker));
	worker->ram_fd = memory_file(F_SEAL_SHRINK);
	worker->ram = (uint8_t *)mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
				      worker->ram_fd, RAM_OFFSET);
	say_hello(worker);
	assert_int_equal(
		guest_create(&worker->hello, &worker->ram_fd, 1, &worker->guest, why, sizeof(why)),
		0);
	assert_int_equal(guest_descriptors(worker->guest, worker->fds), 2 + QUEUES);
	memory = mmap(NULL, ring_memory_bytes(QUEUES, SLOTS, SLOTS), PROT_READ | PROT_WRITE,
		      MAP_SHARED, worker->fds[0], 0);
	assert_true(memory != MAP_FAILED);
	worker->state = memory;
	for (uint32_t queue = 0; queue < QUEUES; queue++) {
		ring_at(&worker->out[queue], memory, SLOTS, SLOTS, 2 * queue);
		ring_at(&worker->in[queue], memory, SLOTS, SLOTS, 2 * queue + 1);
	}
	worker->state->takes = PORT_HEARS;
	worker->state->max_bytes = 1514;
	assert_int_equal(vswitch_add_port(net, name, &guest_edge, worker->guest, &worker->port), 0);
	guest_attach(worker->guest, worker->port);
	assert_int_equal(worker->state->link, 1);
}

static void stop(struct worker *worker)
{
	munmap(worker->state, ring_memory_bytes(QUEUES, SLOTS, SLOTS));
	munmap(worker->ram, RAM_BYTES);
	close(worker->ram_fd);
	vswitch_remove_port(&worker->port);
	guest_destroy(&worker->guest);
}

/* After a long frame its sender pauses for a few turns. */
static void turn(void)
{
	for (uint32_t i = 0; i < 5; i++) {
		vswitch_turn(net, 1000000000);
	}
}

static int setup(void **state)
{
	(void)state;
	assert_int_equal(vswitch_create("net", &net), 0);
	start(&a, "a");
	start(&b, "b");
	turn(); /* what the workers say in their state holds from the next one on */
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	stop(&a);
	stop(&b);
	vswitch_destroy(&net);
	return 0;
}

/* Buffers of two pieces each, which do not lie together. */
static void post(struct worker *worker, uint32_t queue, uint32_t count, uint32_t bytes)
{
	worker->buffer_bytes = bytes;
	for (uint32_t i = 0; i < count; i++) {
		struct port_slot slots[2] = {
			{.offset = BUFFERS + i * 8192, .bytes = bytes / 3, .flags = PORT_MORE},
			{.offset = BUFFERS + i * 8192 + 4096, .bytes = bytes - bytes / 3},
		};

		ring_add(&worker->in[queue], slots, 2);
	}
	(void)!ring_publish(&worker->in[queue]);
}

/* The packet, in pieces of guest memory all over the place. */
static void send_packet(struct worker *worker, uint32_t queue, uint32_t piece,
			struct port_slot first)
{
	struct port_slot slots[PORT_PIECES_MAX];
	uint32_t count = 0, at = 0;

	while (at < packet.length) {
		uint32_t part = packet.length - at < piece ? packet.length - at : piece;

		slots[count] = count == 0 ? first : (struct port_slot){0};
		slots[count].offset = count * 0x3001 % BUFFERS;
		slots[count].bytes = part;
		slots[count].flags |= at + part < packet.length ? PORT_MORE : 0;
		memcpy(worker->ram + slots[count].offset, packet.bytes + at, part);
		at += part;
		count++;
	}
	ring_add(&worker->out[queue], slots, count);
	(void)!ring_publish(&worker->out[queue]);
}

/* The next frame that arrived on a queue: its bytes in `got`, its first answer. 0: none. */
static uint32_t receive(struct worker *worker, uint32_t queue, struct port_slot *first)
{
	uint32_t length = 0;
	struct port_slot slot, second;

	do {
		uint32_t at = (worker->collected_count++) * 8192 + BUFFERS, part;

		if (ring_collect(&worker->in[queue], &slot) != 1) {
			worker->collected_count--;
			return 0;
		}
		assert_int_equal(ring_collect(&worker->in[queue], &second), 1);
		if (length == 0) {
			*first = slot;
		}
		part = slot.bytes < worker->buffer_bytes / 3 ? slot.bytes
							     : worker->buffer_bytes / 3;
		memcpy(got + length, worker->ram + at, part);
		memcpy(got + length + part, worker->ram + at + 4096, slot.bytes - part);
		length += slot.bytes;
	} while (slot.flags & PORT_CONTINUES);
	return length;
}

static void from_guest_to_guest(void **state)
{
	struct port_slot first;

	(void)state;
	post(&b, 0, 20, 1806);
	for (uint32_t length = 0; length < 1400; length += 77) {
		packet_udp(&packet, 4, 2, 1, 1, 1);
		packet_fill(&packet, length);
		packet_close(&packet);
		send_packet(&a, length % 2, 1 + length / 5 + 50, (struct port_slot){.hash = 1000});
		turn();
		assert_int_equal(receive(&b, 0, &first), packet.length);
		assert_memory_equal(got, packet.bytes, packet.length);
		assert_int_equal(first.hash, 0); /* the sender's, not this one's */
		assert_int_equal(receive(&b, 0, &first), 0);
	}
	assert_int_equal(ring_collect(&a.out[1], &first), 1);
	assert_int_equal(b.port->stats.received_frames, 19);
	assert_int_equal(a.port->stats.sent_frames, 19);
	/* No buffer is left but one. */
	send_packet(&a, 0, 3000, (struct port_slot){0});
	send_packet(&a, 0, 3000, (struct port_slot){0});
	turn();
	assert_int_equal(b.port->stats.drops[DROP_NO_ROOM], 1);
	assert_null(guest_broken(a.guest));
	assert_null(guest_broken(b.guest));
}

static void a_long_frame_in_many_buffers(void **state)
{
	struct port_slot first;

	(void)state;
	b.state->takes = PORT_HEARS | PORT_TAKES_CSUM | PORT_TAKES_TCP4;
	turn();
	packet_tcp(&packet, 4, 2, 1, 80, 1234, 7, 0x18);
	packet_fill(&packet, 60000);
	packet_close(&packet);
	packet_unfinish(&packet);
	post(&b, 0, 33, 1806);
	for (uint32_t i = 0; i < 2; i++) {
		send_packet(&a, 0, 4096,
			    (struct port_slot){.gso = PORT_GSO_TCP4,
					       .gso_bytes = 1460,
					       .flags = PORT_CSUM_NEEDED | PORT_TAGGED,
					       .hash = 2});
		turn();
		if (i == 0) { /* one buffer too few, and none is lost by it */
			assert_int_equal(b.port->stats.drops[DROP_NO_ROOM], 1);
			assert_int_equal(receive(&b, 0, &first), 0);
			b.buffer_bytes = 0;
			ring_add(&b.in[0],
				 (struct port_slot[]){
					 {.offset = BUFFERS + 33 * 8192,
					  .bytes = 602,
					  .flags = PORT_MORE},
					 {.offset = BUFFERS + 33 * 8192 + 4096, .bytes = 1204}},
				 2);
			(void)!ring_publish(&b.in[0]);
			b.buffer_bytes = 1806;
		}
	}
	assert_int_equal(receive(&b, 0, &first), 60054);
	assert_memory_equal(got, packet.bytes, 60054);
	assert_int_equal(first.gso, PORT_GSO_TCP4);
	assert_int_equal(first.gso_bytes, 1460);
	assert_int_equal(first.header_bytes, 54);
	assert_int_equal(first.csum_start, 34);
	assert_true(first.flags & PORT_CSUM_NEEDED);
}

static void flows_go_to_queues(void **state)
{
	struct port_slot first;
	uint32_t counts[QUEUES] = {0};

	(void)state;
	for (uint32_t i = 0; i < PORT_STEER; i++) {
		b.state->steer[i] = (uint8_t)(i % QUEUES);
	}
	post(&b, 0, 64, 1806);
	post(&b, 1, 64, 1806);
	for (uint16_t port = 0; port < 32; port++) {
		for (uint32_t twice = 0; twice < 2; twice++) {
			packet_udp(&packet, 6, 2, 1, 1, port);
			packet_close(&packet);
			send_packet(&a, 0, 3000, (struct port_slot){0});
			turn();
		}
		for (uint32_t queue = 0; queue < QUEUES; queue++) {
			uint32_t before = counts[queue];

			while (receive(&b, queue, &first) != 0) {
				counts[queue]++;
			}
			assert_true((counts[queue] - before) % 2 == 0); /* a flow has one queue */
		}
	}
	assert_int_equal(counts[0] + counts[1], 64);
	assert_true(counts[0] > 10 && counts[1] > 10);
}

/* A guest hears a flow by the queue by which it sends it, if its table has that. */
static void answers_come_by_the_queue_of_their_flow(void **state)
{
	struct port_slot first;

	(void)state;
	post(&b, 0, 64, 1806);
	post(&b, 1, 64, 1806);
	for (uint32_t round = 0; round < 4; round++) {
		uint32_t own = round % 2, table = round / 2;

		b.state->steer[7] = (uint8_t)table;
		packet_tcp(&packet, 4, 1, 2, 80, 5000, 1, 0x10);
		packet_close(&packet);
		send_packet(&b, own, 3000, (struct port_slot){0});
		turn();
		packet_tcp(&packet, 4, 2, 1, 5000, 80, 1, 0x10);
		packet_close(&packet);
		send_packet(&a, 0, 3000, (struct port_slot){.hash = 9});
		turn();
		/* The table has queue 0 for all but one hash. */
		assert_int_equal(receive(&b, own == 1 && table == 1, &first), packet.length);
		/* Another flow has nothing of it. */
		packet_tcp(&packet, 4, 2, 1, 5001, 80, 1, 0x10);
		packet_close(&packet);
		send_packet(&a, 0, 3000, (struct port_slot){.hash = 9});
		turn();
		assert_int_equal(receive(&b, 0, &first), packet.length);
	}
}

/* As the worker says, by the hash of the sender's; one that is not there is the first. */
static void worker_steers_flows(void **state)
{
	struct port_slot first;

	(void)state;
	b.state->steer[5] = 1;
	b.state->steer[6] = QUEUES;
	post(&b, 0, 4, 1806);
	post(&b, 1, 4, 1806);
	for (uint32_t hash = 4; hash < 7; hash++) {
		packet_udp(&packet, 6, 2, 1, 1, 1);
		packet_close(&packet);
		send_packet(&a, 0, 3000, (struct port_slot){.hash = hash + PORT_STEER});
		turn();
		assert_int_equal(receive(&b, 1, &first) != 0, hash == 5);
		assert_int_equal(receive(&b, 0, &first) != 0, hash != 5);
	}
}

/* A guest that takes its memory back gets all of its buffers. */
/* A guest that says by which hash and key: it is told the hash, whatever the sender has said. */
static void a_guest_has_its_own_hash(void **state)
{
	struct hash_table table;
	struct frame frame;
	struct port_slot first;

	(void)state;
	for (uint32_t i = 0; i < PORT_STEER; i++) {
		b.state->steer[i] = (uint8_t)(i % QUEUES);
	}
	post(&b, 0, 64, 1806);
	post(&b, 1, 64, 1806);
	for (uint16_t i = 0; i < 40; i++) {
		struct iovec piece = {packet.bytes, 0};
		uint32_t hash;

		/* Now and then another key; at last none is wanted. */
		b.state->hash_types = i < 36 ? PORT_HASH_IP4 | PORT_HASH_TCP4 : 0;
		for (uint32_t k = 0; k < PORT_HASH_KEY; k++) {
			b.state->hash_key[k] = (uint8_t)(k * 37 + i / 10);
		}
		hash_set_key(&table, b.state->hash_key);
		turn();
		packet_tcp(&packet, 4, 2, 1, 5000, i, 1, 0x10);
		packet_close(&packet);
		piece.iov_len = packet.length;
		frame_init(&frame, &piece, 1);
		assert_int_equal(frame_check(&frame), DROP_NONE);
		hash = hash_frame(&table, b.state->hash_types, &frame.headers);
		send_packet(&a, 0, 3000, (struct port_slot){.hash = 9});
		turn();
		if (i < 36) {
			assert_int_equal(receive(&b, hash % QUEUES, &first), packet.length);
			assert_int_equal(first.hash, hash);
		} else {
			assert_int_equal(receive(&b, 9 % QUEUES, &first), packet.length);
			assert_int_equal(first.hash, 0);
		}
	}
	/* A frame that has none. */
	b.state->hash_types = PORT_HASH_IP4 | PORT_HASH_TCP4;
	turn();
	packet_udp(&packet, 6, 2, 1, 1, 1);
	packet_close(&packet);
	send_packet(&a, 0, 3000, (struct port_slot){.hash = 9});
	turn();
	assert_int_equal(receive(&b, 0, &first), packet.length);
	assert_int_equal(first.hash, 0);
}

static void buffers_come_back(void **state)
{
	struct port_slot slot;
	uint32_t unused = 0;

	(void)state;
	post(&b, 0, 10, 1806);
	turn();
	assert_int_equal(ring_collect(&b.in[0], &slot), 0);
	b.state->takes = 0;
	turn();
	while (ring_collect(&b.in[0], &slot) == 1) {
		unused += (slot.flags & PORT_UNUSED) != 0;
	}
	assert_int_equal(unused, 10);
	packet_udp(&packet, 4, 2, 1, 1, 1);
	packet_close(&packet);
	send_packet(&a, 0, 3000, (struct port_slot){0});
	turn();
	assert_int_equal(b.port->stats.drops[DROP_UNPLUGGED], 1);
	assert_null(guest_broken(b.guest));
}

/* Also one whose port may send nothing more for a day. */
static void buffers_come_back_whatever_its_limit(void **state)
{
	struct port_settings settings = a.port->settings;
	struct port_slot slot;
	uint32_t unused = 0;

	(void)state;
	settings.limit_bits = 8;
	assert_int_equal(port_set(a.port, &settings), 0);
	packet_udp(&packet, 4, 2, 1, 1, 1);
	packet_fill(&packet, 1400);
	packet_close(&packet);
	for (uint32_t i = 0; i < 60; i++) {
		send_packet(&a, 0, 3000, (struct port_slot){0});
		turn();
	}
	assert_true(a.port->held);
	post(&a, 0, 10, 1806);
	a.state->takes = 0;
	turn();
	while (ring_collect(&a.in[0], &slot) == 1) {
		unused += (slot.flags & PORT_UNUSED) != 0;
	}
	assert_int_equal(unused, 10);
}

static bool is_readable(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	return poll(&poll_fd, 1, 0) == 1;
}

static void who_sleeps_is_woken(void **state)
{
	uint64_t count;

	(void)state;
	turn();
	assert_true(guest_waits(a.guest));
	assert_true(guest_waits(a.guest)); /* it has said so already */
	packet_udp(&packet, 4, 2, 1, 1, 1);
	packet_close(&packet);
	ring_add(&a.out[1], &(struct port_slot){.bytes = 60}, 1);
	assert_true(ring_publish(&a.out[1]));
	guest_wakes(a.guest);
	assert_false(guest_waits(a.guest));
	turn();
	assert_true(guest_waits(a.guest));
	guest_wakes(a.guest);
	assert_int_equal(read(b.fds[2], &count, sizeof(count)), 8); /* the link is up */
	post(&b, 0, 1, 1806);
	assert_true(ring_worker_waits(&b.in[0]));
	send_packet(&a, 0, 3000, (struct port_slot){0});
	assert_false(is_readable(b.fds[2]));
	turn();
	assert_true(is_readable(b.fds[2]));
}

/* ---- workers that lie ---- */

static void assert_breaks_alone(void)
{
	struct port_slot first;

	turn();
	assert_non_null(guest_broken(a.guest));
	turn(); /* nothing more is taken from it */
	assert_null(guest_broken(b.guest));
	post(&b, 0, 1, 1806);
	assert_int_equal(receive(&b, 0, &first), 0);
}

static void one_bad_slot(struct port_slot slot)
{
	teardown(NULL);
	setup(NULL);
	ring_add(&a.out[0], &slot, 1);
	(void)!ring_publish(&a.out[0]);
	assert_breaks_alone();
}

static void pieces_that_are_not_its_own(void **state)
{
	(void)state;
	one_bad_slot((struct port_slot){.region = 1, .bytes = 60});
	one_bad_slot((struct port_slot){.region = 255, .bytes = 60});
	one_bad_slot((struct port_slot){.offset = RAM_BYTES, .bytes = 1});
	one_bad_slot((struct port_slot){.offset = RAM_BYTES - 59, .bytes = 60});
	one_bad_slot((struct port_slot){.offset = UINT64_MAX - 10, .bytes = 60});
	one_bad_slot((struct port_slot){.bytes = UINT32_MAX});
	one_bad_slot((struct port_slot){.bytes = PORT_FRAME_MAX + 1});
	one_bad_slot((struct port_slot){.bytes = 60, .flags = PORT_MORE});
}

static void indices_that_cannot_be(void **state)
{
	(void)state;
	a.out[0].control->added = SLOTS + 1;
	assert_breaks_alone();
}

static void buffers_that_are_not_its_own(void **state)
{
	(void)state;
	ring_add(&a.in[0], &(struct port_slot){.offset = RAM_BYTES - 100, .bytes = 1806}, 1);
	(void)!ring_publish(&a.in[0]);
	packet_udp(&packet, 4, 2, 1, 1, 1);
	packet_close(&packet);
	send_packet(&b, 0, 3000, (struct port_slot){0});
	assert_breaks_alone();
	assert_int_equal(a.port->stats.drops[DROP_NO_ROOM], 1);
}

static void memory_that_may_vanish(void **state)
{
	struct worker *worker = &a;
	struct port_hello hello = worker->hello;
	struct guest *guest;
	int pair[2], open_file = memory_file(0), sealed = memory_file(F_SEAL_SHRINK);
	char why[256];

	(void)state;
	assert_int_equal(guest_create(&hello, &open_file, 1, &guest, why, sizeof(why)), -EPERM);
	assert_int_equal(pipe(pair), 0);
	assert_int_equal(guest_create(&hello, &pair[0], 1, &guest, why, sizeof(why)), -EPERM);
	hello.regions[0].bytes += 4096;
	assert_int_equal(guest_create(&hello, &sealed, 1, &guest, why, sizeof(why)), -EINVAL);
	hello.regions[0] = (struct port_region){.offset = UINT64_MAX - 4095, .bytes = 4096};
	assert_int_equal(guest_create(&hello, &sealed, 1, &guest, why, sizeof(why)), -EINVAL);
	hello.regions[0] = (struct port_region){.offset = 100, .bytes = 4096};
	assert_int_equal(guest_create(&hello, &sealed, 1, &guest, why, sizeof(why)), -EINVAL);
	hello.regions[0] = (struct port_region){.offset = 0, .bytes = 0};
	assert_int_equal(guest_create(&hello, &sealed, 1, &guest, why, sizeof(why)), -EINVAL);
	hello = worker->hello;
	assert_int_equal(guest_create(&hello, &sealed, 0, &guest, why, sizeof(why)), -EINVAL);
	hello.queue_count = PORT_QUEUES_MAX + 1;
	assert_int_equal(guest_create(&hello, &sealed, 1, &guest, why, sizeof(why)), -EINVAL);
	hello = worker->hello;
	hello.version = 2;
	assert_int_equal(guest_create(&hello, &sealed, 1, &guest, why, sizeof(why)), -EPROTO);
	/* The port memory cannot be made smaller, or larger, by who got it. */
	assert_int_not_equal(ftruncate(worker->fds[0], 4096), 0);
	assert_int_not_equal(ftruncate(worker->fds[0], 1 << 24), 0);
	close(open_file);
	close(sealed);
	close(pair[0]);
	close(pair[1]);
}

int main(void)
{
#define ONE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		ONE(from_guest_to_guest),      ONE(a_long_frame_in_many_buffers),
		ONE(flows_go_to_queues),       ONE(worker_steers_flows),
		ONE(a_guest_has_its_own_hash), ONE(answers_come_by_the_queue_of_their_flow),
		ONE(buffers_come_back),        ONE(buffers_come_back_whatever_its_limit),
		ONE(who_sleeps_is_woken),      ONE(pieces_that_are_not_its_own),
		ONE(indices_that_cannot_be),   ONE(buffers_that_are_not_its_own),
		ONE(memory_that_may_vanish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
