/*
 * A connection to a running worker, or to another server that speaks as it does
 * (include/mgmt/control.h). What goes wrong is said on standard error (hosted/say.h); then the
 * return is false or NULL.
 */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include <stdbool.h>

#include <jansson.h>

struct client {
	int fd;
	int last_id;
	unsigned int patience; /* seconds: an answer that takes longer is none; 0: without an end */
	bool refused;          /* the last request was, by an answer: the connection is good */
	/* Events that come while an answer is waited for; borrowed. */
	void (*event)(void *user, const json_t *params);
	void *user;
};

/* For another server than a worker: what the program calls it, and what its socket is. */
void client_name(const char *server, const char *socket);
/* Says "what: why". False. */
bool client_fail(const char *what, const char *why);
/* Connects and says hello. */
bool client_open(struct client *client, const char *path);
/* Sends a request, takes `params`, and waits for the answer: its result, or NULL. `about` begins
 * the message when it is refused. */
json_t *client_ask(struct client *client, const char *method, json_t *params, const int *fds,
		   unsigned int count, const char *about);
/* Of vswitchd: all ports of a switch, page by page. NULL: as client_ask(). */
json_t *client_ask_ports(struct client *client, const char *net, const char *about);
/* Waits for one more message. False: the worker has ended the connection, which is not said. */
bool client_next_event(struct client *client);
/* "message; remedy" of an error. */
bool client_refused(const char *about, const json_t *error);

#endif
