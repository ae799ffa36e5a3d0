/* Why a frame is not delivered. Each is a counter of the port at which it happened. */
#ifndef SWITCH_DROP_H
#define SWITCH_DROP_H

enum drop {
	DROP_NONE,
	/* Counted at the port that sent the frame. */
	DROP_LENGTH,       /* shorter or longer than a frame can be */
	DROP_OFFLOAD,      /* what is left to be done does not fit the frame */
	DROP_SOURCE,       /* the source is a group's address, or none */
	DROP_SPOOFED,      /* the source is not the port's address */
	DROP_IP_LIMIT,     /* of one IP address more than the port may use */
	DROP_DHCP_GUARD,   /* a DHCP server's message */
	DROP_ROUTER_GUARD, /* a router's advertisement or redirect */
	DROP_VLAN,         /* a VLAN that the port may not use, or a tag where none may be */
	DROP_ACL_OUT,      /* an access list of the sender's */
	DROP_STORM,        /* more broadcast, multicast and unknown frames than the port may send */
	DROP_TEAM,         /* another uplink of the team hears it as well, or it is our own */
	DROP_NOWHERE,      /* nobody may receive it */
	/* Counted at the port that would have received it. */
	DROP_ACL_IN,    /* an access list of the receiver's */
	DROP_TOO_LONG,  /* longer than the receiver takes */
	DROP_NO_ROOM,   /* the receiver has no buffer */
	DROP_UNPLUGGED, /* the receiver hears nothing now */
	/* At either. */
	DROP_FILTER, /* an extension's filter */
	DROP_COUNT,
};

/* A word for statistics, and a sentence. */
const char *drop_name(enum drop drop);
const char *drop_text(enum drop drop);

#endif
