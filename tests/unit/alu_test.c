/* worker/alu.c against the processor that runs this test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "worker/alu.h"

#define ARITHMETIC (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

static uint64_t seed = 0x9e3779b97f4a7c15ull;

static uint64_t random64(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* Numbers near the borders are where flags go wrong. */
static uint64_t interesting(void)
{
	static const uint64_t borders[] = {0,          1,         0xf,        0x10,
					   0x7f,       0x80,      0xff,       0x7fff,
					   0x8000,     0xffff,    0x7fffffff, 0x80000000,
					   0xffffffff, INT64_MAX, 1ull << 63, UINT64_MAX};

	return random64() & 1 ? random64()
			      : borders[random64() % (sizeof(borders) / sizeof(borders[0]))];
}

#define NATIVE2(name, instruction, type)                                                           \
	static uint64_t name(uint64_t a, uint64_t b, uint64_t *flags)                              \
	{                                                                                          \
		type x = (type)a;                                                                  \
		uint64_t f = *flags;                                                               \
		__asm__ volatile("push %1; popf; " instruction " %2, %0; pushf; pop %1"            \
				 : "+q"(x), "+r"(f)                                                \
				 : "q"((type)b)                                                    \
				 : "cc", "memory");                                                \
		*flags = f;                                                                        \
		return x;                                                                          \
	}
#define NATIVE1(name, instruction, type)                                                           \
	static uint64_t name(uint64_t a, uint64_t b, uint64_t *flags)                              \
	{                                                                                          \
		type x = (type)a;                                                                  \
		uint64_t f = *flags;                                                               \
		(void)b;                                                                           \
		__asm__ volatile("push %1; popf; " instruction " %0; pushf; pop %1"                \
				 : "+q"(x), "+r"(f)::"cc", "memory");                              \
		*flags = f;                                                                        \
		return x;                                                                          \
	}
#define SIZES(kind, name)                                                                          \
	kind(name##1, #name "b", uint8_t) kind(name##2, #name "w", uint16_t)                       \
		kind(name##4, #name "l", uint32_t) kind(name##8, #name "q", uint64_t)

SIZES(NATIVE2, add)
SIZES(NATIVE2, adc)
SIZES(NATIVE2, sub)
SIZES(NATIVE2, sbb)
SIZES(NATIVE2, and)
SIZES(NATIVE2, or)
SIZES(NATIVE2, xor)
SIZES(NATIVE1, inc)
SIZES(NATIVE1, dec)
SIZES(NATIVE1, neg)

#define ROW(operation, name, undefined)                                                            \
	{                                                                                          \
		operation, {name##1, name##2, name##4, name##8}, undefined                         \
	}

static const struct {
	enum alu_operation operation;
	uint64_t (*native[4])(uint64_t a, uint64_t b, uint64_t *flags);
	uint64_t undefined; /* flags that the processor may set as it likes */
} rows[] = {
	ROW(ALU_ADD, add, 0),       ROW(ALU_ADC, adc, 0),       ROW(ALU_SUB, sub, 0),
	ROW(ALU_SBB, sbb, 0),       ROW(ALU_AND, and, FLAG_AF), ROW(ALU_OR, or, FLAG_AF),
	ROW(ALU_XOR, xor, FLAG_AF), ROW(ALU_INC, inc, 0),       ROW(ALU_DEC, dec, 0),
	ROW(ALU_NEG, neg, 0),
};

static void as_the_processor(void **state)
{
	unsigned int row, size, i;

	(void)state;
	for (row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
		for (i = 0; i < 40000; i++) {
			uint64_t a = interesting(), b = interesting(),
				 flags = 0x202 | (random64() & ARITHMETIC);
			uint64_t native_flags = flags, ours = flags, mask, result, wanted;

			size = 1u << (i & 3);
			mask = alu_mask(size);
			wanted = rows[row].native[i & 3](a, b, &native_flags);
			result = alu(rows[row].operation, size, a, b, &ours);
			assert_true(result == (wanted & mask));
			assert_true(((ours ^ native_flags) & ARITHMETIC & ~rows[row].undefined) ==
				    0);
			assert_true((ours & ~(uint64_t)ARITHMETIC) == 0x202);
		}
	}
}

#define CONDITION(n, name)                                                                         \
	case n:                                                                                    \
		__asm__ volatile("push %1; popf; set" name " %0"                                   \
				 : "=q"(byte)                                                      \
				 : "r"(flags)                                                      \
				 : "cc", "memory");                                                \
		break

static int native_condition(unsigned int condition, uint64_t flags)
{
	uint8_t byte = 0;

	switch (condition) {
		CONDITION(0, "o");
		CONDITION(1, "no");
		CONDITION(2, "b");
		CONDITION(3, "nb");
		CONDITION(4, "z");
		CONDITION(5, "nz");
		CONDITION(6, "be");
		CONDITION(7, "nbe");
		CONDITION(8, "s");
		CONDITION(9, "ns");
		CONDITION(10, "p");
		CONDITION(11, "np");
		CONDITION(12, "l");
		CONDITION(13, "nl");
		CONDITION(14, "le");
		CONDITION(15, "nle");
	}
	return byte;
}

static void conditions(void **state)
{
	unsigned int condition, i;

	(void)state;
	for (condition = 0; condition < 16; condition++) {
		for (i = 0; i < 500; i++) {
			uint64_t flags = 0x202 | (random64() & ARITHMETIC);

			assert_int_equal(alu_condition(condition, flags),
					 native_condition(condition, flags));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_the_processor),
		cmocka_unit_test(conditions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
