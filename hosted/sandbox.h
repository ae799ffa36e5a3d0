/*
 * The parts of which each program makes its sandbox: no new rights, no file by its path, a user
 * that nobody else is, a list of system calls (filter.h). What the list has, and why, is the
 * program's (its sandbox.c).
 *
 * A function that gives a bool has said why, if that is false: "the sandbox cannot be set up: …".
 * All are for the process as a whole, and none can be undone.
 */
#ifndef HOSTED_SANDBOX_H
#define HOSTED_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "lib/check.h"

/* Says it. False. */
bool sandbox_refuse(const char *what, int error);

/* No new rights by what is started, and no core file. */
bool sandbox_begin(void) MUST_CHECK;

/*
 * No file of any path, for kernels that have Landlock, but those below the folders of `readable` (a
 * list that NULL ends), which can be read; with later kernels no process out here either, and
 * without `networks` no TCP. Descriptors that are open stay so.
 */
bool sandbox_close_files(const char *const *readable, bool networks) MUST_CHECK;

/*
 * In its place, before a program of the system is started: it reads and executes what is in /usr,
 * /lib, /lib64, /bin and /etc, and reads and writes one file, which is open; nothing else.
 */
bool sandbox_close_files_but(int file) MUST_CHECK;

/* Root becomes this user, and nothing of root is left. `remedy` goes behind the complaint's
 * subject. */
bool sandbox_become(uid_t user, const char *remedy) MUST_CHECK;

/* What is in memory is for nobody else: nobody attaches. After sandbox_become(), which may set it
 * otherwise. */
bool sandbox_close_memory(void) MUST_CHECK;

/*
 * From now on, for all threads, a system call that the filter does not let pass ends the process.
 * It is what filter_write() (filter.h) wrote, of SANDBOX_FILTER_MAX instructions at most, where
 * SANDBOX_SELF stands for this process' id.
 */
#define SANDBOX_FILTER_MAX 256
#define SANDBOX_SELF       0x7fffffffu
bool sandbox_load_filter(const void *program, size_t bytes) MUST_CHECK;

#endif
