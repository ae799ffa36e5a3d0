/* devices/i8042.c: as systems look for a keyboard and a mouse. */
#include "tests/fake/board.h"

static void command(uint8_t value)
{
	outb(0x64, value);
}

/* The byte that is there; the mouse's have `aux`. */
static void gives(uint8_t byte, bool aux)
{
	assert_int_equal(inb(0x64) & 0x21, aux ? 0x21 : 0x01);
	assert_int_equal(inb(0x60), byte);
}

static void gives_no_more(void)
{
	assert_int_equal(inb(0x64) & 0x21, 0);
}

static int setup(void **state)
{
	board_setup_generation_1(state);
	command(0xae);
	command(0xa8);
	return 0;
}

static void mouse(uint8_t value)
{
	command(0xd4);
	outb(0x60, value);
}

static void the_controller(void **state)
{
	(void)state;
	assert_int_equal(inb(0x64) & 0x04, 0);
	command(0xaa);
	gives(0x55, false);
	assert_int_equal(inb(0x64) & 0x0c, 0x0c);
	command(0xab);
	gives(0, false);
	command(0xa9);
	gives(0, false);
	command(0x60);
	outb(0x60, 0xff);
	command(0x20);
	gives(0x77, false);
	command(0xc0);
	gives(0x80, false);
	command(0xd0);
	gives(0x03, false);
	gives_no_more();
}

/* Linux asks so whether there are several mice; an answer that is the question means no. */
static void loops(void **state)
{
	static const uint8_t probe[] = {0x5a, 0xf0, 0x56, 0xa4};
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(probe); i++) {
		command(0xd3);
		outb(0x60, probe[i]);
		gives(probe[i], true);
	}
	command(0xd2);
	outb(0x60, 0x11);
	gives(0x11, false);
}

static void the_keyboard(void **state)
{
	(void)state;
	outb(0x60, 0xff);
	gives(0xfa, false);
	gives(0xaa, false);
	outb(0x60, 0xf2);
	gives(0xfa, false);
	gives(0xab, false);
	gives(0x83, false);
	command(0x60);
	outb(0x60, 0x40);
	outb(0x60, 0xf2);
	gives(0xfa, false);
	gives(0xab, false);
	gives(0x41, false);
	outb(0x60, 0xfe);
	gives(0x41, false);
	outb(0x60, 0xed);
	gives(0xfa, false);
	outb(0x60, 0x07);
	gives(0xfa, false);
	outb(0x60, 0xf0);
	outb(0x60, 0x03);
	outb(0x60, 0xf0);
	outb(0x60, 0x00);
	gives(0xfa, false);
	gives(0xfa, false);
	gives(0xfa, false);
	gives(0xfa, false);
	gives(0x03, false);
	outb(0x60, 0x01);
	gives(0xfe, false);
	outb(0x60, 0xee);
	gives(0xee, false);
	gives_no_more();
}

static void the_mouse(void **state)
{
	(void)state;
	mouse(0xff);
	gives(0xfa, true);
	gives(0xaa, true);
	gives(0x00, true);
	mouse(0xf2);
	gives(0xfa, true);
	gives(0x00, true);
	mouse(0xe8);
	gives(0xfa, true);
	mouse(0x03);
	gives(0xfa, true);
	mouse(0xf4);
	gives(0xfa, true);
	mouse(0xe9);
	gives(0xfa, true);
	gives(0x20, true);
	gives(0x03, true);
	gives(100, true);
	mouse(0xeb);
	gives(0xfa, true);
	gives(0x08, true);
	gives(0x00, true);
	gives(0x00, true);
	mouse(0xee);
	gives(0xfa, true);
	mouse(0x12);
	gives(0x12, true);
	mouse(0xec);
	gives(0xfa, true);
	mouse(0x12);
	gives(0xfe, true);
	gives_no_more();
}

static void rate(uint8_t value)
{
	mouse(0xf3);
	gives(0xfa, true);
	mouse(value);
	gives(0xfa, true);
}

static void wheels(void **state)
{
	(void)state;
	rate(200);
	rate(100);
	rate(80);
	mouse(0xf2);
	gives(0xfa, true);
	gives(3, true);
	rate(200);
	rate(200);
	rate(80);
	mouse(0xf2);
	gives(0xfa, true);
	gives(4, true);
	mouse(0xeb);
	gives(0xfa, true);
	gives(8, true);
	gives(0, true);
	gives(0, true);
	gives(0, true);
}

static void interrupts(void **state)
{
	(void)state;
	ioapic_route(1, 0x41, false);
	ioapic_route(12, 0x4c, false);
	command(0x60);
	outb(0x60, 0x03);
	outb(0x60, 0xff);
	assert_int_equal(interrupts_with(0x41), 1);
	gives(0xfa, false);
	assert_int_equal(interrupts_with(0x41), 2);
	gives(0xaa, false);
	mouse(0xf4);
	assert_int_equal(interrupts_with(0x4c), 1);
	gives(0xfa, true);
	assert_int_equal(interrupts_with(0x41), 2);
	command(0x60);
	outb(0x60, 0x00);
	outb(0x60, 0xee);
	gives(0xee, false);
	assert_int_equal(interrupts_with(0x41), 2);
}

/* What is disabled keeps what it says; the controller's own comes through. */
static void disabled(void **state)
{
	(void)state;
	command(0xad);
	command(0xa7);
	outb(0x60, 0xee);
	mouse(0xf4);
	gives_no_more();
	command(0x20);
	gives(0x30, false);
	command(0xa8);
	gives(0xfa, true);
	command(0xae);
	gives(0xee, false);
}

/* A guest that never reads loses what is too much, and nothing else happens. */
static void too_much(void **state)
{
	unsigned int i, count = 0;

	(void)state;
	for (i = 0; i < 100; i++) {
		outb(0x60, 0xf2);
		mouse(0xe9);
		command(0x20);
	}
	while (inb(0x64) & 1) {
		inb(0x60);
		assert_true(++count < 100);
	}
	outb(0x60, 0xee);
	gives(0xee, false);
}

static void ways_to_reset(void **state)
{
	(void)state;
	command(0xd1);
	outb(0x60, 0x01);
	assert_false(home.power_told);
	command(0xd0);
	gives(0x01, false);
	command(0xdf);
	command(0xd0);
	gives(0x03, false);
	command(0xff);
	assert_false(home.power_told);
	command(0xfe);
	assert_true(home.power_told);
	home.power_told = false;
	command(0xd1);
	outb(0x60, 0x02);
	assert_true(home.power_told);
	assert_int_equal(home.power, HOST_POWER_RESET);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, board_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(the_controller), T(loops),    T(the_keyboard), T(the_mouse),     T(wheels),
		T(interrupts),     T(disabled), T(too_much),     T(ways_to_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
