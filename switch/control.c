/*
 * The control socket: one request a packet (hosted/rpc.h), answered at once. Who may change things:
 * root, and the daemon's own user.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hosted/packet.h"
#include "switch/daemon.h"

#define FDS_MAX 8u /* of a request: more than any takes, so that too many are seen */

static void hang_up(struct client *client)
{
	close(client->fd); /* nobody else has it, so the watch ends as well */
	client->fd = -1;
}

void control_accept(struct daemon *daemon)
{
	struct client *client = NULL;
	struct rpc_peer peer;
	int fd = rpc_accept(daemon->control, &peer);

	for (uint32_t i = 0; i < DAEMON_CLIENTS && client == NULL; i++) {
		client = daemon->clients[i].fd < 0 ? &daemon->clients[i] : NULL;
	}
	if (fd < 0 || client == NULL) {
		if (fd >= 0) {
			close(fd);
		}
		return;
	}
	peer.may_change = peer.user == 0 || peer.user == geteuid();
	*client = (struct client){
		.peer = peer, .fd = fd, .source = {.kind = SOURCE_CLIENT, .client = client}};
	if (!loop_watch(daemon, fd, EPOLLIN, &client->source)) {
		hang_up(client);
	}
}

/* Takes the answer. Who does not read is hung up, and not waited for. */
static void answer(struct client *client, json_t *message)
{
	char *text = rpc_text(message);

	json_decref(message);
	if (text == NULL || rpc_send(client->fd, text) != 0) {
		hang_up(client);
	}
	free(text);
}

void control_serve(struct daemon *daemon, struct client *client)
{
	static char text[CONTROL_MESSAGE_MAX];
	struct rpc_request request = {.server = daemon, .peer = &client->peer};
	struct packet packet = {
		.bytes = text, .size = sizeof(text), .fds = request.fds, .fds_max = FDS_MAX};
	int ret = packet_receive(client->fd, 0, &packet);

	if (ret == -EAGAIN || ret == -EINTR) {
		return;
	}
	request.fd_count = packet.fd_count;
	if (ret != 0 || packet.length == 0) {
		hang_up(client);
	} else if (packet.cut) {
		answer(client, rpc_refusal(CONTROL_BAD_LIMIT, "the request is too long",
					   "keep it below 128 KiB"));
	} else if (packet.fds_cut) {
		answer(client, rpc_refusal(CONTROL_BAD_DESCRIPTORS, "too many descriptors came",
					   "send one"));
	} else {
		answer(client, methods_answer(&request, text, packet.length));
	}
	packet.fd_count = request.fd_count;
	packet_close(&packet);
}
