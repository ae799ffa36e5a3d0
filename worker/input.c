/*
 * Where keys and the pointer go: to the guest's synthetic keyboard and mouse while it has drivers
 * for them, else to the i8042; the pointer to a tablet, if there is one that the guest listens to.
 * What was pressed at one is released there.
 */
#include <string.h>

#include "include/mgmt/display.h"
#include "vsp/input/input.h"
#include "worker/machine.h"
#include "worker/say.h"

_Static_assert(MOUSE_PLACE_MAX == DISPLAY_PLACE_MAX, "a place on the screen is one of the mouse's");

bool input_attach(struct machine *machine)
{
	int ret;

	if (machine->screen == NULL) {
		return true;
	}
	ret = keyboard_create(machine->bus, &machine->keyboard);
	if (ret == 0) {
		ret = mouse_create(machine->bus, &machine->mouse);
	}
	if (ret != 0) {
		say("there is no keyboard or mouse for the guest: %s", strerror(-ret));
	}
	return ret == 0;
}

void input_detach(struct machine *machine)
{
	if (machine->mouse != NULL) {
		input_destroy(&machine->mouse);
	}
	if (machine->keyboard != NULL) {
		input_destroy(&machine->keyboard);
	}
}

void input_press(struct machine *machine, uint8_t key, bool down)
{
	if (machine->keyboard == NULL || !keyboard_press(machine->keyboard, key, down)) {
		board_key(&machine->board, key, down);
	}
}

static void release_mouse(struct machine *machine)
{
	if (machine->display.board_buttons != 0) {
		board_pointer(&machine->board, 0, 0, 0, 0);
	}
	machine->display.board_buttons = 0;
}

static void release_board(struct machine *machine)
{
	release_mouse(machine);
	board_release_tablet(&machine->board);
}

void input_point(struct machine *machine, const struct display_request *request)
{
	const struct mouse_report report = {.buttons = request->buttons,
					    .wheel = request->wheel,
					    .x = request->at_x,
					    .y = request->at_y};

	if (machine->mouse != NULL && mouse_point(machine->mouse, &report)) {
		release_board(machine);
		return;
	}
	if (board_place(&machine->board, request->at_x, request->at_y, request->wheel,
			request->buttons)) {
		release_mouse(machine);
		return;
	}
	board_pointer(&machine->board, request->x, request->y, request->wheel, request->buttons);
	machine->display.board_buttons = request->buttons;
}

void input_release(struct machine *machine)
{
	if (machine->mouse != NULL) {
		mouse_release(machine->mouse);
	}
	release_board(machine);
}
