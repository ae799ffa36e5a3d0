/*
 * A keyboard and a mouse whose guest says anything at any time, while somebody types and points;
 * there is no room, channels open and close, another machine takes over. Messages are whole; a key
 * that the guest knows to be held is released when nobody holds it. The channel, and what has
 * threads otherwise, is this file.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "include/vsp/synthinput.h"
#include "tests/fake/lone_device.h"
#include "tests/fuzz/fuzz.h"
#include "vsp/input/device.h"

static struct input *device;
static bool room, is_mouse;
static bool held[256]; /* as the guest knows them */

/* ---- The channel ---- */

void vsp_answer(struct vsp_channel *vsp, struct vsp_answer *answer)
{
	(void)vsp;
	EXPECT(answer->bytes == 0);
}

static void look_at_key(const struct iovec *payload)
{
	struct synth_kbd_keystroke stroke;

	if (payload->iov_len == sizeof(stroke)) {
		memcpy(&stroke, payload->iov_base, sizeof(stroke));
		EXPECT(stroke.type == SYNTH_KBD_EVENT && stroke.make_code < 0x80);
		held[stroke.make_code | (stroke.info & SYNTH_KBD_IS_E0 ? 0x80 : 0)] =
			!(stroke.info & SYNTH_KBD_IS_BREAK);
	} else {
		EXPECT(payload->iov_len == sizeof(struct synth_kbd_protocol_response));
	}
}

static void look_at_report(const struct iovec *payload)
{
	struct synth_hid_header header;
	const uint8_t *body = (const uint8_t *)payload->iov_base + sizeof(header);

	EXPECT(payload->iov_len > sizeof(header));
	memcpy(&header, payload->iov_base, sizeof(header));
	EXPECT(header.pipe_type == SYNTH_PIPE_DATA && header.pipe_size == payload->iov_len - 8 &&
	       header.size == payload->iov_len - sizeof(header));
	if (header.type == SYNTH_HID_INPUT_REPORT) {
		EXPECT(header.size == 6 && body[2] < 0x80 && body[4] < 0x80);
	}
}

int channel_send(struct vmbus_channel *channel, uint64_t transaction, bool completion_requested,
		 const struct iovec *payload, unsigned int count)
{
	(void)channel;
	(void)transaction;
	EXPECT(count == 1 && !completion_requested);
	if (!room) {
		return -EAGAIN;
	}
	(is_mouse ? look_at_report : look_at_key)(payload);
	return 0;
}

/* ---- What happens ---- */

static void work(void)
{
	if (lone_channel != NULL) {
		(void)lone_device->class->channel->work(lone_channel);
		EXPECT(!room || !lone_device->class->channel->work(lone_channel));
	}
}

static void opens(void)
{
	if (lone_open()) {
		memset(held, 0, sizeof(held));
	}
}

static void says(const uint8_t *data, size_t size)
{
	uint64_t *copy = malloc(size + 1);
	struct vmbus_packet packet = {.type = VM_PKT_DATA_INBAND,
				      .payload = copy,
				      .payload_bytes = (uint32_t)size,
				      .completion_requested = size & 1};

	EXPECT(copy != NULL);
	memcpy(copy, data, size);
	if (lone_channel != NULL) {
		lone_device->class->channel->packet(lone_channel, &packet);
	}
	free(copy);
}

static void shakes_hands(void)
{
	const struct synth_kbd_protocol_request keyboard = {SYNTH_KBD_PROTOCOL_REQUEST, 0x10000};
	struct synth_hid_protocol_request mouse = {
		.header = {SYNTH_PIPE_DATA, 12, SYNTH_HID_PROTOCOL_REQUEST, 4}, .version = 0x20000};

	opens();
	if (!is_mouse) {
		says((const void *)&keyboard, sizeof(keyboard));
		work();
		return;
	}
	says((const void *)&mouse, sizeof(mouse));
	work();
	mouse.header.type = SYNTH_HID_INITIAL_DEVICE_INFO_ACK;
	says((const void *)&mouse, sizeof(mouse));
}

static int create(void)
{
	return is_mouse ? mouse_create(NULL, &device) : keyboard_create(NULL, &device);
}

static size_t saves(uint8_t *to, size_t size)
{
	struct state_writer writer = state_writer(to, size);

	input_save(device, &writer);
	return writer.used;
}

static int loads(const uint8_t *from, size_t size)
{
	struct state_fault fault;
	struct state_reader all = state_reader(from, size, &fault);
	int ret;

	(void)lone_close();
	input_destroy(&device);
	lone_loaded = NULL;
	EXPECT(create() == 0);
	ret = input_load(device, &all);
	EXPECT(ret == 0 || (ret == -EINVAL && fault.what != NULL && lone_loaded == NULL));
	return ret;
}

/* Another machine takes over, after one that was given a state with other bytes. Then nobody holds
 * anything. */
static void moves(const uint8_t *data, size_t size)
{
	size_t bytes = saves(NULL, 0);
	uint8_t *state = malloc(bytes), *changed = malloc(bytes);
	unsigned int i;

	EXPECT(state != NULL && changed != NULL && saves(state, bytes) == bytes);
	memcpy(changed, state, bytes);
	for (; size >= 2; data += 2, size -= 2) {
		changed[data[0] % bytes] = data[1];
	}
	if (loads(changed, bytes) == 0 && lone_loaded != NULL) {
		lone_device->class->free(lone_loaded);
	}
	EXPECT(loads(state, bytes) == 0);
	lone_channel = lone_loaded;
	if (lone_channel != NULL) {
		EXPECT(lone_device->class->load(lone_channel, NULL) == 0);
		room = true;
		work();
	}
	for (i = 0; i < 256 && lone_channel != NULL && !is_mouse; i++) {
		EXPECT(!held[i]);
	}
	free(state);
	free(changed);
}

static void act(void)
{
	uint8_t bytes[32];
	struct mouse_report report;
	size_t size, i;

	switch (fuzz_byte() % 8) {
	case 0:
		shakes_hands();
		break;
	case 1:
		(void)lone_close();
		break;
	case 2:
		room = fuzz_byte() & 1;
		break;
	case 3:
		size = fuzz_byte() % sizeof(bytes);
		for (i = 0; i < size; i++) {
			bytes[i] = fuzz_byte();
		}
		says(bytes, size);
		break;
	case 4:
		size = fuzz_byte() % 8;
		for (i = 0; i < size; i++) {
			bytes[i] = fuzz_byte();
		}
		moves(bytes, size);
		break;
	default:
		if (!is_mouse) {
			(void)!keyboard_press(device, fuzz_byte(), fuzz_byte() & 1);
			break;
		}
		report = (struct mouse_report){
			.buttons = fuzz_byte(),
			.wheel = (int8_t)fuzz_byte(),
			.x = (uint16_t)(fuzz_byte() << 8),
			.y = (uint16_t)(fuzz_byte() << 8),
		};
		(void)!mouse_point(device, &report);
		break;
	}
	work();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned int i;

	fuzz_begin(data, size);
	room = true;
	lone_channel = NULL;
	is_mouse = fuzz_byte() & 1;
	EXPECT(create() == 0);
	for (i = 0; i < 400 && fuzz_more(); i++) {
		act();
	}
	/* All that is held is let go of. */
	for (i = 0; i < 256 && !is_mouse; i++) {
		(void)!keyboard_press(device, (uint8_t)i, false);
	}
	room = true;
	work();
	for (i = 0; i < 256 && lone_channel != NULL && !is_mouse; i++) {
		EXPECT(!held[i]);
	}
	(void)lone_close();
	input_destroy(&device);
	return 0;
}
