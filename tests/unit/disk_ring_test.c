/*
 * disk/ring.c: a ring does what the disk library needs of it, and refuses everything else, so that
 * it is no way around a filter of system calls.
 */
#include "disk/file.h"
#include "disk/ring.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

/* The descriptor of the only ring that this process has. */
static int ring_descriptor(void)
{
	DIR *folder = opendir("/proc/self/fd");
	struct dirent *entry;
	int found = -1;

	assert_non_null(folder);
	while ((entry = readdir(folder)) != NULL) {
		char target[64] = "";

		if (readlinkat(dirfd(folder), entry->d_name, target, sizeof(target) - 1) > 0 &&
		    strcmp(target, "anon_inode:[io_uring]") == 0) {
			found = atoi(entry->d_name);
		}
	}
	closedir(folder);
	return found;
}

/* Polls that the kernel keeps for the ring. */
static unsigned count_polls(void)
{
	char path[64], line[256];
	unsigned count = 0;
	bool in_list = false;
	FILE *info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", ring_descriptor());
	info = fopen(path, "re");
	assert_non_null(info);
	while (fgets(line, sizeof(line), info) != NULL) {
		if (line[0] != ' ') {
			in_list = !strncmp(line, "PollList:", 9);
		} else {
			count += in_list;
		}
	}
	fclose(info);
	return count;
}

static void test_operations(void **state)
{
	char name[] = "/tmp/vd-ring-XXXXXX", written[] = "0123456789", seen[11] = "";
	struct iovec out = {written, 10}, in[2] = {{seen, 4}, {seen + 4, 6}};
	struct file file = {.fd = mkstemp(name), .direct_fd = -1};
	struct ring *ring;
	int result = -1, token;
	void *got;

	(void)state;
	assert_true(file.fd >= 0);
	unlink(name);
	assert_int_equal(ring_open(4, &ring), 0);
	assert_true(ring_fd(ring) >= 0);
	assert_int_equal(ring_writev(ring, &file, &out, 1, 5, true, &token), 0);
	ring_wait(ring);
	assert_true(ring_next(ring, &got, &result));
	assert_ptr_equal(got, &token);
	assert_int_equal(result, 10);
	assert_int_equal(ring_sync(ring, &file, &token), 0);
	ring_wait(ring);
	assert_true(ring_next(ring, &got, &result));
	assert_int_equal(result, 0);
	assert_int_equal(ring_readv(ring, &file, in, 2, 5, &token), 0);
	ring_wait(ring);
	assert_true(ring_next(ring, &got, &result));
	assert_int_equal(result, 10);
	assert_string_equal(seen, written);
	ring_wake(ring);
	ring_wait(ring); /* it ends */
	assert_false(ring_next(ring, &got, &result));
	ring_close(&ring);
	close(file.fd);
}

static void signal_event(int event)
{
	uint64_t one = 1;

	assert_int_equal(write(event, &one, sizeof(one)), sizeof(one));
}

/* Where a signal were missed, the wait would not end. */
static void test_a_watched_event_ends_each_wait(void **state)
{
	int first = eventfd(0, 0), second = eventfd(0, 0), result, turn;
	struct ring *ring;
	void *got;

	(void)state;
	assert_int_equal(ring_open(4, &ring), 0);
	signal_event(first);
	ring_watch(ring, first);
	for (turn = 0; turn < 100; turn++) {
		ring_wait(ring);
		assert_false(ring_next(ring, &got, &result));
		signal_event(first);
	}
	ring_wait(ring);
	ring_watch(ring, second);
	assert_false(ring_next(ring, &got, &result));
	signal_event(second);
	ring_wait(ring);
	assert_false(ring_next(ring, &got, &result));
	assert_int_equal(count_polls(), 2); /* with the wake's */
	ring_watch(ring, -1);
	ring_wake(ring);
	ring_wait(ring);
	assert_false(ring_next(ring, &got, &result));
	assert_int_equal(count_polls(), 0);
	ring_close(&ring);
	close(first);
	close(second);
}

/* A thread that sees one signal of an event of its own; without let_go its watch is on when it
 * ends. */
static void watch_once(struct ring *ring, bool let_go)
{
	int event = eventfd(0, 0), result;
	void *got;

	ring_watch(ring, event);
	signal_event(event);
	ring_wait(ring);
	ring_next(ring, &got, &result);
	if (let_go) {
		ring_watch(ring, -1);
		ring_next(ring, &got, &result);
	}
	close(event);
}

static void *watch_and_let_go(void *ring)
{
	watch_once(ring, true);
	return NULL;
}

static void *watch_and_end(void *ring)
{
	watch_once(ring, false);
	return NULL;
}

/* As channels of a guest that opens and closes them: each on a thread of its own, with the same
 * ring. */
static void watch_in_turn(void *(*watcher)(void *), unsigned int polls_max)
{
	struct ring *ring;
	pthread_t thread;
	int turn;

	assert_int_equal(ring_open(4, &ring), 0);
	for (turn = 0; turn < 20; turn++) {
		assert_int_equal(pthread_create(&thread, NULL, watcher, ring), 0);
		pthread_join(thread, NULL);
	}
	assert_in_range(count_polls(), 0, polls_max);
	ring_close(&ring);
}

static void test_nothing_stays_of_a_watch(void **state)
{
	(void)state;
	watch_in_turn(watch_and_let_go, 1); /* the wake's, which goes on */
}

/* What a thread watched and did not let go of is let go of for the next one, whose signals are its
 * own. */
static void test_a_thread_takes_its_watch_along(void **state)
{
	(void)state;
	watch_in_turn(watch_and_end, 2); /* the wake's, and the last */
}

static void test_an_open_ring_takes_no_registration(void **state)
{
	struct io_uring_probe probe = {0};
	struct ring *ring;
	int fd;

	(void)state;
	assert_int_equal(ring_open(4, &ring), 0);
	fd = ring_descriptor();
	assert_true(fd >= 0);
	assert_int_equal(syscall(SYS_io_uring_register, fd, IORING_REGISTER_PROBE, &probe, 0), -1);
	assert_int_equal(errno, EACCES);
	assert_int_equal(syscall(SYS_io_uring_register, fd, IORING_REGISTER_PERSONALITY, NULL, 0),
			 -1);
	assert_int_equal(errno, EACCES);
	ring_close(&ring);
}

static int submit(struct io_uring *uring, void (*prepare)(struct io_uring_sqe *))
{
	struct io_uring_cqe *cqe;
	int result;

	prepare(io_uring_get_sqe(uring));
	assert_int_equal(io_uring_submit_and_wait(uring, 1), 1);
	assert_int_equal(io_uring_peek_cqe(uring, &cqe), 0);
	result = cqe->res;
	io_uring_cqe_seen(uring, cqe);
	return result;
}

static char byte[1];

static void prepare_read(struct io_uring_sqe *sqe)
{
	io_uring_prep_read(sqe, STDIN_FILENO, byte, 0, 0);
}

static void prepare_nothing(struct io_uring_sqe *sqe)
{
	io_uring_prep_nop(sqe);
}

static void prepare_open(struct io_uring_sqe *sqe)
{
	io_uring_prep_openat(sqe, AT_FDCWD, "/dev/null", O_RDONLY, 0);
}

static void prepare_socket(struct io_uring_sqe *sqe)
{
	sqe->opcode = 45; /* IORING_OP_SOCKET, which older headers lack */
	sqe->fd = AF_UNIX;
	sqe->off = SOCK_STREAM;
}

static void prepare_connect(struct io_uring_sqe *sqe)
{
	static struct sockaddr address = {.sa_family = AF_UNIX};

	io_uring_prep_connect(sqe, STDIN_FILENO, &address, sizeof(address));
}

static void prepare_unlink(struct io_uring_sqe *sqe)
{
	io_uring_prep_unlinkat(sqe, AT_FDCWD, "/nowhere/at/all", 0);
}

static void test_other_operations_are_refused(void **state)
{
	static void (*const forbidden[])(struct io_uring_sqe *) = {
		prepare_nothing, prepare_open, prepare_socket, prepare_connect, prepare_unlink};
	struct io_uring_params params = {.flags = IORING_SETUP_R_DISABLED};
	struct io_uring uring;
	unsigned i;

	(void)state;
	assert_int_equal(io_uring_queue_init_params(4, &uring, &params), 0);
	assert_int_equal(ring_restrict(&uring), 0);
	assert_int_not_equal(submit(&uring, prepare_read), -EACCES);
	for (i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
		assert_int_equal(submit(&uring, forbidden[i]), -EACCES);
	}
	io_uring_queue_exit(&uring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_operations),
		cmocka_unit_test(test_a_watched_event_ends_each_wait),
		cmocka_unit_test(test_nothing_stays_of_a_watch),
		cmocka_unit_test(test_a_thread_takes_its_watch_along),
		cmocka_unit_test(test_an_open_ring_takes_no_registration),
		cmocka_unit_test(test_other_operations_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
