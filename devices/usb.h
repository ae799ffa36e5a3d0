/*
 * USB devices of the board, as any host controller speaks to them (USB 2.0, chapters 8 and 9).
 *
 * A controller says the tokens of a transaction: usb_setup(), usb_in(), usb_out(). A transaction
 * may carry more than one packet's bytes, so that a controller that has a whole buffer need not cut
 * it, or a part of one, where its buffers are smaller; one that carries fewer than were asked for
 * is a short packet. USB_NAK says "not now": the device calls its `ready` when that may have
 * changed.
 *
 * Endpoint 0 and what chapter 9 asks of every device are done here; a kind of device has a struct
 * usb_model and its own struct that begins with struct usb_device.
 *
 * Devices are of high speed, and have one configuration and one interface.
 *
 * Lock: the board's, everywhere.
 */
#ifndef DEVICES_USB_H
#define DEVICES_USB_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/host.h"

struct state_reader;
struct state_writer;
struct usb_device;

#define USB_CONTROL_BYTES 256u /* of a control transfer's data */
#define USB_ENDPOINTS     16u

enum usb_answer { USB_ACK, USB_NAK, USB_STALL };

/* The stages of a control transfer: which token comes next. */
enum usb_stage { USB_NO_STAGE, USB_DATA_IN, USB_DATA_OUT, USB_STATUS_IN, USB_REFUSED };

struct usb_setup {
	uint8_t type, request;
	uint16_t value, index, length;
};

#define USB_TO_HOST 0x80 /* of the type, and of an endpoint's address */

struct usb_model {
	uint16_t vendor, product;
	const uint8_t *configuration; /* its descriptor, with all that belongs to it */
	const char *const *strings;   /* maker, product, serial number, NULL */
	/* A request that is not chapter 9's. `data` has room for USB_CONTROL_BYTES or holds *length
	 * bytes of the host's; *length says how many are for it. False: it is refused. */
	bool (*request)(struct usb_device *device, const struct usb_setup *setup, uint8_t *data,
			uint32_t *length);
	/* As usb_in() and usb_out(), of an endpoint that is configured and not halted. */
	enum usb_answer (*in)(struct usb_device *device, unsigned int endpoint, uint8_t *to,
			      uint32_t *length);
	enum usb_answer (*out)(struct usb_device *device, unsigned int endpoint,
			       const uint8_t *from, uint32_t *length);
	/* As after power-on, when the bus was reset or another configuration was chosen. */
	void (*reset)(struct usb_device *device);
	/* What is more than struct usb_device; the load checks all before it sets anything. */
	void (*save)(const struct usb_device *device, struct state_writer *writer);
	void (*load)(struct usb_device *device, struct state_reader *part, bool set);
};

struct usb_device {
	const struct usb_model *model;
	/* The controller's: an endpoint may have something now. */
	void (*ready)(struct usb_device *device);
	void *controller;
	uint8_t address, configuration; /* as the host has set them; 0: not yet */
	uint16_t halted[2];             /* a bit for each endpoint: out, in */
	struct usb_setup setup;         /* of the control transfer, while it has a stage */
	enum usb_stage stage;
	uint16_t at, length; /* of its data: what has gone, and all */
	uint8_t data[USB_CONTROL_BYTES];
};

/* The bus was reset: no address, no configuration. */
void usb_reset(struct usb_device *device);
void usb_setup(struct usb_device *device, const uint8_t setup[8]);
/* *length: what there is room for, then how many came. */
enum usb_answer usb_in(struct usb_device *device, unsigned int endpoint, uint8_t *to,
		       uint32_t *length);
/* *length: how many there are, then how many were taken; of the others it says USB_NAK next. */
enum usb_answer usb_out(struct usb_device *device, unsigned int endpoint, const uint8_t *from,
			uint32_t *length);
/* An endpoint stalls until the host clears that. */
void usb_halt(struct usb_device *device, bool in, unsigned int endpoint);
void usb_tell_ready(struct usb_device *device);

void usb_save(const struct usb_device *device, struct state_writer *writer);
void usb_load(struct usb_device *device, struct state_reader *part, bool set);

/* ---- usb_tablet.c: a pointer that has a place (HID 1.11) ---- */

#define USB_TABLET_REPORTS 16u

struct usb_tablet_report {
	uint16_t x, y; /* at most 0x7fff: right, bottom */
	int8_t wheel;  /* away from who sits there */
	uint8_t buttons;
};

struct usb_tablet {
	struct usb_device device;
	struct usb_tablet_report reports[USB_TABLET_REPORTS]; /* that the host has not taken */
	uint8_t count;
	uint8_t at;                    /* bytes of the first that the host has */
	struct usb_tablet_report last; /* as the host knows it, or will */
	uint8_t idle, protocol;        /* as the host has set them */
};

void usb_tablet_create(struct usb_tablet *tablet);
/* A host has configured it. */
bool usb_tablet_listens(const struct usb_tablet *tablet);
/* Where it is, and its buttons; `wheel` towards who sits there. Of too many moves the last counts,
 * and of too many clicks how they end. */
void usb_tablet_place(struct usb_tablet *tablet, uint16_t x, uint16_t y, int wheel,
		      uint8_t buttons);
/* All buttons are up, where it is. */
void usb_tablet_release(struct usb_tablet *tablet);

/* ---- usb_storage.c: a disk ---- */

#define USB_STORAGE_BYTES  (128u << 10) /* of a command's data */
#define USB_STORAGE_SERIAL 32u

enum usb_storage_stage {
	USB_STORAGE_COMMAND,
	USB_STORAGE_DATA_OUT,
	USB_STORAGE_DATA_IN,
	USB_STORAGE_STATUS,
};

struct usb_storage {
	struct usb_device device;
	struct usb_model model;
	const char *strings[4];
	char serial[USB_STORAGE_SERIAL + 1];
	struct host *host;
	unsigned int disk; /* as the home knows it */
	uint8_t *buffer;   /* of USB_STORAGE_BYTES */
	enum usb_storage_stage stage;
	bool busy;      /* the home has the command */
	bool forgotten; /* whose host has reset the disk meanwhile */
	bool out;       /* its data goes out */
	bool failed;
	bool has_sense; /* that nobody has asked for yet */
	uint8_t cdb_length, cdb[16], sense[HOST_SENSE_BYTES];
	uint32_t tag, length; /* of the command: its number, and the data that the host counts on */
	uint32_t at;          /* of that: what has gone over the bus */
	uint32_t got;         /* in the buffer, for the host */
	uint32_t moved;       /* from the medium or to it */
};

/* The serial number has 12 hexadecimal digits at least, in capitals. */
void usb_storage_create(struct usb_storage *storage, struct host *host, unsigned int disk,
			const char *serial, uint8_t *buffer);
/* What host_usb_start() began has ended. */
void usb_storage_done(struct usb_storage *storage, const struct host_drive_result *result);
/* The machine's reset: the home carries nothing out. */
void usb_storage_forget(struct usb_storage *storage);
/* After a load: the home is told its command. */
void usb_storage_restart(struct usb_storage *storage);

#endif
