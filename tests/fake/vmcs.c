#include "tests/fake/vmcs.h"

#include "hypervisor/arch/x86/vmx/vmx.h"

uint64_t vmcs[0x8000];
struct vmx_facts vmx_facts;

uint64_t vmcs_read(enum vmcs_field field)
{
	return vmcs[field];
}

void vmcs_write(enum vmcs_field field, uint64_t value)
{
	vmcs[field] = value;
}

uint64_t vmx_get_field(const struct vcpu *vcpu, unsigned int state)
{
	return vcpu->vmx->state[state];
}

void vmx_set(struct vcpu *vcpu, unsigned int state, uint64_t value)
{
	vcpu->vmx->state[state] = value;
}

void vmx_fetch_state(struct vcpu *vcpu)
{
	(void)vcpu;
}

void vmx_set_apic_mode(struct vcpu *vcpu, bool x2apic)
{
	vcpu->vmx->x2apic = x2apic;
}

void vendor_sync(struct vcpu *vcpu)
{
	(void)vcpu;
}

void vendor_resync(struct vcpu *vcpu)
{
	(void)vcpu;
}
