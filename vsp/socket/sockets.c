/*
 * Sockets: the device, and what VMBus' control thread does of it. It leaves notes to the relay's
 * thread (relay.h) and waits for it nowhere but in sockets_stand().
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vsp/socket/relay.h"

#define STATE_VERSION 1

/* ---- Notes ---- */

static void wake(struct sockets *sockets)
{
	eventfd_write(sockets->wake, 1);
}

/* Under the lock. */
static void note(struct connection *connection, unsigned int notes)
{
	struct sockets *sockets = connection->sockets;

	connection->notes |= notes;
	if (!connection->noted) {
		connection->noted = true;
		connection->next_noted = NULL;
		*sockets->noted_end = connection;
		sockets->noted_end = &connection->next_noted;
	}
	wake(sockets);
}

struct connection *connection_take_noted(struct sockets *sockets, unsigned int *notes)
{
	struct connection *connection;

	pthread_mutex_lock(&sockets->lock);
	connection = sockets->noted;
	if (connection != NULL) {
		sockets->noted = connection->next_noted;
		if (sockets->noted == NULL) {
			sockets->noted_end = &sockets->noted;
		}
		connection->noted = false;
		*notes = connection->notes;
		connection->notes = 0;
	}
	pthread_mutex_unlock(&sockets->lock);
	return connection;
}

int connection_new(struct sockets *sockets, const struct connection *as)
{
	struct connection *connection = malloc(sizeof(*connection));
	int ret = 0;

	if (connection == NULL) {
		return -ENOMEM;
	}
	*connection = *as;
	connection->sockets = sockets;
	pthread_mutex_lock(&sockets->lock);
	if (sockets->count == SOCKETS_MAX) {
		ret = -ENOSPC;
	} else {
		sockets->count++;
		connection->number = ++sockets->last_number;
		note(connection, NOTE_NEW);
	}
	pthread_mutex_unlock(&sockets->lock);
	if (ret != 0) {
		free(connection);
	}
	return ret;
}

void connection_free(struct connection *connection)
{
	struct sockets *sockets = connection->sockets;

	pthread_mutex_lock(&sockets->lock);
	sockets->count--;
	pthread_mutex_unlock(&sockets->lock);
	free(connection);
}

/* ---- A channel, as VMBus sees it ---- */

/* Under the lock. */
static void set_pausing(struct connection *connection, bool pausing)
{
	connection->pausing = pausing;
	connection->pauses += pausing;
	note(connection, NOTE_PAUSE);
}

/* A connection is made once: what was closed is not opened again. */
static int opened(void *device, struct vmbus_channel *channel)
{
	struct connection *connection = device;

	if (connection->was_opened) {
		return -EALREADY;
	}
	connection->was_opened = true;
	pthread_mutex_lock(&connection->sockets->lock);
	note(connection, NOTE_OPENED);
	if (channel_starts_paused(channel)) {
		set_pausing(connection, true);
	}
	pthread_mutex_unlock(&connection->sockets->lock);
	return 0;
}

static void closing(void *device, struct vmbus_channel *channel)
{
	struct connection *connection = device;

	(void)channel;
	pthread_mutex_lock(&connection->sockets->lock);
	note(connection, NOTE_CLOSING);
	pthread_mutex_unlock(&connection->sockets->lock);
}

static void pausing(void *device, struct vmbus_channel *channel)
{
	struct connection *connection = device;

	(void)channel;
	pthread_mutex_lock(&connection->sockets->lock);
	set_pausing(connection, true);
	pthread_mutex_unlock(&connection->sockets->lock);
}

static void resumed(void *device, struct vmbus_channel *channel)
{
	struct connection *connection = device;

	(void)channel;
	pthread_mutex_lock(&connection->sockets->lock);
	set_pausing(connection, false);
	pthread_mutex_unlock(&connection->sockets->lock);
}

/* From here on nobody has a pointer to the channel. */
static void released(void *device, struct vmbus_channel *channel)
{
	struct connection *connection = device;

	(void)channel;
	pthread_mutex_lock(&connection->sockets->lock);
	connection->channel = NULL;
	note(connection, NOTE_RELEASED);
	pthread_mutex_unlock(&connection->sockets->lock);
}

const struct vmbus_class connection_vmbus_class = {
	.name = "socket",
	.max_packet_bytes = PACKET_MAX,
	.own_memory = true,
	.opened = opened,
	.closing = closing,
	.released = released,
	.pausing = pausing,
	.resumed = resumed,
};

/* The guest wants to be connected. */
static bool guest_connects(void *device, const struct vmbus_guid *endpoint,
			   const struct vmbus_guid *service)
{
	struct sockets *sockets = device;
	const struct connection as = {.from_guest = true,
				      .state = CONNECTION_DIALLING,
				      .endpoint = *endpoint,
				      .service = *service,
				      .fd = -1};
	int ret = connection_new(sockets, &as);

	if (ret != 0) {
		pthread_mutex_lock(&sockets->lock);
		sockets->refused++;
		pthread_mutex_unlock(&sockets->lock);
	}
	return ret == 0;
}

/* ---- The device ---- */

static int watch(struct sockets *sockets, int fd, uint64_t tag)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = tag};

	return fd < 0 || epoll_ctl(sockets->epoll, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

static int set_up(struct sockets *sockets)
{
	int ret;

	sockets->epoll = epoll_create1(EPOLL_CLOEXEC);
	sockets->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (sockets->epoll < 0 || sockets->wake < 0) {
		return -errno;
	}
	ret = watch(sockets, sockets->wake, TAG_WAKE);
	if (ret == 0) {
		ret = watch(sockets, sockets->listener, TAG_LISTENER);
	}
	return ret == 0 ? watch(sockets, sockets->connector, TAG_CONNECTOR) : ret;
}

static void close_if(int fd)
{
	if (fd >= 0) {
		close(fd);
	}
}

static void free_sockets(struct sockets *sockets)
{
	close_if(sockets->epoll);
	close_if(sockets->wake);
	pthread_mutex_destroy(&sockets->lock);
	pthread_cond_destroy(&sockets->stood);
	free(sockets);
}

int sockets_create(struct vmbus *bus, const struct sockets_config *config, struct sockets **out)
{
	struct sockets *sockets = calloc(1, sizeof(*sockets));
	int ret;

	if (sockets == NULL) {
		return -ENOMEM;
	}
	sockets->bus = bus;
	sockets->epoll = sockets->wake = -1;
	sockets->listener = config->listener;
	sockets->connector = config->connector;
	sockets->noted_end = &sockets->noted;
	pthread_mutex_init(&sockets->lock, NULL);
	pthread_cond_init(&sockets->stood, NULL);
	ret = set_up(sockets);
	if (ret != 0) {
		free_sockets(sockets);
		return ret;
	}
	vmbus_set_connect(bus, guest_connects, sockets);
	*out = sockets;
	return 0;
}

/* With all signals blocked: they are for the worker's own threads. */
int sockets_start(struct sockets *sockets)
{
	sigset_t all, before;
	int ret;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = -pthread_create(&sockets->thread, NULL, relay_run, sockets);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	sockets->started = ret == 0;
	return ret;
}

void sockets_stand(struct sockets *sockets, bool stand)
{
	pthread_mutex_lock(&sockets->lock);
	sockets->stand = stand;
	wake(sockets);
	while (sockets->started && sockets->standing != stand) {
		pthread_cond_wait(&sockets->stood, &sockets->lock);
	}
	pthread_mutex_unlock(&sockets->lock);
}

void sockets_destroy(struct sockets **out)
{
	struct sockets *sockets = *out;

	if (sockets->started) {
		pthread_mutex_lock(&sockets->lock);
		sockets->ended = true;
		wake(sockets);
		pthread_mutex_unlock(&sockets->lock);
		pthread_join(sockets->thread, NULL);
	}
	sockets->stand = true;
	(void)relay_serve(sockets, false);
	(void)relay_serve(sockets, false); /* what has ended by the first */
	CHECK(sockets->count == 0);        /* each has been released, and has ended */
	close_if(sockets->listener);
	close_if(sockets->connector);
	free_sockets(sockets);
	*out = NULL;
}

int sockets_adopt(struct sockets *sockets, int fd)
{
	const struct connection as = {.state = CONNECTION_GREETING, .fd = fd};

	return connection_new(sockets, &as);
}

void sockets_get_state(struct sockets *sockets, struct sockets_state *state)
{
	pthread_mutex_lock(&sockets->lock);
	*state = (struct sockets_state){
		.connections = sockets->count,
		.opened = sockets->opened,
		.refused = sockets->refused,
	};
	pthread_mutex_unlock(&sockets->lock);
}

/* ---- A saved state ---- */

void sockets_save(struct sockets *sockets, struct state_writer *writer)
{
	size_t part = state_begin(writer, "sockets", STATE_VERSION);

	pthread_mutex_lock(&sockets->lock);
	state_put_u64(writer, sockets->last_number);
	pthread_mutex_unlock(&sockets->lock);
	state_end(writer, part);
}

int sockets_load(struct sockets *sockets, struct state_reader *list)
{
	struct state_reader part;

	if (state_next_named(list, "sockets", STATE_VERSION, &part)) {
		pthread_mutex_lock(&sockets->lock);
		sockets->last_number = state_u64(&part);
		pthread_mutex_unlock(&sockets->lock);
		state_finish(&part);
	}
	return state_ok(list) ? 0 : -EINVAL;
}
