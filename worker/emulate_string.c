/*
 * MOVS, STOS, LODS, CMPS, SCAS, INS and OUTS, with and without a repeat prefix.
 *
 * After each item the registers are those of an instruction that was interrupted there. A repeated
 * one gives the guest a chance to take interrupts every MAX_ITEMS items, by leaving RIP where it
 * is.
 */
#include "worker/alu.h"
#include "worker/emulate.h"

#define MAX_ITEMS 256

static struct operand accumulator(const struct emulation *e)
{
	return (struct operand){
		.kind = OPERAND_GPR, .size = e->insn->operands[0].size, .reg = VP_RAX};
}

static bool compare(struct emulation *e, const struct operand *left, const struct operand *right)
{
	uint64_t a, b;

	if (!operand_read(e, left, &a) || !operand_read(e, right, &b)) {
		return false;
	}
	alu(ALU_SUB, left->size, a, b, &e->registers.rflags);
	return true;
}

static bool copy(struct emulation *e, const struct operand *to, const struct operand *from)
{
	uint64_t value;

	return operand_read(e, from, &value) && operand_write(e, to, value);
}

static bool in(struct emulation *e, const struct operand *to)
{
	uint16_t port = (uint16_t)e->registers.gpr[VP_RDX];

	/* What the port gives cannot be given back. */
	if (!memory_writable(e, to->segment, operand_address(e, to), to->size)) {
		return false;
	}
	return operand_write(e, to, board_port_read(e->board, port, to->size));
}

static bool out(struct emulation *e, const struct operand *from)
{
	uint64_t value;

	if (!operand_read(e, from, &value)) {
		return false;
	}
	board_port_write(e->board, (uint16_t)e->registers.gpr[VP_RDX], from->size, (uint32_t)value);
	return true;
}

static bool one_item(struct emulation *e, enum string_kind kind)
{
	const struct operand *first = &e->insn->operands[0], *second = &e->insn->operands[1];
	struct operand rax = accumulator(e);

	switch (kind) {
	case STRING_MOVS:
		return copy(e, first, second);
	case STRING_STOS:
		return copy(e, first, &rax);
	case STRING_LODS:
		return copy(e, &rax, first);
	case STRING_CMPS:
		return compare(e, first, second);
	case STRING_SCAS:
		return compare(e, &rax, first);
	case STRING_INS:
		return in(e, first);
	default:
		return out(e, first);
	}
}

/* Adds to as much of a register as addresses have; a 32-bit result clears the upper half. */
static void advance(struct emulation *e, unsigned int reg, int64_t by)
{
	struct operand operand = {
		.kind = OPERAND_GPR, .size = e->insn->address_size, .reg = (uint8_t)reg};
	bool written = operand_write(e, &operand, e->registers.gpr[reg] + (uint64_t)by);

	CHECK(written);
}

static void advance_pointers(struct emulation *e)
{
	int64_t by = e->insn->operands[0].size;
	unsigned int i;

	if (e->registers.rflags & FLAG_DF) {
		by = -by;
	}
	for (i = 0; i < e->insn->operand_count; i++) {
		advance(e, e->insn->operands[i].base, by);
	}
}

/* CMPS and SCAS go on while the items are equal (REPE), or while they are not (REPNE). */
static bool condition_ends(const struct emulation *e, enum string_kind kind)
{
	bool equal = e->registers.rflags & FLAG_ZF;

	if (kind != STRING_CMPS && kind != STRING_SCAS) {
		return false;
	}
	return e->insn->repne ? equal : !equal;
}

bool emulate_string(struct emulation *e)
{
	uint64_t mask = alu_mask(e->insn->address_size);
	bool repeat = e->insn->rep || e->insn->repne;
	enum string_kind kind = e->insn->string;
	unsigned int i;

	/* Before the count is looked at, as processors do. */
	if ((kind == STRING_INS || kind == STRING_OUTS) &&
	    !system_port(e, (uint16_t)e->registers.gpr[VP_RDX], e->insn->operands[0].size)) {
		return false;
	}
	for (i = 0; i < MAX_ITEMS; i++) {
		if (repeat && (e->registers.gpr[VP_RCX] & mask) == 0) {
			break;
		}
		if (!one_item(e, kind)) {
			return false;
		}
		advance_pointers(e);
		if (!repeat) {
			break;
		}
		advance(e, VP_RCX, -1);
		if (condition_ends(e, kind)) {
			break;
		}
	}
	/* All items were used up without an end: the instruction goes on at the next entry. */
	if (i == MAX_ITEMS && (e->registers.gpr[VP_RCX] & mask) != 0) {
		e->next = e->registers.rip;
	}
	return true;
}
