#include "hypervisor/arch/x86/mtrr.h"

#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/paging.h"
#include "lib/check.h"

#define MSR_MTRR_CAP      0xfe
#define MSR_MTRR_VARIABLE 0x200 /* pairs: base, mask */
#define MSR_MTRR_DEF_TYPE 0x2ff
#define CAP_PAIRS         0xff
#define CAP_FIXED         (1u << 8)
#define DEF_TYPE_ENABLE   (1u << 11)
#define PAIRS_MAX         40u /* the fixed ones begin behind them */

static const uint32_t fixed[] = {
	0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f,
};

/* All but the one that turns them on: the boot LP's. */
static struct setting {
	uint32_t msr;
	uint64_t value;
} settings[2 * PAIRS_MAX + ARRAY_COUNT(fixed) + 1];
static unsigned int setting_count;
static uint64_t def_type;

static void record(uint32_t msr)
{
	struct setting *setting = &settings[setting_count];

	setting->msr = msr;
	if (rdmsr_safe(msr, &setting->value)) {
		setting_count++;
	}
}

void mtrr_boot(void)
{
	uint64_t cap;

	setting_count = 0;
	if (!rdmsr_safe(MSR_MTRR_CAP, &cap) || !rdmsr_safe(MSR_MTRR_DEF_TYPE, &def_type)) {
		return;
	}
	record(MSR_PAT);
	for (uint32_t i = 0; i < 2 * (cap & CAP_PAIRS) && i < 2 * PAIRS_MAX; i++) {
		record(MSR_MTRR_VARIABLE + i);
	}
	for (unsigned int i = 0; (cap & CAP_FIXED) && i < ARRAY_COUNT(fixed); i++) {
		record(fixed[i]);
	}
}

static bool differs(uint32_t msr, uint64_t value)
{
	uint64_t own;

	return rdmsr_safe(msr, &own) && own != value;
}

static bool any_differs(void)
{
	bool any = differs(MSR_MTRR_DEF_TYPE, def_type);

	for (unsigned int i = 0; i < setting_count && !any; i++) {
		any = differs(settings[i].msr, settings[i].value);
	}
	return any;
}

/* A refused write leaves an LP as its firmware had it, which the root's kernel reports. */
void mtrr_lp_init(void)
{
	uint64_t cr0;

	if (!setting_count || !any_differs()) {
		return;
	}
	cr0 = paging_caches_off();
	(void)wrmsr_safe(MSR_MTRR_DEF_TYPE, def_type & ~(uint64_t)DEF_TYPE_ENABLE);
	for (unsigned int i = 0; i < setting_count; i++) {
		(void)wrmsr_safe(settings[i].msr, settings[i].value);
	}
	(void)wrmsr_safe(MSR_MTRR_DEF_TYPE, def_type);
	paging_caches_on(cr0);
}
