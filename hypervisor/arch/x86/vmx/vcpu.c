/*
 * The VMCS of a VP: what makes it exit, what does not, and the state after INIT
 * (Intel SDM vol. 3, chapter 24; table 9-1 for the state).
 *
 * A VMCS is active on one LP at most. A root VP's stays on its own; a child's is cleared whenever
 * the VP is taken off an LP, and so in memory whole.
 */
#include "hypervisor/arch/x86/vmx/vmx.h"

#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/trap.h"
#include "hypervisor/console.h"
#include "hypervisor/lp.h"
#include "hypervisor/sleep.h"
#include "lib/string.h"
#include "tlfs/lapic.h"

/* What run.S knows by number. */
_Static_assert(offsetof(struct vcpu, gpr) == 0 && offsetof(struct vcpu, vmx) == 136, "run.S");
_Static_assert(offsetof(struct vcpu, lp) == 168, "run.S");
_Static_assert(offsetof(struct vmx, launched) == 0x400 && offsetof(struct vmx, entry) == 0x401,
	       "run.S");
_Static_assert(offsetof(struct lp, nmi_recorded) == 9 && sizeof(struct lp) == 576, "run.S");
_Static_assert(sizeof(struct vmx) <= PAGE_SIZE, "one page");

#define SELECTOR_CODE 8
#define SELECTOR_DATA 16
#define SELECTOR_TSS  24

/* PAUSEs of one loop are so many cycles apart at most, and it may last so many. */
#define PAUSE_GAP    128
#define PAUSE_WINDOW 131072

/* One bit a port; a bit an MSR for reading and one for writing: set, it makes the guest exit. */
static uint8_t ports_root[2 * PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static uint8_t ports_all[2 * PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static uint8_t msrs[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static uint8_t msrs_x2apic[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

/* The state of these is switched by entries and exits, or by vendor_load() and vendor_save(). */
static const uint32_t direct_msrs[] = {
	MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP, MSR_STAR,    MSR_LSTAR,
	MSR_CSTAR,       MSR_SFMASK,       MSR_FS_BASE,      MSR_GS_BASE, MSR_KERNEL_GS_BASE,
};

static void msr_allow(uint8_t map[PAGE_SIZE], uint32_t msr)
{
	uint32_t bit = msr & 0x1fff;

	map += msr < 0x2000 ? 0 : 0x400;
	map[bit / 8] &= (uint8_t) ~(1u << bit % 8);
	map[0x800 + bit / 8] &= (uint8_t) ~(1u << bit % 8);
}

void vmx_maps_init(void)
{
	memset(ports_all, 0xff, sizeof(ports_all));
	sleep_watch(ports_root);
	memset(msrs, 0xff, sizeof(msrs));
	for (unsigned int i = 0; i < ARRAY_COUNT(direct_msrs); i++) {
		msr_allow(msrs, direct_msrs[i]);
	}
	memcpy(msrs_x2apic, msrs, sizeof(msrs));
	msr_allow(msrs_x2apic, LAPIC_MSR_X2APIC + LAPIC_TPR);
}

/* ---- which VMCS is current ---- */

static void vmcs_clear(uint64_t pa)
{
	__asm__ volatile("vmclear %0" : : "m"(pa) : "cc", "memory");
}

void vmx_make_current(const struct vcpu *vcpu)
{
	bool failed;

	__asm__ volatile("vmptrld %1" : "=@ccbe"(failed) : "m"(vcpu->vmx->vmcs_pa) : "memory");
	CHECK(!failed);
}

/* ---- creation ---- */

hv_status_t vendor_vcpu_create(struct vcpu *vcpu)
{
	struct partition *p = vcpu->vp->partition;
	struct vmx *vmx = plat_page_alloc(p);

	if (vmx == NULL) {
		return HV_STATUS_INSUFFICIENT_MEMORY;
	}
	vmx->vmcs = plat_page_alloc(p);
	if (vmx->vmcs == NULL) {
		plat_page_free(p, vmx);
		return HV_STATUS_INSUFFICIENT_MEMORY;
	}
	vcpu->vmx = vmx;
	vmx->vmcs_pa = plat_ptr_spa(vmx->vmcs).v;
	*(uint32_t *)vmx->vmcs = vmx_facts.revision;
	vmcs_clear(vmx->vmcs_pa);
	vendor_set_exception_intercepts(vcpu, 0);
	return HV_STATUS_SUCCESS;
}

void vendor_vcpu_destroy(struct vcpu *vcpu)
{
	struct partition *p = vcpu->vp->partition;

	plat_page_free(p, vcpu->vmx->vmcs);
	plat_page_free(p, vcpu->vmx);
	vcpu->vmx = NULL;
}

/* As svm.c: the two exceptions that could follow each other for ever always stop; machine checks
 * are the root's. */
void vendor_set_exception_intercepts(struct vcpu *vcpu, uint32_t vectors)
{
	vmx_set(vcpu, STATE_EXCEPTIONS, vectors | 1u << EXC_AC | 1u << EXC_DB | 1u << EXC_MC);
}

/* In the VMCS at the next entry. */
void vendor_intercept_debug(struct vcpu *vcpu, bool wanted)
{
	vcpu->vmx->proc_debug = wanted ? PROC_MOV_DR : 0;
}

void vmx_set_apic_mode(struct vcpu *vcpu, bool x2apic)
{
	bool direct = x2apic && vmx_facts.x2apic;
	bool root = vcpu->vp->partition->id == HV_ROOT_PARTITION;
	uint32_t proc2 = vmx_facts.proc2 & ~(root ? PROC2_CHILD : 0);

	vcpu->vmx->x2apic = x2apic;
	vmcs_write(VMCS_PROC_CONTROLS_2, proc2 | (direct ? PROC2_X2APIC : 0));
	vmcs_write(VMCS_MSR_BITMAP, plat_ptr_spa(direct ? msrs_x2apic : msrs).v);
}

static void set_up_controls(struct vcpu *vcpu)
{
	const struct partition *p = vcpu->vp->partition;
	const uint8_t *ports = p->id == HV_ROOT_PARTITION ? ports_root : ports_all;
	struct vmx *vmx = vcpu->vmx;

	vmcs_write(VMCS_PIN_CONTROLS, vmx_facts.pin);
	if (vmx_facts.pin & PIN_PREEMPTION_TIMER) {
		vmcs_write(VMCS_PREEMPTION_TIMER, vmx_facts.timer_counts);
	}
	vmcs_write(VMCS_PROC_CONTROLS, vmx_facts.proc);
	vmcs_write(VMCS_EXIT_CONTROLS, vmx_facts.exit);
	vmcs_write(VMCS_IO_BITMAP_A, plat_ptr_spa(ports).v);
	vmcs_write(VMCS_IO_BITMAP_B, plat_ptr_spa(ports + PAGE_SIZE).v);
	vmcs_write(VMCS_VIRTUAL_APIC, plat_ptr_spa(vmx->virtual_apic).v);
	vmcs_write(VMCS_TPR_THRESHOLD, 0);
	vmcs_write(VMCS_EPT_POINTER, vmx_ept_pointer(vcpu));
	vmcs_write(VMCS_CR0_MASK, CR0_HOST_OWNED);
	vmcs_write(VMCS_CR4_MASK, CR4_HOST_OWNED);
	vmcs_write(VMCS_CR3_TARGET_COUNT, 0);
	vmcs_write(VMCS_PAGE_FAULT_MASK, 0);
	vmcs_write(VMCS_PAGE_FAULT_MATCH, 0);
	vmcs_write(VMCS_EXIT_MSR_STORE_COUNT, 0);
	vmcs_write(VMCS_EXIT_MSR_LOAD_COUNT, 0);
	vmcs_write(VMCS_ENTRY_MSR_LOAD_COUNT, 0);
	vmcs_write(VMCS_ENTRY_EVENT, 0);
	vmcs_write(VMCS_LINK_POINTER, UINT64_MAX);
	vmcs_write(VMCS_GUEST_ACTIVITY, 0);
	if (vmx_facts.proc2 & PROC2_PAUSE_LOOP) {
		vmcs_write(VMCS_PAUSE_GAP, PAUSE_GAP);
		vmcs_write(VMCS_PAUSE_WINDOW, PAUSE_WINDOW);
	}
	if (vmx_facts.proc2 & PROC2_XSAVES) {
		vmcs_write(VMCS_XSS_EXITING_BITMAP, 0);
	}
	vmx_set_apic_mode(vcpu, false);
	vmx->proc_controls = vmx_facts.proc;
	vmx->tpr_threshold = 0;
}

/* The same on every LP but for RSP, which vendor_run sets. */
static void set_up_host(void)
{
	vmcs_write(VMCS_HOST_CR0, read_cr0());
	vmcs_write(VMCS_HOST_CR3, read_cr3());
	vmcs_write(VMCS_HOST_CR4, read_cr4());
	vmcs_write(VMCS_HOST_EFER, rdmsr(MSR_EFER));
	vmcs_write(VMCS_HOST_PAT, vmx_facts.pat);
	vmcs_write(VMCS_HOST_CS_SELECTOR, SELECTOR_CODE);
	vmcs_write(VMCS_HOST_SS_SELECTOR, SELECTOR_DATA);
	vmcs_write(VMCS_HOST_DS_SELECTOR, SELECTOR_DATA);
	vmcs_write(VMCS_HOST_ES_SELECTOR, SELECTOR_DATA);
	vmcs_write(VMCS_HOST_FS_SELECTOR, 0);
	vmcs_write(VMCS_HOST_GS_SELECTOR, 0);
	vmcs_write(VMCS_HOST_TR_SELECTOR, SELECTOR_TSS);
	vmcs_write(VMCS_HOST_FS_BASE, 0);
	vmcs_write(VMCS_HOST_GS_BASE, 0);
	vmcs_write(VMCS_HOST_TR_BASE, trap_tss_base());
	vmcs_write(VMCS_HOST_GDTR_BASE, trap_gdt_base());
	vmcs_write(VMCS_HOST_IDTR_BASE, fault_table.base);
	vmcs_write(VMCS_HOST_SYSENTER_CS, 0);
	vmcs_write(VMCS_HOST_SYSENTER_ESP, 0);
	vmcs_write(VMCS_HOST_SYSENTER_EIP, 0);
	vmcs_write(VMCS_HOST_RIP, (uintptr_t)vmx_exit_here);
}

/* ---- the state after INIT ---- */

static void segment_set(struct vcpu *vcpu, unsigned int segment, uint16_t selector, uint64_t base,
			uint32_t limit, uint32_t rights)
{
	vmx_set(vcpu, STATE_SELECTOR + segment, selector);
	vmx_set(vcpu, STATE_BASE + segment, base);
	vmx_set(vcpu, STATE_LIMIT + segment, limit);
	vmx_set(vcpu, STATE_RIGHTS + segment, rights);
}

static void data_segments_set(struct vcpu *vcpu, uint16_t selector, uint32_t limit, uint32_t rights)
{
	for (unsigned int i = 0; i < 6; i++) {
		if (i != HV_X64_REGISTER_CS - HV_X64_REGISTER_ES) {
			segment_set(vcpu, i, selector, 0, limit, rights);
		}
	}
}

static void reset_events(struct vmx *vmx)
{
	vmx->event = 0;
	vmx->window = 0;
	vmx->nmi_window = false;
	vmx->virtual_apic[0x80] = 0;
}

static void reset_control(struct vcpu *vcpu)
{
	vmx_set_efer(vcpu, 0);
	vmx_set_cr0(vcpu, CR0_ET | CR0_NW | CR0_CD);
	vmx_set(vcpu, STATE_CR3, 0);
	vmx_set_cr4(vcpu, 0);
	vmx_set(vcpu, STATE_DR7, 0x400);
	vmx_set(vcpu, STATE_RFLAGS, RFLAGS_FIXED);
	vmx_set(vcpu, STATE_RSP, 0);
	vmx_set(vcpu, STATE_DEBUGCTL, 0);
	vmx_set(vcpu, STATE_PAT, PAT_RESET);
	vmx_set(vcpu, STATE_INTERRUPTIBILITY, 0);
	vmx_set(vcpu, STATE_PENDING_DEBUG, 0);
	vcpu->vmx->cr2 = 0;
	vcpu->vmx->dr6 = 0xffff0ff0;
	vcpu->vmx->pdptes_stale = false;
}

static void reset_tables(struct vcpu *vcpu)
{
	vmx_set(vcpu, STATE_GDTR_BASE, 0);
	vmx_set(vcpu, STATE_GDTR_LIMIT, 0xffff);
	vmx_set(vcpu, STATE_IDTR_BASE, 0);
	vmx_set(vcpu, STATE_IDTR_LIMIT, 0xffff);
	vmx_set(vcpu, STATE_SYSENTER_CS, 0);
	vmx_set(vcpu, STATE_SYSENTER_ESP, 0);
	vmx_set(vcpu, STATE_SYSENTER_EIP, 0);
}

void vendor_reset(struct vcpu *vcpu)
{
	uint32_t out[4];

	vendor_sync(vcpu);
	reset_control(vcpu);
	reset_tables(vcpu);
	reset_events(vcpu->vmx);
	vcpu->event_length = 0;
	data_segments_set(vcpu, 0, 0xffff, 0x93);
	segment_set(vcpu, HV_X64_REGISTER_CS - HV_X64_REGISTER_ES, 0xf000, 0xffff0000, 0xffff,
		    0x9b);
	segment_set(vcpu, HV_X64_REGISTER_LDTR - HV_X64_REGISTER_ES, 0, 0, 0xffff, 0x82);
	segment_set(vcpu, HV_X64_REGISTER_TR - HV_X64_REGISTER_ES, 0, 0, 0xffff, 0x8b);
	vendor_resync(vcpu);
	vendor_flush_tlb(vcpu);
	memset(vcpu->gpr, 0, sizeof(vcpu->gpr));
	cpuid(1, 0, out);
	vcpu->gpr[GPR_RDX] = out[0]; /* the processor's signature */
	vcpu->rip = 0xfff0;
}

void vendor_startup(struct vcpu *vcpu, uint8_t vector)
{
	vmx_set(vcpu, STATE_SELECTOR + HV_X64_REGISTER_CS - HV_X64_REGISTER_ES,
		(uint64_t)vector << 8);
	vmx_set(vcpu, STATE_BASE + HV_X64_REGISTER_CS - HV_X64_REGISTER_ES, (uint64_t)vector << 12);
	vcpu->rip = 0;
}

void vendor_boot_root(struct vcpu *vcpu, uint32_t eip, uint32_t esi)
{
	/* The selectors of the Linux boot protocol: code 0x10, data 0x18. */
	data_segments_set(vcpu, 0x18, 0xffffffff, 0xc093);
	segment_set(vcpu, HV_X64_REGISTER_CS - HV_X64_REGISTER_ES, 0x10, 0, 0xffffffff, 0xc09b);
	vmx_set_cr0(vcpu, CR0_ET | CR0_PE);
	vcpu->rip = eip;
	vcpu->gpr[GPR_RSI] = esi;
}

/* ---- loaded and not ---- */

void vendor_sync(struct vcpu *vcpu)
{
	struct vmx *vmx = vcpu->vmx;

	if (lp_this()->current != vcpu) {
		return;
	}
#pragma GCC unroll 8
	for (unsigned int i = 0; i < SYSCALL_COUNT; i++) {
		vmx->syscall[i] = rdmsr(vmx_syscalls[i].msr);
	}
	vmx->cr2 = read_cr2();
	vmx->dr6 = read_dr6();
}

static void load_registers(const struct vmx *vmx)
{
#pragma GCC unroll 8
	for (unsigned int i = 0; i < SYSCALL_COUNT; i++) {
		wrmsr(vmx_syscalls[i].msr, vmx->syscall[i]);
	}
	write_cr2(vmx->cr2);
	write_dr6(vmx->dr6);
}

void vendor_resync(struct vcpu *vcpu)
{
	if (lp_this()->current == vcpu) {
		load_registers(vcpu->vmx);
	}
}

/*
 * With EPT and PAE paging the processor has the four pointers in the VMCS; it reads them from
 * memory only when the guest itself loads CR3. Takes the memory lock.
 */
static void load_pdptes(struct vcpu *vcpu)
{
	gpa_t at = {vmx_get(vcpu, STATE_CR3) & 0xffffffe0};
	uint64_t pdptes[4] = {0};

	vcpu->vmx->pdptes_stale = false;
	if (!(vmx_get(vcpu, STATE_CR0) & CR0_PG) || !(vmx_get(vcpu, STATE_CR4) & CR4_PAE) ||
	    (vmx_get(vcpu, STATE_EFER) & EFER_LMA)) {
		return;
	}
	if (!plat_gpa_read(vcpu->vp->partition, at, pdptes, sizeof(pdptes))) {
		memset(pdptes, 0, sizeof(pdptes));
	}
	for (unsigned int i = 0; i < 4; i++) {
		vmcs_write((enum vmcs_field)(VMCS_GUEST_PDPTE0 + 2 * i), pdptes[i]);
	}
}

void vmx_paging_changed(struct vcpu *vcpu)
{
	vendor_flush_tlb(vcpu);
	vcpu->vmx->pdptes_stale = true;
	if (lp_this()->current == vcpu) {
		load_pdptes(vcpu);
	}
}

void vendor_load(struct vcpu *vcpu)
{
	vmx_make_current(vcpu);
	if (!vcpu->vmx->is_set_up) {
		set_up_controls(vcpu);
		set_up_host();
		vcpu->vmx->is_set_up = true;
	}
	if (vcpu->vmx->pdptes_stale) {
		load_pdptes(vcpu);
	}
	load_registers(vcpu->vmx);
}

void vendor_save(struct vcpu *vcpu)
{
	vendor_sync(vcpu);
	if (vcpu == lp_this()->root) {
		return;
	}
	vmx_flush_state(vcpu);
	vmx_fetch_state(vcpu);
	vmcs_clear(vcpu->vmx->vmcs_pa);
	vcpu->vmx->launched = false;
}

/* ---- before an entry ---- */

void vendor_prepare(struct vcpu *vcpu)
{
	struct vmx *vmx = vcpu->vmx;
	struct lp *lp = lp_this();

	vmcs_write(VMCS_GUEST_RIP, vcpu->rip);
	if (__builtin_expect(vmx->event | vmx->injecting, 0)) {
		vmx_prepare_event(vcpu);
	}
	vmx_prepare_windows(vcpu);
	if (vmx->dirty) {
		vmx_flush_state(vcpu);
	}
	if (__builtin_expect(vmx->flush || vcpu->asid_generation != lp->asid_generation, 0)) {
		vmx_flush_now(vcpu, lp);
	}
}

void vendor_set_tsc_offset(struct vcpu *vcpu, uint64_t offset)
{
	vmx_set(vcpu, STATE_TSC_OFFSET, offset);
}

void vmx_report(const struct vcpu *vcpu, const char *what)
{
	if (vcpu != lp_this()->root) {
		return;
	}
	console_print("VMX %s refused: instruction error %lu, exit reason %lx, qualification %lx, "
		      "address %lx\n",
		      what, vmcs_read(VMCS_INSTRUCTION_ERROR), vmcs_read(VMCS_EXIT_REASON),
		      vmcs_read(VMCS_EXIT_QUALIFICATION), vmcs_read(VMCS_GUEST_PHYSICAL_ADDRESS));
	console_print("RIP %lx, RFLAGS %lx, CR0 %lx, CR3 %lx, CR4 %lx, EFER %lx, event %x\n",
		      vcpu->rip, vmx_get(vcpu, STATE_RFLAGS), vmx_get(vcpu, STATE_CR0),
		      vmx_get(vcpu, STATE_CR3), vmx_get(vcpu, STATE_CR4), vmx_get(vcpu, STATE_EFER),
		      vcpu->vmx->event);
}
