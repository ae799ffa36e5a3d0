/* One line at a time, so that lines of several threads do not mix, nor with the guest's. See
 * say.h. */
#include "worker/say.h"

#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "hosted/clock.h"
#include "lib/check.h"

#define SILENCE_MS  1000  /* a guest that says nothing for so long waits for an answer */
#define OWN_MS      10    /* what the guest has said already is out by then */
#define PATIENCE_MS 10000 /* a message that has waited for so long waits for no end of a line */
#define END_MS      10000 /* a reader that takes nothing for so long is taken for dead */

static char prefix[80] = "vmwp: ";
static atomic_bool raw;

static atomic_bool shared;                        /* the guest's line goes where messages go */
static int timer = -1;                            /* armed as long as something is held */
static unsigned int (*waiting)(const void *line); /* [I] while shared, as the next */
static const void *serial_line;

/* All under the lock. */
static pthread_mutex_t line_lock = PTHREAD_MUTEX_INITIALIZER;
static bool mid_line; /* what the guest said last, to where messages go, is not the end of a line */
static uint64_t spoke_ms;
static char held[8192];
static size_t held_length;
static uint64_t held_since_ms; /* the first of it */
/* Bytes that the guest had written before what is held, and that are not passed on yet. */
static size_t ahead;

void say_set_name(const char *name)
{
	snprintf(prefix, sizeof(prefix), "vmwp: %.60s: ", name);
}

void say_raw_terminal(bool on)
{
	raw = on;
}

static bool writable(int timeout_ms)
{
	struct pollfd poll_fd = {.fd = STDERR_FILENO, .events = POLLOUT};

	return poll(&poll_fd, 1, timeout_ms) == 1;
}

static void put(const char *bytes, size_t length)
{
	while (length != 0) {
		ssize_t done = write(STDERR_FILENO, bytes, length);

		if (done < 0) {
			return; /* nobody is left to tell */
		}
		bytes += done;
		length -= (size_t)done;
	}
}

static void arm(unsigned int ms)
{
	struct itimerspec when = {
		.it_value = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}};

	timerfd_settime(timer, 0, &when, NULL);
}

static void release(void)
{
	if (held_length != 0 && mid_line) {
		put(raw ? "\r\n" : "\n", raw ? 2 : 1);
		mid_line = false;
	}
	put(held, held_length);
	held_length = 0;
}

static void hold(const char *line, size_t length)
{
	if (held_length + length > sizeof(held)) {
		release();
	}
	if (held_length == 0) {
		held_since_ms = clock_ms();
		arm(OWN_MS);
	}
	memcpy(held + held_length, line, length);
	held_length += length;
	ahead = waiting(serial_line);
}

static void say_line(const char *format, va_list arguments)
{
	char line[SAY_LINE_MAX];
	size_t length = say_format(line, prefix, raw ? "\r\n" : "\n", format, arguments);

	pthread_mutex_lock(&line_lock);
	if (mid_line || held_length != 0 || (shared && waiting(serial_line) != 0)) {
		hold(line, length);
	} else {
		put(line, length);
	}
	pthread_mutex_unlock(&line_lock);
}

void say(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	say_line(format, arguments);
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
	va_list arguments;
	bool pass;

	pthread_mutex_lock(&lock);
	pass = say_limit_pass(&limit, clock_ns(CLOCK_MONOTONIC), &left_out);
	pthread_mutex_unlock(&lock);
	if (!pass) {
		return;
	}
	if (left_out != 0) {
		say("%u lines like the next one were left out", left_out);
	}
	va_start(arguments, format);
	say_line(format, arguments);
	va_end(arguments);
}

/* Two terminals are taken for one: the same one has several names. */
static bool same_file(int a, int b)
{
	struct stat of_a, of_b;

	return (isatty(a) && isatty(b)) ||
	       (fstat(a, &of_a) == 0 && fstat(b, &of_b) == 0 && of_a.st_dev == of_b.st_dev &&
		of_a.st_ino == of_b.st_ino);
}

bool say_share(int fd, unsigned int (*how_many_wait)(const void *line), const void *of_line)
{
	if (!same_file(fd, STDERR_FILENO)) {
		return true;
	}
	waiting = how_many_wait;
	serial_line = of_line;
	timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	shared = timer >= 0;
	return shared;
}

int say_timer(void)
{
	return timer;
}

/* A carriage return moves to the start of a line, but not to a new one. */
static void follow(const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (bytes[i] != '\r') {
			mid_line = bytes[i] != '\n';
		}
	}
	spoke_ms = clock_ms();
}

ssize_t say_pass(int fd, const void *bytes, size_t length)
{
	const char *end = NULL;
	ssize_t done;
	size_t first;

	if (!shared) {
		return write(fd, bytes, length);
	}
	pthread_mutex_lock(&line_lock);
	first = ahead != 0 ? ahead - 1 : 0;
	if (held_length != 0 && first < length) {
		end = memchr((const char *)bytes + first, '\n', length - first);
	}
	if (end != NULL) {
		length = (size_t)(end + 1 - (const char *)bytes);
	}
	done = write(fd, bytes, length);
	if (done > 0) {
		follow(bytes, (size_t)done);
		ahead -= ahead < (size_t)done ? ahead : (size_t)done;
		if (!mid_line && ahead == 0 && writable(0)) {
			release();
		}
	}
	pthread_mutex_unlock(&line_lock);
	return done;
}

static bool may_release(void)
{
	uint64_t now = clock_ms();

	return now - held_since_ms >= PATIENCE_MS ||
	       (waiting(serial_line) == 0 && (!mid_line || now - spoke_ms >= SILENCE_MS));
}

void say_settle(void)
{
	uint64_t count;

	if (read(timer, &count, sizeof(count)) < 0) {
		return; /* it was armed anew meanwhile */
	}
	pthread_mutex_lock(&line_lock);
	if (may_release() && writable(0)) {
		release();
	} else if (held_length != 0) {
		arm(waiting(serial_line) != 0 ? OWN_MS : SILENCE_MS);
	}
	pthread_mutex_unlock(&line_lock);
}

void say_unshare(void)
{
	pthread_mutex_lock(&line_lock);
	if (held_length != 0 && writable(END_MS)) {
		release();
	}
	held_length = 0;
	shared = mid_line = false;
	if (timer >= 0) {
		close(timer);
		timer = -1;
	}
	pthread_mutex_unlock(&line_lock);
}

void check_failed(const char *file, int line, const char *what)
{
	say("internal error: %s:%d: %s", file, line, what);
	say_unshare();
	abort();
}
