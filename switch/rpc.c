/*
 * The control socket: JSON-RPC 2.0 on SOCK_SEQPACKET, as docs/design/control.md has it for workers.
 * One request a packet, answered at once. Who may change things: root, and the daemon's own user.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "include/mgmt/control.h"
#include "switch/daemon.h"

#define FDS_MAX 8u

static void hang_up(struct client *client)
{
	close(client->fd); /* nobody else has it, so the watch ends as well */
	client->fd = -1;
}

void rpc_accept(struct daemon *daemon)
{
	int fd = accept4(daemon->control, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred peer = {.uid = (uid_t)-1};
	socklen_t bytes = sizeof(peer);
	struct client *client = NULL;

	for (uint32_t i = 0; i < DAEMON_CLIENTS && client == NULL; i++) {
		client = daemon->clients[i].fd < 0 ? &daemon->clients[i] : NULL;
	}
	if (fd < 0 || client == NULL ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) != 0) {
		if (fd >= 0) {
			close(fd);
		}
		return;
	}
	*client = (struct client){
		.fd = fd, .user = peer.uid, .source = {.kind = SOURCE_CLIENT, .client = client}};
	if (!loop_watch(daemon, fd, EPOLLIN, &client->source)) {
		hang_up(client);
	}
}

/* JSON-RPC's own; all others have one number. */
static const struct {
	const char *word;
	int number;
} codes[] = {
	{CONTROL_BAD_PARSE, -32700},
	{CONTROL_BAD_REQUEST, -32600},
	{CONTROL_BAD_METHOD, -32601},
	{CONTROL_BAD_INVALID, -32602},
};
#define CODE_OTHER (-32000)

static json_t *error_object(const struct rpc_error *error)
{
	json_t *data = json_pack("{s:s}", "code", error->code);
	int number = CODE_OTHER;

	for (uint32_t i = 0; i < ARRAY_COUNT(codes); i++) {
		number = strcmp(codes[i].word, error->code) == 0 ? codes[i].number : number;
	}
	if (error->field[0] != '\0') {
		json_object_set_new(data, "field", json_string(error->field));
	}
	if (error->remedy[0] != '\0') {
		json_object_set_new(data, "remedy", json_string(error->remedy));
	}
	return json_pack("{s:i, s:s, s:o}", "code", number, "message", error->message, "data",
			 data);
}

static bool answer(struct client *client, const json_t *id, json_t *result,
		   const struct rpc_error *error)
{
	json_t *reply = json_pack("{s:s, s:O?}", "jsonrpc", "2.0", "id", id);
	size_t length;
	char *text;
	bool sent;

	if (id == NULL) {
		json_object_set_new(reply, "id", json_null());
	}
	json_object_set_new(reply, result != NULL ? "result" : "error",
			    result != NULL ? result : error_object(error));
	text = json_dumps(reply, JSON_COMPACT);
	json_decref(reply);
	if (text == NULL) {
		return false;
	}
	length = strlen(text);
	/* Who does not read is hung up, and not waited for. */
	sent = send(client->fd, text, length, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)length;
	free(text);
	return sent;
}

static json_t *hello(struct client *client, json_t *params, struct rpc_error *error)
{
	json_t *versions = json_object_get(params, "versions");
	json_int_t least = json_integer_value(json_array_get(versions, 0));
	json_int_t most = json_integer_value(json_array_get(versions, 1));

	if (json_array_size(versions) != 2 || least > CONTROL_VERSION || most < CONTROL_VERSION) {
		rpc_fail(error, CONTROL_BAD_VERSION, "params.versions", "give [1,1]",
			 "version 1 is spoken here");
		return NULL;
	}
	json_object_del(params, "versions");
	if (!members_end(params, error)) {
		return NULL;
	}
	client->greeted = true;
	return json_pack("{s:i, s:[i,i], s:o}", "version", CONTROL_VERSION, "versions",
			 CONTROL_VERSION, CONTROL_VERSION, "methods", method_names());
}

static json_t *perform(struct daemon *daemon, struct client *client, json_t *request, int *fd,
		       struct rpc_error *error)
{
	const char *method = json_string_value(json_object_get(request, "method"));
	const char *version = json_string_value(json_object_get(request, "jsonrpc"));
	const json_t *id = json_object_get(request, "id");
	json_t *params = json_object_get(request, "params"), *none = NULL, *result = NULL;

	if (method == NULL || version == NULL || strcmp(version, "2.0") != 0 ||
	    (!json_is_integer(id) && !json_is_string(id)) ||
	    (params != NULL && !json_is_object(params))) {
		rpc_fail(error, CONTROL_BAD_REQUEST, "",
			 "give jsonrpc, id, method, and params as an object",
			 "not a request of JSON-RPC 2.0");
		return NULL;
	}
	if (params == NULL) {
		params = none = json_object();
	}
	if (strcmp(method, CONTROL_HELLO) == 0) {
		result = hello(client, params, error);
	} else if (!client->greeted) {
		rpc_fail(error, CONTROL_BAD_VERSION, "", "send hello first", "no hello yet");
	} else {
		result = method_call(daemon, method, params, fd,
				     client->user == 0 || client->user == geteuid(), error);
	}
	json_decref(none);
	return result;
}

/* The first descriptor that came, or -1; more than one is one too many. */
static int take_descriptor(struct msghdr *message, bool *too_many)
{
	const struct cmsghdr *header = CMSG_FIRSTHDR(message);
	int fds[FDS_MAX];
	size_t count;

	*too_many = message->msg_flags & MSG_CTRUNC;
	if (header == NULL || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) {
		return -1;
	}
	count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(fds, CMSG_DATA(header), count * sizeof(int));
	for (size_t i = 1; i < count; i++) {
		close(fds[i]);
		*too_many = true;
	}
	return count != 0 ? fds[0] : -1;
}

void rpc_serve(struct daemon *daemon, struct client *client)
{
	static char text[CONTROL_MESSAGE_MAX];
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} rights;
	struct iovec part = {.iov_base = text, .iov_len = sizeof(text)};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = &rights,
				 .msg_controllen = sizeof(rights)};
	struct rpc_error error = {0};
	json_t *request, *result = NULL;
	ssize_t length = recvmsg(client->fd, &message, MSG_CMSG_CLOEXEC);
	bool too_many;
	int fd;

	if (length <= 0) {
		if (length == 0 || errno != EAGAIN) {
			hang_up(client);
		}
		return;
	}
	fd = take_descriptor(&message, &too_many);
	error.kept = json_array();
	request = json_loadb(text, (size_t)length, JSON_REJECT_DUPLICATES, NULL);
	if (too_many) {
		rpc_fail(&error, CONTROL_BAD_DESCRIPTORS, "", "send one",
			 "more than one descriptor");
	} else if (!json_is_object(request) || message.msg_flags & MSG_TRUNC) {
		rpc_fail(&error, CONTROL_BAD_PARSE, "",
			 "send one object of JSON in one packet, at most 128 KiB",
			 "not an object of JSON");
	} else {
		result = perform(daemon, client, request, &fd, &error);
	}
	if (!answer(client, json_object_get(request, "id"), result, &error)) {
		hang_up(client);
	}
	json_decref(request);
	json_decref(error.kept);
	if (fd >= 0) {
		close(fd);
	}
}
