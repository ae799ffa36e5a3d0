/*
 * filters FOLDER: a program of the build, which writes what the worker (sandbox.c) and its
 * connector (connector.c) load as filters of their system calls: worker.bpf and connector.bpf.
 * There is one worker a guest; so the library that makes filters, its table of names and what it
 * allocates are not in it.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/backend.h"
#include "hosted/filter.h"
#include "worker/vfio.h"

static const int worker_calls[] = {
	SCMP_SYS(munmap), /* a VP's register page */
	/* The kernel and the initrd are read anew at each reset; the serial line, timers and
	   events. */
	SCMP_SYS(pread64),
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(close),
	SCMP_SYS(accept4), /* somebody connects to the serial or the control socket */
	SCMP_SYS(recvmsg),
	SCMP_SYS(shutdown), /* the guest's socket says no more to a program */
	SCMP_SYS(poll),
	/* A switch, to which a client of the control socket has connected, is handed the guest's
	 * memory; one that goes wrong is hung up on. */
	SCMP_SYS(sendmsg),
	SCMP_SYS(memfd_create),
	SCMP_SYS(shutdown),
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

/* Commands of fcntl(). Not those by which the kernel sends signals on our behalf, nor F_SETFL: a
 * switch counts on eventfds that do not block. */
static const unsigned int fcntls[] = {
	F_DUPFD_CLOEXEC,              /* the serial socket's second descriptor */
	F_OFD_SETLK,                  /* a disk's file is one machine's */
	F_OFD_GETLK,     F_ADD_SEALS, /* memory that a switch sees is of one size */
	F_GET_SEALS,
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

static int add_worker_rules(scmp_filter_ctx filter)
{
	const struct filter_rule rules[] = {
		/* Threads, but no processes. */
		{SCMP_SYS(clone),
		 1,
		 {SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD | CLONE_NAMESPACES, CLONE_THREAD)}},
		/* A channel's thread that lets others run first, or no longer. */
		{SCMP_SYS(sched_setscheduler),
		 2,
		 {SCMP_A0(SCMP_CMP_EQ, 0), SCMP_A1(SCMP_CMP_EQ, SCHED_BATCH)}},
		{SCMP_SYS(sched_setscheduler),
		 2,
		 {SCMP_A0(SCMP_CMP_EQ, 0), SCMP_A1(SCMP_CMP_EQ, SCHED_OTHER)}},
		/* Its own limits, to be read: a thread's stack is made by them. */
		{SCMP_SYS(prlimit64), 2, {SCMP_A0(SCMP_CMP_EQ, 0), SCMP_A2(SCMP_CMP_EQ, 0)}},
		/* Who is at the other end of the control socket. */
		{SCMP_SYS(getsockopt),
		 2,
		 {SCMP_A1(SCMP_CMP_EQ, SOL_SOCKET), SCMP_A2(SCMP_CMP_EQ, SO_PEERCRED)}},
		/* This is fstat() in some C libraries, with an empty path. Paths are in memory,
		 * where no filter sees them: who runs code of his own in here can ask what a file
		 * is, as far as this user may, but not for what is in it. */
		{SCMP_SYS(newfstatat), 1, {SCMP_A3(SCMP_CMP_EQ, AT_EMPTY_PATH)}},
		/* Replies go to who is connected. */
		{SCMP_SYS(sendto), 1, {SCMP_A4(SCMP_CMP_EQ, 0)}},
	};
	const unsigned int *partition, *devices;
	size_t count = backend_commands(&partition), device_count = vfio_commands(&devices);
	/* A VP's thread makes no other call, so this one is looked for first. */
	int ret = seccomp_syscall_priority(filter, SCMP_SYS(ioctl), UINT8_MAX);

	if (ret == 0) {
		ret = allow_commands(filter, SCMP_SYS(ioctl), partition, count);
	}
	if (ret == 0) {
		ret = allow_commands(filter, SCMP_SYS(ioctl), ioctls, ARRAY_COUNT(ioctls));
	}
	if (ret == 0) {
		ret = allow_commands(filter, SCMP_SYS(ioctl), devices, device_count);
	}
	if (ret == 0) {
		ret = allow_commands(filter, SCMP_SYS(fcntl), fcntls, ARRAY_COUNT(fcntls));
	}
	if (ret == 0) {
		ret = filter_allow(filter, rules, ARRAY_COUNT(rules));
	}
	/* Its flags are in memory, where no filter sees them; without it clone is used. */
	return ret != 0 ? ret
			: seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

/* ---- the connector ---- */

static const int connector_calls[] = {
	SCMP_SYS(recvmsg), SCMP_SYS(sendmsg),    SCMP_SYS(sendto),       SCMP_SYS(connect),
	SCMP_SYS(close),   SCMP_SYS(exit_group), SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall),
};

static int add_connector_rules(scmp_filter_ctx filter)
{
	const struct filter_rule rules[] = {
		{SCMP_SYS(socket), 1, {SCMP_A0(SCMP_CMP_EQ, AF_UNIX)}},
	};

	return filter_allow(filter, rules, ARRAY_COUNT(rules));
}

static void write_filter(const char *folder, const char *name, const struct filter_list *list)
{
	char path[4096];
	int fd, ret;

	snprintf(path, sizeof(path), "%s/%s.bpf", folder, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
	if (fd < 0) {
		err(1, "%s", path);
	}
	ret = filter_write(list, fd);
	if (ret != 0) {
		errx(1, "%s: %s", path, strerror(-ret));
	}
	close(fd);
}

int main(int argc, char **argv)
{
	const struct filter_list worker = {worker_calls, ARRAY_COUNT(worker_calls),
					   add_worker_rules};
	const struct filter_list connector = {connector_calls, ARRAY_COUNT(connector_calls),
					      add_connector_rules};

	if (argc != 2) {
		errx(2, "usage: filters FOLDER");
	}
	write_filter(argv[1], "worker", &worker);
	write_filter(argv[1], "connector", &connector);
	return 0;
}
