/* hypervisor/iommu_table.c: DMAR and IVRS, whose signatures the loader has changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hypervisor/iommu_table.h"
#include "tests/fake/firmware.h"

static uint32_t size;
static struct iommu_facts facts;

static void begin(const char *signature)
{
	table_begin(signature);
	size = 48;
}

/* A structure; its bytes are zero behind the header. Where it is. */
static uint32_t add(uint16_t type, uint16_t length)
{
	uint32_t at = size;

	table_put(at, type, 2);
	table_put(at + 2, length, 2);
	size += length;
	return at;
}

static uint32_t add_dmar_unit(uint64_t base, uint8_t pages)
{
	uint32_t at = add(0, 16 + 8);

	table[at + 5] = pages;
	table_put(at + 8, base, 8);
	return at;
}

static void add_ivrs_unit(uint8_t type, uint64_t base)
{
	table_put(add(type, 0x18) + 8, base, 8);
}

static void read_all(void)
{
	table_seal(size);
	iommu_table_read(table, size, &facts);
}

static void dmar(void **state)
{
	uint32_t at;

	(void)state;
	begin("RAMD");
	add_dmar_unit(0xfed90000, 0);
	add(2, 8); /* root ports with ATS */
	at = add(1, 32);
	table_put(at + 8, 0x7d800000, 8);
	table_put(at + 16, 0x7fffffff, 8);
	add_dmar_unit(0xfed91000, 1);
	read_all();
	assert_null(facts.wrong);
	assert_int_equal(facts.kind, IOMMU_VTD);
	assert_int_equal(facts.unit_count, 2);
	assert_int_equal(facts.units[0].base, 0xfed90000);
	assert_int_equal(facts.units[0].pages, 1);
	assert_int_equal(facts.units[1].base, 0xfed91000);
	assert_int_equal(facts.units[1].pages, 2);
	assert_int_equal(facts.region_count, 1);
	assert_int_equal(facts.regions[0].first, 0x7d800000);
	assert_int_equal(facts.regions[0].last, 0x7fffffff);
}

static void ivrs(void **state)
{
	uint32_t at;

	(void)state;
	begin("SRVI");
	add_ivrs_unit(0x10, 0xfd200000);
	add_ivrs_unit(0x11, 0xfd200000); /* the same once more */
	add_ivrs_unit(0x40, 0xfd300000);
	at = add(0x21, 32);
	table_put(at + 16, 0x1000, 8);
	table_put(at + 24, 0x2000, 8);
	read_all();
	assert_null(facts.wrong);
	assert_int_equal(facts.kind, IOMMU_AMDVI);
	assert_int_equal(facts.unit_count, 2);
	assert_int_equal(facts.units[0].base, 0xfd200000);
	assert_int_equal(facts.units[0].pages, 4);
	assert_int_equal(facts.units[1].base, 0xfd300000);
	assert_int_equal(facts.region_count, 1);
	assert_int_equal(facts.regions[0].last, 0x2fff);
}

/* The firmware's settings of devices, and what shows that interrupts can be remapped. */
static void ivrs_devices(void **state)
{
	/* clang-format off */
	static const uint8_t entries[] = {
		1, 0, 0, 0x08,                            /* all: nothing of interrupts */
		2, 0xa0, 0, 0xd7,                         /* 00:14.0 */
		3, 0x00, 2, 0x01,                         /* a range */
		4, 0xff, 2, 0,                            /* its end */
		0, 0, 0, 0,                               /* padding */
		0x42, 0x08, 3, 0x40, 0, 0x10, 3, 0,       /* an alias */
		0xf0, 0xa5, 0, 0x80, 'A', 'M', 'D', 'I', '0', '0', '2', '0',
		0, 0, 0, 0, 0, 0, 0, 0, 2, 3, 'I', 'D', '0', /* by name */
		0x48, 0, 0, 0xd7, 0, 0xa0, 0, 2,          /* a timer, the same as 00:14.0 */
		0x48, 0, 0, 0x02, 33, 0xa1, 0, 1,         /* an IO-APIC */
	};
	/* clang-format on */
	uint32_t at;

	(void)state;
	for (int late = 0; late < 2; late++) {
		begin("SRVI");
		at = add(late ? 0x11 : 0x10, (uint16_t)((late ? 40 : 24) + sizeof(entries)));
		table_put(at + 8, 0xfd200000, 8);
		memcpy(table + at + (late ? 40 : 24), entries, sizeof(entries));
		read_all();
		assert_null(facts.wrong);
		assert_true(facts.remaps);
		assert_int_equal(facts.pass_count, 4);
		assert_int_equal(facts.passes[0].first, 0xa0);
		assert_int_equal(facts.passes[0].setting, 0xc7);
		assert_int_equal(facts.passes[1].first, 0x200);
		assert_int_equal(facts.passes[1].last, 0x2ff);
		assert_int_equal(facts.passes[1].setting, 1);
		assert_int_equal(facts.passes[2].first, 0x308);
		assert_int_equal(facts.passes[2].last, 0x308);
		assert_int_equal(facts.passes[3].first, 0xa1);
		assert_int_equal(facts.passes[3].setting, 2);
		/* Without the last entry. */
		table_put(at + 2, (late ? 40 : 24) + sizeof(entries) - 1, 2);
		size--;
		read_all();
		assert_false(facts.remaps);
		assert_int_equal(facts.pass_count, 3);
	}
}

static void damaged(void **state)
{
	(void)state;
	begin("RAMD");
	add_dmar_unit(0xfed90000, 0);
	read_all();
	assert_null(facts.wrong);
	table[9]++; /* the sum */
	iommu_table_read(table, size, &facts);
	assert_string_equal(facts.wrong, "its table is damaged");
	table[9]--;
	iommu_table_read(table, size - 1, &facts);
	assert_string_equal(facts.wrong, "its table is damaged");
	iommu_table_read(table, 35, &facts);
	assert_string_equal(facts.wrong, "its table is damaged");
}

static void structures_that_do_not_end(void **state)
{
	static const uint16_t lengths[] = {0, 3, 25, 0xffff};

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		begin("RAMD");
		table_put(add_dmar_unit(0xfed90000, 0) + 2, lengths[i], 2);
		read_all();
		assert_string_equal(facts.wrong, "the table ends amid a structure");
	}
	begin("RAMD");
	add_dmar_unit(0xfed90000, 0);
	size += 3;
	read_all();
	assert_string_equal(facts.wrong, "the table ends amid a structure");
}

static void units_that_are_none(void **state)
{
	static const uint64_t bases[] = {0, 0xfed90800, 1ull << 52, UINT64_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
		begin("RAMD");
		add_dmar_unit(bases[i], 0);
		read_all();
		assert_string_equal(facts.wrong, "a unit of the table has no address");
	}
	begin("SRVI");
	read_all();
	assert_string_equal(facts.wrong, "its table names no unit");
	begin("RAMD");
	for (uint64_t i = 1; i <= IOMMU_MAX_UNITS + 1; i++) {
		add_dmar_unit(i << 12, 0);
	}
	read_all();
	assert_string_equal(facts.wrong, "the machine has too many units");
	assert_int_equal(facts.unit_count, IOMMU_MAX_UNITS);
}

static void regions_that_wrap(void **state)
{
	uint32_t at;

	(void)state;
	begin("RAMD");
	add_dmar_unit(0xfed90000, 0);
	table_put(add(1, 24) + 8, 0x2000, 8); /* ends before it begins */
	read_all();
	assert_null(facts.wrong);
	assert_int_equal(facts.region_count, 0);
	begin("SRVI");
	add_ivrs_unit(0x10, 0xfd200000);
	at = add(0x20, 32);
	table_put(at + 16, UINT64_MAX - 0xfff, 8);
	table_put(at + 24, 0x1001, 8);
	add(0x22, 32); /* of no length */
	read_all();
	assert_int_equal(facts.region_count, 0);
	table_put(at + 24, 0x1000, 8);
	read_all();
	assert_int_equal(facts.region_count, 1);
	assert_int_equal(facts.regions[0].last, UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dmar),
		cmocka_unit_test(ivrs),
		cmocka_unit_test(ivrs_devices),
		cmocka_unit_test(damaged),
		cmocka_unit_test(structures_that_do_not_end),
		cmocka_unit_test(units_that_are_none),
		cmocka_unit_test(regions_that_wrap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
