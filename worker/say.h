/*
 * What the worker tells its user: on standard error, each line with the machine's name before it.
 * Any thread.
 *
 * Where the guest's serial line goes to the same terminal, pipe or file, a message comes behind
 * what the guest had written by then, and cuts no line of the guest: it waits until the guest has
 * ended its line, says nothing more for a second (a prompt), or is at its end; but for no more than
 * some seconds. In all cases but the first a new line comes before the message.
 */
#ifndef WORKER_SAY_H
#define WORKER_SAY_H

#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>
#include <sys/types.h>

#include "hosted/say.h"

/* The terminal no longer turns a newline into a new line. */
void say_raw_terminal(bool on);

/*
 * How many lines may come: SAY_LIMIT_BURST of them at once, and one more every SAY_LIMIT_EVERY_NS.
 * All zeros is the beginning. Not locked.
 */
#define SAY_LIMIT_BURST    100
#define SAY_LIMIT_EVERY_NS 10000000000ull

struct say_limit {
	uint64_t full_at; /* when all of the burst may come again */
	unsigned int left_out;
};

/* May a line come now? Then *left_out is how many could not since the last one that came. */
bool say_limit_pass(struct say_limit *limit, uint64_t now_ns, unsigned int *left_out);

/*
 * For every line that a guest can cause, so that it cannot fill a log: those beyond the limit are
 * left out, and the next that is not says how many. Any thread.
 */
void say_guest(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * The guest's serial line goes to fd. waiting(line): how many of its bytes say_pass() has not taken
 * yet; called by any thread, until say_unshare(). False: errno says why; nothing is held back then.
 */
bool say_share(int fd, unsigned int (*waiting)(const void *line), const void *line);
/* Bytes of that line, as write(). It may take fewer, to let a message in behind the end of a
 * line. */
ssize_t say_pass(int fd, const void *bytes, size_t length);
/* A timerfd for the thread that calls say_pass(), -1: the line goes elsewhere. When it fires:
 * say_settle(). */
int say_timer(void);
void say_settle(void);
/* The line has come to its end: what still waits goes out. */
void say_unshare(void);

#endif
