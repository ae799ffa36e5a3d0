/* A machine's seats (include/mgmt/display.h), and who sits there and keeps no rule. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "hosted/packet.h"
#include "include/mgmt/display.h"
#include "include/mgmt/screen.h"
#include "vsp/input/input.h"
#include "worker/machine.h"

static struct machine machine;
static struct config config;
static int seat; /* the first one's other end */
static bool keys[256];
static unsigned int releases;
static uint8_t buttons;
static char started[16];

/* ---- What a seat reaches ---- */

void board_key(struct board *board, uint8_t key, bool down)
{
	(void)board;
	releases += !down;
	keys[key] = down;
}

void board_pointer(struct board *board, int x, int y, int wheel, uint8_t now)
{
	(void)board;
	(void)x;
	(void)y;
	(void)wheel;
	buttons = now;
}

/* A tablet, if the guest listens to one. */
static bool has_tablet;
static unsigned int tablet_x, tablet_y;
static uint8_t tablet_buttons;

bool board_place(struct board *board, uint16_t x, uint16_t y, int wheel, uint8_t now)
{
	(void)board;
	(void)wheel;
	if (has_tablet) {
		tablet_x = x;
		tablet_y = y;
		tablet_buttons = now;
	}
	return has_tablet;
}

void board_release_tablet(struct board *board)
{
	(void)board;
	tablet_buttons = 0;
}

/* The guest's own drivers, if it has any. */
static struct input *const a_device = (struct input *)&machine;
static bool has_drivers, driven[256];
static struct mouse_report place;

bool keyboard_press(struct input *keyboard, uint8_t key, bool down)
{
	assert_ptr_equal(keyboard, a_device);
	if (down ? !has_drivers : !driven[key]) {
		return false;
	}
	driven[key] = down;
	return true;
}

bool mouse_point(struct input *mouse, const struct mouse_report *report)
{
	assert_ptr_equal(mouse, a_device);
	if (has_drivers) {
		place = *report;
	}
	return has_drivers;
}

void mouse_release(struct input *mouse)
{
	assert_ptr_equal(mouse, a_device);
	place.buttons = 0;
}

int keyboard_create(struct vmbus *bus, struct input **keyboard)
{
	(void)bus;
	*keyboard = a_device;
	return 0;
}

int mouse_create(struct vmbus *bus, struct input **mouse)
{
	return keyboard_create(bus, mouse);
}

void input_destroy(struct input **input)
{
	*input = NULL;
}

static struct screen now; /* of which somebody is told */

void screen_describe(struct machine *m, bool follow, struct screen *to)
{
	(void)m;
	assert_true(follow);
	*to = now;
}

static unsigned int wanted_width, wanted_height;

void screen_want(struct machine *m, unsigned int width, unsigned int height)
{
	(void)m;
	wanted_width = width;
	wanted_height = height;
}

/* Instead of the program: its end of the first seat, the one socket of packets above those of the
 * worker. */
int __wrap_posix_spawn(pid_t *child, const char *path, const posix_spawn_file_actions_t *actions,
		       const posix_spawnattr_t *attributes, char *const *argv, char *const *envp);
int __wrap_posix_spawn(pid_t *child, const char *path, const posix_spawn_file_actions_t *actions,
		       const posix_spawnattr_t *attributes, char *const *argv, char *const *envp)
{
	int fd, type, found = -1;
	socklen_t size = sizeof(type);

	(void)path;
	(void)actions;
	(void)attributes;
	snprintf(started, sizeof(started), "%s", argv[0]);
	(void)envp;
	for (fd = 3; fd < 64; fd++) {
		if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 &&
		    type == SOCK_SEQPACKET) {
			found = fd;
		}
	}
	assert_true(found >= 0);
	seat = dup(found);
	*child = 0;
	return 0;
}

/* ---- Who sits there ---- */

static void serve(void)
{
	display_serve(&machine);
}

static bool is_readable(int fd)
{
	struct pollfd event = {.fd = fd, .events = POLLIN};

	return poll(&event, 1, 0) == 1;
}

static void ask(int fd, struct display_request request)
{
	assert_int_equal(packet_send(fd, 0, &request, sizeof(request), NULL, 0), 0);
	serve();
}

static bool is_hung_up(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_DONTWAIT) == 0;
}

static void expect_hello(int fd)
{
	struct display_hello hello;
	int memory;
	struct packet packet = {
		.bytes = &hello, .size = sizeof(hello), .fds = &memory, .fds_max = 1};

	assert_int_equal(packet_receive(fd, MSG_DONTWAIT, &packet), 0);
	assert_int_equal(packet.length, sizeof(hello));
	assert_int_equal(packet.fd_count, 1);
	assert_int_equal(hello.magic, DISPLAY_MAGIC);
	assert_int_equal(hello.bytes, SCREEN_BYTES - SCREEN_FRAME_AT);
	packet_close(&packet);
}

/* Another seat; *kept, if wanted, is the worker's end of it, as who sits there may keep it. */
static int join(int *kept)
{
	const struct display_request request = {.type = DISPLAY_JOIN};
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(packet_send(seat, 0, &request, sizeof(request), &ends[1], 1), 0);
	serve();
	if (kept != NULL) {
		*kept = ends[1];
	} else {
		close(ends[1]);
	}
	return ends[0];
}

static int set_up(bool rdp)
{
	static char path[64];
	struct config_file socket = {.path = path, .fd = -1};

	snprintf(path, sizeof(path), "/tmp/display-test.%d", getpid());
	memset(keys, 0, sizeof(keys));
	releases = 0;
	buttons = 0;
	has_drivers = has_tablet = false;
	tablet_buttons = 0;
	config = (struct config){.name = "test", .vga = true};
	*(rdp ? &config.rdp : &config.vnc) = socket;
	machine.config = &config;
	machine.screen_fd = memfd_create("screen", MFD_CLOEXEC);
	assert_true(machine.screen_fd >= 0);
	machine.screen = (uint8_t *)&machine;
	assert_true(input_attach(&machine));
	assert_true(display_create(&machine));
	expect_hello(seat);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	return set_up(false);
}

static int setup_rdp(void **state)
{
	(void)state;
	return set_up(true);
}

static int teardown(void **state)
{
	(void)state;
	display_destroy(&machine);
	input_detach(&machine);
	assert_null(machine.keyboard);
	close(machine.screen_fd);
	close(seat);
	unlink(config.vnc.path != NULL ? config.vnc.path : config.rdp.path);
	return 0;
}

/* ---- Tests ---- */

static void test_looks_and_types(void **state)
{
	struct screen screen;

	(void)state;
	assert_string_equal(started, "vmvnc");
	assert_false(is_readable(seat));
	ask(seat, (struct display_request){.type = DISPLAY_LOOK});
	assert_int_equal(recv(seat, &screen, sizeof(screen), MSG_DONTWAIT), sizeof(screen));
	ask(seat, (struct display_request){.type = DISPLAY_KEY, .key = 0x9d, .down = 1});
	assert_true(keys[0x9d]);
	ask(seat, (struct display_request){.type = DISPLAY_KEY, .key = 0x9d});
	assert_false(keys[0x9d]);
	ask(seat, (struct display_request){.type = DISPLAY_POINTER, .x = -5, .buttons = 2});
	assert_int_equal(buttons, 2);
	ask(seat, (struct display_request){.type = DISPLAY_SIZE, .at_x = 1234, .at_y = UINT16_MAX});
	assert_int_equal(wanted_width, 1234);
	assert_int_equal(wanted_height, UINT16_MAX);
}

/* Whom the service brings; and without a screen nobody. */
static void test_brought(void **state)
{
	int ends[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	assert_true(display_sit(&machine, ends[1]));
	expect_hello(ends[0]);
	ask(ends[0], (struct display_request){.type = DISPLAY_KEY, .key = 5, .down = 1});
	assert_true(keys[5]);
	close(ends[0]);
	serve();
	assert_false(keys[5]);
	display_destroy(&machine);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	assert_false(display_sit(&machine, ends[1]));
	assert_true(is_hung_up(ends[0]));
	close(ends[0]);
}

static void test_rdp(void **state)
{
	(void)state;
	assert_string_equal(started, "vmrdp");
	ask(seat, (struct display_request){.type = DISPLAY_POINTER, .buttons = 8});
	assert_int_equal(buttons, 8);
}

/* The guest's drivers come and go while keys and buttons are held: each is released where it was
 * pressed. */
static void test_drivers(void **state)
{
	const struct display_request a = {.type = DISPLAY_KEY, .key = 0x1e, .down = 1};
	const struct display_request b = {.type = DISPLAY_KEY, .key = 0x30, .down = 1};

	(void)state;
	ask(seat, a);
	ask(seat, (struct display_request){.type = DISPLAY_POINTER, .buttons = 1});
	has_drivers = true;
	ask(seat, b);
	assert_true(keys[0x1e] && !keys[0x30] && driven[0x30]);
	ask(seat,
	    (struct display_request){
		    .type = DISPLAY_POINTER, .buttons = 1, .wheel = -2, .at_x = 7, .at_y = 9});
	assert_int_equal(buttons, 0);
	assert_true(place.buttons == 1 && place.wheel == -2 && place.x == 7 && place.y == 9);
	ask(seat, (struct display_request){.type = DISPLAY_KEY, .key = 0x1e});
	assert_false(keys[0x1e]);
	has_drivers = false;
	close(seat);
	seat = dup(2); /* teardown() closes it */
	serve();
	assert_true(!driven[0x30] && place.buttons == 0);
}

/* A tablet instead of the mouse, until the guest has drivers. */
static void test_tablet(void **state)
{
	(void)state;
	ask(seat, (struct display_request){.type = DISPLAY_POINTER, .buttons = 1});
	assert_int_equal(buttons, 1);
	has_tablet = true;
	ask(seat, (struct display_request){
			  .type = DISPLAY_POINTER, .buttons = 2, .at_x = 7, .at_y = 0x7fff});
	assert_int_equal(buttons, 0);
	assert_true(tablet_buttons == 2 && tablet_x == 7 && tablet_y == 0x7fff);
	has_drivers = true;
	ask(seat, (struct display_request){.type = DISPLAY_POINTER, .buttons = 2});
	assert_true(tablet_buttons == 0 && place.buttons == 2);
}

static struct screen expect_screen(int fd)
{
	struct screen screen;

	ask(fd, (struct display_request){.type = DISPLAY_LOOK});
	assert_int_equal(recv(fd, &screen, sizeof(screen), MSG_DONTWAIT), sizeof(screen));
	return screen;
}

/* Each seat hears of all that has changed since it looked, whoever was told first. */
static void test_changes(void **state)
{
	int other = join(NULL);
	struct screen screen;
	unsigned int i;

	(void)state;
	expect_hello(other);
	now = (struct screen){.change_count = 1, .changes = {{1, 2, 3, 4}}};
	assert_int_equal(expect_screen(seat).change_count, SCREEN_ALL);
	assert_int_equal(expect_screen(other).change_count, SCREEN_ALL);
	screen = expect_screen(seat); /* what the other was told is news here, too */
	assert_int_equal(screen.change_count, 2);
	assert_int_equal(screen.changes[0].left, 1);
	now.change_count = 0;
	screen = expect_screen(other);
	assert_int_equal(screen.change_count, 1);
	assert_int_equal(screen.changes[0].bottom, 4);
	assert_int_equal(expect_screen(other).change_count, 0);
	for (i = 0; i < 2 * SCREEN_CHANGES; i++) {
		now.change_count = 1;
		now.changes[0] = (struct screen_change){(uint16_t)i, (uint16_t)i, (uint16_t)(i + 1),
							(uint16_t)(i + 1)};
		(void)expect_screen(seat);
	}
	now.change_count = 0;
	screen = expect_screen(other);
	assert_int_equal(screen.change_count, SCREEN_CHANGES);
	assert_int_equal(screen.changes[SCREEN_CHANGES - 1].left, SCREEN_CHANGES - 1);
	assert_int_equal(screen.changes[SCREEN_CHANGES - 1].right, 2 * SCREEN_CHANGES);
	now.change_count = SCREEN_ALL;
	(void)expect_screen(seat);
	now.change_count = 0;
	assert_int_equal(expect_screen(other).change_count, SCREEN_ALL);
	assert_int_equal(expect_screen(seat).change_count, 0);
	close(other);
}

/* Each by a seat of its own, which holds a key and a button. */
static void test_rules(void **state)
{
	static const struct display_request broken[] = {
		{.type = DISPLAY_JOIN},
		{.type = DISPLAY_SIZE + 1},
		{.type = DISPLAY_SIZE, .at_y = 1},
		{.type = DISPLAY_SIZE, .at_x = 1},
		{.type = UINT32_MAX},
		{.type = DISPLAY_KEY, .key = 1, .down = 2},
	};
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_COUNT(broken); i++) {
		int other = join(NULL);

		expect_hello(other);
		ask(other, (struct display_request){.type = DISPLAY_KEY, .key = 0x1e, .down = 1});
		ask(other, (struct display_request){.type = DISPLAY_POINTER, .buttons = 1});
		assert_true(keys[0x1e] && buttons == 1);
		ask(other, broken[i]);
		assert_true(is_hung_up(other));
		assert_true(!keys[0x1e] && buttons == 0);
		close(other);
	}
	assert_int_equal(send(seat, "short", 5, 0), 5);
	serve();
	assert_true(is_hung_up(seat));
}

/* A descriptor that comes along with what needs none is closed, and its sender hung up on. */
static void test_descriptor_unasked(void **state)
{
	const struct display_request request = {.type = DISPLAY_LOOK};
	int ends[2], other = join(NULL);
	char byte;

	(void)state;
	expect_hello(other);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(packet_send(other, 0, &request, sizeof(request), &ends[1], 1), 0);
	close(ends[1]);
	serve();
	assert_true(is_hung_up(other));
	assert_int_equal(read(ends[0], &byte, 1), 0);
	close(ends[0]);
	close(other);
}

/* Who keeps the worker's end of a seat too: hanging up ends it all the same, and the worker has
 * nothing to do. */
static void test_keeps_the_end(void **state)
{
	int kept, other = join(&kept);

	(void)state;
	expect_hello(other);
	ask(other, (struct display_request){.type = UINT32_MAX});
	ask(other, (struct display_request){.type = DISPLAY_KEY, .key = 0x1e, .down = 1});
	assert_false(keys[0x1e]);
	assert_false(is_readable(display_fd(&machine)));
	close(other);
	close(kept);
}

/* Who does not take answers is hung up on, and nobody waits for him. */
static void test_takes_no_answer(void **state)
{
	const struct display_request look = {.type = DISPLAY_LOOK};
	int other = join(NULL);
	unsigned int i;

	(void)state;
	for (i = 0;
	     i < 100000 && packet_send(other, MSG_DONTWAIT, &look, sizeof(look), NULL, 0) == 0;
	     i++) {
		serve();
	}
	assert_true(i < 100000);
	ask(seat, (struct display_request){.type = DISPLAY_KEY, .key = 1, .down = 1});
	assert_true(keys[1]);
	close(other);
}

static void test_no_more_seats(void **state)
{
	int seats[DISPLAY_PLACES - 1], i;

	(void)state;
	for (i = 0; i < DISPLAY_PLACES - 1; i++) {
		seats[i] = join(NULL);
		expect_hello(seats[i]);
	}
	i = join(NULL);
	assert_true(is_hung_up(i));
	close(i);
	close(seats[3]);
	serve();
	seats[3] = join(NULL);
	expect_hello(seats[3]);
	for (i = 0; i < DISPLAY_PLACES - 1; i++) {
		close(seats[i]);
	}
}

int main(void)
{
#define SEATED(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		SEATED(test_looks_and_types),
		SEATED(test_drivers),
		SEATED(test_tablet),
		SEATED(test_changes),
		SEATED(test_rules),
		SEATED(test_descriptor_unasked),
		SEATED(test_keeps_the_end),
		SEATED(test_takes_no_answer),
		SEATED(test_brought),
		SEATED(test_no_more_seats),
		cmocka_unit_test_setup_teardown(test_rdp, setup_rdp, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
