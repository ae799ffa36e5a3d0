/* NBD: the transmission phase: requests on their way to the disk, and their replies. */
#include "disk/nbd.h"

#include "disk/disk.h"
#include "disk/units.h"
#include "lib/check.h"

#include <errno.h>
#include <stdlib.h>

#define REQUEST_MAGIC    0x25609513u
#define SIMPLE_MAGIC     0x67446698u
#define STRUCTURED_MAGIC 0x668e33efu

enum {
	CMD_READ,
	CMD_WRITE,
	CMD_DISC,
	CMD_FLUSH,
	CMD_TRIM,
	CMD_CACHE,
	CMD_WRITE_ZEROES,
	CMD_BLOCK_STATUS
};
enum {
	CMD_FLAG_FUA = 1,
	CMD_FLAG_NO_HOLE = 2,
	CMD_FLAG_DF = 4,
	CMD_FLAG_REQ_ONE = 8,
	CMD_FLAG_FAST = 16
};
enum { CHUNK_NONE = 0, CHUNK_DATA = 1, CHUNK_STATUS = 5, CHUNK_ERROR = 32769, CHUNK_DONE = 1 };
enum { STATE_HOLE = 1, STATE_ZERO = 2 };

/* -- Replies -- */

static uint32_t error_number(int r)
{
	switch (-r) { /* the numbers of the protocol, which are Linux's */
	case EPERM:
	case EROFS:
		return 1;
	case ENOMEM:
		return 12;
	case EINVAL:
	case ERANGE:
		return 22;
	case ENOSPC:
		return 28;
	case EOVERFLOW:
		return 75;
	case EOPNOTSUPP:
		return 95;
	default:
		return 5;
	}
}

static void chunk_head(struct nbd_slot *slot, uint16_t type, uint32_t length)
{
	put_be32(slot->head, STRUCTURED_MAGIC);
	put_be16(slot->head + 4, CHUNK_DONE);
	put_be16(slot->head + 6, type);
	put_be64(slot->head + 8, slot->cookie);
	put_be32(slot->head + 16, length);
	slot->head_length = 20;
}

static void make_reply(struct nbd_slot *slot, int result)
{
	uint32_t data = !result && (slot->type == CMD_READ || slot->type == CMD_BLOCK_STATUS)
				? slot->data_length
				: 0;

	slot->data_length = data;
	slot->sent = 0;
	if (!slot->client->structured) {
		put_be32(slot->head, SIMPLE_MAGIC);
		put_be32(slot->head + 4, result ? error_number(result) : 0);
		put_be64(slot->head + 8, slot->cookie);
		slot->head_length = 16;
	} else if (result) {
		chunk_head(slot, CHUNK_ERROR, 6);
		put_be32(slot->head + 20, error_number(result));
		put_be16(slot->head + 24, 0);
		slot->head_length += 6;
	} else if (slot->type == CMD_READ) {
		chunk_head(slot, CHUNK_DATA, 8 + data);
		put_be64(slot->head + 20, slot->req.offset);
		slot->head_length += 8;
	} else if (slot->type == CMD_BLOCK_STATUS) {
		chunk_head(slot, CHUNK_STATUS, 4 + data);
		put_be32(slot->head + 20, 1);
		slot->head_length += 4;
	} else {
		chunk_head(slot, CHUNK_NONE, 0);
	}
}

void nbd_free_buffer(struct nbd_slot *slot)
{
	free(slot->buffer);
	*slot->client->memory -= slot->capacity;
	slot->buffer = NULL;
	slot->capacity = 0;
}

void nbd_release(struct nbd_slot *slot)
{
	struct nbd_client *client = slot->client;

	/* Rare big ones are not kept, and none that others may want. */
	if (slot->capacity > DISK_MIB || *client->memory > NBD_MEMORY_MAX / 2) {
		nbd_free_buffer(slot);
	}
	slot->next = client->free;
	client->free = slot;
	client->busy--;
}

static void queue_reply(struct nbd_slot *slot, int result)
{
	struct nbd_client *client = slot->client;

	if (client->fd < 0) {
		nbd_release(slot);
		return;
	}
	make_reply(slot, result);
	slot->next = NULL;
	*client->out_last = slot;
	client->out_last = &slot->next;
}

/* -- Requests -- */

static void request_done(struct disk_req *req)
{
	struct nbd_slot *slot = req->user;

	queue_reply(slot, req->result);
}

static int need_buffer(struct nbd_slot *slot, uint32_t length)
{
	if (length > slot->capacity) {
		uint32_t capacity = (uint32_t)round_up(length, 4096);

		nbd_free_buffer(slot);
		slot->buffer = aligned_alloc(4096, capacity);
		if (slot->buffer == NULL) {
			return -ENOMEM;
		}
		slot->capacity = capacity;
		*slot->client->memory += capacity;
	}
	return 0;
}

/* The lists that other requests have in a buffer are small. */
static bool must_wait(const struct nbd_slot *slot, uint16_t type, uint32_t length)
{
	const struct nbd_client *client = slot->client;

	return (type == CMD_READ || type == CMD_WRITE) && length > slot->capacity &&
	       length <= NBD_PAYLOAD_MAX && client->busy &&
	       *client->memory - slot->capacity + round_up(length, 4096) > NBD_MEMORY_MAX;
}

static void submit(struct nbd_slot *slot, enum disk_op op, const struct iovec *iov, unsigned count)
{
	slot->req.op = op;
	slot->req.iov = iov;
	slot->req.iov_count = count;
	slot->req.done = request_done;
	slot->req.user = slot;
	disk_submit(slot->client->queue, slot->client->disk, &slot->req);
}

/* Zeros without a hole are written: all of it from one stretch of zeros. */
static int submit_zeros(struct nbd_slot *slot)
{
	static const uint8_t zeros[DISK_MIB] IN_BSS;
	uint64_t left = slot->req.length;
	uint32_t count = (uint32_t)((left + DISK_MIB - 1) / DISK_MIB), i;
	int ret = need_buffer(slot, count * (uint32_t)sizeof(struct iovec));
	struct iovec *iov = (struct iovec *)slot->buffer;

	if (ret) {
		return ret;
	}
	for (i = 0; i < count; i++) {
		iov[i] = (struct iovec){(void *)zeros, min_u64(left, DISK_MIB)};
		left -= iov[i].iov_len;
	}
	submit(slot, DISK_OP_WRITE, iov, count);
	return 0;
}

static int find_status(struct nbd_slot *slot, bool one)
{
	uint64_t at = slot->req.offset, end = at + slot->req.length;
	uint32_t count = 0;
	int ret = need_buffer(slot, NBD_STATUS_MAX * 8);

	if (ret || at >= end || end > disk_size(slot->client->disk)) {
		return ret ? ret : -EINVAL;
	}
	while (at < end && count < (one ? 1 : NBD_STATUS_MAX)) {
		enum disk_status status;
		uint64_t run;

		ret = disk_status(slot->client->disk, at, end - at, &status, &run);
		if (ret) {
			return ret;
		}
		put_be32(slot->buffer + 8 * count, (uint32_t)run);
		put_be32(slot->buffer + 8 * count + 4,
			 status == DISK_STATUS_ZERO ? STATE_HOLE | STATE_ZERO : 0);
		count++;
		at += run;
	}
	slot->data_length = 8 * count;
	return 0;
}

static void start_request(struct nbd_slot *slot, uint16_t flags)
{
	int ret;

	switch (slot->type) {
	case CMD_READ:
		ret = slot->req.length > NBD_PAYLOAD_MAX
			      ? -EINVAL
			      : need_buffer(slot, (uint32_t)slot->req.length);
		if (ret) {
			queue_reply(slot, ret);
			return;
		}
		slot->data_length = (uint32_t)slot->req.length;
		slot->iov = (struct iovec){slot->buffer, slot->req.length};
		submit(slot, DISK_OP_READ, &slot->iov, 1);
		return;
	case CMD_FLUSH:
		submit(slot, DISK_OP_FLUSH, NULL, 0);
		return;
	case CMD_TRIM:
		submit(slot, DISK_OP_TRIM, NULL, 0);
		return;
	case CMD_WRITE_ZEROES:
		if (flags &
		    CMD_FLAG_FAST) { /* whether it is faster than writing cannot be said beforehand */
			queue_reply(slot, -EOPNOTSUPP);
			return;
		}
		if (flags & CMD_FLAG_NO_HOLE) {
			ret = submit_zeros(slot);
			if (ret) {
				queue_reply(slot, ret);
			}
			return;
		}
		submit(slot, DISK_OP_TRIM, NULL, 0);
		return;
	case CMD_BLOCK_STATUS:
		ret = slot->client->allocation ? find_status(slot, flags & CMD_FLAG_REQ_ONE)
					       : -EINVAL;
		queue_reply(slot, ret);
		return;
	default:
		queue_reply(slot, -EINVAL);
		return;
	}
}

int nbd_take_request(struct nbd_client *client, const uint8_t *data)
{
	struct nbd_slot *slot = client->free;
	uint16_t flags = get_be16(data + 4), type = get_be16(data + 6);
	uint32_t length = get_be32(data + 24);

	if (get_be32(data) != REQUEST_MAGIC) {
		return -EPROTO;
	}
	if (type == CMD_DISC) {
		client->phase = NBD_CLOSING;
		return 0;
	}
	if (type == CMD_WRITE && length > NBD_PAYLOAD_MAX) {
		return -EMSGSIZE; /* the payload that follows cannot be skipped for sure */
	}
	if (must_wait(slot, type, length)) {
		return -EAGAIN;
	}
	client->free = slot->next;
	client->busy++;
	slot->cookie = get_be64(data + 8);
	slot->type = type;
	slot->data_length = 0;
	slot->req = (struct disk_req){.offset = get_be64(data + 16),
				      .length = length,
				      .flags = flags & CMD_FLAG_FUA ? DISK_FUA : 0};
	if (type != CMD_WRITE) {
		start_request(slot, flags);
		return 0;
	}
	client->receiving = slot;
	client->received = 0;
	client->phase = NBD_PAYLOAD;
	return need_buffer(slot, length);
}

void nbd_payload_complete(struct nbd_client *client)
{
	struct nbd_slot *slot = client->receiving;

	client->receiving = NULL;
	client->phase = NBD_REQUEST;
	slot->iov = (struct iovec){slot->buffer, slot->req.length};
	submit(slot, DISK_OP_WRITE, &slot->iov, 1);
}
