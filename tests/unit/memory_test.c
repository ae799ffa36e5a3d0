#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fake/ram.h"

static struct partition *const child = &ram_children[0];

static int boot(void **state)
{
	(void)state;
	ram_boot(&ram_small);
	return 0;
}

static void test_lookup(void **state)
{
	(void)state;
	assert_non_null(memory_page(0));
	assert_non_null(memory_page(0x7ff));
	assert_null(memory_page(0x800));
	assert_null(memory_page(0xfffff));
	assert_non_null(memory_page(0x100000));
	assert_non_null(memory_page(0x1003ff));
	assert_null(memory_page(0x100400));
	assert_null(memory_page(UINT64_MAX));
	assert_ptr_equal(memory_page(0x100000), memory_page(0x7ff) + 1);
}

static void test_ranges_shrink_to_whole_pages(void **state)
{
	const struct ram_machine machine = {
		.ranges = {{.base = 0x800, .size = 0x9f000, .type = 1},
			   {.base = 0x9f800, .size = 0x800, .type = 2},
			   {.base = 0x100000, .size = 0x700800, .type = 1},
			   {.base = 0x800800, .size = 0x700, .type = 1}},
		.reserved_base = 0x600000,
		.reserved_size = 0x200000,
		.free_base = 0x600001,
		.address_bits = 36,
		.max_level = 1,
	};

	(void)state;
	ram_boot(&machine);
	assert_null(memory_page(0));
	assert_non_null(memory_page(1));
	assert_non_null(memory_page(0x9e));
	assert_null(memory_page(0x9f));
	assert_non_null(memory_page(0x7ff));
	assert_null(memory_page(0x800));
	assert_int_equal(memory_claim(&ram_root, 0x9e, 0x63), HV_STATUS_ACCESS_DENIED); /* a hole */
	assert_int_equal(memory_page(0x600)->kind,
			 PAGE_HYPERVISOR); /* the block's page is not used for the table */
	ram_check();
}

/* A machine so large that the table is a region of its own: it is kept from the root, as the
 * other. */
static void test_table_apart(void **state)
{
	const struct ram_machine machine = {
		.ranges = {{.base = 0, .size = 0x800000, .type = 1},
			   {.base = 4ull << 30, .size = 0x800000, .type = 1}},
		.reserved_base = 0x600000,
		.reserved_size = 0x200000,
		.free_base = 0x600001,
		.table_base = (4ull << 30) + 0x400000,
		.table_size = 0x200000,
		.address_bits = 36,
		.max_level = 1,
	};

	(void)state;
	ram_boot(&machine);
	assert_int_equal(memory_page(0x100400)->kind, PAGE_HYPERVISOR);
	assert_int_equal(memory_page(0x1005ff)->kind, PAGE_HYPERVISOR);
	assert_int_equal(memory_page(0x100600)->kind, PAGE_RAM);
	assert_int_equal(memory_extent(0x100400, 1), EXTENT_MIXED);
	assert_int_equal(memory_extent(0x100200, 512), EXTENT_RAM);
	assert_ptr_equal(memory_page(0), plat_spa_ptr((spa_t){machine.table_base}));
	assert_int_equal(gpa_fault(&ram_root, (gpa_t){machine.table_base}, HV_MAP_GPA_READABLE),
			 GPA_FAULT_PROTECTED);
	assert_int_equal(memory_claim(&ram_root, 0x100400, 1), HV_STATUS_ACCESS_DENIED);
	ram_check();
}

/* 12 TiB, and more than there are numbers for. Nothing of it is touched here. */
static void test_large_machines(void **state)
{
	static struct handoff handoff = {
		.range_count = 3,
		.ranges = {{.base = 0, .size = 1ull << 31, .type = 1},
			   {.base = 1ull << 32, .size = 12ull << 40, .type = 1},
			   {.base = 14ull << 40, .size = 8ull << 40, .type = 1}},
		.table_base = 1ull << 33,
		.table_size = 32ull << 30,
	};
	uint64_t spn, pages;

	(void)state;
	memory_boot(&handoff);
	assert_int_equal(memory_extent((1ull << 33) >> 12, 512), EXTENT_MIXED);
	assert_int_equal(memory_extent((12ull << 40) >> 12, 512), EXTENT_RAM);
	assert_true(memory_range(2, &spn, &pages));
	assert_int_equal(spn, (14ull << 40) >> 12);
	assert_int_equal(pages, 0xffffffff - ((12ull << 40) + (1ull << 31)) / 4096);
	assert_int_equal(memory_extent(spn + pages, 512), EXTENT_OTHER);
	ram_boot(&ram_small);
}

static void test_extent(void **state)
{
	(void)state;
	assert_int_equal(memory_extent(0, 512), EXTENT_RAM);
	assert_int_equal(memory_extent(0x5ff, 1), EXTENT_RAM);
	assert_int_equal(memory_extent(0x5ff, 2), EXTENT_MIXED);
	assert_int_equal(memory_extent(0x600, 1), EXTENT_MIXED); /* the hypervisor's */
	assert_int_equal(memory_extent(0x7ff, 2), EXTENT_MIXED);
	assert_int_equal(memory_extent(0x800, 1), EXTENT_OTHER);
	assert_int_equal(memory_extent(0x800, 0x100000 - 0x800), EXTENT_OTHER);
	assert_int_equal(memory_extent(0x800, 0x100001 - 0x800), EXTENT_MIXED);
	assert_int_equal(memory_extent(0, 1ull << 18), EXTENT_MIXED);
	assert_int_equal(memory_extent(0x100400, 1ull << 30), EXTENT_OTHER);
}

/* The root's pool is what is left of the reserved region, and nothing of it can leave. */
static void test_root_pool(void **state)
{
	uint64_t table_pages = (3072 * 8 + PAGE_SIZE - 1) / PAGE_SIZE, gpn;

	(void)state;
	assert_int_equal(plat_deposit_count(&ram_root), 512 - 16 - table_pages);
	assert_true(plat_pool_count(&ram_root) < plat_deposit_count(&ram_root));
	assert_int_equal(plat_page_withdraw(&ram_root, &ram_root, &gpn), HV_STATUS_NO_RESOURCES);
}

static void test_alloc_is_zeroed_and_bounded(void **state)
{
	uint8_t zero[PAGE_SIZE] = {0};
	void *pages[3];

	(void)state;
	memset(plat_spa_ptr((spa_t){0x10000}), 0xaa, 3 * PAGE_SIZE);
	ram_deposit(child, 0x10, 3);
	for (int i = 0; i < 3; i++) {
		pages[i] = plat_page_alloc(child);
		assert_non_null(pages[i]);
		assert_memory_equal(pages[i], zero, PAGE_SIZE);
		assert_int_equal(plat_pool_count(child), 2 - i);
		memset(pages[i], 0x55, PAGE_SIZE);
	}
	assert_null(plat_page_alloc(child));
	assert_ptr_not_equal(pages[0], pages[1]);
	plat_page_free(child, pages[1]);
	assert_ptr_equal(plat_page_alloc(child), pages[1]);
	assert_memory_equal(pages[1], zero, PAGE_SIZE);
	assert_int_equal(plat_deposit_count(child), 3);
}

/* What the hypervisor wrote in a page is not for the root to read. */
static void test_withdraw_clears(void **state)
{
	uint8_t zero[PAGE_SIZE] = {0};
	uint64_t gpn;
	void *page;

	(void)state;
	ram_deposit(child, 0x10, 1);
	page = plat_page_alloc(child);
	memset(page, 0x55, PAGE_SIZE);
	plat_page_free(child, page);
	assert_int_equal(plat_page_withdraw(child, &ram_root, &gpn), HV_STATUS_SUCCESS);
	assert_int_equal(gpn, 0x10);
	assert_memory_equal(plat_spa_ptr((spa_t){0x10000}), zero, PAGE_SIZE);
	assert_int_equal(plat_page_withdraw(child, &ram_root, &gpn), HV_STATUS_NO_RESOURCES);
	assert_int_equal(plat_deposit_count(child), 0);
}

static void test_used_page_is_not_withdrawn(void **state)
{
	uint64_t gpn;
	void *page;

	(void)state;
	ram_deposit(child, 0x10, 1);
	page = plat_page_alloc(child);
	assert_int_equal(plat_page_withdraw(child, &ram_root, &gpn), HV_STATUS_NO_RESOURCES);
	plat_page_free(child, page);
	assert_int_equal(plat_page_withdraw(child, &ram_root, &gpn), HV_STATUS_SUCCESS);
}

static void test_deposit_refuses(void **state)
{
	(void)state;
	assert_int_equal(plat_page_deposit(&ram_root, 0x600, child),
			 HV_STATUS_ACCESS_DENIED); /* the hypervisor's */
	assert_int_equal(plat_page_deposit(&ram_root, 0x6ff, child),
			 HV_STATUS_ACCESS_DENIED); /* the root's pool */
	assert_int_equal(plat_page_deposit(&ram_root, 0x800, child),
			 HV_STATUS_ACCESS_DENIED); /* no RAM */
	assert_int_equal(plat_page_deposit(&ram_root, 0xfee00, child), HV_STATUS_ACCESS_DENIED);
	assert_int_equal(plat_page_deposit(&ram_root, 1ull << 24, child),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(plat_page_deposit(&ram_root, UINT64_MAX, child),
			 HV_STATUS_INVALID_PARAMETER);
	ram_deposit(child, 0x10, 1);
	assert_int_equal(plat_page_deposit(&ram_root, 0x10, child),
			 HV_STATUS_ACCESS_DENIED); /* gone already */
	assert_int_equal(plat_page_deposit(child, 0x11, &ram_children[1]), HV_STATUS_ACCESS_DENIED);
	assert_int_equal(plat_deposit_count(child), 1);
	assert_int_equal(plat_deposit_count(&ram_children[1]), 0);
}

/* A page is the pool's only when no LP can write it any more. */
static void test_deposit_waits_for_flush(void **state)
{
	(void)state;
	assert_true(ram_touch(&ram_root, 0x10, HV_MAP_GPA_WRITABLE));
	assert_int_equal(plat_page_deposit(&ram_root, 0x10, child), HV_STATUS_SUCCESS);
	assert_int_equal(plat_deposit_count(child), 1);
	assert_int_equal(plat_pool_count(child), 0);
	assert_null(plat_page_alloc(child));
	ram_check();
	plat_gpa_flush(&ram_root);
	assert_int_equal(plat_pool_count(child), 1);
	assert_non_null(plat_page_alloc(child));
}

static void test_self_deposit(void **state)
{
	uint64_t before = plat_pool_count(&ram_root), gpn;

	(void)state;
	assert_int_equal(plat_page_deposit(&ram_root, 0x100010, &ram_root), HV_STATUS_SUCCESS);
	plat_gpa_flush(&ram_root);
	assert_int_equal(plat_pool_count(&ram_root),
			 before); /* one in, one for the table that was split */
	ram_check();
	assert_int_equal(plat_page_withdraw(&ram_root, &ram_root, &gpn), HV_STATUS_SUCCESS);
	assert_int_equal(gpn, 0x100010);
	assert_int_equal(plat_pool_count(&ram_root), before);
}

static void test_claim_counts_all_or_none(void **state)
{
	(void)state;
	memory_lock();
	assert_int_equal(memory_claim(&ram_root, 0x5fe, 2), HV_STATUS_SUCCESS);
	assert_int_equal(memory_claim(&ram_root, 0x5fe, 3), HV_STATUS_ACCESS_DENIED);
	assert_int_equal(memory_page(0x5fe)->count, 1);
	assert_int_equal(memory_claim(&ram_root, 0x7ff, 2), HV_STATUS_ACCESS_DENIED);
	assert_int_equal(memory_claim(child, 0x10, 1), HV_STATUS_ACCESS_DENIED);
	memory_page(0x5ff)->count = UINT32_MAX;
	assert_int_equal(memory_claim(&ram_root, 0x5fe, 2), HV_STATUS_NO_RESOURCES);
	assert_int_equal(memory_page(0x5fe)->count, 1);
	memory_page(0x5ff)->count = 1;
	memory_settle(0x5fe, 2);
	assert_int_equal(memory_page(0x5fe)->count, 0);
	memory_unlock();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, boot, ram_end_test)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_lookup),
		TEST(test_ranges_shrink_to_whole_pages),
		TEST(test_table_apart),
		TEST(test_large_machines),
		TEST(test_extent),
		TEST(test_root_pool),
		TEST(test_alloc_is_zeroed_and_bounded),
		TEST(test_withdraw_clears),
		TEST(test_used_page_is_not_withdrawn),
		TEST(test_deposit_refuses),
		TEST(test_deposit_waits_for_flush),
		TEST(test_self_deposit),
		TEST(test_claim_counts_all_or_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
