/* worker/say.c: what a guest can cause to be said has an end, and what was left out is counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "worker/say.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_burst_then_one_at_a_time),
		cmocka_unit_test(a_guest_cannot_fill_a_log),
	};

	return cmocka_run_group_tests_name("say", tests, NULL, NULL);
}
