/*
 * What a hostile guest can make of the worker: any sequence of exits, with any registers, memory,
 * page tables and instruction bytes, against all devices and the emulator, while time passes and
 * people type. Nothing of it may end the process.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "include/hv/hypercall.h"
#include "tests/fake/backend.h"
#include "tests/fuzz/fuzz.h"
#include "vmbus/vmbus.h"
#include "worker/machine.h"
#include "worker/say.h"

#define RAM (1u << 20)

/* Of tests/fake/board.c and host.c. The worker's own struct host is another one; here only pointers
 * go around. */
extern struct host home;
void fake_host_init(struct host *host);
void fake_host_pass(struct host *host, struct board *its_board, uint64_t ns);
void fake_host_type(struct host *host, const char *text);

static struct machine machine;
static struct machine_vp machine_vp;
static struct backend_vp vp;
static uint8_t ram[RAM];

void machine_end(struct machine *m, enum stop_reason reason)
{
	(void)m;
	if (reason == STOP_HOST_ERROR) {
		abort(); /* no guest may have that */
	}
}

void say(const char *format, ...)
{
	(void)format;
}

void say_guest(const char *format, ...)
{
	(void)format;
}

/* Where the calls end: what VMBus makes of them is its own fuzzer's affair. */
int vmbus_message(struct vmbus *bus, uint32_t connection_id, uint32_t type, const void *payload,
		  size_t size)
{
	static uint8_t copy[VMBUS_MESSAGE_MAX];

	(void)bus;
	(void)type;
	if (size > sizeof(copy)) {
		abort();
	}
	memcpy(copy, payload, size);
	return connection_id % 2 ? 0 : -EAGAIN;
}

void control_notify(struct machine *m)
{
	(void)m;
}

bool bus_signal(struct machine *m, uint32_t connection_id)
{
	(void)m;
	return connection_id % 2;
}

struct input {
	const uint8_t *at, *end;
};

static uint64_t take(struct input *input, unsigned int bytes)
{
	uint64_t value = 0;

	while (bytes-- != 0 && input->at < input->end) {
		value = value << 8 | *input->at++;
	}
	return value;
}

/* Addresses that lead somewhere, mostly. */
static uint64_t take_address(struct input *input)
{
	switch (take(input, 1) % 6) {
	case 0:
		return BOARD_IOAPIC_BASE + take(input, 1);
	case 1:
		return 0xa0000 + take(input, 2);
	case 2:
		return RAM - 8 + take(input, 1) % 16;
	case 3:
		return take(input, 8);
	default:
		return take(input, 2) * 16;
	}
}

static uint16_t take_port(struct input *input)
{
	static const uint16_t ports[] = {0x20,  0x21,  0xa0,  0xa1,  0x40,  0x43,  0x61,  0x64,
					 0x70,  0x71,  0x92,  0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc,
					 0x400, 0x402, 0x404, 0x408, 0x40c, 0x4d0, 0xcf8, 0xcf9,
					 0xcfc, 0x510, 0x511, 0x514, 0x518};
	unsigned int choice = (unsigned int)take(input, 1);

	return choice < 200 ? ports[choice % ARRAY_COUNT(ports)] : (uint16_t)take(input, 2);
}

static void take_registers(struct input *input)
{
	static const uint16_t codes[] = {0xa09b, 0xc09b, 0x009b};
	struct vp_registers *r = &vp.registers;
	unsigned int i;

	for (i = 0; i < VP_GPR_COUNT; i++) {
		r->gpr[i] = take_address(input);
	}
	r->rip = take_address(input);
	r->rflags = take(input, 4);
	r->cr0 = take(input, 1);
	r->cr4 = take(input, 2);
	r->efer = take(input, 1) & 1 ? 0x500 : 0;
	for (i = 0; i < VP_SEGMENT_COUNT; i++) {
		r->segments[i] = (struct vp_segment){
			take(input, 1) & 3 ? 0 : take_address(input),
			take(input, 1) & 3 ? 0xffffffff : (uint32_t)take(input, 4),
			(uint16_t)take(input, 1), (uint16_t)take(input, 2)};
	}
	r->segments[VP_CS].attributes = codes[take(input, 1) % 3];
	vp.system = (struct vp_system){
		.ldtr = {take_address(input), (uint32_t)take(input, 2), 0,
			 (uint16_t)take(input, 2)},
		.tr = {take_address(input), (uint32_t)take(input, 2), 0, (uint16_t)take(input, 2)},
		.gdtr = {take_address(input), (uint16_t)take(input, 2)},
	};
	vp.missing = take(input, 1) & 3 ? 0 : take_address(input);
	vp.read_only = take(input, 1) & 1;
}

static void take_instruction(struct input *input, struct vp_exit *exit)
{
	unsigned int i, count = (unsigned int)take(input, 1) % 17;

	for (i = 0; i < count; i++) {
		exit->instruction.bytes[i] = (uint8_t)take(input, 1);
	}
	exit->instruction.byte_count = (uint8_t)count;
	exit->instruction.gpa_valid = take(input, 1) & 1;
	exit->instruction.gva_valid = take(input, 1) & 1;
	exit->instruction.write = take(input, 1) & 1;
	exit->instruction.gva = take_address(input);
	exit->instruction.gpa = take_address(input);
}

static void take_decoded(struct input *input, struct vp_exit *exit)
{
	static uint8_t items[64];

	if (take(input, 1) & 1) {
		exit->kind = VP_EXIT_MEMORY;
		exit->memory.gpa = take_address(input);
		exit->memory.size = (uint8_t)(1 + take(input, 1) % 8);
		exit->memory.write = take(input, 1) & 1;
		exit->memory.value = take(input, exit->memory.size);
	} else {
		exit->kind = VP_EXIT_PORTS;
		exit->ports.port = take_port(input);
		exit->ports.size = (uint8_t)(1u << take(input, 1) % 3);
		exit->ports.write = take(input, 1) & 1;
		exit->ports.count = (uint32_t)(take(input, 1) % 16 + 1);
		exit->ports.items = items;
	}
}

static void one_exit(struct input *input)
{
	struct vp_exit exit = {.kind = VP_EXIT_NONE};

	switch (take(input, 1) % 18) {
	case 0:
	case 1:
	case 2:
	case 3:
		exit.kind = VP_EXIT_PORT;
		exit.port.port = take_port(input);
		exit.port.size = (uint8_t)(1u << take(input, 1) % 3);
		exit.port.write = take(input, 1) & 1;
		exit.port.value = (uint32_t)take(input, exit.port.size);
		break;
	case 4:
	case 5:
	case 6:
		take_registers(input);
		exit.kind = VP_EXIT_INSTRUCTION;
		take_instruction(input, &exit);
		break;
	case 7:
		exit.kind = VP_EXIT_INSTRUCTION;
		take_instruction(input, &exit);
		break;
	case 8:
		exit.kind = VP_EXIT_EOI;
		exit.eoi_vector = (uint8_t)take(input, 1);
		break;
	case 9:
		exit.kind = VP_EXIT_WINDOW;
		break;
	case 10:
		exit.kind = VP_EXIT_MSR;
		if (take(input, 1) & 1) {
			exit.kind = VP_EXIT_CRASH;
			exit.crash_text = true;
			vp.crash_parameters[3] = take_address(input);
			vp.crash_parameters[4] = take(input, 2);
			atomic_store(&machine.crashed, false);
		}
		break;
	case 11:
		fake_host_pass(&home, &machine.board, take(input, 4));
		break;
	case 12:
		fake_host_type(&home, "typed");
		board_serial_ready(&machine.board);
		break;
	case 13:
		board_serial_drained(&machine.board);
		break;
	case 14:
		board_power_button(&machine.board);
		break;
	case 15:
		exit.kind = VP_EXIT_HYPERCALL;
		exit.hypercall.code = (uint16_t)(HVCALL_POST_MESSAGE + take(input, 1) % 3);
		exit.hypercall.fast = take(input, 1) & 1;
		exit.hypercall.input = take_address(input);
		if (take(input, 1) & 1) {
			machine.memory.in_blocks = take(input, 1) & 1;
			exit.hypercall.code =
				(uint16_t)(HV_EXT_CALL_QUERY_CAPABILITIES + take(input, 1) % 3);
			exit.hypercall.output = take_address(input);
			exit.hypercall.rep_count = (uint16_t)take(input, 2);
			exit.hypercall.rep_start = (uint16_t)take(input, 1);
		}
		break;
	case 16:
		take_decoded(input, &exit);
		break;
	default:
		board_reset(&machine.board);
		break;
	}
	intercept_handle(&machine_vp, &exit);
}

static _Atomic uint32_t users[RAM / MEMORY_PAGE];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, data + size};
	unsigned int exits = 0;

	fake_host_init(&home);
	memset(&vp, 0, sizeof(vp));
	memset(&machine_vp.cache, 0, sizeof(machine_vp.cache));
	machine.memory = (struct memory){
		.base = ram, .size = RAM, .low_end = RAM, .high_end = MEMORY_4G, .users = users};
	board_create(&machine.board, &home,
		     (enum board_kind)(take(&input, 1) % (BOARD_GENERATION_2 + 1)));
	machine_vp.machine = &machine;
	machine_vp.vp = &vp;
	while (input.at < input.end && exits++ < 500) {
		one_exit(&input);
	}
	board_destroy(&machine.board);
	for (exits = 0; exits < RAM / MEMORY_PAGE; exits++) {
		EXPECT(users[exits] == 0);
	}
	return 0;
}
