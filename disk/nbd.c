/*
 * NBD: the clients of a socket, what goes in and out, and the loop that serves them all on one
 * thread.
 */
#include "disk/nbd.h"

#include "disk/disk.h"
#include "disk/error.h"
#include "disk/units.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct server {
	struct disk *disk;
	struct disk_queue *queue;
	const struct disk_nbd *how;
	struct nbd_client *clients;
	unsigned client_count;
	uint64_t memory; /* bytes in the clients' buffers */
	int listener;
	bool had_client;
};

/* -- A client leaves -- */

static void drop_client(struct nbd_client *client)
{
	struct nbd_slot *slot;

	if (client->fd >= 0) {
		close(client->fd);
		client->fd = -1;
	}
	client->phase = NBD_CLOSING;
	while ((slot = client->out_first) != NULL) {
		client->out_first = slot->next;
		nbd_release(slot);
	}
	client->out_last = &client->out_first;
	if (client->receiving != NULL) {
		nbd_release(client->receiving);
		client->receiving = NULL;
	}
}

/* -- Output -- */

#define OUT_IOVS 64

static unsigned gather_output(struct nbd_client *client, struct iovec *iov)
{
	unsigned n = 0;
	struct nbd_slot *slot;

	if (client->early_sent < client->early_length) {
		iov[n++] = (struct iovec){client->early + client->early_sent,
					  client->early_length - client->early_sent};
	}
	for (slot = client->out_first; slot != NULL && n + 2 <= OUT_IOVS; slot = slot->next) {
		uint32_t skip = (uint32_t)min_u64(slot->sent, slot->head_length),
			 data = slot->sent - skip;

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
	while (client->out_first != NULL) {
		struct nbd_slot *slot = client->out_first;
		uint32_t n =
			(uint32_t)min_u64(sent, slot->head_length + slot->data_length - slot->sent);

		slot->sent += n;
		sent -= n;
		if (slot->sent < slot->head_length + slot->data_length) {
			return;
		}
		client->out_first = slot->next;
		if (client->out_first == NULL) {
			client->out_last = &client->out_first;
		}
		nbd_release(slot);
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
		return nbd_take_request(client, data);
	}
}

static bool may_receive(const struct nbd_client *client)
{
	return client->fd >= 0 && client->phase != NBD_CLOSING &&
	       (client->phase != NBD_REQUEST || (client->free != NULL && !client->waiting));
}

/* What lies in the input buffer, as far as it is whole. */
static int take_input(struct nbd_client *client)
{
	client->waiting = false;
	while (may_receive(client)) {
		uint32_t have = client->input_end - client->input_start, n;
		const uint8_t *data = client->input + client->input_start;
		int ret;

		if (client->phase == NBD_PAYLOAD) {
			n = (uint32_t)min_u64(have,
					      client->receiving->req.length - client->received);
			memcpy(client->receiving->buffer + client->received, data, n);
			client->received += n;
			client->input_start += n;
			if (client->received < client->receiving->req.length) {
				return 0;
			}
			nbd_payload_complete(client);
			continue;
		}
		n = wanted(client);
		if (have < n) {
			return 0;
		}
		ret = take_whole(client, data);
		if (ret == -EAGAIN) {
			client->waiting = true;
			return 0;
		}
		client->input_start += n;
		if (ret) {
			return ret;
		}
	}
	return 0;
}

static ssize_t receive(struct nbd_client *client)
{
	uint32_t left = client->input_end - client->input_start;

	if (client->phase == NBD_PAYLOAD &&
	    !left) { /* straight to where it belongs, and what follows behind */
		struct iovec iov[2] = {{client->receiving->buffer + client->received,
					client->receiving->req.length - client->received},
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

#define CLIENTS_MAX 64u

static void free_client(struct nbd_client *client)
{
	unsigned i;

	for (i = 0; i < NBD_SLOTS; i++) {
		nbd_free_buffer(&client->slots[i]);
	}
	free(client->early);
	free(client);
}

/*
 * A client goes when it has nothing under way, and either left or said goodbye and got all its
 * replies.
 */
static void reap_clients(struct server *server)
{
	struct nbd_client **where = &server->clients;

	while (*where != NULL) {
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

static struct nbd_client *add_client(struct server *server, int fd)
{
	struct nbd_client *client = calloc(1, sizeof(*client));
	unsigned i;

	if (client == NULL) {
		close(fd);
		return NULL;
	}
	client->fd = fd;
	client->how = server->how;
	client->disk = server->disk;
	client->queue = server->queue;
	client->memory = &server->memory;
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
	return client;
}

/* Of those that have not come to their first request; the list begins with the youngest. */
static struct nbd_client *oldest_in_handshake(const struct server *server)
{
	struct nbd_client *client, *oldest = NULL;

	for (client = server->clients; client != NULL; client = client->next) {
		oldest = client->phase < NBD_REQUEST ? client : oldest;
	}
	return oldest;
}

/*
 * Who only sits there has to give way to who comes; when all are at work, who comes is told so at
 * once, by the end of the connection.
 */
static bool accept_client(struct server *server)
{
	int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct nbd_client *client;

	if (fd < 0) {
		return false;
	}
	if (server->client_count == CLIENTS_MAX) {
		client = oldest_in_handshake(server);
		if (client == NULL) {
			close(fd);
			return true;
		}
		drop_client(client);
		reap_clients(server);
	}
	client = add_client(server, fd);
	if (client != NULL && nbd_greet(client)) {
		drop_client(client);
	}
	return true;
}

/* -- The loop -- */

static unsigned fill_polls(struct server *server, struct pollfd *polls)
{
	struct nbd_client *client;
	unsigned n = 2;

	polls[0] = (struct pollfd){.fd = disk_queue_fd(server->queue), .events = POLLIN};
	polls[1] = (struct pollfd){.fd = server->listener, .events = POLLIN};
	for (client = server->clients; client != NULL; client = client->next) {
		short events = may_receive(client) ? POLLIN : 0;

		events |= client->out_first != NULL || client->early_length ? POLLOUT : 0;
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
	for (client = server->clients; client != NULL; client = client->next, i++) {
		if (client->fd >= 0 && (polls[i].revents & (POLLERR | POLLNVAL))) {
			drop_client(client);
		} else if (client->fd >= 0 && (polls[i].revents & (POLLIN | POLLHUP)) &&
			   may_receive(client)) {
			serve_input(client);
		} else if (client->fd >= 0 && (polls[i].revents & POLLHUP)) {
			drop_client(client);
		}
	}
	disk_queue_kick(server->queue);
	disk_queue_poll(server->queue);
	for (client = server->clients; client != NULL; client = client->next) {
		send_output(client);
	}
	/* Slots became free, and memory. */
	for (client = server->clients; client != NULL; client = client->next) {
		if (client->fd >= 0 && take_input(client)) {
			drop_client(client);
		}
	}
	disk_queue_kick(server->queue);
	reap_clients(server);
	while ((polls[1].revents & POLLIN) && accept_client(server)) { /* as many as wait */
	}
}

/* A socket that nobody listens at any more: whether somebody does is seen by connecting. */
static void remove_stale(const struct sockaddr_un *address)
{
	struct stat st;
	int fd;

	if (lstat(address->sun_path, &st) || !S_ISSOCK(st.st_mode)) {
		return;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address)) &&
	    errno == ECONNREFUSED) {
		unlink(address->sun_path);
	}
	if (fd >= 0) {
		close(fd);
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
	remove_stale(&address);
	server->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (server->listener < 0 ||
	    bind(server->listener, (struct sockaddr *)&address, sizeof(address)) ||
	    listen(server->listener, CLIENTS_MAX)) {
		int ret = -errno;

		if (server->listener >= 0) {
			close(server->listener);
		}
		return error_set(error, ret, "%s: %s%s", path, strerror(-ret),
				 ret == -EADDRINUSE ? "; somebody serves there, or it is no "
						      "socket: give another path"
						    : "");
	}
	return 0;
}

static void finish_clients(struct server *server)
{
	struct nbd_client *client;

	while (server->clients != NULL) {
		for (client = server->clients; client != NULL; client = client->next) {
			drop_client(client);
		}
		disk_queue_wait(server->queue);
		reap_clients(server);
	}
}

static int create_queue(struct server *server, struct disk_error *error)
{
	int ret = disk_queue_create(128, &server->queue, error);

	if (!ret && disk_queue_fd(server->queue) < 0) {
		ret = error_set(error, disk_queue_fd(server->queue), "no eventfd for the queue");
		disk_queue_destroy(&server->queue);
	}
	return ret;
}

int disk_nbd_serve_peer(struct disk *disk, int fd, volatile bool *stop, struct disk_error *error)
{
	struct disk_nbd how = {.stop = stop};
	struct server server = {.disk = disk, .how = &how, .listener = -1};
	struct nbd_client *client;
	int ret = create_queue(&server, error);

	if (ret) {
		close(fd);
		return ret;
	}
	client = add_client(&server, fd);
	if (client == NULL) {
		ret = error_set(error, -ENOMEM, "out of memory for a client");
	} else {
		client->phase = NBD_REQUEST;
	}
	while (server.client_count && !(stop != NULL && *stop)) {
		serve_once(&server);
	}
	finish_clients(&server);
	disk_queue_destroy(&server.queue);
	return ret;
}

int disk_nbd_serve(struct disk *disk, const struct disk_nbd *how, struct disk_error *error)
{
	struct server server = {.disk = disk, .how = how};
	int ret = create_queue(&server, error);

	if (ret) {
		return ret;
	}
	ret = listen_on(&server, error);
	if (!ret) {
		while (!(how->stop != NULL && *how->stop) &&
		       !(how->once && server.had_client && !server.client_count)) {
			serve_once(&server);
		}
		finish_clients(&server);
		close(server.listener);
		unlink(how->socket_path);
	}
	disk_queue_destroy(&server.queue);
	return ret;
}
