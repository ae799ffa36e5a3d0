/*
 * What comes to a worker that waits for a machine (worker/arrival.c): frames in any order, with any
 * lengths, of pages and of a list of parts that was right before bytes of it were changed. The
 * whole worker is behind it, on a home of its own (tests/fake/home.h). Whatever comes, the worker
 * refuses it or has a machine that can be stopped; and it takes the owner file for itself only when
 * all was loaded.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sanitizer/common_interface_defs.h>
#include <zlib.h>

#include "hvs/hvs.h"
#include "tests/fake/home.h"
#include "tests/fuzz/fuzz.h"
#include "vmbus/vmbus.h"
#include "disk/disk.h"
#include "worker/arrival.h"
#include "worker/carry.h"
#include "worker/job.h"
#include "worker/machine.h"
#include "worker/offer.h"
#include "hosted/owner.h"
#include "worker/save.h"
#include "worker/wire.h"

static struct machine machine;
static struct config config = {.name = "fuzz",
			       .memory = 16 << 20,
			       .memory_maximum = 16 << 20,
			       .vps = 1,
			       .serial = SERIAL_CONTROL,
			       .receive = {.path = "fuzz", .fd = -1},
			       .receive_owner = {.path = "fuzz", .fd = -1}};
static uint8_t *list, *wrong; /* right, and as it is sent */
static uint32_t list_size;
static uint8_t packed[HVS_PACKED_BYTES];
static uint32_t packed_size;
static int owner, quiet, loud; /* files */
#define DISK_BYTES (256u << 10)
static struct disk *disk; /* that comes along */

static void on_kick(int number)
{
	(void)number;
}

/* A list of parts that a machine as this one is has. */
static void make_list(void)
{
	struct jobs jobs = {.event = owner};
	struct job job = {.jobs = &jobs};

	EXPECT(machine_start(&machine));
	EXPECT(machine_pause_vps(&machine, &job) == 0);
	while (machine_pause_bus(&machine, &job) != 0) {
		vmbus_serve(machine.bus);
	}
	EXPECT(save_list(&machine, &list, &list_size) == 0);
	wrong = malloc(list_size);
	EXPECT(wrong != NULL);
	machine_end(&machine, STOP_REQUEST);
	machine_stop(&machine);
}

static void make_block(void)
{
	uint8_t page[HVS_PAGE_BYTES];
	struct hvs_packer packer;

	hvs_pack_begin(&packer, packed);
	for (unsigned int i = 0; i < HVS_BLOCK_PAGES; i++) {
		memset(page, (int)i, sizeof(page));
		page[i] = 7;
		hvs_pack_page(&packer, page);
	}
	packed_size = hvs_pack_end(&packer, packed);
}

static void make_disk(void)
{
	int fd = memfd_create("disk", 0);
	const struct disk_open how = {
		.format = DISK_FORMAT_RAW, .flags = DISK_NO_LOCK, .fds = &fd, .fd_count = 1};

	EXPECT(fd >= 0 && ftruncate(fd, DISK_BYTES) == 0);
	EXPECT(disk_open("disk", &how, &disk, NULL) == 0);
}

static void set_up(void)
{
	struct sigaction action = {.sa_handler = on_kick};
	enum backend_lack lack;

	sigaction(VP_KICK, &action, NULL);
	owner = memfd_create("owner", 0);
	quiet = open("/dev/null", O_WRONLY);
	loud = dup(STDERR_FILENO);
	__sanitizer_set_report_fd(
		(void *)(uintptr_t)loud); /* of what is found while the worker is not to be heard */
	home_is_saved = true;
	machine.config = &config;
	machine.backend = backend_open(&lack);
	machine.loader.kernel.fd = machine.loader.initrd.fd = -1;
	/* As one that waits for a machine: no kernel is loaded, and nothing is attached yet. */
	machine.arrival = (struct arrival *)&machine;
	EXPECT(machine_create(&machine));
	machine.arrival = NULL;
	EXPECT(networks_attach(&machine) && hvsock_begin(&machine) && hvsock_create(&machine));
	make_list();
	make_block();
	make_disk();
}

/* ---- What is sent ---- */

static int out;

static void put(uint32_t type, const void *first, size_t first_size, const void *rest, size_t size)
{
	uint32_t header[2] = {type, (uint32_t)(first_size + size)};
	struct iovec parts[3] = {
		{header, sizeof(header)}, {(void *)first, first_size}, {(void *)rest, size}};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 3};

	/* Now and then a length that is not true. */
	if (fuzz_byte() == 255) {
		header[1] ^= 1u << fuzz_byte() % 32;
	}
	(void)!sendmsg(out, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static uint32_t change(uint8_t *bytes, uint32_t size)
{
	for (unsigned int i = fuzz_byte() % 4; i > 0 && size > 0; i--) {
		uint32_t at =
			(fuzz_byte() | (uint32_t)fuzz_byte() << 8 | (uint32_t)fuzz_byte() << 16) %
			size;

		bytes[at] = fuzz_byte();
	}
	return fuzz_byte() < 250 ? size : size * fuzz_byte() / 256;
}

static void put_hello(const uint8_t token[OWNER_TOKEN_BYTES])
{
	struct wire_hello hello = {.lowest = 1, .highest = WIRE_VERSION};
	uint8_t bytes[4096];
	struct state_writer writer = state_writer(bytes, sizeof(bytes));
	struct offer offer;

	offer_of_machine(&offer, &machine);
	offer_write(&offer, &writer);
	memcpy(hello.token, token, sizeof(hello.token));
	if (fuzz_byte() > 240) {
		((uint8_t *)&hello)[fuzz_byte() % sizeof(hello)] = fuzz_byte();
	}
	if (fuzz_byte() > 240) {
		writer.used = change(bytes, (uint32_t)writer.used);
	}
	put(WIRE_HELLO, &hello, sizeof(hello), bytes, writer.used);
}

static void put_pages(void)
{
	static uint8_t block[HVS_PACKED_BYTES];
	struct wire_pages pages = {.block = fuzz_byte() % 18};
	uint32_t size = packed_size;

	memset(pages.there, fuzz_byte(), sizeof(pages.there));
	memcpy(block, packed, packed_size);
	if (fuzz_byte() > 200) {
		size = change(block, size);
	}
	if (fuzz_byte() > 250) {
		pages.block = UINT64_MAX >> fuzz_byte() % 64;
	}
	put(WIRE_PAGES, &pages, sizeof(pages), block, size);
}

static void put_list(void)
{
	struct wire_end end;
	uint32_t half;

	memcpy(wrong, list, list_size);
	end.size = change(wrong, list_size);
	end.crc = (uint32_t)crc32(0, wrong, end.size);
	half = end.size / (1 + fuzz_byte() % 4);
	put(WIRE_LIST, wrong, half, NULL, 0);
	if (fuzz_byte() > 250) {
		put(WIRE_LIST, NULL, 0, NULL, 0);
	}
	put(WIRE_LIST, wrong + half, end.size - half, NULL, 0);
	if (fuzz_byte() > 250) {
		end.crc++;
	}
	put(WIRE_END, &end, sizeof(end), NULL, 0);
}

static void send_all(const uint8_t token[OWNER_TOKEN_BYTES])
{
	put_hello(token);
	while (fuzz_byte() > 128) {
		put_pages();
	}
	if (fuzz_byte() > 250) {
		put(fuzz_byte(), token, fuzz_byte() % OWNER_TOKEN_BYTES, NULL, 0);
	}
	put_list();
}

/* Pieces of a disk that comes along: what is not refused is in it, and nothing else has changed. */
static void take_disk(void)
{
	static struct wire_frame frame;
	static uint8_t before[DISK_BYTES], after[DISK_BYTES];
	struct wire_disk head = {.place = fuzz_byte() % 2 ? 0 : fuzz_byte(),
				 .zeros = fuzz_byte() % 4 == 0 ? fuzz_byte() % 3 : 0,
				 .offset = (uint64_t)fuzz_byte() << 10,
				 .length = (uint64_t)fuzz_byte() << fuzz_byte() % 12};
	char why[WIRE_TEXT_MAX];
	bool taken;

	if (fuzz_byte() > 240) {
		((uint8_t *)&head)[fuzz_byte() % sizeof(head)] = fuzz_byte();
	}
	frame.type = WIRE_DISK;
	frame.length = (uint32_t)(sizeof(head) + (head.zeros == 1 ? 0 : head.length & 0xfffff));
	frame.length = fuzz_byte() > 240 ? fuzz_byte() : frame.length;
	memset(frame.payload, fuzz_byte(), sizeof(frame.payload));
	memcpy(frame.payload, &head, sizeof(head));
	EXPECT(disk_read(disk, before, DISK_BYTES, 0) == 0);
	taken = carry_take(&machine, &frame, why, sizeof(why));
	EXPECT(disk_read(disk, after, DISK_BYTES, 0) == 0);
	if (taken) {
		EXPECT(head.place == 0 && head.zeros <= 1 && head.length != 0 &&
		       head.offset <= DISK_BYTES && head.length <= DISK_BYTES - head.offset);
		if (head.zeros) {
			memset(before + head.offset, 0, head.length);
		} else {
			memcpy(before + head.offset, frame.payload + sizeof(head), head.length);
		}
	}
	EXPECT(memcmp(before, after, DISK_BYTES) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t token[OWNER_TOKEN_BYTES] = "a token";
	static bool is_set_up;
	enum owner whose;
	int ends[2];
	bool runs;

	if (!is_set_up) {
		set_up();
		is_set_up = true;
	}
	fuzz_begin(data, size);
	machine.disks.places[0].file = disk;
	while (fuzz_byte() % 4 == 1) {
		take_disk();
	}
	machine.disks.places[0].file = NULL;
	EXPECT(owner_begin(owner, token) == 0);
	EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
	out = ends[0];
	send_all(token);
	shutdown(out, SHUT_WR);
	config.receive.fd = ends[1];
	config.receive_owner.fd = dup(owner);
	dup2(quiet, STDERR_FILENO);
	runs = arrival_open(&machine) && machine_start(&machine);
	if (runs) {
		machine_end(&machine, STOP_REQUEST);
		machine_stop(&machine);
	}
	dup2(loud, STDERR_FILENO);
	EXPECT(machine.arrival == NULL && machine.partition == NULL);
	/* Nobody's still, or, if it runs, its own. */
	EXPECT(owner_ask(owner, token, OWNER_SOURCE, &whose) == 0);
	EXPECT(whose == (runs ? OWNER_TARGET : OWNER_SOURCE));
	if (machine.saved != NULL) {
		saved_close(&machine);
	}
	close(out);
	return 0;
}
