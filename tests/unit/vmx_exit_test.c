/*
 * Exits as the processor leaves them in the VMCS, and what vmx/exit.c and vmx/inject.c make of them
 * (Intel SDM vol. 3, 24.9, 26.6, 27.2, appendix C). Fields, reasons and bits stand here by their
 * numbers, so that a wrong constant cannot agree with itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/vmx/vmx.h"
#include "hypervisor/intercept.h"
#include "tests/fake/vmcs.h"

#define EXIT_REASON     0x4402
#define EXIT_EVENT      0x4404
#define EXIT_ERROR      0x4406
#define VECTORING       0x4408
#define VECTORING_ERROR 0x440a
#define LENGTH          0x440c
#define INFO            0x440e
#define QUALIFICATION   0x6400
#define GUEST_ADDRESS   0x2400
#define GUEST_RIP       0x681e
#define ENTRY_EVENT     0x4016
#define ENTRY_ERROR     0x4018
#define ENTRY_LENGTH    0x401a
#define PROC_CONTROLS   0x4002
#define TPR_THRESHOLD   0x401c
#define VALID           (1u << 31)

static unsigned int code_bits, nmis, tasks, shutdowns;
static struct vmx vmx;
static struct partition partition;
static struct vp vp;
static struct vcpu vcpu;
static struct intercept out;

unsigned int vendor_code_bits(const struct vcpu *v)
{
	(void)v;
	return code_bits;
}

void intercept_shutdown(struct vcpu *v)
{
	(void)v;
	shutdowns++;
}

void vmx_nmi_exit(void)
{
	nmis++;
}

void vmx_report(const struct vcpu *v, const char *what)
{
	(void)v;
	(void)what;
}

void vmx_task_switch(struct vcpu *v, struct intercept *intercept)
{
	(void)v;
	tasks++;
	intercept->kind = INTERCEPT_NOTHING;
}

static void decode(uint64_t reason, uint64_t qualification)
{
	vmcs[EXIT_REASON] = reason;
	vmcs[QUALIFICATION] = qualification;
	memset(&out, 0xa5, sizeof(out));
	vendor_decode(&vcpu, &out);
}

static int reset(void **state)
{
	(void)state;
	memset(vmcs, 0, sizeof(vmcs));
	memset(&vmx, 0, sizeof(vmx));
	memset(&vcpu, 0, sizeof(vcpu));
	memset(&vp, 0, sizeof(vp));
	vcpu.vmx = &vmx;
	vcpu.vp = &vp;
	vp.partition = &partition;
	partition.id = HV_ROOT_PARTITION;
	vmcs[GUEST_RIP] = 0xffffffff81000100;
	code_bits = 64;
	nmis = shutdowns = 0;
	return 0;
}

static void test_an_exit_takes_rip_and_forgets_the_copies(void **state)
{
	(void)state;
	vmx.valid = STATE_ALL;
	vmcs[LENGTH] = 5;
	decode(10, 0);
	assert_int_equal(out.kind, INTERCEPT_CPUID);
	assert_int_equal(out.length, 5);
	assert_int_equal(vcpu.rip, 0xffffffff81000100);
	assert_true(vmx.launched);
	assert_int_equal(vmx.valid, STATE_CONSTANT);
}

static void test_no_entry_changes_nothing(void **state)
{
	(void)state;
	vcpu.rip = 0x1234;
	vmx.valid = STATE_ALL;
	vmx.event = 0x30 | VALID;
	vmx.entry = VMX_PUT_OFF;
	decode(10, 0);
	assert_int_equal(out.kind, INTERCEPT_INTERRUPT);
	vmx.entry = VMX_REFUSED;
	decode(10, 0);
	assert_int_equal(out.kind, INTERCEPT_INVALID);
	decode(33u | 1u << 31, 0);
	assert_int_equal(out.kind, INTERCEPT_INVALID);
	assert_int_equal(vcpu.rip, 0x1234);
	assert_int_equal(vmx.event, 0x30 | VALID);
	assert_int_equal(vmx.valid, STATE_ALL);
	assert_false(vmx.launched);
}

static void test_io(void **state)
{
	(void)state;
	vmcs[LENGTH] = 1;
	vmcs[INFO] = 5u << 15;
	decode(30, 0x03f80000); /* out %al, (%dx) */
	assert_int_equal(out.kind, INTERCEPT_IO);
	assert_int_equal(out.io.port, 0x3f8);
	assert_int_equal(out.io.access.access_size, 1);
	assert_int_equal(out.length, 1);
	assert_false(out.io.in || out.io.access.string_op || out.io.access.rep_prefix);
	decode(30, 0x0cfc0003 | 1 << 3 | 1 << 4 | 1 << 5); /* rep insl: always to ES */
	assert_true(out.io.in && out.io.access.string_op && out.io.access.rep_prefix);
	assert_int_equal(out.io.access.access_size, 4);
	assert_int_equal(out.io.segment, 3);
	decode(30, 0x00800001 | 1 << 4); /* outsw from GS */
	assert_true(!out.io.in && out.io.access.string_op && !out.io.access.rep_prefix);
	assert_int_equal(out.io.access.access_size, 2);
	assert_int_equal(out.io.segment, 5);
}

static void test_memory(void **state)
{
	(void)state;
	vmcs[GUEST_ADDRESS] = 0xfee00300;
	decode(48, 1 << 1 | 1 << 7);
	assert_int_equal(out.kind, INTERCEPT_MEMORY);
	assert_int_equal(out.memory.gpa, 0xfee00300);
	assert_true(out.memory.write);
	assert_false(out.memory.fetch);
	decode(48, 1 << 2);
	assert_true(out.memory.fetch);
	assert_false(out.memory.write);
	decode(48, 1 << 0);
	assert_false(out.memory.fetch || out.memory.write);
}

static void test_exceptions(void **state)
{
	(void)state;
	vmcs[EXIT_EVENT] = 14 | 3u << 8 | 1u << 11 | VALID;
	vmcs[EXIT_ERROR] = 7;
	decode(0, 0xdeadbeef);
	assert_int_equal(out.kind, INTERCEPT_EXCEPTION);
	assert_int_equal(out.exception.vector, 14);
	assert_true(out.exception.has_error);
	assert_int_equal(out.exception.error, 7);
	assert_int_equal(out.exception.parameter, 0xdeadbeef);
	vmcs[EXIT_EVENT] = 18 | 3u << 8 | VALID;
	decode(0, 0);
	assert_int_equal(out.exception.vector, 18);
	assert_false(out.exception.has_error);
	assert_int_equal(out.exception.error, 0);
}

/* DR6 is what the processor would have made of it; a step that ended a shadow leaves none. */
static void test_debug_exceptions(void **state)
{
	(void)state;
	vmx.dr6 = 0xffff0ff1;
	vmx.state[STATE_INTERRUPTIBILITY] = 1;
	vmx.state[STATE_PENDING_DEBUG] = 1u << 14;
	vmcs[EXIT_EVENT] = 1 | 3u << 8 | VALID;
	decode(0, 1u << 14 | 2);
	assert_int_equal(out.exception.parameter, 0xffff4ff2);
	assert_int_equal(vmx.dr6, 0xffff4ff2);
	assert_int_equal(vmx.state[STATE_INTERRUPTIBILITY], 0);
	assert_int_equal(vmx.state[STATE_PENDING_DEBUG], 0);
	assert_int_equal(vcpu.rip, 0xffffffff81000100);
	vmcs[EXIT_EVENT] = 1 | 5u << 8 | VALID; /* INT1 is a trap: RIP behind it */
	vmcs[LENGTH] = 1;
	decode(0, 0);
	assert_int_equal(vcpu.rip, 0xffffffff81000101);
}

static void test_machine_nmi(void **state)
{
	(void)state;
	vmcs[EXIT_EVENT] = 2 | 2u << 8 | VALID;
	decode(0, 0);
	assert_int_equal(out.kind, INTERCEPT_INTERRUPT);
	assert_int_equal(nmis, 1);
}

static void test_an_interrupted_delivery_is_repeated(void **state)
{
	(void)state;
	vmcs[VECTORING] = 0x30 | VALID;
	decode(48, 0);
	assert_int_equal(vmx.event, 0x30 | VALID);
	vmcs[VECTORING] =
		14 | 3u << 8 | 1u << 11 | 1u << 12 | VALID; /* bit 12 is undefined there */
	vmcs[VECTORING_ERROR] = 6;
	decode(48, 0);
	assert_int_equal(vmx.event, 14 | 3u << 8 | 1u << 11 | VALID);
	assert_int_equal(vmx.error, 6);
}

/* INT n, INT1, INT3 and INTO go in again as such, with the length by which RIP is to be moved
 * (26.2.1.3, 27.2.5). */
static void test_an_interrupted_software_event_is_repeated(void **state)
{
	static const uint32_t events[] = {0x80 | 4u << 8, 1 | 5u << 8, 3 | 6u << 8, 4 | 6u << 8};

	(void)state;
	for (uint32_t i = 0; i < ARRAY_COUNT(events); i++) {
		vmcs[VECTORING] = events[i] | VALID;
		vmcs[LENGTH] = i + 1;
		decode(48, 0);
		vmx_prepare_event(&vcpu);
		assert_int_equal(vmcs[ENTRY_EVENT], events[i] | VALID);
		assert_int_equal(vmcs[ENTRY_LENGTH], i + 1);
		assert_int_equal(vendor_get_pending_interruption(&vcpu) & 0x1ff,
				 1 | (events[i] >> 8 & 7) << 1 | (i + 1) << 5);
	}
	vmcs[VECTORING] = 0;
	decode(48, 0);
	assert_int_equal(vcpu.event_length, 0);
}

/* The parent stopped an INT3 (which may have prefixes) and gives it back as an exception. */
static void test_an_intercepted_breakpoint_goes_back(void **state)
{
	(void)state;
	vmcs[EXIT_EVENT] = 3 | 6u << 8 | VALID;
	vmcs[LENGTH] = 2;
	decode(0, 0);
	assert_int_equal(out.kind, INTERCEPT_EXCEPTION);
	assert_int_equal(out.length, 2);
	vendor_inject_exception(&vcpu, 3, false, 0);
	vmx_prepare_event(&vcpu);
	assert_int_equal(vmcs[ENTRY_EVENT], 3 | 6u << 8 | VALID);
	assert_int_equal(vmcs[ENTRY_LENGTH], 2);
	decode(12, 0);
	vendor_inject_exception(&vcpu, 4, false, 0); /* one that the parent has made */
	vmx_prepare_event(&vcpu);
	assert_int_equal(vmcs[ENTRY_LENGTH], 1);
}

/* SDM vol. 3, 17.3.1.1, 6.15 and 26.6.1.1: faults push RF as it is in the VMCS, and GD is left to
 * us. */
static void test_what_an_exception_does_to_flags(void **state)
{
	(void)state;
	for (unsigned int vector = 0; vector < 32; vector++) {
		vmx.state[STATE_RFLAGS] = 2;
		vmx.state[STATE_DR7] = 0x2400;
		vmx.event = 0;
		vendor_inject_exception(&vcpu, (uint8_t)vector, false, 0);
		assert_int_equal(vmx.state[STATE_RFLAGS],
				 0x4011a >> vector & 1 ? 2 : 0x10002); /* 1 3 4 8 18 */
		assert_int_equal(vmx.state[STATE_DR7], vector == 1 ? 0x400 : 0x2400);
	}
	vmx.state[STATE_RFLAGS] = 2;
	vendor_inject_interrupt(&vcpu, 0x30);
	vendor_inject_nmi(&vcpu);
	assert_int_equal(vmx.state[STATE_RFLAGS], 2);
}

static void test_a_third_fault_is_a_shutdown(void **state)
{
	(void)state;
	vmx.state[STATE_CR0] = 1;
	vendor_inject_exception(&vcpu, 13, true, 8);
	vendor_inject_exception(&vcpu, 11, true, 8);
	assert_int_equal(vmx.event & 0xff, 8);
	assert_int_equal(shutdowns, 0);
	vendor_inject_exception(&vcpu, 14, true, 8);
	assert_int_equal(shutdowns, 1);
}

static void test_nmi_blocking_follows_delivery(void **state)
{
	(void)state;
	vmx.state[STATE_INTERRUPTIBILITY] = 1u << 3;
	vmcs[VECTORING] =
		2 | 2u << 8 | VALID; /* must not stay blocked, or it could not go in again */
	decode(48, 0);
	assert_int_equal(vmx.event, 2 | 2u << 8 | VALID);
	assert_false(vendor_nmi_blocked(&vcpu));
	vmcs[VECTORING] = 0;
	decode(48, 1u << 12); /* an IRET faulted after it had unblocked them */
	assert_true(vendor_nmi_blocked(&vcpu));
	vendor_set_nmi_blocked(&vcpu, false);
	vmcs[EXIT_EVENT] = 17 | 3u << 8 | 1u << 11 | 1u << 12 | VALID;
	decode(0, 0);
	assert_true(vendor_nmi_blocked(&vcpu));
	assert_false(vendor_can_take_nmi(&vcpu));
}

static void test_windows_close(void **state)
{
	(void)state;
	vmx.window = 5;
	decode(7, 0);
	assert_int_equal(out.kind, INTERCEPT_WINDOW);
	assert_int_equal(vmx.window, 0);
	vmx.window = 5;
	decode(43, 0);
	assert_int_equal(out.kind, INTERCEPT_WINDOW);
	assert_int_equal(vmx.window, 0);
	vmx.nmi_window = true;
	decode(8, 0);
	assert_int_equal(out.kind, INTERCEPT_WINDOW);
	assert_false(vmx.nmi_window);
}

/* A new value of a bit that the processor does not give away is shown, and the instruction done
 * again. */
static void test_cr0(void **state)
{
	(void)state;
	vmx.state[STATE_CR0_SHADOW] = 0x60000010;
	vcpu.gpr[GPR_RDX] = 0x80050033;
	decode(28, 2u << 8);
	assert_int_equal(out.kind, INTERCEPT_NOTHING);
	assert_int_equal(vmx.state[STATE_CR0_SHADOW] & 0x60000020, 0x20);
	vmx.state[STATE_RSP] = 0x60000010;
	decode(28, 4u << 8);
	assert_int_equal(out.kind, INTERCEPT_NOTHING);
	assert_int_equal(vmx.state[STATE_CR0_SHADOW] & 0x60000020, 0x60000000);
	vcpu.gpr[GPR_RDX] = 0x20000011; /* NW without CD */
	decode(28, 2u << 8);
	assert_int_equal(out.kind, INTERCEPT_PROTECTED);
	vcpu.gpr[GPR_RDX] = 0x80000010; /* paging in real mode */
	decode(28, 2u << 8);
	assert_int_equal(out.kind, INTERCEPT_PROTECTED);
	vcpu.gpr[GPR_RDX] = 0x100000031; /* beyond 32 bits */
	decode(28, 2u << 8);
	assert_int_equal(out.kind, INTERCEPT_PROTECTED);
	code_bits = 32;
	decode(28, 2u << 8);
	assert_int_equal(out.kind, INTERCEPT_NOTHING);
	assert_int_equal(vmx.state[STATE_CR0_SHADOW] & 0x60000020, 0x20);
}

/* The guest sees its own; the processor keeps the bit. */
static void test_cr4_mce_is_only_shown(void **state)
{
	(void)state;
	vmx.state[STATE_CR4_SHADOW] = 0x20;
	vcpu.gpr[GPR_RAX] = 0x6e0;
	decode(28, 4);
	assert_int_equal(out.kind, INTERCEPT_NOTHING);
	assert_int_equal(vmx.state[STATE_CR4_SHADOW], 0x60);
	vcpu.gpr[GPR_RAX] = 0x6a0;
	decode(28, 4);
	assert_int_equal(out.kind, INTERCEPT_NOTHING);
	assert_int_equal(vmx.state[STATE_CR4_SHADOW], 0x20);
	vcpu.gpr[GPR_RAX] = 0x26e0; /* and VMXE */
	decode(28, 4);
	assert_int_equal(out.kind, INTERCEPT_PROTECTED);
	assert_int_equal(vmx.state[STATE_CR4_SHADOW], 0x20);
}

static void test_a_machine_check_at_an_entry(void **state)
{
	(void)state;
	decode(41u | 1u << 31, 0);
	assert_int_equal(out.kind, INTERCEPT_EXCEPTION);
	assert_int_equal(out.exception.vector, 18);
}

static void test_cr4_of_vmx_faults(void **state)
{
	(void)state;
	vcpu.gpr[GPR_RAX] = 0x20a0;
	decode(28, 4);
	assert_int_equal(out.kind, INTERCEPT_PROTECTED);
}

static void test_the_rest(void **state)
{
	static const struct {
		unsigned int reason;
		enum intercept_kind kind;
	} rows[] = {
		{1, INTERCEPT_INTERRUPT},  {2, INTERCEPT_TRIPLE_FAULT}, {3, INTERCEPT_NOTHING},
		{4, INTERCEPT_NOTHING},    {11, INTERCEPT_UNDEFINED},   {12, INTERCEPT_HALT},
		{13, INTERCEPT_SKIP},      {15, INTERCEPT_PROTECTED},   {18, INTERCEPT_HYPERCALL},
		{19, INTERCEPT_UNDEFINED}, {20, INTERCEPT_UNDEFINED},   {21, INTERCEPT_UNDEFINED},
		{22, INTERCEPT_UNDEFINED}, {23, INTERCEPT_UNDEFINED},   {24, INTERCEPT_UNDEFINED},
		{25, INTERCEPT_UNDEFINED}, {26, INTERCEPT_UNDEFINED},   {27, INTERCEPT_UNDEFINED},
		{31, INTERCEPT_MSR_READ},  {32, INTERCEPT_MSR_WRITE},   {36, INTERCEPT_UNDEFINED},
		{39, INTERCEPT_UNDEFINED}, {49, INTERCEPT_INVALID},     {50, INTERCEPT_UNDEFINED},
		{52, INTERCEPT_INTERRUPT}, {53, INTERCEPT_UNDEFINED},   {55, INTERCEPT_XSETBV},
		{29, INTERCEPT_DEBUG},     {54, INTERCEPT_SKIP},        {40, INTERCEPT_SPIN},
		{59, INTERCEPT_UNDEFINED},
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		decode(rows[i].reason, 0);
		assert_int_equal(out.kind, rows[i].kind);
	}
}

static void test_a_task_switch_is_done(void **state)
{
	(void)state;
	tasks = 0;
	decode(9, 0x20);
	assert_int_equal(tasks, 1);
	assert_int_equal(out.kind, INTERCEPT_NOTHING);
}

static void test_skip(void **state)
{
	(void)state;
	vcpu.rip = 0xffffffff;
	vmx.state[STATE_INTERRUPTIBILITY] = 2 | 8;
	vmx.state[STATE_RFLAGS] = 1u << 16;
	vendor_skip(&vcpu, 2);
	assert_int_equal(vcpu.rip, 0x100000001);
	assert_int_equal(vmx.state[STATE_INTERRUPTIBILITY], 8);
	assert_int_equal(vmx.state[STATE_RFLAGS], 0);
	code_bits = 32; /* EIP wraps */
	vcpu.rip = 0xffffffff;
	vmx.state[STATE_RFLAGS] = 1u << 8;
	vendor_skip(&vcpu, 2);
	assert_int_equal(vcpu.rip, 1);
	assert_int_equal(vmx.event, 1 | 3u << 8 | VALID);
	assert_int_equal(vmx.dr6 & 1u << 14, 1u << 14);
	assert_int_equal(vmx.dr6 & 15, 0);
}

/* ---- inject.c ---- */

static void test_error_codes_are_as_entries_want_them(void **state)
{
	(void)state;
	vmx.state[STATE_CR0] = 1;
	vendor_inject_exception(&vcpu, 13, false, 0);
	vmx_prepare_event(&vcpu);
	assert_int_equal(vmcs[ENTRY_EVENT], 13 | 3u << 8 | 1u << 11 | VALID);
	vmx.event = 0;
	vendor_inject_exception(&vcpu, 6, true, 9);
	vmx_prepare_event(&vcpu);
	assert_int_equal(vmcs[ENTRY_EVENT], 6 | 3u << 8 | VALID);
	vmx.event = 0;
	vmx.state[STATE_CR0] = 0; /* real mode pushes none */
	vendor_inject_exception(&vcpu, 13, true, 9);
	vmx_prepare_event(&vcpu);
	assert_int_equal(vmcs[ENTRY_EVENT], 13 | 3u << 8 | VALID);
}

static void test_double_fault(void **state)
{
	(void)state;
	vmx.state[STATE_CR0] = 1;
	vendor_inject_exception(&vcpu, 14, true, 2);
	vendor_inject_exception(&vcpu, 13, true, 8);
	vmx_prepare_event(&vcpu);
	assert_int_equal(vmcs[ENTRY_EVENT], 8 | 3u << 8 | 1u << 11 | VALID);
	assert_int_equal(vmcs[ENTRY_ERROR], 0);
}

static void test_pending_interruption(void **state)
{
	(void)state;
	vendor_set_pending_interruption(&vcpu, 1 | 3 << 1 | 1 << 4 | 14u << 16 | 2ull << 32);
	assert_int_equal(vmx.event, 14 | 3u << 8 | 1u << 11 | VALID);
	assert_int_equal(vmx.error, 2);
	assert_int_equal(vendor_get_pending_interruption(&vcpu) & ~0x1e0ull,
			 1 | 3 << 1 | 1 << 4 | 14u << 16 | 2ull << 32);
	vendor_set_pending_interruption(&vcpu, 1 | 4 << 1 | 0x80u << 16); /* INT 0x80 */
	vmx_prepare_event(&vcpu);
	assert_int_equal(vmcs[ENTRY_EVENT], 0x80 | 4u << 8 | VALID);
	assert_int_equal(vmcs[ENTRY_LENGTH], 2);
	vendor_set_pending_interruption(&vcpu, 1 | 2 << 1 | 3u << 16); /* an NMI of vector 3 */
	assert_false(vendor_event_pending(&vcpu));
	vendor_set_pending_interruption(&vcpu,
					1 | 3 << 1 | 32u << 16); /* an exception of vector 32 */
	assert_false(vendor_event_pending(&vcpu));
	vendor_set_pending_interruption(&vcpu, 1 | 1 << 1);
	assert_false(vendor_event_pending(&vcpu));
	vendor_set_pending_interruption(&vcpu, 1 | 7 << 1);
	assert_false(vendor_event_pending(&vcpu));
	vendor_set_pending_interruption(&vcpu, 0x30u << 16);
	assert_int_equal(vendor_get_pending_interruption(&vcpu), 0);
}

/* Entries refuse a threshold above the TPR. */
static void test_what_waits_for_the_tpr_is_not_waited_for_by_a_window(void **state)
{
	(void)state;
	vmx_facts.proc = 1u << 31;
	vmx.proc_controls = vmx_facts.proc;
	vendor_set_tpr(&vcpu, 0x4f);
	vendor_interrupt_window(&vcpu, 5);
	vmx_prepare_windows(&vcpu);
	assert_int_equal(vmcs[PROC_CONTROLS], 1u << 31 | 1u << 2);
	assert_int_equal(vmcs[TPR_THRESHOLD], 0);
	vendor_set_tpr(&vcpu, 0x5a);
	vmx_prepare_windows(&vcpu);
	assert_int_equal(vmcs[PROC_CONTROLS], 1u << 31);
	assert_int_equal(vmcs[TPR_THRESHOLD], 5);
	vendor_interrupt_window(&vcpu, 0);
	vendor_nmi_window(&vcpu, true);
	vmx_prepare_windows(&vcpu);
	assert_int_equal(vmcs[PROC_CONTROLS], 1u << 31 | 1u << 22);
	assert_int_equal(vmcs[TPR_THRESHOLD], 0);
	assert_int_equal(vendor_get_tpr(&vcpu), 0x5a);
}

static void test_the_mode_of_the_local_apic_is_followed(void **state)
{
	(void)state;
	vendor_set_tpr(&vcpu, 0);
	assert_false(vmx.x2apic);
	vp.lapic.base = 3u << 10;
	vendor_set_tpr(&vcpu, 0);
	assert_true(vmx.x2apic);
	vp.lapic.base = 0;
	vendor_set_tpr(&vcpu, 0);
	assert_false(vmx.x2apic);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_an_exit_takes_rip_and_forgets_the_copies, reset),
		cmocka_unit_test_setup(test_no_entry_changes_nothing, reset),
		cmocka_unit_test_setup(test_io, reset),
		cmocka_unit_test_setup(test_memory, reset),
		cmocka_unit_test_setup(test_exceptions, reset),
		cmocka_unit_test_setup(test_debug_exceptions, reset),
		cmocka_unit_test_setup(test_machine_nmi, reset),
		cmocka_unit_test_setup(test_an_interrupted_delivery_is_repeated, reset),
		cmocka_unit_test_setup(test_an_interrupted_software_event_is_repeated, reset),
		cmocka_unit_test_setup(test_an_intercepted_breakpoint_goes_back, reset),
		cmocka_unit_test_setup(test_what_an_exception_does_to_flags, reset),
		cmocka_unit_test_setup(test_a_third_fault_is_a_shutdown, reset),
		cmocka_unit_test_setup(test_nmi_blocking_follows_delivery, reset),
		cmocka_unit_test_setup(test_windows_close, reset),
		cmocka_unit_test_setup(test_cr0, reset),
		cmocka_unit_test_setup(test_cr4_of_vmx_faults, reset),
		cmocka_unit_test_setup(test_cr4_mce_is_only_shown, reset),
		cmocka_unit_test_setup(test_a_machine_check_at_an_entry, reset),
		cmocka_unit_test_setup(test_the_rest, reset),
		cmocka_unit_test_setup(test_a_task_switch_is_done, reset),
		cmocka_unit_test_setup(test_skip, reset),
		cmocka_unit_test_setup(test_error_codes_are_as_entries_want_them, reset),
		cmocka_unit_test_setup(test_double_fault, reset),
		cmocka_unit_test_setup(test_pending_interruption, reset),
		cmocka_unit_test_setup(test_what_waits_for_the_tpr_is_not_waited_for_by_a_window,
				       reset),
		cmocka_unit_test_setup(test_the_mode_of_the_local_apic_is_followed, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
