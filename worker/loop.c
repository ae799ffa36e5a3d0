/*
 * The main thread while the machine runs: timers, the serial line, VMBus' messages, signals.
 * Everything it waits for is in one epoll set.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "vmbus/vmbus.h"
#include "vsp/integration/integration.h"
#include "worker/machine.h"
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

struct loop {
	struct machine *machine;
	int epoll;
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
static void serve_signal(struct loop *loop, int signals)
{
	struct signalfd_siginfo info;

	if (read(signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		machine_end(loop->machine, STOP_REQUEST);
	}
}

static void serve(struct loop *loop, enum source source, int signals)
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
		watch_serial(loop, &machine->serial);
		break;
	case SOURCE_SIGNAL:
		serve_signal(loop, signals);
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
	default:
		break; /* SOURCE_STOP: the loop's condition sees it */
	}
}

void loop_run(struct machine *machine)
{
	struct loop loop = {.machine = machine,
			    .epoll = epoll_create1(EPOLL_CLOEXEC),
			    .watched_in = -1,
			    .watched_out = -1};
	struct epoll_event events[SOURCE_COUNT];
	sigset_t set;
	int signals, i, count;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (loop.epoll < 0 || signals < 0 ||
	    watch(&loop, machine->stop_event, EPOLLIN, SOURCE_STOP) != 0 ||
	    watch(&loop, machine->host.board_timer, EPOLLIN, SOURCE_BOARD_TIMER) != 0 ||
	    watch(&loop, machine->host.nudge_timer, EPOLLIN, SOURCE_NUDGE_TIMER) != 0 ||
	    watch(&loop, vmbus_fd(machine->bus), EPOLLIN, SOURCE_BUS) != 0 ||
	    watch(&loop, bus_timer(machine), EPOLLIN, SOURCE_BUS_TIMER) != 0 ||
	    watch(&loop, integration_fd(machine->integration), EPOLLIN, SOURCE_INTEGRATION) != 0 ||
	    watch(&loop, signals, EPOLLIN, SOURCE_SIGNAL) != 0 ||
	    (control_fd(machine) >= 0 &&
	     watch(&loop, control_fd(machine), EPOLLIN, SOURCE_CONTROL) != 0) ||
	    (machine->serial.listener >= 0 &&
	     watch(&loop, machine->serial.listener, EPOLLIN, SOURCE_LISTENER) != 0) ||
	    watch(&loop, networks_fd(machine), EPOLLIN, SOURCE_NETWORKS) != 0 ||
	    (display_fd(machine) >= 0 &&
	     watch(&loop, display_fd(machine), EPOLLIN, SOURCE_DISPLAY) != 0) ||
	    (say_timer() >= 0 && watch(&loop, say_timer(), EPOLLIN, SOURCE_SAY_TIMER) != 0)) {
		say("the event loop cannot be set up: %s", strerror(errno));
		machine_end(machine, STOP_HOST_ERROR);
	}
	serve_serial(&loop);
	control_serve(machine);
	while (atomic_load(&machine->stop) == STOP_NONE) {
		count = epoll_wait(loop.epoll, events, SOURCE_COUNT, -1);
		for (i = 0; i < count; i++) {
			serve(&loop, (enum source)events[i].data.u32, signals);
		}
	}
	serial_drain(&machine->serial);
	close(signals);
	close(loop.epoll);
}
