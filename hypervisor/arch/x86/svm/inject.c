/*
 * Events for the guest: one at a time through EVENTINJ, the rest waits for a window (AMD APM vol.
 * 2, 15.20, 15.21).
 */
#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/exception.h"
#include "hypervisor/arch/x86/svm/svm.h"
#include "hypervisor/intercept.h"

/* What an instruction can raise that would push our TF: all but NMI, traps and aborts. */
#define STEP_FAULTS 0xffffffe1u

static uint8_t window_slack; /* see svm_window_opened() */

bool vendor_event_pending(const struct vcpu *vcpu)
{
	return vcpu->vmcb->event_injection & SVM_EVENT_VALID;
}

void vendor_inject_exception(struct vcpu *vcpu, uint8_t vector, bool has_error, uint32_t error)
{
	struct vmcb *vmcb = vcpu->vmcb;
	uint64_t pending = vmcb->event_injection;
	uint64_t event;

	if ((pending & SVM_EVENT_VALID) && (pending & SVM_EVENT_TYPE_MASK) == SVM_EVENT_EXCEPTION) {
		unsigned int merged = exception_merge(pending & 0xff, vector);

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
	event = vector | SVM_EVENT_EXCEPTION | SVM_EVENT_VALID;
	if (has_error) {
		event |= SVM_EVENT_HAS_ERROR | (uint64_t)error << 32;
	}
	if (exception_sets_rf(vector)) {
		vmcb->rflags |= RFLAGS_RF;
	} else if (vector == EXC_DB) {
		vmcb->dr7 &= ~DR7_GD;
	} else if (exception_is_software(vector) && !vcpu->event_length) {
		vcpu->event_length = 1;
	}
	vmcb->event_injection = event;
}

bool svm_event_is_software(uint64_t event)
{
	uint64_t type = event & SVM_EVENT_TYPE_MASK;

	return (event & SVM_EVENT_VALID) &&
	       (type == SVM_EVENT_SOFTWARE ||
		(type == SVM_EVENT_EXCEPTION && exception_is_software(event & 0xff)));
}

/*
 * A software event returns behind its instruction, RIP is still at it. Where the processor does not
 * take the next RIP from the control block, it is entered with RIP behind the instruction (APM vol.
 * 2, 15.20).
 */
void svm_prepare_software(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vcpu->vmcb;

	if (!svm_event_is_software(vmcb->event_injection)) {
		vcpu->event_length = 0;
	} else if (svm_features & SVM_CPUID_NRIP) {
		vmcb->next_rip = vcpu->rip + vcpu->event_length;
	} else {
		vmcb->rip = vcpu->rip + vcpu->event_length;
	}
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
	vcpu->nmi_step = false;
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
 * A virtual interrupt that is never delivered: VINTR is intercepted, and the processor takes it up
 * only when IF, the shadow and V_TPR let an interrupt of that priority through.
 */
void vendor_interrupt_window(struct vcpu *vcpu, uint8_t priority)
{
	struct vmcb *vmcb = vcpu->vmcb;
	uint64_t control = vmcb->interrupt_control & ~(SVM_V_IRQ | SVM_V_PRIO_MASK);

	if (priority) {
		vmcb->interrupt_control =
			control | SVM_V_IRQ |
			(uint64_t)(priority - __atomic_load_n(&window_slack, __ATOMIC_RELAXED))
				<< SVM_V_PRIO_SHIFT;
		vmcb->intercept_1 |= SVM_INTERCEPT_VINTR;
	} else if (vmcb->interrupt_control & SVM_V_IRQ) {
		vmcb->interrupt_control = control;
		vmcb->intercept_1 &= ~SVM_INTERCEPT_VINTR;
	}
}

/*
 * NMIs are blocked until IRET, which is intercepted while they are. The intercept comes before the
 * instruction, so it is executed in a shadow (svm_iret()); and a shadow, whatever IF says, ends
 * with one instruction, which the guest is made to single-step.
 */
void vendor_nmi_window(struct vcpu *vcpu, bool wanted)
{
	vcpu->nmi_step = wanted && !vcpu->nmi_blocked;
}

void svm_iret(struct vcpu *vcpu)
{
	vendor_set_nmi_blocked(vcpu, false);
	vcpu->vmcb->interrupt_shadow |= 1;
	vcpu->iret_rip = vcpu->rip;
}

/* An exception of the stepped instruction is taken here first, since the processor would push flags
 * with our TF. */
bool svm_step_begin(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vcpu->vmcb;

	vcpu->nmi_step = false;
	if (vmcb->event_injection & SVM_EVENT_VALID) {
		return false;
	}
	if (!(vmcb->rflags & RFLAGS_TF)) {
		vcpu->stepping = true;
		vcpu->step_dr6 = vmcb->dr6;
		vmcb->rflags |= RFLAGS_TF;
		vmcb->intercept_exceptions |= STEP_FAULTS;
	}
	return true;
}

bool svm_step_end(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vcpu->vmcb;
	bool done = vmcb->exit_code == SVM_EXIT_EXCEPTION + EXC_DB;

	vcpu->stepping = false;
	vendor_set_exception_intercepts(vcpu, vcpu->exceptions);
	/* What IRET has loaded is the guest's. */
	if (!done || vcpu->rip != vcpu->iret_rip) {
		vmcb->rflags &= ~RFLAGS_TF;
	}
	if (!done) {
		return false;
	}
	vmcb->dr6 = (vmcb->dr6 & ~DR6_BS) | (vcpu->step_dr6 & DR6_BS);
	return !(vmcb->dr6 & ~vcpu->step_dr6 & DR6_BREAKPOINTS);
}

/*
 * The priority must be above the TPR (APM vol. 2, 15.21.4). A processor that opens the window
 * beside it already would do so before the guest's next instruction, again and again; once it was
 * seen, all windows are asked for one class lower.
 */
void svm_window_opened(const struct vcpu *vcpu)
{
	uint64_t control = vcpu->vmcb->interrupt_control;

	if ((control & SVM_V_PRIO_MASK) >> SVM_V_PRIO_SHIFT <= (control & SVM_V_TPR_MASK)) {
		__atomic_store_n(&window_slack, 1, __ATOMIC_RELAXED);
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

/* HV_REGISTER_PENDING_INTERRUPTION: pending 0, type 3:1 (0 interrupt, 2 NMI, 3 exception, 4 INT n,
 * 6 INT3 and INTO), error valid 4, length 8:5, vector 31:16, error code 63:32. SVM has the same
 * types in bits 10:8, but 3 for 6. */
#define PENDING_INT3 6u

uint64_t vendor_get_pending_interruption(const struct vcpu *vcpu)
{
	uint64_t event = vcpu->vmcb->event_injection, type = event >> 8 & 7, length = 0;

	if (!(event & SVM_EVENT_VALID)) {
		return 0;
	}
	if (svm_event_is_software(event)) {
		type = type << 8 == SVM_EVENT_SOFTWARE ? type : PENDING_INT3;
		length = vcpu->event_length & 15;
	}
	return 1 | type << 1 | (event & SVM_EVENT_HAS_ERROR ? 1ull << 4 : 0) | length << 5 |
	       (event & 0xff) << 16 | (event & ~0xffffffffull);
}

void vendor_set_pending_interruption(struct vcpu *vcpu, uint64_t value)
{
	uint64_t type = value >> 1 & 7, vector = value >> 16 & 0xff;
	uint8_t length = value >> 5 & 15;
	uint64_t event = 0;

	if (type == PENDING_INT3 && exception_is_software((unsigned int)vector)) {
		type = SVM_EVENT_EXCEPTION >> 8;
	}
	if ((value & 1) && (type == 0 || (type >= 2 && type <= 4))) {
		event = SVM_EVENT_VALID | type << 8 | vector;
		if (value & 1u << 4) {
			event |= SVM_EVENT_HAS_ERROR | (value & ~0xffffffffull);
		}
	}
	if (svm_event_is_software(event)) {
		vcpu->event_length = length ? length : type << 8 == SVM_EVENT_SOFTWARE ? 2 : 1;
	}
	vcpu->vmcb->event_injection = event;
}

void vendor_clear_shadow(struct vcpu *vcpu)
{
	vcpu->vmcb->interrupt_shadow = 0;
}
