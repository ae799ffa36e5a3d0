/*
 * The instructions that touch a device's memory, see emulate.h: families, and at the end a table
 * with a row for each. An instruction changes registers only after its memory was reached, so one
 * that faults can be started again.
 *
 * What an instruction may do is checked here, even where the processor has done so before it gave
 * up: see emulate.c.
 */
#include <string.h>

#include "worker/alu.h"
#include "worker/emulate.h"

enum move {
	MOVE_PLAIN, /* to a larger register with zeros */
	MOVE_SIGN,
	MOVE_SWAP,
};

static bool do_move(struct emulation *e, unsigned int how)
{
	const struct operand *to = &e->insn->operands[0], *from = &e->insn->operands[1];
	uint64_t value;

	if (!operand_read(e, from, &value)) {
		return false;
	}
	if (how == MOVE_SIGN) {
		value = alu_sign_extend(value, from->size);
	} else if (how == MOVE_SWAP) {
		value = __builtin_bswap64(value) >> (64 - 8 * from->size);
	}
	return operand_write(e, to, value);
}

/* Two operands, the first is the target, or one. */
static bool do_alu(struct emulation *e, unsigned int operation)
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
	if (!operand_write(e, to, result)) {
		return false;
	}
	e->registers.rflags = flags;
	return true;
}

/* CMP and TEST: flags alone. */
static bool do_compare(struct emulation *e, unsigned int operation)
{
	const struct operand *operands = e->insn->operands;
	uint64_t a, b;

	if (!operand_read(e, &operands[1], &b) || !operand_read(e, &operands[0], &a)) {
		return false;
	}
	alu(operation, operands[0].size, a, b, &e->registers.rflags);
	return true;
}

static bool do_not(struct emulation *e, unsigned int unused)
{
	uint64_t value;

	(void)unused;
	return operand_read(e, &e->insn->operands[0], &value) &&
	       operand_write(e, &e->insn->operands[0], ~value);
}

static bool do_shift(struct emulation *e, unsigned int operation)
{
	const struct operand *to = &e->insn->operands[0];
	uint64_t value, count, flags = e->registers.rflags;

	if (!operand_read(e, &e->insn->operands[1], &count) || !operand_read(e, to, &value) ||
	    !operand_write(e, to, alu_shift(operation, to->size, value, count, &flags))) {
		return false;
	}
	e->registers.rflags = flags;
	return true;
}

static bool do_shift_double(struct emulation *e, unsigned int left)
{
	const struct operand *to = &e->insn->operands[0];
	uint64_t value, other, count, flags = e->registers.rflags;

	if (!operand_read(e, &e->insn->operands[2], &count) ||
	    !operand_read(e, &e->insn->operands[1], &other) || !operand_read(e, to, &value) ||
	    !operand_write(e, to, alu_shift_double(left, to->size, value, other, count, &flags))) {
		return false;
	}
	e->registers.rflags = flags;
	return true;
}

static bool do_scan(struct emulation *e, unsigned int operation)
{
	const struct operand *to = &e->insn->operands[0];
	uint64_t value, result;

	if (!operand_read(e, &e->insn->operands[1], &value)) {
		return false;
	}
	result = alu_scan(operation, to->size, value, &e->registers.rflags);
	return ((operation == ALU_BSF || operation == ALU_BSR) && value == 0) ||
	       operand_write(e, to, result);
}

/* A part of RDX:RAX; of bytes both are in AX. */
static struct operand accumulator(unsigned int size, bool high)
{
	return (struct operand){.kind = OPERAND_GPR,
				.size = (uint8_t)size,
				.reg = high && size != 1 ? VP_RDX : VP_RAX,
				.high = high && size == 1};
}

static bool do_multiply(struct emulation *e, unsigned int is_signed)
{
	const struct operand *operands = e->insn->operands;
	unsigned int size = operands[0].size, count = e->insn->operand_count;
	struct operand low = accumulator(size, false), upper = accumulator(size, true);
	uint64_t a, b, product, high;

	/* One operand: by the accumulator, to twice the size. Two or three: to a register. */
	if (!operand_read(e, count == 1 ? &low : &operands[count - 2], &a) ||
	    !operand_read(e, &operands[count - 1], &b)) {
		return false;
	}
	product = alu_multiply(is_signed, size, a, b, &high, &e->registers.rflags);
	if (count != 1) {
		return operand_write(e, &operands[0], product);
	}
	return operand_write(e, &low, product) && operand_write(e, &upper, high);
}

static bool do_divide(struct emulation *e, unsigned int is_signed)
{
	const struct operand *by = &e->insn->operands[0];
	struct operand low = accumulator(by->size, false), upper = accumulator(by->size, true);
	uint64_t a, b, high, quotient, remainder;

	if (!operand_read(e, by, &b) || !operand_read(e, &low, &a) ||
	    !operand_read(e, &upper, &high)) {
		return false;
	}
	if (!alu_divide(is_signed, by->size, high, a, b, &quotient, &remainder)) {
		return emulation_raise(e, VP_EXCEPTION_DE, 0, 0);
	}
	return operand_write(e, &low, quotient) && operand_write(e, &upper, remainder);
}

/* The memory operand is written first: if that faults nothing has changed. */
static bool do_exchange(struct emulation *e, unsigned int add)
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

static bool do_compare_exchange(struct emulation *e, unsigned int unused)
{
	const struct operand *to = &e->insn->operands[0];
	struct operand expects = accumulator(to->size, false);
	uint64_t old, wanted, expected, flags = e->registers.rflags;

	(void)unused;
	if (!operand_read(e, to, &old) || !operand_read(e, &e->insn->operands[1], &wanted) ||
	    !operand_read(e, &expects, &expected)) {
		return false;
	}
	alu(ALU_SUB, to->size, expected, old, &flags);
	/* The target is written either way. */
	if (!operand_write(e, to, flags & FLAG_ZF ? wanted : old)) {
		return false;
	}
	e->registers.rflags = flags;
	return flags & FLAG_ZF ? true : operand_write(e, &expects, old);
}

/* CMPXCHG8B, CMPXCHG16B: two registers of half the size. */
static bool do_compare_exchange_pair(struct emulation *e, unsigned int size)
{
	const struct operand *to = &e->insn->operands[0];
	struct operand low = {.kind = OPERAND_GPR, .size = (uint8_t)size, .reg = VP_RAX},
		       high = {.kind = OPERAND_GPR, .size = (uint8_t)size, .reg = VP_RDX};
	uint64_t address = operand_address(e, to), mask = alu_mask(size), *gpr = e->registers.gpr;
	uint64_t old[2] = {0}, pair[2];
	uint8_t bytes[16];
	bool equal;

	if (size == 8 && (address & 15) != 0) {
		return emulation_raise(e, VP_EXCEPTION_GP, 0, 0);
	}
	if (!memory_read(e, to->segment, address, bytes, 2 * size)) {
		return false;
	}
	memcpy(&old[0], bytes, size);
	memcpy(&old[1], bytes + size, size);
	equal = old[0] == (gpr[VP_RAX] & mask) && old[1] == (gpr[VP_RDX] & mask);
	pair[0] = equal ? gpr[VP_RBX] : old[0];
	pair[1] = equal ? gpr[VP_RCX] : old[1];
	memcpy(bytes, &pair[0], size);
	memcpy(bytes + size, &pair[1], size);
	if (!memory_write(e, to->segment, address, bytes, 2 * size)) {
		return false;
	}
	e->registers.rflags &= ~(uint64_t)FLAG_ZF;
	e->registers.rflags |= equal ? FLAG_ZF : 0;
	return equal || (operand_write(e, &low, old[0]) && operand_write(e, &high, old[1]));
}

enum bit_operation {
	BIT_TEST,
	BIT_SET,
	BIT_RESET,
	BIT_COMPLEMENT,
};

/* With the bit's number in a register it may lie far from the operand's address, on either side. */
static bool do_bit(struct emulation *e, unsigned int operation)
{
	struct operand to = e->insn->operands[0];
	const struct operand *by = &e->insn->operands[1];
	uint64_t value, number, bit, changed;

	if (!operand_read(e, by, &number)) {
		return false;
	}
	if (by->kind == OPERAND_GPR && to.kind == OPERAND_MEMORY) {
		int64_t offset = (int64_t)alu_sign_extend(number, by->size) >> (to.size == 8   ? 6
										: to.size == 4 ? 5
											       : 4);

		to.value += offset * to.size;
	}
	bit = 1ull << (number & (8u * to.size - 1));
	if (!operand_read(e, &to, &value)) {
		return false;
	}
	changed = operation == BIT_SET     ? value | bit
		  : operation == BIT_RESET ? value & ~bit
					   : value ^ bit;
	if (operation != BIT_TEST && !operand_write(e, &to, changed)) {
		return false;
	}
	e->registers.rflags &= ~(uint64_t)FLAG_CF;
	e->registers.rflags |= value & bit ? FLAG_CF : 0;
	return true;
}

static bool do_set(struct emulation *e, unsigned int condition)
{
	return operand_write(e, &e->insn->operands[0],
			     (uint64_t)alu_condition(condition, e->registers.rflags));
}

/* The source is read whether it is used or not, and a 32-bit target loses its upper half. */
static bool do_move_if(struct emulation *e, unsigned int condition)
{
	const struct operand *to = &e->insn->operands[0];
	uint64_t value;

	return operand_read(e, &e->insn->operands[1], &value) &&
	       (alu_condition(condition, e->registers.rflags) || operand_read(e, to, &value)) &&
	       operand_write(e, to, value);
}

enum vector_part {
	VECTOR_WHOLE, /* fewer bytes than the register clear the rest of it */
	VECTOR_LOW,   /* 8 bytes; the rest is kept */
	VECTOR_HIGH,
};

#define CR0_EM 0x4u
#define CR0_TS 0x8u

/* With TS, what is in the registers may be another program's. */
static bool vectors_allowed(struct emulation *e)
{
	if (e->registers.cr0 & CR0_EM) {
		return emulation_raise(e, VP_EXCEPTION_UD, 0, 0);
	}
	return !(e->registers.cr0 & CR0_TS) || emulation_raise(e, VP_EXCEPTION_NM, 0, 0);
}

/* Moves between memory and XMM or MMX registers. */
static bool do_vector(struct emulation *e, unsigned int part)
{
	const struct operand *to = &e->insn->operands[0], *from = &e->insn->operands[1];
	bool load = from->kind == OPERAND_MEMORY;
	const struct operand *memory = load ? from : to, *reg = load ? to : from;
	bool mmx = reg->kind == OPERAND_MMX;
	uint8_t value[16] = {0}, *at = value + (part == VECTOR_HIGH ? 8 : 0);

	if (memory->kind != OPERAND_MEMORY || memory->size > (mmx ? 8 : 16) ||
	    (reg->kind != OPERAND_XMM && !mmx) || (part != VECTOR_WHOLE && memory->size != 8)) {
		return emulation_unsupported(e);
	}
	if (!vectors_allowed(e)) {
		return false;
	}
	if (!load || part != VECTOR_WHOLE) {
		if ((mmx ? backend_vp_load_mmx(e->vp, reg->reg, value)
			 : backend_vp_load_xmm(e->vp, reg->reg, value)) != 0) {
			return emulation_failed(e);
		}
	}
	if (!load) {
		return memory_write(e, memory->segment, operand_address(e, memory), at,
				    memory->size);
	}
	if (!memory_read(e, memory->segment, operand_address(e, memory), at, memory->size)) {
		return false;
	}
	return (mmx ? backend_vp_store_mmx(e->vp, reg->reg, value)
		    : backend_vp_store_xmm(e->vp, reg->reg, value)) == 0 ||
	       emulation_failed(e);
}

/* ---- The stack, and where execution goes on ---- */

static uint64_t stack_mask(const struct emulation *e)
{
	if (e->code_size == 8) {
		return alu_mask(8);
	}
	return alu_mask(e->registers.segments[VP_SS].attributes & VP_SEGMENT_DEFAULT ? 4 : 2);
}

void emulation_move_stack(struct emulation *e, int64_t by)
{
	uint64_t mask = stack_mask(e), *rsp = &e->registers.gpr[VP_RSP];

	*rsp = (*rsp & ~mask) | ((*rsp + (uint64_t)by) & mask);
}

bool emulation_push(struct emulation *e, uint64_t value, unsigned int size)
{
	if (!memory_write(e, VP_SS, (e->registers.gpr[VP_RSP] - size) & stack_mask(e), &value,
			  size)) {
		return false;
	}
	emulation_move_stack(e, -(int64_t)size);
	return true;
}

/* Not moved yet: what comes of the value may still fault. */
bool emulation_peek(struct emulation *e, unsigned int above, uint64_t *value, unsigned int size)
{
	*value = 0;
	return memory_read(e, VP_SS, (e->registers.gpr[VP_RSP] + above) & stack_mask(e), value,
			   size);
}

/* An immediate is as long as the stack's items, whatever its own length. */
static bool do_push(struct emulation *e, unsigned int unused)
{
	uint64_t value;

	(void)unused;
	return operand_read(e, &e->insn->operands[0], &value) &&
	       emulation_push(e, value, e->insn->operand_size);
}

/* An address that uses RSP uses its value after the pop. */
static bool do_pop(struct emulation *e, unsigned int unused)
{
	unsigned int size = e->insn->operand_size;
	uint64_t value;

	(void)unused;
	if (!emulation_peek(e, 0, &value, size)) {
		return false;
	}
	emulation_move_stack(e, size);
	if (!operand_write(e, &e->insn->operands[0], value)) {
		emulation_move_stack(e, -(int64_t)size);
		return false;
	}
	return true;
}

/* Virtual 8086 mode shows and changes flags for those alone whom the system lets. */
static bool flags_allowed(struct emulation *e)
{
	uint64_t flags = e->registers.rflags;

	return !(flags & FLAG_VM) || (flags & FLAG_IOPL) == FLAG_IOPL ||
	       emulation_raise(e, VP_EXCEPTION_GP, 0, 0);
}

static bool do_push_flags(struct emulation *e, unsigned int unused)
{
	(void)unused;
	return flags_allowed(e) &&
	       emulation_push(e, e->registers.rflags & ~(uint64_t)(FLAG_RF | FLAG_VM),
			      e->insn->operand_size);
}

/* Which of them may be changed depends on the privilege level. */
static bool do_pop_flags(struct emulation *e, unsigned int unused)
{
	unsigned int size = e->insn->operand_size, cpl = insn_cpl(&e->registers);
	uint64_t value, change = FLAGS_POPPED & alu_mask(size), *flags = &e->registers.rflags;

	(void)unused;
	if (!flags_allowed(e) || !emulation_peek(e, 0, &value, size)) {
		return false;
	}
	if (cpl != 0) {
		change &= ~(uint64_t)FLAG_IOPL;
	}
	if (cpl > (*flags & FLAG_IOPL) >> FLAG_IOPL_SHIFT) {
		change &= ~(uint64_t)FLAG_IF;
	}
	*flags = (*flags & ~change) | (value & change);
	*flags &= ~(uint64_t)FLAG_RF;
	emulation_move_stack(e, size);
	return true;
}

static bool do_leave(struct emulation *e, unsigned int unused)
{
	struct operand rbp = {.kind = OPERAND_GPR, .size = e->insn->operand_size, .reg = VP_RBP};
	uint64_t mask = stack_mask(e), *gpr = e->registers.gpr, value = 0;

	(void)unused;
	if (!memory_read(e, VP_SS, gpr[VP_RBP] & mask, &value, rbp.size)) {
		return false;
	}
	gpr[VP_RSP] = (gpr[VP_RSP] & ~mask) | ((gpr[VP_RBP] + rbp.size) & mask);
	return operand_write(e, &rbp, value);
}

/* Within the same segment. */
static bool may_go_to(struct emulation *e, uint64_t rip)
{
	const struct vp_segment *cs = &e->registers.segments[VP_CS];

	if (e->code_size == 8 ? emulation_canonical(e, rip) : rip <= cs->limit) {
		return true;
	}
	return emulation_raise(e, VP_EXCEPTION_GP, 0, 0);
}

/* Where a near jump or call leads. */
static bool find_target(struct emulation *e, uint64_t *rip)
{
	const struct operand *to = &e->insn->operands[0];

	if (!operand_read(e, to, rip)) {
		return false;
	}
	if (to->kind == OPERAND_IMMEDIATE) {
		*rip += e->next;
	}
	*rip &= alu_mask(e->insn->operand_size);
	return may_go_to(e, *rip);
}

static bool do_jump(struct emulation *e, unsigned int unused)
{
	uint64_t rip;

	(void)unused;
	if (e->insn->far) {
		return system_far_jump(e);
	}
	if (!find_target(e, &rip)) {
		return false;
	}
	e->next = rip;
	return true;
}

static bool do_call(struct emulation *e, unsigned int unused)
{
	uint64_t rip;

	(void)unused;
	if (e->insn->far) {
		return system_far_call(e);
	}
	if (!find_target(e, &rip) || !emulation_push(e, e->next, e->insn->operand_size)) {
		return false;
	}
	e->next = rip;
	return true;
}

static bool do_return(struct emulation *e, unsigned int unused)
{
	const struct operand *more = &e->insn->operands[0];
	unsigned int size = e->insn->operand_size;
	uint64_t rip, release = 0;

	(void)unused;
	if (more->kind == OPERAND_IMMEDIATE) {
		release = (uint16_t)more->value;
	}
	if (e->insn->far) {
		return system_far_return(e, release);
	}
	if (!emulation_peek(e, 0, &rip, size) || !may_go_to(e, rip)) {
		return false;
	}
	e->next = rip;
	emulation_move_stack(e, (int64_t)(size + release));
	return true;
}

/* ---- The table ---- */

#define CONDITIONS(ROW, name)                                                                      \
	ROW(name##O, 0), ROW(name##NO, 1), ROW(name##B, 2), ROW(name##NB, 3), ROW(name##Z, 4),     \
		ROW(name##NZ, 5), ROW(name##BE, 6), ROW(name##NBE, 7), ROW(name##S, 8),            \
		ROW(name##NS, 9), ROW(name##P, 10), ROW(name##NP, 11), ROW(name##L, 12),           \
		ROW(name##NL, 13), ROW(name##LE, 14), ROW(name##NLE, 15)
#define SET(name, condition)                                                                       \
	{                                                                                          \
		ZYDIS_MNEMONIC_##name, do_set, condition, false                                    \
	}
#define MOVE_IF(name, condition)                                                                   \
	{                                                                                          \
		ZYDIS_MNEMONIC_##name, do_move_if, condition, false                                \
	}

/* clang-format off */
static const struct operation operations[] = {
	/* mnemonic                 family                    argument      more memory than its operands */
	{ZYDIS_MNEMONIC_MOV,        do_move,                  MOVE_PLAIN,   false},
	{ZYDIS_MNEMONIC_MOVZX,      do_move,                  MOVE_PLAIN,   false},
	{ZYDIS_MNEMONIC_MOVSX,      do_move,                  MOVE_SIGN,    false},
	{ZYDIS_MNEMONIC_MOVSXD,     do_move,                  MOVE_SIGN,    false},
	{ZYDIS_MNEMONIC_MOVNTI,     do_move,                  MOVE_PLAIN,   false},
	{ZYDIS_MNEMONIC_MOVBE,      do_move,                  MOVE_SWAP,    false},
	{ZYDIS_MNEMONIC_ADD,        do_alu,                   ALU_ADD,      false},
	{ZYDIS_MNEMONIC_ADC,        do_alu,                   ALU_ADC,      false},
	{ZYDIS_MNEMONIC_SUB,        do_alu,                   ALU_SUB,      false},
	{ZYDIS_MNEMONIC_SBB,        do_alu,                   ALU_SBB,      false},
	{ZYDIS_MNEMONIC_AND,        do_alu,                   ALU_AND,      false},
	{ZYDIS_MNEMONIC_OR,         do_alu,                   ALU_OR,       false},
	{ZYDIS_MNEMONIC_XOR,        do_alu,                   ALU_XOR,      false},
	{ZYDIS_MNEMONIC_INC,        do_alu,                   ALU_INC,      false},
	{ZYDIS_MNEMONIC_DEC,        do_alu,                   ALU_DEC,      false},
	{ZYDIS_MNEMONIC_NEG,        do_alu,                   ALU_NEG,      false},
	{ZYDIS_MNEMONIC_NOT,        do_not,                   0,            false},
	{ZYDIS_MNEMONIC_CMP,        do_compare,               ALU_SUB,      false},
	{ZYDIS_MNEMONIC_TEST,       do_compare,               ALU_AND,      false},
	{ZYDIS_MNEMONIC_ROL,        do_shift,                 ALU_ROL,      false},
	{ZYDIS_MNEMONIC_ROR,        do_shift,                 ALU_ROR,      false},
	{ZYDIS_MNEMONIC_RCL,        do_shift,                 ALU_RCL,      false},
	{ZYDIS_MNEMONIC_RCR,        do_shift,                 ALU_RCR,      false},
	{ZYDIS_MNEMONIC_SHL,        do_shift,                 ALU_SHL,      false},
	{ZYDIS_MNEMONIC_SHR,        do_shift,                 ALU_SHR,      false},
	{ZYDIS_MNEMONIC_SAR,        do_shift,                 ALU_SAR,      false},
	{ZYDIS_MNEMONIC_SHLD,       do_shift_double,          true,         false},
	{ZYDIS_MNEMONIC_SHRD,       do_shift_double,          false,        false},
	{ZYDIS_MNEMONIC_BSF,        do_scan,                  ALU_BSF,      false},
	{ZYDIS_MNEMONIC_BSR,        do_scan,                  ALU_BSR,      false},
	{ZYDIS_MNEMONIC_TZCNT,      do_scan,                  ALU_TZCNT,    false},
	{ZYDIS_MNEMONIC_LZCNT,      do_scan,                  ALU_LZCNT,    false},
	{ZYDIS_MNEMONIC_POPCNT,     do_scan,                  ALU_POPCNT,   false},
	{ZYDIS_MNEMONIC_MUL,        do_multiply,              false,        false},
	{ZYDIS_MNEMONIC_IMUL,       do_multiply,              true,         false},
	{ZYDIS_MNEMONIC_DIV,        do_divide,                false,        false},
	{ZYDIS_MNEMONIC_IDIV,       do_divide,                true,         false},
	{ZYDIS_MNEMONIC_XCHG,       do_exchange,              false,        false},
	{ZYDIS_MNEMONIC_XADD,       do_exchange,              true,         false},
	{ZYDIS_MNEMONIC_CMPXCHG,    do_compare_exchange,      0,            false},
	{ZYDIS_MNEMONIC_CMPXCHG8B,  do_compare_exchange_pair, 4,            false},
	{ZYDIS_MNEMONIC_CMPXCHG16B, do_compare_exchange_pair, 8,            false},
	{ZYDIS_MNEMONIC_BT,         do_bit,                   BIT_TEST,     false},
	{ZYDIS_MNEMONIC_BTS,        do_bit,                   BIT_SET,      false},
	{ZYDIS_MNEMONIC_BTR,        do_bit,                   BIT_RESET,    false},
	{ZYDIS_MNEMONIC_BTC,        do_bit,                   BIT_COMPLEMENT, false},
	CONDITIONS(SET, SET),
	CONDITIONS(MOVE_IF, CMOV),
	{ZYDIS_MNEMONIC_MOVAPS,     do_vector,                VECTOR_WHOLE, false},
	{ZYDIS_MNEMONIC_MOVUPS,     do_vector,                VECTOR_WHOLE, false},
	{ZYDIS_MNEMONIC_MOVAPD,     do_vector,                VECTOR_WHOLE, false},
	{ZYDIS_MNEMONIC_MOVUPD,     do_vector,                VECTOR_WHOLE, false},
	{ZYDIS_MNEMONIC_MOVDQA,     do_vector,                VECTOR_WHOLE, false},
	{ZYDIS_MNEMONIC_MOVDQU,     do_vector,                VECTOR_WHOLE, false},
	{ZYDIS_MNEMONIC_MOVNTDQ,    do_vector,                VECTOR_WHOLE, false},
	{ZYDIS_MNEMONIC_MOVNTDQA,   do_vector,                VECTOR_WHOLE, false},
	{ZYDIS_MNEMONIC_MOVNTPS,    do_vector,                VECTOR_WHOLE, false},
	{ZYDIS_MNEMONIC_MOVNTPD,    do_vector,                VECTOR_WHOLE, false},
	{ZYDIS_MNEMONIC_MOVNTQ,     do_vector,                VECTOR_WHOLE, false},
	{ZYDIS_MNEMONIC_LDDQU,      do_vector,                VECTOR_WHOLE, false},
	{ZYDIS_MNEMONIC_MOVD,       do_vector,                VECTOR_WHOLE, false},
	{ZYDIS_MNEMONIC_MOVQ,       do_vector,                VECTOR_WHOLE, false},
	{ZYDIS_MNEMONIC_MOVSS,      do_vector,                VECTOR_WHOLE, false},
	{ZYDIS_MNEMONIC_MOVSD,      do_vector,                VECTOR_WHOLE, false},
	{ZYDIS_MNEMONIC_MOVLPS,     do_vector,                VECTOR_LOW,   false},
	{ZYDIS_MNEMONIC_MOVLPD,     do_vector,                VECTOR_LOW,   false},
	{ZYDIS_MNEMONIC_MOVHPS,     do_vector,                VECTOR_HIGH,  false},
	{ZYDIS_MNEMONIC_MOVHPD,     do_vector,                VECTOR_HIGH,  false},
	{ZYDIS_MNEMONIC_PUSH,       do_push,                  0,            true},
	{ZYDIS_MNEMONIC_POP,        do_pop,                   0,            true},
	{ZYDIS_MNEMONIC_PUSHF,      do_push_flags,            0,            true},
	{ZYDIS_MNEMONIC_PUSHFD,     do_push_flags,            0,            true},
	{ZYDIS_MNEMONIC_PUSHFQ,     do_push_flags,            0,            true},
	{ZYDIS_MNEMONIC_POPF,       do_pop_flags,             0,            true},
	{ZYDIS_MNEMONIC_POPFD,      do_pop_flags,             0,            true},
	{ZYDIS_MNEMONIC_POPFQ,      do_pop_flags,             0,            true},
	{ZYDIS_MNEMONIC_LEAVE,      do_leave,                 0,            true},
	{ZYDIS_MNEMONIC_JMP,        do_jump,                  0,            true},
	{ZYDIS_MNEMONIC_CALL,       do_call,                  0,            true},
	{ZYDIS_MNEMONIC_RET,        do_return,                0,            true},
	{ZYDIS_MNEMONIC_LES,        system_load_pointer,      VP_ES,        true},
	{ZYDIS_MNEMONIC_LDS,        system_load_pointer,      VP_DS,        true},
	{ZYDIS_MNEMONIC_LSS,        system_load_pointer,      VP_SS,        true},
	{ZYDIS_MNEMONIC_LFS,        system_load_pointer,      VP_FS,        true},
	{ZYDIS_MNEMONIC_LGS,        system_load_pointer,      VP_GS,        true},
	{ZYDIS_MNEMONIC_SMSW,       system_store_word,        SYSTEM_CR0,   false},
	{ZYDIS_MNEMONIC_SLDT,       system_store_word,        SYSTEM_LDTR,  false},
	{ZYDIS_MNEMONIC_STR,        system_store_word,        SYSTEM_TR,    false},
	{ZYDIS_MNEMONIC_LMSW,       system_load_word,         SYSTEM_CR0,   true},
	{ZYDIS_MNEMONIC_LLDT,       system_load_word,         SYSTEM_LDTR,  true},
	{ZYDIS_MNEMONIC_LTR,        system_load_word,         SYSTEM_TR,    true},
	{ZYDIS_MNEMONIC_SGDT,       system_store_table,       SYSTEM_GDTR,  false},
	{ZYDIS_MNEMONIC_SIDT,       system_store_table,       SYSTEM_IDTR,  false},
	{ZYDIS_MNEMONIC_LGDT,       system_load_table,        SYSTEM_GDTR,  false},
	{ZYDIS_MNEMONIC_LIDT,       system_load_table,        SYSTEM_IDTR,  false},
};
/* clang-format on */

const struct operation *operation_find(const struct insn *insn)
{
	for (size_t i = 0; insn->string == STRING_NONE && i < ARRAY_COUNT(operations); i++) {
		if (operations[i].mnemonic == insn->mnemonic) {
			return &operations[i];
		}
	}
	return NULL;
}
