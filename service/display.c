/*
 * A machine's screen, RFB of its vmvnc (docs/design/console.md), for who asks by the API: bytes are
 * carried both ways, and nothing of them is read here.
 *
 * Who does not read slows himself: each way has one buffer, which is filled when it is empty.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hosted/listen.h"
#include "service/service.h"

#define ROOM 16384

struct display;

/* One end, and what it has said and the other one has not taken. */
struct end {
	struct source source;
	struct display *display;
	size_t from, length;
	char bytes[ROOM];
};

struct display {
	struct display *next; /* of the machine's */
	struct machine *machine;
	struct end viewer, screen;
	void (*closed)(void *user);
	void *user;
};

static struct end *other_of(struct end *end)
{
	return end == &end->display->viewer ? &end->display->screen : &end->display->viewer;
}

/* The viewer's descriptor is its owner's. */
static void drop(struct display *display)
{
	struct service *service = display->machine->service;
	struct display **link = &display->machine->displays;

	while (*link != display) {
		link = &(*link)->next;
	}
	*link = display->next;
	loop_close(service, &display->screen.source);
	(void)epoll_ctl(service->epoll, EPOLL_CTL_DEL, display->viewer.source.fd, NULL);
	display->closed(display->user);
	free(display);
}

static void watch(struct end *end)
{
	loop_change(end->display->machine->service, &end->source,
		    (end->length == 0 ? EPOLLIN : 0) | (other_of(end)->length != 0 ? EPOLLOUT : 0));
}

/* False: it has ended. */
static bool take(struct end *end)
{
	ssize_t got = recv(end->source.fd, end->bytes, ROOM, MSG_DONTWAIT);

	end->from = 0;
	end->length = got > 0 ? (size_t)got : 0;
	return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

/* What `end` has said, to the other one. False: that has ended. */
static bool give(struct end *end)
{
	ssize_t sent = send(other_of(end)->source.fd, end->bytes + end->from, end->length,
			    MSG_DONTWAIT | MSG_NOSIGNAL);

	if (sent > 0) {
		end->from += (size_t)sent;
		end->length -= (size_t)sent;
	}
	return sent >= 0 || errno == EAGAIN || errno == EINTR;
}

static void ready(struct source *source, uint32_t events)
{
	struct end *end = (struct end *)((char *)source - offsetof(struct end, source)),
		   *other = other_of(end);
	struct display *display = end->display;

	/* Of one that is not read only the end is told, again and again. */
	if ((end->length != 0 && (events & (EPOLLHUP | EPOLLERR))) ||
	    (end->length == 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !take(end)) ||
	    (end->length != 0 && !give(end)) || (other->length != 0 && !give(other))) {
		drop(display);
		return;
	}
	watch(end);
	watch(other);
}

int display_connect(const struct machine *machine)
{
	char path[PATH_MAX];
	int fd;

	if (!machine_run_path(machine, "display", path)) {
		return -ENAMETOOLONG;
	}
	fd = connect_at(path, SOCK_STREAM | SOCK_NONBLOCK);
	return fd == -ECONNREFUSED ? -ENOENT : fd;
}

bool display_attach(struct machine *machine, int screen, int viewer, void (*closed)(void *user),
		    void *user)
{
	struct display *display = calloc(1, sizeof(*display));

	if (display == NULL) {
		close(screen);
		return false;
	}
	display->machine = machine;
	display->closed = closed;
	display->user = user;
	display->viewer.display = display->screen.display = display;
	display->viewer.source = (struct source){viewer, ready};
	display->screen.source = (struct source){screen, ready};
	if (!loop_watch(machine->service, &display->viewer.source, EPOLLIN) ||
	    !loop_watch(machine->service, &display->screen.source, EPOLLIN)) {
		(void)epoll_ctl(machine->service->epoll, EPOLL_CTL_DEL, viewer, NULL);
		close(screen);
		free(display);
		return false;
	}
	display->next = machine->displays;
	machine->displays = display;
	return true;
}

void display_close(struct machine *machine)
{
	while (machine->displays != NULL) {
		drop(machine->displays);
	}
}
