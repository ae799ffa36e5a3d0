/*
 * What a program tells its user: a line on standard error, in one piece. Any thread.
 *
 * hosted/say.c is enough where that line is the program's own; a worker shares it with its guest,
 * and has worker/say.c instead. Either has check_failed() as well, which says what failed and ends
 * the program.
 */
#ifndef HOSTED_SAY_H
#define HOSTED_SAY_H

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#define SAY_LINE_MAX 1024 /* bytes; what is beyond is cut */

/* Without its newline. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Whose lines they are, before the first. Text that stays. */
void say_set_name(const char *name);

/* A whole line, begun with `prefix` and ended with `end`, for what implements say(). Its length. */
static inline __attribute__((format(printf, 4, 0))) size_t
say_format(char line[SAY_LINE_MAX], const char *prefix, const char *end, const char *format,
	   va_list arguments)
{
	size_t length = (size_t)snprintf(line, SAY_LINE_MAX, "%.80s", prefix);

	length += (size_t)vsnprintf(line + length, SAY_LINE_MAX - length, format, arguments);
	if (length > SAY_LINE_MAX - 3) {
		length = SAY_LINE_MAX - 3;
	}
	return length + (size_t)snprintf(line + length, 3, "%.2s", end);
}

#endif
