/*
 * Packets of a SOCK_SEQPACKET socket, with the file descriptors that come along (SCM_RIGHTS).
 *
 * Threads: any; a socket is one thread's at a time. No memory is allocated.
 */
#ifndef HOSTED_PACKET_H
#define HOSTED_PACKET_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/check.h"

#define PACKET_FDS_MAX 253u /* the kernel hands over no more at once (SCM_MAX_FD) */

struct packet {
	/* In: room for the bytes, and for at most PACKET_FDS_MAX descriptors; the kernel closes
	 * what is beyond that. */
	void *bytes;
	size_t size;
	int *fds;
	unsigned int fds_max;
	/* Out. */
	size_t length; /* 0: an empty packet, or the other side has hung up; the kernel does not tell which */
	unsigned int fd_count;
	bool cut;     /* the packet was longer than `size` */
	bool fds_cut; /* there were more descriptors than there was room for, here or in the process */
};

/*
 * Receives a packet; `flags` of recvmsg(). The descriptors, close-on-exec, are the caller's, also
 * with an empty packet: packet_close() closes those that are still in `fds`. -errno: nothing was
 * received, and fd_count is 0.
 */
int packet_receive(int socket, int flags, struct packet *packet) MUST_CHECK;
void packet_close(struct packet *packet);

/*
 * Sends all of it or nothing; `flags` of sendmsg(), there is never a SIGPIPE. The descriptors stay
 * the caller's, at most PACKET_FDS_MAX. -errno.
 */
int packet_send(int socket, int flags, const void *bytes, size_t length, const int *fds,
		unsigned int fd_count) MUST_CHECK;

#endif
