/*
 * The server as a whole: its making and end, what arrives from other threads, and vmbus_serve(),
 * which acts on it. See server.h for who owns what.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "vmbus/server.h"

static void close_events(const struct vmbus *bus)
{
	const int fds[] = {bus->event, bus->timer, bus->either};
	unsigned int i;

	for (i = 0; i < ARRAY_COUNT(fds); i++) {
		if (fds[i] >= 0) {
			close(fds[i]);
		}
	}
}

static int make_events(struct vmbus *bus)
{
	struct epoll_event readable = {.events = EPOLLIN};
	int ret;

	bus->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	bus->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	bus->either = epoll_create1(EPOLL_CLOEXEC);
	if (bus->event >= 0 && bus->timer >= 0 && bus->either >= 0 &&
	    epoll_ctl(bus->either, EPOLL_CTL_ADD, bus->event, &readable) == 0 &&
	    epoll_ctl(bus->either, EPOLL_CTL_ADD, bus->timer, &readable) == 0) {
		return 0;
	}
	ret = -errno;
	close_events(bus);
	return ret;
}

int vmbus_create(struct vmbus_host *host, struct vmbus **out)
{
	struct vmbus *bus = calloc(1, sizeof(*bus));
	int ret;

	if (bus == NULL) {
		return -ENOMEM;
	}
	bus->host = host;
	ret = make_events(bus);
	if (ret != 0) {
		free(bus);
		return ret;
	}
	pthread_mutex_init(&bus->lock, NULL);
	*out = bus;
	return 0;
}

int vmbus_fd(const struct vmbus *bus)
{
	return bus->either;
}

static void server_wake(struct vmbus *bus)
{
	uint64_t one = 1;

	/* It fails only when the counter is full: then it is readable anyhow. */
	if (write(bus->event, &one, sizeof(one)) < 0) {
		return;
	}
}

void note_post(struct vmbus_channel *channel, enum note note)
{
	struct vmbus *bus = channel->bus;

	pthread_mutex_lock(&bus->lock);
	channel->notes |= note;
	if (!channel->noted) {
		channel->noted = true;
		channel->next_noted = bus->noted;
		bus->noted = channel;
	}
	pthread_mutex_unlock(&bus->lock);
	server_wake(bus);
}

void note_drop(struct vmbus_channel *channel, enum note note)
{
	pthread_mutex_lock(&channel->bus->lock);
	channel->notes &= ~(unsigned int)note;
	pthread_mutex_unlock(&channel->bus->lock);
}

/* Removes the first channel from the list of those with notes, and returns its notes, which are
 * cleared. */
static struct vmbus_channel *take_noted(struct vmbus *bus, unsigned int *notes)
{
	struct vmbus_channel *channel;

	pthread_mutex_lock(&bus->lock);
	channel = bus->noted;
	if (channel != NULL) {
		bus->noted = channel->next_noted;
		channel->noted = false;
		*notes = channel->notes;
		channel->notes = 0;
	}
	pthread_mutex_unlock(&bus->lock);
	return channel;
}

/*
 * The order matters. A broken channel is closed before anything else is done with it. A rescind is
 * handled before the end of a close, so that it finds the channel closing still and only marks it.
 */
static void act_on_notes(struct vmbus_channel *channel, unsigned int notes)
{
	if (notes & NOTE_GPADL) {
		gpadl_finish_torn(channel->bus);
	}
	if ((notes & NOTE_OFFER) && !offer_new(channel)) {
		return;
	}
	if ((notes & NOTE_BROKEN) && channel->state == CHANNEL_OPEN) {
		channel_close(channel);
	}
	if (notes & NOTE_RESCIND) {
		offer_rescind(channel);
	}
	if (notes & NOTE_PAUSED) {
		channel_stands(channel);
	}
	if (notes & NOTE_CLOSED) {
		channel_left(channel);
	}
}

static void serve_notes(struct vmbus *bus)
{
	struct vmbus_channel *channel;
	unsigned int notes;

	while ((channel = take_noted(bus, &notes)) != NULL) {
		act_on_notes(channel, notes);
	}
	control_go_on(bus);
}

static bool take_message(struct vmbus *bus, struct in_message *message)
{
	bool there;

	pthread_mutex_lock(&bus->lock);
	there = bus->in_count > 0;
	if (there) {
		*message = bus->in[bus->in_first];
		bus->in_first = (bus->in_first + 1) % SERVER_IN_MAX;
		bus->in_count--;
	}
	pthread_mutex_unlock(&bus->lock);
	return there;
}

static void clear(int event)
{
	uint64_t count;

	/* It fails only when there is nothing to clear. */
	if (read(event, &count, sizeof(count)) < 0) {
		return;
	}
}

static void clear_event(const struct vmbus *bus)
{
	clear(bus->event);
	if (bus->monitor_period_ns != 0) {
		clear(bus->timer);
	}
}

/* Not more than a queue full at a time: the guest's VPs may fill it as fast as it empties. */
void vmbus_serve(struct vmbus *bus)
{
	struct in_message message;
	unsigned int i;

	clear_event(bus);
	serve_notes(bus);
	queue_take_refusals(bus);
	if (bus->paused) {
		return;
	}
	signal_scan(bus);
	monitor_look(bus);
	queue_pump(bus);
	for (i = 0;
	     i < SERVER_IN_MAX && bus->out_count < SERVER_OUT_LIMIT && take_message(bus, &message);
	     i++) {
		control_message(bus, &message);
		serve_notes(bus);
		queue_pump(bus);
	}
	if (i == SERVER_IN_MAX) {
		server_wake(bus);
	}
}

int vmbus_message(struct vmbus *bus, uint32_t connection_id, uint32_t type, const void *payload,
		  size_t size)
{
	struct in_message *message;
	int ret = 0;

	if (connection_id != VMBUS_MESSAGE_CONNECTION_ID &&
	    connection_id != VMBUS_MESSAGE_CONNECTION_ID_4) {
		return -ENOENT;
	}
	if (size > VMBUS_MESSAGE_MAX) {
		return -EINVAL;
	}
	if (type != VMBUS_MESSAGE_TYPE) {
		return 0; /* nobody's */
	}
	pthread_mutex_lock(&bus->lock);
	if (bus->in_count == SERVER_IN_MAX) {
		ret = -EAGAIN;
	} else {
		message = &bus->in[(bus->in_first + bus->in_count++) % SERVER_IN_MAX];
		message->connection_id = connection_id;
		message->size = (uint32_t)size;
		memcpy(message->payload, payload, size);
	}
	pthread_mutex_unlock(&bus->lock);
	server_wake(bus);
	return ret;
}

void vmbus_room(struct vmbus *bus)
{
	server_wake(bus);
}

static void wait_for_notes(struct vmbus *bus)
{
	struct pollfd event = {.fd = bus->event, .events = POLLIN};

	poll(&event, 1, -1);
	clear_event(bus);
	serve_notes(bus);
}

void vmbus_begin_reset(struct vmbus *bus)
{
	pthread_mutex_lock(&bus->lock);
	bus->in_count = 0;
	pthread_mutex_unlock(&bus->lock);
	control_disconnect(bus, NEXT_RESET);
	serve_notes(bus);
}

bool vmbus_is_reset(const struct vmbus *bus)
{
	return bus->next == NEXT_NOTHING;
}

void vmbus_reset(struct vmbus *bus)
{
	vmbus_begin_reset(bus);
	while (!vmbus_is_reset(bus)) {
		wait_for_notes(bus);
	}
}

bool vmbus_stands(struct vmbus *bus)
{
	struct vmbus_channel *channel = offer_next(bus, 1);

	while (channel != NULL && channel->state != CHANNEL_CLOSING &&
	       channel->pause != PAUSE_ASKED) {
		channel = offer_next(bus, channel->relid + 1);
	}
	return channel == NULL;
}

void vmbus_settle(struct vmbus *bus)
{
	serve_notes(bus);
	while (!vmbus_stands(bus)) {
		wait_for_notes(bus);
	}
}

void vmbus_begin_pause(struct vmbus *bus)
{
	struct vmbus_channel *channel;

	CHECK(!bus->paused);
	bus->paused = true;
	monitor_watch(bus);
	serve_notes(bus);
	for (channel = offer_next(bus, 1); channel != NULL;
	     channel = offer_next(bus, channel->relid + 1)) {
		if (channel->state == CHANNEL_OPEN && channel->rescinded) {
			channel_close(channel); /* no state has one that lingers */
		} else if (channel->state == CHANNEL_OPEN && channel->pause == PAUSE_NONE) {
			channel_pause(channel);
		}
	}
	serve_notes(bus);
}

void vmbus_pause(struct vmbus *bus)
{
	vmbus_begin_pause(bus);
	vmbus_settle(bus);
}

void vmbus_resume(struct vmbus *bus)
{
	struct vmbus_channel *channel;

	CHECK(bus->paused);
	bus->paused = false;
	monitor_watch(bus);
	/* After a load: what no device has taken up, and devices that the old machine had not. */
	gpadl_finish_torn(bus);
	if (bus->offers_wanted) {
		offer_all(bus);
	}
	for (channel = offer_next(bus, 1); channel != NULL;
	     channel = offer_next(bus, channel->relid + 1)) {
		if (channel->pause != PAUSE_NONE) {
			channel_resume(channel);
		}
	}
	server_wake(bus);
}

void vmbus_destroy(struct vmbus **out)
{
	struct vmbus *bus = *out;
	struct vmbus_channel *channel;

	vmbus_reset(bus);
	while ((channel = offer_next(bus, 1)) != NULL) {
		offer_revoke(channel);
		offer_free(channel);
	}
	queue_clear(bus);
	pthread_mutex_destroy(&bus->lock);
	close_events(bus);
	free(bus);
	*out = NULL;
}

/* A guest that causes lines without end gets SERVER_COMPLAINTS a second. */
static bool may_complain(struct vmbus *bus)
{
	struct timespec now;
	bool may;

	clock_gettime(CLOCK_MONOTONIC, &now);
	pthread_mutex_lock(&bus->lock);
	if (bus->complaint_second != (uint64_t)now.tv_sec) {
		bus->complaint_second = (uint64_t)now.tv_sec;
		bus->complaints = 0;
	}
	may = bus->complaints < SERVER_COMPLAINTS;
	bus->complaints += may;
	pthread_mutex_unlock(&bus->lock);
	return may;
}

void server_complain(struct vmbus *bus, const char *format, ...)
{
	char line[160];
	va_list arguments;

	if (may_complain(bus)) {
		va_start(arguments, format);
		vsnprintf(line, sizeof(line), format, arguments);
		va_end(arguments);
		vmbus_host_log(bus->host, line);
	}
}

void channel_complain(struct vmbus_channel *channel, const char *format, ...)
{
	char text[120];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	server_complain(channel->bus, "%s channel %u: %s", channel->class->name, channel->relid,
			text);
}
