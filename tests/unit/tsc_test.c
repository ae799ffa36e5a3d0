/*
 * Two LPs as two threads, whose counters are the number of times that one was read, and an offset
 * of their own.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/console.h"
#include "hypervisor/tsc.h"
#include "tlfs/plat.h"

#define RUN 1000 /* cycles */

struct plat_info plat_info;

static uint64_t ticks = 1ull << 40;
static bool can_adjust;
static _Thread_local bool is_boot;
static int64_t offset; /* of the second LP's counter */
static unsigned int lines;

void console_print(const char *format, ...)
{
	(void)format;
	lines++;
}

uint64_t plat_tsc(void)
{
	return __atomic_fetch_add(&ticks, 1, __ATOMIC_SEQ_CST) + (is_boot ? 0 : (uint64_t)offset);
}

bool rdmsr_safe(uint32_t msr, uint64_t *value)
{
	assert_int_equal(msr, 0x3b);
	assert_false(is_boot);
	*value = (uint64_t)offset;
	return can_adjust;
}

bool wrmsr_safe(uint32_t msr, uint64_t value)
{
	assert_int_equal(msr, 0x3b);
	assert_true(!is_boot && can_adjust);
	offset = (int64_t)value;
	return true;
}

static void *second(void *argument)
{
	(void)argument;
	tsc_meet(false);
	return NULL;
}

static void run(bool adjust, int64_t start)
{
	pthread_t thread;

	plat_info =
		(struct plat_info){.tsc_hz = 500 * RUN, .tsc_invariant = true, .tsc_equal = true};
	lines = 0;
	can_adjust = adjust;
	offset = start;
	is_boot = true;
	assert_int_equal(pthread_create(&thread, NULL, second, NULL), 0);
	tsc_meet(true);
	pthread_join(thread, NULL);
}

static void test_equal_ones_stay(void **state)
{
	(void)state;
	run(false, 0);
	assert_int_equal(offset, 0);
	assert_true(plat_info.tsc_equal && plat_info.tsc_invariant);
	assert_int_equal(lines, 0);
}

/* What is left is less than the two could see. */
static void test_one_that_is_behind_or_ahead_is_moved(void **state)
{
	static const int64_t starts[] = {-5000000, -40, 40, 5000000};

	(void)state;
	for (unsigned int i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		run(true, starts[i]);
		assert_true(plat_info.tsc_equal && plat_info.tsc_invariant);
		assert_true(offset > -3 && offset < 3);
		assert_int_equal(lines, 0);
	}
}

static void test_one_that_cannot_be_moved_is_said(void **state)
{
	(void)state;
	for (int64_t start = -5000; start <= 5000; start += 10000) {
		run(false, start);
		assert_int_equal(offset, start);
		assert_false(plat_info.tsc_equal);
		assert_false(plat_info.tsc_invariant);
		assert_int_equal(lines, 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_equal_ones_stay),
		cmocka_unit_test(test_one_that_is_behind_or_ahead_is_moved),
		cmocka_unit_test(test_one_that_cannot_be_moved_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
