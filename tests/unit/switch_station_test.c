/* switch/station.c: learning, aging, and that a flood of addresses drives out nobody else's. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "switch/station.h"

static struct stations stations;

static int setup(void **state)
{
	(void)state;
	memset(&stations, 0, sizeof(stations));
	return 0;
}

static void learned_moved_and_forgotten(void **state)
{
	(void)state;
	assert_int_equal(station_find(&stations, 1, 0, 10), STATION_NOWHERE);
	assert_true(station_learn(&stations, 1, 0, 3, 10));
	assert_int_equal(station_find(&stations, 1, 0, 10), 3);
	assert_int_equal(station_find(&stations, 1, 5, 10), STATION_NOWHERE); /* another VLAN */
	assert_true(station_learn(&stations, 1, 0, 4, 11));
	assert_int_equal(station_find(&stations, 1, 0, 11), 4);
	assert_int_equal(stations.learned[3], 0);
	assert_int_equal(station_find(&stations, 1, 0, 11 + STATION_AGE_S), 4);
	assert_int_equal(station_find(&stations, 1, 0, 12 + STATION_AGE_S), STATION_NOWHERE);
	assert_true(station_learn(&stations, 1, 0, 4, 500));
	assert_int_equal(station_find(&stations, 1, 0, 500), 4);
	station_forget(&stations, 4);
	assert_int_equal(station_find(&stations, 1, 0, 500), STATION_NOWHERE);
	assert_int_equal(stations.learned[4], 0);
}

static void a_fixed_address_is_nobody_elses(void **state)
{
	(void)state;
	assert_true(station_learn(&stations, 7, 2, 1, 0));
	assert_int_equal(station_fix(&stations, 7, 3), 0);
	assert_int_equal(station_find(&stations, 7, 2, 0), 3);
	assert_int_equal(stations.learned[1], 0);
	assert_int_equal(station_find(&stations, 7, 9, 100000), 3);
	assert_false(station_learn(&stations, 7, 2, 1, 0));
	assert_int_equal(station_find(&stations, 7, 2, 0), 3);
	assert_int_equal(station_fix(&stations, 7, 4), -EEXIST);
	assert_int_equal(station_fix(&stations, 7, 3), 0);
	station_forget(&stations, 3);
	assert_int_equal(station_fix(&stations, 7, 4), 0);
}

static void a_flood_takes_from_itself_alone(void **state)
{
	uint32_t known = 0;

	(void)state;
	for (uint64_t mac = 1; mac <= 100; mac++) {
		assert_true(station_learn(&stations, mac, 0, 1, 0));
	}
	for (uint64_t mac = 1000; mac < 101000; mac++) {
		station_learn(&stations, mac, 0, 2, 1);
		assert_true(stations.learned[2] <= STATION_PORT_MAX);
	}
	for (uint64_t mac = 1; mac <= 100; mac++) {
		assert_int_equal(station_find(&stations, mac, 0, 1), 1);
	}
	/* And its newest are among those that are known. */
	for (uint64_t mac = 1000; mac < 101000; mac++) {
		known += station_find(&stations, mac, 0, 1) == 2;
	}
	assert_int_equal(known, stations.learned[2]);
	assert_true(known > STATION_PORT_MAX / 2);
	/* The others have room yet. */
	for (uint64_t mac = 200000; mac < 200100; mac++) {
		assert_true(station_learn(&stations, mac, 0, 5, 1));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(learned_moved_and_forgotten, setup),
		cmocka_unit_test_setup(a_fixed_address_is_nobody_elses, setup),
		cmocka_unit_test_setup(a_flood_takes_from_itself_alone, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
