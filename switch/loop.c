/*
 * The one thread: turns as long as there are frames, and sleeps when there are none.
 *
 * While guests send, nothing here is a system call but a look at the other descriptors every so
 * many turns. When nothing came for a while, every ring is told that the switch sleeps, and is
 * looked at once more (switch/ring.h).
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "hosted/clock.h"
#include "switch/daemon.h"

#define EVENTS       64
#define TURNS_A_LOOK 64u
#define MILLISECOND  1000000u
#define FOR_EVER     (-1)

bool loop_watch(struct daemon *daemon, int fd, uint32_t events, struct source *source)
{
	struct epoll_event event = {.events = events, .data.ptr = source};

	if (epoll_ctl(daemon->epoll, EPOLL_CTL_ADD, fd, &event) == 0) {
		return true;
	}
	say("a descriptor cannot be waited for: %s", strerror(errno));
	return false;
}

static void serve(struct daemon *daemon, const struct source *source, uint32_t events)
{
	struct signalfd_siginfo info;

	switch (source->kind) {
	case SOURCE_SIGNAL:
		daemon->stop |= read(daemon->signals, &info, sizeof(info)) == (ssize_t)sizeof(info);
		break;
	case SOURCE_CONTROL:
		control_accept(daemon);
		break;
	case SOURCE_CLIENT:
		control_serve(daemon, source->client);
		break;
	case SOURCE_PORTS:
		plug_accept(daemon);
		break;
	case SOURCE_CONNECTION:
		plug_serve(source->plug);
		break;
	case SOURCE_EVENT:
		guest_wakes(source->plug->guest);
		break;
	case SOURCE_KERNEL:
		kernel_ready(source->plug->kernel, events & (EPOLLIN | EPOLLHUP | EPOLLERR),
			     events & (EPOLLOUT | EPOLLERR));
		break;
	case SOURCE_LINKS:
		plug_look_at_links(daemon);
		break;
	}
}

/*
 * One at a time: what is served may end what another event stands for. The level-triggered ones
 * come again; an edge would be lost, so those of the kernel are served first, all of them.
 */
static void look(struct daemon *daemon, int timeout_ms)
{
	struct epoll_event events[EVENTS];
	int count = epoll_wait(daemon->epoll, events, EVENTS, timeout_ms);

	for (int i = 0; i < count; i++) {
		const struct source *source = events[i].data.ptr;

		if (source->kind == SOURCE_KERNEL || source->kind == SOURCE_EVENT) {
			serve(daemon, source, events[i].events);
		}
	}
	for (int i = 0; i < count; i++) {
		const struct source *source = events[i].data.ptr;

		if (source->kind != SOURCE_KERNEL && source->kind != SOURCE_EVENT) {
			serve(daemon, source, events[i].events);
			break;
		}
	}
}

/* Nobody has anything to say that may pass, and who will have, will wake us. */
static bool may_sleep(struct daemon *daemon)
{
	for (struct plug *plug = daemon->plugs; plug != NULL; plug = plug->next) {
		if (plug->port == NULL || plug->port->held) {
			continue; /* a deadline or a receiver's descriptor wakes us */
		}
		if ((plug->guest != NULL && !guest_waits(plug->guest)) ||
		    (plug->kernel != NULL && kernel_is_readable(plug->kernel))) {
			return false;
		}
	}
	return true;
}

static void wake(struct daemon *daemon)
{
	for (struct plug *plug = daemon->plugs; plug != NULL; plug = plug->next) {
		if (plug->guest != NULL) {
			guest_wakes(plug->guest);
		}
	}
}

static int timeout_of(uint64_t wait_ns)
{
	return wait_ns == SWITCH_NO_WAIT ? FOR_EVER : (int)(wait_ns / MILLISECOND) + 1;
}

bool loop_run(struct daemon *daemon)
{
	uint64_t last_ns = clock_ns(CLOCK_MONOTONIC);
	uint32_t turns = 0;

	if (!loop_watch(daemon, daemon->signals, EPOLLIN, &daemon->signal_source) ||
	    !loop_watch(daemon, daemon->control, EPOLLIN, &daemon->control_source) ||
	    !loop_watch(daemon, daemon->ports, EPOLLIN, &daemon->ports_source) ||
	    !loop_watch(daemon, daemon->links, EPOLLIN, &daemon->links_source)) {
		return false;
	}
	while (!daemon->stop) {
		uint64_t now = clock_ns(CLOCK_MONOTONIC), wait_ns = SWITCH_NO_WAIT;
		uint32_t frames = 0;
		bool swept;

		for (uint32_t i = 0; i < daemon->net_end; i++) {
			if (daemon->nets[i] != NULL) {
				struct vswitch_turn turn = vswitch_turn(daemon->nets[i], now);

				frames += turn.frames;
				wait_ns = turn.wait_ns < wait_ns ? turn.wait_ns : wait_ns;
			}
		}
		swept = plug_sweep(daemon);
		last_ns = frames != 0 ? now : last_ns;
		/* Also after a turn with frames: what has come meanwhile is seen here, and debts
		 * want another. */
		if (!swept && wait_ns != 0 &&
		    (daemon->guest_count == 0 || now - last_ns >= daemon->awake_ns) &&
		    may_sleep(daemon)) {
			extend_idle(&daemon->extensions);
			look(daemon, timeout_of(wait_ns));
			wake(daemon);
			turns = 0;
		} else if (++turns % TURNS_A_LOOK == 0 || frames == 0) {
			look(daemon, 0);
		}
	}
	return true;
}
