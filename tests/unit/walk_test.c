/*
 * hypervisor/arch/x86/walk.c and insn.c: what a guest's page tables and its bytes at RIP mean, in
 * every mode. Both read what a guest may change at any time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/insn.h"
#include "hypervisor/arch/x86/vendor.h"
#include "hypervisor/arch/x86/walk.h"
#include "hypervisor/gpa_table.h"
#include "hypervisor/home.h"
#include "hypervisor/memory.h"

#define PAGES    16u
#define PRESENT  1ull
#define WRITE    2ull
#define USER     4ull
#define ACCESSED 0x20ull
#define DIRTY    0x40ull
#define LARGE    0x80ull
#define NX       (1ull << 63)
#define ALL      (PRESENT | WRITE | USER)

static uint8_t ram[PAGES][PAGE_SIZE];
static bool read_only[PAGES];
static struct partition partition;
static struct vp vp = {.partition = &partition};
static struct vcpu vcpu = {.vp = &vp};
static uint64_t cr0, cr3, cr4, efer;
static unsigned int bits;

_Noreturn void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}

uint64_t gpa_removals;

void memory_lock_shared(void)
{
}

void memory_unlock_shared(void)
{
}

const void *gpa_read(struct partition *p, gpa_t gpa, void *to, uint32_t size)
{
	(void)p;
	if (gpa.v >= sizeof(ram) || size > sizeof(ram) - gpa.v) {
		return NULL;
	}
	return memcpy(to, &ram[0][0] + gpa.v, size) != NULL ? &ram[0][0] + gpa.v : NULL;
}

bool plat_gpa_read(struct partition *p, gpa_t gpa, void *to, uint32_t size)
{
	return gpa_read(p, gpa, to, size) != NULL;
}

/* Another VP, which does something to the tables just before an entry is marked. */
static void (*other_vp)(void);

enum gpa_exchange gpa_exchange(struct partition *p, gpa_t gpa, uint64_t expected, uint64_t value,
			       uint32_t size)
{
	(void)p;
	assert_int_equal(gpa.v % size, 0);
	if (gpa.v >= sizeof(ram) || read_only[gpa.v >> PAGE_SHIFT]) {
		return GPA_EXCHANGE_ACCESS;
	}
	if (other_vp != NULL) {
		other_vp();
	}
	if (memcmp(&ram[0][0] + gpa.v, &expected, size)) {
		return GPA_EXCHANGE_OTHER;
	}
	memcpy(&ram[0][0] + gpa.v, &value, size);
	return GPA_EXCHANGE_DONE;
}

uint64_t vendor_get_cr(const struct vcpu *v, unsigned int index)
{
	(void)v;
	return index == 0 ? cr0 : index == 3 ? cr3 : cr4;
}

uint64_t vendor_get_efer(const struct vcpu *v)
{
	(void)v;
	return efer;
}

uint64_t vendor_linear_rip(const struct vcpu *v)
{
	return v->rip;
}

unsigned int vendor_code_bits(const struct vcpu *v)
{
	(void)v;
	return bits;
}

const void *gpa_peek(struct partition *p, uint64_t gpn)
{
	(void)p;
	return gpn < PAGES ? ram[gpn] : NULL;
}

uint64_t gpa_generation(const struct partition *p)
{
	(void)p;
	return 1;
}

static int setup(void **state)
{
	(void)state;
	memset(ram, 0, sizeof(ram));
	memset(read_only, 0, sizeof(read_only));
	memset(vcpu.code, 0, sizeof(vcpu.code));
	vcpu.rip = 0;
	cr0 = CR0_PE;
	cr3 = cr4 = efer = 0;
	bits = 64;
	other_vp = NULL;
	return 0;
}

static void set8(uint64_t table, unsigned int index, uint64_t entry)
{
	memcpy(&ram[table][index * 8], &entry, 8);
}

static uint64_t get8(uint64_t table, unsigned int index)
{
	uint64_t entry;

	memcpy(&entry, &ram[table][index * 8], 8);
	return entry;
}

static void set4(uint64_t table, unsigned int index, uint32_t entry)
{
	memcpy(&ram[table][index * 4], &entry, 4);
}

static uint32_t error;

static uint32_t walk(uint64_t gva, uint32_t access, uint64_t *gpa)
{
	gpa_t found = {0};
	uint32_t code;

	error = 0;
	code = walk_gva(&vcpu, (gva_t){gva}, access, &found, &error);
	*gpa = found.v;
	return code;
}

static void expect(uint64_t gva, uint32_t access, uint64_t wanted)
{
	uint64_t gpa;

	assert_int_equal(walk(gva, access, &gpa), HV_TRANSLATE_GVA_SUCCESS);
	assert_int_equal(gpa, wanted);
}

static void expect_fault(uint64_t gva, uint32_t access, uint32_t code, uint32_t wanted_error)
{
	uint64_t gpa;

	assert_int_equal(walk(gva, access, &gpa), code);
	assert_int_equal(error, wanted_error);
}

/* Tables of `levels` in pages 1, 2 …, all at index 3, one page below the last: 0xabc000. */
static void long_mode(unsigned int levels, uint64_t rights)
{
	cr0 = CR0_PE | CR0_PG | CR0_WP;
	efer = EFER_LME | EFER_LMA | EFER_NXE;
	cr4 = CR4_PAE | (levels == 5 ? CR4_LA57 : 0);
	cr3 = 1 << PAGE_SHIFT;
	for (unsigned int i = 1; i < levels; i++) {
		set8(i, 3, (uint64_t)(i + 1) << PAGE_SHIFT | ALL);
	}
	set8(levels, 3, 0xabc000 | rights);
}

#define AT_3_4 (3ull << 39 | 3ull << 30 | 3ull << 21 | 3ull << 12)
#define AT_3_5 (3ull << 48 | AT_3_4)

static void without_paging_addresses_are_what_they_are(void **state)
{
	(void)state;
	expect(0x12345678, WALK_WRITE, 0x12345678);
	expect(0x1fffff000, 0, 0xfffff000); /* 32 bits of them */
}

static void four_and_five_levels(void **state)
{
	(void)state;
	long_mode(4, ALL);
	expect(AT_3_4 | 0x123, WALK_WRITE | WALK_USER | WALK_FETCH, 0xabc123);
	expect_fault(AT_3_4 + 0x1000, 0, HV_TRANSLATE_GVA_PAGE_NOT_PRESENT, 0);
	setup(state);
	long_mode(5, ALL);
	expect(AT_3_5 | 0x123, WALK_WRITE | WALK_USER | WALK_FETCH, 0xabc123);
	expect_fault(AT_3_4, 0, HV_TRANSLATE_GVA_PAGE_NOT_PRESENT, 0);
}

static void large_pages(void **state)
{
	(void)state;
	long_mode(4, ALL);
	set8(3, 3, 0x40000000 | LARGE | ALL);
	expect(AT_3_4 | 0x123, 0, 0x40003123);
	set8(2, 3, 0x80000000 | LARGE | ALL);
	expect(AT_3_4 | 0x123, 0, 0x80603123);
	set8(1, 3, 2 << PAGE_SHIFT | LARGE | ALL); /* no such size: not a leaf */
	expect(AT_3_4 | 0x123, 0, 0x80603123);
}

static void pae(void **state)
{
	(void)state;
	cr0 = CR0_PE | CR0_PG;
	cr4 = CR4_PAE;
	cr3 = 0x1020;                              /* 32-byte aligned */
	set8(1, 4 + 3, 2 << PAGE_SHIFT | PRESENT); /* no rights in these */
	set8(2, 3, 3 << PAGE_SHIFT | ALL);
	set8(3, 3, 0xabc000 | ALL | NX);
	expect(3ull << 30 | 3 << 21 | 3 << 12 | 0x123, WALK_WRITE | WALK_USER, 0xabc123);
	efer = EFER_NXE;
	expect_fault(3ull << 30 | 3 << 21 | 3 << 12, WALK_FETCH,
		     HV_TRANSLATE_GVA_PRIVILEGE_VIOLATION, 0x11);
	assert_int_equal(get8(1, 4 + 3), 2 << PAGE_SHIFT | PRESENT);
	expect(3ull << 30 | 3 << 21 | 3 << 12, WALK_SET_BITS, 0xabc000);
	assert_int_equal(get8(1, 4 + 3), 2 << PAGE_SHIFT | PRESENT); /* nor are they marked */
}

static void two_levels(void **state)
{
	(void)state;
	cr0 = CR0_PE | CR0_PG;
	cr3 = 1 << PAGE_SHIFT;
	set4(1, 3, 2 << PAGE_SHIFT | ALL);
	set4(2, 3, 0xabc000 | ALL);
	expect(3 << 22 | 3 << 12 | 0x123, WALK_WRITE | WALK_USER, 0xabc123);
	set4(1, 4, 0x40000000 | 5 << 13 | (uint32_t)(LARGE | ALL));
	/* Without PSE it is a table, where there is no memory. */
	expect_fault(4 << 22, 0, HV_TRANSLATE_GVA_GPA_UNMAPPED, 0);
	cr4 = CR4_PSE;
	expect(4 << 22 | 0x12345, 0, 5ull << 32 | 0x40012345);
}

static void rights_of_all_levels_count(void **state)
{
	(void)state;
	long_mode(4, PRESENT | WRITE);
	expect(AT_3_4, WALK_WRITE, 0xabc000);
	expect_fault(AT_3_4, WALK_USER, HV_TRANSLATE_GVA_PRIVILEGE_VIOLATION, 0x5);
	long_mode(4, ALL);
	set8(2, 3, 3 << PAGE_SHIFT | PRESENT | USER | NX);
	expect(AT_3_4, WALK_USER, 0xabc000);
	expect_fault(AT_3_4, WALK_USER | WALK_WRITE, HV_TRANSLATE_GVA_PRIVILEGE_VIOLATION, 0x7);
	expect_fault(AT_3_4, WALK_WRITE, HV_TRANSLATE_GVA_PRIVILEGE_VIOLATION, 0x3);
	expect_fault(AT_3_4, WALK_FETCH, HV_TRANSLATE_GVA_PRIVILEGE_VIOLATION, 0x11);
	cr0 &= ~CR0_WP;
	expect(AT_3_4, WALK_WRITE, 0xabc000); /* the supervisor may then */
	expect_fault(AT_3_4, WALK_USER | WALK_WRITE, HV_TRANSLATE_GVA_PRIVILEGE_VIOLATION, 0x7);
	efer &= ~EFER_NXE;
	expect(AT_3_4, WALK_FETCH, 0xabc000);
}

static void entries_are_marked_when_asked(void **state)
{
	(void)state;
	long_mode(4, ALL);
	expect(AT_3_4, WALK_WRITE, 0xabc000);
	assert_int_equal(get8(4, 3), 0xabc000 | ALL);
	expect(AT_3_4, WALK_SET_BITS, 0xabc000);
	assert_int_equal(get8(1, 3), 2 << PAGE_SHIFT | ALL | ACCESSED);
	assert_int_equal(get8(4, 3), 0xabc000 | ALL | ACCESSED);
	expect(AT_3_4, WALK_SET_BITS | WALK_WRITE, 0xabc000);
	assert_int_equal(get8(3, 3), 4 << PAGE_SHIFT | ALL | ACCESSED);
	assert_int_equal(get8(4, 3), 0xabc000 | ALL | ACCESSED | DIRTY);
	long_mode(4, PRESENT | USER); /* a refused access marks no leaf */
	expect_fault(AT_3_4, WALK_SET_BITS | WALK_WRITE, HV_TRANSLATE_GVA_PRIVILEGE_VIOLATION, 0x3);
	assert_int_equal(get8(4, 3), 0xabc000 | PRESENT | USER);
}

static void unmap_once(void)
{
	set8(4, 3, 0);
	other_vp = NULL;
}

static void move_once(void)
{
	set8(4, 3, 0xdef000 | ALL);
	other_vp = NULL;
}

static void move_always(void)
{
	set8(4, 3, get8(4, 3) ^ 0x1000);
}

/* What another VP writes into an entry stays, and is what the walk finds. */
static void entries_that_change_are_read_again(void **state)
{
	(void)state;
	long_mode(4, ALL);
	other_vp = unmap_once;
	expect_fault(AT_3_4, WALK_SET_BITS, HV_TRANSLATE_GVA_PAGE_NOT_PRESENT, 0);
	assert_int_equal(get8(4, 3), 0);
	long_mode(4, ALL);
	expect(AT_3_4, WALK_SET_BITS, 0xabc000);
	other_vp = move_once;
	expect(AT_3_4, WALK_SET_BITS | WALK_WRITE, 0xdef000);
	assert_int_equal(get8(4, 3), 0xdef000 | ALL | ACCESSED | DIRTY);
}

/* A guest that never stops changing them does not hold the hypervisor. */
static void a_walk_ends(void **state)
{
	uint64_t gpa;

	(void)state;
	long_mode(4, ALL);
	expect(AT_3_4, WALK_SET_BITS, 0xabc000);
	other_vp = move_always;
	assert_int_equal(walk(AT_3_4, WALK_SET_BITS | WALK_WRITE, &gpa),
			 HV_TRANSLATE_GVA_GPA_NO_WRITE_ACCESS);
}

/* The address is then that of the entry. */
static void tables_that_cannot_be_reached(void **state)
{
	uint64_t gpa;

	(void)state;
	long_mode(4, ALL);
	set8(2, 3, 0x7000000 | ALL);
	assert_int_equal(walk(AT_3_4, 0, &gpa), HV_TRANSLATE_GVA_GPA_UNMAPPED);
	assert_int_equal(gpa, 0x7000018);
	long_mode(4, ALL);
	read_only[4] = true;
	expect(AT_3_4, WALK_WRITE, 0xabc000);
	assert_int_equal(walk(AT_3_4, WALK_SET_BITS, &gpa), HV_TRANSLATE_GVA_GPA_NO_WRITE_ACCESS);
	assert_int_equal(gpa, 0x4018);
	cr3 = UINT64_MAX;
	assert_int_equal(walk(AT_3_4, 0, &gpa), HV_TRANSLATE_GVA_GPA_UNMAPPED);
}

static void any_tables_end_a_walk(void **state)
{
	static const uint64_t modes[] = {0, CR4_PSE, CR4_PAE, CR4_PAE | CR4_LA57};
	uint64_t gpa;

	srand(1);
	for (unsigned int i = 0; i < 20000; i++) {
		setup(state);
		for (unsigned int word = 0; word < 64;
		     word++) { /* many of them point to each other */
			set8((unsigned int)rand() % PAGES, (unsigned int)rand() % 512,
			     ((uint64_t)rand() % (PAGES + 1)) << PAGE_SHIFT |
				     ((uint64_t)rand() & 0xfff) | PRESENT |
				     (uint64_t)(rand() & 1) << 63);
		}
		cr0 = CR0_PE | CR0_PG | (rand() & 1 ? CR0_WP : 0);
		cr4 = modes[i % 4];
		efer = (i & 2 && i & 8 ? EFER_LMA : 0) | (rand() & 1 ? EFER_NXE : 0);
		cr3 = (uint64_t)rand() % PAGES << PAGE_SHIFT;
		(void)walk((uint64_t)rand() << 32 | (uint64_t)rand(), (uint32_t)rand() & 15, &gpa);
	}
}

/* ---- instructions ---- */

static struct insn_access access;

/* The bytes at RIP, at the end of what there is of memory, so that nothing behind them can be
 * read. */
static bool decode(unsigned int code_bits, const uint8_t *bytes, uint32_t length)
{
	vcpu.rip = sizeof(ram) - length;
	memcpy(&ram[0][0] + vcpu.rip, bytes, length);
	bits = code_bits;
	return insn_decode_access(&vcpu, &access);
}

#define DECODE(code_bits, ...)                                                                     \
	decode(code_bits, (const uint8_t[]){__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__}))

static void moves_are_decoded(void **state)
{
	(void)state;
	assert_true(DECODE(64, 0x44, 0x89, 0x88, 1, 2, 3, 4)); /* mov [rax+4030201], r9d */
	assert_true(access.write && !access.read && access.size == 4);
	assert_int_equal(access.gpr, 9);
	assert_int_equal(access.length, 7);
	assert_true(DECODE(64, 0x8b, 0x4c, 0x24, 8)); /* mov ecx, [rsp+8] */
	assert_true(access.read && !access.write);
	assert_int_equal(access.gpr, 1);
	assert_int_equal(access.length, 4);
	assert_true(DECODE(32, 0xc7, 0x05, 0, 3, 0xe0, 0xfe, 0x78, 0x56, 0x34,
			   0x12)); /* mov [fee00300], 12345678 */
	assert_true(access.has_immediate && access.write);
	assert_int_equal(access.immediate, 0x12345678);
	assert_int_equal(access.length, 10);
	assert_true(DECODE(16, 0x66, 0x89, 0x46, 2)); /* mov [bp+2], eax */
	assert_int_equal(access.length, 4);
	assert_true(DECODE(16, 0x66, 0x67, 0x89, 0x43, 2)); /* mov [ebx+2], eax */
	assert_int_equal(access.length, 5);
	assert_true(DECODE(64, 0xa1, 1, 2, 3, 4, 5, 6, 7, 8));
	assert_int_equal(access.length, 9);
	assert_true(DECODE(64, 0x87, 0x07)); /* xchg */
	assert_true(access.read && access.write && access.operation == INSN_EXCHANGE);
	assert_true(DECODE(64, 0xf0, 0x21, 0x04, 0x25, 1, 2, 3, 4)); /* lock and [4030201], eax */
	assert_true(access.operation == INSN_AND);
	assert_int_equal(access.length, 8);
}

static void moves_have_sizes(void **state)
{
	(void)state;
	assert_true(DECODE(64, 0x4c, 0x89, 0x00)); /* mov [rax], r8 */
	assert_true(access.size == 8 && access.gpr == 8 && access.length == 3);
	assert_true(DECODE(64, 0x66, 0x4c, 0x89, 0x00));
	assert_int_equal(access.size, 8);
	assert_true(DECODE(64, 0x66, 0x89, 0x08)); /* mov [rax], cx */
	assert_true(access.size == 2 && access.gpr == 1);
	assert_true(DECODE(16, 0x89, 0x00));
	assert_int_equal(access.size, 2);
	assert_true(DECODE(64, 0x88, 0x28)); /* mov [rax], ch */
	assert_true(access.size == 1 && access.gpr == 1 && access.high_byte);
	assert_true(DECODE(64, 0x40, 0x88, 0x28)); /* mov [rax], bpl */
	assert_true(access.size == 1 && access.gpr == 5 && !access.high_byte);
	assert_true(DECODE(64, 0x88, 0x18)); /* mov [rax], bl */
	assert_true(access.size == 1 && access.gpr == 3 && !access.high_byte);
	assert_true(DECODE(64, 0xc6, 0x00, 0x80)); /* mov byte [rax], 80 */
	assert_true(access.size == 1 && (uint8_t)access.immediate == 0x80 && access.length == 3);
	assert_true(DECODE(64, 0x66, 0xc7, 0x00, 1, 2)); /* mov word [rax], 201 */
	assert_true(access.size == 2 && access.immediate == 0x201 && access.length == 5);
	assert_true(DECODE(64, 0x48, 0xc7, 0x00, 1, 2, 3, 0x80)); /* mov qword [rax], … */
	assert_true(access.size == 8 && access.length == 7);
	assert_true(access.immediate == 0xffffffff80030201);
	assert_true(DECODE(32, 0xa2, 1, 2, 3, 4));
	assert_true(access.size == 1 && access.write && access.gpr == 0);
	assert_true(DECODE(32, 0x66, 0xa1, 1, 2, 3, 4));
	assert_true(access.size == 2 && access.read);
	assert_false(DECODE(64, 0x66, 0xc7, 0x00, 1));
	assert_true(DECODE(64, 0x0f, 0xb6, 0x20)); /* movzx esp, byte [rax] */
	assert_true(access.size == 1 && access.register_size == 4 && access.read && !access.write);
	assert_true(access.gpr == 4 && !access.high_byte && access.length == 3);
	assert_true(DECODE(64, 0x4c, 0x0f, 0xb7, 0x40, 8)); /* movzx r8, word [rax+8] */
	assert_true(access.size == 2 && access.register_size == 8 && access.gpr == 8 &&
		    access.length == 5);
	assert_true(DECODE(64, 0x8a, 0x28)); /* mov ch, [rax] */
	assert_true(access.size == 1 && access.register_size == 1 && access.high_byte);
}

static void other_forms_are_refused(void **state)
{
	(void)state;
	assert_false(DECODE(64, 0x0f, 0xbe, 0x00)); /* movsx */
	assert_false(DECODE(64, 0x0f, 0x89, 1, 2, 3, 4));
	assert_false(DECODE(64, 0xb6, 0x00));
	assert_false(DECODE(64, 0x0f, 0xb6));
	assert_false(DECODE(64, 0x89));
	assert_false(DECODE(64, 0x66));
}

static void what_is_cut_off_is_refused(void **state)
{
	static const uint8_t whole[] = {0x67, 0x42, 0xc7, 0x84, 0x25, 1, 2, 3, 4, 5, 6, 7, 8};

	(void)state;
	assert_true(decode(64, whole, sizeof(whole)));
	assert_int_equal(access.length, sizeof(whole));
	for (uint32_t length = 0; length < sizeof(whole); length++) {
		assert_false(decode(64, whole, length));
	}
}

/* Longer than any instruction may be, with the opcode last: nothing behind the bytes is looked
 * at. */
static void prefixes_without_an_end(void **state)
{
	uint8_t bytes[INSN_MAX];

	(void)state;
	for (uint32_t prefixes = 0; prefixes <= INSN_MAX; prefixes++) {
		memset(bytes, 0x2e, sizeof(bytes));
		if (prefixes < INSN_MAX) {
			bytes[prefixes] = 0xc7;
		}
		if (prefixes + 1 < INSN_MAX) {
			memset(bytes + prefixes + 1, 0x84, INSN_MAX - prefixes - 1);
		}
		assert_int_equal(decode(64, bytes, sizeof(bytes)), prefixes + 11 <= INSN_MAX);
	}
}

static void any_bytes_are_decoded_or_refused(void **state)
{
	static const unsigned int modes[] = {16, 32, 64};
	uint8_t bytes[INSN_MAX];

	(void)state;
	srand(1);
	for (unsigned int i = 0; i < 200000; i++) {
		uint32_t length = (uint32_t)rand() % (INSN_MAX + 1);

		for (uint32_t at = 0; at < length; at++) {
			bytes[at] = rand() % 3
					    ? (uint8_t)rand()
					    : (uint8_t[]){0x66, 0xc7, 0x89, 0x84, 0x41}[rand() % 5];
		}
		if (decode(modes[i % 3], bytes, length)) {
			assert_in_range(access.length, 2, length);
		}
	}
}

/* Something of what a fetch depends on. Tables stand in pages 1 to 4 and 5 to 8, code in 9 to
 * 12. */
static void change(void)
{
	unsigned int level = 1 + (unsigned int)rand() % 4, table = level + 4 * (rand() & 1);
	uint64_t next = level == 4 ? 9 + (unsigned int)rand() % 4 : level + 1 + 4 * (rand() & 1);

	switch (rand() % 8) {
	case 0:
		cr3 = (rand() & 1 ? 1 : 5) << PAGE_SHIFT;
		break;
	case 1:
		efer ^= EFER_NXE;
		break;
	case 2:
		set8(table, 3, get8(table, 3) ^ (rand() & 1 ? NX : PRESENT));
		break;
	case 3:
		cr0 ^= CR0_WP;
		break;
	case 4:
		ram[9 + rand() % 4][rand() % PAGE_SIZE] = (uint8_t)rand();
		break;
	default:
		set8(table, 3, next << PAGE_SHIFT | ALL);
		break;
	}
}

/* The one goes where it went before if nothing has changed, the other walks each time. */
static void a_later_fetch_is_as_good_as_a_first(void **state)
{
	unsigned int fetched = 0;

	(void)state;
	srand(1);
	long_mode(4, ALL);
	set8(4, 3, 9 << PAGE_SHIFT | ALL);
	for (unsigned int page = 9; page < 13; page++) {
		memset(ram[page], (int)page, PAGE_SIZE);
	}
	for (unsigned int i = 0; i < 200000; i++) {
		uint8_t bytes[INSN_MAX] = {0}, wanted[INSN_MAX] = {0};
		uint32_t count;

		change();
		vcpu.rip = AT_3_4 | (uint64_t)rand() % PAGE_SIZE;
		count = insn_fetch(&vcpu, bytes);
		if (count == INSN_MAX) {
			gpa_t gpa = {0};

			assert_int_equal(
				walk_gva(&vcpu, (gva_t){vcpu.rip}, WALK_FETCH, &gpa, &error),
				HV_TRANSLATE_GVA_SUCCESS);
			assert_true(plat_gpa_read(&partition, gpa, wanted, INSN_MAX));
			assert_memory_equal(bytes, wanted, INSN_MAX);
			fetched++;
		} else if (count == 0) {
			gpa_t gpa;

			assert_int_not_equal(
				walk_gva(&vcpu, (gva_t){vcpu.rip}, WALK_FETCH, &gpa, &error),
				HV_TRANSLATE_GVA_SUCCESS);
		}
	}
	assert_true(fetched > 10000);
}

static void lengths_with_prefixes(void **state)
{
	static const uint8_t code[] = {0x2e, 0x66, 0x0f, 0xa2, 0x0f, 0xa2, 0xf3, 0xf4};

	(void)state;
	memcpy(ram[3], code, sizeof(code));
	vcpu.rip = 3 << PAGE_SHIFT;
	assert_int_equal(insn_length(&vcpu, 0xa20f), 4);
	vcpu.rip += 4;
	assert_int_equal(insn_length(&vcpu, 0xa20f), 2);
	vcpu.rip += 2;
	assert_int_equal(insn_halt_length(&vcpu), 2);
}

#define T(test) cmocka_unit_test_setup(test, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(without_paging_addresses_are_what_they_are),
		T(four_and_five_levels),
		T(large_pages),
		T(pae),
		T(two_levels),
		T(rights_of_all_levels_count),
		T(entries_are_marked_when_asked),
		T(entries_that_change_are_read_again),
		T(a_walk_ends),
		T(tables_that_cannot_be_reached),
		T(any_tables_end_a_walk),
		T(moves_are_decoded),
		T(moves_have_sizes),
		T(other_forms_are_refused),
		T(what_is_cut_off_is_refused),
		T(prefixes_without_an_end),
		T(any_bytes_are_decoded_or_refused),
		T(a_later_fetch_is_as_good_as_a_first),
		T(lengths_with_prefixes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
