/* NBD: the transmission phase, and the loop that serves all clients of a socket on one thread. */
#include "disk/nbd.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define REQUEST_MAGIC	 0x25609513u
#define SIMPLE_MAGIC	 0x67446698u
#define STRUCTURED_MAGIC 0x668e33efu

enum { CMD_READ, CMD_WRITE, CMD_DISC, CMD_FLUSH, CMD_TRIM, CMD_CACHE, CMD_WRITE_ZEROES, CMD_BLOCK_STATUS };
enum { CMD_FLAG_FUA = 1, CMD_FLAG_NO_HOLE = 2, CMD_FLAG_DF = 4, CMD_FLAG_REQ_ONE = 8, CMD_FLAG_FAST = 16 };
enum { CHUNK_NONE = 0, CHUNK_DATA = 1, CHUNK_STATUS = 5, CHUNK_ERROR = 32769, CHUNK_DONE = 1 };
enum { STATE_HOLE = 1, STATE_ZERO = 2 };

struct server {
	struct disk *disk;
	struct disk_queue *queue;
	const struct disk_nbd *how;
	struct nbd_client *clients;
	unsigned client_count;
	int listener;
	bool had_client;
};

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
	uint32_t data = !result && (slot->type == CMD_READ || slot->type == CMD_BLOCK_STATUS) ? slot->data_length : 0;

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

static void release_slot(struct nbd_slot *slot)
{
	struct nbd_client *client = slot->client;

	if (slot->capacity > DISK_MIB) { /* rare big ones are not kept */
		free(slot->buffer);
		slot->buffer = NULL;
		slot->capacity = 0;
	}
	slot->next = client->free;
	client->free = slot;
	client->busy--;
}

static void queue_reply(struct nbd_slot *slot, int result)
{
	struct nbd_client *client = slot->client;

	if (client->fd < 0) {
		release_slot(slot);
		return;
	}
	make_reply(slot, result);
	slot->next = NULL;
	*client->out_last = slot;
	client->out_last = &slot->next;
}

static void drop_client(struct nbd_client *client)
{
	struct nbd_slot *slot;

	if (client->fd >= 0) {
		close(client->fd);
		client->fd = -1;
	}
	client->phase = NBD_CLOSING;
	while ((slot = client->out_first)) {
		client->out_first = slot->next;
		release_slot(slot);
	}
	client->out_last = &client->out_first;
	if (client->receiving) {
		release_slot(client->receiving);
		client->receiving = NULL;
	}
}

#define OUT_IOVS 64

static unsigned gather_output(struct nbd_client *client, struct iovec *iov)
{
	unsigned n = 0;
	struct nbd_slot *slot;

	if (client->early_sent < client->early_length) {
		iov[n++] = (struct iovec){client->early + client->early_sent,
					  client->early_length - client->early_sent};
	}
	for (slot = client->out_first; slot && n + 2 <= OUT_IOVS; slot = slot->next) {
		uint32_t skip = (uint32_t)min_u64(slot->sent, slot->head_length), data = slot->sent - skip;

		if (skip < slot->head_length) {
			iov[n++] = (struct iovec){slot->head + skip, slot->head_length - skip};
		}
		if (data < slot->data_length) {
			iov[n++] = (struct iovec){slot->buffer + data, slot->data_length - data};
		}
	}
	return n;
}

static void account_output(struct nbd_client *client, size_t sent)
{
	size_t early = min_u64(sent, client->early_length - client->early_sent);

	client->early_sent += (uint32_t)early;
	sent -= early;
	if (client->early_sent == client->early_length) {
		client->early_sent = client->early_length = 0;
	}
	while (client->out_first) {
		struct nbd_slot *slot = client->out_first;
		uint32_t n = (uint32_t)min_u64(sent, slot->head_length + slot->data_length - slot->sent);

		slot->sent += n;
		sent -= n;
		if (slot->sent < slot->head_length + slot->data_length) {
			return;
		}
		client->out_first = slot->next;
		if (!client->out_first) {
			client->out_last = &client->out_first;
		}
		release_slot(slot);
	}
}

static void send_output(struct nbd_client *client)
{
	while (client->fd >= 0) {
		struct iovec iov[OUT_IOVS];
		struct msghdr message = {.msg_iov = iov, .msg_iovlen = gather_output(client, iov)};
		ssize_t n;

		if (!message.msg_iovlen) {
			return;
		}
		n = sendmsg(client->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0) {
			if (errno != EAGAIN && errno != EINTR) {
				drop_client(client);
			}
			return;
		}
		account_output(client, (size_t)n);
	}
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

		free(slot->buffer);
		slot->capacity = 0;
		slot->buffer = aligned_alloc(4096, capacity);
		if (!slot->buffer) {
			return -ENOMEM;
		}
		slot->capacity = capacity;
	}
	return 0;
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
	static const uint8_t zeros[DISK_MIB];
	uint64_t left = slot->req.length;
	uint32_t count = (uint32_t)((left + DISK_MIB - 1) / DISK_MIB), i;
	int r = need_buffer(slot, count * (uint32_t)sizeof(struct iovec));
	struct iovec *iov = (struct iovec *)slot->buffer;

	if (r) {
		return r;
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
	int r = need_buffer(slot, NBD_STATUS_MAX * 8);

	if (r || at >= end || end > disk_size(slot->client->disk)) {
		return r ? r : -EINVAL;
	}
	while (at < end && count < (one ? 1 : NBD_STATUS_MAX)) {
		enum disk_status status;
		uint64_t run;

		r = disk_status(slot->client->disk, at, end - at, &status, &run);
		if (r) {
			return r;
		}
		put_be32(slot->buffer + 8 * count, (uint32_t)run);
		put_be32(slot->buffer + 8 * count + 4, status == DISK_STATUS_ZERO ? STATE_HOLE | STATE_ZERO : 0);
		count++;
		at += run;
	}
	slot->data_length = 8 * count;
	return 0;
}

static void start_request(struct nbd_slot *slot, uint16_t flags)
{
	int r;

	switch (slot->type) {
	case CMD_READ:
		r = slot->req.length > NBD_PAYLOAD_MAX ? -EINVAL : need_buffer(slot, (uint32_t)slot->req.length);
		if (r) {
			queue_reply(slot, r);
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
		if (flags & CMD_FLAG_FAST) { /* whether it is faster than writing cannot be said beforehand */
			queue_reply(slot, -EOPNOTSUPP);
			return;
		}
		if (flags & CMD_FLAG_NO_HOLE) {
			r = submit_zeros(slot);
			if (r) {
				queue_reply(slot, r);
			}
			return;
		}
		submit(slot, DISK_OP_TRIM, NULL, 0);
		return;
	case CMD_BLOCK_STATUS:
		r = slot->client->allocation ? find_status(slot, flags & CMD_FLAG_REQ_ONE) : -EINVAL;
		queue_reply(slot, r);
		return;
	default:
		queue_reply(slot, -EINVAL);
		return;
	}
}

static int take_request(struct nbd_client *client, const uint8_t *data)
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

static void payload_complete(struct nbd_client *client)
{
	struct nbd_slot *slot = client->receiving;

	client->receiving = NULL;
	client->phase = NBD_REQUEST;
	slot->iov = (struct iovec){slot->buffer, slot->req.length};
	submit(slot, DISK_OP_WRITE, &slot->iov, 1);
}

/* -- Input -- */

static uint32_t wanted(const struct nbd_client *client)
{
	switch (client->phase) {
	case NBD_CLIENT_FLAGS:
		return 4;
	case NBD_OPTION:
		return 16;
	case NBD_OPTION_DATA:
		return client->option_length;
	default:
		return 28;
	}
}

static int take_whole(struct nbd_client *client, const uint8_t *data)
{
	switch (client->phase) {
	case NBD_CLIENT_FLAGS:
		return nbd_take_flags(client, data);
	case NBD_OPTION:
		return nbd_take_option(client, data);
	case NBD_OPTION_DATA:
		return nbd_take_option_data(client, data);
	default:
		return take_request(client, data);
	}
}

static bool may_receive(const struct nbd_client *client)
{
	return client->fd >= 0 && client->phase != NBD_CLOSING &&
	       (client->free || client->phase != NBD_REQUEST);
}

/* What lies in the input buffer, as far as it is whole. */
static int take_input(struct nbd_client *client)
{
	while (may_receive(client)) {
		uint32_t have = client->input_end - client->input_start, n;
		const uint8_t *data = client->input + client->input_start;
		int r;

		if (client->phase == NBD_PAYLOAD) {
			n = (uint32_t)min_u64(have, client->receiving->req.length - client->received);
			memcpy(client->receiving->buffer + client->received, data, n);
			client->received += n;
			client->input_start += n;
			if (client->received < client->receiving->req.length) {
				return 0;
			}
			payload_complete(client);
			continue;
		}
		n = wanted(client);
		if (have < n) {
			return 0;
		}
		client->input_start += n;
		r = take_whole(client, data);
		if (r) {
			return r;
		}
	}
	return 0;
}

static ssize_t receive(struct nbd_client *client)
{
	uint32_t left = client->input_end - client->input_start;

	if (client->phase == NBD_PAYLOAD && !left) { /* straight to where it belongs, and what follows behind */
		struct iovec iov[2] = {
			{client->receiving->buffer + client->received, client->receiving->req.length - client->received},
			{client->input, NBD_INPUT}};
		struct msghdr message = {.msg_iov = iov, .msg_iovlen = 2};
		ssize_t n = recvmsg(client->fd, &message, MSG_DONTWAIT);
		uint32_t direct = n > 0 ? (uint32_t)min_u64((uint64_t)n, iov[0].iov_len) : 0;

		client->received += direct;
		client->input_start = 0;
		client->input_end = n > 0 ? (uint32_t)n - direct : 0;
		return n;
	}
	memmove(client->input, client->input + client->input_start, left);
	client->input_start = 0;
	client->input_end = left;
	return recv(client->fd, client->input + left, NBD_INPUT - left, MSG_DONTWAIT);
}

static void serve_input(struct nbd_client *client)
{
	bool payload = client->phase == NBD_PAYLOAD && client->input_end == client->input_start;
	ssize_t n = receive(client);

	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		return;
	}
	if (n <= 0) {
		drop_client(client);
		return;
	}
	client->input_end += payload ? 0 : (uint32_t)n;
	if (take_input(client)) {
		drop_client(client);
	}
}

/* -- Clients -- */

static void accept_client(struct server *server)
{
	int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct nbd_client *client = fd >= 0 ? calloc(1, sizeof(*client)) : NULL;
	unsigned i;

	if (!client) {
		if (fd >= 0) {
			close(fd);
		}
		return;
	}
	client->fd = fd;
	client->how = server->how;
	client->disk = server->disk;
	client->queue = server->queue;
	client->out_last = &client->out_first;
	for (i = 0; i < NBD_SLOTS; i++) {
		client->slots[i].client = client;
		client->slots[i].next = client->free;
		client->free = &client->slots[i];
	}
	client->next = server->clients;
	server->clients = client;
	server->client_count++;
	server->had_client = true;
	if (nbd_greet(client)) {
		drop_client(client);
	}
}

static void free_client(struct nbd_client *client)
{
	unsigned i;

	for (i = 0; i < NBD_SLOTS; i++) {
		free(client->slots[i].buffer);
	}
	free(client->early);
	free(client);
}

/* A client goes when it has nothing under way, and either left or said goodbye and got all its replies. */
static void reap_clients(struct server *server)
{
	struct nbd_client **where = &server->clients;

	while (*where) {
		struct nbd_client *client = *where;

		if (client->phase == NBD_CLOSING && !client->busy && !client->early_length) {
			drop_client(client);
		}
		if (client->fd < 0 && !client->busy) {
			*where = client->next;
			server->client_count--;
			free_client(client);
		} else {
			where = &client->next;
		}
	}
}

/* -- The loop -- */

#define CLIENTS_MAX 64u

static unsigned fill_polls(struct server *server, struct pollfd *polls)
{
	struct nbd_client *client;
	unsigned n = 2;

	polls[0] = (struct pollfd){.fd = disk_queue_fd(server->queue), .events = POLLIN};
	polls[1] = (struct pollfd){.fd = server->client_count < CLIENTS_MAX ? server->listener : -1, .events = POLLIN};
	for (client = server->clients; client; client = client->next) {
		short events = may_receive(client) ? POLLIN : 0;

		events |= client->out_first || client->early_length ? POLLOUT : 0;
		polls[n++] = (struct pollfd){.fd = client->fd, .events = events};
	}
	return n;
}

static void serve_once(struct server *server)
{
	struct pollfd polls[2 + CLIENTS_MAX];
	unsigned count = fill_polls(server, polls), i = 2;
	struct nbd_client *client;

	if (poll(polls, count, 250) < 0) {
		return;
	}
	for (client = server->clients; client; client = client->next, i++) {
		if (client->fd >= 0 && (polls[i].revents & (POLLERR | POLLNVAL))) {
			drop_client(client);
		} else if (client->fd >= 0 && (polls[i].revents & (POLLIN | POLLHUP)) && may_receive(client)) {
			serve_input(client);
		} else if (client->fd >= 0 && (polls[i].revents & POLLHUP)) {
			drop_client(client);
		}
	}
	disk_queue_kick(server->queue);
	disk_queue_poll(server->queue);
	for (client = server->clients; client; client = client->next) {
		send_output(client);
		if (client->fd >= 0 && take_input(client)) { /* slots became free */
			drop_client(client);
		}
	}
	disk_queue_kick(server->queue);
	reap_clients(server);
	if (polls[1].revents & POLLIN) {
		accept_client(server);
	}
}

static int listen_on(struct server *server, struct disk_error *error)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *path = server->how->socket_path;

	if (strlen(path) >= sizeof(address.sun_path)) {
		return error_set(error, -ENAMETOOLONG, "%s: too long for a socket's name", path);
	}
	strcpy(address.sun_path, path);
	server->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (server->listener < 0 || bind(server->listener, (struct sockaddr *)&address, sizeof(address)) ||
	    listen(server->listener, 16)) {
		int r = -errno;

		if (server->listener >= 0) {
			close(server->listener);
		}
		return error_set(error, r, "%s: %s%s", path, strerror(-r),
				 r == -EADDRINUSE ? "; remove it if nobody serves there" : "");
	}
	return 0;
}

static void finish_clients(struct server *server)
{
	struct nbd_client *client;

	while (server->clients) {
		for (client = server->clients; client; client = client->next) {
			drop_client(client);
		}
		disk_queue_wait(server->queue);
		reap_clients(server);
	}
}

int disk_nbd_serve(struct disk *disk, const struct disk_nbd *how, struct disk_error *error)
{
	struct server server = {.disk = disk, .how = how};
	int r = disk_queue_create(128, &server.queue, error);

	if (r) {
		return r;
	}
	if (disk_queue_fd(server.queue) < 0) {
		r = error_set(error, disk_queue_fd(server.queue), "no eventfd for the queue");
	}
	r = r ? r : listen_on(&server, error);
	if (!r) {
		while (!(how->stop && *how->stop) && !(how->once && server.had_client && !server.client_count)) {
			serve_once(&server);
		}
		finish_clients(&server);
		close(server.listener);
		unlink(how->socket_path);
	}
	disk_queue_destroy(&server.queue);
	return r;
}
