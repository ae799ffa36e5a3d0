/* See snoop.h. IGMP: RFC 1112, 2236, 3376; MLD: RFC 2710, 3810; RFC 4541 says how to snoop. */
#include "switch/snoop.h"

#include <stddef.h>
#include <string.h>

#define IGMP_QUERY    0x11u
#define IGMP_REPORT1  0x12u
#define IGMP_REPORT2  0x16u
#define IGMP_LEAVE    0x17u
#define IGMP_REPORT3  0x22u
#define MLD_QUERY     130u
#define MLD_REPORT1   131u
#define MLD_DONE      132u
#define MLD_REPORT2   143u
#define RECORDS_MAX   64u
#define TO_INCLUDE    3u
#define MODE_INCLUDE  1u
#define BLOCK_SOURCES 6u
#define MESSAGE_MAX   1500u

static void turn(struct snoop_members *members)
{
	members->before = members->now;
	members->now = (struct port_set){0};
}

static bool is_empty(const struct snoop_members *members)
{
	uint64_t any = 0;

	for (uint32_t i = 0; i < SNOOP_PORTS / 64; i++) {
		any |= members->now.words[i] | members->before.words[i];
	}
	return any == 0;
}

static void age(struct snoop *snoop, uint32_t now_s)
{
	while (now_s - snoop->turned_s >= SNOOP_TURN_S) {
		/* After a long silence two turns forget all there is. */
		snoop->turned_s = now_s - snoop->turned_s >= 3 * SNOOP_TURN_S
					  ? now_s - 2 * SNOOP_TURN_S
					  : snoop->turned_s + SNOOP_TURN_S;
		turn(&snoop->routers);
		for (uint32_t i = 0; i < SNOOP_GROUPS; i++) {
			struct snoop_group *group = &snoop->groups[i / SNOOP_WAYS][i % SNOOP_WAYS];

			turn(&group->members);
			if (is_empty(&group->members)) {
				group->key = 0;
			}
		}
	}
}

static struct snoop_group *bucket_of(struct snoop *snoop, uint64_t key)
{
	return snoop->groups[((key * 0x9e3779b97f4a7c15ull) >> 40) % (SNOOP_GROUPS / SNOOP_WAYS)];
}

static struct snoop_group *find(struct snoop *snoop, uint64_t key)
{
	struct snoop_group *bucket = bucket_of(snoop, key);

	for (uint32_t i = 0; i < SNOOP_WAYS; i++) {
		if (bucket[i].key == key) {
			return &bucket[i];
		}
	}
	return NULL;
}

static void join(struct snoop *snoop, uint64_t key, uint32_t port)
{
	struct snoop_group *group = find(snoop, key);

	if (group == NULL) {
		for (uint32_t i = 0; i < SNOOP_WAYS && group == NULL; i++) {
			if (bucket_of(snoop, key)[i].key == 0) {
				group = &bucket_of(snoop, key)[i];
			}
		}
		if (group == NULL) {
			return; /* it goes to all, as a group that nobody knows */
		}
		*group = (struct snoop_group){.key = key};
	}
	port_set_add(&group->members.now, port);
}

static void leave(struct snoop *snoop, uint64_t key, uint32_t port)
{
	struct snoop_group *group = find(snoop, key);

	if (group != NULL) {
		port_set_remove(&group->members.now, port);
		port_set_remove(&group->members.before, port);
	}
}

/* RFC 1112, 6.4; RFC 2464, 7. */
static uint64_t key_of(const uint8_t *address, uint8_t family, uint16_t vlan)
{
	uint64_t mac = family == 4 ? 0x01005e000000ull | (frame_mac(address - 2) & 0x7fffffu)
				   : 0x333300000000ull | (frame_mac(address + 10) & 0xffffffffu);

	return mac << 16 | vlan;
}

struct change {
	struct snoop *snoop;
	uint8_t family;
	uint16_t vlan;
	uint32_t port;
	bool alone;
};

static void one(const struct change *change, const uint8_t *address, bool joins)
{
	uint64_t key = key_of(address, change->family, change->vlan);

	if (joins) {
		join(change->snoop, key, change->port);
	} else if (change->alone) {
		leave(change->snoop, key, change->port);
	}
}

/* The records of IGMPv3 and MLDv2: type, auxiliary words, number of sources, group. */
static void records(const struct change *change, const uint8_t *at, uint32_t bytes,
		    uint32_t record_count)
{
	uint32_t address = change->family == 4 ? 4 : 16;

	for (uint32_t i = 0; i < record_count && i < RECORDS_MAX; i++) {
		uint32_t sources, length;

		if (bytes < 4 + address) {
			return;
		}
		sources = frame_u16(at + 2);
		length = 4 + address + sources * address + at[1] * 4u;
		if (at[0] != BLOCK_SOURCES) {
			one(change, at + 4,
			    sources != 0 || (at[0] != TO_INCLUDE && at[0] != MODE_INCLUDE));
		}
		if (length > bytes) {
			return;
		}
		at += length;
		bytes -= length;
	}
}

static void igmp(const struct change *change, const uint8_t *message, uint32_t bytes)
{
	if (bytes < 8) {
		return;
	}
	switch (message[0]) {
	case IGMP_QUERY:
		port_set_add(&change->snoop->routers.now, change->port);
		break;
	case IGMP_REPORT1:
	case IGMP_REPORT2:
		one(change, message + 4, true);
		break;
	case IGMP_LEAVE:
		one(change, message + 4, false);
		break;
	case IGMP_REPORT3:
		records(change, message + 8, bytes - 8, frame_u16(message + 6));
		break;
	default:
		break;
	}
}

static void mld(const struct change *change, const uint8_t *message, uint32_t bytes)
{
	if (bytes < 8) {
		return;
	}
	switch (message[0]) {
	case MLD_QUERY:
		port_set_add(&change->snoop->routers.now, change->port);
		break;
	case MLD_REPORT1:
	case MLD_DONE:
		if (bytes >= 24) {
			one(change, message + 8, message[0] == MLD_REPORT1);
		}
		break;
	case MLD_REPORT2:
		records(change, message + 8, bytes - 8, frame_u16(message + 6));
		break;
	default:
		break;
	}
}

void snoop_hear(struct snoop *snoop, const struct frame *frame, uint32_t port, bool alone,
		uint32_t now_s)
{
	const struct frame_headers *h = &frame->headers;
	const struct change change = {.snoop = snoop,
				      .family = h->family,
				      .vlan = frame->vlan,
				      .port = port,
				      .alone = alone};
	uint8_t message[MESSAGE_MAX];
	uint32_t bytes;

	if (h->transport == 0 || h->fragment ||
	    (h->protocol != PROTOCOL_IGMP && h->protocol != PROTOCOL_ICMP6)) {
		return;
	}
	age(snoop, now_s);
	bytes = frame->bytes - h->transport;
	bytes = bytes < sizeof(message) ? bytes : (uint32_t)sizeof(message);
	frame_copy(frame, h->transport, bytes, message);
	if (h->family == 4 && h->protocol == PROTOCOL_IGMP) {
		igmp(&change, message, bytes);
	} else if (h->family == 6 && h->protocol == PROTOCOL_ICMP6) {
		mld(&change, message, bytes);
	}
}

/* Groups that every host listens to without saying so. */
static bool is_for_all(const struct frame *frame)
{
	const struct frame_headers *h = &frame->headers;
	static const uint8_t all_nodes[16] = {0xff, 2, [15] = 1};

	switch (h->family) {
	case 4:
		return h->destination[0] != 224 ? h->destination[0] < 224 || h->destination[0] > 239
						: h->destination[1] == 0 && h->destination[2] == 0;
	case 6:
		return h->destination[0] != 0xff || memcmp(h->destination, all_nodes, 16) == 0;
	default:
		return true;
	}
}

bool snoop_find(struct snoop *snoop, const struct frame *frame, struct port_set *to, uint32_t now_s)
{
	const struct snoop_group *group;

	age(snoop, now_s);
	if (is_for_all(frame) || is_empty(&snoop->routers)) {
		return false;
	}
	group = find(snoop, frame_destination(frame) << 16 | frame->vlan);
	if (group == NULL) {
		return false;
	}
	for (uint32_t i = 0; i < SNOOP_PORTS / 64; i++) {
		to->words[i] = group->members.now.words[i] | group->members.before.words[i] |
			       snoop->routers.now.words[i] | snoop->routers.before.words[i];
	}
	return true;
}

static void remove_from(struct snoop_members *members, uint32_t port)
{
	port_set_remove(&members->now, port);
	port_set_remove(&members->before, port);
}

void snoop_forget(struct snoop *snoop, uint32_t port)
{
	remove_from(&snoop->routers, port);
	for (uint32_t i = 0; i < SNOOP_GROUPS; i++) {
		remove_from(&snoop->groups[i / SNOOP_WAYS][i % SNOOP_WAYS].members, port);
	}
}
