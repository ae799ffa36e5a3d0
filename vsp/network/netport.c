/* See netport.h. */
#include "vsp/network/netport.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "hosted/listen.h"
#include "hosted/packet.h"
#include "switch/ring.h"

#define OUT_SLOTS 1024u
#define IN_SLOTS  2048u                  /* a large piece has two */
#define FDS_MAX   (2u + PORT_QUEUES_MAX) /* of the welcome */

#define WELCOME_MS   10000
#define ASK_EVERY_MS 50u /* for a port that is in use */

static int connect_to(const char *path, char *why, size_t why_bytes)
{
	int fd = connect_at(path, SOCK_SEQPACKET);

	if (fd < 0) {
		snprintf(why, why_bytes, "%s: %s; is vswitchd running, and may this user reach it?",
			 path, strerror(-fd));
	}
	return fd;
}

static int make_heads(struct netport *port)
{
	struct iovec *heads = &port->regions[NETPORT_HEADS];
	int fd = memfd_create("frame-heads", MFD_CLOEXEC | MFD_ALLOW_SEALING), ret;

	if (fd < 0) {
		return -errno;
	}
	heads->iov_len = (size_t)port->queue_count * OUT_SLOTS * NETPORT_HEAD_BYTES;
	if (ftruncate(fd, (off_t)heads->iov_len) != 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
		goto out_close;
	}
	heads->iov_base = mmap(NULL, heads->iov_len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (heads->iov_base != MAP_FAILED) {
		return fd;
	}
out_close:
	ret = -errno;
	heads->iov_base = NULL;
	close(fd);
	return ret;
}

static int say_hello(int connection, const struct netport_request *request,
		     const struct netport *port, int heads_fd)
{
	struct port_hello hello = {
		.version = PORT_VERSION,
		.region_count = NETPORT_REGIONS,
		.queue_count = port->queue_count,
		.out_slots = OUT_SLOTS,
		.in_slots = IN_SLOTS,
	};
	int fds[NETPORT_REGIONS] = {request->ram_fd, heads_fd};

	memcpy(hello.mac, request->mac, sizeof(hello.mac));
	hello.vlan = request->vlan;
	snprintf(hello.network, sizeof(hello.network), "%s", request->network);
	snprintf(hello.port, sizeof(hello.port), "%s", request->name);
	hello.regions[NETPORT_RAM].bytes = request->ram.iov_len;
	hello.regions[NETPORT_HEADS].bytes = port->regions[NETPORT_HEADS].iov_len;
	return packet_send(connection, 0, &hello, sizeof(hello), fds, NETPORT_REGIONS);
}

/* It is not waited for without end: it may be no switch at all. */
static int wait_for_welcome(int connection)
{
	struct pollfd fd = {.fd = connection, .events = POLLIN};
	int ret = poll(&fd, 1, WELCOME_MS);

	return ret > 0 ? 0 : ret == 0 ? -ETIMEDOUT : -errno;
}

/* The descriptors that came are in `packet` in any case. -errno. */
static int hear_welcome(int connection, struct port_welcome *welcome, struct packet *packet)
{
	int ret = wait_for_welcome(connection);

	if (ret != 0) {
		return ret;
	}
	packet->bytes = welcome;
	packet->size = sizeof(*welcome);
	ret = packet_receive(connection, MSG_DONTWAIT, packet);
	welcome->text[sizeof(welcome->text) - 1] = '\0';
	return ret == 0 && (packet->length != sizeof(*welcome) || packet->cut) ? -EPROTO : ret;
}

/* Takes the descriptors out of the packet that it needs; 0, or a negative errno and nothing is
 * taken. */
static int adopt(struct netport *port, const struct port_welcome *welcome, struct packet *packet)
{
	size_t bytes = ring_memory_bytes(port->queue_count, OUT_SLOTS, IN_SLOTS);
	const int *fds = packet->fds;
	void *memory;
	uint32_t i;
	int seals;

	if (packet->fd_count != 2 + port->queue_count ||
	    welcome->queue_count != port->queue_count || welcome->out_slots != OUT_SLOTS ||
	    welcome->in_slots != IN_SLOTS || lseek(fds[0], 0, SEEK_END) < (off_t)bytes) {
		return -EPROTO;
	}
	seals = fcntl(fds[0], F_GET_SEALS);
	if (seals < 0 || !(seals & F_SEAL_SHRINK)) {
		return -EPROTO;
	}
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
	if (memory == MAP_FAILED) {
		return -errno;
	}
	port->memory = memory;
	port->memory_bytes = bytes;
	port->switch_event = fds[1];
	for (i = 0; i < port->queue_count; i++) {
		port->events[i] = fds[2 + i];
	}
	port->out_slots = OUT_SLOTS;
	port->in_slots = IN_SLOTS;
	memcpy(port->mac, welcome->mac, sizeof(port->mac));
	packet->fd_count = 1; /* the memory's is not needed any more */
	return 0;
}

static int ask(struct netport *port, const struct netport_request *request, int heads_fd, char *why,
	       size_t why_bytes)
{
	struct port_welcome welcome = {0};
	int fds[FDS_MAX], ret = say_hello(port->connection, request, port, heads_fd);
	struct packet packet = {.fds = fds, .fds_max = FDS_MAX};

	if (ret == 0) {
		ret = hear_welcome(port->connection, &welcome, &packet);
	}
	if (ret == 0 && welcome.result < 0) {
		ret = welcome.result;
		snprintf(why, why_bytes, "%s", welcome.text);
	} else {
		ret = ret == 0 ? adopt(port, &welcome, &packet) : ret;
		if (ret != 0) {
			snprintf(why, why_bytes, "%s: %s", request->socket,
				 ret == -ETIMEDOUT ? "the switch does not answer" : strerror(-ret));
		}
	}
	packet_close(&packet);
	return ret;
}

static int greet(struct netport *port, const struct netport_request *request, char *why,
		 size_t why_bytes)
{
	static const struct timespec moment = {.tv_nsec = ASK_EVERY_MS * 1000000};
	int heads_fd = make_heads(port), ret = heads_fd;
	uint32_t waited;

	if (heads_fd < 0) {
		snprintf(why, why_bytes, "%s: %s", request->socket, strerror(-ret));
		return ret;
	}
	ret = ask(port, request, heads_fd, why, why_bytes);
	for (waited = 0; ret == -EBUSY && waited < request->patience_ms; waited += ASK_EVERY_MS) {
		nanosleep(&moment, NULL);
		ret = ask(port, request, heads_fd, why, why_bytes);
	}
	close(heads_fd);
	return ret;
}

int netport_connect(struct netport *port, const struct netport_request *request, char *why,
		    size_t why_bytes)
{
	int ret;

	*port = (struct netport){.connection = -1,
				 .switch_event = -1,
				 .queue_count = request->queue_count,
				 .regions = {[NETPORT_RAM] = request->ram}};
	memset(port->events, 0xff, sizeof(port->events)); /* all of them -1 */
	port->connection =
		request->fd >= 0 ? request->fd : connect_to(request->socket, why, why_bytes);
	ret = port->connection;
	if (ret >= 0) {
		ret = greet(port, request, why, why_bytes);
	}
	if (ret != 0) {
		netport_close(port);
	}
	return ret;
}

static void close_one(int *fd)
{
	if (*fd >= 0) {
		close(*fd);
	}
	*fd = -1;
}

void netport_close(struct netport *port)
{
	struct iovec *heads = &port->regions[NETPORT_HEADS];
	uint32_t i;

	close_one(&port->connection);
	close_one(&port->switch_event);
	for (i = 0; i < PORT_QUEUES_MAX; i++) {
		close_one(&port->events[i]);
	}
	if (port->memory != NULL) {
		munmap(port->memory, port->memory_bytes);
		port->memory = NULL;
	}
	if (heads->iov_base != NULL) {
		munmap(heads->iov_base, heads->iov_len);
		heads->iov_base = NULL;
	}
}

void netport_break(const struct netport *port)
{
	/* It fails only where there is no connection any more. */
	if (shutdown(port->connection, SHUT_RDWR) != 0) {
		return;
	}
}

bool netport_locate(const struct netport *port, const void *at, uint32_t bytes,
		    struct port_slot *slot)
{
	const struct iovec *ram = &port->regions[NETPORT_RAM];
	uint64_t offset = (uint64_t)((const uint8_t *)at - (const uint8_t *)ram->iov_base);

	if (offset >= ram->iov_len || bytes > ram->iov_len - offset) {
		return false;
	}
	slot->region = NETPORT_RAM;
	slot->offset = offset;
	slot->bytes = bytes;
	return true;
}

void netport_kick(const struct netport *port)
{
	uint64_t one = 1;

	/* It fails only when the counter is full: then it is readable anyhow. */
	if (write(port->switch_event, &one, sizeof(one)) < 0) {
		return;
	}
}
