/*
 * The instructions that touch a device's memory, see emulate.h. Each function below is one family;
 * the switch in execute() says which mnemonics belong to it. An instruction changes registers only
 * after its memory was reached, so one that faults can be started again.
 */
#include "worker/emulate.h"

#include <string.h>

#include "worker/alu.h"

static bool unsupported(struct emulation *e)
{
	e->result = EMULATE_UNSUPPORTED;
	return false;
}

static uint64_t sign_extend(uint64_t value, unsigned int size)
{
	unsigned int shift = 64 - 8 * size;

	return (uint64_t)((int64_t)(value << shift) >> shift);
}

/* MOV, MOVZX, MOVSX, MOVSXD, MOVNTI, MOVBE. */
static bool do_move(struct emulation *e, const struct operand *to, const struct operand *from)
{
	uint64_t value;

	if (!operand_read(e, from, &value)) {
		return false;
	}
	if (e->insn->mnemonic == ZYDIS_MNEMONIC_MOVSX ||
	    e->insn->mnemonic == ZYDIS_MNEMONIC_MOVSXD) {
		value = sign_extend(value, from->size);
	} else if (e->insn->mnemonic == ZYDIS_MNEMONIC_MOVBE) {
		value = __builtin_bswap64(value) >> (64 - 8 * from->size);
	}
	return operand_write(e, to, value);
}

/* Two operands, the first is the target. CMP and TEST write nothing. */
static bool do_alu(struct emulation *e, enum alu_operation operation, bool keep)
{
	const struct operand *to = &e->insn->operands[0];
	uint64_t a, b = 0, flags = e->registers.rflags, result;

	if (e->insn->operand_count > 1 && !operand_read(e, &e->insn->operands[1], &b)) {
		return false;
	}
	if (!operand_read(e, to, &a)) {
		return false;
	}
	result = alu(operation, to->size, a, b, &flags);
	if (keep && !operand_write(e, to, result)) {
		return false;
	}
	e->registers.rflags = flags;
	return true;
}

static bool do_not(struct emulation *e)
{
	uint64_t value;

	return operand_read(e, &e->insn->operands[0], &value) &&
	       operand_write(e, &e->insn->operands[0], ~value);
}

/* The memory operand is written first: if that faults nothing has changed. */
static bool do_exchange(struct emulation *e, bool add)
{
	const struct operand *a = &e->insn->operands[0], *b = &e->insn->operands[1];
	uint64_t left, right, flags = e->registers.rflags, sum;

	if (a->kind != OPERAND_MEMORY) {
		const struct operand *swap = a;

		a = b;
		b = swap;
	}
	if (!operand_read(e, a, &left) || !operand_read(e, b, &right)) {
		return false;
	}
	sum = alu(ALU_ADD, a->size, left, right, &flags);
	if (!operand_write(e, a, add ? sum : right) || !operand_write(e, b, left)) {
		return false;
	}
	if (add) {
		e->registers.rflags = flags;
	}
	return true;
}

static bool do_compare_exchange(struct emulation *e)
{
	const struct operand *to = &e->insn->operands[0];
	struct operand accumulator = {.kind = OPERAND_GPR, .size = to->size, .reg = VP_RAX};
	uint64_t old, wanted, expected, flags = e->registers.rflags;

	if (!operand_read(e, to, &old) || !operand_read(e, &e->insn->operands[1], &wanted) ||
	    !operand_read(e, &accumulator, &expected)) {
		return false;
	}
	alu(ALU_SUB, to->size, expected, old, &flags);
	/* The target is written either way. */
	if (!operand_write(e, to, flags & FLAG_ZF ? wanted : old)) {
		return false;
	}
	e->registers.rflags = flags;
	return flags & FLAG_ZF ? true : operand_write(e, &accumulator, old);
}

enum bit_operation {
	BIT_TEST,
	BIT_SET,
	BIT_RESET,
	BIT_COMPLEMENT,
};

/* With the bit's number in a register it may lie far from the operand's address, on either side. */
static bool do_bit(struct emulation *e, enum bit_operation operation)
{
	struct operand to = e->insn->operands[0];
	const struct operand *by = &e->insn->operands[1];
	uint64_t value, number, bit;

	if (!operand_read(e, by, &number)) {
		return false;
	}
	if (by->kind == OPERAND_GPR && to.kind == OPERAND_MEMORY) {
		int64_t offset = (int64_t)sign_extend(number, by->size) >> (to.size == 8   ? 6
									    : to.size == 4 ? 5
											   : 4);

		to.value += offset * to.size;
	}
	bit = 1ull << (number & (8u * to.size - 1));
	if (!operand_read(e, &to, &value)) {
		return false;
	}
	e->registers.rflags &= ~(uint64_t)FLAG_CF;
	e->registers.rflags |= value & bit ? FLAG_CF : 0;
	switch (operation) {
	case BIT_SET:
		return operand_write(e, &to, value | bit);
	case BIT_RESET:
		return operand_write(e, &to, value & ~bit);
	case BIT_COMPLEMENT:
		return operand_write(e, &to, value ^ bit);
	default:
		return true;
	}
}

static unsigned int stack_address_size(const struct emulation *e)
{
	if (e->code_size == 8) {
		return 8;
	}
	return e->registers.segments[VP_SS].attributes & VP_SEGMENT_DEFAULT ? 4 : 2;
}

static void move_stack(struct emulation *e, int64_t by)
{
	uint64_t mask = alu_mask(stack_address_size(e)), *rsp = &e->registers.gpr[VP_RSP];

	*rsp = (*rsp & ~mask) | ((*rsp + (uint64_t)by) & mask);
}

static bool do_push(struct emulation *e)
{
	const struct operand *from = &e->insn->operands[0];
	uint64_t value, mask = alu_mask(stack_address_size(e));

	if (!operand_read(e, from, &value) ||
	    !memory_write(e, VP_SS, (e->registers.gpr[VP_RSP] - from->size) & mask, &value,
			  from->size)) {
		return false;
	}
	move_stack(e, -(int64_t)from->size);
	return true;
}

/* An address that uses RSP uses its value after the pop. */
static bool do_pop(struct emulation *e)
{
	const struct operand *to = &e->insn->operands[0];
	uint64_t value = 0, mask = alu_mask(stack_address_size(e));

	if (!memory_read(e, VP_SS, e->registers.gpr[VP_RSP] & mask, &value, to->size)) {
		return false;
	}
	move_stack(e, to->size);
	if (!operand_write(e, to, value)) {
		move_stack(e, -(int64_t)to->size);
		return false;
	}
	return true;
}

/* Moves between memory and XMM registers. Fewer than 16 bytes clear the rest of the register. */
static bool do_xmm(struct emulation *e)
{
	const struct operand *to = &e->insn->operands[0], *from = &e->insn->operands[1];
	uint8_t value[16] = {0};

	if (to->kind == OPERAND_XMM && from->kind == OPERAND_MEMORY && from->size <= 16) {
		if (!memory_read(e, from->segment, operand_address(e, from), value, from->size)) {
			return false;
		}
		if (vp_store_xmm(e->vp, to->reg, value) == 0) {
			return true;
		}
	} else if (from->kind == OPERAND_XMM && to->kind == OPERAND_MEMORY && to->size <= 16) {
		if (vp_load_xmm(e->vp, from->reg, value) == 0) {
			return memory_write(e, to->segment, operand_address(e, to), value,
					    to->size);
		}
	} else {
		return unsupported(e);
	}
	e->result = EMULATE_FAILED;
	return false;
}

/* In the order of their opcodes, as alu_condition() counts. */
static const uint16_t setcc[16] = {
	ZYDIS_MNEMONIC_SETO, ZYDIS_MNEMONIC_SETNO, ZYDIS_MNEMONIC_SETB,  ZYDIS_MNEMONIC_SETNB,
	ZYDIS_MNEMONIC_SETZ, ZYDIS_MNEMONIC_SETNZ, ZYDIS_MNEMONIC_SETBE, ZYDIS_MNEMONIC_SETNBE,
	ZYDIS_MNEMONIC_SETS, ZYDIS_MNEMONIC_SETNS, ZYDIS_MNEMONIC_SETP,  ZYDIS_MNEMONIC_SETNP,
	ZYDIS_MNEMONIC_SETL, ZYDIS_MNEMONIC_SETNL, ZYDIS_MNEMONIC_SETLE, ZYDIS_MNEMONIC_SETNLE,
};

static const uint16_t cmovcc[16] = {
	ZYDIS_MNEMONIC_CMOVO, ZYDIS_MNEMONIC_CMOVNO, ZYDIS_MNEMONIC_CMOVB,  ZYDIS_MNEMONIC_CMOVNB,
	ZYDIS_MNEMONIC_CMOVZ, ZYDIS_MNEMONIC_CMOVNZ, ZYDIS_MNEMONIC_CMOVBE, ZYDIS_MNEMONIC_CMOVNBE,
	ZYDIS_MNEMONIC_CMOVS, ZYDIS_MNEMONIC_CMOVNS, ZYDIS_MNEMONIC_CMOVP,  ZYDIS_MNEMONIC_CMOVNP,
	ZYDIS_MNEMONIC_CMOVL, ZYDIS_MNEMONIC_CMOVNL, ZYDIS_MNEMONIC_CMOVLE, ZYDIS_MNEMONIC_CMOVNLE,
};

static bool do_conditional(struct emulation *e)
{
	const struct operand *to = &e->insn->operands[0];
	uint64_t value;
	unsigned int i;

	for (i = 0; i < 16; i++) {
		int met = alu_condition(i, e->registers.rflags);

		if (e->insn->mnemonic == setcc[i]) {
			return operand_write(e, to, (uint64_t)met);
		}
		if (e->insn->mnemonic == cmovcc[i]) {
			/* The source is read whether it is used or not, and a 32-bit target loses
			 * its upper half. */
			return operand_read(e, &e->insn->operands[1], &value) &&
			       (met || operand_read(e, to, &value)) && operand_write(e, to, value);
		}
	}
	return unsupported(e);
}

static bool execute(struct emulation *e)
{
	const struct operand *operands = e->insn->operands;

	switch (e->insn->mnemonic) {
	case ZYDIS_MNEMONIC_MOV:
	case ZYDIS_MNEMONIC_MOVZX:
	case ZYDIS_MNEMONIC_MOVSX:
	case ZYDIS_MNEMONIC_MOVSXD:
	case ZYDIS_MNEMONIC_MOVNTI:
	case ZYDIS_MNEMONIC_MOVBE:
		return do_move(e, &operands[0], &operands[1]);
	case ZYDIS_MNEMONIC_ADD:
		return do_alu(e, ALU_ADD, true);
	case ZYDIS_MNEMONIC_ADC:
		return do_alu(e, ALU_ADC, true);
	case ZYDIS_MNEMONIC_SUB:
		return do_alu(e, ALU_SUB, true);
	case ZYDIS_MNEMONIC_SBB:
		return do_alu(e, ALU_SBB, true);
	case ZYDIS_MNEMONIC_AND:
		return do_alu(e, ALU_AND, true);
	case ZYDIS_MNEMONIC_OR:
		return do_alu(e, ALU_OR, true);
	case ZYDIS_MNEMONIC_XOR:
		return do_alu(e, ALU_XOR, true);
	case ZYDIS_MNEMONIC_CMP:
		return do_alu(e, ALU_SUB, false);
	case ZYDIS_MNEMONIC_TEST:
		return do_alu(e, ALU_AND, false);
	case ZYDIS_MNEMONIC_INC:
		return do_alu(e, ALU_INC, true);
	case ZYDIS_MNEMONIC_DEC:
		return do_alu(e, ALU_DEC, true);
	case ZYDIS_MNEMONIC_NEG:
		return do_alu(e, ALU_NEG, true);
	case ZYDIS_MNEMONIC_NOT:
		return do_not(e);
	case ZYDIS_MNEMONIC_XCHG:
		return do_exchange(e, false);
	case ZYDIS_MNEMONIC_XADD:
		return do_exchange(e, true);
	case ZYDIS_MNEMONIC_CMPXCHG:
		return do_compare_exchange(e);
	case ZYDIS_MNEMONIC_BT:
		return do_bit(e, BIT_TEST);
	case ZYDIS_MNEMONIC_BTS:
		return do_bit(e, BIT_SET);
	case ZYDIS_MNEMONIC_BTR:
		return do_bit(e, BIT_RESET);
	case ZYDIS_MNEMONIC_BTC:
		return do_bit(e, BIT_COMPLEMENT);
	case ZYDIS_MNEMONIC_PUSH:
		return do_push(e);
	case ZYDIS_MNEMONIC_POP:
		return do_pop(e);
	case ZYDIS_MNEMONIC_MOVAPS:
	case ZYDIS_MNEMONIC_MOVUPS:
	case ZYDIS_MNEMONIC_MOVAPD:
	case ZYDIS_MNEMONIC_MOVUPD:
	case ZYDIS_MNEMONIC_MOVDQA:
	case ZYDIS_MNEMONIC_MOVDQU:
	case ZYDIS_MNEMONIC_MOVNTDQ:
	case ZYDIS_MNEMONIC_MOVNTDQA:
	case ZYDIS_MNEMONIC_MOVNTPS:
	case ZYDIS_MNEMONIC_MOVNTPD:
	case ZYDIS_MNEMONIC_LDDQU:
	case ZYDIS_MNEMONIC_MOVD:
	case ZYDIS_MNEMONIC_MOVQ:
		return do_xmm(e);
	default:
		return do_conditional(e);
	}
}

/* The bytes that did not come with the exit. The next page is asked for only if the first has too
 * few. */
static bool fetch(struct emulation *e, uint8_t bytes[16], unsigned int *count)
{
	uint64_t linear =
		e->registers.rip + (e->code_size == 8 ? 0 : e->registers.segments[VP_CS].base);

	while (*count < INSN_MAX_LENGTH) {
		uint64_t at = linear + *count, gpa;
		unsigned int step = 4096 - (at & 4095);
		uint32_t error_code = 0;
		const void *ram = NULL;

		step = step < INSN_MAX_LENGTH - *count ? step : INSN_MAX_LENGTH - *count;
		if (vp_translate(e->vp, at, VP_ACCESS_EXECUTE, &gpa, &error_code) == 0) {
			ram = memory_at(e->memory, gpa, step);
		}
		if (ram == NULL) {
			return *count != 0 || unsupported(e);
		}
		memcpy(bytes + *count, ram, step);
		*count += step;
	}
	return true;
}

/* `bytes` has zeros behind the first `count`, 16 in all. */
static const struct insn *decode(struct emulation *e, struct emulate_cache *cache,
				 const uint8_t bytes[16], unsigned int count)
{
	uint64_t key[2];
	unsigned int slot;

	memcpy(key, bytes, sizeof(key));
	/* Opcode, ModRM and the displacement's low bytes are what tells one from another. */
	slot = (uint32_t)((key[0] & 0xffffffffffull) * 0x9e3779b97f4a7c15ull >> 32) % EMULATE_CACHE;
	if (cache->entries[slot].size == e->code_size && cache->entries[slot].bytes[0] == key[0] &&
	    cache->entries[slot].bytes[1] == key[1]) {
		return &cache->entries[slot].insn;
	}
	cache->entries[slot].size = 0;
	if (!insn_decode(&cache->entries[slot].insn, bytes, count, e->code_size)) {
		return NULL;
	}
	memcpy(cache->entries[slot].bytes, key, sizeof(key));
	cache->entries[slot].size = (uint8_t)e->code_size;
	return &cache->entries[slot].insn;
}

static bool find_instruction(struct emulation *e, struct emulate_cache *cache,
			     const struct vp_exit *exit)
{
	unsigned int count = exit->instruction.byte_count;
	uint8_t bytes[16] = {0};

	if (count != 0) {
		e->insn = decode(e, cache, exit->instruction.bytes, count);
		if (e->insn != NULL) {
			return true;
		}
	}
	/* None came, or not all of them. */
	count = 0;
	if (!fetch(e, bytes, &count)) {
		return false;
	}
	e->insn = decode(e, cache, bytes, count);
	return e->insn != NULL || unsupported(e);
}

static bool step(struct emulation *e)
{
	if (e->insn->string != STRING_NONE) {
		if (!emulate_string(e)) {
			return false;
		}
	} else {
		if (!execute(e)) {
			return false;
		}
		e->registers.rip += e->insn->length;
	}
	if (e->code_size != 8) {
		e->registers.rip = (uint32_t)e->registers.rip;
	}
	return true;
}

enum emulate_result emulate(struct vp *vp, struct board *board, const struct memory *memory,
			    struct emulate_cache *cache, const struct vp_exit *exit)
{
	struct emulation e;

	/* One by one: the registers are a large part of it, and are loaded whole. */
	e.vp = vp;
	e.board = board;
	e.memory = memory;
	e.hint = exit->instruction.gpa_valid && exit->instruction.gva_valid;
	e.hint_gva = exit->instruction.gva;
	e.hint_gpa = exit->instruction.gpa;
	e.exception = false;
	e.result = EMULATE_UNSUPPORTED;
	if (vp_load(vp, &e.registers) != 0) {
		return EMULATE_FAILED;
	}
	e.code_size = insn_code_size(&e.registers);
	if (!find_instruction(&e, cache, exit)) {
		return e.result;
	}
	if (exit->instruction.gpa_valid && !e.hint) {
		operand_find_hint(&e);
	}
	if (!step(&e) && !e.exception) {
		return e.result;
	}
	/* The registers of a string instruction that faulted on its way are those of the item that
	 * did. */
	if (vp_store(vp, &e.registers) != 0) {
		return EMULATE_FAILED;
	}
	if (e.exception && vp_inject_exception(vp, e.vector, e.error_code, e.fault_address) != 0) {
		return EMULATE_FAILED;
	}
	/* As after any instruction, and after each part of a repeated one. */
	if (!e.exception && (e.registers.rflags & FLAG_TF) &&
	    vp_inject_exception(vp, VP_EXCEPTION_DB, 0, 0) != 0) {
		return EMULATE_FAILED;
	}
	return EMULATE_DONE;
}
