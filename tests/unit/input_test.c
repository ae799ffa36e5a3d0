/*
 * Keyboard and mouse, against a guest that speaks as Linux's hyperv-keyboard and hid-hyperv do, and
 * one that does not. The test's thread is the control thread of VMBus and the guest; each device
 * has its own.
 */
#include "include/vsp/synthinput.h"
#include "tests/fake/vmbus_guest.h"
#include "vsp/input/input.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RING 8u
/* More than either keeps. */
#define MANY 200u

static struct input *device;
static struct guest_channel channel;
static uint32_t relid, next_gpadl;
static int (*create)(struct vmbus *bus, struct input **input);

/* ---- The guest ---- */

#define UNTIL(condition) GUEST_UNTIL(guest_wait, condition)

static void put(const void *message, uint32_t bytes)
{
	assert_true(guest_send(&channel, VM_PKT_DATA_INBAND, 7,
			       VMBUS_DATA_PACKET_FLAG_COMPLETION_REQUESTED, NULL, 0, message,
			       bytes));
}

/* A packet of this type; what it has is in `message`. */
static bool try_get(uint16_t type, void *message, size_t size)
{
	static struct guest_packet packet;

	if (!guest_receive(&channel, &packet)) {
		return false;
	}
	assert_int_equal(packet.descriptor.type, type);
	assert_true(size <= packet.descriptor.len8 * 8u - 16);
	memcpy(message, packet.bytes + 16, size);
	return true;
}

static void expect(void *message, size_t size)
{
	UNTIL(try_get(VM_PKT_DATA_INBAND, message, size));
}

static void expect_completion(void)
{
	uint8_t none;

	UNTIL(try_get(VM_PKT_COMP, &none, 0));
}

static void expect_silence(void)
{
	static struct guest_packet packet;
	unsigned int i;

	for (i = 0; i < 10; i++) {
		guest_wait();
		assert_false(guest_receive(&channel, &packet));
	}
}

static void open_channel(void)
{
	assert_int_equal(guest_open(&channel, relid, ++next_gpadl, RING, 64, 0), 0);
}

static void close_channel(void)
{
	if (!guest_close(&channel)) {
		UNTIL(guest_take(CHANNELMSG_GPADL_TORNDOWN) != NULL);
	}
}

static void ask_keyboard(uint32_t version, uint32_t status)
{
	const struct synth_kbd_protocol_request request = {SYNTH_KBD_PROTOCOL_REQUEST, version};
	struct synth_kbd_protocol_response response;

	put(&request, sizeof(request));
	expect_completion();
	expect(&response, sizeof(response));
	assert_int_equal(response.type, SYNTH_KBD_PROTOCOL_RESPONSE);
	assert_int_equal(response.proto_status, status);
}

static void expect_key(uint16_t code, uint32_t info)
{
	struct synth_kbd_keystroke stroke;

	expect(&stroke, sizeof(stroke));
	assert_int_equal(stroke.type, SYNTH_KBD_EVENT);
	assert_int_equal(stroke.make_code, code);
	assert_int_equal(stroke.info, info);
}

static void ask_mouse(uint32_t version, uint8_t approved)
{
	const struct synth_hid_protocol_request request = {
		.header = {SYNTH_PIPE_DATA, 12, SYNTH_HID_PROTOCOL_REQUEST, 4}, .version = version};
	struct synth_hid_protocol_response response;

	put(&request, sizeof(request));
	expect_completion();
	expect(&response, sizeof(response));
	assert_int_equal(response.header.pipe_type, SYNTH_PIPE_DATA);
	assert_int_equal(response.header.pipe_size, sizeof(response) - 8);
	assert_int_equal(response.header.type, SYNTH_HID_PROTOCOL_RESPONSE);
	assert_int_equal(response.version, version);
	assert_int_equal(response.approved, approved);
}

/* What it is. */
static void expect_mouse(void)
{
	struct {
		struct synth_hid_device_info info;
		uint8_t report[64];
	} SYNTH_PACKED message;

	expect(&message, sizeof(message));
	assert_int_equal(message.info.header.type, SYNTH_HID_INITIAL_DEVICE_INFO);
	assert_int_equal(message.info.info_size, 32);
	assert_int_equal(message.info.descriptor_length, 9);
	assert_int_equal(message.info.header.size, 41 + message.info.report_length);
	assert_int_equal(message.info.header.pipe_size, message.info.header.size + 8);
	/* A collection that is closed by its last byte. */
	assert_int_equal(message.report[0], 0x05);
	assert_int_equal(message.report[message.info.report_length - 1], 0xc0);
}

static void acknowledge(void)
{
	const struct {
		struct synth_hid_header header;
		uint8_t reserved;
	} SYNTH_PACKED ack = {.header = {SYNTH_PIPE_DATA, 9, SYNTH_HID_INITIAL_DEVICE_INFO_ACK, 1}};

	put(&ack, sizeof(ack));
	expect_completion();
}

static void meet_mouse(void)
{
	ask_mouse(0x20000, 1);
	expect_mouse();
	acknowledge();
}

static void expect_report(uint8_t buttons, uint16_t x, uint16_t y, int8_t away)
{
	struct {
		struct synth_hid_header header;
		uint8_t buttons;
		uint16_t x, y;
		int8_t wheel;
	} SYNTH_PACKED message;

	expect(&message, sizeof(message));
	assert_int_equal(message.header.type, SYNTH_HID_INPUT_REPORT);
	assert_int_equal(message.header.size, 6);
	assert_int_equal(message.buttons, buttons);
	assert_int_equal(message.x, x);
	assert_int_equal(message.y, y);
	assert_int_equal(message.wheel, away);
}

static bool point(uint8_t buttons, uint16_t x, uint16_t y, int8_t wheel)
{
	const struct mouse_report report = {.buttons = buttons, .wheel = wheel, .x = x, .y = y};

	return mouse_point(device, &report);
}

static void find(void)
{
	struct vmbus_channel_message_header request = {.msgtype = CHANNELMSG_REQUESTOFFERS};
	const struct vmbus_channel_offer_channel *offer;

	assert_true(guest_contact(VERSION_WIN10_V5_3));
	assert_int_equal(guest_post(&request, sizeof(request)), 0);
	offer = guest_take(CHANNELMSG_OFFERCHANNEL);
	assert_non_null(offer);
	relid = offer->child_relid;
	assert_non_null(guest_take(CHANNELMSG_ALLOFFERS_DELIVERED));
}

static int start(int (*kind)(struct vmbus *bus, struct input **input))
{
	create = kind;
	guest_create();
	assert_int_equal(create(guest.bus, &device), 0);
	find();
	return 0;
}

static int start_keyboard(void **state)
{
	(void)state;
	return start(keyboard_create);
}

static int start_mouse(void **state)
{
	(void)state;
	return start(mouse_create);
}

static int stop(void **state)
{
	(void)state;
	input_destroy(&device);
	guest_destroy();
	return 0;
}

/* ---- Another machine ---- */

static void save_device(struct state_writer *writer)
{
	input_save(device, writer);
}

static int begin_with(const uint8_t *from, size_t size, struct state_fault *fault)
{
	struct state_reader all = state_reader(from, size, fault);
	int ret;

	assert_int_equal(create(guest.bus, &device), 0);
	vmbus_pause(guest.bus);
	ret = input_load(device, &all);
	return ret == 0 ? vmbus_load(guest.bus, &all) : ret;
}

static void end_machine(void)
{
	input_destroy(&device);
	guest_restart();
}

/* What was saved; the machine is paused, and another has begun with it. */
static uint8_t *move(size_t *size)
{
	struct state_fault fault;
	uint8_t *saved = guest_save(save_device, size);

	end_machine();
	assert_int_equal(begin_with(saved, *size, &fault), 0);
	return saved;
}

/* ---- Tests ---- */

static void keys_come_in_order(void **state)
{
	(void)state;
	assert_false(keyboard_press(device, 0x1e, true));
	open_channel();
	assert_false(keyboard_press(device, 0x1e, true));
	ask_keyboard(0x20000, 0);
	assert_false(keyboard_press(device, 0x1e, true));
	ask_keyboard(0x10000, SYNTH_KBD_ACCEPTED);
	assert_true(keyboard_press(device, 0x1e, true));
	expect_key(0x1e, 0);
	assert_true(keyboard_press(device, 0x1e, true));
	assert_true(keyboard_press(device, 0x1e, false));
	assert_true(keyboard_press(device, 0x9d, true));
	assert_true(keyboard_press(device, 0x9d, false));
	expect_key(0x1e, 0);
	expect_key(0x1e, SYNTH_KBD_IS_BREAK);
	expect_key(0x1d, SYNTH_KBD_IS_E0);
	expect_key(0x1d, SYNTH_KBD_IS_E0 | SYNTH_KBD_IS_BREAK);
	/* What was not pressed here is another's to release. */
	assert_false(keyboard_press(device, 0x1e, false));
	expect_silence();
}

static void each_key_that_was_pressed_is_released(void **state)
{
	unsigned int i, pressed = 0, released = 0;
	struct synth_kbd_keystroke stroke;
	uint8_t down[256] = {0};

	(void)state;
	open_channel();
	ask_keyboard(0x10000, SYNTH_KBD_ACCEPTED);
	vmbus_pause(guest.bus); /* it takes nothing */
	for (i = 1; i < MANY; i++) {
		down[i] = keyboard_press(device, (uint8_t)i, true);
	}
	for (i = 1; i < MANY; i++) {
		down[i] = down[i] && keyboard_press(device, (uint8_t)i, false);
	}
	vmbus_resume(guest.bus);
	for (i = 1; i < MANY; i++) {
		pressed += down[i];
	}
	assert_true(pressed > 16 && pressed < MANY - 1);
	for (i = 0; i < 2 * pressed; i++) {
		expect(&stroke, sizeof(stroke));
		released += !!(stroke.info & SYNTH_KBD_IS_BREAK);
	}
	assert_int_equal(released, pressed);
	expect_silence();
}

static void a_guest_that_says_other_things(void **state)
{
	const uint32_t words[] = {SYNTH_KBD_LED_INDICATORS, 7, UINT32_MAX, 0};
	unsigned int i;

	(void)state;
	open_channel();
	for (i = 0; i < ARRAY_COUNT(words); i++) {
		put(&words[i], sizeof(words[i]));
		expect_completion();
	}
	ask_keyboard(0x10000, SYNTH_KBD_ACCEPTED);
	close_channel();
	assert_false(keyboard_press(device, 1, true));
	open_channel();
	ask_keyboard(0x10000, SYNTH_KBD_ACCEPTED);
	assert_true(keyboard_press(device, 1, true));
	expect_key(1, 0);
}

/* In the other machine nobody holds what was held. */
static void keys_are_released_in_another_machine(void **state)
{
	struct state_fault fault;
	uint8_t *saved;
	size_t size;

	(void)state;
	open_channel();
	ask_keyboard(0x10000, SYNTH_KBD_ACCEPTED);
	assert_true(keyboard_press(device, 0x2a, true));
	expect_key(0x2a, 0);
	vmbus_pause(guest.bus);
	assert_true(keyboard_press(device, 0x10, true));
	assert_true(keyboard_press(device, 0x10, false));
	saved = move(&size);
	vmbus_resume(guest.bus);
	expect_key(0x10, 0);
	expect_key(0x10, SYNTH_KBD_IS_BREAK);
	expect_key(0x2a, SYNTH_KBD_IS_BREAK);
	expect_silence();
	assert_true(keyboard_press(device, 0x11, true));
	expect_key(0x11, 0);
	/* The part: name, version, length; open, stage, accepts, version, held, count. */
	assert_memory_equal(saved, "keyboard", 8);
	saved[16 + 1] = 6;
	end_machine();
	assert_int_equal(begin_with(saved, size, &fault), -EINVAL);
	assert_string_equal(fault.what, "has a state that cannot be");
	saved[16 + 1] = 5;
	saved[16 + 7 + 32] = 64;
	end_machine();
	assert_int_equal(begin_with(saved, size, &fault), -EINVAL);
	assert_string_equal(fault.what, "has keys that a keyboard cannot have");
	free(saved);
}

static void a_state_of_an_older_machine(void **state)
{
	struct state_fault fault;
	uint8_t *saved;
	size_t size;

	(void)state;
	/* None of it is the keyboard's. */
	vmbus_pause(guest.bus);
	saved = guest_save(NULL, &size);
	end_machine();
	assert_int_equal(begin_with(saved, size, &fault), 0);
	vmbus_resume(guest.bus);
	free(saved);
	open_channel();
	ask_keyboard(0x10000, SYNTH_KBD_ACCEPTED);
	assert_true(keyboard_press(device, 0x11, true));
	expect_key(0x11, 0);
}

static void the_mouse_says_where_it_is(void **state)
{
	(void)state;
	open_channel();
	assert_false(point(0, 1, 1, 0));
	ask_mouse(0x30000, 0);
	ask_mouse(0x20000, 1);
	expect_mouse();
	assert_false(point(0, 1, 1, 0));
	acknowledge();
	UNTIL(point(0, 1, 2, 0));
	expect_report(0, 1, 2, 0);
	assert_true(point(3, MOUSE_PLACE_MAX, 0xffff, -1));
	expect_report(3, MOUSE_PLACE_MAX, MOUSE_PLACE_MAX, 1);
	mouse_release(device);
	expect_report(0, MOUSE_PLACE_MAX, MOUSE_PLACE_MAX, 0);
	mouse_release(device);
	expect_silence();
}

static void moves_become_one_and_clicks_do_not(void **state)
{
	unsigned int i;

	(void)state;
	open_channel();
	meet_mouse();
	vmbus_pause(guest.bus);
	for (i = 0; i < MANY; i++) {
		assert_true(point(0, (uint16_t)i, 9, 1));
	}
	assert_true(point(1, 500, 9, 0));
	assert_true(point(1, 600, 9, 0));
	assert_true(point(0, 600, 9, 0));
	vmbus_resume(guest.bus);
	expect_report(0, MANY - 1, 9, -127);
	expect_report(1, 600, 9, 0);
	expect_report(0, 600, 9, 0);
	expect_silence();
	/* Of too many clicks the last says how it is. */
	vmbus_pause(guest.bus);
	for (i = 0; i <= MANY; i++) {
		assert_true(point(i % 2, (uint16_t)i, 9, 0));
	}
	vmbus_resume(guest.bus);
	for (i = 0; i < 15; i++) {
		expect_report(i % 2, (uint16_t)i, 9, 0);
	}
	expect_report(0, MANY, 9, 0);
	expect_silence();
}

static void buttons_are_released_in_another_machine(void **state)
{
	struct state_fault fault;
	uint8_t *saved;
	size_t size;

	(void)state;
	open_channel();
	meet_mouse();
	UNTIL(point(2, 70, 80, 0));
	expect_report(2, 70, 80, 0);
	vmbus_pause(guest.bus);
	saved = move(&size);
	vmbus_resume(guest.bus);
	expect_report(0, 70, 80, 0);
	expect_silence();
	/* Open, stage, accepts, version; the last: buttons, wheel, x, y; count. */
	assert_memory_equal(saved, "mouse\0\0\0", 8);
	saved[16 + 7 + 3] = 0x80;
	end_machine();
	assert_int_equal(begin_with(saved, size, &fault), -EINVAL);
	assert_string_equal(fault.what, "has a place where no mouse can be");
	saved[16 + 7 + 3] = 0;
	saved[16 + 7 + 6] = 17;
	end_machine();
	assert_int_equal(begin_with(saved, size, &fault), -EINVAL);
	assert_string_equal(fault.what, "has more moves than a mouse keeps");
	free(saved);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(keys_come_in_order, start_keyboard, stop),
		cmocka_unit_test_setup_teardown(each_key_that_was_pressed_is_released,
						start_keyboard, stop),
		cmocka_unit_test_setup_teardown(a_guest_that_says_other_things, start_keyboard,
						stop),
		cmocka_unit_test_setup_teardown(keys_are_released_in_another_machine,
						start_keyboard, stop),
		cmocka_unit_test_setup_teardown(a_state_of_an_older_machine, start_keyboard, stop),
		cmocka_unit_test_setup_teardown(the_mouse_says_where_it_is, start_mouse, stop),
		cmocka_unit_test_setup_teardown(moves_become_one_and_clicks_do_not, start_mouse,
						stop),
		cmocka_unit_test_setup_teardown(buttons_are_released_in_another_machine,
						start_mouse, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
