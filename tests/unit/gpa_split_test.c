/*
 * Large pages of code on processors that must not have them: split at the first fetch, joined again
 * when the pool is empty. With the table format of EPT.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hypervisor/arch/x86/vmx/ept.h"
#include "hypervisor/gpa_table.h"
#include "tests/fake/ram.h"

#define RW  (HV_MAP_GPA_READABLE | HV_MAP_GPA_WRITABLE)
#define RWX (RW | HV_MAP_GPA_EXECUTABLE)

static struct partition *const child = &ram_children[0];

static int boot(void **state)
{
	(void)state;
	ept_splits_code = true;
	ram_boot(&ram_small);
	ram_deposit(child, 0x20, 16);
	ram_create(child);
	assert_non_null(child->home);
	return 0;
}

static hv_status_t map_large(uint64_t gpn, uint32_t flags)
{
	return plat_gpa_map(child, gpn, &ram_root, 0x200, flags | HV_MAP_GPA_LARGE_PAGE, true);
}

static enum gpa_fault fault(struct partition *p, uint64_t gpn, uint32_t access)
{
	return gpa_fault(p, (gpa_t){gpn << PAGE_SHIFT}, access);
}

static uint64_t leaf(struct partition *p, uint64_t gpn, unsigned int *level)
{
	struct gpa_walk walk;

	gpa_walk(gpa_of(p), gpn, 0, &walk);
	*level = walk.level;
	return *walk.entry[walk.level];
}

static void expect(struct partition *p, uint64_t gpn, unsigned int level, bool executable)
{
	unsigned int found;
	uint64_t entry = leaf(p, gpn, &found);

	assert_int_equal(found, level);
	assert_int_equal(!!(entry & 1ull << 2), executable);
	assert_int_equal(entry & 3, 3);
	assert_true(pte_flags_of(entry) & PTE_EXECUTE);
}

static void test_split_at_the_first_fetch(void **state)
{
	(void)state;
	assert_int_equal(map_large(512, RWX), HV_STATUS_SUCCESS);
	expect(child, 600, 1, false);
	assert_int_equal(fault(child, 600, HV_MAP_GPA_READABLE), GPA_FAULT_RESOLVED);
	assert_int_equal(fault(child, 600, HV_MAP_GPA_WRITABLE), GPA_FAULT_RESOLVED);
	expect(child, 600, 1, false);
	assert_int_equal(fault(child, 600, HV_MAP_GPA_EXECUTABLE), GPA_FAULT_RESOLVED);
	expect(child, 600, 0, true);
	expect(child, 1023, 0, true);
	assert_int_equal(map_large(2048, RW), HV_STATUS_SUCCESS);
	assert_int_equal(fault(child, 2048, HV_MAP_GPA_EXECUTABLE), GPA_FAULT_ACCESS);
}

/* Other LPs may walk the table, and take pages of the pool, at the same time. */
static void test_alone_to_split_and_shared_to_look(void **state)
{
	uint32_t before;

	(void)state;
	assert_int_equal(map_large(512, RWX), HV_STATUS_SUCCESS);
	before = ram_locks_alone;
	assert_int_equal(fault(child, 600, HV_MAP_GPA_WRITABLE), GPA_FAULT_RESOLVED);
	assert_int_equal(ram_locks_alone, before);
	assert_int_equal(fault(child, 600, HV_MAP_GPA_EXECUTABLE), GPA_FAULT_RESOLVED);
	assert_int_equal(ram_locks_alone, before + 1);
	assert_int_equal(fault(child, 600, HV_MAP_GPA_EXECUTABLE), GPA_FAULT_RESOLVED);
	assert_int_equal(ram_locks_alone, before + 1);
}

static void test_the_root_too(void **state)
{
	(void)state;
	expect(&ram_root, 0x280, 1, false);
	assert_int_equal(fault(&ram_root, 0x280, HV_MAP_GPA_EXECUTABLE), GPA_FAULT_RESOLVED);
	expect(&ram_root, 0x280, 0, true);
	ram_check();
}

/* One table is left for as many places as there are: each fetch elsewhere gets it, with a flush. */
static void test_a_guest_that_executes_everywhere(void **state)
{
	unsigned int level;
	uint32_t flushes;

	(void)state;
	for (uint64_t i = 1; i <= 8; i++) {
		assert_int_equal(map_large(i * 512, RWX), HV_STATUS_SUCCESS);
	}
	while (plat_pool_count(child) > 1) {
		assert_non_null(plat_page_alloc(child));
	}
	flushes = ram_flushes;
	for (uint64_t i = 1; i <= 8; i++) {
		assert_int_equal(fault(child, i * 512 + 5, HV_MAP_GPA_EXECUTABLE),
				 GPA_FAULT_RESOLVED);
		expect(child, i * 512 + 5, 0, true);
		if (i > 1) {
			expect(child, (i - 1) * 512 + 5, 1, false);
			assert_true(pte_flags_of(leaf(child, (i - 1) * 512, &level)) & PTE_DIRTY);
		}
	}
	assert_int_equal(ram_flushes - flushes, 7);
}

static enum gpa_fault fetch_until_split_or_refused(uint64_t gpn, unsigned int *faults)
{
	enum gpa_fault result;
	unsigned int level;

	*faults = 0;
	do {
		result = fault(child, gpn, HV_MAP_GPA_EXECUTABLE);
		leaf(child, gpn, &level);
		++*faults;
	} while (result == GPA_FAULT_RESOLVED && level);
	return result;
}

/* Of a large map a fault looks at a part: the guest fetches again until something was found, or all
 * was looked at. */
static void test_a_fault_looks_at_a_part(void **state)
{
	unsigned int faults;

	(void)state;
	for (uint64_t i = 1; i <= 2000; i++) {
		assert_int_equal(map_large(i * 512, RWX), HV_STATUS_SUCCESS);
	}
	assert_int_equal(fault(child, 2000 * 512, HV_MAP_GPA_EXECUTABLE), GPA_FAULT_RESOLVED);
	while (plat_pool_count(child)) {
		assert_non_null(plat_page_alloc(child));
	}
	assert_int_equal(fetch_until_split_or_refused(512, &faults), GPA_FAULT_RESOLVED);
	assert_true(faults >= 2 && faults < 6);
	expect(child, 2000 * 512, 1, false);
	assert_int_equal(plat_gpa_unmap(child, 700, false), HV_STATUS_SUCCESS);
	assert_int_equal(fetch_until_split_or_refused(1024, &faults), GPA_FAULT_NO_MEMORY);
	assert_true(faults >= 2 && faults < 6);
}

/* A table with a page of its own stays; then there is no room. */
static void test_what_differs_stays_split(void **state)
{
	(void)state;
	assert_int_equal(map_large(512, RWX), HV_STATUS_SUCCESS);
	assert_int_equal(map_large(1024, RWX), HV_STATUS_SUCCESS);
	assert_int_equal(plat_gpa_unmap(child, 700, false), HV_STATUS_SUCCESS);
	while (plat_pool_count(child)) {
		assert_non_null(plat_page_alloc(child));
	}
	assert_int_equal(fault(child, 1030, HV_MAP_GPA_EXECUTABLE), GPA_FAULT_NO_MEMORY);
	expect(child, 701, 0, true);
	expect(child, 1030, 1, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_split_at_the_first_fetch, boot, ram_end_test),
		cmocka_unit_test_setup_teardown(test_alone_to_split_and_shared_to_look, boot,
						ram_end_test),
		cmocka_unit_test_setup_teardown(test_the_root_too, boot, ram_end_test),
		cmocka_unit_test_setup_teardown(test_a_guest_that_executes_everywhere, boot,
						ram_end_test),
		cmocka_unit_test_setup_teardown(test_what_differs_stays_split, boot, ram_end_test),
		cmocka_unit_test_setup_teardown(test_a_fault_looks_at_a_part, boot, ram_end_test),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
