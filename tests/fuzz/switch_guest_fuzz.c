/*
 * Two workers of which one is hostile: it writes any words into its rings, its slots and its state,
 * moves its indices anywhere, at any moment between turns. The other is honest, and sends and
 * receives all the while; what it receives must be what was sent, and its edge must not break.
 */
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "switch/guest.h"
#include "switch/ring.h"

#define SLOTS     64u
#define RAM_BYTES 65536u

struct worker {
	struct guest *guest;
	struct port *port;
	uint8_t *memory, *ram;
	size_t memory_bytes;
	struct ring out, in;
	int ram_fd;
};

static struct vswitch *net;
static struct worker good, bad, third;

void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: CHECK(%s) failed\n", file, line, what);
	abort();
}

static void start(struct worker *worker, const char *name)
{
	struct port_hello hello = {.version = PORT_VERSION,
				   .region_count = 1,
				   .queue_count = 1,
				   .out_slots = SLOTS,
				   .in_slots = SLOTS,
				   .regions = {{.bytes = RAM_BYTES}}};
	int fds[GUEST_FDS_MAX];
	char why[256];

	worker->ram_fd = memfd_create("ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	EXPECT(worker->ram_fd >= 0 && ftruncate(worker->ram_fd, RAM_BYTES) == 0);
	EXPECT(fcntl(worker->ram_fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
	worker->ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, worker->ram_fd, 0);
	EXPECT(guest_create(&hello, &worker->ram_fd, 1, &worker->guest, why, sizeof(why)) == 0);
	EXPECT(guest_descriptors(worker->guest, fds) == 3);
	worker->memory_bytes = ring_memory_bytes(1, SLOTS, SLOTS);
	worker->memory =
		mmap(NULL, worker->memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
	EXPECT(worker->memory != MAP_FAILED);
	ring_at(&worker->out, worker->memory, SLOTS, SLOTS, 0);
	ring_at(&worker->in, worker->memory, SLOTS, SLOTS, 1);
	((struct port_state *)worker->memory)->takes = PORT_HEARS;
	((struct port_state *)worker->memory)->max_bytes = 1514;
	for (uint32_t i = 0; i < PORT_STEER; i++) {
		((struct port_state *)worker->memory)->steer[i] = (uint8_t)(i % 5);
		((struct port_state *)worker->memory)->hash_key[i % PORT_HASH_KEY] = (uint8_t)i;
	}
	EXPECT(vswitch_add_port(net, name, &guest_edge, worker->guest, &worker->port) == 0);
	guest_attach(worker->guest, worker->port);
}

static void stop(struct worker *worker)
{
	vswitch_remove_port(&worker->port);
	guest_destroy(&worker->guest);
	munmap(worker->memory, worker->memory_bytes);
	munmap(worker->ram, RAM_BYTES);
	close(worker->ram_fd);
}

static void write_word(uint8_t *at, uint32_t value)
{
	memcpy(at, &value, sizeof(value));
}

/* Small numbers, those near what is there, and any. */
static uint32_t any_word(uint32_t near)
{
	switch (fuzz_byte() % 4) {
	case 0:
		return fuzz_byte();
	case 1:
		return near + fuzz_byte() % 8 - 2;
	case 2:
		return near + fuzz_byte();
	default:
		return (uint32_t)fuzz_byte() << 24 | (uint32_t)fuzz_byte() << 16 |
		       (uint32_t)fuzz_byte() << 8 | fuzz_byte();
	}
}

static void any_slot(struct port_slot *slot)
{
	slot->offset = fuzz_byte() % 4 ? fuzz_byte() * 64u
				       : any_word(RAM_BYTES) * 1ull << fuzz_byte() % 33;
	slot->bytes = fuzz_byte() % 4 ? fuzz_byte() * 8u : any_word(RAM_BYTES);
	slot->region = fuzz_byte() % 8 == 0 ? fuzz_byte() : 0;
	slot->flags = fuzz_byte() % 4 ? 0 : fuzz_byte();
	slot->gso = fuzz_byte() % 4 ? 0 : fuzz_byte();
	slot->gso_bytes = (uint16_t)any_word(1448);
	slot->header_bytes = (uint16_t)any_word(54);
	slot->csum_start = (uint16_t)any_word(34);
	slot->csum_offset = (uint16_t)any_word(16);
	slot->tag = (uint16_t)any_word(1);
	slot->hash = any_word(0);
}

static void be_hostile(void)
{
	struct ring *ring = fuzz_byte() & 1 ? &bad.out : &bad.in;

	switch (fuzz_byte() % 6) {
	case 0:
		write_word((uint8_t *)&ring->control->added, any_word(ring->control->added));
		break;
	case 1:
	case 2: /* what an honest one does, with slots that are not */
		for (uint32_t i = fuzz_byte() % 6; i > 0; i--) {
			any_slot(&ring->slots[ring->control->added % SLOTS]);
			ring->control->added++;
		}
		break;
	case 3:
		write_word(bad.memory + fuzz_byte() % 128, any_word(PORT_HEARS));
		break;
	case 4: /* the words that are the switch's */
		write_word(bad.memory + any_word(PORT_ALIGN) % (bad.memory_bytes - 4), any_word(0));
		break;
	default: /* a frame that looks like one */
		memcpy(bad.ram, "\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0\x45", 15);
		bad.ram[fuzz_byte() % 64] = fuzz_byte();
		break;
	}
}

static void turn(void)
{
	vswitch_turn(net, 1000000000);
	vswitch_turn(net, 1000000000);
	(void)guest_waits(bad.guest);
	guest_wakes(bad.guest);
}

/* An honest frame arrives whole, whatever else comes. */
static void honest_traffic(uint8_t value)
{
	static const uint8_t to_third[12] = {2, 0, 0, 0, 0, 3, 2, 0, 0, 0, 0, 1};
	struct port_slot slot;
	bool seen = false;
	int ret;

	memcpy(good.ram, to_third, 12);
	memset(good.ram + 12, value, 200);
	ring_add(&good.out, &(struct port_slot){.bytes = 212}, 1);
	(void)!ring_publish(&good.out);
	for (uint32_t i = 0; i < 8; i++) {
		ring_add(&third.in, &(struct port_slot){.offset = i * 2048, .bytes = 2048}, 1);
	}
	(void)!ring_publish(&third.in);
	turn();
	while ((ret = ring_collect(&third.in, &slot)) == 1) {
		const uint8_t *at = third.ram + (third.in.back - 1) % 8 * 2048;

		seen |= slot.bytes == 212 && memcmp(at, good.ram, 212) == 0;
	}
	EXPECT(ret == 0);
	EXPECT(seen || third.port->stats.drops[DROP_NO_ROOM] != 0);
	/* What nobody filled comes back, so that places and slots stay together. */
	((struct port_state *)third.memory)->takes = 0;
	turn();
	while (ring_collect(&third.in, &slot) == 1) {
	}
	((struct port_state *)third.memory)->takes = PORT_HEARS;
	turn();
	EXPECT(ring_collect(&good.out, &slot) == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct port_settings settings;

	fuzz_begin(data, size);
	EXPECT(vswitch_create("net", &net) == 0);
	start(&good, "good");
	start(&bad, "bad");
	start(&third, "third");
	port_defaults(&settings);
	settings.mac = 0x020000000001ull;
	EXPECT(port_set(good.port, &settings) == 0);
	settings.mac = 0x020000000003ull;
	EXPECT(port_set(third.port, &settings) == 0);
	turn();
	while (fuzz_more()) {
		be_hostile();
		if (fuzz_byte() % 4 == 0) {
			turn();
		}
		if (fuzz_byte() % 16 == 0) {
			honest_traffic(fuzz_byte());
		}
	}
	honest_traffic(0x55);
	EXPECT(guest_broken(good.guest) == NULL && guest_broken(third.guest) == NULL);
	stop(&good);
	stop(&bad);
	stop(&third);
	vswitch_destroy(&net);
	return 0;
}
