/*
 * UNMAP, WRITE SAME and GET LBA STATUS: what is freed reads as zeros and its space comes back,
 * nothing beside it changes, and what is malformed changes nothing.
 */
#include "tests/fake/scsi.h"
#include "tests/unit/disk_fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define SIZE   (4u << 20)
#define BLOCKS (SIZE / 512u)

static struct bench bench;
static struct disk *disk;
static uint8_t data[SIZE], back[SIZE], list[8 + 300 * 16];

static int start(void **state)
{
	size_t i;

	(void)state;
	fake_reset(3);
	bench_create(&bench);
	disk = bench_disk("a.vhdx", SIZE, 512, 4096, 0);
	bench_attach(&bench, 0, STORAGE_DISK, disk, false);
	for (i = 0; i < sizeof(data); i++) {
		data[i] = (uint8_t)(i * 7 + i / 509 + 1);
	}
	assert_int_equal(disk_write(disk, data, SIZE, 0), 0);
	memset(list, 0, sizeof(list));
	return 0;
}

static int stop(void **state)
{
	(void)state;
	bench_destroy(&bench);
	disk_close(&disk, NULL);
	return 0;
}

/* The disk is `data` throughout. */
static void expect_disk(void)
{
	assert_int_equal(disk_read(disk, back, SIZE, 0), 0);
	assert_memory_equal(back, data, SIZE);
}

static void add_range(unsigned i, uint64_t lba, uint32_t count)
{
	memcpy(list + 8 + 16 * i, ((uint8_t[]){B8(lba), B4(count), 0, 0, 0, 0}), 16);
	memcpy(list, ((uint8_t[]){B2(6 + 16 * (i + 1)), B2(16 * (i + 1))}), 4);
}

static enum scsi_status unmap(uint32_t length)
{
	return RUN(&bench, 0, SCSI_DATA_OUT, list, length, 0x42, 0, 0, 0, 0, 0, 0, B2(length), 0);
}

static void test_unmap(void **state)
{
	(void)state;
	add_range(0, 3, 5);
	add_range(1, 100, 0);
	add_range(2, 2048, 2048);
	add_range(3, BLOCKS - 1, 1);
	assert_int_equal(unmap(8 + 4 * 16), SCSI_GOOD);
	memset(data + 3 * 512, 0, 5 * 512);
	memset(data + 2048 * 512, 0, 2048 * 512);
	memset(data + SIZE - 512, 0, 512);
	expect_disk();
}

/* The second range is bad: the first is left alone too. */
static void test_unmap_checks_all_first(void **state)
{
	(void)state;
	add_range(0, 0, 8);
	add_range(1, BLOCKS - 1, 2);
	assert_int_equal(unmap(8 + 2 * 16), SCSI_CHECK_CONDITION);
	assert_int_equal(bench_sense(&bench), 0x052100);
	add_range(1, UINT64_MAX, UINT32_MAX);
	unmap(8 + 2 * 16);
	assert_int_equal(bench_sense(&bench), 0x052100);
	unmap(7);
	assert_int_equal(bench_sense(&bench), 0x051a00);
	RUN(&bench, 0, SCSI_DATA_OUT, list, 16, 0x42, 0, 0, 0, 0, 0, 0, B2(24),
	    0); /* a list longer than the data */
	assert_int_equal(bench_sense(&bench), 0x051a00);
	add_range(256, 0, 1);
	unmap(8 + 257 * 16);
	assert_int_equal(bench_sense(&bench), 0x052600);
	RUN(&bench, 0, SCSI_DATA_OUT, list, 24, 0x42, 1, 0, 0, 0, 0, 0, B2(24), 0); /* ANCHOR */
	assert_int_equal(bench_sense(&bench), 0x052400);
	assert_int_equal(unmap(0), SCSI_GOOD);
	expect_disk();
}

/* A list that says less than it holds, or more, counts as far as both go. */
static void test_unmap_lengths(void **state)
{
	(void)state;
	add_range(0, 10, 1);
	add_range(1, 20, 1);
	list[3] = 16;
	assert_int_equal(unmap(8 + 2 * 16), SCSI_GOOD);
	memset(data + 10 * 512, 0, 512);
	expect_disk();
	list[3] = 0xff;
	assert_int_equal(unmap(8 + 2 * 16 + 5), SCSI_GOOD);
	memset(data + 20 * 512, 0, 512);
	expect_disk();
}

static void test_write_same_pattern(void **state)
{
	uint8_t block[512];
	unsigned i;

	(void)state;
	memset(block, 0x5a, sizeof(block));
	block[17] = 3;
	assert_int_equal(RUN(&bench, 0, SCSI_DATA_OUT, block, 512, 0x93, 0, B8(1), B4(3000), 0, 0),
			 SCSI_GOOD);
	assert_int_equal(
		RUN(&bench, 0, SCSI_DATA_OUT, block, 512, 0x41, 0x08, B4(5000), 0, B2(1), 0),
		SCSI_GOOD);
	for (i = 1; i < 3001; i++) {
		memcpy(data + i * 512, block, 512);
	}
	memcpy(data + 5000 * 512, block, 512);
	expect_disk();
}

static uint64_t allocated(void)
{
	struct disk_info info;

	assert_int_equal(disk_get_info(disk, 0, &info), 0);
	return info.blocks_present;
}

/* With UNMAP the space is given back, without it zeros are written; both read the same. */
static void test_write_same_zeros(void **state)
{
	uint8_t block[512] = {0};

	(void)state;
	assert_int_equal(allocated(), 4);
	assert_int_equal(RUN(&bench, 0, SCSI_DATA_OUT, block, 512, 0x93, 0, B8(0), B4(2048), 0, 0),
			 SCSI_GOOD);
	memset(data, 0, 2048 * 512);
	expect_disk();
	assert_int_equal(allocated(), 4);
	assert_int_equal(
		RUN(&bench, 0, SCSI_DATA_OUT, block, 512, 0x93, 0x08, B8(2048), B4(2048), 0, 0),
		SCSI_GOOD);
	memset(data + 2048 * 512, 0, 2048 * 512);
	expect_disk();
	assert_int_equal(allocated(), 3);
	assert_int_equal(
		RUN(&bench, 0, SCSI_NO_DATA, NULL, 0, 0x93, 0x09, B8(4096), B4(2048), 0, 0),
		SCSI_GOOD);
	memset(data + 4096 * 512, 0, 2048 * 512);
	expect_disk();
	assert_int_equal(allocated(), 2);
}

static void test_write_same_refuses(void **state)
{
	uint8_t block[512] = {1};

	(void)state;
	RUN(&bench, 0, SCSI_DATA_OUT, block, 512, 0x93, 0, B8(0), B4(0), 0, 0);
	assert_int_equal(bench_sense(&bench), 0x052400); /* WSNZ */
	RUN(&bench, 0, SCSI_DATA_OUT, block, 512, 0x93, 0, B8(0), B4(UINT32_MAX), 0, 0);
	assert_int_equal(bench_sense(&bench), 0x052400);
	RUN(&bench, 0, SCSI_DATA_OUT, block, 512, 0x93, 0, B8(BLOCKS), B4(1), 0, 0);
	assert_int_equal(bench_sense(&bench), 0x052100);
	RUN(&bench, 0, SCSI_DATA_OUT, block, 511, 0x93, 0, B8(0), B4(1), 0, 0);
	assert_int_equal(bench_sense(&bench), 0x052400);
	RUN(&bench, 0, SCSI_DATA_OUT, block, 512, 0x93, 0x10, B8(0), B4(1), 0, 0); /* ANCHOR */
	assert_int_equal(bench_sense(&bench), 0x052400);
	RUN(&bench, 0, SCSI_DATA_OUT, block, 512, 0x41, 0x01, B4(0), 0, B2(1),
	    0); /* no NDOB in 10 bytes */
	assert_int_equal(bench_sense(&bench), 0x052400);
	expect_disk();
}

static void test_lba_status(void **state)
{
	uint8_t status[8 + 3 * 16];

	(void)state;
	assert_int_equal(disk_trim(disk, 1 << 20, 1 << 20), 0);
	assert_int_equal(RUN(&bench, 0, SCSI_DATA_IN, status, sizeof(status), 0x9e, 0x12, B8(100),
			     B4(sizeof(status)), 0, 0),
			 SCSI_GOOD);
	assert_int_equal(bench.last.transferred, 8 + 3 * 16);
	assert_memory_equal(status, ((uint8_t[]){B4(4 + 3 * 16), 0, 0, 0, 0}), 8);
	assert_memory_equal(status + 8, ((uint8_t[]){B8(100), B4(1948), 0}), 13);
	assert_memory_equal(status + 24, ((uint8_t[]){B8(2048), B4(2048), 1}), 13);
	assert_memory_equal(status + 40, ((uint8_t[]){B8(4096), B4(4096), 0}), 13);
	RUN(&bench, 0, SCSI_DATA_IN, status, sizeof(status), 0x9e, 0x12, B8(BLOCKS), B4(24), 0, 0);
	assert_int_equal(bench_sense(&bench), 0x052100);
	assert_int_equal(RUN(&bench, 0, SCSI_DATA_IN, status, 24, 0x9e, 0x12, B8(0), B4(24), 0, 0),
			 SCSI_GOOD);
	assert_int_equal(bench.last.transferred, 24); /* no more than was asked for */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_unmap, start, stop),
		cmocka_unit_test_setup_teardown(test_unmap_checks_all_first, start, stop),
		cmocka_unit_test_setup_teardown(test_unmap_lengths, start, stop),
		cmocka_unit_test_setup_teardown(test_write_same_pattern, start, stop),
		cmocka_unit_test_setup_teardown(test_write_same_zeros, start, stop),
		cmocka_unit_test_setup_teardown(test_write_same_refuses, start, stop),
		cmocka_unit_test_setup_teardown(test_lba_status, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
