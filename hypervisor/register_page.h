/*
 * The register page of a child VP (TLFS: HV_VP_REGISTER_PAGE): with it the parent reads and writes
 * the registers that it needs for most intercepts without a hypercall. Valid while the VP is not
 * dispatched.
 */
#ifndef HYPERVISOR_REGISTER_PAGE_H
#define HYPERVISOR_REGISTER_PAGE_H

struct vcpu;

/* Takes over what the parent marked dirty. */
void register_page_take(struct vcpu *vcpu);
/* Fills the page. */
void register_page_give(struct vcpu *vcpu);

#endif
