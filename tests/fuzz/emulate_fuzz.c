/*
 * The instruction emulator beside the processor: an instruction of the table below, with prefixes,
 * operands, registers, flags and memory that the input chooses, is run by both. Registers, the
 * flags that are defined, and memory must be the same.
 *
 * The processor runs it in this process, so the table has what stays within its operands; where the
 * emulator raises an exception or knows no such instruction the processor is not asked. Everything
 * else (modes, faults, devices, system instructions) is exit_fuzz's.
 */
#include <string.h>

#include "devices/board.h"
#include "tests/fake/backend.h"
#include "tests/fake/native.h"
#include "tests/fuzz/fuzz.h"
#include "worker/alu.h"
#include "worker/emulate.h"

#define RAM  65536u
#define AREA 256

struct host;
extern struct host home;
void fake_host_init(struct host *host);

/* What follows the opcode */
#define NO_IMMEDIATE 0
#define BYTE         1
#define OPERAND      99 /* of the operand's size, 4 bytes at most */

#define SHIFT   (FLAG_OF | FLAG_AF)
#define PRODUCT (FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF)
#define SEARCH  (FLAGS_ARITHMETIC & ~(FLAG_ZF | FLAG_CF))
#define BITS    (FLAG_PF | FLAG_AF | FLAG_SF | FLAG_OF)

struct form {
	const char *opcode; /* a mandatory prefix first */
	uint8_t length;
	uint8_t regs; /* of ModRM's reg field, those that belong here, a bit each */
	uint8_t immediate;
	uint32_t undefined; /* flags */
	bool plain; /* the operand is aligned, and has no size prefix: for vectors, and where one of
		     * 16 bits has no meaning */
};

#define ANY      0xff
#define F(bytes) bytes, sizeof(bytes) - 1

/* clang-format off */
static const struct form forms[] = {
	{F("\x80"),         ANY,  BYTE,         FLAG_AF, false},
	{F("\x81"),         ANY,  OPERAND,      FLAG_AF, false},
	{F("\x83"),         ANY,  BYTE,         FLAG_AF, false},
	{F("\x63"),         ANY,  NO_IMMEDIATE, 0,       false},
	{F("\x69"),         ANY,  OPERAND,      PRODUCT, false},
	{F("\x6b"),         ANY,  BYTE,         PRODUCT, false},
	{F("\xc0"),         0xbf, BYTE,         SHIFT,   false},
	{F("\xc1"),         0xbf, BYTE,         SHIFT,   false},
	{F("\xd0"),         0xbf, NO_IMMEDIATE, FLAG_AF, false},
	{F("\xd1"),         0xbf, NO_IMMEDIATE, FLAG_AF, false},
	{F("\xd2"),         0xbf, NO_IMMEDIATE, SHIFT,   false},
	{F("\xd3"),         0xbf, NO_IMMEDIATE, SHIFT,   false},
	{F("\xc6"),         0x01, BYTE,         0,       false},
	{F("\xc7"),         0x01, OPERAND,      0,       false},
	{F("\xf6"),         0x01, BYTE,         FLAG_AF, false},
	{F("\xf7"),         0x01, OPERAND,      FLAG_AF, false},
	{F("\xf6"),         0x0c, NO_IMMEDIATE, 0,       false},
	{F("\xf7"),         0x0c, NO_IMMEDIATE, 0,       false},
	{F("\xf6"),         0x30, NO_IMMEDIATE, PRODUCT, false},
	{F("\xf7"),         0x30, NO_IMMEDIATE, PRODUCT, false},
	{F("\xf6"),         0xc0, NO_IMMEDIATE, FLAGS_ARITHMETIC, false},
	{F("\xf7"),         0xc0, NO_IMMEDIATE, FLAGS_ARITHMETIC, false},
	{F("\xfe"),         0x03, NO_IMMEDIATE, 0,       false},
	{F("\xff"),         0x43, NO_IMMEDIATE, 0,       false},
	{F("\x8f"),         0x01, NO_IMMEDIATE, 0,       false},
	{F("\x0f\xa4"),     ANY,  BYTE,         SHIFT,   true},
	{F("\x0f\xa5"),     ANY,  NO_IMMEDIATE, SHIFT,   true},
	{F("\x0f\xac"),     ANY,  BYTE,         SHIFT,   true},
	{F("\x0f\xad"),     ANY,  NO_IMMEDIATE, SHIFT,   true},
	{F("\x0f\xbc"),     ANY,  NO_IMMEDIATE, SEARCH | FLAG_CF, false},
	{F("\x0f\xbd"),     ANY,  NO_IMMEDIATE, SEARCH | FLAG_CF, false},
	{F("\x0f\xaf"),     ANY,  NO_IMMEDIATE, PRODUCT, false},
	{F("\x0f\xb0"),     ANY,  NO_IMMEDIATE, 0,       false},
	{F("\x0f\xb1"),     ANY,  NO_IMMEDIATE, 0,       false},
	{F("\x0f\xb6"),     ANY,  NO_IMMEDIATE, 0,       false},
	{F("\x0f\xb7"),     ANY,  NO_IMMEDIATE, 0,       false},
	{F("\x0f\xbe"),     ANY,  NO_IMMEDIATE, 0,       false},
	{F("\x0f\xbf"),     ANY,  NO_IMMEDIATE, 0,       false},
	{F("\x0f\xba"),     0xf0, BYTE,         BITS,    false},
	{F("\x0f\xc0"),     ANY,  NO_IMMEDIATE, 0,       false},
	{F("\x0f\xc1"),     ANY,  NO_IMMEDIATE, 0,       false},
	{F("\x0f\xc7"),     0x02, NO_IMMEDIATE, 0,       true},
	{F("\x0f\x38\xf0"), ANY,  NO_IMMEDIATE, 0,       false},
	{F("\x0f\x38\xf1"), ANY,  NO_IMMEDIATE, 0,       false},
	{F("\xf3\x0f\xb8"), ANY,  NO_IMMEDIATE, 0,       false},
	{F("\xf3\x0f\xbc"), ANY,  NO_IMMEDIATE, SEARCH,  false},
	{F("\xf3\x0f\xbd"), ANY,  NO_IMMEDIATE, SEARCH,  false},
	{F("\x0f\x10"),     0x01, NO_IMMEDIATE, 0,       true},
	{F("\x0f\x11"),     0x01, NO_IMMEDIATE, 0,       true},
	{F("\x0f\x12"),     0x01, NO_IMMEDIATE, 0,       true},
	{F("\x0f\x13"),     0x01, NO_IMMEDIATE, 0,       true},
	{F("\x0f\x16"),     0x01, NO_IMMEDIATE, 0,       true},
	{F("\x0f\x17"),     0x01, NO_IMMEDIATE, 0,       true},
	{F("\xf3\x0f\x10"), 0x01, NO_IMMEDIATE, 0,       true},
	{F("\xf2\x0f\x10"), 0x01, NO_IMMEDIATE, 0,       true},
	{F("\x66\x0f\x6f"), 0x01, NO_IMMEDIATE, 0,       true},
	{F("\xf3\x0f\x7f"), 0x01, NO_IMMEDIATE, 0,       true},
	{F("\x0f\x6e"),     0x01, NO_IMMEDIATE, 0,       true},
	{F("\x0f\x7f"),     0x01, NO_IMMEDIATE, 0,       true},
};
/* clang-format on */

static struct board board;
static struct backend_vp vp;
static struct emulate_cache cache;
static uint8_t ram[RAM];

static uint64_t number(void)
{
	unsigned int kind = fuzz_byte() % 4;
	uint64_t value = 0;

	for (unsigned int i = 0; i < 8; i++) {
		value = value << 8 | fuzz_byte();
	}
	return kind == 0   ? value
	       : kind == 1 ? value >> 56
	       : kind == 2 ? (uint64_t)((int64_t)value >> 56)
			   : 1ull << (value & 63);
}

/* ADD to CMP, TEST, XCHG, MOV, CMOVcc, SETcc. */
static unsigned int common_opcode(uint8_t *to, uint32_t *undefined)
{
	static const uint8_t more[] = {0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b};
	unsigned int choice = fuzz_byte();

	*undefined = FLAG_AF;
	if (choice < 128) {
		to[0] = (uint8_t)((choice & 7) << 3 | (choice >> 3 & 3));
	} else if (choice < 192) {
		to[0] = more[choice & 7];
	} else {
		to[0] = 0x0f;
		to[1] = (uint8_t)((choice & 0x10 ? 0x90 : 0x40) | (choice & 15));
		return 2;
	}
	return 1;
}

static unsigned int encode(uint8_t code[24], uint32_t *undefined, bool *plain)
{
	const struct form *form = &forms[fuzz_byte() % ARRAY_COUNT(forms)];
	bool common = fuzz_byte() % 3 == 0, wide, word;
	uint8_t opcode[4], rex = fuzz_byte(), reg = fuzz_byte() & 7;
	unsigned int length = 0, opcode_length = form->length, immediate = form->immediate, at = 0;

	*plain = !common && form->plain;
	*undefined = form->undefined;
	if (common) {
		opcode_length = common_opcode(opcode, undefined);
		immediate = NO_IMMEDIATE;
	} else {
		memcpy(opcode, form->opcode, form->length);
		while (!(form->regs >> reg & 1)) {
			reg = (reg + 1) & 7;
		}
	}
	word = !*plain && fuzz_byte() % 4 == 0;
	if (word) {
		code[length++] = 0x66;
	}
	if (opcode[0] == 0x66 || opcode[0] == 0xf2 || opcode[0] == 0xf3) {
		code[length++] = opcode[at++];
	}
	/* REX.W, and R for the upper registers; plain ones have the lower. */
	rex &= *plain ? 0x08 : form->regs == ANY || common ? 0x0c : 0x08;
	wide = rex & 8;
	if (rex != 0) {
		code[length++] = 0x40 | rex;
	}
	while (at < opcode_length) {
		code[length++] = opcode[at++];
	}
	/* The stack's register is one with a meaning here. */
	if ((common || form->regs == ANY) && !(rex & 4) && reg == VP_RSP) {
		reg = VP_RDX;
	}
	code[length++] = (uint8_t)(0x43 | reg << 3); /* disp8(%rbx) */
	code[length++] = *plain ? 0 : fuzz_byte() & 15;
	if (immediate == OPERAND) {
		immediate = wide ? 4 : word ? 2 : 4;
	}
	while (immediate-- != 0) {
		code[length++] = fuzz_byte();
	}
	return length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t area[AREA] __attribute__((aligned(4096)));
	static _Atomic uint32_t users[RAM / MEMORY_PAGE];
	_Atomic uint64_t dirty[1] = {0};
	struct memory memory = {.base = ram,
				.size = RAM,
				.low_end = RAM,
				.high_end = MEMORY_4G,
				.users = users,
				.log = dirty,
				.log_is_kept = true};
	struct vp_exit exit = {.kind = VP_EXIT_INSTRUCTION};
	struct native native = {0};
	uint8_t code[24] = {0};
	uint32_t undefined;
	unsigned int length;
	bool plain;

	fuzz_begin(data, size);
	fake_host_init(&home);
	memset(&vp, 0, sizeof(vp));
	length = encode(code, &undefined, &plain);
	for (unsigned int i = 0; i < 16; i++) {
		native.gpr[i] = number();
	}
	for (unsigned int i = 0; i < AREA; i++) {
		area[i] = fuzz_byte();
	}
	native.rflags = 0x202 | (number() & FLAGS_ARITHMETIC);
	native.xmm0[0] = number();
	native.xmm0[1] = number();
	native.mm0 = number();
	native.gpr[VP_RBX] = (uintptr_t)area + 64;
	native.gpr[VP_RSP] = (uintptr_t)area + 192;
	vp.registers.cr0 = 0x80000001;
	vp.registers.efer = 0x500;
	vp.registers.segments[VP_CS].attributes = 0xa09b;
	vp.registers.rip = 0x12345678;
	memcpy(vp.registers.gpr, native.gpr, sizeof(native.gpr));
	vp.registers.rflags = native.rflags;
	memcpy(vp.xmm[0], native.xmm0, 16);
	memcpy(vp.mmx[0], &native.mm0, 8);
	vp.linear_base = (uintptr_t)area;
	vp.gpa_base = 0x1000;
	memcpy(ram + 0x1000, area, AREA);
	exit.instruction.byte_count = (uint8_t)(length < 15 ? length : 15);
	memcpy(exit.instruction.bytes, code, exit.instruction.byte_count);
	memset(&cache, 0, sizeof(cache));
	if (emulate(&vp, &board, &memory, &cache, &exit) != EMULATE_DONE || vp.injected) {
		EXPECT(memcmp(area, ram + 0x1000, AREA) == 0);
		EXPECT(vp.registers.rip == 0x12345678);
		return 0;
	}
	EXPECT(users[1] == 0);
	EXPECT((dirty[0] & 2) != 0 || memcmp(area, ram + 0x1000, AREA) == 0);
	native_run(&native, code, length);
	EXPECT(vp.registers.rip == 0x12345678 + length);
	EXPECT(memcmp(vp.registers.gpr, native.gpr, sizeof(native.gpr)) == 0);
	EXPECT(((vp.registers.rflags ^ native.rflags) & FLAGS_ARITHMETIC & ~undefined) == 0);
	EXPECT(memcmp(vp.xmm[0], native.xmm0, 16) == 0);
	EXPECT(memcmp(vp.mmx[0], &native.mm0, 8) == 0);
	EXPECT(memcmp(ram + 0x1000, area, AREA) == 0);
	return 0;
}
