/*
 * Which weaknesses a processor has by its model and its own word, and what the hypervisor does
 * about each. Only a decision: speculation.c acts on it, ept.c on MITIGATION_SPLIT.
 */
#ifndef ARCH_MITIGATION_H
#define ARCH_MITIGATION_H

#include <stdbool.h>
#include <stdint.h>

/* What the decision rests on: CPUID and IA32_ARCH_CAPABILITIES; all zero where there is no such
 * leaf or MSR. */
struct processor {
	bool is_amd; /* or Hygon; all others are taken for Intel, and a model that no table knows for one that has everything */
	uint32_t family, model, stepping;
	bool smt;
	uint32_t leaf_7_ebx, leaf_7_edx, leaf_72_edx;
	uint32_t leaf_88_ebx, leaf_821_eax, leaf_821_ecx;
	uint64_t capabilities;
};

enum mitigation {
	MITIGATION_IBPB = 1u << 0,        /* when an LP goes from one partition to another */
	MITIGATION_IBPB_EXIT = 1u << 1,   /* after each exit of a child */
	MITIGATION_IBRS = 1u << 2,        /* written after each exit */
	MITIGATION_IBRS_ALL = 1u << 3,    /* Intel's enhanced one: set while the hypervisor runs */
	MITIGATION_AUTO_IBRS = 1u << 4,   /* AMD's, by EFER */
	MITIGATION_BHI = 1u << 5,         /* BHI_DIS_S while the hypervisor runs */
	MITIGATION_SPEC_REDUCE = 1u << 6, /* BP_SPEC_REDUCE, by MSR */
	MITIGATION_RSB =
		1u
		<< 7, /* the return stack buffer is filled where calls made before a guest ran return */
	MITIGATION_VERW = 1u << 8,   /* before each entry */
	MITIGATION_L1D = 1u << 9,    /* before a child's entry, unless an exit was only answered */
	MITIGATION_SPLIT = 1u << 10, /* large pages are not executable */
};
#define MITIGATION_COUNT 11

struct mitigations {
	uint32_t used;
	uint32_t lacking;   /* needed, but this processor's microcode cannot */
	uint64_t spec_ctrl; /* IA32_SPEC_CTRL while the hypervisor runs */
};

#define SPEC_CTRL_IBRS      (1ull << 0)
#define SPEC_CTRL_BHI_DIS_S (1ull << 10)

struct mitigations mitigation_decide(const struct processor *p);
/* For the console. */
const char *mitigation_name(unsigned int bit);

#endif
