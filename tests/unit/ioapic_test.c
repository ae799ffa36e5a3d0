/* devices/ioapic.c and the lines that lead to it. */
#include "tests/fake/board.h"

static struct irq_source one, other;

static int setup(void **state)
{
	board_setup(state);
	one = (struct irq_source){.irq = &board.irq, .line = 20};
	other = (struct irq_source){.irq = &board.irq, .line = 20};
	return 0;
}

static void identity(void **state)
{
	(void)state;
	assert_int_equal(ioapic_get(1), 0x00170011);
	ioapic_set(0, 0x0f000000);
	assert_int_equal(ioapic_get(0), 0x0f000000);
	assert_int_equal(ioapic_get(2), 0x0f000000);
	assert_int_equal(ioapic_get(0x40), 0);
	assert_int_equal(ioapic_get(0xff), 0);
	assert_int_equal(board_memory_read(&board, BOARD_IOAPIC_BASE + 0x20, 4), 0);
}

static void masked_after_reset(void **state)
{
	unsigned int pin;

	(void)state;
	for (pin = 0; pin < IOAPIC_PINS; pin++) {
		assert_int_equal(ioapic_get((uint8_t)(0x10 + 2 * pin)), 0x10000);
	}
	irq_set(&one, true);
	assert_int_equal(home.interrupt_count, 0);
}

static void the_message_is_the_entry(void **state)
{
	(void)state;
	ioapic_set(0x11 + 40, 0xab000000);
	ioapic_set(0x10 + 40, 0x0930); /* logical, lowest priority */
	irq_set(&one, true);
	assert_int_equal(home.interrupt_count, 1);
	assert_int_equal(home.interrupts[0].vector, 0x30);
	assert_int_equal(home.interrupts[0].destination, 0xab);
	assert_int_equal(home.interrupts[0].delivery_mode, 1);
	assert_true(home.interrupts[0].logical);
	assert_false(home.interrupts[0].level);
}

static void only_some_bits_are_writable(void **state)
{
	(void)state;
	ioapic_set(0x10, 0xffffffff);
	assert_int_equal(ioapic_get(0x10), 0x1afff);
	ioapic_set(0x11, 0xffffffff);
	assert_int_equal(ioapic_get(0x11), 0xfffe0000);
}

static void an_edge_is_sent_once(void **state)
{
	(void)state;
	ioapic_route(20, 0x50, false);
	irq_set(&one, true);
	irq_set(&one, true);
	assert_int_equal(interrupts_with(0x50), 1);
	board_apic_eoi(&board, 0x50);
	assert_int_equal(interrupts_with(0x50), 1);
	irq_set(&one, false);
	irq_set(&one, true);
	assert_int_equal(interrupts_with(0x50), 2);
}

static void a_masked_edge_waits_while_the_line_is_up(void **state)
{
	(void)state;
	irq_set(&one, true);
	ioapic_route(20, 0x50, false);
	assert_int_equal(interrupts_with(0x50), 1);
	ioapic_set(0x10 + 40, 0x10050);
	irq_set(&one, false);
	irq_set(&one, true);
	irq_set(&one, false);
	ioapic_route(20, 0x50, false);
	assert_int_equal(interrupts_with(0x50), 1);
}

static void a_level_is_sent_again_after_eoi(void **state)
{
	(void)state;
	ioapic_route(20, 0x60, true);
	irq_set(&one, true);
	assert_int_equal(interrupts_with(0x60), 1);
	assert_true(home.interrupts[0].level);
	assert_true(ioapic_get(0x10 + 40) & 0x4000); /* remote IRR */
	irq_set(&one, false);
	irq_set(&one, true);
	assert_int_equal(interrupts_with(0x60), 1);
	board_apic_eoi(&board, 0x61);
	assert_int_equal(interrupts_with(0x60), 1);
	board_apic_eoi(&board, 0x60);
	assert_int_equal(interrupts_with(0x60), 2);
	irq_set(&one, false);
	board_apic_eoi(&board, 0x60);
	assert_int_equal(interrupts_with(0x60), 2);
	assert_false(ioapic_get(0x10 + 40) & 0x4000);
}

static void sources_share_a_line(void **state)
{
	(void)state;
	ioapic_route(20, 0x60, true);
	irq_set(&one, true);
	irq_set(&other, true);
	irq_set(&one, false);
	board_apic_eoi(&board, 0x60);
	assert_int_equal(interrupts_with(0x60), 2);
	irq_set(&other, false);
	board_apic_eoi(&board, 0x60);
	assert_int_equal(interrupts_with(0x60), 2);
}

/* By one vector, the end of one is the end of all; those that are still up are sent again. */
static void lines_share_a_vector(void **state)
{
	struct irq_source third = {.irq = &board.irq, .line = 21};
	unsigned int round;

	(void)state;
	ioapic_route(20, 0x60, true);
	ioapic_route(21, 0x60, true);
	for (round = 0; round < 10; round++) {
		irq_set(&one, true);
		irq_set(&third, true);
		assert_int_equal(interrupts_with(0x60), 3 * round + 2);
		irq_set(&one, false);
		board_apic_eoi(&board, 0x60);
		assert_int_equal(interrupts_with(0x60), 3 * round + 3);
		assert_false(ioapic_get(0x10 + 40) & 0x4000);
		assert_true(ioapic_get(0x10 + 42) & 0x4000);
		irq_set(&third, false);
		board_apic_eoi(&board, 0x60);
		assert_false(ioapic_get(0x10 + 42) & 0x4000);
	}
	assert_int_equal(interrupts_with(0x60), 30);
}

/* What no local APIC has taken is never ended; the line is not dead for that. */
static void a_level_that_nobody_takes_is_tried_again(void **state)
{
	(void)state;
	ioapic_route(20, 0x60, true);
	home.deaf = true;
	irq_set(&one, true);
	assert_false(ioapic_get(0x10 + 40) & 0x4000);
	home.deaf = false;
	irq_set(&one, false);
	irq_set(&one, true);
	assert_int_equal(interrupts_with(0x60), 1);
	board_apic_eoi(&board, 0x60);
	assert_int_equal(interrupts_with(0x60), 2);
	home.deaf = true;
	board_apic_eoi(&board, 0x60);
	home.deaf = false;
	ioapic_route(20, 0x60, true);
	assert_int_equal(interrupts_with(0x60), 3);
	assert_true(ioapic_get(0x10 + 40) & 0x4000);
}

/* An NMI has no end: a line with that mode is an edge. */
static void a_level_of_another_mode_is_an_edge(void **state)
{
	(void)state;
	ioapic_set(0x10 + 40, 0x8400);
	irq_set(&one, true);
	assert_int_equal(home.interrupt_count, 1);
	assert_false(home.interrupts[0].level);
	assert_false(ioapic_get(0x10 + 40) & 0x4000);
	irq_set(&one, false);
	irq_set(&one, true);
	assert_int_equal(home.interrupt_count, 2);
}

static void becoming_edge_ends_a_level(void **state)
{
	(void)state;
	ioapic_route(20, 0x60, true);
	irq_set(&one, true);
	ioapic_set(0x10 + 40, 0x10060);
	assert_false(ioapic_get(0x10 + 40) & 0x4000);
	ioapic_set(0x10 + 40, 0x8060);
	assert_int_equal(interrupts_with(0x60), 2);
}

static void the_timer_is_at_input_2(void **state)
{
	struct irq_source timer = {.irq = &board.irq, .line = 0};

	(void)state;
	ioapic_route(0, 0x70, false);
	ioapic_route(2, 0x72, false);
	irq_set(&timer, true);
	assert_int_equal(interrupts_with(0x70), 0);
	assert_int_equal(interrupts_with(0x72), 1);
}

static void narrow_writes_do_not_reach_the_table(void **state)
{
	(void)state;
	board_memory_write(&board, BOARD_IOAPIC_BASE, 1, 0x10);
	board_memory_write(&board, BOARD_IOAPIC_BASE + 0x10, 1, 0x33);
	assert_int_equal(ioapic_get(0x10), 0x10000);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, board_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(identity),
		T(masked_after_reset),
		T(the_message_is_the_entry),
		T(only_some_bits_are_writable),
		T(an_edge_is_sent_once),
		T(a_masked_edge_waits_while_the_line_is_up),
		T(a_level_is_sent_again_after_eoi),
		T(sources_share_a_line),
		T(lines_share_a_vector),
		T(a_level_that_nobody_takes_is_tried_again),
		T(a_level_of_another_mode_is_an_edge),
		T(becoming_edge_ends_a_level),
		T(the_timer_is_at_input_2),
		T(narrow_writes_do_not_reach_the_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
