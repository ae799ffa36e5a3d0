/*
 * What the processor can do. See cpu.h; APM volume 2, 15.4 and SDM volume 3, 24.7 and appendix A.
 */
#include "loader/cpu.h"

#include <stddef.h>

#include "boot/handoff.h"
#include "loader/io.h"

#define CPUID1_ECX_VMX        (1u << 5)
#define CPUID_EXT_ECX_SVM     (1u << 2)
#define CPUID_EXT_EDX_NX      (1u << 20)
#define CPUID_EXT_EDX_LM      (1u << 29)
#define CPUID_SVM_EDX_NPT     (1u << 0)
#define LEAF_TSC              0x15u
#define LEAF_EXT              0x80000000u
#define LEAF_EXT_FEATURES     0x80000001u
#define LEAF_SVM              0x8000000au
#define MSR_FEATURE_CONTROL   0x3a
#define FEATURE_LOCKED        (1ull << 0)
#define FEATURE_VMX           (1ull << 2)
#define MSR_VMX_PROC_CONTROLS 0x482
#define MSR_VMX_PROC2         0x48b
#define PROC_SECONDARY        (1ull << 63) /* the high half holds what may be 1 */
#define PROC2_EPT             (1ull << 33)
#define PROC2_VPID            (1ull << 37)
#define PROC2_UNRESTRICTED    (1ull << 39)
#define MSR_VM_CR             0xc0010114
#define VM_CR_SVMDIS          (1ull << 4)

static void read_svm(struct cpu_facts *facts)
{
	facts->svm_is_disabled = rdmsr(MSR_VM_CR) & VM_CR_SVMDIS;
	facts->svm_has_nested_paging = cpuid(LEAF_SVM).edx & CPUID_SVM_EDX_NPT;
}

/* An unlocked IA32_FEATURE_CONTROL is the image's to set. */
static void read_vmx(struct cpu_facts *facts)
{
	uint64_t control = rdmsr(MSR_FEATURE_CONTROL), proc2 = 0;

	facts->vmx_is_disabled = (control & FEATURE_LOCKED) && !(control & FEATURE_VMX);
	if (rdmsr(MSR_VMX_PROC_CONTROLS) & PROC_SECONDARY) {
		proc2 = rdmsr(MSR_VMX_PROC2);
	}
	facts->vmx_has_ept = proc2 & PROC2_EPT;
	facts->vmx_has_vpid = proc2 & PROC2_VPID;
	facts->vmx_has_unrestricted_guest = proc2 & PROC2_UNRESTRICTED;
}

/* Leaf 0x15: the TSC runs at crystal * EBX / EAX, with the crystal in ECX if it is known. */
static uint64_t read_tsc_hz(void)
{
	struct cpuid c;

	if (cpuid(0).eax < LEAF_TSC) {
		return 0;
	}
	c = cpuid(LEAF_TSC);
	return c.eax && c.ebx ? (uint64_t)c.ecx * c.ebx / c.eax : 0;
}

void cpu_read(struct cpu_facts *facts)
{
	struct cpuid ext = {0};

	*facts = (struct cpu_facts){0};
	if (cpuid(LEAF_EXT).eax >= LEAF_EXT_FEATURES) {
		ext = cpuid(LEAF_EXT_FEATURES);
	}
	facts->has_long_mode = ext.edx & CPUID_EXT_EDX_LM;
	facts->has_nx = ext.edx & CPUID_EXT_EDX_NX;
	facts->has_svm = ext.ecx & CPUID_EXT_ECX_SVM;
	facts->has_vmx = cpuid(1).ecx & CPUID1_ECX_VMX;
	facts->tsc_hz = read_tsc_hz();
	if (facts->has_svm) {
		read_svm(facts);
	}
	if (facts->has_vmx) {
		read_vmx(facts);
	}
}

static const char *judge_svm(const struct cpu_facts *facts)
{
	if (facts->svm_is_disabled) {
		return "AMD-V (SVM) is disabled by the firmware; enable it in the firmware's setup";
	}
	if (!facts->svm_has_nested_paging) {
		return "the processor's AMD-V (SVM) has no nested paging; use a processor that has "
		       "it";
	}
	return NULL;
}

static const char *judge_vmx(const struct cpu_facts *facts)
{
	if (facts->vmx_is_disabled) {
		return "Intel VT-x (VMX) is disabled by the firmware; enable it in the firmware's "
		       "setup";
	}
	if (!facts->vmx_has_ept) {
		return "the processor's Intel VT-x has no nested paging (EPT); use a processor "
		       "that has it";
	}
	if (!facts->vmx_has_unrestricted_guest) {
		return "the processor's Intel VT-x has no unrestricted guests; use a processor "
		       "that has them";
	}
	if (!facts->vmx_has_vpid) {
		return "the processor's Intel VT-x has no VPIDs; use a processor that has them";
	}
	return NULL;
}

const char *cpu_judge(const struct cpu_facts *facts, uint32_t *vendor)
{
	if (!facts->has_long_mode) {
		return "the processor has no 64-bit mode; use one that has";
	}
	if (!facts->has_svm && !facts->has_vmx) {
		return "the processor has neither AMD-V (SVM) nor Intel VT-x (VMX); use one that "
		       "has, and in a "
		       "virtual machine turn on nested virtualization for it";
	}
	if (!facts->has_nx) {
		return "the processor has no NX (no-execute), or the firmware hides it; enable it "
		       "in the firmware's "
		       "setup";
	}
	*vendor = facts->has_svm ? HV_IMAGE_SVM : HV_IMAGE_VMX;
	return facts->has_svm ? judge_svm(facts) : judge_vmx(facts);
}
