/*
 * From the VMCS to struct intercept (Intel SDM vol. 3, 27.2 and appendix C).
 */
#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/vmx/vmx.h"

/* Exit qualifications. */
#define IO_IN      (1u << 3)
#define IO_STRING  (1u << 4)
#define IO_REP     (1u << 5)
#define DEBUG_BITS 0xe00fu /* of DR6: B0 to B3, BD, BS */
#define SEGMENT_DS 3

static uint8_t instruction_length(void)
{
	return (uint8_t)vmcs_read(VMCS_INSTRUCTION_LENGTH);
}

/* Qualification: 2:0 size - 1, 3 in, 4 string, 5 rep, 31:16 port; the TLFS has the size in 2:0,
 * string in 3, rep in 4. The instruction's information: 17:15 segment of OUTS. */
static void decode_io(struct intercept *intercept)
{
	uint64_t info = vmcs_read(VMCS_EXIT_QUALIFICATION);

	intercept->kind = INTERCEPT_IO;
	intercept->length = instruction_length();
	intercept->io.port = (uint16_t)(info >> 16);
	intercept->io.access.as_uint8 =
		(uint8_t)(((info & 7) + 1) | (info & (IO_STRING | IO_REP)) >> 1);
	intercept->io.in = info & IO_IN;
	intercept->io.segment = SEGMENT_DS;
	if (intercept->io.access.string_op && !intercept->io.in) {
		intercept->io.segment = vmcs_read(VMCS_INSTRUCTION_INFO) >> 15 & 7;
	}
}

/* An IRET that unblocked NMIs and then faulted has not happened. */
static void block_nmi_again(struct vcpu *vcpu, uint64_t info)
{
	if ((info & EVENT_NMI_UNBLOCKED) && !(vcpu->vmx->event & EVENT_VALID)) {
		vendor_set_nmi_blocked(vcpu, true);
	}
}

static void decode_memory(struct vcpu *vcpu, struct intercept *intercept)
{
	uint64_t info = vmcs_read(VMCS_EXIT_QUALIFICATION);

	intercept->kind = INTERCEPT_MEMORY;
	intercept->memory.gpa = vmcs_read(VMCS_GUEST_PHYSICAL_ADDRESS);
	intercept->memory.write = info & EPT_VIOLATION_WRITE;
	intercept->memory.fetch = info & EPT_VIOLATION_FETCH;
	block_nmi_again(vcpu, info);
}

/* The exit comes before the exception's own effects: DR6 is left to us, and so is RIP behind an
 * INT1. */
static void decode_debug(struct vcpu *vcpu, struct intercept *intercept, uint32_t event)
{
	uint64_t info = vmcs_read(VMCS_EXIT_QUALIFICATION);

	vendor_sync(vcpu);
	vcpu->vmx->dr6 = (vcpu->vmx->dr6 & ~0xfull) | (info & DEBUG_BITS);
	vendor_resync(vcpu);
	vendor_clear_shadow(vcpu);
	vmx_set(vcpu, STATE_PENDING_DEBUG, 0);
	if ((event & EVENT_TYPE_MASK) == EVENT_PRIVILEGED) {
		vcpu->rip += instruction_length();
	}
	intercept->exception.parameter = vcpu->vmx->dr6;
}

static void decode_exception(struct vcpu *vcpu, struct intercept *intercept)
{
	uint32_t event = (uint32_t)vmcs_read(VMCS_EXIT_EVENT);
	uint8_t vector = event & 0xff;

	if ((event & EVENT_TYPE_MASK) == EVENT_NMI) {
		vmx_nmi_exit();
		intercept->kind = INTERCEPT_INTERRUPT;
		return;
	}
	intercept->kind = INTERCEPT_EXCEPTION;
	intercept->length = 0;
	if ((event & EVENT_TYPE_MASK) == EVENT_SOFTWARE_TRAP) {
		intercept->length = vcpu->event_length = instruction_length();
	}
	intercept->exception.vector = vector;
	intercept->exception.has_error = event & EVENT_HAS_ERROR;
	intercept->exception.error =
		intercept->exception.has_error ? (uint32_t)vmcs_read(VMCS_EXIT_ERROR_CODE) : 0;
	intercept->exception.parameter = 0;
	if (vector == EXC_PF) {
		intercept->exception.parameter = vmcs_read(VMCS_EXIT_QUALIFICATION);
	} else if (vector == EXC_DB) {
		decode_debug(vcpu, intercept, event);
	}
	if (vector != EXC_DF) {
		block_nmi_again(vcpu, event);
	}
}

static uint64_t register_value(const struct vcpu *vcpu, unsigned int gpr)
{
	uint64_t value = gpr == GPR_RSP ? vmx_get(vcpu, STATE_RSP) : vcpu->gpr[gpr];

	return vendor_code_bits(vcpu) == 64 ? value : (uint32_t)value;
}

/*
 * Only a MOV to CR0 or CR4 that changes a bit of the host's exits. Those of CR4 but MCE a guest
 * does not have. Those of CR0, and MCE, are only shown: with the new ones in the shadow the
 * instruction does not exit again, and the processor does the rest of it.
 */
static void decode_cr(struct vcpu *vcpu, struct intercept *intercept)
{
	uint64_t info = vmcs_read(VMCS_EXIT_QUALIFICATION);
	uint64_t value = register_value(vcpu, info >> 8 & 15);

	intercept->kind = INTERCEPT_PROTECTED;
	if ((info & 0x3f) == 4 && !(value & CR4_HOST_OWNED & ~CR4_MCE)) {
		vmx_set(vcpu, STATE_CR4_SHADOW,
			(vmx_get(vcpu, STATE_CR4_SHADOW) & ~CR4_MCE) | (value & CR4_MCE));
		intercept->kind = INTERCEPT_NOTHING;
		return;
	}
	if ((info & 0x3f) != 0 || value >> 32 || ((value & CR0_PG) && !(value & CR0_PE)) ||
	    ((value & CR0_NW) && !(value & CR0_CD))) {
		return;
	}
	vmx_set(vcpu, STATE_CR0_SHADOW,
		(vmx_get(vcpu, STATE_CR0_SHADOW) & ~CR0_HOST_OWNED) | (value & CR0_HOST_OWNED));
	intercept->kind = INTERCEPT_NOTHING;
}

static void decode_window(struct vcpu *vcpu, struct intercept *intercept)
{
	intercept->kind = INTERCEPT_WINDOW;
	vendor_interrupt_window(vcpu, 0);
}

static void decode_instruction(struct intercept *intercept, enum intercept_kind kind)
{
	intercept->kind = kind;
	intercept->length = instruction_length();
}

static void decode_rest(struct vcpu *vcpu, struct intercept *intercept, uint32_t reason)
{
	switch (reason) {
	case VMX_EXIT_EXCEPTION:
		decode_exception(vcpu, intercept);
		break;
	case VMX_EXIT_NMI_WINDOW:
		intercept->kind = INTERCEPT_WINDOW;
		vendor_nmi_window(vcpu, false);
		break;
	case VMX_EXIT_TPR:
		decode_window(vcpu, intercept);
		break;
	case VMX_EXIT_CR:
		decode_cr(vcpu, intercept);
		break;
	case VMX_EXIT_DR:
		intercept->kind = INTERCEPT_DEBUG;
		break;
	case VMX_EXIT_XSETBV:
		decode_instruction(intercept, INTERCEPT_XSETBV);
		break;
	case VMX_EXIT_PREEMPTION_TIMER: /* a look at what the machine has, after a while without */
		intercept->kind = INTERCEPT_INTERRUPT;
		break;
	case VMX_EXIT_INVD:
	case VMX_EXIT_WBINVD: /* and WBNOINVD */
		decode_instruction(intercept, INTERCEPT_SKIP);
		break;
	case VMX_EXIT_PAUSE:
		intercept->kind = INTERCEPT_SPIN;
		break;
	case VMX_EXIT_RDPMC:
		intercept->kind = INTERCEPT_PROTECTED;
		break;
	case VMX_EXIT_TASK_SWITCH:
		vmx_task_switch(vcpu, intercept);
		break;
	case VMX_EXIT_TRIPLE_FAULT:
		intercept->kind = INTERCEPT_TRIPLE_FAULT;
		break;
	case VMX_EXIT_INIT:
	case VMX_EXIT_SIPI:
		intercept->kind = INTERCEPT_NOTHING;
		break;
	case VMX_EXIT_EPT_MISCONFIGURATION:
		intercept->kind = INTERCEPT_INVALID;
		vmx_report(vcpu, "EPT entry");
		break;
	default: /* VMX's own instructions, GETSEC, MONITOR, MWAIT … */
		intercept->kind = INTERCEPT_UNDEFINED;
		break;
	}
}

/*
 * An event whose delivery the exit interrupted goes in again, with its instruction's length where
 * it has one. An NMI among them has blocked further ones already, and could not go in.
 */
static void keep_event(struct vcpu *vcpu)
{
	struct vmx *vmx = vcpu->vmx;
	uint32_t event = (uint32_t)vmcs_read(VMCS_VECTORING_EVENT);

	vmx->event = 0;
	vmx->injecting = false;
	vcpu->event_length = 0;
	if (!(event & EVENT_VALID)) {
		return;
	}
	vmx->event = event & (EVENT_VALID | EVENT_HAS_ERROR | EVENT_TYPE_MASK | 0xff);
	if (event & EVENT_HAS_ERROR) {
		vmx->error = (uint32_t)vmcs_read(VMCS_VECTORING_ERROR_CODE);
	}
	if ((event & EVENT_TYPE_MASK) == EVENT_NMI) {
		vendor_set_nmi_blocked(vcpu, false);
	} else if ((event & EVENT_TYPE_MASK) >= EVENT_SOFTWARE) {
		vcpu->event_length = instruction_length();
	}
}

/* The guest was not entered: an NMI came first, or the processor refuses the VMCS. Its state is as
 * it was. */
static void decode_no_entry(struct vcpu *vcpu, struct intercept *intercept)
{
	intercept->kind = INTERCEPT_INTERRUPT;
	if (vcpu->vmx->entry == VMX_REFUSED) {
		intercept->kind = INTERCEPT_INVALID;
		vmx_report(vcpu, "entry");
	}
	vcpu->vmx->entry = VMX_ENTERED;
}

void vendor_decode(struct vcpu *vcpu, struct intercept *intercept)
{
	struct vmx *vmx = vcpu->vmx;
	uint32_t reason;

	if (__builtin_expect(vmx->entry != VMX_ENTERED, 0)) {
		decode_no_entry(vcpu, intercept);
		return;
	}
	reason = (uint32_t)vmcs_read(VMCS_EXIT_REASON);
	if (__builtin_expect(reason & VMX_EXIT_ENTRY_FAILED, 0)) {
		if ((uint16_t)reason == VMX_EXIT_MACHINE_CHECK) {
			intercept->kind = INTERCEPT_EXCEPTION;
			intercept->exception.vector = EXC_MC;
			return;
		}
		intercept->kind = INTERCEPT_INVALID;
		vmx_report(vcpu, "guest state");
		return;
	}
	vmx->launched = true;
	vmx->valid = STATE_CONSTANT;
	if ((reason == VMX_EXIT_IO || reason == VMX_EXIT_EPT_VIOLATION) &&
	    vcpu->vp->partition->id != HV_ROOT_PARTITION) {
		vmx_fetch_state(vcpu); /* messages want nearly all */
	}
	vcpu->rip = vmcs_read(VMCS_GUEST_RIP);
	keep_event(vcpu);
	switch (reason) {
	case VMX_EXIT_CPUID:
		decode_instruction(intercept, INTERCEPT_CPUID);
		break;
	case VMX_EXIT_RDMSR:
		decode_instruction(intercept, INTERCEPT_MSR_READ);
		break;
	case VMX_EXIT_WRMSR:
		decode_instruction(intercept, INTERCEPT_MSR_WRITE);
		break;
	case VMX_EXIT_VMCALL:
		decode_instruction(intercept, INTERCEPT_HYPERCALL);
		break;
	case VMX_EXIT_IO:
		decode_io(intercept);
		break;
	case VMX_EXIT_EPT_VIOLATION:
		decode_memory(vcpu, intercept);
		break;
	case VMX_EXIT_INTERRUPT:
		intercept->kind = INTERCEPT_INTERRUPT;
		break;
	case VMX_EXIT_INTERRUPT_WINDOW:
		decode_window(vcpu, intercept);
		break;
	case VMX_EXIT_HLT:
		decode_instruction(intercept, INTERCEPT_HALT);
		break;
	default:
		decode_rest(vcpu, intercept, reason);
		break;
	}
}

/* Without single-stepping this is all; a stepped instruction raises #DB as the processor would
 * have. */
void vendor_skip(struct vcpu *vcpu, uint8_t length)
{
	uint64_t rip = vcpu->rip + length, flags = vmx_get(vcpu, STATE_RFLAGS);

	if (__builtin_expect((rip ^ vcpu->rip) >> 32, 0) && vendor_code_bits(vcpu) != 64) {
		rip = (uint32_t)rip;
	}
	vcpu->rip = rip;
	vendor_clear_shadow(vcpu);
	if (__builtin_expect(flags & (RFLAGS_TF | RFLAGS_RF), 0)) {
		vmx_set(vcpu, STATE_RFLAGS, flags & ~RFLAGS_RF);
		if (flags & RFLAGS_TF) {
			vendor_sync(vcpu);
			vcpu->vmx->dr6 = (vcpu->vmx->dr6 & ~DR6_BREAKPOINTS) | DR6_BS;
			vendor_resync(vcpu);
			vendor_inject_exception(vcpu, EXC_DB, false, 0);
		}
	}
}

/* The processor saves none. */
uint32_t vendor_instruction_bytes(const struct vcpu *vcpu, const uint8_t **bytes)
{
	*bytes = NULL;
	(void)vcpu;
	return 0;
}
