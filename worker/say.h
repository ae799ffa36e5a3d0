/* What the worker tells its user: on standard error, each line with the machine's name before it. */
#ifndef WORKER_SAY_H
#define WORKER_SAY_H

#include <stdbool.h>

void say_set_name(const char *name);
/* The terminal no longer turns a newline into a new line. */
void say_raw_terminal(bool on);
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * For lines that a guest can cause, so that it cannot fill a log: the first ones come through, then
 * one for every SAY_GUEST_EVERY. Any thread.
 */
#define SAY_GUEST_FIRST 10
#define SAY_GUEST_EVERY 10000
void say_guest(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
