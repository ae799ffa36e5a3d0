/*
 * RFB by libvncserver for one viewer. The worker is asked how its screen is when the viewer wants to know, at most every LOOK_MS: a viewer that does
 * not read asks for nothing. A viewer's pointer has a place, a machine's mouse moves: the first event says where it begins.
 */
#include "console/viewer.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "console/keys.h"
#include "hosted/clock.h"
#include "hosted/packet.h"
#include "hosted/say.h"
#include "include/mgmt/display.h"

#define LOOK_MS 40

#define RFB_LEFT       0x01
#define RFB_MIDDLE     0x02
#define RFB_RIGHT      0x04
#define RFB_WHEEL_UP   0x08
#define RFB_WHEEL_DOWN 0x10

#define LEFT   0x01
#define RIGHT  0x02
#define MIDDLE 0x04

static struct viewer *viewer_of(rfbClientPtr client)
{
	return client->screen->screenData;
}

/* The machine has ended, or will not have us: nothing is left to do. */
static _Noreturn void leave(void)
{
	_exit(0);
}

static void ask(struct viewer *viewer, const struct display_request *request)
{
	if (packet_send(viewer->seat, 0, request, sizeof(*request), NULL, 0) != 0) {
		leave();
	}
}

/* ---- Keyboard and mouse ---- */

void viewer_press(struct viewer *viewer, uint8_t key, bool down)
{
	const struct display_request request = {.type = DISPLAY_KEY, .key = key, .down = down};

	ask(viewer, &request);
}

/* A viewer without a keyboard says characters alone, without the Shift that makes them. */
static void on_key(rfbBool down, rfbKeySym keysym, rfbClientPtr client)
{
	struct viewer *viewer = viewer_of(client);
	bool shifted;
	uint8_t key = key_of(keysym, &shifted);

	if (key == 0) {
		return;
	}
	if (keysym == XK_Shift_L || keysym == XK_Shift_R) {
		viewer->shift = down;
	}
	shifted = shifted && !viewer->shift && down;
	if (shifted) {
		viewer_press(viewer, KEY_SHIFT, true);
	}
	viewer_press(viewer, key, down);
	if (shifted) {
		viewer_press(viewer, KEY_SHIFT, false);
	}
}

static int16_t way(int from, int to)
{
	int by = to - from;

	return (int16_t)(by > INT16_MAX ? INT16_MAX : by < INT16_MIN ? INT16_MIN : by);
}

static void on_pointer(int buttons, int x, int y, rfbClientPtr client)
{
	struct viewer *viewer = viewer_of(client);
	int pressed = buttons & ~viewer->buttons;
	struct display_request request = {
		.type = DISPLAY_POINTER,
		.x = viewer->knows_pointer ? way(viewer->x, x) : 0,
		.y = viewer->knows_pointer ? way(viewer->y, y) : 0,
		.wheel = (int8_t)(!!(pressed & RFB_WHEEL_DOWN) - !!(pressed & RFB_WHEEL_UP)),
		.buttons = (uint8_t)((buttons & RFB_LEFT ? LEFT : 0) |
				     (buttons & RFB_RIGHT ? RIGHT : 0) |
				     (buttons & RFB_MIDDLE ? MIDDLE : 0)),
	};

	viewer->knows_pointer = true;
	viewer->x = x;
	viewer->y = y;
	viewer->buttons = buttons;
	ask(viewer, &request);
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

static void get_registers(struct viewer *viewer, struct screen *registers)
{
	const struct display_request request = {.type = DISPLAY_LOOK};
	struct packet packet = {.bytes = registers, .size = sizeof(*registers)};
	int ret;

	ask(viewer, &request);
	do {
		ret = packet_receive(viewer->seat, 0, &packet);
	} while (ret == -EINTR);
	if (ret != 0 || packet.length != sizeof(*registers)) {
		leave();
	}
}

static void look(struct viewer *viewer)
{
	struct screen registers;

	get_registers(viewer, &registers);
	switch (frame_look(&viewer->frame, &registers, mark, viewer->screen)) {
	case FRAME_RESIZED:
		rfbNewFramebuffer(viewer->screen, (char *)viewer->frame.pixels,
				  (int)viewer->frame.width, (int)viewer->frame.height, 8, 3, 4);
		break;
	case FRAME_FAILED:
		say("no memory for a picture");
		leave();
	default:
		break;
	}
}

/* The viewer waits for what is new. */
static bool looks(rfbClientPtr client)
{
	return client->state == RFB_NORMAL && !sraRgnEmpty(client->requestedRegion);
}

static void serve(struct viewer *viewer, rfbClientPtr client, int fd)
{
	struct pollfd polls[] = {{.fd = fd, .events = POLLIN},
				 {.fd = viewer->seat, .events = POLLIN}};
	uint64_t next = 0, now;

	while (rfbIsActive(viewer->screen) && client->sock >= 0) {
		now = clock_ms();
		if (looks(client) && now >= next) {
			next = now + LOOK_MS;
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
	rfbInitServer(screen);
	return true;
}

void viewer_run(int seat, int client_fd, const char *name)
{
	static struct viewer viewer;
	struct display_hello hello;
	struct screen registers;
	int memory = -1;
	struct packet packet = {
		.bytes = &hello, .size = sizeof(hello), .fds = &memory, .fds_max = 1};
	rfbClientPtr client;
	void *mapped;

	viewer.seat = seat;
	rfbLog = rfbErr = quiet;
	if (packet_receive(seat, 0, &packet) != 0 || packet.length != sizeof(hello) ||
	    packet.fd_count != 1 || hello.magic != DISPLAY_MAGIC ||
	    hello.bytes != SCREEN_BYTES - SCREEN_FRAME_AT) {
		leave();
	}
	mapped = mmap(NULL, hello.bytes, PROT_READ, MAP_SHARED, memory, 0);
	close(memory);
	get_registers(&viewer, &registers);
	if (mapped == MAP_FAILED || !frame_init(&viewer.frame, mapped) ||
	    frame_look(&viewer.frame, &registers, NULL, NULL) != FRAME_RESIZED ||
	    !make_screen(&viewer, name)) {
		say("no memory for a viewer");
		leave();
	}
	extended_register();
	client = rfbNewClient(viewer.screen, client_fd);
	if (client == NULL || !sandbox_enter_viewer()) {
		leave();
	}
	serve(&viewer, client, client_fd);
	leave();
}
