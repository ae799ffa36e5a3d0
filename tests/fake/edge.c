/* See edge.h. */
#include "tests/fake/edge.h"

#include <stdlib.h>
#include <string.h>

static void drop_first(struct fake_edge *edge, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		free(edge->sent[i].bytes);
	}
	edge->sent_count -= count;
	memmove(edge->sent, edge->sent + count, edge->sent_count * sizeof(edge->sent[0]));
}

static uint32_t take(void *of, struct frame *frames, uint32_t max, uint64_t bytes)
{
	struct fake_edge *edge = of;
	uint64_t total = 0;
	uint32_t i;

	for (i = 0; i < edge->sent_count && i < max && total < bytes; i++) {
		const struct fake_frame *sent = &edge->sent[i];
		uint32_t piece = edge->piece_bytes != 0 ? edge->piece_bytes : FAKE_BYTES;
		struct iovec iov[PORT_PIECES_MAX];
		uint32_t count = 0, at = 0;

		while (at < sent->length && count < PORT_PIECES_MAX) {
			bool last = count == PORT_PIECES_MAX - 1;
			uint32_t part = sent->length - at;

			part = part > piece && !last ? piece : part;
			iov[count++] =
				(struct iovec){.iov_base = sent->bytes + at, .iov_len = part};
			at += part;
		}
		frame_init(&frames[i], iov, count);
		frames[i].offload = sent->offload;
		frames[i].tagged = sent->tagged;
		frames[i].tag = sent->tag;
		total += sent->length;
	}
	edge->taken = i;
	return i;
}

static void release(void *of, uint32_t count)
{
	struct fake_edge *edge = of;

	CHECK(count <= edge->taken);
	drop_first(edge, count);
	edge->taken = 0;
}

static enum drop give(void *of, const struct frame *frame)
{
	struct fake_edge *edge = of;
	struct fake_frame *to = &edge->received[edge->received_count];

	if (edge->received_count == FAKE_FRAMES || edge->room == 0) {
		return DROP_NO_ROOM;
	}
	edge->room--;
	edge->port->full = edge->room == 0;
	edge->received_count++;
	*to = (struct fake_frame){
		.bytes = malloc(frame->bytes),
		.length = frame->bytes,
		.offload = frame->offload,
		.tagged = frame->tagged,
		.tag = frame->tag,
	};
	frame_copy(frame, 0, frame->bytes, to->bytes);
	return DROP_NONE;
}

static void flush(void *of)
{
	((struct fake_edge *)of)->flushes++;
}

const struct edge fake_edge = {"fake", false, take, release, give, flush, false};
const struct edge fake_kernel_edge = {"fake kernel", true, take, release, give, flush, true};

void fake_attach(struct fake_edge *edge, struct vswitch *net, const char *name)
{
	memset(edge, 0, sizeof(*edge));
	edge->room = UINT32_MAX;
	CHECK(vswitch_add_port(net, name, &fake_edge, edge, &edge->port) == 0);
}

void fake_detach(struct fake_edge *edge)
{
	fake_clear(edge);
	drop_first(edge, edge->sent_count);
	vswitch_remove_port(&edge->port);
}

struct fake_frame *fake_send(struct fake_edge *edge, const void *bytes, uint32_t length)
{
	struct fake_frame *frame = &edge->sent[edge->sent_count++];

	CHECK(edge->sent_count <= FAKE_FRAMES);
	*frame = (struct fake_frame){.bytes = malloc(length + 1), .length = length};
	memcpy(frame->bytes, bytes, length);
	return frame;
}

void fake_clear(struct fake_edge *edge)
{
	for (uint32_t i = 0; i < edge->received_count; i++) {
		free(edge->received[i].bytes);
	}
	edge->received_count = 0;
}
