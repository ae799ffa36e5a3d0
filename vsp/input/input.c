/* A keyboard or a mouse as a device of VMBus. See device.h. */
#include "vsp/input/device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STATE_VERSION 1

/* What there is for an open channel, its thread's. */
struct session {
	struct vsp_channel vsp;
	struct input *input;
	struct input_session loaded; /* of a state, until the channel is open */
	struct vsp_answer answer;
};

static void lock(struct input *input)
{
	pthread_mutex_lock(&input->lock);
}

static void unlock(struct input *input)
{
	pthread_mutex_unlock(&input->lock);
}

void input_asked(struct input_session *session, uint32_t version, bool accepts)
{
	session->stage = INPUT_ANSWERS;
	session->version = version;
	session->accepts = accepts;
}

static bool has_to_say(const struct input_session *now)
{
	return now->stage == INPUT_ANSWERS || now->stage == INPUT_INFORMS ||
	       now->stage == INPUT_READY;
}

/* ---- The channel's thread ---- */

/* One message. False: there is none, or no room. */
static bool say_next(struct session *session)
{
	struct input *input = session->input;
	uint8_t message[INPUT_MESSAGE_MAX];
	struct iovec part = {message, 0};
	int ret = -EAGAIN;

	lock(input);
	if (has_to_say(&input->now)) {
		part.iov_len = input->class->next(&input->now, message);
	}
	if (part.iov_len > 0) {
		ret = channel_send(session->vsp.channel, 0, false, &part, 1);
	}
	if (ret == 0) {
		input->class->sent(&input->now);
	}
	unlock(input);
	return ret == 0;
}

static bool work(void *device)
{
	struct session *session = device;
	bool said = false;

	while (!vsp_is_ending(&session->vsp) && !vsp_is_pausing(&session->vsp) &&
	       say_next(session)) {
		said = true;
	}
	return said;
}

static void packet(void *device, const struct vmbus_packet *packet)
{
	struct session *session = device;
	struct input *input = session->input;

	if (packet->type != VM_PKT_DATA_INBAND) {
		return;
	}
	lock(input);
	input->class->take(&input->now, packet->payload, packet->payload_bytes);
	unlock(input);
	if (packet->completion_requested) {
		session->answer = (struct vsp_answer){.transaction = packet->transaction};
		vsp_answer(&session->vsp, &session->answer);
	}
}

static void set_session(struct input *input, const struct input_session *to)
{
	lock(input);
	input->now = *to;
	unlock(input);
}

static void closed(void *device)
{
	static const struct input_session none = {.stage = INPUT_CLOSED};
	struct session *session = device;

	set_session(session->input, &none);
}

/* ---- The device [C] ---- */

static const struct vsp_class channel_class = {
	.work = work,
	.packet = packet,
	.closed = closed,
};

static void free_session(struct vsp_channel *vsp)
{
	free((struct session *)vsp);
}

static int create_session(void *owner, unsigned int index, struct vsp_channel **vsp)
{
	static const struct input_session open = {.stage = INPUT_OPEN};
	struct session *session = calloc(1, sizeof(*session));

	(void)index;
	if (session == NULL) {
		return -ENOMEM;
	}
	session->input = owner;
	set_session(owner, &open);
	*vsp = &session->vsp;
	return 0;
}

static int load_session(struct vsp_channel *vsp, struct vmbus_channel *channel)
{
	struct session *session = (struct session *)vsp;

	(void)channel;
	set_session(session->input, &session->loaded);
	return 0;
}

/* The last offer has been released. */
static void ended(void *owner)
{
	struct input *input = owner;

	vsp_device_free(&input->device);
	pthread_mutex_destroy(&input->lock);
	free(input);
}

static const struct vsp_device_class device_class = {
	.channel = &channel_class,
	.create = create_session,
	.free = free_session,
	.load = load_session,
	.ended = ended,
};

int input_create(struct vmbus *bus, const struct input_class *class, struct input **out)
{
	static const uint32_t pipe = VMBUS_PIPE_TYPE_MESSAGE;
	struct vmbus_offer offer = {
		.type = class->type,
		.instance = class->instance,
		.flags = VMBUS_CHANNEL_ENUMERATE_DEVICE_INTERFACE,
		.class = class->vmbus,
	};
	struct input *input = calloc(1, sizeof(*input));
	int ret;

	if (input == NULL) {
		return -ENOMEM;
	}
	if (class->pipe) {
		offer.flags |= VMBUS_CHANNEL_NAMED_PIPE_MODE;
		memcpy(offer.user_def, &pipe, sizeof(pipe));
	}
	input->class = class;
	pthread_mutex_init(&input->lock, NULL);
	vsp_device_create(&input->device, &device_class, input, bus);
	ret = vsp_offer(&input->device, 0, &offer);
	if (ret != 0) {
		vsp_device_destroy(&input->device);
		return ret;
	}
	*out = input;
	return 0;
}

void input_destroy(struct input **input)
{
	vsp_device_destroy(&(*input)->device);
	*input = NULL;
}

/*
 * ---- A saved state [C] ----
 *
 *   keyboard 1, mouse 1    whether the channel is open, and if it is: stage, what it answers, the version that was asked for, what waits
 */

void input_save(struct input *input, struct state_writer *writer)
{
	const struct session *session = (const struct session *)vsp_open_channel(&input->device, 0);
	size_t part = state_begin(writer, input->class->part, STATE_VERSION);
	const struct input_session *now;

	state_put_bool(writer, session != NULL);
	if (session != NULL) {
		lock(input);
		now = input->now.stage == INPUT_CLOSED ? &session->loaded : &input->now;
		state_put_u8(writer, (uint8_t)now->stage);
		state_put_bool(writer, now->accepts);
		state_put_u32(writer, now->version);
		input->class->save(now, writer);
		unlock(input);
	}
	state_end(writer, part);
}

static void read_session(const struct input *input, struct input_session *loaded,
			 struct state_reader *part)
{
	loaded->stage = (enum input_stage)state_u8(part);
	loaded->accepts = state_bool(part);
	loaded->version = state_u32(part);
	if (loaded->stage < INPUT_OPEN || loaded->stage > INPUT_READY) {
		state_refuse(part, "has a state that cannot be");
	}
	input->class->load(loaded, part);
}

int input_load(struct input *input, struct state_reader *list)
{
	struct state_reader part;
	struct session *session = NULL;

	if (!state_next_named(list, input->class->part, STATE_VERSION, &part)) {
		return state_ok(list) ? 0 : -EINVAL;
	}
	if (state_bool(&part)) {
		session = calloc(1, sizeof(*session));
		if (session == NULL) {
			return -ENOMEM;
		}
		session->input = input;
		read_session(input, &session->loaded, &part);
	}
	state_finish(&part);
	if (!state_ok(&part)) {
		free(session);
		return -EINVAL;
	}
	if (session != NULL) {
		vsp_load(&input->device, 0, &session->vsp);
	}
	return 0;
}
