/*
 * tlfs/cpuid*.c: what root and child see of a machine, the hypervisor's leaves, topology, the
 * parent's answers.
 */
#include "tests/fake/guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "tlfs/cpuid.h"
#include "tlfs/lapic.h"

#define ANY UINT32_MAX

static struct partition *p;
static struct vp *vp;

/* A machine that has everything: so what is not hidden on purpose shows. */
static void everything(void)
{
	static const struct guest_leaf leaves[] = {
		{0x0, ANY, {0x20, 1, 2, 3}},
		{0x1, ANY, {0x800F12, 0x03080855, 0x7FFFFFFF, 0xFFFFFFFF}},
		{0x4, 0, {0xFC004121, 11, 12, 13}}, /* L1, shared by 2 threads of 64 cores */
		{0x4, 1, {0xFC0FC163, 11, 12, 13}}, /* L3, shared by 64 ids */
		{0x5, ANY, {0x40, 0x40, 3, 0x11}},
		{0x6, ANY, {0xFFFFFFFF, 2, 0xFFFFFFFF, 0}},
		{0x7, 0, {2, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF}},
		{0x7, 1, {0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF}},
		{0x7, 2, {0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF}},
		{0xA, ANY, {0x07300404, 0, 0, 0x603}},
		{0xB, 0, {1, 2, 0x100, 77}},
		{0xD, 0, {0x2E7, 0x240, 0xA88, 0}},
		{0xD, 1, {0x1F, 0x240, 0x1800, 0}},
		{0xD, 2, {256, 576, 0, 0}},
		{0xD, 5, {64, 1088, 0, 0}},
		{0xD, 6, {512, 1152, 0, 0}},
		{0xD, 7, {1024, 1664, 0, 0}},
		{0xD, 9, {8, 2688, 2, 0}}, /* aligned when compacted */
		{0x14, ANY, {1, 0xF, 7, 0}},
		{0x80000000, ANY, {0x80000026, 1, 2, 3}},
		{0x80000001, ANY, {0x800F12, 0, 0xFFFFFFFF, 0xFFFFFFFF}},
		{0x80000002, ANY, {0x20444D41, 5, 6, 7}},
		{0x80000007, ANY, {1, 2, 3, 0xFFFFFFFF}},
		{0x80000008, ANY, {0x3030, 0xFFFFFFFF, 0x603F, 0x10007}},
		{0x8000000A, ANY, {1, 0x8000, 0, 0xFFFFFFFF}},
		{0x8000001D, 0, {0x4121, 1, 2, 3}},
		{0x8000001E, ANY, {77, 0x103, 0x301, 0}},
		{0x8000001F, ANY, {0xF, 0x16F, 0x1FD, 1}},
		{0x80000021, ANY, {0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0}},
	};

	memcpy(machine.leaves, leaves, sizeof(leaves));
	plat_info.xsave_features = 0x2E7;
}

static void create(bool root, uint32_t count)
{
	p = guest_prepare(root);
	everything();
	guest_add_vps(p, count, NULL);
	vp = p->vps[0];
}

static int setup_child(void **state)
{
	(void)state;
	create(false, 1);
	return 0;
}

static int setup_root(void **state)
{
	(void)state;
	create(true, 1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	guest_destroy(p);
	return 0;
}

static uint32_t get(uint32_t leaf, uint32_t subleaf, unsigned int reg)
{
	uint32_t out[4];

	assert_int_equal(cpuid_read(vp, leaf, subleaf, out), ACCESS_OK);
	return out[reg];
}

static void assert_empty(uint32_t leaf, uint32_t subleaf)
{
	for (unsigned int reg = EAX; reg <= EDX; reg++) {
		assert_int_equal(get(leaf, subleaf, reg), 0);
	}
}

static void assert_bit(uint32_t leaf, unsigned int reg, unsigned int bit, bool wanted)
{
	if ((get(leaf, 0, reg) >> bit & 1) != wanted) {
		fail_msg("leaf %#x register %u bit %u is %d", leaf, reg, bit, !wanted);
	}
}

/* ---- what nobody sees ---- */

/*
 * A processor without virtualization; MWAIT hidden; no monitoring whose interrupts are the
 * hypervisor's.
 */
static void hidden_from_all(void **state)
{
	static const struct {
		uint32_t leaf;
		unsigned int reg, bit;
	} bits[] = {
		{1, ECX, 3},           {1, ECX, 5},           {1, ECX, 6},
		{1, ECX, 15},          {1, EDX, 21},          {7, EBX, 2},
		{7, EBX, 25},          {7, ECX, 7},           {7, EDX, 20},
		{7, EDX, 24},          {0x80000001, ECX, 2},  {0x80000001, ECX, 10},
		{0x80000001, ECX, 12}, {0x80000001, ECX, 15}, {0x80000001, ECX, 23},
		{0x80000001, ECX, 29}, {0x80000008, EBX, 27}, {0x80000021, EAX, 8},
	};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_COUNT(bits); i++) {
		assert_bit(bits[i].leaf, bits[i].reg, bits[i].bit, false);
	}
	assert_empty(0x5, 0);
	assert_empty(0xA, 0);
	assert_empty(0x14, 0);
	assert_empty(0x8000000A, 0);
	assert_empty(0x8000001F, 0);
	assert_int_equal(get(6, 0, ECX), 0);
	assert_bit(6, EAX, 2, true); /* ARAT */
}

/* ---- the root ---- */

static void root_sees_the_machine(void **state)
{
	(void)state;
	assert_int_equal(get(0, 0, EAX), 0x20);
	assert_int_equal(get(1, 0, EBX), 0x00080855); /* with the APIC id of its LP */
	assert_int_equal(get(0xB, 0, EDX), 77);
	assert_int_equal(get(0x8000001E, 0, EAX), 77);
	assert_int_equal(get(4, 1, EAX), 0xFC0FC163);
	assert_int_equal(get(0x80000000, 0, EAX), 0x80000026);
	assert_bit(1, ECX, 31, true);
	assert_bit(1, ECX, 21, true); /* x2APIC, in which it starts */
	assert_bit(1, ECX, 24, true); /* TSC deadline: the core's */
	assert_bit(7, ECX, 3, true);  /* protection keys, as PKRU is in the XSAVE area */
	assert_int_equal(get(0x80000007, 0, EDX), 1 << 8);
	plat_info.tsc_invariant = false;
	assert_int_equal(get(0x80000007, 0, EDX), 0);
}

/*
 * abi.md's profile: CreatePartitions, and neither CpuManagement nor Isolation; from the privileges
 * as they are.
 */
static void privileges_are_told(void **state)
{
	(void)state;
	p->privileges = 0x123456789ABCDEFull;
	assert_int_equal(get(HYPERV_CPUID_FEATURES, 0, EAX), 0x89ABCDEF);
	assert_int_equal(get(HYPERV_CPUID_FEATURES, 0, EBX), 0x01234567);
	assert_int_equal(get(HYPERV_CPUID_FEATURES, 0, ECX),
			 1 << 9); /* to who creates partitions */
	p->privileges = ~(uint64_t)0 << 33;
	assert_int_equal(get(HYPERV_CPUID_FEATURES, 0, ECX), 0);
}

/* ---- the hypervisor's leaves ---- */

static void hypervisor_leaves(void **state)
{
	(void)state;
	assert_int_equal(get(0x40000000, 0, EAX), 0x4000000C);
	assert_int_equal(get(0x40000000, 0, EBX), 0x7263694D); /* "Microsoft Hv" */
	assert_int_equal(get(0x40000000, 0, ECX), 0x666F736F);
	assert_int_equal(get(0x40000000, 0, EDX), 0x76482074);
	assert_int_equal(get(0x40000001, 0, EAX), 0x31237648);
	assert_int_equal(get(0x40000002, 0, EBX), 10 << 16);
	assert_int_equal(get(0x40000005, 0, EAX), HV_MAX_VPS);
	assert_int_equal(get(0x40000005, 0, EBX), 4);
	for (uint32_t leaf = 0x40000007; leaf <= 0x4000000C; leaf++) {
		assert_empty(leaf, 0);
	}
	for (uint32_t leaf = 0x40000080; leaf <= 0x40000082;
	     leaf++) { /* abi.md A1: zero when there is no such stack */
		assert_empty(leaf, 0);
	}
	assert_empty(0x400000FF, 0);
}

/*
 * Each recommendation and feature needs its synthetic feature, or a guest would be sent into
 * refusals.
 */
static void features_follow_the_property(void **state)
{
	union hv_partition_synthetic_processor_features some = {.as_uint64 = {0}};

	(void)state;
	assert_int_equal(get(HYPERV_CPUID_ENLIGHTMENT_INFO, 0, EAX),
			 HV_X64_REMOTE_TLB_FLUSH_RECOMMENDED | HV_X64_APIC_ACCESS_RECOMMENDED |
				 HV_X64_RELAXED_TIMING_RECOMMENDED |
				 HV_DEPRECATING_AEOI_RECOMMENDED | HV_X64_CLUSTER_IPI_RECOMMENDED |
				 HV_X64_EX_PROCESSOR_MASKS_RECOMMENDED);
	assert_int_equal(get(HYPERV_CPUID_ENLIGHTMENT_INFO, 0, EBX), 0xFFF);
	assert_int_equal(get(HYPERV_CPUID_ENLIGHTMENT_INFO, 0, ECX), 40);
	assert_int_equal(get(HYPERV_CPUID_FEATURES, 0, EDX), 0x000EC530);
	p->synthetic_features = 0;
	assert_int_equal(get(HYPERV_CPUID_ENLIGHTMENT_INFO, 0, EAX),
			 HV_X64_RELAXED_TIMING_RECOMMENDED | HV_DEPRECATING_AEOI_RECOMMENDED);
	assert_int_equal(get(HYPERV_CPUID_ENLIGHTMENT_INFO, 0, EBX), 0xFFFFFFFF);
	assert_int_equal(get(HYPERV_CPUID_FEATURES, 0, EDX), 0x00060410);
	some.tb_flush_hypercalls = 1;
	p->synthetic_features = some.as_uint64[0];
	assert_bit(HYPERV_CPUID_ENLIGHTMENT_INFO, EAX, 2, true);
	assert_bit(HYPERV_CPUID_ENLIGHTMENT_INFO, EAX, 10, false);
}

/* ---- a child ---- */

static void child_leaves(void **state)
{
	(void)state;
	assert_int_equal(get(0, 0, EAX), 0xD);
	assert_int_equal(get(0x80000000, 0, EAX), 0x80000021);
	assert_int_equal(get(0x80000002, 0, EAX), 0x20444D41); /* the brand string */
	assert_int_equal(get(0x80000008, 0, EAX), 0x3030);
	assert_empty(0x7, 2);
	assert_empty(0x1F, 0);
	assert_empty(0x80000022, 0);
	assert_int_equal(get(0x7, 0, EAX), 1);
	assert_bit(1, EDX, 7, true); /* MCE */
	assert_bit(7, ECX, 3, false);
	assert_bit(0x80000001, EDX, 29, true);
}

/*
 * A feature bit of the partition is a CPUID bit of its guest, and the other way round for the
 * machine.
 */
static void features_by_property(void **state)
{
	uint64_t banks[2];

	(void)state;
	cpuid_machine_features(banks);
	assert_true(banks[0] & 1ull << 16); /* AES */
	machine.leaves[1].out[ECX] &= ~(1u << 25);
	cpuid_machine_features(banks);
	assert_false(banks[0] & 1ull << 16);
	machine.leaves[1].out[ECX] |= 1u << 25;
	assert_bit(1, ECX, 25, true);
	p->processor_features[0] = ~(1ull << 16);
	p->processor_features[1] = ~(1ull << 17 | 1ull << 18);
	cpuid_create(p);
	assert_bit(1, ECX, 25, false);
	assert_bit(1, ECX, 24, false); /* TSC deadline */
	assert_bit(7, EBX, 1, false);  /* TSC_ADJUST */
	assert_bit(1, ECX, 0, true);
}

/* A machine with few leaves: what it would answer beyond them is not taken for features. */
static void leaves_that_the_machine_lacks(void **state)
{
	uint64_t banks[2];

	(void)state;
	machine.leaves[0].out[EAX] = 4;
	cpuid_machine_features(banks);
	assert_false(banks[0] & 1ull << 23); /* SMEP, leaf 7 */
	assert_true(banks[0] & 1);
	assert_int_equal(cpuid_machine_xsave_features() & 2, 0);
}

static void x2apic_by_creation_flag(void **state)
{
	(void)state;
	assert_bit(1, ECX, 21, true);
	p->create_flags &= ~HV_PARTITION_CREATION_FLAG_X2APIC_CAPABLE;
	cpuid_create(p);
	assert_bit(1, ECX, 21, false);
}

/*
 * What the processor says of its weaknesses, a child hears: so its kernel mitigates what is needed
 * and no more. Controls that it could not have (TSX_CTRL, bit 7) it does not hear of.
 */
static void weaknesses_are_told(void **state)
{
	uint64_t value;

	(void)state;
	plat_info.arch_capabilities = 1ull << 62 | 0xFFFFFFFF;
	assert_bit(7, EDX, 10, true);  /* MD_CLEAR */
	assert_bit(7, EDX, 28, false); /* L1D_FLUSH is for hypervisors */
	assert_bit(7, EDX, 29, true);
	assert_bit(0x80000008, EBX, 29, true);                        /* BTC_NO */
	assert_bit(0x80000021, EAX, 29, true);                        /* SRSO_NO */
	assert_int_equal(get(0x80000021, 0, ECX), 1u << 1 | 1u << 2); /* TSA_SQ_NO, TSA_L1_NO */
	assert_int_equal(msr_read(vp, 0x10A, &value), ACCESS_OK);
	assert_int_equal(value, 1ull << 62 | 0x1D1AE17F);
	assert_int_equal(msr_write(vp, 0x10A, value), ACCESS_FAULT);
	p->processor_features[0] &= ~(1ull << 51);
	cpuid_create(p);
	assert_int_equal(msr_read(vp, 0x10A, &value), ACCESS_OK);
	assert_int_equal(value & 1, 0); /* RDCL_NO */
	machine.leaves[6].out[EDX] &= ~(1u << 29);
	assert_int_equal(msr_read(vp, 0x10A, &value), ACCESS_FAULT);
	plat_info.arch_capabilities = 0;
}

/* IBRS, STIBP, SSBD, PSFD and IBPB, SBPB: by Intel's bits or AMD's; the root has what leaf 7, 2
 * tells besides. */
static void speculation_controls(void **state)
{
	const bool root = p->id == HV_ROOT_PARTITION;

	(void)state;
	assert_int_equal(p->spec_ctrl_bits, root ? 0x5FF : 0x87);
	assert_int_equal(p->pred_cmd_bits, 0x81);
	machine.leaves[6].out[EDX] = 0;
	machine.leaves[8].out[EDX] = 0;
	machine.leaves[23].out[EBX] = 1u << 12 | 1u << 15;
	machine.leaves[28].out[EAX] = 0;
	cpuid_create(p);
	assert_int_equal(p->spec_ctrl_bits, 2);
	assert_int_equal(p->pred_cmd_bits, 1);
	machine.leaves[23].out[EBX] = 0;
	cpuid_create(p);
	assert_int_equal(p->spec_ctrl_bits, 0);
	assert_int_equal(p->pred_cmd_bits, 0);
}

/* HV_X64_MSR_TSC_INVARIANT_CONTROL shows the invariant TSC. */
static void invariant_tsc_on_request(void **state)
{
	(void)state;
	assert_empty(0x80000007, 0);
	assert_int_equal(msr_write(vp, HV_X64_MSR_TSC_INVARIANT_CONTROL, 1), ACCESS_OK);
	assert_int_equal(get(0x80000007, 0, EDX), 1 << 8);
	plat_info.tsc_invariant = false;
	assert_empty(0x80000007, 0);
}

/* ---- what follows the state ---- */

static void osxsave_follows_cr4(void **state)
{
	(void)state;
	machine.cr4 = 0;
	assert_bit(1, ECX, 27, false);
	machine.cr4 = 1 << 18 | 1 << 22;
	assert_bit(1, ECX, 27, true);
	assert_bit(7, ECX, 4,
		   p->id == HV_ROOT_PARTITION); /* OSPKE: only where there are protection keys */
	p->xsave_features = 0;
	cpuid_create(p);
	if (p->id != HV_ROOT_PARTITION) {
		assert_bit(1, ECX, 27, false);
	}
}

static void apic_bit_follows_apic_base(void **state)
{
	(void)state;
	assert_bit(1, EDX, 9, true);
	assert_int_equal(lapic_msr_write(vp, LAPIC_MSR_BASE, LAPIC_BASE_DEFAULT | LAPIC_BASE_BSP),
			 ACCESS_OK);
	assert_bit(1, EDX, 9, false);
}

/* ---- XSAVE (SDM vol. 1, "XSAVE-Supported Features and State-Component Bitmaps") ---- */

static void xsave_sizes(void **state)
{
	(void)state;
	machine.xcr0 = 3;
	assert_int_equal(get(0xD, 0, EAX), 0x2E7);
	assert_int_equal(get(0xD, 0, EBX), 576);
	assert_int_equal(get(0xD, 0, ECX), 2696);
	machine.xcr0 = 0x2E7;
	assert_int_equal(get(0xD, 0, EBX), 2696);
	/* Compacted: 576 + 256 + 64 + 512 + 1024 = 2432, a multiple of 64, + 8. */
	assert_int_equal(get(0xD, 1, EBX), 2440);
	assert_int_equal(get(0xD, 1, ECX), 0); /* no supervisor states */
	assert_int_equal(get(0xD, 1, EAX), 0xF);
	machine.xcr0 = 7;
	assert_int_equal(get(0xD, 0, EBX), 832);
	assert_int_equal(get(0xD, 2, EAX), 256);
	assert_empty(0xD, 3);
	assert_empty(0xD, 63);
	assert_empty(0xD, 64);
	assert_empty(0xD, UINT32_MAX);
}

static void xsave_by_property(void **state)
{
	(void)state;
	p->xsave_features = 1 | 1 << 3; /* XSAVE and AVX2, without AVX */
	cpuid_create(p);
	assert_int_equal(get(0xD, 0, EAX), 3);
	assert_bit(1, ECX, 28, false);
	assert_bit(7, EBX, 5, false);  /* AVX2 has no registers then */
	assert_bit(1, ECX, 29, false); /* nor F16C */
	p->xsave_features = 1 | 1 << 2;
	cpuid_create(p);
	assert_int_equal(get(0xD, 0, EAX), 7);
	assert_bit(1, ECX, 28, true);
	assert_bit(7, EBX, 16, false);
	p->xsave_features = 0;
	cpuid_create(p);
	assert_empty(0xD, 0);
	assert_empty(0xD, 2);
	assert_bit(1, ECX, 26, false);
	assert_bit(1, ECX, 28, false);
}

/* A home without XSAVE: even the root does not see it. */
static void no_xsave(void **state)
{
	(void)state;
	plat_info.xsave_size_max = 0;
	cpuid_create(p);
	assert_bit(1, ECX, 26, false);
	assert_bit(1, ECX, 28, false);
	assert_empty(0xD, 0);
	assert_empty(0xD, 1);
}

/* ---- topology ---- */

static void destroy_and_create(uint32_t count, uint64_t per_socket, uint64_t flags)
{
	guest_destroy(p);
	p = guest_prepare(false);
	everything();
	p->processors_per_socket = per_socket;
	p->create_flags |= flags;
	guest_add_vps(p, count, NULL);
}

static void one_socket(void **state)
{
	(void)state;
	destroy_and_create(6, 0, 0);
	vp = p->vps[5];
	assert_int_equal(get(1, 0, EBX), 5u << 24 | 8 << 16 | 0x08 << 8);
	assert_int_equal(get(1, 0, EBX), 5u << 24 | 8 << 16 | 0x08 << 8);
	assert_bit(1, EDX, 28, true);
	assert_int_equal(get(0xB, 0, EAX), 0);
	assert_int_equal(get(0xB, 0, EBX), 1);
	assert_int_equal(get(0xB, 0, ECX), 0x100);
	assert_int_equal(get(0xB, 0, EDX), 5);
	assert_int_equal(get(0xB, 1, EAX), 3);
	assert_int_equal(get(0xB, 1, EBX), 6);
	assert_int_equal(get(0xB, 1, ECX), 0x201);
	assert_int_equal(get(0xB, 2, EBX), 0);
	assert_int_equal(get(0xB, 2, ECX),
			 2); /* SDM: an invalid level gives the subleaf back, and the id */
	assert_int_equal(get(0xB, 2, EDX), 5);
	assert_int_equal(get(0x80000008, 0, ECX), 3 << 12 | 5);
	assert_int_equal(get(0x8000001E, 0, EAX), 5);
	assert_int_equal(get(0x8000001E, 0, EBX), 5);
	assert_int_equal(get(0x8000001E, 0, ECX), 0);
}

static void sockets_and_threads(void **state)
{
	(void)state;
	destroy_and_create(8, 4, HV_PARTITION_CREATION_FLAG_SMT_ENABLED_GUEST);
	vp = p->vps[7]; /* socket 1, core 1, thread 1 */
	assert_int_equal(get(1, 0, EBX) >> 16 & 0xFF, 4);
	assert_int_equal(get(0xB, 0, EAX), 1);
	assert_int_equal(get(0xB, 0, EBX), 2);
	assert_int_equal(get(0xB, 1, EAX), 2);
	assert_int_equal(get(0xB, 1, EBX), 4);
	assert_int_equal(get(0x8000001E, 0, EBX), 1 << 8 | 1);
	assert_int_equal(get(0x8000001E, 0, ECX), 1);
	assert_int_equal(get(4, 0, EAX) >> 14 & 0xFFF, 1); /* L1: the threads of a core */
	assert_int_equal(get(4, 1, EAX) >> 14 & 0xFFF, 3); /* L3: the socket */
	assert_int_equal(get(4, 0, EAX) >> 26, 1);         /* cores of a socket, less one */
	assert_int_equal(get(4, 0, EBX), 11);
	assert_empty(4, 2);
	assert_int_equal(get(0x8000001D, 0, EAX) >> 14 & 0xFFF, 1);
}

static void one_vp(void **state)
{
	(void)state;
	assert_int_equal(get(1, 0, EBX) >> 16, 1);
	assert_bit(1, EDX, 28, false); /* no siblings */
	assert_int_equal(get(0xB, 1, EBX), 1);
	assert_int_equal(get(0x80000008, 0, ECX), 0);
}

/* ---- the parent's answers ---- */

static hv_status_t answer(uint32_t vp_index, uint32_t leaf, int64_t subleaf, uint32_t eax,
			  uint32_t mask)
{
	struct hv_register_x64_cpuid_result_parameters result = {
		.input = {.eax = leaf,
			  .ecx = subleaf < 0 ? 0 : (uint32_t)subleaf,
			  .subleaf_specific = subleaf >= 0},
		.result = {.eax = eax, .eax_mask = mask},
	};

	return cpuid_override_add(p, vp_index, &result);
}

static void answers(void **state)
{
	(void)state;
	assert_int_equal(answer(HV_ANY_VP, 0x40000082, -1, 4, ~0u), HV_STATUS_SUCCESS);
	assert_int_equal(get(0x40000082, 0, EAX), 4);
	assert_int_equal(get(0x40000081, 0, EAX), 0);
	assert_int_equal(answer(HV_ANY_VP, 0x80000002, -1, 0x58, 0xFF), HV_STATUS_SUCCESS);
	assert_int_equal(get(0x80000002, 0, EAX), 0x20444D58); /* only the bits of the mask */
	assert_int_equal(get(0x80000002, 0, EBX), 5);
	assert_int_equal(answer(HV_ANY_VP, 0x80000002, -1, 0x59, 0xFF), HV_STATUS_SUCCESS);
	assert_int_equal(get(0x80000002, 0, EAX), 0x20444D59); /* replaced */
}

/* The closest key wins, whatever came first. */
static void closest_answer(void **state)
{
	(void)state;
	answer(HV_ANY_VP, 0x4, -1, 1, ~0u);
	answer(HV_ANY_VP, 0x4, 1, 2, ~0u);
	answer(0, 0x4, -1, 3, ~0u);
	assert_int_equal(get(0x4, 0, EAX), 3);
	assert_int_equal(get(0x4, 1, EAX), 3);
	answer(0, 0x4, 1, 4, ~0u);
	answer(1, 0x4, 1, 5, ~0u);
	assert_int_equal(get(0x4, 1, EAX), 4);
	assert_int_equal(get(0x4, 2, EAX), 3);
	answer(0, 0xD, 1, 4, ~0u);
	answer(0, 0xD, -1, 3, ~0u);
	answer(HV_ANY_VP, 0xD, 1, 2, ~0u);
	answer(HV_ANY_VP, 0xD, -1, 1, ~0u);
	assert_int_equal(get(0xD, 1, EAX), 4);
	assert_int_equal(get(0xD, 0, EAX), 3);
}

/* No answer pins what follows the state, unless the parent insists. */
static void answers_and_state(void **state)
{
	struct hv_register_x64_cpuid_result_parameters result = {
		.input = {.eax = 1},
		.result = {.ecx = 0xFFFFFFFF, .ecx_mask = 0xFFFFFFFF},
	};

	(void)state;
	machine.cr4 = 0;
	assert_bit(1, ECX, 6, false); /* before there is an answer */
	assert_int_equal(cpuid_override_add(p, HV_ANY_VP, &result), HV_STATUS_SUCCESS);
	assert_bit(1, ECX, 27, false);
	assert_bit(1, ECX, 6, true);
	result.input.always_override = 1;
	assert_int_equal(cpuid_override_add(p, HV_ANY_VP, &result), HV_STATUS_SUCCESS);
	assert_bit(1, ECX, 27, true);
}

/*
 * More than a page of answers; and none when the pool is empty, without harm to those that are
 * there.
 */
static void many_answers(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 200; i++) {
		assert_int_equal(answer(HV_ANY_VP, 0x40000080, i, i, ~0u), HV_STATUS_SUCCESS);
	}
	for (uint32_t i = 0; i < 200; i++) {
		assert_int_equal(get(0x40000080, i, EAX), i);
	}
	machine.pages_left = 0;
	for (uint32_t i = 200; i < 300; i++) {
		if (answer(HV_ANY_VP, 0x40000080, i, i, ~0u) != HV_STATUS_SUCCESS) {
			break;
		}
	}
	assert_int_equal(answer(HV_ANY_VP, 0x40000080, 1000, 1, ~0u),
			 HV_STATUS_INSUFFICIENT_MEMORY);
	assert_int_equal(answer(HV_ANY_VP, 0x40000080, 7, 70, ~0u),
			 HV_STATUS_SUCCESS); /* a replacement needs none */
	assert_int_equal(get(0x40000080, 7, EAX), 70);
}

/*
 * An installed CPUID intercept: the parent is asked for leaves that it left no answer to, with the
 * default at hand.
 */
static void intercepted(void **state)
{
	uint32_t out[4];

	(void)state;
	assert_int_equal(get(1, 0, EAX), 0x800F12);
	p->intercept_cpuid = true;
	assert_int_equal(cpuid_read(vp, 0x1, 0, out), ACCESS_PARENT);
	answer(HV_ANY_VP, 0x1, -1, 0x1234, ~0u);
	assert_int_equal(cpuid_read(vp, 0x1, 0, out), ACCESS_OK);
	assert_int_equal(out[EAX], 0x1234);
	assert_int_equal(cpuid_read(vp, 0x40000001, 0, out), ACCESS_PARENT);
	assert_int_equal(out[EAX], 0x31237648);
}

#define CHILD(test) cmocka_unit_test_setup_teardown(test, setup_child, teardown)
#define ROOT(test)  cmocka_unit_test_setup_teardown(test, setup_root, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CHILD(hidden_from_all),
		ROOT(hidden_from_all),
		ROOT(root_sees_the_machine),
		ROOT(privileges_are_told),
		CHILD(privileges_are_told),
		ROOT(hypervisor_leaves),
		CHILD(hypervisor_leaves),
		CHILD(features_follow_the_property),
		CHILD(child_leaves),
		CHILD(features_by_property),
		CHILD(leaves_that_the_machine_lacks),
		CHILD(x2apic_by_creation_flag),
		CHILD(weaknesses_are_told),
		CHILD(speculation_controls),
		ROOT(speculation_controls),
		CHILD(invariant_tsc_on_request),
		CHILD(osxsave_follows_cr4),
		ROOT(osxsave_follows_cr4),
		CHILD(apic_bit_follows_apic_base),
		ROOT(xsave_sizes),
		CHILD(xsave_by_property),
		CHILD(no_xsave),
		ROOT(no_xsave),
		CHILD(one_socket),
		CHILD(sockets_and_threads),
		CHILD(one_vp),
		CHILD(answers),
		CHILD(closest_answer),
		CHILD(answers_and_state),
		CHILD(many_answers),
		CHILD(intercepted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
