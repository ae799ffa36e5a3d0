/*
 * hypervisor/arch/x86/mtrr.c: the others get the boot LP's memory types, with caches off meanwhile,
 * and only if they differ.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/mtrr.h"
#include "hypervisor/arch/x86/paging.h"

#define MSR_COUNT 0x300u

struct lp_msrs {
	uint64_t value[MSR_COUNT];
};

static struct lp_msrs boot, other, *current;
static unsigned int writes, cache_switches;
static bool caches_off, present;

bool rdmsr_safe(uint32_t msr, uint64_t *value)
{
	assert_true(msr < MSR_COUNT);
	*value = current->value[msr];
	return present;
}

bool wrmsr_safe(uint32_t msr, uint64_t value)
{
	assert_true(msr < MSR_COUNT);
	assert_true(caches_off);
	if (msr != 0x2ff && msr != MSR_PAT) {
		assert_false(current->value[0x2ff] & 1u << 11); /* not while they are in force */
	}
	current->value[msr] = value;
	writes++;
	return true;
}

uint64_t paging_caches_off(void)
{
	caches_off = true;
	cache_switches++;
	return 0x80000011;
}

void paging_caches_on(uint64_t cr0)
{
	assert_int_equal(cr0, 0x80000011);
	caches_off = false;
}

static int setup(void **state)
{
	(void)state;
	memset(&boot, 0, sizeof(boot));
	present = true;
	writes = cache_switches = 0;
	boot.value[0xfe] = 8 | 1u << 8;
	boot.value[0x200] = 0xc0000000;
	boot.value[0x20f] = 0x800;
	boot.value[0x250] = 0x0606060606060606;
	boot.value[0x26f] = 0x0505050505050505;
	boot.value[0x2ff] = 0xc06;
	boot.value[MSR_PAT] = PAT_RESET;
	other = boot;
	return 0;
}

static void start_other(void)
{
	current = &boot;
	mtrr_boot();
	current = &other;
	mtrr_lp_init();
	assert_false(caches_off);
}

static void what_is_the_same_is_left_alone(void **state)
{
	(void)state;
	start_other();
	assert_int_equal(writes + cache_switches, 0);
}

static void what_differs_is_set(void **state)
{
	static const uint32_t msrs[] = {0x200, 0x20f, 0x250, 0x26f, 0x2ff, MSR_PAT};

	for (unsigned int i = 0; i < sizeof(msrs) / sizeof(msrs[0]); i++) {
		setup(state);
		other.value[msrs[i]] ^= 1;
		start_other();
		assert_int_equal(cache_switches, 1);
		assert_memory_equal(&other, &boot, sizeof(boot));
	}
}

static void what_the_firmware_never_set_is_set(void **state)
{
	(void)state;
	memset(&other, 0, sizeof(other));
	other.value[0xfe] = boot.value[0xfe];
	start_other();
	assert_memory_equal(&other, &boot, sizeof(boot));
}

static void registers_that_are_not_there_are_not_touched(void **state)
{
	(void)state;
	boot.value[0xfe] = 2; /* two pairs, nothing fixed */
	other = boot;
	other.value[0x204] = other.value[0x250] = 1;
	start_other();
	assert_int_equal(writes, 0);
	present = false;
	other.value[0x200] = 1;
	start_other();
	assert_int_equal(writes, 0);
}

#define T(test) cmocka_unit_test_setup(test, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(what_is_the_same_is_left_alone),
		T(what_differs_is_set),
		T(what_the_firmware_never_set_is_set),
		T(registers_that_are_not_there_are_not_touched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
