/*
 * Shared by the files of svm/ alone.
 */
#ifndef SVM_SVM_H
#define SVM_SVM_H

#include "hypervisor/arch/x86/svm/vmcb.h"
#include "hypervisor/arch/x86/vendor.h"
#include "hypervisor/vcpu.h"

extern uint32_t svm_features; /* CPUID 8000000A EDX */

/* run.S: with the table of interrupts in force */
void svm_wait(void);
void svm_nmi_gate(void);
void svm_security_gate(void);

/* inject.c: the event is an instruction's, INT n, INT3 or INTO. */
bool svm_event_is_software(uint64_t event);
/* For vendor_prepare(), when vcpu->event_length is set. */
void svm_prepare_software(struct vcpu *vcpu);
/* A window that was asked for is open; before it is closed. */
void svm_window_opened(const struct vcpu *vcpu);
/* The guest is at the IRET that ends the blocking of NMIs. */
void svm_iret(struct vcpu *vcpu);
/*
 * For vendor_prepare(), when vcpu->nmi_step is set: the guest will stop behind its next
 * instruction. False: an event goes in first, and it is to stop before the first instruction of the
 * event's handler.
 */
bool svm_step_begin(struct vcpu *vcpu);
/* For vendor_decode(), when vcpu->stepping is set and vcpu->rip is where the guest was entered.
 * True: the exit was that and no more. */
bool svm_step_end(struct vcpu *vcpu);

static inline void svm_vmload(uint64_t pa)
{
	__asm__ volatile("vmload" : : "a"(pa) : "memory");
}

static inline void svm_vmsave(uint64_t pa)
{
	__asm__ volatile("vmsave" : : "a"(pa) : "memory");
}

#endif
