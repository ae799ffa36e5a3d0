/*
 * A service manager (systemd) that has started us, if there is one: told by datagrams
 * (sd_notify(3)), and it may hand over a socket that listens (sd_listen_fds(3)). Without one these
 * do nothing.
 */
#ifndef HOSTED_MANAGER_H
#define HOSTED_MANAGER_H

#include <stdint.h>

/* "READY=1", for example. Never waits. */
void manager_tell(const char *text);

/* How often at least it wants to hear WATCHDOG=1, in ms; 0: it does not. */
uint64_t manager_watchdog_ms(void);

/*
 * A SOCK_STREAM socket that everybody may connect to, as of listen_at(): the first one that was
 * handed over, or one at `path`. Once in a process: those that it starts do not take theirs to have
 * been handed over.
 */
int manager_listen_for_all(const char *path, int backlog, const char *option);

#endif
