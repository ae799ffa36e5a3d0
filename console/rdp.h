/* A viewer that speaks RDP: what vmrdp's parts share. */
#ifndef CONSOLE_RDP_H
#define CONSOLE_RDP_H

#include <freerdp/codec/interleaved.h>
#include <freerdp/codec/planar.h>
#include <freerdp/freerdp.h>
#include <freerdp/peer.h>
#include <stdbool.h>
#include <stdint.h>

#include "console/frame.h"
#include "console/screen.h"
#include "console/seat.h"

/* What is sent of a picture at once. Its height is that of what frame.c tells. */
#define RDP_TILE_WIDTH 64
#define RDP_CHANGES    (PICTURE_MAX_HEIGHT / FRAME_BAND)

/* How pixels are written for a viewer. */
struct rdp_picture {
	BITMAP_PLANAR_CONTEXT *planar;           /* 32 bits a pixel */
	BITMAP_INTERLEAVED_CONTEXT *interleaved; /* less */
};

struct rdp {
	struct seat seat;
	struct frame frame;
	freerdp_peer *peer;
	struct rdp_picture picture;
	int door;    /* where a seat is asked for; -1: it has one */
	bool active; /* it takes pictures */
	bool hidden; /* it has said that nobody looks */
	bool whole;  /* what it shows is not ours */
	struct frame_change changes[RDP_CHANGES];
	unsigned int change_count;
	uint8_t buttons; /* as the machine has them */
	int turned;      /* the wheel, by less than one step */
	bool pauses;     /* the first half of the key Pause has come */
};

/* rdp_input.c: what the viewer's keyboard and mouse do. */
void rdp_input_begin(struct rdp *rdp);

/* rdp_picture.c. False: there is no memory. */
bool rdp_picture_begin(struct rdp_picture *picture) __attribute__((warn_unused_result));
/* These parts of the frame, on a desktop of the viewer's size. False: it is gone, or cannot be
 * served. */
bool rdp_picture_send(struct rdp *rdp, const struct frame_change *changes, unsigned int count)
	__attribute__((warn_unused_result));

#endif
