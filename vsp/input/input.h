/*
 * A guest's synthetic keyboard and mouse: what a person presses and where he points goes to the
 * guest's own drivers. docs/design/console.md.
 *
 * Each is a device of its own with one channel. Whatever happens there waits until the guest takes
 * it. Of what is too much for that, keys are not pressed, but what was pressed is released in any
 * case; of the mouse's way the last place counts, and no change of a button is lost but among those
 * that the guest is too late for.
 *
 * Threads: [C] the control thread of VMBus, [T] any.
 */
#ifndef VSP_INPUT_INPUT_H
#define VSP_INPUT_INPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/check.h"
#include "lib/state.h"

struct input;
struct vmbus;

/* Offer them. -errno. [C] */
int keyboard_create(struct vmbus *bus, struct input **keyboard) MUST_CHECK;
int mouse_create(struct vmbus *bus, struct input **mouse) MUST_CHECK;
/* Before vmbus_destroy(). [C] */
void input_destroy(struct input **input);

/*
 * A key, by its scan code of set 1 with bit 7 if that has the prefix 0xE0. A key that is pressed
 * again repeats. False: the guest has no driver for it now, or the key that is released was not
 * pressed here. [T]
 */
bool keyboard_press(struct input *keyboard, uint8_t key, bool down) MUST_CHECK;

#define MOUSE_PLACE_MAX 0x7fffu

struct mouse_report {
	uint8_t buttons; /* that are held: left, right, middle, and two at the sides, from bit 0 on */
	int8_t wheel;    /* towards who sits there */
	uint16_t x, y;   /* from the left and the top; what is more than MOUSE_PLACE_MAX is that */
};

/* False: the guest has no driver for it now. [T] */
bool mouse_point(struct input *mouse, const struct mouse_report *report) MUST_CHECK;
/* All buttons, where it is. [T] */
void mouse_release(struct input *mouse);

/* A part "keyboard" or "mouse". The bus is paused. [C] */
void input_save(struct input *input, struct state_writer *writer);
/*
 * Into one that is new, before vmbus_load(). A state without it, of an older worker, leaves it new;
 * keys and buttons that were held are released, since nobody holds them here. -EINVAL: the list's
 * fault says why; -ENOMEM. [C]
 */
int input_load(struct input *input, struct state_reader *list) MUST_CHECK;

#endif
