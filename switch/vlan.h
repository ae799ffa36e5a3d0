/*
 * VLANs of a port. Each frame in the switch is in one VLAN, 0 being that of untagged frames; a port
 * has one VLAN for what it sends untagged, and a set of those that it hears. Private VLANs are such
 * sets as well: an isolated port sends in the secondary VLAN and hears the primary alone, a port of
 * a community hears its own as well, a promiscuous one sends in the primary and hears all of them.
 */
#ifndef SWITCH_VLAN_H
#define SWITCH_VLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "switch/frame.h"

#define VLAN_COUNT 4096u /* 1 to 4094 are real ones */
#define VLAN_WORDS (VLAN_COUNT / 64)

enum vlan_mode {
	VLAN_UNTAGGED,
	VLAN_ACCESS,      /* vlan */
	VLAN_TRUNK,       /* vlan: the native one; list: those that may be tagged */
	VLAN_ISOLATED,    /* primary; vlan: the secondary */
	VLAN_COMMUNITY,   /* primary; vlan: the secondary */
	VLAN_PROMISCUOUS, /* primary; list: the secondaries */
	VLAN_MODES,
};

struct vlan_set {
	uint64_t words[VLAN_WORDS];
};

struct vlan_settings {
	enum vlan_mode mode;
	uint16_t vlan;
	uint16_t primary;
	struct vlan_set list;
};

/* What becomes of the settings. */
struct vlan_rules {
	bool trunk;
	uint16_t own; /* of what it sends untagged */
	struct vlan_set hears;
};

static inline void vlan_set_add(struct vlan_set *set, uint16_t vlan)
{
	set->words[vlan / 64] |= 1ull << vlan % 64;
}

static inline bool vlan_set_has(const struct vlan_set *set, uint16_t vlan)
{
	return set->words[vlan / 64] >> vlan % 64 & 1;
}

/* -EINVAL: a number that is no VLAN's, a secondary that is its own primary. */
int vlan_compile(const struct vlan_settings *settings, struct vlan_rules *rules);

/*
 * The VLAN of a frame that the port sent, into the frame. Its tag keeps the priority alone. False:
 * it may not be sent.
 */
bool vlan_enter(const struct vlan_rules *rules, struct frame *frame);
/* How the port hears it: sets the tag. `priority`: a priority is worth a tag by itself. */
void vlan_leave(const struct vlan_rules *rules, struct frame *frame, uint16_t tag_bits,
		bool priority);

#define VLAN_ID_BITS       0x0fffu
#define VLAN_PRIORITY_BITS 0xe000u

#endif
