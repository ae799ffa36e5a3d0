/*
 * Tests of loader/acpi.c, on tables in a little physical memory of the test's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "loader/acpi.h"

#define RSDT 0x1000
#define XSDT 0x1100
#define MADT 0x2000
#define FADT 0x4000
#define DMAR 0x5000
#define DSDT 0x6000

static uint8_t memory[0x100000];
static uint8_t rsdp[RSDP_SIZE_MAX];
static struct acpi_facts facts;

void *acpi_map(uint64_t address, uint64_t size)
{
	if (address > sizeof(memory) || size > sizeof(memory) - address) {
		return NULL;
	}
	return memory + address;
}

static void put(uint64_t at, uint64_t value, unsigned int size)
{
	memcpy(memory + at, &value, size);
}

static uint8_t sum(const uint8_t *bytes, uint32_t size)
{
	uint8_t total = 0;

	while (size--) {
		total = (uint8_t)(total + *bytes++);
	}
	return total;
}

static void table(uint64_t at, const char *signature, uint32_t length)
{
	memset(memory + at, 0, length);
	memcpy(memory + at, signature, 4);
	put(at + 4, length, 4);
}

static void finish(uint64_t at)
{
	uint32_t length;

	memcpy(&length, memory + at + 4, 4);
	memory[at + 9] = 0;
	memory[at + 9] = (uint8_t)-sum(memory + at, length);
}

static void make_rsdp(uint8_t revision, uint64_t xsdt)
{
	memset(rsdp, 0, sizeof(rsdp));
	memcpy(rsdp, "RSD PTR ", 8);
	rsdp[15] = revision;
	memcpy(rsdp + 16, &(uint32_t){RSDT}, 4);
	rsdp[8] = (uint8_t)-sum(rsdp, 20);
	if (revision == 0) {
		return;
	}
	rsdp[20] = sizeof(rsdp);
	memcpy(rsdp + 24, &xsdt, 8);
	rsdp[32] = (uint8_t)-sum(rsdp, sizeof(rsdp));
}

/* Two processors by APIC entries, a disabled one, two by x2APIC entries of which one is known
 * already. */
static void make_madt(void)
{
	static const uint8_t entries[] = {
		0, 8, 0,  2, 1, 0, 0, 0,  0, 8, 1, 0, 1, 0, 0,  0, 0, 8, 2, 7, 0, 0, 0,
		0, 1, 12, 0, 0, 0, 0, 0,  0, 0, 0, 0, 0, 9, 16, 0, 0, 0, 1, 0, 0, 1, 0,
		0, 0, 3,  0, 0, 0, 9, 16, 0, 0, 2, 0, 0, 0, 1,  0, 0, 0, 0, 0, 0, 0,
	};

	table(MADT, "APIC", 44 + sizeof(entries));
	memcpy(memory + MADT + 44, entries, sizeof(entries));
	finish(MADT);
}

static void make_fadt(uint32_t length)
{
	table(FADT, "FACP", length);
	put(FADT + 76, 0x608, 4);
	put(FADT + 91, 4, 1);
	if (length >= 129) {
		put(FADT + 112, 1u << 8 | 1u << 10, 4);
		put(FADT + 116, 1, 1);
		put(FADT + 120, 0xcf9, 8);
		put(FADT + 128, 6, 1);
	}
	finish(FADT);
}

static int setup(void **state)
{
	(void)state;
	memset(memory, 0, sizeof(memory));
	memset(&facts, 0, sizeof(facts));
	make_rsdp(2, XSDT);
	make_madt();
	make_fadt(244);
	table(DMAR, "DMAR", 48);
	finish(DMAR);
	table(XSDT, "XSDT", 36 + 3 * 8);
	put(XSDT + 36, MADT, 8);
	put(XSDT + 44, FADT, 8);
	put(XSDT + 52, DMAR, 8);
	table(RSDT, "RSDT", 36 + 4);
	put(RSDT + 36, MADT, 4);
	return 0;
}

static void test_reads(void **state)
{
	static const uint32_t ids[] = {2, 0, 256};

	(void)state;
	acpi_read(rsdp, &facts);
	assert_int_equal(facts.lp_count, 3);
	assert_memory_equal(facts.lp_apic_ids, ids, sizeof(ids));
	assert_int_equal(facts.pm_timer_port, 0x608);
	assert_true(facts.pm_timer_is_32_bit);
	assert_int_equal(facts.reset_port, 0xcf9);
	assert_int_equal(facts.reset_value, 6);
}

static void test_hides_iommu(void **state)
{
	static const char *const signatures[] = {"DMAR", "IVRS"};

	for (int i = 0; i < 2; i++) {
		setup(state);
		memcpy(memory + DMAR, signatures[i], 4);
		finish(DMAR);
		acpi_read(rsdp, &facts);
		assert_int_equal(facts.iommu_table, DMAR);
		assert_int_not_equal(memcmp(memory + DMAR, "DMAR", 4), 0);
		assert_int_not_equal(memcmp(memory + DMAR, "IVRS", 4), 0);
		assert_int_equal(sum(memory + DMAR, 48), 0);
	}
}

static void test_rsdt_only(void **state)
{
	(void)state;
	make_rsdp(0, 0);
	acpi_read(rsdp, &facts);
	assert_int_equal(facts.lp_count, 3);
	assert_int_equal(facts.pm_timer_port, 0);
}

static void test_xsdt_out_of_reach(void **state)
{
	(void)state;
	make_rsdp(2, 1ull << 33);
	acpi_read(rsdp, &facts);
	assert_int_equal(facts.lp_count, 3);
}

static void test_extended_pm_timer(void **state)
{
	(void)state;
	put(FADT + 208, 1, 1);
	put(FADT + 212, 0x1808, 8);
	acpi_read(rsdp, &facts);
	assert_int_equal(facts.pm_timer_port, 0x1808);
	/* In memory space it is of no use; the old field counts. */
	setup(state);
	put(FADT + 208, 0, 1);
	put(FADT + 212, 0xfed00000, 8);
	acpi_read(rsdp, &facts);
	assert_int_equal(facts.pm_timer_port, 0x608);
}

static void test_short_fadt(void **state)
{
	(void)state;
	make_fadt(116);
	put(FADT + 112, 1u << 10, 4);
	memset(memory + FADT + 116, 0xff, 100);
	acpi_read(rsdp, &facts);
	assert_int_equal(facts.pm_timer_port, 0x608);
	assert_int_equal(facts.reset_port, 0);
}

static void test_reset_register_in_memory(void **state)
{
	(void)state;
	put(FADT + 116, 0, 1);
	acpi_read(rsdp, &facts);
	assert_int_equal(facts.reset_port, 0);
}

/* As QEMU (all in one byte), an ordinary board (byte constants, a name from the root) and ACPI's
 * examples have them. */
static void make_dsdt(void)
{
	static const uint8_t names[] = {
		0x08, '_',  'S',  '3',  '_',  0x12, 0x06, 0x04, 0x01, 0x01, 0x00, 0x00,
		0x08, '_',  'S',  '4',  '_',  0x12, 0x08, 0x04, 0x0a, 0x06, 0x0a, 0x02,
		0x00, 0x00, 0x08, '\\', '_',  'S',  '5',  '_',  0x12, 0x07, 0x04, 0x00,
		0x0b, 0x07, 0x00, 0x00, 0x00, 0x08, '\\', '_',  'S',  '1',  '_',  0x12,
		0x06, 0x04, 0x01, 0x01, 0x00, 0x00, 0x08, '_',  'S',  '0',  '_',  0x12,
		0x06, 0x04, 0x01, 0x01, 0x00, 0x00, 0x10, '_',  'S',  '2',  '_',
	};

	table(DSDT, "DSDT", 36 + sizeof(names));
	memcpy(memory + DSDT + 36, names, sizeof(names));
	finish(DSDT);
	put(FADT + 40, DSDT, 4);
	put(FADT + 64, 0x604, 4);
	finish(FADT);
}

static bool has_name(const char *name)
{
	for (uint32_t at = DSDT; at < DSDT + 0x100; at++) {
		if (memcmp(memory + at, name, 4) == 0) {
			return true;
		}
	}
	return false;
}

/* S1 to S3 lose their names, and no checksum; what is no name stays. */
static void test_sleep_states(void **state)
{
	(void)state;
	make_dsdt();
	acpi_read(rsdp, &facts);
	assert_int_equal(facts.sleep_ports[0], 0x605);
	assert_int_equal(facts.sleep_ports[1] | facts.sleep_ports[2], 0);
	assert_int_equal(facts.sleep_memory[0] | facts.sleep_memory[2], 0);
	assert_int_equal(facts.sleep_types[1], 1u << 1);
	assert_int_equal(facts.sleep_types[2], 0);
	assert_int_equal(facts.sleep_types[3], 1u << 1);
	assert_int_equal(facts.sleep_types[4], 1u << 6 | 1u << 2);
	assert_int_equal(facts.sleep_types[5], 1u << 0 | 1u << 7);
	assert_false(has_name("_S3_") || has_name("_S1_"));
	assert_true(has_name("_S0_") && has_name("_S2_") && has_name("_S4_") && has_name("_S5_"));
	assert_int_equal(sum(memory + DSDT, *(uint32_t *)(memory + DSDT + 4)), 0);
}

/* What the wide fields have in port space counts, and what they have in memory as well; a package
 * that the table cuts off has no types. */
static void test_sleep_states_elsewhere(void **state)
{
	(void)state;
	make_dsdt();
	put(FADT + 40, 0, 4);
	put(FADT + 140, DSDT, 8);
	put(FADT + 172, 1, 1);
	put(FADT + 176, 0x1804, 8);
	put(FADT + 184, 0, 1);
	put(FADT + 188, 0xfed00000, 8);
	put(DSDT + 4, 36 + 6, 4);
	acpi_read(rsdp, &facts);
	assert_int_equal(facts.sleep_ports[0], 0x1805);
	assert_int_equal(facts.sleep_memory[0], 0);
	assert_int_equal(facts.sleep_ports[1], 0);
	assert_int_equal(facts.sleep_memory[1], 0xfed00001);
	assert_int_equal(facts.sleep_types[3], 0);
	assert_true(has_name("_S4_"));
}

/* A hardware-reduced machine: one register of a byte, in memory or at a port. Elsewhere the field
 * is nobody's. */
static void test_sleep_control_register(void **state)
{
	(void)state;
	make_fadt(276);
	put(FADT + 244, 0, 1);
	put(FADT + 248, 0xfec01004, 8);
	acpi_read(rsdp, &facts);
	assert_int_equal(facts.sleep_memory[2], 0);
	put(FADT + 112, 1u << 20, 4);
	acpi_read(rsdp, &facts);
	assert_int_equal(facts.sleep_memory[2], 0xfec01004);
	assert_int_equal(facts.sleep_ports[2], 0);
	setup(state);
	make_fadt(276);
	put(FADT + 112, 1u << 20, 4);
	put(FADT + 244, 1, 1);
	put(FADT + 248, 0xffff, 8);
	put(FADT + 172, 1, 1); /* PM1a: a port whose upper byte is none */
	put(FADT + 176, 0xffff, 8);
	acpi_read(rsdp, &facts);
	assert_int_equal(facts.sleep_memory[2], 0);
	assert_int_equal(facts.sleep_ports[2], 0xffff);
	assert_int_equal(facts.sleep_ports[0], 0);
	setup(state);
	make_fadt(250); /* a table that ends amid the field */
	put(FADT + 112, 1u << 20, 4);
	put(FADT + 248, 0xffffffffffffffff, 8);
	acpi_read(rsdp, &facts);
	assert_int_equal(facts.sleep_memory[2], 0xffff);
}

static void test_madt_malformed(void **state)
{
	(void)state;
	put(MADT + 44 + 9, 0, 1); /* the second entry has no length */
	acpi_read(rsdp, &facts);
	assert_int_equal(facts.lp_count, 1);
	setup(state);
	put(MADT + 44 + 9, 200, 1); /* or ends behind the table */
	acpi_read(rsdp, &facts);
	assert_int_equal(facts.lp_count, 1);
}

static void test_too_many_processors(void **state)
{
	const uint32_t count = HANDOFF_MAX_LPS + 5;

	(void)state;
	table(MADT, "APIC", 44 + count * 16);
	for (uint32_t i = 0; i < count; i++) { /* x2APICs, as ids above 254 need them */
		put(MADT + 44 + i * 16, 9, 1);
		put(MADT + 44 + i * 16 + 1, 16, 1);
		put(MADT + 44 + i * 16 + 4, i, 4);
		put(MADT + 44 + i * 16 + 8, 1, 4);
	}
	acpi_read(rsdp, &facts);
	assert_int_equal(facts.lp_count, HANDOFF_MAX_LPS);
	assert_int_equal(facts.lps_beyond, 5);
	/* A boot LP that found no room takes the place of the last. */
	acpi_boot_lp_first(&facts, count - 1);
	assert_int_equal(facts.lp_count, HANDOFF_MAX_LPS);
	assert_int_equal(facts.lp_apic_ids[0], count - 1);
	assert_int_equal(facts.lp_apic_ids[1], 0);
	assert_int_equal(facts.lp_apic_ids[HANDOFF_MAX_LPS - 1], HANDOFF_MAX_LPS - 2);
}

static void test_boot_lp_first(void **state)
{
	static const uint32_t moved[] = {256, 2, 0}, added[] = {9, 256, 2, 0};

	(void)state;
	acpi_read(rsdp, &facts);
	acpi_boot_lp_first(&facts, 256);
	assert_int_equal(facts.lp_count, 3);
	assert_memory_equal(facts.lp_apic_ids, moved, sizeof(moved));
	acpi_boot_lp_first(&facts, 9);
	assert_int_equal(facts.lp_count, 4);
	assert_memory_equal(facts.lp_apic_ids, added, sizeof(added));
	memset(&facts, 0, sizeof(facts));
	acpi_boot_lp_first(&facts, 5);
	assert_int_equal(facts.lp_count, 1);
	assert_int_equal(facts.lp_apic_ids[0], 5);
}

static void test_check_rsdp(void **state)
{
	(void)state;
	assert_int_equal(acpi_check_rsdp(rsdp, RSDP_SIZE_MAX), RSDP_SIZE_MAX);
	assert_int_equal(acpi_check_rsdp(rsdp, 20), 0);
	rsdp[33]++;
	assert_int_equal(acpi_check_rsdp(rsdp, RSDP_SIZE_MAX), 0);
	make_rsdp(0, 0);
	assert_int_equal(acpi_check_rsdp(rsdp, 20), 20);
	assert_int_equal(acpi_check_rsdp(rsdp, RSDP_SIZE_MAX), 20);
	assert_int_equal(acpi_check_rsdp(rsdp, 19), 0);
	rsdp[10]++;
	assert_int_equal(acpi_check_rsdp(rsdp, RSDP_SIZE_MAX), 0);
}

static void test_scan(void **state)
{
	(void)state;
	assert_int_equal(acpi_scan_bios(), 0);
	memcpy(memory + 0xf5a58, rsdp, sizeof(rsdp)); /* not on a paragraph */
	assert_int_equal(acpi_scan_bios(), 0);
	memcpy(memory + 0xf5a60, rsdp, sizeof(rsdp));
	assert_int_equal(acpi_scan_bios(), 0xf5a60);
	put(0x40e, 0x9fc0, 2);
	memcpy(memory + 0x9fc30, rsdp, sizeof(rsdp));
	assert_int_equal(acpi_scan_bios(), 0x9fc30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_reads, setup),
		cmocka_unit_test_setup(test_hides_iommu, setup),
		cmocka_unit_test_setup(test_rsdt_only, setup),
		cmocka_unit_test_setup(test_xsdt_out_of_reach, setup),
		cmocka_unit_test_setup(test_extended_pm_timer, setup),
		cmocka_unit_test_setup(test_short_fadt, setup),
		cmocka_unit_test_setup(test_reset_register_in_memory, setup),
		cmocka_unit_test_setup(test_sleep_states, setup),
		cmocka_unit_test_setup(test_sleep_states_elsewhere, setup),
		cmocka_unit_test_setup(test_sleep_control_register, setup),
		cmocka_unit_test_setup(test_madt_malformed, setup),
		cmocka_unit_test_setup(test_too_many_processors, setup),
		cmocka_unit_test_setup(test_boot_lp_first, setup),
		cmocka_unit_test_setup(test_check_rsdp, setup),
		cmocka_unit_test_setup(test_scan, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
