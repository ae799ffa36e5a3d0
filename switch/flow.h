/* What stateful rules let pass, so that the answers pass as well. One table a port, bounded. */
#ifndef SWITCH_FLOW_H
#define SWITCH_FLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "switch/frame.h"

#define FLOW_COUNT 1024u
#define FLOW_WAYS  4u

struct flow {
	uint8_t local[16], remote[16];
	uint16_t local_port, remote_port;
	uint8_t family; /* 0: nothing */
	uint8_t protocol;
	uint16_t idle_s;
	uint32_t until_s;
};

struct flows {
	struct flow buckets[FLOW_COUNT / FLOW_WAYS][FLOW_WAYS];
};

/*
 * The frame belongs to a flow, which lives on by it. `out`: the port has sent it, so its source is
 * the local end. Frames of no IP, or of an unknown kind, belong to none.
 */
bool flow_follow(struct flows *flows, const struct frame_headers *headers, bool out,
		 uint32_t now_s);
/*
 * The frame begins a flow. In a full bucket the one goes that would end first. Of a fragmented
 * frame the later pieces, which have no ports, belong to it as well.
 */
void flow_begin(struct flows *flows, const struct frame_headers *headers, bool out, uint32_t now_s,
		uint16_t idle_s);

#endif
