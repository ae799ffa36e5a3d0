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

static void key(uint8_t which, bool down)
{
	board_key(&board, which, down);
}

static void gives_all(const uint8_t *bytes, unsigned int count, bool aux)
{
	while (count-- != 0) {
		gives(*bytes++, aux);
	}
	gives_no_more();
}

#define GIVES(aux, ...)                                                                            \
	gives_all((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), aux)

static void set_of(uint8_t set)
{
	outb(0x60, 0xf0);
	outb(0x60, set);
	GIVES(false, 0xfa, 0xfa);
}

/* A letter, a key with a prefix, and the two that are unlike all others; in each set, and
 * translated. */
static void keys(void **state)
{
	(void)state;
	key(0x1e, true);
	key(0x1e, false);
	GIVES(false, 0x1c, 0xf0, 0x1c);
	key(0xc8, true);
	key(0xc8, false);
	GIVES(false, 0xe0, 0x75, 0xe0, 0xf0, 0x75);
	key(0xc6, true);
	key(0xc6, false);
	GIVES(false, 0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77);
	key(0xb7, true);
	key(0xb7, false);
	GIVES(false, 0xe0, 0x12, 0xe0, 0x7c, 0xe0, 0xf0, 0x7c, 0xe0, 0xf0, 0x12);
	set_of(3);
	key(0x01, true);
	key(0x01, false);
	key(0xc8, true);
	key(0xc8, false);
	GIVES(false, 0x08, 0xf0, 0x08, 0x63, 0xf0, 0x63);
	set_of(1);
	key(0xc8, true);
	key(0xc8, false);
	GIVES(false, 0xe0, 0x48, 0xe0, 0xc8);
	set_of(2);
	command(0x60);
	outb(0x60, 0x40);
	key(0x1e, true);
	key(0x1e, true);
	key(0x1e, false);
	GIVES(false, 0x1e, 0x1e, 0x9e);
	key(0xc6, true);
	GIVES(false, 0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5);
	key(0x7f, true);  /* there is no such key */
	key(0x1f, false); /* it is not down */
	gives_no_more();
}

/* Whoever types faster than the guest reads loses keys, but none of them stays pressed. */
static void keys_that_are_too_many(void **state)
{
	unsigned int down[128] = {0}, i, count = 0;

	(void)state;
	command(0x60);
	outb(0x60, 0x50); /* off: nothing is taken */
	for (i = 0; i < 1000; i++) {
		key((uint8_t)(1 + i % 0x50), i / 0x50 % 2 == 0);
	}
	for (i = 1; i < 0x51; i++) {
		key((uint8_t)i, false);
	}
	gives_no_more();
	command(0xae);
	while (inb(0x64) & 1) {
		uint8_t byte = inb(0x60);

		down[byte & 0x7f] = !(byte & 0x80);
		count++;
	}
	assert_true(count >= 32 && count <= 65);
	for (i = 0; i < 128; i++) {
		assert_int_equal(down[i], 0);
	}
}

/* It is off after F5, and waits while it is asked for something. */
static void a_keyboard_that_is_off(void **state)
{
	(void)state;
	outb(0x60, 0xf5);
	gives(0xfa, false);
	key(0x1e, true);
	gives_no_more();
	outb(0x60, 0xf4);
	gives(0xfa, false);
	outb(0x60, 0xed);
	gives(0xfa, false);
	key(0x1e, true);
	gives_no_more();
	outb(0x60, 0x00);
	GIVES(false, 0xfa, 0x1c);
	key(0x1e, false);
	outb(0x60, 0xff);
	gives(0xf0, false);
	GIVES(false, 0xfa, 0xaa);
}

static void moves(void **state)
{
	(void)state;
	board_pointer(&board, 5, 5, 0, 1);
	gives_no_more(); /* it is not asked to */
	mouse(0xf4);
	gives(0xfa, true);
	gives_no_more();
	board_pointer(&board, 5, 3, 1, 1);
	GIVES(true, 0x29, 5, 0xfd);
	board_pointer(&board, -300, -10, 0, 0);
	GIVES(true, 0x18, 1, 10, 0x18, 0xd3, 0);
	/* A click is one, however late it is taken. */
	board_pointer(&board, 0, 0, 0, 2);
	board_pointer(&board, 0, 0, 0, 0);
	board_pointer(&board, 1, 0, 0, 2);
	GIVES(true, 0x0a, 0, 0, 0x08, 1, 0, 0x0a, 0, 0);
	mouse(0xf0);
	gives(0xfa, true);
	board_pointer(&board, 7, 0, 0, 2);
	gives_no_more();
	mouse(0xeb);
	GIVES(true, 0xfa, 0x0a, 7, 0);
}

static void turns(void **state)
{
	(void)state;
	rate(200);
	rate(100);
	rate(80);
	mouse(0xf4);
	gives(0xfa, true);
	board_pointer(&board, 0, 0, 9, 0);
	GIVES(true, 0x08, 0, 0, 7, 0x08, 0, 0, 2);
	rate(200);
	rate(200);
	rate(80);
	board_pointer(&board, 0, 0, -1, 0x18);
	GIVES(true, 0x08, 0, 0, 0x3f);
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
		T(the_controller),
		T(loops),
		T(the_keyboard),
		T(the_mouse),
		T(wheels),
		T(keys),
		T(keys_that_are_too_many),
		T(a_keyboard_that_is_off),
		T(moves),
		T(turns),
		T(interrupts),
		T(disabled),
		T(too_much),
		T(ways_to_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
