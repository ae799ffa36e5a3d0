/*
 * The one thread: descriptors that are ready, one at a time, and timers. One at a time, since who
 * is served may end what another event stands for; epoll hands out those that are ready in turn.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "hosted/clock.h"
#include "hosted/say.h"
#include "service/service.h"

bool loop_watch(struct service *service, struct source *source, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = source};

	if (epoll_ctl(service->epoll, EPOLL_CTL_ADD, source->fd, &event) == 0) {
		return true;
	}
	say("a descriptor cannot be waited for: %s", strerror(errno));
	return false;
}

void loop_change(struct service *service, struct source *source, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = source};

	(void)epoll_ctl(service->epoll, EPOLL_CTL_MOD, source->fd, &event);
}

void loop_close(struct service *service, struct source *source)
{
	if (source->fd >= 0) {
		/* A duplicate in another process would keep it in the set. */
		(void)epoll_ctl(service->epoll, EPOLL_CTL_DEL, source->fd, NULL);
		close(source->fd);
		source->fd = -1;
	}
}

void loop_start_timer(struct service *service, struct timer *timer, uint64_t wait_ms,
		      void (*fired)(struct timer *timer))
{
	loop_stop_timer(service, timer);
	*timer = (struct timer){.at_ms = clock_ms() + wait_ms,
				.fired = fired,
				.next = service->timers,
				.armed = true};
	service->timers = timer;
}

void loop_stop_timer(struct service *service, struct timer *timer)
{
	struct timer **link = &service->timers;

	if (!timer->armed) {
		return;
	}
	while (*link != timer) {
		link = &(*link)->next;
	}
	*link = timer->next;
	timer->armed = false;
}

/* The first that is over is fired; how long the next one has, -1: there is none. */
static int serve_timers(struct service *service)
{
	uint64_t now = clock_ms(), first = UINT64_MAX;
	struct timer *timer;

	for (timer = service->timers; timer != NULL; timer = timer->next) {
		if (timer->at_ms <= now) {
			loop_stop_timer(service, timer);
			timer->fired(timer);
			return 0;
		}
		first = timer->at_ms < first ? timer->at_ms : first;
	}
	if (first == UINT64_MAX) {
		return -1;
	}
	return first - now < 3600000 ? (int)(first - now) : 3600000;
}

static void serve_signal(struct source *source, uint32_t events)
{
	struct service *service =
		(struct service *)((char *)source - offsetof(struct service, signals));
	struct signalfd_siginfo info;

	(void)events;
	service->stop |= read(source->fd, &info, sizeof(info)) == (ssize_t)sizeof(info);
}

bool loop_create(struct service *service)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	service->epoll = epoll_create1(EPOLL_CLOEXEC);
	service->signals = (struct source){.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK),
					   .ready = serve_signal};
	if (service->epoll < 0 || service->signals.fd < 0) {
		say("the event loop cannot be made: %s", strerror(errno));
		return false;
	}
	return loop_watch(service, &service->signals, EPOLLIN);
}

void loop_run(struct service *service)
{
	struct epoll_event event;

	while (!service->stop) {
		int wait = serve_timers(service);

		if (epoll_wait(service->epoll, &event, 1, wait) == 1) {
			struct source *source = event.data.ptr;

			source->ready(source, event.events);
		}
	}
}
