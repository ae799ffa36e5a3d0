/*
 * A viewer that speaks VNC and comes by TCP: RFB 3.8 (RFC 6143) with the security type VeNCrypt
 * (19) and of its kinds X509Plain (262) alone, as the community's RFB specification (rfbproto) has
 * them. So nothing is said in clear but that; then it is TLS, with vweb's certificate, and in it a
 * name, USER@MACHINE, and the user's password. The machine's vmvnc, to which vmms carries bytes,
 * knows nothing of that: it has no kind of security, which is answered here, and from its word
 * about security on the viewer's and its bytes are each other's.
 *
 * It may wait for the service and for the monitor; the viewer has VIEWER_SECONDS until he is known.
 */
#include "web/vnc.h"

#include <string.h>
#include <sys/socket.h>

#include "lib/be.h"
#include "web/console.h"
#include "web/viewer.h"

#define VERSION       "RFB 003.008\n"
#define VERSION_BYTES 12

#define SECURITY_NONE     1
#define SECURITY_VENCRYPT 19
#define X509_PLAIN        262u

/* The end of his security: no, and why. */
static void refuse(const struct viewer *viewer, const char *why)
{
	uint8_t bytes[256];
	size_t length = strlen(why);

	put_be32(bytes, 1);
	put_be32(bytes + 4, (uint32_t)length);
	memcpy(bytes + 8, why, length);
	(void)!viewer_put(viewer, bytes, 8 + length);
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

	return viewer_put(viewer, VERSION, VERSION_BYTES) &&
	       viewer_get(viewer, bytes, VERSION_BYTES) &&
	       memcmp(bytes, VERSION, VERSION_BYTES) == 0 &&
	       viewer_put(viewer, security, sizeof(security)) && viewer_get(viewer, bytes, 1) &&
	       bytes[0] == SECURITY_VENCRYPT && viewer_put(viewer, version, sizeof(version)) &&
	       viewer_get(viewer, bytes, 2) && memcmp(bytes, version, 2) == 0 &&
	       viewer_put(viewer, yes, sizeof(yes)) && viewer_put(viewer, kinds, sizeof(kinds)) &&
	       viewer_get(viewer, bytes, 4) && get_be32(bytes) == X509_PLAIN &&
	       viewer_put(viewer, go, sizeof(go));
}

static bool read_plain(const struct viewer *viewer, struct ask *ask, char uri[SCREEN_URI_MAX])
{
	uint8_t lengths[8];
	char name[USER_MAX + MACHINE_MAX];
	uint32_t of_name, of_password;

	if (!viewer_get(viewer, lengths, sizeof(lengths))) {
		return false;
	}
	of_name = get_be32(lengths);
	of_password = get_be32(lengths + 4);
	if (of_name >= sizeof(name) || of_password >= sizeof(ask->password)) {
		refuse(viewer, "the name or the password is too long");
		return false;
	}
	if (!viewer_get(viewer, name, of_name) || !viewer_get(viewer, ask->password, of_password)) {
		return false;
	}
	name[of_name] = '\0';
	ask->password[of_password] = '\0';
	if (strlen(name) != of_name || strlen(ask->password) != of_password ||
	    !forward_screen(name, "display", ask->user, uri)) {
		refuse(viewer, "say your name as USER@MACHINE");
		return false;
	}
	return true;
}

/* A connection to the service as him, that has become the machine's screen; -1: he has been told
 * why not. */
static int open_screen(const struct viewer *viewer, struct secret *secret)
{
	struct ask ask = {.what = ASK_LOGIN};
	enum screen_result result;
	char uri[SCREEN_URI_MAX];
	int fd = -1;

	if (!read_plain(viewer, &ask, uri)) {
		return -1;
	}
	result = screen_open(&ask, uri, secret, &fd);
	explicit_bzero(&ask, sizeof(ask));
	if (result != SCREEN_OPEN) {
		refuse(viewer, screen_why(result));
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

static void serve(struct viewer *viewer, gnutls_session_t session)
{
	struct secret secret = {.kind = SECRET_NONE};
	struct console console = {
		.client = viewer->fd, .session = session, .secret = &secret, .door = -1};

	if (!agree(viewer) || !viewer_shake_hands(viewer, session)) {
		return;
	}
	console.service = open_screen(viewer, &secret);
	if (console.service >= 0 && meet_screen(console.service)) {
		(void)console_serve(&console, NULL, 0);
	}
	screen_close(&secret);
}

void vnc_serve(int client, int monitor, const struct certificate *certificate)
{
	struct viewer viewer;
	gnutls_session_t session;

	if (viewer_begin(&viewer, client, monitor, certificate, &session)) {
		serve(&viewer, session);
	}
}
