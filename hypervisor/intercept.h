/*
 * The switch: an intercept of any vendor becomes an answer of the core, a fault for the guest, or a message to the parent.
 */
#ifndef HYPERVISOR_INTERCEPT_H
#define HYPERVISOR_INTERCEPT_H

#include <stdbool.h>

struct intercept;
struct vcpu;

/*
 * True: answered, nothing that others look at has changed, and lp->guest is still set, so no lock was taken. False: nothing was
 * done, and intercept_handle() is asked.
 */
bool intercept_quickly(struct vcpu *vcpu, const struct intercept *intercept);
void intercept_handle(struct vcpu *vcpu, const struct intercept *intercept);

#endif
