/*
 * Which pages were written, on processors that do not set accessed and dirty in EPT: a leaf that is
 * clean is not writable, and its first write faults.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hypervisor/arch/x86/vmx/ept.h"
#include "hypervisor/gpa_table.h"
#include "include/hv/memory.h"
#include "tests/fake/ram.h"

#define RW             (HV_MAP_GPA_READABLE | HV_MAP_GPA_WRITABLE)
#define RWX            (RW | HV_MAP_GPA_EXECUTABLE)
#define CLEAR_ACCESSED 1u
#define CLEAR_DIRTY    4u
#define EPT_WRITE      2u

static struct partition *const child = &ram_children[0];

static int boot(void **state)
{
	(void)state;
	ept_watches_writes = true;
	ram_boot(&ram_small);
	ram_deposit(child, 0x20, 16);
	ram_create(child);
	assert_non_null(child->home);
	return 0;
}

static hv_status_t map(uint64_t gpn, uint32_t flags)
{
	return plat_gpa_map(child, gpn, &ram_root, 0x50, flags, false);
}

static hv_status_t map_large(uint64_t gpn, uint32_t flags)
{
	return plat_gpa_map(child, gpn, &ram_root, 0x200, flags | HV_MAP_GPA_LARGE_PAGE, true);
}

static enum gpa_fault fault(uint64_t gpn, uint32_t access)
{
	return gpa_fault(child, (gpa_t){gpn << PAGE_SHIFT}, access);
}

static uint64_t leaf(uint64_t gpn)
{
	struct gpa_walk walk;

	gpa_walk(gpa_of(child), gpn, 0, &walk);
	return *walk.entry[walk.level];
}

static uint8_t state_of(uint64_t gpn, uint64_t flags)
{
	uint8_t state = 0xff;

	assert_int_equal(plat_gpa_access_state(child, gpn, flags, &state), HV_STATUS_SUCCESS);
	return state;
}

/* Accessed is not known, and so always said. */
static void test_the_first_write_faults(void **state)
{
	uint32_t locks;

	(void)state;
	assert_int_equal(map(1, RW), HV_STATUS_SUCCESS);
	assert_int_equal(state_of(1, 0), 1);
	assert_false(leaf(1) & EPT_WRITE);
	assert_int_equal(fault(1, HV_MAP_GPA_READABLE), GPA_FAULT_RESOLVED);
	assert_int_equal(state_of(1, CLEAR_ACCESSED), 1);
	assert_int_equal(state_of(1, 0), 1);
	locks = ram_locks_alone;
	assert_int_equal(fault(1, HV_MAP_GPA_WRITABLE), GPA_FAULT_RESOLVED);
	assert_int_equal(ram_locks_alone, locks); /* others walk the table meanwhile */
	assert_true(leaf(1) & EPT_WRITE);
	assert_int_equal(state_of(1, CLEAR_DIRTY), 3);
	assert_false(leaf(1) & EPT_WRITE);
	plat_gpa_flush(child);
	assert_int_equal(ram_flushes,
			 2); /* the deposit's, and this: the right to write was taken away */
	assert_int_equal(state_of(1, CLEAR_DIRTY), 1);
	assert_int_equal(fault(1, HV_MAP_GPA_WRITABLE), GPA_FAULT_RESOLVED);
	assert_int_equal(state_of(1, 0), 3);
}

static void test_read_only_stays_read_only(void **state)
{
	(void)state;
	assert_int_equal(map(1, HV_MAP_GPA_READABLE), HV_STATUS_SUCCESS);
	assert_int_equal(fault(1, HV_MAP_GPA_WRITABLE), GPA_FAULT_ACCESS);
	assert_int_equal(state_of(1, CLEAR_DIRTY), 1);
	assert_int_equal(fault(1, HV_MAP_GPA_WRITABLE), GPA_FAULT_ACCESS);
}

/* What the hypervisor writes for a guest is dirty without a fault; the guest's own write faults
 * still. */
static void test_writes_of_the_hypervisor(void **state)
{
	char byte = 1;

	(void)state;
	assert_int_equal(map(1, RW), HV_STATUS_SUCCESS);
	assert_true(plat_gpa_write(child, (gpa_t){0x1000}, &byte, 1));
	assert_int_equal(state_of(1, 0), 3);
	assert_int_equal(fault(1, HV_MAP_GPA_WRITABLE), GPA_FAULT_RESOLVED);
	assert_true(leaf(1) & EPT_WRITE);
	assert_int_equal(state_of(1, CLEAR_DIRTY), 3);
	assert_true(plat_gpa_write(child, (gpa_t){0x1000}, &byte, 1));
	assert_int_equal(state_of(1, CLEAR_DIRTY), 3);
	assert_int_equal(state_of(1, 0), 1);
}

static void test_large_pages(void **state)
{
	(void)state;
	assert_int_equal(map_large(512, RWX), HV_STATUS_SUCCESS);
	assert_int_equal(state_of(600, CLEAR_DIRTY), 1);
	assert_int_equal(fault(601, HV_MAP_GPA_WRITABLE), GPA_FAULT_RESOLVED);
	for (uint64_t i = 512; i < 1024; i++) {
		assert_int_equal(state_of(i, 0), i == 601 ? 3 : 1);
		assert_int_equal(!!(leaf(i) & EPT_WRITE), i == 601);
	}
	/* Where code in large pages is split and joined again, watched pages are no hindrance, and
	 * count as written then. */
	assert_int_equal(pte_flags_of(leaf(600)) & (PTE_WRITE | PTE_DIRTY), PTE_WRITE);
	memory_lock();
	gpa_join(gpa_of(child));
	memory_unlock();
	assert_true(leaf(600) & PTE_LARGE);
	assert_int_equal(state_of(600, 0), 3);
	assert_int_equal(fault(600, HV_MAP_GPA_WRITABLE), GPA_FAULT_RESOLVED);
}

#define T(name) cmocka_unit_test_setup_teardown(name, boot, ram_end_test)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_the_first_write_faults),
		T(test_read_only_stays_read_only),
		T(test_writes_of_the_hypervisor),
		T(test_large_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
