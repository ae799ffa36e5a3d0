/* See websocket.h. */
#include "web/websocket.h"

#include <stdio.h>
#include <string.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#define FIN      0x80u
#define RESERVED 0x70u
#define OPCODE   0x0fu
#define MASKED   0x80u
#define LENGTH   0x7fu
#define KEY_TEXT 24 /* base64 of 16 bytes */
#define SHA1     20

static bool is_control(const struct websocket *socket)
{
	return (socket->head[0] & 8u) != 0;
}

/* As far as its first two bytes tell. */
static unsigned int head_size(const struct websocket *socket)
{
	unsigned int length = socket->head[1] & LENGTH;

	return 2 + (length == 126 ? 2u : length == 127 ? 8u : 0u) + 4;
}

/* 0, or why it is refused. */
static unsigned int judge_start(const struct websocket *socket)
{
	unsigned int opcode = socket->head[0] & OPCODE;

	if ((socket->head[0] & RESERVED) != 0 || (socket->head[1] & MASKED) == 0) {
		return WEBSOCKET_PROTOCOL;
	}
	if (is_control(socket)) {
		return (socket->head[0] & FIN) == 0 || opcode > WEBSOCKET_PONG ||
				       (socket->head[1] & LENGTH) > WEBSOCKET_CONTROL_MAX
			       ? WEBSOCKET_PROTOCOL
			       : 0;
	}
	if (opcode == WEBSOCKET_TEXT) {
		return WEBSOCKET_TYPE;
	}
	/* A message begins with its type, and goes on without one. */
	return opcode > WEBSOCKET_BINARY || (opcode == WEBSOCKET_CONTINUATION) != socket->in_message
		       ? WEBSOCKET_PROTOCOL
		       : 0;
}

/* 0, or why it is refused: a length is written as short as it can be. */
static unsigned int judge_length(struct websocket *socket)
{
	unsigned int bytes = head_size(socket) - 6;
	uint64_t length = bytes == 0 ? socket->head[1] & LENGTH : 0;

	for (unsigned int i = 0; i < bytes; i++) {
		length = length << 8 | socket->head[2 + i];
	}
	if ((bytes == 2 && length < 126) || (bytes == 8 && length <= UINT16_MAX)) {
		return WEBSOCKET_PROTOCOL;
	}
	socket->left = length;
	return length <= WEBSOCKET_FRAME_MAX ? 0 : WEBSOCKET_TOO_BIG;
}

/* A frame is over: the next one may be looked at, and a control frame has been. */
static void end_frame(struct websocket *socket, struct websocket_piece *piece)
{
	unsigned int opcode = socket->head[0] & OPCODE;

	if (!is_control(socket)) {
		socket->in_message = (socket->head[0] & FIN) == 0;
	} else if (opcode != WEBSOCKET_PONG) {
		piece->kind = opcode == WEBSOCKET_PING ? WEBSOCKET_IS_PING : WEBSOCKET_IS_CLOSE;
		piece->bytes = socket->control;
		piece->length = socket->control_length;
	}
	socket->head_length = 0;
	socket->in_payload = false;
}

static size_t take_head(struct websocket *socket, const uint8_t *bytes, size_t length,
			struct websocket_piece *piece)
{
	unsigned int why = 0;
	size_t taken = 0;

	while (why == 0 && taken < length && !socket->in_payload) {
		socket->head[socket->head_length++] = bytes[taken++];
		if (socket->head_length == 2) {
			why = judge_start(socket);
		} else if (socket->head_length > 2 && socket->head_length == head_size(socket)) {
			why = judge_length(socket);
			socket->in_payload = true;
		}
	}
	if (why != 0) {
		piece->kind = WEBSOCKET_BAD;
		piece->status = why;
	} else if (socket->in_payload) {
		socket->mask_at = 0;
		socket->control_length = 0;
		if (socket->left == 0) {
			end_frame(socket, piece);
		}
	}
	return taken;
}

size_t websocket_take(struct websocket *socket, uint8_t *bytes, size_t length,
		      struct websocket_piece *piece)
{
	const uint8_t *mask;

	*piece = (struct websocket_piece){.kind = WEBSOCKET_NONE};
	if (!socket->in_payload) {
		return take_head(socket, bytes, length, piece);
	}
	mask = socket->head + head_size(socket) - 4;
	length = length < socket->left ? length : (size_t)socket->left;
	for (size_t i = 0; i < length; i++) {
		bytes[i] ^= mask[socket->mask_at++ % 4];
	}
	socket->mask_at %= 4;
	socket->left -= length;
	if (is_control(socket)) {
		memcpy(socket->control + socket->control_length, bytes, length);
		socket->control_length += (uint8_t)length;
	} else {
		piece->kind = WEBSOCKET_DATA;
		piece->bytes = bytes;
		piece->length = length;
	}
	if (socket->left == 0) {
		end_frame(socket, piece);
	}
	return length;
}

size_t websocket_head(uint8_t head[WEBSOCKET_HEAD_MAX], enum websocket_opcode opcode, size_t length)
{
	unsigned int bytes = length < 126 ? 0 : length <= UINT16_MAX ? 2 : 8;

	head[0] = (uint8_t)(FIN | opcode);
	head[1] = (uint8_t)(bytes == 0 ? length : bytes == 2 ? 126 : 127);
	for (unsigned int i = 0; i < bytes; i++) {
		head[2 + i] = (uint8_t)((uint64_t)length >> 8 * (bytes - 1 - i));
	}
	return 2 + bytes;
}

bool websocket_accept(const char *key, char accept[WEBSOCKET_ACCEPT_MAX])
{
	static const char salt[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	char whole[KEY_TEXT + sizeof(salt)];
	uint8_t hash[SHA1];
	gnutls_datum_t in = {hash, SHA1}, out;

	if (strlen(key) != KEY_TEXT) {
		return false;
	}
	snprintf(whole, sizeof(whole), "%s%s", key, salt);
	if (gnutls_hash_fast(GNUTLS_DIG_SHA1, whole, strlen(whole), hash) != 0 ||
	    gnutls_base64_encode2(&in, &out) != 0) {
		return false;
	}
	snprintf(accept, WEBSOCKET_ACCEPT_MAX, "%.*s", (int)out.size, (const char *)out.data);
	gnutls_free(out.data);
	return true;
}
