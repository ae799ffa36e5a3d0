/* See offload.h. */
#include "switch/offload.h"

#include <stddef.h>
#include <string.h>

#include "lib/check.h"

#define IP4_LENGTH  2u
#define IP4_ID      4u
#define IP4_CSUM    10u
#define IP6_LENGTH  4u
#define IP6_BYTES   40u
#define TCP_SEQ     4u
#define TCP_FLAGS   13u
#define TCP_CSUM    16u
#define UDP_CSUM    6u
#define TCP_FIN_PSH 0x09u
#define TCP_CWR     0x80u

static void put_u16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static uint32_t u32(const uint8_t *at)
{
	return (uint32_t)frame_u16(at) << 16 | frame_u16(at + 2);
}

static uint16_t fold(uint64_t sum)
{
	sum = (sum & UINT32_MAX) + (sum >> 32);
	sum = (sum & UINT32_MAX) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* In the processor's byte order, which the sum does not mind (RFC 1071, 2B). */
static uint64_t sum_bytes(const uint8_t *at, size_t bytes)
{
	uint64_t low = 0, high = 0, word;

	for (; bytes >= 8; at += 8, bytes -= 8) {
		memcpy(&word, at, 8);
		low += word & UINT32_MAX;
		high += word >> 32;
	}
	if (bytes != 0) {
		word = 0;
		memcpy(&word, at, bytes);
		low += word & UINT32_MAX;
		high += word >> 32;
	}
	return low + high;
}

uint16_t offload_sum(const struct iovec *iov, uint32_t count, uint32_t sum)
{
	uint64_t total = __builtin_bswap16(fold(sum));
	bool odd = false;

	for (uint32_t i = 0; i < count; i++) {
		uint16_t part = fold(sum_bytes(iov[i].iov_base, iov[i].iov_len));

		total += odd ? __builtin_bswap16(part) : part;
		odd ^= iov[i].iov_len % 2 != 0;
	}
	return __builtin_bswap16(fold(total));
}

void offload_fork(struct frame *to, const struct frame *from)
{
	memcpy(to, from, offsetof(struct frame, buffer));
	memcpy(to->buffer, from->head, from->head_bytes);
	to->head = to->buffer;
}

void offload_finish(struct frame *frame)
{
	struct frame_offload *offload = &frame->offload;
	struct iovec iov[PORT_PIECES_MAX + 2];
	uint32_t count =
		frame_slice(frame, offload->csum_start, frame->bytes - offload->csum_start, iov);
	uint16_t sum = (uint16_t)~offload_sum(iov, count, 0);

	/* In UDP alone, zero would say that there is none. */
	if (sum == 0 && offload->csum_offset == UDP_CSUM) {
		sum = 0xffff;
	}
	put_u16(frame->head + offload->csum_start + offload->csum_offset, sum);
	offload->flags = (uint8_t)((offload->flags & ~PORT_CSUM_NEEDED) | PORT_CSUM_GOOD);
}

uint32_t offload_count(const struct frame *frame)
{
	const struct frame_offload *offload = &frame->offload;

	return offload->gso == PORT_GSO_NONE
		       ? 1
		       : (frame->bytes - offload->header_bytes + offload->gso_bytes - 1) /
				 offload->gso_bytes;
}

/* Of addresses, protocol and length. */
static uint16_t pseudo_sum(const struct frame_headers *h, uint32_t bytes)
{
	struct iovec iov[2] = {
		{.iov_base = (void *)h->source, .iov_len = h->family == 4 ? 4 : 16},
		{.iov_base = (void *)h->destination, .iov_len = h->family == 4 ? 4 : 16},
	};

	return offload_sum(iov, 2, h->protocol + bytes);
}

static void set_network(struct frame *frame, const struct frame *from, uint32_t n)
{
	uint8_t *ip = frame->head + from->headers.network;

	if (from->headers.family == 6) {
		put_u16(ip + IP6_LENGTH, frame->bytes - from->headers.network - IP6_BYTES);
	} else {
		struct iovec iov = {.iov_base = ip, .iov_len = (ip[0] & 15u) * 4u};

		put_u16(ip + IP4_LENGTH, frame->bytes - from->headers.network);
		put_u16(ip + IP4_ID, frame_u16(ip + IP4_ID) + n);
		put_u16(ip + IP4_CSUM, 0);
		put_u16(ip + IP4_CSUM, (uint16_t)~offload_sum(&iov, 1, 0));
	}
}

void offload_cut(struct frame *to, const struct frame *from, uint32_t n)
{
	uint32_t header = from->offload.header_bytes, at = header + n * from->offload.gso_bytes;
	uint32_t left = from->bytes - at, bytes;
	uint32_t sequence = u32(from->head + from->headers.transport + TCP_SEQ) + (at - header);
	uint8_t *tcp;

	CHECK(at < from->bytes);
	bytes = left < from->offload.gso_bytes ? left : from->offload.gso_bytes;
	memcpy(to, from, offsetof(struct frame, buffer));
	memcpy(to->buffer, from->head, header);
	to->head = to->buffer;
	to->head_bytes = header;
	to->bytes = header + bytes;
	to->parts = to->rest;
	to->part_count = frame_slice(from, at, bytes, to->rest);
	to->offload.gso = PORT_GSO_NONE;
	set_network(to, from, n);
	tcp = to->head + from->headers.transport;
	put_u16(tcp + TCP_SEQ, sequence >> 16);
	put_u16(tcp + TCP_SEQ + 2, sequence);
	if (bytes != left) {
		tcp[TCP_FLAGS] &= (uint8_t)~TCP_FIN_PSH;
	}
	if (n != 0) {
		tcp[TCP_FLAGS] &= (uint8_t)~TCP_CWR;
	}
	put_u16(tcp + TCP_CSUM, pseudo_sum(&from->headers, to->bytes - from->headers.transport));
}
