/*
 * What the worker may still do once a guest runs in it: serve the descriptors that it has. It opens
 * nothing, starts nothing, and reaches no other process, nor another worker. A system call that is
 * not in the list, or has an argument that is not, ends the process.
 *
 * A worker that root started becomes a user that nobody else is: SANDBOX_USERS and its process id.
 * Whoever starts one as another user runs it as that user; what it then reaches of that user's is
 * what the filter leaves it, which names no process but its own.
 */
#include <errno.h>
#include <grp.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/check.h"
#include "worker/machine.h"
#include "worker/say.h"

static const int allowed[] = {
	SCMP_SYS(munmap), /* a VP's register page */
	/* The kernel and the initrd are read anew at each reset; the serial line, timers and
	   events. */
	SCMP_SYS(pread64),
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(close),
	SCMP_SYS(accept4), /* somebody connects to the serial or the control socket */
	SCMP_SYS(recvmsg),
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
	SCMP_SYS(getpid), /* pthread_kill and abort name the thread by it */
	SCMP_SYS(gettid),
	SCMP_SYS(exit),
	/* malloc, and the stacks of threads */
	SCMP_SYS(brk),
	SCMP_SYS(mremap),
	SCMP_SYS(getrandom),
	SCMP_SYS(exit_group),
};

/* Commands of ioctl() beside the backend's. */
static const unsigned int ioctls[] = {
	TCGETS,                        /* the terminal is given back as it was */
	TCSETS, TCSETSW, BLKGETSIZE64, /* a block device is attached */
};

/* Commands of fcntl(). Not those by which the kernel sends signals on our behalf. */
static const unsigned int fcntls[] = {
	F_DUPFD_CLOEXEC, /* the serial socket's second descriptor */
	F_OFD_SETLK,     /* a disk's file is one machine's */
	F_OFD_GETLK,
};

/* Only the lower half is looked at by the kernel. */
static int allow_commands(scmp_filter_ctx filter, int call, const unsigned int *commands,
			  size_t count)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < count; i++) {
		ret = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1,
				       SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, commands[i]));
	}
	return ret;
}

#define CLONE_NAMESPACES                                                                           \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |             \
	 CLONE_NEWPID | CLONE_NEWNET)

static int filter_by_argument(scmp_filter_ctx filter)
{
	const struct {
		int call;
		unsigned int count;
		struct scmp_arg_cmp arguments[2];
	} rules[] = {
		/* Memory is never both the program's to fill and to run. */
		{SCMP_SYS(mmap), 1, {SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)}},
		{SCMP_SYS(mprotect), 1, {SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)}},
		/* Threads, but no processes. */
		{SCMP_SYS(clone),
		 1,
		 {SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD | CLONE_NAMESPACES, CLONE_THREAD)}},
		/* Its own threads: a VP is kicked, abort() ends the process. */
		{SCMP_SYS(tgkill), 1, {SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid())}},
		/* Its own limits, to be read: a thread's stack is made by them. */
		{SCMP_SYS(prlimit64), 2, {SCMP_A0(SCMP_CMP_EQ, 0), SCMP_A2(SCMP_CMP_EQ, 0)}},
		/* Who is at the other end of the control socket. */
		{SCMP_SYS(getsockopt),
		 2,
		 {SCMP_A1(SCMP_CMP_EQ, SOL_SOCKET), SCMP_A2(SCMP_CMP_EQ, SO_PEERCRED)}},
		/* This is fstat() in some C libraries, with an empty path. Paths are in memory, where no
		   filter sees them: who runs code of his own in here can ask what a file is, as far
		   as this user may, but not for what is in it. */
		{SCMP_SYS(newfstatat), 1, {SCMP_A3(SCMP_CMP_EQ, AT_EMPTY_PATH)}},
		/* Replies go to who is connected. */
		{SCMP_SYS(sendto), 1, {SCMP_A4(SCMP_CMP_EQ, 0)}},
	};
	const unsigned int *partition;
	size_t count = backend_commands(&partition), i;
	/* A VP's thread makes no other call, so this one is looked for first. */
	int ret = seccomp_syscall_priority(filter, SCMP_SYS(ioctl), UINT8_MAX);

	if (ret == 0) {
		ret = allow_commands(filter, SCMP_SYS(ioctl), partition, count);
	}
	if (ret == 0) {
		ret = allow_commands(filter, SCMP_SYS(ioctl), ioctls, ARRAY_COUNT(ioctls));
	}
	if (ret == 0) {
		ret = allow_commands(filter, SCMP_SYS(fcntl), fcntls, ARRAY_COUNT(fcntls));
	}
	for (i = 0; ret == 0 && i < ARRAY_COUNT(rules); i++) {
		ret = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, rules[i].call, rules[i].count,
					     rules[i].arguments);
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

/* The kernel's structure as of its version 6; the system's header may be older. */
struct rules {
	uint64_t files, net, scoped;
};

#define NET_ALL    3 /* LANDLOCK_ACCESS_NET_*, since version 4 */
#define SCOPED_ALL 3 /* LANDLOCK_SCOPE_*, since version 6: abstract sockets, signals */

/*
 * No file of any path, for kernels that have Landlock; with later ones no socket and no process out
 * here either, whatever user they are of. Descriptors that are open stay so.
 */
static bool close_file_system(void)
{
	long version =
		syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct rules rules = {
		.net = version >= 4 ? NET_ALL : 0,
		.scoped = version >= 6 ? SCOPED_ALL : 0,
		.files = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |
			 LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |
			 LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
			 LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR |
			 LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |
			 LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
			 LANDLOCK_ACCESS_FS_MAKE_SYM,
	};
	size_t size = version >= 6 ? sizeof(rules) : version >= 4 ? 16 : 8;
	int fd = (int)syscall(SYS_landlock_create_ruleset, &rules, size, 0);
	long ret;

	if (fd < 0) {
		return errno == ENOSYS || errno == EOPNOTSUPP ? true : refuse("landlock", errno);
	}
	ret = syscall(SYS_landlock_restrict_self, fd, 0);
	close(fd);
	return ret == 0 || refuse("landlock", errno);
}

static bool limit(int resource, const char *name, rlim_t most)
{
	struct rlimit both = {most, most};

	/* The root of a container may raise none; whether what there is suffices is seen when it is
	 * used. */
	return setrlimit(resource, &both) == 0 || (errno == EPERM && most == RLIM_INFINITY) ||
	       refuse(name, errno);
}

#define THREADS_MAX 4096

/* Nothing of root is left: an id or a group, or a capability that a strange setting of the process
 * kept. */
static bool is_only(uid_t user)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct capabilities[_LINUX_CAPABILITY_U32S_3];
	uid_t uids[3];
	gid_t gids[3];

	if (getresuid(&uids[0], &uids[1], &uids[2]) != 0 ||
	    getresgid(&gids[0], &gids[1], &gids[2]) != 0 || getgroups(0, NULL) != 0 ||
	    syscall(SYS_capget, &header, capabilities) != 0) {
		return false;
	}
	for (unsigned int i = 0; i < 3; i++) {
		if (uids[i] != user || gids[i] != user) {
			return false;
		}
	}
	for (unsigned int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		if ((capabilities[i].effective | capabilities[i].permitted |
		     capabilities[i].inheritable) != 0) {
			return false;
		}
	}
	return true;
}

/*
 * Root becomes a user of this worker's own. The pages of guest memory are pinned later, by a user
 * who may pin few unless told otherwise; so that is told before.
 */
static bool change_user(uid_t user)
{
	char what[100];

	if (geteuid() != 0) {
		return true;
	}
	if (user == 0) {
		user = SANDBOX_USERS + (uid_t)getpid();
	}
	snprintf(what, sizeof(what), "becoming user %u (see --user)", (unsigned int)user);
	if (!limit(RLIMIT_MEMLOCK, "RLIMIT_MEMLOCK", RLIM_INFINITY)) {
		return false;
	}
	if (setgroups(0, NULL) != 0 || setresgid(user, user, user) != 0 ||
	    setresuid(user, user, user) != 0) {
		return refuse(what, errno);
	}
	if (!is_only(user)) {
		return refuse(what, EPERM);
	}
	return limit(RLIMIT_NPROC, "RLIMIT_NPROC", THREADS_MAX);
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
	/* A call by another ABI (32-bit, x32) ends more than its thread too. */
	if (ret == 0) {
		ret = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	}
	/* Threads that are there already too. */
	if (ret == 0) {
		ret = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	}
	if (ret == 0) {
		ret = seccomp_load(filter);
	}
	seccomp_release(filter);
	return ret == 0 || refuse("seccomp", -ret);
}

bool sandbox_enter(uid_t user)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
		return refuse("no_new_privs", errno);
	}
	if (!limit(RLIMIT_CORE, "RLIMIT_CORE", 0) || !close_file_system() || !change_user(user)) {
		return false;
	}
	/* Its memory is the guest's, and it holds a way to the hypervisor: nobody attaches. A change
	 * of the user may have set it otherwise. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
		return refuse("dumpable", errno);
	}
	return filter_calls();
}
