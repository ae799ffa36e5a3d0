/*
 * See cable.h. Frames lie in the memory that the switch has of this process for heads of frames
 * (netport.h): CABLE_FRAMES places for those that are sent, and as many for those that come.
 *
 * Two locks, and neither is held when the adapter is called: `life` of the thread's beginning and
 * end, and of the port; `out` of the ring of what is sent. The ring of what comes is the thread's
 * alone; the port changes while there is none.
 */
#include "vsp/network/cable.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "switch/ring.h"
#include "vsp/network/netport.h"
#include "vsp/network/network.h"

#define CABLE_FRAMES 64u
#define PLACE_BYTES  2048u
#define TAG_BYTES    4u
#define TAG_AT       12u
#define AGAIN_MS     1
#define AGAIN_TIMES  50u

/* Of what comes: it is with the switch, in this order, or free. */
struct places {
	uint8_t posted[CABLE_FRAMES], free[CABLE_FRAMES];
	uint32_t first, posted_count, free_count;
};

/* A frame that is offered to the adapter. */
struct offered {
	uint8_t frame[CABLE_FRAME_MAX];
	uint32_t length; /* 0: there is none */
	unsigned int times;
	bool stands;
};

struct cable {
	const struct cable_class *class;
	void *adapter;
	pthread_mutex_t life, out_lock;
	const struct netport *port; /* NULL: none */
	int wake;
	bool running;
	pthread_t thread;
	atomic_bool ending;
	atomic_bool lost;
	_Atomic(enum cable_hears) hears;
	struct ring out; /* under out_lock, as the next two */
	uint32_t sent, under_way;
	atomic_bool wants_room;
	struct ring in; /* the thread's, as all below */
	struct places places;
	struct offered offered;
	enum cable_hears heard;
	atomic_bool waits; /* a frame does */
	_Atomic(uint64_t) frames_out, bytes_out, frames_in, bytes_in, refused;
};

int cable_create(const struct cable_class *class, void *adapter, struct cable **cable)
{
	struct cable *made = calloc(1, sizeof(*made));

	if (made == NULL) {
		return -ENOMEM;
	}
	made->class = class;
	made->adapter = adapter;
	made->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (made->wake < 0) {
		int ret = -errno;

		free(made);
		return ret;
	}
	pthread_mutex_init(&made->life, NULL);
	pthread_mutex_init(&made->out_lock, NULL);
	*cable = made;
	return 0;
}

void cable_destroy(struct cable **cable)
{
	if (*cable != NULL) {
		CHECK(!(*cable)->running);
		close((*cable)->wake);
		pthread_mutex_destroy(&(*cable)->life);
		pthread_mutex_destroy(&(*cable)->out_lock);
		free(*cable);
		*cable = NULL;
	}
}

static bool has_switch(struct cable *cable)
{
	return cable->port != NULL && !atomic_load(&cable->lost);
}

/* ---- places ---- */

static uint8_t *place_at(const struct cable *cable, uint32_t number)
{
	return (uint8_t *)cable->port->regions[NETPORT_HEADS].iov_base + number * PLACE_BYTES;
}

static struct port_slot slot_of(uint32_t number, uint32_t bytes)
{
	return (struct port_slot){
		.region = NETPORT_HEADS, .offset = number * PLACE_BYTES, .bytes = bytes};
}

static void clear_places(struct places *places)
{
	uint32_t i;

	places->first = places->posted_count = 0;
	places->free_count = CABLE_FRAMES;
	for (i = 0; i < CABLE_FRAMES; i++) {
		places->free[i] = (uint8_t)i;
	}
}

/* The oldest that is with the switch. False: none is. */
static bool take_posted(struct places *places, uint8_t *number)
{
	if (places->posted_count == 0) {
		return false;
	}
	*number = places->posted[places->first];
	places->first = (places->first + 1) % CABLE_FRAMES;
	places->posted_count--;
	return true;
}

/* ---- what is sent ---- */

/* The switch says what cannot be. */
static void give_up(struct cable *cable)
{
	atomic_store(&cable->lost, true);
	netport_break(cable->port);
}

/* Under the lock. False: all is under way still. */
static bool collect_sent(struct cable *cable)
{
	struct port_slot slot;
	int ret;

	while ((ret = ring_collect(&cable->out, &slot)) > 0) {
		cable->under_way--;
	}
	if (ret < 0) {
		give_up(cable);
		return true;
	}
	return cable->under_way < CABLE_FRAMES;
}

bool cable_room(struct cable *cable)
{
	bool room = true;

	pthread_mutex_lock(&cable->out_lock);
	if (has_switch(cable)) {
		ring_worker_wakes(&cable->out);
		do {
			room = collect_sent(cable);
		} while (!room && !ring_worker_waits(&cable->out));
	}
	atomic_store(&cable->wants_room, !room);
	pthread_mutex_unlock(&cable->out_lock);
	return room;
}

void cable_send(struct cable *cable, const uint8_t *frame, uint32_t length)
{
	struct port_slot slot;

	CHECK(length >= CABLE_FRAME_MIN && length <= CABLE_FRAME_MAX);
	pthread_mutex_lock(&cable->out_lock);
	if (has_switch(cable)) {
		CHECK(cable->under_way < CABLE_FRAMES);
		slot = slot_of(CABLE_FRAMES + cable->sent % CABLE_FRAMES, length);
		memcpy(place_at(cable, CABLE_FRAMES + cable->sent % CABLE_FRAMES), frame, length);
		cable->sent++;
		cable->under_way++;
		ring_add(&cable->out, &slot, 1);
		if (ring_publish(&cable->out)) {
			netport_kick(cable->port);
		}
		atomic_fetch_add(&cable->frames_out, 1);
		atomic_fetch_add(&cable->bytes_out, length);
	} else {
		atomic_fetch_add(&cable->refused, 1);
	}
	pthread_mutex_unlock(&cable->out_lock);
}

/* ---- what comes ---- */

void cable_wake(struct cable *cable)
{
	/* It fails only when the counter is full: then it is readable anyhow. */
	if (eventfd_write(cable->wake, 1) != 0) {
		return;
	}
}

void cable_listen(struct cable *cable, enum cable_hears hears)
{
	if (atomic_exchange(&cable->hears, hears) != hears || atomic_load(&cable->waits)) {
		cable_wake(cable);
	}
}

/* Out of the switch's memory, with its tag. 0: there is no room for it. */
static void copy_frame(struct cable *cable, const struct port_slot *slot, const uint8_t *from)
{
	struct offered *offered = &cable->offered;
	uint32_t tag = slot->flags & PORT_TAGGED ? TAG_BYTES : 0;

	if ((slot->flags & PORT_CONTINUES) || slot->bytes < CABLE_FRAME_MIN ||
	    slot->bytes > CABLE_FRAME_MAX - tag) {
		return;
	}
	memcpy(offered->frame, from, TAG_AT);
	memcpy(offered->frame + TAG_AT + tag, from + TAG_AT, slot->bytes - TAG_AT);
	if (tag != 0) {
		const uint8_t bytes[TAG_BYTES] = {0x81, 0x00, (uint8_t)(slot->tag >> 8),
						  (uint8_t)slot->tag};

		memcpy(offered->frame + TAG_AT, bytes, sizeof(bytes));
	}
	offered->length = slot->bytes + tag;
	offered->times = 0;
}

/* The next frame is offered->frame. False: none is there. */
static bool next_frame(struct cable *cable)
{
	struct places *places = &cable->places;
	struct port_slot slot;
	uint8_t number;
	int ret;

	while (cable->offered.length == 0) {
		ret = ring_collect(&cable->in, &slot);
		if (ret < 0 || (ret > 0 && !take_posted(places, &number))) {
			give_up(cable);
			return false;
		}
		if (ret == 0) {
			return false;
		}
		if (!(slot.flags & PORT_UNUSED)) {
			copy_frame(cable, &slot, place_at(cable, number));
		}
		places->free[places->free_count++] = number;
	}
	return true;
}

/* False: it waits. */
static bool offer(struct cable *cable)
{
	struct offered *offered = &cable->offered;
	bool last = ++offered->times >= AGAIN_TIMES;
	uint32_t length = offered->length;

	switch (cable->class->receive(cable->adapter, offered->frame, length, last)) {
	case CABLE_LATER:
		return last;
	case CABLE_STANDS:
		offered->stands = true;
		return false;
	default:
		atomic_fetch_add(&cable->frames_in, 1);
		atomic_fetch_add(&cable->bytes_in, length);
		return true;
	}
}

static void post(struct cable *cable)
{
	struct places *places = &cable->places;

	while (places->free_count != 0) {
		uint8_t number = places->free[--places->free_count];
		struct port_slot slot = slot_of(number, PLACE_BYTES);

		places->posted[(places->first + places->posted_count++) % CABLE_FRAMES] = number;
		ring_add(&cable->in, &slot, 1);
	}
}

/* What the switch is to give, as the adapter wants it. True: it has to look. */
static bool tell_switch(struct cable *cable)
{
	static const uint32_t takes[] = {[CABLE_HEARS_NOTHING] = 0,
					 [CABLE_HEARS_OWN] = PORT_HEARS,
					 [CABLE_HEARS_ALL] = PORT_HEARS | PORT_TAKES_ALL};
	enum cable_hears hears = atomic_load(&cable->hears);
	struct port_state *state = cable->port->memory;

	if (hears == cable->heard) {
		return false;
	}
	cable->heard = hears;
	__atomic_store_n(&state->max_bytes, CABLE_FRAME_MAX - 2 * TAG_BYTES, __ATOMIC_RELAXED);
	__atomic_store_n(&state->takes, takes[hears], __ATOMIC_RELEASE);
	return true;
}

static void serve(struct cable *cable)
{
	bool kick;

	ring_worker_wakes(&cable->in);
	kick = tell_switch(cable);
	while (next_frame(cable) && offer(cable)) {
		cable->offered.length = 0;
	}
	if (atomic_load(&cable->lost)) {
		return;
	}
	if (cable->heard != CABLE_HEARS_NOTHING) {
		post(cable);
	}
	kick |= ring_publish(&cable->in);
	if (kick) {
		netport_kick(cable->port);
	}
}

/* How long to sleep; 0: there is something. */
static int patience_ms(struct cable *cable)
{
	if (!has_switch(cable)) {
		return -1;
	}
	if (cable->offered.length != 0) {
		return cable->offered.stands ? -1 : AGAIN_MS;
	}
	return ring_worker_waits(&cable->in) ? -1 : 0;
}

static void drain(int fd)
{
	eventfd_t count;

	if (eventfd_read(fd, &count) != 0) {
		return; /* nothing was there */
	}
}

static void sleep_until(struct cable *cable)
{
	struct pollfd fds[2] = {
		{.fd = cable->wake, .events = POLLIN},
		{.fd = has_switch(cable) ? cable->port->events[0] : -1, .events = POLLIN}};

	if (poll(fds, 2, patience_ms(cable)) <= 0) {
		return;
	}
	if (fds[0].revents != 0) {
		drain(cable->wake);
	}
	if (fds[1].revents & POLLIN) {
		drain(fds[1].fd);
	}
}

static void *run(void *context)
{
	struct cable *cable = context;

	while (!atomic_load(&cable->ending)) {
		cable->offered.stands = false;
		if (has_switch(cable)) {
			serve(cable);
		}
		if (atomic_load(&cable->wants_room) && cable_room(cable)) {
			cable->class->room(cable->adapter);
		}
		atomic_store(&cable->waits, cable->offered.length != 0);
		sleep_until(cable);
	}
	return NULL;
}

/* ---- its life ---- */

static int start(struct cable *cable)
{
	int ret = 0;

	if (!cable->running) {
		atomic_store(&cable->ending, false);
		ret = -pthread_create(&cable->thread, NULL, run, cable);
		cable->running = ret == 0;
	}
	return ret;
}

static void stop(struct cable *cable)
{
	if (cable->running) {
		atomic_store(&cable->ending, true);
		cable_wake(cable);
		pthread_join(cable->thread, NULL);
		cable->running = false;
	}
}

int cable_start(struct cable *cable)
{
	int ret;

	pthread_mutex_lock(&cable->life);
	ret = start(cable);
	pthread_mutex_unlock(&cable->life);
	return ret;
}

void cable_stop(struct cable *cable)
{
	pthread_mutex_lock(&cable->life);
	stop(cable);
	pthread_mutex_unlock(&cable->life);
}

void cable_set_port(struct cable *cable, const struct netport *port)
{
	bool again;

	CHECK(port->regions[NETPORT_HEADS].iov_len >= 2 * CABLE_FRAMES * PLACE_BYTES);
	pthread_mutex_lock(&cable->life);
	again = cable->running;
	stop(cable);
	pthread_mutex_lock(&cable->out_lock);
	cable->port = port;
	ring_at(&cable->out, port->memory, port->out_slots, port->in_slots, 0);
	ring_at(&cable->in, port->memory, port->out_slots, port->in_slots, 1);
	cable->sent = cable->under_way = 0;
	clear_places(&cable->places);
	cable->offered.length = 0;
	cable->heard = CABLE_HEARS_NOTHING;
	atomic_store(&cable->lost, false);
	pthread_mutex_unlock(&cable->out_lock);
	/* It was started before, so it can be again; else the adapter hears nothing, as without a
	 * switch. */
	if (again && start(cable) != 0) {
		atomic_store(&cable->lost, true);
	}
	pthread_mutex_unlock(&cable->life);
}

void cable_lost(struct cable *cable)
{
	atomic_store(&cable->lost, true);
	cable_wake(cable);
}

void cable_get_stats(struct cable *cable, struct network_stats *stats)
{
	*stats = (struct network_stats){
		.frames_out = atomic_load(&cable->frames_out),
		.bytes_out = atomic_load(&cable->bytes_out),
		.frames_in = atomic_load(&cable->frames_in),
		.bytes_in = atomic_load(&cable->bytes_in),
		.refused = {[NETWORK_LOST] = atomic_load(&cable->refused)},
	};
}
