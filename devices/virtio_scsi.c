/* See virtio_scsi.h. */
#include "devices/parts.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "lib/check.h"

/* Registers of the legacy interface; the device's own follow. */
#define REG_FEATURES        0x00
#define REG_DRIVER_FEATURES 0x04
#define REG_QUEUE_PAGE      0x08
#define REG_QUEUE_SIZE      0x0c
#define REG_QUEUE           0x0e
#define REG_KICK            0x10
#define REG_STATUS          0x12
#define REG_INTERRUPT       0x13
#define REG_CONFIG          0x14
#define BAR_BYTES           64

#define STATUS_DRIVER_OK 0x04
#define STATUS_BITS      0x8f
#define STATUS_FAILED    0x80

#define FEATURE_INOUT 0x1u

#define REQUEST_QUEUE 2 /* after the control and the event queue, of which firmware wants nothing */

#define MAX_SECTORS (VIRTIO_SCSI_BUFFER_BYTES / 512)

#define DESCRIPTOR_NEXT  0x1
#define DESCRIPTOR_WRITE 0x2

enum { RESPONSE_OK = 0, RESPONSE_BAD_TARGET = 3, RESPONSE_FAILURE = 9 };

#define PACKED __attribute__((packed))

struct descriptor {
	uint64_t gpa;
	uint32_t length;
	uint16_t flags, next;
} PACKED;

struct used {
	uint32_t head, length;
} PACKED;

struct request {
	uint8_t lun[8];
	uint64_t id;
	uint8_t attribute, priority, crn;
	uint8_t cdb[32];
} PACKED;

struct answer {
	uint32_t sense_length, residual;
	uint16_t qualifier;
	uint8_t status, response;
	uint8_t sense[VIRTIO_SCSI_SENSE_BYTES];
} PACKED;

struct config {
	uint32_t queues, segments, sectors, commands, event_bytes, sense_bytes, cdb_bytes;
	uint16_t last_channel, last_target;
	uint32_t last_lun;
} PACKED;

/* ---- The ring ---- */

static uint64_t ring_at(const struct virtio_scsi *scsi)
{
	return (uint64_t)scsi->page * 4096;
}

static uint64_t available_at(const struct virtio_scsi *scsi)
{
	return ring_at(scsi) + VIRTIO_SCSI_RING * sizeof(struct descriptor);
}

static uint64_t used_at(const struct virtio_scsi *scsi)
{
	return ring_at(scsi) + 4096;
}

static void fail(struct virtio_scsi *scsi)
{
	scsi->status |= STATUS_FAILED;
}

static bool is_running(const struct virtio_scsi *scsi)
{
	return !scsi->gone && (scsi->status & STATUS_DRIVER_OK) &&
	       !(scsi->status & STATUS_FAILED) && scsi->page != 0 && pci_is_master(&scsi->function);
}

/* False: there is none. */
static bool take_head(struct virtio_scsi *scsi, uint16_t *head)
{
	uint64_t at = available_at(scsi);
	uint16_t index;

	if (!host_memory_read(scsi->host, at + 2, &index, sizeof(index))) {
		fail(scsi);
		return false;
	}
	if (index == scsi->taken) {
		return false;
	}
	atomic_thread_fence(memory_order_acquire);
	if ((uint16_t)(index - scsi->taken) > VIRTIO_SCSI_RING ||
	    !host_memory_read(scsi->host, at + 4 + 2ull * (scsi->taken % VIRTIO_SCSI_RING), head,
			      sizeof(*head))) {
		fail(scsi);
		return false;
	}
	scsi->taken++;
	return true;
}

static bool give(struct virtio_scsi *scsi, uint16_t head, uint32_t length)
{
	struct used used = {.head = head, .length = length};
	uint64_t at = used_at(scsi) + 4 + sizeof(used) * (scsi->given % VIRTIO_SCSI_RING);

	scsi->given++;
	scsi->interrupt |= 1;
	if (!host_memory_write(scsi->host, at, &used, sizeof(used))) {
		return false;
	}
	/* The driver looks at the count. */
	atomic_thread_fence(memory_order_release);
	return host_memory_write(scsi->host, used_at(scsi) + 2, &scsi->given, sizeof(scsi->given));
}

/* ---- A request ---- */

/* What comes first of it. False: it is none. */
static bool read_request(struct virtio_scsi *scsi, const struct descriptor *first, uint64_t *lun)
{
	struct request request;

	if ((first->flags & DESCRIPTOR_WRITE) || first->length < sizeof(request) ||
	    !host_memory_read(scsi->host, first->gpa, &request, sizeof(request))) {
		return false;
	}
	memcpy(lun, request.lun, sizeof(*lun));
	memcpy(scsi->request.cdb, request.cdb, sizeof(scsi->request.cdb));
	return true;
}

/* The first that may be written is the answer's, the others are the data's. */
static bool add_segment(struct virtio_scsi_request *request, const struct descriptor *one)
{
	bool in = one->flags & DESCRIPTOR_WRITE;

	if (in && request->answer.length == 0) {
		request->answer = (struct virtio_segment){.gpa = one->gpa, .length = one->length};
		return one->length >= offsetof(struct answer, sense);
	}
	if (request->data_count == VIRTIO_SCSI_RING ||
	    (request->data_count != 0 && request->out == in) ||
	    one->length > VIRTIO_SCSI_BUFFER_BYTES - request->data_length) {
		return false;
	}
	request->out = !in;
	request->data[request->data_count++] =
		(struct virtio_segment){.gpa = one->gpa, .length = one->length};
	request->data_length += one->length;
	return true;
}

/* The chain of descriptors from `head` on. False: it is none that a driver makes. */
static bool read_chain(struct virtio_scsi *scsi, uint16_t head, uint64_t *lun)
{
	struct virtio_scsi_request *request = &scsi->request;
	struct descriptor one = {.next = head, .flags = DESCRIPTOR_NEXT};
	unsigned int count;

	*request = (struct virtio_scsi_request){.head = head};
	for (count = 0; one.flags & DESCRIPTOR_NEXT; count++) {
		if (count == VIRTIO_SCSI_RING || one.next >= VIRTIO_SCSI_RING ||
		    !host_memory_read(scsi->host, ring_at(scsi) + one.next * sizeof(one), &one,
				      sizeof(one)) ||
		    (one.flags & ~(DESCRIPTOR_NEXT | DESCRIPTOR_WRITE)) ||
		    !(count == 0 ? read_request(scsi, &one, lun) : add_segment(request, &one))) {
			return false;
		}
	}
	return request->answer.length != 0;
}

/* 1, the target, and a LUN in the single-level form. False: none that is here. */
static bool read_lun(const struct virtio_scsi *scsi, uint64_t eight, uint8_t *lun)
{
	uint8_t bytes[8];

	memcpy(bytes, &eight, sizeof(bytes));
	*lun = bytes[3];
	return bytes[0] == 1 && bytes[1] == 0 && (bytes[2] & 0x3f) == 0 &&
	       bytes[3] <= scsi->last_lun;
}

/* From or to its segments; `length` bytes of them. */
static bool move_data(struct virtio_scsi *scsi, bool in, uint32_t length)
{
	const struct virtio_scsi_request *request = &scsi->request;
	uint8_t *at = scsi->buffer;
	unsigned int i;

	for (i = 0; i < request->data_count && length != 0; i++) {
		const struct virtio_segment *one = &request->data[i];
		uint32_t step = one->length < length ? one->length : length;

		if (!(in ? host_memory_write(scsi->host, one->gpa, at, step)
			 : host_memory_read(scsi->host, one->gpa, at, step))) {
			return false;
		}
		at += step;
		length -= step;
	}
	return true;
}

static void answer(struct virtio_scsi *scsi, struct answer *answer, uint32_t transferred)
{
	const struct virtio_scsi_request *request = &scsi->request;
	uint32_t length = request->answer.length;
	uint32_t written = request->out ? 0 : transferred;

	answer->residual = request->data_length - transferred;
	if (length > sizeof(*answer)) {
		length = sizeof(*answer);
	}
	if (!move_data(scsi, true, written) ||
	    !host_memory_write(scsi->host, request->answer.gpa, answer, length) ||
	    !give(scsi, request->head, length + written)) {
		fail(scsi);
	}
}

static void refuse(struct virtio_scsi *scsi, uint8_t response)
{
	struct answer no = {.response = response};

	answer(scsi, &no, 0);
}

static void start(struct virtio_scsi *scsi)
{
	struct virtio_scsi_request *request = &scsi->request;
	struct host_drive_command command = {.cdb_length = sizeof(request->cdb),
					     .out = request->out,
					     .length = request->data_length,
					     .data = scsi->buffer};

	memcpy(command.cdb, request->cdb, sizeof(command.cdb));
	scsi->busy = true;
	host_scsi_start(scsi->host, request->lun, &command);
}

/* One at a time. */
static void serve(struct virtio_scsi *scsi)
{
	uint64_t lun = 0;
	uint16_t head;

	while (!scsi->busy && is_running(scsi) && take_head(scsi, &head)) {
		if (!read_chain(scsi, head, &lun)) {
			fail(scsi);
		} else if (!read_lun(scsi, lun, &scsi->request.lun)) {
			refuse(scsi, RESPONSE_BAD_TARGET);
		} else if (scsi->request.out &&
			   !move_data(scsi, false, scsi->request.data_length)) {
			refuse(scsi, RESPONSE_FAILURE);
		} else {
			start(scsi);
		}
	}
}

#define STATUS_GOOD 0

void virtio_scsi_done(struct virtio_scsi *scsi, const struct host_drive_result *result)
{
	struct answer yes = {.status = result->status};
	uint32_t transferred = result->transferred;

	CHECK(scsi->busy);
	scsi->busy = false;
	if (scsi->forgotten || !is_running(scsi)) {
		scsi->forgotten = false;
		serve(scsi);
		return;
	}
	if (transferred > scsi->request.data_length) {
		transferred = scsi->request.data_length;
	}
	if (result->status != STATUS_GOOD && result->sense[0] == 0) {
		refuse(scsi, RESPONSE_BAD_TARGET); /* nothing is there */
	} else {
		if (result->status != STATUS_GOOD) {
			memcpy(yes.sense, result->sense, HOST_SENSE_BYTES);
			yes.sense_length = HOST_SENSE_BYTES;
		}
		answer(scsi, &yes, transferred);
	}
	serve(scsi);
}

/* ---- Registers ---- */

static uint8_t config_byte(const struct virtio_scsi *scsi, uint32_t at)
{
	struct config config = {
		.queues = 1,
		.segments = VIRTIO_SCSI_RING - 2,
		.sectors = MAX_SECTORS,
		.commands = 1,
		.sense_bytes = VIRTIO_SCSI_SENSE_BYTES,
		.cdb_bytes = sizeof(((struct request *)0)->cdb),
		.last_lun = scsi->last_lun,
	};

	return at < sizeof(config) ? ((const uint8_t *)&config)[at] : 0;
}

static uint32_t register_at(const struct virtio_scsi *scsi, uint32_t offset)
{
	switch (offset) {
	case REG_FEATURES:
		return FEATURE_INOUT;
	case REG_DRIVER_FEATURES:
		return scsi->features;
	case REG_QUEUE_PAGE:
		return scsi->queue == REQUEST_QUEUE ? scsi->page : 0;
	case REG_QUEUE_SIZE:
		return scsi->queue <= REQUEST_QUEUE ? VIRTIO_SCSI_RING : 0;
	case REG_QUEUE:
		return scsi->queue;
	case REG_STATUS:
		return scsi->status;
	default:
		return 0;
	}
}

/* Those of the interface by their own width; the device's by bytes. */
static uint64_t virtio_scsi_read(void *device, uint32_t offset, unsigned int size)
{
	struct virtio_scsi *scsi = device;
	uint64_t value = 0;
	unsigned int i;

	if (offset == REG_INTERRUPT) {
		value = scsi->interrupt;
		scsi->interrupt = 0;
		return value;
	}
	if (offset < REG_CONFIG) {
		return register_at(scsi, offset);
	}
	for (i = 0; i < size; i++) {
		value |= (uint64_t)config_byte(scsi, offset - REG_CONFIG + i) << 8 * i;
	}
	return value;
}

/* As its driver finds it. What is under way goes on, and nobody hears of it. */
static void restart(struct virtio_scsi *scsi)
{
	scsi->features = scsi->page = 0;
	scsi->queue = scsi->taken = scsi->given = 0;
	scsi->status = scsi->interrupt = 0;
	scsi->forgotten = scsi->busy;
}

static void set_status(struct virtio_scsi *scsi, uint8_t value)
{
	if (value == 0) {
		restart(scsi);
		return;
	}
	scsi->status = (scsi->status & STATUS_FAILED) | (value & STATUS_BITS);
	serve(scsi);
}

static void virtio_scsi_write(void *device, uint32_t offset, unsigned int size, uint64_t value)
{
	struct virtio_scsi *scsi = device;

	(void)size;
	switch (offset) {
	case REG_DRIVER_FEATURES:
		scsi->features = value & FEATURE_INOUT;
		break;
	case REG_QUEUE_PAGE:
		if (scsi->queue == REQUEST_QUEUE) {
			scsi->page = (uint32_t)value;
			scsi->taken = scsi->given = 0;
		}
		break;
	case REG_QUEUE:
		scsi->queue = (uint16_t)value;
		break;
	case REG_KICK:
		serve(scsi);
		break;
	case REG_STATUS:
		set_status(scsi, (uint8_t)value);
		break;
	default:
		break; /* sizes are as they are */
	}
}

/* ---- Its life ---- */

void virtio_scsi_create(struct virtio_scsi *scsi, struct host *host, struct pci *pci,
			unsigned int slot, unsigned int last_lun, uint8_t *buffer)
{
	/* Nobody waits for an interrupt of it, so there is none. */
	static const struct pci_identity identity = {.vendor = 0x1af4,
						     .device = 0x1004,
						     .subsystem_vendor = 0x1af4,
						     .subsystem = 8,
						     .class_code = 0x010000};
	struct bus_range *range;

	scsi->host = host;
	scsi->last_lun = last_lun;
	scsi->buffer = buffer;
	pci_function_init(&scsi->function, &identity);
	range = pci_add_bar(&scsi->function, 0, PCI_BAR_IO, BAR_BYTES);
	range->class = &virtio_scsi_class;
	range->device = scsi;
	CHECK(pci_add(pci, slot, 0, &scsi->function));
}

void virtio_scsi_reset(struct virtio_scsi *scsi)
{
	if (scsi->function.pci != NULL) {
		scsi->busy = scsi->gone = false;
		restart(scsi);
		pci_hide(&scsi->function, false);
	}
}

void virtio_scsi_leave(struct virtio_scsi *scsi)
{
	if (scsi->function.pci != NULL && !scsi->gone) {
		scsi->gone = true;
		restart(scsi);
		pci_hide(&scsi->function, true);
	}
}

void virtio_scsi_restore(struct virtio_scsi *scsi)
{
	if (scsi->function.pci != NULL) {
		pci_hide(&scsi->function, scsi->gone);
		if (scsi->busy) {
			start(scsi);
		}
	}
}

/* ---- A saved state ---- */

static void put_segment(struct state_writer *writer, const struct virtio_segment *one)
{
	state_put_u64(writer, one->gpa);
	state_put_u32(writer, one->length);
}

/* With what it writes: the driver may have changed that meanwhile. */
static void put_request(const struct virtio_scsi *scsi, struct state_writer *writer)
{
	const struct virtio_scsi_request *request = &scsi->request;
	unsigned int i;

	state_put_u16(writer, request->head);
	state_put_bool(writer, request->out);
	state_put_u8(writer, request->lun);
	state_put_bytes(writer, request->cdb, sizeof(request->cdb));
	put_segment(writer, &request->answer);
	state_put_u8(writer, (uint8_t)request->data_count);
	for (i = 0; i < request->data_count; i++) {
		put_segment(writer, &request->data[i]);
	}
	if (request->out) {
		state_put_bytes(writer, scsi->buffer, request->data_length);
	}
}

static void virtio_scsi_save(const void *device, struct state_writer *writer)
{
	const struct virtio_scsi *scsi = device;

	state_put_u32(writer, scsi->features);
	state_put_u32(writer, scsi->page);
	state_put_u16(writer, scsi->queue);
	state_put_u8(writer, scsi->status);
	state_put_u8(writer, scsi->interrupt);
	state_put_u16(writer, scsi->taken);
	state_put_u16(writer, scsi->given);
	state_put_bool(writer, scsi->gone);
	state_put_bool(writer, scsi->busy);
	state_put_bool(writer, scsi->forgotten);
	if (scsi->busy) {
		put_request(scsi, writer);
	}
}

static struct virtio_segment get_segment(struct state_reader *part)
{
	struct virtio_segment one = {.gpa = state_u64(part)};

	one.length = state_u32(part);
	return one;
}

/* What it writes is in *bytes. */
static void get_request(struct virtio_scsi_request *request, struct state_reader *part,
			const uint8_t **bytes)
{
	unsigned int i, count;

	*request = (struct virtio_scsi_request){.head = state_u16(part)};
	request->out = state_bool(part);
	request->lun = state_u8(part);
	state_bytes(part, request->cdb, sizeof(request->cdb));
	request->answer = get_segment(part);
	count = state_u8(part);
	if (count > VIRTIO_SCSI_RING || request->answer.length < offsetof(struct answer, sense)) {
		state_refuse(part, "has a request that no driver makes");
		return;
	}
	for (i = 0; i < count && state_ok(part); i++) {
		request->data[i] = get_segment(part);
		if (request->data[i].length > VIRTIO_SCSI_BUFFER_BYTES - request->data_length) {
			state_refuse(part, "has a request that is too large");
			return;
		}
		request->data_length += request->data[i].length;
	}
	request->data_count = count;
	if (request->out) {
		*bytes = state_span(part, request->data_length);
	}
}

static void virtio_scsi_load(void *device, struct state_reader *part, bool set)
{
	struct virtio_scsi *scsi = device;
	uint32_t features = state_u32(part), page = state_u32(part);
	uint16_t queue = state_u16(part);
	uint8_t status = state_u8(part), interrupt = state_u8(part);
	uint16_t taken = state_u16(part), given = state_u16(part);
	bool gone = state_bool(part), busy = state_bool(part), forgotten = state_bool(part);
	struct virtio_scsi_request request = {.head = 0};
	const uint8_t *bytes = NULL;

	if (busy) {
		get_request(&request, part, &bytes);
	}
	if ((features & ~FEATURE_INOUT) || (status & ~STATUS_BITS) || interrupt > 1 ||
	    (forgotten && !busy)) {
		state_refuse(part, "has a register with bits that it does not have");
	}
	if (request.lun > scsi->last_lun) {
		state_refuse(part, "has a request to a unit that is not there");
	}
	if (!set || !state_ok(part)) {
		return;
	}
	scsi->features = features;
	scsi->page = page;
	scsi->queue = queue;
	scsi->status = status;
	scsi->interrupt = interrupt;
	scsi->taken = taken;
	scsi->given = given;
	scsi->gone = gone;
	scsi->busy = busy;
	scsi->forgotten = forgotten;
	scsi->request = request;
	if (bytes != NULL) {
		memcpy(scsi->buffer, bytes, request.data_length);
	}
}

const struct device_class virtio_scsi_class = {.name = "vscsi",
					       .width = 4,
					       .read = virtio_scsi_read,
					       .write = virtio_scsi_write,
					       .version = 1,
					       .save = virtio_scsi_save,
					       .load = virtio_scsi_load};
