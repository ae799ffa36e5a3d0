/* How many IP addresses a port uses: those of its frames' sources, learned as they come. One table
 * a port, bounded. */
#ifndef SWITCH_ADDRESSES_H
#define SWITCH_ADDRESSES_H

#include <stdbool.h>
#include <stdint.h>

#include "switch/frame.h"

#define ADDRESSES_MAX   64u /* the largest limit */
#define ADDRESSES_AGE_S 300u

struct addresses {
	uint32_t count;
	struct {
		uint8_t ip[16]; /* IPv4: the first four */
		uint8_t family;
		uint32_t until_s;
	} entries[ADDRESSES_MAX];
};

/*
 * May the port, which may use `limit` addresses (0: any number), send the frame? A new one takes a
 * place that is free, or that of one that was not used for ADDRESSES_AGE_S. The unspecified address
 * and those of IPv6 for the link alone take none. Frames whose headers are not known may not pass.
 */
bool addresses_allow(struct addresses *addresses, uint32_t limit, const struct frame *frame,
		     uint32_t now_s);

#endif
