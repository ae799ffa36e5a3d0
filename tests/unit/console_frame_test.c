/* console/frame.c: what a viewer is told of a screen that changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "console/frame.h"

#define WIDTH  64u
#define HEIGHT 48u

static uint8_t memory[SCREEN_BYTES - SCREEN_FRAME_AT];
static struct screen registers;
static struct frame frame;
static struct frame_change changes[8];
static unsigned int count;

static void told(void *of, const struct frame_change *change)
{
	assert_ptr_equal(of, &frame);
	changes[count++ % 8] = *change;
}

static enum frame_news look(void)
{
	count = 0;
	return frame_look(&frame, &registers, told, &frame);
}

static void set_mode(unsigned int width, unsigned int height)
{
	registers = (struct screen){.magic = SCREEN_MAGIC, .mask = 0xff};
	registers.dispi[SCREEN_DISPI_WIDTH] = registers.dispi[SCREEN_DISPI_VIRTUAL_WIDTH] =
		(uint16_t)width;
	registers.dispi[SCREEN_DISPI_HEIGHT] = (uint16_t)height;
	registers.dispi[SCREEN_DISPI_BITS] = 32;
	registers.dispi[SCREEN_DISPI_ENABLE] = SCREEN_DISPI_ENABLED;
}

static int setup(void **state)
{
	(void)state;
	memset(memory, 0, sizeof(memory));
	set_mode(WIDTH, HEIGHT);
	return frame_init(&frame, memory) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	frame_destroy(&frame);
	return 0;
}

static void stands_still(void **state)
{
	(void)state;
	assert_int_equal(look(), FRAME_RESIZED);
	assert_int_equal(frame.width, WIDTH);
	assert_int_equal(frame.height, HEIGHT);
	assert_int_equal(count, 0);
	assert_int_equal(look(), FRAME_SAME);
	memory[SCREEN_FRAME_BYTES - 1] = 1; /* nobody sees it */
	assert_int_equal(look(), FRAME_SAME);
}

/* Pixels are blue, green, red in the guest's memory, and the other way in ours; bands change for
 * themselves. */
static void changes_a_little(void **state)
{
	static const uint8_t pixel[] = {1, 2, 3};

	(void)state;
	assert_int_equal(look(), FRAME_RESIZED);
	memcpy(&memory[4 * (20 * WIDTH + 7)], pixel, 3);
	memcpy(&memory[4 * (22 * WIDTH + 30)], pixel, 3);
	memcpy(&memory[4 * (47 * WIDTH + 63)], pixel, 3);
	assert_int_equal(look(), FRAME_CHANGED);
	assert_int_equal(count, 2);
	assert_int_equal(changes[0].left, 7);
	assert_int_equal(changes[0].right, 31);
	assert_int_equal(changes[0].top, 16);
	assert_int_equal(changes[0].bottom, 23);
	assert_int_equal(changes[1].left, 63);
	assert_int_equal(changes[1].right, 64);
	assert_int_equal(changes[1].top, 32);
	assert_int_equal(changes[1].bottom, 48);
	assert_int_equal(frame.pixels[4 * (20 * WIDTH + 7)], 3);
	assert_int_equal(frame.pixels[4 * (20 * WIDTH + 7) + 2], 1);
	assert_int_equal(look(), FRAME_SAME);
}

static void changes_its_mode(void **state)
{
	(void)state;
	assert_int_equal(look(), FRAME_RESIZED);
	set_mode(1024, 768);
	memory[4 * 1024 * 767] = 9;
	assert_int_equal(look(), FRAME_RESIZED);
	assert_int_equal(frame.width, 1024);
	assert_int_equal(frame.pixels[4 * 1024 * 767 + 2], 9);
	set_mode(WIDTH, HEIGHT);
	assert_int_equal(look(), FRAME_RESIZED);
	set_mode(1024, 768);
	assert_int_equal(look(), FRAME_RESIZED);
	assert_int_equal(frame.pixels[4 * 1024 * 767 + 2], 9);
}

static void set_video(unsigned int width, unsigned int height)
{
	registers = (struct screen){.magic = SCREEN_MAGIC,
				    .source = SCREEN_VIDEO,
				    .width = (uint16_t)width,
				    .height = (uint16_t)height,
				    .pitch = 4 * width + 64,
				    .offset = 4096,
				    .bits = 32,
				    .change_count = SCREEN_ALL};
}

static uint8_t *video_at(unsigned int x, unsigned int y)
{
	return memory + SCREEN_VIDEO_AT - SCREEN_FRAME_AT + registers.offset +
	       (size_t)y * registers.pitch + 4 * (size_t)x;
}

/* A synthetic display in place of the VGA, and back; what it says of its changes is all that is
 * looked at. */
static void has_another_source(void **state)
{
	(void)state;
	memory[4 * WIDTH] = 9;
	assert_int_equal(look(), FRAME_RESIZED);
	set_video(WIDTH, HEIGHT);
	*video_at(3, 20) = 7;
	*video_at(0, 1) = 9; /* as the VGA has it */
	assert_int_equal(look(), FRAME_CHANGED);
	assert_int_equal(count, 1);
	assert_int_equal(changes[0].left, 3);
	assert_int_equal(changes[0].top, 16);
	assert_int_equal(frame.pixels[4 * (20 * WIDTH + 3) + 2], 7);
	assert_int_equal(look(), FRAME_SAME);
	registers.change_count = 0;
	*video_at(5, 5) = 1;
	*video_at(40, 40) = 2;
	assert_int_equal(look(), FRAME_SAME);
	registers.change_count = 1;
	registers.changes[0] = (struct screen_change){39, 39, 200, 200};
	assert_int_equal(look(), FRAME_CHANGED);
	assert_int_equal(count, 1);
	assert_int_equal(changes[0].left, 40);
	assert_int_equal(changes[0].right, 41);
	assert_int_equal(frame.pixels[4 * (40 * WIDTH + 40) + 2], 2);
	assert_int_equal(frame.pixels[4 * (5 * WIDTH + 5) + 2], 0);
	registers.pitch = 4 * WIDTH; /* another picture: all of it is looked at */
	*video_at(63, 47) = 3;
	assert_int_equal(look(), FRAME_CHANGED);
	assert_int_equal(frame.pixels[4 * (47 * WIDTH + 63) + 2], 3);
	set_mode(WIDTH, HEIGHT);
	assert_int_equal(look(), FRAME_CHANGED);
	assert_int_equal(frame.pixels[4 * WIDTH + 2], 9);
	assert_int_equal(frame.pixels[4 * (47 * WIDTH + 63) + 2], 0);
	set_video(1024, 768);
	registers.bits = 16;
	video_at(0, 0)[0] = 0x1f;
	assert_int_equal(look(), FRAME_RESIZED);
	assert_int_equal(frame.pixels[2], 255);
	registers.offset = SCREEN_VIDEO_BYTES; /* it is nowhere: an empty screen */
	assert_int_equal(look(), FRAME_RESIZED);
	assert_int_equal(frame.width, 720);
}

/* A guest may write what it likes into the registers, and a worker that it has taken over, too. */
static void anything(void **state)
{
	unsigned int i, turn;

	(void)state;
	srand(1);
	for (turn = 0; turn < 40; turn++) {
		for (i = 0; i < sizeof(registers); i++) {
			((uint8_t *)&registers)[i] = (uint8_t)rand();
		}
		registers.magic = turn % 8 == 0 ? 0 : SCREEN_MAGIC;
		registers.dispi[SCREEN_DISPI_ENABLE] = (uint16_t)(turn & 1);
		registers.dispi[SCREEN_DISPI_BITS] = (uint16_t)(turn % 40);
		registers.dispi[SCREEN_DISPI_WIDTH] %= 4096;
		registers.dispi[SCREEN_DISPI_HEIGHT] %= 2048;
		assert_int_not_equal(look(), FRAME_FAILED);
		assert_true(frame.width != 0 && frame.height != 0);
		count = 0;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(stands_still, setup, teardown),
		cmocka_unit_test_setup_teardown(changes_a_little, setup, teardown),
		cmocka_unit_test_setup_teardown(changes_its_mode, setup, teardown),
		cmocka_unit_test_setup_teardown(has_another_source, setup, teardown),
		cmocka_unit_test_setup_teardown(anything, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
