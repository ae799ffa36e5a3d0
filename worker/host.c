/*
 * What the board needs of its home (devices/host.h): clocks, interrupts into the partition, the end
 * of the machine.
 *
 * Serial output and the old interrupt controllers do not talk to other threads for each byte or
 * edge. They set a timer, once, and the main thread sees to everything that has gathered when it
 * fires.
 */
#include <errno.h>
#include <string.h>
#include <sys/timerfd.h>

#include "hosted/clock.h"
#include "worker/assigned.h"
#include "worker/machine.h"
#include "worker/say.h"

/* How long serial output gathers, and how often VP 0 is asked again. */
#define NUDGE_NS 1000000ull

static void arm(int timer, uint64_t time)
{
	struct itimerspec when = {
		.it_value = clock_timespec(time),
	};

	timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
}

static void disarm(int timer)
{
	struct itimerspec never = {0};

	timerfd_settime(timer, 0, &never, NULL);
}

static void nudge(struct host *host)
{
	if (!atomic_exchange(&host->nudged, true)) {
		arm(host->nudge_timer, clock_ns(CLOCK_MONOTONIC) + NUDGE_NS);
	}
}

bool host_create(struct host *host, struct machine *machine)
{
	*host = (struct host){.machine = machine,
			      .epoch = clock_ns(CLOCK_MONOTONIC),
			      .frozen_at = HOST_NEVER,
			      .wake_at = HOST_NEVER};
	host->board_timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	host->nudge_timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (host->board_timer < 0 || host->nudge_timer < 0) {
		say("no timer: %s", strerror(errno));
		return false;
	}
	return true;
}

void host_nudge_fired(struct host *host)
{
	atomic_store(&host->nudged, false);
	if (atomic_load(&host->extint) && !atomic_load(&host->extint_seen)) {
		/* A kick that comes just before the VP enters is lost, so it is repeated. */
		vp_kick(&host->machine->vps[0]);
		nudge(host);
	}
}

uint64_t host_time(struct host *host)
{
	return host->frozen_at != HOST_NEVER ? host->frozen_at
					     : clock_ns(CLOCK_MONOTONIC) - host->epoch;
}

uint64_t host_wall_time(struct host *host)
{
	(void)host;
	return clock_ns(CLOCK_REALTIME);
}

void host_wake_at(struct host *host, uint64_t time)
{
	host->wake_at = time;
	if (time == HOST_NEVER || host->frozen_at != HOST_NEVER) {
		disarm(host->board_timer);
	} else {
		arm(host->board_timer, host->epoch + time);
	}
}

void host_freeze(struct host *host, bool freeze)
{
	struct board *board = &host->machine->board;

	pthread_mutex_lock(&board->lock);
	if (freeze && host->frozen_at == HOST_NEVER) {
		host->frozen_at = host_time(host);
	} else if (!freeze && host->frozen_at != HOST_NEVER) {
		host->epoch = clock_ns(CLOCK_MONOTONIC) - host->frozen_at;
		host->frozen_at = HOST_NEVER;
	}
	board->nics_stand = freeze;
	host_wake_at(host, host->wake_at);
	pthread_mutex_unlock(&board->lock);
}

bool host_interrupt(struct host *host, const struct host_interrupt *interrupt)
{
	struct backend_interrupt message = {
		.destination = interrupt->destination,
		.vector = interrupt->vector,
		.delivery_mode = interrupt->delivery_mode,
		.logical = interrupt->logical,
		.level = interrupt->level,
	};

	/* The guest chose destination and vector; if they are nonsense the interrupt is lost, as on
	 * hardware. */
	return host->machine->partition != NULL &&
	       !backend_partition_interrupt(host->machine->partition, &message);
}

bool host_elsewhere(struct host *host, uint64_t gpa, unsigned int size, bool write, uint64_t *value)
{
	return assigned_access(host->machine, gpa, size, write, value);
}

void host_extint(struct host *host, bool asserted)
{
	atomic_store(&host->extint_seen, false);
	atomic_store(&host->extint, asserted);
	if (asserted) {
		vp_kick(&host->machine->vps[0]);
		nudge(host);
	}
}

void host_power(struct host *host, enum host_power event)
{
	machine_end(host->machine, event == HOST_POWER_OFF ? STOP_POWER_OFF : STOP_RESET);
}

/* Without a partition there is nothing to do yet: a new one is told all, by board_map(). */
void host_map(struct host *host, uint64_t gpa, void *pages, uint64_t length, bool writable)
{
	struct backend_partition *partition = host->machine->partition;
	unsigned int access = BACKEND_EXECUTE | (writable ? BACKEND_WRITE : 0);
	int ret = 0;

	if (partition != NULL) {
		ret = backend_partition_map(partition, gpa, pages, length, access);
	}
	if (ret != 0) {
		say_guest(
			"the hypervisor did not map %llu KiB at %#llx: %s; the guest reaches them "
			"slowly",
			(unsigned long long)(length >> 10), (unsigned long long)gpa,
			strerror(-ret));
	}
}

void host_unmap(struct host *host, uint64_t gpa, void *pages, uint64_t length)
{
	struct backend_partition *partition = host->machine->partition;
	int ret = 0;

	if (partition != NULL) {
		ret = backend_partition_unmap(partition, gpa, pages, length);
	}
	/* -EINVAL: it could not be mapped either. */
	if (ret != 0 && ret != -EINVAL) {
		say("the hypervisor did not take back %llu KiB at %#llx: %s",
		    (unsigned long long)(length >> 10), (unsigned long long)gpa, strerror(-ret));
		machine_end(host->machine, STOP_HOST_ERROR);
	}
}

bool host_memory_read(struct host *host, uint64_t gpa, void *to, uint64_t length)
{
	return memory_get(&host->machine->memory, gpa, to, length);
}

bool host_memory_write(struct host *host, uint64_t gpa, const void *from, uint64_t length)
{
	return memory_put(&host->machine->memory, gpa, from, length);
}

void host_flash_store(struct host *host, uint32_t offset, uint32_t length)
{
	nvram_store(&host->machine->firmware.nvram, offset, length);
}

void host_tpm_start(struct host *host, const uint8_t *command, uint32_t length)
{
	tpm_submit(&host->machine->tpm, command, length);
}

void host_sound_play(struct host *host, uint32_t rate, const int16_t (*frames)[2], uint32_t count)
{
	sound_play(&host->machine->sound, rate, frames, count);
}

void host_debug_text(struct host *host, uint8_t byte)
{
	struct machine *machine = host->machine;

	firmware_log(&machine->firmware, byte);
	if (machine->config->generation == 1) {
		firmware_watch(&machine->firmware, byte);
	}
}

/* The first one counts; the board's lock is held. */
void host_debug_exit(struct host *host, uint32_t value)
{
	if (atomic_load(&host->machine->stop) == STOP_NONE) {
		atomic_store(&host->machine->debug_exit, value);
		machine_end(host->machine, STOP_DEBUG_EXIT);
	}
}

bool host_serial_put(struct host *host, uint8_t byte)
{
	bool done = serial_put(&host->machine->serial, byte);

	if (done && host->machine->config->generation == 2) {
		firmware_watch(&host->machine->firmware, byte);
	}
	nudge(host);
	return done;
}

bool host_serial_get(struct host *host, uint8_t *byte)
{
	struct serial *serial = &host->machine->serial;
	bool wanted = serial_wants_in(serial), done = serial_get(serial, byte);

	/* Room in a ring that was full: the main thread may read on. */
	if (done && !wanted) {
		nudge(host);
	}
	return done;
}
