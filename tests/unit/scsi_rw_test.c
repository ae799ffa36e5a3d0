/*
 * The commands that move blocks: each size of CDB, each sector size, the ends of the disk, what is
 * durable when, and what happens when the disk fails.
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
static uint8_t data[2u << 20], back[2u << 20];

static void start_sized(uint32_t sector, uint32_t physical, bool write_through)
{
	size_t i;

	fake_reset(7);
	bench_create(&bench);
	disk = bench_disk("a.vhdx", SIZE, sector, physical, 0);
	bench_attach(&bench, 0, STORAGE_DISK, disk, write_through);
	for (i = 0; i < sizeof(data); i++) {
		data[i] = (uint8_t)(i * 31 + i / 251 + 1);
	}
	memset(back, 0, sizeof(back));
}

static int start(void **state)
{
	(void)state;
	start_sized(512, 4096, false);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	bench_destroy(&bench);
	disk_close(&disk, NULL);
	return 0;
}

static void expect_data(uint32_t lba, const uint8_t *what, uint32_t count)
{
	memset(back, 0xee, sizeof(back));
	assert_int_equal(
		RUN(&bench, 0, SCSI_DATA_IN, back, count * 512, 0x28, 0, B4(lba), 0, B2(count), 0),
		SCSI_GOOD);
	assert_int_equal(bench.last.transferred, count * 512);
	assert_memory_equal(back, what, count * 512);
}

static void test_all_cdb_sizes(void **state)
{
	(void)state;
	assert_int_equal(RUN(&bench, 0, SCSI_DATA_OUT, data, 1024, 0x0a, 0, 1, 2, 2, 0), SCSI_GOOD);
	assert_int_equal(
		RUN(&bench, 0, SCSI_DATA_OUT, data + 1024, 512, 0x2a, 0, B4(260), 0, B2(1), 0),
		SCSI_GOOD);
	assert_int_equal(
		RUN(&bench, 0, SCSI_DATA_OUT, data + 1536, 512, 0xaa, 0, B4(261), B4(1), 0, 0),
		SCSI_GOOD);
	assert_int_equal(
		RUN(&bench, 0, SCSI_DATA_OUT, data + 2048, 512, 0x8a, 0, B8(262), B4(1), 0, 0),
		SCSI_GOOD);
	expect_data(258, data, 5);
	assert_int_equal(RUN(&bench, 0, SCSI_DATA_IN, back, 512, 0x08, 0, 1, 4, 1, 0), SCSI_GOOD);
	assert_memory_equal(back, data + 1024, 512);
	assert_int_equal(RUN(&bench, 0, SCSI_DATA_IN, back, 512, 0xa8, 0, B4(261), B4(1), 0, 0),
			 SCSI_GOOD);
	assert_memory_equal(back, data + 1536, 512);
	assert_int_equal(RUN(&bench, 0, SCSI_DATA_IN, back, 512, 0x88, 0, B8(262), B4(1), 0, 0),
			 SCSI_GOOD);
	assert_memory_equal(back, data + 2048, 512);
}

/* In a CDB of 6 bytes 0 is 256 blocks; in the others it is none. */
static void test_zero_counts(void **state)
{
	(void)state;
	assert_int_equal(RUN(&bench, 0, SCSI_DATA_OUT, data, 256 * 512, 0x0a, 0, 0, 0, 0, 0),
			 SCSI_GOOD);
	assert_int_equal(bench.last.transferred, 256 * 512);
	expect_data(0, data, 256);
	assert_int_equal(RUN(&bench, 0, SCSI_DATA_OUT, data, 512, 0x2a, 0, B4(5), 0, B2(0), 0),
			 SCSI_GOOD);
	assert_int_equal(bench.last.transferred, 0);
	expect_data(0, data, 256);
}

/* More memory than the command moves stays as it is. */
static void test_longer_data(void **state)
{
	(void)state;
	RUN(&bench, 0, SCSI_DATA_OUT, data, 4096, 0x2a, 0, B4(0), 0, B2(2), 0);
	assert_int_equal(bench.last.transferred, 1024);
	memset(back, 0xcc, 4096);
	assert_int_equal(RUN(&bench, 0, SCSI_DATA_IN, back, 4096, 0x28, 0, B4(1), 0, B2(2), 0),
			 SCSI_GOOD);
	assert_memory_equal(back, data + 512, 512);
	assert_int_equal(back[512], 0); /* not written */
	assert_int_equal(back[1024], 0xcc);
	assert_int_equal(back[4095], 0xcc);
}

static void test_ranges(void **state)
{
	(void)state;
	expect_data(BLOCKS - 1, back + SIZE / 4, 0);
	assert_int_equal(
		RUN(&bench, 0, SCSI_DATA_IN, back, 512, 0x28, 0, B4(BLOCKS - 1), 0, B2(1), 0),
		SCSI_GOOD);
	RUN(&bench, 0, SCSI_DATA_IN, back, 1024, 0x28, 0, B4(BLOCKS - 1), 0, B2(2), 0);
	assert_int_equal(bench_sense(&bench), 0x052100);
	assert_int_equal(bench.last.sense[0], 0xf0); /* with the address */
	RUN(&bench, 0, SCSI_DATA_IN, back, 512, 0x28, 0, B4(BLOCKS), 0, B2(1), 0);
	assert_int_equal(bench_sense(&bench), 0x052100);
	RUN(&bench, 0, SCSI_DATA_OUT, data, 512, 0x8a, 0, B8(UINT64_MAX), B4(1), 0, 0);
	assert_int_equal(bench_sense(&bench), 0x052100);
	RUN(&bench, 0, SCSI_DATA_OUT, data, 512, 0x8a, 0, B8(1), B4(UINT32_MAX), 0, 0);
	assert_int_equal(bench_sense(&bench), 0x052100);
	RUN(&bench, 0, SCSI_DATA_IN, back, 512, 0x28, 0, B4(0), 0, B2(2),
	    0); /* less memory than blocks */
	assert_int_equal(bench_sense(&bench), 0x052400);
	RUN(&bench, 0, SCSI_DATA_IN, back, 2 << 20, 0x28, 0, B4(0), 0, B2(2049),
	    0); /* more than page B0h allows */
	assert_int_equal(bench_sense(&bench), 0x052400);
	RUN(&bench, 0, SCSI_DATA_OUT, data, 512, 0x28, 0, B4(0), 0, B2(1), 0); /* the wrong way */
	assert_int_equal(bench_sense(&bench), 0x052400);
	RUN(&bench, 0, SCSI_DATA_IN, back, 512, 0x28, 0x20, B4(0), 0, B2(1),
	    0); /* protection information */
	assert_int_equal(bench_sense(&bench), 0x052400);
	RUN(&bench, 0, SCSI_DATA_IN, back, 512, 0x28, 0, B4(0), 0, 0); /* a CDB cut short */
	assert_int_equal(bench_sense(&bench), 0x052400);
	RUN(&bench, 0, SCSI_NO_DATA, NULL, 0, 0xc1, 0, 0, 0, 0, 0);
	assert_int_equal(bench_sense(&bench), 0x052000);
}

/* Logical and physical sector of a disk, as a guest reads them. */
static void expect_capacity(uint32_t sector, uint32_t physical, uint8_t exponent)
{
	uint8_t capacity[32];

	start_sized(sector, physical, false);
	assert_int_equal(RUN(&bench, 0, SCSI_DATA_IN, capacity, 8, 0x25, 0, B4(0), 0, 0, 0, 0),
			 SCSI_GOOD);
	assert_memory_equal(capacity, ((uint8_t[]){B4(SIZE / sector - 1), B4(sector)}), 8);
	assert_int_equal(
		RUN(&bench, 0, SCSI_DATA_IN, capacity, 32, 0x9e, 0x10, B8(0), B4(32), 0, 0),
		SCSI_GOOD);
	assert_memory_equal(capacity,
			    ((uint8_t[]){B8(SIZE / sector - 1), B4(sector), 0, exponent, 0xc0, 0}),
			    16);
	assert_int_equal(RUN(&bench, 0, SCSI_DATA_OUT, data, sector, 0x2a, 0, B4(SIZE / sector - 1),
			     0, B2(1), 0),
			 SCSI_GOOD);
	assert_int_equal(disk_read(disk, back, sector, SIZE - sector), 0);
	assert_memory_equal(back, data, sector);
	stop(NULL);
}

static void test_sector_sizes(void **state)
{
	(void)state;
	expect_capacity(512, 512, 0);
	expect_capacity(512, 4096, 3);
	expect_capacity(4096, 4096, 0);
}

/* Every state that a power cut after the last command could leave must hold the data. */
static bool survives_cuts(uint32_t lba, const uint8_t *what)
{
	size_t end = fake_op_count();
	unsigned variant, variants;
	bool survives = true;
	struct fake_state *now = fake_save();

	fake_cuts_begin();
	fake_cut_at(end);
	variants = fake_cut_variants();
	for (variant = 0; variant < variants; variant++) {
		struct disk_open how = {.flags = DISK_READ_ONLY | DISK_NO_LOCK};
		struct disk *after = NULL;

		fake_cut_make(variant);
		assert_int_equal(disk_open("a.vhdx", &how, &after, NULL), 0);
		assert_int_equal(disk_read(after, back, 512, lba * 512), 0);
		survives = survives && !memcmp(back, what, 512);
		disk_close(&after, NULL);
	}
	fake_cuts_end();
	fake_restore(now);
	fake_state_free(now);
	return survives;
}

static void write_one(uint32_t lba, uint8_t flags)
{
	assert_int_equal(
		RUN(&bench, 0, SCSI_DATA_OUT, data, 512, 0x2a, flags, B4(lba), 0, B2(1), 0),
		SCSI_GOOD);
}

/* A plain write may be lost; this is what makes the other tests of durability able to fail. */
static void test_cached_write_may_be_lost(void **state)
{
	(void)state;
	fake_record();
	write_one(100, 0);
	assert_false(survives_cuts(100, data));
}

static void test_fua_is_durable(void **state)
{
	(void)state;
	fake_record();
	write_one(100, 0x08);
	assert_true(survives_cuts(100, data));
}

static void test_synchronize_is_durable(void **state)
{
	(void)state;
	fake_record();
	write_one(100, 0);
	assert_int_equal(RUN(&bench, 0, SCSI_NO_DATA, NULL, 0, 0x35, 0, B4(0), 0, B2(0), 0),
			 SCSI_GOOD);
	assert_true(survives_cuts(100, data));
}

static void test_synchronize_16_and_stop_are_durable(void **state)
{
	(void)state;
	fake_record();
	write_one(100, 0);
	assert_int_equal(RUN(&bench, 0, SCSI_NO_DATA, NULL, 0, 0x91, 0, B8(0), B4(0), 0, 0),
			 SCSI_GOOD);
	assert_true(survives_cuts(100, data));
}

static void test_write_through_is_durable(void **state)
{
	(void)state;
	stop(NULL);
	start_sized(512, 512, true);
	fake_record();
	write_one(100, 0);
	assert_true(survives_cuts(100, data));
}

/* MODE SELECT turns the write cache off: what was cached is durable, and what comes is. */
static void test_cache_off_is_durable(void **state)
{
	uint8_t list[24] = {0, 0, 0, 0, 0x08, 18};

	(void)state;
	fake_record();
	write_one(100, 0);
	assert_int_equal(RUN(&bench, 0, SCSI_DATA_OUT, list, 24, 0x15, 0x10, 0, 0, 24, 0),
			 SCSI_GOOD);
	write_one(200, 0);
	assert_true(survives_cuts(100, data));
}

static void note_end(struct scsi_request *request)
{
	*(bool *)request->user = true;
}

/* A write of another queue's is under way when the cache goes off: it ends as one without a
 * cache. */
static void test_cache_goes_off_under_a_write(void **state)
{
	uint8_t list[24] = {0, 0, 0, 0, 0x08, 18};
	struct iovec iov = {data, 512};
	struct scsi_request write = {.cdb = {0x2a, 0, B4(100), 0, B2(1)},
				     .cdb_length = 10,
				     .direction = SCSI_DATA_OUT,
				     .data_length = 512,
				     .iov = &iov,
				     .iov_count = 1,
				     .done = note_end};
	bool ended = false;

	(void)state;
	write_one(101, 0);
	assert_int_equal(disk_flush(disk), 0);
	write.user = &ended;
	assert_int_equal(disk_queue_create(4, &write.queue, NULL), 0);
	fake_record();
	scsi_execute(bench.bus, (struct storage_address){0, 0, 0}, &write);
	assert_int_equal(RUN(&bench, 0, SCSI_DATA_OUT, list, 24, 0x15, 0x10, 0, 0, 24, 0),
			 SCSI_GOOD);
	assert_false(ended);
	while (!ended) {
		disk_queue_wait(write.queue);
	}
	assert_int_equal(write.status, SCSI_GOOD);
	assert_true(survives_cuts(100, data));
	disk_queue_destroy(&write.queue);
}

static unsigned asked, cancel_at;

static bool is_time_to_cancel(const struct scsi_request *request)
{
	(void)request;
	return ++asked == cancel_at;
}

/* Cancelled before its first step, its second, and so on; then not. Returns how many steps there
 * are. */
static unsigned cancel_each_step(const uint8_t *cdb, unsigned cdb_length, uint8_t *out,
				 uint32_t length)
{
	enum scsi_status status;

	for (cancel_at = 1;; cancel_at++) {
		asked = 0;
		bench.cancelled = is_time_to_cancel;
		status = bench_run(&bench, 0, cdb, cdb_length,
				   length ? SCSI_DATA_OUT : SCSI_NO_DATA, out, length);
		bench.cancelled = NULL;
		if (asked < cancel_at) {
			assert_int_equal(status, SCSI_GOOD);
			return asked;
		}
		assert_int_equal(asked, cancel_at);
		assert_int_equal(status, SCSI_TASK_ABORTED);
		assert_int_equal(bench.last.transferred, 0);
		assert_int_equal(bench_sense(&bench), 0);
	}
}

static void test_cancelling(void **state)
{
	uint8_t unmap[40] = {0, 38, 0, 32, [8] = B8(0), B4(2048), [24] = B8(4096), B4(2048)};

	(void)state;
	assert_int_equal(cancel_each_step(CDB(0x2a, 0, B4(0), 0, B2(8), 0), data, 4096), 1);
	assert_int_equal(cancel_each_step(CDB(0x8f, 0, B8(0), B4(BLOCKS), 0, 0), NULL, 0),
			 SIZE / 65536);
	assert_int_equal(cancel_each_step(CDB(0x42, 0, 0, 0, 0, 0, 0, B2(40), 0), unmap, 40), 2);
	assert_int_equal(cancel_each_step(CDB(0x93, 0, B8(0), B4(BLOCKS), 0, 0), data, 512), 4);
	assert_int_equal(scsi_bus_detach(bench.bus, (struct storage_address){0, 0, 0}), 0);
}

static void test_read_fua_flushes_first(void **state)
{
	(void)state;
	fake_record();
	write_one(100, 0);
	assert_int_equal(RUN(&bench, 0, SCSI_DATA_IN, back, 512, 0x28, 0x08, B4(100), 0, B2(1), 0),
			 SCSI_GOOD);
	assert_memory_equal(back, data, 512);
	assert_true(survives_cuts(100, data));
}

static void test_stop_flushes_and_stops(void **state)
{
	(void)state;
	fake_record();
	write_one(100, 0);
	assert_int_equal(RUN(&bench, 0, SCSI_NO_DATA, NULL, 0, 0x1b, 0, 0, 0, 0, 0), SCSI_GOOD);
	assert_true(survives_cuts(100, data));
	RUN(&bench, 0, SCSI_DATA_IN, back, 512, 0x28, 0, B4(100), 0, B2(1), 0);
	assert_int_equal(bench_sense(&bench), 0x020402);
	assert_int_equal(RUN(&bench, 0, SCSI_NO_DATA, NULL, 0, 0x1b, 0, 0, 0, 1, 0), SCSI_GOOD);
	expect_data(100, data, 1);
}

static void test_errors_have_sense(void **state)
{
	(void)state;
	write_one(0, 0);
	fake_fail_reads(true);
	RUN(&bench, 0, SCSI_DATA_IN, back, 512, 0x28, 0, B4(0), 0, B2(1), 0);
	fake_fail_reads(false);
	assert_int_equal(bench.last.status, SCSI_CHECK_CONDITION);
	assert_int_equal(bench_sense(&bench), 0x031100);
	assert_int_equal(bench.last.transferred, 0);
	fake_fail_after(1);
	RUN(&bench, 0, SCSI_DATA_OUT, data, 512, 0x2a, 0, B4(3), 0, B2(1), 0);
	assert_int_equal(bench_sense(&bench), 0x030c00);
	assert_int_equal(bench.last.sense[0], 0xf0);
	assert_int_equal(bench.last.sense[6], 3);
	fake_fail_after(0);
}

static void test_verify(void **state)
{
	(void)state;
	RUN(&bench, 0, SCSI_DATA_OUT, data, 300 * 512, 0x2a, 0, B4(10), 0, B2(300), 0);
	assert_int_equal(RUN(&bench, 0, SCSI_NO_DATA, NULL, 0, 0x2f, 0, B4(0), 0, B2(400), 0),
			 SCSI_GOOD);
	assert_int_equal(
		RUN(&bench, 0, SCSI_DATA_OUT, data, 300 * 512, 0x2f, 0x02, B4(10), 0, B2(300), 0),
		SCSI_GOOD);
	data[299 * 512 + 3] ^= 1;
	RUN(&bench, 0, SCSI_DATA_OUT, data, 300 * 512, 0x8f, 0x02, B8(10), B4(300), 0, 0);
	assert_int_equal(bench_sense(&bench), 0x0e1d00);
	RUN(&bench, 0, SCSI_DATA_OUT, data, 512, 0xaf, 0x02, B4(10), B4(2), 0,
	    0); /* less data than blocks */
	assert_int_equal(bench_sense(&bench), 0x052400);
	RUN(&bench, 0, SCSI_NO_DATA, NULL, 0, 0x2f, 0, B4(BLOCKS), 0, B2(1), 0);
	assert_int_equal(bench_sense(&bench), 0x052100);
	fake_fail_reads(true);
	RUN(&bench, 0, SCSI_NO_DATA, NULL, 0, 0x2f, 0, B4(10), 0, B2(1), 0);
	fake_fail_reads(false);
	assert_int_equal(bench_sense(&bench), 0x031100);
}

static void test_read_only(void **state)
{
	struct disk_open how = {.flags = DISK_READ_ONLY};

	(void)state;
	write_one(9, 0);
	scsi_bus_detach(bench.bus, (struct storage_address){0, 0, 0});
	disk_close(&disk, NULL);
	assert_int_equal(disk_open("a.vhdx", &how, &disk, NULL), 0);
	bench_attach(&bench, 0, STORAGE_DISK, disk, false);
	RUN(&bench, 0, SCSI_DATA_OUT, data, 512, 0x2a, 0, B4(9), 0, B2(1), 0);
	assert_int_equal(bench_sense(&bench), 0x072700);
	assert_int_equal(RUN(&bench, 0, SCSI_NO_DATA, NULL, 0, 0x35, 0, B4(0), 0, B2(0), 0),
			 SCSI_GOOD);
	expect_data(9, data, 1);
	assert_int_equal(RUN(&bench, 0, SCSI_DATA_IN, back, 192, 0x1a, 0, 0x3f, 0, 192, 0),
			 SCSI_GOOD);
	assert_int_equal(back[2] & 0x80, 0x80);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_all_cdb_sizes, start, stop),
		cmocka_unit_test_setup_teardown(test_zero_counts, start, stop),
		cmocka_unit_test_setup_teardown(test_longer_data, start, stop),
		cmocka_unit_test_setup_teardown(test_ranges, start, stop),
		cmocka_unit_test(test_sector_sizes),
		cmocka_unit_test_setup_teardown(test_cached_write_may_be_lost, start, stop),
		cmocka_unit_test_setup_teardown(test_fua_is_durable, start, stop),
		cmocka_unit_test_setup_teardown(test_synchronize_is_durable, start, stop),
		cmocka_unit_test_setup_teardown(test_synchronize_16_and_stop_are_durable, start,
						stop),
		cmocka_unit_test_setup_teardown(test_write_through_is_durable, start, stop),
		cmocka_unit_test_setup_teardown(test_cache_off_is_durable, start, stop),
		cmocka_unit_test_setup_teardown(test_cache_goes_off_under_a_write, start, stop),
		cmocka_unit_test_setup_teardown(test_cancelling, start, stop),
		cmocka_unit_test_setup_teardown(test_read_fua_flushes_first, start, stop),
		cmocka_unit_test_setup_teardown(test_stop_flushes_and_stops, start, stop),
		cmocka_unit_test_setup_teardown(test_errors_have_sense, start, stop),
		cmocka_unit_test_setup_teardown(test_verify, start, stop),
		cmocka_unit_test_setup_teardown(test_read_only, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
