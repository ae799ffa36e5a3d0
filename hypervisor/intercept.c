#include "hypervisor/intercept.h"

#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/insn.h"
#include "hypervisor/arch/x86/trap.h"
#include "hypervisor/fpu.h"
#include "hypervisor/gpa.h"
#include "hypervisor/iommu.h"
#include "hypervisor/lp.h"
#include "hypervisor/machine_check.h"
#include "hypervisor/message.h"
#include "hypervisor/root_access.h"
#include "hypervisor/sleep.h"
#include "hypervisor/vcpu.h"

#define APIC_BASE_ENABLE (1ull << 11)
#define APIC_BASE_X2APIC (1ull << 10)

static bool is_root(const struct vcpu *vcpu)
{
	return vcpu->vp->partition->id == HV_ROOT_PARTITION;
}

static void protection_fault(struct vcpu *vcpu)
{
	vendor_inject_exception(vcpu, EXC_GP, true, 0);
}

static inline void set_cpuid(struct vcpu *vcpu, const uint32_t out[4])
{
	vcpu->gpr[GPR_RAX] = out[0];
	vcpu->gpr[GPR_RBX] = out[1];
	vcpu->gpr[GPR_RCX] = out[2];
	vcpu->gpr[GPR_RDX] = out[3];
}

static void handle_cpuid(struct vcpu *vcpu, const struct intercept *intercept)
{
	const uint64_t *gpr = vcpu->gpr;
	uint32_t out[4];

	if (cpuid_read(vcpu->vp, (uint32_t)gpr[GPR_RAX], (uint32_t)gpr[GPR_RCX], out) ==
	    ACCESS_PARENT) {
		message_cpuid(vcpu, intercept, out);
		return;
	}
	set_cpuid(vcpu, out);
	vendor_skip(vcpu, intercept->length);
}

static void end_msr_access(struct vcpu *vcpu, const struct intercept *intercept,
			   enum access_result result)
{
	switch (result) {
	case ACCESS_OK:
		vendor_skip(vcpu, intercept->length);
		break;
	case ACCESS_FAULT:
		protection_fault(vcpu);
		break;
	case ACCESS_PARENT:
		message_msr(vcpu, intercept);
		break;
	}
}

static void handle_msr_read(struct vcpu *vcpu, const struct intercept *intercept)
{
	uint64_t value = 0;
	enum access_result result = msr_read(vcpu->vp, (uint32_t)vcpu->gpr[GPR_RCX], &value);

	if (result == ACCESS_OK) {
		vcpu_set_edx_eax(vcpu, value);
	}
	end_msr_access(vcpu, intercept, result);
}

static void handle_msr_write(struct vcpu *vcpu, const struct intercept *intercept)
{
	end_msr_access(vcpu, intercept,
		       msr_write(vcpu->vp, (uint32_t)vcpu->gpr[GPR_RCX], vcpu_edx_eax(vcpu)));
}

/* 32-bit callers pass EDX:EAX, EBX:ECX and EDI:ESI (TLFS, Hypercall Interface: register
 * mapping). */
static void hypercall_get(struct vcpu *vcpu, struct hypercall_regs *regs, bool wide)
{
	const uint64_t *gpr = vcpu->gpr;

	if (wide) {
		regs->rcx = gpr[GPR_RCX];
		regs->rdx = gpr[GPR_RDX];
		regs->r8 = gpr[GPR_R8];
	} else {
		regs->rcx = vcpu_edx_eax(vcpu);
		regs->rdx = (uint32_t)gpr[GPR_RCX] | gpr[GPR_RBX] << 32;
		regs->r8 = (uint32_t)gpr[GPR_RSI] | gpr[GPR_RDI] << 32;
	}
}

static void hypercall_again(struct vcpu *vcpu, const struct hypercall_regs *regs, bool wide)
{
	if (wide) {
		vcpu->gpr[GPR_RCX] = regs->rcx;
	} else {
		vcpu_set_edx_eax(vcpu, regs->rcx);
	}
}

static void handle_hypercall(struct vcpu *vcpu, const struct intercept *intercept)
{
	bool wide = vendor_code_bits(vcpu) == 64;
	struct intercept memory;
	struct hypercall_regs regs;

	if (vendor_get_cpl(vcpu) != 0 || !(vendor_get_cr(vcpu, 0) & CR0_PE)) {
		vendor_inject_exception(vcpu, EXC_UD, false, 0);
		return;
	}
	hypercall_get(vcpu, &regs, wide);
	vcpu->rare |= (uint16_t)regs.rcx == HVCALL_SET_VP_REGISTERS; /* perhaps the caller's own */
	switch (hypercall_enter(vcpu->vp, &regs)) {
	case HYPERCALL_DONE:
		if (wide) {
			vcpu->gpr[GPR_RAX] = regs.rax;
		} else {
			vcpu_set_edx_eax(vcpu, regs.rax);
		}
		vendor_skip(vcpu, intercept->length);
		break;
	case HYPERCALL_AGAIN:
		hypercall_again(vcpu, &regs, wide);
		break;
	case HYPERCALL_UD:
		vendor_inject_exception(vcpu, EXC_UD, false, 0);
		break;
	case HYPERCALL_INTERCEPT:
		message_hypercall(vcpu, intercept);
		break;
	case HYPERCALL_MEMORY:
		memory = (struct intercept){
			.kind = INTERCEPT_MEMORY,
			.memory = {.gpa = regs.fault_gpa.v, .write = regs.fault_write}};
		message_memory(vcpu, &memory, HVMSG_UNMAPPED_GPA);
		break;
	}
}

/* The APIC page of a VP in xAPIC mode: 32-bit accesses by the few instructions that guests use for
 * it. */
static bool at_local_apic(const struct vcpu *vcpu, uint64_t gpa)
{
	uint64_t base = vcpu->vp->lapic.base;

	return (base & (APIC_BASE_ENABLE | APIC_BASE_X2APIC)) == APIC_BASE_ENABLE &&
	       (gpa & ~PAGE_MASK) == (base & ~PAGE_MASK);
}

static void handle_local_apic(struct vcpu *vcpu, uint32_t offset)
{
	struct insn_access access;
	uint32_t old = 0, operand, new;

	if (!insn_decode_access(vcpu, &access) || access.size != 4) {
		protection_fault(vcpu);
		return;
	}
	operand =
		access.has_immediate ? (uint32_t)access.immediate : (uint32_t)vcpu->gpr[access.gpr];
	if (access.read) {
		old = lapic_mmio_read(vcpu->vp, offset);
	}
	if (access.write) {
		new = access.operation == INSN_AND   ? old &operand
		      : access.operation == INSN_OR  ? old | operand
		      : access.operation == INSN_XOR ? old ^ operand
						     : operand;
		lapic_mmio_write(vcpu->vp, offset, new);
	}
	if (access.read && (access.operation == INSN_MOVE || access.operation == INSN_EXCHANGE)) {
		vcpu->gpr[access.gpr] = old;
	}
	vendor_skip(vcpu, access.length);
}

/* A write to a page without memory may be a doorbell; then the guest goes on at once. */
static bool doorbell(struct vcpu *vcpu, const struct intercept *intercept)
{
	struct insn_access access;
	uint64_t value;

	if (!intercept->memory.write || !insn_decode_access(vcpu, &access) || access.read ||
	    access.operation != INSN_MOVE) {
		return false;
	}
	if (access.has_immediate) {
		value = access.immediate;
	} else if (access.gpr ==
		   GPR_RSP) { /* kept by the vendor; no address or number of a device */
		return false;
	} else {
		value = vcpu->gpr[access.gpr] >> (access.high_byte ? 8 : 0);
	}
	if (!port_doorbell(vcpu->vp, (gpa_t){intercept->memory.gpa}, value, access.size)) {
		return false;
	}
	vendor_skip(vcpu, access.length);
	return true;
}

static void handle_memory(struct vcpu *vcpu, const struct intercept *intercept)
{
	struct partition *p = vcpu->vp->partition;
	uint32_t access = intercept->memory.fetch   ? HV_MAP_GPA_EXECUTABLE
			  : intercept->memory.write ? HV_MAP_GPA_WRITABLE
						    : HV_MAP_GPA_READABLE;

	if (at_local_apic(vcpu, intercept->memory.gpa)) {
		handle_local_apic(vcpu, intercept->memory.gpa & PAGE_MASK);
		return;
	}
	if (is_root(vcpu) && sleep_access(vcpu, intercept->memory.gpa)) {
		return;
	}
	if (is_root(vcpu) && iommu_is_at(intercept->memory.gpa)) {
		root_access(vcpu, intercept->memory.gpa, &iommu_registers);
		return;
	}
	switch (gpa_fault(p, (gpa_t){intercept->memory.gpa}, access)) {
	case GPA_FAULT_RESOLVED:
		break;
	case GPA_FAULT_UNMAPPED:
		if (p->connections == NULL || !doorbell(vcpu, intercept)) {
			message_memory(vcpu, intercept, HVMSG_UNMAPPED_GPA);
		}
		break;
	case GPA_FAULT_ACCESS:
		if (is_root(vcpu)) {
			protection_fault(vcpu);
		} else {
			message_memory(vcpu, intercept, HVMSG_GPA_INTERCEPT);
		}
		break;
	case GPA_FAULT_NO_MEMORY:
		if (!is_root(vcpu)) { /* its parent gave it too little */
			message_memory(vcpu, intercept, HVMSG_UNMAPPED_GPA);
			break;
		}
		machine_stop("no memory left for the root's page tables; give the hypervisor more "
			     "with hv.memory=");
	case GPA_FAULT_APIC:
	case GPA_FAULT_PROTECTED:
		protection_fault(vcpu);
		break;
	}
}

static void set_port_value(struct vcpu *vcpu, unsigned int size, uint64_t value)
{
	uint64_t mask = ~0ull >> (64 - 8 * size), *rax = &vcpu->gpr[GPR_RAX];

	*rax = size == 4 ? value : (*rax & ~mask) | value;
}

/* The root exits only for ports by which the machine goes to sleep. */
static void handle_root_io(struct vcpu *vcpu, const struct intercept *intercept)
{
	uint16_t port = intercept->io.port;
	unsigned int size = intercept->io.access.access_size;
	uint32_t value = (uint32_t)vcpu->gpr[GPR_RAX];

	if (intercept->io.access.string_op) {
		protection_fault(vcpu);
		return;
	}
	if (intercept->io.in) {
		set_port_value(vcpu, size, port_in(port, size));
	} else if (sleep_permits(port, size, value)) {
		port_out(port, size, value);
	}
	vendor_skip(vcpu, intercept->length);
}

static void handle_io(struct vcpu *vcpu, const struct intercept *intercept)
{
	if (vcpu->vp->partition->intercept_io) {
		message_io(vcpu, intercept);
		return;
	}
	if (is_root(vcpu)) {
		handle_root_io(vcpu, intercept);
		return;
	}
	/* Nobody answers: as on a bus without the device. */
	if (intercept->io.in && !intercept->io.access.string_op) {
		set_port_value(vcpu, intercept->io.access.access_size,
			       ~0ull >> (64 - 8 * intercept->io.access.access_size));
	}
	vendor_skip(vcpu, intercept->length);
}

static void handle_exception(struct vcpu *vcpu, const struct intercept *intercept)
{
	uint8_t vector = intercept->exception.vector;

	if (vector == EXC_MC) {
		machine_check_taken(lp_this());
		return;
	}
	if (vcpu->vp->partition->intercept_exceptions & 1u << vector) {
		message_exception(vcpu, intercept);
		return;
	}
	if (vector == EXC_PF) {
		vendor_inject_page_fault(vcpu, intercept->exception.parameter,
					 intercept->exception.error);
	} else {
		vendor_inject_exception(vcpu, vector, intercept->exception.has_error,
					intercept->exception.error);
	}
}

static void handle_xsetbv(struct vcpu *vcpu, const struct intercept *intercept)
{
	if (vendor_get_cpl(vcpu) != 0 || (uint32_t)vcpu->gpr[GPR_RCX] != 0 ||
	    !fpu_set_xcr0(vcpu, vcpu_edx_eax(vcpu))) {
		protection_fault(vcpu);
	} else {
		vendor_skip(vcpu, intercept->length);
	}
}

/* On SVM, where a guest has CR4.MCE for itself, a machine check that it has disabled ends here. */
void intercept_shutdown(struct vcpu *vcpu)
{
	if (machine_check_in_progress()) {
		machine_check_taken(lp_this());
	}
	if (is_root(vcpu)) {
		machine_reset(); /* as the processor would */
	}
	message_triple_fault(vcpu);
}

static void handle_invalid(struct vcpu *vcpu)
{
	if (is_root(vcpu)) {
		machine_stop("the processor refuses the root's state");
	}
	message_invalid_state(vcpu);
}

void intercept_handle(struct vcpu *vcpu, const struct intercept *intercept)
{
	switch (intercept->kind) {
	case INTERCEPT_CPUID:
		handle_cpuid(vcpu, intercept);
		break;
	case INTERCEPT_HYPERCALL:
		handle_hypercall(vcpu, intercept);
		break;
	case INTERCEPT_MSR_READ:
		handle_msr_read(vcpu, intercept);
		break;
	case INTERCEPT_MSR_WRITE:
		handle_msr_write(vcpu, intercept);
		break;
	case INTERCEPT_INTERRUPT:
		vendor_take_interrupts();
		break;
	case INTERCEPT_IO:
		handle_io(vcpu, intercept);
		break;
	case INTERCEPT_MEMORY:
		handle_memory(vcpu, intercept);
		break;
	case INTERCEPT_HALT:
		vendor_skip(vcpu, intercept->length);
		vp_halt(vcpu->vp, vendor_get_rflags(vcpu) & RFLAGS_IF);
		break;
	case INTERCEPT_EXCEPTION:
		handle_exception(vcpu, intercept);
		break;
	case INTERCEPT_XSETBV:
		handle_xsetbv(vcpu, intercept);
		break;
	case INTERCEPT_DEBUG:
		fpu_debug_accessed(vcpu);
		break;
	case INTERCEPT_UNDEFINED:
		vendor_inject_exception(vcpu, EXC_UD, false, 0);
		break;
	case INTERCEPT_PROTECTED:
		protection_fault(vcpu);
		break;
	case INTERCEPT_SPIN:
		vp_end_turn(vcpu->vp);
		break;
	case INTERCEPT_SKIP:
		vendor_skip(vcpu, intercept->length);
		break;
	case INTERCEPT_TRIPLE_FAULT:
		intercept_shutdown(vcpu);
		break;
	case INTERCEPT_INVALID:
		handle_invalid(vcpu);
		break;
	case INTERCEPT_NOTHING:
	case INTERCEPT_WINDOW:
		break;
	}
}
