/*
 * The management service's API: names and limits, for both sides. Its resources are in
 * openapi.json.
 *
 * HTTP/1.1 over a UNIX socket, JSON. An error is application/problem+json (RFC 9457) with the
 * members code (a word below), detail (a sentence), and where there is one remedy and field.
 */
#ifndef MGMT_SERVICE_H
#define MGMT_SERVICE_H

#define SERVICE_SOCKET   "/run/verdigris/vmms.socket"
#define SERVICE_STORE    "/var/lib/verdigris/machines"
#define SERVICE_RUN      "/run/verdigris"
#define SERVICE_WEB_PORT "8443"      /* of other hosts, where vweb listens */
#define SERVICE_GROUP    "verdigris" /* whose members may do everything */

#define SERVICE_BODY_MAX    131072 /* bytes of a request's body */
#define SERVICE_NAME_MAX    64     /* bytes of a machine's name */
#define SERVICE_JOBS_MAX    128    /* that are known; of those that have ended the last ones */
#define SERVICE_QUEUE_MAX   16     /* that wait for one machine */
#define SERVICE_EVENTS_KEPT 256
#define SERVICE_PAGE_MAX    500                 /* items of a list, where its `limit` is given */
#define SERVICE_WAIT_MAX    60                  /* seconds that a request waits for a job */
#define SERVICE_CONSOLE     "verdigris-console" /* what a connection is upgraded to */

#define SERVICE_BAD_INVALID     "invalid"     /* 400 */
#define SERVICE_BAD_LOGIN       "login"       /* 401, of vweb: nobody is known by what was shown */
#define SERVICE_BAD_PERMISSION  "permission"  /* 403 */
#define SERVICE_BAD_NOT_FOUND   "not-found"   /* 404 */
#define SERVICE_BAD_METHOD      "method"      /* 405 */
#define SERVICE_BAD_STATE       "state"       /* 409: not of a machine or a job in this state */
#define SERVICE_BAD_EXISTS      "exists"      /* 409 */
#define SERVICE_BAD_CHANGED     "changed"     /* 412: somebody else has changed it meanwhile */
#define SERVICE_BAD_LIMIT       "limit"       /* 413, 429: too long, too many */
#define SERVICE_BAD_IO          "io"          /* 500: a file cannot be written */
#define SERVICE_BAD_WORKER      "worker"      /* 502: the worker could not do it */
#define SERVICE_BAD_INTERRUPTED "interrupted" /* of a job: the service ended meanwhile */

#endif
