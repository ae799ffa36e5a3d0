/*
 * A frame on its way through the switch: a private copy of its first bytes, and references to the
 * memory in which the rest lies. What is judged is the copy, and the copy is what is delivered, so
 * that whoever can still write to that memory changes nothing that was looked at.
 *
 * Offsets count from the first byte of the destination address. Once frame_check() has passed, a
 * VLAN tag is beside the frame and not in it.
 */
#ifndef SWITCH_FRAME_H
#define SWITCH_FRAME_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

#include "include/switch/port.h"
#include "switch/drop.h"

#define FRAME_HEAD     128u /* bytes that are copied, at most */
#define FRAME_MACS     12u
#define FRAME_TAG      4u
#define FRAME_SHORTEST 60u /* on a wire */

#define ETHERTYPE_IP4    0x0800u
#define ETHERTYPE_ARP    0x0806u
#define ETHERTYPE_VLAN   0x8100u
#define ETHERTYPE_IP6    0x86ddu
#define ETHERTYPE_S_VLAN 0x88a8u

#define PROTOCOL_ICMP  1u
#define PROTOCOL_IGMP  2u
#define PROTOCOL_TCP   6u
#define PROTOCOL_UDP   17u
#define PROTOCOL_ICMP6 58u

/* What the sender left undone, as in struct port_slot. */
struct frame_offload {
	uint8_t flags; /* PORT_CSUM_NEEDED, PORT_CSUM_GOOD */
	uint8_t gso;
	uint16_t gso_bytes;
	uint16_t header_bytes;
	uint16_t csum_start;
	uint16_t csum_offset;
};

/* What the protocol headers say. */
struct frame_headers {
	uint16_t ethertype;
	uint8_t family;   /* 4 or 6; 0: no IP, or not a whole header */
	uint8_t protocol; /* of the transport, where `family` is set */
	bool fragment;    /* one of several */
	bool later;       /* and not the first: it has no transport header */
	/*
	 * There is IP whose headers are wrong, or do not end within the head, so what it carries is
	 * not known.
	 */
	bool unknown;
	uint16_t network;   /* offset of the IP header */
	uint16_t transport; /* of the transport's; 0: none */
	uint16_t source_port,
		destination_port;            /* TCP and UDP; ICMP: the identifier twice; else 0 */
	const uint8_t *source, *destination; /* 4 or 16 bytes, in the head */
};

struct frame {
	uint8_t *head;
	uint32_t head_bytes;
	uint32_t bytes; /* of the whole */
	const struct iovec *parts;
	uint32_t part_count;
	struct frame_offload offload;
	bool tagged;
	uint16_t tag;
	uint32_t hash;
	/* Once it is judged. */
	uint16_t vlan;
	struct frame_headers headers;
	uint8_t buffer[FRAME_HEAD];
	struct iovec rest[PORT_PIECES_MAX + 1];
};

/*
 * A frame in `count` pieces of memory, at most PORT_PIECES_MAX; they stay referenced. Everything
 * else of the frame is zero afterwards.
 */
void frame_init(struct frame *frame, const struct iovec *pieces, uint32_t count);

/*
 * Takes a tag out of the frame, reads its headers, and checks lengths and offload. Where the
 * frame is to be cut, the offsets are those of its headers afterwards. DROP_NONE if all is well.
 */
enum drop frame_check(struct frame *frame);

/* `bytes` from `offset` on as iovecs, of which it takes at most part_count + 1; how many. */
uint32_t frame_slice(const struct frame *frame, uint32_t offset, uint32_t bytes, struct iovec *iov);
/* The same as a copy. */
void frame_copy(const struct frame *frame, uint32_t offset, uint32_t bytes, void *to);

static inline uint16_t frame_u16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint64_t frame_mac(const uint8_t *at)
{
	return (uint64_t)at[0] << 40 | (uint64_t)at[1] << 32 | (uint64_t)at[2] << 24 |
	       (uint64_t)at[3] << 16 | (uint64_t)at[4] << 8 | at[5];
}

/* The addresses of a frame that has its 14 bytes, each read with two bytes of what follows. */
static inline uint64_t frame_address(const uint8_t *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return __builtin_bswap64(word) >> 16;
}

static inline void frame_put_address(uint8_t *at, uint64_t mac)
{
	for (uint32_t i = 0; i < 6; i++) {
		at[i] = (uint8_t)(mac >> (40 - 8 * i));
	}
}

#define FRAME_MAC_GROUP     (1ull << 40)
#define FRAME_MAC_BROADCAST 0xffffffffffffull

static inline uint64_t frame_destination(const struct frame *frame)
{
	return frame_address(frame->head);
}

static inline uint64_t frame_source(const struct frame *frame)
{
	return frame_address(frame->head + 6);
}

#endif
