/* devices/hda.c and hda_codec.c: the controller's reset, commands for the codec, streams by their
 * lists, as Linux's snd_hda_intel uses them. */
#include "tests/fake/board.h"

#include <string.h>

#define BASE   0xf9000000ull
#define LINE   10
#define VECTOR 0x62

#define CORB      0x0
#define RIRB      0x800
#define LIST      0x1000
#define POSITIONS 0x1800
#define BUFFER    0x2000

#define OUT 0xa0
#define IN  0x80

static uint32_t get(uint32_t at, unsigned int size)
{
	return (uint32_t)board_memory_read(&board, BASE + at, size);
}

static void put(uint32_t at, unsigned int size, uint32_t value)
{
	board_memory_write(&board, BASE + at, size, value);
}

static void set_config(unsigned int at, uint32_t value)
{
	out(0xcf8, 4, 0x80000000u | BOARD_HDA_SLOT << 11 | at);
	out(0xcfc, 4, value);
}

static void begin(void)
{
	put(0x08, 4, 1);
	put(0x40, 4, CORB);
	put(0x50, 4, RIRB);
	put(0x4a, 2, 0x8000);
	assert_int_equal(get(0x4a, 2), 0x8000);
	put(0x4a, 2, 0);
	assert_int_equal(get(0x4a, 2), 0);
	put(0x58, 2, 0x8000);
	put(0x5a, 2, 1);
	put(0x5c, 1, 3);
	put(0x4c, 1, 2);
	put(0x20, 4, 0xc0000003);
}

static int setup(void **state)
{
	board_setup_generation_1(state);
	board_add_hda(&board);
	set_config(0x10, (uint32_t)BASE);
	set_config(0x04, 6);
	pci_route(&board.pci, (BOARD_HDA_SLOT - 1) % 4, LINE);
	ioapic_route(LINE, VECTOR, true);
	begin();
	return 0;
}

/* A command, and its answer. */
static uint32_t ask(unsigned int node, uint32_t verb)
{
	uint8_t at = (uint8_t)(get(0x48, 2) + 1);
	uint32_t command = node << 20 | verb, entry[2];

	memcpy(home.ram + CORB + 4 * at, &command, 4);
	put(0x48, 2, at);
	assert_int_equal(get(0x4a, 2), at);
	assert_int_equal(get(0x58, 2), at);
	memcpy(entry, home.ram + RIRB + 8 * at, 8);
	assert_int_equal(entry[1], 0);
	put(0x5d, 1, 5);
	board_apic_eoi(&board, VECTOR);
	return entry[0];
}

static void list(unsigned int index, uint64_t gpa, uint32_t length, bool tells)
{
	memcpy(home.ram + LIST + 16 * index, &gpa, 8);
	memcpy(home.ram + LIST + 16 * index + 8, &length, 4);
	memcpy(home.ram + LIST + 16 * index + 12, &(uint32_t){tells}, 4);
}

static void fill(unsigned int bytes)
{
	unsigned int i;

	for (i = 0; i < bytes; i++) {
		home.ram[BUFFER + i] = (uint8_t)(i * 11 + 5);
	}
}

/* Two halves of a buffer, 48000 frames of 16 bits and two sides; as stream 5. */
static void start(uint32_t at, uint32_t bytes)
{
	put(at, 1, 1);
	assert_int_equal(get(at, 1) & 1, 1);
	put(at, 1, 0);
	assert_int_equal(get(at, 1) & 1, 0);
	list(0, BUFFER, bytes / 2, true);
	list(1, BUFFER + bytes / 2, bytes / 2, true);
	put(at + 0x18, 4, LIST);
	put(at + 0x08, 4, bytes);
	put(at + 0x0c, 2, 1);
	put(at + 0x12, 2, 0x0011);
	put(at + 2, 1, 0x50);
	put(at, 1, 0x1e);
}

static void comes_out_of_reset(void **state)
{
	(void)state;
	put(0x08, 4, 0);
	assert_int_equal(get(0x08, 4), 0);
	put(0x20, 4, 0xc0000003); /* is not heard */
	assert_int_equal(get(0x20, 4), 0);
	put(0x08, 4, 1);
	assert_int_equal(get(0x08, 4), 1);
	assert_int_equal(get(0x0e, 2), 1);
	put(0x0e, 2, 1);
	assert_int_equal(get(0x0e, 2), 0);
	assert_int_equal(get(0x00, 2), 0x1101);
	assert_int_equal(get(0x02, 2), 0x0100);
	assert_int_equal(get(0x2000, 4), 0);
}

static void the_wall_clock(void **state)
{
	uint32_t before = get(0x30, 4);

	(void)state;
	pass(1 * MS);
	assert_int_equal(get(0x30, 4) - before, 24000);
}

static void the_codec(void **state)
{
	(void)state;
	assert_int_equal(ask(0, 0xf0004), 0x00010001);
	assert_int_equal(ask(1, 0xf0005), 1);
	assert_int_equal(ask(1, 0xf0004), 0x00020004);
	assert_int_equal(ask(2, 0xf0009) >> 20, 0);
	assert_int_equal(ask(3, 0xf0009) >> 20, 4);
	assert_int_equal(ask(4, 0xf0009) >> 20, 1);
	assert_int_equal(ask(3, 0xf0200), 2); /* the pin's connection */
	assert_int_equal(ask(4, 0xf0200), 5);
	assert_int_equal(ask(2, 0x20011), 0);
	assert_int_equal(ask(2, 0xa0000), 0x11);
	assert_int_equal(ask(2, 0x70653), 0);
	assert_int_equal(ask(2, 0xf0600), 0x53);
	ask(2, 0x3b08f); /* out, both sides: muted, 15 */
	assert_int_equal(ask(2, 0xba000), 0x8f);
	ask(2, 0x39005); /* out, right: 5 */
	assert_int_equal(ask(2, 0xb8000), 5);
	assert_int_equal(ask(2, 0xba000), 0x8f);
	assert_int_equal(ask(3, 0xf1c00), 0x01014110);
	assert_int_equal(ask(99, 0xf0000), 0);
	ask(1, 0x7ff00);
	assert_int_equal(ask(2, 0xba000), 0x1f);
	assert_true(interrupts_with(VECTOR) != 0);
}

/* An answer has no place in memory. */
static void commands_that_cannot_be(void **state)
{
	(void)state;
	put(0x50, 4, 0x80000000);
	put(0x48, 2, 1);
	assert_int_equal(get(0x4d, 1), 1);
	assert_int_equal(get(0x4c, 1), 0);
}

static void plays(void **state)
{
	unsigned int i;
	uint32_t at;

	(void)state;
	fill(1920); /* 480 frames, 10 ms */
	put(0x70, 4, POSITIONS | 1);
	ask(2, 0x70650);
	start(OUT, 1920);
	home.interrupt_count = 0;
	assert_int_equal(get(OUT + 3, 1), 0x20);
	pass(2 * MS + MS / 2);
	assert_int_equal(get(OUT + 4, 4), 480);
	assert_int_equal(home.sound.count, 120);
	assert_int_equal(home.sound.rate, 48000);
	pass(3 * MS);
	assert_int_equal(get(OUT + 3, 1), 0x24);
	assert_int_equal(get(0x24, 4), 0x80000002);
	assert_int_equal(interrupts_with(VECTOR), 1);
	put(OUT + 3, 1, 0x04);
	board_apic_eoi(&board, VECTOR);
	assert_int_equal(get(0x24, 4), 0);
	assert_int_equal(interrupts_with(VECTOR), 1);
	pass(4 * MS + MS / 2);
	assert_int_equal(get(OUT + 4, 4), 0); /* round */
	memcpy(&at, home.ram + POSITIONS + 8, 4);
	assert_int_equal(at, 0);
	assert_int_equal(home.sound.count, 480);
	for (i = 0; i < 480; i++) {
		assert_memory_equal(home.sound.frames[i], home.ram + BUFFER + 4 * i, 4);
	}
	put(OUT, 1, 0x1c);
	pass(SEC);
	assert_int_equal(home.sound.count, 480);
	assert_int_equal(home.wake_at, HOST_NEVER);
}

/* Messages in the line's place: one for each interrupt that comes. */
static void by_messages(void **state)
{
	(void)state;
	set_config(0x64, 0xfee00000);
	set_config(0x68, 0);
	set_config(0x6c, VECTOR + 1);
	set_config(0x60, 1 << 16);
	start(OUT, 1920);
	pass(5 * MS + MS / 2);
	assert_int_equal(interrupts_with(VECTOR), 0);
	assert_int_equal(interrupts_with(VECTOR + 1), 1);
	put(OUT + 3, 1, 0x04);
	pass(5 * MS);
	assert_int_equal(interrupts_with(VECTOR + 1), 2);
}

static void only_what_the_codec_hears(void **state)
{
	(void)state;
	ask(2, 0x70640); /* another stream */
	start(OUT, 1920);
	pass(5 * MS + MS / 2);
	assert_int_equal(home.sound.count, 0);
	assert_int_equal(get(OUT + 3, 1), 0x24);
}

static void at_a_volume(void **state)
{
	(void)state;
	memcpy(home.ram + BUFFER, &(int16_t[]){10000, -10000}, 4);
	ask(2, 0x70650);
	ask(2, 0x3a015); /* left: 20 dB less */
	ask(2, 0x39080); /* right: muted */
	start(OUT, 1920);
	pass(3 * MS);
	(void)get(OUT + 4, 4);
	assert_in_range(home.sound.frames[0][0], 999, 1000);
	assert_int_equal(home.sound.frames[0][1], 0);
}

static void records_silence(void **state)
{
	unsigned int i;

	(void)state;
	fill(1920);
	start(IN, 1920);
	pass(5 * MS + MS / 2);
	(void)get(IN + 4, 4);
	assert_int_equal(get(IN + 3, 1), 0x24);
	for (i = 0; i < 960; i++) {
		assert_int_equal(home.ram[BUFFER + i], 0);
	}
	assert_int_equal(home.ram[BUFFER + 1919], (uint8_t)(1919 * 11 + 5));
}

/* Streams that begin together. */
static void waits_for_the_others(void **state)
{
	(void)state;
	put(0x34, 4, 2);
	ask(2, 0x70650);
	start(OUT, 1920);
	assert_int_equal(get(OUT + 3, 1), 0x20);
	pass(SEC);
	assert_int_equal(home.sound.count, 0);
	assert_int_equal(home.wake_at, HOST_NEVER);
	put(0x34, 4, 0);
	pass(1 * MS);
	(void)get(OUT + 4, 4);
	assert_int_equal(home.sound.count, 48);
}

static void lists_that_cannot_be(void **state)
{
	unsigned int i;

	(void)state;
	start(OUT, 1920);
	list(1, 1ull << 40, 960, false); /* no memory; the first one is there */
	pass(20 * MS);
	assert_int_equal(get(OUT + 3, 1) & 0x10, 0x10);
	assert_int_equal(get(OUT, 1) & 2, 0);
	start(OUT, 0); /* empty ones */
	assert_int_equal(get(OUT, 1) & 2, 0);
	start(OUT, 1920);
	for (i = 0; i < 2; i++) {
		list(i, BUFFER, 1, false); /* a byte each: more than anybody's turn */
	}
	home.time += 100 * MS;
	board_tick(&board);
	assert_int_equal(get(OUT, 1) & 2, 0);
	set_config(0x04, 2); /* not its memory */
	start(OUT, 1920);
	assert_int_equal(get(OUT, 1) & 2, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, board_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(comes_out_of_reset),
		T(the_wall_clock),
		T(the_codec),
		T(commands_that_cannot_be),
		T(plays),
		T(by_messages),
		T(only_what_the_codec_hears),
		T(at_a_volume),
		T(records_silence),
		T(waits_for_the_others),
		T(lists_that_cannot_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
