/*
 * What the processor can do, and whether that is enough for the hypervisor.
 */
#ifndef LOADER_CPU_H
#define LOADER_CPU_H

#include <stdbool.h>
#include <stdint.h>

struct cpu_facts {
	bool has_long_mode;
	bool has_nx;
	bool has_svm;
	bool svm_is_disabled; /* VM_CR.SVMDIS */
	bool svm_has_nested_paging;
	bool has_vmx;
	bool vmx_is_disabled; /* locked off in IA32_FEATURE_CONTROL */
	bool vmx_has_ept;
	bool vmx_has_unrestricted_guest;
	bool vmx_has_vpid;
	uint64_t tsc_hz; /* by CPUID leaf 0x15; 0: not given */
};

void cpu_read(struct cpu_facts *facts);

/* Returns NULL and the image's vendor (HV_IMAGE_*), or what is missing and the remedy. */
const char *cpu_judge(const struct cpu_facts *facts, uint32_t *vendor);

#endif
