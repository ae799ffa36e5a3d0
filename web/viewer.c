/* See viewer.h. */
#include "web/viewer.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#define PRIORITIES "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

static time_t now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static bool wait_for(const struct viewer *viewer, short events)
{
	struct pollfd fds = {viewer->fd, events, 0};
	time_t now = now_seconds();

	return now < viewer->end && poll(&fds, 1, (int)(viewer->end - now) * 1000) > 0;
}

/* Of a call of the TLS library's. */
static bool goes_on(const struct viewer *viewer, ssize_t ret)
{
	return (ret == GNUTLS_E_AGAIN || ret == GNUTLS_E_INTERRUPTED) &&
	       wait_for(viewer,
			gnutls_record_get_direction(viewer->session) == 0 ? POLLIN : POLLOUT);
}

bool viewer_get(const struct viewer *viewer, void *into, size_t length)
{
	uint8_t *to = into;
	ssize_t got;

	while (length != 0) {
		if (viewer->session != NULL) {
			got = gnutls_record_recv(viewer->session, to, length);
			if (got < 0 && goes_on(viewer, got)) {
				continue;
			}
		} else {
			got = wait_for(viewer, POLLIN) ? recv(viewer->fd, to, length, MSG_DONTWAIT)
						       : -1;
		}
		if (got <= 0) {
			return false;
		}
		to += got;
		length -= (size_t)got;
	}
	return true;
}

bool viewer_put(const struct viewer *viewer, const void *bytes, size_t length)
{
	ssize_t sent;

	if (viewer->session == NULL) {
		return send(viewer->fd, bytes, length, MSG_NOSIGNAL) == (ssize_t)length;
	}
	do {
		sent = gnutls_record_send(viewer->session, bytes, length);
	} while (sent < 0 && goes_on(viewer, sent));
	return sent == (ssize_t)length;
}

bool viewer_peek(const struct viewer *viewer, uint8_t *byte)
{
	return wait_for(viewer, POLLIN) && recv(viewer->fd, byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}

bool viewer_shake_hands(struct viewer *viewer, gnutls_session_t session)
{
	int ret;

	viewer->session = session;
	do {
		ret = gnutls_handshake(session);
	} while (ret < 0 && goes_on(viewer, ret));
	return ret == 0;
}

bool viewer_begin(struct viewer *viewer, int client, int monitor,
		  const struct certificate *certificate, gnutls_session_t *session)
{
	gnutls_certificate_credentials_t credentials;

	*viewer = (struct viewer){.fd = client, .end = now_seconds() + VIEWER_SECONDS};
	ask_begin(monitor);
	if (gnutls_certificate_allocate_credentials(&credentials) < 0 ||
	    gnutls_certificate_set_x509_key_mem(credentials, &certificate->chain, &certificate->key,
						GNUTLS_X509_FMT_PEM) < 0 ||
	    gnutls_init(session, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) < 0 ||
	    gnutls_priority_set_direct(*session, PRIORITIES, NULL) < 0 ||
	    gnutls_credentials_set(*session, GNUTLS_CRD_CERTIFICATE, credentials) < 0) {
		return false;
	}
	gnutls_transport_set_int(*session, client);
	return fcntl(client, F_SETFL, O_NONBLOCK) == 0 && sandbox_enter();
}
