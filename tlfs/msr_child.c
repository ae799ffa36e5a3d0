/*
 * Registers of a child's processor that are kept for it and have no effect: MTRRs (the parent's and
 * the home's mappings decide memory types), MISC_ENABLE, machine checks (there are no banks, and
 * none is ever reported), the revision of the microcode (the newest there can be, since nothing can
 * be loaded; every kernel on an Intel processor asks), AMD's SYSCFG and NB_CFG (every kernel on an
 * AMD processor touches them; the board that they configure is not there), and AMD's first
 * performance counters, for which CPUID has no bit: they count nothing.
 */
#include "tlfs/cpuid.h"
#include "tlfs/msr.h"

#define MSR_MICROCODE     0x0000008Bu
#define MSR_MTRR_CAP      0x000000FEu
#define MSR_CAPABILITIES  0x0000010Au
#define MSR_MCG_CAP       0x00000179u
#define MSR_MCG_STATUS    0x0000017Au
#define MSR_MISC_ENABLE   0x000001A0u
#define MSR_MTRR_VARIABLE 0x00000200u /* 8 pairs: base, mask */
#define MSR_MTRR_DEF_TYPE 0x000002FFu
#define MSR_AMD_COUNTERS  0xC0010000u /* 4 selectors, 4 counters */
#define MSR_AMD_SYSCFG    0xC0010010u
#define MSR_AMD_NB_CFG    0xC001001Fu

#define MICROCODE_NEWEST  (0xFFFFFFFFull << 32)
#define MTRR_PAIR_COUNT   8u
#define MTRR_CAP          (1u << 10 | 1u << 8 | MTRR_PAIR_COUNT) /* write combining, fixed ranges */
#define MTRR_MASK_VALID   (1ull << 11)
#define MTRR_DEF_WRITABLE 0xCFFull

static const uint32_t fixed_mtrrs[] = {
	0x250, 0x258, 0x259, 0x268, 0x269, 0x26A, 0x26B, 0x26C, 0x26D, 0x26E, 0x26F,
};

static int fixed_index(uint32_t msr)
{
	for (unsigned int i = 0; i < ARRAY_COUNT(fixed_mtrrs); i++) {
		if (fixed_mtrrs[i] == msr) {
			return (int)i;
		}
	}
	return -1;
}

static bool is_memory_type(uint64_t type)
{
	return type == 0 || type == 1 || (type >= 4 && type <= 6);
}

static bool fixed_valid(uint64_t value)
{
	for (unsigned int i = 0; i < 8; i++) {
		if (!is_memory_type(value >> i * 8 & 0xFF)) {
			return false;
		}
	}
	return true;
}

static bool variable_valid(uint32_t msr, uint64_t value)
{
	uint64_t address = ((1ull << plat_info.physical_address_bits) - 1) & ~PAGE_MASK;

	if (msr & 1) {
		return !(value & ~(address | MTRR_MASK_VALID));
	}
	return !(value & ~(address | 0xFF)) && is_memory_type(value & 0xFF);
}

bool msr_child_read(const struct vp *vp, uint32_t msr, uint64_t *value)
{
	int fixed;

	switch (msr) {
	case MSR_MICROCODE: /* Intel has it in the upper half */
		*value = MICROCODE_NEWEST;
		return true;
	case MSR_MTRR_CAP:
		*value = MTRR_CAP;
		return true;
	case MSR_CAPABILITIES:
		return cpuid_capabilities(vp->partition, value);
	case MSR_MCG_CAP:
	case MSR_MCG_STATUS:
	case MSR_AMD_COUNTERS ... MSR_AMD_COUNTERS + 7:
	case MSR_AMD_SYSCFG:
	case MSR_AMD_NB_CFG:
		*value = 0;
		return true;
	case MSR_MISC_ENABLE:
		*value = vp->misc_enable;
		return true;
	case MSR_MTRR_VARIABLE ... MSR_MTRR_VARIABLE + 2 * MTRR_PAIR_COUNT - 1:
		*value = vp->mtrr_var[msr - MSR_MTRR_VARIABLE];
		return true;
	case MSR_MTRR_DEF_TYPE:
		*value = vp->mtrr_def_type;
		return true;
	default:
		fixed = fixed_index(msr);
		if (fixed < 0) {
			return false;
		}
		*value = vp->mtrr_fixed[fixed];
		return true;
	}
}

static bool keep(bool valid, uint64_t *reg, uint64_t value)
{
	if (valid) {
		*reg = value;
	}
	return valid;
}

bool msr_child_write(struct vp *vp, uint32_t msr, uint64_t value, enum access_result *result)
{
	bool good;
	int fixed;

	switch (msr) {
	case MSR_MTRR_CAP:
	case MSR_MCG_CAP: /* read-only */
	case MSR_CAPABILITIES:
		good = false;
		break;
	case MSR_MCG_STATUS:
		good = value == 0;
		break;
	case MSR_MICROCODE: /* written before it is read, so that CPUID fills it in */
	case MSR_AMD_COUNTERS ... MSR_AMD_COUNTERS + 7:
	case MSR_AMD_SYSCFG:
	case MSR_AMD_NB_CFG: /* nothing to configure */
		good = true;
		break;
	case MSR_MISC_ENABLE:
		good = keep(true, &vp->misc_enable, value);
		break;
	case MSR_MTRR_VARIABLE ... MSR_MTRR_VARIABLE + 2 * MTRR_PAIR_COUNT - 1:
		good = keep(variable_valid(msr, value), &vp->mtrr_var[msr - MSR_MTRR_VARIABLE],
			    value);
		break;
	case MSR_MTRR_DEF_TYPE:
		good = keep(!(value & ~MTRR_DEF_WRITABLE) && is_memory_type(value & 0xFF),
			    &vp->mtrr_def_type, value);
		break;
	default:
		fixed = fixed_index(msr);
		if (fixed < 0) {
			return false;
		}
		good = keep(fixed_valid(value), &vp->mtrr_fixed[fixed], value);
		break;
	}
	*result = good ? ACCESS_OK : ACCESS_FAULT;
	return true;
}
