/*
 * Hyper-V sockets (hv_sock): what travels in the in-band packets of a connection's channel, and how
 * a port of AF_VSOCK is a service. Names as in Linux's net/vmw_vsock/hyperv_transport.c.
 * Little-endian, packed.
 *
 * A connection is a channel of its own, in byte mode, with VMBUS_CHANNEL_TLNPI_PROVIDER_OFFER: the
 * service is its interface type. A packet is struct vmpipe_proto_header and its data; one without
 * data is the end of its direction (FIN).
 */
#ifndef VSP_HVSOCK_H
#define VSP_HVSOCK_H

#include <assert.h>
#include <stdint.h>

#include "include/vmbus/protocol.h"

#define HVSOCK_MTU 16384u /* bytes of data in a packet, at most */

struct vmpipe_proto_header {
	uint32_t pkt_type; /* HVSOCK_DATA */
	uint32_t data_size;
} __attribute__((packed));
static_assert(sizeof(struct vmpipe_proto_header) == 8, "vmpipe_proto_header");
#define HVSOCK_DATA 1u

/* What an offer's user_def begins with. */
struct hvsock_offer {
	uint32_t pipe_type; /* VMBUS_PIPE_TYPE_BYTE */
	uint8_t from_host;  /* 1: the host connects to a listener of the guest's */
} __attribute__((packed));

/* <port>-facb-11e6-bd58-64006a7986d3: the services that have a port. Listeners are at ports up to
 * HVSOCK_PORT_MAX. */
#define HVSOCK_GUID_OF_PORT(port)                                                                  \
	{                                                                                          \
		(port), 0xfacb, 0x11e6,                                                            \
		{                                                                                  \
			0xbd, 0x58, 0x64, 0x00, 0x6a, 0x79, 0x86, 0xd3                             \
		}                                                                                  \
	}
#define HVSOCK_PORT_MAX 0x7fffffffu

#endif
