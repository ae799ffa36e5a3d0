/*
 * The tables are those of the vendors' advisories, in the form in which Linux keeps them
 * (arch/x86/kernel/cpu/common.c and bugs.c): Intel's models by family 6, AMD's by family. A
 * processor's own word (IA32_ARCH_CAPABILITIES, CPUID) goes before them.
 *
 * Indirect branches are no row: the image is built with retpolines, and so needs nothing of the
 * processor against a guest that trains them.
 */
#include "hypervisor/arch/x86/mitigation.h"

/* IA32_ARCH_CAPABILITIES (Intel SDM vol. 4). */
#define CAP_RDCL_NO        (1ull << 0)
#define CAP_IBRS_ALL       (1ull << 1)
#define CAP_RSBA           (1ull << 2)
#define CAP_SKIP_L1D_FLUSH (1ull << 3)
#define CAP_MDS_NO         (1ull << 5)
#define CAP_PSCHANGE_MC_NO (1ull << 6)
#define CAP_TSX_CTRL       (1ull << 7)
#define CAP_TAA_NO         (1ull << 8)
#define CAP_MMIO_NO        (7ull << 13) /* SBDR_SSDP_NO, FBSDP_NO, PSDP_NO */
#define CAP_FB_CLEAR       (1ull << 17)
#define CAP_BHI_NO         (1ull << 20)
#define CAP_PBRSB_NO       (1ull << 24)
#define CAP_RFDS_NO        (1ull << 27)
#define CAP_RFDS_CLEAR     (1ull << 28)
#define CAP_ITS_NO         (1ull << 62)

#define LEAF_7_EBX_RTM       (1u << 11)
#define LEAF_7_EDX_MD_CLEAR  (1u << 10)
#define LEAF_7_EDX_IBRS      (1u << 26) /* and IBPB */
#define LEAF_7_EDX_L1D_FLUSH (1u << 28)
#define LEAF_72_EDX_BHI_CTRL (1u << 4)

/* AMD APM vol. 3, E.4.7 and E.4.17, and "Technical Update Regarding Speculative Return Stack
 * Overflow". */
#define LEAF_88_EBX_IBPB            (1u << 12)
#define LEAF_88_EBX_BTC_NO          (1u << 29)
#define LEAF_821_EAX_VERW_CLEAR     (1u << 5)
#define LEAF_821_EAX_AUTO_IBRS      (1u << 8)
#define LEAF_821_EAX_IBPB_BRTYPE    (1u << 28)
#define LEAF_821_EAX_SRSO_NO        (1u << 29)
#define LEAF_821_EAX_BP_SPEC_REDUCE (1u << 31)
#define LEAF_821_ECX_TSA_NO         (3u << 1) /* TSA_SQ_NO, TSA_L1_NO */

/* What a model has or, in the first rows, has not. */
enum trait {
	NO_MDS = 1u << 0,
	NO_L1TF = 1u << 1,
	NO_MULTIHIT = 1u << 2,
	NO_PBRSB = 1u << 3,
	RETBLEED = 1u << 4,
	MMIO = 1u << 5,
	RFDS = 1u << 6,
	ITS = 1u << 7, /* between guest and host */
};

struct model {
	uint8_t model, stepping; /* and later ones */
	uint8_t traits;
};

/* clang-format off */
static const struct model models[] = {
	{0x1c, 0, NO_L1TF | NO_MULTIHIT | NO_MDS},              /* Bonnell */
	{0x26, 0, NO_L1TF | NO_MULTIHIT | NO_MDS},              /* Bonnell */
	{0x27, 0, NO_L1TF | NO_MULTIHIT | NO_MDS},              /* Saltwell */
	{0x35, 0, NO_L1TF | NO_MULTIHIT | NO_MDS},              /* Saltwell */
	{0x36, 0, NO_L1TF | NO_MULTIHIT | NO_MDS},              /* Saltwell */
	{0x37, 0, NO_L1TF | NO_MULTIHIT},                       /* Silvermont */
	{0x3f, 0, MMIO},                                        /* Haswell-X */
	{0x4a, 0, NO_L1TF | NO_MULTIHIT},                       /* Silvermont */
	{0x4c, 0, NO_L1TF | NO_MULTIHIT},                       /* Airmont */
	{0x4d, 0, NO_L1TF | NO_MULTIHIT},                       /* Silvermont-D */
	{0x4e, 0, MMIO | RETBLEED},                             /* Skylake-L */
	{0x4f, 0, MMIO},                                        /* Broadwell-X */
	{0x55, 6, MMIO | RETBLEED | ITS},                       /* Cascade Lake */
	{0x55, 0, MMIO | RETBLEED},                             /* Skylake-X */
	{0x56, 0, MMIO},                                        /* Broadwell-D */
	{0x57, 0, NO_L1TF | NO_MULTIHIT},                       /* Knights Landing */
	{0x5a, 0, NO_L1TF | NO_MULTIHIT},                       /* Airmont */
	{0x5c, 0, NO_MDS | NO_L1TF | NO_MULTIHIT | RFDS},       /* Goldmont */
	{0x5e, 0, MMIO | RETBLEED},                             /* Skylake */
	{0x5f, 0, NO_MDS | NO_L1TF | NO_MULTIHIT | RFDS},       /* Goldmont-D */
	{0x66, 0, RETBLEED},                                    /* Cannon Lake */
	{0x6a, 0, MMIO},                                        /* Ice Lake-X */
	{0x6c, 0, MMIO},                                        /* Ice Lake-D */
	{0x75, 0, NO_L1TF | NO_MULTIHIT},                       /* Airmont */
	{0x7a, 0, NO_MDS | NO_L1TF | NO_MULTIHIT | NO_PBRSB | RFDS}, /* Goldmont Plus */
	{0x7e, 0, MMIO | RETBLEED},                             /* Ice Lake-L */
	{0x85, 0, NO_L1TF | NO_MULTIHIT},                       /* Knights Mill */
	{0x86, 0, NO_MULTIHIT | NO_PBRSB | MMIO | RFDS},        /* Tremont-D */
	{0x8a, 0, MMIO | RETBLEED},                             /* Lakefield */
	{0x8e, 12, MMIO | RETBLEED | ITS},                      /* Kaby Lake-L, Comet Lake */
	{0x8e, 0, MMIO | RETBLEED},                             /* Kaby Lake-L */
	{0x96, 0, NO_PBRSB | MMIO | RFDS},                      /* Tremont */
	{0x97, 0, RFDS},                                        /* Alder Lake */
	{0x9a, 0, RFDS},                                        /* Alder Lake-L */
	{0x9c, 0, NO_PBRSB | MMIO | RFDS},                      /* Tremont-L */
	{0x9e, 13, MMIO | RETBLEED | ITS},                      /* Kaby Lake, Coffee Lake */
	{0x9e, 0, MMIO | RETBLEED},                             /* Kaby Lake */
	{0xa5, 0, MMIO | RETBLEED | ITS},                       /* Comet Lake */
	{0xa6, 0, MMIO | RETBLEED | ITS},                       /* Comet Lake-L */
	{0xa7, 0, MMIO | RETBLEED},                             /* Rocket Lake */
	{0xb7, 0, RFDS},                                        /* Raptor Lake */
	{0xba, 0, RFDS},                                        /* Raptor Lake-P */
	{0xbe, 0, RFDS},                                        /* Alder Lake-N */
	{0xbf, 0, RFDS},                                        /* Raptor Lake-S */
};

static const char *const names[MITIGATION_COUNT] = {
	"IBPB between partitions",
	"IBPB after guests' exits",
	"IBRS",
	"enhanced IBRS",
	"automatic IBRS",
	"BHI_DIS_S",
	"BP_SPEC_REDUCE",
	"RSB filled",
	"buffers cleared before entries (VERW)",
	"L1D flushed before entries",
	"no executable large pages",
};
/* clang-format on */

const char *mitigation_name(unsigned int bit)
{
	return names[bit];
}

static uint8_t traits_of(const struct processor *p)
{
	for (unsigned int i = 0; p->family == 6 && i < sizeof(models) / sizeof(models[0]); i++) {
		if (models[i].model == p->model && p->stepping >= models[i].stepping) {
			return models[i].traits;
		}
	}
	return 0;
}

static void need(struct mitigations *m, uint32_t mitigation, bool available)
{
	*(available ? &m->used : &m->lacking) |= mitigation;
}

/* What is left in buffers by the hypervisor, and which instruction or command takes it away. */
static void decide_buffers(const struct processor *p, uint8_t traits, struct mitigations *m)
{
	const uint64_t caps = p->capabilities;
	const bool md_clear = p->leaf_7_edx & LEAF_7_EDX_MD_CLEAR;
	const bool l1d_flush = p->leaf_7_edx & LEAF_7_EDX_L1D_FLUSH;
	const bool mds = !(traits & NO_MDS) && !(caps & CAP_MDS_NO);
	const bool has_tsx = p->leaf_7_ebx & LEAF_7_EBX_RTM || caps & CAP_TSX_CTRL;

	if (mds || (has_tsx && !(caps & CAP_TAA_NO))) {
		need(m, MITIGATION_VERW, md_clear);
	}
	if (traits & MMIO && (caps & CAP_MMIO_NO) != CAP_MMIO_NO) {
		need(m, MITIGATION_VERW, caps & CAP_FB_CLEAR || (mds && md_clear && l1d_flush));
	}
	if (caps & CAP_RFDS_CLEAR || (traits & RFDS && !(caps & CAP_RFDS_NO))) {
		need(m, MITIGATION_VERW, caps & CAP_RFDS_CLEAR);
	}
	if (!(traits & NO_L1TF) && !(caps & (CAP_RDCL_NO | CAP_SKIP_L1D_FLUSH))) {
		need(m, MITIGATION_L1D, l1d_flush);
	}
}

/*
 * Does the processor take a guest's entries of the return stack buffer for the hypervisor's? With
 * an enhanced IBRS it does not, but for the first return (PBRSB), and on some models for returns
 * that find the buffer empty (ITS).
 */
static bool returns_are_guests(const struct processor *p, uint8_t traits)
{
	const uint64_t caps = p->capabilities;

	if (!(caps & CAP_IBRS_ALL)) {
		return true;
	}
	return (!(traits & NO_PBRSB) && !(caps & CAP_PBRSB_NO)) ||
	       (traits & ITS && !(caps & CAP_ITS_NO));
}

static void decide_intel(const struct processor *p, struct mitigations *m)
{
	const uint8_t traits = traits_of(p);
	const uint64_t caps = p->capabilities;
	const bool ibrs = p->leaf_7_edx & LEAF_7_EDX_IBRS;

	need(m, MITIGATION_IBPB, ibrs);
	if (ibrs && caps & CAP_IBRS_ALL) {
		m->used |= MITIGATION_IBRS_ALL;
	} else if (traits & RETBLEED || caps & CAP_RSBA) {
		need(m, MITIGATION_IBRS, ibrs);
	}
	if (m->used & MITIGATION_IBRS_ALL && !(caps & CAP_BHI_NO) &&
	    p->leaf_72_edx & LEAF_72_EDX_BHI_CTRL) {
		m->used |= MITIGATION_BHI;
		m->spec_ctrl |= SPEC_CTRL_BHI_DIS_S;
	}
	if (m->used & (MITIGATION_IBRS | MITIGATION_IBRS_ALL)) {
		m->spec_ctrl |= SPEC_CTRL_IBRS;
	}
	if (returns_are_guests(p, traits)) {
		m->used |= MITIGATION_RSB;
	}
	decide_buffers(p, traits, m);
	if (!(traits & NO_MULTIHIT) && !(caps & CAP_PSCHANGE_MC_NO)) {
		m->used |= MITIGATION_SPLIT;
	}
}

/* SRSO: Zen 1 to 4, and Zen 5 between guest and host alone; without a sibling Zen 1 and 2 have it
 * not. */
static void decide_srso(const struct processor *p, struct mitigations *m)
{
	const bool ibpb = p->leaf_88_ebx & LEAF_88_EBX_IBPB;

	if (p->family < 0x17 || p->family > 0x1a || p->leaf_821_eax & LEAF_821_EAX_SRSO_NO ||
	    (p->family < 0x19 && !p->smt)) {
		return;
	}
	if (p->leaf_821_eax & LEAF_821_EAX_BP_SPEC_REDUCE) {
		m->used |= MITIGATION_SPEC_REDUCE;
		return;
	}
	need(m, MITIGATION_IBPB_EXIT,
	     ibpb && (p->family != 0x19 || p->leaf_821_eax & LEAF_821_EAX_IBPB_BRTYPE));
}

static void decide_amd(const struct processor *p, struct mitigations *m)
{
	const bool ibpb = p->leaf_88_ebx & LEAF_88_EBX_IBPB;

	need(m, MITIGATION_IBPB, ibpb);
	if (p->leaf_821_eax & LEAF_821_EAX_AUTO_IBRS) {
		m->used |= MITIGATION_AUTO_IBRS;
	} else {
		m->used |= MITIGATION_RSB;
	}
	/* Branch type confusion (retbleed): Bulldozer to Zen 2. */
	if (p->family >= 0x15 && p->family <= 0x18 && !(p->leaf_88_ebx & LEAF_88_EBX_BTC_NO)) {
		need(m, MITIGATION_IBPB_EXIT, ibpb);
	}
	decide_srso(p, m);
	/* TSA: Zen 3 and 4. */
	if (p->family == 0x19 && (p->leaf_821_ecx & LEAF_821_ECX_TSA_NO) != LEAF_821_ECX_TSA_NO) {
		need(m, MITIGATION_VERW, p->leaf_821_eax & LEAF_821_EAX_VERW_CLEAR);
	}
}

struct mitigations mitigation_decide(const struct processor *p)
{
	struct mitigations m = {0};

	if (p->is_amd) {
		decide_amd(p, &m);
	} else {
		decide_intel(p, &m);
	}
	return m;
}
