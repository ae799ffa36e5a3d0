/*
 * Machine checks belong to the root, which has the machine and its banks: whoever runs on an LP,
 * that LP's root VP gets #MC. No child ever does. The way there: docs/design/hypervisor.md.
 */
#ifndef HYPERVISOR_MACHINE_CHECK_H
#define HYPERVISOR_MACHINE_CHECK_H

#include <stdbool.h>

struct lp;

void machine_check_lp_init(void);
/* This LP's processor has reported one that nobody has dealt with. */
bool machine_check_in_progress(void);
/* One ended a guest, or the LP's sleep. Says so on the console. */
void machine_check_taken(struct lp *lp);
/* One came while the hypervisor worked; false: it cannot go on. Takes no lock. */
bool machine_check_survived(struct lp *lp);
/* lp->machine_check: one waits for the root VP. It goes in at the next entry; the place for an
 * event is free. */
void machine_check_deliver(struct lp *lp);

#endif
