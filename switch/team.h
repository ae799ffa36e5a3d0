/*
 * Teaming of uplinks, independent of the switches that they lead to: those know nothing of it. So
 * what a port says leaves by one member alone, which is the cable behind which its stations are
 * known out there. When that member's link goes down another takes its place, and the stations are
 * announced there.
 *
 * What is flooded out there comes by every member, and what was said by one comes back by the
 * others. Of the first one member's copy counts; the second is known by its source, a station that
 * is behind another port of ours.
 *
 * What is behind any member is behind the team: stations and groups are known at its first member.
 */
#ifndef SWITCH_TEAM_H
#define SWITCH_TEAM_H

#include <stdbool.h>
#include <stdint.h>

#include "switch/drop.h"
#include "switch/frame.h"
#include "switch/snoop.h"

#define TEAM_MAX 8u
#define TEAM_ECHO_S                                                                                \
	5u /* in which what a station said comes back; what comes later, it says from elsewhere */

struct port;
struct vswitch;

struct team {
	uint32_t count;
	uint16_t members[TEAM_MAX]; /* their indices, the oldest port first */
	uint16_t ear; /* whose copies count: the first that is up, or else the first */
	struct port_set set;
};

/* After a change of ports, of who is a member, of a link: each port's uplink. Stations that have
 * another one now are announced there. */
void team_update(struct vswitch *net);

/* Where a station or group that `port` spoke of is known. */
uint16_t team_place(const struct vswitch *net, const struct port *port);
/* A frame that a member sent, and where its destination is, NULL: not known. DROP_NONE or
 * DROP_TEAM. */
enum drop team_judge(const struct vswitch *net, const struct port *from, const struct frame *frame,
		     const struct port *to, uint32_t now_s);

#endif
