/*
 * A worker with no guest: it attaches to a switch as one does (include/switch/port.h) and
 *
 *   reflect          sends each frame back to where it came from
 *   sink             takes frames
 *   flood MAC BYTES  sends frames of that length as fast as it can
 *   burst MAC BYTES COUNT   sends that many, and waits until all are answered
 *   ping MAC BYTES COUNT    sends one, waits for its reflection, and so on
 *
 * until the switch or somebody else ends it. It sleeps when there is nothing to do, as a netvsp
 * does. The last line that it prints says what it did.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "hosted/listen.h"
#include "hosted/packet.h"
#include "switch/ring.h"

#define SLOTS        1024u
#define BUFFER_BYTES 2048u
#define BUFFERS      (SLOTS * BUFFER_BYTES) /* where buffers lie, behind what is sent */
#define RAM_BYTES    (2 * BUFFERS)
#define BATCH        64u

static uint8_t *ram;
static struct port_state *state;
static struct ring out, in;
static int to_switch, from_switch, server;
static uint8_t own[6], peer[6];
static uint64_t sent, received;

static void fail(const char *what)
{
	fprintf(stderr, "worker: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int make_ram(void)
{
	int fd = memfd_create("ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, RAM_BYTES) != 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) != 0) {
		fail("memory");
	}
	ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ram == MAP_FAILED) {
		fail("memory");
	}
	return fd;
}

static void send_hello(int ram_fd, const char *network, const char *port)
{
	struct port_hello hello = {
		.version = PORT_VERSION,
		.region_count = 1,
		.queue_count = 1,
		.out_slots = SLOTS,
		.in_slots = SLOTS,
		.regions = {{.bytes = RAM_BYTES}},
	};

	snprintf(hello.network, sizeof(hello.network), "%s", network);
	snprintf(hello.port, sizeof(hello.port), "%s", port);
	if (packet_send(server, 0, &hello, sizeof(hello), &ram_fd, 1) != 0) {
		fail("hello");
	}
}

static void receive_welcome(void)
{
	struct port_welcome welcome;
	int fds[3];
	struct packet packet = {
		.bytes = &welcome, .size = sizeof(welcome), .fds = fds, .fds_max = 3};
	void *memory;

	if (packet_receive(server, 0, &packet) != 0 || packet.length != sizeof(welcome)) {
		fail("welcome");
	}
	if (welcome.result != 0) {
		fprintf(stderr, "worker: %s\n", welcome.text);
		exit(1);
	}
	if (packet.fd_count != 3) {
		fail("descriptors");
	}
	memory = mmap(NULL, ring_memory_bytes(1, SLOTS, SLOTS), PROT_READ | PROT_WRITE, MAP_SHARED,
		      fds[0], 0);
	if (memory == MAP_FAILED) {
		fail("port memory");
	}
	state = memory;
	to_switch = fds[1];
	from_switch = fds[2];
	memcpy(own, welcome.mac, sizeof(own));
	ring_at(&out, memory, SLOTS, SLOTS, 0);
	ring_at(&in, memory, SLOTS, SLOTS, 1);
}

static void attach(const char *path, const char *network, const char *port)
{
	server = connect_at(path, SOCK_SEQPACKET);
	if (server < 0) {
		errno = -server;
		fail(path);
	}
	send_hello(make_ram(), network, port);
	receive_welcome();
	for (uint32_t i = 0; i < SLOTS; i++) {
		ring_add(&in,
			 &(struct port_slot){.offset = BUFFERS + i * BUFFER_BYTES,
					     .bytes = BUFFER_BYTES},
			 1);
	}
	/* In this order: the buffers of a port that does not hear come back. If the switch has just
	 * looked, some still do. */
	state->max_bytes = 1514;
	__atomic_store_n(&state->takes, PORT_HEARS, __ATOMIC_RELEASE);
	(void)!ring_publish(&in);
}

static void signal_switch(void)
{
	uint64_t one = 1;

	if (write(to_switch, &one, sizeof(one)) < 0) {
		fail("signal");
	}
}

static void publish(struct ring *ring)
{
	if (ring_publish(ring)) {
		signal_switch();
	}
}

/* The answers of what was sent: only that there is room again is of interest. */
static void collect_sent(void)
{
	struct port_slot slot;
	int ret;

	while ((ret = ring_collect(&out, &slot)) == 1) {
	}
	CHECK(ret == 0);
}

/* Slot n of the ring has place n of the memory. */
static uint8_t *next_place(void)
{
	return ram + (out.next % SLOTS) * BUFFER_BYTES;
}

static void send_frame(uint32_t bytes)
{
	ring_add(&out,
		 &(struct port_slot){.offset = (uint64_t)(next_place() - ram), .bytes = bytes}, 1);
	sent++;
}

static void send_new(uint32_t bytes)
{
	uint8_t *to = next_place();

	memcpy(to, peer, 6);
	memcpy(to + 6, own, 6);
	to[12] = 0x88; /* for experiments */
	to[13] = 0xb5;
	send_frame(bytes);
}

static void reflect(const uint8_t *frame, uint32_t bytes)
{
	uint8_t *to;

	if (ring_room(&out) == 0 || frame[0] & 1) {
		return;
	}
	to = next_place();
	memcpy(to, frame + 6, 6);
	memcpy(to + 6, own, 6);
	memcpy(to + 12, frame + 12, bytes - 12);
	send_frame(bytes);
}

/* Frames that have come; their buffers are posted again. */
static uint32_t receive(bool reflects)
{
	uint32_t count = 0;
	struct port_slot slot;
	int ret = 0;

	while (count < BATCH && (ret = ring_collect(&in, &slot)) == 1) {
		uint64_t place = BUFFERS + (in.back - 1) % SLOTS * (uint64_t)BUFFER_BYTES;

		if (reflects && !(slot.flags & PORT_UNUSED)) {
			reflect(ram + place, slot.bytes);
		}
		ring_add(&in, &(struct port_slot){.offset = place, .bytes = BUFFER_BYTES}, 1);
		count += !(slot.flags & PORT_UNUSED);
	}
	CHECK(ret >= 0);
	received += count;
	publish(&in);
	publish(&out);
	return count;
}

/* False: the switch is gone. */
static bool sleep_a_while(struct ring *ring)
{
	struct pollfd fds[2] = {{.fd = from_switch, .events = POLLIN},
				{.fd = server, .events = POLLIN}};
	uint64_t count;

	if (ring_worker_waits(ring)) {
		poll(fds, 2, 10000);
		ring_worker_wakes(ring);
		if (fds[0].revents != 0 && read(from_switch, &count, sizeof(count)) < 0) {
			fail("event");
		}
	}
	return fds[1].revents == 0;
}

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void answer(bool reflects)
{
	do {
		while (receive(reflects) != 0) {
			collect_sent();
		}
		collect_sent();
	} while (sleep_a_while(&in));
}

/* Frames until there were `count`; the room is what is waited for. */
static void burst(uint32_t bytes, uint64_t count)
{
	double begin = now_s();

	while (sent < count) {
		uint32_t room = ring_room(&out);

		for (uint32_t i = 0; i < room && i < BATCH && sent < count; i++) {
			send_new(bytes);
		}
		publish(&out);
		collect_sent();
		while (receive(false) != 0) {
		}
		if (ring_room(&out) == 0 && !sleep_a_while(&out)) {
			break;
		}
	}
	while (ring_room(&out) != SLOTS && sleep_a_while(&out)) {
		collect_sent();
	}
	printf("%.0f ns each\n", (now_s() - begin) * 1e9 / (double)sent);
}

static void ping(uint32_t bytes, uint64_t count)
{
	double begin = now_s();
	bool there = true;

	while (there && received < count) {
		uint64_t before = received;

		send_new(bytes);
		publish(&out);
		while (there && received == before) {
			receive(false);
			collect_sent();
			there = received != before || sleep_a_while(&in);
		}
	}
	printf("%.0f ns each\n", (now_s() - begin) * 1e9 / (double)received);
}

static void done(int number)
{
	(void)number;
	printf("sent %llu received %llu\n", (unsigned long long)sent, (unsigned long long)received);
	fflush(stdout);
	_exit(0);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 4 ? argv[4] : "";
	uint32_t bytes = argc > 6 ? (uint32_t)atoi(argv[6]) : 0;
	uint64_t count = argc > 7 ? strtoull(argv[7], NULL, 10) : UINT64_MAX;

	if (argc > 5) {
		CHECK(sscanf(argv[5], "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", &peer[0], &peer[1],
			     &peer[2], &peer[3], &peer[4], &peer[5]) == 6);
		CHECK(bytes >= 14 && bytes <= 1514);
	}
	signal(SIGTERM, done);
	attach(argv[1], argv[2], argv[3]);
	printf("%02x:%02x:%02x:%02x:%02x:%02x\n", own[0], own[1], own[2], own[3], own[4], own[5]);
	fflush(stdout);
	if (strcmp(mode, "ping") == 0) {
		ping(bytes, count);
	} else if (strcmp(mode, "burst") == 0 || strcmp(mode, "flood") == 0) {
		burst(bytes, count);
	} else {
		answer(strcmp(mode, "reflect") == 0);
	}
	done(0);
}
