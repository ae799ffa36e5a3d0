/*
 * worker/machine.c and vp.c: a machine that stands still, and every other thing that may happen
 * meanwhile. The hypervisor here is a loop in each VP's thread that counts, and that a kick ends if
 * it comes in it; one that comes before is lost, as below a real one.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmbus/vmbus.h"
#include "vsp/integration/integration.h"
#include "worker/job.h"
#include "worker/machine.h"
#include "worker/arrival.h"
#include "worker/nics.h"
#include "worker/save.h"

#define VPS 4

struct backend_vp {
	unsigned int index;
};

struct backend_partition {
	bool frozen;
};

static struct backend_vp vps[VPS];
static struct backend_partition partition;
static struct config config = {.vps = VPS};
static struct machine machine;
static atomic_uint counts[VPS]; /* what the guest does */
static atomic_bool deaf;        /* kicks do not reach VP 0 */
static atomic_bool cannot_freeze;
static __thread volatile sig_atomic_t kicked;

static void on_kick(int signal_number)
{
	(void)signal_number;
	kicked = 1;
}

static void moment(void)
{
	static const struct timespec pause = {.tv_nsec = 50000};

	nanosleep(&pause, NULL);
}

int backend_vp_run(struct backend_vp *vp, struct vp_exit *exit)
{
	unsigned int i;

	exit->kind = VP_EXIT_NONE;
	kicked = 0;
	for (i = 0; i < 100 || (vp->index == 0 && atomic_load(&deaf)); i++) {
		if (kicked && !(vp->index == 0 && atomic_load(&deaf))) {
			break;
		}
		assert_false(partition.frozen);
		atomic_fetch_add(&counts[vp->index], 1);
		moment();
	}
	return 0;
}

int backend_partition_create(int backend, unsigned int vp_count, bool flush_calls,
			     struct backend_partition **out)
{
	(void)backend;
	(void)flush_calls;
	assert_int_equal(vp_count, VPS);
	partition.frozen = false;
	*out = &partition;
	return 0;
}

void backend_partition_destroy(struct backend_partition **out)
{
	assert_false(partition.frozen);
	*out = NULL;
}

int backend_partition_freeze_time(struct backend_partition *of, bool freeze)
{
	if (freeze && atomic_load(&cannot_freeze)) {
		return -EINVAL;
	}
	of->frozen = freeze;
	return 0;
}

int backend_partition_interrupt(struct backend_partition *of,
				const struct backend_interrupt *interrupt)
{
	(void)of;
	(void)interrupt;
	return 0;
}

int backend_vp_create(struct backend_partition *of, unsigned int index, struct backend_vp **vp)
{
	(void)of;
	vps[index].index = index;
	*vp = &vps[index];
	return 0;
}

void backend_vp_destroy(struct backend_vp **vp)
{
	*vp = NULL;
}

int backend_vp_set_local_pins(struct backend_vp *vp, bool extint)
{
	(void)vp;
	(void)extint;
	return 0;
}

int backend_vp_set_boot_state(struct backend_vp *vp, const struct vp_boot_state *state)
{
	(void)vp;
	(void)state;
	return 0;
}

int backend_vp_request_window(struct backend_vp *vp, bool wanted)
{
	(void)vp;
	(void)wanted;
	return 0;
}

void intercept_handle(struct machine_vp *vp, struct vp_exit *exit)
{
	(void)vp;
	(void)exit;
}

void control_notify(struct machine *m)
{
	(void)m;
}

void vmbus_reset(struct vmbus *bus)
{
	(void)bus;
}

void vmbus_begin_reset(struct vmbus *bus)
{
	(void)bus;
	assert_false(partition.frozen);
}

static bool bus_paused;
static unsigned int bus_looks; /* as often it is found not to stand */

void vmbus_begin_pause(struct vmbus *bus)
{
	(void)bus;
	assert_true(partition.frozen && !bus_paused);
	bus_paused = true;
}

bool vmbus_stands(struct vmbus *bus)
{
	(void)bus;
	assert_true(bus_paused);
	return bus_looks == 0 || bus_looks-- == 0;
}

void vmbus_resume(struct vmbus *bus)
{
	(void)bus;
	assert_true(bus_paused);
	bus_paused = false;
}

int memory_create(struct memory *memory, uint64_t start, uint64_t size, bool in_blocks)
{
	(void)in_blocks;
	(void)memory;
	(void)start;
	(void)size;
	return 0;
}

int memory_clear(struct memory *memory)
{
	(void)memory;
	return 0;
}

void memory_unmap(struct memory *memory)
{
	(void)memory;
}

int memory_map(struct memory *memory, struct backend_partition *to)
{
	(void)memory;
	(void)to;
	return 0;
}

void *memory_acquire(const struct memory *memory, uint64_t gpa, uint64_t length)
{
	static uint8_t tables[ACPI_TABLES_LENGTH];

	(void)memory;
	(void)gpa;
	(void)length;
	return tables;
}

void memory_complete(const struct memory *memory, uint64_t gpa, uint64_t length, uint64_t written)
{
	(void)memory;
	(void)gpa;
	(void)length;
	(void)written;
}

bool loader_load(struct loader *loader, struct vp_boot_state *state)
{
	(void)loader;
	(void)state;
	return true;
}

bool identity_attach(struct machine *m)
{
	(void)m;
	return true;
}

bool identity_create(struct machine *m)
{
	(void)m;
	return true;
}

void identity_smbios(const struct machine *m, struct smbios *smbios)
{
	(void)m;
	(void)smbios;
}

bool identity_write(struct machine *m)
{
	(void)m;
	return true;
}

void board_create(struct board *board, struct host *host, enum board_kind kind)
{
	pthread_mutex_init(&board->lock, NULL);
	(void)host;
	(void)kind;
}

int backend_partition_map(struct backend_partition *of, uint64_t gpa, void *memory, uint64_t length,
			  unsigned int access)
{
	(void)of;
	(void)gpa;
	(void)memory;
	(void)length;
	(void)access;
	return 0;
}

int backend_partition_unmap(struct backend_partition *of, uint64_t gpa, void *memory,
			    uint64_t length)
{
	(void)of;
	(void)gpa;
	(void)memory;
	(void)length;
	return 0;
}

bool memory_get(const struct memory *memory, uint64_t gpa, void *to, uint64_t length)
{
	(void)memory;
	(void)gpa;
	(void)to;
	(void)length;
	return false;
}

bool memory_put(const struct memory *memory, uint64_t gpa, const void *from, uint64_t length)
{
	(void)memory;
	(void)gpa;
	(void)from;
	(void)length;
	return false;
}

void firmware_log(struct firmware *firmware, uint8_t byte)
{
	(void)firmware;
	(void)byte;
}

void firmware_watch(struct firmware *firmware, uint8_t byte)
{
	(void)firmware;
	(void)byte;
}

bool tpm_start(struct tpm *tpm)
{
	(void)tpm;
	return true;
}

bool tpm_stands(struct tpm *tpm)
{
	(void)tpm;
	return true;
}

void tpm_begin_stop(struct tpm *tpm)
{
	(void)tpm;
}

void tpm_stop(struct tpm *tpm)
{
	(void)tpm;
}

void board_add_sb16(struct board *board)
{
	(void)board;
}

void board_add_hda(struct board *board)
{
	(void)board;
}

void board_add_usb(struct board *board)
{
	(void)board;
}

bool disks_want_usb(const struct config *one)
{
	(void)one;
	return false;
}

void board_add_tablet(struct board *board)
{
	(void)board;
}

void tpm_submit(struct tpm *tpm, const uint8_t *command, uint32_t length)
{
	(void)tpm;
	(void)command;
	(void)length;
}

void board_map(struct board *board)
{
	(void)board;
}

void firmware_attach(struct firmware *firmware, const struct memory *memory, struct board *board,
		     const struct config *wanted)
{
	(void)firmware;
	(void)memory;
	(void)board;
	(void)wanted;
}

bool firmware_load(struct firmware *firmware, struct loader *loader)
{
	(void)firmware;
	(void)loader;
	return true;
}

void board_add_debug_exit(struct board *board)
{
	(void)board;
}

void board_reset(struct board *board)
{
	(void)board;
}

bool bus_create(struct machine *m)
{
	(void)m;
	return true;
}

bool arrival_begin(struct machine *m)
{
	(void)m;
	return true;
}

bool arrival_state(struct machine *m)
{
	(void)m;
	return true;
}

bool arrival_take(struct machine *m)
{
	(void)m;
	return true;
}

void arrival_end(struct machine *m)
{
	(void)m;
}

void arrival_fail(struct machine *m)
{
	(void)m;
}

void vmbus_pause(struct vmbus *bus)
{
	(void)bus;
	assert_false(bus_paused);
	bus_paused = true;
}

bool saved_load_memory(struct machine *m)
{
	(void)m;
	return false;
}

bool saved_load(struct machine *m)
{
	(void)m;
	return false;
}

void saved_close(struct machine *m)
{
	(void)m;
}

bool services_create(struct machine *m)
{
	(void)m;
	return true;
}

static unsigned int resumes;

void integration_resumed(struct integration *integration)
{
	(void)integration;
	resumes++;
}

bool drives_start(struct machine *m)
{
	(void)m;
	return true;
}

bool screen_create(struct machine *m)
{
	(void)m;
	return true;
}

void screen_clear(struct machine *m)
{
	(void)m;
}

void drives_stop(struct machine *m)
{
	(void)m;
}

void drives_begin_stop(struct machine *m)
{
	(void)m;
}

/* How often the drives are found not to stand yet. */
static unsigned int drive_looks;
static atomic_bool drives_paused;

void drives_begin_pause(struct machine *m)
{
	(void)m;
	assert_false(atomic_exchange(&drives_paused, true));
}

void drives_pause(struct machine *m)
{
	drives_begin_pause(m);
}

bool drives_are_quiet(struct machine *m)
{
	(void)m;
	if (drive_looks != 0) {
		drive_looks--;
	}
	return drive_looks == 0;
}

void drives_resume(struct machine *m)
{
	(void)m;
	assert_true(atomic_exchange(&drives_paused, false));
}

bool nics_start(struct machine *m)
{
	(void)m;
	return true;
}

void nics_stop(struct machine *m)
{
	(void)m;
}

void nics_resume(struct machine *m)
{
	(void)m;
}

bool disks_make_controllers(struct machine *m)
{
	(void)m;
	return true;
}

bool disks_attach(struct machine *m)
{
	(void)m;
	return true;
}

bool serial_put(struct serial *serial, uint8_t byte)
{
	(void)serial;
	(void)byte;
	return true;
}

bool serial_get(struct serial *serial, uint8_t *byte)
{
	(void)serial;
	(void)byte;
	return false;
}

bool serial_wants_in(const struct serial *serial)
{
	(void)serial;
	return false;
}

/* ---- */

static int start(void **state)
{
	struct sigaction kick = {.sa_handler = on_kick};

	(void)state;
	sigaction(VP_KICK, &kick, NULL);
	atomic_store(&deaf, false);
	atomic_store(&cannot_freeze, false);
	machine = (struct machine){.config = &config};
	assert_true(machine_create(&machine));
	assert_true(machine_start(&machine));
	return 0;
}

static int stop(void **state)
{
	(void)state;
	atomic_store(&deaf, false);
	machine_end(&machine, STOP_REQUEST);
	machine_stop(&machine);
	free(machine.vps);
	close(machine.stop_event);
	close(machine.host.board_timer);
	close(machine.host.nudge_timer);
	return 0;
}

static void wait_for_progress(void)
{
	unsigned int i, before[VPS];

	for (i = 0; i < VPS; i++) {
		before[i] = atomic_load(&counts[i]);
	}
	for (i = 0; i < VPS; i++) {
		while (atomic_load(&counts[i]) == before[i]) {
			moment();
		}
	}
}

static void sleep_ms(unsigned int ms)
{
	usleep(ms * 1000);
}

static void assert_stands(void)
{
	uint64_t time = host_time(&machine.host);
	unsigned int i, before[VPS];

	assert_true(partition.frozen);
	for (i = 0; i < VPS; i++) {
		before[i] = atomic_load(&counts[i]);
	}
	sleep_ms(20);
	for (i = 0; i < VPS; i++) {
		assert_int_equal(atomic_load(&counts[i]), before[i]);
	}
	assert_true(host_time(&machine.host) == time);
}

static struct jobs jobs = {.event = -1};

/* What the main thread does when the job's thread has ended. */
static int pause_devices(struct job *job)
{
	int ret;

	do {
		ret = machine_pause_bus(&machine, job);
	} while (ret == -EAGAIN);
	return ret;
}

static int pause_machine(void)
{
	struct job job = {.jobs = &jobs};
	int ret = machine_pause_vps(&machine, &job);

	return ret == 0 ? pause_devices(&job) : ret;
}

static void stands_and_goes_on(void **state)
{
	uint64_t epoch, time;
	unsigned int i;

	(void)state;
	for (i = 0; i < 10; i++) {
		wait_for_progress();
		epoch = machine.host.epoch;
		assert_int_equal(pause_machine(), 0);
		assert_int_equal(atomic_load(&machine.pause.state), PAUSE_DONE);
		time = host_time(&machine.host);
		assert_stands();
		assert_int_equal(pause_machine(), -EALREADY);
		resumes = 0;
		assert_true(machine_resume(&machine));
		assert_int_equal(resumes, 1); /* the guest is told the time */
		assert_false(partition.frozen);
		assert_true(host_time(&machine.host) >= time);
		/* The pause is not in the board's time. */
		assert_true(machine.host.epoch - epoch >= 20000000);
		assert_false(machine_resume(&machine));
	}
	wait_for_progress();
}

static void *let_go(void *argument)
{
	sleep_ms(30);
	*(atomic_bool *)argument = true;
	machine_release(&machine);
	return NULL;
}

/* Who holds it is waited for, by the machine's end as well; nobody holds one that runs. */
static void held_it_stands(void **state)
{
	atomic_bool gone = false;
	pthread_t thread;

	(void)state;
	assert_false(machine_hold(&machine));
	assert_int_equal(pause_machine(), 0);
	assert_true(machine_hold(&machine));
	assert_true(machine_is_held(&machine));
	assert_false(machine_hold(&machine));
	assert_false(machine_resume(&machine));
	assert_stands();
	machine_release(&machine);
	assert_false(machine_is_held(&machine));
	assert_true(machine_resume(&machine));
	wait_for_progress();
	assert_int_equal(pause_machine(), 0);
	assert_true(machine_hold(&machine));
	assert_int_equal(pthread_create(&thread, NULL, let_go, &gone), 0);
	machine_end(&machine, STOP_REQUEST);
	machine_stop(&machine);
	assert_true(atomic_load(&gone));
	pthread_join(thread, NULL);
	assert_true(machine_start(&machine));
	wait_for_progress();
}

/* The devices come later; a pause that is given up before that has stopped nothing. */
static void devices_stand_later(void **state)
{
	struct job job = {.jobs = &jobs};

	(void)state;
	drive_looks = 3;
	bus_looks = 2;
	assert_int_equal(machine_pause_vps(&machine, &job), 0);
	assert_int_equal(machine_pause_bus(&machine, &job), -EAGAIN);
	assert_int_equal(atomic_load(&machine.pause.state), PAUSE_ASKED);
	assert_stands();
	assert_int_equal(machine_pause_bus(&machine, &job), -EAGAIN);
	assert_int_equal(machine_pause_bus(&machine, &job), 0);
	assert_int_equal(atomic_load(&machine.pause.state), PAUSE_DONE);
	assert_true(machine_resume(&machine));
	wait_for_progress();
	bus_looks = 1000;
	job = (struct job){.jobs = &jobs};
	assert_int_equal(machine_pause_vps(&machine, &job), 0);
	assert_int_equal(machine_pause_bus(&machine, &job), -EAGAIN);
	assert_true(machine_resume(&machine));
	assert_int_equal(machine_pause_bus(&machine, &job), -ECANCELED);
	wait_for_progress();
	job = (struct job){.jobs = &jobs};
	assert_int_equal(machine_pause_vps(&machine, &job), 0);
	assert_int_equal(machine_pause_bus(&machine, &job), -EAGAIN);
	atomic_store(&job.turn, JOB_IS_CANCELLED);
	assert_int_equal(machine_pause_bus(&machine, &job), -ECANCELED);
	wait_for_progress();
	bus_looks = 0;
}

static void *pause_vps(void *job)
{
	assert_int_equal(machine_pause_vps(&machine, job), -ECANCELED);
	return NULL;
}

/* A command of an emulated drive does not end: a resume and a cancel do not wait for it, nor does
 * the machine's end. */
static void a_drive_hangs(void **state)
{
	struct job job;
	pthread_t thread;
	unsigned int how;

	(void)state;
	for (how = 0; how < 3; how++) {
		drive_looks = UINT32_MAX;
		job = (struct job){.jobs = &jobs};
		assert_int_equal(pthread_create(&thread, NULL, pause_vps, &job), 0);
		while (!atomic_load(&drives_paused)) {
			moment();
		}
		sleep_ms(10);
		if (how == 0) {
			assert_true(machine_resume(&machine));
		} else if (how == 1) {
			atomic_store(&job.turn, JOB_IS_CANCELLED);
		} else {
			machine_end(&machine, STOP_RESET);
		}
		pthread_join(thread, NULL);
		assert_false(atomic_load(&drives_paused));
		assert_int_equal(atomic_load(&machine.pause.state), PAUSE_NONE);
		drive_looks = 0;
		if (how == 2) {
			machine_stop(&machine);
			assert_true(machine_start(&machine));
		}
		wait_for_progress();
	}
}

static bool timer_is_armed(void)
{
	struct itimerspec when;

	timerfd_gettime(machine.host.board_timer, &when);
	return when.it_value.tv_sec != 0 || when.it_value.tv_nsec != 0;
}

static void timers_stand(void **state)
{
	uint64_t day = 86400000000000ull;

	(void)state;
	host_wake_at(&machine.host, host_time(&machine.host) + day);
	assert_true(timer_is_armed());
	assert_int_equal(pause_machine(), 0);
	assert_false(timer_is_armed());
	host_wake_at(&machine.host, host_time(&machine.host) + day);
	assert_false(timer_is_armed());
	assert_true(machine_resume(&machine));
	assert_true(timer_is_armed());
	host_wake_at(&machine.host, HOST_NEVER);
	assert_int_equal(pause_machine(), 0);
	assert_true(machine_resume(&machine));
	assert_false(timer_is_armed());
}

static void a_clock_that_cannot_stand(void **state)
{
	(void)state;
	atomic_store(&cannot_freeze, true);
	assert_int_equal(pause_machine(), -EINVAL);
	assert_int_equal(atomic_load(&machine.pause.state), PAUSE_NONE);
	wait_for_progress();
}

/* Stopped and reset while it stands: it runs when it starts again, by the same clocks. */
static void reset_while_paused(void **state)
{
	(void)state;
	assert_int_equal(pause_machine(), 0);
	machine_end(&machine, STOP_RESET);
	machine_stop(&machine);
	assert_true(machine_reset(&machine));
	assert_int_equal(machine.resets, 1);
	assert_true(machine_start(&machine));
	assert_int_equal(atomic_load(&machine.pause.state), PAUSE_NONE);
	wait_for_progress();
	assert_int_equal(pause_machine(), 0);
	assert_stands();
}

static struct job job;
static int result;

static void *pause_in_thread(void *unused)
{
	(void)unused;
	result = machine_pause_vps(&machine, &job);
	return NULL;
}

/* A VP that does not hear: the others stand already. */
static pthread_t begin_pause(void)
{
	unsigned int before;
	pthread_t thread;

	atomic_store(&deaf, true);
	/* More than it does in one run: then it is in the one that does not end. */
	before = atomic_load(&counts[0]);
	while (atomic_load(&counts[0]) - before <= 200) {
		moment();
	}
	job = (struct job){.jobs = &jobs};
	assert_int_equal(pthread_create(&thread, NULL, pause_in_thread, NULL), 0);
	for (;;) {
		unsigned int parked;

		pthread_mutex_lock(&machine.pause.lock);
		parked = machine.pause.parked;
		pthread_mutex_unlock(&machine.pause.lock);
		if (parked == VPS - 1) {
			return thread;
		}
		moment();
	}
}

static void cancelled(void **state)
{
	pthread_t thread = begin_pause();

	(void)state;
	atomic_store(&job.turn, JOB_IS_CANCELLED);
	pthread_join(thread, NULL);
	assert_int_equal(result, -ECANCELED);
	assert_int_equal(atomic_load(&machine.pause.state), PAUSE_NONE);
	atomic_store(&deaf, false);
	wait_for_progress();
}

static void resumed_before_it_stands(void **state)
{
	pthread_t thread = begin_pause();

	(void)state;
	assert_true(machine_resume(&machine));
	pthread_join(thread, NULL);
	assert_int_equal(result, -ECANCELED);
	wait_for_progress();
}

static void stopped_before_it_stands(void **state)
{
	pthread_t thread = begin_pause();

	(void)state;
	machine_end(&machine, STOP_RESET);
	atomic_store(&deaf, false);
	machine_stop(&machine);
	assert_true(machine_reset(&machine));
	assert_true(machine_start(&machine));
	pthread_join(thread, NULL);
	assert_int_equal(result, -ECANCELED);
	wait_for_progress();
}

/* Resets at any moment of pauses that come one after the other. */
static void in_any_order(void **state)
{
	pthread_t thread;
	unsigned int i;

	(void)state;
	for (i = 0; i < 100; i++) {
		job = (struct job){.jobs = &jobs};
		assert_int_equal(pthread_create(&thread, NULL, pause_in_thread, NULL), 0);
		usleep(i * 37 % 400);
		if (i % 3 == 0) {
			(void)machine_resume(&machine);
		} else {
			machine_end(&machine, STOP_RESET);
			machine_stop(&machine);
			assert_true(machine_reset(&machine));
			assert_true(machine_start(&machine));
		}
		pthread_join(thread, NULL);
		if (result == 0) {
			bus_looks = i % 2;
			result = pause_devices(&job);
		}
		assert_true(result == 0 || result == -ECANCELED);
		/* Done: then what came first is not known. */
		if (machine_resume(&machine)) {
			assert_int_equal(result, 0);
		}
	}
	wait_for_progress();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(stands_and_goes_on),
		TEST(devices_stand_later),
		TEST(a_drive_hangs),
		TEST(timers_stand),
		TEST(held_it_stands),
		TEST(a_clock_that_cannot_stand),
		TEST(reset_while_paused),
		TEST(cancelled),
		TEST(resumed_before_it_stands),
		TEST(stopped_before_it_stands),
		TEST(in_any_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
