/*
 * hypervisor/sleep.c: which port writes of the root enter a sleep state (ACPI 6.5, 4.8.3.2.1: SLP_TYP 12:10, SLP_EN 13).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hypervisor/sleep.h"
#include "include/boot/handoff.h"

#define CONTROL_A 0x604
#define CONTROL_B 0xb004
#define ENABLE    0x2000u
#define TYPE(n)   ((uint32_t)(n) << 10)

static struct handoff handoff;

static int reset(void **state)
{
	(void)state;
	memset(&handoff, 0, sizeof(handoff));
	handoff.pm1_control[0] = CONTROL_A;
	handoff.sleep_types = 1u << 0 | 1u << 2;
	sleep_init(&handoff);
	return 0;
}

static void only_permitted_types_are_entered(void **state)
{
	(void)state;
	for (uint32_t type = 0; type < 8; type++) {
		assert_int_equal(sleep_permits(CONTROL_A, 2, ENABLE | TYPE(type)),
				 type == 0 || type == 2);
		assert_true(sleep_permits(CONTROL_A, 2, TYPE(type) | 1));
	}
}

/* A byte, or an access that begins before the register, is enough. */
static void every_access_that_reaches_the_bit_counts(void **state)
{
	const uint32_t s3 = ENABLE | TYPE(1);

	(void)state;
	assert_false(sleep_permits(CONTROL_A + 1, 1, s3 >> 8));
	assert_false(sleep_permits(CONTROL_A + 1, 2, s3 >> 8));
	assert_false(sleep_permits(CONTROL_A, 4, s3));
	assert_false(sleep_permits(CONTROL_A - 2, 4, s3 << 16));
	assert_true(sleep_permits(CONTROL_A, 1, s3));
	assert_true(sleep_permits(CONTROL_A + 2, 4, s3));
	assert_true(sleep_permits(CONTROL_A - 4, 4, s3));
	assert_true(sleep_permits(CONTROL_B, 2, s3));
}

static void there_may_be_two_registers(void **state)
{
	uint8_t ports[0x2000] = {0};

	(void)state;
	sleep_watch(ports);
	assert_int_equal(ports[CONTROL_A / 8], 1u << 5);
	assert_int_equal(ports[CONTROL_B / 8], 0);
	handoff.pm1_control[1] = CONTROL_B;
	sleep_init(&handoff);
	sleep_watch(ports);
	assert_int_equal(ports[CONTROL_B / 8], 1u << 5);
	assert_false(sleep_permits(CONTROL_B, 2, ENABLE | TYPE(5)));
}

/* Without tables nothing is known of types, and the machine must be able to go off. */
static void a_machine_without_tables(void **state)
{
	uint8_t ports[0x2000] = {0}, none[0x2000] = {0};

	(void)state;
	handoff.sleep_types = 0xff;
	sleep_init(&handoff);
	assert_true(sleep_permits(CONTROL_A, 2, ENABLE | TYPE(5)));
	handoff.pm1_control[0] = 0;
	sleep_init(&handoff);
	sleep_watch(ports);
	assert_memory_equal(ports, none, sizeof(none));
	assert_true(sleep_permits(0, 4, 0xffffffff));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(only_permitted_types_are_entered, reset),
		cmocka_unit_test_setup(every_access_that_reaches_the_bit_counts, reset),
		cmocka_unit_test_setup(there_may_be_two_registers, reset),
		cmocka_unit_test_setup(a_machine_without_tables, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
