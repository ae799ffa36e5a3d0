/* What control.c (the socket, its clients, events) and methods.c (what can be asked for) share. The
 * main thread's, all of it. */
#ifndef WORKER_CONTROL_H
#define WORKER_CONTROL_H

#include <sys/types.h>

#include "hosted/rpc.h"
#include "vsp/integration/integration.h"
#include "worker/job.h"
#include "worker/machine.h"

struct client {
	struct rpc_peer peer; /* the first member, for client_of() */
	int fd;               /* -1: nobody */
	bool subscribed;
	unsigned int lost;                     /* events since the last one that it was sent */
	char *waiting[CONTROL_EVENTS_MAX + 1]; /* messages that the socket had no room for */
	unsigned int count;
};

struct control {
	struct machine *machine;
	int listener, epoll;
	int wake;    /* eventfd: control_notify() */
	bool deaf;   /* the listener is not watched: there is no descriptor for a client */
	uid_t owner; /* who started the worker */
	struct jobs jobs;
	struct client clients[CONTROL_CLIENTS_MAX];
	uint64_t sequence;              /* of the last event */
	const char *state;              /* what the last event said */
	unsigned int resets;            /* likewise */
	bool crashed;                   /* likewise */
	char text[CONTROL_MESSAGE_MAX]; /* a request */
};

/* Whose request it is. */
static inline struct control *control_of(const struct rpc_request *request)
{
	return request->server;
}

static inline struct client *client_of(const struct rpc_request *request)
{
	return (struct client *)request->peer;
}

/* methods.c: the whole answer. NULL: out of memory. */
json_t *methods_answer(struct rpc_request *request, const char *text, size_t length);
json_t *methods_job(const struct job *job);
const char *methods_state(const struct machine *machine);

/* services.c: by enum integration_service, then NULL */
extern const char *const services_names[];
/* balloon.c: dynamic memory, as in "status". It is there. */
json_t *balloon_object(struct machine *machine);
json_t *services_object(struct machine *machine, unsigned int service);
json_t *services_list(struct machine *machine);
/* False: nothing has changed since; else one that has. */
bool services_changed(struct machine *machine, unsigned int *service);
/* Makes the job, which is then to begin, end with the guest: `flags` and -errno of
 * integration_shutdown(). */
int services_shutdown(struct machine *machine, struct job *job, unsigned int flags) MUST_CHECK;

/* Likewise, with an exchange of values; it makes the job's answer. -errno of integration_kvp(). */
int services_exchange(struct machine *machine, struct job *job,
		      enum integration_kvp_operation operation, enum integration_pool pool,
		      const struct integration_pair *pair, uint32_t from) MUST_CHECK;
/*
 * addresses.c: likewise, with the addresses of an adapter. `set` NULL: they are asked for, and are
 * the job's answer. -ENODEV: there is no such adapter.
 */
int addresses_exchange(struct machine *machine, struct job *job, unsigned int adapter,
		       const struct integration_addresses *set) MUST_CHECK;
/* `read` of a form's members: lists of texts into a struct integration_addresses, which is at
 * `into`. */
bool addresses_read_own(struct form *form, const json_t *value, void *into);
bool addresses_read_gateways(struct form *form, const json_t *value, void *into);
bool addresses_read_dns(struct form *form, const json_t *value, void *into);

/* services.c, for what ends with an exchange of values: done() and finish() of it; its answer is
 * dropped by that. */
void services_exchange_done(void *job, int ret, const char *why);
void services_exchange_finish(struct job *job);
void services_drop_answer(void *answer);

/* Likewise: the guest's file systems stand still, for this client; and no longer. -errno of
 * integration_freeze() and integration_thaw(). */
int services_freeze(struct machine *machine, struct job *job, const struct client *client,
		    unsigned int seconds) MUST_CHECK;
int services_thaw(struct machine *machine, struct job *job) MUST_CHECK;
void services_client_gone(struct machine *machine, const struct client *client);

/*
 * copies.c: the job, which is then to start, gives the guest a file, and the descriptor is its own.
 * -errno of integration_copy(), or -ENOTSUP: it is no regular file.
 */
int copies_prepare(struct machine *machine, struct job *job, int fd, const char *path,
		   unsigned int flags) MUST_CHECK;
/* control_notify() was called: what was read goes to the guest. */
void copies_serve(struct machine *machine);

/* control.c: a job has come further. */
void control_progress(struct machine *machine, const struct job *job);

/* By their numbers, then NULL. */
extern const char *const services_pools[], *const services_types[];

#endif
