/*
 * Events for the guest: one at a time through EVENTINJ, the rest waits for a window (AMD APM vol. 2, 15.20, 15.21).
 */
#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/svm/svm.h"

bool vendor_event_pending(const struct vcpu *vcpu)
{
	return vcpu->vmcb->event_injection & SVM_EVENT_VALID;
}

/* Two contributory exceptions make a double fault, a third one stops the VP (Intel SDM vol. 3, table 6-5). */
static bool contributory(unsigned int vector)
{
	return vector == EXC_DE || (vector >= 10 && vector <= 13);
}

void vendor_inject_exception(struct vcpu *vcpu, uint8_t vector, bool has_error, uint32_t error)
{
	uint64_t pending = vcpu->vmcb->event_injection;
	uint64_t event;

	if ((pending & SVM_EVENT_VALID) && (pending & SVM_EVENT_TYPE_MASK) == SVM_EVENT_EXCEPTION) {
		unsigned int first = pending & 0xff;

		if ((contributory(first) && contributory(vector)) ||
		    (first == EXC_PF && (contributory(vector) || vector == EXC_PF))) {
			vector = EXC_DF;
			has_error = true;
			error = 0;
		}
	}
	event = vector | SVM_EVENT_EXCEPTION | SVM_EVENT_VALID;
	if (has_error) {
		event |= SVM_EVENT_HAS_ERROR | (uint64_t)error << 32;
	}
	vcpu->vmcb->event_injection = event;
}

void vendor_inject_page_fault(struct vcpu *vcpu, uint64_t address, uint32_t error)
{
	vcpu->vmcb->cr2 = address;
	vendor_inject_exception(vcpu, EXC_PF, true, error);
}

void vendor_inject_interrupt(struct vcpu *vcpu, uint8_t vector)
{
	vcpu->vmcb->event_injection = vector | SVM_EVENT_INTR | SVM_EVENT_VALID;
}

void vendor_inject_nmi(struct vcpu *vcpu)
{
	vcpu->vmcb->event_injection = EXC_NMI | SVM_EVENT_NMI | SVM_EVENT_VALID;
	vendor_set_nmi_blocked(vcpu, true);
}

bool vendor_nmi_blocked(const struct vcpu *vcpu)
{
	return vcpu->nmi_blocked;
}

void vendor_set_nmi_blocked(struct vcpu *vcpu, bool blocked)
{
	vcpu->nmi_blocked = blocked;
	if (blocked) {
		vcpu->vmcb->intercept_1 |= SVM_INTERCEPT_IRET;
	} else {
		vcpu->vmcb->intercept_1 &= ~SVM_INTERCEPT_IRET;
	}
}

bool vendor_shadow(const struct vcpu *vcpu)
{
	return vcpu->vmcb->interrupt_shadow & 1;
}

bool vendor_can_take_interrupt(const struct vcpu *vcpu)
{
	return (vcpu->vmcb->rflags & RFLAGS_IF) && !vendor_shadow(vcpu);
}

bool vendor_can_take_nmi(const struct vcpu *vcpu)
{
	return !vcpu->nmi_blocked && !vendor_shadow(vcpu);
}

/*
 * A virtual interrupt that is never delivered: VINTR is intercepted, and the processor takes it up only when IF, the shadow
 * and V_TPR let an interrupt of that priority through.
 */
void vendor_interrupt_window(struct vcpu *vcpu, uint8_t priority)
{
	struct vmcb *vmcb = vcpu->vmcb;
	uint64_t control = vmcb->interrupt_control & ~(SVM_V_IRQ | SVM_V_PRIO_MASK);

	if (priority) {
		vmcb->interrupt_control =
			control | SVM_V_IRQ | (uint64_t)priority << SVM_V_PRIO_SHIFT;
		vmcb->intercept_1 |= SVM_INTERCEPT_VINTR;
	} else if (vmcb->interrupt_control & SVM_V_IRQ) {
		vmcb->interrupt_control = control;
		vmcb->intercept_1 &= ~SVM_INTERCEPT_VINTR;
	}
}

/*
 * NMIs are blocked until IRET, which is intercepted while one is blocked: then the next boundary can take it. A shadow alone
 * is waited out by an interrupt window of the highest class, which the guest may delay by its IF, never lose.
 */
void vendor_nmi_window(struct vcpu *vcpu, bool wanted)
{
	if (wanted && !vcpu->nmi_blocked) {
		vendor_interrupt_window(vcpu, 15);
	}
}

/* The processor has its class alone, and a guest changes that by CR8, which clears the rest. */
uint32_t vendor_get_tpr(const struct vcpu *vcpu)
{
	uint32_t cr8 = vcpu->vmcb->interrupt_control & 0xf, before = vcpu->vp->lapic.tpr;

	return cr8 == before >> 4 ? before : cr8 << 4;
}

void vendor_set_tpr(struct vcpu *vcpu, uint32_t tpr)
{
	vcpu->vmcb->interrupt_control =
		(vcpu->vmcb->interrupt_control & ~SVM_V_TPR_MASK) | tpr >> 4;
}

/* HV_REGISTER_PENDING_INTERRUPTION: pending 0, type 3:1 (0 interrupt, 2 NMI, 3 exception, 4 software), error valid 4, length 8:5,
 * vector 31:16, error code 63:32. SVM has the same types in bits 10:8. */
uint64_t vendor_get_pending_interruption(const struct vcpu *vcpu)
{
	uint64_t event = vcpu->vmcb->event_injection;

	if (!(event & SVM_EVENT_VALID)) {
		return 0;
	}
	return 1 | (event >> 8 & 7) << 1 | (event & SVM_EVENT_HAS_ERROR ? 1ull << 4 : 0) |
	       (event & 0xff) << 16 | (event & ~0xffffffffull);
}

void vendor_set_pending_interruption(struct vcpu *vcpu, uint64_t value)
{
	uint64_t type = value >> 1 & 7;
	uint64_t event = 0;

	if ((value & 1) && (type == 0 || (type >= 2 && type <= 4))) {
		event = SVM_EVENT_VALID | type << 8 | (value >> 16 & 0xff);
		if (value & 1u << 4) {
			event |= SVM_EVENT_HAS_ERROR | (value & ~0xffffffffull);
		}
	}
	vcpu->vmcb->event_injection = event;
}

void vendor_clear_shadow(struct vcpu *vcpu)
{
	vcpu->vmcb->interrupt_shadow = 0;
}
