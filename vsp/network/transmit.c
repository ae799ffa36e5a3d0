/*
 * Frames of the guest: a packet of NVSP with packets of RNDIS in it becomes slots in the ring of
 * the port; when the switch has answered all of them, it is completed.
 *
 * What is RNDIS is copied and checked here. Of the frame nothing is looked at, but for the head of
 * one whose segmentation or header checksum the guest leaves to us: that is copied, mended, and
 * sent in place of the guest's.
 */
#include "vsp/network/netvsp.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define PATIENT_SENDS  32u /* of as many, and as many sections, a guest has enough */
#define ETHERNET_BYTES 14u
#define TAG_BYTES      4u
#define IP4_BYTES      20u
#define IP6_BYTES      40u
#define TCP_BYTES      20u

#define PROTOCOL_TCP 6u
#define PROTOCOL_UDP 17u

/* A packet of RNDIS without its data: what its PPIs ask for. */
struct plan {
	uint32_t bytes; /* of the frame */
	uint32_t csum, lso, vlan, hash;
	bool has_csum, has_lso, has_vlan;
};

bool transmit_ready(const struct net_queue *queue)
{
	return (!queue->active || ring_room(queue->out) >= SEND_SLOTS) &&
	       queue->send_tail - queue->send_head < SENDS_MAX;
}

static struct net_send *send_at(struct net_queue *queue, uint32_t number)
{
	return &queue->sends[number % SENDS_MAX];
}

struct net_send *transmit_reserve(struct net_queue *queue, const struct vmbus_packet *packet)
{
	struct net_send *send = send_at(queue, queue->send_tail++);

	send->transaction = packet->transaction;
	send->wants_completion = packet->completion_requested;
	send->slots_left = send->range_count = 0;
	send->status = NVSP_STATUS_FAIL;
	return send;
}

/* ---- PPIs ---- */

static bool read_ppi(struct plan *plan, const uint8_t *at, uint32_t left, uint32_t *bytes)
{
	struct rndis_ppi ppi;
	uint32_t value;

	if (left < sizeof(ppi)) {
		return false;
	}
	memcpy(&ppi, at, sizeof(ppi));
	if (ppi.bytes < sizeof(ppi) || ppi.bytes > left || ppi.offset < sizeof(ppi) ||
	    ppi.offset > ppi.bytes) {
		return false;
	}
	*bytes = ppi.bytes;
	if (ppi.bytes - ppi.offset < sizeof(value)) {
		return true; /* none of those below */
	}
	memcpy(&value, at + ppi.offset, sizeof(value));
	switch (ppi.type) {
	case PPI_CHECKSUM:
		plan->csum = value;
		plan->has_csum = true;
		break;
	case PPI_LSO:
		plan->lso = value;
		plan->has_lso = true;
		break;
	case PPI_VLAN:
		plan->vlan = value;
		plan->has_vlan = true;
		break;
	case PPI_HASH:
		plan->hash = value;
		break;
	default: /* others are hints */
		break;
	}
	return true;
}

static bool read_ppis(struct plan *plan, const uint8_t *ppis, uint32_t bytes)
{
	uint32_t at, used;

	for (at = 0; at < bytes; at += used) {
		if (!read_ppi(plan, ppis + at, bytes - at, &used)) {
			return false;
		}
	}
	return true;
}

/* ---- heads ---- */

/* Where the layers of a frame begin. */
struct layers {
	uint32_t network, transport;
	bool ip6;
	uint8_t protocol; /* 0: not known */
};

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static uint32_t fold(uint32_t sum)
{
	while (sum > 0xffff) {
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return sum;
}

static bool find_layers(const uint8_t *head, uint32_t bytes, struct layers *layers)
{
	uint32_t at = ETHERNET_BYTES;
	uint16_t type;

	if (bytes < at + TAG_BYTES) {
		return false;
	}
	type = get16(head + at - 2);
	if (type == 0x8100) {
		at += TAG_BYTES;
		type = get16(head + at - 2);
	}
	*layers = (struct layers){.network = at, .ip6 = type == 0x86dd};
	if (type == 0x0800 && bytes >= at + IP4_BYTES) {
		layers->transport = at + (head[at] & 15u) * 4u;
		layers->protocol = head[at + 9];
		return layers->transport >= at + IP4_BYTES && layers->transport <= bytes;
	}
	if (type == 0x86dd && bytes >= at + IP6_BYTES) {
		layers->transport = at + IP6_BYTES;
		layers->protocol = head[at + 6];
		return true;
	}
	return false;
}

static void sum_ip4_header(uint8_t *head, const struct layers *layers)
{
	uint32_t sum = 0, i;

	put16(head + layers->network + 10, 0);
	for (i = layers->network; i + 1 < layers->transport; i += 2) {
		sum += get16(head + i);
	}
	put16(head + layers->network + 10, ~fold(sum));
}

/* The guest leaves all lengths of a segmented frame at 0, also that in the sum of the pseudo
 * header. */
static bool mend_lso(uint8_t *head, uint32_t head_bytes, const struct plan *plan,
		     struct layers *layers, struct port_slot *first)
{
	uint32_t transport = PPI_LSO_OFFSET(plan->lso), mss = PPI_LSO_MSS(plan->lso), length;
	uint8_t *sum;

	if (layers->ip6) {
		layers->transport = transport;
	}
	if (!(plan->lso & PPI_LSO_V2) || transport != layers->transport ||
	    layers->ip6 != !!(plan->lso & PPI_LSO_IPV6) || transport + TCP_BYTES > head_bytes) {
		return false;
	}
	first->header_bytes = (uint16_t)(transport + (head[transport + 12] >> 4) * 4u);
	if (first->header_bytes < transport + TCP_BYTES || first->header_bytes > head_bytes) {
		return false;
	}
	length = plan->bytes - layers->network;
	if (length > UINT16_MAX + (layers->ip6 ? IP6_BYTES : 0)) {
		return false;
	}
	if (layers->ip6) {
		put16(head + layers->network + 4, length - IP6_BYTES);
	} else {
		put16(head + layers->network + 2, length);
		sum_ip4_header(head, layers);
	}
	sum = head + transport + 16;
	put16(sum, fold(get16(sum) + plan->bytes - transport));
	first->flags |= PORT_CSUM_NEEDED;
	first->csum_start = (uint16_t)transport;
	first->csum_offset = 16;
	/* A frame that fits in one segment is an ordinary one. */
	if (mss != 0 && plan->bytes - first->header_bytes > mss && mss <= UINT16_MAX) {
		first->gso = layers->ip6 ? PORT_GSO_TCP6 : PORT_GSO_TCP4;
		first->gso_bytes = (uint16_t)mss;
	} else {
		first->header_bytes = 0;
	}
	return true;
}

/* The sum of the pseudo header is in its field already. */
static bool ask_csum(const struct plan *plan, uint32_t transport, struct port_slot *first)
{
	uint32_t field = plan->csum & PPI_TX_TCP ? 16 : 6;

	if (transport < ETHERNET_BYTES || transport + field + 2 > plan->bytes) {
		return false;
	}
	first->flags |= PORT_CSUM_NEEDED;
	first->csum_start = (uint16_t)transport;
	first->csum_offset = (uint16_t)field;
	return true;
}

static bool mend_head(uint8_t *head, uint32_t head_bytes, const struct plan *plan,
		      struct port_slot *first)
{
	struct layers layers;

	if (!find_layers(head, head_bytes, &layers)) {
		return false;
	}
	if (plan->has_lso) {
		return mend_lso(head, head_bytes, plan, &layers, first);
	}
	if (plan->csum & PPI_TX_IP_HEADER && !layers.ip6) {
		sum_ip4_header(head, &layers);
	}
	if (plan->csum & (PPI_TX_TCP | PPI_TX_UDP)) {
		uint32_t transport = PPI_TX_OFFSET(plan->csum);

		return ask_csum(plan, transport != 0 ? transport : layers.transport, first);
	}
	return true;
}

static bool needs_head(const struct plan *plan)
{
	return plan->has_lso ||
	       (plan->has_csum &&
		(plan->csum & PPI_TX_IP_HEADER ||
		 (plan->csum & (PPI_TX_TCP | PPI_TX_UDP) && PPI_TX_OFFSET(plan->csum) == 0)));
}

/* ---- frames ---- */

/* In the memory of heads, at the place of the slot that is the next but `count`. */
static uint8_t *head_of(const struct net_queue *queue, uint32_t count, struct port_slot *slot)
{
	uint32_t number = (queue->out->next + count) & (queue->out->size - 1);

	slot->region = NETPORT_HEADS;
	slot->offset = ((uint64_t)queue->index * queue->out->size + number) * NETPORT_HEAD_BYTES;
	return (uint8_t *)queue->network->port->regions[NETPORT_HEADS].iov_base + slot->offset;
}

/* False: PPIs that the frame does not have. */
static bool describe(struct net_queue *queue, const struct plan *plan, uint32_t count,
		     uint32_t *head_bytes)
{
	struct port_slot *first = &queue->slots[count];
	uint8_t *head;

	*first = (struct port_slot){.hash = plan->hash};
	*head_bytes = 0;
	if (plan->has_vlan) {
		first->flags |= PORT_TAGGED;
		first->tag = (uint16_t)((plan->vlan & 7) << 13 | (plan->vlan & 8) << 9 |
					(plan->vlan >> 4 & 0xfff));
	}
	if (!needs_head(plan)) {
		return !plan->has_csum || !(plan->csum & (PPI_TX_TCP | PPI_TX_UDP)) ||
		       ask_csum(plan, PPI_TX_OFFSET(plan->csum), first);
	}
	*head_bytes = plan->bytes < NETPORT_HEAD_BYTES ? plan->bytes : NETPORT_HEAD_BYTES;
	head = head_of(queue, count, first);
	first->bytes = *head_bytes;
	return parts_copy(&queue->parts, head, *head_bytes) &&
	       mend_head(head, *head_bytes, plan, first);
}

/* The slots of a frame. 0, or the reason why there are none, plus 1. */
static int add_frame(struct net_queue *queue, const struct plan *plan, uint32_t *count)
{
	uint32_t begin = *count, end = begin, left, head_bytes;

	if (plan->bytes < PORT_FRAME_MIN || plan->bytes > PORT_FRAME_MAX || end == SEND_SLOTS) {
		return NETWORK_BAD_FRAME + 1;
	}
	if (!describe(queue, plan, begin, &head_bytes)) {
		return NETWORK_BAD_PPI + 1;
	}
	end += head_bytes != 0;
	for (left = plan->bytes - head_bytes; left > 0; end++) {
		struct iovec piece = parts_next(&queue->parts, left);

		if (end == SEND_SLOTS || end - begin == PORT_PIECES_MAX) {
			return NETWORK_BAD_FRAME + 1;
		}
		if (end != begin) {
			queue->slots[end] = (struct port_slot){0};
		}
		if (!netport_locate(queue->network->port, piece.iov_base, (uint32_t)piece.iov_len,
				    &queue->slots[end])) {
			return NETWORK_BAD_MEMORY + 1;
		}
		queue->slots[end].flags |= PORT_MORE;
		left -= (uint32_t)piece.iov_len;
	}
	if (head_bytes != 0) {
		queue->slots[begin].flags |= PORT_MORE;
	}
	queue->slots[end - 1].flags &= (uint8_t)~PORT_MORE;
	*count = end;
	return 0;
}

/* What all guests have of the header: iPXE's is shorter than RNDIS has it, by a word that is
 * reserved. */
#define PACKET_BYTES offsetof(struct rndis_packet, reserved)

/* The next packet of RNDIS, whole. Its parts lie in this order: header, PPIs, data. */
static int add_packet(struct net_queue *queue, uint32_t *count, uint64_t *bytes)
{
	struct net_parts *parts = &queue->parts;
	struct {
		struct rndis_header header;
		struct rndis_packet packet;
	} message;
	struct plan plan = {0};
	uint8_t ppis[PPIS_MAX];
	uint64_t end, at = sizeof(message.header) + PACKET_BYTES, ppi_at, data_at;
	int ret;

	if (!parts_copy(parts, &message, (uint32_t)at) || message.header.type != RNDIS_PACKET ||
	    message.header.bytes < at) {
		return NETWORK_BAD_RNDIS + 1;
	}
	/* Some guests say more than there is. */
	end = message.header.bytes - at < parts->left ? message.header.bytes : parts->left + at;
	ppi_at = message.packet.ppi_bytes == 0
			 ? at
			 : (uint64_t)message.packet.ppi_offset + RNDIS_HEADER_BYTES;
	data_at = (uint64_t)message.packet.data_offset + RNDIS_HEADER_BYTES;
	if (ppi_at < at || message.packet.ppi_bytes > sizeof(ppis) ||
	    data_at < ppi_at + message.packet.ppi_bytes ||
	    data_at + message.packet.data_bytes > end) {
		return NETWORK_BAD_RNDIS + 1;
	}
	if (!parts_skip(parts, ppi_at - at) || !parts_copy(parts, ppis, message.packet.ppi_bytes) ||
	    !parts_skip(parts, data_at - ppi_at - message.packet.ppi_bytes)) {
		return NETWORK_BAD_RNDIS + 1;
	}
	if (!read_ppis(&plan, ppis, message.packet.ppi_bytes)) {
		return NETWORK_BAD_RNDIS + 1;
	}
	plan.bytes = message.packet.data_bytes;
	ret = add_frame(queue, &plan, count);
	if (ret == 0 && !parts_skip(parts, end - data_at - plan.bytes)) {
		return NETWORK_BAD_RNDIS + 1;
	}
	*bytes += plan.bytes;
	return ret;
}

/* All of them, or none. */
static int add_packets(struct net_queue *queue, uint32_t *count, uint32_t *frames, uint64_t *bytes)
{
	int ret = queue->parts.left == 0 ? NETWORK_BAD_RNDIS + 1 : 0;

	while (ret == 0 && queue->parts.left > 0) {
		ret = add_packet(queue, count, bytes);
		(*frames)++;
	}
	return ret;
}

static void count_frames(struct network *network, uint32_t frames, uint64_t bytes)
{
	atomic_fetch_add_explicit(&network->frames_out, frames, memory_order_relaxed);
	atomic_fetch_add_explicit(&network->bytes_out, bytes, memory_order_relaxed);
}

void transmit_packet(struct net_queue *queue, const struct vmbus_packet *packet,
		     const struct nvsp_message *message)
{
	struct network *network = queue->network;
	struct net_send *send = transmit_reserve(queue, packet);
	uint32_t count = 0, frames = 0;
	uint64_t bytes = 0;
	int ret;

	if (!queue->active) {
		/* A guest whose link is down is not told that its frames went astray. */
		bool lost = atomic_load(&network->lost);

		network_refuse(network, lost ? NETWORK_LOST : NETWORK_NOT_RUNNING);
		send->status = lost ? NVSP_STATUS_SUCCESS : NVSP_STATUS_FAIL;
		return;
	}
	if (!parts_find(queue, packet, message, send)) {
		network_refuse(network, NETWORK_BAD_MEMORY);
		return;
	}
	ret = add_packets(queue, &count, &frames, &bytes);
	if (ret != 0) {
		network_refuse(network, (enum network_refusal)(ret - 1));
		send->status = NVSP_STATUS_INVALID_RNDIS_PACKET;
		parts_release(queue, send);
		return;
	}
	ring_add(queue->out, queue->slots, count);
	queue->by_reference |= send->range_count != 0;
	send->slots_left = count;
	send->status = NVSP_STATUS_SUCCESS;
	count_frames(network, frames, bytes);
}

/* ---- back from the switch ---- */

static bool collect(struct net_queue *queue)
{
	struct port_slot slot;
	bool any = false;
	int ret;

	while ((ret = ring_collect(queue->out, &slot)) > 0) {
		struct net_send *send = send_at(queue, queue->send_answered);

		while (send->slots_left == 0) {
			send = send_at(queue, ++queue->send_answered);
		}
		if (--send->slots_left == 0) {
			parts_release(queue, send);
		}
		any = true;
	}
	if (ret < 0) {
		network_broken(queue->network);
	}
	if (any) {
		queue->waited = false;
		queue->by_reference &= !transmit_is_idle(queue);
	}
	return any;
}

bool transmit_is_idle(const struct net_queue *queue)
{
	return ring_room(queue->out) == queue->out->size;
}

bool transmit_may_wait(const struct net_queue *queue)
{
	return !queue->by_reference && !queue->waited && !transmit_is_idle(queue) &&
	       queue->send_tail - queue->send_head <= PATIENT_SENDS;
}

/* False: no room in the guest's ring. */
static bool complete(struct net_queue *queue, const struct net_send *send)
{
	struct nvsp_message message = {.type = NVSP_SEND_RNDIS_PACKET_COMPLETE,
				       .rndis_complete.status = send->status};
	struct iovec payload = {&message, nvsp_message_bytes(queue->network)};

	return !send->wants_completion ||
	       channel_complete(queue->vsp.channel, send->transaction, &payload, 1) != -EAGAIN;
}

bool transmit_work(struct net_queue *queue)
{
	bool any = queue->active && collect(queue);

	while (queue->send_head != queue->send_tail &&
	       send_at(queue, queue->send_head)->slots_left == 0) {
		if (!complete(queue, send_at(queue, queue->send_head))) {
			break;
		}
		queue->send_head++;
		if ((int32_t)(queue->send_answered - queue->send_head) < 0) {
			queue->send_answered = queue->send_head;
		}
		any = true;
	}
	return any;
}

void transmit_forget(struct net_queue *queue)
{
	for (; queue->send_answered != queue->send_tail; queue->send_answered++) {
		struct net_send *send = send_at(queue, queue->send_answered);

		send->slots_left = 0;
		parts_release(queue, send);
	}
}
