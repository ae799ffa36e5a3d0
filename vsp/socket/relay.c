/*
 * The thread of all connections: it waits for programs, for channels, for the connector and for
 * notes, and gives each that has something a turn of bounded length.
 */
#include "vsp/socket/relay.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hosted/clock.h"

#define EVENTS_MAX    64
#define ACCEPTS_MAX   16 /* in one turn of the listener */
#define LOOK_EVERY_MS 1000

/* ---- What is waited for ---- */

static bool control(struct sockets *sockets, int how, int fd, uint32_t events, uint64_t tag)
{
	struct epoll_event event = {.events = events, .data.u64 = tag};

	return epoll_ctl(sockets->epoll, how, fd, &event) == 0;
}

bool relay_watch(struct connection *connection, uint32_t events)
{
	uint32_t before = connection->interest;
	int how = before == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;

	if (before == events) {
		return true;
	}
	connection->interest = events;
	return control(connection->sockets, how, connection->fd, events,
		       (uint64_t)(uintptr_t)connection);
}

bool relay_watch_channel(struct connection *connection, bool watch)
{
	if (connection->channel_watched == watch) {
		return true;
	}
	connection->channel_watched = watch;
	return control(connection->sockets, watch ? EPOLL_CTL_ADD : EPOLL_CTL_DEL,
		       channel_event(connection->channel), EPOLLIN | EPOLLET,
		       (uint64_t)(uintptr_t)connection | TAG_CHANNEL);
}

void relay_set_deadline(struct connection *connection, unsigned int seconds)
{
	struct sockets *sockets = connection->sockets;

	sockets->waiting -= connection->deadline != 0;
	connection->deadline =
		seconds != 0 ? clock_ns(CLOCK_MONOTONIC) + seconds * CLOCK_SECOND_NS : 0;
	sockets->waiting += connection->deadline != 0;
}

void relay_again(struct connection *connection)
{
	if (!connection->again) {
		connection->again = true;
		connection->next_again = connection->sockets->again;
		connection->sockets->again = connection;
	}
}

/* ---- Notes ---- */

static void take_in(struct connection *connection)
{
	struct sockets *sockets = connection->sockets;

	connection->next = sockets->all;
	if (sockets->all != NULL) {
		sockets->all->previous = connection;
	}
	sockets->all = connection;
}

/* There may be both a withdrawal on its way and an open that came before: then the channel is only
 * closed. */
static void channel_opened(struct connection *connection)
{
	connection->open = true;
	if (connection->state == CONNECTION_ENDING) {
		return;
	}
	if (!connect_opened(connection)) {
		connection_end(connection);
		return;
	}
	relay_again(connection);
}

/* Under the lock: a pause that is over by now is not answered, and each is answered once. */
static void channel_pauses(struct connection *connection)
{
	struct sockets *sockets = connection->sockets;

	pthread_mutex_lock(&sockets->lock);
	connection->paused = connection->pausing;
	if (connection->pausing && connection->paused_for != connection->pauses) {
		connection->paused_for = connection->pauses;
		channel_paused(connection->channel);
	}
	pthread_mutex_unlock(&sockets->lock);
	relay_again(connection);
}

static void channel_closes(struct connection *connection)
{
	connection_end(connection);
	(void)relay_watch_channel(connection, false);
	connection->open = false;
	channel_closed(connection->channel);
}

static void act_on(struct connection *connection, unsigned int notes)
{
	if (notes & NOTE_NEW) {
		take_in(connection);
		connect_begin(connection);
	}
	if (notes & NOTE_OPENED) {
		channel_opened(connection);
	}
	if (notes & NOTE_PAUSE) {
		channel_pauses(connection);
	}
	if (notes & NOTE_CLOSING) {
		channel_closes(connection);
	}
	if (notes & NOTE_RELEASED) {
		connection_end(connection);
		connection->sockets->over = true;
	}
}

/* No channel and no note can name it any more. A note that is there brings us here again. */
static bool is_over(const struct connection *connection)
{
	struct sockets *sockets = connection->sockets;
	bool over;

	if (connection->state != CONNECTION_ENDING) {
		return false;
	}
	pthread_mutex_lock(&sockets->lock);
	over = connection->channel == NULL && !connection->noted;
	pthread_mutex_unlock(&sockets->lock);
	return over;
}

static void take_out(struct connection *connection)
{
	if (connection->previous != NULL) {
		connection->previous->next = connection->next;
	} else {
		connection->sockets->all = connection->next;
	}
	if (connection->next != NULL) {
		connection->next->previous = connection->previous;
	}
	connection_free(connection);
}

/* There is room again. */
static void hear(struct sockets *sockets)
{
	if (sockets->deaf) {
		sockets->deaf =
			!control(sockets, EPOLL_CTL_MOD, sockets->listener, EPOLLIN, TAG_LISTENER);
	}
}

/* Frees what is over. No event that was fetched names it, nor does a turn. */
static void bury(struct sockets *sockets)
{
	struct connection *connection = sockets->over ? sockets->all : NULL, *next;

	sockets->over = false;
	for (; connection != NULL; connection = next) {
		next = connection->next;
		if (is_over(connection)) {
			take_out(connection);
			hear(sockets);
		}
	}
}

static void end_all(struct sockets *sockets)
{
	struct connection *connection = sockets->all;

	for (; connection != NULL; connection = connection->next) {
		connection_end(connection);
	}
}

/* False: the thread is to end. */
static bool obey(struct sockets *sockets)
{
	bool ended;

	pthread_mutex_lock(&sockets->lock);
	ended = sockets->ended;
	if (sockets->stand != sockets->standing) {
		bool stand = sockets->stand;

		pthread_mutex_unlock(&sockets->lock);
		if (stand) {
			end_all(sockets);
		}
		pthread_mutex_lock(&sockets->lock);
		sockets->standing = stand;
		pthread_cond_signal(&sockets->stood);
	}
	pthread_mutex_unlock(&sockets->lock);
	return !ended;
}

/* ---- Turns ---- */

static int accept_program(struct sockets *sockets)
{
	struct sockets_state state;
	int fd, ret;

	sockets_get_state(sockets, &state);
	if (state.connections == SOCKETS_MAX) {
		return -ENOSPC;
	}
	fd = accept4(sockets->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		return -errno;
	}
	ret = sockets_adopt(sockets, fd);
	if (ret != 0) {
		close(fd);
	}
	return ret;
}

/* More than there may be, or no descriptor for them: they wait out there until one has ended. */
static void accept_programs(struct sockets *sockets)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < ACCEPTS_MAX && ret == 0; i++) {
		ret = accept_program(sockets);
	}
	if (ret == -ENOSPC || ret == -EMFILE || ret == -ENFILE || ret == -ENOMEM) {
		sockets->deaf = control(sockets, EPOLL_CTL_MOD, sockets->listener, 0, TAG_LISTENER);
	}
}

static void serve_connection(struct connection *connection, uint64_t tag, uint32_t events)
{
	if (tag & TAG_CHANNEL) {
		if (connection->open) { /* each signal is told once, so none is read */
			relay_again(connection);
		}
	} else if (connection->state == CONNECTION_GREETING ||
		   connection->state == CONNECTION_OFFERED) {
		connect_greeted(connection, events);
	} else if (connection->state == CONNECTION_OPEN) {
		stream_event(connection, events);
		relay_again(connection);
	}
}

static void serve(struct sockets *sockets, uint64_t tag, uint32_t events)
{
	uint64_t count;

	switch (tag) {
	case TAG_WAKE:
		eventfd_read(sockets->wake, &count);
		break;
	case TAG_LISTENER:
		accept_programs(sockets);
		break;
	case TAG_CONNECTOR:
		connect_replied(sockets);
		break;
	default:
		serve_connection((struct connection *)(uintptr_t)(tag & ~(uint64_t)TAG_CHANNEL),
				 tag, events);
		break;
	}
}

static void give_turns(struct sockets *sockets)
{
	struct connection *connection = sockets->again, *next;

	sockets->again = NULL;
	for (; connection != NULL; connection = next) {
		next = connection->next_again;
		connection->again = false;
		stream_turn(connection);
	}
}

static void look_at_deadlines(struct sockets *sockets)
{
	struct connection *connection = sockets->all;
	uint64_t now;

	if (sockets->waiting == 0 && !sockets->deaf) {
		return;
	}
	now = clock_ns(CLOCK_MONOTONIC);
	if (now - sockets->looked < LOOK_EVERY_MS * CLOCK_SECOND_NS / 1000) {
		return;
	}
	sockets->looked = now;
	hear(sockets);
	for (; connection != NULL; connection = connection->next) {
		if (connection->deadline != 0 && now >= connection->deadline) {
			connection_end(connection);
		}
	}
}

static void turn(struct sockets *sockets)
{
	struct connection *connection;
	unsigned int notes;

	while ((connection = connection_take_noted(sockets, &notes)) != NULL) {
		act_on(connection, notes);
	}
	give_turns(sockets);
	bury(sockets);
}

bool relay_serve(struct sockets *sockets, bool may_wait)
{
	struct epoll_event events[EVENTS_MAX];
	int i, count, timeout = 0;

	if (may_wait && sockets->again == NULL && !sockets->over) {
		timeout = sockets->waiting != 0 || sockets->deaf ? LOOK_EVERY_MS : -1;
	}
	count = epoll_wait(sockets->epoll, events, EVENTS_MAX, timeout);
	for (i = 0; i < count; i++) {
		serve(sockets, events[i].data.u64, events[i].events);
	}
	turn(sockets);
	vsp_place_turn(&sockets->place, sockets->packets);
	sockets->packets = 0;
	look_at_deadlines(sockets);
	return obey(sockets);
}

void *relay_run(void *sockets)
{
	while (relay_serve(sockets, true)) {
	}
	return NULL;
}
