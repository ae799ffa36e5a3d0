/*
 * The server as a saved state (lib/state.h), and back.
 *
 *   vmbus 1    version, VP of messages, offers wanted; before version 2.4 the number of the interrupt page
 *     in 1       a message of the guest's that was not acted on: connection, bytes; oldest first
 *     out 1      a message that the guest had no room for; oldest first
 *     monitor 1  the monitor page of the contact, if it named one; relids of the channels that the guest knows and that signal by it
 *     gpadl 1    handle, relid, state, offset, bytes, pages, those that have arrived; their numbers; newest first
 *     channel 1  type, instance, sub-channel; relid, state, declined, known to be open; by relid. If it is open:
 *       ring 1     open_channel's fields; target VP; our read and write index, and the guest's read index as last seen; whether
 *                  we wait for room, whether signals are masked
 *
 * What the rings hold is in guest memory. A paused server has no channel that closes and nothing
 * that waits for one, so there is no more than that.
 *
 * Loading has three steps. The state is read into structures of its own, with everything in it
 * checked, against itself and against the channels that the devices have offered. Then guest memory
 * is acquired. Only then the server is changed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "vmbus/server.h"

#define VMBUS_STATE_VERSION   1
#define MESSAGE_STATE_VERSION 1
#define MONITOR_STATE_VERSION 1
#define GPADL_STATE_VERSION   1
#define CHANNEL_STATE_VERSION 1
#define RING_STATE_VERSION    1

/* Each answers a message, or is an offer or a rescind: more than that no server has. */
#define OUT_MAX (SERVER_OUT_LIMIT + SERVER_IN_MAX + 4 * VMBUS_MAX_CHANNELS)

/* ---- saving ---- */

static void save_in(const struct vmbus *bus, struct state_writer *writer)
{
	unsigned int i;

	for (i = 0; i < bus->in_count; i++) {
		const struct in_message *message = &bus->in[(bus->in_first + i) % SERVER_IN_MAX];
		size_t part = state_begin(writer, "in", MESSAGE_STATE_VERSION);

		state_put_u32(writer, message->connection_id);
		state_put_bytes(writer, message->payload, message->size);
		state_end(writer, part);
	}
}

static void save_out(const struct vmbus *bus, struct state_writer *writer)
{
	const struct message *message;

	for (message = bus->out_first; message != NULL; message = message->next) {
		size_t part = state_begin(writer, "out", MESSAGE_STATE_VERSION);

		state_put_bytes(writer, message->payload, message->size);
		state_end(writer, part);
	}
}

static void save_gpadl(const struct vmbus_gpadl *gpadl, struct state_writer *writer)
{
	size_t part = state_begin(writer, "gpadl", GPADL_STATE_VERSION);
	uint32_t i;

	state_put_u32(writer, gpadl->handle);
	state_put_u32(writer, gpadl->channel->relid);
	state_put_u8(writer, (uint8_t)gpadl->state);
	state_put_u32(writer, gpadl->offset);
	state_put_u32(writer, gpadl->bytes);
	state_put_u32(writer, gpadl->page_count);
	state_put_u32(writer, gpadl->pages_there);
	for (i = 0; i < gpadl->pages_there; i++) {
		state_put_u64(writer, gpadl->numbers[i]);
	}
	state_end(writer, part);
}

static void save_ring(const struct vmbus_channel *channel, struct state_writer *writer)
{
	const struct vmbus_channel_open_channel *open = &channel->open_message;
	size_t part = state_begin(writer, "ring", RING_STATE_VERSION);

	state_put_u32(writer, open->openid);
	state_put_u32(writer, open->ringbuffer_gpadlhandle);
	state_put_u32(writer, open->target_vp);
	state_put_u32(writer, open->downstream_ringbuffer_pageoffset);
	state_put_bytes(writer, open->userdata, sizeof(open->userdata));
	state_put_u32(writer, channel->target_vp);
	state_put_u32(writer, channel->reader.read);
	state_put_u32(writer, channel->writer.write);
	state_put_u32(writer, channel->writer.read);
	state_put_bool(writer, channel->writer.waits);
	state_put_bool(writer, channel->masked);
	state_end(writer, part);
}

static void save_channel(const struct vmbus_channel *channel, struct state_writer *writer)
{
	size_t part = state_begin(writer, "channel", CHANNEL_STATE_VERSION);

	state_put_bytes(writer, &channel->offer.if_type, sizeof(channel->offer.if_type));
	state_put_bytes(writer, &channel->offer.if_instance, sizeof(channel->offer.if_instance));
	state_put_u16(writer, channel->offer.sub_channel_index);
	state_put_u32(writer, channel->relid);
	state_put_u8(writer, (uint8_t)channel->state);
	state_put_bool(writer, channel->declined);
	state_put_bool(writer, channel->guest_open);
	if (channel->state == CHANNEL_OPEN) {
		save_ring(channel, writer);
	}
	state_end(writer, part);
}

static bool is_monitored(const struct vmbus_channel *channel)
{
	return channel->state != CHANNEL_IDLE && channel->state != CHANNEL_REVOKED &&
	       monitor_has_bit(channel, channel->relid);
}

static void save_monitor(struct vmbus *bus, struct state_writer *writer)
{
	const struct vmbus_channel *channel = offer_next(bus, 1);
	size_t part;

	if (bus->version == 0 || bus->monitor_gpa == 0) {
		return;
	}
	part = state_begin(writer, "monitor", MONITOR_STATE_VERSION);
	state_put_u64(writer, bus->monitor_gpa);
	for (; channel != NULL; channel = offer_next(bus, channel->relid + 1)) {
		if (is_monitored(channel)) {
			state_put_u32(writer, channel->relid);
		}
	}
	state_end(writer, part);
}

static bool has_interrupt_page(uint32_t version)
{
	return version != 0 && version < VERSION_WIN8;
}

void vmbus_save(struct vmbus *bus, struct state_writer *writer)
{
	size_t part = state_begin(writer, "vmbus", VMBUS_STATE_VERSION);
	const struct vmbus_gpadl *gpadl;
	const struct vmbus_channel *channel;

	CHECK(bus->paused && bus->next == NEXT_NOTHING);
	state_put_u32(writer, bus->version);
	state_put_u32(writer, bus->vp);
	state_put_bool(writer, bus->offers_wanted);
	if (has_interrupt_page(bus->version)) {
		state_put_u64(writer, bus->interrupt_number);
	}
	save_in(bus, writer);
	save_out(bus, writer);
	save_monitor(bus, writer);
	for (gpadl = bus->gpadls; gpadl != NULL; gpadl = gpadl->next) {
		save_gpadl(gpadl, writer);
	}
	for (channel = offer_next(bus, 1); channel != NULL;
	     channel = offer_next(bus, channel->relid + 1)) {
		save_channel(channel, writer);
	}
	state_end(writer, part);
}

/* ---- reading ---- */

struct saved_ring {
	struct vmbus_channel_open_channel open;
	uint32_t target_vp, read, write, guest_read;
	bool waits, masked;
};

struct saved_channel {
	struct state_reader part; /* for its faults */
	struct vmbus_guid type, instance;
	uint16_t sub_channel;
	uint32_t relid;
	enum channel_state state;
	bool declined, guest_open;
	struct saved_ring ring;
	struct vmbus_channel *channel; /* whose it will be */
};

struct saved_gpadl {
	struct state_reader part;
	struct saved_gpadl *next;
	struct vmbus_gpadl *gpadl;
	uint32_t relid;
	uint32_t page_count; /* that have arrived; they are acquired one by one */
};

/* All of a state. What is in the lists belongs to it. */
struct saved {
	struct vmbus *bus;
	uint32_t version, vp;
	bool offers_wanted;
	uint64_t interrupt_number, monitor_gpa;
	bool monitored[VMBUS_MAX_CHANNELS]; /* by relid */
	struct in_message in[SERVER_IN_MAX];
	unsigned int in_count, out_count;
	struct message *out_first, **out_end;
	struct saved_gpadl *gpadls, **gpadls_end;
	unsigned int gpadl_count, gpadl_pages;
	struct saved_channel *channels[VMBUS_MAX_CHANNELS]; /* by relid */
	uint32_t last_relid;
};

static void read_in(struct saved *saved, struct state_reader *part)
{
	struct in_message *message = &saved->in[saved->in_count];

	if (saved->in_count == SERVER_IN_MAX) {
		state_refuse(part, "is one message more than a guest can have");
		return;
	}
	message->connection_id = state_u32(part);
	if (message->connection_id != VMBUS_MESSAGE_CONNECTION_ID &&
	    message->connection_id != VMBUS_MESSAGE_CONNECTION_ID_4) {
		state_refuse(part, "is for another connection");
	}
	if (state_left(part) > sizeof(message->payload)) {
		state_refuse(part, "is too long");
	}
	message->size = (uint32_t)state_left(part);
	state_bytes(part, message->payload, message->size);
	saved->in_count++;
}

static void read_out(struct saved *saved, struct state_reader *part)
{
	struct message *message;

	if (state_left(part) > sizeof(message->payload) || saved->out_count == OUT_MAX) {
		state_refuse(part, "is too long, or one too many");
		return;
	}
	message = calloc(1, sizeof(*message));
	if (message == NULL) {
		state_refuse(part, "finds no memory");
		return;
	}
	message->size = (uint32_t)state_left(part);
	state_bytes(part, message->payload, message->size);
	*saved->out_end = message;
	saved->out_end = &message->next;
	saved->out_count++;
}

static void read_monitor(struct saved *saved, struct state_reader *part)
{
	uint32_t before = 0;

	saved->monitor_gpa = state_u64(part);
	if (saved->version == 0 || saved->monitor_gpa == 0) {
		state_refuse(part, "is of no contact");
	}
	while (state_left(part) != 0) {
		uint32_t relid = state_u32(part);

		if (relid <= before || relid >= VMBUS_MAX_CHANNELS) {
			state_refuse(part, "has a number that is none, or that is not its turn");
			return;
		}
		saved->monitored[relid] = true;
		before = relid;
	}
	state_finish(part);
}

static bool gpadl_is_valid(const struct vmbus_gpadl *gpadl, uint32_t pages_there)
{
	uint64_t pages =
		((uint64_t)gpadl->offset + gpadl->bytes + VMBUS_PAGE_SIZE - 1) / VMBUS_PAGE_SIZE;

	return gpadl->offset < VMBUS_PAGE_SIZE && gpadl->bytes > 0 && pages == gpadl->page_count &&
	       pages <= GPADL_PAGES_MAX &&
	       (gpadl->state == GPADL_ARRIVING ? pages_there < pages : pages_there == pages);
}

static struct saved_gpadl *gpadl_by_handle(const struct saved *saved, uint32_t handle)
{
	struct saved_gpadl *gpadl = saved->gpadls;

	while (gpadl != NULL && gpadl->gpadl->handle != handle) {
		gpadl = gpadl->next;
	}
	return gpadl;
}

/* Checked, but for its channel, which comes later. NULL: refused. */
static struct vmbus_gpadl *read_gpadl_head(const struct saved *saved, struct saved_gpadl *to)
{
	struct state_reader *part = &to->part;
	struct vmbus_gpadl head = {.handle = state_u32(part)}, *gpadl;

	to->relid = state_u32(part);
	head.state = (enum gpadl_state)state_u8(part);
	head.offset = state_u32(part);
	head.bytes = state_u32(part);
	head.page_count = state_u32(part);
	to->page_count = state_u32(part);
	if (head.state > GPADL_TEARING || !gpadl_is_valid(&head, to->page_count) ||
	    to->relid >= VMBUS_MAX_CHANNELS) {
		state_refuse(part, "has a length, a state or a channel that cannot be");
	} else if (state_left(part) != to->page_count * sizeof(uint64_t)) {
		state_refuse(part, "has other pages than it says");
	} else if (saved->gpadl_count == SERVER_GPADL_MAX ||
		   head.page_count > SERVER_GPADL_MAX_PAGES - saved->gpadl_pages) {
		state_refuse(part, "is one too many");
	} else if (gpadl_by_handle(saved, head.handle) != NULL) {
		state_refuse(part, "has the handle of another one");
	}
	gpadl = state_ok(part) ? gpadl_alloc(head.page_count) : NULL;
	if (gpadl == NULL) {
		state_refuse(part, "finds no memory");
		return NULL;
	}
	gpadl->handle = head.handle;
	gpadl->state = head.state;
	gpadl->offset = head.offset;
	gpadl->bytes = head.bytes;
	return gpadl;
}

static void read_gpadl(struct saved *saved, const struct state_reader *part)
{
	struct saved_gpadl *to = calloc(1, sizeof(*to));
	uint32_t i;

	if (to == NULL) {
		state_refuse(part, "finds no memory");
		return;
	}
	to->part = *part;
	to->gpadl = read_gpadl_head(saved, to);
	if (to->gpadl == NULL) {
		free(to);
		return;
	}
	for (i = 0; i < to->page_count; i++) {
		to->gpadl->numbers[i] = state_u64(&to->part);
	}
	*saved->gpadls_end = to;
	saved->gpadls_end = &to->next;
	saved->gpadl_count++;
	saved->gpadl_pages += to->gpadl->page_count;
}

static void read_ring(struct saved_channel *channel)
{
	struct state_reader part = state_part(&channel->part, "ring", RING_STATE_VERSION);
	struct saved_ring *ring = &channel->ring;
	struct vmbus_channel_open_channel *open = &ring->open;

	open->header.msgtype = CHANNELMSG_OPENCHANNEL;
	open->child_relid = channel->relid;
	open->openid = state_u32(&part);
	open->ringbuffer_gpadlhandle = state_u32(&part);
	open->target_vp = state_u32(&part);
	open->downstream_ringbuffer_pageoffset = state_u32(&part);
	state_bytes(&part, open->userdata, sizeof(open->userdata));
	ring->target_vp = state_u32(&part);
	ring->read = state_u32(&part);
	ring->write = state_u32(&part);
	ring->guest_read = state_u32(&part);
	ring->waits = state_bool(&part);
	ring->masked = state_bool(&part);
	state_finish(&part);
}

static bool channel_is_valid(const struct saved_channel *channel)
{
	switch (channel->state) {
	case CHANNEL_IDLE:
		return !channel->guest_open;
	case CHANNEL_OFFERED:
		return !channel->guest_open && !channel->declined;
	case CHANNEL_OPEN:
	case CHANNEL_BROKEN:
		return channel->guest_open && !channel->declined;
	case CHANNEL_REVOKED:
		return true;
	default:
		return false;
	}
}

static void read_channel(struct saved *saved, const struct state_reader *part)
{
	struct saved_channel *channel = calloc(1, sizeof(*channel));
	struct state_reader *from;

	if (channel == NULL) {
		state_refuse(part, "finds no memory");
		return;
	}
	channel->part = *part;
	from = &channel->part;
	state_bytes(from, &channel->type, sizeof(channel->type));
	state_bytes(from, &channel->instance, sizeof(channel->instance));
	channel->sub_channel = state_u16(from);
	channel->relid = state_u32(from);
	channel->state = (enum channel_state)state_u8(from);
	channel->declined = state_bool(from);
	channel->guest_open = state_bool(from);
	if (channel->relid <= saved->last_relid || channel->relid >= VMBUS_MAX_CHANNELS) {
		state_refuse(from, "has a number that is none, or that is not its turn");
		free(channel);
		return;
	}
	saved->channels[channel->relid] = channel;
	saved->last_relid = channel->relid;
	if (!channel_is_valid(channel)) {
		state_refuse(from, "has a state that cannot be");
	} else if (channel->state == CHANNEL_OPEN) {
		read_ring(channel);
	}
	state_finish(from);
}

static void read_all(struct saved *saved, struct state_reader *whole)
{
	struct state_reader part;

	saved->version = state_u32(whole);
	saved->vp = state_u32(whole);
	saved->offers_wanted = state_bool(whole);
	if (saved->version == 0 ? saved->offers_wanted : !control_knows_version(saved->version)) {
		state_refuse(whole, "has a version that is not spoken here");
	}
	if (has_interrupt_page(saved->version)) {
		saved->interrupt_number = state_u64(whole);
	}
	while (state_next_named(whole, "in", MESSAGE_STATE_VERSION, &part)) {
		read_in(saved, &part);
	}
	while (state_next_named(whole, "out", MESSAGE_STATE_VERSION, &part)) {
		read_out(saved, &part);
	}
	if (state_next_named(whole, "monitor", MONITOR_STATE_VERSION, &part)) {
		read_monitor(saved, &part);
	}
	while (state_next_named(whole, "gpadl", GPADL_STATE_VERSION, &part)) {
		read_gpadl(saved, &part);
	}
	while (state_next_named(whole, "channel", CHANNEL_STATE_VERSION, &part)) {
		read_channel(saved, &part);
	}
	state_finish(whole);
}

/* ---- checks of the parts against each other ---- */

static bool is_index(uint32_t index, uint32_t pages)
{
	return index < (pages - 1) * VMBUS_PAGE_SIZE && index % 8 == 0;
}

static void check_ring(const struct saved *saved, const struct saved_channel *channel)
{
	const struct saved_ring *ring = &channel->ring;
	const struct saved_gpadl *gpadl = gpadl_by_handle(saved, ring->open.ringbuffer_gpadlhandle);
	uint32_t down = ring->open.downstream_ringbuffer_pageoffset, up;

	if (gpadl == NULL || gpadl->relid != channel->relid ||
	    gpadl->gpadl->state == GPADL_ARRIVING ||
	    channel_ring_fault(gpadl->gpadl, down) != NULL) {
		state_refuse(&channel->part, "has a ring that cannot be");
		return;
	}
	up = gpadl->gpadl->page_count - down;
	if (!is_index(ring->read, down) || !is_index(ring->write, up) ||
	    !is_index(ring->guest_read, up)) {
		state_refuse(&channel->part, "has indices that are none");
	}
}

static bool is_same_offer(const struct saved_channel *saved, const struct vmbus_channel *channel)
{
	return memcmp(&saved->type, &channel->offer.if_type, sizeof(saved->type)) == 0 &&
	       memcmp(&saved->instance, &channel->offer.if_instance, sizeof(saved->instance)) ==
		       0 &&
	       saved->sub_channel == channel->offer.sub_channel_index;
}

static bool is_taken(const struct saved *saved, const struct vmbus_channel *channel)
{
	uint32_t relid;

	for (relid = 1; relid < VMBUS_MAX_CHANNELS; relid++) {
		if (saved->channels[relid] != NULL && saved->channels[relid]->channel == channel) {
			return true;
		}
	}
	return false;
}

/* The device that offers the same here; of what the device has left already, there is nothing but a
 * number. */
static void match(const struct saved *saved, struct saved_channel *channel)
{
	struct vmbus_channel *offer = offer_next(saved->bus, 1);

	if (channel->state == CHANNEL_REVOKED) {
		channel->channel = offer_gone(saved->bus, &channel->type, &channel->instance,
					      channel->sub_channel);
		if (channel->channel == NULL) {
			state_refuse(&channel->part, "finds no memory");
		}
		return;
	}
	while (offer != NULL && (offer->withdrawn || !is_same_offer(channel, offer))) {
		offer = offer_next(saved->bus, offer->relid + 1);
	}
	if (offer == NULL || is_taken(saved, offer)) {
		state_refuse(&channel->part, "is of a device that this machine has not");
		return;
	}
	channel->channel = offer;
	if (channel->state != CHANNEL_IDLE &&
	    saved->monitored[channel->relid] != monitor_has_bit(offer, channel->relid)) {
		state_refuse(&channel->part,
			     "is of a device whose guest signals another way (signals=)");
	}
}

static void check_channels(const struct saved *saved, const struct state_reader *whole)
{
	const struct saved_gpadl *gpadl;
	uint32_t relid;

	for (relid = 1; relid < VMBUS_MAX_CHANNELS && state_ok(whole); relid++) {
		struct saved_channel *channel = saved->channels[relid];

		if (saved->monitored[relid] && (channel == NULL || channel->state == CHANNEL_IDLE ||
						channel->state == CHANNEL_REVOKED)) {
			state_refuse(whole,
				     "has a signal of a channel that the guest does not know");
		}
		if (channel == NULL) {
			continue;
		}
		if (saved->version == 0 && channel->state != CHANNEL_IDLE) {
			state_refuse(&channel->part, "is known to a guest that is not connected");
		} else if (channel->state == CHANNEL_OPEN) {
			check_ring(saved, channel);
		}
		match(saved, channel);
	}
	for (gpadl = saved->gpadls; gpadl != NULL; gpadl = gpadl->next) {
		const struct saved_channel *owner = saved->channels[gpadl->relid];

		if (owner == NULL || owner->state == CHANNEL_IDLE) {
			state_refuse(&gpadl->part, "is of a channel that is not there");
		}
	}
}

/* ---- loading ---- */

/* The pages of all GPADLs. Those of a state that is refused are completed with it. */
static void acquire(const struct saved *saved)
{
	const struct saved_gpadl *from;

	for (from = saved->gpadls; from != NULL; from = from->next) {
		while (from->gpadl->pages_there < from->page_count &&
		       gpadl_acquire_next(saved->bus, from->gpadl)) {
		}
		if (from->gpadl->pages_there < from->page_count) {
			state_refuse(&from->part, "has pages that are not RAM");
			return;
		}
	}
}

/* The last that can be refused: the server has it from here on. */
static void take_page(const struct saved *saved, const struct state_reader *whole)
{
	if (has_interrupt_page(saved->version) &&
	    (saved->interrupt_number > UINT64_MAX / VMBUS_PAGE_SIZE ||
	     signal_take_page(saved->bus, saved->interrupt_number * VMBUS_PAGE_SIZE) != NULL)) {
		state_refuse(whole, "has an interrupt page that cannot be");
	}
}

/* Likewise: what is held by then is let go of again, and the open channels hold it. */
static void try_monitor(const struct saved *saved, const struct state_reader *whole)
{
	uint32_t relid;

	saved->bus->monitor_gpa = saved->monitor_gpa;
	for (relid = 1; relid < VMBUS_MAX_CHANNELS; relid++) {
		if (!saved->monitored[relid] || saved->channels[relid]->state != CHANNEL_OPEN) {
			continue;
		}
		if (monitor_take(saved->bus) != NULL) {
			saved->bus->monitor_gpa = 0;
			state_refuse(whole, "has a monitor page that cannot be");
			return;
		}
		monitor_drop(saved->bus);
	}
}

/* What is still in the lists was not used. */
static void drop(struct saved *saved)
{
	uint32_t relid;

	while (saved->out_first != NULL) {
		struct message *message = saved->out_first;

		saved->out_first = message->next;
		free(message);
	}
	while (saved->gpadls != NULL) {
		struct saved_gpadl *gpadl = saved->gpadls;

		saved->gpadls = gpadl->next;
		if (gpadl->gpadl != NULL) {
			gpadl_free(saved->bus, gpadl->gpadl);
		}
		free(gpadl);
	}
	for (relid = 1; relid < VMBUS_MAX_CHANNELS; relid++) {
		struct saved_channel *channel = saved->channels[relid];

		if (channel != NULL && channel->state == CHANNEL_REVOKED &&
		    channel->channel != NULL) {
			offer_gone_free(channel->channel);
		}
		free(channel);
	}
	free(saved);
}

static void put_at(struct vmbus *bus, struct vmbus_channel *channel, uint32_t relid)
{
	offer_set_number(channel, relid);
	bus->channels[relid] = channel;
	if (relid >= bus->relid_end) {
		bus->relid_end = relid + 1;
	}
}

/* Channels get their old numbers. Those that the guest does not know of yet get what is free. */
static void number_channels(struct saved *saved)
{
	struct vmbus *bus = saved->bus;
	struct vmbus_channel *others[VMBUS_MAX_CHANNELS];
	unsigned int count = 0, i;
	uint32_t relid;

	pthread_mutex_lock(&bus->lock);
	for (relid = 1; relid < bus->relid_end; relid++) {
		struct vmbus_channel *channel = bus->channels[relid];

		if (channel != NULL && !is_taken(saved, channel)) {
			others[count++] = channel;
		}
		bus->channels[relid] = NULL;
	}
	for (relid = 1; relid < VMBUS_MAX_CHANNELS; relid++) {
		if (saved->channels[relid] != NULL) {
			put_at(bus, saved->channels[relid]->channel, relid);
		}
	}
	for (i = 0, relid = 1; i < count; relid++) {
		if (bus->channels[relid] == NULL) {
			put_at(bus, others[i++], relid);
		}
	}
	pthread_mutex_unlock(&bus->lock);
}

/* An open channel is offered until its ring is there. */
static void set_channel(struct saved_channel *from)
{
	struct vmbus_channel *channel = from->channel;

	channel->state = from->state == CHANNEL_OPEN ? CHANNEL_OFFERED : from->state;
	channel->declined = from->declined;
	channel->guest_open = from->guest_open;
	pthread_mutex_lock(&channel->bus->lock);
	channel->notes &= ~(unsigned int)NOTE_OFFER; /* the guest knows of it what it knows */
	pthread_mutex_unlock(&channel->bus->lock);
	if (from->state == CHANNEL_REVOKED) {
		from->channel = NULL; /* it is the server's now */
	}
}

/* In the order of the list. */
static void set_gpadls(struct saved *saved)
{
	struct vmbus *bus = saved->bus;
	struct vmbus_gpadl **end = &bus->gpadls;
	struct saved_gpadl *from;

	pthread_mutex_lock(&bus->lock);
	for (from = saved->gpadls; from != NULL; from = from->next) {
		from->gpadl->channel = bus->channels[from->relid];
		*end = from->gpadl;
		end = &from->gpadl->next;
		gpadl_hash(bus, from->gpadl);
		from->gpadl = NULL;
	}
	pthread_mutex_unlock(&bus->lock);
	bus->gpadl_count = saved->gpadl_count;
	bus->gpadl_pages = saved->gpadl_pages;
}

static void set_messages(struct saved *saved)
{
	struct vmbus *bus = saved->bus;

	pthread_mutex_lock(&bus->lock);
	memcpy(bus->in, saved->in, sizeof(bus->in));
	bus->in_first = 0;
	bus->in_count = saved->in_count;
	pthread_mutex_unlock(&bus->lock);
	queue_clear(bus);
	while (saved->out_first != NULL) {
		struct message *message = saved->out_first;

		saved->out_first = message->next;
		queue_append(bus, message);
	}
}

static void take_over(struct saved *saved)
{
	uint32_t relid;

	number_channels(saved);
	set_gpadls(saved);
	set_messages(saved);
	saved->bus->version = saved->version;
	saved->bus->vp = saved->vp;
	saved->bus->offers_wanted = saved->offers_wanted;
	for (relid = 1; relid < VMBUS_MAX_CHANNELS; relid++) {
		if (saved->channels[relid] != NULL) {
			set_channel(saved->channels[relid]);
		}
	}
}

/* The devices begin paused. */
static int open_channels(struct saved *saved)
{
	uint32_t relid;
	int ret = 0;

	for (relid = 1; relid < VMBUS_MAX_CHANNELS && ret == 0; relid++) {
		const struct saved_channel *from = saved->channels[relid];

		if (from != NULL && from->state == CHANNEL_OPEN) {
			const struct saved_ring *ring = &from->ring;

			ret = channel_reopen(from->channel, &(struct channel_restored){
								    .open = ring->open,
								    .target_vp = ring->target_vp,
								    .read = ring->read,
								    .write = ring->write,
								    .guest_read = ring->guest_read,
								    .waits = ring->waits,
								    .masked = ring->masked,
							    });
		}
	}
	return ret;
}

static bool is_new(const struct vmbus *bus)
{
	return bus->version == 0 && bus->gpadls == NULL && bus->open_count == 0 &&
	       bus->next == NEXT_NOTHING;
}

int vmbus_load(struct vmbus *bus, struct state_reader *list)
{
	struct state_reader whole = state_part(list, "vmbus", VMBUS_STATE_VERSION);
	struct saved *saved = calloc(1, sizeof(*saved));
	int ret = -EINVAL;

	CHECK(bus->paused && is_new(bus));
	if (saved == NULL) {
		return -ENOMEM;
	}
	saved->bus = bus;
	saved->out_end = &saved->out_first;
	saved->gpadls_end = &saved->gpadls;
	read_all(saved, &whole);
	if (state_ok(&whole)) {
		check_channels(saved, &whole);
	}
	if (state_ok(&whole)) {
		acquire(saved);
	}
	if (state_ok(&whole)) {
		try_monitor(saved, &whole);
	}
	if (state_ok(&whole)) {
		take_page(saved, &whole);
	}
	if (state_ok(&whole)) {
		take_over(saved);
		bus->loading = true;
		ret = open_channels(saved);
		bus->loading = false;
	}
	drop(saved);
	if (ret == 0) {
		vmbus_settle(bus);
	} else if (bus->version != 0) {
		vmbus_reset(bus);
	}
	return ret;
}
