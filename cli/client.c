/* See client.h. */
#include "cli/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "hosted/listen.h"
#include "hosted/packet.h"
#include "hosted/say.h"
#include "include/mgmt/control.h"
#include "include/mgmt/switch.h"

static const char *server = "the worker", *server_socket = "the socket of a running vmwp --control";

void client_name(const char *of_server, const char *of_socket)
{
	server = of_server;
	server_socket = of_socket;
}

bool client_fail(const char *what, const char *why)
{
	say("%s: %s", what, why);
	return false;
}

bool client_refused(const char *about, const json_t *error)
{
	const char *message = json_string_value(json_object_get(error, "message"));
	const char *remedy =
		json_string_value(json_object_get(json_object_get(error, "data"), "remedy"));

	say("%s: %s%s%s", about, message != NULL ? message : "refused", remedy != NULL ? "; " : "",
	    remedy != NULL ? remedy : "");
	return false;
}

static bool connect_to(struct client *client, const char *path)
{
	const struct timeval most = {.tv_sec = client->patience};

	client->fd = connect_at(path, SOCK_SEQPACKET);
	if (client->fd < 0) {
		say("%s: %s; give %s", path, strerror(-client->fd), server_socket);
	}
	return client->fd >= 0 &&
	       (setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most)) == 0 ||
		client_fail(path, strerror(errno)));
}

/* One message, or NULL: the worker is gone. */
static json_t *receive(struct client *client)
{
	static char text[CONTROL_MESSAGE_MAX];
	ssize_t length = recv(client->fd, text, sizeof(text), 0);

	return length > 0 ? json_loadb(text, (size_t)length, 0, NULL) : NULL;
}

static bool is_event(const json_t *message)
{
	return json_object_get(message, "method") != NULL;
}

static void hand_over(struct client *client, const json_t *message)
{
	if (client->event != NULL) {
		client->event(client->user, json_object_get(message, "params"));
	}
}

bool client_next_event(struct client *client)
{
	json_t *message = receive(client);
	bool done = message != NULL;

	if (done && is_event(message)) {
		hand_over(client, message);
	}
	json_decref(message);
	return done;
}

/* The answer. Nobody else asks on this connection, so it is the next message that is no event. */
static json_t *answer(struct client *client)
{
	json_t *message = receive(client);

	while (message != NULL && is_event(message)) {
		hand_over(client, message);
		json_decref(message);
		message = receive(client);
	}
	return message;
}

json_t *client_ask(struct client *client, const char *method, json_t *params, const int *fds,
		   unsigned int count, const char *about)
{
	json_t *request = json_pack("{s:s, s:i, s:s, s:o}", "jsonrpc", "2.0", "id",
				    ++client->last_id, "method", method, "params", params);
	char *text = request != NULL ? json_dumps(request, JSON_COMPACT) : NULL;
	json_t *message, *result = NULL, *error;
	int ret;

	json_decref(request);
	client->refused = false;
	ret = text != NULL ? packet_send(client->fd, 0, text, strlen(text), fds, count) : -ENOMEM;
	if (ret != 0) {
		client_fail(server, strerror(-ret));
		free(text);
		return NULL;
	}
	free(text);
	message = answer(client);
	if (message == NULL) {
		client_fail(server, "it has ended");
		return NULL;
	}
	error = json_object_get(message, "error");
	client->refused = error != NULL;
	if (error != NULL) {
		client_refused(about, error);
	} else {
		result = json_incref(json_object_get(message, "result"));
	}
	json_decref(message);
	return result;
}

json_t *client_ask_ports(struct client *client, const char *net, const char *about)
{
	json_t *all = json_array(), *page;
	json_int_t from = 0;

	do {
		page = client_ask(client, SWITCH_PORT_LIST,
				  json_pack("{s:s, s:I}", "switch", net, "from", from), NULL, 0,
				  about);
		if (page == NULL) {
			json_decref(all);
			return NULL;
		}
		json_array_extend(all, json_object_get(page, "ports"));
		from = json_integer_value(json_object_get(page, "next"));
		json_decref(page);
	} while (from != 0);
	return all;
}

bool client_open(struct client *client, const char *path)
{
	json_t *hello;

	if (!connect_to(client, path)) {
		return false;
	}
	hello = client_ask(client, CONTROL_HELLO,
			   json_pack("{s:[i,i]}", "versions", 1, CONTROL_VERSION), NULL, 0, path);
	json_decref(hello);
	return hello != NULL;
}
