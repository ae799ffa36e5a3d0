/*
 * Events for the guest: one at a time by the VM entry, the rest waits for a window (Intel SDM vol.
 * 3, 26.6, 24.4.2).
 */
#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/exception.h"
#include "hypervisor/arch/x86/vmx/vmx.h"
#include "hypervisor/intercept.h"
#include "tlfs/lapic.h"

#define TPR 0x80 /* in the virtual-APIC page */

bool vendor_event_pending(const struct vcpu *vcpu)
{
	return vcpu->vmx->event & EVENT_VALID;
}

void vendor_inject_exception(struct vcpu *vcpu, uint8_t vector, bool has_error, uint32_t error)
{
	struct vmx *vmx = vcpu->vmx;
	uint32_t type = EVENT_EXCEPTION;

	if ((vmx->event & EVENT_VALID) && (vmx->event & EVENT_TYPE_MASK) == EVENT_EXCEPTION) {
		unsigned int merged = exception_merge(vmx->event & 0xff, vector);

		if (merged == EXC_SHUTDOWN) {
			intercept_shutdown(vcpu);
			return;
		}
		if (merged != vector) {
			vector = EXC_DF;
			has_error = true;
			error = 0;
		}
	}
	if (exception_sets_rf(vector)) {
		vmx_set(vcpu, STATE_RFLAGS, vmx_get(vcpu, STATE_RFLAGS) | RFLAGS_RF);
	} else if (vector == EXC_DB) {
		vmx_set(vcpu, STATE_DR7, vmx_get(vcpu, STATE_DR7) & ~DR7_GD);
	} else if (exception_is_software(vector)) {
		type = EVENT_SOFTWARE_TRAP;
		vcpu->event_length = vcpu->event_length ? vcpu->event_length : 1;
	}
	vmx->event = vector | type | EVENT_VALID | (has_error ? EVENT_HAS_ERROR : 0);
	vmx->error = error;
}

void vendor_inject_page_fault(struct vcpu *vcpu, uint64_t address, uint32_t error)
{
	vendor_sync(vcpu);
	vcpu->vmx->cr2 = address;
	vendor_resync(vcpu);
	vendor_inject_exception(vcpu, EXC_PF, true, error);
}

void vendor_inject_interrupt(struct vcpu *vcpu, uint8_t vector)
{
	vcpu->vmx->event = vector | EVENT_INTERRUPT | EVENT_VALID;
}

/* The processor itself blocks further ones until the guest's IRET. */
void vendor_inject_nmi(struct vcpu *vcpu)
{
	vcpu->vmx->event = EXC_NMI | EVENT_NMI | EVENT_VALID;
}

/* An exception has an error code if and only if it is one of those that have, and not in real mode:
 * other combinations are refused. */
void vmx_prepare_event(struct vcpu *vcpu)
{
	struct vmx *vmx = vcpu->vmx;
	uint32_t event = vmx->event;

	if ((event & EVENT_TYPE_MASK) == EVENT_EXCEPTION) {
		if (exception_has_error(event & 0xff) && (vmx_get(vcpu, STATE_CR0) & CR0_PE)) {
			event |= EVENT_HAS_ERROR;
		} else {
			event &= ~EVENT_HAS_ERROR;
		}
	}
	vmcs_write(VMCS_ENTRY_EVENT, event);
	vmcs_write(VMCS_ENTRY_ERROR_CODE, vmx->error);
	vmcs_write(VMCS_ENTRY_INSTRUCTION_LENGTH, vcpu->event_length);
	vmx->injecting = event & EVENT_VALID;
}

bool vendor_shadow(const struct vcpu *vcpu)
{
	return vmx_get(vcpu, STATE_INTERRUPTIBILITY) & BLOCKED_SHADOW;
}

/* A single step that waited for the end of the shadow goes with it. */
void vendor_clear_shadow(struct vcpu *vcpu)
{
	uint64_t blocked = vmx_get(vcpu, STATE_INTERRUPTIBILITY);

	if (blocked & BLOCKED_SHADOW) {
		vmx_set(vcpu, STATE_INTERRUPTIBILITY, blocked & ~(uint64_t)BLOCKED_SHADOW);
		vmx_set(vcpu, STATE_PENDING_DEBUG, 0);
	}
}

bool vendor_can_take_interrupt(const struct vcpu *vcpu)
{
	return (vmx_get(vcpu, STATE_RFLAGS) & RFLAGS_IF) && !vendor_shadow(vcpu);
}

bool vendor_can_take_nmi(const struct vcpu *vcpu)
{
	return !(vmx_get(vcpu, STATE_INTERRUPTIBILITY) & (BLOCKED_BY_NMI | BLOCKED_SHADOW));
}

bool vendor_nmi_blocked(const struct vcpu *vcpu)
{
	return vmx_get(vcpu, STATE_INTERRUPTIBILITY) & BLOCKED_BY_NMI;
}

void vendor_set_nmi_blocked(struct vcpu *vcpu, bool blocked)
{
	uint64_t old = vmx_get(vcpu, STATE_INTERRUPTIBILITY) & ~(uint64_t)BLOCKED_BY_NMI;

	vmx_set(vcpu, STATE_INTERRUPTIBILITY, old | (blocked ? BLOCKED_BY_NMI : 0));
}

void vendor_interrupt_window(struct vcpu *vcpu, uint8_t priority)
{
	vcpu->vmx->window = priority;
}

void vendor_nmi_window(struct vcpu *vcpu, bool wanted)
{
	vcpu->vmx->nmi_window = wanted;
}

/*
 * What waits above the TPR waits for IF and the end of a shadow: an interrupt window. What the TPR
 * holds back waits for that first: the threshold, under which the TPR falls just when the
 * interrupt's priority is above it.
 */
void vmx_prepare_windows(struct vcpu *vcpu)
{
	struct vmx *vmx = vcpu->vmx;
	uint32_t cr8 = vmx->virtual_apic[TPR] >> 4, threshold = 0;
	uint32_t proc = vmx_facts.proc | vmx->proc_debug;

	if (vmx->window > cr8) {
		proc |= PROC_INTERRUPT_WINDOW;
	} else {
		threshold = vmx->window;
	}
	if (vmx->nmi_window) {
		proc |= PROC_NMI_WINDOW;
	}
	if (__builtin_expect(proc != vmx->proc_controls, 0)) {
		vmcs_write(VMCS_PROC_CONTROLS, proc);
		vmx->proc_controls = proc;
	}
	if (__builtin_expect(threshold != vmx->tpr_threshold, 0)) {
		vmcs_write(VMCS_TPR_THRESHOLD, threshold);
		vmx->tpr_threshold = threshold;
	}
}

uint32_t vendor_get_tpr(const struct vcpu *vcpu)
{
	return vcpu->vmx->virtual_apic[TPR];
}

void vendor_set_tpr(struct vcpu *vcpu, uint32_t tpr)
{
	bool x2apic = lapic_x2apic(&vcpu->vp->lapic);

	vcpu->vmx->virtual_apic[TPR] = (uint8_t)tpr;
	if (__builtin_expect(x2apic != vcpu->vmx->x2apic, 0)) {
		vmx_set_apic_mode(vcpu, x2apic);
	}
}

/* HV_REGISTER_PENDING_INTERRUPTION: pending 0, type 3:1 (as here), error valid 4, length 8:5,
 * vector 31:16, error code 63:32. */
uint64_t vendor_get_pending_interruption(const struct vcpu *vcpu)
{
	const struct vmx *vmx = vcpu->vmx;

	if (!(vmx->event & EVENT_VALID)) {
		return 0;
	}
	return 1 | (vmx->event >> 8 & 7) << 1 | (vmx->event & EVENT_HAS_ERROR ? 1ull << 4 : 0) |
	       ((vmx->event & EVENT_TYPE_MASK) < EVENT_SOFTWARE
			? 0
			: (uint64_t)(vcpu->event_length & 15) << 5) |
	       (vmx->event & 0xff) << 16 |
	       (vmx->event & EVENT_HAS_ERROR ? (uint64_t)vmx->error << 32 : 0);
}

/* Only what an entry accepts: a vector of its type, and a length for what is an instruction's. */
void vendor_set_pending_interruption(struct vcpu *vcpu, uint64_t value)
{
	struct vmx *vmx = vcpu->vmx;
	uint32_t type = (uint32_t)(value << 7) & EVENT_TYPE_MASK, vector = value >> 16 & 0xff;
	uint8_t length = value >> 5 & 15;

	vmx->event = 0;
	if (!(value & 1) || type == 1u << 8 || type == 7u << 8) {
		return;
	}
	if ((type == EVENT_NMI && vector != EXC_NMI) || (type == EVENT_EXCEPTION && vector > 31)) {
		return;
	}
	vmx->event = EVENT_VALID | type | vector;
	if (value & 1u << 4) {
		vmx->event |= EVENT_HAS_ERROR;
	}
	vmx->error = (uint32_t)(value >> 32);
	vcpu->event_length = length ? length : type == EVENT_SOFTWARE ? 2 : 1;
}
