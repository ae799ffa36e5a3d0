/*
 * A disk on USB (Mass Storage Class, Bulk-Only Transport 1.0): a command block comes out, data goes
 * either way, a status comes back. The commands are SCSI's, which the home carries out with all
 * data at once; so a command has USB_STORAGE_BYTES at most, and more is refused. Sense data stays
 * here until it is asked for.
 *
 *   COMMAND -> DATA_OUT -> (the home) -> STATUS -> COMMAND
 *   COMMAND -> (the home) -> DATA_IN -> STATUS -> COMMAND
 */
#include <string.h>

#include "devices/parts.h"
#include "devices/usb.h"

#define BULK_IN  1
#define BULK_OUT 2

#define BULK_RESET  0xff
#define GET_MAX_LUN 0xfe
#define OF_CLASS    0x21

#define BLOCK_BYTES  31u
#define STATUS_BYTES 13u
#define BLOCK_SIGN   0x43425355u
#define STATUS_SIGN  0x53425355u
#define CDB_MAX      16

#define STATUS_PASSED 0
#define STATUS_FAILED 1

#define OP_REQUEST_SENSE 0x03

#define PACKED __attribute__((packed))

struct command_block {
	uint32_t sign, tag, length;
	uint8_t flags, lun, cdb_length, cdb[CDB_MAX];
} PACKED;

struct status_block {
	uint32_t sign, tag, residue;
	uint8_t status;
} PACKED;

/* clang-format off */
#define CONFIGURATION_BYTES 32

static const uint8_t configuration[CONFIGURATION_BYTES] = {
	9, 2, CONFIGURATION_BYTES, 0,
	1, 1, 0,    /* one interface, number 1 */
	0xc0, 50,   /* a supply of its own; 100 mA */
	9, 4, 0, 0, /* interface 0 */
	2,          /* two endpoints */
	8, 6, 0x50, /* mass storage, SCSI, bulk-only */
	0,
	7, 5, USB_TO_HOST | BULK_IN, 2, 0x00, 0x02, 0, /* bulk, 512 bytes */
	7, 5, BULK_OUT, 2, 0x00, 0x02, 0,
};
/* clang-format on */

static struct usb_storage *storage_of(struct usb_device *device)
{
	return (struct usb_storage *)device;
}

static void begin(struct usb_storage *storage)
{
	storage->stage = USB_STORAGE_COMMAND;
	storage->forgotten = storage->busy;
	storage->at = storage->got = storage->moved = 0;
}

static void storage_reset(struct usb_device *device)
{
	struct usb_storage *storage = storage_of(device);

	begin(storage);
	storage->has_sense = false;
}

static bool storage_request(struct usb_device *device, const struct usb_setup *setup, uint8_t *data,
			    uint32_t *length)
{
	if (setup->index != 0 || setup->value != 0) {
		return false;
	}
	if (setup->type == OF_CLASS && setup->request == BULK_RESET) {
		begin(storage_of(device));
		return true;
	}
	if (setup->type == (OF_CLASS | USB_TO_HOST) && setup->request == GET_MAX_LUN) {
		data[0] = 0;
		*length = 1;
		return true;
	}
	return false;
}

/* ---- commands ---- */

static void fail(struct usb_storage *storage, uint8_t key, uint8_t code)
{
	memset(storage->sense, 0, sizeof(storage->sense));
	storage->sense[0] = 0x70;
	storage->sense[2] = key;
	storage->sense[7] = HOST_SENSE_BYTES - 8;
	storage->sense[12] = code;
	storage->has_sense = true;
	storage->failed = true;
}

static void submit(struct usb_storage *storage)
{
	struct host_drive_command command = {.cdb_length = storage->cdb_length,
					     .out = storage->out,
					     .length = storage->length,
					     .data = storage->buffer};

	memcpy(command.cdb, storage->cdb, sizeof(command.cdb));
	storage->busy = true;
	host_usb_start(storage->host, storage->disk, &command);
}

/* What it kept of a command that failed. */
static void give_sense(struct usb_storage *storage)
{
	storage->got = storage->length < HOST_SENSE_BYTES ? storage->length : HOST_SENSE_BYTES;
	storage->got = storage->out ? 0 : storage->got;
	memcpy(storage->buffer, storage->sense, storage->got);
	storage->moved = storage->got;
	storage->has_sense = false;
}

/* All of it is here: its data, if that goes out. */
static void start(struct usb_storage *storage)
{
	storage->stage =
		storage->length != 0 && !storage->out ? USB_STORAGE_DATA_IN : USB_STORAGE_STATUS;
	storage->at = 0;
	if (storage->failed) {
		return; /* before it began */
	}
	if (storage->cdb[0] == OP_REQUEST_SENSE && storage->has_sense) {
		give_sense(storage);
		return;
	}
	storage->has_sense = false;
	submit(storage);
}

void usb_storage_done(struct usb_storage *storage, const struct host_drive_result *result)
{
	bool forgotten = storage->forgotten;

	storage->busy = storage->forgotten = false;
	if (!forgotten) {
		storage->moved = result->transferred < storage->length ? result->transferred
								       : storage->length;
		storage->got = storage->out ? 0 : storage->moved;
		if (result->status != 0) {
			fail(storage, 0x02, 0x3a); /* nothing is there */
			if (result->sense[0] != 0) {
				memcpy(storage->sense, result->sense, sizeof(storage->sense));
			}
		}
	}
	usb_tell_ready(&storage->device);
}

static enum usb_answer take_command(struct usb_storage *storage, const uint8_t *from,
				    uint32_t length)
{
	struct command_block block;

	memcpy(&block, from, length == BLOCK_BYTES ? sizeof(block) : 0);
	if (length != BLOCK_BYTES || block.sign != BLOCK_SIGN || block.cdb_length == 0 ||
	    block.cdb_length > CDB_MAX) {
		usb_halt(&storage->device, true, BULK_IN);
		usb_halt(&storage->device, false, BULK_OUT);
		return USB_STALL;
	}
	storage->tag = block.tag;
	storage->length = block.length;
	storage->out = block.length != 0 && !(block.flags & USB_TO_HOST);
	storage->cdb_length = block.cdb_length;
	memset(storage->cdb, 0, sizeof(storage->cdb));
	memcpy(storage->cdb, block.cdb, block.cdb_length);
	storage->at = storage->got = storage->moved = 0;
	storage->failed = false;
	if (block.lun != 0) {
		fail(storage, 0x05, 0x25);
	} else if (block.length > USB_STORAGE_BYTES) {
		fail(storage, 0x05, 0x24);
	}
	if (storage->out) {
		storage->stage = USB_STORAGE_DATA_OUT;
	} else {
		start(storage);
	}
	return USB_ACK;
}

/* Of a command that is refused its data is of no account. */
static enum usb_answer take_data(struct usb_storage *storage, const uint8_t *from, uint32_t *length)
{
	uint32_t left = storage->length - storage->at;

	*length = *length < left ? *length : left;
	if (!storage->failed) {
		memcpy(storage->buffer + storage->at, from, *length);
	}
	storage->at += *length;
	if (storage->at == storage->length) {
		start(storage);
	}
	return USB_ACK;
}

static enum usb_answer storage_out(struct usb_device *device, unsigned int endpoint,
				   const uint8_t *from, uint32_t *length)
{
	struct usb_storage *storage = storage_of(device);

	if (endpoint != BULK_OUT) {
		return USB_STALL;
	}
	if (storage->busy) {
		return USB_NAK;
	}
	switch (storage->stage) {
	case USB_STORAGE_COMMAND:
		return take_command(storage, from, *length);
	case USB_STORAGE_DATA_OUT:
		return take_data(storage, from, length);
	default:
		return USB_STALL; /* it is to read first */
	}
}

/* Less than was asked for is a short packet, with which the data is at its end. */
static enum usb_answer give_data(struct usb_storage *storage, uint8_t *to, uint32_t *length)
{
	uint32_t left = storage->got - storage->at, room = *length;

	*length = left < room ? left : room;
	memcpy(to, storage->buffer + storage->at, *length);
	storage->at += *length;
	if (*length < room || storage->at == storage->length) {
		storage->stage = USB_STORAGE_STATUS;
	}
	return USB_ACK;
}

static enum usb_answer give_status(struct usb_storage *storage, uint8_t *to, uint32_t *length)
{
	struct status_block block = {.sign = STATUS_SIGN,
				     .tag = storage->tag,
				     .residue = storage->length - storage->moved,
				     .status = storage->failed ? STATUS_FAILED : STATUS_PASSED};

	if (*length < STATUS_BYTES) {
		return USB_STALL;
	}
	*length = STATUS_BYTES;
	memcpy(to, &block, sizeof(block));
	storage->stage = USB_STORAGE_COMMAND;
	return USB_ACK;
}

static enum usb_answer storage_in(struct usb_device *device, unsigned int endpoint, uint8_t *to,
				  uint32_t *length)
{
	struct usb_storage *storage = storage_of(device);

	if (endpoint != BULK_IN) {
		return USB_STALL;
	}
	if (storage->busy || storage->stage == USB_STORAGE_COMMAND ||
	    storage->stage == USB_STORAGE_DATA_OUT) {
		return USB_NAK;
	}
	return storage->stage == USB_STORAGE_DATA_IN ? give_data(storage, to, length)
						     : give_status(storage, to, length);
}

void usb_storage_forget(struct usb_storage *storage)
{
	storage->busy = storage->forgotten = false;
}

void usb_storage_restart(struct usb_storage *storage)
{
	if (storage->busy) {
		submit(storage);
	}
}

/* ---- state ---- */

/* Of the buffer: what has come of it so far, or is there for the host, or the home works on. */
static uint32_t held(const struct usb_storage *storage)
{
	if (storage->busy) {
		return storage->out ? storage->length : 0;
	}
	return storage->stage == USB_STORAGE_DATA_OUT && !storage->failed ? storage->at
	       : storage->stage == USB_STORAGE_DATA_IN                    ? storage->got
									  : 0;
}

static void storage_save(const struct usb_device *device, struct state_writer *writer)
{
	const struct usb_storage *storage = (const struct usb_storage *)device;

	state_put_u8(writer, (uint8_t)storage->stage);
	state_put_bool(writer, storage->busy);
	state_put_bool(writer, storage->forgotten);
	state_put_bool(writer, storage->out);
	state_put_bool(writer, storage->failed);
	state_put_bool(writer, storage->has_sense);
	state_put_u8(writer, storage->cdb_length);
	state_put_bytes(writer, storage->cdb, sizeof(storage->cdb));
	state_put_bytes(writer, storage->sense, sizeof(storage->sense));
	state_put_u32(writer, storage->tag);
	state_put_u32(writer, storage->length);
	state_put_u32(writer, storage->at);
	state_put_u32(writer, storage->got);
	state_put_u32(writer, storage->moved);
	state_put_bytes(writer, storage->buffer, held(storage));
}

static bool can_be(const struct usb_storage *read)
{
	bool fits = read->length <= USB_STORAGE_BYTES;

	return read->stage <= USB_STORAGE_STATUS && read->cdb_length <= CDB_MAX &&
	       read->at <= read->length && read->got <= read->length &&
	       read->moved <= read->length && (fits || read->failed) &&
	       (fits || (!read->busy && read->got == 0)) && (!read->forgotten || read->busy) &&
	       (!read->busy || read->cdb_length != 0) &&
	       (read->stage != USB_STORAGE_DATA_IN || read->at <= read->got) &&
	       (read->stage != USB_STORAGE_DATA_OUT || read->out);
}

static void storage_load(struct usb_device *device, struct state_reader *part, bool set)
{
	struct usb_storage *storage = storage_of(device), read = *storage;
	const uint8_t *bytes;

	read.stage = (enum usb_storage_stage)state_u8(part);
	read.busy = state_bool(part);
	read.forgotten = state_bool(part);
	read.out = state_bool(part);
	read.failed = state_bool(part);
	read.has_sense = state_bool(part);
	read.cdb_length = state_u8(part);
	state_bytes(part, read.cdb, sizeof(read.cdb));
	state_bytes(part, read.sense, sizeof(read.sense));
	read.tag = state_u32(part);
	read.length = state_u32(part);
	read.at = state_u32(part);
	read.got = state_u32(part);
	read.moved = state_u32(part);
	if (!can_be(&read)) {
		state_refuse(part, "has a USB disk in a state that none has");
		return;
	}
	bytes = state_span(part, held(&read));
	if (set && state_ok(part)) {
		struct usb_device kept = storage->device;

		memcpy(storage->buffer, bytes, held(&read));
		*storage = read;
		storage->device = kept;
	}
}

static const struct usb_model model = {
	.vendor = 0x46f4, /* the ids that disks of emulators have */
	.product = 0x0001,
	.configuration = configuration,
	.request = storage_request,
	.in = storage_in,
	.out = storage_out,
	.reset = storage_reset,
	.save = storage_save,
	.load = storage_load,
};

void usb_storage_create(struct usb_storage *storage, struct host *host, unsigned int disk,
			const char *serial, uint8_t *buffer)
{
	*storage = (struct usb_storage){.host = host, .disk = disk, .buffer = buffer};
	storage->device.model = &storage->model;
	storage->model = model;
	storage->model.strings = storage->strings;
	storage->strings[0] = "Verdigris";
	storage->strings[1] = "USB Disk";
	storage->strings[2] = storage->serial;
	strncpy(storage->serial, serial, sizeof(storage->serial) - 1);
	usb_reset(&storage->device);
}
