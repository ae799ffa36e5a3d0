/*
 * The machine's console: a frame source and an input sink on sockets (include/mgmt/display.h), and the programs vmvnc and vmrdp at the other
 * end, which are started before the worker is in its sandbox. Nothing of what a viewer says is read in this process.
 *
 * All of it is the main thread's.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hosted/listen.h"
#include "hosted/packet.h"
#include "include/mgmt/display.h"
#include "include/mgmt/screen.h"
#include "worker/machine.h"
#include "worker/say.h"

#define BACKLOG 8
/* Descriptors of what is started. */
#define SHOW_LISTENER 3
#define SHOW_SEAT     4
/* Of one seat's requests before another's turn comes. */
#define TURN 64

extern char **environ;

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

/* Beside this one, or as a shell finds it. */
static int start(const struct show *show, int listener, int seat, const char *name)
{
	char beside[PATH_MAX], *slash, *argv[] = {(char *)show->program, (char *)name, NULL};
	size_t room = strlen(show->program) + 1;
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	ssize_t length = readlink("/proc/self/exe", beside, sizeof(beside) - room);
	pid_t child;
	int ret;

	beside[length > 0 ? length : 0] = '\0';
	slash = strrchr(beside, '/');
	strcpy(slash != NULL ? slash + 1 : beside, show->program);
	sigemptyset(&none);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	ret = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0);
	ret = ret != 0 ? ret : posix_spawn_file_actions_adddup2(&actions, 0, 1);
	ret = ret != 0 ? ret : posix_spawn_file_actions_adddup2(&actions, listener, SHOW_LISTENER);
	ret = ret != 0 ? ret : posix_spawn_file_actions_adddup2(&actions, seat, SHOW_SEAT);
	ret = ret != 0 ? ret : posix_spawn_file_actions_addclosefrom_np(&actions, SHOW_SEAT + 1);
	ret = ret != 0 ? ret : posix_spawnattr_setsigmask(&attributes, &none);
	ret = ret != 0 ? ret : posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	if (ret == 0) {
		ret = posix_spawn(&child, beside, &actions, &attributes, argv, environ);
		if (ret == ENOENT || ret == ENOTDIR) {
			ret = posix_spawnp(&child, show->program, &actions, &attributes, argv,
					   environ);
		}
	}
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return ret;
}

/* What is duplicated to a low number must not stand on one. */
static int raise_fd(int fd)
{
	int raised = fcntl(fd, F_DUPFD_CLOEXEC, SHOW_SEAT + 1);

	close(fd);
	return raised;
}

static bool begin_show(struct machine *machine, const struct show *show)
{
	const struct config_file *socket = show->socket;
	char option[16], what[64];
	int listener, seats[2], ret;

	if (socket->path == NULL) {
		return true;
	}
	snprintf(option, sizeof(option), "%s ", show->option);
	listener = listen_privately(socket->path, socket->fd, SOCK_STREAM, BACKLOG, option);
	if (listener < 0) {
		return false;
	}
	if ((listener = raise_fd(listener)) < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, seats) != 0) {
		return refuse(show, socket->path, errno);
	}
	seats[1] = raise_fd(seats[1]);
	ret = seats[1] < 0 ? errno : start(show, listener, seats[1], machine->config->name);
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
	if (config->vnc.path == NULL && config->rdp.path == NULL) {
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
