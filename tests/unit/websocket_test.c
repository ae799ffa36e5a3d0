/* web/websocket.c: frames in pieces of any size, each fault with its status, and what we send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "lib/check.h"
#include "web/websocket.h"

static const uint8_t mask[4] = {0x11, 0x22, 0x33, 0x44};

static size_t put_frame(uint8_t *to, uint8_t start, const char *text, size_t length)
{
	size_t size = 2;

	to[0] = start;
	to[1] = (uint8_t)(0x80 | (length < 126 ? length : 126));
	if (length >= 126) {
		to[2] = (uint8_t)(length >> 8);
		to[3] = (uint8_t)length;
		size = 4;
	}
	memcpy(to + size, mask, 4);
	for (size_t i = 0; i < length; i++) {
		to[size + 4 + i] = (uint8_t)text[i] ^ mask[i % 4];
	}
	return size + 4 + length;
}

/* All data of the frames, in steps of so many bytes; a ping is shown as <...>, an end as |. */
static unsigned int take_all(const uint8_t *frames, size_t length, size_t step, char *text)
{
	struct websocket socket = {0};
	struct websocket_piece piece;
	uint8_t bytes[512];
	size_t at = 0, part, taken;

	*text = '\0';
	while (at < length) {
		part = length - at < step ? length - at : step;
		memcpy(bytes, frames + at, part);
		taken = websocket_take(&socket, bytes, part, &piece);
		assert_in_range(taken, 1, part);
		at += taken;
		if (piece.kind == WEBSOCKET_BAD) {
			return piece.status;
		}
		if (piece.kind == WEBSOCKET_IS_PING) {
			strcat(text, "<");
		}
		if (piece.kind == WEBSOCKET_DATA || piece.kind == WEBSOCKET_IS_PING) {
			strncat(text, (const char *)piece.bytes, piece.length);
		}
		if (piece.kind == WEBSOCKET_IS_PING || piece.kind == WEBSOCKET_IS_CLOSE) {
			strcat(text, piece.kind == WEBSOCKET_IS_PING ? ">" : "|");
		}
	}
	return 0;
}

static void frames_come_in_pieces(void **state)
{
	char long_text[300], text[1024], wanted[1024];
	uint8_t frames[1024];
	size_t length = 0;

	(void)state;
	memset(long_text, 'x', sizeof(long_text));
	length += put_frame(frames + length, 0x02, "one ", 4);
	length += put_frame(frames + length, 0x89, "ping", 4); /* between two of a message */
	length += put_frame(frames + length, 0x00, "", 0);
	length += put_frame(frames + length, 0x80, "two ", 4);
	length += put_frame(frames + length, 0x8a, "pong", 4);
	length += put_frame(frames + length, 0x82, long_text, sizeof(long_text));
	length += put_frame(frames + length, 0x88, "\x03\xe8", 2);
	snprintf(wanted, sizeof(wanted), "one <ping>two %.300s|", long_text);
	for (size_t step = 1; step <= 512; step++) {
		assert_int_equal(take_all(frames, length, step, text), 0);
		assert_string_equal(text, wanted);
	}
}

static void what_is_no_frame_is_refused(void **state)
{
	static const struct {
		uint8_t bytes[14];
		unsigned int length, status;
	} cases[] = {
		{{0x82, 0x01, 'a'}, 3, WEBSOCKET_PROTOCOL},        /* not masked */
		{{0xc2, 0x80, 0, 0, 0, 0}, 6, WEBSOCKET_PROTOCOL}, /* an extension */
		{{0x80, 0x80, 0, 0, 0, 0}, 6, WEBSOCKET_PROTOCOL}, /* goes on with nothing */
		{{0x83, 0x80, 0, 0, 0, 0}, 6, WEBSOCKET_PROTOCOL}, /* an opcode of nobody's */
		{{0x8b, 0x80, 0, 0, 0, 0}, 6, WEBSOCKET_PROTOCOL}, /* likewise */
		{{0x09, 0x80, 0, 0, 0, 0}, 6, WEBSOCKET_PROTOCOL}, /* a ping in parts */
		{{0x89, 0xfe, 0, 126, 0, 0, 0, 0}, 8, WEBSOCKET_PROTOCOL}, /* a long one */
		{{0x81, 0x80, 0, 0, 0, 0}, 6, WEBSOCKET_TYPE},             /* text */
		{{0x82, 0xfe, 0, 125, 0, 0, 0, 0}, 8, WEBSOCKET_PROTOCOL}, /* too long a length */
		{{0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0}, 14, WEBSOCKET_PROTOCOL},
		{{0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 14, WEBSOCKET_TOO_BIG},
		{{0x82, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 1, 0, 0, 0, 0}, 14, WEBSOCKET_TOO_BIG},
	};
	char text[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		for (size_t step = 1; step <= 14; step++) {
			assert_int_equal(take_all(cases[i].bytes, cases[i].length, step, text),
					 cases[i].status);
		}
	}
}

static void heads_are_as_short_as_can_be(void **state)
{
	uint8_t head[WEBSOCKET_HEAD_MAX];

	(void)state;
	assert_int_equal(websocket_head(head, WEBSOCKET_BINARY, 125), 2);
	assert_memory_equal(head, "\x82\x7d", 2);
	assert_int_equal(websocket_head(head, WEBSOCKET_BINARY, 126), 4);
	assert_memory_equal(head, "\x82\x7e\x00\x7e", 4);
	assert_int_equal(websocket_head(head, WEBSOCKET_CLOSE, 65536), 10);
	assert_memory_equal(head, "\x88\x7f\0\0\0\0\0\x01\0\0", 10);
}

static void a_key_is_answered(void **state)
{
	char accept[WEBSOCKET_ACCEPT_MAX];

	(void)state;
	/* The example of RFC 6455, section 1.3. */
	assert_true(websocket_accept("dGhlIHNhbXBsZSBub25jZQ==", accept));
	assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
	assert_false(websocket_accept("short", accept));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_come_in_pieces),
		cmocka_unit_test(what_is_no_frame_is_refused),
		cmocka_unit_test(heads_are_as_short_as_can_be),
		cmocka_unit_test(a_key_is_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
