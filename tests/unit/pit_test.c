/* devices/pit.c: the i8254's modes, its reading forms, and port 0x61. */
#include "tests/fake/board.h"

#define TICKS(n) (((n)*SEC + 1193181) / 1193182)

static int setup(void **state)
{
	board_setup(state);
	ioapic_route(2, 0x40, false);
	return 0;
}

static void program(unsigned int channel, unsigned int mode, uint16_t count)
{
	outb(0x43, (uint8_t)(channel << 6 | 0x30 | mode << 1));
	outb((uint16_t)(0x40 + channel), (uint8_t)count);
	outb((uint16_t)(0x40 + channel), (uint8_t)(count >> 8));
}

static uint16_t latched(unsigned int channel)
{
	uint16_t low;

	outb(0x43, (uint8_t)(channel << 6));
	low = inb((uint16_t)(0x40 + channel));
	return (uint16_t)(low | inb((uint16_t)(0x40 + channel)) << 8);
}

static void silent_at_first(void **state)
{
	(void)state;
	pass(SEC);
	assert_int_equal(interrupts_with(0x40), 0);
	assert_int_equal(inb(0x43), 0xff);
}

static void rate_generator_ticks(void **state)
{
	(void)state;
	program(0, 2, 11932); /* 100 Hz */
	pass(SEC);
	assert_in_range(interrupts_with(0x40), 60, 64); /* the log keeps the newest 64 */
	assert_in_range(home.interrupt_count, 99, 100);
}

static void square_wave_ticks_once_a_period(void **state)
{
	(void)state;
	program(0, 3, 11932);
	pass(SEC);
	assert_in_range(home.interrupt_count, 99, 100);
}

static void zero_means_65536(void **state)
{
	(void)state;
	program(0, 2, 0);
	pass(TICKS(65536) - 1000);
	assert_int_equal(home.interrupt_count, 0);
	pass(2000);
	assert_int_equal(home.interrupt_count, 1);
}

/* More edges than a system has use for do not keep the host busy. */
static void edges_have_an_end(void **state)
{
	unsigned int count;

	(void)state;
	program(0, 2, 1);
	pass(100 * MS);
	count = interrupts_with(0x40);
	assert_true(home.interrupt_count >= 1900 && home.interrupt_count <= 2030);
	assert_true(count != 0);
	home.interrupt_count = 0;
	program(0, 3, 60); /* 19,886 a second: each one comes */
	pass(100 * MS);
	assert_in_range(home.interrupt_count, 1980, 1990);
}

static void one_shot_ends_once(void **state)
{
	(void)state;
	program(0, 0, 1000);
	pass(TICKS(1000) - 1000);
	assert_int_equal(home.interrupt_count, 0);
	pass(SEC);
	assert_int_equal(home.interrupt_count, 1);
	program(0, 4, 1000); /* software strobe */
	pass(SEC);
	assert_int_equal(home.interrupt_count, 2);
}

static void programming_stops_it(void **state)
{
	(void)state;
	program(0, 2, 1000);
	outb(0x43, 0x34);
	pass(SEC);
	assert_int_equal(home.interrupt_count, 0);
}

static void counts_down(void **state)
{
	(void)state;
	program(0, 0, 1000);
	assert_int_equal(latched(0), 1000);
	pass(TICKS(400));
	assert_int_equal(latched(0), 600);
	pass(TICKS(700));
	assert_int_equal(latched(0), 0x10000 - 100); /* goes on below 0 */
}

static void a_latch_holds(void **state)
{
	(void)state;
	program(0, 2, 1000);
	outb(0x43, 0);
	pass(TICKS(300));
	outb(0x43, 0); /* has no effect until the first is read */
	assert_int_equal(inb(0x40), 1000 & 0xff);
	assert_int_equal(inb(0x40), 1000 >> 8);
	assert_int_equal(latched(0), 700);
}

static void square_wave_counts_by_two(void **state)
{
	(void)state;
	program(0, 3, 1000);
	pass(TICKS(100));
	assert_int_equal(latched(0), 800);
}

static void decimal(void **state)
{
	(void)state;
	outb(0x43, 0x31);
	outb(0x40, 0x00);
	outb(0x40, 0x10); /* 1000 */
	pass(TICKS(1));
	assert_int_equal(latched(0), 0x0999);
	pass(TICKS(1001));
	assert_int_equal(latched(0), 0x9998);
}

static void single_bytes(void **state)
{
	(void)state;
	outb(0x43, 0x10); /* low byte, mode 0 */
	outb(0x40, 50);
	assert_int_equal(inb(0x40), 50);
	outb(0x43, 0x20); /* high byte */
	outb(0x40, 2);
	assert_int_equal(inb(0x40), 2);
}

static void read_back(void **state)
{
	(void)state;
	program(0, 2, 1000);
	outb(0x43, 0xc2);                  /* count and status of channel 0 */
	assert_int_equal(inb(0x40), 0xb4); /* output high, both bytes, mode 2 */
	assert_int_equal(inb(0x40), 1000 & 0xff);
	assert_int_equal(inb(0x40), 1000 >> 8);
	outb(0x43, 0x30);
	outb(0x43, 0xe2); /* status alone: no count was written */
	assert_int_equal(inb(0x40), 0x70);
}

static void channel_2_and_its_gate(void **state)
{
	(void)state;
	outb(0x61, 0x01);
	program(2, 0, 1000);
	assert_int_equal(inb(0x61) & 0x21, 0x01);
	pass(TICKS(1000));
	assert_int_equal(inb(0x61) & 0x20, 0x20);
	assert_int_equal(home.interrupt_count, 0);
}

static void a_low_gate_holds_mode_0(void **state)
{
	(void)state;
	outb(0x61, 0x01);
	program(2, 0, 1000);
	pass(TICKS(400));
	outb(0x61, 0x00);
	pass(TICKS(5000));
	assert_int_equal(latched(2), 600);
	outb(0x61, 0x01);
	pass(TICKS(100));
	assert_int_equal(latched(2), 500);
}

static void a_gate_starts_mode_1(void **state)
{
	(void)state;
	outb(0x61, 0x00);
	program(2, 1, 100);
	pass(TICKS(1000));
	assert_int_equal(inb(0x61) & 0x20, 0x20);
	outb(0x61, 0x01);
	assert_int_equal(inb(0x61) & 0x20, 0);
	pass(TICKS(101));
	assert_int_equal(inb(0x61) & 0x20, 0x20);
}

static void the_refresh_bit_toggles(void **state)
{
	uint8_t before;

	(void)state;
	before = inb(0x61) & 0x10;
	pass(15085);
	assert_int_not_equal(inb(0x61) & 0x10, before);
}

static void modes_6_and_7_are_2_and_3(void **state)
{
	(void)state;
	program(0, 6, 1000);
	outb(0x43, 0xe2);
	assert_int_equal(inb(0x40) & 0x0e, 0x04);
	program(0, 7, 1000);
	outb(0x43, 0xe2);
	assert_int_equal(inb(0x40) & 0x0e, 0x06);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, board_teardown)

/* What it counted before is not in what it counts, or in its saved state. */
static void a_reset_begins_anew(void **state)
{
	(void)state;
	pass(TICKS(1000));
	assert_int_not_equal(latched(0), 0);
	pit_reset(&board.pit);
	assert_int_equal(latched(0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(silent_at_first),
		T(rate_generator_ticks),
		T(square_wave_ticks_once_a_period),
		T(zero_means_65536),
		T(edges_have_an_end),
		T(one_shot_ends_once),
		T(programming_stops_it),
		T(counts_down),
		T(a_latch_holds),
		T(square_wave_counts_by_two),
		T(decimal),
		T(single_bytes),
		T(read_back),
		T(channel_2_and_its_gate),
		T(a_low_gate_holds_mode_0),
		T(a_gate_starts_mode_1),
		T(the_refresh_bit_toggles),
		T(modes_6_and_7_are_2_and_3),
		T(a_reset_begins_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
