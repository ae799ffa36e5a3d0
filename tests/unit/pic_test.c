/* devices/pic.c: two 8259As, by their data sheet. */
#include "tests/fake/board.h"

static struct irq_source sources[16];

static int setup(void **state)
{
	uint8_t i;

	board_setup(state);
	for (i = 0; i < 16; i++) {
		sources[i] = (struct irq_source){.irq = &board.irq, .line = i};
	}
	pic_init_pc();
	return 0;
}

static void line(unsigned int number, bool level)
{
	irq_set(&sources[number], level);
}

static uint8_t take(void)
{
	uint8_t vector = 0;

	assert_true(board_pic_acknowledge(&board, &vector));
	return vector;
}

static void nothing_at_first(void **state)
{
	uint8_t vector;

	(void)state;
	assert_false(home.extint);
	assert_false(board_pic_acknowledge(&board, &vector));
}

static void an_edge_is_one_interrupt(void **state)
{
	(void)state;
	line(3, true);
	assert_true(home.extint);
	assert_int_equal(take(), 0x23);
	assert_false(home.extint);
	outb(0x20, 0x20);
	assert_false(home.extint); /* still up, but no new edge */
	line(3, false);
	line(3, true);
	assert_true(home.extint);
}

static void a_request_that_goes_is_lost(void **state)
{
	(void)state;
	line(3, true);
	line(3, false);
	assert_false(home.extint);
}

static void masked_lines_wait(void **state)
{
	(void)state;
	outb(0x21, 0x08);
	line(3, true);
	assert_false(home.extint);
	outb(0x21, 0);
	assert_int_equal(take(), 0x23);
}

static void lower_numbers_come_first(void **state)
{
	(void)state;
	line(5, true);
	line(1, true);
	assert_int_equal(take(), 0x21);
	assert_false(home.extint); /* 5 waits for the end of 1 */
	outb(0x20, 0x20);
	assert_int_equal(take(), 0x25);
	line(0, true);
	assert_int_equal(take(), 0x20); /* and is interrupted by 0 */
}

static void the_slave_comes_through_input_2(void **state)
{
	(void)state;
	line(12, true);
	assert_int_equal(take(), 0x2c);
	outb(0x20, 0x0b);
	assert_int_equal(inb(0x20), 0x04);
	outb(0xa0, 0x0b);
	assert_int_equal(inb(0xa0), 0x10);
	line(8, true); /* a higher one of the slave waits: the master has its input 2 in service */
	assert_false(home.extint);
	outb(0xa0, 0x20);
	outb(0x20, 0x20);
	assert_int_equal(take(), 0x28);
}

static void two_of_the_slave_at_once(void **state)
{
	(void)state;
	line(9, true);
	line(10, true);
	assert_int_equal(take(), 0x29);
	outb(0xa0, 0x20);
	outb(0x20, 0x20);
	assert_int_equal(take(), 0x2a);
	outb(0xa0, 0x20);
	outb(0x20, 0x20);
	assert_false(home.extint);
}

static void special_fully_nested_lets_the_slave_in(void **state)
{
	(void)state;
	outb(0x20, 0x11);
	outb(0x21, 0x20);
	outb(0x21, 0x04);
	outb(0x21, 0x11);
	line(12, true);
	assert_int_equal(take(), 0x2c);
	line(8, true);
	assert_int_equal(take(), 0x28);
}

static void a_level_asks_until_it_falls(void **state)
{
	(void)state;
	outb(0x4d1, 0x08);
	assert_int_equal(inb(0x4d1), 0x08);
	line(11, true);
	assert_int_equal(take(), 0x2b);
	outb(0xa0, 0x20);
	outb(0x20, 0x20);
	assert_true(home.extint);
	assert_int_equal(take(), 0x2b);
	line(11, false);
	outb(0xa0, 0x20);
	outb(0x20, 0x20);
	assert_false(home.extint);
}

static void some_inputs_are_never_level(void **state)
{
	(void)state;
	outb(0x4d0, 0xff);
	outb(0x4d1, 0xff);
	assert_int_equal(inb(0x4d0), 0xf8);
	assert_int_equal(inb(0x4d1), 0xde);
}

static void a_vanished_request_is_input_7(void **state)
{
	(void)state;
	line(3, true);
	/* Between the processor's answer and the INTA cycle. */
	board.pic.chips[0].irr = 0;
	assert_int_equal(pic_acknowledge(&board.pic), 0x27);
	outb(0x20, 0x0b);
	assert_int_equal(inb(0x20), 0);
}

static void specific_end(void **state)
{
	(void)state;
	line(5, true);
	take();
	line(1, true);
	take();
	outb(0x20, 0x65); /* the older one */
	outb(0x20, 0x0b);
	assert_int_equal(inb(0x20), 0x02);
	outb(0x20, 0x61);
	assert_int_equal(inb(0x20), 0);
}

static void rotation_puts_the_served_one_last(void **state)
{
	(void)state;
	line(1, true);
	take();
	outb(0x20, 0xa0);
	line(1, false);
	line(1, true);
	line(4, true);
	assert_int_equal(take(), 0x24);
}

static void set_priority(void **state)
{
	(void)state;
	outb(0x20, 0xc3); /* 3 is the lowest, 4 the highest */
	line(0, true);
	line(6, true);
	assert_int_equal(take(), 0x26);
}

static void automatic_end(void **state)
{
	(void)state;
	outb(0x20, 0x11);
	outb(0x21, 0x40);
	outb(0x21, 0x04);
	outb(0x21, 0x03);
	line(6, true);
	assert_int_equal(take(), 0x46);
	outb(0x20, 0x0b);
	assert_int_equal(inb(0x20), 0);
}

static void special_mask_lets_lower_ones_in(void **state)
{
	(void)state;
	line(1, true);
	take();
	line(5, true);
	assert_false(home.extint);
	outb(0x20, 0x68);
	outb(0x21, 0x02);
	assert_int_equal(take(), 0x25);
}

static void a_poll_is_an_acknowledge(void **state)
{
	(void)state;
	outb(0x20, 0x0c);
	assert_int_equal(inb(0x20), 0);
	line(4, true);
	outb(0x20, 0x0c);
	assert_int_equal(inb(0x20), 0x84);
	assert_int_equal(inb(0x20), 0); /* IRR again */
	outb(0x20, 0x0b);
	assert_int_equal(inb(0x20), 0x10);
}

static void initialisation_forgets(void **state)
{
	(void)state;
	line(3, true);
	outb(0x20, 0x11);
	outb(0x21, 0x20);
	outb(0x21, 0x04);
	outb(0x21, 0x01);
	assert_false(home.extint);
	assert_int_equal(inb(0x21), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, board_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(nothing_at_first),
		T(an_edge_is_one_interrupt),
		T(a_request_that_goes_is_lost),
		T(masked_lines_wait),
		T(lower_numbers_come_first),
		T(the_slave_comes_through_input_2),
		T(two_of_the_slave_at_once),
		T(special_fully_nested_lets_the_slave_in),
		T(a_level_asks_until_it_falls),
		T(some_inputs_are_never_level),
		T(a_vanished_request_is_input_7),
		T(specific_end),
		T(rotation_puts_the_served_one_last),
		T(set_priority),
		T(automatic_end),
		T(special_mask_lets_lower_ones_in),
		T(a_poll_is_an_acknowledge),
		T(initialisation_forgets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
