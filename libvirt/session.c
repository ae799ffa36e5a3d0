/*
 * A client while it is connected: its calls, one after the other; its console; the events that it
 * wants; its questions whether we are there, which are answered also while a call waits for a job.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libvirt/libvirt.h"

#define KEEPALIVE 0x6b656570u /* a program of its own: virnetprotocol.x */
enum { KEEPALIVE_PING = 1, KEEPALIVE_PONG };
#define WAITING_MAX 64 /* calls that have come while another one waits */

struct message {
	struct message *next;
	struct wire_header header;
	uint8_t *bytes;
	size_t length;
};

/* ---- Consoles ---- */

/* The console's bytes, or its end. False: the client is gone. */
static bool show_console(struct session *session)
{
	char text[16384];
	ssize_t got = read(session->console, text, sizeof(text));
	struct wire_header header = session->stream;
	struct wire_out out = {.bytes = (uint8_t *)text, .length = got > 0 ? (size_t)got : 0};

	if (got <= 0) {
		close(session->console);
		session->console = -1;
	}
	header.status = got > 0 || session->fetches ? WIRE_CONTINUE : WIRE_OK;
	return wire_send(session->client, &header, &out);
}

/* What is typed at it, or that it is left. */
static bool take_stream(struct session *session, const struct message *message)
{
	const struct wire_out nothing = {0};
	struct wire_header end = message->header;

	if (session->fetches && end.serial == session->stream.serial) {
		session->fetches = false;
		if (session->console >= 0) {
			close(session->console);
			session->console = -1;
		}
		end.status = WIRE_OK;
		return wire_send(session->client, &end, &nothing);
	}
	if (session->console < 0 || end.serial != session->stream.serial) {
		return true; /* of one that has ended already */
	}
	if (end.status == WIRE_CONTINUE && message->length != 0) {
		(void)!send(session->console, message->bytes, message->length, MSG_NOSIGNAL);
		return true;
	}
	close(session->console);
	session->console = -1;
	end.status = WIRE_OK;
	return wire_send(session->client, &end, &nothing);
}

/* ---- Messages ---- */

static void release(struct message *message)
{
	free(message->bytes);
	free(message);
}

/* NULL: the client is gone. */
static struct message *receive(struct session *session)
{
	struct message *message = calloc(1, sizeof(*message));

	if (message != NULL &&
	    !wire_receive(session->client, &message->header, &message->bytes, &message->length)) {
		free(message);
		return NULL;
	}
	return message;
}

/* Takes the message. False: it is the last one. */
static bool serve_message(struct session *session, struct message *message)
{
	struct wire_in in = {message->bytes, message->bytes + message->length, false};
	struct wire_header answer;
	struct wire_out out = {0};
	bool more = true;

	if (message->header.program == KEEPALIVE) {
		answer = message->header;
		answer.procedure = KEEPALIVE_PONG;
		if (message->header.procedure == KEEPALIVE_PING) {
			more = wire_send(session->client, &answer, &out);
		}
	} else if (message->header.type == WIRE_STREAM) {
		more = take_stream(session, message);
	} else {
		more = call_serve(session, &message->header, &in, &out, &answer);
		more = wire_send(session->client, &answer, &out) && more;
		free(out.bytes);
	}
	release(message);
	return more;
}

/* One that has come while a call was waiting, or NULL. */
static struct message *take_waiting(struct session *session)
{
	struct message *message = session->waiting;

	if (message != NULL) {
		session->waiting = message->next;
		session->waiting_count--;
	}
	return message;
}

void session_attend(struct session *session)
{
	struct pollfd client = {session->client, POLLIN, 0};
	struct message *message, **last = &session->waiting;

	while (*last != NULL) {
		last = &(*last)->next;
	}
	while (session->waiting_count < WAITING_MAX && poll(&client, 1, 0) == 1 &&
	       (message = receive(session)) != NULL) {
		if (message->header.program == KEEPALIVE) {
			(void)serve_message(session, message);
		} else {
			*last = message;
			last = &message->next;
			session->waiting_count++;
		}
	}
}

void session_serve(int client, const char *socket, const char *uri, bool read_only)
{
	struct session session = {.http = http_open(socket, false),
				  .client = client,
				  .socket = socket,
				  .uri = uri,
				  .console = -1,
				  .notes = -1,
				  .read_only = read_only};
	bool more = session.http != NULL;
	struct message *message;

	while (more) {
		struct pollfd fds[] = {{client, POLLIN, 0},
				       {session.console, POLLIN, 0},
				       {session.notes, POLLIN, 0}};

		message = take_waiting(&session);
		if (message != NULL) {
			more = serve_message(&session, message);
			continue;
		}
		more = poll(fds, 3, -1) > 0 || errno == EINTR;
		if (more && fds[1].revents != 0) {
			more = show_console(&session);
		}
		if (more && fds[2].revents != 0) {
			more = events_tell(&session);
		}
		if (more && fds[0].revents != 0) {
			message = receive(&session);
			more = message != NULL && serve_message(&session, message);
		}
	}
	while ((message = take_waiting(&session)) != NULL) {
		release(message);
	}
	/* The process ends with its client, and with it the thread that listens for events. */
}
