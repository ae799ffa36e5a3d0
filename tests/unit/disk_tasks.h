/*
 * Threads of a test that take turns: one runs at a time, and at each operation on the simulated
 * host, each wait and each lock that is taken a choice is made of who goes on. So a run is made
 * again by making the same choices, and all runs up to a bound can be made one after the other. A
 * request for the disk library's helper becomes a thread as well.
 *
 * A program that is linked with this wraps the pthread functions that disk_tasks.c names.
 */
#ifndef TESTS_UNIT_DISK_TASKS_H
#define TESTS_UNIT_DISK_TASKS_H

#include <stdbool.h>

/* By chance, by fake_random(): who runs goes on in three of four cases. */
void tasks_begin_random(void);
/*
 * All runs: the first goes on until it waits, then the next takes its turn. Each further run
 * departs from that in up to `bound` places. Between begin and end are tasks_start(), tasks_join()
 * and what they call; false: that was the last run.
 */
void tasks_begin_all(unsigned bound);
void tasks_begin_run(void);
bool tasks_end_run(void);
void tasks_end(void);

void tasks_start(void (*run)(void *user), void *user);
/* Lets the others run until none is left. */
void tasks_join(void);
/* Here another may be chosen. */
void tasks_pause(void);

#endif
