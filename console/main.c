/*
 * vmvnc and vmrdp show a machine to viewers that speak VNC or RDP. `vmwp --vnc` and `--rdp` start
 * them, with a socket at which viewers connect (descriptor 3) and a seat at the machine's console
 * (4). Each viewer has a process of its own, and in it a seat of its own: so one that is slow, or
 * breaks the library, has done it to itself. This process accepts, and reads nothing that a viewer
 * says. All of them end with the machine.
 *
 * vmrdp is also started by vweb, once for each viewer that comes from another host, and accepts
 * nobody then.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "console/viewer.h"
#include "hosted/packet.h"
#include "hosted/say.h"
#include "include/mgmt/display.h"
#include "include/mgmt/door.h"

#define LISTENER 3
#define SEAT     4
/* Of one viewer that another program has met: its bytes, and where is asked for a seat. */
#define CLIENT 3
#define DOOR   4

/* A second seat is the viewer's: asked for at the first. */
static int new_seat(void)
{
	const struct display_request request = {.type = DISPLAY_JOIN};
	int pair[2], ret;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
		return -1;
	}
	ret = packet_send(SEAT, 0, &request, sizeof(request), &pair[1], 1);
	close(pair[1]);
	if (ret != 0) {
		close(pair[0]);
		return -1;
	}
	return pair[0];
}

/* Returns in the parent alone. */
static bool start_viewer(int client, const char *name)
{
	int seat = new_seat();
	pid_t child = seat >= 0 ? fork() : -1;

	if (child == 0) {
		close(LISTENER);
		close(SEAT);
		viewer_run(seat, client, name);
		_exit(0);
	}
	if (seat >= 0) {
		close(seat);
	}
	return child > 0;
}

static void serve(const char *name)
{
	struct pollfd polls[] = {{.fd = LISTENER, .events = POLLIN}, {.fd = SEAT}};
	unsigned int viewers = 0;
	int client;

	for (;;) {
		if (poll(polls, 2, -1) < 0 && errno != EINTR) {
			say("poll: %s", strerror(errno));
			return;
		}
		if (polls[1].revents != 0) {
			return; /* the machine has ended */
		}
		while (viewers != 0 && waitpid(-1, NULL, WNOHANG) > 0) {
			viewers--;
		}
		client = accept4(LISTENER, NULL, NULL, SOCK_CLOEXEC);
		if (client < 0) {
			continue;
		}
		if (viewers == DISPLAY_SEATS) {
			say("a viewer more than %u", DISPLAY_SEATS);
		} else {
			viewers += start_viewer(client, name);
		}
		close(client);
	}
}

int main(int argc, char **argv)
{
	struct display_hello hello;
	int memory = -1;
	struct packet packet = {
		.bytes = &hello, .size = sizeof(hello), .fds = &memory, .fds_max = 1};

	say_set_name(viewer_program);
	if (argc == 3 && viewer_run_login != NULL && strcmp(argv[1], DOOR_WORD) == 0) {
		signal(SIGPIPE, SIG_IGN);
		if (sandbox_enter()) {
			viewer_run_login(CLIENT, DOOR);
		}
		return 1;
	}
	if (argc != 2) {
		say("vmwp starts it; by itself it shows nothing");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	if (!sandbox_enter()) {
		return 1;
	}
	if (packet_receive(SEAT, 0, &packet) != 0 || packet.length != sizeof(hello)) {
		say("there is no machine");
		return 1;
	}
	packet_close(&packet); /* the viewers map it */
	serve(argv[1]);
	return 0;
}
