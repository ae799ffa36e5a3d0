/* Integer operations with the flags that the processor would set. */
#ifndef WORKER_ALU_H
#define WORKER_ALU_H

#include <stdbool.h>
#include <stdint.h>

#define FLAG_CF 0x001u
#define FLAG_PF 0x004u
#define FLAG_AF 0x010u
#define FLAG_ZF 0x040u
#define FLAG_SF 0x080u
#define FLAG_TF 0x100u
#define FLAG_DF 0x400u
#define FLAG_OF 0x800u

#define FLAG_IF 0x200u
#define FLAG_NT 0x4000u
#define FLAG_RF 0x10000u
#define FLAG_VM 0x20000u
#define FLAG_AC 0x40000u
#define FLAG_ID 0x200000u

#define FLAG_IOPL       0x3000u
#define FLAG_IOPL_SHIFT 12

#define FLAGS_ARITHMETIC (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)
/* What POPF may change. */
#define FLAGS_POPPED                                                                               \
	(FLAGS_ARITHMETIC | FLAG_TF | FLAG_IF | FLAG_DF | FLAG_IOPL | FLAG_NT | FLAG_AC | FLAG_ID)

enum alu_operation {
	ALU_ADD,
	ALU_ADC,
	ALU_SUB,
	ALU_SBB,
	ALU_AND,
	ALU_OR,
	ALU_XOR,
	ALU_INC,
	ALU_DEC,
	ALU_NEG,
};

/* All ones in the low `size` bytes, 1 to 8. */
static inline uint64_t alu_mask(unsigned int size)
{
	return UINT64_MAX >> (64 - 8 * size);
}

/* a operation b, of `size` bytes; changes the arithmetic flags in *rflags. INC, DEC and NEG do not
 * look at b. */
uint64_t alu(enum alu_operation operation, unsigned int size, uint64_t a, uint64_t b,
	     uint64_t *rflags);

enum alu_shift {
	ALU_ROL,
	ALU_ROR,
	ALU_RCL,
	ALU_RCR,
	ALU_SHL,
	ALU_SHR,
	ALU_SAR,
};

/* Shifts and rotations by `count`, which is taken as the processor does; one by 0 changes no flag.
 */
uint64_t alu_shift(enum alu_shift operation, unsigned int size, uint64_t a, uint64_t count,
		   uint64_t *rflags);
/* SHLD and SHRD: what is shifted in comes from b. */
uint64_t alu_shift_double(bool left, unsigned int size, uint64_t a, uint64_t b, uint64_t count,
			  uint64_t *rflags);

enum alu_scan {
	ALU_BSF,
	ALU_BSR,
	ALU_TZCNT,
	ALU_LZCNT,
	ALU_POPCNT,
};

/* BSF and BSR of 0 give 0 and set ZF; their target stays as it was. */
uint64_t alu_scan(enum alu_scan operation, unsigned int size, uint64_t a, uint64_t *rflags);

/* Both halves of a product, the upper one in *high. */
uint64_t alu_multiply(bool is_signed, unsigned int size, uint64_t a, uint64_t b, uint64_t *high,
		      uint64_t *rflags);
/* high:low by b. False: by 0, or the quotient is too large (#DE). */
bool alu_divide(bool is_signed, unsigned int size, uint64_t high, uint64_t low, uint64_t b,
		uint64_t *quotient, uint64_t *remainder);

/* All of a value's upper bits as its sign. */
static inline uint64_t alu_sign_extend(uint64_t value, unsigned int size)
{
	unsigned int shift = 64 - 8 * size;

	return (uint64_t)((int64_t)(value << shift) >> shift);
}

/* SETcc and CMOVcc: is condition code `condition`, 0 to 15 as in the opcode, met? */
int alu_condition(unsigned int condition, uint64_t rflags);

#endif
