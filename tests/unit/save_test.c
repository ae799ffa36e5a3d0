/*
 * A machine's state, written and read: memory and every owner's part come back as they were; a file
 * with anything damaged, of another machine, or that somebody gave up is refused before a VP is
 * touched. The owners are this test's, and keep a number each.
 */
#include "worker/save.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "hvs/format.h"
#include "hvs/hvs.h"
#include "lib/state.h"
#include "tests/fake/backend.h"
#include "vmbus/vmbus.h"
#include "vsp/input/input.h"
#include "vsp/integration/integration.h"
#include "vsp/memory/balloon.h"
#include "vsp/network/network.h"
#include "vsp/socket/socket.h"
#include "vsp/storage/storage.h"
#include "worker/job.h"
#include "worker/machine.h"
#include "worker/say.h"

#define MEMORY_MIB 2u

/* ---- Owners ---- */

enum owner { PARTITION, VP0, VP1, BOARD, SCSI, IDE, NET0, NET1, SERVICES, BUS, OWNERS };

static const char *const names[OWNERS] = {"hv",      "vp",      "vp",      "board", "storage",
					  "storage", "network", "network", "ic",    "vmbus"};
static uint32_t numbers[OWNERS]; /* what each has */
static enum owner order[2 * OWNERS];
static unsigned int touched; /* how many of them were loaded */
static bool frozen, bus_paused, new_generation;
static int vp_error, flush_error, flushes;
static bool cancelled;
static char said[512];

static void put(enum owner owner, struct state_writer *writer)
{
	size_t part = state_begin(writer, names[owner], 1);

	state_put_u32(writer, numbers[owner]);
	state_end(writer, part);
}

static int take(enum owner owner, struct state_reader *list)
{
	struct state_reader part = state_part(list, names[owner], 1);
	uint32_t number = state_u32(&part);

	state_finish(&part);
	if (!state_ok(&part)) {
		return -EINVAL;
	}
	numbers[owner] = number;
	order[touched++] = owner;
	return 0;
}

int backend_partition_save(struct backend_partition *partition, struct state_writer *writer)
{
	(void)partition;
	put(PARTITION, writer);
	return 0;
}

int backend_partition_restore(struct backend_partition *partition, struct state_reader *list)
{
	(void)partition;
	assert_true(frozen && bus_paused);
	return take(PARTITION, list);
}

int backend_vp_save(struct backend_vp *vp, struct vp_exit *exit, struct state_writer *writer)
{
	exit->kind = VP_EXIT_NONE;
	put(vp == (void *)1 ? VP0 : VP1, writer);
	return 0;
}

int backend_vp_restore(struct backend_vp *vp, struct state_reader *list)
{
	return vp_error != 0 ? vp_error : take(vp == (void *)1 ? VP0 : VP1, list);
}

void board_save(struct board *board, struct state_writer *writer)
{
	(void)board;
	put(BOARD, writer);
}

void board_check(struct board *board, struct state_reader *list)
{
	struct state_reader part = state_part(list, names[BOARD], 1);

	(void)board;
	(void)state_u32(&part);
	state_finish(&part);
}

void board_load(struct board *board, struct state_reader *list)
{
	(void)board;
	assert_int_equal(take(BOARD, list), 0);
}

void storage_save(struct storage *storage, struct state_writer *writer)
{
	put(storage == (void *)1 ? SCSI : IDE, writer);
}

int storage_load(struct storage *storage, struct state_reader *list)
{
	assert_true(bus_paused);
	return take(storage == (void *)1 ? SCSI : IDE, list);
}

void network_save(struct network *network, struct state_writer *writer)
{
	put(network == (void *)1 ? NET0 : NET1, writer);
}

int network_load(struct network *network, struct state_reader *list)
{
	assert_true(bus_paused);
	return take(network == (void *)1 ? NET0 : NET1, list);
}

/* One that is led has nothing to say here. */
void balloon_save(struct balloon *balloon, struct state_writer *writer)
{
	(void)balloon;
	(void)writer;
}

static uint64_t bounds[2];

void balloon_set_bounds(struct balloon *balloon, uint64_t minimum, uint64_t maximum)
{
	(void)balloon;
	bounds[0] = minimum;
	bounds[1] = maximum;
}

int balloon_load(struct balloon *balloon, struct state_reader *list)
{
	(void)balloon;
	(void)list;
	return 0;
}

/* A state without their part is an older one. */
void sockets_save(struct sockets *sockets, struct state_writer *writer)
{
	(void)sockets;
	(void)writer;
}

int sockets_load(struct sockets *sockets, struct state_reader *list)
{
	(void)sockets;
	(void)list;
	return 0;
}

/* Their numbers are all that they have. */
void network_read_identity(struct state_reader *part, uint8_t instance[16], uint8_t mac[6])
{
	memset(instance, 0, 16);
	memset(mac, 0, 6);
	instance[0] = mac[5] = (uint8_t)state_u32(part);
}

void integration_save(struct integration *integration, struct state_writer *writer)
{
	(void)integration;
	put(SERVICES, writer);
}

int integration_load(struct integration *integration, struct state_reader *list)
{
	(void)integration;
	assert_true(bus_paused);
	return take(SERVICES, list);
}

void identity_save(const struct machine *m, struct state_writer *writer)
{
	(void)m;
	(void)writer;
}

int identity_load(struct machine *m, struct state_reader *list)
{
	(void)m;
	(void)list;
	return 0;
}

int identity_moved(struct machine *m)
{
	(void)m;
	fail();
	return 0;
}

int identity_restored(struct machine *m)
{
	(void)m;
	new_generation = touched == OWNERS;
	return 0;
}

void vmbus_save(struct vmbus *bus, struct state_writer *writer)
{
	(void)bus;
	put(BUS, writer);
}

int vmbus_load(struct vmbus *bus, struct state_reader *list)
{
	(void)bus;
	assert_true(bus_paused && frozen);
	return take(BUS, list);
}

int machine_stand(struct machine *m)
{
	(void)m;
	frozen = bus_paused = true;
	return 0;
}

bool tpm_is_gone(struct tpm *tpm)
{
	(void)tpm;
	return false;
}

int tpm_fetch(struct tpm *tpm)
{
	(void)tpm;
	return 0;
}

void tpm_save(const struct tpm *tpm, struct state_writer *writer)
{
	(void)tpm;
	(void)writer;
}

int tpm_load(struct tpm *tpm, struct state_reader *list)
{
	(void)tpm;
	(void)list;
	return 0;
}

void input_save(struct input *input, struct state_writer *writer)
{
	(void)input;
	(void)writer;
}

int input_load(struct input *input, struct state_reader *list)
{
	(void)input;
	(void)list;
	return 0;
}

void screen_save(const struct machine *m, struct state_writer *writer)
{
	(void)m;
	(void)writer;
}

int screen_load(struct machine *m, struct state_reader *list)
{
	(void)m;
	(void)list;
	return 0;
}

int disk_flush(struct disk *disk)
{
	assert_true(disk == (void *)7);
	flushes++;
	return flush_error;
}

bool job_commit(struct job *job)
{
	(void)job;
	return !cancelled;
}

void job_step(struct job *job, const char *step)
{
	(void)job;
	(void)step;
}

bool job_cancelled(const struct job *job)
{
	(void)job;
	return cancelled;
}

void say(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(said, sizeof(said), format, arguments);
	va_end(arguments);
}

void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}

/* ---- A machine ---- */

static struct machine machine;
static struct config config;
static struct machine_vp vps[2];
static struct job job;

static uint64_t maximum = (uint64_t)MEMORY_MIB << 20;

static void power_on(void)
{
	config = (struct config){.name = "box",
				 .vps = 2,
				 .memory = (uint64_t)MEMORY_MIB << 20,
				 .memory_maximum = maximum,
				 .restore = {.path = "file", .fd = -1}};
	machine = (struct machine){.config = &config, .vps = vps};
	assert_int_equal(
		memory_create(&machine.memory, config.memory, maximum, maximum != config.memory),
		0);
	vps[0].vp = (void *)1;
	vps[1].vp = (void *)2;
	machine.disks.scsi = (void *)1;
	machine.disks.ide[2] = (void *)2;
	machine.disks.places[3].file = (void *)7;
	machine.disks.places[4].file = (void *)8;
	machine.disks.places[4].read_only = true;
	machine.networks.places[0].network = (void *)1;
	machine.networks.places[5].network = (void *)2;
	touched = 0;
	new_generation = frozen = bus_paused = false;
	said[0] = '\0';
}

static void power_off(void)
{
	saved_close(&machine);
	memory_destroy(&machine.memory);
}

/* Zeros, text, and what does not get smaller; nothing where a PC has its VGA. */
static void fill(bool check)
{
	uint64_t gpa;
	uint32_t seed = 7;
	unsigned int i;

	for (gpa = 0; gpa < config.memory; gpa += MEMORY_PAGE) {
		uint8_t page[MEMORY_PAGE] = {0}, there[MEMORY_PAGE];

		for (i = 0; i < sizeof(page) && gpa / MEMORY_PAGE % 3 != 0; i++) {
			seed = seed * 1664525 + 1013904223;
			page[i] = gpa / MEMORY_PAGE % 3 == 1 ? (uint8_t)(seed >> 24)
							     : "some text "[i % 10];
		}
		if (!check) {
			(void)!memory_put(&machine.memory, gpa, page, sizeof(page));
		} else if (memory_get(&machine.memory, gpa, there, sizeof(there))) {
			assert_memory_equal(there, page, sizeof(page));
		} else {
			assert_true(gpa >= MEMORY_VGA_BASE && gpa < MEMORY_VGA_END);
		}
	}
}

/* A file with the state; the machine is off. */
static int save(void)
{
	struct disk_error error;
	int fd = memfd_create("state", 0);
	unsigned int i;

	assert_true(fd >= 0);
	power_on();
	for (i = 0; i < OWNERS; i++) {
		numbers[i] = 100 + i;
	}
	machine.resets = 9;
	machine.boot.no_flush_calls = true;
	atomic_store(&machine.crashed, true);
	fill(false);
	flushes = 0;
	assert_int_equal(save_write(&machine, fd, &job, &error), 0);
	assert_int_equal(flushes, 1);
	power_off();
	memset(numbers, 0, sizeof(numbers));
	return fd;
}

static void hand_over(int fd)
{
	config.restore.fd = dup(fd);
}

static void all_comes_back(void **state)
{
	int fd = save();
	unsigned int i;
	uint8_t mac[6];

	(void)state;
	power_on();
	assert_false(saved_address(&machine, (const uint8_t[16]){100 + NET1}, mac));
	hand_over(fd);
	assert_true(saved_open(&machine, &config));
	assert_true(machine.boot.no_flush_calls);
	assert_true(saved_load_memory(&machine));
	fill(true);
	assert_int_equal(touched, 0);
	assert_true(saved_address(&machine, (const uint8_t[16]){100 + NET1}, mac));
	assert_int_equal(mac[5], 100 + NET1);
	assert_false(saved_address(&machine, (const uint8_t[16]){1}, mac));
	assert_true(saved_load(&machine));
	assert_int_equal(touched, OWNERS);
	assert_true(new_generation);
	for (i = 0; i < OWNERS; i++) {
		assert_int_equal(order[i], i);
		assert_int_equal(numbers[i], 100 + i);
	}
	assert_true(frozen && bus_paused); /* who starts it has it go on */
	assert_int_equal(machine.resets, 9);
	assert_true(atomic_load(&machine.crashed));
	power_off();
	close(fd);
}

/* What was added is there again before anything is mapped, and what was not is in no file. */
static void added_memory_comes_back(void **state)
{
	const uint64_t added[MEMORY_ADDED] = {4 << 20, 8 << 20};
	struct backend_partition partition = {0};
	struct disk_error error;
	int fd = memfd_create("state", 0);
	char text[5];

	(void)state;
	maximum = 8 << 20;
	power_on();
	assert_true(memory_set_added(&machine.memory, added));
	assert_true(memory_put(&machine.memory, 5 << 20, "text", 5));
	assert_int_equal(memory_map(&machine.memory, &partition), 0);
	assert_int_equal(memory_give_back(&machine.memory, 6 << 20), 0);
	assert_int_equal(save_write(&machine, fd, &job, &error), 0);
	power_off();
	power_on();
	hand_over(fd);
	assert_true(saved_open(&machine, &config) && saved_load_memory(&machine));
	assert_true(memory_get(&machine.memory, 5 << 20, text, 5));
	assert_string_equal(text, "text");
	assert_int_equal(memory_ram(&machine.memory), 6 << 20);
	assert_false(memory_is_ram(&machine.memory, 3 << 20, 1));
	/* So is what the root had, which needs a partition to be taken from. */
	assert_false(saved_load(&machine));
	assert_non_null(strstr(said, "\"away\" names memory that is none"));
	partition = (struct backend_partition){0};
	assert_int_equal(memory_map(&machine.memory, &partition), 0);
	assert_true(saved_load(&machine));
	assert_int_equal(machine.memory.away, 2 << 20);
	assert_true(memory_is_away(&machine.memory, 6 << 20));
	power_off();
	maximum = 10 << 20;
	power_on();
	hand_over(fd);
	assert_false(saved_open(&machine, &config));
	assert_non_null(strstr(said, "could have 8 MiB"));
	power_off();
	maximum = (uint64_t)MEMORY_MIB << 20;
	close(fd);
}

/* What it was started with is in the state; what the configuration says are bounds within that. */
static void bounds_may_be_others(void **state)
{
	struct disk_error error;
	int fd = memfd_create("state", 0);
	uint32_t i;
	/* At the restore: minimum, memory, maximum. In MiB. */
	static const struct {
		uint64_t minimum, memory, maximum, least;
	} later[] = {{2, 2, 8, 2}, {2, 2, 4, 2}, {2, 4, 6, 2}, {4, 4, 6, 2}};

	(void)state;
	maximum = 8 << 20;
	power_on();
	config.memory_minimum = 2 << 20;
	assert_int_equal(save_write(&machine, fd, &job, &error), 0);
	power_off();
	for (i = 0; i < ARRAY_COUNT(later); i++) {
		power_on();
		config.memory_minimum = later[i].minimum << 20;
		config.memory = later[i].memory << 20;
		config.memory_maximum = later[i].maximum << 20;
		hand_over(fd);
		assert_true(saved_open(&machine, &config));
		assert_int_equal(config.memory, 2 << 20);
		assert_int_equal(config.memory_maximum, 8 << 20);
		assert_int_equal(config.memory_minimum, later[i].least << 20);
		assert_true(saved_load_memory(&machine));
		machine.balloon = (void *)1;
		assert_true(saved_load(&machine));
		assert_int_equal(bounds[0], later[i].minimum << 8);
		assert_int_equal(bounds[1], later[i].maximum << 8);
		power_off();
	}
	power_on();
	config.memory_minimum = 2 << 20;
	config.memory_maximum = 10 << 20;
	hand_over(fd);
	assert_false(saved_open(&machine, &config));
	assert_non_null(strstr(said, "no more than 8 MiB until it is off"));
	assert_int_equal(config.memory_maximum, 10 << 20);
	power_off();
	/* One that is not led, or that moves, is as it was. */
	power_on();
	config.memory_maximum = 4 << 20;
	hand_over(fd);
	assert_false(saved_open(&machine, &config));
	assert_non_null(strstr(said, "could have 8 MiB"));
	power_off();
	maximum = (uint64_t)MEMORY_MIB << 20;
	close(fd);
}

/* What a page of zeros was needs none of the host's. */
static void zeros_take_no_room(void **state)
{
	struct disk_error error;
	int fd = memfd_create("state", 0);

	(void)state;
	power_on();
	assert_int_equal(save_write(&machine, fd, &job, &error), 0);
	assert_true(lseek(fd, 0, SEEK_END) < 64 << 10);
	power_off();
	close(fd);
}

static void refused(int fd, const char *why)
{
	hand_over(fd);
	assert_false(saved_open(&machine, &config));
	assert_non_null(strstr(said, why));
	assert_int_equal(touched, 0);
}

static void of_another_machine(void **state)
{
	int fd = save();

	(void)state;
	power_on();
	config.vps = 1;
	refused(fd, "--restore file: the machine that was saved has 2 VPs and 2 MiB");
	power_off();
	power_on();
	config.memory += 2 << 20;
	config.memory_maximum += 2 << 20;
	refused(fd, "has 2 VPs and 2 MiB");
	power_off();
	power_on();
	config.generation = 1;
	refused(fd, "of another generation");
	power_off();
	power_on();
	machine.disks.ide[0] = (void *)2;
	hand_over(fd);
	assert_true(saved_open(&machine, &config));
	assert_false(saved_load(&machine));
	assert_non_null(strstr(said, "other controllers"));
	assert_int_equal(touched, 0);
	power_off();
	power_on();
	machine.networks.places[5].network = NULL;
	hand_over(fd);
	assert_true(saved_open(&machine, &config) && saved_load_memory(&machine));
	assert_false(saved_load(&machine));
	assert_non_null(strstr(said, "\"ic\""));
	power_off();
	close(fd);
}

static void not_a_state(void **state)
{
	struct hvs_writer *writer;
	int fd = memfd_create("state", 0);

	(void)state;
	power_on();
	refused(fd, "no saved state, or a damaged one: it has no valid header");
	power_off();
	assert_int_equal(hvs_writer_create(fd, &writer), 0);
	hvs_put_int(writer, "/savedstate/VmVersion", 1);
	assert_int_equal(hvs_writer_finish(writer), 0);
	hvs_writer_destroy(writer);
	power_on();
	refused(fd, "no saved state of this worker's");
	power_off();
	close(fd);
	power_on();
	config.restore.path = "/nowhere/at/all";
	assert_false(saved_open(&machine, &config));
	assert_non_null(strstr(said, "--restore /nowhere/at/all: No such file"));
	power_off();
}

/* A bit of each stretch of the file in turn: whatever is there is refused, or does not matter. */
static void damage_is_refused(void **state)
{
	int fd = save(), refusals = 0, by_memory = 0;
	off_t size = lseek(fd, 0, SEEK_END), at;
	uint8_t byte;

	(void)state;
	for (at = 0; at < size; at += at < 12400 || at > size - 30000 ? 97 : 20011) {
		assert_int_equal(pread(fd, &byte, 1, at), 1);
		byte ^= 8;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		power_on();
		hand_over(fd);
		if (!saved_open(&machine, &config)) {
			refusals++;
		} else if (!saved_load_memory(&machine)) {
			assert_non_null(strstr(said, "its memory at 0x"));
			by_memory++;
		} else {
			fill(true);
			assert_true(saved_load(&machine));
			assert_int_equal(numbers[BUS], 100 + BUS);
		}
		power_off();
		byte ^= 8;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	}
	assert_true(refusals > 5 && by_memory > 20);
	close(fd);
}

static void a_processor_that_has_not_what_it_needs(void **state)
{
	int fd = save();

	(void)state;
	power_on();
	hand_over(fd);
	assert_true(saved_open(&machine, &config));
	vp_error = -EIO;
	assert_false(saved_load(&machine));
	assert_non_null(strstr(said, "Input/output error"));
	vp_error = 0;
	power_off();
	close(fd);
}

static int save_anew(void)
{
	struct disk_error error = {.text = ""};
	const char *why;
	struct hvs_file *file;
	int fd = memfd_create("state", 0), ret;

	power_on();
	ret = save_write(&machine, fd, &job, &error);
	power_off();
	if (ret != 0) {
		assert_non_null(strstr(error.text, "cannot be saved: "));
		assert_int_equal(hvs_open(fd, &file, &why),
				 -EINVAL); /* nobody takes it for whole */
	}
	close(fd);
	return ret;
}

static void given_up(void **state)
{
	(void)state;
	cancelled = true;
	assert_int_equal(save_anew(), -ECANCELED);
	cancelled = false;
	flush_error = -EIO;
	assert_int_equal(save_anew(), -EIO);
	flush_error = 0;
	assert_int_equal(save_anew(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_comes_back),
		cmocka_unit_test(added_memory_comes_back),
		cmocka_unit_test(bounds_may_be_others),
		cmocka_unit_test(zeros_take_no_room),
		cmocka_unit_test(of_another_machine),
		cmocka_unit_test(not_a_state),
		cmocka_unit_test(damage_is_refused),
		cmocka_unit_test(a_processor_that_has_not_what_it_needs),
		cmocka_unit_test(given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
