/*
 * NVSP: what a packet of the guest's asks for, and the answer. A packet is a copy, so it is looked
 * at once.
 *
 * Whatever wants a completion gets one: with the answer, with a status that says no, or, where
 * nothing is defined, empty. No message closes a channel.
 */
#include "vsp/network/netvsp.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define MAX_MDL_CHAIN 34u
#define PIECE_ALIGN   64u
#define LARGE_PAGES   4u    /* of a piece, at most */
#define LARGE_PIECES  1024u /* so many there must be to give each whole pages */
#define QUEUE_PIECES  256u  /* ... and so many for each queue, to give more than two */

uint32_t nvsp_message_bytes(const struct network *network)
{
	return network->version >= NVSP_VERSION_61 ? NVSP_BYTES_61 : NVSP_BYTES_60;
}

unsigned int nvsp_queue_count(const struct network *network)
{
	return network->version >= NVSP_VERSION_5 ? network->config.queue_count : 1;
}

/* ---- start and stop ---- */

void nvsp_start(struct network *network)
{
	if (network->initialized && network->receive.gpadl != NULL) {
		atomic_store(&network->running, true);
		network_update_port(network);
		vsp_wake_all(&network->channels);
	}
}

void nvsp_stop(struct network *network)
{
	atomic_store(&network->running, false);
	network_update_port(network);
	vsp_wake_all(&network->channels);
}

static void let_go(struct network *network, struct net_queue *queue, struct net_buffer *buffer)
{
	if (buffer->gpadl != NULL) {
		channel_gpadl_put(queue->vsp.channel, buffer->gpadl);
	}
	*buffer = (struct net_buffer){0};
	if (buffer == &network->receive) {
		free(network->pieces);
		network->pieces = NULL;
		list_clear(&network->control_free);
		list_clear(&network->replies);
	}
}

static void halt(struct network *network)
{
	network->initialized = false;
	network->tell_offload = network->tell_table = network->tell_network = false;
	network->told_vf = 0;
	atomic_store(&network->elsewhere, false);
	atomic_store(&network->filter, 0);
	oid_reset(network);
}

/* ---- answers ---- */

/* `bytes` of the queue's message. */
static void answer(struct net_queue *queue, uint64_t transaction, bool wanted, uint32_t bytes)
{
	if (!wanted) {
		return;
	}
	queue->answering = true;
	queue->answer.transaction = transaction;
	queue->answer.payload = &queue->message;
	queue->answer.bytes = bytes;
	vsp_answer(&queue->vsp, &queue->answer);
}

static void answer_empty(struct net_queue *queue, const struct vmbus_packet *packet)
{
	answer(queue, packet->transaction, packet->completion_requested, 0);
}

static void answer_message(struct net_queue *queue, const struct vmbus_packet *packet)
{
	answer(queue, packet->transaction, packet->completion_requested,
	       nvsp_message_bytes(queue->network));
}

/* ---- the handshake ---- */

/* The latest from `min` to `max`; 0: none. */
static uint32_t choose_version(uint32_t min, uint32_t max)
{
	static const uint32_t known[] = {NVSP_VERSION_61, NVSP_VERSION_6, NVSP_VERSION_5,
					 NVSP_VERSION_4,  NVSP_VERSION_2, NVSP_VERSION_1};
	unsigned int i;

	for (i = 0; i < ARRAY_COUNT(known); i++) {
		if (known[i] >= min && known[i] <= max) {
			return known[i];
		}
	}
	return 0;
}

bool nvsp_knows_version(uint32_t version)
{
	return version != 0 && choose_version(version, version) == version;
}

/* Not once there are buffers: their layout is that of a version. */
static void init(struct net_queue *queue, const struct nvsp_message *message)
{
	struct network *network = queue->network;
	uint32_t version = choose_version(message->init.min, message->init.max);
	bool late = network->receive.gpadl != NULL || network->send.gpadl != NULL;

	queue->message = (struct nvsp_message){.type = NVSP_INIT_COMPLETE};
	queue->message.init_complete.version = version;
	queue->message.init_complete.max_mdl_chain = MAX_MDL_CHAIN;
	queue->message.init_complete.status = NVSP_STATUS_FAIL;
	if (version != 0 && !late) {
		network->version = version;
		queue->message.init_complete.status = NVSP_STATUS_SUCCESS;
	} else if (late) {
		network_refuse(network, NETWORK_BAD_NVSP);
	}
}

static void set_config(struct network *network, const struct nvsp_message *message)
{
	uint32_t bytes = message->config.mtu;

	if (network->receive.gpadl != NULL) {
		network_refuse(network, NETWORK_BAD_NVSP);
		return;
	}
	network->capabilities = message->config.capabilities;
	network->frame_bytes =
		bytes >= NET_FRAME_DEFAULT && bytes <= PORT_FRAME_MAX ? bytes : NET_FRAME_DEFAULT;
	network_update_port(network);
}

/* ---- buffers ---- */

static bool take_buffer(struct net_queue *queue, const struct nvsp_message *message,
			struct net_buffer *buffer)
{
	struct network *network = queue->network;

	if (network->version == 0 || buffer->gpadl != NULL || atomic_load(&network->running)) {
		network_refuse(network, NETWORK_BAD_NVSP);
		return false;
	}
	buffer->gpadl = channel_gpadl_get(queue->vsp.channel, message->buffer.gpadl);
	if (buffer->gpadl == NULL) {
		network_refuse(network, NETWORK_BAD_MEMORY);
		return false;
	}
	buffer->handle = message->buffer.gpadl;
	buffer->id = message->buffer.id;
	return true;
}

static uint32_t least_piece_bytes(uint32_t frame_bytes)
{
	return (NET_PIECE_HEAD + frame_bytes + NET_PIECE_TAIL + PIECE_ALIGN - 1) &
	       ~(PIECE_ALIGN - 1);
}

bool nvsp_is_piece(uint32_t frame_bytes, uint32_t piece_bytes)
{
	uint32_t least = least_piece_bytes(frame_bytes);

	return piece_bytes == least || (piece_bytes % VMBUS_PAGE_SIZE == 0 && piece_bytes > least &&
					piece_bytes <= LARGE_PAGES * VMBUS_PAGE_SIZE);
}

/* A small frame takes a whole piece too, so a queue needs many of them, however large they are. */
static bool are_enough(uint32_t piece_count, uint32_t pages, unsigned int queue_count)
{
	return piece_count >= LARGE_PIECES &&
	       (pages <= 2 || piece_count / queue_count >= QUEUE_PIECES);
}

/*
 * A piece has room for a frame. Where the buffer is large, it is up to four pages: then it is in no
 * more of them than it must, and a segmented frame needs an eighth as many. A guest's driver has to
 * look into the header of each, so those cost more than the bytes.
 */
static uint32_t choose_piece_bytes(const struct network *network, uint32_t buffer_bytes)
{
	uint32_t least = least_piece_bytes(network->frame_bytes);
	uint32_t pages;

	for (pages = LARGE_PAGES; pages > 0; pages--) {
		uint32_t large = pages * VMBUS_PAGE_SIZE;

		if (least <= large &&
		    are_enough(buffer_bytes / large, pages, nvsp_queue_count(network))) {
			return large;
		}
	}
	return least;
}

static bool make_pieces(struct network *network)
{
	struct net_buffer *buffer = &network->receive;
	uint32_t i;

	buffer->piece_bytes = choose_piece_bytes(network, gpadl_bytes(buffer->gpadl));
	buffer->piece_count = gpadl_bytes(buffer->gpadl) / buffer->piece_bytes;
	if (buffer->piece_count > NET_PIECES_MAX) {
		buffer->piece_count = NET_PIECES_MAX;
	}
	if (buffer->piece_count < NET_PIECES_MIN) {
		return false;
	}
	network->pieces = calloc(buffer->piece_count, sizeof(network->pieces[0]));
	if (network->pieces == NULL) {
		return false;
	}
	network->generation++;
	for (i = 0; i < NET_CONTROL_PIECES; i++) {
		list_append(network, &network->control_free, i);
	}
	return true;
}

static void set_receive_buffer(struct net_queue *queue, const struct nvsp_message *message)
{
	struct network *network = queue->network;
	struct net_buffer *buffer = &network->receive;

	queue->message = (struct nvsp_message){.type = NVSP_SEND_RECEIVE_BUFFER_COMPLETE};
	queue->message.receive_complete.status = NVSP_STATUS_FAIL;
	if (!take_buffer(queue, message, buffer)) {
		return;
	}
	if (!make_pieces(network)) {
		network_refuse(network, NETWORK_BAD_NVSP);
		let_go(network, queue, buffer);
		return;
	}
	queue->message.receive_complete.status = NVSP_STATUS_SUCCESS;
	queue->message.receive_complete.section_count = 1;
	queue->message.receive_complete.section =
		(struct nvsp_section){.piece_bytes = buffer->piece_bytes,
				      .piece_count = buffer->piece_count,
				      .end_offset = buffer->piece_bytes * buffer->piece_count};
	nvsp_start(network);
}

static void set_send_buffer(struct net_queue *queue, const struct nvsp_message *message)
{
	struct network *network = queue->network;
	struct net_buffer *buffer = &network->send;

	queue->message = (struct nvsp_message){.type = NVSP_SEND_SEND_BUFFER_COMPLETE};
	queue->message.send_complete.status = NVSP_STATUS_FAIL;
	if (!take_buffer(queue, message, buffer)) {
		return;
	}
	buffer->piece_bytes = network->config.section_bytes;
	buffer->piece_count = gpadl_bytes(buffer->gpadl) / buffer->piece_bytes;
	if (buffer->piece_count == 0) {
		network_refuse(network, NETWORK_BAD_NVSP);
		let_go(network, queue, buffer);
		return;
	}
	queue->message.send_complete.status = NVSP_STATUS_SUCCESS;
	queue->message.send_complete.section_bytes = buffer->piece_bytes;
}

/* ---- what waits until no queue runs ---- */

static void begin_change(struct net_queue *queue, enum net_change change)
{
	queue->network->change = change;
	nvsp_stop(queue->network);
}

static void revoke(struct net_queue *queue, const struct vmbus_packet *packet,
		   enum net_change change)
{
	queue->network->change_transaction = packet->transaction;
	queue->network->change_wants = packet->completion_requested;
	begin_change(queue, change);
}

static void make_change(struct net_queue *queue)
{
	struct network *network = queue->network;
	enum net_change change = network->change;

	network->change = CHANGE_NONE;
	if (change == CHANGE_HALT) {
		halt(network);
		return;
	}
	let_go(network, queue,
	       change == CHANGE_REVOKE_RECEIVE ? &network->receive : &network->send);
	answer(queue, network->change_transaction, network->change_wants, 0);
	nvsp_start(network);
}

/* ---- sub-channels ---- */

/* Guests wait for as many as they were told of. */
static void allocate_sub_channels(struct net_queue *queue, const struct nvsp_message *message)
{
	struct network *network = queue->network;
	uint32_t count = message->sub_channel.count, offered = 0;

	queue->message = (struct nvsp_message){.type = NVSP_SUBCHANNEL};
	queue->message.sub_channel.operation = NVSP_STATUS_FAIL;
	if (message->sub_channel.operation != NVSP_SUBCHANNEL_ALLOCATE || count == 0 ||
	    count >= nvsp_queue_count(network) || network->sub_channels != 0) {
		network_refuse(network, NETWORK_BAD_NVSP);
		return;
	}
	while (offered < count && network_offer(network, offered + 1) == 0) {
		offered++;
	}
	network->sub_channels = offered;
	network->tell_table = offered != 0;
	queue->message.sub_channel.operation =
		offered != 0 ? NVSP_STATUS_SUCCESS : NVSP_STATUS_FAIL;
	queue->message.sub_channel.count = offered;
}

/* False: no room in the ring, or not yet. */
static bool send_table(struct net_queue *queue)
{
	struct network *network = queue->network;
	struct {
		uint32_t type, count, offset, table[NVSP_INDIRECTION];
	} message = {NVSP_SEND_INDIRECTION_TABLE, NVSP_INDIRECTION, 12, {0}};
	struct iovec payload = {&message, sizeof(message)};
	unsigned int open, i;

	open = (unsigned int)__builtin_popcountll(vsp_open(&network->channels));
	if (open != network->sub_channels + 1) {
		return false;
	}
	for (i = 0; i < NVSP_INDIRECTION; i++) {
		message.table[i] = i % open;
	}
	if (channel_send(queue->vsp.channel, 0, false, &payload, 1) == -EAGAIN) {
		return false;
	}
	network->tell_table = false;
	return true;
}

/* ---- the virtual function ---- */

static bool wants_vf(const struct network *network)
{
	return network->initialized && network->version >= NVSP_VERSION_4 &&
	       network->capabilities & NVSP_CAPABILITY_SRIOV;
}

/* One that takes another's place is told after that has gone. True: something was done. */
static bool tell_vf(struct net_queue *queue)
{
	struct network *network = queue->network;
	uint32_t vf = atomic_load(&network->vf);
	struct nvsp_message message = {.type = NVSP_SEND_VF_ASSOCIATION};
	struct iovec payload = {&message, nvsp_message_bytes(network)};

	if (vf == network->told_vf || !wants_vf(network)) {
		return false;
	}
	message.vf_association.allocated = network->told_vf == 0;
	message.vf_association.serial = network->told_vf != 0 ? network->told_vf : vf;
	if (channel_send(queue->vsp.channel, 0, false, &payload, 1) == -EAGAIN) {
		return false;
	}
	network->told_vf = network->told_vf != 0 ? 0 : vf;
	if (network->told_vf == 0) {
		atomic_store(&network->elsewhere, false);
	}
	return true;
}

/* Only to what the guest was told that it has. */
static void switch_path(struct network *network, uint32_t path)
{
	bool elsewhere = path == NVSP_PATH_VF;

	if (path > NVSP_PATH_VF || (elsewhere && network->told_vf == 0)) {
		network_refuse(network, NETWORK_BAD_NVSP);
		return;
	}
	atomic_store(&network->elsewhere, elsewhere);
	network_update_port(network);
}

bool nvsp_work(struct net_queue *queue)
{
	struct network *network = queue->network;
	bool any = false;

	if (queue->index != 0) {
		return false;
	}
	if (network->change != CHANGE_NONE && atomic_load(&network->users) == 0) {
		make_change(queue);
		any = true;
	}
	if (network->tell_table) {
		any |= send_table(queue);
	}
	any |= tell_vf(queue);
	return any;
}

void nvsp_primary_closed(struct net_queue *queue)
{
	struct network *network = queue->network;

	/* It has been seen without users; who is about to begin now finds that it does not run. */
	let_go(network, queue, &network->receive);
	let_go(network, queue, &network->send);
	halt(network);
	network->version = 0;
	network->frame_bytes = NET_FRAME_DEFAULT;
	network->capabilities = 0;
	network->sub_channels = 0;
	network->change = CHANGE_NONE;
	pthread_mutex_lock(&network->lock);
	network->primary = false;
	pthread_mutex_unlock(&network->lock);
	(void)network_take_port(network, false);
}

/* ---- RNDIS ---- */

static void rndis(struct net_queue *queue, const struct vmbus_packet *packet,
		  const struct nvsp_message *message)
{
	struct network *network = queue->network;
	struct net_send *send;
	uint32_t bytes;

	if (message->rndis.channel != NVSP_CHANNEL_CONTROL) {
		transmit_packet(queue, packet, message);
		return;
	}
	send = transmit_reserve(queue, packet);
	if (queue->index != 0) {
		network_refuse(network, NETWORK_BAD_NVSP);
		return;
	}
	if (!parts_find(queue, packet, message, send)) {
		network_refuse(network, NETWORK_BAD_MEMORY);
		return;
	}
	bytes = queue->parts.left < CONTROL_BYTES ? (uint32_t)queue->parts.left : CONTROL_BYTES;
	CHECK(parts_copy(&queue->parts, queue->control, bytes));
	parts_release(queue, send);
	send->status = rndis_control(queue, bytes);
	if (send->status == NVSP_STATUS_INVALID_RNDIS_PACKET) {
		network_refuse(network, NETWORK_BAD_RNDIS);
	} else if (send->status == NVSP_STATUS_BUSY) {
		network_refuse(network, NETWORK_NO_PIECE);
	}
	if (network->change == CHANGE_HALT) {
		begin_change(queue, CHANGE_HALT);
	}
}

/* ---- dispatch ---- */

#define BODY(member)                                                                               \
	(uint32_t)(offsetof(struct nvsp_message, member) +                                         \
		   sizeof(((struct nvsp_message *)0)->member))

/* How much of the message must be there. */
static uint32_t least_bytes(uint32_t type)
{
	switch (type) {
	case NVSP_INIT:
		return BODY(init);
	case NVSP_SEND_RECEIVE_BUFFER:
	case NVSP_SEND_SEND_BUFFER:
		return BODY(buffer.id);
	case NVSP_SEND_NDIS_CONFIG:
		return BODY(config);
	case NVSP_SUBCHANNEL:
		return BODY(sub_channel);
	case NVSP_SWITCH_DATA_PATH:
		return BODY(data_path);
	case NVSP_SEND_RNDIS_PACKET:
		return BODY(rndis);
	default:
		return sizeof(uint32_t);
	}
}

static void primary(struct net_queue *queue, const struct vmbus_packet *packet,
		    const struct nvsp_message *message)
{
	switch (message->type) {
	case NVSP_INIT:
		init(queue, message);
		answer_message(queue, packet);
		return;
	case NVSP_SEND_RECEIVE_BUFFER:
		set_receive_buffer(queue, message);
		answer_message(queue, packet);
		return;
	case NVSP_SEND_SEND_BUFFER:
		set_send_buffer(queue, message);
		answer_message(queue, packet);
		return;
	case NVSP_REVOKE_RECEIVE_BUFFER:
		revoke(queue, packet, CHANGE_REVOKE_RECEIVE);
		return;
	case NVSP_REVOKE_SEND_BUFFER:
		revoke(queue, packet, CHANGE_REVOKE_SEND);
		return;
	case NVSP_SUBCHANNEL:
		allocate_sub_channels(queue, message);
		answer_message(queue, packet);
		return;
	case NVSP_OID_QUERY_EX:
		queue->message = (struct nvsp_message){.type = NVSP_OID_QUERY_EX_COMPLETE};
		queue->message.oid_complete.status = RNDIS_STATUS_NOT_SUPPORTED;
		answer_message(queue, packet);
		return;
	case NVSP_SEND_NDIS_CONFIG:
		set_config(queue->network, message);
		break;
	case NVSP_SWITCH_DATA_PATH:
		switch_path(queue->network, message->data_path.path);
		break;
	case NVSP_SEND_NDIS_VERSION: /* nothing depends on it */
		break;
	default:
		network_refuse(queue->network, NETWORK_BAD_NVSP);
		break;
	}
	answer_empty(queue, packet);
}

void nvsp_packet(struct net_queue *queue, const struct vmbus_packet *packet)
{
	struct nvsp_message message = {0};
	uint32_t bytes = packet->payload_bytes;

	if (packet->malformed) { /* which of the messages it is meant to be cannot be told */
		(void)transmit_reserve(queue, packet);
		network_refuse(queue->network, NETWORK_BAD_MEMORY);
		return;
	}
	if (packet->type == VM_PKT_COMP) {
		/* Some guests' has no content, and none says more than that it is done. */
		receive_completed(queue, packet->transaction);
		return;
	}
	memcpy(&message, packet->payload, bytes < sizeof(message) ? bytes : sizeof(message));
	if ((packet->type != VM_PKT_DATA_INBAND && packet->type != VM_PKT_DATA_USING_GPA_DIRECT) ||
	    bytes < sizeof(message.type) || bytes < least_bytes(message.type)) {
		network_refuse(queue->network, NETWORK_BAD_NVSP);
		answer_empty(queue, packet);
	} else if (message.type == NVSP_SEND_RNDIS_PACKET) {
		rndis(queue, packet, &message);
	} else if (queue->index == 0) {
		primary(queue, packet, &message);
	} else {
		network_refuse(queue->network, NETWORK_BAD_NVSP);
		answer_empty(queue, packet);
	}
}
