/*
 * What the files of CPUID share: cpuid.c (the leaves), cpuid_features.c (which bits a guest may
 * see), cpuid_hv.c (0x40000000…), cpuid_topology.c, cpuid_override.c (the parent's answers). Within
 * the core only.
 */
#ifndef TLFS_CPUID_H
#define TLFS_CPUID_H

#include "tlfs/hv.h"

enum { EAX, EBX, ECX, EDX };

/* Registers that are feature bits one by one: indices of partition->cpuid_allowed. */
enum cpuid_word {
	WORD_1_ECX,
	WORD_1_EDX,
	WORD_7_EBX,
	WORD_7_ECX,
	WORD_7_EDX,
	WORD_71_EAX,
	WORD_D1_EAX,
	WORD_81_ECX,
	WORD_81_EDX,
	WORD_88_EBX,
	WORD_821_EAX,
	WORD_821_ECX,
	WORD_CAPABILITIES, /* the low half of IA32_ARCH_CAPABILITIES: read-only facts, as CPUID's */
	WORD_COUNT,
};
_Static_assert(WORD_COUNT == CPUID_WORD_COUNT, "partition->cpuid_allowed");

#define LEAF_HYPERVISOR     0x40000000u
#define LEAF_HYPERVISOR_END 0x400000FFu
#define LEAF_EXTENDED       0x80000000u

#define CPUID_1_ECX_OSXSAVE     (1u << 27)
#define CPUID_1_EDX_APIC        (1u << 9)
#define CPUID_1_EDX_HTT         (1u << 28)
#define CPUID_1_ECX_XSAVE       (1u << 26)
#define CPUID_7_ECX_PKU         (1u << 3)
#define CPUID_7_ECX_OSPKE       (1u << 4)
#define CPUID_81_ECX_CMP_LEGACY (1u << 1)
#define CR4_OSXSAVE             (1ull << 18)
#define CR4_PKE                 (1ull << 22)

/* cpuid_features.c: bits of XCR0 and XSS that the guest may set. */
uint64_t cpuid_xsave_offered(const struct partition *p);

/*
 * cpuid_features.c: the partition may have this MSR: no CPUID bit announces it, or one that the
 * partition is shown.
 */
bool cpuid_offers_msr(const struct partition *p, uint32_t msr);

/* Likewise: IA32_ARCH_CAPABILITIES; false: it is not there. */
bool cpuid_capabilities(const struct partition *p, uint64_t *value);

/* cpuid_hv.c */
void cpuid_hypervisor_leaf(const struct vp *vp, uint32_t leaf, uint32_t out[4]);

/*
 * cpuid_topology.c: rewrites what tells a child where its VPs are. `out` holds the machine's
 * answer.
 */
void cpuid_topology_leaf(const struct vp *vp, uint32_t leaf, uint32_t subleaf, uint32_t out[4]);

/*
 * cpuid_override.c: true when the parent left an answer; it is laid over `out`. *always: over what
 * follows the VP's state too.
 */
bool cpuid_override_apply(const struct vp *vp, uint32_t leaf, uint32_t subleaf, uint32_t out[4],
			  bool *always);

#endif
