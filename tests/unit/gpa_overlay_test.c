#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hypervisor/gpa_table.h"
#include "tests/fake/ram.h"

#define RW (HV_MAP_GPA_READABLE | HV_MAP_GPA_WRITABLE)

static struct partition *const child = &ram_children[0];
static char *page[3]; /* of the child, holding "0", "1", "2" */

static int boot(void **state)
{
	(void)state;
	ram_boot(&ram_small);
	ram_deposit(child, 0x20, 16);
	ram_create(child);
	for (int i = 0; i < 3; i++) {
		page[i] = plat_page_alloc(child);
		page[i][0] = '0' + i;
	}
	memset(plat_spa_ptr((spa_t){0x50000}), 'a', 1);
	memset(plat_spa_ptr((spa_t){0x51000}), 'b', 1);
	return 0;
}

/* What p sees at the beginning of a page; 0: nothing. */
static char seen_by(struct partition *p, uint64_t gpn)
{
	char byte;

	ram_check();
	return plat_gpa_read(p, (gpa_t){gpn << PAGE_SHIFT}, &byte, 1) ? byte : 0;
}

static char seen(uint64_t gpn)
{
	return seen_by(child, gpn);
}

static hv_status_t map(uint64_t gpn, uint64_t source)
{
	return plat_gpa_map(child, gpn, &ram_root, source, RW, false);
}

static hv_status_t lay(uint64_t gpn, int i)
{
	return plat_overlay_map(child, gpn, page[i]);
}

static void test_over_nothing(void **state)
{
	uint64_t free = plat_pool_count(child);

	(void)state;
	assert_int_equal(lay(0x1000, 0), HV_STATUS_SUCCESS);
	assert_int_equal(seen(0x1000), '0');
	plat_overlay_unmap(child, 0x1000, page[0]);
	assert_int_equal(seen(0x1000), 0);
	assert_int_equal(plat_pool_count(child), free - 1); /* the page of records stays */
	plat_page_free(child, page[0]);
}

static void test_hides_and_restores(void **state)
{
	(void)state;
	assert_int_equal(map(1, 0x50), HV_STATUS_SUCCESS);
	assert_int_equal(lay(1, 0), HV_STATUS_SUCCESS);
	assert_int_equal(seen(1), '0');
	assert_true(plat_gpa_write(child, (gpa_t){0x1000}, "w", 1));
	assert_int_equal(page[0][0], 'w');
	plat_overlay_unmap(child, 1, page[0]);
	assert_int_equal(seen(1), 'a');
}

/* The page that is hidden changes meanwhile. */
static void test_changes_below(void **state)
{
	(void)state;
	assert_int_equal(lay(1, 0), HV_STATUS_SUCCESS);
	assert_int_equal(map(1, 0x50), HV_STATUS_SUCCESS);
	assert_int_equal(seen(1), '0');
	assert_int_equal(map(1, 0x51), HV_STATUS_SUCCESS);
	plat_gpa_flush(child);
	assert_int_equal(memory_page(0x50)->count, 0);
	assert_int_equal(memory_page(0x51)->count, 1);
	plat_overlay_unmap(child, 1, page[0]);
	assert_int_equal(seen(1), 'b');
	assert_int_equal(lay(1, 0), HV_STATUS_SUCCESS);
	assert_int_equal(plat_gpa_unmap(child, 1, false), HV_STATUS_SUCCESS);
	assert_int_equal(seen(1), '0');
	plat_overlay_unmap(child, 1, page[0]);
	assert_int_equal(seen(1), 0);
}

static void test_stack(void **state)
{
	static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
					 {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

	(void)state;
	assert_int_equal(map(1, 0x50), HV_STATUS_SUCCESS);
	for (int order = 0; order < 6; order++) {
		bool there[3] = {true, true, true};

		for (int i = 0; i < 3; i++) {
			assert_int_equal(lay(1, i), HV_STATUS_SUCCESS);
		}
		for (int i = 0; i < 3; i++) {
			char expected = there[2] ? '2' : there[1] ? '1' : there[0] ? '0' : 'a';

			assert_int_equal(seen(1), expected);
			plat_overlay_unmap(child, 1, page[orders[order][i]]);
			there[orders[order][i]] = false;
		}
		assert_int_equal(seen(1), 'a');
	}
}

static void test_same_page_at_two_places(void **state)
{
	(void)state;
	assert_int_equal(lay(1, 0), HV_STATUS_SUCCESS);
	assert_int_equal(lay(2, 0), HV_STATUS_SUCCESS);
	assert_int_equal(lay(2, 0), HV_STATUS_SUCCESS);
	plat_overlay_unmap(child, 2, page[0]);
	assert_int_equal(seen(2), '0');
	plat_overlay_unmap(child, 2, page[0]);
	assert_int_equal(seen(2), 0);
	assert_int_equal(seen(1), '0');
}

static void test_unmap_of_what_is_not_there(void **state)
{
	(void)state;
	assert_int_equal(lay(1, 0), HV_STATUS_SUCCESS);
	plat_overlay_unmap(child, 1, page[1]);
	plat_overlay_unmap(child, 2, page[0]);
	plat_overlay_unmap(child, UINT64_MAX, page[0]);
	assert_int_equal(seen(1), '0');
}

static void test_refusals(void **state)
{
	(void)state;
	assert_int_equal(lay(1ull << 24, 0), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(lay(UINT64_MAX, 0), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(plat_overlay_map(&ram_children[1], 1, page[0]),
			 HV_STATUS_INVALID_PARAMETER);
}

static void test_within_a_large_page(void **state)
{
	(void)state;
	memset(plat_spa_ptr((spa_t){0x234000}), 'l', 1);
	assert_int_equal(
		plat_gpa_map(child, 0x200, &ram_root, 0x200, RW | HV_MAP_GPA_LARGE_PAGE, true),
		HV_STATUS_SUCCESS);
	assert_int_equal(lay(0x234, 0), HV_STATUS_SUCCESS);
	assert_int_equal(seen(0x234), '0');
	assert_int_equal(seen(0x235), *(char *)plat_spa_ptr((spa_t){0x235000}));
	/* Large changes go beneath the overlay. */
	assert_int_equal(plat_gpa_unmap(child, 0x200, true), HV_STATUS_SUCCESS);
	assert_int_equal(seen(0x234), '0');
	assert_int_equal(
		plat_gpa_map(child, 0x200, &ram_root, 0x400, RW | HV_MAP_GPA_LARGE_PAGE, true),
		HV_STATUS_SUCCESS);
	plat_gpa_flush(child);
	assert_int_equal(memory_page(0x234)->count, 0);
	assert_int_equal(memory_page(0x434)->count, 1);
	assert_int_equal(seen(0x234), '0');
	memset(plat_spa_ptr((spa_t){0x434000}), 'm', 1);
	plat_overlay_unmap(child, 0x234, page[0]);
	assert_int_equal(seen(0x234), 'm');
}

/* Accessed and dirty are those of the partition's page, not of the overlay. */
static void test_access_state_is_of_the_page_below(void **state)
{
	uint8_t access;

	(void)state;
	assert_int_equal(map(1, 0x50), HV_STATUS_SUCCESS);
	assert_int_equal(lay(1, 0), HV_STATUS_SUCCESS);
	assert_true(ram_touch(child, 1, HV_MAP_GPA_WRITABLE));
	assert_int_equal(plat_gpa_access_state(child, 1, 0, &access), HV_STATUS_SUCCESS);
	assert_int_equal(access, 0);
	plat_overlay_unmap(child, 1, page[0]);
	assert_true(ram_touch(child, 1, HV_MAP_GPA_WRITABLE));
	assert_int_equal(lay(1, 0), HV_STATUS_SUCCESS);
	assert_int_equal(plat_gpa_access_state(child, 1, 4, &access), HV_STATUS_SUCCESS);
	assert_int_equal(access, 3);
	plat_overlay_unmap(child, 1, page[0]);
	assert_int_equal(plat_gpa_access_state(child, 1, 0, &access), HV_STATUS_SUCCESS);
	assert_int_equal(access, 1);
}

/* After the removal nobody can reach the page: it may be used for anything else. */
static void test_removal_flushes(void **state)
{
	(void)state;
	assert_int_equal(lay(1, 0), HV_STATUS_SUCCESS);
	assert_true(ram_touch(child, 1, HV_MAP_GPA_WRITABLE));
	plat_overlay_unmap(child, 1, page[0]);
	plat_page_free(child, page[0]);
	ram_check();
}

/* From its return on every LP sees the overlay. */
static void test_laying_flushes(void **state)
{
	uint32_t flushes;

	(void)state;
	assert_int_equal(map(1, 0x50), HV_STATUS_SUCCESS);
	assert_true(ram_touch(child, 1, HV_MAP_GPA_WRITABLE));
	flushes = ram_flushes;
	assert_int_equal(lay(1, 0), HV_STATUS_SUCCESS);
	assert_int_equal(ram_flushes, flushes + 1);
}

/* A page of the child's pool shown to the root: a state page of a VP. */
static void test_child_page_in_root(void **state)
{
	uint64_t free;

	(void)state;
	assert_int_equal(plat_overlay_map(&ram_root, 0x60, page[1]), HV_STATUS_SUCCESS);
	assert_int_equal(seen_by(&ram_root, 0x60), '1');
	plat_overlay_unmap(&ram_root, 0x60, page[1]);
	assert_true(plat_gpa_writable(&ram_root, 0x60));
	free = plat_pool_count(&ram_root);
	assert_int_equal(plat_overlay_map(&ram_root, 0x300, page[1]), HV_STATUS_SUCCESS);
	assert_int_equal(plat_pool_count(&ram_root), free - 1);
	plat_overlay_unmap(&ram_root, 0x300, page[1]);
	assert_int_equal(plat_pool_count(&ram_root), free); /* the split table is merged again */
}

/* The root deposits the page that an overlay hides, and gets it back. */
static void test_deposit_below_overlay(void **state)
{
	uint64_t gpn;

	(void)state;
	assert_int_equal(plat_overlay_map(&ram_root, 0x60, page[1]), HV_STATUS_SUCCESS);
	ram_deposit(&ram_children[1], 0x60, 1);
	assert_int_equal(seen_by(&ram_root, 0x60), '1');
	plat_overlay_unmap(&ram_root, 0x60, page[1]);
	assert_int_equal(seen_by(&ram_root, 0x60), 0);
	assert_int_equal(plat_overlay_map(&ram_root, 0x60, page[1]), HV_STATUS_SUCCESS);
	assert_int_equal(plat_page_withdraw(&ram_children[1], &ram_root, &gpn), HV_STATUS_SUCCESS);
	assert_int_equal(gpn, 0x60);
	assert_int_equal(seen_by(&ram_root, 0x60), '1');
	plat_overlay_unmap(&ram_root, 0x60, page[1]);
	assert_true(plat_gpa_writable(&ram_root, 0x60));
}

/* 512 entries, but not those of one large page. */
static void test_no_merge_with_overlay(void **state)
{
	uint64_t gpn;

	(void)state;
	ram_deposit(&ram_children[1], 0x261, 1);
	assert_int_equal(plat_overlay_map(&ram_root, 0x260, page[1]), HV_STATUS_SUCCESS);
	assert_int_equal(plat_page_withdraw(&ram_children[1], &ram_root, &gpn), HV_STATUS_SUCCESS);
	assert_int_equal(seen_by(&ram_root, 0x260), '1');
}

/*
 * The table of a block that is deposited as a whole stays when an overlay comes and goes: the pages
 * can come back.
 */
static void test_overlay_on_deposited_block(void **state)
{
	uint64_t gpn;

	(void)state;
	ram_deposit(&ram_children[1], 0x200, 512);
	assert_int_equal(plat_overlay_map(&ram_root, 0x260, page[1]), HV_STATUS_SUCCESS);
	plat_overlay_unmap(&ram_root, 0x260, page[1]);
	assert_int_equal(seen_by(&ram_root, 0x260), 0);
	for (int i = 0; i < 512; i++) {
		assert_int_equal(plat_page_withdraw(&ram_children[1], &ram_root, &gpn),
				 HV_STATUS_SUCCESS);
	}
	assert_true(plat_gpa_writable(&ram_root, 0x260));
}

static void test_shortage(void **state)
{
	void *kept[16];
	int count = 0;

	(void)state;
	while ((kept[count] = plat_page_alloc(child)) != NULL) {
		count++;
	}
	for (int given = 0; given < 4; given++) {
		for (int i = 0; i < 200; i++) { /* more than a page has records: none may be lost */
			assert_int_equal(lay(0x1000, 0), HV_STATUS_INSUFFICIENT_MEMORY);
		}
		plat_gpa_flush(child);
		assert_int_equal(plat_pool_count(child),
				 given ? given - 1 : 0); /* one holds the records */
		assert_int_equal(seen(0x1000), 0);
		plat_page_free(child, kept[--count]);
	}
	assert_int_equal(lay(0x1000, 0), HV_STATUS_SUCCESS);
}

/* Of the lists that are searched for a page's overlays: with some hundred pages none may have
 * become long. */
static unsigned int longest_list(const struct gpa_map *map)
{
	unsigned int longest = 0;

	for (unsigned int i = 0; i < GPA_OVERLAY_LISTS; i++) {
		unsigned int length = 0;

		for (const struct overlay *o = map->overlays[i]; o != NULL; o = o->next) {
			length++;
		}
		longest = length > longest ? length : longest;
	}
	return longest;
}

static void test_more_than_a_page_of_records(void **state)
{
	(void)state;
	for (uint64_t gpn = 0; gpn < 200; gpn++) {
		assert_int_equal(lay(gpn, gpn % 3), HV_STATUS_SUCCESS);
	}
	for (uint64_t gpn = 0; gpn < 200; gpn++) {
		assert_int_equal(seen(gpn), '0' + gpn % 3);
	}
	assert_in_range(longest_list(gpa_of(child)), 1, 3);
	ram_destroy(child);
	for (int i = 0; i < 3; i++) {
		plat_page_free(child, page[i]);
	}
	assert_int_equal(plat_pool_count(child), 16);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, boot, ram_end_test)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_over_nothing),
		TEST(test_hides_and_restores),
		TEST(test_changes_below),
		TEST(test_stack),
		TEST(test_same_page_at_two_places),
		TEST(test_unmap_of_what_is_not_there),
		TEST(test_refusals),
		TEST(test_within_a_large_page),
		TEST(test_access_state_is_of_the_page_below),
		TEST(test_removal_flushes),
		TEST(test_laying_flushes),
		TEST(test_child_page_in_root),
		TEST(test_deposit_below_overlay),
		TEST(test_no_merge_with_overlay),
		TEST(test_overlay_on_deposited_block),
		TEST(test_shortage),
		TEST(test_more_than_a_page_of_records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
