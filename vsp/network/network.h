/*
 * A synthetic network adapter, offered to a guest over VMBus, on a port of the virtual switch.
 *
 * Values: 0 or a negative errno.
 *
 * Threads: the calls below come from the worker's own threads, any of them. Each open channel has a
 * thread of this library.
 *
 * Ownership: the port stays the caller's, and stays as it is until `ended` was called, or another
 * took its place.
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
	/* In the guest: the size of a section of the send buffer; 0: 6,144. A guest sends by
	 * reference what is larger. */
	uint32_t section_bytes;
	bool by_page; /* its guest signals by its monitor page (struct vmbus_offer) */
	/*
	 * After network_withdraw() or network_remove(): nothing of the adapter's uses the port any
	 * more, whether the guest has let go of its channels or not. Called inside of these or
	 * later, on any thread, once. May be NULL.
	 */
	void (*ended)(void *context);
	void *context;
};

/* The adapter is offered at once. -EINVAL for a bad configuration, or what vmbus_offer() says. */
int network_create(struct vmbus *bus, const struct network_config *config,
		   const struct netport *port, struct network **network) MUST_CHECK;
/* The guest sees the link go down, and hears no more frames. What it still sends goes on. */
void network_disconnect(struct network *network);
/*
 * Disconnected, and the guest is asked to let go of it. Until it has, what it has begun is brought
 * to its end, for guests wait for that; it hears no more frames. A switch that does not answer is
 * waited for until network_lost().
 */
void network_withdraw(struct network *network);
/* At once, whatever the guest does. */
void network_remove(struct network *network);
/* Removes it, if it is not yet. What is left of it goes when the bus has released its channels.
 * Before vmbus_destroy(). */
void network_destroy(struct network **network);

/*
 * The guest has a virtual function of a card that is to carry its frames, a function of virtual PCI
 * with this serial number, on whose driver the adapter's address is; 0: it has none any more, or is
 * about to lose it. The guest is told, if it wants such a thing; whether it uses it, stats say.
 */
void network_associate(struct network *network, uint32_t serial);

/* The switch is gone: from here on the adapter's link is down. */
void network_lost(struct network *network);
/*
 * Instead of the port that was lost, another one of the same size; the link is up again. Returns
 * when the old port is the caller's alone: a machine that is paused has to go on first. Not
 * together with those that remove it.
 *   -EISCONN  it is not lost
 *   -EINVAL   the port is of another size, or of another address
 */
int network_connect(struct network *network, const struct netport *port) MUST_CHECK;

struct state_reader;
struct state_writer;

/*
 * The part "network" of a saved state: what the guest has told the adapter, and what of its is not
 * answered. Frames on their way are not in it. vmbus_pause() is in force.
 */
void network_save(struct network *network, struct state_writer *writer);
/*
 * Reads it back into a new adapter of the same configuration, on a port of the same address,
 * paused; before vmbus_load(), which opens its channels. The guest is told that it may be on
 * another network.
 *   -EINVAL  the state is refused, as its fault says; nothing has changed
 *   other    what vmbus_offer() says; the adapter is as it was
 */
int network_load(struct network *network, struct state_reader *list) MUST_CHECK;

/* The beginning of the part: which adapter it is of, and which address its port had. Reads on in
 * `part`. */
void network_read_identity(struct state_reader *part, uint8_t instance[16], uint8_t mac[6]);

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
	bool elsewhere; /* frames go by the virtual function */
};
void network_get_stats(struct network *network, struct network_stats *stats);

#endif
