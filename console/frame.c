/*
 * See frame.h. What is shown is first copied, and drawn only if it differs from what was copied
 * before: so a screen that stands still costs a comparison, and a guest that draws meanwhile cannot
 * change under the drawing.
 *
 * Of a synthetic display there is no copy: each pixel is read once, and compared with what is
 * shown; where the guest says what has changed, no other is.
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

/* Pixels of a line, from `x` on, into ours; grows the change by what differs. */
static void put_line(struct frame *frame, const uint8_t *from, unsigned int x, unsigned int end,
		     unsigned int y, struct frame_change *change)
{
	uint8_t *to = frame->pixels + ((size_t)y * frame->width + x) * 4;

	for (; x < end; x++, from += 3, to += 4) {
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
			put_line(frame, picture->pixels + (size_t)y * picture->width * 3, 0,
				 frame->width, y, &change);
		}
		if (change.right != 0 && changed != NULL) {
			changed(of, &change);
		}
	}
}

/* False: there is no memory. */
static bool resize(struct frame *frame, unsigned int width, unsigned int height)
{
	uint8_t *pixels = calloc((size_t)width * height, 4);

	if (pixels == NULL) {
		return false;
	}
	free(frame->pixels);
	frame->pixels = pixels;
	frame->width = width;
	frame->height = height;
	return true;
}

static bool has_size(const struct frame *frame, unsigned int width, unsigned int height)
{
	return frame->pixels != NULL && width == frame->width && height == frame->height;
}

static enum frame_news look_at_vga(struct frame *frame, const struct screen *registers,
				   void (*changed)(void *of, const struct frame_change *change),
				   void *of)
{
	struct picture picture = {.pixels = NULL};
	enum frame_news news = FRAME_CHANGED;

	if (!copy_all(frame, registers) && frame->pixels != NULL) {
		return FRAME_SAME;
	}
	if (!draw(frame, &picture)) {
		return FRAME_FAILED;
	}
	if (!has_size(frame, picture.width, picture.height)) {
		if (!resize(frame, picture.width, picture.height)) {
			free(picture.pixels);
			return FRAME_FAILED;
		}
		changed = NULL;
		news = FRAME_RESIZED;
	}
	put_picture(frame, &picture, changed, of);
	free(picture.pixels);
	return news;
}

/* ---- A synthetic display ---- */

static bool put_area(struct frame *frame, const struct screen *screen,
		     const struct screen_change *area,
		     void (*changed)(void *of, const struct frame_change *change), void *of)
{
	unsigned int right = area->right < frame->width ? area->right : frame->width;
	unsigned int bottom = area->bottom < frame->height ? area->bottom : frame->height;
	const uint8_t *memory = frame->memory + SCREEN_VIDEO_AT - SCREEN_FRAME_AT;
	uint8_t line[PICTURE_MAX_WIDTH * 3];
	unsigned int top, y;
	bool any = false;

	for (top = area->top; area->left < right && top < bottom; top += FRAME_BAND) {
		struct frame_change change = {.left = frame->width, .top = top};

		for (y = top; y < top + FRAME_BAND && y < bottom; y++) {
			screen_draw_video(screen, memory, area->left, y, right - area->left, line);
			put_line(frame, line, area->left, right, y, &change);
		}
		any |= change.right != 0;
		if (change.right != 0 && changed != NULL) {
			changed(of, &change);
		}
	}
	return any;
}

/* The same picture as at the last look, but for what may have changed in it. */
static bool goes_on(const struct frame *frame, const struct screen *screen)
{
	struct screen last;

	memcpy(&last, frame->seen, sizeof(last));
	return screen_is_video(&last) && last.offset == screen->offset &&
	       last.pitch == screen->pitch && last.bits == screen->bits;
}

static enum frame_news look_at_video(struct frame *frame, const struct screen *screen,
				     void (*changed)(void *of, const struct frame_change *change),
				     void *of)
{
	const struct screen_change whole = {.right = screen->width, .bottom = screen->height};
	bool all = screen->change_count > SCREEN_CHANGES || !goes_on(frame, screen), any = false;
	enum frame_news news = FRAME_SAME;
	unsigned int i;

	if (!has_size(frame, screen->width, screen->height)) {
		if (!resize(frame, screen->width, screen->height)) {
			return FRAME_FAILED;
		}
		all = true;
		changed = NULL;
		news = FRAME_RESIZED;
	}
	memcpy(frame->seen, screen, sizeof(*screen));
	for (i = 0; !all && i < screen->change_count; i++) {
		any |= put_area(frame, screen, &screen->changes[i], changed, of);
	}
	if (all) {
		any = put_area(frame, screen, &whole, changed, of);
	}
	return news == FRAME_SAME && any ? FRAME_CHANGED : news;
}

enum frame_news frame_look(struct frame *frame, const struct screen *registers,
			   void (*changed)(void *of, const struct frame_change *change), void *of)
{
	return (screen_is_video(registers) ? look_at_video : look_at_vga)(frame, registers, changed,
									  of);
}
