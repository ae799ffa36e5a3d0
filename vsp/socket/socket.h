/*
 * Sockets between a guest and programs of the root (hv_sock, AF_VSOCK in the guest), for one guest.
 *
 * A program that wants to reach the guest connects to the listener, or is handed over by
 * sockets_adopt(), and says "CONNECT port\n", or "CONNECT guid\n" for a service without a port.
 * When a program of the guest has accepted it gets "OK number\n", and from then on what the two say
 * to each other. Where nobody accepts it is hung up.
 *
 * When a program of the guest connects, the connector (struct sockets_call) looks for the one in
 * the root.
 *
 * All connections are served by one thread. Each direction is held up by whoever does not read, and
 * no other connection; each ends by itself. A connection that breaks on one side ends on the other.
 */
#ifndef VSP_SOCKET_SOCKET_H
#define VSP_SOCKET_SOCKET_H

#include <stdint.h>

#include "lib/check.h"
#include "lib/state.h"
#include "vmbus/vmbus.h"

/* Connections of a guest at once, those that are being made among them. Beyond that programs wait,
 * and the guest is refused. */
#define SOCKETS_MAX 1536u

struct sockets;

/*
 * What the connector, at the other end of a SOCK_SEQPACKET socket, is asked, and what it answers: 0
 * and the connected SOCK_STREAM socket with the packet (SCM_RIGHTS), or a negative errno.
 */
struct sockets_call {
	uint64_t number;
	struct vmbus_guid service;
};

struct sockets_reply {
	uint64_t number;
	int32_t error;
};

/* What programs call a service: its port, or its GUID. */
#define SOCKETS_NAME_MAX 37u
void sockets_name_service(const struct vmbus_guid *service, char name[SOCKETS_NAME_MAX]);

struct sockets_config {
	int listener;  /* a SOCK_STREAM socket that listens and does not block; -1: none */
	int connector; /* does not block; -1: what the guest connects to is not there */
};

struct sockets_state {
	unsigned int connections; /* there are now */
	uint64_t opened, refused; /* so far: by the other side or for want of room */
};

/* Takes the descriptors, if it succeeds. -errno. [C] */
int sockets_create(struct vmbus *bus, const struct sockets_config *config,
		   struct sockets **sockets) MUST_CHECK;
/* Its thread: by now the process may only do what it may do for good. Before the guest runs. -errno
 * [C] */
int sockets_start(struct sockets *sockets) MUST_CHECK;
/* After sockets_stand() and vmbus_destroy(). */
void sockets_destroy(struct sockets **sockets);

/* A stream socket, as if it had connected to the listener; taken, if it succeeds. -ENOSPC: there
 * are SOCKETS_MAX; -ENOMEM. [T] */
int sockets_adopt(struct sockets *sockets, int fd) MUST_CHECK;

/*
 * Before the guest is saved, and before the end: all connections end, and while it stands there are
 * no new ones. What vmbus_pause() or vmbus_settle() then waits for follows by itself. [C]
 */
void sockets_stand(struct sockets *sockets, bool stand);

void sockets_get_state(struct sockets *sockets, struct sockets_state *state); /* [T] */

/*
 * A part "sockets", by which new connections have other names than those that the guest may still
 * be closing. It is read into what stands and has had no connection; a state without one is an
 * older one. -EINVAL: the list's fault says why. [C]
 */
void sockets_save(struct sockets *sockets, struct state_writer *writer);
int sockets_load(struct sockets *sockets, struct state_reader *list) MUST_CHECK;

#endif
