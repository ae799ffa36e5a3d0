/* See frame.h. Layouts: IEEE 802.3, 802.1Q; RFC 791, 8200, 9293. */
#include "switch/frame.h"

#include <stddef.h>
#include <string.h>

#include "lib/check.h"

#define IP4_BYTES 20u
#define IP6_BYTES 40u
#define TCP_BYTES 20u
#define TCP_CSUM  16u
#define GSO_LEAST 48u /* the least segment that a TCP asks for; it bounds the pieces of a frame */
#define CHAIN_MAX 8u  /* extension headers of IPv6 */

#define HOP_BY_HOP  0u
#define ROUTING     43u
#define FRAGMENT    44u
#define AUTH        51u
#define DESTINATION 60u
#define NOTHING     59u

void frame_init(struct frame *frame, const struct iovec *pieces, uint32_t count)
{
	uint32_t left = FRAME_HEAD, rest = 0, bytes = 0;
	uint8_t *to = frame->buffer;

	for (uint32_t i = 0; i < count; i++) {
		uint32_t piece = (uint32_t)pieces[i].iov_len, part = piece < left ? piece : left;

		if (part != 0) {
			memcpy(to, pieces[i].iov_base, part);
			to += part;
			left -= part;
		}
		if (part < piece) {
			frame->rest[rest++] = (struct iovec){
				.iov_base = (uint8_t *)pieces[i].iov_base + part,
				.iov_len = piece - part,
			};
		}
		bytes += piece;
	}
	__asm__ volatile("" ::: "memory"); /* from here on the copy is read, and nothing else */
	frame->head = frame->buffer;
	frame->head_bytes = FRAME_HEAD - left;
	frame->bytes = bytes;
	frame->parts = frame->rest;
	frame->part_count = rest;
	frame->offload = (struct frame_offload){0};
	frame->tagged = false;
	frame->tag = 0;
	frame->hash = 0;
	frame->vlan = 0;
}

/* The addresses move up over the tag. */
static enum drop pop_tag(struct frame *frame)
{
	struct frame_offload *offload = &frame->offload;

	if (frame->bytes < PORT_FRAME_MIN + FRAME_TAG) {
		return DROP_LENGTH;
	}
	if ((offload->flags & PORT_CSUM_NEEDED &&
	     offload->csum_start < PORT_FRAME_MIN + FRAME_TAG) ||
	    (offload->gso != PORT_GSO_NONE && offload->header_bytes < FRAME_TAG)) {
		return DROP_OFFLOAD;
	}
	frame->tagged = true;
	frame->tag = frame_u16(frame->head + FRAME_MACS + 2);
	memmove(frame->head + FRAME_TAG, frame->head, FRAME_MACS);
	frame->head += FRAME_TAG;
	frame->head_bytes -= FRAME_TAG;
	frame->bytes -= FRAME_TAG;
	offload->csum_start = (uint16_t)(offload->csum_start - FRAME_TAG);
	offload->header_bytes = (uint16_t)(offload->header_bytes - FRAME_TAG);
	return DROP_NONE;
}

/* What the transport's first bytes say, if they are there. */
static void read_transport(const struct frame *frame, struct frame_headers *h, uint32_t at)
{
	const uint8_t *header = frame->head + at;
	uint32_t left = frame->head_bytes - at;

	if (h->later) {
		return;
	}
	switch (h->protocol) {
	case PROTOCOL_TCP:
	case PROTOCOL_UDP:
		if (left < (h->protocol == PROTOCOL_TCP ? TCP_BYTES : 8u)) {
			h->unknown = true;
			return;
		}
		h->source_port = frame_u16(header);
		h->destination_port = frame_u16(header + 2);
		break;
	case PROTOCOL_ICMP:
	case PROTOCOL_ICMP6:
		if (left < 4) {
			h->unknown = true;
			return;
		}
		if (left >= 8 &&
		    (header[0] == 0 || header[0] == 8 || header[0] == 128 || header[0] == 129)) {
			h->source_port = h->destination_port = frame_u16(header + 4);
		}
		break;
	default:
		break;
	}
	h->transport = (uint16_t)at;
}

static void read_ip4(const struct frame *frame, struct frame_headers *h, uint32_t at)
{
	const uint8_t *ip = frame->head + at;
	uint32_t left = frame->head_bytes - at, header, offset;

	if (left < IP4_BYTES || ip[0] >> 4 != 4) {
		h->unknown = true;
		return;
	}
	header = (ip[0] & 15u) * 4u;
	offset = frame_u16(ip + 6) & 0x1fffu;
	h->family = 4;
	h->protocol = ip[9];
	h->source = ip + 12;
	h->destination = ip + 16;
	h->fragment = (frame_u16(ip + 6) & 0x3fffu) != 0;
	h->later = offset != 0;
	/* A piece at offset 8 could lie over the flags of a TCP header (RFC 3128). */
	if (header < IP4_BYTES || header > left || (offset == 1 && h->protocol == PROTOCOL_TCP)) {
		h->unknown = true;
		return;
	}
	read_transport(frame, h, at + header);
}

static void read_ip6(const struct frame *frame, struct frame_headers *h, uint32_t at)
{
	const uint8_t *ip = frame->head + at;
	uint32_t left = frame->head_bytes - at;
	uint8_t next;

	if (left < IP6_BYTES || ip[0] >> 4 != 6) {
		h->unknown = true;
		return;
	}
	h->family = 6;
	h->source = ip + 8;
	h->destination = ip + 24;
	next = ip[6];
	at += IP6_BYTES;
	for (uint32_t i = 0; i < CHAIN_MAX; i++) {
		const uint8_t *header = frame->head + at;
		uint32_t bytes;

		h->protocol = next;
		if (next != HOP_BY_HOP && next != ROUTING && next != FRAGMENT && next != AUTH &&
		    next != DESTINATION) {
			if (next != NOTHING) {
				read_transport(frame, h, at);
			}
			return;
		}
		if (frame->head_bytes - at < 8) {
			break;
		}
		bytes = next == FRAGMENT ? 8u
			: next == AUTH   ? (header[1] + 2u) * 4u
					 : (header[1] + 1u) * 8u;
		if (next == FRAGMENT) {
			h->fragment = (frame_u16(header + 2) & 0xfff9u) != 0;
			h->later = (frame_u16(header + 2) & 0xfff8u) != 0;
		}
		next = header[0];
		if (h->later) {
			h->protocol = next;
			return;
		}
		if (bytes > frame->head_bytes - at) {
			break;
		}
		at += bytes;
	}
	h->unknown = true;
}

static void read_headers(struct frame *frame)
{
	struct frame_headers *h = &frame->headers;

	*h = (struct frame_headers){.ethertype = frame_u16(frame->head + FRAME_MACS),
				    .network = PORT_FRAME_MIN};
	if (h->ethertype == ETHERTYPE_IP4) {
		read_ip4(frame, h, PORT_FRAME_MIN);
	} else if (h->ethertype == ETHERTYPE_IP6) {
		read_ip6(frame, h, PORT_FRAME_MIN);
	}
}

/*
 * Where a frame is cut is read from its headers: guests are not of one mind on what they write
 * beside it. A frame that is short enough already only lacks its checksum.
 */
static enum drop check_gso(struct frame *frame)
{
	const struct frame_headers *h = &frame->headers;
	struct frame_offload *offload = &frame->offload;
	uint32_t header;

	if (offload->gso > PORT_GSO_TCP6 || h->protocol != PROTOCOL_TCP || h->transport == 0 ||
	    h->fragment || h->family != (offload->gso == PORT_GSO_TCP4 ? 4 : 6)) {
		return DROP_OFFLOAD;
	}
	header = h->transport + (frame->head[h->transport + 12] >> 4) * 4u;
	if (header < h->transport + TCP_BYTES || header > frame->head_bytes) {
		return DROP_OFFLOAD;
	}
	offload->flags |= PORT_CSUM_NEEDED;
	offload->header_bytes = (uint16_t)header;
	offload->csum_start = h->transport;
	offload->csum_offset = TCP_CSUM;
	if (offload->gso_bytes == 0 || frame->bytes - header <= offload->gso_bytes) {
		offload->gso = PORT_GSO_NONE;
		return DROP_NONE;
	}
	return offload->gso_bytes < GSO_LEAST ? DROP_OFFLOAD : DROP_NONE;
}

enum drop frame_check(struct frame *frame)
{
	struct frame_offload *offload = &frame->offload;
	uint16_t type;

	if (frame->bytes < PORT_FRAME_MIN || frame->bytes > PORT_FRAME_MAX + FRAME_TAG) {
		return DROP_LENGTH;
	}
	type = frame_u16(frame->head + FRAME_MACS);
	if (type == ETHERTYPE_VLAN && !frame->tagged) {
		enum drop drop = pop_tag(frame);

		if (drop != DROP_NONE) {
			return drop;
		}
	}
	if (frame->bytes > PORT_FRAME_MAX) {
		return DROP_LENGTH;
	}
	read_headers(frame);
	if (offload->gso != PORT_GSO_NONE) {
		enum drop drop = check_gso(frame);

		if (drop != DROP_NONE) {
			return drop;
		}
	}
	if (offload->flags & PORT_CSUM_NEEDED &&
	    (offload->csum_start < PORT_FRAME_MIN ||
	     offload->csum_start + offload->csum_offset + 2u > frame->head_bytes)) {
		return DROP_OFFLOAD;
	}
	return DROP_NONE;
}

uint32_t frame_slice(const struct frame *frame, uint32_t offset, uint32_t bytes, struct iovec *iov)
{
	uint32_t count = 0;

	CHECK(offset <= frame->bytes && bytes <= frame->bytes - offset);
	if (bytes != 0 && offset < frame->head_bytes) {
		uint32_t part = frame->head_bytes - offset;

		part = part < bytes ? part : bytes;
		iov[count++] = (struct iovec){.iov_base = frame->head + offset, .iov_len = part};
		offset += part;
		bytes -= part;
	}
	offset -= bytes != 0 ? frame->head_bytes : 0;
	for (uint32_t i = 0; bytes != 0; i++) {
		uint32_t length = (uint32_t)frame->parts[i].iov_len, part;

		if (offset >= length) {
			offset -= length;
			continue;
		}
		part = length - offset < bytes ? length - offset : bytes;
		iov[count++] = (struct iovec){
			.iov_base = (uint8_t *)frame->parts[i].iov_base + offset, .iov_len = part};
		offset = 0;
		bytes -= part;
	}
	return count;
}

void frame_copy(const struct frame *frame, uint32_t offset, uint32_t bytes, void *to)
{
	struct iovec iov[PORT_PIECES_MAX + 2];
	uint32_t count = frame_slice(frame, offset, bytes, iov);
	uint8_t *out = to;

	for (uint32_t i = 0; i < count; i++) {
		memcpy(out, iov[i].iov_base, iov[i].iov_len);
		out += iov[i].iov_len;
	}
}
