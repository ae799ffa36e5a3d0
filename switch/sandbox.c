/*
 * What vswitchd may still do once it runs: serve the descriptors that it has and is handed. It
 * opens nothing, makes no socket and starts nothing; a system call that is not in the list ends it.
 * If root started it, it becomes a user that nobody else is.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/if_tun.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

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

static bool refuse(const char *what, int error)
{
	say("the sandbox cannot be set up: %s: %s", what, strerror(error));
	return false;
}

static int filter_by_argument(scmp_filter_ctx filter)
{
	const scmp_datum_t get_kind = TUNGETIFF;
	const struct {
		int call;
		struct scmp_arg_cmp argument;
	} rules[] = {
		/* Memory is never both the program's to fill and to run. */
		{SCMP_SYS(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)},
		{SCMP_SYS(mprotect), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)},
		/* What kind of descriptor it was handed. */
		{SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, get_kind)},
		{SCMP_SYS(getsockopt), SCMP_A1(SCMP_CMP_EQ, SOL_SOCKET)},
		{SCMP_SYS(getsockopt), SCMP_A1(SCMP_CMP_EQ, SOL_PACKET)},
		{SCMP_SYS(fcntl), SCMP_A1(SCMP_CMP_EQ, F_GET_SEALS)},
		{SCMP_SYS(fcntl), SCMP_A1(SCMP_CMP_EQ, F_ADD_SEALS)},
		/* O_ASYNC would have the kernel send signals for it. */
		{SCMP_SYS(fcntl), SCMP_A1(SCMP_CMP_EQ, F_GETFL)},
		/* Replies go to who is connected. */
		{SCMP_SYS(sendto), SCMP_A4(SCMP_CMP_EQ, 0)},
		{SCMP_SYS(tgkill), SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid())},
	};
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < ARRAY_COUNT(rules); i++) {
		ret = seccomp_rule_add(filter, SCMP_ACT_ALLOW, rules[i].call, 1, rules[i].argument);
	}
	return ret != 0 ? ret
			: seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 2,
					   SCMP_A1(SCMP_CMP_EQ, F_SETFL),
					   SCMP_A2(SCMP_CMP_EQ, O_RDWR | O_NONBLOCK));
}

static bool filter_calls(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int ret = filter != NULL ? 0 : -ENOMEM;

	for (size_t i = 0; ret == 0 && i < ARRAY_COUNT(allowed); i++) {
		ret = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
	}
	if (ret == 0) {
		ret = filter_by_argument(filter);
	}
	if (ret == 0) {
		ret = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	}
	if (ret == 0) {
		ret = seccomp_load(filter);
	}
	seccomp_release(filter);
	return ret == 0 || refuse("seccomp", -ret);
}

/* No file of any path, where the kernel has Landlock. */
static bool close_file_system(void)
{
	const struct landlock_ruleset_attr rules = {
		.handled_access_fs = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |
				     LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |
				     LANDLOCK_ACCESS_FS_REMOVE_DIR |
				     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
				     LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
				     LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
				     LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM,
	};
	int fd = (int)syscall(SYS_landlock_create_ruleset, &rules, sizeof(rules), 0);
	long ret;

	if (fd < 0) {
		return errno == ENOSYS || errno == EOPNOTSUPP || refuse("landlock", errno);
	}
	ret = syscall(SYS_landlock_restrict_self, fd, 0);
	close(fd);
	return ret == 0 || refuse("landlock", errno);
}

static bool change_user(void)
{
	uid_t user = DAEMON_USERS + (uid_t)getpid();

	if (geteuid() != 0) {
		return true;
	}
	if (setgroups(0, NULL) != 0 || setresgid(user, user, user) != 0 ||
	    setresuid(user, user, user) != 0) {
		return refuse("becoming another user", errno);
	}
	return true;
}

bool sandbox_enter(void)
{
	struct rlimit none = {0, 0};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || setrlimit(RLIMIT_CORE, &none) != 0) {
		return refuse("no_new_privs", errno);
	}
	if (!close_file_system() || !change_user()) {
		return false;
	}
	/* Its memory is its guests': nobody attaches. A change of the user may have set it otherwise. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
		return refuse("dumpable", errno);
	}
	return filter_calls();
}
