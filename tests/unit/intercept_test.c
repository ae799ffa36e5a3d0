/* worker/intercept.c: what is said of a guest's end, and of what it did that is not supported. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "include/hv/hypercall.h"
#include "include/hv/interrupt.h"
#include "include/hv/status.h"
#include "tests/fake/assigned.h"
#include "tests/fake/backend.h"
#include "vmbus/vmbus.h"
#include "worker/crash.h"
#include "worker/machine.h"
#include "worker/say.h"

/* Of tests/fake/board.c; the worker's struct host is another one, only pointers go around here. */
extern struct host home;
void fake_host_init(struct host *host);

static struct machine machine;
static struct backend_vp vp;
static struct machine_vp machine_vp = {.machine = &machine, .vp = &vp, .index = 2};
static char said[1024], said_of_guest[1024];
static enum stop_reason ended;

static void keep(char *to, size_t size, const char *format, va_list arguments)
{
	vsnprintf(to, size, format, arguments);
}

void say(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	keep(said, sizeof(said), format, arguments);
	va_end(arguments);
}

void say_guest(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	keep(said_of_guest, sizeof(said_of_guest), format, arguments);
	va_end(arguments);
}

void machine_end(struct machine *m, enum stop_reason reason)
{
	assert_ptr_equal(m, &machine);
	ended = reason;
}

void crash_report(struct machine_vp *which, bool text)
{
	(void)which;
	(void)text;
}

void control_notify(struct machine *m)
{
	(void)m;
}

int vmbus_message(struct vmbus *bus, uint32_t connection_id, uint32_t type, const void *payload,
		  size_t size)
{
	(void)bus;
	(void)connection_id;
	(void)type;
	(void)payload;
	(void)size;
	return 0;
}

bool bus_signal(struct machine *m, uint32_t connection_id)
{
	(void)m;
	(void)connection_id;
	return false;
}

static int setup(void **state)
{
	(void)state;
	memset(&vp, 0, sizeof(vp));
	said[0] = said_of_guest[0] = '\0';
	ended = STOP_NONE;
	vp.registers.cr0 = 0x80000001;
	vp.registers.efer = 0x500;
	vp.registers.rip = 0xffffffff81234567ull;
	vp.registers.segments[VP_CS] = (struct vp_segment){.attributes = 0xa09b, .selector = 0x10};
	fake_host_init(&home);
	board_create(&machine.board, &home, BOARD_DIRECT);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	board_destroy(&machine.board);
	return 0;
}

static void triple_fault(const char *where)
{
	struct vp_exit exit = {.kind = VP_EXIT_TRIPLE_FAULT};
	char wanted[200];

	intercept_handle(&machine_vp, &exit);
	assert_int_equal(ended, STOP_TRIPLE_FAULT);
	snprintf(wanted, sizeof(wanted), "VP 2: triple fault at %s", where);
	assert_string_equal(said_of_guest, wanted);
	assert_string_equal(said, "");
}

static void a_triple_fault_says_where(void **state)
{
	(void)state;
	triple_fault("RIP 0xffffffff81234567, CPL 0");
	vp.registers.segments[VP_SS].attributes = 0x00f3;
	vp.registers.rip = 0x401000;
	triple_fault("RIP 0x401000, CPL 3");
	vp.registers.efer = 0;
	vp.registers.segments[VP_CS] =
		(struct vp_segment){.base = 0x1000, .attributes = 0xc0fb, .selector = 0x23};
	triple_fault("RIP 0x401000, CPL 3, CS 0x23 at 0x1000");
	vp.registers.cr0 = 0;
	vp.registers.rip = 0xfff0;
	vp.registers.segments[VP_CS] =
		(struct vp_segment){.base = 0xf0000, .attributes = 0x93, .selector = 0xf000};
	triple_fault("RIP 0xfff0, CPL 0, CS 0xf000 at 0xf0000");
	vp.broken = true;
	triple_fault("an unknown place");
}

static void an_unsupported_instruction_says_where(void **state)
{
	struct vp_exit exit = {.kind = VP_EXIT_INSTRUCTION,
			       .instruction = {.bytes = {0xd9, 0x03},
					       .byte_count = 2,
					       .gpa_valid = true,
					       .gpa = BOARD_IOAPIC_BASE}};

	(void)state;
	intercept_handle(&machine_vp, &exit);
	assert_true(vp.injected);
	assert_int_equal(vp.vector, VP_EXCEPTION_UD);
	assert_int_equal(ended, STOP_NONE);
	assert_string_equal(said_of_guest,
			    "VP 2: an instruction on device memory at 0xfec00000 that is not "
			    "supported (d9 03 00 00 00 00 00 00), at RIP 0xffffffff81234567, CPL "
			    "0: the guest gets #UD");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* ---- Extended calls ---- */

#define MIB       (1ull << 20)
#define INPUT_GPA 0x10000ull

static struct vp_exit call(uint16_t code, uint16_t count, uint16_t start)
{
	struct vp_exit exit = {.kind = VP_EXIT_HYPERCALL,
			       .hypercall = {.code = code,
					     .input = INPUT_GPA,
					     .output = INPUT_GPA,
					     .rep_count = count,
					     .rep_start = start,
					     .status = HV_STATUS_INVALID_HYPERCALL_CODE}};

	intercept_handle(&machine_vp, &exit);
	return exit;
}

static uint64_t capabilities(void)
{
	uint64_t word = 77;

	assert_int_equal(call(HV_EXT_CALL_QUERY_CAPABILITIES, 0, 0).hypercall.status, 0);
	assert_true(memory_get(&machine.memory, INPUT_GPA, &word, sizeof(word)));
	return word;
}

static uint64_t large(uint64_t gpa, unsigned int additional)
{
	return gpa | 1 << 11 | additional;
}

static struct vp_exit hint(uint64_t type, const uint64_t *ranges, uint16_t count, uint16_t start)
{
	assert_true(memory_put(&machine.memory, INPUT_GPA, &type, sizeof(type)));
	assert_true(memory_put(&machine.memory, INPUT_GPA + 8, ranges, count * sizeof(ranges[0])));
	return call(HV_EXT_CALL_MEMORY_HEAT_HINT, count, start);
}

/* What the guest says that it does not need is the root's, until it touches it. */
static void discarded_memory_is_the_roots(void **state)
{
	const uint64_t ranges[] = {large(4 * MIB, 1), large(0, 0), large(14 * MIB, 700),
				   large(5ull << 40, 0)};
	const uint64_t small[] = {large(8 * MIB, 0), 10 * MIB};
	struct backend_partition partition = {0};
	struct vp_exit exit = {.kind = VP_EXIT_HYPERCALL};

	(void)state;
	assert_int_equal(memory_create(&machine.memory, 16 * MIB, 16 * MIB, false), 0);
	assert_int_equal(capabilities(), 0);
	assert_int_equal(hint(2, ranges, 4, 0).hypercall.status, HV_STATUS_INVALID_HYPERCALL_CODE);
	memory_destroy(&machine.memory);
	assert_int_equal(memory_create(&machine.memory, 16 * MIB, 16 * MIB, true), 0);
	assert_int_equal(memory_map(&machine.memory, &partition), 0);
	assert_int_equal(capabilities(), 1 << 8);
	/* Two blocks, none, one, none: what is no block is left alone. */
	exit = hint(2, ranges, 4, 0);
	assert_int_equal(exit.hypercall.status, HV_STATUS_SUCCESS);
	assert_int_equal(exit.hypercall.done, 4);
	assert_int_equal(machine.memory.away, 6 * MIB);
	assert_true(memory_is_away(&machine.memory, 6 * MIB));
	assert_int_equal(memory_bring_back(&machine.memory, 4 * MIB), 0);
	/* From an element on, and up to one that is not taken. */
	assert_int_equal(hint(2, ranges, 4, 1).hypercall.done, 4);
	assert_int_equal(machine.memory.away, 4 * MIB);
	exit = hint(2, small, 2, 0);
	assert_int_equal(exit.hypercall.status, HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(exit.hypercall.done, 1);
	assert_int_equal(machine.memory.away, 6 * MIB);
	/* Calls that are none. */
	assert_int_equal(hint(3, ranges, 1, 0).hypercall.status, HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(hint(2, ranges, 1, 1).hypercall.status, HV_STATUS_INVALID_HYPERCALL_INPUT);
	assert_int_equal(call(HV_EXT_CALL_MEMORY_HEAT_HINT, 512, 0).hypercall.status,
			 HV_STATUS_INVALID_HYPERCALL_INPUT);
	assert_int_equal(call(HV_EXT_CALL_MEMORY_HEAT_HINT, 0, 0).hypercall.status,
			 HV_STATUS_INVALID_HYPERCALL_INPUT);
	exit = (struct vp_exit){
		.kind = VP_EXIT_HYPERCALL,
		.hypercall = {.code = HV_EXT_CALL_QUERY_CAPABILITIES, .output = 16 * MIB}};
	intercept_handle(&machine_vp, &exit);
	assert_int_equal(exit.hypercall.status, HV_STATUS_INVALID_HYPERCALL_INPUT);
	memory_destroy(&machine.memory);
}

/* ---- Interrupts of devices ---- */

/* With a set whose banks follow. */
static uint16_t retarget(struct hv_retarget_device_interrupt *input, const uint64_t *banks,
			 unsigned int count)
{
	assert_true(memory_put(&machine.memory, INPUT_GPA, input, sizeof(*input)));
	assert_true(memory_put(&machine.memory, INPUT_GPA + sizeof(*input), banks,
			       count * sizeof(banks[0])));
	return call(HVCALL_RETARGET_INTERRUPT, 0, 0).hypercall.status;
}

static void an_interrupt_goes_elsewhere(void **state)
{
	const uint64_t banks[64] = {0, 1 << 5};
	struct hv_retarget_device_interrupt input = {
		.partition_id = HV_PARTITION_ID_SELF,
		.device_id = 0x10004b58,
		.int_entry = {.source = HV_INTERRUPT_SOURCE_MSI},
		.int_target = {.vector = 0x55, .vp_mask = 0x8}};
	struct vp_exit exit = {.kind = VP_EXIT_HYPERCALL,
			       .hypercall = {.code = HVCALL_RETARGET_INTERRUPT}};

	(void)state;
	input.int_entry.msi_entry.address.as_uint32 = 0xfee00000;
	input.int_entry.msi_entry.data.as_uint32 = 17;
	assert_int_equal(memory_create(&machine.memory, 16 * MIB, 16 * MIB, false), 0);
	fake_assigned = (struct fake_assigned){0};
	assert_int_equal(retarget(&input, banks, 2), HV_STATUS_SUCCESS);
	assert_int_equal(fake_assigned.device_id, 0x10004b58);
	assert_int_equal(fake_assigned.address, 0xfee00000);
	assert_int_equal(fake_assigned.data, 17);
	assert_int_equal(fake_assigned.target.vp, 3);
	assert_int_equal(fake_assigned.target.vector, 0x55);
	/* Of a set: the third of VPs' banks is empty, the sixth is not. */
	input.int_target.flags = HV_DEVICE_INTERRUPT_TARGET_PROCESSOR_SET;
	input.int_target.vp_set.format = HV_GENERIC_SET_SPARSE_4K;
	input.int_target.vp_set.valid_bank_mask = 1 << 2 | 1 << 5;
	assert_int_equal(retarget(&input, banks, 2), HV_STATUS_SUCCESS);
	assert_int_equal(fake_assigned.target.vp, 5 * 64 + 5);
	input.int_target.vp_set.format = HV_GENERIC_SET_ALL;
	assert_int_equal(retarget(&input, banks, 2), HV_STATUS_SUCCESS);
	assert_int_equal(fake_assigned.target.vp, 0);
	input.int_target.vp_set.format = 2;
	assert_int_equal(retarget(&input, banks, 2), HV_STATUS_SUCCESS);
	assert_int_equal(fake_assigned.target.vp, UINT32_MAX); /* nobody */
	fake_assigned.result = -EINVAL;
	assert_int_equal(retarget(&input, banks, 2), HV_STATUS_INVALID_PARAMETER);
	fake_assigned.result = -ENODEV;
	assert_int_equal(retarget(&input, banks, 2), HV_STATUS_INVALID_DEVICE_ID);
	/* Calls that are none. */
	fake_assigned.count = 0;
	input.int_target.vector = 0x155;
	assert_int_equal(retarget(&input, banks, 2), HV_STATUS_INVALID_PARAMETER);
	input.int_target.vector = 0x55;
	input.int_entry.source = HV_INTERRUPT_SOURCE_IOAPIC;
	assert_int_equal(retarget(&input, banks, 2), HV_STATUS_INVALID_PARAMETER);
	input.int_entry.source = HV_INTERRUPT_SOURCE_MSI;
	input.partition_id = 2;
	assert_int_equal(retarget(&input, banks, 2), HV_STATUS_INVALID_PARAMETER);
	input.partition_id = HV_PARTITION_ID_SELF;
	input.int_target.vp_set.format = HV_GENERIC_SET_SPARSE_4K;
	input.int_target.vp_set.valid_bank_mask = 1 << 2 | 1 << 5;
	exit.hypercall.input = 0x20000 - 72; /* its banks are on another page */
	assert_true(memory_put(&machine.memory, exit.hypercall.input, &input, sizeof(input)));
	intercept_handle(&machine_vp, &exit);
	assert_int_equal(exit.hypercall.status, HV_STATUS_INVALID_HYPERCALL_INPUT);
	exit.hypercall.input = 16 * MIB;
	intercept_handle(&machine_vp, &exit);
	assert_int_equal(exit.hypercall.status, HV_STATUS_INVALID_HYPERCALL_INPUT);
	exit.hypercall.fast = true;
	intercept_handle(&machine_vp, &exit);
	assert_int_equal(exit.hypercall.status, HV_STATUS_INVALID_HYPERCALL_INPUT);
	assert_int_equal(fake_assigned.count, 0);
	memory_destroy(&machine.memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_triple_fault_says_where),
		T(an_unsupported_instruction_says_where),
		T(discarded_memory_is_the_roots),
		T(an_interrupt_goes_elsewhere),
	};

	return cmocka_run_group_tests_name("intercept", tests, NULL, NULL);
}
