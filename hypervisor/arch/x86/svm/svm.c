/*
 * SVM on an LP, and the control block of a VP: what is intercepted, what is not, and the state
 * after INIT (AMD APM vol. 2, chapter 15; table 14-1 for the state).
 */
#include "hypervisor/arch/x86/svm/svm.h"

#include "hypervisor/arch/x86/apic.h"
#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/paging.h"
#include "hypervisor/arch/x86/trap.h"
#include "hypervisor/home.h"
#include "hypervisor/lp.h"
#include "hypervisor/memory.h"
#include "hypervisor/sleep.h"
#include "lib/string.h"

/* How many PAUSEs are a long wait, each within so many cycles of the last. */
#define PAUSE_LOOP 3000
#define PAUSE_GAP  128

uint32_t svm_features;
static uint32_t asid_count;

/* Permission maps: one bit a port, two bits (read, write) an MSR; a set bit intercepts. */
static uint8_t ports_root[3 * PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static uint8_t ports_all[3 * PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static uint8_t msrs_child[2 * PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static uint8_t msrs_root[2 * PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

/* The state of these is switched by VMRUN or VMLOAD, so a guest may have them for itself. */
static const uint32_t direct_msrs[] = {
	MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP, MSR_STAR,    MSR_LSTAR,
	MSR_CSTAR,       MSR_SFMASK,       MSR_FS_BASE,      MSR_GS_BASE, MSR_KERNEL_GS_BASE,
};

static void msr_allow(uint8_t *map, uint32_t msr)
{
	uint32_t base = msr < 0x2000 ? 0 : 0x800;
	uint32_t bit = (msr & 0x1fff) * 2;

	map[base + bit / 8] &= (uint8_t) ~(3u << bit % 8);
}

static void maps_init(void)
{
	memset(ports_all, 0xff, sizeof(ports_all));
	sleep_watch(ports_root);
	memset(msrs_child, 0xff, sizeof(msrs_child));
	for (unsigned int i = 0; i < ARRAY_COUNT(direct_msrs); i++) {
		msr_allow(msrs_child, direct_msrs[i]);
	}
	memcpy(msrs_root, msrs_child, sizeof(msrs_root));
}

/*
 * A device of the root could send INIT by an MSI or the I/O APIC's pin, and an LP would begin anew
 * without its hypervisor. A guest is left for it, and in the hypervisor it is #SX (APM vol. 2,
 * 15.21.8 and 15.28), which is forgotten.
 */
static void redirect_init(void)
{
	uint64_t value;

	if (rdmsr_safe(MSR_VM_CR, &value)) {
		wrmsr_safe(MSR_VM_CR, value | VM_CR_R_INIT);
	}
}

void vendor_lp_init(struct lp *lp)
{
	uint32_t out[4];

	if (lp->index == 0) {
		cpuid(0x8000000a, 0, out);
		asid_count = out[1];
		svm_features = out[3];
		maps_init();
		trap_set_gate(EXC_NMI, svm_nmi_gate);
		trap_set_gate(EXC_SX, svm_security_gate);
	}
	lp->asid_next = 2;
	lp->asid_generation = HANDOFF_MAX_LPS + lp->index;
	lp->host_save_pa = memory_boot_alloc(1).v;
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
	redirect_init();
	wrmsr(MSR_VM_HSAVE_PA, lp->host_save_pa);
	/* From here on interrupts wait for the guest or for a window that the hypervisor opens;
	 * VMRUN wants IF set. */
	__asm__ volatile("clgi; sti");
}

/* A loop of PAUSE is a VP that waits for one which does not run. Without the threshold every PAUSE
 * would count, in a loop or not. */
static void filter_pauses(struct vmcb *vmcb)
{
	if ((svm_features & SVM_CPUID_PAUSE) && (svm_features & SVM_CPUID_PAUSE_GAP)) {
		vmcb->intercept_1 |= SVM_INTERCEPT_PAUSE;
		vmcb->pause_count = PAUSE_LOOP;
		vmcb->pause_gap = PAUSE_GAP;
	}
}

hv_status_t vendor_vcpu_create(struct vcpu *vcpu)
{
	struct partition *p = vcpu->vp->partition;
	bool root = p->id == HV_ROOT_PARTITION;
	struct vmcb *vmcb = plat_page_alloc(p);

	if (vmcb == NULL) {
		return HV_STATUS_INSUFFICIENT_MEMORY;
	}
	vcpu->vmcb = vmcb;
	vcpu->vmcb_pa = plat_ptr_spa(vmcb).v;
	vmcb->intercept_1 = SVM_INTERCEPT_INTR | SVM_INTERCEPT_NMI | SVM_INTERCEPT_INIT |
			    SVM_INTERCEPT_RDPMC | SVM_INTERCEPT_CPUID | SVM_INTERCEPT_INVD |
			    SVM_INTERCEPT_HLT | SVM_INTERCEPT_INVLPGA | SVM_INTERCEPT_IOIO |
			    SVM_INTERCEPT_MSR | SVM_INTERCEPT_SHUTDOWN;
	vmcb->intercept_2 = SVM_INTERCEPT_VMRUN | SVM_INTERCEPT_VMMCALL | SVM_INTERCEPT_VMLOAD |
			    SVM_INTERCEPT_VMSAVE | SVM_INTERCEPT_STGI | SVM_INTERCEPT_CLGI |
			    SVM_INTERCEPT_SKINIT | SVM_INTERCEPT_MONITOR | SVM_INTERCEPT_MWAIT |
			    SVM_INTERCEPT_MWAIT_ARMED | SVM_INTERCEPT_XSETBV | SVM_INTERCEPT_RDPRU;
	vmcb->intercept_3 = SVM_INTERCEPT_INVLPGB;
	if (!root) {
		vmcb->intercept_2 |= SVM_INTERCEPT_WBINVD; /* the caches are everybody's */
		filter_pauses(vmcb);
	}
	vendor_set_exception_intercepts(vcpu, 0);
	vmcb->iopm_base = plat_ptr_spa(root ? ports_root : ports_all).v;
	vmcb->msrpm_base = plat_ptr_spa(root ? msrs_root : msrs_child).v;
	vmcb->interrupt_control = SVM_V_INTR_MASKING;
	vmcb->nested_control = 1;
	vmcb->nested_cr3 = gpa_top(gpa_of(p)).v;
	return HV_STATUS_SUCCESS;
}

void vendor_vcpu_destroy(struct vcpu *vcpu)
{
	plat_page_free(vcpu->vp->partition, vcpu->vmcb);
	vcpu->vmcb = NULL;
}

/* A guest that makes #AC or #DB inside the delivery of #AC or #DB would hold its LP for ever: those
 * two always stop. */
void vendor_set_exception_intercepts(struct vcpu *vcpu, uint32_t vectors)
{
	vcpu->vmcb->intercept_exceptions = vectors | 1u << EXC_AC | 1u << EXC_DB | 1u << EXC_MC;
}

void vendor_intercept_debug(struct vcpu *vcpu, bool wanted)
{
	vcpu->vmcb->intercept_dr = wanted ? UINT32_MAX : 0;
}

static void segment_set(struct vmcb_segment *s, uint16_t selector, uint64_t base, uint32_t limit,
			uint16_t attributes)
{
	*s = (struct vmcb_segment){
		.selector = selector, .attributes = attributes, .limit = limit, .base = base};
}

/* The guest's EFER has SVME set in the control block, as VMRUN demands, and never shows it. */
static void reset_control(struct vmcb *vmcb)
{
	vmcb->efer = EFER_SVME;
	vmcb->cr0 = CR0_ET | CR0_NW | CR0_CD;
	vmcb->cr2 = vmcb->cr3 = vmcb->cr4 = 0;
	vmcb->dr6 = 0xffff0ff0;
	vmcb->dr7 = 0x400;
	vmcb->rflags = RFLAGS_FIXED;
	vmcb->rsp = vmcb->rax = 0;
	vmcb->event_injection = 0;
	vmcb->exit_int_info = 0;
	vmcb->interrupt_shadow = 0;
	vmcb->interrupt_control = SVM_V_INTR_MASKING;
	vmcb->intercept_1 &= ~(SVM_INTERCEPT_VINTR | SVM_INTERCEPT_IRET);
	vmcb->pat = PAT_RESET;
	vmcb->debugctl = 0;
}

void vendor_reset(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vcpu->vmcb;
	uint32_t out[4];

	vendor_sync(vcpu);
	reset_control(vmcb);
	segment_set(&vmcb->cs, 0xf000, 0xffff0000, 0xffff, 0x9b);
	segment_set(&vmcb->ds, 0, 0, 0xffff, 0x93);
	vmcb->es = vmcb->ss = vmcb->fs = vmcb->gs = vmcb->ds;
	segment_set(&vmcb->gdtr, 0, 0, 0xffff, 0);
	segment_set(&vmcb->idtr, 0, 0, 0xffff, 0);
	segment_set(&vmcb->ldtr, 0, 0, 0xffff, 0x82);
	segment_set(&vmcb->tr, 0, 0, 0xffff, 0x8b);
	vmcb->cpl = 0;
	vendor_resync(vcpu);
	memset(vcpu->gpr, 0, sizeof(vcpu->gpr));
	cpuid(1, 0, out);
	vcpu->gpr[GPR_RDX] = out[0]; /* the processor's signature */
	vcpu->rip = 0xfff0;
	vcpu->nmi_blocked = vcpu->nmi_step = false;
	vcpu->event_length = 0;
}

void vendor_startup(struct vcpu *vcpu, uint8_t vector)
{
	vcpu->vmcb->cs.selector = (uint16_t)(vector << 8);
	vcpu->vmcb->cs.base = (uint64_t)vector << 12;
	vcpu->rip = 0;
}

void vendor_boot_root(struct vcpu *vcpu, uint32_t eip, uint32_t esi)
{
	struct vmcb *vmcb = vcpu->vmcb;

	/* The selectors of the Linux boot protocol: code 0x10, data 0x18. */
	segment_set(&vmcb->cs, 0x10, 0, 0xffffffff, 0xc9b);
	segment_set(&vmcb->ds, 0x18, 0, 0xffffffff, 0xc93);
	vmcb->es = vmcb->ss = vmcb->fs = vmcb->gs = vmcb->ds;
	vmcb->cr0 = CR0_ET | CR0_PE;
	vcpu->rip = eip;
	vcpu->gpr[GPR_RSI] = esi;
}

/* ASIDs 2 and up are given out per LP; when they run out everything is flushed and they start
 * anew. */
static __attribute__((noinline)) void asid_assign(struct vcpu *vcpu, struct lp *lp)
{
	struct vmcb *vmcb = vcpu->vmcb;

	if (vcpu == lp->root) {
		/* The root's is fixed: without flush-by-ASID a flush of it is a flush of all. */
		vmcb->asid = 1;
		vmcb->tlb_control = svm_features & SVM_CPUID_FLUSH_ASID ? SVM_TLB_FLUSH_ASID
									: SVM_TLB_FLUSH_ALL;
	} else {
		if (lp->asid_next >= asid_count) {
			lp->asid_next = 2;
			lp->asid_generation += HANDOFF_MAX_LPS;
			vmcb->tlb_control = SVM_TLB_FLUSH_ALL;
		}
		vmcb->asid = lp->asid_next++;
	}
	vcpu->asid_generation = lp->asid_generation;
}

void vendor_flush_tlb(struct vcpu *vcpu)
{
	vcpu->asid_generation = 0;
}

static __attribute__((noinline)) void prepare_event(struct vcpu *vcpu)
{
	if (vcpu->event_length) {
		svm_prepare_software(vcpu);
	}
	if (vcpu->nmi_step && !svm_step_begin(vcpu)) {
		apic_kick_self(); /* it waits for GIF, and the event goes in first */
	}
}

void vendor_prepare(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vcpu->vmcb;

	vmcb->rip = vcpu->rip;
	vmcb->rax = vcpu->gpr[GPR_RAX];
	if (__builtin_expect(vcpu->event_length | vcpu->nmi_step, 0)) {
		prepare_event(vcpu);
	}
	if (__builtin_expect(vcpu->asid_generation != lp_this()->asid_generation, 0)) {
		asid_assign(vcpu, lp_this());
	}
}

void vendor_load(struct vcpu *vcpu)
{
	svm_vmload(vcpu->vmcb_pa);
}

void vendor_save(struct vcpu *vcpu)
{
	svm_vmsave(vcpu->vmcb_pa);
}

void vendor_sync(struct vcpu *vcpu)
{
	if (lp_this()->current == vcpu) {
		svm_vmsave(vcpu->vmcb_pa);
	}
}

void vendor_resync(struct vcpu *vcpu)
{
	if (lp_this()->current == vcpu) {
		svm_vmload(vcpu->vmcb_pa);
	}
}

unsigned int vendor_max_level(void)
{
	return paging_max_level();
}

void vendor_set_tsc_offset(struct vcpu *vcpu, uint64_t offset)
{
	vcpu->vmcb->tsc_offset = offset;
}

/* GIF is the gate; IF is set all the time that the hypervisor runs, because VMRUN wants it so. CLI
 * and STI around STGI make a place at which every processor looks for interrupts. */
void vendor_take_interrupts(void)
{
	__asm__ volatile("lidt %0; cli; stgi; sti; nop; clgi; lidt %1"
			 :
			 : "m"(interrupt_table), "m"(fault_table)
			 : "memory");
}

void vendor_wait_interrupt(void)
{
	__asm__ volatile("lidt %0" : : "m"(interrupt_table));
	svm_wait();
	__asm__ volatile("lidt %0" : : "m"(fault_table));
}

void plat_hypercall_page(void *page)
{
	static const uint8_t code[] = {0xf3, 0x0f, 0x1e, 0xfa,
				       0x0f, 0x01, 0xd9, 0xc3}; /* endbr64; vmmcall; ret */

	memcpy(page, code, sizeof(code));
}
