/*
 * An x86 instruction, decoded to what the emulator wants to know of it. Zydis does the decoding;
 * nothing of it is seen outside insn.c but the mnemonic's number.
 */
#ifndef WORKER_INSN_H
#define WORKER_INSN_H

#include <stdbool.h>
#include <stdint.h>

#include <Zydis/Mnemonic.h>

#include "backend/backend.h"

#define INSN_MAX_LENGTH   15
#define INSN_MAX_OPERANDS 3
#define INSN_NO_REGISTER  0xff

enum operand_kind {
	OPERAND_NONE,
	OPERAND_GPR,
	OPERAND_XMM,
	OPERAND_MMX,
	OPERAND_SEGMENT,
	OPERAND_MEMORY,
	OPERAND_IMMEDIATE,
};

struct operand {
	uint8_t kind; /* enum operand_kind */
	uint8_t size; /* bytes */
	uint8_t reg;  /* number of the register */
	bool high;    /* AH, CH, DH or BH */
	/* Memory: the effective address is base + index * scale + value, in the instruction's
	 * address size. */
	uint8_t segment; /* enum vp_segment_name */
	uint8_t base, index, scale;
	int64_t value; /* displacement or immediate, sign-extended */
};

enum string_kind {
	STRING_NONE, /* an ordinary instruction */
	STRING_MOVS,
	STRING_STOS,
	STRING_LODS,
	STRING_CMPS,
	STRING_SCAS,
	STRING_INS,
	STRING_OUTS,
};

struct insn {
	uint16_t mnemonic; /* ZydisMnemonic */
	uint8_t string;    /* enum string_kind */
	uint8_t length;
	uint8_t operand_count;
	uint8_t address_size; /* bytes: 2, 4 or 8 */
	uint8_t operand_size; /* likewise; of PUSH, CALL and their like the stack's */
	bool far;             /* a jump, call or return to another segment */
	bool rep, repne;
	bool rip_relative;
	struct operand operands[INSN_MAX_OPERANDS]; /* those that are written in the instruction;
						       for strings all */
};

/* Bytes of the default operand and address size: 2, 4 or 8. */
unsigned int insn_code_size(const struct vp_registers *registers);
/* Segments come of descriptors: neither real nor virtual 8086 mode. */
bool insn_has_descriptors(const struct vp_registers *registers);
/* The privilege level that it runs at. */
unsigned int insn_cpl(const struct vp_registers *registers);
/* False: no instruction, or one that has no meaning here. `size` is insn_code_size(). */
bool insn_decode(struct insn *insn, const uint8_t *bytes, unsigned int count,
		 unsigned int size) MUST_CHECK;

#endif
