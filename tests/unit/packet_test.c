/* hosted/packet.c: descriptors that come with packets are the receiver's, each of them, and none is
 * lost. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "hosted/packet.h"

static int ends[2], file, before;

/* Of this process. */
static int open_count(void)
{
	int fd, count = 0;

	for (fd = 0; fd < 1024; fd++) {
		count += fcntl(fd, F_GETFD) >= 0;
	}
	return count;
}

static int open_ends(void **state)
{
	(void)state;
	file = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	before = open_count();
	return 0;
}

static int close_ends(void **state)
{
	(void)state;
	assert_int_equal(open_count(), before);
	close(ends[0]);
	close(ends[1]);
	close(file);
	return 0;
}

static int send_files(const char *text, unsigned int count)
{
	int fds[PACKET_FDS_MAX];

	for (unsigned int i = 0; i < count; i++) {
		fds[i] = file;
	}
	return packet_send(ends[0], MSG_DONTWAIT, text, strlen(text), fds, count);
}

static void packets_come_with_their_descriptors(void **state)
{
	static const unsigned int counts[] = {0, 1, 2, 3, PACKET_FDS_MAX};
	int fds[PACKET_FDS_MAX];
	char text[16];
	struct packet packet = {
		.bytes = text, .size = sizeof(text), .fds = fds, .fds_max = PACKET_FDS_MAX};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_COUNT(counts); i++) {
		assert_int_equal(send_files("hello", counts[i]), 0);
		assert_int_equal(packet_receive(ends[1], 0, &packet), 0);
		assert_int_equal(packet.length, 5);
		assert_memory_equal(text, "hello", 5);
		assert_int_equal(packet.fd_count, counts[i]);
		assert_false(packet.cut || packet.fds_cut);
		for (unsigned int fd = 0; fd < packet.fd_count; fd++) {
			assert_int_equal(fcntl(fds[fd], F_GETFD), FD_CLOEXEC);
		}
		packet_close(&packet);
		assert_int_equal(packet.fd_count, 0);
	}
	assert_int_equal(packet_receive(ends[1], MSG_DONTWAIT, &packet), -EAGAIN);
	assert_int_equal(packet.fd_count, 0);
}

/* An odd number of descriptors leaves room for one more by the control message's padding. */
static void what_is_too_much_is_cut(void **state)
{
	int fds[4] = {-1, -1, -1, -1};
	char text[4];
	struct packet packet = {.bytes = text, .size = sizeof(text), .fds = fds, .fds_max = 3};

	(void)state;
	assert_int_equal(send_files("hello", 4), 0);
	assert_int_equal(packet_receive(ends[1], 0, &packet), 0);
	assert_true(packet.cut && packet.fds_cut);
	assert_int_equal(packet.length, 4);
	assert_int_equal(packet.fd_count, 3);
	assert_int_equal(fds[3], -1);
	packet_close(&packet);
	packet.fds_max = 0;
	assert_int_equal(send_files("a", 1), 0);
	assert_int_equal(packet_receive(ends[1], 0, &packet), 0);
	assert_true(packet.fds_cut);
	assert_int_equal(packet.fd_count, 0);
}

static void a_process_without_room_for_them_hears_it(void **state)
{
	struct rlimit limit, few;
	int fds[3];
	char text[4];
	struct packet packet = {.bytes = text, .size = sizeof(text), .fds = fds, .fds_max = 3};

	(void)state;
	getrlimit(RLIMIT_NOFILE, &limit);
	assert_int_equal(send_files("a", 3), 0);
	few = (struct rlimit){(rlim_t)dup(file), limit.rlim_max};
	close((int)few.rlim_cur);
	few.rlim_cur++;
	setrlimit(RLIMIT_NOFILE, &few);
	assert_int_equal(packet_receive(ends[1], 0, &packet), 0);
	setrlimit(RLIMIT_NOFILE, &limit);
	assert_true(packet.fds_cut);
	assert_int_equal(packet.fd_count, 1);
	packet_close(&packet);
}

static void an_empty_packet_may_bring_some(void **state)
{
	int fds[3];
	char text[4];
	struct packet packet = {.bytes = text, .size = sizeof(text), .fds = fds, .fds_max = 3};

	(void)state;
	assert_int_equal(send_files("", 2), 0);
	assert_int_equal(packet_receive(ends[1], 0, &packet), 0);
	assert_int_equal(packet.length, 0);
	assert_int_equal(packet.fd_count, 2);
	packet_close(&packet);
}

static void who_has_hung_up_is_an_error_and_no_signal(void **state)
{
	char text[4];
	struct packet packet = {.bytes = text, .size = sizeof(text)};

	(void)state;
	shutdown(ends[1], SHUT_RDWR);
	assert_int_equal(send_files("a", 1), -EPIPE);
	assert_int_equal(packet_receive(ends[1], 0, &packet), 0);
	assert_int_equal(packet.length, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_ends, close_ends)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(packets_come_with_their_descriptors),
		TEST(what_is_too_much_is_cut),
		TEST(a_process_without_room_for_them_hears_it),
		TEST(an_empty_packet_may_bring_some),
		TEST(who_has_hung_up_is_an_error_and_no_signal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
