/* hypervisor/iommu_device.c: domains of devices beside the root's. ram_iommu_check() has the
 * invariants, memory_fuzz.c the rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hypervisor/iommu.h"
#include "hypervisor/iommu_device.h"
#include "hypervisor/iommu_interrupt.h"
#include "tests/fake/ram.h"

#define MIB    (1ull << 20)
#define DEVICE 1

static struct partition *const child = &ram_children[0];

static struct ram_machine machine = {
	.ranges = {{.base = 0, .size = 64 * MIB, .type = 1}},
	.reserved_base = 32 * MIB,
	.reserved_size = 8 * MIB,
	.free_base = 32 * MIB,
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

static int boot_without(void **state)
{
	(void)state;
	return boot(IOMMU_NONE);
}

static hv_status_t map(uint32_t id, uint64_t page, uint64_t spn, bool large)
{
	uint32_t done;

	return plat_device_map(id, page, &spn, 1, true, large, &done);
}

/* In as many steps as it wants. */
static hv_status_t unmap(uint32_t id, uint64_t page, uint32_t count)
{
	hv_status_t status = HV_STATUS_SUCCESS;
	uint32_t done;

	for (; count && status == HV_STATUS_SUCCESS; count -= done, page += done) {
		status = plat_device_unmap(
			id, page, count < PLAT_DEVICE_UNMAP_PAGES ? count : PLAT_DEVICE_UNMAP_PAGES,
			&done);
	}
	return status;
}

static hv_status_t delete(uint32_t id)
{
	hv_status_t status;
	bool again;

	do {
		status = plat_device_domain_delete(id, &again);
	} while (again);
	return status;
}

static bool reaches(uint64_t page, uint64_t spn)
{
	uint64_t found;

	return ram_device_dma(DEVICE, page, true, &found) && found == spn;
}

static bool reaches_nothing(uint64_t page)
{
	uint64_t found;

	return !ram_device_dma(DEVICE, page, false, &found);
}

static void test_a_device_reaches_what_is_mapped(void **state)
{
	uint64_t free, found;

	(void)state;
	free = plat_pool_count(&ram_root);
	assert_int_equal(plat_device_width(), RAM_DEVICE_WIDTH);
	assert_int_equal(plat_device_domain_create(5), HV_STATUS_SUCCESS);
	assert_int_equal(map(5, 0x12345, 0x100, false), HV_STATUS_SUCCESS);
	assert_true(ram_device_dma(DEVICE, 0x100, true, &found)); /* it is in the root's domain */
	assert_int_equal(plat_device_attach(DEVICE, 5), HV_STATUS_SUCCESS);
	assert_true(reaches(0x12345, 0x100));
	assert_true(reaches_nothing(0x100));
	assert_true(reaches_nothing(0x12344));
	assert_true(reaches_nothing(0x12345 + (1 << 27)));
	assert_true(ram_device_dma(0, 0x100, true, &found) && found == 0x100); /* others are not */
	assert_int_equal(map(5, 0x200, 0x400, true), HV_STATUS_SUCCESS);
	assert_true(reaches(0x3ff, 0x5ff));
	ram_check();
	assert_int_equal(unmap(5, 0, 0x20000), HV_STATUS_SUCCESS);
	assert_true(reaches_nothing(0x12345) && reaches_nothing(0x3ff));
	ram_check();
	assert_int_equal(plat_device_attach(DEVICE, 0), HV_STATUS_SUCCESS);
	assert_true(reaches(0x100, 0x100));
	assert_int_equal(delete (5), HV_STATUS_SUCCESS);
	assert_int_equal(plat_pool_count(&ram_root), free);
}

static void test_a_page_to_read(void **state)
{
	uint64_t spn = 0x100, found;
	uint32_t done;

	(void)state;
	assert_int_equal(plat_device_domain_create(5), HV_STATUS_SUCCESS);
	assert_int_equal(plat_device_attach(DEVICE, 5), HV_STATUS_SUCCESS);
	assert_int_equal(plat_device_map(5, 7, &spn, 1, false, false, &done), HV_STATUS_SUCCESS);
	assert_true(ram_device_dma(DEVICE, 7, false, &found) && found == spn);
	assert_false(ram_device_dma(DEVICE, 7, true, &found));
}

/* A deposit takes no page that a device reaches, and a device none that was deposited. */
static void test_deposits(void **state)
{
	(void)state;
	assert_int_equal(plat_device_domain_create(5), HV_STATUS_SUCCESS);
	assert_int_equal(plat_device_attach(DEVICE, 5), HV_STATUS_SUCCESS);
	assert_int_equal(map(5, 7, 0x100, false), HV_STATUS_SUCCESS);
	assert_int_equal(map(5, 8, 0x100, false), HV_STATUS_SUCCESS);
	assert_int_equal(plat_page_deposit(&ram_root, 0x100, child), HV_STATUS_OBJECT_IN_USE);
	assert_int_equal(unmap(5, 7, 1), HV_STATUS_SUCCESS);
	assert_int_equal(plat_page_deposit(&ram_root, 0x100, child), HV_STATUS_OBJECT_IN_USE);
	assert_true(reaches(8, 0x100));
	assert_int_equal(unmap(5, 8, 1), HV_STATUS_SUCCESS);
	assert_int_equal(plat_page_deposit(&ram_root, 0x100, child), HV_STATUS_SUCCESS);
	ram_check();
	plat_gpa_flush(&ram_root);
	assert_int_equal(map(5, 7, 0x100, false), HV_STATUS_ACCESS_DENIED);
	assert_int_equal(map(5, 0x200, 0, true), HV_STATUS_ACCESS_DENIED); /* it is in there */
	assert_int_equal(map(5, 0x200, 0x200, true), HV_STATUS_SUCCESS);
	assert_int_equal(plat_page_deposit(&ram_root, 0x3ff, child), HV_STATUS_OBJECT_IN_USE);
}

static void test_what_cannot_be_mapped(void **state)
{
	(void)state;
	assert_int_equal(plat_device_domain_create(5), HV_STATUS_SUCCESS);
	assert_int_equal(map(5, 7, 0x2000, false), HV_STATUS_ACCESS_DENIED); /* the hypervisor's */
	assert_int_equal(map(5, 7, 0xfee00, false), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(map(5, 0xfeeff, 0x100, false), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(map(5, 0xfee00, 0x200, true), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(map(5, 7, 1ull << 28, false), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(map(5, 0x200, 0x201, true), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(map(5, 7, 0xfec00, false), HV_STATUS_SUCCESS); /* registers of a device */
	assert_int_equal(map(5, 7, 0x100, false), HV_STATUS_OBJECT_IN_USE);
	assert_int_equal(map(5, 0, 0x200, true), HV_STATUS_OBJECT_IN_USE);
	assert_int_equal(map(5, 0x400, 0x200, true), HV_STATUS_SUCCESS);
	assert_int_equal(map(5, 0x433, 0x100, false), HV_STATUS_OBJECT_IN_USE);
	assert_int_equal(map(6, 7, 0x100, false), HV_STATUS_NOT_FOUND);
	ram_check();
	/* A large page goes as a whole. */
	assert_int_equal(unmap(5, 0x400, 511), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(unmap(5, 0x401, 1), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(unmap(5, 7, 0x5f9), HV_STATUS_SUCCESS);
	assert_int_equal(delete (5), HV_STATUS_SUCCESS);
}

static void test_domains(void **state)
{
	uint32_t id;

	(void)state;
	/* Two of the unit's numbers are in use. */
	for (id = 1; id <= RAM_DEVICE_NUMBERS - 2; id++) {
		assert_int_equal(plat_device_domain_create(id * 1000), HV_STATUS_SUCCESS);
	}
	assert_int_equal(plat_device_domain_create(7), HV_STATUS_INSUFFICIENT_DEVICE_DOMAINS);
	assert_int_equal(plat_device_domain_create(1000), HV_STATUS_KEY_ALREADY_EXISTS);
	assert_int_equal(plat_device_attach(DEVICE, 1000), HV_STATUS_SUCCESS);
	assert_int_equal(plat_device_attach(DEVICE, 1000), HV_STATUS_SUCCESS);
	assert_int_equal(delete (1000), HV_STATUS_OBJECT_IN_USE);
	assert_int_equal(plat_device_attach(DEVICE, 2000),
			 HV_STATUS_SUCCESS); /* straight to another */
	assert_int_equal(delete (1000), HV_STATUS_SUCCESS);
	assert_int_equal(plat_device_attach(DEVICE, 1000), HV_STATUS_NOT_FOUND);
	ram_check();
	for (id = 2; id <= RAM_DEVICE_NUMBERS - 2; id++) {
		assert_int_equal(plat_device_attach(DEVICE, 0), HV_STATUS_SUCCESS);
		assert_int_equal(delete (id * 1000), HV_STATUS_SUCCESS);
	}
}

/* Where the pool is empty nothing has changed; a domain that is deleted gives everything back,
 * whatever is mapped in it. */
static void test_memory(void **state)
{
	uint64_t free = plat_pool_count(&ram_root), taken = 0, left;
	void *pages[4096];

	(void)state;
	assert_int_equal(plat_device_domain_create(5), HV_STATUS_SUCCESS);
	for (uint64_t i = 0; i < 3000; i++) {
		assert_int_equal(map(5, i * 300, i, false), HV_STATUS_SUCCESS);
	}
	assert_int_equal(map(5, (1ull << 36) - 512, 0x1000, true), HV_STATUS_SUCCESS);
	ram_check();
	while (plat_pool_count(&ram_root)) {
		pages[taken++] = plat_page_alloc(&ram_root);
	}
	for (left = 0; left < 3; left++) {
		assert_int_equal(map(5, 1ull << 34, 0x100, false), HV_STATUS_INSUFFICIENT_MEMORY);
		assert_int_equal(plat_device_domain_create(6),
				 left < 2 ? HV_STATUS_INSUFFICIENT_MEMORY : HV_STATUS_SUCCESS);
		assert_int_equal(plat_pool_count(&ram_root), left < 2 ? left : 0);
		ram_check();
		plat_page_free(&ram_root, pages[--taken]);
	}
	while (taken) {
		plat_page_free(&ram_root, pages[--taken]);
	}
	assert_int_equal(delete (5), HV_STATUS_SUCCESS);
	assert_int_equal(delete (6), HV_STATUS_SUCCESS);
	assert_int_equal(plat_pool_count(&ram_root), free);
	for (uint64_t spn = 0; spn < 3000; spn++) {
		assert_int_equal(memory_page(spn)->count, 0);
	}
}

/* As many pages as are taken out between two flushes are all that a table has. */
static void test_a_table_that_becomes_empty(void **state)
{
	uint64_t free = plat_pool_count(&ram_root);

	(void)state;
	assert_int_equal(plat_device_domain_create(5), HV_STATUS_SUCCESS);
	for (uint64_t i = 0; i < 64; i++) {
		assert_int_equal(map(5, 0x10000 + i, i, false), HV_STATUS_SUCCESS);
	}
	assert_int_equal(map(5, 0x20000, 0x100, false), HV_STATUS_SUCCESS);
	assert_int_equal(delete (5), HV_STATUS_SUCCESS);
	assert_int_equal(plat_pool_count(&ram_root), free);
	assert_int_equal(memory_page(0x100)->count, 0);
}

static bool raises(uint32_t number, uint8_t vector, uint8_t apic_id)
{
	uint8_t found, at;

	return ram_device_interrupt(DEVICE, number, &found, &at) && found == vector &&
	       at == apic_id;
}

static bool raises_nothing(uint32_t number)
{
	uint8_t vector, at;

	return !ram_device_interrupt(DEVICE, number, &vector, &at);
}

/* A device raises what it was given, from when it was told to when it was taken back. */
static void test_interrupts(void **state)
{
	uint64_t free = plat_pool_count(&ram_root);
	uint32_t number, second;

	(void)state;
	assert_true(plat_device_interrupts());
	assert_int_equal(plat_device_interrupt_map(DEVICE, 0, 0x31, &number), HV_STATUS_NOT_FOUND);
	assert_int_equal(plat_device_domain_create(5), HV_STATUS_SUCCESS);
	assert_int_equal(plat_device_domain_create(6), HV_STATUS_SUCCESS);
	assert_int_equal(plat_device_attach(DEVICE, 5), HV_STATUS_SUCCESS);
	assert_true(raises_nothing(0) && raises_nothing(0x31));
	assert_int_equal(plat_device_interrupt_map(DEVICE, 0, 0x31, &number), HV_STATUS_SUCCESS);
	assert_int_equal(plat_device_interrupt_map(DEVICE, 1, 0x31, &second), HV_STATUS_SUCCESS);
	assert_true(raises(number, 0x31, 4) && raises(second, 0x31, 3));
	assert_int_equal(plat_device_interrupt_retarget(DEVICE, number, 1, 0xff),
			 HV_STATUS_SUCCESS);
	assert_true(raises(number, 0xff, 3));
	ram_check();
	assert_int_equal(plat_device_attach(DEVICE, 6),
			 HV_STATUS_SUCCESS); /* with its interrupts */
	assert_true(raises(number, 0xff, 3));
	assert_int_equal(plat_device_interrupt_unmap(DEVICE, number), HV_STATUS_SUCCESS);
	assert_true(raises_nothing(number) && raises(second, 0x31, 3));
	assert_int_equal(plat_device_interrupt_unmap(DEVICE, number), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(plat_device_interrupt_unmap(DEVICE, INTERRUPT_TABLE_ENTRIES),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(plat_device_interrupt_retarget(DEVICE, number, 0, 0x31),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(plat_device_interrupt_map(DEVICE, 0, 15, &number),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(plat_device_interrupt_map(DEVICE, 0, 256, &number),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(plat_device_interrupt_map(DEVICE, RAM_LPS - 1, 0x31, &number),
			 HV_STATUS_INVALID_PARAMETER);
	for (uint32_t i = 1; i < INTERRUPT_TABLE_ENTRIES; i++) {
		assert_int_equal(plat_device_interrupt_map(DEVICE, 0, 0x31, &number),
				 HV_STATUS_SUCCESS);
	}
	assert_int_equal(plat_device_interrupt_map(DEVICE, 0, 0x31, &number),
			 HV_STATUS_NO_RESOURCES);
	ram_check();
	assert_int_equal(plat_device_attach(DEVICE, 0), HV_STATUS_SUCCESS);
	ram_check();
	assert_int_equal(plat_device_attach(DEVICE, 6), HV_STATUS_SUCCESS);
	assert_true(raises_nothing(second)); /* it begins anew */
	assert_int_equal(plat_device_attach(DEVICE, 0), HV_STATUS_SUCCESS);
	assert_int_equal(delete (5), HV_STATUS_SUCCESS);
	assert_int_equal(delete (6), HV_STATUS_SUCCESS);
	assert_int_equal(plat_pool_count(&ram_root), free);
}

/* Tables of several devices, whose numbers on their buses are the same for some; a pool that is
 * empty. */
static void test_interrupts_of_many_devices(void **state)
{
	void *pages[4096];
	uint64_t taken = 0;
	uint32_t number;

	(void)state;
	assert_int_equal(plat_device_domain_create(5), HV_STATUS_SUCCESS);
	for (uint16_t i = 0; i < RAM_DEVICES; i++) {
		assert_int_equal(plat_device_attach(i, 5), HV_STATUS_SUCCESS);
		assert_int_equal(plat_device_interrupt_map(i, 0, 0x30 + i, &number),
				 HV_STATUS_SUCCESS);
	}
	assert_true(raises(0, 0x30 + DEVICE, 4));
	assert_non_null(iommu_interrupt_table_make(0x100 + DEVICE));
	assert_non_null(iommu_interrupt_table_make(0x200 + DEVICE));
	iommu_interrupt_table_free(0x100 + DEVICE);
	assert_null(iommu_interrupt_table(0x100 + DEVICE));
	assert_int_equal(iommu_interrupt_table(0x200 + DEVICE)->device, 0x200 + DEVICE);
	iommu_interrupt_table_free(0x200 + DEVICE);
	assert_int_equal(plat_device_attach(DEVICE, 0), HV_STATUS_SUCCESS);
	while (plat_pool_count(&ram_root)) {
		pages[taken++] = plat_page_alloc(&ram_root);
	}
	assert_int_equal(plat_device_attach(DEVICE, 5), HV_STATUS_INSUFFICIENT_MEMORY);
	ram_check();
	while (taken) {
		plat_page_free(&ram_root, pages[--taken]);
	}
	assert_int_equal(plat_device_attach(DEVICE, 5), HV_STATUS_SUCCESS);
}

static void test_interrupts_that_are_not_remapped(void **state)
{
	uint32_t number;

	(void)state;
	assert_int_equal(plat_device_domain_create(5), HV_STATUS_SUCCESS);
	assert_int_equal(plat_device_attach(DEVICE, 5), HV_STATUS_SUCCESS);
	assert_false(plat_device_interrupts());
	assert_int_equal(plat_device_interrupt_map(DEVICE, 0, 0x31, &number),
			 HV_STATUS_FEATURE_UNAVAILABLE);
	assert_int_equal(plat_device_interrupt_unmap(DEVICE, 0), HV_STATUS_FEATURE_UNAVAILABLE);
}

static void test_without_units(void **state)
{
	bool again;

	(void)state;
	assert_int_equal(plat_device_width(), 0);
	assert_int_equal(plat_device_domain_create(5), HV_STATUS_FEATURE_UNAVAILABLE);
	assert_int_equal(plat_device_domain_delete(5, &again), HV_STATUS_FEATURE_UNAVAILABLE);
	assert_int_equal(plat_device_attach(DEVICE, 0), HV_STATUS_FEATURE_UNAVAILABLE);
	assert_int_equal(map(5, 7, 0x100, false), HV_STATUS_FEATURE_UNAVAILABLE);
	assert_int_equal(unmap(5, 7, 1), HV_STATUS_FEATURE_UNAVAILABLE);
}

#define TEST(name)                                                                                 \
	cmocka_unit_test_setup_teardown(name, boot_vtd, ram_end_test),                             \
		cmocka_unit_test_setup_teardown(name, boot_amdvi, ram_end_test)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_device_reaches_what_is_mapped),
		TEST(test_a_page_to_read),
		TEST(test_deposits),
		TEST(test_what_cannot_be_mapped),
		TEST(test_domains),
		TEST(test_memory),
		TEST(test_a_table_that_becomes_empty),
		cmocka_unit_test_setup_teardown(test_interrupts, boot_amdvi, ram_end_test),
		cmocka_unit_test_setup_teardown(test_interrupts_of_many_devices, boot_amdvi,
						ram_end_test),
		cmocka_unit_test_setup_teardown(test_interrupts_that_are_not_remapped, boot_vtd,
						ram_end_test),
		cmocka_unit_test_setup_teardown(test_without_units, boot_without, ram_end_test),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
