/*
 * The boot, in order. At its end each LP runs its root VP.
 */
#include "hypervisor/arch/x86/apic.h"
#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/mtrr.h"
#include "hypervisor/arch/x86/paging.h"
#include "hypervisor/arch/x86/trap.h"
#include "hypervisor/arch/x86/vendor.h"
#include "hypervisor/console.h"
#include "hypervisor/fpu.h"
#include "hypervisor/iommu.h"
#include "hypervisor/lp.h"
#include "hypervisor/machine_check.h"
#include "hypervisor/memory.h"
#include "hypervisor/run.h"
#include "hypervisor/sleep.h"
#include "hypervisor/speculation.h"
#include "tlfs/hv.h"

static struct partition root_partition;

_Noreturn void hv_main(struct handoff *loader_handoff);

static void machine_facts(const struct handoff *handoff)
{
	uint32_t out[4];

	plat_info.tsc_hz = handoff->tsc_hz;
	plat_info.lp_count = handoff->lp_count;
	cpuid_offered(0x80000008, out);
	plat_info.physical_address_bits = (uint8_t)out[0];
	cpuid_offered(0x80000007, out);
	plat_info.tsc_invariant = out[3] & 1u << 8;
	plat_info.tsc_equal = true; /* until tsc_meet() finds otherwise */
}

static void boot_lp(const struct handoff *handoff)
{
	struct lp *lp = lp_get(0);

	lp->index = 0;
	lp->apic_id = handoff->lp_apic_ids[0];
	lp->hardware_deadline = HV_NEVER;
	lp->online = true;
	sleep_init(handoff);
	machine_set_reset(handoff->reset_port, handoff->reset_value);
	trap_init();
	trap_lp_init();
}

static void create_root(const struct handoff *handoff)
{
	if (partition_create_root(&root_partition, handoff->lp_apic_ids, lp_count) !=
	    HV_STATUS_SUCCESS) {
		machine_stop("too little memory for the root partition; give the hypervisor more "
			     "with hv.memory=");
	}
	vendor_boot_root(lp_get(0)->root, handoff->root_eip, handoff->root_esi);
}

_Noreturn void hv_main(struct handoff *loader_handoff)
{
	static struct handoff handoff;

	CHECK(loader_handoff->magic == HANDOFF_MAGIC);
	handoff = *loader_handoff;
	console_init(handoff.console_port);
	console_print("Verdigris hypervisor\n");
	machine_facts(&handoff);
	boot_lp(&handoff);
	iommu_find(&handoff);
	memory_boot(&handoff);
	paging_init(&handoff);
	paging_make_guard(&lp_boot_block);
	sleep_withhold();
	apic_init(&handoff);
	fpu_boot();
	fpu_lp_init();
	speculation_boot(handoff.cmdline);
	speculation_lp_init();
	machine_check_lp_init();
	apic_lp_init();
	vendor_lp_init(lp_get(0));
	mtrr_boot();
	lp_start_others(&handoff);
	iommu_boot(&handoff);
	root_partition.id = HV_ROOT_PARTITION;
	memory_init(&root_partition);
	create_root(&handoff);
	iommu_start(&root_partition);
	console_print("%u LPs, TSC %lu MHz, %lu pages free; starting the root\n", lp_count,
		      plat_info.tsc_hz / 1000000, plat_pool_count(&root_partition));
	lp_release();
	run_root();
}
