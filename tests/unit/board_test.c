/* devices/board.c and the smaller parts: PCI, ACPI hardware, the ways to reset, the one wake-up. */
#include "tests/fake/board.h"

static uint32_t config(uint32_t bdf, uint32_t at)
{
	out(0xcf8, 4, 0x80000000u | bdf << 8 | at);
	return in(0xcfc, 4);
}

static void unclaimed_ports_read_ones(void **state)
{
	(void)state;
	assert_int_equal(in(0x80, 1), 0xff);
	assert_int_equal(in(0x80, 2), 0xffff);
	assert_int_equal(in(0xffff, 4), 0xffffffff);
	assert_int_equal(in(0x1f0, 4), 0xffffffff);
	out(0x80, 4, 0);
	assert_true(board_memory_read(&board, 0xa0000, 8) == UINT64_MAX);
	assert_int_equal(board_memory_read(&board, 0xf8000000, 2), 0xffff);
}

static void the_host_bridge_is_alone(void **state)
{
	uint32_t slot;

	(void)state;
	assert_int_equal(config(0, 0), 0x71928086);
	assert_int_equal(config(0, 8), 0x06000003);
	assert_int_equal(config(0, 0x10), 0);
	for (slot = 1; slot < 32; slot++) {
		assert_int_equal(config(slot << 3, 0), 0xffffffff);
	}
	assert_int_equal(config(1, 0), 0xffffffff);      /* function 1 */
	assert_int_equal(config(1 << 8, 0), 0xffffffff); /* bus 1 */
}

static void configuration_needs_the_enable_bit(void **state)
{
	(void)state;
	out(0xcf8, 4, 0);
	assert_int_equal(in(0xcfc, 4), 0xffffffff);
	out(0xcf8, 4, 0xffffffff);
	assert_int_equal(in(0xcf8, 4), 0x80fffffc);
	out(0xcf8, 2, 0);
	assert_int_equal(in(0xcf8, 4), 0x80fffffc);
}

static void configuration_by_parts(void **state)
{
	(void)state;
	config(0, 0);
	assert_int_equal(in(0xcfe, 2), 0x7192);
	assert_int_equal(in(0xcfd, 1), 0x80);
	config(0, 4);
	out(0xcfc, 2, 0xffff);
	assert_int_equal(in(0xcfc, 4), 0x00000007);
	out(0xcfc, 1, 0);
	assert_int_equal(in(0xcfc, 4), 0);
	config(0, 0);
	out(0xcfc, 4, 0);
	assert_int_equal(in(0xcfc, 4), 0x71928086);
	config(0, 0xfc);
	assert_int_equal(in(0xcff, 4), 0xffffff00); /* over the end of the register's range */
}

static void three_ways_to_reset(void **state)
{
	(void)state;
	outb(0x64, 0xd1);
	assert_false(home.power_told);
	assert_int_equal(inb(0x64) & 2,
			 0); /* whoever waits for an empty controller does not wait */
	outb(0x64, 0xfe);
	assert_true(home.power_told);
	assert_int_equal(home.power, HOST_POWER_RESET);
	home.power_told = false;
	outb(0x92, 0x02);
	assert_int_equal(inb(0x92), 0x02);
	assert_false(home.power_told);
	outb(0x92, 0x01);
	assert_true(home.power_told);
	home.power_told = false;
	outb(0xcf9, 0x02);
	assert_false(home.power_told);
	assert_int_equal(inb(0xcf9), 0x02);
	outb(0xcf9, 0x06);
	assert_true(home.power_told);
	assert_int_equal(home.power, HOST_POWER_RESET);
}

/* A port of test images, of which there is nothing unless it was asked for. */
static void a_test_images_result(void **state)
{
	(void)state;
	out(0xf4, 4, 3);
	assert_false(home.debug_exit_told);
	assert_true(in(0xf4, 4) == 0xffffffff);
	board_add_debug_exit(&board);
	assert_int_equal(in(0xf4, 4), 0);
	out(0xf4, 4, 0x12345678);
	assert_true(home.debug_exit_told);
	assert_int_equal(home.debug_exit, 0x12345678);
	outb(0xf4, 7);
	assert_int_equal(home.debug_exit, 7);
	assert_false(home.power_told);
}

static void sleep_5_is_off(void **state)
{
	(void)state;
	assert_int_equal(in(0x404, 2), 1); /* SCI_EN */
	out(0x404, 2, 3 << 10 | 1 << 13);
	assert_false(home.power_told);
	out(0x404, 2, 5 << 10);
	assert_false(home.power_told);
	assert_int_equal(in(0x404, 2), 5 << 10 | 1);
	outb(0x405, 5 << 2 | 1 << 5); /* the high byte alone, too */
	assert_true(home.power_told);
	assert_int_equal(home.power, HOST_POWER_OFF);
}

static void the_power_button_is_an_event(void **state)
{
	(void)state;
	ioapic_route(9, 0x49, true);
	board_power_button(&board);
	assert_int_equal(interrupts_with(0x49), 0);
	out(0x402, 2, 0x0100);
	assert_int_equal(interrupts_with(0x49), 1);
	assert_int_equal(in(0x400, 2), 0x0100);
	out(0x400, 2, 0x0100);
	assert_int_equal(in(0x400, 2), 0);
	board_apic_eoi(&board, 0x49);
	assert_int_equal(interrupts_with(0x49), 1);
	board_power_button(&board);
	assert_int_equal(interrupts_with(0x49), 2);
}

static void both_halves_of_pm1_in_one_write(void **state)
{
	(void)state;
	board_power_button(&board);
	out(0x400, 4, 0x01200100);
	assert_int_equal(in(0x400, 4), 0x01200000);
	outb(0x403, 0x04);
	assert_int_equal(in(0x402, 2), 0x0420);
}

static void the_pm_timer_runs(void **state)
{
	(void)state;
	assert_int_equal(in(0x408, 4), 0);
	pass(SEC);
	assert_int_equal(in(0x408, 4), 3579545);
	assert_int_equal(in(0x408, 2) | in(0x40a, 2) << 16, 3579545);
	assert_int_equal(in(0x400, 2), 0);
	pass(600 * SEC); /* 2^31 ticks are 599.9 s */
	assert_int_equal(in(0x400, 2), 1);
}

static void the_pm_timer_interrupts(void **state)
{
	(void)state;
	ioapic_route(9, 0x49, true);
	out(0x402, 2, 1);
	pass(599 * SEC);
	assert_int_equal(interrupts_with(0x49), 0);
	pass(SEC);
	assert_int_equal(interrupts_with(0x49), 1);
}

static void general_events_can_be_enabled(void **state)
{
	(void)state;
	out(0x40e, 2, 0x8001);
	assert_int_equal(in(0x40c, 4), 0x80010000);
	out(0x40c, 2, 0xffff);
	assert_int_equal(in(0x40c, 2), 0);
}

static void the_earliest_part_wakes(void **state)
{
	(void)state;
	assert_true(home.wake_at == HOST_NEVER);
	out(0x402, 2, 1);
	assert_in_range(home.wake_at, 599 * SEC, 600 * SEC);
	outb(0x70, 11);
	outb(0x71, 0x12); /* each second */
	assert_in_range(home.wake_at, 1, SEC);
	outb(0x43, 0x34);
	outb(0x40, 0xe8);
	outb(0x40, 0x03); /* 1000 ticks */
	assert_in_range(home.wake_at, 1, MS);
	outb(0x43, 0x34);
	assert_in_range(home.wake_at, MS, SEC);
	board_reset(&board);
	assert_true(home.wake_at == HOST_NEVER);
}

static void a_reset_is_power_on(void **state)
{
	(void)state;
	pic_init_pc();
	ioapic_route(4, 0x44, true);
	config(0, 4);
	out(0xcfc, 2, 0);
	outb(0x92, 0);
	out(0x402, 2, 0x100);
	board_power_button(&board);
	board_reset(&board);
	assert_int_equal(in(0x400, 4), 0);
	assert_int_equal(config(0, 4) & 0xffff, 7);
	assert_int_equal(inb(0x92), 2);
	assert_int_equal(inb(0x21), 0xff);
	assert_int_equal(ioapic_get(0x18), 0x10000);
	assert_false(home.extint);
}

#define T(name) cmocka_unit_test_setup_teardown(name, board_setup, board_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(unclaimed_ports_read_ones),
		T(the_host_bridge_is_alone),
		T(configuration_needs_the_enable_bit),
		T(configuration_by_parts),
		T(three_ways_to_reset),
		T(a_test_images_result),
		T(sleep_5_is_off),
		T(the_power_button_is_an_event),
		T(both_halves_of_pm1_in_one_write),
		T(the_pm_timer_runs),
		T(the_pm_timer_interrupts),
		T(general_events_can_be_enabled),
		T(the_earliest_part_wakes),
		T(a_reset_is_power_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
