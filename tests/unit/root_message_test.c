/*
 * backend/root_message.c and root_registers.c: what messages become, and what answers become; by
 * the shared page and without it. The test stands where the module would: root_call() keeps what it
 * was asked to do.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "backend/root.h"
#include "include/hv/status.h"

static struct hv_vp_register_page page;
static struct backend_vp vp;
static struct hv_message message;
static struct vp_exit vp_exit;

static unsigned int calls;
static uint16_t last_code, last_reps;
static uint8_t last_input[4096], answer[4096];
static int call_result;

void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}

/* Nothing here has state in pieces. */
int root_get_state(struct backend_vp *v, uint8_t type, void *buffer, uint32_t *size)
{
	(void)v;
	(void)type;
	(void)buffer;
	(void)size;
	return -EINVAL;
}

int root_set_state(struct backend_vp *v, uint8_t type, void *buffer, uint32_t size)
{
	return root_get_state(v, type, buffer, &size);
}

int root_call(int fd, uint16_t code, const void *input, size_t input_size, void *output,
	      size_t output_size, uint16_t reps, uint16_t *status)
{
	(void)fd;
	(void)status;
	calls++;
	last_code = code;
	last_reps = reps;
	memcpy(last_input, input, input_size);
	if (output_size != 0) {
		memcpy(output, answer, output_size);
	}
	return call_result;
}

/* A register that the last call set. */
static const struct hv_register_assoc *set_register(unsigned int i)
{
	assert_int_equal(last_code, HVCALL_SET_VP_REGISTERS);
	assert_true(i < last_reps);
	return &((const struct hv_input_set_vp_registers *)last_input)->elements[i];
}

static int setup(void **state)
{
	(void)state;
	memset(&page, 0, sizeof(page));
	memset(&message, 0, sizeof(message));
	memset(answer, 0, sizeof(answer));
	vp = (struct backend_vp){.fd = -1, .index = 3, .page = &page};
	vp_exit = (struct vp_exit){.kind = VP_EXIT_NONE};
	page.isvalid = 1;
	calls = 0;
	call_result = 0;
	return 0;
}

static void *payload(uint32_t type)
{
	message.header.message_type = type;
	return message.u.payload;
}

static struct hv_x64_io_port_intercept_message *port_message(uint8_t access, uint16_t port,
							     uint8_t size)
{
	struct hv_x64_io_port_intercept_message *m = payload(HVMSG_X64_IO_PORT_INTERCEPT);

	m->header.rip = 0x1000;
	m->header.instruction_length = 2;
	m->header.intercept_access_type = access;
	m->port_number = port;
	m->access_info.access_size = size & 7;
	m->rax = 0x1122334455667788ull;
	return m;
}

static void a_write_to_a_port(void **state)
{
	(void)state;
	port_message(HV_INTERCEPT_ACCESS_WRITE, 0x3f8, 1);
	root_decode(&vp, &message, &vp_exit);
	assert_int_equal(vp_exit.kind, VP_EXIT_PORT);
	assert_int_equal(vp_exit.port.port, 0x3f8);
	assert_int_equal(vp_exit.port.size, 1);
	assert_true(vp_exit.port.write);
	assert_int_equal(vp_exit.port.value, 0x88);
	page.gp_registers[VP_RAX] = 0x99;
	assert_int_equal(root_answer(&vp, &vp_exit), 0);
	assert_int_equal(page.rip, 0x1002);
	assert_int_equal(page.dirty, 1u << HV_X64_REGISTER_CLASS_IP);
	assert_int_equal(page.gp_registers[VP_RAX], 0x99);
	assert_int_equal(calls, 0); /* the short way has no system call in it */
}

static void a_read_of_a_port(void **state)
{
	static const struct {
		uint8_t size;
		uint64_t rax;
	} cases[] = {{1, 0x11223344556677efull}, {2, 0x112233445566cdefull}, {4, 0x89abcdefull}};
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_COUNT(cases); i++) {
		page.dirty = 0;
		port_message(HV_INTERCEPT_ACCESS_READ, 0x71, cases[i].size);
		root_decode(&vp, &message, &vp_exit);
		assert_false(vp_exit.port.write);
		vp_exit.port.value = 0x89abcdef;
		assert_int_equal(root_answer(&vp, &vp_exit), 0);
		assert_true(page.gp_registers[VP_RAX] == cases[i].rax);
		assert_int_equal(page.dirty, 1u << HV_X64_REGISTER_CLASS_IP |
						     1u << HV_X64_REGISTER_CLASS_GENERAL);
	}
}

static void the_same_without_the_page(void **state)
{
	(void)state;
	vp.page = NULL;
	port_message(HV_INTERCEPT_ACCESS_READ, 0x71, 1);
	root_decode(&vp, &message, &vp_exit);
	vp_exit.port.value = 0x42;
	assert_int_equal(root_answer(&vp, &vp_exit), 0);
	assert_int_equal(calls, 1);
	assert_int_equal(last_reps, 2);
	assert_int_equal(set_register(0)->name, HV_X64_REGISTER_RAX);
	assert_true(set_register(0)->value.reg64 == 0x1122334455667742ull);
	assert_int_equal(set_register(1)->name, HV_X64_REGISTER_RIP);
	assert_int_equal(set_register(1)->value.reg64, 0x1002);
	assert_int_equal(((const struct hv_input_set_vp_registers *)last_input)->vp_index, 3);
	page.isvalid = 0;
	vp.page = &page;
	assert_int_equal(root_answer(&vp, &vp_exit), 0);
	assert_int_equal(calls, 2);
	assert_int_equal(page.rip, 0);
	call_result = -EIO;
	assert_int_equal(root_answer(&vp, &vp_exit), -EIO);
}

static void a_shadow_is_lifted(void **state)
{
	struct hv_x64_io_port_intercept_message *m =
		port_message(HV_INTERCEPT_ACCESS_WRITE, 0x80, 1);

	(void)state;
	m->header.execution_state.interrupt_shadow = 1;
	answer[0] = 3; /* an NMI is being served, too */
	root_decode(&vp, &message, &vp_exit);
	assert_int_equal(root_answer(&vp, &vp_exit), 0);
	assert_int_equal(calls, 2);
	assert_int_equal(set_register(0)->name, HV_REGISTER_INTERRUPT_STATE);
	assert_int_equal(set_register(0)->value.reg64, 2);
	assert_int_equal(page.rip, 0x1002);
}

/* MMX register n is the x87's n-th, and those come by their distance from the top of the stack. */
static void mmx_registers_are_the_x87s(void **state)
{
	union hv_register_value *values = (void *)answer;
	uint8_t bytes[8] = "mmx 2..";

	(void)state;
	for (unsigned int i = 0; i < 8; i++) {
		values[i].reg64 = i;
	}
	values[8].fp_control_status.fp_control = 0x37f;
	values[8].fp_control_status.fp_status = 7 << 11 | 0x41;
	values[8].fp_control_status.fp_tag = 0x80;
	assert_int_equal(backend_vp_store_mmx(&vp, 2, bytes), 0);
	assert_int_equal(last_reps, 9);
	for (unsigned int i = 0; i < 8; i++) {
		assert_int_equal(set_register(i)->name, HV_X64_REGISTER_FP_MMX0 + i);
		if (i != 2) {
			assert_int_equal(set_register(i)->value.reg64, (i + 1) % 8);
		}
	}
	assert_memory_equal(&set_register(2)->value, bytes, 8);
	assert_memory_equal((const uint8_t *)&set_register(2)->value + 8, "\xff\xff", 2);
	assert_int_equal(set_register(8)->value.fp_control_status.fp_control, 0x37f);
	assert_int_equal(set_register(8)->value.fp_control_status.fp_status, 0x41);
	assert_int_equal(set_register(8)->value.fp_control_status.fp_tag, 0xff);
	assert_int_equal(backend_vp_load_mmx(&vp, 7, bytes), 0);
	assert_memory_equal(bytes, "\0\0\0\0\0\0\0\0", 8);
	assert_int_equal(backend_vp_load_mmx(&vp, 0, bytes), 0);
	assert_int_equal(bytes[0], 1);
}

static void addresses_wrap_below_64_bit(void **state)
{
	struct hv_x64_io_port_intercept_message *m =
		port_message(HV_INTERCEPT_ACCESS_WRITE, 0x80, 1);

	(void)state;
	m->header.rip = 0xffffffff;
	root_decode(&vp, &message, &vp_exit);
	assert_int_equal(root_answer(&vp, &vp_exit), 0);
	assert_int_equal(page.rip, 1);
	m->header.execution_state.efer_lma = 1;
	m->header.cs_segment._long = 1;
	root_decode(&vp, &message, &vp_exit);
	assert_int_equal(root_answer(&vp, &vp_exit), 0);
	assert_true(page.rip == 0x100000001ull);
}

static void odd_sizes_are_not_believed(void **state)
{
	unsigned int size;

	(void)state;
	for (size = 0; size < 8; size++) {
		port_message(HV_INTERCEPT_ACCESS_WRITE, 0x80, (uint8_t)size);
		root_decode(&vp, &message, &vp_exit);
		assert_true(vp_exit.port.size == 1 || vp_exit.port.size == 2 ||
			    vp_exit.port.size == 4);
	}
}

static void strings_and_memory_are_instructions(void **state)
{
	struct hv_x64_io_port_intercept_message *m =
		port_message(HV_INTERCEPT_ACCESS_WRITE, 0x3f8, 1);
	struct hv_x64_memory_intercept_message *memory;

	(void)state;
	m->access_info.string_op = 1;
	m->instruction_byte_count = 200;
	memcpy(m->instruction_bytes, "\xf3\x6e", 2);
	root_decode(&vp, &message, &vp_exit);
	assert_int_equal(vp_exit.kind, VP_EXIT_INSTRUCTION);
	assert_int_equal(vp_exit.instruction.byte_count, 16);
	assert_false(vp_exit.instruction.gpa_valid);
	assert_memory_equal(vp_exit.instruction.bytes, "\xf3\x6e", 2);
	assert_int_equal(root_answer(&vp, &vp_exit), 0);
	assert_int_equal(page.dirty, 0);

	memset(&message, 0, sizeof(message));
	memory = payload(HVMSG_UNMAPPED_GPA);
	memory->instruction_byte_count = 3;
	memory->memory_access_info.gva_gpa_valid = 1;
	memory->guest_virtual_address = 0xffff888000000010ull;
	memory->guest_physical_address = 0xfec00010;
	root_decode(&vp, &message, &vp_exit);
	assert_int_equal(vp_exit.kind, VP_EXIT_INSTRUCTION);
	assert_int_equal(vp_exit.instruction.byte_count, 3);
	assert_true(vp_exit.instruction.gpa_valid);
	assert_true(vp_exit.instruction.gva_valid);
	assert_true(vp_exit.instruction.gva == 0xffff888000000010ull);
	assert_int_equal(vp_exit.instruction.gpa, 0xfec00010);
	memory->memory_access_info.gva_gpa_valid = 0;
	root_decode(&vp, &message, &vp_exit);
	assert_true(vp_exit.instruction.gpa_valid);
	assert_false(vp_exit.instruction.gva_valid);
}

/* EFLAGS.TF: the instruction that was answered is followed by its debug trap. */
static void a_single_step_traps(void **state)
{
	struct hv_x64_io_port_intercept_message *m = payload(HVMSG_X64_IO_PORT_INTERCEPT);

	(void)state;
	m->header.rip = 0x2000;
	m->header.rflags = 0x102;
	m->header.instruction_length = 2;
	m->access_info.access_size = 1;
	root_decode(&vp, &message, &vp_exit);
	assert_int_equal(root_answer(&vp, &vp_exit), 0);
	assert_int_equal(page.rip, 0x2002);
	assert_int_equal(set_register(0)->name, HV_REGISTER_PENDING_EVENT0);
	assert_int_equal(set_register(0)->value.pending_exception_event.vector, VP_EXCEPTION_DB);
	assert_int_equal(set_register(1)->name, HV_X64_REGISTER_DR6);
	assert_true(set_register(1)->value.reg64 & 1u << 14);
}

/* The report of a crash is no register to answer for: the guest goes on behind its WRMSR. */
static void crash_reports(void **state)
{
	struct hv_x64_msr_intercept_message *m = payload(HVMSG_X64_MSR_INTERCEPT);

	(void)state;
	m->header.rip = 0x2000;
	m->header.instruction_length = 2;
	m->header.intercept_access_type = HV_INTERCEPT_ACCESS_WRITE;
	m->msr_number = HV_X64_MSR_CRASH_CTL;
	m->rdx = 0xc0000000;
	root_decode(&vp, &message, &vp_exit);
	assert_int_equal(vp_exit.kind, VP_EXIT_CRASH);
	assert_true(vp_exit.crash_text);
	assert_int_equal(root_answer(&vp, &vp_exit), 0);
	assert_int_equal(page.rip, 0x2002);
	m->rdx = 0x80000000;
	root_decode(&vp, &message, &vp_exit);
	assert_int_equal(vp_exit.kind, VP_EXIT_CRASH);
	assert_false(vp_exit.crash_text);
}

static void msrs(void **state)
{
	struct hv_x64_msr_intercept_message *m = payload(HVMSG_X64_MSR_INTERCEPT);

	(void)state;
	m->header.rip = 0x2000;
	m->header.instruction_length = 2;
	m->msr_number = 0x1b;
	m->header.intercept_access_type = HV_INTERCEPT_ACCESS_WRITE;
	m->rdx = 0xffffffff00000001ull;
	m->rax = 0xffffffff00000002ull;
	root_decode(&vp, &message, &vp_exit);
	assert_int_equal(vp_exit.kind, VP_EXIT_MSR);
	assert_true(vp_exit.msr.value == 0x100000002ull);
	assert_int_equal(root_answer(&vp, &vp_exit), 0);
	assert_int_equal(page.rip, 0x2002);
	m->header.intercept_access_type = HV_INTERCEPT_ACCESS_READ;
	root_decode(&vp, &message, &vp_exit);
	vp_exit.msr.value = 0xaaaaaaaabbbbbbbbull;
	assert_int_equal(root_answer(&vp, &vp_exit), 0);
	assert_int_equal(page.gp_registers[VP_RDX], 0xaaaaaaaa);
	assert_int_equal(page.gp_registers[VP_RAX], 0xbbbbbbbb);
	page.rip = 0;
	vp_exit.msr.fault = true;
	assert_int_equal(root_answer(&vp, &vp_exit), 0);
	assert_int_equal(page.rip, 0);
	assert_int_equal(set_register(0)->name, HV_REGISTER_PENDING_EVENT0);
	assert_int_equal(set_register(0)->value.pending_exception_event.vector, 13);
	assert_int_equal(set_register(0)->value.pending_exception_event.deliver_error_code, 1);
}

static void cpuid_leaves(void **state)
{
	struct hv_x64_cpuid_intercept_message *m = payload(HVMSG_X64_CPUID_INTERCEPT);

	(void)state;
	m->rax = 0x40000003;
	m->rcx = 7;
	m->default_result_rax = 1;
	m->default_result_rbx = 2;
	m->default_result_rcx = 3;
	m->default_result_rdx = 4;
	root_decode(&vp, &message, &vp_exit);
	assert_int_equal(vp_exit.kind, VP_EXIT_CPUID);
	assert_int_equal(vp_exit.cpuid.leaf, 0x40000003);
	assert_int_equal(vp_exit.cpuid.subleaf, 7);
	assert_int_equal(root_answer(&vp, &vp_exit), 0);
	assert_int_equal(page.gp_registers[VP_RAX], 1);
	assert_int_equal(page.gp_registers[VP_RCX], 3);
	assert_int_equal(page.gp_registers[VP_RDX], 4);
	assert_int_equal(page.gp_registers[VP_RBX], 2);
}

/* The registers of a call, and of its result, are others in 32-bit code. */
static void hypercalls(void **state)
{
	struct hv_x64_hypercall_intercept_message *m = payload(HVMSG_HYPERCALL_INTERCEPT);

	(void)state;
	m->header.rip = 0xfffffffffffffffdull;
	m->header.execution_state.efer_lma = 1;
	m->header.cs_segment._long = 1;
	m->rcx = HVCALL_POST_MESSAGE;
	m->rdx = 0x123456789000;
	root_decode(&vp, &message, &vp_exit);
	assert_int_equal(vp_exit.kind, VP_EXIT_HYPERCALL);
	assert_int_equal(vp_exit.hypercall.code, HVCALL_POST_MESSAGE);
	assert_false(vp_exit.hypercall.fast);
	assert_int_equal(vp_exit.hypercall.input, 0x123456789000);
	page.gp_registers[VP_RDX] = 77;
	vp_exit.hypercall.status = HV_STATUS_INSUFFICIENT_BUFFERS;
	assert_int_equal(root_answer(&vp, &vp_exit), 0);
	assert_int_equal(page.gp_registers[VP_RAX], HV_STATUS_INSUFFICIENT_BUFFERS);
	assert_int_equal(page.gp_registers[VP_RDX], 77);
	assert_int_equal(page.rip, 0);
	/* A list, of which some is done. */
	m->rcx = HV_EXT_CALL_MEMORY_HEAT_HINT | 17ull << HV_HYPERCALL_REP_COMP_OFFSET |
		 3ull << HV_HYPERCALL_REP_START_OFFSET;
	m->r8 = 0x987654321000;
	root_decode(&vp, &message, &vp_exit);
	assert_int_equal(vp_exit.hypercall.rep_count, 17);
	assert_int_equal(vp_exit.hypercall.rep_start, 3);
	assert_int_equal(vp_exit.hypercall.output, 0x987654321000);
	vp_exit.hypercall.status = HV_STATUS_INVALID_PARAMETER;
	vp_exit.hypercall.done = 5;
	assert_int_equal(root_answer(&vp, &vp_exit), 0);
	assert_true(page.gp_registers[VP_RAX] == (HV_STATUS_INVALID_PARAMETER | 5ull << 32));

	m->header.rip = 0x1000;
	m->header.cs_segment._long = 0;
	m->rax = 0xaaaaaaaa00000000ull | HVCALL_SIGNAL_EVENT | HV_HYPERCALL_FAST_BIT;
	m->rdx = 0;
	m->rbx = 0x2;
	m->rcx = 0xbbbbbbbb00002001ull;
	m->rdi = 0x3;
	m->rsi = 0xcccccccc00004001ull;
	root_decode(&vp, &message, &vp_exit);
	assert_int_equal(vp_exit.hypercall.code, HVCALL_SIGNAL_EVENT);
	assert_true(vp_exit.hypercall.fast);
	assert_int_equal(vp_exit.hypercall.input, 0x200002001ull);
	assert_int_equal(vp_exit.hypercall.output, 0x300004001ull);
	vp_exit.hypercall.status = HV_STATUS_SUCCESS;
	assert_int_equal(root_answer(&vp, &vp_exit), 0);
	assert_int_equal(page.gp_registers[VP_RAX], 0);
	assert_int_equal(page.gp_registers[VP_RDX], 0);
	assert_int_equal(page.rip, 0x1003);
}

static void the_other_messages(void **state)
{
	static const struct {
		uint32_t type;
		enum vp_exit_kind kind;
	} cases[] = {
		{HVMSG_X64_APIC_EOI, VP_EXIT_EOI},
		{HVMSG_X64_INTERRUPTION_DELIVERABLE, VP_EXIT_WINDOW},
		{HVMSG_X64_HALT, VP_EXIT_HALT},
		{HVMSG_UNRECOVERABLE_EXCEPTION, VP_EXIT_TRIPLE_FAULT},
		{HVMSG_INVALID_VP_REGISTER_VALUE, VP_EXIT_INVALID_STATE},
		{HVMSG_NONE, VP_EXIT_NONE},
		{0x12345678, VP_EXIT_UNKNOWN},
	};
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_COUNT(cases); i++) {
		((struct hv_x64_apic_eoi_message *)payload(cases[i].type))->interrupt_vector = 0x71;
		root_decode(&vp, &message, &vp_exit);
		assert_int_equal(vp_exit.kind, cases[i].kind);
		assert_int_equal(root_answer(&vp, &vp_exit), 0);
	}
	assert_int_equal(vp_exit.code, 0x12345678);
	payload(HVMSG_X64_APIC_EOI);
	root_decode(&vp, &message, &vp_exit);
	assert_int_equal(vp_exit.eoi_vector, 0x71);
	assert_int_equal(calls, 0);
	assert_int_equal(page.dirty, 0);
}

static void registers_by_the_page(void **state)
{
	struct vp_registers r;

	(void)state;
	page.gp_registers[VP_R15] = 0xf;
	page.rip = 0x10;
	page.rflags = 0x202;
	page.segment_registers[VP_GS].base = 0x77;
	page.cr0 = 0x31;
	page.cr4 = 0x20;
	page.efer = 0x500;
	assert_int_equal(backend_vp_load(&vp, &r), 0);
	assert_int_equal(r.gpr[VP_R15], 0xf);
	assert_int_equal(r.rip, 0x10);
	assert_int_equal(r.segments[VP_GS].base, 0x77);
	assert_int_equal(r.cr0, 0x31);
	assert_int_equal(r.cr4, 0x20);
	assert_int_equal(r.efer, 0x500);
	r.gpr[VP_RSP] = 0x99;
	r.rflags = 2;
	assert_int_equal(backend_vp_store(&vp, &r), 0);
	assert_int_equal(page.gp_registers[VP_RSP], 0x99);
	assert_int_equal(page.rflags, 2);
	assert_int_equal(page.dirty, 1u << HV_X64_REGISTER_CLASS_GENERAL |
					     1u << HV_X64_REGISTER_CLASS_IP |
					     1u << HV_X64_REGISTER_CLASS_FLAGS);
	assert_int_equal(calls, 0);
}

static void registers_by_calls(void **state)
{
	union hv_register_value *values = (void *)answer;
	const uint32_t *names;
	struct vp_registers r;

	(void)state;
	vp.page = NULL;
	values[0].reg64 = 0xa;    /* RAX */
	values[15].reg64 = 0xf;   /* R15 */
	values[16].reg64 = 0x10;  /* RIP */
	values[17].reg64 = 0x202; /* RFLAGS */
	values[19].segment.selector = 0x33;
	values[24].reg64 = 0x31; /* CR0 */
	values[25].reg64 = 0x20;
	values[26].reg64 = 0x500;
	assert_int_equal(backend_vp_load(&vp, &r), 0);
	names = ((const struct hv_input_get_vp_registers *)last_input)->names;
	assert_int_equal(last_reps, 27);
	assert_int_equal(names[15], HV_X64_REGISTER_R15);
	assert_int_equal(names[19], HV_X64_REGISTER_CS);
	assert_int_equal(names[26], HV_X64_REGISTER_EFER);
	assert_int_equal(r.gpr[VP_RAX], 0xa);
	assert_int_equal(r.gpr[VP_R15], 0xf);
	assert_int_equal(r.rip, 0x10);
	assert_int_equal(r.segments[VP_CS].selector, 0x33);
	assert_int_equal(r.efer, 0x500);
	assert_int_equal(backend_vp_store(&vp, &r), 0);
	assert_int_equal(last_reps, 18);
	assert_int_equal(set_register(15)->name, HV_X64_REGISTER_R15);
	assert_int_equal(set_register(16)->name, HV_X64_REGISTER_RIP);
	assert_int_equal(set_register(17)->value.reg64, 0x202);
}

static void translation(void **state)
{
	struct hv_output_translate_virtual_address *output = (void *)answer;
	const struct hv_input_translate_virtual_address *input = (const void *)last_input;
	uint64_t gpa;
	uint32_t code;

	(void)state;
	output->gpa_page = 0xabc;
	assert_int_equal(
		backend_vp_translate(&vp, 0xffff800000001234ull, VP_ACCESS_WRITE, &gpa, &code), 0);
	assert_int_equal(gpa, 0xabc234);
	assert_true(input->gva_page == 0xffff800000001ull);
	assert_int_equal(input->control_flags & 7, HV_TRANSLATE_GVA_VALIDATE_WRITE);
	output->translation_result.result_code =
		HV_TRANSLATE_GVA_GPA_UNMAPPED; /* that is what device memory is */
	assert_int_equal(backend_vp_translate(&vp, 0, VP_ACCESS_READ, &gpa, &code), 0);
	output->translation_result.result_code = HV_TRANSLATE_GVA_PAGE_NOT_PRESENT;
	assert_int_equal(backend_vp_translate(&vp, 0, VP_ACCESS_READ, &gpa, &code), -EFAULT);
	assert_int_equal(code, 0);
	page.ss.descriptor_privilege_level = 3;
	assert_int_equal(backend_vp_translate(&vp, 0, VP_ACCESS_WRITE, &gpa, &code), -EFAULT);
	assert_int_equal(code, 6);
	output->translation_result.result_code = HV_TRANSLATE_GVA_PRIVILEGE_VIOLATION;
	assert_int_equal(backend_vp_translate(&vp, 0, VP_ACCESS_EXECUTE, &gpa, &code), -EFAULT);
	assert_int_equal(code, 0x15);
	output->translation_result.result_code = HV_TRANSLATE_GVA_INVALID_PAGE_TABLE_FLAGS;
	assert_int_equal(backend_vp_translate(&vp, 0, VP_ACCESS_READ, &gpa, &code), -EFAULT);
	assert_int_equal(code, 0xd);
	output->translation_result.result_code = 99;
	assert_int_equal(backend_vp_translate(&vp, 0, VP_ACCESS_READ, &gpa, &code), -ENXIO);
	call_result = -EINVAL;
	assert_int_equal(backend_vp_translate(&vp, 0, VP_ACCESS_READ, &gpa, &code), -EINVAL);
}

static void events(void **state)
{
	(void)state;
	assert_int_equal(backend_vp_inject_exception(&vp, VP_EXCEPTION_PF, 7, 0x1234), 0);
	assert_int_equal(set_register(0)->value.pending_exception_event.event_type,
			 HV_X64_PENDING_EVENT_EXCEPTION);
	assert_int_equal(set_register(0)->value.pending_exception_event.error_code, 7);
	assert_int_equal(set_register(0)->value.pending_exception_event.exception_parameter,
			 0x1234);
	assert_int_equal(set_register(0)->value.pending_exception_event.deliver_error_code, 1);
	assert_int_equal(backend_vp_inject_exception(&vp, VP_EXCEPTION_UD, 0, 0), 0);
	assert_int_equal(set_register(0)->value.pending_exception_event.deliver_error_code, 0);
	assert_int_equal(backend_vp_inject_extint(&vp, 0x31), 0);
	assert_int_equal(set_register(0)->value.pending_ext_int_event.event_type,
			 HV_X64_PENDING_EVENT_EXT_INT);
	assert_int_equal(set_register(0)->value.pending_ext_int_event.vector, 0x31);
	assert_int_equal(backend_vp_request_window(&vp, true), 0);
	assert_int_equal(set_register(0)->name, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS);
	assert_int_equal(set_register(0)->value.deliverability_notifications.interrupt_notification,
			 1);
}

#define T(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_write_to_a_port),
		T(a_read_of_a_port),
		T(the_same_without_the_page),
		T(a_shadow_is_lifted),
		T(mmx_registers_are_the_x87s),
		T(addresses_wrap_below_64_bit),
		T(odd_sizes_are_not_believed),
		T(strings_and_memory_are_instructions),
		T(msrs),
		T(crash_reports),
		T(a_single_step_traps),
		T(cpuid_leaves),
		T(hypercalls),
		T(the_other_messages),
		T(registers_by_the_page),
		T(registers_by_calls),
		T(translation),
		T(events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
