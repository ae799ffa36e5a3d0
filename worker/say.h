/* What the worker tells its user: on standard error, each line with the machine's name before it. */
#ifndef WORKER_SAY_H
#define WORKER_SAY_H

#include <stdbool.h>
#include <stdint.h>

void say_set_name(const char *name);
/* The terminal no longer turns a newline into a new line. */
void say_raw_terminal(bool on);
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

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

#endif
