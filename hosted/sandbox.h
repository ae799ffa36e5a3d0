/*
 * The parts of which each program makes its sandbox: no new rights, no file by its path, a user that nobody else is, a list of
 * system calls. What the list has, and why, is the program's (its sandbox.c).
 *
 * A function that gives a bool has said why, if that is false: "the sandbox cannot be set up: …". All are for the
 * process as a whole, and none can be undone.
 */
#ifndef HOSTED_SANDBOX_H
#define HOSTED_SANDBOX_H

#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "lib/check.h"

/* Says it. False. */
bool sandbox_refuse(const char *what, int error);

/* No new rights by what is started, and no core file. */
bool sandbox_begin(void) MUST_CHECK;

/*
 * No file of any path, for kernels that have Landlock, but those below the folders of `readable` (a list that NULL ends), which can
 * be read; with later kernels no process out here either, and without `networks` no TCP. Descriptors that are open stay so.
 */
bool sandbox_close_files(const char *const *readable, bool networks) MUST_CHECK;

/* Root becomes this user, and nothing of root is left. `remedy` goes behind the complaint's subject. */
bool sandbox_become(uid_t user, const char *remedy) MUST_CHECK;

/* What is in memory is for nobody else: nobody attaches. After sandbox_become(), which may set it otherwise. */
bool sandbox_close_memory(void) MUST_CHECK;

struct sandbox_rule {
	int call;
	unsigned int count;
	struct scmp_arg_cmp arguments[2];
};

/*
 * From now on a system call ends the process, if it is not in the list and has no rule for its arguments: those that
 * `by_argument` adds (0 or a negative errno), and for all programs memory that is never both to fill and to run, and signals to
 * one's own threads.
 */
bool sandbox_filter(const int *calls, size_t count,
		    int (*by_argument)(scmp_filter_ctx filter)) MUST_CHECK;
/* For by_argument(). 0 or a negative errno. */
int sandbox_allow(scmp_filter_ctx filter, const struct sandbox_rule *rules,
		  size_t count) MUST_CHECK;

#endif
