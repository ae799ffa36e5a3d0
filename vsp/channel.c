/*
 * The thread of an open channel, see channel.h.
 *
 * Packets are taken only while the device is ready() and no answer waits for room: so the rings
 * bound everything. tests/model/channel_pause.pml has a pause, its end and a close in all their
 * interleavings.
 */
#include "vsp/channel.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/*
 * vsp_channel.asked: the lowest bit is a close. What is above it counts pauses and resumes, so the
 * second bit is set while a pause is wanted, and no two pauses have the same number.
 */
#define ASKED_CLOSE 1u
#define ASKED_PAUSE 2u

static unsigned int asked(const struct vsp_channel *vsp)
{
	return atomic_load_explicit(&vsp->asked, memory_order_acquire);
}

/* Something, be it a pause that is over already: the device may have seen that one, and put
 * something aside for it. */
static bool is_asked(const struct vsp_channel *vsp)
{
	return asked(vsp) != vsp->seen;
}

/* ---- sleep ---- */

/* Which of them it was does not matter: all that there may be is looked at. */
static void sleep_by_poll(struct vsp_channel *vsp)
{
	struct epoll_event events[8];
	int limit_ms = -1;

	if (vsp->class->patience_ms != NULL) {
		limit_ms = vsp->class->patience_ms(vsp->device);
	}
	if (epoll_wait(vsp->epoll, events, ARRAY_COUNT(events), limit_ms) < 0) {
		return; /* a signal: the thread is awake all the same */
	}
}

static int watch_event(const struct vsp_channel *vsp, int fd)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};

	return fd >= 0 && epoll_ctl(vsp->epoll, EPOLL_CTL_ADD, fd, &event) != 0 ? -errno : 0;
}

/* One that was signalled before is an edge too. */
int vsp_set_event(struct vsp_channel *vsp, unsigned int index, int event)
{
	int *place = &vsp->events[index];

	CHECK(index < vsp->event_count);
	if (*place >= 0) {
		CHECK(epoll_ctl(vsp->epoll, EPOLL_CTL_DEL, *place, NULL) == 0);
	}
	*place = event;
	return watch_event(vsp, event);
}

static void vsp_sleep(struct vsp_channel *vsp)
{
	if (vsp->class->sleep != NULL) {
		vsp->class->sleep(vsp->device);
	} else {
		sleep_by_poll(vsp);
	}
}

void vsp_wake(struct vsp_channel *vsp)
{
	uint64_t one = 1;

	if (vsp->class->wake != NULL) {
		vsp->class->wake(vsp->device);
	} else if (write(vsp->own, &one, sizeof(one)) < 0) {
		return; /* the counter is full: it is readable anyhow */
	}
}

static void watch(struct vsp_channel *vsp, bool begin)
{
	if (vsp->class->watch != NULL) {
		vsp->class->watch(vsp->device, begin ? channel_event(vsp->channel) : -1);
	}
}

/* ---- answers ---- */

/* False: no room. A channel that is closing swallows it. */
static bool send_answer(struct vsp_channel *vsp, const struct vsp_answer *answer)
{
	struct iovec payload = {(void *)answer->payload, answer->bytes};

	return channel_complete(vsp->channel, answer->transaction, &payload, 1) != -EAGAIN;
}

static void was_sent(struct vsp_channel *vsp, struct vsp_answer *answer)
{
	if (vsp->class->sent != NULL) {
		vsp->class->sent(vsp->device, answer);
	}
}

void vsp_answer(struct vsp_channel *vsp, struct vsp_answer *answer)
{
	if (vsp->unsent == NULL && send_answer(vsp, answer)) {
		was_sent(vsp, answer);
		return;
	}
	answer->next = NULL;
	*vsp->unsent_end = answer;
	vsp->unsent_end = &answer->next;
}

static bool send_unsent(struct vsp_channel *vsp)
{
	while (vsp->unsent != NULL) {
		struct vsp_answer *answer = vsp->unsent;

		if (!send_answer(vsp, answer)) {
			return false;
		}
		vsp->unsent = answer->next;
		if (vsp->unsent == NULL) {
			vsp->unsent_end = &vsp->unsent;
		}
		was_sent(vsp, answer);
	}
	return true;
}

/* ---- the thread ---- */

static bool work(struct vsp_channel *vsp)
{
	return vsp->class->work != NULL && vsp->class->work(vsp->device);
}

static bool ready(struct vsp_channel *vsp)
{
	return vsp->class->ready == NULL || vsp->class->ready(vsp->device);
}

static void turned(struct vsp_channel *vsp)
{
	if (vsp->class->turned != NULL) {
		vsp->class->turned(vsp->device);
	}
}

/*
 * After a round in which something was done. A sleep of the device's own returns for what has come
 * since: it is looked for here only where something is under way, which may have ended by being
 * begun. One that waits for edges has to see that there is nothing.
 */
static bool looks_again(struct vsp_channel *vsp)
{
	return vsp->class->sleep == NULL || vsp->class->busy == NULL ||
	       vsp->class->busy(vsp->device);
}

/* What there is, until there is nothing, or something is asked. False: the channel has ended. */
static bool serve(struct vsp_channel *vsp)
{
	struct vmbus_packet packet;
	unsigned int packets = 0;
	bool more;
	int ret = 0;

	do {
		more = work(vsp);
		while (!is_asked(vsp) && send_unsent(vsp) && ready(vsp)) {
			ret = channel_receive(vsp->channel, &packet);
			if (ret <= 0) {
				break;
			}
			vsp->class->packet(vsp->device, &packet);
			packets++;
			more = true;
		}
		turned(vsp);
	} while (more && ret >= 0 && !is_asked(vsp) && looks_again(vsp));
	channel_flush(vsp->channel);
	vsp_place_turn(&vsp->place, packets);
	return ret >= 0;
}

static bool wants_close(const struct vsp_channel *vsp)
{
	return asked(vsp) & ASKED_CLOSE;
}

static bool wants_pause(const struct vsp_channel *vsp)
{
	return asked(vsp) & ASKED_PAUSE;
}

/* A step of what is under way on its way to its end. False: nothing is under way. */
static bool settle_step(struct vsp_channel *vsp)
{
	if (vsp->class->busy == NULL || !vsp->class->busy(vsp->device)) {
		return false;
	}
	if (!work(vsp)) {
		vsp_sleep(vsp);
	}
	turned(vsp);
	return true;
}

/* Nothing is under way: all that can be sent is. */
static void settled(struct vsp_channel *vsp)
{
	send_unsent(vsp);
	channel_flush(vsp->channel);
}

/*
 * Says so once for each pause. Not while it ends: the server, which drops what it has not heard
 * yet, would hear it in the next one, in which the thread may not stand.
 */
static void say_paused(struct vsp_channel *vsp)
{
	unsigned int number;

	pthread_mutex_lock(&vsp->saying);
	number = asked(vsp) & ~ASKED_CLOSE;
	if ((number & ASKED_PAUSE) && number != vsp->said) {
		vsp->said = number;
		channel_paused(vsp->channel);
	}
	pthread_mutex_unlock(&vsp->saying);
}

/* A close ends a pause as a resume does, also while something is under way still. What comes after
 * `seen` was read is asked once more. */
static void pause_until_resumed(struct vsp_channel *vsp)
{
	bool stood = false;

	if (vsp->class->pause != NULL) {
		vsp->class->pause(vsp->device);
	}
	while (wants_pause(vsp) && !wants_close(vsp)) {
		if (!stood && settle_step(vsp)) {
			continue;
		}
		if (!stood) {
			settled(vsp);
			stood = true;
		}
		say_paused(vsp);
		vsp_sleep(vsp);
	}
	vsp->seen = asked(vsp) & ~(ASKED_CLOSE | ASKED_PAUSE);
	if (!wants_close(vsp) && vsp->class->resume != NULL) {
		vsp->class->resume(vsp->device);
	}
}

/* False: the channel has ended. */
static bool go_on(struct vsp_channel *vsp)
{
	if (wants_close(vsp)) {
		return false;
	}
	if (is_asked(vsp)) {
		pause_until_resumed(vsp);
		return true;
	}
	if (!serve(vsp)) {
		return false;
	}
	if (!is_asked(vsp)) {
		vsp_sleep(vsp);
	}
	return true;
}

/* The guest broke the channel, and it is not closed yet. */
static void wait_for_close(struct vsp_channel *vsp)
{
	while (!wants_close(vsp)) {
		say_paused(vsp);
		vsp_sleep(vsp);
		work(vsp);
	}
}

static void *run(void *argument)
{
	struct vsp_channel *vsp = argument;

	watch(vsp, true);
	while (go_on(vsp)) {
	}
	vsp->ended = true;
	if (vsp->class->end != NULL) {
		vsp->class->end(vsp->device);
	}
	while (settle_step(vsp)) {
	}
	settled(vsp);
	wait_for_close(vsp);
	watch(vsp, false);
	if (vsp->class->closed != NULL) {
		vsp->class->closed(vsp->device);
	}
	channel_closed(vsp->channel);
	return NULL;
}

/* ---- the control thread ---- */

/* With all signals blocked: they are for the worker's own threads. */
static int start_thread(struct vsp_channel *vsp)
{
	sigset_t all, before;
	int ret;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = -pthread_create(&vsp->thread, NULL, run, vsp);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return ret;
}

/* What is left is closed by clean_up(). */
static int open_events(struct vsp_channel *vsp)
{
	unsigned int i;
	int ret;

	vsp->own = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	vsp->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (vsp->own < 0 || vsp->epoll < 0) {
		return -errno;
	}
	ret = watch_event(vsp, vsp->own);
	if (ret == 0) {
		ret = watch_event(vsp, channel_event(vsp->channel));
	}
	for (i = 0; i < vsp->event_count && ret == 0; i++) {
		ret = watch_event(vsp, vsp->events[i]);
	}
	return ret;
}

static void clean_up(struct vsp_channel *vsp)
{
	pthread_mutex_destroy(&vsp->saying);
	if (vsp->epoll >= 0) {
		close(vsp->epoll);
	}
	if (vsp->own >= 0) {
		close(vsp->own);
	}
}

int vsp_start(struct vsp_channel *vsp, const struct vsp_class *class, void *device,
	      struct vmbus_channel *channel, const int *events, unsigned int event_count)
{
	int ret;

	CHECK(event_count <= VSP_EVENTS_MAX && (event_count == 0 || class->sleep == NULL));
	*vsp = (struct vsp_channel){
		.class = class, .device = device, .channel = channel, .own = -1, .epoll = -1};
	atomic_init(&vsp->asked, channel_starts_paused(channel) ? ASKED_PAUSE : 0);
	pthread_mutex_init(&vsp->saying, NULL);
	vsp->unsent_end = &vsp->unsent;
	vsp->event_count = event_count;
	if (event_count != 0) {
		memcpy(vsp->events, events, event_count * sizeof(events[0]));
	}
	ret = class->sleep == NULL ? open_events(vsp) : 0;
	if (ret == 0) {
		ret = start_thread(vsp);
	}
	if (ret != 0) {
		clean_up(vsp);
	}
	return ret;
}

void vsp_close(struct vsp_channel *vsp)
{
	atomic_fetch_or(&vsp->asked, ASKED_CLOSE);
	vsp_wake(vsp);
}

void vsp_pause(struct vsp_channel *vsp)
{
	CHECK(!wants_pause(vsp));
	atomic_fetch_add(&vsp->asked, ASKED_PAUSE);
	vsp_wake(vsp);
}

void vsp_resume(struct vsp_channel *vsp)
{
	CHECK(wants_pause(vsp));
	pthread_mutex_lock(&vsp->saying);
	atomic_fetch_add(&vsp->asked, ASKED_PAUSE);
	pthread_mutex_unlock(&vsp->saying);
	vsp_wake(vsp);
}

void vsp_join(struct vsp_channel *vsp)
{
	pthread_join(vsp->thread, NULL);
	clean_up(vsp);
}

bool vsp_is_ending(const struct vsp_channel *vsp)
{
	return vsp->ended || wants_close(vsp);
}

bool vsp_is_pausing(const struct vsp_channel *vsp)
{
	return wants_pause(vsp);
}
