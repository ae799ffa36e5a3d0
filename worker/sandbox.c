/*
 * What the worker may still do once a guest runs in it: serve the descriptors that it has. It opens
 * nothing, starts nothing, and is nobody. A system call that is not in the list ends the process.
 */
#include <errno.h>
#include <grp.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/check.h"
#include "worker/machine.h"
#include "worker/say.h"

#define NOBODY 65534

static const int allowed[] = {
	/* The partition and its VPs: all of it is ioctl on their descriptors; a VP's register page
	   is mapped. */
	SCMP_SYS(ioctl), /* also tcsetattr, when the terminal is given back */
	SCMP_SYS(munmap),
	/* The kernel and the initrd are read anew at each reset; the serial line, timers and
	   events. */
	SCMP_SYS(pread64),
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(close),
	SCMP_SYS(accept4), /* somebody connects to the serial or the control socket */
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendto),
	SCMP_SYS(fcntl), /* a second descriptor for it */
	SCMP_SYS(poll),
	SCMP_SYS(epoll_create1),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(signalfd4),
	SCMP_SYS(timerfd_settime),
	/* The disks' files: by a ring, and by threads for what a ring does not do. The rings are
	   there already, and restricted (disk/ring.c): a new one could do what no filter sees. */
	SCMP_SYS(io_uring_enter),
	SCMP_SYS(pwrite64),
	SCMP_SYS(preadv),
	SCMP_SYS(pwritev),
	SCMP_SYS(fsync),
	SCMP_SYS(fdatasync),
	SCMP_SYS(ftruncate),
	SCMP_SYS(lseek),
	SCMP_SYS(newfstatat), /* fstat of a descriptor */
	SCMP_SYS(fstat),
	/* VMBus: one for each channel that the guest opens. */
	SCMP_SYS(eventfd2),
	/* Guest memory is emptied at a reset, and put into large pages. */
	SCMP_SYS(fallocate),
	SCMP_SYS(madvise),
	/* Time, where the vDSO does not have it; waiting for VP threads. */
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(restart_syscall),
	/* Threads: locks, their start and their end; kicking a VP. */
	SCMP_SYS(futex),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(rseq),
	SCMP_SYS(sched_yield),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(tgkill),
	SCMP_SYS(getpid), /* pthread_kill and abort name the thread by it */
	SCMP_SYS(gettid),
	SCMP_SYS(exit),
	/* malloc, and the stacks of threads */
	SCMP_SYS(brk),
	SCMP_SYS(mremap),
	SCMP_SYS(getrandom),
	SCMP_SYS(prlimit64),
	SCMP_SYS(exit_group),
};

/* Memory is never both the program's to fill and to run; and there are threads, but no processes. */
static int filter_by_argument(scmp_filter_ctx filter)
{
	int ret = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
				   SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));

	if (ret == 0) {
		ret = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
				       SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	}
	if (ret == 0) {
		ret = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
				       SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	}
	/* Its flags are in memory, where no filter sees them; without it clone is used. */
	return ret != 0 ? ret
			: seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

static bool refuse(const char *what, int error)
{
	say("the sandbox cannot be set up: %s: %s", what, strerror(error));
	return false;
}

/* No file of any path, for kernels that have Landlock. Descriptors that are open stay so. */
static bool close_file_system(void)
{
	struct landlock_ruleset_attr rules = {
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
		return errno == ENOSYS || errno == EOPNOTSUPP ? true : refuse("landlock", errno);
	}
	ret = syscall(SYS_landlock_restrict_self, fd, 0);
	close(fd);
	return ret == 0 || refuse("landlock", errno);
}

/*
 * Root becomes nobody. The pages of guest memory are pinned later, by nobody, who may pin few
 * unless told otherwise; so that is told before.
 */
static bool become_nobody(void)
{
	struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};

	if (geteuid() != 0) {
		return true;
	}
	/* The root of a container may not; whether what there is suffices is seen when it is used. */
	if (setrlimit(RLIMIT_MEMLOCK, &unlimited) != 0 && errno != EPERM) {
		return refuse("RLIMIT_MEMLOCK", errno);
	}
	if (setgroups(0, NULL) != 0 || setresgid(NOBODY, NOBODY, NOBODY) != 0 ||
	    setresuid(NOBODY, NOBODY, NOBODY) != 0) {
		/* In a user namespace without that user, or with it already. */
		return errno == EPERM || errno == EINVAL ? true : refuse("becoming nobody", errno);
	}
	return true;
}

static bool filter_calls(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int ret = filter != NULL ? 0 : -ENOMEM;
	size_t i;

	for (i = 0; ret == 0 && i < ARRAY_COUNT(allowed); i++) {
		ret = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
	}
	if (ret == 0) {
		ret = filter_by_argument(filter);
	}
	if (ret == 0) {
		ret = seccomp_load(filter);
	}
	seccomp_release(filter);
	return ret == 0 || refuse("seccomp", -ret);
}

bool sandbox_enter(void)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
		return refuse("no_new_privs", errno);
	}
	/* Its memory is the guest's, and it holds a way to the hypervisor: nobody attaches. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
		return refuse("dumpable", errno);
	}
	return close_file_system() && become_nobody() && filter_calls();
}
