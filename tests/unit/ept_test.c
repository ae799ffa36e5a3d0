#include "hypervisor/arch/x86/vmx/ept.h"
#include "tests/unit/pagetable_cases.h"

/*
 * Intel SDM vol. 3, tables 28-1 to 28-6: the bits by their numbers, so that a wrong constant cannot
 * agree with itself.
 */
#define WRITEBACK (6ull << 3)

static void test_leaf_bits(void **state)
{
	(void)state;
	assert_int_equal(pte_leaf(0x12345, 0, PTE_READ), 0x12345000 | BIT(0) | WRITEBACK);
	assert_int_equal(pte_leaf(0x12345, 0, PTE_RIGHTS),
			 0x12345000 | BIT(0) | BIT(1) | BIT(2) | WRITEBACK);
	assert_int_equal(pte_leaf(0x12200, 1, PTE_RIGHTS),
			 0x12200000 | BIT(0) | BIT(1) | BIT(2) | BIT(7) | WRITEBACK);
	assert_int_equal(pte_leaf(0x40000, 2, PTE_READ | PTE_EXECUTE),
			 0x40000000 | BIT(0) | BIT(2) | BIT(7) | WRITEBACK);
	assert_int_equal(pte_leaf(1, 0, PTE_RIGHTS | PTE_ACCESSED | PTE_DIRTY),
			 0x1000 | BIT(0) | BIT(1) | BIT(2) | BIT(8) | BIT(9) | WRITEBACK);
}

/* On a processor with the erratum of page size changes. */
static void test_no_large_page_is_executable(void **state)
{
	const uint32_t flags = PTE_RIGHTS | PTE_ACCESSED;

	(void)state;
	ept_splits_code = true;
	for (unsigned int level = 1; level < 3; level++) {
		assert_int_equal(pte_leaf(0x40000, level, flags) & 0xfff,
				 BIT(0) | BIT(1) | BIT(7) | BIT(8) | WRITEBACK);
		assert_int_equal(pte_flags_of(pte_leaf(0x40000, level, flags)), flags);
		assert_int_equal(pte_flags_of(pte_leaf(0x40000, level, PTE_READ)), PTE_READ);
	}
	assert_int_equal(pte_leaf(1, 0, PTE_RIGHTS), 0x1000 | BIT(0) | BIT(1) | BIT(2) | WRITEBACK);
	ept_splits_code = false;
}

/* On a processor that does not set A and D: what is clean is not writable, and everything counts as
 * accessed. */
static void test_clean_leaves_are_not_writable(void **state)
{
	(void)state;
	ept_watches_writes = true;
	assert_int_equal(pte_leaf(1, 0, PTE_RIGHTS) & 0xfff, BIT(0) | BIT(2) | BIT(8) | WRITEBACK);
	assert_int_equal(pte_flags_of(pte_leaf(1, 0, PTE_RIGHTS)), PTE_RIGHTS | PTE_ACCESSED);
	assert_int_equal(pte_leaf(1, 0, PTE_RIGHTS | PTE_DIRTY) & 0xfff,
			 BIT(0) | BIT(1) | BIT(2) | BIT(8) | BIT(9) | WRITEBACK);
	assert_int_equal(pte_flags_of(pte_leaf(1, 0, PTE_READ)), PTE_READ | PTE_ACCESSED);
	ept_watches_writes = false;
}

/* Type 0; the guest's PAT may combine with it, unless bit 6 says that it may not. */
static void test_what_is_not_ram_is_uncacheable(void **state)
{
	(void)state;
	assert_int_equal(pte_leaf(1, 0, PTE_RIGHTS | PTE_UNCACHED),
			 0x1000 | BIT(0) | BIT(1) | BIT(2) | BIT(6));
	assert_int_equal(pte_leaf(1, 0, PTE_RIGHTS | PTE_IO) & 0xfff, BIT(0) | BIT(1) | BIT(2));
}

/* What the processor ignores (52..55) is all that our own flags may use. */
static void test_own_bits_are_ignored_ones(void **state)
{
	uint64_t ignored = 0xfull << 52;

	(void)state;
	assert_int_equal(pte_leaf(1, 0, PTE_RIGHTS | PTE_IO) & ~ignored & ~0xfffull, 0x1000);
	assert_int_equal(pte_leaf(1, 0, PTE_RIGHTS | PTE_OVERLAY) & ~ignored,
			 pte_leaf(1, 0, PTE_RIGHTS));
	assert_int_not_equal(pte_leaf(1, 0, PTE_RIGHTS | PTE_IO),
			     pte_leaf(1, 0, PTE_RIGHTS | PTE_OVERLAY));
	assert_false(pte_present(PTE_NO_ACCESS));
	assert_int_equal(PTE_NO_ACCESS & 7, 0);
}

static void test_table_takes_no_right_away(void **state)
{
	(void)state;
	assert_int_equal(pte_table(0x77) & 0xfff, BIT(0) | BIT(1) | BIT(2));
}

static void test_state_bits(void **state)
{
	(void)state;
	assert_int_equal(pte_state_bits(PTE_ACCESSED), BIT(8));
	assert_int_equal(pte_state_bits(PTE_DIRTY), BIT(9));
	assert_int_equal(pte_state_bits(PTE_ACCESSED | PTE_DIRTY), BIT(8) | BIT(9));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_leaf_bits),
		cmocka_unit_test(test_no_large_page_is_executable),
		cmocka_unit_test(test_clean_leaves_are_not_writable),
		cmocka_unit_test(test_what_is_not_ram_is_uncacheable),
		cmocka_unit_test(test_own_bits_are_ignored_ones),
		cmocka_unit_test(test_table_takes_no_right_away),
		cmocka_unit_test(test_state_bits),
		PAGETABLE_CASES,
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
