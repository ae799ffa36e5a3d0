/*
 * A machine's screen and keyboard, for `virsh screenshot` and `virsh send-key`: a viewer of RFB
 * (RFC 6143) at the service's display, for a moment. The screen is shown as a picture in PPM; keys
 * go by their scan codes (QEMU's extended key event).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "hosted/whole.h"
#include "libvirt/call.h"

#define PATIENCE_SECONDS 10
#define SIDE_MAX         8192
#define RECTANGLES_MAX   65536u
#define KEYS_MAX         16u
#define HOLD_MS          50
#define HOLD_MS_MAX      5000u

/* virKeycodeSet */
enum { SET_LINUX, SET_XT, SET_QNUM = 9 };

struct screen {
	int fd;
	unsigned int width, height;
	uint8_t *pixels; /* four bytes each: blue, green, red, nothing */
};

static bool get(const struct screen *screen, void *bytes, size_t length)
{
	return recv(screen->fd, bytes, length, MSG_WAITALL) == (ssize_t)length;
}

static bool put(const struct screen *screen, const void *bytes, size_t length)
{
	return send(screen->fd, bytes, length, MSG_NOSIGNAL) == (ssize_t)length;
}

static unsigned int word(const uint8_t *bytes)
{
	return (unsigned int)bytes[0] << 8 | bytes[1];
}

static bool skip(const struct screen *screen, uint64_t length)
{
	uint8_t bytes[4096];

	while (length != 0) {
		size_t part = length < sizeof(bytes) ? (size_t)length : sizeof(bytes);

		if (!get(screen, bytes, part)) {
			return false;
		}
		length -= part;
	}
	return true;
}

/* To where a client asks for what it wants: one kind of security, which is none; shared with other
 * viewers. */
static bool greet(struct screen *screen)
{
	static const uint8_t version[] = "RFB 003.008\n", none = 1, shared = 1;
	uint8_t seen[12], count, kinds[255], result[4], about[24];
	uint32_t length;

	if (!get(screen, seen, sizeof(seen)) || memcmp(seen, version, sizeof(seen)) != 0 ||
	    !put(screen, version, 12) || !get(screen, &count, 1) || count == 0 ||
	    !get(screen, kinds, count) || memchr(kinds, none, count) == NULL ||
	    !put(screen, &none, 1) || !get(screen, result, sizeof(result)) ||
	    memcmp(result, "\0\0\0\0", 4) != 0 || !put(screen, &shared, 1) ||
	    !get(screen, about, sizeof(about))) {
		return false;
	}
	screen->width = word(about);
	screen->height = word(about + 2);
	memcpy(&length, about + 20, sizeof(length));
	return screen->width != 0 && screen->height != 0 && screen->width <= SIDE_MAX &&
	       screen->height <= SIDE_MAX && skip(screen, ntohl(length));
}

/* False: the call has failed. */
static bool open_screen(struct call *call, const char *id, struct screen *screen)
{
	const struct timeval patience = {.tv_sec = PATIENCE_SECONDS};
	char path[128];

	snprintf(path, sizeof(path), "/v1/machines/%s/display", id);
	*screen = (struct screen){.fd = http_console(call->session->socket, path)};
	if (screen->fd < 0) {
		fail(call, ERR_INVALID,
		     "the machine has no screen: it does not run, or is not for "
		     "this user, or has no <video>");
		return false;
	}
	(void)setsockopt(screen->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	(void)setsockopt(screen->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (!greet(screen)) {
		fail(call, ERR_FAILED, "the machine's screen does not answer");
		close(screen->fd);
		return false;
	}
	return true;
}

/* ---- What it shows ---- */

static bool ask_for_all(const struct screen *screen)
{
	/* 32 bits a pixel, 24 of them colours, little endian, red at 16, green at 8, blue at 0. */
	static const uint8_t format[20] = {0, 0, 0, 0, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8},
			     encodings[8] = {2, 0, 0, 1};
	const uint8_t all[10] = {3,
				 0,
				 0,
				 0,
				 0,
				 0,
				 (uint8_t)(screen->width >> 8),
				 (uint8_t)screen->width,
				 (uint8_t)(screen->height >> 8),
				 (uint8_t)screen->height};

	return put(screen, format, sizeof(format)) && put(screen, encodings, sizeof(encodings)) &&
	       put(screen, all, sizeof(all));
}

static bool read_rectangle(struct screen *screen, uint64_t *pixels)
{
	uint8_t head[12];
	unsigned int x, y, width, height;

	if (!get(screen, head, sizeof(head))) {
		return false;
	}
	/* That scan codes are understood is said by a rectangle of none. */
	if (memcmp(head + 8, "\xff\xff\xfe\xfe", 4) == 0) {
		return true;
	}
	if (memcmp(head + 8, "\0\0\0\0", 4) != 0) {
		return false;
	}
	x = word(head);
	y = word(head + 2);
	width = word(head + 4);
	height = word(head + 6);
	if (x + width > screen->width || y + height > screen->height) {
		return false;
	}
	for (unsigned int row = 0; row < height; row++) {
		if (!get(screen, screen->pixels + 4 * ((size_t)(y + row) * screen->width + x),
			 4 * (size_t)width)) {
			return false;
		}
	}
	*pixels += (uint64_t)width * height;
	return true;
}

/* Until each pixel has come, by their number. */
static bool read_picture(struct screen *screen)
{
	uint64_t pixels = 0, wanted = (uint64_t)screen->width * screen->height;
	unsigned int rectangles = 0;
	uint8_t kind, head[7];

	while (pixels < wanted) {
		if (!get(screen, &kind, 1)) {
			return false;
		}
		if (kind == 2) { /* a bell */
			continue;
		}
		if (kind != 0 || !get(screen, head, 3)) {
			return false;
		}
		for (unsigned int i = word(head + 1); i > 0; i--) {
			if (++rectangles > RECTANGLES_MAX || !read_rectangle(screen, &pixels)) {
				return false;
			}
		}
	}
	return true;
}

/* A file that is read from its beginning, or -1. */
static int picture_file(const struct screen *screen)
{
	size_t count = (size_t)screen->width * screen->height, i;
	int fd = memfd_create("screenshot", MFD_CLOEXEC);
	uint8_t *rgb = malloc(3 * count);
	char head[64];
	int length =
		snprintf(head, sizeof(head), "P6\n%u %u\n255\n", screen->width, screen->height);

	for (i = 0; rgb != NULL && i < count; i++) {
		rgb[3 * i] = screen->pixels[4 * i + 2];
		rgb[3 * i + 1] = screen->pixels[4 * i + 1];
		rgb[3 * i + 2] = screen->pixels[4 * i];
	}
	if (fd >= 0 && (rgb == NULL || whole_write(fd, head, (size_t)length) != 0 ||
			whole_write(fd, rgb, 3 * count) != 0 || lseek(fd, 0, SEEK_SET) != 0)) {
		close(fd);
		fd = -1;
	}
	free(rgb);
	return fd;
}

void take_screenshot(struct call *call)
{
	struct screen screen;
	struct domain domain;
	uint32_t number;
	int fd = -1;

	get_domain(call, &domain);
	number = wire_get(call->in);
	if (!is_whole(call)) {
		return;
	}
	if (number != 0 || call->session->console >= 0) {
		fail(call, ERR_INVALID,
		     number != 0 ? "the machine has one screen, number 0"
				 : "a stream is open on this connection already");
		return;
	}
	if (!open_screen(call, domain.id, &screen)) {
		return;
	}
	screen.pixels = calloc((size_t)screen.width * screen.height, 4);
	if (screen.pixels != NULL && ask_for_all(&screen) && read_picture(&screen)) {
		fd = picture_file(&screen);
	}
	free(screen.pixels);
	close(screen.fd);
	if (fd < 0) {
		fail(call, ERR_FAILED, "the machine's screen does not answer");
		return;
	}
	call->session->console = fd;
	call->session->fetches = true;
	call->session->stream = *call->header;
	call->session->stream.type = WIRE_STREAM;
	wire_put(call->out, 1);
	wire_put_text(call->out, "image/x-portable-pixmap");
}

/* ---- Its keyboard ---- */

/* Linux's numbers of keys are scan codes of the first set up to F10 and a little further; the
 * others by their names there. */
static unsigned int scan_code(uint32_t linux_code)
{
	static const uint8_t others[][2] = {
		{96, 0x9c},  {97, 0x9d},  {98, 0xb5},  {99, 0x54},  {100, 0xb8},
		{102, 0xc7}, {103, 0xc8}, {104, 0xc9}, {105, 0xcb}, {106, 0xcd},
		{107, 0xcf}, {108, 0xd0}, {109, 0xd1}, {110, 0xd2}, {111, 0xd3},
		{119, 0xc6}, {125, 0xdb}, {126, 0xdc}, {127, 0xdd},
	};

	for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
		if (others[i][0] == linux_code) {
			return others[i][1];
		}
	}
	return (linux_code >= 1 && linux_code <= 83) || (linux_code >= 86 && linux_code <= 88)
		       ? linux_code
		       : 0;
}

static bool press(const struct screen *screen, unsigned int code, bool down)
{
	const uint8_t event[12] = {255, 0, 0, down, 0, 0, 0, 0, 0, 0, 0, (uint8_t)code};

	return put(screen, event, sizeof(event));
}

/* What was sent is taken when something that was asked for behind it comes. */
static bool press_all(struct screen *screen, const unsigned int *codes, uint32_t count,
		      uint32_t hold_ms)
{
	/* Two encodings: raw, and that scan codes are understood. */
	static const uint8_t encodings[12] = {2, 0, 0, 2, 0, 0, 0, 0, 0xff, 0xff, 0xfe, 0xfe};
	bool done = put(screen, encodings, sizeof(encodings));
	uint32_t i;

	for (i = 0; done && i < count; i++) {
		done = press(screen, codes[i], true);
	}
	usleep(1000 * hold_ms);
	for (i = count; done && i > 0; i--) {
		done = press(screen, codes[i - 1], false);
	}
	screen->pixels = done ? calloc((size_t)screen->width * screen->height, 4) : NULL;
	done = screen->pixels != NULL && ask_for_all(screen) && read_picture(screen);
	free(screen->pixels);
	return done;
}

void send_keys(struct call *call)
{
	unsigned int codes[KEYS_MAX];
	struct screen screen;
	struct domain domain;
	uint32_t set, hold_ms, count, i, key;

	get_domain(call, &domain);
	set = wire_get(call->in);
	hold_ms = wire_get(call->in);
	count = wire_get(call->in);
	for (i = 0; i < count && i < KEYS_MAX; i++) {
		key = wire_get(call->in);
		codes[i] = set == SET_LINUX ? scan_code(key) : key < 256 ? key : 0;
		if (codes[i] == 0 && !call->in->bad) {
			fail(call, ERR_ARGUMENT, "key %u: no keyboard here has it", key);
			return;
		}
	}
	if (!is_whole(call)) {
		return;
	}
	if (count == 0 || count > KEYS_MAX ||
	    (set != SET_LINUX && set != SET_XT && set != SET_QNUM)) {
		fail(call, ERR_ARGUMENT, "give 1 to %u keys, of the set linux, xt or qnum",
		     KEYS_MAX);
		return;
	}
	hold_ms = hold_ms == 0 ? HOLD_MS : hold_ms < HOLD_MS_MAX ? hold_ms : HOLD_MS_MAX;
	if (open_screen(call, domain.id, &screen)) {
		if (!press_all(&screen, codes, count, hold_ms)) {
			fail(call, ERR_FAILED, "the machine's screen does not answer");
		}
		close(screen.fd);
	}
}
