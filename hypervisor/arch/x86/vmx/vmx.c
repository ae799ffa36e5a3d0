/*
 * VMX on an LP: what the processor offers, VMXON, the interrupts of the machine
 * (Intel SDM vol. 3, chapters 23 and 31, appendix A).
 */
#include "hypervisor/arch/x86/vmx/vmx.h"

#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/paging.h"
#include "hypervisor/arch/x86/trap.h"
#include "hypervisor/arch/x86/vmx/ept.h"
#include "hypervisor/console.h"
#include "hypervisor/lp.h"
#include "hypervisor/memory.h"
#include "hypervisor/speculation.h"
#include "lib/string.h"

struct vmx_facts vmx_facts;

/* The low half of the capability has what must be 1, the high half what may be. */
static uint32_t controls(uint32_t msr, uint32_t wanted, uint32_t optional)
{
	uint64_t capability = rdmsr(msr);
	uint32_t may = (uint32_t)(capability >> 32);

	if (wanted & ~may) {
		console_print("VMX controls %x: wanted %x, offered %x\n", msr, wanted, may);
		machine_stop("the processor's Intel VT-x lacks a control that is needed");
	}
	return (uint32_t)capability | wanted | (optional & may);
}

static void find_controls(void)
{
	bool exact = rdmsr(MSR_VMX_BASIC) & VMX_BASIC_TRUE_CONTROLS;

	vmx_facts.pin =
		controls(exact ? MSR_VMX_TRUE_PIN : MSR_VMX_PIN,
			 PIN_EXTERNAL_INTERRUPT | PIN_NMI | PIN_VIRTUAL_NMI, PIN_PREEMPTION_TIMER);
	vmx_facts.proc = controls(exact ? MSR_VMX_TRUE_PROC : MSR_VMX_PROC,
				  PROC_TSC_OFFSET | PROC_HLT | PROC_MWAIT | PROC_RDPMC |
					  PROC_TPR_SHADOW | PROC_MOV_DR | PROC_IO_BITMAPS |
					  PROC_MSR_BITMAPS | PROC_MONITOR | PROC_SECONDARY,
				  0);
	vmx_facts.proc &= ~PROC_MOV_DR; /* there, and wanted now and then */
	if (vmx_facts.proc & (PROC_CR3_LOAD | PROC_CR3_STORE)) {
		machine_stop("the processor's Intel VT-x cannot leave CR3 to a guest");
	}
	vmx_facts.proc2 =
		controls(MSR_VMX_PROC2, PROC2_EPT | PROC2_VPID | PROC2_UNRESTRICTED,
			 PROC2_X2APIC | PROC2_RDTSCP | PROC2_INVPCID | PROC2_XSAVES | PROC2_CHILD);
	vmx_facts.x2apic = vmx_facts.proc2 & PROC2_X2APIC;
	vmx_facts.proc2 &= ~PROC2_X2APIC;
	vmx_facts.exit = controls(exact ? MSR_VMX_TRUE_EXIT : MSR_VMX_EXIT,
				  EXIT_SAVE_DEBUG | EXIT_HOST_64 | EXIT_SAVE_PAT | EXIT_LOAD_PAT |
					  EXIT_SAVE_EFER | EXIT_LOAD_EFER,
				  0);
	vmx_facts.entry = controls(exact ? MSR_VMX_TRUE_ENTRY : MSR_VMX_ENTRY,
				   ENTRY_LOAD_DEBUG | ENTRY_LOAD_PAT | ENTRY_LOAD_EFER, 0);
}

static void find_facts(void)
{
	const uint64_t needed = EPT_CAP_WALK_4 | EPT_CAP_WRITEBACK | EPT_CAP_2M | EPT_CAP_INVEPT |
				EPT_CAP_INVEPT_1 | EPT_CAP_INVVPID | EPT_CAP_INVVPID_1;
	uint32_t out[4];

	find_controls();
	vmx_facts.revision = (uint32_t)rdmsr(MSR_VMX_BASIC) & 0x7fffffff;
	vmx_facts.ept_caps = rdmsr(MSR_VMX_EPT_VPID);
	if ((vmx_facts.ept_caps & needed) != needed) {
		machine_stop("the processor's EPT lacks 2 MiB pages, write-back tables, or "
			     "single-context INVEPT and INVVPID");
	}
	vmx_facts.timer_counts = (uint32_t)(plat_info.tsc_hz / 1000 >> (rdmsr(MSR_VMX_MISC) & 31));
	vmx_facts.pat = rdmsr(MSR_PAT);
	cpuid(0x80000008, 0, out);
	vmx_facts.linear_bits = out[0] >> 8 & 0xff;
}

static void vmxon(uint64_t pa)
{
	bool failed;

	__asm__ volatile("vmxon %1" : "=@ccbe"(failed) : "m"(pa) : "memory");
	if (failed) {
		machine_stop("the processor refuses VMXON");
	}
}

void vendor_lp_init(struct lp *lp)
{
	uint64_t control = rdmsr(MSR_FEATURE_CONTROL);

	if (!(control & FEATURE_CONTROL_LOCKED)) {
		wrmsr(MSR_FEATURE_CONTROL, control | FEATURE_CONTROL_LOCKED | FEATURE_CONTROL_VMX);
	} else if (!(control & FEATURE_CONTROL_VMX)) {
		machine_stop("Intel VT-x (VMX) is disabled on one processor; enable it in the "
			     "firmware's setup");
	}
	if (lp->index == 0) {
		find_facts();
		ept_splits_code = speculation_splits();
		ept_watches_writes = !(vmx_facts.ept_caps & EPT_CAP_DIRTY);
		vmx_maps_init();
		trap_set_gate(EXC_NMI, vmx_nmi_gate);
	}
	trap_lp_load_tss();
	lp->asid_next = 1;
	lp->asid_generation = HANDOFF_MAX_LPS + lp->index;
	lp->host_save_pa = memory_boot_alloc(1).v;
	*(uint32_t *)plat_spa_ptr((spa_t){lp->host_save_pa}) = vmx_facts.revision;
	write_cr0((read_cr0() | CR0_NE) &
		  ~(CR0_CD | CR0_NW)); /* caches: entries leave them as they are */
	write_cr4(read_cr4() | CR4_VMXE);
	vmxon(lp->host_save_pa);
}

unsigned int vendor_max_level(void)
{
	return vmx_facts.ept_caps & EPT_CAP_1G ? paging_max_level() : 1;
}

/* ---- interrupts of the machine ---- */

void vmx_nmi_exit(void)
{
	__atomic_store_n(&lp_this()->nmi_recorded, true, __ATOMIC_RELAXED);
	vmx_unblock_nmi();
}

static void take_nmi(void)
{
	bool *recorded = &lp_this()->nmi_recorded;

	if (__atomic_exchange_n(recorded, false, __ATOMIC_SEQ_CST)) {
		interrupt_taken(EXC_NMI);
	}
}

void vendor_take_interrupts(void)
{
	__asm__ volatile("lidt %0; sti; nop; cli; lidt %1"
			 :
			 : "m"(interrupt_table), "m"(fault_table)
			 : "memory");
	take_nmi();
}

void vendor_wait_interrupt(void)
{
	__asm__ volatile("lidt %0" : : "m"(interrupt_table));
	vmx_wait(&lp_this()->nmi_recorded);
	__asm__ volatile("lidt %0" : : "m"(fault_table));
	take_nmi();
}

void plat_hypercall_page(void *page)
{
	static const uint8_t code[] = {0xf3, 0x0f, 0x1e, 0xfa,
				       0x0f, 0x01, 0xc1, 0xc3}; /* endbr64; vmcall; ret */

	memcpy(page, code, sizeof(code));
}
