/*
 * vswitchd: any number of switches in one process and one thread. loop.c waits and turns, plug.c
 * has what is plugged into ports, rpc.c and methods.c the control socket, sandbox.c what the
 * process may do.
 */
#ifndef SWITCH_DAEMON_H
#define SWITCH_DAEMON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

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
	int fd; /* -1: free */
	bool greeted;
	uid_t user;
	struct source source;
};

struct daemon {
	int epoll, signals, control, ports;
	bool stop;
	struct vswitch *nets[DAEMON_SWITCHES];
	struct extensions extensions;
	struct plug *plugs;
	uint32_t guest_count; /* of plugs: rings that can be looked at without a system call */
	struct client clients[DAEMON_CLIENTS];
	struct source signal_source, control_source, ports_source;
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
/* Those that broke, or whose other end is gone. */
void plug_sweep(struct daemon *daemon);

/* ---- rpc.c, methods.c ---- */

void rpc_accept(struct daemon *daemon);
void rpc_serve(struct daemon *daemon, struct client *client);

/* What is wrong with a request. */
struct rpc_error {
	const char *code; /* a word for programs, as docs/design/control.md has them */
	char message[DAEMON_TEXT];
	char field[64];
	char remedy[DAEMON_TEXT];
	json_t *kept; /* texts of the request, until it is answered */
};

/* A method's answer, or NULL and the error. `params` is taken to pieces; `fd` is -1 once it is used. */
json_t *method_call(struct daemon *daemon, const char *name, json_t *params, int *fd,
		    bool may_change, struct rpc_error *error);
json_t *method_names(void);

/* ---- settings.c ---- */

/*
 * Members are taken out of the object as they are read, so what is left was not known. False: the
 * error is filled in.
 */
bool member_text(json_t *object, const char *name, const char **value, struct rpc_error *error);
bool member_flag(json_t *object, const char *name, bool *value, struct rpc_error *error);
bool member_number(json_t *object, const char *name, uint64_t least, uint64_t most, uint64_t *value,
		   struct rpc_error *error);
bool members_end(json_t *object, struct rpc_error *error);
bool rpc_fail(struct rpc_error *error, const char *code, const char *field, const char *remedy,
	      const char *format, ...) __attribute__((format(printf, 5, 6)));

/* The settings that the object names are changed. */
bool settings_read(json_t *object, struct port_settings *settings, struct rpc_error *error);
json_t *settings_write(const struct port_settings *settings);
bool acl_read_basic(json_t *object, struct acl_basic *rule, struct rpc_error *error);
bool acl_read_extended(json_t *object, struct acl_extended *rule, struct rpc_error *error);
json_t *acl_write(const struct acl *acl);

/* ---- sandbox.c ---- */

/* False: it could not be entered, and has said why. */
bool sandbox_enter(void);

#endif
