/*
 * Hostile frames through a switch with every policy somewhere: any bytes, cut into any pieces, with
 * any claim of what is left undone; settings and lists change in between. What a port receives must
 * be a frame that its settings allow: of its VLAN, not longer than it takes, finished if it does
 * not take unfinished ones, and from a source that the sender may use.
 */
#include "tests/fuzz/fuzz.h"
#include "tests/fake/edge.h"

#include <string.h>

#define PORTS 6u

static struct vswitch *net;
static struct fake_edge edges[PORTS];
static uint64_t now;

void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: CHECK(%s) failed\n", file, line, what);
	abort();
}

static uint16_t fuzz_u16(void)
{
	uint16_t high = fuzz_byte();

	return (uint16_t)(high << 8 | fuzz_byte());
}

static struct acl_prefix any_prefix(void)
{
	struct acl_prefix of = {.family = fuzz_byte() % 8, .bits = fuzz_byte() % 130};

	of.address[0] = 10;
	of.address[15] = fuzz_byte() % 4;
	return of;
}

static void any_list(struct acl *acl)
{
	struct acl_basic rule = {.action = fuzz_byte() % 4,
				 .directions = fuzz_byte() % 4,
				 .remote = fuzz_byte() & 1,
				 .hardware = fuzz_byte() % 4 == 0,
				 .mac = 0x020000000000ull | fuzz_byte() % 8,
				 .prefix = any_prefix()};
	struct acl_extended more = {.action = fuzz_byte() % 3,
				    .direction = fuzz_byte() % 4,
				    .local = any_prefix(),
				    .remote = any_prefix(),
				    .local_ports = {fuzz_byte(), fuzz_byte()},
				    .remote_ports = {fuzz_byte(), fuzz_byte()},
				    .protocol = (int16_t)(fuzz_byte() % 20 - 1),
				    .weight = fuzz_byte(),
				    .stateful = fuzz_byte() & 1,
				    .idle_s = fuzz_byte()};

	switch (fuzz_byte() % 5) {
	case 0:
		(void)!acl_add_basic(acl, &rule);
		break;
	case 1:
	case 2:
		(void)!acl_add_extended(acl, &more);
		break;
	case 3:
		acl_remove_basic(acl, fuzz_byte() % 4);
		acl_remove_extended(acl, fuzz_byte() % 4);
		break;
	default:
		acl_clear(acl);
		break;
	}
}

static void any_settings(struct port *port)
{
	struct port_settings settings = {
		.mac = fuzz_byte() & 1 ? 0x020000000000ull | fuzz_byte() % 8 : 0,
		.spoofing = fuzz_byte() & 1,
		.dhcp_guard = fuzz_byte() & 1,
		.router_guard = fuzz_byte() & 1,
		.priority_tag = fuzz_byte() & 1,
		.team = fuzz_byte() % 4 == 0,
		.mirror = fuzz_byte() % 4,
		.vlan = {.mode = fuzz_byte() % 7,
			 .vlan = fuzz_byte() % 5,
			 .primary = fuzz_byte() % 5},
		.storm_limit = fuzz_byte() % 4 * 100u,
		.limit_bits = fuzz_byte() % 4 * 8000000ull,
		.reserve_weight = fuzz_byte() % 110,
	};

	settings.vlan.list.words[0] = fuzz_byte();
	(void)!port_set(port, &settings);
	port->takes = fuzz_byte();
	port->max_bytes = fuzz_u16();
	port->full = fuzz_byte() % 8 == 0;
	port_set_link(port, fuzz_byte() % 4 != 0);
}

/* Frames that look like something, and then are changed anywhere. */
static uint32_t any_frame(uint8_t *to)
{
	static const uint8_t types[][2] = {{8, 0}, {0x86, 0xdd}, {0x81, 0}, {0x88, 0xa8}, {8, 6}};
	static const uint8_t protocols[] = {1, 2, 6, 17, 58, 0, 43, 44, 51, 60, 59};
	uint32_t length = fuzz_byte() < 0x80 ? fuzz_byte() : fuzz_u16(), at = 14;
	const uint8_t *type = types[fuzz_byte() % ARRAY_COUNT(types)];

	memset(to, 0, length + 256);
	to[0] = fuzz_byte() % 8 == 0 ? 0x33 : 2;
	to[5] = fuzz_byte() % 8;
	to[6] = fuzz_byte() % 16 == 0 ? 1 : 2;
	to[11] = fuzz_byte() % 8;
	memcpy(to + 12, type, 2);
	if (type[0] == 0x81) {
		to[15] = fuzz_byte() % 6;
		memcpy(to + 16, types[fuzz_byte() % ARRAY_COUNT(types)], 2);
		at = 18;
	}
	to[at] = to[at - 2] == 8 ? 0x45 : 0x60;
	to[at + 9] = to[at + 6] = protocols[fuzz_byte() % ARRAY_COUNT(protocols)];
	to[at + 6] = to[at] == 0x45 ? 0 : to[at + 6];
	to[at + 20 + 12] = to[at + 40 + 12] = 0x50;
	for (uint32_t i = fuzz_byte() % 16; i > 0; i--) {
		to[fuzz_byte() % (length < 160 ? length + 1 : 160)] = fuzz_byte();
	}
	return length;
}

static void send_any(struct fake_edge *edge)
{
	static uint8_t bytes[66000];
	uint32_t length = any_frame(bytes);
	struct fake_frame *frame;

	if (edge->sent_count == FAKE_FRAMES) {
		return;
	}
	frame = fake_send(edge, bytes, length);
	frame->offload = (struct frame_offload){
		.flags = fuzz_byte() & (PORT_CSUM_NEEDED | PORT_CSUM_GOOD),
		.gso = fuzz_byte() % 4,
		.gso_bytes = fuzz_byte() & 1 ? 1448 : fuzz_u16(),
		.header_bytes = fuzz_u16(),
		.csum_start = fuzz_byte() & 1 ? 34 : fuzz_u16(),
		.csum_offset = fuzz_byte() & 1 ? 16 : fuzz_u16(),
	};
	frame->tagged = fuzz_byte() % 4 == 0;
	frame->tag = fuzz_u16() & 0xf007;
	edge->piece_bytes = fuzz_byte() * 16u;
}

static bool may_be_from(uint64_t source)
{
	for (uint32_t i = 0; i < PORTS; i++) {
		const struct port_settings *of = &edges[i].port->settings;

		if (of->mac == 0 || of->spoofing || of->mac == source) {
			return true;
		}
	}
	return false;
}

static void look(const struct fake_edge *edge)
{
	const struct port *port = edge->port;

	for (uint32_t i = 0; i < edge->received_count; i++) {
		const struct fake_frame *frame = &edge->received[i];
		const struct frame_offload *offload = &frame->offload;
		bool mirror = port->settings.mirror == MIRROR_DESTINATION;

		EXPECT(port->takes & PORT_HEARS);
		EXPECT(frame->length >= PORT_FRAME_MIN && frame->length <= PORT_FRAME_MAX);
		EXPECT(offload->gso != PORT_GSO_NONE || frame->length <= port->max_bytes);
		EXPECT(offload->gso != PORT_GSO_TCP4 || port->takes & PORT_TAKES_TCP4);
		EXPECT(offload->gso != PORT_GSO_TCP6 || port->takes & PORT_TAKES_TCP6);
		EXPECT(offload->gso != PORT_GSO_NONE || !(offload->flags & PORT_CSUM_NEEDED) ||
		       port->takes & PORT_TAKES_CSUM);
		EXPECT(!(offload->flags & PORT_CSUM_NEEDED) ||
		       offload->csum_start + offload->csum_offset + 2u <= frame->length);
		EXPECT(mirror || !frame->tagged || (frame->tag & 0xfff) == 0 ||
		       (port->vlan.trunk && vlan_set_has(&port->vlan.hears, frame->tag & 0xfff)));
		EXPECT(!(frame->bytes[6] & 1));
		EXPECT(may_be_from(frame_mac(frame->bytes + 6)));
	}
}

static void clear_all(void)
{
	for (uint32_t i = 0; i < PORTS; i++) {
		fake_clear(&edges[i]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_begin(data, size);
	now = (uint64_t)fuzz_u16() * BUCKET_SECOND_NS;
	EXPECT(vswitch_create("net", &net) == 0);
	for (uint32_t i = 0; i < PORTS; i++) {
		char name[] = {'p', (char)('0' + i), 0};

		fake_attach(&edges[i], net, name);
		edges[i].port->edge = i % 2 ? &fake_kernel_edge : &fake_edge;
	}
	while (fuzz_more()) {
		struct fake_edge *edge = &edges[fuzz_byte() % PORTS];

		switch (fuzz_byte() % 8) {
		case 0:
			any_settings(edge->port);
			clear_all(); /* announcements came by what was set before */
			break;
		case 1:
			any_list(&edge->port->acl);
			break;
		case 2:
			now += (uint64_t)fuzz_u16() * (BUCKET_SECOND_NS / 100);
			break;
		default:
			for (uint32_t i = fuzz_byte() % 8; i > 0; i--) {
				send_any(edge);
			}
			vswitch_turn(net, now);
			for (uint32_t i = 0; i < PORTS; i++) {
				look(&edges[i]);
			}
			clear_all();
			break;
		}
	}
	for (uint32_t i = 0; i < PORTS; i++) {
		fake_detach(&edges[i]);
	}
	vswitch_destroy(&net);
	return 0;
}
