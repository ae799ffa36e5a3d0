/*
 * Tests of what loader/cpu.c and loader/clock.c conclude from what they have seen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "boot/handoff.h"
#include "loader/apic.h"
#include "loader/clock.h"
#include "loader/console.h"
#include "loader/cpu.h"

static const struct cpu_facts amd = {
	.has_long_mode = true,
	.has_nx = true,
	.has_svm = true,
	.svm_has_nested_paging = true,
};

static const struct cpu_facts intel = {
	.has_long_mode = true,
	.has_nx = true,
	.has_vmx = true,
	.vmx_has_ept = true,
	.vmx_has_unrestricted_guest = true,
	.vmx_has_vpid = true,
};

/* clock.c measures with these; no test here does. */
void apic_timer_start(void)
{
}

uint32_t apic_timer_count(void)
{
	return 0;
}

void apic_timer_stop(void)
{
}

void stop(const char *format, ...)
{
	fail_msg("%s", format);
	__builtin_unreachable();
}

static void test_good(void **state)
{
	uint32_t vendor = 0;

	(void)state;
	assert_null(cpu_judge(&amd, &vendor));
	assert_int_equal(vendor, HV_IMAGE_SVM);
	assert_null(cpu_judge(&intel, &vendor));
	assert_int_equal(vendor, HV_IMAGE_VMX);
}

static void assert_missing(struct cpu_facts facts, const char *what)
{
	uint32_t vendor;
	const char *missing = cpu_judge(&facts, &vendor);

	assert_non_null(missing);
	assert_non_null(strstr(missing, what));
}

#define WITH(facts, field, value)                                                                  \
	({                                                                                         \
		struct cpu_facts f = facts;                                                        \
		f.field = value;                                                                   \
		f;                                                                                 \
	})

static void test_missing(void **state)
{
	(void)state;
	assert_missing(WITH(amd, has_long_mode, false), "64-bit");
	assert_missing(WITH(amd, has_svm, false), "neither AMD-V");
	assert_missing(WITH(amd, has_nx, false), "NX");
	assert_missing(WITH(amd, svm_is_disabled, true), "disabled by the firmware");
	assert_missing(WITH(amd, svm_has_nested_paging, false), "nested paging");
	assert_missing(WITH(intel, vmx_is_disabled, true), "disabled by the firmware");
	assert_missing(WITH(intel, vmx_has_ept, false), "EPT");
	assert_missing(WITH(intel, vmx_has_unrestricted_guest, false), "unrestricted");
	assert_missing(WITH(intel, vmx_has_vpid, false), "VPID");
}

static void test_rates(void **state)
{
	struct clock_moment from = {.tsc = 1000, .reference = 0xfffff0, .apic = 900};
	struct clock_moment to = {.tsc = 1000 + 3000000000,
				  .reference = (0xfffff0 + 3579545) & 0xffffff,
				  .apic = (uint32_t)(900 - 1000000000)};
	struct clock_rates rates;

	(void)state;
	assert_true(clock_rates_between(&from, &to, 3579545, 0xffffff, &rates));
	assert_int_equal(rates.tsc_hz, 3000000000);
	assert_int_equal(rates.apic_timer_hz, 1000000000);
	assert_false(clock_rates_between(&from, &from, 3579545, 0xffffff, &rates));
}

static void test_choice(void **state)
{
	(void)state;
	assert_int_equal(clock_choose_tsc(2999000000, 3000000000), 3000000000);
	assert_int_equal(clock_choose_tsc(3001000000, 3000000000), 3000000000);
	assert_int_equal(clock_choose_tsc(2900000000, 3000000000), 2900000000);
	assert_int_equal(clock_choose_tsc(2900000000, 0), 2900000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_choice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
