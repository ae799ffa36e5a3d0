/*
 * A hostile guest of the VGA: accesses to its ports and its window. Nothing outside of its memory
 * is touched (ASan), and whatever its registers then say can be drawn, or is refused.
 */
#include "console/screen.h"
#include "include/mgmt/screen.h"
#include "tests/fake/board_pair.h"
#include "tests/fuzz/fuzz.h"

static struct pair_board one;
static uint8_t screen[SCREEN_BYTES];

static void draw(void)
{
	struct screen *to = (struct screen *)screen;
	struct picture picture = {.pixels = NULL};
	struct vga_registers r;
	enum vga_window window;

	EXPECT(board_look(&one.board, &r, &window));
	*to = (struct screen){
		.magic = SCREEN_MAGIC, .text_window = window == VGA_TEXT, .mask = r.mask};
	memcpy(to->sequencer, r.sequencer, sizeof(to->sequencer));
	memcpy(to->crtc, r.crtc, sizeof(to->crtc));
	memcpy(to->graphics, r.graphics, sizeof(to->graphics));
	memcpy(to->attribute, r.attribute, sizeof(to->attribute));
	memcpy(to->dispi, r.dispi, sizeof(to->dispi));
	if (screen_draw(screen, sizeof(screen), &picture) == NULL) {
		EXPECT(picture.pixels != NULL);
	}
	free(picture.pixels);
}

/* Half of all pictures are large, and drawn slowly: few of them. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned int events = 1000;

	fuzz_begin(data, size);
	pair_create(&one, BOARD_GENERATION_1, 0);
	while (fuzz_more() && events-- != 0) {
		struct pair_event event = pair_choose(PAIR_VGA, fuzz_number);

		pair_do(&one, &event);
	}
	if (fuzz_byte() % 32 == 0) {
		draw();
	}
	pair_destroy(&one);
	return 0;
}
