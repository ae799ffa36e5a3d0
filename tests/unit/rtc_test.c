/* devices/rtc.c: the clock, its calendar, its three interrupts. The wall clock begins at 2024-02-29
 * 23:59:58. */
#include "tests/fake/board.h"

static int setup(void **state)
{
	board_setup(state);
	ioapic_route(8, 0x48, false);
	return 0;
}

static uint8_t get(uint8_t index)
{
	outb(0x70, index);
	return inb(0x71);
}

static void set(uint8_t index, uint8_t value)
{
	outb(0x70, index);
	outb(0x71, value);
}

static void expect_time(unsigned int hour, unsigned int minute, unsigned int second)
{
	assert_int_equal(get(4), hour);
	assert_int_equal(get(2), minute);
	assert_int_equal(get(0), second);
}

static void expect_date(unsigned int century, unsigned int year, unsigned int month,
			unsigned int day, unsigned int weekday)
{
	assert_int_equal(get(0x32), century);
	assert_int_equal(get(9), year);
	assert_int_equal(get(8), month);
	assert_int_equal(get(7), day);
	assert_int_equal(get(6), weekday);
}

static void tells_the_time(void **state)
{
	(void)state;
	expect_date(0x20, 0x24, 0x02, 0x29, 5);
	expect_time(0x23, 0x59, 0x58);
	pass(2 * SEC);
	expect_date(0x20, 0x24, 0x03, 0x01, 6);
	expect_time(0, 0, 0);
	assert_int_equal(get(13), 0x80);
}

static void binary_and_twelve_hours(void **state)
{
	(void)state;
	set(11, 0x06);
	assert_int_equal(get(4), 23);
	assert_int_equal(get(0), 58);
	set(11, 0x00);
	assert_int_equal(get(4), 0x91); /* 11 p.m. */
	pass(2 * SEC);
	assert_int_equal(get(4), 0x12); /* 12 a.m. */
}

static void can_be_set(void **state)
{
	(void)state;
	set(11, 0x82);
	set(0, 0x30);
	set(2, 0x15);
	set(4, 0x08);
	set(7, 0x28);
	set(8, 0x02);
	set(9, 0x99);
	set(0x32, 0x19);
	pass(10 * SEC); /* stands still */
	expect_time(0x08, 0x15, 0x30);
	set(11, 0x02);
	expect_time(0x08, 0x15, 0x30);
	pass(15 * 3600 * SEC + 44 * 60 * SEC + 30 * SEC);
	expect_date(0x19, 0x99, 0x03, 0x01, 2);
	expect_time(0, 0, 0);
}

static void every_day_of_220_years_follows_the_one_before(void **state)
{
	static const int lengths[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int year = 1890, month = 1, day = 1, weekday = 3; /* a Wednesday */

	(void)state;
	set(11, 0x86);
	set(0, 0), set(2, 0), set(4, 12);
	set(7, 1), set(8, 1), set(9, 90), set(0x32, 18);
	set(11, 0x06);
	while (year < 2110) {
		bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

		expect_date((unsigned int)year / 100, (unsigned int)year % 100, (unsigned int)month,
			    (unsigned int)day, (unsigned int)weekday + 1);
		weekday = (weekday + 1) % 7;
		if (++day > lengths[month - 1] + (month == 2 && leap)) {
			day = 1;
			if (++month > 12) {
				month = 1;
				year++;
			}
		}
		home.time += 86400 * SEC;
		home.wall += 86400 * SEC;
	}
}

static void nonsense_gives_some_time(void **state)
{
	unsigned int i;

	(void)state;
	set(11, 0x86);
	for (i = 0; i < 10; i++) {
		set((uint8_t)i, 0xff);
	}
	set(0x32, 0xff);
	set(11, 0x06);
	assert_in_range(get(8), 1, 12);
	set(11, 0x86);
	for (i = 0; i < 10; i++) {
		set((uint8_t)i, 0);
	}
	set(0x32, 0);
	set(11, 0x06);
	assert_in_range(get(8), 1, 12);
}

static void periodic(void **state)
{
	(void)state;
	set(10, 0x2f); /* 2 Hz */
	set(11, 0x42);
	pass(600 * MS);
	assert_int_equal(interrupts_with(0x48), 1);
	pass(SEC);
	assert_int_equal(interrupts_with(0x48), 1); /* not acknowledged: the line stays up */
	assert_int_equal(get(12) & 0xc0, 0xc0);
	assert_int_equal(get(12), 0); /* reading cleared it */
	pass(500 * MS);
	assert_int_equal(interrupts_with(0x48), 2);
	set(11, 0x02);
	get(12);
	pass(SEC);
	assert_int_equal(interrupts_with(0x48), 2);
}

static void fast_periodic_rates(void **state)
{
	(void)state;
	set(10, 0x23); /* 8192 Hz */
	set(11, 0x42);
	pass(SEC / 8192 + 10);
	assert_int_equal(interrupts_with(0x48), 1);
	get(12);
	set(10, 0x21); /* 256 Hz */
	pass(SEC / 256 + 10);
	assert_int_equal(interrupts_with(0x48), 2);
}

static void update_ended(void **state)
{
	(void)state;
	set(11, 0x12);
	pass(SEC + 1);
	assert_int_equal(interrupts_with(0x48), 1);
	assert_int_equal(get(12) & 0xb0, 0x90);
	pass(SEC);
	assert_int_equal(interrupts_with(0x48), 2);
}

static void alarm(void **state)
{
	(void)state;
	set(1, 0x05);
	set(3, 0x00);
	set(5, 0xff); /* any hour */
	set(11, 0x22);
	pass(6 * SEC);
	assert_int_equal(interrupts_with(0x48), 0);
	pass(2 * SEC);
	assert_int_equal(interrupts_with(0x48), 1);
	assert_int_equal(get(12) & 0xa0, 0xa0);
	assert_int_equal(home.time, 8 * SEC);
}

/* Flags are set at their time without an interrupt too, for who looks. */
static void flags_without_interrupts(void **state)
{
	(void)state;
	set(10, 0x2e); /* 4 Hz */
	get(12);
	assert_int_equal(get(12), 0);
	pass(250 * MS + 1);
	assert_int_equal(get(12), 0x40);
	assert_int_equal(get(12), 0);
	pass(750 * MS);
	assert_int_equal(get(12), 0x50);
	set(10, 0x20); /* no rate */
	get(12);
	pass(900 * MS);
	assert_int_equal(get(12), 0);
	assert_int_equal(home.interrupt_count, 0);
	/* One that is up already interrupts when that is allowed; when it is forbidden the line
	 * falls. */
	set(10, 0x2e);
	pass(300 * MS);
	set(11, 0x42);
	assert_int_equal(interrupts_with(0x48), 1);
	assert_int_equal(board.irq.raised[8], 1);
	set(11, 0x02);
	assert_int_equal(board.irq.raised[8], 0);
	assert_int_equal(get(12) & 0xc0, 0x40);
}

static void an_alarm_hours_ago_is_seen(void **state)
{
	(void)state;
	set(1, 0x05);
	set(3, 0x00);
	set(5, 0x07);
	pass(7 * 3600 * SEC);
	assert_int_equal(get(12) & 0x20, 0);
	pass(3 * 3600 * SEC);
	assert_int_equal(get(12) & 0x20, 0x20);
	assert_int_equal(home.interrupt_count, 0);
	pass(100 * 3600 * SEC);
	assert_int_equal(get(12) & 0x20, 0x20);
}

static void setting_ends_the_update_interrupt(void **state)
{
	(void)state;
	set(11, 0x12);
	set(11, 0x92);
	assert_int_equal(get(11), 0x82);
}

static void update_in_progress(void **state)
{
	(void)state;
	assert_int_equal(get(10), 0x26);
	pass(SEC - 100000);
	assert_int_equal(get(10), 0xa6);
	pass(200000);
	assert_int_equal(get(10), 0x26);
}

static void ram_and_ports(void **state)
{
	(void)state;
	set(0x50, 0x5a);
	assert_int_equal(get(0xd0), 0x5a); /* bit 7 is the NMI mask */
	assert_int_equal(inb(0x70), 0xff);
	set(12, 0xff);
	assert_int_equal(get(12) & 0x0f, 0);
}

static void a_reset_keeps_the_clock(void **state)
{
	(void)state;
	set(11, 0x82);
	set(9, 0x30);
	set(11, 0x42);
	set(0x50, 0x5a);
	board_reset(&board);
	assert_int_equal(get(9), 0x30);
	assert_int_equal(get(0x50), 0x5a);
	assert_int_equal(get(11), 0x02);
	assert_true(home.wake_at == HOST_NEVER);
}

static void a_stopped_divider_stops_the_clock(void **state)
{
	(void)state;
	set(10, 0x66);
	pass(10 * SEC);
	assert_int_equal(get(0), 0x58);
	set(10, 0x26);
	pass(SEC);
	assert_int_equal(get(0), 0x59);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, board_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(tells_the_time),
		T(binary_and_twelve_hours),
		T(can_be_set),
		T(every_day_of_220_years_follows_the_one_before),
		T(nonsense_gives_some_time),
		T(periodic),
		T(fast_periodic_rates),
		T(update_ended),
		T(alarm),
		T(flags_without_interrupts),
		T(an_alarm_hours_ago_is_seen),
		T(setting_ends_the_update_interrupt),
		T(update_in_progress),
		T(ram_and_ports),
		T(a_reset_keeps_the_clock),
		T(a_stopped_divider_stops_the_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
