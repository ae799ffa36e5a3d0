/* Starts the programs that show a machine's screen (console/main.c): vmvnc, vmrdp. */
#ifndef HOSTED_SHOW_H
#define HOSTED_SHOW_H

#include <sys/types.h>

#include "lib/check.h"

/*
 * The program beside this one, or as a shell finds it, with these descriptors as 3 and 4, and no
 * others but the standard error; both stay the caller's. `words` are its arguments, of which NULL
 * is the last. 0, or an error number.
 */
int show_start(const char *program, char *const words[], int three, int four,
	       pid_t *child) MUST_CHECK;

#endif
