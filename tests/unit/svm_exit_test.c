/*
 * Control blocks as the processor leaves them, and what svm/exit.c and svm/inject.c make of them
 * (APM vol. 2, 15.7 to 15.14, 15.20, appendix C).
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
#include "hypervisor/intercept.h"

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

static unsigned int shutdowns;

void intercept_shutdown(struct vcpu *v)
{
	(void)v;
	shutdowns++;
}

void vendor_set_exception_intercepts(struct vcpu *v, uint32_t vectors)
{
	v->vmcb->intercept_exceptions = vectors | 1u << 1;
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
	shutdowns = 0;
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
	assert_int_equal(out.io.access.access_size, 1);
	assert_int_equal(out.length, 1);
	assert_false(out.io.in || out.io.access.string_op || out.io.access.rep_prefix);
	decode(SVM_EXIT_IOIO, 0x0cfc0041 | SVM_IOIO_STRING | SVM_IOIO_REP | 3 << 10,
	       vmcb.rip + 2); /* rep insl */
	assert_true(out.io.in && out.io.access.string_op && out.io.access.rep_prefix);
	assert_int_equal(out.io.access.access_size, 4);
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
}

/* INT n, and INT3 and INTO, which the processor calls exceptions (15.7.2): RIP is at the
 * instruction, which raises it again. */
static void test_the_guests_own_software_events_are_raised_again(void **state)
{
	static const uint64_t events[] = {0x80000480, 0x80000303, 0x80000304};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(events); i++) {
		vmcb.exit_int_info = events[i];
		decode(SVM_EXIT_NPF, 0, 0x1000);
		assert_int_equal(vmcb.event_injection, 0);
		assert_int_equal(vcpu.rip, vmcb.rip);
	}
	vmcb.exit_int_info = 0x80000301; /* #DB is none */
	decode(SVM_EXIT_NPF, 0, 0x1000);
	assert_int_equal(vmcb.event_injection, 0x80000301);
}

/* An injected one returns behind its instruction; cut short, it goes in again (15.20: without NRIP
 * save RIP has to be there). */
static void an_injected_software_event(uint64_t pending, uint64_t event, uint8_t length, bool nrip)
{
	vcpu.rip = 0x1000;
	svm_features = nrip ? SVM_CPUID_NRIP : 0;
	vendor_set_pending_interruption(&vcpu, pending);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(vmcb.event_injection, event);
		assert_int_equal(vendor_get_pending_interruption(&vcpu), pending);
		vmcb.rip = vcpu.rip;
		svm_prepare_software(&vcpu);
		assert_int_equal(nrip ? vmcb.next_rip : vmcb.rip, 0x1000 + length);
		vmcb.exit_int_info = event;
		decode(SVM_EXIT_NPF, 0, 0x1000);
		assert_int_equal(vcpu.rip, 0x1000);
	}
	vmcb.rip = vcpu.rip;
	svm_prepare_software(&vcpu);
	vmcb.rip = 0x5000; /* delivered; then an INT n of the handler's own is cut short */
	decode(SVM_EXIT_NPF, 0, 0x1000);
	assert_int_equal(vmcb.event_injection, 0);
	assert_int_equal(vcpu.rip, 0x5000);
}

static void test_injected_software_events_are_repeated(void **state)
{
	(void)state;
	for (int nrip = 0; nrip < 2; nrip++) {
		an_injected_software_event(1 | 4 << 1 | 2 << 5 | 0x80 << 16, 0x80000480, 2, nrip);
		an_injected_software_event(1 | 6 << 1 | 1 << 5 | 3 << 16, 0x80000303, 1, nrip);
		an_injected_software_event(1 | 6 << 1 | 3 << 5 | 4 << 16, 0x80000304, 3, nrip);
	}
}

/* The parent stopped an INT3 and gives it back as an exception. */
static void test_an_intercepted_breakpoint_goes_back(void **state)
{
	(void)state;
	decode(0x43, 0, 0);
	assert_int_equal(out.kind, INTERCEPT_EXCEPTION);
	assert_int_equal(out.length, 1);
	vendor_inject_exception(&vcpu, 3, false, 0);
	assert_int_equal(vmcb.event_injection, 0x80000303);
	svm_prepare_software(&vcpu);
	assert_int_equal(vmcb.rip, vcpu.rip + 1);
	assert_int_equal(vmcb.rflags & RFLAGS_RF, 0);
	decode(SVM_EXIT_HLT, 0, 0);
	assert_int_equal(vcpu.event_length, 0);
}

/* The intercept comes before the IRET (15.9): the next NMI waits until it is done, with IF clear as
 * well, and the guest sees no TF. */
static void test_nmi_ends_behind_iret(void **state)
{
	(void)state;
	vendor_inject_nmi(&vcpu);
	assert_int_equal(vmcb.event_injection, 0x80000202);
	assert_int_equal(vmcb.intercept_1, 1u << 20);
	decode(SVM_EXIT_IRET, 0, 0);
	assert_int_equal(out.kind, INTERCEPT_NOTHING);
	assert_int_equal(vmcb.intercept_1, 0);
	assert_false(vendor_can_take_nmi(&vcpu));
	assert_int_equal(vmcb.interrupt_shadow, 1);
	vendor_nmi_window(&vcpu, true);
	assert_true(vcpu.nmi_step);
	vmcb.dr6 = 0xffff0ff1; /* B0 from before */
	vmcb.rflags = 2;
	assert_true(svm_step_begin(&vcpu));
	assert_int_equal(vmcb.rflags, 0x102);
	assert_int_equal(vmcb.intercept_exceptions & 0xffffffe1, 0xffffffe1);
	vmcb.rip = 0x7000; /* where it returned, and with which flags */
	vmcb.rflags = 0x202;
	vmcb.dr6 = 0xffff4ff1;
	vmcb.interrupt_shadow = 0;
	decode(SVM_EXIT_EXCEPTION + EXC_DB, 0, 0);
	assert_int_equal(out.kind, INTERCEPT_NOTHING);
	assert_int_equal(vmcb.dr6, 0xffff0ff1);
	assert_int_equal(vmcb.rflags, 0x202);
	assert_int_equal(vmcb.intercept_exceptions, 2);
	assert_true(vendor_can_take_nmi(&vcpu));
}

static void step_from_iret(void)
{
	vendor_inject_nmi(&vcpu);
	decode(SVM_EXIT_IRET, 0, 0);
	vendor_nmi_window(&vcpu, true);
	assert_true(svm_step_begin(&vcpu));
}

/* TF that the IRET has loaded stays; a breakpoint on its way is the guest's. */
static void test_a_step_keeps_what_is_the_guests(void **state)
{
	(void)state;
	step_from_iret();
	vmcb.rip = 0x7000;
	vmcb.rflags = 0x102;
	vmcb.dr6 = 0xffff4ff2;
	decode(SVM_EXIT_EXCEPTION + EXC_DB, 0, 0);
	assert_int_equal(out.kind, INTERCEPT_EXCEPTION);
	assert_int_equal(vmcb.dr6, 0xffff0ff2);
	assert_int_equal(vmcb.rflags, 0x102);
}

/* An IRET that faults, or meets a page that is not there yet, is still to be done: its frame has no
 * TF of ours. */
static void test_a_step_that_fails_leaves_no_trace(void **state)
{
	static const uint64_t codes[] = {SVM_EXIT_EXCEPTION + EXC_GP, SVM_EXIT_NPF, SVM_EXIT_INTR};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(codes); i++) {
		reset(NULL);
		vmcb.rflags = 2;
		step_from_iret();
		decode(codes[i], 0, 0);
		assert_int_equal(out.kind, i == 0   ? INTERCEPT_EXCEPTION
					   : i == 1 ? INTERCEPT_MEMORY
						    : INTERCEPT_INTERRUPT);
		assert_int_equal(vmcb.rflags, 2);
		assert_int_equal(vmcb.intercept_exceptions, 2);
		assert_false(vendor_can_take_nmi(&vcpu));
	}
}

/* With an event to go in first it is not stepped: the guest is to stop at the event's handler. */
static void test_an_event_goes_before_a_step(void **state)
{
	(void)state;
	vendor_inject_interrupt(&vcpu, 0x30);
	vendor_nmi_window(&vcpu, true);
	assert_false(svm_step_begin(&vcpu));
	assert_int_equal(vmcb.rflags, 0);
	assert_false(vcpu.nmi_step);
	vcpu.nmi_blocked = true; /* until its IRET, whose exit comes by itself */
	vendor_nmi_window(&vcpu, true);
	assert_false(vcpu.nmi_step);
}

/* A guest that single-steps itself needs no TF of ours, and keeps its own. */
static void test_a_guest_that_steps_itself(void **state)
{
	(void)state;
	vmcb.rflags = 0x102;
	step_from_iret();
	decode(SVM_EXIT_EXCEPTION + EXC_DB, 0, 0);
	assert_int_equal(out.kind, INTERCEPT_EXCEPTION);
	assert_int_equal(vmcb.rflags, 0x102);
}

/* SDM vol. 3, 17.3.1.1 and 6.15: faults push RF, #DB (with GD cleared), traps and aborts do not. */
static void test_what_an_exception_does_to_flags(void **state)
{
	(void)state;
	for (unsigned int vector = 0; vector < 32; vector++) {
		vmcb.rflags = 2;
		vmcb.dr7 = 0x2400;
		vmcb.event_injection = 0;
		vendor_inject_exception(&vcpu, (uint8_t)vector, false, 0);
		assert_int_equal(vmcb.rflags, 0x4011a >> vector & 1 ? 2 : 0x10002); /* 1 3 4 8 18 */
		assert_int_equal(vmcb.dr7, vector == 1 ? 0x400 : 0x2400);
	}
	vmcb.rflags = 2;
	vendor_inject_interrupt(&vcpu, 0x30);
	vendor_inject_nmi(&vcpu);
	assert_int_equal(vmcb.rflags, 2);
}

/* SDM vol. 3, table 6-5, and a third one (15.14.3: shutdown). */
static void test_double_and_triple_faults(void **state)
{
	(void)state;
	vendor_inject_exception(&vcpu, 13, true, 0x18);
	vendor_inject_exception(&vcpu, 14, true, 2);
	assert_int_equal(vmcb.event_injection, 2ull << 32 | 0x80000b0e);
	vendor_inject_exception(&vcpu, 14, true, 2);
	assert_int_equal(vmcb.event_injection, 0x80000b08);
	vendor_inject_exception(&vcpu, 6, false, 0);
	assert_int_equal(vmcb.event_injection, 0x80000306);
	vendor_inject_exception(&vcpu, 11, true, 8);
	assert_int_equal(vmcb.event_injection, 8ull << 32 | 0x80000b0b);
	vendor_inject_exception(&vcpu, 0, false, 0);
	assert_int_equal(vmcb.event_injection, 0x80000b08);
	assert_int_equal(shutdowns, 0);
	vendor_inject_exception(&vcpu, 13, true, 0);
	assert_int_equal(shutdowns, 1);
}

/* 15.21.4: a window opens above the TPR. QEMU's opens beside it (last, since that is remembered for
 * good). */
static void test_a_window_that_opens_too_early(void **state)
{
	(void)state;
	vendor_interrupt_window(&vcpu, 3);
	assert_int_equal(vmcb.interrupt_control, 1u << 8 | 3u << 16);
	vmcb.interrupt_control |= 2;
	decode(SVM_EXIT_VINTR, 0, 0);
	assert_int_equal(out.kind, INTERCEPT_WINDOW);
	assert_int_equal(vmcb.interrupt_control, 2);
	vendor_interrupt_window(&vcpu, 3);
	assert_int_equal(vmcb.interrupt_control, 1u << 8 | 3u << 16 | 2);
	vmcb.interrupt_control |= 3;
	decode(SVM_EXIT_VINTR, 0, 0);
	vendor_interrupt_window(&vcpu, 3);
	assert_int_equal(vmcb.interrupt_control, 1u << 8 | 2u << 16 | 3);
	assert_int_equal(vmcb.intercept_1, 1u << 4);
}

static void test_the_rest(void **state)
{
	static const struct {
		uint64_t code;
		enum intercept_kind kind;
	} rows[] = {
		{SVM_EXIT_INTR, INTERCEPT_INTERRUPT},
		{SVM_EXIT_NMI, INTERCEPT_INTERRUPT},
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
		{0x77, INTERCEPT_SPIN},
		{SVM_EXIT_INVD, INTERCEPT_SKIP},
		{0x89, INTERCEPT_SKIP},      /* WBINVD */
		{0x63, INTERCEPT_INTERRUPT}, /* INIT */
		{SVM_EXIT_XSETBV, INTERCEPT_XSETBV},
		{SVM_EXIT_DR, INTERCEPT_DEBUG},
		{SVM_EXIT_DR + 16 + 7, INTERCEPT_DEBUG},
		{SVM_EXIT_DR - 1, INTERCEPT_UNDEFINED},
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
		cmocka_unit_test_setup(test_the_guests_own_software_events_are_raised_again, reset),
		cmocka_unit_test_setup(test_injected_software_events_are_repeated, reset),
		cmocka_unit_test_setup(test_an_intercepted_breakpoint_goes_back, reset),
		cmocka_unit_test_setup(test_nmi_ends_behind_iret, reset),
		cmocka_unit_test_setup(test_a_step_keeps_what_is_the_guests, reset),
		cmocka_unit_test_setup(test_a_step_that_fails_leaves_no_trace, reset),
		cmocka_unit_test_setup(test_an_event_goes_before_a_step, reset),
		cmocka_unit_test_setup(test_a_guest_that_steps_itself, reset),
		cmocka_unit_test_setup(test_what_an_exception_does_to_flags, reset),
		cmocka_unit_test_setup(test_double_and_triple_faults, reset),
		cmocka_unit_test_setup(test_the_rest, reset),
		cmocka_unit_test_setup(test_skip, reset),
		cmocka_unit_test_setup(test_a_window_that_opens_too_early, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
