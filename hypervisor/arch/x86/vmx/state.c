/*
 * The copies of a guest's state; see vmx.h.
 */
#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/vmx/vmx.h"
#include "hypervisor/lp.h"

#define SEGMENT_FIELDS(state, field)                                                               \
	[(state)] = (field), [(state) + 1] = (field) + 2, [(state) + 2] = (field) + 4,             \
	[(state) + 3] = (field) + 6, [(state) + 4] = (field) + 8, [(state) + 5] = (field) + 10,    \
	[(state) + 6] = (field) + 12, [(state) + 7] = (field) + 14

static const uint16_t fields[STATE_COUNT] = {
	[STATE_RSP] = VMCS_GUEST_RSP,
	[STATE_RFLAGS] = VMCS_GUEST_RFLAGS,
	[STATE_CR0] = VMCS_GUEST_CR0,
	[STATE_CR3] = VMCS_GUEST_CR3,
	[STATE_CR4] = VMCS_GUEST_CR4,
	[STATE_DR7] = VMCS_GUEST_DR7,
	[STATE_DEBUGCTL] = VMCS_GUEST_DEBUGCTL,
	[STATE_PAT] = VMCS_GUEST_PAT,
	[STATE_EFER] = VMCS_GUEST_EFER,
	[STATE_SYSENTER_CS] = VMCS_GUEST_SYSENTER_CS,
	[STATE_SYSENTER_ESP] = VMCS_GUEST_SYSENTER_ESP,
	[STATE_SYSENTER_EIP] = VMCS_GUEST_SYSENTER_EIP,
	[STATE_INTERRUPTIBILITY] = VMCS_GUEST_INTERRUPTIBILITY,
	[STATE_PENDING_DEBUG] = VMCS_GUEST_PENDING_DEBUG,
	[STATE_GDTR_BASE] = VMCS_GUEST_GDTR_BASE,
	[STATE_GDTR_LIMIT] = VMCS_GUEST_GDTR_LIMIT,
	[STATE_IDTR_BASE] = VMCS_GUEST_IDTR_BASE,
	[STATE_IDTR_LIMIT] = VMCS_GUEST_IDTR_LIMIT,
	SEGMENT_FIELDS(STATE_SELECTOR, VMCS_GUEST_ES_SELECTOR),
	SEGMENT_FIELDS(STATE_LIMIT, VMCS_GUEST_ES_LIMIT),
	SEGMENT_FIELDS(STATE_RIGHTS, VMCS_GUEST_ES_RIGHTS),
	SEGMENT_FIELDS(STATE_BASE, VMCS_GUEST_ES_BASE),
	[STATE_ENTRY_CONTROLS] = VMCS_ENTRY_CONTROLS,
	[STATE_CR0_SHADOW] = VMCS_CR0_SHADOW,
	[STATE_CR4_SHADOW] = VMCS_CR4_SHADOW,
	[STATE_TSC_OFFSET] = VMCS_TSC_OFFSET,
	[STATE_EXCEPTIONS] = VMCS_EXCEPTION_BITMAP,
};

static uint64_t read_beside_child(const struct vcpu *root, unsigned int state)
{
	uint64_t value;

	vmx_make_current(root);
	value = vmcs_read(fields[state]);
	vmx_make_current(lp_this()->current);
	return value;
}

/*
 * Only a root VP's is not complete while it is not loaded, and that is while a child runs on its
 * LP: there its VMCS is made current. From another LP it must not be touched.
 */
uint64_t vmx_get_field(const struct vcpu *vcpu, unsigned int state)
{
	const struct lp *lp = lp_this();
	struct vmx *vmx = vcpu->vmx;

	if (__builtin_expect(lp->current == vcpu, 1)) {
		vmx->state[state] = vmcs_read(fields[state]);
	} else if (vcpu->lp == lp) {
		vmx->state[state] = read_beside_child(vcpu, state);
	} else {
		return vmx->state[state];
	}
	vmx->valid |= 1ull << state;
	return vmx->state[state];
}

void vmx_set(struct vcpu *vcpu, unsigned int state, uint64_t value)
{
	struct vmx *vmx = vcpu->vmx;

	vmx->state[state] = value;
	vmx->valid |= 1ull << state;
	vmx->dirty |= 1ull << state;
}

void vmx_flush_state(struct vcpu *vcpu)
{
	struct vmx *vmx = vcpu->vmx;

	for (uint64_t left = vmx->dirty; left; left &= left - 1) {
		unsigned int state = (unsigned int)__builtin_ctzll(left);

		vmcs_write(fields[state], vmx->state[state]);
	}
	vmx->dirty = 0;
}

void vmx_fetch_state(struct vcpu *vcpu)
{
	struct vmx *vmx = vcpu->vmx;

	if (vmx->valid == STATE_ALL) {
		return;
	}
#pragma GCC unroll 64
	for (unsigned int state = 0; state < STATE_CR0_SHADOW; state++) {
		vmcs_read_to(&vmx->state[state], (enum vmcs_field)fields[state]);
	}
	vmx->valid = STATE_ALL;
}

void vmx_set_cr0(struct vcpu *vcpu, uint64_t value)
{
	vmx_set(vcpu, STATE_CR0, (value & ~CR0_HOST_OWNED) | CR0_NE);
	vmx_set(vcpu, STATE_CR0_SHADOW, value);
}

void vmx_set_cr4(struct vcpu *vcpu, uint64_t value)
{
	vmx_set(vcpu, STATE_CR4, value | CR4_VMXE | CR4_MCE);
	vmx_set(vcpu, STATE_CR4_SHADOW, value);
}

/* Entries demand that EFER.LMA and the control for a 64-bit guest are the same. */
void vmx_set_efer(struct vcpu *vcpu, uint64_t value)
{
	vmx_set(vcpu, STATE_EFER, value);
	vmx_set(vcpu, STATE_ENTRY_CONTROLS,
		vmx_facts.entry | (value & EFER_LMA ? ENTRY_GUEST_64 : 0));
}
