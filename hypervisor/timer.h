/*
 * One deadline a VP, one queue of them an LP, one hardware timer below it.
 */
#ifndef HYPERVISOR_TIMER_H
#define HYPERVISOR_TIMER_H

struct lp;

/* The hardware timer fired on this LP. */
void timer_expired(struct lp *lp);

#endif
