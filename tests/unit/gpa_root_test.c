#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hypervisor/gpa_table.h"
#include "tests/fake/ram.h"

#define GIB  (1ull << 30)
#define MIB  (1ull << 20)
#define RW   (HV_MAP_GPA_READABLE | HV_MAP_GPA_WRITABLE)
#define APIC 0xfee00ull

static struct partition *const child = &ram_children[0];

/* 3 GiB of RAM from 0 but for the VGA hole, and 2 GiB at 4 GiB; the hypervisor at 2 GiB. */
static const struct ram_machine large = {
	.ranges = {{.base = 0, .size = 0xa0000, .type = 1},
		   {.base = MIB, .size = 3 * GIB - MIB, .type = 1},
		   {.base = 4 * GIB, .size = 2 * GIB, .type = 1}},
	.reserved_base = 2 * GIB,
	.reserved_size = 16 * MIB,
	.free_base = 2 * GIB,
	.address_bits = 40,
	.max_level = 2,
};

static int boot_small(void **state)
{
	(void)state;
	ram_boot(&ram_small);
	return 0;
}

static int boot_large(void **state)
{
	(void)state;
	ram_boot(&large);
	return 0;
}

static enum gpa_fault fault(uint64_t gpn)
{
	return gpa_fault(&ram_root, (gpa_t){gpn << PAGE_SHIFT}, HV_MAP_GPA_WRITABLE);
}

/* Level of the leaf at gpn; 4 if there is none. */
static unsigned int leaf_level(uint64_t gpn)
{
	struct gpa_walk walk;

	gpa_walk(gpa_of(&ram_root), gpn, 0, &walk);
	return pte_present(*walk.entry[walk.level]) ? walk.level : 4;
}

static void test_ram_is_mapped_at_boot(void **state)
{
	(void)state;
	assert_int_equal(leaf_level(0), 1);
	assert_int_equal(leaf_level(0x5ff), 1);
	assert_int_equal(leaf_level(0x100000), 1);
	assert_int_equal(leaf_level(0x600), 4);
	assert_int_equal(leaf_level(0x7ff), 4);
	assert_int_equal(leaf_level(0x800), 4);
	for (uint64_t gpn = 0; gpn < 0x600; gpn++) {
		assert_true(plat_gpa_writable(&ram_root, gpn));
	}
}

static void test_largest_leaves(void **state)
{
	(void)state;
	assert_int_equal(leaf_level(0x9f), 0); /* beside the hole */
	assert_int_equal(leaf_level(0xa0), 4);
	assert_int_equal(leaf_level(0x1ff), 0);
	assert_int_equal(leaf_level(0x200), 1);
	assert_int_equal(leaf_level(GIB >> 12), 2);
	assert_int_equal(leaf_level((2 * GIB >> 12) + 4096), 1); /* behind the hypervisor */
	assert_int_equal(leaf_level(2 * GIB >> 12), 4);
	assert_int_equal(leaf_level(5 * GIB >> 12), 2);
}

static void test_hypervisor_is_protected(void **state)
{
	char byte;

	(void)state;
	for (uint64_t gpn = 0x600; gpn < 0x800; gpn++) {
		assert_int_equal(fault(gpn), GPA_FAULT_PROTECTED);
		assert_false(plat_gpa_read(&ram_root, (gpa_t){gpn << 12}, &byte, 1));
		assert_false(plat_gpa_write(&ram_root, (gpa_t){gpn << 12}, &byte, 1));
	}
	assert_int_equal(fault(1ull << 24), GPA_FAULT_PROTECTED);
	assert_int_equal(fault(1ull << 50), GPA_FAULT_PROTECTED);
}

static void test_apic_page_is_never_mapped(void **state)
{
	(void)state;
	assert_int_equal(fault(APIC), GPA_FAULT_APIC);
	assert_int_equal(fault(APIC - 1), GPA_FAULT_RESOLVED);
	assert_int_equal(fault(APIC + 1), GPA_FAULT_RESOLVED);
	assert_int_equal(leaf_level(APIC - 1), 1);
	assert_int_equal(leaf_level(APIC + 1), 0);
	assert_int_equal(fault(APIC), GPA_FAULT_APIC);
	assert_int_equal(leaf_level(APIC), 4);
}

static void test_devices_follow_their_first_touch(void **state)
{
	(void)state;
	assert_int_equal(leaf_level(0xa0), 4);
	assert_int_equal(fault(0xa0), GPA_FAULT_RESOLVED);
	assert_int_equal(leaf_level(0xa0), 0); /* near RAM */
	assert_int_equal(leaf_level(0xa1), 4);
	assert_int_equal(fault(0xe0000), GPA_FAULT_RESOLVED);
	assert_int_equal(leaf_level(0xe0000), 1); /* the APIC is in the same GiB */
	assert_int_equal(fault(64 * GIB >> 12), GPA_FAULT_RESOLVED);
	assert_int_equal(leaf_level((64 * GIB >> 12) + 0x3ffff), 2);
	assert_int_equal(fault((1ull << 28) - 1), GPA_FAULT_RESOLVED);
	assert_int_equal(fault(1ull << 28), GPA_FAULT_PROTECTED);
	assert_int_equal(fault(0xa0), GPA_FAULT_RESOLVED); /* again: nothing to do */
}

static void test_device_is_not_memory(void **state)
{
	char byte;

	(void)state;
	assert_int_equal(fault(0xa0), GPA_FAULT_RESOLVED);
	assert_false(plat_gpa_read(&ram_root, (gpa_t){0xa0000}, &byte, 1));
	assert_false(plat_gpa_writable(&ram_root, 0xa0));
}

static void test_empty_pool(void **state)
{
	(void)state;
	while (plat_page_alloc(&ram_root) != NULL)
		;
	assert_int_equal(fault(0xa0000), GPA_FAULT_NO_MEMORY);
	assert_int_equal(plat_page_deposit(&ram_root, 0x50, child),
			 HV_STATUS_INSUFFICIENT_ROOT_MEMORY);
	assert_true(plat_gpa_writable(&ram_root, 0x50));
	assert_int_equal(leaf_level(0x50), 1);
}

/* More device mappings than there are pages for tables: older ones make room. */
static void test_devices_make_room(void **state)
{
	uint64_t gpn;

	(void)state;
	ram_deposit(child, 0x55, 1);
	ram_deposit(child, 0x200, 512); /* leaves a table without an entry */
	while (plat_pool_count(&ram_root) > 5) {
		assert_non_null(plat_page_alloc(&ram_root));
	}
	for (uint64_t gib = 8; gib < 64; gib++) {
		assert_int_equal(fault(gib << 18), GPA_FAULT_RESOLVED);
		assert_true(ram_touch(&ram_root, gib << 18, HV_MAP_GPA_WRITABLE));
		ram_check();
	}
	assert_int_equal(leaf_level(8 << 18), 4);
	assert_int_equal(leaf_level(63 << 18), 1);
	assert_int_equal(leaf_level(0x56), 0); /* RAM stays, and the tables of what is deposited */
	while (plat_page_withdraw(child, &ram_root, &gpn) == HV_STATUS_SUCCESS) {
		assert_true(plat_gpa_writable(&ram_root, gpn));
	}
	assert_int_equal(leaf_level(0x200), 1);
}

static void test_deposited_page_is_gone(void **state)
{
	char byte;

	(void)state;
	ram_deposit(child, 0x55, 1);
	assert_int_equal(fault(0x55), GPA_FAULT_PROTECTED);
	assert_false(plat_gpa_read(&ram_root, (gpa_t){0x55000}, &byte, 1));
	assert_true(plat_gpa_read(&ram_root, (gpa_t){0x54fff}, &byte, 1));
	assert_true(plat_gpa_read(&ram_root, (gpa_t){0x56000}, &byte, 1));
	assert_int_equal(leaf_level(0x54), 0);
	assert_int_equal(leaf_level(0x255), 1); /* only its own 2 MiB are split */
}

/*
 * Every page of a 2 MiB block is deposited and comes back: as one leaf, and no page of the root's
 * pool is lost.
 */
static void deposit_and_back(uint64_t first, unsigned int level)
{
	uint64_t free = plat_pool_count(&ram_root), gpn;

	assert_int_equal(leaf_level(first), level);
	ram_deposit(child, first, 512);
	assert_int_equal(plat_pool_count(child), 512);
	assert_int_equal(plat_pool_count(&ram_root), free - level);
	ram_check();
	for (int i = 0; i < 512; i++) {
		assert_int_equal(leaf_level(first), i ? leaf_level(first) : 4);
		assert_int_equal(plat_page_withdraw(child, &ram_root, &gpn), HV_STATUS_SUCCESS);
		assert_true(plat_gpa_writable(&ram_root, gpn));
	}
	assert_int_equal(leaf_level(first), level);
	assert_int_equal(plat_pool_count(&ram_root), free);
}

static void test_split_and_merge_2m(void **state)
{
	(void)state;
	deposit_and_back(0x200, 1);
}

static void test_split_and_merge_1g(void **state)
{
	(void)state;
	deposit_and_back((GIB >> 12) + 0x600, 2);
}

/* A withdrawal needs no memory, whatever became of the root's pool. */
static void test_withdraw_with_empty_pool(void **state)
{
	uint64_t gpn;

	(void)state;
	ram_deposit(child, 0x200, 512);
	while (plat_page_alloc(&ram_root) != NULL)
		;
	for (int i = 0; i < 512; i++) {
		assert_int_equal(plat_page_withdraw(child, &ram_root, &gpn), HV_STATUS_SUCCESS);
	}
	assert_int_equal(leaf_level(0x200), 1);
}

static void test_deposit_of_mapped_page(void **state)
{
	uint64_t free;

	(void)state;
	ram_deposit(child, 0x20, 8);
	ram_create(child);
	assert_int_equal(plat_gpa_map(child, 0x200, &ram_root, 0x200, RW, true), HV_STATUS_SUCCESS);
	free = plat_pool_count(&ram_root);
	assert_int_equal(plat_page_deposit(&ram_root, 0x3ff, &ram_children[1]),
			 HV_STATUS_OBJECT_IN_USE);
	assert_int_equal(leaf_level(0x3ff), 1);
	plat_gpa_flush(&ram_root);
	assert_int_equal(plat_pool_count(&ram_root), free);
	/* The root keeps its access to what it gave to the child. */
	assert_true(plat_gpa_writable(&ram_root, 0x200));
}

#define SMALL(f) cmocka_unit_test_setup_teardown(f, boot_small, ram_end_test)
#define LARGE(f) cmocka_unit_test_setup_teardown(f, boot_large, ram_end_test)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SMALL(test_ram_is_mapped_at_boot),
		LARGE(test_largest_leaves),
		SMALL(test_hypervisor_is_protected),
		SMALL(test_apic_page_is_never_mapped),
		LARGE(test_devices_follow_their_first_touch),
		LARGE(test_device_is_not_memory),
		SMALL(test_empty_pool),
		SMALL(test_devices_make_room),
		SMALL(test_deposited_page_is_gone),
		SMALL(test_split_and_merge_2m),
		LARGE(test_split_and_merge_1g),
		SMALL(test_withdraw_with_empty_pool),
		SMALL(test_deposit_of_mapped_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
