/*
 * What vswitchd may still do once it runs: serve the descriptors that it has and is handed. It
 * opens nothing, makes no socket and starts nothing; a system call that is not in the list ends it.
 * If root started it, it becomes a user that nobody else is.
 */
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hosted/filter.h"
#include "hosted/sandbox.h"
#include "switch/daemon.h"

static const int allowed[] = {
	/* frames, and events of workers */
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(readv),
	SCMP_SYS(writev),
	SCMP_SYS(recvmmsg),
	SCMP_SYS(sendmmsg),
	/* workers and clients: who connects, what they ask, the descriptors that come with it */
	SCMP_SYS(accept4),
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendmsg),
	SCMP_SYS(close),
	SCMP_SYS(dup),
	SCMP_SYS(getsockname),
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat), /* fstat of a descriptor */
	/* a worker's port: its memory and its events */
	SCMP_SYS(memfd_create),
	SCMP_SYS(ftruncate),
	SCMP_SYS(munmap),
	SCMP_SYS(madvise),
	SCMP_SYS(eventfd2),
	SCMP_SYS(getrandom), /* an address for it */
	/* waiting */
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(clock_gettime), /* where the vDSO does not have it */
	SCMP_SYS(restart_syscall),
	/* malloc, abort, the end */
	SCMP_SYS(brk),
	SCMP_SYS(mremap),
	SCMP_SYS(futex),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(geteuid), /* who may change things */
	SCMP_SYS(exit_group),
};

static int filter_by_argument(scmp_filter_ctx filter)
{
	const scmp_datum_t get_kind = TUNGETIFF, get_name = SIOCGIFNAME, get_flags = SIOCGIFFLAGS;
	const struct filter_rule rules[] = {
		/* What kind of descriptor it was handed. */
		{SCMP_SYS(ioctl), 1, {SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, get_kind)}},
		/* Whether a network card has a link. */
		{SCMP_SYS(ioctl), 1, {SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, get_name)}},
		{SCMP_SYS(ioctl), 1, {SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, get_flags)}},
		{SCMP_SYS(getsockopt), 1, {SCMP_A1(SCMP_CMP_EQ, SOL_SOCKET)}},
		{SCMP_SYS(getsockopt), 1, {SCMP_A1(SCMP_CMP_EQ, SOL_PACKET)}},
		{SCMP_SYS(fcntl), 1, {SCMP_A1(SCMP_CMP_EQ, F_GET_SEALS)}},
		{SCMP_SYS(fcntl), 1, {SCMP_A1(SCMP_CMP_EQ, F_ADD_SEALS)}},
		{SCMP_SYS(fcntl), 1, {SCMP_A1(SCMP_CMP_EQ, F_GETFL)}},
		/* O_ASYNC would have the kernel send signals for it. */
		{SCMP_SYS(fcntl),
		 2,
		 {SCMP_A1(SCMP_CMP_EQ, F_SETFL), SCMP_A2(SCMP_CMP_EQ, O_RDWR | O_NONBLOCK)}},
		/* Replies go to who is connected. */
		{SCMP_SYS(sendto), 1, {SCMP_A4(SCMP_CMP_EQ, 0)}},
	};

	return filter_allow(filter, rules, ARRAY_COUNT(rules));
}

bool sandbox_enter(void)
{
	static const char *const readable[] = {NULL};
	const struct filter_list list = {allowed, ARRAY_COUNT(allowed), filter_by_argument};

	/* Its memory is its guests'. */
	return sandbox_begin() && sandbox_close_files(readable, false) &&
	       (geteuid() != 0 || sandbox_become(DAEMON_USERS + (uid_t)getpid(), "")) &&
	       sandbox_close_memory() && filter_enter(&list);
}
