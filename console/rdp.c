/*
 * RDP ([MS-RDPBCGR]) by FreeRDP's library for one viewer, without encryption: who connects has a
 * socket on this machine. The desktop is as large as the machine's screen, and follows it
 * (Deactivation-Reactivation) where the viewer can that; else as much is shown as there is room
 * for.
 *
 * States of a viewer: it connects (neither flag), is active and shown changes, is active and hidden
 * (Suppress Output). From each change of size or return out of hiding on, it is sent the whole
 * screen once. It is sent nothing else while the screen is as it was. What it does not read it
 * waits for: the library's sending blocks, and nothing is asked of the machine meanwhile.
 */
#include "console/rdp.h"

#include <errno.h>
#include <freerdp/error.h>
#include <poll.h>
#include <string.h>
#include <winpr/ssl.h>
#include <winpr/wlog.h>

#include "console/viewer.h"
#include "hosted/clock.h"
#include "hosted/packet.h"
#include "hosted/say.h"
#include "include/mgmt/door.h"
#include "lib/check.h"

const char viewer_program[] = "vmrdp";

static void run_login(int client, int door);
void (*const viewer_run_login)(int client, int door) = run_login;

static struct rdp *rdp_of(const rdpContext *context)
{
	return context->peer->ContextExtra;
}

/* ---- The screen ---- */

static void note(void *of, const struct frame_change *change)
{
	struct rdp *rdp = of;

	if (rdp->change_count < RDP_CHANGES) {
		rdp->changes[rdp->change_count++] = *change;
	}
}

static void note_all(struct rdp *rdp)
{
	const struct frame *frame = &rdp->frame;
	unsigned int top;

	rdp->change_count = 0;
	for (top = 0; top < frame->height; top += FRAME_BAND) {
		struct frame_change change = {0, top, frame->width, top + FRAME_BAND};

		change.bottom = change.bottom < frame->height ? change.bottom : frame->height;
		note(rdp, &change);
	}
}

/* The viewer's desktop becomes as large as the screen, if it can. False: it is gone. */
static bool resize(struct rdp *rdp)
{
	rdpSettings *settings = rdp->peer->settings;

	rdp->whole = true;
	if (!settings->DesktopResize || (settings->DesktopWidth == rdp->frame.width &&
					 settings->DesktopHeight == rdp->frame.height)) {
		return true;
	}
	settings->DesktopWidth = rdp->frame.width;
	settings->DesktopHeight = rdp->frame.height;
	rdp->active = false;
	return rdp->peer->update->DesktopResize(rdp->peer->context);
}

/* False: the viewer is gone. */
static bool look(struct rdp *rdp)
{
	struct screen registers;

	rdp->change_count = 0;
	seat_look(&rdp->seat, &registers);
	switch (frame_look(&rdp->frame, &registers, note, rdp)) {
	case FRAME_RESIZED:
		if (!resize(rdp)) {
			return false;
		}
		break;
	case FRAME_FAILED:
		say("no memory for a picture");
		return false;
	default:
		break;
	}
	if (!rdp->active) {
		return true;
	}
	if (rdp->whole) {
		note_all(rdp);
		rdp->whole = false;
	}
	return rdp_picture_send(rdp, rdp->changes, rdp->change_count);
}

/* ---- What the viewer says ---- */

/* A dot, since the machine's own pointer is in the picture. */
static BOOL send_pointer(rdpContext *context)
{
	/* Lines of whole words: three pixels of 24 bits, three bits. */
	static BYTE colours[30] = {[13] = 0xff, [14] = 0xff, [15] = 0xff}, mask[6];
	const POINTER_COLOR_UPDATE dot = {
		.xPos = 1,
		.yPos = 1,
		.width = 3,
		.height = 3,
		.lengthXorMask = sizeof(colours),
		.lengthAndMask = sizeof(mask),
		.xorMaskData = colours,
		.andMaskData = mask,
	};

	return context->update->pointer->PointerColor(context, &dot);
}

/* ---- Who he is, of one who has to say so ---- */

static bool take_text(char *to, size_t room, const char *text)
{
	size_t length = text != NULL ? strlen(text) : 0;

	if (length < room) {
		memcpy(to, text != NULL ? text : "", length);
	}
	return length < room;
}

/* The seat, or why there is none. */
static enum door_result ask(const struct rdp *rdp, int *seat)
{
	const rdpSettings *settings = rdp->peer->settings;
	struct door_login login = {.name = ""};
	struct door_answer answer;
	struct packet packet = {
		.bytes = &answer, .size = sizeof(answer), .fds = seat, .fds_max = 1};
	bool asked = take_text(login.name, sizeof(login.name), settings->Username) &&
		     take_text(login.password, sizeof(login.password), settings->Password);

	asked = asked && packet_send(rdp->door, 0, &login, sizeof(login), NULL, 0) == 0;
	explicit_bzero(&login, sizeof(login));
	if (!asked) {
		return DOOR_WRONG;
	}
	if (packet_receive(rdp->door, 0, &packet) != 0 || packet.length != sizeof(answer) ||
	    (answer.result == DOOR_OPEN) != (packet.fd_count == 1)) {
		seat_leave();
	}
	return answer.result;
}

static bool open_screen(struct rdp *rdp)
{
	struct screen registers;

	seat_look(&rdp->seat, &registers);
	return frame_init(&rdp->frame, rdp->seat.memory) &&
	       frame_look(&rdp->frame, &registers, NULL, NULL) == FRAME_RESIZED;
}

static bool log_in(struct rdp *rdp)
{
	static const UINT32 reasons[] = {
		[DOOR_WRONG] = ERRINFO_SERVER_FRESH_CREDENTIALS_REQUIRED,
		[DOOR_FORBIDDEN] = ERRINFO_SERVER_INSUFFICIENT_PRIVILEGES,
		[DOOR_CLOSED] = ERRINFO_SERVER_DENIED_CONNECTION,
	};
	rdpRdp *library = rdp->peer->context->rdp;
	int seat = -1;
	enum door_result result = ask(rdp, &seat);

	if (result != DOOR_OPEN) {
		freerdp_set_error_info(
			library, reasons[result < ARRAY_COUNT(reasons) ? result : DOOR_CLOSED]);
		(void)freerdp_send_error_info(library);
		return false;
	}
	seat_take(&rdp->seat, seat);
	return open_screen(rdp);
}

/* What the library has agreed upon is with us; it goes on as if it had been with the viewer. */
static BOOL on_negotiated(freerdp_peer *peer, SEC_WINNT_AUTH_IDENTITY *identity, BOOL automatic)
{
	const struct rdp *rdp = peer->ContextExtra;
	struct door_hello hello;
	struct packet packet = {.bytes = &hello, .size = sizeof(hello)};

	(void)identity;
	(void)automatic;
	if (rdp->door < 0) {
		return TRUE;
	}
	if (packet_receive(rdp->door, 0, &packet) != 0 || packet.length != sizeof(hello)) {
		seat_leave();
	}
	peer->settings->RequestedProtocols = hello.requested;
	peer->settings->SelectedProtocol = hello.selected;
	return TRUE;
}

/* Before it is told how large its desktop is. */
static BOOL on_capabilities(freerdp_peer *peer)
{
	struct rdp *rdp = peer->ContextExtra;

	if (rdp->door >= 0 && !log_in(rdp)) {
		return FALSE;
	}
	if (peer->settings->ColorDepth == 24) {
		peer->settings->ColorDepth =
			16; /* the library does not write runs of 24 bits right */
	}
	peer->settings->DesktopWidth = rdp->frame.width;
	peer->settings->DesktopHeight = rdp->frame.height;
	return TRUE;
}

static BOOL on_connected(freerdp_peer *peer)
{
	(void)peer;
	return TRUE;
}

static BOOL on_active(freerdp_peer *peer)
{
	struct rdp *rdp = peer->ContextExtra;

	if (peer->settings->ColorDepth < 15) {
		say("a viewer has less than 15 bits a pixel");
		return FALSE;
	}
	rdp->active = rdp->whole = true;
	return send_pointer(peer->context);
}

static BOOL on_suppress(rdpContext *context, BYTE allow, const RECTANGLE_16 *area)
{
	struct rdp *rdp = rdp_of(context);

	(void)area;
	rdp->whole |= rdp->hidden && allow;
	rdp->hidden = !allow;
	return TRUE;
}

static BOOL on_refresh(rdpContext *context, BYTE count, const RECTANGLE_16 *areas)
{
	(void)count;
	(void)areas;
	rdp_of(context)->whole = true;
	return TRUE;
}

/* ---- Its life ---- */

static bool shows(const struct rdp *rdp)
{
	return rdp->active && !rdp->hidden;
}

static void serve(struct rdp *rdp, int fd)
{
	struct pollfd polls[] = {{.fd = fd, .events = POLLIN}, {.events = POLLIN}};
	freerdp_peer *peer = rdp->peer;
	uint64_t next = 0, now;

	for (;;) {
		polls[1].fd = rdp->seat.fd; /* -1: not yet */
		now = clock_ms();
		if (shows(rdp) && now >= next) {
			next = now + SEAT_LOOK_MS;
			if (!look(rdp)) {
				return;
			}
		}
		if (poll(polls, 2,
			 peer->HasMoreToRead(peer) ? 0
			 : !shows(rdp)             ? -1
			 : next > now              ? (int)(next - now)
						   : 0) < 0 &&
		    errno != EINTR) {
			return;
		}
		if (polls[1].revents != 0) {
			(void)peer->Close(peer); /* it says nothing unasked but its end */
			return;
		}
		if ((polls[0].revents != 0 || peer->HasMoreToRead(peer)) &&
		    !peer->CheckFileDescriptor(peer)) {
			return;
		}
	}
}

static void set_up(freerdp_peer *peer)
{
	rdpSettings *settings = peer->settings;

	settings->RdpSecurity = TRUE;
	settings->TlsSecurity = FALSE;
	settings->NlaSecurity = FALSE;
	settings->ColorDepth = 32;
	settings->SuppressOutput = TRUE;
	settings->RefreshRect = TRUE;
	settings->DesktopResize = TRUE;
	settings->UnicodeInput = TRUE;
	settings->HasExtendedMouseEvent = TRUE;
	settings->RemoteFxCodec = FALSE;
	settings->NSCodec = FALSE;
	settings->SupportGraphicsPipeline = FALSE;
	peer->Logon = on_negotiated;
	peer->Capabilities = on_capabilities;
	peer->PostConnect = on_connected;
	peer->Activate = on_active;
	peer->update->SuppressOutput = on_suppress;
	peer->update->RefreshRect = on_refresh;
}

static bool begin(struct rdp *rdp, int fd)
{
	freerdp_peer *peer = freerdp_peer_new(fd);

	if (peer == NULL || !freerdp_peer_context_new(peer)) {
		return false;
	}
	peer->local = TRUE; /* so that there is no encryption of RDP's own */
	peer->ContextExtra = rdp;
	rdp->peer = peer;
	set_up(peer);
	rdp_input_begin(rdp);
	return rdp_picture_begin(&rdp->picture) && peer->Initialize(peer);
}

static void begin_library(void)
{
	(void)WLog_SetLogLevel(WLog_GetRoot(), WLOG_OFF);
	(void)winpr_InitializeSSL(WINPR_SSL_INIT_DEFAULT);
}

static _Noreturn void run(struct rdp *rdp, int client)
{
	if (sandbox_enter_viewer()) {
		serve(rdp, client);
	}
	seat_leave();
}

static _Noreturn void fail(void)
{
	say("no memory for a viewer");
	seat_leave();
}

void viewer_run(int seat, int client, const char *name)
{
	static struct rdp rdp = {.door = -1};

	(void)name; /* RDP has no place for it */
	begin_library();
	seat_take(&rdp.seat, seat);
	if (!open_screen(&rdp) || !begin(&rdp, client)) {
		fail();
	}
	run(&rdp, client);
}

static void run_login(int client, int door)
{
	static struct rdp rdp = {.seat = {.fd = -1}};

	begin_library();
	rdp.door = door;
	if (!begin(&rdp, client)) {
		fail();
	}
	run(&rdp, client);
}
