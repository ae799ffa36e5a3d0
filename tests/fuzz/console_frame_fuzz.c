/*
 * A guest that changes its screen in any way, as a viewer is told of it: the worker hands over its
 * registers and its memory as they are. Every change that is told lies in the picture, what is
 * outside of all of them has not changed, and what has been shown step by step is what somebody who
 * comes later is shown at once.
 */
#include "console/frame.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

#define MEMORY    (SCREEN_BYTES - SCREEN_FRAME_AT)
#define VIDEO_AT  (SCREEN_VIDEO_AT - SCREEN_FRAME_AT)
#define REACH     (256u << 10) /* of the frame memory that a guest changes */
#define LOOKS     5u
#define SIDE_MOST 160u

static uint8_t memory[MEMORY], before[SIDE_MOST * SIDE_MOST * 4 + 720 * 400 * 4];
static struct frame shown;
static unsigned int told_count;

static void told(void *of, const struct frame_change *change)
{
	uint32_t y, left = 4 * change->left, bytes = 4 * (change->right - change->left), line;

	EXPECT(of == &shown && change->left < change->right && change->top < change->bottom &&
	       change->right <= shown.width && change->bottom <= shown.height);
	told_count++;
	line = 4 * shown.width;
	for (y = change->top; y < change->bottom && (size_t)line * shown.height <= sizeof(before);
	     y++) {
		memcpy(before + (size_t)y * line + left, shown.pixels + (size_t)y * line + left,
		       bytes);
	}
}

/* A mode of the display interface that is small, or whatever the bytes say. */
static void set_registers(struct screen *registers)
{
	uint8_t *bytes = (uint8_t *)registers;
	static const uint8_t depths[] = {8, 15, 16, 24, 32, 4};
	unsigned int i, count = fuzz_byte() % 24;

	if (fuzz_byte() % 2 == 0) {
		registers->dispi[SCREEN_DISPI_WIDTH] = 1 + fuzz_byte() % SIDE_MOST;
		registers->dispi[SCREEN_DISPI_HEIGHT] = 1 + fuzz_byte() % SIDE_MOST;
		registers->dispi[SCREEN_DISPI_VIRTUAL_WIDTH] = fuzz_byte();
		registers->dispi[SCREEN_DISPI_BITS] = depths[fuzz_byte() % sizeof(depths)];
		registers->dispi[SCREEN_DISPI_ENABLE] = fuzz_byte();
	}
	if (fuzz_byte() % 4 == 0) {
		registers->source = SCREEN_VIDEO;
		registers->width = 1 + fuzz_byte() % SIDE_MOST;
		registers->height = 1 + fuzz_byte() % SIDE_MOST;
		registers->pitch = 4u * registers->width + fuzz_byte();
		registers->offset = fuzz_byte();
		registers->bits = fuzz_byte() % 2 == 0 ? 16 : 32;
	}
	for (i = 0; i < count; i++) {
		size_t at = (fuzz_byte() | (size_t)fuzz_byte() << 8) %
			    (sizeof(*registers) - sizeof(registers->dispi));

		bytes[sizeof(registers->magic) * (fuzz_byte() % 16 != 0) +
		      at % (sizeof(*registers) - 64)] = fuzz_byte();
	}
	/* Who says less is believed. */
	registers->change_count = SCREEN_ALL;
}

static void set_memory(void)
{
	unsigned int i, count = fuzz_byte() % 16;

	for (i = 0; i < count; i++) {
		size_t at = (fuzz_byte() | (size_t)fuzz_byte() << 8 | (size_t)fuzz_byte() << 16) %
			    REACH;
		size_t length = fuzz_byte() % 2 == 0 ? 1 : fuzz_byte();

		switch (fuzz_byte() % 4) {
		case 0:
			at = SCREEN_FRAME_BYTES + at % (SCREEN_TEXT_BYTES - 256);
			break;
		case 1:
			at += VIDEO_AT;
			break;
		default:
			break;
		}
		memset(memory + at, fuzz_byte(), length);
	}
}

static void look(const struct screen *registers)
{
	struct frame later;
	size_t bytes = (size_t)shown.width * shown.height * 4;
	bool watched = shown.pixels != NULL && bytes <= sizeof(before);
	enum frame_news news;

	if (watched) {
		memcpy(before, shown.pixels, bytes);
	}
	told_count = 0;
	news = frame_look(&shown, registers, told, &shown);
	EXPECT(shown.pixels != NULL || news == FRAME_FAILED);
	EXPECT(news == FRAME_CHANGED || told_count == 0);
	if (watched && news != FRAME_RESIZED) {
		EXPECT(memcmp(before, shown.pixels, bytes) == 0);
	}
	EXPECT(frame_init(&later, memory));
	if (news != FRAME_FAILED && frame_look(&later, registers, NULL, NULL) != FRAME_FAILED) {
		EXPECT(later.width == shown.width && later.height == shown.height &&
		       memcmp(later.pixels, shown.pixels, (size_t)later.width * later.height * 4) ==
			       0);
	}
	frame_destroy(&later);
	/* Nothing has changed since. */
	EXPECT(news == FRAME_FAILED || frame_look(&shown, registers, told, &shown) == FRAME_SAME);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct screen registers = {.magic = SCREEN_MAGIC, .mask = 0xff};
	unsigned int looks = LOOKS;

	fuzz_begin(data, size);
	memset(memory, 0, REACH + 256);
	memset(memory + SCREEN_FRAME_BYTES, 0, SCREEN_TEXT_BYTES);
	memset(memory + VIDEO_AT, 0, REACH + 256);
	EXPECT(frame_init(&shown, memory));
	while (fuzz_more() && looks-- != 0) {
		set_registers(&registers);
		set_memory();
		look(&registers);
	}
	frame_destroy(&shown);
	return 0;
}
