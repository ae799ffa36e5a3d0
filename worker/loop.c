/*
 * The main thread while the machine runs: timers, the serial line, VMBus' messages, signals.
 * Everything it waits for is in one epoll set.
 *
 * At the end it waits for what may take as long as a file does, and serves the control socket and
 * signals meanwhile.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "hosted/clock.h"
#include "vmbus/vmbus.h"
#include "vsp/integration/integration.h"
#include "worker/checkpoint.h"
#include "worker/machine.h"
#include "worker/migrate.h"
#include "worker/say.h"

enum source {
	SOURCE_STOP,
	SOURCE_BOARD_TIMER,
	SOURCE_NUDGE_TIMER,
	SOURCE_BUS,
	SOURCE_BUS_TIMER,
	SOURCE_INTEGRATION,
	SOURCE_CONTROL,
	SOURCE_SIGNAL,
	SOURCE_LISTENER,
	SOURCE_IN,
	SOURCE_OUT,
	SOURCE_SAY_TIMER,
	SOURCE_NETWORKS,
	SOURCE_DISPLAY,
	SOURCE_COUNT,
};

/* How far the machine has come: less is served at its end. */
enum phase {
	PHASE_RUNS,
	PHASE_STOPS,  /* stop_event is signalled for good */
	PHASE_CLOSES, /* there is no partition, nor what asks for one */
};

struct loop {
	struct machine *machine;
	int epoll, signals;
	enum phase phase;
	int watched_in, watched_out; /* descriptors in the set for the serial line, -1 if none */
	unsigned int
		generation; /* of those; older ones may be closed, and their numbers used again */
};

static int watch(struct loop *loop, int fd, uint32_t events, enum source source)
{
	struct epoll_event event = {.events = events, .data.u32 = source};

	return epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event);
}

static void unwatch(struct loop *loop, int *watched)
{
	if (*watched >= 0) {
		/* One that was closed has left the set by itself. */
		epoll_ctl(loop->epoll, EPOLL_CTL_DEL, *watched, NULL);
		*watched = -1;
	}
}

static void drain(int fd)
{
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0) {
		return; /* it fired and was armed anew meanwhile */
	}
}

/* Watches for what could not be moved at once: input while there is room for it, output while there
 * is some left. */
static void watch_serial(struct loop *loop, const struct serial *serial)
{
	bool in = serial->in_polls && serial_wants_in(serial);
	bool out = serial->out_polls && serial->out >= 0 && serial_wants_out(serial);

	if (!in || loop->generation != serial->generation) {
		unwatch(loop, &loop->watched_in);
	}
	if (!out || loop->generation != serial->generation) {
		unwatch(loop, &loop->watched_out);
	}
	loop->generation = serial->generation;
	if (in && loop->watched_in < 0 && watch(loop, serial->in, EPOLLIN, SOURCE_IN) == 0) {
		loop->watched_in = serial->in;
	}
	if (out && loop->watched_out < 0 && watch(loop, serial->out, EPOLLOUT, SOURCE_OUT) == 0) {
		loop->watched_out = serial->out;
	}
}

static void serve_serial(struct loop *loop)
{
	struct machine *machine = loop->machine;
	struct serial *serial = &machine->serial;
	unsigned int escapes;
	bool more;

	if (serial_flush(serial)) {
		board_serial_drained(&machine->board);
		serial_flush(serial);
	}
	do {
		more = serial_fill(serial, &escapes);
		if (more) {
			board_serial_ready(&machine->board);
		}
		for (; escapes > 0; escapes--) {
			services_escape(machine);
		}
	} while (more && !serial->in_polls);
	watch_serial(loop, serial);
}

/* Both mean: off, now. The guest is not asked. */
static void serve_signal(struct loop *loop)
{
	struct signalfd_siginfo info;

	if (read(loop->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		machine_turn_off(loop->machine);
	}
}

static void serve(struct loop *loop, enum source source)
{
	struct machine *machine = loop->machine;

	switch (source) {
	case SOURCE_BOARD_TIMER:
		drain(machine->host.board_timer);
		board_tick(&machine->board);
		break;
	case SOURCE_NUDGE_TIMER:
		drain(machine->host.nudge_timer);
		host_nudge_fired(&machine->host);
		serve_serial(loop);
		break;
	case SOURCE_BUS:
		vmbus_serve(machine->bus);
		machine_bus_served(machine);
		break;
	case SOURCE_BUS_TIMER:
		drain(bus_timer(machine));
		bus_timer_fired(machine);
		break;
	case SOURCE_INTEGRATION:
		integration_serve(machine->integration);
		break;
	case SOURCE_CONTROL:
		control_serve(machine);
		if (loop->phase != PHASE_CLOSES) {
			watch_serial(loop, &machine->serial);
		}
		break;
	case SOURCE_SIGNAL:
		serve_signal(loop);
		break;
	case SOURCE_LISTENER:
		serial_accept(&machine->serial);
		serve_serial(loop);
		break;
	case SOURCE_IN:
	case SOURCE_OUT:
		serve_serial(loop);
		break;
	case SOURCE_SAY_TIMER:
		say_settle();
		break;
	case SOURCE_NETWORKS:
		networks_serve(machine);
		break;
	case SOURCE_DISPLAY:
		display_serve(machine);
		break;
	default: /* SOURCE_STOP: the loop's condition sees it */
		if (loop->phase == PHASE_CLOSES) {
			drain(machine->stop_event);
		}
		break;
	}
}

void loop_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
}

int loop_open_signals(void)
{
	sigset_t set;

	loop_signals(&set);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* -1 for `fd`: there is no such source. */
static bool watch_all(struct loop *loop, int signals, enum phase phase)
{
	const struct machine *machine = loop->machine;
	const struct {
		int fd;
		enum source source;
		enum phase first, last; /* in which it is served */
	} sources[] = {
		{machine->stop_event, SOURCE_STOP, PHASE_RUNS, PHASE_RUNS},
		{machine->stop_event, SOURCE_STOP, PHASE_CLOSES, PHASE_CLOSES},
		{machine->host.board_timer, SOURCE_BOARD_TIMER, PHASE_RUNS, PHASE_STOPS},
		{machine->host.nudge_timer, SOURCE_NUDGE_TIMER, PHASE_RUNS, PHASE_STOPS},
		{vmbus_fd(machine->bus), SOURCE_BUS, PHASE_RUNS, PHASE_CLOSES},
		{bus_timer(machine), SOURCE_BUS_TIMER, PHASE_RUNS, PHASE_STOPS},
		{integration_fd(machine->integration), SOURCE_INTEGRATION, PHASE_RUNS, PHASE_STOPS},
		{signals, SOURCE_SIGNAL, PHASE_RUNS, PHASE_CLOSES},
		{control_fd(machine), SOURCE_CONTROL, PHASE_RUNS, PHASE_CLOSES},
		{machine->serial.listener, SOURCE_LISTENER, PHASE_RUNS, PHASE_STOPS},
		{networks_fd(machine), SOURCE_NETWORKS, PHASE_RUNS, PHASE_STOPS},
		{display_fd(machine), SOURCE_DISPLAY, PHASE_RUNS, PHASE_STOPS},
		{say_timer(), SOURCE_SAY_TIMER, PHASE_RUNS, PHASE_CLOSES},
	};

	for (size_t i = 0; i < ARRAY_COUNT(sources); i++) {
		if (sources[i].fd >= 0 && phase >= sources[i].first && phase <= sources[i].last &&
		    watch(loop, sources[i].fd, EPOLLIN, sources[i].source) != 0) {
			return false;
		}
	}
	return true;
}

static bool open_loop(struct loop *loop, struct machine *machine, enum phase phase)
{
	*loop = (struct loop){.machine = machine,
			      .epoll = epoll_create1(EPOLL_CLOEXEC),
			      .signals = loop_open_signals(),
			      .phase = phase,
			      .watched_in = -1,
			      .watched_out = -1};
	if (loop->epoll < 0 || loop->signals < 0 || !watch_all(loop, loop->signals, phase)) {
		say("the event loop cannot be set up: %s", strerror(errno));
		return false;
	}
	if (phase != PHASE_CLOSES) {
		serve_serial(loop);
	}
	control_serve(machine);
	return true;
}

static void close_loop(struct loop *loop)
{
	close(loop->signals);
	close(loop->epoll);
}

static void turn(struct loop *loop, int timeout_ms)
{
	struct epoll_event events[SOURCE_COUNT];
	int count = epoll_wait(loop->epoll, events, SOURCE_COUNT, timeout_ms);

	for (int i = 0; i < count; i++) {
		serve(loop, (enum source)events[i].data.u32);
	}
}

void loop_run(struct machine *machine)
{
	struct loop loop;

	if (!open_loop(&loop, machine, PHASE_RUNS)) {
		machine_end(machine, STOP_HOST_ERROR);
	}
	while (atomic_load(&machine->stop) == STOP_NONE) {
		turn(&loop, -1);
	}
	serial_drain(&machine->serial);
	close_loop(&loop);
}

/* ---- the end ---- */

#define MOMENT_MS 1000 /* for which nobody is told that something is waited for */
#define LOOK_MS   10   /* what has no event is looked at as often */

/* Serves who manages the machine until it is over. False: who does has no patience. */
static bool wait_until(struct machine *machine, enum phase phase,
		       bool (*is_over)(struct machine *machine), const char *what)
{
	uint64_t until = clock_ms() + MOMENT_MS;
	struct loop loop;
	bool opened = open_loop(&loop, machine, phase);

	while (!is_over(machine) && !machine->hurries) {
		if (!machine->waits && clock_ms() >= until) {
			say("%s; to turn the machine off once more is not to wait for that", what);
			machine->waits = true;
			control_serve(machine); /* clients hear of it */
		}
		turn(&loop, LOOK_MS);
	}
	machine->waits = false;
	if (opened) {
		close_loop(&loop);
	}
	return !machine->hurries;
}

static bool is_released(struct machine *machine)
{
	migrate_hurry(machine);
	return !machine_is_held(machine);
}

static bool is_reset(struct machine *machine)
{
	return vmbus_is_reset(machine->bus) && drives_are_quiet(machine) &&
	       nvram_is_quiet(&machine->firmware.nvram) && tpm_is_quiet(&machine->tpm) &&
	       sound_is_quiet(&machine->sound);
}

bool loop_stop(struct machine *machine)
{
	if (!wait_until(machine, PHASE_STOPS, is_released,
			"its state is being written, or handed over")) {
		return false;
	}
	machine_begin_stop(machine);
	if (!wait_until(machine, PHASE_STOPS, is_reset, "the guest's requests have not ended")) {
		return false;
	}
	machine_finish_stop(machine);
	return true;
}

bool loop_close(struct machine *machine)
{
	control_begin_end(machine);
	if (!wait_until(machine, PHASE_CLOSES, control_has_ended, "jobs have not ended")) {
		return false;
	}
	checkpoint_forget(machine);
	disks_begin_close(machine);
	return wait_until(machine, PHASE_CLOSES, disks_are_closed,
			  "the disks' files are not closed yet") &&
	       disks_close(machine);
}
