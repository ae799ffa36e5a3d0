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

static inline void svm_vmload(uint64_t pa)
{
	__asm__ volatile("vmload" : : "a"(pa) : "memory");
}

static inline void svm_vmsave(uint64_t pa)
{
	__asm__ volatile("vmsave" : : "a"(pa) : "memory");
}

#endif
