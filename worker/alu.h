/* Integer operations with the flags that the processor would set. */
#ifndef WORKER_ALU_H
#define WORKER_ALU_H

#include <stdint.h>

#define FLAG_CF 0x001u
#define FLAG_PF 0x004u
#define FLAG_AF 0x010u
#define FLAG_ZF 0x040u
#define FLAG_SF 0x080u
#define FLAG_TF 0x100u
#define FLAG_DF 0x400u
#define FLAG_OF 0x800u

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
/* SETcc and CMOVcc: is condition code `condition`, 0 to 15 as in the opcode, met? */
int alu_condition(unsigned int condition, uint64_t rflags);

#endif
