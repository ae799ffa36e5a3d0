/*
 * Packets on the rings of an open channel: what devices call on the channel's thread.
 *
 * A packet from the guest is copied out as a whole before anything in it but its length is looked
 * at. Its ranges are checked for lengths once, here; which memory they name, when a device asks.
 *
 * While packets are there to be read the guest's signals are masked; the indices that the guest
 * sees follow in steps: of ours when the ring was found empty or an eighth of it was read, of what
 * was sent when the device flushes or there is nothing more to read.
 */
#include <errno.h>
#include <string.h>

#include "vmbus/server.h"

/* Many times what any guest puts in one packet; it bounds what packet_range() has to walk. */
#define MAX_RANGES 512u

static bool is_shut(const struct vmbus_channel *channel)
{
	return atomic_load_explicit(&channel->shut, memory_order_acquire);
}

void channel_break(struct vmbus_channel *channel, const char *reason)
{
	if (!atomic_exchange(&channel->shut, true)) {
		channel_complain(channel, "the guest broke it: %s", reason);
		note_post(channel, NOTE_BROKEN);
	}
}

static int broken(struct vmbus_channel *channel, const char *reason)
{
	channel_break(channel, reason);
	return -ESHUTDOWN;
}

/* ---- receiving ---- */

/* What a range takes in the packet. */
static uint64_t range_bytes(const struct gpa_range *range)
{
	uint64_t pages = ((uint64_t)range->byte_offset + range->byte_count + VMBUS_PAGE_SIZE - 1) /
			 VMBUS_PAGE_SIZE;

	return sizeof(*range) + pages * sizeof(uint64_t);
}

static bool check_gpa_direct(struct vmbus_packet *packet, const uint8_t *list, uint32_t bytes)
{
	const struct vmgpa_direct_header *header = (const void *)list;
	uint32_t at = sizeof(*header), i;

	if (bytes < sizeof(*header) || header->range_cnt > MAX_RANGES) {
		return false;
	}
	for (i = 0; i < header->range_cnt; i++) {
		const struct gpa_range *range = (const void *)(list + at);

		if (bytes - at < sizeof(*range) || range->byte_offset >= VMBUS_PAGE_SIZE ||
		    range_bytes(range) > bytes - at) {
			return false;
		}
		at += (uint32_t)range_bytes(range);
	}
	packet->range_count = header->range_cnt;
	packet->ranges = list + sizeof(*header);
	return true;
}

static bool check_transfer_pages(struct vmbus_packet *packet, const uint8_t *list, uint32_t bytes)
{
	const struct vmtransfer_page_header *header = (const void *)list;

	if (bytes < sizeof(*header) || header->range_cnt > MAX_RANGES ||
	    bytes - sizeof(*header) < header->range_cnt * sizeof(header->ranges[0])) {
		return false;
	}
	packet->page_set = header->xfer_pageset_id;
	packet->range_count = header->range_cnt;
	packet->page_ranges = header->ranges;
	return true;
}

static bool wants_completion(const struct vmpacket_descriptor *descriptor)
{
	return descriptor->flags & VMBUS_DATA_PACKET_FLAG_COMPLETION_REQUESTED;
}

/* The copy of a packet, of which only the descriptor's lengths are known to be good. */
static bool parse(const uint8_t *copy, const struct vmpacket_descriptor *descriptor,
		  struct vmbus_packet *packet)
{
	const uint8_t *list = copy + sizeof(*descriptor);
	uint32_t offset = descriptor->offset8 * 8u;
	uint32_t list_bytes = offset - (uint32_t)sizeof(*descriptor);

	*packet = (struct vmbus_packet){
		.type = descriptor->type,
		.completion_requested = wants_completion(descriptor),
		.transaction = descriptor->trans_id,
		.payload = copy + offset,
		.payload_bytes = descriptor->len8 * 8u - offset,
	};
	switch (descriptor->type) {
	case VM_PKT_DATA_INBAND:
	case VM_PKT_COMP:
	case VM_PKT_CANCEL_REQUEST:
		return true;
	case VM_PKT_DATA_USING_GPA_DIRECT:
		return check_gpa_direct(packet, list, list_bytes);
	case VM_PKT_DATA_USING_XFER_PAGES:
		return check_transfer_pages(packet, list, list_bytes);
	default:
		return false;
	}
}

/* ---- what we write to the ring ---- */

static uint32_t writer_half(const struct vmbus_channel *channel)
{
	return channel->open_message.downstream_ringbuffer_pageoffset;
}

/* The first page of a half, with its control words. */
static void wrote_control(const struct vmbus_channel *channel, uint32_t half)
{
	if (atomic_load_explicit(channel->log_is_kept, memory_order_acquire)) {
		gpadl_mark(channel->ring_gpadl, half * VMBUS_PAGE_SIZE, VMBUS_PAGE_SIZE);
	}
}

/* Data from one index to another, round the end. */
static void wrote_data(const struct vmbus_channel *channel, uint32_t from, uint32_t to)
{
	uint32_t data = (writer_half(channel) + 1) * VMBUS_PAGE_SIZE;

	if (!atomic_load_explicit(channel->log_is_kept, memory_order_acquire)) {
		return;
	}
	if (to < from) {
		gpadl_mark(channel->ring_gpadl, data + from, channel->writer.half.size - from);
		from = 0;
	}
	if (to > from) {
		gpadl_mark(channel->ring_gpadl, data + from, to - from);
	}
}

static void show_read(struct vmbus_channel *channel)
{
	if (reader_hidden(&channel->reader) == 0) {
		return;
	}
	if (reader_show(&channel->reader)) {
		signal_guest(channel);
	}
	wrote_control(channel, 0);
}

static void set_mask(struct vmbus_channel *channel, bool masked)
{
	if (channel->masked != masked) {
		channel->masked = masked;
		reader_mask(&channel->reader, masked);
		wrote_control(channel, 0);
	}
}

static void want_room(struct vmbus_channel *channel, uint32_t bytes)
{
	if (writer_want(&channel->writer, bytes)) {
		wrote_control(channel, writer_half(channel));
	}
}

void packet_settle(struct vmbus_channel *channel)
{
	show_read(channel);
	channel_flush(channel);
}

/* There seems to be nothing: says so to the guest, and looks once more. */
static int settle(struct vmbus_channel *channel, struct vmpacket_descriptor *descriptor)
{
	packet_settle(channel);
	set_mask(channel, false);
	return reader_next(&channel->reader, descriptor);
}

static uint32_t max_packet(const struct vmbus_channel *channel)
{
	uint32_t bytes = channel->class->max_packet_bytes;

	return bytes != 0 ? bytes : SERVER_DEFAULT_PACKET;
}

/* Copies and parses the packet that is next. NULL, or what is wrong with it. */
static const char *take(struct vmbus_channel *channel, uint8_t *copy,
			const struct vmpacket_descriptor *descriptor, struct vmbus_packet *packet)
{
	uint32_t bytes = descriptor->len8 * 8u;

	if (bytes > max_packet(channel)) {
		return "a packet is larger than its device allows";
	}
	reader_copy(&channel->reader, sizeof(*descriptor), copy + sizeof(*descriptor),
		    bytes - (uint32_t)sizeof(*descriptor));
	return parse(copy, descriptor, packet)
		       ? NULL
		       : "a packet has a wrong type, or ranges that do not fit";
}

int channel_receive_into(struct vmbus_channel *channel, void *memory, struct vmbus_packet *packet)
{
	struct ring_reader *reader = &channel->reader;
	struct vmpacket_descriptor descriptor;
	const char *fault;
	uint32_t bytes;
	int ret;

	if (is_shut(channel)) {
		return -ESHUTDOWN;
	}
	ret = reader_next(reader, &descriptor);
	if (ret == 0) {
		ret = settle(channel, &descriptor);
	}
	if (ret <= 0) {
		return ret == 0 ? 0 : broken(channel, "its ring has a wrong index or length");
	}
	set_mask(channel, true);
	bytes = descriptor.len8 * 8u;
	fault = take(channel, memory, &descriptor, packet);
	if (fault != NULL && !channel->class->takes_malformed) {
		return broken(channel, fault);
	}
	if (fault != NULL) {
		*packet =
			(struct vmbus_packet){.type = descriptor.type,
					      .completion_requested = wants_completion(&descriptor),
					      .malformed = true,
					      .transaction = descriptor.trans_id,
					      .payload = memory};
	}
	reader_skip(reader, bytes);
	if (reader_hidden(reader) > reader->half.size / 8) {
		show_read(channel);
	}
	return 1;
}

int channel_receive(struct vmbus_channel *channel, struct vmbus_packet *packet)
{
	return channel_receive_into(channel, channel->packet, packet);
}

int packet_range(const struct vmbus_packet *packet, uint32_t index, struct vmbus_range *range)
{
	const struct gpa_range *from = packet->ranges;
	uint64_t count;
	uint32_t i;

	if (packet->ranges == NULL || index >= packet->range_count) {
		return -EINVAL;
	}
	for (i = 0; i < index; i++) {
		from = (const void *)((const uint8_t *)from + range_bytes(from));
	}
	count = (range_bytes(from) - sizeof(*from)) / sizeof(from->pfn_array[0]);
	if (count > range->page_max) {
		return -E2BIG;
	}
	range->offset = from->byte_offset;
	range->bytes = from->byte_count;
	memcpy(range->pages, from->pfn_array, count * sizeof(from->pfn_array[0]));
	return 0;
}

int channel_acquire_range(const struct vmbus_channel *channel, const struct vmbus_range *range,
			  struct iovec *iov, unsigned int max)
{
	return range->bytes == 0 ? 0
				 : vmbus_host_acquire(channel->bus->host, range->pages,
						      range->offset, range->bytes, iov, max);
}

void channel_complete_range(const struct vmbus_channel *channel, const struct vmbus_range *range,
			    uint32_t written)
{
	if (range->bytes != 0) {
		vmbus_host_complete(channel->bus->host, range->pages, range->offset, range->bytes,
				    written);
	}
}

/* ---- sending ---- */

static uint64_t total(const struct iovec *payload, unsigned int count)
{
	uint64_t bytes = 0;
	unsigned int i;

	for (i = 0; i < count; i++) {
		bytes += payload[i].iov_len;
	}
	return bytes;
}

/* 1 if there is room; else what the send returns. Asks first, then looks once more. */
static int make_room(struct vmbus_channel *channel, uint32_t bytes)
{
	int ret = writer_fits(&channel->writer, bytes);

	if (ret == 0) {
		channel_flush(channel);
		want_room(channel, bytes);
		ret = writer_fits(&channel->writer, bytes);
	}
	if (ret < 0) {
		return broken(channel, "its ring has a wrong index");
	}
	if (ret == 0) {
		return -EAGAIN;
	}
	want_room(channel, 0);
	return 1;
}

/* `prefix` is the descriptor and what its type adds; its lengths are filled in here. */
static int send(struct vmbus_channel *channel, struct vmpacket_descriptor *prefix,
		const struct vmtransfer_page_range *ranges, uint32_t range_bytes_,
		const struct iovec *payload, unsigned int count)
{
	uint32_t prefix_bytes = prefix->offset8 * 8u - range_bytes_;
	uint64_t bytes = prefix->offset8 * 8u + ((total(payload, count) + 7) & ~7ull);
	uint32_t at = prefix_bytes;
	unsigned int i;
	int ret;

	if (is_shut(channel)) {
		return -ESHUTDOWN;
	}
	if (bytes / 8 > UINT16_MAX ||
	    !writer_could_ever_fit(&channel->writer, bytes + RING_TRAILER_BYTES)) {
		return -EMSGSIZE;
	}
	ret = make_room(channel, (uint32_t)bytes + RING_TRAILER_BYTES);
	if (ret != 1) {
		return ret;
	}
	prefix->len8 = (uint16_t)(bytes / 8);
	writer_copy(&channel->writer, 0, prefix, prefix_bytes);
	writer_copy(&channel->writer, at, ranges, range_bytes_);
	at += range_bytes_;
	for (i = 0; i < count; i++) {
		writer_copy(&channel->writer, at, payload[i].iov_base,
			    (uint32_t)payload[i].iov_len);
		at += (uint32_t)payload[i].iov_len;
	}
	writer_copy(&channel->writer, at, NULL, (uint32_t)bytes - at);
	writer_end(&channel->writer, (uint32_t)bytes);
	return 0;
}

static struct vmpacket_descriptor describe(uint16_t type, uint64_t transaction, bool request)
{
	return (struct vmpacket_descriptor){
		.type = type,
		.offset8 = sizeof(struct vmpacket_descriptor) / 8,
		.flags = request ? VMBUS_DATA_PACKET_FLAG_COMPLETION_REQUESTED : 0,
		.trans_id = transaction,
	};
}

int channel_send(struct vmbus_channel *channel, uint64_t transaction, bool completion_requested,
		 const struct iovec *payload, unsigned int count)
{
	struct vmpacket_descriptor descriptor =
		describe(VM_PKT_DATA_INBAND, transaction, completion_requested);

	return send(channel, &descriptor, NULL, 0, payload, count);
}

int channel_complete(struct vmbus_channel *channel, uint64_t transaction,
		     const struct iovec *payload, unsigned int count)
{
	struct vmpacket_descriptor descriptor = describe(VM_PKT_COMP, transaction, false);

	return send(channel, &descriptor, NULL, 0, payload, count);
}

int channel_send_pages(struct vmbus_channel *channel, uint64_t transaction,
		       bool completion_requested, uint16_t page_set,
		       const struct vmtransfer_page_range *ranges, uint32_t range_count,
		       const struct iovec *payload, unsigned int count)
{
	struct {
		struct vmpacket_descriptor descriptor;
		struct vmtransfer_page_header pages;
	} prefix = {
		.descriptor =
			describe(VM_PKT_DATA_USING_XFER_PAGES, transaction, completion_requested),
		.pages = {.xfer_pageset_id = page_set, .range_cnt = range_count},
	};

	if (range_count > MAX_RANGES) {
		return -EMSGSIZE;
	}
	prefix.descriptor.offset8 = (uint16_t)(sizeof(prefix) / 8 + range_count);
	return send(channel, &prefix.descriptor, ranges, range_count * (uint32_t)sizeof(*ranges),
		    payload, count);
}

void channel_flush(struct vmbus_channel *channel)
{
	uint32_t from = channel->writer.shown, to = channel->writer.write;

	if (from == to) {
		return;
	}
	if (writer_show(&channel->writer)) {
		signal_guest(channel);
	}
	wrote_data(channel, from, to);
	wrote_control(channel, writer_half(channel));
}

bool channel_unread(const struct vmbus_channel *channel)
{
	return writer_unread(&channel->writer);
}
