/*
 * See console.h. Each way has one buffer, which is filled when it is empty: who does not read slows
 * the other. What is to be said between data (a pong, an end) waits until the buffer to the client
 * is empty.
 */
#include "web/console.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "web/websocket.h"

#define ROOM          16384 /* as much as a record of TLS has */
#define CHECK_SECONDS 15

struct buffer {
	uint8_t bytes[ROOM + WEBSOCKET_HEAD_MAX];
	size_t from, length; /* of what is to be sent */
};

struct state {
	const struct console *console;
	bool ends; /* once what is to be sent has been */
	struct websocket socket;
	struct buffer up, down;
	uint8_t control[WEBSOCKET_HEAD_MAX + WEBSOCKET_CONTROL_MAX]; /* a frame that waits */
	size_t control_length;
};

static void send_control(struct state *state, enum websocket_opcode opcode, const uint8_t *bytes,
			 size_t length)
{
	if (state->console->framed) {
		state->control_length = websocket_head(state->control, opcode, length);
		memcpy(state->control + state->control_length, bytes, length);
		state->control_length += length;
	}
}

static void end(struct state *state, enum websocket_status status)
{
	const uint8_t why[2] = {(uint8_t)(status >> 8), (uint8_t)status};

	if (!state->ends) {
		send_control(state, WEBSOCKET_CLOSE, why, sizeof(why));
		state->ends = true;
	}
}

static void take_frames(struct state *state, uint8_t *bytes, size_t length)
{
	struct websocket_piece piece;
	size_t taken;

	while (length != 0 && !state->ends) {
		taken = websocket_take(&state->socket, bytes, length, &piece);
		bytes += taken;
		length -= taken;
		if (piece.kind == WEBSOCKET_DATA) {
			/* No more than has come, for which there is room. */
			memcpy(state->up.bytes + state->up.length, piece.bytes, piece.length);
			state->up.length += piece.length;
		} else if (piece.kind == WEBSOCKET_IS_PING) {
			send_control(state, WEBSOCKET_PONG, piece.bytes, piece.length);
		} else if (piece.kind == WEBSOCKET_IS_CLOSE) {
			end(state, WEBSOCKET_NORMAL);
		} else if (piece.kind == WEBSOCKET_BAD) {
			end(state, piece.status);
		}
	}
}

/* At most ROOM bytes, while nothing waits to go up. */
static void take(struct state *state, uint8_t *bytes, size_t length)
{
	state->up.from = state->up.length = 0;
	if (state->console->framed) {
		take_frames(state, bytes, length);
	} else {
		memcpy(state->up.bytes, bytes, length);
		state->up.length = length;
	}
}

/* How many bytes: 0: none now; -1: never again. */
static ssize_t result_of(ssize_t bytes, bool again)
{
	return bytes > 0 ? bytes : bytes < 0 && again ? 0 : -1;
}

static ssize_t from_client(const struct console *console, void *bytes, size_t room)
{
	ssize_t got = gnutls_record_recv(console->session, bytes, room);

	return result_of(got, got == GNUTLS_E_AGAIN || got == GNUTLS_E_INTERRUPTED);
}

static ssize_t to_client(const struct console *console, const void *bytes, size_t length)
{
	ssize_t sent = gnutls_record_send(console->session, bytes, length);

	return result_of(sent, sent == GNUTLS_E_AGAIN || sent == GNUTLS_E_INTERRUPTED);
}

static ssize_t from_service(const struct console *console, void *bytes, size_t room)
{
	ssize_t got = recv(console->service, bytes, room, MSG_DONTWAIT);

	return result_of(got, errno == EAGAIN || errno == EINTR);
}

static ssize_t to_service(const struct console *console, const void *bytes, size_t length)
{
	ssize_t sent = send(console->service, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);

	return result_of(sent, errno == EAGAIN || errno == EINTR);
}

/* False: the other side has gone. */
static bool flush(const struct console *console, struct buffer *buffer,
		  ssize_t (*to)(const struct console *console, const void *bytes, size_t length))
{
	ssize_t sent;

	if (buffer->length == 0) {
		return true;
	}
	sent = to(console, buffer->bytes + buffer->from, buffer->length);
	if (sent > 0) {
		buffer->from += (size_t)sent;
		buffer->length -= (size_t)sent;
	}
	return sent >= 0;
}

static void run_up(struct state *state)
{
	uint8_t bytes[ROOM];
	ssize_t got = 0;

	if (state->up.length == 0 && !state->ends) {
		got = from_client(state->console, bytes, sizeof(bytes));
	}
	if (got > 0) {
		take(state, bytes, (size_t)got);
	}
	if (got < 0 || !flush(state->console, &state->up, to_service)) {
		end(state, WEBSOCKET_NORMAL);
	}
}

static void fill_down(struct state *state)
{
	uint8_t bytes[ROOM];
	size_t head = 0;
	ssize_t got;

	state->down.from = 0;
	if (state->control_length != 0) {
		memcpy(state->down.bytes, state->control, state->control_length);
		state->down.length = state->control_length;
		state->control_length = 0;
		return;
	}
	got = state->ends ? 0 : from_service(state->console, bytes, sizeof(bytes));
	if (got < 0) {
		end(state, WEBSOCKET_NORMAL);
	} else if (got > 0) {
		if (state->console->framed) {
			head = websocket_head(state->down.bytes, WEBSOCKET_BINARY, (size_t)got);
		}
		memcpy(state->down.bytes + head, bytes, (size_t)got);
		state->down.length = head + (size_t)got;
	}
}

/* False: nothing has come, for so long that it is to be seen who is there. */
static bool wait_for_bytes(const struct state *state)
{
	const struct console *console = state->console;
	bool reads_up = state->up.length == 0, reads_down = state->down.length == 0;
	struct pollfd fds[] = {
		{console->client, (short)((reads_up ? POLLIN : 0) | (reads_down ? 0 : POLLOUT)), 0},
		{console->service, (short)((reads_down ? POLLIN : 0) | (reads_up ? 0 : POLLOUT)),
		 0},
		{reads_up && reads_down ? console->door : -1, POLLIN, 0},
	};
	bool has_some = (reads_up && gnutls_record_check_pending(console->session) != 0) ||
			(reads_down && state->control_length != 0);

	return poll(fds, 3, has_some ? 0 : CHECK_SECONDS * 1000) != 0 || has_some;
}

/* What came before the question has been carried, so that nothing is left in a buffer. */
static bool is_asked(const struct state *state)
{
	struct pollfd door = {state->console->door, POLLIN, 0};

	return state->up.length == 0 && state->down.length == 0 && state->control_length == 0 &&
	       door.fd >= 0 && poll(&door, 1, 0) == 1;
}

static time_t now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static bool still_may(const struct console *console)
{
	return console->end != 0 ? now_seconds() < console->end : ask_still_may(console->secret);
}

bool console_serve(const struct console *console, const uint8_t *extra, size_t length)
{
	struct state state = {.console = console};
	time_t checked = now_seconds();
	uint8_t bytes[ROOM];
	const int on = 1;
	bool there = true;

	(void)setsockopt(console->client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)fcntl(console->client, F_SETFL, O_NONBLOCK);
	if (length > sizeof(bytes)) {
		end(&state, WEBSOCKET_TOO_BIG);
	} else if (length != 0) {
		memcpy(bytes, extra, length);
		take(&state, bytes, length);
	}
	while (there && (!state.ends || state.down.length != 0 || state.control_length != 0)) {
		if (!wait_for_bytes(&state) || now_seconds() - checked >= CHECK_SECONDS) {
			checked = now_seconds();
			if (!still_may(console)) {
				end(&state, WEBSOCKET_POLICY);
			}
		}
		run_up(&state);
		if (state.down.length == 0) {
			fill_down(&state);
		}
		there = flush(console, &state.down, to_client);
		if (is_asked(&state)) {
			return true;
		}
	}
	(void)gnutls_bye(console->session, GNUTLS_SHUT_WR);
	return false;
}
