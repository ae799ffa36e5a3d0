/* Frames for tests of the switch. Addresses of stations are 02:00:00:00:00:N, 10.0.0.N, fd00::N. */
#ifndef TESTS_FAKE_PACKET_H
#define TESTS_FAKE_PACKET_H

#include <stdint.h>

#define PACKET_MAC(n)    (0x020000000000ull | (n))
#define PACKET_BROADCAST 0xffffffffffffull

struct packet {
	uint32_t length;
	uint8_t bytes[66000];
};

void packet_ethernet(struct packet *packet, uint64_t to, uint64_t from, uint16_t type);
/* A tag behind the addresses. */
void packet_tag(struct packet *packet, uint16_t type, uint16_t tag);
void packet_put(struct packet *packet, const void *bytes, uint32_t length);
/* `length` bytes that a place tells from any other. */
void packet_fill(struct packet *packet, uint32_t length);
/*
 * An IP packet from station `from` to `to`, whose addresses in both layers are made of the numbers;
 * 4 or 6. Payload follows; packet_close() sets lengths and checksums of all that is there.
 */
void packet_ip(struct packet *packet, uint32_t family, uint32_t to, uint32_t from,
	       uint8_t protocol);
void packet_udp(struct packet *packet, uint32_t family, uint32_t to, uint32_t from,
		uint16_t to_port, uint16_t from_port);
void packet_tcp(struct packet *packet, uint32_t family, uint32_t to, uint32_t from,
		uint16_t to_port, uint16_t from_port, uint32_t sequence, uint8_t flags);
void packet_close(struct packet *packet);
/* The transport's checksum field holds the sum of the pseudo header alone. */
void packet_unfinish(struct packet *packet);
/* All lengths and sums of a frame are right; else what is not. NULL: all well. */
const char *packet_wrong(const uint8_t *bytes, uint32_t length);

#endif
