/*
 * What is done on processors that are sold: CPUID and IA32_ARCH_CAPABILITIES as they answer, and
 * the decision. Bits stand here by their numbers, so that a wrong constant cannot agree with
 * itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hypervisor/arch/x86/mitigation.h"

#define BIT(n) (1u << (n))
#define CAP(n) (1ull << (n))

#define IBPB   MITIGATION_IBPB
#define EXIT   MITIGATION_IBPB_EXIT
#define IBRS   MITIGATION_IBRS
#define ALL    MITIGATION_IBRS_ALL
#define AUTO   MITIGATION_AUTO_IBRS
#define BHI    MITIGATION_BHI
#define REDUCE MITIGATION_SPEC_REDUCE
#define RSB    MITIGATION_RSB
#define VERW   MITIGATION_VERW
#define L1D    MITIGATION_L1D
#define SPLIT  MITIGATION_SPLIT
#define ALL_CPU                                                                                    \
	(BIT(10) | BIT(26) | BIT(28) | BIT(29)) /* MD_CLEAR, IBRS, L1D_FLUSH, capabilities */
#define MMIO_NO (CAP(13) | CAP(14) | CAP(15))

struct row {
	const char *name;
	struct processor p;
	uint32_t used, lacking;
	uint64_t spec_ctrl;
};

/* clang-format off */
static const struct row rows[] = {
	{"Haswell, no microcode", {.family = 6, .model = 0x3c, .stepping = 3},
	 RSB | SPLIT, IBPB | VERW | L1D, 0},
	{"Haswell", {.family = 6, .model = 0x3c, .stepping = 3, .leaf_7_edx = ALL_CPU & ~BIT(29)},
	 IBPB | RSB | VERW | L1D | SPLIT, 0, 0},
	{"Skylake-X", {.family = 6, .model = 0x55, .stepping = 4, .leaf_7_ebx = BIT(11), .leaf_7_edx = ALL_CPU,
		       .capabilities = CAP(2)},
	 IBPB | IBRS | RSB | VERW | L1D | SPLIT, 0, 1},
	{"Cascade Lake", {.family = 6, .model = 0x55, .stepping = 7, .leaf_7_ebx = BIT(11), .leaf_7_edx = ALL_CPU,
			  .capabilities = CAP(0) | CAP(1) | CAP(3) | CAP(5) | CAP(6) | CAP(7) | CAP(17) | CAP(24)},
	 IBPB | ALL | RSB | VERW, 0, 1},
	{"Ice Lake-X", {.family = 6, .model = 0x6a, .stepping = 6, .leaf_7_edx = ALL_CPU,
			.capabilities = CAP(0) | CAP(1) | CAP(3) | CAP(5) | CAP(6) | CAP(8) | CAP(17)},
	 IBPB | ALL | RSB | VERW, 0, 1},
	{"Sapphire Rapids", {.family = 6, .model = 0x8f, .stepping = 8, .leaf_7_edx = ALL_CPU, .leaf_72_edx = BIT(4),
			     .capabilities = CAP(0) | CAP(1) | CAP(3) | CAP(5) | CAP(6) | CAP(8) | MMIO_NO | CAP(24)},
	 IBPB | ALL | BHI, 0, 1 | 1 << 10},
	{"Alder Lake", {.family = 6, .model = 0x97, .stepping = 2, .leaf_7_edx = ALL_CPU, .leaf_72_edx = BIT(4),
			.capabilities = CAP(0) | CAP(1) | CAP(3) | CAP(5) | CAP(6) | CAP(8) | MMIO_NO | CAP(24) | CAP(28)},
	 IBPB | ALL | BHI | VERW, 0, 1 | 1 << 10},
	{"Alder Lake, old microcode", {.family = 6, .model = 0x97, .stepping = 2, .leaf_7_edx = ALL_CPU,
			.capabilities = CAP(0) | CAP(1) | CAP(3) | CAP(5) | CAP(6) | CAP(8) | MMIO_NO | CAP(24)},
	 IBPB | ALL, VERW, 1},
	{"BHI_NO", {.family = 6, .model = 0xcf, .leaf_7_edx = ALL_CPU, .leaf_72_edx = BIT(4),
		    .capabilities = CAP(0) | CAP(1) | CAP(5) | CAP(6) | CAP(8) | CAP(20) | CAP(24)},
	 IBPB | ALL, 0, 1},
	{"Goldmont", {.family = 6, .model = 0x5c, .stepping = 9, .leaf_7_edx = BIT(26) | BIT(29),
		      .capabilities = CAP(27)},
	 IBPB | RSB, 0, 0},
	{"Goldmont, old microcode", {.family = 6, .model = 0x5c, .stepping = 9, .leaf_7_edx = BIT(26)},
	 IBPB | RSB, VERW, 0},
	{"Intel that no table knows", {.family = 6, .model = 0xfe, .leaf_7_edx = ALL_CPU},
	 IBPB | RSB | VERW | L1D | SPLIT, 0, 0},
	{"another vendor's", {.family = 7, .model = 0x55},
	 RSB | SPLIT, IBPB | VERW | L1D, 0},

	{"Zen, no microcode", {.is_amd = true, .family = 0x17, .model = 1},
	 RSB, IBPB | EXIT, 0},
	{"Zen 2", {.is_amd = true, .family = 0x17, .model = 0x31, .smt = true, .leaf_88_ebx = BIT(12) | BIT(14) | BIT(15) | BIT(24)},
	 IBPB | EXIT | RSB, 0, 0},
	{"Zen 3", {.is_amd = true, .family = 0x19, .model = 1, .smt = true, .leaf_88_ebx = BIT(12) | BIT(29),
		   .leaf_821_eax = BIT(5) | BIT(28)},
	 IBPB | EXIT | RSB | VERW, 0, 0},
	{"Zen 3, old microcode", {.is_amd = true, .family = 0x19, .model = 1, .smt = true, .leaf_88_ebx = BIT(12) | BIT(29)},
	 IBPB | RSB, EXIT | VERW, 0},
	{"Zen 4", {.is_amd = true, .family = 0x19, .model = 0x11, .smt = true, .leaf_88_ebx = BIT(12) | BIT(29),
		   .leaf_821_eax = BIT(5) | BIT(8) | BIT(28)},
	 IBPB | EXIT | AUTO | VERW, 0, 0},
	{"Zen 5", {.is_amd = true, .family = 0x1a, .model = 2, .smt = true, .leaf_88_ebx = BIT(12) | BIT(29),
		   .leaf_821_eax = BIT(8) | BIT(28) | BIT(30) | BIT(31), .leaf_821_ecx = BIT(1) | BIT(2)},
	 IBPB | AUTO | REDUCE, 0, 0},
	{"SRSO_NO", {.is_amd = true, .family = 0x1a, .model = 2, .smt = true, .leaf_88_ebx = BIT(12) | BIT(29),
		     .leaf_821_eax = BIT(8) | BIT(29)},
	 IBPB | AUTO, 0, 0},
	{"Bulldozer", {.is_amd = true, .family = 0x15, .model = 2, .leaf_88_ebx = BIT(12)},
	 IBPB | EXIT | RSB, 0, 0},
};
/* clang-format on */

static void test_processors(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mitigations m = mitigation_decide(&rows[i].p);

		if (m.used != rows[i].used || m.lacking != rows[i].lacking ||
		    m.spec_ctrl != rows[i].spec_ctrl) {
			fail_msg("%s: used %x, lacking %x, SPEC_CTRL %llx", rows[i].name, m.used,
				 m.lacking, (unsigned long long)m.spec_ctrl);
		}
	}
}

/* No executable large pages: Intel's, but for those that say so or are known not to have the
 * erratum. */
static void test_itlb_multihit(void **state)
{
	static const uint8_t none[] = {0x37, 0x4d, 0x5c, 0x5f, 0x7a, 0x86};
	struct processor p = {.family = 6, .model = 0x9e};

	(void)state;
	assert_true(mitigation_decide(&p).used & SPLIT);
	p.capabilities = CAP(6);
	assert_false(mitigation_decide(&p).used & SPLIT);
	for (unsigned int i = 0; i < sizeof(none); i++) {
		p = (struct processor){.family = 6, .model = none[i]};
		assert_false(mitigation_decide(&p).used & SPLIT);
	}
	p = (struct processor){.is_amd = true, .family = 0x19};
	assert_false(mitigation_decide(&p).used & SPLIT);
}

static void test_every_mitigation_has_a_name(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < MITIGATION_COUNT; i++) {
		assert_non_null(mitigation_name(i));
	}
	assert_int_equal(SPLIT, 1u << (MITIGATION_COUNT - 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_processors),
		cmocka_unit_test(test_itlb_multihit),
		cmocka_unit_test(test_every_mitigation_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
