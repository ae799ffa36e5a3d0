/* Sockets at paths. */
#ifndef HOSTED_LISTEN_H
#define HOSTED_LISTEN_H

/*
 * A socket that listens, and never blocks; -1, having said why in a line that begins with `option`
 * ("--control ", for example) and the path.
 *
 * If fd is not -1, that one, which listens already. Else one of this type (SOCK_STREAM,
 * SOCK_SEQPACKET) at `path`; a socket that a process before us left there, and at which nobody
 * listens, is replaced. Nothing is left behind on failure.
 */
int listen_at(const char *path, int fd, int type, int backlog, const char *option);

/*
 * The same; who may connect to one that is made is this user alone (mode 0600). By the umask, which
 * is all threads': a file that another makes meanwhile is private as well.
 */
int listen_privately(const char *path, int fd, int type, int backlog, const char *option);

/* A socket that is connected to the one at `path`, close-on-exec, or -errno. */
int connect_at(const char *path, int type);

#endif
