/*
 * vhd attach: whenever somebody wants it to end, no device is left that nobody serves. The kernel
 * and the server are simulated; what becomes of the processes is real.
 */
#include "disk/tool/tool.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* What the kernel knows, and what it does while it connects; seen by all processes. */
static struct kernel {
	int connected, served;
	void (*meanwhile)(void);
} *kernel;

int kernel_nbd_connect(struct disk *disk, int fd, unsigned *index)
{
	(void)disk;
	(void)fd;
	kernel->connected++;
	kernel->meanwhile();
	*index = 1 << 20; /* of which there is no node */
	return 0;
}

int kernel_nbd_disconnect(unsigned index)
{
	(void)index;
	kernel->connected--;
	return 0;
}

int disk_nbd_serve_peer(struct disk *disk, int fd, volatile bool *stop, struct disk_error *error)
{
	(void)disk;
	(void)error;
	kernel->served += *stop ? 1 : 100; /* one that is not told to end does not */
	close(fd);
	return 0;
}

int disk_close(struct disk **disk, struct disk_error *error)
{
	(void)disk;
	(void)error;
	return 0;
}

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout);

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout)
{
	(void)fds;
	(void)count;
	(void)timeout;
	return 0;
}

static void interrupt(void)
{
	raise(SIGINT);
}

static void terminate(void)
{
	raise(SIGTERM);
}

static void lose_parent(void)
{
	pid_t parent = getppid();

	kill(parent, SIGKILL);
	while (getppid() == parent) {
		usleep(1000);
	}
}

/* Runs attach in a process of its own; comes back when all that it started has ended. */
static void run(void (*meanwhile)(void))
{
	int alive[2];
	char byte;
	pid_t pid;

	*kernel = (struct kernel){.meanwhile = meanwhile};
	assert_int_equal(pipe(alive), 0);
	pid = fork();
	if (pid == 0) {
		if (freopen("/dev/null", "w", stderr) == NULL) {
			_exit(2);
		}
		_exit(attach(NULL, "disk"));
	}
	close(alive[1]);
	assert_int_equal(read(alive[0], &byte, 1), 0);
	close(alive[0]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_signals(void **state)
{
	(void)state;
	run(interrupt);
	assert_true(!kernel->connected && kernel->served == 1);
	run(terminate);
	assert_true(!kernel->connected && kernel->served == 1);
}

static void test_nobody_waits(void **state)
{
	(void)state;
	run(lose_parent);
	assert_int_equal(kernel->connected, 0);
	assert_int_equal(kernel->served, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_nobody_waits),
	};

	kernel = mmap(NULL, sizeof(*kernel), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	return kernel == MAP_FAILED || cmocka_run_group_tests(tests, NULL, NULL);
}
