/*
 * A guest's port on the virtual switch: what its worker and vswitchd share.
 *
 * The worker connects to the switch's port socket (SOCK_SEQPACKET), sends one struct port_hello
 * (and another one where the answer is that the port is in use: -EBUSY) with the descriptors of its
 * guest's memory, and receives one struct port_welcome with those of the port memory and its
 * events. From then on the connection carries nothing; its end is the end of the port, from either
 * side.
 *
 * Port memory is made by the switch and sealed against any change of its size. It is laid out as
 *
 *   page 0                struct port_state
 *   for each queue        struct port_ring and its slots: out of the guest
 *                         struct port_ring and its slots: in to the guest
 *
 * each part beginning at a multiple of PORT_ALIGN; ring_memory_bytes() and ring_at() of
 * switch/ring.h know where.
 *
 * The switch reads the guest memory of frames, and writes that of buffers, from the moment they are
 * added until they are answered; a worker that keeps a log of what is written counts all of a
 * buffer as written when it is answered with a frame.
 *
 * Frames are Ethernet without preamble and FCS, from PORT_FRAME_MIN to PORT_FRAME_MAX bytes. A VLAN
 * tag travels beside the frame, not in it. Numbers are little-endian; bytes, unless they say
 * otherwise.
 */
#ifndef SWITCH_PORT_H
#define SWITCH_PORT_H

#include <assert.h>
#include <stdint.h>

#define PORT_VERSION 1
#define PORT_SOCKET  "/run/vswitchd.ports" /* unless vswitchd is told otherwise */

#define PORT_ALIGN       4096u
#define PORT_QUEUES_MAX  16u
#define PORT_SLOTS_MIN   64u
#define PORT_SLOTS_MAX   4096u /* of a ring; a power of two */
#define PORT_REGIONS_MAX 16u
#define PORT_NAME_MAX    64u /* with its NUL */

#define PORT_FRAME_MIN  14u
#define PORT_FRAME_MAX  65550u /* a header, and the largest IP packet */
#define PORT_PIECES_MAX 40u    /* slots of one frame, or of one buffer */

enum port_slot_flag {
	/* The worker: the frame or buffer goes on in the next slot. */
	PORT_MORE = 1,
	/* The switch, of a slot of an `in` ring: the frame goes on in the next buffer. */
	PORT_CONTINUES = 2,
	PORT_TAGGED = 4, /* `tag` holds */
	/*
	 * The checksum field at csum_start + csum_offset holds the sum of the pseudo header; the
	 * sum from csum_start to the frame's end is still to be added.
	 */
	PORT_CSUM_NEEDED = 8,
	PORT_CSUM_GOOD = 16, /* whoever sent it vouches for the checksums */
	/* The switch, of a slot of an `in` ring: nothing is in this buffer, it comes back. */
	PORT_UNUSED = 32,
};

enum port_gso {
	PORT_GSO_NONE = 0,
	/*
	 * TCP, to be cut into frames with gso_bytes of payload. Needs PORT_CSUM_NEEDED; lengths in
	 * the IP header and the TCP pseudo header are those of the whole frame, and the IPv4
	 * header's sum is right.
	 */
	PORT_GSO_TCP4 = 1,
	PORT_GSO_TCP6 = 2,
};

/*
 * A piece of guest memory. What stands behind `region` is of the frame, and in the first slot of a
 * frame alone. In an `in` ring the worker fills in the piece and PORT_MORE; the switch's answer is
 * in the first slot of each buffer: `bytes` is then the number of bytes in this buffer, and the
 * rest of a frame's first buffer is as it would be for a frame from a guest.
 */
struct port_slot {
	uint64_t offset; /* in the region */
	uint32_t bytes;
	uint8_t region;
	uint8_t flags;         /* enum port_slot_flag */
	uint8_t gso;           /* enum port_gso */
	uint8_t reserved;      /* 0 */
	uint16_t gso_bytes;    /* of payload in each frame but the last */
	uint16_t header_bytes; /* Ethernet to TCP, where gso is set */
	uint16_t csum_start;
	uint16_t csum_offset;
	uint16_t tag; /* 802.1Q: priority 15:13, DEI 12, VLAN 11:0 */
	uint16_t reserved2;
	/*
	 * Of the flow; 0: none. Out of a guest it is any that the guest has, by which others'
	 * queues may be chosen; in to it the one that its worker has asked for (hash_types).
	 */
	uint32_t hash;
};
static_assert(sizeof(struct port_slot) == 32, "port_slot");

/*
 * The control of a ring, with its slots behind it. Each index counts slots since the beginning,
 * modulo 2^32; slot n is at n modulo the ring's size.
 */
struct port_ring {
	/* Written by the worker; `worker_waits` also by the switch, which clears it and signals. */
	uint32_t added;
	uint32_t worker_waits; /* 1: signal me when `done` moves */
	uint8_t reserved1[56];
	/* Written by the switch; `switch_waits` also by the worker, which clears it and signals. */
	uint32_t done;
	uint32_t switch_waits; /* 1: signal me when `added` moves */
	uint8_t reserved2[56];
};
static_assert(sizeof(struct port_ring) == 128, "port_ring");

enum port_take {
	PORT_TAKES_CSUM = 1, /* frames whose checksum is unfinished (PORT_CSUM_NEEDED) */
	PORT_TAKES_TCP4 = 2, /* frames that are not cut (PORT_GSO_*); needs PORT_TAKES_CSUM */
	PORT_TAKES_TCP6 = 4,
	PORT_TAKES_ALL = 8, /* promiscuous: frames that are not for its address */
	/*
	 * Any frame at all. Without it the port is as unplugged, and all buffers come back with
	 * PORT_UNUSED, once the switch was signalled.
	 */
	PORT_HEARS = 16,
	/*
	 * In place of all others: what is for its guest goes by a virtual function of the uplink's
	 * card. The port hears nothing, and its address is behind the uplink.
	 */
	PORT_ELSEWHERE = 32,
};

#define PORT_STEER    128u
#define PORT_HASH_KEY 40u

/* Which frames are hashed: of IP by their addresses, of TCP by their ports as well. */
enum port_hash {
	PORT_HASH_IP4 = 1,
	PORT_HASH_TCP4 = 2,
	PORT_HASH_IP6 = 4,
	PORT_HASH_TCP6 = 8,
};

struct port_state {
	/* Written by the worker, at any time; it holds for the frames of the next turn. */
	uint32_t takes;     /* enum port_take */
	uint32_t max_bytes; /* of a frame that is not PORT_GSO_*, without its tag */
	uint8_t reserved1[56];
	/* Written by the switch; all queues' events are signalled after a change. */
	uint32_t link;  /* 1: up */
	uint32_t speed; /* Mbit/s */
	uint8_t reserved2[56];
	/*
	 * Written by the worker: a frame goes to queue steer[hash % PORT_STEER]; one that is not
	 * there is 0. A flow that came out of the guest by a queue that the table has goes in by
	 * the same.
	 */
	uint8_t steer[PORT_STEER];
	/*
	 * Likewise: the Toeplitz hash by which that is done, of several queues; enum port_hash. 0:
	 * any hash. A switch that does not know it has its own.
	 */
	uint32_t hash_types;
	uint8_t hash_key[PORT_HASH_KEY];
	uint8_t reserved3[84];
};
static_assert(sizeof(struct port_state) == 256 + PORT_STEER, "port_state");

/*
 * Region n is the n-th descriptor of the hello: a memory file that is sealed against shrinking, of
 * which `bytes` from `offset` are mapped, both multiples of 4,096.
 */
struct port_region {
	uint64_t offset;
	uint64_t bytes;
};

struct port_hello {
	uint32_t version; /* PORT_VERSION */
	uint32_t region_count;
	uint32_t queue_count;
	uint32_t out_slots; /* of each queue */
	uint32_t in_slots;
	uint8_t mac[6]; /* zeros: the switch chooses one */
	uint16_t vlan; /* access to this VLAN, for a port that is made by this hello; 0: untagged */
	uint8_t reserved[4];
	char network[PORT_NAME_MAX]; /* the switch's name */
	char port[PORT_NAME_MAX];    /* one that exists and has no worker, or a new one */
	struct port_region regions[PORT_REGIONS_MAX];
};
static_assert(sizeof(struct port_hello) == 32 + 2 * PORT_NAME_MAX + 16 * PORT_REGIONS_MAX,
	      "port_hello");

/* Descriptors: the port memory, the switch's event, then the worker's event of each queue. */
struct port_welcome {
	int32_t result; /* 0 or a negative errno; then there is no descriptor */
	uint32_t queue_count;
	uint32_t out_slots;
	uint32_t in_slots;
	uint8_t mac[6];
	uint8_t reserved[2];
	char text[256]; /* what is wrong, and the remedy */
};
static_assert(sizeof(struct port_welcome) == 280, "port_welcome");

#endif
