/* switch/frame.c and offload.c: reading headers, cutting and finishing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/check.h"
#include "switch/offload.h"
#include "tests/fake/packet.h"

static struct packet packet;
static struct frame frame, piece;
static uint8_t flat[66000];

void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: CHECK(%s) failed\n", file, line, what);
	abort();
}

/* The packet as a frame in pieces of that many bytes, as many as there may be. */
static enum drop make(uint32_t piece_bytes, struct frame_offload offload)
{
	static struct iovec iov[PORT_PIECES_MAX];
	uint32_t count = 0, at = 0;

	do {
		uint32_t part = packet.length - at;

		part = part > piece_bytes && count < PORT_PIECES_MAX - 1 ? piece_bytes : part;
		iov[count++] = (struct iovec){.iov_base = packet.bytes + at, .iov_len = part};
		at += part;
	} while (at < packet.length);
	frame_init(&frame, iov, count);
	frame.offload = offload;
	return frame_check(&frame);
}

static void assert_right(const struct frame *of)
{
	const char *wrong;

	frame_copy(of, 0, of->bytes, flat);
	wrong = packet_wrong(flat, of->bytes);
	if (wrong != NULL) {
		fail_msg("%s is wrong", wrong);
	}
}

static void a_sum_is_that_of_all_bytes(void **state)
{
	(void)state;
	for (uint32_t length = 1; length < 200; length += 3) {
		for (uint32_t cut = 1; cut < 30; cut += 7) {
			packet_udp(&packet, cut % 2 ? 4 : 6, 1, 2, 1000, 2000);
			packet_fill(&packet, length);
			packet_close(&packet);
			packet_unfinish(&packet);
			assert_int_equal(
				make(cut, (struct frame_offload){.flags = PORT_CSUM_NEEDED,
								 .csum_start = cut % 2 ? 34 : 54,
								 .csum_offset = 6}),
				DROP_NONE);
			offload_finish(&frame);
			assert_false(frame.offload.flags & PORT_CSUM_NEEDED);
			assert_right(&frame);
		}
	}
}

/* A sum of zero would say in UDP that there is none; in TCP it is what it is. */
static void a_sum_of_zero(void **state)
{
	(void)state;
	for (uint32_t tcp = 0; tcp < 2; tcp++) {
		uint32_t field = tcp ? 34 + 16 : 34 + 6;
		uint8_t payload[2] = {0};

		for (uint32_t twice = 0; twice < 2; twice++) {
			if (tcp) {
				packet_tcp(&packet, 4, 1, 2, 1000, 2000, 1, 0x10);
			} else {
				packet_udp(&packet, 4, 1, 2, 1000, 2000);
			}
			packet_put(&packet, payload, 2);
			packet_close(&packet);
			memcpy(payload, packet.bytes + field,
			       2); /* with this behind it, all together are zero */
		}
		packet_unfinish(&packet);
		assert_int_equal(make(100, (struct frame_offload){.flags = PORT_CSUM_NEEDED,
								  .csum_start = 34,
								  .csum_offset = tcp ? 16 : 6}),
				 DROP_NONE);
		offload_finish(&frame);
		assert_int_equal(frame_u16(frame.head + field), tcp ? 0 : 0xffff);
	}
}

static void cut(uint32_t family, uint32_t payload, uint16_t gso_bytes, uint32_t piece_bytes,
		bool tag)
{
	uint32_t header = (family == 4 ? 54 : 74), seen = 0, count;

	packet_tcp(&packet, family, 1, 2, 80, 1234, 0xfffff000u, 0x99); /* CWR ACK PSH FIN */
	packet_fill(&packet, payload);
	packet_close(&packet);
	packet_unfinish(&packet);
	if (tag) {
		packet_tag(&packet, ETHERTYPE_VLAN, 7);
	}
	assert_int_equal(
		make(piece_bytes,
		     (struct frame_offload){.flags = PORT_CSUM_NEEDED,
					    .gso = family == 4 ? PORT_GSO_TCP4 : PORT_GSO_TCP6,
					    .gso_bytes = gso_bytes,
					    .header_bytes = 77,
					    .csum_start = 34,
					    .csum_offset = 16}),
		DROP_NONE);
	assert_int_equal(frame.tagged, tag);
	count = offload_count(&frame);
	assert_int_equal(count, (payload + gso_bytes - 1) / gso_bytes);
	for (uint32_t n = 0; n < count; n++) {
		const uint8_t *tcp;

		offload_cut(&piece, &frame, n);
		assert_true(piece.offload.flags & PORT_CSUM_NEEDED);
		offload_finish(&piece);
		assert_right(&piece);
		tcp = flat + header - 20;
		assert_int_equal((uint32_t)frame_u16(tcp + 4) << 16 | frame_u16(tcp + 6),
				 0xfffff000u + seen);
		assert_int_equal(tcp[13], 0x10 | (n == 0 ? 0x80 : 0) | (n + 1 == count ? 0x09 : 0));
		assert_memory_equal(flat + header, packet.bytes + header + (tag ? 4 : 0) + seen,
				    piece.bytes - header);
		seen += piece.bytes - header;
		assert_true(n + 1 == count || piece.bytes - header == gso_bytes);
	}
	assert_int_equal(seen, payload);
}

static void a_long_frame_is_cut(void **state)
{
	(void)state;
	cut(4, 4000, 1460, 60000, false);
	cut(6, 4000, 1440, 1500, true);
	cut(4, 65481, 1448, 4096, false);
	cut(6, 65461, 48, 1700, false);
	cut(4, 1461, 1460, 3, true);
}

static void a_short_one_only_lacks_its_sum(void **state)
{
	(void)state;
	packet_tcp(&packet, 4, 1, 2, 80, 1234, 1, 0x18);
	packet_fill(&packet, 1000);
	packet_close(&packet);
	packet_unfinish(&packet);
	for (uint16_t gso_bytes = 0; gso_bytes <= 1000; gso_bytes += 1000) {
		assert_int_equal(make(2000, (struct frame_offload){.gso = PORT_GSO_TCP4,
								   .gso_bytes = gso_bytes}),
				 DROP_NONE);
		assert_int_equal(offload_count(&frame), 1);
		assert_int_equal(frame.offload.gso, PORT_GSO_NONE);
		offload_finish(&frame);
		assert_right(&frame);
	}
}

static void what_does_not_fit_the_frame(void **state)
{
	struct frame_offload gso = {.gso = PORT_GSO_TCP4, .gso_bytes = 100};

	(void)state;
	packet_tcp(&packet, 4, 1, 2, 80, 1234, 1, 0x18);
	packet_fill(&packet, 1000);
	packet_close(&packet);
	assert_int_equal(make(2000, gso), DROP_NONE);
	gso.gso_bytes = 47; /* too many frames of one */
	assert_int_equal(make(2000, gso), DROP_OFFLOAD);
	gso.gso_bytes = 100;
	gso.gso = PORT_GSO_TCP6;
	assert_int_equal(make(2000, gso), DROP_OFFLOAD);
	gso.gso = 3;
	assert_int_equal(make(2000, gso), DROP_OFFLOAD);
	gso.gso = PORT_GSO_TCP4;
	packet.bytes[46] = 0x40; /* a TCP header of 16 bytes */
	assert_int_equal(make(2000, gso), DROP_OFFLOAD);
	packet.bytes[46] = 0xf0;
	packet.length = 54 + 39; /* shorter than its header */
	assert_int_equal(make(2000, gso), DROP_OFFLOAD);
	packet_udp(&packet, 4, 1, 2, 80, 1234);
	packet_fill(&packet, 1000);
	assert_int_equal(make(2000, gso), DROP_OFFLOAD);
	assert_int_equal(make(2000, (struct frame_offload){.flags = PORT_CSUM_NEEDED,
							   .csum_start = 13,
							   .csum_offset = 6}),
			 DROP_OFFLOAD);
	assert_int_equal(make(2000, (struct frame_offload){.flags = PORT_CSUM_NEEDED,
							   .csum_start = 65535,
							   .csum_offset = 65535}),
			 DROP_OFFLOAD);
	/* The field must be in what was copied. */
	assert_int_equal(make(2000, (struct frame_offload){.flags = PORT_CSUM_NEEDED,
							   .csum_start = 120,
							   .csum_offset = 6}),
			 DROP_NONE);
	assert_int_equal(make(2000, (struct frame_offload){.flags = PORT_CSUM_NEEDED,
							   .csum_start = 121,
							   .csum_offset = 6}),
			 DROP_OFFLOAD);
	packet_tag(&packet, ETHERTYPE_VLAN, 1);
	assert_int_equal(make(2000, (struct frame_offload){.flags = PORT_CSUM_NEEDED,
							   .csum_start = 17,
							   .csum_offset = 6}),
			 DROP_OFFLOAD);
	packet.length = 13;
	assert_int_equal(make(2000, (struct frame_offload){0}), DROP_LENGTH);
	packet.length = 17; /* a tag, and no type behind it */
	assert_int_equal(make(2000, (struct frame_offload){0}), DROP_LENGTH);
	packet_ethernet(&packet, 1, 2, 0x1234);
	packet.length = PORT_FRAME_MAX;
	assert_int_equal(make(2000, (struct frame_offload){0}), DROP_NONE);
	packet.length = PORT_FRAME_MAX + 1;
	assert_int_equal(make(2000, (struct frame_offload){0}), DROP_LENGTH);
}

static void headers(void **state)
{
	static const uint8_t hop[] = {6, 0, 1, 2, 0, 0, 0, 0}, first[] = {17, 0, 0, 1, 0, 0, 0, 9},
			     later[] = {17, 0, 0, 8, 0, 0, 0, 9};
	const struct frame_headers *h = &frame.headers;
	const struct frame_offload none = {0};

	(void)state;
	packet_udp(&packet, 4, 1, 2, 53, 4000);
	packet_close(&packet);
	assert_int_equal(make(9, none), DROP_NONE);
	assert_true(h->family == 4 && h->protocol == 17 && h->transport == 34 && !h->fragment);
	assert_true(h->source_port == 4000 && h->destination_port == 53 && h->destination[3] == 1);
	packet.bytes[20] = 0x20; /* the first of several pieces */
	make(9, none);
	assert_true(h->fragment && !h->later && h->transport == 34);
	packet.bytes[21] = 1;
	make(9, none);
	assert_true(h->fragment && h->later && h->transport == 0 && h->source_port == 0);
	packet.bytes[20] = packet.bytes[21] = 0;
	packet.length = 41; /* half of a UDP header */
	make(9, none);
	assert_true(h->unknown);
	packet.bytes[14] = 0x4f; /* options that are not there */
	make(9, none);
	assert_true(h->unknown);
	packet_tcp(&packet, 4, 1, 2, 53, 4000, 0, 0);
	packet.bytes[21] = 1; /* over the flags of the first piece */
	make(9, none);
	assert_true(h->unknown);

	packet_ip(&packet, 6, 1, 2, 0);
	packet_put(&packet, hop, 8);
	packet_fill(&packet, 20);
	make(50, none);
	assert_true(h->family == 6 && h->protocol == 6 && h->transport == 62 && !h->unknown);
	packet_ip(&packet, 6, 1, 2, 44);
	packet_put(&packet, first, 8);
	packet_fill(&packet, 20);
	make(50, none);
	assert_true(h->protocol == 17 && h->fragment && !h->later && h->transport == 62);
	packet_ip(&packet, 6, 1, 2, 44);
	packet_put(&packet, later, 8);
	packet_fill(&packet, 20);
	make(50, none);
	assert_true(h->protocol == 17 && h->later && h->transport == 0 && !h->unknown);
	packet_ip(&packet, 6, 1, 2, 0); /* a chain that leaves the head */
	packet_put(&packet, (const uint8_t[]){60, 5}, 2);
	packet_fill(&packet, 300);
	packet.bytes[54 + 48] = 58;
	packet.bytes[54 + 49] = 7;
	make(50, none);
	assert_true(h->unknown);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sum_is_that_of_all_bytes),
		cmocka_unit_test(a_sum_of_zero),
		cmocka_unit_test(a_long_frame_is_cut),
		cmocka_unit_test(a_short_one_only_lacks_its_sum),
		cmocka_unit_test(what_does_not_fit_the_frame),
		cmocka_unit_test(headers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
