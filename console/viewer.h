/* One viewer of a machine's screen: a process of its own (see main.c). */
#ifndef CONSOLE_VIEWER_H
#define CONSOLE_VIEWER_H

#include <rfb/rfb.h>
#include <rfb/keysym.h>
#include <rfb/rfbregion.h>
#include <stdbool.h>
#include <stdint.h>

#include "console/frame.h"

#define VIEWER_USERS 0x76750000u /* the first of the users that a vmvnc of root's becomes */

struct viewer {
	int seat; /* the worker's, include/mgmt/display.h */
	rfbScreenInfoPtr screen;
	struct frame frame;
	bool shift; /* the viewer holds it */
	bool knows_pointer;
	int x, y, buttons; /* of the pointer, as RFB has them */
};

/* Serves it until it or the machine goes. Takes both descriptors; the process is in its sandbox afterwards. */
void viewer_run(int seat, int client, const char *name);

/* A key of set 1, as board_key() knows them. */
void viewer_press(struct viewer *viewer, uint8_t key, bool down);
/* extended.c: keys by their scan codes, whatever they are called at the viewer's keyboard. Once. */
void extended_register(void);

/* sandbox.c. False: said why. */
bool sandbox_enter(void);
bool sandbox_enter_viewer(void);

#endif
