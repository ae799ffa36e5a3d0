/*
 * Control blocks as the processor leaves them, and what svm/exit.c makes of them (APM vol. 2, 15.7 to 15.14, appendix C).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/insn.h"
#include "hypervisor/arch/x86/svm/svm.h"

uint32_t svm_features;
static uint16_t asked_opcode;
static struct vmcb vmcb;
static struct vcpu vcpu;
static struct intercept out;

uint8_t insn_length(struct vcpu *v, uint16_t opcode)
{
	(void)v;
	asked_opcode = opcode;
	return 2;
}

uint64_t vendor_get_cr(const struct vcpu *v, unsigned int number)
{
	assert_int_equal(number, 3);
	return v->vmcb->cr3;
}

uint8_t insn_halt_length(struct vcpu *v)
{
	(void)v;
	return 1;
}

void vendor_interrupt_window(struct vcpu *v, uint8_t priority)
{
	assert_int_equal(priority, 0);
	v->vmcb->intercept_1 &= ~SVM_INTERCEPT_VINTR;
}

void vendor_inject_exception(struct vcpu *v, uint8_t vector, bool has_error, uint32_t error)
{
	(void)has_error;
	(void)error;
	v->vmcb->event_injection = vector | SVM_EVENT_EXCEPTION | SVM_EVENT_VALID;
}

static void decode(uint64_t code, uint64_t info_1, uint64_t info_2)
{
	vmcb.exit_code = code;
	vmcb.exit_info_1 = info_1;
	vmcb.exit_info_2 = info_2;
	memset(&out, 0xa5, sizeof(out));
	vendor_decode(&vcpu, &out);
}

static int reset(void **state)
{
	(void)state;
	memset(&vmcb, 0, sizeof(vmcb));
	memset(&vcpu, 0, sizeof(vcpu));
	vcpu.vmcb = &vmcb;
	vmcb.rip = 0xffffffff81000100;
	vmcb.cs.attributes = 1u << 9; /* 64-bit code */
	svm_features = 0;
	asked_opcode = 0;
	return 0;
}

static void test_registers_are_taken(void **state)
{
	(void)state;
	vmcb.rax = 0x1234;
	decode(SVM_EXIT_CPUID, 0, 0);
	assert_int_equal(vcpu.gpr[GPR_RAX], 0x1234);
	assert_int_equal(vcpu.rip, 0xffffffff81000100);
	assert_int_equal(out.kind, INTERCEPT_CPUID);
	assert_int_equal(out.length, 2);
	assert_int_equal(asked_opcode, 0xa20f);
}

/* Looked for once; then it is enough that the same bytes still stand there. */
static void test_a_seen_instruction_is_not_looked_for(void **state)
{
	static uint8_t code[2] = {0x0f, 0xa2};
	struct seen_instruction *seen;

	(void)state;
	vcpu.rip = vmcb.rip;
	seen = insn_seen_at(&vcpu);
	*seen = (struct seen_instruction){
		.at = code, .rip = vmcb.rip, .cr3 = 0x1000, .generation = 7};
	vmcb.cr3 = 0x1000;
	vcpu.tlb_generation = 7;
	decode(SVM_EXIT_CPUID, 0, 0);
	assert_int_equal(out.length, 2);
	assert_int_equal(asked_opcode, 0);
	code[1] = 0x32;
	decode(SVM_EXIT_CPUID, 0, 0);
	assert_int_equal(asked_opcode, 0xa20f);
	code[1] = 0xa2;
	for (int i = 0; i < 3; i++) {
		asked_opcode = 0;
		vcpu.tlb_generation = i == 0 ? 8 : 7;
		vmcb.cr3 = i == 1 ? 0x2000 : 0x1000;
		vcpu.rip = vmcb.rip = i == 2 ? 0xffffffff81000110 : 0xffffffff81000100;
		decode(SVM_EXIT_CPUID, 0, 0);
		assert_int_equal(asked_opcode, 0xa20f);
	}
}

static void test_next_rip_is_used_where_saved(void **state)
{
	(void)state;
	svm_features = SVM_CPUID_NRIP;
	vmcb.next_rip = vmcb.rip + 5;
	decode(SVM_EXIT_CPUID, 0, 0);
	assert_int_equal(out.length, 5);
	assert_int_equal(asked_opcode, 0);
	decode(SVM_EXIT_HLT, 0, 0);
	assert_int_equal(out.kind, INTERCEPT_HALT);
	assert_int_equal(out.length, 5);
}

static void test_msr_direction(void **state)
{
	(void)state;
	decode(SVM_EXIT_MSR, 0, 0);
	assert_int_equal(out.kind, INTERCEPT_MSR_READ);
	assert_int_equal(asked_opcode, 0x320f);
	decode(SVM_EXIT_MSR, 1, 0);
	assert_int_equal(out.kind, INTERCEPT_MSR_WRITE);
	assert_int_equal(asked_opcode, 0x300f);
}

static void test_io(void **state)
{
	(void)state;
	decode(SVM_EXIT_IOIO, 0x03f80010, vmcb.rip + 1); /* out %al, (%dx) */
	assert_int_equal(out.kind, INTERCEPT_IO);
	assert_int_equal(out.io.port, 0x3f8);
	assert_int_equal(out.io.size, 1);
	assert_int_equal(out.length, 1);
	assert_false(out.io.in || out.io.string || out.io.rep);
	decode(SVM_EXIT_IOIO, 0x0cfc0041 | SVM_IOIO_STRING | SVM_IOIO_REP | 3 << 10,
	       vmcb.rip + 2); /* rep insl */
	assert_true(out.io.in && out.io.string && out.io.rep);
	assert_int_equal(out.io.size, 4);
	assert_int_equal(out.io.segment, 3);
	assert_int_equal(out.length, 2);
}

static void test_memory(void **state)
{
	(void)state;
	decode(SVM_EXIT_NPF, 1ull << 32 | SVM_NPF_WRITE, 0xfee00300);
	assert_int_equal(out.kind, INTERCEPT_MEMORY);
	assert_int_equal(out.memory.gpa, 0xfee00300);
	assert_true(out.memory.write);
	assert_false(out.memory.fetch);
	decode(SVM_EXIT_NPF, SVM_NPF_FETCH, 0x123456789000);
	assert_true(out.memory.fetch);
	assert_false(out.memory.write);
}

static void test_exceptions(void **state)
{
	(void)state;
	decode(SVM_EXIT_EXCEPTION + EXC_PF, 7, 0xdeadbeef);
	assert_int_equal(out.kind, INTERCEPT_EXCEPTION);
	assert_int_equal(out.exception.vector, EXC_PF);
	assert_true(out.exception.has_error);
	assert_int_equal(out.exception.error, 7);
	assert_int_equal(out.exception.parameter, 0xdeadbeef);
	vmcb.dr6 = 0xffff4ff0;
	decode(SVM_EXIT_EXCEPTION + EXC_DB, 99, 0);
	assert_false(out.exception.has_error);
	assert_int_equal(out.exception.error, 0);
	assert_int_equal(out.exception.parameter, 0xffff4ff0);
}

static void test_an_interrupted_delivery_is_repeated(void **state)
{
	(void)state;
	vmcb.exit_int_info = 0x30 | SVM_EVENT_VALID;
	decode(SVM_EXIT_NPF, 0, 0x1000);
	assert_int_equal(vmcb.event_injection, 0x30 | SVM_EVENT_VALID);
	vmcb.exit_int_info =
		0x80 | SVM_EVENT_SOFTWARE | SVM_EVENT_VALID; /* INT 0x80: RIP does it again */
	decode(SVM_EXIT_NPF, 0, 0x1000);
	assert_int_equal(vmcb.event_injection, 0);
}

static void test_nmi_ends_at_iret(void **state)
{
	(void)state;
	vcpu.nmi_blocked = true;
	vmcb.intercept_1 = SVM_INTERCEPT_IRET | SVM_INTERCEPT_HLT;
	decode(SVM_EXIT_IRET, 0, 0);
	assert_int_equal(out.kind, INTERCEPT_NOTHING);
	assert_false(vcpu.nmi_blocked);
	assert_int_equal(vmcb.intercept_1, SVM_INTERCEPT_HLT);
}

static void test_the_rest(void **state)
{
	static const struct {
		uint64_t code;
		enum intercept_kind kind;
	} rows[] = {
		{SVM_EXIT_INTR, INTERCEPT_INTERRUPT},
		{SVM_EXIT_NMI, INTERCEPT_INTERRUPT},
		{SVM_EXIT_VINTR, INTERCEPT_WINDOW},
		{SVM_EXIT_VMMCALL, INTERCEPT_HYPERCALL},
		{SVM_EXIT_SHUTDOWN, INTERCEPT_TRIPLE_FAULT},
		{SVM_EXIT_INVALID, INTERCEPT_INVALID},
		{SVM_EXIT_VMRUN, INTERCEPT_UNDEFINED},
		{SVM_EXIT_VMLOAD, INTERCEPT_UNDEFINED},
		{0x83, INTERCEPT_UNDEFINED},
		{0x84, INTERCEPT_UNDEFINED},
		{0x85, INTERCEPT_UNDEFINED},
		{0x86, INTERCEPT_UNDEFINED},
		{0x8a, INTERCEPT_UNDEFINED},
		{0x8b, INTERCEPT_UNDEFINED},
		{SVM_EXIT_INVLPGA, INTERCEPT_UNDEFINED},
		{SVM_EXIT_RDPMC, INTERCEPT_PROTECTED},
		{SVM_EXIT_INVD, INTERCEPT_SKIP},
		{SVM_EXIT_XSETBV, INTERCEPT_XSETBV},
		{0x3ff, INTERCEPT_UNDEFINED},
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		decode(rows[i].code, 0, 0);
		assert_int_equal(out.kind, rows[i].kind);
	}
}

static void test_skip(void **state)
{
	(void)state;
	vcpu.rip = 0xffffffff;
	vmcb.interrupt_shadow = 1;
	vmcb.rflags = RFLAGS_RF;
	vendor_skip(&vcpu, 2);
	assert_int_equal(vcpu.rip, 0x100000001);
	assert_int_equal(vmcb.interrupt_shadow, 0);
	assert_int_equal(vmcb.rflags, 0);
	vmcb.cs.attributes = 0; /* not 64-bit code: EIP wraps */
	vcpu.rip = 0xffffffff;
	vmcb.rflags = RFLAGS_TF;
	vendor_skip(&vcpu, 2);
	assert_int_equal(vcpu.rip, 1);
	assert_int_equal(vmcb.event_injection, EXC_DB | SVM_EVENT_EXCEPTION | SVM_EVENT_VALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_registers_are_taken, reset),
		cmocka_unit_test_setup(test_a_seen_instruction_is_not_looked_for, reset),
		cmocka_unit_test_setup(test_next_rip_is_used_where_saved, reset),
		cmocka_unit_test_setup(test_msr_direction, reset),
		cmocka_unit_test_setup(test_io, reset),
		cmocka_unit_test_setup(test_memory, reset),
		cmocka_unit_test_setup(test_exceptions, reset),
		cmocka_unit_test_setup(test_an_interrupted_delivery_is_repeated, reset),
		cmocka_unit_test_setup(test_nmi_ends_at_iret, reset),
		cmocka_unit_test_setup(test_the_rest, reset),
		cmocka_unit_test_setup(test_skip, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
