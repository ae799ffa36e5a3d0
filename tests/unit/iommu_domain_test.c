/* hypervisor/iommu_domain.c: the root's domain, built and changed by deposits. ram_iommu_check()
 * has the invariants. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hypervisor/iommu.h"
#include "tests/fake/ram.h"

#define GIB  (1ull << 30)
#define MIB  (1ull << 20)
#define APIC 0xfee00ull
#define UNIT 0xfed90ull

static struct partition *const child = &ram_children[0];

/* 3 GiB of RAM from 0 but for the VGA hole; the hypervisor at 2 GiB. */
static struct ram_machine machine = {
	.ranges = {{.base = 0, .size = 0xa0000, .type = 1},
		   {.base = MIB, .size = 3 * GIB - MIB, .type = 1},
		   {.base = 4 * GIB, .size = 8 * MIB, .type = 1}},
	.reserved_base = 2 * GIB,
	.reserved_size = 16 * MIB,
	.free_base = 2 * GIB,
	.address_bits = 40,
	.max_level = 2,
};

static int boot(enum iommu_kind kind)
{
	machine.iommu = kind;
	ram_boot(&machine);
	return 0;
}

static int boot_vtd(void **state)
{
	(void)state;
	return boot(IOMMU_VTD);
}

static int boot_amdvi(void **state)
{
	(void)state;
	return boot(IOMMU_AMDVI);
}

static void test_largest_leaves(void **state)
{
	(void)state;
	assert_int_equal(ram_dma_level(0), 2); /* the hole is no RAM, and nothing hidden */
	assert_int_equal(ram_dma_level(GIB >> 12), 2);
	assert_int_equal(ram_dma_level(2 * GIB >> 12), 4);
	assert_int_equal(ram_dma_level((2 * GIB + 16 * MIB - 1) >> 12), 4);
	assert_int_equal(ram_dma_level((2 * GIB + 16 * MIB) >> 12), 1);
	assert_int_equal(ram_dma_level(APIC - 1), 1);
	assert_int_equal(ram_dma_level(APIC), 4);
	assert_int_equal(ram_dma_level(APIC + 0xff), 4);
	assert_int_equal(ram_dma_level(APIC + 0x100), 0);
	assert_int_equal(ram_dma_level(4 * GIB >> 12), 1);
	assert_int_equal(ram_dma_level((4 * GIB + 16 * MIB) >> 12),
			 4); /* behind the domain's end */
}

static void test_deposit(void **state)
{
	uint64_t gpn, free;

	(void)state;
	free = plat_pool_count(&ram_root);
	assert_true(ram_dma(0x40055));
	assert_int_equal(plat_page_deposit(&ram_root, 0x40055, child), HV_STATUS_SUCCESS);
	assert_int_equal(memory_page(0x40055)->kind, PAGE_LIMBO); /* a unit may still use it */
	assert_false(ram_dma(0x40055));
	assert_true(ram_dma(0x40054));
	ram_check();
	plat_gpa_flush(&ram_root);
	assert_int_equal(memory_page(0x40055)->kind, PAGE_FREE);
	ram_check();                   /* D3: the unit has forgotten it */
	assert_true(ram_dma(0x40054)); /* and remembers the tables */
	assert_int_equal(plat_page_withdraw(child, &ram_root, &gpn), HV_STATUS_SUCCESS);
	ram_check();
	assert_true(ram_dma(0x40055));
	assert_int_equal(ram_dma_level(0x40055), 2);
	plat_gpa_flush(&ram_root);
	assert_int_equal(plat_pool_count(&ram_root), free);
}

/* Emulated units remember that an address led nowhere. */
static void test_absence_is_forgotten(void **state)
{
	uint64_t gpn;

	(void)state;
	iommu_domain.caches_absence = true;
	ram_deposit(child, 0x300, 2);
	assert_false(iommu_domain.stale);
	assert_int_equal(plat_page_withdraw(child, &ram_root, &gpn), HV_STATUS_SUCCESS);
	assert_false(iommu_domain.stale);
	assert_true(ram_dma(gpn));
}

/* A deposit that is refused has changed nothing: the page is mapped in a child, or there is no
 * memory for a table. */
static void test_refused_deposit(void **state)
{
	(void)state;
	ram_deposit(child, 0x10, 16);
	ram_create(child);
	assert_int_equal(plat_gpa_map(child, 0, &ram_root, 0x40000,
				      HV_MAP_GPA_READABLE | HV_MAP_GPA_WRITABLE, false),
			 HV_STATUS_SUCCESS);
	assert_int_equal(plat_page_deposit(&ram_root, 0x40000, &ram_children[1]),
			 HV_STATUS_OBJECT_IN_USE);
	assert_int_equal(ram_dma_level(0x40000), 2);
	ram_destroy(child);
	for (unsigned int left = 8; left; left--) {
		while (plat_pool_count(&ram_root) >= left) {
			assert_non_null(plat_page_alloc(&ram_root));
		}
		if (plat_page_deposit(&ram_root, 0x40000 + left * 512, &ram_children[1]) !=
		    HV_STATUS_SUCCESS) {
			assert_true(ram_dma(0x40000 + left * 512));
		}
		plat_gpa_flush(&ram_root);
		ram_check();
	}
}

/* Registers of a unit are in no partition's map and in no domain. */
static void test_registers_are_withheld(void **state)
{
	(void)state;
	assert_int_equal(gpa_fault(&ram_root, (gpa_t){UNIT << 12}, HV_MAP_GPA_READABLE),
			 GPA_FAULT_RESOLVED);
	boot(machine.iommu);
	assert_true(memory_withhold(UNIT, 2));
	ram_iommu_boot(machine.iommu, 2);
	assert_false(ram_dma(UNIT));
	assert_false(ram_dma(UNIT + 1));
	assert_true(ram_dma(UNIT + 2));
	assert_int_equal(gpa_fault(&ram_root, (gpa_t){UNIT << 12}, HV_MAP_GPA_READABLE),
			 GPA_FAULT_PROTECTED);
	assert_int_equal(gpa_fault(&ram_root, (gpa_t){(UNIT + 1) << 12}, HV_MAP_GPA_WRITABLE),
			 GPA_FAULT_PROTECTED);
	assert_int_equal(gpa_fault(&ram_root, (gpa_t){(UNIT + 2) << 12}, HV_MAP_GPA_READABLE),
			 GPA_FAULT_RESOLVED);
	ram_deposit(child, 0x10, 16);
	ram_create(child);
	assert_int_equal(plat_gpa_map(child, 0, &ram_root, UNIT, HV_MAP_GPA_READABLE, false),
			 HV_STATUS_ACCESS_DENIED);
	ram_destroy(child);
}

static void test_units_without_1_gib(void **state)
{
	(void)state;
	ram_iommu_boot(machine.iommu, 1);
	assert_int_equal(ram_dma_level(0), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_largest_leaves, boot_vtd, ram_end_test),
		cmocka_unit_test_setup_teardown(test_largest_leaves, boot_amdvi, ram_end_test),
		cmocka_unit_test_setup_teardown(test_deposit, boot_vtd, ram_end_test),
		cmocka_unit_test_setup_teardown(test_deposit, boot_amdvi, ram_end_test),
		cmocka_unit_test_setup_teardown(test_absence_is_forgotten, boot_vtd, ram_end_test),
		cmocka_unit_test_setup_teardown(test_refused_deposit, boot_vtd, ram_end_test),
		cmocka_unit_test_setup_teardown(test_registers_are_withheld, boot_vtd,
						ram_end_test),
		cmocka_unit_test_setup_teardown(test_units_without_1_gib, boot_vtd, ram_end_test),
		cmocka_unit_test_setup_teardown(test_units_without_1_gib, boot_amdvi, ram_end_test),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
