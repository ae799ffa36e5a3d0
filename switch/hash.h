/*
 * The hash by which an adapter of several queues spreads what it hears: Toeplitz, of a frame's
 * addresses and of the ports of TCP, by a key of the guest's (NDIS' receive side scaling).
 */
#ifndef SWITCH_HASH_H
#define SWITCH_HASH_H

#include <stdint.h>

#include "include/switch/port.h"
#include "switch/frame.h"

/* Two IPv6 addresses and two ports, four bits at a time. */
#define HASH_INPUT_BYTES 36u

struct hash_table {
	uint32_t of[2 * HASH_INPUT_BYTES][16];
};

void hash_set_key(struct hash_table *table, const uint8_t key[PORT_HASH_KEY]);
/* `types` are enum port_hash. 0: it is of none of them. */
uint32_t hash_frame(const struct hash_table *table, uint32_t types,
		    const struct frame_headers *headers);

#endif
