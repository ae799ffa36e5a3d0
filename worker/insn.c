/* From Zydis' description of an instruction to ours, see insn.h. */
#include "worker/insn.h"

#include <string.h>

#include <Zydis/Zydis.h>

#define CR0_PE    0x1
#define EFER_LMA  0x400
#define RFLAGS_VM 0x20000

bool insn_has_descriptors(const struct vp_registers *registers)
{
	return (registers->cr0 & CR0_PE) && !(registers->rflags & RFLAGS_VM);
}

unsigned int insn_code_size(const struct vp_registers *registers)
{
	uint16_t attributes = registers->segments[VP_CS].attributes;

	if (!insn_has_descriptors(registers)) {
		return 2;
	}
	if ((registers->efer & EFER_LMA) && (attributes & VP_SEGMENT_LONG)) {
		return 8;
	}
	return attributes & VP_SEGMENT_DEFAULT ? 4 : 2;
}

unsigned int insn_cpl(const struct vp_registers *registers)
{
	if (!(registers->cr0 & CR0_PE)) {
		return 0;
	}
	/* Virtual 8086 mode has segments without descriptors, and is always at 3. */
	return registers->rflags & RFLAGS_VM ? 3 : registers->segments[VP_SS].attributes >> 5 & 3;
}

static bool init_decoder(ZydisDecoder *decoder, unsigned int size)
{
	switch (size) {
	case 8:
		return ZYAN_SUCCESS(ZydisDecoderInit(decoder, ZYDIS_MACHINE_MODE_LONG_64,
						     ZYDIS_STACK_WIDTH_64));
	case 4:
		return ZYAN_SUCCESS(ZydisDecoderInit(decoder, ZYDIS_MACHINE_MODE_LONG_COMPAT_32,
						     ZYDIS_STACK_WIDTH_32));
	default:
		return ZYAN_SUCCESS(ZydisDecoderInit(decoder, ZYDIS_MACHINE_MODE_LONG_COMPAT_16,
						     ZYDIS_STACK_WIDTH_16));
	}
}

/* As instructions number them, whichever part of the register is named. */
static uint8_t gpr_number(ZydisRegister reg)
{
	ZydisRegisterClass class = ZydisRegisterGetClass(reg);

	if (class != ZYDIS_REGCLASS_GPR8 && class != ZYDIS_REGCLASS_GPR16 &&
	    class != ZYDIS_REGCLASS_GPR32 && class != ZYDIS_REGCLASS_GPR64) {
		return INSN_NO_REGISTER;
	}
	return (uint8_t)ZydisRegisterGetId(
		ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg));
}

static uint8_t segment_number(ZydisRegister reg)
{
	switch (reg) {
	case ZYDIS_REGISTER_ES:
		return VP_ES;
	case ZYDIS_REGISTER_CS:
		return VP_CS;
	case ZYDIS_REGISTER_SS:
		return VP_SS;
	case ZYDIS_REGISTER_FS:
		return VP_FS;
	case ZYDIS_REGISTER_GS:
		return VP_GS;
	default:
		return VP_DS;
	}
}

/* False: one that no instruction of the emulator has, as the control registers. */
static bool take_register(struct operand *operand, ZydisRegister reg)
{
	ZydisRegisterClass class = ZydisRegisterGetClass(reg);

	if (class == ZYDIS_REGCLASS_XMM) {
		operand->kind = OPERAND_XMM;
		operand->reg = (uint8_t)ZydisRegisterGetId(reg);
		return operand->reg < 16;
	}
	if (class == ZYDIS_REGCLASS_MMX) {
		operand->kind = OPERAND_MMX;
		operand->reg = (uint8_t)ZydisRegisterGetId(reg);
		return true;
	}
	if (class == ZYDIS_REGCLASS_SEGMENT) {
		operand->kind = OPERAND_SEGMENT;
		operand->reg = segment_number(reg);
		return true;
	}
	operand->kind = OPERAND_GPR;
	operand->reg = gpr_number(reg);
	operand->high = reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH;
	return operand->reg != INSN_NO_REGISTER;
}

/* An address that is not accessed (LEA) and a vector of addresses are operands of other kinds. */
static bool take_memory(struct insn *insn, struct operand *operand,
			const ZydisDecodedOperandMem *memory)
{
	if (memory->type != ZYDIS_MEMOP_TYPE_MEM) {
		return false;
	}
	operand->kind = OPERAND_MEMORY;
	operand->segment = segment_number(memory->segment);
	operand->base = operand->index = INSN_NO_REGISTER;
	operand->scale = memory->scale;
	operand->value = memory->disp.value;
	if (memory->base == ZYDIS_REGISTER_RIP || memory->base == ZYDIS_REGISTER_EIP) {
		insn->rip_relative = true;
	} else if (memory->base != ZYDIS_REGISTER_NONE) {
		operand->base = gpr_number(memory->base);
	}
	if (memory->index != ZYDIS_REGISTER_NONE) {
		operand->index = gpr_number(memory->index);
	}
	return true;
}

static bool take_operand(struct insn *insn, const ZydisDecodedOperand *from)
{
	struct operand *operand = &insn->operands[insn->operand_count];

	memset(operand, 0, sizeof(*operand));
	operand->size = (uint8_t)(from->size / 8);
	switch (from->type) {
	case ZYDIS_OPERAND_TYPE_REGISTER:
		return take_register(operand, from->reg.value);
	case ZYDIS_OPERAND_TYPE_MEMORY:
		return take_memory(insn, operand, &from->mem);
	case ZYDIS_OPERAND_TYPE_IMMEDIATE:
		operand->kind = OPERAND_IMMEDIATE;
		operand->value = (int64_t)from->imm.value.u;
		return true;
	default:
		return false;
	}
}

static enum string_kind string_kind(const struct insn *insn)
{
	enum string_kind kind;
	bool two, memory;

	switch (insn->mnemonic) {
	case ZYDIS_MNEMONIC_MOVSB:
	case ZYDIS_MNEMONIC_MOVSW:
	case ZYDIS_MNEMONIC_MOVSD:
	case ZYDIS_MNEMONIC_MOVSQ:
		kind = STRING_MOVS;
		break;
	case ZYDIS_MNEMONIC_STOSB:
	case ZYDIS_MNEMONIC_STOSW:
	case ZYDIS_MNEMONIC_STOSD:
	case ZYDIS_MNEMONIC_STOSQ:
		kind = STRING_STOS;
		break;
	case ZYDIS_MNEMONIC_LODSB:
	case ZYDIS_MNEMONIC_LODSW:
	case ZYDIS_MNEMONIC_LODSD:
	case ZYDIS_MNEMONIC_LODSQ:
		kind = STRING_LODS;
		break;
	case ZYDIS_MNEMONIC_CMPSB:
	case ZYDIS_MNEMONIC_CMPSW:
	case ZYDIS_MNEMONIC_CMPSD:
	case ZYDIS_MNEMONIC_CMPSQ:
		kind = STRING_CMPS;
		break;
	case ZYDIS_MNEMONIC_SCASB:
	case ZYDIS_MNEMONIC_SCASW:
	case ZYDIS_MNEMONIC_SCASD:
	case ZYDIS_MNEMONIC_SCASQ:
		kind = STRING_SCAS;
		break;
	case ZYDIS_MNEMONIC_INSB:
	case ZYDIS_MNEMONIC_INSW:
	case ZYDIS_MNEMONIC_INSD:
		kind = STRING_INS;
		break;
	case ZYDIS_MNEMONIC_OUTSB:
	case ZYDIS_MNEMONIC_OUTSW:
	case ZYDIS_MNEMONIC_OUTSD:
		kind = STRING_OUTS;
		break;
	default:
		return STRING_NONE;
	}
	/* MOVSD and CMPSD are also names of SSE2, which have other operands. */
	two = kind == STRING_MOVS || kind == STRING_CMPS;
	memory = insn->operand_count != 0 && insn->operands[0].kind == OPERAND_MEMORY &&
		 insn->operands[insn->operand_count - 1u].kind == OPERAND_MEMORY;
	return memory && insn->operand_count == 1u + two ? kind : STRING_NONE;
}

/* False: these bytes are no instruction, or not a whole one, or its operands are none of ours. */
bool insn_decode(struct insn *insn, const uint8_t *bytes, unsigned int count, unsigned int size)
{
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction raw;
	ZydisDecoder decoder;
	unsigned int i, wanted;

	if (!init_decoder(&decoder, size) ||
	    ZYAN_FAILED(ZydisDecoderDecodeFull(&decoder, bytes, count, &raw, operands))) {
		return false;
	}
	*insn = (struct insn){
		.mnemonic = (uint16_t)raw.mnemonic,
		.length = raw.length,
		.address_size = raw.address_width / 8,
		.operand_size = raw.operand_width / 8,
		.far = raw.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR,
		.rep = raw.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE),
		.repne = raw.attributes & ZYDIS_ATTRIB_HAS_REPNE,
	};
	/* The operands of string instructions are implied; of all others those are wanted that are
	 * written. */
	wanted = raw.operand_count_visible != 0 ? raw.operand_count_visible : raw.operand_count;
	for (i = 0; i < wanted && insn->operand_count < INSN_MAX_OPERANDS; i++) {
		if (raw.operand_count_visible == 0 &&
		    operands[i].type != ZYDIS_OPERAND_TYPE_MEMORY) {
			continue;
		}
		if (!take_operand(insn, &operands[i])) {
			return false;
		}
		insn->operand_count++;
	}
	insn->string = string_kind(insn);
	return true;
}
