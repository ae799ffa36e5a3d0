/*
 * hypervisor/sleep.c: which writes of the root enter a sleep state (ACPI 6.5, 4.8.3.2.1: SLP_TYP
 * 12:10, SLP_EN 13; 4.8.3.7: 4:2 and 5), at ports and in memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/insn.h"
#include "hypervisor/arch/x86/paging.h"
#include "hypervisor/arch/x86/vendor.h"
#include "hypervisor/console.h"
#include "hypervisor/gpa_table.h"
#include "hypervisor/memory.h"
#include "hypervisor/mmio.h"
#include "hypervisor/sleep.h"
#include "hypervisor/vcpu.h"
#include "include/boot/handoff.h"

#define CONTROL_A 0x604
#define CONTROL_B 0xb004
#define ENABLE    0x2000u
#define TYPE(n)   ((uint32_t)(n) << 10)
#define IN_MEMORY 0xfec01ffaull /* of the byte */
#define BESIDE    0xfec01008ull /* another one on its page */
#define LIMIT     (1ull << 36)

static struct handoff handoff;
static struct vcpu vcpu;
static struct insn_access instruction;
static bool decodes;
static uint8_t device[PAGE_SIZE]; /* the page of IN_MEMORY */
static enum memory_extent extent;
static unsigned int withheld, lines, skipped, faults;

void console_print(const char *format, ...)
{
	(void)format;
	lines++;
}

uint64_t gpa_limit(void)
{
	return LIMIT >> PAGE_SHIFT;
}

bool gpa_has_apic(uint64_t gpn, uint64_t count)
{
	return 0xfee00 - gpn < count;
}

enum memory_extent memory_extent(uint64_t spn, uint64_t count)
{
	(void)spn;
	assert_int_equal(count, 1);
	return extent;
}

bool memory_withhold(uint64_t spn, uint64_t count)
{
	assert_true(spn == IN_MEMORY >> PAGE_SHIFT && count == 1);
	withheld++;
	return true;
}

volatile void *paging_map_device(spa_t spa)
{
	assert_int_equal(spa.v, IN_MEMORY & ~PAGE_MASK);
	return device;
}

static void copy(volatile void *to, const volatile void *from, size_t size)
{
	volatile uint8_t *target = to;
	const volatile uint8_t *source = from;

	while (size--) {
		*target++ = *source++;
	}
}

/* Registers that count how often they are reached, and by how many bytes. */
static unsigned int reads[9], writes[9];

#define MMIO(bits)                                                                                 \
	uint##bits##_t mmio_read##bits(const volatile void *at)                                    \
	{                                                                                          \
		uint##bits##_t value;                                                              \
                                                                                                   \
		copy(&value, at, sizeof(value));                                                   \
		reads[sizeof(value)]++;                                                            \
		return value;                                                                      \
	}                                                                                          \
	void mmio_write##bits(volatile void *at, uint##bits##_t value)                             \
	{                                                                                          \
		copy(at, &value, sizeof(value));                                                   \
		writes[sizeof(value)]++;                                                           \
	}

MMIO(8)
MMIO(16)
MMIO(32)
MMIO(64)

bool insn_decode_access(struct vcpu *v, struct insn_access *access)
{
	assert_ptr_equal(v, &vcpu);
	*access = instruction;
	return decodes;
}

void vendor_skip(struct vcpu *v, uint8_t length)
{
	assert_ptr_equal(v, &vcpu);
	skipped += length;
}

void vendor_inject_exception(struct vcpu *v, uint8_t vector, bool has_error, uint32_t error)
{
	assert_ptr_equal(v, &vcpu);
	assert_true(vector == EXC_GP && has_error && !error);
	faults++;
}

static int reset(void **state)
{
	(void)state;
	memset(&handoff, 0, sizeof(handoff));
	memset(&vcpu, 0, sizeof(vcpu));
	memset(device, 0, sizeof(device));
	memset(reads, 0, sizeof(reads));
	memset(writes, 0, sizeof(writes));
	extent = EXTENT_OTHER;
	withheld = lines = skipped = faults = 0;
	decodes = true;
	handoff.sleep_ports[0] = CONTROL_A + 1;
	handoff.sleep_types = 1u << 0 | 1u << 2;
	sleep_init(&handoff);
	sleep_withhold();
	return 0;
}

static void only_permitted_types_are_entered(void **state)
{
	(void)state;
	for (uint32_t type = 0; type < 8; type++) {
		assert_int_equal(sleep_permits(CONTROL_A, 2, ENABLE | TYPE(type)),
				 type == 0 || type == 2);
		assert_true(sleep_permits(CONTROL_A, 2, TYPE(type) | 1));
	}
}

/* A byte, or an access that begins before the register, is enough. */
static void every_access_that_reaches_the_bit_counts(void **state)
{
	const uint32_t s3 = ENABLE | TYPE(1);

	(void)state;
	assert_false(sleep_permits(CONTROL_A + 1, 1, s3 >> 8));
	assert_false(sleep_permits(CONTROL_A + 1, 2, s3 >> 8));
	assert_false(sleep_permits(CONTROL_A, 4, s3));
	assert_false(sleep_permits(CONTROL_A - 2, 4, s3 << 16));
	assert_true(sleep_permits(CONTROL_A, 1, s3));
	assert_true(sleep_permits(CONTROL_A + 2, 4, s3));
	assert_true(sleep_permits(CONTROL_A - 4, 4, s3));
	assert_true(sleep_permits(CONTROL_B, 2, s3));
}

static void there_may_be_several_registers(void **state)
{
	uint8_t ports[0x2000] = {0};

	(void)state;
	sleep_watch(ports);
	assert_int_equal(ports[CONTROL_A / 8], 1u << 5);
	assert_int_equal(ports[CONTROL_B / 8], 0);
	handoff.sleep_ports[1] = CONTROL_B + 1;
	handoff.sleep_ports[2] = 0xffff;
	sleep_init(&handoff);
	sleep_watch(ports);
	assert_int_equal(ports[CONTROL_B / 8], 1u << 5);
	assert_int_equal(ports[0x1fff], 1u << 7);
	assert_false(sleep_permits(CONTROL_B, 2, ENABLE | TYPE(5)));
	assert_false(sleep_permits(0xffff, 1, (ENABLE | TYPE(5)) >> 8));
}

/* Without tables nothing is known of types, and the machine must be able to go off. */
static void a_machine_without_tables(void **state)
{
	uint8_t ports[0x2000] = {0}, none[0x2000] = {0};

	(void)state;
	handoff.sleep_types = 0xff;
	sleep_init(&handoff);
	assert_true(sleep_permits(CONTROL_A, 2, ENABLE | TYPE(5)));
	handoff.sleep_ports[0] = 0;
	sleep_init(&handoff);
	sleep_watch(ports);
	assert_memory_equal(ports, none, sizeof(none));
	assert_true(sleep_permits(0, 4, 0xffffffff));
	assert_false(sleep_access(&vcpu, 1));
	assert_false(sleep_access(&vcpu, IN_MEMORY));
}

static void put_in_memory(void)
{
	handoff.sleep_memory[0] = IN_MEMORY;
	handoff.sleep_memory[2] = BESIDE;
	sleep_init(&handoff);
	sleep_withhold();
	assert_int_equal(withheld, 1);
}

static void move(uint64_t at, uint8_t size, bool write)
{
	instruction = (struct insn_access){.length = 3,
					   .size = size,
					   .register_size = size,
					   .write = write,
					   .read = !write,
					   .gpr = GPR_RDX};
	assert_true(sleep_access(&vcpu, at));
}

/* As at a port; what is refused has no effect, and the root goes on behind it. */
static void writes_to_memory_are_looked_at(void **state)
{
	static const uint64_t places[] = {IN_MEMORY, BESIDE};

	(void)state;
	put_in_memory();
	for (size_t i = 0; i < 2; i++) {
		volatile uint8_t *byte = &device[places[i] & PAGE_MASK];

		for (uint32_t type = 0; type < 8; type++) {
			*byte = 0x40;
			vcpu.gpr[GPR_RDX] = (ENABLE | TYPE(type)) >> 8;
			move(places[i], 1, true);
			assert_int_equal(*byte, type == 0 || type == 2 ? vcpu.gpr[GPR_RDX] : 0x40);
		}
		for (uint8_t size = 2; size <= 4; size = (uint8_t)(size * 2)) {
			*byte = 0x40;
			vcpu.gpr[GPR_RDX] = (uint64_t)(ENABLE | TYPE(1)) << 8 * (size - 2);
			move(places[i] - size + 1, size, true);
			assert_int_equal(*byte, 0x40);
			vcpu.gpr[GPR_RDX] = (uint64_t)TYPE(1) << 8 * (size - 2);
			move(places[i] - size + 1, size, true);
			assert_int_equal(*byte, TYPE(1) >> 8);
		}
	}
	instruction = (struct insn_access){.length = 4,
					   .size = 1,
					   .write = true,
					   .has_immediate = true,
					   .immediate = (ENABLE | TYPE(3)) >> 8};
	assert_true(sleep_access(&vcpu, BESIDE));
	assert_int_equal(device[BESIDE & PAGE_MASK], TYPE(1) >> 8);
	vcpu.gpr[GPR_RAX] = 0x24aa; /* S3 in AH */
	instruction =
		(struct insn_access){.length = 2, .size = 1, .write = true, .high_byte = true};
	assert_true(sleep_access(&vcpu, BESIDE));
	assert_int_equal(device[BESIDE & PAGE_MASK], TYPE(1) >> 8);
	assert_int_equal(skipped, 2 * (8 + 4) * 3 + 4 + 2);
	assert_int_equal(faults, 0);
}

/* All else on the page works, by as many bytes as the root's instruction has, once. */
static void the_rest_of_the_page_is_the_roots(void **state)
{
	(void)state;
	put_in_memory();
	for (uint8_t size = 1; size <= 8; size = (uint8_t)(size * 2)) {
		vcpu.gpr[GPR_RDX] = 0x8877665544332211;
		move(0xfec01000, size, true);
		assert_int_equal(writes[size], 1);
		assert_int_equal(reads[size], 0);
		vcpu.gpr[GPR_RDX] = 0xaaaaaaaaaaaaaaaa;
		move(0xfec01000, size, false);
		assert_int_equal(vcpu.gpr[GPR_RDX], size == 1   ? 0xaaaaaaaaaaaaaa11
						    : size == 2 ? 0xaaaaaaaaaaaa2211
						    : size == 4 ? 0x44332211
								: 0x8877665544332211);
		assert_int_equal(reads[size], 1);
		assert_int_equal(writes[size], 1);
	}
	vcpu.gpr[GPR_RDX] = 0xaaaaaaaaaaaaaaaa;
	instruction.size = 2; /* MOVZX */
	instruction.register_size = 4;
	assert_true(sleep_access(&vcpu, 0xfec01000));
	assert_int_equal(vcpu.gpr[GPR_RDX], 0x2211);
	instruction.size = instruction.register_size = 1;
	instruction.high_byte = true;
	vcpu.gpr[GPR_RDX] = 0xaaaaaaaaaaaaaaaa;
	assert_true(sleep_access(&vcpu, 0xfec01002));
	assert_int_equal(vcpu.gpr[GPR_RDX], 0xaaaaaaaaaaaa33aa);
	assert_false(sleep_access(&vcpu, 0xfec00ff8));
	assert_false(sleep_access(&vcpu, 0xfec02000));
}

/* What cannot be done as the root's instruction would do it is not done at all. */
static void other_instructions_have_a_fault(void **state)
{
	(void)state;
	put_in_memory();
	vcpu.gpr[GPR_RDX] = ENABLE >> 8;
	move(IN_MEMORY & ~PAGE_MASK, 4, true);
	writes[4] = 0;
	move(0xfec01ffe, 4, true); /* beyond the page */
	instruction = (struct insn_access){.length = 2, .size = 4, .write = true, .gpr = GPR_RSP};
	assert_true(sleep_access(&vcpu, 0xfec01000));
	instruction = (struct insn_access){
		.length = 2, .size = 4, .write = true, .read = true, .operation = INSN_OR};
	assert_true(sleep_access(&vcpu, 0xfec01000));
	decodes = false;
	assert_true(sleep_access(&vcpu, IN_MEMORY));
	assert_int_equal(faults, 4);
	assert_int_equal(writes[1] + writes[2] + writes[4] + writes[8], 0);
	assert_int_equal(skipped, 3);
}

/* Tables that name what cannot be one: memory, the APIC's page, beyond all addresses. */
static void nonsense_is_said(void **state)
{
	static const uint64_t places[] = {0x1000, 0xfee00031, LIMIT, UINT64_MAX};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		extent = i ? EXTENT_OTHER : EXTENT_RAM;
		handoff.sleep_memory[1] = places[i];
		sleep_init(&handoff);
		sleep_withhold();
		assert_int_equal(lines, i + 1);
		assert_false(sleep_access(&vcpu, places[i]));
	}
	assert_int_equal(withheld, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(only_permitted_types_are_entered, reset),
		cmocka_unit_test_setup(every_access_that_reaches_the_bit_counts, reset),
		cmocka_unit_test_setup(there_may_be_several_registers, reset),
		cmocka_unit_test_setup(a_machine_without_tables, reset),
		cmocka_unit_test_setup(writes_to_memory_are_looked_at, reset),
		cmocka_unit_test_setup(the_rest_of_the_page_is_the_roots, reset),
		cmocka_unit_test_setup(other_instructions_have_a_fault, reset),
		cmocka_unit_test_setup(nonsense_is_said, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
