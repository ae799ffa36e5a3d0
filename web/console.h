/* A connection that has become a console: bytes both ways between the client, in WebSocket's frames
 * or as they are, and the service. */
#ifndef WEB_CONSOLE_H
#define WEB_CONSOLE_H

#include "web/web.h"

struct console {
	int service, client;      /* sockets */
	gnutls_session_t session; /* on the client's */
	bool framed;
	const struct secret *secret; /* that was shown: what holds no more ends it */
	time_t end;                  /* not 0: instead, when it ends (CLOCK_MONOTONIC, seconds) */
	int door;                    /* -1, or a socket at which somebody may ask */
};

/* `extra`: what the client has sent already. True: the door is readable, and nothing is on its way;
 * else it is over. */
bool console_serve(const struct console *console, const uint8_t *extra, size_t length);

#endif
