/*
 * The whole worker on a home of backend.h that is not the root module's (tests/fake/home.h): its
 * threads and its loop, devices by exits that are decoded and by instructions that are not,
 * interrupts, VMBus and a disk behind it, resets. No line of the worker knows of it.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "include/hv/status.h"
#include "include/vmbus/ring.h"
#include "include/vsp/storvsp.h"
#include "tests/fake/home.h"
#include "tests/fake/life.h"
#include "vmbus/vmbus.h"
#include "worker/machine.h"

#define COM1         0x3f8
#define SECTOR       512u
#define DISK_SECTORS 2048u
#define READ_SECTOR  5u
#define READ_GPA     0x300000u

static struct machine machine;
static struct config config;
static char folder[] = "/tmp/home_test.XXXXXX";
static char kernel_path[64], disk_path[64], serial_path[64];
/* What a guest finds wrong is told by its thread, and is the test's affair when the machine is
 * off. */
static const char *trouble;
static bool done;

#define EXPECT(condition)                                                                          \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			trouble = #condition;                                                      \
			fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                    \
			home_exit(vp, VP_EXIT_TRIPLE_FAULT);                                       \
		}                                                                                  \
	} while (0)

/* ---- devices ---- */

static void serial_line(struct home_vp *vp)
{
	static const char first[] = "by OUT\n";
	static char second[] = "by OUTS\n";

	for (size_t i = 0; first[i] != '\0'; i++) {
		EXPECT(home_in(vp, COM1 + 5, 1) & 0x20);
		home_out(vp, COM1, 1, (uint8_t)first[i]);
	}
	home_outs(vp, COM1, 1, second, sizeof(second) - 1);
}

static void devices_at_ports(struct home_vp *vp)
{
	uint8_t items[3] = {0};

	home_out(vp, 0xcf8, 4, 0x80000000);
	EXPECT(home_in(vp, 0xcfc, 4) == 0x71928086);
	EXPECT(home_in(vp, 0xcfe, 2) == 0x7192);
	home_out(vp, 0x70, 1, 0x0d); /* the clock's battery is good */
	home_ins(vp, 0x71, 1, items, 3);
	EXPECT(items[0] == 0x80 && items[1] == 0x80 && items[2] == 0x80);
	EXPECT(home_in(vp, 0x404, 2) & 1);            /* ACPI: SCI_EN */
	EXPECT(home_in(vp, 0x64, 1) == 0);            /* a keyboard controller that has nothing */
	EXPECT(home_in(vp, 0x92, 1) == 2);            /* address line 20 is on */
	EXPECT(home_in(vp, 0x5678, 4) == 0xffffffff); /* nobody */
}

/* The PIT's tick through the 8259 pair, which has it injected. */
static void old_interrupts(struct home_vp *vp)
{
	static const uint8_t init[][2] = {{0x20, 0x11}, {0x21, 0x20}, {0x21, 4},    {0x21, 1},
					  {0xa0, 0x11}, {0xa1, 0x28}, {0xa1, 2},    {0xa1, 1},
					  {0x21, 0xfe}, {0xa1, 0xff}, {0x43, 0x34}, {0x40, 0xa9},
					  {0x40, 4}};

	for (size_t i = 0; i < sizeof(init) / sizeof(init[0]); i++) {
		home_out(vp, init[i][0], 1, init[i][1]);
	}
	EXPECT(home_take_extint(vp) == 0x20);
	home_out(vp, 0x20, 1, 0x20);
	EXPECT(home_take_extint(vp) == 0x20);
	home_out(vp, 0x21, 1, 0xff);
	home_out(vp, 0x20, 1, 0x20);
}

static void ioapic_set(struct home_vp *vp, uint8_t index, uint32_t value)
{
	home_write(vp, BOARD_IOAPIC_BASE, 4, index);
	home_write(vp, BOARD_IOAPIC_BASE + 0x10, 4, value);
}

static uint32_t ioapic_get(struct home_vp *vp, uint8_t index)
{
	home_write(vp, BOARD_IOAPIC_BASE, 4, index);
	return (uint32_t)home_read(vp, BOARD_IOAPIC_BASE + 0x10, 4);
}

#define PIN4  0x18
#define LEVEL 0x8000u

/* A level-triggered line that stays up is sent again at each end of its interrupt. */
static void level_interrupts(struct home_vp *vp)
{
	EXPECT(ioapic_get(vp, PIN4) & 0x10000);
	ioapic_set(vp, PIN4 + 1, 0);
	ioapic_set(vp, PIN4, LEVEL | 0x51);
	home_out(vp, COM1 + 4, 1, 0x08); /* OUT2 lets it through */
	home_out(vp, COM1 + 1, 1, 0x02); /* the transmitter is empty */
	home_wait_interrupt(vp, 0x51, 1);
	EXPECT(ioapic_get(vp, PIN4) & 0x4000); /* remote IRR */
	home_eoi(vp, 0x51);
	home_wait_interrupt(vp, 0x51, 2);
	home_out(vp, COM1 + 1, 1, 0);
	home_eoi(vp, 0x51);
	EXPECT(!(ioapic_get(vp, PIN4) & 0x4000));
	ioapic_set(vp, PIN4, 0x10000);
}

static void memory_without_ram(struct home_vp *vp)
{
	EXPECT(home_read(vp, 0xfd000000, 8) == UINT64_MAX);
	EXPECT(home_read(vp, 0xa0000, 1) == 0xff);
	home_write(vp, 0xfd000001, 7, 0x123456789abcde);
	EXPECT((home_read(vp, BOARD_IOAPIC_BASE, 4) & 0xff) == PIN4); /* the index that was last */
}

/* ---- instructions ---- */

static void instructions(struct home_vp *vp)
{
	static const uint8_t store[] = {0x89, 0x07}, load[] = {0x8b, 0x07}, outsb[] = {0xf3, 0x6e},
			     unknown[] = {0xd9, 0x07};
	static const char text[] = "by an instruction\n";
	struct backend_vp *registers = home_registers(vp);
	struct vp_registers *r = &registers->registers;

	r->cr0 = 0x80000001;
	r->efer = 0x500;
	r->rip = 0x100000;
	r->segments[VP_CS].attributes = 0xa09b;
	r->gpr[VP_RDI] = BOARD_IOAPIC_BASE;
	r->gpr[VP_RAX] = 1; /* the version */
	home_instruction(vp, store, sizeof(store), BOARD_IOAPIC_BASE, true);
	EXPECT(r->rip == 0x100002);
	r->gpr[VP_RDI] += 0x10;
	home_instruction(vp, load, sizeof(load), BOARD_IOAPIC_BASE + 0x10, false);
	EXPECT(r->rip == 0x100004 && r->gpr[VP_RAX] == ioapic_get(vp, 1));
	memcpy(home_memory(vp, 0x9000, sizeof(text)), text, sizeof(text));
	r->gpr[VP_RSI] = 0x9000;
	r->gpr[VP_RDX] = COM1;
	r->gpr[VP_RCX] = sizeof(text) - 1;
	home_instruction(vp, outsb, sizeof(outsb), 0, false);
	EXPECT(r->gpr[VP_RCX] == 0 && r->rip == 0x100006);
	home_instruction(vp, unknown, sizeof(unknown), BOARD_IOAPIC_BASE, false);
	EXPECT(registers->injected && registers->vector == VP_EXCEPTION_UD);
	registers->injected = false;
}

/* ---- VMBus ---- */

#define RING_GPA   0x200000u
#define RING_PAGES 16u
#define HALF_PAGES (RING_PAGES / 2)
#define RING_BYTES ((HALF_PAGES - 1) * VMBUS_PAGE_SIZE)
#define GPADL      77u

struct channel {
	struct home_vp *vp;
	uint32_t connection; /* for messages */
	struct vmbus_channel_offer_channel offer;
	struct hv_ring_buffer *out, *in;
};

static void post(struct channel *bus, const void *message, uint32_t size)
{
	struct home_vp *vp = bus->vp;

	EXPECT(home_post(vp, bus->connection, VMBUS_MESSAGE_TYPE, message, size) ==
	       HV_STATUS_SUCCESS);
}

/* The next message; false: it is another one. */
static bool take(struct channel *bus, uint32_t type, void *message, size_t size)
{
	struct vmbus_channel_message_header header;
	struct hv_message taken;

	home_take_message(bus->vp, VMBUS_MESSAGE_SINT, &taken);
	memcpy(&header, taken.u.payload, sizeof(header));
	memcpy(message, taken.u.payload, size);
	return taken.header.message_type == VMBUS_MESSAGE_TYPE && header.msgtype == type;
}

static void connect_bus(struct channel *bus)
{
	const struct vmbus_channel_initiate_contact contact = {
		.header.msgtype = CHANNELMSG_INITIATE_CONTACT,
		.vmbus_version_requested = VERSION_WIN10_V5,
		.msg_sint = VMBUS_MESSAGE_SINT,
	};
	struct vmbus_channel_version_response answer;
	struct home_vp *vp = bus->vp;

	bus->connection = VMBUS_MESSAGE_CONNECTION_ID_4;
	EXPECT(home_post(vp, 99, VMBUS_MESSAGE_TYPE, &contact, sizeof(contact)) ==
	       HV_STATUS_INVALID_CONNECTION_ID);
	post(bus, &contact, sizeof(contact));
	EXPECT(take(bus, CHANNELMSG_VERSION_RESPONSE, &answer, sizeof(answer)));
	EXPECT(answer.version_supported);
	bus->connection = answer.msg_conn_id;
}

static void find_offer(struct channel *bus)
{
	const struct vmbus_channel_message_header request = {.msgtype = CHANNELMSG_REQUESTOFFERS};
	const struct vmbus_guid scsi = VMBUS_GUID_SCSI;
	struct vmbus_channel_offer_channel offer;
	struct home_vp *vp = bus->vp;

	post(bus, &request, sizeof(request));
	while (take(bus, CHANNELMSG_OFFERCHANNEL, &offer, sizeof(offer))) {
		if (memcmp(&offer.offer.if_type, &scsi, sizeof(scsi)) == 0) {
			bus->offer = offer;
		}
	}
	EXPECT(bus->offer.child_relid != 0);
}

static void open_channel(struct channel *bus)
{
	struct {
		struct vmbus_channel_gpadl_header header;
		uint32_t byte_count, byte_offset;
		uint64_t pages[RING_PAGES];
	} __attribute__((packed)) gpadl = {.header = {.header.msgtype = CHANNELMSG_GPADL_HEADER,
						      .child_relid = bus->offer.child_relid,
						      .gpadl = GPADL,
						      .range_buflen = 8 + 8 * RING_PAGES,
						      .rangecount = 1},
					   .byte_count = RING_PAGES * VMBUS_PAGE_SIZE};
	const struct vmbus_channel_open_channel open = {
		.header.msgtype = CHANNELMSG_OPENCHANNEL,
		.child_relid = bus->offer.child_relid,
		.openid = 5,
		.ringbuffer_gpadlhandle = GPADL,
		.downstream_ringbuffer_pageoffset = HALF_PAGES,
	};
	struct vmbus_channel_gpadl_created created;
	struct vmbus_channel_open_result opened;
	struct home_vp *vp = bus->vp;

	for (uint32_t i = 0; i < RING_PAGES; i++) {
		gpadl.pages[i] = RING_GPA / VMBUS_PAGE_SIZE + i;
	}
	bus->out = home_memory(vp, RING_GPA, RING_PAGES * VMBUS_PAGE_SIZE);
	bus->in = bus->out + HALF_PAGES;
	post(bus, &gpadl, sizeof(gpadl));
	EXPECT(take(bus, CHANNELMSG_GPADL_CREATED, &created, sizeof(created)));
	EXPECT(created.gpadl == GPADL && created.creation_status == 0);
	post(bus, &open, sizeof(open));
	EXPECT(take(bus, CHANNELMSG_OPENCHANNEL_RESULT, &opened, sizeof(opened)));
	EXPECT(opened.openid == 5 && opened.status == 0);
}

static void close_channel(struct channel *bus)
{
	const struct vmbus_channel_relid close = {.header.msgtype = CHANNELMSG_CLOSECHANNEL,
						  .child_relid = bus->offer.child_relid};
	const struct vmbus_channel_gpadl_teardown teardown = {
		.header.msgtype = CHANNELMSG_GPADL_TEARDOWN,
		.child_relid = bus->offer.child_relid,
		.gpadl = GPADL,
	};
	const struct vmbus_channel_message_header unload = {.msgtype = CHANNELMSG_UNLOAD};
	struct vmbus_channel_gpadl_torndown torndown;
	struct vmbus_channel_message_header unloaded;
	struct home_vp *vp = bus->vp;

	post(bus, &close, sizeof(close));
	post(bus, &teardown, sizeof(teardown));
	EXPECT(take(bus, CHANNELMSG_GPADL_TORNDOWN, &torndown, sizeof(torndown)));
	post(bus, &unload, sizeof(unload));
	EXPECT(take(bus, CHANNELMSG_UNLOAD_RESPONSE, &unloaded, sizeof(unloaded)));
}

/* ---- the disk ---- */

/* To the ring; no packet of this test reaches its end. */
static void put(struct channel *bus, const void *from, uint32_t size)
{
	uint32_t at = bus->out->write_index;

	memcpy((uint8_t *)(bus->out + 1) + at, from, size);
	__atomic_store_n(&bus->out->write_index, at + size, __ATOMIC_SEQ_CST);
}

struct request {
	struct vmpacket_descriptor descriptor;
	struct vmgpa_direct_header direct;
	uint32_t byte_count, byte_offset;
	uint64_t page;
	struct storvsp_packet packet;
	struct vmpacket_trailer trailer;
};

/* The answer's status. */
static uint32_t request(struct channel *bus, const struct storvsp_packet *packet, bool data,
			struct storvsp_packet *answer)
{
	const uint16_t head = data ? 40 : 16;
	struct request r = {
		.descriptor = {.type = data ? VM_PKT_DATA_USING_GPA_DIRECT : VM_PKT_DATA_INBAND,
			       .offset8 = head / 8,
			       .len8 = (uint16_t)((head + sizeof(*packet)) / 8),
			       .flags = VMBUS_DATA_PACKET_FLAG_COMPLETION_REQUESTED,
			       .trans_id = packet->operation},
		.direct.range_cnt = 1,
		.byte_count = SECTOR,
		.page = READ_GPA / VMBUS_PAGE_SIZE,
		.packet = *packet,
	};
	struct home_vp *vp = bus->vp;
	uint8_t bytes[sizeof(r)];
	struct vmpacket_descriptor got;
	const uint8_t *at;

	memcpy(bytes, &r, head);
	memcpy(bytes + head, &r.packet, sizeof(r.packet));
	memcpy(bytes + head + sizeof(r.packet), &r.trailer, sizeof(r.trailer));
	put(bus, bytes, (uint32_t)(head + sizeof(r.packet) + sizeof(r.trailer)));
	EXPECT(home_signal(vp, bus->offer.connection_id) == HV_STATUS_SUCCESS);
	while (__atomic_load_n(&bus->in->write_index, __ATOMIC_SEQ_CST) == bus->in->read_index) {
		home_wait_flag(vp, VMBUS_MESSAGE_SINT, bus->offer.child_relid);
	}
	at = (const uint8_t *)(bus->in + 1) + bus->in->read_index;
	memcpy(&got, at, sizeof(got));
	EXPECT(got.type == VM_PKT_COMP && got.trans_id == packet->operation);
	memset(answer, 0, sizeof(*answer));
	memcpy(answer, at + got.offset8 * 8, (size_t)(got.len8 - got.offset8) * 8);
	EXPECT(answer->operation == STORVSP_COMPLETE_IO);
	bus->in->read_index += got.len8 * 8 + (uint32_t)sizeof(struct vmpacket_trailer);
	return answer->status;
}

static void use_disk(struct channel *bus)
{
	const struct storvsp_packet begin[] = {
		{.operation = STORVSP_BEGIN_INITIALIZATION, .flags = STORVSP_FLAG_COMPLETION},
		{.operation = STORVSP_QUERY_PROTOCOL_VERSION,
		 .flags = STORVSP_FLAG_COMPLETION,
		 .version.version = STORVSP_VERSION_WIN10},
		{.operation = STORVSP_QUERY_PROPERTIES, .flags = STORVSP_FLAG_COMPLETION},
		{.operation = STORVSP_END_INITIALIZATION, .flags = STORVSP_FLAG_COMPLETION},
	};
	const struct storvsp_packet read = {
		.operation = STORVSP_EXECUTE_SRB,
		.flags = STORVSP_FLAG_COMPLETION,
		.srb = {.length = sizeof(struct storvsp_srb),
			.cdb_length = 10,
			.sense_length = STORVSP_SENSE_BYTES,
			.data_in = STORVSP_DATA_IN,
			.data_transfer_length = SECTOR,
			.cdb = {0x28, 0, 0, 0, 0, READ_SECTOR, 0, 0, 1, 0},
			.srb_flags = STORVSP_SRB_DATA_IN},
	};
	struct storvsp_packet answer;
	struct home_vp *vp = bus->vp;
	const uint8_t *data = home_memory(vp, READ_GPA, SECTOR);

	for (size_t i = 0; i < sizeof(begin) / sizeof(begin[0]); i++) {
		EXPECT(request(bus, &begin[i], false, &answer) == STORVSP_STATUS_SUCCESS);
	}
	/* The first command of a new disk is told that it is there; then it reads. */
	for (int i = 0; i < 3 && data[0] != READ_SECTOR; i++) {
		(void)request(bus, &read, true, &answer);
	}
	EXPECT(answer.srb.srb_status == STORVSP_SRB_SUCCESS && answer.srb.scsi_status == 0);
	for (uint32_t i = 0; i < SECTOR; i++) {
		EXPECT(data[i] == READ_SECTOR);
	}
}

static void bus_and_disk(struct home_vp *vp)
{
	static struct channel bus;

	bus = (struct channel){.vp = vp};
	connect_bus(&bus);
	find_offer(&bus);
	open_channel(&bus);
	use_disk(&bus);
	close_channel(&bus);
}

/* ---- guests ---- */

static void power_off(struct home_vp *vp)
{
	done = true;
	home_out(vp, 0x404, 2, 5u << 10 | 0x2000);
}

/* Of one VP: the other sleeps. */
static void first_life(struct home_vp *vp)
{
	if (home_index(vp) != 0) {
		return;
	}
	serial_line(vp);
	devices_at_ports(vp);
	old_interrupts(vp);
	level_interrupts(vp);
	memory_without_ram(vp);
	instructions(vp);
	bus_and_disk(vp);
	power_off(vp);
}

/* A reset in the middle of things: the channel is open. */
static void until_reset(struct home_vp *vp)
{
	static struct channel bus;

	if (home_index(vp) != 0) {
		return;
	}
	ioapic_set(vp, PIN4, 0x51);
	*(uint32_t *)home_memory(vp, READ_GPA, 4) = 1;
	bus = (struct channel){.vp = vp};
	connect_bus(&bus);
	find_offer(&bus);
	open_channel(&bus);
	home_guest = first_life;
	home_out(vp, 0xcf9, 1, 0x02);
	home_out(vp, 0xcf9, 1, 0x06);
}

static void halts(struct home_vp *vp)
{
	home_exit(vp, VP_EXIT_HALT);
}

static void faults(struct home_vp *vp)
{
	home_exit(vp, VP_EXIT_TRIPLE_FAULT);
}

/* ---- the machine ---- */

/* A disk whose sectors say their numbers. */
static int make_files(void **state)
{
	static uint8_t disk[DISK_SECTORS * SECTOR];

	(void)state;
	assert_non_null(mkdtemp(folder));
	for (size_t i = 0; i < sizeof(disk); i++) {
		disk[i] = (uint8_t)(i / SECTOR);
	}
	life_make_kernel(kernel_path, folder);
	life_make_file(disk_path, folder, "disk", disk, sizeof(disk));
	life_make_file(serial_path, folder, "serial", "", 0);
	return 0;
}

static int remove_files(void **state)
{
	(void)state;
	unlink(kernel_path);
	unlink(disk_path);
	unlink(serial_path);
	return rmdir(folder);
}

static enum stop_reason live(void)
{
	char serial[80], disk[80];
	char *words[] = {"vmwp",  "--name", "home",     "--kernel", kernel_path, "--memory", "16M",
			 "--vps", "2",      "--serial", serial,     "--disk",    disk,       NULL};

	snprintf(serial, sizeof(serial), "file:%s", serial_path);
	snprintf(disk, sizeof(disk), "%s,raw", disk_path);
	return life_live(&machine, &config, words);
}

static void bury(void)
{
	life_bury(&machine, &config);
}

static int setup(void **state)
{
	(void)state;
	trouble = NULL;
	done = false;
	home_binds_events = true;
	return 0;
}

static void expect_end(void (*guest)(struct home_vp *), enum stop_reason reason)
{
	enum stop_reason end;

	home_guest = guest;
	end = live();
	bury();
	assert_null(trouble);
	assert_int_equal(end, reason);
}

static void everything(void **state)
{
	char text[256] = "";
	FILE *file;

	(void)state;
	expect_end(first_life, STOP_POWER_OFF);
	assert_true(done);
	file = fopen(serial_path, "r");
	assert_non_null(file);
	assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
	fclose(file);
	assert_string_equal(text, "by OUT\nby OUTS\nby an instruction\n");
}

/* Where the home cannot bind signals to eventfds, they come as calls. */
static void without_bound_events(void **state)
{
	(void)state;
	home_binds_events = false;
	expect_end(first_life, STOP_POWER_OFF);
	assert_true(done);
}

static void a_reset_is_a_new_machine(void **state)
{
	(void)state;
	expect_end(until_reset, STOP_POWER_OFF);
	assert_true(done);
}

static void ends(void **state)
{
	(void)state;
	expect_end(halts, STOP_HOST_ERROR);
	expect_end(faults, STOP_TRIPLE_FAULT);
}

#define T(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(everything),
		T(without_bound_events),
		T(a_reset_is_a_new_machine),
		T(ends),
	};

	return cmocka_run_group_tests(tests, make_files, remove_files);
}
