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
#define ARITHMETIC (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

static uint8_t *ram; /* the guest's, from address 0 */
static struct memory memory;
static struct vp vp;
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
	memory = (struct memory){.base = ram, .size = RAM, .low_end = RAM, .high_end = MEMORY_4G};
	long_mode();
	return 0;
}

static int teardown(void **state)
{
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
	if (quad || reg >= 8) {
		to[length++] = (uint8_t)(0x40 | (quad ? 8 : 0) | (reg >= 8 ? 4 : 0));
		size = quad && !form->byte ? 8 : size;
	}
	for (opcode = 0; opcode < form->length; opcode++) {
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
	assert_int_equal(emulate(&vp, &board, &memory, &cache, &exit), EMULATE_DONE);
	assert_false(vp.injected);
	native_run(state, code, length);
	for (i = 0; i < 16; i++) {
		assert_true(vp.registers.gpr[i] == state->gpr[i]);
	}
	assert_memory_equal(vp.xmm[0], state->xmm0, 16);
	assert_true(((vp.registers.rflags ^ state->rflags) & ARITHMETIC & ~undefined) == 0);
	assert_memory_equal(ram + 0x1000, area, AREA);
	assert_true(vp.registers.rip == 0x1234567800ull + length);
}

static void as_the_processor(void **state)
{
	static _Alignas(64) uint8_t area[AREA];
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
	static _Alignas(64) uint8_t area[AREA];
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
	static _Alignas(64) uint8_t area[AREA];
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
	static _Alignas(64) uint8_t area[AREA];
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
	}
}

static void vector_moves(void **state)
{
	static const char *const codes[] = {
		"\x0f\x10\x03",     "\x0f\x11\x03",     "\x66\x0f\x6f\x03", "\x66\x0f\x7f\x03",
		"\xf3\x0f\x6f\x03", "\xf3\x0f\x7f\x03", "\x66\x0f\x6e\x03", "\x66\x0f\x7e\x03",
		"\xf3\x0f\x7e\x03", "\x66\x0f\xd6\x03", "\x66\x0f\xe7\x03", "\x0f\x28\x03"};
	static _Alignas(64) uint8_t area[AREA];
	unsigned int i;

	(void)state;
	for (i = 0; i < 1200; i++) {
		struct native native = {0};
		const char *code = codes[i % 12];

		random_state(&native, area);
		native.xmm0[0] = random64();
		native.xmm0[1] = random64();
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

/* EFLAGS.TF: the debug trap comes when the instruction is over, a fault of the instruction's own instead of it. */
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

static void what_is_refused(void **state)
{
	(void)state;
	memset(ram, 0xff, 64);
	assert_int_equal(RUN("\x0f\x0b"), EMULATE_UNSUPPORTED);         /* ud2 */
	assert_int_equal(RUN("\x0f\xff"), EMULATE_UNSUPPORTED);         /* no instruction */
	assert_int_equal(RUN("\xf4"), EMULATE_UNSUPPORTED);             /* hlt */
	assert_int_equal(RUN("\xd9\x03"), EMULATE_UNSUPPORTED);         /* fld (%rbx) */
	assert_int_equal(RUN("\xc5\xfe\x6f\x03"), EMULATE_UNSUPPORTED); /* vmovdqu (%rbx), %ymm0 */
	assert_int_equal(RUN("\x0f\x6f\x03"), EMULATE_UNSUPPORTED);     /* movq (%rbx), %mm0 */
	assert_int_equal(RUN("\x8e\x1b"), EMULATE_UNSUPPORTED);         /* mov (%rbx), %ds */
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
		T(vector_moves),
		T(device_memory_is_the_board),
		T(between_device_and_ram),
		T(the_exits_own_translation_is_used),
		T(the_operand_that_stopped_it_is_found),
		T(strings_to_and_from_ports),
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
		T(absolute_moves),
		T(bytes_are_fetched_when_none_came),
		T(too_few_bytes_are_completed),
		T(the_same_bytes_in_another_mode),
		T(what_is_refused),
		T(a_backend_that_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
