/*
 * tlfs/plat.h on bare metal: VPs, registers, MSRs. Its memory part is gpa*.c and memory.c, timers
 * timer.c, dispatch and kicks run.c, interrupts interrupt.c, XSAVE images fpu.c.
 */
#include "tlfs/plat.h"

#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/vendor.h"
#include "hypervisor/arch/x86/walk.h"
#include "hypervisor/fpu.h"
#include "hypervisor/home.h"
#include "hypervisor/lp.h"
#include "hypervisor/message.h"
#include "hypervisor/msr_root.h"
#include "hypervisor/speculation.h"
#include "hypervisor/vcpu.h"

struct plat_info plat_info;

uint64_t plat_tsc(void)
{
	return rdtsc();
}

void plat_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
	cpuid(leaf, subleaf, out);
}

hv_status_t plat_partition_create(struct partition *p)
{
	struct partition_home *home = plat_page_alloc(p);
	hv_status_t status;

	if (home == NULL) {
		return HV_STATUS_INSUFFICIENT_MEMORY;
	}
	p->home = home;
	status = p->id == HV_ROOT_PARTITION
			 ? gpa_create_root(&home->gpa, p, (uint8_t)vendor_max_level())
			 : gpa_create(&home->gpa, p);
	if (status != HV_STATUS_SUCCESS) {
		p->home = NULL;
		plat_page_free(p, home);
	}
	return status;
}

bool plat_partition_destroy(struct partition *p)
{
	struct partition_home *home = p->home;

	if (home == NULL) {
		return true;
	}
	if (!gpa_destroy(&home->gpa)) {
		return false;
	}
	p->home = NULL;
	plat_page_free(p, home);
	return true;
}

hv_status_t plat_vp_create(struct vp *vp)
{
	struct partition *p = vp->partition;
	struct vcpu *vcpu = plat_page_alloc(p);
	hv_status_t status;

	if (vcpu == NULL) {
		return HV_STATUS_INSUFFICIENT_MEMORY;
	}
	vcpu->vp = vp;
	vcpu->map = gpa_of(p);
	vcpu->fpu = plat_page_alloc(p);
	status = vcpu->fpu != NULL ? vendor_vcpu_create(vcpu) : HV_STATUS_INSUFFICIENT_MEMORY;
	if (status != HV_STATUS_SUCCESS) {
		if (vcpu->fpu != NULL) {
			plat_page_free(p, vcpu->fpu);
		}
		plat_page_free(p, vcpu);
		return status;
	}
	vp->home = vcpu;
	fpu_create(vcpu);
	speculation_vcpu_init(vcpu);
	if (p->id == HV_ROOT_PARTITION) {
		vcpu->lp = lp_get(vp->index);
		vcpu->lp->root = vcpu;
	}
	vendor_reset(vcpu);
	vendor_set_tsc_offset(vcpu, vp->tsc_offset);
	return HV_STATUS_SUCCESS;
}

void plat_vp_destroy(struct vp *vp)
{
	struct vcpu *vcpu = vp->home;

	vendor_vcpu_destroy(vcpu);
	plat_page_free(vp->partition, vcpu->fpu);
	plat_page_free(vp->partition, vcpu);
	vp->home = NULL;
}

void plat_vp_reset(struct vp *vp)
{
	vendor_reset(vp->home);
}

void plat_vp_startup(struct vp *vp, uint8_t vector)
{
	vendor_startup(vp->home, vector);
}

bool plat_nmi_masked(struct vp *vp)
{
	union hv_register_value event = {.reg64 = vendor_get_pending_interruption(vp->home)};

	return vendor_nmi_blocked(vp->home) ||
	       (event.pending_interruption.interruption_pending &&
		event.pending_interruption.interruption_type == HV_X64_PENDING_NMI);
}

void plat_tsc_offset_changed(struct vp *vp)
{
	vendor_set_tsc_offset(vp->home, vp->tsc_offset);
}

uint64_t plat_cr4(struct vp *vp)
{
	return vendor_get_cr(vp->home, 4);
}

uint64_t plat_xcr0(struct vp *vp)
{
	return fpu_get_xcr0(vp->home);
}

void plat_intercept_header(struct vp *vp, uint8_t access,
			   struct hv_x64_intercept_message_header *header)
{
	message_header(vp->home, 0, access, header);
}

/* MSRs of the machine: the root's (msr_root.c). Children have none of them. */
enum access_result plat_msr_read(struct vp *vp, uint32_t msr, uint64_t *value)
{
	struct vcpu *vcpu = vp->home;
	enum access_result result = vendor_msr_read(vcpu, msr, value);

	if (result != ACCESS_PARENT) {
		return result;
	}
	switch (msr) {
	case MSR_TSC_AUX:
		*value = vcpu->tsc_aux;
		return ACCESS_OK;
	case MSR_SPEC_CTRL:
		*value = vcpu->spec_ctrl;
		return vcpu->vp->partition->spec_ctrl_bits ? ACCESS_OK : ACCESS_FAULT;
	}
	if (vp->partition->id != HV_ROOT_PARTITION) {
		return ACCESS_PARENT;
	}
	return msr_root_read(msr, value);
}

static enum access_result write_through(uint64_t *copy, uint32_t msr, uint64_t value)
{
	if (!wrmsr_safe(msr, value)) {
		return ACCESS_FAULT;
	}
	*copy = value;
	return ACCESS_OK;
}

enum access_result plat_msr_write(struct vp *vp, uint32_t msr, uint64_t value)
{
	struct vcpu *vcpu = vp->home;
	enum access_result result = vendor_msr_write(vcpu, msr, value);

	if (result != ACCESS_PARENT) {
		return result;
	}
	switch (msr) {
	case MSR_TSC_AUX:
		return value >> 32 ? ACCESS_FAULT : write_through(&vcpu->tsc_aux, msr, value);
	case MSR_SPEC_CTRL:
		return vcpu->vp->partition->spec_ctrl_bits && speculation_set_spec_ctrl(vcpu, value)
			       ? ACCESS_OK
			       : ACCESS_FAULT;
	case MSR_PRED_CMD:
		return vcpu->vp->partition->pred_cmd_bits &&
				       !(value & ~vcpu->vp->partition->pred_cmd_bits) &&
				       wrmsr_safe(msr, value)
			       ? ACCESS_OK
			       : ACCESS_FAULT;
	}
	if (vp->partition->id != HV_ROOT_PARTITION) {
		return ACCESS_PARENT;
	}
	return msr_root_write(msr, value);
}

/* The registers that the vcpu itself holds; NULL for another name. */
static uint64_t *plain_register(struct vcpu *vcpu, uint32_t name)
{
	if (name >= HV_X64_REGISTER_RAX && name <= HV_X64_REGISTER_R15 &&
	    name != HV_X64_REGISTER_RSP) {
		return &vcpu->gpr[name - HV_X64_REGISTER_RAX];
	}
	if (name == HV_X64_REGISTER_RIP) {
		return &vcpu->rip;
	}
	if (name == HV_X64_REGISTER_TSC_AUX) {
		return &vcpu->tsc_aux;
	}
	if (name >= HV_X64_REGISTER_DR0 && name <= HV_X64_REGISTER_DR3) {
		return &vcpu->dr[name - HV_X64_REGISTER_DR0];
	}
	return NULL;
}

hv_status_t plat_register_get(struct vp *vp, uint32_t name, union hv_register_value *value)
{
	struct vcpu *vcpu = vp->home;
	const uint64_t *at = plain_register(vcpu, name);

	*value = (union hv_register_value){0};
	if (at != NULL) {
		value->reg64 = *at;
		return HV_STATUS_SUCCESS;
	}
	switch (name) {
	case HV_X64_REGISTER_SPEC_CTRL:
		value->reg64 = vcpu->spec_ctrl;
		return HV_STATUS_SUCCESS;
	case HV_X64_REGISTER_XFEM:
		value->reg64 = fpu_get_xcr0(vcpu);
		return HV_STATUS_SUCCESS;
	case HV_REGISTER_PENDING_INTERRUPTION:
		value->reg64 = vendor_get_pending_interruption(vcpu);
		return HV_STATUS_SUCCESS;
	case HV_REGISTER_INTERRUPT_STATE:
		value->interrupt_state.interrupt_shadow = vendor_shadow(vcpu);
		value->interrupt_state.nmi_masked = vendor_nmi_blocked(vcpu);
		return HV_STATUS_SUCCESS;
	}
	if (fpu_register(vcpu, name, value, false)) {
		return HV_STATUS_SUCCESS;
	}
	return vendor_register_get(vcpu, name, value);
}

hv_status_t plat_register_set(struct vp *vp, uint32_t name, const union hv_register_value *value)
{
	struct vcpu *vcpu = vp->home;
	uint64_t *at = plain_register(vcpu, name);
	union hv_register_value copy = *value;

	if (at != NULL) {
		*at = value->reg64;
		if (name == HV_X64_REGISTER_RIP) {
			vendor_clear_shadow(vcpu);
		} else if (name >= HV_X64_REGISTER_DR0 && name <= HV_X64_REGISTER_DR3) {
			fpu_debug_written(vcpu);
		}
		return HV_STATUS_SUCCESS;
	}
	switch (name) {
	case HV_X64_REGISTER_DR7:
		fpu_debug_written(vcpu);
		break;
	case HV_X64_REGISTER_SPEC_CTRL:
		return speculation_set_spec_ctrl(vcpu, value->reg64)
			       ? HV_STATUS_SUCCESS
			       : HV_STATUS_INVALID_REGISTER_VALUE;
	case HV_X64_REGISTER_XFEM:
		return fpu_set_xfem(vcpu, value->reg64) ? HV_STATUS_SUCCESS
							: HV_STATUS_INVALID_REGISTER_VALUE;
	case HV_REGISTER_PENDING_INTERRUPTION:
		vendor_set_pending_interruption(vcpu, value->reg64);
		return HV_STATUS_SUCCESS;
	case HV_REGISTER_INTERRUPT_STATE:
		if (!value->interrupt_state.interrupt_shadow) {
			vendor_clear_shadow(vcpu);
		}
		vendor_set_nmi_blocked(vcpu, value->interrupt_state.nmi_masked);
		return HV_STATUS_SUCCESS;
	}
	if (fpu_register(vcpu, name, &copy, true)) {
		return HV_STATUS_SUCCESS;
	}
	return vendor_register_set(vcpu, name, value);
}

/* The hypervisor itself uses no vector register, so the guest's are in the processor all the
 * time. */
void plat_xmm_get(struct vp *vp, uint64_t xmm[PLAT_XMM_WORDS])
{
	(void)vp;
	__asm__ volatile("movdqu %%xmm0, 0(%0); movdqu %%xmm1, 16(%0); movdqu %%xmm2, 32(%0);"
			 "movdqu %%xmm3, 48(%0); movdqu %%xmm4, 64(%0); movdqu %%xmm5, 80(%0)"
			 :
			 : "r"(xmm)
			 : "memory");
}

void plat_xmm_set(struct vp *vp, const uint64_t xmm[PLAT_XMM_WORDS])
{
	(void)vp;
	__asm__ volatile("movdqu 0(%0), %%xmm0; movdqu 16(%0), %%xmm1; movdqu 32(%0), %%xmm2;"
			 "movdqu 48(%0), %%xmm3; movdqu 64(%0), %%xmm4; movdqu 80(%0), %%xmm5"
			 :
			 : "r"(xmm)
			 : "memory");
}

hv_status_t plat_translate_gva(struct vp *vp, gva_t gva, uint64_t control_flags, uint32_t *code,
			       gpa_t *gpa, uint32_t *error)
{
	uint32_t access = WALK_READ;
	bool user = vendor_get_cpl(vp->home) == 3;

	if (control_flags & HV_TRANSLATE_GVA_VALIDATE_WRITE) {
		access |= WALK_WRITE;
	}
	if (control_flags & HV_TRANSLATE_GVA_VALIDATE_EXECUTE) {
		access |= WALK_FETCH;
	}
	if (control_flags & HV_TRANSLATE_GVA_SET_PAGE_TABLE_BITS) {
		access |= WALK_SET_BITS;
	}
	if (control_flags & HV_TRANSLATE_GVA_USER_ACCESS) {
		user = true;
	}
	if (control_flags &
	    (HV_TRANSLATE_GVA_SUPERVISOR_ACCESS | HV_TRANSLATE_GVA_PRIVILEGE_EXEMPT)) {
		user = false;
	}
	if (user) {
		access |= WALK_USER;
	}
	*code = walk_gva(vp->home, gva, access, gpa, error);
	return HV_STATUS_SUCCESS;
}
