/*
 * A machine check's way to the LP's root VP, on a processor whose banks are an array.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hypervisor/arch/x86/apic.h"
#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/trap.h"
#include "hypervisor/arch/x86/vendor.h"
#include "hypervisor/lp.h"
#include "hypervisor/machine_check.h"
#include "hypervisor/vcpu.h"

#define RIPV 1
#define MCIP 4
#define MCE  (1ull << 6)

static uint64_t status, cr4;
static uint64_t banks[3];
static unsigned int lines, injected, kicks;
static jmp_buf stopped;
static struct vp vp;
static struct vcpu root;
static struct lp lp;

bool rdmsr_safe(uint32_t msr, uint64_t *value)
{
	switch (msr) {
	case 0x179: /* MCG_CAP */
		*value = 0x1000 | sizeof(banks) / sizeof(banks[0]);
		return true;
	case 0x17a:
		*value = status;
		return true;
	case 0x401:
	case 0x405:
	case 0x409:
		*value = banks[(msr - 0x401) / 4];
		return true;
	}
	fail_msg("MSR %x", msr);
	return false;
}

void plat_log(const char *format, ...)
{
	(void)format;
	lines++;
}

void vp_post_event(struct vp *to, uint32_t events)
{
	assert_ptr_equal(to, &vp);
	vp.events |= events;
}

void apic_kick_self(void)
{
	assert_true(lp.machine_check && vp.events);
	kicks++;
}

uint64_t vendor_get_cr(const struct vcpu *vcpu, unsigned int number)
{
	assert_ptr_equal(vcpu, &root);
	assert_int_equal(number, 4);
	return cr4;
}

void vendor_inject_exception(struct vcpu *vcpu, uint8_t vector, bool has_error, uint32_t error)
{
	assert_ptr_equal(vcpu, &root);
	assert_int_equal(vector, 18);
	assert_true(!has_error && !error);
	injected++;
}

_Noreturn void machine_stop(const char *reason)
{
	(void)reason;
	longjmp(stopped, 1);
}

static int reset(void **state)
{
	(void)state;
	memset(&vp, 0, sizeof(vp));
	root = (struct vcpu){.vp = &vp};
	lp = (struct lp){.root = &root};
	memset(banks, 0, sizeof(banks));
	status = cr4 = 0;
	lines = injected = kicks = 0;
	return 0;
}

/*
 * Whoever's guest it was: the root VP is made to look, and the console has the banks that say
 * something. An LP on its way to sleep has looked already, so it gets an interrupt.
 */
static void test_one_in_a_guest_is_the_roots(void **state)
{
	(void)state;
	assert_false(machine_check_in_progress());
	status = MCIP | RIPV;
	banks[1] = 1ull << 63 | 0x135;
	assert_true(machine_check_in_progress());
	machine_check_taken(&lp);
	assert_int_equal(lines, 2);
	assert_true(lp.machine_check && root.rare && vp.events);
	assert_int_equal(kicks, 1);
	cr4 = MCE;
	machine_check_deliver(&lp);
	assert_int_equal(injected, 1);
	assert_false(lp.machine_check);
}

/* In the hypervisor: only where the processor can go on, and without a word, since it may have come
 * amid one. */
static void test_one_in_the_hypervisor(void **state)
{
	(void)state;
	status = MCIP;
	assert_false(machine_check_survived(&lp));
	assert_false(lp.machine_check);
	status = MCIP | RIPV;
	assert_true(machine_check_survived(&lp));
	assert_true(lp.machine_check && root.rare && vp.events);
	assert_int_equal(lines, 0);
	assert_int_equal(kicks, 1); /* it may have come behind the last look before an entry */
	lp = (struct lp){0};        /* at boot there is no root yet, and no APIC */
	assert_true(machine_check_survived(&lp));
	assert_true(lp.machine_check);
	assert_int_equal(kicks, 1);
}

/* A processor with CR4.MCE clear shuts down. */
static void test_a_root_that_does_not_listen(void **state)
{
	(void)state;
	status = MCIP | RIPV;
	machine_check_taken(&lp);
	if (setjmp(stopped) == 0) {
		machine_check_deliver(&lp);
		fail();
	}
	assert_int_equal(injected, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_one_in_a_guest_is_the_roots, reset),
		cmocka_unit_test_setup(test_one_in_the_hypervisor, reset),
		cmocka_unit_test_setup(test_a_root_that_does_not_listen, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
