#include "hypervisor/message.h"

#include <stddef.h>

#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/insn.h"
#include "hypervisor/vcpu.h"
#include "lib/string.h"

/* Starts the message and returns its payload, in which the last message still is. */
static void *begin_over(struct vcpu *vcpu, uint32_t type, uint8_t size)
{
	struct hv_message *message = vcpu->vp->intercept_page;

	message->header = (struct hv_message_header){
		.message_type = type, .payload_size = size, .sender = vcpu->vp->partition->id};
	return &message->u;
}

/* The same, and the payload is zeroed. */
static void *begin(struct vcpu *vcpu, uint32_t type, uint8_t size)
{
	vcpu->message_strings = true;
	return memset(begin_over(vcpu, type, size), 0, size);
}

void message_header(struct vcpu *vcpu, uint8_t length, uint8_t access,
		    struct hv_x64_intercept_message_header *header)
{
	const struct vp *vp = vcpu->vp;
	const uint64_t cr0 = vendor_get_cr(vcpu, 0), rflags = vendor_get_rflags(vcpu);
	const uint64_t rip = vcpu->rip;
	const uint8_t tpr = (uint8_t)vp->lapic.tpr;

	header->vp_index = vp->index;
	header->length_and_cr8 = (uint8_t)((tpr & 0xf0) | (length & 0xf));
	header->intercept_access_type = access;
	header->execution_state = (union hv_x64_vp_execution_state){
		.cpl = vendor_get_cpl(vcpu),
		.cr0_pe = !!(cr0 & CR0_PE),
		.cr0_am = !!(cr0 & CR0_AM),
		.efer_lma = !!(vendor_get_efer(vcpu) & EFER_LMA),
		.interruption_pending = vendor_event_pending(vcpu),
		.interrupt_shadow = vendor_shadow(vcpu),
	};
	vendor_get_segment(vcpu, HV_X64_REGISTER_CS, &header->cs_segment);
	header->rip = rip;
	header->rflags = rflags;
}

/* What a port intercept has for strings alone is behind this; most have zeros there, and so had the
 * one before. */
#define IO_STRINGS offsetof(struct hv_x64_io_port_intercept_message, instruction_bytes)

void message_io(struct vcpu *vcpu, const struct intercept *intercept)
{
	struct hv_x64_io_port_intercept_message *m =
		begin_over(vcpu, HVMSG_X64_IO_PORT_INTERCEPT, sizeof(*m));

	if (vcpu->message_strings) {
		memset((uint8_t *)m + IO_STRINGS, 0, sizeof(*m) - IO_STRINGS);
	}
	vcpu->message_strings = intercept->io.access.string_op;
	message_header(vcpu, intercept->length,
		       intercept->io.in ? HV_INTERCEPT_ACCESS_READ : HV_INTERCEPT_ACCESS_WRITE,
		       &m->header);
	m->port_number = intercept->io.port;
	m->access_info = intercept->io.access;
	m->instruction_byte_count = 0;
	m->reserved = 0;
	m->rax = vcpu->gpr[GPR_RAX];
	if (intercept->io.access.string_op) {
		m->instruction_byte_count = (uint8_t)insn_fetch(vcpu, m->instruction_bytes);
		vendor_get_segment(vcpu, HV_X64_REGISTER_ES + intercept->io.segment,
				   &m->ds_segment);
		vendor_get_segment(vcpu, HV_X64_REGISTER_ES, &m->es_segment);
		m->rcx = vcpu->gpr[GPR_RCX];
		m->rsi = vcpu->gpr[GPR_RSI];
		m->rdi = vcpu->gpr[GPR_RDI];
	}
	vp_intercept(vcpu->vp);
}

void message_memory(struct vcpu *vcpu, const struct intercept *intercept, uint32_t type)
{
	struct hv_x64_memory_intercept_message *m = begin_over(vcpu, type, sizeof(*m));
	const uint8_t *saved;
	uint32_t count = vendor_instruction_bytes(vcpu, &saved);

	vcpu->message_strings = true;
	message_header(vcpu, 0,
		       intercept->memory.fetch   ? HV_INTERCEPT_ACCESS_EXECUTE
		       : intercept->memory.write ? HV_INTERCEPT_ACCESS_WRITE
						 : HV_INTERCEPT_ACCESS_READ,
		       &m->header);
	m->cache_type = HV_CACHE_TYPE_UNCACHED;
	m->memory_access_info.as_uint8 = 0;
	m->tpr_priority = vcpu->vp->lapic.tpr >> 4 & 0xf;
	m->reserved1 = 0;
	m->guest_virtual_address = 0;
	m->guest_physical_address = intercept->memory.gpa;
	__builtin_memset(m->instruction_bytes, 0, sizeof(m->instruction_bytes));
	if (count) {
		memcpy(m->instruction_bytes, saved, count);
	} else if (!intercept->memory.fetch) {
		count = insn_fetch(vcpu, m->instruction_bytes);
	}
	m->instruction_byte_count = (uint8_t)count;
	vp_intercept(vcpu->vp);
}

void message_msr(struct vcpu *vcpu, const struct intercept *intercept)
{
	struct hv_x64_msr_intercept_message *m = begin(vcpu, HVMSG_X64_MSR_INTERCEPT, sizeof(*m));

	message_header(vcpu, intercept->length,
		       intercept->kind == INTERCEPT_MSR_READ ? HV_INTERCEPT_ACCESS_READ
							     : HV_INTERCEPT_ACCESS_WRITE,
		       &m->header);
	m->msr_number = (uint32_t)vcpu->gpr[GPR_RCX];
	m->rdx = vcpu->gpr[GPR_RDX];
	m->rax = vcpu->gpr[GPR_RAX];
	vp_intercept(vcpu->vp);
}

void message_cpuid(struct vcpu *vcpu, const struct intercept *intercept, const uint32_t answer[4])
{
	struct hv_x64_cpuid_intercept_message *m =
		begin(vcpu, HVMSG_X64_CPUID_INTERCEPT, sizeof(*m));

	message_header(vcpu, intercept->length, HV_INTERCEPT_ACCESS_EXECUTE, &m->header);
	m->rax = vcpu->gpr[GPR_RAX];
	m->rbx = vcpu->gpr[GPR_RBX];
	m->rcx = vcpu->gpr[GPR_RCX];
	m->rdx = vcpu->gpr[GPR_RDX];
	m->default_result_rax = answer[0];
	m->default_result_rbx = answer[1];
	m->default_result_rcx = answer[2];
	m->default_result_rdx = answer[3];
	vp_intercept(vcpu->vp);
}

void message_hypercall(struct vcpu *vcpu, const struct intercept *intercept)
{
	struct hv_x64_hypercall_intercept_message *m =
		begin(vcpu, HVMSG_HYPERCALL_INTERCEPT, sizeof(*m));
	uint64_t xmm[PLAT_XMM_WORDS];

	message_header(vcpu, intercept->length, HV_INTERCEPT_ACCESS_EXECUTE, &m->header);
	m->rax = vcpu->gpr[GPR_RAX];
	m->rbx = vcpu->gpr[GPR_RBX];
	m->rcx = vcpu->gpr[GPR_RCX];
	m->rdx = vcpu->gpr[GPR_RDX];
	m->r8 = vcpu->gpr[GPR_R8];
	m->rsi = vcpu->gpr[GPR_RSI];
	m->rdi = vcpu->gpr[GPR_RDI];
	plat_xmm_get(vcpu->vp, xmm);
	memcpy((uint8_t *)m + offsetof(struct hv_x64_hypercall_intercept_message, xmmregisters),
	       xmm, sizeof(xmm));
	vp_intercept(vcpu->vp);
}

void message_exception(struct vcpu *vcpu, const struct intercept *intercept)
{
	struct hv_x64_exception_intercept_message *m =
		begin(vcpu, HVMSG_X64_EXCEPTION_INTERCEPT, sizeof(*m));

	message_header(vcpu, intercept->length, HV_INTERCEPT_ACCESS_EXECUTE, &m->header);
	m->exception_vector = intercept->exception.vector;
	m->exception_info.error_code_valid = intercept->exception.has_error;
	m->error_code = intercept->exception.error;
	m->exception_parameter = intercept->exception.parameter;
	m->instruction_byte_count = (uint8_t)insn_fetch(vcpu, m->instruction_bytes);
	vendor_get_segment(vcpu, HV_X64_REGISTER_DS, &m->ds_segment);
	vendor_get_segment(vcpu, HV_X64_REGISTER_SS, &m->ss_segment);
	m->rax = vcpu->gpr[GPR_RAX];
	m->rcx = vcpu->gpr[GPR_RCX];
	m->rdx = vcpu->gpr[GPR_RDX];
	m->rbx = vcpu->gpr[GPR_RBX];
	m->rsp = vendor_get_rsp(vcpu);
	m->rbp = vcpu->gpr[GPR_RBP];
	m->rsi = vcpu->gpr[GPR_RSI];
	m->rdi = vcpu->gpr[GPR_RDI];
	memcpy(&m->r8, &vcpu->gpr[GPR_R8], 8 * sizeof(uint64_t));
	vp_intercept(vcpu->vp);
}

void message_triple_fault(struct vcpu *vcpu)
{
	struct hv_x64_unrecoverable_exception_message *m =
		begin(vcpu, HVMSG_UNRECOVERABLE_EXCEPTION, sizeof(*m));

	message_header(vcpu, 0, HV_INTERCEPT_ACCESS_EXECUTE, &m->header);
	vp_intercept(vcpu->vp);
}

void message_invalid_state(struct vcpu *vcpu)
{
	struct hv_x64_invalid_vp_register_message *m =
		begin(vcpu, HVMSG_INVALID_VP_REGISTER_VALUE, sizeof(*m));

	m->vp_index = vcpu->vp->index;
	vp_intercept(vcpu->vp);
}

void message_deliverable(struct vcpu *vcpu, uint32_t type)
{
	struct hv_x64_interruption_deliverable_message *m =
		begin(vcpu, HVMSG_X64_INTERRUPTION_DELIVERABLE, sizeof(*m));

	message_header(vcpu, 0, HV_INTERCEPT_ACCESS_EXECUTE, &m->header);
	m->deliverable_type = type;
	vp_intercept(vcpu->vp);
}
