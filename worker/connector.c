/* See connector.h. */
#include "worker/connector.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "hosted/listen.h"
#include "hosted/packet.h"
#include "hosted/sandbox.h"
#include "vsp/socket/socket.h"
#include "worker/filters.h"
#include "worker/say.h"

static bool enter_sandbox(void)
{
	static const char *const readable[] = {NULL};

	return sandbox_begin() && sandbox_close_files(readable, false) && sandbox_close_memory() &&
	       sandbox_load_filter(filter_connector,
				   filter_bytes(filter_connector, filter_connector_end));
}

/* A program that does not accept is not waited for: its queue is full, and the guest is refused. */
static void answer(int worker, const char *prefix, const struct sockets_call *call)
{
	struct sockets_reply reply = {.number = call->number};
	char name[SOCKETS_NAME_MAX], path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	int fd;

	sockets_name_service(&call->service, name);
	snprintf(path, sizeof(path), "%s_%s", prefix, name);
	fd = connect_at(path, SOCK_STREAM | SOCK_NONBLOCK);
	reply.error = fd < 0 ? fd : 0;
	if (packet_send(worker, 0, &reply, sizeof(reply), &fd, fd >= 0 ? 1 : 0) != 0) {
		_exit(1); /* the worker is gone */
	}
	if (fd >= 0) {
		close(fd);
	}
}

/* Until the worker has ended. A terminal's signals are the worker's to act on. */
static void run(int worker, const char *prefix)
{
	struct sockets_call call;
	struct packet packet;

	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	if (dup2(worker, STDIN_FILENO) < 0 || close_range(STDERR_FILENO + 1, ~0u, 0) != 0 ||
	    close(STDOUT_FILENO) != 0 || !enter_sandbox()) {
		_exit(1);
	}
	close(STDERR_FILENO);
	for (;;) {
		packet = (struct packet){.bytes = &call, .size = sizeof(call)};
		if (packet_receive(STDIN_FILENO, 0, &packet) != 0 ||
		    packet.length != sizeof(call)) {
			_exit(0);
		}
		answer(STDIN_FILENO, prefix, &call);
	}
}

int connector_start(const char *prefix)
{
	const size_t most =
		sizeof(((struct sockaddr_un *)NULL)->sun_path) - sizeof("_") - SOCKETS_NAME_MAX;
	int pair[2];
	pid_t process;

	if (strlen(prefix) > most) {
		say("--vsock %s: the path is too long; give %zu characters at most", prefix, most);
		return -1;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
		say("--vsock %s: %s", prefix, strerror(errno));
		return -1;
	}
	process = fork();
	if (process == 0) {
		run(pair[1], prefix);
	}
	close(pair[1]);
	if (process < 0) {
		say("--vsock %s: %s", prefix, strerror(errno));
		close(pair[0]);
		return -1;
	}
	return pair[0];
}
