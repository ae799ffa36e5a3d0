/* The machine's life, see machine.h. */
#include "worker/machine.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "hosted/clock.h"
#include "vmbus/vmbus.h"
#include "vsp/integration/integration.h"
#include "worker/job.h"
#include "worker/nics.h"
#include "worker/assigned.h"
#include "worker/arrival.h"
#include "worker/save.h"
#include "worker/say.h"

#define KICK_EVERY_NS 2000000

/* The first reason is the one that counts. */
void machine_end(struct machine *machine, enum stop_reason reason)
{
	enum stop_reason none = STOP_NONE;

	if (atomic_compare_exchange_strong(&machine->stop, &none, reason)) {
		eventfd_write(machine->stop_event, 1);
	}
}

void machine_turn_off(struct machine *machine)
{
	machine->off = true;
	machine->hurries = machine->waits;
	machine_end(machine, STOP_REQUEST);
}

/* Kernel, initrd and tables, or firmware, into memory that is all zeros. */
static bool fill_memory(struct machine *machine)
{
	char why[512];

	machine->loader.memory = &machine->memory;
	machine->loader.why = why;
	machine->loader.why_size = sizeof(why);
	if (machine->config->generation != 0) {
		if (!firmware_load(&machine->firmware, &machine->loader)) {
			say("%s", why);
			return false;
		}
		return true;
	}
	if (!loader_load(&machine->loader, &machine->boot)) {
		say("%s", why);
		return false;
	}
	return identity_write(machine);
}

static void create_pause(struct pause *pause)
{
	pthread_mutex_init(&pause->lock, NULL);
	pthread_cond_init(&pause->arrived, NULL);
	pthread_cond_init(&pause->go_on, NULL);
}

/*
 * What is there from the machine's start to its end. Its partition is made by each start, and goes
 * with each reset.
 */
bool machine_create(struct machine *machine)
{
	const struct config *config = machine->config;
	unsigned int i;
	int ret;

	create_pause(&machine->pause);
	ret = memory_create(&machine->memory, config->memory, config->memory_maximum,
			    config->memory_minimum != 0);
	if (ret != 0) {
		say("--memory %lluM: %s; give less", (unsigned long long)(config->memory >> 20),
		    strerror(-ret));
		return false;
	}
	if (!identity_create(machine) ||
	    !(machine->arrival != NULL ? true
	      : machine->saved != NULL ? saved_load_memory(machine)
				       : fill_memory(machine)) ||
	    !host_create(&machine->host, machine)) {
		return false;
	}
	machine->stop_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	machine->vps = calloc(config->vps, sizeof(machine->vps[0]));
	if (machine->stop_event < 0 || machine->vps == NULL) {
		say("%s", strerror(errno));
		return false;
	}
	for (i = 0; i < config->vps; i++) {
		machine->vps[i].machine = machine;
		machine->vps[i].index = i;
	}
	board_create(&machine->board, &machine->host,
		     config->generation == 0   ? BOARD_DIRECT
		     : config->generation == 1 ? BOARD_GENERATION_1
					       : BOARD_GENERATION_2);
	if (config->generation != 0) {
		identity_smbios(machine, &machine->firmware.smbios);
		firmware_attach(&machine->firmware, &machine->memory, &machine->board, config);
		if (!identity_attach(machine)) {
			return false;
		}
	}
	if (config->vga && !screen_create(machine)) {
		return false;
	}
	if (config->sound == CONFIG_SB16) {
		board_add_sb16(&machine->board);
	} else if (config->sound == CONFIG_HDA) {
		board_add_hda(&machine->board);
	}
	if (config->tablet || disks_want_usb(config)) {
		board_add_usb(&machine->board);
	}
	if (config->tablet) {
		board_add_tablet(&machine->board);
	}
	if (config->debug_exit) {
		board_add_debug_exit(&machine->board);
	}
	return bus_create(machine) &&
	       (machine->arrival != NULL ? disks_make_controllers : disks_attach)(machine) &&
	       services_create(machine);
}

static bool failed(const char *what, int rc)
{
	const char *advice =
		rc == -ENOMEM ? "; give the machine less memory, or end something that uses memory"
			      : "";

	say("the hypervisor did not %s: %s%s", what, strerror(-rc), advice);
	return false;
}

/* All of a machine's memory is locked memory of this process. */
static bool map_failed(uint64_t size, int ret)
{
	struct rlimit limit;

	if (ret != -ENOMEM || getrlimit(RLIMIT_MEMLOCK, &limit) || limit.rlim_cur >= size) {
		return failed("map the machine's memory", ret);
	}
	say("the machine's %llu MiB of memory are more than this user may lock, which is %llu KiB: "
	    "raise RLIMIT_MEMLOCK (ulimit -l), or run vmwp as root",
	    (unsigned long long)(size >> 20), (unsigned long long)(limit.rlim_cur >> 10));
	return false;
}

static bool create_vps(struct machine *machine)
{
	unsigned int i;
	int ret;

	for (i = 0; i < machine->config->vps; i++) {
		struct machine_vp *vp = &machine->vps[i];

		ret = backend_vp_create(machine->partition, i, &vp->vp);
		if (ret == 0) {
			ret = backend_vp_set_local_pins(vp->vp, i == 0);
		}
		if (ret != 0) {
			return failed("create a VP", ret);
		}
	}
	if (machine->config->generation != 0 || machine->saved != NULL ||
	    machine->arrival != NULL) {
		return true; /* as after reset, or what the state says */
	}
	ret = backend_vp_set_boot_state(machine->vps[0].vp, &machine->boot);
	return ret == 0 || failed("take the first VP's registers", ret);
}

/* A new one each time: nothing of what the guest did to its processors outlives a reset. */
static bool create_partition(struct machine *machine)
{
	int ret = backend_partition_create(machine->backend, machine->config->vps,
					   !machine->boot.no_flush_calls, &machine->partition);

	if (ret != 0) {
		return failed("create a partition", ret);
	}
	ret = memory_map(&machine->memory, machine->partition);
	if (ret != 0) {
		return map_failed(machine->memory.size, ret);
	}
	board_map(&machine->board);
	return create_vps(machine);
}

static bool start_threads(struct machine *machine)
{
	unsigned int i;

	for (i = 0; i < machine->config->vps; i++) {
		struct machine_vp *vp = &machine->vps[i];
		int ret;

		vp->ended = false;
		vp->exit = (struct vp_exit){.kind = VP_EXIT_NONE};
		ret = pthread_create(&vp->thread, NULL, vp_thread, vp);

		if (ret != 0) {
			say("no thread for VP %u: %s", i, strerror(ret));
			return false;
		}
		vp->running = true;
	}
	return true;
}

bool machine_start(struct machine *machine)
{
	atomic_store(&machine->stop, STOP_NONE);
	atomic_store(&machine->crashed, false);
	clock_gettime(CLOCK_MONOTONIC, &machine->started);
	/* The drives first: a board that is loaded may have something for them to do. */
	if (arrival_begin(machine) && create_partition(machine) && assigned_start(machine) &&
	    arrival_state(machine) && drives_start(machine) && nics_start(machine) &&
	    nvram_start(&machine->firmware.nvram) && tpm_start(&machine->tpm) &&
	    sound_start(&machine->sound) && (machine->saved == NULL || saved_load(machine)) &&
	    start_threads(machine) && arrival_take(machine)) {
		if (machine->saved != NULL) {
			saved_close(machine);
			(void)machine_resume(machine); /* it stood */
		}
		arrival_end(machine);
		return true;
	}
	arrival_fail(machine);
	machine_end(machine, STOP_HOST_ERROR);
	machine_stop(machine);
	return false;
}

/* A kick that comes just before the VP enters is lost, so it is repeated until the thread has come
 * to its end. */
static void wait_for_end(struct machine_vp *vp)
{
	static const struct timespec pause = {.tv_nsec = KICK_EVERY_NS};

	while (!atomic_load(&vp->ended)) {
		pthread_kill(vp->thread, VP_KICK);
		nanosleep(&pause, NULL);
	}
}

/* No thread is joined before all have ended: until then they may kick each other. */
static void end_threads(struct machine *machine)
{
	unsigned int i;

	for (i = 0; i < machine->config->vps; i++) {
		if (machine->vps[i].running) {
			wait_for_end(&machine->vps[i]);
		}
	}
	for (i = 0; i < machine->config->vps; i++) {
		if (machine->vps[i].running) {
			pthread_join(machine->vps[i].thread, NULL);
			machine->vps[i].running = false;
		}
	}
}

/* The clocks first: nothing that waits for VPs to stand may see the partition go. Under the
 * lock. */
static void end_pause(struct machine *machine)
{
	struct pause *pause = &machine->pause;

	if (pause->frozen) {
		drives_resume(machine);
		host_freeze(&machine->host, false);
		nics_resume(machine);
		if (backend_partition_freeze_time(machine->partition, false) != 0) {
			say("the guest's time does not go on");
		}
		pause->frozen = false;
	}
	atomic_store(&pause->state, PAUSE_NONE);
	pause->owner = NULL;
	pthread_cond_broadcast(&pause->go_on);
	pthread_cond_signal(&pause->arrived);
}

/* A kick that comes just before a VP enters is lost, so they are repeated. */
static void kick_for_pause(struct machine *machine)
{
	unsigned int i;

	for (i = 0; i < machine->config->vps; i++) {
		vp_kick(&machine->vps[i]);
	}
	clock_wait(&machine->pause.arrived, &machine->pause.lock, KICK_EVERY_NS);
}

/* Under the lock. */
static bool is_pause_wanted(struct machine *machine, const struct job *job)
{
	return machine->pause.owner == job && !job_cancelled(job) &&
	       atomic_load(&machine->stop) == STOP_NONE;
}

/* The clocks, and the emulated drives' commands. Under the lock. */
static int stand_still(struct machine *machine)
{
	host_freeze(&machine->host, true);
	machine->pause.frozen = true;
	drives_begin_pause(machine);
	return backend_partition_freeze_time(machine->partition, true);
}

/*
 * On the job's thread: the VPs, then the clocks, then the emulated drives. Each wait ends when the
 * pause is not wanted any more.
 */
int machine_pause_vps(struct machine *machine, struct job *job)
{
	struct pause *pause = &machine->pause;
	int ret = 0;

	pthread_mutex_lock(&pause->lock);
	if (atomic_load(&pause->state) != PAUSE_NONE) {
		pthread_mutex_unlock(&pause->lock);
		return -EALREADY;
	}
	pause->owner = job;
	atomic_store(&pause->state, PAUSE_ASKED);
	while (is_pause_wanted(machine, job) && pause->parked < machine->config->vps) {
		kick_for_pause(machine);
	}
	if (is_pause_wanted(machine, job)) {
		ret = stand_still(machine);
	}
	job_step(job, "waiting for the guest's requests");
	while (ret == 0 && is_pause_wanted(machine, job) &&
	       !(drives_are_quiet(machine) && tpm_stands(&machine->tpm) &&
		 nvram_stands(&machine->firmware.nvram))) {
		clock_wait(&pause->arrived, &pause->lock, KICK_EVERY_NS);
	}
	if (ret == 0 && !is_pause_wanted(machine, job)) {
		ret = -ECANCELED;
	}
	if (ret != 0 && pause->owner == job) {
		end_pause(machine);
	}
	pthread_mutex_unlock(&pause->lock);
	return ret;
}

static bool owns_pause(struct machine *machine, const struct job *job)
{
	bool owns;

	pthread_mutex_lock(&machine->pause.lock);
	owns = machine->pause.owner == job;
	pthread_mutex_unlock(&machine->pause.lock);
	return owns;
}

/*
 * On the main thread, behind that: 0 when the devices of VMBus stand as well, -EAGAIN until then.
 */
int machine_settle_pause(struct machine *machine, struct job *job)
{
	struct pause *pause = &machine->pause;

	if (!owns_pause(machine, job)) {
		return -ECANCELED;
	}
	if (!pause->bus) {
		pause->bus = true;
		vmbus_begin_pause(machine->bus);
	}
	if (job_cancelled(job)) {
		return -ECANCELED;
	}
	return vmbus_stands(machine->bus) ? 0 : -EAGAIN;
}

void machine_paused(struct machine *machine)
{
	struct pause *pause = &machine->pause;

	pthread_mutex_lock(&pause->lock);
	atomic_store(&pause->state, PAUSE_DONE);
	pause->owner = NULL; /* who waited does no longer */
	pthread_mutex_unlock(&pause->lock);
}

int machine_pause_bus(struct machine *machine, struct job *job)
{
	int ret = machine_settle_pause(machine, job);

	if (ret == -EAGAIN) {
		return ret;
	}
	if (ret != 0 || !job_commit(job)) {
		if (owns_pause(machine, job)) {
			(void)machine_resume(machine);
		}
		return -ECANCELED;
	}
	machine_paused(machine);
	return 0;
}

int machine_stand(struct machine *machine)
{
	struct pause *pause = &machine->pause;
	int ret = backend_partition_freeze_time(machine->partition, true);

	if (ret != 0) {
		return ret;
	}
	vmbus_pause(machine->bus);
	drives_pause(machine);
	host_freeze(&machine->host, true);
	pthread_mutex_lock(&pause->lock);
	pause->bus = pause->frozen = true;
	atomic_store(&pause->state, PAUSE_DONE);
	pthread_mutex_unlock(&pause->lock);
	return 0;
}

void machine_bus_served(struct machine *machine)
{
	struct pause *pause = &machine->pause;

	if (pause->bus && atomic_load(&pause->state) == PAUSE_ASKED && vmbus_stands(machine->bus)) {
		job_wake(pause->owner);
	}
}

static bool resume_vps(struct machine *machine)
{
	struct pause *pause = &machine->pause;
	bool paused;

	pthread_mutex_lock(&pause->lock);
	paused = atomic_load(&pause->state) != PAUSE_NONE;
	if (paused) {
		if (pause->owner != NULL) {
			job_wake(pause->owner);
		}
		end_pause(machine);
	}
	pthread_mutex_unlock(&pause->lock);
	if (paused) {
		integration_resumed(machine->integration);
	}
	return paused;
}

bool machine_resume(struct machine *machine)
{
	struct pause *pause = &machine->pause;

	if (machine_is_held(machine) || machine->checkpoint != NULL) {
		return false;
	}
	if (pause->bus) {
		vmbus_resume(machine->bus);
		pause->bus = false;
	}
	return resume_vps(machine);
}

/* While it is held the machine neither goes on nor ends: somebody is reading its state. */
static bool hold_in(struct machine *machine, enum pause_state state)
{
	struct pause *pause = &machine->pause;
	bool held;

	pthread_mutex_lock(&pause->lock);
	held = atomic_load(&pause->state) == state && !pause->held;
	pause->held |= held;
	pthread_mutex_unlock(&pause->lock);
	return held;
}

bool machine_hold(struct machine *machine)
{
	return hold_in(machine, PAUSE_DONE);
}

bool machine_hold_running(struct machine *machine)
{
	return hold_in(machine, PAUSE_NONE);
}

bool machine_is_held(struct machine *machine)
{
	bool held;

	pthread_mutex_lock(&machine->pause.lock);
	held = machine->pause.held;
	pthread_mutex_unlock(&machine->pause.lock);
	return held;
}

void machine_release(struct machine *machine)
{
	struct pause *pause = &machine->pause;

	pthread_mutex_lock(&pause->lock);
	pause->held = false;
	pthread_cond_signal(&pause->arrived);
	pthread_mutex_unlock(&pause->lock);
}

static void wait_for_release(struct pause *pause)
{
	pthread_mutex_lock(&pause->lock);
	while (pause->held) {
		pthread_cond_wait(&pause->arrived, &pause->lock);
	}
	pthread_mutex_unlock(&pause->lock);
}

/* In two parts, between which the main loop goes on: a device's request may take long to end. */
void machine_begin_stop(struct machine *machine)
{
	struct pause *pause = &machine->pause;

	wait_for_release(pause);
	/* Before the resume, as the reset of VMBus: a device would go on with what it has put
	 * aside, which may be in a saved state too. */
	drives_begin_stop(machine);
	(void)resume_vps(machine);
	end_threads(machine);
	nics_stop(machine);
	/* The guest's memory is its own no longer than this. */
	vmbus_begin_reset(machine->bus);
	nvram_begin_stop(&machine->firmware.nvram);
	tpm_begin_stop(&machine->tpm);
	sound_begin_stop(&machine->sound);
	if (pause->bus) {
		vmbus_resume(machine->bus);
		pause->bus = false;
	}
}

void machine_finish_stop(struct machine *machine)
{
	uint64_t count;
	unsigned int i;

	drives_stop(machine);
	nvram_stop(&machine->firmware.nvram);
	tpm_stop(&machine->tpm);
	sound_stop(&machine->sound);
	for (i = 0; i < machine->config->vps; i++) {
		if (machine->vps[i].vp != NULL) {
			backend_vp_destroy(&machine->vps[i].vp);
		}
		machine->vps[i].window = false;
	}
	assigned_stop(machine);
	memory_unmap(&machine->memory);
	if (machine->partition != NULL) {
		backend_partition_destroy(&machine->partition);
	}
	eventfd_read(machine->stop_event, &count);
}

void machine_stop(struct machine *machine)
{
	machine_begin_stop(machine);
	vmbus_reset(machine->bus);
	machine_finish_stop(machine);
}

/* Memory and devices are as at the machine's start; the partition has gone before. */
bool machine_reset(struct machine *machine)
{
	int ret = memory_clear(&machine->memory);

	if (ret != 0) {
		say("the machine's memory cannot be cleared: %s", strerror(-ret));
		return false;
	}
	screen_clear(machine);
	board_reset(&machine->board);
	boot_watch_begin(&machine->firmware.watch);
	machine->resets++;
	return fill_memory(machine);
}
