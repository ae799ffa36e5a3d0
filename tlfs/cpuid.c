/*
 * CPUID as a guest sees it: the machine's answer, cut down to what the partition may see
 * (cpuid_features.c), with the hypervisor's leaves, and for a child the topology of its own VPs and
 * the parent's answers laid over. Last comes what follows the VP's state, which no answer of the
 * parent may contradict: OSXSAVE, the APIC, the size of the XSAVE area.
 */
#include "tlfs/cpuid.h"
#include "tlfs/lapic.h"

#define CHILD_MAX_LEAF          0x0Du
#define CHILD_MAX_EXTENDED_LEAF 0x80000021u
#define LEAF_71_EDX_ROOT        0x4430u /* AVX-VNNI-INT8, AVX-NE-CONVERT, AVX-VNNI-INT16, PREFETCHI */

static void mask(const struct vp *vp, enum cpuid_word word, uint32_t *reg)
{
	*reg &= vp->partition->cpuid_allowed[word];
}

static void clear(uint32_t out[4])
{
	out[EAX] = out[EBX] = out[ECX] = out[EDX] = 0;
}

static bool is_root(const struct vp *vp)
{
	return vp->partition->id == HV_ROOT_PARTITION;
}

#define LEAF_6_EAX_SENSORS (1u << 0 | 1u << 6) /* core and package temperature */
#define LEAF_6_EAX_ARAT    (1u << 2)           /* the APIC timer runs always */

/* ---- feature leaves, for root and child ---- */

/* OSXSAVE and the APIC bit. */
static void follow_state_1(struct vp *vp, uint32_t out[4])
{
	if ((out[ECX] & CPUID_1_ECX_XSAVE) && (plat_cr4(vp) & CR4_OSXSAVE)) {
		out[ECX] |= CPUID_1_ECX_OSXSAVE;
	} else {
		out[ECX] &= ~CPUID_1_ECX_OSXSAVE;
	}
	if (!(vp->lapic.base & LAPIC_BASE_ENABLE)) {
		out[EDX] &= ~CPUID_1_EDX_APIC;
	}
}

static void leaf_1(struct vp *vp, uint32_t out[4])
{
	const struct partition *p = vp->partition;

	out[EBX] = (out[EBX] & 0xFFFFFF) | vp->apic_id << 24;
	mask(vp, WORD_1_ECX, &out[ECX]);
	mask(vp, WORD_1_EDX, &out[EDX]);
	out[ECX] |= HYPERV_HYPERVISOR_PRESENT_BIT;
	if (p->create_flags & HV_PARTITION_CREATION_FLAG_X2APIC_CAPABLE) {
		out[ECX] |= 1u << 21;
	}
	if (is_root(vp) || p->processor_features[1] >> 17 & 1) {
		out[ECX] |= 1u << 24; /* TSC deadline */
	}
	if (!is_root(vp)) {
		cpuid_topology_leaf(vp, 0x1, 0, out);
	}
	follow_state_1(vp, out);
}

/* OSPKE */
static void follow_state_7(struct vp *vp, uint32_t out[4])
{
	out[ECX] &= ~CPUID_7_ECX_OSPKE;
	if ((out[ECX] & CPUID_7_ECX_PKU) && (plat_cr4(vp) & CR4_PKE)) {
		out[ECX] |= CPUID_7_ECX_OSPKE;
	}
}

static void leaf_7(struct vp *vp, uint32_t subleaf, uint32_t out[4])
{
	if (subleaf == 0) {
		mask(vp, WORD_7_EBX, &out[EBX]);
		mask(vp, WORD_7_ECX, &out[ECX]);
		mask(vp, WORD_7_EDX, &out[EDX]);
		if (!(plat_info.xsave_features & 1u << 9)) {
			out[ECX] &=
				~CPUID_7_ECX_PKU; /* protection keys: PKRU could not be switched */
		}
		if (is_root(vp) || vp->partition->processor_features[1] >> 18 & 1) {
			out[EBX] |= 1u << 1; /* TSC_ADJUST */
		}
		if (!is_root(vp) && out[EAX] > 1) {
			out[EAX] = 1;
		}
		follow_state_7(vp, out);
	} else if (subleaf == 1) {
		mask(vp, WORD_71_EAX, &out[EAX]);
		out[EBX] = out[ECX] = 0;
		out[EDX] &= is_root(vp) ? LEAF_71_EDX_ROOT : 0;
	} else if (!is_root(vp)) {
		clear(out);
	}
}

/*
 * Leaf 0xD: size in standard form of the components `enabled`; compacted: as XSAVES lays them out.
 */
static uint32_t xsave_size(uint64_t enabled, bool compacted)
{
	uint32_t size = 512 + 64;

	for (uint32_t i = 2; i < 63; i++) {
		uint32_t part[4], start;

		if (!(enabled >> i & 1)) {
			continue;
		}
		plat_cpuid(0xD, i, part);
		start = compacted ? (part[ECX] & 2 ? (size + 63) & ~63u : size) : part[EBX];
		if (start + part[EAX] > size) {
			size = start + part[EAX];
		}
	}
	return size;
}

static void leaf_d(struct vp *vp, uint32_t subleaf, uint32_t out[4])
{
	uint64_t offered = cpuid_xsave_offered(vp->partition);

	if (!offered) {
		clear(out);
	} else if (subleaf == 0) {
		uint64_t user = offered & (out[EAX] | (uint64_t)out[EDX] << 32);

		out[EAX] = (uint32_t)user;
		out[EDX] = (uint32_t)(user >> 32);
		out[EBX] = xsave_size(plat_xcr0(vp), false);
		out[ECX] = xsave_size(user, false);
	} else if (subleaf == 1) {
		mask(vp, WORD_D1_EAX, &out[EAX]);
		out[EBX] = out[EAX] & 0xA ? xsave_size(plat_xcr0(vp), true) : 0;
		out[ECX] = out[EDX] = 0; /* no supervisor states: IA32_XSS is 0 */
	} else if (subleaf > 62 || !(offered >> subleaf & 1)) {
		clear(out);
	}
}

static void leaf_81(const struct vp *vp, uint32_t out[4])
{
	mask(vp, WORD_81_ECX, &out[ECX]);
	mask(vp, WORD_81_EDX, &out[EDX]);
}

/*
 * The invariant TSC shows when the machine has it and, to a child, when it asked
 * (HV_X64_MSR_TSC_INVARIANT_CONTROL).
 */
static void leaf_87(const struct vp *vp, uint32_t out[4])
{
	bool shown = __atomic_load_n(&vp->partition->tsc_invariant_control, __ATOMIC_RELAXED) &
		     HV_EXPOSE_INVARIANT_TSC;

	if (!is_root(vp)) {
		shown = shown && (vp->partition->processor_features[1] >> 1 & 1);
	} else {
		shown = true;
	}
	clear(out);
	if (plat_info.tsc_invariant && shown) {
		out[EDX] = 1u << 8;
	}
}

/* ---- a leaf of the root ---- */

static void root_leaf(struct vp *vp, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
	switch (leaf) {
	case 0x1:
		leaf_1(vp, out);
		break;
	case 0x5:        /* MONITOR */
	case 0xA:        /* performance monitoring */
	case 0x12:       /* SGX */
	case 0x14:       /* processor trace */
	case 0x8000000A: /* SVM */
	case 0x8000001B: /* instruction-based sampling */
	case 0x8000001C: /* lightweight profiling */
	case 0x8000001F: /* memory encryption */
	case 0x80000022: /* performance monitoring */
		clear(out);
		break;
	case 0x6:
		out[EAX] = (out[EAX] & LEAF_6_EAX_SENSORS) | LEAF_6_EAX_ARAT;
		out[EBX] = out[ECX] = out[EDX] = 0;
		break;
	case 0x7:
		leaf_7(vp, subleaf, out);
		break;
	case 0xD:
		leaf_d(vp, subleaf, out);
		break;
	case 0x80000001:
		leaf_81(vp, out);
		break;
	case 0x80000007:
		leaf_87(vp, out);
		break;
	case 0x80000008:
		mask(vp, WORD_88_EBX, &out[EBX]);
		break;
	case 0x80000021:
		mask(vp, WORD_821_EAX, &out[EAX]);
		break;
	default:
		break;
	}
}

/* ---- a leaf of a child ---- */

static void child_leaf(struct vp *vp, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
	switch (leaf) {
	case 0x0:
		out[EAX] = CHILD_MAX_LEAF;
		break;
	case 0x1:
		leaf_1(vp, out);
		break;
	case 0x2: /* caches and the brand string are the machine's */
	case 0x80000002 ... 0x80000006:
	case 0x80000019 ... 0x8000001A:
		break;
	case 0x4:
	case 0xB:
	case 0x8000001D ... 0x8000001E:
		cpuid_topology_leaf(vp, leaf, subleaf, out);
		break;
	case 0x6:
		clear(out);
		out[EAX] = LEAF_6_EAX_ARAT;
		break;
	case 0x7:
		leaf_7(vp, subleaf, out);
		break;
	case 0xD:
		leaf_d(vp, subleaf, out);
		break;
	case 0x80000000:
		if (out[EAX] > CHILD_MAX_EXTENDED_LEAF) {
			out[EAX] = CHILD_MAX_EXTENDED_LEAF;
		}
		break;
	case 0x80000001:
		leaf_81(vp, out);
		cpuid_topology_leaf(vp, leaf, subleaf, out);
		break;
	case 0x80000007:
		leaf_87(vp, out);
		break;
	case 0x80000008:
		mask(vp, WORD_88_EBX, &out[EBX]);
		out[EDX] = 0;
		cpuid_topology_leaf(vp, leaf, subleaf, out);
		break;
	case 0x80000021:
		mask(vp, WORD_821_EAX, &out[EAX]);
		mask(vp, WORD_821_ECX, &out[ECX]);
		out[EBX] = out[EDX] = 0;
		break;
	default:
		clear(out);
		break;
	}
}

/* ---- together ---- */

/* The parent's answer, over which the VP's state goes again; or its intercept. */
static enum access_result ask_parent(struct vp *vp, uint32_t leaf, uint32_t subleaf,
				     uint32_t out[4])
{
	bool always = false, answered = cpuid_override_apply(vp, leaf, subleaf, out, &always);

	if (answered && !always && leaf == 0x1) {
		follow_state_1(vp, out);
	}
	if (answered && !always && leaf == 0x7 && subleaf == 0) {
		follow_state_7(vp, out);
	}
	return vp->partition->intercept_cpuid && !answered ? ACCESS_PARENT : ACCESS_OK;
}

enum access_result cpuid_read(struct vp *vp, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
	struct partition *p = vp->partition;

	if (leaf >= LEAF_HYPERVISOR && leaf <= LEAF_HYPERVISOR_END) {
		cpuid_hypervisor_leaf(vp, leaf, out);
	} else {
		plat_cpuid(leaf, subleaf, out);
		if (is_root(vp)) {
			root_leaf(vp, leaf, subleaf, out);
		} else {
			child_leaf(vp, leaf, subleaf, out);
		}
	}
	if (__atomic_load_n(&p->cpuid_overrides, __ATOMIC_RELAXED) == NULL && !p->intercept_cpuid) {
		return ACCESS_OK;
	}
	return ask_parent(vp, leaf, subleaf, out);
}
