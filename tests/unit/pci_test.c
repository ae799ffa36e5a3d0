/* devices/pci.c and pci_msi.c: functions made for this test, as a guest's PCI set-up treats
 * them. */
#include "tests/fake/board.h"
#include "tests/fake/pci_card.h"

#include <string.h>

#include "lib/check.h"

static struct card cards[4];

static void make_card(struct card *card, unsigned int slot, unsigned int number)
{
	assert_true(card_add(card, &board, slot, number));
}

static int setup(void **state)
{
	board_setup(state);
	make_card(&cards[0], 3, 0);
	return 0;
}

static void at(unsigned int slot, unsigned int number, unsigned int where)
{
	out(0xcf8, 4, 0x80000000u | slot << 11 | number << 8 | (where & 0xfc));
}

static uint32_t get(unsigned int where)
{
	at(3, 0, where);
	return in(0xcfc, 4);
}

static void set(unsigned int where, uint32_t value)
{
	at(3, 0, where);
	out(0xcfc, 4, value);
}

static void set_command(uint16_t command)
{
	at(3, 0, PCI_COMMAND);
	out(0xcfc, 2, command);
}

static uint64_t read_at(uint64_t gpa, unsigned int size)
{
	return board_memory_read(&board, gpa, size);
}

static void write_at(uint64_t gpa, unsigned int size, uint64_t value)
{
	board_memory_write(&board, gpa, size, value);
}

static void identity(void **state)
{
	(void)state;
	assert_int_equal(get(0), 0x56781234);
	assert_int_equal(get(4), 0x00100000);
	assert_int_equal(get(8), 0xff010207);
	assert_int_equal(get(0x0c), 0);
	assert_int_equal(get(0x2c), 0xdef09abc);
	assert_int_equal(get(0x3c), 0x00000100);
	set(0, 0);
	set(8, 0);
	set(0x2c, 0);
	assert_int_equal(get(0), 0x56781234);
	assert_int_equal(get(8), 0xff010207);
	assert_int_equal(get(0x2c), 0xdef09abc);
	set(0x3c, 0xffffffff);
	assert_int_equal(get(0x3c), 0x000001ff);
	set(4, 0xffffffff);
	assert_int_equal(get(4), 0x00100407);
}

static void functions_of_a_slot(void **state)
{
	(void)state;
	make_card(&cards[1], 3, 2);
	at(3, 0, 0x0c);
	assert_int_equal(in(0xcfe, 1), 0x80);
	at(3, 1, 0);
	assert_int_equal(in(0xcfc, 4), 0xffffffff);
	at(3, 2, 0);
	assert_int_equal(in(0xcfc, 4), 0x56781234);
	assert_false(pci_add(&board.pci, 3, 2, &cards[1].function));
	assert_false(pci_add(&board.pci, 32, 0, &cards[1].function));
}

static void capabilities_are_a_list(void **state)
{
	(void)state;
	assert_int_equal(get(0x34), 0x40);
	assert_int_equal(get(0x40), 69u << 16 | 0x5011);
	assert_int_equal(get(0x44), 0x1004);
	assert_int_equal(get(0x48), 0x1804);
	assert_int_equal(get(0x50), 0x01840005);
}

static void bars_say_their_size(void **state)
{
	(void)state;
	assert_int_equal(get(0x10), 1);
	assert_int_equal(get(0x20), 4);
	set(0x10, 0xffffffff);
	set(0x14, 0xffffffff);
	set(0x18, 0xffffffff);
	set(0x1c, 0xffffffff);
	set(0x20, 0xffffffff);
	set(0x24, 0xffffffff);
	set(0x30, 0xfffff800);
	assert_int_equal(get(0x10), 0xffffffe1);
	assert_int_equal(get(0x14), 0xfffff000);
	assert_int_equal(get(0x18), 0xffff0000);
	assert_int_equal(get(0x1c), 0);
	assert_int_equal(get(0x20), 0xffffe004);
	assert_int_equal(get(0x24), 0xffffffff);
	assert_int_equal(get(0x30), 0xfffff000);
}

/* Sizes may be asked while the function decodes: nothing of the end of the address space is
 * taken. */
static void sizing_takes_no_place(void **state)
{
	(void)state;
	set_command(3);
	set(0x10, 0xffffffff);
	set(0x14, 0xffffffff);
	set(0x20, 0xffffffff);
	set(0x24, 0xffffffff);
	cards[0].registers[0] = 0x11223344;
	assert_int_equal(read_at(0xfffff000, 4), 0xffffffff);
	assert_int_equal(read_at(0xfffffffffffff000, 4), 0xffffffff);
	assert_int_equal(in(0xffe0, 4), 0xffffffff);
	set(0x14, 0);
	assert_int_equal(read_at(0, 4), 0xffffffff);
}

static void bars_move(void **state)
{
	(void)state;
	cards[0].registers[0] = 0x11223344;
	set(0x10, 0xc000);
	set(0x14, 0xe0000000);
	assert_int_equal(in(0xc000, 4), 0xffffffff);
	set_command(PCI_COMMAND_IO);
	assert_int_equal(in(0xc000, 4), 0x11223344);
	assert_int_equal(read_at(0xe0000000, 4), 0xffffffff);
	set_command(PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
	assert_int_equal(read_at(0xe0000000, 4), 0x11223344);
	set(0x14, 0xe0100000);
	assert_int_equal(read_at(0xe0000000, 4), 0xffffffff);
	assert_int_equal(read_at(0xe0100000, 4), 0x11223344);
	set(0x10, 0xd020);
	assert_int_equal(in(0xc000, 4), 0xffffffff);
	out(0xd024, 4, 0x55);
	assert_int_equal(cards[0].registers[1], 0x55);
	set(0x10, 0x1c000); /* no port has this number */
	assert_int_equal(in(0xc000, 4), 0xffffffff);
}

static void a_fixed_place_is_not_taken(void **state)
{
	(void)state;
	set_command(3);
	cards[0].registers[0] = 0x11223344;
	set(0x14, 0xfec00000);
	assert_int_equal(ioapic_get(1), 0x00170011);
	set(0x10, 0x40); /* the PIT, and what follows it */
	assert_int_equal(in(0x43, 1), 0xff);
	assert_int_equal(in(0x44, 1), 0);
}

static void a_bar_of_64_bits(void **state)
{
	(void)state;
	set_command(2);
	set(0x20, 0x10000);
	set(0x24, 0x1);
	/* Vector 0's mask, in the second half. */
	assert_int_equal(read_at(0x10001100c, 4), 1);
	assert_int_equal(read_at(0x100010000, 4), 0xffffffff);
	set(0x24, 0x80);
	assert_int_equal(read_at(0x10001100c, 4), 0xffffffff);
	assert_int_equal(read_at(0x800001100c, 4), 1);
}

static void pages_are_mapped_where_the_bar_is(void **state)
{
	(void)state;
	set(0x18, 0xf8000000);
	set(0x30, 0xfb000000);
	set_command(2);
	assert_int_equal(home.map_count, 1);
	set(0x30, 0xfb000001);
	assert_int_equal(home.map_count, 2);
	cards[0].frame_buffer[5] = 0x77;
	assert_int_equal(read_at(0xf8000005, 1), 0x77);
	set_command(0);
	assert_int_equal(home.unmap_count, 2);
	set_command(2);
	assert_int_equal(home.map_count, 4);
}

/* INTA of slot 3 is PIRQ C. */
static void lines_go_where_they_are_routed(void **state)
{
	(void)state;
	ioapic_route(11, 0x4b, true);
	ioapic_route(10, 0x4a, true);
	pci_set_intx(&cards[0].function, true);
	assert_int_equal(get(4) >> 16 & 8, 8);
	assert_int_equal(home.interrupt_count, 0);
	pci_route(&board.pci, 2, 11);
	assert_int_equal(interrupts_with(0x4b), 1);
	pci_route(&board.pci, 2, 10);
	assert_int_equal(interrupts_with(0x4a), 1);
	board_apic_eoi(&board, 0x4b);
	assert_int_equal(interrupts_with(0x4b), 1);
	pci_route(&board.pci, 2, PCI_NO_LINE);
	board_apic_eoi(&board, 0x4a);
	assert_int_equal(interrupts_with(0x4a), 1);
	pci_set_intx(&cards[0].function, false);
	assert_int_equal(get(4) >> 16 & 8, 0);
}

static void lines_are_shared(void **state)
{
	(void)state;
	make_card(&cards[1], 7, 0);
	make_card(&cards[2], 4, 0);
	ioapic_route(11, 0x4b, true);
	pci_route(&board.pci, 2, 11);
	pci_set_intx(&cards[2].function, true); /* PIRQ D */
	assert_int_equal(home.interrupt_count, 0);
	pci_set_intx(&cards[0].function, true);
	pci_set_intx(&cards[1].function, true);
	pci_set_intx(&cards[0].function, false);
	board_apic_eoi(&board, 0x4b);
	assert_int_equal(interrupts_with(0x4b), 2);
	pci_set_intx(&cards[1].function, false);
	board_apic_eoi(&board, 0x4b);
	assert_int_equal(interrupts_with(0x4b), 2);
}

static void lines_that_are_disabled(void **state)
{
	(void)state;
	ioapic_route(11, 0x4b, true);
	pci_route(&board.pci, 2, 11);
	set_command(PCI_COMMAND_NO_INTX);
	pci_set_intx(&cards[0].function, true);
	assert_int_equal(home.interrupt_count, 0);
	assert_int_equal(get(4) >> 16 & 8, 8);
	set_command(0);
	assert_int_equal(home.interrupt_count, 1);
	set(0x50, 1u << 16); /* messages instead */
	board_apic_eoi(&board, 0x4b);
	assert_int_equal(home.interrupt_count, 1);
	set(0x50, 0);
	assert_int_equal(home.interrupt_count, 2);
}

static void the_8259_sees_them_too(void **state)
{
	uint8_t vector;

	(void)state;
	pic_init_pc();
	outb(0x4d1, 0x0e); /* 9 to 11: level */
	pci_route(&board.pci, 2, 11);
	pci_set_intx(&cards[0].function, true);
	assert_true(home.extint);
	assert_true(board_pic_acknowledge(&board, &vector));
	assert_int_equal(vector, 0x2b);
	outb(0xa0, 0x20);
	outb(0x20, 0x20);
	assert_true(home.extint);
	pci_set_intx(&cards[0].function, false);
	assert_false(home.extint);
}

static const struct host_interrupt *last(void)
{
	return &home.interrupts[(home.interrupt_count - 1) % FAKE_INTERRUPTS];
}

static void msi(void **state)
{
	(void)state;
	assert_false(pci_sends(&cards[0].function));
	pci_send(&cards[0].function, 0);
	set(0x54, 0xfee0300c);
	set(0x58, 0);
	set(0x5c, 0x4160);
	set(0x50, 0x00010000);
	assert_true(pci_sends(&cards[0].function));
	pci_send(&cards[0].function, 0);
	assert_int_equal(home.interrupt_count, 0); /* it may not write memory */
	set_command(PCI_COMMAND_MASTER);
	pci_send(&cards[0].function, 3);
	assert_int_equal(home.interrupt_count, 1);
	assert_int_equal(last()->destination, 3);
	assert_true(last()->logical);
	assert_int_equal(last()->vector, 0x60); /* it was given one vector */
	assert_int_equal(last()->delivery_mode, 1);
	assert_false(last()->level);
	set(0x50, 0x00710000); /* it is given more than it asked for */
	pci_send(&cards[0].function, 3);
	assert_int_equal(last()->vector, 0x63);
	pci_send(&cards[0].function, 7);
	assert_int_equal(last()->vector, 0x63);
	set(0x58, 1);
	pci_send(&cards[0].function, 0);
	set(0x58, 0);
	set(0x54, 0xfed00000);
	pci_send(&cards[0].function, 0);
	assert_int_equal(home.interrupt_count, 3); /* no local APIC is there */
}

static void msi_masks(void **state)
{
	(void)state;
	set_command(PCI_COMMAND_MASTER);
	set(0x54, 0xfee00000);
	set(0x5c, 0x60);
	set(0x50, 0x00210000);
	set(0x60, 0xffffffff);
	assert_int_equal(get(0x60), 0xf);
	pci_send(&cards[0].function, 1);
	pci_send(&cards[0].function, 3);
	assert_int_equal(home.interrupt_count, 0);
	assert_int_equal(get(0x64), 0xa);
	set(0x64, 0);
	assert_int_equal(get(0x64), 0xa);
	set(0x60, 8);
	assert_int_equal(home.interrupt_count, 1);
	assert_int_equal(last()->vector, 0x61);
	assert_int_equal(get(0x64), 8);
	set(0x60, 0);
	assert_int_equal(last()->vector, 0x63);
	assert_int_equal(get(0x64), 0);
}

#define TABLE 0xe0001000u

static void set_vector(unsigned int vector, uint32_t address, uint32_t data, uint32_t control)
{
	write_at(TABLE + vector * 16, 4, address);
	write_at(TABLE + vector * 16 + 4, 4, 0);
	write_at(TABLE + vector * 16 + 8, 4, data);
	write_at(TABLE + vector * 16 + 12, 4, control);
}

static void enable_msix(void)
{
	set(0x20, 0xe0000000);
	set_command(PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY);
	set(0x40, 0x80000000);
}

static void msix(void **state)
{
	(void)state;
	enable_msix();
	set_vector(0, 0xfee05000, 0x51, 0);
	set_vector(69, 0xfee06000, 0x52, 0);
	pci_send(&cards[0].function, 0);
	assert_int_equal(last()->vector, 0x51);
	assert_int_equal(last()->destination, 5);
	pci_send(&cards[0].function, 69);
	assert_int_equal(last()->vector, 0x52);
	assert_int_equal(last()->destination, 6);
	assert_int_equal(home.interrupt_count, 2);
	/* Entries that are not there. */
	set_vector(70, 0xfee06000, 0x52, 0);
	assert_true(read_at(TABLE + 70 * 16, 8) == 0);
	/* 8 bytes at once; odd ones are lost. */
	write_at(TABLE + 16, 8, 0x00000000fee07003);
	write_at(TABLE + 24, 8, 0x00000000000000ff);
	assert_true(read_at(TABLE + 16, 8) == 0xfee07000);
	write_at(TABLE + 16, 2, 0);
	assert_int_equal(read_at(TABLE + 18, 2), 0xfee0);
	pci_send(&cards[0].function, 1);
	assert_int_equal(last()->vector, 0xff);
}

static void msix_masks(void **state)
{
	(void)state;
	enable_msix();
	set_vector(65, 0xfee05000, 0x51, 1);
	set_vector(1, 0xfee05000, 0x52, 0);
	pci_send(&cards[0].function, 65);
	pci_send(&cards[0].function, 65);
	assert_int_equal(home.interrupt_count, 0);
	assert_true(read_at(TABLE + PCI_MSIX_PBA + 8, 8) == 2);
	write_at(TABLE + PCI_MSIX_PBA + 8, 8, 0);
	assert_int_equal(read_at(TABLE + PCI_MSIX_PBA + 8, 4), 2);
	set(0x40, 0xc0000000);
	write_at(TABLE + 65 * 16 + 12, 4, 0);
	pci_send(&cards[0].function, 1);
	assert_int_equal(home.interrupt_count, 0);
	assert_int_equal(read_at(TABLE + PCI_MSIX_PBA, 4), 2);
	set(0x40, 0x80000000);
	assert_int_equal(home.interrupt_count, 2);
	assert_int_equal(interrupts_with(0x51), 1);
	assert_int_equal(interrupts_with(0x52), 1);
	assert_true(read_at(TABLE + PCI_MSIX_PBA, 8) == 0);
	/* Enabled no more: nothing is sent, INTx is back. */
	set(0x40, 0);
	pci_send(&cards[0].function, 1);
	assert_int_equal(home.interrupt_count, 2);
}

static void a_device_is_told_of_writes(void **state)
{
	(void)state;
	at(3, 0, 0x5c);
	out(0xcfe, 2, 0);
	assert_int_equal(cards[0].written, 2);
	assert_int_equal(cards[0].written_at, 0x5e);
	at(4, 0, 0);
	out(0xcfc, 4, 0);
	assert_int_equal(cards[0].written, 2);
}

static void a_reset_takes_all_back(void **state)
{
	(void)state;
	enable_msix();
	set(0x10, 0xc000);
	set(0x18, 0xf8000000);
	set_vector(0, 0xfee05000, 0x51, 1);
	pci_send(&cards[0].function, 0);
	set(0x40, 0);
	ioapic_route(11, 0x4b, true);
	pci_route(&board.pci, 2, 11);
	pci_set_intx(&cards[0].function, true);
	board_reset(&board);
	assert_int_equal(home.map_count, home.unmap_count);
	assert_int_equal(in(0xc000, 4), 0xffffffff);
	assert_int_equal(read_at(TABLE, 4), 0xffffffff);
	assert_int_equal(get(4), 0x00100000);
	assert_int_equal(get(0x10), 1);
	ioapic_route(11, 0x4b, true);
	assert_int_equal(interrupts_with(0x4b), 1);
	enable_msix();
	assert_int_equal(read_at(TABLE + PCI_MSIX_PBA, 4), 0);
	assert_int_equal(read_at(TABLE + 8, 4), 0);
}

/* A whole bus of functions, all of whose places are the same. */
static void many_functions(void **state)
{
	static struct card many[12];
	unsigned int i, j;

	(void)state;
	for (i = 0; i < ARRAY_COUNT(many); i++) {
		make_card(&many[i], 4 + i, 0);
		for (j = 0x10; j <= 0x30; j += 4) {
			at(4 + i, 0, j);
			out(0xcfc, 4, j == 0x24 ? 0 : 0xe0000000);
		}
		at(4 + i, 0, PCI_COMMAND);
		out(0xcfc, 2, 7);
	}
	many[0].registers[1] = 0x1111;
	many[11].registers[1] = 0x2222;
	assert_int_equal(read_at(0xe0000004, 4), 0x1111);
	at(4, 0, PCI_COMMAND);
	for (i = 0; i < 11; i++) {
		at(4 + i, 0, PCI_COMMAND);
		out(0xcfc, 2, 0);
	}
	assert_int_equal(read_at(0xe0000004, 4), 0x2222);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, board_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(identity),
		T(functions_of_a_slot),
		T(capabilities_are_a_list),
		T(bars_say_their_size),
		T(sizing_takes_no_place),
		T(bars_move),
		T(a_fixed_place_is_not_taken),
		T(a_bar_of_64_bits),
		T(pages_are_mapped_where_the_bar_is),
		T(lines_go_where_they_are_routed),
		T(lines_are_shared),
		T(lines_that_are_disabled),
		T(the_8259_sees_them_too),
		T(msi),
		T(msi_masks),
		T(msix),
		T(msix_masks),
		T(a_device_is_told_of_writes),
		T(a_reset_takes_all_back),
		T(many_functions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
