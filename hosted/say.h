/* A line for the program's user, on standard error, without its newline. Each program has its own. */
#ifndef HOSTED_SAY_H
#define HOSTED_SAY_H

void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
