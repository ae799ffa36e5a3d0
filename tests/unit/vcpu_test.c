/*
 * hypervisor/arch/x86/vmx/vcpu.c: what a guest is left for. Bits stand here by their numbers in the
 * controls (SDM vol. 3, tables 25-7 and 25-8), so that a wrong constant cannot agree with itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/trap.h"
#include "hypervisor/arch/x86/vmx/vmx.h"
#include "hypervisor/console.h"
#include "hypervisor/sleep.h"
#include "tests/fake/on_lp.h"
#include "tlfs/hv.h"

#define BIT(n)      (1u << (n))
#define PROC2       0x401e /* field of the secondary controls */
#define MSR_BITMAP  0x2004
#define WBINVD      BIT(6)
#define PAUSE_LOOP  BIT(10)
#define X2APIC_MODE BIT(4)
#define ALL         (BIT(1) | BIT(5) | BIT(7) | WBINVD | PAUSE_LOOP)

ON_LP_BLOCKS;
const struct table_register fault_table, interrupt_table;
const uint8_t vmx_exit_here[1];
const struct vmx_syscall vmx_syscalls[SYSCALL_COUNT];
struct vmx_facts vmx_facts;

static uint64_t vmcs[0x8000];
static struct partition root = {.id = HV_ROOT_PARTITION}, child = {.id = 7};
static struct vp vp;
static struct vmx vmx;
static struct vcpu vcpu;

_Noreturn void check_failed(const char *file, int line, const char *what)
{
	fail_msg("%s:%d: %s", file, line, what);
	__builtin_unreachable();
}

void console_print(const char *format, ...)
{
	(void)format;
}

bool plat_gpa_read(struct partition *p, gpa_t gpa, void *to, uint32_t size)
{
	(void)p;
	(void)gpa;
	(void)to;
	(void)size;
	return false;
}

void *plat_page_alloc(struct partition *p)
{
	(void)p;
	return NULL;
}

void plat_page_free(struct partition *p, void *page)
{
	(void)p;
	(void)page;
}

spa_t plat_ptr_spa(const void *page)
{
	return (spa_t){(uintptr_t)page};
}

void sleep_watch(uint8_t *map)
{
	(void)map;
}

uint64_t trap_gdt_base(void)
{
	return 0;
}

uint64_t trap_tss_base(void)
{
	return 0;
}

void vendor_flush_tlb(struct vcpu *of)
{
	(void)of;
}

uint64_t vmcs_read(enum vmcs_field field)
{
	return vmcs[field];
}

void vmcs_write(enum vmcs_field field, uint64_t value)
{
	vmcs[field] = value;
}

uint64_t vmx_ept_pointer(const struct vcpu *of)
{
	(void)of;
	return 0;
}

void vmx_fetch_state(struct vcpu *of)
{
	(void)of;
}

void vmx_flush_now(struct vcpu *of, struct lp *lp)
{
	(void)of;
	(void)lp;
}

void vmx_flush_state(struct vcpu *of)
{
	(void)of;
}

uint64_t vmx_get_field(const struct vcpu *of, unsigned int state)
{
	return of->vmx->state[state];
}

void vmx_prepare_event(struct vcpu *of)
{
	(void)of;
}

void vmx_prepare_windows(struct vcpu *of)
{
	(void)of;
}

void vmx_set(struct vcpu *of, unsigned int state, uint64_t value)
{
	of->vmx->state[state] = value;
}

void vmx_set_cr0(struct vcpu *of, uint64_t value)
{
	(void)of;
	(void)value;
}

void vmx_set_cr4(struct vcpu *of, uint64_t value)
{
	(void)of;
	(void)value;
}

void vmx_set_efer(struct vcpu *of, uint64_t value)
{
	(void)of;
	(void)value;
}

static void mode(struct partition *p, bool x2apic)
{
	vp.partition = p;
	vcpu = (struct vcpu){.vp = &vp, .vmx = &vmx};
	vmx_set_apic_mode(&vcpu, x2apic);
}

/* The caches are everybody's, and who loops may wait for a VP that does not run: a child is left
 * for both, in whatever mode its APIC is. */
static void a_child_is_left_for_wbinvd_and_loops_of_pause(void **state)
{
	(void)state;
	vmx_facts.proc2 = ALL;
	for (unsigned int x2apic = 0; x2apic < 2; x2apic++) {
		mode(&child, x2apic);
		assert_int_equal(vmcs[PROC2], ALL);
		mode(&root, x2apic);
		assert_int_equal(vmcs[PROC2], ALL & ~(WBINVD | PAUSE_LOOP));
	}
}

/* The mode in which a guest has its TPR to itself is that of its APIC, where the processor has
 * it. */
static void the_tpr_is_the_guests_in_x2apic_mode(void **state)
{
	uint64_t plain;

	(void)state;
	vmx_facts.proc2 = ALL;
	vmx_facts.x2apic = true;
	mode(&child, false);
	plain = vmcs[MSR_BITMAP];
	assert_int_equal(vmcs[PROC2], ALL);
	mode(&child, true);
	assert_int_equal(vmcs[PROC2], ALL | X2APIC_MODE);
	assert_int_not_equal(vmcs[MSR_BITMAP], plain);
	vmx_facts.x2apic = false;
	mode(&child, true);
	assert_int_equal(vmcs[PROC2], ALL);
	assert_int_equal(vmcs[MSR_BITMAP], plain);
}

/* #DB and #AC could follow each other for ever, and machine checks are the root's: whatever the
 * parent wants besides. */
static void exceptions_that_always_stop(void **state)
{
	(void)state;
	mode(&child, false);
	vendor_set_exception_intercepts(&vcpu, 0);
	assert_int_equal(vmx.state[STATE_EXCEPTIONS], BIT(1) | BIT(17) | BIT(18));
	vendor_set_exception_intercepts(&vcpu, BIT(6));
	assert_int_equal(vmx.state[STATE_EXCEPTIONS], BIT(1) | BIT(6) | BIT(17) | BIT(18));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_child_is_left_for_wbinvd_and_loops_of_pause),
		cmocka_unit_test(the_tpr_is_the_guests_in_x2apic_mode),
		cmocka_unit_test(exceptions_that_always_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
