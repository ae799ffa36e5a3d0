/* devices/fw_cfg.c, as firmware uses it, and the port for its messages. */
#include "tests/fake/board.h"

#include <stdio.h>
#include <string.h>

static const char greeting[] = "hello, firmware";

static int setup(void **state)
{
	board_setup_generation_1(state);
	assert_true(fw_cfg_add_file(&board.fw_cfg, "etc/greeting", greeting, sizeof(greeting)));
	return 0;
}

static void choose(uint16_t key)
{
	out(0x510, 2, key);
}

static uint32_t big_endian(void)
{
	uint32_t value = 0, i;

	for (i = 0; i < 4; i++) {
		value = value << 8 | inb(0x511);
	}
	return value;
}

static void only_with_firmware(void **state)
{
	(void)state;
	board_teardown(NULL);
	board_setup(NULL);
	assert_int_equal(in(0x511, 1), 0xff);
}

static void signature_and_features(void **state)
{
	(void)state;
	choose(0);
	assert_int_equal(big_endian(), 0x51454d55);
	assert_int_equal(inb(0x511), 0); /* behind the end */
	choose(1);
	assert_int_equal(inb(0x511), 3);
	assert_int_equal(in(0x514, 4), 0x554d4551); /* "QEMU", as bytes */
	assert_int_equal(in(0x518, 4), 0x47464320);
}

static void numbers_and_what_nobody_knows(void **state)
{
	(void)state;
	fw_cfg_set_u16(&board.fw_cfg, FW_CFG_VP_COUNT, 0x1234);
	choose(FW_CFG_VP_COUNT);
	assert_int_equal(inb(0x511), 0x34);
	assert_int_equal(inb(0x511), 0x12);
	choose(0x8000);
	assert_int_equal(inb(0x511), 0);
	choose(0xffff);
	assert_int_equal(inb(0x511), 0);
}

static void the_directory(void **state)
{
	char name[56];
	unsigned int i;
	uint16_t key;

	(void)state;
	choose(0x19);
	assert_int_equal(big_endian(), 1);
	assert_int_equal(big_endian(), sizeof(greeting));
	key = (uint16_t)(inb(0x511) << 8);
	key |= inb(0x511);
	assert_int_equal(inb(0x511) | inb(0x511), 0);
	for (i = 0; i < sizeof(name); i++) {
		name[i] = (char)inb(0x511);
	}
	assert_string_equal(name, "etc/greeting");
	choose(key);
	for (i = 0; i < sizeof(greeting); i++) {
		assert_int_equal(inb(0x511), greeting[i]);
	}
	assert_int_equal(inb(0x511), 0);
	choose(key);
	assert_int_equal(inb(0x511), 'h');
}

static void files_have_an_end(void **state)
{
	char name[60];
	unsigned int i;

	(void)state;
	for (i = 1; i < FW_CFG_FILES; i++) {
		snprintf(name, sizeof(name), "file%u", i);
		assert_true(fw_cfg_add_file(&board.fw_cfg, name, greeting, 1));
	}
	assert_false(fw_cfg_add_file(&board.fw_cfg, "one more", greeting, 1));
	choose(0x19);
	assert_int_equal(big_endian(), FW_CFG_FILES);
	board_teardown(NULL);
	board_setup_generation_1(NULL);
	memset(name, 'x', 56);
	name[56] = 0;
	assert_false(fw_cfg_add_file(&board.fw_cfg, name, greeting, 1));
	name[55] = 0;
	assert_true(fw_cfg_add_file(&board.fw_cfg, name, greeting, 1));
}

static void put_big_endian(uint32_t at, uint32_t value)
{
	value = __builtin_bswap32(value);
	memcpy(&home.ram[at], &value, sizeof(value));
}

/* A request at 0x100, and the first four bytes of it afterwards. */
static uint32_t request(uint32_t control, uint32_t length, uint64_t address)
{
	uint32_t result;

	put_big_endian(0x100, control);
	put_big_endian(0x104, length);
	put_big_endian(0x108, (uint32_t)(address >> 32));
	put_big_endian(0x10c, (uint32_t)address);
	out(0x514, 4, 0);
	out(0x518, 4, __builtin_bswap32(0x100));
	memcpy(&result, &home.ram[0x100], sizeof(result));
	return __builtin_bswap32(result);
}

static void requests_in_memory(void **state)
{
	(void)state;
	memset(&home.ram[0x200], 0xee, 64);
	assert_int_equal(request(0x0020000a, 32, 0x200), 0); /* select, read */
	assert_memory_equal(&home.ram[0x200], greeting, sizeof(greeting));
	assert_int_equal(home.ram[0x200 + sizeof(greeting)], 0);
	assert_int_equal(home.ram[0x21f], 0);
	assert_int_equal(home.ram[0x220], 0xee);
	assert_int_equal(request(0x00200008, 0, 0), 0);
	assert_int_equal(request(0x4, 7, 0), 0); /* skip */
	assert_int_equal(inb(0x511), 'f');
	assert_int_equal(request(0x4, 0xffffffff, 0), 0);
	assert_int_equal(inb(0x511), 0);
}

static void requests_that_cannot_be(void **state)
{
	(void)state;
	assert_int_equal(request(0x0020000a, 32, FAKE_RAM - 31), 1);
	assert_int_equal(request(0x0020000a, 0xffffffff, 0), 1);
	assert_int_equal(request(0x0020000a, 1, UINT64_MAX), 1);
	assert_int_equal(request(0x00200018, 4, 0x200), 1); /* write */
	assert_int_equal(request(0x0020000a, 0, UINT64_MAX), 0);
	/* The request itself is not in RAM. */
	out(0x514, 4, 0xffffffff);
	out(0x518, 4, 0xffffffff);
	/* Half of the address is used up by each request. */
	memset(&home.ram[0], 0, 16);
	put_big_endian(0, 0x00010008);
	out(0x518, 4, 0);
	assert_int_equal(inb(0x511), 3);
}

/* A write of another width than firmware's is nothing. */
static void odd_accesses(void **state)
{
	(void)state;
	choose(1);
	out(0x510, 1, 0x05);
	out(0x510, 4, 0x05);
	out(0x518, 2, 0);
	outb(0x511, 0xff);
	assert_int_equal(inb(0x511), 3);
	assert_int_equal(in(0x510, 2), 0xffff);
}

static void messages(void **state)
{
	(void)state;
	assert_int_equal(inb(0x402), 0xe9);
	outb(0x402, 'S');
	outb(0x402, '\n');
	assert_int_equal(home.debug_count, 2);
	assert_memory_equal(home.debug_text, "S\n", 2);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, board_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(only_with_firmware),
		T(signature_and_features),
		T(numbers_and_what_nobody_knows),
		T(the_directory),
		T(files_have_an_end),
		T(requests_in_memory),
		T(requests_that_cannot_be),
		T(odd_accesses),
		T(messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
