/*
 * What vmvnc and vmrdp may do: the process that accepts reaches no file and is a user that nobody
 * else is. It starts processes, each of which, before it reads what a viewer says, keeps only the
 * calls that serve its two sockets.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "console/viewer.h"
#include "hosted/filter.h"
#include "hosted/sandbox.h"

static const int allowed[] = {
	/* viewer and worker */
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendmsg),
	SCMP_SYS(recvfrom),
	SCMP_SYS(close),
	SCMP_SYS(shutdown),
	SCMP_SYS(poll),
	SCMP_SYS(select),
	SCMP_SYS(pselect6),
	SCMP_SYS(clock_gettime), /* where the vDSO does not have it */
	SCMP_SYS(gettimeofday),
	SCMP_SYS(restart_syscall),
	/* malloc, abort, the end */
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(futex),
	SCMP_SYS(getrandom),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(exit_group),
};

static int filter_by_argument(scmp_filter_ctx filter)
{
	const struct filter_rule rules[] = {
		{SCMP_SYS(sendto), 1, {SCMP_A4(SCMP_CMP_EQ, 0)}},
		/* to wait for the viewer, or not to */
		{SCMP_SYS(fcntl), 1, {SCMP_A1(SCMP_CMP_EQ, F_GETFL)}},
		{SCMP_SYS(fcntl), 1, {SCMP_A1(SCMP_CMP_EQ, F_SETFL)}},
	};

	return filter_allow(filter, rules, ARRAY_COUNT(rules));
}

bool sandbox_enter(void)
{
	static const char *const readable[] = {NULL};

	return sandbox_begin() && sandbox_close_files(readable, false) &&
	       (geteuid() != 0 || sandbox_become(VIEWER_USERS + (uid_t)getpid(), "")) &&
	       sandbox_close_memory();
}

bool sandbox_enter_viewer(void)
{
	const struct filter_list list = {allowed, ARRAY_COUNT(allowed), filter_by_argument};

	return filter_enter(&list);
}
