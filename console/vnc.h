/* A viewer that speaks VNC: what vmvnc's parts share. */
#ifndef CONSOLE_VNC_H
#define CONSOLE_VNC_H

#include <rfb/rfb.h>
#include <rfb/keysym.h>
#include <rfb/rfbregion.h>

#include "console/frame.h"
#include "console/seat.h"

struct viewer {
	struct seat seat;
	rfbScreenInfoPtr screen;
	struct frame frame;
	int buttons; /* of the pointer, as RFB has them */
	bool asked;  /* the guest is told of the sizes that its viewers want */
};

/* extended.c: keys by their scan codes, whatever they are called at the viewer's keyboard. Once. */
void extended_register(void);

#endif
