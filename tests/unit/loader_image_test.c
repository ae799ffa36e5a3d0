/*
 * loader/image.c: where the hypervisor's memory is put, and its table of pages on a large machine.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "loader/console.h"
#include "loader/elf.h"
#include "loader/loader.h"
#include "loader/paging.h"

#define TIB (1024 * GIB)

void loader_take_own(struct ranges *taken)
{
	taken->count = 0;
}

const char *string_options(const char *string)
{
	return string;
}

uint64_t string_size_option(const char *string, const char *name)
{
	(void)string;
	(void)name;
	return 0;
}

uint32_t paging_size(const struct image *image)
{
	(void)image;
	return 64 * 1024;
}

void paging_build(uint64_t *tables, uint32_t tables_base, const struct image *image,
		  uint32_t image_base)
{
	(void)tables;
	(void)tables_base;
	(void)image;
	(void)image_base;
	fail();
}

void elf_load(const uint8_t *file, const struct image *image, uint8_t *memory)
{
	(void)file;
	(void)image;
	(void)memory;
	fail();
}

void print(const char *format, ...)
{
	(void)format;
}

_Noreturn void stop(const char *format, ...)
{
	fail_msg("%s", format);
	__builtin_unreachable();
}

static struct loader loader;

/* A machine with 2 GiB of RAM below 4 GiB, and the rest from there on. */
static void reserve(uint64_t ram)
{
	loader = (struct loader){.roles.image.size = MIB};
	ranges_add(&loader.map, MIB, 2 * GIB - MIB, RANGE_RAM);
	ranges_add(&loader.map, 4 * GIB, ram - 2 * GIB, RANGE_RAM);
	assert_true(ranges_normalize(&loader.map));
	loader.free = loader.map;
	image_reserve(&loader);
	assert_true(ranges_are_ram(&loader.map, loader.reserved.base, loader.reserved.size));
	assert_true(loader.reserved.base + loader.reserved.size <= 2 * GIB);
}

static void test_small(void **state)
{
	(void)state;
	reserve(4 * GIB);
	assert_true(!loader.table_base && !loader.table_size);
}

static void test_large(void **state)
{
	(void)state;
	reserve(64 * GIB);
	assert_true(loader.table_size >= 64 * GIB / 512 &&
		    loader.table_size <= 64 * GIB / 512 + 2 * MIB);
	assert_true(ranges_are_ram(&loader.map, loader.table_base, loader.table_size));
	assert_true(loader.table_base >= 4 * GIB);
}

/* Of more RAM than there are numbers for, the table is in that which has some: else nobody would
 * keep it from the root. */
static void test_more_than_can_be_counted(void **state)
{
	(void)state;
	reserve(24 * TIB);
	assert_int_equal(loader.table_size, 16 * TIB / 512);
	assert_true(ranges_are_ram(&loader.map, loader.table_base, loader.table_size));
	assert_true(loader.table_base + loader.table_size <= 16 * TIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_small),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_more_than_can_be_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
