/*
 * The NBD server's parts: one client, its handshake. Protocol: the NBD specification (doc/proto.md
 * of the NBD project), fixed newstyle negotiation, structured replies, the context base:allocation.
 * Everything a client sends is checked.
 */
#ifndef DISK_NBD_H
#define DISK_NBD_H

#include "disk/disk.h"
#include "lib/be.h"

#define NBD_SLOTS       32u
#define NBD_PAYLOAD_MAX (32u << 20)
#define NBD_MEMORY_MAX  (256u << 20) /* buffers of all clients, but for one request of each */
#define NBD_OPTION_MAX  4096u
#define NBD_INPUT       65536u
#define NBD_REPLY_HEAD  32u
#define NBD_STATUS_MAX  512u /* extents in one answer */

enum nbd_phase {
	NBD_CLIENT_FLAGS,
	NBD_OPTION,
	NBD_OPTION_DATA,
	NBD_REQUEST,
	NBD_PAYLOAD,
	NBD_CLOSING
};

struct nbd_client;

struct nbd_slot { /* a request on its way through the disk, then its reply on its way out */
	struct disk_req req;
	struct iovec iov;
	struct nbd_slot *next;
	struct nbd_client *client;
	uint64_t cookie;
	uint16_t type;
	uint8_t head[NBD_REPLY_HEAD];
	uint32_t head_length;
	uint32_t data_length, sent; /* of the reply */
	uint8_t *buffer;
	uint32_t capacity;
};

struct nbd_client {
	struct nbd_client *next;
	const struct disk_nbd *how;
	struct disk *disk;
	struct disk_queue *queue;
	int fd;
	enum nbd_phase phase;
	bool no_zeroes, structured, allocation;
	bool waiting;     /* its next request has to wait for memory */
	uint64_t *memory; /* of all clients of the server: bytes in slots' buffers */
	uint32_t option, option_length;
	uint32_t input_start, input_end;
	struct nbd_slot *free, *receiving;
	uint32_t received;
	struct nbd_slot *out_first, **out_last;
	unsigned busy;  /* slots not free */
	uint8_t *early; /* handshake replies not yet sent */
	uint32_t early_length, early_sent, early_capacity;
	uint8_t input[NBD_INPUT];
	struct nbd_slot slots[NBD_SLOTS];
};

/*
 * nbd_handshake.c: 0, or negative: the client is dropped. data points to what the phase asked for.
 */
int nbd_greet(struct nbd_client *client);
int nbd_take_flags(struct nbd_client *client, const uint8_t *data);
int nbd_take_option(struct nbd_client *client, const uint8_t *data);
int nbd_take_option_data(struct nbd_client *client, const uint8_t *data);

/*
 * nbd_request.c: as above, and -EAGAIN: not now, the clients' buffers are too large together; the
 * same again when some are free. A client with nothing under way is never told so, and so each gets
 * on. A write takes its payload to slot->buffer of client->receiving, then nbd_payload_complete().
 */
int nbd_take_request(struct nbd_client *client, const uint8_t *data);
void nbd_payload_complete(struct nbd_client *client);
/* A slot whose reply has gone, or whose client has. */
void nbd_release(struct nbd_slot *slot);
void nbd_free_buffer(struct nbd_slot *slot);

#endif
