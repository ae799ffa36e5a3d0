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

static const struct vmbus_class netvsp_class = {
	.name = "network",
	.max_packet_bytes = 32u << 10,
	.takes_malformed = true,
	VSP_VMBUS_FUNCTIONS,
};

int network_offer(struct network *network, unsigned int index)
{
	static const struct vmbus_guid type = VMBUS_GUID_NETWORK;
	struct vmbus_offer offer = {.type = type, .class = &netvsp_class};

	memcpy(&offer.instance, network->config.instance, sizeof(offer.instance));
	return vsp_offer(&network->channels, index, &offer);
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
	uint64_t open;
	uint32_t flags;
	unsigned int i;

	pthread_mutex_lock(&network->lock);
	open = vsp_open(&network->channels); /* under the lock: the last one to write is right */
	flags = takes(network);
	heard = atomic_exchange(&network->hears, (flags & PORT_HEARS) != 0);
	for (i = 0; i < PORT_STEER; i++) {
		uint8_t queue = network->steer[i];

		__atomic_store_n(&state->steer[i], open >> queue & 1 ? queue : 0, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&state->max_bytes, network->frame_bytes, __ATOMIC_RELAXED);
	__atomic_store_n(&state->takes, flags, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&network->lock);
	netport_kick(network->port);
	if (!heard && flags & PORT_HEARS) {
		vsp_wake_all(&network->channels); /* buffers may be posted */
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
	vsp_wake_all(&network->channels);
}

/* ---- life ---- */

static void network_free(struct network *network)
{
	vsp_device_free(&network->channels);
	free(network->pieces);
	pthread_mutex_destroy(&network->lock);
	free(network);
}

void network_ended(void *owner)
{
	struct network *network = owner;
	void (*ended)(void *context) = network->config.ended;
	void *context = network->config.context;

	network_free(network);
	if (ended != NULL) {
		ended(context);
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
	vsp_device_create(&network->channels, &netvsp_channels, network, bus);
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
	network_free(network);
	return ret;
}

void network_destroy(struct network **where)
{
	struct network *network = *where;

	*where = NULL;
	if (network != NULL) {
		vsp_device_destroy(&network->channels);
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
	stats->channels_open = (unsigned int)__builtin_popcountll(vsp_open(&network->channels));
}
