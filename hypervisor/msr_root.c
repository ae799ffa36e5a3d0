/*
 * The root drives the machine, but the processor's modes are the hypervisor's. What it writes
 * elsewhere is dropped without a fault, as kernels expect it of MTRRs, clocks, power and
 * performance registers in a virtual machine; docs/security.md says so.
 */
#include "hypervisor/msr_root.h"

#include "hypervisor/arch/x86/cpu.h"

#define MSR_UPDATE_TRIGGER 0x79       /* microcode: Intel's */
#define MSR_PATCH_LOADER   0xc0010020 /* and AMD's */
#define MSR_MCG_CAP        0x179
#define MSR_LS_CFG         0xc0011020
#define ALL                UINT64_MAX
/* What needs a vector of the physical APIC, which is the hypervisor's: the root polls the banks
 * instead. */
#define MCG_CAP_HIDDEN                                                                             \
	(1ull << 10 | 1ull << 27) /* corrected errors' interrupt, local machine checks */

struct row {
	uint32_t first, last;
	uint64_t bits; /* that it may change */
};

/* clang-format off */
static const struct row rows[] = {
	{0x0000017a, 0x0000017b, ALL},         /* MCG_STATUS, MCG_CTL */
	{0x00000400, 0x0000047f, ALL},         /* banks of machine checks: CTL, STATUS, ADDR, MISC */
	{0xc0002000, 0xc00023ff, ALL},         /* AMD's, scalable */
	{0xc0010044, 0xc001004a, ALL},         /* their masks */
	{0xc0010400, 0xc001043f, ALL},
	{0xc0010015, 0xc0010015, 1ull << 18},  /* HWCR: McStatusWrEn */
	{0x00000122, 0x00000122, 3},           /* TSX_CTRL: RTM off, not shown */
	{0xc0011029, 0xc0011029, 1ull << 9},   /* DE_CFG: against Zenbleed */
};
/* clang-format on */

/* Speculative store bypass, on processors whose SPEC_CTRL lacks it: where the bit is depends on the
 * family. */
static uint64_t ls_cfg_bits(void)
{
	uint32_t out[4], family;

	cpuid(1, 0, out);
	family = (out[0] >> 8 & 0xf) + (out[0] >> 20 & 0xff);
	return family == 0x15                     ? 1ull << 54
	       : family == 0x16                   ? 1ull << 33
	       : family == 0x17 || family == 0x18 ? 1ull << 10
						  : 0;
}

static uint64_t bits_of(uint32_t msr)
{
	for (unsigned int i = 0; i < ARRAY_COUNT(rows); i++) {
		if (msr >= rows[i].first && msr <= rows[i].last) {
			return rows[i].bits;
		}
	}
	return msr == MSR_LS_CFG ? ls_cfg_bits() : 0;
}

enum access_result msr_root_read(uint32_t msr, uint64_t *value)
{
	if (!rdmsr_safe(msr, value)) {
		return ACCESS_PARENT;
	}
	if (msr == MSR_MCG_CAP) {
		*value &= ~MCG_CAP_HIDDEN;
	}
	return ACCESS_OK;
}

enum access_result msr_root_write(uint32_t msr, uint64_t value)
{
	const uint64_t bits = bits_of(msr);
	uint64_t old;

	if (msr == MSR_UPDATE_TRIGGER || msr == MSR_PATCH_LOADER) {
		plat_log("the root's microcode is refused: it is the firmware's to load");
		return ACCESS_FAULT;
	}
	if (!rdmsr_safe(msr, &old)) {
		return ACCESS_PARENT;
	}
	value = (old & ~bits) | (value & bits);
	return bits && (value != old || bits == ALL) && !wrmsr_safe(msr, value) ? ACCESS_FAULT
										: ACCESS_OK;
}
