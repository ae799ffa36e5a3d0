/*
 * MSRs of the machine by their numbers: what the root's writes reach, and what they leave.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/msr_root.h"

static uint32_t there; /* the one MSR of this machine */
static uint64_t machine;
static unsigned int writes, lines;
static bool refuses;

bool rdmsr_safe(uint32_t msr, uint64_t *value)
{
	*value = machine;
	return msr == there;
}

bool wrmsr_safe(uint32_t msr, uint64_t value)
{
	writes++;
	if (msr != there || refuses) {
		return false;
	}
	machine = value;
	return true;
}

void plat_log(const char *format, ...)
{
	(void)format;
	lines++;
}

static void has(uint32_t msr, uint64_t value)
{
	there = msr;
	machine = value;
	writes = lines = 0;
	refuses = false;
}

static void test_banks_of_machine_checks(void **state)
{
	static const uint32_t msrs[] = {0x17a,      0x17b,      0x400,      0x401,      0x47f,
					0xc0002000, 0xc0002004, 0xc00023ff, 0xc0010044, 0xc0010400};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_COUNT(msrs); i++) {
		has(msrs[i], 0x8000000000000135);
		assert_int_equal(msr_root_write(msrs[i], 0), ACCESS_OK);
		assert_int_equal(machine, 0);
		/* Also when it is 0 already: the write is what counts. */
		assert_int_equal(msr_root_write(msrs[i], 0), ACCESS_OK);
		assert_int_equal(writes, 2);
		refuses = true;
		assert_int_equal(msr_root_write(msrs[i], 1), ACCESS_FAULT);
	}
}

/* What would need a vector of the physical APIC: interrupts for corrected errors, local machine
 * checks. */
static void test_capabilities(void **state)
{
	uint64_t value;

	(void)state;
	has(0x179, 0xf000c1e);
	assert_int_equal(msr_root_read(0x179, &value), ACCESS_OK);
	assert_int_equal(value, 0x700081e);
	assert_int_equal(msr_root_read(0x280, &value), ACCESS_PARENT);
}

/* Some bits reach the processor, the rest of the register stays. */
static void test_bits(void **state)
{
	(void)state;
	has(0x122, 0);
	assert_int_equal(msr_root_write(0x122, ~0ull), ACCESS_OK);
	assert_int_equal(machine, 3);
	has(0xc0011029, 2);
	assert_int_equal(msr_root_write(0xc0011029, 1ull << 9), ACCESS_OK);
	assert_int_equal(machine, 1ull << 9 | 2);
	has(0xc0010015, 1);
	assert_int_equal(msr_root_write(0xc0010015, 1ull << 18 | 1ull << 25), ACCESS_OK);
	assert_int_equal(machine, 1ull << 18 | 1);
}

static void test_all_else_stays(void **state)
{
	static const uint32_t msrs[] = {0x1a0, 0x1b0, 0x200,      0x2ff,
					0x280, 0x123, 0xc0010010, 0xc001102e};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_COUNT(msrs); i++) {
		has(msrs[i], 7);
		assert_int_equal(msr_root_write(msrs[i], 0), ACCESS_OK);
		assert_int_equal(machine, 7);
		assert_int_equal(writes, 0);
		assert_int_equal(msr_root_write(msrs[i] + 0x10000, 0), ACCESS_PARENT);
	}
}

static void test_microcode_is_refused_aloud(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		has(i ? 0x79 : 0xc0010020, 0);
		assert_int_equal(msr_root_write(there, 0x1234), ACCESS_FAULT);
		assert_int_equal(writes, 0);
		assert_int_equal(lines, 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_banks_of_machine_checks),
		cmocka_unit_test(test_capabilities),
		cmocka_unit_test(test_bits),
		cmocka_unit_test(test_all_else_stays),
		cmocka_unit_test(test_microcode_is_refused_aloud),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
