/* See say.h. */
#include "hosted/say.h"

#include <stdlib.h>
#include <unistd.h>

#include "lib/check.h"

static const char *program = "";

void say_set_name(const char *name)
{
	program = name;
}

void say(const char *format, ...)
{
	char line[SAY_LINE_MAX], prefix[40];
	va_list arguments;
	size_t length;

	snprintf(prefix, sizeof(prefix), "%.32s: ", program);
	va_start(arguments, format);
	length = say_format(line, prefix, "\n", format, arguments);
	va_end(arguments);
	if (write(STDERR_FILENO, line, length) < 0) {
		return; /* nobody is left to tell */
	}
}

void check_failed(const char *file, int line, const char *what)
{
	say("internal error: %s:%d: %s", file, line, what);
	abort();
}
