/*
 * WebSocket frames (RFC 6455), a server's side, as far as a console needs them: binary messages of
 * any number of frames, whose bounds mean nothing, pings and an end. Bytes are unmasked where they
 * lie; no memory is allocated.
 */
#ifndef WEB_WEBSOCKET_H
#define WEB_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEBSOCKET_CONTROL_MAX 125       /* bytes of a ping, a pong, an end */
#define WEBSOCKET_FRAME_MAX   (1 << 20) /* bytes of a frame that is taken */
#define WEBSOCKET_HEAD_MAX    10        /* bytes, of what we send */
#define WEBSOCKET_ACCEPT_MAX  32        /* bytes, of the answer to a key, its end included */

enum websocket_opcode {
	WEBSOCKET_CONTINUATION = 0,
	WEBSOCKET_TEXT = 1,
	WEBSOCKET_BINARY = 2,
	WEBSOCKET_CLOSE = 8,
	WEBSOCKET_PING = 9,
	WEBSOCKET_PONG = 10,
};

/* Why a connection is ended: what the end says. */
enum websocket_status {
	WEBSOCKET_NORMAL = 1000,
	WEBSOCKET_PROTOCOL = 1002,
	WEBSOCKET_TYPE = 1003,   /* text */
	WEBSOCKET_POLICY = 1008, /* the session has ended */
	WEBSOCKET_TOO_BIG = 1009,
};

struct websocket {
	uint8_t head[14]; /* of the frame, as far as it has come */
	uint8_t head_length, mask_at;
	bool in_payload, in_message;
	uint64_t left; /* of the payload */
	uint8_t control[WEBSOCKET_CONTROL_MAX];
	uint8_t control_length;
};

/* What was found. */
struct websocket_piece {
	enum {
		WEBSOCKET_NONE,
		WEBSOCKET_DATA,
		WEBSOCKET_IS_PING,
		WEBSOCKET_IS_CLOSE,
		WEBSOCKET_BAD
	} kind;
	const uint8_t *
		bytes; /* of data, a ping or an end; in the caller's memory, or until the next call */
	size_t length;
	unsigned int status; /* of what is bad */
};

/* Takes some of the bytes, one at least: how many. Nothing more is asked for after
 * WEBSOCKET_BAD. */
size_t websocket_take(struct websocket *socket, uint8_t *bytes, size_t length,
		      struct websocket_piece *piece);
/* The head of a whole frame of so many bytes: how long it is. */
size_t websocket_head(uint8_t head[WEBSOCKET_HEAD_MAX], enum websocket_opcode opcode,
		      size_t length);
/* The answer to a handshake's key; false: it is none. */
bool websocket_accept(const char *key, char accept[WEBSOCKET_ACCEPT_MAX]);

#endif
