/*
 * A port of a controller's units: commands from several threads, two ports at one disk, an end
 * amidst commands.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/check.h"
#include "vsp/storage/port.h"

#define SECTOR  512u
#define SECTORS 4096u
#define ROUNDS  300u
#define WAYS    4u

static char path[] = "/tmp/port-XXXXXX";
static struct disk *disk;
static struct storage *storage;
static struct storage_port *port, *other;
static const struct storage_address at = {.path = 1, .target = 0, .lun = 0};

/* A command that is waited for. */
struct call {
	struct storage_command command;
	struct iovec iov;
	pthread_mutex_t lock;
	pthread_cond_t ended;
	bool done;
};

static void done(struct storage_command *command)
{
	struct call *call = command->scsi.user;

	pthread_mutex_lock(&call->lock);
	call->done = true;
	pthread_cond_signal(&call->ended);
	pthread_mutex_unlock(&call->lock);
}

static void prepare(struct call *call, bool out, uint32_t lba, uint32_t count, void *data)
{
	struct scsi_request *scsi = &call->command.scsi;

	memset(call, 0, sizeof(*call));
	pthread_mutex_init(&call->lock, NULL);
	pthread_cond_init(&call->ended, NULL);
	call->iov = (struct iovec){data, (size_t)count * SECTOR};
	call->command = (struct storage_command){.storage = storage, .address = at, .done = done};
	scsi->cdb[0] = out ? 0x8a : 0x88;
	scsi->cdb[8] = (uint8_t)(lba >> 8);
	scsi->cdb[9] = (uint8_t)lba;
	scsi->cdb[13] = (uint8_t)count;
	scsi->cdb_length = 16;
	scsi->direction = out ? SCSI_DATA_OUT : SCSI_DATA_IN;
	scsi->data_length = count * SECTOR;
	scsi->iov = &call->iov;
	scsi->iov_count = 1;
	scsi->user = call;
}

static enum scsi_status run(struct storage_port *by, bool out, uint32_t lba, uint32_t count,
			    void *data)
{
	struct call call;

	prepare(&call, out, lba, count, data);
	storage_port_submit(by, &call.command);
	pthread_mutex_lock(&call.lock);
	while (!call.done) {
		pthread_cond_wait(&call.ended, &call.lock);
	}
	pthread_mutex_unlock(&call.lock);
	return call.command.scsi.status;
}

static int setup(void **state)
{
	struct disk_open how = {.format = DISK_FORMAT_RAW};
	struct storage_config config = {.flavour = STORAGE_IDE, .ide = at, .hidden = true};
	struct storage_unit unit = {.kind = STORAGE_DISK};
	uint8_t data[SECTOR];
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0 && ftruncate(fd, SECTORS * SECTOR) == 0);
	close(fd);
	assert_int_equal(disk_open(path, &how, &disk, NULL), 0);
	assert_int_equal(storage_create(NULL, &config, &storage), 0);
	unit.disk = disk;
	assert_int_equal(storage_attach(storage, at, &unit), 0);
	assert_int_equal(storage_port_create(&port), 0);
	assert_int_equal(storage_port_create(&other), 0);
	assert_int_equal(storage_port_start(port), 0);
	assert_int_equal(storage_port_start(other), 0);
	assert_int_equal(run(port, false, 0, 1, data), SCSI_CHECK_CONDITION); /* power-on */
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	storage_port_stop(port);
	storage_port_stop(other);
	storage_destroy(&storage);
	storage_port_destroy(&port);
	storage_port_destroy(&other);
	assert_int_equal(disk_close(&disk, NULL), 0);
	unlink(path);
	memcpy(path + sizeof(path) - 7, "XXXXXX", 6);
	return 0;
}

static void *one_way(void *user)
{
	uint32_t base = (uint32_t)(uintptr_t)user * 1000, i;
	uint8_t data[4 * SECTOR], again[4 * SECTOR];

	for (i = 0; i < ROUNDS; i++) {
		memset(data, (int)(base + i), sizeof(data));
		CHECK(run(port, true, base + i, 4, data) == SCSI_GOOD);
		CHECK(run(port, false, base + i, 4, again) == SCSI_GOOD);
		CHECK(memcmp(data, again, sizeof(data)) == 0);
	}
	return NULL;
}

static void several_threads_submit(void **state)
{
	pthread_t threads[WAYS];
	uintptr_t i;

	(void)state;
	for (i = 0; i < WAYS; i++) {
		pthread_create(&threads[i], NULL, one_way, (void *)i);
	}
	for (i = 0; i < WAYS; i++) {
		pthread_join(threads[i], NULL);
	}
}

/* What one way was told to be written, the other reads, each time. */
static void two_ways_to_one_disk(void **state)
{
	uint8_t data[SECTOR], again[SECTOR];
	unsigned i;

	(void)state;
	for (i = 0; i < ROUNDS; i++) {
		memset(data, (int)i, sizeof(data));
		assert_int_equal(run(i & 1 ? port : other, true, 7, 1, data), SCSI_GOOD);
		assert_int_equal(run(i & 1 ? other : port, false, 7, 1, again), SCSI_GOOD);
		assert_memory_equal(data, again, SECTOR);
	}
}

static void a_unit_that_is_held_or_gone(void **state)
{
	struct call call;
	uint8_t data[SECTOR];

	(void)state;
	assert_int_equal(storage_hold(storage, at), 0);
	assert_int_equal(run(port, false, 0, 1, data), SCSI_BUSY);
	assert_int_equal(storage_release(storage, at, disk), 0);
	(void)run(port, false, 0, 1, data); /* which says so, once */
	assert_int_equal(run(port, false, 0, 1, data), SCSI_GOOD);
	assert_int_equal(run(port, false, SECTORS, 1, data), SCSI_CHECK_CONDITION);
	assert_int_equal(storage_detach(storage, at), 0);
	prepare(&call, false, 0, 1, data);
	assert_int_equal(run(port, false, 0, 1, data), SCSI_CHECK_CONDITION);
}

/* What was begun ends, what was not is forgotten; then the port goes on. */
static void it_stops_amidst_commands(void **state)
{
	static struct call calls[64];
	static uint8_t data[64][SECTOR];
	uint8_t again[SECTOR];
	unsigned round, i;

	(void)state;
	for (round = 0; round < 50; round++) {
		for (i = 0; i < 64; i++) {
			prepare(&calls[i], true, i, 1, data[i]);
			storage_port_submit(port, &calls[i].command);
		}
		storage_port_stop(port);
		storage_port_submit(port, &calls[0].command);
		assert_int_equal(storage_port_start(port), 0);
		assert_int_equal(run(port, false, 0, 1, again), SCSI_GOOD);
	}
}

static unsigned ended(struct call *calls, unsigned count)
{
	unsigned i, done_count = 0;

	for (i = 0; i < count; i++) {
		pthread_mutex_lock(&calls[i].lock);
		done_count += calls[i].done;
		pthread_mutex_unlock(&calls[i].lock);
	}
	return done_count;
}

/* VERIFY, of 1 MiB by 64 KiB. */
static void make_long(struct call *call)
{
	call->command.scsi.cdb[0] = 0x8f;
	call->command.scsi.cdb[12] = 8;
	call->command.scsi.cdb[13] = 0;
	call->command.scsi.direction = SCSI_NO_DATA;
	call->command.scsi.data_length = 0;
	call->command.scsi.iov_count = 0;
}

static void wait_for_all(struct call *calls, unsigned count)
{
	unsigned i;

	for (i = 0; i < count; i++) {
		pthread_mutex_lock(&calls[i].lock);
		while (!calls[i].done) {
			pthread_cond_wait(&calls[i].ended, &calls[i].lock);
		}
		pthread_mutex_unlock(&calls[i].lock);
		assert_int_equal(calls[i].command.scsi.status, SCSI_GOOD);
	}
}

/* Nothing ends from the end of the pause to the resume; then all do, one of many steps too. */
static void it_pauses_amidst_commands(void **state)
{
	static struct call calls[64];
	static uint8_t data[64][SECTOR];
	unsigned round, i, before;

	(void)state;
	for (round = 0; round < 50; round++) {
		for (i = 0; i < 64; i++) {
			prepare(&calls[i], true, i, 1, data[i]);
			if (i % 16 == 0) {
				make_long(&calls[i]);
			}
			storage_port_submit(port, &calls[i].command);
		}
		storage_port_pause(port);
		before = ended(calls, 64);
		if (round % 8 == 0) {
			usleep(2000);
		}
		assert_int_equal(ended(calls, 64), before);
		storage_port_resume(port);
		wait_for_all(calls, 64);
	}
	/* Given up before it is quiet: nothing is answered as aborted. */
	for (round = 0; round < 200; round++) {
		for (i = 0; i < 8; i++) {
			prepare(&calls[i], true, i, 1, data[i]);
			make_long(&calls[i]);
			storage_port_submit(port, &calls[i].command);
		}
		storage_port_begin_pause(port);
		storage_port_resume(port);
		wait_for_all(calls, 8);
	}
	storage_port_pause(port);
	storage_port_stop(port); /* amidst a pause */
	storage_port_pause(port);
	assert_int_equal(storage_port_start(port), 0);
	assert_int_equal(run(port, false, 0, 1, data[0]), SCSI_GOOD);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(several_threads_submit),      T(two_ways_to_one_disk),
		T(a_unit_that_is_held_or_gone), T(it_stops_amidst_commands),
		T(it_pauses_amidst_commands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
