/* What control.c (the socket, its clients, events) and methods.c (what can be asked for) share. The main thread's, all of it. */
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
/* Makes the job, which is then to begin, end with the guest: `flags` and -errno of integration_shutdown(). */
int services_shutdown(struct machine *machine, struct job *job, unsigned int flags) MUST_CHECK;

/* Likewise, with an exchange of values; it makes the job's answer. -errno of integration_kvp(). */
int services_exchange(struct machine *machine, struct job *job,
		      enum integration_kvp_operation operation, enum integration_pool pool,
		      const struct integration_pair *pair, uint32_t from) MUST_CHECK;
/* By their numbers, then NULL. */
extern const char *const services_pools[], *const services_types[];

#endif
