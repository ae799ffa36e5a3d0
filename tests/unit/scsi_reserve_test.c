/*
 * Persistent reservations between three initiators: who may do what under each type, and how one
 * ends.
 */
#include "tests/fake/scsi.h"
#include "tests/unit/disk_fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct bench bench;
static struct disk *disk;
static uint8_t block[512];

enum { REGISTER, RESERVE, RELEASE, CLEAR, PREEMPT, PREEMPT_ABORT, IGNORE };

static int start(void **state)
{
	unsigned nexus;

	(void)state;
	fake_reset(1);
	bench_create(&bench);
	disk = bench_disk("a.vhdx", 4 << 20, 512, 512, 0);
	bench_attach(&bench, 0, STORAGE_DISK, disk, false);
	for (nexus = 0; nexus < 3; nexus++) {
		bench.nexus = nexus;
		RUN(&bench, 0, SCSI_NO_DATA, NULL, 0, 0x00, 0, 0, 0, 0,
		    0); /* the power-on attention */
	}
	return 0;
}

static int stop(void **state)
{
	(void)state;
	bench_destroy(&bench);
	disk_close(&disk, NULL);
	return 0;
}

static enum scsi_status out(unsigned nexus, uint8_t action, uint8_t type, uint64_t key,
			    uint64_t other)
{
	uint8_t list[24] = {B8(key), B8(other)};

	bench.nexus = nexus;
	return RUN(&bench, 0, SCSI_DATA_OUT, list, 24, 0x5f, action, type, 0, 0, B4(24), 0);
}

static enum scsi_status reads(unsigned nexus)
{
	bench.nexus = nexus;
	return RUN(&bench, 0, SCSI_DATA_IN, block, 512, 0x28, 0, B4(0), 0, B2(1), 0);
}

static enum scsi_status writes(unsigned nexus)
{
	bench.nexus = nexus;
	return RUN(&bench, 0, SCSI_DATA_OUT, block, 512, 0x2a, 0, B4(0), 0, B2(1), 0);
}

/* The key of the holder, or 0, and its type; and how many are registered. */
static void expect_state(uint64_t key, uint8_t type, unsigned keys)
{
	uint8_t data[128] = {0};

	assert_int_equal(
		RUN(&bench, 0, SCSI_DATA_IN, data, 128, 0x5e, 1, 0, 0, 0, 0, 0, B2(128), 0),
		SCSI_GOOD);
	assert_int_equal(data[7], type ? 16 : 0);
	assert_int_equal(data[21], type);
	assert_memory_equal(data + 8, ((uint8_t[]){B8(key)}), 8);
	assert_int_equal(
		RUN(&bench, 0, SCSI_DATA_IN, data, 128, 0x5e, 0, 0, 0, 0, 0, 0, B2(128), 0),
		SCSI_GOOD);
	assert_int_equal(data[7], 8 * keys);
}

static void test_register(void **state)
{
	(void)state;
	assert_int_equal(out(0, RESERVE, 1, 0, 0), SCSI_RESERVATION_CONFLICT); /* not registered */
	assert_int_equal(out(0, REGISTER, 0, 5, 0x1111), SCSI_RESERVATION_CONFLICT);
	assert_int_equal(out(0, REGISTER, 0, 0, 0x1111), SCSI_GOOD);
	assert_int_equal(out(0, REGISTER, 0, 0, 0x2222), SCSI_RESERVATION_CONFLICT);
	assert_int_equal(out(0, REGISTER, 0, 0x1111, 0x2222), SCSI_GOOD);
	assert_int_equal(out(0, IGNORE, 0, 99, 0x3333), SCSI_GOOD);
	expect_state(0, 0, 1);
	assert_int_equal(out(0, REGISTER, 0, 0x3333, 0), SCSI_GOOD);
	expect_state(0, 0, 0);
}

/* Status of a registered and an unregistered other, reading and writing. */
static void expect_access(uint8_t type, bool reg_reads, bool reg_writes, bool reads_ok)
{
	assert_int_equal(out(0, RESERVE, type, 0xa, 0), SCSI_GOOD);
	assert_int_equal(reads(0), SCSI_GOOD);
	assert_int_equal(writes(0), SCSI_GOOD);
	assert_int_equal(reads(1), reg_reads ? SCSI_GOOD : SCSI_RESERVATION_CONFLICT);
	assert_int_equal(writes(1), reg_writes ? SCSI_GOOD : SCSI_RESERVATION_CONFLICT);
	assert_int_equal(reads(2), reads_ok ? SCSI_GOOD : SCSI_RESERVATION_CONFLICT);
	assert_int_equal(writes(2), SCSI_RESERVATION_CONFLICT);
	assert_int_equal(RUN(&bench, 0, SCSI_NO_DATA, NULL, 0, 0x00, 0, 0, 0, 0, 0),
			 SCSI_GOOD); /* never conflicts */
	assert_int_equal(out(0, RELEASE, type, 0xa, 0), SCSI_GOOD);
	bench.nexus = 1; /* registrants are told that they have lost something */
	RUN(&bench, 0, SCSI_NO_DATA, NULL, 0, 0x00, 0, 0, 0, 0, 0);
	assert_int_equal(bench_sense(&bench), type >= 5 ? 0x062a04 : 0);
	assert_int_equal(writes(2), SCSI_GOOD);
}

static void test_types(void **state)
{
	(void)state;
	assert_int_equal(out(0, REGISTER, 0, 0, 0xa), SCSI_GOOD);
	assert_int_equal(out(1, REGISTER, 0, 0, 0xb), SCSI_GOOD);
	expect_access(1, true, false, true);
	expect_access(3, false, false, false);
	expect_access(5, true, true, true);
	expect_access(6, true, true, false);
	expect_access(7, true, true, true);
	expect_access(8, true, true, false);
	assert_int_equal(out(0, RESERVE, 2, 0xa, 0), SCSI_CHECK_CONDITION); /* no such type */
	assert_int_equal(bench_sense(&bench), 0x052400);
}

static void test_one_holder(void **state)
{
	(void)state;
	out(0, REGISTER, 0, 0, 0xa);
	out(1, REGISTER, 0, 0, 0xb);
	assert_int_equal(out(0, RESERVE, 1, 0xa, 0), SCSI_GOOD);
	assert_int_equal(out(0, RESERVE, 1, 0xa, 0), SCSI_GOOD);
	assert_int_equal(out(0, RESERVE, 3, 0xa, 0), SCSI_RESERVATION_CONFLICT);
	assert_int_equal(out(1, RESERVE, 1, 0xb, 0), SCSI_RESERVATION_CONFLICT);
	assert_int_equal(out(1, RELEASE, 1, 0xb, 0), SCSI_GOOD); /* not its own: nothing happens */
	expect_state(0xa, 1, 2);
	assert_int_equal(out(0, RELEASE, 3, 0xa, 0), SCSI_CHECK_CONDITION);
	assert_int_equal(bench_sense(&bench), 0x052604);
	assert_int_equal(out(0, REGISTER, 0, 0xa, 0), SCSI_GOOD); /* unregistering releases */
	expect_state(0, 0, 1);
}

/* The others of "all registrants" hold it as long as one of them is there. */
static void test_all_registrants(void **state)
{
	(void)state;
	out(0, REGISTER, 0, 0, 0xa);
	out(1, REGISTER, 0, 0, 0xb);
	assert_int_equal(out(0, RESERVE, 7, 0xa, 0), SCSI_GOOD);
	assert_int_equal(out(0, REGISTER, 0, 0xa, 0), SCSI_GOOD);
	expect_state(0, 7, 1);
	assert_int_equal(writes(0), SCSI_RESERVATION_CONFLICT);
	assert_int_equal(out(1, REGISTER, 0, 0xb, 0), SCSI_GOOD);
	expect_state(0, 0, 0);
}

static void test_preempt(void **state)
{
	(void)state;
	out(0, REGISTER, 0, 0, 0xa);
	out(1, REGISTER, 0, 0, 0xb);
	out(2, REGISTER, 0, 0, 0xc);
	assert_int_equal(out(0, RESERVE, 3, 0xa, 0), SCSI_GOOD);
	assert_int_equal(out(1, PREEMPT, 3, 0xb, 0xdead), SCSI_RESERVATION_CONFLICT);
	assert_int_equal(out(1, PREEMPT, 1, 0xb, 0xc), SCSI_GOOD); /* only removes the third */
	expect_state(0xa, 3, 2);
	assert_int_equal(writes(2), SCSI_CHECK_CONDITION);
	assert_int_equal(bench_sense(&bench), 0x062a05);
	assert_int_equal(out(1, PREEMPT_ABORT, 1, 0xb, 0xa), SCSI_GOOD);
	expect_state(0xb, 1, 1);
	assert_int_equal(writes(0), SCSI_CHECK_CONDITION);
	assert_int_equal(writes(0), SCSI_RESERVATION_CONFLICT);
	assert_int_equal(out(1, PREEMPT, 1, 0xb, 0), SCSI_CHECK_CONDITION);
	assert_int_equal(bench_sense(&bench), 0x052600);
}

static void test_clear(void **state)
{
	(void)state;
	out(0, REGISTER, 0, 0, 0xa);
	out(1, REGISTER, 0, 0, 0xb);
	out(0, RESERVE, 6, 0xa, 0);
	assert_int_equal(out(1, CLEAR, 0, 0xb, 0), SCSI_GOOD);
	expect_state(0, 0, 0);
	assert_int_equal(reads(0), SCSI_CHECK_CONDITION);
	assert_int_equal(bench_sense(&bench), 0x062a03);
	assert_int_equal(reads(2), SCSI_GOOD);
}

static void test_outlives_reset(void **state)
{
	(void)state;
	out(0, REGISTER, 0, 0, 0xa);
	out(0, RESERVE, 1, 0xa, 0);
	scsi_bus_reset(bench.bus);
	writes(2); /* the attention */
	assert_int_equal(writes(2), SCSI_RESERVATION_CONFLICT);
}

static void test_full_status_and_capabilities(void **state)
{
	uint8_t data[256];

	(void)state;
	out(1, REGISTER, 0, 0, 0xb);
	out(1, RESERVE, 5, 0xb, 0);
	assert_int_equal(
		RUN(&bench, 0, SCSI_DATA_IN, data, 256, 0x5e, 3, 0, 0, 0, 0, 0, B2(256), 0),
		SCSI_GOOD);
	assert_int_equal(bench.last.transferred, 8 + 48);
	assert_memory_equal(data + 8, ((uint8_t[]){B8(0xb), 0, 0, 0, 0, 1, 5}), 14);
	assert_int_equal(
		RUN(&bench, 0, SCSI_DATA_IN, data, 256, 0x5e, 2, 0, 0, 0, 0, 0, B2(256), 0),
		SCSI_GOOD);
	assert_memory_equal(data, ((uint8_t[]){0, 8, 0, 0x80, 0xea, 0x01, 0, 0}), 8);
	RUN(&bench, 0, SCSI_DATA_IN, data, 256, 0x5e, 4, 0, 0, 0, 0, 0, B2(256), 0);
	assert_int_equal(bench_sense(&bench), 0x052400);
}

static void test_bad_lists(void **state)
{
	uint8_t list[24] = {0};

	(void)state;
	RUN(&bench, 0, SCSI_DATA_OUT, list, 24, 0x5f, REGISTER, 0, 0, 0, B4(25), 0);
	assert_int_equal(bench_sense(&bench), 0x051a00);
	RUN(&bench, 0, SCSI_DATA_OUT, list, 23, 0x5f, REGISTER, 0, 0, 0, B4(24), 0);
	assert_int_equal(bench_sense(&bench), 0x051a00);
	list[20] = 1; /* APTPL */
	RUN(&bench, 0, SCSI_DATA_OUT, list, 24, 0x5f, REGISTER, 0, 0, 0, B4(24), 0);
	assert_int_equal(bench_sense(&bench), 0x052600);
	RUN(&bench, 0, SCSI_DATA_OUT, list, 24, 0x5f, 7, 0, 0, 0, B4(24), 0);
	assert_int_equal(bench_sense(&bench), 0x052400);
	expect_state(0, 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_register, start, stop),
		cmocka_unit_test_setup_teardown(test_types, start, stop),
		cmocka_unit_test_setup_teardown(test_one_holder, start, stop),
		cmocka_unit_test_setup_teardown(test_all_registrants, start, stop),
		cmocka_unit_test_setup_teardown(test_preempt, start, stop),
		cmocka_unit_test_setup_teardown(test_clear, start, stop),
		cmocka_unit_test_setup_teardown(test_outlives_reset, start, stop),
		cmocka_unit_test_setup_teardown(test_full_status_and_capabilities, start, stop),
		cmocka_unit_test_setup_teardown(test_bad_lists, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
