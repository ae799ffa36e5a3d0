/*
 * Corruption. Every byte of the headers and tables is flipped in turn. Opening and reading must
 * then end: with a clear error, or with the right data, or (where a byte of the table itself was
 * moved within what is valid) with some data; never with a crash, a hang, or a write to a file that
 * was opened for reading.
 */
#include "tests/unit/disk_fake.h"

#include "disk/bytes.h"
#include "disk/disk.h"
#include "disk/error.h"
#include "disk/units.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define SIZE (4u << 20)

static uint8_t truth[SIZE], data[8192];
static unsigned refused, right, other;

static void make(const char *path, enum disk_type type, const char *parent)
{
	struct disk_create how = {
		.type = type, .size = SIZE, .block_size = 1 << 20, .parent = parent};
	struct disk_error error;
	struct disk *disk;

	if (disk_create(path, &how, &error)) {
		fail_msg("%s", error.text);
	}
	assert_int_equal(disk_open(path, NULL, &disk, &error), 0);
	assert_int_equal(disk_write(disk, truth + 700, 3000, 700), 0);
	assert_int_equal(disk_write(disk, truth + (1 << 20), 1 << 20, 1 << 20), 0);
	assert_int_equal(disk_write(disk, truth + (3 << 20) + 512, 512, (3 << 20) + 512), 0);
	assert_int_equal(disk_close(&disk, &error), 0);
}

static void fill_truth(void)
{
	uint32_t i;

	memset(truth, 0, sizeof(truth));
	for (i = 700; i < 3700; i++) {
		truth[i] = (uint8_t)(i * 7 + 1);
	}
	for (i = 1 << 20; i < 2 << 20; i++) {
		truth[i] = (uint8_t)(i * 13 + i / 997);
	}
	for (i = (3 << 20) + 512; i < (3 << 20) + 1024; i++) {
		truth[i] = (uint8_t)(i * 3 + 5);
	}
}

/* Reads where there is data, and around it. */
static int compare(struct disk *disk, bool *same)
{
	static const struct {
		uint32_t offset, length;
	} parts[] = {{0, 8192}, {1 << 20, 8192}, {(2 << 20) - 4096, 8192}, {(3 << 20) - 512, 4096}};
	unsigned i;
	int ret = 0;

	*same = true;
	for (i = 0; i < 4 && !ret; i++) {
		ret = disk_read(disk, data, parts[i].length, parts[i].offset);
		*same &= !ret && !memcmp(data, truth + parts[i].offset, parts[i].length);
	}
	return ret;
}

/* Opens, reads, looks at everything, closes. */
static void examine(const char *path)
{
	struct disk_error error = {0};
	struct disk_info info;
	struct disk *disk;
	bool same;
	int ret;

	fake_writes();
	ret = disk_open(path, &(struct disk_open){.flags = DISK_READ_ONLY}, &disk, &error);
	if (ret) {
		refused++;
		assert_true(ret < 0 && error.code == ret && strlen(error.text) > 10);
		assert_int_equal(fake_writes(), 0);
		return;
	}
	disk_get_info(disk, 0, &info);
	*(disk_size(disk) == SIZE && !compare(disk, &same) && same ? &right : &other) += 1;
	disk_close(&disk, NULL);
	assert_int_equal(fake_writes(), 0);
}

static void flip_range(const char *path, uint64_t from, uint64_t to, uint64_t step)
{
	uint64_t at;

	for (at = from; at < to && at < fake_size(path); at += step) {
		uint8_t before, flipped;

		fake_peek(path, at, &before, 1);
		flipped = before ^ (uint8_t)(1u << at % 8);
		fake_poke(path, at, &flipped, 1);
		examine(path);
		fake_poke(path, at, &before, 1);
	}
}

static void start(void)
{
	fake_reset(1);
	fill_truth();
	refused = right = other = 0;
}

static void test_vhdx(void **state)
{
	(void)state;
	start();
	make("a.vhdx", DISK_DYNAMIC, NULL);
	flip_range("a.vhdx", 0, 600, 1);                       /* identifier */
	flip_range("a.vhdx", 64 << 10, (64 << 10) + 128, 1);   /* header 1 */
	flip_range("a.vhdx", 128 << 10, (128 << 10) + 128, 1); /* header 2 */
	flip_range("a.vhdx", 192 << 10, (192 << 10) + 96, 1);  /* region table 1 */
	flip_range("a.vhdx", 256 << 10, (256 << 10) + 96, 1);  /* region table 2 */
	assert_int_equal(other, 0);                         /* all that has a copy or a checksum */
	assert_true(right > 500 && refused == 8);           /* the signature has no copy */
	flip_range("a.vhdx", 1 << 20, (1 << 20) + 8192, 7); /* the log, which is not in use */
	assert_int_equal(other, 0);
	flip_range("a.vhdx", 2 << 20, (2 << 20) + 224, 1); /* metadata table */
	flip_range("a.vhdx", (2 << 20) + 65536, (2 << 20) + 65536 + 64, 1);
	flip_range("a.vhdx", 3 << 20, (3 << 20) + 64, 1); /* block table */
	assert_true(refused > 60);
}

static void test_vhdx_differencing(void **state)
{
	(void)state;
	start();
	make("p.vhdx", DISK_DYNAMIC, NULL);
	make("c.vhdx", DISK_DIFFERENCING, "p.vhdx");
	flip_range("c.vhdx", 64 << 10, (64 << 10) + 128, 1);
	assert_int_equal(other, 0);
	flip_range("c.vhdx", 2 << 20, (2 << 20) + 256, 1);
	/* Items and the locator. */
	flip_range("c.vhdx", (2 << 20) + 65536, (2 << 20) + 65536 + 512, 1);
	flip_range("c.vhdx", 3 << 20, (3 << 20) + 64, 1);
	flip_range("c.vhdx", (3 << 20) + 4096 * 8, (3 << 20) + 4096 * 8 + 16, 1);
	assert_true(refused > 100 && right > 100);
}

/* A file that was cut off has a log in use: each byte of its one entry counts. */
static void test_vhdx_log(void **state)
{
	struct disk_error error;
	struct disk *disk;
	static const uint8_t blank[8];

	(void)state;
	start();
	make("a.vhdx", DISK_DYNAMIC, NULL);
	assert_int_equal(disk_open("a.vhdx", NULL, &disk, &error), 0);
	memset(truth + (2 << 20), 0xa5, 512);
	assert_int_equal(disk_write(disk, truth + (2 << 20), 512, 2 << 20), 0);
	fake_record();
	assert_int_equal(disk_flush(disk), 0);
	/* Undo what the flush wrote in place after its entry was durable: only the log knows
	 * now. */
	fake_poke("a.vhdx", (3 << 20) + 16, blank, sizeof(blank));
	examine("a.vhdx");
	assert_true(right == 1);
	flip_range("a.vhdx", 1 << 20, (1 << 20) + 4096, 1); /* the entry before */
	assert_true(right == 4097);
	/* A last entry that is broken was never durable: then the flush has not been. */
	memset(truth + (2 << 20), 0, 512);
	flip_range("a.vhdx", (1 << 20) + 4096, (1 << 20) + 3 * 4096, 3);
	assert_int_equal(refused + other, 0);
	disk_close(&disk, NULL);
}

static void test_vhd(void **state)
{
	(void)state;
	start();
	make("a.vhd", DISK_DYNAMIC, NULL);
	flip_range("a.vhd", 0, 512, 1); /* footer copy */
	flip_range("a.vhd", fake_size("a.vhd") - 512, fake_size("a.vhd"), 1);
	assert_int_equal(other, 0);
	assert_true(right == 1024);
	flip_range("a.vhd", 512, 1536, 1); /* header */
	assert_int_equal(other, 0);
	assert_true(refused == 1024);
	flip_range("a.vhd", 1536, 1536 + 32, 1);
	assert_true(refused > 1024);
}

static void test_vhd_fixed_and_differencing(void **state)
{
	(void)state;
	start();
	make("f.vhd", DISK_FIXED, NULL);
	flip_range("f.vhd", SIZE, SIZE + 512, 1);
	assert_int_equal(other, 0);
	make("p.vhd", DISK_DYNAMIC, NULL);
	make("c.vhd", DISK_DIFFERENCING, "p.vhd");
	flip_range("c.vhd", 0, 1536, 1);
	flip_range("c.vhd", 1536, 1536 + 256, 1);
	flip_range("c.vhd", 9728, 9728 + 32, 1);
	assert_true(refused > 700);
}

/* Cut short at many lengths: refused, or right when nothing that counts is missing. */
static void truncate_everywhere(const char *path)
{
	struct fake_state *whole = fake_save();
	uint64_t size = fake_size(path), length;

	for (length = 0; length < size; length += 65536 - 512 * (length % 5)) {
		fake_restore(whole);
		fake_shrink(path, length);
		examine(path);
	}
	assert_int_equal(other, 0);
	fake_restore(whole);
	fake_state_free(whole);
}

static void test_truncated(void **state)
{
	(void)state;
	start();
	make("a.vhdx", DISK_DYNAMIC, NULL);
	truncate_everywhere("a.vhdx");
	assert_true(refused > 50);
	start();
	make("a.vhd", DISK_DYNAMIC, NULL);
	truncate_everywhere("a.vhd");
	assert_true(refused > 20);
}

/* Repair: what is found is mended, and the second look finds nothing. */
static void look_again(const char *path)
{
	struct disk_report report;
	struct disk_error error;

	assert_int_equal(disk_check(path, DISK_FORMAT_AUTO, 0, &report, &error), 0);
	if (report.damages) {
		fail_msg("still: %s", report.findings[0].text);
	}
	disk_report_free(&report);
	other = 0;
	examine(path);
}

static void damage_and_repair(const char *path, uint64_t at, const void *bytes, size_t length)
{
	struct disk_report report;
	struct disk_error error;

	fake_poke(path, at, bytes, length);
	assert_int_equal(disk_check(path, DISK_FORMAT_AUTO, 0, &report, &error), 0);
	assert_true(report.damages > 0 && !report.repaired);
	disk_report_free(&report);
	if (disk_check(path, DISK_FORMAT_AUTO, DISK_REPAIR, &report, &error)) {
		fail_msg("%s", error.text);
	}
	assert_true(report.damages > 0 && report.repaired >= report.damages && !report.dropped);
	assert_null(report.saved);
	disk_report_free(&report);
	look_again(path);
	assert_int_equal(other, 0);
}

/*
 * An entry that has to go. Without leave nothing is written; with it, what the file has (`length`
 * bytes at `place`, which nothing points to any more) is in another file at the same place, and so
 * is the table.
 */
static void damage_and_drop(const char *path, uint64_t at, const void *bytes, size_t length,
			    uint64_t place)
{
	static uint8_t block[1 << 20], saved[1 << 20], table[8];
	struct disk_report report;
	struct disk_error error;

	fake_poke(path, at, bytes, length);
	fake_peek(path, place, block, sizeof(block));
	assert_true(!place || !is_all_zero(block, sizeof(block)));
	fake_writes();
	assert_int_equal(disk_check(path, DISK_FORMAT_AUTO, DISK_REPAIR, &report, &error),
			 -EUCLEAN);
	assert_true(report.dropped == 1 && report.count > 0 && !report.repaired);
	assert_non_null(strstr(error.text, "--force"));
	assert_int_equal(fake_writes(), 0);
	disk_report_free(&report);
	if (disk_check(path, DISK_FORMAT_AUTO, DISK_REPAIR | DISK_REPAIR_DROP, &report, &error)) {
		fail_msg("%s", error.text);
	}
	assert_true(report.dropped == 1 && report.repaired >= report.damages);
	assert_non_null(report.saved);
	fake_peek(report.saved, place, saved, sizeof(saved));
	assert_true(!place || !memcmp(block, saved, sizeof(block)));
	fake_peek(report.saved, at, table, length);
	assert_memory_equal(table, bytes, length);
	disk_report_free(&report);
	look_again(path);
	assert_int_equal(other, 1);
}

static uint64_t entry_of(const char *path, unsigned block)
{
	uint64_t entry;

	fake_peek(path, (3 << 20) + 8 * block, &entry, sizeof(entry));
	return entry;
}

static void test_repair(void **state)
{
	static const uint8_t junk[8] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f};

	(void)state;
	start();
	make("a.vhdx", DISK_DYNAMIC, NULL);
	damage_and_repair("a.vhdx", 64 << 10, junk, 8); /* either header, */
	damage_and_repair("a.vhdx", 128 << 10, junk, 8);
	damage_and_repair("a.vhdx", (192 << 10) + 20, junk, 8); /* either region table, */
	damage_and_repair("a.vhdx", (256 << 10) + 20, junk, 8);
	start();
	make("a.vhd", DISK_DYNAMIC, NULL);
	damage_and_repair("a.vhd", 4, junk, 8);
	damage_and_repair("a.vhd", fake_size("a.vhd") - 500, junk, 8);
}

/* A state that cannot be, of a block that is there: the block stays. */
static void test_repair_keeps(void **state)
{
	static const uint8_t states[] = {4, 7};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(states); i++) {
		uint64_t entry;

		start();
		make("a.vhdx", DISK_DYNAMIC, NULL);
		entry = (entry_of("a.vhdx", 1) & ~7ull) | states[i];
		damage_and_repair("a.vhdx", (3 << 20) + 8, &entry, 8);
	}
	/* Not where a good entry has it: that one is believed, wherever it stands in the table. */
	start();
	make("a.vhdx", DISK_DYNAMIC, NULL);
	{
		uint64_t entry = (entry_of("a.vhdx", 1) & ~7ull) | 4;

		damage_and_drop("a.vhdx", 3 << 20, &entry, 8, entry_of("a.vhdx", 0) & ~7ull);
	}
}

static void test_repair_drops(void **state)
{
	uint64_t outside = (6ull << 40) | 6, other_block, place;
	uint32_t place_512, outside_512 = 0x7f000000;

	(void)state;
	start();
	make("a.vhdx", DISK_DYNAMIC, NULL);
	place = entry_of("a.vhdx", 1) & ~7ull;
	damage_and_drop("a.vhdx", (3 << 20) + 8, &outside, 8, place);
	start();
	make("a.vhdx", DISK_DYNAMIC, NULL);
	other_block = entry_of("a.vhdx", 0);
	damage_and_drop("a.vhdx", (3 << 20) + 8, &other_block, 8, entry_of("a.vhdx", 1) & ~7ull);
	start();
	make("a.vhd", DISK_DYNAMIC, NULL);
	fake_peek("a.vhd", 1536 + 4, &place_512, 4);
	damage_and_drop("a.vhd", 1536 + 4, &outside_512, 4,
			(uint64_t)__builtin_bswap32(place_512) * 512);
	start();
	make("a.vhd", DISK_DYNAMIC, NULL);
	damage_and_drop("a.vhd", 1536, "\0\0\0\1", 4, 0); /* a block over the header */
}

/* Whatever write of a repair fails: the report still says what was found, and nothing of it counts
 * as repaired. */
static void test_repair_fails(void **state)
{
	uint64_t outside = (6ull << 40) | 6;
	struct fake_state *bad;
	bool failed = true;
	unsigned n;

	(void)state;
	start();
	make("a.vhdx", DISK_DYNAMIC, NULL);
	fake_poke("a.vhdx", (3 << 20) + 8, &outside, 8);
	bad = fake_save();
	for (n = 1; failed; n++) {
		struct disk_report report;
		struct disk_error error;
		int ret;

		fake_restore(bad);
		fake_fail_after(n);
		ret = disk_check("a.vhdx", DISK_FORMAT_AUTO, DISK_REPAIR | DISK_REPAIR_DROP,
				 &report, &error);
		failed = fake_failed();
		fake_fail_after(0);
		assert_true(!failed == !ret);
		assert_true(report.damages == 1 && report.count >= 1 && report.dropped == 1);
		assert_true(report.repaired == (failed ? 0u : 1u));
		disk_report_free(&report);
	}
	assert_true(n > 10);
	fake_state_free(bad);
}

/* What is saved of a file whose log is pending is what the repair began with: the file with its log
 * in place. */
static void test_drop_with_log(void **state)
{
	struct disk_create how = {.type = DISK_DYNAMIC, .size = 1 << 30, .block_size = 1 << 20};
	const uint64_t first = 3 << 20, second = first + DISK_PAGE;
	uint64_t outside = (6ull << 40) | 6, logged, blank = 0, saved[2];
	struct disk_report report;
	struct disk_error error;
	struct disk *disk;

	(void)state;
	start();
	assert_int_equal(disk_create("l.vhdx", &how, &error), 0);
	assert_int_equal(disk_open("l.vhdx", NULL, &disk, &error), 0);
	assert_int_equal(disk_write(disk, truth + 700, 3000, 700), 0);
	assert_int_equal(disk_flush(disk), 0);
	/* Of the table's first page only the log knows the entry; its second page is not in the
	 * log. */
	fake_peek("l.vhdx", first, &logged, sizeof(logged));
	assert_true(logged);
	fake_poke("l.vhdx", first, &blank, sizeof(blank));
	fake_poke("l.vhdx", second, &outside, sizeof(outside));
	if (disk_check("l.vhdx", DISK_FORMAT_AUTO, DISK_REPAIR | DISK_REPAIR_DROP, &report,
		       &error)) {
		fail_msg("%s", error.text);
	}
	assert_true(report.dropped == 1);
	fake_peek(report.saved, first, &saved[0], sizeof(saved[0]));
	fake_peek(report.saved, second, &saved[1], sizeof(saved[1]));
	assert_true(saved[0] == logged && saved[1] == outside);
	disk_report_free(&report);
	disk_close(&disk, NULL);
}

/* Wherever an error names a rebase as the remedy, it is one. */
static void test_rebase_is_a_remedy(void **state)
{
	unsigned named = 0;
	uint64_t at;

	(void)state;
	start();
	make("p.vhdx", DISK_DYNAMIC, NULL);
	make("c.vhdx", DISK_DIFFERENCING, "p.vhdx");
	for (at = (2 << 20) + 65536; at < (2 << 20) + 65536 + 700; at++) {
		struct fake_state *good = fake_save();
		struct disk_error error;
		struct disk *disk;
		uint8_t byte;

		fake_peek("c.vhdx", at, &byte, 1);
		byte ^= (uint8_t)(1u << at % 8);
		fake_poke("c.vhdx", at, &byte, 1);
		if (disk_open("c.vhdx", NULL, &disk, &error)) {
			bool remedy = strstr(error.text, "vhd rebase") != NULL;

			named += remedy;
			if (remedy && disk_rebase("c.vhdx", "p.vhdx", DISK_STALE_PARENT, &error)) {
				fail_msg("%s", error.text);
			}
			if (remedy && disk_open("c.vhdx", NULL, &disk, &error)) {
				fail_msg("%s", error.text);
			}
			if (remedy) {
				bool same;

				assert_int_equal(compare(disk, &same), 0);
				assert_true(same);
				disk_close(&disk, NULL);
			}
		} else {
			disk_close(&disk, NULL);
		}
		fake_restore(good);
		fake_state_free(good);
	}
	assert_true(named > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vhdx),
		cmocka_unit_test(test_vhdx_differencing),
		cmocka_unit_test(test_vhdx_log),
		cmocka_unit_test(test_vhd),
		cmocka_unit_test(test_vhd_fixed_and_differencing),
		cmocka_unit_test(test_repair_fails),
		cmocka_unit_test(test_drop_with_log),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_repair),
		cmocka_unit_test(test_repair_keeps),
		cmocka_unit_test(test_repair_drops),
		cmocka_unit_test(test_rebase_is_a_remedy),
	};
	int ret = cmocka_run_group_tests(tests, NULL, NULL);

	fake_reset(1);
	return ret;
}
