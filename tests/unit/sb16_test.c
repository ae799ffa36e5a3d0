/* devices/sb16.c and devices/dma.c: the mixer, the DSP's commands, streams by DMA, and what a
 * program finds there. */
#include "tests/fake/board.h"

#include <string.h>

#define PORT   BOARD_SB16_PORT
#define VECTOR 0x45
#define MEMORY 0x1000

static int setup(void **state)
{
	board_setup_generation_1(state);
	board_add_sb16(&board);
	ioapic_route(5, VECTOR, false);
	return 0;
}

static void dsp(uint8_t value)
{
	assert_false(inb(PORT + 0xc) & 0x80);
	outb(PORT + 0xc, value);
}

static uint8_t answer(void)
{
	assert_true(inb(PORT + 0xe) & 0x80);
	return inb(PORT + 0xa);
}

static void set_mixer(uint8_t index, uint8_t value)
{
	outb(PORT + 4, index);
	outb(PORT + 5, value);
}

static uint8_t mixer(uint8_t index)
{
	outb(PORT + 4, index);
	return inb(PORT + 5);
}

static void set_rate(uint16_t rate)
{
	dsp(0x41);
	dsp((uint8_t)(rate >> 8));
	dsp((uint8_t)rate);
}

/* Channel 1, or 5 of words: from MEMORY, so many units, to the device or from it. */
static void set_dma(bool wide, uint8_t mode, unsigned int units)
{
	uint16_t chip = wide ? 0xc0 : 0, step = wide ? 2 : 1;
	uint16_t at = wide ? MEMORY / 2 : MEMORY;

	outb(chip + 10 * step, 5);
	outb(chip + 12 * step, 0);
	outb(chip + 11 * step, mode | 1);
	outb(chip + 2 * step, (uint8_t)at);
	outb(chip + 2 * step, (uint8_t)(at >> 8));
	outb(chip + 3 * step, (uint8_t)(units - 1));
	outb(chip + 3 * step, (uint8_t)((units - 1) >> 8));
	outb(wide ? 0x8b : 0x83, 0);
	outb(chip + 10 * step, 1);
}

static uint16_t dma_count(bool wide)
{
	uint16_t at = wide ? 0xc6 : 0x03, low;

	outb(wide ? 0xd8 : 0x0c, 0);
	low = inb(at);
	return (uint16_t)(low | inb(at) << 8);
}

static void fill(unsigned int bytes)
{
	unsigned int i;

	for (i = 0; i < bytes; i++) {
		home.ram[MEMORY + i] = (uint8_t)(i * 7 + 3);
	}
}

#define TO_DEVICE 0x48
#define TO_MEMORY 0x44
#define AUTO      0x10

static void play_new(uint8_t command, uint8_t mode, unsigned int samples)
{
	dsp(command);
	dsp(mode);
	dsp((uint8_t)(samples - 1));
	dsp((uint8_t)((samples - 1) >> 8));
}

static void is_found(void **state)
{
	(void)state;
	outb(PORT + 6, 1);
	assert_false(inb(PORT + 0xe) & 0x80);
	outb(PORT + 6, 0);
	assert_int_equal(answer(), 0xaa);
	dsp(0xe1);
	assert_int_equal(answer(), 4);
	assert_int_equal(answer(), 5);
	dsp(0xe0);
	dsp(0x5a);
	assert_int_equal(answer(), 0xa5);
	dsp(0xe4);
	dsp(0x77);
	dsp(0xe8);
	assert_int_equal(answer(), 0x77);
	dsp(0xe3);
	assert_int_equal(answer(), 'C');
	assert_int_equal(mixer(0x80) & 0x0f, 2);
	assert_int_equal(mixer(0x81), 0x22);
}

static void asks_for_interrupts(void **state)
{
	(void)state;
	dsp(0xf2);
	assert_int_equal(interrupts_with(VECTOR), 1);
	assert_int_equal(mixer(0x82), 1);
	(void)inb(PORT + 0xe);
	assert_int_equal(mixer(0x82), 0);
	dsp(0xf3);
	assert_int_equal(interrupts_with(VECTOR), 2);
	assert_int_equal(mixer(0x82), 2);
	(void)inb(PORT + 0xe);
	assert_int_equal(mixer(0x82), 2);
	(void)inb(PORT + 0xf);
	assert_int_equal(mixer(0x82), 0);
}

static void another_line(void **state)
{
	(void)state;
	ioapic_route(7, VECTOR + 2, false);
	set_mixer(0x80, 0x04);
	dsp(0xf2);
	assert_int_equal(interrupts_with(VECTOR), 0);
	assert_int_equal(interrupts_with(VECTOR + 2), 1);
	set_mixer(0x80, 0x00); /* none: as it was */
	assert_int_equal(mixer(0x80) & 0x0f, 4);
}

static void bytes_of_one_block(void **state)
{
	unsigned int i;

	(void)state;
	fill(200);
	set_dma(false, TO_DEVICE, 200);
	dsp(0x40);
	dsp(256 - 100); /* 10000 a second */
	dsp(0x14);
	dsp(199);
	dsp(0);
	pass(10 * MS);
	assert_int_equal(home.sound.rate, 10000);
	assert_int_equal(home.sound.count, 100);
	assert_int_equal(dma_count(false), 99);
	assert_int_equal(interrupts_with(VECTOR), 0);
	pass(10 * MS);
	assert_int_equal(home.sound.count, 200);
	assert_int_equal(interrupts_with(VECTOR), 1);
	assert_int_equal(dma_count(false), 0xffff);
	assert_int_equal(inb(0x08), 2); /* the count's end, once */
	assert_int_equal(inb(0x08), 0);
	for (i = 0; i < 200; i++) {
		int16_t sample = (int16_t)(((uint8_t)(i * 7 + 3) - 128) * 256);

		assert_int_equal(home.sound.frames[i][0], sample);
		assert_int_equal(home.sound.frames[i][1], sample);
	}
	pass(SEC);
	assert_int_equal(home.sound.count, 200);
	assert_int_equal(home.wake_at, HOST_NEVER);
}

static void words_in_stereo(void **state)
{
	unsigned int i;

	(void)state;
	fill(400);
	set_dma(true, TO_DEVICE, 200);
	set_rate(10000);
	play_new(0xb0, 0x30, 200);
	pass(10 * MS);
	assert_int_equal(home.sound.rate, 10000);
	assert_int_equal(home.sound.count, 100);
	assert_int_equal(mixer(0x82), 2);
	for (i = 0; i < 200; i++) {
		int16_t sample;

		memcpy(&sample, home.ram + MEMORY + 2 * i, 2);
		assert_int_equal(home.sound.frames[i / 2][i % 2], sample);
	}
}

/* It goes round in memory, and a block is half of that. */
static void block_after_block(void **state)
{
	(void)state;
	fill(400);
	set_dma(false, TO_DEVICE | AUTO, 400);
	set_rate(20000);
	play_new(0xc6, 0x00, 200);
	pass(35 * MS);
	assert_int_equal(interrupts_with(VECTOR), 1); /* and no edge before it is seen */
	(void)inb(PORT + 0xe);
	pass(10 * MS);
	assert_int_equal(interrupts_with(VECTOR), 2);
	assert_int_equal(home.sound.count, 800);
	(void)inb(PORT + 0xe);
	dsp(0xda); /* to the end of this block */
	pass(SEC);
	assert_int_equal(interrupts_with(VECTOR), 3);
	assert_int_equal(home.sound.count, 1000);
	assert_memory_equal(home.sound.frames[0], home.sound.frames[400],
			    sizeof(home.sound.frames[0]) * 100);
}

static void a_pause(void **state)
{
	(void)state;
	set_dma(false, TO_DEVICE, 400);
	set_rate(20000);
	play_new(0xc0, 0x00, 400);
	pass(5 * MS);
	dsp(0xd0);
	assert_int_equal(home.sound.count, 100);
	pass(SEC);
	assert_int_equal(home.sound.count, 100);
	assert_int_equal(home.wake_at, HOST_NEVER);
	dsp(0xd4);
	pass(15 * MS);
	assert_int_equal(home.sound.count, 400);
	assert_int_equal(interrupts_with(VECTOR), 1);
}

/* A channel that is masked, or has come to its end, makes the card wait. */
static void without_dma(void **state)
{
	(void)state;
	set_rate(20000);
	play_new(0xc0, 0x00, 400);
	pass(SEC);
	assert_int_equal(home.sound.count, 0);
	assert_int_equal(home.wake_at, HOST_NEVER);
	set_dma(false, TO_DEVICE, 300);
	pass(SEC);
	assert_int_equal(home.sound.count, 300);
	assert_int_equal(interrupts_with(VECTOR), 0);
	set_dma(false, TO_DEVICE, 300);
	pass(SEC);
	assert_int_equal(home.sound.count, 400);
	assert_int_equal(interrupts_with(VECTOR), 1);
}

/* A host that has slept for a second is not made up for, and two ends are two interrupts. */
static void a_late_host(void **state)
{
	(void)state;
	set_dma(false, TO_DEVICE | AUTO, 400);
	set_rate(20000);
	play_new(0xc6, 0x00, 8000); /* 400 ms */
	home.time += 5 * SEC;
	board_tick(&board);
	assert_int_equal(home.sound.count, 8000);
	assert_int_equal(interrupts_with(VECTOR), 1);
	pass(1 * MS);
	assert_int_equal(home.sound.count, 10000);
	(void)dma_count(false); /* who looks sees where it is */
	assert_int_equal(home.sound.count, 10020);
}

static void records_silence(void **state)
{
	unsigned int i;

	(void)state;
	fill(200);
	set_dma(false, TO_MEMORY, 100);
	set_rate(20000);
	play_new(0xc8, 0x00, 100);
	pass(5 * MS);
	assert_int_equal(interrupts_with(VECTOR), 1);
	for (i = 0; i < 100; i++) {
		assert_int_equal(home.ram[MEMORY + i], 0x80);
	}
	assert_int_equal(home.ram[MEMORY + 100], (uint8_t)(100 * 7 + 3));
	assert_int_equal(home.sound.count, 0);
}

static void at_a_volume(void **state)
{
	(void)state;
	home.ram[MEMORY] = 0xff;
	set_mixer(0x30, 21 << 3); /* left: 20 dB less */
	set_mixer(0x33, 0);       /* right: 62 dB less */
	set_dma(false, TO_DEVICE, 1);
	play_new(0xc0, 0x00, 1);
	pass(SEC);
	assert_int_equal(home.sound.frames[0][0], 3251); /* 127 * 256 / 10 */
	assert_int_equal(home.sound.frames[0][1], 25);
	set_mixer(0x22, 0xa6); /* the register of an older card */
	assert_int_equal(mixer(0x30), 0xa8);
	assert_int_equal(mixer(0x31), 0x68);
	assert_int_equal(mixer(0x22), 0xa6);
	set_mixer(0, 0);
	assert_int_equal(mixer(0x30), 0xf8);
}

static void a_rest(void **state)
{
	(void)state;
	set_rate(10000);
	dsp(0x80);
	dsp(99);
	dsp(0);
	pass(9 * MS);
	assert_int_equal(interrupts_with(VECTOR), 0);
	pass(2 * MS);
	assert_int_equal(interrupts_with(VECTOR), 1);
	assert_int_equal(home.sound.count, 0);
}

static void words_by_a_byte_channel(void **state)
{
	(void)state;
	fill(8);
	set_mixer(0x81, 0x02);
	set_dma(false, TO_DEVICE, 8);
	play_new(0xb0, 0x10, 4);
	pass(SEC);
	assert_int_equal(home.sound.count, 4);
	assert_int_equal(home.sound.frames[1][0], (int16_t)(17 | 24 << 8));
	assert_int_equal(mixer(0x82), 2);
}

static void dma_moves_where_it_is_set(void **state)
{
	uint8_t bytes[8];
	unsigned int i;

	(void)state;
	fill(16);
	set_dma(false, TO_DEVICE | 0x20, 3); /* downwards, from MEMORY on */
	assert_int_equal(dma_move(&board.dma, 1, bytes, 8, false), 3);
	assert_int_equal(bytes[0], 3);
	assert_int_equal(bytes[1], 0);
	assert_int_equal(dma_move(&board.dma, 1, bytes, 8, false), 0);
	set_dma(false, TO_DEVICE, 8);
	outb(0x83, 0x40); /* no memory is there */
	assert_int_equal(dma_move(&board.dma, 1, bytes, 8, false), 8);
	for (i = 0; i < 8; i++) {
		assert_int_equal(bytes[i], 0xff);
	}
	set_dma(false, TO_DEVICE, 8);
	memset(bytes, 1, 8);
	assert_int_equal(dma_move(&board.dma, 1, bytes, 8, true), 8); /* it is not set for that */
	assert_int_equal(home.ram[MEMORY], 3);
	set_dma(false, TO_DEVICE, 8);
	outb(0x08, 4); /* the chip is off */
	assert_int_equal(dma_move(&board.dma, 1, bytes, 8, false), 0);
	outb(0x0d, 0); /* and all is masked */
	assert_int_equal(inb(0x0f) & 0x0f, 0x0f);
	assert_int_equal(inb(0x08), 0);
}

static void no_card_no_ports(void **state)
{
	board_teardown(state);
	board_setup_generation_1(state);
	assert_int_equal(inb(PORT + 0xe), 0xff);
	assert_int_equal(inb(0x00), 0xff);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, board_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(is_found),
		T(asks_for_interrupts),
		T(another_line),
		T(bytes_of_one_block),
		T(words_in_stereo),
		T(block_after_block),
		T(a_pause),
		T(without_dma),
		T(a_late_host),
		T(records_silence),
		T(at_a_volume),
		T(a_rest),
		T(words_by_a_byte_channel),
		T(dma_moves_where_it_is_set),
		T(no_card_no_ports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
