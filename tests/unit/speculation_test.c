/*
 * What a decision becomes: the bytes that run.S looks at, MSRs, and the flushes around a child's
 * turn.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/mitigation.h"
#include "hypervisor/console.h"
#include "hypervisor/lp.h"
#include "hypervisor/speculation.h"
#include "hypervisor/vcpu.h"
#include "tlfs/hv.h"

#define SPARE_ROOT                                                                                 \
	(HV_DISPATCH_VP_FLAG_SKIP_CALLER_SPEC_FLUSH |                                              \
	 HV_DISPATCH_VP_FLAG_SKIP_CALLER_USER_SPEC_FLUSH)

struct plat_info plat_info;

static struct mitigations decision;
static unsigned int flushes;
static uint64_t spec_ctrl;
static struct partition root = {.id = HV_ROOT_PARTITION}, child = {.id = 7}, other = {.id = 8};
static struct vp root_vp = {.partition = &root}, child_vp = {.partition = &child},
		 other_vp = {.partition = &other};
static struct vcpu vcpus[3];
static struct lp lp;

struct mitigations mitigation_decide(const struct processor *p)
{
	(void)p;
	return decision;
}

const char *mitigation_name(unsigned int bit)
{
	(void)bit;
	return "";
}

void console_print(const char *format, ...)
{
	(void)format;
}

bool rdmsr_safe(uint32_t msr, uint64_t *value)
{
	(void)msr;
	*value = 0;
	return true;
}

bool wrmsr_safe(uint32_t msr, uint64_t value)
{
	if (msr == 0x49) {
		assert_int_equal(value, 1);
		flushes++;
	} else if (msr == 0x48) {
		spec_ctrl = value;
	}
	return true;
}

static void boot(uint32_t used, uint64_t own_spec_ctrl, const char *line)
{
	decision = (struct mitigations){.used = used, .spec_ctrl = own_spec_ctrl};
	flushes = 0;
	spec_ctrl = 0;
	lp = (struct lp){0};
	memset(vcpus, 0, sizeof(vcpus));
	vcpus[0].vp = &root_vp;
	vcpus[1].vp = &child_vp;
	vcpus[2].vp = &other_vp;
	speculation_boot(line);
	speculation_lp_init();
	for (unsigned int i = 0; i < 3; i++) {
		vcpus[i].vp->partition->spec_ctrl_bits = 7;
		speculation_vcpu_init(&vcpus[i]);
	}
}

static void expect(unsigned int i, uint8_t entry, uint8_t slow, uint8_t exit)
{
	assert_int_equal(vcpus[i].on_entry, entry);
	assert_int_equal(vcpus[i].on_slow_entry, slow);
	assert_int_equal(vcpus[i].on_exit, exit);
}

static void test_what_run_looks_at(void **state)
{
	(void)state;
	boot(MITIGATION_VERW | MITIGATION_L1D | MITIGATION_RSB | MITIGATION_IBPB_EXIT, 0, "");
	expect(0, ENTRY_VERW, 0, EXIT_RSB);
	expect(1, ENTRY_VERW, ENTRY_L1D, EXIT_RSB | EXIT_IBPB);
	speculation_child_begins(&lp, &vcpus[1], 0);
	expect(1, ENTRY_VERW | ENTRY_L1D, ENTRY_L1D, EXIT_RSB | EXIT_IBPB);
	boot(0, 0, "");
	expect(0, 0, 0, 0);
	expect(1, 0, 0, 0);
}

static void test_spec_ctrl_is_switched_where_it_differs(void **state)
{
	(void)state;
	boot(MITIGATION_IBRS_ALL, 1, "");
	assert_int_equal(spec_ctrl, 1);
	expect(1, ENTRY_SPEC_CTRL, 0, EXIT_SPEC_CTRL);
	assert_true(speculation_set_spec_ctrl(&vcpus[1], 1));
	expect(1, 0, 0, 0);
	assert_true(speculation_set_spec_ctrl(&vcpus[1], 5));
	expect(1, ENTRY_SPEC_CTRL, 0, EXIT_SPEC_CTRL);
	assert_false(speculation_set_spec_ctrl(&vcpus[1], 8));
	assert_int_equal(vcpus[1].spec_ctrl, 5);
	/* The old kind counts from when it is written. */
	boot(MITIGATION_IBRS, 1, "");
	assert_true(speculation_set_spec_ctrl(&vcpus[0], 1));
	expect(0, 0, 0, EXIT_SPEC_CTRL);
}

static void turn(unsigned int i, uint32_t flags)
{
	speculation_child_begins(&lp, &vcpus[i], flags);
	speculation_child_ends(&lp, flags);
}

static void test_flushes_between_partitions(void **state)
{
	(void)state;
	boot(MITIGATION_IBPB, 0, "");
	turn(1, 0);
	turn(2, 0);
	assert_int_equal(flushes, 2); /* for the root, and so for the next child too */
	turn(1, SPARE_ROOT);
	turn(1, SPARE_ROOT);
	assert_int_equal(flushes, 2);
	turn(2, SPARE_ROOT); /* another child: for itself */
	assert_int_equal(flushes, 3);
	turn(1, SPARE_ROOT | HV_DISPATCH_VP_FLAG_SKIP_VP_SPEC_FLUSH);
	assert_int_equal(flushes, 3);
	turn(1, HV_DISPATCH_VP_FLAG_SKIP_CALLER_SPEC_FLUSH); /* its programs want it */
	assert_int_equal(flushes, 4);
	boot(0, 0, "");
	turn(1, 0);
	assert_int_equal(flushes, 0);
}

static void test_off(void **state)
{
	static const char *const on[] = {"", "hv.mitigations=offer", "xhv.mitigations=off",
					 "hv.mitigations=on", "hv.mitigations=of"};
	static const char *const off[] = {"hv.mitigations=off", "hv.memory=64M hv.mitigations=off",
					  "hv.mitigations=off  x", " hv.mitigations=off"};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_COUNT(on); i++) {
		boot(MITIGATION_SPLIT | MITIGATION_VERW, 0, on[i]);
		assert_true(speculation_splits());
	}
	for (unsigned int i = 0; i < ARRAY_COUNT(off); i++) {
		boot(MITIGATION_SPLIT | MITIGATION_VERW, 1, off[i]);
		assert_false(speculation_splits());
		assert_int_equal(spec_ctrl, 0);
		expect(1, 0, 0, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_run_looks_at),
		cmocka_unit_test(test_spec_ctrl_is_switched_where_it_differs),
		cmocka_unit_test(test_flushes_between_partitions),
		cmocka_unit_test(test_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
