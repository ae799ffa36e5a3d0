/*
 * A tablet: a mouse whose X and Y are places (HID 1.11; Usage Tables 1.12, Generic Desktop). It
 * says a report of 6 bytes for each change: buttons, X, Y, wheel. Every system since Windows 98 has
 * a driver for what its report descriptor says. It is none of the boot protocol's, so that firmware
 * leaves it alone.
 */
#include <string.h>

#include "devices/parts.h"
#include "devices/usb.h"

#define GET_REPORT     0x01
#define GET_IDLE       0x02
#define GET_PROTOCOL   0x03
#define GET_DESCRIPTOR 0x06
#define SET_IDLE       0x0a
#define SET_PROTOCOL   0x0b
#define OF_CLASS       0x21
#define STANDARD       0x01
#define HID            0x21
#define REPORT         0x22

#define REPORT_BYTES 6u
#define BUTTONS      0x1f
#define PLACE_MAX    0x7fff
#define WHEEL_MAX    127

/* clang-format off */
static const uint8_t report_descriptor[] = {
	0x05, 0x01,                   /* usage page: generic desktop */
	0x09, 0x02,                   /* usage: mouse */
	0xa1, 0x01,                   /* collection: application */
	0x09, 0x01,                   /*   usage: pointer */
	0xa1, 0x00,                   /*   collection: physical */
	0x05, 0x09,                   /*     usage page: buttons */
	0x19, 0x01, 0x29, 0x05,       /*     1 to 5 */
	0x15, 0x00, 0x25, 0x01,       /*     0 or 1 */
	0x95, 0x05, 0x75, 0x01,       /*     five of a bit */
	0x81, 0x02,                   /*     input: a variable, absolute */
	0x95, 0x01, 0x75, 0x03,       /*     three bits more */
	0x81, 0x01,                   /*     input: constant */
	0x05, 0x01,                   /*     usage page: generic desktop */
	0x09, 0x30, 0x09, 0x31,       /*     X, Y */
	0x15, 0x00, 0x26, 0xff, 0x7f, /*     0 to 32767 */
	0x35, 0x00, 0x46, 0xff, 0x7f, /*     in the world, too */
	0x75, 0x10, 0x95, 0x02,       /*     two of 16 bits */
	0x81, 0x02,                   /*     input: a variable, absolute */
	0x09, 0x38,                   /*     wheel */
	0x15, 0x81, 0x25, 0x7f,       /*     -127 to 127 */
	0x35, 0x00, 0x45, 0x00,       /*     of nothing in the world */
	0x75, 0x08, 0x95, 0x01,       /*     8 bits */
	0x81, 0x06,                   /*     input: a variable, relative */
	0xc0,
	0xc0,
};

#define CONFIGURATION_BYTES 34
#define HID_AT              18

static const uint8_t configuration[CONFIGURATION_BYTES] = {
	9, 2, CONFIGURATION_BYTES, 0,
	1, 1, 0,    /* one interface, number 1 */
	0xc0, 50,   /* a supply of its own; 100 mA */
	9, 4, 0, 0, /* interface 0 */
	1,          /* one endpoint */
	3, 0, 0,    /* HID, not of the boot protocol */
	0,
	9, HID, 0x11, 0x01, 0, /* HID 1.11, of no country */
	1, REPORT, sizeof(report_descriptor), 0,
	7, 5, 0x81, 3, 8, 0, 4, /* endpoint 1 in: interrupt, 8 bytes, each millisecond */
};
/* clang-format on */

static const char *const strings[] = {"Verdigris", "USB Tablet", "1", NULL};

static struct usb_tablet *tablet_of(struct usb_device *device)
{
	return (struct usb_tablet *)device;
}

static void put_report(const struct usb_tablet_report *report, uint8_t to[REPORT_BYTES])
{
	to[0] = report->buttons;
	to[1] = (uint8_t)report->x;
	to[2] = (uint8_t)(report->x >> 8);
	to[3] = (uint8_t)report->y;
	to[4] = (uint8_t)(report->y >> 8);
	to[5] = (uint8_t)report->wheel;
}

static bool put_descriptor(uint16_t value, uint8_t *data, uint32_t *length)
{
	if (value == REPORT << 8) {
		*length = sizeof(report_descriptor);
		memcpy(data, report_descriptor, *length);
	} else {
		*length = configuration[HID_AT];
		memcpy(data, configuration + HID_AT, *length);
	}
	return value == REPORT << 8 || value == HID << 8;
}

static bool tablet_request(struct usb_device *device, const struct usb_setup *setup, uint8_t *data,
			   uint32_t *length)
{
	struct usb_tablet *tablet = tablet_of(device);

	if (setup->index != 0) {
		return false;
	}
	if (setup->type == (STANDARD | USB_TO_HOST)) {
		return setup->request == GET_DESCRIPTOR &&
		       put_descriptor(setup->value, data, length);
	}
	if ((setup->type & ~USB_TO_HOST) != OF_CLASS) {
		return false;
	}
	switch (setup->request) {
	case GET_REPORT:
		put_report(&tablet->last, data);
		*length = REPORT_BYTES;
		return true;
	case GET_IDLE:
		data[0] = tablet->idle;
		*length = 1;
		return true;
	case GET_PROTOCOL:
		data[0] = tablet->protocol;
		*length = 1;
		return true;
	case SET_IDLE:
		tablet->idle = (uint8_t)(setup->value >> 8); /* it says nothing twice */
		return true;
	case SET_PROTOCOL:
		tablet->protocol = setup->value & 1;
		return setup->value <= 1;
	default:
		return false;
	}
}

static enum usb_answer tablet_in(struct usb_device *device, unsigned int endpoint, uint8_t *to,
				 uint32_t *length)
{
	struct usb_tablet *tablet = tablet_of(device);
	uint8_t report[REPORT_BYTES];
	uint32_t room = *length;

	*length = 0;
	if (endpoint != 1) {
		return USB_STALL;
	}
	if (tablet->count == 0) {
		return USB_NAK;
	}
	put_report(&tablet->reports[0], report);
	*length = room < REPORT_BYTES - tablet->at ? room : REPORT_BYTES - tablet->at;
	memcpy(to, report + tablet->at, *length);
	tablet->at += (uint8_t)*length;
	if (tablet->at < REPORT_BYTES) {
		return USB_ACK;
	}
	tablet->at = 0;
	tablet->count--;
	memmove(tablet->reports, tablet->reports + 1, tablet->count * sizeof(tablet->reports[0]));
	return USB_ACK;
}

static enum usb_answer tablet_out(struct usb_device *device, unsigned int endpoint,
				  const uint8_t *from, uint32_t *length)
{
	(void)device;
	(void)endpoint;
	(void)from;
	(void)length;
	return USB_STALL;
}

static void tablet_reset(struct usb_device *device)
{
	struct usb_tablet *tablet = tablet_of(device);

	tablet->count = tablet->at = 0;
	tablet->last = (struct usb_tablet_report){.x = 0};
	tablet->idle = 0;
	tablet->protocol = 1;
}

bool usb_tablet_listens(const struct usb_tablet *tablet)
{
	return tablet->device.model != NULL && tablet->device.configuration != 0;
}

static int within(int value, int most)
{
	return value > most ? most : value < -most ? -most : value;
}

static void say(struct usb_tablet *tablet, const struct usb_tablet_report *report)
{
	struct usb_tablet_report *last =
		&tablet->reports[tablet->count != 0 ? tablet->count - 1 : 0];

	/* A move joins the move before it; the last of all must say how things are. */
	if (tablet->count == USB_TABLET_REPORTS ||
	    (tablet->count != 0 && tablet->at == 0 && last->buttons == report->buttons)) {
		int wheel = within(last->wheel + report->wheel, WHEEL_MAX);

		*last = *report;
		last->wheel = (int8_t)wheel;
	} else {
		tablet->reports[tablet->count++] = *report;
	}
	tablet->last = *report;
	tablet->last.wheel = 0;
	usb_tell_ready(&tablet->device);
}

void usb_tablet_place(struct usb_tablet *tablet, uint16_t x, uint16_t y, int wheel, uint8_t buttons)
{
	struct usb_tablet_report report = {
		.x = x < PLACE_MAX ? x : PLACE_MAX,
		.y = y < PLACE_MAX ? y : PLACE_MAX,
		.wheel = (int8_t)within(-wheel, WHEEL_MAX),
		.buttons = buttons & BUTTONS,
	};

	if (usb_tablet_listens(tablet) &&
	    (wheel != 0 || memcmp(&report, &tablet->last, sizeof(report)) != 0)) {
		say(tablet, &report);
	}
}

void usb_tablet_release(struct usb_tablet *tablet)
{
	usb_tablet_place(tablet, tablet->last.x, tablet->last.y, 0, 0);
}

/* ---- state ---- */

static void save_report(const struct usb_tablet_report *report, struct state_writer *writer)
{
	uint8_t bytes[REPORT_BYTES];

	put_report(report, bytes);
	state_put_bytes(writer, bytes, sizeof(bytes));
}

static struct usb_tablet_report load_report(struct state_reader *part)
{
	struct usb_tablet_report report = {.buttons = get_bits(part, BUTTONS)};

	report.x = state_u16(part);
	report.y = state_u16(part);
	report.wheel = (int8_t)state_u8(part);
	if (report.x > PLACE_MAX || report.y > PLACE_MAX || report.wheel < -WHEEL_MAX) {
		state_refuse(part, "has a pointer outside of its tablet");
	}
	return report;
}

static void tablet_save(const struct usb_device *device, struct state_writer *writer)
{
	const struct usb_tablet *tablet = (const struct usb_tablet *)device;
	unsigned int i;

	state_put_u8(writer, tablet->count);
	state_put_u8(writer, tablet->at);
	for (i = 0; i < tablet->count; i++) {
		save_report(&tablet->reports[i], writer);
	}
	save_report(&tablet->last, writer);
	state_put_u8(writer, tablet->idle);
	state_put_u8(writer, tablet->protocol);
}

static void tablet_load(struct usb_device *device, struct state_reader *part, bool set)
{
	struct usb_tablet *tablet = tablet_of(device), read = {.count = state_u8(part)};
	unsigned int i;

	read.at = state_u8(part);
	if (read.count > USB_TABLET_REPORTS || read.at >= (read.count != 0 ? REPORT_BYTES : 1)) {
		state_refuse(part, "has reports that cannot be");
		return;
	}
	for (i = 0; i < read.count; i++) {
		read.reports[i] = load_report(part);
	}
	read.last = load_report(part);
	read.idle = state_u8(part);
	read.protocol = get_bits(part, 1);
	if (set && state_ok(part)) {
		memcpy(tablet->reports, read.reports, sizeof(read.reports));
		tablet->count = read.count;
		tablet->at = read.at;
		tablet->last = read.last;
		tablet->idle = read.idle;
		tablet->protocol = read.protocol;
	}
}

static const struct usb_model model = {
	.vendor = 0x0627, /* the ids that tablets of emulators have */
	.product = 0x0001,
	.configuration = configuration,
	.strings = strings,
	.request = tablet_request,
	.in = tablet_in,
	.out = tablet_out,
	.reset = tablet_reset,
	.save = tablet_save,
	.load = tablet_load,
};

void usb_tablet_create(struct usb_tablet *tablet)
{
	*tablet = (struct usb_tablet){.device.model = &model};
	usb_reset(&tablet->device);
}
