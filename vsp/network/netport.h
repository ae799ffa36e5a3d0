/*
 * A worker's end of a port of the virtual switch (include/switch/port.h): the connection, the port
 * memory, and where the memory that the switch sees lies in this process. The rings are
 * switch/ring.h's.
 */
#ifndef VSP_NETWORK_NETPORT_H
#define VSP_NETWORK_NETPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "include/switch/port.h"
#include "lib/check.h"

/* Of a frame, that the worker mends before the switch sees it; one place for each `out` slot. */
#define NETPORT_HEAD_BYTES 256u

enum netport_region { NETPORT_RAM, NETPORT_HEADS, NETPORT_REGIONS };

/* Immutable once it is there, but for what the switch writes in the port memory. */
struct netport {
	int connection; /* readable at its end; -1: none */
	int switch_event;
	int events[PORT_QUEUES_MAX]; /* the switch signals them, by queue */
	uint32_t queue_count, out_slots, in_slots;
	uint8_t mac[6];
	struct port_state *memory; /* the whole port memory begins with its state */
	size_t memory_bytes;
	struct iovec regions[NETPORT_REGIONS]; /* in this process */
};

struct netport_request {
	const char *socket; /* the switch's port socket */
	int fd; /* one that is connected to it, taken over; -1: none, then `socket` is connected to */
	const char *network, *name; /* the switch, the port */
	uint8_t mac[6];             /* zeros: the switch chooses */
	uint16_t vlan;              /* 0: as the port is set */
	uint32_t queue_count;
	uint32_t patience_ms; /* for which a port that is in use is asked for again */
	int ram_fd; /* a memory file that is sealed against shrinking, all of it guest memory */
	struct iovec ram;
};

/* 0, or a negative errno and the reason, with a remedy where there is one, in `why`. Waits for the
 * switch, but not for long. */
int netport_connect(struct netport *port, const struct netport_request *request, char *why,
		    size_t why_bytes) MUST_CHECK;
/* Nothing here is used any more. */
void netport_close(struct netport *port);
/* Ends the connection, and with it what the switch has of this process. The descriptor stays until
 * netport_close(). [any thread] */
void netport_break(const struct netport *port);

/* The slot's `region` and `offset` for memory of this process. False: the switch does not see
 * it. */
bool netport_locate(const struct netport *port, const void *at, uint32_t bytes,
		    struct port_slot *slot) MUST_CHECK;
/* Signals the switch. [any thread] */
void netport_kick(const struct netport *port);

#endif
