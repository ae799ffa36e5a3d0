#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hypervisor/gpa_trail.h"
#include "tests/fake/ram.h"

#define RW             (HV_MAP_GPA_READABLE | HV_MAP_GPA_WRITABLE)
#define RWX            (RW | HV_MAP_GPA_EXECUTABLE)
#define SET_DIRTY      8
#define CLEAR_ACCESSED 1
#define CLEAR_DIRTY    4

static struct partition *const child = &ram_children[0];
static struct partition *const other = &ram_children[1];

static int boot(void **state)
{
	(void)state;
	ram_boot(&ram_small);
	ram_deposit(child, 0x20, 16);
	ram_create(child);
	assert_non_null(child->home);
	return 0;
}

static hv_status_t map(uint64_t gpn, uint64_t source, uint32_t flags)
{
	return plat_gpa_map(child, gpn, &ram_root, source, flags, false);
}

static hv_status_t map_large(uint64_t gpn, uint64_t source, uint32_t flags)
{
	return plat_gpa_map(child, gpn, &ram_root, source, flags | HV_MAP_GPA_LARGE_PAGE, true);
}

static enum gpa_fault fault(uint64_t gpn, uint32_t access)
{
	return gpa_fault(child, (gpa_t){gpn << PAGE_SHIFT}, access);
}

static uint8_t state_of(uint64_t gpn, uint64_t flags)
{
	uint8_t state = 0xff;

	assert_int_equal(plat_gpa_access_state(child, gpn, flags, &state), HV_STATUS_SUCCESS);
	return state;
}

static void test_read_and_write_reach_the_page(void **state)
{
	char text[8] = "";

	(void)state;
	assert_int_equal(map(0x1000, 0x50, RWX), HV_STATUS_SUCCESS);
	memcpy(plat_spa_ptr((spa_t){0x50ff8}), "parent", 7);
	assert_true(plat_gpa_read(child, (gpa_t){0x1000ff8}, text, 8));
	assert_string_equal(text, "parent");
	assert_true(plat_gpa_write(child, (gpa_t){0x1000000}, "child", 6));
	assert_string_equal(plat_spa_ptr((spa_t){0x50000}), "child");
	assert_true(plat_gpa_writable(child, 0x1000));
	assert_int_equal(memory_page(0x50)->count, 1);
}

static void test_a_word_is_exchanged_if_it_is_still_there(void **state)
{
	uint64_t *word = plat_spa_ptr((spa_t){0x50008});

	(void)state;
	assert_int_equal(map(0x1000, 0x50, RWX), HV_STATUS_SUCCESS);
	assert_int_equal(map(0x1001, 0x51, HV_MAP_GPA_READABLE), HV_STATUS_SUCCESS);
	*word = 0x100000005ull;
	assert_int_equal(gpa_exchange(child, (gpa_t){0x1000008}, 5, 6, 8), GPA_EXCHANGE_OTHER);
	assert_int_equal(gpa_exchange(child, (gpa_t){0x1000008}, 5, 6, 4), GPA_EXCHANGE_DONE);
	assert_int_equal(gpa_exchange(child, (gpa_t){0x1000008}, 0x100000006, 7, 8),
			 GPA_EXCHANGE_DONE);
	assert_int_equal(*word, 7);
	assert_int_equal(gpa_exchange(child, (gpa_t){0x1001008}, 0, 6, 8), GPA_EXCHANGE_ACCESS);
	assert_int_equal(gpa_exchange(child, (gpa_t){0x1002008}, 0, 6, 8), GPA_EXCHANGE_ACCESS);
}

static void test_nothing_is_mapped_at_first(void **state)
{
	char byte;

	(void)state;
	assert_int_equal(fault(0, HV_MAP_GPA_READABLE), GPA_FAULT_UNMAPPED);
	assert_int_equal(fault(0xfee00, HV_MAP_GPA_READABLE), GPA_FAULT_UNMAPPED);
	assert_int_equal(fault((1ull << 24) - 1, HV_MAP_GPA_READABLE), GPA_FAULT_UNMAPPED);
	assert_int_equal(fault(1ull << 24, HV_MAP_GPA_READABLE), GPA_FAULT_UNMAPPED);
	assert_false(plat_gpa_read(child, (gpa_t){0}, &byte, 1));
	assert_false(plat_gpa_read(child, (gpa_t){1ull << 36}, &byte, 1));
	assert_false(plat_gpa_write(child, (gpa_t){0}, "", 1));
	assert_false(plat_gpa_writable(child, 0));
	assert_false(plat_gpa_writable(child, UINT64_MAX));
	assert_null(gpa_peek(child, 0));
}

static void test_rights(void **state)
{
	char byte = 0;

	(void)state;
	assert_int_equal(map(1, 0x50, HV_MAP_GPA_READABLE), HV_STATUS_SUCCESS);
	assert_int_equal(map(2, 0x51, RW), HV_STATUS_SUCCESS);
	assert_int_equal(map(3, 0x52, HV_MAP_GPA_READABLE | HV_MAP_GPA_KERNEL_EXECUTABLE),
			 HV_STATUS_SUCCESS);
	assert_int_equal(fault(1, HV_MAP_GPA_READABLE), GPA_FAULT_RESOLVED);
	assert_int_equal(fault(1, HV_MAP_GPA_WRITABLE), GPA_FAULT_ACCESS);
	assert_int_equal(fault(1, HV_MAP_GPA_EXECUTABLE), GPA_FAULT_ACCESS);
	assert_int_equal(fault(2, HV_MAP_GPA_WRITABLE), GPA_FAULT_RESOLVED);
	assert_int_equal(fault(2, HV_MAP_GPA_EXECUTABLE), GPA_FAULT_ACCESS);
	assert_int_equal(fault(3, HV_MAP_GPA_EXECUTABLE), GPA_FAULT_RESOLVED);
	assert_true(plat_gpa_read(child, (gpa_t){0x1000}, &byte, 1));
	assert_false(plat_gpa_write(child, (gpa_t){0x1000}, &byte, 1));
	assert_false(plat_gpa_writable(child, 1));
}

static void test_no_access_is_not_unmapped(void **state)
{
	char byte;

	(void)state;
	assert_int_equal(map(1, 0, HV_MAP_GPA_NO_ACCESS), HV_STATUS_SUCCESS);
	assert_int_equal(map_large(512, 0, HV_MAP_GPA_NO_ACCESS), HV_STATUS_SUCCESS);
	assert_int_equal(map(2, 0x50, HV_MAP_GPA_ADJUSTABLE),
			 HV_STATUS_SUCCESS); /* no rights at all */
	for (uint64_t gpn = 1; gpn < 1024; gpn += 511) {
		assert_int_equal(fault(gpn, HV_MAP_GPA_READABLE), GPA_FAULT_ACCESS);
	}
	assert_int_equal(fault(2, HV_MAP_GPA_READABLE), GPA_FAULT_ACCESS);
	assert_int_equal(memory_page(0x50)->count, 0);
	assert_int_equal(fault(3, HV_MAP_GPA_READABLE), GPA_FAULT_UNMAPPED);
	assert_false(plat_gpa_read(child, (gpa_t){0x1000}, &byte, 1));
	assert_int_equal(state_of(1, 0), 0);
	/* A page of the large region gets memory; the rest stays as it is. */
	assert_int_equal(map(700, 0x50, RW), HV_STATUS_SUCCESS);
	assert_int_equal(fault(700, HV_MAP_GPA_WRITABLE), GPA_FAULT_RESOLVED);
	assert_int_equal(fault(701, HV_MAP_GPA_WRITABLE), GPA_FAULT_ACCESS);
	assert_int_equal(plat_gpa_unmap(child, 701, false), HV_STATUS_SUCCESS);
	assert_int_equal(fault(701, HV_MAP_GPA_WRITABLE), GPA_FAULT_UNMAPPED);
}

static void test_refusals(void **state)
{
	(void)state;
	assert_int_equal(map(1, 0x600, RW), HV_STATUS_ACCESS_DENIED);   /* the hypervisor's */
	assert_int_equal(map(1, 0x20, RW), HV_STATUS_ACCESS_DENIED);    /* deposited */
	assert_int_equal(map(1, 0xfee00, RW), HV_STATUS_ACCESS_DENIED); /* the local APIC */
	assert_int_equal(map_large(512, 0xfee00, RW), HV_STATUS_ACCESS_DENIED); /* among others */
	assert_int_equal(map(1, 1ull << 24, RW), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(map(1ull << 24, 0x50, RW), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(map(UINT64_MAX, 0x50, RW), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(map(1, 0x50, HV_MAP_GPA_WRITABLE), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(map(1, 0x50, HV_MAP_GPA_EXECUTABLE), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(map(1, 0x50, RW | HV_MAP_GPA_ZEROED), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(map(1, 0x50, RW | HV_MAP_GPA_SET_DIRTY), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(map(1, 0x50, RW | 0x4000), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(map_large(1, 0x200, RW), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(map_large(512, 0x201, RW), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(map_large(512, 0x600, RW), HV_STATUS_ACCESS_DENIED);
	assert_int_equal(map_large(512, 0, RW),
			 HV_STATUS_ACCESS_DENIED); /* pages 0x20… are deposited */
	assert_int_equal(plat_gpa_unmap(child, 1ull << 24, false), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(plat_gpa_unmap(child, 1, true), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(plat_gpa_map(&ram_root, 1, &ram_root, 2, RW, false),
			 HV_STATUS_OPERATION_DENIED);
	assert_int_equal(plat_gpa_unmap(&ram_root, 1, false), HV_STATUS_OPERATION_DENIED);
	assert_int_equal(plat_gpa_map(other, 1, &ram_root, 2, RW, false),
			 HV_STATUS_OPERATION_DENIED); /* not initialized */
	assert_int_equal(plat_pool_count(child), 14);
}

/* A child that is a parent has no memory of its own to give. */
static void test_child_gives_nothing(void **state)
{
	(void)state;
	ram_deposit(other, 0x40, 8);
	ram_create(other);
	assert_int_equal(map(0x50, 0x50, RW), HV_STATUS_SUCCESS);
	assert_int_equal(plat_gpa_map(other, 1, child, 0x50, RW, false), HV_STATUS_ACCESS_DENIED);
	assert_int_equal(plat_gpa_map(other, 1, child, 0x900, RW, false), HV_STATUS_ACCESS_DENIED);
}

static void test_device_pages(void **state)
{
	uint32_t flushes;
	char byte;

	(void)state;
	assert_int_equal(map(1, 0xfec00, RW | HV_MAP_GPA_NOT_CACHED), HV_STATUS_SUCCESS);
	assert_int_equal(map_large(512, 0x80000, RW), HV_STATUS_SUCCESS);
	assert_int_equal(fault(1, HV_MAP_GPA_WRITABLE), GPA_FAULT_RESOLVED);
	assert_int_equal(fault(1023, HV_MAP_GPA_WRITABLE), GPA_FAULT_RESOLVED);
	assert_false(plat_gpa_read(child, (gpa_t){0x1000}, &byte,
				   1)); /* the hypervisor does not touch devices */
	assert_false(plat_gpa_writable(child, 1));
	ram_check();
	assert_int_equal(plat_gpa_unmap(child, 1, false), HV_STATUS_SUCCESS);
	assert_int_equal(plat_gpa_unmap(child, 600, false), HV_STATUS_SUCCESS);
	plat_gpa_flush(child);
	flushes = ram_flushes;
	assert_int_equal(plat_gpa_unmap(child, 602, false),
			 HV_STATUS_SUCCESS); /* no page to settle, but a translation */
	plat_gpa_flush(child);
	assert_int_equal(ram_flushes, flushes + 1);
	assert_int_equal(fault(600, HV_MAP_GPA_WRITABLE), GPA_FAULT_UNMAPPED);
	assert_int_equal(fault(601, HV_MAP_GPA_WRITABLE), GPA_FAULT_RESOLVED);
}

/*
 * As long as an LP may reach the page by an old translation it counts as mapped, and the root
 * cannot deposit it.
 */
static void test_unmap_counts_until_flush(void **state)
{
	(void)state;
	assert_int_equal(map(1, 0x50, RW), HV_STATUS_SUCCESS);
	assert_true(ram_touch(child, 1, HV_MAP_GPA_WRITABLE));
	assert_int_equal(plat_page_deposit(&ram_root, 0x50, other), HV_STATUS_OBJECT_IN_USE);
	assert_int_equal(plat_gpa_unmap(child, 1, false), HV_STATUS_SUCCESS);
	ram_check();
	assert_int_equal(plat_page_deposit(&ram_root, 0x50, other), HV_STATUS_OBJECT_IN_USE);
	plat_gpa_flush(child);
	assert_int_equal(plat_page_deposit(&ram_root, 0x50, other), HV_STATUS_SUCCESS);
}

static void test_flush_only_when_needed(void **state)
{
	uint64_t generation = gpa_generation(child);
	uint32_t flushes = ram_flushes;

	(void)state;
	assert_int_equal(map(1, 0x50, RW), HV_STATUS_SUCCESS);
	plat_gpa_flush(child);
	assert_int_equal(ram_flushes, flushes); /* a new translation can be in no TLB */
	assert_int_equal(map(1, 0x50, HV_MAP_GPA_READABLE), HV_STATUS_SUCCESS);
	plat_gpa_flush(child);
	plat_gpa_flush(child);
	assert_int_equal(ram_flushes, flushes + 1);
	assert_int_equal(gpa_generation(child), generation + 1);
}

static void test_remap(void **state)
{
	(void)state;
	assert_int_equal(map(1, 0x50, RW), HV_STATUS_SUCCESS);
	assert_int_equal(map(1, 0x51, RW), HV_STATUS_SUCCESS);
	assert_int_equal(map(1, 0x51, HV_MAP_GPA_READABLE), HV_STATUS_SUCCESS);
	ram_check();
	plat_gpa_flush(child);
	assert_int_equal(memory_page(0x50)->count, 0);
	assert_int_equal(memory_page(0x51)->count, 1);
	assert_int_equal(fault(1, HV_MAP_GPA_WRITABLE), GPA_FAULT_ACCESS);
	assert_int_equal(map(2, 0x51, RW), HV_STATUS_SUCCESS); /* twice */
	assert_int_equal(memory_page(0x51)->count, 2);
}

static void test_large_page(void **state)
{
	uint64_t free = plat_pool_count(child);
	char byte;

	(void)state;
	assert_int_equal(map_large(0x400, 0x400, RW), HV_STATUS_SUCCESS);
	assert_int_equal(plat_pool_count(child), free - 2); /* no table of level 0 */
	assert_int_equal(memory_page(0x5ff)->count, 1);
	memset(plat_spa_ptr((spa_t){0x5ff123}), 'x', 1);
	assert_true(plat_gpa_read(child, (gpa_t){0x5ff123}, &byte, 1));
	assert_int_equal(byte, 'x');
	/* One page goes; the others stay. */
	assert_int_equal(plat_gpa_unmap(child, 0x455, false), HV_STATUS_SUCCESS);
	assert_int_equal(plat_pool_count(child), free - 3);
	assert_int_equal(fault(0x455, HV_MAP_GPA_READABLE), GPA_FAULT_UNMAPPED);
	assert_int_equal(fault(0x454, HV_MAP_GPA_WRITABLE), GPA_FAULT_RESOLVED);
	ram_check();
	/* A large one over the parts. */
	assert_int_equal(map_large(0x400, 0x400, HV_MAP_GPA_READABLE), HV_STATUS_SUCCESS);
	plat_gpa_flush(child);
	assert_int_equal(plat_pool_count(child), free - 2);
	assert_int_equal(memory_page(0x455)->count, 1);
	assert_int_equal(memory_page(0x456)->count, 1);
	assert_int_equal(fault(0x455, HV_MAP_GPA_WRITABLE), GPA_FAULT_ACCESS);
	assert_int_equal(plat_gpa_unmap(child, 0x400, true), HV_STATUS_SUCCESS);
	plat_gpa_flush(child);
	assert_int_equal(plat_pool_count(child), free);
	assert_int_equal(memory_page(0x400)->count, 0);
}

static void test_large_unmap_of_small_pages(void **state)
{
	uint64_t free = plat_pool_count(child);

	(void)state;
	assert_int_equal(plat_gpa_unmap(child, 0x400, true), HV_STATUS_SUCCESS); /* nothing there */
	for (uint64_t i = 0; i < 3; i++) {
		assert_int_equal(map(0x400 + 255 * i, 0x50, RW), HV_STATUS_SUCCESS);
	}
	assert_int_equal(plat_gpa_unmap(child, 0x400, true), HV_STATUS_SUCCESS);
	plat_gpa_flush(child);
	assert_int_equal(plat_pool_count(child), free);
	assert_int_equal(memory_page(0x50)->count, 0);
}

/*
 * 512 translations and more leave in one batch: they do not all fit the list of those that wait for
 * the flush.
 */
static void test_more_unmaps_than_pending_has_room(void **state)
{
	(void)state;
	for (uint64_t gpn = 0; gpn < 700; gpn++) {
		assert_int_equal(map(gpn, 0x100 + gpn, RW), HV_STATUS_SUCCESS);
	}
	for (uint64_t gpn = 0; gpn < 700; gpn++) {
		assert_int_equal(plat_gpa_unmap(child, gpn, false), HV_STATUS_SUCCESS);
	}
	ram_check();
	plat_gpa_flush(child);
	for (uint64_t gpn = 0; gpn < 700; gpn++) {
		assert_int_equal(memory_page(0x100 + gpn)->count, 0);
	}
}

/* Runs out of pages at each possible point: refused, and then nothing has changed. */
static void test_shortage_changes_nothing(void **state)
{
	void *kept[16];
	int count = 0;

	(void)state;
	while ((kept[count] = plat_page_alloc(child)) != NULL) {
		count++;
	}
	for (int given = 0; given < 3; given++) {
		assert_int_equal(map(0x1000, 0x50, RW), HV_STATUS_INSUFFICIENT_MEMORY);
		assert_int_equal(map(0x1000, 0, HV_MAP_GPA_NO_ACCESS),
				 HV_STATUS_INSUFFICIENT_MEMORY);
		assert_int_equal(plat_gpa_unmap(child, 0x1000, false),
				 HV_STATUS_SUCCESS); /* nothing there: needs none */
		plat_gpa_flush(child);
		assert_int_equal(plat_pool_count(child), given);
		assert_int_equal(memory_page(0x50)->count, 0);
		assert_int_equal(fault(0x1000, HV_MAP_GPA_READABLE), GPA_FAULT_UNMAPPED);
		ram_check();
		plat_page_free(child, kept[--count]);
	}
	assert_int_equal(map(0x1000, 0x50, RW), HV_STATUS_SUCCESS);
	assert_int_equal(plat_pool_count(child), 0);
	assert_int_equal(map(0x1001, 0x51, RW), HV_STATUS_SUCCESS);
}

/* Splitting a large page needs a page as well. */
static void test_shortage_when_splitting(void **state)
{
	uint8_t access;

	(void)state;
	assert_int_equal(map_large(0x400, 0x400, RW), HV_STATUS_SUCCESS);
	assert_true(ram_touch(child, 0x400, HV_MAP_GPA_WRITABLE));
	while (plat_page_alloc(child) != NULL)
		;
	assert_int_equal(plat_gpa_unmap(child, 0x401, false), HV_STATUS_INSUFFICIENT_MEMORY);
	assert_int_equal(map(0x401, 0x50, RW), HV_STATUS_INSUFFICIENT_MEMORY);
	assert_int_equal(plat_gpa_access_state(child, 0x401, CLEAR_DIRTY, &access),
			 HV_STATUS_INSUFFICIENT_MEMORY);
	assert_int_equal(fault(0x401, HV_MAP_GPA_WRITABLE), GPA_FAULT_RESOLVED);
	assert_int_equal(memory_page(0x50)->count, 0);
	assert_int_equal(memory_page(0x401)->count, 1);
	assert_int_equal(plat_gpa_unmap(child, 0x400, true),
			 HV_STATUS_SUCCESS); /* taking away needs none */
}

static void test_accessed_and_dirty(void **state)
{
	char byte;

	(void)state;
	assert_int_equal(map(1, 0x50, RW), HV_STATUS_SUCCESS);
	assert_int_equal(state_of(1, 0), 0);
	assert_true(plat_gpa_read(child, (gpa_t){0x1000}, &byte, 1));
	assert_int_equal(state_of(1, 0), 1);
	assert_true(plat_gpa_write(child, (gpa_t){0x1000}, &byte, 1));
	assert_int_equal(state_of(1, CLEAR_DIRTY), 3);
	assert_int_equal(state_of(1, CLEAR_ACCESSED), 1);
	assert_int_equal(state_of(1, SET_DIRTY), 0);
	assert_int_equal(state_of(1, 0), 2);
	assert_int_equal(state_of(2, CLEAR_DIRTY), 0); /* unmapped */
	assert_int_equal(plat_gpa_access_state(child, 1, 16, (uint8_t *)&byte),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(plat_gpa_access_state(child, 1ull << 24, 0, (uint8_t *)&byte),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(plat_gpa_access_state(&ram_root, 1, 0, (uint8_t *)&byte),
			 HV_STATUS_OPERATION_DENIED);
}

/* A large page that was written counts as 512 dirty pages, and each is cleared by itself. */
static void test_dirty_of_large_page(void **state)
{
	(void)state;
	assert_int_equal(map_large(0x400, 0x400, RW), HV_STATUS_SUCCESS);
	assert_true(ram_touch(child, 0x400, HV_MAP_GPA_WRITABLE));
	assert_int_equal(state_of(0x410, CLEAR_DIRTY), 3);
	assert_int_equal(state_of(0x411, CLEAR_DIRTY), 3);
	assert_int_equal(state_of(0x410, 0), 1);
	assert_int_equal(state_of(0x412, 0), 3);
	/*
	 * The bit that was cleared may be set in a TLB: only after a flush will it be set again by
	 * a write.
	 */
	assert_int_equal(ram_flushes, 1);
	plat_gpa_flush(child);
	assert_int_equal(ram_flushes, 2);
}

/* After a look at a large page that nobody has written, each page of it has a state of its own. */
static void test_large_page_is_watched_page_by_page(void **state)
{
	uint64_t free;

	(void)state;
	assert_int_equal(map_large(0x400, 0x400, RW), HV_STATUS_SUCCESS);
	free = plat_pool_count(child);
	assert_int_equal(state_of(0x410, 0), 0);
	assert_int_equal(plat_pool_count(child), free);
	assert_int_equal(state_of(0x400, CLEAR_DIRTY), 0);
	assert_int_equal(plat_pool_count(child), free - 1);
	plat_gpa_flush(child);
	assert_true(ram_touch(child, 0x410, HV_MAP_GPA_WRITABLE));
	for (uint64_t i = 0; i < 512; i++) {
		assert_int_equal(state_of(0x400 + i, CLEAR_DIRTY), i == 0x10 ? 3 : 0);
	}
}

/* Pages that were reached just before are remembered, and not one moment too long. */
static void test_no_access_by_what_was(void **state)
{
	uint8_t access;
	char byte = 'x';

	(void)state;
	assert_int_equal(map(1, 0x50, RW), HV_STATUS_SUCCESS);
	assert_true(plat_gpa_write(child, (gpa_t){0x1000}, &byte, 1));
	assert_int_equal(map(1, 0x51, RW), HV_STATUS_SUCCESS);
	assert_true(plat_gpa_write(child, (gpa_t){0x1000}, &byte, 1));
	assert_int_equal(*(char *)plat_spa_ptr((spa_t){0x51000}), 'x');
	assert_int_equal(state_of(1, CLEAR_DIRTY), 3);
	assert_true(plat_gpa_write(child, (gpa_t){0x1000}, &byte, 1));
	assert_int_equal(state_of(1, 0), 3); /* dirty again */
	assert_int_equal(map(1, 0x51, HV_MAP_GPA_READABLE), HV_STATUS_SUCCESS);
	assert_false(plat_gpa_write(child, (gpa_t){0x1000}, &byte, 1));
	assert_true(plat_gpa_read(child, (gpa_t){0x1000}, &byte, 1));
	assert_false(plat_gpa_write(child, (gpa_t){0x1000}, &byte, 1));
	assert_int_equal(plat_gpa_unmap(child, 1, false), HV_STATUS_SUCCESS);
	assert_false(plat_gpa_read(child, (gpa_t){0x1000}, &byte, 1));
	assert_int_equal(plat_gpa_access_state(child, 1, 0, &access), HV_STATUS_SUCCESS);
	assert_int_equal(access, 0);
}

/* A new map in the place of an old one. */
static void test_no_access_by_an_older_map(void **state)
{
	char byte;

	(void)state;
	assert_int_equal(map(1, 0x50, RW), HV_STATUS_SUCCESS);
	assert_true(plat_gpa_read(child, (gpa_t){0x1000}, &byte, 1));
	ram_destroy(child);
	ram_create(child);
	assert_false(plat_gpa_read(child, (gpa_t){0x1000}, &byte, 1));
}

static void test_destroy_gives_all_back(void **state)
{
	uint64_t gpn;

	(void)state;
	for (uint64_t i = 0; i < 3; i++) {
		assert_int_equal(map(i << 18, 0x50 + i, RW), HV_STATUS_SUCCESS);
	}
	assert_int_equal(map_large(0x400, 0x400, RW), HV_STATUS_SUCCESS);
	assert_true(ram_touch(child, 0x400, HV_MAP_GPA_WRITABLE));
	ram_destroy(child);
	assert_int_equal(plat_pool_count(child), 16);
	assert_int_equal(memory_page(0x50)->count, 0);
	assert_int_equal(memory_page(0x400)->count, 0);
	for (int i = 0; i < 16; i++) {
		assert_int_equal(plat_page_withdraw(child, &ram_root, &gpn), HV_STATUS_SUCCESS);
	}
	assert_int_equal(plat_deposit_count(child), 0);
}

static void test_destroy_is_bounded(void **state)
{
	int calls = 1;

	(void)state;
	for (uint64_t gpn = 0; gpn < 3000; gpn++) {
		assert_int_equal(map(gpn, 0x50, RW), HV_STATUS_SUCCESS);
	}
	while (!gpa_destroy(gpa_of(child))) {
		ram_check();
		calls++;
	}
	child->home = NULL;
	assert_true(calls > 2);
	assert_int_equal(plat_pool_count(child), 16);
}

static void test_destroy_of_large_pages_is_bounded(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 20; i++) {
		assert_int_equal(map_large(i << 9, 0x200, RW), HV_STATUS_SUCCESS);
	}
	assert_false(gpa_destroy(gpa_of(child)));
	assert_int_equal(memory_page(0x200)->count, 4);
	ram_destroy(child);
	assert_int_equal(memory_page(0x200)->count, 0);
}

static void test_create_without_pages(void **state)
{
	(void)state;
	ram_deposit(other, 0x40, 1);
	ram_create(other);
	assert_null(other->home);
	assert_int_equal(plat_pool_count(other), 1);
}

/* Table entry in page 1, what it leads to in page 2. */
static void make_trail(struct gpa_trail *trail)
{
	char text[GPA_TRAIL_BYTES] = "way";
	uint64_t word = 7;

	assert_int_equal(map(1, 0x50, RW), HV_STATUS_SUCCESS);
	assert_int_equal(map(2, 0x51, RW), HV_STATUS_SUCCESS);
	assert_true(plat_gpa_write(child, (gpa_t){0x1ff8}, &word, sizeof(word)));
	assert_true(plat_gpa_write(child, (gpa_t){0x2ff0}, text, sizeof(text)));
	gpa_trail_begin(trail);
	word = 0;
	assert_true(gpa_trail_word(child, trail, (gpa_t){0x1ff8}, &word));
	assert_int_equal(word, 7);
	assert_true(gpa_trail_end(child, trail, (gpa_t){0x2000}, text, 1));
}

static void test_trail_shows_what_is_there_now(void **state)
{
	uint8_t bytes[GPA_TRAIL_BYTES];
	struct gpa_trail trail;
	uint64_t word = 8;

	(void)state;
	make_trail(&trail);
	assert_true(gpa_trail_follow(&trail, 0xff0, bytes));
	assert_string_equal((char *)bytes, "way");
	assert_true(plat_gpa_write(child, (gpa_t){0x2ff0}, "new", 4));
	assert_true(gpa_trail_follow(&trail, 0xff0, bytes));
	assert_string_equal((char *)bytes, "new");
	assert_true(plat_gpa_write(child, (gpa_t){0x1ff8}, &word, sizeof(word)));
	assert_false(gpa_trail_follow(&trail, 0xff0, bytes));
}

static void test_no_trail_over_what_was_taken_away(void **state)
{
	uint8_t bytes[GPA_TRAIL_BYTES];
	struct gpa_trail trail;
	uint64_t word;

	(void)state;
	make_trail(&trail);
	assert_int_equal(plat_gpa_unmap(child, 2, false), HV_STATUS_SUCCESS);
	assert_false(gpa_trail_follow(&trail, 0, bytes));
	plat_gpa_flush(child);
	make_trail(&trail);
	/* Another page where the entry was. */
	assert_int_equal(map(1, 0x52, RW), HV_STATUS_SUCCESS);
	assert_false(gpa_trail_follow(&trail, 0, bytes));
	/* One that never came to its end. */
	gpa_trail_begin(&trail);
	assert_true(gpa_trail_word(child, &trail, (gpa_t){0x1ff8}, &word));
	assert_false(gpa_trail_follow(&trail, 0, bytes));
	assert_false(gpa_trail_end(child, &trail, (gpa_t){0x5000}, bytes, 1));
	assert_false(gpa_trail_follow(&trail, 0, bytes));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, boot, ram_end_test)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_read_and_write_reach_the_page),
		TEST(test_a_word_is_exchanged_if_it_is_still_there),
		TEST(test_nothing_is_mapped_at_first),
		TEST(test_rights),
		TEST(test_no_access_is_not_unmapped),
		TEST(test_refusals),
		TEST(test_child_gives_nothing),
		TEST(test_device_pages),
		TEST(test_unmap_counts_until_flush),
		TEST(test_flush_only_when_needed),
		TEST(test_remap),
		TEST(test_large_page),
		TEST(test_large_unmap_of_small_pages),
		TEST(test_more_unmaps_than_pending_has_room),
		TEST(test_shortage_changes_nothing),
		TEST(test_shortage_when_splitting),
		TEST(test_accessed_and_dirty),
		TEST(test_dirty_of_large_page),
		TEST(test_large_page_is_watched_page_by_page),
		TEST(test_no_access_by_what_was),
		TEST(test_no_access_by_an_older_map),
		TEST(test_trail_shows_what_is_there_now),
		TEST(test_no_trail_over_what_was_taken_away),
		TEST(test_destroy_gives_all_back),
		TEST(test_destroy_is_bounded),
		TEST(test_destroy_of_large_pages_is_bounded),
		TEST(test_create_without_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
