/*
 * From the control block to struct intercept (AMD APM vol. 2, 15.7 to 15.14 and appendix C).
 * Processors without NRIP save and decode assists leave the instruction's length to us: only
 * instructions that SVM says it stopped at are looked at.
 */
#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/exception.h"
#include "hypervisor/arch/x86/insn.h"
#include "hypervisor/arch/x86/svm/svm.h"

#define OPCODE_CPUID  0xa20f
#define OPCODE_RDMSR  0x320f
#define OPCODE_WRMSR  0x300f
#define OPCODE_INVD   0x080f
#define OPCODE_WBINVD 0x090f /* and WBNOINVD */
#define OPCODE_XSETBV 0x010f /* and 0xd1 */

static inline __attribute__((always_inline)) uint8_t length_of(struct vcpu *vcpu, uint16_t opcode)
{
	if (svm_features & SVM_CPUID_NRIP) {
		return (uint8_t)(vcpu->vmcb->next_rip - vcpu->vmcb->rip);
	}
	return __builtin_expect(insn_seen(vcpu, opcode), 1) ? 2 : insn_length(vcpu, opcode);
}

static void decode_msr(struct vcpu *vcpu, struct intercept *intercept)
{
	if (vcpu->vmcb->exit_info_1 & 1) {
		intercept->kind = INTERCEPT_MSR_WRITE;
		intercept->length = length_of(vcpu, OPCODE_WRMSR);
	} else {
		intercept->kind = INTERCEPT_MSR_READ;
		intercept->length = length_of(vcpu, OPCODE_RDMSR);
	}
}

/*
 * EXITINFO1: 0 in, 2 string, 3 rep, 6:4 size, 12:10 segment, 31:16 port; EXITINFO2: the next RIP
 * (15.10.2). The TLFS has the size in 2:0, string in 3, rep in 4.
 */
static void decode_io(struct vcpu *vcpu, struct intercept *intercept)
{
	uint64_t info = vcpu->vmcb->exit_info_1;

	intercept->kind = INTERCEPT_IO;
	intercept->length = (uint8_t)(vcpu->vmcb->exit_info_2 - vcpu->vmcb->rip);
	intercept->io.port = (uint16_t)(info >> 16);
	intercept->io.access.as_uint8 =
		(uint8_t)((info >> 4 & 7) | (info & (SVM_IOIO_STRING | SVM_IOIO_REP)) << 1);
	intercept->io.in = info & SVM_IOIO_IN;
	intercept->io.segment = info >> 10 & 7;
}

static void decode_memory(struct vcpu *vcpu, struct intercept *intercept)
{
	intercept->kind = INTERCEPT_MEMORY;
	intercept->memory.gpa = vcpu->vmcb->exit_info_2;
	intercept->memory.write = vcpu->vmcb->exit_info_1 & SVM_NPF_WRITE;
	intercept->memory.fetch = vcpu->vmcb->exit_info_1 & SVM_NPF_FETCH;
}

static void decode_exception(struct vcpu *vcpu, struct intercept *intercept, uint8_t vector)
{
	intercept->kind = INTERCEPT_EXCEPTION;
	intercept->length = 0;
	if (exception_is_software(vector)) {
		intercept->length = vcpu->event_length = 1;
	}
	intercept->exception.vector = vector;
	intercept->exception.has_error = exception_has_error(vector);
	intercept->exception.error =
		intercept->exception.has_error ? (uint32_t)vcpu->vmcb->exit_info_1 : 0;
	intercept->exception.parameter = vector == EXC_PF   ? vcpu->vmcb->exit_info_2
					 : vector == EXC_DB ? vcpu->vmcb->dr6
							    : 0;
}

static __attribute__((noinline)) void decode_rest(struct vcpu *vcpu, struct intercept *intercept,
						  uint64_t code)
{
	if (code >= SVM_EXIT_EXCEPTION && code < SVM_EXIT_EXCEPTION + 32) {
		decode_exception(vcpu, intercept, (uint8_t)(code - SVM_EXIT_EXCEPTION));
		return;
	}
	if (code >= SVM_EXIT_DR && code < SVM_EXIT_DR + 32) {
		intercept->kind = INTERCEPT_DEBUG;
		return;
	}
	switch (code) {
	case SVM_EXIT_NPF:
		decode_memory(vcpu, intercept);
		break;
	case SVM_EXIT_INTR:
	case SVM_EXIT_NMI:
	case SVM_EXIT_INIT: /* it is pending still, and becomes #SX when GIF is set */
		intercept->kind = INTERCEPT_INTERRUPT;
		break;
	case SVM_EXIT_VINTR:
		svm_window_opened(vcpu);
		intercept->kind = INTERCEPT_WINDOW;
		vendor_interrupt_window(vcpu, 0);
		break;
	case SVM_EXIT_HLT:
		intercept->kind = INTERCEPT_HALT;
		intercept->length = svm_features & SVM_CPUID_NRIP
					    ? (uint8_t)(vcpu->vmcb->next_rip - vcpu->vmcb->rip)
					    : insn_halt_length(vcpu);
		break;
	case SVM_EXIT_IRET:
		svm_iret(vcpu);
		intercept->kind = INTERCEPT_NOTHING;
		break;
	case SVM_EXIT_XSETBV:
		intercept->kind = INTERCEPT_XSETBV;
		intercept->length = (uint8_t)(length_of(vcpu, OPCODE_XSETBV) +
					      !(svm_features & SVM_CPUID_NRIP));
		break;
	case SVM_EXIT_INVD:
		intercept->kind = INTERCEPT_SKIP;
		intercept->length = length_of(vcpu, OPCODE_INVD);
		break;
	case SVM_EXIT_WBINVD:
		intercept->kind = INTERCEPT_SKIP;
		intercept->length = length_of(vcpu, OPCODE_WBINVD);
		break;
	case SVM_EXIT_PAUSE: /* the next entry fills the counter again, so the instruction may be repeated */
		intercept->kind = INTERCEPT_SPIN;
		break;
	case SVM_EXIT_RDPMC:
		intercept->kind = INTERCEPT_PROTECTED;
		break;
	case SVM_EXIT_SHUTDOWN:
		intercept->kind = INTERCEPT_TRIPLE_FAULT;
		break;
	case SVM_EXIT_INVALID:
		intercept->kind = INTERCEPT_INVALID;
		break;
	default: /* SVM's own instructions, MONITOR, MWAIT, RDPRU, INVLPGB … */
		intercept->kind = INTERCEPT_UNDEFINED;
		break;
	}
}

/*
 * An event whose delivery the exit interrupted goes in again. A software one of the guest's own
 * does not, since RIP is at its instruction and raises it again; one that was injected, with RIP as
 * it still is, does.
 */
static void keep_event(struct vcpu *vcpu, uint64_t entered_at)
{
	struct vmcb *vmcb = vcpu->vmcb;
	uint64_t event = vmcb->exit_int_info;
	uint8_t length = vcpu->event_length;

	vmcb->event_injection = 0;
	vcpu->event_length = 0;
	if (!(event & SVM_EVENT_VALID)) {
		return;
	}
	if (svm_event_is_software(event)) {
		if (!length ||
		    vmcb->rip != entered_at + (svm_features & SVM_CPUID_NRIP ? 0 : length)) {
			return;
		}
		vcpu->rip = entered_at;
		vcpu->event_length = length;
	}
	vmcb->event_injection = event;
}

void vendor_decode(struct vcpu *vcpu, struct intercept *intercept)
{
	struct vmcb *vmcb = vcpu->vmcb;
	uint64_t code = vmcb->exit_code, entered_at = vcpu->rip;
	bool stepped = __builtin_expect(vcpu->stepping, 0) && svm_step_end(vcpu);

	vcpu->rip = vmcb->rip;
	vcpu->gpr[GPR_RAX] = vmcb->rax;
	vmcb->tlb_control = SVM_TLB_KEEP;
	keep_event(vcpu, entered_at);
	/* In the order of how often guests do it; no table, which a processor would have to guess
	 * through. */
	if (code == SVM_EXIT_CPUID) {
		intercept->kind = INTERCEPT_CPUID;
		intercept->length = length_of(vcpu, OPCODE_CPUID);
	} else if (code == SVM_EXIT_MSR) {
		decode_msr(vcpu, intercept);
	} else if (code == SVM_EXIT_VMMCALL) {
		intercept->kind = INTERCEPT_HYPERCALL;
		intercept->length = 3;
	} else if (code == SVM_EXIT_IOIO) {
		decode_io(vcpu, intercept);
	} else if (stepped) {
		intercept->kind = INTERCEPT_NOTHING;
	} else {
		decode_rest(vcpu, intercept, code);
	}
}

/* A stepped instruction raises #DB as the processor would have. */
static __attribute__((noinline)) void skip_flags(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vcpu->vmcb;

	vmcb->rflags &= ~RFLAGS_RF;
	if (vmcb->rflags & RFLAGS_TF) {
		vmcb->dr6 = (vmcb->dr6 & ~DR6_BREAKPOINTS) | DR6_BS;
		vendor_inject_exception(vcpu, EXC_DB, false, 0);
	}
}

void vendor_skip(struct vcpu *vcpu, uint8_t length)
{
	struct vmcb *vmcb = vcpu->vmcb;
	uint64_t rip = vcpu->rip + length;

	if (!(vmcb->cs.attributes & 1u << 9)) {
		rip = (uint32_t)rip;
	}
	vcpu->rip = rip;
	vmcb->interrupt_shadow = 0;
	if (__builtin_expect(vmcb->rflags & (RFLAGS_TF | RFLAGS_RF), 0)) {
		skip_flags(vcpu);
	}
}

uint32_t vendor_instruction_bytes(const struct vcpu *vcpu, const uint8_t **bytes)
{
	*bytes = vcpu->vmcb->fetched;
	return svm_features & SVM_CPUID_DECODE ? vcpu->vmcb->fetched_count : 0;
}
