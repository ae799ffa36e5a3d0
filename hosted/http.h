/*
 * Requests to the management service (include/mgmt/service.h), by libcurl over its UNIX socket, or
 * from another host over HTTPS. What goes wrong is one sentence with its remedy.
 *
 * Where the service is: the path of its socket; "https://HOST[:PORT]", where vweb listens;
 * "ssh://[USER@]HOST", where vm is.
 */
#ifndef HOSTED_HTTP_H
#define HOSTED_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

struct http;

/*
 * What another host is shown, and by whose certificates it is known (a file; NULL: the system's).
 * Before the first http_open(); texts that stay.
 */
void http_set_credentials(const char *token, const char *certificates);

/* A certificate of ours that it is shown, and its key: files. The token may be NULL then. */
void http_set_client(const char *certificate, const char *key);

/* `says`: what goes wrong is said on standard error; else it is http_detail() alone. NULL: no
 * memory, said. */
struct http *http_open(const char *where, bool says);
void http_close(struct http *http);

/*
 * Takes the body (NULL: none). The answer, which the caller frees; NULL: said why, and http_code()
 * has the service's word for it ("" if it was not reached).
 */
json_t *http_ask(struct http *http, const char *method, const char *path, json_t *body);
/*
 * A list at that path as an array, however long it is: it is asked for in parts of 100, and each
 * waits for no more than its own. NULL as above.
 */
json_t *http_list(struct http *http, const char *path, const char *member);
/* The next request is for a document of this revision alone. */
void http_expect(struct http *http, const char *revision);
const char *http_code(const struct http *http);
const char *http_detail(const struct http *http);

/*
 * A file of so many bytes is put there, or (http_fetch) what is there is written into one; `step`
 * is told how far it is, of how much. False: said why.
 */
typedef void http_step(void *user, double done, double total);
bool http_put(struct http *http, const char *path, int fd, uint64_t size, http_step *step,
	      void *user);
bool http_fetch(struct http *http, const char *path, int fd, http_step *step, void *user);

/* A path's segment with what does not belong into one escaped; freed by the caller. */
char *http_escape(const struct http *http, const char *segment);

/*
 * Calls `event` for each that happens from now on, until it returns false; `opened` (or NULL) when
 * "now" has begun. False: the service is not there any more.
 */
bool http_follow(struct http *http, bool (*event)(void *user, const char *name, const json_t *data),
		 void (*opened)(void *user), void *user);

/* A stream socket to a machine's console, or to what else a connection can become; -1: said why. */
int http_console(const char *where, const char *path);

#endif
