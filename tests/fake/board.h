/* A board with its fake home, and the words in which device tests speak to it. */
#ifndef FAKE_BOARD_H
#define FAKE_BOARD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/fake/host.h"

extern struct host home;
extern struct board board;

int board_setup(void **state);
/* With firmware's chip set. */
int board_setup_generation_1(void **state);
int board_setup_generation_2(void **state);
int board_teardown(void **state);

static inline uint32_t in(uint16_t port, unsigned int size)
{
	return board_port_read(&board, port, size);
}

static inline void out(uint16_t port, unsigned int size, uint32_t value)
{
	board_port_write(&board, port, size, value);
}

static inline uint8_t inb(uint16_t port)
{
	return (uint8_t)in(port, 1);
}

static inline void outb(uint16_t port, uint8_t value)
{
	out(port, 1, value);
}

static inline void pass(uint64_t ns)
{
	fake_host_pass(&home, &board, ns);
}

/* The IO-APIC's registers. */
uint32_t ioapic_get(uint8_t index);
void ioapic_set(uint8_t index, uint32_t value);
/* Lets a pin through: fixed delivery to APIC 0 with this vector. */
void ioapic_route(unsigned int pin, uint8_t vector, bool level);
/* How many interrupts with this vector came. */
unsigned int interrupts_with(uint8_t vector);
/*
 * Both 8259s as operating systems set them up: vectors from 0x20 and 0x28, everything let through.
 */
void pic_init_pc(void);

#define MS  1000000ull
#define SEC 1000000000ull

#endif
