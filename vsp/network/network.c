/*
 * The public face: adapters, and what the switch is told of them.
 *
 * An adapter lives until it is destroyed and its last offer is released, whichever is later.
 */
#include "vsp/network/netvsp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTION_DEFAULT 6144u
#define SECTION_MIN     128u
#define SECTION_MAX     65536u

int network_offer(struct network *network, unsigned int index)
{
	static const struct vmbus_guid type = VMBUS_GUID_NETWORK;
	struct vmbus_offer offer = {
		.type = type,
		.sub_channel = (uint16_t)index,
		.class = &netvsp_class,
		.device = network,
	};
	struct vmbus_channel *channel;
	int ret;

	memcpy(&offer.instance, network->config.instance, sizeof(offer.instance));
	pthread_mutex_lock(&network->lock);
	ret = vmbus_offer(network->bus, &offer, &channel);
	if (ret == 0) {
		network->offers[index] = channel;
	}
	pthread_mutex_unlock(&network->lock);
	return ret;
}

static void rescind_from(struct network *network, unsigned int first)
{
	unsigned int i;

	for (i = first; i < NET_QUEUES_MAX; i++) {
		if (network->offers[i] != NULL) {
			vmbus_rescind(network->offers[i]);
		}
	}
}

void network_rescind_sub_channels(struct network *network)
{
	pthread_mutex_lock(&network->lock);
	rescind_from(network, 1);
	pthread_mutex_unlock(&network->lock);
}

void network_refuse(struct network *network, enum network_refusal reason)
{
	atomic_fetch_add_explicit(&network->refused[reason], 1, memory_order_relaxed);
}

/* ---- what the switch is told ---- */

static uint32_t takes(const struct network *network)
{
	uint32_t filter = atomic_load(&network->filter), flags = PORT_HEARS;

	if (!atomic_load(&network->running) || network->holds != 0 || filter == 0) {
		return 0;
	}
	if (filter & NDIS_FILTER_PROMISCUOUS) {
		flags |= PORT_TAKES_ALL;
	}
	if (atomic_load(&network->rsc4)) {
		flags |= PORT_TAKES_TCP4 | PORT_TAKES_CSUM;
	}
	if (atomic_load(&network->rsc6)) {
		flags |= PORT_TAKES_TCP6 | PORT_TAKES_CSUM;
	}
	return flags;
}

void network_update_port(struct network *network)
{
	struct port_state *state = network->port->memory;
	bool heard;
	uint32_t flags;
	unsigned int i;

	pthread_mutex_lock(&network->lock);
	flags = takes(network);
	heard = atomic_exchange(&network->hears, (flags & PORT_HEARS) != 0);
	for (i = 0; i < PORT_STEER; i++) {
		uint8_t queue = network->steer[i];

		__atomic_store_n(&state->steer[i], network->open[queue] ? queue : 0,
				 __ATOMIC_RELAXED);
	}
	__atomic_store_n(&state->max_bytes, network->frame_bytes, __ATOMIC_RELAXED);
	__atomic_store_n(&state->takes, flags, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&network->lock);
	netport_kick(network->port);
	if (!heard && flags & PORT_HEARS) {
		netvsp_wake_all(network); /* buffers may be posted */
	}
}

void network_hold(struct network *network, bool hold)
{
	pthread_mutex_lock(&network->lock);
	network->holds += hold ? 1 : -1u;
	pthread_mutex_unlock(&network->lock);
	network_update_port(network);
}

void network_lost(struct network *network)
{
	atomic_store(&network->lost, true);
	netvsp_wake_all(network);
}

/* ---- life ---- */

static void network_free(struct network *network)
{
	void (*ended)(void *context) = network->config.ended;
	void *context = network->config.context;
	unsigned int i;

	for (i = 0; i < NET_QUEUES_MAX; i++) {
		netvsp_join(network->queues[i]);
	}
	free(network->pieces);
	pthread_mutex_destroy(&network->lock);
	free(network);
	if (ended != NULL) {
		ended(context);
	}
}

static bool has_offers(const struct network *network)
{
	unsigned int i;

	for (i = 0; i < NET_QUEUES_MAX; i++) {
		if (network->offers[i] != NULL) {
			return true;
		}
	}
	return false;
}

void network_released(struct network *network, struct vmbus_channel *channel)
{
	unsigned int index = channel_sub_channel(channel);
	bool last;

	pthread_mutex_lock(&network->lock);
	if (network->offers[index] == channel) { /* else the same was offered again meanwhile */
		network->offers[index] = NULL;
	}
	last = network->destroyed && !has_offers(network);
	pthread_mutex_unlock(&network->lock);
	if (last) {
		network_free(network);
	}
}

static bool complete_config(struct network_config *config, const struct netport *port)
{
	if (config->queue_count == 0) {
		config->queue_count = 1;
	}
	if (config->section_bytes == 0) {
		config->section_bytes = SECTION_DEFAULT;
	}
	return config->queue_count <= port->queue_count && config->section_bytes >= SECTION_MIN &&
	       config->section_bytes <= SECTION_MAX && config->section_bytes % 4 == 0;
}

int network_create(struct vmbus *bus, const struct network_config *config,
		   const struct netport *port, struct network **out)
{
	struct network *network = calloc(1, sizeof(*network));
	unsigned int i;
	int ret;

	if (network == NULL) {
		return -ENOMEM;
	}
	network->bus = bus;
	network->config = *config;
	network->port = port;
	network->frame_bytes = NET_FRAME_DEFAULT;
	list_clear(&network->control_free);
	list_clear(&network->replies);
	pthread_mutex_init(&network->lock, NULL);
	if (config->name != NULL) {
		snprintf(network->name, sizeof(network->name), "%s", config->name);
	}
	network->config.name = network->name;
	if (!complete_config(&network->config, port)) {
		ret = -EINVAL;
		goto out_free;
	}
	for (i = 0; i < port->queue_count; i++) {
		ring_at(&network->rings[i].out, port->memory, port->out_slots, port->in_slots,
			2 * i);
		ring_at(&network->rings[i].in, port->memory, port->out_slots, port->in_slots,
			2 * i + 1);
	}
	oid_reset(network);
	ret = network_offer(network, 0);
	if (ret != 0) {
		goto out_free;
	}
	*out = network;
	return 0;
out_free:
	pthread_mutex_destroy(&network->lock);
	free(network);
	return ret;
}

void network_destroy(struct network **where)
{
	struct network *network = *where;
	bool last;

	*where = NULL;
	if (network == NULL) {
		return;
	}
	pthread_mutex_lock(&network->lock);
	rescind_from(network, 0);
	network->destroyed = true;
	last = !has_offers(network);
	pthread_mutex_unlock(&network->lock);
	if (last) {
		network_free(network);
	}
}

void network_get_stats(struct network *network, struct network_stats *stats)
{
	unsigned int i;

	*stats = (struct network_stats){
		.frames_out = atomic_load(&network->frames_out),
		.bytes_out = atomic_load(&network->bytes_out),
		.frames_in = atomic_load(&network->frames_in),
		.bytes_in = atomic_load(&network->bytes_in),
	};
	for (i = 0; i < NETWORK_REFUSALS; i++) {
		stats->refused[i] = atomic_load(&network->refused[i]);
	}
	pthread_mutex_lock(&network->lock);
	stats->channels_open = network->open_count;
	pthread_mutex_unlock(&network->lock);
}
