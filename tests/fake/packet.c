/* See packet.h. Sums are computed the plain way, word by word, in another way than the switch
 * does. */
#include "tests/fake/packet.h"

#include <stddef.h>
#include <string.h>

#include "lib/check.h"

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static uint32_t get16(const uint8_t *at)
{
	return (uint32_t)(at[0] << 8 | at[1]);
}

static uint32_t add(uint32_t sum, const uint8_t *at, uint32_t length)
{
	for (uint32_t i = 0; i < length; i++) {
		sum += i % 2 ? at[i] : (uint32_t)at[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return sum;
}

void packet_put(struct packet *packet, const void *bytes, uint32_t length)
{
	CHECK(length <= sizeof(packet->bytes) - packet->length);
	memcpy(packet->bytes + packet->length, bytes, length);
	packet->length += length;
}

void packet_fill(struct packet *packet, uint32_t length)
{
	for (uint32_t i = 0; i < length; i++) {
		uint8_t byte = (uint8_t)(packet->length * 7 + (packet->length >> 8));

		packet_put(packet, &byte, 1);
	}
}

static void put_mac(uint8_t *at, uint64_t mac)
{
	for (int i = 0; i < 6; i++) {
		at[i] = (uint8_t)(mac >> (40 - 8 * i));
	}
}

void packet_ethernet(struct packet *packet, uint64_t to, uint64_t from, uint16_t type)
{
	packet->length = 14;
	put_mac(packet->bytes, to);
	put_mac(packet->bytes + 6, from);
	put16(packet->bytes + 12, type);
}

void packet_tag(struct packet *packet, uint16_t type, uint16_t tag)
{
	memmove(packet->bytes + 16, packet->bytes + 12, packet->length - 12);
	put16(packet->bytes + 12, type);
	put16(packet->bytes + 14, tag);
	packet->length += 4;
}

void packet_ip(struct packet *packet, uint32_t family, uint32_t to, uint32_t from, uint8_t protocol)
{
	uint8_t ip4[20] = {0x45, [4] = 0x12,    0x34, [8] = 64, protocol, [12] = 10,  0,
			   0,    (uint8_t)from, 10,   0,        0,        (uint8_t)to};
	uint8_t ip6[40] = {0x60, [6] = protocol,    64, 0xfd, [23] = (uint8_t)from,
			   0xfd, [39] = (uint8_t)to};

	packet_ethernet(packet, PACKET_MAC(to), PACKET_MAC(from), family == 4 ? 0x0800 : 0x86dd);
	packet_put(packet, family == 4 ? ip4 : ip6, family == 4 ? 20 : 40);
}

void packet_udp(struct packet *packet, uint32_t family, uint32_t to, uint32_t from,
		uint16_t to_port, uint16_t from_port)
{
	uint8_t udp[8] = {(uint8_t)(from_port >> 8), (uint8_t)from_port, (uint8_t)(to_port >> 8),
			  (uint8_t)to_port};

	packet_ip(packet, family, to, from, 17);
	packet_put(packet, udp, sizeof(udp));
}

void packet_tcp(struct packet *packet, uint32_t family, uint32_t to, uint32_t from,
		uint16_t to_port, uint16_t from_port, uint32_t sequence, uint8_t flags)
{
	uint8_t tcp[20] = {0};

	put16(tcp, from_port);
	put16(tcp + 2, to_port);
	put16(tcp + 4, sequence >> 16);
	put16(tcp + 6, sequence);
	tcp[12] = 0x50;
	tcp[13] = flags;
	packet_ip(packet, family, to, from, 6);
	packet_put(packet, tcp, sizeof(tcp));
}

struct place {
	uint32_t network, transport, protocol,
		csum; /* csum: of the field in the transport; 0: none */
	uint32_t pseudo;
};

static struct place find(const uint8_t *bytes, uint32_t length)
{
	struct place place = {.network = get16(bytes + 12) == 0x8100 ? 18 : 14};
	const uint8_t *ip = bytes + place.network;
	uint32_t addresses;

	if (get16(ip - 2) == 0x0800) {
		place.transport = place.network + (ip[0] & 15u) * 4;
		place.protocol = ip[9];
		addresses = add(0, ip + 12, 8);
	} else if (get16(ip - 2) == 0x86dd) {
		place.transport = place.network + 40;
		place.protocol = ip[6];
		addresses = add(0, ip + 8, 32);
	} else {
		return place;
	}
	place.csum = place.protocol == 6 ? 16 : place.protocol == 17 ? 6 : 0;
	place.pseudo = addresses + place.protocol + (length - place.transport);
	place.pseudo = (place.pseudo & 0xffff) + (place.pseudo >> 16);
	return place;
}

void packet_close(struct packet *packet)
{
	struct place place = find(packet->bytes, packet->length);
	uint8_t *ip = packet->bytes + place.network, *transport = packet->bytes + place.transport;
	uint32_t bytes = packet->length - place.transport;

	CHECK(place.transport != 0);
	if (ip[0] >> 4 == 4) {
		put16(ip + 2, packet->length - place.network);
		put16(ip + 10, 0);
		put16(ip + 10, ~add(0, ip, (ip[0] & 15u) * 4));
	} else {
		put16(ip + 4, packet->length - place.network - 40);
	}
	if (place.protocol == 17) {
		put16(transport + 4, bytes);
	}
	if (place.csum != 0) {
		put16(transport + place.csum, 0);
		put16(transport + place.csum, ~add(place.pseudo, transport, bytes));
	}
}

void packet_unfinish(struct packet *packet)
{
	struct place place = find(packet->bytes, packet->length);

	CHECK(place.csum != 0);
	put16(packet->bytes + place.transport + place.csum, place.pseudo);
}

const char *packet_wrong(const uint8_t *bytes, uint32_t length)
{
	struct place place = find(bytes, length);
	const uint8_t *ip = bytes + place.network;

	if (place.transport == 0) {
		return NULL;
	}
	if (ip[0] >> 4 == 4) {
		if (get16(ip + 2) != length - place.network) {
			return "the length in the IPv4 header";
		}
		if (add(0, ip, (ip[0] & 15u) * 4) != 0xffff) {
			return "the IPv4 header's sum";
		}
	} else if (get16(ip + 4) != length - place.network - 40) {
		return "the length in the IPv6 header";
	}
	if (place.csum != 0 &&
	    add(place.pseudo, bytes + place.transport, length - place.transport) != 0xffff) {
		return "the transport's sum";
	}
	return NULL;
}
