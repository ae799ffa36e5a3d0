/* See board.h. */
#include "tests/fake/board.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/check.h"

struct host home;
struct board board;

void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}

int board_setup(void **state)
{
	(void)state;
	fake_host_init(&home);
	board_create(&board, &home, BOARD_DIRECT);
	return 0;
}

int board_setup_generation_1(void **state)
{
	(void)state;
	fake_host_init(&home);
	board_create(&board, &home, BOARD_GENERATION_1);
	return 0;
}

int board_setup_generation_2(void **state)
{
	(void)state;
	fake_host_init(&home);
	board_create(&board, &home, BOARD_GENERATION_2);
	return 0;
}

int board_teardown(void **state)
{
	(void)state;
	board_destroy(&board);
	return 0;
}

uint32_t ioapic_get(uint8_t index)
{
	board_memory_write(&board, BOARD_IOAPIC_BASE, 4, index);
	return (uint32_t)board_memory_read(&board, BOARD_IOAPIC_BASE + 0x10, 4);
}

void ioapic_set(uint8_t index, uint32_t value)
{
	board_memory_write(&board, BOARD_IOAPIC_BASE, 4, index);
	board_memory_write(&board, BOARD_IOAPIC_BASE + 0x10, 4, value);
}

void ioapic_route(unsigned int pin, uint8_t vector, bool level)
{
	ioapic_set((uint8_t)(0x11 + 2 * pin), 0);
	ioapic_set((uint8_t)(0x10 + 2 * pin), vector | (level ? 0x8000u : 0));
}

unsigned int interrupts_with(uint8_t vector)
{
	unsigned int i, count = 0;

	for (i = 0; i < home.interrupt_count && i < FAKE_INTERRUPTS; i++) {
		count += home.interrupts[i].vector == vector;
	}
	return count;
}

void pic_init_pc(void)
{
	outb(0x20, 0x11);
	outb(0x21, 0x20);
	outb(0x21, 0x04);
	outb(0x21, 0x01);
	outb(0xa0, 0x11);
	outb(0xa1, 0x28);
	outb(0xa1, 0x02);
	outb(0xa1, 0x01);
	outb(0x21, 0);
	outb(0xa1, 0);
}
