#include "hypervisor/register_page.h"

#include "hypervisor/arch/x86/vendor.h"
#include "hypervisor/vcpu.h"
#include "include/hv/vp.h"
#include "lib/string.h"

#define FXSAVE_XMM 160

#define DIRTY(class) (1u << HV_X64_REGISTER_CLASS_##class)

static const uint32_t segment_names[] = {HV_X64_REGISTER_ES, HV_X64_REGISTER_CS,
					 HV_X64_REGISTER_SS, HV_X64_REGISTER_DS,
					 HV_X64_REGISTER_FS, HV_X64_REGISTER_GS};

static void set64(struct vcpu *vcpu, uint32_t name, uint64_t value)
{
	union hv_register_value v = {.reg64 = value};

	CHECK(vendor_register_set(vcpu, name, &v) == HV_STATUS_SUCCESS);
}

static void take_segments(struct vcpu *vcpu, const struct hv_vp_register_page *page)
{
	for (unsigned int i = 0; i < ARRAY_COUNT(segment_names); i++) {
		union hv_register_value v = {.segment = page->segment_registers[i]};

		CHECK(vendor_register_set(vcpu, segment_names[i], &v) == HV_STATUS_SUCCESS);
	}
}

/* What the parent's user space wrote is any value: each is one that SetVpRegisters would take as
 * well. */
void register_page_take(struct vcpu *vcpu)
{
	struct hv_vp_register_page *page = vcpu->vp->register_page;
	uint32_t dirty = page->dirty;

	if (!dirty) {
		return;
	}
	page->dirty = 0;
	if (dirty & DIRTY(GENERAL)) {
		copy_words(vcpu->gpr, page->gp_registers, sizeof(vcpu->gpr));
		set64(vcpu, HV_X64_REGISTER_RSP, vcpu->gpr[GPR_RSP]);
	}
	if (dirty & DIRTY(IP)) {
		vcpu->rip = page->rip;
		vendor_clear_shadow(vcpu);
	}
	if (dirty & DIRTY(FLAGS)) {
		set64(vcpu, HV_X64_REGISTER_RFLAGS, page->rflags);
	}
	if (dirty & DIRTY(XMM)) {
		memcpy((uint8_t *)vcpu->fpu + FXSAVE_XMM, page->xmm_registers,
		       sizeof(page->xmm_registers));
		*((uint8_t *)vcpu->fpu + 512) |= 2; /* XSTATE_BV: SSE is there */
	}
	if (dirty & DIRTY(SEGMENT)) {
		take_segments(vcpu, page);
	}
}

/* What is read stands before what is written: for a compiler the page may be the control block. */
static void give_control(struct vcpu *vcpu, struct hv_vp_register_page *page)
{
	const uint64_t cr0 = vendor_get_cr(vcpu, 0), cr3 = vendor_get_cr(vcpu, 3);
	const uint64_t cr4 = vendor_get_cr(vcpu, 4), efer = vendor_get_efer(vcpu);
	const uint64_t rsp = vendor_get_rsp(vcpu), rflags = vendor_get_rflags(vcpu);
	const uint64_t rip = vcpu->rip, xfem = vcpu->xcr0;

	page->cr0 = cr0;
	page->cr3 = cr3;
	page->cr4 = cr4;
	page->efer = efer;
	page->rsp = rsp;
	page->rflags = rflags;
	page->rip = rip;
	page->xfem = xfem;
}

void register_page_give(struct vcpu *vcpu)
{
	const struct vp *vp = vcpu->vp;
	struct hv_vp_register_page *page = vp->register_page;

	if (vp->register_page_gpn == HV_NEVER) {
		return;
	}
	page->version = HV_VP_REGISTER_PAGE_VERSION_1;
	page->dirty = 0;
	page->cr8 = vp->lapic.tpr >> 4;
	copy_words(page->gp_registers, vcpu->gpr, sizeof(vcpu->gpr));
	copy_words(page->xmm_registers, (uint8_t *)vcpu->fpu + FXSAVE_XMM,
		   sizeof(page->xmm_registers));
	give_control(vcpu, page);
	vendor_get_segments(vcpu, page->segment_registers);
	page->pending_interruption.as_uint64 = vendor_get_pending_interruption(vcpu);
	page->interrupt_state.as_uint64 = vendor_shadow(vcpu);
	page->isvalid = 1;
}
