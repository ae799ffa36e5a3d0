/*
 * The machine's console: a frame source and an input sink on sockets (include/mgmt/display.h), and
 * the programs vmvnc and vmrdp at the other end, which are started before the worker is in its
 * sandbox. Nothing of what a viewer says is read in this process.
 *
 * All of it is the main thread's.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hosted/listen.h"
#include "hosted/packet.h"
#include "hosted/show.h"
#include "include/mgmt/display.h"
#include "include/mgmt/screen.h"
#include "worker/machine.h"
#include "worker/say.h"

#define BACKLOG 8
/* Of one seat's requests before another's turn comes. */
#define TURN 64

/* A program that shows the machine, if there is a socket for it. */
struct show {
	const char *option, *program;
	const struct config_file *socket;
};

static bool refuse(const struct show *show, const char *what, int error)
{
	say("%s: %s: %s", show->option, what, strerror(error));
	return false;
}

/* ---- Seats ---- */

static void release(struct machine *machine, struct display_seat *seat)
{
	unsigned int key;

	for (key = 0; key < 256; key++) {
		if (seat->held[key / 8] >> key % 8 & 1) {
			input_press(machine, (uint8_t)key, false);
		}
	}
	if (seat->buttons != 0) {
		input_release(machine);
	}
}

static void hang_up(struct machine *machine, struct display_seat *seat)
{
	release(machine, seat);
	/* Who sits there may have this end, too: then to close it does not end the watch. */
	epoll_ctl(machine->display.epoll, EPOLL_CTL_DEL, seat->fd, NULL);
	close(seat->fd);
	seat->fd = -1;
}

/* Takes the descriptor. False: there is no seat left, or nobody who takes the answer. */
static bool sit_down(struct machine *machine, int fd)
{
	struct display *display = &machine->display;
	struct display_hello hello = {.magic = DISPLAY_MAGIC,
				      .bytes = SCREEN_BYTES - SCREEN_FRAME_AT};
	struct epoll_event event = {.events = EPOLLIN};
	unsigned int i;

	for (i = 0; i < DISPLAY_PLACES && display->seats[i].fd >= 0; i++) {
	}
	event.data.u32 = i;
	if (i == DISPLAY_PLACES ||
	    packet_send(fd, MSG_DONTWAIT, &hello, sizeof(hello), &machine->screen_fd, 1) != 0 ||
	    epoll_ctl(display->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
		close(fd);
		return false;
	}
	display->seats[i] = (struct display_seat){.fd = fd, .change_count = SCREEN_ALL};
	return true;
}

bool display_sit(struct machine *machine, int fd)
{
	if (machine->display.epoll < 0) {
		close(fd);
		return false;
	}
	return sit_down(machine, fd);
}

static void press(struct machine *machine, struct display_seat *seat,
		  const struct display_request *request)
{
	uint8_t bit = (uint8_t)(1u << request->key % 8), *held = &seat->held[request->key / 8];

	*held = (uint8_t)(request->down ? *held | bit : *held & ~bit);
	input_press(machine, request->key, request->down);
}

/* ---- What has changed, for each seat since it was told ---- */

static void add_change(struct display_seat *seat, const struct screen_change *change)
{
	struct screen_change *last = &seat->changes[SCREEN_CHANGES - 1];

	if (seat->change_count == SCREEN_ALL) {
		return;
	}
	if (seat->change_count < SCREEN_CHANGES) {
		seat->changes[seat->change_count++] = *change;
		return;
	}
	/* The last one is of all that has no place. */
	last->left = change->left < last->left ? change->left : last->left;
	last->top = change->top < last->top ? change->top : last->top;
	last->right = change->right > last->right ? change->right : last->right;
	last->bottom = change->bottom > last->bottom ? change->bottom : last->bottom;
}

/* What is told once is news for all seats. */
static void share_changes(struct display *display, const struct screen *screen)
{
	unsigned int i, j;

	for (i = 0; i < DISPLAY_PLACES; i++) {
		if (screen->change_count == SCREEN_ALL) {
			display->seats[i].change_count = SCREEN_ALL;
		}
		for (j = 0; j < screen->change_count && j < SCREEN_CHANGES; j++) {
			add_change(&display->seats[i], &screen->changes[j]);
		}
	}
}

static void look(struct machine *machine, struct display_seat *seat, struct screen *screen)
{
	screen_describe(machine, true, screen);
	share_changes(&machine->display, screen);
	screen->change_count = seat->change_count;
	memcpy(screen->changes, seat->changes, sizeof(screen->changes));
	memset(seat->changes, 0, sizeof(seat->changes));
	seat->change_count = 0;
}

/* False: it has broken a rule. */
static bool serve(struct machine *machine, struct display_seat *seat,
		  const struct display_request *request)
{
	struct screen screen;

	switch (request->type) {
	case DISPLAY_LOOK:
		look(machine, seat, &screen);
		return packet_send(seat->fd, MSG_DONTWAIT, &screen, sizeof(screen), NULL, 0) == 0;
	case DISPLAY_KEY:
		if (request->down > 1) {
			return false;
		}
		press(machine, seat, request);
		return true;
	case DISPLAY_POINTER:
		seat->buttons = request->buttons;
		input_point(machine, request);
		return true;
	case DISPLAY_SIZE:
		if (request->at_x == 0 || request->at_y == 0) {
			return false;
		}
		screen_want(machine, request->at_x, request->at_y);
		return true;
	default:
		return false;
	}
}

/* False: nothing is there. */
static bool take(struct machine *machine, struct display_seat *seat)
{
	struct display_request request;
	int fd = -1;
	struct packet packet = {
		.bytes = &request, .size = sizeof(request), .fds = &fd, .fds_max = 1};
	int ret = packet_receive(seat->fd, MSG_DONTWAIT, &packet);
	bool good;

	if (ret == -EAGAIN || ret == -EINTR) {
		return false;
	}
	good = ret == 0 && packet.length == sizeof(request) && !packet.cut && !packet.fds_cut;
	if (good && request.type == DISPLAY_JOIN && packet.fd_count == 1) {
		sit_down(machine, fd); /* whom there is no seat for is hung up on */
		return true;
	}
	good = good && packet.fd_count == 0;
	if (ret == 0) {
		packet_close(&packet);
	}
	if (!good || !serve(machine, seat, &request)) {
		hang_up(machine, seat);
		return false;
	}
	return true;
}

int display_fd(const struct machine *machine)
{
	return machine->display.epoll;
}

void display_serve(struct machine *machine)
{
	struct display *display = &machine->display;
	struct epoll_event events[DISPLAY_PLACES];
	int count = epoll_wait(display->epoll, events, DISPLAY_PLACES, 0), i, turn;

	for (i = 0; i < count; i++) {
		struct display_seat *seat = &display->seats[events[i].data.u32];

		for (turn = 0; turn < TURN && seat->fd >= 0 && take(machine, seat); turn++) {
		}
	}
}

/* ---- The program ---- */

static bool begin_show(struct machine *machine, const struct show *show)
{
	const struct config_file *socket = show->socket;
	char option[16], what[64],
		*words[] = {(char *)show->program, (char *)machine->config->name, NULL};
	int listener, seats[2], ret;
	pid_t child;

	if (socket->path == NULL) {
		return true;
	}
	snprintf(option, sizeof(option), "%s ", show->option);
	listener = listen_privately(socket->path, socket->fd, SOCK_STREAM, BACKLOG, option);
	if (listener < 0) {
		return false;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, seats) != 0) {
		close(listener);
		return refuse(show, socket->path, errno);
	}
	ret = show_start(show->program, words, listener, seats[1], &child);
	close(listener);
	close(seats[1]);
	if (ret != 0) {
		close(seats[0]);
		snprintf(what, sizeof(what), "%s cannot be started", show->program);
		return refuse(show, what, ret);
	}
	return sit_down(machine, seats[0]) || refuse(show, show->program, EPIPE);
}

bool display_create(struct machine *machine)
{
	const struct config *config = machine->config;
	const struct show shows[] = {{"--vnc", "vmvnc", &config->vnc},
				     {"--rdp", "vmrdp", &config->rdp}};
	struct display *display = &machine->display;
	unsigned int i;

	display->epoll = -1;
	for (i = 0; i < DISPLAY_PLACES; i++) {
		display->seats[i].fd = -1;
	}
	if (!config->vga) {
		return true;
	}
	display->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (display->epoll < 0) {
		say("the screen: %s", strerror(errno));
		return false;
	}
	return begin_show(machine, &shows[0]) && begin_show(machine, &shows[1]);
}

void display_destroy(struct machine *machine)
{
	struct display *display = &machine->display;
	unsigned int i;

	for (i = 0; i < DISPLAY_PLACES; i++) {
		if (display->seats[i].fd >= 0) {
			close(display->seats[i].fd);
			display->seats[i].fd = -1;
		}
	}
	if (display->epoll >= 0) {
		close(display->epoll);
		display->epoll = -1;
	}
}
