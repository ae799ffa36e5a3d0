/*
 * What happens to machines, for a client that wants to know. A thread follows the service's events,
 * which a pipe brings to the session; there they become libvirt's by what was known of the machine
 * before. A service that ends and comes again is followed again, and what was missed is made up
 * for.
 */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libvirt/call.h"

#define SUBSCRIPTIONS_MAX 64
#define OPEN_WAIT_MS      10000

/* virDomainEventID; those that never happen can be asked for, too */
enum { EVENT_LIFECYCLE, EVENT_REBOOT, EVENT_LAST = 27 };
/* Their messages */
enum { MESSAGE_LIFECYCLE = 318, MESSAGE_REBOOT = 319 };
/* virDomainEventType, and the details that are used */
enum { DEFINED, UNDEFINED, STARTED, SUSPENDED, RESUMED, STOPPED, SHUTDOWN, CRASHED = 8 };
enum { DEFINED_ADDED, DEFINED_UPDATED, DEFINED_RENAMED };
enum { UNDEFINED_REMOVED, UNDEFINED_RENAMED };
enum { STARTED_BOOTED, STARTED_RESTORED = 2 };
enum { STOPPED_SHUTDOWN, STOPPED_DESTROYED, STOPPED_CRASHED, STOPPED_SAVED = 4, STOPPED_FAILED };

struct subscription {
	struct subscription *next;
	int id, event;
	bool of_one;
	char machine[ID_TEXT];
};

/* On the pipe. The service's stream has been opened (name ""), has ended ("end"), or has this
 * event; `data` goes with it. */
struct note {
	char name[16];
	json_t *data;
};

struct follower {
	const char *socket;
	int pipe;
};

/* ---- The thread ---- */

static bool pass_on(void *user, const char *name, const json_t *data)
{
	const struct follower *follower = user;
	struct note note = {.data = data != NULL ? json_deep_copy(data) : NULL};

	snprintf(note.name, sizeof(note.name), "%s", name);
	return write(follower->pipe, &note, sizeof(note)) == sizeof(note);
}

static void pass_on_opened(void *user)
{
	(void)pass_on(user, "", NULL);
}

static void *follow(void *user)
{
	struct follower *follower = user;
	struct http *http = http_open(follower->socket, false);
	json_t *why;

	/* Who may not follow may not later either: users of a connection do not change. */
	while (http != NULL && strcmp(http_code(http), SERVICE_BAD_PERMISSION) != 0) {
		(void)http_follow(http, pass_on, pass_on_opened, follower);
		why = json_pack("{s:s, s:s}", "code", http_code(http), "detail", http_detail(http));
		(void)pass_on(follower, "end", why);
		json_decref(why);
		sleep(1);
	}
	return NULL;
}

/* ---- What it becomes ---- */

static bool send_event(struct session *session, const struct subscription *to, uint32_t procedure,
		       const json_t *machine, int type, int detail)
{
	struct wire_header header = {WIRE_PROGRAM, 1, procedure, WIRE_EVENT, 0, WIRE_OK};
	struct wire_out out = {0};
	bool sent;

	wire_put(&out, (uint32_t)to->id);
	put_domain_to(&out, machine);
	if (procedure == MESSAGE_LIFECYCLE) {
		wire_put(&out, (uint32_t)type);
		wire_put(&out, (uint32_t)detail);
	}
	sent = wire_send(session->client, &header, &out);
	free(out.bytes);
	return sent;
}

static void emit(struct session *session, int event, const json_t *machine, int type, int detail)
{
	const struct subscription *to;

	for (to = session->subscriptions; to != NULL; to = to->next) {
		if (to->event == event &&
		    (!to->of_one || strcasecmp(to->machine, text_of(machine, "id")) == 0)) {
			session->lost |= !send_event(session, to,
						     event == EVENT_REBOOT ? MESSAGE_REBOOT
									   : MESSAGE_LIFECYCLE,
						     machine, type, detail);
		}
	}
}

/* One of off, running and paused: what lies between is none of them yet. */
static const char *settled(const json_t *machine, const char *before)
{
	const char *state = text_of(machine, "state");

	if (strcmp(state, "saved") == 0) {
		return "off";
	}
	return strcmp(state, "off") == 0 || strcmp(state, "running") == 0 ||
			       strcmp(state, "paused") == 0
		       ? state
		       : before;
}

static void tell_end(struct session *session, const json_t *machine)
{
	static const struct {
		const char *reason;
		int detail;
	} reasons[] = {
		{"saved", STOPPED_SAVED},
		{"turned-off", STOPPED_DESTROYED},
		{"worker-died", STOPPED_FAILED},
		{"triple-fault", STOPPED_CRASHED},
	};
	const char *reason = text_of(machine, "ended-by");
	int detail = STOPPED_SHUTDOWN;

	for (size_t i = 0; i < ARRAY_COUNT(reasons); i++) {
		if (strcmp(reasons[i].reason, reason) == 0) {
			detail = reasons[i].detail;
		}
	}
	if (strcmp(reason, "power-off") == 0) {
		emit(session, EVENT_LIFECYCLE, machine, SHUTDOWN, 0);
	}
	emit(session, EVENT_LIFECYCLE, machine, STOPPED, detail);
}

static void tell_change(struct session *session, const json_t *machine, const char *from,
			const char *to, bool saved)
{
	bool was_off = strcmp(from, "off") == 0, is_paused = strcmp(to, "paused") == 0;

	if (strcmp(from, to) == 0) {
		return;
	}
	if (strcmp(to, "off") == 0) {
		tell_end(session, machine);
		return;
	}
	if (was_off) {
		emit(session, EVENT_LIFECYCLE, machine, STARTED,
		     saved ? STARTED_RESTORED : STARTED_BOOTED);
	}
	if (is_paused) {
		emit(session, EVENT_LIFECYCLE, machine, SUSPENDED, 0);
	} else if (!was_off) {
		emit(session, EVENT_LIFECYCLE, machine, RESUMED, 0);
	}
}

static void remember(struct session *session, const json_t *machine, const char *state, bool saved)
{
	json_object_set_new(session->known, text_of(machine, "id"),
			    json_pack("{s:s, s:s, s:s, s:s, s:b, s:b}", "id",
				      text_of(machine, "id"), "name", text_of(machine, "name"),
				      "state", text_of(machine, "state"), "settled", state, "saved",
				      saved, "crashed",
				      json_is_true(json_object_get(machine, "crashed"))));
}

/* A machine as it is now. */
static void observe(struct session *session, const json_t *machine, bool tells)
{
	const json_t *known = json_object_get(session->known, text_of(machine, "id"));
	const char *before = known != NULL ? text_of(known, "settled") : "off",
		   *now = settled(machine, before), *word = text_of(machine, "state");
	bool was_saved = json_is_true(json_object_get(known, "saved")),
	     crashed = json_is_true(json_object_get(machine, "crashed"));

	if (!tells) {
		;
	} else if (known == NULL) {
		emit(session, EVENT_LIFECYCLE, machine, DEFINED, DEFINED_ADDED);
	} else if (strcmp(text_of(known, "name"), text_of(machine, "name")) != 0) {
		emit(session, EVENT_LIFECYCLE, known, UNDEFINED, UNDEFINED_RENAMED);
		emit(session, EVENT_LIFECYCLE, machine, DEFINED, DEFINED_RENAMED);
	} else if (strcmp(text_of(known, "state"), word) == 0 &&
		   json_is_true(json_object_get(known, "crashed")) == crashed) {
		emit(session, EVENT_LIFECYCLE, machine, DEFINED, DEFINED_UPDATED);
	}
	if (tells && crashed && !json_is_true(json_object_get(known, "crashed"))) {
		emit(session, EVENT_LIFECYCLE, machine, CRASHED, 0);
	}
	if (tells) {
		tell_change(session, machine, before, now, was_saved);
	}
	remember(session, machine, now,
		 strcmp(word, "saved") == 0 || (was_saved && strcmp(word, "starting") == 0));
}

static void forget(struct session *session, const json_t *machine)
{
	const char *id = text_of(machine, "id");
	json_t *known = json_incref(json_object_get(session->known, id));

	if (known != NULL) {
		emit(session, EVENT_LIFECYCLE, known, UNDEFINED, UNDEFINED_REMOVED);
		json_object_del(session->known, id);
	}
	json_decref(known);
}

/* All, when the stream has begun: the first time they are only learnt. */
static void observe_all(struct session *session)
{
	json_t *answer = http_ask(session->http, "GET", "/v1/machines", NULL), *machine, *known,
	       *gone;
	bool tells = session->known != NULL;
	const char *id;
	void *next;
	size_t i;

	if (answer == NULL) {
		return;
	}
	if (!tells) {
		session->known = json_object();
	}
	gone = json_copy(session->known);
	json_array_foreach(json_object_get(answer, "machines"), i, machine)
	{
		known = json_object_get(session->known, text_of(machine, "id"));
		json_object_del(gone, text_of(machine, "id"));
		/* One that nothing has happened to is not told to be changed. */
		if (known == NULL ||
		    strcmp(text_of(known, "state"), text_of(machine, "state")) != 0 ||
		    strcmp(text_of(known, "name"), text_of(machine, "name")) != 0) {
			observe(session, machine, tells);
		}
	}
	json_object_foreach_safe(gone, next, id, machine)
	{
		forget(session, machine);
	}
	json_decref(gone);
	json_decref(answer);
}

static void take_job(struct session *session, const json_t *job)
{
	const json_t *machine = json_object_get(session->known, text_of(job, "machine-id"));

	if (machine != NULL && strcmp(text_of(job, "state"), "done") == 0 &&
	    (strcmp(text_of(job, "what"), "restart") == 0 ||
	     strcmp(text_of(job, "what"), "reset") == 0)) {
		emit(session, EVENT_REBOOT, machine, 0, 0);
	}
}

static void take_note(struct session *session, const struct note *note)
{
	if (note->name[0] == '\0') {
		observe_all(session);
	} else if (session->known == NULL) {
		;
	} else if (strcmp(note->name, "machine") == 0) {
		observe(session, note->data, true);
	} else if (strcmp(note->name, "deleted") == 0) {
		forget(session, note->data);
	} else if (strcmp(note->name, "job") == 0) {
		take_job(session, note->data);
	}
}

bool events_tell(struct session *session)
{
	struct note note;

	if (read(session->notes, &note, sizeof(note)) != sizeof(note)) {
		return false;
	}
	take_note(session, &note);
	json_decref(note.data);
	return !session->lost;
}

/* ---- The calls ---- */

/* Waits until the stream has begun, so that nothing is missed from the answer on. */
static bool begin_to_follow(struct call *call)
{
	struct session *session = call->session;
	static struct follower follower;
	struct pollfd opened;
	struct note note;
	pthread_t thread;
	int fds[2];

	if (session->known != NULL) {
		return true;
	}
	if (session->notes >= 0) {
		fail(call, ERR_FAILED, "the service has not told this connection any events");
		return false;
	}
	if (session->socket == NULL || pipe(fds) != 0) {
		fail(call, ERR_INTERNAL, "there is no pipe for events");
		return false;
	}
	follower = (struct follower){session->socket, fds[1]};
	if (pthread_create(&thread, NULL, follow, &follower) != 0) {
		close(fds[0]);
		close(fds[1]);
		fail(call, ERR_INTERNAL, "there is no thread for events");
		return false;
	}
	(void)pthread_detach(thread);
	session->notes = fds[0];
	opened = (struct pollfd){fds[0], POLLIN, 0};
	if (poll(&opened, 1, OPEN_WAIT_MS) != 1 ||
	    read(fds[0], &note, sizeof(note)) != sizeof(note)) {
		fail(call, ERR_FAILED, "the service tells no events");
		return false;
	}
	if (strcmp(note.name, "end") == 0) {
		fail(call,
		     strcmp(text_of(note.data, "code"), SERVICE_BAD_PERMISSION) == 0 ? ERR_DENIED
										     : ERR_FAILED,
		     "%s", text_of(note.data, "detail"));
	} else {
		take_note(session, &note);
	}
	json_decref(note.data);
	return call->error == 0;
}

void register_event(struct call *call)
{
	struct session *session = call->session;
	struct subscription *one, **last = &session->subscriptions;
	struct domain domain = {.id = ""};
	uint32_t event = wire_get(call->in);
	bool of_one = wire_get(call->in) != 0;
	unsigned int count = 0;

	if (of_one) {
		get_domain(call, &domain);
	}
	for (; *last != NULL; last = &(*last)->next) {
		count++;
	}
	if (!is_whole(call)) {
		return;
	}
	if (event >= EVENT_LAST || count == SUBSCRIPTIONS_MAX) {
		fail(call, ERR_ARGUMENT, "there is no such event, or there are too many wanted");
		return;
	}
	one = begin_to_follow(call) ? calloc(1, sizeof(*one)) : NULL;
	if (one == NULL) {
		return;
	}
	*one = (struct subscription){
		.id = ++session->last_subscription, .event = (int)event, .of_one = of_one};
	memcpy(one->machine, domain.id, sizeof(one->machine));
	*last = one;
	wire_put(call->out, (uint32_t)one->id);
}

void deregister_event(struct call *call)
{
	struct subscription *one, **link = &call->session->subscriptions;
	uint32_t id = wire_get(call->in);

	while (*link != NULL && (uint32_t)(*link)->id != id) {
		link = &(*link)->next;
	}
	one = *link;
	if (one == NULL) {
		fail(call, ERR_ARGUMENT, "no event was asked for by this number");
		return;
	}
	*link = one->next;
	free(one);
}

void events_end(struct session *session)
{
	struct subscription *one;

	while ((one = session->subscriptions) != NULL) {
		session->subscriptions = one->next;
		free(one);
	}
	json_decref(session->known);
	session->known = NULL;
}
