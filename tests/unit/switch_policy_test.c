/* The switch with edges in memory: each policy by a frame that passes and one that does not. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fake/edge.h"
#include "tests/fake/packet.h"

#define PORTS  5u
#define SECOND BUCKET_SECOND_NS

static struct vswitch *net;
static struct fake_edge edges[PORTS];
static struct packet packet;
static uint64_t now;

void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: CHECK(%s) failed\n", file, line, what);
	abort();
}

static int setup(void **state)
{
	(void)state;
	now = 1000 * SECOND;
	assert_int_equal(vswitch_create("net", &net), 0);
	for (uint32_t i = 0; i < PORTS; i++) {
		char name[16];

		snprintf(name, sizeof(name), "p%u", i);
		fake_attach(&edges[i], net, name);
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < PORTS; i++) {
		fake_detach(&edges[i]);
	}
	vswitch_destroy(&net);
	return 0;
}

static struct port_settings *settings(uint32_t port)
{
	return &edges[port].port->settings;
}

/* Puts a change of settings() in force. */
static int apply(uint32_t port)
{
	struct port_settings copy = *settings(port);

	return port_set(edges[port].port, &copy);
}

static void set(uint32_t port)
{
	assert_int_equal(apply(port), 0);
}

/* Ports 0 to 3 stand for stations 0 to 3, port 4 is open. */
static void give_addresses(void)
{
	for (uint32_t i = 0; i < PORTS - 1; i++) {
		settings(i)->mac = PACKET_MAC(i);
		set(i);
	}
}

static uint64_t dropped(uint32_t port, enum drop drop)
{
	return edges[port].port->stats.drops[drop];
}

static struct fake_frame *queue(uint32_t port)
{
	return fake_send(&edges[port], packet.bytes, packet.length);
}

/* Sends the packet; which ports received one frame, as a mask. */
static uint32_t go(void)
{
	uint32_t mask = 0;

	for (uint32_t i = 0; i < PORTS; i++) {
		fake_clear(&edges[i]);
	}
	vswitch_turn(net, now);
	for (uint32_t i = 0; i < PORTS; i++) {
		assert_int_equal(edges[i].sent_count, 0);
		assert_true(edges[i].received_count <= 1);
		mask |= edges[i].received_count << i;
	}
	return mask;
}

static uint32_t send_from(uint32_t port)
{
	queue(port);
	return go();
}

static void plain(uint32_t to, uint32_t from)
{
	packet_ethernet(&packet, PACKET_MAC(to), PACKET_MAC(from), 0x1234);
	packet_fill(&packet, 50);
}

static void udp(uint32_t family, uint32_t to, uint32_t from, uint16_t to_port, uint16_t from_port)
{
	packet_udp(&packet, family, to, from, to_port, from_port);
	packet_fill(&packet, 20);
	packet_close(&packet);
}

/* ---- forwarding ---- */

static void stations_are_learned(void **state)
{
	(void)state;
	plain(1, 0);
	assert_int_equal(send_from(0), 0x1e); /* nobody knows it */
	plain(0, 1);
	assert_int_equal(send_from(1), 0x01);
	plain(1, 0);
	assert_int_equal(send_from(0), 0x02);
	assert_memory_equal(edges[1].received[0].bytes, packet.bytes, packet.length);
	plain(0, 0);
	assert_int_equal(send_from(0), 0); /* it is where it came from */
	assert_int_equal(dropped(0, DROP_NOWHERE), 1);
	now += (STATION_AGE_S + 1) * SECOND;
	plain(1, 0);
	assert_int_equal(send_from(0), 0x1e);
}

static void unknown_goes_where_it_could_be(void **state)
{
	(void)state;
	give_addresses();
	plain(1, 0);
	assert_int_equal(send_from(0), 0x02); /* known without a word of its own */
	plain(77, 0);
	assert_int_equal(send_from(0), 0x10);
	settings(2)->spoofing = true;
	set(2);
	assert_int_equal(send_from(0), 0x14);
	edges[3].port->takes |= PORT_TAKES_ALL;
	assert_int_equal(send_from(0), 0x1c);
	packet_ethernet(&packet, PACKET_BROADCAST, PACKET_MAC(0), 0x0806);
	assert_int_equal(send_from(0), 0x1e);
	packet_ethernet(&packet, 0x0180c2000000ull, PACKET_MAC(0), 0x0027); /* a bridge's */
	assert_int_equal(send_from(0), 0);
}

static void form(void **state)
{
	(void)state;
	packet_ethernet(&packet, PACKET_BROADCAST, PACKET_MAC(0), 0x0806);
	assert_int_equal(send_from(0), 0x1e);
	packet.length = 13;
	assert_int_equal(send_from(0), 0);
	assert_int_equal(dropped(0, DROP_LENGTH), 1);
	packet_ethernet(&packet, PACKET_MAC(1), PACKET_BROADCAST, 0x0806);
	assert_int_equal(send_from(0), 0);
	packet_ethernet(&packet, PACKET_MAC(1), 0, 0x0806);
	assert_int_equal(send_from(0), 0);
	assert_int_equal(dropped(0, DROP_SOURCE), 2);
}

static void no_more_than_it_takes(void **state)
{
	(void)state;
	give_addresses();
	packet_ethernet(&packet, PACKET_MAC(1), PACKET_MAC(0), 0x1234);
	packet_fill(&packet, 1500);
	assert_int_equal(send_from(0), 0x02);
	packet_fill(&packet, 1);
	assert_int_equal(send_from(0), 0);
	assert_int_equal(dropped(1, DROP_TOO_LONG), 1);
	edges[1].port->max_bytes = 9014;
	assert_int_equal(send_from(0), 0x02);
	edges[1].room = 0;
	assert_int_equal(send_from(0), 0);
	assert_int_equal(dropped(1, DROP_NO_ROOM), 1);
	edges[1].room = 1;
	edges[1].port->takes = 0;
	assert_int_equal(send_from(0), 0);
	assert_int_equal(dropped(1, DROP_UNPLUGGED), 1);
}

/* ---- who may say what ---- */

static void spoofing(void **state)
{
	(void)state;
	give_addresses();
	plain(1, 0);
	assert_int_equal(send_from(0), 0x02);
	plain(1, 9);
	assert_int_equal(send_from(0), 0);
	assert_int_equal(dropped(0, DROP_SPOOFED), 1);
	plain(1, 2); /* another's */
	assert_int_equal(send_from(0), 0);
	settings(0)->spoofing = true;
	set(0);
	plain(1, 9);
	assert_int_equal(send_from(0), 0x02);
	plain(9, 1);
	assert_int_equal(send_from(1), 0x01);
	/* What another port stands for, nobody takes over. */
	plain(1, 2);
	assert_int_equal(send_from(0), 0x02);
	plain(2, 1);
	assert_int_equal(send_from(1), 0x04);
}

static void an_address_is_one_ports(void **state)
{
	(void)state;
	give_addresses();
	settings(4)->mac = PACKET_MAC(1);
	assert_int_equal(apply(4), -EEXIST);
	settings(4)->mac = PACKET_BROADCAST;
	assert_int_equal(apply(4), -EINVAL);
	settings(4)->mac = 0;
	settings(1)->mac = PACKET_MAC(50);
	set(1);
	settings(4)->mac = PACKET_MAC(1);
	assert_int_equal(apply(4), 0);
}

static void dhcp_guard(void **state)
{
	(void)state;
	give_addresses();
	for (uint32_t family = 4; family <= 6; family += 2) {
		uint16_t server = family == 4 ? 67 : 547, client = family == 4 ? 68 : 546;

		settings(0)->dhcp_guard = false;
		set(0);
		udp(family, 1, 0, client, server);
		assert_int_equal(send_from(0), 0x02);
		settings(0)->dhcp_guard = true;
		set(0);
		assert_int_equal(send_from(0), 0);
		udp(family, 1, 0, server, client);
		assert_int_equal(send_from(0), 0x02);
	}
	assert_int_equal(dropped(0, DROP_DHCP_GUARD), 2);
}

static void router_guard(void **state)
{
	static const uint8_t icmp[][2] = {{5, 4}, {9, 4}, {134, 6}, {137, 6}};

	(void)state;
	give_addresses();
	for (uint32_t i = 0; i < ARRAY_COUNT(icmp); i++) {
		packet_ip(&packet, icmp[i][1], 1, 0, icmp[i][1] == 4 ? 1 : 58);
		packet_put(&packet, icmp[i], 1);
		packet_fill(&packet, 30);
		packet_close(&packet);
		settings(0)->router_guard = false;
		set(0);
		assert_int_equal(send_from(0), 0x02);
		settings(0)->router_guard = true;
		set(0);
		assert_int_equal(send_from(0), 0);
		packet.bytes[icmp[i][1] == 4 ? 34 : 54] = icmp[i][1] == 4 ? 8 : 135;
		assert_int_equal(send_from(0), 0x02);
	}
	assert_int_equal(dropped(0, DROP_ROUTER_GUARD), 4);
	/* Behind headers that nobody reads to their end: it could be one. */
	packet_ip(&packet, 6, 1, 0, 60);
	packet_put(&packet, (const uint8_t[]){58, 12}, 2);
	packet_fill(&packet, 200);
	assert_int_equal(send_from(0), 0);
}

static uint64_t send_ip(uint8_t family, uint8_t last)
{
	udp(family, 1, 0, 1000, 2000);
	packet.bytes[family == 4 ? 29 : 37] = last;
	return send_from(0);
}

static void ip_limit(void **state)
{
	(void)state;
	give_addresses();
	settings(0)->ip_limit = 2;
	set(0);
	assert_int_equal(send_ip(4, 1), 0x02);
	assert_int_equal(send_ip(6, 1), 0x02);
	assert_int_equal(send_ip(4, 2), 0);
	assert_int_equal(send_ip(6, 2), 0);
	assert_int_equal(send_ip(4, 1), 0x02);
	assert_int_equal(dropped(0, DROP_IP_LIMIT), 2);
	/* The one that is still used stays, the other makes room. */
	now += 200 * SECOND;
	assert_int_equal(send_ip(6, 1), 0x02);
	now += 200 * SECOND;
	assert_int_equal(send_ip(4, 3), 0x02);
	assert_int_equal(send_ip(4, 1), 0);
	assert_int_equal(send_ip(6, 1), 0x02);
	/* Who asks by ARP uses the address as well; who has none yet may ask for one. */
	packet_ethernet(&packet, PACKET_MAC(1), PACKET_MAC(0), 0x0806);
	packet_fill(&packet, 60);
	packet.bytes[28] = 10;
	assert_int_equal(send_from(0), 0);
	memset(packet.bytes + 28, 0, 4);
	assert_int_equal(send_from(0), 0x02);
	/* Links have addresses of their own; what is not known may be anything. */
	udp(6, 1, 0, 1000, 2000);
	packet.bytes[22] = 0xfe;
	packet.bytes[23] = 0x80;
	assert_int_equal(send_from(0), 0x02);
	packet_ip(&packet, 6, 1, 0, 60);
	packet_put(&packet, (const uint8_t[]){58, 12}, 2);
	packet_fill(&packet, 200);
	assert_int_equal(send_from(0), 0);
	settings(0)->ip_limit = 0;
	set(0);
	assert_int_equal(send_from(0), 0x02);
}

static void storm_limit(void **state)
{
	uint32_t passed = 0;

	(void)state;
	give_addresses();
	settings(0)->storm_limit = 10;
	set(0);
	for (uint32_t i = 0; i < 100; i++) {
		packet_ethernet(&packet, PACKET_BROADCAST, PACKET_MAC(0), 0x0806);
		passed += send_from(0) != 0;
		plain(1, 0);
		assert_int_equal(send_from(0), 0x02); /* what is known is no storm */
	}
	assert_int_equal(passed, 10);
	assert_int_equal(dropped(0, DROP_STORM), 90);
	plain(77, 0); /* what is unknown is one */
	assert_int_equal(send_from(0), 0);
	now += SECOND;
	assert_int_equal(send_from(0), 0x10);
}

/* ---- VLANs ---- */

static void vlan(uint32_t port, enum vlan_mode mode, uint16_t primary, uint16_t id)
{
	struct vlan_settings *vlan = &settings(port)->vlan;

	*vlan = (struct vlan_settings){.mode = mode, .primary = primary, .vlan = id};
	if (mode == VLAN_TRUNK) {
		for (uint16_t i = 1; i < 200; i++) {
			vlan_set_add(&vlan->list, i);
		}
	}
	if (mode == VLAN_PROMISCUOUS) {
		vlan_set_add(&vlan->list, 101);
		vlan_set_add(&vlan->list, 102);
	}
	set(port);
}

static void broadcast(uint32_t from)
{
	packet_ethernet(&packet, PACKET_BROADCAST, PACKET_MAC(from), 0x0806);
	packet_fill(&packet, 46);
}

static void access_and_trunk(void **state)
{
	(void)state;
	vlan(0, VLAN_ACCESS, 0, 10);
	vlan(1, VLAN_ACCESS, 0, 10);
	vlan(2, VLAN_ACCESS, 0, 20);
	vlan(3, VLAN_TRUNK, 0, 20);
	broadcast(0);
	assert_int_equal(send_from(0), 0x0a);
	assert_false(edges[1].received[0].tagged);
	assert_true(edges[3].received[0].tagged);
	assert_int_equal(edges[3].received[0].tag, 10);
	broadcast(2);
	assert_int_equal(send_from(2), 0x08);
	assert_false(edges[3].received[0].tagged); /* the native one */
	broadcast(3);
	assert_int_equal(send_from(3), 0x04);
	packet_tag(&packet, ETHERTYPE_VLAN, 10); /* in the frame */
	assert_int_equal(send_from(3), 0x03);
	assert_int_equal(edges[0].received[0].length, 60);
	broadcast(3);
	queue(3)->tagged = true; /* and beside it */
	edges[3].sent[0].tag = 10;
	assert_int_equal(go(), 0x03);
	packet_tag(&packet, ETHERTYPE_VLAN, 200); /* not in its list */
	assert_int_equal(send_from(3), 0);
	assert_int_equal(dropped(3, DROP_VLAN), 1);
	broadcast(0);
	packet_tag(&packet, ETHERTYPE_VLAN,
		   10); /* tags are not for access ports, their own either */
	assert_int_equal(send_from(0), 0);
	assert_int_equal(dropped(0, DROP_VLAN), 1);
	/* A known station is not reached from another VLAN. */
	plain(1, 1);
	send_from(1);
	plain(1, 2);
	assert_int_equal(send_from(2) & 0x02, 0);
	plain(1, 0);
	assert_int_equal(send_from(0), 0x02);
}

static void no_second_tag_behind_the_first(void **state)
{
	(void)state;
	vlan(0, VLAN_ACCESS, 0, 20);
	vlan(3, VLAN_TRUNK, 0, 20);
	broadcast(0);
	packet_tag(&packet, ETHERTYPE_VLAN, 10); /* would be the only one on the trunk */
	packet_tag(&packet, ETHERTYPE_VLAN, 0);
	assert_int_equal(send_from(0), 0);
	broadcast(0);
	packet_tag(&packet, ETHERTYPE_S_VLAN, 10);
	assert_int_equal(send_from(0), 0);
	assert_int_equal(dropped(0, DROP_VLAN), 2);
	broadcast(0);
	packet_tag(&packet, ETHERTYPE_VLAN, 0); /* a priority, no VLAN */
	assert_int_equal(send_from(0), 0x08);
	broadcast(3);
	packet_tag(&packet, ETHERTYPE_VLAN, 77);
	packet_tag(&packet, ETHERTYPE_VLAN, 10);
	assert_int_equal(send_from(3), 0); /* nobody is in 10 */
	assert_int_equal(dropped(3, DROP_VLAN), 0);
}

static void private_vlans(void **state)
{
	/* from 0, 1 isolated; 2, 3 a community; 4 promiscuous */
	static const uint32_t heard[] = {0x10, 0x10, 0x18, 0x14, 0x0f};

	(void)state;
	vlan(0, VLAN_ISOLATED, 100, 101);
	vlan(1, VLAN_ISOLATED, 100, 101);
	vlan(2, VLAN_COMMUNITY, 100, 102);
	vlan(3, VLAN_COMMUNITY, 100, 102);
	vlan(4, VLAN_PROMISCUOUS, 100, 0);
	for (uint32_t i = 0; i < PORTS; i++) {
		broadcast(i);
		assert_int_equal(send_from(i), heard[i]);
	}
	/* All of them are known now, in the primary VLAN: answers find their way. */
	plain(0, 4);
	assert_int_equal(send_from(4), 0x01);
	plain(4, 0);
	assert_int_equal(send_from(0), 0x10);
	plain(1, 0);
	assert_int_equal(send_from(0), 0);
	plain(3, 2);
	assert_int_equal(send_from(2), 0x08);
	plain(0, 2);
	assert_int_equal(send_from(2), 0);
}

static void numbers_that_are_no_vlans(void **state)
{
	struct vlan_settings *of = &settings(0)->vlan;

	(void)state;
	*of = (struct vlan_settings){.mode = VLAN_ACCESS};
	assert_int_equal(apply(0), -EINVAL);
	of->vlan = 4095;
	assert_int_equal(apply(0), -EINVAL);
	of->vlan = 4094;
	assert_int_equal(apply(0), 0);
	*of = (struct vlan_settings){.mode = VLAN_ISOLATED, .primary = 5, .vlan = 5};
	assert_int_equal(apply(0), -EINVAL);
	*of = (struct vlan_settings){.mode = VLAN_TRUNK};
	vlan_set_add(&of->list, 4095);
	assert_int_equal(apply(0), -EINVAL);
	*of = (struct vlan_settings){.mode = VLAN_PROMISCUOUS, .primary = 5};
	vlan_set_add(&of->list, 5);
	assert_int_equal(apply(0), -EINVAL);
	of->mode = VLAN_MODES;
	assert_int_equal(apply(0), -EINVAL);
}

static void priority_tag(void **state)
{
	(void)state;
	vlan(0, VLAN_TRUNK, 0, 0);
	vlan(1, VLAN_TRUNK, 0, 0);
	vlan(2, VLAN_UNTAGGED, 0, 0);
	broadcast(0);
	packet_tag(&packet, ETHERTYPE_VLAN, 0xa00a);
	send_from(0);
	assert_int_equal(edges[1].received[0].tag, 10);
	settings(0)->priority_tag = settings(1)->priority_tag = settings(2)->priority_tag = true;
	set(0);
	set(1);
	set(2);
	send_from(0);
	assert_int_equal(edges[1].received[0].tag, 0xa00a);
	broadcast(0);
	packet_tag(&packet, ETHERTYPE_VLAN, 0xa000);
	send_from(0);
	assert_true(edges[2].received[0].tagged);
	assert_int_equal(edges[2].received[0].tag, 0xa000);
	assert_false(edges[3].received[0].tagged);
}

/* ---- access lists ---- */

static struct acl_prefix prefix(uint8_t family, uint32_t station, uint8_t bits)
{
	struct acl_prefix of = {.family = family, .bits = bits};

	of.address[0] = family == 4 ? 10 : 0xfd;
	of.address[family == 4 ? 3 : 15] = (uint8_t)station;
	return of;
}

static void basic(uint32_t port, enum acl_action action, uint8_t directions, bool remote,
		  struct acl_prefix of)
{
	struct acl_basic rule = {
		.action = action, .directions = directions, .remote = remote, .prefix = of};

	assert_int_equal(acl_add_basic(&edges[port].port->acl, &rule), 0);
}

static void the_longest_prefix_decides(void **state)
{
	(void)state;
	give_addresses();
	for (uint32_t family = 4; family <= 6; family += 2) {
		acl_clear(&edges[0].port->acl);
		basic(0, ACL_DENY, ACL_OUT | ACL_IN, true, (struct acl_prefix){0});
		basic(0, ACL_ALLOW, ACL_OUT | ACL_IN, true,
		      prefix((uint8_t)family, 1, family == 4 ? 32 : 128));
		udp(family, 1, 0, 1, 1);
		assert_int_equal(send_from(0), 0x02);
		udp(family, 2, 0, 1, 1);
		assert_int_equal(send_from(0), 0);
		udp(family, 0, 1, 1, 1);
		assert_int_equal(send_from(1), 0x01);
		udp(family, 0, 2, 1, 1);
		assert_int_equal(send_from(2), 0);
		basic(0, ACL_DENY, ACL_OUT, true,
		      prefix((uint8_t)family, 1, family == 4 ? 32 : 128));
		udp(family, 1, 0, 1, 1); /* equally long: denied */
		assert_int_equal(send_from(0), 0);
	}
	assert_int_equal(dropped(0, DROP_ACL_OUT), 4);
	assert_int_equal(dropped(0, DROP_ACL_IN), 2);
	plain(1, 0); /* not IP */
	assert_int_equal(send_from(0), 0x02);
}

static void by_hardware_address(void **state)
{
	struct acl_basic rule = {.action = ACL_DENY,
				 .directions = ACL_OUT,
				 .remote = true,
				 .hardware = true,
				 .mac = PACKET_MAC(2)};

	(void)state;
	give_addresses();
	assert_int_equal(acl_add_basic(&edges[0].port->acl, &rule), 0);
	plain(1, 0);
	assert_int_equal(send_from(0), 0x02);
	plain(2, 0);
	assert_int_equal(send_from(0), 0);
	plain(0, 2); /* the other direction */
	assert_int_equal(send_from(2), 0x01);
	rule.any_mac = true;
	assert_int_equal(acl_add_basic(&edges[0].port->acl, &rule), 0);
	plain(1, 0);
	assert_int_equal(send_from(0), 0);
	rule.action = ACL_METER;
	assert_int_equal(acl_add_basic(&edges[0].port->acl, &rule), -EINVAL);
}

static void meters(void **state)
{
	struct acl *acl = &edges[0].port->acl;

	(void)state;
	give_addresses();
	basic(0, ACL_METER, ACL_OUT, true, prefix(4, 0, 8));
	basic(0, ACL_METER, ACL_OUT, true, prefix(4, 1, 32));
	udp(4, 1, 0, 1, 1);
	assert_int_equal(send_from(0), 0x02);
	assert_int_equal(send_from(0), 0x02);
	udp(4, 2, 0, 1, 1);
	assert_int_equal(send_from(0), 0x04);
	udp(4, 0, 2, 1, 1);
	assert_int_equal(send_from(2), 0x01);
	assert_int_equal(acl->basic[0].frames, 1);
	assert_int_equal(acl->basic[1].frames, 2);
	assert_int_equal(acl->basic[1].bytes, 2 * packet.length);
}

static void extended(uint32_t port, struct acl_extended rule)
{
	assert_int_equal(acl_add_extended(&edges[port].port->acl, &rule), 0);
}

static void the_greatest_weight_decides(void **state)
{
	(void)state;
	give_addresses();
	extended(0,
		 (struct acl_extended){.action = ACL_DENY, .direction = ACL_OUT, .protocol = -1});
	extended(0, (struct acl_extended){.action = ACL_ALLOW,
					  .direction = ACL_OUT,
					  .protocol = PROTOCOL_UDP,
					  .remote_ports = {50, 60},
					  .weight = 5});
	extended(0, (struct acl_extended){.action = ACL_DENY,
					  .direction = ACL_OUT,
					  .protocol = PROTOCOL_UDP,
					  .remote = prefix(4, 2, 32),
					  .local_ports = {4000, 4000},
					  .weight = 9});
	for (uint16_t port = 48; port < 63; port++) {
		udp(4, 1, 0, port, 1);
		assert_int_equal(send_from(0), port >= 50 && port <= 60 ? 0x02 : 0);
	}
	udp(4, 2, 0, 55, 4000);
	assert_int_equal(send_from(0), 0);
	udp(4, 2, 0, 55, 4001);
	assert_int_equal(send_from(0), 0x04);
	packet_tcp(&packet, 4, 1, 0, 55, 1, 0, 2);
	packet_close(&packet);
	assert_int_equal(send_from(0), 0);
	udp(4, 0, 1, 9, 9); /* the other direction has no rule */
	assert_int_equal(send_from(1), 0x01);
	packet_ip(&packet, 6, 1, 0, 60); /* not to be read to its end */
	packet_put(&packet, (const uint8_t[]){17, 12}, 2);
	packet_fill(&packet, 200);
	assert_int_equal(send_from(0), 0);
	packet_ethernet(&packet, PACKET_MAC(1), PACKET_MAC(0), ETHERTYPE_ARP);
	packet_fill(&packet, 46);
	assert_int_equal(send_from(0), 0x02); /* no IP */
	assert_int_equal(edges[0].port->acl.extended[0].frames, 1);
	assert_int_equal(edges[0].port->acl.extended[1].frames, 12);
	assert_true(acl_remove_extended(&edges[0].port->acl, 2));
	assert_false(acl_remove_extended(&edges[0].port->acl, 2));
	udp(4, 1, 0, 61, 1);
	assert_int_equal(send_from(0), 0x02);
}

static void answers_pass(void **state)
{
	(void)state;
	give_addresses();
	extended(0, (struct acl_extended){
			    .action = ACL_DENY, .direction = ACL_OUT | ACL_IN, .protocol = -1});
	extended(0, (struct acl_extended){.action = ACL_ALLOW,
					  .direction = ACL_OUT,
					  .protocol = PROTOCOL_UDP,
					  .remote_ports = {53, 53},
					  .weight = 1,
					  .stateful = true,
					  .idle_s = 30});
	udp(4, 0, 1, 4000, 53);
	assert_int_equal(send_from(1), 0); /* nobody asked */
	udp(4, 1, 0, 53, 4000);
	assert_int_equal(send_from(0), 0x02);
	udp(4, 0, 1, 4000, 53);
	assert_int_equal(send_from(1), 0x01);
	udp(4, 0, 2, 4000, 53); /* another answers */
	assert_int_equal(send_from(2), 0);
	udp(4, 0, 1, 4001, 53);
	assert_int_equal(send_from(1), 0);
	now += 30 * SECOND;
	udp(4, 0, 1, 4000, 53);
	assert_int_equal(send_from(1), 0x01); /* and it lives on by it */
	now += 30 * SECOND;
	assert_int_equal(send_from(1), 0x01);
	now += 31 * SECOND;
	assert_int_equal(send_from(1), 0);
	/* An answer in pieces. */
	udp(4, 1, 0, 53, 4000);
	assert_int_equal(send_from(0), 0x02);
	udp(4, 0, 1, 4000, 53);
	packet.bytes[20] = 0x20;
	assert_int_equal(send_from(1), 0x01);
	packet.bytes[20] = 0;
	packet.bytes[21] = 9;
	assert_int_equal(send_from(1), 0x01);
	/* With the rule goes what it let pass. */
	assert_true(acl_remove_extended(&edges[0].port->acl, 0));
	udp(4, 0, 1, 4000, 53);
	assert_int_equal(send_from(1), 0);
}

static void a_flood_of_flows_is_bounded(void **state)
{
	(void)state;
	give_addresses();
	extended(0, (struct acl_extended){.action = ACL_DENY, .direction = ACL_IN, .protocol = -1});
	extended(0, (struct acl_extended){.action = ACL_ALLOW,
					  .direction = ACL_OUT,
					  .protocol = -1,
					  .stateful = true,
					  .idle_s = 30});
	for (uint32_t port = 1; port < 5000; port++) {
		udp(6, 1, 0, 53, (uint16_t)port);
		assert_int_equal(send_from(0), 0x02);
	}
	udp(6, 0, 1, 4999, 53);
	assert_int_equal(send_from(1), 0x01); /* the newest is there */
}

static void rules_that_cannot_be(void **state)
{
	struct acl acl = {0};
	struct acl_basic rule = {.directions = ACL_OUT, .prefix = {.family = 4, .bits = 33}};
	struct acl_extended more = {.direction = ACL_OUT, .protocol = -1, .local_ports = {1, 2}};

	(void)state;
	assert_int_equal(acl_add_basic(&acl, &rule), -EINVAL);
	rule.prefix.bits = 32;
	rule.directions = 0;
	assert_int_equal(acl_add_basic(&acl, &rule), -EINVAL);
	rule.directions = ACL_IN;
	for (uint32_t i = 0; i < ACL_BASIC_MAX; i++) {
		assert_int_equal(acl_add_basic(&acl, &rule), 0);
	}
	assert_int_equal(acl_add_basic(&acl, &rule), -ENOSPC);
	assert_true(acl_remove_basic(&acl, 3));
	assert_int_equal(acl_add_basic(&acl, &rule), 0);
	assert_int_equal(acl_add_extended(&acl, &more), -EINVAL); /* ports of no protocol */
	more.protocol = PROTOCOL_TCP;
	more.local_ports = (struct acl_ports){2, 1};
	assert_int_equal(acl_add_extended(&acl, &more), -EINVAL);
	more.local_ports = (struct acl_ports){1, 2};
	more.stateful = true; /* without an end */
	assert_int_equal(acl_add_extended(&acl, &more), -EINVAL);
	more.idle_s = 1;
	for (uint32_t i = 0; i < ACL_EXTENDED_MAX; i++) {
		assert_int_equal(acl_add_extended(&acl, &more), 0);
	}
	assert_int_equal(acl_add_extended(&acl, &more), -ENOSPC);
	acl_clear(&acl);
}

/* ---- bandwidth ---- */

static void limit(void **state)
{
	uint64_t wait = 0;

	(void)state;
	give_addresses();
	settings(0)->limit_bits = 8000000; /* a megabyte a second */
	set(0);
	for (uint32_t step = 0; step < 2000; step++) {
		struct vswitch_turn turn;

		while (edges[0].sent_count < 64) {
			packet_ethernet(&packet, PACKET_MAC(1), PACKET_MAC(0), 0x1234);
			packet_fill(&packet, 986);
			queue(0);
		}
		turn = vswitch_turn(net, now);
		wait = turn.wait_ns;
		fake_clear(&edges[1]);
		now += SECOND / 1000;
	}
	/* Two seconds, and the burst. Nothing is lost: it is still there. */
	assert_in_range(edges[1].port->stats.received_bytes, 2000000, 2100000);
	assert_int_equal(edges[1].port->stats.drops[DROP_NO_ROOM], 0);
	assert_true(wait != 0 && wait <= SECOND);
}

/* Two senders that always have something, and one receiver that has room for a part of it. */
static void reserve(void **state)
{
	uint64_t sent[2];

	(void)state;
	give_addresses();
	edges[2].port->edge = &fake_kernel_edge;
	settings(0)->reserve_weight = 30;
	settings(1)->reserve_weight = 10;
	set(0);
	set(1);
	for (uint32_t step = 0; step < 4000; step++) {
		for (uint32_t from = 0; from < 2; from++) {
			while (edges[from].sent_count < 100) {
				packet_ethernet(&packet, PACKET_MAC(2), PACKET_MAC(from), 0x1234);
				packet_fill(&packet, from == 0 ? 1486 : 486);
				queue(from);
			}
		}
		edges[2].port->full = step % 2; /* every other turn */
		vswitch_turn(net, now);
		fake_clear(&edges[2]);
	}
	sent[0] = edges[0].port->stats.sent_bytes;
	sent[1] = edges[1].port->stats.sent_bytes;
	/* What is not taken waits; it is not lost. */
	assert_int_equal(edges[2].port->stats.received_bytes, sent[0] + sent[1]);
	assert_in_range(sent[0] * 100 / sent[1], 250, 350);
}

/* A receiver that has room for so much at a time, whoever it is from, and is full in between. */
static void a_reserve_of_what_there_is_room_for(void **state)
{
	static const uint32_t bytes[] = {1514, 100}, weights[] = {10, 30};

	(void)state;
	give_addresses();
	edges[2].port->edge = &fake_kernel_edge;
	for (uint32_t from = 0; from < 2; from++) {
		settings(from)->reserve_weight = weights[from];
		set(from);
	}
	for (uint32_t step = 0; step < 6000; step++) {
		for (uint32_t from = 0; from < 2; from++) {
			while (edges[from].sent_count < 128) {
				packet_ethernet(&packet, PACKET_MAC(2), PACKET_MAC(from), 0x1234);
				packet_fill(&packet, bytes[from] - 14);
				queue(from);
			}
		}
		if (step % 3 == 0) {
			edges[2].room = 64;
			edges[2].port->full = false;
		}
		vswitch_turn(net, now);
		fake_clear(&edges[2]);
	}
	assert_in_range(edges[1].port->stats.sent_bytes * 100 / edges[0].port->stats.sent_bytes,
			270, 330);
	assert_int_equal(edges[2].port->stats.drops[DROP_NO_ROOM], 0);
}

/* Long frames of a port that has little to say among others, who say nothing: they are not in each
 * other's way. */
static void queue_more_than_its_reserve(void)
{
	settings(0)->reserve_weight = 1;
	settings(1)->reserve_weight = 100;
	set(0);
	set(1);
	for (uint32_t i = 0; i < 8; i++) {
		packet_ethernet(&packet, PACKET_MAC(1), PACKET_MAC(0), 0x1234);
		packet_fill(&packet, 1486);
		queue(0);
	}
}

static void nothing_is_left_by_a_turn_without_frames(void **state)
{
	(void)state;
	give_addresses();
	queue_more_than_its_reserve();
	while (vswitch_turn(net, now).frames != 0) {
	}
	assert_int_equal(edges[0].sent_count, 0);
	assert_int_equal(edges[1].received_count, 8);
}

/* A receiver that is full for good stops those alone who send to it. */
static void a_full_kernel_stops_its_own_senders(void **state)
{
	uint32_t turns = 0;

	(void)state;
	give_addresses();
	edges[2].port->edge = &fake_kernel_edge;
	edges[2].room = 1;
	for (uint32_t i = 0; i < 2; i++) {
		packet_ethernet(&packet, PACKET_MAC(2), PACKET_MAC(3), 0x1234);
		packet_fill(&packet, 100);
		queue(3);
	}
	queue_more_than_its_reserve();
	while (edges[0].sent_count != 0) {
		struct vswitch_turn turn = vswitch_turn(net, now);

		assert_in_range(turns++, 0, 100);
		if (turn.frames == 0) {
			assert_in_range(turn.wait_ns, 1, SECOND / 1000);
			now += turn.wait_ns;
		}
	}
	assert_int_equal(edges[1].received_count, 8);
	assert_int_equal(edges[3].sent_count, 1);
}

static void a_full_kernel_keeps_the_order(void **state)
{
	(void)state;
	give_addresses();
	edges[2].port->edge = &fake_kernel_edge;
	edges[2].port->full = true;
	plain(2, 0);
	queue(0);
	plain(1, 0);
	queue(0);
	vswitch_turn(net, now);
	assert_int_equal(edges[0].sent_count, 2);
	assert_int_equal(edges[1].received_count, 0);
	edges[2].port->full = false;
	vswitch_turn(net, now);
	assert_int_equal(edges[2].received_count, 1);
	assert_int_equal(edges[1].received_count, 1);
	assert_int_equal(edges[0].port->stats.sent_frames, 2);
}

/* ---- mirroring ---- */

static void mirror(void **state)
{
	(void)state;
	give_addresses();
	vlan(0, VLAN_ACCESS, 0, 10);
	vlan(1, VLAN_ACCESS, 0, 10);
	settings(0)->mirror = MIRROR_SOURCE;
	set(0);
	settings(3)->mirror = MIRROR_DESTINATION;
	set(3);
	plain(1, 0);
	assert_int_equal(send_from(0), 0x0a);
	assert_int_equal(edges[3].received[0].tag, 10);
	assert_false(edges[1].received[0].tagged);
	plain(0, 1);
	assert_int_equal(send_from(1), 0x09);
	settings(1)->mirror = MIRROR_SOURCE;
	set(1);
	assert_int_equal(send_from(1), 0x09); /* once, though both are watched */
	plain(4, 2);
	assert_int_equal(send_from(2), 0x10); /* of others it sees nothing */
	broadcast(2);
	assert_int_equal(send_from(2), 0x10); /* nor is it one of all */
	settings(0)->mirror = settings(1)->mirror = MIRROR_NONE;
	set(0);
	set(1);
	plain(1, 0);
	assert_int_equal(send_from(0), 0x02);
}

/* ---- multicast ---- */

static const uint8_t group4[] = {239, 1, 2, 3}, group6[16] = {0xff, 5, [15] = 9};

static void to_group(struct packet *to, uint32_t family, uint32_t from, uint8_t protocol)
{
	static const uint8_t mac4[] = {1, 0, 0x5e, 1, 2, 3}, mac6[] = {0x33, 0x33, 0, 0, 0, 9};

	packet_ip(to, family, 0, from, protocol);
	memcpy(to->bytes, family == 4 ? mac4 : mac6, 6);
	memcpy(to->bytes + (family == 4 ? 30 : 38), family == 4 ? group4 : group6,
	       family == 4 ? 4 : 16);
}

static void report(uint32_t family, uint32_t from, uint8_t type, const void *body, uint32_t length)
{
	uint8_t head[8] = {type};

	to_group(&packet, family, from, family == 4 ? 2 : 58);
	if (type == 0x22 || type == 143) {
		head[7] = 1;
	} else if (family == 4) {
		memcpy(head + 4, body, 4);
		length = 0;
	}
	packet_put(&packet, head, 8);
	packet_put(&packet, body, length);
	send_from(from);
}

static uint32_t to_members(uint32_t family)
{
	to_group(&packet, family, 0, 17);
	packet_fill(&packet, 30);
	return send_from(0);
}

static void members_alone(uint32_t family)
{
	static const uint8_t all[16] = {0};
	uint8_t query = family == 4 ? 0x11 : 130, joins = family == 4 ? 0x16 : 131,
		leaves = family == 4 ? 0x17 : 132, version3 = family == 4 ? 0x22 : 143;
	const uint8_t *group = family == 4 ? group4 : group6;
	uint32_t bytes = family == 4 ? 4 : 16;
	uint8_t record[4 + 16] = {4};

	report(family, 1, joins, group, bytes);
	assert_int_equal(to_members(family), 0x1e); /* no router asks */
	report(family, 4, query, all, bytes);
	assert_int_equal(to_members(family), 0x12); /* the member and the router */
	memcpy(record + 4, group, bytes);
	report(family, 2, version3, record, 4 + bytes);
	assert_int_equal(to_members(family), 0x16);
	report(family, 1, leaves, group, bytes);
	assert_int_equal(to_members(family), 0x14);
	record[0] = 3; /* to include, nothing */
	report(family, 2, version3, record, 4 + bytes);
	assert_int_equal(to_members(family), 0x10);
	report(family, 2, joins, group, bytes);
	for (uint32_t i = 0; i < 4; i++) {
		now += 100 * SECOND;
		report(family, 4, query, all, bytes);
		assert_int_equal(to_members(family), i < 2 ? 0x14 : i < 3 ? 0x14 : 0x1e);
		if (i == 1) {
			report(family, 2, joins, group, bytes);
			i = 2;
			now += 300 * SECOND; /* nobody wants it any more */
		}
	}
	now += 1000 * SECOND;
	assert_int_equal(to_members(family), 0x1e);
}

static void multicast(void **state)
{
	(void)state;
	give_addresses();
	members_alone(4);
	members_alone(6);
	/* The link's own groups are for all. */
	udp(4, 0, 1, 5353, 5353);
	memcpy(packet.bytes, (const uint8_t[]){1, 0, 0x5e, 0, 0, 0xfb}, 6);
	memcpy(packet.bytes + 30, (const uint8_t[]){224, 0, 0, 251}, 4);
	assert_int_equal(send_from(1), 0x1d);
}

static void a_member_behind_an_open_port_may_not_be_alone(void **state)
{
	(void)state;
	give_addresses();
	report(4, 4, 0x16, group4, 4);
	report(4, 1, 0x11, (const uint8_t[4]){0}, 4);
	assert_int_equal(to_members(4), 0x12);
	report(4, 4, 0x17, group4, 4);
	assert_int_equal(to_members(4), 0x12);
}

/* ---- offload ---- */

static void tcp_frame(uint32_t payload)
{
	packet_tcp(&packet, 4, 1, 0, 80, 1234, 7, 0x18);
	packet_fill(&packet, payload);
	packet_close(&packet);
	packet_unfinish(&packet);
	queue(0)->offload = (struct frame_offload){.flags = PORT_CSUM_NEEDED,
						   .gso = PORT_GSO_TCP4,
						   .gso_bytes = 1460,
						   .header_bytes = 54,
						   .csum_start = 34,
						   .csum_offset = 16};
}

static void assert_right(const struct fake_frame *frame)
{
	const char *wrong = packet_wrong(frame->bytes, frame->length);

	if (wrong != NULL) {
		fail_msg("%s is wrong", wrong);
	}
	assert_false(frame->offload.flags & PORT_CSUM_NEEDED);
}

static void as_the_receiver_takes_it(void **state)
{
	(void)state;
	give_addresses();
	for (uint32_t piece = 0; piece < 3000; piece += 700) {
		fake_clear(&edges[1]);
		edges[0].piece_bytes = piece;
		edges[1].port->takes = PORT_HEARS;
		tcp_frame(14000);
		vswitch_turn(net, now);
		assert_int_equal(edges[1].received_count, 10);
		for (uint32_t i = 0; i < 10; i++) {
			assert_right(&edges[1].received[i]);
		}
		fake_clear(&edges[1]);
		edges[1].port->takes |= PORT_TAKES_CSUM;
		tcp_frame(14000);
		vswitch_turn(net, now);
		assert_int_equal(edges[1].received_count, 10);
		assert_true(edges[1].received[9].offload.flags & PORT_CSUM_NEEDED);
		fake_clear(&edges[1]);
		edges[1].port->takes |= PORT_TAKES_TCP4;
		tcp_frame(14000);
		assert_int_equal(go(), 0x02);
		assert_int_equal(edges[1].received[0].length, 14054);
		assert_int_equal(edges[1].received[0].offload.gso, PORT_GSO_TCP4);
		assert_memory_equal(edges[1].received[0].bytes, packet.bytes, 14054);
	}
	/* A DHCP client looks at the sum, whatever its driver says. */
	udp(4, 1, 0, 68, 67);
	packet_unfinish(&packet);
	queue(0)->offload = (struct frame_offload){
		.flags = PORT_CSUM_NEEDED, .csum_start = 34, .csum_offset = 6};
	assert_int_equal(go(), 0x02);
	assert_right(&edges[1].received[0]);
	udp(4, 1, 0, 69, 67);
	packet_unfinish(&packet);
	queue(0)->offload = (struct frame_offload){
		.flags = PORT_CSUM_NEEDED, .csum_start = 34, .csum_offset = 6};
	assert_int_equal(go(), 0x02);
	assert_true(edges[1].received[0].offload.flags & PORT_CSUM_NEEDED);
}

/* To several at once, of which each takes something else. */
static void one_receivers_sum_is_not_anothers(void **state)
{
	(void)state;
	edges[1].port->takes |= PORT_TAKES_CSUM;
	edges[3].port->takes |= PORT_TAKES_CSUM;
	udp(4, 77, 0, 1, 1);
	packet_unfinish(&packet);
	queue(0)->offload = (struct frame_offload){
		.flags = PORT_CSUM_NEEDED, .csum_start = 34, .csum_offset = 6};
	assert_int_equal(go(), 0x1e);
	assert_right(&edges[2].received[0]);
	assert_right(&edges[4].received[0]);
	assert_memory_equal(edges[1].received[0].bytes, packet.bytes, packet.length);
	assert_memory_equal(edges[3].received[0].bytes, packet.bytes, packet.length);
}

/* ---- a virtual function ---- */

/* What is for its guest leaves by the card, and the port hears nothing; what it says itself is
 * heard. */
static void one_that_is_elsewhere(void **state)
{
	struct fake_edge card = {.room = FAKE_FRAMES};

	(void)state;
	give_addresses();
	edges[1].port->takes = PORT_ELSEWHERE;
	plain(1, 0);
	assert_int_equal(send_from(0), 0); /* there is no card */
	assert_int_equal(dropped(0, DROP_NOWHERE), 1);
	fake_detach(&edges[4]);
	assert_int_equal(vswitch_add_port(net, "card", &fake_kernel_edge, &card, &card.port), 0);
	assert_int_equal(send_from(0), 0);
	assert_int_equal(card.received_count, 1);
	assert_memory_equal(card.received[0].bytes, packet.bytes, packet.length);
	packet_ethernet(&packet, PACKET_BROADCAST, PACKET_MAC(0), 0x0806);
	fake_clear(&card);
	assert_int_equal(send_from(0), 0x0c); /* its own copy comes from the card */
	assert_int_equal(card.received_count, 1);
	assert_int_equal(dropped(1, DROP_UNPLUGGED), 0);
	plain(0, 1);
	assert_int_equal(send_from(1), 0x01);
	/* As the card hears it from its function, and for that. */
	fake_send(&card, packet.bytes, packet.length);
	assert_int_equal(go(), 0x01);
	plain(1, 77);
	fake_clear(&card);
	fake_send(&card, packet.bytes, packet.length);
	assert_int_equal(go(), 0);
	assert_int_equal(card.received_count, 0);
	edges[1].port->takes = PORT_HEARS;
	fake_send(&card, packet.bytes, packet.length);
	assert_int_equal(go(), 0x02);
	fake_clear(&card);
	vswitch_remove_port(&card.port);
	edges[1].port->takes = PORT_ELSEWHERE;
	plain(1, 0);
	assert_int_equal(send_from(0), 0);
	fake_attach(&edges[4], net, "p4");
}

/* A port whose guest has one says no to what the card does not keep, and what has that to one. */
static void a_function_keeps_few_policies(void **state)
{
	static const struct acl_basic rule = {.action = ACL_DENY, .directions = ACL_IN};

	(void)state;
	give_addresses();
	settings(0)->function = true;
	assert_int_equal(apply(0), -ENOTSUP);
	assert_string_equal(port_obstacle(edges[0].port, settings(0)), "no uplink that is a card");
	edges[4].port->edge = &fake_kernel_edge;
	set(4); /* it looks for cards anew */
	set(0);
	settings(0)->vlan = (struct vlan_settings){.mode = VLAN_ACCESS, .vlan = 7};
	set(0);
	settings(0)->dhcp_guard = true;
	assert_int_equal(apply(0), -ENOTSUP);
	assert_string_equal(port_obstacle(edges[0].port, settings(0)), "a DHCP guard");
	settings(0)->dhcp_guard = false;
	settings(0)->storm_limit = 5;
	assert_string_equal(port_obstacle(edges[0].port, settings(0)), "a storm limit");
	settings(0)->storm_limit = 0;
	settings(0)->limit_bits = 8000;
	assert_string_equal(port_obstacle(edges[0].port, settings(0)), "a limit of bandwidth");
	settings(0)->limit_bits = 0;
	settings(0)->mac = 0;
	assert_string_equal(port_obstacle(edges[0].port, settings(0)), "no address of its own");
	settings(0)->mac = PACKET_MAC(0);
	assert_int_equal(acl_add_basic(&edges[0].port->acl, &rule), 0);
	assert_int_equal(apply(0), -ENOTSUP);
	assert_string_equal(port_obstacle(edges[0].port, settings(0)), "access lists");
	settings(0)->function = false;
	assert_null(port_obstacle(edges[0].port, settings(0)));
	set(0);
}

/* ---- a team of uplinks ---- */

/* Ports 3 and 4 are its members; station 9 is out there, and known. Port 1's first choice is port
 * 4, that of 0 and 2 port 3. */
static void make_team(void)
{
	for (uint32_t i = 3; i < PORTS; i++) {
		settings(i)->team = true;
		set(i);
	}
	plain(0, 9);
	assert_int_equal(send_from(3), 0x07);
}

static void each_sender_has_its_uplink(void **state)
{
	(void)state;
	make_team();
	for (uint32_t i = 0; i < 3; i++) {
		uint32_t own = i == 1 ? 0x10 : 0x08;

		plain(9, i);
		assert_int_equal(send_from(i), own);
		plain(77, i);
		assert_int_equal(send_from(i), own | (0x07 & ~(1u << i)));
		broadcast(i);
		assert_int_equal(send_from(i), own | (0x07 & ~(1u << i)));
	}
}

static void a_team_hears_once(void **state)
{
	(void)state;
	make_team();
	broadcast(9);
	assert_int_equal(send_from(3), 0x07);
	assert_int_equal(send_from(4), 0);
	assert_int_equal(dropped(4, DROP_TEAM), 1);
	/* What is for one that is known may come by either, and never goes out again. */
	plain(9, 1);
	send_from(1);
	plain(1, 9);
	assert_int_equal(send_from(4), 0x02);
	assert_int_equal(send_from(3), 0x02);
	plain(8, 9);
	assert_int_equal(send_from(3), 0x07);
	plain(9, 8);
	assert_int_equal(send_from(3), 0);
}

static void what_a_team_said_comes_back(void **state)
{
	(void)state;
	make_team();
	broadcast(0);
	assert_int_equal(send_from(0), 0x0e);
	assert_int_equal(send_from(4), 0);
	edges[3].port->down = true; /* not told: 3 is heard all the same */
	assert_int_equal(send_from(3), 0);
	assert_int_equal(dropped(3, DROP_TEAM) + dropped(4, DROP_TEAM), 2);
	plain(0, 1);
	assert_int_equal(send_from(1), 0x01); /* 0 is still where it was */
	/* Long silent here, it speaks from there: it has moved. */
	edges[3].port->down = false;
	now += (TEAM_ECHO_S + 1) * SECOND;
	broadcast(0);
	assert_int_equal(send_from(3), 0x07);
	plain(0, 1);
	assert_int_equal(send_from(1), 0x10);
	/* Not so an address that is fixed. */
	settings(2)->mac = PACKET_MAC(2);
	set(2);
	now += 1000 * SECOND;
	broadcast(2);
	assert_int_equal(send_from(3), 0);
}

/* An announcement of the station alone. */
static bool announced(uint32_t port, uint32_t station)
{
	const struct fake_frame *frame = &edges[port].received[0];

	packet_ethernet(&packet, PACKET_BROADCAST, PACKET_MAC(station), 0x8035);
	return edges[port].received_count == 1 && frame->length == 60 &&
	       memcmp(frame->bytes, packet.bytes, 14) == 0 &&
	       memcmp(frame->bytes + 22, packet.bytes + 6, 6) == 0;
}

static void a_team_goes_on_when_a_link_is_down(void **state)
{
	(void)state;
	make_team();
	for (uint32_t i = 0; i < 2; i++) {
		plain(9, i);
		assert_int_equal(send_from(i), 8u << i);
	}
	fake_clear(&edges[4]);
	port_set_link(edges[3].port, false);
	assert_true(announced(4, 0));
	plain(9, 0);
	assert_int_equal(send_from(0), 0x10);
	broadcast(9);
	assert_int_equal(send_from(4), 0x07);
	port_set_link(edges[4].port, false);
	plain(9, 0);
	assert_int_equal(send_from(0), 0);
	assert_int_equal(dropped(3, DROP_UNPLUGGED), 1);
	port_set_link(edges[4].port, true);
	plain(9, 0);
	assert_int_equal(send_from(0), 0x10);
	fake_clear(&edges[3]);
	fake_clear(&edges[4]);
	port_set_link(edges[3].port, true);
	assert_true(announced(3, 0));
	assert_int_equal(edges[4].received_count, 0);
	fake_clear(&edges[4]);
	fake_detach(&edges[3]);
	assert_true(announced(4, 0));
	plain(9, 0);
	assert_int_equal(send_from(0),
			 0x16); /* who was behind the first member is to be learned again */
	fake_attach(&edges[3], net, "again");
}

/* A port may name its first choice; while that has no link, or is no member, it has another all the
 * same. */
static void a_port_names_its_uplink(void **state)
{
	(void)state;
	make_team();
	strcpy(settings(0)->uplink, edges[4].port->name);
	set(0);
	plain(9, 0);
	assert_int_equal(send_from(0), 0x10);
	plain(9, 1);
	assert_int_equal(send_from(1), 0x10); /* who names none has its own, as before */
	fake_clear(&edges[3]);
	port_set_link(edges[4].port, false);
	assert_true(edges[3].received_count == 2); /* 0 and 1 are announced */
	plain(9, 0);
	assert_int_equal(send_from(0), 0x08);
	fake_clear(&edges[4]);
	port_set_link(edges[4].port, true);
	plain(9, 0);
	assert_int_equal(send_from(0), 0x10);
	settings(4)->team = false;
	set(4);
	plain(9, 0);
	assert_int_equal(send_from(0), 0x08);
	settings(4)->team = true;
	set(4);
	plain(9, 0);
	assert_int_equal(send_from(0), 0x10);
	strcpy(settings(0)->uplink, "");
	set(0);
	plain(9, 0);
	assert_int_equal(send_from(0), 0x08);
}

static void a_teams_groups(void **state)
{
	(void)state;
	make_team();
	report(4, 1, 0x16, group4, 4);
	report(4, 3, 0x11, (const uint8_t[4]){0}, 4); /* a router out there asks */
	assert_int_equal(to_members(4), 0x0a);
	to_group(&packet, 4, 1, 17);
	packet_fill(&packet, 30);
	assert_int_equal(send_from(1), 0x10);
}

static void a_team_is_bounded(void **state)
{
	static struct fake_edge more[TEAM_MAX];
	char name[16];

	(void)state;
	make_team();
	for (uint32_t i = 2; i <= TEAM_MAX; i++) {
		struct port_settings of;

		snprintf(name, sizeof(name), "t%u", i);
		fake_attach(&more[i - 2], net, name);
		of = more[i - 2].port->settings;
		of.team = true;
		assert_int_equal(port_set(more[i - 2].port, &of), i < TEAM_MAX ? 0 : -ENOSPC);
	}
	for (uint32_t i = 2; i <= TEAM_MAX; i++) {
		fake_detach(&more[i - 2]);
	}
}

/* ---- ports come and go ---- */

static void names(void **state)
{
	struct vswitch *other;
	struct port *port;
	char longest[SWITCH_NAME_MAX + 1];

	(void)state;
	memset(longest, 'a', sizeof(longest));
	longest[SWITCH_NAME_MAX] = '\0';
	assert_int_equal(vswitch_create(longest, &other), -EINVAL);
	assert_int_equal(vswitch_create("", &other), -EINVAL);
	assert_int_equal(vswitch_add_port(net, longest, &fake_edge, NULL, &port), -EINVAL);
	assert_int_equal(vswitch_add_port(net, "p1", &fake_edge, NULL, &port), -EEXIST);
	assert_ptr_equal(vswitch_find_port(net, "p3"), edges[3].port);
	assert_null(vswitch_find_port(net, "p"));
}

static void a_port_that_is_gone_is_not_known(void **state)
{
	static struct fake_edge many[SWITCH_PORTS];
	struct port *port;
	char name[16];

	(void)state;
	plain(9, 1);
	send_from(1);
	fake_detach(&edges[1]);
	fake_attach(&edges[1], net, "again");
	assert_int_equal(edges[1].port->index, 1);
	plain(1, 0);
	assert_int_equal(send_from(0), 0x1e);
	for (uint32_t i = PORTS; i < SWITCH_PORTS; i++) {
		snprintf(name, sizeof(name), "m%u", i);
		fake_attach(&many[i], net, name);
	}
	assert_int_equal(vswitch_add_port(net, "last", &fake_edge, NULL, &port), -ENOSPC);
	broadcast(0);
	assert_int_equal(send_from(0), 0x1e);
	for (uint32_t i = PORTS; i < SWITCH_PORTS; i++) {
		assert_int_equal(many[i].received_count, 1);
		fake_detach(&many[i]);
	}
}

int main(void)
{
#define ONE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		ONE(stations_are_learned),
		ONE(unknown_goes_where_it_could_be),
		ONE(form),
		ONE(no_more_than_it_takes),
		ONE(spoofing),
		ONE(an_address_is_one_ports),
		ONE(dhcp_guard),
		ONE(router_guard),
		ONE(ip_limit),
		ONE(storm_limit),
		ONE(access_and_trunk),
		ONE(no_second_tag_behind_the_first),
		ONE(private_vlans),
		ONE(numbers_that_are_no_vlans),
		ONE(priority_tag),
		ONE(the_longest_prefix_decides),
		ONE(by_hardware_address),
		ONE(meters),
		ONE(the_greatest_weight_decides),
		ONE(answers_pass),
		ONE(a_flood_of_flows_is_bounded),
		ONE(rules_that_cannot_be),
		ONE(limit),
		ONE(reserve),
		ONE(a_reserve_of_what_there_is_room_for),
		ONE(nothing_is_left_by_a_turn_without_frames),
		ONE(a_full_kernel_stops_its_own_senders),
		ONE(a_full_kernel_keeps_the_order),
		ONE(mirror),
		ONE(multicast),
		ONE(a_member_behind_an_open_port_may_not_be_alone),
		ONE(as_the_receiver_takes_it),
		ONE(one_receivers_sum_is_not_anothers),
		ONE(one_that_is_elsewhere),
		ONE(a_function_keeps_few_policies),
		ONE(each_sender_has_its_uplink),
		ONE(a_team_hears_once),
		ONE(what_a_team_said_comes_back),
		ONE(a_team_goes_on_when_a_link_is_down),
		ONE(a_port_names_its_uplink),
		ONE(a_teams_groups),
		ONE(a_team_is_bounded),
		ONE(names),
		ONE(a_port_that_is_gone_is_not_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
