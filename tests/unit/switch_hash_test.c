/*
 * switch/hash.c: the values that the definition of receive side scaling gives for checks
 * ("Verifying the RSS hash calculation"), of frames as the switch reads them.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/check.h"
#include "switch/hash.h"
#include "tests/fake/packet.h"

void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: CHECK(%s) failed\n", file, line, what);
	abort();
}

static const uint8_t key[PORT_HASH_KEY] = {
	0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
	0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
	0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

static const struct {
	int family;
	const char *to;
	uint16_t to_port;
	const char *from;
	uint16_t from_port;
	uint32_t addresses, ports;
} published[] = {
	/* clang-format off */
	{4, "161.142.100.80",            1766,  "66.9.149.187",                         2794,  0x323e8fc2, 0x51ccc178},
	{4, "65.69.140.83",              4739,  "199.92.111.2",                         14230, 0xd718262a, 0xc626b0ea},
	{4, "12.22.207.184",             38024, "24.19.198.95",                         12898, 0xd2d0a5de, 0x5c2b394a},
	{4, "209.142.163.6",             2217,  "38.27.205.30",                         48228, 0x82989176, 0xafc7327f},
	{4, "202.188.127.2",             1303,  "153.39.163.191",                       44251, 0x5d1809c5, 0x10e828a2},
	{6, "3ffe:2501:200:3::1",        1766,  "3ffe:2501:200:1fff::7",                2794,  0x2cc18cd5, 0x40207d3d},
	{6, "ff02::1",                   4739,  "3ffe:501:8::260:97ff:fe40:efab",       14230, 0x0f0c461c, 0xdde51bbf},
	{6, "fe80::200:f8ff:fe21:67cf",  38024, "3ffe:1900:4545:3:200:f8ff:fe21:67cf",  44251, 0x4b61e985, 0x02d1feef},
	/* clang-format on */
};

static struct hash_table table;
static struct packet packet;
static struct frame frame;

static int setup(void **state)
{
	(void)state;
	hash_set_key(&table, key);
	return 0;
}

static uint32_t hash_of(uint32_t types)
{
	struct iovec piece = {packet.bytes, packet.length};

	frame_init(&frame, &piece, 1);
	assert_int_equal(frame_check(&frame), DROP_NONE);
	return hash_frame(&table, types, &frame.headers);
}

/* A frame of TCP between the addresses of a row. */
static void make(unsigned int row)
{
	bool ip4 = published[row].family == 4;
	uint32_t at = ip4 ? 26 : 22, bytes = ip4 ? 4 : 16;
	int family = ip4 ? AF_INET : AF_INET6;

	packet_tcp(&packet, (uint32_t)published[row].family, 1, 2, published[row].to_port,
		   published[row].from_port, 1, 0x10);
	packet_close(&packet);
	assert_int_equal(inet_pton(family, published[row].from, packet.bytes + at), 1);
	assert_int_equal(inet_pton(family, published[row].to, packet.bytes + at + bytes), 1);
}

static void published_values(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_COUNT(published); i++) {
		bool ip4 = published[i].family == 4;
		uint32_t addresses = ip4 ? PORT_HASH_IP4 : PORT_HASH_IP6;
		uint32_t ports = ip4 ? PORT_HASH_TCP4 : PORT_HASH_TCP6;

		make(i);
		assert_int_equal(hash_of(ports | addresses), published[i].ports);
		assert_int_equal(hash_of(ports), published[i].ports);
		assert_int_equal(hash_of(addresses), published[i].addresses);
		/* Of the other family, or of nothing. */
		assert_int_equal(hash_of(~(addresses | ports)), 0);
	}
}

static void ports_are_those_of_whole_tcp(void **state)
{
	(void)state;
	make(0);
	packet.bytes[20] = 0x20; /* the first of several fragments */
	assert_int_equal(hash_of(PORT_HASH_IP4 | PORT_HASH_TCP4), published[0].addresses);
	assert_int_equal(hash_of(PORT_HASH_TCP4), 0);
	packet.bytes[20] = 0;
	packet.bytes[23] = 17; /* UDP */
	assert_int_equal(hash_of(PORT_HASH_IP4 | PORT_HASH_TCP4), published[0].addresses);
	packet.bytes[12] = 0x88; /* no IP */
	packet.bytes[13] = 0xb5;
	assert_int_equal(hash_of(~0u), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(published_values, setup),
		cmocka_unit_test_setup(ports_are_those_of_whole_tcp, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
