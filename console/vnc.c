/*
 * RFB by libvncserver for one viewer. The worker is asked how its screen is when the viewer wants
 * to know, at most every SEAT_LOOK_MS: a viewer that does not read asks for nothing.
 */
#include "console/vnc.h"

#include <errno.h>
#include <poll.h>

#include "console/viewer.h"
#include "hosted/clock.h"
#include "hosted/say.h"

#define RFB_LEFT       0x01
#define RFB_MIDDLE     0x02
#define RFB_RIGHT      0x04
#define RFB_WHEEL_UP   0x08
#define RFB_WHEEL_DOWN 0x10

/* What a size that is wanted is answered, beside the library's: as QEMU does it, the guest has been
 * told, and may follow. */
#define SIZE_FORWARDED 4

const char viewer_program[] = "vmvnc";
void (*const viewer_run_login)(int client, int door) = NULL;

static struct viewer *viewer_of(rfbClientPtr client)
{
	return client->screen->screenData;
}

/* ---- Keyboard and mouse ---- */

static void on_key(rfbBool down, rfbKeySym keysym, rfbClientPtr client)
{
	seat_type(&viewer_of(client)->seat, keysym, down);
}

static void on_pointer(int buttons, int x, int y, rfbClientPtr client)
{
	struct viewer *viewer = viewer_of(client);
	int pressed = buttons & ~viewer->buttons;

	viewer->buttons = buttons;
	seat_point(&viewer->seat, &viewer->frame, x, y,
		   (uint8_t)((buttons & RFB_LEFT ? SEAT_LEFT : 0) |
			     (buttons & RFB_RIGHT ? SEAT_RIGHT : 0) |
			     (buttons & RFB_MIDDLE ? SEAT_MIDDLE : 0)),
		   (int8_t)(!!(pressed & RFB_WHEEL_DOWN) - !!(pressed & RFB_WHEEL_UP)));
}

/* A dot, for viewers that show where their pointer is: the machine's own is in the picture. */
static void set_cursor(struct viewer *viewer)
{
	static char dot[] = "   "
			    " x "
			    "   ",
		    around[] = "xxx"
			       "xxx"
			       "xxx";
	rfbCursorPtr cursor = rfbMakeXCursor(3, 3, dot, around);

	if (cursor != NULL) {
		cursor->xhot = cursor->yhot = 1;
		cursor->foreRed = cursor->foreGreen = cursor->foreBlue = 0xffff;
		rfbSetCursor(viewer->screen, cursor);
	}
}

/* ---- The screen ---- */

static void mark(void *of, const struct frame_change *change)
{
	rfbMarkRectAsModified(of, (int)change->left, (int)change->top, (int)change->right,
			      (int)change->bottom);
}

static void see(struct viewer *viewer, struct screen *registers)
{
	seat_look(&viewer->seat, registers);
	viewer->asked = registers->asked;
}

static void look(struct viewer *viewer)
{
	struct screen registers;

	see(viewer, &registers);
	switch (frame_look(&viewer->frame, &registers, mark, viewer->screen)) {
	case FRAME_RESIZED:
		rfbNewFramebuffer(viewer->screen, (char *)viewer->frame.pixels,
				  (int)viewer->frame.width, (int)viewer->frame.height, 8, 3, 4);
		break;
	case FRAME_FAILED:
		say("no memory for a picture");
		seat_leave();
	default:
		break;
	}
}

/*
 * What comes of it is seen later, when the guest has set a mode: that is told to the viewer as any
 * other. One that a firmware's guest cannot be told of is not forgotten: its driver finds it.
 */
static int on_size(int width, int height, int count, rfbExtDesktopScreen *screens,
		   rfbClientPtr client)
{
	struct viewer *viewer = viewer_of(client);

	(void)screens;
	if (count != 1 || width <= 0 || height <= 0) {
		return rfbExtDesktopSize_InvalidScreenLayout;
	}
	seat_want(&viewer->seat, (uint16_t)width, (uint16_t)height);
	if ((unsigned int)width == viewer->frame.width &&
	    (unsigned int)height == viewer->frame.height) {
		client->newFBSizePending = TRUE; /* the library answers when it is another one */
		return rfbExtDesktopSize_Success;
	}
	return viewer->asked ? SIZE_FORWARDED : rfbExtDesktopSize_ResizeProhibited;
}

/* The viewer waits for what is new. */
static bool looks(rfbClientPtr client)
{
	return client->state == RFB_NORMAL && !sraRgnEmpty(client->requestedRegion);
}

static void serve(struct viewer *viewer, rfbClientPtr client, int fd)
{
	struct pollfd polls[] = {{.fd = fd, .events = POLLIN},
				 {.fd = viewer->seat.fd, .events = POLLIN}};
	uint64_t next = 0, now;

	while (rfbIsActive(viewer->screen) && client->sock >= 0) {
		now = clock_ms();
		if (looks(client) && now >= next) {
			next = now + SEAT_LOOK_MS;
			look(viewer);
		}
		if (viewer->screen->cursor == NULL && client->enableCursorShapeUpdates) {
			set_cursor(viewer);
		}
		rfbProcessEvents(viewer->screen, 0);
		if (viewer->screen->clientHead == NULL) {
			return;
		}
		now = clock_ms();
		if (poll(polls, 2,
			 !looks(client) ? -1
			 : next > now   ? (int)(next - now)
					: 0) < 0 &&
		    errno != EINTR) {
			return;
		}
		if (polls[1].revents != 0) {
			return; /* it says nothing unasked but its end */
		}
	}
}

static void quiet(const char *format, ...)
{
	(void)format;
}

/* Its socket is a UNIX one, which the library serves as any other; it does not listen. */
static bool make_screen(struct viewer *viewer, const char *name)
{
	rfbScreenInfoPtr screen = rfbGetScreen(NULL, NULL, (int)viewer->frame.width,
					       (int)viewer->frame.height, 8, 3, 4);

	if (screen == NULL) {
		return false;
	}
	viewer->screen = screen;
	screen->screenData = viewer;
	screen->desktopName = name;
	screen->frameBuffer = (char *)viewer->frame.pixels;
	screen->port = screen->ipv6port = 0;
	screen->autoPort = FALSE;
	screen->alwaysShared = TRUE;
	screen->deferUpdateTime = 0;
	screen->cursor = NULL;
	screen->kbdAddEvent = on_key;
	screen->ptrAddEvent = on_pointer;
	screen->setDesktopSizeHook = on_size;
	rfbInitServer(screen);
	return true;
}

void viewer_run(int seat, int client_fd, const char *name)
{
	static struct viewer viewer;
	struct screen registers;
	rfbClientPtr client;

	rfbLog = rfbErr = quiet;
	seat_take(&viewer.seat, seat);
	see(&viewer, &registers);
	if (!frame_init(&viewer.frame, viewer.seat.memory) ||
	    frame_look(&viewer.frame, &registers, NULL, NULL) != FRAME_RESIZED ||
	    !make_screen(&viewer, name)) {
		say("no memory for a viewer");
		seat_leave();
	}
	extended_register();
	client = rfbNewClient(viewer.screen, client_fd);
	if (client == NULL || !sandbox_enter_viewer()) {
		seat_leave();
	}
	serve(&viewer, client, client_fd);
	seat_leave();
}
