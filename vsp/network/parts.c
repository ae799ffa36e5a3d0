/*
 * Where a message of RNDIS from the guest lies: the used bytes of a section of the send buffer,
 * then the ranges of the packet, in order.
 */
#include "vsp/network/netvsp.h"

#include <errno.h>
#include <string.h>

static bool add_section(struct net_queue *queue, uint32_t section, uint32_t bytes)
{
	const struct net_buffer *buffer = &queue->network->send;
	struct net_parts *parts = &queue->parts;
	int count;

	if (buffer->gpadl == NULL || section >= buffer->piece_count ||
	    bytes > buffer->piece_bytes) {
		return false;
	}
	count = gpadl_range(buffer->gpadl, section * buffer->piece_bytes, bytes, parts->iov,
			    SEND_PARTS);
	if (count < 0) {
		return false;
	}
	parts->count = (unsigned int)count;
	parts->left = bytes;
	return true;
}

static bool add_range(struct net_queue *queue, const struct vmbus_packet *packet, uint32_t index,
		      struct net_send *send, uint32_t *page_count)
{
	struct net_parts *parts = &queue->parts;
	struct vmbus_range *range = &send->ranges[send->range_count];
	int count;

	*range = (struct vmbus_range){.page_max = SEND_PAGES - *page_count,
				      .pages = send->pages + *page_count};
	if (packet_range(packet, index, range) != 0) {
		return false;
	}
	count = channel_acquire_range(queue->vsp.channel, range, parts->iov + parts->count,
				      SEND_PARTS - parts->count);
	if (count < 0) {
		return false;
	}
	if (range->bytes == 0) {
		return true;
	}
	*page_count += (range->offset + range->bytes + VMBUS_PAGE_SIZE - 1) / VMBUS_PAGE_SIZE;
	send->range_count++;
	parts->count += (unsigned int)count;
	parts->left += range->bytes;
	return true;
}

bool parts_find(struct net_queue *queue, const struct vmbus_packet *packet,
		const struct nvsp_message *message, struct net_send *send)
{
	struct net_parts *parts = &queue->parts;
	uint32_t page_count = 0, i;

	parts->count = parts->at = 0;
	parts->offset = 0;
	parts->left = 0;
	if (message->rndis.section != NVSP_NO_SECTION &&
	    !add_section(queue, message->rndis.section, message->rndis.bytes)) {
		return false;
	}
	if (packet->type != VM_PKT_DATA_USING_GPA_DIRECT) {
		return true;
	}
	for (i = 0; i < packet->range_count; i++) {
		if (send->range_count == SEND_RANGES ||
		    !add_range(queue, packet, i, send, &page_count)) {
			parts_release(queue, send);
			return false;
		}
	}
	return true;
}

void parts_release(struct net_queue *queue, struct net_send *send)
{
	while (send->range_count > 0) {
		channel_complete_range(queue->vsp.channel, &send->ranges[--send->range_count], 0);
	}
}

/* Of iov[at], what is left of it but at most `bytes`; then goes on behind it. */
struct iovec parts_next(struct net_parts *parts, size_t bytes)
{
	struct iovec piece;

	while (parts->offset == parts->iov[parts->at].iov_len) {
		parts->at++;
		parts->offset = 0;
	}
	piece.iov_base = (uint8_t *)parts->iov[parts->at].iov_base + parts->offset;
	piece.iov_len = parts->iov[parts->at].iov_len - parts->offset;
	if (piece.iov_len > bytes) {
		piece.iov_len = bytes;
	}
	parts->offset += piece.iov_len;
	parts->left -= piece.iov_len;
	return piece;
}

bool parts_copy(struct net_parts *parts, void *to, size_t bytes)
{
	uint8_t *at = to;

	if (bytes > parts->left) {
		return false;
	}
	while (bytes > 0) {
		struct iovec piece = parts_next(parts, bytes);

		memcpy(at, piece.iov_base, piece.iov_len);
		at += piece.iov_len;
		bytes -= piece.iov_len;
	}
	/* What was copied is read from the copy from here on, whatever the compiler could see. */
	__asm__ volatile("" ::: "memory");
	return true;
}

bool parts_skip(struct net_parts *parts, size_t bytes)
{
	if (bytes > parts->left) {
		return false;
	}
	while (bytes > 0) {
		bytes -= parts_next(parts, bytes).iov_len;
	}
	return true;
}
