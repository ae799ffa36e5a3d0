/* What a guest says about its own crash (TLFS: Partition Crash Enlightenment). */
#ifndef WORKER_CRASH_H
#define WORKER_CRASH_H

#include <stdbool.h>

struct machine;
struct machine_vp;

/*
 * The file of `crash-log`, to whose end each crash is written whole, but for two bounds: it is not
 * made longer than CRASH_FILE_MAX, and a machine that crashes again and again leaves at most
 * CRASH_BURST in a minute; the others are counted. False: said why.
 */
#define CRASH_FILE_MAX (1u << 20)
#define CRASH_BURST    4u
bool crash_open(struct machine *machine);

/* Says it on standard error: the five parameters and, where there is one, the text. Once for each
 * start of the machine. Any VP's thread. */
void crash_report(struct machine_vp *vp, bool text);

#endif
