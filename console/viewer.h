/* One viewer of a machine's screen: a process of its own (see main.c). */
#ifndef CONSOLE_VIEWER_H
#define CONSOLE_VIEWER_H

#include <stdbool.h>
#include <stddef.h>

#define VIEWER_USERS 0x76750000u /* the first of the users that a program of root's becomes */

/* Of the program: what it is called. */
extern const char viewer_program[];

/* Serves it until it or the machine goes. Takes both descriptors; the process is in its sandbox
 * afterwards. */
void viewer_run(int seat, int client, const char *name);
/* The same for one who has to say who he is, before there is a seat (include/mgmt/door.h). NULL:
 * the program does not do that. */
extern void (*const viewer_run_login)(int client, int door);

/* sandbox.c. False: said why. */
bool sandbox_enter(void);
bool sandbox_enter_viewer(void);

#endif
