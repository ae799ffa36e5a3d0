/*
 * A machine's COM1: what came of it last is kept, and goes to those who look on, each at its own
 * speed; what they type goes to the guest.
 *
 * Positions count the bytes since the console was opened. Who falls behind by more than is kept,
 * misses what is in between.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "include/mgmt/control.h"
#include "service/service.h"

#define KEPT        65536u /* a power of two */
#define TYPED_MAX   4096u
#define VIEWERS_MAX 16

struct viewer {
	struct source source;
	struct console *console;
	uint64_t at;
	void (*closed)(void *user);
	void *user;
	/* Typed, and not taken by the guest yet. */
	size_t typed;
	char text[TYPED_MAX];
};

struct console {
	struct source source;
	struct machine *machine;
	struct viewer *viewers[VIEWERS_MAX];
	uint64_t end; /* so many bytes have come */
	char kept[KEPT];
};

static void watch_console(struct console *console)
{
	bool typed = false;
	int i;

	for (i = 0; i < VIEWERS_MAX; i++) {
		typed |= console->viewers[i] != NULL && console->viewers[i]->typed != 0;
	}
	loop_change(console->machine->service, &console->source, EPOLLIN | (typed ? EPOLLOUT : 0));
}

static void watch_viewer(struct viewer *viewer)
{
	loop_change(viewer->console->machine->service, &viewer->source,
		    (viewer->typed == 0 ? EPOLLIN : 0) |
			    (viewer->at != viewer->console->end ? EPOLLOUT : 0));
}

/* The descriptor is its owner's. */
static void drop(struct viewer *viewer)
{
	struct console *console = viewer->console;
	int i;

	for (i = 0; i < VIEWERS_MAX; i++) {
		if (console->viewers[i] == viewer) {
			console->viewers[i] = NULL;
		}
	}
	(void)epoll_ctl(console->machine->service->epoll, EPOLL_CTL_DEL, viewer->source.fd, NULL);
	viewer->closed(viewer->user);
	free(viewer);
}

/* False: it has gone. */
static bool show(struct viewer *viewer)
{
	struct console *console = viewer->console;
	size_t from, length;
	ssize_t sent;

	if (console->end - viewer->at > KEPT) {
		viewer->at = console->end - KEPT;
	}
	while (viewer->at != console->end) {
		from = viewer->at % KEPT;
		length = console->end - viewer->at;
		length = length < KEPT - from ? length : KEPT - from;
		sent = send(viewer->source.fd, console->kept + from, length,
			    MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent < 0 && errno == EAGAIN) {
			break;
		}
		if (sent <= 0) {
			drop(viewer);
			return false;
		}
		viewer->at += (size_t)sent;
	}
	watch_viewer(viewer);
	return true;
}

static void type(struct viewer *viewer)
{
	ssize_t sent = send(viewer->console->source.fd, viewer->text, viewer->typed,
			    MSG_DONTWAIT | MSG_NOSIGNAL);

	if (sent > 0) {
		viewer->typed -= (size_t)sent;
		memmove(viewer->text, viewer->text + sent, viewer->typed);
	}
	watch_viewer(viewer);
}

static void viewer_ready(struct source *source, uint32_t events)
{
	struct viewer *viewer = (struct viewer *)((char *)source - offsetof(struct viewer, source));
	struct console *console = viewer->console;
	ssize_t got;

	if ((events & EPOLLOUT) && !show(viewer)) {
		return;
	}
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) {
		return;
	}
	if (viewer->typed != 0) {
		drop(viewer); /* only its end is told of while it may not type */
		watch_console(console);
		return;
	}
	got = recv(source->fd, viewer->text, TYPED_MAX, MSG_DONTWAIT);
	if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
		return;
	}
	if (got <= 0) {
		drop(viewer);
		return;
	}
	viewer->typed = (size_t)got;
	type(viewer);
	watch_console(console);
}

static void console_ready(struct source *source, uint32_t events)
{
	struct console *console =
		(struct console *)((char *)source - offsetof(struct console, source));
	ssize_t got;
	size_t at;
	int i;

	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		at = console->end % KEPT;
		got = recv(source->fd, console->kept + at, KEPT - at, MSG_DONTWAIT);
		if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
			console_close(console->machine);
			return;
		}
		console->end += got > 0 ? (uint64_t)got : 0;
	}
	for (i = 0; i < VIEWERS_MAX; i++) {
		struct viewer *viewer = console->viewers[i];

		if (viewer != NULL && viewer->typed != 0) {
			type(viewer);
		}
		if (viewer != NULL) {
			(void)show(viewer);
		}
	}
	watch_console(console);
}

bool console_attach(struct machine *machine, int fd, void (*closed)(void *user), void *user)
{
	struct console *console = machine->console;
	struct viewer *viewer;
	int i = 0;

	while (console != NULL && i < VIEWERS_MAX && console->viewers[i] != NULL) {
		i++;
	}
	viewer = console != NULL && i < VIEWERS_MAX ? calloc(1, sizeof(*viewer)) : NULL;
	if (viewer == NULL) {
		return false;
	}
	*viewer = (struct viewer){.source = {fd, viewer_ready},
				  .console = console,
				  .at = console->end > KEPT ? console->end - KEPT : 0,
				  .closed = closed,
				  .user = user};
	if (!loop_watch(machine->service, &viewer->source, EPOLLIN | EPOLLOUT)) {
		free(viewer);
		return false;
	}
	console->viewers[i] = viewer;
	return true;
}

void console_close(struct machine *machine)
{
	struct console *console = machine->console;
	int i;

	if (console == NULL) {
		return;
	}
	for (i = 0; i < VIEWERS_MAX; i++) {
		/* What it was not shown yet fits into its socket, or it does not read. */
		if (console->viewers[i] != NULL && show(console->viewers[i])) {
			drop(console->viewers[i]);
		}
	}
	machine->console = NULL;
	loop_close(machine->service, &console->source);
	free(console);
}

/* Another one has COM1, or it goes elsewhere: then there is no console. */
static void opened(struct machine *machine, void *user, const json_t *result, const json_t *error)
{
	(void)user;
	(void)result;
	if (error != NULL) {
		console_close(machine);
	}
}

void console_open(struct machine *machine)
{
	struct console *console;
	int pair[2];

	console_close(machine);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) {
		return;
	}
	console = calloc(1, sizeof(*console));
	if (console == NULL) {
		close(pair[0]);
		close(pair[1]);
		return;
	}
	console->source = (struct source){pair[0], console_ready};
	console->machine = machine;
	machine->console = console;
	if (!loop_watch(machine->service, &console->source, EPOLLIN)) {
		close(pair[1]);
		console_close(machine);
		return;
	}
	link_ask(machine, CONTROL_CONSOLE, json_object(), pair[1], opened, NULL);
}

json_t *console_last(const struct machine *machine, size_t most)
{
	const struct console *console = machine->console;
	uint64_t at = console->end - (console->end < KEPT ? console->end : KEPT);
	char text[CONSOLE_LAST_MAX] = "";
	size_t length = 0;
	json_t *value;

	most = most < sizeof(text) ? most : sizeof(text);
	at = console->end - at > most ? console->end - most : at;
	while (at != console->end) {
		text[length++] = console->kept[at++ % KEPT];
	}
	value = json_stringn(text, length);
	if (value == NULL) {
		/* A guest's bytes are what they like; where they are no UTF-8, ASCII is left of
		 * them. */
		for (size_t i = 0; i < length; i++) {
			text[i] = (text[i] & 0x80) != 0 ? '?' : text[i];
		}
		value = json_stringn(text, length);
	}
	return value;
}
