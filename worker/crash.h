/* What a guest says about its own crash (TLFS: Partition Crash Enlightenment). */
#ifndef WORKER_CRASH_H
#define WORKER_CRASH_H

#include <stdbool.h>

struct machine_vp;

/* Says it on standard error: the five parameters and, where there is one, the text. Once for each start of the machine. */
void crash_report(struct machine_vp *vp, bool text);

#endif
