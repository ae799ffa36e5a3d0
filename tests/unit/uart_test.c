/* devices/uart.c: the 16550A, as a driver sees it. */
#include <string.h>

#include "tests/fake/board.h"

#define COM 0x3f8

static int setup(void **state)
{
	board_setup(state);
	ioapic_route(4, 0x44, false);
	return 0;
}

static void typed(const char *text)
{
	fake_host_type(&home, text);
	board_serial_ready(&board);
}

static void plain_output(void **state)
{
	(void)state;
	assert_int_equal(inb(COM + 5), 0x60);
	outb(COM, 'h');
	outb(COM, 'i');
	assert_int_equal(home.out_count, 2);
	assert_memory_equal(home.out, "hi", 2);
	assert_int_equal(inb(COM + 5), 0x60);
}

static void output_waits_for_room(void **state)
{
	unsigned int i;

	(void)state;
	outb(COM + 2, 0x01);
	home.out_room = 1;
	for (i = 0; i < 20; i++) {
		outb(COM, (uint8_t)('a' + i));
	}
	assert_int_equal(home.out_count, 1);
	assert_int_equal(inb(COM + 5), 0);
	home.out_room = 8;
	board_serial_drained(&board);
	assert_int_equal(inb(COM + 5), 0);
	home.out_room = FAKE_SERIAL;
	board_serial_drained(&board);
	assert_int_equal(inb(COM + 5), 0x60);
	assert_int_equal(home.out_count,
			 17); /* one, and a FIFO's 16; the rest was written without asking */
	assert_memory_equal(home.out, "abcdefghijklmnopq", 17);
}

static void the_transmitter_interrupts(void **state)
{
	(void)state;
	outb(COM + 4, 0x08);
	outb(COM + 1, 0x02);
	assert_int_equal(interrupts_with(0x44), 1);
	assert_int_equal(inb(COM + 2), 0x02);
	assert_int_equal(inb(COM + 2), 0x01); /* reading it was the acknowledgement */
	outb(COM, 'x');
	assert_int_equal(interrupts_with(0x44), 2);
	home.out_room = home.out_count;
	outb(COM, 'y');
	assert_int_equal(inb(COM + 2), 0x01);
	home.out_room++;
	board_serial_drained(&board);
	assert_int_equal(interrupts_with(0x44), 3);
}

/* A driver that is content with LSR, and never reads IIR. */
static void each_write_is_an_edge(void **state)
{
	unsigned int i;

	(void)state;
	outb(COM + 4, 0x08);
	outb(COM + 1, 0x02);
	for (i = 1; i < 5; i++) {
		assert_int_equal(interrupts_with(0x44), i);
		outb(COM, 'x');
	}
	assert_int_equal(inb(COM + 2), 0x02);
	/* With something to receive the line stays up, as that cause is still there. */
	outb(COM + 1, 0x03);
	typed("a");
	i = interrupts_with(0x44);
	outb(COM, 'x');
	assert_int_equal(interrupts_with(0x44), i);
	assert_int_equal(inb(COM + 2), 0x04);
	assert_int_equal(inb(COM), 'a');
	assert_int_equal(inb(COM + 2), 0x02);
}

static void without_out2_no_interrupt_gets_out(void **state)
{
	(void)state;
	outb(COM + 1, 0x02);
	assert_int_equal(home.interrupt_count, 0);
	assert_int_equal(inb(COM + 2), 0x02);
}

static void input_without_fifo(void **state)
{
	(void)state;
	outb(COM + 4, 0x08);
	outb(COM + 1, 0x01);
	typed("ab");
	assert_int_equal(interrupts_with(0x44), 1);
	assert_int_equal(inb(COM + 2), 0x04);
	assert_int_equal(inb(COM + 5), 0x61);
	assert_int_equal(inb(COM), 'a');
	assert_int_equal(inb(COM), 'b'); /* came when there was room for it */
	assert_int_equal(inb(COM + 5), 0x60);
	assert_int_equal(inb(COM + 2), 0x01);
	assert_int_equal(inb(COM), 0);
}

static void input_with_fifo_and_trigger(void **state)
{
	unsigned int i;

	(void)state;
	outb(COM + 2, 0x81); /* trigger at 8 */
	outb(COM + 4, 0x08);
	outb(COM + 1, 0x01);
	typed("1234567");
	assert_int_equal(inb(COM + 2), 0xc1);
	typed("8");
	assert_int_equal(inb(COM + 2), 0xc4);
	for (i = 0; i < 8; i++) {
		assert_int_equal(inb(COM), '1' + i);
	}
	assert_int_equal(inb(COM + 2), 0xc1);
}

static void few_bytes_come_by_time(void **state)
{
	(void)state;
	outb(COM + 2, 0x81);
	outb(COM + 4, 0x08);
	outb(COM + 1, 0x01);
	typed("x");
	assert_int_equal(home.interrupt_count, 0);
	pass(MS);
	assert_int_equal(interrupts_with(0x44), 1);
	assert_int_equal(inb(COM + 2), 0xcc);
	assert_int_equal(inb(COM), 'x');
	assert_int_equal(inb(COM + 2), 0xc1);
}

static void more_than_the_fifo_holds(void **state)
{
	char text[41] = {0};
	unsigned int i;

	(void)state;
	memset(text, 'z', 40);
	outb(COM + 2, 0x01);
	typed(text);
	assert_int_equal(home.in_taken, 16); /* the rest stays at the host: nothing is overrun */
	for (i = 0; i < 40; i++) {
		assert_int_equal(inb(COM), 'z');
	}
	assert_int_equal(inb(COM + 5), 0x60);
}

static void clearing_the_fifo(void **state)
{
	(void)state;
	outb(COM + 2, 0x01);
	typed("abc");
	outb(COM + 2, 0x03);
	assert_int_equal(inb(COM + 5), 0x60);
	home.out_room = 0;
	outb(COM, 'q');
	outb(COM + 2, 0x05);
	assert_int_equal(inb(COM + 5), 0x60);
	home.out_room = FAKE_SERIAL;
	board_serial_drained(&board);
	assert_int_equal(home.out_count, 0);
}

static void loopback(void **state)
{
	(void)state;
	outb(COM + 4, 0x1a);
	assert_int_equal(inb(COM + 6) & 0xf0, 0x90); /* how drivers tell that there is a port */
	outb(COM, 'L');
	assert_int_equal(home.out_count, 0);
	assert_int_equal(inb(COM), 'L');
	outb(COM, '1');
	outb(COM, '2');
	assert_int_equal(inb(COM + 5) & 0x02, 0x02); /* overrun, once */
	assert_int_equal(inb(COM + 5) & 0x02, 0);
	outb(COM + 4, 0x08);
	assert_int_equal(inb(COM + 6) & 0xf0, 0xb0);
}

static void modem_status_interrupt(void **state)
{
	(void)state;
	outb(COM + 4, 0x08);
	outb(COM + 1, 0x08);
	outb(COM + 4, 0x18); /* loop back without RTS: CTS falls */
	assert_int_equal(inb(COM + 2), 0x00);
	assert_int_equal(inb(COM + 6) & 0x01, 0x01);
	assert_int_equal(inb(COM + 2), 0x01);
}

static void divisor_and_scratch(void **state)
{
	(void)state;
	outb(COM + 3, 0x83);
	outb(COM, 0x0c);
	outb(COM + 1, 0x01);
	assert_int_equal(inb(COM), 0x0c);
	assert_int_equal(inb(COM + 1), 0x01);
	outb(COM + 3, 0x03);
	assert_int_equal(inb(COM + 1), 0);
	assert_int_equal(home.out_count, 0);
	outb(COM + 7, 0xa5);
	assert_int_equal(inb(COM + 7), 0xa5);
	outb(COM + 1, 0xff);
	assert_int_equal(inb(COM + 1), 0x0f);
	outb(COM + 4, 0xff);
	assert_int_equal(inb(COM + 4), 0x1f);
	outb(COM + 5, 0xff); /* read only */
	assert_int_equal(inb(COM + 5), 0x60);
}

static void a_reset_forgets(void **state)
{
	(void)state;
	outb(COM + 2, 0x01);
	outb(COM + 4, 0x08);
	outb(COM + 1, 0x03);
	typed("abc");
	board_reset(&board);
	assert_int_equal(inb(COM + 1), 0);
	assert_int_equal(inb(COM + 2), 0x01);
	assert_int_equal(inb(COM + 5), 0x60);
	assert_int_equal(board.irq.raised[4], 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, board_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(plain_output),
		T(output_waits_for_room),
		T(the_transmitter_interrupts),
		T(each_write_is_an_edge),
		T(without_out2_no_interrupt_gets_out),
		T(input_without_fifo),
		T(input_with_fifo_and_trigger),
		T(few_bytes_come_by_time),
		T(more_than_the_fifo_holds),
		T(clearing_the_fifo),
		T(loopback),
		T(modem_status_interrupt),
		T(divisor_and_scratch),
		T(a_reset_forgets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
