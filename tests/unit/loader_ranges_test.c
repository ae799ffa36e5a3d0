/*
 * Tests of loader/ranges.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "loader/ranges.h"

static struct ranges map_of(const struct handoff_range *r, uint32_t count)
{
	struct ranges map = {0};

	for (uint32_t i = 0; i < count; i++) {
		assert_true(ranges_add(&map, r[i].base, r[i].size, r[i].type));
	}
	assert_true(ranges_normalize(&map));
	return map;
}

static void assert_range(const struct ranges *map, uint32_t index, uint64_t base, uint64_t size,
			 uint32_t type)
{
	assert_true(index < map->count);
	assert_int_equal(map->r[index].base, base);
	assert_int_equal(map->r[index].size, size);
	assert_int_equal(map->r[index].type, type);
}

static void test_sorts_and_merges(void **state)
{
	const struct handoff_range raw[] = {
		{0x100000, 0x100000, RANGE_RAM, 0}, {0, 0x9f000, RANGE_RAM, 0},
		{0x200000, 0x100000, RANGE_RAM, 0}, {0x9f000, 0x1000, RANGE_RESERVED, 0},
		{0x5000, 0, RANGE_NVS, 0},
	};
	struct ranges map = map_of(raw, 5);

	(void)state;
	assert_int_equal(map.count, 3);
	assert_range(&map, 0, 0, 0x9f000, RANGE_RAM);
	assert_range(&map, 1, 0x9f000, 0x1000, RANGE_RESERVED);
	assert_range(&map, 2, 0x100000, 0x200000, RANGE_RAM);
}

static void test_higher_type_wins(void **state)
{
	const struct handoff_range raw[] = {
		{0, 0x10000, RANGE_RAM, 0},
		{0x4000, 0x2000, RANGE_RESERVED, 0},
		{0x5000, 0x2000, RANGE_ACPI, 0},
		{0x4800, 0x100, RANGE_RAM, 0},
	};
	struct ranges map = map_of(raw, 4);

	(void)state;
	assert_int_equal(map.count, 4);
	assert_range(&map, 0, 0, 0x4000, RANGE_RAM);
	assert_range(&map, 1, 0x4000, 0x1000, RANGE_RESERVED);
	assert_range(&map, 2, 0x5000, 0x2000, RANGE_ACPI);
	assert_range(&map, 3, 0x7000, 0x9000, RANGE_RAM);
}

static void test_end_of_address_space(void **state)
{
	const struct handoff_range raw[] = {{UINT64_MAX - 0xfff, 0x5000, RANGE_RESERVED, 0}};
	struct ranges map = map_of(raw, 1);

	(void)state;
	assert_int_equal(map.count, 1);
	assert_range(&map, 0, UINT64_MAX - 0xfff, 0xfff, RANGE_RESERVED);
	assert_false(ranges_overlap(&map, 0, 0x1000));
}

static void test_retype_splits(void **state)
{
	const struct handoff_range raw[] = {{0x100000, 0x100000, RANGE_RAM, 0}};
	struct ranges map = map_of(raw, 1);

	(void)state;
	assert_true(ranges_retype(&map, 0x140000, 0x20000, RANGE_RESERVED));
	assert_int_equal(map.count, 3);
	assert_range(&map, 1, 0x140000, 0x20000, RANGE_RESERVED);
	assert_int_equal(ranges_total(&map, RANGE_RAM), 0xe0000);
	assert_true(ranges_are_ram(&map, 0x100000, 0x40000));
	assert_false(ranges_are_ram(&map, 0x100000, 0x40001));
	assert_false(ranges_are_ram(&map, 0xff000, 0x2000));
	assert_false(ranges_are_ram(&map, 0x150000, 0x1000));
	assert_false(ranges_are_ram(&map, 0x160000, UINT64_MAX));
}

static void test_full(void **state)
{
	struct ranges list = {0};

	(void)state;
	for (uint32_t i = 0; i < RANGES_MAX; i++) {
		assert_true(ranges_add(&list, i * 0x2000ull, 0x1000, RANGE_RAM));
	}
	assert_false(ranges_add(&list, 0x1000, 0x1000, RANGE_RAM));
	assert_true(ranges_normalize(&list));
	assert_int_equal(list.count, RANGES_MAX);
}

static void test_too_many_pieces(void **state)
{
	struct ranges list = {0};

	(void)state;
	ranges_add(&list, 0, 0x1000000, RANGE_RAM);
	for (uint32_t i = 1; i < RANGES_MAX; i++) {
		assert_true(ranges_add(&list, i * 0x2000ull, 0x1000, RANGE_RESERVED));
	}
	assert_false(ranges_normalize(&list));
}

static void test_find(void **state)
{
	const struct handoff_range raw[] = {
		{0x1000, 0x9e000, RANGE_RAM, 0},
		{0x100000, 0x700000, RANGE_RAM, 0},
		{0x1000000, 0x3f0000, RANGE_RAM, 0},
	};
	struct ranges map = map_of(raw, 3), taken = {0};
	struct request want = {.size = 0x200000, .align = 0x200000, .max = 4 * GIB};

	(void)state;
	assert_int_equal(ranges_find_low(&map, &taken, &want), 0x200000);
	assert_int_equal(ranges_find_high(&map, &taken, &want), 0x1000000);
	ranges_add(&taken, 0x3ff000, 0x2000, RANGE_RESERVED);
	ranges_add(&taken, 0x1000fff, 1, RANGE_RESERVED);
	assert_int_equal(ranges_find_low(&map, &taken, &want), 0x600000);
	assert_int_equal(ranges_find_high(&map, &taken, &want), 0x600000);
	want.min = 0x600001;
	assert_int_equal(ranges_find_low(&map, &taken, &want), RANGE_NONE);
	want.min = 0;
	want.max = 0x7fffff;
	assert_int_equal(ranges_find_high(&map, &taken, &want), RANGE_NONE);
	want.size = UINT64_MAX;
	assert_int_equal(ranges_find_low(&map, &taken, &want), RANGE_NONE);
	assert_int_equal(ranges_find_high(&map, &taken, &want), RANGE_NONE);
}

/* Against the plainest search there is, page by page. */
static uint64_t find_slowly(const struct ranges *map, const struct ranges *taken,
			    const struct request *want, bool high)
{
	uint64_t found = RANGE_NONE;

	for (uint64_t base = 0; base < 128 * 0x1000; base += want->align) {
		if (base < want->min || base + want->size > want->max ||
		    !ranges_are_ram(map, base, want->size) ||
		    ranges_overlap(taken, base, want->size)) {
			continue;
		}
		if (high || found == RANGE_NONE) {
			found = base;
		}
	}
	return found;
}

static uint64_t some_pages(unsigned int most)
{
	return (uint64_t)(rand() % (int)most) * 0x1000;
}

static void test_find_random(void **state)
{
	(void)state;
	srand(1);
	for (int round = 0; round < 2000; round++) {
		struct ranges map = {0}, taken = {0};
		struct request want = {.size = 0x1000 + some_pages(8),
				       .align = 0x1000ull << rand() % 3};

		for (int i = 0; i < 5; i++) {
			ranges_add(&map, some_pages(60), some_pages(20),
				   i < 3 ? RANGE_RAM : RANGE_RESERVED);
		}
		ranges_normalize(&map);
		for (int i = 0; i < 3; i++) {
			ranges_add(&taken, some_pages(60), some_pages(6), RANGE_RESERVED);
		}
		want.min = some_pages(20);
		want.max = 0x40000 + some_pages(40);
		assert_int_equal(ranges_find_low(&map, &taken, &want),
				 find_slowly(&map, &taken, &want, false));
		assert_int_equal(ranges_find_high(&map, &taken, &want),
				 find_slowly(&map, &taken, &want, true));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sorts_and_merges),
		cmocka_unit_test(test_higher_type_wins),
		cmocka_unit_test(test_end_of_address_space),
		cmocka_unit_test(test_retype_splits),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_too_many_pieces),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_find_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
