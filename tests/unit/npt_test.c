#include "tests/unit/pagetable_cases.h"

/*
 * AMD APM vol. 2, figures 5-21 to 5-24: the bits by their numbers, so that a wrong constant cannot
 * agree with itself.
 */

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

static void test_table_takes_no_right_away(void **state)
{
	(void)state;
	assert_int_equal(pte_table(0x77) & (BIT(0) | BIT(1) | BIT(2) | BIT(63)),
			 BIT(0) | BIT(1) | BIT(2));
}

static void test_state_bits(void **state)
{
	(void)state;
	assert_int_equal(pte_state_bits(PTE_ACCESSED), BIT(5));
	assert_int_equal(pte_state_bits(PTE_DIRTY), BIT(6));
	assert_int_equal(pte_state_bits(PTE_ACCESSED | PTE_DIRTY), BIT(5) | BIT(6));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_leaf_bits),
		cmocka_unit_test(test_own_bits_are_ignored_ones),
		cmocka_unit_test(test_table_takes_no_right_away),
		cmocka_unit_test(test_state_bits),
		PAGETABLE_CASES,
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
