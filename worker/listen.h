/* Sockets at which the worker listens: the serial line's and that of --control. */
#ifndef WORKER_LISTEN_H
#define WORKER_LISTEN_H

/*
 * One that listens already, fd, if that is not -1; or a socket at `path` of this type (SOCK_STREAM, SOCK_SEQPACKET), or -1, having said why: the line
 * begins with `option`, "--control " for example, and the path. A socket that a worker before us
 * left there, and nobody listens on, is replaced. Nothing is left behind on failure.
 */
int listen_at(const char *path, int fd, int type, int backlog, const char *option);

#endif
