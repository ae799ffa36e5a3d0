/* devices/bus.c: who is found where, and how wide accesses are split. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "devices/bus.h"

/* A device that remembers the last access, and whose bytes read as their offsets. */
struct probe {
	uint32_t offset, value;
	unsigned int size, writes;
};

static uint32_t probe_read(void *device, uint32_t offset, unsigned int size)
{
	struct probe *probe = device;

	probe->size = size;
	return offset | (offset + 1) << 8 | (offset + 2) << 16 | (offset + 3) << 24;
}

static void probe_write(void *device, uint32_t offset, unsigned int size, uint32_t value)
{
	struct probe *probe = device;

	probe->offset = offset;
	probe->size = size;
	probe->value = value;
	probe->writes++;
}

static const struct device_class narrow = {"narrow", 1, probe_read, probe_write};
static const struct device_class wide = {"wide", 4, probe_read, probe_write};

static struct bus bus;
static struct probe a, b;

static int setup(void **state)
{
	(void)state;
	memset(&bus, 0, sizeof(bus));
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	return 0;
}

static void ranges_do_not_overlap(void **state)
{
	(void)state;
	assert_true(bus_add(&bus, 0x20, 8, &narrow, &a));
	assert_true(bus_add(&bus, 0x10, 16, &narrow, &b));
	assert_true(bus_add(&bus, 0x28, 1, &narrow, &b));
	assert_false(bus_add(&bus, 0x27, 1, &narrow, &b));
	assert_false(bus_add(&bus, 0x0f, 2, &narrow, &b));
	assert_false(bus_add(&bus, 0x00, 0x100, &narrow, &b));
	assert_false(bus_add(&bus, 0x40, 0, &narrow, &b));
	assert_false(bus_add(&bus, UINT64_MAX, 2, &narrow, &b));
	assert_int_equal(bus.count, 3);
}

static void a_full_bus_takes_no_more(void **state)
{
	uint64_t i;

	(void)state;
	for (i = 0; i < BUS_MAX_RANGES; i++) {
		assert_true(bus_add(&bus, 1000 - i * 4, 4, &wide, &a));
	}
	assert_false(bus_add(&bus, 5000, 4, &wide, &a));
	for (i = 0; i < BUS_MAX_RANGES; i++) {
		assert_ptr_equal(bus_find(&bus, 1000 - i * 4 + 3), bus_find(&bus, 1000 - i * 4));
	}
}

static void nobody_reads_ones(void **state)
{
	(void)state;
	assert_true(bus_add(&bus, 0x20, 2, &narrow, &a));
	assert_int_equal(bus_read(&bus, 0x1f, 1), 0xff);
	assert_int_equal(bus_read(&bus, 0x22, 4), 0xffffffff);
	assert_true(bus_read(&bus, 0x100, 8) == UINT64_MAX);
	bus_write(&bus, 0x22, 4, 0);
	assert_int_equal(a.writes, 0);
	assert_null(bus_find(&bus, 0x22));
	assert_null(bus_find(&bus, 0x1f));
	assert_non_null(bus_find(&bus, 0x21));
}

static void claims_reach_over_the_edge(void **state)
{
	(void)state;
	assert_true(bus_add(&bus, 0x20, 2, &narrow, &a));
	assert_false(bus_claimed(&bus, 0x1c, 4));
	assert_true(bus_claimed(&bus, 0x1d, 4));
	assert_true(bus_claimed(&bus, 0x21, 1));
	assert_false(bus_claimed(&bus, 0x22, 4));
}

static void accesses_are_split_to_the_width(void **state)
{
	(void)state;
	assert_true(bus_add(&bus, 0x20, 4, &narrow, &a));
	assert_int_equal(bus_read(&bus, 0x20, 4), 0x03020100);
	assert_int_equal(a.size, 1);
	bus_write(&bus, 0x20, 4, 0xddccbbaa);
	assert_int_equal(a.writes, 4);
	assert_int_equal(a.offset, 3);
	assert_int_equal(a.value, 0xdd);
}

static void accesses_are_split_at_the_end(void **state)
{
	(void)state;
	assert_true(bus_add(&bus, 0x20, 6, &wide, &a));
	assert_true(bus_add(&bus, 0x26, 4, &wide, &b));
	assert_int_equal(bus_read(&bus, 0x24, 4), 0x01000504);
	assert_int_equal(a.size, 2);
	assert_int_equal(b.size, 2);
	bus_write(&bus, 0x24, 8, 0x8877665544332211ull);
	assert_int_equal(a.offset, 4);
	assert_int_equal(a.value, 0x2211);
	assert_int_equal(b.offset, 0);
	assert_int_equal(b.size, 4);
	assert_int_equal(b.value, 0x66554433);
	assert_int_equal(b.writes, 1);
}

static void eight_bytes_are_two_of_four(void **state)
{
	(void)state;
	assert_true(bus_add(&bus, 0x100000000ull, 16, &wide, &a));
	assert_true(bus_read(&bus, 0x100000000ull, 8) == 0x0706050403020100ull);
	assert_int_equal(a.size, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(ranges_do_not_overlap, setup),
		cmocka_unit_test_setup(a_full_bus_takes_no_more, setup),
		cmocka_unit_test_setup(nobody_reads_ones, setup),
		cmocka_unit_test_setup(claims_reach_over_the_edge, setup),
		cmocka_unit_test_setup(accesses_are_split_to_the_width, setup),
		cmocka_unit_test_setup(accesses_are_split_at_the_end, setup),
		cmocka_unit_test_setup(eight_bytes_are_two_of_four, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
