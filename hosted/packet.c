/* See packet.h, and unix(7), cmsg(3). */
#include "hosted/packet.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Room for one control message, aligned as its header. */
union rights {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(PACKET_FDS_MAX * sizeof(int))];
};

/* A message may have other control data before it. */
static void take_descriptors(struct msghdr *message, struct packet *packet)
{
	struct cmsghdr *header = CMSG_FIRSTHDR(message);

	while (header != NULL &&
	       (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)) {
		header = CMSG_NXTHDR(message, header);
	}
	if (header != NULL) {
		packet->fd_count = (unsigned int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(packet->fds, CMSG_DATA(header), packet->fd_count * sizeof(int));
	}
}

int packet_receive(int socket, int flags, struct packet *packet)
{
	union rights rights;
	struct iovec part = {.iov_base = packet->bytes, .iov_len = packet->size};
	/* CMSG_LEN, not CMSG_SPACE: the padding of the latter has room for one more than there may
	 * be. */
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = &rights,
				 .msg_controllen = CMSG_LEN(packet->fds_max * sizeof(int))};
	ssize_t length;

	CHECK(packet->fds_max <= PACKET_FDS_MAX);
	packet->fd_count = 0;
	length = recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
	if (length < 0) {
		return -errno;
	}
	packet->length = (size_t)length;
	packet->cut = message.msg_flags & MSG_TRUNC;
	packet->fds_cut = message.msg_flags & MSG_CTRUNC;
	take_descriptors(&message, packet);
	return 0;
}

void packet_close(struct packet *packet)
{
	while (packet->fd_count != 0) {
		close(packet->fds[--packet->fd_count]);
	}
}

int packet_send(int socket, int flags, const void *bytes, size_t length, const int *fds,
		unsigned int fd_count)
{
	union rights rights = {.header = {.cmsg_level = SOL_SOCKET,
					  .cmsg_type = SCM_RIGHTS,
					  .cmsg_len = CMSG_LEN(fd_count * sizeof(int))}};
	struct iovec part = {.iov_base = (void *)bytes, .iov_len = length};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = &rights,
				 .msg_controllen = CMSG_SPACE(fd_count * sizeof(int))};

	CHECK(fd_count <= PACKET_FDS_MAX);
	/* A worker's sandbox has send() alone: it hands nothing over. */
	if (fd_count == 0) {
		return send(socket, bytes, length, flags | MSG_NOSIGNAL) >= 0 ? 0 : -errno;
	}
	memcpy(CMSG_DATA(&rights.header), fds, fd_count * sizeof(int));
	/* A packet is sent whole: a count that is not negative is all of it. */
	return sendmsg(socket, &message, flags | MSG_NOSIGNAL) >= 0 ? 0 : -errno;
}
