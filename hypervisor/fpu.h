/*
 * Floating-point, vector and debug registers, and the few MSRs, that neither VMRUN nor VM entry
 * switches. The hypervisor uses none of them, so they stay the current VP's and are switched only
 * from one VP to another.
 */
#ifndef HYPERVISOR_FPU_H
#define HYPERVISOR_FPU_H

#include <stdbool.h>
#include <stdint.h>

struct lp;
struct vcpu;
union hv_register_value;

void fpu_boot(void);    /* boot LP: finds what the processor has, fills plat_info.xsave_* */
void fpu_lp_init(void); /* each LP, after it */
void fpu_create(struct vcpu *vcpu); /* the state after INIT */
void fpu_begin(struct lp *lp);      /* this LP's root VP is the first */
/* Of two VPs of which one is the LP's root; after vendor_save() of the first. */
void fpu_switch(struct lp *lp, struct vcpu *from, struct vcpu *to);
/*
 * DR0 to DR3 are the root's while a child runs that does not use them: a child's accesses are
 * intercepted until there is one, and again once it has left its LP with no breakpoint enabled. The
 * first: the loaded VP has met such an intercept. The second: a debug register of the VP, loaded or
 * not, is written by its name.
 */
void fpu_debug_accessed(struct vcpu *vcpu);
void fpu_debug_written(struct vcpu *vcpu);
bool fpu_set_xcr0(struct vcpu *vcpu, uint64_t value); /* XSETBV of the loaded VP; false: #GP */
/* Whether the VP is loaded or not. */
uint64_t fpu_get_xcr0(struct vcpu *vcpu);
/* For the parent, while the VP is not loaded. False: a value that XSETBV refuses. */
bool fpu_set_xfem(struct vcpu *vcpu, uint64_t value);
/* A register of the save area by its TLFS name; false: no such name. */
bool fpu_register(struct vcpu *vcpu, uint32_t name, union hv_register_value *value, bool write);

#endif
