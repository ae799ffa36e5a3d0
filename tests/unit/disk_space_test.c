/*
 * What a disk takes while nobody flushes: space of the file that was freed, and tables in memory
 * that differ from the file, have a bound. And what others wait for while it is flushed.
 */
#include "tests/fake/part.h"
#include "tests/unit/disk_fake.h"

#include "disk/chain.h"
#include "disk/disk.h"
#include "disk/layer.h"
#include "disk/units.h"
#include "disk/vhd.h"
#include "disk/vhdx.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint8_t buffer[2 << 20];

static struct disk *make_disk(const char *path, const char *parent, uint64_t size, uint32_t block)
{
	struct disk_create how = {.type = parent != NULL ? DISK_DIFFERENCING : DISK_DYNAMIC,
				  .size = size,
				  .block_size = block,
				  .parent = parent};
	struct disk_error error;
	struct disk *disk = NULL;

	if (disk_create(path, &how, &error) || disk_open(path, NULL, &disk, &error)) {
		fail_msg("%s", error.text);
	}
	return disk;
}

static void fill(struct disk *disk, uint64_t from, uint64_t to)
{
	for (; from < to; from += sizeof(buffer)) {
		assert_int_equal(disk_write(disk, buffer, sizeof(buffer), from), 0);
	}
}

/* Write, trim, and again: the largest that the file was. */
static uint64_t fill_and_trim(const char *path, uint64_t size, unsigned times)
{
	uint64_t largest = 0;
	struct disk *disk;

	fake_reset(1);
	disk = make_disk(path, NULL, size, 2 << 20);
	for (; times; times--) {
		fill(disk, 0, size);
		largest = max_u64(largest, fake_size(path));
		assert_int_equal(disk_trim(disk, size, 0), 0);
	}
	assert_int_equal(disk_close(&disk, NULL), 0);
	return largest;
}

/* The disk, a quarter of it or 64 MiB that wait for a flush, and what the file grows by at once. */
static void test_freed_space_comes_back(void **state)
{
	(void)state;
	assert_in_range(fill_and_trim("a.vhdx", 16 * DISK_MIB, 8), 16 * DISK_MIB, 44 * DISK_MIB);
	assert_in_range(fill_and_trim("a.vhd", 16 * DISK_MIB, 8), 16 * DISK_MIB, 44 * DISK_MIB);
	assert_in_range(fill_and_trim("a.vhdx", 256 * DISK_MIB, 2), 256 * DISK_MIB, 390 * DISK_MIB);
	assert_in_range(fill_and_trim("a.vhd", 256 * DISK_MIB, 2), 256 * DISK_MIB, 390 * DISK_MIB);
}

/* A read that does not end keeps what was freed: then the file grows, as far as it must. */
static void test_a_request_keeps_freed_space(void **state)
{
	struct extent held;
	struct layer *layer;
	struct disk *disk;
	unsigned i;

	(void)state;
	fake_reset(1);
	disk = make_disk("a.vhdx", NULL, 16 * DISK_MIB, 2 << 20);
	layer = disk_top(disk);
	fill(disk, 0, 16 * DISK_MIB);
	layer_lock(layer, true);
	assert_int_equal(layer->format->map(layer, 0, 4096, true, &held), 0);
	layer_unlock(layer);
	for (i = 0; i < 4; i++) {
		assert_int_equal(disk_trim(disk, 16 * DISK_MIB, 0), 0);
		fill(disk, 0, 16 * DISK_MIB);
	}
	assert_true(fake_size("a.vhdx") > 64 * DISK_MIB);
	fake_peek("a.vhdx", held.file_offset, buffer, 4096);
	assert_int_equal(buffer[0], 0x11);
	layer_io_end(layer, &held);
	for (i = 0; i < 16; i++) {
		assert_int_equal(disk_trim(disk, 16 * DISK_MIB, 0), 0);
		fill(disk, 0, 16 * DISK_MIB);
	}
	assert_in_range(fake_size("a.vhdx"), 64 * DISK_MIB, 100 * DISK_MIB);
	assert_int_equal(disk_close(&disk, NULL), 0);
}

static void expect_few_searches(const char *path, unsigned step, unsigned most)
{
	uint64_t size = 64 * DISK_MIB, at, run;
	enum disk_status status;
	unsigned pieces;
	struct disk *disk;

	fake_reset(1);
	disk = make_disk(path, NULL, size, 2 << 20);
	for (pieces = 0; pieces < 32; pieces++) { /* no block follows its neighbour in the file */
		at = pieces * step % 32 * (2ull << 20);
		fill(disk, at, at + (2 << 20));
	}
	fake_searches();
	for (at = 0, pieces = 0; at < size; at += run) {
		assert_int_equal(disk_status(disk, at, size - at, &status, &run), 0);
		assert_int_equal(status, DISK_STATUS_DATA);
		pieces++;
	}
	assert_int_equal(pieces, 32);
	assert_in_range(fake_searches(), 1, most);
	assert_int_equal(disk_close(&disk, NULL), 0);
}

/* Once, and not once a block: else a conversion is quadratic where the host goes over all data for
 * it. */
static void test_the_end_of_data_is_looked_for_once(void **state)
{
	(void)state;
	expect_few_searches("a.vhd", 13, 4);
	expect_few_searches("a.vhdx", 13, 4);
	expect_few_searches("a.vhd", 31, 8); /* backwards */
	expect_few_searches("a.vhdx", 31, 8);
}

/* -- Tables -- */

static struct layer *watched;
static uint64_t most_dirty;
static unsigned locked_operations, operations;

/* At each operation on the host: who else could look at the tables now? */
static void look(void)
{
	operations++;
	if (pthread_mutex_trylock(&watched->lock)) {
		locked_operations++;
		return;
	}
	most_dirty = max_u64(most_dirty, watched->format->id == DISK_FORMAT_VHDX
						 ? watched->vhdx->dirty_page_count +
							   watched->vhdx->bat_dirty_count
						 : watched->vhd->dirty_bitmap_count);
	pthread_mutex_unlock(&watched->lock);
}

static const struct fake_tasks looking = {.pause = look};

/* A sector in each block of a large disk, and the next time another one of it. */
static void touch_blocks(struct disk *disk, uint64_t size, uint64_t step, uint64_t at)
{
	for (; at < size; at += step) {
		assert_int_equal(disk_write(disk, buffer, 512, at), 0);
	}
}

static struct disk *make_pair(const char *path, const char *parent, uint64_t size, uint32_t block)
{
	struct disk *disk;

	fake_reset(1);
	disk = make_disk(parent, NULL, size, block);
	assert_int_equal(disk_close(&disk, NULL), 0);
	disk = make_disk(path, parent, size, block);
	watched = disk_top(disk);
	most_dirty = operations = locked_operations = 0;
	return disk;
}

/* Each page of bitmap speaks for 16 MiB. */
static void test_dirty_bitmaps_are_bounded(void **state)
{
	static const uint64_t size = 28 * DISK_GIB;
	struct disk *disk = make_pair("c.vhdx", "p.vhdx", size, 1 << 20);

	(void)state;
	fake_tasks = &looking;
	touch_blocks(disk, size, 16 * DISK_MIB, 0);
	touch_blocks(disk, size, 16 * DISK_MIB, 4096);
	fake_tasks = NULL;
	assert_in_range(most_dirty, 512, 1100);
	assert_in_range(watched->vhdx->pages_loaded, 1, 16384);
	assert_int_equal(disk_close(&disk, NULL), 0);
}

static void test_dirty_bitmaps_of_a_vhd_are_bounded(void **state)
{
	static const uint64_t size = 1500 * DISK_MIB;
	struct disk *disk = make_pair("c.vhd", "p.vhd", size, 512 << 10);

	(void)state;
	fake_tasks = &looking;
	touch_blocks(disk, size, 512 * DISK_KIB, 0);
	fake_tasks = NULL;
	assert_in_range(most_dirty, 1024, 2100);
	assert_int_equal(disk_close(&disk, NULL), 0);
}

/* More pages than a log entry holds, and no operation of the flush with the lock held. */
static void test_a_long_flush_leaves_the_lock(void **state)
{
	static const uint64_t size = 10 * DISK_GIB;
	struct disk *disk = make_pair("c.vhdx", "p.vhdx", size, 1 << 20);
	uint8_t sector[512];
	uint64_t at;

	(void)state;
	touch_blocks(disk, size, 16 * DISK_MIB, 0);
	assert_true(watched->vhdx->dirty_page_count > 4 * watched->vhdx->entry_max);
	fake_record();
	fake_tasks = &looking;
	assert_int_equal(disk_flush(disk), 0);
	fake_tasks = NULL;
	assert_true(operations > 5 * 3);
	assert_int_equal(locked_operations, 0);
	assert_false(layer_is_dirty(watched));
	fake_cuts_begin();
	fake_cut_at(fake_op_count());
	fake_cut_make(1); /* nothing that was not synced */
	assert_int_equal(disk_close(&disk, NULL), 0);
	fake_cut_make(1);
	fake_cuts_end();
	assert_int_equal(
		disk_open("c.vhdx", &(struct disk_open){.flags = DISK_READ_ONLY}, &disk, NULL), 0);
	for (at = 0; at < size; at += 16 * DISK_MIB) {
		assert_int_equal(disk_read(disk, sector, 512, at), 0);
		assert_memory_equal(sector, buffer, 512);
	}
	assert_int_equal(disk_close(&disk, NULL), 0);
}

/*
 * Bitmaps that leave little room in the first entry. It may then hold some pages of the BAT, with
 * partially present blocks, and the second the page that says where their bitmap is: whatever the
 * cut, no block is without it.
 */
static void test_cuts_between_entries(void **state)
{
	struct disk_report report;
	struct disk_error error;
	unsigned variant, room;
	size_t k, count;

	(void)state;
	for (room = 1; room <= 8; room *= 2) {
		struct disk *disk = make_pair("c.vhdx", "p.vhdx", 4 * DISK_GIB, 1 << 20);
		struct fake_state *before;

		assert_int_equal(disk_write(disk, buffer, 512, 0), 0);
		fake_record();
		touch_blocks(disk, 16 * DISK_MIB * (watched->vhdx->entry_max - room), 16 * DISK_MIB,
			     0);
		assert_int_equal(disk_flush(disk), 0);
		count = fake_op_count();
		before = fake_save();
		fake_cuts_begin();
		for (k = 0; k <= count; k = next_place(k, count)) {
			fake_cut_at(k);
			for (variant = 0; variant < 2 && variant < fake_cut_variants(); variant++) {
				fake_cut_make(variant);
				if (disk_check("c.vhdx", DISK_FORMAT_AUTO, false, &report,
					       &error)) {
					fail_msg("cut %zu.%u: %s", k, variant, error.text);
				}
				if (report.damages) {
					fail_msg("cut %zu.%u: %s", k, variant,
						 report.findings[0].text);
				}
				disk_report_free(&report);
			}
		}
		fake_cuts_end();
		fake_restore(before);
		fake_state_free(before);
		assert_int_equal(disk_close(&disk, NULL), 0);
	}
}

static int teardown(void **state)
{
	(void)state;
	fake_tasks = NULL;
	fake_reset(1);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_freed_space_comes_back, teardown),
		cmocka_unit_test_teardown(test_a_request_keeps_freed_space, teardown),
		cmocka_unit_test_teardown(test_the_end_of_data_is_looked_for_once, teardown),
		cmocka_unit_test_teardown(test_dirty_bitmaps_are_bounded, teardown),
		cmocka_unit_test_teardown(test_dirty_bitmaps_of_a_vhd_are_bounded, teardown),
		cmocka_unit_test_teardown(test_a_long_flush_leaves_the_lock, teardown),
		cmocka_unit_test_teardown(test_cuts_between_entries, teardown),
	};

	memset(buffer, 0x11, sizeof(buffer));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
