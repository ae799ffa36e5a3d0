/*
 * Input of [MS-RDPBCGR] 2.2.8.1.1.3: keys by scan codes of set 1, characters for viewers that have
 * no keyboard, a pointer with five buttons and a wheel.
 */
#include <freerdp/input.h>

#include "console/rdp.h"

#define KEY_CONTROL  0x1d
#define KEY_NUM_LOCK 0x45
#define KEY_PAUSE    0xc6 /* as it is with Ctrl, without the prefix E1 that no other key has */

#define WHEEL_STEP 120

static struct rdp *rdp_of(const rdpInput *input)
{
	return input->context->peer->ContextExtra;
}

static BOOL on_key(rdpInput *input, UINT16 flags, UINT16 code)
{
	struct rdp *rdp = rdp_of(input);
	uint8_t key = (uint8_t)((code & 0x7f) | (flags & KBD_FLAGS_EXTENDED ? 0x80 : 0));
	bool down = !(flags & KBD_FLAGS_RELEASE), pauses = rdp->pauses;

	/* Pause is E1 1D 45: two keys, of which the second has no prefix. */
	rdp->pauses = (flags & KBD_FLAGS_EXTENDED1) && code == KEY_CONTROL;
	if (rdp->pauses) {
		key = KEY_PAUSE;
	} else if (pauses && code == KEY_NUM_LOCK) {
		return TRUE;
	}
	if (code != 0 && code < 0x80) {
		seat_press(&rdp->seat, key, down);
	}
	return TRUE;
}

/* A character as a key's name in X11. */
static uint32_t keysym_of(UINT16 character)
{
	switch (character) {
	case '\n':
		return 0xff0d;
	case '\b':
	case '\t':
	case '\r':
	case 0x1b:
		return 0xff00u | character;
	default:
		return character;
	}
}

static BOOL on_character(rdpInput *input, UINT16 flags, UINT16 code)
{
	seat_type(&rdp_of(input)->seat, keysym_of(code), !(flags & KBD_FLAGS_RELEASE));
	return TRUE;
}

static BOOL on_wheel(struct rdp *rdp, UINT16 flags)
{
	int by = flags & 0xff, steps;

	if (flags & PTR_FLAGS_HWHEEL) {
		return TRUE; /* there is none */
	}
	/* Nine bits, of which the highest is the sign; away from who sits there is positive. */
	rdp->turned += flags & PTR_FLAGS_WHEEL_NEGATIVE ? by - 0x100 : by;
	steps = rdp->turned / WHEEL_STEP;
	rdp->turned -= steps * WHEEL_STEP;
	if (steps != 0) {
		seat_point(&rdp->seat, &rdp->frame, rdp->seat.x, rdp->seat.y, rdp->buttons,
			   (int8_t)-steps);
	}
	return TRUE;
}

static void point(struct rdp *rdp, uint8_t changed, bool down, UINT16 x, UINT16 y)
{
	rdp->buttons = (uint8_t)(down ? rdp->buttons | changed : rdp->buttons & ~changed);
	seat_point(&rdp->seat, &rdp->frame, x, y, rdp->buttons, 0);
}

static BOOL on_pointer(rdpInput *input, UINT16 flags, UINT16 x, UINT16 y)
{
	struct rdp *rdp = rdp_of(input);

	if (flags & (PTR_FLAGS_WHEEL | PTR_FLAGS_HWHEEL)) {
		return on_wheel(rdp, flags);
	}
	point(rdp,
	      (uint8_t)((flags & PTR_FLAGS_BUTTON1 ? SEAT_LEFT : 0) |
			(flags & PTR_FLAGS_BUTTON2 ? SEAT_RIGHT : 0) |
			(flags & PTR_FLAGS_BUTTON3 ? SEAT_MIDDLE : 0)),
	      flags & PTR_FLAGS_DOWN, x, y);
	return TRUE;
}

static BOOL on_side_buttons(rdpInput *input, UINT16 flags, UINT16 x, UINT16 y)
{
	point(rdp_of(input),
	      (uint8_t)((flags & PTR_XFLAGS_BUTTON1 ? SEAT_BACK : 0) |
			(flags & PTR_XFLAGS_BUTTON2 ? SEAT_AHEAD : 0)),
	      flags & PTR_XFLAGS_DOWN, x, y);
	return TRUE;
}

void rdp_input_begin(struct rdp *rdp)
{
	rdpInput *input = rdp->peer->input;

	input->KeyboardEvent = on_key;
	input->UnicodeKeyboardEvent = on_character;
	input->MouseEvent = on_pointer;
	input->ExtendedMouseEvent = on_side_buttons;
}
