/* A viewer's seat at the machine's console (include/mgmt/display.h): what is shown there, and keys
 * and moves as a viewer says them. */
#ifndef CONSOLE_SEAT_H
#define CONSOLE_SEAT_H

#include <stdbool.h>
#include <stdint.h>

#include "console/frame.h"
#include "include/mgmt/screen.h"

#define SEAT_LOOK_MS 40 /* no viewer asks sooner how the screen is now */

/* Buttons, as the machine has them. */
#define SEAT_LEFT   0x01
#define SEAT_RIGHT  0x02
#define SEAT_MIDDLE 0x04
#define SEAT_BACK   0x08
#define SEAT_AHEAD  0x10

struct seat {
	int fd;
	const uint8_t *memory; /* the screen's, which changes at any time */
	bool shift;            /* the viewer holds it */
	bool knows_pointer;
	int x, y; /* of the pointer */
};

/* The machine has ended, or will not have us: nothing is left to do. The functions below do not
 * return then either. */
_Noreturn void seat_leave(void);

/* Takes the descriptor, on which the worker says hello. */
void seat_take(struct seat *seat, int fd);
void seat_look(const struct seat *seat, struct screen *registers);

/* The viewer would like the picture to be as large; neither is 0. */
void seat_want(const struct seat *seat, uint16_t width, uint16_t height);

/* A key of set 1, as board_key() knows them. */
void seat_press(const struct seat *seat, uint8_t key, bool down);
/* One by its name in X11. A viewer without a keyboard says characters alone, without the Shift that
 * makes them. */
void seat_type(struct seat *seat, uint32_t keysym, bool down);
/* Where the pointer is in the picture. It has a place, a machine's mouse moves: the first says
 * where it begins. `wheel` as struct display_request has it. */
void seat_point(struct seat *seat, const struct frame *frame, int x, int y, uint8_t buttons,
		int8_t wheel);

#endif
