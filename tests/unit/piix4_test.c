/* devices/piix4.c and host_bridge.c: the chip set that firmware finds, with a card behind it. */
#include "tests/fake/board.h"
#include "tests/fake/pci_card.h"

#include <string.h>

static struct card card;
static _Alignas(4096) uint8_t image[256 * 1024];

static int setup(void **state)
{
	board_setup_generation_1(state);
	assert_true(card_add(&card, &board, 3, 0));
	return 0;
}

static void at(unsigned int slot, unsigned int function, unsigned int where)
{
	out(0xcf8, 4, 0x80000000u | slot << 11 | function << 8 | (where & 0xfc));
}

static uint8_t get(unsigned int slot, unsigned int function, unsigned int where)
{
	at(slot, function, where);
	return inb((uint16_t)(0xcfc + where % 4));
}

static void set(unsigned int slot, unsigned int function, unsigned int where, uint8_t value)
{
	at(slot, function, where);
	outb((uint16_t)(0xcfc + where % 4), value);
}

static uint32_t word(unsigned int slot, unsigned int function, unsigned int where)
{
	at(slot, function, where);
	return in(0xcfc, 4);
}

static void who_is_there(void **state)
{
	(void)state;
	assert_int_equal(word(0, 0, 0), 0x12378086);
	assert_int_equal(word(0, 0, 0x2c), 0x11001af4);
	assert_int_equal(word(7, 0, 0), 0x71108086);
	assert_int_equal(word(7, 0, 8), 0x06010003);
	assert_int_equal(get(7, 0, 0x0e), 0x80);
	assert_int_equal(word(7, 1, 0), 0x71118086);
	assert_int_equal(word(7, 2, 0), 0xffffffff);
	assert_int_equal(word(7, 3, 0), 0x71138086);
	assert_int_equal(word(7, 3, 8), 0x06800002);
}

/* RAM is open, and says so; firmware then copies nothing. SMRAM never opens. */
static void ram_is_open(void **state)
{
	unsigned int i;

	(void)state;
	assert_int_equal(get(0, 0, 0x59), 0x30);
	for (i = 0x5a; i <= 0x5f; i++) {
		assert_int_equal(get(0, 0, i), 0x33);
		set(0, 0, i, 0xff);
		assert_int_equal(get(0, 0, i), 0x33);
		set(0, 0, i, 0x11);
		assert_int_equal(get(0, 0, i), 0x11);
	}
	set(0, 0, 0x72, 0x4a);
	assert_int_equal(get(0, 0, 0x72) & 0x40, 0);
}

static void interrupts_are_routed(void **state)
{
	(void)state;
	ioapic_route(11, 0x4b, true);
	ioapic_route(10, 0x4a, true);
	assert_int_equal(word(7, 0, 0x60), 0x80808080);
	pci_set_intx(&card.function, true); /* INTA of slot 3: PIRQ C */
	assert_int_equal(home.interrupt_count, 0);
	set(7, 0, 0x62, 11);
	assert_int_equal(interrupts_with(0x4b), 1);
	set(7, 0, 0x62, 10);
	assert_int_equal(interrupts_with(0x4a), 1);
	set(7, 0, 0x62, 0x8a);
	board_apic_eoi(&board, 0x4a);
	assert_int_equal(interrupts_with(0x4a), 1);
	set(7, 0, 0x62, 8); /* not a line that a PIRQ may have */
	pci_set_intx(&card.function, false);
	assert_int_equal(word(7, 0, 0x60), 0x80088080);
}

static void acpi_registers_are_placed(void **state)
{
	(void)state;
	assert_int_equal(in(0x404, 2), 0xffff);
	assert_int_equal(word(7, 3, 0x40), 1);
	at(7, 3, 0x40);
	out(0xcfc, 4, 0xffffb001);
	assert_int_equal(word(7, 3, 0x40), 0xb001);
	assert_int_equal(in(0xb004, 2), 0xffff);
	set(7, 3, 0x80, 1);
	assert_int_equal(in(0xb004, 2), 1);
	pass(SEC);
	assert_int_equal(in(0xb008, 4), 3579545);
	assert_int_equal(in(0xb020, 4), 0);
	at(7, 3, 0x40);
	out(0xcfc, 4, 0x600);
	assert_int_equal(in(0xb004, 2), 0xffff);
	assert_int_equal(in(0x604, 2), 1);
	/* Firmware that reads no tables turns a PIIX4 off by type 0. */
	out(0x604, 2, 5 << 10 | 1 << 13);
	assert_false(home.power_told);
	out(0x604, 2, 1 << 13);
	assert_true(home.power_told);
	assert_int_equal(home.power, HOST_POWER_OFF);
	board_reset(&board);
	assert_int_equal(in(0x604, 2), 0xffff);
}

/* Firmware would enter SMM once, and wait for ever: it is told that it has done so. */
static void there_is_no_smm(void **state)
{
	(void)state;
	assert_int_equal(word(7, 3, 0x58) >> 25 & 1, 1);
	set(7, 3, 0x5b, 0);
	assert_int_equal(word(7, 3, 0x58) >> 25 & 1, 1);
}

static void the_rom_ends_at_4_gib(void **state)
{
	(void)state;
	memset(image, 0xf4, sizeof(image));
	image[sizeof(image) - 16] = 0xea;
	assert_true(board_add_rom(&board, image, sizeof(image)));
	assert_int_equal(home.map_count, 1);
	assert_int_equal(board_memory_read(&board, 0xfffffff0, 1), 0xea);
	board_memory_write(&board, 0xfffffff0, 1, 0);
	assert_int_equal(board_memory_read(&board, 0xfffffff0, 1), 0xea);
	assert_false(board_add_rom(&board, image, BOARD_ROM_MAX + 4096));
	memset(home.mappings, 0, sizeof(home.mappings));
	board_map(&board);
	assert_int_equal(home.map_count, 2);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, board_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(who_is_there),          T(ram_is_open),
		T(interrupts_are_routed), T(acpi_registers_are_placed),
		T(there_is_no_smm),       T(the_rom_ends_at_4_gib),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
