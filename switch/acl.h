/*
 * Access lists of a port. "Out" is what the port sends, "in" what it hears; "local" is the port's
 * end of a frame, "remote" the other.
 *
 * Basic rules: of those that fit, the one with the longest prefix decides, a denial where two are
 * equally long; rules by hardware address are a list of their own, and both lists must allow.
 * Meters count by the longest prefix among meters. Extended rules: the one of the greatest weight
 * that fits decides, among equals the older. What no rule fits is allowed. Rules by IP do not
 * concern frames that carry none; of a frame whose headers cannot be read, extended rules allow
 * nothing.
 */
#ifndef SWITCH_ACL_H
#define SWITCH_ACL_H

#include <stdbool.h>
#include <stdint.h>

#include "switch/flow.h"
#include "switch/frame.h"

#define ACL_BASIC_MAX    64u
#define ACL_EXTENDED_MAX 128u

enum acl_direction { ACL_OUT = 1, ACL_IN = 2 };
enum acl_action { ACL_ALLOW, ACL_DENY, ACL_METER };

struct acl_prefix {
	uint8_t family; /* 4 or 6; 0: any address of either */
	uint8_t bits;
	uint8_t address[16];
};

struct acl_basic {
	enum acl_action action; /* ACL_METER: by IP alone */
	uint8_t directions;
	bool remote;   /* the address is the remote end's, else the local one's */
	bool hardware; /* by `mac`, not by `prefix` */
	bool any_mac;
	uint64_t mac;
	struct acl_prefix prefix;
	uint64_t frames, bytes; /* that it decided, or counted */
};

struct acl_ports {
	uint16_t first, last; /* 0, 0: any */
};

struct acl_extended {
	enum acl_action action;
	uint8_t direction; /* of one, or both */
	struct acl_prefix local, remote;
	struct acl_ports local_ports, remote_ports;
	int16_t protocol; /* -1: any */
	uint16_t weight;
	bool stateful;   /* what it allows, allows the answers */
	uint16_t idle_s; /* after which the answers are not expected any more; not 0 */
	uint64_t frames, bytes;
};

struct acl {
	uint32_t basic_count, extended_count;
	struct acl_basic basic[ACL_BASIC_MAX];
	struct acl_extended extended[ACL_EXTENDED_MAX]; /* the greatest weight first */
	struct flows *flows;                            /* while a rule is stateful */
};

/* -EINVAL, -ENOSPC. */
int acl_add_basic(struct acl *acl, const struct acl_basic *rule);
/* -EINVAL, -ENOSPC, -ENOMEM. */
int acl_add_extended(struct acl *acl, const struct acl_extended *rule);
/* Rule `index` of the list as it stands; false if there is none. */
bool acl_remove_basic(struct acl *acl, uint32_t index);
bool acl_remove_extended(struct acl *acl, uint32_t index);
void acl_clear(struct acl *acl);

/* A list with rules in it. */
bool acl_judge(struct acl *acl, const struct frame *frame, enum acl_direction direction,
	       uint32_t now_s);

/* Whether the port may send or hear the frame; counts it. */
static inline bool acl_allows(struct acl *acl, const struct frame *frame,
			      enum acl_direction direction, uint32_t now_s)
{
	return (acl->basic_count | acl->extended_count) == 0 ||
	       acl_judge(acl, frame, direction, now_s);
}

#endif
