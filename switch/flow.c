/* See flow.h. */
#include "switch/flow.h"

#include <stddef.h>
#include <string.h>

static bool make(struct flow *flow, const struct frame_headers *headers, bool out)
{
	uint32_t bytes = headers->family == 4 ? 4 : 16;

	if (headers->family == 0 || headers->unknown) {
		return false;
	}
	*flow = (struct flow){.family = headers->family, .protocol = headers->protocol};
	memcpy(flow->local, out ? headers->source : headers->destination, bytes);
	memcpy(flow->remote, out ? headers->destination : headers->source, bytes);
	flow->local_port = out ? headers->source_port : headers->destination_port;
	flow->remote_port = out ? headers->destination_port : headers->source_port;
	return true;
}

static struct flow *bucket_of(struct flows *flows, const struct flow *flow)
{
	uint64_t words[4], hash;

	memcpy(words, flow->local, 16);
	memcpy(words + 2, flow->remote, 16);
	hash = (words[0] ^ words[2]) * 0x9e3779b97f4a7c15ull;
	hash = (hash ^ words[1] ^ words[3] ^ (uint64_t)flow->local_port << 24 ^ flow->remote_port) *
	       0x9e3779b97f4a7c15ull;
	return flows->buckets[(hash >> 32) % (FLOW_COUNT / FLOW_WAYS)];
}

static bool same(const struct flow *a, const struct flow *b)
{
	return a->family == b->family && a->protocol == b->protocol &&
	       a->local_port == b->local_port && a->remote_port == b->remote_port &&
	       memcmp(a->local, b->local, sizeof(a->local)) == 0 &&
	       memcmp(a->remote, b->remote, sizeof(a->remote)) == 0;
}

static struct flow *find(struct flows *flows, const struct flow *flow, uint32_t now_s)
{
	struct flow *bucket = bucket_of(flows, flow);

	for (uint32_t i = 0; i < FLOW_WAYS; i++) {
		if (same(&bucket[i], flow)) {
			return (int32_t)(bucket[i].until_s - now_s) >= 0 ? &bucket[i] : NULL;
		}
	}
	return NULL;
}

static void insert(struct flows *flows, struct flow *flow, uint32_t now_s, uint16_t idle_s)
{
	struct flow *bucket = bucket_of(flows, flow), *room = &bucket[0];

	for (uint32_t i = 0; i < FLOW_WAYS; i++) {
		if (bucket[i].family == 0 || same(&bucket[i], flow)) {
			room = &bucket[i];
			break;
		}
		if ((int32_t)(bucket[i].until_s - room->until_s) < 0) {
			room = &bucket[i];
		}
	}
	flow->idle_s = idle_s;
	flow->until_s = now_s + idle_s;
	*room = *flow;
}

/* The pieces of a frame that has more to come carry no ports. */
static void insert_pieces(struct flows *flows, const struct frame_headers *headers,
			  const struct flow *flow, uint32_t now_s, uint16_t idle_s)
{
	struct flow pieces = *flow;

	if (headers->fragment && !headers->later) {
		pieces.local_port = pieces.remote_port = 0;
		insert(flows, &pieces, now_s, idle_s);
	}
}

bool flow_follow(struct flows *flows, const struct frame_headers *headers, bool out, uint32_t now_s)
{
	struct flow flow, *found = NULL;

	if (make(&flow, headers, out)) {
		found = find(flows, &flow, now_s);
	}
	if (found == NULL) {
		return false;
	}
	found->until_s = now_s + found->idle_s;
	insert_pieces(flows, headers, &flow, now_s, found->idle_s);
	return true;
}

void flow_begin(struct flows *flows, const struct frame_headers *headers, bool out, uint32_t now_s,
		uint16_t idle_s)
{
	struct flow flow;

	if (make(&flow, headers, out)) {
		insert(flows, &flow, now_s, idle_s);
		insert_pieces(flows, headers, &flow, now_s, idle_s);
	}
}
