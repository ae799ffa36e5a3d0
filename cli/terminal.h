/* The terminal at the far end of a line. */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

#include <stdbool.h>

/*
 * Standard input goes to a stream socket and what comes from there to standard output, until that end is over; on a terminal, where no key
 * means anything here, also until Ctrl-]. `ends`: the end of standard input is told.
 */
void terminal_join(int line, bool ends);

#endif
