/*
 * Tests of loader/efi.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "loader/efi.h"

#define DESCRIPTOR 48

static struct efi_map map;

static void add(uint8_t *bytes, int n, uint32_t type, uint64_t base, uint64_t pages)
{
	memset(bytes + n * DESCRIPTOR, 0, DESCRIPTOR);
	memcpy(bytes + n * DESCRIPTOR, &type, 4);
	memcpy(bytes + n * DESCRIPTOR + 8, &base, 8);
	memcpy(bytes + n * DESCRIPTOR + 24, &pages, 8);
}

static void assert_descriptor(int n, uint32_t type, uint64_t base, uint64_t pages)
{
	uint8_t want[DESCRIPTOR];

	add(want, 0, type, base, pages);
	assert_true((uint32_t)(n + 1) * DESCRIPTOR <= map.size);
	assert_memory_equal(map.bytes + n * DESCRIPTOR, want, DESCRIPTOR);
}

static int setup(void **state)
{
	uint8_t bytes[4 * DESCRIPTOR];

	(void)state;
	add(bytes, 0, EFI_CONVENTIONAL, 0x100000, 0x100);
	add(bytes, 1, 4, 0x200000, 0x100); /* boot services data */
	add(bytes, 2, 6, 0x300000, 0x10);  /* runtime services data */
	add(bytes, 3, EFI_CONVENTIONAL, 0x310000, 0xf0);
	assert_true(efi_map_copy(&map, bytes, sizeof(bytes), DESCRIPTOR, 1));
	return 0;
}

static void test_copy_refuses(void **state)
{
	static uint8_t bytes[EFI_MAP_MAX + DESCRIPTOR];

	(void)state;
	assert_false(efi_map_copy(&map, bytes, 4 * DESCRIPTOR, 39, 1));
	assert_int_equal(map.size, 0);
	assert_false(efi_map_copy(&map, bytes, 4 * DESCRIPTOR + 1, DESCRIPTOR, 1));
	assert_false(
		efi_map_copy(&map, bytes, sizeof(bytes) / DESCRIPTOR * DESCRIPTOR, DESCRIPTOR, 1));
	assert_false(efi_map_copy(&map, bytes, 4 * DESCRIPTOR, 0, 1));
}

static void test_within_one(void **state)
{
	(void)state;
	assert_true(efi_map_retype(&map, 0x140000, 0x10000, EFI_RESERVED));
	assert_int_equal(map.size, 6 * DESCRIPTOR);
	assert_descriptor(0, EFI_CONVENTIONAL, 0x100000, 0x40);
	assert_descriptor(1, EFI_RESERVED, 0x140000, 0x10);
	assert_descriptor(2, EFI_CONVENTIONAL, 0x150000, 0xb0);
	assert_descriptor(3, 4, 0x200000, 0x100);
}

static void test_over_several(void **state)
{
	(void)state;
	assert_true(efi_map_retype(&map, 0x180000, 0x200000, EFI_RESERVED));
	assert_int_equal(map.size, 6 * DESCRIPTOR);
	assert_descriptor(0, EFI_CONVENTIONAL, 0x100000, 0x80);
	assert_descriptor(1, EFI_RESERVED, 0x180000, 0x80);
	assert_descriptor(2, EFI_RESERVED, 0x200000, 0x100);
	assert_descriptor(3, 6, 0x300000, 0x10); /* what the firmware keeps stays its own */
	assert_descriptor(4, EFI_RESERVED, 0x310000, 0x70);
	assert_descriptor(5, EFI_CONVENTIONAL, 0x380000, 0x80);
}

static void test_exact(void **state)
{
	(void)state;
	assert_true(efi_map_retype(&map, 0x100000, 0x100000, EFI_LOADER_DATA));
	assert_int_equal(map.size, 4 * DESCRIPTOR);
	assert_descriptor(0, EFI_LOADER_DATA, 0x100000, 0x100);
	assert_descriptor(1, 4, 0x200000, 0x100);
}

static void test_twice(void **state)
{
	(void)state;
	assert_true(efi_map_retype(&map, 0x140000, 0x10000, EFI_RESERVED));
	assert_true(efi_map_retype(&map, 0x140000, 0x20000, EFI_LOADER_DATA));
	assert_descriptor(1, EFI_RESERVED, 0x140000, 0x10);
	assert_descriptor(2, EFI_LOADER_DATA, 0x150000, 0x10);
	assert_descriptor(3, EFI_CONVENTIONAL, 0x160000, 0xa0);
}

static void test_huge_descriptor(void **state)
{
	uint8_t bytes[DESCRIPTOR];

	(void)state;
	add(bytes, 0, EFI_CONVENTIONAL, 0x100000, UINT64_MAX / 4096);
	assert_true(efi_map_copy(&map, bytes, sizeof(bytes), DESCRIPTOR, 1));
	assert_true(efi_map_retype(&map, 0x140000, 0x10000, EFI_RESERVED));
	assert_int_equal(map.size, DESCRIPTOR);
}

static void test_full(void **state)
{
	static uint8_t bytes[EFI_MAP_MAX / DESCRIPTOR * DESCRIPTOR];

	(void)state;
	for (uint32_t i = 0; i < sizeof(bytes) / DESCRIPTOR; i++) {
		add(bytes, (int)i, EFI_CONVENTIONAL, i * 0x10000ull, 16);
	}
	assert_true(efi_map_copy(&map, bytes, sizeof(bytes), DESCRIPTOR, 1));
	assert_true(efi_map_retype(&map, 0x10000, 0x10000, EFI_RESERVED));
	assert_false(efi_map_retype(&map, 0x21000, 0x1000, EFI_RESERVED));
}

/* Boot services' memory is no longer RAM to place things in; the firmware's runtime memory never
 * was. */
static void test_keep(void **state)
{
	uint8_t bytes[5 * DESCRIPTOR];
	struct ranges ram = {0};

	(void)state;
	add(bytes, 0, EFI_CONVENTIONAL, 0x100000, 0x100);
	add(bytes, 1, 3, 0x200000, 0x80);
	add(bytes, 2, 4, 0x280000, 0x80);
	add(bytes, 3, 2, 0x300000, 0x10);
	add(bytes, 4, 4, 0x400000, 1);
	assert_true(efi_map_copy(&map, bytes, sizeof(bytes), DESCRIPTOR, 1));
	ranges_add(&ram, 0x100000, 0x400000, RANGE_RAM);
	assert_true(efi_map_keep(&map, &ram));
	assert_true(ranges_are_ram(&ram, 0x100000, 0x100000));
	assert_true(ranges_are_ram(&ram, 0x300000, 0x100000));
	assert_true(ranges_are_ram(&ram, 0x401000, 0xff000));
	assert_int_equal(ranges_total(&ram, RANGE_RAM), 0x400000 - 0x101000);
	map.size = 0;
	assert_true(efi_map_keep(&map, &ram));
	assert_int_equal(ranges_total(&ram, RANGE_RAM), 0x400000 - 0x101000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_copy_refuses),
		cmocka_unit_test_setup(test_within_one, setup),
		cmocka_unit_test_setup(test_over_several, setup),
		cmocka_unit_test_setup(test_exact, setup),
		cmocka_unit_test_setup(test_twice, setup),
		cmocka_unit_test(test_huge_descriptor),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_keep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
