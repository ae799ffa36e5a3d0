/* See guard.h. RFC 2131, 8415; RFC 792, 1256, 4861, 7113. */
#include "switch/guard.h"

#define DHCP4_SERVER        67u
#define DHCP6_SERVER        547u
#define ICMP_REDIRECT       5u
#define ICMP_ADVERTISEMENT  9u
#define ICMP6_ADVERTISEMENT 134u
#define ICMP6_REDIRECT      137u

bool guard_is_dhcp_server(const struct frame *frame)
{
	const struct frame_headers *h = &frame->headers;

	return h->unknown || (h->protocol == PROTOCOL_UDP && h->transport != 0 &&
			      ((h->family == 4 && h->source_port == DHCP4_SERVER) ||
			       (h->family == 6 && h->source_port == DHCP6_SERVER)));
}

bool guard_is_router(const struct frame *frame)
{
	const struct frame_headers *h = &frame->headers;
	uint8_t type;

	if (h->unknown || h->transport == 0) {
		return h->unknown;
	}
	type = frame->head[h->transport];
	return (h->family == 4 && h->protocol == PROTOCOL_ICMP &&
		(type == ICMP_REDIRECT || type == ICMP_ADVERTISEMENT)) ||
	       (h->family == 6 && h->protocol == PROTOCOL_ICMP6 &&
		(type == ICMP6_ADVERTISEMENT || type == ICMP6_REDIRECT));
}
