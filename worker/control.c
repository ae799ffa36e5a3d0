/*
 * The socket of --control: who is connected, what waits for them, and what they are told without
 * having asked.
 *
 * Nothing here blocks. A client's next request is read when nothing waits for it any more; events
 * that find no room are counted instead.
 */
#include "worker/control.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hosted/listen.h"
#include "hosted/packet.h"
#include "worker/merge.h"
#include "worker/migrate.h"
#include "worker/say.h"

/* What epoll says an event is about: a client's number, or one of these. */
enum { ON_LISTENER = CONTROL_CLIENTS_MAX, ON_WAKE, ON_JOBS, ON_COUNT };

static void job_ended(void *user, const struct job *job);

static int watch(struct control *control, int operation, int fd, uint32_t events, uint32_t what)
{
	struct epoll_event event = {.events = events, .data.u32 = what};

	return epoll_ctl(control->epoll, operation, fd, &event) == 0 ? 0 : -errno;
}

static int set_up(struct control *control)
{
	int ret = jobs_create(&control->jobs, job_ended, control);

	control->epoll = epoll_create1(EPOLL_CLOEXEC);
	control->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ret == 0 && (control->epoll < 0 || control->wake < 0)) {
		ret = -errno;
	}
	if (ret == 0) {
		ret = watch(control, EPOLL_CTL_ADD, control->listener, EPOLLIN, ON_LISTENER);
	}
	if (ret == 0) {
		ret = watch(control, EPOLL_CTL_ADD, control->wake, EPOLLIN, ON_WAKE);
	}
	if (ret == 0) {
		ret = watch(control, EPOLL_CTL_ADD, control->jobs.event, EPOLLIN, ON_JOBS);
	}
	return ret;
}

bool control_create(struct machine *machine)
{
	const struct config_file *socket = &machine->config->control;
	struct control *control;
	int i, ret;

	if (socket->path == NULL) {
		return true;
	}
	control = calloc(1, sizeof(*control));
	if (control == NULL) {
		say("--control: out of memory");
		return false;
	}
	/* jansson seeds itself by a file otherwise, when the sandbox is closed. */
	json_object_seed(0);
	control->machine = machine;
	control->owner = getuid();
	control->state = methods_state(machine);
	for (i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		control->clients[i].fd = -1;
	}
	control->listener =
		listen_privately(socket->path, socket->fd, SOCK_SEQPACKET, 16, "--control ");
	if (control->listener < 0) {
		free(control);
		return false;
	}
	ret = set_up(control);
	if (ret != 0) {
		say("--control %s: %s", socket->path, strerror(-ret));
	}
	machine->control = control;
	return ret == 0;
}

int control_fd(const struct machine *machine)
{
	return machine->control != NULL ? machine->control->epoll : -1;
}

void control_notify(struct machine *machine)
{
	if (machine->control != NULL) {
		eventfd_write(machine->control->wake, 1);
	}
}

static void hang_up(struct control *control, struct client *client)
{
	services_client_gone(control->machine, client);
	close(client->fd);
	while (client->count != 0) {
		free(client->waiting[--client->count]);
	}
	*client = (struct client){.fd = -1};
	malloc_trim(0); /* long answers leave much that nobody uses */
	/* There is a descriptor for the next one again. */
	if (control->deaf) {
		control->deaf = false;
		(void)watch(control, EPOLL_CTL_MOD, control->listener, EPOLLIN, ON_LISTENER);
	}
}

static uint32_t number_of(const struct control *control, const struct client *client)
{
	return (uint32_t)(client - control->clients);
}

/* In the order in which it came up. With all of it out the client is read from again. */
static void flush(struct control *control, struct client *client)
{
	unsigned int done = 0;
	int ret = 0;

	while (done < client->count && ret == 0) {
		ret = rpc_send(client->fd, client->waiting[done]);
		if (ret == 0) {
			free(client->waiting[done++]);
		}
	}
	client->count -= done;
	memmove(client->waiting, client->waiting + done,
		client->count * sizeof(client->waiting[0]));
	if (ret != 0 && ret != -EAGAIN) {
		hang_up(control, client);
	} else if (client->count == 0) {
		(void)watch(control, EPOLL_CTL_MOD, client->fd, EPOLLIN,
			    number_of(control, client));
	}
}

/* Takes the text. There is room for it. */
static void post(struct control *control, struct client *client, char *text)
{
	int ret = client->count == 0 ? rpc_send(client->fd, text) : -EAGAIN;

	if (ret == -EAGAIN) {
		client->waiting[client->count++] = text;
		(void)watch(control, EPOLL_CTL_MOD, client->fd, EPOLLOUT,
			    number_of(control, client));
		return;
	}
	free(text);
	if (ret != 0) {
		hang_up(control, client);
	}
}

static void answer(struct control *control, struct client *client, json_t *message)
{
	char *text = rpc_text(message);

	json_decref(message);
	if (client->fd < 0) {
		free(text); /* it went while the request was served */
	} else if (text == NULL) {
		hang_up(control, client);
	} else {
		post(control, client, text);
	}
}

/* Takes `params`. */
static void emit(struct control *control, const char *name, json_t *params)
{
	json_t *event = json_pack("{s:s, s:s, s:o}", "jsonrpc", "2.0", "method", CONTROL_EVENT,
				  "params", params);
	unsigned int i;

	json_object_set_new(params, "sequence", json_integer((json_int_t)++control->sequence));
	json_object_set_new(params, "event", json_string(name));
	for (i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct client *client = &control->clients[i];
		char *text;

		if (client->fd < 0 || !client->subscribed) {
			continue;
		}
		if (client->lost != 0) {
			json_object_set_new(params, "lost", json_integer(client->lost));
		} else {
			json_object_del(params, "lost");
		}
		text = client->count < CONTROL_EVENTS_MAX ? rpc_text(event) : NULL;
		if (text == NULL) {
			client->lost++;
			continue;
		}
		client->lost = 0;
		post(control, client, text);
	}
	json_decref(event);
}

static void job_ended(void *user, const struct job *job)
{
	struct control *control = user;
	static const struct {
		const char *what, *change;
	} changes[] = {
		{CONTROL_ATTACH, "attached"},       {CONTROL_DETACH, "detached"},
		{CONTROL_DVD, "attached"},          {CONTROL_CHANGE, "medium"},
		{CONTROL_NET_ADD, "added"},         {CONTROL_NET_REMOVE, "removed"},
		{CONTROL_NET_CONNECT, "connected"}, {CONTROL_DEVICE_ADD, "added"},
		{CONTROL_DEVICE_REMOVE, "removed"}, {CONTROL_MERGE, "merged"},
		{CONTROL_MIRROR, "mirrored"},
	};
	static const char *const names[] = {[JOB_OF_DISK] = CONTROL_ON_DISKS,
					    [JOB_OF_ADAPTER] = CONTROL_ON_NETWORKS,
					    [JOB_OF_DEVICE] = CONTROL_ON_DEVICES};
	unsigned int i;

	for (i = 0; i < ARRAY_COUNT(changes) && job->state == JOB_DONE; i++) {
		if (strcmp(job->what, changes[i].what) == 0) {
			emit(control, names[job->of],
			     json_pack("{s:i, s:s}", "number", job->number, "change",
				       changes[i].change));
		}
	}
	emit(control, CONTROL_ON_JOB, json_pack("{s:o}", "job", methods_job(job)));
}

void control_progress(struct machine *machine, const struct job *job)
{
	emit(machine->control, CONTROL_ON_PROGRESS, json_pack("{s:o}", "job", methods_job(job)));
}

/* What of the machine is another than the last event said. */
static void look_at_machine(struct control *control)
{
	struct machine *machine = control->machine;
	const char *state = methods_state(machine);
	bool crashed = atomic_load(&machine->crashed);
	unsigned int service, adapter;

	if (machine->resets != control->resets) {
		control->resets = machine->resets;
		emit(control, CONTROL_ON_RESET, json_pack("{s:i}", "resets", (int)machine->resets));
	}
	if (strcmp(state, control->state) != 0) {
		control->state = state;
		emit(control, CONTROL_ON_STATE, json_pack("{s:s}", "state", state));
	}
	if (crashed && !control->crashed) {
		emit(control, CONTROL_ON_CRASHED, json_object());
	}
	control->crashed = crashed;
	while (networks_changed(machine, &adapter)) {
		emit(control, CONTROL_ON_NETWORKS,
		     json_pack("{s:i, s:s}", "number", (int)adapter, "change", "lost"));
	}
	while (services_changed(machine, &service)) {
		emit(control, CONTROL_ON_SERVICE,
		     json_pack("{s:o}", "service", services_object(machine, service)));
	}
}

/* By the kernel's word on who connected. */
static bool may_change(const struct control *control, uid_t user)
{
	const struct config *config = control->machine->config;
	unsigned int i;

	for (i = 0; i < config->control_user_count; i++) {
		if (user == config->control_users[i]) {
			return true;
		}
	}
	return user == 0 || user == control->owner;
}

/* One too many is told so, and not only hung up on. */
static void accept_client(struct control *control)
{
	struct client *client = control->clients;
	struct rpc_peer peer;
	int fd = rpc_accept(control->listener, &peer);

	if (fd < 0) {
		/* No descriptor is left: who waits out there would wake us for ever. */
		control->deaf = fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM;
		if (control->deaf) {
			(void)watch(control, EPOLL_CTL_MOD, control->listener, 0, ON_LISTENER);
		}
		return;
	}
	while (client < control->clients + CONTROL_CLIENTS_MAX && client->fd >= 0) {
		client++;
	}
	if (client == control->clients + CONTROL_CLIENTS_MAX) {
		json_t *refusal = rpc_refusal(CONTROL_BAD_LIMIT,
					      "as many clients as there may be are connected",
					      "end one of them");
		char *text = rpc_text(refusal);

		if (text != NULL) {
			(void)!rpc_send(fd, text);
		}
		free(text);
		json_decref(refusal);
		close(fd);
		return;
	}
	if (watch(control, EPOLL_CTL_ADD, fd, EPOLLIN, number_of(control, client)) != 0) {
		close(fd);
		return;
	}
	peer.may_change = may_change(control, peer.user);
	*client = (struct client){.peer = peer, .fd = fd};
}

static void receive(struct control *control, struct client *client)
{
	struct rpc_request request = {.server = control, .peer = &client->peer};
	struct packet packet = {.bytes = control->text,
				.size = sizeof(control->text),
				.fds = request.fds,
				.fds_max = CONTROL_FILES_MAX};
	int ret = packet_receive(client->fd, MSG_DONTWAIT, &packet);

	if (ret == -EAGAIN || ret == -EINTR) {
		return;
	}
	request.fd_count = packet.fd_count;
	if (ret != 0 || packet.length == 0) {
		hang_up(control, client);
	} else if (packet.cut) {
		answer(control, client,
		       rpc_refusal(CONTROL_BAD_LIMIT, "the request is too long",
				   "keep it below 128 KiB"));
	} else if (packet.fds_cut) {
		answer(control, client,
		       rpc_refusal(CONTROL_BAD_DESCRIPTORS,
				   "the worker has no room for these descriptors",
				   "raise its RLIMIT_NOFILE"));
	} else {
		answer(control, client, methods_answer(&request, control->text, packet.length));
	}
	packet.fd_count = request.fd_count;
	packet_close(&packet);
}

/*
 * No request is read while something waits to be sent: what a client can make us keep has a bound.
 */
static void serve_client(struct control *control, struct client *client)
{
	if (client->fd >= 0 && client->count != 0) {
		flush(control, client);
	}
	if (client->fd >= 0 && client->count == 0) {
		receive(control, client);
	}
}

void control_serve(struct machine *machine)
{
	struct control *control = machine->control;
	struct epoll_event events[ON_COUNT];
	uint64_t value;
	int i, count;

	if (control == NULL) {
		return;
	}
	count = epoll_wait(control->epoll, events, ON_COUNT, 0);
	for (i = 0; i < count; i++) {
		switch (events[i].data.u32) {
		case ON_LISTENER:
			accept_client(control);
			break;
		case ON_WAKE:
			eventfd_read(control->wake, &value);
			copies_serve(machine);
			migrate_serve(machine);
			merge_serve(machine);
			break;
		case ON_JOBS:
			jobs_serve(&control->jobs);
			break;
		default:
			serve_client(control, &control->clients[events[i].data.u32]);
			break;
		}
	}
	look_at_machine(control);
}

void control_begin_end(struct machine *machine)
{
	if (machine->control != NULL) {
		jobs_begin_end(&machine->control->jobs);
	}
}

bool control_has_ended(struct machine *machine)
{
	return machine->control == NULL || jobs_have_ended(&machine->control->jobs);
}

void control_destroy(struct machine *machine, const char *reason)
{
	struct control *control = machine->control;
	unsigned int i;
	bool done;

	if (control == NULL) {
		return;
	}
	done = jobs_all_ended(&control->jobs);
	if (!done) {
		say("a disk's files are still being opened; they are left to the end of this "
		    "process");
	}
	emit(control, CONTROL_ON_STATE,
	     json_pack("{s:s, s:s}", "state", CONTROL_STATE_ENDED, "reason", reason));
	for (i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		if (control->clients[i].fd >= 0) {
			hang_up(control, &control->clients[i]);
		}
	}
	close(control->listener);
	close(control->epoll);
	machine->control = NULL;
	if (done) {
		close(control->wake);
		close(control->jobs.event);
		free(control);
	}
}
