/*
 * The switch: an intercept of any vendor becomes an answer of the core, a fault for the guest, or a
 * message to the parent.
 */
#ifndef HYPERVISOR_INTERCEPT_H
#define HYPERVISOR_INTERCEPT_H

#include <stdbool.h>

struct intercept;
struct vcpu;

/*
 * A fault in the delivery of a double fault: the root's processor is reset, a child's parent is
 * told. The VP does not go on.
 */
void intercept_shutdown(struct vcpu *vcpu);
void intercept_handle(struct vcpu *vcpu, const struct intercept *intercept);

#endif
