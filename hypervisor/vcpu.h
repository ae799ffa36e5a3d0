/*
 * What this home adds to a VP (vp->home): the general registers, the vendor's control block, and
 * the state that is switched by hand when an LP goes from one VP to another.
 *
 * All is the owner's ([V] of tlfs/hv.h) unless it says otherwise.
 */
#ifndef HYPERVISOR_VCPU_H
#define HYPERVISOR_VCPU_H

#include <stdbool.h>
#include <stdint.h>

#include "hypervisor/gpa_trail.h"
#include "hypervisor/timer_queue.h"
#include "lib/addr.h"

struct gpa_map;
struct lp;
struct vmcb;
struct vmx;
struct vp;

/* In the order of the TLFS register names, so that HV_X64_REGISTER_RAX + n is gpr[n]; RSP is kept
 * by the vendor. */
enum gpr {
	GPR_RAX,
	GPR_RCX,
	GPR_RDX,
	GPR_RBX,
	GPR_RSP,
	GPR_RBP,
	GPR_RSI,
	GPR_RDI,
	GPR_R8,
	GPR_R15 = 15
};

/*
 * Where intercepted instructions were found, so that the next look at the same one needs no walk. A
 * hit is only believed when the bytes are still those of the instruction.
 */
struct seen_instruction {
	const uint8_t *at; /* in the hypervisor's view */
	uint64_t rip, cr3;
	uint64_t
		generation; /* of the partition's GPA map; 0, which that never has: nothing was found */
};
#define SEEN_INSTRUCTIONS 8

/*
 * How the bytes of instructions in a page of code were reached. All that a walk depends on is here,
 * so that the same way can be gone again without one.
 */
struct code_trail {
	uint64_t linear; /* the page's address */
	uint64_t cr0, cr3, cr4, efer;
	struct gpa_trail trail;
};
#define CODE_TRAILS 4

struct vcpu {
	uint64_t gpr[16]; /* first: run.S */
	uint64_t rip;     /* copied from and to the control block around each entry */
	union {           /* the vendor's control block */
		struct vmcb *vmcb;
		struct vmx *vmx;
	};
	uint64_t vmcb_pa;
	struct vp *vp;       /* [I] */
	struct gpa_map *map; /* [I] of the VP's partition */
	struct lp *lp;       /* [a] the LP that runs it now, NULL: none */

	uint8_t on_entry, on_exit; /* speculation.inc: what to do around each entry */
	uint8_t on_slow_entry;     /* likewise, before an entry behind which others ran */
	uint64_t spec_ctrl;        /* IA32_SPEC_CTRL while it runs */

	void *fpu; /* [I] XSAVE area, one page */
	uint64_t xcr0;
	uint64_t dr[4];
	bool debug_free; /* its accesses to debug registers are not intercepted: the processor has its own while it is loaded */
	uint64_t tsc_aux;
	uint32_t exceptions; /* the parent's exception intercepts that the control block has */

	uint32_t asid; /* or VPID */
	uint64_t
		asid_generation; /* of the LP, and of no other, that gave out its ASID; 0: it needs one */
	uint64_t tlb_generation; /* of the partition's GPA map at the last entry */

	struct seen_instruction seen[SEEN_INSTRUCTIONS]; /* by RIP */
	struct code_trail code[CODE_TRAILS];             /* by page */
	uint8_t event_length; /* of the instruction, if a software event goes in next or was intercepted; 0: neither */

	/* SVM. */
	bool nmi_blocked; /* an NMI was injected and its IRET not seen */
	bool nmi_step;    /* one waits for the guest's next instruction */
	bool stepping;    /* the guest was entered with a TF of ours */
	uint64_t iret_rip, step_dr6;

	bool message_strings; /* the message page may have something where only an intercept of INS or OUTS has it */

	bool rare; /* something besides the local APIC may wait for delivery: deliver() looks, and clears it */

	/* The VP's deadline in an LP's queue: see timer.c. */
	struct timer_node timer;
	struct lp *timer_lp; /* [a] in whose queue it is, NULL: none */
};

static inline uint64_t vcpu_edx_eax(const struct vcpu *vcpu)
{
	return (uint32_t)vcpu->gpr[GPR_RAX] | vcpu->gpr[GPR_RDX] << 32;
}

static inline void vcpu_set_edx_eax(struct vcpu *vcpu, uint64_t value)
{
	vcpu->gpr[GPR_RAX] = (uint32_t)value;
	vcpu->gpr[GPR_RDX] = value >> 32;
}

#endif
