/*
 * The connector: a process beside the worker that connects to programs of the root on the guest's
 * behalf. The worker's sandbox has no paths and makes no sockets; this process can do nothing else,
 * and to no other paths than PREFIX_port and PREFIX_guid, which it makes of what it is asked
 * (vsp/socket/socket.h). It runs as who started the worker, and ends with it.
 */
#ifndef WORKER_CONNECTOR_H
#define WORKER_CONNECTOR_H

/*
 * Starts it, from a process that has one thread and no guest yet. Our end of the socket on which it
 * is asked, which does not block; or -1, having said why.
 */
int connector_start(const char *prefix);

#endif
