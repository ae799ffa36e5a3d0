/*
 * The server's side of a control socket: JSON-RPC 2.0 as include/mgmt/control.h has it, for workers
 * and for switches.
 *
 * A program has a table of methods. A row says who may, which members "params" has, and how many
 * descriptors come along; all of that is checked before the method is called, so that it is called
 * with what is right or not at all. "hello" is answered here and has no row.
 *
 * JSON values that a function gives are the caller's, NULL where there is no memory. Nothing here
 * blocks or is shared by threads.
 */
#ifndef HOSTED_RPC_H
#define HOSTED_RPC_H

#include <sys/types.h>

#include "hosted/form.h"
#include "include/mgmt/control.h"

/* Who asks: a part of what the program keeps for each connection. */
struct rpc_peer {
	uid_t user;      /* by the kernel's word */
	bool may_change; /* the program's word; else only methods that change nothing */
	bool greeted;    /* hello was answered */
};

/* Of all methods of a program; its methods.c defines it. */
struct parameters;

/* A request while it is answered. */
struct rpc_request {
	void *server; /* the program's */
	struct rpc_peer *peer;
	int fds[CONTROL_FILES_MAX]; /* that came along; a method sets fd_count to 0 when it has taken them */
	unsigned int fd_count;
	const json_t *params;
	const char *code; /* why it is refused: CONTROL_BAD_*; form.error has the rest */
	struct form form;
};

struct rpc_method {
	const char *name;
	bool changes;
	unsigned int files_least, files_most;
	const struct form_member *members; /* for the struct parameters */
	size_t member_count;
	/* The result. NULL: refused, by rpc_refuse() or a function of form.h; the code is "invalid"
	 * unless it was set. */
	json_t *(*run)(struct rpc_request *request, const struct parameters *p);
};

struct rpc_table {
	const struct rpc_method *methods;
	size_t count;
	const char *server,
		*subject; /* "worker", "machine": what is asked, and what may be looked at or changed */
	const char *who; /* may change it: the remedy of who may not */
	void (*hello)(struct rpc_request *request,
		      json_t *result); /* adds what else hello answers; or NULL */
	/* False, and refused: what is asked cannot be now; or NULL */
	bool (*may_run)(struct rpc_request *request, const struct rpc_method *method);
};

/*
 * Accepts a client and asks the kernel who it is; the rest of *peer is for the caller. The
 * descriptor never blocks and is close-on-exec. -errno.
 */
int rpc_accept(int listener, struct rpc_peer *peer) MUST_CHECK;

/* The whole answer to a packet of `length` bytes. *parameters has the defaults of members that may
 * be absent. */
json_t *rpc_answer(const struct rpc_table *table, struct rpc_request *request,
		   struct parameters *parameters, const char *text, size_t length);

/* For a method: what is wrong with the request as a whole; with a member of "params",
 * form_refuse_member(). NULL. */
json_t *rpc_refuse(struct rpc_request *request, const char *code, const char *what,
		   const char *remedy);

/* An answer to nothing in particular. */
json_t *rpc_refusal(const char *code, const char *what, const char *remedy);

/* The "error" of an answer, or of a job. `error` adds field and remedy, where they are not
 * empty. */
json_t *rpc_error(const char *code, const char *message, const struct form_error *error);

/* A message as a text, freed by the caller; it is a refusal with the same id if the message would
 * be too long. */
char *rpc_text(const json_t *message);

/* Sends a text at once or not at all. -errno; -EAGAIN: there is no room. */
int rpc_send(int socket, const char *text) MUST_CHECK;

#endif
