#include "hypervisor/root_access.h"

#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/insn.h"
#include "hypervisor/vcpu.h"
#include "lib/addr.h"

static void carry_out(struct vcpu *vcpu, const struct insn_access *access, uint64_t gpa,
		      const struct root_registers *registers)
{
	uint64_t *gpr = &vcpu->gpr[access->gpr], value, mask;
	unsigned int shift = access->high_byte ? 8 : 0;

	if (access->write) {
		value = access->has_immediate ? access->immediate : *gpr >> shift;
		registers->write(gpa, access->size, value);
		return;
	}
	value = registers->read(gpa, access->size);
	/* A register of 4 bytes takes its upper half along. */
	mask = access->register_size >= 4 ? UINT64_MAX : (1ull << 8 * access->register_size) - 1;
	*gpr = (*gpr & ~(mask << shift)) | value << shift;
}

/* What a kernel reaches a device's registers with: a move of a register that is not RSP, within the
 * page. */
static bool can_be_done(const struct insn_access *access, uint64_t gpa)
{
	return access->operation == INSN_MOVE &&
	       (access->has_immediate || access->high_byte || access->gpr != GPR_RSP) &&
	       (gpa & PAGE_MASK) + access->size <= PAGE_SIZE;
}

void root_access(struct vcpu *vcpu, uint64_t gpa, const struct root_registers *registers)
{
	struct insn_access access;

	if (insn_decode_access(vcpu, &access) && can_be_done(&access, gpa)) {
		carry_out(vcpu, &access, gpa, registers);
		vendor_skip(vcpu, access.length);
	} else {
		vendor_inject_exception(vcpu, EXC_GP, true, 0);
	}
}
