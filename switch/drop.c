/* See drop.h. */
#include "switch/drop.h"

/* clang-format off */
static const struct {
	const char *name, *text;
} drops[DROP_COUNT] = {
	[DROP_NONE]         = {"none", "delivered"},
	[DROP_LENGTH]       = {"length", "shorter or longer than a frame can be"},
	[DROP_OFFLOAD]      = {"offload", "what is left to be done of it does not fit the frame"},
	[DROP_SOURCE]       = {"source", "its source is a group's address, or none"},
	[DROP_SPOOFED]      = {"spoofed", "its source is not the port's address"},
	[DROP_IP_LIMIT]     = {"ip-limit", "of one IP address more than the port may use"},
	[DROP_DHCP_GUARD]   = {"dhcp-guard", "a DHCP server's message from a guarded port"},
	[DROP_ROUTER_GUARD] = {"router-guard", "a router's message from a guarded port"},
	[DROP_VLAN]         = {"vlan", "a VLAN that the port may not use"},
	[DROP_ACL_OUT]      = {"acl-out", "denied by an access list of the sender's port"},
	[DROP_STORM]        = {"storm", "above the port's storm limit"},
	[DROP_TEAM]         = {"team", "another uplink of the team hears it as well, or said it"},
	[DROP_NOWHERE]      = {"nowhere", "no port may receive it"},
	[DROP_ACL_IN]       = {"acl-in", "denied by an access list of the receiver's port"},
	[DROP_TOO_LONG]     = {"too-long", "longer than the receiver takes"},
	[DROP_NO_ROOM]      = {"no-room", "the receiver has no buffer for it"},
	[DROP_UNPLUGGED]    = {"unplugged", "the receiver hears nothing now"},
	[DROP_FILTER]       = {"filter", "dropped by a filter"},
};
/* clang-format on */

const char *drop_name(enum drop drop)
{
	return drops[drop].name;
}

const char *drop_text(enum drop drop)
{
	return drops[drop].text;
}
