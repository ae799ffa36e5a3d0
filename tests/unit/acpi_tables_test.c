/* devices/acpi_tables.c: found as an operating system finds them, summed, and read back by iasl. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fake/board.h"

static uint8_t tables[ACPI_TABLES_LENGTH];
static const struct acpi_identity identity = {.generation = {1, [15] = 16},
					      .seed = {2, [ACPI_SEED_BYTES - 1] = 3}};

static uint8_t sum(const void *bytes, size_t length)
{
	const uint8_t *byte = bytes;
	uint8_t total = 0;

	while (length-- != 0) {
		total += *byte++;
	}
	return total;
}

static uint32_t get32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

/* A table by its guest address, whole and with a good sum. */
static const uint8_t *table(uint64_t gpa, const char *signature)
{
	const uint8_t *at;

	assert_in_range(gpa, ACPI_TABLES_GPA, ACPI_TABLES_GPA + ACPI_TABLES_LENGTH - 36);
	at = tables + (gpa - ACPI_TABLES_GPA);
	assert_memory_equal(at, signature, 4);
	assert_in_range(get32(at + 4), 36, ACPI_TABLES_LENGTH);
	assert_int_equal(sum(at, get32(at + 4)), 0);
	return at;
}

static const uint8_t *find(const char *signature)
{
	const uint8_t *xsdt = table(get32(tables + 24), "XSDT");
	uint32_t at;

	for (at = 36; at < get32(xsdt + 4); at += 8) {
		const uint8_t *found = tables + (get32(xsdt + at) - ACPI_TABLES_GPA);

		if (memcmp(found, signature, 4) == 0) {
			return table(get32(xsdt + at), signature);
		}
	}
	fail_msg("there is no %s", signature);
	return NULL;
}

static void both_roots_lead_to_the_same(void **state)
{
	const uint8_t *rsdt, *xsdt;

	(void)state;
	acpi_tables_build(tables, 2, &identity);
	assert_memory_equal(tables, "RSD PTR ", 8);
	assert_int_equal(sum(tables, 20), 0);
	assert_int_equal(sum(tables, 36), 0);
	rsdt = table(get32(tables + 16), "RSDT");
	xsdt = table(get32(tables + 24), "XSDT");
	assert_int_equal((get32(rsdt + 4) - 36) / 4, (get32(xsdt + 4) - 36) / 8);
	assert_int_equal(get32(rsdt + 36), get32(xsdt + 36));
	assert_int_equal(get32(rsdt + 40), get32(xsdt + 44));
}

static void the_fadt_names_the_hardware(void **state)
{
	const uint8_t *fadt;

	(void)state;
	acpi_tables_build(tables, 1, &identity);
	fadt = find("FACP");
	table(get32(fadt + 40), "DSDT");
	assert_memory_equal(tables + (get32(fadt + 36) - ACPI_TABLES_GPA), "FACS", 4);
	assert_int_equal(get32(fadt + 56), ACPI_PM_BASE);
	assert_int_equal(get32(fadt + 64), ACPI_PM_BASE + 4);
	assert_int_equal(get32(fadt + 76), ACPI_PM_BASE + 8);
	assert_int_equal(fadt[128], 6); /* reset value */
	assert_int_equal(get32(fadt + 120), 0xcf9);
}

static void the_madt_names_each_processor(void **state)
{
	static const unsigned int counts[] = {1, 2, 240, ACPI_MAX_VPS};
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		const uint8_t *madt, *at, *end;
		unsigned int processors = 0, ioapics = 0;

		memset(tables, 0, sizeof(tables));
		acpi_tables_build(tables, counts[i], &identity);
		madt = find("APIC");
		end = madt + get32(madt + 4);
		for (at = madt + 44; at < end; at += at[1]) {
			assert_in_range(at[1], 2, 16);
			if (at[0] == 0) {
				assert_int_equal(at[3], processors);
				processors++;
			}
			ioapics += at[0] == 1;
		}
		assert_ptr_equal(at, end);
		assert_int_equal(processors, counts[i]);
		assert_int_equal(ioapics, 1);
	}
}

static void the_identity_is_there(void **state)
{
	const uint8_t *seed;

	(void)state;
	acpi_tables_build(tables, ACPI_MAX_VPS, &identity);
	seed = find("OEM0");
	assert_memory_equal(seed + 16, "MICROSFT", 8);
	assert_int_equal(get32(seed + 4), 36 + ACPI_SEED_BYTES);
	assert_memory_equal(seed + 36, identity.seed, ACPI_SEED_BYTES);
	assert_memory_equal(tables + 0xf000, identity.generation, 16);
}

static void save(const char *folder, const char *name, const uint8_t *at)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s.dat", folder, name);
	file = fopen(path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(at, 1, get32(at + 4), file), get32(at + 4));
	fclose(file);
}

/* iasl takes each table apart, and compiles the DSDT that it got without complaint. */
static void iasl_reads_them(void **state)
{
	char folder[] = "/tmp/acpi-tables-XXXXXX", command[256];
	const uint8_t *fadt;

	(void)state;
	if (system("iasl -v >/dev/null 2>&1") != 0) {
		skip();
	}
	assert_non_null(mkdtemp(folder));
	acpi_tables_build(tables, 4, &identity);
	fadt = find("FACP");
	save(folder, "facp", fadt);
	save(folder, "apic", find("APIC"));
	save(folder, "dsdt", tables + (get32(fadt + 40) - ACPI_TABLES_GPA));
	save(folder, "xsdt", tables + (get32(tables + 24) - ACPI_TABLES_GPA));
	snprintf(command, sizeof(command),
		 "cd %s && for t in facp apic xsdt dsdt; do iasl -d $t.dat; done >log 2>&1 && iasl "
		 "-we -vw 6033 dsdt.dsl >>log 2>&1 && "
		 "! grep -Eq 'Error|Warning|Invalid|Incorrect|Unknown' facp.dsl apic.dsl xsdt.dsl",
		 folder);
	assert_int_equal(system(command), 0);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	assert_int_equal(system(command), 0);
}

/* ---- For a machine with firmware ---- */

#define RSDP_AT 0xf0100u

static struct acpi_files files;
static uint8_t rsdp[ACPI_RSDP_BYTES];
static enum acpi_firmware firmware; /* whose way it is */

/* Which file a command names, where it was put, and its length. */
static uint8_t *file_of(const uint8_t *name, uint32_t *base, uint32_t *length)
{
	if (strcmp((const char *)name, ACPI_FILE_RSDP) == 0) {
		*base = RSDP_AT;
		*length = sizeof(rsdp);
		return rsdp;
	}
	assert_string_equal((const char *)name, ACPI_FILE_TABLES);
	*base = ACPI_TABLES_GPA;
	*length = files.tables_length;
	return tables;
}

/* As firmware's loader does it. */
static void carry_out(const uint8_t *command)
{
	uint32_t base, length, to, to_length, offset, start, count;
	uint8_t *file = file_of(command + 4, &base, &length);
	uint64_t value = 0;

	switch (get32(command)) {
	case 1:
		assert_int_equal(base % get32(command + 60), 0);
		assert_int_equal(command[64], file == rsdp ? 2 : 1);
		return;
	case 2:
		(void)file_of(command + 60, &to, &to_length);
		offset = get32(command + 116);
		assert_true(command[120] <= 8 && offset <= length - command[120]);
		memcpy(&value, file + offset, command[120]);
		assert_true(value < to_length);
		value += to;
		memcpy(file + offset, &value, command[120]);
		return;
	case 3:
		offset = get32(command + 60);
		start = get32(command + 64);
		count = get32(command + 68);
		assert_true(offset < length && start <= length && count <= length - start);
		file[offset] = (uint8_t)((firmware == ACPI_BIOS ? file[offset] : 0) -
					 sum(file + start, count));
		return;
	default:
		fail_msg("command %u", get32(command));
	}
}

static const uint8_t *find_bytes(const uint8_t *in, size_t size, const void *what, size_t length)
{
	const uint8_t *found = memmem(in, size, what, length);

	assert_non_null(found);
	return found;
}

/* A device at the page that the board has, and a method that names it when the ID has changed. */
static void look_for_generation(const uint8_t *dsdt)
{
	static const uint8_t place[] = {0x0c, 0x00, 0x00, 0xd5, 0xfe}; /* a DWordConst */
	const uint8_t *end = dsdt + get32(dsdt + 4), *device;

	assert_int_equal(BOARD_GENERATION_BASE, 0xfed50000);
	device = find_bytes(dsdt, (size_t)(end - dsdt), "VDGR0001", 8);
	(void)find_bytes(device, 100, "VM_Gen_Counter", 14);
	(void)find_bytes(device, 100, place, sizeof(place));
	device = find_bytes(dsdt, (size_t)(end - dsdt), "_E00", 4);
	(void)find_bytes(device, 40, "VGEN", 4);
}

static void place_them(uint32_t pm_base)
{
	const uint8_t *fadt, *madt;
	uint32_t i;

	acpi_files_build(&files, 3, firmware, firmware == ACPI_UEFI);
	memcpy(tables, files.tables, sizeof(tables));
	memcpy(rsdp, files.rsdp, sizeof(rsdp));
	for (i = 0; i < files.command_count; i++) {
		carry_out(files.commands[i]);
	}
	assert_int_equal(sum(rsdp, 20), 0);
	assert_int_equal(sum(rsdp, 36), 0);
	assert_int_equal(table(get32(rsdp + 16), "RSDT")[36], table(get32(rsdp + 24), "XSDT")[36]);
	madt = table(get32(table(get32(rsdp + 24), "XSDT") + 44), "APIC");
	assert_int_equal(madt[44 + 2 * 8 + 3], 2); /* the third processor */
	fadt = table(get32(table(get32(rsdp + 24), "XSDT") + 36), "FACP");
	assert_memory_equal(tables + (get32(fadt + 36) - ACPI_TABLES_GPA), "FACS", 4);
	look_for_generation(table(get32(fadt + 40), "DSDT"));
	assert_int_equal(get32(fadt + 140), get32(fadt + 40));
	assert_int_equal(get32(fadt + 56), pm_base);
	assert_int_equal(get32(fadt + 76), pm_base + 8);
	if (firmware == ACPI_UEFI) {
		const uint8_t *tpm2 = table(get32(table(get32(rsdp + 24), "XSDT") + 52), "TPM2");

		assert_int_equal(get32(tpm2 + 40), TPM_CONTROL_AREA);
		assert_int_equal(get32(tpm2 + 44), 0);
		assert_int_equal(get32(tpm2 + 48), 7);
	}
}

static void firmware_places_them(void **state)
{
	(void)state;
	firmware = ACPI_BIOS;
	place_them(ACPI_PM_BASE_BIOS);
	firmware = ACPI_UEFI;
	place_them(ACPI_PM_BASE_UEFI);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_roots_lead_to_the_same),
		cmocka_unit_test(the_fadt_names_the_hardware),
		cmocka_unit_test(the_madt_names_each_processor),
		cmocka_unit_test(the_identity_is_there),
		cmocka_unit_test(iasl_reads_them),
		cmocka_unit_test(firmware_places_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
