/*
 * Which of the machine's features a guest sees. One row a feature: the bit of
 * HV_PARTITION_PROCESSOR_FEATURES (or of the XSAVE features) and the CPUID bit. The table serves
 * both ways: what the machine has becomes properties, and a partition's properties become masks,
 * computed once.
 *
 * A bit without a row is shown when it is in the baseline, and otherwise hidden: what nobody knows,
 * a guest does not get.
 */
#include "tlfs/cpuid.h"

struct register_of_leaf {
	uint32_t leaf, subleaf;
	unsigned int reg;
};

static const struct register_of_leaf registers[WORD_COUNT] = {
	[WORD_1_ECX] = {0x1, 0, ECX},	       [WORD_1_EDX] = {0x1, 0, EDX},
	[WORD_7_EBX] = {0x7, 0, EBX},	       [WORD_7_ECX] = {0x7, 0, ECX},
	[WORD_7_EDX] = {0x7, 0, EDX},	       [WORD_71_EAX] = {0x7, 1, EAX},
	[WORD_D1_EAX] = {0xD, 1, EAX},	       [WORD_81_ECX] = {0x80000001, 0, ECX},
	[WORD_81_EDX] = {0x80000001, 0, EDX},  [WORD_88_EBX] = {0x80000008, 0, EBX},
	[WORD_821_EAX] = {0x80000021, 0, EAX}, [WORD_6_EAX] = {0x6, 0, EAX},
};

/* Bank 0 and 1: processor features; bank 2: XSAVE features. */
#define XSAVE_BANK 2

struct feature {
	uint8_t bank, bit;
	uint8_t word, cpuid_bit;
};

static const struct feature features[] = {
	{0, 0, WORD_1_ECX, 0},	  /* SSE3 */
	{0, 1, WORD_81_ECX, 0},	  /* LAHF in 64-bit mode */
	{0, 2, WORD_1_ECX, 9},	  /* SSSE3 */
	{0, 3, WORD_1_ECX, 19},	  /* SSE4.1 */
	{0, 4, WORD_1_ECX, 20},	  /* SSE4.2 */
	{0, 5, WORD_81_ECX, 6},	  /* SSE4a */
	{0, 6, WORD_81_ECX, 11},  /* XOP */
	{0, 7, WORD_1_ECX, 23},	  /* POPCNT */
	{0, 8, WORD_1_ECX, 13},	  /* CMPXCHG16B */
	{0, 9, WORD_81_ECX, 4},	  /* MOV CR8 by LOCK MOV CR0 */
	{0, 10, WORD_81_ECX, 5},  /* LZCNT */
	{0, 11, WORD_81_ECX, 7},  /* misaligned SSE */
	{0, 12, WORD_81_EDX, 22}, /* MMX extensions */
	{0, 13, WORD_81_EDX, 31}, /* 3DNow! */
	{0, 14, WORD_81_EDX, 30}, /* 3DNow! extensions */
	{0, 15, WORD_81_EDX, 26}, /* 1 GiB pages */
	{0, 16, WORD_1_ECX, 25},  /* AES */
	{0, 17, WORD_1_ECX, 1},	  /* PCLMULQDQ */
	{0, 18, WORD_1_ECX, 17},  /* PCID */
	{0, 19, WORD_81_ECX, 16}, /* FMA4 */
	{0, 20, WORD_1_ECX, 29},  /* F16C */
	{0, 21, WORD_1_ECX, 30},  /* RDRAND */
	{0, 22, WORD_7_EBX, 0},	  /* RDFSBASE and its kin */
	{0, 23, WORD_7_EBX, 7},	  /* SMEP */
	{0, 24, WORD_7_EBX, 9},	  /* fast REP MOVSB */
	{0, 25, WORD_7_EBX, 3},	  /* BMI1 */
	{0, 26, WORD_7_EBX, 8},	  /* BMI2 */
	{0, 29, WORD_1_ECX, 22},  /* MOVBE */
	{0, 31, WORD_7_EBX, 13},  /* no FPU CS and DS */
	{0, 32, WORD_7_EBX, 18},  /* RDSEED */
	{0, 33, WORD_7_EBX, 19},  /* ADX */
	{0, 34, WORD_81_ECX, 8},  /* PREFETCHW */
	{0, 35, WORD_7_EBX, 20},  /* SMAP */
	{0, 36, WORD_7_EBX, 4},	  /* HLE */
	{0, 37, WORD_7_EBX, 11},  /* RTM */
	{0, 38, WORD_81_EDX, 27}, /* RDTSCP */
	{0, 39, WORD_7_EBX, 23},  /* CLFLUSHOPT */
	{0, 40, WORD_7_EBX, 24},  /* CLWB */
	{0, 41, WORD_7_EBX, 29},  /* SHA */
	{0, 42, WORD_88_EBX, 2},  /* FPU pointers are always saved */
	{0, 43, WORD_7_EBX, 10},  /* INVPCID */
	{0, 49, WORD_7_EDX, 4},	  /* fast short REP MOVSB */
	{0, 57, WORD_7_ECX, 22},  /* RDPID */
	{0, 58, WORD_7_ECX, 2},	  /* UMIP */
	{1, 2, WORD_88_EBX, 0},	  /* CLZERO */
	{1, 4, WORD_7_ECX, 16},	  /* 57-bit linear addresses */
	{1, 13, WORD_7_ECX, 27},  /* MOVDIRI */
	{1, 14, WORD_7_ECX, 28},  /* MOVDIR64B */
	{1, 15, WORD_7_ECX, 25},  /* CLDEMOTE */
	{1, 16, WORD_7_EDX, 14},  /* SERIALIZE */
	{1, 19, WORD_71_EAX, 10}, /* fast zero-length REP MOVSB */
	{1, 20, WORD_71_EAX, 11}, /* fast short REP STOSB */
	{1, 21, WORD_71_EAX, 12}, /* fast short REP CMPSB */
	{1, 22, WORD_7_EDX, 16},  /* TSXLDTRK */
	{1, 40, WORD_71_EAX, 7},  /* CMPccXADD */
	{1, 46, WORD_71_EAX, 0},  /* SHA512 */
	{1, 50, WORD_71_EAX, 1},  /* SM3 */
	{1, 51, WORD_71_EAX, 2},  /* SM4 */

	{XSAVE_BANK, 0, WORD_1_ECX, 26},   /* XSAVE */
	{XSAVE_BANK, 1, WORD_D1_EAX, 0},   /* XSAVEOPT */
	{XSAVE_BANK, 2, WORD_1_ECX, 28},   /* AVX */
	{XSAVE_BANK, 3, WORD_7_EBX, 5},	   /* AVX2 */
	{XSAVE_BANK, 4, WORD_1_ECX, 12},   /* FMA */
	{XSAVE_BANK, 6, WORD_7_EBX, 16},   /* AVX512F */
	{XSAVE_BANK, 7, WORD_7_EBX, 17},   /* AVX512DQ */
	{XSAVE_BANK, 8, WORD_7_EBX, 28},   /* AVX512CD */
	{XSAVE_BANK, 9, WORD_7_EBX, 30},   /* AVX512BW */
	{XSAVE_BANK, 10, WORD_7_EBX, 31},  /* AVX512VL */
	{XSAVE_BANK, 11, WORD_D1_EAX, 1},  /* XSAVEC */
	{XSAVE_BANK, 12, WORD_D1_EAX, 3},  /* XSAVES */
	{XSAVE_BANK, 13, WORD_D1_EAX, 2},  /* XGETBV with 1 */
	{XSAVE_BANK, 14, WORD_7_ECX, 12},  /* AVX512_BITALG */
	{XSAVE_BANK, 15, WORD_7_EBX, 21},  /* AVX512_IFMA */
	{XSAVE_BANK, 16, WORD_7_ECX, 1},   /* AVX512_VBMI */
	{XSAVE_BANK, 17, WORD_7_ECX, 6},   /* AVX512_VBMI2 */
	{XSAVE_BANK, 18, WORD_7_ECX, 11},  /* AVX512_VNNI */
	{XSAVE_BANK, 19, WORD_7_ECX, 8},   /* GFNI */
	{XSAVE_BANK, 20, WORD_7_ECX, 9},   /* VAES */
	{XSAVE_BANK, 21, WORD_7_ECX, 14},  /* AVX512_VPOPCNTDQ */
	{XSAVE_BANK, 22, WORD_7_ECX, 10},  /* VPCLMULQDQ */
	{XSAVE_BANK, 23, WORD_71_EAX, 5},  /* AVX512_BF16 */
	{XSAVE_BANK, 24, WORD_7_EDX, 8},   /* AVX512_VP2INTERSECT */
	{XSAVE_BANK, 25, WORD_7_EDX, 23},  /* AVX512_FP16 */
	{XSAVE_BANK, 30, WORD_71_EAX, 4},  /* AVX-VNNI */
	{XSAVE_BANK, 31, WORD_71_EAX, 23}, /* AVX-IFMA */
};

/*
 * What every child has where the machine has it. Not here, so hidden: SVM, VMX, SMX, MONITOR, debug
 * store, thermal and performance monitoring, machine-check extensions, protection keys, CET, memory
 * encryption, speculation controls (their MSRs are the home's to add), and all that a guest could
 * only use through an MSR that it does not have.
 */
static const uint32_t baseline[WORD_COUNT] = {
	[WORD_1_ECX] = 0,
	/*
	 * FPU VME DE PSE TSC MSR PAE MCE CX8 APIC SEP MTRR PGE MCA CMOV PAT PSE36 CLFLUSH MMX FXSR
	 * SSE SSE2
	 */
	[WORD_1_EDX] = 0x0783FBFF | 1u << 26 | 1u << 25 | 1u << 24 | 1u << 23 | 1u << 19,
	[WORD_81_ECX] = 1u << 22 | 1u << 21, /* topology extensions, TBM */
	[WORD_81_EDX] = 0x0183FBFF | 1u << 20 | 1u << 25 |
			1u << 29, /* the leaf 1 bits again; NX, FFXSR, long mode */
	[WORD_88_EBX] = 1u << 9,  /* WBNOINVD */
	[WORD_821_EAX] =
		1u << 0 | 1u << 2 | 1u << 6 |
		1u << 8, /* no nested data bp, LFENCE serializes, null selector, auto IBRS */
};

/*
 * The root has the machine, without what is the hypervisor's: virtualization (VMX, SMX, SVM,
 * SKINIT), MONITOR/MWAIT, which the hypervisor must see as an idle LP, and performance monitoring,
 * whose interrupt is the physical APIC's.
 */
static const uint32_t root_hidden[WORD_COUNT] = {
	[WORD_1_ECX] = 1u << 3 | 1u << 5 | 1u << 6 | 1u << 15, /* MONITOR, VMX, SMX, PDCM */
	[WORD_1_EDX] = 1u << 21,			       /* debug store */
	[WORD_7_EBX] = 1u << 2 | 1u << 25,		       /* SGX, processor trace */
	[WORD_81_ECX] = 1u << 2 | 1u << 10 | 1u << 12 | 1u << 15 | 1u << 23 | 1u << 24 | 1u << 28 |
			1u << 29, /* SVM … MWAITX */
};

static uint32_t machine_word(enum cpuid_word word)
{
	const struct register_of_leaf *from = &registers[word];
	uint32_t out[4];

	plat_cpuid(from->leaf & LEAF_EXTENDED, 0, out);
	if (from->leaf > out[EAX])
		return 0;
	if (from->subleaf && from->leaf == 0x7) {
		plat_cpuid(from->leaf, 0, out);
		if (from->subleaf > out[EAX])
			return 0;
	}
	plat_cpuid(from->leaf, from->subleaf, out);
	return out[from->reg];
}

static void machine_banks(uint64_t banks[3])
{
	uint32_t words[WORD_COUNT];

	for (unsigned int i = 0; i < WORD_COUNT; i++)
		words[i] = machine_word((enum cpuid_word)i);
	banks[0] = banks[1] = banks[2] = 0;
	for (unsigned int i = 0; i < ARRAY_COUNT(features); i++) {
		if (words[features[i].word] & (1u << features[i].cpuid_bit))
			banks[features[i].bank] |= 1ull << features[i].bit;
	}
	banks[1] |= plat_info.tsc_invariant ? 1ull << 1 : 0;
	banks[1] |= 1ull << 17; /* TSC deadline: the core's own timer, whatever the machine's */
	banks[1] |= 1ull << 18; /* TSC_ADJUST likewise */
	if (!plat_info.xsave_size_max)
		banks[XSAVE_BANK] = 0;
}

void cpuid_machine_features(uint64_t banks[2])
{
	uint64_t all[3];

	machine_banks(all);
	banks[0] = all[0];
	banks[1] = all[1];
}

uint64_t cpuid_machine_xsave_features(void)
{
	uint64_t all[3];

	machine_banks(all);
	return all[XSAVE_BANK];
}

static void allow_child(struct partition *p)
{
	const uint64_t banks[3] = {p->processor_features[0], p->processor_features[1],
				   p->xsave_features};

	memcpy(p->cpuid_allowed, baseline, sizeof(baseline));
	for (unsigned int i = 0; i < ARRAY_COUNT(features); i++) {
		if (banks[features[i].bank] >> features[i].bit & 1)
			p->cpuid_allowed[features[i].word] |= 1u << features[i].cpuid_bit;
	}
	if (!(banks[XSAVE_BANK] & 1) ||
	    !plat_info.xsave_size_max) { /* without XSAVE, nothing that it would have to save */
		p->cpuid_allowed[WORD_D1_EAX] = 0;
		p->cpuid_allowed[WORD_71_EAX] = 0;
		for (unsigned int i = 0; i < ARRAY_COUNT(features); i++) {
			if (features[i].bank == XSAVE_BANK)
				p->cpuid_allowed[features[i].word] &=
					~(1u << features[i].cpuid_bit);
		}
	}
}

void cpuid_create(struct partition *p)
{
	if (p->id != HV_ROOT_PARTITION) {
		allow_child(p);
		return;
	}
	for (unsigned int i = 0; i < WORD_COUNT; i++)
		p->cpuid_allowed[i] = ~root_hidden[i];
}
