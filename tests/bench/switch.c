/*
 * Frames from guest to guest through the switch's core, with both workers played here, so that a
 * tool that counts instructions sees the switch alone:
 *
 *   valgrind --tool=callgrind --toggle-collect=vswitch_turn build/tests/bench/switch BYTES COUNT
 *
 * and the frames of a batch are 32, as under load. More than 1,514 bytes: TCP, still to be cut.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "switch/guest.h"
#include "switch/ring.h"

#define SLOTS     4096u
#define RAM_BYTES (64u << 20)
#define BUFFERS   (32u << 20) /* where buffers lie */
#define BUFFER    2048u
#define BATCH     32u
#define PIECE     4096u

struct worker {
	struct guest *guest;
	struct port *port;
	uint8_t *ram;
	struct port_state *state;
	struct ring out, in;
};

static struct vswitch *net;
static struct worker a, b;

void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	exit(1);
}

static void start(struct worker *worker, const char *name, uint64_t mac)
{
	int ram_fd = memfd_create("ram", MFD_CLOEXEC | MFD_ALLOW_SEALING), fds[GUEST_FDS_MAX];
	struct port_hello hello = {.version = PORT_VERSION,
				   .region_count = 1,
				   .queue_count = 1,
				   .out_slots = SLOTS,
				   .in_slots = SLOTS,
				   .regions = {{.bytes = RAM_BYTES}}};
	struct port_settings settings;
	char why[256];
	void *memory;

	CHECK(ftruncate(ram_fd, RAM_BYTES) == 0 && fcntl(ram_fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
	worker->ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, ram_fd, 0);
	CHECK(guest_create(&hello, &ram_fd, 1, &worker->guest, why, sizeof(why)) == 0);
	CHECK(guest_descriptors(worker->guest, fds) == 3);
	memory = mmap(NULL, ring_memory_bytes(1, SLOTS, SLOTS), PROT_READ | PROT_WRITE, MAP_SHARED,
		      fds[0], 0);
	CHECK(memory != MAP_FAILED);
	worker->state = memory;
	ring_at(&worker->out, memory, SLOTS, SLOTS, 0);
	ring_at(&worker->in, memory, SLOTS, SLOTS, 1);
	worker->state->max_bytes = 1514;
	worker->state->takes = PORT_HEARS | PORT_TAKES_CSUM | PORT_TAKES_TCP4;
	CHECK(vswitch_add_port(net, name, &guest_edge, worker->guest, &worker->port) == 0);
	guest_attach(worker->guest, worker->port);
	port_defaults(&settings);
	settings.mac = mac;
	CHECK(port_set(worker->port, &settings) == 0);
}

/* IPv4 and TCP from a to b, as much of it as the switch looks at. */
static void make_frame(uint8_t *to, uint32_t bytes)
{
	static const uint8_t head[] = {2, 0, 0, 0,  0, 2,  2,  0, 0, 0, 0,  1, 8, 0, 0x45, 0,
				       0, 0, 0, 0,  0, 0,  64, 6, 0, 0, 10, 0, 0, 1, 10,   0,
				       0, 2, 0, 80, 0, 81, 0,  0, 0, 0, 0,  0, 0, 0, 0x50, 0x10};

	memset(to, 0x5a, bytes);
	memcpy(to, head, sizeof(head));
}

static void send_batch(uint32_t bytes, uint32_t count)
{
	for (uint32_t n = 0; n < count; n++) {
		struct port_slot slots[PORT_PIECES_MAX] = {0};
		uint32_t pieces = 0;

		for (uint32_t at = 0; at < bytes; at += PIECE) {
			uint32_t part = bytes - at < PIECE ? bytes - at : PIECE;

			slots[pieces] =
				(struct port_slot){.offset = n * 65536 + at,
						   .bytes = part,
						   .flags = at + part < bytes ? PORT_MORE : 0};
			pieces++;
		}
		if (bytes > 1514) {
			slots[0].gso = PORT_GSO_TCP4;
			slots[0].gso_bytes = 1460;
		}
		ring_add(&a.out, slots, pieces);
	}
	(void)!ring_publish(&a.out);
}

static void post_buffers(void)
{
	while (ring_room(&b.in) >= 1) {
		uint32_t place = b.in.next % SLOTS;

		ring_add(&b.in,
			 &(struct port_slot){.offset = BUFFERS + (uint64_t)place * BUFFER,
					     .bytes = BUFFER},
			 1);
	}
	(void)!ring_publish(&b.in);
}

static void collect(struct ring *ring)
{
	struct port_slot slot;

	while (ring_collect(ring, &slot) == 1) {
	}
}

int main(int argc, char **argv)
{
	uint32_t bytes = argc > 1 ? (uint32_t)atoi(argv[1]) : 60, batch = bytes > 1514 ? 8 : BATCH;
	uint32_t count = argc > 2 ? (uint32_t)atoi(argv[2]) : 100000;
	struct timespec begin, end;

	CHECK(bytes >= 60 && bytes <= 65000 && vswitch_create("net", &net) == 0);
	start(&a, "a", 0x020000000001ull);
	start(&b, "b", 0x020000000002ull);
	vswitch_turn(net, 1);
	for (uint32_t n = 0; n < batch; n++) {
		make_frame(a.ram + n * 65536, bytes);
	}
	clock_gettime(CLOCK_MONOTONIC, &begin);
	while (b.port->stats.received_frames < count) {
		post_buffers();
		send_batch(bytes, batch);
		while (ring_room(&a.out) < SLOTS) {
			vswitch_turn(net, 1);
			collect(&a.out);
		}
		collect(&b.in);
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	CHECK(b.port->stats.drops[DROP_NO_ROOM] == 0);
	printf("%u bytes: %.0f ns a frame, both workers included\n", bytes,
	       ((double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec)) /
		       (double)b.port->stats.received_frames);
	return 0;
}
