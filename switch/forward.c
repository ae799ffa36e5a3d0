/*
 * The way of a frame from the port that sent it to those that receive it. The order of policies is
 * that of docs/design/switch.md. Where it ends, it ends with a reason that is counted.
 */
#include <stddef.h>

#include "switch/extend.h"
#include "switch/guard.h"
#include "switch/offload.h"
#include "switch/switch.h"

#define LINK_LOCAL_FIRST 0x0180c2000000ull /* 802.1Q, 8.6.3: no bridge forwards these */
#define LINK_LOCAL_LAST  0x0180c200000full
#define DHCP_SERVER_PORT 67u
#define DHCP_CLIENT_PORT 68u

static void drop_at(struct port *port, enum drop drop)
{
	port->stats.drops[drop]++;
}

static bool is_group(uint64_t mac)
{
	return mac & FRAME_MAC_GROUP;
}

static bool is_plugged(const struct port *port)
{
	return port->takes & PORT_HEARS && !port->down;
}

/* ---- to one receiver ---- */

/* Receivers that look at the raw field, and not at what is said beside it (DHCP clients do). */
static bool wants_finished(const struct port *to, const struct frame *frame)
{
	const struct frame_headers *h = &frame->headers;

	return !(to->takes & PORT_TAKES_CSUM) ||
	       (h->protocol == PROTOCOL_UDP && (h->destination_port == DHCP_SERVER_PORT ||
						h->destination_port == DHCP_CLIENT_PORT));
}

static enum drop give(struct port *to, const struct frame *frame)
{
	enum drop drop = frame->offload.gso == PORT_GSO_NONE && frame->bytes > to->max_bytes
				 ? DROP_TOO_LONG
				 : to->edge->give(to->of, frame);

	if (drop == DROP_NONE) {
		to->stats.received_frames++;
		to->stats.received_bytes += frame->bytes;
	} else {
		drop_at(to, drop);
	}
	return drop;
}

static bool takes_whole(const struct port *to, const struct frame *frame)
{
	switch (frame->offload.gso) {
	case PORT_GSO_TCP4:
		return to->takes & PORT_TAKES_TCP4;
	case PORT_GSO_TCP6:
		return to->takes & PORT_TAKES_TCP6;
	default:
		return true;
	}
}

/* As the receiver takes it: whole, with its checksum finished, or in pieces. */
static void deliver(struct vswitch *net, struct port *to, struct frame *frame)
{
	uint32_t count = takes_whole(to, frame) ? 1 : offload_count(frame);

	port_set_add(&net->touched, to->index);
	if (count > 1) {
		for (uint32_t n = 0; n < count; n++) {
			offload_cut(&net->piece, frame, n);
			if (!(to->takes & PORT_TAKES_CSUM)) {
				offload_finish(&net->piece);
				to->stats.finished_checksums++;
			}
			to->stats.cut_frames++;
			if (give(to, &net->piece) != DROP_NONE) {
				break; /* the sender begins again from there anyhow */
			}
		}
	} else if (frame->offload.flags & PORT_CSUM_NEEDED && frame->offload.gso == PORT_GSO_NONE &&
		   wants_finished(to, frame)) {
		offload_fork(&net->finished, frame);
		offload_finish(&net->finished);
		to->stats.finished_checksums++;
		give(to, &net->finished);
	} else {
		give(to, frame);
	}
}

static void mirror(struct vswitch *net, const struct port *from, const struct port *to,
		   struct frame *frame, uint16_t tag_bits)
{
	for (uint32_t i = 0; i < net->port_count; i++) {
		struct port *port = net->ports[net->used[i]];

		if (port_set_has(&net->mirrors, port->index) && port != from && port != to &&
		    port->takes & PORT_HEARS) {
			frame->tag = tag_bits | frame->vlan;
			frame->tagged = frame->vlan != 0;
			deliver(net, port, frame);
		}
	}
}

static void receive(struct vswitch *net, const struct port *from, struct port *to,
		    struct frame *frame, uint16_t tag_bits, uint32_t now_s)
{
	uint64_t mac = frame_destination(frame);

	if (!is_plugged(to)) {
		drop_at(to, DROP_UNPLUGGED);
		return;
	}
	if (!acl_allows(&to->acl, frame, ACL_IN, now_s)) {
		drop_at(to, DROP_ACL_IN);
		return;
	}
	if (!extend_received(net->extensions, from, to, frame)) {
		drop_at(to, DROP_FILTER);
		return;
	}
	to->stats.received_broadcast += mac == FRAME_MAC_BROADCAST;
	to->stats.received_multicast += is_group(mac) && mac != FRAME_MAC_BROADCAST;
	if (to->settings.mirror == MIRROR_SOURCE && from->settings.mirror != MIRROR_SOURCE) {
		mirror(net, from, to, frame, tag_bits);
	}
	vlan_leave(&to->vlan, frame, tag_bits, to->settings.priority_tag);
	deliver(net, to, frame);
}

/* ---- to several ---- */

/* A port that stands for one address has no use for frames to those that nobody knows. */
static bool hears_unknown(const struct port *port)
{
	return port->settings.mac == 0 || port->settings.spoofing || port->takes & PORT_TAKES_ALL;
}

static bool may_hear(const struct port *from, const struct port *to, const struct frame *frame)
{
	return to != from && to->settings.mirror != MIRROR_DESTINATION &&
	       !(to->takes & PORT_ELSEWHERE) &&
	       (!to->settings.team || (!from->settings.team && to->index == from->uplink)) &&
	       vlan_set_has(&to->vlan.hears, frame->vlan);
}

/* One member of the team stands for all. */
static bool is_among(const struct vswitch *net, const struct port_set *set, const struct port *port)
{
	return port->settings.team ? port_set_meets(set, &net->team.set)
				   : port_set_has(set, port->index);
}

/* `only` limits them, unless it is NULL; how many. */
static uint32_t flood(struct vswitch *net, const struct port *from, struct frame *frame,
		      uint16_t tag_bits, const struct port_set *only, bool unknown, uint32_t now_s)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < net->port_count; i++) {
		struct port *to = net->ports[net->used[i]];

		if (may_hear(from, to, frame) && (!unknown || hears_unknown(to)) &&
		    (only == NULL || is_among(net, only, to))) {
			receive(net, from, to, frame, tag_bits, now_s);
			count++;
		}
	}
	return count;
}

/* ---- from the sender ---- */

/* What is wrong with the frame, or with the port's having sent it, whoever it is for. */
static enum drop judge_form(const struct port *from, struct frame *frame)
{
	enum drop drop = frame_check(frame);
	uint64_t source;

	if (drop != DROP_NONE) {
		return drop;
	}
	source = frame_source(frame);
	if (source == 0 || is_group(source)) {
		return DROP_SOURCE;
	}
	if (from->settings.mac != 0 && !from->settings.spoofing && source != from->settings.mac) {
		return DROP_SPOOFED;
	}
	return vlan_enter(&from->vlan, frame) ? DROP_NONE : DROP_VLAN;
}

/* What the port's policies say; counted, so once a frame. */
static enum drop judge_content(struct port *from, const struct frame *frame, bool to_many,
			       uint64_t now_ns, uint32_t now_s)
{
	if (!addresses_allow(&from->addresses, from->settings.ip_limit, frame, now_s)) {
		return DROP_IP_LIMIT;
	}
	if (from->settings.dhcp_guard && guard_is_dhcp_server(frame)) {
		return DROP_DHCP_GUARD;
	}
	if (from->settings.router_guard && guard_is_router(frame)) {
		return DROP_ROUTER_GUARD;
	}
	if (!acl_allows(&from->acl, frame, ACL_OUT, now_s)) {
		return DROP_ACL_OUT;
	}
	return to_many && !bucket_take(&from->storm, now_ns) ? DROP_STORM : DROP_NONE;
}

static void learn(struct vswitch *net, const struct port *from, const struct frame *frame,
		  uint32_t now_s)
{
	uint64_t source = frame_source(frame);

	if (source != from->settings.mac) {
		station_learn(&net->stations, source, net->primary_of[frame->vlan],
			      team_place(net, from), now_s);
	}
	if (is_group(frame_destination(frame))) {
		snoop_hear(&net->snoop, frame, team_place(net, from), !hears_unknown(from), now_s);
	}
}

static uint32_t send_on(struct vswitch *net, struct port *from, struct port *to,
			struct frame *frame, uint16_t tag_bits, uint32_t now_s)
{
	uint64_t destination = frame_destination(frame);
	struct port_set members;

	if (extend_forward(net->extensions, from, frame, &members)) {
		return flood(net, from, frame, tag_bits, &members, false, now_s);
	}
	if (to != NULL) {
		if (!may_hear(from, to, frame)) {
			return 0;
		}
		receive(net, from, to, frame, tag_bits, now_s);
		return 1;
	}
	if (destination >= LINK_LOCAL_FIRST && destination <= LINK_LOCAL_LAST) {
		return 0;
	}
	if (is_group(destination) && destination != FRAME_MAC_BROADCAST &&
	    snoop_find(&net->snoop, frame, &members, now_s)) {
		return flood(net, from, frame, tag_bits, &members, false, now_s);
	}
	return flood(net, from, frame, tag_bits, NULL, !is_group(destination), now_s);
}

static struct port *look_up(const struct vswitch *net, const struct frame *frame, uint32_t now_s)
{
	int port = STATION_NOWHERE;

	if (!is_group(frame_destination(frame))) {
		port = station_find(&net->stations, frame_destination(frame),
				    net->primary_of[frame->vlan], now_s);
	}
	return port == STATION_NOWHERE ? NULL : net->ports[port];
}

/* One whose frames go by a virtual function is behind the card that has that; where there is no
 * card, nowhere. */
static struct port *find_receiver(const struct vswitch *net, const struct frame *frame,
				  uint32_t now_s)
{
	struct port *to = look_up(net, frame, now_s);

	return to != NULL && to->takes & PORT_ELSEWHERE && net->card != NULL ? net->card : to;
}

bool forward_frame(struct vswitch *net, struct port *from, struct frame *frame, uint64_t now_ns)
{
	uint32_t now_s = (uint32_t)(now_ns / BUCKET_SECOND_NS);
	enum drop drop = judge_form(from, frame);
	uint64_t destination;
	uint16_t tag_bits;
	struct port *to;

	if (drop != DROP_NONE) {
		drop_at(from, drop);
		return true;
	}
	destination = frame_destination(frame);
	to = find_receiver(net, frame, now_s);
	if (from->settings.team) {
		drop = team_judge(net, from, frame, to, now_s);
		if (drop != DROP_NONE) {
			drop_at(from, drop);
			return true;
		}
	} else if (to != NULL && to->settings.team) {
		to = net->ports[from->uplink];
	}
	if (to != NULL && to->full && to->edge->waits) {
		return false;
	}
	drop = extend_sent(net->extensions, from, frame)
		       ? judge_content(from, frame, to == NULL, now_ns, now_s)
		       : DROP_FILTER;
	if (drop != DROP_NONE) {
		drop_at(from, drop);
		return true;
	}
	learn(net, from, frame, now_s);
	from->stats.sent_frames++;
	from->stats.sent_bytes += frame->bytes;
	from->stats.sent_broadcast += destination == FRAME_MAC_BROADCAST;
	from->stats.sent_multicast += is_group(destination) && destination != FRAME_MAC_BROADCAST;
	tag_bits = from->settings.priority_tag ? frame->tag
					       : frame->tag & (uint16_t)~VLAN_PRIORITY_BITS;
	if (from->settings.mirror == MIRROR_SOURCE) {
		mirror(net, from, NULL, frame, tag_bits);
	}
	if (send_on(net, from, to, frame, tag_bits, now_s) == 0) {
		drop_at(from, DROP_NOWHERE);
	}
	return true;
}

/* As a RARP request, which no station answers and every switch learns from. */
void forward_announce(struct vswitch *net, const struct port *from, uint64_t mac, uint16_t vlan)
{
	static const uint8_t rarp[] = {0x80, 0x35, 0, 1, 8, 0, 6, 4, 0, 3};
	struct port *to = net->ports[from->uplink];
	uint8_t bytes[FRAME_SHORTEST] = {0};
	struct iovec piece = {bytes, sizeof(bytes)};
	struct frame frame;

	if (!is_plugged(to) || !vlan_set_has(&to->vlan.hears, vlan)) {
		return;
	}
	frame_put_address(bytes, FRAME_MAC_BROADCAST);
	frame_put_address(bytes + 6, mac);
	memcpy(bytes + FRAME_MACS, rarp, sizeof(rarp));
	frame_put_address(bytes + 22, mac);
	frame_put_address(bytes + 32, mac);
	frame_init(&frame, &piece, 1);
	CHECK(frame_check(&frame) == DROP_NONE);
	frame.vlan = vlan;
	vlan_leave(&to->vlan, &frame, 0, false);
	deliver(net, to, &frame);
}
