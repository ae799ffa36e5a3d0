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

/* clang-format off */
static const struct register_of_leaf registers[WORD_COUNT] = {
	[WORD_1_ECX] = {0x1, 0, ECX},
	[WORD_1_EDX] = {0x1, 0, EDX},
	[WORD_7_EBX] = {0x7, 0, EBX},
	[WORD_7_ECX] = {0x7, 0, ECX},
	[WORD_7_EDX] = {0x7, 0, EDX},
	[WORD_71_EAX] = {0x7, 1, EAX},
	[WORD_D1_EAX] = {0xD, 1, EAX},
	[WORD_81_ECX] = {0x80000001, 0, ECX},
	[WORD_81_EDX] = {0x80000001, 0, EDX},
	[WORD_88_EBX] = {0x80000008, 0, EBX},
	[WORD_821_EAX] = {0x80000021, 0, EAX},
	[WORD_821_ECX] = {0x80000021, 0, ECX},
};
/* clang-format on */

/* Bank 0 and 1: processor features; bank 2: XSAVE features. */
#define XSAVE_BANK 2

struct feature {
	uint8_t bank, bit;
	uint8_t word, cpuid_bit;
	uint8_t state; /* bits of XCR0 without which it is of no use */
};

#define XSAVE_SUPPORT (1ull << 0) /* bits of the XSAVE features */
#define XSAVE_AVX     (1ull << 2)
#define XSAVE_AVX512  (1ull << 6)
#define XCR0_SSE      0x03ull
#define XCR0_AVX      0x07ull
#define XCR0_AVX512   0xE7ull
#define YMM           0x04
#define ZMM           0xE4

/* clang-format off */
static const struct feature features[] = {
	{0, 0, WORD_1_ECX, 0, 0},        /* SSE3 */
	{0, 1, WORD_81_ECX, 0, 0},       /* LAHF in 64-bit mode */
	{0, 2, WORD_1_ECX, 9, 0},        /* SSSE3 */
	{0, 3, WORD_1_ECX, 19, 0},       /* SSE4.1 */
	{0, 4, WORD_1_ECX, 20, 0},       /* SSE4.2 */
	{0, 5, WORD_81_ECX, 6, 0},       /* SSE4a */
	{0, 6, WORD_81_ECX, 11, YMM},    /* XOP */
	{0, 7, WORD_1_ECX, 23, 0},       /* POPCNT */
	{0, 8, WORD_1_ECX, 13, 0},       /* CMPXCHG16B */
	{0, 9, WORD_81_ECX, 4, 0},       /* MOV CR8 by LOCK MOV CR0 */
	{0, 10, WORD_81_ECX, 5, 0},      /* LZCNT */
	{0, 11, WORD_81_ECX, 7, 0},      /* misaligned SSE */
	{0, 12, WORD_81_EDX, 22, 0},     /* MMX extensions */
	{0, 13, WORD_81_EDX, 31, 0},     /* 3DNow! */
	{0, 14, WORD_81_EDX, 30, 0},     /* 3DNow! extensions */
	{0, 15, WORD_81_EDX, 26, 0},     /* 1 GiB pages */
	{0, 16, WORD_1_ECX, 25, 0},      /* AES */
	{0, 17, WORD_1_ECX, 1, 0},       /* PCLMULQDQ */
	{0, 18, WORD_1_ECX, 17, 0},      /* PCID */
	{0, 19, WORD_81_ECX, 16, YMM},   /* FMA4 */
	{0, 20, WORD_1_ECX, 29, YMM},    /* F16C */
	{0, 21, WORD_1_ECX, 30, 0},      /* RDRAND */
	{0, 22, WORD_7_EBX, 0, 0},       /* RDFSBASE and its kin */
	{0, 23, WORD_7_EBX, 7, 0},       /* SMEP */
	{0, 24, WORD_7_EBX, 9, 0},       /* fast REP MOVSB */
	{0, 25, WORD_7_EBX, 3, 0},       /* BMI1 */
	{0, 26, WORD_7_EBX, 8, 0},       /* BMI2 */
	{0, 29, WORD_1_ECX, 22, 0},      /* MOVBE */
	{0, 31, WORD_7_EBX, 13, 0},      /* no FPU CS and DS */
	{0, 32, WORD_7_EBX, 18, 0},      /* RDSEED */
	{0, 33, WORD_7_EBX, 19, 0},      /* ADX */
	{0, 34, WORD_81_ECX, 8, 0},      /* PREFETCHW */
	{0, 35, WORD_7_EBX, 20, 0},      /* SMAP */
	{0, 36, WORD_7_EBX, 4, 0},       /* HLE */
	{0, 37, WORD_7_EBX, 11, 0},      /* RTM */
	{0, 38, WORD_81_EDX, 27, 0},     /* RDTSCP */
	{0, 39, WORD_7_EBX, 23, 0},      /* CLFLUSHOPT */
	{0, 40, WORD_7_EBX, 24, 0},      /* CLWB */
	{0, 41, WORD_7_EBX, 29, 0},      /* SHA */
	{0, 42, WORD_88_EBX, 2, 0},      /* FPU pointers are always saved */
	{0, 43, WORD_7_EBX, 10, 0},      /* INVPCID */
	{0, 44, WORD_7_EDX, 26, 0},      /* IBRS and IBPB */
	{0, 44, WORD_88_EBX, 14, 0},     /* IBRS */
	{0, 45, WORD_7_EDX, 27, 0},      /* STIBP */
	{0, 45, WORD_88_EBX, 15, 0},     /* STIBP */
	{0, 46, WORD_88_EBX, 12, 0},     /* IBPB */
	{0, 48, WORD_7_EDX, 31, 0},      /* SSBD */
	{0, 48, WORD_88_EBX, 24, 0},     /* SSBD */
	{0, 49, WORD_7_EDX, 4, 0},       /* fast short REP MOVSB */
	{0, 51, WORD_CAPABILITIES, 0, 0},  /* RDCL_NO */
	{0, 52, WORD_CAPABILITIES, 1, 0},  /* IBRS_ALL */
	{0, 53, WORD_CAPABILITIES, 3, 0},  /* SKIP_L1DFL_VMENTRY */
	{0, 54, WORD_CAPABILITIES, 4, 0},  /* SSB_NO */
	{0, 54, WORD_88_EBX, 26, 0},       /* SSB_NO */
	{0, 57, WORD_7_ECX, 22, 0},      /* RDPID */
	{0, 58, WORD_7_ECX, 2, 0},       /* UMIP */
	{0, 59, WORD_CAPABILITIES, 5, 0},  /* MDS_NO */
	{0, 60, WORD_7_EDX, 10, 0},      /* MD_CLEAR */
	{0, 61, WORD_CAPABILITIES, 8, 0},  /* TAA_NO */
	{1, 2, WORD_88_EBX, 0, 0},       /* CLZERO */
	{1, 4, WORD_7_ECX, 16, 0},       /* 57-bit linear addresses */
	{1, 7, WORD_88_EBX, 28, 0},      /* PSFD */
	{1, 13, WORD_7_ECX, 27, 0},      /* MOVDIRI */
	{1, 14, WORD_7_ECX, 28, 0},      /* MOVDIR64B */
	{1, 15, WORD_7_ECX, 25, 0},      /* CLDEMOTE */
	{1, 16, WORD_7_EDX, 14, 0},      /* SERIALIZE */
	{1, 19, WORD_71_EAX, 10, 0},     /* fast zero-length REP MOVSB */
	{1, 20, WORD_71_EAX, 11, 0},     /* fast short REP STOSB */
	{1, 21, WORD_71_EAX, 12, 0},     /* fast short REP CMPSB */
	{1, 22, WORD_7_EDX, 16, 0},      /* TSXLDTRK */
	{1, 25, WORD_CAPABILITIES, 13, 0}, /* SBDR_SSDP_NO */
	{1, 26, WORD_CAPABILITIES, 14, 0}, /* FBSDP_NO */
	{1, 27, WORD_CAPABILITIES, 15, 0}, /* PSDP_NO */
	{1, 28, WORD_CAPABILITIES, 17, 0}, /* FB_CLEAR */
	{1, 29, WORD_88_EBX, 29, 0},     /* BTC_NO */
	{1, 30, WORD_88_EBX, 30, 0},     /* IBPB clears the return predictor */
	{1, 31, WORD_88_EBX, 17, 0},     /* STIBP is best left on */
	{1, 39, WORD_CAPABILITIES, 26, 0}, /* GDS_NO */
	{1, 40, WORD_71_EAX, 7, 0},      /* CMPccXADD */
	{1, 43, WORD_CAPABILITIES, 20, 0}, /* BHI_NO */
	{1, 46, WORD_71_EAX, 0, 0},      /* SHA512 */
	{1, 48, WORD_CAPABILITIES, 27, 0}, /* RFDS_NO */
	{1, 49, WORD_CAPABILITIES, 28, 0}, /* RFDS_CLEAR */
	{1, 50, WORD_71_EAX, 1, 0},      /* SM3 */
	{1, 51, WORD_71_EAX, 2, 0},      /* SM4 */
	{1, 54, WORD_821_EAX, 27, 0},    /* SBPB */
	{1, 55, WORD_821_EAX, 28, 0},    /* IBPB clears branch types */
	{1, 56, WORD_821_EAX, 29, 0},    /* SRSO_NO */
	{1, 57, WORD_821_EAX, 30, 0},    /* SRSO_USER_KERNEL_NO */
	{1, 58, WORD_821_EAX, 5, 0},     /* VERW clears buffers */
	{1, 59, WORD_821_ECX, 2, 0},     /* TSA_L1_NO */
	{1, 60, WORD_821_ECX, 1, 0},     /* TSA_SQ_NO */

	{XSAVE_BANK, 0, WORD_1_ECX, 26, 0},          /* XSAVE */
	{XSAVE_BANK, 1, WORD_D1_EAX, 0, 0},          /* XSAVEOPT */
	{XSAVE_BANK, 2, WORD_1_ECX, 28, YMM},        /* AVX */
	{XSAVE_BANK, 3, WORD_7_EBX, 5, YMM},         /* AVX2 */
	{XSAVE_BANK, 4, WORD_1_ECX, 12, YMM},        /* FMA */
	{XSAVE_BANK, 6, WORD_7_EBX, 16, ZMM},        /* AVX512F */
	{XSAVE_BANK, 7, WORD_7_EBX, 17, ZMM},        /* AVX512DQ */
	{XSAVE_BANK, 8, WORD_7_EBX, 28, ZMM},        /* AVX512CD */
	{XSAVE_BANK, 9, WORD_7_EBX, 30, ZMM},        /* AVX512BW */
	{XSAVE_BANK, 10, WORD_7_EBX, 31, ZMM},       /* AVX512VL */
	{XSAVE_BANK, 11, WORD_D1_EAX, 1, 0},         /* XSAVEC */
	{XSAVE_BANK, 12, WORD_D1_EAX, 3, 0},         /* XSAVES */
	{XSAVE_BANK, 13, WORD_D1_EAX, 2, 0},         /* XGETBV with 1 */
	{XSAVE_BANK, 14, WORD_7_ECX, 12, ZMM},       /* AVX512_BITALG */
	{XSAVE_BANK, 15, WORD_7_EBX, 21, ZMM},       /* AVX512_IFMA */
	{XSAVE_BANK, 16, WORD_7_ECX, 1, ZMM},        /* AVX512_VBMI */
	{XSAVE_BANK, 17, WORD_7_ECX, 6, ZMM},        /* AVX512_VBMI2 */
	{XSAVE_BANK, 18, WORD_7_ECX, 11, ZMM},       /* AVX512_VNNI */
	{XSAVE_BANK, 19, WORD_7_ECX, 8, 0},          /* GFNI */
	{XSAVE_BANK, 20, WORD_7_ECX, 9, YMM},        /* VAES */
	{XSAVE_BANK, 21, WORD_7_ECX, 14, ZMM},       /* AVX512_VPOPCNTDQ */
	{XSAVE_BANK, 22, WORD_7_ECX, 10, YMM},       /* VPCLMULQDQ */
	{XSAVE_BANK, 23, WORD_71_EAX, 5, ZMM},       /* AVX512_BF16 */
	{XSAVE_BANK, 24, WORD_7_EDX, 8, ZMM},        /* AVX512_VP2INTERSECT */
	{XSAVE_BANK, 25, WORD_7_EDX, 23, ZMM},       /* AVX512_FP16 */
	{XSAVE_BANK, 30, WORD_71_EAX, 4, YMM},       /* AVX-VNNI */
	{XSAVE_BANK, 31, WORD_71_EAX, 23, YMM},      /* AVX-IFMA */
};
/* clang-format on */

/* clang-format off */
#define BIT(n) (1u << (n))

/*
 * What every child has where the machine has it. Not here and in no row, so hidden: SVM, VMX, SMX,
 * MONITOR, debug store, thermal, power and performance management, machine-check extensions,
 * protection keys, CET, memory encryption, and all else that needs an MSR which a child lacks.
 */
static const uint32_t baseline[WORD_COUNT] = {
	/* FPU … APIC, SEP … PSE-36, CLFLUSH, MMX, FXSR, SSE, SSE2 */
	[WORD_1_EDX] = 0x0783FBFFu | BIT(19),
	[WORD_81_ECX] = BIT(21) | BIT(22), /* TBM, topology extensions */
	/* those of leaf 1 that are repeated here, SYSCALL; NX, FFXSR, long mode */
	[WORD_81_EDX] = 0x0183FBFFu | BIT(20) | BIT(25) | BIT(29),
	/* WBNOINVD, IBRS that is always on, preferred, good for the same mode too */
	[WORD_88_EBX] = BIT(9) | BIT(16) | BIT(18) | BIT(19),
	[WORD_7_EDX] = BIT(29), /* IA32_ARCH_CAPABILITIES */
	/* RSBA, PSCHANGE_MC_NO, RRSBA, PBRSB_NO: without a name in the features */
	[WORD_CAPABILITIES] = BIT(2) | BIT(6) | BIT(19) | BIT(24),
	/* no nested data breakpoints, LFENCE serializes, null selector clears base */
	[WORD_821_EAX] = BIT(0) | BIT(2) | BIT(6),
};

/*
 * The root has the machine without what is the hypervisor's: virtualization; MONITOR and MWAIT, in
 * which it would not see an idle LP; performance and thermal monitoring, whose interrupts are the
 * physical APIC's; clocks and voltages; and features that live in MSRs which are not switched.
 */
static const uint32_t root_hidden[WORD_COUNT] = {
	/* DTES64, MONITOR, DS-CPL, VMX, SMX, EIST, PDCM */
	[WORD_1_ECX] = BIT(2) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(15),
	/* debug store, ACPI clock control, thermal monitor */
	[WORD_1_EDX] = BIT(21) | BIT(22) | BIT(29),
	/* SGX, RDT monitoring, MPX, RDT allocation, processor trace */
	[WORD_7_EBX] = BIT(2) | BIT(12) | BIT(14) | BIT(15) | BIT(25),
	/* WAITPKG, CET_SS, TME, key locker, bus-lock detection, ENQCMD, SGX_LC, PKS */
	[WORD_7_ECX] = BIT(5) | BIT(7) | BIT(13) | BIT(23) | BIT(24) | BIT(29) | BIT(30) | BIT(31),
	/* UINTR, PCONFIG, architectural LBR, CET_IBT, AMX, core capabilities */
	[WORD_7_EDX] = BIT(5) | BIT(18) | BIT(19) | BIT(20) | BIT(22) | BIT(24) | BIT(25) | BIT(30),
	/* FRED, AMX_FP16, HRESET, LAM, MSRLIST */
	[WORD_71_EAX] = BIT(17) | BIT(21) | BIT(22) | BIT(26) | BIT(27),
	[WORD_D1_EAX] = BIT(4), /* XFD */
	/* SVM, IBS, SKINIT, WDT, LWP, TCE, core and NB counters, breakpoint masks, PTSC, L2
	 * counters, MWAITX */
	[WORD_81_ECX] = BIT(2) | BIT(10) | BIT(12) | BIT(13) | BIT(15) | BIT(17) | BIT(23) | BIT(24) | BIT(26) |
			BIT(27) | BIT(28) | BIT(29),
	[WORD_88_EBX] = BIT(8) | BIT(25) | BIT(27), /* MCOMMIT, VIRT_SSBD, CPPC */
	[WORD_821_EAX] = BIT(7) | BIT(8),	    /* upper-address ignore, automatic IBRS */
};
/* clang-format on */

static uint32_t machine_word(enum cpuid_word word)
{
	const struct register_of_leaf *from = &registers[word];
	uint32_t out[4];

	if (word == WORD_CAPABILITIES) {
		return (uint32_t)plat_info.arch_capabilities;
	}
	plat_cpuid(from->leaf & LEAF_EXTENDED, 0, out);
	if (from->leaf > out[EAX]) {
		return 0;
	}
	if (from->subleaf && from->leaf == 0x7) {
		plat_cpuid(from->leaf, 0, out);
		if (from->subleaf > out[EAX]) {
			return 0;
		}
	}
	plat_cpuid(from->leaf, from->subleaf, out);
	return out[from->reg];
}

static void machine_banks(uint64_t banks[3])
{
	uint32_t words[WORD_COUNT];

	for (unsigned int i = 0; i < WORD_COUNT; i++) {
		words[i] = machine_word((enum cpuid_word)i);
	}
	banks[0] = banks[1] = banks[2] = 0;
	for (unsigned int i = 0; i < ARRAY_COUNT(features); i++) {
		if (words[features[i].word] & (1u << features[i].cpuid_bit)) {
			banks[features[i].bank] |= 1ull << features[i].bit;
		}
	}
	banks[1] |= plat_info.tsc_invariant ? 1ull << 1 : 0;
	banks[1] |= 1ull << 17; /* TSC deadline: the core's own timer, whatever the machine's */
	banks[1] |= 1ull << 18; /* TSC_ADJUST likewise */
	if (!plat_info.xsave_size_max) {
		banks[XSAVE_BANK] = 0;
	}
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
		if (banks[features[i].bank] >> features[i].bit & 1) {
			p->cpuid_allowed[features[i].word] |= BIT(features[i].cpuid_bit);
		}
	}
}

uint64_t cpuid_xsave_offered(const struct partition *p)
{
	uint64_t offered = plat_info.xsave_size_max ? plat_info.xsave_features : 0;

	if (p->id == HV_ROOT_PARTITION) {
		return offered;
	}
	if (!(p->xsave_features & XSAVE_SUPPORT)) {
		return 0;
	}
	if (!(p->xsave_features & XSAVE_AVX)) {
		return offered & XCR0_SSE;
	}
	return offered & (p->xsave_features & XSAVE_AVX512 ? XCR0_AVX512 : XCR0_AVX);
}

/* clang-format off */
/* MSRs that exist where a feature does (Intel SDM vol. 4; APM vol. 3, E.4.7): any one of these. */
static const struct {
	uint32_t msr;
	enum cpuid_word word;
	uint32_t bits;
} msr_features[] = {
	{0x00000048, WORD_7_EDX, BIT(26) | BIT(27) | BIT(31)},             /* SPEC_CTRL */
	{0x00000048, WORD_88_EBX, BIT(14) | BIT(15) | BIT(24) | BIT(28)},
	{0x00000049, WORD_7_EDX, BIT(26)},                                 /* PRED_CMD */
	{0x00000049, WORD_88_EBX, BIT(12)},
	{0xC0000103, WORD_81_EDX, BIT(27)},                                /* TSC_AUX */
	{0xC0000103, WORD_7_ECX, BIT(22)},
};
/* clang-format on */

bool cpuid_offers_msr(const struct partition *p, uint32_t msr)
{
	bool offered = true;

	for (unsigned int i = 0; i < ARRAY_COUNT(msr_features); i++) {
		if (msr_features[i].msr == msr) {
			if (p->cpuid_allowed[msr_features[i].word] & msr_features[i].bits) {
				return true;
			}
			offered = false;
		}
	}
	return offered;
}

/* What a register set that cannot be saved would have held. */
static void forbid_stateless(struct partition *p)
{
	uint64_t offered = cpuid_xsave_offered(p);

	for (unsigned int i = 0; i < ARRAY_COUNT(features); i++) {
		if (features[i].state & ~offered) {
			p->cpuid_allowed[features[i].word] &= ~BIT(features[i].cpuid_bit);
		}
	}
	if (!offered) {
		p->cpuid_allowed[WORD_1_ECX] &= ~BIT(26);
		p->cpuid_allowed[WORD_D1_EAX] = 0;
	}
}

#define CAPABILITIES_ITS_NO (1ull << 62)

bool cpuid_capabilities(const struct partition *p, uint64_t *value)
{
	const uint64_t machine = plat_info.arch_capabilities;

	*value = (machine & p->cpuid_allowed[WORD_CAPABILITIES]) | (machine & CAPABILITIES_ITS_NO);
	return machine_word(WORD_7_EDX) & p->cpuid_allowed[WORD_7_EDX] & BIT(29);
}

struct control {
	uint8_t word, cpuid_bit;
	uint16_t bits;
};

/* Bits of IA32_SPEC_CTRL and IA32_PRED_CMD, and what says that they are there (Intel SDM vol. 4,
 * APM vol. 3, E.4). */
/* clang-format off */
static const struct control spec_ctrl[] = {
	{WORD_7_EDX, 26, 1 << 0}, {WORD_88_EBX, 14, 1 << 0}, /* IBRS */
	{WORD_7_EDX, 27, 1 << 1}, {WORD_88_EBX, 15, 1 << 1}, /* STIBP */
	{WORD_7_EDX, 31, 1 << 2}, {WORD_88_EBX, 24, 1 << 2}, /* SSBD */
	{WORD_88_EBX, 28, 1 << 7},                           /* PSFD */
};
static const struct control pred_cmd[] = {
	{WORD_7_EDX, 26, 1 << 0}, {WORD_88_EBX, 12, 1 << 0}, /* IBPB */
	{WORD_821_EAX, 27, 1 << 7},                          /* SBPB */
};
/* clang-format on */

static uint64_t controls(const struct partition *p, const struct control *table, unsigned int count)
{
	uint64_t bits = 0;

	for (unsigned int i = 0; i < count; i++) {
		if (machine_word(table[i].word) & p->cpuid_allowed[table[i].word] &
		    BIT(table[i].cpuid_bit)) {
			bits |= table[i].bits;
		}
	}
	return bits;
}

/* Leaf 7, subleaf 2, EDX: PSFD, IPRED_CTRL, RRSBA_CTRL, DDPD_U, BHI_CTRL. No child has that
 * leaf. */
static uint64_t root_spec_ctrl(void)
{
	static const uint16_t bits[] = {1 << 7, 3 << 3, 3 << 5, 1 << 8, 1 << 10};
	uint32_t out[4];
	uint64_t all = 0;

	plat_cpuid(0, 0, out);
	if (out[EAX] < 0x7) {
		return 0;
	}
	plat_cpuid(0x7, 0, out);
	if (out[EAX] < 2) {
		return 0;
	}
	plat_cpuid(0x7, 2, out);
	for (unsigned int i = 0; i < ARRAY_COUNT(bits); i++) {
		all |= out[EDX] & BIT(i) ? bits[i] : 0;
	}
	return all;
}

void cpuid_create(struct partition *p)
{
	if (p->id == HV_ROOT_PARTITION) {
		for (unsigned int i = 0; i < WORD_COUNT; i++) {
			p->cpuid_allowed[i] = ~root_hidden[i];
		}
	} else {
		allow_child(p);
	}
	forbid_stateless(p);
	p->spec_ctrl_bits = controls(p, spec_ctrl, ARRAY_COUNT(spec_ctrl));
	p->pred_cmd_bits = controls(p, pred_cmd, ARRAY_COUNT(pred_cmd));
	if (p->id == HV_ROOT_PARTITION) {
		p->spec_ctrl_bits |= root_spec_ctrl();
	}
}
