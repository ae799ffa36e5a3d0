/* A connection before it is open, and the end of it. The states are in relay.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "disk/bytes.h"
#include "hosted/packet.h"
#include "vsp/socket/relay.h"

#define GREETING_SECONDS 60u /* it may be a person who types */
#define OPEN_SECONDS     10u /* a guest without a listener says nothing */

/* ---- The end ---- */

void connection_end(struct connection *connection)
{
	struct sockets *sockets = connection->sockets;
	enum connection_state state = connection->state;

	if (state == CONNECTION_ENDING) {
		return;
	}
	connection->state = CONNECTION_ENDING;
	relay_set_deadline(connection, 0);
	if (connection->open) {
		(void)relay_watch_channel(connection, false);
	}
	if (connection->fd >= 0) {
		(void)relay_watch(connection, 0);
		close(connection->fd);
		connection->fd = -1;
	}
	free(connection->to_guest);
	free(connection->to_host);
	connection->to_guest = connection->to_host = NULL;
	if (state == CONNECTION_DIALLING) {
		vmbus_refuse_connection(sockets->bus, &connection->endpoint, &connection->service);
	}
	/* Under the lock: what has been released is not withdrawn any more. */
	pthread_mutex_lock(&sockets->lock);
	sockets->refused += state != CONNECTION_OPEN;
	if (connection->channel != NULL) {
		vmbus_rescind(connection->channel);
	}
	pthread_mutex_unlock(&sockets->lock);
	sockets->over = true;
}

/* ---- An offer ---- */

/* The guest's name for the host's end; no two connections have the same. */
static struct vmbus_guid endpoint_of(const struct connection *connection)
{
	struct vmbus_guid guid = HVSOCK_GUID_OF_PORT((uint32_t)connection->number | 0x80000000u);

	memcpy(guid.data4, &connection->number, sizeof(connection->number));
	return guid;
}

static void offer(struct connection *connection)
{
	struct sockets *sockets = connection->sockets;
	const struct hvsock_offer head = {.pipe_type = VMBUS_PIPE_TYPE_BYTE,
					  .from_host = !connection->from_guest};
	struct vmbus_offer offer = {
		.type = connection->service,
		.instance = connection->endpoint,
		.flags = VMBUS_CHANNEL_TLNPI_PROVIDER_OFFER | VMBUS_CHANNEL_NAMED_PIPE_MODE,
		.class = &connection_vmbus_class,
		.device = connection,
	};
	int ret;

	memcpy(offer.user_def, &head, sizeof(head));
	/* Under the lock: it may be released before it is known here. */
	pthread_mutex_lock(&sockets->lock);
	ret = vmbus_offer(sockets->bus, &offer, &connection->channel);
	pthread_mutex_unlock(&sockets->lock);
	if (ret != 0 || !relay_watch(connection, EPOLLET)) { /* a hang-up is told once */
		connection_end(connection);
		return;
	}
	connection->state = CONNECTION_OFFERED;
	relay_set_deadline(connection, OPEN_SECONDS);
}

/* ---- A program that wants to reach the guest ---- */

void sockets_name_service(const struct vmbus_guid *service, char name[SOCKETS_NAME_MAX])
{
	const struct vmbus_guid of_port = HVSOCK_GUID_OF_PORT(service->data1);
	struct guid guid;

	static_assert(SOCKETS_NAME_MAX == GUID_TEXT, "a GUID's text");
	if (memcmp(service, &of_port, sizeof(of_port)) == 0) {
		snprintf(name, SOCKETS_NAME_MAX, "%u", service->data1);
		return;
	}
	memcpy(&guid, service, sizeof(guid));
	guid_print(&guid, name);
}

/* "CONNECT " and a port or a GUID, in `text`. */
static bool parse_service(const char *text, struct vmbus_guid *service)
{
	static const char word[] = "CONNECT ";
	struct vmbus_guid of_port;
	struct guid guid;
	unsigned long long port;
	char *end;

	if (strncmp(text, word, sizeof(word) - 1) != 0) {
		return false;
	}
	text += sizeof(word) - 1;
	if (guid_parse(text, &guid) == 0) {
		memcpy(service, &guid, sizeof(*service));
		return true;
	}
	errno = 0;
	port = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || port > HVSOCK_PORT_MAX) {
		return false;
	}
	of_port = (struct vmbus_guid)HVSOCK_GUID_OF_PORT((uint32_t)port);
	*service = of_port;
	return true;
}

/* -errno; 0: it has ended; or how many bytes. */
static ssize_t receive(int fd, void *to, size_t size)
{
	struct iovec part = {.iov_base = to, .iov_len = size};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	ssize_t count = recvmsg(fd, &message, MSG_DONTWAIT);

	return count >= 0 ? count : -errno;
}

static void read_greeting(struct connection *connection)
{
	char *text = connection->greeting, *end;
	ssize_t count = receive(connection->fd, text + connection->greeting_bytes,
				GREETING_MAX - connection->greeting_bytes);

	if (count == -EAGAIN || count == -EINTR) {
		return;
	}
	if (count <= 0) {
		connection_end(connection);
		return;
	}
	connection->greeting_bytes += (uint32_t)count;
	end = memchr(text, '\n', connection->greeting_bytes);
	if (end == NULL && connection->greeting_bytes < GREETING_MAX) {
		return;
	}
	if (end != NULL) {
		*end = '\0';
	}
	if (end == NULL || !parse_service(text, &connection->service)) {
		connection_end(connection);
		return;
	}
	/* What came behind the line is for the guest. */
	end++;
	connection->greeting_bytes -= (uint32_t)(end - text);
	memmove(text, end, connection->greeting_bytes);
	connection->endpoint = endpoint_of(connection);
	offer(connection);
}

void connect_greeted(struct connection *connection, uint32_t events)
{
	if (connection->state == CONNECTION_GREETING) {
		read_greeting(connection);
	} else if (connection->from_guest) {
		stream_event(connection, events); /* it may have said all it has to say */
	} else if (events & (EPOLLHUP | EPOLLERR)) {
		connection_end(connection);
	}
}

/* ---- A program that the guest wants to reach ---- */

static bool dial(struct connection *connection)
{
	const struct sockets_call call = {.number = connection->number,
					  .service = connection->service};

	return connection->sockets->connector >= 0 &&
	       packet_send(connection->sockets->connector, MSG_DONTWAIT, &call, sizeof(call), NULL,
			   0) == 0;
}

void connect_begin(struct connection *connection)
{
	bool begun = false;

	if (connection->sockets->standing) {
		connection_end(connection);
		return;
	}
	if (connection->from_guest) {
		begun = dial(connection);
	} else {
		begun = relay_watch(connection, EPOLLIN);
		relay_set_deadline(connection, GREETING_SECONDS);
	}
	if (!begun) {
		connection_end(connection);
	}
}

static struct connection *find_dialling(struct sockets *sockets, uint64_t number)
{
	struct connection *connection = sockets->all;

	while (connection != NULL &&
	       (connection->number != number || connection->state != CONNECTION_DIALLING)) {
		connection = connection->next;
	}
	return connection;
}

static void take_reply(struct sockets *sockets, const struct sockets_reply *reply, int fd)
{
	struct connection *connection = find_dialling(sockets, reply->number);

	if (connection == NULL || reply->error != 0 || fd < 0) {
		if (fd >= 0) {
			close(fd);
		}
		if (connection != NULL) {
			connection_end(connection);
		}
		return;
	}
	connection->fd = fd;
	offer(connection);
}

/* What waits for it is refused, and so is all that comes. */
static void lose_connector(struct sockets *sockets)
{
	struct connection *connection;

	close(sockets->connector);
	sockets->connector = -1;
	for (connection = sockets->all; connection != NULL; connection = connection->next) {
		if (connection->state == CONNECTION_DIALLING) {
			connection_end(connection);
		}
	}
}

void connect_replied(struct sockets *sockets)
{
	struct sockets_reply reply;
	int fd, ret;

	do {
		struct packet packet = {
			.bytes = &reply, .size = sizeof(reply), .fds = &fd, .fds_max = 1};

		ret = packet_receive(sockets->connector, MSG_DONTWAIT, &packet);
		if (ret == 0 && packet.length != sizeof(reply)) {
			packet_close(&packet);
			ret = -EPIPE; /* its end, or nothing that it says */
		} else if (ret == 0) {
			take_reply(sockets, &reply, packet.fd_count > 0 ? fd : -1);
		}
	} while (ret == 0);
	if (ret != -EAGAIN && ret != -EINTR) {
		lose_connector(sockets);
	}
}

/* ---- The guest is there ---- */

/* A program that has just said one line has room for one. */
static bool say_ok(const struct connection *connection)
{
	char line[32];
	int length = snprintf(line, sizeof(line), "OK %u\n", connection->endpoint.data1);

	return send(connection->fd, line, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL) == length;
}

bool connect_opened(struct connection *connection)
{
	struct sockets *sockets = connection->sockets;

	if (!connection->from_guest &&
	    (!say_ok(connection) ||
	     !stream_keep(connection, connection->greeting, connection->greeting_bytes))) {
		return false;
	}
	relay_set_deadline(connection, 0);
	connection->state = CONNECTION_OPEN;
	connection->readable = true;
	pthread_mutex_lock(&sockets->lock);
	sockets->opened++;
	pthread_mutex_unlock(&sockets->lock);
	return relay_watch_channel(connection, true);
}
