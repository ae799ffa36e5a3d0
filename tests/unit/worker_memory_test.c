/*
 * worker/memory.c: where guest addresses are in this process, and what is mapped into a partition.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/fake/backend.h"
#include "worker/memory.h"

#define MIB (1ull << 20)

void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}

static void the_holes_are_nobody(void **state)
{
	struct memory memory;

	(void)state;
	assert_int_equal(memory_create(&memory, 16 * MIB), 0);
	assert_int_equal((uintptr_t)memory.base % (2 * MIB), 0);
	assert_ptr_equal(memory_at(&memory, 0, 1), memory.base);
	assert_non_null(memory_at(&memory, 0x9ffff, 1));
	assert_null(memory_at(&memory, 0x9ffff, 2));
	assert_null(memory_at(&memory, 0xa0000, 1));
	assert_null(memory_at(&memory, 0xbffff, 1));
	assert_ptr_equal(memory_at(&memory, 0xc0000, 16 * MIB - 0xc0000), memory.base + 0xc0000);
	assert_null(memory_at(&memory, 0xc0000, 16 * MIB - 0xc0000 + 1));
	assert_null(memory_at(&memory, 16 * MIB, 1));
	assert_null(memory_at(&memory, MEMORY_4G, 1));
	assert_null(memory_at(&memory, UINT64_MAX, 1));
	assert_null(memory_at(&memory, 4096, UINT64_MAX));
	memory_destroy(&memory);
}

static void beyond_the_hole(void **state)
{
	struct memory memory = {.base = (uint8_t *)0x10000000, .size = MEMORY_HOLE_BASE + 4 * MIB};

	(void)state;
	memory.low_end = MEMORY_HOLE_BASE;
	memory.high_end = MEMORY_4G + 4 * MIB;
	assert_non_null(memory_at(&memory, MEMORY_HOLE_BASE - 1, 1));
	assert_null(memory_at(&memory, MEMORY_HOLE_BASE - 1, 2));
	assert_null(memory_at(&memory, MEMORY_HOLE_BASE, 1));
	assert_null(memory_at(&memory, MEMORY_4G - 1, 1));
	assert_ptr_equal(memory_at(&memory, MEMORY_4G, 4 * MIB), memory.base + MEMORY_HOLE_BASE);
	assert_null(memory_at(&memory, MEMORY_4G, 4 * MIB + 1));
}

/* Nothing is behind these addresses: memory_map() only hands them on. */
static void a_large_machine_is_split(void **state)
{
	struct memory memory = {.base = (uint8_t *)(64 * MIB), .size = MEMORY_HOLE_BASE + 64 * MIB};
	struct backend_partition partition = {0};

	(void)state;
	memory.low_end = MEMORY_HOLE_BASE;
	memory.high_end = MEMORY_4G + 64 * MIB;
	assert_int_equal(memory_map(&memory, &partition), 0);
	assert_int_equal(partition.map_count, 4);
	assert_int_equal(partition.maps[0].gpa, 0);
	assert_int_equal(partition.maps[0].length, 0xa0000);
	assert_int_equal(partition.maps[1].gpa, 0xc0000);
	assert_int_equal(partition.maps[1].length, 2 * MIB - 0xc0000);
	assert_int_equal(partition.maps[2].gpa, 2 * MIB);
	assert_true(partition.maps[2].length == MEMORY_HOLE_BASE - 2 * MIB);
	assert_true(partition.maps[3].gpa == MEMORY_4G);
	assert_true(partition.maps[3].length == 64 * MIB);
	assert_ptr_equal(partition.maps[3].memory, memory.base + MEMORY_HOLE_BASE);
}

static void a_small_machine_has_no_high_part(void **state)
{
	struct memory memory;
	struct backend_partition partition = {0};

	(void)state;
	assert_int_equal(memory_create(&memory, 8 * MIB), 0);
	assert_int_equal(memory_map(&memory, &partition), 0);
	assert_int_equal(partition.map_count, 3);
	assert_int_equal(partition.maps[2].length, 6 * MIB);
	memory_destroy(&memory);
}

static void cleared_means_zeros(void **state)
{
	struct memory memory;
	uint64_t i;

	(void)state;
	assert_int_equal(memory_create(&memory, 8 * MIB), 0);
	memset(memory.base, 0xa5, memory.size);
	assert_int_equal(memory_clear(&memory), 0);
	for (i = 0; i < memory.size; i += 8) {
		assert_true(*(uint64_t *)(memory.base + i) == 0);
	}
	memory_destroy(&memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_holes_are_nobody),
		cmocka_unit_test(beyond_the_hole),
		cmocka_unit_test(a_large_machine_is_split),
		cmocka_unit_test(a_small_machine_has_no_high_part),
		cmocka_unit_test(cleared_means_zeros),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
