/*
 * Offers: making and withdrawing them, and what of them the guest knows. The states are in
 * server.h.
 *
 * A number (relid) belongs to a channel from vmbus_offer() until nobody knows of it any more:
 * device and guest both. So a channel keeps its number when its guest starts anew, and a number is
 * not used again while the guest may still mean the old channel by it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmbus/server.h"

static bool is_same(const struct vmbus_channel_offer *a, const struct vmbus_channel_offer *b)
{
	return memcmp(&a->if_type, &b->if_type, sizeof(a->if_type)) == 0 &&
	       memcmp(&a->if_instance, &b->if_instance, sizeof(a->if_instance)) == 0 &&
	       a->sub_channel_index == b->sub_channel_index;
}

static void fill_in(struct vmbus_channel *channel, struct vmbus *bus,
		    const struct vmbus_offer *offer)
{
	channel->bus = bus;
	channel->offer = (struct vmbus_channel_offer){
		.if_type = offer->type,
		.if_instance = offer->instance,
		.chn_flags = offer->flags,
		.mmio_megabytes = offer->mmio_megabytes,
		.sub_channel_index = offer->sub_channel,
	};
	memcpy(channel->offer.user_def, offer->user_def, sizeof(offer->user_def));
	channel->class = offer->class;
	channel->device = offer->device;
	channel->by_page = offer->by_page;
	channel->log_is_kept = vmbus_host_log_is_kept(bus->host);
	channel->event = -1;
	atomic_init(&channel->shut, true);
	pthread_mutex_init(&channel->signal_lock, NULL);
}

void offer_set_number(struct vmbus_channel *channel, uint32_t relid)
{
	channel->relid = relid;
	channel->connection_id = relid | VMBUS_MESSAGE_SINT << 12;
}

/* Under the lock. Gives the channel the lowest free number. */
static int take_number(struct vmbus *bus, struct vmbus_channel *channel)
{
	uint32_t relid, lowest = bus->relid_end > 0 ? bus->relid_end : 1;

	for (relid = bus->relid_end; relid-- > 1;) {
		struct vmbus_channel *other = bus->channels[relid];

		if (other == NULL) {
			lowest = relid;
		} else if (!other->withdrawn && is_same(&other->offer, &channel->offer)) {
			return -EEXIST;
		}
	}
	if (lowest == VMBUS_MAX_CHANNELS) {
		return -ENOSPC;
	}
	if (lowest >= bus->relid_end) {
		bus->relid_end = lowest + 1;
	}
	offer_set_number(channel, lowest);
	bus->channels[lowest] = channel;
	return 0;
}

int vmbus_offer(struct vmbus *bus, const struct vmbus_offer *offer, struct vmbus_channel **out)
{
	struct vmbus_channel *channel = calloc(1, sizeof(*channel));
	int ret;

	CHECK(offer->class->max_packet_bytes <= SERVER_MAX_PACKET);
	if (channel == NULL) {
		return -ENOMEM;
	}
	fill_in(channel, bus, offer);
	pthread_mutex_lock(&bus->lock);
	ret = take_number(bus, channel);
	if (ret == 0) {
		*out = channel;
	}
	pthread_mutex_unlock(&bus->lock);
	if (ret != 0) {
		pthread_mutex_destroy(&channel->signal_lock);
		free(channel);
		return ret;
	}
	note_post(channel, NOTE_OFFER);
	return 0;
}

static void withdraw(struct vmbus_channel *channel, bool lingers)
{
	pthread_mutex_lock(&channel->bus->lock);
	channel->lingers = lingers && (channel->lingers || !channel->withdrawn);
	channel->withdrawn = true;
	pthread_mutex_unlock(&channel->bus->lock);
	note_post(channel, NOTE_RESCIND);
}

void vmbus_rescind(struct vmbus_channel *channel)
{
	withdraw(channel, false);
}

void vmbus_withdraw(struct vmbus_channel *channel)
{
	withdraw(channel, true);
}

static bool lingers(struct vmbus_channel *channel)
{
	bool it;

	pthread_mutex_lock(&channel->bus->lock);
	it = channel->lingers;
	pthread_mutex_unlock(&channel->bus->lock);
	return it;
}

/* Does the guest still know of a channel that was withdrawn, and of which this is the successor? */
static bool has_predecessor(struct vmbus *bus, const struct vmbus_channel *channel)
{
	uint32_t relid;
	bool found = false;

	pthread_mutex_lock(&bus->lock);
	for (relid = 1; relid < bus->relid_end && !found; relid++) {
		const struct vmbus_channel *other = bus->channels[relid];

		found = other != NULL && other != channel && other->withdrawn &&
			is_same(&other->offer, &channel->offer);
	}
	pthread_mutex_unlock(&bus->lock);
	return found;
}

/*
 * The guest takes an offer with the GUIDs of a channel that it knows for that channel, so a
 * successor waits until the number of the old one is released.
 */
static void send_offer(struct vmbus_channel *channel)
{
	struct vmbus_channel_offer_channel message = {
		.header.msgtype = CHANNELMSG_OFFERCHANNEL,
		.offer = channel->offer,
		.child_relid = channel->relid,
	};

	if (channel->bus->version > VERSION_WS2008) { /* which has not got the fields */
		message.is_dedicated_interrupt = 1;
		message.connection_id = channel->connection_id;
	}
	if (monitor_has_bit(channel, channel->relid)) {
		message.monitorid = (uint8_t)channel->relid;
		message.monitor_allocated = 1;
	}
	if (has_predecessor(channel->bus, channel)) {
		return;
	}
	channel->state = CHANNEL_OFFERED;
	queue_post(channel->bus, &message, sizeof(message));
}

struct vmbus_channel *offer_next(struct vmbus *bus, uint32_t relid)
{
	struct vmbus_channel *channel = NULL;

	pthread_mutex_lock(&bus->lock);
	for (; relid < bus->relid_end && channel == NULL; relid++) {
		channel = bus->channels[relid];
	}
	pthread_mutex_unlock(&bus->lock);
	return channel;
}

void offer_all(struct vmbus *bus)
{
	struct vmbus_channel *channel = offer_next(bus, 1);

	for (; channel != NULL; channel = offer_next(bus, channel->relid + 1)) {
		if (channel->state == CHANNEL_IDLE && !channel->declined) {
			send_offer(channel);
		}
	}
}

/* What the guest's protocols asked for is gone with the guest. */
static bool ends_with_connection(const struct vmbus_channel *channel)
{
	return channel->offer.sub_channel_index != 0 ||
	       (channel->offer.chn_flags & VMBUS_CHANNEL_TLNPI_PROVIDER_OFFER);
}

bool offer_new(struct vmbus_channel *channel)
{
	struct vmbus *bus = channel->bus;

	if (bus->offers_wanted) {
		if (channel->state == CHANNEL_IDLE) {
			send_offer(channel);
		}
	} else if (ends_with_connection(channel)) {
		offer_revoke(channel);
		offer_free(channel);
		return false;
	}
	return true;
}

static void send_rescind(struct vmbus_channel *channel)
{
	struct vmbus_channel_relid message = {.header.msgtype = CHANNELMSG_RESCIND_CHANNELOFFER,
					      .child_relid = channel->relid};

	queue_post(channel->bus, &message, sizeof(message));
}

void offer_revoke(struct vmbus_channel *channel)
{
	if (channel->state == CHANNEL_REVOKED) {
		return;
	}
	channel->state = CHANNEL_REVOKED;
	if (channel->class->released != NULL) {
		channel->class->released(channel->device, channel);
	}
}

void offer_rescind(struct vmbus_channel *channel)
{
	if (channel->rescinded) {
		/* It has lingered long enough. */
		if (channel->state == CHANNEL_OPEN && !lingers(channel)) {
			channel_close(channel);
		}
		return;
	}
	channel->rescinded = true;
	if (channel->state == CHANNEL_IDLE) {
		offer_revoke(channel);
		offer_free(channel);
		return;
	}
	if (channel->bus->version != 0) {
		send_rescind(channel);
	}
	if (channel->state == CHANNEL_OPEN) {
		if (!lingers(channel)) {
			channel_close(channel);
		}
	} else if (channel->state != CHANNEL_CLOSING) {
		offer_revoke(channel);
	}
}

struct vmbus_channel *offer_gone(struct vmbus *bus, const struct vmbus_guid *type,
				 const struct vmbus_guid *instance, uint16_t sub_channel)
{
	static const struct vmbus_class class = {.name = "withdrawn"};
	struct vmbus_channel *channel = calloc(1, sizeof(*channel));

	if (channel != NULL) {
		fill_in(channel, bus,
			&(struct vmbus_offer){.type = *type,
					      .instance = *instance,
					      .sub_channel = sub_channel,
					      .class = &class});
		channel->state = CHANNEL_REVOKED;
		channel->rescinded = true;
		channel->withdrawn = true;
	}
	return channel;
}

void offer_gone_free(struct vmbus_channel *channel)
{
	pthread_mutex_destroy(&channel->signal_lock);
	free(channel);
}

static void unnote(struct vmbus *bus, const struct vmbus_channel *channel)
{
	struct vmbus_channel **link = &bus->noted;

	while (*link != NULL && *link != channel) {
		link = &(*link)->next_noted;
	}
	if (*link != NULL) {
		*link = channel->next_noted;
	}
}

/* Whoever waited for its number to be free is offered now. */
void offer_free(struct vmbus_channel *channel)
{
	struct vmbus *bus = channel->bus;

	gpadl_free_all(bus, channel);
	pthread_mutex_lock(&bus->lock);
	bus->channels[channel->relid] = NULL;
	unnote(bus, channel);
	pthread_mutex_unlock(&bus->lock);
	pthread_mutex_destroy(&channel->signal_lock);
	free(channel);
	if (bus->offers_wanted) {
		offer_all(bus);
	}
}

void offer_release_message(struct vmbus *bus, const struct vmbus_channel_relid *message)
{
	struct vmbus_channel *channel = channel_find(bus, message->child_relid);

	if (channel != NULL && channel->state == CHANNEL_OPEN && channel->rescinded) {
		channel->released = true;
		channel_close(channel); /* without a word, but it has no more use for it */
	} else if (channel == NULL || channel->state == CHANNEL_OPEN) {
		server_complain(bus, "the guest releases channel %u, which it cannot",
				message->child_relid);
	} else if (channel->state == CHANNEL_CLOSING) {
		channel->released = true;
	} else if (channel->state == CHANNEL_REVOKED) {
		offer_free(channel);
	} else {
		channel->declined = true;
		channel->state = CHANNEL_IDLE;
	}
}

void offer_forget_all(struct vmbus *bus)
{
	struct vmbus_channel *channel;
	uint32_t relid;

	for (relid = 1; (channel = offer_next(bus, relid)) != NULL;) {
		relid = channel->relid + 1;
		channel->declined = false;
		if (channel->rescinded || ends_with_connection(channel)) {
			offer_revoke(channel);
			offer_free(channel);
		} else {
			channel->state = CHANNEL_IDLE;
		}
	}
}
