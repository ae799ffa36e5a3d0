/*
 * The little that the hypervisor must know of instructions: the length of those that a processor
 * without next-RIP save stops at, the bytes for a memory intercept message, and the moves with
 * which a guest reaches its local APIC in xAPIC mode.
 */
#ifndef ARCH_INSN_H
#define ARCH_INSN_H

#include <stdbool.h>
#include <stdint.h>

#include "hypervisor/arch/x86/vendor.h"
#include "hypervisor/vcpu.h"

#define INSN_MAX 16

static inline struct seen_instruction *insn_seen_at(struct vcpu *vcpu)
{
	return &vcpu->seen[vcpu->rip / 2 % SEEN_INSTRUCTIONS];
}

/*
 * `opcode` (two bytes, little-endian) without prefixes stood at RIP before, and stands there now. A
 * guest that changes its page tables may be shown bytes of the page that it had there: they are
 * only compared with those that must stand at RIP, and decide between one length and the other.
 */
static inline bool insn_seen(struct vcpu *vcpu, uint16_t opcode)
{
	const struct seen_instruction *seen = insn_seen_at(vcpu);

	return seen->rip == vcpu->rip && seen->cr3 == vendor_get_cr(vcpu, 3) &&
	       seen->generation == vcpu->tlb_generation &&
	       (seen->at[0] | seen->at[1] << 8) == opcode;
}

/* Length of the instruction at RIP, which is `opcode` behind any prefixes, when insn_seen() does
 * not tell. */
uint8_t insn_length(struct vcpu *vcpu, uint16_t opcode);
uint8_t insn_halt_length(struct vcpu *vcpu);

/* Up to INSN_MAX bytes at RIP; fewer when the next page is not there. No fault is raised. */
uint32_t insn_fetch(struct vcpu *vcpu, uint8_t bytes[INSN_MAX]);

struct insn_access {
	uint8_t length, size; /* bytes; size of the access */
	uint8_t register_size; /* of what a read goes to: more than is read where that is extended by zeros */
	bool write, read; /* XCHG and arithmetic do both */
	bool has_immediate;
	uint8_t gpr;        /* source or destination, when there is no immediate */
	bool high_byte;     /* of that register: AH, CH, DH, BH */
	uint64_t immediate; /* extended to the size */
	enum insn_operation { INSN_MOVE, INSN_EXCHANGE, INSN_AND, INSN_OR, INSN_XOR } operation;
};

/*
 * Decodes the memory access at RIP; false when it is not one of the forms that are used on an APIC
 * and on doorbells: moves of any size, and what a 32-bit register's bits are changed with.
 */
bool insn_decode_access(struct vcpu *vcpu, struct insn_access *access);

#endif
