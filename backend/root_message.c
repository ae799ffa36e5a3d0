/*
 * Messages of the hypervisor (TLFS, intercept messages) turned into struct vp_exit, and the answers
 * back into registers.
 *
 * The short way, which every port access takes: one message in, at most two registers written to
 * the shared page.
 */
#include "backend/root.h"

#include <string.h>

#include "include/hv/status.h"

#define RFLAGS_TF 0x100u

static uint64_t truncate_rip(const struct hv_x64_intercept_message_header *header, uint64_t rip)
{
	bool wide = header->execution_state.efer_lma && header->cs_segment._long;

	return wide ? rip : (uint32_t)rip;
}

/* Kept for the answer: where the instruction is and where it ends. */
static void keep(struct backend_vp *vp, const struct hv_x64_intercept_message_header *header)
{
	vp->rip = header->rip;
	vp->next_rip = truncate_rip(header, header->rip + header->instruction_length);
	vp->shadow = header->execution_state.interrupt_shadow;
	vp->trace = header->rflags & RFLAGS_TF;
}

/* As many bytes as the message has, then zeros. */
static void take_bytes(struct vp_exit *exit, const uint8_t bytes[16], unsigned int count)
{
	exit->instruction.byte_count = (uint8_t)(count < 16 ? count : 16);
	memcpy(exit->instruction.bytes, bytes, 16);
	if (count < 16) {
		memset(exit->instruction.bytes + count, 0, 16 - count);
	}
}

static void decode_port(struct backend_vp *vp,
			const struct hv_x64_io_port_intercept_message *message,
			struct vp_exit *exit)
{
	unsigned int size = message->access_info.access_size;

	size = size == 1 || size == 2 ? size : 4;
	keep(vp, &message->header);
	if (message->access_info.string_op) {
		exit->kind = VP_EXIT_INSTRUCTION;
		exit->instruction.gpa_valid = exit->instruction.gva_valid = false;
		exit->instruction.write = false;
		take_bytes(exit, message->instruction_bytes, message->instruction_byte_count);
		return;
	}
	vp->rax = message->rax;
	exit->kind = VP_EXIT_PORT;
	exit->port.port = message->port_number;
	exit->port.size = (uint8_t)size;
	exit->port.write = message->header.intercept_access_type == HV_INTERCEPT_ACCESS_WRITE;
	exit->port.value = (uint32_t)message->rax & (uint32_t)(0xffffffffull >> (32 - 8 * size));
}

static void decode_memory(struct backend_vp *vp,
			  const struct hv_x64_memory_intercept_message *message,
			  struct vp_exit *exit)
{
	keep(vp, &message->header);
	exit->kind = VP_EXIT_INSTRUCTION;
	exit->instruction.gpa_valid = true;
	exit->instruction.gva_valid = message->memory_access_info.gva_gpa_valid;
	exit->instruction.write =
		message->header.intercept_access_type == HV_INTERCEPT_ACCESS_WRITE;
	exit->instruction.gva = message->guest_virtual_address;
	exit->instruction.gpa = message->guest_physical_address;
	take_bytes(exit, message->instruction_bytes, message->instruction_byte_count);
}

static void decode_msr(struct backend_vp *vp, const struct hv_x64_msr_intercept_message *message,
		       struct vp_exit *exit)
{
	keep(vp, &message->header);
	exit->kind = VP_EXIT_MSR;
	exit->msr.number = message->msr_number;
	exit->msr.write = message->header.intercept_access_type == HV_INTERCEPT_ACCESS_WRITE;
	exit->msr.fault = false;
	exit->msr.value = message->rdx << 32 | (uint32_t)message->rax;
	if (exit->msr.number == HV_X64_MSR_CRASH_CTL && exit->msr.write) {
		exit->kind = VP_EXIT_CRASH;
		exit->crash_text = message->rdx << 32 & HV_CRASH_CTL_CRASH_NOTIFY_MSG;
	}
}

static void decode_cpuid(struct backend_vp *vp,
			 const struct hv_x64_cpuid_intercept_message *message, struct vp_exit *exit)
{
	keep(vp, &message->header);
	exit->kind = VP_EXIT_CPUID;
	exit->cpuid.leaf = (uint32_t)message->rax;
	exit->cpuid.subleaf = (uint32_t)message->rcx;
	exit->cpuid.eax = (uint32_t)message->default_result_rax;
	exit->cpuid.ebx = (uint32_t)message->default_result_rbx;
	exit->cpuid.ecx = (uint32_t)message->default_result_rcx;
	exit->cpuid.edx = (uint32_t)message->default_result_rdx;
}

/* VMCALL and VMMCALL are of this length, which some hypervisors leave to us to know. */
#define HYPERCALL_LENGTH 3

/* The registers of a call are not the same in 32-bit code (TLFS, Hypercall Interface). */
static void decode_hypercall(struct backend_vp *vp,
			     const struct hv_x64_hypercall_intercept_message *message,
			     struct vp_exit *exit)
{
	const struct hv_x64_intercept_message_header *header = &message->header;
	union hv_hypercall_input control;
	uint64_t input, output;

	keep(vp, header);
	vp->next_rip = truncate_rip(header, header->rip + HYPERCALL_LENGTH);
	vp->wide = header->execution_state.efer_lma && header->cs_segment._long;
	if (vp->wide) {
		control.as_uint64 = message->rcx;
		input = message->rdx;
		output = message->r8;
	} else {
		control.as_uint64 = message->rdx << 32 | (uint32_t)message->rax;
		input = message->rbx << 32 | (uint32_t)message->rcx;
		output = message->rdi << 32 | (uint32_t)message->rsi;
	}
	exit->kind = VP_EXIT_HYPERCALL;
	exit->hypercall.code = (uint16_t)control.as_uint64;
	exit->hypercall.fast = control.as_uint64 & HV_HYPERCALL_FAST_BIT;
	exit->hypercall.input = input;
	exit->hypercall.output = output;
	exit->hypercall.rep_count = control.rep_count;
	exit->hypercall.rep_start = control.rep_start_index;
	exit->hypercall.done = 0;
	exit->hypercall.status = HV_STATUS_INVALID_HYPERCALL_CODE;
}

static void decode_rest(struct backend_vp *vp, const struct hv_message *message,
			struct vp_exit *exit)
{
	const void *payload = message->u.payload;

	switch (message->header.message_type) {
	case HVMSG_X64_MSR_INTERCEPT:
		decode_msr(vp, payload, exit);
		break;
	case HVMSG_X64_CPUID_INTERCEPT:
		decode_cpuid(vp, payload, exit);
		break;
	case HVMSG_HYPERCALL_INTERCEPT:
		decode_hypercall(vp, payload, exit);
		break;
	case HVMSG_X64_APIC_EOI:
		exit->kind = VP_EXIT_EOI;
		exit->eoi_vector = (uint8_t)((const struct hv_x64_apic_eoi_message *)payload)
					   ->interrupt_vector;
		break;
	case HVMSG_X64_INTERRUPTION_DELIVERABLE:
		exit->kind = VP_EXIT_WINDOW;
		break;
	case HVMSG_X64_HALT:
		exit->kind = VP_EXIT_HALT;
		break;
	case HVMSG_UNRECOVERABLE_EXCEPTION:
		exit->kind = VP_EXIT_TRIPLE_FAULT;
		break;
	case HVMSG_INVALID_VP_REGISTER_VALUE:
		exit->kind = VP_EXIT_INVALID_STATE;
		break;
	case HVMSG_NONE:
		exit->kind = VP_EXIT_NONE;
		break;
	default:
		exit->kind = VP_EXIT_UNKNOWN;
		exit->code = message->header.message_type;
		break;
	}
}

/* What devices are asked by comes first. */
void root_decode(struct backend_vp *vp, const struct hv_message *message, struct vp_exit *exit)
{
	const void *payload = message->u.payload;

	if (message->header.message_type == HVMSG_X64_IO_PORT_INTERCEPT) {
		decode_port(vp, payload, exit);
	} else if (message->header.message_type == HVMSG_UNMAPPED_GPA ||
		   message->header.message_type == HVMSG_GPA_INTERCEPT) {
		decode_memory(vp, payload, exit);
	} else {
		decode_rest(vp, message, exit);
	}
}

/* The instruction is over: RIP goes on, some general registers change. `rax` to `rdx` of those in
 * `mask`, by VP_GPR number. */
static int finish(struct backend_vp *vp, const uint64_t values[4], unsigned int mask)
{
	struct hv_register_assoc registers[5] = {0};
	size_t count = 0;
	unsigned int i;
	int ret;

	if (registers_by_page(vp)) {
		for (i = 0; mask != 0 && i < 4; i++) {
			if (mask & (1u << i)) {
				vp->page->gp_registers[i] = values[i];
			}
		}
		vp->page->rip = vp->next_rip;
		vp->page->dirty |= 1u << HV_X64_REGISTER_CLASS_IP;
		if (mask != 0) {
			vp->page->dirty |= 1u << HV_X64_REGISTER_CLASS_GENERAL;
		}
	} else {
		for (i = 0; i < 4; i++) {
			if (mask & (1u << i)) {
				registers[count].name = HV_X64_REGISTER_RAX + i;
				registers[count++].value.reg64 = values[i];
			}
		}
		registers[count].name = HV_X64_REGISTER_RIP;
		registers[count++].value.reg64 = vp->next_rip;
	}
	ret = count != 0 ? root_set_registers(vp, registers, count) : 0;
	if (ret == 0 && vp->shadow) {
		ret = root_lift_shadow(vp);
	}
	return ret == 0 && vp->trace ? backend_vp_inject_exception(vp, VP_EXCEPTION_DB, 0, 0) : ret;
}

static __attribute__((noinline)) int finish_rax(struct backend_vp *vp, uint64_t rax,
						unsigned int mask)
{
	const uint64_t values[4] = {[VP_RAX] = rax};

	return finish(vp, values, mask);
}

static int answer_port(struct backend_vp *vp, const struct vp_exit *exit)
{
	struct hv_vp_register_page *page = vp->page;
	uint64_t rax = exit->port.value;
	unsigned int written = 0;

	if (!exit->port.write) {
		written = 1u << VP_RAX;
		if (exit->port.size < 4) {
			uint64_t mask = (1ull << 8 * exit->port.size) - 1;

			rax = (vp->rax & ~mask) | (rax & mask);
		}
	}
	if (!registers_by_page(vp) || vp->shadow || vp->trace) {
		return finish_rax(vp, rax, written);
	}
	/* The short way: no loop, no call. */
	if (written != 0) {
		page->rax = rax;
		page->dirty |= 1u << HV_X64_REGISTER_CLASS_GENERAL;
	}
	page->rip = vp->next_rip;
	page->dirty |= 1u << HV_X64_REGISTER_CLASS_IP;
	return 0;
}

static int answer_msr(struct backend_vp *vp, const struct vp_exit *exit)
{
	uint64_t values[4] = {
		[VP_RAX] = (uint32_t)exit->msr.value,
		[VP_RDX] = exit->msr.value >> 32,
	};

	if (exit->msr.fault) {
		return backend_vp_inject_exception(vp, VP_EXCEPTION_GP, 0, 0);
	}
	return finish(vp, values, exit->msr.write ? 0 : 1u << VP_RAX | 1u << VP_RDX);
}

static int answer_cpuid(struct backend_vp *vp, const struct vp_exit *exit)
{
	uint64_t values[4] = {
		[VP_RAX] = exit->cpuid.eax,
		[VP_RBX] = exit->cpuid.ebx,
		[VP_RCX] = exit->cpuid.ecx,
		[VP_RDX] = exit->cpuid.edx,
	};

	return finish(vp, values, 15);
}

static int answer_hypercall(struct backend_vp *vp, const struct vp_exit *exit)
{
	uint64_t result = exit->hypercall.status | (uint64_t)exit->hypercall.done
							   << HV_HYPERCALL_REP_COMP_OFFSET;
	uint64_t values[4] = {
		[VP_RAX] = vp->wide ? result : (uint32_t)result,
		[VP_RDX] = result >> 32,
	};

	return finish(vp, values, vp->wide ? 1u << VP_RAX : 1u << VP_RAX | 1u << VP_RDX);
}

/* These have arrays on the stack, with the guards that belong to them. */
static __attribute__((noinline)) int answer_rest(struct backend_vp *vp, const struct vp_exit *exit)
{
	switch (exit->kind) {
	case VP_EXIT_MSR:
		return answer_msr(vp, exit);
	case VP_EXIT_CRASH:
		return finish(vp, NULL, 0);
	case VP_EXIT_CPUID:
		return answer_cpuid(vp, exit);
	case VP_EXIT_HYPERCALL:
		return answer_hypercall(vp, exit);
	default:
		return 0;
	}
}

int root_answer(struct backend_vp *vp, const struct vp_exit *exit)
{
	if (exit->kind == VP_EXIT_PORT) {
		return answer_port(vp, exit);
	}
	if (exit->kind == VP_EXIT_INSTRUCTION) {
		return 0; /* its registers have been stored */
	}
	return answer_rest(vp, exit);
}
