/*
 * The logical processors: their blocks, and how the others are started (INIT, SIPI, SIPI; Intel SDM
 * vol. 3, 8.4).
 */
#include "hypervisor/lp.h"

#include "hypervisor/arch/x86/apic.h"
#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/mtrr.h"
#include "hypervisor/arch/x86/paging.h"
#include "hypervisor/arch/x86/trap.h"
#include "hypervisor/arch/x86/vendor.h"
#include "hypervisor/fpu.h"
#include "hypervisor/machine_check.h"
#include "hypervisor/memory.h"
#include "hypervisor/run.h"
#include "hypervisor/speculation.h"
#include "hypervisor/tsc.h"
#include "lib/string.h"

#define ICR_INIT         0x4500
#define ICR_STARTUP      0x4600
#define START_TIMEOUT_MS 5000

union lp_block lp_boot_block; /* the others' are made when they are started */
struct lp *lps[HANDOFF_MAX_LPS] = {&lp_boot_block.lp};
uint32_t lp_count = 1;
const uint64_t boot_stack_offset = offsetof(union lp_block, lp);

static bool released; /* [a] the root VPs exist */

struct trampoline_parameters {
	uint64_t entry, stack;
	uint32_t cr0, cr3, cr4;
	uint32_t far_offset;
	uint16_t far_selector, reserved;
} __attribute__((packed));

extern const uint8_t trampoline_start[], trampoline_end[], trampoline_parameters[],
	trampoline_gdt_base[];

/* First C of every other LP. */
static _Noreturn void lp_main(void)
{
	struct lp *lp = lp_this();

	trap_lp_init();
	mtrr_lp_init();
	fpu_lp_init();
	speculation_lp_init();
	machine_check_lp_init();
	apic_lp_init();
	vendor_lp_init(lp);
	__atomic_store_n(&lp->online, true, __ATOMIC_RELEASE);
	tsc_meet(false);
	while (!__atomic_load_n(&released, __ATOMIC_ACQUIRE)) {
		cpu_relax();
	}
	run_root();
}

void lp_release(void)
{
	__atomic_store_n(&released, true, __ATOMIC_RELEASE);
}

static void wait_us(uint64_t us)
{
	uint64_t end = rdtsc() + plat_info.tsc_hz / 1000000 * us;

	while (rdtsc() < end) {
		cpu_relax();
	}
}

static bool wait_online(const struct lp *lp)
{
	for (unsigned int ms = 0; ms < START_TIMEOUT_MS; ms++) {
		if (__atomic_load_n(&lp->online, __ATOMIC_ACQUIRE)) {
			return true;
		}
		wait_us(1000);
	}
	return false;
}

static void start(struct lp *lp, uint8_t *page, uint32_t base)
{
	struct trampoline_parameters *p =
		(void *)(page + (trampoline_parameters - trampoline_start));

	p->entry = (uintptr_t)lp_main;
	p->stack = (uintptr_t)lp;
	p->cr0 = (uint32_t)read_cr0();
	p->cr3 = (uint32_t)paging_cr3();
	p->cr4 = (uint32_t)read_cr4() & ~(uint32_t)CR4_OSXSAVE;
	apic_send(lp->apic_id, ICR_INIT);
	wait_us(10000);
	for (unsigned int i = 0; i < 2 && !__atomic_load_n(&lp->online, __ATOMIC_ACQUIRE); i++) {
		apic_send(lp->apic_id, ICR_STARTUP | base >> PAGE_SHIFT);
		wait_us(1000);
	}
	if (!wait_online(lp)) {
		machine_stop("a processor does not start; boot with fewer, or look at the "
			     "firmware's settings");
	}
	tsc_meet(true);
}

void lp_start_others(const struct handoff *handoff)
{
	uint32_t base = handoff->trampoline_page;
	uint8_t *page = plat_spa_ptr((spa_t){base});
	uint32_t size = (uint32_t)(trampoline_end - trampoline_start);
	static uint8_t saved[PAGE_SIZE];

	memcpy(saved, page, PAGE_SIZE);
	memcpy(page, trampoline_start, size);
	*(uint32_t *)(page + (trampoline_gdt_base - trampoline_start)) += base;
	((struct trampoline_parameters *)(page + (trampoline_parameters - trampoline_start)))
		->far_offset += base;
	paging_identity_map((spa_t){base});
	for (uint32_t i = 1; i < handoff->lp_count; i++) {
		union lp_block *block = paging_map_stack(LP_STACK_SIZE / PAGE_SIZE);
		struct lp *lp = &block->lp;

		lps[i] = lp;
		lp->index = i;
		lp->apic_id = handoff->lp_apic_ids[i];
		lp->hardware_deadline = HV_NEVER;
		start(lp, page, base);
		lp_count++;
	}
	paging_identity_unmap();
	memcpy(page, saved, PAGE_SIZE);
}
