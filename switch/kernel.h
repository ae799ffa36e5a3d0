/*
 * Edges that are descriptors of the kernel's, opened by whoever may and handed to the switch:
 *
 *   tap     /dev/net/tun with IFF_TAP, IFF_NO_PI, IFF_VNET_HDR: a port of the root, or of a bridge
 *   packet  AF_PACKET, SOCK_RAW, PACKET_VNET_HDR, PACKET_AUXDATA: a network card of the root
 *   link    AF_UNIX, SOCK_SEQPACKET, a frame a packet: a program (NAT, another switch)
 *
 * A frame goes to the kernel by reference, a batch of them in one call where there is such a call.
 */
#ifndef SWITCH_KERNEL_H
#define SWITCH_KERNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "switch/switch.h"

struct kernel;

extern const struct edge tap_edge, packet_edge, link_edge;

/* The edge that a descriptor can be by its kind, or NULL. */
const struct edge *kernel_edge(const char *kind);
/* -EINVAL: the descriptor is not of that kind. It becomes the edge's on success alone. */
int kernel_create(const struct edge *edge, int fd, struct kernel **kernel) MUST_CHECK;
void kernel_destroy(struct kernel **kernel);
/* The port whose edge it is; `max_bytes` of a frame that is not cut. */
void kernel_attach(struct kernel *kernel, struct port *port, uint32_t max_bytes);

/* To be watched edge-triggered, for input, and for output while the port is full. */
int kernel_fd(const struct kernel *kernel);
/* It was found readable, or writable. */
void kernel_ready(struct kernel *kernel, bool readable, bool writable);
/* There may be more to read without another event. */
bool kernel_is_readable(const struct kernel *kernel);
/* A network card has a link; of other kinds true. */
bool kernel_has_link(const struct kernel *kernel);
/* The number of a network card's interface; 0: it is none. */
int kernel_card(const struct kernel *kernel);
/* The other end is gone for good. */
bool kernel_is_gone(const struct kernel *kernel);

#endif
