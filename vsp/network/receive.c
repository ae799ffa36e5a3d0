/*
 * Frames to the guest: pieces of its receive buffer are posted to the switch, come back with frames
 * in them, get their RNDIS headers, and go to the guest, many in one packet. And control messages
 * to it, which lie in pieces of their own.
 */
#include "vsp/network/netvsp.h"

#include <errno.h>
#include <string.h>

/* Of one packet: what the smallest guest takes. A frame of the largest size needs fewer. */
#define RANGES_MAX 48u

/* ---- pieces ---- */

void list_clear(struct net_list *list)
{
	list->first = list->last = NET_NONE;
}

void list_append(struct network *network, struct net_list *list, uint32_t piece)
{
	network->pieces[piece].next = NET_NONE;
	if (list->first == NET_NONE) {
		list->first = piece;
	} else {
		network->pieces[list->last].next = piece;
	}
	list->last = piece;
}

/* NET_NONE: there is none. What is taken stands alone. */
static uint32_t list_take(struct network *network, struct net_list *list)
{
	uint32_t piece = list->first;

	if (piece != NET_NONE) {
		list->first = network->pieces[piece].next;
		network->pieces[piece].next = NET_NONE;
	}
	return piece;
}

/* The last one is the first to be used again: what is not needed is not touched. */
static void free_piece(struct net_queue *queue, uint32_t piece)
{
	struct net_list *list = &queue->free;

	queue->network->pieces[piece].state = PIECE_FREE;
	queue->network->pieces[piece].next = list->first;
	list->last = list->first == NET_NONE ? piece : list->last;
	list->first = piece;
}

static void free_list(struct net_queue *queue, struct net_list *list)
{
	uint32_t piece;

	while ((piece = list_take(queue->network, list)) != NET_NONE) {
		free_piece(queue, piece);
	}
}

/* An offset in the receive buffer. */
static uint32_t offset_of(const struct network *network, uint32_t piece, uint32_t offset)
{
	return piece * network->receive.piece_bytes + offset;
}

static uint32_t room_of(const struct network *network)
{
	return network->receive.piece_bytes - NET_PIECE_HEAD - NET_PIECE_TAIL;
}

/* At most a page of a piece; its place is in the buffer. */
static void copy_piece(const struct network *network, uint32_t piece, uint32_t offset, void *to,
		       const void *from, uint32_t bytes)
{
	struct iovec iov[2];
	int count = gpadl_range(network->receive.gpadl, offset_of(network, piece, offset), bytes,
				iov, ARRAY_COUNT(iov)),
	    i;

	CHECK(count > 0);
	for (i = 0; i < count; i++) {
		if (to != NULL) {
			memcpy(to, iov[i].iov_base, iov[i].iov_len);
			to = (uint8_t *)to + iov[i].iov_len;
		} else {
			memcpy(iov[i].iov_base, from, iov[i].iov_len);
			from = (const uint8_t *)from + iov[i].iov_len;
		}
	}
}

/* A channel that was opened anew was given nothing; nor was anybody of a new buffer. */
void receive_begin(struct net_queue *queue)
{
	struct network *network = queue->network;
	uint32_t share =
		(network->receive.piece_count - NET_CONTROL_PIECES) / nvsp_queue_count(network);
	uint32_t i;

	if (queue->generation == network->generation) {
		return;
	}
	queue->generation = network->generation;
	queue->piece_first = NET_CONTROL_PIECES + queue->index * share;
	queue->piece_count = share;
	list_clear(&queue->free);
	list_clear(&queue->filled);
	list_clear(&queue->frame);
	for (i = queue->piece_first + share; i-- > queue->piece_first;) {
		/* Of a loaded state some are with the guest. */
		if (network->pieces[i].state == PIECE_FREE) {
			free_piece(queue, i);
		}
	}
}

/* ---- to the switch ---- */

/* False: the ring has no room for it. */
static bool post_one(struct net_queue *queue, uint32_t piece)
{
	struct network *network = queue->network;
	struct iovec iov[PORT_PIECES_MAX];
	struct port_slot slots[PORT_PIECES_MAX];
	int count = gpadl_range(network->receive.gpadl, offset_of(network, piece, NET_PIECE_HEAD),
				room_of(network), iov, PORT_PIECES_MAX),
	    i;

	CHECK(count > 0);
	if ((uint32_t)count > ring_room(queue->in)) {
		return false;
	}
	for (i = 0; i < count; i++) {
		slots[i] = (struct port_slot){.flags = i + 1 < count ? PORT_MORE : 0};
		/* All of a GPADL is guest memory. */
		CHECK(netport_locate(network->port, iov[i].iov_base, (uint32_t)iov[i].iov_len,
				     &slots[i]));
	}
	ring_add(queue->in, slots, (uint32_t)count);
	queue->posted[queue->posted_tail++ % queue->in->size] =
		(struct net_posted){.piece = piece, .slots = (uint32_t)count};
	network->pieces[piece].state = PIECE_POSTED;
	return true;
}

static void post(struct net_queue *queue)
{
	struct network *network = queue->network;

	while (queue->free.first != NET_NONE && post_one(queue, queue->free.first)) {
		/* It is in no list now: of the rest of the list only the first changes. */
		queue->free.first = network->pieces[queue->free.first].next;
	}
}

/* ---- headers ---- */

struct header {
	struct rndis_header header;
	struct rndis_packet packet;
	struct {
		struct rndis_ppi ppi;
		uint32_t value;
	} ppis[4];
	uint32_t count;
};

static void add_ppi(struct header *header, uint32_t type, uint32_t value)
{
	header->ppis[header->count].ppi = (struct rndis_ppi){
		.bytes = sizeof(header->ppis[0]), .type = type, .offset = sizeof(struct rndis_ppi)};
	header->ppis[header->count++].value = value;
}

/* What is known to be good of the frame's checksums. */
static uint32_t good_csums(const struct network *network, uint32_t piece, uint32_t bytes,
			   const struct port_slot *slot)
{
	uint8_t head[34];
	bool ip4, ip6;
	uint8_t protocol;

	if (!(slot->flags & (PORT_CSUM_NEEDED | PORT_CSUM_GOOD)) || bytes < sizeof(head)) {
		return 0;
	}
	copy_piece(network, piece, NET_PIECE_HEAD, head, NULL, sizeof(head));
	ip4 = head[12] == 0x08 && head[13] == 0x00;
	ip6 = head[12] == 0x86 && head[13] == 0xdd;
	protocol = ip4 ? head[23] : head[20];
	if (!ip4 && !ip6) {
		return 0;
	}
	return (ip4 ? PPI_RX_IP_GOOD : 0) | (protocol == 6 ? PPI_RX_TCP_GOOD : 0) |
	       (protocol == 17 ? PPI_RX_UDP_GOOD : 0);
}

static void add_ppis(struct header *header, const struct network *network, uint32_t piece,
		     const struct port_slot *slot)
{
	uint32_t csum = good_csums(network, piece, slot->bytes, slot);

	if (csum != 0) {
		add_ppi(header, PPI_CHECKSUM, csum);
	}
	if (slot->flags & PORT_TAGGED) {
		add_ppi(header, PPI_VLAN,
			slot->tag >> 13 | (slot->tag >> 9 & 8u) | (slot->tag & 0xfffu) << 4);
	}
	if (slot->hash != 0) {
		add_ppi(header, PPI_HASH, slot->hash);
	}
}

/* The header before a piece of a frame, the only one, the first, one between, or the last. */
static void put_header(struct network *network, uint32_t piece, const struct port_slot *slot,
		       bool first, bool last)
{
	struct header header = {
		.header = {.type = RNDIS_PACKET, .bytes = NET_PIECE_HEAD + slot->bytes},
		.packet = {.data_offset = NET_PIECE_HEAD - RNDIS_HEADER_BYTES,
			   .data_bytes = slot->bytes,
			   .ppi_offset = sizeof(struct rndis_packet)},
	};

	if (first) {
		add_ppis(&header, network, piece, slot);
	}
	if (!first || !last) {
		add_ppi(&header, PPI_INTERNAL | PPI_RSC,
			PPI_RSC_VERSION | (PPI_RSC_MULTI | (first ? PPI_RSC_FIRST : 0) |
					   (last ? PPI_RSC_LAST : 0))
						  << 8);
	}
	header.packet.ppi_bytes = header.count * (uint32_t)sizeof(header.ppis[0]);
	if (header.count == 0) {
		header.packet.ppi_offset = 0;
	}
	copy_piece(network, piece, 0, NULL, &header,
		   (uint32_t)(sizeof(header.header) + sizeof(header.packet)) +
			   header.packet.ppi_bytes);
	gpadl_wrote(network->receive.gpadl, offset_of(network, piece, 0),
		    NET_PIECE_HEAD + slot->bytes);
}

/* ---- from the switch ---- */

/* The guest's filter, of which the switch does the rest. */
static bool is_wanted(const struct network *network, uint32_t piece)
{
	uint32_t filter = atomic_load_explicit(&network->filter, memory_order_relaxed);
	uint32_t every = NDIS_FILTER_DIRECTED | NDIS_FILTER_ALL_MULTICAST | NDIS_FILTER_BROADCAST;
	static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	uint8_t to[6];

	if ((filter & every) == every || filter & NDIS_FILTER_PROMISCUOUS) {
		return true;
	}
	copy_piece(network, piece, NET_PIECE_HEAD, to, NULL, sizeof(to));
	if (memcmp(to, broadcast, sizeof(to)) == 0) {
		return filter & NDIS_FILTER_BROADCAST;
	}
	return to[0] & 1 ? filter & (NDIS_FILTER_MULTICAST | NDIS_FILTER_ALL_MULTICAST)
			 : filter & NDIS_FILTER_DIRECTED;
}

static void count_frame(struct network *network, uint64_t bytes)
{
	atomic_fetch_add_explicit(&network->frames_in, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&network->bytes_in, bytes, memory_order_relaxed);
}

/* All pieces of a frame are there: behind those that go to the guest. */
static void finish_frame(struct net_queue *queue)
{
	struct network *network = queue->network;
	uint64_t bytes = 0;
	uint32_t piece;

	if (!is_wanted(network, queue->frame.first)) {
		free_list(queue, &queue->frame);
		return;
	}
	while ((piece = list_take(network, &queue->frame)) != NET_NONE) {
		bytes += network->pieces[piece].bytes - NET_PIECE_HEAD;
		list_append(network, &queue->filled, piece);
	}
	count_frame(network, bytes);
}

/* False: the switch said what cannot be. */
static bool take_piece(struct net_queue *queue, uint32_t number, const struct port_slot *answer)
{
	struct network *network = queue->network;
	struct net_piece *piece = &network->pieces[number];
	bool first = queue->frame.first == NET_NONE, last = !(answer->flags & PORT_CONTINUES);

	if (answer->flags & PORT_UNUSED) {
		free_piece(queue, number);
		free_list(queue, &queue->frame); /* the rest of it does not come */
		return true;
	}
	if (answer->bytes > room_of(network) || (first && answer->bytes < PORT_FRAME_MIN)) {
		free_piece(queue, number);
		return false;
	}
	put_header(network, number, answer, first, last);
	piece->state = PIECE_FILLED;
	piece->bytes = NET_PIECE_HEAD + answer->bytes;
	piece->goes_on = !last;
	list_append(network, &queue->frame, number);
	if (last) {
		finish_frame(queue);
	}
	return true;
}

static bool collect(struct net_queue *queue)
{
	struct port_slot slot;
	bool any = false;
	int ret;

	while ((ret = ring_collect(queue->in, &slot)) > 0) {
		struct net_posted *posted = &queue->posted[queue->posted_head % queue->in->size];

		if (queue->posted_slots++ == 0) {
			queue->posted_answer = slot;
		}
		if (queue->posted_slots == posted->slots) {
			queue->posted_head++;
			queue->posted_slots = 0;
			if (!take_piece(queue, posted->piece, &queue->posted_answer)) {
				ret = -EPROTO;
				break;
			}
		}
		any = true;
	}
	if (ret < 0) {
		network_broken(queue->network);
	}
	return any;
}

/* ---- to the guest ---- */

static int send_pieces(struct net_queue *queue, uint32_t channel, uint32_t transaction,
		       const struct vmtransfer_page_range *ranges, uint32_t count)
{
	struct nvsp_message message = {.type = NVSP_SEND_RNDIS_PACKET,
				       .rndis = {.channel = channel, .section = NVSP_NO_SECTION}};
	struct iovec payload = {&message, nvsp_message_bytes(queue->network)};

	return channel_send_pages(queue->vsp.channel, transaction, true, queue->network->receive.id,
				  ranges, count, &payload, 1);
}

/* The ranges of whole frames, from the first that is filled on; at least one frame. */
static uint32_t gather(const struct net_queue *queue, struct vmtransfer_page_range *ranges,
		       uint32_t *last)
{
	const struct network *network = queue->network;
	uint32_t piece = queue->filled.first, count = 0, whole = 0;

	while (piece != NET_NONE && count < RANGES_MAX) {
		const struct net_piece *at = &network->pieces[piece];

		ranges[count++] = (struct vmtransfer_page_range){
			.byte_count = at->bytes, .byte_offset = offset_of(network, piece, 0)};
		if (!at->goes_on) {
			whole = count;
			*last = piece;
		}
		piece = at->next;
	}
	return whole;
}

/* They are the guest's from here on, as a packet. */
static void give(struct net_queue *queue, uint32_t count, uint32_t last)
{
	struct network *network = queue->network;
	uint32_t first = queue->filled.first, piece = first, i;

	for (i = 0; i < count; i++) {
		network->pieces[piece].state = i == 0 ? PIECE_GIVEN : PIECE_BEHIND;
		piece = network->pieces[piece].next;
	}
	queue->filled.first = network->pieces[last].next;
	network->pieces[last].next = NET_NONE;
}

static bool send_filled(struct net_queue *queue)
{
	struct vmtransfer_page_range ranges[RANGES_MAX];
	bool any = false;

	while (queue->filled.first != NET_NONE) {
		uint32_t last = NET_NONE, count = gather(queue, ranges, &last);
		int ret = -EMSGSIZE;

		/* A frame in more pieces than any is the switch's fault. */
		if (count != 0) {
			ret = send_pieces(queue, NVSP_CHANNEL_DATA, queue->filled.first, ranges,
					  count);
		}
		if (ret == -EAGAIN) {
			return any;
		}
		if (ret != 0) {
			free_list(queue, &queue->filled);
			return true;
		}
		give(queue, count, last);
		any = true;
	}
	return any;
}

static bool send_replies(struct net_queue *queue)
{
	struct network *network = queue->network;
	bool any = false;

	while (network->replies.first != NET_NONE) {
		uint32_t number = network->replies.first;
		struct net_piece *piece = &network->pieces[number];
		struct vmtransfer_page_range range = {.byte_count = piece->bytes,
						      .byte_offset = offset_of(network, number, 0)};

		if (send_pieces(queue, NVSP_CHANNEL_CONTROL, number, &range, 1) == -EAGAIN) {
			return any;
		}
		list_take(network, &network->replies);
		piece->state = PIECE_GIVEN;
		any = true;
	}
	return any;
}

bool receive_control(struct net_queue *queue, const void *message, uint32_t bytes)
{
	struct network *network = queue->network;
	uint32_t number = network->receive.gpadl != NULL
				  ? list_take(network, &network->control_free)
				  : NET_NONE;

	if (number == NET_NONE) {
		return false;
	}
	copy_piece(network, number, 0, NULL, message, bytes);
	gpadl_wrote(network->receive.gpadl, offset_of(network, number, 0), bytes);
	network->pieces[number].bytes = bytes;
	network->pieces[number].state = PIECE_FILLED;
	list_append(network, &network->replies, number);
	send_replies(queue);
	return true;
}

/* ---- back from the guest ---- */

/* The number may be any. */
void receive_completed(struct net_queue *queue, uint64_t transaction)
{
	struct network *network = queue->network;
	uint32_t piece = (uint32_t)transaction;
	bool control = queue->index == 0 && transaction < NET_CONTROL_PIECES;

	/* The buffer is no longer, or not yet, this queue's to look at. */
	if (queue->index != 0 && !queue->active) {
		return;
	}
	if (network->receive.gpadl == NULL || queue->generation != network->generation ||
	    (!control && transaction - queue->piece_first >= queue->piece_count) ||
	    network->pieces[piece].state != PIECE_GIVEN) {
		network_refuse(network, NETWORK_BAD_COMPLETION);
		return;
	}
	if (control) {
		network->pieces[piece].state = PIECE_FREE;
		list_append(network, &network->control_free, piece);
		return;
	}
	while (piece != NET_NONE) {
		uint32_t behind = network->pieces[piece].next;

		free_piece(queue, piece);
		piece = behind;
	}
}

/* ---- the thread ---- */

bool receive_work(struct net_queue *queue)
{
	bool any = false;

	if (queue->index == 0 && queue->network->receive.gpadl != NULL) {
		any = send_replies(queue);
	}
	if (queue->active) {
		any |= collect(queue);
		any |= send_filled(queue);
		if (atomic_load_explicit(&queue->network->hears, memory_order_relaxed) &&
		    !queue->held) {
			post(queue);
		}
	}
	return any;
}

void receive_forget(struct net_queue *queue)
{
	for (; queue->posted_head != queue->posted_tail; queue->posted_head++) {
		free_piece(queue, queue->posted[queue->posted_head % queue->in->size].piece);
	}
	queue->posted_slots = 0;
	free_list(queue, &queue->frame); /* the rest of it does not come */
}

void receive_drop(struct net_queue *queue)
{
	free_list(queue, &queue->filled);
	free_list(queue, &queue->frame);
}
