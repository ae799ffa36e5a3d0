/* See kernel.h. */
#include "switch/kernel.h"

#include <assert.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <net/if.h>
#include <unistd.h>

#define BUFFER_BYTES  65600u                             /* the longest frame, and a tag */
#define BUFFERS_BYTES (2u * SWITCH_BATCH * BUFFER_BYTES) /* of what arrives, and of what is kept */
#define GSO_UNKNOWN   255u                               /* of a kind that we did not ask for */
#define IOVS          (PORT_PIECES_MAX + 6u)
#define TCP_FLAGS     13u
#define TCP_CWR       0x80u

static_assert(BUFFER_BYTES >= PORT_FRAME_MAX + FRAME_TAG, "a buffer holds any frame");

struct control {
	_Alignas(struct cmsghdr) char bytes[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
};

/* A frame that was read, and waits in its buffer until it is released. */
struct arrival {
	struct virtio_net_hdr vnet;
	uint32_t bytes;
	bool tagged;
	uint16_t tag;
};

/* A frame that waits for flush(). */
struct departure {
	struct virtio_net_hdr vnet;
	uint8_t tag[FRAME_TAG];
	uint8_t head[FRAME_HEAD];
	uint32_t own; /* of the iovecs, those of memory in here */
	struct iovec iov[IOVS];
};

struct kernel {
	const struct edge *edge;
	struct port *port;
	int fd;
	bool readable, gone;
	uint8_t *buffers;
	uint32_t first, count; /* of arrivals, round and round */
	struct arrival arrivals[SWITCH_BATCH];
	/*
	 * From departure_first on they are still to be sent. While the port is full, what they
	 * refer to was copied to `kept`, since its owner has it back.
	 */
	uint32_t departure_first, departure_count;
	uint8_t *kept;
	struct mmsghdr messages[SWITCH_BATCH];
	struct departure departures[SWITCH_BATCH];
};

static bool has_vnet(const struct kernel *kernel)
{
	return kernel->edge != &link_edge;
}

/* ---- what the port sends ---- */

static void set_offload(struct frame *frame, const struct virtio_net_hdr *vnet)
{
	struct frame_offload *offload = &frame->offload;

	if (vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		offload->flags = PORT_CSUM_NEEDED;
		offload->csum_start = vnet->csum_start;
		offload->csum_offset = vnet->csum_offset;
	} else if (vnet->flags & VIRTIO_NET_HDR_F_DATA_VALID) {
		offload->flags = PORT_CSUM_GOOD;
	}
	switch (vnet->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_NONE:
		return;
	case VIRTIO_NET_HDR_GSO_TCPV4:
		offload->gso = PORT_GSO_TCP4;
		break;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		offload->gso = PORT_GSO_TCP6;
		break;
	default:
		offload->gso = GSO_UNKNOWN;
		break;
	}
	offload->gso_bytes = vnet->gso_size;
	offload->header_bytes = vnet->hdr_len;
}

static uint8_t *buffer_at(const struct kernel *kernel, uint32_t n)
{
	return kernel->buffers + (size_t)((kernel->first + n) % SWITCH_BATCH) * BUFFER_BYTES;
}

static struct arrival *arrival_at(struct kernel *kernel, uint32_t n)
{
	return &kernel->arrivals[(kernel->first + n) % SWITCH_BATCH];
}

/* An error that says that nothing can come any more. */
static bool is_end(int error)
{
	return error == EBADFD || error == ENODEV || error == ECONNRESET || error == EPIPE;
}

static void stop_reading(struct kernel *kernel, int error)
{
	kernel->readable = error == EINTR || error == ENETDOWN;
	kernel->gone |= is_end(error);
}

static void read_tap(struct kernel *kernel)
{
	while (kernel->readable && kernel->count < SWITCH_BATCH) {
		struct arrival *arrival = arrival_at(kernel, kernel->count);
		struct iovec iov[2] = {
			{.iov_base = &arrival->vnet, .iov_len = sizeof(arrival->vnet)},
			{.iov_base = buffer_at(kernel, kernel->count), .iov_len = BUFFER_BYTES},
		};
		ssize_t bytes = readv(kernel->fd, iov, 2);

		if (bytes < (ssize_t)sizeof(arrival->vnet)) {
			stop_reading(kernel, bytes < 0 ? errno : EBADFD);
			return;
		}
		arrival->bytes = (uint32_t)(bytes - (ssize_t)sizeof(arrival->vnet));
		arrival->tagged = false;
		kernel->count++;
	}
}

/* The card's driver has taken the tag out of the frame. */
static void read_auxdata(struct arrival *arrival, const struct msghdr *message)
{
	const struct cmsghdr *header = CMSG_FIRSTHDR(message);
	struct tpacket_auxdata auxdata;

	arrival->tagged = false;
	if (header == NULL || header->cmsg_level != SOL_PACKET ||
	    header->cmsg_type != PACKET_AUXDATA || header->cmsg_len < CMSG_LEN(sizeof(auxdata))) {
		return;
	}
	memcpy(&auxdata, CMSG_DATA(header), sizeof(auxdata));
	arrival->tagged = auxdata.tp_status & TP_STATUS_VLAN_VALID;
	arrival->tag = auxdata.tp_vlan_tci;
}

static void read_socket(struct kernel *kernel)
{
	uint32_t room = SWITCH_BATCH - kernel->count;
	struct mmsghdr messages[SWITCH_BATCH];
	struct control controls[SWITCH_BATCH];
	struct iovec iov[SWITCH_BATCH][2];
	int count;

	if (!kernel->readable || room == 0) {
		return;
	}
	for (uint32_t i = 0; i < room; i++) {
		struct arrival *arrival = arrival_at(kernel, kernel->count + i);
		bool vnet = has_vnet(kernel);

		arrival->vnet = (struct virtio_net_hdr){0};
		iov[i][0] = (struct iovec){.iov_base = &arrival->vnet,
					   .iov_len = vnet ? sizeof(arrival->vnet) : 0};
		iov[i][1] = (struct iovec){.iov_base = buffer_at(kernel, kernel->count + i),
					   .iov_len = BUFFER_BYTES};
		messages[i].msg_hdr = (struct msghdr){.msg_iov = iov[i],
						      .msg_iovlen = 2,
						      .msg_control = &controls[i],
						      .msg_controllen = sizeof(controls[i])};
	}
	count = recvmmsg(kernel->fd, messages, room, MSG_DONTWAIT, NULL);
	if (count < 0) {
		stop_reading(kernel, errno);
		return;
	}
	/*
	 * It is asked again though there were fewer than there was room for: under load the next
	 * ones have come meanwhile, and a look into an empty socket costs less than an event.
	 */
	for (int i = 0; i < count; i++) {
		struct arrival *arrival = arrival_at(kernel, kernel->count);
		uint32_t header = has_vnet(kernel) ? sizeof(arrival->vnet) : 0;

		if (messages[i].msg_len <= header) {
			kernel->gone |= !has_vnet(kernel); /* the end of a connection */
			return;
		}
		arrival->bytes = messages[i].msg_len - header;
		read_auxdata(arrival, &messages[i].msg_hdr);
		kernel->count++;
	}
}

static uint32_t take(struct kernel *kernel, struct frame *frames, uint32_t max, uint64_t bytes)
{
	uint64_t total = 0;
	uint32_t i;

	for (i = 0; i < kernel->count && i < max && total < bytes; i++) {
		const struct arrival *arrival = arrival_at(kernel, i);
		struct iovec iov = {.iov_base = buffer_at(kernel, i), .iov_len = arrival->bytes};

		frame_init(&frames[i], &iov, 1);
		set_offload(&frames[i], &arrival->vnet);
		frames[i].tagged = arrival->tagged;
		frames[i].tag = arrival->tag;
		total += arrival->bytes;
	}
	return i;
}

static uint32_t take_tap(void *of, struct frame *frames, uint32_t max, uint64_t bytes)
{
	read_tap(of);
	return take(of, frames, max, bytes);
}

static uint32_t take_socket(void *of, struct frame *frames, uint32_t max, uint64_t bytes)
{
	read_socket(of);
	return take(of, frames, max, bytes);
}

static void release(void *of, uint32_t count)
{
	struct kernel *kernel = of;

	CHECK(count <= kernel->count);
	kernel->first = (kernel->first + count) % SWITCH_BATCH;
	kernel->count -= count;
}

/* ---- what it receives ---- */

static struct virtio_net_hdr vnet_of(const struct frame *frame)
{
	const struct frame_offload *offload = &frame->offload;
	uint16_t tag = frame->tagged ? FRAME_TAG : 0;
	struct virtio_net_hdr vnet = {0};

	if (offload->flags & PORT_CSUM_NEEDED) {
		vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		vnet.csum_start = (uint16_t)(offload->csum_start + tag);
		vnet.csum_offset = offload->csum_offset;
	} else if (offload->flags & PORT_CSUM_GOOD) {
		vnet.flags = VIRTIO_NET_HDR_F_DATA_VALID;
	}
	if (offload->gso != PORT_GSO_NONE) {
		vnet.gso_type = offload->gso == PORT_GSO_TCP4 ? VIRTIO_NET_HDR_GSO_TCPV4
							      : VIRTIO_NET_HDR_GSO_TCPV6;
		vnet.gso_size = offload->gso_bytes;
		vnet.hdr_len = (uint16_t)(offload->header_bytes + tag);
		if (frame->head[frame->headers.transport + TCP_FLAGS] & TCP_CWR) {
			vnet.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
		}
	}
	return vnet;
}

/* Header, addresses, tag, the rest: as one message; how many iovecs. */
static uint32_t compose(const struct kernel *kernel, struct departure *to,
			const struct frame *frame, uint8_t *head)
{
	uint32_t count = 0;

	if (has_vnet(kernel)) {
		to->vnet = vnet_of(frame);
		to->iov[count++] =
			(struct iovec){.iov_base = &to->vnet, .iov_len = sizeof(to->vnet)};
	}
	to->iov[count++] = (struct iovec){.iov_base = head, .iov_len = FRAME_MACS};
	if (frame->tagged) {
		to->tag[0] = ETHERTYPE_VLAN >> 8;
		to->tag[1] = ETHERTYPE_VLAN & 0xff;
		to->tag[2] = (uint8_t)(frame->tag >> 8);
		to->tag[3] = (uint8_t)frame->tag;
		to->iov[count++] = (struct iovec){.iov_base = to->tag, .iov_len = FRAME_TAG};
	}
	to->iov[count++] = (struct iovec){.iov_base = head + FRAME_MACS,
					  .iov_len = frame->head_bytes - FRAME_MACS};
	to->own = count;
	memcpy(&to->iov[count], frame->parts, frame->part_count * sizeof(to->iov[0]));
	return count + frame->part_count;
}

static enum drop give_tap(void *of, const struct frame *frame)
{
	struct kernel *kernel = of;
	struct departure *departure = &kernel->departures[0];
	uint32_t count = compose(kernel, departure, frame, frame->head);

	if (writev(kernel->fd, departure->iov, (int)count) >= 0) {
		return DROP_NONE;
	}
	if (errno == EAGAIN) {
		kernel->port->full = true;
	}
	kernel->gone |= is_end(errno);
	return errno == EIO || errno == ENETDOWN ? DROP_UNPLUGGED : DROP_NO_ROOM;
}

static void flush_tap(void *of)
{
	(void)of;
}

/* The parts of a frame that cannot go now are copied, so that nothing foreign is referred to. */
static void keep(struct kernel *kernel, uint32_t index)
{
	struct msghdr *message = &kernel->messages[index].msg_hdr;
	struct departure *departure = &kernel->departures[index];
	uint8_t *to = kernel->kept + (size_t)index * BUFFER_BYTES;
	uint32_t bytes = 0;

	for (uint32_t i = departure->own; i < message->msg_iovlen; i++) {
		memcpy(to + bytes, departure->iov[i].iov_base, departure->iov[i].iov_len);
		bytes += (uint32_t)departure->iov[i].iov_len;
	}
	departure->iov[departure->own] = (struct iovec){.iov_base = to, .iov_len = bytes};
	message->msg_iovlen = departure->own + 1;
}

/* As many as there is room for; false: there is not for all. */
static bool send_departures(struct kernel *kernel)
{
	while (kernel->departure_first < kernel->departure_count && !kernel->gone) {
		int sent = sendmmsg(kernel->fd, kernel->messages + kernel->departure_first,
				    kernel->departure_count - kernel->departure_first,
				    MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent > 0) {
			kernel->departure_first += (uint32_t)sent;
		} else if (errno == EAGAIN) {
			return false;
		} else if (errno != EINTR) {
			/* The first of those that are left: longer than the card takes, or the card
			 * is down. */
			kernel->gone |= is_end(errno);
			kernel->departure_first++;
			port_lost(kernel->port, 1);
		}
	}
	kernel->departure_first = kernel->departure_count = 0;
	return true;
}

static void flush_socket(void *of)
{
	struct kernel *kernel = of;

	if (kernel->port->full || send_departures(kernel)) {
		return;
	}
	kernel->port->full = true;
	for (uint32_t i = kernel->departure_first; i < kernel->departure_count; i++) {
		keep(kernel, i);
	}
}

static enum drop give_socket(void *of, const struct frame *frame)
{
	struct kernel *kernel = of;
	struct departure *departure;
	uint32_t count;

	if (kernel->departure_count == SWITCH_BATCH) {
		flush_socket(kernel);
	}
	if (kernel->port->full || kernel->gone) {
		return DROP_NO_ROOM;
	}
	departure = &kernel->departures[kernel->departure_count];
	memcpy(departure->head, frame->head, frame->head_bytes);
	count = compose(kernel, departure, frame, departure->head);
	kernel->messages[kernel->departure_count++].msg_hdr =
		(struct msghdr){.msg_iov = departure->iov, .msg_iovlen = count};
	return DROP_NONE;
}

const struct edge tap_edge = {"tap", true, take_tap, release, give_tap, flush_tap, false};
const struct edge packet_edge = {"packet",    true,         take_socket, release,
				 give_socket, flush_socket, true};
const struct edge link_edge = {"link",      true,         take_socket, release,
			       give_socket, flush_socket, false};

/* ---- its life ---- */

const struct edge *kernel_edge(const char *kind)
{
	const struct edge *const edges[] = {&tap_edge, &packet_edge, &link_edge};

	for (uint32_t i = 0; i < ARRAY_COUNT(edges); i++) {
		if (strcmp(edges[i]->kind, kind) == 0) {
			return edges[i];
		}
	}
	return NULL;
}

static int option(int fd, int level, int name)
{
	socklen_t bytes = sizeof(int);
	int value = -1;

	return getsockopt(fd, level, name, &value, &bytes) == 0 ? value : -1;
}

static bool is_tap(int fd)
{
	struct ifreq request = {0};

	return ioctl(fd, TUNGETIFF, &request) == 0 && request.ifr_flags & IFF_TAP &&
	       request.ifr_flags & IFF_NO_PI && request.ifr_flags & IFF_VNET_HDR;
}

static bool fits(const struct edge *edge, int fd)
{
	if (edge == &tap_edge) {
		return is_tap(fd);
	}
	if (edge == &packet_edge) {
		return option(fd, SOL_SOCKET, SO_DOMAIN) == AF_PACKET &&
		       option(fd, SOL_SOCKET, SO_TYPE) == SOCK_RAW &&
		       option(fd, SOL_PACKET, PACKET_VNET_HDR) == 1 &&
		       option(fd, SOL_PACKET, PACKET_AUXDATA) == 1;
	}
	return option(fd, SOL_SOCKET, SO_DOMAIN) == AF_UNIX &&
	       option(fd, SOL_SOCKET, SO_TYPE) == SOCK_SEQPACKET;
}

int kernel_create(const struct edge *edge, int fd, struct kernel **kernel)
{
	struct kernel *made;

	if (!fits(edge, fd)) {
		return -EINVAL;
	}
	if (fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) != 0) {
		return -errno;
	}
	made = calloc(1, sizeof(*made));
	if (made == NULL) {
		return -ENOMEM;
	}
	/* Most of it is never touched: few frames are that long. */
	made->buffers = mmap(NULL, BUFFERS_BYTES, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (made->buffers == MAP_FAILED) {
		free(made);
		return -ENOMEM;
	}
	made->kept = made->buffers + (size_t)BUFFER_BYTES * SWITCH_BATCH;
	made->edge = edge;
	made->fd = fd;
	made->readable = true;
	*kernel = made;
	return 0;
}

void kernel_destroy(struct kernel **kernel)
{
	close((*kernel)->fd);
	munmap((*kernel)->buffers, BUFFERS_BYTES);
	free(*kernel);
	*kernel = NULL;
}

void kernel_attach(struct kernel *kernel, struct port *port, uint32_t max_bytes)
{
	kernel->port = port;
	port->max_bytes = max_bytes;
	port->takes = PORT_HEARS;
	if (has_vnet(kernel)) {
		port->takes |= PORT_TAKES_CSUM | PORT_TAKES_TCP4 | PORT_TAKES_TCP6;
	}
}

int kernel_fd(const struct kernel *kernel)
{
	return kernel->fd;
}

void kernel_ready(struct kernel *kernel, bool readable, bool writable)
{
	kernel->readable |= readable;
	if (writable) {
		kernel->port->full = !send_departures(kernel);
	}
}

bool kernel_is_readable(const struct kernel *kernel)
{
	return kernel->readable && !kernel->gone;
}

int kernel_card(const struct kernel *kernel)
{
	struct sockaddr_ll address = {0};
	socklen_t bytes = sizeof(address);

	return kernel->edge == &packet_edge &&
			       getsockname(kernel->fd, (struct sockaddr *)&address, &bytes) == 0
		       ? address.sll_ifindex
		       : 0;
}

/* Asked of the descriptor itself, which may be of another network namespace than this process. */
bool kernel_has_link(const struct kernel *kernel)
{
	struct ifreq request = {.ifr_ifindex = kernel_card(kernel)};

	if (kernel->edge != &packet_edge) {
		return true;
	}
	return ioctl(kernel->fd, SIOCGIFNAME, &request) == 0 &&
	       ioctl(kernel->fd, SIOCGIFFLAGS, &request) == 0 && request.ifr_flags & IFF_RUNNING;
}

bool kernel_is_gone(const struct kernel *kernel)
{
	return kernel->gone;
}
