/*
 * worker/sandbox.c: what a process in it may not do ends it, and a disk queue that it had before
 * goes on. Each case is a process of its own, and calls the kernel directly: the sanitizers want
 * more than a worker does.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <liburing.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "disk/disk.h"
#include "worker/machine.h"

#define X32 0x40000000 /* of the number of a system call: that of the x32 ABI */

enum { WORKS = 0, FAILS = 1, NO_SANDBOX = 2 };

static char name[] = "/tmp/vd-sandbox-XXXXXX";
static char page[4096];

/* A disk of three files, made before; their names mean nothing in the sandbox. */
#define CHAIN 3
static char folder[] = "/tmp/vd-chain-XXXXXX";
static int chain[CHAIN];

static const char *chain_name(unsigned n)
{
	static char path[sizeof(folder) + 16];

	snprintf(path, sizeof(path), "%s/%u.vhdx", folder, n);
	return path;
}

static int attach(unsigned count, bool *refused)
{
	struct disk_open how = {.fds = chain, .fd_count = count};
	struct disk_error error;
	struct disk *top;
	int ret = disk_open("top.vhdx", &how, &top, &error);

	*refused = ret < 0 && strstr(error.text, "give ") != NULL;
	return ret == 0 && disk_read(top, page, 512, 0) == 0 && page[0] == 7 ? WORKS : FAILS;
}

static int attach_chain(void)
{
	bool refused;

	return attach(CHAIN, &refused);
}

static int attach_part_of_chain(void)
{
	bool refused;

	return attach(CHAIN - 1, &refused) != WORKS && refused ? WORKS : FAILS;
}

static int attach_more_than_chain(void)
{
	bool refused;

	chain[0] = chain[CHAIN - 1];
	return attach(CHAIN, &refused) != WORKS && refused ? WORKS : FAILS;
}

static void make_chain(void)
{
	struct disk_create how = {.type = DISK_DYNAMIC, .size = 4 << 20};
	char parent[sizeof(folder) + 16];
	struct disk *base;
	unsigned n;

	assert_non_null(mkdtemp(folder));
	assert_int_equal(disk_create(chain_name(0), &how, NULL), 0);
	assert_int_equal(disk_open(chain_name(0), NULL, &base, NULL), 0);
	assert_int_equal(disk_write(base, "\7", 1, 0), 0);
	assert_int_equal(disk_close(&base, NULL), 0);
	how = (struct disk_create){.type = DISK_DIFFERENCING, .parent = parent};
	for (n = 1; n < CHAIN; n++) {
		strcpy(parent, chain_name(n - 1));
		assert_int_equal(disk_create(chain_name(n), &how, NULL), 0);
	}
	for (n = 0; n < CHAIN; n++) {
		chain[n] = open(chain_name(CHAIN - 1 - n), (n ? O_RDONLY : O_RDWR) | O_CLOEXEC);
		assert_true(chain[n] >= 0);
	}
}

static void remove_chain(void)
{
	unsigned n;

	for (n = 0; n < CHAIN; n++) {
		close(chain[n]);
		unlink(chain_name(n));
	}
	rmdir(folder);
}

static int open_file(void)
{
	return syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY) >= 0 ? WORKS : FAILS;
}

static int new_ring(void)
{
	struct io_uring_params params = {0};

	return syscall(SYS_io_uring_setup, 4, &params) >= 0 ? WORKS : FAILS;
}

static int register_at_ring(void)
{
	return syscall(SYS_io_uring_register, 0, IORING_REGISTER_PERSONALITY, NULL, 0) >= 0 ? WORKS
											    : FAILS;
}

static int new_socket(void)
{
	return syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0) >= 0 ? WORKS : FAILS;
}

static int another_program(void)
{
	char *const words[] = {"true", NULL};

	return (int)syscall(SYS_execve, "/bin/true", words, words);
}

static int another_process(void)
{
	return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) == 0 ? WORKS : FAILS;
}

static int code_in_memory(void)
{
	return syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0) != -1
		       ? WORKS
		       : FAILS;
}

static int memory_to_code(void)
{
	return syscall(SYS_mprotect, (uintptr_t)page & -4096ul, 4096,
		       PROT_READ | PROT_WRITE | PROT_EXEC) == 0
		       ? WORKS
		       : FAILS;
}

static int trace_another(void)
{
	return syscall(SYS_ptrace, 16 /* PTRACE_ATTACH */, getppid(), 0, 0) == 0 ? WORKS : FAILS;
}

/* ---- Calls that a worker needs, with arguments that it does not ---- */

static int signal_another(void)
{
	return syscall(SYS_tgkill, getppid(), getppid(), 0) == 0 ? WORKS : FAILS;
}

static int signal_a_process(void)
{
	return syscall(SYS_kill, getppid(), 0) == 0 ? WORKS : FAILS;
}

static int let_others_run_first(void)
{
	const struct sched_param none = {0};

	return sched_setscheduler(0, SCHED_BATCH, &none) == 0 &&
			       sched_setscheduler(0, SCHED_OTHER, &none) == 0
		       ? WORKS
		       : 1;
}

static int run_before_others(void)
{
	const struct sched_param first = {.sched_priority = 1};

	return sched_setscheduler(0, SCHED_FIFO, &first);
}

static int let_another_run_last(void)
{
	const struct sched_param none = {0};

	return sched_setscheduler(getppid(), SCHED_BATCH, &none);
}

static int limits_of_another(void)
{
	struct rlimit limit;

	return syscall(SYS_prlimit64, getppid(), RLIMIT_NOFILE, NULL, &limit) == 0 ? WORKS : FAILS;
}

static int change_a_limit(void)
{
	struct rlimit limit = {64, 64};

	return syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &limit, NULL) == 0 ? WORKS : FAILS;
}

/* A byte into the terminal's input, which a shell reads later. */
static int type_at_the_terminal(void)
{
	return syscall(SYS_ioctl, 0, TIOCSTI, "x") == 0 ? WORKS : FAILS;
}

static int take_the_terminal(void)
{
	return syscall(SYS_ioctl, 0, TIOCSCTTY, 0) == 0 ? WORKS : FAILS;
}

/* The kernel then signals whom this names. */
static int own_by_another(void)
{
	return syscall(SYS_fcntl, 0, F_SETOWN, getppid()) == 0 ? WORKS : FAILS;
}

static int look_at_a_path(void)
{
	struct stat stat;

	return syscall(SYS_newfstatat, AT_FDCWD, "/etc/passwd", &stat, 0) == 0 ? WORKS : FAILS;
}

static int send_to_an_address(void)
{
	struct sockaddr address = {.sa_family = AF_UNIX};

	return syscall(SYS_sendto, 0, page, 1, 0, &address, sizeof(address)) >= 0 ? WORKS : FAILS;
}

static int thread_of_another_user_space(void)
{
	return syscall(SYS_clone, CLONE_THREAD | CLONE_SIGHAND | CLONE_VM | CLONE_NEWUSER, 0, 0, 0,
		       0) >= 0
		       ? WORKS
		       : FAILS;
}

static int read_anothers_memory(void)
{
	struct iovec here = {page, 1}, there = {page, 1};

	return syscall(SYS_process_vm_readv, getppid(), &here, 1, &there, 1, 0) == 1 ? WORKS
										     : FAILS;
}

static int hold_another(void)
{
	return syscall(SYS_pidfd_open, getppid(), 0) >= 0 ? WORKS : FAILS;
}

/* ---- And what is let through ---- */

static int kick_itself(void)
{
	return syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), 0) == 0 ? WORKS : FAILS;
}

static int read_its_limits(void)
{
	struct rlimit limit;

	if (syscall(SYS_prlimit64, 0, RLIMIT_CORE, NULL, &limit) != 0 || limit.rlim_max != 0) {
		return FAILS;
	}
	return syscall(SYS_prlimit64, 0, RLIMIT_STACK, NULL, &limit) == 0 ? WORKS : FAILS;
}

static int look_at_a_descriptor(void)
{
	struct stat of_file;

	return fstat(STDOUT_FILENO, &of_file) == 0 ? WORKS : FAILS;
}

/* Its descriptors are no partitions: refused by the kernel, not by the filter. */
static int commands_of_a_partition(void)
{
	const unsigned int *commands;
	size_t count = backend_commands(&commands);

	for (size_t i = 0; i < count; i++) {
		if (syscall(SYS_ioctl, -1, (unsigned long)commands[i], NULL) != -1 ||
		    errno != EBADF) {
			return FAILS;
		}
	}
	return syscall(SYS_fcntl, 2, F_DUPFD_CLOEXEC, 0) >= 0 ? WORKS : FAILS;
}

static int memory(void)
{
	void *at = (void *)syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at != MAP_FAILED && syscall(SYS_mprotect, at, 4096, PROT_READ) == 0 ? WORKS : FAILS;
}

/* The C library goes on with clone then. */
static int clone_without_sight(void)
{
	return syscall(SYS_clone3, NULL, 0) == -1 && errno == ENOSYS ? WORKS : FAILS;
}

static struct disk *disk;
static struct disk_queue *queue;

static int use_disk(void)
{
	struct iovec iov = {page, sizeof(page)};
	struct disk_req write = {.op = DISK_OP_WRITE,
				 .flags = DISK_FUA,
				 .length = 4096,
				 .iov = &iov,
				 .iov_count = 1};
	struct disk_req read = {.op = DISK_OP_READ, .length = 4096, .iov = &iov, .iov_count = 1};

	memset(page, 7, sizeof(page));
	disk_submit(queue, disk, &write);
	disk_queue_wait(queue);
	memset(page, 0, sizeof(page));
	disk_submit(queue, disk, &read);
	while (disk_queue_next(queue) != &read) {
		disk_queue_wait(queue);
	}
	return write.result == 0 && read.result == 0 && page[4095] == 7 ? WORKS : FAILS;
}

static void open_disk(void)
{
	assert_int_equal(
		disk_open(name, &(struct disk_open){.format = DISK_FORMAT_RAW}, &disk, NULL), 0);
	assert_int_equal(disk_queue_create(4, &queue, NULL), 0);
	assert_true(disk_queue_fd(queue) >= 0);
}

static int in_sandbox(int (*act)(void))
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		open_disk();
		syscall(SYS_exit_group, sandbox_enter(0) ? act() : NO_SANDBOX);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static void test_ends_the_process(void **state)
{
	static int (*const forbidden[])(void) = {
		open_file,
		new_ring,
		register_at_ring,
		new_socket,
		another_program,
		another_process,
		code_in_memory,
		memory_to_code,
		trace_another,
		signal_another,
		signal_a_process,
		run_before_others,
		let_another_run_last,
		limits_of_another,
		change_a_limit,
		type_at_the_terminal,
		take_the_terminal,
		own_by_another,
		send_to_an_address,
		look_at_a_path,
		thread_of_another_user_space,
		read_anothers_memory,
		hold_another,
	};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
		int status = in_sandbox(forbidden[i]);

		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGSYS);
	}
}

static int gate[2];

static void *call_of_another_abi(void *unused)
{
	char byte;

	(void)unused;
	if (read(gate[0], &byte, 1) == 1) {
		syscall(X32 | SYS_getpid);
	}
	return NULL;
}

/* By whichever way it comes in, and whichever thread makes it: none of the others goes on. */
static void test_another_abi(void **state)
{
	pid_t child;
	int status;

	(void)state;
	assert_int_equal(pipe(gate), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, call_of_another_abi, NULL) != 0 ||
		    !sandbox_enter(0) || write(gate[1], "", 1) != 1) {
			syscall(SYS_exit_group, NO_SANDBOX);
		}
		pthread_join(thread, NULL);
		syscall(SYS_exit_group, WORKS);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
	close(gate[0]);
	close(gate[1]);
}

/* A disk that comes while the machine runs: by descriptors, and never by a name. */
static void test_chain(void **state)
{
	static int (*const given[])(void) = {attach_chain, attach_part_of_chain,
					     attach_more_than_chain};
	unsigned i;

	(void)state;
	make_chain();
	for (i = 0; i < sizeof(given) / sizeof(given[0]); i++) {
		assert_int_equal(in_sandbox(given[i]), WORKS);
	}
	remove_chain();
}

static void test_goes_on(void **state)
{
	static int (*const allowed[])(void) = {
		memory,
		clone_without_sight,
		use_disk,
		kick_itself,
		read_its_limits,
		let_others_run_first,
		look_at_a_descriptor,
		commands_of_a_partition,
	};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
		assert_int_equal(in_sandbox(allowed[i]), WORKS);
	}
}

/* ---- Two workers ---- */

struct worker {
	pid_t pid;
	int hold; /* it lives until a byte comes from here */
	unsigned int user;
	char status[4096]; /* /proc/PID/status */
};

/* A line of its status, the words after the colon. */
static const char *line_of(const struct worker *worker, const char *key)
{
	static char line[256];
	const char *at = strstr(worker->status, key);

	assert_non_null(at);
	assert_int_equal(sscanf(at + strlen(key), ":%255[^\n]", line), 1);
	return line + strspn(line, " \t");
}

static void start(struct worker *worker)
{
	int ready[2], hold[2];
	char path[64], byte = 0;
	FILE *file;

	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(hold), 0);
	worker->pid = fork();
	assert_true(worker->pid >= 0);
	if (worker->pid == 0) {
		bool in = sandbox_enter(0);

		close(hold[1]);
		(void)!write(ready[1], &in, 1);
		(void)!read(hold[0], &byte, 1);
		syscall(SYS_exit_group, 0);
	}
	close(hold[0]);
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(byte, 1);
	close(ready[0]);
	worker->hold = hold[1];
	snprintf(path, sizeof(path), "/proc/%d/status", (int)worker->pid);
	file = fopen(path, "r");
	assert_non_null(file);
	worker->status[fread(worker->status, 1, sizeof(worker->status) - 1, file)] = '\0';
	fclose(file);
	worker->user = (unsigned int)strtoul(line_of(worker, "\nUid"), NULL, 10);
}

static void end(struct worker *worker)
{
	int status;

	assert_int_equal(write(worker->hold, "", 1), 1);
	close(worker->hold);
	assert_int_equal(waitpid(worker->pid, &status, 0), worker->pid);
	assert_int_equal(status, 0);
}

/* As the user of one worker, but without its filter and rules: what is out of reach by the user
 * alone. */
static int reach(unsigned int user, pid_t other)
{
	struct iovec here = {page, 1}, there = {page, 1};
	char path[64];

	if (setgroups(0, NULL) != 0 || setresgid(user, user, user) != 0 ||
	    setresuid(user, user, user) != 0 || prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0) {
		return FAILS;
	}
	if (kill(other, 0) == 0 || errno != EPERM ||
	    syscall(SYS_tgkill, other, other, SIGUSR1) == 0 || errno != EPERM) {
		return FAILS;
	}
	if (ptrace(PTRACE_ATTACH, other, NULL, NULL) == 0 || errno != EPERM ||
	    process_vm_readv(other, &here, 1, &there, 1, 0) >= 0 || errno != EPERM) {
		return FAILS;
	}
	static const char *const files[] = {"mem", "maps", "environ", "fd", "fd/0", "root"};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "/proc/%d/%s", (int)other, files[i]);
		if (open(path, O_RDONLY) >= 0 || errno != EACCES) {
			return FAILS;
		}
	}
	return WORKS;
}

static void test_two_workers(void **state)
{
	static const char *const nothing[] = {"\nCapInh", "\nCapPrm", "\nCapEff", "\nCapAmb"};
	struct worker a, b;
	char wanted[100];
	pid_t child;
	int status;

	(void)state;
	start(&a);
	start(&b);
	assert_string_equal(line_of(&a, "\nNoNewPrivs"), "1");
	assert_string_equal(line_of(&a, "\nSeccomp"), "2");
	if (geteuid() != 0) {
		assert_int_equal(a.user, geteuid());
	} else {
		assert_int_equal(a.user, SANDBOX_USERS + (unsigned int)a.pid);
		assert_int_not_equal(a.user, b.user);
		snprintf(wanted, sizeof(wanted), "%u\t%u\t%u\t%u", a.user, a.user, a.user, a.user);
		assert_string_equal(line_of(&a, "\nUid"), wanted);
		assert_string_equal(line_of(&a, "\nGid"), wanted);
		assert_null(strpbrk(strstr(a.status, "\nGroups:") + 8, "0123456789") <
					    strchr(strstr(a.status, "\nGroups:") + 1, '\n')
				    ? "a group"
				    : NULL);
		for (size_t i = 0; i < sizeof(nothing) / sizeof(nothing[0]); i++) {
			assert_string_equal(line_of(&a, nothing[i]), "0000000000000000");
		}
		child = fork();
		if (child == 0) {
			syscall(SYS_exit_group, reach(a.user, b.pid));
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
	}
	end(&a);
	end(&b);
}

/* Where root may not become another user, the worker says so and does not go on as root. */
static void test_root_that_must_stay(void **state)
{
	pid_t child;
	int status;

	(void)state;
	if (geteuid() != 0) {
		skip();
	}
	child = fork();
	if (child == 0) {
		/* Without the capabilities, which are checked before anything else. */
		struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
		struct __user_cap_data_struct none[2] = {0};

		dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
		syscall(SYS_exit_group, syscall(SYS_capset, &header, none) == 0 && !sandbox_enter(0)
						? WORKS
						: FAILS);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	/* Nor with capabilities that the change of the user would leave. */
	child = fork();
	if (child == 0) {
		dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
		syscall(SYS_exit_group, prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0 && !sandbox_enter(0)
						? WORKS
						: FAILS);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* As a host with little memory has it from its kernel. */
static void test_fewer_threads(void **state)
{
	struct rlimit few = {100, 100};
	pid_t child = fork();
	int status;

	(void)state;
	if (child == 0) {
		syscall(SYS_exit_group,
			setrlimit(RLIMIT_NPROC, &few) == 0 && sandbox_enter(0) ? WORKS : FAILS);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ends_the_process), cmocka_unit_test(test_another_abi),
		cmocka_unit_test(test_goes_on),          cmocka_unit_test(test_chain),
		cmocka_unit_test(test_two_workers),      cmocka_unit_test(test_root_that_must_stay),
		cmocka_unit_test(test_fewer_threads),
	};
	int fd = mkstemp(name), failed;

	if (fd < 0 || ftruncate(fd, 1 << 20) != 0 || close(fd) != 0) {
		return 1;
	}
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(name);
	return failed;
}
