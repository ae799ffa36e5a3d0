/*
 * A viewer that speaks VNC and comes by TCP: RFB 3.8 (RFC 6143) with the security type VeNCrypt (19) and of its kinds X509Plain (262) alone, as the
 * community's RFB specification (rfbproto) has them. So nothing is said in clear but that; then it is TLS, with vweb's certificate, and in it a
 * name, USER@MACHINE, and the user's password. The machine's vmvnc, to which vmms carries bytes, knows nothing of that: it has no kind of
 * security, which is answered here, and from its word about security on the viewer's and its bytes are each other's.
 *
 * It may wait for the service and for the monitor; the viewer has VIEWER_SECONDS until he is known.
 */
#include "web/vnc.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/be.h"
#include "web/console.h"

#define VIEWER_SECONDS 60
#define PRIORITIES     "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

#define VERSION       "RFB 003.008\n"
#define VERSION_BYTES 12

#define SECURITY_NONE     1
#define SECURITY_VENCRYPT 19
#define X509_PLAIN        262u

struct viewer {
	int fd;
	gnutls_session_t session; /* NULL: not yet */
	time_t end;
};

static time_t now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

/* ---- Bytes of the viewer ---- */

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

static bool get(const struct viewer *viewer, void *into, size_t length)
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

/* What is said until he is known fits into the socket's buffer. */
static bool put(const struct viewer *viewer, const void *bytes, size_t length)
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

/* The end of his security: no, and why. */
static void refuse(const struct viewer *viewer, const char *why)
{
	uint8_t bytes[256];
	size_t length = strlen(why);

	put_be32(bytes, 1);
	put_be32(bytes + 4, (uint32_t)length);
	memcpy(bytes + 8, why, length);
	(void)put(viewer, bytes, 8 + length);
	if (viewer->session != NULL) {
		(void)gnutls_bye(viewer->session, GNUTLS_SHUT_WR);
	}
}

/* ---- Who he is ---- */

/* False: he speaks of nothing that is safe. */
static bool agree(const struct viewer *viewer)
{
	static const uint8_t security[] = {1, SECURITY_VENCRYPT}, version[] = {0, 2}, yes[] = {0},
			     kinds[] = {1, 0, 0, X509_PLAIN >> 8, X509_PLAIN & 0xff}, go[] = {1};
	uint8_t bytes[VERSION_BYTES];

	return put(viewer, VERSION, VERSION_BYTES) && get(viewer, bytes, VERSION_BYTES) &&
	       memcmp(bytes, VERSION, VERSION_BYTES) == 0 &&
	       put(viewer, security, sizeof(security)) && get(viewer, bytes, 1) &&
	       bytes[0] == SECURITY_VENCRYPT && put(viewer, version, sizeof(version)) &&
	       get(viewer, bytes, 2) && memcmp(bytes, version, 2) == 0 &&
	       put(viewer, yes, sizeof(yes)) && put(viewer, kinds, sizeof(kinds)) &&
	       get(viewer, bytes, 4) && get_be32(bytes) == X509_PLAIN &&
	       put(viewer, go, sizeof(go));
}

static bool shake_hands(struct viewer *viewer, gnutls_session_t session)
{
	int ret;

	viewer->session = session;
	do {
		ret = gnutls_handshake(session);
	} while (ret < 0 && goes_on(viewer, ret));
	return ret == 0;
}

static bool read_plain(const struct viewer *viewer, struct ask *ask, char uri[SCREEN_URI_MAX])
{
	uint8_t lengths[8];
	char name[USER_MAX + MACHINE_MAX];
	uint32_t of_name, of_password;

	if (!get(viewer, lengths, sizeof(lengths))) {
		return false;
	}
	of_name = get_be32(lengths);
	of_password = get_be32(lengths + 4);
	if (of_name >= sizeof(name) || of_password >= sizeof(ask->password)) {
		refuse(viewer, "the name or the password is too long");
		return false;
	}
	if (!get(viewer, name, of_name) || !get(viewer, ask->password, of_password)) {
		return false;
	}
	name[of_name] = '\0';
	ask->password[of_password] = '\0';
	if (strlen(name) != of_name || strlen(ask->password) != of_password ||
	    !forward_screen(name, ask->user, uri)) {
		refuse(viewer, "say your name as USER@MACHINE");
		return false;
	}
	return true;
}

/* A connection to the service as him, that has become the machine's screen; -1: he has been told why not. */
static int open_screen(const struct viewer *viewer, struct secret *secret)
{
	struct ask ask = {.what = ASK_LOGIN};
	struct answer answer;
	struct head head = {.status = 0};
	char uri[SCREEN_URI_MAX];
	int fd;

	if (!read_plain(viewer, &ask, uri)) {
		return -1;
	}
	ask_monitor(&ask, &answer, &fd);
	explicit_bzero(&ask, sizeof(ask));
	if (answer.result != ANSWER_YES) {
		refuse(viewer, answer.result == ANSWER_LATER
				       ? "too many attempts were wrong; wait for a minute"
				       : "the name or the password is wrong");
		return -1;
	}
	secret->kind = SECRET_SESSION;
	memcpy(secret->text, answer.session, sizeof(secret->text));
	ask = (struct ask){.what = ASK_OPEN, .secret = *secret};
	ask_monitor(&ask, &answer, &fd);
	if (answer.result != ANSWER_YES || fd < 0) {
		refuse(viewer, "the management service does not answer");
		return -1;
	}
	if (!forward_ask(fd, "GET", uri, NULL, "", 0, true, &head) || head.status != 101) {
		refuse(viewer, head.status == 403   ? "you may not look at this machine's screen"
			       : head.status == 404 ? "there is no such machine"
						    : "the machine does not run, or has no screen");
		return -1;
	}
	return fd;
}

/* What is behind is vmvnc, which has no security: its word of that is the viewer's answer. */
static bool meet_screen(int fd)
{
	uint8_t bytes[VERSION_BYTES];
	static const uint8_t none[] = {SECURITY_NONE};

	return recv(fd, bytes, VERSION_BYTES, MSG_WAITALL) == VERSION_BYTES &&
	       memcmp(bytes, VERSION, VERSION_BYTES) == 0 &&
	       forward_send(fd, VERSION, VERSION_BYTES) && recv(fd, bytes, 2, MSG_WAITALL) == 2 &&
	       bytes[0] == 1 && bytes[1] == SECURITY_NONE &&
	       forward_send(fd, (const char *)none, sizeof(none));
}

static void log_out(const struct secret *secret)
{
	const struct ask ask = {.what = ASK_LOGOUT, .secret = *secret};
	struct answer answer;
	int fd;

	ask_monitor(&ask, &answer, &fd);
}

static void serve(struct viewer *viewer, gnutls_session_t session)
{
	struct secret secret = {.kind = SECRET_NONE};
	struct console console = {.client = viewer->fd, .session = session, .secret = &secret};

	if (!agree(viewer) || !shake_hands(viewer, session)) {
		return;
	}
	console.service = open_screen(viewer, &secret);
	if (console.service >= 0 && meet_screen(console.service)) {
		console_serve(&console, NULL, 0);
	}
	if (secret.kind == SECRET_SESSION) {
		log_out(&secret);
	}
}

void vnc_serve(int client, int monitor, const struct certificate *certificate)
{
	struct viewer viewer = {.fd = client, .end = now_seconds() + VIEWER_SECONDS};
	gnutls_certificate_credentials_t credentials;
	gnutls_session_t session;

	ask_begin(monitor);
	if (gnutls_certificate_allocate_credentials(&credentials) < 0 ||
	    gnutls_certificate_set_x509_key_mem(credentials, &certificate->chain, &certificate->key,
						GNUTLS_X509_FMT_PEM) < 0 ||
	    gnutls_init(&session, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) < 0 ||
	    gnutls_priority_set_direct(session, PRIORITIES, NULL) < 0 ||
	    gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials) < 0) {
		return;
	}
	gnutls_transport_set_int(session, client);
	if (fcntl(client, F_SETFL, O_NONBLOCK) == 0 && sandbox_enter()) {
		serve(&viewer, session);
	}
}
