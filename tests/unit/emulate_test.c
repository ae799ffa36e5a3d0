/*
 * worker/emulate.c, emulate_string.c, operand.c and insn.c: each instruction that can touch memory,
 * compared with the processor that runs this test; then devices, faults, other modes than 64-bit,
 * and what is refused.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/fake/backend.h"
#include "tests/fake/board.h"
#include "tests/fake/native.h"
#include "worker/alu.h"
#include "worker/emulate.h"

#define RAM        (2u << 20)
#define CR0_PE     1u
#define EFER_LONG  0x500u
#define ARITHMETIC FLAGS_ARITHMETIC

static uint8_t *ram; /* the guest's, from address 0 */
static struct memory memory;
static _Atomic uint32_t users[RAM / MEMORY_PAGE];
static _Atomic uint64_t dirty[RAM / MEMORY_PAGE / 64];
static struct backend_vp vp;
static struct emulate_cache cache;
static uint64_t seed = 88172645463325252ull;

static uint64_t random64(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static void long_mode(void)
{
	unsigned int i;

	memset(&vp, 0, sizeof(vp));
	memset(&cache, 0, sizeof(cache));
	vp.registers.cr0 = 0x80000000u | CR0_PE;
	vp.registers.efer = EFER_LONG;
	vp.registers.rflags = 2;
	for (i = 0; i < VP_SEGMENT_COUNT; i++) {
		vp.registers.segments[i] =
			(struct vp_segment){.limit = 0xffffffff, .attributes = 0xc093};
	}
	vp.registers.segments[VP_CS].attributes = 0xa09b;
}

static int setup(void **state)
{
	board_setup(state);
	ram = aligned_alloc(4096, RAM);
	memset(ram, 0, RAM);
	memory = (struct memory){.base = ram,
				 .size = RAM,
				 .low_end = RAM,
				 .high_end = MEMORY_4G,
				 .users = users,
				 .log = dirty,
				 .log_is_kept = true};
	memset((void *)dirty, 0, sizeof(dirty));
	long_mode();
	return 0;
}

static int teardown(void **state)
{
	unsigned int i;

	for (i = 0; i < RAM / MEMORY_PAGE; i++) {
		assert_int_equal(users[i], 0);
	}
	free(ram);
	return board_teardown(state);
}

static enum emulate_result run(const char *bytes, unsigned int length)
{
	struct vp_exit exit = {.kind = VP_EXIT_INSTRUCTION,
			       .instruction.byte_count = (uint8_t)length};

	memcpy(exit.instruction.bytes, bytes, length);
	return emulate(&vp, &board, &memory, &cache, &exit);
}

/* A string literal with zeros in it. */
#define RUN(bytes)  run(bytes, sizeof(bytes) - 1)
#define DONE(bytes) assert_int_equal(RUN(bytes), EMULATE_DONE)

/* ---- Compared with the processor ---- */

#define AREA 256 /* bytes around the operand that are compared */

struct form {
	const char *bytes; /* of the opcode; with '/' the low digit of ModRM's reg field is given,
			      else it is random */
	unsigned int length;
	int reg;                /* ModRM.reg, or -1: any */
	unsigned int immediate; /* bytes; 99: of the operand, 4 at most */
	uint64_t undefined;     /* flags */
	bool byte;              /* 8-bit operands: no operand size prefix */
	bool no_prefix;
};

#define ANY      -1
#define LOGIC    FLAG_AF
#define BITS     (FLAG_PF | FLAG_AF | FLAG_SF | FLAG_OF)
#define PRODUCT  (FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF)
#define F(bytes) bytes, sizeof(bytes) - 1

static const struct form forms[] = {
	{F("\x00"), ANY, 0, 0, true, false},
	{F("\x01"), ANY, 0, 0, false, false},
	{F("\x02"), ANY, 0, 0, true, false},
	{F("\x03"), ANY, 0, 0, false, false},
	{F("\x08"), ANY, 0, LOGIC, true, false},
	{F("\x09"), ANY, 0, LOGIC, false, false},
	{F("\x0a"), ANY, 0, LOGIC, true, false},
	{F("\x0b"), ANY, 0, LOGIC, false, false},
	{F("\x10"), ANY, 0, 0, true, false},
	{F("\x11"), ANY, 0, 0, false, false},
	{F("\x12"), ANY, 0, 0, true, false},
	{F("\x13"), ANY, 0, 0, false, false},
	{F("\x18"), ANY, 0, 0, true, false},
	{F("\x19"), ANY, 0, 0, false, false},
	{F("\x1a"), ANY, 0, 0, true, false},
	{F("\x1b"), ANY, 0, 0, false, false},
	{F("\x20"), ANY, 0, LOGIC, true, false},
	{F("\x21"), ANY, 0, LOGIC, false, false},
	{F("\x22"), ANY, 0, LOGIC, true, false},
	{F("\x23"), ANY, 0, LOGIC, false, false},
	{F("\x28"), ANY, 0, 0, true, false},
	{F("\x29"), ANY, 0, 0, false, false},
	{F("\x2a"), ANY, 0, 0, true, false},
	{F("\x2b"), ANY, 0, 0, false, false},
	{F("\x30"), ANY, 0, LOGIC, true, false},
	{F("\x31"), ANY, 0, LOGIC, false, false},
	{F("\x32"), ANY, 0, LOGIC, true, false},
	{F("\x33"), ANY, 0, LOGIC, false, false},
	{F("\x38"), ANY, 0, 0, true, false},
	{F("\x39"), ANY, 0, 0, false, false},
	{F("\x3a"), ANY, 0, 0, true, false},
	{F("\x3b"), ANY, 0, 0, false, false},
	{F("\x84"), ANY, 0, LOGIC, true, false},
	{F("\x85"), ANY, 0, LOGIC, false, false},
	{F("\x86"), ANY, 0, 0, true, false},
	{F("\x87"), ANY, 0, 0, false, false},
	{F("\x88"), ANY, 0, 0, true, false},
	{F("\x89"), ANY, 0, 0, false, false},
	{F("\x8a"), ANY, 0, 0, true, false},
	{F("\x8b"), ANY, 0, 0, false, false},
	{F("\x80"), 0, 1, 0, true, false},
	{F("\x81"), 0, 99, 0, false, false},
	{F("\x80"), 1, 1, LOGIC, true, false},
	{F("\x81"), 1, 99, LOGIC, false, false},
	{F("\x80"), 2, 1, 0, true, false},
	{F("\x81"), 2, 99, 0, false, false},
	{F("\x80"), 3, 1, 0, true, false},
	{F("\x81"), 3, 99, 0, false, false},
	{F("\x80"), 4, 1, LOGIC, true, false},
	{F("\x81"), 4, 99, LOGIC, false, false},
	{F("\x80"), 5, 1, 0, true, false},
	{F("\x81"), 5, 99, 0, false, false},
	{F("\x80"), 6, 1, LOGIC, true, false},
	{F("\x81"), 6, 99, LOGIC, false, false},
	{F("\x80"), 7, 1, 0, true, false},
	{F("\x81"), 7, 99, 0, false, false},
	{F("\x83"), 0, 1, 0, false, false},
	{F("\x83"), 1, 1, LOGIC, false, false},
	{F("\x83"), 4, 1, LOGIC, false, false},
	{F("\x83"), 5, 1, 0, false, false},
	{F("\x83"), 6, 1, LOGIC, false, false},
	{F("\x83"), 7, 1, 0, false, false},
	{F("\xc6"), 0, 1, 0, true, false},
	{F("\xc7"), 0, 99, 0, false, false},
	{F("\xf6"), 0, 1, LOGIC, true, false},
	{F("\xf7"), 0, 99, LOGIC, false, false},
	{F("\xf6"), 2, 0, 0, true, false},
	{F("\xf7"), 2, 0, 0, false, false},
	{F("\xf6"), 3, 0, 0, true, false},
	{F("\xf7"), 3, 0, 0, false, false},
	{F("\xfe"), 0, 0, 0, true, false},
	{F("\xff"), 0, 0, 0, false, false},
	{F("\xfe"), 1, 0, 0, true, false},
	{F("\xff"), 1, 0, 0, false, false},
	{F("\x0f\xb6"), ANY, 0, 0, false, false},
	{F("\x0f\xb7"), ANY, 0, 0, false, false},
	{F("\x0f\xbe"), ANY, 0, 0, false, false},
	{F("\x0f\xbf"), ANY, 0, 0, false, false},
	{F("\x63"), ANY, 0, 0, false, true},
	{F("\x0f\xc3"), ANY, 0, 0, false, true},
	{F("\x0f\xb0"), ANY, 0, 0, true, false},
	{F("\x0f\xb1"), ANY, 0, 0, false, false},
	{F("\x0f\xc0"), ANY, 0, 0, true, false},
	{F("\x0f\xc1"), ANY, 0, 0, false, false},
	{F("\x0f\xba"), 4, 1, BITS, false, false},
	{F("\x0f\xba"), 5, 1, BITS, false, false},
	{F("\x0f\xba"), 6, 1, BITS, false, false},
	{F("\x0f\xba"), 7, 1, BITS, false, false},
	{F("\x0f\x38\xf0"), ANY, 0, 0, false, false},
	{F("\x0f\x38\xf1"), ANY, 0, 0, false, false},
	{F("\x0f\x90"), 0, 0, 0, true, true},
	{F("\x0f\x91"), 0, 0, 0, true, true},
	{F("\x0f\x92"), 0, 0, 0, true, true},
	{F("\x0f\x95"), 0, 0, 0, true, true},
	{F("\x0f\x97"), 0, 0, 0, true, true},
	{F("\x0f\x98"), 0, 0, 0, true, true},
	{F("\x0f\x9a"), 0, 0, 0, true, true},
	{F("\x0f\x9f"), 0, 0, 0, true, true},
	{F("\x0f\x40"), ANY, 0, 0, false, false},
	{F("\x0f\x44"), ANY, 0, 0, false, false},
	{F("\x0f\x45"), ANY, 0, 0, false, false},
	{F("\x0f\x47"), ANY, 0, 0, false, false},
	{F("\x0f\x4c"), ANY, 0, 0, false, false},
	{F("\x0f\x4d"), ANY, 0, 0, false, false},
	{F("\x8c"), 3, 0, 0, false, true},
	/* Shifts and rotations: OF has a meaning for those by 1 alone. */
	{F("\xd0"), 0, 0, 0, true, false},
	{F("\xd1"), 0, 0, 0, false, false},
	{F("\xd0"), 1, 0, 0, true, false},
	{F("\xd1"), 1, 0, 0, false, false},
	{F("\xd0"), 2, 0, 0, true, false},
	{F("\xd1"), 2, 0, 0, false, false},
	{F("\xd0"), 3, 0, 0, true, false},
	{F("\xd1"), 3, 0, 0, false, false},
	{F("\xd0"), 4, 0, FLAG_AF, true, false},
	{F("\xd1"), 4, 0, FLAG_AF, false, false},
	{F("\xd0"), 5, 0, FLAG_AF, true, false},
	{F("\xd1"), 5, 0, FLAG_AF, false, false},
	{F("\xd0"), 7, 0, FLAG_AF, true, false},
	{F("\xd1"), 7, 0, FLAG_AF, false, false},
	{F("\xc0"), 0, 1, FLAG_OF, true, false},
	{F("\xc1"), 0, 1, FLAG_OF, false, false},
	{F("\xc0"), 1, 1, FLAG_OF, true, false},
	{F("\xc1"), 1, 1, FLAG_OF, false, false},
	{F("\xc0"), 2, 1, FLAG_OF, true, false},
	{F("\xc1"), 2, 1, FLAG_OF, false, false},
	{F("\xc0"), 3, 1, FLAG_OF, true, false},
	{F("\xc1"), 3, 1, FLAG_OF, false, false},
	{F("\xc0"), 4, 1, FLAG_OF | FLAG_AF, true, false},
	{F("\xc1"), 4, 1, FLAG_OF | FLAG_AF, false, false},
	{F("\xc0"), 5, 1, FLAG_OF | FLAG_AF, true, false},
	{F("\xc1"), 5, 1, FLAG_OF | FLAG_AF, false, false},
	{F("\xc0"), 7, 1, FLAG_OF | FLAG_AF, true, false},
	{F("\xc1"), 7, 1, FLAG_OF | FLAG_AF, false, false},
	{F("\xd2"), 0, 0, FLAG_OF, true, false},
	{F("\xd3"), 1, 0, FLAG_OF, false, false},
	{F("\xd2"), 2, 0, FLAG_OF, true, false},
	{F("\xd3"), 3, 0, FLAG_OF, false, false},
	{F("\xd3"), 4, 0, FLAG_OF | FLAG_AF, false, false},
	{F("\xd2"), 5, 0, FLAG_OF | FLAG_AF, true, false},
	{F("\xd3"), 7, 0, FLAG_OF | FLAG_AF, false, false},
	{F("\x0f\xa4"), ANY, 1, FLAG_OF | FLAG_AF, false, true},
	{F("\x0f\xac"), ANY, 1, FLAG_OF | FLAG_AF, false, true},
	{F("\x0f\xa5"), ANY, 0, FLAG_OF | FLAG_AF, false, true},
	{F("\x0f\xad"), ANY, 0, FLAG_OF | FLAG_AF, false, true},
	/* Products */
	{F("\xf6"), 4, 0, PRODUCT, true, false},
	{F("\xf7"), 4, 0, PRODUCT, false, false},
	{F("\xf6"), 5, 0, PRODUCT, true, false},
	{F("\xf7"), 5, 0, PRODUCT, false, false},
	{F("\x0f\xaf"), ANY, 0, PRODUCT, false, false},
	{F("\x69"), ANY, 99, PRODUCT, false, false},
	{F("\x6b"), ANY, 1, PRODUCT, false, false},
	/* Searches for bits */
	{F("\x0f\xbc"), ANY, 0, ARITHMETIC & ~FLAG_ZF, false, false},
	{F("\x0f\xbd"), ANY, 0, ARITHMETIC & ~FLAG_ZF, false, false},
	{F("\xf3\x0f\xbc"), ANY, 0, ARITHMETIC & ~(FLAG_ZF | FLAG_CF), false, false},
	{F("\xf3\x0f\xbd"), ANY, 0, ARITHMETIC & ~(FLAG_ZF | FLAG_CF), false, false},
	{F("\xf3\x0f\xb8"), ANY, 0, 0, false, false},
};

/* With RBX as base and sometimes an index and a displacement; the operand is always within the
 * area. */
static unsigned int encode(const struct form *form, uint8_t *to, struct native *state,
			   uint64_t operand)
{
	unsigned int length = 0, opcode = 0, mode = (unsigned int)random64() % 3, size = 4, i;
	unsigned int reg =
		form->reg == ANY ? (unsigned int)random64() % 16 : (unsigned int)form->reg;
	bool word = !form->byte && !form->no_prefix && random64() % 4 == 0,
	     quad = !word && random64() % 3 == 0;

	/* Of registers: not the stack's, not the base's high byte, and no REX for a high byte. */
	if (form->reg == ANY && form->byte && !quad) {
		reg &= 7;
	}
	if (form->reg == ANY && (reg == VP_RSP || (form->byte && reg == VP_RBX + 4))) {
		reg = VP_RDX;
	}
	if (word) {
		to[length++] = 0x66;
		size = 2;
	}
	/* A prefix that belongs to the opcode comes before REX. */
	if (form->bytes[0] == '\xf3') {
		to[length++] = (uint8_t)form->bytes[opcode++];
	}
	if (quad || reg >= 8) {
		to[length++] = (uint8_t)(0x40 | (quad ? 8 : 0) | (reg >= 8 ? 4 : 0));
		size = quad && !form->byte ? 8 : size;
	}
	for (; opcode < form->length; opcode++) {
		to[length++] = (uint8_t)form->bytes[opcode];
	}
	state->gpr[VP_RBX] = operand;
	if (mode == 0) {
		to[length++] = (uint8_t)(0x03 | (reg & 7) << 3);
	} else if (mode == 1) {
		to[length++] = (uint8_t)(0x43 | (reg & 7) << 3);
		to[length++] = 0xf0;
		state->gpr[VP_RBX] = operand + 16;
	} else {
		to[length++] = (uint8_t)(0x84 | (reg & 7) << 3);
		to[length++] = 0xb3; /* rbx + rsi * 4 */
		memcpy(to + length, "\x20\x00\x00\x00", 4);
		length += 4;
		state->gpr[VP_RSI] = (uint64_t)-8;
	}
	for (i = 0; i < (form->immediate == 99 ? (size > 4 ? 4 : size) : form->immediate); i++) {
		to[length++] = (uint8_t)random64();
	}
	return length;
}

static void random_state(struct native *state, uint8_t *area)
{
	unsigned int i;

	for (i = 0; i < 16; i++) {
		state->gpr[i] = random64() & 1 ? random64() : (uint64_t)(int64_t)(int8_t)random64();
	}
	state->rflags = 0x202 | (random64() & ARITHMETIC);
	for (i = 0; i < AREA; i++) {
		area[i] = (uint8_t)(random64() & 1 ? random64() : 0xff * (random64() & 1));
	}
}

/* Both run the same bytes: the processor on `area`, the emulator on the guest's RAM, which seems to
 * it to be at the same place. */
static void compare(const uint8_t *code, unsigned int length, struct native *state, uint8_t *area,
		    uint64_t undefined)
{
	struct vp_exit exit = {.kind = VP_EXIT_INSTRUCTION,
			       .instruction.byte_count = (uint8_t)length};
	unsigned int i;

	memcpy(ram + 0x1000, area, AREA);
	memcpy(exit.instruction.bytes, code, length);
	memcpy(vp.registers.gpr, state->gpr, sizeof(state->gpr));
	vp.registers.rflags = state->rflags;
	vp.registers.rip = 0x1234567800ull;
	vp.linear_base = (uintptr_t)area;
	vp.gpa_base = 0x1000;
	memcpy(vp.xmm[0], state->xmm0, 16);
	memcpy(vp.mmx[0], &state->mm0, 8);
	assert_int_equal(emulate(&vp, &board, &memory, &cache, &exit), EMULATE_DONE);
	assert_false(vp.injected);
	native_run(state, code, length);
	for (i = 0; i < 16; i++) {
		assert_true(vp.registers.gpr[i] == state->gpr[i]);
	}
	assert_memory_equal(vp.xmm[0], state->xmm0, 16);
	assert_memory_equal(vp.mmx[0], &state->mm0, 8);
	assert_true(((vp.registers.rflags ^ state->rflags) & ARITHMETIC & ~undefined) == 0);
	assert_memory_equal(ram + 0x1000, area, AREA);
	assert_true(vp.registers.rip == 0x1234567800ull + length);
}

static void as_the_processor(void **state)
{
	static _Alignas(4096) uint8_t area[AREA];
	unsigned int i, n;

	(void)state;
	for (i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		for (n = 0; n < 400; n++) {
			struct native native = {0};
			uint8_t code[INSN_MAX_LENGTH + 1];
			unsigned int length;

			random_state(&native, area);
			length = encode(&forms[i], code, &native,
					(uintptr_t)area + 64 + (random64() & 7));
			if (forms[i].length == 2 && forms[i].bytes[1] == '\xb1' &&
			    (random64() & 1)) {
				memcpy(&native.gpr[VP_RAX], area + 64,
				       8); /* CMPXCHG finds what it expects */
			}
			compare(code, length, &native, area, forms[i].undefined);
		}
	}
}

/* A bit number in a register reaches beyond the operand. */
static void bits_by_register(void **state)
{
	static const uint8_t opcodes[] = {0xa3, 0xab, 0xb3, 0xbb};
	static _Alignas(4096) uint8_t area[AREA];
	unsigned int i;

	(void)state;
	for (i = 0; i < 2000; i++) {
		struct native native = {0};
		uint8_t code[8];
		unsigned int length = 0;

		random_state(&native, area);
		if (random64() % 3 == 0) {
			code[length++] = 0x66;
		} else if (random64() & 1) {
			code[length++] = 0x48;
		}
		code[length++] = 0x0f;
		code[length++] = opcodes[i & 3];
		code[length++] = 0x0b; /* [rbx], rcx */
		native.gpr[VP_RBX] = (uintptr_t)area + 128;
		native.gpr[VP_RCX] = (uint64_t)((int64_t)(random64() % 1600) - 800);
		compare(code, length, &native, area, BITS | FLAG_ZF);
	}
}

static void strings(void **state)
{
	static const char *const codes[] = {"\xa4", "\xa5", "\xaa", "\xab", "\xac",
					    "\xad", "\xa6", "\xa7", "\xae", "\xaf"};
	static const char *const prefixes[] = {"",         "\x66", "\x48",     "\xf3",
					       "\xf3\x48", "\xf2", "\x66\xf3", "\x67\xf3"};
	static _Alignas(4096) uint8_t area[AREA];
	unsigned int i;

	(void)state;
	for (i = 0; i < 8000; i++) {
		struct native native = {0};
		const char *prefix = prefixes[random64() % 8];
		bool compares = i % 10 >= 6;
		uint8_t code[8];
		unsigned int length = (unsigned int)strlen(prefix);

		if ((prefix[0] == '\xf2' && !compares) || prefix[0] == '\x67') {
			prefix = "\xf3";
			length = 1;
		}
		memcpy(code, prefix, length);
		code[length++] = (uint8_t)codes[i % 10][0];
		random_state(&native, area);
		if (random64() & 1) {
			memset(area, 0x55, AREA); /* so that comparisons go on */
			native.gpr[VP_RAX] = 0x5555555555555555ull;
		}
		native.rflags &= ~(uint64_t)FLAG_DF;
		native.rflags |= random64() & 1 ? FLAG_DF : 0;
		native.gpr[VP_RSI] = (uintptr_t)area + 120;
		native.gpr[VP_RDI] = (uintptr_t)area + 128;
		native.gpr[VP_RCX] = random64() % 8;
		compare(code, length, &native, area, 0);
	}
}

static void push_and_pop(void **state)
{
	static _Alignas(4096) uint8_t area[AREA];
	unsigned int i;

	(void)state;
	for (i = 0; i < 400; i++) {
		struct native native = {0};

		random_state(&native, area);
		native.gpr[VP_RBX] = (uintptr_t)area + 16;
		native.gpr[VP_RSP] = (uintptr_t)area + 192;
		compare((const uint8_t *)"\xff\x33", 2, &native, area, 0);
		compare((const uint8_t *)"\x66\xff\x33", 3, &native, area, 0);
		compare((const uint8_t *)"\x8f\x03", 2, &native, area, 0);
		compare((const uint8_t *)"\x8f\x44\x24\x08", 4, &native, area,
			0); /* pop 8(%rsp): RSP after the pop */
		/* What is pushed has the stack's size, not the operand's. */
		compare((const uint8_t *)"\x6a\x80", 2, &native, area, 0);
		compare((const uint8_t *)"\x66\x6a\x80", 3, &native, area, 0);
		compare((const uint8_t *)"\x68\x01\x02\x03\x84", 5, &native, area, 0);
		compare((const uint8_t *)"\x66\x68\x01\x82", 4, &native, area, 0);
		compare((const uint8_t *)"\x50", 1, &native, area, 0);
		compare((const uint8_t *)"\x66\x50", 2, &native, area, 0);
		compare((const uint8_t *)"\x5a", 1, &native, area, 0);
		compare((const uint8_t *)"\x0f\xa0", 2, &native, area,
			0); /* push %fs, which is 0 */
		compare((const uint8_t *)"\x9c", 1, &native, area, 0);
		native.gpr[VP_RBP] = (uintptr_t)area + 160;
		compare((const uint8_t *)"\xc9", 1, &native, area, 0);
		native.gpr[VP_RSP] = (uintptr_t)area + 192;
		*(uint64_t *)(void *)(area + 192) = 0x202 | (random64() & (ARITHMETIC | FLAG_DF));
		compare((const uint8_t *)"\x9d", 1, &native, area, 0);
		native.rflags &= ~(uint64_t)FLAG_DF;
	}
}

static void quotients(void **state)
{
	static const char *const codes[] = {"\xf6\x33", "\x66\xf7\x33", "\xf7\x33", "\x48\xf7\x33",
					    "\xf6\x3b", "\x66\xf7\x3b", "\xf7\x3b", "\x48\xf7\x3b"};
	static _Alignas(4096) uint8_t area[AREA];
	unsigned int i, done = 0, refused = 0;

	(void)state;
	for (i = 0; i < 8000; i++) {
		const char *code = codes[i % 8];
		unsigned int size = 1u << i % 4;
		struct native native = {0};
		uint64_t by = 0, low, high, quotient, remainder;

		random_state(&native, area);
		native.gpr[VP_RBX] = (uintptr_t)area + 64;
		/* So that it fits, more often than not. */
		native.gpr[VP_RDX] = random64() % 4 ? (i % 8 < 4        ? 0
						       : random64() & 1 ? 0
									: ~0ull)
						    : random64();
		if (size == 1) {
			native.gpr[VP_RAX] = random64() & (random64() & 1 ? 0xffff : 0x7f);
		}
		if (random64() % 8 == 0) {
			memset(area + 64, random64() & 1 ? 0 : 0xff, 8);
		}
		memcpy(&by, area + 64, size);
		low = native.gpr[VP_RAX] & alu_mask(size);
		high = (size == 1 ? native.gpr[VP_RAX] >> 8 : native.gpr[VP_RDX]) & alu_mask(size);
		if (alu_divide(i % 8 >= 4, size, high, low, by, &quotient, &remainder)) {
			compare((const uint8_t *)code, (unsigned int)strlen(code), &native, area,
				ARITHMETIC);
			done++;
			continue;
		}
		/* The processor would end this program. */
		memcpy(ram + 0x1000, area, AREA);
		memcpy(vp.registers.gpr, native.gpr, sizeof(native.gpr));
		vp.linear_base = (uintptr_t)area;
		vp.gpa_base = 0x1000;
		assert_int_equal(run(code, (unsigned int)strlen(code)), EMULATE_DONE);
		assert_true(vp.injected && vp.vector == VP_EXCEPTION_DE);
		assert_memory_equal(vp.registers.gpr, native.gpr, sizeof(native.gpr));
		vp.injected = false;
		refused++;
	}
	assert_true(done > 2000 && refused > 500);
}

/* What may be divided and what may not, at the edges. */
static void quotients_that_do_not_fit(void **state)
{
	uint64_t q, r;

	(void)state;
	assert_false(alu_divide(false, 8, 0, 1, 0, &q, &r));
	assert_false(alu_divide(true, 8, 0, 1, 0, &q, &r));
	assert_false(alu_divide(false, 8, 5, 0, 5, &q, &r));
	assert_true(alu_divide(false, 8, 4, ~0ull, 5, &q, &r));
	assert_true(q == ~0ull && r == 4);
	assert_false(alu_divide(true, 8, ~0ull, 1ull << 63, ~0ull, &q, &r)); /* -2^63 / -1 */
	assert_true(alu_divide(true, 8, ~0ull, 1ull << 63, 1, &q, &r));
	assert_true(q == 1ull << 63 && r == 0);
	assert_false(alu_divide(true, 8, 1ull << 63, 0, 2, &q, &r)); /* -2^127 */
	assert_true(alu_divide(true, 1, 0xff, 0x80, 1, &q, &r));
	assert_true(q == 0x80 && r == 0);
	assert_false(alu_divide(true, 1, 0xff, 0x80, 0xff, &q, &r));
	assert_true(alu_divide(true, 4, ~0ull, (uint32_t)-7, 2, &q, &r));
	assert_true(q == (uint32_t)-3 && r == (uint32_t)-1);
}

static void pairs(void **state)
{
	static _Alignas(4096) uint8_t area[AREA];
	unsigned int i;

	(void)state;
	for (i = 0; i < 400; i++) {
		struct native native = {0};

		random_state(&native, area);
		native.gpr[VP_RSI] = (uintptr_t)area + 64;
		if (i & 1) {
			memcpy(&native.gpr[VP_RAX], area + 64, 8);
			memcpy(&native.gpr[VP_RDX], area + (i & 2 ? 72 : 68), 8);
		}
		compare((const uint8_t *)(i & 2 ? "\x48\x0f\xc7\x0e" : "\x0f\xc7\x0e"),
			i & 2 ? 4 : 3, &native, area, 0);
	}
}

static void vector_moves(void **state)
{
	static const char *const codes[] = {
		"\x0f\x10\x03",     "\x0f\x11\x03",     "\x66\x0f\x6f\x03", "\x66\x0f\x7f\x03",
		"\xf3\x0f\x6f\x03", "\xf3\x0f\x7f\x03", "\x66\x0f\x6e\x03", "\x66\x0f\x7e\x03",
		"\xf3\x0f\x7e\x03", "\x66\x0f\xd6\x03", "\x66\x0f\xe7\x03", "\x0f\x28\x03",
		"\x0f\x12\x03",     "\x0f\x13\x03",     "\x66\x0f\x12\x03", "\x66\x0f\x13\x03",
		"\x0f\x16\x03",     "\x0f\x17\x03",     "\x66\x0f\x16\x03", "\x66\x0f\x17\x03",
		"\xf3\x0f\x10\x03", "\xf3\x0f\x11\x03", "\xf2\x0f\x10\x03", "\xf2\x0f\x11\x03",
		"\x0f\x6e\x03",     "\x0f\x7e\x03",     "\x0f\x6f\x03",     "\x0f\x7f\x03",
		"\x0f\xe7\x03",     "\x48\x0f\x6e\x03"};
	static _Alignas(4096) uint8_t area[AREA];
	unsigned int i;

	(void)state;
	for (i = 0; i < 3000; i++) {
		struct native native = {0};
		const char *code = codes[i % (sizeof(codes) / sizeof(codes[0]))];

		random_state(&native, area);
		native.xmm0[0] = random64();
		native.xmm0[1] = random64();
		native.mm0 = random64();
		native.gpr[VP_RBX] = (uintptr_t)area + 64;
		compare((const uint8_t *)code, (unsigned int)strlen(code), &native, area, 0);
	}
}

/* ---- Devices ---- */

static void device_memory_is_the_board(void **state)
{
	(void)state;
	vp.registers.gpr[VP_RBX] = BOARD_IOAPIC_BASE;
	vp.registers.gpr[VP_RAX] = 1;
	DONE("\x89\x03");     /* mov %eax, (%rbx): select the version */
	DONE("\x8b\x53\x10"); /* mov 0x10(%rbx), %edx */
	assert_int_equal(vp.registers.gpr[VP_RDX], 0x00170011);
	DONE("\xc7\x03\x10\x00\x00\x00");
	DONE("\xc7\x43\x10\x30\x00\x00\x00");
	assert_int_equal(ioapic_get(0x10), 0x30);
	DONE("\x81\x4b\x10\x00\x00\x01\x00"); /* orl $0x10000, 0x10(%rbx): read, then written */
	assert_int_equal(ioapic_get(0x10), 0x10030);
	DONE("\x48\x8b\x0b"); /* 8 bytes: two registers */
	assert_true(vp.registers.gpr[VP_RCX] == 0x10);
}

static void between_device_and_ram(void **state)
{
	(void)state;
	ioapic_get(1);
	vp.registers.gpr[VP_RSI] = BOARD_IOAPIC_BASE + 0x10;
	vp.registers.gpr[VP_RDI] = 0x5000;
	DONE("\xa5");
	assert_memory_equal(ram + 0x5000, "\x11\x00\x17\x00", 4);
	vp.registers.gpr[VP_RSI] = 0xa0000; /* nobody */
	vp.registers.gpr[VP_RCX] = 4;
	DONE("\xf3\xa4");
	assert_memory_equal(ram + 0x5004, "\xff\xff\xff\xff", 4);
}

static void the_exits_own_translation_is_used(void **state)
{
	struct vp_exit exit = {.kind = VP_EXIT_INSTRUCTION,
			       .instruction = {.bytes = {0x8b, 0x03},
					       .byte_count = 2,
					       .gpa_valid = true,
					       .gva_valid = true,
					       .gva = 0xffff800012345010ull,
					       .gpa = BOARD_IOAPIC_BASE + 0x10}};

	(void)state;
	ioapic_get(1);
	vp.registers.gpr[VP_RBX] = 0xffff800012345010ull;
	assert_int_equal(emulate(&vp, &board, &memory, &cache, &exit), EMULATE_DONE);
	assert_int_equal(vp.registers.gpr[VP_RAX], 0x00170011);
	assert_int_equal(vp.translations, 0);
}

static enum emulate_result run_at(const char *bytes, unsigned int length, uint64_t gpa)
{
	struct vp_exit exit = {
		.kind = VP_EXIT_INSTRUCTION,
		.instruction = {.byte_count = (uint8_t)length, .gpa_valid = true, .gpa = gpa}};

	memcpy(exit.instruction.bytes, bytes, length);
	vp.translations = 0;
	return emulate(&vp, &board, &memory, &cache, &exit);
}

#define DONE_AT(gpa, bytes) assert_int_equal(run_at(bytes, sizeof(bytes) - 1, gpa), EMULATE_DONE)

/* Some processors tell the guest address alone. */
static void the_operand_that_stopped_it_is_found(void **state)
{
	(void)state;
	ioapic_get(1);
	vp.registers.gpr[VP_RBX] = 0xffff800012345010ull;
	DONE_AT(BOARD_IOAPIC_BASE + 0x10, "\x8b\x03");
	assert_int_equal(vp.registers.gpr[VP_RAX], 0x00170011);
	assert_int_equal(vp.translations, 0);
	/* Of two operands the one that fits. */
	vp.registers.gpr[VP_RSI] = 0xffff800012345010ull;
	vp.registers.gpr[VP_RDI] = 0x5008;
	DONE_AT(BOARD_IOAPIC_BASE + 0x10, "\xa5");
	assert_memory_equal(ram + 0x5008, "\x11\x00\x17\x00", 4);
	assert_int_equal(vp.translations, 1);
	/* If both fit, or none, all are translated. */
	vp.registers.gpr[VP_RSI] = 0x6010;
	vp.registers.gpr[VP_RDI] = 0x5010;
	DONE_AT(BOARD_IOAPIC_BASE + 0x10, "\xa5");
	assert_int_equal(vp.translations, 2);
	DONE_AT(BOARD_IOAPIC_BASE, "\xa5");
	assert_int_equal(vp.translations, 2);
	/* A push may have been stopped by its stack. */
	vp.registers.gpr[VP_RBX] = 0x6010;
	vp.registers.gpr[VP_RSP] = BOARD_IOAPIC_BASE + 0x18;
	DONE_AT(BOARD_IOAPIC_BASE + 0x10, "\xff\x33");
	assert_int_equal(vp.translations, 2);
	/* Segments count where they do. */
	vp.registers.segments[VP_GS].base = 0x7000000008ull;
	vp.registers.gpr[VP_RBX] = 8;
	DONE_AT(BOARD_IOAPIC_BASE + 0x10, "\x65\x8b\x0b");
	assert_int_equal(vp.registers.gpr[VP_RCX], 0x00170011);
	assert_int_equal(vp.translations, 0);
}

static void strings_to_and_from_ports(void **state)
{
	(void)state;
	memcpy(ram + 0x3000, "hello", 5);
	vp.registers.gpr[VP_RSI] = 0x3000;
	vp.registers.gpr[VP_RDX] = 0x3f8;
	vp.registers.gpr[VP_RCX] = 5;
	DONE("\xf3\x6e");
	assert_int_equal(home.out_count, 5);
	assert_memory_equal(home.out, "hello", 5);
	assert_int_equal(vp.registers.gpr[VP_RSI], 0x3005);
	assert_int_equal(vp.registers.gpr[VP_RCX], 0);
	vp.registers.gpr[VP_RDI] = 0x4000;
	vp.registers.gpr[VP_RDX] = 0x80;
	vp.registers.gpr[VP_RCX] = 3;
	DONE("\xf3\x66\x6d");
	assert_memory_equal(ram + 0x4000, "\xff\xff\xff\xff\xff\xff\x00", 7);
	DONE("\x6c"); /* without a prefix: one */
	assert_int_equal(vp.registers.gpr[VP_RDI], 0x4007);
}

/* As with a TLB: one for each page and kind of access, and a page that is gone is met at its first
 * item. */
static void a_string_translates_by_pages(void **state)
{
	(void)state;
	vp.registers.gpr[VP_RSI] = 0x3f80;
	vp.registers.gpr[VP_RDI] = 0x7000;
	vp.registers.gpr[VP_RCX] = 256;
	memset(ram + 0x3f80, 0x5a, 256);
	vp.translations = 0;
	DONE("\xf3\xa4");
	assert_int_equal(vp.translations, 3);
	assert_memory_equal(ram + 0x7000, ram + 0x3f80, 256);
	vp.registers.gpr[VP_RDI] = 0x7e00;
	vp.registers.gpr[VP_RDX] = 0x80;
	vp.registers.gpr[VP_RCX] = 256;
	vp.translations = 0;
	DONE("\xf3\x66\x6d"); /* a sector, from a port */
	assert_int_equal(vp.translations, 1);
	vp.missing = 0x9000;
	vp.registers.gpr[VP_RDI] = 0x8ff0;
	vp.registers.gpr[VP_RCX] = 16;
	DONE("\xf3\x66\x6d");
	assert_true(vp.injected);
	assert_int_equal(vp.fault_address, 0x9000);
	assert_int_equal(vp.registers.gpr[VP_RCX], 8);
}

static void a_long_repeat_comes_in_steps(void **state)
{
	unsigned int exits = 0;

	(void)state;
	vp.registers.gpr[VP_RDI] = 0x10000;
	vp.registers.gpr[VP_RCX] = 1000;
	vp.registers.gpr[VP_RAX] = 0x77;
	vp.registers.rip = 0x100;
	while (vp.registers.rip == 0x100) {
		DONE("\xf3\xaa");
		exits++;
	}
	assert_in_range(exits, 2, 100);
	assert_int_equal(vp.registers.gpr[VP_RCX], 0);
	assert_int_equal(vp.registers.gpr[VP_RDI], 0x10000 + 1000);
	assert_int_equal(ram[0x10000 + 999], 0x77);
	assert_int_equal(ram[0x10000 + 1000], 0);
	DONE("\xf3\xaa"); /* nothing to do */
	assert_int_equal(vp.registers.rip, 0x104);
}

/* ---- Faults ---- */

static void expect_fault(unsigned int vector, uint32_t code, uint64_t address)
{
	assert_true(vp.injected);
	assert_int_equal(vp.vector, vector);
	assert_int_equal(vp.error_code, code);
	assert_true(vp.fault_address == address);
	vp.injected = false;
}

/* EFLAGS.TF: the debug trap comes when the instruction is over, a fault of the instruction's own
 * instead of it. */
static void a_single_step_traps(void **state)
{
	(void)state;
	vp.registers.gpr[VP_RDI] = 0x10000;
	vp.registers.gpr[VP_RAX] = 0x77;
	vp.registers.rip = 0x100;
	DONE("\xaa");
	assert_false(vp.injected);
	vp.registers.rflags |= 0x100;
	DONE("\xaa");
	assert_int_equal(vp.registers.rip, 0x102);
	expect_fault(VP_EXCEPTION_DB, 0, 0);
	vp.missing = 0x10002;
	DONE("\xaa");
	assert_int_equal(vp.registers.rip, 0x102);
	expect_fault(VP_EXCEPTION_PF, 2, 0x10002);
}

static void a_missing_page_is_the_guests_fault(void **state)
{
	(void)state;
	vp.missing = 0x7000;
	vp.registers.gpr[VP_RBX] = 0x7123;
	vp.registers.rip = 0x100;
	DONE("\x89\x03");
	expect_fault(14, 2, 0x7123);
	DONE("\x8b\x03");
	expect_fault(14, 0, 0x7123);
	assert_int_equal(vp.registers.rip, 0x100);
	vp.registers.gpr[VP_RBX] = 0x6ffe; /* over the end of a page: nothing is written */
	vp.registers.gpr[VP_RAX] = 0xffffffff;
	DONE("\x89\x03");
	expect_fault(14, 2, 0x7000);
	assert_int_equal(ram[0x6ffe], 0);
}

static void a_string_stops_at_the_fault(void **state)
{
	(void)state;
	vp.missing = 0x7000;
	vp.registers.gpr[VP_RDI] = 0x6ffc;
	vp.registers.gpr[VP_RCX] = 10;
	vp.registers.rip = 0x100;
	DONE("\xf3\xaa");
	expect_fault(14, 2, 0x7000);
	assert_int_equal(vp.registers.gpr[VP_RCX], 6);
	assert_int_equal(vp.registers.gpr[VP_RDI], 0x7000);
	assert_int_equal(vp.registers.rip, 0x100);
}

static void a_port_is_not_read_for_nothing(void **state)
{
	(void)state;
	fake_host_type(&home, "x");
	board_serial_ready(&board);
	vp.missing = 0x7000;
	vp.read_only = true;
	vp.registers.gpr[VP_RDI] = 0x7000;
	vp.registers.gpr[VP_RDX] = 0x3f8;
	DONE("\x6c");
	expect_fault(14, 3, 0x7000);
	assert_int_equal(inb(0x3f8), 'x');
}

static void noncanonical_addresses(void **state)
{
	(void)state;
	vp.registers.gpr[VP_RBX] = 0x800000000000ull;
	DONE("\x8b\x03");
	expect_fault(13, 0, 0);
	vp.registers.gpr[VP_RSP] = 0x800000000000ull;
	DONE("\x8b\x04\x24");
	expect_fault(12, 0, 0);
}

/* ---- Modes ---- */

static void protected_mode(uint16_t code)
{
	vp.registers.efer = 0;
	vp.registers.segments[VP_CS].attributes = code;
}

static void segments_count_in_32_bit(void **state)
{
	(void)state;
	protected_mode(0xc09b);
	vp.registers.segments[VP_DS] =
		(struct vp_segment){.base = 0x8000, .limit = 0xfff, .attributes = 0x4093};
	vp.registers.gpr[VP_RBX] = 0x10;
	vp.registers.gpr[VP_RAX] = 0x11223344;
	DONE("\x89\x03");
	assert_memory_equal(ram + 0x8010, "\x44\x33\x22\x11", 4);
	vp.registers.gpr[VP_RBX] = 0xffd;
	DONE("\x89\x03");
	expect_fault(13, 0, 0);
	vp.registers.segments[VP_DS].attributes =
		0x4097; /* expand down: what lies above the limit */
	DONE("\x89\x03");
	expect_fault(13, 0, 0);
	vp.registers.gpr[VP_RBX] = 0x1000;
	DONE("\x89\x03");
	assert_false(vp.injected);
	assert_memory_equal(ram + 0x9000, "\x44\x33\x22\x11", 4);
}

static void addresses_wrap_in_16_bit(void **state)
{
	(void)state;
	protected_mode(0x009b);
	vp.registers.cr0 = 0;
	vp.registers.segments[VP_DS] =
		(struct vp_segment){.base = 0x10000, .limit = 0xffff, .attributes = 0x93};
	vp.registers.gpr[VP_RBX] = 0xfff0;
	vp.registers.gpr[VP_RSI] = 0x0020;
	ram[0x10010] = 0x99;
	DONE("\x8a\x00"); /* mov (%bx,%si), %al */
	assert_int_equal(vp.registers.gpr[VP_RAX], 0x99);
	vp.registers.gpr[VP_RDI] = 0xabcdffff;
	vp.registers.segments[VP_ES] = vp.registers.segments[VP_DS];
	DONE("\xaa");
	assert_int_equal(vp.registers.gpr[VP_RDI], 0xabcd0000);
	assert_int_equal(ram[0x1ffff], 0x99);
	vp.registers.segments[VP_DS].base = 0x20000;
	DONE("\x26\x8a\x0e\xff\xff"); /* mov %es:0xffff, %cl */
	assert_int_equal(vp.registers.gpr[VP_RCX], 0x99);
}

static void fs_and_gs_count_in_64_bit(void **state)
{
	(void)state;
	vp.registers.segments[VP_GS].base = 0x9000;
	vp.registers.segments[VP_DS].base = 0x123456;
	ram[0x9010] = 0x42;
	DONE("\x65\x0f\xb6\x04\x25\x10\x00\x00\x00");
	assert_int_equal(vp.registers.gpr[VP_RAX], 0x42);
	ram[0x10] = 0x24;
	DONE("\x0f\xb6\x04\x25\x10\x00\x00\x00");
	assert_int_equal(vp.registers.gpr[VP_RAX], 0x24);
}

static void rip_relative(void **state)
{
	(void)state;
	vp.registers.rip = 0x2000;
	memcpy(ram + 0x2016, "\x01\x02\x03\x04", 4);
	DONE("\x8b\x05\x10\x00\x00\x00");
	assert_int_equal(vp.registers.gpr[VP_RAX], 0x04030201);
}

static void absolute_moves(void **state)
{
	(void)state;
	vp.registers.gpr[VP_RAX] = 0xaabbccdd;
	DONE("\xa3\x00\x60\x00\x00\x00\x00\x00\x00");
	assert_memory_equal(ram + 0x6000, "\xdd\xcc\xbb\xaa", 4);
	vp.registers.gpr[VP_RAX] = 0;
	DONE("\xa0\x01\x60\x00\x00\x00\x00\x00\x00");
	assert_int_equal(vp.registers.gpr[VP_RAX], 0xcc);
}

/* ---- Where execution goes on ---- */

static void near_transfers(void **state)
{
	uint64_t target = 0x7654321000ull, bad = 0x800000000000ull, back = 0x1234;

	(void)state;
	vp.registers.rip = 0x2000;
	vp.registers.gpr[VP_RBX] = 0x5000;
	vp.registers.gpr[VP_RSP] = 0x6008;
	memcpy(ram + 0x5000, &target, 8);
	DONE("\xff\x23"); /* jmp *(%rbx) */
	assert_true(vp.registers.rip == target);
	vp.registers.rip = 0x2000;
	DONE("\xff\x13"); /* call *(%rbx) */
	assert_true(vp.registers.rip == target);
	assert_int_equal(vp.registers.gpr[VP_RSP], 0x6000);
	assert_memory_equal(ram + 0x6000, "\x02\x20\0\0\0\0\0\0", 8);
	DONE("\xc3");
	assert_int_equal(vp.registers.rip, 0x2002);
	assert_int_equal(vp.registers.gpr[VP_RSP], 0x6008);
	DONE("\xe8\x00\x10\x00\x00"); /* call +0x1000 */
	assert_int_equal(vp.registers.rip, 0x3007);
	memcpy(ram + 0x6000, &back, 8);
	DONE("\xc2\x10\x00"); /* ret $0x10 */
	assert_int_equal(vp.registers.rip, 0x1234);
	assert_int_equal(vp.registers.gpr[VP_RSP], 0x6018);
	/* Nowhere: nothing has changed. */
	memcpy(ram + 0x5000, &bad, 8);
	memcpy(ram + 0x6018, &bad, 8);
	DONE("\xff\x23");
	expect_fault(13, 0, 0);
	DONE("\xff\x13");
	expect_fault(13, 0, 0);
	DONE("\xc3");
	expect_fault(13, 0, 0);
	assert_int_equal(vp.registers.rip, 0x1234);
	assert_int_equal(vp.registers.gpr[VP_RSP], 0x6018);
	/* A stack that is not there. */
	vp.missing = 0x6010;
	memcpy(ram + 0x5000, &target, 8);
	DONE("\xff\x13");
	expect_fault(14, 2, 0x6010);
	assert_int_equal(vp.registers.gpr[VP_RSP], 0x6018);
}

static void transfers_in_old_modes(void **state)
{
	(void)state;
	protected_mode(0xc09b);
	vp.registers.rip = 0x2000;
	vp.registers.gpr[VP_RBX] = 0x5000;
	vp.registers.gpr[VP_RSP] = 0xabc06000;
	vp.registers.segments[VP_SS].attributes = 0x0093; /* a 16-bit stack */
	vp.registers.segments[VP_CS].limit = 0x10000;
	memcpy(ram + 0x5000, "\x00\x40\x00\x00\x01\x00\x01\x00", 8);
	DONE("\xff\x13");
	assert_int_equal(vp.registers.rip, 0x4000);
	assert_int_equal(vp.registers.gpr[VP_RSP], 0xabc05ffc);
	assert_memory_equal(ram + 0x5ffc, "\x02\x20\0\0", 4);
	DONE("\x66\xff\x63\x04"); /* jmp *4(%ebx), 16 bits */
	assert_int_equal(vp.registers.rip, 1);
	DONE("\xff\x63\x04"); /* beyond the code's limit */
	expect_fault(13, 0, 0);
	DONE("\x6a\xff");
	assert_int_equal(vp.registers.gpr[VP_RSP], 0xabc05ff8);
	assert_memory_equal(ram + 0x5ff8, "\xff\xff\xff\xff", 4);
	/* Real mode: far, by selectors that are addresses. */
	vp.registers.cr0 = 0;
	vp.registers.segments[VP_CS] =
		(struct vp_segment){.limit = 0xffff, .attributes = 0x9b, .selector = 0};
	memcpy(ram + 0x5000, "\x34\x12\x00\xf0", 4);
	DONE("\xff\x2f"); /* ljmp *(%bx) */
	assert_int_equal(vp.registers.rip, 0x1234);
	assert_int_equal(vp.registers.segments[VP_CS].selector, 0xf000);
	assert_true(vp.registers.segments[VP_CS].base == 0xf0000);
	assert_int_equal(vp.registers.segments[VP_CS].attributes, 0x9b);
	DONE("\xff\x1f"); /* lcall *(%bx) */
	assert_memory_equal(ram + 0x5ff4, "\x36\x12\x00\xf0", 4);
	DONE("\xcb"); /* lret */
	assert_int_equal(vp.registers.rip, 0x1236);
	DONE("\x8e\x07"); /* mov (%bx), %es */
	assert_true(vp.registers.segments[VP_ES].base == 0x12340);
	DONE("\xc5\x37"); /* lds (%bx), %si */
	assert_int_equal(vp.registers.gpr[VP_RSI] & 0xffff, 0x1234);
	assert_true(vp.registers.segments[VP_DS].base == 0xf0000);
	DONE("\x0f\x00\x17"); /* lldt: not in real mode */
	expect_fault(6, 0, 0);
}

/* ---- Segments with descriptors ---- */

#define GDT       0x9000u
#define CODE64    0x08
#define DATA      0x10
#define DATA3     0x18
#define READ_ONLY 0x20
#define ABSENT    0x28
#define TSS       0x30 /* two slots */
#define LDT       0x40 /* likewise */
#define EXECUTE   0x50
#define CODE32    0x58
#define GDT_LIMIT 0x5f

static void descriptor(unsigned int selector, uint64_t base, uint32_t limit,
		       unsigned int attributes)
{
	uint64_t value = (limit & 0xffff) | (base & 0xffffff) << 16 |
			 (uint64_t)(attributes & 0xf0ff) << 40 |
			 (uint64_t)(limit >> 16 & 15) << 48 | (base >> 24 & 0xff) << 56;

	memcpy(ram + GDT + selector, &value, 8);
}

static void with_descriptors(void)
{
	descriptor(CODE64, 0, 0xfffff, 0xa09a);
	descriptor(DATA, 0x100, 0xfffff, 0xc092);
	descriptor(DATA3, 0, 0xfffff, 0xc0f3);
	descriptor(READ_ONLY, 0, 0xfffff, 0xc091);
	descriptor(ABSENT, 0, 0xfffff, 0xc013);
	descriptor(TSS, 0xa000, 0x2067, 0x0089);
	descriptor(TSS + 8, 0, 0, 0);
	descriptor(LDT, 0xb000, 0xff, 0x0082);
	descriptor(LDT + 8, 0, 0, 0);
	ram[GDT + LDT + 8] = 0x12; /* the base's upper half */
	descriptor(EXECUTE, 0, 0xfffff, 0xc099);
	descriptor(CODE32, 0, 0xfffff, 0xc09a);
	vp.system.gdtr = (struct vp_table){GDT, GDT_LIMIT};
	vp.registers.gpr[VP_RBX] = 0x5000;
	vp.registers.gpr[VP_RSP] = 0x6000;
}

static void selector_at(uint64_t at, uint16_t selector)
{
	memcpy(ram + at, &selector, 2);
}

static void at_privilege(unsigned int level)
{
	vp.registers.segments[VP_SS].attributes = (uint16_t)(0xc093 | level << 5);
}

static void segment_loads(void **state)
{
	static const struct {
		uint8_t code; /* ModRM of mov (%rbx), sreg */
		uint16_t selector;
		uint8_t level;
		int vector; /* -1: it is loaded */
		uint16_t error;
	} cases[] = {
		{0x1b, DATA, 0, -1, 0},
		{0x03, DATA3, 0, -1, 0},
		{0x03, DATA3 | 3, 3, -1, 0},
		{0x03, DATA | 3, 3, 13, DATA},
		{0x03, DATA, 3, 13, DATA},
		{0x03, DATA | 3, 0, 13, DATA}, /* RPL counts */
		{0x03, READ_ONLY, 0, -1, 0},
		{0x03, ABSENT, 0, 11, ABSENT},
		{0x03, EXECUTE, 0, 13, EXECUTE},
		{0x03, TSS, 0, 13, TSS},
		{0x03, 0x60, 0, 13, 0x60},     /* behind the limit */
		{0x03, 0xfffc, 0, 13, 0xfffc}, /* there is no LDT */
		{0x03, 0, 0, -1, 0},
		{0x13, DATA, 0, -1, 0},
		{0x13, 0, 0, -1, 0}, /* SS may be null in 64-bit mode, but not at 3 */
		{0x13, 3, 3, 13, 0},
		{0x13, 1, 0, 13, 0},
		{0x13, DATA3 | 3, 0, 13, DATA3},
		{0x13, DATA3 | 3, 3, -1, 0},
		{0x13, READ_ONLY, 0, 13, READ_ONLY},
		{0x13, ABSENT, 0, 12, ABSENT},
	};
	static const uint8_t names[] = {VP_ES, VP_CS, VP_SS, VP_DS, VP_FS, VP_GS};

	(void)state;
	with_descriptors();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char code[2] = {'\x8e', (char)cases[i].code};
		unsigned int name = names[cases[i].code >> 3 & 7];
		struct vp_segment before;

		at_privilege(cases[i].level);
		before = vp.registers.segments[name];
		selector_at(0x5000, cases[i].selector);
		vp.registers.rip = 0x100;
		assert_int_equal(run(code, 2), EMULATE_DONE);
		if (cases[i].vector >= 0) {
			expect_fault((unsigned int)cases[i].vector, cases[i].error, 0);
			assert_memory_equal(&vp.registers.segments[name], &before, sizeof(before));
			assert_int_equal(vp.registers.rip, 0x100);
		} else {
			assert_false(vp.injected);
			assert_int_equal(vp.registers.segments[name].selector, cases[i].selector);
			assert_int_equal(vp.registers.rip, 0x102);
		}
	}
	/* The descriptor is taken whole, and marked. */
	at_privilege(0);
	selector_at(0x5000, DATA);
	DONE("\x8e\x1b");
	assert_true(vp.registers.segments[VP_DS].base == 0x100);
	assert_int_equal(vp.registers.segments[VP_DS].limit, 0xffffffff);
	assert_int_equal(vp.registers.segments[VP_DS].attributes, 0xc093);
	assert_int_equal(ram[GDT + DATA + 5], 0x93);
	DONE("\x8e\x0b"); /* CS is not loaded like that */
	assert_true(!vp.injected || vp.vector == VP_EXCEPTION_UD);
	vp.injected = false;
	/* From the stack, which is that of the old segment. */
	selector_at(0x6000, DATA3);
	DONE("\x0f\xa1"); /* pop %fs */
	assert_int_equal(vp.registers.segments[VP_FS].selector, DATA3);
	assert_int_equal(vp.registers.gpr[VP_RSP], 0x6008);
	selector_at(0x6008, ABSENT);
	DONE("\x0f\xa1");
	expect_fault(11, ABSENT, 0);
	assert_int_equal(vp.registers.gpr[VP_RSP], 0x6008);
}

static void far_transfers(void **state)
{
	(void)state;
	with_descriptors();
	memcpy(ram + 0x5000, "\x00\x30\x00\x00\x58\x00", 6); /* to 32-bit code */
	DONE("\xff\x2b");
	assert_int_equal(vp.registers.rip, 0x3000);
	assert_int_equal(vp.registers.segments[VP_CS].selector, CODE32);
	assert_int_equal(vp.registers.segments[VP_CS].attributes, 0xc09b);
	vp.registers.efer = EFER_LONG;
	memcpy(ram + 0x5000, "\x00\x40\x00\x00\x08\x00", 6); /* and back */
	DONE("\xff\x1b");                                    /* lcall */
	assert_int_equal(vp.registers.rip, 0x4000);
	assert_int_equal(vp.registers.segments[VP_CS].attributes, 0xa09b);
	assert_int_equal(vp.registers.gpr[VP_RSP], 0x5ff8);
	assert_memory_equal(ram + 0x5ff8, "\x02\x30\x00\x00\x58\x00\x00\x00", 8);
	DONE("\xcb");
	assert_int_equal(vp.registers.rip, 0x3002);
	assert_int_equal(vp.registers.segments[VP_CS].selector, CODE32);
	/* Nothing but code of this level. */
	selector_at(0x5004, DATA);
	DONE("\xff\x2b");
	expect_fault(13, DATA, 0);
	selector_at(0x5004, 0);
	DONE("\xff\x2b");
	expect_fault(13, 0, 0);
	at_privilege(3);
	selector_at(0x5004, CODE32);
	DONE("\xff\x2b");
	expect_fault(13, CODE32, 0);
	selector_at(0x5004, TSS); /* no task in long mode, and elsewhere none that is supported */
	DONE("\xff\x2b");
	expect_fault(13, TSS, 0);
	descriptor(TSS, 0, 0, 0); /* nothing at all */
	DONE("\xff\x2b");
	expect_fault(13, TSS, 0);
	descriptor(TSS, 0, 0, 0x008c); /* a gate */
	assert_int_equal(RUN("\xff\x2b"), EMULATE_UNSUPPORTED);
	descriptor(TSS, 0, 0, 0x0089);
	vp.registers.efer = 0;
	assert_int_equal(RUN("\xff\x2b"), EMULATE_UNSUPPORTED);
	assert_int_equal(vp.registers.rip, 0x3002);
}

static void system_registers(void **state)
{
	(void)state;
	with_descriptors();
	vp.registers.cr0 = 0x80000011;
	DONE("\x0f\x01\x23"); /* smsw */
	assert_memory_equal(ram + 0x5000, "\x11\x00\x00\x00", 4);
	selector_at(0x5000, 0xfffe); /* lmsw: PE stays */
	DONE("\x0f\x01\x33");
	assert_int_equal(vp.registers.cr0, 0x8000001f);
	selector_at(0x5000, 0);
	DONE("\x0f\x01\x33");
	assert_int_equal(vp.registers.cr0, 0x80000011);
	selector_at(0x5000, TSS);
	DONE("\x0f\x00\x1b"); /* ltr */
	assert_true(vp.system.tr.base == 0xa000);
	assert_int_equal(vp.system.tr.limit, 0x2067);
	assert_int_equal(vp.system.tr.attributes, 0x8b);
	assert_int_equal(ram[GDT + TSS + 5], 0x8b);
	DONE("\x0f\x00\x1b"); /* busy */
	expect_fault(13, TSS, 0);
	selector_at(0x5000, LDT);
	DONE("\x0f\x00\x13"); /* lldt */
	assert_true(vp.system.ldtr.base == 0x120000b000ull);
	DONE("\x0f\x00\x4b\x10"); /* str 0x10(%rbx) */
	assert_memory_equal(ram + 0x5010, "\x30\x00\x00\x00", 4);
	DONE("\x0f\x00\x43\x20"); /* sldt */
	assert_memory_equal(ram + 0x5020, "\x40\x00\x00\x00", 4);
	selector_at(0x5000, DATA);
	DONE("\x0f\x00\x13");
	expect_fault(13, DATA, 0);
	descriptor(CODE32, 0, 0, 0x0082); /* its second half would lie behind the table */
	selector_at(0x5000, CODE32);
	DONE("\x0f\x00\x13");
	expect_fault(13, CODE32, 0);
	selector_at(0x5000, 0);
	DONE("\x0f\x00\x1b");
	expect_fault(13, 0, 0);
	DONE("\x0f\x00\x13"); /* no LDT at all is one */
	assert_int_equal(vp.system.ldtr.attributes, 0);
	DONE("\x0f\x01\x43\x30"); /* sgdt */
	assert_memory_equal(ram + 0x5030, "\x5f\x00\x00\x90\x00\x00\x00\x00\x00\x00", 10);
	memcpy(ram + 0x5040, "\xff\x0f\x00\x10\x20\x30\x40\x50\x00\x00", 10);
	DONE("\x0f\x01\x5b\x40"); /* lidt */
	assert_int_equal(vp.system.idtr.limit, 0xfff);
	assert_true(vp.system.idtr.base == 0x504030201000ull);
	/* By a program: not to be set; to be seen unless the system says otherwise. */
	at_privilege(3);
	vp.registers.rip = 0x100;
	DONE("\x0f\x01\x33");
	expect_fault(13, 0, 0);
	DONE("\x0f\x00\x1b");
	expect_fault(13, 0, 0);
	DONE("\x0f\x00\x13");
	expect_fault(13, 0, 0);
	DONE("\x0f\x01\x5b\x40");
	expect_fault(13, 0, 0);
	DONE("\x0f\x01\x53\x40");
	expect_fault(13, 0, 0);
	assert_int_equal(vp.registers.rip, 0x100);
	DONE("\x0f\x01\x23");
	assert_false(vp.injected);
	vp.registers.cr4 = 0x800;
	DONE("\x0f\x01\x23");
	expect_fault(13, 0, 0);
	DONE("\x0f\x01\x43\x30");
	expect_fault(13, 0, 0);
}

/* Which of the flags a program changes is not for it alone to say. */
static void popped_flags(void **state)
{
	(void)state;
	with_descriptors();
	memset(ram + 0x6000, 0xff, 8);
	at_privilege(3);
	vp.registers.rflags = 0x2;
	DONE("\x9d");
	assert_true((vp.registers.rflags & (FLAG_IF | FLAG_IOPL | FLAG_VM | FLAG_RF)) == 0);
	assert_true((vp.registers.rflags & ARITHMETIC) == ARITHMETIC);
	assert_false(vp.injected); /* TF was not set before */
	vp.registers.rflags = 0x3002;
	vp.registers.gpr[VP_RSP] = 0x6000;
	DONE("\x9d");
	assert_true((vp.registers.rflags & (FLAG_IF | FLAG_IOPL)) == (FLAG_IF | FLAG_IOPL));
	at_privilege(0);
	vp.registers.rflags = 0x2;
	vp.registers.gpr[VP_RSP] = 0x6000;
	DONE("\x9d");
	assert_true((vp.registers.rflags & (FLAG_IF | FLAG_IOPL)) == (FLAG_IF | FLAG_IOPL));
	assert_true((vp.registers.rflags & (FLAG_VM | FLAG_RF)) == 0);
}

/* ---- Ports of programs ---- */

static void ports_by_privilege(void **state)
{
	(void)state;
	with_descriptors();
	vp.system.tr = (struct vp_segment){.base = 0xa000, .limit = 0x2067, .attributes = 0x8b};
	selector_at(0xa000 + 102, 0x68);
	memset(ram + 0xa068, 0xff, 0x2000);
	memcpy(ram + 0x5000, "hey", 3);
	vp.registers.gpr[VP_RSI] = 0x5000;
	vp.registers.gpr[VP_RDX] = 0x3f8;
	vp.registers.gpr[VP_RCX] = 3;
	vp.registers.rip = 0x100;
	at_privilege(3);
	DONE("\xf3\x6e");
	expect_fault(13, 0, 0);
	assert_int_equal(home.out_count, 0);
	assert_int_equal(vp.registers.gpr[VP_RCX], 3);
	ram[0xa068 + 0x7f] = 0xfe; /* this port alone */
	DONE("\xf3\x6e");
	assert_int_equal(home.out_count, 3);
	DONE("\x66\x6f"); /* of two ports it has one */
	expect_fault(13, 0, 0);
	DONE("\x6c"); /* and for reading too */
	assert_false(vp.injected);
	vp.system.tr.limit = 0x68 + 0x7f; /* the map ends in the middle */
	DONE("\x6c");
	expect_fault(13, 0, 0);
	vp.system.tr.limit = 0x2067;
	vp.system.tr.attributes = 0x83; /* the TSS of a 80286 has none */
	DONE("\x6c");
	expect_fault(13, 0, 0);
	vp.system.tr.attributes = 0;
	DONE("\x6c");
	expect_fault(13, 0, 0);
	vp.registers.rflags |= FLAG_IOPL;
	DONE("\x6c");
	assert_false(vp.injected);
	at_privilege(0);
	vp.registers.rflags = 2;
	DONE("\x6c");
	assert_false(vp.injected);
	/* Virtual 8086 mode has the map only, whatever IOPL is. */
	vp.registers.efer = 0;
	vp.registers.rflags = 2 | FLAG_VM | FLAG_IOPL;
	DONE("\x6c");
	expect_fault(13, 0, 0);
}

/* The right to read that made the processor give up is no right to write. */
static void a_read_only_page_is_not_written(void **state)
{
	struct vp_exit exit = {.kind = VP_EXIT_INSTRUCTION,
			       .instruction = {.bytes = {0xa5},
					       .byte_count = 1,
					       .gpa_valid = true,
					       .gva_valid = true,
					       .gva = 0x7010,
					       .gpa = 0x7010}};

	(void)state;
	vp.missing = 0x7000;
	vp.read_only = true;
	vp.registers.gpr[VP_RSI] = 0x7010;
	vp.registers.gpr[VP_RDI] = 0x7020;
	memcpy(ram + 0x7010, "abcd", 4);
	assert_int_equal(emulate(&vp, &board, &memory, &cache, &exit), EMULATE_DONE);
	expect_fault(14, 3, 0x7020);
	assert_int_equal(ram[0x7020], 0);
	exit.instruction.write = true;
	assert_int_equal(emulate(&vp, &board, &memory, &cache, &exit), EMULATE_DONE);
	assert_false(vp.injected);
	assert_memory_equal(ram + 0x7020, "abcd", 4);
}

static void segments_are_for_something(void **state)
{
	(void)state;
	protected_mode(0xc09b);
	vp.registers.gpr[VP_RBX] = 0x5000;
	vp.registers.segments[VP_DS].attributes = 0xc091; /* to be read */
	DONE("\x8b\x03");
	assert_false(vp.injected);
	DONE("\x89\x03");
	expect_fault(13, 0, 0);
	DONE("\x2e\x89\x03"); /* code is never written */
	expect_fault(13, 0, 0);
	DONE("\x2e\x8b\x03");
	assert_false(vp.injected);
	vp.registers.segments[VP_CS].attributes = 0xc099; /* to be executed alone */
	DONE("\x2e\x8b\x03");
	expect_fault(13, 0, 0);
	vp.registers.segments[VP_DS] = (struct vp_segment){.selector = 3}; /* null */
	DONE("\x8b\x03");
	expect_fault(13, 0, 0);
	/* Downwards: to the end of 16 or 32 bits. */
	vp.registers.segments[VP_DS] = (struct vp_segment){.limit = 0xfff, .attributes = 0x0097};
	vp.registers.gpr[VP_RBX] = 0xfffc;
	DONE("\x8b\x03");
	assert_false(vp.injected);
	vp.registers.gpr[VP_RBX] = 0xfffd;
	DONE("\x8b\x03");
	expect_fault(13, 0, 0);
	/* Linear addresses have 32 bits: over the end it goes on at 0. */
	vp.registers.segments[VP_DS] =
		(struct vp_segment){.base = 0xfffff000, .limit = 0xffff, .attributes = 0x4093};
	vp.registers.gpr[VP_RBX] = 0x1010;
	memcpy(ram + 0x10, "wrap", 4);
	DONE("\x8b\x03");
	assert_memory_equal(&vp.registers.gpr[VP_RAX], "wrap", 4);
}

static void trap_and_stack_segment(void **state)
{
	(void)state;
	with_descriptors();
	selector_at(0x5000, DATA);
	vp.registers.rflags |= FLAG_TF;
	DONE("\x8e\x1b");
	expect_fault(VP_EXCEPTION_DB, 0, 0);
	vp.registers.rflags |= FLAG_RF;
	DONE("\x8e\x13"); /* none behind a load of SS */
	assert_false(vp.registers.rflags & FLAG_RF);
	assert_false(vp.injected);
	memset(ram + 0x6000, 0, 8);
	DONE("\x9d"); /* POPF that clears TF is still traced */
	expect_fault(VP_EXCEPTION_DB, 0, 0);
}

/* ---- Bytes ---- */

static void bytes_are_fetched_when_none_came(void **state)
{
	struct vp_exit exit = {.kind = VP_EXIT_INSTRUCTION};

	(void)state;
	vp.registers.rip = 0xfffe;
	vp.registers.gpr[VP_RBX] = 0x5000;
	memcpy(ram + 0xfffe, "\xc7\x03\x78\x56\x34\x12", 6); /* over the end of a page */
	assert_int_equal(emulate(&vp, &board, &memory, &cache, &exit), EMULATE_DONE);
	assert_memory_equal(ram + 0x5000, "\x78\x56\x34\x12", 4);
	assert_int_equal(vp.registers.rip, 0x10004);
	/* The next page is not there, and is not needed. */
	vp.registers.rip = 0xffff - 1;
	memcpy(ram + 0xfffe, "\x8b\x03", 2);
	vp.missing = 0x10000;
	assert_int_equal(emulate(&vp, &board, &memory, &cache, &exit), EMULATE_DONE);
	assert_int_equal(vp.registers.gpr[VP_RAX], 0x12345678);
}

static void too_few_bytes_are_completed(void **state)
{
	(void)state;
	vp.registers.rip = 0x8000;
	vp.registers.gpr[VP_RBX] = 0x5000;
	memcpy(ram + 0x8000, "\xc7\x03\x78\x56\x34\x12", 6);
	assert_int_equal(run("\xc7\x03\x78", 3), EMULATE_DONE);
	assert_memory_equal(ram + 0x5000, "\x78\x56\x34\x12", 4);
}

/* What is not there is not taken for the zeros of an instruction that was there whole. */
static void too_few_bytes_are_no_other_instruction(void **state)
{
	(void)state;
	vp.registers.gpr[VP_RBX] = 0x5000;
	DONE("\xc7\x03\x00\x00\x00\x00");
	vp.registers.rip = 0x8000;
	memcpy(ram + 0x8000, "\xc7\x03\x78\x56\x34\x12", 6);
	assert_int_equal(run("\xc7\x03", 2), EMULATE_DONE);
	assert_memory_equal(ram + 0x5000, "\x78\x56\x34\x12", 4);
}

static void the_same_bytes_in_another_mode(void **state)
{
	(void)state;
	vp.registers.gpr[VP_RBX] = 0x5000;
	vp.registers.gpr[VP_RAX] = 0x1122334455667788ull;
	DONE("\x48\x89\x03"); /* mov %rax, (%rbx) */
	protected_mode(0xc09b);
	vp.registers.rip = 0;
	DONE("\x48\x89\x03"); /* dec %eax, and more bytes */
	assert_int_equal(vp.registers.gpr[VP_RAX], 0x55667787);
	assert_int_equal(vp.registers.rip, 1);
}

/* They may hold what another program left there. */
static void vector_registers_that_are_not_to_be_used(void **state)
{
	static const struct {
		uint64_t cr0;
		unsigned int vector;
	} cases[] = {{0x8, 7}, {0x4, 6}, {0xc, 6}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		long_mode();
		vp.registers.gpr[VP_RBX] = 0x5000;
		vp.registers.cr0 |= cases[i].cr0;
		memset(vp.xmm[0], 0x55, 16);
		memset(vp.mmx[0], 0x55, 8);
		DONE("\xf3\x0f\x7f\x03"); /* movdqu %xmm0, (%rbx) */
		expect_fault(cases[i].vector, 0, 0);
		DONE("\x0f\x6f\x03"); /* movq (%rbx), %mm0 */
		expect_fault(cases[i].vector, 0, 0);
		assert_int_equal(ram[0x5000], 0);
		assert_int_equal(vp.mmx[0][0], 0x55);
		assert_int_equal(vp.registers.rip, 0);
	}
}

static void what_is_refused(void **state)
{
	(void)state;
	memset(ram, 0xff, 64);
	assert_int_equal(RUN("\x0f\x0b"), EMULATE_UNSUPPORTED);         /* ud2 */
	assert_int_equal(RUN("\x0f\xff"), EMULATE_UNSUPPORTED);         /* no instruction */
	assert_int_equal(RUN("\xf4"), EMULATE_UNSUPPORTED);             /* hlt */
	assert_int_equal(RUN("\xd9\x03"), EMULATE_UNSUPPORTED);         /* fld (%rbx) */
	assert_int_equal(RUN("\xc5\xfe\x6f\x03"), EMULATE_UNSUPPORTED); /* vmovdqu (%rbx), %ymm0 */
	assert_false(vp.injected);
	assert_int_equal(vp.registers.rip, 0);
}

static void a_backend_that_fails(void **state)
{
	(void)state;
	vp.broken = true;
	assert_int_equal(RUN("\x8b\x03"), EMULATE_FAILED);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(as_the_processor),
		T(bits_by_register),
		T(strings),
		T(push_and_pop),
		T(quotients),
		T(quotients_that_do_not_fit),
		T(pairs),
		T(vector_moves),
		T(device_memory_is_the_board),
		T(between_device_and_ram),
		T(the_exits_own_translation_is_used),
		T(the_operand_that_stopped_it_is_found),
		T(strings_to_and_from_ports),
		T(a_string_translates_by_pages),
		T(a_long_repeat_comes_in_steps),
		T(a_missing_page_is_the_guests_fault),
		T(a_single_step_traps),
		T(a_string_stops_at_the_fault),
		T(a_port_is_not_read_for_nothing),
		T(noncanonical_addresses),
		T(segments_count_in_32_bit),
		T(addresses_wrap_in_16_bit),
		T(fs_and_gs_count_in_64_bit),
		T(rip_relative),
		T(near_transfers),
		T(transfers_in_old_modes),
		T(segment_loads),
		T(far_transfers),
		T(system_registers),
		T(popped_flags),
		T(ports_by_privilege),
		T(a_read_only_page_is_not_written),
		T(segments_are_for_something),
		T(trap_and_stack_segment),
		T(absolute_moves),
		T(bytes_are_fetched_when_none_came),
		T(too_few_bytes_are_completed),
		T(too_few_bytes_are_no_other_instruction),
		T(the_same_bytes_in_another_mode),
		T(vector_registers_that_are_not_to_be_used),
		T(what_is_refused),
		T(a_backend_that_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
