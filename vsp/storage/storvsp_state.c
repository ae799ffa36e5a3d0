/*
 * A controller as a saved state (lib/state.h), and back. Its bus is paused.
 *
 *   storage 1   flavour, instance, IDE address, by which it is known again; the handshake's state, version, sub-channels asked for, which of
 *               them are offered, whether the guest is to look for units
 *     unit      scsi_state.c
 *     queue 1     an open channel: its index
 *       request 1   transaction, size of the answer, the packet. Kind 0 is an answer that had no room; 1 an SRB that was ended
 *                   before its next step and begins anew, with its range: offset, bytes, pages; 2 a reset that waits
 *
 * A request that begins anew may have done part of its work before, which it does again: of what
 * goes in steps all may be done twice (VERIFY, UNMAP, WRITE SAME).
 */
#include "vsp/storage/storvsp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STORAGE_STATE_VERSION 1
#define QUEUE_STATE_VERSION   1
#define REQUEST_STATE_VERSION 1

/* ---- saving ---- */

static uint32_t range_pages(const struct vmbus_range *range)
{
	return range->bytes == 0
		       ? 0
		       : (uint32_t)(((uint64_t)range->offset + range->bytes + VMBUS_PAGE_SIZE - 1) /
				    VMBUS_PAGE_SIZE);
}

static void save_request(struct state_writer *writer, const struct storage_io *io,
			 enum storage_again kind)
{
	size_t part = state_begin(writer, "request", REQUEST_STATE_VERSION);
	uint32_t i;

	state_put_u8(writer, (uint8_t)kind);
	state_put_u64(writer, io->answer.transaction);
	state_put_u32(writer, io->answer.bytes);
	state_put_bytes(writer, &io->packet, io->answer.bytes);
	if (kind == AGAIN_SRB) {
		state_put_u32(writer, io->range.offset);
		state_put_u32(writer, io->range.bytes);
		for (i = 0; i < range_pages(&io->range); i++) {
			state_put_u64(writer, io->range.pages[i]);
		}
	}
	state_end(writer, part);
}

static void save_queue(const struct storage_queue *queue, struct state_writer *writer)
{
	size_t part = state_begin(writer, "queue", QUEUE_STATE_VERSION);
	const struct vsp_answer *answer;
	const struct storage_io *io;

	state_put_u32(writer, queue->index);
	for (answer = queue->vsp.unsent; answer != NULL; answer = answer->next) {
		save_request(writer, storvsp_io_of(answer), AGAIN_ANSWER);
	}
	for (io = queue->aside; io != NULL; io = io->next) {
		save_request(writer, io, io->again);
	}
	for (io = queue->resets; io != NULL; io = io->next) {
		save_request(writer, io, AGAIN_RESET);
	}
	state_end(writer, part);
}

static void save_queues(struct storage *storage, struct state_writer *writer)
{
	const struct vsp_channel *vsp;
	unsigned i;

	for (i = 0; i < STORAGE_CHANNELS_MAX; i++) {
		vsp = vsp_open_channel(&storage->channels, i);
		if (vsp != NULL) {
			save_queue((const struct storage_queue *)vsp, writer);
		}
	}
}

void storage_save(struct storage *storage, struct state_writer *writer)
{
	const struct storage_config *config = &storage->config;
	size_t part = state_begin(writer, "storage", STORAGE_STATE_VERSION);

	state_put_u8(writer, (uint8_t)config->flavour);
	state_put_bytes(writer, config->instance, sizeof(config->instance));
	state_put_u8(writer, config->ide.path);
	state_put_u8(writer, config->ide.target);
	state_put_u8(writer, (uint8_t)atomic_load(&storage->state));
	state_put_u16(writer, storage->version);
	state_put_u32(writer, storage->sub_channels);
	state_put_u64(writer, vsp_offered(&storage->channels) & ~1ull); /* sub-channels */
	state_put_bool(writer, atomic_load(&storage->rescan));
	scsi_bus_save(storage->scsi, writer);
	save_queues(storage, writer);
	state_end(writer, part);
}

/* ---- loading ---- */

struct saved {
	struct storage *storage;
	enum storage_state state;
	uint16_t version;
	uint32_t sub_channels;
	uint64_t offered;
	bool rescan;
	struct scsi_saved units;
	struct storage_queue *queues[STORAGE_CHANNELS_MAX];
	unsigned srbs;
};

static void read_range(struct storage_io *io, struct state_reader *part)
{
	uint32_t i;

	io->range.page_max = REQUEST_IOVS;
	io->range.pages = io->pages;
	io->range.offset = state_u32(part);
	io->range.bytes = state_u32(part);
	if (io->range.offset >= VMBUS_PAGE_SIZE || range_pages(&io->range) > REQUEST_IOVS) {
		state_refuse(part, "has more data than a request can have");
		return;
	}
	for (i = 0; i < range_pages(&io->range); i++) {
		io->pages[i] = state_u64(part);
	}
}

static bool kind_fits(enum storage_again kind, uint32_t operation)
{
	switch (kind) {
	case AGAIN_ANSWER:
		return operation == STORVSP_COMPLETE_IO;
	case AGAIN_SRB:
		return operation == STORVSP_EXECUTE_SRB;
	case AGAIN_RESET:
		return operation == STORVSP_RESET_LUN || operation == STORVSP_RESET_ADAPTER ||
		       operation == STORVSP_RESET_BUS;
	default:
		return false;
	}
}

static void read_request(struct saved *saved, struct storage_queue *queue,
			 struct state_reader *part)
{
	struct storage_io *io;

	if (!storvsp_has_io(queue)) {
		state_refuse(part, "is more than the channel takes");
		return;
	}
	io = storvsp_take_io(queue);
	io->again = (enum storage_again)state_u8(part);
	io->answer.transaction = state_u64(part);
	io->answer.bytes = state_u32(part);
	if (io->answer.bytes < STORVSP_PACKET_HEAD_BYTES || io->answer.bytes > sizeof(io->packet)) {
		state_refuse(part, "has a packet of no size that a packet has");
		return;
	}
	memset(&io->packet, 0, sizeof(io->packet));
	state_bytes(part, &io->packet, io->answer.bytes);
	if (!kind_fits(io->again, io->packet.operation)) {
		state_refuse(part, "is of a kind that its packet is not");
		return;
	}
	if (io->again == AGAIN_SRB) {
		read_range(io, part);
		saved->srbs++;
	}
	state_finish(part);
	storvsp_put_aside(io, io->again);
}

static void read_queue(struct saved *saved, struct state_reader *part)
{
	uint32_t index = state_u32(part);
	struct state_reader request;

	if (index >= saved->storage->config.channel_count || saved->queues[index] != NULL ||
	    (index != 0 && !(saved->offered >> index & 1))) {
		state_refuse(part, "is of a channel that is not offered");
	}
	if (state_ok(part) &&
	    storvsp_queue_create(saved->storage, index, &saved->queues[index]) != 0) {
		state_refuse(part, "finds no memory");
	}
	while (state_next_named(part, "request", REQUEST_STATE_VERSION, &request)) {
		read_request(saved, saved->queues[index], &request);
	}
	state_finish(part);
}

static void check_identity(const struct storage_config *config, struct state_reader *part)
{
	uint8_t flavour = state_u8(part), instance[16], path, target;

	state_bytes(part, instance, sizeof(instance));
	path = state_u8(part);
	target = state_u8(part);
	if (flavour != config->flavour || path != config->ide.path ||
	    target != config->ide.target ||
	    memcmp(instance, config->instance, sizeof(instance)) != 0) {
		state_refuse(part, "is of another controller");
	}
}

static void check_handshake(const struct saved *saved, const struct state_reader *part)
{
	bool versioned = saved->state >= STATE_VERSIONED;
	uint32_t max = storvsp_sub_channels_max(saved->storage, saved->version);

	if (saved->state > STATE_READY ||
	    (versioned ? !storvsp_knows_version(saved->version) : saved->version != 0)) {
		state_refuse(part, "has a handshake that cannot be");
	} else if ((saved->sub_channels != 0 && saved->state < STATE_QUERIED) ||
		   saved->sub_channels > max || (saved->offered & 1) ||
		   (max + 1 < 64 && saved->offered >> (max + 1) != 0)) {
		state_refuse(part, "has sub-channels that cannot be");
	}
}

static void read_all(struct saved *saved, struct state_reader *whole)
{
	struct state_reader part;

	check_identity(&saved->storage->config, whole);
	saved->state = (enum storage_state)state_u8(whole);
	saved->version = state_u16(whole);
	saved->sub_channels = state_u32(whole);
	saved->offered = state_u64(whole);
	saved->rescan = state_bool(whole);
	check_handshake(saved, whole);
	scsi_bus_read(saved->storage->scsi, whole, &saved->units);
	while (state_next_named(whole, "queue", QUEUE_STATE_VERSION, &part)) {
		read_queue(saved, &part);
	}
	state_finish(whole);
}

static int offer_sub_channels(const struct saved *saved)
{
	unsigned i;
	int ret = 0;

	for (i = 1; i < STORAGE_CHANNELS_MAX && ret == 0; i++) {
		if (saved->offered >> i & 1) {
			ret = storvsp_offer(saved->storage, i);
		}
	}
	if (ret != 0) {
		vsp_rescind_sub_channels(&saved->storage->channels);
	}
	return ret;
}

static void take_over(struct saved *saved)
{
	struct storage *storage = saved->storage;
	unsigned i;

	atomic_store(&storage->state, saved->state);
	storage->version = saved->version;
	storage->sub_channels = saved->sub_channels;
	atomic_store(&storage->rescan, saved->rescan);
	atomic_store(&storage->requests, saved->srbs);
	scsi_bus_set(storage->scsi, &saved->units);
	for (i = 0; i < STORAGE_CHANNELS_MAX; i++) {
		if (saved->queues[i] != NULL) {
			vsp_load(&storage->channels, i, &saved->queues[i]->vsp);
			saved->queues[i] = NULL;
		}
	}
}

int storage_load(struct storage *storage, struct state_reader *list)
{
	struct state_reader whole = state_part(list, "storage", STORAGE_STATE_VERSION);
	struct saved *saved = calloc(1, sizeof(*saved));
	int ret = -EINVAL;
	unsigned i;

	CHECK(atomic_load(&storage->state) == STATE_NEW && vsp_open(&storage->channels) == 0);
	if (saved == NULL) {
		return -ENOMEM;
	}
	saved->storage = storage;
	read_all(saved, &whole);
	if (state_ok(&whole)) {
		ret = offer_sub_channels(saved);
	}
	if (ret == 0) {
		take_over(saved);
	}
	for (i = 0; i < STORAGE_CHANNELS_MAX; i++) {
		storvsp_queue_free(saved->queues[i]);
	}
	free(saved);
	return ret;
}
