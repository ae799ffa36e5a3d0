/* Flags by the book (Intel SDM vol. 2, "Operation" of each instruction), see alu.h. */
#include "worker/alu.h"

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
	uint64_t kept = *rflags & ~(uint64_t)FLAGS_ARITHMETIC, carry = *rflags & FLAG_CF, flags = 0,
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

static void set_flag(uint64_t *rflags, uint64_t flag, bool set)
{
	*rflags = (*rflags & ~flag) | (set ? flag : 0);
}

static bool bit_of(uint64_t value, unsigned int bit)
{
	return value >> bit & 1;
}

/* One bit at a time: the flags are those of the last one, and nobody shifts a device in a hurry. */
uint64_t alu_shift(enum alu_shift operation, unsigned int size, uint64_t a, uint64_t count,
		   uint64_t *rflags)
{
	unsigned int top = 8 * size - 1;
	bool carry = *rflags & FLAG_CF, out, overflow = false;
	uint64_t kept = *rflags & ~(uint64_t)FLAGS_ARITHMETIC;

	a &= alu_mask(size);
	count &= size == 8 ? 63 : 31;
	if (count == 0) {
		return a;
	}
	for (; count != 0; count--) {
		bool left = operation == ALU_ROL || operation == ALU_RCL || operation == ALU_SHL;
		bool in = false, sign = bit_of(a, top);

		out = left ? sign : a & 1;
		if (operation == ALU_ROL || operation == ALU_ROR) {
			in = out;
		} else if (operation == ALU_RCL || operation == ALU_RCR) {
			in = carry;
		} else if (operation == ALU_SAR) {
			in = sign;
		}
		a = left ? (a << 1 & alu_mask(size)) | in : a >> 1 | (uint64_t)in << top;
		carry = out;
		overflow = left ? bit_of(a, top) != carry : bit_of(a, top) != sign;
	}
	if (operation <= ALU_RCR) {
		set_flag(rflags, FLAG_CF, carry);
	} else {
		*rflags = kept | result_flags(size, a) | (carry ? FLAG_CF : 0);
	}
	set_flag(rflags, FLAG_OF, overflow);
	return a;
}

uint64_t alu_shift_double(bool left, unsigned int size, uint64_t a, uint64_t b, uint64_t count,
			  uint64_t *rflags)
{
	unsigned int top = 8 * size - 1;
	uint64_t kept = *rflags & ~(uint64_t)FLAGS_ARITHMETIC;
	bool carry = false, overflow = false;

	a &= alu_mask(size);
	b &= alu_mask(size);
	count &= size == 8 ? 63 : 31;
	if (count == 0) {
		return a;
	}
	for (; count != 0; count--) {
		bool sign = bit_of(a, top);

		carry = left ? sign : a & 1;
		a = left ? (a << 1 & alu_mask(size)) | bit_of(b, top) : a >> 1 | (b & 1) << top;
		b = left ? b << 1 & alu_mask(size) : b >> 1;
		overflow = bit_of(a, top) != sign;
	}
	*rflags = kept | result_flags(size, a) | (carry ? FLAG_CF : 0) | (overflow ? FLAG_OF : 0);
	return a;
}

uint64_t alu_scan(enum alu_scan operation, unsigned int size, uint64_t a, uint64_t *rflags)
{
	unsigned int bits = 8 * size;
	uint64_t result = 0;

	a &= alu_mask(size);
	switch (operation) {
	case ALU_BSF:
	case ALU_TZCNT:
		result = a != 0 ? (uint64_t)__builtin_ctzll(a) : bits;
		break;
	case ALU_BSR:
		result = a != 0 ? 63 - (uint64_t)__builtin_clzll(a) : 0;
		break;
	case ALU_LZCNT:
		result = a != 0 ? (uint64_t)__builtin_clzll(a) - (64 - bits) : bits;
		break;
	case ALU_POPCNT:
		result = (uint64_t)__builtin_popcountll(a);
		*rflags &= ~(uint64_t)FLAGS_ARITHMETIC;
		break;
	}
	if (operation == ALU_BSF || operation == ALU_BSR || operation == ALU_POPCNT) {
		set_flag(rflags, FLAG_ZF, a == 0);
		return a != 0 ? result : 0;
	}
	set_flag(rflags, FLAG_CF, a == 0);
	set_flag(rflags, FLAG_ZF, result == 0);
	return result;
}

uint64_t alu_multiply(bool is_signed, unsigned int size, uint64_t a, uint64_t b, uint64_t *high,
		      uint64_t *rflags)
{
	unsigned __int128 product;
	uint64_t low;
	bool lost;

	if (is_signed) {
		product = (unsigned __int128)((__int128)(int64_t)alu_sign_extend(a, size) *
					      (int64_t)alu_sign_extend(b, size));
	} else {
		product = (unsigned __int128)(a & alu_mask(size)) * (b & alu_mask(size));
	}
	low = (uint64_t)product & alu_mask(size);
	*high = (uint64_t)(product >> (8 * size)) & alu_mask(size);
	lost = *high != (is_signed && bit_of(low, 8 * size - 1) ? alu_mask(size) : 0);
	set_flag(rflags, FLAG_CF, lost);
	set_flag(rflags, FLAG_OF, lost);
	return low;
}

bool alu_divide(bool is_signed, unsigned int size, uint64_t high, uint64_t low, uint64_t b,
		uint64_t *quotient, uint64_t *remainder)
{
	unsigned __int128 a = (unsigned __int128)(high & alu_mask(size)) << (8 * size) |
			      (low & alu_mask(size)),
			  most = alu_mask(size), d, q, r;
	unsigned int shift = 128 - 16 * size;
	bool negative = false, minus = false;

	b &= alu_mask(size);
	d = b;
	if (is_signed) {
		/* By magnitudes: the quotient is cut towards 0, the remainder has a's sign. */
		negative = (__int128)(a << shift) < 0;
		minus = bit_of(b, 8 * size - 1);
		a = negative ? -(unsigned __int128)((__int128)(a << shift) >> shift) : a;
		d = minus ? (-b & alu_mask(size)) : b;
		most = (most >> 1) + (negative != minus);
	}
	if (d == 0) {
		return false;
	}
	q = a / d;
	r = a % d;
	if (q > most) {
		return false;
	}
	*quotient = (uint64_t)(negative != minus ? -q : q) & alu_mask(size);
	*remainder = (uint64_t)(negative ? -r : r) & alu_mask(size);
	return true;
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
