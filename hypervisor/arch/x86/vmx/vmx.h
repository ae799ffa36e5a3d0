/*
 * Shared by the files of vmx/ alone.
 *
 * A VMCS can be read only while it is current on an LP, and the parent, the register page and the
 * messages ask for a VP's registers at any time. So the fields with a guest's state have a copy in
 * memory: read from the VMCS when it is wanted for the first time after an exit, written back
 * before the next entry if it was changed, and complete while the VP is loaded nowhere.
 */
#ifndef VMX_VMX_H
#define VMX_VMX_H

#include "hypervisor/arch/x86/vendor.h"
#include "hypervisor/arch/x86/vmx/vmcs.h"
#include "hypervisor/vcpu.h"

/* The copies. Segments are in the order of their TLFS names and of the VMCS: ES CS SS DS FS GS LDTR
 * TR. */
enum state {
	STATE_RSP,
	STATE_RFLAGS,
	STATE_CR0,
	STATE_CR3,
	STATE_CR4,
	STATE_DR7,
	STATE_DEBUGCTL,
	STATE_PAT,
	STATE_EFER,
	STATE_SYSENTER_CS,
	STATE_SYSENTER_ESP,
	STATE_SYSENTER_EIP,
	STATE_INTERRUPTIBILITY,
	STATE_PENDING_DEBUG,
	STATE_GDTR_BASE,
	STATE_GDTR_LIMIT,
	STATE_IDTR_BASE,
	STATE_IDTR_LIMIT,
	STATE_SELECTOR, /* + segment */
	STATE_LIMIT = STATE_SELECTOR + 8,
	STATE_RIGHTS = STATE_LIMIT + 8,
	STATE_BASE = STATE_RIGHTS + 8,
	STATE_ENTRY_CONTROLS = STATE_BASE + 8, /* an exit stores EFER.LMA there */
	/* What no exit changes. */
	STATE_CR0_SHADOW,
	STATE_CR4_SHADOW,
	STATE_TSC_OFFSET,
	STATE_EXCEPTIONS,
	STATE_COUNT,
};
#define STATE_ALL      ((1ull << STATE_COUNT) - 1)
#define STATE_CONSTANT (STATE_ALL & ~((1ull << STATE_CR0_SHADOW) - 1))

_Static_assert(STATE_COUNT <= 64, "one bit each");

/* MSRs that neither entry nor exit switches. */
enum {
	SYSCALL_STAR,
	SYSCALL_LSTAR,
	SYSCALL_CSTAR,
	SYSCALL_SFMASK,
	SYSCALL_KERNEL_GS_BASE,
	SYSCALL_COUNT
};
struct vmx_syscall {
	uint32_t name, msr; /* TLFS name, MSR number */
};
extern const struct vmx_syscall vmx_syscalls[SYSCALL_COUNT]; /* regs.c */

enum vmx_entry { VMX_ENTERED, VMX_REFUSED, VMX_PUT_OFF };

struct vmx {
	/* The processor's: of the page, which is that of a local APIC, only the TPR is used. */
	uint8_t virtual_apic[0x400];

	uint8_t launched; /* run.S */
	uint8_t entry;    /* run.S: what became of the last entry, enum vmx_entry */
	bool is_set_up;   /* its controls and host state are in the VMCS */
	bool injecting;   /* the VMCS has an event for the next entry */
	bool nmi_window, flush;
	bool x2apic;       /* the VMCS is set up for that mode of the VP's local APIC */
	bool pdptes_stale; /* CR0, CR3, CR4 or EFER were set by the parent */
	uint8_t window;    /* priority of the interrupt that waits, 0: none */

	void *vmcs;
	uint64_t vmcs_pa;

	uint32_t event, error;                 /* for the next entry, as in VMCS_ENTRY_EVENT */
	uint32_t proc_controls, tpr_threshold; /* as they are in the VMCS */
	uint32_t proc_debug;                   /* PROC_MOV_DR, or 0 */

	uint64_t valid, dirty; /* of state[] */
	uint64_t state[STATE_COUNT];
	uint64_t syscall[SYSCALL_COUNT]; /* valid while not loaded, or after vendor_sync() */
	uint64_t cr2, dr6;               /* likewise */
};

/* What the processor offers. */
struct vmx_facts {
	uint32_t revision;
	uint32_t pin, proc, proc2, exit, entry; /* controls of every VP */
	bool x2apic;                            /* PROC2_X2APIC may be set besides */
	uint32_t timer_counts;                  /* of the preemption timer in a millisecond */
	uint64_t ept_caps;
	uint64_t pat; /* the machine's own */
	unsigned int linear_bits;
};
extern struct vmx_facts vmx_facts;

/* What children exit for, and the root does not: the caches are everybody's, and who spins may wait
 * for a VP that does not run. */
#define PROC2_CHILD (PROC2_WBINVD | PROC2_PAUSE_LOOP)

/* CR0 bits that a guest may have as it likes while the processor keeps its own, and CR4 bits that
 * it may not set, but for MCE, which it may: without it a machine check would be the machine's
 * end. */
#define CR0_HOST_OWNED (CR0_NE | CR0_NW | CR0_CD)
#define CR4_SMXE       (1ull << 14)
#define CR4_CET        (1ull << 23)
#define CR4_PKS        (1ull << 24)
#define CR4_UINTR      (1ull << 25)
#define CR4_HOST_OWNED (CR4_VMXE | CR4_MCE | CR4_SMXE | CR4_CET | CR4_PKS | CR4_UINTR)

/* One that is not valid; state.c. */
uint64_t vmx_get_field(const struct vcpu *vcpu, unsigned int state);

static inline uint64_t vmx_get(const struct vcpu *vcpu, unsigned int state)
{
	const struct vmx *vmx = vcpu->vmx;

	return vmx->valid >> state & 1 ? vmx->state[state] : vmx_get_field(vcpu, state);
}

void vmx_set(struct vcpu *vcpu, unsigned int state, uint64_t value);
void vmx_set_cr0(struct vcpu *vcpu, uint64_t value);
void vmx_set_cr4(struct vcpu *vcpu, uint64_t value);
void vmx_set_efer(struct vcpu *vcpu, uint64_t value);
/*
 * After CR0, CR3, CR4 or EFER were set by others than the guest's own instruction. It takes the
 * memory lock: not while lp->guest is set.
 */
void vmx_paging_changed(struct vcpu *vcpu);
/* Its VMCS becomes the LP's current one (vcpu.c). */
void vmx_make_current(const struct vcpu *vcpu);
/* Writes back what was changed. */
void vmx_flush_state(struct vcpu *vcpu);
/* All of it is read: before the VMCS leaves the LP, and at once after an exit that the parent will
 * want to know all about. Nothing of it has changed since the exit, or it was written back. */
void vmx_fetch_state(struct vcpu *vcpu);

/* tlb.c: what VMCS_EPT_POINTER gets. */
uint64_t vmx_ept_pointer(const struct vcpu *vcpu);
/* tlb.c: before an entry on this LP, its VMCS current: it has a VPID of the LP's generation and
 * finds no translation that is older than this call. */
void vmx_flush_now(struct vcpu *vcpu, struct lp *lp);
/* inject.c: for vendor_prepare(). */
void vmx_prepare_event(struct vcpu *vcpu);
void vmx_prepare_windows(struct vcpu *vcpu);
/* vcpu.c: at boot, before the first VP: which ports and MSRs make a guest exit. */
void vmx_maps_init(void);
/* vcpu.c: on the console, what the processor refused of the root, with which the machine is about
 * to stop; nothing for a child. */
void vmx_report(const struct vcpu *vcpu, const char *what);
/* vcpu.c: its VMCS is current. In x2APIC mode the guest has the TPR's MSR to itself, where the
 * processor offers that. */
void vmx_set_apic_mode(struct vcpu *vcpu, bool x2apic);
/* vmx.c: an NMI exit leaves NMIs blocked; record it as one that arrived here would be. */
void vmx_nmi_exit(void);

/* task.c: does what the guest's task switch would have done. */
void vmx_task_switch(struct vcpu *vcpu, struct intercept *intercept);

/* run.S */
extern const uint8_t vmx_exit_here[];
void vmx_nmi_gate(void);
void vmx_unblock_nmi(void);
void vmx_wait(const bool *recorded);

#endif
