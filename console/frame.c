/*
 * See frame.h. What is shown is first copied, and drawn only if it differs from what was copied before: so a screen that stands still costs a
 * comparison, and a guest that draws meanwhile cannot change under the drawing.
 */
#include "console/frame.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "console/screen.h"

/* What there is to be seen when a guest has set up no picture. */
#define EMPTY_WIDTH  720
#define EMPTY_HEIGHT 400

#define PLANES_BYTES (256u << 10) /* all that a VGA's own modes show */

bool frame_init(struct frame *frame, const uint8_t *memory)
{
	/* Only what is shown of it is ever touched. */
	void *seen = mmap(NULL, SCREEN_BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	*frame = (struct frame){.memory = memory, .seen = seen};
	return seen != MAP_FAILED;
}

void frame_destroy(struct frame *frame)
{
	munmap(frame->seen, SCREEN_BYTES);
	free(frame->pixels);
}

/* How much of the frame memory is shown, from its beginning. */
static size_t shown_bytes(const struct screen *s)
{
	size_t lines = (size_t)s->dispi[SCREEN_DISPI_Y] + s->dispi[SCREEN_DISPI_HEIGHT] + 1;
	size_t bytes = (size_t)s->dispi[SCREEN_DISPI_VIRTUAL_WIDTH] * 4 * lines;

	if (!(s->dispi[SCREEN_DISPI_ENABLE] & SCREEN_DISPI_ENABLED) || bytes < PLANES_BYTES) {
		return PLANES_BYTES;
	}
	return bytes < SCREEN_FRAME_BYTES ? bytes : SCREEN_FRAME_BYTES;
}

/* True: something is not as it was. */
static bool copy(uint8_t *to, const uint8_t *from, size_t bytes)
{
	if (memcmp(to, from, bytes) == 0) {
		return false;
	}
	memcpy(to, from, bytes);
	return true;
}

static bool copy_all(struct frame *frame, const struct screen *registers)
{
	size_t bytes = shown_bytes(registers);
	bool changed = copy(frame->seen, (const uint8_t *)registers, sizeof(*registers));

	if (bytes < frame->seen_bytes) {
		memset(frame->seen + SCREEN_FRAME_AT + bytes, 0, frame->seen_bytes - bytes);
	}
	frame->seen_bytes = bytes;
	changed |= copy(frame->seen + SCREEN_FRAME_AT, frame->memory, bytes);
	changed |= copy(frame->seen + SCREEN_TEXT_AT, frame->memory + SCREEN_FRAME_BYTES,
			SCREEN_TEXT_BYTES);
	return changed;
}

static bool draw(struct frame *frame, struct picture *picture)
{
	const char *why = screen_draw(frame->seen, SCREEN_BYTES, picture);

	if (why != NULL) {
		*picture = (struct picture){.width = EMPTY_WIDTH, .height = EMPTY_HEIGHT};
		picture->pixels = calloc((size_t)EMPTY_WIDTH * EMPTY_HEIGHT, 3);
	}
	return picture->pixels != NULL;
}

/* A line of the picture into ours; grows the change by what differs. */
static void put_line(struct frame *frame, const struct picture *picture, unsigned int y,
		     struct frame_change *change)
{
	const uint8_t *from = picture->pixels + (size_t)y * picture->width * 3;
	uint8_t *to = frame->pixels + (size_t)y * frame->width * 4;
	unsigned int x;

	for (x = 0; x < frame->width; x++, from += 3, to += 4) {
		if (memcmp(to, from, 3) == 0) {
			continue;
		}
		memcpy(to, from, 3);
		change->left = x < change->left ? x : change->left;
		change->right = x + 1 > change->right ? x + 1 : change->right;
		change->bottom = y + 1;
	}
}

static void put_picture(struct frame *frame, const struct picture *picture,
			void (*changed)(void *of, const struct frame_change *change), void *of)
{
	unsigned int top, y;

	for (top = 0; top < frame->height; top += FRAME_BAND) {
		struct frame_change change = {.left = frame->width, .top = top};

		for (y = top; y < top + FRAME_BAND && y < frame->height; y++) {
			put_line(frame, picture, y, &change);
		}
		if (change.right != 0 && changed != NULL) {
			changed(of, &change);
		}
	}
}

enum frame_news frame_look(struct frame *frame, const struct screen *registers,
			   void (*changed)(void *of, const struct frame_change *change), void *of)
{
	struct picture picture = {.pixels = NULL};
	enum frame_news news = FRAME_CHANGED;
	uint8_t *pixels;

	if (!copy_all(frame, registers) && frame->pixels != NULL) {
		return FRAME_SAME;
	}
	if (!draw(frame, &picture)) {
		return FRAME_FAILED;
	}
	if (frame->pixels == NULL || picture.width != frame->width ||
	    picture.height != frame->height) {
		pixels = calloc((size_t)picture.width * picture.height, 4);
		if (pixels == NULL) {
			free(picture.pixels);
			return FRAME_FAILED;
		}
		free(frame->pixels);
		frame->pixels = pixels;
		frame->width = picture.width;
		frame->height = picture.height;
		changed = NULL;
		news = FRAME_RESIZED;
	}
	put_picture(frame, &picture, changed, of);
	free(picture.pixels);
	return news;
}
