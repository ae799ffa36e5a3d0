#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hypervisor/arch/x86/pagetable.h"

/*
 * AMD APM vol. 2, figures 5-21 to 5-24: the bits by their numbers, so that a wrong constant cannot
 * agree with itself.
 */
#define BIT(n) (1ull << (n))

static void test_leaf_bits(void **state)
{
	(void)state;
	assert_int_equal(pte_leaf(0x12345, 0, PTE_READ), 0x12345000 | BIT(0) | BIT(2) | BIT(63));
	assert_int_equal(pte_leaf(0x12345, 0, PTE_RIGHTS), 0x12345000 | BIT(0) | BIT(1) | BIT(2));
	assert_int_equal(pte_leaf(0x12200, 1, PTE_RIGHTS),
			 0x12200000 | BIT(0) | BIT(1) | BIT(2) | BIT(7));
	assert_int_equal(pte_leaf(0x40000, 2, PTE_READ | PTE_EXECUTE),
			 0x40000000 | BIT(0) | BIT(2) | BIT(7));
	assert_int_equal(pte_leaf(1, 0, PTE_RIGHTS | PTE_UNCACHED),
			 0x1000 | BIT(0) | BIT(1) | BIT(2) | BIT(3) | BIT(4));
	assert_int_equal(pte_leaf(1, 0, PTE_RIGHTS | PTE_ACCESSED | PTE_DIRTY),
			 0x1000 | BIT(0) | BIT(1) | BIT(2) | BIT(5) | BIT(6));
}

/* What the processor ignores (52..58) is all that our own flags may use. */
static void test_own_bits_are_ignored_ones(void **state)
{
	uint64_t ignored = 0x7full << 52;

	(void)state;
	assert_int_equal(pte_leaf(1, 0, PTE_RIGHTS | PTE_IO) & ~ignored,
			 pte_leaf(1, 0, PTE_RIGHTS));
	assert_int_equal(pte_leaf(1, 0, PTE_RIGHTS | PTE_OVERLAY) & ~ignored,
			 pte_leaf(1, 0, PTE_RIGHTS));
	assert_int_not_equal(pte_leaf(1, 0, PTE_RIGHTS | PTE_IO),
			     pte_leaf(1, 0, PTE_RIGHTS | PTE_OVERLAY));
	assert_false(pte_present(PTE_NO_ACCESS));
}

static void test_flags_come_back(void **state)
{
	(void)state;
	for (uint32_t flags = 0; flags < 256; flags++)
		for (unsigned int level = 0; level < 3; level++)
			assert_int_equal(
				pte_flags_of(pte_leaf(0xfffffull << 18, level, flags | PTE_READ)),
				flags | PTE_READ);
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

static void test_table_takes_no_right_away(void **state)
{
	uint64_t entry = pte_table(0x77);

	(void)state;
	assert_int_equal(entry & (BIT(0) | BIT(1) | BIT(2) | BIT(63)), BIT(0) | BIT(1) | BIT(2));
	assert_true(pte_is_table(entry, 1));
	assert_true(pte_is_table(entry, 3));
	assert_false(pte_is_table(entry, 0));
	assert_false(pte_is_table(pte_leaf(0x200, 1, PTE_READ), 1));
	assert_false(pte_is_table(0, 1));
	assert_false(pte_is_table(PTE_NO_ACCESS, 1));
}

static void test_state_bits(void **state)
{
	(void)state;
	assert_int_equal(pte_state_bits(PTE_ACCESSED), BIT(5));
	assert_int_equal(pte_state_bits(PTE_DIRTY), BIT(6));
	assert_int_equal(pte_state_bits(PTE_ACCESSED | PTE_DIRTY), BIT(5) | BIT(6));
}

static void test_index_and_span(void **state)
{
	uint64_t gpn = 1ull << 27 | 2ull << 18 | 3ull << 9 | 4;

	(void)state;
	for (unsigned int level = 0; level < PAGETABLE_LEVELS; level++)
		assert_int_equal(pte_index(gpn, level), 4 - level);
	assert_int_equal(pte_pages(0), 1);
	assert_int_equal(pte_pages(1), 512);
	assert_int_equal(pte_pages(2), 512 * 512);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_leaf_bits),
		cmocka_unit_test(test_own_bits_are_ignored_ones),
		cmocka_unit_test(test_flags_come_back),
		cmocka_unit_test(test_address_comes_back),
		cmocka_unit_test(test_table_takes_no_right_away),
		cmocka_unit_test(test_state_bits),
		cmocka_unit_test(test_index_and_span),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
