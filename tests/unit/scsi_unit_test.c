/*
 * What a unit says of itself: INQUIRY and its pages, modes, operation codes, attentions; and units
 * that come, go and change on the bus.
 */
#include "tests/fake/scsi.h"
#include "tests/unit/disk_fake.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct bench bench;
static struct disk *disk;
static uint8_t out[1024];

static int start(void **state)
{
	(void)state;
	fake_reset(1);
	bench_create(&bench);
	disk = bench_disk("a.vhdx", 4 << 20, 512, 4096, 0);
	bench_attach(&bench, 3, STORAGE_DISK, disk, false);
	memset(out, 0xee, sizeof(out));
	return 0;
}

static int stop(void **state)
{
	(void)state;
	bench_destroy(&bench);
	disk_close(&disk, NULL);
	return 0;
}

static enum scsi_status inquire(unsigned lun, uint8_t evpd, uint8_t page, uint16_t length)
{
	memset(out, 0xee, sizeof(out));
	return RUN(&bench, lun, SCSI_DATA_IN, out, sizeof(out), 0x12, evpd, page, B2(length), 0);
}

static unsigned ready(unsigned lun)
{
	return RUN(&bench, lun, SCSI_NO_DATA, NULL, 0, 0x00, 0, 0, 0, 0, 0) == SCSI_GOOD
		       ? 0
		       : bench_sense(&bench);
}

static void test_inquiry(void **state)
{
	(void)state;
	assert_int_equal(inquire(3, 0, 0, 96), SCSI_GOOD);
	assert_int_equal(bench.last.transferred, 96);
	assert_memory_equal(out, ((uint8_t[]){0x00, 0x00, 5, 2, 91}), 5);
	assert_memory_equal(out + 8, "Msft    Virtual Disk    1.0 ", 28);
	assert_int_equal(inquire(3, 0, 0, 36), SCSI_GOOD);
	assert_int_equal(bench.last.transferred, 36);
	assert_int_equal(out[36], 0xee);
	assert_int_equal(inquire(3, 0, 0, 0), SCSI_GOOD);
	assert_int_equal(bench.last.transferred, 0);
	inquire(3, 0, 0x80, 96);
	assert_int_equal(bench_sense(&bench), 0x052400);
	inquire(3, 1, 0x55, 96);
	assert_int_equal(bench_sense(&bench), 0x052400);
	/* Less memory than the CDB allows for. */
	assert_int_equal(RUN(&bench, 3, SCSI_DATA_IN, out, 5, 0x12, 0, 0, B2(255), 0), SCSI_GOOD);
	assert_int_equal(bench.last.transferred, 5);
}

static void test_pages(void **state)
{
	(void)state;
	assert_int_equal(inquire(3, 1, 0x00, 255), SCSI_GOOD);
	assert_memory_equal(out, ((uint8_t[]){0, 0, 0, 6, 0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2}), 10);
	assert_int_equal(inquire(3, 1, 0x80, 255), SCSI_GOOD);
	assert_memory_equal(out,
			    "\0\x80\0\x20"
			    "031425364758697a8b9cadbecfe0f102",
			    36);
	assert_int_equal(inquire(3, 1, 0x83, 255), SCSI_GOOD);
	assert_int_equal(bench.last.transferred, 4 + out[3]);
	assert_memory_equal(
		out + 4,
		((uint8_t[]){1, 1, 0, 24, 'M', 's', 'f', 't', ' ', ' ', ' ', ' ', 3, 0x14}), 14);
	assert_memory_equal(out + 32, ((uint8_t[]){1, 3, 0, 8, 0x3b, 0x9c}), 6);
	assert_int_equal(inquire(3, 1, 0xb0, 255), SCSI_GOOD);
	assert_memory_equal(out, ((uint8_t[]){0, 0xb0, 0, 60, 1, 0, B2(8), B4(2048)}), 12);
	assert_memory_equal(
		out + 20, ((uint8_t[]){B4(8 << 20), B4(256), B4(2048), B4(0x80000000), B8(131072)}),
		24);
	assert_int_equal(inquire(3, 1, 0xb1, 255), SCSI_GOOD);
	assert_memory_equal(out, ((uint8_t[]){0, 0xb1, 0, 60, 0, 1}), 6);
	assert_int_equal(inquire(3, 1, 0xb2, 255), SCSI_GOOD);
	assert_memory_equal(out, ((uint8_t[]){0, 0xb2, 0, 4, 0, 0xe4, 2, 0}), 8);
}

/* Where there is no unit an INQUIRY says so, and everything else fails without sense. */
static void test_absent(void **state)
{
	(void)state;
	assert_int_equal(inquire(0, 0, 0, 36), SCSI_GOOD);
	assert_int_equal(out[0], 0x7f);
	assert_memory_equal(out + 8, "Msft", 4);
	assert_int_equal(inquire(2, 0, 0, 36), SCSI_GOOD);
	assert_int_equal(out[0], 0x7f);
	assert_int_equal(out[8], 0);
	assert_int_equal(inquire(200, 0, 0, 36), SCSI_GOOD);
	assert_int_equal(ready(2), 0);
	assert_true(bench.last.no_unit);
	assert_int_equal(bench.last.status, SCSI_CHECK_CONDITION);
	ready(255);
	assert_true(bench.last.no_unit);
}

static void test_report_luns(void **state)
{
	struct disk *second = bench_disk("b.vhdx", 4 << 20, 512, 512, 0);

	(void)state;
	bench_attach(&bench, 63, STORAGE_DISK, second, false);
	assert_int_equal(RUN(&bench, 0, SCSI_DATA_IN, out, 64, 0xa0, 0, 0, 0, 0, 0, B4(64), 0, 0),
			 SCSI_GOOD);
	assert_int_equal(bench.last.transferred, 24);
	assert_memory_equal(out, ((uint8_t[]){B4(16), B4(0), 0, 3, 0, 0, 0, 0, 0, 0, 0, 63}), 18);
	assert_int_equal(RUN(&bench, 3, SCSI_DATA_IN, out, 64, 0xa0, 0, 0, 0, 0, 0, B4(8), 0, 0),
			 SCSI_GOOD);
	assert_int_equal(bench.last.transferred, 8);
	assert_int_equal(scsi_bus_detach(bench.bus, (struct storage_address){0, 0, 63}), 0);
	assert_int_equal(RUN(&bench, 3, SCSI_DATA_IN, out, 64, 0xa0, 0, 0, 0, 0, 0, B4(64), 0, 0),
			 SCSI_GOOD);
	assert_int_equal(bench.last.transferred, 16);
	assert_int_equal(RUN(&bench, 3, SCSI_DATA_IN, out, 64, 0xa0, 0, 1, 0, 0, 0, B4(64), 0, 0),
			 SCSI_GOOD);
	assert_int_equal(bench.last.transferred, 8); /* no well-known ones */
	disk_close(&second, NULL);
}

static void test_mode_sense(void **state)
{
	(void)state;
	assert_int_equal(RUN(&bench, 3, SCSI_DATA_IN, out, 255, 0x1a, 0x08, 0x08, 0, 255, 0),
			 SCSI_GOOD);
	assert_memory_equal(out, ((uint8_t[]){23, 0, 0x10, 0, 0x08, 18, 0x04}), 7);
	assert_int_equal(RUN(&bench, 3, SCSI_DATA_IN, out, 255, 0x1a, 0x08, 0x48, 0, 255, 0),
			 SCSI_GOOD);
	assert_int_equal(out[6], 0x04); /* changeable */
	assert_int_equal(
		RUN(&bench, 3, SCSI_DATA_IN, out, 255, 0x5a, 0, 0x3f, 0, 0, 0, 0, B2(255), 0),
		SCSI_GOOD);
	assert_int_equal(bench.last.transferred, 8 + 8 + 12 + 20 + 12 + 12);
	assert_memory_equal(out,
			    ((uint8_t[]){0, 8 + 8 + 56 - 2, 0, 0x10, 0, 0, 0, 8, B4(8192), 0, 0, 2,
					 0, 0x01, 10}),
			    18);
	RUN(&bench, 3, SCSI_DATA_IN, out, 255, 0x1a, 0, 0x2a, 0, 255, 0); /* a drive's page */
	assert_int_equal(bench_sense(&bench), 0x052400);
	RUN(&bench, 3, SCSI_DATA_IN, out, 255, 0x1a, 0, 0xc8, 0, 255, 0); /* saved */
	assert_int_equal(bench_sense(&bench), 0x053900);
}

static enum scsi_status select_mode(uint8_t *list, uint8_t length, uint8_t flags)
{
	return RUN(&bench, 3, SCSI_DATA_OUT, list, length, 0x15, flags, 0, 0, length, 0);
}

static void test_mode_select(void **state)
{
	uint8_t off[24] = {0, 0, 0, 0, 0x08, 18}, more[24] = {0, 0, 0, 0, 0x08, 18, 0x05};
	uint8_t sized[12] = {0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0x10, 0};

	(void)state;
	assert_int_equal(select_mode(off, 24, 0x10), SCSI_GOOD);
	assert_int_equal(RUN(&bench, 3, SCSI_DATA_IN, out, 255, 0x1a, 0x08, 0x08, 0, 255, 0),
			 SCSI_GOOD);
	assert_int_equal(out[6], 0);
	bench.nexus = 1; /* the others are told, behind their power-on */
	assert_int_equal(ready(3), 0x062900);
	assert_int_equal(ready(3), 0x062a01);
	assert_int_equal(ready(3), 0);
	bench.nexus = 0;
	select_mode(more, 24, 0x10); /* RCD is not to be set */
	assert_int_equal(bench_sense(&bench), 0x052600);
	select_mode(off, 24, 0x11); /* nor is anything saved */
	assert_int_equal(bench_sense(&bench), 0x052400);
	select_mode(off, 23, 0x10);
	assert_int_equal(bench_sense(&bench), 0x052600);
	select_mode(off, 3, 0x10);
	assert_int_equal(bench_sense(&bench), 0x051a00);
	select_mode(sized, 12, 0x10); /* another block size */
	assert_int_equal(bench_sense(&bench), 0x052600);
	assert_int_equal(select_mode(off, 0, 0x10), SCSI_GOOD);
	scsi_bus_reset(bench.bus);
	assert_int_equal(ready(3), 0x062900);
	RUN(&bench, 3, SCSI_DATA_IN, out, 255, 0x1a, 0x08, 0x08, 0, 255, 0);
	assert_int_equal(out[6], 0x04); /* as after power-on */
}

/* Each command that is listed is known, and each that is asked for alone is in the list. */
static void test_supported_opcodes(void **state)
{
	unsigned length, i;

	(void)state;
	assert_int_equal(
		RUN(&bench, 3, SCSI_DATA_IN, out, 1024, 0xa3, 0x0c, 0, 0, 0, 0, B4(1024), 0, 0),
		SCSI_GOOD);
	length = (unsigned)out[2] << 8 | out[3];
	assert_int_equal(bench.last.transferred, 4 + length);
	assert_true(length > 8 * 25);
	for (i = 4; i < 4 + length; i += 8) {
		uint8_t one[32];
		uint8_t option = out[i + 5] & 1 ? 2 : 1;

		assert_int_equal(RUN(&bench, 3, SCSI_DATA_IN, one, 32, 0xa3, 0x0c, option, out[i],
				     out[i + 2], out[i + 3], B4(32), 0, 0),
				 SCSI_GOOD);
		assert_int_equal(one[1], 3);
		assert_int_equal(one[3], out[i + 7]);
		assert_int_equal(one[4], out[i]);
	}
	assert_int_equal(
		RUN(&bench, 3, SCSI_DATA_IN, out, 32, 0xa3, 0x0c, 1, 0xc1, 0, 0, B4(32), 0, 0),
		SCSI_GOOD);
	assert_int_equal(out[1], 1); /* not supported */
	RUN(&bench, 3, SCSI_DATA_IN, out, 32, 0xa3, 0x0c, 1, 0x9e, 0, 0x10, B4(32), 0, 0);
	assert_int_equal(bench_sense(&bench), 0x052400);
	assert_int_equal(
		RUN(&bench, 3, SCSI_DATA_IN, out, 32, 0xa3, 0x0c, 0x83, 0x28, 0, 0, B4(32), 0, 0),
		SCSI_GOOD);
	assert_int_equal(bench.last.transferred, 4 + 10 + 12);
}

static void test_attentions(void **state)
{
	(void)state;
	scsi_bus_reset(bench.bus);
	assert_int_equal(inquire(3, 0, 0, 36), SCSI_GOOD); /* is not in its way, and leaves it */
	RUN(&bench, 3, SCSI_DATA_IN, out, 512, 0x28, 0, B4(0), 0, B2(1), 0);
	assert_int_equal(bench_sense(&bench), 0x062900);
	assert_int_equal(RUN(&bench, 3, SCSI_DATA_IN, out, 512, 0x28, 0, B4(0), 0, B2(1), 0),
			 SCSI_GOOD);
	scsi_bus_reset(bench.bus);
	assert_int_equal(RUN(&bench, 3, SCSI_DATA_IN, out, 18, 0x03, 0, 0, 0, 18, 0), SCSI_GOOD);
	assert_int_equal(out[2], 6);
	assert_int_equal(out[12], 0x29);
	assert_int_equal(ready(3), 0);
	assert_int_equal(RUN(&bench, 3, SCSI_DATA_IN, out, 18, 0x03, 0, 0, 0, 18, 0), SCSI_GOOD);
	assert_int_equal(out[2], 0);
}

/* Held, the disk may be exchanged for a larger one; the guest learns of it. */
static void test_hold_and_release(void **state)
{
	struct storage_address at = {0, 0, 3};
	struct disk *larger = bench_disk("b.vhdx", 8 << 20, 512, 4096, 0);

	(void)state;
	assert_int_equal(scsi_bus_release(bench.bus, at, larger), -EINVAL); /* not held */
	assert_int_equal(scsi_bus_hold(bench.bus, at), 0);
	assert_int_equal(RUN(&bench, 3, SCSI_NO_DATA, NULL, 0, 0x00, 0, 0, 0, 0, 0), SCSI_BUSY);
	disk_close(&disk, NULL);
	disk = larger;
	assert_int_equal(scsi_bus_release(bench.bus, at, disk), 0);
	assert_int_equal(ready(3), 0x062a09);
	assert_int_equal(ready(3), 0x063f00);
	assert_int_equal(RUN(&bench, 3, SCSI_DATA_IN, out, 8, 0x25, 0, B4(0), 0, 0, 0, 0),
			 SCSI_GOOD);
	assert_memory_equal(out, ((uint8_t[]){B4(16383), B4(512)}), 8);
	assert_int_equal(scsi_bus_hold(bench.bus, (struct storage_address){0, 0, 9}), -ENOENT);
}

static void test_attach_refuses(void **state)
{
	struct storage_unit unit = {.kind = STORAGE_DISK, .disk = disk};
	struct storage_unit empty = {.kind = STORAGE_DISK};

	(void)state;
	assert_int_equal(scsi_bus_attach(bench.bus, (struct storage_address){0, 0, 3}, &unit),
			 -EBUSY);
	assert_int_equal(scsi_bus_attach(bench.bus, (struct storage_address){0, 0, 64}, &unit),
			 -EINVAL);
	assert_int_equal(scsi_bus_attach(bench.bus, (struct storage_address){8, 0, 0}, &unit),
			 -EINVAL);
	assert_int_equal(scsi_bus_attach(bench.bus, (struct storage_address){0, 2, 0}, &unit),
			 -EINVAL);
	assert_int_equal(scsi_bus_attach(bench.bus, (struct storage_address){0, 0, 4}, &empty),
			 -EINVAL);
	assert_int_equal(scsi_bus_detach(bench.bus, (struct storage_address){0, 0, 4}), -ENOENT);
}

/* A request whose disk I/O is under way, and a thread that takes the unit away meanwhile. */
#define NO_STATUS 0xFF
static int detach_result, status_then;
static bool finished;

/* Once the unit is gone the request's I/O has ended; that its answer has gone out is not
 * promised. */
static void *detach(void *argument)
{
	const struct scsi_request *r = argument;

	detach_result = scsi_bus_detach(bench.bus, (struct storage_address){0, 0, 3});
	status_then = r->status;
	return NULL;
}

static void note_finished(struct scsi_request *r)
{
	(void)r;
	finished = true;
}

static void test_detach_waits(void **state)
{
	struct iovec iov = {out, 512};
	struct scsi_request r = {.cdb = {0x2a, 0, B4(0), 0, B2(1)},
				 .cdb_length = 10,
				 .direction = SCSI_DATA_OUT,
				 .data_length = 512,
				 .iov = &iov,
				 .iov_count = 1,
				 .queue = bench.queue,
				 .done = note_finished};
	pthread_t thread;

	(void)state;
	assert_int_equal(disk_write(disk, out, 512, 0),
			 0); /* so that the next write goes the asynchronous way */
	r.status = NO_STATUS;
	finished = false;
	scsi_execute(bench.bus, (struct storage_address){0, 0, 3}, &r);
	assert_false(finished);
	pthread_create(&thread, NULL, detach, &r);
	do { /* until the unit is out of the table */
		ready(3);
	} while (!bench.last.no_unit && !finished);
	while (!finished) {
		disk_queue_wait(bench.queue);
	}
	pthread_join(thread, NULL);
	assert_int_equal(detach_result, 0);
	assert_int_equal(status_then, SCSI_GOOD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_inquiry, start, stop),
		cmocka_unit_test_setup_teardown(test_pages, start, stop),
		cmocka_unit_test_setup_teardown(test_absent, start, stop),
		cmocka_unit_test_setup_teardown(test_report_luns, start, stop),
		cmocka_unit_test_setup_teardown(test_mode_sense, start, stop),
		cmocka_unit_test_setup_teardown(test_mode_select, start, stop),
		cmocka_unit_test_setup_teardown(test_supported_opcodes, start, stop),
		cmocka_unit_test_setup_teardown(test_attentions, start, stop),
		cmocka_unit_test_setup_teardown(test_hold_and_release, start, stop),
		cmocka_unit_test_setup_teardown(test_attach_refuses, start, stop),
		cmocka_unit_test_setup_teardown(test_detach_waits, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
