/*
 * The storage protocol: what a packet of the guest's asks for, and the answer. A packet is a copy,
 * so it is looked at once.
 *
 * What is malformed is answered with a status; what cannot be answered at all (no head, no
 * transaction to complete) breaks the channel.
 */
#include "vsp/storage/storvsp.h"

#include <errno.h>
#include <string.h>

static bool is_primary(const struct storage_queue *queue)
{
	return queue->index == 0;
}

static void answer(struct storage_io *io, uint32_t status)
{
	io->packet.operation = STORVSP_COMPLETE_IO;
	io->packet.flags = 0;
	io->packet.status = status;
	storvsp_answer(io);
}

/* The answer to any operation other than an SRB: the head, followed by whatever the operation
 * returns. */
static void answer_plain(struct storage_io *io, uint32_t status)
{
	memset(&io->packet.srb, 0, sizeof(io->packet.srb));
	answer(io, status);
}

bool storvsp_knows_version(uint16_t version)
{
	return version == STORVSP_VERSION_WIN6 || version == STORVSP_VERSION_WIN7 ||
	       version == STORVSP_VERSION_WIN8 || version == STORVSP_VERSION_WIN8_1 ||
	       version == STORVSP_VERSION_WIN10;
}

unsigned storvsp_sub_channels_max(const struct storage *storage, uint16_t version)
{
	if (storage->config.flavour == STORAGE_IDE || version < STORVSP_VERSION_WIN8) {
		return 0;
	}
	return storage->config.channel_count - 1;
}

static unsigned sub_channels_max(const struct storage *storage)
{
	return storvsp_sub_channels_max(storage, storage->version);
}

static void query_version(struct storage *storage, struct storage_io *io)
{
	uint16_t version = io->packet.version.version;
	bool known = storvsp_knows_version(version);

	if (known) {
		storage->version = version;
		atomic_store(&storage->state, STATE_VERSIONED);
	}
	memset(&io->packet.srb, 0, sizeof(io->packet.srb));
	io->packet.version.version = version;
	answer(io, known ? STORVSP_STATUS_SUCCESS : STORVSP_STATUS_REVISION_MISMATCH);
}

static void query_properties(struct storage *storage, struct storage_io *io)
{
	unsigned max = sub_channels_max(storage);

	memset(&io->packet.srb, 0, sizeof(io->packet.srb));
	io->packet.properties.sub_channel_count_max = (uint16_t)max;
	io->packet.properties.flags = max ? STORVSP_MULTI_CHANNEL : 0;
	io->packet.properties.max_transfer_bytes = SCSI_TRANSFER_MAX;
	atomic_store(&storage->state, STATE_QUERIED);
	answer(io, STORVSP_STATUS_SUCCESS);
}

/*
 * Allowed once for each open of the primary channel. If some of the sub-channels cannot be offered,
 * the guest works with those that were.
 */
static void create_sub_channels(struct storage *storage, struct storage_io *io)
{
	unsigned count = io->packet.sub_channel_count, i;
	int ret = 0;

	if (!count || count > sub_channels_max(storage) || storage->sub_channels) {
		answer_plain(io, STORVSP_STATUS_INVALID_PARAMETER);
		return;
	}
	storage->sub_channels = count;
	for (i = 1; i <= count && !ret; i++) {
		ret = storvsp_offer(storage, i);
	}
	answer_plain(io, ret && i == 2 ? STORVSP_STATUS_UNSUCCESSFUL : STORVSP_STATUS_SUCCESS);
}

/* The handshake: the operations that come between the opening of the primary channel and the first
 * SRB, in this order. */
static void handshake(struct storage *storage, struct storage_io *io)
{
	enum storage_state state = atomic_load(&storage->state);
	uint32_t operation = io->packet.operation;

	if (operation == STORVSP_BEGIN_INITIALIZATION && state == STATE_NEW) {
		atomic_store(&storage->state, STATE_BEGUN);
		answer_plain(io, STORVSP_STATUS_SUCCESS);
	} else if (operation == STORVSP_QUERY_PROTOCOL_VERSION && state == STATE_BEGUN) {
		query_version(storage, io);
	} else if (operation == STORVSP_QUERY_PROPERTIES && state == STATE_VERSIONED) {
		query_properties(storage, io);
	} else if (operation == STORVSP_END_INITIALIZATION && state == STATE_QUERIED) {
		atomic_store(&storage->rescan, false); /* it scans all units now anyway */
		atomic_store(&storage->state, STATE_READY);
		answer_plain(io, STORVSP_STATUS_SUCCESS);
	} else if (operation == STORVSP_CREATE_SUB_CHANNELS && state >= STATE_QUERIED) {
		create_sub_channels(storage, io);
	} else {
		answer_plain(io, STORVSP_STATUS_INVALID_STATE);
	}
}

/* Answers an SRB that is not passed to the SCSI target. */
static void refuse_srb(struct storage_io *io, uint8_t srb_status, uint8_t scsi_status,
		       uint32_t status)
{
	struct storvsp_srb *srb = &io->packet.srb;

	memset(srb->sense, 0, sizeof(srb->sense));
	srb->srb_status = srb_status;
	srb->scsi_status = scsi_status;
	srb->sense_length = 0;
	srb->data_transfer_length = 0;
	answer(io, status);
}

static void count_srb(struct storage *storage, const struct scsi_request *scsi)
{
	atomic_fetch_add_explicit(&storage->count_requests, 1, memory_order_relaxed);
	if (scsi->status != SCSI_GOOD) {
		atomic_fetch_add_explicit(&storage->count_errors, 1, memory_order_relaxed);
	} else if (scsi->direction == SCSI_DATA_IN) {
		atomic_fetch_add_explicit(&storage->count_reads, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&storage->bytes_read, scsi->transferred,
					  memory_order_relaxed);
	} else if (scsi->direction == SCSI_DATA_OUT) {
		atomic_fetch_add_explicit(&storage->count_writes, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&storage->bytes_written, scsi->transferred,
					  memory_order_relaxed);
	}
}

/* Copies as much sense data as the guest's buffer holds. */
static void put_sense(struct storvsp_srb *srb, const struct scsi_request *scsi)
{
	uint8_t room = srb->sense_length < scsi->sense_length ? srb->sense_length
							      : (uint8_t)scsi->sense_length;

	memset(srb->sense, 0, sizeof(srb->sense));
	memcpy(srb->sense, scsi->sense, room);
	srb->sense_length = room;
	if (room) {
		srb->srb_status |= STORVSP_SRB_SENSE_VALID;
	}
}

/* Whether a long request is to stop before its next step: the channel is closing or pausing, or a
 * reset waits for it. */
static bool srb_is_cancelled(const struct scsi_request *scsi)
{
	struct storage_io *io = scsi->user;
	struct storage_queue *queue = io->queue;
	bool is_over = vsp_is_ending(&queue->vsp) || atomic_load(&queue->storage->resets);

	/* Noted here: when the request has ended the pause may have been given up. */
	io->begins_anew = !is_over && vsp_is_pausing(&queue->vsp);
	return is_over || io->begins_anew;
}

/* Data may have been written although the request named no direction, and by a request that failed
 * half-way. */
static void complete_data(struct storage_io *io)
{
	const struct scsi_request *scsi = &io->scsi;
	uint32_t written = 0;

	if (scsi->direction != SCSI_DATA_OUT) {
		written = scsi->status == SCSI_GOOD ? scsi->transferred : io->range.bytes;
	}
	channel_complete_range(io->queue->vsp.channel, &io->range, written);
}

static void srb_done(struct scsi_request *scsi)
{
	struct storage_io *io = scsi->user;
	struct storage *storage = io->queue->storage;
	struct storvsp_srb *srb = &io->packet.srb;
	uint32_t status = STORVSP_STATUS_SUCCESS;

	complete_data(io);
	io->queue->in_flight--;
	if (scsi->status == SCSI_TASK_ABORTED && io->begins_anew) {
		storvsp_put_aside(io, AGAIN_SRB);
		return;
	}
	srb->srb_status = STORVSP_SRB_SUCCESS;
	if (scsi->no_unit) {
		srb->srb_status = STORVSP_SRB_INVALID_LUN;
		status = STORVSP_STATUS_NO_SUCH_DEVICE;
	} else if (scsi->status == SCSI_BUSY) {
		srb->srb_status = STORVSP_SRB_BUSY;
		status = STORVSP_STATUS_DEVICE_BUSY;
	} else if (scsi->status == SCSI_TASK_ABORTED) {
		srb->srb_status = STORVSP_SRB_ABORTED;
		status = STORVSP_STATUS_IO_DEVICE_ERROR;
	} else if (scsi->status != SCSI_GOOD) {
		srb->srb_status = STORVSP_SRB_ERROR;
		status = STORVSP_STATUS_IO_DEVICE_ERROR;
	}
	srb->scsi_status = (uint8_t)scsi->status;
	srb->data_transfer_length = scsi->transferred;
	put_sense(srb, scsi);
	count_srb(storage, scsi);
	answer(io, status);
	storvsp_srb_ended(storage);
}

static bool find_direction(uint8_t data_in, enum scsi_direction *direction)
{
	switch (data_in) {
	case STORVSP_DATA_OUT:
		*direction = SCSI_DATA_OUT;
		return true;
	case STORVSP_DATA_IN:
		*direction = SCSI_DATA_IN;
		return true;
	case STORVSP_DATA_NONE:
		*direction = SCSI_NO_DATA;
		return true;
	default:
		return false;
	}
}

/* Reads the range of a packet that has at most one. False: there are several, or it is longer than
 * a request may be. */
static bool take_range(struct storage_io *io, const struct vmbus_packet *packet)
{
	io->range = (struct vmbus_range){.page_max = REQUEST_IOVS, .pages = io->pages};
	return packet->type != VM_PKT_DATA_USING_GPA_DIRECT || !packet->range_count ||
	       (packet->range_count == 1 && packet_range(packet, 0, &io->range) == 0);
}

/* Acquires the guest memory of the data. False: the range is not valid guest memory, or too
 * short. */
static bool find_data(struct storage_queue *queue, struct storage_io *io)
{
	struct scsi_request *scsi = &io->scsi;
	uint32_t length = io->packet.srb.data_transfer_length;
	int count;

	if (length > io->range.bytes || !find_direction(io->packet.srb.data_in, &scsi->direction)) {
		return false;
	}
	count = channel_acquire_range(queue->vsp.channel, &io->range, io->iov, REQUEST_IOVS);
	if (count < 0) {
		return false;
	}
	scsi->iov = io->iov;
	scsi->iov_count = (unsigned)count;
	scsi->data_length = length;
	return true;
}

static bool srb_is_valid(const struct storage_io *io)
{
	return io->answer.bytes >= STORVSP_PACKET_HEAD_BYTES + STORVSP_SRB_BYTES_WIN6 &&
	       io->packet.srb.cdb_length && io->packet.srb.cdb_length <= STORVSP_CDB_BYTES;
}

/* IDE guests do not fill in the path reliably; their controller has only one device. */
static struct storage_address srb_address(const struct storage *storage,
					  const struct storvsp_srb *srb)
{
	bool ide = storage->config.flavour == STORAGE_IDE;

	return (struct storage_address){ide ? storage->config.ide.path : srb->path, srb->target,
					srb->lun};
}

/* Starts an SRB that is already counted in storage.requests. */
static void run_srb(struct storage_queue *queue, struct storage_io *io)
{
	struct storage *storage = queue->storage;
	struct storvsp_srb *srb = &io->packet.srb;

	queue->in_flight++;
	memset(io->scsi.cdb, 0, sizeof(io->scsi.cdb));
	memcpy(io->scsi.cdb, srb->cdb, srb->cdb_length);
	io->scsi.cdb_length = srb->cdb_length;
	io->scsi.nexus = 0;
	io->scsi.queue = queue->disks;
	io->scsi.done = srb_done;
	io->scsi.cancelled = srb_is_cancelled;
	io->scsi.user = io;
	if (atomic_load(&storage->resets)) {
		io->scsi.status = SCSI_BUSY;
		io->scsi.no_unit = false;
		io->scsi.transferred = io->scsi.sense_length = 0;
		srb_done(&io->scsi);
	} else {
		scsi_execute(storage->scsi, srb_address(storage, srb), &io->scsi);
	}
}

static void execute_srb(struct storage_queue *queue, struct storage_io *io,
			const struct vmbus_packet *packet)
{
	struct storage *storage = queue->storage;

	if (atomic_load(&storage->state) != STATE_READY) {
		answer_plain(io, STORVSP_STATUS_INVALID_STATE);
		return;
	}
	if (!srb_is_valid(io) || !take_range(io, packet) || !find_data(queue, io)) {
		refuse_srb(io, STORVSP_SRB_INVALID_REQUEST, 0, STORVSP_STATUS_INVALID_PARAMETER);
		return;
	}
	atomic_fetch_add(&storage->requests, 1);
	run_srb(queue, io);
}

/* Everything is validated again: the request may come from a saved state, and guest memory may have
 * been removed since. */
static void execute_again(struct storage_queue *queue, struct storage_io *io)
{
	if (!srb_is_valid(io) || !find_data(queue, io)) {
		refuse_srb(io, STORVSP_SRB_INVALID_REQUEST, 0, STORVSP_STATUS_INVALID_PARAMETER);
		storvsp_srb_ended(queue->storage);
		return;
	}
	run_srb(queue, io);
}

/*
 * A reset is answered after all requests that came before it. While one waits, requests take no
 * further steps, so the wait is short.
 */
static void begin_reset(struct storage_queue *queue, struct storage_io *io)
{
	atomic_fetch_add(&queue->storage->resets, 1);
	io->next = queue->resets;
	queue->resets = io;
	storvsp_finish_resets(queue);
}

void storvsp_go_on(struct storage_io *io)
{
	switch (io->again) {
	case AGAIN_ANSWER:
		storvsp_answer(io);
		break;
	case AGAIN_SRB:
		execute_again(io->queue, io);
		break;
	case AGAIN_RESET:
		begin_reset(io->queue, io);
		break;
	}
}

void storvsp_finish_resets(struct storage_queue *queue)
{
	struct storage *storage = queue->storage;
	struct storage_io *io;

	while (queue->resets != NULL && !atomic_load(&storage->requests)) {
		io = queue->resets;
		queue->resets = io->next;
		if (io->packet.operation == STORVSP_RESET_LUN) {
			scsi_unit_at_reset(storage->scsi, srb_address(storage, &io->packet.srb));
		} else {
			scsi_bus_reset(storage->scsi);
		}
		atomic_fetch_sub(&storage->resets, 1);
		answer_plain(io, STORVSP_STATUS_SUCCESS);
	}
}

static void dispatch(struct storage_queue *queue, struct storage_io *io,
		     const struct vmbus_packet *packet)
{
	switch (io->packet.operation) {
	case STORVSP_EXECUTE_SRB:
		execute_srb(queue, io, packet);
		break;
	case STORVSP_RESET_LUN:
	case STORVSP_RESET_ADAPTER:
	case STORVSP_RESET_BUS:
		begin_reset(queue, io);
		break;
	case STORVSP_BEGIN_INITIALIZATION:
	case STORVSP_END_INITIALIZATION:
	case STORVSP_QUERY_PROTOCOL_VERSION:
	case STORVSP_QUERY_PROPERTIES:
	case STORVSP_CREATE_SUB_CHANNELS:
		if (is_primary(queue)) {
			handshake(queue->storage, io);
		} else {
			answer_plain(io, STORVSP_STATUS_INVALID_STATE);
		}
		break;
	default: /* Fibre Channel operations, and undefined ones */
		answer_plain(io, STORVSP_STATUS_INVALID_REQUEST);
	}
}

void storvsp_packet(struct storage_queue *queue, const struct vmbus_packet *packet)
{
	uint32_t bytes = packet->payload_bytes;
	struct storage_io *io;

	if (packet->type != VM_PKT_DATA_INBAND && packet->type != VM_PKT_DATA_USING_GPA_DIRECT) {
		channel_break(queue->vsp.channel,
			      "storage: a packet of a kind that storage does not have");
		return;
	}
	if (bytes < STORVSP_PACKET_HEAD_BYTES || !packet->completion_requested) {
		channel_break(queue->vsp.channel, "storage: a packet that cannot be answered");
		return;
	}
	io = storvsp_take_io(queue);
	bytes = bytes < sizeof(io->packet) ? bytes : (uint32_t)sizeof(io->packet);
	memset(&io->packet, 0, sizeof(io->packet));
	memcpy(&io->packet, packet->payload, bytes);
	io->answer.transaction = packet->transaction;
	io->answer.bytes = bytes;
	dispatch(queue, io, packet);
}

/*
 * Tells the guest that units have come or gone. Versions before 4.2 have no such message, and a
 * guest that has not scanned yet does not need it.
 */
bool storvsp_announce(struct storage_queue *queue)
{
	struct storage *storage = queue->storage;
	struct storvsp_packet packet = {.operation = STORVSP_ENUMERATE_BUS};
	struct iovec payload = {&packet, STORVSP_PACKET_HEAD_BYTES + STORVSP_SRB_BYTES_WIN7};

	if (!is_primary(queue) || atomic_load(&storage->state) != STATE_READY ||
	    !atomic_load(&storage->rescan)) {
		return true;
	}
	if (storage->version >= STORVSP_VERSION_WIN8) {
		payload.iov_len = sizeof(packet);
	}
	if (storage->version >= STORVSP_VERSION_WIN7 &&
	    channel_send(queue->vsp.channel, 0, false, &payload, 1) == -EAGAIN) {
		return false;
	}
	atomic_store(&storage->rescan, false);
	return true;
}

/* Whoever opens the channel next begins with a new handshake, and finds the units in their power-on
 * state. */
void storvsp_primary_closed(struct storage *storage)
{
	storage->version = 0;
	storage->sub_channels = 0;
	atomic_store(&storage->state, STATE_NEW);
	scsi_bus_reset(storage->scsi);
}
