/*
 * The switch: an intercept of any vendor becomes an answer of the core, a fault for the guest, or a message to the parent.
 */
#ifndef HYPERVISOR_INTERCEPT_H
#define HYPERVISOR_INTERCEPT_H

#include <stdbool.h>

struct intercept;
struct vcpu;

void intercept_handle(struct vcpu *vcpu, const struct intercept *intercept);

#endif
