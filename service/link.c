/*
 * The connection to a worker's control socket (include/mgmt/control.h), as its client that never
 * waits. Answers come in the order of the requests, so those that are open are a queue. Events are
 * for machine.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hosted/listen.h"
#include "hosted/packet.h"
#include "include/mgmt/control.h"
#include "service/service.h"

struct call {
	struct call *next;
	link_done *done;
	void *user;
};

struct link {
	struct source source;
	struct machine *machine;
	struct call *calls, **last;
	int last_id;
};

static void answer(struct link *link, const json_t *result, const json_t *error)
{
	struct call *call = link->calls;

	link->calls = call->next;
	if (link->calls == NULL) {
		link->last = &link->calls;
	}
	call->done(link->machine, call->user, result, error);
	free(call);
}

void link_close(struct machine *machine)
{
	struct link *link = machine->link;
	json_t *error;

	if (link == NULL) {
		return;
	}
	machine->link = NULL;
	loop_close(machine->service, &link->source);
	error = json_pack("{s:s}", "message", "the worker has ended");
	while (link->calls != NULL) {
		answer(link, NULL, error);
	}
	json_decref(error);
	free(link);
}

static void take(struct link *link, const json_t *message)
{
	const json_t *method = json_object_get(message, "method"),
		     *error = json_object_get(message, "error");

	if (json_is_string(method)) {
		machine_event(link->machine, json_object_get(message, "params"));
	} else if (link->calls != NULL) {
		answer(link, json_object_get(message, "result"), error);
	}
}

/* False: nothing has come. */
static bool receive(struct link *link)
{
	static char text[CONTROL_MESSAGE_MAX];
	struct packet packet = {.bytes = text, .size = sizeof(text)};
	int ret = packet_receive(link->source.fd, MSG_DONTWAIT, &packet);
	json_t *message;

	if (ret == -EAGAIN || ret == -EINTR) {
		return false;
	}
	packet_close(&packet);
	if (ret != 0 || packet.length == 0) {
		/* It is about to end, or is broken: its process says which. */
		link_close(link->machine);
		return true;
	}
	message = json_loadb(text, packet.length, 0, NULL);
	if (message != NULL) {
		take(link, message);
		json_decref(message);
	}
	return true;
}

static void ready(struct source *source, uint32_t events)
{
	(void)events;
	(void)receive((struct link *)((char *)source - offsetof(struct link, source)));
}

void link_drain(struct machine *machine)
{
	while (machine->link != NULL && receive(machine->link)) {
	}
}

void link_ask(struct machine *machine, const char *method, json_t *params, int fd, link_done *done,
	      void *user)
{
	struct link *link = machine->link;
	json_t *request, *error;
	struct call *call = link != NULL ? calloc(1, sizeof(*call)) : NULL;
	char *text = NULL;
	int ret = -ENOTCONN;

	if (call != NULL) {
		request = json_pack("{s:s, s:i, s:s, s:O}", "jsonrpc", "2.0", "id", ++link->last_id,
				    "method", method, "params", params);
		text = request != NULL ? json_dumps(request, JSON_COMPACT) : NULL;
		json_decref(request);
		ret = text != NULL ? packet_send(link->source.fd, MSG_DONTWAIT, text, strlen(text),
						 &fd, fd >= 0 ? 1 : 0)
				   : -ENOMEM;
		free(text);
	}
	json_decref(params);
	if (fd >= 0) {
		close(fd);
	}
	if (ret == 0) {
		*call = (struct call){.done = done, .user = user};
		*link->last = call;
		link->last = &call->next;
		return;
	}
	free(call);
	error = json_pack("{s:s}", "message",
			  ret == -ENOTCONN ? "there is no worker"
			  : ret == -EAGAIN ? "the worker does not read what it is asked"
					   : strerror(-ret));
	done(machine, user, NULL, error);
	json_decref(error);
}

void link_ignore(struct machine *machine, void *user, const json_t *result, const json_t *error)
{
	(void)machine;
	(void)user;
	(void)result;
	(void)error;
}

static void greeted(struct machine *machine, void *user, const json_t *result, const json_t *error)
{
	(void)user;
	if (error == NULL && result != NULL) {
		machine_greeted(machine);
	}
}

int link_open(struct machine *machine, const char *path)
{
	struct link *link;
	int fd = connect_at(path, SOCK_SEQPACKET);

	if (fd < 0) {
		return fd;
	}
	link = calloc(1, sizeof(*link));
	if (link == NULL) {
		close(fd);
		return -ENOMEM;
	}
	*link = (struct link){.source = {fd, ready}, .machine = machine};
	link->last = &link->calls;
	if (!loop_watch(machine->service, &link->source, EPOLLIN)) {
		close(fd);
		free(link);
		return -EIO;
	}
	machine->link = link;
	link_ask(machine, CONTROL_HELLO, json_pack("{s:[i,i]}", "versions", 1, CONTROL_VERSION), -1,
		 greeted, NULL);
	return 0;
}
