/*
 * vswitchd: any number of switches in one process and one thread. loop.c waits and turns, plug.c
 * has what is plugged into ports, control.c and methods.c the control socket, sandbox.c what the
 * process may do.
 */
#ifndef SWITCH_DAEMON_H
#define SWITCH_DAEMON_H

#include <stdbool.h>
#include <stdint.h>

#include "hosted/rpc.h"
#include "hosted/say.h"
#include "switch/extend.h"
#include "switch/guest.h"
#include "switch/kernel.h"
#include "switch/switch.h"

#define DAEMON_SWITCHES 64u
#define DAEMON_CLIENTS  16u
#define DAEMON_TEXT     256u
#define DAEMON_USERS    0x76730000u /* the first of the users that a daemon of root's becomes */

enum source_kind {
	SOURCE_SIGNAL,
	SOURCE_CONTROL,    /* somebody connects to the control socket */
	SOURCE_CLIENT,     /* a client's request, or its end */
	SOURCE_PORTS,      /* a worker connects to the port socket */
	SOURCE_CONNECTION, /* its hello, or its end */
	SOURCE_EVENT,      /* its guest's event */
	SOURCE_KERNEL,     /* a kernel's descriptor */
	SOURCE_LINKS,      /* the link of some network card came or went */
};

/* What an event of epoll stands for. */
struct source {
	enum source_kind kind;
	struct plug *plug;
	struct client *client;
};

/* What is plugged into a port, or is about to be. */
struct plug {
	struct plug *next;
	struct daemon *daemon;
	struct port *port; /* NULL: a worker that has not said hello */
	struct guest *guest;
	struct kernel *kernel;
	int connection; /* of the worker, -1 if there is none */
	bool stays;     /* the port outlives the worker */
	bool asks_room; /* the kernel's descriptor is watched for room to write as well */
	bool closing;   /* to be unplugged after this turn */
	struct source by_connection, by_event, by_kernel;
};

struct client {
	struct rpc_peer peer;
	int fd; /* -1: free */
	struct source source;
};

struct daemon {
	int epoll, signals, control, ports, links;
	bool stop;
	uint32_t awake_ns; /* how long it looks at the guests' rings when there was nothing */
	struct vswitch *nets[DAEMON_SWITCHES];
	uint32_t net_end; /* above the last that was ever in use */
	struct extensions extensions;
	struct plug *plugs;
	uint32_t guest_count; /* of plugs: rings that can be looked at without a system call */
	struct client clients[DAEMON_CLIENTS];
	struct source signal_source, control_source, ports_source, links_source;
};

/* ---- loop.c ---- */

/* False: it cannot wait for what it must, and has said so. */
bool loop_watch(struct daemon *daemon, int fd, uint32_t events, struct source *source);
bool loop_run(struct daemon *daemon);

/* ---- plug.c ---- */

struct vswitch *daemon_find(const struct daemon *daemon, const char *name);
/* The plug of a port. */
struct plug *plug_of(const struct daemon *daemon, const struct port *port);
/* A port for a worker that may come. -errno as vswitch_add_port(). */
int plug_add_guest(struct daemon *daemon, struct vswitch *net, const char *name,
		   struct port **port);
/* A port of the kernel's; the descriptor is taken on success. Also -EINVAL, as kernel_create(). */
int plug_add_kernel(struct daemon *daemon, struct vswitch *net, const char *name, const char *kind,
		    int fd, uint32_t max_bytes, struct port **port);
/* The port and all that is plugged into it go. */
void plug_remove(struct plug *plug);
void plug_accept(struct daemon *daemon);
/* A worker says hello, or its connection has ended. */
void plug_serve(struct plug *plug);
/* Network cards came, went, lost a link or got one. */
void plug_look_at_links(struct daemon *daemon);
/* Those that broke, or whose other end is gone. True: there were some, and frames that waited for
 * them wait no more. */
bool plug_sweep(struct daemon *daemon);

/* ---- control.c, methods.c ---- */

void control_accept(struct daemon *daemon);
void control_serve(struct daemon *daemon, struct client *client);
/* The whole answer; the request's server is the daemon. NULL: out of memory. */
json_t *methods_answer(struct rpc_request *request, const char *text, size_t length);

/* ---- settings.c ---- */

/* For a struct port_settings: those that the object does not name stay as they are. */
extern const struct form_member settings_members[];
json_t *settings_write(const struct port_settings *settings);

/* What a rule of either kind may say. */
struct rule_read {
	unsigned int action, direction;
	struct acl_prefix local, remote;
	uint64_t mac; /* of either end */
	struct acl_ports local_ports, remote_ports;
	int16_t protocol;
	uint32_t weight, idle_s;
	bool stateful;
};
#define RULE_DEFAULTS                                                                              \
	{                                                                                          \
		.direction = 2, .protocol = -1, .idle_s = 300                                      \
	}

/* For a struct rule_read. */
extern const struct form_member rule_members[];
/* The rule; false: the object has a member that is not for this kind, and it is refused. */
bool rule_is_basic(struct form *form, const json_t *params, const struct rule_read *read,
		   struct acl_basic *rule);
bool rule_is_extended(struct form *form, const json_t *params, const struct rule_read *read,
		      struct acl_extended *rule);
json_t *acl_write(const struct acl *acl);

/* ---- sandbox.c ---- */

/* False: it could not be entered, and has said why. */
bool sandbox_enter(void);

#endif
