/*
 * A viewer that speaks RDP and comes by TCP, as Hyper-V's VMConnect does to port 2179: a
 * preconnection PDU with the machine's id ([MS-RDPEPS]), or none, then either the negotiation of
 * [MS-RDPBCGR] 1.3.1.1, whose outcome is TLS, or TLS at once ("direct approach", 5.4.2.2). All that
 * is read here; what is in TLS goes to a vmrdp that is this viewer's alone, and of it nothing is
 * read here. vmrdp hears the name and the password in RDP and asks at the door
 * (include/mgmt/door.h); it is answered with a seat at the machine's screen, from the management
 * service as that user.
 *
 * The viewer has VIEWER_SECONDS until he is known. Without a preconnection PDU his name is
 * USER@MACHINE.
 */
#include "web/rdp.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hosted/packet.h"
#include "hosted/say.h"
#include "hosted/show.h"
#include "include/mgmt/door.h"
#include "web/console.h"
#include "web/preconnect.h"
#include "web/viewer.h"

#define PROGRAM "vmrdp"

#define FIRST_OF_TLS 0x16 /* a record with a handshake */

struct visit {
	struct viewer viewer;
	int inside, door; /* vmrdp's bytes of RDP; where it asks */
	char machine[MACHINE_MAX];
	struct secret secret;
};

/* ---- vmrdp ---- */

static bool start_inside(struct visit *visit)
{
	char *words[] = {(char *)PROGRAM, (char *)DOOR_WORD, (char *)"", NULL};
	int viewer[2], door[2], ret;
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, viewer) != 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, door) != 0) {
		return false;
	}
	visit->inside = viewer[0];
	visit->door = door[0];
	ret = show_start(PROGRAM, words, viewer[1], door[1], &child);
	close(viewer[1]);
	close(door[1]);
	if (ret != 0) {
		say("--rdp: %s cannot be started: %s; install the package verdigris-rdp", PROGRAM,
		    strerror(ret));
	}
	return ret == 0;
}

/* It is told what has been agreed upon, and negotiates once more, with us, that there is nothing
 * between it and the viewer. */
static bool meet_inside(const struct visit *visit, uint32_t requested)
{
	static const uint8_t request[] = {3, 0, 0, 11, 6, 0xe0, 0, 0, 0, 0, 0};
	const struct door_hello hello = {.requested = requested, .selected = PROTOCOL_TLS};
	uint8_t confirm[CONFIRM_BYTES];

	return packet_send(visit->door, 0, &hello, sizeof(hello), NULL, 0) == 0 &&
	       forward_send(visit->inside, (const char *)request, sizeof(request)) &&
	       recv(visit->inside, confirm, sizeof(confirm), MSG_WAITALL) == sizeof(confirm);
}

/* ---- Before TLS ---- */

static bool read_preconnection(struct visit *visit)
{
	uint8_t pdu[PRECONNECT_MAX];
	size_t length;

	if (!viewer_get(&visit->viewer, pdu, PRECONNECT_HEAD)) {
		return false;
	}
	length = preconnect_length(pdu);
	return length != 0 &&
	       viewer_get(&visit->viewer, pdu + PRECONNECT_HEAD, length - PRECONNECT_HEAD) &&
	       preconnect_read(pdu, length, visit->machine);
}

static bool negotiate(const struct viewer *viewer, uint32_t *requested)
{
	uint8_t pdu[REQUEST_MAX], confirm[CONFIRM_BYTES];
	size_t length;

	if (!viewer_get(viewer, pdu, REQUEST_HEAD)) {
		return false;
	}
	length = request_length(pdu);
	if (length == 0 || !viewer_get(viewer, pdu + REQUEST_HEAD, length - REQUEST_HEAD) ||
	    !request_read(pdu, length, requested)) {
		return false;
	}
	confirm_write(*requested & PROTOCOL_TLS, confirm);
	return viewer_put(viewer, confirm, sizeof(confirm)) && (*requested & PROTOCOL_TLS);
}

/* Up to TLS. *requested: kinds of security that the viewer has said. */
static bool agree(struct visit *visit, uint32_t *requested)
{
	uint8_t first;

	*requested = 0;
	if (!viewer_peek(&visit->viewer, &first)) {
		return false;
	}
	if (first != FIRST_OF_TLS && first != 3 &&
	    (!read_preconnection(visit) || !viewer_peek(&visit->viewer, &first))) {
		return false;
	}
	return first == FIRST_OF_TLS || negotiate(&visit->viewer, requested);
}

/* ---- At the door ---- */

/* Its name is said in RDP, so it is the viewer's. */
static bool hear(const struct visit *visit, struct ask *ask, char uri[SCREEN_URI_MAX])
{
	struct door_login login;
	struct packet packet = {.bytes = &login, .size = sizeof(login)};
	bool good = packet_receive(visit->door, 0, &packet) == 0 && !packet.cut &&
		    packet.length == sizeof(login);

	if (good) {
		login.name[DOOR_NAME - 1] = '\0';
		login.password[DOOR_PASSWORD - 1] = '\0';
		snprintf(ask->password, sizeof(ask->password), "%s", login.password);
		if (visit->machine[0] == '\0') {
			good = forward_screen(login.name, "seat", ask->user, uri);
		} else {
			good = strlen(login.name) < USER_MAX &&
			       forward_machine(visit->machine, "seat", uri);
			snprintf(ask->user, sizeof(ask->user), "%.*s", USER_MAX - 1, login.name);
		}
	}
	explicit_bzero(&login, sizeof(login));
	return good;
}

/* What is handed over behind the service's answer; -1: nothing. */
static int take_seat(int service)
{
	char byte;
	int fd = -1;
	struct packet packet = {.bytes = &byte, .size = 1, .fds = &fd, .fds_max = 1};

	return packet_receive(service, 0, &packet) == 0 && packet.fd_count == 1 ? fd : -1;
}

static enum door_result open_seat(struct visit *visit, int *seat)
{
	struct ask ask = {.what = ASK_LOGIN};
	enum screen_result result = SCREEN_WRONG;
	char uri[SCREEN_URI_MAX];
	int service = -1;

	*seat = -1;
	if (hear(visit, &ask, uri)) {
		result = screen_open(&ask, uri, &visit->secret, &service);
	}
	explicit_bzero(&ask, sizeof(ask));
	if (result == SCREEN_OPEN) {
		*seat = take_seat(service);
	}
	if (service >= 0) {
		close(service);
	}
	switch (result) {
	case SCREEN_OPEN:
		return *seat >= 0 ? DOOR_OPEN : DOOR_CLOSED;
	case SCREEN_WRONG:
	case SCREEN_LATER:
		return DOOR_WRONG;
	case SCREEN_FORBIDDEN:
	case SCREEN_UNKNOWN:
		return DOOR_FORBIDDEN;
	default:
		return DOOR_CLOSED;
	}
}

static bool answer(struct visit *visit)
{
	int seat;
	const struct door_answer said = {.result = open_seat(visit, &seat)};
	bool sent = packet_send(visit->door, 0, &said, sizeof(said), &seat, seat >= 0 ? 1 : 0) == 0;

	if (seat >= 0) {
		close(seat);
	}
	return sent;
}

static void serve(struct visit *visit, gnutls_session_t session)
{
	struct console console = {.client = visit->viewer.fd,
				  .service = visit->inside,
				  .session = session,
				  .secret = &visit->secret,
				  .end = visit->viewer.end,
				  .door = visit->door};
	uint32_t requested;

	if (!agree(visit, &requested) || !viewer_shake_hands(&visit->viewer, session) ||
	    !meet_inside(visit, requested)) {
		return;
	}
	if (console_serve(&console, NULL, 0) && answer(visit)) {
		/* With a session that is what may end it; who has none is told why, and then it is
		 * over. */
		console.end = visit->secret.kind == SECRET_SESSION ? 0 : console.end;
		console.door = -1;
		(void)console_serve(&console, NULL, 0);
	}
	screen_close(&visit->secret);
}

void rdp_serve(int client, int monitor, const struct certificate *certificate)
{
	struct visit visit = {.machine = "", .secret = {.kind = SECRET_NONE}};
	gnutls_session_t session;

	if (start_inside(&visit) &&
	    viewer_begin(&visit.viewer, client, monitor, certificate, &session)) {
		serve(&visit, session);
	}
}
