/* Sockets at paths, at which a program listens. */
#ifndef HOSTED_LISTEN_H
#define HOSTED_LISTEN_H

/*
 * One that listens already, fd, if that is not -1; or a socket at `path` of this type (SOCK_STREAM, SOCK_SEQPACKET), or -1, having said why: the line
 * begins with `option`, "--control " for example, and the path. A socket that a process before us
 * left there, and nobody listens on, is replaced. Nothing is left behind on failure.
 */
int listen_at(const char *path, int fd, int type, int backlog, const char *option);

#endif
