/*
 * A synthetic network adapter, offered to a guest over VMBus, on a port of the virtual switch.
 *
 * Values: 0 or a negative errno.
 *
 * Threads: the calls below come from the worker's own threads, any of them. Each open channel has a thread of
 * this library.
 *
 * Ownership: the port stays the caller's, and stays as it is until `ended` was called.
 */
#ifndef VSP_NETWORK_NETWORK_H
#define VSP_NETWORK_NETWORK_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/check.h"

struct netport;
struct network;
struct vmbus;

struct network_config {
	uint8_t instance[16];     /* the adapter's GUID, in wire order, the same in every run */
	const char *name;         /* what the guest may call it; ASCII, at most 255 letters */
	unsigned int queue_count; /* channels at most, no more than the port has queues; 0: one */
	/* In the guest: the size of a section of the send buffer; 0: 6,144. A guest sends by reference what is larger. */
	uint32_t section_bytes;
	/* The adapter is gone, with all of its threads: the port is the caller's alone. May be NULL. [T] */
	void (*ended)(void *context);
	void *context;
};

/* The adapter is offered at once. -EINVAL for a bad configuration, or what vmbus_offer() says. */
int network_create(struct vmbus *bus, const struct network_config *config,
		   const struct netport *port, struct network **network) MUST_CHECK;
/* Rescinds it. What is left of it goes when the bus has released its channels. Before vmbus_destroy(). */
void network_destroy(struct network **network);

/* The switch is gone: from here on the adapter's link is down. */
void network_lost(struct network *network);

/* Why something of the guest's was refused. */
enum network_refusal {
	NETWORK_BAD_NVSP,       /* a message that is malformed or not in its turn */
	NETWORK_BAD_RNDIS,      /* likewise; lengths that do not fit */
	NETWORK_BAD_PPI,        /* a checksum or segmentation that its frame does not have */
	NETWORK_BAD_MEMORY,     /* a section, range or page that is not there */
	NETWORK_BAD_FRAME,      /* too short, too long, or in too many pieces */
	NETWORK_NOT_RUNNING,    /* a frame before the handshake, or after its end */
	NETWORK_BAD_COMPLETION, /* of something that it was not given */
	NETWORK_NO_PIECE,       /* a control message while too many replies are not completed */
	NETWORK_LOST,           /* a frame while there is no switch */
	NETWORK_REFUSALS,
};

struct network_stats {
	uint64_t frames_out, bytes_out; /* of the guest */
	uint64_t frames_in, bytes_in;   /* to it */
	uint64_t refused[NETWORK_REFUSALS];
	unsigned int channels_open;
};
void network_get_stats(struct network *network, struct network_stats *stats);

#endif
