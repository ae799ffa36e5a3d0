/*
 * What a connection's process may do: no file, no process, a user that nobody else is, and the
 * calls that serve the descriptors that it has.
 */
#include <fcntl.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hosted/filter.h"
#include "hosted/sandbox.h"
#include "web/web.h"

#define WEB_USERS                                                                                  \
	0x77000000u /* the first of the users that a connection's process becomes; other programs' end before */

static const int allowed[] = {
	/* the client, the service, the monitor */
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(writev),
	SCMP_SYS(sendto),
	SCMP_SYS(recvfrom),
	SCMP_SYS(sendmsg),
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendfile),
	SCMP_SYS(close),
	SCMP_SYS(shutdown),
	SCMP_SYS(poll),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(fcntl),
	SCMP_SYS(getsockopt),
	SCMP_SYS(setsockopt),
	SCMP_SYS(getpeername),
	SCMP_SYS(getsockname),
	/* a console's way through the library */
	SCMP_SYS(socketpair),
	SCMP_SYS(epoll_create1),
	/* malloc, random numbers, time, abort, the end */
	SCMP_SYS(clock_gettime), /* where the vDSO does not have it */
	SCMP_SYS(gettimeofday),
	SCMP_SYS(time),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(futex),
	SCMP_SYS(getrandom),
	SCMP_SYS(getrusage),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(exit_group),
};

bool sandbox_enter(void)
{
	static const char *const readable[] = {NULL};
	const struct filter_list list = {allowed, ARRAY_COUNT(allowed), NULL};

	return sandbox_begin() && sandbox_close_files(readable, false) &&
	       (geteuid() != 0 || sandbox_become(WEB_USERS + (uid_t)getpid(), "")) &&
	       sandbox_close_memory() && filter_enter(&list);
}
