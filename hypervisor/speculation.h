/*
 * What is done against guests that steer or watch the processor's speculation, by the decision of
 * arch/x86/mitigation.c.
 *
 *   before an entry       IA32_SPEC_CTRL as the guest has it, the L1 data cache flushed, buffers
 *                         cleared (VERW)
 *   after an exit         IBPB, the hypervisor's IA32_SPEC_CTRL; then LFENCE, so that nothing runs
 *                         ahead of them
 *   vendor_run() returns  the return stack buffer filled: the callers' entries are the guest's by
 *                         now
 *   another partition     IBPB
 *
 * The first three are speculation.inc, by two bytes in the vcpu that are 0 where there is nothing
 * to do.
 */
#ifndef HYPERVISOR_SPECULATION_H
#define HYPERVISOR_SPECULATION_H

/* vcpu->on_entry */
#define ENTRY_SPEC_CTRL 1
#define ENTRY_L1D       2 /* until the next entry */
#define ENTRY_VERW      4
/* vcpu->on_exit */
#define EXIT_IBPB      1
#define EXIT_SPEC_CTRL 2
#define EXIT_RSB       4

#ifndef __ASSEMBLER__

#include <stdbool.h>
#include <stdint.h>

struct lp;
struct vcpu;

/* Boot LP: decides, and says on the console what. `cmdline` may have hv.mitigations=off. */
void speculation_boot(const char *cmdline);
void speculation_lp_init(void); /* each LP, after it */
/* The decision is to have no executable large pages. */
bool speculation_splits(void);
void speculation_vcpu_init(struct vcpu *vcpu);
/* False: a bit that the processor lacks, or that the partition's CPUID hides. */
bool speculation_set_spec_ctrl(struct vcpu *vcpu, uint64_t value);
/* A child is dispatched on this LP, or was; HV_DISPATCH_VP_FLAG_* of its parent's call. */
void speculation_child_begins(struct lp *lp, struct vcpu *child, uint32_t flags);
void speculation_child_ends(struct lp *lp, uint32_t flags);

#endif
#endif
