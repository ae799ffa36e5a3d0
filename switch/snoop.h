/*
 * Which ports want which multicast group, learned from IGMP and MLD. Only while a router asks for
 * members is a group's traffic kept from others: without one, who wants it cannot be known. Groups
 * of the link itself (224.0.0.x, ff02::1) go to all.
 *
 * A membership and a router are known for two to three times SNOOP_TURN_S after they were last
 * heard of.
 */
#ifndef SWITCH_SNOOP_H
#define SWITCH_SNOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "switch/frame.h"

#define SNOOP_GROUPS 512u
#define SNOOP_WAYS   4u
#define SNOOP_TURN_S 130u
#define SNOOP_PORTS  256u

struct port_set {
	uint64_t words[SNOOP_PORTS / 64];
};

static inline void port_set_add(struct port_set *set, uint32_t port)
{
	set->words[port / 64] |= 1ull << port % 64;
}

static inline void port_set_remove(struct port_set *set, uint32_t port)
{
	set->words[port / 64] &= ~(1ull << port % 64);
}

static inline bool port_set_has(const struct port_set *set, uint32_t port)
{
	return set->words[port / 64] >> port % 64 & 1;
}

static inline bool port_set_meets(const struct port_set *a, const struct port_set *b)
{
	uint64_t both = 0;

	for (uint32_t i = 0; i < SNOOP_PORTS / 64; i++) {
		both |= a->words[i] & b->words[i];
	}
	return both != 0;
}

/* Of this turn and the last. */
struct snoop_members {
	struct port_set now, before;
};

struct snoop_group {
	uint64_t key; /* hardware address << 16 | VLAN; 0: nothing */
	struct snoop_members members;
};

struct snoop {
	struct snoop_members routers;
	uint32_t turned_s;
	struct snoop_group groups[SNOOP_GROUPS / SNOOP_WAYS][SNOOP_WAYS];
};

/* A frame that `port` sent, checked. `alone`: what leaves, leaves nobody else behind this port. */
void snoop_hear(struct snoop *snoop, const struct frame *frame, uint32_t port, bool alone,
		uint32_t now_s);
/* Whether a frame for a group goes to some ports alone: then, those. */
bool snoop_find(struct snoop *snoop, const struct frame *frame, struct port_set *to,
		uint32_t now_s);
void snoop_forget(struct snoop *snoop, uint32_t port);

#endif
