/*
 * What is said on the socket of `vswitchd --control`, beside what include/mgmt/control.h has for
 * all: the form of messages, hello, the words of errors. There are no jobs and no events: every
 * request is done when it is answered.
 *
 * A port's members: "switch", "port" (names of 1 to 63 characters). Its settings, which may be
 * absent: mac (an address, or "any"), spoofing, dhcp-guard, router-guard, priority-tag, team (true,
 * false), function (true: its guest may send past the switch, by a virtual function of the card;
 * refused beside what a card does not keep), uplink (the name of a team's port by which it would
 * rather leave, or "any"), mirror (none, source, destination), ip-limit (IP addresses, to 64, 0:
 * none), storm-limit (frames a second, 0: none), limit, reserve (bits a second, 0: none), weight (0
 * to 100), vlan: {mode, id, primary, list} as `vswitch --help` has them. A rule of an access list:
 * as there.
 */
#ifndef MGMT_SWITCH_H
#define MGMT_SWITCH_H

#define SWITCH_SOCKET "/run/vswitchd.control" /* unless vswitchd is told otherwise */

#define SWITCH_CREATE "switch.create" /* [switch, speed?: Mbit/s] */
#define SWITCH_REMOVE "switch.remove" /* [switch]; its ports go with it */
#define SWITCH_LIST   "switch.list"   /* -> switches: switch, speed, ports  [look] */
/*
 * [port's, kind: guest, tap, packet or link, max-bytes?: of a frame that is not cut, settings], and
 * for each kind but guest a descriptor, as switch/kernel.h has them
 */
#define SWITCH_PORT_ADD    "port.add"
#define SWITCH_PORT_SET    "port.set"    /* [port's, settings to be changed] */
#define SWITCH_PORT_REMOVE "port.remove" /* [port's] */
/*
 * [switch, from?] -> ports, next? (the `from` of the next page): port, kind, plugged, link,
 * max-bytes, settings, stats: counts, and drops by reason, card: of a network card, its interface's
 * number. What a port "sent" came out of it into the switch.  [look]
 */
#define SWITCH_PORT_LIST  "port.list"
#define SWITCH_ACL_ADD    "acl.add"    /* [port's, extended?, a rule] */
#define SWITCH_ACL_REMOVE "acl.remove" /* [port's, extended?, index] */
#define SWITCH_ACL_LIST                                                                            \
	"acl.list" /* [port's] -> basic, extended: rules, with what each counted  [look] */

#endif
