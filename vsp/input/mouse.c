/* The mouse, which says where it is: what waits, and its messages. See device.h. */
#include "vsp/input/device.h"

#include <string.h>

#define WHEEL_MAX 127

/* A report's bytes, as the guest has them described (HID 1.11, appendix E.10): buttons, x, y,
 * wheel. */
#define REPORT_BYTES 6u

/* clang-format off */
static const uint8_t report_descriptor[] = {
	0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, /* generic desktop: a mouse */
	0x09, 0x01, 0xa1, 0x00,             /* its pointer */
	0x05, 0x09, 0x19, 0x01, 0x29, 0x05, 0x15, 0x00, 0x25, 0x01, 0x95, 0x05, 0x75, 0x01, 0x81, 0x02, /* five buttons, a bit each */
	0x95, 0x01, 0x75, 0x03, 0x81, 0x03, /* three bits that say nothing */
	0x05, 0x01, 0x09, 0x30, 0x09, 0x31, 0x16, 0x00, 0x00, 0x26, 0xff, 0x7f, 0x95, 0x02, 0x75, 0x10, 0x81, 0x02, /* x and y: where it is */
	0x09, 0x38, 0x15, 0x81, 0x25, 0x7f, 0x95, 0x01, 0x75, 0x08, 0x81, 0x06, /* the wheel: how far it was turned, away from who sits there */
	0xc0, 0xc0,
};
/* clang-format on */

/* ---- What waits ---- */

static int8_t turned(int8_t by, int8_t more)
{
	int sum = by + more;

	return (int8_t)(sum > WHEEL_MAX ? WHEEL_MAX : sum < -WHEEL_MAX ? -WHEEL_MAX : sum);
}

/* A move without a button makes the one before it needless, and any does where there is no room. */
static void put(struct reports *reports, const struct mouse_report *report)
{
	struct mouse_report *to = &reports->waiting[reports->count];
	int8_t before = 0;

	if (reports->count == INPUT_REPORTS ||
	    (reports->count > 0 && reports->last.buttons == report->buttons)) {
		to--;
		before = to->wheel;
	} else {
		reports->count++;
	}
	to->buttons = report->buttons;
	to->wheel = turned(before, report->wheel);
	to->x = report->x < MOUSE_PLACE_MAX ? report->x : MOUSE_PLACE_MAX;
	to->y = report->y < MOUSE_PLACE_MAX ? report->y : MOUSE_PLACE_MAX;
	reports->last = *to;
}

static void release(struct reports *reports)
{
	const struct mouse_report report = {.x = reports->last.x, .y = reports->last.y};

	if (reports->last.buttons != 0) {
		put(reports, &report);
	}
}

void mouse_release(struct input *mouse)
{
	pthread_mutex_lock(&mouse->lock);
	release(&mouse->now.reports);
	pthread_mutex_unlock(&mouse->lock);
	vsp_wake_all(&mouse->device);
}

bool mouse_point(struct input *mouse, const struct mouse_report *report)
{
	bool takes;

	pthread_mutex_lock(&mouse->lock);
	takes = mouse->now.stage == INPUT_READY;
	if (takes) {
		put(&mouse->now.reports, report);
	}
	pthread_mutex_unlock(&mouse->lock);
	if (takes) {
		vsp_wake_all(&mouse->device);
	}
	return takes;
}

/* ---- Messages ---- */

static void take(struct input_session *session, const void *message, uint32_t bytes)
{
	struct synth_hid_protocol_request request;

	if (bytes < sizeof(request.header)) {
		return;
	}
	memcpy(&request.header, message, sizeof(request.header));
	if (request.header.pipe_type != SYNTH_PIPE_DATA) {
		return;
	}
	if (request.header.type == SYNTH_HID_INITIAL_DEVICE_INFO_ACK &&
	    session->stage == INPUT_WAITS) {
		session->stage = INPUT_READY;
	} else if (request.header.type == SYNTH_HID_PROTOCOL_REQUEST && bytes >= sizeof(request)) {
		memcpy(&request, message, sizeof(request));
		input_asked(session, request.version,
			    SYNTH_HID_VERSION_MAJOR(request.version) == 2);
	}
}

static struct synth_hid_header header_of(enum synth_hid_msg_type type, size_t bytes)
{
	return (struct synth_hid_header){
		.pipe_type = SYNTH_PIPE_DATA,
		.pipe_size = (uint32_t)bytes + 8,
		.type = type,
		.size = (uint32_t)bytes,
	};
}

static uint32_t answer(const struct input_session *session, uint8_t *message)
{
	struct synth_hid_protocol_response response = {
		.header = header_of(SYNTH_HID_PROTOCOL_RESPONSE,
				    sizeof(response) - sizeof(response.header)),
		.version = session->version,
		.approved = session->accepts,
	};

	memcpy(message, &response, sizeof(response));
	return sizeof(response);
}

static uint32_t inform(uint8_t *message)
{
	const size_t bytes = sizeof(struct synth_hid_device_info) + sizeof(report_descriptor);
	const struct synth_hid_device_info info = {
		.header = header_of(SYNTH_HID_INITIAL_DEVICE_INFO,
				    bytes - sizeof(struct synth_hid_header)),
		.info_size = 32,
		/* Those of Hyper-V's. */
		.vendor = 0x045e,
		.product = 0x0621,
		.version = 1,
		.descriptor_length = 9,
		.descriptor_type = 0x21,
		.hid_version = 0x0111,
		.descriptors = 1,
		.report_type = 0x22,
		.report_length = sizeof(report_descriptor),
	};

	static_assert(sizeof(struct synth_hid_device_info) + sizeof(report_descriptor) <=
			      INPUT_MESSAGE_MAX,
		      "a message has room for it");
	memcpy(message, &info, sizeof(info));
	memcpy(message + sizeof(info), report_descriptor, sizeof(report_descriptor));
	return (uint32_t)bytes;
}

static uint32_t report(const struct mouse_report *first, uint8_t *message)
{
	const struct synth_hid_header header = header_of(SYNTH_HID_INPUT_REPORT, REPORT_BYTES);
	const uint8_t bytes[REPORT_BYTES] = {
		first->buttons & 0x1f, (uint8_t)first->x,        (uint8_t)(first->x >> 8),
		(uint8_t)first->y,     (uint8_t)(first->y >> 8), (uint8_t)-first->wheel,
	};

	memcpy(message, &header, sizeof(header));
	memcpy(message + sizeof(header), bytes, sizeof(bytes));
	return sizeof(header) + sizeof(bytes);
}

static uint32_t next(const struct input_session *session, uint8_t message[INPUT_MESSAGE_MAX])
{
	switch (session->stage) {
	case INPUT_ANSWERS:
		return answer(session, message);
	case INPUT_INFORMS:
		return inform(message);
	default:
		return session->reports.count == 0 ? 0
						   : report(&session->reports.waiting[0], message);
	}
}

static void sent(struct input_session *session)
{
	struct reports *reports = &session->reports;

	switch (session->stage) {
	case INPUT_ANSWERS:
		session->stage = session->accepts ? INPUT_INFORMS : INPUT_OPEN;
		break;
	case INPUT_INFORMS:
		session->stage = INPUT_WAITS;
		break;
	default:
		memmove(reports->waiting, reports->waiting + 1,
			--reports->count * sizeof(reports->waiting[0]));
		break;
	}
}

/* ---- A saved state: what was said last, then what waits; each as buttons, wheel, x, y ---- */

static void save_report(const struct mouse_report *report, struct state_writer *writer)
{
	state_put_u8(writer, report->buttons);
	state_put_u8(writer, (uint8_t)report->wheel);
	state_put_u16(writer, report->x);
	state_put_u16(writer, report->y);
}

static void save(const struct input_session *session, struct state_writer *writer)
{
	const struct reports *reports = &session->reports;
	unsigned int i;

	save_report(&reports->last, writer);
	state_put_u32(writer, reports->count);
	for (i = 0; i < reports->count; i++) {
		save_report(&reports->waiting[i], writer);
	}
}

static void load_report(struct mouse_report *report, struct state_reader *part)
{
	report->buttons = state_u8(part);
	report->wheel = (int8_t)state_u8(part);
	report->x = state_u16(part);
	report->y = state_u16(part);
	if (report->x > MOUSE_PLACE_MAX || report->y > MOUSE_PLACE_MAX ||
	    report->wheel < -WHEEL_MAX) {
		state_refuse(part, "has a place where no mouse can be");
	}
}

static void load(struct input_session *session, struct state_reader *part)
{
	struct reports *reports = &session->reports;
	unsigned int i;

	load_report(&reports->last, part);
	reports->count = state_u32(part);
	if (reports->count > INPUT_REPORTS) {
		state_refuse(part, "has more moves than a mouse keeps");
		return;
	}
	for (i = 0; i < reports->count; i++) {
		load_report(&reports->waiting[i], part);
	}
	release(reports);
}

static const struct vmbus_class vmbus_class = {.name = "mouse", VSP_VMBUS_FUNCTIONS};

static const struct input_class mouse_class = {
	.part = "mouse",
	.vmbus = &vmbus_class,
	.type = VMBUS_GUID_MOUSE,
	/* The one that Hyper-V has. */
	.instance = {0x58f75a6d, 0xd949, 0x4320, {0x99, 0xe1, 0xa2, 0xa2, 0x57, 0x6d, 0x58, 0x1c}},
	.pipe = true,
	.take = take,
	.next = next,
	.sent = sent,
	.save = save,
	.load = load,
};

int mouse_create(struct vmbus *bus, struct input **mouse)
{
	return input_create(bus, &mouse_class, mouse);
}
