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
	struct vmbus_offer offer = {
		.type = type, .class = &netvsp_class, .by_page = network->config.by_page};

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

	if (!atomic_load(&network->running) || network->holds != 0 || filter == 0 ||
	    network->leaving) {
		return 0;
	}
	if (atomic_load(&network->elsewhere) && atomic_load(&network->vf) != 0) {
		return PORT_ELSEWHERE;
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

/* Of several queues. enum port_hash */
static uint32_t hash_types(const struct network *network)
{
	uint32_t hash = network->rss.hash_information;

	if (network->rss.flags & NDIS_RSS_DISABLE || !(hash & NDIS_HASH_TOEPLITZ)) {
		return 0;
	}
	return (hash & NDIS_HASH_IPV4 ? PORT_HASH_IP4 : 0) |
	       (hash & NDIS_HASH_TCP_IPV4 ? PORT_HASH_TCP4 : 0) |
	       (hash & NDIS_HASH_IPV6 ? PORT_HASH_IP6 : 0) |
	       (hash & NDIS_HASH_TCP_IPV6 ? PORT_HASH_TCP6 : 0);
}

/* Under the lock: the last one to write is right. True: buffers may be posted, for the first
 * time. */
static bool update_locked(struct network *network)
{
	struct port_state *state = network->port->memory;
	uint64_t open = vsp_open(&network->channels);
	uint32_t flags = takes(network);
	bool heard;
	unsigned int i;

	heard = atomic_exchange(&network->hears, (flags & PORT_HEARS) != 0);
	for (i = 0; i < PORT_STEER; i++) {
		uint8_t queue = network->steer[i];

		__atomic_store_n(&state->steer[i], open >> queue & 1 ? queue : 0, __ATOMIC_RELAXED);
	}
	for (i = 0; i < PORT_HASH_KEY; i++) {
		__atomic_store_n(&state->hash_key[i], network->rss_key[i], __ATOMIC_RELAXED);
	}
	__atomic_store_n(&state->hash_types, hash_types(network), __ATOMIC_RELAXED);
	__atomic_store_n(&state->max_bytes, network->frame_bytes, __ATOMIC_RELAXED);
	__atomic_store_n(&state->takes, flags, __ATOMIC_RELEASE);
	netport_kick(network->port);
	return !heard && flags & PORT_HEARS;
}

void network_update_port(struct network *network)
{
	bool begins;

	pthread_mutex_lock(&network->lock);
	begins = update_locked(network);
	pthread_mutex_unlock(&network->lock);
	if (begins) {
		vsp_wake_all(&network->channels);
	}
}

void network_hold(struct network *network, bool hold)
{
	pthread_mutex_lock(&network->lock);
	network->holds += hold ? 1 : -1u;
	pthread_mutex_unlock(&network->lock);
	network_update_port(network);
}

void network_associate(struct network *network, uint32_t serial)
{
	pthread_mutex_lock(&network->lock);
	atomic_store(&network->vf, serial);
	/* What a guest hears on the adapter it takes, whichever way it sends. */
	if (!network->ended) {
		(void)update_locked(network);
	}
	pthread_mutex_unlock(&network->lock);
	vsp_wake_all(&network->channels);
}

void network_lost(struct network *network)
{
	atomic_store(&network->lost, true);
	vsp_wake_all(&network->channels);
}

void network_broken(struct network *network)
{
	netport_break(network->port);
	network_lost(network);
}

/* ---- another port ---- */

static void set_rings(struct network *network)
{
	const struct netport *port = network->port;
	unsigned int i;

	for (i = 0; i < port->queue_count; i++) {
		ring_at(&network->rings[i].out, port->memory, port->out_slots, port->in_slots,
			2 * i);
		ring_at(&network->rings[i].in, port->memory, port->out_slots, port->in_slots,
			2 * i + 1);
	}
}

/*
 * Who begins to take part counts itself, then reads `lost`: so while that is set and nobody is
 * counted, rings and port are nobody's. The primary channel's thread reads the port at other times
 * too, so while there is one the change is its own.
 */
static bool take_port_locked(struct network *network, bool primary)
{
	if (network->next_port == NULL || primary != network->primary ||
	    !atomic_load(&network->lost) || atomic_load(&network->users) != 0) {
		return false;
	}
	network->port = network->next_port;
	atomic_store(&network->next_port, NULL);
	set_rings(network);
	atomic_store(&network->lost, false);
	pthread_cond_broadcast(&network->changed);
	return true;
}

bool network_take_port(struct network *network, bool primary)
{
	bool taken;

	pthread_mutex_lock(&network->lock);
	taken = take_port_locked(network, primary);
	pthread_mutex_unlock(&network->lock);
	if (taken) {
		network_update_port(network);
		vsp_wake_all(&network->channels);
	}
	return taken;
}

int network_connect(struct network *network, const struct netport *port)
{
	const struct netport *old = network->port;

	if (!atomic_load(&network->lost)) {
		return -EISCONN;
	}
	if (port->queue_count != old->queue_count || port->out_slots != old->out_slots ||
	    port->in_slots != old->in_slots ||
	    memcmp(port->mac, old->mac, sizeof(port->mac)) != 0) {
		return -EINVAL;
	}
	atomic_store(&network->next_port, port);
	/* With no channel open nobody else does it; else one of their threads, when the last user
	 * has left. */
	(void)network_take_port(network, false);
	vsp_wake_all(&network->channels);
	pthread_mutex_lock(&network->lock);
	while (network->next_port != NULL) {
		pthread_cond_wait(&network->changed, &network->lock);
	}
	pthread_mutex_unlock(&network->lock);
	return 0;
}

/* ---- life ---- */

/* Under the lock: is this the moment, which comes once, at which nobody uses the port any more? */
static bool is_end(struct network *network)
{
	bool end = network->removed && network->threads == 0 && !network->ended;

	network->ended |= end;
	return end;
}

/* Of a copy: once the port is said to be unused the adapter may go. */
static void say_ended(const struct network_config *config)
{
	if (config->ended != NULL) {
		config->ended(config->context);
	}
}

int network_thread_begins(struct network *network, unsigned int index)
{
	int ret = 0;

	pthread_mutex_lock(&network->lock);
	if (network->removed) {
		ret = -ENODEV;
	} else {
		network->threads++;
		network->primary |= index == 0;
	}
	pthread_mutex_unlock(&network->lock);
	return ret;
}

void network_thread_ended(struct network *network)
{
	struct network_config config;
	bool end;

	pthread_mutex_lock(&network->lock);
	network->threads--;
	config = network->config;
	end = is_end(network);
	pthread_mutex_unlock(&network->lock);
	if (end) {
		say_ended(&config);
	}
}

static void network_free(struct network *network)
{
	vsp_device_free(&network->channels);
	netvsp_saved_free(network->saved);
	free(network->pieces);
	pthread_cond_destroy(&network->changed);
	pthread_mutex_destroy(&network->lock);
	free(network);
}

void network_ended(void *owner)
{
	network_free(owner);
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
	pthread_cond_init(&network->changed, NULL);
	if (config->name != NULL) {
		snprintf(network->name, sizeof(network->name), "%s", config->name);
	}
	network->config.name = network->name;
	if (!complete_config(&network->config, port)) {
		ret = -EINVAL;
		goto out_free;
	}
	set_rings(network);
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

void network_disconnect(struct network *network)
{
	pthread_mutex_lock(&network->lock);
	if (!network->ended) { /* else there is no port any more */
		atomic_store(&network->leaving, true);
		(void)update_locked(network);
	}
	pthread_mutex_unlock(&network->lock);
	vsp_wake_all(&network->channels);
}

static void remove_adapter(struct network *network, bool waits)
{
	struct network_config config;
	bool end;

	network_disconnect(network);
	pthread_mutex_lock(&network->lock);
	network->removed = true;
	config = network->config;
	end = is_end(network);
	pthread_mutex_unlock(&network->lock);
	vsp_device_withdraw(&network->channels, waits);
	if (end) {
		say_ended(&config);
	}
}

void network_withdraw(struct network *network)
{
	remove_adapter(network, true);
}

void network_remove(struct network *network)
{
	remove_adapter(network, false);
}

void network_destroy(struct network **where)
{
	struct network *network = *where;

	*where = NULL;
	if (network != NULL) {
		network_remove(network);
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
	stats->elsewhere = atomic_load(&network->elsewhere) && atomic_load(&network->vf) != 0;
	stats->channels_open = (unsigned int)__builtin_popcountll(vsp_open(&network->channels));
}
