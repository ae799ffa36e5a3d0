/*
 * worker/say.c: what a guest can cause to be said has an end, and what was left out is counted;
 * with the guest's serial line on the same pipe none cuts a line of the other's.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "worker/say.h"

#define SAYERS   4
#define EACH     100 /* so few that all can wait for the end of one line */
#define MESSAGES 200
#define LINES    2000

static time_t later_seconds; /* by so many the clock is ahead */

int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
	int ret = __real_clock_gettime(clock, now);

	now->tv_sec += later_seconds;
	return ret;
}

static int line[2], messages; /* a pipe, and what standard error was */
static char seen[65536];

static int setup(void **state)
{
	(void)state;
	assert_int_equal(pipe2(line, O_NONBLOCK), 0);
	messages = dup(STDERR_FILENO);
	dup2(line[1], STDERR_FILENO);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	say_unshare();
	say_raw_terminal(false);
	dup2(messages, STDERR_FILENO);
	close(messages);
	close(line[0]);
	close(line[1]);
	return 0;
}

/* What the guest has written and the worker not yet passed on. */
static atomic_uint in_ring;

static unsigned int still_waiting(const void *serial)
{
	(void)serial;
	return atomic_load(&in_ring);
}

/* What has come since the last look. */
static const char *look(void)
{
	ssize_t length = read(line[0], seen, sizeof(seen) - 1);

	seen[length > 0 ? length : 0] = '\0';
	return seen;
}

/* The guest's bytes, as the serial port passes them on: what is not taken is given again. */
static void guest(const char *text)
{
	size_t left = strlen(text);

	while (left != 0) {
		ssize_t done = say_pass(line[1], text, left);

		assert_true(done > 0);
		text += done;
		left -= (size_t)done;
	}
}

static void waits_for_the_end_of_the_line(void **state)
{
	(void)state;
	assert_true(say_share(line[1], still_waiting, NULL));
	say("before");
	assert_string_equal(look(), "vmwp: before\n");
	guest("hostile: tri");
	say("one");
	say("two");
	assert_string_equal(look(), "hostile: tri");
	guest("ple fault\r\nnext");
	assert_string_equal(look(), "ple fault\r\nvmwp: one\nvmwp: two\nnext");
	guest("\n");
	say("after");
	assert_string_equal(look(), "\nvmwp: after\n");
}

/* Some send the carriage return last. */
static void knows_the_beginning_of_a_line(void **state)
{
	(void)state;
	assert_true(say_share(line[1], still_waiting, NULL));
	guest("text\n\r");
	say("at once");
	assert_string_equal(look(), "text\n\rvmwp: at once\n");
}

static void follows_a_prompt(void **state)
{
	struct pollfd timer;

	(void)state;
	say_raw_terminal(true);
	assert_true(say_share(line[1], still_waiting, NULL));
	guest("login: ");
	say("attached");
	assert_string_equal(look(), "login: ");
	timer = (struct pollfd){.fd = say_timer(), .events = POLLIN};
	do {
		assert_int_equal(poll(&timer, 1, -1), 1);
		say_settle();
	} while (strcmp(look(), "") == 0);
	assert_string_equal(seen, "\r\nvmwp: attached\r\n");
	guest("\r\n");
	assert_string_equal(look(), "\r\n");
}

/* A guest that goes on and on with one line keeps no message back for good. */
static void does_not_wait_for_a_line_without_an_end(void **state)
{
	struct pollfd timer;

	(void)state;
	assert_true(say_share(line[1], still_waiting, NULL));
	guest("on");
	say("the host's");
	later_seconds += 60;
	guest(" and on");
	assert_string_equal(look(), "on and on");
	timer = (struct pollfd){.fd = say_timer(), .events = POLLIN};
	assert_int_equal(poll(&timer, 1, -1), 1);
	guest(" and on");
	say_settle();
	assert_string_equal(look(), " and on\nvmwp: the host's\n");
}

static void comes_out_at_the_end(void **state)
{
	(void)state;
	assert_true(say_share(line[1], still_waiting, NULL));
	guest("last wor");
	say("VP 0: triple fault");
	say_unshare();
	assert_string_equal(look(), "last wor\nvmwp: VP 0: triple fault\n");
	say("directly");
	assert_string_equal(look(), "vmwp: directly\n");
}

static void does_not_wait_for_another_pipe(void **state)
{
	int other[2];

	(void)state;
	assert_int_equal(pipe(other), 0);
	assert_true(say_share(other[1], still_waiting, NULL));
	assert_int_equal(say_timer(), -1);
	assert_int_equal(say_pass(other[1], "amidst", 6), 6);
	say("at once");
	assert_string_equal(look(), "vmwp: at once\n");
	close(other[0]);
	close(other[1]);
}

/* More than there is room for: the guest's line ends early, and nothing is lost. */
static void holds_no_more_than_it_can(void **state)
{
	char name[16];
	const char *at;
	unsigned int i;

	(void)state;
	assert_true(say_share(line[1], still_waiting, NULL));
	guest("amidst");
	for (i = 0; i < MESSAGES; i++) {
		say("%03u %60s", i, "");
	}
	guest("\n");
	at = look();
	assert_memory_equal(at, "amidst\nvmwp: ", 13);
	for (i = 0; i < MESSAGES; i++) {
		snprintf(name, sizeof(name), "vmwp: %03u", i);
		at = strstr(at, name);
		assert_non_null(at);
	}
}

static void *sayer(void *unused)
{
	unsigned int i;

	(void)unused;
	for (i = 0; i < EACH; i++) {
		say("a message");
	}
	return NULL;
}

static atomic_uint guest_lines, worker_lines, bad_lines;

static void *reader(void *unused)
{
	FILE *file = fdopen(dup(line[0]), "r");
	char text[256];

	(void)unused;
	while (fgets(text, sizeof(text), file) != NULL && strcmp(text, "end\n") != 0) {
		if (strcmp(text, "a line of the guest\n") == 0) {
			guest_lines++;
		} else if (strcmp(text, "vmwp: a message\n") == 0) {
			worker_lines++;
		} else {
			bad_lines++;
		}
	}
	fclose(file);
	return NULL;
}

static void keeps_lines_of_many_threads_whole(void **state)
{
	static const char text[] = "a line of the guest\n";
	pthread_t threads[SAYERS], reads;
	unsigned int i, n;

	(void)state;
	fcntl(line[0], F_SETFL, 0);
	fcntl(line[1], F_SETFL, 0);
	assert_true(say_share(line[1], still_waiting, NULL));
	pthread_create(&reads, NULL, reader, NULL);
	for (i = 0; i < SAYERS; i++) {
		pthread_create(&threads[i], NULL, sayer, NULL);
	}
	for (n = 0; n < LINES; n++) {
		for (i = 0; i < sizeof(text) - 1; i++) {
			assert_int_equal(say_pass(line[1], text + i, 1), 1);
		}
	}
	for (i = 0; i < SAYERS; i++) {
		pthread_join(threads[i], NULL);
	}
	say_unshare();
	assert_int_equal(write(line[1], "end\n", 4), 4);
	pthread_join(reads, NULL);
	assert_int_equal(guest_lines, LINES);
	assert_int_equal(worker_lines, SAYERS * EACH);
	assert_int_equal(bad_lines, 0);
}

static void a_burst_then_one_at_a_time(void **state)
{
	struct say_limit limit = {0};
	uint64_t now = 1ull << 40;
	unsigned int i, left_out;

	(void)state;
	for (i = 0; i < SAY_LIMIT_BURST; i++) {
		assert_true(say_limit_pass(&limit, now, &left_out));
		assert_int_equal(left_out, 0);
	}
	for (i = 0; i < 70000; i++) {
		assert_false(say_limit_pass(&limit, now + i, &left_out));
	}
	now += SAY_LIMIT_EVERY_NS;
	assert_true(say_limit_pass(&limit, now, &left_out));
	assert_int_equal(left_out, 70000);
	assert_false(say_limit_pass(&limit, now, &left_out));
	/* A long silence allows a burst, and no more than one. */
	now += 1000000 * SAY_LIMIT_EVERY_NS;
	assert_true(say_limit_pass(&limit, now, &left_out));
	assert_int_equal(left_out, 1);
	for (i = 1; i < SAY_LIMIT_BURST; i++) {
		assert_true(say_limit_pass(&limit, now, &left_out));
	}
	assert_false(say_limit_pass(&limit, now, &left_out));
}

/* Standard error of what is said meanwhile. */
static size_t listen_to(void (*act)(void), char *said, size_t size)
{
	FILE *file = tmpfile();
	int saved = dup(STDERR_FILENO);
	size_t length;

	assert_non_null(file);
	dup2(fileno(file), STDERR_FILENO);
	act();
	dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(file);
	length = fread(said, 1, size - 1, file);
	said[length] = '\0';
	fclose(file);
	return length;
}

static void flood(void)
{
	unsigned int i;

	for (i = 0; i < 100000; i++) {
		say_guest("line %u", i);
	}
	say("and this");
}

static void a_guest_cannot_fill_a_log(void **state)
{
	static char said[1 << 20];
	unsigned int lines = 0;
	const char *at;

	(void)state;
	assert_true(listen_to(flood, said, sizeof(said)) < 10000);
	for (at = said; (at = strchr(at, '\n')) != NULL; at++) {
		lines++;
	}
	assert_in_range(lines, SAY_LIMIT_BURST + 1, SAY_LIMIT_BURST + 50);
	assert_non_null(strstr(said, "vmwp: line 0\n"));
	assert_non_null(strstr(said, "vmwp: line 99\n"));
	assert_non_null(strstr(said, "vmwp: and this\n")); /* what no guest causes always comes */
}

/* The guest has written three lines when the message comes; they are on their way still. */
static void a_message_does_not_overtake(void **state)
{
	(void)state;
	assert_true(say_share(line[1], still_waiting, NULL));
	atomic_store(&in_ring, 12);
	say("behind");
	assert_string_equal(look(), "");
	assert_int_equal(say_pass(line[1], "one\n", 4), 4);
	atomic_store(&in_ring, 8);
	assert_int_equal(say_pass(line[1], "two\n", 4), 4);
	atomic_store(&in_ring, 4);
	assert_string_equal(look(), "one\ntwo\n");
	assert_int_equal(say_pass(line[1], "six\n", 4), 4);
	atomic_store(&in_ring, 0);
	assert_string_equal(look(), "six\nvmwp: behind\n");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_burst_then_one_at_a_time),
		cmocka_unit_test(a_guest_cannot_fill_a_log),
		TEST(waits_for_the_end_of_the_line),
		TEST(knows_the_beginning_of_a_line),
		TEST(a_message_does_not_overtake),
		TEST(follows_a_prompt),
		TEST(does_not_wait_for_a_line_without_an_end),
		TEST(comes_out_at_the_end),
		TEST(does_not_wait_for_another_pipe),
		TEST(holds_no_more_than_it_can),
		TEST(keeps_lines_of_many_threads_whole),
	};

	return cmocka_run_group_tests_name("say", tests, NULL, NULL);
}
