/* Flags by the book (Intel SDM vol. 2, "Operation" of each instruction), see alu.h. */
#include "worker/alu.h"

#define ARITHMETIC (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

static uint64_t result_flags(unsigned int size, uint64_t result)
{
	uint64_t flags = 0;

	flags |= result == 0 ? FLAG_ZF : 0;
	flags |= result >> (8 * size - 1) & 1 ? FLAG_SF : 0;
	flags |= __builtin_parity((unsigned int)result & 0xff) ? 0 : FLAG_PF;
	return flags;
}

/* Carries out of each bit of a sum or borrows of a difference say all that CF, AF and OF want to
 * know. */
static uint64_t carry_flags(unsigned int size, uint64_t carries)
{
	unsigned int top = 8 * size - 1;
	uint64_t flags = 0;

	flags |= carries >> top & 1 ? FLAG_CF : 0;
	flags |= carries >> 3 & 1 ? FLAG_AF : 0;
	flags |= (carries >> top ^ carries >> (top - 1)) & 1 ? FLAG_OF : 0;
	return flags;
}

static uint64_t add(unsigned int size, uint64_t a, uint64_t b, uint64_t carry, uint64_t *flags)
{
	uint64_t result = (a + b + carry) & alu_mask(size);

	*flags = result_flags(size, result) | carry_flags(size, (a & b) | ((a | b) & ~result));
	return result;
}

static uint64_t subtract(unsigned int size, uint64_t a, uint64_t b, uint64_t borrow,
			 uint64_t *flags)
{
	uint64_t result = (a - b - borrow) & alu_mask(size);

	*flags = result_flags(size, result) | carry_flags(size, (~a & b) | ((~a | b) & result));
	return result;
}

static uint64_t logic(unsigned int size, uint64_t result, uint64_t *flags)
{
	*flags = result_flags(size, result);
	return result;
}

uint64_t alu(enum alu_operation operation, unsigned int size, uint64_t a, uint64_t b,
	     uint64_t *rflags)
{
	uint64_t kept = *rflags & ~(uint64_t)ARITHMETIC, carry = *rflags & FLAG_CF, flags = 0,
		 result = 0;

	a &= alu_mask(size);
	b &= alu_mask(size);
	switch (operation) {
	case ALU_ADD:
		result = add(size, a, b, 0, &flags);
		break;
	case ALU_ADC:
		result = add(size, a, b, carry, &flags);
		break;
	case ALU_SUB:
		result = subtract(size, a, b, 0, &flags);
		break;
	case ALU_SBB:
		result = subtract(size, a, b, carry, &flags);
		break;
	case ALU_AND:
		result = logic(size, a & b, &flags);
		break;
	case ALU_OR:
		result = logic(size, a | b, &flags);
		break;
	case ALU_XOR:
		result = logic(size, a ^ b, &flags);
		break;
	case ALU_INC: /* the carry is left alone by these two */
		result = add(size, a, 1, 0, &flags);
		flags = (flags & ~(uint64_t)FLAG_CF) | carry;
		break;
	case ALU_DEC:
		result = subtract(size, a, 1, 0, &flags);
		flags = (flags & ~(uint64_t)FLAG_CF) | carry;
		break;
	case ALU_NEG:
		result = subtract(size, 0, a, 0, &flags);
		break;
	}
	*rflags = kept | flags;
	return result;
}

int alu_condition(unsigned int condition, uint64_t rflags)
{
	int carry = (rflags & FLAG_CF) != 0, zero = (rflags & FLAG_ZF) != 0,
	    sign = (rflags & FLAG_SF) != 0;
	int overflow = (rflags & FLAG_OF) != 0, parity = (rflags & FLAG_PF) != 0, met = 0;

	switch (condition / 2) {
	case 0:
		met = overflow;
		break;
	case 1:
		met = carry;
		break;
	case 2:
		met = zero;
		break;
	case 3:
		met = carry || zero;
		break;
	case 4:
		met = sign;
		break;
	case 5:
		met = parity;
		break;
	case 6:
		met = sign != overflow;
		break;
	default:
		met = zero || sign != overflow;
		break;
	}
	return met != (int)(condition & 1);
}
