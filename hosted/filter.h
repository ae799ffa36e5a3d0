/*
 * A program's list of the system calls that it needs in its sandbox, and what the kernel takes of
 * it. Beside sandbox.h, since not all programs that load a filter have the library that makes one.
 */
#ifndef HOSTED_FILTER_H
#define HOSTED_FILTER_H

#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/check.h"

struct filter_rule {
	int call;
	unsigned int count;
	struct scmp_arg_cmp arguments[2];
};

/*
 * A system call that is not in `calls`, and has no rule for its arguments, ends the process. Such
 * rules are those that `by_argument` adds (0 or a negative errno; NULL: none), and for all programs
 * memory that is never both to fill and to run, and signals to one's own threads.
 */
struct filter_list {
	const int *calls;
	size_t count;
	int (*by_argument)(scmp_filter_ctx filter);
};

/* From now on, for all threads, and not to be undone. False: said why. */
bool filter_enter(const struct filter_list *list) MUST_CHECK;
/* To the file, as sandbox_load_filter() takes it, for whichever process. 0 or a negative errno. */
int filter_write(const struct filter_list *list, int fd) MUST_CHECK;
/* For by_argument(). 0 or a negative errno. */
int filter_allow(scmp_filter_ctx filter, const struct filter_rule *rules, size_t count) MUST_CHECK;

#endif
