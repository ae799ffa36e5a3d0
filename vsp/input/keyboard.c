/* The keyboard: which keys wait, and its messages. See device.h. */
#include "vsp/input/device.h"

#include <string.h>

#define E0 0x80

/* ---- What waits ---- */

static bool is_held(const struct keys *keys, uint8_t key)
{
	return keys->held[key / 8] >> key % 8 & 1;
}

static unsigned int held_count(const struct keys *keys)
{
	unsigned int count = 0, i;

	for (i = 0; i < sizeof(keys->held); i++) {
		count += (unsigned int)__builtin_popcount(keys->held[i]);
	}
	return count;
}

/* There is room. */
static void put(struct keys *keys, uint8_t key, bool down)
{
	uint8_t *held = &keys->held[key / 8], bit = (uint8_t)(1u << key % 8);

	keys->waiting[keys->count].key = key;
	keys->waiting[keys->count++].down = down;
	*held = (uint8_t)(down ? *held | bit : *held & ~bit);
}

bool keyboard_press(struct input *keyboard, uint8_t key, bool down)
{
	struct keys *keys = &keyboard->now.keys;
	bool takes, fits;

	pthread_mutex_lock(&keyboard->lock);
	takes = down ? keyboard->now.stage == INPUT_READY : is_held(keys, key);
	/* Behind it there is room for the releases of all that are held. */
	fits = !down || keys->count + held_count(keys) + !is_held(keys, key) < INPUT_KEYS;
	if (takes && fits) {
		put(keys, key, down);
	}
	pthread_mutex_unlock(&keyboard->lock);
	if (takes) {
		vsp_wake_all(&keyboard->device);
	}
	return takes;
}

/* ---- Messages ---- */

static void take(struct input_session *session, const void *message, uint32_t bytes)
{
	struct synth_kbd_protocol_request request;

	if (bytes < sizeof(request)) {
		return;
	}
	memcpy(&request, message, sizeof(request));
	if (request.type == SYNTH_KBD_PROTOCOL_REQUEST) {
		input_asked(session, request.version,
			    SYNTH_KBD_VERSION_MAJOR(request.version) == 1);
	}
}

static uint32_t next(const struct input_session *session, uint8_t message[INPUT_MESSAGE_MAX])
{
	const struct keys *keys = &session->keys;
	struct synth_kbd_protocol_response response = {
		.type = SYNTH_KBD_PROTOCOL_RESPONSE,
		.proto_status = session->accepts ? SYNTH_KBD_ACCEPTED : 0,
	};
	struct synth_kbd_keystroke stroke = {.type = SYNTH_KBD_EVENT};

	if (session->stage == INPUT_ANSWERS) {
		memcpy(message, &response, sizeof(response));
		return sizeof(response);
	}
	if (keys->count == 0) {
		return 0;
	}
	stroke.make_code = keys->waiting[0].key & (E0 - 1);
	stroke.info = (keys->waiting[0].down ? 0 : SYNTH_KBD_IS_BREAK) |
		      (keys->waiting[0].key & E0 ? SYNTH_KBD_IS_E0 : 0);
	memcpy(message, &stroke, sizeof(stroke));
	return sizeof(stroke);
}

static void sent(struct input_session *session)
{
	struct keys *keys = &session->keys;

	if (session->stage == INPUT_ANSWERS) {
		session->stage = session->accepts ? INPUT_READY : INPUT_OPEN;
	} else {
		memmove(keys->waiting, keys->waiting + 1, --keys->count * sizeof(keys->waiting[0]));
	}
}

/* ---- A saved state: the keys that are held, then those that wait, each with whether it is pressed
 * ---- */

static void save(const struct input_session *session, struct state_writer *writer)
{
	const struct keys *keys = &session->keys;
	unsigned int i;

	state_put_bytes(writer, keys->held, sizeof(keys->held));
	state_put_u32(writer, keys->count);
	for (i = 0; i < keys->count; i++) {
		state_put_u8(writer, keys->waiting[i].key);
		state_put_bool(writer, keys->waiting[i].down);
	}
}

static void load(struct input_session *session, struct state_reader *part)
{
	struct keys *keys = &session->keys;
	unsigned int i;

	state_bytes(part, keys->held, sizeof(keys->held));
	keys->count = state_u32(part);
	if (session->stage == INPUT_INFORMS || session->stage == INPUT_WAITS ||
	    keys->count + (uint64_t)held_count(keys) > INPUT_KEYS) {
		state_refuse(part, "has keys that a keyboard cannot have");
		return;
	}
	for (i = 0; i < keys->count; i++) {
		keys->waiting[i].key = state_u8(part);
		keys->waiting[i].down = state_bool(part);
	}
	for (i = 0; i < 256; i++) {
		if (is_held(keys, (uint8_t)i)) {
			put(keys, (uint8_t)i, false);
		}
	}
}

static const struct vmbus_class vmbus_class = {.name = "keyboard", VSP_VMBUS_FUNCTIONS};

static const struct input_class keyboard_class = {
	.part = "keyboard",
	.vmbus = &vmbus_class,
	.type = VMBUS_GUID_KEYBOARD,
	/* The one that Hyper-V has. */
	.instance = {0xd34b2567, 0xb9b6, 0x42b9, {0x87, 0x78, 0x0a, 0x4e, 0xc0, 0xb9, 0x55, 0xbf}},
	.take = take,
	.next = next,
	.sent = sent,
	.save = save,
	.load = load,
};

int keyboard_create(struct vmbus *bus, struct input **keyboard)
{
	return input_create(bus, &keyboard_class, keyboard);
}
