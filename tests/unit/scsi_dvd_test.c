/*
 * The DVD drive: blocks of an ISO file, its tray, locks and events, and a medium that changes under
 * a guest.
 */
#include "tests/fake/scsi.h"
#include "tests/unit/disk_fake.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define SIZE   (10 * 2048u + 512u) /* the last block is not whole */
#define BLOCKS 11u

static struct bench bench;
static struct disk *iso, *other;
static uint8_t data[BLOCKS * 2048], back[BLOCKS * 2048];
static const struct storage_address at;

static int start(void **state)
{
	struct disk *disk;
	size_t i;

	(void)state;
	fake_reset(5);
	bench_create(&bench);
	disk = bench_disk("a.iso", SIZE, 0, 0, 0);
	memset(data, 0, sizeof(data));
	for (i = 0; i < SIZE; i++) {
		data[i] = (uint8_t)(i * 13 + i / 2047 + 1);
	}
	assert_int_equal(disk_write(disk, data, SIZE, 0), 0);
	disk_close(&disk, NULL);
	assert_int_equal(
		disk_open("a.iso", &(struct disk_open){.flags = DISK_READ_ONLY}, &iso, NULL), 0);
	other = bench_disk("b.iso", 4096, 0, 0, 0);
	bench_attach(&bench, 0, STORAGE_DVD, iso, false);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	bench_destroy(&bench);
	disk_close(&iso, NULL);
	disk_close(&other, NULL);
	return 0;
}

static unsigned ready(void)
{
	return RUN(&bench, 0, SCSI_NO_DATA, NULL, 0, 0x00, 0, 0, 0, 0, 0) == SCSI_GOOD
		       ? 0
		       : bench_sense(&bench);
}

/* Event and state of the medium: two bytes. */
static unsigned event(void)
{
	uint8_t status[8] = {0};

	assert_int_equal(
		RUN(&bench, 0, SCSI_DATA_IN, status, 8, 0x4a, 1, 0, 0, 0x10, 0, 0, B2(8), 0),
		SCSI_GOOD);
	assert_memory_equal(status, ((uint8_t[]){0, 6, 4, 0x10}), 4);
	return status[4] << 8 | status[5];
}

static enum scsi_status tray(uint8_t how)
{
	return RUN(&bench, 0, SCSI_NO_DATA, NULL, 0, 0x1b, 0, 0, 0, how, 0);
}

static enum scsi_status lock(uint8_t how)
{
	return RUN(&bench, 0, SCSI_NO_DATA, NULL, 0, 0x1e, 0, 0, 0, how, 0);
}

static void test_read(void **state)
{
	(void)state;
	assert_int_equal(
		RUN(&bench, 0, SCSI_DATA_IN, back, sizeof(back), 0x28, 0, B4(0), 0, B2(BLOCKS), 0),
		SCSI_GOOD);
	assert_int_equal(bench.last.transferred, sizeof(back));
	assert_memory_equal(back, data, sizeof(back)); /* zeros behind the end of the file */
	memset(back, 0xee, 2048);
	assert_int_equal(RUN(&bench, 0, SCSI_DATA_IN, back, 2048, 0xa8, 0, B4(10), B4(1), 0, 0),
			 SCSI_GOOD);
	assert_memory_equal(back, data + 10 * 2048, 2048);
	RUN(&bench, 0, SCSI_DATA_IN, back, 2048, 0x28, 0, B4(BLOCKS), 0, B2(1), 0);
	assert_int_equal(bench_sense(&bench), 0x052100);
	RUN(&bench, 0, SCSI_DATA_OUT, back, 2048, 0x2a, 0, B4(0), 0, B2(1), 0);
	assert_int_equal(bench_sense(&bench), 0x052000);
	assert_int_equal(RUN(&bench, 0, SCSI_NO_DATA, NULL, 0, 0x2f, 0, B4(0), 0, B2(BLOCKS), 0),
			 SCSI_GOOD);
}

static void test_disc(void **state)
{
	uint8_t out[64];

	(void)state;
	assert_int_equal(RUN(&bench, 0, SCSI_DATA_IN, out, 8, 0x25, 0, B4(0), 0, 0, 0, 0),
			 SCSI_GOOD);
	assert_memory_equal(out, ((uint8_t[]){B4(BLOCKS - 1), B4(2048)}), 8);
	assert_int_equal(RUN(&bench, 0, SCSI_DATA_IN, out, 20, 0x43, 0, 0, 0, 0, 0, 0, B2(20), 0),
			 SCSI_GOOD);
	assert_memory_equal(
		out, ((uint8_t[]){0, 18, 1, 1, 0, 0x14, 1, 0, B4(0), 0, 0x14, 0xaa, 0, B4(BLOCKS)}),
		20);
	assert_int_equal(
		RUN(&bench, 0, SCSI_DATA_IN, out, 12, 0x43, 2, 0, 0, 0, 0, 0xaa, B2(12), 0),
		SCSI_GOOD);
	assert_memory_equal(out, ((uint8_t[]){0, 10, 1, 1, 0, 0x14, 0xaa, 0, 0, 0, 2, BLOCKS}),
			    12); /* 00:02:11 */
	RUN(&bench, 0, SCSI_DATA_IN, out, 12, 0x43, 0, 0, 0, 0, 0, 2, B2(12), 0);
	assert_int_equal(bench_sense(&bench), 0x052400);
	assert_int_equal(RUN(&bench, 0, SCSI_DATA_IN, out, 34, 0x51, 0, 0, 0, 0, 0, 0, B2(34), 0),
			 SCSI_GOOD);
	assert_int_equal(out[2], 0x0e);
	assert_int_equal(RUN(&bench, 0, SCSI_DATA_IN, out, 36, 0x52, 1, B4(1), 0, B2(36), 0),
			 SCSI_GOOD);
	assert_memory_equal(out + 24, ((uint8_t[]){B4(BLOCKS)}), 4);
	RUN(&bench, 0, SCSI_DATA_IN, out, 36, 0x52, 0, B4(BLOCKS), 0, B2(36), 0);
	assert_int_equal(bench_sense(&bench), 0x052400);
	assert_int_equal(RUN(&bench, 0, SCSI_DATA_IN, out, 20, 0xad, 0, B4(0), 0, 0, B2(20), 0, 0),
			 SCSI_GOOD);
	assert_memory_equal(out + 8, ((uint8_t[]){B4(0x30000), B4(0x30000 + BLOCKS - 1)}), 8);
	assert_int_equal(
		RUN(&bench, 0, SCSI_DATA_IN, out, 64, 0x5a, 0, 0x2a, 0, 0, 0, 0, B2(64), 0),
		SCSI_GOOD);
	assert_int_equal(out[8], 0x2a);
	assert_int_equal(out[8 + 2] & 0x08, 0x08); /* reads DVD-ROM */
}

/* The list of features holds together, and the profile goes with the medium. */
static void test_configuration(void **state)
{
	uint8_t out[256];
	unsigned at_feature, features;

	(void)state;
	assert_int_equal(RUN(&bench, 0, SCSI_DATA_IN, out, 256, 0x46, 0, 0, 0, 0, 0, 0, B2(256), 0),
			 SCSI_GOOD);
	assert_int_equal(out[3] + 4u, bench.last.transferred);
	assert_int_equal(out[7], 0x10);
	for (at_feature = 8, features = 0; at_feature < bench.last.transferred; features++) {
		at_feature += 4 + out[at_feature + 3];
	}
	assert_int_equal(at_feature, bench.last.transferred);
	assert_int_equal(features, 9);
	assert_int_equal(
		RUN(&bench, 0, SCSI_DATA_IN, out, 256, 0x46, 2, 0, 0x1f, 0, 0, 0, B2(256), 0),
		SCSI_GOOD);
	assert_int_equal(bench.last.transferred, 12);
	assert_int_equal(out[9], 0x1f);
	scsi_bus_change_medium(bench.bus, at, NULL, false);
	assert_int_equal(RUN(&bench, 0, SCSI_DATA_IN, out, 256, 0x46, 1, 0, 0, 0, 0, 0, B2(256), 0),
			 SCSI_GOOD);
	assert_int_equal(out[7], 0);
	assert_int_equal(bench.last.transferred, 8 + 12 + 12 + 8 + 8 + 4 + 4);
}

static void test_eject_and_load(void **state)
{
	(void)state;
	assert_int_equal(ready(), 0);
	assert_int_equal(event(), 0x0002); /* there, nothing new */
	assert_int_equal(tray(2), SCSI_GOOD);
	assert_int_equal(event(), 0x0301);
	assert_int_equal(event(), 0x0001);
	assert_int_equal(ready(), 0x023a02);
	RUN(&bench, 0, SCSI_DATA_IN, back, 2048, 0x28, 0, B4(0), 0, B2(1), 0);
	assert_int_equal(bench_sense(&bench), 0x023a02);
	assert_int_equal(tray(3), SCSI_GOOD);
	assert_int_equal(event(), 0x0202);
	assert_int_equal(ready(), 0x062800);
	assert_int_equal(ready(), 0);
	test_read(state);
}

static void test_lock(void **state)
{
	(void)state;
	assert_int_equal(lock(1), SCSI_GOOD);
	assert_int_equal(tray(2), SCSI_CHECK_CONDITION);
	assert_int_equal(bench_sense(&bench), 0x055302);
	assert_int_equal(scsi_bus_change_medium(bench.bus, at, other, false), -EBUSY);
	assert_int_equal(event(), 0x0102); /* the guest is asked to eject */
	assert_int_equal(ready(), 0);
	assert_int_equal(lock(0), SCSI_GOOD);
	assert_int_equal(scsi_bus_change_medium(bench.bus, at, other, false), 0);
	assert_int_equal(event(), 0x0202);
	assert_int_equal(lock(1), SCSI_CHECK_CONDITION); /* the medium changed */
	assert_int_equal(bench_sense(&bench), 0x062800);
	assert_int_equal(lock(1), SCSI_GOOD);
	assert_int_equal(scsi_bus_change_medium(bench.bus, at, iso, true), 0);
	assert_int_equal(ready(), 0x062800);
	assert_int_equal(tray(2), SCSI_GOOD); /* the lock was the old medium's */
}

static void test_change(void **state)
{
	uint8_t out[8];

	(void)state;
	assert_int_equal(scsi_bus_change_medium(bench.bus, at, NULL, false), 0);
	assert_int_equal(event(), 0x0300);
	assert_int_equal(ready(), 0x023a01);
	assert_int_equal(scsi_bus_change_medium(bench.bus, at, other, false), 0);
	assert_int_equal(event(), 0x0202);
	assert_int_equal(ready(), 0x062800);
	assert_int_equal(RUN(&bench, 0, SCSI_DATA_IN, out, 8, 0x25, 0, B4(0), 0, 0, 0, 0),
			 SCSI_GOOD);
	assert_memory_equal(out, ((uint8_t[]){B4(1), B4(2048)}), 8);
	assert_int_equal(
		scsi_bus_change_medium(bench.bus, (struct storage_address){0, 0, 1}, NULL, false),
		-ENOENT);
}

static void test_reset_unlocks(void **state)
{
	(void)state;
	assert_int_equal(lock(1), SCSI_GOOD);
	scsi_bus_reset(bench.bus);
	assert_int_equal(ready(), 0x062900);
	assert_int_equal(tray(2), SCSI_GOOD);
}

static void test_events_are_polled(void **state)
{
	uint8_t out[8];

	(void)state;
	RUN(&bench, 0, SCSI_DATA_IN, out, 8, 0x4a, 0, 0, 0, 0x10, 0, 0, B2(8), 0);
	assert_int_equal(bench_sense(&bench), 0x052400);
	assert_int_equal(RUN(&bench, 0, SCSI_DATA_IN, out, 8, 0x4a, 1, 0, 0, 0x02, 0, 0, B2(8), 0),
			 SCSI_GOOD);
	assert_int_equal(bench.last.transferred, 4);
	assert_memory_equal(out, ((uint8_t[]){0, 2, 0x80, 0x10}), 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_read, start, stop),
		cmocka_unit_test_setup_teardown(test_disc, start, stop),
		cmocka_unit_test_setup_teardown(test_configuration, start, stop),
		cmocka_unit_test_setup_teardown(test_eject_and_load, start, stop),
		cmocka_unit_test_setup_teardown(test_lock, start, stop),
		cmocka_unit_test_setup_teardown(test_change, start, stop),
		cmocka_unit_test_setup_teardown(test_reset_unlocks, start, stop),
		cmocka_unit_test_setup_teardown(test_events_are_polled, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
