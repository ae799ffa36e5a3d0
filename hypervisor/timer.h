/*
 * One deadline a VP, one list of them an LP, one hardware timer below it.
 */
#ifndef HYPERVISOR_TIMER_H
#define HYPERVISOR_TIMER_H

struct lp;
struct vcpu;

/* The hardware timer fired on this LP. */
void timer_expired(struct lp *lp);
/* Takes the VP out of whatever list it is in, and waits for an expiry that is under way. Any LP. */
void timer_remove(struct vcpu *vcpu);

#endif
