/* A connection that has become a console: bytes both ways between the client, in WebSocket's frames or as they are, and the service. */
#ifndef WEB_CONSOLE_H
#define WEB_CONSOLE_H

#include "web/web.h"

struct console {
	int service, client;      /* sockets */
	gnutls_session_t session; /* on the client's */
	bool framed;
	const struct secret *secret; /* that was shown: what holds no more ends it */
};

/* `extra`: what the client has sent already. Returns when it is over. */
void console_serve(const struct console *console, const uint8_t *extra, size_t length);

#endif
