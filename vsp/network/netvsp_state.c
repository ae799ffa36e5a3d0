/*
 * An adapter as a saved state (lib/state.h), and back. Its bus is paused.
 *
 *   network 1   instance, address of the port, queues, by which it is known again; the handshake: version, largest frame, the guest's capabilities,
 *               RNDIS initialized, running; a change that waits, its transaction, whether that wants an answer; what the guest was told of the link, and is
 *               still to be told; sub-channels asked for, which of them are offered; settings: address, filter, offloads, RSS, multicast addresses
 *     receive 2   if there is one: GPADL, id, bytes, those of a piece; before 2 a piece had two pages at most
 *     send 2      likewise, a piece being a section
 *     given 1     pieces of a packet that the guest has not completed, in order: their numbers
 *     reply 1     a control message that had no room, in order: piece, bytes
 *     queue 1     an open channel: its index, an answer that had no room, sends that are not completed: transaction, status
 *
 * A paused adapter has nothing at the switch. Frames that wait for room in the guest's ring are not
 * saved: they are lost, as frames may be.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vsp/network/netvsp.h"

#define NETWORK_STATE_VERSION 1
#define BUFFER_STATE_VERSION  2
#define GIVEN_STATE_VERSION   1
#define REPLY_STATE_VERSION   1
#define QUEUE_STATE_VERSION   1

/* ---- saving ---- */

static void save_buffer(struct state_writer *writer, const char *name,
			const struct net_buffer *buffer)
{
	size_t part;

	if (buffer->gpadl == NULL) {
		return;
	}
	part = state_begin(writer, name, BUFFER_STATE_VERSION);
	state_put_u32(writer, buffer->handle);
	state_put_u16(writer, buffer->id);
	state_put_u32(writer, gpadl_bytes(buffer->gpadl));
	state_put_u32(writer, buffer->piece_bytes);
	state_end(writer, part);
}

static void save_given(const struct network *network, struct state_writer *writer, uint32_t first)
{
	size_t part = state_begin(writer, "given", GIVEN_STATE_VERSION);
	uint32_t piece;

	for (piece = first; piece != NET_NONE; piece = network->pieces[piece].next) {
		state_put_u32(writer, piece);
	}
	state_end(writer, part);
}

static void save_pieces(const struct network *network, struct state_writer *writer)
{
	uint32_t piece;

	for (piece = 0; piece < network->receive.piece_count; piece++) {
		if (network->pieces[piece].state == PIECE_GIVEN) {
			save_given(network, writer, piece);
		}
	}
	for (piece = network->replies.first; piece != NET_NONE;
	     piece = network->pieces[piece].next) {
		size_t part = state_begin(writer, "reply", REPLY_STATE_VERSION);

		state_put_u32(writer, piece);
		state_put_u32(writer, network->pieces[piece].bytes);
		state_end(writer, part);
	}
}

static void save_queue(const struct net_queue *queue, struct state_writer *writer)
{
	size_t part = state_begin(writer, "queue", QUEUE_STATE_VERSION);
	uint32_t number;

	state_put_u32(writer, queue->index);
	state_put_bool(writer, queue->answering);
	if (queue->answering) {
		state_put_u64(writer, queue->answer.transaction);
		state_put_u32(writer, queue->answer.bytes);
		state_put_bytes(writer, &queue->message, sizeof(queue->message));
	}
	for (number = queue->send_head; number != queue->send_tail; number++) {
		const struct net_send *send = &queue->sends[number % SENDS_MAX];

		if (send->wants_completion) {
			state_put_u64(writer, send->transaction);
			state_put_u32(writer, send->status);
		}
	}
	state_end(writer, part);
}

static void save_settings(const struct network *network, struct state_writer *writer)
{
	state_put_bytes(writer, network->mac, sizeof(network->mac));
	state_put_u32(writer, atomic_load(&network->filter));
	state_put_bytes(writer, &network->offload, sizeof(network->offload));
	state_put_u16(writer, network->rss.flags);
	state_put_u32(writer, network->rss.hash_information);
	state_put_bytes(writer, network->rss_key, sizeof(network->rss_key));
	state_put_bytes(writer, network->steer, sizeof(network->steer));
	state_put_u32(writer, network->multicast_bytes);
	state_put_bytes(writer, network->multicast, network->multicast_bytes);
}

void network_save(struct network *network, struct state_writer *writer)
{
	size_t part = state_begin(writer, "network", NETWORK_STATE_VERSION);
	unsigned int i;

	pthread_mutex_lock(&network->lock);
	state_put_bytes(writer, network->config.instance, sizeof(network->config.instance));
	state_put_bytes(writer, network->port->mac, sizeof(network->port->mac));
	state_put_u32(writer, network->config.queue_count);
	state_put_u32(writer, network->version);
	state_put_u32(writer, network->frame_bytes);
	state_put_u64(writer, network->capabilities);
	state_put_bool(writer, network->initialized);
	state_put_bool(writer, atomic_load(&network->running));
	state_put_u8(writer, (uint8_t)network->change);
	state_put_u64(writer, network->change_transaction);
	state_put_bool(writer, network->change_wants);
	state_put_bool(writer, network->told_link != 0);
	state_put_u32(writer, network->told_speed);
	state_put_bool(writer, network->tell_offload);
	state_put_bool(writer, network->tell_table);
	state_put_u32(writer, network->sub_channels);
	state_put_u16(writer, (uint16_t)(vsp_offered(&network->channels) & ~1ull));
	save_settings(network, writer);
	save_buffer(writer, "receive", &network->receive);
	save_buffer(writer, "send", &network->send);
	save_pieces(network, writer);
	for (i = 0; i < NET_QUEUES_MAX; i++) {
		const struct vsp_channel *vsp = vsp_open_channel(&network->channels, i);

		if (vsp != NULL) {
			save_queue((const struct net_queue *)vsp, writer);
		}
	}
	pthread_mutex_unlock(&network->lock);
	state_end(writer, part);
}

/* ---- reading ---- */

struct saved_buffer {
	bool there;
	uint32_t handle, bytes, piece_bytes, piece_count;
	uint16_t id;
};

struct saved_queue {
	bool there, answering;
	uint64_t answer_transaction;
	uint32_t answer_bytes;
	struct nvsp_message message;
	uint32_t send_count;
	struct {
		uint64_t transaction;
		uint32_t status;
	} sends[SENDS_MAX];
};

/* What is in a state, checked; until the primary channel is opened. */
struct net_saved {
	uint32_t version, frame_bytes, told_speed, sub_channels, filter, hash_information,
		multicast_bytes;
	uint64_t capabilities, change_transaction;
	bool initialized, running, change_wants, told_link, tell_offload, tell_table;
	enum net_change change;
	uint16_t offered, rss_flags;
	uint8_t mac[6], rss_key[40], steer[PORT_STEER], multicast[NET_MULTICAST_BYTES];
	struct ndis_offload_parameters offload;
	struct saved_buffer receive, send;
	struct net_piece *
		pieces; /* receive.piece_count of them, with GIVEN, BEHIND and, of replies, FILLED */
	struct net_list replies;
	struct saved_queue queues[NET_QUEUES_MAX];
};

void netvsp_saved_free(struct net_saved *saved)
{
	if (saved != NULL) {
		free(saved->pieces);
		free(saved);
	}
}

void network_read_identity(struct state_reader *part, uint8_t instance[16], uint8_t mac[6])
{
	state_bytes(part, instance, 16);
	state_bytes(part, mac, 6);
}

static void check_identity(const struct network *network, struct state_reader *part)
{
	uint8_t instance[16], mac[6];
	uint32_t queues;

	network_read_identity(part, instance, mac);
	queues = state_u32(part);
	if (memcmp(instance, network->config.instance, sizeof(instance)) != 0 ||
	    memcmp(mac, network->port->mac, sizeof(mac)) != 0 ||
	    queues != network->config.queue_count) {
		state_refuse(part, "is of another adapter");
	}
}

static void read_handshake(const struct network *network, struct net_saved *saved,
			   struct state_reader *part)
{
	unsigned int change;

	saved->version = state_u32(part);
	saved->frame_bytes = state_u32(part);
	saved->capabilities = state_u64(part);
	saved->initialized = state_bool(part);
	saved->running = state_bool(part);
	change = state_u8(part);
	saved->change = (enum net_change)change;
	saved->change_transaction = state_u64(part);
	saved->change_wants = state_bool(part);
	saved->told_link = state_bool(part);
	saved->told_speed = state_u32(part);
	saved->tell_offload = state_bool(part);
	saved->tell_table = state_bool(part);
	saved->sub_channels = state_u32(part);
	saved->offered = state_u16(part);
	if (saved->version != 0 && !nvsp_knows_version(saved->version)) {
		state_refuse(part, "has a version that nobody speaks");
	}
	if (saved->frame_bytes < NET_FRAME_DEFAULT || saved->frame_bytes > PORT_FRAME_MAX ||
	    change > CHANGE_HALT || (saved->running && (!saved->initialized || change != 0))) {
		state_refuse(part, "has a handshake that cannot be");
	}
	if (saved->sub_channels >= NET_QUEUES_MAX ||
	    saved->sub_channels >= network->config.queue_count || saved->offered & 1 ||
	    saved->offered >> (saved->sub_channels + 1) != 0) {
		state_refuse(part, "has sub-channels that cannot be");
	}
}

static void read_settings(const struct network *network, struct net_saved *saved,
			  struct state_reader *part)
{
	unsigned int i;

	state_bytes(part, saved->mac, sizeof(saved->mac));
	saved->filter = state_u32(part);
	state_bytes(part, &saved->offload, sizeof(saved->offload));
	saved->rss_flags = state_u16(part);
	saved->hash_information = state_u32(part);
	state_bytes(part, saved->rss_key, sizeof(saved->rss_key));
	state_bytes(part, saved->steer, sizeof(saved->steer));
	saved->multicast_bytes = state_u32(part);
	if (saved->multicast_bytes > sizeof(saved->multicast)) {
		state_refuse(part, "has more multicast addresses than there may be");
		return;
	}
	state_bytes(part, saved->multicast, saved->multicast_bytes);
	for (i = 0; i < PORT_STEER; i++) {
		if (saved->steer[i] >= network->config.queue_count) {
			state_refuse(part, "has a table with a queue that is not there");
			return;
		}
	}
}

static void read_buffer(struct state_reader *whole, const char *name, struct saved_buffer *buffer)
{
	struct state_reader part;

	if (!state_next_named(whole, name, BUFFER_STATE_VERSION, &part)) {
		return;
	}
	buffer->there = true;
	buffer->handle = state_u32(&part);
	buffer->id = state_u16(&part);
	buffer->bytes = state_u32(&part);
	buffer->piece_bytes = state_u32(&part);
	if (buffer->piece_bytes == 0) {
		state_refuse(&part, "has sections of no size");
		return;
	}
	buffer->piece_count = buffer->bytes / buffer->piece_bytes;
	if (buffer->piece_count > NET_PIECES_MAX) {
		buffer->piece_count = NET_PIECES_MAX;
	}
	state_finish(&part);
}

static void check_buffers(const struct network *network, struct net_saved *saved,
			  const struct state_reader *whole)
{
	const struct saved_buffer *receive = &saved->receive, *send = &saved->send;

	if ((receive->there && (!nvsp_is_piece(saved->frame_bytes, receive->piece_bytes) ||
				receive->piece_count < NET_PIECES_MIN)) ||
	    (send->there && send->piece_bytes != network->config.section_bytes) ||
	    (saved->version == 0 && (receive->there || send->there || saved->initialized)) ||
	    (saved->running && !receive->there) ||
	    (saved->change == CHANGE_REVOKE_RECEIVE && saved->version == 0)) {
		state_refuse(whole, "has buffers that cannot be");
	}
}

/* Which queue has the piece; NET_NONE: control messages have it. */
static uint32_t owner_of(const struct network *network, const struct net_saved *saved,
			 uint32_t piece)
{
	uint32_t queues = saved->version >= NVSP_VERSION_5 ? network->config.queue_count : 1;
	uint32_t share = (saved->receive.piece_count - NET_CONTROL_PIECES) / queues;

	return piece < NET_CONTROL_PIECES || share == 0 ? NET_NONE
							: (piece - NET_CONTROL_PIECES) / share;
}

/* A piece that nothing else of the state has. False: refused. */
static bool take_piece(struct net_saved *saved, struct state_reader *part, uint32_t piece,
		       uint8_t state)
{
	if (piece >= saved->receive.piece_count || saved->pieces == NULL ||
	    saved->pieces[piece].state != PIECE_FREE) {
		state_refuse(part, "has a piece that is not there, or twice");
		return false;
	}
	saved->pieces[piece].state = state;
	saved->pieces[piece].next = NET_NONE;
	return true;
}

static void read_given(const struct network *network, struct net_saved *saved,
		       struct state_reader *part)
{
	uint32_t first = state_u32(part), before = first;

	if (!take_piece(saved, part, first, PIECE_GIVEN)) {
		return;
	}
	while (state_left(part) != 0) {
		uint32_t piece = state_u32(part);

		if (!take_piece(saved, part, piece, PIECE_BEHIND)) {
			return;
		}
		if (owner_of(network, saved, piece) != owner_of(network, saved, first) ||
		    first < NET_CONTROL_PIECES) {
			state_refuse(part, "has pieces of several queues");
			return;
		}
		saved->pieces[before].next = piece;
		before = piece;
	}
	state_finish(part);
}

static void read_reply(struct net_saved *saved, struct state_reader *part)
{
	uint32_t piece = state_u32(part), bytes = state_u32(part);

	if (piece >= NET_CONTROL_PIECES || bytes > REPLY_BYTES) {
		state_refuse(part, "is no control message");
	} else if (take_piece(saved, part, piece, PIECE_FILLED)) {
		saved->pieces[piece].bytes = bytes;
		if (saved->replies.first == NET_NONE) {
			saved->replies.first = piece;
		} else {
			saved->pieces[saved->replies.last].next = piece;
		}
		saved->replies.last = piece;
	}
	state_finish(part);
}

static void read_pieces(const struct network *network, struct net_saved *saved,
			struct state_reader *whole)
{
	struct state_reader part;

	list_clear(&saved->replies);
	if (saved->receive.there && state_ok(whole)) {
		saved->pieces = calloc(saved->receive.piece_count, sizeof(saved->pieces[0]));
		if (saved->pieces == NULL) {
			state_refuse(whole, "finds no memory");
		}
	}
	while (state_next_named(whole, "given", GIVEN_STATE_VERSION, &part)) {
		read_given(network, saved, &part);
	}
	while (state_next_named(whole, "reply", REPLY_STATE_VERSION, &part)) {
		read_reply(saved, &part);
	}
}

static void read_queue(struct net_saved *saved, struct state_reader *part)
{
	uint32_t index = state_u32(part);
	struct saved_queue *queue;

	if (index >= NET_QUEUES_MAX || saved->queues[index].there ||
	    (index != 0 && (!(saved->offered >> index & 1) || !saved->queues[0].there))) {
		state_refuse(part, "is of a channel that is not offered");
		return;
	}
	queue = &saved->queues[index];
	queue->there = true;
	queue->answering = state_bool(part);
	if (queue->answering) {
		queue->answer_transaction = state_u64(part);
		queue->answer_bytes = state_u32(part);
		state_bytes(part, &queue->message, sizeof(queue->message));
		if (queue->answer_bytes > sizeof(queue->message)) {
			state_refuse(part, "has an answer that is too long");
		}
	}
	while (state_left(part) != 0) {
		if (queue->send_count == SENDS_MAX) {
			state_refuse(part, "has more sends than there may be");
			return;
		}
		queue->sends[queue->send_count].transaction = state_u64(part);
		queue->sends[queue->send_count++].status = state_u32(part);
	}
	state_finish(part);
}

static void read_all(const struct network *network, struct net_saved *saved,
		     struct state_reader *whole)
{
	struct state_reader part;

	check_identity(network, whole);
	read_handshake(network, saved, whole);
	read_settings(network, saved, whole);
	read_buffer(whole, "receive", &saved->receive);
	read_buffer(whole, "send", &saved->send);
	check_buffers(network, saved, whole);
	read_pieces(network, saved, whole);
	while (state_next_named(whole, "queue", QUEUE_STATE_VERSION, &part)) {
		read_queue(saved, &part);
	}
	if (!saved->queues[0].there && saved->version != 0) {
		state_refuse(whole, "has a handshake without a channel");
	}
	state_finish(whole);
}

/* ---- loading ---- */

static int find_buffer(struct vmbus_channel *channel, const struct saved_buffer *saved,
		       struct net_buffer *buffer)
{
	if (!saved->there) {
		return 0;
	}
	buffer->gpadl = channel_gpadl_get(channel, saved->handle);
	if (buffer->gpadl == NULL || gpadl_bytes(buffer->gpadl) != saved->bytes) {
		return -EINVAL;
	}
	buffer->handle = saved->handle;
	buffer->id = saved->id;
	buffer->piece_bytes = saved->piece_bytes;
	buffer->piece_count = saved->piece_count;
	return 0;
}

static void restore_pieces(struct network *network, struct net_saved *saved)
{
	uint32_t i;

	network->pieces = saved->pieces;
	saved->pieces = NULL;
	network->generation++;
	network->replies = saved->replies;
	for (i = 0; network->pieces != NULL && i < NET_CONTROL_PIECES; i++) {
		if (network->pieces[i].state == PIECE_FREE) {
			list_append(network, &network->control_free, i);
		}
	}
}

static void restore_settings(struct network *network, const struct net_saved *saved)
{
	memcpy(network->mac, saved->mac, sizeof(network->mac));
	memcpy(network->multicast, saved->multicast, sizeof(network->multicast));
	network->multicast_bytes = saved->multicast_bytes;
	network->offload = saved->offload;
	atomic_store(&network->filter, saved->filter);
	atomic_store(&network->rsc4, saved->offload.rsc4 == 2);
	atomic_store(&network->rsc6, saved->offload.rsc6 == 2);
	pthread_mutex_lock(&network->lock);
	memcpy(network->rss_key, saved->rss_key, sizeof(network->rss_key));
	network->rss.flags = saved->rss_flags;
	network->rss.hash_information = saved->hash_information;
	memcpy(network->steer, saved->steer, sizeof(network->steer));
	pthread_mutex_unlock(&network->lock);
}

static int restore_primary(struct network *network, struct vmbus_channel *channel)
{
	struct net_saved *saved = network->saved;
	struct net_buffer receive = {0}, send = {0};
	int ret = find_buffer(channel, &saved->receive, &receive);

	if (ret == 0) {
		ret = find_buffer(channel, &saved->send, &send);
	}
	if (ret != 0) {
		if (receive.gpadl != NULL) {
			channel_gpadl_put(channel, receive.gpadl);
		}
		if (send.gpadl != NULL) {
			channel_gpadl_put(channel, send.gpadl);
		}
		return ret;
	}
	network->receive = receive;
	network->send = send;
	network->version = saved->version;
	network->frame_bytes = saved->frame_bytes;
	network->capabilities = saved->capabilities;
	network->initialized = saved->initialized;
	network->change = saved->change;
	network->change_transaction = saved->change_transaction;
	network->change_wants = saved->change_wants;
	network->told_link = saved->told_link;
	network->told_speed = saved->told_speed;
	network->tell_offload = saved->tell_offload;
	network->tell_table = saved->tell_table;
	network->tell_network = saved->initialized; /* it may be another one now */
	network->sub_channels = saved->sub_channels;
	restore_pieces(network, saved);
	restore_settings(network, saved);
	atomic_store(&network->running, saved->running);
	return 0;
}

static void restore_queue(struct net_queue *queue, const struct saved_queue *saved)
{
	uint32_t i;

	if (saved->answering) {
		queue->answering = queue->answer_again = true;
		queue->message = saved->message;
		queue->answer = (struct vsp_answer){.transaction = saved->answer_transaction,
						    .payload = &queue->message,
						    .bytes = saved->answer_bytes};
	}
	for (i = 0; i < saved->send_count; i++) {
		queue->sends[i] = (struct net_send){.transaction = saved->sends[i].transaction,
						    .status = saved->sends[i].status,
						    .wants_completion = true};
	}
	queue->send_tail = queue->send_answered = saved->send_count;
}

int netvsp_restore(struct net_queue *queue, struct vmbus_channel *channel)
{
	struct network *network = queue->network;
	int ret;

	if (queue->index != 0) {
		return 0;
	}
	ret = restore_primary(network, channel);
	netvsp_saved_free(network->saved);
	network->saved = NULL;
	return ret;
}

/* The channels that were open have what they had; the rest waits for the primary one to be
 * opened. */
static int load_queues(struct network *network, const struct net_saved *saved)
{
	struct vsp_channel *queues[NET_QUEUES_MAX] = {NULL};
	unsigned int i;
	int ret = 0;

	for (i = 0; i < NET_QUEUES_MAX && ret == 0; i++) {
		if (saved->queues[i].there) {
			ret = netvsp_queue_create(network, i, &queues[i]);
		}
		if (i != 0 && ret == 0 && saved->offered >> i & 1) {
			ret = network_offer(network, i);
		}
	}
	for (i = 0; i < NET_QUEUES_MAX; i++) {
		if (queues[i] != NULL && ret == 0) {
			restore_queue((struct net_queue *)queues[i], &saved->queues[i]);
			vsp_load(&network->channels, i, queues[i]);
		} else if (queues[i] != NULL) {
			netvsp_channels.free(queues[i]);
		}
	}
	if (ret != 0) {
		vsp_rescind_sub_channels(&network->channels);
	}
	return ret;
}

int network_load(struct network *network, struct state_reader *list)
{
	struct state_reader whole = state_part(list, "network", NETWORK_STATE_VERSION);
	struct net_saved *saved = calloc(1, sizeof(*saved));
	int ret = -EINVAL;

	CHECK(vsp_open(&network->channels) == 0 && network->saved == NULL);
	if (saved == NULL) {
		return -ENOMEM;
	}
	read_all(network, saved, &whole);
	if (state_ok(&whole)) {
		ret = load_queues(network, saved);
	}
	if (ret != 0) {
		netvsp_saved_free(saved);
		return ret;
	}
	network->saved = saved;
	return 0;
}
