/* The terminal at the far end of a line. */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

#include <stdbool.h>

/* What keys of a terminal mean here. */
struct terminal_keys {
	const char *help;          /* a line about them, for who sits there */
	void (*asked)(void *user); /* Ctrl-] was pressed; then Ctrl-\ leaves. NULL: Ctrl-] leaves */
	void *user;
};

/*
 * Standard input goes to a stream socket and what comes from there to standard output, until that
 * end is over; on a terminal, where no other key means anything here, also until it is left by one:
 * true. `ends`: the end of standard input is told. `keys` NULL: Ctrl-] leaves.
 */
bool terminal_join(int line, bool ends, const struct terminal_keys *keys);

#endif
