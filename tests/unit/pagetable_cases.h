/*
 * What both formats of second-level tables have to do (pagetable.h), whichever is linked. For
 * npt_test.c and ept_test.c.
 */
#ifndef PAGETABLE_CASES_H
#define PAGETABLE_CASES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hypervisor/arch/x86/pagetable.h"

#define BIT(n) (1ull << (n))

static void test_flags_come_back(void **state)
{
	(void)state;
	for (uint32_t flags = 0; flags < 256; flags++) {
		for (unsigned int level = 0; level < 3; level++) {
			assert_int_equal(
				pte_flags_of(pte_leaf(0xfffffull << 18, level, flags | PTE_READ)),
				flags | PTE_READ);
		}
	}
}

static void test_address_comes_back(void **state)
{
	(void)state;
	for (unsigned int bit = 0; bit < 40; bit++) {
		uint64_t entry = pte_leaf(BIT(bit), 0, PTE_RIGHTS | PTE_IO);

		assert_int_equal(pte_spn(entry), BIT(bit));
		assert_int_equal(pte_spn(pte_table(BIT(bit))), BIT(bit));
	}
}

static void test_tables_are_told_from_leaves(void **state)
{
	uint64_t entry = pte_table(0x77);

	(void)state;
	assert_true(pte_is_table(entry, 1));
	assert_true(pte_is_table(entry, 3));
	assert_false(pte_is_table(entry, 0));
	assert_false(pte_is_table(pte_leaf(0x200, 1, PTE_READ), 1));
	assert_false(pte_is_table(0, 1));
	assert_false(pte_is_table(PTE_NO_ACCESS, 1));
}

static void test_index_and_span(void **state)
{
	uint64_t gpn = 1ull << 27 | 2ull << 18 | 3ull << 9 | 4;

	(void)state;
	for (unsigned int level = 0; level < PAGETABLE_LEVELS; level++) {
		assert_int_equal(pte_index(gpn, level), 4 - level);
	}
	assert_int_equal(pte_pages(0), 1);
	assert_int_equal(pte_pages(1), 512);
	assert_int_equal(pte_pages(2), 512 * 512);
}

#define PAGETABLE_CASES                                                                            \
	cmocka_unit_test(test_flags_come_back), cmocka_unit_test(test_address_comes_back),         \
		cmocka_unit_test(test_tables_are_told_from_leaves),                                \
		cmocka_unit_test(test_index_and_span)

#endif
