/*
 * Sockets whose guest, programs and connector say anything at any time. Channels are opened,
 * closed, paused and released in every state, there is no room, and programs hang up. A channel
 * that is not open, or stands, is not touched; it is withdrawn once; what a program says arrives in
 * order and whole, or the connection has ended; in the end nothing is left. The channel is this
 * file, and so is the thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hosted/packet.h"
#include "tests/fuzz/fuzz.h"
#include "vsp/socket/relay.h"

struct vmbus_channel {
	struct connection *connection;
	bool withdrawn, open, shut, paused, released;
	int event;
	uint8_t *packet; /* of the guest's, to be received */
	uint32_t packet_bytes;
	unsigned int packet_count; /* of which there are so many more */
	uint16_t type;
	int program;      /* of programs[], -1: not known */
	uint64_t arrived; /* bytes of the program's */
};

struct program {
	int fd; /* -1: it has hung up */
	uint64_t said;
	bool greeted; /* from here on it is data */
};

#define CHANNELS 64u
#define PROGRAMS 64u

static struct sockets *sockets;
static struct vmbus_channel channels[CHANNELS];
static unsigned int channel_count;
static struct program programs[PROGRAMS];
static unsigned int program_count;
static int connector;
static bool room;
static unsigned int asked, refused;
static vmbus_connect *connect_to;

void check_failed(const char *file, int line, const char *what)
{
	(void)file;
	(void)line;
	(void)what;
	abort();
}

/* What a program says, byte by byte. */
static uint8_t pattern(uint64_t at)
{
	return (uint8_t)(at * 13 + at / 255);
}

/* ---- VMBus ---- */

void vmbus_set_connect(struct vmbus *bus, vmbus_connect *connect, void *device)
{
	(void)bus;
	EXPECT(device != NULL);
	connect_to = connect;
}

void vmbus_refuse_connection(struct vmbus *bus, const struct vmbus_guid *endpoint,
			     const struct vmbus_guid *service)
{
	(void)bus;
	(void)endpoint;
	(void)service;
	refused++;
}

int vmbus_offer(struct vmbus *bus, const struct vmbus_offer *offer, struct vmbus_channel **channel)
{
	(void)bus;
	if (channel_count == CHANNELS) {
		return -ENOSPC;
	}
	*channel = &channels[channel_count++];
	**channel = (struct vmbus_channel){.connection = offer->device, .event = -1, .program = -1};
	return 0;
}

void vmbus_rescind(struct vmbus_channel *channel)
{
	EXPECT(!channel->withdrawn && !channel->released);
	channel->withdrawn = true;
}

void channel_closed(struct vmbus_channel *channel)
{
	EXPECT(channel->open && channel->shut);
	channel->open = false;
	close(channel->event);
	free(channel->packet);
	channel->packet = NULL;
}

void channel_paused(struct vmbus_channel *channel)
{
	EXPECT(channel->open);
}

bool channel_starts_paused(const struct vmbus_channel *channel)
{
	return channel->paused;
}

int channel_event(const struct vmbus_channel *channel)
{
	EXPECT(channel->open);
	return channel->event;
}

static void is_usable(const struct vmbus_channel *channel)
{
	EXPECT(channel->open && !channel->paused);
}

void channel_flush(struct vmbus_channel *channel)
{
	is_usable(channel);
}

void channel_break(struct vmbus_channel *channel, const char *reason)
{
	EXPECT(reason != NULL);
	is_usable(channel);
	channel->shut = true;
}

int channel_receive_into(struct vmbus_channel *channel, void *memory, struct vmbus_packet *packet)
{
	uint8_t *payload = (uint8_t *)memory + sizeof(struct vmpacket_descriptor);

	is_usable(channel);
	if (channel->shut) {
		return -ESHUTDOWN;
	}
	if (channel->packet == NULL) {
		return 0;
	}
	/* To its end, so that it is seen where there is no room for it. */
	memset(memory, 0, PACKET_MAX);
	EXPECT((uintptr_t)payload % 8 == 0 && channel->packet_bytes % 8 == 0);
	memcpy(payload, channel->packet, channel->packet_bytes);
	if (channel->packet_count-- == 0) {
		free(channel->packet);
		channel->packet = NULL;
	}
	*packet = (struct vmbus_packet){
		.type = channel->type, .payload = payload, .payload_bytes = channel->packet_bytes};
	return 1;
}

int channel_send(struct vmbus_channel *channel, uint64_t transaction, bool completion_requested,
		 const struct iovec *payload, unsigned int count)
{
	const uint8_t *bytes = payload->iov_base;
	struct vmpipe_proto_header header;
	uint32_t i;

	(void)transaction;
	is_usable(channel);
	EXPECT(count == 1 && !completion_requested && payload->iov_len >= sizeof(header));
	memcpy(&header, bytes, sizeof(header));
	EXPECT(header.pkt_type == HVSOCK_DATA && header.data_size <= HVSOCK_MTU &&
	       header.data_size == payload->iov_len - sizeof(header));
	if (channel->shut) {
		return -ESHUTDOWN;
	}
	if (!room) {
		return -EAGAIN;
	}
	for (i = 0; i < header.data_size && channel->program >= 0; i++) {
		EXPECT(bytes[sizeof(header) + i] == pattern(channel->arrived++));
	}
	return 0;
}

/* ---- The guest ---- */

static void closes(struct vmbus_channel *channel)
{
	if (channel->open && !channel->shut) {
		channel->shut = true;
	}
	connection_vmbus_class.closing(channel->connection, channel);
}

/* The server's part: what broke or was withdrawn closes, and is released when it has. */
static void settle(void)
{
	unsigned int i;

	(void)relay_serve(sockets, false);
	for (i = 0; i < channel_count; i++) {
		struct vmbus_channel *channel = &channels[i];

		if (channel->open && (channel->withdrawn || channel->shut)) {
			closes(channel);
			(void)relay_serve(sockets, false);
			EXPECT(!channel->open);
		}
		if (!channel->released && !channel->open && channel->withdrawn) {
			channel->released = true;
			connection_vmbus_class.released(channel->connection, channel);
		}
	}
	(void)relay_serve(sockets, false);
}

static void opens(struct vmbus_channel *channel, bool paused)
{
	if (channel->open || channel->released || channel->withdrawn) {
		return;
	}
	channel->paused = paused;
	channel->shut = false;
	channel->open = true;
	channel->event = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
	if (connection_vmbus_class.opened(channel->connection, channel) != 0) {
		channel->open = false;
		close(channel->event);
	}
}

static void stands(struct vmbus_channel *channel)
{
	if (!channel->open || channel->shut) {
		return;
	}
	if (!channel->paused) {
		connection_vmbus_class.pausing(channel->connection, channel);
		(void)relay_serve(sockets, false);
		channel->paused = true;
	} else {
		channel->paused = false;
		connection_vmbus_class.resumed(channel->connection, channel);
	}
}

static void sends(struct vmbus_channel *channel, const uint8_t *data, size_t size, uint8_t how)
{
	uint32_t large = how & 4 ? HVSOCK_MTU : (uint32_t)size;
	struct vmpipe_proto_header header = {HVSOCK_DATA, large};

	if (!channel->open || channel->packet != NULL) {
		return;
	}
	channel->packet = calloc(1, sizeof(header) + large + 8);
	EXPECT(channel->packet != NULL);
	if (how & 1) { /* raw */
		memcpy(channel->packet, data, size);
		channel->packet_bytes = (uint32_t)(size + 7) & ~7u;
	} else {
		memcpy(channel->packet, &header, sizeof(header));
		memcpy(channel->packet + sizeof(header), data, size);
		channel->packet_bytes = (uint32_t)(sizeof(header) + large + 7) & ~7u;
	}
	channel->type = how & 2 ? VM_PKT_COMP : VM_PKT_DATA_INBAND;
	channel->packet_count = how / 8;
	eventfd_write(channel->event, 1);
}

/* ---- Programs and the connector ---- */

static struct program *new_program(int *other)
{
	struct program *program = &programs[program_count];
	int pair[2], small = 4096;

	if (program_count == PROGRAMS ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) {
		return NULL;
	}
	setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	program_count++;
	*program = (struct program){.fd = pair[0]};
	*other = pair[1];
	return program;
}

static void program_connects(const uint8_t *data, size_t size)
{
	static const char words[] = "CONNECT 77\n";
	int other;
	struct program *program = new_program(&other);

	if (program == NULL) {
		return;
	}
	EXPECT(sockets_adopt(sockets, other) == 0);
	if (data[0] & 1) {
		(void)!send(program->fd, words, sizeof(words) - 1, MSG_NOSIGNAL);
	} else {
		(void)!send(program->fd, data, size, MSG_NOSIGNAL);
	}
}

/* Bytes that are looked at where they arrive, if it is known where that is. */
static void program_says(struct program *program, uint8_t count)
{
	uint8_t bytes[256 * 40];
	size_t i, size = (size_t)count * 40;
	ssize_t sent;

	if (program->fd < 0) {
		return;
	}
	for (i = 0; i < size; i++) {
		bytes[i] = pattern(program->said + i);
	}
	sent = send(program->fd, bytes, size, MSG_NOSIGNAL);
	program->said += sent > 0 ? (uint64_t)sent : 0;
}

static void program_hears(struct program *program)
{
	uint8_t bytes[4096];

	while (program->fd >= 0 && recv(program->fd, bytes, sizeof(bytes), 0) > 0) {
	}
}

static void hang_up(struct program *program)
{
	if (program->fd >= 0) {
		close(program->fd);
		program->fd = -1;
	}
}

static void guest_asks(const uint8_t *data)
{
	struct vmbus_guid endpoint = {.data1 = data[1]}, service = {.data1 = data[0]};

	if (connect_to(sockets, &endpoint, &service)) {
		asked++;
	}
}

static void connector_answers(const uint8_t *data, size_t size)
{
	struct sockets_call call = {0};
	struct sockets_reply reply;
	unsigned int before = channel_count;
	struct program *program = NULL;
	int other = -1;

	if (connector < 0) {
		return;
	}
	(void)!recv(connector, &call, sizeof(call), MSG_DONTWAIT);
	reply = (struct sockets_reply){.number = call.number, .error = data[0] & 1 ? -ENOENT : 0};
	if (data[0] & 4) {
		reply.number = data[1];
	}
	if (!(data[0] & 2)) {
		program = new_program(&other);
	}
	if (data[0] & 8) {
		(void)!send(connector, data, size, MSG_NOSIGNAL | MSG_DONTWAIT); /* junk */
	}
	(void)!packet_send(connector, MSG_DONTWAIT, &reply, sizeof(reply), &other, other >= 0);
	if (other >= 0) {
		close(other);
	}
	(void)relay_serve(sockets, false);
	/* It is the new channel's, if there is one. */
	if (program != NULL && channel_count == before + 1) {
		channels[before].program = (int)(program - programs);
	}
}

/* ---- Inputs ---- */

static void act(const uint8_t *data, size_t size)
{
	struct vmbus_channel *channel =
		channel_count > 0 ? &channels[data[1] % channel_count] : NULL;
	struct program *program = program_count > 0 ? &programs[data[1] % program_count] : NULL;

	switch (data[0] % 16) {
	case 0:
		program_connects(data + 1, size - 1);
		break;
	case 1:
		guest_asks(data + 1);
		break;
	case 2:
	case 3:
		connector_answers(data + 1, size - 1);
		break;
	case 4:
	case 5:
		if (channel != NULL) {
			opens(channel, data[2] == 255);
		}
		break;
	case 6:
	case 7:
		if (channel != NULL) {
			sends(channel, data + 3, size - 3, data[2]);
		}
		break;
	case 8:
		if (channel != NULL && channel->open) {
			channel->shut = true;
		}
		break;
	case 9:
		if (channel != NULL) {
			stands(channel);
		}
		break;
	case 10:
		/* The guest is gone: what it has not opened is released. */
		if (channel != NULL && !channel->open && !channel->released) {
			channel->released = true;
			connection_vmbus_class.released(channel->connection, channel);
		}
		break;
	case 11:
	case 12:
		if (program != NULL) {
			program_says(program, data[2]);
		}
		break;
	case 13:
		if (program != NULL) {
			program_hears(program);
		}
		break;
	case 14:
		if (program != NULL && program->fd >= 0 && data[2] & 1) {
			shutdown(program->fd, data[2] & 2 ? SHUT_WR : SHUT_RD);
		} else if (program != NULL) {
			hang_up(program);
		}
		break;
	default:
		room = data[2] & 1;
		if (data[2] & 2) {
			sockets_stand(sockets, data[2] & 4);
		}
		if (data[2] == 254 && connector >= 0) {
			close(connector);
			connector = -1;
		}
		break;
	}
	settle();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sockets_config config = {.listener = -1};
	struct sockets_state state;
	unsigned int i;
	int pair[2];

	EXPECT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	connector = pair[0];
	config.connector = pair[1];
	channel_count = program_count = asked = refused = 0;
	room = true;
	EXPECT(sockets_create(NULL, &config, &sockets) == 0);
	while (size > 4) {
		size_t length = data[0] % 32 < size - 1 ? data[0] % 32 : size - 1;

		data++;
		size--;
		if (length >= 4) {
			act(data, length);
		}
		data += length;
		size -= length;
	}
	/* The end, as a machine's: connections end, channels close, and are released. */
	sockets_stand(sockets, true);
	settle();
	for (i = 0; i < channel_count; i++) {
		if (channels[i].open) {
			closes(&channels[i]);
		}
	}
	settle();
	for (i = 0; i < channel_count; i++) {
		if (!channels[i].released) {
			connection_vmbus_class.released(channels[i].connection, &channels[i]);
		}
	}
	(void)relay_serve(sockets, false);
	sockets_get_state(sockets, &state);
	EXPECT(state.connections == 0 && refused <= asked);
	sockets_destroy(&sockets);
	for (i = 0; i < program_count; i++) {
		hang_up(&programs[i]);
	}
	if (connector >= 0) {
		close(connector);
	}
	return 0;
}
