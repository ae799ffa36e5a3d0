/* A viewer's connection, before it is known whose: bytes in clear, then by TLS, all of it until a
 * moment. */
#ifndef WEB_VIEWER_H
#define WEB_VIEWER_H

#include "web/web.h"

#define VIEWER_SECONDS 60

struct viewer {
	int fd;
	gnutls_session_t session; /* NULL: not yet */
	time_t end;
};

/* The connection's process: with a session of TLS that waits for viewer_shake_hands(), in its
 * sandbox. False: said why, or it has gone. */
bool viewer_begin(struct viewer *viewer, int client, int monitor,
		  const struct certificate *certificate, gnutls_session_t *session) MUST_CHECK;
/* False: gone, or it took too long. */
bool viewer_shake_hands(struct viewer *viewer, gnutls_session_t session) MUST_CHECK;
bool viewer_get(const struct viewer *viewer, void *into, size_t length) MUST_CHECK;
/* What is said until he is known fits into the socket's buffer. */
bool viewer_put(const struct viewer *viewer, const void *bytes, size_t length) MUST_CHECK;
/* The next byte in clear, which stays. */
bool viewer_peek(const struct viewer *viewer, uint8_t *byte) MUST_CHECK;

/* ---- Whose it is (screen.c) ---- */

enum screen_result {
	SCREEN_OPEN,
	SCREEN_WRONG, /* name or password */
	SCREEN_LATER,
	SCREEN_UNREACHABLE,
	SCREEN_FORBIDDEN,
	SCREEN_UNKNOWN, /* no such machine */
	SCREEN_NONE,    /* it does not run, or has no screen */
};

/* For a person. */
const char *screen_why(enum screen_result result);
/*
 * Logs in with `user` and `password`, and asks for what is at `uri`. *fd: a connection to the
 * service that has been upgraded. *secret is the session, which screen_close() ends.
 */
enum screen_result screen_open(const struct ask *login, const char *uri, struct secret *secret,
			       int *fd);
void screen_close(const struct secret *secret);

#endif
