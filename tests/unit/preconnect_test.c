/* What a viewer of RDP says before TLS ([MS-RDPEPS] 2.2.1, [MS-RDPBCGR] 2.2.1.1). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "web/preconnect.h"

/* A preconnection PDU of version 2 with this text, which has its end. */
static size_t blob(const char *text, uint8_t *pdu)
{
	size_t count = strlen(text) + 1, size = 18 + 2 * count, i;

	memset(pdu, 0, size);
	pdu[0] = (uint8_t)size;
	pdu[1] = (uint8_t)(size >> 8);
	pdu[8] = 2;
	pdu[16] = (uint8_t)count;
	pdu[17] = (uint8_t)(count >> 8);
	for (i = 0; i + 1 < count; i++) {
		pdu[18 + 2 * i] = (uint8_t)text[i];
	}
	return size;
}

static void test_machines(void **state)
{
	static const char id[] = "C824F53E-95D2-46C6-9A18-23A5BB403532";
	static const struct {
		const char *said, *machine;
	} texts[] = {
		{id, id},
		{"", ""},
		{"web 1", "web 1"},
		{"web;EnhancedMode=1", "web"},
	};
	uint8_t pdu[PRECONNECT_MAX];
	char machine[MACHINE_MAX], name[MACHINE_MAX + 1];
	size_t size, i;

	(void)state;
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		size = blob(texts[i].said, pdu);
		assert_int_equal(preconnect_length(pdu), size);
		assert_true(preconnect_read(pdu, size, machine));
		assert_string_equal(machine, texts[i].machine);
	}
	/* As long as a name may be, and longer. */
	memset(name, 'n', MACHINE_MAX);
	name[MACHINE_MAX] = '\0';
	assert_false(preconnect_read(pdu, blob(name, pdu), machine));
	name[MACHINE_MAX - 1] = '\0';
	assert_true(preconnect_read(pdu, blob(name, pdu), machine));
	assert_string_equal(machine, name);
	/* Version 1 names none. */
	memset(pdu, 0, 16);
	pdu[0] = 16;
	pdu[8] = 1;
	assert_true(preconnect_read(pdu, 16, machine));
	assert_string_equal(machine, "");
}

/* Each byte of a PDU, changed: nothing but the version's and the text's can be so. */
static void test_no_machines(void **state)
{
	uint8_t pdu[PRECONNECT_MAX];
	char machine[MACHINE_MAX];
	size_t size = blob("ab", pdu), i;

	(void)state;
	for (i = 0; i < size; i++) {
		bool free = (i >= 12 && i < 16) || i >= 22 || i == 18 || i == 20;

		pdu[i] ^= 0x20;
		if (!free) {
			assert_false(preconnect_read(pdu, size, machine));
		}
		pdu[i] ^= 0x20;
	}
	for (i = 0; i < size; i++) {
		assert_false(preconnect_read(pdu, i, machine));
	}
	pdu[19] = 1; /* U+0161 */
	assert_false(preconnect_read(pdu, size, machine));
	pdu[19] = 0;
	pdu[18] = 0x1b;
	assert_false(preconnect_read(pdu, size, machine));
	memset(pdu, 0, PRECONNECT_HEAD);
	assert_int_equal(preconnect_length(pdu), 0);
	pdu[3] = 0xff;
	assert_int_equal(preconnect_length(pdu), 0);
}

static size_t request(const char *line, uint8_t *pdu)
{
	static const uint8_t negotiation[] = {1, 0, 8, 0, 3, 0, 0, 0};
	size_t length = strlen(line), size = 11 + length + sizeof(negotiation);

	memset(pdu, 0, 11);
	pdu[0] = 3;
	pdu[3] = (uint8_t)size;
	pdu[4] = (uint8_t)(size - 5);
	pdu[5] = 0xe0;
	memcpy(pdu + 11, line, length);
	memcpy(pdu + 11 + length, negotiation, sizeof(negotiation));
	return size;
}

static void test_requests(void **state)
{
	static const uint8_t bare[] = {3, 0, 0, 11, 6, 0xe0, 0, 0, 0, 0, 0};
	uint8_t pdu[REQUEST_MAX];
	uint32_t protocols;
	size_t size, i;

	(void)state;
	for (i = 0; i < 2; i++) {
		size = request(i == 0 ? "" : "Cookie: mstshash=carol\r\n", pdu);
		assert_int_equal(request_length(pdu), size);
		assert_true(request_read(pdu, size, &protocols));
		assert_int_equal(protocols, 3);
	}
	assert_true(request_read(bare, sizeof(bare), &protocols));
	assert_int_equal(protocols, 0);
	for (i = 0; i < size; i++) {
		assert_false(request_read(pdu, i, &protocols));
	}
	for (i = 0; i < 6; i++) {
		if (i != 1) {
			pdu[i] ^= 0x10;
			assert_false(request_read(pdu, size, &protocols));
			pdu[i] ^= 0x10;
		}
	}
}

static void test_confirms(void **state)
{
	static const uint8_t yes[CONFIRM_BYTES] = {3, 0, 0, 19, 14, 0xd0, 0, 0, 0, 0,
						   0, 2, 1, 8,  0,  1,    0, 0, 0},
			     no[CONFIRM_BYTES] = {3, 0, 0, 19, 14, 0xd0, 0, 0, 0, 0,
						  0, 3, 0, 8,  0,  1,    0, 0, 0};
	uint8_t pdu[CONFIRM_BYTES];

	(void)state;
	confirm_write(true, pdu);
	assert_memory_equal(pdu, yes, sizeof(pdu));
	confirm_write(false, pdu);
	assert_memory_equal(pdu, no, sizeof(pdu));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_machines),
		cmocka_unit_test(test_no_machines),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_confirms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
