/*
 * Between vweb's process for a viewer of RDP, in which are TLS and nothing of RDP, and vmrdp, in
 * which is the rest: a socket of packets (SOCK_SEQPACKET) beside the one that carries the viewer's
 * bytes. On it vmrdp has, in this order: a struct door_hello, before the viewer's first byte; a
 * struct door_login of its own, once the viewer has said who he is; a struct door_answer, which
 * brings a seat (display.h) if it says DOOR_OPEN.
 *
 * Either side that hears anything else hangs up.
 */
#ifndef MGMT_DOOR_H
#define MGMT_DOOR_H

#include <stdint.h>

#define DOOR_WORD                                                                                  \
	"--login" /* vmrdp's first word then, instead of a machine's name; its descriptors are the viewer's bytes and the door */

#define DOOR_NAME     192 /* bytes with the end */
#define DOOR_PASSWORD 256

/* What viewer and server have agreed upon, as [MS-RDPBCGR] 2.2.1.1.1 has it: it is repeated
 * later. */
struct door_hello {
	uint32_t requested, selected;
};

struct door_login {
	char name[DOOR_NAME], password[DOOR_PASSWORD];
};

enum door_result {
	DOOR_OPEN,
	DOOR_WRONG,     /* the name or the password */
	DOOR_FORBIDDEN, /* this machine's screen is not for him, or there is no such machine */
	DOOR_CLOSED,    /* it does not run, has no screen, or nobody answers */
};

struct door_answer {
	uint32_t result;
};

#endif
