/* See seat.h. */
#include "console/seat.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "console/keys.h"
#include "hosted/packet.h"
#include "include/mgmt/display.h"

void seat_leave(void)
{
	_exit(0);
}

static void ask(const struct seat *seat, const struct display_request *request)
{
	if (packet_send(seat->fd, 0, request, sizeof(*request), NULL, 0) != 0) {
		seat_leave();
	}
}

void seat_take(struct seat *seat, int fd)
{
	struct display_hello hello;
	int memory = -1;
	struct packet packet = {
		.bytes = &hello, .size = sizeof(hello), .fds = &memory, .fds_max = 1};
	void *mapped;

	if (packet_receive(fd, 0, &packet) != 0 || packet.length != sizeof(hello) ||
	    packet.fd_count != 1 || hello.magic != DISPLAY_MAGIC ||
	    hello.bytes != SCREEN_BYTES - SCREEN_FRAME_AT) {
		seat_leave();
	}
	mapped = mmap(NULL, hello.bytes, PROT_READ, MAP_SHARED, memory, 0);
	close(memory);
	if (mapped == MAP_FAILED) {
		seat_leave();
	}
	*seat = (struct seat){.fd = fd, .memory = mapped};
}

void seat_look(const struct seat *seat, struct screen *registers)
{
	const struct display_request request = {.type = DISPLAY_LOOK};
	struct packet packet = {.bytes = registers, .size = sizeof(*registers)};
	int ret;

	ask(seat, &request);
	do {
		ret = packet_receive(seat->fd, 0, &packet);
	} while (ret == -EINTR);
	if (ret != 0 || packet.length != sizeof(*registers)) {
		seat_leave();
	}
}

void seat_want(const struct seat *seat, uint16_t width, uint16_t height)
{
	const struct display_request request = {
		.type = DISPLAY_SIZE, .at_x = width, .at_y = height};

	ask(seat, &request);
}

void seat_press(const struct seat *seat, uint8_t key, bool down)
{
	const struct display_request request = {.type = DISPLAY_KEY, .key = key, .down = down};

	ask(seat, &request);
}

void seat_type(struct seat *seat, uint32_t keysym, bool down)
{
	bool shifted;
	uint8_t key = key_of(keysym, &shifted);

	if (key == 0) {
		return;
	}
	if (keysym == KEYSYM_SHIFT_L || keysym == KEYSYM_SHIFT_R) {
		seat->shift = down;
	}
	shifted = shifted && !seat->shift && down;
	if (shifted) {
		seat_press(seat, KEY_SHIFT, true);
	}
	seat_press(seat, key, down);
	if (shifted) {
		seat_press(seat, KEY_SHIFT, false);
	}
}

static int16_t way(int from, int to)
{
	int by = to - from;

	return (int16_t)(by > INT16_MAX ? INT16_MAX : by < INT16_MIN ? INT16_MIN : by);
}

/* Of a place on the screen, DISPLAY_POINTER's. */
static uint16_t place(int at, unsigned int size)
{
	if (at <= 0 || size < 2) {
		return 0;
	}
	return (unsigned int)at < size ? (uint16_t)((uint64_t)at * DISPLAY_PLACE_MAX / (size - 1))
				       : DISPLAY_PLACE_MAX;
}

void seat_point(struct seat *seat, const struct frame *frame, int x, int y, uint8_t buttons,
		int8_t wheel)
{
	const struct display_request request = {
		.type = DISPLAY_POINTER,
		.x = seat->knows_pointer ? way(seat->x, x) : 0,
		.y = seat->knows_pointer ? way(seat->y, y) : 0,
		.at_x = place(x, frame->width),
		.at_y = place(y, frame->height),
		.wheel = wheel,
		.buttons = buttons,
	};

	seat->knows_pointer = true;
	seat->x = x;
	seat->y = y;
	ask(seat, &request);
}
