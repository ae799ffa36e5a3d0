/*
 * What every device does (USB 2.0, chapter 9): control transfers by their stages, descriptors,
 * halted endpoints. See usb.h.
 *
 * A request towards the host is carried out when its data is asked for, and any other when its
 * status is: then its data is there, and a new address does not take effect before that.
 */
#include "devices/usb.h"

#include <string.h>

#include "devices/parts.h"

#define TYPE_MASK         0x60
#define RECIPIENT_MASK    0x1f
#define TO_DEVICE         0
#define TO_INTERFACE      1
#define TO_ENDPOINT       2
#define GET_STATUS        0
#define CLEAR_FEATURE     1
#define SET_FEATURE       3
#define SET_ADDRESS       5
#define GET_DESCRIPTOR    6
#define GET_CONFIGURATION 8
#define SET_CONFIGURATION 9
#define GET_INTERFACE     10
#define SET_INTERFACE     11

#define ENDPOINT_HALT 0

#define DESCRIPTOR_DEVICE        1
#define DESCRIPTOR_CONFIGURATION 2
#define DESCRIPTOR_STRING        3

/* Where a configuration's own descriptor has its number. */
#define CONFIGURATION_NUMBER 5

static uint32_t configuration_length(const struct usb_model *model)
{
	return model->configuration[2] | (uint32_t)model->configuration[3] << 8;
}

/* Text in UTF-16; number 0 says that it is English. */
static bool put_string(const struct usb_model *model, unsigned int number, uint8_t *data,
		       uint32_t *length)
{
	static const uint8_t languages[] = {4, DESCRIPTOR_STRING, 0x09, 0x04};
	unsigned int i;

	if (number == 0) {
		memcpy(data, languages, sizeof(languages));
		*length = sizeof(languages);
		return true;
	}
	for (i = 1; i <= number; i++) {
		if (model->strings[i - 1] == NULL) {
			return false;
		}
	}
	for (i = 0; model->strings[number - 1][i] != '\0' && 4 + 2 * i < USB_CONTROL_BYTES; i++) {
		data[2 + 2 * i] = (uint8_t)model->strings[number - 1][i];
		data[3 + 2 * i] = 0;
	}
	data[0] = (uint8_t)(2 + 2 * i);
	data[1] = DESCRIPTOR_STRING;
	*length = 2 + 2 * i;
	return true;
}

static void put_device(const struct usb_model *model, uint8_t *data, uint32_t *length)
{
	const uint8_t descriptor[] = {
		/* clang-format off */
		18, DESCRIPTOR_DEVICE,
		0x00, 0x02, /* USB 2.0 */
		0, 0, 0,    /* what it is, its interface says */
		64,         /* bytes in a packet of endpoint 0 */
		(uint8_t)model->vendor, (uint8_t)(model->vendor >> 8),
		(uint8_t)model->product, (uint8_t)(model->product >> 8),
		0, 0,       /* release */
		1, 2, 3,    /* strings */
		1,          /* configuration */
		/* clang-format on */
	};

	*length = sizeof(descriptor);
	memcpy(data, descriptor, sizeof(descriptor));
}

static bool put_descriptor(const struct usb_model *model, uint16_t value, uint8_t *data,
			   uint32_t *length)
{
	switch (value >> 8) {
	case DESCRIPTOR_DEVICE:
		put_device(model, data, length);
		return value == DESCRIPTOR_DEVICE << 8;
	case DESCRIPTOR_CONFIGURATION:
		*length = configuration_length(model);
		memcpy(data, model->configuration, *length);
		return value == DESCRIPTOR_CONFIGURATION << 8;
	case DESCRIPTOR_STRING:
		return put_string(model, value & 0xff, data, length);
	default:
		return false;
	}
}

static bool set_configuration(struct usb_device *device, uint16_t value)
{
	if (value != 0 && value != device->model->configuration[CONFIGURATION_NUMBER]) {
		return false;
	}
	device->configuration = (uint8_t)value;
	memset(device->halted, 0, sizeof(device->halted));
	device->model->reset(device);
	return true;
}

static bool of_device(struct usb_device *device, const struct usb_setup *setup, uint8_t *data,
		      uint32_t *length)
{
	switch (setup->request) {
	case GET_STATUS:
		data[0] = 1; /* it has a supply of its own */
		data[1] = 0;
		*length = 2;
		return true;
	case SET_ADDRESS:
		device->address = setup->value & 0x7f;
		return setup->value < 0x80;
	case GET_DESCRIPTOR:
		return put_descriptor(device->model, setup->value, data, length);
	case GET_CONFIGURATION:
		data[0] = device->configuration;
		*length = 1;
		return true;
	case SET_CONFIGURATION:
		return set_configuration(device, setup->value);
	default:
		return false;
	}
}

static bool of_interface(struct usb_device *device, const struct usb_setup *setup, uint8_t *data,
			 uint32_t *length)
{
	switch (setup->request) {
	case GET_STATUS:
		data[0] = data[1] = 0;
		*length = 2;
		return setup->index == 0;
	case GET_INTERFACE:
		data[0] = 0;
		*length = 1;
		return setup->index == 0;
	case SET_INTERFACE:
		return setup->index == 0 && setup->value == 0;
	default:
		return device->model->request(device, setup, data, length);
	}
}

static bool of_endpoint(struct usb_device *device, const struct usb_setup *setup, uint8_t *data,
			uint32_t *length)
{
	uint16_t *halted = &device->halted[(setup->index & USB_TO_HOST) != 0];
	uint16_t bit = (uint16_t)(1u << setup->index % USB_ENDPOINTS);

	switch (setup->request) {
	case GET_STATUS:
		data[0] = (*halted & bit) != 0;
		data[1] = 0;
		*length = 2;
		return true;
	case CLEAR_FEATURE:
		*halted &= (uint16_t)~bit;
		return setup->value == ENDPOINT_HALT;
	case SET_FEATURE:
		*halted |= bit & 0xfffe; /* the one for control recovers by itself */
		return setup->value == ENDPOINT_HALT;
	default:
		return false;
	}
}

/* False: it is refused. */
static bool carry_out(struct usb_device *device, uint32_t *length)
{
	const struct usb_setup *setup = &device->setup;

	if (setup->type & TYPE_MASK) {
		return device->model->request(device, setup, device->data, length);
	}
	switch (setup->type & RECIPIENT_MASK) {
	case TO_DEVICE:
		return of_device(device, setup, device->data, length);
	case TO_INTERFACE:
		return of_interface(device, setup, device->data, length);
	case TO_ENDPOINT:
		return of_endpoint(device, setup, device->data, length);
	default:
		return false;
	}
}

void usb_reset(struct usb_device *device)
{
	device->address = device->configuration = 0;
	memset(device->halted, 0, sizeof(device->halted));
	device->stage = USB_NO_STAGE;
	device->at = device->length = 0;
	device->model->reset(device);
}

static void begin_in(struct usb_device *device)
{
	uint32_t length = 0;

	if (!carry_out(device, &length)) {
		device->stage = USB_REFUSED;
		return;
	}
	device->stage = USB_DATA_IN;
	device->length = (uint16_t)(length < device->setup.length ? length : device->setup.length);
}

void usb_setup(struct usb_device *device, const uint8_t setup[8])
{
	device->setup = (struct usb_setup){
		.type = setup[0],
		.request = setup[1],
		.value = (uint16_t)(setup[2] | setup[3] << 8),
		.index = (uint16_t)(setup[4] | setup[5] << 8),
		.length = (uint16_t)(setup[6] | setup[7] << 8),
	};
	device->at = device->length = 0;
	if (device->setup.length == 0) {
		device->stage = USB_STATUS_IN;
	} else if (device->setup.type & USB_TO_HOST) {
		begin_in(device);
	} else {
		device->stage =
			device->setup.length <= USB_CONTROL_BYTES ? USB_DATA_OUT : USB_REFUSED;
	}
}

/* The status of a transfer that had its data, or has none. */
static enum usb_answer end(struct usb_device *device)
{
	uint32_t length = device->length;

	if (!carry_out(device, &length)) {
		device->stage = USB_REFUSED;
		return USB_STALL;
	}
	device->stage = USB_NO_STAGE;
	return USB_ACK;
}

static enum usb_answer control_in(struct usb_device *device, uint8_t *to, uint32_t *length)
{
	uint32_t left = device->length - device->at, room = *length;

	*length = 0;
	if (device->stage == USB_DATA_IN) {
		*length = left < room ? left : room;
		memcpy(to, device->data + device->at, *length);
		device->at += (uint16_t)*length;
		return USB_ACK;
	}
	return device->stage == USB_DATA_OUT || device->stage == USB_STATUS_IN ? end(device)
									       : USB_STALL;
}

static enum usb_answer control_out(struct usb_device *device, const uint8_t *from, uint32_t *length)
{
	uint32_t room = device->setup.length - device->length;

	if (device->stage == USB_DATA_IN) {
		device->stage = USB_NO_STAGE; /* the host has seen it */
		return USB_ACK;
	}
	if (device->stage != USB_DATA_OUT || *length > room) {
		device->stage = USB_REFUSED;
		return USB_STALL;
	}
	memcpy(device->data + device->length, from, *length);
	device->length += (uint16_t)*length;
	return USB_ACK;
}

static bool is_open(const struct usb_device *device, bool in, unsigned int endpoint)
{
	return device->configuration != 0 && endpoint < USB_ENDPOINTS &&
	       !(device->halted[in] >> endpoint & 1);
}

enum usb_answer usb_in(struct usb_device *device, unsigned int endpoint, uint8_t *to,
		       uint32_t *length)
{
	if (endpoint == 0) {
		return control_in(device, to, length);
	}
	return is_open(device, true, endpoint) ? device->model->in(device, endpoint, to, length)
					       : USB_STALL;
}

enum usb_answer usb_out(struct usb_device *device, unsigned int endpoint, const uint8_t *from,
			uint32_t *length)
{
	if (endpoint == 0) {
		return control_out(device, from, length);
	}
	return is_open(device, false, endpoint) ? device->model->out(device, endpoint, from, length)
						: USB_STALL;
}

void usb_halt(struct usb_device *device, bool in, unsigned int endpoint)
{
	device->halted[in] |= (uint16_t)(1u << endpoint % USB_ENDPOINTS);
}

void usb_tell_ready(struct usb_device *device)
{
	if (device->ready != NULL) {
		device->ready(device);
	}
}

/* ---- state ---- */

void usb_save(const struct usb_device *device, struct state_writer *writer)
{
	state_put_u8(writer, device->address);
	state_put_u8(writer, device->configuration);
	state_put_u16(writer, device->halted[0]);
	state_put_u16(writer, device->halted[1]);
	state_put_u8(writer, device->setup.type);
	state_put_u8(writer, device->setup.request);
	state_put_u16(writer, device->setup.value);
	state_put_u16(writer, device->setup.index);
	state_put_u16(writer, device->setup.length);
	state_put_u8(writer, (uint8_t)device->stage);
	state_put_u16(writer, device->at);
	state_put_u16(writer, device->length);
	state_put_bytes(writer, device->data, device->length);
	device->model->save(device, writer);
}

static bool can_be(const struct usb_device *device, const struct usb_device *read)
{
	uint8_t number = device->model->configuration[CONFIGURATION_NUMBER];

	return read->address < 0x80 &&
	       (read->configuration == 0 || read->configuration == number) &&
	       read->stage <= USB_REFUSED && read->at <= read->length &&
	       read->length <= USB_CONTROL_BYTES &&
	       (read->stage != USB_DATA_OUT || read->length <= read->setup.length) &&
	       (read->stage != USB_DATA_OUT || read->setup.length <= USB_CONTROL_BYTES);
}

void usb_load(struct usb_device *device, struct state_reader *part, bool set)
{
	struct usb_device read = *device;

	read.address = state_u8(part);
	read.configuration = state_u8(part);
	read.halted[0] = state_u16(part);
	read.halted[1] = state_u16(part);
	read.setup.type = state_u8(part);
	read.setup.request = state_u8(part);
	read.setup.value = state_u16(part);
	read.setup.index = state_u16(part);
	read.setup.length = state_u16(part);
	read.stage = (enum usb_stage)state_u8(part);
	read.at = state_u16(part);
	read.length = state_u16(part);
	if (!can_be(device, &read)) {
		state_refuse(part, "has a USB device in a state that none has");
		return;
	}
	state_bytes(part, read.data, read.length);
	device->model->load(device, part, set);
	if (set && state_ok(part)) {
		*device = read;
	}
}
