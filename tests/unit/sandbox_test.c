/*
 * worker/sandbox.c: what a process in it may not do ends it, and a disk queue that it had before goes on. Each case is a
 * process of its own, and calls the kernel directly: the sanitizers want more than a worker does.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "disk/disk.h"
#include "worker/machine.h"

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
		syscall(SYS_exit_group, sandbox_enter() ? act() : NO_SANDBOX);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static void test_ends_the_process(void **state)
{
	static int (*const forbidden[])(void) = {open_file,      new_ring,        register_at_ring,
						 new_socket,     another_program, another_process,
						 code_in_memory, memory_to_code,  trace_another};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
		int status = in_sandbox(forbidden[i]);

		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGSYS);
	}
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
	static int (*const allowed[])(void) = {memory, clone_without_sight, use_disk};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
		assert_int_equal(in_sandbox(allowed[i]), WORKS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ends_the_process),
		cmocka_unit_test(test_goes_on),
		cmocka_unit_test(test_chain),
	};
	int fd = mkstemp(name), failed;

	if (fd < 0 || ftruncate(fd, 1 << 20) != 0 || close(fd) != 0) {
		return 1;
	}
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(name);
	return failed;
}
