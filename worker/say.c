/* One write per line, so that lines of several threads do not mix. See say.h. */
#include "worker/say.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
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

void say_guest(const char *format, ...)
{
	static atomic_uint count;
	unsigned int number = atomic_fetch_add(&count, 1);
	va_list arguments;

	if (number >= SAY_GUEST_FIRST && number % SAY_GUEST_EVERY != 0) {
		return;
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
