/* One write per line, so that lines of several threads do not mix. See say.h. */
#include "worker/say.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "lib/check.h"

static char prefix[80] = "vmwp: ";
static atomic_bool raw;

void say_set_name(const char *name)
{
	snprintf(prefix, sizeof(prefix), "vmwp: %.60s: ", name);
}

void say_raw_terminal(bool on)
{
	raw = on;
}

static void put(const char *format, va_list arguments)
{
	char line[1024];
	int length = snprintf(line, sizeof(line), "%s", prefix);

	length += vsnprintf(line + length, sizeof(line) - (size_t)length, format, arguments);
	if (length > (int)sizeof(line) - 3) {
		length = (int)sizeof(line) - 3;
	}
	if (raw) {
		line[length++] = '\r';
	}
	line[length++] = '\n';
	if (write(STDERR_FILENO, line, (size_t)length) < 0) {
		return; /* nobody is left to tell */
	}
}

void say(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	put(format, arguments);
	va_end(arguments);
}

/* A bucket that a line fills by one unit of time, and that runs empty with it. */
bool say_limit_pass(struct say_limit *limit, uint64_t now_ns, unsigned int *left_out)
{
	uint64_t full_at = limit->full_at > now_ns ? limit->full_at : now_ns;

	if (full_at - now_ns > (SAY_LIMIT_BURST - 1) * SAY_LIMIT_EVERY_NS) {
		limit->left_out++;
		return false;
	}
	limit->full_at = full_at + SAY_LIMIT_EVERY_NS;
	*left_out = limit->left_out;
	limit->left_out = 0;
	return true;
}

void say_guest(const char *format, ...)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static struct say_limit limit;
	unsigned int left_out;
	struct timespec now;
	va_list arguments;
	bool pass;

	clock_gettime(CLOCK_MONOTONIC, &now);
	pthread_mutex_lock(&lock);
	pass = say_limit_pass(&limit, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec,
			      &left_out);
	pthread_mutex_unlock(&lock);
	if (!pass) {
		return;
	}
	if (left_out != 0) {
		say("%u lines like the next one were left out", left_out);
	}
	va_start(arguments, format);
	put(format, arguments);
	va_end(arguments);
}

void check_failed(const char *file, int line, const char *what)
{
	say("internal error: %s:%d: %s", file, line, what);
	abort();
}
