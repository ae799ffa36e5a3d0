/*
 * An open connection: bytes between a program's socket and the channel's ring, each way by itself.
 *
 * Packets of the guest's are gathered, and their data is given to the program at once. What one
 * side has no room for is kept, one packet's data at most, or what was gathered for the program,
 * and no more is taken from the other side until it has gone: so who does not read holds up who
 * writes, as with any socket, and nothing grows. The end of a direction follows its bytes. When
 * both have ended the connection has. A program that is gone (it hears nothing either) is a reset,
 * but not before the guest has what it said.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "vsp/socket/relay.h"

/* Packets in one turn, each way. */
#define TURN 16

/* Two fit into the smallest ring that Linux makes, so that one is read while the other is
 * written. */
#define CHUNK (8192u - 64u)

/* How long a guest may leave a connection open whose program is gone. */
#define ORPHAN_SECONDS 30u

static bool is_usable(const struct connection *connection)
{
	return connection->state == CONNECTION_OPEN && connection->open && !connection->paused;
}

/* ---- To the guest ---- */

/* A packet of `bytes` of data, which follow `packet`'s header. What channel_send() says. */
static int send_packet(struct connection *connection, void *packet, uint32_t bytes)
{
	const struct vmpipe_proto_header header = {HVSOCK_DATA, bytes};
	struct iovec part = {.iov_base = packet, .iov_len = sizeof(header) + bytes};
	int ret;

	memcpy(packet, &header, sizeof(header));
	ret = channel_send(connection->channel, 0, false, &part, 1);
	if (ret == -EMSGSIZE) {
		channel_break(connection->channel, "its ring is too small for a packet");
	}
	return ret;
}

bool stream_keep(struct connection *connection, const void *bytes, uint32_t count)
{
	if (count == 0) {
		return true;
	}
	connection->to_guest = malloc(sizeof(struct vmpipe_proto_header) + count);
	if (connection->to_guest == NULL) {
		return false;
	}
	memcpy(connection->to_guest + sizeof(struct vmpipe_proto_header), bytes, count);
	connection->to_guest_bytes = count;
	return true;
}

/* What had no room. False: it still has none. */
static bool send_kept(struct connection *connection)
{
	if (connection->to_guest == NULL) {
		return true;
	}
	if (send_packet(connection, connection->to_guest, connection->to_guest_bytes) != 0) {
		return false;
	}
	free(connection->to_guest);
	connection->to_guest = NULL;
	return true;
}

/* The program's next bytes. False: there are none, or no room for them. */
static bool pass_to_guest(struct connection *connection)
{
	uint8_t *packet = connection->sockets->buffer;
	struct iovec part = {.iov_base = packet + sizeof(struct vmpipe_proto_header),
			     .iov_len = CHUNK};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	ssize_t count = recvmsg(connection->fd, &message, MSG_DONTWAIT);
	int ret;

	if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
		connection->readable = errno == EINTR;
		return false;
	}
	if (count <= 0) {
		connection->host_ended = true;
		connection->host_gone |= count < 0;
		return false;
	}
	ret = send_packet(connection, packet, (uint32_t)count);
	if (ret == -EAGAIN && !stream_keep(connection, part.iov_base, (uint32_t)count)) {
		connection_end(connection); /* bytes would be lost */
	}
	return ret == 0;
}

/* One turn. True: there may be more. */
static bool feed_guest(struct connection *connection)
{
	unsigned int i;

	for (i = 0; i < TURN; i++) {
		if (!send_kept(connection)) {
			return false;
		}
		if (connection->host_ended || !connection->readable || !pass_to_guest(connection)) {
			break;
		}
		connection->sockets->packets++;
	}
	if (connection->state == CONNECTION_OPEN && connection->host_ended &&
	    connection->to_guest == NULL && !connection->fin_sent) {
		connection->fin_sent = send_packet(connection, connection->sockets->buffer, 0) == 0;
	}
	return i == TURN;
}

/* ---- To the program ---- */

/* Packets of one turn, in sockets.gathered; their data is in the parts. */
struct gathered {
	uint32_t used;  /* of that memory */
	uint32_t bytes; /* of all parts */
	unsigned int count;
	struct iovec parts[TURN];
};

/* How many bytes the program took; all, where it does not hear any more. */
static uint32_t give(struct connection *connection, struct iovec *parts, unsigned int count,
		     uint32_t bytes)
{
	const struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
	ssize_t given;

	if (connection->host_gone) {
		return bytes;
	}
	given = sendmsg(connection->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (given >= 0) {
		return (uint32_t)given;
	}
	if (errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ENOMEM) {
		return 0;
	}
	connection->host_gone = true;
	return bytes;
}

/* False: the program still has no room for what is kept. */
static bool give_kept(struct connection *connection)
{
	struct iovec part = {.iov_len = connection->to_host_bytes};
	uint32_t given;

	if (connection->to_host == NULL) {
		return true;
	}
	part.iov_base = connection->to_host + connection->to_host_from;
	given = give(connection, &part, 1, connection->to_host_bytes);
	connection->to_host_from += given;
	connection->to_host_bytes -= given;
	if (connection->to_host_bytes > 0) {
		return false;
	}
	free(connection->to_host);
	connection->to_host = NULL;
	return true;
}

/* What follows the first `skip` bytes. */
static void keep_for_host(struct connection *connection, const struct gathered *gathered,
			  uint32_t skip)
{
	unsigned int i;

	connection->to_host = malloc(gathered->bytes - skip);
	if (connection->to_host == NULL) {
		connection_end(connection); /* bytes would be lost */
		return;
	}
	connection->to_host_from = connection->to_host_bytes = 0;
	for (i = 0; i < gathered->count; i++) {
		const uint8_t *bytes = gathered->parts[i].iov_base;
		uint32_t count = (uint32_t)gathered->parts[i].iov_len;
		uint32_t past = skip < count ? skip : count;

		memcpy(connection->to_host + connection->to_host_bytes, bytes + past, count - past);
		connection->to_host_bytes += count - past;
		skip -= past;
	}
}

static void give_gathered(struct connection *connection, struct gathered *gathered)
{
	uint32_t given;

	if (gathered->bytes > 0 && connection->state == CONNECTION_OPEN) {
		given = give(connection, gathered->parts, gathered->count, gathered->bytes);
		if (given < gathered->bytes) {
			keep_for_host(connection, gathered, given);
		}
	}
	gathered->used = gathered->bytes = gathered->count = 0;
}

static void gather(struct gathered *gathered, const uint8_t *memory,
		   const struct vmbus_packet *packet, uint32_t bytes)
{
	const uint8_t *payload = packet->payload;

	gathered->parts[gathered->count++] = (struct iovec){
		.iov_base = (uint8_t *)payload + sizeof(struct vmpipe_proto_header),
		.iov_len = bytes,
	};
	gathered->bytes += bytes;
	gathered->used = (uint32_t)(payload + packet->payload_bytes - memory);
}

/* A packet is checked as a whole before any of it is used. */
static void take_packet(struct connection *connection, const struct vmbus_packet *packet,
			struct gathered *gathered)
{
	struct vmpipe_proto_header header = {0};

	if (packet->payload_bytes >= sizeof(header)) {
		memcpy(&header, packet->payload, sizeof(header));
	}
	if (packet->type != VM_PKT_DATA_INBAND || header.pkt_type != HVSOCK_DATA ||
	    header.data_size > HVSOCK_MTU ||
	    header.data_size > packet->payload_bytes - sizeof(header)) {
		channel_break(connection->channel, "a socket's packet is none");
	} else if (header.data_size == 0) {
		connection->guest_ended = true;
	} else if (connection->host_gone && connection->fin_sent) {
		connection_end(connection); /* nobody hears it: as TCP resets */
	} else {
		gather(gathered, connection->sockets->gathered, packet, header.data_size);
	}
}

/* One turn. True: there may be more. */
static bool feed_host(struct connection *connection)
{
	struct gathered gathered = {0};
	struct vmbus_packet packet;
	unsigned int i;

	for (i = 0; i < TURN && connection->state == CONNECTION_OPEN; i++) {
		if (!give_kept(connection) || connection->guest_ended ||
		    channel_receive_into(connection->channel,
					 connection->sockets->gathered + gathered.used,
					 &packet) <= 0) {
			break;
		}
		take_packet(connection, &packet, &gathered);
		if (GATHER_MAX - gathered.used < PACKET_MAX) {
			give_gathered(connection, &gathered);
		}
	}
	give_gathered(connection, &gathered);
	connection->sockets->packets += i;
	return i == TURN;
}

/* ---- Both ---- */

/*
 * What is waited for at the program's end. Where that is nothing but a hang-up, it is told once and
 * not again and again: the channel's side may stand for as long as it likes.
 */
static uint32_t interest(const struct connection *connection)
{
	uint32_t events = 0;

	if (connection->host_gone && connection->host_ended) {
		return 0;
	}
	if (!connection->host_ended && connection->to_guest == NULL) {
		events |= EPOLLIN;
	}
	if (connection->to_host != NULL) {
		events |= EPOLLOUT;
	}
	return events != 0 ? events : EPOLLET;
}

/* What follows from what has ended so far. */
static void settle(struct connection *connection)
{
	connection->host_gone |= connection->host_ended && connection->hung_up;
	if (connection->guest_ended && connection->to_host == NULL && !connection->shut) {
		connection->shut = true;
		shutdown(connection->fd, SHUT_WR);
	}
	if (connection->fin_sent && connection->shut) {
		connection_end(connection);
		return;
	}
	if (connection->host_gone && connection->fin_sent && connection->deadline == 0) {
		relay_set_deadline(connection, ORPHAN_SECONDS);
	}
	if (!relay_watch(connection, interest(connection))) {
		connection_end(connection);
	}
}

void stream_event(struct connection *connection, uint32_t events)
{
	connection->hung_up |= (events & (EPOLLHUP | EPOLLERR)) != 0;
	connection->readable |= (events & ~(uint32_t)EPOLLOUT) != 0;
}

void stream_turn(struct connection *connection)
{
	bool more;

	if (!is_usable(connection)) {
		return;
	}
	more = feed_host(connection);
	if (connection->state == CONNECTION_OPEN) {
		more |= feed_guest(connection);
		channel_flush(connection->channel);
	}
	if (connection->state == CONNECTION_OPEN) {
		settle(connection);
	}
	if (more && connection->state == CONNECTION_OPEN) {
		relay_again(connection);
	}
}
