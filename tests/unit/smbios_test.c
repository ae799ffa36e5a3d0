/* devices/smbios.c: summed, walked as a system walks it, and read by dmidecode. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/smbios.h"

static struct smbios smbios;
static uint8_t tables[SMBIOS_LENGTH];

static const struct smbios_machine machine = {
	.firmware = "Verdigris",
	.name = "gr\xc3\xbc\xc3\x9f dich",
	.serial = "0123-4567",
	.uuid = {0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd,
		 0xee, 0xff},
	.memory = 3ull << 40,
	.vp_count = 240,
};

static uint8_t sum(const uint8_t *at, size_t length)
{
	uint8_t total = 0;

	while (length-- != 0) {
		total += *at++;
	}
	return total;
}

/* Behind a structure and its texts. */
static const uint8_t *after(const uint8_t *at)
{
	for (at += at[1]; at[0] != 0 || at[1] != 0; at++) {
	}
	return at + 2;
}

static void structures(void **state)
{
	const uint8_t *at = tables + 32, *end;
	uint16_t length, count, i;

	(void)state;
	smbios_build(&smbios, &machine);
	smbios_place(&smbios, tables);
	assert_memory_equal(tables, "_SM_", 4);
	assert_memory_equal(tables + 16, "_DMI_", 5);
	assert_int_equal(sum(tables, tables[5]), 0);
	assert_int_equal(sum(tables + 16, 15), 0);
	memcpy(&length, tables + 0x16, 2);
	memcpy(&count, tables + 0x1c, 2);
	end = at + length;
	for (i = 0; i < count; i++) {
		assert_true(at < end);
		assert_int_equal(at[2], i); /* the handles in their order */
		assert_int_equal(i == count - 1, at[0] == 127);
		at = after(at);
	}
	assert_ptr_equal(at, end);
	/* As files firmware places the same, and says where. */
	assert_memory_equal(smbios.anchor, "_SM_", 4);
	assert_int_equal(smbios.anchor[22] | smbios.anchor[23] << 8, smbios.length);
	assert_memory_equal(smbios.tables, tables + 32, smbios.length);
}

static char *decoded(const char *command)
{
	static char text[16384];
	FILE *pipe = popen(command, "r");
	size_t length;

	assert_non_null(pipe);
	length = fread(text, 1, sizeof(text) - 1, pipe);
	text[length] = '\0';
	assert_int_equal(pclose(pipe), 0);
	return text;
}

static void dmidecode_reads_them(void **state)
{
	static const char *const lines[] = {
		"Serial Number: 0123-4567",
		"UUID: 00112233-4455-6677-8899-aabbccddeeff",
		"Asset Tag: gr???? dich",
		"Manufacturer: Microsoft Corporation",
		"Product Name: Virtual Machine",
		"Core Count: 240",
		"Size: 3 TB",
		"System is a virtual machine",
	};
	char path[] = "/tmp/smbios-XXXXXX", command[128];
	uint32_t table = 32;
	char *text;
	size_t i;
	int file;

	(void)state;
	if (system("dmidecode --version >/dev/null 2>&1 || /usr/sbin/dmidecode --version "
		   ">/dev/null 2>&1") != 0) {
		skip();
	}
	smbios_build(&smbios, &machine);
	smbios_place(&smbios, tables);
	/* In a file the address of the table is its place there; the sum of the part that has it is
	 * mended. */
	tables[21] += 0x0f + 0xf0; /* 0xff020 becomes 32 */
	memcpy(tables + 0x18, &table, 4);
	file = mkstemp(path);
	assert_true(write(file, tables, sizeof(tables)) == (ssize_t)sizeof(tables));
	close(file);
	snprintf(command, sizeof(command), "PATH=$PATH:/usr/sbin dmidecode --from-dump %s 2>&1",
		 path);
	text = decoded(command);
	unlink(path);
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		if (strstr(text, lines[i]) == NULL) {
			fail_msg("no '%s' in: %s", lines[i], text);
		}
	}
	assert_null(strstr(text, "Invalid"));
	assert_null(strstr(text, "BAD"));
	assert_null(strstr(text, "OUT OF SPEC"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(structures),
		cmocka_unit_test(dmidecode_reads_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
