/*
 * The run loop of an LP: its root VP for ever, and inside a DispatchVp of that VP a child
 * (plat_vp_dispatch).
 */
#ifndef HYPERVISOR_RUN_H
#define HYPERVISOR_RUN_H

#include <stdbool.h>

struct vcpu;

/* Called by vendor_run after each exit: handles it and prepares the next entry. False: do not enter
 * again. */
bool run_exit(struct vcpu *vcpu);
/* Runs the root VP of this LP. */
_Noreturn void run_root(void);

#endif
