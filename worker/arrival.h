/*
 * A machine that comes from another worker: the target's side (docs/design/migrate.md). All calls
 * are the main thread's, in this order, and do nothing where the configuration has no `receive`;
 * false: said why, and to the other side too.
 */
#ifndef WORKER_ARRIVAL_H
#define WORKER_ARRIVAL_H

#include <stdbool.h>

#include "lib/check.h"

struct machine;

/* Before the sandbox: the socket, the owner file. */
bool arrival_open(struct machine *machine) MUST_CHECK;
/* Waits for the source, and compares. Ended by a signal: the machine is `off`. */
bool arrival_begin(struct machine *machine) MUST_CHECK;
/* There is a partition that has the memory mapped. All of the memory and the list of parts (save.h)
 * comes, then the disks are opened and attached. */
bool arrival_state(struct machine *machine) MUST_CHECK;
/* All is loaded, and stands. True: from now on the machine is ours. */
bool arrival_take(struct machine *machine) MUST_CHECK;
/* It runs. */
void arrival_end(struct machine *machine);
/* Something in between went wrong. */
void arrival_fail(struct machine *machine);

#endif
