/*
 * The virtual switch without its input and output: ports, policies, forwarding. One thread uses a
 * switch and all of its ports; nothing here blocks or makes a system call. What a port is attached
 * to is its edge, of which this knows four functions.
 *
 * Who is who: a port "sends" what comes out of it into the switch, and "receives" what the switch
 * gives it, as whoever is attached to it sees it.
 */
#ifndef SWITCH_SWITCH_H
#define SWITCH_SWITCH_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/check.h"
#include "switch/acl.h"
#include "switch/addresses.h"
#include "switch/bucket.h"
#include "switch/drop.h"
#include "switch/frame.h"
#include "switch/snoop.h"
#include "switch/station.h"
#include "switch/team.h"
#include "switch/vlan.h"

#define SWITCH_PORTS    256u
#define SWITCH_NAME_MAX PORT_NAME_MAX
#define SWITCH_BATCH    32u
#define SWITCH_NO_WAIT  UINT64_MAX

struct port;
struct extensions; /* extend.h */

/* One constant row for each kind of edge. Memory that frames refer to is the edge's or foreign. */
struct edge {
	const char *kind;
	/* Rather than lose a frame that is for it alone, leave it with its sender while it is
	 * `full`. */
	bool waits;
	/*
	 * Up to `max` frames that the port sends, in order, and no further one once they have
	 * `bytes`; they stay valid until release(). Fewer: there are no more. It may change the
	 * port's `takes`, `max_bytes` and `full`.
	 */
	uint32_t (*take)(void *of, struct frame *frames, uint32_t max, uint64_t bytes);
	/* The first `count` of those taken are done with; the rest comes again. */
	void (*release)(void *of, uint32_t count);
	/*
	 * The port receives a frame that it can take as it is: DROP_NONE or DROP_NO_ROOM. The
	 * frame's head, tag and iovecs hold until it returns, what the parts refer to until
	 * flush().
	 */
	enum drop (*give)(void *of, const struct frame *frame);
	/* Everything given is to be on its way now. Frames lost here are counted by port_lost(). */
	void (*flush)(void *of);
	bool card; /* a network card, the way out */
};

enum mirror { MIRROR_NONE, MIRROR_SOURCE, MIRROR_DESTINATION };

struct port_settings {
	uint64_t mac;  /* the address of who is attached; 0: whichever it uses */
	bool spoofing; /* it may use others as well */
	bool dhcp_guard, router_guard;
	bool priority_tag; /* the priority in its tags is its own to choose */
	bool team;         /* it is one of the uplinks of the switch's team */
	bool function; /* its guest may send past it, by a virtual function of the uplink's card */
	char uplink[SWITCH_NAME_MAX]; /* the one of them that it would rather leave by; "": any */
	enum mirror mirror;
	struct vlan_settings vlan;
	uint32_t ip_limit; /* IP addresses that it may use; 0: any number, at most ADDRESSES_MAX */
	uint32_t storm_limit;    /* broadcast, multicast and unknown frames a second; 0: none */
	uint64_t limit_bits;     /* a second; 0: none */
	uint64_t reserve_bits;   /* a second; 0: by weight */
	uint32_t reserve_weight; /* 0 to 100; 0 is as 1 */
};

struct port_stats {
	uint64_t sent_frames, sent_bytes, sent_broadcast, sent_multicast;
	uint64_t received_frames, received_bytes, received_broadcast, received_multicast;
	uint64_t cut_frames, finished_checksums; /* work that this receiver made us do */
	uint64_t drops[DROP_COUNT];
};

/* The edge's owner reads all, and writes what is marked [E]. */
struct port {
	char name[SWITCH_NAME_MAX];
	uint16_t index;
	struct vswitch *net;
	const struct edge *edge;
	void *of;
	uint32_t takes;     /* [E] enum port_take */
	uint32_t max_bytes; /* [E] of a frame that is not cut, without its tag */
	bool full;          /* [E] no room now; the edge knows when there is again */
	bool down;          /* its link, by port_set_link() */
	uint16_t uplink;    /* the member of the team by which what it sends leaves */
	bool blocked;       /* its turn is not over: the receiver of the next frame was full */
	bool held;          /* what it sends may not pass now: blocked, or above its limit */
	struct port_settings settings;
	struct vlan_rules vlan;
	struct acl acl;
	struct addresses addresses;
	struct bucket storm, limit;
	int64_t deficit; /* bytes that it may send in its turn */
	int64_t quantum;
	struct port_stats stats;
};

struct vswitch {
	char name[SWITCH_NAME_MAX];
	uint32_t port_count;
	struct port *ports[SWITCH_PORTS]; /* by index, with gaps */
	uint16_t used[SWITCH_PORTS];      /* the indices in use */
	uint32_t first;                   /* of `used`: whose turn is first; may be gone */
	uint64_t idle_ns;                 /* since when nobody sends, and no debts were paid */
	uint64_t speed_bits;              /* what reserves in bits are a part of */
	struct port_set touched;          /* to be flushed */
	struct port_set mirrors;          /* ports that receive what others send and receive */
	uint16_t primary_of[VLAN_COUNT];  /* the VLAN in which a VLAN's stations are known */
	struct port *card;             /* the first of its ports that is one; NULL: there is none */
	struct extensions *extensions; /* NULL: none; set before there are ports */
	struct team team;
	struct stations stations;
	struct snoop snoop;
	struct frame frames[SWITCH_BATCH], finished, piece;
};

/* -ENOMEM; -EINVAL: the name is empty or too long. */
int vswitch_create(const char *name, struct vswitch **net) MUST_CHECK;
/* All ports must be gone. */
void vswitch_destroy(struct vswitch **net);

/*
 * A port with the settings of port_defaults(). `takes` and `max_bytes` are for a whole frame of
 * 1,514 bytes and nothing else, until the edge says more.
 *   -EEXIST  the name is taken
 *   -ENOSPC  there are SWITCH_PORTS
 *   -EINVAL, -ENOMEM
 */
int vswitch_add_port(struct vswitch *net, const char *name, const struct edge *edge, void *of,
		     struct port **port) MUST_CHECK;
/* The edge is not called any more. */
void vswitch_remove_port(struct port **port);
struct port *vswitch_find_port(const struct vswitch *net, const char *name);

void port_defaults(struct port_settings *settings);
/*
 * All of them at once, or none.
 *   -EINVAL  a value that cannot be (vlan_compile(), a group's address)
 *   -EEXIST  another port has the address
 *   -ENOTSUP port_obstacle()
 *   -ENOSPC  no place for one more fixed address such as this, or the team has TEAM_MAX
 */
int port_set(struct port *port, const struct port_settings *settings) MUST_CHECK;
/*
 * With these settings: what its guest's virtual function could not keep, as a text that goes on "it
 * has"; NULL: nothing, or it has no such function. Those that it has are asked of a port before it
 * has a rule more.
 */
const char *port_obstacle(const struct port *port, const struct port_settings *settings);
/* Who is attached to it has a link, or none: nothing is given to it then. */
void port_set_link(struct port *port, bool up);
/* Frames that were given, and lost when they were flushed. */
void port_lost(struct port *port, uint32_t frames);

struct vswitch_turn {
	uint32_t
		frames; /* that were dealt with; 0: all that is left waits for room or for wait_ns */
	uint64_t
		wait_ns; /* when a limit or a debt lets the next one pass; SWITCH_NO_WAIT: not known */
};

/* Each port's turn, once, or until somebody has sent something. `now_ns` never goes back. */
struct vswitch_turn vswitch_turn(struct vswitch *net, uint64_t now_ns);

/* Of forward.c: one checked step of a turn. False: the frame is to come again later. */
bool forward_frame(struct vswitch *net, struct port *from, struct frame *frame, uint64_t now_ns);
/* A station of the port's makes itself known to what is behind its uplink. Not in a turn. */
void forward_announce(struct vswitch *net, const struct port *from, uint64_t mac, uint16_t vlan);

#endif
